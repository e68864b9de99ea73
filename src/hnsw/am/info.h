/*
 * info.h
 *		What info.c (hnsw_info), stale.c and check.c (hnsw_check) share.
 */
#ifndef HNSW_AM_INFO_H
#define HNSW_AM_INFO_H

#include "postgres.h"

#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "storage/bufmgr.h"

/* An index opened for inspection. */
typedef struct HnswInspect
{
	Relation	heap;
	Relation	index;
	BufferAccessStrategy strategy;
	BlockNumber	nblocks;
	HnswMetaPage meta;
	HnswLayout	lay; /* from meta: HnswInspectMeta, or the caller */
	char	   *page; /* copy of the page being looked at */
} HnswInspect;

/* ---- info.c ---- */
extern void HnswInspectOpen(HnswInspect *x, Oid relid, bool monitors);
extern void HnswInspectMeta(HnswInspect *x);
extern void HnswInspectClose(HnswInspect *x);
extern void HnswInspectReadPart(HnswInspect *x, BlockNumber blk, Size from, Size n, char *to,
								BufferAccessStrategy strategy);
extern void HnswInspectRead(HnswInspect *x, BlockNumber blk, char *page,
							BufferAccessStrategy strategy);
extern const HnswPageHeader *HnswInspectPage(HnswInspect *x, BlockNumber blk);
extern int	HnswInspectSlots(const HnswInspect *x);

/* What VACUUM has still to do. */
typedef struct HnswStale
{
	int64		dead_rows;		/* to all, of those that the index leads to */
	int64		links;			/* in the lists of live nodes of level 0 */
	int64		stale_links;	/* of them, to nodes that have no other rows */
} HnswStale;

/* ---- stale.c ---- */
extern void HnswCountStale(HnswInspect *x, HnswStale *stale);

#endif							/* HNSW_AM_INFO_H */
