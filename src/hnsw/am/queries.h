/*
 * queries.h
 *		What queries.c (hnsw_search), queries_parallel.c (its workers) and measure.c (hnsw_recall) share,
 *		and whose functions they run (expressions.c).
 */
#ifndef HNSW_AM_QUERIES_H
#define HNSW_AM_QUERIES_H

#include "postgres.h"

#include "access/genam.h"
#include "compat.h"
#include "executor/tuptable.h"
#include "funcapi.h"
#include "hnsw/am/info.h"
#include "storage/dsm.h"
#include "storage/shm_toc.h"
#include "utils/array.h"
#include "utils/relcache.h"
#include "utils/tuplesort.h"

/* Of the result: query, rank, ctid, distance. */
#define HNSW_QUERIES_COLUMNS	4

/* What stays the same for all queries of a call. */
typedef struct HnswQueries
{
	HnswInspect x;				/* the index and its table */
	IndexScanDesc scan;
	TupleTableSlot *slot;
	struct IndexInfo *info;		/* for expressions */
	struct EState *estate;
	FmgrInfo	distance;		/* of the operator */
	/* what HnswQueriesClose goes back to */
	Oid			caller;
	int			caller_context;
	int			guc_level;
	int			k;
	Datum	   *queries;
	int			n;
	/* where rows go: to the function's result, or with workers into a sort */
	ReturnSetInfo *out;
	Tuplesortstate *sort;
	TupleTableSlot *row;		/* to put into it */
} HnswQueries;

/* ---- queries.c ---- */
extern void HnswCheckArray(ArrayType *queries);
extern Datum *HnswReadArray(ArrayType *queries, int *n);
extern void HnswCheckQueries(Relation index, Oid type);
extern void HnswQueriesOpenIndex(HnswQueries *q, const char *function, Oid relid, Oid type, bool worker);
extern void HnswQueriesOpen(HnswQueries *q, Oid index, ArrayType *queries, int k, bool worker);
extern void HnswQueriesAsk(HnswQueries *q, Datum query, int k);
extern double HnswQueriesDistance(HnswQueries *q, Datum query);
extern void HnswQueriesSearch(HnswQueries *q, int number);
extern void HnswQueriesClose(HnswQueries *q);

/* ---- expressions.c ---- */
extern bool HnswPredicateRunsUserCode(Relation index);
extern bool HnswRunsUserCode(Relation index);

/* ---- queries_parallel.c ---- */
extern int	HnswQueriesWorkers(const HnswQueries *q);
extern bool HnswQueriesParallel(HnswQueries *q, ArrayType *queries, int nworkers);
extern PGDLLEXPORT void HnswQueriesWorker(dsm_segment *seg, shm_toc *toc);

#endif							/* HNSW_AM_QUERIES_H */
