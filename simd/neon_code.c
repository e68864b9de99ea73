/*
 * neon_code.c
 *		Codes with NEON: lookup tables, the scan, encoding.
 *
 * As neon.c says of tails.
 */
#include "kernels.h"

#ifdef VX_ARM64

#include "neon.h"

#include "wide_code.h"

VX_INLINE void
table_entries(const float *part, const float *base, int nibbles, float factor,
			  uint8_t *table)
{
	const uint32x4_t bit0 = {0, UINT32_MAX, 0, UINT32_MAX};
	const uint32x4_t bit1 = {0, 0, UINT32_MAX, UINT32_MAX};

	for (int t = 0; t < nibbles; t++)
	{
		const float *x = part + 4 * t;
		float32x4_t	entries[4];
		int16x4_t	words[4];
		int16x8_t	low;
		int16x8_t	high;

		/* bits 0 and 1 of the nibble are the lane's, 2 and 3 the register's */
		entries[0] = vaddq_f32(vdupq_n_f32(base[4 * t]), masked(vdupq_n_f32(x[0]), bit0));
		entries[0] = vaddq_f32(entries[0], masked(vdupq_n_f32(x[1]), bit1));
		entries[1] = vaddq_f32(entries[0], vdupq_n_f32(x[2]));
		entries[2] = vaddq_f32(entries[0], vdupq_n_f32(x[3]));
		entries[3] = vaddq_f32(entries[1], vdupq_n_f32(x[3]));
#pragma GCC unroll 4
		for (int k = 0; k < 4; k++)
			words[k] = vqmovn_s32(round_to_ints(vmulq_n_f32(entries[k], factor)));
		low = vcombine_s16(words[0], words[1]);
		high = vcombine_s16(words[2], words[3]);
		vst1q_u8(table + 16 * t, vcombine_u8(vqmovun_s16(low), vqmovun_s16(high)));
	}
}

VX_INLINE float
greatest_of_fours(float32x4_t v)
{
	return vgetq_lane_f32(v, 0);
}

/*
 * Code scan (FastScan: Andre, Kermarrec, Le Scouarnec, VLDB 2015)
 *
 * A load of four interleaved registers gives byte j of 16 codes each; an entry
 * of a table for each nibble of it, added as 16 bits.
 */

/* 8 nibbles a group, each at most 255: so many groups fit a 16-bit sum. */
#define SCAN_GROUPS 32

/* Sums of 16 codes. */
typedef struct ScanSums
{
	uint16x8_t	low;
	uint16x8_t	high;
} ScanSums;

VX_INLINE void
scan_nibble(ScanSums *sums, uint8x16_t table, uint8x16_t nibbles)
{
	uint8x16_t	x = vqtbl1q_u8(table, nibbles);

	sums->low = vaddw_u8(sums->low, vget_low_u8(x));
	sums->high = vaddw_high_u8(sums->high, x);
}

VX_INLINE void
scan_group(ScanSums sums[2], const uint8_t *codes, const uint8_t *table)
{
	const uint8x16_t low_half = vdupq_n_u8(0x0f);
	uint8x16x4_t bytes[2] = {vld4q_u8(codes), vld4q_u8(codes + 64)};

#pragma GCC unroll 4
	for (int j = 0; j < 4; j++)
	{
		uint8x16_t	table0 = vld1q_u8(table + 32 * j);
		uint8x16_t	table1 = vld1q_u8(table + 32 * j + 16);

#pragma GCC unroll 2
		for (int k = 0; k < 2; k++)
		{
			scan_nibble(&sums[k], table0, vandq_u8(bytes[k].val[j], low_half));
			scan_nibble(&sums[k], table1, vshrq_n_u8(bytes[k].val[j], 4));
		}
	}
}

void
LEVEL(scan32)(const uint8_t *codes, int groups, const uint8_t *table, uint32_t *sums)
{
	int			g = 0;

	memset(sums, 0, VX_BLOCK * sizeof(*sums));
	while (g < groups)
	{
		const uint16x8_t zero = vdupq_n_u16(0);
		int			end = groups - g < SCAN_GROUPS ? groups : g + SCAN_GROUPS;
		ScanSums	acc[2] = {{zero, zero}, {zero, zero}};

		for (; g < end; g++)
			scan_group(acc, codes + (size_t) g * VX_GROUP_BYTES,
					   table + (size_t) g * VX_GROUP_NIBBLES * 16);
#pragma GCC unroll 2
		for (int k = 0; k < 2; k++)
		{
			uint32_t   *to = sums + 16 * k;

			vst1q_u32(to, vaddw_u16(vld1q_u32(to), vget_low_u16(acc[k].low)));
			vst1q_u32(to + 4, vaddw_high_u16(vld1q_u32(to + 4), acc[k].low));
			vst1q_u32(to + 8, vaddw_u16(vld1q_u32(to + 8), vget_low_u16(acc[k].high)));
			vst1q_u32(to + 12, vaddw_high_u16(vld1q_u32(to + 12), acc[k].high));
		}
	}
}

/*
 * Encoding
 */
VX_INLINE void
encode_signs(const float *r, const float *y, int n, uint8_t *code, float *rs,
			 float *ys)
{
	const uint32x4_t sign_bit = vdupq_n_u32(0x80000000);
	float32x4_t	acc_rs = vdupq_n_f32(0.0f);
	float32x4_t	acc_ys = acc_rs;

	for (int i = 0; i < n; i += 4)
	{
		int			count = n - i < 4 ? n - i : 4;
		float32x4_t	x = load_first(r + i, count);
		float32x4_t	z = load_first(y + i, count);
		uint32x4_t	positive = vcgezq_f32(x);
		uint32x4_t	flip = vbicq_u32(sign_bit, positive);

		code[i / 8] |= (uint8_t) ((mask_bits(positive) & ((1u << count) - 1)) << (i % 8));
		acc_rs = vaddq_f32(acc_rs, vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(x), flip)));
		acc_ys = vaddq_f32(acc_ys, vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(z), flip)));
	}
	*rs = sum_floats(acc_rs);
	*ys = sum_floats(acc_ys);
}

VX_INLINE float32x4_t
floor_floats(float32x4_t x)
{
	return vrndmq_f32(x);
}

VX_INLINE uint32_t
plane_bits(int32x4_t x, int p, int count)
{
	return mask_bits(vtstq_s32(x, vdupq_n_s32(1 << p))) & ((1u << count) - 1);
}

/* One register for four reciprocals of the step. */
VX_INLINE void
add_scores(float32x4_t *rs, float32x4_t *ss, float32x4_t x, uint32x4_t mask, float half,
		   const float *inverse)
{
#pragma GCC unroll 4
	for (int k = 0; k < 4; k++)
	{
		float32x4_t	s = clamped_floor(vmulq_n_f32(x, inverse[k]), vdupq_n_f32(-half),
									  vdupq_n_f32(half - 0.5f));

		s = masked(vaddq_f32(s, vdupq_n_f32(0.5f)), mask);
		rs[k] = vfmaq_f32(rs[k], x, s);
		ss[k] = vfmaq_f32(ss[k], s, s);
	}
}

/* Unrolled, so that gcc, too, keeps the sums in registers. */
static void
step_scores(const float *r, int n, float half, const float *inverse, float *scores)
{
	float32x4_t	rs[4];
	float32x4_t	ss[4];
	int			i = 0;

#pragma GCC unroll 4
	for (int k = 0; k < 4; k++)
		rs[k] = ss[k] = vdupq_n_f32(0.0f);
	for (; i + 4 <= n; i += 4)
		add_scores(rs, ss, vld1q_f32(r + i), vdupq_n_u32(UINT32_MAX), half, inverse);
	if (i < n)
		add_scores(rs, ss, load_tail(r + i, n - i), first_lanes(n - i), half, inverse);
#pragma GCC unroll 4
	for (int k = 0; k < 4; k++)
	{
		float		sum = sum_floats(rs[k]);

		scores[k] = sum * sum / sum_floats(ss[k]);
	}
}

#endif /* VX_ARM64 */
