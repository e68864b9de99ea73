/*
 * bulk.h
 *		Bulk construction: the graph of many rows at once, in memory.
 */
#ifndef HNSW_BULK_BULK_H
#define HNSW_BULK_BULK_H

#include "hnsw/bulk/batch.h"
#include "hnsw/bulk/spool.h"
#include "hnsw/layout/page.h"
#include "hnsw/page/pending.h"

extern bool HnswBulkBuild(Batch *b);

/* Inserts a row into the index, of which "own" and what rec says of it is stored. */
typedef void (*HnswBulkPut) (void *arg, const HnswRecord *rec, const char *own, ItemPointer tid);
extern void HnswBulkInsert(Batch *b, Spool *spool, HnswBulkPut put, void *arg);
extern int64 HnswBulkSort(HnswIndex *g, HnswSlot *nodes, int64 n, Size limit);

#endif							/* HNSW_BULK_BULK_H */
