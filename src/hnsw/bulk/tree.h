/*
 * tree.h
 *		Tree links of a batch: which parent each node is reached from.
 */
#ifndef HNSW_BULK_TREE_H
#define HNSW_BULK_TREE_H

#include "hnsw/bulk/batch.h"

extern void HnswBatchTree(Batch *b);
extern bool HnswBatchHang(Batch *b, BatchLevel *level, uint32 root);

#endif							/* HNSW_BULK_TREE_H */
