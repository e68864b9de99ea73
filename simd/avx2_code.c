/*
 * avx2_code.c
 *		Codes with AVX2, FMA and F16C: lookup tables, the scan, encoding.
 *
 * As avx2.c says of instruction set and tails.
 */
#include "kernels.h"

#ifdef VX_X86

#include "avx2.h"

VX_TARGET(TARGET)

#include "wide_code.h"

VX_INLINE void
table_entries(const float *part, const float *base, int nibbles, float factor,
			  uint8_t *table)
{
	const __m256 bit0 = _mm256_castsi256_ps(_mm256_setr_epi32(0, -1, 0, -1, 0, -1, 0, -1));
	const __m256 bit1 = _mm256_castsi256_ps(_mm256_setr_epi32(0, 0, -1, -1, 0, 0, -1, -1));
	const __m256 bit2 = _mm256_castsi256_ps(_mm256_setr_epi32(0, 0, 0, 0, -1, -1, -1, -1));
	const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
	__m256		vfactor = _mm256_set1_ps(factor);

	for (int t = 0; t < nibbles; t += 2)
	{
		__m256i		words[2];
		__m256i		bytes;

		for (int k = 0; k < 2; k++)
		{
			const float *x = part + 4 * (t + k);
			__m256		low = _mm256_broadcast_ss(base + 4 * (t + k));
			__m256		high;

			low = _mm256_add_ps(low, _mm256_and_ps(bit0, _mm256_broadcast_ss(x)));
			low = _mm256_add_ps(low, _mm256_and_ps(bit1, _mm256_broadcast_ss(x + 1)));
			low = _mm256_add_ps(low, _mm256_and_ps(bit2, _mm256_broadcast_ss(x + 2)));
			high = _mm256_add_ps(low, _mm256_broadcast_ss(x + 3));
			low = _mm256_mul_ps(low, vfactor);
			high = _mm256_mul_ps(high, vfactor);
			words[k] = _mm256_packs_epi32(_mm256_cvtps_epi32(low),
										  _mm256_cvtps_epi32(high));
		}
		bytes = _mm256_packus_epi16(words[0], words[1]);
		bytes = _mm256_permutevar8x32_epi32(bytes, order);
		if (t + 2 <= nibbles)
			_mm256_storeu_si256((__m256i *) (table + 16 * t), bytes);
		else
			_mm_storeu_si128((__m128i *) (table + 16 * t),
							 _mm256_castsi256_si128(bytes));
	}
}

VX_INLINE float
greatest_of_fours(__m256 v)
{
	float		x[8];

	_mm256_storeu_ps(x, v);
	return x[0] > x[4] ? x[0] : x[4];
}

/*
 * Code scan (FastScan: Andre, Kermarrec, Le Scouarnec, VLDB 2015)
 *
 * Register i holds codes 8i .. 8i + 7, four bytes each.  A byte shuffle
 * gathers, in each 128-bit half, byte j of four codes in double word i + j
 * (modulo 4); then eight blends, which run on more ports than unpacks do,
 * collect byte j of all 32 codes in one register.  There double word p belongs
 * to register p - j, so each byte of the code has sums of its own, turned to
 * one order at the end.
 *
 * Table entries are added as 16-bit words, the odd bytes once more by
 * themselves: the even ones are the difference.
 */

/* 8 nibbles a group, each at most 255: so many groups fit a 16-bit sum. */
#define SCAN_GROUPS 32

typedef struct ScanSums
{
	__m256i		words[4];
	__m256i		odd[4];
} ScanSums;

VX_INLINE void
scan_byte(ScanSums *sums, int j, __m256i bytes, const uint8_t *table)
{
	const __m256i low_half = _mm256_set1_epi8(0x0f);
	__m256i		table0 = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *) (table + 32 * j)));
	__m256i		table1 = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *) (table + 32 * j + 16)));
	__m256i		x = _mm256_shuffle_epi8(table0, _mm256_and_si256(bytes, low_half));
	__m256i		y = _mm256_shuffle_epi8(table1,
										_mm256_and_si256(_mm256_srli_epi16(bytes, 4),
														 low_half));

	sums->words[j] = _mm256_add_epi16(sums->words[j], _mm256_add_epi16(x, y));
	sums->odd[j] = _mm256_add_epi16(sums->odd[j],
									_mm256_add_epi16(_mm256_srli_epi16(x, 8),
													 _mm256_srli_epi16(y, 8)));
}

VX_INLINE void
scan_group(ScanSums *sums, const uint8_t *codes, const uint8_t *table)
{
	const __m256i gather0 = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
	const __m256i gather1 = _mm256_broadcastsi128_si256(_mm_setr_epi8(3, 7, 11, 15, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14));
	const __m256i gather2 = _mm256_broadcastsi128_si256(_mm_setr_epi8(2, 6, 10, 14, 3, 7, 11, 15, 0, 4, 8, 12, 1, 5, 9, 13));
	const __m256i gather3 = _mm256_broadcastsi128_si256(_mm_setr_epi8(1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15, 0, 4, 8, 12));
	const __m256i *in = (const __m256i *) codes;
	__m256i		y0 = _mm256_shuffle_epi8(_mm256_loadu_si256(in), gather0);
	__m256i		y1 = _mm256_shuffle_epi8(_mm256_loadu_si256(in + 1), gather1);
	__m256i		y2 = _mm256_shuffle_epi8(_mm256_loadu_si256(in + 2), gather2);
	__m256i		y3 = _mm256_shuffle_epi8(_mm256_loadu_si256(in + 3), gather3);
	__m256i		y02 = _mm256_blend_epi32(y0, y2, 0xCC);
	__m256i		y20 = _mm256_blend_epi32(y2, y0, 0xCC);
	__m256i		y13 = _mm256_blend_epi32(y1, y3, 0xCC);
	__m256i		y31 = _mm256_blend_epi32(y3, y1, 0xCC);

	scan_byte(sums, 0, _mm256_blend_epi32(y02, y13, 0xAA), table);
	scan_byte(sums, 1, _mm256_blend_epi32(y31, y02, 0xAA), table);
	scan_byte(sums, 2, _mm256_blend_epi32(y20, y31, 0xAA), table);
	scan_byte(sums, 3, _mm256_blend_epi32(y13, y20, 0xAA), table);
}

/* Sum of the four bytes' sums, in the order of byte 0. */
VX_INLINE __m256i
scan_turn(const __m256i *x)
{
	return _mm256_add_epi16(_mm256_add_epi16(x[0],
											 _mm256_shuffle_epi32(x[1], 0x39)),
							_mm256_add_epi16(_mm256_shuffle_epi32(x[2], 0x4E),
											 _mm256_shuffle_epi32(x[3], 0x93)));
}

/* Write (first) or add 16 sums; "words" holds 0-3, 8-11, 4-7, 12-15. */
VX_INLINE void
scan_put(uint32_t *sums, __m256i words, int first)
{
	__m256i		low;
	__m256i		high;

	words = _mm256_permute4x64_epi64(words, 0xD8);
	low = _mm256_cvtepu16_epi32(_mm256_castsi256_si128(words));
	high = _mm256_cvtepu16_epi32(_mm256_extracti128_si256(words, 1));
	if (!first)
	{
		low = _mm256_add_epi32(low, _mm256_loadu_si256((__m256i *) sums));
		high = _mm256_add_epi32(high, _mm256_loadu_si256((__m256i *) (sums + 8)));
	}
	_mm256_storeu_si256((__m256i *) sums, low);
	_mm256_storeu_si256((__m256i *) (sums + 8), high);
}

void
LEVEL(scan32)(const uint8_t *codes, int groups, const uint8_t *table, uint32_t *sums)
{
	int			g = 0;

	do
	{
		int			end = groups - g < SCAN_GROUPS ? groups : g + SCAN_GROUPS;
		int			first = g == 0;
		ScanSums	acc;
		__m256i		even;
		__m256i		odd;

		for (int j = 0; j < 4; j++)
			acc.words[j] = acc.odd[j] = _mm256_setzero_si256();
		for (; g < end; g++)
			scan_group(&acc, codes + (size_t) g * VX_GROUP_BYTES,
					   table + (size_t) g * VX_GROUP_NIBBLES * 16);
		odd = scan_turn(acc.odd);
		even = _mm256_sub_epi16(scan_turn(acc.words), _mm256_slli_epi16(odd, 8));
		scan_put(sums, _mm256_unpacklo_epi16(even, odd), first);
		scan_put(sums + 16, _mm256_unpackhi_epi16(even, odd), first);
	} while (g < groups);
}

/*
 * Encoding
 */
VX_INLINE void
encode_signs(const float *r, const float *y, int n, uint8_t *code, float *rs,
			 float *ys)
{
	const __m256 sign_bit = _mm256_set1_ps(-0.0f);
	__m256		acc_rs = _mm256_setzero_ps();
	__m256		acc_ys = _mm256_setzero_ps();

	for (int i = 0; i < n; i += 8)
	{
		int			count = n - i < 8 ? n - i : 8;
		__m256i		mask = first_lanes(count);
		__m256		x = _mm256_maskload_ps(r + i, mask);
		__m256		positive = _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_GE_OQ);
		__m256		flip = _mm256_andnot_ps(positive, sign_bit);

		code[i / 8] = (uint8_t) (_mm256_movemask_ps(positive) & ((1 << count) - 1));
		acc_rs = _mm256_add_ps(acc_rs, _mm256_xor_ps(x, flip));
		acc_ys = _mm256_add_ps(acc_ys, _mm256_xor_ps(_mm256_maskload_ps(y + i, mask), flip));
	}
	*rs = sum_floats(acc_rs);
	*ys = sum_floats(acc_ys);
}

VX_INLINE __m256
floor_floats(__m256 x)
{
	return _mm256_floor_ps(x);
}

VX_INLINE uint32_t
plane_bits(__m256i x, int p, int count)
{
	__m256i		top = _mm256_sll_epi32(x, _mm_cvtsi32_si128(31 - p));
	int			bits = _mm256_movemask_ps(_mm256_castsi256_ps(top));

	return (uint32_t) (bits & ((1 << count) - 1));
}

/* Unrolled, so that gcc, too, keeps the sums in registers. */
static void
step_scores(const float *r, int n, float half, const float *inverse, float *scores)
{
	const __m256 low = _mm256_set1_ps(-half);
	const __m256 high = _mm256_set1_ps(half - 0.5f);
	const __m256 middle = _mm256_set1_ps(0.5f);
	__m256		rs[4];
	__m256		ss[4];
	int			i = 0;

#pragma GCC unroll 4
	for (int k = 0; k < 4; k++)
		rs[k] = ss[k] = _mm256_setzero_ps();
	for (; i + 8 <= n; i += 8)
	{
		__m256		x = _mm256_loadu_ps(r + i);

#pragma GCC unroll 4
		for (int k = 0; k < 4; k++)
		{
			__m256		s = _mm256_mul_ps(x, _mm256_broadcast_ss(inverse + k));

			s = _mm256_add_ps(clamped_floor(s, low, high), middle);
			rs[k] = _mm256_fmadd_ps(x, s, rs[k]);
			ss[k] = _mm256_fmadd_ps(s, s, ss[k]);
		}
	}
	if (i < n)
	{
		__m256i		mask = first_lanes(n - i);
		__m256		x = _mm256_maskload_ps(r + i, mask);

#pragma GCC unroll 4
		for (int k = 0; k < 4; k++)
		{
			__m256		s = _mm256_mul_ps(x, _mm256_broadcast_ss(inverse + k));

			s = _mm256_add_ps(clamped_floor(s, low, high), middle);
			s = _mm256_and_ps(s, _mm256_castsi256_ps(mask));
			rs[k] = _mm256_fmadd_ps(x, s, rs[k]);
			ss[k] = _mm256_fmadd_ps(s, s, ss[k]);
		}
	}
#pragma GCC unroll 4
	for (int k = 0; k < 4; k++)
	{
		float		sum = sum_floats(rs[k]);

		scores[k] = sum * sum / sum_floats(ss[k]);
	}
}

VX_TARGET_END

#endif							/* VX_X86 */
