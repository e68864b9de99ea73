/*
 * relink.h
 *		The lists of nodes that are in an index already, chosen anew many at once.
 */
#ifndef HNSW_BULK_RELINK_H
#define HNSW_BULK_RELINK_H

#include "hnsw/bulk/batch.h"
#include "hnsw/page/dead.h"
#include "hnsw/page/index.h"
#include "storage/bufmgr.h"

/* What is to be done, and what has been. */
typedef struct HnswRelinkTask
{
	const HnswDeadSet *dead;	/* links to these go, but TREE links */
	BufferAccessStrategy strategy;	/* of passes over the pages */
	Size		limit;			/* bytes of memory */
	/* lists written: */
	int64		nchosen;		/* chosen anew, or with new links that others wanted */
	int64		nlost;			/* that only lost links */
} HnswRelinkTask;

/* One that is under way. */
typedef struct Relink
{
	HnswIndex  *g;
	HnswRelinkTask *task;
	Batch	   *b;
	BatchLevel *level;
	BatchOld	old;
	uint32	   *member;			/* of each slot there is, BATCH_NONE: none */
	uint64		nslots;
} Relink;

/* The member that a link leads to, BATCH_NONE for none. */
static inline uint32
relink_member(const Relink *r, BlockNumber blk, uint16 slot)
{
	uint64		number = HnswNodeNumber(r->g, blk, slot);

	return slot < r->g->lay->per_page && number < r->nslots ? r->member[number] : BATCH_NONE;
}

extern bool HnswRelink(HnswIndex *g, HnswRelinkTask *task);
extern uint64 HnswRelinkHash(const HnswLayout *lay, const char *node);
extern void HnswRelinkWrite(Relink *r);

#endif							/* HNSW_BULK_RELINK_H */
