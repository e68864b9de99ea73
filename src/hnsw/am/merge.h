/*
 * merge.h
 *		Pending rows become part of the graph.
 */
#ifndef HNSW_AM_MERGE_H
#define HNSW_AM_MERGE_H

#include "hnsw/page/index.h"
#include "utils/rel.h"

extern int64 HnswMerge(Relation index);
extern bool HnswTryMerge(Relation index);

/* ---- memory.c ---- */
extern Size HnswMaintenanceMemory(void);

/* ---- merger.c ---- */
extern void HnswRequestMerger(void);

#endif							/* HNSW_AM_MERGE_H */
