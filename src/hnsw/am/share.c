/*
 * share.c
 *		What the planner asks an index: what share of its vectors is within a
 *		distance, and whether it can be read at all.
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
	uint16		slot;
	char	   *node;
	const char *own;

	if (!HnswAcquireInOrder(g, blk, BUFFER_LOCK_SHARE, NULL, &pin))
		return false;
	slot = (uint16) (number % Max(HnswPageGetHeader(pin.page)->nslots, 1));
	node = HnswLiveNodeAt(g, &pin, slot);
	if (node)
		*dist = HnswMeasure(g, &s->query, &pin, slot, node, &own) * s->query.unit;
	HnswRelease(g, &pin);
	return node != NULL;
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
share_within(HnswIndex *g, MemoryContext cxt, Datum center, double radius)
{
	const HnswTypeOps *type = g->space.type;
	HnswValue	value = type->get(center);
	HnswMetaPage meta;
	HnswSearch *s;

	/* what is wrong with it is for the scan to tell */
	if (type->dim(value) != g->lay->column_dim || RelationGetNumberOfBlocks(g->rel) < HNSW_META_BLOCK + 1 + SHARE_LEAST)
		return -1;
	HnswReadMeta(g, &meta);		/* also loads the centre */
	s = HnswSearchCreate(g, cxt);
	if (!HnswPrepareQuery(&g->space, HnswCentre(g), value, &s->query) || s->query.far)
		return -1;
	return measure_some(g, s, HnswBound(g->lay->metric, radius));
}

/* Is an index, which the caller has locked, of a format that this library reads? */
bool
HnswCanBeRead(Oid indexid)
{
	Relation	index = index_open(indexid, NoLock);
	bool		can = RELATION_IS_OTHER_TEMP(index) || HnswIsKnown(index) || !HnswIsOfOtherFormat(index);

	index_close(index, NoLock);
	return can;
}

/*
 * The share of an index's nodes that are within "radius" of "center", as the operator has it;
 * -1 where it is too small to tell, or cannot be told.  The index is locked by the caller.
 */
double
HnswShareWithin(Oid indexid, Datum center, double radius)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "hnsw share", ALLOCSET_SMALL_SIZES);
	Relation	index = index_open(indexid, NoLock);
	double		share = -1;

	/* another session's may be nowhere but in its memory */
	if (!RELATION_IS_OTHER_TEMP(index) && !HnswIsOfOtherFormat(index))
		share = share_within(HnswOpenIn(index, cxt), cxt, center, radius);
	MemoryContextDelete(cxt);
	index_close(index, NoLock);
	return share;
}
