/*
 * neon.c
 *		Kernels for 64-bit ARM: all but those of codes (neon_code.c), bit strings
 *		(neon_bits.c) and sparse vectors (neon_sparse.c), and the table of all.
 *
 * NEON is part of the baseline, so that nothing has to be asked of the
 * processor.  Tails are the last four elements once more, those already counted
 * masked out; what is shorter than four goes to plain C, or through a load of
 * its few elements.  Must never read past the end of an input, and never fuse in
 * rotate(), quantize_i8() and dequantize_i8().
 */
#include "kernels.h"

#ifdef VX_ARM64

#include "neon.h"

#define SHORT 4

#include "wide_distance.h"
#include "wide_rotate.h"

/* fp32 in one load, the others in plain C. */
VX_INLINE float
distance_short(const void *q, const void *v, float scale, float offset, int n,
			   int op, int src)
{
	if (src == SRC_F32)
		return sum_floats(accumulate(vdupq_n_f32(0.0f), load_tail(q, n), load_tail(v, n), op));
	if (src == SRC_I8)
		return vx_kernels_generic.l1_i8(q, v, scale, offset, n);
	if (src == SRC_BOTH_F16)
		return op == OP_L2SQ ? vx_kernels_generic.f16_l2sq(q, v, n) : op == OP_DOT ? vx_kernels_generic.f16_dot(q, v, n)
																				   : vx_kernels_generic.f16_l1(q, v, n);
	if (op == OP_DOT)
		return vx_kernels_generic.dot_f16(q, v, n);
	return vx_kernels_generic.l1_f16(q, v, n);
}

VX_INLINE float32x4_t
load_query_first(const void *v, int i, int n, int src)
{
	uint16_t	last[4] = {0};

	if (src == SRC_F32)
		return load_first((const float *) v + i, n - i);
	if (i + 4 <= n)
		return load_query(v, i, src);
	memcpy(last, (const uint16_t *) v + i, (size_t) (n - i) * sizeof(uint16_t));
	return load_query(last, 0, src);
}

/* The last four elements, those before i as zero. */
VX_INLINE float32x4_t
add_tail(float32x4_t acc, const void *q, const void *v, int i, int n, float32x4_t scale,
		 float32x4_t offset, int op, int src)
{
	uint32x4_t	mask = last_lanes(n - i);

	return accumulate(acc, masked(load_query(q, n - 4, src), mask),
					  masked(load_stored(v, n - 4, scale, offset, src), mask), op);
}

/*
 * Integer dot products
 */
static int32_t
dot_i16_i8(const int16_t *q, const int8_t *c, int n)
{
	int32x4_t	acc0 = vdupq_n_s32(0);
	int32x4_t	acc1 = acc0;
	int32x4_t	acc2 = acc0;
	int32x4_t	acc3 = acc0;
	int32_t		sum = 0;
	int			i = 0;

	for (; i + 16 <= n; i += 16)
	{
		int8x16_t	bytes = vld1q_s8(c + i);
		int16x8_t	low = vmovl_s8(vget_low_s8(bytes));
		int16x8_t	high = vmovl_high_s8(bytes);
		int16x8_t	x = vld1q_s16(q + i);
		int16x8_t	y = vld1q_s16(q + i + 8);

		acc0 = vmlal_s16(acc0, vget_low_s16(x), vget_low_s16(low));
		acc1 = vmlal_high_s16(acc1, x, low);
		acc2 = vmlal_s16(acc2, vget_low_s16(y), vget_low_s16(high));
		acc3 = vmlal_high_s16(acc3, y, high);
	}
	for (; i < n; i++)
		sum += q[i] * c[i];
	return sum + vaddvq_s32(vaddq_s32(vaddq_s32(acc0, acc1), vaddq_s32(acc2, acc3)));
}

/* Added in pairs at once: two products of -128 by itself are more than 16 bits hold. */
static int32_t
dot_i8_i8(const int8_t *a, const int8_t *b, int n)
{
	int32x4_t	acc0 = vdupq_n_s32(0);
	int32x4_t	acc1 = acc0;
	int32_t		sum = 0;
	int			i = 0;

	for (; i + 16 <= n; i += 16)
	{
		int8x16_t	x = vld1q_s8(a + i);
		int8x16_t	y = vld1q_s8(b + i);

		acc0 = vpadalq_s16(acc0, vmull_s8(vget_low_s8(x), vget_low_s8(y)));
		acc1 = vpadalq_s16(acc1, vmull_high_s8(x, y));
	}
	for (; i < n; i++)
		sum += a[i] * b[i];
	return sum + vaddvq_s32(vaddq_s32(acc0, acc1));
}

/*
 * Dimensions from i on, eight or the "left" ones, of one row by those of one
 * panel.  Register k holds two sums, of even and odd pairs of dimensions, for each
 * of columns 2k and 2k + 1.  Codes are -127..127, so that two products are within
 * 16 bits.
 */
VX_INLINE void
add_eight(int32x4_t *acc, const int8_t *row, int i, int left, const int8_t *panel)
{
	const int8_t *first = panel + (size_t) i * VX_PANEL;
	int			two = left > 4;
	const int8_t *second = two ? first + 4 * VX_PANEL : first;
	int8x8_t	x = vreinterpret_s8_s32(vdup_n_s32(vx_row_word(row + i, 0, left)));
	int8x8_t	y = vreinterpret_s8_s32(vdup_n_s32(two ? vx_row_word(row + i, 4, left) : 0));

#pragma GCC unroll 8
	for (int k = 0; k < VX_PANEL / 2; k++)
		acc[k] = vpadalq_s16(acc[k], vmlal_s8(vmull_s8(vld1_s8(first + 8 * k), x),
											  vld1_s8(second + 8 * k), y));
}

VX_INLINE void
panel_row(const int8_t *row, int n, const int8_t *panel, int32_t *out)
{
	int32x4_t	acc[VX_PANEL / 2];
	int			i = 0;

#pragma GCC unroll 8
	for (int k = 0; k < VX_PANEL / 2; k++)
		acc[k] = vdupq_n_s32(0);
	for (; i + 8 <= n; i += 8)
		add_eight(acc, row, i, 8, panel);
	if (i < n)
		add_eight(acc, row, i, n - i, panel);
#pragma GCC unroll 4
	for (int k = 0; k < VX_PANEL / 4; k++)
		vst1q_s32(out + 4 * k, vpaddq_s32(acc[2 * k], acc[2 * k + 1]));
}

static void
dot_i8_panels(const int8_t *const *rows, int nrows, int n, const int8_t *panels,
			  int npanels, int32_t *out, size_t stride)
{
	for (int p = 0; p < npanels; p++)
		for (int r = 0; r < nrows; r++)
			panel_row(rows[r], n, panels + (size_t) p * VX_PANEL_BYTES(n),
					  out + (size_t) r * stride + (size_t) p * VX_PANEL);
}

static void
panel_distances(const int32_t *dot, int n, const float *norm, const float *scale,
				const float *offset, const float *sum, float base, float p,
				float q, float r, float *out)
{
	const float32x4_t vbase = vdupq_n_f32(base);
	int			i = 0;

	for (; i + 4 <= n; i += 4)
	{
		float32x4_t	d = vmulq_n_f32(vcvtq_f32_s32(vld1q_s32(dot + i)), p);
		float32x4_t	x = vmulq_f32(d, vld1q_f32(scale + i));

		x = vfmaq_n_f32(x, vld1q_f32(offset + i), q);
		x = vfmaq_n_f32(x, vld1q_f32(sum + i), r);
		vst1q_f32(out + i, vsubq_f32(vaddq_f32(vbase, vld1q_f32(norm + i)), x));
	}
	if (i < n)
		vx_kernels_generic.panel_distances(dot + i, n - i, norm + i, scale + i, offset + i,
										   sum + i, base, p, q, r, out + i);
}

static int
below(const float *v, int n, float bound, uint16_t *at)
{
	const float32x4_t vbound = vdupq_n_f32(bound);
	int			found = 0;
	int			i = 0;

	for (; i + 8 <= n; i += 8)
	{
		uint64_t	mask = mask_of_eight(vcltq_f32(vld1q_f32(v + i), vbound),
										 vcltq_f32(vld1q_f32(v + i + 4), vbound));

		for (; mask != 0; mask &= mask - 1)
			at[found++] = (uint16_t) (i + __builtin_ctzll(mask) / 8);
	}
	for (; i < n; i++)
		if (v[i] < bound)
			at[found++] = (uint16_t) i;
	return found;
}

static float
subtract(const float *a, const float *b, int n, float *r)
{
	float32x4_t	sum0 = vdupq_n_f32(0.0f);
	float32x4_t	sum1 = sum0;
	int			i = 0;

	for (; i + 8 <= n; i += 8)
	{
		float32x4_t	x = vsubq_f32(vld1q_f32(a + i), vld1q_f32(b + i));
		float32x4_t	y = vsubq_f32(vld1q_f32(a + i + 4), vld1q_f32(b + i + 4));

		vst1q_f32(r + i, x);
		vst1q_f32(r + i + 4, y);
		sum0 = vfmaq_f32(sum0, x, x);
		sum1 = vfmaq_f32(sum1, y, y);
	}
	return sum_floats(vaddq_f32(sum0, sum1)) + vx_kernels_generic.subtract(a + i, b + i, n - i, r + i);
}

/*
 * Conversions and scalar quantisation.  Where n is no multiple of four, the last
 * four elements are done once more.
 */
VX_INLINE int
clip_start(int i, int n)
{
	return i + 4 <= n ? i : n - 4;
}

static void
f32_to_f16(const float *v, uint16_t *out, int n)
{
	if (n < 4)
	{
		vx_kernels_generic.f32_to_f16(v, out, n);
		return;
	}
	for (int i = 0; i < n; i += 4)
	{
		int			k = clip_start(i, n);

		vst1_u16(out + k, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(v + k))));
	}
}

static void
f16_to_f32(const uint16_t *v, float *out, int n)
{
	if (n < 4)
	{
		vx_kernels_generic.f16_to_f32(v, out, n);
		return;
	}
	for (int i = 0; i < n; i += 4)
	{
		int			k = clip_start(i, n);

		vst1q_f32(out + k, halves_to_floats(vld1_u16(v + k)));
	}
}

static void
quantize_i8(const float *v, int n, int8_t *c, float *scale, float *offset,
			int32_t *sum)
{
	const float32x4_t limit = vdupq_n_f32(127.0f);
	const float32x4_t low_limit = vdupq_n_f32(-127.0f);
	float32x4_t	min;
	float32x4_t	max;
	float32x4_t	inverse;
	float32x4_t	middle;
	int32x4_t	total = vdupq_n_s32(0);

	if (n < 4)
	{
		vx_kernels_generic.quantize_i8(v, n, c, scale, offset, sum);
		return;
	}
	min = max = vld1q_f32(v);
	for (int i = 4; i < n; i += 4)
	{
		float32x4_t	x = vld1q_f32(v + clip_start(i, n));

		min = PS(min)(min, x);
		max = PS(max)(max, x);
	}
	vx_i8_scale(vminnmvq_f32(min), vmaxnmvq_f32(max), scale, offset);

	inverse = vdupq_n_f32(*scale > 0.0f ? 1.0f / *scale : 0.0f);
	middle = vdupq_n_f32(*offset);
	for (int i = 0; i < n; i += 4)
	{
		int			k = clip_start(i, n);
		float32x4_t	x = vmulq_f32(vsubq_f32(vld1q_f32(v + k), middle), inverse);
		int32x4_t	code = round_to_ints(PS(max)(PS(min)(x, limit), low_limit));
		int16x4_t	words = vmovn_s32(code);
		int32_t		bytes = vget_lane_s32(vreinterpret_s32_s8(vmovn_s16(vcombine_s16(words, words))), 0);

		memcpy(c + k, &bytes, 4);
		if (k != i)
			code = vandq_s32(code, vreinterpretq_s32_u32(last_lanes(n - i)));
		total = vaddq_s32(total, code);
	}
	*sum = vaddvq_s32(total);
}

/* Not fused, so that all levels give the same floats. */
static void
dequantize_i8(const int8_t *c, float scale, float offset, int n, float *out)
{
	float32x4_t	vscale = vdupq_n_f32(scale);
	float32x4_t	voffset = vdupq_n_f32(offset);

	if (n < 4)
	{
		vx_kernels_generic.dequantize_i8(c, scale, offset, n, out);
		return;
	}
	for (int i = 0; i < n; i += 4)
	{
		int			k = clip_start(i, n);

		vst1q_f32(out + k, vaddq_f32(vmulq_f32(load_i8(c + k), vscale), voffset));
	}
}

static void
quantize_i16(const float *q, int n, int16_t *out, float *scale)
{
	float32x4_t	max = vdupq_n_f32(0.0f);
	float32x4_t	total = max;
	float		most;
	float		inverse;
	float		sum;

	if (n >= 4)
	{
		for (int i = 0; i < n; i += 4)
			max = PS(max)(max, absolute(vld1q_f32(q + clip_start(i, n))));
	}
	most = vmaxvq_f32(max);
	if (n < 4 || !(most >= VX_I16_MIN_ABS))
	{
		vx_kernels_generic.quantize_i16(q, n, out, scale);
		return;
	}

	inverse = VX_I16_MAX / most;
	for (int i = 0; i < n; i += 4)
		total = vfmaq_n_f32(total, absolute(load_first(q + i, n - i)), inverse);
	sum = sum_floats(total);
	if (sum > VX_I16_SUM(n))
		inverse *= VX_I16_SUM(n) / sum;

	for (int i = 0; i < n; i += 4)
	{
		int			k = clip_start(i, n);
		int16x4_t	words = vqmovn_s32(round_to_ints(vmulq_n_f32(vld1q_f32(q + k), inverse)));

		vst1_s16(out + k, vmax_s16(words, vdup_n_s16(-32767)));
	}
	*scale = 1.0f / inverse;
}

/*
 * Rotation, within a register
 */
VX_INLINE float32x4_t
flipped(float32x4_t v, uint32x4_t flips)
{
	return vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(v), flips));
}

VX_INLINE float32x4_t
hadamard_lanes(float32x4_t v)
{
	const uint32x4_t odd1 = {0, 0x80000000, 0, 0x80000000};
	const uint32x4_t odd2 = {0, 0, 0x80000000, 0x80000000};

	v = vaddq_f32(vrev64q_f32(v), flipped(v, odd1));
	return vaddq_f32(vextq_f32(v, v, 2), flipped(v, odd2));
}

VX_INLINE void
flip_signs(float *v, int n, const uint32_t *signs)
{
	const int32x4_t shifts = {31, 30, 29, 28};
	const uint32x4_t sign_bit = vdupq_n_u32(0x80000000);
	int			i = 0;

	for (; i + 4 <= n; i += 4)
	{
		uint32x4_t	flips = vshlq_u32(vdupq_n_u32(signs[i / 32] >> (i % 32)), shifts);

		vst1q_f32(v + i, flipped(vld1q_f32(v + i), vandq_u32(flips, sign_bit)));
	}
	for (; i < n; i++)
	{
		if ((signs[i / 32] >> (i % 32)) & 1)
			v[i] = -v[i];
	}
}

const VxKernels LEVEL(kernels) = {
	.name = "neon",
	.l2sq = l2sq,
	.dot = dot,
	.l1 = l1,
	.sumsq = sumsq,
	.dot_norms = dot_norms,
	.dot_f16 = dot_f16,
	.l1_f16 = l1_f16,
	.f16_l2sq = f16_l2sq,
	.f16_dot = f16_dot,
	.f16_l1 = f16_l1,
	.f16_dot_norms = f16_dot_norms,
	.l1_i8 = l1_i8,
	.dot_i16_i8 = dot_i16_i8,
	.dot_i8_i8 = dot_i8_i8,
	.dot_i8_panels = dot_i8_panels,
	.panel_distances = panel_distances,
	.below = below,
	.subtract = subtract,
	.hamming = LEVEL(hamming),
	.hamming_many = LEVEL(hamming_many),
	.common_bits = LEVEL(common_bits),
	.intersect = LEVEL(intersect),
	.sparse_dot = LEVEL(sparse_dot),
	.sparse_l1 = LEVEL(sparse_l1),
	.f32_to_f16 = f32_to_f16,
	.f16_to_f32 = f16_to_f32,
	.quantize_i8 = quantize_i8,
	.dequantize_i8 = dequantize_i8,
	.quantize_i16 = quantize_i16,
	.rotate = rotate,
	.build_table = LEVEL(build_table),
	.scan32 = LEVEL(scan32),
	.estimate32_bf16 = LEVEL(estimate32_bf16),
	.estimate32_f32 = LEVEL(estimate32_f32),
	.encode = LEVEL(encode),
	.l2sq_many = l2sq_many,
	.dot_many = dot_many,
	.l1_many = l1_many,
};

#endif /* VX_ARM64 */
