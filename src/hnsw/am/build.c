/*
 * build.c
 *		CREATE INDEX: the graph of as many rows as maintenance_work_mem holds is
 *		made at once (bulk.c) and written; further rows are inserted one by one.
 *
 * The leader and parallel workers (team.c) all do the same: read a part of the
 * table into a file (spool.c), make a part of the graph, write a part of the
 * pages, insert a part of the rows that are left, log a part of the index.
 * README, "Build".  Nothing is logged before the end, when all pages are logged
 * once.  Until then no other backend sees the index.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xloginsert.h"
#include "catalog/index.h"
#include "catalog/pg_proc.h"
#include "commands/progress.h"
#include "hnsw/am/am.h"
#include "hnsw/am/cached.h"
#include "hnsw/am/build.h"
#include "hnsw/am/options.h"
#include "hnsw/am/recall.h"
#include "hnsw/am/sample.h"
#include "hnsw/base/waitpoint.h"
#include "hnsw/bulk/batch.h"
#include "hnsw/bulk/bulk.h"
#include "hnsw/bulk/fill.h"
#include "hnsw/bulk/spool.h"
#include "hnsw/bulk/team.h"
#include "hnsw/graph/insert.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/vector.h"
#include "hnsw/page/access.h"
#include "hnsw/page/index.h"
#include "hnsw/page/meta.h"
#include "hnsw/page/place.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/paths.h"
#include "storage/bufmgr.h"
#include "storage/freespace.h"
#include "storage/indexfsm.h"
#include "utils/backend_progress.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* Rows that another participant is worth its start. */
#define ROWS_PER_PARTICIPANT	5000

/* Rows after which a participant tells how many it has read. */
#define TELL_ROWS		64

/* Blocks that are one task of logging. */
#define LOG_BLOCKS		512

/* One participant's file. */
typedef struct BuildFile
{
	int64		nrows;
	int64		nread;			/* of them in the batch */
} BuildFile;

/* What participants share; stands in the parallel context's memory. */
typedef struct BuildShared
{
	TeamShared	team;			/* first */
	Oid			heap;
	Oid			index;
	bool		concurrent;
	bool		log;
	BlockNumber nblocks;		/* to log */
	pg_atomic_uint64 nread;		/* rows of the table, for the progress view */
	pg_atomic_uint64 ninserted;
	slock_t		mutex;			/* of the three below */
	double		heap_tuples;
	double		indexed;
	bool		broken_hot_chain;
	BatchShared batch;
	BuildFile	files[FLEXIBLE_ARRAY_MEMBER];
} BuildShared;

/* One participant's state. */
typedef struct BuildState
{
	Relation	heap;
	Relation	index;
	IndexInfo  *info;
	HnswIndex  *g;
	Team	   *team;
	BuildShared *shared;
	ParallelTableScanDesc scan; /* NULL: the leader alone reads the table */
	Spool	   *spool;
	MemoryContext row_cxt;		/* reset after each row */
	double		indexed;
	int			untold;			/* rows not in shared->nread yet */
} BuildState;

/* Bring the number of rows read up to date, and show it. */
static void
tell_rows(BuildState *st)
{
	uint64		sum = pg_atomic_add_fetch_u64(&st->shared->nread, st->untold);

	st->untold = 0;
	if (HnswTeamLeader(st->team))
		pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, (int64) sum);
}

/* A row of the table: encode it, and keep it in this participant's file. */
static void
build_row(Relation index, ItemPointer tid, Datum *values, bool *isnull,
		  bool alive, void *arg)
{
	BuildState *st = (BuildState *) arg;
	HnswIndex  *g = st->g;
	HnswScratch *s = g->scratch;
	MemoryContext old;
	HnswRecord	rec;
	uint32		hash;

	if (++st->untold == TELL_ROWS)
		tell_rows(st);
	if (isnull[0])
		return;
	old = MemoryContextSwitchTo(st->row_cxt);
	if (HnswPrepareVector(&g->space, HnswCentre(g), g->space.type->get(values[0]), s->fa, &hash))
	{
		SpoolRow	row;

		HnswOwnEncode(&g->space, s->fa, hash, s->own, &rec);
		memset(&row, 0, sizeof(row));
		row.head = rec.head;
		row.tid = *tid;
		HnswSpoolAdd(st->spool, &row, s->own);
		st->indexed++;
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(st->row_cxt);
}

/* Read this participant's part of the table into its file. */
static void
load_rows(BuildState *st)
{
	BuildShared *sh = st->shared;
	TableScanDesc scan = st->scan ? table_beginscan_parallel(st->heap, st->scan) : NULL;
	double		rows;

	HNSW_WAIT_POINT("build-load");
	st->spool = HnswSpoolCreate(st->team, st->g->lay->own_bytes);
	rows = table_index_build_scan(st->heap, st->index, st->info, true,
								  HnswTeamLeader(st->team), build_row, st, scan);
	tell_rows(st);
	HnswSpoolFinish(st->team, st->spool);
	sh->files[st->team->number].nrows = st->spool->nrows;
	SpinLockAcquire(&sh->mutex);
	sh->heap_tuples += rows;
	sh->indexed += st->indexed;
	sh->broken_hot_chain |= st->info->ii_BrokenHotChain;
	SpinLockRelease(&sh->mutex);
}

/* The leader: take what fits the memory into a batch. */
static void
fill_batch(BuildState *st, Batch *b)
{
	BuildShared *sh = st->shared;
	Team	   *team = st->team;
	const int	nparticipants = team->nparticipants;
	Spool	  **spools = palloc0(nparticipants * sizeof(Spool *));
	double		taken;

	spools[0] = st->spool;
	for (int i = 1; i < nparticipants; i++)
		spools[i] = HnswSpoolOpen(team, i, st->g->lay->own_bytes, sh->files[i].nrows);
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE,
								 (int64) pg_atomic_read_u64(&sh->nread));
	taken = HnswBatchFill(b, spools, sh->indexed);
	for (int i = 0; i < nparticipants; i++)
	{
		sh->files[i].nread = spools[i]->nread;
		if (i > 0)
			HnswSpoolClose(spools[i]);
	}
	pfree(spools);
	if (taken < sh->indexed)
	{
		double		bytes = HnswBatchBytes(st->g->lay, sh->indexed, nparticipants);

		ereport(NOTICE,
				(errmsg("hnsw graph no longer fits into maintenance_work_mem after " INT64_FORMAT " tuples",
						(int64) taken),
				 errdetail("The other " INT64_FORMAT " are inserted one by one, which takes longer.",
						   (int64) (sh->indexed - taken)),
				 errhint("A maintenance_work_mem of %.0f MB would hold the whole graph.",
						 ceil(bytes / (1024 * 1024)))));
	}
}

/* Insert a row that the batch had no room for; count it, and show how many there are. */
static void
insert_row(void *arg, const HnswRecord *rec, const char *own, ItemPointer tid)
{
	BuildState *st = (BuildState *) arg;
	uint64		sum;

	HnswInsertStored(st->g, rec, own, tid);
	sum = pg_atomic_add_fetch_u64(&st->shared->ninserted, 1);
	if (HnswTeamLeader(st->team))
		pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, (int64) sum);
}

/* Insert the rows of this participant's file that the batch had no room for. */
static void
insert_rest(BuildState *st)
{
	BuildFile  *file = &st->shared->files[st->team->number];
	Batch	   *b;

	if (file->nread == file->nrows)
		return;
	HNSW_WAIT_POINT("build-insert");
	HnswSpoolSkip(st->spool, file->nread);
	b = HnswBatchCreate(st->g, HnswTeamCreate(st->index), palloc0(sizeof(BatchShared)),
						(Size) maintenance_work_mem * 1024 / st->team->nparticipants);
	HnswBulkInsert(b, st->spool, insert_row, st);
	HnswBatchDestroy(b);
}

/* Log a part of the index, and say in the free space map where there is room. */
static void
log_pages(BuildState *st)
{
	BuildShared *sh = st->shared;
	uint64		from;

	if (st->g->target != InvalidBlockNumber)
		RecordPageWithFreeSpace(st->index, st->g->target, HNSW_FSM_SLOT);
	HNSW_WAIT_POINT("build-log");
	while (sh->log && (from = HnswTeamTask(st->team) * LOG_BLOCKS) < sh->nblocks)
	{
		if (HnswTeamLeader(st->team))
			pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_DONE, (int64) from);
		log_newpage_range(st->index, MAIN_FORKNUM, (BlockNumber) from,
						  (BlockNumber) Min(from + LOG_BLOCKS, sh->nblocks), true);
	}
}

/* The leader tells of a phase that is over, and how many it was about. */
static void
tell_phase(const BuildState *st, double n, const char *what)
{
	if (HnswTeamLeader(st->team))
		ereport(DEBUG1, (errmsg_internal("index \"%s\": %.0f %s", RelationGetRelationName(st->index), n, what)));
}

/* What every participant does. */
static void
take_part(BuildState *st)
{
	BuildShared *sh = st->shared;
	Team	   *team = st->team;
	bool		leader = HnswTeamLeader(team);
	double		rest = 0;
	Batch	   *b;

	st->row_cxt = AllocSetContextCreate(CurrentMemoryContext, "hnsw build row",
										ALLOCSET_DEFAULT_SIZES);
	load_rows(st);
	if (leader)
		HnswTeamStart(team);
	else
		HnswTeamJoin(team);
	tell_phase(st, sh->indexed, "rows read");

	b = HnswBatchCreate(st->g, team, &sh->batch, (Size) maintenance_work_mem * 1024);
	if (leader)
		fill_batch(st, b);
	(void) HnswBulkBuild(b);
	tell_phase(st, sh->batch.n, "nodes linked and written");
	HnswBatchDestroy(b);
	if (leader)
	{
		for (int i = 0; i < team->nparticipants; i++)
			rest += sh->files[i].nrows - sh->files[i].nread;
		if (rest > 0)
		{
			pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, HNSW_PROGRESS_INSERT);
			pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL, (int64) rest);
			pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, 0);
		}
	}
	HnswTeamReunite(team);
	insert_rest(st);
	HnswSpoolClose(st->spool);
	(void) HnswTeamSync(team);

	if (leader)
	{
		tell_phase(st, rest, "rows inserted one by one");
		HnswCalibrateBuild(st->g);
		sh->nblocks = RelationGetNumberOfBlocks(st->index);
		sh->log = RelationNeedsWAL(st->index);
		pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, HNSW_PROGRESS_LOG);
		pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_TOTAL, sh->nblocks);
		pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_DONE, 0);
	}
	(void) HnswTeamSync(team);
	log_pages(st);
	tell_phase(st, sh->log ? sh->nblocks : 0, "pages logged");
	MemoryContextDelete(st->row_cxt);
}

/*
 * How many workers a table of so many rows is worth, within
 * max_parallel_maintenance_workers.
 */
int
HnswBuildWorkers(double rows)
{
	return (int) Min(rows / ROWS_PER_PARTICIPANT, max_parallel_maintenance_workers);
}

/* May workers evaluate what an index is over, and its predicate? */
bool
HnswIsParallelSafe(Relation index)
{
	/* as much of a planner's state as the test wants */
	PlannerInfo *root = makeNode(PlannerInfo);

	root->parse = makeNode(Query);
	root->parse->commandType = CMD_SELECT;
	root->glob = makeNode(PlannerGlobal);
	root->query_level = 1;
	root->planner_cxt = CurrentMemoryContext;
	root->glob->maxParallelHazard = PROPARALLEL_UNSAFE;
	return is_parallel_safe(root, (Node *) RelationGetIndexExpressions(index)) &&
		is_parallel_safe(root, (Node *) RelationGetIndexPredicate(index));
}

/*
 * How many workers to ask for.  What makes a parallel scan of the table, its
 * expressions or predicate unsafe makes the build serial; the table's option
 * parallel_workers says the number, else the number of rows does.
 */
static int
plan_workers(BuildState *st, double rows)
{
	int			wanted;

	if (max_parallel_maintenance_workers == 0 || !IsUnderPostmaster || IsInParallelMode() ||
		st->heap->rd_rel->relpersistence == RELPERSISTENCE_TEMP ||
		RelationGetNumberOfBlocks(st->heap) == 0)
		return 0;

	if (!HnswIsParallelSafe(st->index))
		return 0;

	wanted = RelationGetParallelWorkers(st->heap, -1);
	if (wanted >= 0)
		return Min(wanted, max_parallel_maintenance_workers);
	return HnswBuildWorkers(rows);
}

/* Ask for workers and start them; else the leader is alone. */
static void
start_team(BuildState *st, int nworkers, Snapshot *registered)
{
	Snapshot	snapshot = SnapshotAny;
	Size		size = offsetof(BuildShared, files) + (nworkers + 1) * sizeof(BuildFile);
	void	   *scan = NULL;

	st->team = HnswTeamCreate(st->index);
	if (nworkers > 0)
	{
		if (st->info->ii_Concurrent)
			*registered = snapshot = RegisterSnapshot(GetTransactionSnapshot());
		st->shared = HnswTeamPrepare(st->team, nworkers, size,
									 table_parallelscan_estimate(st->heap, snapshot), &scan);
	}
	if (st->shared == NULL)
		st->shared = palloc0(size);
	else
	{
		st->scan = scan;
		st->g->shared = true;
		table_parallelscan_initialize(st->heap, st->scan, snapshot);
	}
	st->shared->heap = RelationGetRelid(st->heap);
	st->shared->index = RelationGetRelid(st->index);
	st->shared->concurrent = st->info->ii_Concurrent;
	SpinLockInit(&st->shared->mutex);
	pg_atomic_init_u64(&st->shared->nread, 0);
	pg_atomic_init_u64(&st->shared->ninserted, 0);
	if (st->scan)
		HnswTeamLaunch(st->team);
}

/*
 * ambuild.  The leader's part is in take_part, as the workers'.  Errors: the column has no
 * dimensions, or too many; what rows, temporary files and memory bring.
 */
IndexBuildResult *
hnswbuild(Relation heap, Relation index, IndexInfo *info)
{
	IndexBuildResult *result;
	HnswMetaPage meta;
	BuildState	st;
	BlockNumber nblocks;
	double		tuples;
	double		allvis;
	Snapshot	snapshot = NULL;

	if (RelationGetNumberOfBlocks(index) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("index \"%s\" already contains data", RelationGetRelationName(index))));

	/* an index without options has not been through HnswOptionsParse */
	HnswSettingsDefine();
	HnswMetaFor(index, HnswBuildDim(heap, index, info), HnswBuildNonzero(heap, index, info), &meta);
	IvfflatTell(index);
	memset(&st, 0, sizeof(st));
	st.heap = heap;
	st.index = index;
	st.info = info;
	st.g = HnswIndexCreate(index, CurrentMemoryContext, &meta);
	st.g->nolog = true;
	HnswCreatePages(st.g, &meta);
	HnswBuildCentre(st.g, heap, info);

	table_relation_estimate_size(heap, NULL, &nblocks, &tuples, &allvis);
	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, HNSW_PROGRESS_LOAD);
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL, (int64) tuples);
	start_team(&st, plan_workers(&st, tuples), &snapshot);
	take_part(&st);

	result = palloc(sizeof(IndexBuildResult));
	result->heap_tuples = st.shared->heap_tuples;
	result->index_tuples = st.shared->indexed;
	info->ii_BrokenHotChain |= st.shared->broken_hot_chain;
	HnswTeamEnd(st.team);
	if (snapshot)
		UnregisterSnapshot(snapshot);
	IndexFreeSpaceMapVacuum(index);
	/* of a relation that had this relfilenumber, or of this one before TRUNCATE */
	HnswCachedVoid(index);
	HNSW_WAIT_POINT("build-end");
	MemoryContextDelete(st.g->cxt);
	return result;
}

/* A worker of a build, started by HnswTeamLaunch. */
void
HnswBuildWorker(dsm_segment *seg, shm_toc *toc)
{
	BuildState	st;
	void	   *shared;
	void	   *scan;
	LOCKMODE	heap_lock;
	LOCKMODE	index_lock;
	HnswMetaPage meta;

	HnswTeamWorkerBegin(toc, &shared, &scan);
	memset(&st, 0, sizeof(st));
	st.shared = shared;
	st.scan = scan;
	/* the same as the leader's */
	heap_lock = st.shared->concurrent ? ShareUpdateExclusiveLock : ShareLock;
	index_lock = st.shared->concurrent ? RowExclusiveLock : AccessExclusiveLock;
	st.heap = table_open(st.shared->heap, heap_lock);
	st.index = index_open(st.shared->index, index_lock);
	st.info = BuildIndexInfo(st.index);
	st.info->ii_Concurrent = st.shared->concurrent;
	SharedFileSetAttach(&st.shared->team.files, seg);

	st.g = HnswIndexRead(st.index, CurrentMemoryContext);
	st.g->nolog = true;
	st.g->shared = true;
	HnswReadMeta(st.g, &meta);

	st.team = HnswTeamCreate(st.index);
	st.team->shared = &st.shared->team;
	st.team->number = ParallelWorkerNumber + 1;
	take_part(&st);
	MemoryContextDelete(st.g->cxt);
	HnswTeamWorkerEnd(toc);
	index_close(st.index, index_lock);
	table_close(st.heap, heap_lock);
}

/*
 * ambuildempty: the init fork of an unlogged index is an empty index, logged page by
 * page.  One that is built again and has lost its dimensions takes them from the old.
 */
void
hnswbuildempty(Relation index)
{
	HnswMetaPage meta;
	int			dim = HnswColumnDim(index);

	if (dim < 1 && RelationGetNumberOfBlocks(index) > 0)
	{
		/* built again: see HnswBuildDim */
		HnswIndex  *g = HnswIndexRead(index, CurrentMemoryContext);

		dim = g->lay->column_dim;
		MemoryContextDelete(g->cxt);
	}
	HnswMetaFor(index, dim, -1, &meta);
	for (int i = 0; i <= meta.ncentre; i++)
	{
		Buffer		buf = ReadBufferExtended(index, INIT_FORKNUM, P_NEW, RBM_NORMAL, NULL);

		LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
		START_CRIT_SECTION();
		HnswFormMetaPage(BufferGetPage(buf), &meta, i);
		MarkBufferDirty(buf);
		log_newpage_buffer(buf, true);
		END_CRIT_SECTION();
		UnlockReleaseBuffer(buf);
	}
}
