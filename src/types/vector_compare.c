/*
 * vector_compare.c
 *		The total order of vectors: element by element, then by length.
 *
 * These functions are called without the memory context being reset in
 * between (sorting, btree), so they free their detoasted arguments.
 */
#include "postgres.h"

#include "types/vector.h"

static int
compare_args(FunctionCallInfo fcinfo)
{
	Vector *a = PG_GETARG_VECTOR_P(0);
	Vector *b = PG_GETARG_VECTOR_P(1);
	int result = DenseCompare(a->x, b->x, Min(a->dim, b->dim));

	if (result == 0)
		result = (a->dim > b->dim) - (a->dim < b->dim);

	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	return result;
}

DENSE_COMPARISON(vectorx_vector_lt, compare_args(fcinfo) < 0)
DENSE_COMPARISON(vectorx_vector_le, compare_args(fcinfo) <= 0)
DENSE_COMPARISON(vectorx_vector_eq, compare_args(fcinfo) == 0)
DENSE_COMPARISON(vectorx_vector_ne, compare_args(fcinfo) != 0)
DENSE_COMPARISON(vectorx_vector_ge, compare_args(fcinfo) >= 0)
DENSE_COMPARISON(vectorx_vector_gt, compare_args(fcinfo) > 0)

PG_FUNCTION_INFO_V1(vectorx_vector_cmp);
Datum
vectorx_vector_cmp(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(compare_args(fcinfo));
}
