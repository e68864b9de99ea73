/*
 * norms.h
 *		Lengths of vectors, which metrics of floats and of sparse vectors share.
 */
#ifndef HNSW_METRIC_NORMS_H
#define HNSW_METRIC_NORMS_H

#include "postgres.h"

#include <float.h>
#include <math.h>

#include "simd/vx_simd.h"

/* Elements are made smaller by these powers of two (HnswMetricOps.shift). */
#define HNSW_SHIFT_PRODUCTS		5
#define HNSW_SHIFT_SUMS			2

/*
 * A distance as a float.  Those of vectors that have been prepared are finite;
 * what a page says, or an older index with its longer vectors, must not lead
 * to an infinite one either.  NaN stays.
 */
static inline float
HnswFiniteDistance(double dist)
{
	if (unlikely(fabs(dist) > FLT_MAX))
		return dist > 0 ? FLT_MAX : -FLT_MAX;
	return (float) dist;
}

static inline float
HnswSquaredLength(const float *x, int n)
{
	return vx_simd->sumsq(x, n);
}

static inline double
HnswEuclideanNorm(const float *x, int n)
{
	double		sum = 0;

	for (int i = 0; i < n; i++)
		sum += (double) x[i] * x[i];
	return sqrt(sum);
}

static inline double
HnswSumNorm(const float *x, int n)
{
	double		sum = 0;

	for (int i = 0; i < n; i++)
		sum += fabsf(x[i]);
	return sum;
}

static inline float
HnswSumLength(const float *x, int n)
{
	double		sum = HnswSumNorm(x, n);

	return sum > FLT_MAX ? INFINITY : (float) sum;
}

/* The fields of HnswMetricOps that say how long a vector may be; max_norm: estimates stay finite, too. */
#define HNSW_EUCLIDEAN_NORMS(squared) \
	.length = squared, \
	.too_long = "Its squared norm is not finite.", \
	.norm = HnswEuclideanNorm, \
	.max_norm = 0x1p60

#define HNSW_SUM_NORMS \
	.length = HnswSumLength, \
	.too_long = "The sum of its absolute values is not finite.", \
	.norm = HnswSumNorm, \
	.max_norm = 0x1p126

#endif							/* HNSW_METRIC_NORMS_H */
