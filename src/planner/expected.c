/*
 * expected.c
 *		Plans tell a scan how many of its rows are likely to be asked for.
 *
 * An access method is told of neither LIMIT nor what share of its rows the conditions
 * let through.  A scan that knows both searches once, widely enough, instead of going
 * on and on.  So the planner hook notes in the plan how many rows are likely: as the collation of
 * the operator that the scan is ordered by, or of its condition, which has none of its own and
 * which the executor hands to the scan (ScanKey.sk_collation; hnsw/am/hint.h).
 *
 * A number is no more than a hint: a scan returns as many rows as it is asked for.  But what is
 * late comes last (hnsw/README, "More than one search"), and some nodes of plans take order
 * for granted: Unique, Group, WindowAgg, MergeJoin.  Below these all rows are expected, which
 * makes a scan sort them all before it returns the first; but not below a LIMIT that takes
 * fewer than there are, for a scan that does not come to its end returns nothing late.
 */
#include "postgres.h"

#include <math.h>

#include "hnsw/am/am.h"
#include "hnsw/am/hint.h"
#include "miscadmin.h"
#include "nodes/plannodes.h"
#include "planner/planner.h"
#include "utils/rel.h"

/*
 * Is an index of a plan one of this access method's?  Then also its rows as of the last
 * ANALYZE or VACUUM, if that is not NULL; -1 if unknown.
 */
bool
HnswIsOurs(Oid relid, double *rows)
{
	Relation	index = RelationIdGetRelation(relid);
	bool		ours;

	if (index == NULL)
		return false;
	ours = HnswIsAm(index->rd_indam);
	if (ours && rows)
		*rows = index->rd_rel->reltuples;
	RelationClose(index);
	return ours;
}

/* How many of an index's rows are within the bounds of a scan's conditions, as paths.c notes in each. */
static double
rows_within(const IndexScan *scan, double rows)
{
	double		within = rows;
	ListCell   *cell;

	foreach(cell, scan->indexqual)
	{
		const OpExpr *op = lfirst(cell);
		int64		noted = IsA(op, OpExpr) ? HnswHintedRows(op->inputcollid) : 0;

		/* none where somebody wrote it as the index has it */
		within = Min(within, noted > 0 ? noted : rows * HNSW_WITHIN_SHARE);
	}
	return within;
}

/*
 * Of the rows that its conditions let through, so many are wanted, or all.  A bound of the
 * distance lets no share of the rows through, but the nearest, which come first.
 */
static void
expect_of_scan(IndexScan *scan, double wanted, bool ordered)
{
	Plan	   *plan = &scan->scan.plan;
	bool		bounded = scan->indexqual != NIL;
	double		rows;
	List	  **hinted = scan->indexorderby != NIL ? &scan->indexorderby : &scan->indexqual;
	OpExpr	   *op;

	if (*hinted == NIL || !IsA(linitial(*hinted), OpExpr))
		return;
	if (!HnswIsOurs(scan->indexid, &rows))
		return;
	if (rows < 0)
		wanted = 0;
	else if (ordered)
		wanted = HNSW_ALL_ROWS;
	else if (wanted == HNSW_ALL_ROWS)
		wanted = bounded ? wanted : 0;
	else if (wanted > 0 && plan->qual != NIL && rows > 0)
	{
		double		share = Min(Max(plan->plan_rows, 1) / Max(rows_within(scan, rows), 1), 1);

		/* and a standard deviation more, if rows match independently of each other */
		wanted = Min((wanted + sqrt(wanted * (1 - share))) / share, rows);
	}
	if (wanted <= 0 && scan->indexorderby != NIL)
		return;
	/* a new list: other nodes may share the expressions */
	*hinted = copyObject(*hinted);
	op = linitial_node(OpExpr, *hinted);
	op->inputcollid = (op->inputcollid & HNSW_CHECKED) | (wanted > 0 ? HnswHintOfRows(wanted) : 0);
}

/* A constant of LIMIT or OFFSET; 0 where there is none, -1 where it is not known. */
static double
constant(const Node *node)
{
	const Const *value = (const Const *) node;

	if (node == NULL)
		return 0;
	if (!IsA(node, Const))
		return -1;
	return value->constisnull ? 0 : (double) DatumGetInt64(value->constvalue);
}

/* What is read of a plan's input: all where all of it is wanted, or there is no telling. */
static double
any_share(double wanted)
{
	return wanted == HNSW_ALL_ROWS ? wanted : 0;
}

/* So many rows of a Limit's input are read when "wanted" of its own are; 0: unknown. */
static double
limited(const Limit *limit, double wanted)
{
	double		count = constant(limit->limitCount);
	double		offset = constant(limit->limitOffset);

	if (wanted == HNSW_ALL_ROWS)
		wanted = 0;
	if (count < 0 || offset < 0 || (count == 0 && limit->limitCount == NULL))
		return wanted > 0 && offset >= 0 ? wanted + offset : 0;
	if (wanted > 0)
		count = Min(count, wanted);
	return count + offset;
}

static void expect(Plan *plan, double wanted, bool ordered);

static void
expect_of_plans(List *plans, double wanted, bool ordered)
{
	ListCell   *cell;

	foreach(cell, plans)
		expect((Plan *) lfirst(cell), wanted, ordered);
}

/*
 * For each scan of ours below a plan, of whose rows "wanted" are read (0: there is no
 * telling); ordered: they are taken to be in order to the last one.
 */
static void
expect(Plan *plan, double wanted, bool ordered)
{
	double		inner = 0;		/* wanted of the inner plan */
	bool		inner_ordered = false;

	if (plan == NULL)
		return;
	check_stack_depth();
	switch (nodeTag(plan))
	{
		case T_IndexScan:
			expect_of_scan((IndexScan *) plan, wanted, ordered);
			break;
		case T_Limit:
			wanted = limited((Limit *) plan, wanted);
			/* what is late does not come, unless it takes all */
			if (wanted > 0 && wanted < outerPlan(plan)->plan_rows)
				ordered = false;
			break;
		case T_SubqueryScan:
			expect(((SubqueryScan *) plan)->subplan, plan->qual == NIL ? wanted : any_share(wanted), ordered);
			break;
		case T_Append:
			expect_of_plans(((Append *) plan)->appendplans, wanted, ordered);
			break;
		case T_MergeAppend:
			expect_of_plans(((MergeAppend *) plan)->mergeplans, wanted, ordered);
			break;
		case T_LockRows:
		case T_Result:
			wanted = plan->qual == NIL ? wanted : any_share(wanted);
			break;
		case T_IncrementalSort:
			/* reads a row more than it returns, at least */
			if (wanted > 0 && wanted < HNSW_ALL_ROWS)
				wanted++;
			break;
		case T_Unique:
		case T_Group:
		case T_SetOp:
			wanted = any_share(wanted);
			ordered = true;
			break;
		case T_WindowAgg:
			wanted = any_share(wanted);
			ordered = ordered || ((WindowAgg *) plan)->ordNumCols > 0 || ((WindowAgg *) plan)->partNumCols > 0;
			break;
		case T_NestLoop:
			wanted = any_share(wanted);
			if (((Join *) plan)->jointype != JOIN_SEMI && ((Join *) plan)->jointype != JOIN_ANTI &&
				!((Join *) plan)->inner_unique)
				inner = wanted;
			break;
		case T_MergeJoin:
			wanted = any_share(wanted);
			ordered = inner_ordered = true;
			break;
		case T_Agg:
			wanted = HNSW_ALL_ROWS;
			ordered = ((Agg *) plan)->aggstrategy == AGG_SORTED || ((Agg *) plan)->aggstrategy == AGG_MIXED;
			break;
		case T_Sort:
		case T_Hash:
			wanted = HNSW_ALL_ROWS;
			ordered = false;
			break;
		default:
			wanted = any_share(wanted);
			break;
	}
	expect(outerPlan(plan), wanted, ordered);
	expect(innerPlan(plan), inner, inner_ordered);
}

/* Note in each scan of ours below a complete plan what is to be expected of it; all: all its rows are read. */
void
HnswExpectRows(Plan *plan, bool all)
{
	expect(plan, all ? HNSW_ALL_ROWS : 0, false);
}
