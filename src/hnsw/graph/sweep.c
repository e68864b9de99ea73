/*
 * sweep.c
 *		A scan's last resort: all nodes of the index, or rows from elsewhere, by distance.
 *
 * Where a search has no candidates left, or has cost as much as this, all pages
 * are read once, in the order of the file.  Each node not yet taken goes into a
 * sort, with what a scan needs to know of it, so that no page is read a second
 * time.  A sort larger than its memory goes to a file.
 *
 * Nothing is missed: a node stays in its slot, VACUUM takes no row away that a
 * snapshot in use may see, and rows that come meanwhile are not visible to it.  No
 * link is followed, so that neither changes of the graph nor damage to links
 * matter.
 *
 * Locks: one page at a time, share (with a node's side pages inside its
 * page's lock).
 */
#include "postgres.h"

#include "access/tupdesc.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "executor/tuptable.h"
#include "hnsw/base/marks.h"
#include "hnsw/graph/search.h"
#include "hnsw/graph/sweep.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/precision.h"
#include "hnsw/metric/vector.h"
#include "hnsw/page/access.h"
#include "hnsw/page/index.h"
#include "hnsw/page/record.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/tuplesort.h"

struct HnswSweep
{
	MemoryContext cxt;			/* holds this and everything below */
	Tuplesortstate *sort;		/* of (sort_key, HnswFound without unused TIDs) */
	Tuplesortstate *late;		/* the same of nodes that come last; NULL while there are none */
	bool		at_late;		/* the others have been returned */
	Size		memory;			/* of sort, in kB */
	TupleTableSlot *slot;		/* to put tuples in */
	TupleTableSlot *sorted;		/* to get them out */
	bytea	   *buffer;			/* room for an HnswFound */
	HnswFound  *batch;			/* read, not yet in the sort */
	int			nbatch;
	int			maxbatch;
};

/* Nodes that a filter is called with, and those of a page more. */
#define FILTER_BATCH	8192

/* Late nodes are few: a part of the memory, in kB, is for their sort. */
#define LATE_MEMORY(memory) ((memory) / 8 + 64)

/* Bytes of a found node with its TIDs. */
static inline Size
found_size(const HnswFound *f)
{
	return offsetof(HnswFound, tids) + f->ntids * sizeof(ItemPointerData);
}

/* Add the nodes of a page in hand that are live and have not been taken to the batch. */
static void
describe_page(HnswIndex *g, HnswSearch *s, HnswPin *pin, HnswSweep *sweep)
{
	int			nslots = HnswPageGetHeader(pin->page)->nslots;

	for (int slot = 0; slot < nslots; slot++)
	{
		char	   *node = HnswNodeAt(g, pin, slot);
		const char *own;
		float		dist;

		if (((const HnswRecord *) node)->state != HNSW_LIVE ||
			HnswMarksTest(&s->taken, HnswNodeNumber(g, pin->blk, slot)))
			continue;
		dist = HnswMeasure(g, &s->query, pin, slot, node, &own);
		HnswDescribe(g->lay, node, pin->blk, slot, dist, &sweep->batch[sweep->nbatch]);
		sweep->batch[sweep->nbatch++].killed = HnswIsKilled(g->lay, pin->page, slot);
	}
}

/*
 * A distance as an integer in the same order, which a sort compares without looking at its
 * tuples: the bits of a float, those of a negative one but for its sign turned.
 */
static inline int64
sort_key(double distance)
{
	union
	{
		double		d;
		int64		bits;
	}			u = {distance};

	return u.bits ^ ((u.bits >> 63) & PG_INT64_MAX);
}

static inline double
key_distance(int64 key)
{
	union
	{
		int64		bits;
		double		d;
	}			u = {key ^ ((key >> 63) & PG_INT64_MAX)};

	return u.d;
}

/* A sort of the sweep's tuples; memory in kB. */
static Tuplesortstate *
create_sort(const HnswSweep *sweep, Size memory)
{
	AttrNumber	column = 1;
	Oid			less = Int8LessOperator;
	Oid			collation = InvalidOid;
	bool		nulls_first = false;

	return tuplesort_begin_heap(sweep->slot->tts_tupleDescriptor, 1, &column, &less, &collation,
								&nulls_first, (int) memory, NULL, TUPLESORT_NONE);
}

/* Put a node into a sort, by the least distance that it may have, or its place in the table. */
static void
put(HnswSweep *sweep, const HnswFound *f, bool late, double key)
{
	TupleTableSlot *slot = sweep->slot;
	bytea	   *buffer = sweep->buffer;
	Size		size = found_size(f);

	if (late && sweep->late == NULL)
		sweep->late = create_sort(sweep, LATE_MEMORY(sweep->memory));
	memcpy(VARDATA(buffer), f, size);
	SET_VARSIZE(buffer, VARHDRSZ + size);
	ExecClearTuple(slot);
	slot->tts_values[0] = Int64GetDatum(sort_key(key));
	slot->tts_values[1] = PointerGetDatum(buffer);
	memset(slot->tts_isnull, 0, 2 * sizeof(bool));
	ExecStoreVirtualTuple(slot);
	tuplesort_puttupleslot(late ? sweep->late : sweep->sort, slot);
}

/* A sort of found nodes in a context of its own, with a slot for its tuples; memory in kB. */
static HnswSweep *
create(Size memory)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "hnsw sweep",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	HnswSweep  *sweep = palloc0(sizeof(HnswSweep));
	TupleDesc	desc = CreateTemplateTupleDesc(2);

	sweep->cxt = cxt;
	sweep->memory = memory;
	TupleDescInitEntry(desc, 1, "distance", INT8OID, -1, 0);
	TupleDescInitEntry(desc, 2, "node", BYTEAOID, -1, 0);
	sweep->buffer = palloc(VARHDRSZ + sizeof(HnswFound));
	sweep->slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	sweep->sort = create_sort(sweep, memory);
	MemoryContextSwitchTo(old);
	return sweep;
}

/* Where in the table a node's first row is. */
static double
row_place(const HnswFound *f)
{
	return f->ntids == 0 ? 0 : ItemPointerGetBlockNumberNoCheck(&f->tids[0]);
}

/* Put a batch of nodes into the sort. */
static void
put_batch(HnswIndex *g, const HnswQuery *q, HnswSweep *sweep, const HnswSweepArgs *args)
{
	int			n = sweep->nbatch;

	if (args->filter)
		n = args->filter(args->arg, sweep->batch, n);
	/* the sort may write a file: not with a page locked */
	for (int i = 0; i < n; i++)
	{
		const HnswFound *f = &sweep->batch[i];

		double		dist = f->dist;
		double		slack = HnswDistanceSlack(&g->space, q, f->dist, f->norm2, f->scale);

		if (dist - slack > args->bound)
			continue;
		if (args->rank)
		{
			slack = 0;
			if (!args->rank(args->arg, f, &dist))
				continue;
		}
		put(sweep, f, dist + slack < args->farthest, args->by_row ? row_place(f) : dist - slack);
	}
	sweep->nbatch = 0;
}

/* Read all pages and put their nodes into the sort. */
static void
read_pages(HnswIndex *g, HnswSearch *s, HnswSweep *sweep, const HnswSweepArgs *args)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(g->rel);
	/* as a sequential scan of a table does */
	BufferAccessStrategy strategy = nblocks > (BlockNumber) NBuffers / 4 ?
		GetAccessStrategy(BAS_BULKREAD) : NULL;

	for (BlockNumber blk = HNSW_META_BLOCK + 1; blk < nblocks; blk++)
	{
		HnswPin		pin;

		CHECK_FOR_INTERRUPTS();
		if (!HnswAcquireInOrder(g, blk, BUFFER_LOCK_SHARE, strategy, &pin))
			continue;
		if (HnswPageGetHeader(pin.page)->kind == HNSW_PAGE_NODE)
			describe_page(g, s, &pin, sweep);
		HnswRelease(g, &pin);
		if (sweep->nbatch + g->lay->per_page > sweep->maxbatch)
			put_batch(g, &s->query, sweep, args);
	}
	put_batch(g, &s->query, sweep, args);
	if (strategy)
		FreeAccessStrategy(strategy);
}

/* Put all that comes from elsewhere into the sort. */
static void
read_source(HnswSweep *sweep, const HnswSweepArgs *args)
{
	HnswFound	found = {.blk = InvalidBlockNumber,.overflow = InvalidBlockNumber};
	double		dist;

	while (args->source(args->arg, &found, &dist))
	{
		if (dist <= args->bound)
			put(sweep, &found, dist < args->farthest, dist);
	}
}

/*
 * Read all nodes that are live and not in s->taken, and sort them by the least
 * distance from s->query that they may have (HnswDistanceSlack); without those that are beyond
 * args->bound for sure, and those that are nearer than args->farthest for sure, in index units, come after all others.  The filter is
 * called for some thousands of them at a time, rank for each that it leaves.  Or, if args->source is not NULL,
 * what that has, sorted by exact distances in the same way.  In a context below the current one; the
 * caller ends it.
 */
HnswSweep *
HnswSweepBegin(HnswIndex *g, HnswSearch *s, const HnswSweepArgs *args)
{
	HnswSweep  *sweep = create(args->memory);
	MemoryContext old = MemoryContextSwitchTo(sweep->cxt);

	if (args->source)
		read_source(sweep, args);
	else
	{
		/* larger ones serve the filter only */
		sweep->maxbatch = (args->filter ? FILTER_BATCH : 0) + g->lay->per_page;
		sweep->batch = palloc(sweep->maxbatch * sizeof(HnswFound));
		read_pages(g, s, sweep, args);
		pfree(sweep->batch);
		sweep->batch = NULL;
	}
	tuplesort_performsort(sweep->sort);
	if (sweep->late)
		tuplesort_performsort(sweep->late);
	sweep->sorted = MakeSingleTupleTableSlot(sweep->slot->tts_tupleDescriptor, &TTSOpsMinimalTuple);
	MemoryContextSwitchTo(old);
	return sweep;
}

/* The next node in this order; false when there is none. */
bool
HnswSweepNext(HnswSweep *sweep, HnswSwept *next)
{
	bytea	   *stored;
	bool		isnull;

	if (!sweep->at_late && !tuplesort_gettupleslot(sweep->sort, true, false, sweep->sorted, NULL))
		sweep->at_late = true;
	if (sweep->at_late &&
		(sweep->late == NULL || !tuplesort_gettupleslot(sweep->late, true, false, sweep->sorted, NULL)))
		return false;
	next->late = sweep->at_late;
	next->least = key_distance(DatumGetInt64(slot_getattr(sweep->sorted, 1, &isnull)));
	stored = DatumGetByteaPP(slot_getattr(sweep->sorted, 2, &isnull));
	memcpy(&next->node, VARDATA_ANY(stored), VARSIZE_ANY_EXHDR(stored));
	return true;
}

/* End a sweep, and free its memory and its temporary file. */
void
HnswSweepEnd(HnswSweep *sweep)
{
	ExecDropSingleTupleTableSlot(sweep->sorted);
	ExecDropSingleTupleTableSlot(sweep->slot);
	tuplesort_end(sweep->sort);
	if (sweep->late)
		tuplesort_end(sweep->late);
	MemoryContextDelete(sweep->cxt);
}

/* What a sweep costs, in visits of a search. */
int64
HnswSweepCost(HnswIndex *g)
{
	int64		nblocks = RelationGetNumberOfBlocks(g->rel);

	return HNSW_SWEEP_VISITS(nblocks, nblocks / (1 + g->lay->side_pages) * g->lay->per_page);
}
