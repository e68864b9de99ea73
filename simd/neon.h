/*
 * neon.h
 *		NEON (Advanced SIMD), which every 64-bit ARM processor has, in the names
 *		that wide.h wants.
 */
#ifndef VX_NEON_H
#define VX_NEON_H

#include <arm_neon.h>

#include "kernels.h"

#define LEVEL(name)		vx_##name##_neon
#define WIDTH			4
#define PS(name)		name##_ps
typedef float32x4_t Floats;
typedef int32x4_t Ints;

#include "wide.h"

/* to the end of the file that includes this */
VX_NO_CONTRACTION

VX_INLINE float32x4_t
PS(setzero)(void)
{
	return vdupq_n_f32(0.0f);
}

VX_INLINE float32x4_t
PS(set1)(float x)
{
	return vdupq_n_f32(x);
}

VX_INLINE float32x4_t
PS(loadu)(const float *v)
{
	return vld1q_f32(v);
}

VX_INLINE void
PS(storeu)(float *v, float32x4_t x)
{
	vst1q_f32(v, x);
}

VX_INLINE float32x4_t
PS(add)(float32x4_t a, float32x4_t b)
{
	return vaddq_f32(a, b);
}

VX_INLINE float32x4_t
PS(sub)(float32x4_t a, float32x4_t b)
{
	return vsubq_f32(a, b);
}

VX_INLINE float32x4_t
PS(mul)(float32x4_t a, float32x4_t b)
{
	return vmulq_f32(a, b);
}

/* a * b + c, fused */
VX_INLINE float32x4_t
PS(fmadd)(float32x4_t a, float32x4_t b, float32x4_t c)
{
	return vfmaq_f32(c, a, b);
}

/* Of a number and a NaN the number. */
VX_INLINE float32x4_t
PS(min)(float32x4_t a, float32x4_t b)
{
	return vminnmq_f32(a, b);
}

VX_INLINE float32x4_t
PS(max)(float32x4_t a, float32x4_t b)
{
	return vmaxnmq_f32(a, b);
}

VX_INLINE float32x4_t
PS(cvtepi32)(int32x4_t v)
{
	return vcvtq_f32_s32(v);
}

/* The two orders that are asked for: 1 0 3 2 (0xB1) and 2 3 0 1 (0x4E). */
VX_INLINE float32x4_t
PS(permute)(float32x4_t v, int order)
{
	return order == 0xB1 ? vrev64q_f32(v) : vextq_f32(v, v, 2);
}

/* Mask of the last "rem" of four lanes (at rem), of the first (at 8 - rem). */
static const uint32_t lane_masks[12] = {
	0, 0, 0, 0, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, 0, 0, 0, 0
};

VX_INLINE uint32x4_t
last_lanes(int rem)
{
	return vld1q_u32(lane_masks + rem);
}

VX_INLINE uint32x4_t
first_lanes(int rem)
{
	return vld1q_u32(lane_masks + 8 - rem);
}

VX_INLINE float32x4_t
masked(float32x4_t v, uint32x4_t mask)
{
	return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(v), mask));
}

/* The first "count" floats, fewer than four. */
VX_INLINE float32x4_t
load_tail(const float *v, int count)
{
	float32x4_t	x = vdupq_n_f32(0.0f);

	if (count >= 2)
		x = vcombine_f32(vld1_f32(v), vdup_n_f32(0.0f));
	if (count == 3)
		x = vld1q_lane_f32(v + 2, x, 2);
	if (count == 1)
		x = vld1q_lane_f32(v, x, 0);
	return x;
}

/* The first min(count, 4). */
VX_INLINE float32x4_t
load_first(const float *v, int count)
{
	return count >= 4 ? vld1q_f32(v) : load_tail(v, count);
}

VX_INLINE int32x4_t
load_ints(const void *v)
{
	return vld1q_s32(v);
}

VX_INLINE float32x4_t
load_bf16(const uint16_t *v)
{
	return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(v), 16));
}

VX_INLINE float32x4_t
halves_to_floats(uint16x4_t v)
{
	return vcvt_f32_f16(vreinterpret_f16_u16(v));
}

VX_INLINE float32x4_t
load_i8(const int8_t *c)
{
	int32_t		four;

	memcpy(&four, c, 4);
	return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four))))));
}

/* Elements i .. i + 3 of a stored vector. */
VX_INLINE float32x4_t
load_stored(const void *v, int i, float32x4_t scale, float32x4_t offset, int src)
{
	if (src == SRC_F32)
		return vld1q_f32((const float *) v + i);
	if (src != SRC_I8)
		return halves_to_floats(vld1_u16((const uint16_t *) v + i));
	return vfmaq_f32(offset, load_i8((const int8_t *) v + i), scale);
}

/* Elements i .. i + 3 of the vector that goes with it. */
VX_INLINE float32x4_t
load_query(const void *q, int i, int src)
{
	return load_stored(q, i, vdupq_n_f32(0.0f), vdupq_n_f32(0.0f),
					   src == SRC_BOTH_F16 ? SRC_F16 : SRC_F32);
}

VX_INLINE float32x4_t
absolute(float32x4_t v)
{
	return vabsq_f32(v);
}

/* Bit i is set where lane i of a mask is. */
VX_INLINE uint32_t
mask_bits(uint32x4_t mask)
{
	const uint32x4_t bits = {1, 2, 4, 8};

	return vaddvq_u32(vandq_u32(mask, bits));
}

/* Bit 8i is set where lane i of eight is. */
VX_INLINE uint64_t
mask_of_eight(uint32x4_t low, uint32x4_t high)
{
	uint8x8_t	bytes = vmovn_u16(vcombine_u16(vmovn_u32(low), vmovn_u32(high)));

	return vget_lane_u64(vreinterpret_u64_u8(bytes), 0) & UINT64_C(0x0101010101010101);
}

VX_INLINE uint32_t
less_mask(float32x4_t a, float32x4_t b)
{
	return mask_bits(vcltq_f32(a, b));
}

/* Nearest integers, ties to even. */
VX_INLINE int32x4_t
round_to_ints(float32x4_t v)
{
	return vcvtnq_s32_f32(v);
}

VX_INLINE float
sum_floats(float32x4_t v)
{
	return vaddvq_f32(v);
}

#endif /* VX_NEON_H */
