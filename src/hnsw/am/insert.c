/*
 * insert.c
 *		One row into the index.
 */
#include "postgres.h"

#include "hnsw/am/am.h"
#include "hnsw/am/cached.h"
#include "hnsw/am/counters.h"
#include "hnsw/am/merge.h"
#include "hnsw/am/options.h"
#include "hnsw/graph/insert.h"
#include "hnsw/metric/type.h"
#include "hnsw/page/access.h"
#include "hnsw/page/index.h"
#include "hnsw/page/pending.h"

static void
close_graph(void *arg)
{
	HnswClose((HnswIndex *) arg);
}

/* What a statement that inserts keeps in ii_AmCache. */
typedef struct InsertState
{
	HnswIndex  *g;
	int			pending_limit;
	int64		nrows;			/* inserted by the statement */
} InsertState;

/* A statement with so many rows is a bulk load, which merges by itself. */
#define BULK_ROWS		1000

/* So often, in rows of the session, it is looked whether there is something for a worker to do. */
#define ASK_EVERY		32

/* Does this insert merge when there is no room for another pending row? */
static bool
merges_itself(const InsertState *st)
{
	HnswSettings settings;

	HnswReadSettings(&settings);
	return settings.write_profile == HNSW_WRITE_THROUGHPUT ||
		(settings.write_profile == HNSW_WRITE_BALANCED && st->nrows >= BULK_ROWS);
}

/*
 * Insert a row.  Where there is no room for another pending row, by hnsw.write_profile, either all are merged
 * first, unless somebody else does it or vacuums, or it is linked at once.
 */
static void
insert_row(InsertState *st, Relation index, HnswValue value, ItemPointer heap_tid)
{
	static uint32 appended = 0;
	HnswIndex  *g = st->g;
	BlockNumber tail = g->pending_tail;
	HnswInserted done;
	HnswSlot	placed;

	HnswLockInserts(index);
	done = HnswInsertValue(g, value, heap_tid, st->pending_limit, true, &placed);
	if (done == HNSW_FULL)
	{
		HnswInserterDone(g);
		HnswUnlockInserts(index);
		/* the merge lock comes before that of inserts */
		if (merges_itself(st))
			(void) HnswTryMerge(index);
		HnswLockInserts(index);
		done = HnswInsertValue(g, value, heap_tid, st->pending_limit, false, &placed);
	}
	HnswInserterDone(g);
	HnswUnlockInserts(index);
	if (done != HNSW_NOT_INDEXED)
	{
		HnswCountersInsert(RelationGetRelid(index), done == HNSW_PENDING);
		HnswCachedInsert(g, &placed);
	}
	/* now and then, to count is not for nothing */
	if (st->pending_limit > 0 && (g->pending_tail != tail || done == HNSW_LINKED || ++appended % ASK_EVERY == 0) &&
		!merges_itself(st) && !RelationUsesLocalBuffers(index) && HnswPendingCount(g) >= st->pending_limit / 2)
		HnswRequestMerger();
}

/*
 * aminsert.  The handle is kept in ii_AmCache, so a statement opens it once.  Errors: a
 * vector of other dimensions or beyond range, index_corrupted, or (after many attempts)
 * t_r_serialization_failure.  Always false: no uniqueness.
 */
bool
hnswinsert(Relation index, Datum *values, bool *isnull, ItemPointer heap_tid,
		   Relation heap, IndexUniqueCheck check, bool unchanged, IndexInfo *info)
{
	InsertState *st = (InsertState *) info->ii_AmCache;
	HnswValue	value;

	if (isnull[0])
		return false;
	if (st == NULL)
	{
		MemoryContextCallback *cb = MemoryContextAllocZero(info->ii_Context, sizeof(*cb));

		st = MemoryContextAllocZero(info->ii_Context, sizeof(InsertState));
		st->g = HnswOpen(index);
		cb->func = close_graph;
		cb->arg = st->g;
		MemoryContextRegisterResetCallback(info->ii_Context, cb);
		st->pending_limit = HnswPendingLimit(index, st->g->lay);
		info->ii_AmCache = st;
	}
	st->g->rel = index;
	value = st->g->space.type->get(values[0]);
	insert_row(st, index, value, heap_tid);
	st->nrows++;
	HnswFreeValue(value, values[0]);
	return false;
}
