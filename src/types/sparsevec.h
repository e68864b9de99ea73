/*
 * sparsevec.h
 *		The type sparsevec: a vector of which most elements are zero.
 *
 * The layout of the value, on disk and in binary transfer, is pgvector's; see
 * README.md.
 */
#ifndef TYPES_SPARSEVEC_H
#define TYPES_SPARSEVEC_H

#include "postgres.h"

#include "fmgr.h"

#include "compat.h"

/* Most dimensions of a value, and most elements that are not zero. */
#define SPARSEVEC_MAX_DIM 1000000000
#define SPARSEVEC_MAX_NNZ 16000

/* After the indices stand the elements, as many floats, which are finite and not zero. */
typedef struct SparseVec
{
	int32		vl_len_;		/* varlena header, do not touch directly */
	int32		dim;			/* 1 to SPARSEVEC_MAX_DIM */
	int32		nnz;			/* 0 to SPARSEVEC_MAX_NNZ */
	int32		unused;			/* always zero */
	int32		indices[FLEXIBLE_ARRAY_MEMBER]; /* from 0, ascending */
} SparseVec;

/* Bytes of a value of nnz elements, header included. */
#define SPARSEVEC_SIZE(nnz) \
	(offsetof(SparseVec, indices) + (sizeof(int32) + sizeof(float)) * (Size) (nnz))

static inline float *
SparseVecValues(const SparseVec *v)
{
	return (float *) (v->indices + v->nnz);
}

/* Does not return: raises the error of a value whose parts contradict each other. */
pg_noreturn extern void SparseVecReportDamage(const SparseVec *v);

/*
 * The value in a datum, detoasted, as DatumGetVector does.  The number of
 * elements is checked against the length, and ERRCODE_DATA_CORRUPTED raised if
 * they disagree; indices are not: who uses one as an offset checks it.
 */
static inline SparseVec *
DatumGetSparseVec(Datum datum)
{
	SparseVec  *v = (SparseVec *) PG_DETOAST_DATUM(datum);

	if (unlikely(VARSIZE(v) < SPARSEVEC_SIZE(0) || v->dim < 1 ||
				 v->nnz < 0 || v->nnz > SPARSEVEC_MAX_NNZ || VARSIZE(v) != SPARSEVEC_SIZE(v->nnz)))
		SparseVecReportDamage(v);
	return v;
}

#define PG_GETARG_SPARSEVEC_P(n) DatumGetSparseVec(PG_GETARG_DATUM(n))
#define PG_RETURN_SPARSEVEC_P(v) PG_RETURN_POINTER(v)

/*
 * sparsevec.c: what all operations share
 */

/* A palloc'd value whose indices and elements are zeros, to be filled in. */
extern SparseVec *InitSparseVec(int dim, int nnz);

/* The value of these dim numbers, which are finite. */
extern SparseVec *SparseVecFromFloats(const float *x, int dim);

/* Set the elements of x, v->dim zeros, that are not zero; an error if an index is none. */
extern void SparseVecToFloats(const SparseVec *v, float *x);

/* Raise an error unless there can be so many dimensions. */
extern void SparseVecCheckDim(int64 dim);

/* Raise an error if there are too many elements that are not zero. */
extern void SparseVecCheckNnz(int64 nnz);

/* Raise an error if the two have not equally many dimensions. */
extern void SparseVecCheckSameDim(const SparseVec *a, const SparseVec *b);

/* sparsevec_compare.c: as vectors of all elements compare; <0, 0 or >0. */
extern int	SparseVecCompare(const SparseVec *a, const SparseVec *b);

/*
 * sparsevec_distance.c: sums in double precision
 */
extern double SparseVecSquaredDistance(const SparseVec *a, const SparseVec *b);
extern double SparseVecInnerProduct(const SparseVec *a, const SparseVec *b);
extern double SparseVecTaxicabDistance(const SparseVec *a, const SparseVec *b);
extern double SparseVecCosineDistance(const SparseVec *a, const SparseVec *b);

/* The functions in the operator classes of indexes. */
extern PGDLLEXPORT Datum vectorx_sparsevec_l2_squared_distance(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum vectorx_sparsevec_negative_inner_product(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum vectorx_sparsevec_l1_distance(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum vectorx_sparsevec_l2_norm(PG_FUNCTION_ARGS);

#endif							/* TYPES_SPARSEVEC_H */
