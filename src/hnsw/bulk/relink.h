/*
 * relink.h
 *		The lists of nodes that are in an index already, chosen anew many at once.
 */
#ifndef HNSW_BULK_RELINK_H
#define HNSW_BULK_RELINK_H

#include "hnsw/bulk/batch.h"
#include "hnsw/page/dead.h"
#include "hnsw/page/index.h"
#include "hnsw/page/pending.h"
#include "storage/bufmgr.h"

/* A link that a list should have got, and has not: it had changed meanwhile. */
typedef struct HnswMissedLink
{
	HnswSlot	from;
	HnswSlot	to;
	bool		tree;
} HnswMissedLink;

/* What is to be done, and what has been. */
typedef struct HnswRelinkTask
{
	HnswDeadSet dead;			/* links to these go, but TREE links */
	const HnswSlot *listed;		/* of a merge: nodes that are to get lists and tree parents */
	int64		nlisted;
	BufferAccessStrategy strategy;	/* of passes over the pages */
	Size		limit;			/* bytes of memory */
	/* of a merge: how many were linked, who is left to be linked by itself, links that are missing */
	int64		nlinked;
	HnswSlot   *left;
	int64		nleft;
	HnswMissedLink *missed;
	int64		nmissed;
	int64		maxmissed;
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
	uint64	   *listed;			/* of a merge, a bit a slot: it is in the task's list */
	HnswSlot	root;			/* of a merge */
	MemoryContext result;		/* for what was missed */
} Relink;

/* The member that a link leads to, BATCH_NONE for none. */
static inline uint32
relink_member(const Relink *r, BlockNumber blk, uint16 slot)
{
	uint64		number = HnswNodeNumber(r->g, blk, slot);

	return slot < r->g->lay->per_page && number < r->nslots ? r->member[number] : BATCH_NONE;
}

/* Does a link of a member's stay where it is: a TREE link to a DEAD node, any to a live one that is no member? */
static inline bool
relink_stays(const Relink *r, uint32 m, BlockNumber blk, uint16 slot, uint16 flags)
{
	uint32		to = relink_member(r, blk, slot);

	if (HnswIsDead(&r->task->dead, blk, slot))
		return (flags & HNSW_LINK_TREE) != 0;
	return to == BATCH_NONE || to == m;
}

extern bool HnswRelink(HnswIndex *g, HnswRelinkTask *task, MemoryContext result);
extern uint64 HnswRelinkHash(const HnswLayout *lay, const char *node);
extern void HnswRelinkWrite(Relink *r);

#endif							/* HNSW_BULK_RELINK_H */
