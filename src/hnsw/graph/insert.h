/*
 * insert.h
 *		Inserting vectors.
 */
#ifndef HNSW_GRAPH_INSERT_H
#define HNSW_GRAPH_INSERT_H

#include "hnsw/layout/page.h"
#include "hnsw/page/index.h"
#include "types/vector.h"

extern bool HnswInsertVector(HnswGraph *g, const Vector *v, ItemPointer heap_tid);
extern void HnswInsertStored(HnswGraph *g, const HnswRecord *rec, const char *own,
							 ItemPointer heap_tid);

#endif							/* HNSW_GRAPH_INSERT_H */
