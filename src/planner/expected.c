/*
 * expected.c
 *		Plans tell a scan how many of its rows are likely to be asked for.
 *
 * An access method is told of neither LIMIT nor what share of its rows the conditions
 * let through.  A scan that knows both searches once, widely enough, instead of going
 * on and on.  So the planner hook notes the number in the plan: as the collation of
 * the operator that the scan is ordered by, which has none of its own and which the
 * executor hands to the scan (ScanKey.sk_collation).
 *
 * It is no more than a hint: a scan returns as many rows as it is asked for.
 */
#include "postgres.h"

#include <math.h>

#include "hnsw/am/am.h"
#include "miscadmin.h"
#include "nodes/plannodes.h"
#include "planner/planner.h"
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

/* Of the rows that its conditions let through, so many are wanted. */
static void
expect_of_scan(IndexScan *scan, double wanted)
{
	Plan	   *plan = &scan->scan.plan;
	double		rows;
	OpExpr	   *order;

	if (wanted <= 0 || list_length(scan->indexorderby) != 1 || !IsA(linitial(scan->indexorderby), OpExpr))
		return;
	rows = rows_of_index(scan->indexid);
	if (rows <= 0)
		return;
	if (plan->qual != NIL)
	{
		double		share = Min(Max(plan->plan_rows, 1) / rows, 1);

		/* and a standard deviation more, if rows match independently of each other */
		wanted = (wanted + sqrt(wanted * (1 - share))) / share;
	}
	order = copyObject(linitial_node(OpExpr, scan->indexorderby));
	if (OidIsValid(order->inputcollid))
		return;
	order->inputcollid = (Oid) Min(Min(wanted, rows), PG_INT32_MAX);
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

static void
expect_of_plans(List *plans, double wanted)
{
	ListCell   *cell;

	foreach(cell, plans)
		HnswExpectRows((Plan *) lfirst(cell), wanted);
}

/*
 * Note in each scan of ours below a plan how many rows are likely to be asked for, when
 * "wanted" of the plan's are; 0: there is no telling.
 */
void
HnswExpectRows(Plan *plan, double wanted)
{
	if (plan == NULL)
		return;
	check_stack_depth();
	switch (nodeTag(plan))
	{
		case T_IndexScan:
			expect_of_scan((IndexScan *) plan, wanted);
			break;
		case T_Limit:
			wanted = limited((Limit *) plan, wanted);
			break;
		case T_SubqueryScan:
			HnswExpectRows(((SubqueryScan *) plan)->subplan, plan->qual == NIL ? wanted : 0);
			break;
		case T_Append:
			expect_of_plans(((Append *) plan)->appendplans, wanted);
			break;
		case T_MergeAppend:
			expect_of_plans(((MergeAppend *) plan)->mergeplans, wanted);
			break;
		case T_LockRows:
		case T_Result:
			wanted = plan->qual == NIL ? wanted : 0;
			break;
		default:
			/* reads all, or any share of what is below it */
			wanted = 0;
			break;
	}
	HnswExpectRows(outerPlan(plan), wanted);
	HnswExpectRows(innerPlan(plan), 0);
}
