/*
 * avx512_code.c
 *		Codes with AVX-512 F, BW, VL and DQ: lookup tables, the scan, encoding.
 *
 * As avx512.c says of instruction set and tails.
 */
#include "kernels.h"

#ifdef VX_X86

#include "avx512.h"

VX_TARGET(TARGET)

#include "wide_code.h"

VX_INLINE void
table_entries(const float *part, const float *base, int nibbles, float factor,
			  uint8_t *table)
{
	__m512		vfactor = _mm512_set1_ps(factor);

	for (int t = 0; t < nibbles; t++)
	{
		const float *x = part + 4 * t;
		__m512		entry = _mm512_set1_ps(base[4 * t]);
		__m512i		rounded;

		entry = _mm512_mask_add_ps(entry, 0xAAAA, entry, _mm512_set1_ps(x[0]));
		entry = _mm512_mask_add_ps(entry, 0xCCCC, entry, _mm512_set1_ps(x[1]));
		entry = _mm512_mask_add_ps(entry, 0xF0F0, entry, _mm512_set1_ps(x[2]));
		entry = _mm512_mask_add_ps(entry, 0xFF00, entry, _mm512_set1_ps(x[3]));
		rounded = _mm512_cvtps_epi32(_mm512_mul_ps(entry, vfactor));
		rounded = _mm512_max_epi32(rounded, _mm512_setzero_si512());
		_mm_storeu_si128((__m128i *) (table + 16 * t),
						 _mm512_cvtusepi32_epi8(rounded));
	}
}

VX_INLINE float
greatest_of_fours(__m512 v)
{
	return _mm512_reduce_max_ps(v);
}

/*
 * Code scan (FastScan: Andre, Kermarrec, Le Scouarnec, VLDB 2015)
 *
 * Sixteen codes of four bytes a register.  A byte shuffle within the 128-bit
 * lanes and one across them put byte j of all sixteen into lane j; lane j of
 * the two table registers holds the entries of its low and its high nibble.
 *
 * Table entries are added as 16-bit words, the odd bytes once more by
 * themselves: the even ones are the difference.
 */

/* 8 nibbles a group, each at most 255: so many groups fit a 16-bit sum. */
#define SCAN_GROUPS 32

typedef struct ScanSums
{
	__m512i		words;
	__m512i		odd;
} ScanSums;

VX_INLINE void
scan_half(ScanSums *sums, const uint8_t *codes, __m512i table0, __m512i table1)
{
	const __m512i gather = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
	const __m512i across = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
	const __m512i low_half = _mm512_set1_epi8(0x0f);
	__m512i		bytes = _mm512_shuffle_epi8(_mm512_loadu_si512(codes), gather);
	__m512i		x;
	__m512i		y;

	bytes = _mm512_permutexvar_epi32(across, bytes);
	x = _mm512_shuffle_epi8(table0, _mm512_and_si512(bytes, low_half));
	y = _mm512_shuffle_epi8(table1, _mm512_and_si512(_mm512_srli_epi16(bytes, 4),
													 low_half));
	sums->words = _mm512_add_epi16(sums->words, _mm512_add_epi16(x, y));
	sums->odd = _mm512_add_epi16(sums->odd,
								 _mm512_add_epi16(_mm512_srli_epi16(x, 8),
												  _mm512_srli_epi16(y, 8)));
}

/* Sum of the four lanes, as 16-bit words. */
VX_INLINE __m128i
sum_lanes(__m512i v)
{
	__m256i		x = _mm256_add_epi16(_mm512_castsi512_si256(v),
									 _mm512_extracti64x4_epi64(v, 1));

	return _mm_add_epi16(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
}

/* Write (first) or add 16 sums. */
VX_INLINE void
scan_put(uint32_t *sums, const ScanSums *acc, int first)
{
	__m128i		odd = sum_lanes(acc->odd);
	__m128i		even = _mm_sub_epi16(sum_lanes(acc->words), _mm_slli_epi16(odd, 8));
	__m256i		words = _mm256_set_m128i(_mm_unpackhi_epi16(even, odd),
										 _mm_unpacklo_epi16(even, odd));
	__m512i		x = _mm512_cvtepu16_epi32(words);

	if (!first)
		x = _mm512_add_epi32(x, _mm512_loadu_si512(sums));
	_mm512_storeu_si512(sums, x);
}

void
LEVEL(scan32)(const uint8_t *codes, int groups, const uint8_t *table, uint32_t *sums)
{
	int			g = 0;

	do
	{
		int			end = groups - g < SCAN_GROUPS ? groups : g + SCAN_GROUPS;
		int			first = g == 0;
		ScanSums	acc0;
		ScanSums	acc1;

		acc0.words = acc0.odd = acc1.words = acc1.odd = _mm512_setzero_si512();
		for (; g < end; g++)
		{
			const uint8_t *t = table + (size_t) g * VX_GROUP_NIBBLES * 16;
			const uint8_t *c = codes + (size_t) g * VX_GROUP_BYTES;
			__m512i		a = _mm512_loadu_si512(t);
			__m512i		b = _mm512_loadu_si512(t + 64);
			__m512i		table0 = _mm512_shuffle_i64x2(a, b, 0x88);
			__m512i		table1 = _mm512_shuffle_i64x2(a, b, 0xDD);

			scan_half(&acc0, c, table0, table1);
			scan_half(&acc1, c + 64, table0, table1);
		}
		scan_put(sums, &acc0, first);
		scan_put(sums + 16, &acc1, first);
	} while (g < groups);
}

/*
 * Encoding
 */
VX_INLINE void
encode_signs(const float *r, const float *y, int n, uint8_t *code, float *rs,
			 float *ys)
{
	const __m512i sign_bit = _mm512_set1_epi32((int) 0x80000000u);
	__m512		acc_rs = _mm512_setzero_ps();
	__m512		acc_ys = _mm512_setzero_ps();

	for (int i = 0; i < n; i += 16)
	{
		__mmask16	mask = first_lanes(n - i);
		__m512		x = _mm512_maskz_loadu_ps(mask, r + i);
		__m512i		z = _mm512_maskz_loadu_epi32(mask, y + i);
		uint16_t	positive = _mm512_mask_cmp_ps_mask(mask, x, _mm512_setzero_ps(),
													   _CMP_GE_OQ);

		/* a code is a multiple of four bytes long: two more always fit */
		memcpy(code + i / 8, &positive, sizeof(positive));
		acc_rs = _mm512_add_ps(acc_rs, _mm512_abs_ps(x));
		z = _mm512_mask_xor_epi32(z, (__mmask16) ~positive, z, sign_bit);
		acc_ys = _mm512_add_ps(acc_ys, _mm512_castsi512_ps(z));
	}
	*rs = _mm512_reduce_add_ps(acc_rs);
	*ys = _mm512_reduce_add_ps(acc_ys);
}

VX_INLINE __m512
floor_floats(__m512 x)
{
	return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}

VX_INLINE uint32_t
plane_bits(__m512i x, int p, int count)
{
	return _mm512_mask_test_epi32_mask(first_lanes(count), x, _mm512_set1_epi32(1 << p));
}

/* s / 2 of 16 values for one reciprocal of the step */
VX_INLINE __m512
half_level(__m512 x, float inverse, __m512 low, __m512 high, __mmask16 mask)
{
	__m512		t = clamped_floor(_mm512_mul_ps(x, _mm512_set1_ps(inverse)), low, high);

	return _mm512_maskz_add_ps(mask, t, _mm512_set1_ps(0.5f));
}

static void
step_scores(const float *r, int n, float half, const float *inverse, float *scores)
{
	const __m512 low = _mm512_set1_ps(-half);
	const __m512 high = _mm512_set1_ps(half - 0.5f);
	__m512		rs0 = _mm512_setzero_ps();
	__m512		rs1 = _mm512_setzero_ps();
	__m512		rs2 = _mm512_setzero_ps();
	__m512		rs3 = _mm512_setzero_ps();
	__m512		ss0 = _mm512_setzero_ps();
	__m512		ss1 = _mm512_setzero_ps();
	__m512		ss2 = _mm512_setzero_ps();
	__m512		ss3 = _mm512_setzero_ps();
	float		rs[4];
	float		ss[4];

	for (int i = 0; i < n; i += 16)
	{
		__mmask16	mask = first_lanes(n - i);
		__m512		x = _mm512_maskz_loadu_ps(mask, r + i);
		__m512		s0 = half_level(x, inverse[0], low, high, mask);
		__m512		s1 = half_level(x, inverse[1], low, high, mask);
		__m512		s2 = half_level(x, inverse[2], low, high, mask);
		__m512		s3 = half_level(x, inverse[3], low, high, mask);

		rs0 = _mm512_fmadd_ps(x, s0, rs0);
		rs1 = _mm512_fmadd_ps(x, s1, rs1);
		rs2 = _mm512_fmadd_ps(x, s2, rs2);
		rs3 = _mm512_fmadd_ps(x, s3, rs3);
		ss0 = _mm512_fmadd_ps(s0, s0, ss0);
		ss1 = _mm512_fmadd_ps(s1, s1, ss1);
		ss2 = _mm512_fmadd_ps(s2, s2, ss2);
		ss3 = _mm512_fmadd_ps(s3, s3, ss3);
	}
	rs[0] = sum_floats(rs0);
	rs[1] = sum_floats(rs1);
	rs[2] = sum_floats(rs2);
	rs[3] = sum_floats(rs3);
	ss[0] = sum_floats(ss0);
	ss[1] = sum_floats(ss1);
	ss[2] = sum_floats(ss2);
	ss[3] = sum_floats(ss3);
	for (int k = 0; k < 4; k++)
		scores[k] = rs[k] * rs[k] / ss[k];
}

VX_TARGET_END

#endif							/* VX_X86 */
