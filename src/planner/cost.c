/*
 * cost.c
 *		What an index scan costs, for the planner.
 *
 * In the unit that support.c prices vectors in, where a row that is read,
 * compared and sorted comes to what PostgreSQL says.  The figures were found
 * with bench/plans.py, which tells whether they still hold.
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "compat.h"
#include "hnsw/am/am.h"
#include "hnsw/am/options.h"
#include "hnsw/am/recall.h"
#include "hnsw/graph/search.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "planner/planner.h"
#include "utils/selfuncs.h"
#include "utils/spccache.h"

/*
 * A search visits HNSW_VISITS_PER_EF nodes for each of its width, and so many for each
 * e-fold growth of the index, whatever the dimensions: what is noisier about
 * longer vectors' codes is made up for by more bits or links.
 */
#define VISITS_PER_LOG			5

/*
 * A search: the query rotated, its table made.  A visit: a page found in the
 * buffers and locked, neighbours queued; and its bytes, which hold the node's
 * vector and its neighbours' codes.  A row: its place in the queue, a tuple
 * fetched for ranking.
 */
#define SEARCH_OPERATORS		400
#define VISIT_OPERATORS			27
#define OPERATOR_BYTES			96
#define ROW_OPERATORS			60

/*
 * A visit beyond those of a search for hnsw.ef_search nodes: pages of so many nodes are in no
 * processor's cache, and queues are long (bench/filters.py).
 */
#define WIDE_VISIT_OPERATORS	70
#define WIDE_OPERATOR_BYTES		8

uint64		hnsw_paths_costed = 0;

static inline double
bytes_per_node(const IndexOptInfo *index, double nodes)
{
	return Min(Max((double) index->pages, 1) * BLCKSZ / nodes, 2 * BLCKSZ);
}

static Cost
random_page_cost_of(const IndexOptInfo *index)
{
	double		random_page;

	get_tablespace_page_costs(index->reltablespace, &random_page, NULL);
	return random_page;
}

/*
 * A search's cost: pages of an index that the cache can hold are taken to be
 * there, for those near the entry are, and the exact scan's pages are taken to
 * be as well cached by who set the planner's costs.
 */
static Cost
search_cost(IndexOptInfo *index, double nodes, double visits)
{
	double		pages = Max((double) index->pages, 1);
	double		bytes = bytes_per_node(index, nodes);
	double		uncached = Max(1 - effective_cache_size / pages, 0);

	return cpu_operator_cost *
		(SEARCH_OPERATORS + visits * (VISIT_OPERATORS + bytes / OPERATOR_BYTES)) +
		visits * uncached * random_page_cost_of(index);
}

/* What a visit costs beyond those of a search for hnsw.ef_search nodes. */
static Cost
wide_visit_cost(const IndexOptInfo *index, double nodes)
{
	return cpu_operator_cost * (WIDE_VISIT_OPERATORS + bytes_per_node(index, nodes) / WIDE_OPERATOR_BYTES);
}

/* What a search of some width visits. */
static double
visits_of(double width, double nodes)
{
	return Min(HNSW_VISITS_PER_EF * width + VISITS_PER_LOG * log(nodes + 1), nodes);
}

/*
 * How many more nodes the first search for so many rows visits than one of hnsw.ef_search
 * does; or what a sweep costs in its stead, where that is less.
 */
static double
visits_beyond(const IndexOptInfo *index, const HnswSettings *settings, double nodes, double rows)
{
	double		visits = visits_of(HnswFirstSearch(settings, rows), nodes);

	visits = Min(visits, HNSW_SWEEP_VISITS((double) index->pages, nodes));
	return Max(visits - visits_of(settings->ef_search, nodes), 0);
}

/*
 * What a search for so many rows visits that is to have a recall, as was measured (or a sweep
 * in its stead); 0 when there is none to be had, or it was not measured.
 */
static double
measured_visits(const IndexOptInfo *index, const HnswSettings *settings, double nodes, double rows)
{
	Relation	rel;
	double		target;
	double		visits = 0;
	HnswCalibration cal;

	if (index->hypothetical)
		return 0;
	rel = index_open(index->indexoid, NoLock);
	target = HnswRecallTarget(rel, settings);
	/* another session's may be nowhere but in its memory */
	if (target > 0 && !RELATION_IS_OTHER_TEMP(rel) && HnswReadCalibration(rel, &cal))
		visits = HnswRecallVisits(&cal, target, rows > 0 ? rows : HNSW_RECALL_ROWS);
	index_close(rel, NoLock);
	return Min(visits, HNSW_SWEEP_VISITS((double) index->pages, nodes));
}

/* Can an index be searched?  Who forbids index scans has no error of one that is damaged. */
static bool
is_searchable(const IndexOptInfo *index)
{
	return index->hypothetical || !enable_indexscan || HnswCanBeRead(index->indexoid);
}

/*
 * How many rows in order of distance a query wants of a scan: -1 where it wants all,
 * 0 where there is no telling, as after a join, which may let any share of the rows
 * through.
 */
static double
query_limit(PlannerInfo *root, const HnswSettings *settings)
{
	Query	   *parse = root->parse;

	if (parse->limitCount == NULL)
		return root->tuple_fraction == 0 ? -1 : 0;
	if (bms_membership(root->all_baserels) == BMS_MULTIPLE)
		return 0;
	if (root->limit_tuples > 0)
		return root->limit_tuples;
	/* LIMIT $1, in a plan for any value; grouping and the like may read all rows */
	if (IsA(parse->limitCount, Const) || parse->groupClause || parse->groupingSets ||
		parse->distinctClause || parse->hasAggs || parse->hasWindowFuncs || parse->setOperations)
		return -1;
	return settings->ef_search;
}

/* The side of a comparison that has columns of a relation; NULL if not just one has. */
static const Node *
compared(PlannerInfo *root, const RelOptInfo *rel, const RestrictInfo *rinfo)
{
	const OpExpr *op = (const OpExpr *) rinfo->clause;
	bool		left;
	bool		right;

	if (!IsA(op, OpExpr) || list_length(op->args) != 2)
		return NULL;
	left = bms_is_member(rel->relid, pull_varnos(root, linitial(op->args)));
	right = bms_is_member(rel->relid, pull_varnos(root, lsecond(op->args)));
	if (left == right)
		return NULL;
	return left ? linitial(op->args) : lsecond(op->args);
}

/*
 * The share of the index's rows that all conditions let through; of a scan with bounds, the
 * share of those within.
 */
static double
matching(PlannerInfo *root, const IndexPath *path)
{
	const IndexOptInfo *index = path->indexinfo;
	double		rows;

	if (path->indexclauses != NIL)
	{
		const Node *distance = compared(root, index->rel, linitial_node(IndexClause, path->indexclauses)->rinfo);
		List	   *others = NIL;
		ListCell   *cell;

		foreach(cell, index->indrestrictinfo)
		{
			if (!equal(distance, compared(root, index->rel, lfirst(cell))))
				others = lappend(others, lfirst(cell));
		}
		return Max(clauselist_selectivity(root, others, index->rel->relid, JOIN_INNER, NULL),
				   1 / Max(index->tuples, 1));
	}
	rows = path->path.param_info ? path->path.param_info->ppi_rows : index->rel->rows;

	return Min(Max(rows, 1) / Max(index->tuples, 1), 1);
}

/* The share of the index's rows that are within all bounds of a path (paths.c). */
static double
share_within(const IndexPath *path)
{
	double		share = 1;
	ListCell   *cell;

	foreach(cell, path->indexclauses)
	{
		const IndexClause *clause = lfirst_node(IndexClause, cell);
		double		one = linitial_node(RestrictInfo, clause->indexquals)->norm_selec;

		/* a condition that somebody wrote as the index has it */
		share = Min(share, one < 0 ? HNSW_WITHIN_SHARE : one);
	}
	return share;
}

/* How many rows a path with bounds of the distance returns. */
double
HnswRowsWithin(PlannerInfo *root, const IndexPath *path)
{
	return clamp_row_est(Max(path->indexinfo->tuples, 1) * share_within(path) * matching(root, path));
}

/* For expression_tree_walker: is a parameter of the statement in the expression? */
static bool
has_parameter(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Param))
		return ((Param *) node)->paramkind == PARAM_EXTERN;
	return expression_tree_walker(node, has_parameter, context);
}

/*
 * A plan for any parameters takes it that a third of the rows are less than one. Where it is few,
 * that makes a scan by far the dearest of all plans, and where it is many, the price of few
 * makes PostgreSQL go on with plans for the values, which know.
 */
#define UNKNOWN_SHARE	0.01

/* Is a condition on a parameter among those of which there is no telling how many rows meet them? */
static bool
is_unknown(const IndexOptInfo *index)
{
	ListCell   *cell;

	foreach(cell, index->indrestrictinfo)
	{
		RestrictInfo *condition = lfirst_node(RestrictInfo, cell);

		if (condition->norm_selec == DEFAULT_INEQ_SEL && has_parameter((Node *) condition->clause, NULL))
			return true;
	}
	return false;
}

/*
 * What each row costs beyond the first search with hnsw.iterative_scan off.  Rows beyond
 * hnsw.ef_search do not come at all, and where a condition, or the lack of a LIMIT, asks
 * for more, the price is that of a page each, which leaves such queries to the
 * scans that return them.  (A LIMIT beyond ef_search is the user's word.)
 */
static Cost
missing_cost(IndexOptInfo *index, double limit, double share, int ef)
{
	double		random_page = random_page_cost_of(index);
	double		wanted = limit / share;

	if (limit <= 0)
		return random_page;
	return random_page * Max(wanted - Max(limit, ef), 0) / wanted;
}

/*
 * amcostestimate.  Where conditions make a search wide, each visit beyond pays for a page at random:
 * the exact plan, by an index on what the conditions are of, is priced by the rows it reads
 * at random, and what is in the cache of one is as likely in that of the other.  The scan is of no use without ORDER BY or a bound of the distance,
 * nor of an index that cannot be read.  Its
 * search is paid before the first row, and is as wide as the rows that are wanted and what share
 * matches ask for (HnswFirstSearch), or as there are within the bound; where that is more than a
 * sweep costs, it is a sweep.  Where nobody knows
 * how many are wanted, each row pays for going on.  Rows' vectors that are read to rank
 * them are not counted: the planner counts the distance of each row that is returned, which
 * unread.c takes out of the plan, for as much.
 */
void
hnswcostestimate(PlannerInfo *root, IndexPath *path, double loop_count,
				 Cost *startup, Cost *total, Selectivity *selectivity,
				 double *correlation, double *pages)
{
	IndexOptInfo *index = path->indexinfo;
	double		tuples = Max(index->tuples, 1);
	bool		bounded = path->indexclauses != NIL;
	double		rows = bounded ? Max(tuples * share_within(path), 1) : tuples;	/* that come at all */
	double		share;
	double		limit;
	double		visits;
	double		beyond;
	double		measured;
	Cost		wide;
	Cost		row = ROW_OPERATORS * cpu_operator_cost;
	HnswSettings settings;

	if ((path->indexorderbys == NIL && !bounded) || !is_searchable(index))
	{
		*startup = *total = disable_cost * 1000;
		CompatDisablePath(path);
		*selectivity = 0;
		*correlation = 0;
		*pages = 0;
		return;
	}

	hnsw_paths_costed++;
	HnswReadSettings(&settings);
	share = matching(root, path);
	if (is_unknown(index))
		share = Min(share, UNKNOWN_SHARE);
	limit = query_limit(root, &settings);
	wide = wide_visit_cost(index, tuples);
	visits = visits_of(settings.ef_search, tuples);
	if (settings.iterative_scan != HNSW_ITERATIVE_OFF)
		visits = Min(visits, HNSW_SWEEP_VISITS((double) index->pages, tuples));
	beyond = visits_beyond(index, &settings, tuples, limit < 0 ? rows : Min(limit / share, rows));
	measured = measured_visits(index, &settings, tuples, limit < 0 ? rows : Min(limit / share, rows));
	if (measured > 0)
	{
		beyond = Max(measured - visits, 0);
		visits = Min(measured, visits);
	}
	*startup = search_cost(index, tuples, visits) + beyond * wide;
	if (!bounded && share < 1)
		*startup += beyond * random_page_cost_of(index);
	if (settings.iterative_scan == HNSW_ITERATIVE_OFF && path->indexorderbys != NIL)
		row += missing_cost(index, limit, share, settings.ef_search);
	else if (limit == 0)
		row += 2 * HNSW_VISITS_PER_EF * wide;	/* half of what is found is handed out */
	*total = *startup + rows * row;
	*selectivity = rows / tuples;
	*correlation = 0;
	*pages = visits + beyond;
}
