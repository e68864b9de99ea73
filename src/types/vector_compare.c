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

ELEMENTS_COMPARISONS(vector)
