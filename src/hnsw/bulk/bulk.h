/*
 * bulk.h
 *		Bulk construction: the graph of many rows at once, in memory.
 */
#ifndef HNSW_BULK_H
#define HNSW_BULK_H

#include "hnsw/bulk/batch.h"
#include "hnsw/bulk/spool.h"

extern bool HnswBulkBuild(Batch *b);
extern void HnswBulkInsert(Batch *b, Spool *spool, void (*tell) (void *arg), void *arg);

#endif							/* HNSW_BULK_H */
