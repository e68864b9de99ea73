/*
 * metric.h
 *		What a metric is: one HnswMetricOps, by which all others ask.
 *
 * Nothing outside metric.c tests which metric an index has; what is different
 * between metrics is a field here.  This header needs nothing but page.h, so
 * that rooms below metric/ may include it: a layout leads to its metric.
 */
#ifndef HNSW_METRIC_METRIC_H
#define HNSW_METRIC_METRIC_H

#include "fmgr.h"
#include "hnsw/layout/page.h"

struct HnswQuery;
struct HnswSpace;
struct HnswStored;
struct HnswWordsOps;

/*
 * Distances are in index units: computed from prepared vectors, and finite
 * (README, "Range").  Functions get whole vectors, or many of them.  A metric has
 * all fields that do not say otherwise.
 */
typedef struct HnswMetricOps
{
	HnswMetric	number;			/* in the metapage */
	const char *name;			/* in hnsw_info */
	const char *opclass;		/* in the names of its operator classes, TYPE_..._ops */

	/*
	 * Distances follow from inner products, and norms: a rotation keeps them.  Own
	 * vectors are rotated, sketches may have bits, int8 codes are multiplied, and
	 * squared norms are floats.
	 */
	bool		products;
	/* The square of the Euclidean distance: |x|^2 + |y|^2 - 2 <x,y>. */
	bool		squared;
	/* The sum of what elements differ by: up to sqrt(dim) times the Euclidean distance. */
	bool		sums;
	bool		normalised;		/* of vectors divided by their norms; those of no norm are left
								 * out.  Its operator classes have HNSW_NORM_PROC */
	bool		centred;		/* the same when both vectors move: a centre is subtracted */
	bool		any_scale;		/* a query times any factor finds rows in the same order */
	int			shift;			/* elements are made smaller by 2^shift, for distances and what
								 * estimates are made of to be finite */

	/* How far a vector is from the origin for the operators; infinite when that is no float. */
	float		(*length) (const float *x, int dim);
	const char *too_long;		/* detail of the error then */
	/* The norm that goes with it, in double precision, and the greatest of a query. */
	double		(*norm) (const float *x, int dim);
	double		max_norm;

	/*
	 * Vectors are words of 32 bits in the place of floats, which are stored as they are
	 * (HNSW_OWN_FP32) and only these functions look into (metric/words.h).  NULL: of floats.
	 */
	const struct HnswWordsOps *words;
	/* Can they be so many for so many dimensions of a column? */
	bool		(*fits) (int dim, int column_dim);
	bool		variable;		/* what is stored of a vector is not all that a query needs of it */

	/* Distance between two prepared, or decoded, vectors. */
	float		(*pair) (const struct HnswSpace *sp, const float *a, const float *b);
	/* The same from one to n that lie one behind the other; NULL for words that have columns. */
	void		(*many) (const struct HnswSpace *sp, const float *a, const float *rows, int n, float *out);
	/* From a query to a stored vector. */
	float		(*own) (const struct HnswSpace *sp, const struct HnswQuery *q, const char *own,
						float scale, float offset, float norm2);
	/* Between two stored vectors. */
	float		(*stored) (const struct HnswSpace *sp, const struct HnswStored *a,
						   const struct HnswStored *b);

	/*
	 * The factors of a link (README, "Estimates"): r2 the squared norm of the
	 * residual, rs and ys the products of residual and node with the code.  NULL
	 * where there are no sketches of bits.
	 */
	void		(*factors) (float r2, float rs, float ys, float *a, float *b);
	/*
	 * By how much a distance (at least 0) differs when each element of the stored
	 * vector, of squared norm norm2, may differ by "error", all at random, and by the
	 * rounding of floats.
	 */
	double		(*slack) (const struct HnswQuery *q, int dim, double dist, double norm2,
						  double error);

	/* By how much a stored vector's distance may be off besides, once in many; NULL: by nothing. */
	double		(*rare) (const struct HnswQuery *q, double norm2);

	/* How much nearer than to a node something may be before it rules a choice out; 1: none. */
	float		relax;
	/* What slack is multiplied with to say how far a search has to go beyond its results. */
	double		reach;
	bool		queues_once;	/* the first estimate of a node says as much as the best of several */
	HnswMetric	divided_as;		/* by whose distances a build divides nodes into groups */
} HnswMetricOps;

extern const HnswMetricOps *HnswMetricOf(int number);

#endif							/* HNSW_METRIC_METRIC_H */
