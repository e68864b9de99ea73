/*
 * kernels.h
 *		What the files of this folder share: kernel tables and constants.
 *
 * Internal: callers outside this folder include vx_simd.h only.  Must never
 * include a server header.
 */
#ifndef VX_KERNELS_H
#define VX_KERNELS_H

#include <float.h>
#include <math.h>
#include <string.h>

#include "vx_simd.h"

#if (defined(__x86_64__) || defined(__i386__)) && defined(__GNUC__)
#define VX_X86 1
#endif
#if defined(__aarch64__) && defined(__GNUC__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define VX_ARM64 1
/* compilers that have intrinsics of an extension for functions of their own alone */
#if defined(__clang__) ? __clang_major__ >= 16 : __GNUC__ >= 8
#define VX_DOTPROD 1
#endif
#endif

#define VX_INLINE static inline __attribute__((always_inline))

/*
 * rotate() and quantize_i8() are bit-equal in every instruction set, so no
 * file of this folder lets the compiler fuse a multiplication and an addition
 * by itself; where a fused one is wanted the intrinsic says so.  gcc contracts
 * even the intrinsics for multiply and add, and ignores the standard's pragma;
 * its own counts on a line of its own only, not within another macro.
 */
#if defined(__clang__)
#define VX_NO_CONTRACTION _Pragma("STDC FP_CONTRACT OFF")
#else
#define VX_NO_CONTRACTION _Pragma("GCC optimize (\"fp-contract=off\")")
#endif

/*
 * Functions between VX_TARGET(a string of features) and VX_TARGET_END are
 * compiled for those; the rest of the file stays with the baseline.
 */
#define VX_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define VX_TARGET(features) \
	VX_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define VX_TARGET_END VX_PRAGMA(clang attribute pop)
#else
#define VX_TARGET(features) \
	VX_PRAGMA(GCC push_options) \
	VX_PRAGMA(GCC target(features))
#define VX_TARGET_END VX_PRAGMA(GCC pop_options)
#endif

/*
 * Steps tried by encode(), in units of the rms of the residual.  The middle of
 * each list is the best uniform quantiser of a normal distribution (step 0.996
 * for 2 bits, 0.335 for 4), which a rotated residual is close to.
 */
#define VX_ENCODE_STEPS	8
#define VX_ENCODE_STEPS_2 \
	{0.60f, 0.75f, 0.87f, 0.996f, 1.10f, 1.25f, 1.45f, 1.75f}
#define VX_ENCODE_STEPS_4 \
	{0.20f, 0.24f, 0.28f, 0.31f, 0.335f, 0.37f, 0.42f, 0.50f}

/* Outside this range the rms of a residual is not trusted; the step is 1. */
#define VX_ENCODE_RMS_MIN	1e-17f
#define VX_ENCODE_RMS_MAX	1e17f

/*
 * quantize_i16: |out| <= 32767, and sum |out| stays below 2^24 less what
 * rounding can add (n / 2) and what fp32 summation can lose.
 */
#define VX_I16_MAX			32767.0f
#define VX_I16_SUM(n)		(16777216.0f * 0.999f - (float) (n))
/* Below this the reciprocal of the scale would overflow: as good as zero. */
#define VX_I16_MIN_ABS		1e-33f

/* build_table: below this 1 / delta would overflow; the query counts as zero. */
#define VX_TABLE_MIN_DELTA	1e-35f

/*
 * Nearest integer, ties to even, of |x| < 2^22: the addition leaves no bits
 * for a fraction.
 */
VX_INLINE int32_t
vx_round_to_int(float x)
{
	float		shifted = x + 12582912.0f;
	uint32_t	bits;

	memcpy(&bits, &shifted, sizeof(bits));
	return (int32_t) (bits - 0x4B400000u);
}

/* Scale of a Walsh-Hadamard transform over p (a power of two) values. */
VX_INLINE float
vx_hadamard_scale(int p)
{
	int			log2 = __builtin_ctz((unsigned) p);
	float		scale = (log2 & 1) ? 0.70710678f : 1.0f;

	return scale / (float) (1 << (log2 / 2));
}

/* Largest power of two <= n, for n >= 1. */
VX_INLINE int
vx_power_of_two_below(int n)
{
	return 1 << (31 - __builtin_clz((unsigned) n));
}

/*
 * The middle and the scale of quantize_i8 from the least and the greatest
 * value.  Halved before subtraction, so that no finite input overflows.  A
 * scale too small for its reciprocal counts as constant.  Adding zero turns a
 * negative zero, whose sign min and max do not define, into a positive one.
 */
VX_INLINE void
vx_i8_scale(float min, float max, float *scale, float *offset)
{
	float		half_min = 0.5f * min;
	float		half_max = 0.5f * max;

	*offset = (half_min + half_max) + 0.0f;
	*scale = (half_max - half_min) / 127.0f;
	if (!(*scale >= FLT_MIN))
		*scale = 0.0f;
}

/*
 * Write "count" <= 16 bits (the rest of "bits" zero) at a nibble of a code
 * that is zero from there on.
 */
VX_INLINE void
vx_put_bits(uint8_t *code, int nibble, uint32_t bits, int count)
{
	uint8_t    *p = code + nibble / 2;
	int			shift = (nibble & 1) * 4;

	bits <<= shift;
	p[0] |= (uint8_t) bits;
	if (count + shift > 8)
		p[1] |= (uint8_t) (bits >> 8);
	if (count + shift > 16)
		p[2] |= (uint8_t) (bits >> 16);
}

/* Four code bytes of a row from dimension i; past n they are zero. */
VX_INLINE int32_t
vx_row_word(const int8_t *row, int i, int n)
{
	int32_t		word = 0;

	if (__builtin_expect(i + 4 <= n, 1))
		memcpy(&word, row + i, 4);
	else
		memcpy(&word, row + i, (size_t) (n - i));
	return word;
}

/* The next 8 bytes of a bit string, or the "left" of them that there are and zeros. */
VX_INLINE uint64_t
vx_load_bits(const uint8_t *p, int left)
{
	uint64_t	bits = 0;

	if (__builtin_expect(left >= 8, 1))
		memcpy(&bits, p, 8);
	else
		memcpy(&bits, p, (size_t) left);
	return bits;
}

/* Bits that are set; in plain arithmetic, since the baseline has no instruction for it. */
VX_INLINE uint64_t
vx_count_bits(uint64_t x)
{
	x -= x >> 1 & UINT64_C(0x5555555555555555);
	x = (x & UINT64_C(0x3333333333333333)) + (x >> 2 & UINT64_C(0x3333333333333333));
	x = (x + (x >> 4)) & UINT64_C(0x0F0F0F0F0F0F0F0F);
	return x * UINT64_C(0x0101010101010101) >> 56;
}

/*
 * The rest of intersect(), from positions i and j on, with "found" before.  Which list goes on is as
 * good as random, so that a branch on it could not be predicted: there is none.
 */
VX_INLINE int
vx_intersect_rest(const int32_t *a, int i, int m, const int32_t *b, int j, int n,
				  uint16_t *at_a, uint16_t *at_b, int found, int most)
{
	while (i < m && j < n && found < most)
	{
		int32_t		x = a[i];
		int32_t		y = b[j];

		at_a[found] = (uint16_t) i;
		at_b[found] = (uint16_t) j;
		found += x == y;
		i += x <= y;
		j += y <= x;
	}
	return found;
}

extern const VxKernels vx_kernels_generic;

#ifdef VX_X86
extern const VxKernels vx_kernels_avx2;
extern const VxKernels vx_kernels_avx512;

/* The AVX2 twins serve AVX-512 without VNNI or VPOPCNTDQ as well. */
extern void vx_dot_i8_panels_avx2(const int8_t *const *rows, int nrows, int n,
								  const int8_t *panels, int npanels,
								  int32_t *out, size_t stride);
extern uint64_t vx_hamming_avx2(const uint8_t *a, const uint8_t *b, int n);
extern void vx_hamming_many_avx2(const uint8_t *a, const uint8_t *rows, int n, int count, float *out);
extern void vx_common_bits_avx2(const uint8_t *a, const uint8_t *b, int n,
								uint64_t *both, uint64_t *either);
extern float vx_sparse_dot_avx2(const float *table, const uint32_t *words, int n);
extern float vx_sparse_l1_avx2(const float *table, const uint32_t *words, float scale, int n);
extern int	vx_intersect_avx2(const int32_t *a, int m, const int32_t *b, int n,
							  uint16_t *at_a, uint16_t *at_b, int most);

/* Replacements in the AVX-512 table for processors with more. */
extern int32_t vx_dot_i16_i8_vnni(const int16_t *q, const int8_t *c, int n);
extern int32_t vx_dot_i8_i8_vnni(const int8_t *a, const int8_t *b, int n);
extern void vx_dot_i8_panels_vnni(const int8_t *const *rows, int nrows, int n,
								  const int8_t *panels, int npanels,
								  int32_t *out, size_t stride);
extern void vx_scan32_vbmi(const uint8_t *codes, int groups,
						   const uint8_t *table, uint32_t *sums);
extern uint64_t vx_hamming_vpopcntdq(const uint8_t *a, const uint8_t *b, int n);
extern void vx_common_bits_vpopcntdq(const uint8_t *a, const uint8_t *b, int n,
									 uint64_t *both, uint64_t *either);
#endif

#ifdef VX_ARM64
extern const VxKernels vx_kernels_neon;

/* What has a file of its own, as codes have in every level (wide.h). */
extern uint64_t vx_hamming_neon(const uint8_t *a, const uint8_t *b, int n);
extern void vx_hamming_many_neon(const uint8_t *a, const uint8_t *rows, int n, int count, float *out);
extern void vx_common_bits_neon(const uint8_t *a, const uint8_t *b, int n,
								uint64_t *both, uint64_t *either);
extern float vx_sparse_dot_neon(const float *table, const uint32_t *words, int n);
extern float vx_sparse_l1_neon(const float *table, const uint32_t *words, float scale, int n);
extern int	vx_intersect_neon(const int32_t *a, int m, const int32_t *b, int n,
							  uint16_t *at_a, uint16_t *at_b, int most);
#endif

#ifdef VX_DOTPROD
/* Replacements in the NEON table for processors with SDOT. */
extern int32_t vx_dot_i8_i8_dotprod(const int8_t *a, const int8_t *b, int n);
extern void vx_dot_i8_panels_dotprod(const int8_t *const *rows, int nrows, int n,
									 const int8_t *panels, int npanels,
									 int32_t *out, size_t stride);
#endif

#endif							/* VX_KERNELS_H */
