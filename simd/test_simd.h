/*
 * test_simd.h
 *		What the files of the test share: checks, memory whose ends are guarded,
 *		random data, exact sums.
 */
#ifndef VX_TEST_SIMD_H
#define VX_TEST_SIMD_H

#include <stdio.h>
#include <stdlib.h>

#include "kernels.h"

#define MAX_N		16000
#define MAX_CODE	(VX_CODE_BYTES(MAX_N, 4))

extern long passed;
extern long failed;
extern const char *level_name;

/* Plain C, which the others are compared with. */
extern const VxKernels *generic;

#define CHECK(condition, ...) \
	do { \
		if (condition) \
			passed++; \
		else if (++failed <= 40) \
		{ \
			printf("FAILED %s %s:%d: ", level_name, __func__, __LINE__); \
			printf(__VA_ARGS__); \
			printf("\n"); \
		} \
	} while (0)

/*
 * Memory that ends at a guard page
 */
typedef struct Guarded
{
	uint8_t    *end;			/* first byte of the guard page */
} Guarded;

/* The areas that at_end() and out_at_end() name. */
#define GUARDS		6
#define OUT_GUARD	64			/* bytes before an output that must stay */

extern Guarded guarded_create(size_t size);
extern const void *at_end(int which, const void *data, size_t size);
extern void *out_at_end(int which, size_t size);
extern int	front_untouched(const void *out);

/*
 * Data
 */
/* Kinds of input vector. */
enum
{
	DATA_NORMAL,
	DATA_OFFSET,				/* far from zero */
	DATA_CONSTANT,
	DATA_ZERO,
	DATA_NEGATIVE_ZERO,
	DATA_TINY,					/* near and below the least normal number */
	DATA_HUGE,					/* squares overflow */
	DATA_SPIKE,					/* one large element */
	DATA_KINDS
};

extern const char *const kind_names[DATA_KINDS];

/* The vectors of this length and kind that a test is for. */
extern float input_a[MAX_N + 16];
extern float input_b[MAX_N + 16];

extern uint64_t random_bits(void);
extern float random_normal(void);
extern void fill(float *v, int n, int kind);
extern double half_value(uint16_t h);

/*
 * Sums in double
 */
typedef struct Sum
{
	double		value;
	double		terms;
} Sum;

extern void sum_add(Sum *sum, double x);
extern double tolerance(int n);
extern int	close_enough(float x, double exact, double terms, double relative);

/* Where "n" and "kind" are the vectors'. */
#define CHECK_SUM(call, sum, what) \
	do { \
		float		result_ = (call); \
		CHECK(close_enough(result_, (sum).value, (sum).terms, tolerance(n)), \
			  "%s n=%d %s: %g, should be %g", what, n, kind_names[kind], \
			  (double) result_, (sum).value); \
	} while (0)

/* test_distance.c */
extern void test_distances(const VxKernels *k, int n, int kind);
extern void test_stored(const VxKernels *k, int n, int kind);
extern void test_halves(const VxKernels *k, int n);
extern void test_many(const VxKernels *k);
extern void test_panels(const VxKernels *k);
extern void test_below_and_subtract(const VxKernels *k);
extern void test_bits(const VxKernels *k);
extern void test_intersect(const VxKernels *k);
extern void test_sparse(const VxKernels *k);

/* test_convert.c */
extern void test_f16(const VxKernels *k);
extern void test_quantize(const VxKernels *k, int n, int kind);
extern void test_rotate(const VxKernels *k, int n, int kind);

/* test_code.c */
extern void test_codes(const VxKernels *k, int n, int bits, int kind);
extern void test_scan_long(const VxKernels *k);
extern void test_estimates(const VxKernels *k);

#endif							/* VX_TEST_SIMD_H */
