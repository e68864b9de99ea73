/*
 * fill.h
 *		How many rows a batch holds, and bringing them in.
 */
#ifndef HNSW_BULK_FILL_H
#define HNSW_BULK_FILL_H

#include "hnsw/bulk/batch.h"
#include "hnsw/bulk/spool.h"
#include "hnsw/layout/layout.h"

/* A row of a file as a node. */
static inline void
HnswBatchSetRow(BatchNode *x, const SpoolRow *row)
{
	x->head = row->head;
	x->tid = row->tid;
}

extern double HnswBatchBytes(const HnswLayout *lay, double rows, int participants);
extern double HnswBatchFill(Batch *b, Spool **spools, double rows);

#endif							/* HNSW_BULK_FILL_H */
