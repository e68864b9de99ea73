/*
 * coarse.h
 *		Results that stored vectors cannot tell apart.
 */
#ifndef HNSW_GRAPH_COARSE_H
#define HNSW_GRAPH_COARSE_H

#include "hnsw/graph/search.h"
#include "hnsw/metric/vector.h"
#include "hnsw/page/index.h"

extern bool HnswResultsCoarse(HnswIndex *g, const HnswQuery *q, const HnswResult *res);
extern double HnswResultsReach(HnswIndex *g, const HnswQuery *q, const HnswResult *res);

#endif							/* HNSW_GRAPH_COARSE_H */
