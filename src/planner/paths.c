/*
 * paths.c
 *		Index scans for conditions like v <-> q < r.
 *
 * PostgreSQL sees no use for an index in such a condition: what it compares is
 * no column.  A hook adds paths in which it has become one that an index can
 * check, v <<->> (q, r), by the operator classes' second strategy.  q and r are what
 * the condition has there, parameters of a plan or of a nested loop as well; the
 * executor computes them when a scan begins.  The condition itself stays in the
 * plan, as the check of each row.
 *
 * Where the query is ordered by the same distance, so is the path.  Any other
 * path returns its rows in any order, and all that the index finds.
 *
 * No such path changes rows: what UPDATE and DELETE are to find is found exactly.
 */
#include "postgres.h"

#include <math.h>

#include "access/stratnum.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_type_d.h"
#include "hnsw/am/am.h"
#include "hnsw/am/hint.h"
#include "hnsw/hnsw.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/restrictinfo.h"
#include "planner/planner.h"
#include "utils/catcache.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

static set_rel_pathlist_hook_type next_hook = NULL;

/* Looking into an index costs as much as comparing some hundred rows. */
#define SHARE_LEAST_ROWS	2000

/* A condition that bounds the distance an index orders by. */
typedef struct Bound
{
	RestrictInfo *rinfo;
	Expr	   *distance;		/* as it stands in the query */
	OpExpr	   *order;			/* the same with the index's value on the left */
	Expr	   *radius;			/* float8 */
	Relids		outer;			/* what else it needs */
} Bound;

/* The operator of the second strategy, and the type of its right argument. */
static Oid
within_operator(const IndexOptInfo *index, Oid *sphere)
{
	CatCList   *operators = SearchSysCacheList1(AMOPSTRATEGY, ObjectIdGetDatum(index->opfamily[0]));
	Oid			found = InvalidOid;

	for (int i = 0; i < operators->n_members; i++)
	{
		Form_pg_amop op = (Form_pg_amop) GETSTRUCT(&operators->members[i]->tuple);

		if (op->amopstrategy != HNSW_WITHIN_STRATEGY || op->amoppurpose != AMOP_SEARCH ||
			op->amoplefttype != index->opcintype[0])
			continue;
		found = op->amopopr;
		*sphere = op->amoprighttype;
	}
	ReleaseCatCacheList(operators);
	return found;
}

/* May an expression be computed once, before the scan? */
static bool
is_fixed(PlannerInfo *root, const RelOptInfo *rel, Node *expr)
{
	return !bms_is_member(rel->relid, pull_varnos(root, expr)) &&
		!contain_volatile_functions(expr);
}

/* The distance that an index orders by, with its value on the left; or NULL. */
static OpExpr *
match_distance(PlannerInfo *root, IndexOptInfo *index, Node *node)
{
	OpExpr	   *op = (OpExpr *) node;
	Oid			opno;

	if (!IsA(node, OpExpr) || list_length(op->args) != 2)
		return NULL;
	opno = op->opno;
	if (!match_index_to_operand(linitial(op->args), 0, index))
	{
		opno = get_commutator(opno);
		if (!OidIsValid(opno) || !match_index_to_operand(lsecond(op->args), 0, index))
			return NULL;
		op = copyObject(op);
		op->opno = opno;
		op->opfuncid = get_opcode(opno);
		op->args = list_make2(lsecond(op->args), linitial(op->args));
	}
	if (!OidIsValid(get_op_opfamily_sortfamily(opno, index->opfamily[0])) ||
		exprType(lsecond(op->args)) != index->opcintype[0] ||
		!is_fixed(root, index->rel, lsecond(op->args)))
		return NULL;
	return op;
}

/* What a distance is compared with, as float8; NULL where it is no bound. */
static Expr *
match_radius(PlannerInfo *root, const IndexOptInfo *index, Node *node)
{
	double		value;

	if (exprType(node) == FLOAT4OID)
		node = eval_const_expressions(root, (Node *) makeFuncExpr(F_FLOAT8_FLOAT4, FLOAT8OID, list_make1(node), InvalidOid, InvalidOid,
																  COERCE_IMPLICIT_CAST));
	if (exprType(node) != FLOAT8OID || !is_fixed(root, index->rel, node))
		return NULL;
	if (!IsA(node, Const) || ((Const *) node)->constisnull)
		return (Expr *) node;
	/* NaN is greater than all numbers */
	value = DatumGetFloat8(((Const *) node)->constvalue);
	return isnan(value) || value == INFINITY ? NULL : (Expr *) node;
}

/* Is a condition an upper bound of the distance that an index orders by? */
static bool
match_bound(PlannerInfo *root, IndexOptInfo *index, RestrictInfo *rinfo, Bound *bound)
{
	OpExpr	   *op = (OpExpr *) rinfo->clause;
	Node	   *distance;
	Node	   *radius;
	Oid			family;
	int			strategy;

	if (rinfo->pseudoconstant || !IsA(op, OpExpr) || list_length(op->args) != 2)
		return false;
	for (int side = 0; side < 2; side++)
	{
		distance = list_nth(op->args, side);
		radius = list_nth(op->args, 1 - side);
		bound->order = match_distance(root, index, distance);
		if (bound->order == NULL)
			continue;
		family = get_op_opfamily_sortfamily(bound->order->opno, index->opfamily[0]);
		strategy = get_op_opfamily_strategy(op->opno, family);
		if (side == 0 ? strategy != BTLessStrategyNumber && strategy != BTLessEqualStrategyNumber :
			strategy != BTGreaterStrategyNumber && strategy != BTGreaterEqualStrategyNumber)
			continue;
		bound->radius = match_radius(root, index, radius);
		if (bound->radius == NULL)
			continue;
		bound->rinfo = rinfo;
		bound->distance = (Expr *) distance;
		bound->outer = bms_difference(rinfo->clause_relids, index->rel->relids);
		return true;
	}
	return false;
}

/*
 * All bounds among a relation's conditions and those of joins to it.  Also of those that the
 * server would not let an index check before a policy, or a view, has hidden rows
 * (restriction_is_securely_promotable): a scan compares stored vectors with q and r, which
 * are computed without a row, by functions of this library, whose errors say nothing of a row's
 * values.  The condition itself is checked after the policies.
 */
static List *
find_bounds(PlannerInfo *root, IndexOptInfo *index)
{
	RelOptInfo *rel = index->rel;
	List	   *bounds = NIL;
	Bound		bound;
	ListCell   *cell;

	foreach(cell, rel->baserestrictinfo)
	{
		if (match_bound(root, index, lfirst(cell), &bound))
			bounds = lappend(bounds, memcpy(palloc(sizeof(bound)), &bound, sizeof(bound)));
	}
	foreach(cell, rel->joininfo)
	{
		if (join_clause_is_movable_to(lfirst(cell), rel) &&
			match_bound(root, index, lfirst(cell), &bound))
			bounds = lappend(bounds, memcpy(palloc(sizeof(bound)), &bound, sizeof(bound)));
	}
	return bounds;
}

/*
 * The share of the index's rows that are within a bound: looked up in the index where the bound
 * is known, else a guess, as it is where the share is so small that looking does not tell.  No
 * user is told by EXPLAIN how far rows are that a policy hides; few rows are not worth a look; and who
 * forbids index scans has no error of a damaged index.  make_clause notes the share in the
 * condition's RestrictInfo, for cost.c, and in its operator, for expected.c.
 */
static double
share_within(const IndexOptInfo *index, const Bound *bound)
{
	const Const *center = lsecond(bound->order->args);
	const Const *radius = (const Const *) bound->radius;
	double		share = -1;

	if (enable_indexscan && !index->hypothetical && index->tuples >= SHARE_LEAST_ROWS &&
		restriction_is_securely_promotable(bound->rinfo, index->rel) && IsA(center, Const) && !center->constisnull && IsA(radius, Const) && !radius->constisnull)
		share = HnswShareWithin(index->indexoid, center->constvalue, DatumGetFloat8(radius->constvalue));
	return share < 0 ? HNSW_WITHIN_SHARE : share;
}

/* The condition for the index. */
static IndexClause *
make_clause(PlannerInfo *root, IndexOptInfo *index, const Bound *bound, Oid operator, Oid sphere)
{
	IndexClause *clause = makeNode(IndexClause);
	RowExpr    *row = makeNode(RowExpr);
	RestrictInfo *rinfo;
	OpExpr	   *op;

	row->args = list_make2(lsecond(bound->order->args), bound->radius);
	row->row_typeid = sphere;
	row->row_format = COERCE_EXPLICIT_CAST;
	row->location = -1;
	op = (OpExpr *) make_opclause(operator, BOOLOID, false, linitial(bound->order->args), (Expr *) row,
								  InvalidOid, InvalidOid);
	set_opfuncid(op);
	rinfo = make_simple_restrictinfo(root, (Expr *) op);
	rinfo->norm_selec = share_within(index, bound);
	op->inputcollid = HNSW_CHECKED | HnswHintOfRows(index->tuples * rinfo->norm_selec);
	clause->rinfo = bound->rinfo;
	clause->indexquals = list_make1(rinfo);
	clause->lossy = true;
	clause->indexcol = 0;
	return clause;
}

/* What of the query's order a scan by a distance serves. */
static List *
match_order(PlannerInfo *root, IndexOptInfo *index, const Bound *bound)
{
	PathKey    *key = root->query_pathkeys ? linitial_node(PathKey, root->query_pathkeys) : NULL;

	if (key == NULL || key->pk_nulls_first || key->pk_eclass->ec_has_volatile ||
		key->pk_opfamily != get_op_opfamily_sortfamily(bound->order->opno, index->opfamily[0]) ||
		CompatPathKeyDescends(key) ||
		(find_ec_member_matching_expr(key->pk_eclass, bound->distance, index->rel->relids) == NULL &&
		 find_ec_member_matching_expr(key->pk_eclass, (Expr *) bound->order, index->rel->relids) == NULL))
		return NIL;
	return list_make1(key);
}

/* How often a scan that needs other relations is likely to be repeated: as create_index_paths has it. */
static double
loop_count(PlannerInfo *root, Relids outer)
{
	double		count = 0;

	for (int relid = bms_next_member(outer, -1); relid >= 0; relid = bms_next_member(outer, relid))
	{
		const RelOptInfo *rel = relid < root->simple_rel_array_size ? root->simple_rel_array[relid] : NULL;

		if (rel != NULL && rel->rows > 0 && (count == 0 || rel->rows < count))
			count = rel->rows;
	}
	return Max(count, 1);
}

/* A path by all bounds that are of the same distance and need no other relations. */
static void
add_range_path(PlannerInfo *root, IndexOptInfo *index, List *bounds, const Bound *first,
			   Oid operator, Oid sphere)
{
	RelOptInfo *rel = index->rel;
	Relids		outer = bms_union(rel->lateral_relids, first->outer);
	List	   *pathkeys = bms_is_empty(first->outer) ? match_order(root, index, first) : NIL;
	List	   *clauses = NIL;
	IndexPath  *path;
	bool		earlier = true;
	ListCell   *cell;

	foreach(cell, bounds)
	{
		const Bound *bound = lfirst(cell);

		earlier = earlier && bound != first;
		if (!bms_is_subset(bound->outer, first->outer) || !equal(bound->order, first->order))
			continue;
		/* the path is there */
		if (earlier && bms_equal(bound->outer, first->outer))
			return;
		clauses = lappend(clauses, make_clause(root, index, bound, operator, sphere));
	}
	path = create_index_path(root, index, clauses,
							 pathkeys ? list_make1(first->order) : NIL,
							 pathkeys ? list_make1_int(0) : NIL,
							 pathkeys, ForwardScanDirection, false,
							 bms_is_empty(outer) ? NULL : outer, loop_count(root, outer), false);
	path->path.rows = HnswRowsWithin(root, path);
	add_path(rel, (Path *) path);
}

/* set_rel_pathlist_hook */
static void
add_paths(PlannerInfo *root, RelOptInfo *rel, Index rti, RangeTblEntry *rte)
{
	ListCell   *cell;

	if (next_hook)
		next_hook(root, rel, rti, rte);
	if (rte->rtekind != RTE_RELATION || rte->inh || rte->tablesample || IS_DUMMY_REL(rel) ||
		bms_is_member(rel->relid, root->all_result_relids))
		return;
	foreach(cell, rel->indexlist)
	{
		IndexOptInfo *index = lfirst(cell);
		Oid			sphere = InvalidOid;
		Oid			operator;
		List	   *bounds;
		ListCell   *bound;

		if (index->amcostestimate != hnswcostestimate ||
			(index->indpred != NIL && !index->predOK))
			continue;
		bounds = find_bounds(root, index);
		if (bounds == NIL)
			continue;
		operator = within_operator(index, &sphere);
		if (!OidIsValid(operator))
			continue;
		foreach(bound, bounds)
			add_range_path(root, index, bounds, lfirst(bound), operator, sphere);
	}
}

/* Called once, when the library loads. */
void
HnswPathsInit(void)
{
	next_hook = set_rel_pathlist_hook;
	set_rel_pathlist_hook = add_paths;
}
