/*
 * dead.h
 *		The DEAD records of an index, as one VACUUM knows them.
 */
#ifndef HNSW_PAGE_DEAD_H
#define HNSW_PAGE_DEAD_H

#include "hnsw/base/bitmap.h"
#include "storage/block.h"

/* Blocks from nblocks on are those added since the VACUUM began: none is in the set. */
typedef struct HnswDeadSet
{
	BlockNumber nblocks;
	int			per_page;
	int64		n;
	uint64	   *bits;
} HnswDeadSet;

/* An empty set; memory: a bit a slot, in the current context. */
static inline void
HnswDeadInit(HnswDeadSet *dead, BlockNumber nblocks, int per_page)
{
	dead->nblocks = nblocks;
	dead->per_page = per_page;
	dead->n = 0;
	dead->bits = HnswBitmapMake((uint64) nblocks * per_page);
}

/* Add a record, below nblocks, that is not there yet. */
static inline void
HnswDeadAdd(HnswDeadSet *dead, BlockNumber blk, uint16 slot)
{
	(void) HnswBitmapSet(dead->bits, (uint64) blk * dead->per_page + slot);
	dead->n++;
}

static inline bool
HnswIsDead(const HnswDeadSet *dead, BlockNumber blk, uint16 slot)
{
	if (blk >= dead->nblocks || slot >= dead->per_page)
		return false;
	return HnswBitmapTest(dead->bits, (uint64) blk * dead->per_page + slot);
}

#endif							/* HNSW_PAGE_DEAD_H */
