/*
 * overflow.h
 *		Heap TIDs of a node: in its record, and in a chain of overflow pages.
 */
#ifndef HNSW_PAGE_OVERFLOW_H
#define HNSW_PAGE_OVERFLOW_H

#include "hnsw/page/access.h"
#include "hnsw/page/index.h"

typedef void (*HnswTidsFunction) (void *arg, const ItemPointerData *tids, int n);

extern void HnswAcquireOverflow(HnswIndex *g, BlockNumber over, BlockNumber blk, uint16 slot,
								int mode, HnswPin *pin);
extern void HnswAddTid(HnswIndex *g, HnswPin *pin, uint16 slot, ItemPointer tid);
extern void HnswReadOverflow(HnswIndex *g, HnswPin *pin, uint16 slot, BlockNumber next,
							 HnswTidsFunction take, void *arg);

#endif							/* HNSW_PAGE_OVERFLOW_H */
