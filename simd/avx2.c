/*
 * avx2.c
 *		Kernels for processors with AVX2, FMA and F16C.
 *
 * Compiled for the baseline like every other file: the pragmas below give the
 * functions their instruction set, and dispatch.c calls them only where the
 * processor has it.  Tails use masked loads, or the last eight elements once
 * more with those already counted masked out; vectors of less than eight go to
 * plain C or one masked pass.  Must never read past the end of an input, and
 * never fuse in rotate() and quantize_i8().
 */
#include "kernels.h"

#ifdef VX_X86

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
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

VX_INLINE float
sum8(__m256 v)
{
	__m128		x = _mm_add_ps(_mm256_castps256_ps128(v),
							   _mm256_extractf128_ps(v, 1));

	x = _mm_add_ps(x, _mm_movehl_ps(x, x));
	x = _mm_add_ss(x, _mm_movehdup_ps(x));
	return _mm_cvtss_f32(x);
}

VX_INLINE int32_t
sum8_epi32(__m256i v)
{
	__m128i		x = _mm_add_epi32(_mm256_castsi256_si128(v),
								  _mm256_extracti128_si256(v, 1));

	x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0x4E));
	x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0xB1));
	return _mm_cvtsi128_si32(x);
}

VX_INLINE __m256
abs8(__m256 v)
{
	return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v);
}

/* Elements i .. i + 7 of a stored vector. */
VX_INLINE __m256
load8(const void *v, int i, __m256 scale, __m256 offset, int src)
{
	const int8_t *c = (const int8_t *) v + i;
	__m256		x;

	if (src == SRC_F32)
		return _mm256_loadu_ps((const float *) v + i);
	if (src == SRC_F16)
		return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) ((const uint16_t *) v + i)));
	x = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *) c)));
	return src == SRC_I8 ? _mm256_fmadd_ps(x, scale, offset) : x;
}

VX_INLINE __m256
accumulate(__m256 acc, __m256 a, __m256 b, int op)
{
	__m256		d;

	if (op == OP_DOT)
		return _mm256_fmadd_ps(a, b, acc);
	d = _mm256_sub_ps(a, b);
	if (op == OP_L2SQ)
		return _mm256_fmadd_ps(d, d, acc);
	return _mm256_add_ps(acc, abs8(d));
}

/* Every distance, n >= 8; "op" and "src" are constants where it is inlined. */
VX_INLINE float
distance(const float *q, const void *v, float scale, float offset, int n,
		 int op, int src)
{
	__m256		vscale = _mm256_set1_ps(scale);
	__m256		voffset = _mm256_set1_ps(offset);
	__m256		acc0 = _mm256_setzero_ps();
	__m256		acc1 = _mm256_setzero_ps();
	__m256		acc2 = _mm256_setzero_ps();
	__m256		acc3 = _mm256_setzero_ps();
	int			i = 0;

	for (; i + 32 <= n; i += 32)
	{
		acc0 = accumulate(acc0, _mm256_loadu_ps(q + i),
						  load8(v, i, vscale, voffset, src), op);
		acc1 = accumulate(acc1, _mm256_loadu_ps(q + i + 8),
						  load8(v, i + 8, vscale, voffset, src), op);
		acc2 = accumulate(acc2, _mm256_loadu_ps(q + i + 16),
						  load8(v, i + 16, vscale, voffset, src), op);
		acc3 = accumulate(acc3, _mm256_loadu_ps(q + i + 24),
						  load8(v, i + 24, vscale, voffset, src), op);
	}
	for (; i + 8 <= n; i += 8)
		acc0 = accumulate(acc0, _mm256_loadu_ps(q + i),
						  load8(v, i, vscale, voffset, src), op);
	if (i < n)
	{
		__m256		mask = _mm256_castsi256_ps(last_lanes(n - i));

		acc1 = accumulate(acc1,
						  _mm256_and_ps(mask, _mm256_loadu_ps(q + n - 8)),
						  _mm256_and_ps(mask, load8(v, n - 8, vscale, voffset, src)),
						  op);
	}
	return sum8(_mm256_add_ps(_mm256_add_ps(acc0, acc1),
							  _mm256_add_ps(acc2, acc3)));
}

/* The same in one masked pass, fp32 only, n < 8. */
VX_INLINE float
distance_short(const float *a, const float *b, int n, int op)
{
	__m256i		mask = first_lanes(n);

	return sum8(accumulate(_mm256_setzero_ps(), _mm256_maskload_ps(a, mask),
						   _mm256_maskload_ps(b, mask), op));
}

static float
l2sq(const float *a, const float *b, int n)
{
	if (n < 8)
		return distance_short(a, b, n, OP_L2SQ);
	return distance(a, b, 0, 0, n, OP_L2SQ, SRC_F32);
}

static float
dot(const float *a, const float *b, int n)
{
	if (n < 8)
		return distance_short(a, b, n, OP_DOT);
	return distance(a, b, 0, 0, n, OP_DOT, SRC_F32);
}

static float
l1(const float *a, const float *b, int n)
{
	if (n < 8)
		return distance_short(a, b, n, OP_L1);
	return distance(a, b, 0, 0, n, OP_L1, SRC_F32);
}

static float
sumsq(const float *a, int n)
{
	if (n < 8)
		return distance_short(a, a, n, OP_DOT);
	return distance(a, a, 0, 0, n, OP_DOT, SRC_F32);
}

static void
dot_norms(const float *a, const float *b, int n, float *ab, float *aa, float *bb)
{
	__m256		acc[2][3] = {{{0}}};
	int			i = 0;

	for (; i + 16 <= n; i += 16)
	{
		for (int k = 0; k < 2; k++)
		{
			__m256		x = _mm256_loadu_ps(a + i + 8 * k);
			__m256		y = _mm256_loadu_ps(b + i + 8 * k);

			acc[k][0] = _mm256_fmadd_ps(x, y, acc[k][0]);
			acc[k][1] = _mm256_fmadd_ps(x, x, acc[k][1]);
			acc[k][2] = _mm256_fmadd_ps(y, y, acc[k][2]);
		}
	}
	for (; i < n; i += 8)
	{
		__m256i		mask = first_lanes(n - i < 8 ? n - i : 8);
		__m256		x = _mm256_maskload_ps(a + i, mask);
		__m256		y = _mm256_maskload_ps(b + i, mask);

		acc[0][0] = _mm256_fmadd_ps(x, y, acc[0][0]);
		acc[0][1] = _mm256_fmadd_ps(x, x, acc[0][1]);
		acc[0][2] = _mm256_fmadd_ps(y, y, acc[0][2]);
	}
	*ab = sum8(_mm256_add_ps(acc[0][0], acc[1][0]));
	*aa = sum8(_mm256_add_ps(acc[0][1], acc[1][1]));
	*bb = sum8(_mm256_add_ps(acc[0][2], acc[1][2]));
}

static float
dot_f16(const float *q, const uint16_t *v, int n)
{
	if (n < 8)
		return vx_kernels_generic.dot_f16(q, v, n);
	return distance(q, v, 0, 0, n, OP_DOT, SRC_F16);
}

static float
l1_f16(const float *q, const uint16_t *v, int n)
{
	if (n < 8)
		return vx_kernels_generic.l1_f16(q, v, n);
	return distance(q, v, 0, 0, n, OP_L1, SRC_F16);
}

static float
l1_i8(const float *q, const int8_t *c, float scale, float offset, int n)
{
	if (n < 8)
		return vx_kernels_generic.l1_i8(q, c, scale, offset, n);
	return distance(q, c, scale, offset, n, OP_L1, SRC_I8);
}

/*
 * Integer dot products
 */
VX_INLINE __m256i
load16_i8(const int8_t *c)
{
	return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *) c));
}

static int32_t
dot_i16_i8(const int16_t *q, const int8_t *c, int n)
{
	__m256i		acc0 = _mm256_setzero_si256();
	__m256i		acc1 = _mm256_setzero_si256();
	int32_t		sum = 0;
	int			i = 0;

	for (; i + 32 <= n; i += 32)
	{
		__m256i		q0 = _mm256_loadu_si256((const __m256i *) (q + i));
		__m256i		q1 = _mm256_loadu_si256((const __m256i *) (q + i + 16));

		acc0 = _mm256_add_epi32(acc0, _mm256_madd_epi16(q0, load16_i8(c + i)));
		acc1 = _mm256_add_epi32(acc1, _mm256_madd_epi16(q1, load16_i8(c + i + 16)));
	}
	if (i + 16 <= n)
	{
		__m256i		q0 = _mm256_loadu_si256((const __m256i *) (q + i));

		acc0 = _mm256_add_epi32(acc0, _mm256_madd_epi16(q0, load16_i8(c + i)));
		i += 16;
	}
	for (; i < n; i++)
		sum += (int32_t) q[i] * c[i];
	return sum + sum8_epi32(_mm256_add_epi32(acc0, acc1));
}

static int32_t
dot_i8_i8(const int8_t *a, const int8_t *b, int n)
{
	__m256i		acc0 = _mm256_setzero_si256();
	__m256i		acc1 = _mm256_setzero_si256();
	int32_t		sum = 0;
	int			i = 0;

	for (; i + 32 <= n; i += 32)
	{
		acc0 = _mm256_add_epi32(acc0, _mm256_madd_epi16(load16_i8(a + i),
														load16_i8(b + i)));
		acc1 = _mm256_add_epi32(acc1, _mm256_madd_epi16(load16_i8(a + i + 16),
														load16_i8(b + i + 16)));
	}
	if (i + 16 <= n)
	{
		acc0 = _mm256_add_epi32(acc0, _mm256_madd_epi16(load16_i8(a + i),
														load16_i8(b + i)));
		i += 16;
	}
	for (; i < n; i++)
		sum += (int32_t) a[i] * b[i];
	return sum + sum8_epi32(_mm256_add_epi32(acc0, acc1));
}

/*
 * Conversions and scalar quantisation.  Where n is no multiple of eight, the
 * last eight elements are done once more.
 */
VX_INLINE int
clip_start(int i, int n)
{
	return i + 8 <= n ? i : n - 8;
}

static void
f32_to_f16(const float *v, uint16_t *out, int n)
{
	if (n < 8)
	{
		vx_kernels_generic.f32_to_f16(v, out, n);
		return;
	}
	for (int i = 0; i < n; i += 8)
	{
		int			k = clip_start(i, n);

		_mm_storeu_si128((__m128i *) (out + k),
						 _mm256_cvtps_ph(_mm256_loadu_ps(v + k),
										 _MM_FROUND_TO_NEAREST_INT));
	}
}

static void
f16_to_f32(const uint16_t *v, float *out, int n)
{
	if (n < 8)
	{
		vx_kernels_generic.f16_to_f32(v, out, n);
		return;
	}
	for (int i = 0; i < n; i += 8)
	{
		int			k = clip_start(i, n);

		_mm256_storeu_ps(out + k,
						 _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *) (v + k))));
	}
}

static void
quantize_i8(const float *v, int n, int8_t *c, float *scale, float *offset,
			int32_t *sum)
{
	const __m256 limit = _mm256_set1_ps(127.0f);
	const __m256 low_limit = _mm256_set1_ps(-127.0f);
	__m256		min;
	__m256		max;
	__m256		inverse;
	__m256		middle;
	__m256i		total = _mm256_setzero_si256();
	float		mins[8];
	float		maxs[8];

	if (n < 8)
	{
		vx_kernels_generic.quantize_i8(v, n, c, scale, offset, sum);
		return;
	}
	min = max = _mm256_loadu_ps(v);
	for (int i = 8; i < n; i += 8)
	{
		__m256		x = _mm256_loadu_ps(v + clip_start(i, n));

		min = _mm256_min_ps(min, x);
		max = _mm256_max_ps(max, x);
	}
	_mm256_storeu_ps(mins, min);
	_mm256_storeu_ps(maxs, max);
	for (int i = 1; i < 8; i++)
	{
		mins[0] = mins[i] < mins[0] ? mins[i] : mins[0];
		maxs[0] = maxs[i] > maxs[0] ? maxs[i] : maxs[0];
	}
	vx_i8_scale(mins[0], maxs[0], scale, offset);

	inverse = _mm256_set1_ps(*scale > 0.0f ? 1.0f / *scale : 0.0f);
	middle = _mm256_set1_ps(*offset);
	for (int i = 0; i < n; i += 8)
	{
		int			k = clip_start(i, n);
		__m256		x = _mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(v + k), middle),
									  inverse);
		__m256i		code;
		__m128i		words;

		x = _mm256_max_ps(_mm256_min_ps(x, limit), low_limit);
		code = _mm256_cvtps_epi32(x);
		words = _mm_packs_epi32(_mm256_castsi256_si128(code),
								_mm256_extracti128_si256(code, 1));
		_mm_storel_epi64((__m128i *) (c + k), _mm_packs_epi16(words, words));
		if (k != i)
			code = _mm256_and_si256(code, last_lanes(n - i));
		total = _mm256_add_epi32(total, code);
	}
	*sum = sum8_epi32(total);
}

/* Not fused, so that all levels give the same floats. */
static void
dequantize_i8(const int8_t *c, float scale, float offset, int n, float *out)
{
	__m256		vscale = _mm256_set1_ps(scale);
	__m256		voffset = _mm256_set1_ps(offset);

	if (n < 8)
	{
		vx_kernels_generic.dequantize_i8(c, scale, offset, n, out);
		return;
	}
	for (int i = 0; i < n; i += 8)
	{
		int			k = clip_start(i, n);
		__m256		x = load8(c, k, vscale, voffset, SRC_I8_RAW);

		_mm256_storeu_ps(out + k, _mm256_add_ps(_mm256_mul_ps(x, vscale), voffset));
	}
}

static void
quantize_i16(const float *q, int n, int16_t *out, float *scale)
{
	__m256		max = _mm256_setzero_ps();
	__m256		total = _mm256_setzero_ps();
	__m256		factor;
	float		maxs[8];
	float		inverse;
	float		sum;

	if (n >= 8)
	{
		for (int i = 0; i < n; i += 8)
			max = _mm256_max_ps(max, abs8(_mm256_loadu_ps(q + clip_start(i, n))));
	}
	_mm256_storeu_ps(maxs, max);
	for (int i = 1; i < 8; i++)
		maxs[0] = maxs[i] > maxs[0] ? maxs[i] : maxs[0];
	if (n < 8 || !(maxs[0] >= VX_I16_MIN_ABS))
	{
		vx_kernels_generic.quantize_i16(q, n, out, scale);
		return;
	}

	inverse = VX_I16_MAX / maxs[0];
	factor = _mm256_set1_ps(inverse);
	for (int i = 0; i < n; i += 8)
	{
		__m256i		mask = first_lanes(n - i < 8 ? n - i : 8);
		__m256		x = abs8(_mm256_maskload_ps(q + i, mask));

		total = _mm256_fmadd_ps(x, factor, total);
	}
	sum = sum8(total);
	if (sum > VX_I16_SUM(n))
		inverse *= VX_I16_SUM(n) / sum;

	factor = _mm256_set1_ps(inverse);
	for (int i = 0; i < n; i += 8)
	{
		int			k = clip_start(i, n);
		__m256i		code = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(q + k),
															factor));
		__m128i		words = _mm_packs_epi32(_mm256_castsi256_si128(code),
											_mm256_extracti128_si256(code, 1));

		words = _mm_max_epi16(words, _mm_set1_epi16(-32767));
		_mm_storeu_si128((__m128i *) (out + k), words);
	}
	*scale = 1.0f / inverse;
}

/*
 * Rotation.  Sums only, and one product after the last stage: nothing to fuse.
 */

/* Strides 1, 2 and 4 of a Walsh-Hadamard transform. */
VX_INLINE __m256
hadamard8(__m256 v)
{
	const __m256 odd1 = _mm256_castsi256_ps(_mm256_set1_epi64x((long long) 0x8000000000000000ULL));
	const __m256 odd2 = _mm256_setr_ps(0.0f, 0.0f, -0.0f, -0.0f,
									   0.0f, 0.0f, -0.0f, -0.0f);
	const __m256 odd4 = _mm256_setr_ps(0.0f, 0.0f, 0.0f, 0.0f,
									   -0.0f, -0.0f, -0.0f, -0.0f);

	v = _mm256_add_ps(_mm256_permute_ps(v, 0xB1), _mm256_xor_ps(v, odd1));
	v = _mm256_add_ps(_mm256_permute_ps(v, 0x4E), _mm256_xor_ps(v, odd2));
	return _mm256_add_ps(_mm256_permute2f128_ps(v, v, 1), _mm256_xor_ps(v, odd4));
}

/* One stage of stride >= 8. */
VX_INLINE void
stage2(float *v, int p, int stride, int last, __m256 scale)
{
	for (int i = 0; i < p; i += 2 * stride)
	{
		for (int j = i; j < i + stride; j += 8)
		{
			__m256		a = _mm256_loadu_ps(v + j);
			__m256		b = _mm256_loadu_ps(v + j + stride);
			__m256		sum = _mm256_add_ps(a, b);
			__m256		difference = _mm256_sub_ps(a, b);

			if (last)
			{
				sum = _mm256_mul_ps(sum, scale);
				difference = _mm256_mul_ps(difference, scale);
			}
			_mm256_storeu_ps(v + j, sum);
			_mm256_storeu_ps(v + j + stride, difference);
		}
	}
}

/* Two stages, of "stride" >= 8 and of twice that. */
VX_INLINE void
stage4(float *v, int p, int stride, int last, __m256 scale)
{
	for (int i = 0; i < p; i += 4 * stride)
	{
		for (int j = i; j < i + stride; j += 8)
		{
			__m256		a = _mm256_loadu_ps(v + j);
			__m256		b = _mm256_loadu_ps(v + j + stride);
			__m256		c = _mm256_loadu_ps(v + j + 2 * stride);
			__m256		d = _mm256_loadu_ps(v + j + 3 * stride);
			__m256		ab = _mm256_add_ps(a, b);
			__m256		cd = _mm256_add_ps(c, d);

			b = _mm256_sub_ps(a, b);
			d = _mm256_sub_ps(c, d);
			a = _mm256_add_ps(ab, cd);
			c = _mm256_sub_ps(ab, cd);
			ab = _mm256_add_ps(b, d);
			d = _mm256_sub_ps(b, d);
			if (last)
			{
				a = _mm256_mul_ps(a, scale);
				ab = _mm256_mul_ps(ab, scale);
				c = _mm256_mul_ps(c, scale);
				d = _mm256_mul_ps(d, scale);
			}
			_mm256_storeu_ps(v + j, a);
			_mm256_storeu_ps(v + j + stride, ab);
			_mm256_storeu_ps(v + j + 2 * stride, c);
			_mm256_storeu_ps(v + j + 3 * stride, d);
		}
	}
}

/* p >= 8, a power of two */
static void
hadamard(float *v, int p)
{
	__m256		scale = _mm256_set1_ps(vx_hadamard_scale(p));
	int			stages = __builtin_ctz((unsigned) p) - 3;
	int			stride = 8;

	for (int i = 0; i < p; i += 8)
	{
		__m256		x = hadamard8(_mm256_loadu_ps(v + i));

		_mm256_storeu_ps(v + i, stages == 0 ? _mm256_mul_ps(x, scale) : x);
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
	const __m256i shifts = _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24);
	const __m256 sign_bit = _mm256_set1_ps(-0.0f);
	int			p;

	if (n < 8)
	{
		vx_kernels_generic.rotate(v, n, signs);
		return;
	}
	p = vx_power_of_two_below(n);
	for (int round = 0; round < 2; round++)
	{
		int			i = 0;

		for (; i + 8 <= n; i += 8)
		{
			__m256i		flips = _mm256_set1_epi32((int) (signs[i / 32] >> (i % 32)));
			__m256		flip = _mm256_castsi256_ps(_mm256_sllv_epi32(flips, shifts));

			_mm256_storeu_ps(v + i,
							 _mm256_xor_ps(_mm256_loadu_ps(v + i),
										   _mm256_and_ps(flip, sign_bit)));
		}
		for (; i < n; i++)
		{
			if ((signs[i / 32] >> (i % 32)) & 1)
				v[i] = -v[i];
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

/* Dimensions handled through a buffer at a time, a multiple of 8. */
#define TABLE_CHUNK 128

/*
 * Entries of "nibbles" nibbles of plane 0, from part[] (four floats a nibble)
 * and base[] (one in each four), all times "factor".
 */
VX_INLINE void
table_entries(const float *part, const float *base, int nibbles, float factor,
			  uint8_t *table)
{
	const __m256 bit0 = _mm256_castsi256_ps(_mm256_setr_epi32(0, -1, 0, -1, 0, -1, 0, -1));
	const __m256 bit1 = _mm256_castsi256_ps(_mm256_setr_epi32(0, 0, -1, -1, 0, 0, -1, -1));
	const __m256 bit2 = _mm256_castsi256_ps(_mm256_setr_epi32(0, 0, 0, 0, -1, -1, -1, -1));
	const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
	__m256		vfactor = _mm256_set1_ps(factor);

	for (int t = 0; t < nibbles; t += 2)
	{
		__m256i		words[2];
		__m256i		bytes;

		for (int k = 0; k < 2; k++)
		{
			const float *x = part + 4 * (t + k);
			__m256		low = _mm256_broadcast_ss(base + 4 * (t + k));
			__m256		high;

			low = _mm256_add_ps(low, _mm256_and_ps(bit0, _mm256_broadcast_ss(x)));
			low = _mm256_add_ps(low, _mm256_and_ps(bit1, _mm256_broadcast_ss(x + 1)));
			low = _mm256_add_ps(low, _mm256_and_ps(bit2, _mm256_broadcast_ss(x + 2)));
			high = _mm256_add_ps(low, _mm256_broadcast_ss(x + 3));
			low = _mm256_mul_ps(low, vfactor);
			high = _mm256_mul_ps(high, vfactor);
			words[k] = _mm256_packs_epi32(_mm256_cvtps_epi32(low),
										  _mm256_cvtps_epi32(high));
		}
		bytes = _mm256_packus_epi16(words[0], words[1]);
		bytes = _mm256_permutevar8x32_epi32(bytes, order);
		if (t + 2 <= nibbles)
			_mm256_storeu_si256((__m256i *) (table + 16 * t), bytes);
		else
			_mm_storeu_si128((__m128i *) (table + 16 * t),
							 _mm256_castsi256_si128(bytes));
	}
}

static void
build_table(const float *q, int n, int bits, uint8_t *table, float *delta,
			float *bias)
{
	int			nibbles = VX_PLANE_NIBBLES(n);
	__m256		widest = _mm256_setzero_ps();
	__m256		total = _mm256_setzero_ps();
	__m256		scale;
	float		widths[8];
	size_t		used = (size_t) VX_CODE_NIBBLES(n, bits) * 16;

	for (int i = 0; i < n; i += 8)
	{
		__m256i		mask = first_lanes(n - i < 8 ? n - i : 8);
		__m256		x = abs8(_mm256_maskload_ps(q + i, mask));

		total = _mm256_add_ps(total, x);
		x = _mm256_add_ps(x, _mm256_permute_ps(x, 0xB1));
		x = _mm256_add_ps(x, _mm256_permute_ps(x, 0x4E));
		widest = _mm256_max_ps(widest, x);
	}
	_mm256_storeu_ps(widths, widest);
	*delta = (widths[0] > widths[4] ? widths[0] : widths[4]) *
		(float) (1 << bits) / 255.0f;
	*bias = 0.0f;
	if (!(*delta >= VX_TABLE_MIN_DELTA))
	{
		memset(table, 0, (size_t) VX_TABLE_BYTES(n, bits));
		*delta = 0.0f;
		return;
	}
	*bias = -sum8(total) * (float) ((1 << bits) - 1);
	memset(table + used, 0, (size_t) VX_TABLE_BYTES(n, bits) - used);

	scale = _mm256_set1_ps(2.0f / *delta);
	for (int start = 0; start < n; start += TABLE_CHUNK)
	{
		int			count = n - start < TABLE_CHUNK ? n - start : TABLE_CHUNK;
		float		part[TABLE_CHUNK];
		float		base[TABLE_CHUNK];

		for (int i = 0; i < count; i += 8)
		{
			__m256i		mask = first_lanes(count - i < 8 ? count - i : 8);
			__m256		x = _mm256_mul_ps(scale, _mm256_maskload_ps(q + start + i, mask));
			__m256		y;

			_mm256_storeu_ps(part + i, x);
			y = _mm256_sub_ps(_mm256_setzero_ps(),
							  _mm256_min_ps(x, _mm256_setzero_ps()));
			y = _mm256_add_ps(y, _mm256_permute_ps(y, 0xB1));
			y = _mm256_add_ps(y, _mm256_permute_ps(y, 0x4E));
			_mm256_storeu_ps(base + i, y);
		}
		for (int p = 0; p < bits; p++)
			table_entries(part, base, (count + 3) / 4, (float) (1 << p),
						  table + (size_t) (p * nibbles + start / 4) * 16);
	}
}

/*
 * Code scan (FastScan: Andre, Kermarrec, Le Scouarnec, VLDB 2015)
 *
 * Register i holds codes 8i .. 8i + 7, four bytes each.  A byte shuffle
 * gathers, in each 128-bit half, byte j of four codes in double word i + j
 * (modulo 4); then eight blends, which run on more ports than unpacks do,
 * collect byte j of all 32 codes in one register.  There double word p belongs
 * to register p - j, so each byte of the code has sums of its own, turned to
 * one order at the end.
 *
 * Table entries are added as 16-bit words, the odd bytes once more by
 * themselves: the even ones are the difference.
 */

/* 8 nibbles a group, each at most 255: so many groups fit a 16-bit sum. */
#define SCAN_GROUPS 32

typedef struct ScanSums
{
	__m256i		words[4];
	__m256i		odd[4];
} ScanSums;

VX_INLINE void
scan_byte(ScanSums *sums, int j, __m256i bytes, const uint8_t *table)
{
	const __m256i low_half = _mm256_set1_epi8(0x0f);
	__m256i		table0 = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *) (table + 32 * j)));
	__m256i		table1 = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *) (table + 32 * j + 16)));
	__m256i		x = _mm256_shuffle_epi8(table0, _mm256_and_si256(bytes, low_half));
	__m256i		y = _mm256_shuffle_epi8(table1,
										_mm256_and_si256(_mm256_srli_epi16(bytes, 4),
														 low_half));

	sums->words[j] = _mm256_add_epi16(sums->words[j], _mm256_add_epi16(x, y));
	sums->odd[j] = _mm256_add_epi16(sums->odd[j],
									_mm256_add_epi16(_mm256_srli_epi16(x, 8),
													 _mm256_srli_epi16(y, 8)));
}

VX_INLINE void
scan_group(ScanSums *sums, const uint8_t *codes, const uint8_t *table)
{
	const __m256i gather0 = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
	const __m256i gather1 = _mm256_broadcastsi128_si256(_mm_setr_epi8(3, 7, 11, 15, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14));
	const __m256i gather2 = _mm256_broadcastsi128_si256(_mm_setr_epi8(2, 6, 10, 14, 3, 7, 11, 15, 0, 4, 8, 12, 1, 5, 9, 13));
	const __m256i gather3 = _mm256_broadcastsi128_si256(_mm_setr_epi8(1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15, 0, 4, 8, 12));
	const __m256i *in = (const __m256i *) codes;
	__m256i		y0 = _mm256_shuffle_epi8(_mm256_loadu_si256(in), gather0);
	__m256i		y1 = _mm256_shuffle_epi8(_mm256_loadu_si256(in + 1), gather1);
	__m256i		y2 = _mm256_shuffle_epi8(_mm256_loadu_si256(in + 2), gather2);
	__m256i		y3 = _mm256_shuffle_epi8(_mm256_loadu_si256(in + 3), gather3);
	__m256i		y02 = _mm256_blend_epi32(y0, y2, 0xCC);
	__m256i		y20 = _mm256_blend_epi32(y2, y0, 0xCC);
	__m256i		y13 = _mm256_blend_epi32(y1, y3, 0xCC);
	__m256i		y31 = _mm256_blend_epi32(y3, y1, 0xCC);

	scan_byte(sums, 0, _mm256_blend_epi32(y02, y13, 0xAA), table);
	scan_byte(sums, 1, _mm256_blend_epi32(y31, y02, 0xAA), table);
	scan_byte(sums, 2, _mm256_blend_epi32(y20, y31, 0xAA), table);
	scan_byte(sums, 3, _mm256_blend_epi32(y13, y20, 0xAA), table);
}

/* Sum of the four bytes' sums, in the order of byte 0. */
VX_INLINE __m256i
scan_turn(const __m256i *x)
{
	return _mm256_add_epi16(_mm256_add_epi16(x[0],
											 _mm256_shuffle_epi32(x[1], 0x39)),
							_mm256_add_epi16(_mm256_shuffle_epi32(x[2], 0x4E),
											 _mm256_shuffle_epi32(x[3], 0x93)));
}

/* Write (first) or add 16 sums; "words" holds 0-3, 8-11, 4-7, 12-15. */
VX_INLINE void
scan_put(uint32_t *sums, __m256i words, int first)
{
	__m256i		low;
	__m256i		high;

	words = _mm256_permute4x64_epi64(words, 0xD8);
	low = _mm256_cvtepu16_epi32(_mm256_castsi256_si128(words));
	high = _mm256_cvtepu16_epi32(_mm256_extracti128_si256(words, 1));
	if (!first)
	{
		low = _mm256_add_epi32(low, _mm256_loadu_si256((__m256i *) sums));
		high = _mm256_add_epi32(high, _mm256_loadu_si256((__m256i *) (sums + 8)));
	}
	_mm256_storeu_si256((__m256i *) sums, low);
	_mm256_storeu_si256((__m256i *) (sums + 8), high);
}

static void
scan32(const uint8_t *codes, int groups, const uint8_t *table, uint32_t *sums)
{
	int			g = 0;

	do
	{
		int			end = groups - g < SCAN_GROUPS ? groups : g + SCAN_GROUPS;
		int			first = g == 0;
		ScanSums	acc;
		__m256i		even;
		__m256i		odd;

		for (int j = 0; j < 4; j++)
			acc.words[j] = acc.odd[j] = _mm256_setzero_si256();
		for (; g < end; g++)
			scan_group(&acc, codes + (size_t) g * VX_GROUP_BYTES,
					   table + (size_t) g * VX_GROUP_NIBBLES * 16);
		odd = scan_turn(acc.odd);
		even = _mm256_sub_epi16(scan_turn(acc.words), _mm256_slli_epi16(odd, 8));
		scan_put(sums, _mm256_unpacklo_epi16(even, odd), first);
		scan_put(sums + 16, _mm256_unpackhi_epi16(even, odd), first);
	} while (g < groups);
}

/*
 * Estimates
 */
VX_INLINE uint32_t
estimate8(const uint32_t *sums, __m256 a, __m256 b, float base, float delta,
		  float bias, float bound, float *est)
{
	__m256		x = _mm256_cvtepi32_ps(_mm256_loadu_si256((const __m256i *) sums));

	x = _mm256_fmadd_ps(x, _mm256_set1_ps(delta), _mm256_set1_ps(bias));
	x = _mm256_fmadd_ps(x, b, _mm256_add_ps(a, _mm256_set1_ps(base)));
	_mm256_storeu_ps(est, x);
	x = _mm256_cmp_ps(x, _mm256_set1_ps(bound), _CMP_LT_OQ);
	return (uint32_t) _mm256_movemask_ps(x);
}

VX_INLINE __m256
load8_bf16(const uint16_t *v)
{
	__m256i		x = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *) v));

	return _mm256_castsi256_ps(_mm256_slli_epi32(x, 16));
}

static uint32_t
estimate32_bf16(const uint32_t *sums, const uint16_t *a, const uint16_t *b,
				float base, float delta, float bias, float bound, float *est)
{
	uint32_t	mask = 0;

	for (int i = 0; i < VX_BLOCK; i += 8)
		mask |= estimate8(sums + i, load8_bf16(a + i), load8_bf16(b + i),
						  base, delta, bias, bound, est + i) << i;
	return mask;
}

static uint32_t
estimate32_f32(const uint32_t *sums, const float *a, const float *b,
			   float base, float delta, float bias, float bound, float *est)
{
	uint32_t	mask = 0;

	for (int i = 0; i < VX_BLOCK; i += 8)
		mask |= estimate8(sums + i, _mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i),
						  base, delta, bias, bound, est + i) << i;
	return mask;
}

/*
 * Codes (RaBitQ: Gao, Long, SIGMOD 2024, and its extension to more bits)
 */
static void
encode_signs(const float *r, const float *y, int n, uint8_t *code, float *rs,
			 float *ys)
{
	const __m256 sign_bit = _mm256_set1_ps(-0.0f);
	__m256		acc_rs = _mm256_setzero_ps();
	__m256		acc_ys = _mm256_setzero_ps();

	for (int i = 0; i < n; i += 8)
	{
		int			count = n - i < 8 ? n - i : 8;
		__m256i		mask = first_lanes(count);
		__m256		x = _mm256_maskload_ps(r + i, mask);
		__m256		positive = _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_GE_OQ);
		__m256		flip = _mm256_andnot_ps(positive, sign_bit);

		code[i / 8] = (uint8_t) (_mm256_movemask_ps(positive) & ((1 << count) - 1));
		acc_rs = _mm256_add_ps(acc_rs, _mm256_xor_ps(x, flip));
		acc_ys = _mm256_add_ps(acc_ys, _mm256_xor_ps(_mm256_maskload_ps(y + i, mask), flip));
	}
	*rs = sum8(acc_rs);
	*ys = sum8(acc_ys);
}

/* floor(x), clamped to -half .. half - 1 */
VX_INLINE __m256
clamped_floor(__m256 x, __m256 low, __m256 high)
{
	return _mm256_floor_ps(_mm256_min_ps(_mm256_max_ps(x, low), high));
}

/* <r,s>^2 / <s,s> for four reciprocals of the step */
static void
step_scores(const float *r, int n, float half, const float *inverse, float *scores)
{
	const __m256 low = _mm256_set1_ps(-half);
	const __m256 high = _mm256_set1_ps(half - 0.5f);
	const __m256 middle = _mm256_set1_ps(0.5f);
	__m256		rs[4];
	__m256		ss[4];
	int			i = 0;

	for (int k = 0; k < 4; k++)
		rs[k] = ss[k] = _mm256_setzero_ps();
	for (; i + 8 <= n; i += 8)
	{
		__m256		x = _mm256_loadu_ps(r + i);

		for (int k = 0; k < 4; k++)
		{
			__m256		s = _mm256_mul_ps(x, _mm256_broadcast_ss(inverse + k));

			s = _mm256_add_ps(clamped_floor(s, low, high), middle);
			rs[k] = _mm256_fmadd_ps(x, s, rs[k]);
			ss[k] = _mm256_fmadd_ps(s, s, ss[k]);
		}
	}
	if (i < n)
	{
		__m256i		mask = first_lanes(n - i);
		__m256		x = _mm256_maskload_ps(r + i, mask);

		for (int k = 0; k < 4; k++)
		{
			__m256		s = _mm256_mul_ps(x, _mm256_broadcast_ss(inverse + k));

			s = _mm256_add_ps(clamped_floor(s, low, high), middle);
			s = _mm256_and_ps(s, _mm256_castsi256_ps(mask));
			rs[k] = _mm256_fmadd_ps(x, s, rs[k]);
			ss[k] = _mm256_fmadd_ps(s, s, ss[k]);
		}
	}
	for (int k = 0; k < 4; k++)
	{
		float		sum = sum8(rs[k]);

		scores[k] = sum * sum / sum8(ss[k]);
	}
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
	const __m256 low = _mm256_set1_ps(-half);
	const __m256 high = _mm256_set1_ps(half - 0.5f);
	__m256		acc_rs = _mm256_setzero_ps();
	__m256		acc_ys = _mm256_setzero_ps();
	__m256		inverse;

	memset(code, 0, (size_t) VX_CODE_BYTES(n, bits));
	if (bits == 1)
	{
		encode_signs(r, y, n, code, rs, ys);
		return;
	}
	inverse = _mm256_set1_ps(n > 0 ? best_step(r, n, bits) : 1.0f);
	for (int i = 0; i < n; i += 8)
	{
		int			count = n - i < 8 ? n - i : 8;
		__m256i		mask = first_lanes(count);
		__m256		x = _mm256_maskload_ps(r + i, mask);
		__m256		t = clamped_floor(_mm256_mul_ps(x, inverse), low, high);
		__m256		s = _mm256_add_ps(_mm256_add_ps(t, t), _mm256_set1_ps(1.0f));
		__m256i		u = _mm256_cvtps_epi32(_mm256_add_ps(t, _mm256_set1_ps(half)));

		for (int p = 0; p < bits; p++)
		{
			__m256i		bit = _mm256_sll_epi32(u, _mm_cvtsi32_si128(31 - p));
			int			plane = _mm256_movemask_ps(_mm256_castsi256_ps(bit));

			vx_put_bits(code, p * nibbles + i / 4,
						(uint32_t) (plane & ((1 << count) - 1)), count);
		}
		acc_rs = _mm256_fmadd_ps(x, s, acc_rs);
		acc_ys = _mm256_fmadd_ps(_mm256_maskload_ps(y + i, mask), s, acc_ys);
	}
	*rs = sum8(acc_rs);
	*ys = sum8(acc_ys);
}

/*
 * Rows by one panel (two registers of eight columns).  |row| times the column
 * with the row's sign: pairs of products stay within 16 bits, since codes are
 * -127..127.
 */
VX_INLINE __m256i
add_products(__m256i sum, __m256i columns, __m256i row, __m256i size)
{
	__m256i		pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(columns, row));

	return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

VX_INLINE void
panel_4(const int8_t *const *rows, int n, const int8_t *panel, int32_t *out, size_t stride)
{
	__m256i		a0 = _mm256_setzero_si256();
	__m256i		a1 = a0;
	__m256i		a2 = a0;
	__m256i		a3 = a0;
	__m256i		b0 = a0;
	__m256i		b1 = a0;
	__m256i		b2 = a0;
	__m256i		b3 = a0;

	for (int i = 0; i < n; i += 4, panel += 4 * VX_PANEL)
	{
		__m256i		c = _mm256_load_si256((const __m256i *) panel);
		__m256i		d = _mm256_load_si256((const __m256i *) (panel + 32));
		__m256i		r;
		__m256i		size;

		r = _mm256_set1_epi32(vx_row_word(rows[0], i, n));
		size = _mm256_abs_epi8(r);
		a0 = add_products(a0, c, r, size);
		b0 = add_products(b0, d, r, size);
		r = _mm256_set1_epi32(vx_row_word(rows[1], i, n));
		size = _mm256_abs_epi8(r);
		a1 = add_products(a1, c, r, size);
		b1 = add_products(b1, d, r, size);
		r = _mm256_set1_epi32(vx_row_word(rows[2], i, n));
		size = _mm256_abs_epi8(r);
		a2 = add_products(a2, c, r, size);
		b2 = add_products(b2, d, r, size);
		r = _mm256_set1_epi32(vx_row_word(rows[3], i, n));
		size = _mm256_abs_epi8(r);
		a3 = add_products(a3, c, r, size);
		b3 = add_products(b3, d, r, size);
	}
	_mm256_storeu_si256((__m256i *) out, a0);
	_mm256_storeu_si256((__m256i *) (out + 8), b0);
	_mm256_storeu_si256((__m256i *) (out + stride), a1);
	_mm256_storeu_si256((__m256i *) (out + stride + 8), b1);
	_mm256_storeu_si256((__m256i *) (out + 2 * stride), a2);
	_mm256_storeu_si256((__m256i *) (out + 2 * stride + 8), b2);
	_mm256_storeu_si256((__m256i *) (out + 3 * stride), a3);
	_mm256_storeu_si256((__m256i *) (out + 3 * stride + 8), b3);
}

VX_INLINE void
panel_1(const int8_t *row, int n, const int8_t *panel, int32_t *out)
{
	__m256i		a = _mm256_setzero_si256();
	__m256i		b = a;

	for (int i = 0; i < n; i += 4, panel += 4 * VX_PANEL)
	{
		__m256i		r = _mm256_set1_epi32(vx_row_word(row, i, n));
		__m256i		size = _mm256_abs_epi8(r);

		a = add_products(a, _mm256_load_si256((const __m256i *) panel), r, size);
		b = add_products(b, _mm256_load_si256((const __m256i *) (panel + 32)), r, size);
	}
	_mm256_storeu_si256((__m256i *) out, a);
	_mm256_storeu_si256((__m256i *) (out + 8), b);
}

void
vx_dot_i8_panels_avx2(const int8_t *const *rows, int nrows, int n, const int8_t *panels,
					  int npanels, int32_t *out, size_t stride)
{
	for (int p = 0; p < npanels; p++)
	{
		const int8_t *panel = panels + (size_t) p * VX_PANEL_BYTES(n);
		int32_t    *at = out + p * VX_PANEL;
		int			r = 0;

		for (; r + 4 <= nrows; r += 4)
			panel_4(rows + r, n, panel, at + (size_t) r * stride, stride);
		for (; r < nrows; r++)
			panel_1(rows[r], n, panel, at + (size_t) r * stride);
	}
}

static void
panel_distances(const int32_t *dot, int n, const float *norm, const float *scale,
				const float *offset, const float *sum, float base, float p,
				float q, float r, float *out)
{
	const __m256 vbase = _mm256_set1_ps(base);
	const __m256 vp = _mm256_set1_ps(p);
	const __m256 vq = _mm256_set1_ps(q);
	const __m256 vr = _mm256_set1_ps(r);
	int			i = 0;

	for (; i + 8 <= n; i += 8)
	{
		__m256		d = _mm256_mul_ps(vp, _mm256_cvtepi32_ps(_mm256_loadu_si256((const __m256i *) (dot + i))));
		__m256		x = _mm256_mul_ps(d, _mm256_loadu_ps(scale + i));

		x = _mm256_fmadd_ps(vq, _mm256_loadu_ps(offset + i), x);
		x = _mm256_fmadd_ps(vr, _mm256_loadu_ps(sum + i), x);
		_mm256_storeu_ps(out + i, _mm256_sub_ps(_mm256_add_ps(vbase, _mm256_loadu_ps(norm + i)), x));
	}
	if (i < n)
		vx_kernels_generic.panel_distances(dot + i, n - i, norm + i, scale + i, offset + i,
										   sum + i, base, p, q, r, out + i);
}

static int
below(const float *v, int n, float bound, uint16_t *at)
{
	const __m256 vbound = _mm256_set1_ps(bound);
	int			found = 0;
	int			i = 0;

	for (; i + 8 <= n; i += 8)
	{
		int			mask = _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(v + i), vbound, _CMP_LT_OQ));

		for (; mask; mask &= mask - 1)
			at[found++] = (uint16_t) (i + __builtin_ctz((unsigned) mask));
	}
	for (; i < n; i++)
		if (v[i] < bound)
			at[found++] = (uint16_t) i;
	return found;
}

static float
subtract(const float *a, const float *b, int n, float *r)
{
	__m256		sum0 = _mm256_setzero_ps();
	__m256		sum1 = _mm256_setzero_ps();
	int			i = 0;

	for (; i + 16 <= n; i += 16)
	{
		__m256		x = _mm256_sub_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i));
		__m256		y = _mm256_sub_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8));

		_mm256_storeu_ps(r + i, x);
		_mm256_storeu_ps(r + i + 8, y);
		sum0 = _mm256_fmadd_ps(x, x, sum0);
		sum1 = _mm256_fmadd_ps(y, y, sum1);
	}
	for (; i + 8 <= n; i += 8)
	{
		__m256		x = _mm256_sub_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i));

		_mm256_storeu_ps(r + i, x);
		sum0 = _mm256_fmadd_ps(x, x, sum0);
	}
	return sum8(_mm256_add_ps(sum0, sum1)) + vx_kernels_generic.subtract(a + i, b + i, n - i, r + i);
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
		__m256		acc0 = _mm256_setzero_ps();
		__m256		acc1 = _mm256_setzero_ps();
		__m256		acc2 = _mm256_setzero_ps();
		__m256		acc3 = _mm256_setzero_ps();
		int			i = 0;

		for (; i + 8 <= n; i += 8)
		{
			__m256		x = _mm256_loadu_ps(q + i);

			acc0 = accumulate(acc0, x, _mm256_loadu_ps(v0 + i), op);
			acc1 = accumulate(acc1, x, _mm256_loadu_ps(v1 + i), op);
			acc2 = accumulate(acc2, x, _mm256_loadu_ps(v2 + i), op);
			acc3 = accumulate(acc3, x, _mm256_loadu_ps(v3 + i), op);
		}
		if (i < n)
		{
			__m256i		mask = first_lanes(n - i);
			__m256		x = _mm256_maskload_ps(q + i, mask);

			acc0 = accumulate(acc0, x, _mm256_maskload_ps(v0 + i, mask), op);
			acc1 = accumulate(acc1, x, _mm256_maskload_ps(v1 + i, mask), op);
			acc2 = accumulate(acc2, x, _mm256_maskload_ps(v2 + i, mask), op);
			acc3 = accumulate(acc3, x, _mm256_maskload_ps(v3 + i, mask), op);
		}
		out[k] = sum8(acc0);
		out[k + 1] = sum8(acc1);
		out[k + 2] = sum8(acc2);
		out[k + 3] = sum8(acc3);
	}
	for (; k < count; k++)
	{
		const float *x = v + (size_t) k * stride;

		out[k] = n < 8 ? distance_short(q, x, n, op) :
			distance(q, x, 0, 0, n, op, SRC_F32);
	}
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

const VxKernels vx_kernels_avx2 = {
	.name = "avx2",
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

#endif							/* VX_X86 */
