/*
 * vector.c
 *		Making vectors, and the checks that all operations on them share.
 *
 * Raises the errors whose wording is part of the type's behaviour; holds no
 * function callable from SQL and no state.
 */
#include "postgres.h"

#include <float.h>

#include "types/vector.h"

Vector *
InitVector(int dim)
{
	Size size = VECTOR_SIZE(dim);
	Vector *v = (Vector *) palloc0(size);

	Assert(dim >= 1 && dim <= VECTOR_MAX_DIM);
	SET_VARSIZE(v, size);
	v->dim = dim;
	return v;
}

void
VectorReportDamage(int dim, Size size)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("invalid value of type vector"),
			 errdetail("The value has %zu bytes and claims %d dimensions.",
					   size, dim)));
}

void
VectorCheckDim(int64 dim)
{
	if (unlikely(dim < 1))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("vector must have at least 1 dimension")));
	if (unlikely(dim > VECTOR_MAX_DIM))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("vector cannot have more than %d dimensions",
						VECTOR_MAX_DIM)));
}

void
VectorCheckTypmod(int32 typmod, int dim)
{
	if (unlikely(typmod != -1 && typmod != dim))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("expected %d dimensions, not %d", typmod, dim)));
}

void
VectorCheckSameDim(const Vector *a, const Vector *b)
{
	if (unlikely(a->dim != b->dim))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("different vector dimensions %d and %d",
						a->dim, b->dim)));
}

bool
VectorHasNonFinite(const float *x, int dim)
{
	int bad = 0;

	/* NaN compares false too; no branch, so that the loop is vectorised. */
	for (int i = 0; i < dim; i++)
		bad |= !(fabsf(x[i]) <= FLT_MAX);
	return bad != 0;
}

void
VectorCheckElements(const float *x, int dim)
{
	if (likely(!VectorHasNonFinite(x, dim)))
		return;

	for (int i = 0; i < dim; i++)
	{
		if (isnan(x[i]))
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("NaN not allowed in vector")));
		if (isinf(x[i]))
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("infinite value not allowed in vector")));
	}
}
