/*
 * insert.h
 *		Inserting vectors.
 */
#ifndef HNSW_GRAPH_INSERT_H
#define HNSW_GRAPH_INSERT_H

#include "hnsw/graph/search.h"
#include "hnsw/layout/page.h"
#include "hnsw/page/index.h"
#include "hnsw/page/pending.h"
#include "hnsw/metric/type.h"

/* Memory of inserts, kept with a handle. */
typedef struct HnswInserter
{
	MemoryContext cxt;			/* holds this and everything below */
	HnswSearch *search;			/* of level 0; its query is the new vector */
	HnswResult	upper[HNSW_MAX_LEVEL + 1];
	float	   *first;			/* centre of an index that has none yet */
} HnswInserter;

/* What has become of a row. */
typedef enum HnswInserted
{
	HNSW_NOT_INDEXED,			/* it is one that an index does not have */
	HNSW_PENDING,
	HNSW_LINKED,
	HNSW_FULL					/* nothing: there was no room for one more pending row */
} HnswInserted;

extern HnswInserter *HnswInserterOf(HnswIndex *g);
extern void HnswInserterDone(HnswIndex *g);
extern HnswInserted HnswInsertValue(HnswIndex *g, HnswValue value, ItemPointer heap_tid,
									int pending_limit, bool or_full, HnswSlot *placed);
extern void HnswInsertStored(HnswIndex *g, const HnswRecord *rec, const char *own,
							 ItemPointer heap_tid);
extern void HnswSettle(HnswIndex *g, const HnswCandidate *node, bool linked);

#endif							/* HNSW_GRAPH_INSERT_H */
