/*
 * avx512.h
 *		AVX-512 F, BW, VL and DQ in the names that wide.h wants.
 */
#ifndef VX_AVX512_H
#define VX_AVX512_H

#include <immintrin.h>

#include "kernels.h"

#define LEVEL(name)		vx_##name##_avx512
#define TARGET			"avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq"
#define WIDTH			16
#define PS(name)		_mm512_##name##_ps
typedef __m512 Floats;
typedef __m512i Ints;

#include "wide.h"

/* to the end of the file that includes this */
VX_NO_CONTRACTION

VX_TARGET(TARGET)

/* Masks of the first min(count, 16), 32 or 64 lanes. */
VX_INLINE __mmask16
first_lanes(int count)
{
	return count >= 16 ? (__mmask16) 0xffff : (__mmask16) ((1u << count) - 1);
}

VX_INLINE __mmask32
first_lanes32(int count)
{
	return count >= 32 ? 0xffffffffu : (1u << count) - 1;
}

VX_INLINE __mmask64
first_lanes64(int count)
{
	return count >= 64 ? ~(__mmask64) 0 : ((__mmask64) 1 << count) - 1;
}

/* The first min(count, 16) floats. */
VX_INLINE __m512
load_first(const float *v, int count)
{
	return _mm512_maskz_loadu_ps(first_lanes(count), v);
}

/* The first "count" floats, fewer than sixteen. */
VX_INLINE __m512
load_tail(const float *v, int count)
{
	return load_first(v, count);
}

VX_INLINE __m512i
load_ints(const void *v)
{
	return _mm512_loadu_si512(v);
}

VX_INLINE __m512
load_bf16(const uint16_t *v)
{
	__m512i		x = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *) v));

	return _mm512_castsi512_ps(_mm512_slli_epi32(x, 16));
}

VX_INLINE __m512
i8_to_floats(__m128i c)
{
	return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(c));
}

/* Elements i .. i + 15 of a stored vector. */
VX_INLINE __m512
load_stored(const void *v, int i, __m512 scale, __m512 offset, int src)
{
	if (src == SRC_F32)
		return _mm512_loadu_ps((const float *) v + i);
	if (src != SRC_I8)
		return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *) ((const uint16_t *) v + i)));
	return _mm512_fmadd_ps(i8_to_floats(_mm_loadu_si128((const __m128i *) ((const int8_t *) v + i))),
						   scale, offset);
}

/* The same with zero for the elements outside the mask. */
VX_INLINE __m512
load_stored_masked(const void *v, int i, __m512 scale, __m512 offset,
				   __mmask16 mask, int src)
{
	if (src == SRC_F32)
		return _mm512_maskz_loadu_ps(mask, (const float *) v + i);
	if (src != SRC_I8)
		return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, (const uint16_t *) v + i));
	return _mm512_maskz_fmadd_ps(mask, i8_to_floats(_mm_maskz_loadu_epi8(mask, (const int8_t *) v + i)),
								 scale, offset);
}

/* Elements i .. i + 15 of the vector that goes with it; the same with a mask. */
VX_INLINE __m512
load_query(const void *q, int i, int src)
{
	return load_stored(q, i, _mm512_setzero_ps(), _mm512_setzero_ps(),
					   src == SRC_BOTH_F16 ? SRC_F16 : SRC_F32);
}

VX_INLINE __m512
load_query_masked(const void *q, int i, __mmask16 mask, int src)
{
	return load_stored_masked(q, i, _mm512_setzero_ps(), _mm512_setzero_ps(), mask,
							  src == SRC_BOTH_F16 ? SRC_F16 : SRC_F32);
}

VX_INLINE __m512
absolute(__m512 v)
{
	return _mm512_abs_ps(v);
}

VX_INLINE uint32_t
less_mask(__m512 a, __m512 b)
{
	return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}

/* Nearest integers, ties to even. */
VX_INLINE __m512i
round_to_ints(__m512 v)
{
	return _mm512_cvtps_epi32(v);
}

VX_INLINE float
sum_floats(__m512 v)
{
	return _mm512_reduce_add_ps(v);
}

VX_TARGET_END

#endif							/* VX_AVX512_H */
