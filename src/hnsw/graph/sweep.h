/*
 * sweep.h
 *		All nodes by distance, without the graph.
 */
#ifndef HNSW_GRAPH_SWEEP_H
#define HNSW_GRAPH_SWEEP_H

#include "hnsw/graph/search.h"
#include "hnsw/page/index.h"

typedef struct HnswSweep HnswSweep;
/* Leaves out some of n nodes; returns how many stay, at the front. */
typedef int (*HnswSweepFilter) (void *arg, HnswFound *found, int n);
extern HnswSweep *HnswSweepBegin(HnswIndex *g, HnswSearch *s, HnswSweepFilter filter, void *arg);
extern bool HnswSweepNext(HnswSweep *sweep, HnswFound *f);
extern void HnswSweepEnd(HnswSweep *sweep);
extern int64 HnswSweepCost(HnswIndex *g);

#endif							/* HNSW_GRAPH_SWEEP_H */
