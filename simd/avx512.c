/*
 * avx512.c
 *		Kernels for processors with AVX-512 F, BW, VL and DQ; three of them
 *		again for VNNI and VBMI.
 *
 * Compiled for the baseline like every other file: the pragmas below give the
 * functions their instruction set, and dispatch.c calls them only where the
 * processor has it.  Tails use masked loads and stores, which touch no byte
 * outside their mask.  Must never read past the end of an input, and never
 * fuse in rotate() and quantize_i8().
 */
#include "kernels.h"

#ifdef VX_X86

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq")
#endif
VX_NO_CONTRACTION

/* What a distance sums. */
enum
{
	OP_L2SQ,
	OP_DOT,
	OP_L1
};

/* How the stored vector is kept. */
enum
{
	SRC_F32,
	SRC_F16,
	SRC_I8,						/* scale * c + offset */
	SRC_I8_RAW					/* c */
};

/* Mask of the first min(count, 16) lanes. */
VX_INLINE __mmask16
first_lanes(int count)
{
	return count >= 16 ? (__mmask16) 0xffff : (__mmask16) ((1u << count) - 1);
}

/* Elements i .. i + 15 of a stored vector. */
VX_INLINE __m512
load16(const void *v, int i, __m512 scale, __m512 offset, int src)
{
	const int8_t *c = (const int8_t *) v + i;
	__m512		x;

	if (src == SRC_F32)
		return _mm512_loadu_ps((const float *) v + i);
	if (src == SRC_F16)
		return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *) ((const uint16_t *) v + i)));
	x = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *) c)));
	return src == SRC_I8 ? _mm512_fmadd_ps(x, scale, offset) : x;
}

/* The same with zero for the elements outside the mask. */
VX_INLINE __m512
load16_masked(const void *v, int i, __m512 scale, __m512 offset,
			  __mmask16 mask, int src)
{
	const int8_t *c = (const int8_t *) v + i;
	__m512		x;

	if (src == SRC_F32)
		return _mm512_maskz_loadu_ps(mask, (const float *) v + i);
	if (src == SRC_F16)
		return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, (const uint16_t *) v + i));
	x = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(mask, c)));
	return src == SRC_I8 ? _mm512_maskz_fmadd_ps(mask, x, scale, offset) : x;
}

VX_INLINE __m512
accumulate(__m512 acc, __m512 a, __m512 b, int op)
{
	__m512		d;

	if (op == OP_DOT)
		return _mm512_fmadd_ps(a, b, acc);
	d = _mm512_sub_ps(a, b);
	if (op == OP_L2SQ)
		return _mm512_fmadd_ps(d, d, acc);
	return _mm512_add_ps(acc, _mm512_abs_ps(d));
}

/* Every distance; "op" and "src" are constants where it is inlined. */
VX_INLINE float
distance(const float *q, const void *v, float scale, float offset, int n,
		 int op, int src)
{
	__m512		vscale = _mm512_set1_ps(scale);
	__m512		voffset = _mm512_set1_ps(offset);
	__m512		acc0 = _mm512_setzero_ps();
	__m512		acc1 = _mm512_setzero_ps();
	__m512		acc2 = _mm512_setzero_ps();
	__m512		acc3 = _mm512_setzero_ps();
	int			i = 0;

	/* short vectors: one masked pass */
	if (n <= 16)
	{
		__mmask16	mask = first_lanes(n);

		acc0 = accumulate(acc0, _mm512_maskz_loadu_ps(mask, q),
						  load16_masked(v, 0, vscale, voffset, mask, src), op);
		return _mm512_reduce_add_ps(acc0);
	}
	for (; i + 64 <= n; i += 64)
	{
		acc0 = accumulate(acc0, _mm512_loadu_ps(q + i),
						  load16(v, i, vscale, voffset, src), op);
		acc1 = accumulate(acc1, _mm512_loadu_ps(q + i + 16),
						  load16(v, i + 16, vscale, voffset, src), op);
		acc2 = accumulate(acc2, _mm512_loadu_ps(q + i + 32),
						  load16(v, i + 32, vscale, voffset, src), op);
		acc3 = accumulate(acc3, _mm512_loadu_ps(q + i + 48),
						  load16(v, i + 48, vscale, voffset, src), op);
	}
	for (; i + 16 <= n; i += 16)
		acc0 = accumulate(acc0, _mm512_loadu_ps(q + i),
						  load16(v, i, vscale, voffset, src), op);
	if (i < n)
	{
		__mmask16	mask = first_lanes(n - i);

		acc1 = accumulate(acc1, _mm512_maskz_loadu_ps(mask, q + i),
						  load16_masked(v, i, vscale, voffset, mask, src), op);
	}
	return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(acc0, acc1),
											  _mm512_add_ps(acc2, acc3)));
}

static float
l2sq(const float *a, const float *b, int n)
{
	return distance(a, b, 0, 0, n, OP_L2SQ, SRC_F32);
}

static float
dot(const float *a, const float *b, int n)
{
	return distance(a, b, 0, 0, n, OP_DOT, SRC_F32);
}

static float
l1(const float *a, const float *b, int n)
{
	return distance(a, b, 0, 0, n, OP_L1, SRC_F32);
}

static float
sumsq(const float *a, int n)
{
	return distance(a, a, 0, 0, n, OP_DOT, SRC_F32);
}

static void
dot_norms(const float *a, const float *b, int n, float *ab, float *aa, float *bb)
{
	__m512		ab0 = _mm512_setzero_ps();
	__m512		aa0 = _mm512_setzero_ps();
	__m512		bb0 = _mm512_setzero_ps();
	__m512		ab1 = _mm512_setzero_ps();
	__m512		aa1 = _mm512_setzero_ps();
	__m512		bb1 = _mm512_setzero_ps();
	int			i = 0;

	for (; i + 32 <= n; i += 32)
	{
		__m512		x0 = _mm512_loadu_ps(a + i);
		__m512		y0 = _mm512_loadu_ps(b + i);
		__m512		x1 = _mm512_loadu_ps(a + i + 16);
		__m512		y1 = _mm512_loadu_ps(b + i + 16);

		ab0 = _mm512_fmadd_ps(x0, y0, ab0);
		aa0 = _mm512_fmadd_ps(x0, x0, aa0);
		bb0 = _mm512_fmadd_ps(y0, y0, bb0);
		ab1 = _mm512_fmadd_ps(x1, y1, ab1);
		aa1 = _mm512_fmadd_ps(x1, x1, aa1);
		bb1 = _mm512_fmadd_ps(y1, y1, bb1);
	}
	for (; i < n; i += 16)
	{
		__mmask16	mask = first_lanes(n - i);
		__m512		x = _mm512_maskz_loadu_ps(mask, a + i);
		__m512		y = _mm512_maskz_loadu_ps(mask, b + i);

		ab0 = _mm512_fmadd_ps(x, y, ab0);
		aa0 = _mm512_fmadd_ps(x, x, aa0);
		bb0 = _mm512_fmadd_ps(y, y, bb0);
	}
	*ab = _mm512_reduce_add_ps(_mm512_add_ps(ab0, ab1));
	*aa = _mm512_reduce_add_ps(_mm512_add_ps(aa0, aa1));
	*bb = _mm512_reduce_add_ps(_mm512_add_ps(bb0, bb1));
}

static float
dot_f16(const float *q, const uint16_t *v, int n)
{
	return distance(q, v, 0, 0, n, OP_DOT, SRC_F16);
}

static float
l1_f16(const float *q, const uint16_t *v, int n)
{
	return distance(q, v, 0, 0, n, OP_L1, SRC_F16);
}

static float
l1_i8(const float *q, const int8_t *c, float scale, float offset, int n)
{
	return distance(q, c, scale, offset, n, OP_L1, SRC_I8);
}

/*
 * Integer dot products
 */
VX_INLINE __m512i
load32_i8(const int8_t *c)
{
	return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *) c));
}

VX_INLINE __m512i
load32_i8_masked(const int8_t *c, __mmask32 mask)
{
	return _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(mask, c));
}

static int32_t
dot_i16_i8(const int16_t *q, const int8_t *c, int n)
{
	__m512i		acc0 = _mm512_setzero_si512();
	__m512i		acc1 = _mm512_setzero_si512();
	int			i = 0;

	for (; i + 64 <= n; i += 64)
	{
		acc0 = _mm512_add_epi32(acc0, _mm512_madd_epi16(_mm512_loadu_si512(q + i),
														load32_i8(c + i)));
		acc1 = _mm512_add_epi32(acc1, _mm512_madd_epi16(_mm512_loadu_si512(q + i + 32),
														load32_i8(c + i + 32)));
	}
	for (; i < n; i += 32)
	{
		__mmask32	mask = n - i >= 32 ? 0xffffffffu : (1u << (n - i)) - 1;

		acc0 = _mm512_add_epi32(acc0, _mm512_madd_epi16(_mm512_maskz_loadu_epi16(mask, q + i),
														load32_i8_masked(c + i, mask)));
	}
	return _mm512_reduce_add_epi32(_mm512_add_epi32(acc0, acc1));
}

static int32_t
dot_i8_i8(const int8_t *a, const int8_t *b, int n)
{
	__m512i		acc0 = _mm512_setzero_si512();
	__m512i		acc1 = _mm512_setzero_si512();
	int			i = 0;

	for (; i + 64 <= n; i += 64)
	{
		acc0 = _mm512_add_epi32(acc0, _mm512_madd_epi16(load32_i8(a + i),
														load32_i8(b + i)));
		acc1 = _mm512_add_epi32(acc1, _mm512_madd_epi16(load32_i8(a + i + 32),
														load32_i8(b + i + 32)));
	}
	for (; i < n; i += 32)
	{
		__mmask32	mask = n - i >= 32 ? 0xffffffffu : (1u << (n - i)) - 1;

		acc0 = _mm512_add_epi32(acc0, _mm512_madd_epi16(load32_i8_masked(a + i, mask),
														load32_i8_masked(b + i, mask)));
	}
	return _mm512_reduce_add_epi32(_mm512_add_epi32(acc0, acc1));
}

static void
panel_distances(const int32_t *dot, int n, const float *norm, const float *scale,
				const float *offset, const float *sum, float base, float p,
				float q, float r, float *out)
{
	for (int i = 0; i < n; i += 16)
	{
		__mmask16	mask = n - i >= 16 ? 0xffff : first_lanes(n - i);
		__m512		d = _mm512_cvtepi32_ps(_mm512_maskz_loadu_epi32(mask, dot + i));
		__m512		x = _mm512_mul_ps(_mm512_mul_ps(_mm512_set1_ps(p), d),
									  _mm512_maskz_loadu_ps(mask, scale + i));

		x = _mm512_fmadd_ps(_mm512_set1_ps(q), _mm512_maskz_loadu_ps(mask, offset + i), x);
		x = _mm512_fmadd_ps(_mm512_set1_ps(r), _mm512_maskz_loadu_ps(mask, sum + i), x);
		_mm512_mask_storeu_ps(out + i, mask,
							  _mm512_sub_ps(_mm512_add_ps(_mm512_set1_ps(base),
														  _mm512_maskz_loadu_ps(mask, norm + i)), x));
	}
}

static int
below(const float *v, int n, float bound, uint16_t *at)
{
	const __m512 vbound = _mm512_set1_ps(bound);
	const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	int			found = 0;

	for (int i = 0; i < n; i += 16)
	{
		__mmask16	mask = n - i >= 16 ? 0xffff : first_lanes(n - i);
		int			count;
		__m512i		places;

		mask = _mm512_mask_cmp_ps_mask(mask, _mm512_maskz_loadu_ps(mask, v + i), vbound, _CMP_LT_OQ);
		if (mask == 0)
			continue;
		count = __builtin_popcount(mask);
		places = _mm512_maskz_compress_epi32(mask, _mm512_add_epi32(lanes, _mm512_set1_epi32(i)));
		_mm256_mask_storeu_epi16(at + found, (__mmask16) ((1u << count) - 1),
								 _mm512_cvtepi32_epi16(places));
		found += count;
	}
	return found;
}

static float
subtract(const float *a, const float *b, int n, float *r)
{
	__m512		sum = _mm512_setzero_ps();

	for (int i = 0; i < n; i += 16)
	{
		__mmask16	mask = n - i >= 16 ? 0xffff : first_lanes(n - i);
		__m512		x = _mm512_sub_ps(_mm512_maskz_loadu_ps(mask, a + i),
									  _mm512_maskz_loadu_ps(mask, b + i));

		_mm512_mask_storeu_ps(r + i, mask, x);
		sum = _mm512_fmadd_ps(x, x, sum);
	}
	return _mm512_reduce_add_ps(sum);
}

/*
 * Conversions and scalar quantisation
 */
static void
f32_to_f16(const float *v, uint16_t *out, int n)
{
	int			i = 0;

	for (; i + 16 <= n; i += 16)
		_mm256_storeu_si256((__m256i *) (out + i),
							_mm512_cvtps_ph(_mm512_loadu_ps(v + i),
											_MM_FROUND_TO_NEAREST_INT));
	if (i < n)
	{
		__mmask16	mask = first_lanes(n - i);
		__m512		x = _mm512_maskz_loadu_ps(mask, v + i);

		_mm256_mask_storeu_epi16(out + i, mask,
								 _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
	}
}

static void
f16_to_f32(const uint16_t *v, float *out, int n)
{
	int			i = 0;

	for (; i + 16 <= n; i += 16)
		_mm512_storeu_ps(out + i,
						 _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *) (v + i))));
	if (i < n)
	{
		__mmask16	mask = first_lanes(n - i);

		_mm512_mask_storeu_ps(out + i, mask,
							  _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, v + i)));
	}
}

/* Codes of 16 values; what is outside the mask gives zero. */
VX_INLINE __m512i
i8_codes(__m512 x, __m512 middle, __m512 inverse, __mmask16 mask)
{
	x = _mm512_mul_ps(_mm512_maskz_sub_ps(mask, x, middle), inverse);
	x = _mm512_max_ps(_mm512_min_ps(x, _mm512_set1_ps(127.0f)),
					  _mm512_set1_ps(-127.0f));
	return _mm512_cvtps_epi32(x);
}

static void
quantize_i8(const float *v, int n, int8_t *c, float *scale, float *offset,
			int32_t *sum)
{
	__m512		min = _mm512_set1_ps(n > 0 ? v[0] : 0.0f);
	__m512		max = min;
	__m512		middle;
	__m512		inverse;
	__m512i		total = _mm512_setzero_si512();
	int			i;

	for (i = 0; i + 16 <= n; i += 16)
	{
		__m512		x = _mm512_loadu_ps(v + i);

		min = _mm512_min_ps(min, x);
		max = _mm512_max_ps(max, x);
	}
	if (i < n)
	{
		__mmask16	mask = first_lanes(n - i);
		__m512		x = _mm512_maskz_loadu_ps(mask, v + i);

		min = _mm512_mask_min_ps(min, mask, min, x);
		max = _mm512_mask_max_ps(max, mask, max, x);
	}
	vx_i8_scale(_mm512_reduce_min_ps(min), _mm512_reduce_max_ps(max), scale, offset);

	inverse = _mm512_set1_ps(*scale > 0.0f ? 1.0f / *scale : 0.0f);
	middle = _mm512_set1_ps(*offset);
	for (i = 0; i + 16 <= n; i += 16)
	{
		__m512i		code = i8_codes(_mm512_loadu_ps(v + i), middle, inverse, 0xffff);

		_mm_storeu_si128((__m128i *) (c + i), _mm512_cvtepi32_epi8(code));
		total = _mm512_add_epi32(total, code);
	}
	if (i < n)
	{
		__mmask16	mask = first_lanes(n - i);
		__m512i		code = i8_codes(_mm512_maskz_loadu_ps(mask, v + i), middle,
									inverse, mask);

		_mm_mask_storeu_epi8(c + i, mask, _mm512_cvtepi32_epi8(code));
		total = _mm512_add_epi32(total, code);
	}
	*sum = _mm512_reduce_add_epi32(total);
}

/* Not fused, so that all levels give the same floats. */
static void
dequantize_i8(const int8_t *c, float scale, float offset, int n, float *out)
{
	__m512		vscale = _mm512_set1_ps(scale);
	__m512		voffset = _mm512_set1_ps(offset);
	int			i = 0;

	for (; i + 16 <= n; i += 16)
	{
		__m512		x = load16(c, i, vscale, voffset, SRC_I8_RAW);

		_mm512_storeu_ps(out + i, _mm512_add_ps(_mm512_mul_ps(x, vscale), voffset));
	}
	if (i < n)
	{
		__mmask16	mask = first_lanes(n - i);
		__m512		x = load16_masked(c, i, vscale, voffset, mask, SRC_I8_RAW);

		_mm512_mask_storeu_ps(out + i, mask,
							  _mm512_add_ps(_mm512_mul_ps(x, vscale), voffset));
	}
}

static void
quantize_i16(const float *q, int n, int16_t *out, float *scale)
{
	__m512		max = _mm512_setzero_ps();
	__m512		total = _mm512_setzero_ps();
	__m512		factor;
	float		greatest;
	float		inverse;
	float		sum;

	for (int i = 0; i < n; i += 16)
		max = _mm512_max_ps(max, _mm512_abs_ps(_mm512_maskz_loadu_ps(first_lanes(n - i), q + i)));
	greatest = _mm512_reduce_max_ps(max);
	if (!(greatest >= VX_I16_MIN_ABS))
	{
		if (n > 0)
			memset(out, 0, (size_t) n * sizeof(*out));
		*scale = 0.0f;
		return;
	}

	inverse = VX_I16_MAX / greatest;
	factor = _mm512_set1_ps(inverse);
	for (int i = 0; i < n; i += 16)
	{
		__m512		x = _mm512_maskz_loadu_ps(first_lanes(n - i), q + i);

		total = _mm512_fmadd_ps(_mm512_abs_ps(x), factor, total);
	}
	sum = _mm512_reduce_add_ps(total);
	if (sum > VX_I16_SUM(n))
		inverse *= VX_I16_SUM(n) / sum;

	factor = _mm512_set1_ps(inverse);
	for (int i = 0; i < n; i += 16)
	{
		__mmask16	mask = first_lanes(n - i);
		__m512		x = _mm512_maskz_loadu_ps(mask, q + i);
		__m512i		code = _mm512_cvtps_epi32(_mm512_mul_ps(x, factor));
		__m256i		words = _mm512_cvtsepi32_epi16(code);

		words = _mm256_max_epi16(words, _mm256_set1_epi16(-32767));
		_mm256_mask_storeu_epi16(out + i, mask, words);
	}
	*scale = 1.0f / inverse;
}

/*
 * Rotation.  Sums only, and one product after the last stage: nothing to fuse.
 */

/* One stage of stride 1, 2, 4 or 8, given the vector with partners swapped. */
VX_INLINE __m512
butterfly(__m512 v, __m512 partner, __mmask16 second)
{
	return _mm512_mask_sub_ps(_mm512_add_ps(partner, v), second, partner, v);
}

VX_INLINE __m512
hadamard16(__m512 v)
{
	v = butterfly(v, _mm512_permute_ps(v, 0xB1), 0xAAAA);
	v = butterfly(v, _mm512_permute_ps(v, 0x4E), 0xCCCC);
	v = butterfly(v, _mm512_shuffle_f32x4(v, v, 0xB1), 0xF0F0);
	return butterfly(v, _mm512_shuffle_f32x4(v, v, 0x4E), 0xFF00);
}

/* One stage of stride >= 16. */
VX_INLINE void
stage2(float *v, int p, int stride, int last, __m512 scale)
{
	for (int i = 0; i < p; i += 2 * stride)
	{
		for (int j = i; j < i + stride; j += 16)
		{
			__m512		a = _mm512_loadu_ps(v + j);
			__m512		b = _mm512_loadu_ps(v + j + stride);
			__m512		sum = _mm512_add_ps(a, b);
			__m512		difference = _mm512_sub_ps(a, b);

			if (last)
			{
				sum = _mm512_mul_ps(sum, scale);
				difference = _mm512_mul_ps(difference, scale);
			}
			_mm512_storeu_ps(v + j, sum);
			_mm512_storeu_ps(v + j + stride, difference);
		}
	}
}

/* Two stages, of "stride" >= 16 and of twice that. */
VX_INLINE void
stage4(float *v, int p, int stride, int last, __m512 scale)
{
	for (int i = 0; i < p; i += 4 * stride)
	{
		for (int j = i; j < i + stride; j += 16)
		{
			__m512		a = _mm512_loadu_ps(v + j);
			__m512		b = _mm512_loadu_ps(v + j + stride);
			__m512		c = _mm512_loadu_ps(v + j + 2 * stride);
			__m512		d = _mm512_loadu_ps(v + j + 3 * stride);
			__m512		ab = _mm512_add_ps(a, b);
			__m512		cd = _mm512_add_ps(c, d);

			b = _mm512_sub_ps(a, b);
			d = _mm512_sub_ps(c, d);
			a = _mm512_add_ps(ab, cd);
			c = _mm512_sub_ps(ab, cd);
			ab = _mm512_add_ps(b, d);
			d = _mm512_sub_ps(b, d);
			if (last)
			{
				a = _mm512_mul_ps(a, scale);
				ab = _mm512_mul_ps(ab, scale);
				c = _mm512_mul_ps(c, scale);
				d = _mm512_mul_ps(d, scale);
			}
			_mm512_storeu_ps(v + j, a);
			_mm512_storeu_ps(v + j + stride, ab);
			_mm512_storeu_ps(v + j + 2 * stride, c);
			_mm512_storeu_ps(v + j + 3 * stride, d);
		}
	}
}

/* p >= 16, a power of two */
static void
hadamard(float *v, int p)
{
	__m512		scale = _mm512_set1_ps(vx_hadamard_scale(p));
	int			stages = __builtin_ctz((unsigned) p) - 4;
	int			stride = 16;

	for (int i = 0; i < p; i += 16)
	{
		__m512		x = hadamard16(_mm512_loadu_ps(v + i));

		_mm512_storeu_ps(v + i, stages == 0 ? _mm512_mul_ps(x, scale) : x);
	}
	if (stages == 1)
		stage2(v, p, stride, 1, scale);
	else if (stages & 1)
	{
		stage2(v, p, stride, 0, scale);
		stride *= 2;
	}
	for (; 4 * stride < p; stride *= 4)
		stage4(v, p, stride, 0, scale);
	if (4 * stride == p)
		stage4(v, p, stride, 1, scale);
}

static void
rotate(float *v, int n, const uint32_t *signs)
{
	const __m512i sign_bit = _mm512_set1_epi32((int) 0x80000000u);
	int			p;

	if (n < 16)
	{
		vx_kernels_generic.rotate(v, n, signs);
		return;
	}
	p = vx_power_of_two_below(n);
	for (int round = 0; round < 2; round++)
	{
		int			i = 0;

		/* plain stores where they will do: masked ones are slow to load again */
		for (; i + 16 <= n; i += 16)
		{
			__mmask16	flip = (__mmask16) (signs[i / 32] >> (i % 32));
			__m512i		x = _mm512_loadu_si512(v + i);

			_mm512_storeu_si512(v + i, _mm512_mask_xor_epi32(x, flip, x, sign_bit));
		}
		if (i < n)
		{
			__mmask16	mask = first_lanes(n - i);
			__mmask16	flip = (__mmask16) (signs[i / 32] >> (i % 32));
			__m512i		x = _mm512_maskz_loadu_epi32(mask, v + i);

			_mm512_mask_storeu_epi32(v + i, mask,
									 _mm512_mask_xor_epi32(x, flip, x, sign_bit));
		}
		hadamard(v, p);
		if (p < n)
			hadamard(v + n - p, p);
		signs += VX_SIGN_WORDS(n);
	}
}

/*
 * Lookup table
 */

/* Dimensions handled through a buffer at a time, a multiple of 16. */
#define TABLE_CHUNK 128

/*
 * Entries of "nibbles" nibbles of plane 0, from part[] (four floats a nibble)
 * and base[] (one in each four), all times "factor".
 */
VX_INLINE void
table_entries(const float *part, const float *base, int nibbles, float factor,
			  uint8_t *table)
{
	__m512		vfactor = _mm512_set1_ps(factor);

	for (int t = 0; t < nibbles; t++)
	{
		const float *x = part + 4 * t;
		__m512		entry = _mm512_set1_ps(base[4 * t]);
		__m512i		rounded;

		entry = _mm512_mask_add_ps(entry, 0xAAAA, entry, _mm512_set1_ps(x[0]));
		entry = _mm512_mask_add_ps(entry, 0xCCCC, entry, _mm512_set1_ps(x[1]));
		entry = _mm512_mask_add_ps(entry, 0xF0F0, entry, _mm512_set1_ps(x[2]));
		entry = _mm512_mask_add_ps(entry, 0xFF00, entry, _mm512_set1_ps(x[3]));
		rounded = _mm512_cvtps_epi32(_mm512_mul_ps(entry, vfactor));
		rounded = _mm512_max_epi32(rounded, _mm512_setzero_si512());
		_mm_storeu_si128((__m128i *) (table + 16 * t),
						 _mm512_cvtusepi32_epi8(rounded));
	}
}

static void
build_table(const float *q, int n, int bits, uint8_t *table, float *delta,
			float *bias)
{
	int			nibbles = VX_PLANE_NIBBLES(n);
	__m512		widest = _mm512_setzero_ps();
	__m512		total = _mm512_setzero_ps();
	__m512		scale;
	size_t		used = (size_t) VX_CODE_NIBBLES(n, bits) * 16;

	for (int i = 0; i < n; i += 16)
	{
		__m512		x = _mm512_abs_ps(_mm512_maskz_loadu_ps(first_lanes(n - i), q + i));

		total = _mm512_add_ps(total, x);
		x = _mm512_add_ps(x, _mm512_permute_ps(x, 0xB1));
		x = _mm512_add_ps(x, _mm512_permute_ps(x, 0x4E));
		widest = _mm512_max_ps(widest, x);
	}
	*delta = _mm512_reduce_max_ps(widest) * (float) (1 << bits) / 255.0f;
	*bias = 0.0f;
	if (!(*delta >= VX_TABLE_MIN_DELTA))
	{
		memset(table, 0, (size_t) VX_TABLE_BYTES(n, bits));
		*delta = 0.0f;
		return;
	}
	*bias = -_mm512_reduce_add_ps(total) * (float) ((1 << bits) - 1);
	memset(table + used, 0, (size_t) VX_TABLE_BYTES(n, bits) - used);

	scale = _mm512_set1_ps(2.0f / *delta);
	for (int start = 0; start < n; start += TABLE_CHUNK)
	{
		int			count = n - start < TABLE_CHUNK ? n - start : TABLE_CHUNK;
		float		part[TABLE_CHUNK];
		float		base[TABLE_CHUNK];

		for (int i = 0; i < count; i += 16)
		{
			__m512		x = _mm512_maskz_loadu_ps(first_lanes(count - i), q + start + i);
			__m512		y;

			x = _mm512_mul_ps(x, scale);
			_mm512_storeu_ps(part + i, x);
			y = _mm512_sub_ps(_mm512_setzero_ps(),
							  _mm512_min_ps(x, _mm512_setzero_ps()));
			y = _mm512_add_ps(y, _mm512_permute_ps(y, 0xB1));
			y = _mm512_add_ps(y, _mm512_permute_ps(y, 0x4E));
			_mm512_storeu_ps(base + i, y);
		}
		for (int p = 0; p < bits; p++)
			table_entries(part, base, (count + 3) / 4, (float) (1 << p),
						  table + (size_t) (p * nibbles + start / 4) * 16);
	}
}

/*
 * Code scan (FastScan: Andre, Kermarrec, Le Scouarnec, VLDB 2015)
 *
 * Sixteen codes of four bytes a register.  A byte shuffle within the 128-bit
 * lanes and one across them put byte j of all sixteen into lane j; lane j of
 * the two table registers holds the entries of its low and its high nibble.
 *
 * Table entries are added as 16-bit words, the odd bytes once more by
 * themselves: the even ones are the difference.
 */

/* 8 nibbles a group, each at most 255: so many groups fit a 16-bit sum. */
#define SCAN_GROUPS 32

typedef struct ScanSums
{
	__m512i		words;
	__m512i		odd;
} ScanSums;

VX_INLINE void
scan_half(ScanSums *sums, const uint8_t *codes, __m512i table0, __m512i table1)
{
	const __m512i gather = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
	const __m512i across = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
	const __m512i low_half = _mm512_set1_epi8(0x0f);
	__m512i		bytes = _mm512_shuffle_epi8(_mm512_loadu_si512(codes), gather);
	__m512i		x;
	__m512i		y;

	bytes = _mm512_permutexvar_epi32(across, bytes);
	x = _mm512_shuffle_epi8(table0, _mm512_and_si512(bytes, low_half));
	y = _mm512_shuffle_epi8(table1, _mm512_and_si512(_mm512_srli_epi16(bytes, 4),
													 low_half));
	sums->words = _mm512_add_epi16(sums->words, _mm512_add_epi16(x, y));
	sums->odd = _mm512_add_epi16(sums->odd,
								 _mm512_add_epi16(_mm512_srli_epi16(x, 8),
												  _mm512_srli_epi16(y, 8)));
}

/* Sum of the four lanes, as 16-bit words. */
VX_INLINE __m128i
sum_lanes(__m512i v)
{
	__m256i		x = _mm256_add_epi16(_mm512_castsi512_si256(v),
									 _mm512_extracti64x4_epi64(v, 1));

	return _mm_add_epi16(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
}

/* Write (first) or add 16 sums. */
VX_INLINE void
scan_put(uint32_t *sums, const ScanSums *acc, int first)
{
	__m128i		odd = sum_lanes(acc->odd);
	__m128i		even = _mm_sub_epi16(sum_lanes(acc->words), _mm_slli_epi16(odd, 8));
	__m256i		words = _mm256_set_m128i(_mm_unpackhi_epi16(even, odd),
										 _mm_unpacklo_epi16(even, odd));
	__m512i		x = _mm512_cvtepu16_epi32(words);

	if (!first)
		x = _mm512_add_epi32(x, _mm512_loadu_si512(sums));
	_mm512_storeu_si512(sums, x);
}

static void
scan32(const uint8_t *codes, int groups, const uint8_t *table, uint32_t *sums)
{
	int			g = 0;

	do
	{
		int			end = groups - g < SCAN_GROUPS ? groups : g + SCAN_GROUPS;
		int			first = g == 0;
		ScanSums	acc0;
		ScanSums	acc1;

		acc0.words = acc0.odd = acc1.words = acc1.odd = _mm512_setzero_si512();
		for (; g < end; g++)
		{
			const uint8_t *t = table + (size_t) g * VX_GROUP_NIBBLES * 16;
			const uint8_t *c = codes + (size_t) g * VX_GROUP_BYTES;
			__m512i		a = _mm512_loadu_si512(t);
			__m512i		b = _mm512_loadu_si512(t + 64);
			__m512i		table0 = _mm512_shuffle_i64x2(a, b, 0x88);
			__m512i		table1 = _mm512_shuffle_i64x2(a, b, 0xDD);

			scan_half(&acc0, c, table0, table1);
			scan_half(&acc1, c + 64, table0, table1);
		}
		scan_put(sums, &acc0, first);
		scan_put(sums + 16, &acc1, first);
	} while (g < groups);
}

/*
 * Estimates
 */
VX_INLINE uint32_t
estimate16(const uint32_t *sums, __m512 a, __m512 b, float base, float delta,
		   float bias, float bound, float *est)
{
	__m512		x = _mm512_cvtepi32_ps(_mm512_loadu_si512(sums));

	x = _mm512_fmadd_ps(x, _mm512_set1_ps(delta), _mm512_set1_ps(bias));
	x = _mm512_fmadd_ps(x, b, _mm512_add_ps(a, _mm512_set1_ps(base)));
	_mm512_storeu_ps(est, x);
	return _mm512_cmp_ps_mask(x, _mm512_set1_ps(bound), _CMP_LT_OQ);
}

VX_INLINE __m512
load16_bf16(const uint16_t *v)
{
	__m512i		x = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *) v));

	return _mm512_castsi512_ps(_mm512_slli_epi32(x, 16));
}

static uint32_t
estimate32_bf16(const uint32_t *sums, const uint16_t *a, const uint16_t *b,
				float base, float delta, float bias, float bound, float *est)
{
	uint32_t	low = estimate16(sums, load16_bf16(a), load16_bf16(b),
								 base, delta, bias, bound, est);
	uint32_t	high = estimate16(sums + 16, load16_bf16(a + 16), load16_bf16(b + 16),
								  base, delta, bias, bound, est + 16);

	return low | high << 16;
}

static uint32_t
estimate32_f32(const uint32_t *sums, const float *a, const float *b,
			   float base, float delta, float bias, float bound, float *est)
{
	uint32_t	low = estimate16(sums, _mm512_loadu_ps(a), _mm512_loadu_ps(b),
								 base, delta, bias, bound, est);
	uint32_t	high = estimate16(sums + 16, _mm512_loadu_ps(a + 16), _mm512_loadu_ps(b + 16),
								  base, delta, bias, bound, est + 16);

	return low | high << 16;
}

/*
 * Codes (RaBitQ: Gao, Long, SIGMOD 2024, and its extension to more bits)
 */
static void
encode_signs(const float *r, const float *y, int n, uint8_t *code, float *rs,
			 float *ys)
{
	const __m512i sign_bit = _mm512_set1_epi32((int) 0x80000000u);
	__m512		acc_rs = _mm512_setzero_ps();
	__m512		acc_ys = _mm512_setzero_ps();

	for (int i = 0; i < n; i += 16)
	{
		__mmask16	mask = first_lanes(n - i);
		__m512		x = _mm512_maskz_loadu_ps(mask, r + i);
		__m512i		z = _mm512_maskz_loadu_epi32(mask, y + i);
		uint16_t	positive = _mm512_mask_cmp_ps_mask(mask, x, _mm512_setzero_ps(),
													   _CMP_GE_OQ);

		/* a code is a multiple of four bytes long: two more always fit */
		memcpy(code + i / 8, &positive, sizeof(positive));
		acc_rs = _mm512_add_ps(acc_rs, _mm512_abs_ps(x));
		z = _mm512_mask_xor_epi32(z, (__mmask16) ~positive, z, sign_bit);
		acc_ys = _mm512_add_ps(acc_ys, _mm512_castsi512_ps(z));
	}
	*rs = _mm512_reduce_add_ps(acc_rs);
	*ys = _mm512_reduce_add_ps(acc_ys);
}

/* floor(x), clamped to -half .. half - 1 */
VX_INLINE __m512
clamped_floor(__m512 x, __m512 low, __m512 high)
{
	return _mm512_roundscale_ps(_mm512_min_ps(_mm512_max_ps(x, low), high),
								_MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}

/* s / 2 of 16 values for one reciprocal of the step */
VX_INLINE __m512
half_level(__m512 x, float inverse, __m512 low, __m512 high, __mmask16 mask)
{
	__m512		t = clamped_floor(_mm512_mul_ps(x, _mm512_set1_ps(inverse)), low, high);

	return _mm512_maskz_add_ps(mask, t, _mm512_set1_ps(0.5f));
}

/* <r,s>^2 / <s,s> for four reciprocals of the step */
static void
step_scores(const float *r, int n, float half, const float *inverse, float *scores)
{
	const __m512 low = _mm512_set1_ps(-half);
	const __m512 high = _mm512_set1_ps(half - 0.5f);
	__m512		rs0 = _mm512_setzero_ps();
	__m512		rs1 = _mm512_setzero_ps();
	__m512		rs2 = _mm512_setzero_ps();
	__m512		rs3 = _mm512_setzero_ps();
	__m512		ss0 = _mm512_setzero_ps();
	__m512		ss1 = _mm512_setzero_ps();
	__m512		ss2 = _mm512_setzero_ps();
	__m512		ss3 = _mm512_setzero_ps();
	float		rs[4];
	float		ss[4];

	for (int i = 0; i < n; i += 16)
	{
		__mmask16	mask = first_lanes(n - i);
		__m512		x = _mm512_maskz_loadu_ps(mask, r + i);
		__m512		s0 = half_level(x, inverse[0], low, high, mask);
		__m512		s1 = half_level(x, inverse[1], low, high, mask);
		__m512		s2 = half_level(x, inverse[2], low, high, mask);
		__m512		s3 = half_level(x, inverse[3], low, high, mask);

		rs0 = _mm512_fmadd_ps(x, s0, rs0);
		rs1 = _mm512_fmadd_ps(x, s1, rs1);
		rs2 = _mm512_fmadd_ps(x, s2, rs2);
		rs3 = _mm512_fmadd_ps(x, s3, rs3);
		ss0 = _mm512_fmadd_ps(s0, s0, ss0);
		ss1 = _mm512_fmadd_ps(s1, s1, ss1);
		ss2 = _mm512_fmadd_ps(s2, s2, ss2);
		ss3 = _mm512_fmadd_ps(s3, s3, ss3);
	}
	rs[0] = _mm512_reduce_add_ps(rs0);
	rs[1] = _mm512_reduce_add_ps(rs1);
	rs[2] = _mm512_reduce_add_ps(rs2);
	rs[3] = _mm512_reduce_add_ps(rs3);
	ss[0] = _mm512_reduce_add_ps(ss0);
	ss[1] = _mm512_reduce_add_ps(ss1);
	ss[2] = _mm512_reduce_add_ps(ss2);
	ss[3] = _mm512_reduce_add_ps(ss3);
	for (int k = 0; k < 4; k++)
		scores[k] = rs[k] * rs[k] / ss[k];
}

static float
best_step(const float *r, int n, int bits)
{
	static const float steps2[VX_ENCODE_STEPS] = VX_ENCODE_STEPS_2;
	static const float steps4[VX_ENCODE_STEPS] = VX_ENCODE_STEPS_4;
	const float *steps = bits == 2 ? steps2 : steps4;
	float		half = (float) (1 << (bits - 1));
	float		rms = sqrtf(sumsq(r, n) / (float) n);
	float		inverse[VX_ENCODE_STEPS];
	float		scores[VX_ENCODE_STEPS];
	int			best = 0;

	if (!(rms > VX_ENCODE_RMS_MIN && rms < VX_ENCODE_RMS_MAX))
		return 1.0f;
	for (int k = 0; k < VX_ENCODE_STEPS; k++)
		inverse[k] = 1.0f / (steps[k] * rms);
	for (int k = 0; k < VX_ENCODE_STEPS; k += 4)
		step_scores(r, n, half, inverse + k, scores + k);
	for (int k = 1; k < VX_ENCODE_STEPS; k++)
	{
		if (scores[k] > scores[best])
			best = k;
	}
	return inverse[best];
}

static void
encode(const float *r, const float *y, int n, int bits, uint8_t *code,
	   float *rs, float *ys)
{
	int			nibbles = VX_PLANE_NIBBLES(n);
	float		half = (float) (1 << (bits - 1));
	const __m512 low = _mm512_set1_ps(-half);
	const __m512 high = _mm512_set1_ps(half - 0.5f);
	__m512		acc_rs = _mm512_setzero_ps();
	__m512		acc_ys = _mm512_setzero_ps();
	__m512		inverse;

	memset(code, 0, (size_t) VX_CODE_BYTES(n, bits));
	if (bits == 1)
	{
		encode_signs(r, y, n, code, rs, ys);
		return;
	}
	inverse = _mm512_set1_ps(n > 0 ? best_step(r, n, bits) : 1.0f);
	for (int i = 0; i < n; i += 16)
	{
		int			count = n - i < 16 ? n - i : 16;
		__mmask16	mask = first_lanes(count);
		__m512		x = _mm512_maskz_loadu_ps(mask, r + i);
		__m512		z = _mm512_maskz_loadu_ps(mask, y + i);
		__m512		t = clamped_floor(_mm512_mul_ps(x, inverse), low, high);
		__m512		s = _mm512_add_ps(_mm512_add_ps(t, t), _mm512_set1_ps(1.0f));
		__m512i		u = _mm512_cvtps_epi32(_mm512_add_ps(t, _mm512_set1_ps(half)));

		for (int p = 0; p < bits; p++)
		{
			__mmask16	plane = _mm512_mask_test_epi32_mask(mask, u, _mm512_set1_epi32(1 << p));

			vx_put_bits(code, p * nibbles + i / 4, plane, count);
		}
		acc_rs = _mm512_fmadd_ps(x, s, acc_rs);
		acc_ys = _mm512_fmadd_ps(z, s, acc_ys);
	}
	*rs = _mm512_reduce_add_ps(acc_rs);
	*ys = _mm512_reduce_add_ps(acc_ys);
}

/*
 * One query, many vectors: four at a time, so that a piece of the query is
 * loaded once for all of them.
 */
VX_INLINE void
many(const float *q, const float *v, size_t stride, int n, int count,
	 float *out, int op)
{
	int			k = 0;

	for (; k + 4 <= count; k += 4)
	{
		const float *v0 = v + (size_t) k * stride;
		const float *v1 = v0 + stride;
		const float *v2 = v1 + stride;
		const float *v3 = v2 + stride;
		__m512		acc0 = _mm512_setzero_ps();
		__m512		acc1 = _mm512_setzero_ps();
		__m512		acc2 = _mm512_setzero_ps();
		__m512		acc3 = _mm512_setzero_ps();
		int			i = 0;

		for (; i + 16 <= n; i += 16)
		{
			__m512		x = _mm512_loadu_ps(q + i);

			acc0 = accumulate(acc0, x, _mm512_loadu_ps(v0 + i), op);
			acc1 = accumulate(acc1, x, _mm512_loadu_ps(v1 + i), op);
			acc2 = accumulate(acc2, x, _mm512_loadu_ps(v2 + i), op);
			acc3 = accumulate(acc3, x, _mm512_loadu_ps(v3 + i), op);
		}
		if (i < n)
		{
			__mmask16	mask = first_lanes(n - i);
			__m512		x = _mm512_maskz_loadu_ps(mask, q + i);

			acc0 = accumulate(acc0, x, _mm512_maskz_loadu_ps(mask, v0 + i), op);
			acc1 = accumulate(acc1, x, _mm512_maskz_loadu_ps(mask, v1 + i), op);
			acc2 = accumulate(acc2, x, _mm512_maskz_loadu_ps(mask, v2 + i), op);
			acc3 = accumulate(acc3, x, _mm512_maskz_loadu_ps(mask, v3 + i), op);
		}
		out[k] = _mm512_reduce_add_ps(acc0);
		out[k + 1] = _mm512_reduce_add_ps(acc1);
		out[k + 2] = _mm512_reduce_add_ps(acc2);
		out[k + 3] = _mm512_reduce_add_ps(acc3);
	}
	for (; k < count; k++)
		out[k] = distance(q, v + (size_t) k * stride, 0, 0, n, op, SRC_F32);
}

static void
l2sq_many(const float *q, const float *v, size_t stride, int n, int count,
		  float *out)
{
	many(q, v, stride, n, count, out, OP_L2SQ);
}

static void
dot_many(const float *q, const float *v, size_t stride, int n, int count,
		 float *out)
{
	many(q, v, stride, n, count, out, OP_DOT);
}

static void
l1_many(const float *q, const float *v, size_t stride, int n, int count,
		float *out)
{
	many(q, v, stride, n, count, out, OP_L1);
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

const VxKernels vx_kernels_avx512 = {
	.name = "avx512",
	.l2sq = l2sq,
	.dot = dot,
	.l1 = l1,
	.sumsq = sumsq,
	.dot_norms = dot_norms,
	.dot_f16 = dot_f16,
	.l1_f16 = l1_f16,
	.l1_i8 = l1_i8,
	.dot_i16_i8 = dot_i16_i8,
	.dot_i8_i8 = dot_i8_i8,
	.dot_i8_panels = vx_dot_i8_panels_avx2,
	.panel_distances = panel_distances,
	.below = below,
	.subtract = subtract,
	.f32_to_f16 = f32_to_f16,
	.f16_to_f32 = f16_to_f32,
	.quantize_i8 = quantize_i8,
	.dequantize_i8 = dequantize_i8,
	.quantize_i16 = quantize_i16,
	.rotate = rotate,
	.build_table = build_table,
	.scan32 = scan32,
	.estimate32_bf16 = estimate32_bf16,
	.estimate32_f32 = estimate32_f32,
	.encode = encode,
	.l2sq_many = l2sq_many,
	.dot_many = dot_many,
	.l1_many = l1_many,
};

/*
 * With VNNI, and for the scan also VBMI
 */
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vbmi"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vbmi")
#endif

int32_t
vx_dot_i16_i8_vnni(const int16_t *q, const int8_t *c, int n)
{
	__m512i		acc0 = _mm512_setzero_si512();
	__m512i		acc1 = _mm512_setzero_si512();
	int			i = 0;

	for (; i + 64 <= n; i += 64)
	{
		__m512i		c0 = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *) (c + i)));
		__m512i		c1 = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *) (c + i + 32)));

		acc0 = _mm512_dpwssd_epi32(acc0, _mm512_loadu_si512(q + i), c0);
		acc1 = _mm512_dpwssd_epi32(acc1, _mm512_loadu_si512(q + i + 32), c1);
	}
	for (; i < n; i += 32)
	{
		__mmask32	mask = n - i >= 32 ? 0xffffffffu : (1u << (n - i)) - 1;
		__m512i		c0 = _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(mask, c + i));

		acc0 = _mm512_dpwssd_epi32(acc0, _mm512_maskz_loadu_epi16(mask, q + i), c0);
	}
	return _mm512_reduce_add_epi32(_mm512_add_epi32(acc0, acc1));
}

/*
 * The instruction multiplies unsigned by signed bytes: a is raised by 128 (its
 * top bit flipped), and 128 times the sum of b is taken off at the end.  Exact
 * for every pair of bytes, -128 included; sums wrap and unwrap modulo 2^32.
 */
int32_t
vx_dot_i8_i8_vnni(const int8_t *a, const int8_t *b, int n)
{
	const __m512i raise = _mm512_set1_epi8((char) 0x80);
	__m512i		acc0 = _mm512_setzero_si512();
	__m512i		acc1 = _mm512_setzero_si512();
	__m512i		excess0 = _mm512_setzero_si512();
	__m512i		excess1 = _mm512_setzero_si512();
	int			i = 0;

	for (; i + 128 <= n; i += 128)
	{
		__m512i		b0 = _mm512_loadu_si512(b + i);
		__m512i		b1 = _mm512_loadu_si512(b + i + 64);

		acc0 = _mm512_dpbusd_epi32(acc0, _mm512_xor_si512(_mm512_loadu_si512(a + i), raise), b0);
		acc1 = _mm512_dpbusd_epi32(acc1, _mm512_xor_si512(_mm512_loadu_si512(a + i + 64), raise), b1);
		excess0 = _mm512_dpbusd_epi32(excess0, raise, b0);
		excess1 = _mm512_dpbusd_epi32(excess1, raise, b1);
	}
	for (; i < n; i += 64)
	{
		__mmask64	mask = n - i >= 64 ? ~(__mmask64) 0 : ((__mmask64) 1 << (n - i)) - 1;
		__m512i		a0 = _mm512_maskz_loadu_epi8(mask, a + i);
		__m512i		b0 = _mm512_maskz_loadu_epi8(mask, b + i);

		acc0 = _mm512_dpbusd_epi32(acc0, _mm512_xor_si512(a0, raise), b0);
		excess0 = _mm512_dpbusd_epi32(excess0, raise, b0);
	}
	acc0 = _mm512_sub_epi32(_mm512_add_epi32(acc0, acc1),
							_mm512_add_epi32(excess0, excess1));
	return _mm512_reduce_add_epi32(acc0);
}

/*
 * A panel register holds sixteen columns, four dimensions each, raised to
 * unsigned; a row's four codes are in every lane.  What raising adds, 128
 * times the sum of the row's codes, is where the sums start from.
 */
VX_INLINE __m512i
panel_start(const int8_t *row, int n)
{
	const __m512i raise = _mm512_set1_epi8((char) 0x80);
	__m512i		excess = _mm512_setzero_si512();

	for (int i = 0; i < n; i += 64)
	{
		__mmask64	mask = n - i >= 64 ? ~(__mmask64) 0 : ((__mmask64) 1 << (n - i)) - 1;

		excess = _mm512_dpbusd_epi32(excess, raise, _mm512_maskz_loadu_epi8(mask, row + i));
	}
	return _mm512_set1_epi32(-_mm512_reduce_add_epi32(excess));
}

/* Four rows by two panels. */
VX_INLINE void
panel_4x2(const int8_t *const *rows, int n, const int8_t *panel, int32_t *out, size_t stride)
{
	const __m512i raise = _mm512_set1_epi8((char) 0x80);
	const int8_t *second = panel + VX_PANEL_BYTES(n);
	__m512i		a0 = panel_start(rows[0], n);
	__m512i		a1 = panel_start(rows[1], n);
	__m512i		a2 = panel_start(rows[2], n);
	__m512i		a3 = panel_start(rows[3], n);
	__m512i		b0 = a0;
	__m512i		b1 = a1;
	__m512i		b2 = a2;
	__m512i		b3 = a3;

	for (int i = 0; i < n; i += 4)
	{
		__m512i		p = _mm512_xor_si512(raise, _mm512_load_si512(panel + (size_t) i * VX_PANEL));
		__m512i		q = _mm512_xor_si512(raise, _mm512_load_si512(second + (size_t) i * VX_PANEL));
		__m512i		r0 = _mm512_set1_epi32(vx_row_word(rows[0], i, n));
		__m512i		r1 = _mm512_set1_epi32(vx_row_word(rows[1], i, n));
		__m512i		r2 = _mm512_set1_epi32(vx_row_word(rows[2], i, n));
		__m512i		r3 = _mm512_set1_epi32(vx_row_word(rows[3], i, n));

		a0 = _mm512_dpbusd_epi32(a0, p, r0);
		b0 = _mm512_dpbusd_epi32(b0, q, r0);
		a1 = _mm512_dpbusd_epi32(a1, p, r1);
		b1 = _mm512_dpbusd_epi32(b1, q, r1);
		a2 = _mm512_dpbusd_epi32(a2, p, r2);
		b2 = _mm512_dpbusd_epi32(b2, q, r2);
		a3 = _mm512_dpbusd_epi32(a3, p, r3);
		b3 = _mm512_dpbusd_epi32(b3, q, r3);
	}
	_mm512_storeu_si512(out, a0);
	_mm512_storeu_si512(out + VX_PANEL, b0);
	_mm512_storeu_si512(out + stride, a1);
	_mm512_storeu_si512(out + stride + VX_PANEL, b1);
	_mm512_storeu_si512(out + 2 * stride, a2);
	_mm512_storeu_si512(out + 2 * stride + VX_PANEL, b2);
	_mm512_storeu_si512(out + 3 * stride, a3);
	_mm512_storeu_si512(out + 3 * stride + VX_PANEL, b3);
}

VX_INLINE void
panel_1x1(const int8_t *row, int n, const int8_t *panel, int32_t *out)
{
	const __m512i raise = _mm512_set1_epi8((char) 0x80);
	__m512i		sum = panel_start(row, n);

	for (int i = 0; i < n; i += 4)
		sum = _mm512_dpbusd_epi32(sum, _mm512_xor_si512(raise, _mm512_load_si512(panel + (size_t) i * VX_PANEL)),
								  _mm512_set1_epi32(vx_row_word(row, i, n)));
	_mm512_storeu_si512(out, sum);
}

void
vx_dot_i8_panels_vnni(const int8_t *const *rows, int nrows, int n, const int8_t *panels,
					  int npanels, int32_t *out, size_t stride)
{
	for (int p = 0; p < npanels; p += 2)
	{
		const int8_t *panel = panels + (size_t) p * VX_PANEL_BYTES(n);
		int32_t    *at = out + p * VX_PANEL;
		int			r = 0;

		if (p + 2 <= npanels)
			for (; r + 4 <= nrows; r += 4)
				panel_4x2(rows + r, n, panel, at + (size_t) r * stride, stride);
		for (; r < nrows; r++)
		{
			panel_1x1(rows[r], n, panel, at + (size_t) r * stride);
			if (p + 2 <= npanels)
				panel_1x1(rows[r], n, panel + VX_PANEL_BYTES(n), at + (size_t) r * stride + VX_PANEL);
		}
	}
}

/*
 * A byte permutation looks up 64 entries at once: the tables of the four low
 * (or high) nibbles of a code's four bytes.  So bytes need no transposition:
 * the index is the nibble with the byte's place in its code above it, and the
 * instruction for dot products adds each code's four entries to a 32-bit sum,
 * in the order of the codes and with nothing to flush.
 */
typedef struct VbmiSums
{
	__m512i		low0;			/* low nibbles of codes 0-15 */
	__m512i		low1;			/* of codes 16-31 */
	__m512i		high0;
	__m512i		high1;
} VbmiSums;

VX_INLINE void
scan_group_vbmi(VbmiSums *sums, const uint8_t *codes, const uint8_t *table)
{
	const __m512i low_half = _mm512_set1_epi8(0x0f);
	const __m512i place = _mm512_set1_epi32(0x30201000);
	const __m512i ones = _mm512_set1_epi8(1);
	__m512i		a = _mm512_loadu_si512(table);
	__m512i		b = _mm512_loadu_si512(table + 64);
	__m512i		low_table = _mm512_shuffle_i64x2(a, b, 0x88);
	__m512i		high_table = _mm512_shuffle_i64x2(a, b, 0xDD);
	__m512i		x = _mm512_loadu_si512(codes);
	__m512i		y = _mm512_loadu_si512(codes + 64);

	/* 0xEA: (first & second) | third */
	__m512i		x0 = _mm512_ternarylogic_epi32(x, low_half, place, 0xEA);
	__m512i		y0 = _mm512_ternarylogic_epi32(y, low_half, place, 0xEA);
	__m512i		x1 = _mm512_ternarylogic_epi32(_mm512_srli_epi32(x, 4), low_half, place, 0xEA);
	__m512i		y1 = _mm512_ternarylogic_epi32(_mm512_srli_epi32(y, 4), low_half, place, 0xEA);

	sums->low0 = _mm512_dpbusd_epi32(sums->low0, _mm512_permutexvar_epi8(x0, low_table), ones);
	sums->low1 = _mm512_dpbusd_epi32(sums->low1, _mm512_permutexvar_epi8(y0, low_table), ones);
	sums->high0 = _mm512_dpbusd_epi32(sums->high0, _mm512_permutexvar_epi8(x1, high_table), ones);
	sums->high1 = _mm512_dpbusd_epi32(sums->high1, _mm512_permutexvar_epi8(y1, high_table), ones);
}

void
vx_scan32_vbmi(const uint8_t *codes, int groups, const uint8_t *table,
			   uint32_t *sums)
{
	VbmiSums	first;
	VbmiSums	second;
	int			g = 0;

	first.low0 = first.low1 = first.high0 = first.high1 = _mm512_setzero_si512();
	second = first;

	/* two sets of sums: one would wait for the latency of its additions */
	for (; g + 2 <= groups; g += 2)
	{
		scan_group_vbmi(&first, codes, table);
		scan_group_vbmi(&second, codes + VX_GROUP_BYTES, table + VX_GROUP_NIBBLES * 16);
		codes += 2 * VX_GROUP_BYTES;
		table += 2 * VX_GROUP_NIBBLES * 16;
	}
	if (g < groups)
		scan_group_vbmi(&first, codes, table);
	first.low0 = _mm512_add_epi32(_mm512_add_epi32(first.low0, first.high0),
								  _mm512_add_epi32(second.low0, second.high0));
	first.low1 = _mm512_add_epi32(_mm512_add_epi32(first.low1, first.high1),
								  _mm512_add_epi32(second.low1, second.high1));
	_mm512_storeu_si512(sums, first.low0);
	_mm512_storeu_si512(sums + 16, first.low1);
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif							/* VX_X86 */
