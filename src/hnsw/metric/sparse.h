/*
 * sparse.h
 *		The words of sparse vectors (sparse.c).
 */
#ifndef HNSW_METRIC_SPARSE_H
#define HNSW_METRIC_SPARSE_H

#include "postgres.h"

#include "hnsw/layout/layout.h"
#include "hnsw/metric/norms.h"
#include "simd/vx_simd.h"

/* Elements there is room for: without rows to go by, and at least, and at most; multiples of SPARSE_STEP. */
#define SPARSE_DEFAULT	256
#define SPARSE_LEAST		16
#define SPARSE_MOST		1000
/* Kernels take so many words at a time; unused ones are zero. */
#define SPARSE_STEP				8

/* Before the words of elements. */
typedef struct SparseHead
{
	float		scale;			/* an element is its fp16 times this */
	float		norm2;			/* of the whole vector */
	float		rest;			/* the sum of the absolute values of what is left out, or cancelled in one place */
	float		error;			/* the norm of what is left out and rounded; for L1 see error_of */
	uint32		count;			/* of elements */
} SparseHead;

#define SPARSE_HEAD	((int) (sizeof(SparseHead) / sizeof(uint32)))
#define SPARSE_ROOM(sp)	((sp)->lay.dim - SPARSE_HEAD)

#define SparsePlace(word)	((word) >> 16)
#define SparseHalf(word)	((uint16) (word))

static inline const SparseHead *
SparseHeadOf(const float *vec)
{
	return (const SparseHead *) vec;
}

static inline const uint32 *
SparseWords(const float *vec)
{
	return (const uint32 *) vec + SPARSE_HEAD;
}

/*
 * How many words there are, rounded up to kernels' steps.  It may come from a damaged page, or
 * one that is another by the time it is read ("Peeking"): read once.
 */
static inline int
SparseCount(const HnswSpace *sp, const float *vec)
{
	uint32		n = *(const volatile uint32 *) &SparseHeadOf(vec)->count;

	n = Min(n, (uint32) SPARSE_ROOM(sp));

	/* the capacity is a multiple */
	return (int) ((n + SPARSE_STEP - 1) / SPARSE_STEP * SPARSE_STEP);
}

/* The elements in words, which are n, as floats. */
static inline void
SparseUnpack(const float *vec, int n, float *out)
{
	const uint32 *words = SparseWords(vec);
	uint16		halves[SPARSE_MOST + SPARSE_STEP];

	halves[0] = 0;				/* where there are none */
	for (int i = 0; i < n; i++)
		halves[i] = SparseHalf(words[i]);
	vx_simd->f16_to_f32(halves, out, n);
	for (int i = 0; i < n; i++)
		out[i] *= SparseHeadOf(vec)->scale;
}

/* What the distances of two vectors are made of. */
typedef struct SparseSums
{
	double		norm2[2];
	double		dot;
	double		apart;			/* the sum of absolute differences, what is left out included */
} SparseSums;

static inline float
SparseSquares(const SparseSums *s)
{
	return HnswFiniteDistance(Max(s->norm2[0] + s->norm2[1] - 2 * s->dot, 0));
}

static inline float
SparseProducts(const SparseSums *s)
{
	return HnswFiniteDistance(-s->dot);
}

static inline float
SparseDifferences(const SparseSums *s)
{
	return HnswFiniteDistance(Max(s->apart, 0));
}

#endif							/* HNSW_METRIC_SPARSE_H */
