/*
 * expected.c
 *		Plans tell a scan how many of its rows are likely to be asked for, or how far the
 *		farthest may be.
 *
 * An access method is told of neither LIMIT nor what share of its rows the conditions
 * let through.  A scan that knows both searches once, widely enough, instead of going
 * on and on.  And where a condition bounds the distance that the scan is ordered by,
 * there is no need to go on beyond.  So the planner hook notes the one or the other in
 * the plan: as the collation of the operator that the scan is ordered by, which has none of
 * its own and which the executor hands to the scan (ScanKey.sk_collation; HnswHint
 * in hnsw/am/hint.h).
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
#include "utils/float.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

/* The rows of an index of ours as of the last ANALYZE or VACUUM; -1 for others, or if unknown. */
static double
rows_of_index(Oid relid)
{
	Relation	index = RelationIdGetRelation(relid);
	double		rows = -1;

	if (index == NULL)
		return -1;
	if (HnswIsOurs(index))
		rows = index->rd_rel->reltuples;
	RelationClose(index);
	return rows;
}

/*
 * A constant that a condition sets as the upper end of what the scan is ordered by; infinity
 * if there is none.  (Constants of statements with parameters are known in custom plans.)
 */
static double
upper_bound(const IndexScan *scan)
{
	const Node *order = linitial(scan->indexorderbyorig);
	double		bound = get_float8_infinity();
	ListCell   *cell;

	foreach(cell, scan->scan.plan.qual)
	{
		const OpExpr *op = lfirst(cell);
		const Node *left;
		const Node *right;
		Oid			function;

		if (!IsA(op, OpExpr) || list_length(op->args) != 2)
			continue;
		function = get_opcode(op->opno);
		left = linitial(op->args);
		right = lsecond(op->args);
		if (function == F_FLOAT8GT || function == F_FLOAT8GE)
		{
			left = lsecond(op->args);
			right = linitial(op->args);
		}
		else if (function != F_FLOAT8LT && function != F_FLOAT8LE)
			continue;
		if (!equal(left, order) || !IsA(right, Const) || ((const Const *) right)->constisnull)
			continue;
		/* NaN is greater than all numbers: no bound */
		if (DatumGetFloat8(((const Const *) right)->constvalue) < bound)
			bound = DatumGetFloat8(((const Const *) right)->constvalue);
	}
	return bound;
}

/* Of the rows that its conditions let through, so many are wanted, or all. */
static void
expect_of_scan(IndexScan *scan, double wanted, bool ordered)
{
	Plan	   *plan = &scan->scan.plan;
	double		rows;
	double		bound;
	OpExpr	   *order;

	if (list_length(scan->indexorderby) != 1 || !IsA(linitial(scan->indexorderby), OpExpr))
		return;
	rows = rows_of_index(scan->indexid);
	if (rows < 0)
		return;
	bound = upper_bound(scan);
	if (ordered)
		wanted = HNSW_ALL_ROWS;
	else if (wanted > 0 && plan->qual != NIL && rows > 0)
	{
		double		share = Min(Max(plan->plan_rows, 1) / rows, 1);

		/* and a standard deviation more, if rows match independently of each other */
		wanted = Min((wanted + sqrt(wanted * (1 - share))) / share, rows);
	}
	order = copyObject(linitial_node(OpExpr, scan->indexorderby));
	if (OidIsValid(order->inputcollid))
		return;
	if (!ordered && !isinf(bound))
		order->inputcollid = HnswHintOfBound(bound);
	else if (wanted > 0)
		order->inputcollid = HnswHintOfRows(wanted);
	scan->indexorderby = list_make1(order);
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

/* So many rows of a Limit's input are read when "wanted" of its own are; 0: unknown. */
static double
limited(const Limit *limit, double wanted)
{
	double		count = constant(limit->limitCount);
	double		offset = constant(limit->limitOffset);

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
	bool		inner = false;

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
			expect(((SubqueryScan *) plan)->subplan, plan->qual == NIL ? wanted : 0, ordered);
			break;
		case T_Append:
			expect_of_plans(((Append *) plan)->appendplans, wanted, ordered);
			break;
		case T_MergeAppend:
			expect_of_plans(((MergeAppend *) plan)->mergeplans, wanted, ordered);
			break;
		case T_LockRows:
		case T_Result:
			wanted = plan->qual == NIL ? wanted : 0;
			break;
		case T_IncrementalSort:
			/* reads a row more than it returns, at least */
			wanted = wanted > 0 ? wanted + 1 : 0;
			break;
		case T_Unique:
		case T_Group:
		case T_SetOp:
			wanted = 0;
			ordered = true;
			break;
		case T_WindowAgg:
			wanted = 0;
			ordered = ordered || ((WindowAgg *) plan)->ordNumCols > 0 || ((WindowAgg *) plan)->partNumCols > 0;
			break;
		case T_MergeJoin:
			wanted = 0;
			ordered = inner = true;
			break;
		case T_Agg:
			wanted = 0;
			ordered = ((Agg *) plan)->aggstrategy == AGG_SORTED || ((Agg *) plan)->aggstrategy == AGG_MIXED;
			break;
		case T_Sort:
		case T_Hash:
			wanted = 0;
			ordered = false;
			break;
		default:
			/* reads all, or any share of what is below it */
			wanted = 0;
			break;
	}
	expect(outerPlan(plan), wanted, ordered);
	expect(innerPlan(plan), 0, inner);
}

/* Note in each scan of ours below a complete plan what is to be expected of it. */
void
HnswExpectRows(Plan *plan)
{
	expect(plan, 0, false);
}
