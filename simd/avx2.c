/*
 * avx2.c
 *		Kernels for processors with AVX2, FMA, F16C and POPCNT: all but those of codes
 *		(avx2_code.c), and the table of all.
 *
 * Compiled for the baseline like every other file: VX_TARGET gives the
 * functions their instruction set, and dispatch.c calls them only where the
 * processor has it.  Tails use masked loads, or the last eight elements once
 * more with those already counted masked out; vectors of less than eight go to
 * plain C or one masked pass.  Must never read past the end of an input, and
 * never fuse in rotate() and quantize_i8().
 */
#include "kernels.h"

#ifdef VX_X86

#include "avx2.h"

VX_TARGET(TARGET)

#define SHORT 8

#include "wide_distance.h"
#include "wide_rotate.h"

/* fp32 in one masked pass, the others in plain C. */
VX_INLINE float
distance_short(const void *q, const void *v, float scale, float offset, int n,
			   int op, int src)
{
	if (src == SRC_F32)
		return sum_floats(accumulate(_mm256_setzero_ps(), load_tail(q, n),
									 load_tail(v, n), op));
	if (src == SRC_I8)
		return vx_kernels_generic.l1_i8(q, v, scale, offset, n);
	if (src == SRC_BOTH_F16)
		return op == OP_L2SQ ? vx_kernels_generic.f16_l2sq(q, v, n) :
			op == OP_DOT ? vx_kernels_generic.f16_dot(q, v, n) : vx_kernels_generic.f16_l1(q, v, n);
	if (op == OP_DOT)
		return vx_kernels_generic.dot_f16(q, v, n);
	return vx_kernels_generic.l1_f16(q, v, n);
}

VX_INLINE __m256
load_query_first(const void *v, int i, int n, int src)
{
	uint16_t	last[8] = {0};

	if (src == SRC_F32)
		return load_first((const float *) v + i, n - i);
	if (i + 8 <= n)
		return load_query(v, i, src);
	memcpy(last, (const uint16_t *) v + i, (size_t) (n - i) * sizeof(uint16_t));
	return load_query(last, 0, src);
}

/* The last eight elements, those before i as zero. */
VX_INLINE __m256
add_tail(__m256 acc, const void *q, const void *v, int i, int n, __m256 scale,
		 __m256 offset, int op, int src)
{
	__m256		mask = _mm256_castsi256_ps(last_lanes(n - i));

	return accumulate(acc, _mm256_and_ps(mask, load_query(q, n - 8, src)),
					  _mm256_and_ps(mask, load_stored(v, n - 8, scale, offset, src)),
					  op);
}

/*
 * Integer dot products
 */

/* 16 words, or bytes as words. */
VX_INLINE __m256i
load_words(const uint8_t *v, size_t size)
{
	return size == 2 ? load_ints(v) : _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *) v));
}

VX_INLINE __m256i
add_dot16(__m256i acc, const uint8_t *a, size_t size, const int8_t *b)
{
	return _mm256_add_epi32(acc, _mm256_madd_epi16(load_words(a, size),
												   load_words((const uint8_t *) b, 1)));
}

/* Words (size 2) or bytes by bytes; "size" is constant where it is inlined. */
VX_INLINE int32_t
dot_integers(const uint8_t *a, size_t size, const int8_t *b, int n)
{
	__m256i		acc0 = _mm256_setzero_si256();
	__m256i		acc1 = _mm256_setzero_si256();
	int32_t		sum = 0;
	int			i = 0;

	for (; i + 32 <= n; i += 32)
	{
		acc0 = add_dot16(acc0, a + (size_t) i * size, size, b + i);
		acc1 = add_dot16(acc1, a + (size_t) i * size + 16 * size, size, b + i + 16);
	}
	if (i + 16 <= n)
	{
		acc0 = add_dot16(acc0, a + (size_t) i * size, size, b + i);
		i += 16;
	}
	for (; i < n; i++)
		sum += b[i] * (size == 2 ? ((const int16_t *) a)[i] : ((const int8_t *) a)[i]);
	return sum + sum_ints(_mm256_add_epi32(acc0, acc1));
}

static int32_t
dot_i16_i8(const int16_t *q, const int8_t *c, int n)
{
	return dot_integers((const uint8_t *) q, 2, c, n);
}

static int32_t
dot_i8_i8(const int8_t *a, const int8_t *b, int n)
{
	return dot_integers((const uint8_t *) a, 1, b, n);
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
LEVEL(dot_i8_panels)(const int8_t *const *rows, int nrows, int n, const int8_t *panels,
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
	return sum_floats(_mm256_add_ps(sum0, sum1)) + vx_kernels_generic.subtract(a + i, b + i, n - i, r + i);
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
	*sum = sum_ints(total);
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
		__m256		x = load_i8(c + k);

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
			max = _mm256_max_ps(max, absolute(_mm256_loadu_ps(q + clip_start(i, n))));
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
		__m256		x = absolute(load_first(q + i, n - i));

		total = _mm256_fmadd_ps(x, factor, total);
	}
	sum = sum_floats(total);
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
 * Rotation, within a register
 */
VX_INLINE __m256
hadamard_lanes(__m256 v)
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

VX_INLINE void
flip_signs(float *v, int n, const uint32_t *signs)
{
	const __m256i shifts = _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24);
	const __m256 sign_bit = _mm256_set1_ps(-0.0f);
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
}

VX_TARGET_END

const VxKernels LEVEL(kernels) = {
	.name = "avx2",
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
	.dot_i8_panels = LEVEL(dot_i8_panels),
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

#endif							/* VX_X86 */
