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

/* Eight bytes at a time are as quick up to here, for there is no sum of lanes at the end. */
#define SHORT	160

/* How many of 64 bits differ. */
VX_INLINE uint64_t
count_eight(const uint8_t *a, const uint8_t *b)
{
	uint64_t	x;
	uint64_t	y;

	memcpy(&x, a, 8);
	memcpy(&y, b, 8);
	return (uint64_t) __builtin_popcountll(x ^ y);
}

/* How many bits differ. */
VX_INLINE uint64_t
differing(const uint8_t *a, const uint8_t *b, int n)
{
	__m256i		sums = _mm256_setzero_si256();
	uint64_t	rest = 0;
	uint64_t	more = 0;
	int			i = 0;

	if (n >= SHORT)
	{
		for (; i + 32 <= n; i += 32)
			sums = add_bits(sums, _mm256_xor_si256(load_ints(a + i), load_ints(b + i)));
		rest = sum_quads(sums);
	}
	for (; i + 16 <= n; i += 16)
	{
		rest += count_eight(a + i, b + i);
		more += count_eight(a + i + 8, b + i + 8);
	}
	if (i + 8 <= n)
	{
		rest += count_eight(a + i, b + i);
		i += 8;
	}
	if (i + 4 <= n)
	{
		uint32_t	x;
		uint32_t	y;

		memcpy(&x, a + i, 4);
		memcpy(&y, b + i, 4);
		more += (uint64_t) __builtin_popcount(x ^ y);
		i += 4;
	}
	if (i < n)
		rest += vx_count_bits(vx_load_bits(a + i, n - i) ^ vx_load_bits(b + i, n - i));
	return rest + more;
}

uint64_t
LEVEL(hamming) (const uint8_t *a, const uint8_t *b, int n)
{
	return differing(a, b, n);
}

void
LEVEL(hamming_many) (const uint8_t *a, const uint8_t *rows, int n, int count, float *out)
{
	for (int i = 0; i < count; i++)
		out[i] = (float) differing(a, rows + (size_t) i * (size_t) n, n);
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
