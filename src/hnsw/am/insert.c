/*
 * insert.c
 *		One row into the index.
 */
#include "postgres.h"

#include "hnsw/am/am.h"
#include "hnsw/am/options.h"
#include "hnsw/graph/insert.h"
#include "hnsw/metric/type.h"
#include "hnsw/page/access.h"
#include "hnsw/page/index.h"

static void
close_graph(void *arg)
{
	HnswClose((HnswIndex *) arg);
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
	HnswIndex  *g = (HnswIndex *) info->ii_AmCache;
	HnswValue	value;

	if (isnull[0])
		return false;
	if (g == NULL)
	{
		MemoryContextCallback *cb = MemoryContextAllocZero(info->ii_Context, sizeof(*cb));

		g = HnswOpen(index);
		cb->func = close_graph;
		cb->arg = g;
		MemoryContextRegisterResetCallback(info->ii_Context, cb);
		info->ii_AmCache = g;
	}
	g->rel = index;
	value = g->space.type->get(values[0]);
	HnswLockInserts(index);
	(void) HnswInsertValue(g, value, heap_tid, HnswPendingLimit(index, g->lay));
	HnswInserterDone(g);
	HnswUnlockInserts(index);
	HnswFreeValue(value, values[0]);
	return false;
}
