/*
 * write.h
 *		The pages of a batch.
 */
#ifndef HNSW_BULK_WRITE_H
#define HNSW_BULK_WRITE_H

#include "hnsw/bulk/batch.h"

extern void HnswBatchPlan(Batch *b);
extern void HnswBatchWrite(Batch *b);

#endif							/* HNSW_BULK_WRITE_H */
