/*
 * halfvec_distance.c
 *		Distances and the norm of halfvecs, as SQL functions and for the index.
 *
 * As vector_distance.c, but for what cannot be with halves: no sum of finite ones is
 * infinite as a float, none of squares vanishes.
 */
#include "postgres.h"

#include <math.h>

#include "utils/float.h"

#include "simd/vx_simd.h"

#include "types/element.h"
#include "types/halfvec.h"

/* ---- distances of halfvecs of the same dimensions ---- */

double
HalfvecL2Squared(const Halfvec *a, const Halfvec *b)
{
	return (double) vx_simd->f16_l2sq(a->x, b->x, a->dim);
}

static double
l2_distance(const Halfvec *a, const Halfvec *b)
{
	return sqrt(HalfvecL2Squared(a, b));
}

static double
inner_product(const Halfvec *a, const Halfvec *b)
{
	return (double) vx_simd->f16_dot(a->x, b->x, a->dim);
}

double
HalfvecNegativeInnerProduct(const Halfvec *a, const Halfvec *b)
{
	return (double) -vx_simd->f16_dot(a->x, b->x, a->dim);
}

double
HalfvecL1Distance(const Halfvec *a, const Halfvec *b)
{
	return (double) vx_simd->f16_l1(a->x, b->x, a->dim);
}

static double
spherical_distance(const Halfvec *a, const Halfvec *b)
{
	return DenseAngle(inner_product(a, b));
}

/* 1 minus the cosine of the angle, in [0, 2]; NaN for zeros. */
double
HalfvecCosineDistance(const Halfvec *a, const Halfvec *b)
{
	float		ab;
	float		aa;
	float		bb;

	vx_simd->f16_dot_norms(a->x, b->x, a->dim, &ab, &aa, &bb);
	if (aa == 0 || bb == 0)
		return get_float8_nan();
	return DenseCosineDistance((double) ab, sqrt((double) aa * (double) bb));
}

/* ---- as SQL functions ---- */

#define DISTANCE_FUNCTION(function, distance) \
PG_FUNCTION_INFO_V1(function); \
Datum \
function(PG_FUNCTION_ARGS) \
{ \
	Halfvec    *a = PG_GETARG_HALFVEC_P(0); \
	Halfvec    *b = PG_GETARG_HALFVEC_P(1); \
\
	DenseCheckSameDim(a->dim, b->dim, "halfvec"); \
	PG_RETURN_FLOAT8(distance(a, b)); \
}

/* l2_distance(halfvec, halfvec), <->: Euclidean distance */
DISTANCE_FUNCTION(vectorx_halfvec_l2_distance, l2_distance)

/* halfvec_l2_squared_distance: its square */
DISTANCE_FUNCTION(vectorx_halfvec_l2_squared_distance, HalfvecL2Squared)

/* inner_product(halfvec, halfvec) */
DISTANCE_FUNCTION(vectorx_halfvec_inner_product, inner_product)

/* halfvec_negative_inner_product, <#> */
DISTANCE_FUNCTION(vectorx_halfvec_negative_inner_product, HalfvecNegativeInnerProduct)

/* cosine_distance(halfvec, halfvec), <=> */
DISTANCE_FUNCTION(vectorx_halfvec_cosine_distance, HalfvecCosineDistance)

/* halfvec_spherical_distance: the angle between two of norm 1, as a fraction of pi */
DISTANCE_FUNCTION(vectorx_halfvec_spherical_distance, spherical_distance)

/* l1_distance(halfvec, halfvec), <+>: sum of the absolute differences */
DISTANCE_FUNCTION(vectorx_halfvec_l1_distance, HalfvecL1Distance)

/*
 * l2_norm(halfvec): Euclidean norm.
 */
PG_FUNCTION_INFO_V1(vectorx_halfvec_l2_norm);
Datum
vectorx_halfvec_l2_norm(PG_FUNCTION_ARGS)
{
	Halfvec    *h = PG_GETARG_HALFVEC_P(0);

	PG_RETURN_FLOAT8(ElementsNorm(HalfvecFloats(h), h->dim));
}
