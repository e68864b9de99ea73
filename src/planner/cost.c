/*
 * cost.c
 *		What an index scan costs, for the planner.
 *
 * The unit is the page visited: a search visits about ef_search nodes and a
 * number that grows with the logarithm of the index, one page each, and these
 * pages mostly stay in the cache.  Everything is paid before the first row.
 */
#include "postgres.h"

#include <math.h>

#include "hnsw/hnsw.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "planner/planner.h"
#include "utils/selfuncs.h"
#include "utils/spccache.h"

uint64		hnsw_paths_costed = 0;

/*
 * amcostestimate.  The scan is of no use without ORDER BY, and returns only
 * ef_search rows: without a LIMIT (which the planner takes into account by
 * the startup cost alone) it costs more than any sort.
 */
void
hnswcostestimate(PlannerInfo *root, IndexPath *path, double loop_count,
				 Cost *startup, Cost *total, Selectivity *selectivity,
				 double *correlation, double *pages)
{
	double		tuples = Max(path->indexinfo->tuples, 1);
	double		nodes;
	double		visits;
	double		spc_random_page_cost;

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
	nodes = Min(tuples, Max((double) path->indexinfo->pages, 1) * 8);
	/* descent, then ef_search nodes and those that turn out no results */
	visits = Min(nodes, 1.5 * HnswEfSearch() + 2 * log(nodes + 1));
	get_tablespace_page_costs(path->indexinfo->reltablespace, &spc_random_page_cost, NULL);

	/*
	 * The upper levels and what recent searches visited are in memory; half
	 * of a random page per visit, and the arithmetic of a visit: one pass
	 * over 32 sketches.
	 */
	*startup = visits * (0.5 * spc_random_page_cost + 40 * cpu_operator_cost);

	/*
	 * Rows beyond the first ef_search do not come at all.  A query that wants
	 * all rows must not be planned this way, so their price is that of one
	 * more page each; a LIMIT scales it down.
	 */
	*total = *startup + tuples * (spc_random_page_cost + 40 * cpu_operator_cost);
	*selectivity = 1;
	*correlation = 0;
	*pages = visits;
}
