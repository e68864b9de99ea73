/*
 * precision.c
 *		How far distances computed from stored vectors may be from the true ones,
 *		and what that means for the results of a search.
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

	/* what each element may lose below the least float, here and in the operator */
	rounding = 1e-44 * dim * (1 + 1 / q->unit);
	if (metric->products && sp->lay.own == HNSW_OWN_INT8)
		rounding += CERTAIN * Max(q->q16_scale, 1e-33) * sqrt((double) norm2);
	return metric->slack(q, dim, Max(dist, 0), norm2, CERTAIN * step) + rounding;
}

/* What the squares of the errors add to a distance, on average. */
static double
mean_square(const HnswSpace *sp, double step)
{
	if (!sp->lay.metric->squared)
		return 0;
	return sp->lay.dim * step * step;
}

/*
 * How far a computed distance may be from the true one, in index units: four standard
 * deviations of the quantisation error and float rounding.  Rows whose intervals overlap are
 * compared by their exact vectors.
 */
double
HnswDistanceSlack(const HnswSpace *sp, const HnswQuery *q, float dist, float norm2, float scale)
{
	double		step = HnswElementError(&sp->lay, norm2, scale);

	/* elements of few different values have no errors, and add no squares */
	return linear_slack(sp, q, dist, norm2, step) + 2 * mean_square(sp, step);
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
