/*
 * counters.c
 *		What all sessions have done with indexes, scans, inserts and merges: the view
 *		pg_stat_vectorx_indexes, and hnsw_stats_reset.
 *
 * A session counts in its own memory, an entry for each index, and tells the others,
 * that is adds to the shared entry, before its transaction commits, when it ends, and
 * in a long transaction once a second at the end of a search, or of some inserts.  README, "Counters".
 */
#include "postgres.h"

#include "access/amapi.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "compat.h"
#include "fmgr.h"
#include "funcapi.h"
#include "hnsw/am/am.h"
#include "hnsw/am/counters.h"
#include "hnsw/am/scan.h"
#include "miscadmin.h"
#include "names.h"
#include "shared/shared.h"
#include "storage/ipc.h"
#include "utils/acl.h"
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
	COUNT_INSERTS,
	COUNT_PENDING_INSERTS,
	COUNT_MERGES,
	COUNT_MERGED_ROWS,
	COUNT_CACHE_HITS,
	COUNT_CACHE_MISSES,
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
/* It looks for whether it is time after so many inserts. */
#define INSERTS_A_LOOK	256

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

/* Is there anything that the others have not been told? */
static bool
is_untold(const HnswPending *p)
{
	for (int i = 0; i < COUNTERS; i++)
		if (p->n[i] != 0)
			return true;
	return false;
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
		if (telling && is_untold(p))
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

/* What this session has counted for an index; it stays where it is while a scan holds on to it, or until tell(). */
static HnswPending *
find_pending(Oid index)
{
	HnswPending *p;
	bool		found;

	if (pending_of == NULL)
		init_pending();
	if (table != NULL && pg_atomic_read_u32(table->nentries) >= MAX_ENTRIES)
		make_room();
	p = hash_search(pending_of, &index, HASH_ENTER, &found);
	if (!found)
	{
		p->nscans = 0;
		memset(p->n, 0, sizeof(p->n));
	}
	return p;
}

/* A scan begins: it has where to count until HnswCountersClose. */
void
HnswCountersOpen(HnswScan *so)
{
	so->pending = find_pending(so->stats.index);
	so->pending->nscans++;
}

/* Tell the others, if they have not been told for a second. */
static void
tell_in_time(void)
{
	if (TimestampDifferenceExceeds(told_at, GetCurrentTimestamp(), TELL_MS))
		tell();
}

/* A row has been inserted into an index, and is pending, or not.  To be called with no LWLock held. */
void
HnswCountersInsert(Oid index, bool pending)
{
	static uint32 ninserts = 0;
	HnswPending *p = find_pending(index);

	p->n[COUNT_INSERTS]++;
	p->n[COUNT_PENDING_INSERTS] += pending;
	if (++ninserts % INSERTS_A_LOOK == 0)
		tell_in_time();
}

/* So many pending nodes of an index have been merged: rows of one count once. */
void
HnswCountersMerge(Oid index, int64 nnodes)
{
	HnswPending *p = find_pending(index);

	p->n[COUNT_MERGES]++;
	p->n[COUNT_MERGED_ROWS] += nnodes;
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
	n[COUNT_CACHE_HITS] += now->cache_hits - then->cache_hits;
	n[COUNT_CACHE_MISSES] += now->cache_misses - then->cache_misses;
	so->counted = *now;
}

/* A scan is no use of the index, but a measurement: it is not counted, not by the server either. */
void
HnswCountersLeave(HnswScan *so)
{
	so->pending->nscans--;
	so->pending = NULL;
}

/* A scan begins anew. */
void
HnswCountersAdd(HnswScan *so)
{
	if (so->pending == NULL || so->stats.searches == so->counted.searches)
		return;
	count(so);
	tell_in_time();
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

/* A row of hnsw_index_stats(); all NULL but the OID where there are no counters. */
static void
put_stats(ReturnSetInfo *out, Oid index, const Counted *counted)
{
	Datum		values[COUNTERS + 2];
	bool		nulls[COUNTERS + 2];

	memset(nulls, counted == NULL, sizeof(nulls));
	values[0] = ObjectIdGetDatum(index);
	nulls[0] = false;
	for (int i = 0; counted && i < COUNTERS; i++)
		values[1 + i] = Int64GetDatum(counted->n[i]);
	if (counted)
		values[1 + COUNTERS] = TimestampTzGetDatum(counted->since);
	/* they tell whether others have asked the same: as the view vectorx_cache they are not for all */
	if (!has_privs_of_role(GetUserId(), ROLE_PG_MONITOR))
		nulls[1 + COUNT_CACHE_HITS] = nulls[1 + COUNT_CACHE_MISSES] = true;
	tuplestore_putvalues(out->setResult, out->setDesc, values, nulls);
}

/*
 * hnsw_index_stats(): a row for each index of the database that anything has been done with: its OID,
 * the counters, and since when they count.  Entries of what has gone are removed.  Where there is no
 * shared memory to be had, now or a moment ago, one row of OID 0, and NULLs.
 */
Datum
vectorx_hnsw_index_stats(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *out = (ReturnSetInfo *) fcinfo->resultinfo;
	Counted    *all;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	tell();
	if (!attach())
	{
		put_stats(out, InvalidOid, NULL);
		return (Datum) 0;
	}
	all = copy_entries(&n);
	n = prune(all, n);
	for (int i = 0; i < n; i++)
		if (all[i].key.database == MyDatabaseId)
			put_stats(out, all[i].key.index, &all[i]);
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
	tell();
	/* else there is nothing to set to zero */
	if (!attach())
		PG_RETURN_VOID();
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
