/*
 * tree.h
 *		Tree links of a batch: which parent each node is reached from.
 */
#ifndef HNSW_BULK_TREE_H
#define HNSW_BULK_TREE_H

#include "hnsw/bulk/batch.h"

extern void HnswBatchTree(Batch *b);

#endif							/* HNSW_BULK_TREE_H */
