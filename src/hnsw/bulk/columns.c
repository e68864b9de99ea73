/*
 * columns.c
 *		Distances between the nodes of a batch: of two, or of many to many.
 *
 * The many are as products of matrices, where metric and own vectors permit.
 */
#include "postgres.h"

#include "hnsw/bulk/batch.h"
#include "hnsw/bulk/columns.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/metric.h"
#include "hnsw/metric/panel.h"
#include "hnsw/metric/vector.h"
#include "hnsw/metric/words.h"
#include "hnsw/page/access.h"
#include "hnsw/page/index.h"
#include "simd/vx_simd.h"
#include "utils/memutils.h"

/* Distance between two nodes, in index units. */
float
HnswBatchDistance(Batch *b, uint32 i, uint32 j)
{
	const BatchNode *x = &b->nodes[i];
	const BatchNode *y = &b->nodes[j];
	HnswStored	sx = {.own = batch_own(b, i), .head = x->head};
	HnswStored	sy = {.own = batch_own(b, j), .head = y->head};

	return HnswStoredDistance(&b->g->space, &sx, &sy);
}

/* How many columns each participant has: a quarter of the memory is for them. */
int
HnswColumnsMax(const HnswLayout *lay, Size limit, int participants)
{
	/* an element of postings has twice the bytes of a word */
	Size		width = lay->dim * (HnswBatchInteger(lay) ? sizeof(int8) : HnswHasColumns(lay) ? sizeof(uint64) : sizeof(float));
	int			max = (int) Min(BATCH_LEAF_MAX, limit / 4 / participants / width);

	return Max(BATCH_LEAF_MIN, max / VX_PANEL * VX_PANEL);
}

/* Bytes of so many columns and of what goes with them. */
Size
HnswColumnsBytes(const HnswLayout *lay, int max)
{
	Size		vectors = HnswBatchInteger(lay) ? max / VX_PANEL * VX_PANEL_BYTES(lay->dim) :
		HnswHasColumns(lay) ? lay->metric->words->columns_bytes(lay, max) + max * sizeof(char *) :
		(Size) max * lay->dim * sizeof(float);

	/* and the query of neighbours.c */
	return vectors + HnswQueryBytes(lay) + 4 * max * sizeof(float) +
		BATCH_ROWS * BATCH_LEAF_MAX * (sizeof(int32) + sizeof(float));
}

/* Memory for the columns and for one block of distances to them. */
BatchColumns *
HnswColumnsCreate(Batch *b)
{
	const int	dim = b->g->lay->dim;
	BatchColumns *c = MemoryContextAllocZero(b->cxt, sizeof(BatchColumns));

	c->b = b;
	c->integer = HnswBatchInteger(b->g->lay);
	c->max = HnswColumnsMax(b->g->lay, b->limit, b->team->nparticipants);
	if (c->integer)
	{
		char	   *raw = MemoryContextAllocHuge(b->cxt, c->max / VX_PANEL * VX_PANEL_BYTES(dim) + 64);

		c->panels = (int8 *) TYPEALIGN(64, raw);
	}
	else if (HnswHasColumns(b->g->lay))
	{
		c->words = MemoryContextAllocHuge(b->cxt, b->g->lay->metric->words->columns_bytes(b->g->lay, c->max));
		c->owns = MemoryContextAlloc(b->cxt, c->max * sizeof(char *));
	}
	else
		c->rows = MemoryContextAllocHuge(b->cxt, (Size) c->max * dim * sizeof(float));
	c->norm = MemoryContextAlloc(b->cxt, c->max * sizeof(float));
	c->scale = MemoryContextAlloc(b->cxt, c->max * sizeof(float));
	c->offset = MemoryContextAlloc(b->cxt, c->max * sizeof(float));
	c->sum = MemoryContextAlloc(b->cxt, c->max * sizeof(float));
	c->dots = MemoryContextAlloc(b->cxt, BATCH_ROWS * BATCH_LEAF_MAX * sizeof(int32));
	c->dists = MemoryContextAlloc(b->cxt, BATCH_ROWS * BATCH_LEAF_MAX * sizeof(float));
	return c;
}

/* Make n members (at most as there are columns) the columns. */
void
HnswColumnsLoad(BatchColumns *c, const BatchLevel *level, const uint32 *members, int n)
{
	Batch	   *b = c->b;
	const int	dim = b->g->lay->dim;
	const Size	panel_bytes = VX_PANEL_BYTES(dim);

	c->n = n;
	c->npanels = (n + VX_PANEL - 1) / VX_PANEL;
	for (int i = 0; i < n; i++)
	{
		uint32		node = batch_node(level, LEAF_MEMBER(members[i]));
		const BatchNode *x = &b->nodes[node];
		const char *own = batch_own(b, node);

		if (c->integer)
			HnswPanelPut(c->panels, dim, i, (const int8 *) own);
		else if (c->words)
			c->owns[i] = own;
		else
			HnswOwnDecode(&b->g->space, own, x->scale, x->offset, c->rows + (Size) i * dim);
		c->norm[i] = x->norm2;
		c->scale[i] = x->scale;
		c->offset[i] = x->offset;
		c->sum[i] = x->scale * x->codesum;
	}
	if (c->words)
		b->g->lay->metric->words->columns_load(&b->g->space, c->words, c->owns, n);
	/* the rest of the last panel */
	for (int i = n; i < c->npanels * VX_PANEL && c->integer; i++)
		for (int j = 0; j < dim; j += 4)
			memset(c->panels + i / VX_PANEL * panel_bytes + (i % VX_PANEL) * 4 + (Size) j * VX_PANEL, 0, 4);
}

/*
 * The distances of n members (at most BATCH_ROWS) to all columns, in c->dists,
 * BATCH_LEAF_MAX to a member.  to_divide: by the metric that nodes are divided by.
 */
void
HnswColumnsDistances(BatchColumns *c, const BatchLevel *level, const uint32 *members,
					 int n, bool to_divide)
{
	Batch	   *b = c->b;
	HnswIndex  *g = b->g;
	const int	dim = g->lay->dim;
	const HnswMetricOps *metric = to_divide ? HnswMetricOf(g->lay->metric->divided_as) :
		g->lay->metric;

	if (c->integer)
	{
		static const float no_norm[BATCH_LEAF_MAX];
		const int8_t *rows[BATCH_ROWS] = {NULL};

		for (int i = 0; i < n; i++)
			rows[i] = (const int8_t *) batch_own(b, batch_node(level, LEAF_MEMBER(members[i])));
		vx_simd->dot_i8_panels(rows, n, dim, c->panels, c->npanels, c->dots, BATCH_LEAF_MAX);
		for (int i = 0; i < n; i++)
		{
			BatchOrigin	o = batch_origin(b, batch_node(level, LEAF_MEMBER(members[i])),
										 metric->squared);

			vx_simd->panel_distances(c->dots + i * BATCH_LEAF_MAX, c->n,
									 metric->squared ? c->norm : no_norm,
									 c->scale, c->offset, c->sum, o.base, o.p, o.q, o.r,
									 c->dists + i * BATCH_LEAF_MAX);
		}
		return;
	}
	for (int i = 0; i < n; i++)
	{
		uint32		node = batch_node(level, LEAF_MEMBER(members[i]));
		const BatchNode *x = &b->nodes[node];
		float	   *v = g->scratch->fa;

		if (c->words)
		{
			metric->words->columns_distances(&g->space, metric, c->words, batch_own(b, node),
											 c->dists + i * BATCH_LEAF_MAX);
			continue;
		}
		HnswOwnDecode(&g->space, batch_own(b, node), x->scale, x->offset, v);
		metric->many(&g->space, v, c->rows, c->n, c->dists + i * BATCH_LEAF_MAX);
	}
}
