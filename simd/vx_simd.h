/*
 * vx_simd.h
 *		Distance, quantisation and code-scan kernels, chosen once at run time.
 *
 * The kernels know nothing of PostgreSQL: this folder includes no server
 * header and is built and tested on its own.  Every kernel exists in plain C
 * (generic.c); the other instruction sets provide twins that are tested
 * against it.  No kernel allocates, reads past the end of its inputs, or
 * needs aligned input unless its comment says so.
 *
 * All counts are elements, "n" may be 0 for the vector kernels.
 */
#ifndef VX_SIMD_H
#define VX_SIMD_H

#include <stddef.h>
#include <stdint.h>

/* Neighbours scored by one pass of the code scan. */
#define VX_BLOCK		32
/* Bytes of one group: 4 code bytes (8 nibbles) of each of VX_BLOCK codes. */
#define VX_GROUP_BYTES	(VX_BLOCK * 4)
#define VX_GROUP_NIBBLES	8

/* Places that the words of a sparse vector can name. */
#define VX_PLACES		65536

/* Columns of a panel, and bytes of one that holds vectors of n dimensions. */
#define VX_PANEL		16
#define VX_PANEL_BYTES(n)	((((size_t) (n) + 3) / 4) * 4 * VX_PANEL)

/*
 * A code is a stream of nibbles: bit plane 0 of dimensions 0..d-1, four
 * dimensions a nibble (dimension 4j + i is bit i of nibble j), then plane 1,
 * and so on; each plane has VX_PLANE_NIBBLES(d) nibbles, the last one padded
 * with zero bits.  Byte k holds nibble 2k (low half) and 2k + 1 (high half).
 * The whole stream is padded with zero bytes to VX_CODE_GROUPS groups.
 * Bit planes p = 0..bits-1 of dimension i spell u = sum 2^p * bit, which
 * stands for the odd integer s = 2u - (2^bits - 1).
 */
#define VX_PLANE_NIBBLES(d)		(((d) + 3) / 4)
#define VX_CODE_NIBBLES(d, bits)	(VX_PLANE_NIBBLES(d) * (bits))
#define VX_CODE_GROUPS(d, bits) \
	((VX_CODE_NIBBLES(d, bits) + VX_GROUP_NIBBLES - 1) / VX_GROUP_NIBBLES)
#define VX_CODE_BYTES(d, bits)	(VX_CODE_GROUPS(d, bits) * 4)
/* Bytes of a query's lookup table: 16 per nibble, padding nibbles included. */
#define VX_TABLE_BYTES(d, bits)	(VX_CODE_GROUPS(d, bits) * VX_GROUP_NIBBLES * 16)

typedef struct VxKernels
{
	const char *name;			/* "generic", "avx2", "avx512", "neon" */

	/* fp32 with fp32 */
	float		(*l2sq) (const float *a, const float *b, int n);
	float		(*dot) (const float *a, const float *b, int n);
	float		(*l1) (const float *a, const float *b, int n);
	float		(*sumsq) (const float *a, int n);
	/* <a,b>, <a,a> and <b,b> in one pass */
	void		(*dot_norms) (const float *a, const float *b, int n,
							  float *ab, float *aa, float *bb);

	/* fp32 query with a stored fp16 vector (IEEE binary16 bits) */
	float		(*dot_f16) (const float *q, const uint16_t *v, int n);
	float		(*l1_f16) (const float *q, const uint16_t *v, int n);

	/* fp16 with fp16, of which products and sums are fp32: no finite ones overflow */
	float		(*f16_l2sq) (const uint16_t *a, const uint16_t *b, int n);
	float		(*f16_dot) (const uint16_t *a, const uint16_t *b, int n);
	float		(*f16_l1) (const uint16_t *a, const uint16_t *b, int n);
	void		(*f16_dot_norms) (const uint16_t *a, const uint16_t *b, int n,
								  float *ab, float *aa, float *bb);

	/* fp32 query with a stored int8 vector v[i] = scale * c[i] + offset */
	float		(*l1_i8) (const float *q, const int8_t *c, float scale,
						  float offset, int n);

	/* integer dot products; the caller bounds the sum to 31 bits (quantize_i16 does) */
	int32_t		(*dot_i16_i8) (const int16_t *q, const int8_t *c, int n);
	int32_t		(*dot_i8_i8) (const int8_t *a, const int8_t *b, int n);

	/*
	 * Inner products of "nrows" int8 vectors with the columns of "npanels"
	 * panels: out[r * stride + 16 p + c] for row r and column c of panel p.
	 * A panel holds 16 vectors, four dimensions at a time: bytes 4g..4g+3 of
	 * column 0, of column 1, ... column 15, then the next g; the last group
	 * and unused columns are padded with zero bytes.  Panels are 64-byte
	 * aligned; codes are -127..127.
	 */
	void		(*dot_i8_panels) (const int8_t *const *rows, int nrows, int n,
								  const int8_t *panels, int npanels,
								  int32_t *out, size_t stride);

	/*
	 * out[i] = base + norm[i] - (p dot[i] scale[i] + q offset[i] + r sum[i]):
	 * the distances that the inner products of int8 codes stand for.
	 */
	void		(*panel_distances) (const int32_t *dot, int n, const float *norm,
									const float *scale, const float *offset,
									const float *sum, float base, float p,
									float q, float r, float *out);

	/* Positions i < n of v[i] < bound, ascending; returns how many; n <= 65536. */
	int			(*below) (const float *v, int n, float bound, uint16_t *at);

	/* r = a - b; returns the sum of r[i]^2 */
	float		(*subtract) (const float *a, const float *b, int n, float *r);

	/*
	 * Bit strings of n bytes: how many bits differ; how many are set in both, and how many in
	 * one at least.
	 */
	uint64_t	(*hamming) (const uint8_t *a, const uint8_t *b, int n);
	/* the same of one and "count" others, one behind the other */
	void		(*hamming_many) (const uint8_t *a, const uint8_t *rows, int n, int count, float *out);
	void		(*common_bits) (const uint8_t *a, const uint8_t *b, int n,
								uint64_t *both, uint64_t *either);

	/*
	 * Where two ascending lists of m and n numbers, at most 65536, have the same: positions in
	 * both, ascending.  Returns how many, at most "most", for which at_a and at_b have room; of
	 * lists that do not ascend some.
	 */
	int			(*intersect) (const int32_t *a, int m, const int32_t *b, int n,
							  uint16_t *at_a, uint16_t *at_b, int most);

	/*
	 * Sparse vectors of n words, a multiple of 8: the place of an element in the upper half, an
	 * fp16 in the lower.  With a vector whose elements are at their places in a table of
	 * VX_PLACES: the inner product; and the sum of |table[place] - scale * element| -
	 * |table[place]|.
	 */
	float		(*sparse_dot) (const float *table, const uint32_t *words, int n);
	float		(*sparse_l1) (const float *table, const uint32_t *words, float scale, int n);

	/* conversions; round to nearest even; overflow to infinity as IEEE says */
	void		(*f32_to_f16) (const float *v, uint16_t *out, int n);
	void		(*f16_to_f32) (const uint16_t *v, float *out, int n);

	/*
	 * int8 with per-vector scale and offset: offset is the middle of the
	 * range, scale = range / 254, codes in -127..127, *sum = sum of codes.
	 * A constant vector has scale 0 and all codes 0.  Must give bit-equal
	 * results in every instruction set (equal input gives equal codes).
	 */
	void		(*quantize_i8) (const float *v, int n, int8_t *c, float *scale,
								float *offset, int32_t *sum);
	void		(*dequantize_i8) (const int8_t *c, float scale, float offset,
								  int n, float *out);

	/*
	 * int16 for dot_i16_i8: q[i] ~ *scale * out[i]; chosen so that
	 * sum |out[i]| * 128 < 2^31 and |out[i]| <= 32767, so no partial sum
	 * overflows.  All-zero input has *scale 0.
	 */
	void		(*quantize_i16) (const float *q, int n, int16_t *out, float *scale);

	/*
	 * Random orthogonal rotation in place, bit-equal in every instruction
	 * set (no FMA).  With P the largest power of two <= n: two rounds, each of
	 * sign flips over all n by the round's bits, Walsh-Hadamard scaled by
	 * P^-1/2 on [0,P), then (if P < n) on [n-P, n).  "signs" holds 2 *
	 * VX_SIGN_WORDS(n) words: round 0's, then round 1's; bit i%32 of word
	 * i/32 set = negate element i.
	 */
	void		(*rotate) (float *v, int n, const uint32_t *signs);

	/*
	 * Lookup table of query q (n dims, rotated) for codes of "bits" planes:
	 * nibble t of plane p, value v: T = 2^p * sum over the nibble's dims of
	 * (bit i of v ? q : -q) (dims past the end count 0); stored as
	 * round((T - min_t) / delta) in 0..255 with one delta for all nibbles
	 * and min_t the nibble's least T.  table: VX_TABLE_BYTES, 64-byte
	 * aligned, padding nibbles zero.  Then
	 * sum over dims of q[i]*s[i] ~ delta * (sum of entries) + bias.
	 */
	void		(*build_table) (const float *q, int n, int bits, uint8_t *table,
								float *delta, float *bias);

	/*
	 * Sum of table entries for each of 32 codes.  codes: groups *
	 * VX_GROUP_BYTES; group g holds bytes 4g..4g+3 of code 0, then of code 1,
	 * ... code 31.  Exact integer sums (no saturation for any number of groups
	 * up to 8192).
	 */
	void		(*scan32) (const uint8_t *codes, int groups, const uint8_t *table,
						   uint32_t *sums);

	/*
	 * est[i] = base + a[i] + b[i] * (delta * sums[i] + bias) for 32 codes;
	 * returns the mask of est[i] < bound (NaN is not less).  bf16: factors
	 * are the upper halves of fp32.  est: 32 floats.
	 */
	uint32_t	(*estimate32_bf16) (const uint32_t *sums, const uint16_t *a,
									const uint16_t *b, float base, float delta,
									float bias, float bound, float *est);
	uint32_t	(*estimate32_f32) (const uint32_t *sums, const float *a,
								   const float *b, float base, float delta,
								   float bias, float bound, float *est);

	/*
	 * Code of the residual r (n dims) in 1, 2 or 4 bits: for 1 bit the signs
	 * (bit set = r >= 0); for more, u = clamp(floor(r/step) + 2^(bits-1), 0,
	 * 2^bits - 1) with step chosen among a few multiples of the rms to
	 * maximise <r,s>^2 / <s,s>.  code: VX_CODE_BYTES, fully written.
	 * *rs = <r,s>, *ys = <y,s> in fp32.
	 */
	void		(*encode) (const float *r, const float *y, int n, int bits,
						   uint8_t *code, float *rs, float *ys);

	/* one query, "count" vectors "stride" floats apart */
	void		(*l2sq_many) (const float *q, const float *v, size_t stride,
							  int n, int count, float *out);
	void		(*dot_many) (const float *q, const float *v, size_t stride,
							 int n, int count, float *out);
	void		(*l1_many) (const float *q, const float *v, size_t stride,
							int n, int count, float *out);
} VxKernels;

#define VX_SIGN_WORDS(n)	(((n) + 31) / 32)

/* The chosen kernels; generic until VxSimdSelect is called. */
extern const VxKernels *vx_simd;

typedef enum VxSimdLevel
{
	VX_SIMD_AUTO,
	VX_SIMD_GENERIC,
	VX_SIMD_AVX2,
	VX_SIMD_AVX512,
	VX_SIMD_NEON
} VxSimdLevel;

/* Can this processor (and operating system) run the level? */
extern int	VxSimdSupported(VxSimdLevel level);

/* The kernels of a level, or NULL when not compiled in or not supported. */
extern const VxKernels *VxSimdKernels(VxSimdLevel level);

/* Choose a level; returns 0 and changes nothing when it is not supported. */
extern int	VxSimdSelect(VxSimdLevel level);

/* Fill 2 * VX_SIGN_WORDS(n) words of signs for rotate() from a seed. */
extern void VxRotationSigns(uint64_t seed, int n, uint32_t *signs);

#endif							/* VX_SIMD_H */
