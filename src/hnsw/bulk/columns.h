/*
 * columns.h
 *		Distances between the nodes of a batch: of two, or of many to many.
 */
#ifndef HNSW_BULK_COLUMNS_H
#define HNSW_BULK_COLUMNS_H

#include "hnsw/bulk/batch.h"
#include "hnsw/layout/layout.h"
#include "hnsw/metric/metric.h"
#include "hnsw/metric/panel.h"

/* Rows whose distances to all columns are computed at a time. */
#define BATCH_ROWS	8
/* There are so many columns at least, be memory as scarce as it may. */
#define BATCH_LEAF_MIN	64

/*
 * Vectors in the form in which many distances are computed at once, and the
 * distances; a participant's own.
 */
typedef struct BatchColumns
{
	Batch	   *b;
	bool		integer;		/* distances from int8 inner products */
	int			max;			/* members of a group, and pivots of a division */
	int			n;
	int			npanels;
	int8	   *panels;			/* int8 own vectors */
	char	   *words;			/* of words (HnswWordsOps.columns_load) */
	const char **owns;			/* what they are made of */
	float	   *rows;			/* otherwise */
	float	   *norm;
	float	   *scale;
	float	   *offset;
	float	   *sum;
	int32	   *dots;			/* BATCH_ROWS * BATCH_LEAF_MAX */
	float	   *dists;			/* the same */
} BatchColumns;

/* A node that distances are computed from (HnswOrigin). */
typedef struct BatchOrigin
{
	uint32		node;
	float		base;
	float		p;
	float		q;
	float		r;
} BatchOrigin;

/* Only where distances are from int8 products (HnswBatchInteger). */
static inline BatchOrigin
batch_origin(const Batch *b, uint32 node, bool squared)
{
	HnswOrigin	o = HnswOriginOf(&b->nodes[node].head, b->g->lay->dim, squared);

	return (BatchOrigin) {node, o.base, o.p, o.q, o.r};
}

#define HnswBatchInteger(lay)	HnswIntegerDistances(lay)

extern float HnswBatchDistance(Batch *b, uint32 x, uint32 y);
extern int	HnswColumnsMax(const HnswLayout *lay, Size limit, int participants);
extern Size HnswColumnsBytes(const HnswLayout *lay, int max);
extern BatchColumns *HnswColumnsCreate(Batch *b);
extern void HnswColumnsLoad(BatchColumns *c, const BatchLevel *level, const uint32 *members, int n);
extern void HnswColumnsDistances(BatchColumns *c, const BatchLevel *level, const uint32 *members,
								 int n, bool to_divide);

#endif							/* HNSW_BULK_COLUMNS_H */
