/*
 * vector_cast.c
 *		Casts between vector and arrays, and to a vector of given length.
 *
 * A cast's second argument is the target's type modifier, -1 for none; the
 * third, whether the cast is explicit, makes no difference.
 */
#include "postgres.h"

#include "utils/array.h"

#include "types/element.h"
#include "types/vector.h"

/*
 * vector(vector, integer, boolean): vectors are not padded or cut, only
 * checked.
 */
PG_FUNCTION_INFO_V1(vectorx_vector);
Datum
vectorx_vector(PG_FUNCTION_ARGS)
{
	Vector *v = PG_GETARG_VECTOR_P(0);
	int32 typmod = PG_GETARG_INT32(1);

	ElementCheckTypmod(typmod, v->dim);
	PG_RETURN_VECTOR_P(v);
}

/*
 * array_to_vector(array, integer, boolean), for arrays of integer, real,
 * double precision and numeric.
 */
PG_FUNCTION_INFO_V1(vectorx_array_to_vector);
Datum
vectorx_array_to_vector(PG_FUNCTION_ARGS)
{
	ArrayType *array = PG_GETARG_ARRAYTYPE_P(0);
	int32 typmod = PG_GETARG_INT32(1);
	int dim = ElementsOfArray(array);
	Vector *result;

	DenseCheckDim(dim, "vector");
	ElementCheckTypmod(typmod, dim);

	result = InitVector(dim);
	ElementsFromArray(array, dim, result->x);
	ElementsCheckFinite(result->x, dim, "vector");
	PG_RETURN_VECTOR_P(result);
}

/*
 * vector_to_float4(vector, integer, boolean)
 */
PG_FUNCTION_INFO_V1(vectorx_vector_to_float4);
Datum
vectorx_vector_to_float4(PG_FUNCTION_ARGS)
{
	Vector *v = PG_GETARG_VECTOR_P(0);

	PG_RETURN_ARRAYTYPE_P(DenseArray(v->x, v->dim));
}
