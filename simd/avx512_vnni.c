/*
 * avx512_vnni.c
 *		What AVX-512 does better with VNNI: integer dot products; and the scan
 *		with VBMI, too.
 *
 * dispatch.c puts them into the table where the processor has these.  As
 * avx512.c says of instruction set and tails.
 */
#include "kernels.h"

#ifdef VX_X86

#include "avx512.h"

VX_TARGET(TARGET ",avx512vnni,avx512vbmi")

int32_t
vx_dot_i16_i8_vnni(const int16_t *q, const int8_t *c, int n)
{
	__m512i		acc0 = _mm512_setzero_si512();
	__m512i		acc1 = _mm512_setzero_si512();
	int			i = 0;

	for (; i + 64 <= n; i += 64)
	{
		__m512i		c0 = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *) (c + i)));
		__m512i		c1 = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *) (c + i + 32)));

		acc0 = _mm512_dpwssd_epi32(acc0, _mm512_loadu_si512(q + i), c0);
		acc1 = _mm512_dpwssd_epi32(acc1, _mm512_loadu_si512(q + i + 32), c1);
	}
	for (; i < n; i += 32)
	{
		__mmask32	mask = first_lanes32(n - i);
		__m512i		c0 = _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(mask, c + i));

		acc0 = _mm512_dpwssd_epi32(acc0, _mm512_maskz_loadu_epi16(mask, q + i), c0);
	}
	return _mm512_reduce_add_epi32(_mm512_add_epi32(acc0, acc1));
}

/*
 * The instruction multiplies unsigned by signed bytes: a is raised by 128 (its
 * top bit flipped), and 128 times the sum of b is taken off at the end.  Exact
 * for every pair of bytes, -128 included; sums wrap and unwrap modulo 2^32.
 */
int32_t
vx_dot_i8_i8_vnni(const int8_t *a, const int8_t *b, int n)
{
	const __m512i raise = _mm512_set1_epi8((char) 0x80);
	__m512i		acc0 = _mm512_setzero_si512();
	__m512i		acc1 = _mm512_setzero_si512();
	__m512i		excess0 = _mm512_setzero_si512();
	__m512i		excess1 = _mm512_setzero_si512();
	int			i = 0;

	for (; i + 128 <= n; i += 128)
	{
		__m512i		b0 = _mm512_loadu_si512(b + i);
		__m512i		b1 = _mm512_loadu_si512(b + i + 64);

		acc0 = _mm512_dpbusd_epi32(acc0, _mm512_xor_si512(_mm512_loadu_si512(a + i), raise), b0);
		acc1 = _mm512_dpbusd_epi32(acc1, _mm512_xor_si512(_mm512_loadu_si512(a + i + 64), raise), b1);
		excess0 = _mm512_dpbusd_epi32(excess0, raise, b0);
		excess1 = _mm512_dpbusd_epi32(excess1, raise, b1);
	}
	for (; i < n; i += 64)
	{
		__mmask64	mask = first_lanes64(n - i);
		__m512i		a0 = _mm512_maskz_loadu_epi8(mask, a + i);
		__m512i		b0 = _mm512_maskz_loadu_epi8(mask, b + i);

		acc0 = _mm512_dpbusd_epi32(acc0, _mm512_xor_si512(a0, raise), b0);
		excess0 = _mm512_dpbusd_epi32(excess0, raise, b0);
	}
	acc0 = _mm512_sub_epi32(_mm512_add_epi32(acc0, acc1),
							_mm512_add_epi32(excess0, excess1));
	return _mm512_reduce_add_epi32(acc0);
}

/*
 * A panel register holds sixteen columns, four dimensions each, raised to
 * unsigned; a row's four codes are in every lane.  What raising adds, 128
 * times the sum of the row's codes, is where the sums start from.
 */
VX_INLINE __m512i
panel_start(const int8_t *row, int n)
{
	const __m512i raise = _mm512_set1_epi8((char) 0x80);
	__m512i		excess = _mm512_setzero_si512();

	for (int i = 0; i < n; i += 64)
	{
		__mmask64	mask = first_lanes64(n - i);

		excess = _mm512_dpbusd_epi32(excess, raise, _mm512_maskz_loadu_epi8(mask, row + i));
	}
	return _mm512_set1_epi32(-_mm512_reduce_add_epi32(excess));
}

/* Four rows by two panels. */
VX_INLINE void
panel_4x2(const int8_t *const *rows, int n, const int8_t *panel, int32_t *out, size_t stride)
{
	const __m512i raise = _mm512_set1_epi8((char) 0x80);
	const int8_t *second = panel + VX_PANEL_BYTES(n);
	__m512i		a0 = panel_start(rows[0], n);
	__m512i		a1 = panel_start(rows[1], n);
	__m512i		a2 = panel_start(rows[2], n);
	__m512i		a3 = panel_start(rows[3], n);
	__m512i		b0 = a0;
	__m512i		b1 = a1;
	__m512i		b2 = a2;
	__m512i		b3 = a3;

	for (int i = 0; i < n; i += 4)
	{
		__m512i		p = _mm512_xor_si512(raise, _mm512_load_si512(panel + (size_t) i * VX_PANEL));
		__m512i		q = _mm512_xor_si512(raise, _mm512_load_si512(second + (size_t) i * VX_PANEL));
		__m512i		r0 = _mm512_set1_epi32(vx_row_word(rows[0], i, n));
		__m512i		r1 = _mm512_set1_epi32(vx_row_word(rows[1], i, n));
		__m512i		r2 = _mm512_set1_epi32(vx_row_word(rows[2], i, n));
		__m512i		r3 = _mm512_set1_epi32(vx_row_word(rows[3], i, n));

		a0 = _mm512_dpbusd_epi32(a0, p, r0);
		b0 = _mm512_dpbusd_epi32(b0, q, r0);
		a1 = _mm512_dpbusd_epi32(a1, p, r1);
		b1 = _mm512_dpbusd_epi32(b1, q, r1);
		a2 = _mm512_dpbusd_epi32(a2, p, r2);
		b2 = _mm512_dpbusd_epi32(b2, q, r2);
		a3 = _mm512_dpbusd_epi32(a3, p, r3);
		b3 = _mm512_dpbusd_epi32(b3, q, r3);
	}
	_mm512_storeu_si512(out, a0);
	_mm512_storeu_si512(out + VX_PANEL, b0);
	_mm512_storeu_si512(out + stride, a1);
	_mm512_storeu_si512(out + stride + VX_PANEL, b1);
	_mm512_storeu_si512(out + 2 * stride, a2);
	_mm512_storeu_si512(out + 2 * stride + VX_PANEL, b2);
	_mm512_storeu_si512(out + 3 * stride, a3);
	_mm512_storeu_si512(out + 3 * stride + VX_PANEL, b3);
}

VX_INLINE void
panel_1x1(const int8_t *row, int n, const int8_t *panel, int32_t *out)
{
	const __m512i raise = _mm512_set1_epi8((char) 0x80);
	__m512i		sum = panel_start(row, n);

	for (int i = 0; i < n; i += 4)
		sum = _mm512_dpbusd_epi32(sum, _mm512_xor_si512(raise, _mm512_load_si512(panel + (size_t) i * VX_PANEL)),
								  _mm512_set1_epi32(vx_row_word(row, i, n)));
	_mm512_storeu_si512(out, sum);
}

void
vx_dot_i8_panels_vnni(const int8_t *const *rows, int nrows, int n, const int8_t *panels,
					  int npanels, int32_t *out, size_t stride)
{
	for (int p = 0; p < npanels; p += 2)
	{
		const int8_t *panel = panels + (size_t) p * VX_PANEL_BYTES(n);
		int32_t    *at = out + p * VX_PANEL;
		int			r = 0;

		if (p + 2 <= npanels)
			for (; r + 4 <= nrows; r += 4)
				panel_4x2(rows + r, n, panel, at + (size_t) r * stride, stride);
		for (; r < nrows; r++)
		{
			panel_1x1(rows[r], n, panel, at + (size_t) r * stride);
			if (p + 2 <= npanels)
				panel_1x1(rows[r], n, panel + VX_PANEL_BYTES(n), at + (size_t) r * stride + VX_PANEL);
		}
	}
}

/*
 * A byte permutation looks up 64 entries at once: the tables of the four low
 * (or high) nibbles of a code's four bytes.  So bytes need no transposition:
 * the index is the nibble with the byte's place in its code above it, and the
 * instruction for dot products adds each code's four entries to a 32-bit sum,
 * in the order of the codes and with nothing to flush.
 */
typedef struct VbmiSums
{
	__m512i		low0;			/* low nibbles of codes 0-15 */
	__m512i		low1;			/* of codes 16-31 */
	__m512i		high0;
	__m512i		high1;
} VbmiSums;

VX_INLINE void
scan_group_vbmi(VbmiSums *sums, const uint8_t *codes, const uint8_t *table)
{
	const __m512i low_half = _mm512_set1_epi8(0x0f);
	const __m512i place = _mm512_set1_epi32(0x30201000);
	const __m512i ones = _mm512_set1_epi8(1);
	__m512i		a = _mm512_loadu_si512(table);
	__m512i		b = _mm512_loadu_si512(table + 64);
	__m512i		low_table = _mm512_shuffle_i64x2(a, b, 0x88);
	__m512i		high_table = _mm512_shuffle_i64x2(a, b, 0xDD);
	__m512i		x = _mm512_loadu_si512(codes);
	__m512i		y = _mm512_loadu_si512(codes + 64);

	/* 0xEA: (first & second) | third */
	__m512i		x0 = _mm512_ternarylogic_epi32(x, low_half, place, 0xEA);
	__m512i		y0 = _mm512_ternarylogic_epi32(y, low_half, place, 0xEA);
	__m512i		x1 = _mm512_ternarylogic_epi32(_mm512_srli_epi32(x, 4), low_half, place, 0xEA);
	__m512i		y1 = _mm512_ternarylogic_epi32(_mm512_srli_epi32(y, 4), low_half, place, 0xEA);

	sums->low0 = _mm512_dpbusd_epi32(sums->low0, _mm512_permutexvar_epi8(x0, low_table), ones);
	sums->low1 = _mm512_dpbusd_epi32(sums->low1, _mm512_permutexvar_epi8(y0, low_table), ones);
	sums->high0 = _mm512_dpbusd_epi32(sums->high0, _mm512_permutexvar_epi8(x1, high_table), ones);
	sums->high1 = _mm512_dpbusd_epi32(sums->high1, _mm512_permutexvar_epi8(y1, high_table), ones);
}

void
vx_scan32_vbmi(const uint8_t *codes, int groups, const uint8_t *table,
			   uint32_t *sums)
{
	VbmiSums	first;
	VbmiSums	second;
	int			g = 0;

	first.low0 = first.low1 = first.high0 = first.high1 = _mm512_setzero_si512();
	second = first;

	/* two sets of sums: one would wait for the latency of its additions */
	for (; g + 2 <= groups; g += 2)
	{
		scan_group_vbmi(&first, codes, table);
		scan_group_vbmi(&second, codes + VX_GROUP_BYTES, table + VX_GROUP_NIBBLES * 16);
		codes += 2 * VX_GROUP_BYTES;
		table += 2 * VX_GROUP_NIBBLES * 16;
	}
	if (g < groups)
		scan_group_vbmi(&first, codes, table);
	first.low0 = _mm512_add_epi32(_mm512_add_epi32(first.low0, first.high0),
								  _mm512_add_epi32(second.low0, second.high0));
	first.low1 = _mm512_add_epi32(_mm512_add_epi32(first.low1, first.high1),
								  _mm512_add_epi32(second.low1, second.high1));
	_mm512_storeu_si512(sums, first.low0);
	_mm512_storeu_si512(sums + 16, first.low1);
}

VX_TARGET_END

#endif							/* VX_X86 */
