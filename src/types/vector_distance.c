/*
 * vector_distance.c
 *		Distances and the norm of vectors, as SQL functions and for the index.
 *
 * The sums over the elements are the kernels' (simd/vx_simd.h), in single
 * precision; what is done with a sum is done in double precision.  None of
 * these functions can overflow into an error: a sum too large is infinite.
 * They must not depend on the order of their arguments.
 */
#include "postgres.h"

#include "utils/float.h"

#include "simd/vx_simd.h"

#include "types/element.h"
#include "types/vector.h"

/* ---- what distances of halfvec and sparsevec are made of, too ---- */

/* Keep what rounding has moved beyond the range of a cosine; NaN stays. */
static double
clamp_cosine(double cosine)
{
	/* the comparisons let NaN through */
	if (cosine > 1)
		return 1;
	return cosine < -1 ? -1 : cosine;
}

double
DenseCosineDistance(double dot, double norms)
{
	return 1 - clamp_cosine(dot / norms);
}

double
DenseAngle(double dot)
{
	return acos(clamp_cosine(dot)) / M_PI;
}

/* ---- distances of vectors of the same dimensions ---- */

double
VectorL2Squared(const Vector *a, const Vector *b)
{
	return (double) vx_simd->l2sq(a->x, b->x, a->dim);
}

static double
l2_distance(const Vector *a, const Vector *b)
{
	return sqrt(VectorL2Squared(a, b));
}

static double
inner_product(const Vector *a, const Vector *b)
{
	return (double) vx_simd->dot(a->x, b->x, a->dim);
}

double
VectorNegativeInnerProduct(const Vector *a, const Vector *b)
{
	return (double) -vx_simd->dot(a->x, b->x, a->dim);
}

double
VectorL1Distance(const Vector *a, const Vector *b)
{
	return (double) vx_simd->l1(a->x, b->x, a->dim);
}

static double
spherical_distance(const Vector *a, const Vector *b)
{
	return DenseAngle(inner_product(a, b));
}

/*
 * Sums of products below this have lost too much to underflow: elements whose
 * squares are no more than some bits of a float.
 */
#define LEAST_SQUARED_NORM 1e-30f

/* Inner product and squared norms of two vectors, whatever their elements. */
static void
dot_norms_double(const Vector *a, const Vector *b, double *ab, double *aa, double *bb)
{
	*ab = *aa = *bb = 0;
	for (int i = 0; i < a->dim; i++)
	{
		*ab += (double) a->x[i] * b->x[i];
		*aa += (double) a->x[i] * a->x[i];
		*bb += (double) b->x[i] * b->x[i];
	}
}

/*
 * 1 minus the cosine of the angle, in [0, 2].  NaN for a vector whose squared norm is
 * zero as a float, or infinite.
 */
double
VectorCosineDistance(const Vector *a, const Vector *b)
{
	float ab;
	float aa;
	float bb;

	vx_simd->dot_norms(a->x, b->x, a->dim, &ab, &aa, &bb);
	if (aa == 0 || bb == 0 || isinf(aa) || isinf(bb))
		return get_float8_nan();
	if (aa < LEAST_SQUARED_NORM || bb < LEAST_SQUARED_NORM)
	{
		double dot;
		double norm_a;
		double norm_b;

		dot_norms_double(a, b, &dot, &norm_a, &norm_b);
		return DenseCosineDistance(dot, sqrt(norm_a) * sqrt(norm_b));
	}
	return DenseCosineDistance((double) ab, sqrt((double) aa * (double) bb));
}

/* ---- as SQL functions ---- */

#define DISTANCE_FUNCTION(function, distance) \
PG_FUNCTION_INFO_V1(function); \
Datum \
function(PG_FUNCTION_ARGS) \
{ \
	Vector *a = PG_GETARG_VECTOR_P(0); \
	Vector *b = PG_GETARG_VECTOR_P(1); \
\
	DenseCheckSameDim(a->dim, b->dim, "vector"); \
	PG_RETURN_FLOAT8(distance(a, b)); \
}

/* l2_distance(vector, vector), <->: Euclidean distance */
DISTANCE_FUNCTION(vectorx_l2_distance, l2_distance)

/* vector_l2_squared_distance: its square, which orders equally and is what an index needs */
DISTANCE_FUNCTION(vectorx_vector_l2_squared_distance, VectorL2Squared)

/* inner_product(vector, vector) */
DISTANCE_FUNCTION(vectorx_inner_product, inner_product)

/* vector_negative_inner_product, <#>: negative, since an index scan returns rows in ascending order */
DISTANCE_FUNCTION(vectorx_vector_negative_inner_product, VectorNegativeInnerProduct)

/* cosine_distance(vector, vector), <=> */
DISTANCE_FUNCTION(vectorx_cosine_distance, VectorCosineDistance)

/* vector_spherical_distance: the angle between two vectors of norm 1, as a fraction of pi */
DISTANCE_FUNCTION(vectorx_vector_spherical_distance, spherical_distance)

/* l1_distance(vector, vector), <+>: sum of the absolute differences */
DISTANCE_FUNCTION(vectorx_l1_distance, VectorL1Distance)

/*
 * vector_norm(vector): Euclidean norm.
 */
PG_FUNCTION_INFO_V1(vectorx_vector_norm);
Datum
vectorx_vector_norm(PG_FUNCTION_ARGS)
{
	Vector *v = PG_GETARG_VECTOR_P(0);

	PG_RETURN_FLOAT8(ElementsNorm(v->x, v->dim));
}
