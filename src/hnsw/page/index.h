/*
 * index.h
 *		A backend's handle on one index, and the metapage.
 */
#ifndef HNSW_PAGE_INDEX_H
#define HNSW_PAGE_INDEX_H

#include "compat.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "utils/rel.h"

/* Recent buffers of a handle: so many at first, and at most (512 kB). */
#define HNSW_MIN_RECENT		1024
#define HNSW_MAX_RECENT		65536

/* The buffer a block was in when it was last read. */
typedef struct HnswRecent
{
	BlockNumber blk;
	Buffer		buf;			/* InvalidBuffer: the entry is empty */
} HnswRecent;

/*
 * One backend's handle on one index: what is immutable, hints for finding
 * buffers, and scratch memory of search and insert.  Kept between statements
 * (see index.c); a build has a private one.
 */
typedef struct HnswIndex
{
	Oid			relid;
	CompatRelFile file;
	MemoryContext cxt;			/* holds this and everything below */
	int			users;
	bool		cached;			/* else the last user to close it frees it */
	uint64		opened;			/* when it was opened last, as a number that counts up */
	Size		bytes;			/* memory when it was last let go of */

	HnswSpace	space;
	const HnswLayout *lay;		/* of space */
	uint64		seed;
	int			ncentre;
	float	   *centre;			/* subtracted when centre_set */
	bool		centre_set;

	/* accessor */
	Relation	rel;			/* valid between HnswOpen and HnswClose */
	bool		nolog;			/* build: change pages without WAL */
	bool		shared;			/* build: other processes take part */
	BlockNumber target;			/* node page to try first for a new record */
	BlockNumber upper_target;	/* the same for upper pages, build only */
	BlockNumber pending_tail;	/* pending page to try first for a link */
	BlockNumber nblocks;		/* blocks known to exist */
	HnswRecent *recent;			/* recent buffers, a hint: block b is at b modulo nrecent */
	uint32		nrecent;		/* a power of 2 */
	uint32		nreplaced;		/* entries that gave way to others since it grew */
	int			cold;			/* so many visits more are taken to need pages from disk */
	int			ahead;			/* then: pages to be asked for before they are needed */

	/* what grows with use: kept for the next scan or insert, or freed, between two */
	MemoryContext idle;			/* holds it */
	Size		idle_bytes;		/* of the inserter, while the handle is in use */
	struct HnswSearch *search;	/* of a scan that has ended */
	struct HnswInserter *inserter;
	struct HnswScratch *scratch;
} HnswIndex;

/* A number for each record there can be. */
#define HnswNodeNumber(g, blk, slot)	((uint64) (blk) * (g)->lay->per_page + (slot))

extern bool HnswIsKnown(Relation index);
extern HnswIndex *HnswOpen(Relation index);
extern HnswIndex *HnswOpenIn(Relation index, MemoryContext cxt);
extern void HnswClose(HnswIndex *g);
extern HnswIndex *HnswIndexCreate(Relation index, MemoryContext parent,
								  const HnswMetaPage *meta);
extern HnswIndex *HnswIndexRead(Relation index, MemoryContext parent);
/* What vectors have subtracted, NULL for nothing (yet). */
static inline const float *
HnswCentre(const HnswIndex *g)
{
	return g->centre_set && g->ncentre > 0 ? g->centre : NULL;
}

extern bool HnswKeepIdle(HnswIndex *g, Size bytes);

#endif							/* HNSW_PAGE_INDEX_H */
