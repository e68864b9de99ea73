/*
 * halfvec_arithmetic.c
 *		Functions from halfvecs to halfvecs, and to a bit string; their order.
 *
 * Elements are computed as floats and rounded once: a float has more than twice the
 * bits of a half, so that sums and products come out as if they were exact.
 */
#include "postgres.h"

#include "utils/float.h"
#include "utils/varbit.h"

#include "simd/vx_simd.h"

#include "types/element.h"
#include "types/half.h"
#include "types/halfvec.h"

typedef void (*ElementWise) (const float *a, const float *b, int n, float *result);

/*
 * The result of an operation on two arguments, rounded; as floats, too, with infinities
 * for what is too large, and the arguments.
 */
static Halfvec *
operate(FunctionCallInfo fcinfo, ElementWise operation, float **a, float **b, float **rounded)
{
	Halfvec    *left = PG_GETARG_HALFVEC_P(0);
	Halfvec    *right = PG_GETARG_HALFVEC_P(1);
	int			dim = left->dim;
	Halfvec    *result;

	DenseCheckSameDim(dim, right->dim, "halfvec");
	*a = HalfvecFloats(left);
	*b = HalfvecFloats(right);
	*rounded = palloc(sizeof(float) * dim);
	operation(*a, *b, dim, *rounded);
	result = InitHalfvec(dim);
	vx_simd->f32_to_f16(*rounded, result->x, dim);
	vx_simd->f16_to_f32(result->x, *rounded, dim);
	return result;
}

/*
 * halfvec_add(halfvec, halfvec): element-wise sum.
 */
PG_FUNCTION_INFO_V1(vectorx_halfvec_add);
Datum
vectorx_halfvec_add(PG_FUNCTION_ARGS)
{
	float	   *a;
	float	   *b;
	float	   *rounded;
	Halfvec    *result = operate(fcinfo, DenseAdd, &a, &b, &rounded);

	DenseCheckSums(rounded, result->dim);
	PG_RETURN_HALFVEC_P(result);
}

/*
 * halfvec_sub(halfvec, halfvec): element-wise difference.
 */
PG_FUNCTION_INFO_V1(vectorx_halfvec_sub);
Datum
vectorx_halfvec_sub(PG_FUNCTION_ARGS)
{
	float	   *a;
	float	   *b;
	float	   *rounded;
	Halfvec    *result = operate(fcinfo, DenseSubtract, &a, &b, &rounded);

	DenseCheckSums(rounded, result->dim);
	PG_RETURN_HALFVEC_P(result);
}

/*
 * halfvec_mul(halfvec, halfvec): element-wise product.
 */
PG_FUNCTION_INFO_V1(vectorx_halfvec_mul);
Datum
vectorx_halfvec_mul(PG_FUNCTION_ARGS)
{
	float	   *a;
	float	   *b;
	float	   *rounded;
	Halfvec    *result = operate(fcinfo, DenseMultiply, &a, &b, &rounded);

	DenseCheckProducts(a, b, rounded, result->dim);
	PG_RETURN_HALFVEC_P(result);
}

/*
 * halfvec_concat(halfvec, halfvec): the elements of one, then of the other.
 */
PG_FUNCTION_INFO_V1(vectorx_halfvec_concat);
Datum
vectorx_halfvec_concat(PG_FUNCTION_ARGS)
{
	Halfvec    *a = PG_GETARG_HALFVEC_P(0);
	Halfvec    *b = PG_GETARG_HALFVEC_P(1);
	int			dim = a->dim + b->dim;
	Halfvec    *result;

	DenseCheckDim(dim, "halfvec");
	result = InitHalfvec(dim);
	memcpy(result->x, a->x, sizeof(uint16) * a->dim);
	memcpy(result->x + a->dim, b->x, sizeof(uint16) * b->dim);
	PG_RETURN_HALFVEC_P(result);
}

/*
 * subvector(halfvec, start, count): as that of a vector.
 */
PG_FUNCTION_INFO_V1(vectorx_halfvec_subvector);
Datum
vectorx_halfvec_subvector(PG_FUNCTION_ARGS)
{
	Halfvec    *h = PG_GETARG_HALFVEC_P(0);
	int			first;
	int			dim = DensePart(h->dim, PG_GETARG_INT32(1), PG_GETARG_INT32(2), &first, "halfvec");
	Halfvec    *result = InitHalfvec(dim);

	memcpy(result->x, h->x + first, sizeof(uint16) * dim);
	PG_RETURN_HALFVEC_P(result);
}

/*
 * l2_normalize(halfvec): divided by its Euclidean norm, or zeros if that is zero.
 */
PG_FUNCTION_INFO_V1(vectorx_halfvec_l2_normalize);
Datum
vectorx_halfvec_l2_normalize(PG_FUNCTION_ARGS)
{
	Halfvec    *h = PG_GETARG_HALFVEC_P(0);
	float	   *x = HalfvecFloats(h);
	double		norm = ElementsNorm(x, h->dim);

	for (int i = 0; i < h->dim && norm > 0; i++)
		x[i] = VxFloatForHalf(x[i] / norm);
	PG_RETURN_HALFVEC_P(HalfvecRounded(x, h->dim));
}

/*
 * binary_quantize(halfvec): a bit for each element, set if it is positive.
 */
PG_FUNCTION_INFO_V1(vectorx_halfvec_binary_quantize);
Datum
vectorx_halfvec_binary_quantize(PG_FUNCTION_ARGS)
{
	Halfvec    *h = PG_GETARG_HALFVEC_P(0);

	PG_RETURN_VARBIT_P(DenseBits(HalfvecFloats(h), h->dim));
}

/*
 * vector_dims(halfvec): the number of elements.
 */
PG_FUNCTION_INFO_V1(vectorx_halfvec_vector_dims);
Datum
vectorx_halfvec_vector_dims(PG_FUNCTION_ARGS)
{
	Halfvec    *h = PG_GETARG_HALFVEC_P(0);

	PG_RETURN_INT32(h->dim);
}
