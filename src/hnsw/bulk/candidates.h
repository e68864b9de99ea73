/*
 * candidates.h
 *		The candidates of all members of a level: the nearest each has met.
 */
#ifndef HNSW_CANDIDATES_H
#define HNSW_CANDIDATES_H

#include "hnsw/bulk/batch.h"
#include "hnsw/bulk/columns.h"
#include "hnsw/layout/page.h"

/*
 * A member is no candidate for those that are more than so many times as far
 * from it as it is from one that comes before it.
 */
#define BATCH_REACH		10

/* The square of the distance that two members are apart, from their norms and distance. */
static inline float
batch_apart(const Batch *b, float norm2, float other_norm2, float dist)
{
	switch (b->g->lay->metric)
	{
		case HNSW_IP:
			return norm2 + other_norm2 + 2 * dist;
		case HNSW_L1:
			return dist * dist;
		default:
			return dist;
	}
}

extern void HnswCollectCandidates(BatchColumns *c, BatchLevel *level);
extern int	HnswKeepInReach(const Batch *b, const BatchLevel *level, uint32 member,
							BatchLink *list, int n);

#endif							/* HNSW_CANDIDATES_H */
