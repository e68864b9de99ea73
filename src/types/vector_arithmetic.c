/*
 * vector_arithmetic.c
 *		Functions from vectors to vectors, and to a bit string.
 *
 * Sums, products and normalisation refuse results that are not finite, so
 * that every vector's elements are.
 */
#include "postgres.h"

#include "utils/varbit.h"

#include "types/element.h"
#include "types/vector.h"

/*
 * vector_add(vector, vector): element-wise sum.
 */
PG_FUNCTION_INFO_V1(vectorx_vector_add);
Datum
vectorx_vector_add(PG_FUNCTION_ARGS)
{
	Vector *a = PG_GETARG_VECTOR_P(0);
	Vector *b = PG_GETARG_VECTOR_P(1);
	Vector *result;

	DenseCheckSameDim(a->dim, b->dim, "vector");
	result = InitVector(a->dim);
	DenseAdd(a->x, b->x, a->dim, result->x);
	DenseCheckSums(result->x, a->dim);
	PG_RETURN_VECTOR_P(result);
}

/*
 * vector_sub(vector, vector): element-wise difference.
 */
PG_FUNCTION_INFO_V1(vectorx_vector_sub);
Datum
vectorx_vector_sub(PG_FUNCTION_ARGS)
{
	Vector *a = PG_GETARG_VECTOR_P(0);
	Vector *b = PG_GETARG_VECTOR_P(1);
	Vector *result;

	DenseCheckSameDim(a->dim, b->dim, "vector");
	result = InitVector(a->dim);
	DenseSubtract(a->x, b->x, a->dim, result->x);
	DenseCheckSums(result->x, a->dim);
	PG_RETURN_VECTOR_P(result);
}

/*
 * vector_mul(vector, vector): element-wise product.
 */
PG_FUNCTION_INFO_V1(vectorx_vector_mul);
Datum
vectorx_vector_mul(PG_FUNCTION_ARGS)
{
	Vector *a = PG_GETARG_VECTOR_P(0);
	Vector *b = PG_GETARG_VECTOR_P(1);
	Vector *result;

	DenseCheckSameDim(a->dim, b->dim, "vector");
	result = InitVector(a->dim);
	DenseMultiply(a->x, b->x, a->dim, result->x);
	DenseCheckProducts(a->x, b->x, result->x, a->dim);
	PG_RETURN_VECTOR_P(result);
}

/*
 * vector_concat(vector, vector): the elements of one, then of the other.
 */
PG_FUNCTION_INFO_V1(vectorx_vector_concat);
Datum
vectorx_vector_concat(PG_FUNCTION_ARGS)
{
	Vector *a = PG_GETARG_VECTOR_P(0);
	Vector *b = PG_GETARG_VECTOR_P(1);
	int dim = a->dim + b->dim;
	Vector *result;

	DenseCheckDim(dim, "vector");
	result = InitVector(dim);
	memcpy(result->x, a->x, sizeof(float) * a->dim);
	memcpy(result->x + a->dim, b->x, sizeof(float) * b->dim);
	PG_RETURN_VECTOR_P(result);
}

/*
 * subvector(vector, start, count): count elements from the start'th on, which
 * counts from 1.  What lies outside the vector is left out, as in substring;
 * that nothing remains is an error.
 */
PG_FUNCTION_INFO_V1(vectorx_subvector);
Datum
vectorx_subvector(PG_FUNCTION_ARGS)
{
	Vector *v = PG_GETARG_VECTOR_P(0);
	int first;
	int dim = DensePart(v->dim, PG_GETARG_INT32(1), PG_GETARG_INT32(2), &first, "vector");
	Vector *result = InitVector(dim);

	memcpy(result->x, v->x + first, sizeof(float) * dim);
	PG_RETURN_VECTOR_P(result);
}

/*
 * l2_normalize(vector): the vector divided by its Euclidean norm, or zeros if
 * that is zero.
 */
PG_FUNCTION_INFO_V1(vectorx_l2_normalize);
Datum
vectorx_l2_normalize(PG_FUNCTION_ARGS)
{
	Vector *v = PG_GETARG_VECTOR_P(0);
	double norm = ElementsNorm(v->x, v->dim);
	Vector *result = InitVector(v->dim);

	if (norm > 0)
	{
		for (int i = 0; i < v->dim; i++)
			result->x[i] = (float) (v->x[i] / norm);
		DenseCheckSums(result->x, result->dim);
	}
	PG_RETURN_VECTOR_P(result);
}

/*
 * binary_quantize(vector): a bit for each element, set if it is positive.
 */
PG_FUNCTION_INFO_V1(vectorx_binary_quantize);
Datum
vectorx_binary_quantize(PG_FUNCTION_ARGS)
{
	Vector *v = PG_GETARG_VECTOR_P(0);

	PG_RETURN_VARBIT_P(DenseBits(v->x, v->dim));
}

/*
 * vector_dims(vector): the number of elements.
 */
PG_FUNCTION_INFO_V1(vectorx_vector_dims);
Datum
vectorx_vector_dims(PG_FUNCTION_ARGS)
{
	Vector *v = PG_GETARG_VECTOR_P(0);

	PG_RETURN_INT32(v->dim);
}
