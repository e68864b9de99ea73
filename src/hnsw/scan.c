/*
 * scan.c
 *		Index scans: ORDER BY distance LIMIT n.
 *
 * One search finds ef_search nodes with distances computed from their own
 * vectors as the index stores them.  Rows come out in the order of their true
 * distances: where the intervals of two rows overlap (HnswDistanceSlack), the
 * rows' vectors are fetched from the table, lazily, as far as rows are asked
 * for.  Nodes whose rows are all invisible do not count: when the scan runs
 * out and some were, it searches again for as many more.  A search for more
 * also finds nodes that the one before has missed; those nearer than a row that
 * was returned come too late and are left out.
 *
 * A scan holds no lock between calls, and a pin only while it returns the
 * TIDs of an overflow page.  Heap TIDs it holds may be reclaimed by VACUUM and
 * given to other rows meanwhile; an MVCC snapshot does not see such rows, and
 * other snapshots are refused.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "access/relscan.h"
#include "access/tableam.h"
#include "access/xlog.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "hnsw/nodeset.h"
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

typedef struct NodeId
{
	BlockNumber blk;
	uint32		slot;
} NodeId;

typedef struct HnswScan
{
	HnswGraph  *g;
	MemoryContext cxt;			/* reset by each rescan */
	bool		started;
	Vector	   *query;			/* as given */
	bool		exact;			/* rank by true distances (not for a NULL query) */

	int			ef;
	bool		full;			/* the search found as many as it was asked for */
	HnswFound  *found;
	ScanItem	   *items;			/* binary heap, least key first */
	int			nitems;

	NodeId	   *done;			/* nodes returned before the last search, sorted */
	int			ndone;
	double		farthest;		/* true distance of the last row before the last search */
	HnswFound  *emitted;		/* nodes returned, to count the visible ones */
	int			nemitted;
	int			maxemitted;

	/* the node whose TIDs are being returned */
	HnswFound  *cur;
	int			next_tid;
	Buffer		over_buf;		/* pinned overflow page, or InvalidBuffer */
	BlockNumber over_next;		/* what followed it when it was read */
	ItemPointerData *over_tids;
	int			nover;
	nodeset_hash *over_seen;	/* overflow pages of the node so far */
	BlockNumber heap_blocks;	/* blocks the table is known to have */

	/* for fetching exact vectors */
	IndexFetchTableData *fetch;
	TupleTableSlot *slot;
	EState	   *estate;
	IndexInfo  *info;
} HnswScan;

static void
close_graph(void *arg)
{
	HnswScan  *so = (HnswScan *) arg;

	if (so->g)
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
	so->over_buf = InvalidBuffer;
	cb->func = close_graph;
	cb->arg = so;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, cb);
	so->g = HnswOpen(index);
	scan->opaque = so;
	return scan;
}

static void
release_overflow(HnswScan *so)
{
	if (so->over_buf != InvalidBuffer)
		ReleaseBuffer(so->over_buf);
	so->over_buf = InvalidBuffer;
}

/* amrescan */
void
hnswrescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys)
{
	HnswScan  *so = (HnswScan *) scan->opaque;

	release_overflow(so);
	MemoryContextReset(so->cxt);
	so->started = false;
	so->query = NULL;
	so->found = NULL;
	so->items = NULL;
	so->nitems = 0;
	so->done = NULL;
	so->ndone = 0;
	so->farthest = -INFINITY;
	so->emitted = NULL;
	so->nemitted = so->maxemitted = 0;
	so->cur = NULL;
	so->over_tids = NULL;
	so->over_seen = NULL;
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
 * dist may be NULL.
 */
static bool
fetch_distance(IndexScanDesc scan, HnswScan *so, ItemPointer tid, double *dist)
{
	bool		call_again = false;
	bool		all_dead;
	bool		visible;
	ItemPointerData at = *tid;

	if (so->slot == NULL)
		init_fetch(scan, so);
	visible = table_index_fetch_tuple(so->fetch, &at, scan->xs_snapshot, so->slot,
									  &call_again, &all_dead);
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
	table_index_fetch_reset(so->fetch);
	return visible;
}

/* Is one of a node's inline rows visible?  dist as in fetch_distance. */
static bool
fetch_node(IndexScanDesc scan, HnswScan *so, HnswFound *f, double *dist)
{
	for (int i = 0; i < f->ntids; i++)
	{
		check_heap_tid(scan, so, f, &f->tids[i]);
		if (fetch_distance(scan, so, &f->tids[i], dist))
			return true;
	}
	return false;
}

/* ---- TIDs of a node ---- */

/* Is a page that is pinned and locked an overflow page of the current node? */
static bool
owned_overflow(HnswScan *so, Page page)
{
	ItemPointerData owner;

	ItemPointerSet(&owner, so->cur->blk, so->cur->slot);
	return !PageIsNew(page) &&
		HnswPageGetHeader(page)->kind == HNSW_PAGE_OVERFLOW &&
		HnswTidEqual(&HnswPageGetOverflow(page)->owner, &owner);
}

/*
 * Take the TIDs of an overflow page that is pinned (not locked); false when it
 * is not this node's any more.
 */
static bool
take_overflow(HnswScan *so, Buffer buf)
{
	Page		page;
	HnswOverflow *o;
	bool		ours;

	LockBuffer(buf, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buf);
	o = HnswPageGetOverflow(page);
	ours = owned_overflow(so, page);
	if (ours)
	{
		so->over_next = o->next;
		if (o->ntids > HNSW_OVERFLOW_TIDS)
			HnswCorrupted(so->g, BufferGetBlockNumber(buf), 0, "too many TIDs");
		if (so->over_tids == NULL)
			so->over_tids = MemoryContextAlloc(so->cxt, HNSW_OVERFLOW_TIDS * sizeof(ItemPointerData));
		memcpy(so->over_tids, HnswOverflowTids(o), o->ntids * sizeof(ItemPointerData));
		so->nover = o->ntids;
		so->next_tid = 0;
	}
	LockBuffer(buf, BUFFER_LOCK_UNLOCK);
	return ours;
}

/*
 * Go to the next overflow page of the current node.  The page is pinned
 * while the page that points to it is locked; VACUUM removes a page from the
 * chain only with a cleanup lock on it, so a pinned page stays.
 */
static bool
next_overflow(HnswScan *so)
{
	HnswGraph  *g = so->g;
	BlockNumber next = InvalidBlockNumber;
	Buffer		buf = InvalidBuffer;

	if (so->over_buf == InvalidBuffer)
	{
		HnswPin		pin;
		const HnswRecord *rec;

		if (so->cur->overflow == InvalidBlockNumber)
			return false;
		if (so->over_seen == NULL)
			so->over_seen = nodeset_create(so->cxt, 16, NULL);
		else
			nodeset_reset(so->over_seen);
		HnswAcquire(g, so->cur->blk, BUFFER_LOCK_SHARE, &pin);
		rec = (const HnswRecord *) HnswNodeAt(g, &pin, so->cur->slot);
		if (rec->state == HNSW_LIVE && rec->generation == so->cur->generation)
			next = rec->overflow;
		if (next != InvalidBlockNumber)
		{
			if (next >= g->nblocks)
				HnswKnowBlocks(g, next);
			buf = ReadBuffer(g->rel, next);
		}
		HnswRelease(g, &pin);
	}
	else
	{
		/*
		 * On a standby the pin does not keep VACUUM's replay from taking the
		 * page out of the chain: what followed it when we read it still does.
		 */
		LockBuffer(so->over_buf, BUFFER_LOCK_SHARE);
		if (owned_overflow(so, BufferGetPage(so->over_buf)))
			next = HnswPageGetOverflow(BufferGetPage(so->over_buf))->next;
		else
			next = so->over_next;
		if (next != InvalidBlockNumber)
		{
			if (next >= g->nblocks)
				HnswKnowBlocks(g, next);
			buf = ReadBuffer(g->rel, next);
		}
		UnlockReleaseBuffer(so->over_buf);
		so->over_buf = InvalidBuffer;
	}
	if (buf == InvalidBuffer)
		return false;
	so->over_buf = buf;
	if (!nodeset_add(so->over_seen, next, 0))
	{
		/* on a standby a page we left may have come back to the front */
		if (!RecoveryInProgress())
			HnswCorrupted(g, next, 0, "overflow pages form a loop");
		release_overflow(so);
		return false;
	}
	if (take_overflow(so, buf))
		return true;
	release_overflow(so);
	return false;
}

/*
 * As fetch_node, with the rows on overflow pages, too; while no node is the
 * current one.  Rows of one node have the same vector: any of them tells the
 * distance.
 */
static bool
fetch_any(IndexScanDesc scan, HnswScan *so, HnswFound *f, double *dist)
{
	bool		found = fetch_node(scan, so, f, dist);

	if (found || f->overflow == InvalidBlockNumber)
		return found;
	so->cur = f;
	while (!found && next_overflow(so))
		for (int i = 0; i < so->nover && !found; i++)
		{
			CHECK_FOR_INTERRUPTS();
			check_heap_tid(scan, so, f, &so->over_tids[i]);
			found = fetch_distance(scan, so, &so->over_tids[i], dist);
		}
	release_overflow(so);
	so->cur = NULL;
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

/* Take out the item with the least key. */
static ScanItem
pop_item(HnswScan *so)
{
	ScanItem	top = so->items[0];
	ScanItem	last = so->items[--so->nitems];

	if (so->nitems > 0)
		sift_item(so, 0, last);
	return top;
}

/* ---- searching ---- */

static int
cmp_node(const void *a, const void *b)
{
	const NodeId *na = a;
	const NodeId *nb = b;

	if (na->blk != nb->blk)
		return na->blk < nb->blk ? -1 : 1;
	return na->slot < nb->slot ? -1 : na->slot > nb->slot;
}

/* Search for so->ef nodes; those returned already are left out of the items. */
static void
search(HnswScan *so)
{
	HnswGraph  *g = so->g;
	HnswQuery  *q = &g->scratch->query;
	HnswResult *res = &g->scratch->results;
	HnswMetaPage meta;

	so->nitems = 0;
	so->full = false;
	HnswReadMeta(g, &meta);		/* also loads the centre */
	if (!HnswPrepareQuery(g, so->query, q))
		so->exact = false;
	HnswResultInit(g, res, so->ef, false);
	if (!HnswSearch(g, q, &meta, res))
		return;

	so->full = res->nfound >= so->ef;
	so->found = MemoryContextAlloc(so->cxt, Max(res->nfound, 1) * sizeof(HnswFound));
	so->items = MemoryContextAlloc(so->cxt, Max(res->nfound, 1) * sizeof(ScanItem));
	for (int i = 0; i < res->nfound; i++)
	{
		const HnswFound *f = &res->found[res->order[i].idx];
		NodeId		id = {f->blk, f->slot};
		double		dist = f->dist * q->unit;
		double		slack = 0;

		if (so->ndone > 0 &&
			bsearch(&id, so->done, so->ndone, sizeof(NodeId), cmp_node) != NULL)
			continue;
		if (so->exact)
			slack = q->far ? INFINITY :
				HnswDistanceSlack(g, q, f->dist, f->norm2, f->scale) * q->unit;
		so->found[so->nitems] = *f;
		so->found[so->nitems].dist = (float) Max(-FLT_MAX, Min(FLT_MAX, dist));
		so->items[so->nitems].key = dist - slack;
		so->items[so->nitems].high = dist + slack;
		so->items[so->nitems].idx = so->nitems;
		so->nitems++;
	}
	for (int i = so->nitems / 2 - 1; i >= 0; i--)
		sift_item(so, i, so->items[i]);
}

/*
 * All found nodes are returned and more is asked for.  If some of them had no
 * visible row, search again, for twice as many.  False: that is all.
 */
static bool
search_more(IndexScanDesc scan, HnswScan *so)
{
	while (so->full && so->ef < HNSW_MAX_EF_SEARCH * 64)
	{
		int			visible = 0;

		/* the last row was the farthest */
		for (int i = so->nemitted - 1; i >= 0; i--)
		{
			HnswFound  *f = &so->emitted[i];
			double		dist = f->dist;

			CHECK_FOR_INTERRUPTS();
			if (fetch_node(scan, so, f, so->exact && visible == 0 ? &dist : NULL) ||
				f->overflow != InvalidBlockNumber)
			{
				if (visible++ == 0)
					so->farthest = Max(so->farthest, dist);
			}
		}
		if (visible >= HnswEfSearch())
			return false;

		so->done = MemoryContextAllocHuge(so->cxt, so->nemitted * sizeof(NodeId));
		for (int i = 0; i < so->nemitted; i++)
		{
			so->done[i].blk = so->emitted[i].blk;
			so->done[i].slot = so->emitted[i].slot;
		}
		so->ndone = so->nemitted;
		qsort(so->done, so->ndone, sizeof(NodeId), cmp_node);
		so->ef *= 2;
		search(so);
		if (so->nitems > 0)
			return true;
	}
	return false;
}

/* The next nearest node into so->cur; false when there is none. */
static bool
next_node(IndexScanDesc scan, HnswScan *so)
{
	while (so->nitems > 0 || search_more(scan, so))
	{
		ScanItem	item = pop_item(so);
		HnswFound  *f = &so->found[item.idx];

		if (item.key < item.high && so->nitems > 0 && so->items[0].key < item.high)
		{
			/* may be farther than the next one: its true distance decides */
			double		dist;

			if (fetch_any(scan, so, f, &dist))
			{
				item.key = item.high = dist;
				push_item(so, item);
				continue;
			}
			/* no row is visible: it is passed over */
		}
		if (so->nemitted == so->maxemitted)
		{
			so->maxemitted = Max(64, so->maxemitted * 2);
			if (so->emitted == NULL)
				so->emitted = MemoryContextAllocHuge(so->cxt, so->maxemitted * sizeof(HnswFound));
			else
				so->emitted = repalloc_huge(so->emitted, so->maxemitted * sizeof(HnswFound));
		}
		so->emitted[so->nemitted++] = *f;
		if (so->exact && item.key < so->farthest)
		{
			double		dist = item.high;

			if (!fetch_any(scan, so, f, &dist) || dist < so->farthest)
			{
				/* too late: not to be found again, nor to be counted */
				f = &so->emitted[so->nemitted - 1];
				f->ntids = 0;
				f->overflow = InvalidBlockNumber;
				continue;
			}
		}
		so->cur = f;
		so->next_tid = 0;
		return true;
	}
	return false;
}

/* ---- what the executor gets ---- */

/* The next TID of the current node. */
static bool
next_tid(IndexScanDesc scan, HnswScan *so, ItemPointer tid)
{
	if (so->cur == NULL)
		return false;
	if (so->over_buf == InvalidBuffer && so->next_tid < so->cur->ntids)
	{
		*tid = so->cur->tids[so->next_tid++];
		check_heap_tid(scan, so, so->cur, tid);
		return true;
	}
	for (;;)
	{
		if (so->over_buf != InvalidBuffer && so->next_tid < so->nover)
		{
			*tid = so->over_tids[so->next_tid++];
			check_heap_tid(scan, so, so->cur, tid);
			return true;
		}
		CHECK_FOR_INTERRUPTS();
		if (!next_overflow(so))
			break;
	}
	so->cur = NULL;
	return false;
}

/* The first call: check the scan and the query, and search. */
static void
start(IndexScanDesc scan, HnswScan *so)
{
	ScanKey		key = scan->orderByData;

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
	so->g->rel = scan->indexRelation;
	so->exact = true;
	if (key->sk_flags & SK_ISNULL)
	{
		MemoryContext old = MemoryContextSwitchTo(so->cxt);

		/* every distance is NULL: any order is right */
		so->query = InitVector(so->g->lay.dim);
		so->exact = false;
		MemoryContextSwitchTo(old);
	}
	else
	{
		MemoryContext old = MemoryContextSwitchTo(so->cxt);

		so->query = DatumGetVector(key->sk_argument);
		MemoryContextSwitchTo(old);
	}
	so->ef = HnswEfSearch();
	search(so);
	so->started = true;
}

/* amgettuple */
bool
hnswgettuple(IndexScanDesc scan, ScanDirection dir)
{
	HnswScan  *so = (HnswScan *) scan->opaque;

	Assert(ScanDirectionIsForward(dir));
	if (!so->started)
		start(scan, so);
	so->g->rel = scan->indexRelation;
	for (;;)
	{
		if (next_tid(scan, so, &scan->xs_heaptid))
		{
			scan->xs_recheck = false;
			scan->xs_recheckorderby = false;
			return true;
		}
		if (!next_node(scan, so))
			return false;
	}
}

/* amendscan */
void
hnswendscan(IndexScanDesc scan)
{
	HnswScan  *so = (HnswScan *) scan->opaque;

	release_overflow(so);
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
