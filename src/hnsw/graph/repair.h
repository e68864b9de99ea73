/*
 * repair.h
 *		The graph around DEAD records mended (repair.c), and its root moved (root.c).
 */
#ifndef HNSW_GRAPH_REPAIR_H
#define HNSW_GRAPH_REPAIR_H

#include "hnsw/graph/search.h"
#include "hnsw/page/dead.h"
#include "hnsw/page/index.h"
#include "storage/bufmgr.h"

/* How many lists have been written. */
typedef struct HnswRepaired
{
	int64		nchosen;		/* chosen anew */
	int64		nlost;			/* that only lost links, or took in heirs */
} HnswRepaired;

/* What a repair works with. */
typedef struct HnswRepairContext
{
	HnswIndex  *g;
	HnswDeadSet dead;
	BufferAccessStrategy strategy;	/* of passes over the pages */
	MemoryContext tmp;			/* reset for each node */
	HnswRepaired *done;
} HnswRepairContext;

extern BlockNumber HnswRepair(const HnswRepairContext *rc, BlockNumber first);
extern void HnswMoveRoot(const HnswRepairContext *rc, const HnswCandidate *best, int best_level);

#endif							/* HNSW_GRAPH_REPAIR_H */
