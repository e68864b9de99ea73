/*
 * slack.c
 *		Searches that end by distance (slack.h): what they keep beside the results.
 *
 * "Distance Adaptive Beam Search for Provably Accurate Graph-Based Nearest Neighbor Search"
 * (Al-Jazzazi et al., 2025): instead of when it holds "ef" nodes nearer than any candidate, a
 * search ends when the nearest candidate is 1 + gamma times as far as the k-th.  Queries
 * with many rows about as near as the k-th are searched more widely than others.
 * Distances of L2 and cosine are squared here, and so is the factor.
 *
 * All nodes visited are results.  When more is asked for, k grows, and nothing of what has
 * been found is forgotten, as in the incremental search of Hjaltason and Samet (1999).
 */
#include "postgres.h"

#include <math.h>

#include "hnsw/graph/slack.h"
#include "utils/memutils.h"

#define HEAP_PREFIX		nearest
#define HEAP_ELEMENT	float
#define HEAP_BEFORE(a, b)	((a) > (b))
#include "hnsw/base/heap.h"

/* Make ready for a search; memory of the one before is used again. */
void
HnswSlackBegin(HnswSlack *sl, const HnswMetricOps *metric, float query_norm2, int64 k, double factor)
{
	sl->k = k;
	sl->factor = factor;
	sl->ndists = 0;
	sl->lifted = !metric->squared && !metric->sums;
	sl->query_norm2 = query_norm2;
	sl->norms2 = 0;
	sl->npops = 0;
}

/* Put a distance, which stands at number i, where it belongs among those before it. */
static void
settle(HnswSlack *sl, int64 i)
{
	float		dist = sl->dists[i];

	if (i < sl->k)
		nearest_sift_up(sl->dists, i, dist);
	else if (dist < sl->dists[0])
	{
		sl->dists[i] = sl->dists[0];
		nearest_sift_down(sl->dists, sl->k, dist);
	}
}

/* The k-th nearest counts from now on, k being at least what it was. */
void
HnswSlackWiden(HnswSlack *sl, int64 k, double factor)
{
	int64		from = Min(sl->k, sl->ndists);

	sl->k = k;
	sl->factor = factor;
	for (int64 i = from; i < sl->ndists; i++)
		settle(sl, i);
}

/*
 * A node has been found, which has so many rows; those beyond k count for nothing.  Returns the
 * bound.
 */
float
HnswSlackAdd(HnswSlack *sl, float dist, float norm2, int rows)
{
	rows = (int) Min(Max(rows, 1), sl->k);
	if (sl->traced && dist <= sl->near)
		sl->left -= rows;
	if (unlikely(sl->ndists + rows > sl->maxdists))
	{
		int64		max = Max(256, sl->maxdists * 2 + rows);

		sl->dists = sl->dists ? repalloc_huge(sl->dists, max * sizeof(float)) :
			MemoryContextAllocHuge(sl->cxt, max * sizeof(float));
		sl->maxdists = max;
	}
	for (int i = 0; i < rows; i++)
	{
		sl->norms2 += norm2;
		sl->dists[sl->ndists++] = dist;
		settle(sl, sl->ndists - 1);
	}
	return HnswSlackBound(sl);
}

/* A candidate is about to leave the queue.  False: all that was wanted has been found. */
bool
HnswSlackTrace(HnswSlack *sl, float key, int nfound)
{
	if (sl->left <= 0)
		return false;
	if (sl->npops == sl->maxpops)
	{
		int			max = Max(1024, sl->maxpops * 2);

		sl->pops = sl->pops ? repalloc(sl->pops, max * sizeof(HnswPop)) :
			MemoryContextAlloc(sl->cxt, max * sizeof(HnswPop));
		sl->maxpops = max;
	}
	sl->pops[sl->npops].key = key;
	sl->pops[sl->npops++].nfound = nfound;
	return true;
}
