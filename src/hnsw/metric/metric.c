/*
 * metric.c
 *		The metrics: their distances, and how they differ otherwise.
 *
 * Squared L2, which cosine is on normalised vectors; minus the inner product; L1.  Those of
 * vectors that are no floats are in bits.c and sparse.c.
 */
#include "postgres.h"

#include <math.h>

#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/metric.h"
#include "hnsw/metric/norms.h"
#include "hnsw/metric/vector.h"
#include "hnsw/metric/words.h"
#include "simd/vx_simd.h"

/* ---- what inner products lead to ---- */

/* <q, own> for a stored vector. */
static inline double
own_dot(const HnswSpace *sp, const HnswQuery *q, const char *own, float scale, float offset)
{
	const int	dim = sp->lay.dim;

	switch (sp->lay.own)
	{
		case HNSW_OWN_FP32:
			return vx_simd->dot(q->vec, (const float *) own, dim);
		case HNSW_OWN_FP16:
			return (double) scale * vx_simd->dot_f16(q->vec, (const uint16 *) own, dim);
		case HNSW_OWN_INT8:
			return (double) scale * q->q16_scale *
				vx_simd->dot_i16_i8(q->q16, (const int8 *) own, dim) +
				(double) offset * q->sum;
	}
	return 0;
}

/* <a, b> for two stored vectors. */
static inline double
stored_dot(const HnswSpace *sp, const HnswStored *a, const HnswStored *b)
{
	const int	dim = sp->lay.dim;

	switch (sp->lay.own)
	{
		case HNSW_OWN_FP32:
			return vx_simd->dot((const float *) a->own, (const float *) b->own, dim);
		case HNSW_OWN_FP16:
			HnswOwnDecode(sp, a->own, a->scale, a->offset, sp->work[0]);
			return (double) b->scale * vx_simd->dot_f16(sp->work[0], (const uint16 *) b->own, dim);
		case HNSW_OWN_INT8:
			return (double) a->scale * b->scale *
				vx_simd->dot_i8_i8((const int8_t *) a->own, (const int8_t *) b->own, dim) +
				(double) a->scale * b->offset * a->codesum +
				(double) b->scale * a->offset * b->codesum +
				(double) dim * a->offset * b->offset;
	}
	return 0;
}

#define OF_PRODUCTS \
	.products = true, \
	HNSW_EUCLIDEAN_NORMS(HnswSquaredLength)

/* ---- squared L2 ---- */

static float
l2_pair(const HnswSpace *sp, const float *a, const float *b)
{
	return vx_simd->l2sq(a, b, sp->lay.dim);
}

static void
l2_many(const HnswSpace *sp, const float *a, const float *rows, int n, float *out)
{
	vx_simd->l2sq_many(a, rows, sp->lay.dim, sp->lay.dim, n, out);
}

static float
l2_own(const HnswSpace *sp, const HnswQuery *q, const char *own, float scale, float offset,
	   float norm2)
{
	if (sp->lay.own == HNSW_OWN_FP32)
		return HnswFiniteDistance(vx_simd->l2sq(q->vec, (const float *) own, sp->lay.dim));
	return HnswFiniteDistance((double) q->norm2 + norm2 -
						   2 * own_dot(sp, q, own, scale, offset));
}

static float
l2_stored(const HnswSpace *sp, const HnswStored *a, const HnswStored *b)
{
	if (sp->lay.own == HNSW_OWN_FP32)
		return vx_simd->l2sq((const float *) a->own, (const float *) b->own, sp->lay.dim);
	return (float) ((double) a->norm2 + b->norm2 - 2 * stored_dot(sp, a, b));
}

static void
l2_factors(float r2, float rs, float ys, float *a, float *b)
{
	*a = r2 + (rs > 0 ? 2 * r2 * (ys / rs) : 0);
	*b = rs > 0 ? -2 * r2 / rs : 0;
}

static double
l2_slack(const HnswQuery *q, int dim, double dist, double norm2, double error)
{
	return 2 * sqrt(dist) * error + 2e-6 * ((double) q->norm2 + norm2);
}

#define OF_SQUARES \
	OF_PRODUCTS, \
	.squared = true, \
	.centred = true, \
	.pair = l2_pair, \
	.many = l2_many, \
	.own = l2_own, \
	.stored = l2_stored, \
	.factors = l2_factors, \
	.slack = l2_slack, \
	.relax = 1.2f,				/* of squares */ \
	.reach = 1, \
	.queues_once = true

/* ---- minus the inner product ---- */

static float
ip_pair(const HnswSpace *sp, const float *a, const float *b)
{
	return -vx_simd->dot(a, b, sp->lay.dim);
}

static void
ip_many(const HnswSpace *sp, const float *a, const float *rows, int n, float *out)
{
	vx_simd->dot_many(a, rows, sp->lay.dim, sp->lay.dim, n, out);
	for (int j = 0; j < n; j++)
		out[j] = -out[j];
}

static float
ip_own(const HnswSpace *sp, const HnswQuery *q, const char *own, float scale, float offset,
	   float norm2)
{
	return HnswFiniteDistance(-own_dot(sp, q, own, scale, offset));
}

static float
ip_stored(const HnswSpace *sp, const HnswStored *a, const HnswStored *b)
{
	return (float) -stored_dot(sp, a, b);
}

static void
ip_factors(float r2, float rs, float ys, float *a, float *b)
{
	*a = 0;
	*b = rs > 0 ? -r2 / rs : 0;
}

static double
ip_slack(const HnswQuery *q, int dim, double dist, double norm2, double error)
{
	return sqrt((double) q->norm2) * (error + 4e-6 * sqrt(norm2) + 1e-44);
}

/* ---- L1 ---- */

static float
l1_pair(const HnswSpace *sp, const float *a, const float *b)
{
	return vx_simd->l1(a, b, sp->lay.dim);
}

static void
l1_many(const HnswSpace *sp, const float *a, const float *rows, int n, float *out)
{
	vx_simd->l1_many(a, rows, sp->lay.dim, sp->lay.dim, n, out);
}

static float
l1_own(const HnswSpace *sp, const HnswQuery *q, const char *own, float scale, float offset,
	   float norm2)
{
	const int	dim = sp->lay.dim;

	if (sp->lay.own == HNSW_OWN_FP32)
		return HnswFiniteDistance(vx_simd->l1(q->vec, (const float *) own, dim));
	if (sp->lay.own == HNSW_OWN_INT8)
		return HnswFiniteDistance(vx_simd->l1_i8(q->vec, (const int8 *) own, scale, offset, dim));
	if (scale == 1)
		return HnswFiniteDistance(vx_simd->l1_f16(q->vec, (const uint16 *) own, dim));
	HnswOwnDecode(sp, own, scale, offset, sp->work[1]);
	return HnswFiniteDistance(vx_simd->l1(q->vec, sp->work[1], dim));
}

static float
l1_stored(const HnswSpace *sp, const HnswStored *a, const HnswStored *b)
{
	const int	dim = sp->lay.dim;
	HnswQuery	q = {.vec = sp->work[0]};

	if (sp->lay.own == HNSW_OWN_FP32)
		return HnswFiniteDistance(vx_simd->l1((const float *) a->own, (const float *) b->own, dim));
	if (sp->lay.own == HNSW_OWN_FP16 && a->scale == 1 && b->scale == 1)
		return HnswFiniteDistance(vx_simd->f16_l1((const uint16 *) a->own, (const uint16 *) b->own, dim));
	HnswOwnDecode(sp, a->own, a->scale, a->offset, sp->work[0]);
	return l1_own(sp, &q, b->own, b->scale, b->offset, b->norm2);
}

static double
l1_slack(const HnswQuery *q, int dim, double dist, double norm2, double error)
{
	return sqrt((double) dim) * error + 1e-5 * dist;
}

/* ---- all of them ---- */

static const HnswMetricOps metrics[] = {
	[HNSW_L2] = {
		.number = HNSW_L2,
		.name = "l2",
		.opclass = "l2",
		.shift = HNSW_SHIFT_PRODUCTS,
		.divided_as = HNSW_L2,
		OF_SQUARES
	},
	[HNSW_IP] = {
		.number = HNSW_IP,
		.name = "inner product",
		.opclass = "ip",
		OF_PRODUCTS,
		.any_scale = true,
		.shift = HNSW_SHIFT_PRODUCTS,
		.pair = ip_pair,
		.many = ip_many,
		.own = ip_own,
		.stored = ip_stored,
		.factors = ip_factors,
		.slack = ip_slack,
		.relax = 1,				/* no ratio: distances may be negative */
		/* all nodes of a group link to the same ones, the longest as stored */
		.reach = 4,
		/* the error of an estimate grows with the query's length, not with its distance */
		.queues_once = false,
		/* by its own, everything is drawn to the longest vectors */
		.divided_as = HNSW_L2
	},
	[HNSW_COSINE] = {
		.number = HNSW_COSINE,
		.name = "cosine",
		.opclass = "cosine",
		.normalised = true,
		.shift = 0,
		.divided_as = HNSW_COSINE,
		OF_SQUARES
	},
	[HNSW_L1] = {
		.number = HNSW_L1,
		.name = "l1",
		.opclass = "l1",
		.sums = true,
		.shift = HNSW_SHIFT_SUMS,
		HNSW_SUM_NORMS,
		.pair = l1_pair,
		.many = l1_many,
		.own = l1_own,
		.stored = l1_stored,
		.slack = l1_slack,
		.relax = 1.1f,
		.reach = 1,
		.queues_once = true,
		.divided_as = HNSW_L1
	}
};

StaticAssertDecl(lengthof(metrics) == HNSW_HAMMING, "words come behind floats");

/* The metric with a number from a metapage, which may be any; NULL for none. */
const HnswMetricOps *
HnswMetricOf(int number)
{
	if (number < HNSW_L2 || number >= HNSW_METRICS)
		return NULL;
	if (number >= HNSW_SPARSE_L2)
		return &HnswSparseMetrics[number - HNSW_SPARSE_L2];
	if (number >= HNSW_HAMMING)
		return &HnswBitMetrics[number - HNSW_HAMMING];
	return &metrics[number];
}
