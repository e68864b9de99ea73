/*
 * queries_parallel.c
 *		hnsw_search with workers.
 *
 * Leader and workers take queries, a few at a time, from one counter, each with a scan of
 * its own and the leader's snapshot, settings and user.  Each sorts the rows it has found by query and
 * rank; the leader merges the sorts (tuplesort's own means for that), so that rows come in order
 * and memory stays within work_mem.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "executor/instrument.h"
#include "executor/tuptable.h"
#include "hnsw/am/build.h"
#include "hnsw/am/options.h"
#include "hnsw/am/queries.h"
#include "hnsw/graph/search.h"
#include "miscadmin.h"
#include "names.h"
#include "optimizer/cost.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "tcop/tcopprot.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"

/*
 * A worker is worth starting for so many visits of a search: one takes a few milliseconds to start,
 * in which time the leader would visit as many.
 */
#define VISITS_PER_WORKER	20000

/* So many queries are taken at a time: the counter is no bottleneck, and nobody waits for long at the end. */
#define QUERIES_AT_ONCE	4

#define KEY_SHARED	UINT64CONST(1)
#define KEY_QUERIES	UINT64CONST(2)
#define KEY_SORT	UINT64CONST(3)
#define KEY_WAL		UINT64CONST(4)
#define KEY_BUFFERS	UINT64CONST(5)
#define KEY_TEXT	UINT64CONST(6)

typedef struct Shared
{
	Oid			index;
	int			k;
	int			memory;			/* of each sort, in kB */
	pg_atomic_uint64 next;		/* number, from 0, of the next query */
} Shared;

/* How many workers the queries are worth; 0 where there can be none. */
int
HnswQueriesWorkers(const HnswQueries *q)
{
	HnswSettings settings;
	double		nodes = q->x.index->rd_rel->reltuples;	/* -1: not known */
	double		visits;			/* of a query */

	/* others do not see this session's temporary tables */
	if (max_parallel_workers_per_gather == 0 || !IsUnderPostmaster || IsInParallelMode() ||
		RelationUsesLocalBuffers(q->x.index) || !HnswIsParallelSafe(q->x.index))
		return 0;
	HnswReadSettings(&settings);
	visits = HNSW_VISITS_PER_EF * HnswFirstSearch(&settings, q->k);
	if (nodes >= 0)
		visits = Min(visits, HNSW_SWEEP_VISITS((double) RelationGetNumberOfBlocks(q->x.index), nodes));
	return (int) Min(q->n * visits / VISITS_PER_WORKER, max_parallel_workers_per_gather);
}

/* A participant's sort by query and rank; or, with so many participants, the leader's of all. */
static Tuplesortstate *
begin_sort(TupleDesc desc, Sharedsort *shared, int memory, int nparticipants)
{
	AttrNumber	columns[] = {1, 2};
	Oid			operators[] = {Int4LessOperator, Int4LessOperator};
	Oid			collations[] = {InvalidOid, InvalidOid};
	bool		nulls_first[] = {false, false};
	SortCoordinate coordinate = palloc0(sizeof(SortCoordinateData));

	coordinate->isWorker = nparticipants == 0;
	coordinate->nParticipants = nparticipants == 0 ? -1 : nparticipants;
	coordinate->sharedsort = shared;
	return tuplesort_begin_heap(desc, lengthof(columns), columns, operators, collations, nulls_first,
								memory, coordinate, TUPLESORT_NONE);
}

/* A participant's work: queries until there are none left. */
static void
search_some(HnswQueries *q, Shared *shared, Sharedsort *sort, TupleDesc desc)
{
	q->row = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	q->sort = begin_sort(desc, sort, shared->memory, 0);
	for (;;)
	{
		uint64		first = pg_atomic_fetch_add_u64(&shared->next, QUERIES_AT_ONCE);
		uint64		end = Min(first + QUERIES_AT_ONCE, (uint64) q->n);

		if (first >= end)
			break;
		for (uint64 i = first; i < end; i++)
			HnswQueriesSearch(q, (int) i + 1);
	}
	tuplesort_performsort(q->sort);
	tuplesort_end(q->sort);
	q->sort = NULL;
	ExecDropSingleTupleTableSlot(q->row);
}

/* The rows of all participants, in order, become the function's result. */
static void
merge(HnswQueries *q, Sharedsort *shared, int nparticipants)
{
	TupleDesc	desc = q->out->setDesc;
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	Tuplesortstate *sort = begin_sort(desc, shared, work_mem, nparticipants);

	tuplesort_performsort(sort);
	while (tuplesort_gettupleslot(sort, true, false, slot, NULL))
	{
		CHECK_FOR_INTERRUPTS();
		tuplestore_puttupleslot(q->out->setResult, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplesort_end(sort);
}

/* Room for the workers and what they are told; NULL where there is none. */
static ParallelContext *
create_context(const HnswQueries *q, const ArrayType *queries, int nworkers)
{
	ParallelContext *pcxt = CreateParallelContext(VX_LIBRARY, "HnswQueriesWorker", nworkers);
	Size		text_size = debug_query_string ? strlen(debug_query_string) + 1 : 0;
	Size		sort_size = tuplesort_estimate_shared(nworkers + 1);
	Shared	   *shared;
	Sharedsort *sort;

	shm_toc_estimate_chunk(&pcxt->estimator, sizeof(Shared));
	shm_toc_estimate_chunk(&pcxt->estimator, VARSIZE(queries));
	shm_toc_estimate_chunk(&pcxt->estimator, sort_size);
	shm_toc_estimate_chunk(&pcxt->estimator, mul_size(sizeof(WalUsage), nworkers));
	shm_toc_estimate_chunk(&pcxt->estimator, mul_size(sizeof(BufferUsage), nworkers));
	shm_toc_estimate_chunk(&pcxt->estimator, text_size);
	shm_toc_estimate_keys(&pcxt->estimator, 6);
	InitializeParallelDSM(pcxt);
	if (pcxt->seg == NULL)
	{
		DestroyParallelContext(pcxt);
		return NULL;
	}

	shared = shm_toc_allocate(pcxt->toc, sizeof(Shared));
	shared->index = RelationGetRelid(q->x.index);
	shared->k = q->k;
	shared->memory = Max(work_mem / (nworkers + 1), 64);
	pg_atomic_init_u64(&shared->next, 0);
	shm_toc_insert(pcxt->toc, KEY_SHARED, shared);
	shm_toc_insert(pcxt->toc, KEY_QUERIES,
				   memcpy(shm_toc_allocate(pcxt->toc, VARSIZE(queries)), queries, VARSIZE(queries)));
	sort = shm_toc_allocate(pcxt->toc, sort_size);
	tuplesort_initialize_shared(sort, nworkers + 1, pcxt->seg);
	shm_toc_insert(pcxt->toc, KEY_SORT, sort);
	shm_toc_insert(pcxt->toc, KEY_WAL, shm_toc_allocate(pcxt->toc, mul_size(sizeof(WalUsage), nworkers)));
	shm_toc_insert(pcxt->toc, KEY_BUFFERS, shm_toc_allocate(pcxt->toc, mul_size(sizeof(BufferUsage), nworkers)));
	if (text_size > 0)
		shm_toc_insert(pcxt->toc, KEY_TEXT,
					   memcpy(shm_toc_allocate(pcxt->toc, text_size), debug_query_string, text_size));
	return pcxt;
}

/*
 * Search for all queries with workers, as many of "nworkers" as there are at the moment.  False:
 * nothing has been done, for want of shared memory.
 */
bool
HnswQueriesParallel(HnswQueries *q, ArrayType *queries, int nworkers)
{
	ParallelContext *pcxt;
	Sharedsort *sort;

	EnterParallelMode();
	pcxt = create_context(q, queries, nworkers);
	if (pcxt == NULL)
	{
		ExitParallelMode();
		return false;
	}
	sort = shm_toc_lookup(pcxt->toc, KEY_SORT, false);
	LaunchParallelWorkers(pcxt);
	ereport(DEBUG1, (errmsg_internal("using %d parallel workers", pcxt->nworkers_launched)));
	search_some(q, shm_toc_lookup(pcxt->toc, KEY_SHARED, false), sort, q->out->setDesc);
	WaitForParallelWorkersToFinish(pcxt);
	for (int i = 0; i < pcxt->nworkers_launched; i++)
		InstrAccumParallelQuery(&((BufferUsage *) shm_toc_lookup(pcxt->toc, KEY_BUFFERS, false))[i],
								&((WalUsage *) shm_toc_lookup(pcxt->toc, KEY_WAL, false))[i]);
	merge(q, sort, pcxt->nworkers_launched + 1);
	DestroyParallelContext(pcxt);
	ExitParallelMode();
	return true;
}

/* A worker, started by HnswQueriesParallel. */
void
HnswQueriesWorker(dsm_segment *seg, shm_toc *toc)
{
	Shared	   *shared = shm_toc_lookup(toc, KEY_SHARED, false);
	Sharedsort *sort = shm_toc_lookup(toc, KEY_SORT, false);
	TupleDesc	desc = CreateTemplateTupleDesc(HNSW_QUERIES_COLUMNS);
	HnswQueries q;

	debug_query_string = shm_toc_lookup(toc, KEY_TEXT, true);
	pgstat_report_activity(STATE_RUNNING, debug_query_string);
	TupleDescInitEntry(desc, 1, "query", INT4OID, -1, 0);
	TupleDescInitEntry(desc, 2, "rank", INT4OID, -1, 0);
	TupleDescInitEntry(desc, 3, "ctid", TIDOID, -1, 0);
	TupleDescInitEntry(desc, 4, "distance", FLOAT8OID, -1, 0);
	tuplesort_attach_shared(sort, seg);
	InstrStartParallelQuery();
	memset(&q, 0, sizeof(q));
	HnswQueriesOpen(&q, shared->index, shm_toc_lookup(toc, KEY_QUERIES, false), shared->k, true);
	search_some(&q, shared, sort, desc);
	HnswQueriesClose(&q);
	InstrEndParallelQuery(&((BufferUsage *) shm_toc_lookup(toc, KEY_BUFFERS, false))[ParallelWorkerNumber],
						  &((WalUsage *) shm_toc_lookup(toc, KEY_WAL, false))[ParallelWorkerNumber]);
}
