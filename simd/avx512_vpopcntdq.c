/*
 * avx512_vpopcntdq.c
 *		Bit strings with AVX-512 VPOPCNTDQ, which counts the bits of eight words
 *		at once.
 *
 * dispatch.c puts them into the table where the processor has it.  As
 * avx512.c says of instruction set and tails.
 */
#include "kernels.h"

#ifdef VX_X86

#include "avx512.h"

VX_TARGET(TARGET ",avx512vpopcntdq")

VX_INLINE __m512i
add_bits(__m512i sums, __m512i x)
{
	return _mm512_add_epi64(sums, _mm512_popcnt_epi64(x));
}

uint64_t
vx_hamming_vpopcntdq(const uint8_t *a, const uint8_t *b, int n)
{
	__m512i		sums = _mm512_setzero_si512();
	int			i = 0;

	for (; i + 64 <= n; i += 64)
		sums = add_bits(sums, _mm512_xor_si512(load_ints(a + i), load_ints(b + i)));
	if (i < n)
	{
		__mmask64	mask = first_lanes64(n - i);

		sums = add_bits(sums, _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, a + i),
											   _mm512_maskz_loadu_epi8(mask, b + i)));
	}
	return (uint64_t) _mm512_reduce_add_epi64(sums);
}

void
vx_common_bits_vpopcntdq(const uint8_t *a, const uint8_t *b, int n, uint64_t *both, uint64_t *either)
{
	__m512i		ands = _mm512_setzero_si512();
	__m512i		ors = _mm512_setzero_si512();

	for (int i = 0; i < n; i += 64)
	{
		__mmask64	mask = first_lanes64(n - i);
		__m512i		x = _mm512_maskz_loadu_epi8(mask, a + i);
		__m512i		y = _mm512_maskz_loadu_epi8(mask, b + i);

		ands = add_bits(ands, _mm512_and_si512(x, y));
		ors = add_bits(ors, _mm512_or_si512(x, y));
	}
	*both = (uint64_t) _mm512_reduce_add_epi64(ands);
	*either = (uint64_t) _mm512_reduce_add_epi64(ors);
}

VX_TARGET_END

#endif							/* VX_X86 */
