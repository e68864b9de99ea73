/*
 * avx2_sparse.c
 *		Sparse vectors with a vector in a table, by AVX2's gathers.
 *
 * As avx2.c says of instruction set.
 */
#include "kernels.h"

#ifdef VX_X86

#include "avx2.h"

VX_TARGET(TARGET)

/* The elements of the table at the places of eight words. */
VX_INLINE __m256
at_places(const float *table, __m256i words)
{
	return _mm256_i32gather_ps(table, _mm256_srli_epi32(words, 16), 4);
}

/* The elements in eight words. */
VX_INLINE __m256
elements_of(__m256i words)
{
	__m256i		halves = _mm256_and_si256(words, _mm256_set1_epi32(0xFFFF));
	__m256i		packed = _mm256_packus_epi32(halves, halves);

	/* 0..3 are in the lower lane, 4..7 in the upper */
	return _mm256_cvtph_ps(_mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08)));
}

float
LEVEL(sparse_dot) (const float *table, const uint32_t *words, int n)
{
	__m256		sums[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
	int			i = 0;

	for (; i + 16 <= n; i += 16)
	{
		__m256i		x = load_ints(words + i);
		__m256i		y = load_ints(words + i + 8);

		sums[0] = _mm256_fmadd_ps(at_places(table, x), elements_of(x), sums[0]);
		sums[1] = _mm256_fmadd_ps(at_places(table, y), elements_of(y), sums[1]);
	}
	for (; i < n; i += 8)
	{
		__m256i		x = load_ints(words + i);

		sums[0] = _mm256_fmadd_ps(at_places(table, x), elements_of(x), sums[0]);
	}
	return sum_floats(_mm256_add_ps(sums[0], sums[1]));
}

float
LEVEL(sparse_l1) (const float *table, const uint32_t *words, float scale, int n)
{
	__m256		sum = _mm256_setzero_ps();
	__m256		factor = _mm256_set1_ps(scale);

	for (int i = 0; i < n; i += 8)
	{
		__m256i		x = load_ints(words + i);
		__m256		t = at_places(table, x);
		__m256		apart = absolute(_mm256_fnmadd_ps(factor, elements_of(x), t));

		sum = _mm256_add_ps(sum, _mm256_sub_ps(apart, absolute(t)));
	}
	return sum_floats(sum);
}

VX_TARGET_END

#endif							/* VX_X86 */
