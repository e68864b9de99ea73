/*
 * sparsevec.c
 *		Making values of type sparsevec, and the checks that all operations on
 *		them share.
 *
 * Raises the errors whose wording is part of the type's behaviour; holds no
 * function callable from SQL and no state.
 */
#include "postgres.h"

#include "types/sparsevec.h"

SparseVec *
InitSparseVec(int dim, int nnz)
{
	Size		size = SPARSEVEC_SIZE(nnz);
	SparseVec  *v = (SparseVec *) palloc0(size);

	Assert(dim >= 1 && dim <= SPARSEVEC_MAX_DIM);
	Assert(nnz >= 0 && nnz <= SPARSEVEC_MAX_NNZ);
	SET_VARSIZE(v, size);
	v->dim = dim;
	v->nnz = nnz;
	return v;
}

SparseVec *
SparseVecFromFloats(const float *x, int dim)
{
	SparseVec  *v;
	float	   *values;
	int			nnz = 0;

	for (int i = 0; i < dim; i++)
		nnz += x[i] != 0;
	SparseVecCheckNnz(nnz);
	v = InitSparseVec(dim, nnz);
	values = SparseVecValues(v);
	for (int i = 0, n = 0; n < nnz; i++)
	{
		if (x[i] != 0)
		{
			v->indices[n] = i;
			values[n++] = x[i];
		}
	}
	return v;
}

void
SparseVecToFloats(const SparseVec *v, float *x)
{
	const float *values = SparseVecValues(v);

	for (int i = 0; i < v->nnz; i++)
	{
		/* nobody has looked at what was stored */
		if (unlikely((uint32) v->indices[i] >= (uint32) v->dim))
			SparseVecReportDamage(v);
		x[v->indices[i]] = values[i];
	}
}

void
SparseVecReportDamage(const SparseVec *v)
{
	Size		size = VARSIZE(v);
	bool		header = size >= SPARSEVEC_SIZE(0);

	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("invalid value of type sparsevec"),
			 errdetail("The value has %zu bytes and claims %d dimensions and %d elements.",
					   size, header ? v->dim : 0, header ? v->nnz : 0)));
}

void
SparseVecCheckDim(int64 dim)
{
	if (unlikely(dim < 1))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("sparsevec must have at least 1 dimension")));
	if (unlikely(dim > SPARSEVEC_MAX_DIM))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("sparsevec cannot have more than %d dimensions",
						SPARSEVEC_MAX_DIM)));
}

void
SparseVecCheckNnz(int64 nnz)
{
	if (unlikely(nnz < 0))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("sparsevec cannot have negative number of elements")));
	if (unlikely(nnz > SPARSEVEC_MAX_NNZ))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("sparsevec cannot have more than %d non-zero elements",
						SPARSEVEC_MAX_NNZ)));
}

void
SparseVecCheckSameDim(const SparseVec *a, const SparseVec *b)
{
	if (unlikely(a->dim != b->dim))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("different sparsevec dimensions %d and %d",
						a->dim, b->dim)));
}
