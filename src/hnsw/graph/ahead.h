/*
 * ahead.h
 *		Reading ahead of a search: ahead.c.
 */
#ifndef HNSW_GRAPH_AHEAD_H
#define HNSW_GRAPH_AHEAD_H

#include "hnsw/graph/search.h"

extern void HnswReadAheadQueue(HnswIndex *g, HnswSearch *s, float bound, int n);
extern void HnswReadAheadLinks(HnswIndex *g, const HnswSearch *s, const ItemPointerData *links, int nlinks);

#endif							/* HNSW_GRAPH_AHEAD_H */
