/*
 * merge.c
 *		Merges: pending rows become part of the graph (README, "Merges").
 *
 * Whoever merges holds the merge lock, which VACUUM holds as well: so there
 * is one merge of an index at a time, and no node becomes DEAD meanwhile.  Inserts and
 * searches go on.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "compat.h"
#include "fmgr.h"
#include "hnsw/am/counters.h"
#include "hnsw/am/info.h"
#include "hnsw/am/merge.h"
#include "hnsw/base/waitpoint.h"
#include "hnsw/bulk/bulk.h"
#include "hnsw/bulk/relink.h"
#include "hnsw/graph/connect.h"
#include "hnsw/graph/insert.h"
#include "hnsw/graph/known.h"
#include "hnsw/graph/search.h"
#include "hnsw/graph/tree.h"
#include "hnsw/page/access.h"
#include "hnsw/page/pending.h"
#include "miscadmin.h"
#include "names.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(vectorx_hnsw_merge);

/*
 * So many nodes, with those that stand on a page with them, are linked one after the other before they are taken
 * out of the pending pages: that is what a merge loses that is cut off, and has to do again.  (More would find
 * their pages in the cache a little more often.)
 */
#define TURN_NODES	512

/* The nodes are in the graph: their pages are emptied.  last: and the merge ends. */
static void
clear(HnswIndex *g, const HnswPendingSlice *slice, int64 merged, bool last)
{
	HnswInserterDone(g);
	HNSW_WAIT_POINT("merge-clear");
	HnswPendingClear(g, slice, merged, last);
}

/* Give a slice's nodes their links, and records of higher levels, one after the other; returns how many there are. */
static int64
settle(HnswIndex *g, HnswPendingSlice *slice, Size limit)
{
	int64		n = HnswBulkSort(g, slice->nodes, slice->n, limit);

	for (int64 i = 0; i < n; i++)
	{
		HnswCandidate node = {0, slice->nodes[i].blk, slice->nodes[i].slot};

		CHECK_FOR_INTERRUPTS();
		HNSW_WAIT_POINT("merge-settle");
		InvalidateCatalogSnapshot();	/* as in HnswMerge */
		HnswSettle(g, &node, false);
	}
	return n;
}

/* Make a slice's nodes part of the graph one after the other, some pages at a time, which are then emptied; returns how many. */
static int64
merge_in_turn(HnswIndex *g, const HnswPendingSlice *slice, Size limit)
{
	int64		merged = 0;
	int			done = 0;

	while (done < slice->npages)
	{
		const int64 from = done > 0 ? slice->ends[done - 1] : 0;
		HnswPendingSlice part = {.pages = slice->pages + done,.nodes = slice->nodes + from};
		int64		n;

		do
			part.n = slice->ends[done + part.npages++] - from;
		while (part.n < TURN_NODES && done + part.npages < slice->npages);
		done += part.npages;
		n = settle(g, &part, limit);
		clear(g, &part, n, done == slice->npages);
		merged += n;
	}
	return merged;
}

/* Offer a node's list a link to another; or make it a TREE link, in that list or below. */
static void
add_missed(HnswIndex *g, const HnswMissedLink *missed)
{
	HnswSearch *s = HnswInserterOf(g)->search;
	HnswCandidate from = {0, missed->from.blk, missed->from.slot};
	HnswCandidate to = {0, missed->to.blk, missed->to.slot};

	if (missed->tree)
		HnswLinkHeir(g, &from, &to, 0);
	else if (HnswReadVector(g, to.blk, to.slot, 0, s->query.vec))
	{
		HnswQueryBuild(&g->space, &s->query);
		HnswKnownReset(s);
		HnswAddBackLinks(g, s, 0, &from, 1, &to);
	}
}

/*
 * The same for all of them at once, and then all pages, where they are a large part of the index and the
 * memory suffices; -1 where not.
 */
static int64
merge_at_once(HnswIndex *g, const HnswPendingSlice *slice, Size limit)
{
	const HnswSlot *nodes = slice->nodes;
	const int64 n = slice->n;
	HnswRelinkTask task = {.listed = nodes,.nlisted = n,.limit = limit};

	if (!HnswRelink(g, &task, CurrentMemoryContext))
		return -1;
	for (int64 i = 0; i < task.nmissed; i++)
	{
		CHECK_FOR_INTERRUPTS();
		HnswLockInserts(g->rel);
		add_missed(g, &task.missed[i]);
		HnswUnlockInserts(g->rel);
	}
	for (int64 i = 0, left = 0; i < n; i++)
	{
		HnswCandidate node = {0, nodes[i].blk, nodes[i].slot};
		bool		linked = left == task.nleft || node.blk != task.left[left].blk || node.slot != task.left[left].slot;

		CHECK_FOR_INTERRUPTS();
		if (!linked)
			left++;
		HnswSettle(g, &node, linked);
	}
	ereport(DEBUG2,
			(errmsg_internal("index \"%s\": %lld pending nodes linked at once, %lld one by one, %lld links afterwards",
							 RelationGetRelationName(g->rel), (long long) task.nlinked,
							 (long long) task.nleft, (long long) task.nmissed)));
	clear(g, slice, task.nlinked + task.nleft, true);
	return task.nlinked + task.nleft;
}

/*
 * Make all pending rows part of the graph; returns how many.  The caller holds the merge lock,
 * and no other but the relation's.  When it is cut off by an error or a crash they are pending
 * still, or the last of them.  Errors: index_corrupted, t_r_serialization_failure, out of memory.
 */
int64
HnswMerge(Relation index)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "hnsw merge", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	HnswIndex  *g = HnswOpenIn(index, cxt);
	HnswPendingSlice slice;
	int64		merged = 0;

	HNSW_WAIT_POINT("merge-close");
	HnswPendingClose(g, cxt, &slice);
	/* no catalog is read from here on, and who holds no other snapshot keeps nothing from VACUUM */
	InvalidateCatalogSnapshot();
	if (slice.npages > 0)
	{
		const Size	limit = HnswMaintenanceMemory();

		merged = merge_at_once(g, &slice, limit);
		if (merged < 0)
			merged = merge_in_turn(g, &slice, limit);
		HnswCountersMerge(RelationGetRelid(index), merged);
		ereport(DEBUG1,
				(errmsg_internal("index \"%s\": %lld pending rows of %d pages merged",
								 RelationGetRelationName(index), (long long) merged, slice.npages)));
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	return merged;
}

/* The same, unless somebody else merges or vacuums: false then. */
bool
HnswTryMerge(Relation index)
{
	if (!HnswTryLockMerges(index))
		return false;
	(void) HnswMerge(index);
	HnswUnlockMerges(index);
	return true;
}

/*
 * hnsw_merge(index regclass): make the rows that are pending part of the graph now; returns how many
 * there were.  Waits for another merge, or VACUUM.  For the owner.
 */
Datum
vectorx_hnsw_merge(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	HnswInspect x;
	int64		merged;

	PreventCommandDuringRecovery(VX_FUNCTION("merge()"));
	PreventCommandIfReadOnly(VX_FUNCTION("merge()"));
	HnswInspectOpen(&x, relid, false);
	if (!CompatOwnsRelation(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_INDEX, RelationGetRelationName(x.index));
	/* so that the commit waits for the WAL */
	(void) GetCurrentTransactionId();
	HnswLockMerges(x.index);
	merged = HnswMerge(x.index);
	HnswUnlockMerges(x.index);
	HnswInspectClose(&x);
	PG_RETURN_INT64(merged);
}
