/*
 * repair.h
 *		The graph around DEAD records mended (repair.c), and its root moved (root.c).
 */
#ifndef HNSW_GRAPH_REPAIR_H
#define HNSW_GRAPH_REPAIR_H

#include "hnsw/graph/dead.h"
#include "hnsw/graph/search.h"
#include "hnsw/page/index.h"
#include "storage/bufmgr.h"

/* What a repair works with. */
typedef struct HnswRepairContext
{
	HnswIndex  *g;
	HnswDeadSet dead;
	BufferAccessStrategy strategy;	/* of passes over the pages */
	MemoryContext tmp;			/* reset for each node */
} HnswRepairContext;

extern BlockNumber HnswRepair(const HnswRepairContext *rc, BlockNumber first);
extern void HnswMoveRoot(const HnswRepairContext *rc, const HnswCandidate *best, int best_level);

#endif							/* HNSW_GRAPH_REPAIR_H */
