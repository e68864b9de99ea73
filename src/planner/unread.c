/*
 * unread.c
 *		Plans without distances that nobody reads.
 *
 * ORDER BY v <=> q without the distance in the select list makes it a column
 * of the plan all the same, a junk one: the executor computes it for each row
 * and throws it away.  With an index that returns rows in order it serves no
 * purpose, and where vectors are stored out of line it costs more than the
 * search.  A planner hook puts NULL in its place once the plan is complete.
 *
 * The hook changes plans only where every node between the index scan and the
 * place where the column is dropped is one of a few that are known to pass
 * columns on without looking at them.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "hnsw/am/am.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/plannodes.h"
#include "optimizer/optimizer.h"
#include "optimizer/planner.h"
#include "planner/planner.h"

static planner_hook_type next_planner = NULL;

/* Sets of columns are sets of these, as pull_varattnos makes them. */
#define COLUMN(resno)	((resno) - FirstLowInvalidHeapAttributeNumber)

/* Columns that are no junk. */
static Bitmapset *
wanted_columns(const List *tlist)
{
	Bitmapset  *columns = NULL;
	ListCell   *cell;

	foreach(cell, tlist)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, cell);

		if (!tle->resjunk)
			columns = bms_add_member(columns, COLUMN(tle->resno));
	}
	return columns;
}

/* Put NULL for what the scan is ordered by in columns that are not read. */
static void
clear_distance(IndexScan *scan, const Bitmapset *read)
{
	List	   *tlist = NIL;
	ListCell   *cell;

	if (scan->indexorderbyorig == NIL || !HnswIsOurs(scan->indexid, NULL))
		return;
	/* a new list: other nodes may share the old one, or its entries */
	foreach(cell, scan->scan.plan.targetlist)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, cell);

		if (!bms_is_member(COLUMN(tle->resno), read) &&
			list_member(scan->indexorderbyorig, tle->expr))
		{
			Node	   *expr = (Node *) tle->expr;

			tle = flatCopyTargetEntry(tle);
			tle->expr = (Expr *) makeNullConst(exprType(expr), exprTypmod(expr),
											   exprCollation(expr));
		}
		tlist = lappend(tlist, tle);
	}
	scan->scan.plan.targetlist = tlist;
}

/* Of a plan's output, only the columns in "read" are looked at. */
static void
clear_unread(Plan *plan, Bitmapset *read)
{
	while (plan != NULL)
	{
		switch (nodeTag(plan))
		{
			case T_IndexScan:
				clear_distance((IndexScan *) plan, read);
				return;
			case T_Limit:
				if (((Limit *) plan)->limitOption == LIMIT_OPTION_WITH_TIES)
					return;
				break;
			case T_Hash:
				pull_varattnos((Node *) ((Hash *) plan)->hashkeys, OUTER_VAR, &read);
				break;
			case T_LockRows:	/* reads row identities only */
			case T_Material:
			case T_Memoize:
				break;
			default:
				return;
		}
		plan = outerPlan(plan);
	}
}

/* The same for an input of a plan, given all expressions of the plan. */
static void
clear_input(Plan *plan, List *expressions, int varno)
{
	Bitmapset  *read = NULL;

	if (plan == NULL)
		return;
	pull_varattnos((Node *) expressions, varno, &read);
	if (bms_is_member(COLUMN(InvalidAttrNumber), read)) /* the whole row */
		read = bms_add_members(read, wanted_columns(plan->targetlist));
	clear_unread(plan, read);
}

static void visit_plan(Plan *plan);

static void
visit_plans(List *plans)
{
	ListCell   *cell;

	foreach(cell, plans)
		visit_plan((Plan *) lfirst(cell));
}

/*
 * Look for sub-queries and, where the planner has left out the node of a
 * sub-query, for plans that read their inputs through expressions only.
 */
static void
visit_plan(Plan *plan)
{
	List	   *expressions;

	if (plan == NULL)
		return;
	expressions = list_make2(plan->targetlist, plan->qual);
	switch (nodeTag(plan))
	{
		case T_SubqueryScan:
			clear_input(((SubqueryScan *) plan)->subplan, expressions,
						((Scan *) plan)->scanrelid);
			visit_plan(((SubqueryScan *) plan)->subplan);
			break;
		case T_Agg:
			if (((Agg *) plan)->aggstrategy == AGG_PLAIN && ((Agg *) plan)->chain == NIL)
				clear_input(outerPlan(plan), expressions, OUTER_VAR);
			break;
		case T_HashJoin:
			expressions = lappend(expressions, ((HashJoin *) plan)->hashclauses);
			expressions = lappend(expressions, ((Join *) plan)->joinqual);
			clear_input(outerPlan(plan), expressions, OUTER_VAR);
			clear_input(innerPlan(plan), expressions, INNER_VAR);
			break;
		case T_NestLoop:
			{
				ListCell   *cell;

				expressions = lappend(expressions, ((Join *) plan)->joinqual);
				clear_input(innerPlan(plan), expressions, INNER_VAR);
				foreach(cell, ((NestLoop *) plan)->nestParams)
					expressions = lappend(expressions,
										  lfirst_node(NestLoopParam, cell)->paramval);
				clear_input(outerPlan(plan), expressions, OUTER_VAR);
				break;
			}
		case T_Append:
			visit_plans(((Append *) plan)->appendplans);
			break;
		case T_MergeAppend:
			visit_plans(((MergeAppend *) plan)->mergeplans);
			break;
		default:
			break;
	}
	visit_plan(outerPlan(plan));
	visit_plan(innerPlan(plan));
}

static PlannedStmt *
plan_statement(Query *parse, const char *query_string, int options,
			   ParamListInfo params)
{
	uint64		before = hnsw_paths_costed;
	PlannedStmt *stmt;
	ListCell   *cell;

	if (next_planner)
		stmt = next_planner(parse, query_string, options, params);
	else
		stmt = standard_planner(parse, query_string, options, params);
	if (hnsw_paths_costed == before)
		return stmt;			/* no scan of ours was even considered */

	if (stmt->commandType == CMD_SELECT)
		clear_unread(stmt->planTree, wanted_columns(stmt->planTree->targetlist));
	visit_plan(stmt->planTree);
	HnswExpectRows(stmt->planTree, (options & CURSOR_OPT_FAST_PLAN) == 0);
	foreach(cell, stmt->subplans)
	{
		Plan	   *plan = (Plan *) lfirst(cell);

		if (plan == NULL)
			continue;
		clear_unread(plan, wanted_columns(plan->targetlist));
		visit_plan(plan);
		HnswExpectRows(plan, false);
	}
	return stmt;
}

/* Called once, when the library loads: what is done to plans that are complete. */
void
HnswPlanInit(void)
{
	next_planner = planner_hook;
	planner_hook = plan_statement;
}
