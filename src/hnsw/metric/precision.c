/*
 * precision.c
 *		How far distances computed from stored vectors may be from the true ones,
 *		and what that means for the results of a search, and for hnsw_check.
 *
 * Distances here are in index units.  Touches no page.
 */
#include "postgres.h"

#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/metric.h"
#include "hnsw/metric/precision.h"
#include "hnsw/metric/vector.h"

#include <float.h>
#include <math.h>

/* So many standard deviations count as certain. */
#define CERTAIN		4

/*
 * The standard deviation of an element's quantisation error (uniform rounding
 * of the rotated own vector, hence independent of the query).
 */
double
HnswElementError(const HnswLayout *lay, float norm2, float scale)
{
	/* of all of them; CERTAIN times that is what linear_slack asks for */
	if (lay->metric->words)
		return scale / CERTAIN;
	switch (lay->own)
	{
		case HNSW_OWN_INT8:
			/* elements that differ by less than a float's inverse are stored as one */
			return (scale > 0 ? scale : 127 * FLT_MIN) * 0.2887;
		case HNSW_OWN_FP16:
			/* the squared norm may be no number: no element is above the scale then */
			return (norm2 > 1e-30f && norm2 < FLT_MAX ? sqrt(norm2 / lay->dim) : scale) / 2048;
		default:
			return 0;
	}
}

/*
 * What is linear in the errors of the elements, whose standard deviation is step, and
 * float rounding, also that of the operator.
 */
static double
linear_slack(const HnswSpace *sp, const HnswQuery *q, float dist, float norm2, double step)
{
	const HnswMetricOps *metric = sp->lay.metric;
	const int	dim = sp->lay.dim;
	double		rounding;

	if (metric->words)
		return metric->slack(q, dim, Max(dist, 0), norm2, CERTAIN * step);
	/* what each element may lose below the least float, here and in the operator */
	rounding = 1e-44 * dim * (1 + 1 / q->unit);
	if (metric->products && sp->lay.own == HNSW_OWN_INT8)
		rounding += CERTAIN * Max(q->q16_scale, 1e-33) * sqrt((double) norm2);
	/* elements that are not rotated may all be rounded one way, by as much as 2^-11 of each */
	if (metric->sums && sp->lay.own == HNSW_OWN_FP16)
		step *= Max(sqrt((double) dim) / CERTAIN, 1);
	return metric->slack(q, dim, Max(dist, 0), norm2, CERTAIN * step) + rounding;
}

/* What the squares of the errors add to a distance, on average. */
static double
mean_square(const HnswSpace *sp, double step)
{
	if (!sp->lay.metric->squared || sp->lay.metric->words)
		return 0;
	return sp->lay.dim * step * step;
}

/*
 * How far a computed distance may be from the true one, in index units: four standard
 * deviations of the quantisation error and float rounding, and what is rare.  Rows whose intervals overlap are
 * compared by their exact vectors.
 */
double
HnswDistanceSlack(const HnswSpace *sp, const HnswQuery *q, float dist, float norm2, float scale)
{
	double		step = HnswElementError(&sp->lay, norm2, scale);

	/* elements of few different values have no errors, and add no squares */
	return linear_slack(sp, q, dist, norm2, step) + 2 * mean_square(sp, step) +
		(sp->lay.metric->rare ? sp->lay.metric->rare(q, norm2) : 0);
}

/*
 * The same for a node whose distance is corrected by *bias, what squares add on
 * average: tighter where distances are as small as the errors.
 */
double
HnswDistanceNoise(const HnswSpace *sp, const HnswQuery *q, float dist, float norm2, float scale,
				  double *bias)
{
	double		step = HnswElementError(&sp->lay, norm2, scale);

	*bias = mean_square(sp, step);
	/* the square of a uniform error deviates by 0.9 of its mean */
	return linear_slack(sp, q, dist, norm2, step) +
		CERTAIN * 0.9 * *bias / sqrt((double) sp->lay.dim);
}

/* ---- distances that stand beside links ---- */

/* A stored vector's squared norm, with what elements too small for it may have. */
static double
whole_norm2(const HnswLayout *lay, const HnswStored *x)
{
	return x->norm2 + 1e-44 * lay->dim;
}

/*
 * How long the difference between a vector and what is stored of it can be.  That of int8
 * is half a step in each element, and shorter once scale and offset are fitted; but the
 * step may have become smaller then, most where all elements but two have one code.
 */
static double
storage_error(const HnswLayout *lay, const HnswStored *x)
{
	const double root = sqrt((double) lay->dim);
	double		norm;

	switch (lay->own)
	{
		case HNSW_OWN_INT8:
			/* elements that differ by less than a float's inverse are stored as one */
			return root * (x->scale / (2 - root / 180) + 256 * FLT_MIN);
		case HNSW_OWN_FP16:
			/* the squared norm may be no number, or too small: no element is above the scale then */
			norm = x->norm2 > 1e-30f && x->norm2 < FLT_MAX ? sqrt(x->norm2) : root * x->scale;
			return norm * 0x1p-11 + root * x->scale * 0x1p-25;
		default:
			return 0;
	}
}

/* The greatest norm of what a stored vector is the sum of: codes times scale, and the offset. */
static double
parts_norm(const HnswLayout *lay, const HnswStored *x)
{
	if (lay->own != HNSW_OWN_INT8)
		return sqrt(whole_norm2(lay, x));
	return sqrt((double) lay->dim) * (127.0 * x->scale + fabs(x->offset));
}

/*
 * By how much two ways to compute the distance of the same two vectors may differ: from
 * codes or from elements, as sums of floats in any order, one vector with int16.
 */
static double
edge_rounding(const HnswLayout *lay, const HnswStored *a, const HnswStored *b, double dist)
{
	const HnswMetricOps *metric = lay->metric;
	double		rate = (lay->dim / 16.0 + 32) * FLT_EPSILON;
	double		rounding = rate * fabs(dist) + 1e-43 * lay->dim;
	double		na;
	double		nb;

	/* sums of what is not below zero: always from elements */
	if (metric->squared ? lay->own == HNSW_OWN_FP32 : metric->sums && lay->own != HNSW_OWN_INT8)
		return rounding;
	na = parts_norm(lay, a);
	nb = parts_norm(lay, b);
	rounding += 1e-43 * lay->dim * (na + nb);
	if (metric->sums)
		return rounding + FLT_EPSILON * sqrt((double) lay->dim) * (na + nb);
	rounding += rate * (metric->squared ? (na + nb) * (na + nb) : na * nb);
	if (lay->own != HNSW_OWN_INT8)
		return rounding;
	/*
	 * A step of the int16 is 1 / 32767 of the greatest element, or more for a long sum; the
	 * sum of elements that goes with the offset is one float.
	 */
	rate = Max(1 / 40000.0, lay->dim / 2e7) * na * nb +
		FLT_EPSILON / 2 * pow(lay->dim, 1.5) * (na * fabs(b->offset) + nb * fabs(a->offset));
	return rounding + rate * (metric->squared ? 2 : 1) +
		1e-33 * sqrt((double) lay->dim) * (na + nb);
}

/*
 * How far the distance beside a link may be from "dist" when that was computed from y as
 * it is stored, and from a vector that differs by "error" from x as it is stored.
 */
static double
edge_slack(const HnswSpace *sp, const HnswStored *x, const HnswStored *y, double dist,
		   double rounding, double error)
{
	const HnswMetricOps *metric = sp->lay.metric;
	const HnswQuery q = {.norm2 = (float) whole_norm2(&sp->lay, y), .unit = 1};
	double		slack = metric->slack(&q, sp->lay.dim, Max(dist, 0) + rounding, x->norm2, error);

	if (metric->squared)
		slack += error * error;
	slack += rounding;
	/* and bf16 */
	return slack + (fabs(dist) + slack) * 0x1p-8 + 1e-40;
}

/*
 * By how much the distance that stands beside a link may be from that between the two
 * vectors as they are stored (dist).
 *
 * It was computed from these in one way or another (by a build, by VACUUM), or, when one
 * of them was inserted, from that one as it came; and rounded to bf16, by 2^-8 of itself
 * at most.  *certain allows for the greatest error that storing a vector can make, all of
 * it towards the other one: where a rotated vector has few different elements, it can be.
 * *likely allows for four standard deviations of errors that are random.
 */
void
HnswEdgeSlack(const HnswSpace *sp, const HnswStored *a, const HnswStored *b, double dist,
			  double *likely, double *certain)
{
	const HnswLayout *lay = &sp->lay;
	double		rounding = edge_rounding(lay, a, b, dist);

	*certain = Max(edge_slack(sp, a, b, dist, rounding, storage_error(lay, a)),
				   edge_slack(sp, b, a, dist, rounding, storage_error(lay, b)));
	*likely = Max(edge_slack(sp, a, b, dist, rounding,
							 CERTAIN * HnswElementError(lay, a->norm2, a->scale)),
				  edge_slack(sp, b, a, dist, rounding,
							 CERTAIN * HnswElementError(lay, b->norm2, b->scale)));
	*likely = Min(*likely, *certain);
}
