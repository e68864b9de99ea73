/*
 * partition.h
 *		Groups of nodes that are near to each other.
 */
#ifndef HNSW_BULK_PARTITION_H
#define HNSW_BULK_PARTITION_H

#include "hnsw/bulk/batch.h"
#include "hnsw/bulk/columns.h"

extern void HnswPartition(BatchColumns *c, const BatchLevel *level);
extern void HnswNearOrder(BatchColumns *c, uint32 n, uint32 *order);

#endif							/* HNSW_BULK_PARTITION_H */
