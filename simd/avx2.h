/*
 * avx2.h
 *		AVX2, FMA, F16C and POPCNT in the names that wide.h wants.
 */
#ifndef VX_AVX2_H
#define VX_AVX2_H

#include <immintrin.h>

#include "kernels.h"

#define LEVEL(name)		vx_##name##_avx2
#define TARGET			"avx2,fma,f16c,popcnt"
#define WIDTH			8
#define PS(name)		_mm256_##name##_ps
typedef __m256 Floats;
typedef __m256i Ints;

#include "wide.h"

/* to the end of the file that includes this */
VX_NO_CONTRACTION

VX_TARGET(TARGET)

/* Mask of the last "rem" of eight lanes (at rem), of the first (at 16 - rem). */
static const int32_t lane_masks[24] = {
	0, 0, 0, 0, 0, 0, 0, 0,
	-1, -1, -1, -1, -1, -1, -1, -1,
	0, 0, 0, 0, 0, 0, 0, 0
};

VX_INLINE __m256i
last_lanes(int rem)
{
	return _mm256_loadu_si256((const __m256i *) (lane_masks + rem));
}

VX_INLINE __m256i
first_lanes(int rem)
{
	return _mm256_loadu_si256((const __m256i *) (lane_masks + 16 - rem));
}

/* The first "count" floats, fewer than eight. */
VX_INLINE __m256
load_tail(const float *v, int count)
{
	return _mm256_maskload_ps(v, first_lanes(count));
}

/* The first min(count, 8). */
VX_INLINE __m256
load_first(const float *v, int count)
{
	int			lanes = count < 8 ? count : 8;

	return load_tail(v, lanes);
}

VX_INLINE __m256i
load_ints(const void *v)
{
	return _mm256_loadu_si256((const __m256i *) v);
}

VX_INLINE __m256
load_bf16(const uint16_t *v)
{
	__m256i		x = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *) v));

	return _mm256_castsi256_ps(_mm256_slli_epi32(x, 16));
}

VX_INLINE __m256
load_i8(const int8_t *c)
{
	return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *) c)));
}

/* Elements i .. i + 7 of a stored vector. */
VX_INLINE __m256
load_stored(const void *v, int i, __m256 scale, __m256 offset, int src)
{
	if (src == SRC_F32)
		return _mm256_loadu_ps((const float *) v + i);
	if (src != SRC_I8)
		return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) ((const uint16_t *) v + i)));
	return _mm256_fmadd_ps(load_i8((const int8_t *) v + i), scale, offset);
}

/* Elements i .. i + 7 of the vector that goes with it. */
VX_INLINE __m256
load_query(const void *q, int i, int src)
{
	return load_stored(q, i, _mm256_setzero_ps(), _mm256_setzero_ps(),
					   src == SRC_BOTH_F16 ? SRC_F16 : SRC_F32);
}

VX_INLINE __m256
absolute(__m256 v)
{
	return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v);
}

VX_INLINE uint32_t
less_mask(__m256 a, __m256 b)
{
	return (uint32_t) _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_LT_OQ));
}

/* Nearest integers, ties to even. */
VX_INLINE __m256i
round_to_ints(__m256 v)
{
	return _mm256_cvtps_epi32(v);
}

VX_INLINE float
sum_floats(__m256 v)
{
	__m128		x = _mm_add_ps(_mm256_castps256_ps128(v),
							   _mm256_extractf128_ps(v, 1));

	x = _mm_add_ps(x, _mm_movehl_ps(x, x));
	x = _mm_add_ss(x, _mm_movehdup_ps(x));
	return _mm_cvtss_f32(x);
}

VX_INLINE int32_t
sum_ints(__m256i v)
{
	__m128i		x = _mm_add_epi32(_mm256_castsi256_si128(v),
								  _mm256_extracti128_si256(v, 1));

	x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0x4E));
	x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0xB1));
	return _mm_cvtsi128_si32(x);
}

VX_TARGET_END

#endif							/* VX_AVX2_H */
