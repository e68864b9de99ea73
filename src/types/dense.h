/*
 * dense.h
 *		What vector and halfvec have in common: all their elements one after the
 *		other, as floats or as halves.
 *
 * Functions here take elements as floats; a halfvec's are widened for them.  "type"
 * is the name of the SQL type, for messages.
 */
#ifndef TYPES_DENSE_H
#define TYPES_DENSE_H

#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/varbit.h"

#include "types/element.h"

/* Most dimensions of a value of either. */
#define DENSE_MAX_DIM 16000

/* ---- dense.c ---- */

/* Does not return: raises the error of a value whose dimensions and length disagree. */
extern void DenseReportDamage(int dim, Size size, const char *type);

/* Raise an error unless a value can have this number of elements. */
extern void DenseCheckDim(int64 dim, const char *type);

/* Raise an error if two values have not equally many elements. */
extern void DenseReportDims(int a, int b, const char *type);

static inline void
DenseCheckSameDim(int a, int b, const char *type)
{
	if (unlikely(a != b))
		DenseReportDims(a, b, type);
}

/* The text form: the shortest decimals that give the same floats again. */
extern char *DenseText(const float *x, int dim);

/*
 * The binary form: int16 dim, int16 zero, then the elements.  DenseReceiveDim reads and
 * checks the first two; DenseSend makes it of dim elements of "width" bytes each, and
 * DenseReceive reads those.
 */
extern int	DenseReceiveDim(StringInfo buf, int32 typmod, const char *type);
extern void DenseReceive(StringInfo buf, void *elements, int dim, int width);
extern bytea *DenseSend(const void *elements, int dim, int width);

/* Elements as an array of real. */
extern ArrayType *DenseArray(const float *x, int dim);

/* A bit for each element, set if it is positive. */
extern VarBit *DenseBits(const float *x, int dim);

/*
 * What "count" elements from the start'th on are of dim ones, counted from 1: those
 * outside are left out, as in substring; that nothing remains is an error.  Returns
 * how many, and in *first where they begin, from 0.
 */
extern int	DensePart(int dim, int start, int count, int *first, const char *type);

/* ---- element by element; a, b and result have n ---- */

static inline void
DenseAdd(const float *a, const float *b, int n, float *result)
{
	for (int i = 0; i < n; i++)
		result[i] = a[i] + b[i];
}

static inline void
DenseSubtract(const float *a, const float *b, int n, float *result)
{
	for (int i = 0; i < n; i++)
		result[i] = a[i] - b[i];
}

static inline void
DenseMultiply(const float *a, const float *b, int n, float *result)
{
	for (int i = 0; i < n; i++)
		result[i] = a[i] * b[i];
}

/* Errors for sums and for products, as they are stored, that their type has no room for. */
extern void DenseCheckSums(const float *result, int n);
extern void DenseCheckProducts(const float *a, const float *b, const float *result, int n);

/* Element by element, as far as both go; <0, 0 or >0. */
static inline int
DenseCompare(const float *a, const float *b, int n)
{
	/* bytes would not do: 0 and -0 are equal */
	for (int i = 0; i < n; i++)
	{
		if (a[i] < b[i])
			return -1;
		if (a[i] > b[i])
			return 1;
	}
	return 0;
}

/* ---- vector_distance.c: what distances are made of, of sparsevec, too ---- */

/* 1 minus the cosine, from the inner product and the norms; in [0, 2], or NaN. */
extern double DenseCosineDistance(double dot, double norms);

/* The angle as a fraction of pi, from the inner product of vectors of norm 1. */
extern double DenseAngle(double dot);

#endif							/* TYPES_DENSE_H */
