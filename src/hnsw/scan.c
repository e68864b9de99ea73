/*
 * scan.c
 *		Index scans: ORDER BY distance LIMIT n.
 *
 * One search finds ef_search nodes with distances computed from their own
 * vectors as the index stores them.  Rows come out in the order of their true
 * distances: where the intervals of two rows overlap (HnswDistanceSlack), the
 * rows' vectors are fetched from the table, lazily, as far as rows are asked
 * for.  Where quantisation could account for all the differences of what the search
 * found, it goes on until what it has not found is likely to be farther than the row
 * that is to be returned.  Nodes whose rows are all invisible do not count: when the scan runs
 * out and some were, the search goes on for as many more.  Nodes nearer than a
 * row that was returned, which only the search for more finds, come too late and
 * are left out.
 *
 * When a search has no candidates left, or going on has cost as much as reading
 * the index, all nodes not returned yet come from a sweep (sweep.c).
 *
 * A scan holds no lock and no pin between calls: it copies the heap TIDs of a node
 * when the node's turn comes.  Those it holds may be reclaimed by VACUUM and
 * given to other rows meanwhile; an MVCC snapshot does not see such rows, and
 * other snapshots are refused.
 *
 * Nodes all of whose rows turn out to be dead to all transactions are marked, so
 * that later scans do not look at the rows again (HnswIsKilled).  A scan on a
 * standby ignores these hints, and finds the same in the same order.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "access/relscan.h"
#include "access/tableam.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "hnsw/hnsw.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

typedef struct ScanItem
{
	/* of the operator's distance, for L2 its square, for cosine twice it */
	double		key;			/* lower bound of the distance, or the distance */
	double		high;			/* upper bound; the distance itself when exact */
	int32		idx;			/* in found[] */
} ScanItem;

/* A node without a row that anyone sees, as it was. */
typedef struct Killed
{
	BlockNumber blk;
	uint16		slot;
	uint16		generation;
	uint8		strips;
	uint8		ntids;
} Killed;

/* So many are marked at once, at most. */
#define MAX_KILLED	16384

typedef struct HnswScan
{
	HnswGraph  *g;
	HnswSearch *search;			/* NULL until there is one */
	MemoryContext cxt;			/* reset by each rescan */
	bool		started;
	Vector	   *query;			/* as given */
	bool		exact;			/* rank by true distances (not for a NULL query) */

	int			ef;
	HnswFound  *found;			/* pool of the items */
	ScanItem   *items;			/* binary heap, least key first; behind it, indexes not in use */
	int			nitems;
	int			maxitems;
	HnswSweep  *sweep;			/* NULL until the search is left */
	HnswFound	ahead;			/* the sweep's next node, no item yet */
	bool		have_ahead;

	bool		coarse;			/* stored vectors do not tell which nodes are the nearest */
	double		reach;			/* then: nodes not found are likely to be farther */
	int64		nfound;			/* nodes that searches have found */

	double		farthest;		/* true distance of the last row before the last search */
	HnswFound  *emitted;		/* nodes returned that may have a visible row */
	int			nemitted;
	int			maxemitted;
	int			nvisible;		/* nodes that had one, of those before them */
	int64		npassed;		/* all nodes that have been items */

	/* the node whose TIDs are being returned */
	HnswFound	cur;
	bool		have_cur;
	ItemPointerData *tids;		/* all of them, from the overflow pages, too */
	int64		ntids;
	int64		maxtids;
	int64		next_tid;
	int64		nkilled;		/* of those returned, so many were dead to all */
	Killed	   *killed;			/* nodes to mark */
	int			nkilled_nodes;
	int			maxkilled;
	int64		nkilled_all;	/* also those that have been marked */
	BlockNumber heap_blocks;	/* blocks the table is known to have */

	/* for fetching exact vectors */
	IndexFetchTableData *fetch;
	TupleTableSlot *slot;
	EState	   *estate;
	IndexInfo  *info;
} HnswScan;

/* Memory of a scan that has ended is kept for the next one, if it is not much. */
#define KEPT_SEARCH_BYTES	((Size) 256 * 1024)

/* Return the search's memory to the handle; after an error it is let go. */
static void
release_search(HnswScan *so, bool error)
{
	HnswSearch *s = so->search;

	so->search = NULL;
	if (s == NULL)
		return;
	if (!error && so->g->idle == NULL &&
		MemoryContextMemAllocated(s->cxt, true) <= KEPT_SEARCH_BYTES)
		so->g->idle = s;
	else
		MemoryContextDelete(s->cxt);
}

static void
close_graph(void *arg)
{
	HnswScan  *so = (HnswScan *) arg;

	if (so->g == NULL)
		return;
	release_search(so, true);
	HnswClose(so->g);
	so->g = NULL;
}

/* ambeginscan */
IndexScanDesc
hnswbeginscan(Relation index, int nkeys, int norderbys)
{
	IndexScanDesc scan = RelationGetIndexScan(index, nkeys, norderbys);
	HnswScan  *so = palloc0(sizeof(HnswScan));
	MemoryContextCallback *cb = palloc0(sizeof(MemoryContextCallback));

	so->cxt = AllocSetContextCreate(CurrentMemoryContext, "hnsw scan",
									ALLOCSET_DEFAULT_SIZES);
	cb->func = close_graph;
	cb->arg = so;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, cb);
	so->g = HnswOpen(index);
	scan->opaque = so;
	return scan;
}

/* ---- nodes without a row that anyone sees ---- */

static int
cmp_killed(const void *a, const void *b)
{
	BlockNumber x = ((const Killed *) a)->blk;
	BlockNumber y = ((const Killed *) b)->blk;

	return x < y ? -1 : x > y;
}

/*
 * Mark a page's killed nodes that are still what they were: inserts add heap TIDs
 * behind the others, and VACUUM counts when it takes any out, so that none can
 * have been exchanged.
 */
static void
mark_page(HnswScan *so, const Killed *killed, int n)
{
	HnswPin		pin;
	bool		any = false;

	HnswAcquire(so->g, killed[0].blk, BUFFER_LOCK_SHARE, &pin);
	for (int i = 0; i < n; i++)
	{
		HnswRecord *rec = (HnswRecord *) HnswNodeAt(so->g, &pin, killed[i].slot);

		if (rec->state != HNSW_LIVE || rec->level != 0 ||
			rec->generation != killed[i].generation || rec->strips != killed[i].strips ||
			rec->ntids != killed[i].ntids || rec->overflow != InvalidBlockNumber)
			continue;
		HnswSetKilled(&so->g->lay, pin.page, killed[i].slot, true);
		any = true;
	}
	if (any)
		MarkBufferDirtyHint(pin.buf, true);
	HnswRelease(so->g, &pin);
}

/* Mark the nodes noted so far. */
static void
mark_killed(HnswScan *so)
{
	int			n = so->nkilled_nodes;

	so->nkilled_nodes = 0;
	if (n == 0)
		return;
	qsort(so->killed, n, sizeof(Killed), cmp_killed);
	for (int i = 0, next; i < n; i = next)
	{
		next = i + 1;
		while (next < n && so->killed[next].blk == so->killed[i].blk)
			next++;
		mark_page(so, &so->killed[i], next - i);
	}
}

static void
note_killed(HnswScan *so, const HnswFound *f)
{
	Killed	   *k;

	if (so->nkilled_nodes == MAX_KILLED)
		mark_killed(so);
	if (so->nkilled_nodes == so->maxkilled)
	{
		so->maxkilled = so->maxkilled == 0 ? 64 : so->maxkilled * 2;
		so->killed = so->killed ? repalloc(so->killed, so->maxkilled * sizeof(Killed)) :
			MemoryContextAlloc(so->cxt, so->maxkilled * sizeof(Killed));
	}
	so->nkilled_all++;
	k = &so->killed[so->nkilled_nodes++];
	k->blk = f->blk;
	k->slot = f->slot;
	k->generation = f->generation;
	k->strips = f->strips;
	k->ntids = f->ntids;
}

/* ---- beginning anew ---- */

static void
end_search(HnswScan *so)
{
	mark_killed(so);
	if (so->sweep)
		HnswSweepEnd(so->sweep);
	so->sweep = NULL;
	release_search(so, false);
}

/* amrescan */
void
hnswrescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys)
{
	HnswScan  *so = (HnswScan *) scan->opaque;

	so->g->rel = scan->indexRelation;
	end_search(so);
	MemoryContextReset(so->cxt);
	so->started = false;
	so->query = NULL;
	so->found = NULL;
	so->items = NULL;
	so->nitems = so->maxitems = 0;
	so->have_ahead = false;
	so->coarse = false;
	so->nfound = 0;
	so->farthest = -INFINITY;
	so->emitted = NULL;
	so->nemitted = so->maxemitted = 0;
	so->nvisible = 0;
	so->npassed = 0;
	so->have_cur = false;
	so->tids = NULL;
	so->ntids = so->maxtids = 0;
	so->killed = NULL;
	so->nkilled_nodes = so->maxkilled = 0;
	so->nkilled_all = 0;
	if (keys && scan->numberOfKeys > 0)
		memmove(scan->keyData, keys, scan->numberOfKeys * sizeof(ScanKeyData));
	if (orderbys && scan->numberOfOrderBys > 0)
		memmove(scan->orderByData, orderbys, scan->numberOfOrderBys * sizeof(ScanKeyData));
}

/* ---- exact distances from the table ---- */

static void
init_fetch(IndexScanDesc scan, HnswScan *so)
{
	MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(so));

	so->slot = table_slot_create(scan->heapRelation, NULL);
	so->fetch = table_index_fetch_begin(scan->heapRelation);
	if (scan->indexRelation->rd_index->indkey.values[0] == 0)
	{
		so->info = BuildIndexInfo(scan->indexRelation);
		so->estate = CreateExecutorState();
		GetPerTupleExprContext(so->estate)->ecxt_scantuple = so->slot;
	}
	MemoryContextSwitchTo(old);
}

/* An error when a node's heap TID is none the table can have. */
static void
check_heap_tid(IndexScanDesc scan, HnswScan *so, const HnswFound *f, const ItemPointerData *tid)
{
	BlockNumber blk = ItemPointerGetBlockNumberNoCheck(tid);

	if (unlikely(blk >= so->heap_blocks))
		so->heap_blocks = RelationGetNumberOfBlocks(scan->heapRelation);
	if (unlikely(blk >= so->heap_blocks ||
				 ItemPointerGetOffsetNumberNoCheck(tid) == InvalidOffsetNumber))
		HnswCorrupted(so->g, f->blk, f->slot, "a heap TID leads to no row");
}

/*
 * The distance of a row's vector as the operator has it, in its order: infinity
 * behind all numbers, then NaN.
 */
static double
exact_distance(const HnswScan *so, const Vector *v)
{
	const Vector *q = so->query;
	double		dist;

	switch (so->g->lay.metric)
	{
		case HNSW_L2:
			dist = vx_simd->l2sq(q->x, v->x, v->dim);
			break;
		case HNSW_IP:
			dist = -vx_simd->dot(q->x, v->x, v->dim);
			break;
		case HNSW_L1:
			dist = vx_simd->l1(q->x, v->x, v->dim);
			break;
		default:
			dist = 2 * VectorCosineDistance(q, v);
			break;
	}
	if (isnan(dist))
		return INFINITY;
	return Min(dist, DBL_MAX);
}

/*
 * Is a row visible, and if so at what distance (as ScanItem's) from the query?
 * dist may be NULL.  *all_dead: it is dead to all transactions.  The table's page
 * stays pinned until end_fetch.
 */
static bool
fetch_distance(IndexScanDesc scan, HnswScan *so, ItemPointer tid, double *dist, bool *all_dead)
{
	bool		call_again = false;
	bool		visible;
	ItemPointerData at = *tid;

	if (so->slot == NULL)
		init_fetch(scan, so);
	visible = table_index_fetch_tuple(so->fetch, &at, scan->xs_snapshot, so->slot,
									  &call_again, all_dead);
	if (visible && dist)
	{
		Datum		values[INDEX_MAX_KEYS];
		bool		isnull[INDEX_MAX_KEYS];
		MemoryContext old = MemoryContextSwitchTo(so->cxt);
		Vector	   *v;

		if (so->info)
		{
			FormIndexDatum(so->info, so->slot, so->estate, values, isnull);
		}
		else
			values[0] = slot_getattr(so->slot,
									 scan->indexRelation->rd_index->indkey.values[0],
									 &isnull[0]);
		if (isnull[0])
			visible = false;	/* a row that is not the node's any more */
		else
		{
			v = DatumGetVector(values[0]);
			if (v->dim != so->query->dim)
				visible = false;
			else
				*dist = exact_distance(so, v);
			if ((Pointer) v != DatumGetPointer(values[0]))
				pfree(v);
		}
		if (so->estate)
			ResetPerTupleExprContext(so->estate);
		MemoryContextSwitchTo(old);
	}
	ExecClearTuple(so->slot);
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
add_tids(HnswScan *so, const ItemPointerData *tids, int n)
{
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

/*
 * Add the TIDs of a node's overflow pages.  Each page is locked before the one
 * that leads to it is let go, as VACUUM and its replay do, so that the chain is
 * complete: inserts put pages in front, and what VACUUM takes out has no TIDs.
 */
static void
add_overflow_tids(HnswScan *so, const HnswFound *f)
{
	HnswGraph  *g = so->g;
	HnswPin		before;
	HnswPin		pin;
	const HnswRecord *rec;
	BlockNumber next = InvalidBlockNumber;
	BlockNumber count = 0;

	HnswAcquire(g, f->blk, BUFFER_LOCK_SHARE, &before);
	rec = (const HnswRecord *) HnswNodeAt(g, &before, f->slot);
	/* if it has gone none of its rows was visible */
	if (rec->state == HNSW_LIVE && rec->level == 0 && rec->generation == f->generation)
		next = rec->overflow;
	while (next != InvalidBlockNumber)
	{
		const HnswOverflow *o;

		HnswAcquireOverflow(g, next, f->blk, f->slot, BUFFER_LOCK_SHARE, &pin);
		HnswRelease(g, &before);
		before = pin;
		if (++count > g->nblocks)
			HnswCorrupted(g, next, 0, "overflow pages form a loop");
		o = HnswPageGetOverflow(pin.page);
		add_tids(so, HnswOverflowTids(o), o->ntids);
		next = o->next;
	}
	HnswRelease(g, &before);
}

/* All heap TIDs of a node into so->tids. */
static void
load_tids(HnswScan *so, const HnswFound *f)
{
	so->ntids = so->next_tid = so->nkilled = 0;
	add_tids(so, f->tids, f->ntids);
	if (f->overflow != InvalidBlockNumber)
		add_overflow_tids(so, f);
}

/*
 * Is one of a node's rows visible, and at what distance?  While no node is the
 * current one.  Rows of one node have the same vector: any of them tells the
 * distance.  A node all of whose rows are dead to all is noted.
 */
static bool
fetch_any(IndexScanDesc scan, HnswScan *so, const HnswFound *f, double *dist)
{
	bool		killed = f->overflow == InvalidBlockNumber && f->ntids > 0 &&
		scan->ignore_killed_tuples;
	bool		found = false;

	load_tids(so, f);
	for (int64 i = 0; i < so->ntids && !found; i++)
	{
		bool		all_dead = false;

		CHECK_FOR_INTERRUPTS();
		check_heap_tid(scan, so, f, &so->tids[i]);
		found = fetch_distance(scan, so, &so->tids[i], dist, &all_dead);
		killed = killed && all_dead;
	}
	end_fetch(so);
	if (killed && !found)
		note_killed(so, f);
	return found;
}

/* ---- items: a binary heap ---- */

static void
sift_item(HnswScan *so, int i, ScanItem item)
{
	for (;;)
	{
		int			child = 2 * i + 1;

		if (child >= so->nitems)
			break;
		if (child + 1 < so->nitems && so->items[child + 1].key < so->items[child].key)
			child++;
		if (item.key <= so->items[child].key)
			break;
		so->items[i] = so->items[child];
		i = child;
	}
	so->items[i] = item;
}

static void
push_item(HnswScan *so, ScanItem item)
{
	int			i = so->nitems++;

	while (i > 0 && so->items[(i - 1) / 2].key > item.key)
	{
		so->items[i] = so->items[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	so->items[i] = item;
}

/* Take out the item with the least key; its node stays in the pool until one is added. */
static ScanItem
pop_item(HnswScan *so)
{
	ScanItem	top = so->items[0];
	ScanItem	last = so->items[--so->nitems];

	if (so->nitems > 0)
		sift_item(so, 0, last);
	so->items[so->nitems].idx = top.idx;
	return top;
}

/* How far a found node's distance, as ScanItem's, may be from the true one. */
static double
slack_of(const HnswScan *so, const HnswFound *f)
{
	const HnswQuery *q = &so->search->query;

	if (!so->exact)
		return 0;
	return q->far ? INFINITY : HnswDistanceSlack(so->g, q, f->dist, f->norm2, f->scale) * q->unit;
}

/* A found node becomes an item. */
static void
add_item(HnswScan *so, const HnswFound *f)
{
	double		dist = f->dist * so->search->query.unit;
	double		slack = slack_of(so, f);
	ScanItem	item;

	if (so->nitems == so->maxitems)
	{
		int			max = so->maxitems == 0 ? Max(so->ef, 16) : so->maxitems * 2;

		so->found = so->found ? repalloc_huge(so->found, max * sizeof(HnswFound)) :
			MemoryContextAllocHuge(so->cxt, max * sizeof(HnswFound));
		so->items = so->items ? repalloc_huge(so->items, max * sizeof(ScanItem)) :
			MemoryContextAllocHuge(so->cxt, max * sizeof(ScanItem));
		for (int i = so->maxitems; i < max; i++)
			so->items[i].idx = i;
		so->maxitems = max;
	}
	item.key = dist - slack;
	item.high = dist + slack;
	item.idx = so->items[so->nitems].idx;
	so->found[item.idx] = *f;
	push_item(so, item);
}

/* ---- searching ---- */

/* The search's results become items. */
static void
add_results(HnswScan *so)
{
	const HnswResult *res = &so->search->results;

	for (int i = 0; i < res->nfound; i++)
	{
		const HnswFound *f = &res->found[res->order[i].idx];

		HnswMarksSet(&so->search->taken, HnswNodeNumber(so->g, f->blk, f->slot));
		add_item(so, f);
	}
	so->nfound += res->nfound;
	if (so->coarse && res->nfound > 0)
		so->reach = HnswResultsReach(so->g, &so->search->query, res) * so->search->query.unit;
}

/* One heap TID of a batch of nodes. */
typedef struct BatchTid
{
	ItemPointerData tid;
	int			at;				/* the node's place in the batch */
} BatchTid;

static int
cmp_batch_tid(const void *a, const void *b)
{
	return ItemPointerCompare((ItemPointer) &((const BatchTid *) a)->tid,
							  (ItemPointer) &((const BatchTid *) b)->tid);
}

/*
 * Leave nodes out whose rows are dead to all, and note them: an HnswSweepFilter for
 * a table most of whose rows are.  Rows are looked at in the order of the table,
 * each of whose pages is read once for the batch then.
 */
static int
drop_killed(void *arg, HnswFound *found, int n)
{
	IndexScanDesc scan = arg;
	HnswScan   *so = scan->opaque;
	BatchTid   *tids = palloc_extended((Size) Max(n, 1) * HNSW_MAX_TIDS * sizeof(BatchTid),
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
			check_heap_tid(scan, so, &found[i], &found[i].tids[j]);
			tids[ntids].tid = found[i].tids[j];
			tids[ntids++].at = i;
		}
	}
	qsort(tids, ntids, sizeof(BatchTid), cmp_batch_tid);
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
			note_killed(so, &found[i]);
	}
	pfree(tids);
	pfree(seen);
	return nkept;
}

/* Leave the search: all nodes that have not become items come from a sweep. */
static void
start_sweep(IndexScanDesc scan, HnswScan *so)
{
	MemoryContext old = MemoryContextSwitchTo(so->cxt);
	bool		mostly_dead = scan->ignore_killed_tuples && so->nkilled_all > so->nvisible;

	so->sweep = HnswSweepBegin(so->g, so->search, mostly_dead ? drop_killed : NULL, scan);
	MemoryContextSwitchTo(old);
	so->have_ahead = HnswSweepNext(so->sweep, &so->ahead);
}

/* Nodes of the sweep that may be nearer than the next item become items. */
static void
add_ahead(HnswScan *so)
{
	while (so->have_ahead)
	{
		double		dist = so->ahead.dist * so->search->query.unit;

		if (so->nitems > 0 && dist - slack_of(so, &so->ahead) > so->items[0].high)
			return;
		add_item(so, &so->ahead);
		so->have_ahead = HnswSweepNext(so->sweep, &so->ahead);
	}
}

/* Search for so->ef nodes. */
static void
search(IndexScanDesc scan, HnswScan *so)
{
	HnswGraph  *g = so->g;
	HnswSearch *s = so->search;
	HnswMetaPage meta;

	HnswReadMeta(g, &meta);		/* also loads the centre */
	if (!HnswPrepareQuery(g, so->query, &s->query))
		so->exact = false;
	if (!HnswSearchIndex(g, s, &meta, so->ef, false))
		return;
	if (so->exact && !s->query.far && !s->dry &&
		HnswResultsCoarse(g, &s->query, &s->results))
	{
		/* again, by distances only and from more places */
		so->coarse = HnswSearchIndex(g, s, &meta, so->ef, true);
		if (!so->coarse)
			return;
	}
	if (s->dry)
		start_sweep(scan, so);
	else
		add_results(so);
}

/* Which of the nodes returned since the last time had a visible row? */
static void
count_visible(IndexScanDesc scan, HnswScan *so)
{
	bool		any = false;

	/* the last row was the farthest */
	for (int i = so->nemitted - 1; i >= 0; i--)
	{
		double		dist = so->emitted[i].dist;

		CHECK_FOR_INTERRUPTS();
		if (!fetch_any(scan, so, &so->emitted[i], so->exact && !any ? &dist : NULL))
			continue;
		if (!any)
			so->farthest = Max(so->farthest, dist);
		any = true;
		so->nvisible++;
	}
	so->nemitted = 0;
}

/*
 * Are nodes with a visible row so rare that going on until there are enough takes
 * more visits than a sweep costs?
 */
static bool
is_rare(const HnswScan *so)
{
	double		needed = HnswEfSearch() - so->nvisible;

	return so->search->nvisits + so->ef >= so->search->max_visits ||
		needed * so->npassed / Max(so->nvisible, 0.5) >= so->search->max_visits;
}

/* So many nodes are searched for at once, at most. */
#define MAX_MORE	65536

/* Where stored vectors do not tell, a scan looks at so many times ef_search nodes. */
#define MAX_COARSE	64

/*
 * Before a row at this distance is returned: may there be a nearer one that has not
 * been found, because stored vectors do not tell?
 */
static bool
beyond_reach(HnswScan *so, double dist)
{
	if (so->coarse &&
		(so->sweep != NULL || so->nfound >= (int64) MAX_COARSE * HnswEfSearch()))
		so->coarse = false;
	return so->coarse && dist > so->reach;
}

/* Look at as many nodes again. */
static void
look_further(IndexScanDesc scan, HnswScan *so)
{
	HnswSearch *s = so->search;
	int			more = (int) Min(so->nfound, MAX_MORE);

	count_visible(scan, so);
	if (s->dry)
		HnswSearchFromRoot(so->g, s, more);
	else
		HnswSearchMore(so->g, s, more);
	add_results(so);
	if (s->results.nfound == 0)
		so->coarse = false;
}

/*
 * All items are returned and more is asked for.  If some of the nodes had no
 * visible row, go on.  False: that is all.
 */
static bool
search_more(IndexScanDesc scan, HnswScan *so)
{
	HnswSearch *s = so->search;

	/* an empty index, or a sweep, has no more */
	if (so->sweep != NULL || so->nfound == 0)
		return false;
	count_visible(scan, so);
	if (so->nvisible >= HnswEfSearch())
		return false;
	so->ef = Max(so->ef, Min(so->ef * 2, MAX_MORE));
	if (!is_rare(so))
	{
		HnswSearchMore(so->g, s, so->ef);
		if (!s->dry)
		{
			add_results(so);
			return true;
		}
	}
	start_sweep(scan, so);
	return true;
}

/* The node is the current one. */
static void
emit(HnswScan *so, const HnswFound *f)
{
	if (so->nemitted == so->maxemitted)
	{
		int			max = Max(64, so->maxemitted * 2);

		so->emitted = so->emitted ? repalloc_huge(so->emitted, max * sizeof(HnswFound)) :
			MemoryContextAllocHuge(so->cxt, max * sizeof(HnswFound));
		so->maxemitted = max;
	}
	/* after a sweep there is no more to ask for, and so nothing to count */
	if (so->sweep == NULL)
		so->emitted[so->nemitted++] = *f;
	so->cur = *f;
	so->have_cur = true;
	load_tids(so, f);
}

/* The next nearest node becomes the current one; false when there is none. */
static bool
next_node(IndexScanDesc scan, HnswScan *so)
{
	for (;;)
	{
		ScanItem	item;
		HnswFound  *f;
		double		dist;

		CHECK_FOR_INTERRUPTS();
		add_ahead(so);
		if (so->nitems == 0)
		{
			if (search_more(scan, so))
				continue;
			return false;
		}
		item = pop_item(so);
		f = &so->found[item.idx];
		if (f->killed && scan->ignore_killed_tuples)
		{
			so->npassed++;
			so->nkilled_all++;
			continue;
		}
		if (item.key < item.high && so->nitems > 0 && so->items[0].key < item.high)
		{
			/* may be farther than the next one: its true distance decides */
			if (fetch_any(scan, so, f, &dist))
			{
				item.key = item.high = dist;
				push_item(so, item);
			}
			else
				so->npassed++;
			continue;
		}
		if (beyond_reach(so, item.high))
		{
			push_item(so, item);
			look_further(scan, so);
			continue;
		}
		so->npassed++;
		dist = item.high;
		if (so->exact && item.key < so->farthest &&
			(!fetch_any(scan, so, f, &dist) || dist < so->farthest))
			continue;			/* too late */
		emit(so, f);
		return true;
	}
}

/* ---- what the executor gets ---- */

/*
 * The next TID of the current node.  When there is none the node is done with:
 * noted, if all its rows turned out to be dead to all.
 */
static bool
next_tid(IndexScanDesc scan, HnswScan *so, ItemPointer tid)
{
	if (!so->have_cur)
		return false;
	if (scan->kill_prior_tuple && so->next_tid > 0)
		so->nkilled++;
	if (so->next_tid < so->ntids)
	{
		*tid = so->tids[so->next_tid++];
		check_heap_tid(scan, so, &so->cur, tid);
		return true;
	}
	so->have_cur = false;
	if (so->nkilled == so->ntids && so->ntids > 0 && so->cur.overflow == InvalidBlockNumber)
	{
		note_killed(so, &so->cur);
		if (so->nemitted > 0)
			so->nemitted--;		/* it was the last */
	}
	return false;
}

/* The first call: check the scan and the query, and search. */
static void
start(IndexScanDesc scan, HnswScan *so)
{
	ScanKey		key = scan->orderByData;
	MemoryContext old;

	if (scan->numberOfOrderBys == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot scan hnsw index \"%s\" without ORDER BY",
						RelationGetRelationName(scan->indexRelation))));
	if (!IsMVCCSnapshot(scan->xs_snapshot))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("hnsw index \"%s\" can only be scanned with an MVCC snapshot",
						RelationGetRelationName(scan->indexRelation))));

	pgstat_count_index_scan(scan->indexRelation);
	CompatCountSearch(scan);
	/* every distance from NULL is NULL: any order is right */
	so->exact = (key->sk_flags & SK_ISNULL) == 0;
	old = MemoryContextSwitchTo(so->cxt);
	so->query = so->exact ? DatumGetVector(key->sk_argument) : InitVector(so->g->lay.dim);
	MemoryContextSwitchTo(old);
	so->search = so->g->idle ? so->g->idle : HnswSearchCreate(so->g, so->g->cxt);
	so->g->idle = NULL;
	so->ef = HnswEfSearch();
	search(scan, so);
	so->started = true;
}

/* amgettuple */
bool
hnswgettuple(IndexScanDesc scan, ScanDirection dir)
{
	HnswScan  *so = (HnswScan *) scan->opaque;

	Assert(ScanDirectionIsForward(dir));
	so->g->rel = scan->indexRelation;
	if (!so->started)
		start(scan, so);
	do
	{
		if (next_tid(scan, so, &scan->xs_heaptid))
		{
			scan->xs_recheck = false;
			scan->xs_recheckorderby = false;
			return true;
		}
	} while (next_node(scan, so));
	return false;
}

/* amendscan */
void
hnswendscan(IndexScanDesc scan)
{
	HnswScan  *so = (HnswScan *) scan->opaque;

	so->g->rel = scan->indexRelation;
	end_search(so);
	if (so->fetch)
		table_index_fetch_end(so->fetch);
	if (so->slot)
		ExecDropSingleTupleTableSlot(so->slot);
	if (so->estate)
		FreeExecutorState(so->estate);
	close_graph(so);
	MemoryContextDelete(so->cxt);
	scan->opaque = NULL;
}
