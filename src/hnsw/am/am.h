/*
 * am.h
 *		What the server calls, a file per verb.
 */
#ifndef HNSW_AM_AM_H
#define HNSW_AM_AM_H

#include "access/amapi.h"
#include "access/genam.h"
#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"

extern IndexBuildResult *hnswbuild(Relation heap, Relation index, IndexInfo *info);
extern void hnswbuildempty(Relation index);

extern bool hnswinsert(Relation index, Datum *values, bool *isnull,
					   ItemPointer heap_tid, Relation heap,
					   IndexUniqueCheck check, bool unchanged,
					   IndexInfo *info);

extern IndexScanDesc hnswbeginscan(Relation index, int nkeys, int norderbys);
extern void hnswrescan(IndexScanDesc scan, ScanKey keys, int nkeys,
					   ScanKey orderbys, int norderbys);
extern bool hnswgettuple(IndexScanDesc scan, ScanDirection dir);
extern void hnswendscan(IndexScanDesc scan);

extern IndexBulkDeleteResult *hnswbulkdelete(IndexVacuumInfo *info,
											 IndexBulkDeleteResult *stats,
											 IndexBulkDeleteCallback callback,
											 void *state);
extern IndexBulkDeleteResult *hnswvacuumcleanup(IndexVacuumInfo *info,
												IndexBulkDeleteResult *stats);

/* ---- planner/cost.c ---- */
extern void hnswcostestimate(PlannerInfo *root, IndexPath *path, double loop_count,
							 Cost *startup, Cost *total, Selectivity *selectivity,
							 double *correlation, double *pages);

extern bool hnswvalidate(Oid opclass);

extern bool HnswIsAm(const IndexAmRoutine *am);
extern IndexAmRoutine *HnswRoutine(void);

/* ---- ivfflat.c ---- */
extern void IvfflatTell(Relation index);

/* ---- share.c ---- */
extern bool HnswCanBeRead(Oid indexid);
extern double HnswShareWithin(Oid indexid, Datum center, double radius);

extern void HnswStatsInit(void);
extern void HnswTableInit(void);

#endif							/* HNSW_AM_AM_H */
