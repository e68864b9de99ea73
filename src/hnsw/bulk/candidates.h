/*
 * candidates.h
 *		The candidates of all members of a level: the nearest each has met.
 */
#ifndef HNSW_BULK_CANDIDATES_H
#define HNSW_BULK_CANDIDATES_H

#include "hnsw/bulk/batch.h"
#include "hnsw/bulk/columns.h"
#include "hnsw/metric/metric.h"

/*
 * A member is no candidate for those that are more than so many times as far
 * from it as it is from one that comes before it.
 */
#define BATCH_REACH		10

/* The square of the distance that two members are apart, from their norms and distance. */
static inline float
batch_apart(const HnswMetricOps *metric, float norm2, float other_norm2, float dist)
{
	if (metric->squared)
		return dist;
	return metric->sums ? dist * dist : norm2 + other_norm2 + 2 * dist;
}

extern void HnswCollectCandidates(BatchColumns *c, BatchLevel *level);
extern float HnswBatchApart(const Batch *b, const BatchLevel *level, uint32 member, BatchLink link);
extern float HnswBatchReach(const HnswLayout *lay, const BatchNode *x, float apart);
extern int	HnswKeepInReach(const Batch *b, const BatchLevel *level, uint32 member,
							BatchLink *list, int n);

#endif							/* HNSW_BULK_CANDIDATES_H */
