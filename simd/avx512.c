/*
 * avx512.c
 *		Kernels for processors with AVX-512 F, BW, VL and DQ: all but those of
 *		codes (avx512_code.c), and the table of all.
 *
 * Compiled for the baseline like every other file: VX_TARGET gives the
 * functions their instruction set, and dispatch.c calls them only where the
 * processor has it.  Tails use masked loads and stores, which touch no byte
 * outside their mask.  Must never read past the end of an input, and never
 * fuse in rotate() and quantize_i8().
 */
#include "kernels.h"

#ifdef VX_X86

#include "avx512.h"

VX_TARGET(TARGET)

/* up to a register: one masked pass */
#define SHORT 17

#include "wide_distance.h"
#include "wide_rotate.h"

VX_INLINE __m512
add_tail(__m512 acc, const void *q, const void *v, int i, int n, __m512 scale,
		 __m512 offset, int op, int src)
{
	__mmask16	mask = first_lanes(n - i);

	return accumulate(acc, load_query_masked(q, i, mask, src),
					  load_stored_masked(v, i, scale, offset, mask, src), op);
}

VX_INLINE __m512
load_query_first(const void *v, int i, int n, int src)
{
	return load_query_masked(v, i, first_lanes(n - i), src);
}

VX_INLINE float
distance_short(const void *q, const void *v, float scale, float offset, int n,
			   int op, int src)
{
	return sum_floats(add_tail(_mm512_setzero_ps(), q, v, 0, n, _mm512_set1_ps(scale),
							   _mm512_set1_ps(offset), op, src));
}

/*
 * Integer dot products
 */

/* 32 words, or bytes as words. */
VX_INLINE __m512i
load_words(const uint8_t *v, size_t size)
{
	return size == 2 ? load_ints(v) : _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *) v));
}

/* The same with zero for the elements outside the mask. */
VX_INLINE __m512i
load_words_masked(const uint8_t *v, size_t size, __mmask32 mask)
{
	return size == 2 ? _mm512_maskz_loadu_epi16(mask, v) :
		_mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(mask, v));
}

/* Words (size 2) or bytes by bytes; "size" is constant where it is inlined. */
VX_INLINE int32_t
dot_integers(const uint8_t *a, size_t size, const uint8_t *b, int n)
{
	__m512i		acc0 = _mm512_setzero_si512();
	__m512i		acc1 = _mm512_setzero_si512();
	int			i = 0;

	for (; i + 64 <= n; i += 64)
	{
		acc0 = _mm512_add_epi32(acc0, _mm512_madd_epi16(load_words(a + (size_t) i * size, size),
														load_words(b + i, 1)));
		acc1 = _mm512_add_epi32(acc1, _mm512_madd_epi16(load_words(a + (size_t) i * size + 32 * size, size),
														load_words(b + i + 32, 1)));
	}
	for (; i < n; i += 32)
	{
		__mmask32	mask = first_lanes32(n - i);

		acc0 = _mm512_add_epi32(acc0, _mm512_madd_epi16(load_words_masked(a + (size_t) i * size, size, mask),
														load_words_masked(b + i, 1, mask)));
	}
	return _mm512_reduce_add_epi32(_mm512_add_epi32(acc0, acc1));
}

static int32_t
dot_i16_i8(const int16_t *q, const int8_t *c, int n)
{
	return dot_integers((const uint8_t *) q, 2, (const uint8_t *) c, n);
}

static int32_t
dot_i8_i8(const int8_t *a, const int8_t *b, int n)
{
	return dot_integers((const uint8_t *) a, 1, (const uint8_t *) b, n);
}

static void
panel_distances(const int32_t *dot, int n, const float *norm, const float *scale,
				const float *offset, const float *sum, float base, float p,
				float q, float r, float *out)
{
	for (int i = 0; i < n; i += 16)
	{
		__mmask16	mask = first_lanes(n - i);
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
		__mmask16	mask = first_lanes(n - i);
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
		__mmask16	mask = first_lanes(n - i);
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
		__m512		x = i8_to_floats(_mm_loadu_si128((const __m128i *) (c + i)));

		_mm512_storeu_ps(out + i, _mm512_add_ps(_mm512_mul_ps(x, vscale), voffset));
	}
	if (i < n)
	{
		__mmask16	mask = first_lanes(n - i);
		__m512		x = i8_to_floats(_mm_maskz_loadu_epi8(mask, c + i));

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
		max = _mm512_max_ps(max, _mm512_abs_ps(load_first(q + i, n - i)));
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
		__m512		x = load_first(q + i, n - i);

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
 * Rotation, within a register
 */

/* One stage of stride 1, 2, 4 or 8, given the vector with partners swapped. */
VX_INLINE __m512
butterfly(__m512 v, __m512 partner, __mmask16 second)
{
	return _mm512_mask_sub_ps(_mm512_add_ps(partner, v), second, partner, v);
}

VX_INLINE __m512
hadamard_lanes(__m512 v)
{
	v = butterfly(v, _mm512_permute_ps(v, 0xB1), 0xAAAA);
	v = butterfly(v, _mm512_permute_ps(v, 0x4E), 0xCCCC);
	v = butterfly(v, _mm512_shuffle_f32x4(v, v, 0xB1), 0xF0F0);
	return butterfly(v, _mm512_shuffle_f32x4(v, v, 0x4E), 0xFF00);
}

VX_INLINE void
flip_signs(float *v, int n, const uint32_t *signs)
{
	const __m512i sign_bit = _mm512_set1_epi32((int) 0x80000000u);
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
}

VX_TARGET_END

const VxKernels LEVEL(kernels) = {
	.name = "avx512",
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
	.dot_i8_panels = vx_dot_i8_panels_avx2,
	.panel_distances = panel_distances,
	.below = below,
	.subtract = subtract,
	.hamming = vx_hamming_avx2,
	.hamming_many = vx_hamming_many_avx2,
	.common_bits = vx_common_bits_avx2,
	.intersect = vx_intersect_avx2,
	.sparse_dot = vx_sparse_dot_avx2,
	.sparse_l1 = vx_sparse_l1_avx2,
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
