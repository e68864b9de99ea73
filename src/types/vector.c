/*
 * vector.c
 *		Making vectors, and the checks that all operations on them share.
 *
 * Raises the errors whose wording is part of the type's behaviour; holds no
 * function callable from SQL and no state.
 */
#include "postgres.h"

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
VectorCheckSameDim(const Vector *a, const Vector *b)
{
	if (unlikely(a->dim != b->dim))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("different vector dimensions %d and %d",
						a->dim, b->dim)));
}
