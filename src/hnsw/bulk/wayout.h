/*
 * wayout.h
 *		Links that lead out of a tight group of members.
 */
#ifndef HNSW_BULK_WAYOUT_H
#define HNSW_BULK_WAYOUT_H

#include "hnsw/bulk/batch.h"

extern void HnswWaysOut(Batch *b, BatchLevel *level, const BatchLink *offers);

#endif							/* HNSW_BULK_WAYOUT_H */
