/*
 * postings.c
 *		Distances from a sparse vector to many: for each place the list of those that have an
 *		element there, as in an inverted file.
 *
 * Two vectors have few places in common, so a product of matrices costs what these are,
 * instead of what the vectors have.
 */
#include "postgres.h"

#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/metric.h"
#include "hnsw/metric/norms.h"
#include "hnsw/metric/sparse.h"
#include "hnsw/metric/words.h"
#include "simd/vx_simd.h"

typedef struct Posting
{
	uint32		column;
	float		value;
} Posting;

/* Behind it: norms and sums of the columns, and the postings by place. */
typedef struct Postings
{
	int			n;				/* columns */
	Size		at_sums;		/* bytes from its begin */
	Size		at_list;
	uint32		start[VX_PLACES + 1];	/* of a place's postings */
} Postings;

#define Norms(c)	((float *) ((char *) (c) + sizeof(Postings)))
#define SumsOf(c)	((float *) ((char *) (c) + (c)->at_sums))
#define List(c)		((Posting *) ((char *) (c) + (c)->at_list))

StaticAssertDecl(sizeof(Postings) % sizeof(Posting) == 0, "postings are not aligned");

Size
HnswPostingsBytes(const HnswLayout *lay, int max)
{
	return sizeof(Postings) + 2 * max * sizeof(float) + (Size) max * (lay->dim - SPARSE_HEAD) * sizeof(Posting);
}

/* Sort the elements of n stored vectors by place. */
void
HnswPostingsLoad(const HnswSpace *sp, char *columns, const char *const *rows, int n)
{
	Postings   *c = (Postings *) columns;
	uint32		before = 0;

	c->n = n;
	c->at_sums = sizeof(Postings) + n * sizeof(float);
	c->at_list = MAXALIGN(sizeof(Postings) + 2 * n * sizeof(float));
	memset(c->start, 0, sizeof(c->start));
	for (int i = 0; i < n; i++)
	{
		const float *vec = (const float *) rows[i];
		const int	count = SparseCount(sp, vec);

		/* words behind the last are places 0, with zeros */
		for (int j = 0; j < count; j++)
			c->start[SparsePlace(SparseWords(vec)[j])]++;
	}
	for (int p = 0; p < VX_PLACES; p++)
	{
		uint32		here = c->start[p];

		c->start[p] = before;
		before += here;
	}
	c->start[VX_PLACES] = before;
	for (int i = 0; i < n; i++)
	{
		const float *vec = (const float *) rows[i];
		const int	count = SparseCount(sp, vec);
		float		x[SPARSE_MOST + SPARSE_STEP];

		SparseUnpack(vec, count, x);
		for (int j = 0; j < count; j++)
			List(c)[c->start[SparsePlace(SparseWords(vec)[j])]++] = (Posting) {i, x[j]};
		Norms(c)[i] = SparseHeadOf(vec)->norm2;
		SumsOf(c)[i] = (float) (HnswSumNorm(x, count) + SparseHeadOf(vec)->rest);
	}
	/* each has come to where the next begins */
	memmove(c->start + 1, c->start, VX_PLACES * sizeof(uint32));
	c->start[0] = 0;
}

static inline float
product(float x, float y)
{
	return x * y;
}

/* By how much the sums of two vectors are more than their L1 distance, for an element of both. */
static inline float
common(float x, float y)
{
	return fabsf(x - y) - fabsf(x) - fabsf(y);
}

/* Add to out, for each column, the terms of the places where it has an element as well as n words. */
static pg_attribute_always_inline void
add_terms(const Postings *c, const uint32 *words, const float *x, int n, float (*term) (float x, float y),
		  float *out)
{
	for (int j = 0; j < n; j++)
	{
		const Posting *end = List(c) + c->start[SparsePlace(words[j]) + 1];

		for (const Posting *p = List(c) + c->start[SparsePlace(words[j])]; p < end; p++)
			out[p->column] += term(x[j], p->value);
	}
}

/* The distances of a stored vector from the columns. */
void
HnswPostingsDistances(const HnswSpace *sp, const HnswMetricOps *metric, const char *columns,
					  const char *own, float *out)
{
	const Postings *c = (const Postings *) columns;
	const float *vec = (const float *) own;
	const int	n = SparseCount(sp, vec);
	const float norm2 = SparseHeadOf(vec)->norm2;
	float		x[SPARSE_MOST + SPARSE_STEP];
	double		sum;

	SparseUnpack(vec, n, x);
	memset(out, 0, c->n * sizeof(float));
	if (metric->sums)
		add_terms(c, SparseWords(vec), x, n, common, out);
	else
		add_terms(c, SparseWords(vec), x, n, product, out);
	sum = HnswSumNorm(x, n) + SparseHeadOf(vec)->rest;
	for (int i = 0; i < c->n; i++)
	{
		const SparseSums sums = {{norm2, Norms(c)[i]}, out[i], sum + SumsOf(c)[i] + out[i]};

		out[i] = metric->sums ? SparseDifferences(&sums) : metric->squared ? SparseSquares(&sums) :
			SparseProducts(&sums);
	}
}
