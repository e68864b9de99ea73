/*
 * avx2_bits.c
 *		Bit strings with AVX2: bits counted by a table of nibbles in a register.
 *
 * As avx2.c says of instruction set and tails.
 */
#include "kernels.h"

#ifdef VX_X86

#include "avx2.h"

VX_TARGET(TARGET)

/* The bits of 32 bytes, added to four sums. */
VX_INLINE __m256i
add_bits(__m256i sums, __m256i x)
{
	const __m256i counts = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
											0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
	const __m256i nibble = _mm256_set1_epi8(15);
	__m256i		low = _mm256_shuffle_epi8(counts, _mm256_and_si256(x, nibble));
	__m256i		high = _mm256_shuffle_epi8(counts, _mm256_and_si256(_mm256_srli_epi16(x, 4), nibble));

	return _mm256_add_epi64(sums, _mm256_sad_epu8(_mm256_add_epi8(low, high), _mm256_setzero_si256()));
}

VX_INLINE uint64_t
sum_quads(__m256i v)
{
	__m128i		x = _mm_add_epi64(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
	uint64_t	halves[2];

	_mm_storeu_si128((__m128i *) halves, x);
	return halves[0] + halves[1];
}

uint64_t
LEVEL(hamming) (const uint8_t *a, const uint8_t *b, int n)
{
	__m256i		sums = _mm256_setzero_si256();
	uint64_t	rest = 0;
	int			i = 0;

	for (; i + 32 <= n; i += 32)
		sums = add_bits(sums, _mm256_xor_si256(load_ints(a + i), load_ints(b + i)));
	for (; i < n; i += 8)
		rest += vx_count_bits(vx_load_bits(a + i, n - i) ^ vx_load_bits(b + i, n - i));
	return sum_quads(sums) + rest;
}

void
LEVEL(common_bits) (const uint8_t *a, const uint8_t *b, int n, uint64_t *both, uint64_t *either)
{
	__m256i		ands = _mm256_setzero_si256();
	__m256i		ors = _mm256_setzero_si256();
	int			i = 0;

	for (; i + 32 <= n; i += 32)
	{
		__m256i		x = load_ints(a + i);
		__m256i		y = load_ints(b + i);

		ands = add_bits(ands, _mm256_and_si256(x, y));
		ors = add_bits(ors, _mm256_or_si256(x, y));
	}
	*both = sum_quads(ands);
	*either = sum_quads(ors);
	for (; i < n; i += 8)
	{
		uint64_t	x = vx_load_bits(a + i, n - i);
		uint64_t	y = vx_load_bits(b + i, n - i);

		*both += vx_count_bits(x & y);
		*either += vx_count_bits(x | y);
	}
}

VX_TARGET_END

#endif							/* VX_X86 */
