/*
 * scan.c
 *		Index scans: ORDER BY distance LIMIT n, and WHERE distance < r (within.c).
 *
 * A scan returns rows until the executor stops asking (README, "More than one search").
 * The first search finds ef_search nodes, or more where the plan says that more are
 * expected, with distances computed from their own vectors as the index stores them.  Rows
 * come out in the order of their true distances: where the intervals of two rows overlap
 * (HnswDistanceSlack), the rows' vectors are fetched from the table, lazily, as far as rows
 * are asked for.  Where quantisation could account for all the differences of what the
 * search found, it goes on until what it has not found is likely to be farther than the
 * row that is to be returned.
 *
 * When more is asked for than can be relied on of what has been found, the search goes on.
 * Nodes nearer than a row that was returned, which only it finds, come too late: at the end.
 * When a search has no candidates left, or going on has cost as much as reading
 * the index, all nodes not returned yet come from a sweep (sweep.c).
 *
 * A scan holds no lock and no pin between calls: it copies the heap TIDs of a node
 * when the node's turn comes.  Those it holds may be reclaimed by VACUUM and
 * given to other rows meanwhile; an MVCC snapshot does not see such rows, and
 * other snapshots are refused.
 *
 * Nodes all of whose rows turn out to be dead to all transactions are marked, so
 * that later scans do not look at the rows again (HnswIsKilled).  A scan on a
 * standby ignores these hints, and finds the same in the same order, but for equal distances.
 */
#include "postgres.h"

#include <limits.h>
#include <math.h>

#include "access/relscan.h"
#include "access/tableam.h"
#include "catalog/index.h"
#include "compat.h"
#include "executor/executor.h"
#include "hnsw/am/am.h"
#include "hnsw/am/hint.h"
#include "hnsw/am/options.h"
#include "hnsw/am/recall.h"
#include "hnsw/am/scan.h"
#include "hnsw/base/marks.h"
#include "hnsw/graph/coarse.h"
#include "hnsw/graph/search.h"
#include "hnsw/graph/sweep.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/precision.h"
#include "hnsw/metric/vector.h"
#include "hnsw/page/index.h"
#include "hnsw/page/meta.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/* Memory of a scan that has ended is kept for the next one, if it is not much beside its query. */
#define KEPT_SEARCH_BYTES	((Size) 256 * 1024)

/* So many nodes are searched for at once, at most, in little and in much memory. */
#define MIN_MORE	256
#define MAX_MORE	65536

/* Return the search's memory to the handle; after an error it is let go. */
static void
release_search(HnswScan *so, bool error)
{
	HnswSearch *s = so->search;

	so->search = NULL;
	if (s == NULL)
		return;
	HnswStatsAddSearch(&so->stats, s);
	s->without.blk = InvalidBlockNumber;
	if (!error && so->g->search == NULL &&
		MemoryContextMemAllocated(s->cxt, true) <= KEPT_SEARCH_BYTES + HnswQueryBytes(so->g->lay))
		so->g->search = s;
	else
		MemoryContextDelete(s->cxt);
}

static void
close_graph(void *arg)
{
	HnswScan  *so = (HnswScan *) arg;

	if (so->g == NULL)
		return;
	release_search(so, true);
	HnswCountersClose(so);
	HnswClose(so->g);
	so->g = NULL;
}

/* ambeginscan: opens the handle; a callback of the context closes it after an error. */
IndexScanDesc
hnswbeginscan(Relation index, int nkeys, int norderbys)
{
	IndexScanDesc scan = RelationGetIndexScan(index, nkeys, norderbys);
	HnswScan  *so = palloc0(sizeof(HnswScan));
	MemoryContextCallback *cb = palloc0(sizeof(MemoryContextCallback));

	so->cxt = AllocSetContextCreate(CurrentMemoryContext, "hnsw scan",
									ALLOCSET_DEFAULT_SIZES);
	cb->func = close_graph;
	cb->arg = so;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, cb);
	so->g = HnswOpen(index);
	so->stats.index = RelationGetRelid(index);
	so->without.blk = InvalidBlockNumber;
	HnswCountersOpen(so);
	scan->opaque = so;
	return scan;
}

/* ---- beginning anew ---- */

static void
end_search(HnswScan *so)
{
	HnswMarkKilled(so);
	HnswCachedEnd(so);
	if (so->sweep)
		HnswSweepEnd(so->sweep);
	so->sweep = NULL;
	release_search(so, false);
	HnswCountersAdd(so);
}

/* amrescan: forgets the scan before, whose hints it sets; the handle stays. */
void
hnswrescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys)
{
	HnswScan  *so = (HnswScan *) scan->opaque;

	so->g->rel = scan->indexRelation;
	end_search(so);
	MemoryContextReset(so->cxt);
	so->unsearched = false;
	so->started = false;
	so->query = NULL;
	so->found = NULL;
	so->items = NULL;
	so->nitems = so->maxitems = 0;
	so->have_ahead = false;
	so->coarse = so->unclear = false;
	so->nfound = so->nwithin = 0;
	so->ended = false;
	so->farthest = -INFINITY;
	so->emitted = NULL;
	so->nemitted = so->maxemitted = 0;
	so->nvisible = 0;
	so->npassed = so->nrows = 0;
	so->hold = 0;
	so->went_on = false;
	so->empty = false;
	so->have_cur = false;
	so->tids = NULL;
	so->ntids = so->maxtids = 0;
	so->killed = NULL;
	so->nkilled_nodes = so->maxkilled = 0;
	so->nkilled_all = 0;
	so->patience = 0;
	so->returned = NULL;
	so->nreturned = so->maxreturned = 0;
	if (keys && scan->numberOfKeys > 0)
		memmove(scan->keyData, keys, scan->numberOfKeys * sizeof(ScanKeyData));
	if (orderbys && scan->numberOfOrderBys > 0)
		memmove(scan->orderByData, orderbys, scan->numberOfOrderBys * sizeof(ScanKeyData));
}

/* ---- searching ---- */

/*
 * Rows of a node have vectors that are equal once normalised: where that is the metric's work,
 * their distances may differ by its rounding.  Where all rows are to be in order, each
 * becomes an item; and no distance tells of another row's by less than this.
 */
#define ROW_SLACK	1e-6

static inline double
row_slack(const HnswScan *so)
{
	return so->by_row ? ROW_SLACK : 0;
}

static inline bool
has_rows(const HnswScan *so, const HnswFound *f)
{
	return so->by_row && (f->ntids > 1 || f->overflow != InvalidBlockNumber);
}

/* Are there nodes enough beyond the bound to rely on what has been found within? */
static bool
found_all(const HnswScan *so)
{
	return so->bound < INFINITY &&
		so->nfound >= HnswRadiusWidth(HnswFirstWithin(&so->settings), so->nwithin);
}

/*
 * Of the nodes found, so many are returned before the search goes on: among the farthest
 * too many may be missing, and those nearer than a row that has been returned come late.
 */
static int64
hand_out(const HnswScan *so)
{
	if (so->target > 0)
		return so->ef;
	if (so->settings.iterative_scan == HNSW_ITERATIVE_OFF || found_all(so))
		return PG_INT64_MAX;
	/* one search was meant to do */
	if (so->expected > 0 && so->nfound <= so->ef)
		return Max(so->nfound * 3 / 4, Min(so->expected, so->nfound));
	/* what is kept back is kept in memory */
	return Max(so->nfound / 2, so->nfound - so->max_more);
}

/* So many nodes are found now, and returned before the search goes on. */
void
HnswScanHold(HnswScan *so)
{
	so->hold = hand_out(so);
}

/* The search's results become items; those that the scan is done with were the cache's. */
static void
add_results(HnswScan *so)
{
	const HnswResult *res = &so->search->results;

	for (int i = 0; i < res->nfound; i++)
	{
		const HnswFound *f = &res->found[res->order[i].idx];
		double		dist = f->dist * so->search->query.unit;
		double		slack = HnswItemSlack(so, f) + row_slack(so);

		if (so->npassed > 0 && HnswMarksTest(&so->search->taken, HnswNodeNumber(so->g, f->blk, f->slot)))
			continue;
		HnswItemsAdd(so, f, dist - slack, dist + slack, false, false);
		so->nwithin += dist <= so->bound;
	}
	so->nfound += res->nfound;
	so->hold = hand_out(so);
	if (so->coarse && res->nfound > 0)
		so->reach = HnswResultsReach(so->g, &so->search->query, res) * so->search->query.unit;
}

/*
 * Leave the search: all nodes that are not done with come from a sweep, which finds
 * those again that are items; or the rows of the table that meet the plan's conditions (table.c),
 * with those of items among them.
 */
static void
start_sweep(IndexScanDesc scan, HnswScan *so)
{
	MemoryContext old = MemoryContextSwitchTo(so->cxt);
	HnswMatches rows;
	const bool	matches = HnswMatchesBegin(&rows, scan, so);
	HnswSweepArgs args = {0};

	args.source = matches ? HnswMatchesNext : NULL;
	args.arg = matches ? (void *) &rows : scan;
	if (scan->ignore_killed_tuples && so->nkilled_all > so->npassed / 2)
		args.filter = HnswDropKilled;
	/* else very many could come before any other, for all that is known */
	so->ranked = so->exact && (matches || so->search->query.far || so->unclear);
	if (so->ranked)
		args.rank = HnswRankNode;
	args.farthest = so->farthest / so->search->query.unit;
	args.by_row = !so->ordered;
	args.bound = so->bound / so->search->query.unit;
	args.memory = Min(HnswScanMemory(&so->settings) / 1024, MAX_KILOBYTES);
	HnswItemsForget(so, matches);
	so->stats.sweeps++;
	ereport(DEBUG2, (errmsg_internal("index \"%s\": a scan reads all of it", RelationGetRelationName(so->g->rel))));
	so->sweep = HnswSweepBegin(so->g, so->search, &args);
	if (matches)
		HnswMatchesEnd(&rows);
	MemoryContextSwitchTo(old);
	so->have_ahead = HnswSweepNext(so->sweep, &so->ahead);
}

/* Nodes of the sweep that may come before the first item become items. */
static void
add_ahead(HnswScan *so)
{
	while (so->have_ahead)
	{
		const HnswSwept *ahead = &so->ahead;
		double		least = ahead->least * so->search->query.unit - row_slack(so);
		double		slack = (so->ranked ? 0 : HnswItemSlack(so, &ahead->node)) + row_slack(so);

		if (!so->ordered)
		{
			least = -INFINITY;
			slack = 0;
		}
		/* those that are late are the last */
		if (ahead->late && so->settings.iterative_scan == HNSW_ITERATIVE_OFF)
			so->have_ahead = false;
		if (!so->have_ahead)
			return;
		if (so->nitems > 0 && (ahead->late != so->items[0].late ? ahead->late :
							   least >= so->items[0].high))
			return;
		HnswItemsAdd(so, &ahead->node, least, least + 2 * slack, ahead->late, false);
		so->have_ahead = HnswSweepNext(so->sweep, &so->ahead);
	}
}

/* What a scan's memory is for: candidates, nodes found and ranked. */
static void
share_memory(HnswScan *so)
{
	Size		memory = HnswScanMemory(&so->settings);
	Size		per_node = 2 * sizeof(HnswFound) + sizeof(HnswHeapItem) + sizeof(HnswScanItem);

	so->search->heap_limit = Max(memory / 2 / sizeof(HnswCandidate), HNSW_MIN_QUEUE);
	so->max_more = Max(Min(memory / 4 / per_node, MAX_MORE), MIN_MORE);
}

/* Is a sweep, which looks at all nodes, more than hnsw.max_scan_tuples allows? */
static bool
is_limited(const HnswScan *so)
{
	const int	most = so->settings.max_scan_tuples;

	return most < INT_MAX &&
		(uint64) most < HnswNodeNumber(so->g, RelationGetNumberOfBlocks(so->g->rel), 0);
}

/*
 * How wide the first search is.  False: so wide that a sweep is cheaper.
 */
static bool
choose_width(HnswScan *so)
{
	const HnswSettings *settings = &so->settings;
	double		width;
	double		visits;

	/* if all within a bound are wanted, it gets as wide as they are many */
	so->all = so->bound < INFINITY && so->expected >= (int64) HNSW_ALL_ROWS &&
		settings->iterative_scan != HNSW_ITERATIVE_OFF;
	if (so->all)
	{
		so->expected = 0;
		so->target = 0;			/* nor is there a last one to end by */
	}
	width = HnswFirstSearch(settings, so->expected);
	if (so->bound < INFINITY)
		width = Max(width, HnswFirstWithin(settings));
	width = Min(width, settings->max_scan_tuples);
	if (so->all)
	{
		so->search->radius = (float) (so->bound / so->search->query.unit);
		so->search->max_width = Max(Min(so->max_more, settings->max_scan_tuples), settings->ef_search);
	}
	so->ef = (int) Max(Min(width, so->max_more), settings->ef_search);
	visits = width * HNSW_VISITS_PER_EF;
	if (so->target > 0)
	{
		/* no more than hnsw.max_scan_tuples, but as many as a first search by hnsw.ef_search */
		const int64 most = Max(settings->max_scan_tuples, settings->ef_search);

		so->search->last_visit = most < INT_MAX ? (int64) (most * HNSW_VISITS_PER_EF) : PG_INT64_MAX;
		so->ef = (int) Min(Min(so->expected > 0 ? so->expected : HNSW_RECALL_ROWS, so->max_more), most);
		visits = HnswRecallVisits(&so->calibration, so->target, so->ef);
	}
	so->stats.width = so->ef;
	return settings->iterative_scan == HNSW_ITERATIVE_OFF || is_limited(so) ||
		visits < HnswSweepCost(so->g);
}

/* Is it chance which nodes the search found?  Then again, by distances only and from more places. */
static void
search_coarse(HnswScan *so, const HnswMetaPage *meta)
{
	HnswSearch *s = so->search;

	if (!so->exact || s->query.far || s->dry || !HnswResultsCoarse(so->g, &s->query, &s->results))
		return;
	/* nor do distances say then how far to go */
	if (so->target > 0)
		so->ef = Max(so->ef, so->settings.ef_search);
	so->target = 0;
	so->unclear = so->coarse = HnswSearchIndex(so->g, s, meta, so->ef, true);
	so->empty = !so->coarse;
}

/* Search for so->ef nodes, with the query prepared; what is found become items, or a sweep begins. */
void
HnswFirstResults(IndexScanDesc scan, HnswScan *so, HnswMetaPage *meta)
{
	HnswIndex  *g = so->g;
	HnswSearch *s = so->search;

	so->empty = so->target > 0 ?
		!HnswSearchWithSlack(g, s, meta, so->ef, HnswRecallFactor(&so->calibration, so->target, so->ef),
							 HnswRecallWidth(&so->calibration, so->target)) :
		!HnswSearchIndex(g, s, meta, so->ef, false);
	if (!so->empty)
		search_coarse(so, meta);
	if (so->empty)
		return;
	if (!s->dry)
		add_results(so);
	/* all are wanted, and they were too many for one search */
	if (s->dry || (so->all && !found_all(so) && !is_limited(so)))
		start_sweep(scan, so);
}

/* Is what the first search would find in the cache, whatever its query is like?  That of a query that is odd is not. */
static bool
find_cached(IndexScanDesc scan, HnswScan *so)
{
	if (likely(!HnswCachedMay(scan, so)) || so->without.blk != InvalidBlockNumber)
		return false;
	so->by_row = so->search->query.far = false;
	so->target = HnswScanTarget(so, &so->calibration);
	return choose_width(so) && HnswCachedFind(scan, so);
}

/* The first search. */
static void
search(IndexScanDesc scan, HnswScan *so)
{
	HnswIndex  *g = so->g;
	HnswSearch *s = so->search;
	HnswMetaPage meta;

	HnswReadMeta(g, &meta);		/* also loads the centre */
	so->calibration = meta.calibration;
	HnswMarksReset(&s->taken);
	s->without = so->without;
	if (s->without.blk != InvalidBlockNumber)
		HnswMarksSet(&s->taken, HnswNodeNumber(g, s->without.blk, s->without.slot));
	s->nvisits_all = s->nvisits = s->nscored = 0;
	s->radius = -INFINITY;
	share_memory(so);
	if (find_cached(scan, so))
	{
		so->stats.cache_hits++;
		return;
	}
	if (!HnswPrepareQuery(&g->space, HnswCentre(g), so->query, &s->query))
		so->exact = false;
	so->by_row = so->ordered && so->exact && so->expected >= HNSW_ALL_ROWS && g->lay->metric->normalised;
	so->empty = !HnswPlaceBound(so);
	if (so->empty)
		return;
	if (s->query.far || !so->exact)
		so->cached = NULL;
	/* else it is the one that it has been looked for by */
	if (so->cached == NULL)
		so->target = HnswScanTarget(so, &meta.calibration);
	if (so->cached == NULL && !choose_width(so))
	{
		start_sweep(scan, so);
		return;
	}
	HnswCachedSearch(scan, so, &meta);
	so->stats.cache_hits += so->unsearched;
	so->stats.cache_misses += so->cached != NULL && !so->unsearched;
}

/* What the cache had spared. */
static void
prepare_at_last(HnswScan *so)
{
	so->unsearched = false;
	(void) HnswPrepareQuery(&so->g->space, HnswCentre(so->g), so->query, &so->search->query);
}

/*
 * More is asked for than the cache had: a first search is made now.  What has been returned stays so; all
 * else it finds again.
 */
static bool
search_at_last(IndexScanDesc scan, HnswScan *so)
{
	HnswMetaPage meta;
	int64		width = Min(so->ef + so->nfound, Max(so->ef, so->max_more));

	if (so->target <= 0)
		so->ef = (int) Min(width, so->settings.max_scan_tuples);
	so->stats.resumes++;
	HnswReadMeta(so->g, &meta);
	prepare_at_last(so);
	HnswItemsForget(so, false);
	so->nfound = so->nwithin = 0;
	HnswFirstResults(scan, so, &meta);
	return !so->empty;
}

/*
 * So many nodes of the first search as are to be returned before it goes on have been.  Those without a row
 * that the snapshot sees do not count: rows that were deleted, and that VACUUM has not come to, say nothing of
 * the search, and to go on costs as much again.  May more of what it has found be returned?  Not where most are
 * dead: then it takes more than a few (is_rare).
 */
static bool
makes_up_for_dead(IndexScanDesc scan, HnswScan *so)
{
	int			visible;

	if (so->went_on || so->target > 0 || so->hold >= so->nfound)
		return false;
	visible = HnswCountVisible(scan, so);
	if (visible < so->npassed / 2)
		return false;
	so->hold = Min(hand_out(so) + so->npassed - visible, so->nfound);
	return so->npassed < so->hold;
}

/*
 * Is what the executor asks for so rare that going on until there is enough takes
 * more visits than a sweep costs?  It asks for rows that match; all that is known of them
 * is that their nodes are not dead.
 */
static bool
is_rare(IndexScanDesc scan, HnswScan *so)
{
	const HnswSearch *s = so->search;
	double		some = so->settings.iterative_scan == HNSW_ITERATIVE_OFF ?
		so->nvisible : so->npassed - so->nkilled_all;
	double		needed = so->settings.ef_search - some;
	int64		visits = so->unsearched ? HnswCachedVisits(so) : s->nvisits;
	int64		most = so->unsearched ? HnswSweepCost(so->g) : s->max_visits;

	return visits + so->ef >= Min(most, HnswTablePatience(scan, so)) ||
		needed * so->npassed / Max(some, 0.5) >= most;
}

/* Where stored vectors do not tell, a scan looks at so many times ef_search nodes. */
#define MAX_COARSE	64

/*
 * Before a row at this distance is returned: may there be a nearer one that has not
 * been found, because stored vectors do not tell?
 */
static bool
beyond_reach(HnswScan *so, double dist)
{
	if (so->coarse &&
		(so->sweep != NULL || so->search->nvisits >= so->settings.max_scan_tuples ||
		 so->nfound >= (int64) MAX_COARSE * so->settings.ef_search))
		so->coarse = false;
	return so->coarse && dist > so->reach;
}

/* Look at as many nodes again. */
static void
look_further(IndexScanDesc scan, HnswScan *so)
{
	HnswSearch *s = so->search;
	int			more = (int) Min(so->nfound, MAX_MORE);

	HnswLookBack(scan, so);
	so->stats.resumes++;
	if (s->dry)
		HnswSearchFromRoot(so->g, s, more);
	else
		HnswSearchMore(so->g, s, more);
	add_results(so);
	if (s->results.nfound == 0)
		so->coarse = false;
}

/*
 * More is asked for than has been found, or than can be relied on: go on.  False: there is
 * no more, or no more is to be looked for.
 */
static bool
search_more(IndexScanDesc scan, HnswScan *so)
{
	HnswSearch *s = so->search;
	const HnswSettings *settings = &so->settings;
	bool		limited = is_limited(so);
	int64		left;

	/* an empty index, or a sweep, has no more; nor is there any beyond the bound */
	if (so->sweep != NULL || so->empty || so->ended)
		return false;
	so->hold = PG_INT64_MAX;
	left = (int64) settings->max_scan_tuples - (so->unsearched ? HnswCachedVisits(so) : s->nvisits);
	if (left <= 0)
		return false;
	HnswLookBack(scan, so);
	if (settings->iterative_scan == HNSW_ITERATIVE_OFF && so->nvisible >= settings->ef_search)
		return false;
	/* twice as many in all; to a recall steps are smaller, for they repeat nothing */
	if (so->target > 0)
		so->ef = (int) Min((int64) so->ef + Min(Min(Max(so->ef / 2, HNSW_RECALL_ROWS), so->max_more), left), PG_INT32_MAX);
	else
		so->ef = (int) Min(Max(so->ef, Min(so->nfound, so->max_more)), left);
	if (limited || !is_rare(scan, so))
	{
		if (so->unsearched)
			return search_at_last(scan, so);
		so->stats.resumes++;
		if (so->target > 0)
		{
			s->last_visit = s->nvisits + left;
			HnswSearchMoreWithSlack(so->g, s, so->ef,
									HnswRecallFactor(&so->calibration, so->target, so->ef));
		}
		else
			HnswSearchMore(so->g, s, so->ef);
		if (limited && s->results.nfound == 0)
			return false;		/* nor is it asked again */
		if (!s->dry || limited)
		{
			add_results(so);
			return true;
		}
	}
	if (so->unsearched)
		prepare_at_last(so);
	start_sweep(scan, so);
	return true;
}

/* The node is the current one. */
static void
emit(HnswScan *so, const HnswFound *f)
{
	if (so->nemitted == so->maxemitted)
	{
		int			max = Max(64, so->maxemitted * 2);

		so->emitted = so->emitted ? repalloc_huge(so->emitted, max * sizeof(HnswFound)) :
			MemoryContextAllocHuge(so->cxt, max * sizeof(HnswFound));
		so->maxemitted = max;
	}
	/* after a sweep there is no more to ask for, and so nothing to count */
	if (so->sweep == NULL)
		so->emitted[so->nemitted++] = *f;
	so->stats.returned++;
	so->cur = *f;
	so->have_cur = true;
	HnswLoadTids(so, f);
}

/* The node is done with: it is not to be found again. */
static void
done_with(HnswScan *so, const HnswFound *f)
{
	if (f->blk != InvalidBlockNumber)
		HnswMarksSet(&so->search->taken, HnswNodeNumber(so->g, f->blk, f->slot));
	so->npassed++;
	so->nrows += Max(f->ntids, 1);
}

/*
 * Does an item, which is first in the order, come too late: is there a row that has been
 * returned and is farther?  Its distance is told then.
 */
static bool
is_late(IndexScanDesc scan, HnswScan *so, HnswScanItem *item)
{
	double		dist = item->high;

	if (!so->exact || item->late || item->key >= so->farthest)
		return false;
	if (item->key < item->high && !HnswFetchAny(scan, so, &so->found[item->idx], &dist))
		return true;
	item->key = item->high = dist;
	HnswCachedExact(so, &so->found[item->idx], dist);
	return dist < so->farthest;
}

/* An item that came too late: last of all, if the scan goes on to the end. */
static void
postpone(HnswScan *so, HnswScanItem item)
{
	/*
	 * Before a sweep it is found again by that, with all others that are late; where there is
	 * a bound, the scan may come to its end without.
	 */
	if ((so->sweep == NULL && so->bound == INFINITY) || so->settings.iterative_scan == HNSW_ITERATIVE_OFF)
		return;
	item.late = true;
	HnswItemsPush(so, item);
}

/* Each row of a node becomes an item, instead of the node. */
static void
split_node(IndexScanDesc scan, HnswScan *so, const HnswScanItem *item)
{
	HnswFound	node = so->found[item->idx];
	HnswFound	row;
	double		dist;

	done_with(so, &node);
	HnswLoadTids(so, &node);
	while (HnswNextRow(scan, so, &node, &row, &dist))
		HnswItemsAdd(so, &row, dist, dist, item->late, true);
}

/* The next nearest node becomes the current one; false when there is none. */
static bool
next_node(IndexScanDesc scan, HnswScan *so)
{
	for (;;)
	{
		HnswScanItem	item;
		HnswFound  *f;
		double		dist;
		int			ahead;
		bool		only_late;

		CHECK_FOR_INTERRUPTS();
		add_ahead(so);
		only_late = so->nitems == 0 || so->items[0].late;
		if ((only_late || ((so->target > 0 ? so->nrows : so->npassed) >= so->hold && !makes_up_for_dead(scan, so))) &&
			search_more(scan, so))
			continue;
		if (so->nitems == 0)
			return false;
		/* they are the last: no search goes on behind them */
		so->ended |= only_late;
		ahead = HnswReadAhead(so->g);
		if (unlikely(ahead > 0))
			HnswReadAheadRows(scan, so, ahead);
		item = HnswItemsPop(so);
		if (item.key > so->bound && !beyond_reach(so, so->bound))
		{
			/* all that was found within has been returned, but for what is late */
			if (so->ended || found_all(so) || so->settings.iterative_scan == HNSW_ITERATIVE_OFF)
			{
				so->ended = true;
				continue;
			}
			HnswItemsPush(so, item);
			so->ended = !search_more(scan, so);
			continue;
		}
		f = &so->found[item.idx];
		if (f->killed && scan->ignore_killed_tuples)
		{
			done_with(so, f);
			so->nkilled_all++;
			continue;
		}
		if (has_rows(so, f))
		{
			split_node(scan, so, &item);
			continue;
		}
		if (so->ordered && item.key < item.high && so->nitems > 0 && so->items[0].late == item.late &&
			so->items[0].key < item.high)
		{
			/* may be farther than the next one: its true distance decides */
			if (HnswFetchAny(scan, so, f, &dist))
			{
				item.key = item.high = dist;
				HnswCachedExact(so, f, dist);
				HnswItemsPush(so, item);
			}
			else
				done_with(so, f);
			continue;
		}
		if (beyond_reach(so, item.high))
		{
			HnswItemsPush(so, item);
			look_further(scan, so);
			continue;
		}
		if (is_late(scan, so, &item))
		{
			postpone(so, item);
			continue;
		}
		done_with(so, f);
		emit(so, f);
		return true;
	}
}

/* ---- what the executor gets ---- */

/*
 * The next TID of the current node.  When there is none the node is done with:
 * noted, if all its rows turned out to be dead to all.
 */
static bool
next_tid(IndexScanDesc scan, HnswScan *so, ItemPointer tid)
{
	if (!so->have_cur)
		return false;
	if (scan->kill_prior_tuple && so->next_tid > 0)
		so->nkilled++;
	if (so->next_tid < so->ntids)
	{
		*tid = so->tids[so->next_tid++];
		HnswCheckHeapTid(scan, so, &so->cur, tid);
		return true;
	}
	so->have_cur = false;
	if (so->nkilled == so->ntids && so->ntids > 0 && so->cur.overflow == InvalidBlockNumber)
	{
		HnswNoteKilled(so, &so->cur);
		if (so->nemitted > 0)
			so->nemitted--;		/* it was the last */
	}
	return false;
}

/* The first call: check the scan and the query, and search. */
static void
start(IndexScanDesc scan, HnswScan *so)
{
	MemoryContext old;

	if (scan->numberOfOrderBys == 0 && scan->numberOfKeys == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot scan hnsw index \"%s\" without ORDER BY or a condition",
						RelationGetRelationName(scan->indexRelation))));
	if (!IsMVCCSnapshot(scan->xs_snapshot))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("hnsw index \"%s\" can only be scanned with an MVCC snapshot",
						RelationGetRelationName(scan->indexRelation))));

	if (so->pending)
		pgstat_count_index_scan(scan->indexRelation);
	CompatCountSearch(scan);
	old = MemoryContextSwitchTo(so->cxt);
	so->empty = !HnswReadKeys(scan, so);
	MemoryContextSwitchTo(old);
	so->search = so->g->search ? so->g->search : HnswSearchCreate(so->g, so->g->idle);
	so->g->search = NULL;
	HnswReadSettings(&so->settings);
	/* what has no order has no late rows, nor is it a search for a few */
	if (!so->ordered)
		so->settings.iterative_scan = HNSW_ITERATIVE_RELAXED;
	/* nor may any come late where the plan takes the order for granted */
	else if (so->expected >= (int64) HNSW_ALL_ROWS && so->settings.iterative_scan == HNSW_ITERATIVE_RELAXED)
		so->settings.iterative_scan = HNSW_ITERATIVE_STRICT;
	so->stats.searches++;
	if (!so->empty)
		search(scan, so);
	so->started = true;
}

/*
 * amgettuple: forward only.  The first call searches.  Errors: no ORDER BY, a snapshot
 * that is not MVCC, a query of other dimensions, index_corrupted.
 */
bool
hnswgettuple(IndexScanDesc scan, ScanDirection dir)
{
	HnswScan  *so = (HnswScan *) scan->opaque;

	Assert(ScanDirectionIsForward(dir));
	so->g->rel = scan->indexRelation;
	if (!so->started)
		start(scan, so);
	do
	{
		if (next_tid(scan, so, &scan->xs_heaptid))
		{
			HnswTableNoteRow(so, &scan->xs_heaptid);
			scan->xs_recheck = so->recheck;
			scan->xs_recheckorderby = false;
			return true;
		}
	} while (next_node(scan, so));
	return false;
}

/* amendscan: sets hints that are still to be set, and gives the search to the handle. */
void
hnswendscan(IndexScanDesc scan)
{
	HnswScan  *so = (HnswScan *) scan->opaque;

	so->g->rel = scan->indexRelation;
	end_search(so);
	HnswStatsEndScan(&so->stats);
	if (so->fetch)
		table_index_fetch_end(so->fetch);
	if (so->slot)
		ExecDropSingleTupleTableSlot(so->slot);
	if (so->estate)
		FreeExecutorState(so->estate);
	close_graph(so);
	MemoryContextDelete(so->cxt);
	scan->opaque = NULL;
}
