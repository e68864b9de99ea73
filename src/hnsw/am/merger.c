/*
 * merger.c
 *		The background worker that merges: one for a database, while there is something to do.
 *
 * A session that finds a pending segment half full asks for it.  It is a dynamic worker: nothing is
 * preloaded, and where the server has no slot for one all works without.  It looks at all
 * indexes of its database, merges what is nearly full, and what nobody adds to any more, and ends
 * when there is nothing to do.  It stands in nobody's way for long, as autovacuum does not.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "compat.h"
#include "hnsw/am/am.h"
#include "hnsw/am/merge.h"
#include "hnsw/am/options.h"
#include "hnsw/page/access.h"
#include "hnsw/page/index.h"
#include "hnsw/page/meta.h"
#include "hnsw/page/pending.h"
#include "miscadmin.h"
#include "names.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* A session asks no more often than this. */
#define ASK_MS			1000
/* A worker ends when it has found nothing to do so many times, and once more. */
#define IDLE_ROUNDS		3
/* It tries to become its database's so many times: a session that looks may be in the way. */
#define LOCK_TRIES		5
PGDLLEXPORT void vectorx_merger_main(Datum arg);

/* An index as the worker has found it last. */
typedef struct Watched
{
	Oid			relid;
	int64		pending;
	bool		failed;			/* a merge of it failed: not again by this worker */
} Watched;

typedef struct Merger
{
	MemoryContext cxt;			/* for as long as the worker lives */
	Watched    *watched;
	int			n;
	int			max;
} Merger;

/*
 * The lock that the worker of this database holds, on no object.  A user's lock, as advisory ones are: it
 * is the session's, whose end lets go of it, and a transaction that fails does not.
 */
static LOCKTAG
merger_lock(void)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, AccessMethodRelationId, InvalidOid, 0);
	tag.locktag_lockmethodid = USER_LOCKMETHOD;
	return tag;
}

/* Is there a worker for this database? */
static bool
is_running(void)
{
	LOCKTAG		tag = merger_lock();

	if (LockAcquire(&tag, ShareLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	(void) LockRelease(&tag, ShareLock, false);
	return false;
}

/* Ask for a worker, unless there is one.  Where it cannot be had, nothing happens. */
void
HnswRequestMerger(void)
{
	static TimestampTz asked_at = 0;
	TimestampTz now = GetCurrentTimestamp();
	BackgroundWorker worker;

	if (!IsUnderPostmaster || !TimestampDifferenceExceeds(asked_at, now, ASK_MS))
		return;
	asked_at = now;
	if (is_running())
		return;
	memset(&worker, 0, sizeof(worker));
	strlcpy(worker.bgw_name, "vectorx merger", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "vectorx merger", BGW_MAXLEN);
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, VX_LIBRARY, BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "vectorx_merger_main", BGW_MAXLEN);
	worker.bgw_main_arg = ObjectIdGetDatum(MyDatabaseId);
	if (!RegisterDynamicBackgroundWorker(&worker, NULL))
		ereport(DEBUG1, (errmsg_internal("no background worker to merge pending rows: max_worker_processes are in use")));
}

/* Become the worker of the database; false if there is one. */
static bool
become_merger(void)
{
	LOCKTAG		tag = merger_lock();
	bool		got = false;

	for (int i = 0; i < LOCK_TRIES && !got; i++)
	{
		if (i > 0)
			pg_usleep(10000L * i);
		StartTransactionCommand();
		got = LockAcquire(&tag, ExclusiveLock, true, true) != LOCKACQUIRE_NOT_AVAIL;
		CommitTransactionCommand();
	}
	return got;
}

/* What the worker knows of an index; a new entry if it has not met it. */
static Watched *
watch(Merger *m, Oid relid)
{
	for (int i = 0; i < m->n; i++)
		if (m->watched[i].relid == relid)
			return &m->watched[i];
	if (m->n == m->max)
	{
		m->max = Max(16, m->max * 2);
		m->watched = m->watched ? repalloc(m->watched, m->max * sizeof(Watched)) :
			MemoryContextAlloc(m->cxt, m->max * sizeof(Watched));
	}
	m->watched[m->n] = (Watched)
	{
		.relid = relid
	};
	return &m->watched[m->n++];
}

/* The indexes of this database whose access method is ours, but those of other sessions' temporary tables. */
static List *
find_indexes(MemoryContext cxt)
{
	Relation	classes = table_open(RelationRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(classes, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	List	   *found = NIL;
	Oid			ours = InvalidOid;
	Oid			others = InvalidOid;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_class class = (Form_pg_class) GETSTRUCT(tuple);
		IndexAmRoutine *am;

		if (class->relkind != RELKIND_INDEX || class->relpersistence == RELPERSISTENCE_TEMP ||
			class->relam < FirstNormalObjectId || class->relam == others)
			continue;
		if (class->relam != ours)
		{
			am = GetIndexAmRoutineByAmId(class->relam, true);
			if (am == NULL || !HnswIsAm(am))
			{
				others = class->relam;
				continue;
			}
			ours = class->relam;
		}
		MemoryContextSwitchTo(cxt);
		found = lappend_oid(found, class->oid);
	}
	systable_endscan(scan);
	table_close(classes, AccessShareLock);
	return found;
}

/* How many rows of an index, which is open, are pending; *limit: how many there may be. */
static int64
count_pending(Relation index, int64 *limit)
{
	HnswMetaPage meta;
	HnswIndex  *g;
	int64		n;

	if (!HnswPeekMeta(index, &meta) || meta.npending == 0)
		return 0;
	g = HnswOpenIn(index, CurrentMemoryContext);
	n = HnswPendingCount(g);
	*limit = Max(HnswPendingLimit(index, g->lay), 1);
	return n;
}

/* Merge an index if it is time; true if rows come or have been merged.  One transaction. */
static bool
look_at(Merger *m, Oid relid)
{
	Watched    *w = watch(m, relid);
	HnswSettings settings;
	Relation	index;
	int64		limit = 1;
	int64		n = 0;
	bool		busy = false;

	/* whoever has it locked drops or builds it */
	if (w->failed || !ConditionalLockRelationOid(relid, RowExclusiveLock))
		return false;
	index = try_relation_open(relid, NoLock);
	if (index == NULL)
	{
		UnlockRelationOid(relid, RowExclusiveLock);
		return false;
	}
	if (index->rd_rel->relkind == RELKIND_INDEX && HnswIsAm(index->rd_indam))
		n = count_pending(index, &limit);
	busy = n > w->pending;
	HnswReadSettings(&settings);
	/* while rows come, what is left must do until the merge begins; when nobody adds to it any more, less is enough */
	if (n > 0 && n * 100 >= limit * (n == w->pending ? settings.merge_idle : settings.merge_batch))
	{
		/* which would keep VACUUM from what is dead meanwhile */
		PopActiveSnapshot();
		busy = HnswTryMerge(index);
		n = 0;
	}
	w->pending = n;
	relation_close(index, NoLock);
	return busy;
}

/* The same; an error is reported, and the index left alone from then on. */
static bool
look_safely(Merger *m, Oid relid)
{
	volatile bool busy = false;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	PG_TRY();
	{
		busy = look_at(m, relid);
		if (ActiveSnapshotSet())
			PopActiveSnapshot();
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		/* a request to end, or the server's, is none of the index's */
		if (ProcDiePending)
			PG_RE_THROW();
		HOLD_INTERRUPTS();
		/* that it gives way is no error */
		if (geterrcode() != ERRCODE_QUERY_CANCELED)
			EmitErrorReport();
		AbortCurrentTransaction();
		/* what was cancelled, or wanted for memory, may do the next time */
		watch(m, relid)->failed = geterrcode() == ERRCODE_INDEX_CORRUPTED;
		FlushErrorState();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	return busy;
}

/* Look at all indexes once; true if there was something to do. */
static bool
round_of(Merger *m, MemoryContext cxt)
{
	List	   *indexes;
	ListCell   *cell;
	bool		busy = false;

	MemoryContextReset(cxt);
	StartTransactionCommand();
	indexes = find_indexes(cxt);
	CommitTransactionCommand();
	foreach(cell, indexes)
	{
		CHECK_FOR_INTERRUPTS();
		busy |= look_safely(m, lfirst_oid(cell));
	}
	return busy;
}

/* Wait until the next round, no less: whether rows still come is told by the time between two. */
static void
nap(void)
{
	static uint32 event = 0;
	const uint32 waits = CompatWaitEvent(&event, "VectorxMergerMain");
	HnswSettings settings;
	TimestampTz until;
	long		left;

	HnswReadSettings(&settings);
	until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), settings.merge_naptime);
	while ((left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until)) > 0)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, left, waits);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * Be to others what a worker of autovacuum is: whoever has waited deadlock_timeout for a lock that this process
 * holds cancels what it does, and DROP DATABASE ends it.  A merge that is cut off loses nothing.
 */
static void
give_way(void)
{
	LWLockAcquire(ProcArrayLock, LW_EXCLUSIVE);
	MyProc->statusFlags |= PROC_IS_AUTOVACUUM;
	ProcGlobal->statusFlags[MyProc->pgxactoff] = MyProc->statusFlags;
	LWLockRelease(ProcArrayLock);
}

/* Cease to be it: whoever finds that there is none asks for the next. */
static void
resign(void)
{
	LOCKTAG		tag = merger_lock();

	(void) LockRelease(&tag, ExclusiveLock, true);
}

/*
 * Look at all indexes, again and again, until there has been nothing to do for some rounds.  Then
 * resign, and look once more: who added to them meanwhile has seen a worker, and does not ask again.
 */
static void
work(Merger *m)
{
	MemoryContext cxt = AllocSetContextCreate(m->cxt, "vectorx merger round", ALLOCSET_DEFAULT_SIZES);

	for (int idle = 0;; nap())
	{
		const bool	last = idle == IDLE_ROUNDS;
		bool		busy;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		if (last)
			resign();
		pgstat_report_activity(STATE_RUNNING, "merging pending rows");
		busy = round_of(m, cxt);
		pgstat_report_activity(STATE_IDLE, NULL);
		if (last && (!busy || !become_merger()))
			break;
		idle = busy ? 0 : idle + 1;
	}
}

/* The worker; arg: its database. */
void
vectorx_merger_main(Datum arg)
{
	Merger		m = {0};

	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	/* sessions that write are there already, whether others may come or not */
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid, BGWORKER_BYPASS_ALLOWCONN);
	give_way();
	/* no function of a user's is called, and none is to be found by name */
	SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_read_only", "off", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("statement_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("lock_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	if (GetConfigOption("transaction_timeout", true, false))
		SetConfigOption("transaction_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	/* a snapshot for all of a transaction would keep VACUUM from what is dead meanwhile */
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);
	if (!become_merger())
		proc_exit(0);
	ereport(DEBUG1, (errmsg_internal("worker that merges pending rows begins")));
	m.cxt = AllocSetContextCreate(TopMemoryContext, "vectorx merger", ALLOCSET_DEFAULT_SIZES);
	work(&m);
	ereport(DEBUG1, (errmsg_internal("worker that merges pending rows has nothing to do and ends")));
	proc_exit(0);
}
