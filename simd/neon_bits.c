/*
 * neon_bits.c
 *		Bit strings with NEON, which counts the bits of each byte.
 *
 * As neon.c says of tails.
 */
#include "kernels.h"

#ifdef VX_ARM64

#include "neon.h"

/* So many counts of a byte's bits, 8 at most, fit a byte. */
#define COUNTS 31

/* Bytes from i on whose counts can be added as bytes, a multiple of 16. */
VX_INLINE int
end_of_counts(int i, int n)
{
	int			left = (n - i) / 16;

	return i + 16 * (left < COUNTS ? left : COUNTS);
}

VX_INLINE uint64_t
count_eight(uint64_t x)
{
	return (uint64_t) __builtin_popcountll(x);
}

/* How many bits differ. */
VX_INLINE uint64_t
differing(const uint8_t *a, const uint8_t *b, int n)
{
	uint64_t	sum = 0;
	int			i = 0;

	while (i + 16 <= n)
	{
		uint8x16_t	counts = vdupq_n_u8(0);

		for (int end = end_of_counts(i, n); i < end; i += 16)
			counts = vaddq_u8(counts, vcntq_u8(veorq_u8(vld1q_u8(a + i), vld1q_u8(b + i))));
		sum += vaddlvq_u8(counts);
	}
	for (; i < n; i += 8)
		sum += count_eight(vx_load_bits(a + i, n - i) ^ vx_load_bits(b + i, n - i));
	return sum;
}

uint64_t
LEVEL(hamming)(const uint8_t *a, const uint8_t *b, int n)
{
	return differing(a, b, n);
}

void
LEVEL(hamming_many)(const uint8_t *a, const uint8_t *rows, int n, int count, float *out)
{
	for (int i = 0; i < count; i++)
		out[i] = (float) differing(a, rows + (size_t) i * (size_t) n, n);
}

void
LEVEL(common_bits)(const uint8_t *a, const uint8_t *b, int n, uint64_t *both, uint64_t *either)
{
	int			i = 0;

	*both = *either = 0;
	while (i + 16 <= n)
	{
		uint8x16_t	ands = vdupq_n_u8(0);
		uint8x16_t	ors = ands;

		for (int end = end_of_counts(i, n); i < end; i += 16)
		{
			uint8x16_t	x = vld1q_u8(a + i);
			uint8x16_t	y = vld1q_u8(b + i);

			ands = vaddq_u8(ands, vcntq_u8(vandq_u8(x, y)));
			ors = vaddq_u8(ors, vcntq_u8(vorrq_u8(x, y)));
		}
		*both += vaddlvq_u8(ands);
		*either += vaddlvq_u8(ors);
	}
	for (; i < n; i += 8)
	{
		uint64_t	x = vx_load_bits(a + i, n - i);
		uint64_t	y = vx_load_bits(b + i, n - i);

		*both += count_eight(x & y);
		*either += count_eight(x | y);
	}
}

#endif /* VX_ARM64 */
