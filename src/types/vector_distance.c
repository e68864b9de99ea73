/*
 * vector_distance.c
 *		Distances and the norm of vectors, as SQL functions.
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

/*
 * l2_distance(vector, vector), <->: Euclidean distance.
 */
PG_FUNCTION_INFO_V1(vectorx_l2_distance);
Datum
vectorx_l2_distance(PG_FUNCTION_ARGS)
{
	Vector *a = PG_GETARG_VECTOR_P(0);
	Vector *b = PG_GETARG_VECTOR_P(1);

	VectorCheckSameDim(a, b);
	PG_RETURN_FLOAT8(sqrt((double) vx_simd->l2sq(a->x, b->x, a->dim)));
}

/*
 * vector_l2_squared_distance(vector, vector): its square, which orders equally
 * and is what an index needs.
 */
PG_FUNCTION_INFO_V1(vectorx_vector_l2_squared_distance);
Datum
vectorx_vector_l2_squared_distance(PG_FUNCTION_ARGS)
{
	Vector *a = PG_GETARG_VECTOR_P(0);
	Vector *b = PG_GETARG_VECTOR_P(1);

	VectorCheckSameDim(a, b);
	PG_RETURN_FLOAT8((double) vx_simd->l2sq(a->x, b->x, a->dim));
}

/*
 * inner_product(vector, vector)
 */
PG_FUNCTION_INFO_V1(vectorx_inner_product);
Datum
vectorx_inner_product(PG_FUNCTION_ARGS)
{
	Vector *a = PG_GETARG_VECTOR_P(0);
	Vector *b = PG_GETARG_VECTOR_P(1);

	VectorCheckSameDim(a, b);
	PG_RETURN_FLOAT8((double) vx_simd->dot(a->x, b->x, a->dim));
}

/*
 * vector_negative_inner_product(vector, vector), <#>: negative, since an index
 * scan returns rows in ascending order.
 */
PG_FUNCTION_INFO_V1(vectorx_vector_negative_inner_product);
Datum
vectorx_vector_negative_inner_product(PG_FUNCTION_ARGS)
{
	Vector *a = PG_GETARG_VECTOR_P(0);
	Vector *b = PG_GETARG_VECTOR_P(1);

	VectorCheckSameDim(a, b);
	PG_RETURN_FLOAT8((double) -vx_simd->dot(a->x, b->x, a->dim));
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
 * 1 minus the cosine of the angle between two vectors of the same dimensions,
 * in [0, 2].  NaN for a vector whose squared norm is zero as a float, or
 * infinite.  This is what an index ranks rows by, too.
 */
double
VectorCosineDistance(const Vector *a, const Vector *b)
{
	float ab;
	float aa;
	float bb;
	double cosine;

	vx_simd->dot_norms(a->x, b->x, a->dim, &ab, &aa, &bb);
	if (aa == 0 || bb == 0 || isinf(aa) || isinf(bb))
		return get_float8_nan();
	if (aa < LEAST_SQUARED_NORM || bb < LEAST_SQUARED_NORM)
	{
		double dot;
		double norm_a;
		double norm_b;

		dot_norms_double(a, b, &dot, &norm_a, &norm_b);
		cosine = dot / (sqrt(norm_a) * sqrt(norm_b));
	}
	else
		cosine = (double) ab / sqrt((double) aa * (double) bb);

	/* the comparisons let NaN through */
	if (cosine > 1)
		cosine = 1;
	else if (cosine < -1)
		cosine = -1;
	return 1 - cosine;
}

/*
 * cosine_distance(vector, vector), <=>
 */
PG_FUNCTION_INFO_V1(vectorx_cosine_distance);
Datum
vectorx_cosine_distance(PG_FUNCTION_ARGS)
{
	Vector *a = PG_GETARG_VECTOR_P(0);
	Vector *b = PG_GETARG_VECTOR_P(1);

	VectorCheckSameDim(a, b);
	PG_RETURN_FLOAT8(VectorCosineDistance(a, b));
}

/*
 * vector_spherical_distance(vector, vector): the angle between two vectors of
 * norm 1, as a fraction of pi.
 */
PG_FUNCTION_INFO_V1(vectorx_vector_spherical_distance);
Datum
vectorx_vector_spherical_distance(PG_FUNCTION_ARGS)
{
	Vector *a = PG_GETARG_VECTOR_P(0);
	Vector *b = PG_GETARG_VECTOR_P(1);
	double cosine;

	VectorCheckSameDim(a, b);
	cosine = (double) vx_simd->dot(a->x, b->x, a->dim);
	if (cosine > 1)
		cosine = 1;
	else if (cosine < -1)
		cosine = -1;
	PG_RETURN_FLOAT8(acos(cosine) / M_PI);
}

/*
 * l1_distance(vector, vector), <+>: sum of the absolute differences.
 */
PG_FUNCTION_INFO_V1(vectorx_l1_distance);
Datum
vectorx_l1_distance(PG_FUNCTION_ARGS)
{
	Vector *a = PG_GETARG_VECTOR_P(0);
	Vector *b = PG_GETARG_VECTOR_P(1);

	VectorCheckSameDim(a, b);
	PG_RETURN_FLOAT8((double) vx_simd->l1(a->x, b->x, a->dim));
}

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
