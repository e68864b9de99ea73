/*
 * neighbours.h
 *		The links of all members of a level at once.
 */
#ifndef HNSW_BULK_NEIGHBOURS_H
#define HNSW_BULK_NEIGHBOURS_H

#include "hnsw/bulk/batch.h"
#include "hnsw/bulk/columns.h"

extern bool HnswBatchLink(BatchColumns *c, BatchLevel *level);

#endif							/* HNSW_BULK_NEIGHBOURS_H */
