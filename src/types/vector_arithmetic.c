/*
 * vector_arithmetic.c
 *		Functions from vectors to vectors, and to a bit string.
 *
 * Sums, products and normalisation refuse results that are not finite, so
 * that every vector's elements are.
 */
#include "postgres.h"

#include "utils/float.h"
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

	VectorCheckSameDim(a, b);
	result = InitVector(a->dim);
	for (int i = 0; i < a->dim; i++)
		result->x[i] = a->x[i] + b->x[i];
	if (unlikely(ElementsHaveNonFinite(result->x, result->dim)))
		float_overflow_error();
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

	VectorCheckSameDim(a, b);
	result = InitVector(a->dim);
	for (int i = 0; i < a->dim; i++)
		result->x[i] = a->x[i] - b->x[i];
	if (unlikely(ElementsHaveNonFinite(result->x, result->dim)))
		float_overflow_error();
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

	VectorCheckSameDim(a, b);
	result = InitVector(a->dim);
	for (int i = 0; i < a->dim; i++)
		result->x[i] = a->x[i] * b->x[i];
	for (int i = 0; i < a->dim; i++)
	{
		if (unlikely(isinf(result->x[i])))
			float_overflow_error();
		if (unlikely(result->x[i] == 0 && a->x[i] != 0 && b->x[i] != 0))
			float_underflow_error();
	}
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

	VectorCheckDim(dim);
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
	int64 first = PG_GETARG_INT32(1);
	int64 last = first + PG_GETARG_INT32(2) - 1;
	int64 dim;
	Vector *result;

	first = Max(first, 1);
	last = Min(last, v->dim);
	dim = last - first + 1;
	VectorCheckDim(dim);

	result = InitVector((int) dim);
	memcpy(result->x, v->x + (first - 1), sizeof(float) * dim);
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
		if (unlikely(ElementsHaveNonFinite(result->x, result->dim)))
			float_overflow_error();
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
	int size = VARBITTOTALLEN(v->dim);
	VarBit *result = (VarBit *) palloc0(size);
	bits8 *bits = VARBITS(result);

	SET_VARSIZE(result, size);
	VARBITLEN(result) = v->dim;
	for (int i = 0; i < v->dim; i++)
		bits[i / 8] |= (v->x[i] > 0) << (7 - i % 8);
	PG_RETURN_VARBIT_P(result);
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
