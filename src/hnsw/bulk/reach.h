/*
 * reach.h
 *		Tree links of a batch.
 */
#ifndef HNSW_REACH_H
#define HNSW_REACH_H

#include "hnsw/bulk/batch.h"

extern void HnswBatchReach(Batch *b);

#endif							/* HNSW_REACH_H */
