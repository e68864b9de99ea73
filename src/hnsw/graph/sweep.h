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
/* Tells a node's exact distance, in index units; false: it has none, and is left out. */
typedef bool (*HnswSweepRank) (void *arg, const HnswFound *found, double *dist);

/* The next node, without a place in the index (no block), and its exact distance, in index units; false: none. */
typedef bool (*HnswSweepSource) (void *arg, HnswFound *found, double *dist);

typedef struct HnswSweepArgs
{
	HnswSweepSource source;		/* NULL: the pages of the index */
	HnswSweepFilter filter;		/* NULL: none */
	HnswSweepRank rank;			/* NULL: nodes are sorted by what is stored of them */
	void	   *arg;			/* for all of these */
	double		farthest;		/* nodes that are nearer for sure come after all others */
	bool		by_row;			/* in the order of the table's rows instead of distances */
	double		bound;			/* nodes that are farther for sure are left out */
	Size		memory;			/* of the sort, in kB */
} HnswSweepArgs;

/* A node of a sweep. */
typedef struct HnswSwept
{
	HnswFound	node;
	bool		late;			/* nearer than farthest for sure */
	double		least;			/* the least distance it may have, or its exact one; not by_row */
} HnswSwept;

extern HnswSweep *HnswSweepBegin(HnswIndex *g, HnswSearch *s, const HnswSweepArgs *args);
extern bool HnswSweepNext(HnswSweep *sweep, HnswSwept *next);
extern void HnswSweepEnd(HnswSweep *sweep);
extern int64 HnswSweepCost(HnswIndex *g);

#endif							/* HNSW_GRAPH_SWEEP_H */
