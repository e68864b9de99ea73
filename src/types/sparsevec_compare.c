/*
 * sparsevec_compare.c
 *		The total order of values of type sparsevec: that of vectors of all
 *		their elements, zeros included.
 *
 * These functions are called without the memory context being reset in
 * between (sorting, btree), so they free their detoasted arguments.
 */
#include "postgres.h"

#include "types/element.h"
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

ELEMENTS_COMPARISONS(sparsevec)
