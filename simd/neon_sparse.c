/*
 * neon_sparse.c
 *		Sparse vectors and ascending lists with NEON.  There are no gathers: elements
 *		of the table are loaded one by one.
 *
 * As neon.c says of tails.
 */
#include "kernels.h"

#ifdef VX_ARM64

#include "neon.h"

/* Which of four numbers are among four others: all 16 pairs, by rotation. */
VX_INLINE uint32x4_t
among(int32x4_t a, int32x4_t b)
{
	uint32x4_t	x = vorrq_u32(vceqq_s32(a, b), vceqq_s32(a, vextq_s32(b, b, 1)));
	uint32x4_t	y = vorrq_u32(vceqq_s32(a, vextq_s32(b, b, 2)), vceqq_s32(a, vextq_s32(b, b, 3)));

	return vorrq_u32(x, y);
}

int
LEVEL(intersect)(const int32_t *a, int m, const int32_t *b, int n,
				 uint16_t *at_a, uint16_t *at_b, int most)
{
	int			found = 0;
	int			i = 0;
	int			j = 0;

	while (i + 8 <= m && j + 8 <= n)
	{
		int32x4_t	x0 = vld1q_s32(a + i);
		int32x4_t	x1 = vld1q_s32(a + i + 4);
		int32x4_t	y0 = vld1q_s32(b + j);
		int32x4_t	y1 = vld1q_s32(b + j + 4);
		uint64_t	equal = mask_of_eight(vorrq_u32(among(x0, y0), among(x0, y1)),
										  vorrq_u32(among(x1, y0), among(x1, y1)));
		int32_t		last_a = a[i + 7];
		int32_t		last_b = b[j + 7];

		for (; equal != 0 && found < most; equal &= equal - 1)
		{
			int			lane = __builtin_ctzll(equal) / 8;
			int32x4_t	one = vdupq_n_s32(a[i + lane]);
			uint64_t	same = mask_of_eight(vceqq_s32(one, y0), vceqq_s32(one, y1));

			at_a[found] = (uint16_t) (i + lane);
			at_b[found++] = (uint16_t) (j + __builtin_ctzll(same) / 8);
		}
		i += last_a <= last_b ? 8 : 0;
		j += last_b <= last_a ? 8 : 0;
	}
	return vx_intersect_rest(a, i, m, b, j, n, at_a, at_b, found, most);
}

/* The elements of the table at the places of four words. */
VX_INLINE float32x4_t
at_places(const float *table, const uint32_t *words)
{
	float32x4_t	x = vdupq_n_f32(table[words[0] >> 16]);

	x = vld1q_lane_f32(table + (words[1] >> 16), x, 1);
	x = vld1q_lane_f32(table + (words[2] >> 16), x, 2);
	return vld1q_lane_f32(table + (words[3] >> 16), x, 3);
}

/* The elements in four words. */
VX_INLINE float32x4_t
elements_of(const uint32_t *words)
{
	return halves_to_floats(vmovn_u32(vld1q_u32(words)));
}

float
LEVEL(sparse_dot)(const float *table, const uint32_t *words, int n)
{
	float32x4_t	sum0 = vdupq_n_f32(0.0f);
	float32x4_t	sum1 = sum0;

	for (int i = 0; i < n; i += 8)
	{
		sum0 = vfmaq_f32(sum0, at_places(table, words + i), elements_of(words + i));
		sum1 = vfmaq_f32(sum1, at_places(table, words + i + 4), elements_of(words + i + 4));
	}
	return sum_floats(vaddq_f32(sum0, sum1));
}

float
LEVEL(sparse_l1)(const float *table, const uint32_t *words, float scale, int n)
{
	float32x4_t	sum = vdupq_n_f32(0.0f);

	for (int i = 0; i < n; i += 4)
	{
		float32x4_t	t = at_places(table, words + i);
		float32x4_t	apart = absolute(vfmsq_n_f32(t, elements_of(words + i), scale));

		sum = vaddq_f32(sum, vsubq_f32(apart, absolute(t)));
	}
	return sum_floats(sum);
}

#endif /* VX_ARM64 */
