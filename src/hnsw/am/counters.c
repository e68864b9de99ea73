/*
 * counters.c
 *		What index scans of all sessions have done: the view pg_stat_hnsw_indexes, and
 *		hnsw_stats_reset.
 *
 * A session counts in its own memory, an entry for each index, and tells the others,
 * that is adds to the shared entry, before its transaction commits, when it ends, and
 * in a long transaction once a second at the end of a search.  README, "Counters".
 */
#include "postgres.h"

#include "access/amapi.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "compat.h"
#include "fmgr.h"
#include "funcapi.h"
#include "hnsw/am/am.h"
#include "hnsw/am/scan.h"
#include "miscadmin.h"
#include "names.h"
#include "shared/shared.h"
#include "storage/ipc.h"
#include "utils/hsearch.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(vectorx_hnsw_index_stats);
PG_FUNCTION_INFO_V1(vectorx_hnsw_stats_reset);

/* What is counted, in the order of hnsw_index_stats(). */
typedef enum Counter
{
	COUNT_SCANS,
	COUNT_SEARCHES,
	COUNT_RESUMES,
	COUNT_SWEEPS,
	COUNT_VISITED,
	COUNT_SCORED,
	COUNT_RERANKED,
	COUNT_RETURNED,
	COUNT_SHED,
	COUNTERS					/* so many */
} Counter;

/* What this session has counted for an index, and not told the others yet. */
typedef struct HnswPending
{
	Oid			index;			/* the key */
	int			nscans;			/* under way, which hold on to this */
	int64		n[COUNTERS];
} HnswPending;

/* Shared, of an index of a database. */
typedef struct CounterKey
{
	Oid			database;
	Oid			index;
} CounterKey;

/* Adding needs the entry's lock in share mode, setting to zero in exclusive mode. */
typedef struct CounterEntry
{
	CounterKey	key;
	TimestampTz since;			/* made, or set to zero */
	pg_atomic_uint64 n[COUNTERS];
} CounterEntry;

/* A copy of one. */
typedef struct Counted
{
	CounterKey	key;
	TimestampTz since;
	int64		n[COUNTERS];
} Counted;

/*
 * No more entries: some 10 MB.  Temporary indexes come and go, and if nobody looks at the
 * view, which removes what has gone, something has to.
 */
#define MAX_ENTRIES	65536

/* A session in a long transaction tells the others so often, and removes so often, at most. */
#define TELL_MS		1000
#define PRUNE_MS	60000

static HTAB *pending_of = NULL;	/* HnswPending by index */
static TimestampTz told_at = 0;
static TimestampTz pruned_at = 0;
static const VxSharedTable *table = NULL;	/* when it is attached */

static bool
attach(void)
{
	if (table == NULL)
		table = VxSharedTableAttach(VX_SHARED_COUNTERS, sizeof(CounterKey), sizeof(CounterEntry));
	return table != NULL;
}

/* ---- telling the others ---- */

/* An index's shared entry, locked, which is made if there is room for it; else NULL. */
static CounterEntry *
find_entry(Oid index, bool exclusive)
{
	CounterKey	key = {.database = MyDatabaseId, .index = index};
	CounterEntry *entry = dshash_find(table->hash, &key, exclusive);
	bool		found;

	if (entry != NULL || pg_atomic_read_u32(table->nentries) >= MAX_ENTRIES)
		return entry;
	entry = dshash_find_or_insert(table->hash, &key, &found);
	if (!found)
	{
		entry->since = GetCurrentTimestamp();
		for (int i = 0; i < COUNTERS; i++)
			pg_atomic_init_u64(&entry->n[i], 0);
		pg_atomic_fetch_add_u32(table->nentries, 1);
	}
	return entry;
}

/* A VxSharedTry: add what is pending of an index to its shared entry. */
static void
add_pending(void *arg)
{
	HnswPending *pending = (HnswPending *) arg;
	CounterEntry *entry = find_entry(pending->index, false);

	if (entry == NULL)
		return;
	for (int i = 0; i < COUNTERS; i++)
		if (pending->n[i] != 0)
			pg_atomic_fetch_add_u64(&entry->n[i], pending->n[i]);
	dshash_release_lock(table->hash, entry);
}

/*
 * Tell the others: add what is pending to the shared entries.  What cannot be added is
 * forgotten.  To be called with no LWLock held.
 */
static void
tell(void)
{
	HASH_SEQ_STATUS seq;
	HnswPending *p;
	bool		telling;

	if (pending_of == NULL || hash_get_num_entries(pending_of) == 0)
		return;
	told_at = GetCurrentTimestamp();
	telling = attach();
	hash_seq_init(&seq, pending_of);
	while ((p = hash_seq_search(&seq)) != NULL)
	{
		if (telling && p->n[COUNT_SEARCHES] + p->n[COUNT_SCANS] > 0)
			telling = VxSharedTry(add_pending, p);
		memset(p->n, 0, sizeof(p->n));
		if (p->nscans == 0)
			hash_search(pending_of, &p->index, HASH_REMOVE, NULL);
	}
}

/*
 * Before a transaction ends well, since an error after that would be worse than one.  What
 * one that fails has counted is told by the next, or at the session's end.
 */
static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PARALLEL_PRE_COMMIT ||
		event == XACT_EVENT_PRE_PREPARE)
		tell();
}

static void
at_session_end(int code, Datum arg)
{
	tell();
}

/* ---- entries of what has gone ---- */

/* Copies of all shared entries, n of them. */
static Counted *
copy_entries(int *n)
{
	dshash_seq_status seq;
	const CounterEntry *entry;
	int			max = pg_atomic_read_u32(table->nentries) + 64;
	Counted    *all = palloc(max * sizeof(Counted));

	*n = 0;
	dshash_seq_init(&seq, table->hash, false);
	while ((entry = dshash_seq_next(&seq)) != NULL)
	{
		Counted    *copy;

		if (*n == max)
		{
			max *= 2;
			all = repalloc(all, max * sizeof(Counted));
		}
		copy = &all[(*n)++];
		copy->key = entry->key;
		copy->since = entry->since;
		for (int i = 0; i < COUNTERS; i++)
			copy->n[i] = (int64) pg_atomic_read_u64(unconstify(pg_atomic_uint64 *, &entry->n[i]));
	}
	dshash_seq_term(&seq);
	return all;
}

/* Is there still what an entry counts for? */
static bool
exists(const CounterKey *key)
{
	if (key->database == MyDatabaseId)
		return SearchSysCacheExists1(RELOID, ObjectIdGetDatum(key->index));
	return SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(key->database));
}

/*
 * Leave out, and remove from the table, those of all entries whose index, or whose database, has
 * gone; returns how many are left.
 */
static int
prune(Counted *all, int n)
{
	int			nkept = 0;

	for (int i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (exists(&all[i].key))
			all[nkept++] = all[i];
		else if (dshash_delete_key(table->hash, &all[i].key))
			pg_atomic_fetch_sub_u32(table->nentries, 1);
	}
	return nkept;
}

/*
 * The table is full: remove entries of what has gone, if that has not just been done.
 * Reads catalogs.
 */
static void
make_room(void)
{
	TimestampTz now = GetCurrentTimestamp();
	Counted    *all;
	int			n;

	if (!TimestampDifferenceExceeds(pruned_at, now, PRUNE_MS))
		return;
	pruned_at = now;
	all = copy_entries(&n);
	(void) prune(all, n);
	pfree(all);
}

/* ---- counting ---- */

static void
init_pending(void)
{
	HASHCTL		ctl;

	memset(&ctl, 0, sizeof(ctl));
	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(HnswPending);
	RegisterXactCallback(at_transaction_end, NULL);
	before_shmem_exit(at_session_end, (Datum) 0);
	pending_of = hash_create("hnsw counters", 16, &ctl, HASH_ELEM | HASH_BLOBS);
}

/* A scan begins: it has where to count until HnswCountersClose. */
void
HnswCountersOpen(HnswScan *so)
{
	bool		found;

	if (pending_of == NULL)
		init_pending();
	if (table != NULL && pg_atomic_read_u32(table->nentries) >= MAX_ENTRIES)
		make_room();
	so->pending = hash_search(pending_of, &so->stats.index, HASH_ENTER, &found);
	if (!found)
	{
		so->pending->nscans = 0;
		memset(so->pending->n, 0, sizeof(so->pending->n));
	}
	so->pending->nscans++;
}

/* Count what a scan has done since it was counted last. */
static void
count(HnswScan *so)
{
	const HnswScanStats *now = &so->stats;
	const HnswScanStats *then = &so->counted;
	int64	   *n = so->pending->n;

	n[COUNT_SEARCHES] += now->searches - then->searches;
	n[COUNT_RESUMES] += now->resumes - then->resumes;
	n[COUNT_SWEEPS] += now->sweeps - then->sweeps;
	n[COUNT_VISITED] += now->visited - then->visited;
	n[COUNT_SCORED] += now->scored - then->scored;
	n[COUNT_RERANKED] += now->reranked - then->reranked;
	n[COUNT_RETURNED] += now->returned - then->returned;
	n[COUNT_SHED] += now->shed - then->shed;
	so->counted = *now;
}

/* A scan begins anew. */
void
HnswCountersAdd(HnswScan *so)
{
	if (so->stats.searches == so->counted.searches)
		return;
	count(so);
	if (TimestampDifferenceExceeds(told_at, GetCurrentTimestamp(), TELL_MS))
		tell();
}

/* A scan ends, maybe by an error: allocates nothing, takes no lock. */
void
HnswCountersClose(HnswScan *so)
{
	if (so->pending == NULL)
		return;
	count(so);
	if (so->stats.searches > 0)
		so->pending->n[COUNT_SCANS]++;
	so->pending->nscans--;
	so->pending = NULL;
}

/* ---- SQL ---- */

/* An error when there is no shared memory to be had, for who asks for it. */
static void
attach_or_error(void)
{
	tell();
	if (!attach())
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("no shared memory for the counters of hnsw indexes"),
				 errdetail("It could not be allocated, now or less than a minute ago.")));
}

/*
 * hnsw_index_stats(): a row for each index of the database that has been scanned: its OID,
 * the counters, and since when they count.  Entries of what has gone are removed.
 */
Datum
vectorx_hnsw_index_stats(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *out = (ReturnSetInfo *) fcinfo->resultinfo;
	Counted    *all;
	int			n;

	attach_or_error();
	InitMaterializedSRF(fcinfo, 0);
	all = copy_entries(&n);
	n = prune(all, n);
	for (int i = 0; i < n; i++)
	{
		Datum		values[COUNTERS + 2];
		bool		nulls[COUNTERS + 2] = {false};

		if (all[i].key.database != MyDatabaseId)
			continue;
		values[0] = ObjectIdGetDatum(all[i].key.index);
		for (int j = 0; j < COUNTERS; j++)
			values[1 + j] = Int64GetDatum(all[i].n[j]);
		values[1 + COUNTERS] = TimestampTzGetDatum(all[i].since);
		tuplestore_putvalues(out->setResult, out->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* Set an index's counters to zero. */
static void
reset(Oid index)
{
	CounterEntry *entry = find_entry(index, true);

	if (entry == NULL)
		return;
	entry->since = GetCurrentTimestamp();
	for (int i = 0; i < COUNTERS; i++)
		pg_atomic_write_u64(&entry->n[i], 0);
	dshash_release_lock(table->hash, entry);
}

/* An error unless it is an index of ours. */
static void
check_index(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("there is no relation with OID %u", relid)));
	form = (Form_pg_class) GETSTRUCT(tuple);
	if (form->relkind != RELKIND_INDEX ||
		!HnswIsAm(GetIndexAmRoutineByAmId(form->relam, false)))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not " VX_AN_INDEX, NameStr(form->relname))));
	ReleaseSysCache(tuple);
}

/*
 * hnsw_stats_reset(index regclass DEFAULT NULL): sets the counters of an index, or of all of the
 * database, to zero.  Who may is a matter of the function's privileges.
 */
Datum
vectorx_hnsw_stats_reset(PG_FUNCTION_ARGS)
{
	Counted    *all;
	int			n;

	if (!PG_ARGISNULL(0))
		check_index(PG_GETARG_OID(0));
	attach_or_error();
	if (!PG_ARGISNULL(0))
	{
		reset(PG_GETARG_OID(0));
		PG_RETURN_VOID();
	}
	all = copy_entries(&n);
	n = prune(all, n);
	for (int i = 0; i < n; i++)
		if (all[i].key.database == MyDatabaseId)
			reset(all[i].key.index);
	PG_RETURN_VOID();
}
