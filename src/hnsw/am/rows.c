/*
 * rows.c
 *		What an index scan sees of the table: the heap TIDs of a node, which of its
 *		rows are visible, their exact distances, and which nodes have none any more.
 *
 * Here rows are fetched from the table to be ranked (HnswFetchAny), and here the
 * hints of nodes without a living row are set (HnswMarkKilled); README, "Dead rows".
 * No lock and no pin is held on return.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "access/relscan.h"
#include "access/tableam.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "hnsw/am/scan.h"
#include "hnsw/graph/search.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/page/access.h"
#include "hnsw/page/overflow.h"
#include "hnsw/page/record.h"
#include "miscadmin.h"
#include "simd/vx_simd.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"

/* So many are marked at once, at most. */
#define MAX_KILLED	16384

/* ---- nodes without a row that anyone sees ---- */

static int
cmp_killed(const void *a, const void *b)
{
	BlockNumber x = ((const HnswKilled *) a)->blk;
	BlockNumber y = ((const HnswKilled *) b)->blk;

	return x < y ? -1 : x > y;
}

/*
 * Mark a page's killed nodes that are still what they were, and are not marked:
 * inserts add heap TIDs behind the others, and VACUUM counts when it takes any
 * out, so that none can have been exchanged.
 */
static void
mark_page(HnswScan *so, const HnswKilled *killed, int n)
{
	HnswPin		pin;
	bool		any = false;

	HnswAcquire(so->g, killed[0].blk, BUFFER_LOCK_SHARE, &pin);
	for (int i = 0; i < n; i++)
	{
		HnswRecord *rec = (HnswRecord *) HnswNodeAt(so->g, &pin, killed[i].slot);

		if (rec->state != HNSW_LIVE || rec->level != 0 ||
			rec->generation != killed[i].generation || rec->strips != killed[i].strips ||
			rec->ntids != killed[i].ntids || rec->overflow != InvalidBlockNumber ||
			HnswIsKilled(so->g->lay, pin.page, killed[i].slot))
			continue;
		HnswSetKilled(so->g->lay, pin.page, killed[i].slot, true);
		any = true;
	}
	if (any)
		MarkBufferDirtyHint(pin.buf, true);
	HnswRelease(so->g, &pin);
}

/*
 * Mark the nodes noted so far: sets their hints.  One page at a time is locked, in share
 * mode; nodes that have changed meanwhile are left as they are.
 */
void
HnswMarkKilled(HnswScan *so)
{
	int			n = so->nkilled_nodes;

	so->nkilled_nodes = 0;
	if (n == 0 || so->g->lay->off_hints == 0)
		return;
	qsort(so->killed, n, sizeof(HnswKilled), cmp_killed);
	for (int i = 0, next; i < n; i = next)
	{
		next = i + 1;
		while (next < n && so->killed[next].blk == so->killed[i].blk)
			next++;
		mark_page(so, &so->killed[i], next - i);
	}
}

/*
 * Note a node all of whose rows are dead to all, as it was when the search described
 * it.  May mark those noted before (HnswMarkKilled).
 */
void
HnswNoteKilled(HnswScan *so, const HnswFound *f)
{
	HnswKilled	   *k;

	if (f->blk == InvalidBlockNumber)
		return;					/* a row of the table (table.c) */
	if (so->nkilled_nodes == MAX_KILLED)
		HnswMarkKilled(so);
	if (so->nkilled_nodes == so->maxkilled)
	{
		so->maxkilled = so->maxkilled == 0 ? 64 : so->maxkilled * 2;
		so->killed = so->killed ? repalloc(so->killed, so->maxkilled * sizeof(HnswKilled)) :
			MemoryContextAlloc(so->cxt, so->maxkilled * sizeof(HnswKilled));
	}
	so->nkilled_all++;
	k = &so->killed[so->nkilled_nodes++];
	k->blk = f->blk;
	k->slot = f->slot;
	k->generation = f->generation;
	k->strips = f->strips;
	k->ntids = f->ntids;
}

/* ---- exact distances from the table ---- */

/* A slot for rows of the table, and what else reading them takes: made once. */
static TupleTableSlot *
fetch_slot(IndexScanDesc scan, HnswScan *so)
{
	MemoryContext old;

	if (so->slot)
		return so->slot;
	old = MemoryContextSwitchTo(GetMemoryChunkContext(so));
	so->slot = table_slot_create(scan->heapRelation, NULL);
	so->fetch = table_index_fetch_begin(scan->heapRelation);
	if (scan->indexRelation->rd_index->indkey.values[0] == 0)
	{
		so->info = BuildIndexInfo(scan->indexRelation);
		so->estate = CreateExecutorState();
	}
	MemoryContextSwitchTo(old);
	return so->slot;
}

/* An error (index_corrupted) when a node's heap TID is none the table can have. */
void
HnswCheckHeapTid(IndexScanDesc scan, HnswScan *so, const HnswFound *f, const ItemPointerData *tid)
{
	BlockNumber blk = ItemPointerGetBlockNumberNoCheck(tid);

	if (unlikely(blk >= so->heap_blocks))
		so->heap_blocks = RelationGetNumberOfBlocks(scan->heapRelation);
	if (unlikely(blk >= so->heap_blocks ||
				 ItemPointerGetOffsetNumberNoCheck(tid) == InvalidOffsetNumber))
		HnswCorrupted(so->g, f->blk, f->slot, "a heap TID leads to no row");
}

/*
 * The distance of a vector as the operator has it, in its order: infinity behind all
 * numbers, then NaN.  False: an index has no such vector.
 */
static bool
exact_distance(const HnswScan *so, HnswValue row, double *dist)
{
	double		exact = HnswExactDistance(&so->g->space, so->query, row);

	*dist = isnan(exact) ? INFINITY : Min(exact, DBL_MAX);
	return !isnan(exact) || !so->g->lay->metric->normalised;
}

/*
 * The distance (as HnswScanItem's) of a row of the table in a slot.  False: an index has no
 * such row.
 */
bool
HnswSlotDistance(IndexScanDesc scan, HnswScan *so, TupleTableSlot *slot, double *dist)
{
	Datum		values[INDEX_MAX_KEYS];
	bool		isnull[INDEX_MAX_KEYS];
	MemoryContext old;
	const HnswTypeOps *type = so->g->space.type;
	HnswValue	row;
	bool		known = false;

	(void) fetch_slot(scan, so);
	old = MemoryContextSwitchTo(so->cxt);
	so->stats.reranked++;
	if (so->info)
	{
		GetPerTupleExprContext(so->estate)->ecxt_scantuple = slot;
		FormIndexDatum(so->info, slot, so->estate, values, isnull);
	}
	else
		values[0] = slot_getattr(slot, scan->indexRelation->rd_index->indkey.values[0], &isnull[0]);
	if (!isnull[0])
	{
		row = type->get(values[0]);
		if (type->dim(row) == so->g->lay->column_dim)
			known = exact_distance(so, row, dist);
		HnswFreeValue(row, values[0]);
	}
	if (so->estate)
		ResetPerTupleExprContext(so->estate);
	MemoryContextSwitchTo(old);
	return known;
}

/*
 * Is a row visible, and if so at what distance (as HnswScanItem's) from the query?
 * dist may be NULL.  *all_dead: it is dead to all transactions.  The table's page
 * stays pinned until end_fetch.
 */
static bool
fetch_distance(IndexScanDesc scan, HnswScan *so, ItemPointer tid, double *dist, bool *all_dead)
{
	bool		call_again = false;
	bool		visible;
	ItemPointerData at = *tid;
	TupleTableSlot *slot = fetch_slot(scan, so);

	visible = table_index_fetch_tuple(so->fetch, &at, scan->xs_snapshot, slot, &call_again, all_dead);
	/* else it is a row that is not the node's any more */
	visible = visible && (dist == NULL || HnswSlotDistance(scan, so, slot, dist));
	ExecClearTuple(slot);
	return visible;
}

/* No pin is kept between calls. */
static void
end_fetch(HnswScan *so)
{
	if (so->fetch)
		table_index_fetch_reset(so->fetch);
}

/* ---- heap TIDs of a node ---- */

static void
add_tids(void *arg, const ItemPointerData *tids, int n)
{
	HnswScan   *so = (HnswScan *) arg;

	if (so->ntids + n > so->maxtids)
	{
		int64		max = Max(so->maxtids * 2, Max(so->ntids + n, 64));

		so->tids = so->tids ? repalloc_huge(so->tids, max * sizeof(ItemPointerData)) :
			MemoryContextAllocHuge(so->cxt, max * sizeof(ItemPointerData));
		so->maxtids = max;
	}
	memcpy(so->tids + so->ntids, tids, n * sizeof(ItemPointerData));
	so->ntids += n;
}

/* Add the TIDs of a node's overflow pages. */
static void
add_overflow_tids(HnswScan *so, const HnswFound *f)
{
	HnswPin		pin;
	const HnswRecord *rec;
	BlockNumber first = InvalidBlockNumber;

	HnswAcquire(so->g, f->blk, BUFFER_LOCK_SHARE, &pin);
	rec = (const HnswRecord *) HnswNodeAt(so->g, &pin, f->slot);
	/* if it has gone none of its rows was visible */
	if (rec->state == HNSW_LIVE && rec->level == 0 && rec->generation == f->generation)
		first = rec->overflow;
	HnswReadOverflow(so->g, &pin, f->slot, first, add_tids, so);
}

/*
 * All heap TIDs of a node into so->tids, ntids of them; next_tid begins anew.  Those of
 * the overflow pages are read now, the others are as the search found them.
 */
void
HnswLoadTids(HnswScan *so, const HnswFound *f)
{
	so->ntids = so->next_tid = so->nkilled = 0;
	add_tids(so, f->tids, f->ntids);
	if (f->overflow != InvalidBlockNumber)
		add_overflow_tids(so, f);
}

/*
 * Is one of a node's rows visible, and at what distance?  While no node is the
 * current one.  Rows of one node have the same vector: any of them tells the
 * distance (*dist, as HnswScanItem's; NULL: it is not wanted).  A node all of whose rows
 * are dead to all is noted.  Overwrites so->tids.
 */
bool
HnswFetchAny(IndexScanDesc scan, HnswScan *so, const HnswFound *f, double *dist)
{
	bool		killed = f->overflow == InvalidBlockNumber && f->ntids > 0 &&
		scan->ignore_killed_tuples;
	bool		found = false;

	HnswLoadTids(so, f);
	for (int64 i = 0; i < so->ntids && !found; i++)
	{
		bool		all_dead = false;

		CHECK_FOR_INTERRUPTS();
		HnswCheckHeapTid(scan, so, f, &so->tids[i]);
		found = fetch_distance(scan, so, &so->tids[i], dist, &all_dead);
		killed = killed && all_dead;
	}
	end_fetch(so);
	if (killed && !found)
		HnswNoteKilled(so, f);
	return found;
}

/*
 * The next of a node's TIDs, which HnswLoadTids has read, whose row is visible, as a node of
 * its own with its own distance (*dist, as HnswScanItem's).  False when there are no more.
 */
bool
HnswNextRow(IndexScanDesc scan, HnswScan *so, const HnswFound *f, HnswFound *row, double *dist)
{
	while (so->next_tid < so->ntids)
	{
		ItemPointer tid = &so->tids[so->next_tid++];
		bool		all_dead = false;

		CHECK_FOR_INTERRUPTS();
		HnswCheckHeapTid(scan, so, f, tid);
		if (!fetch_distance(scan, so, tid, dist, &all_dead))
			continue;
		*row = *f;
		row->tids[0] = *tid;
		row->ntids = 1;
		row->overflow = InvalidBlockNumber;
		return true;
	}
	end_fetch(so);
	return false;
}

/*
 * The exact distance of a node, in index units, if one of its rows is visible: an
 * HnswSweepRank for queries whose nodes' stored vectors tell too little.
 */
bool
HnswRankNode(void *arg, const HnswFound *found, double *dist)
{
	IndexScanDesc scan = arg;
	HnswScan   *so = scan->opaque;

	CHECK_FOR_INTERRUPTS();
	if (!HnswFetchAny(scan, so, found, dist))
		return false;
	*dist /= so->search->query.unit;
	return true;
}

/* Where pages come from disk: have those of the first rows of the next n items read meanwhile. */
void
HnswReadAheadRows(IndexScanDesc scan, HnswScan *so, int n)
{
	if (so->expected > 0)
		n = (int) Min(n, so->expected - so->npassed);
	for (int i = 0; i < Min(n, so->nitems); i++)
	{
		HnswScanItem *item = &so->items[i];
		const HnswFound *f = &so->found[item->idx];

		if (item->ahead || f->ntids == 0)
			continue;
		item->ahead = true;
		HnswCheckHeapTid(scan, so, f, &f->tids[0]);
		(void) PrefetchBuffer(scan->heapRelation, MAIN_FORKNUM, ItemPointerGetBlockNumberNoCheck(&f->tids[0]));
	}
}

/* One heap TID of a batch of nodes. */
typedef struct RankTid
{
	ItemPointerData tid;
	int			at;				/* the node's place in the batch */
} RankTid;

static int
cmp_batch_tid(const void *a, const void *b)
{
	return ItemPointerCompare((ItemPointer) &((const RankTid *) a)->tid,
							  (ItemPointer) &((const RankTid *) b)->tid);
}

/*
 * Leave nodes out whose rows are dead to all, and note them: an HnswSweepFilter for
 * a table most of whose rows are.  Rows are looked at in the order of the table,
 * each of whose pages is read once for the batch then.
 */
int
HnswDropKilled(void *arg, HnswFound *found, int n)
{
	IndexScanDesc scan = arg;
	HnswScan   *so = scan->opaque;
	RankTid   *tids = palloc_extended((Size) Max(n, 1) * HNSW_MAX_TIDS * sizeof(RankTid),
									   MCXT_ALLOC_HUGE);
	bool	   *seen = palloc0(Max(n, 1));	/* some row is not known to be dead */
	int			ntids = 0;
	int			nkept = 0;

	for (int i = 0; i < n; i++)
	{
		seen[i] = found[i].overflow != InvalidBlockNumber;
		if (found[i].killed)
			continue;
		for (int j = 0; j < found[i].ntids && !seen[i]; j++)
		{
			HnswCheckHeapTid(scan, so, &found[i], &found[i].tids[j]);
			tids[ntids].tid = found[i].tids[j];
			tids[ntids++].at = i;
		}
	}
	qsort(tids, ntids, sizeof(RankTid), cmp_batch_tid);
	for (int i = 0; i < ntids; i++)
	{
		bool		all_dead = false;

		CHECK_FOR_INTERRUPTS();
		if (!seen[tids[i].at] &&
			(fetch_distance(scan, so, &tids[i].tid, NULL, &all_dead) || !all_dead))
			seen[tids[i].at] = true;
	}
	end_fetch(so);
	for (int i = 0; i < n; i++)
	{
		if (seen[i])
			found[nkept++] = found[i];
		else if (!found[i].killed)
			HnswNoteKilled(so, &found[i]);
	}
	pfree(tids);
	pfree(seen);
	return nkept;
}

/* How many of the nodes that were returned since the last search have a row that the snapshot sees? */
int
HnswCountVisible(IndexScanDesc scan, HnswScan *so)
{
	int			n = 0;

	for (int i = 0; i < so->nemitted; i++)
	{
		CHECK_FOR_INTERRUPTS();
		n += HnswFetchAny(scan, so, &so->emitted[i], NULL);
	}
	return n;
}

/*
 * Before the search goes on: how far is the last row that was returned?  What is found
 * from now on and nearer is late.  With hnsw.iterative_scan off, also: which of the nodes
 * returned since the last time had a visible row?
 */
void
HnswLookBack(IndexScanDesc scan, HnswScan *so)
{
	const bool	count = so->settings.iterative_scan == HNSW_ITERATIVE_OFF;
	bool		any = so->settings.iterative_scan == HNSW_ITERATIVE_RELAXED;

	/* the last row was the farthest */
	for (int i = so->nemitted - 1; i >= 0 && (count || !any); i--)
	{
		double		dist = so->emitted[i].dist;

		CHECK_FOR_INTERRUPTS();
		if (!HnswFetchAny(scan, so, &so->emitted[i], so->exact && !any ? &dist : NULL))
			continue;
		if (!any)
			so->farthest = Max(so->farthest, dist);
		any = true;
		so->nvisible++;
	}
	so->nemitted = 0;
	so->went_on = true;
}
