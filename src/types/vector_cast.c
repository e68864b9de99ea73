/*
 * vector_cast.c
 *		Casts between vector and arrays, and to a vector of given length.
 *
 * A cast's second argument is the target's type modifier, -1 for none; the
 * third, whether the cast is explicit, makes no difference.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

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

	VectorCheckTypmod(typmod, v->dim);
	PG_RETURN_VECTOR_P(v);
}

/*
 * Convert n array elements that are not null, stored one after the other as
 * PostgreSQL stores them, to floats.  Numbers too large become infinities,
 * which the caller reports (numeric reports them itself).
 */
static void
convert_elements(ArrayType *array, int n, float *x)
{
	const char *data = ARR_DATA_PTR(array);

	switch (ARR_ELEMTYPE(array))
	{
		case FLOAT4OID:
			memcpy(x, data, sizeof(float) * n);
			break;
		case FLOAT8OID:
			for (int i = 0; i < n; i++)
				x[i] = (float) ((const float8 *) data)[i];
			break;
		case INT4OID:
			for (int i = 0; i < n; i++)
				x[i] = (float) ((const int32 *) data)[i];
			break;
		case NUMERICOID:
		{
			Datum *elements;
			int count;

			deconstruct_array(array, NUMERICOID, -1, false, TYPALIGN_INT,
							  &elements, NULL, &count);
			for (int i = 0; i < n; i++)
				x[i] = DatumGetFloat4(DirectFunctionCall1(numeric_float4,
														  elements[i]));
			pfree(elements);
			break;
		}
		default:
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("unsupported array type"),
					 errdetail("The array's elements are of type %s.",
							   format_type_be(ARR_ELEMTYPE(array)))));
	}
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
	int dim;
	Vector *result;

	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("array must be 1-D")));
	if (ARR_HASNULL(array) && array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("array must not contain nulls")));

	dim = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	VectorCheckDim(dim);
	VectorCheckTypmod(typmod, dim);

	result = InitVector(dim);
	convert_elements(array, dim, result->x);
	VectorCheckElements(result->x, dim);
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
	Size size = ARR_OVERHEAD_NONULLS(1) + sizeof(float) * v->dim;
	ArrayType *result = (ArrayType *) palloc0(size);

	/* filled in here: construct_array would need a Datum for each element */
	SET_VARSIZE(result, size);
	result->ndim = 1;
	result->dataoffset = 0;
	result->elemtype = FLOAT4OID;
	ARR_DIMS(result)
	[0] = v->dim;
	ARR_LBOUND(result)
	[0] = 1;
	memcpy(ARR_DATA_PTR(result), v->x, sizeof(float) * v->dim);
	PG_RETURN_ARRAYTYPE_P(result);
}
