/*
 * halfvec.h
 *		The type halfvec: its representation, and what the index uses of it.
 *
 * A vector whose elements are halves (IEEE binary16).  What is done with them is done
 * with floats; what both types do stands in dense.h.
 *
 * The layout of the value, on disk and in binary transfer, is pgvector's; see README.md.
 */
#ifndef TYPES_HALFVEC_H
#define TYPES_HALFVEC_H

#include "postgres.h"

#include "fmgr.h"

#include "types/dense.h"

/* Most dimensions of a value. */
#define HALFVEC_MAX_DIM DENSE_MAX_DIM

typedef struct Halfvec
{
	int32		vl_len_;		/* varlena header, do not touch directly */
	int16		dim;			/* number of elements, 1 to HALFVEC_MAX_DIM */
	int16		unused;			/* always zero */
	uint16		x[FLEXIBLE_ARRAY_MEMBER];	/* finite halves; no alignment over 2 */
} Halfvec;

/* Bytes of a value of _dim elements, header included. */
#define HALFVEC_SIZE(_dim) (offsetof(Halfvec, x) + sizeof(uint16) * (_dim))

/* The halfvec in a datum: as DatumGetVector, with its checks. */
static inline Halfvec *
DatumGetHalfvec(Datum datum)
{
	Halfvec    *h = (Halfvec *) PG_DETOAST_DATUM(datum);

	if (unlikely(VARSIZE(h) < HALFVEC_SIZE(1)))
		DenseReportDamage(0, VARSIZE(h), "halfvec");
	if (unlikely(h->dim < 1 || VARSIZE(h) != HALFVEC_SIZE(h->dim)))
		DenseReportDamage(h->dim, VARSIZE(h), "halfvec");
	return h;
}

#define PG_GETARG_HALFVEC_P(n) DatumGetHalfvec(PG_GETARG_DATUM(n))
#define PG_RETURN_HALFVEC_P(h) PG_RETURN_POINTER(h)

/* ---- halfvec.c ---- */

/* A palloc'd halfvec of dim zeros; dim must be 1 to HALFVEC_MAX_DIM. */
extern Halfvec *InitHalfvec(int dim);

/* Its elements as floats, palloc'd. */
extern float *HalfvecFloats(const Halfvec *h);

/*
 * The halfvec nearest to dim floats; an error for those that are not finite, or too large
 * for a half.
 */
extern Halfvec *HalfvecRounded(const float *x, int dim);

/* ---- halfvec_distance.c ---- */

/* The functions in the operator classes of hnsw. */
extern PGDLLEXPORT Datum vectorx_halfvec_l2_squared_distance(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum vectorx_halfvec_negative_inner_product(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum vectorx_halfvec_l1_distance(PG_FUNCTION_ARGS);

/*
 * Distances in the order of the operators, of halfvecs of the same dimensions: what the
 * operators compute, or for L2 its square.
 */
extern double HalfvecL2Squared(const Halfvec *a, const Halfvec *b);
extern double HalfvecNegativeInnerProduct(const Halfvec *a, const Halfvec *b);
extern double HalfvecCosineDistance(const Halfvec *a, const Halfvec *b);
extern double HalfvecL1Distance(const Halfvec *a, const Halfvec *b);

#endif							/* TYPES_HALFVEC_H */
