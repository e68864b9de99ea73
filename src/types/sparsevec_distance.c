/*
 * sparsevec_distance.c
 *		Distances and norms of sparsevec, as functions of C and of SQL.
 *
 * Sums are in double precision, and rounded to float at last: so distances are
 * those of the type vector but for its rounding, too large sums are infinite,
 * and none raises an error for its size.  They do not depend on the order of
 * the arguments.
 */
#include "postgres.h"

#include <math.h>

#include "utils/float.h"

#include "simd/vx_simd.h"

#include "types/dense.h"
#include "types/element.h"
#include "types/sparsevec.h"

/* The sum of n numbers' absolute values; four sums, as ElementsSumSquares. */
static double
sum_absolute(const float *x, int n)
{
	double		sums[4] = {0, 0, 0, 0};
	int			i = 0;

	for (; i + 4 <= n; i += 4)
	{
		for (int j = 0; j < 4; j++)
			sums[j] += fabs((double) x[i + j]);
	}
	for (; i < n; i++)
		sums[0] += fabs((double) x[i]);
	return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/*
 * The sum, over the indices that both have, of what "term" makes of the two elements; and over
 * those that one has, of what "alone" makes of a run of its elements, unless that is NULL.
 */
static inline double
sum_over(const SparseVec *a, const SparseVec *b, double (*term) (double u, double v),
		 double (*alone) (const float *x, int n))
{
	const float *x = SparseVecValues(a);
	const float *y = SparseVecValues(b);
	uint16_t	at_a[SPARSEVEC_MAX_NNZ];
	uint16_t	at_b[SPARSEVEC_MAX_NNZ];
	int			i = 0;
	int			j = 0;
	double		both = 0;
	double		left = 0;
	double		right = 0;
	int			n;

	SparseVecCheckSameDim(a, b);
	n = vx_simd->intersect(a->indices, a->nnz, b->indices, b->nnz, at_a, at_b, Min(a->nnz, b->nnz));
	for (int k = 0; k < n; k++)
	{
		both += term(x[at_a[k]], y[at_b[k]]);
		if (alone)
		{
			left += alone(x + i, at_a[k] - i);
			right += alone(y + j, at_b[k] - j);
			i = at_a[k] + 1;
			j = at_b[k] + 1;
		}
	}
	if (alone)
	{
		left += alone(x + i, a->nnz - i);
		right += alone(y + j, b->nnz - j);
	}
	return left + right + both;
}

static inline double
squared_difference(double u, double v)
{
	return (u - v) * (u - v);
}

static inline double
product(double u, double v)
{
	return u * v;
}

static inline double
absolute_difference(double u, double v)
{
	return fabs(u - v);
}

double
SparseVecSquaredDistance(const SparseVec *a, const SparseVec *b)
{
	return sum_over(a, b, squared_difference, ElementsSumSquares);
}

double
SparseVecInnerProduct(const SparseVec *a, const SparseVec *b)
{
	return sum_over(a, b, product, NULL);
}

double
SparseVecTaxicabDistance(const SparseVec *a, const SparseVec *b)
{
	return sum_over(a, b, absolute_difference, sum_absolute);
}

/*
 * 1 minus the cosine, in [0, 2]; NaN where VectorCosineDistance has it: for a
 * squared norm that is zero or infinite as a float.
 */
double
SparseVecCosineDistance(const SparseVec *a, const SparseVec *b)
{
	double		ab = SparseVecInnerProduct(a, b);
	double		aa = ElementsSumSquares(SparseVecValues(a), a->nnz);
	double		bb = ElementsSumSquares(SparseVecValues(b), b->nnz);

	if ((float) aa == 0 || (float) bb == 0 || isinf((float) aa) || isinf((float) bb))
		return get_float8_nan();
	return DenseCosineDistance(ab, sqrt(aa * bb));
}

/* ---- as SQL functions: sums as the floats that vector has of them ---- */

#define DISTANCE_FUNCTION(function, distance) \
PG_FUNCTION_INFO_V1(function); \
Datum \
function(PG_FUNCTION_ARGS) \
{ \
	SparseVec  *a = PG_GETARG_SPARSEVEC_P(0); \
	SparseVec  *b = PG_GETARG_SPARSEVEC_P(1); \
\
	PG_RETURN_FLOAT8(distance); \
}

/* l2_distance(sparsevec, sparsevec), <->: Euclidean distance */
DISTANCE_FUNCTION(vectorx_sparsevec_l2_distance, sqrt((double) (float) SparseVecSquaredDistance(a, b)))

/* sparsevec_l2_squared_distance: its square, which orders equally and is what an index needs */
DISTANCE_FUNCTION(vectorx_sparsevec_l2_squared_distance, (double) (float) SparseVecSquaredDistance(a, b))

/* inner_product(sparsevec, sparsevec) */
DISTANCE_FUNCTION(vectorx_sparsevec_inner_product, (double) (float) SparseVecInnerProduct(a, b))

/* sparsevec_negative_inner_product, <#> */
DISTANCE_FUNCTION(vectorx_sparsevec_negative_inner_product, (double) (float) -SparseVecInnerProduct(a, b))

/* cosine_distance(sparsevec, sparsevec), <=> */
DISTANCE_FUNCTION(vectorx_sparsevec_cosine_distance, SparseVecCosineDistance(a, b))

/* l1_distance(sparsevec, sparsevec), <+>: sum of the absolute differences */
DISTANCE_FUNCTION(vectorx_sparsevec_l1_distance, (double) (float) SparseVecTaxicabDistance(a, b))

/*
 * l2_norm(sparsevec): Euclidean norm.
 */
PG_FUNCTION_INFO_V1(vectorx_sparsevec_l2_norm);
Datum
vectorx_sparsevec_l2_norm(PG_FUNCTION_ARGS)
{
	SparseVec  *v = PG_GETARG_SPARSEVEC_P(0);

	PG_RETURN_FLOAT8(ElementsNorm(SparseVecValues(v), v->nnz));
}

/*
 * l2_normalize(sparsevec): the vector divided by its Euclidean norm, or the
 * vector itself if that is zero.  Elements that become zero are left out.
 */
PG_FUNCTION_INFO_V1(vectorx_sparsevec_l2_normalize);
Datum
vectorx_sparsevec_l2_normalize(PG_FUNCTION_ARGS)
{
	SparseVec  *v = PG_GETARG_SPARSEVEC_P(0);
	const float *x = SparseVecValues(v);
	double		length = ElementsNorm(x, v->nnz);
	SparseVec  *result;
	float	   *values;
	int			nnz = 0;

	if (!(length > 0))
		PG_RETURN_SPARSEVEC_P(v);
	for (int i = 0; i < v->nnz; i++)
		nnz += (float) (x[i] / length) != 0;
	result = InitSparseVec(v->dim, nnz);
	values = SparseVecValues(result);
	for (int i = 0, n = 0; n < nnz; i++)
	{
		float		value = (float) (x[i] / length);

		if (value != 0)
		{
			result->indices[n] = v->indices[i];
			values[n++] = value;
		}
	}
	if (unlikely(ElementsHaveNonFinite(values, nnz)))
		float_overflow_error();
	PG_RETURN_SPARSEVEC_P(result);
}
