/*
 * sparsevec_compare.c
 *		The total order of values of type sparsevec: that of vectors of all
 *		their elements, zeros included.
 *
 * These functions are called without the memory context being reset in
 * between (sorting, btree), so they free their detoasted arguments.
 */
#include "postgres.h"

#include "types/sparsevec.h"

int
SparseVecCompare(const SparseVec *a, const SparseVec *b)
{
	const float *x = SparseVecValues(a);
	const float *y = SparseVecValues(b);
	int			common = Min(a->dim, b->dim);
	int			i = 0;
	int			j = 0;

	for (;;)
	{
		int			left = i < a->nnz ? a->indices[i] : common;
		int			right = j < b->nnz ? b->indices[j] : common;
		float		u = 0;
		float		v = 0;

		/* past the end of the shorter one, length decides */
		if (left >= common && right >= common)
			return (a->dim > b->dim) - (a->dim < b->dim);
		if (left <= right)
			u = x[i++];
		if (right <= left)
			v = y[j++];
		if (u != v)
			return u < v ? -1 : 1;
	}
}

static int
compare_args(FunctionCallInfo fcinfo)
{
	SparseVec  *a = PG_GETARG_SPARSEVEC_P(0);
	SparseVec  *b = PG_GETARG_SPARSEVEC_P(1);
	int			result = SparseVecCompare(a, b);

	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	return result;
}

PG_FUNCTION_INFO_V1(vectorx_sparsevec_lt);
Datum
vectorx_sparsevec_lt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_args(fcinfo) < 0);
}

PG_FUNCTION_INFO_V1(vectorx_sparsevec_le);
Datum
vectorx_sparsevec_le(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_args(fcinfo) <= 0);
}

PG_FUNCTION_INFO_V1(vectorx_sparsevec_eq);
Datum
vectorx_sparsevec_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_args(fcinfo) == 0);
}

PG_FUNCTION_INFO_V1(vectorx_sparsevec_ne);
Datum
vectorx_sparsevec_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_args(fcinfo) != 0);
}

PG_FUNCTION_INFO_V1(vectorx_sparsevec_ge);
Datum
vectorx_sparsevec_ge(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_args(fcinfo) >= 0);
}

PG_FUNCTION_INFO_V1(vectorx_sparsevec_gt);
Datum
vectorx_sparsevec_gt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_args(fcinfo) > 0);
}

PG_FUNCTION_INFO_V1(vectorx_sparsevec_cmp);
Datum
vectorx_sparsevec_cmp(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(compare_args(fcinfo));
}
