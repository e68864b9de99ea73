/*
 * table.c
 *		A scan that has looked at many nodes without finding what the plan asks for goes on
 *		with the rows of the table that do meet the plan's conditions, by exact distances.
 *
 * An access method is not told of the conditions that the executor checks behind it.  Where
 * the rows that meet them are far from the query it would rank, and the executor fetch, nearly all
 * rows of the table, one by one.  So a hook lets scans know the plan's node that they
 * serve (HnswScan.node), whose conditions can then be evaluated here: what follows the walk is the
 * exact plan, which PostgreSQL would have chosen had it known.
 *
 * The rows are those that the scan's snapshot sees, without those that have been returned (the
 * executor has seen them, whether it took them or not).  They are returned by the TIDs that an index
 * has of them, those of the first in their HOT chains: which the snapshot keeps from being
 * reclaimed.  The executor fetches them again, and checks its conditions again.
 *
 * No lock is held while conditions are evaluated; the pin of the table's page is, as in a
 * sequential scan.
 */
#include "postgres.h"

#include <math.h>

#include "access/heapam.h"
#include "access/relscan.h"
#include "access/sysattr.h"
#include "access/tableam.h"
#include "compat.h"
#include "executor/executor.h"
#include "hnsw/am/am.h"
#include "hnsw/am/queries.h"
#include "hnsw/am/scan.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"

/*
 * Of so many nodes one is to match, at most, as the planner has it: reading and ranking the rows of
 * more costs as much as fetching them one by one (docs/design/scans.md).
 */
#define MATCHING_SHARE	8

static ExecutorRun_hook_type next_run = NULL;

/* The plan that is being executed, the innermost one. */
static PlanState *running = NULL;

/* ---- the node of a plan that a scan serves ---- */

/* ExecutorRun_hook */
static void
run_plan(QueryDesc *query, ScanDirection direction, uint64 count COMPAT_RUN_ONCE)
{
	PlanState  *outer = running;

	running = query->planstate;
	PG_TRY();
	{
		if (next_run)
			next_run(query, direction, count COMPAT_RUN_ONCE_VALUE);
		else
			standard_ExecutorRun(query, direction, count COMPAT_RUN_ONCE_VALUE);
	}
	PG_FINALLY();
	{
		running = outer;
	}
	PG_END_TRY();
}

/* Called once, when the library loads. */
void
HnswTableInit(void)
{
	next_run = ExecutorRun_hook;
	ExecutorRun_hook = run_plan;
}

/* For planstate_tree_walker: is it the node of a scan? */
static bool
find_node(PlanState *node, void *context)
{
	HnswScan   *so = ((IndexScanDesc) context)->opaque;

	if (node == NULL)
		return false;
	if (IsA(node, IndexScanState) && ((IndexScanState *) node)->iss_ScanDesc == context)
	{
		so->node = (IndexScanState *) node;
		return true;
	}
	return planstate_tree_walker(node, find_node, context);
}

/*
 * Which node of the plan is a scan, which is asked for a row?  None of what is run for
 * EvalPlanQual, or without a plan.  Both are ended together.
 */
static const IndexScanState *
node_of(IndexScanDesc scan, HnswScan *so)
{
	if (!so->node_sought && running)
		(void) find_node(running, scan);
	so->node_sought = true;
	return so->node;
}

/* ---- what has been returned ---- */

static int
cmp_tid(const void *a, const void *b)
{
	return ItemPointerCompare((ItemPointer) a, (ItemPointer) b);
}

/* A row is handed out.  Kept for scans that may come to read the table, until they do. */
void
HnswTableNoteRow(HnswScan *so, const ItemPointerData *tid)
{
	if (so->sweep != NULL)
		return;
	if (so->nreturned == so->maxreturned)
	{
		int64		max = Max(so->maxreturned * 2, 256);

		so->returned = so->returned ? repalloc_huge(so->returned, max * sizeof(ItemPointerData)) :
			MemoryContextAllocHuge(so->cxt, max * sizeof(ItemPointerData));
		so->maxreturned = max;
	}
	so->returned[so->nreturned++] = *tid;
}

static bool
was_returned(const HnswScan *so, const ItemPointerData *tid)
{
	return so->nreturned > 0 &&
		bsearch(tid, so->returned, so->nreturned, sizeof(ItemPointerData), cmp_tid) != NULL;
}

/* ---- the rows that match ---- */

/* Do conditions look at what is indexed, which is long, and compared with for each row then? */
static bool
read_vectors(const IndexScanState *node, Relation index)
{
	const Scan *plan = (const Scan *) node->ss.ps.plan;
	Bitmapset  *read = NULL;
	Bitmapset  *indexed = NULL;

	pull_varattnos((Node *) plan->plan.qual, plan->scanrelid, &read);
	if (index->rd_index->indkey.values[0] == 0)
		pull_varattnos((Node *) RelationGetIndexExpressions(index), 1, &indexed);
	else
		indexed = bms_make_singleton(index->rd_index->indkey.values[0] - FirstLowInvalidHeapAttributeNumber);
	return bms_overlap(read, indexed);
}

/*
 * Is the table to be read instead of the index, if one is?  Where the plan has conditions, whose
 * evaluation here can be told by nobody and is cheap, and few rows meet them.  The predicate is evaluated, too,
 * which the query need not have named: not one that runs what the table's owner has written.
 */
static bool
is_for_table(IndexScanDesc scan, HnswScan *so)
{
	const IndexScanState *node;
	const Plan *plan;

	if (!so->exact || !so->ordered || so->bound < INFINITY || so->settings.iterative_scan == HNSW_ITERATIVE_OFF)
		return false;
	node = node_of(scan, so);
	if (node == NULL || node->ss.ps.qual == NULL ||
		scan->heapRelation->rd_tableam != GetHeapamTableAmRoutine())
		return false;
	plan = node->ss.ps.plan;
	return plan->plan_rows * MATCHING_SHARE <= HnswNodeNumber(so->g, RelationGetNumberOfBlocks(so->g->rel), 0) &&
		!contain_volatile_functions((Node *) plan->qual) && !contain_subplans((Node *) plan->qual) &&
		!read_vectors(node, scan->indexRelation) && !HnswPredicateRunsUserCode(scan->indexRelation);
}

/*
 * So many visits are worth making before the table is read: half of what that costs, which is
 * then at most half too much.  A row that is read costs a twentieth of a visit of a search that has
 * gone on, a page of the table an eighth, a row that is ranked a third.
 */
int64
HnswTablePatience(IndexScanDesc scan, HnswScan *so)
{
	double		cost;

	if (so->patience > 0)
		return so->patience;
	so->patience = PG_INT64_MAX;
	if (is_for_table(scan, so))
	{
		cost = Max(scan->indexRelation->rd_rel->reltuples, 0) / 20 +
			RelationGetNumberOfBlocks(scan->heapRelation) / 8.0 + so->node->ss.ps.plan->plan_rows / 3;
		so->patience = (int64) (cost / 2) + 1;
	}
	return so->patience;
}

/*
 * The TID by which an index has the row of a heap's slot: where its HOT chain begins.  The caller keeps
 * those of a page for the next call: MaxHeapTuplesPerPage, and the block, InvalidBlockNumber before.
 */
bool
HnswRowRoot(TupleTableSlot *slot, ItemPointer tid, OffsetNumber *roots, BlockNumber *roots_of)
{
	BufferHeapTupleTableSlot *heap = (BufferHeapTupleTableSlot *) slot;
	OffsetNumber root;

	*tid = slot->tts_tid;
	if (!HeapTupleIsHeapOnly(heap->base.tuple))
		return true;
	if (*roots_of != ItemPointerGetBlockNumber(tid))
	{
		LockBuffer(heap->buffer, BUFFER_LOCK_SHARE);
		heap_get_root_tuples(BufferGetPage(heap->buffer), roots);
		LockBuffer(heap->buffer, BUFFER_LOCK_UNLOCK);
		*roots_of = ItemPointerGetBlockNumber(tid);
	}
	root = roots[ItemPointerGetOffsetNumber(tid) - 1];
	if (root == InvalidOffsetNumber)
		return false;
	ItemPointerSetOffsetNumber(tid, root);
	return true;
}

/*
 * The conditions of the plan: after the index's predicate, if it has one, which stands for conditions that
 * the plan has not for that reason; among them may be a policy, which goes before a user's own.
 */
static bool
meets_conditions(const HnswScan *so, TupleTableSlot *slot)
{
	ExprContext *context = so->node->ss.ps.ps_ExprContext;
	bool		meets;

	context->ecxt_scantuple = slot;
	meets = ExecQual(so->predicate, context) && ExecQual(so->node->ss.ps.qual, context);
	ResetExprContext(context);
	return meets;
}

/* Begin to read the table, where that is better than reading the index; false: it is not. */
bool
HnswMatchesBegin(HnswMatches *m, IndexScanDesc scan, HnswScan *so)
{
	List	   *predicate;

	if (!is_for_table(scan, so))
		return false;
	predicate = RelationGetIndexPredicate(scan->indexRelation);
	m->scan = scan;
	m->roots_of = InvalidBlockNumber;
	if (predicate != NIL && so->predicate == NULL)
		so->predicate = ExecPrepareQual(predicate, so->node->ss.ps.state);
	qsort(so->returned, so->nreturned, sizeof(ItemPointerData), cmp_tid);
	m->slot = table_slot_create(scan->heapRelation, NULL);
	m->rows = table_beginscan(scan->heapRelation, scan->xs_snapshot, 0, NULL);
	return true;
}

/*
 * The next row that meets the conditions and has not been returned, as a node, with its exact
 * distance in index units: an HnswSweepSource.  False: there are no more.
 */
bool
HnswMatchesNext(void *arg, HnswFound *found, double *dist)
{
	HnswMatches *m = arg;
	HnswScan   *so = m->scan->opaque;

	while (table_scan_getnextslot(m->rows, ForwardScanDirection, m->slot))
	{
		CHECK_FOR_INTERRUPTS();
		if (!meets_conditions(so, m->slot) || !HnswRowRoot(m->slot, &found->tids[0], m->roots, &m->roots_of) ||
			was_returned(so, &found->tids[0]) || !HnswSlotDistance(m->scan, so, m->slot, dist))
			continue;
		*dist /= so->search->query.unit;
		found->ntids = 1;
		return true;
	}
	return false;
}

void
HnswMatchesEnd(HnswMatches *m)
{
	table_endscan(m->rows);
	ExecDropSingleTupleTableSlot(m->slot);
}
