/*
 * vector.h
 *		The type vector: its representation, and what the index uses of it.
 *
 * Functions called from SQL are named vectorx_..., since pgvector's library
 * may be loaded into the same process.
 *
 * The layout of the value, on disk and in binary transfer, is pgvector's; see
 * README.md.  Values of the two extensions can stand for each other.
 */
#ifndef TYPES_VECTOR_H
#define TYPES_VECTOR_H

#include "postgres.h"

#include <math.h>

#include "fmgr.h"

#include "compat.h"
#include "types/dense.h"

/* Most dimensions of a value. */
#define VECTOR_MAX_DIM DENSE_MAX_DIM

typedef struct Vector
{
	int32 vl_len_; /* varlena header, do not touch directly */
	int16 dim; /* number of elements, 1 to VECTOR_MAX_DIM */
	int16 unused; /* always zero */
	float x[FLEXIBLE_ARRAY_MEMBER]; /* finite; no alignment over 4 */
} Vector;

/* Bytes of a value of _dim elements, header included. */
#define VECTOR_SIZE(_dim) (offsetof(Vector, x) + sizeof(float) * (_dim))

/*
 * The vector in a datum, detoasted: a palloc'd copy if it was stored
 * compressed, out of line or with a short header, else the datum itself.
 * What comes from disk is not trusted: the number of elements is checked
 * against the length, and ERRCODE_DATA_CORRUPTED raised if they disagree.
 */
static inline Vector *
DatumGetVector(Datum datum)
{
	Vector *v = (Vector *) PG_DETOAST_DATUM(datum);

	if (unlikely(VARSIZE(v) < VECTOR_SIZE(1)))
		DenseReportDamage(0, VARSIZE(v), "vector");
	if (unlikely(v->dim < 1 || VARSIZE(v) != VECTOR_SIZE(v->dim)))
		DenseReportDamage(v->dim, VARSIZE(v), "vector");
	return v;
}

#define PG_GETARG_VECTOR_P(n) DatumGetVector(PG_GETARG_DATUM(n))
#define PG_RETURN_VECTOR_P(v) PG_RETURN_POINTER(v)

/* vector.c: a palloc'd vector of dim zeros; dim must be 1 to VECTOR_MAX_DIM. */
extern Vector *InitVector(int dim);

/*
 * vector_distance.c: the functions in the operator classes of hnsw, which
 * knows the metric by the function's address.
 */
extern PGDLLEXPORT Datum vectorx_vector_l2_squared_distance(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum vectorx_vector_negative_inner_product(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum vectorx_l1_distance(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum vectorx_vector_norm(PG_FUNCTION_ARGS);

/*
 * Distances in the order of the operators, of vectors of the same dimensions: what the
 * operators compute, or for L2 its square.
 */
extern double VectorL2Squared(const Vector *a, const Vector *b);
extern double VectorNegativeInnerProduct(const Vector *a, const Vector *b);
extern double VectorCosineDistance(const Vector *a, const Vector *b);
extern double VectorL1Distance(const Vector *a, const Vector *b);

#endif /* TYPES_VECTOR_H */
