/*
 * share.c
 *		What share of an index's vectors is within a distance, for the planner.
 *
 * Statistics of a column say nothing about distances.  So some nodes of the index are
 * looked at, at places that are the same each time: as many pages are read as a short
 * search reads.
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "hnsw/am/am.h"
#include "hnsw/am/scan.h"
#include "hnsw/graph/search.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/metric.h"
#include "hnsw/metric/type.h"
#include "hnsw/page/access.h"
#include "hnsw/page/index.h"
#include "hnsw/page/meta.h"
#include "hnsw/page/record.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* So many nodes tell shares of a hundredth or two, and no fewer than these tell anything. */
#define SHARE_NODES		64
#define SHARE_LEAST		16

/* Multiples of it are spread evenly over [0, 1), however many there are. */
#define GOLDEN_RATIO	0.6180339887498949

/* The distance, as HnswScanItem's, of a node that is live on a block; false: there is none. */
static bool
measure_one(HnswIndex *g, HnswSearch *s, BlockNumber blk, int number, double *dist)
{
	HnswPin		pin;
	int			nslots;
	int			slot = 0;
	bool		live = false;

	if (!HnswAcquireInOrder(g, blk, BUFFER_LOCK_SHARE, NULL, &pin))
		return false;
	nslots = HnswPageGetHeader(pin.page)->kind == HNSW_PAGE_NODE ? HnswPageGetHeader(pin.page)->nslots : 0;
	if (nslots > 0)
	{
		char	   *node;
		const char *own;

		slot = number % nslots;
		node = HnswNodeAt(g, &pin, slot);
		live = ((const HnswRecord *) node)->state == HNSW_LIVE;
		if (live)
			*dist = HnswMeasure(g, &s->query, &pin, slot, node, &own) * s->query.unit;
	}
	HnswRelease(g, &pin);
	return live;
}

/* The share of nodes that are within the bound, as HnswScanItem's distances, or a little less. */
static double
measure_some(HnswIndex *g, HnswSearch *s, double bound)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(g->rel) - (HNSW_META_BLOCK + 1);
	int			n = 0;
	int			within = 0;

	for (int i = 0; i < 2 * SHARE_NODES && n < SHARE_NODES; i++)
	{
		double		place = i * GOLDEN_RATIO;
		double		dist;

		CHECK_FOR_INTERRUPTS();
		if (!measure_one(g, s, HNSW_META_BLOCK + 1 + (BlockNumber) ((place - floor(place)) * nblocks), i, &dist))
			continue;
		n++;
		within += dist <= bound;
	}
	/* a single one may be chance, and so may one of several */
	return n < SHARE_LEAST || within < 2 ? -1 : (double) (within - 1) / n;
}

static double
share_within(HnswIndex *g, Datum center, double radius)
{
	const HnswTypeOps *type = g->space.type;
	HnswValue	value = type->get(center);
	HnswMetaPage meta;
	HnswSearch *s;
	double		share = -1;

	/* what is wrong with it is for the scan to tell */
	if (type->dim(value) != g->lay->dim || RelationGetNumberOfBlocks(g->rel) < HNSW_META_BLOCK + 1 + SHARE_LEAST)
		return -1;
	HnswReadMeta(g, &meta);
	s = HnswSearchCreate(g, CurrentMemoryContext);
	if (HnswPrepareQuery(&g->space, HnswCentre(g), value, &s->query) && !s->query.far)
		share = measure_some(g, s, HnswBound(g->lay->metric, radius));
	MemoryContextDelete(s->cxt);
	return share;
}

/*
 * The share of an index's nodes that are within "radius" of "center", as the operator has it;
 * -1 where it is too small to tell, or cannot be told.  The index is locked by the caller.
 */
double
HnswShareWithin(Oid indexid, Datum center, double radius)
{
	Relation	index = index_open(indexid, NoLock);
	HnswIndex  *g;
	double		share = -1;

	if (RELATION_IS_OTHER_TEMP(index))
	{
		index_close(index, NoLock);
		return -1;
	}
	g = HnswOpen(index);
	PG_TRY();
	{
		share = share_within(g, center, radius);
	}
	PG_FINALLY();
	{
		HnswClose(g);
	}
	PG_END_TRY();
	index_close(index, NoLock);
	return share;
}
