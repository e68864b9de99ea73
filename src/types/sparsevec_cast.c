/*
 * sparsevec_cast.c
 *		Casts between sparsevec and vector or halfvec, from arrays, and to a sparsevec of
 *		given length.
 *
 * A cast's second argument is the target's type modifier, -1 for none; the
 * third, whether the cast is explicit, makes no difference.
 */
#include "postgres.h"

#include "types/element.h"
#include "types/halfvec.h"
#include "types/sparsevec.h"
#include "types/vector.h"

/*
 * sparsevec(sparsevec, integer, boolean): values are not padded or cut, only
 * checked.
 */
PG_FUNCTION_INFO_V1(vectorx_sparsevec);
Datum
vectorx_sparsevec(PG_FUNCTION_ARGS)
{
	SparseVec  *v = PG_GETARG_SPARSEVEC_P(0);

	ElementCheckTypmod(PG_GETARG_INT32(1), v->dim);
	PG_RETURN_SPARSEVEC_P(v);
}

/*
 * vector_to_sparsevec(vector, integer, boolean)
 */
PG_FUNCTION_INFO_V1(vectorx_vector_to_sparsevec);
Datum
vectorx_vector_to_sparsevec(PG_FUNCTION_ARGS)
{
	Vector	   *v = PG_GETARG_VECTOR_P(0);

	ElementCheckTypmod(PG_GETARG_INT32(1), v->dim);
	PG_RETURN_SPARSEVEC_P(SparseVecFromFloats(v->x, v->dim));
}

/*
 * sparsevec_to_vector(sparsevec, integer, boolean)
 */
PG_FUNCTION_INFO_V1(vectorx_sparsevec_to_vector);
Datum
vectorx_sparsevec_to_vector(PG_FUNCTION_ARGS)
{
	SparseVec  *v = PG_GETARG_SPARSEVEC_P(0);
	Vector	   *result;

	DenseCheckDim(v->dim, "vector");
	ElementCheckTypmod(PG_GETARG_INT32(1), v->dim);
	result = InitVector(v->dim);
	SparseVecToFloats(v, result->x);
	PG_RETURN_VECTOR_P(result);
}

/*
 * halfvec_to_sparsevec(halfvec, integer, boolean)
 */
PG_FUNCTION_INFO_V1(vectorx_halfvec_to_sparsevec);
Datum
vectorx_halfvec_to_sparsevec(PG_FUNCTION_ARGS)
{
	Halfvec    *h = PG_GETARG_HALFVEC_P(0);

	ElementCheckTypmod(PG_GETARG_INT32(1), h->dim);
	PG_RETURN_SPARSEVEC_P(SparseVecFromFloats(HalfvecFloats(h), h->dim));
}

/*
 * sparsevec_to_halfvec(sparsevec, integer, boolean): each element rounded.
 */
PG_FUNCTION_INFO_V1(vectorx_sparsevec_to_halfvec);
Datum
vectorx_sparsevec_to_halfvec(PG_FUNCTION_ARGS)
{
	SparseVec  *v = PG_GETARG_SPARSEVEC_P(0);
	float	   *x;

	DenseCheckDim(v->dim, "halfvec");
	ElementCheckTypmod(PG_GETARG_INT32(1), v->dim);
	x = palloc0(sizeof(float) * v->dim);
	SparseVecToFloats(v, x);
	PG_RETURN_HALFVEC_P(HalfvecRounded(x, v->dim));
}

/*
 * array_to_sparsevec(array, integer, boolean), for arrays of integer, real,
 * double precision and numeric.
 */
PG_FUNCTION_INFO_V1(vectorx_array_to_sparsevec);
Datum
vectorx_array_to_sparsevec(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	int			dim = ElementsOfArray(array);
	float	   *x;
	SparseVec  *result;

	SparseVecCheckDim(dim);
	ElementCheckTypmod(PG_GETARG_INT32(1), dim);
	x = palloc(sizeof(float) * (Size) dim);
	ElementsFromArray(array, dim, x);
	ElementsCheckFinite(x, dim, "sparsevec");
	result = SparseVecFromFloats(x, dim);
	pfree(x);
	PG_RETURN_SPARSEVEC_P(result);
}
