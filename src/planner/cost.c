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

#include "compat.h"
#include "hnsw/am/am.h"
#include "hnsw/am/options.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "planner/planner.h"
#include "utils/selfuncs.h"
#include "utils/spccache.h"

/*
 * A search visits so many nodes for each of ef_search, and so many for each
 * e-fold growth of the index, whatever the dimensions: what is noisier about
 * longer vectors' codes is made up for by more bits or links.
 */
#define VISITS_PER_EF			1.5
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

uint64		hnsw_paths_costed = 0;

/*
 * A search's cost: pages of an index that the cache can hold are taken to be
 * there, for those near the entry are, and the exact scan's pages are taken to
 * be as well cached by who set the planner's costs.
 */
static Cost
search_cost(IndexOptInfo *index, double nodes, double visits)
{
	double		pages = Max((double) index->pages, 1);
	double		bytes = Min(pages * BLCKSZ / nodes, 2 * BLCKSZ);
	double		uncached = Max(1 - effective_cache_size / pages, 0);
	double		random_page;

	get_tablespace_page_costs(index->reltablespace, &random_page, NULL);
	return cpu_operator_cost *
		(SEARCH_OPERATORS + visits * (VISIT_OPERATORS + bytes / OPERATOR_BYTES)) +
		visits * uncached * random_page;
}

/*
 * The LIMIT of a query: how many rows in order of distance it wants, or 0 where
 * it wants all of them or there is no telling.  After a join, which may let any
 * share of the rows through, there is none.
 */
static double
query_limit(PlannerInfo *root, int ef)
{
	Query	   *parse = root->parse;

	if (bms_membership(root->all_baserels) == BMS_MULTIPLE)
		return 0;
	if (root->limit_tuples > 0)
		return root->limit_tuples;
	/* LIMIT $1, in a plan for any value; grouping and the like may read all rows */
	if (parse->limitCount == NULL || IsA(parse->limitCount, Const) ||
		parse->groupClause || parse->groupingSets || parse->distinctClause ||
		parse->hasAggs || parse->hasWindowFuncs || parse->setOperations)
		return 0;
	return ef;
}

/*
 * What each row of the index costs.  A scan returns only ef_search rows.  Those
 * beyond do not come at all, and where a condition, or the lack of a LIMIT, asks
 * for more, the price is that of a page each, which leaves such queries to the
 * scans that return them.  (A LIMIT beyond ef_search is the user's word.)  Once
 * scans go on until enough rows have come, no row has that price; a search then
 * visits nodes for Max(ef_search, wanted) rows.
 */
static Cost
row_cost(IndexOptInfo *index, double limit, int ef)
{
	double		beyond = 1;		/* share of the rows wanted */
	double		random_page;

	get_tablespace_page_costs(index->reltablespace, &random_page, NULL);
	if (limit > 0)
	{
		double		wanted = limit * Max(index->tuples / Max(index->rel->rows, 1), 1);

		beyond = Max(wanted - Max(limit, ef), 0) / wanted;
	}
	return ROW_OPERATORS * cpu_operator_cost + beyond * random_page;
}

/*
 * amcostestimate.  The scan is of no use without ORDER BY.  Its search is paid
 * before the first row.  Rows' vectors that are read to rank them are not
 * counted: the planner counts the distance of each row that is returned, which
 * unread.c takes out of the plan, for as much.
 */
void
hnswcostestimate(PlannerInfo *root, IndexPath *path, double loop_count,
				 Cost *startup, Cost *total, Selectivity *selectivity,
				 double *correlation, double *pages)
{
	IndexOptInfo *index = path->indexinfo;
	double		tuples = Max(index->tuples, 1);
	double		visits;
	int			ef;

	if (path->indexorderbys == NIL)
	{
		*startup = *total = disable_cost * 1000;
		CompatDisablePath(path);
		*selectivity = 0;
		*correlation = 0;
		*pages = 0;
		return;
	}

	hnsw_paths_costed++;
	ef = HnswEfSearch();
	visits = Min(VISITS_PER_EF * ef + VISITS_PER_LOG * log(tuples + 1), tuples);
	*startup = search_cost(index, tuples, visits);
	*total = *startup + tuples * row_cost(index, query_limit(root, ef), ef);
	*selectivity = 1;
	*correlation = 0;
	*pages = visits;
}
