/*
 * slack.h
 *		Searches that end by distance: when the nearest candidate is "factor" times as far
 *		as the k-th nearest row found.
 */
#ifndef HNSW_GRAPH_SLACK_H
#define HNSW_GRAPH_SLACK_H

#include <math.h>

#include "hnsw/metric/metric.h"
#include "utils/palloc.h"

/* A candidate that was taken from the queue: its key, and how many results there were then. */
typedef struct HnswPop
{
	float		key;
	int32		nfound;
} HnswPop;

typedef struct HnswSlack
{
	MemoryContext cxt;
	int64		k;
	double		factor;
	float	   *dists;			/* of all rows of nodes found: the least k are a heap, the greatest first */
	int64		ndists;
	int64		maxdists;
	bool		lifted;			/* distances may be negative: see HnswSlackBound */
	double		query_norm2;
	double		norms2;			/* sum of squared norms of these rows */
	/* for calibration only: it ends, too, when so many rows at most at a distance are found */
	bool		traced;
	float		near;
	int64		left;
	HnswPop    *pops;
	int			npops;
	int			maxpops;
} HnswSlack;

extern void HnswSlackBegin(HnswSlack *sl, const HnswMetricOps *metric, float query_norm2,
						   int64 k, double factor);
extern void HnswSlackWiden(HnswSlack *sl, int64 k, double factor);
extern float HnswSlackAdd(HnswSlack *sl, float dist, float norm2, int rows);
extern bool HnswSlackTrace(HnswSlack *sl, float key, int nfound);

/* Have k rows been found? */
static inline bool
HnswSlackEnough(const HnswSlack *sl)
{
	return sl->ndists >= sl->k;
}

/*
 * What is added to distances before they have a ratio.  Negative inner products have none;
 * with the product of the query's norm and the nodes' they are what |q|^2 + |x|^2 - 2 <q,x>
 * is half of, were the query made as long as the nodes.
 */
static inline double
HnswSlackLift(const HnswSlack *sl)
{
	return sl->lifted && sl->ndists > 0 ? sqrt(sl->query_norm2 * sl->norms2 / sl->ndists) : 0;
}

/* Candidates at this distance, or farther, need not be looked at. */
static inline float
HnswSlackBound(const HnswSlack *sl)
{
	double		lift;

	if (sl->ndists < sl->k)
		return INFINITY;
	lift = HnswSlackLift(sl);
	/* nothing is a multiple of nothing: equal vectors end the search */
	if (sl->dists[0] + lift <= 0)
		return sl->dists[0];
	return (float) (sl->factor * (sl->dists[0] + lift) - lift);
}

#endif							/* HNSW_GRAPH_SLACK_H */
