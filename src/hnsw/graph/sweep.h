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

typedef struct HnswSweepArgs
{
	HnswSweepFilter filter;		/* NULL: none */
	void	   *arg;			/* for it */
	double		farthest;		/* nodes that are nearer for sure come after all others */
	Size		memory;			/* of the sort, in kB */
} HnswSweepArgs;

extern HnswSweep *HnswSweepBegin(HnswIndex *g, HnswSearch *s, const HnswSweepArgs *args);
extern bool HnswSweepNext(HnswSweep *sweep, HnswFound *f, bool *late);
extern void HnswSweepEnd(HnswSweep *sweep);
extern int64 HnswSweepCost(HnswIndex *g);

#endif							/* HNSW_GRAPH_SWEEP_H */
