/*
 * avx2_intersect.c
 *		Where two ascending lists have the same numbers, with AVX2.
 *
 * As avx2.c says of instruction set and tails.
 */
#include "kernels.h"

#ifdef VX_X86

#include "avx2.h"

VX_TARGET(TARGET)

/* Which of eight numbers are among eight others: all 64 pairs, by rotation. */
VX_INLINE uint32_t
among(__m256i a, __m256i b)
{
	__m256i		c = _mm256_permute2x128_si256(b, b, 1);
	__m256i		equal = _mm256_or_si256(_mm256_cmpeq_epi32(a, b), _mm256_cmpeq_epi32(a, c));

	equal = _mm256_or_si256(equal, _mm256_cmpeq_epi32(a, _mm256_shuffle_epi32(b, 0x39)));
	equal = _mm256_or_si256(equal, _mm256_cmpeq_epi32(a, _mm256_shuffle_epi32(c, 0x39)));
	equal = _mm256_or_si256(equal, _mm256_cmpeq_epi32(a, _mm256_shuffle_epi32(b, 0x4E)));
	equal = _mm256_or_si256(equal, _mm256_cmpeq_epi32(a, _mm256_shuffle_epi32(c, 0x4E)));
	equal = _mm256_or_si256(equal, _mm256_cmpeq_epi32(a, _mm256_shuffle_epi32(b, 0x93)));
	equal = _mm256_or_si256(equal, _mm256_cmpeq_epi32(a, _mm256_shuffle_epi32(c, 0x93)));
	return (uint32_t) _mm256_movemask_ps(_mm256_castsi256_ps(equal));
}

int
LEVEL(intersect) (const int32_t *a, int m, const int32_t *b, int n,
				  uint16_t *at_a, uint16_t *at_b, int most)
{
	int			found = 0;
	int			i = 0;
	int			j = 0;

	while (i + 8 <= m && j + 8 <= n)
	{
		__m256i		y = load_ints(b + j);
		uint32_t	equal = among(load_ints(a + i), y);
		int32_t		last_a = a[i + 7];
		int32_t		last_b = b[j + 7];

		for (; equal != 0 && found < most; equal &= equal - 1)
		{
			int			lane = __builtin_ctz(equal);
			__m256i		same = _mm256_cmpeq_epi32(_mm256_set1_epi32(a[i + lane]), y);

			at_a[found] = (uint16_t) (i + lane);
			at_b[found++] = (uint16_t) (j + __builtin_ctz((uint32_t) _mm256_movemask_ps(_mm256_castsi256_ps(same))));
		}
		i += last_a <= last_b ? 8 : 0;
		j += last_b <= last_a ? 8 : 0;
	}
	return vx_intersect_rest(a, i, m, b, j, n, at_a, at_b, found, most);
}

VX_TARGET_END

#endif							/* VX_X86 */
