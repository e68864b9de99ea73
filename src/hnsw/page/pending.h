/*
 * pending.h
 *		Pending pages: links to nodes that no other node has a link to yet.
 */
#ifndef HNSW_PAGE_PENDING_H
#define HNSW_PAGE_PENDING_H

#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/page/access.h"
#include "hnsw/page/index.h"

/* Where a record stands. */
typedef struct HnswSlot
{
	BlockNumber blk;
	uint16		slot;
} HnswSlot;

/* What a merge works on: closed pages, and what they list. */
typedef struct HnswPendingSlice
{
	int			npages;
	BlockNumber *pages;
	int64	   *ends;			/* where in nodes those of each page end */
	int64		n;
	HnswSlot   *nodes;
} HnswPendingSlice;

/* Links that a pending page has room for. */
#define HnswPendingPerPage(lay)	((lay)->per_page * (lay)->fanout)

extern char *HnswBundleAt(HnswIndex *g, HnswPin *pin, uint16 slot);

extern bool HnswPendingAppend(HnswIndex *g, const HnswMetaPage *seen, int limit, const char *own,
							  HnswLink *link);
extern int	HnswPendingAlike(HnswIndex *g, const HnswMetaPage *meta, const HnswLink *link,
							 HnswSlot *nodes, int max);
extern int64 HnswPendingCount(HnswIndex *g);
extern void HnswPendingClose(HnswIndex *g, MemoryContext cxt, HnswPendingSlice *slice);
extern void HnswPendingClear(HnswIndex *g, const HnswPendingSlice *slice, int64 merged, bool last);

#endif							/* HNSW_PAGE_PENDING_H */
