/*
 * peek.h
 *		Distances of nodes whose pages are neither pinned nor locked.
 */
#ifndef HNSW_GRAPH_PEEK_H
#define HNSW_GRAPH_PEEK_H

#include "hnsw/graph/search.h"
#include "hnsw/page/index.h"

extern void HnswPeek(HnswIndex *g, const HnswQuery *q, int level, HnswCandidate *nodes, int n);

#endif							/* HNSW_GRAPH_PEEK_H */
