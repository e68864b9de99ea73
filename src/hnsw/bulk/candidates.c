/*
 * candidates.c
 *		The candidates of all members of a level: the nearest each has met.
 *
 * Within each leaf all distances are computed, and each member keeps the
 * nearest it has seen, of those that are in reach (README, "Reach").
 */
#include "postgres.h"

#include <math.h>

#include "commands/progress.h"
#include "hnsw/bulk/batch.h"
#include "hnsw/bulk/candidates.h"
#include "hnsw/bulk/columns.h"
#include "hnsw/bulk/team.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/precision.h"
#include "miscadmin.h"
#include "simd/vx_simd.h"
#include "utils/backend_progress.h"
#include "utils/memutils.h"

/* Distances looked at to guess a bound. */
#define BOUND_SAMPLE	64

/* Members of leaves that are one task. */
#define TASK_LEAVES		2048

/* What one participant needs while the candidates of a level are collected. */
typedef struct Collecting
{
	Batch	   *b;
	BatchColumns *c;
	BatchLevel *level;
	BatchLink  *list;			/* candidates of one member being merged */
	int			max;
	bool		locking;		/* other participants merge, too */
	uint32	   *seen;			/* per member: who has it in its list */
	uint16		near[BATCH_LEAF_MAX];
	float		reach[BATCH_LEAF_MAX];	/* of the members of a leaf */
	bool		tight;			/* many of them are out of reach of most others */
	float		norm2;			/* of the member being merged */
	float		nearest;		/* square of its distance to one before it */
} Collecting;

/* Reorder so that the k least come first, the greatest of them at k - 1. */
static void
select_least(BatchLink *list, int n, int k)
{
	int			low = 0;
	int			high = n - 1;

	while (low < high)
	{
		BatchLink	middle;
		int			i = low;
		int			j = high;
		int			mid = low + (high - low) / 2;
		BatchLink	x = list[low];
		BatchLink	y = list[mid];
		BatchLink	z = list[high];

		/* median of three */
		middle = x < y ? (y < z ? y : Max(x, z)) : (x < z ? x : Max(y, z));
		while (i <= j)
		{
			while (list[i] < middle)
				i++;
			while (list[j] > middle)
				j--;
			if (i <= j)
			{
				BatchLink	swap = list[i];

				list[i++] = list[j];
				list[j--] = swap;
			}
		}
		if (k - 1 <= j)
			high = j;
		else if (k - 1 >= i)
			low = i;
		else
			return;
	}
}

/* The distance that has this rank, from 1, in a sample of n. */
static float
sample_rank(const float *dists, int n, int rank)
{
	float		sample[BOUND_SAMPLE];

	Assert(rank > 0 && rank <= BOUND_SAMPLE);
	for (int i = 0; i < BOUND_SAMPLE; i++)
	{
		float		d = dists[(int64) i * n / BOUND_SAMPLE];
		int			at = Min(i, rank);

		if (i >= rank && !(d < sample[rank - 1]))
			continue;
		if (at == rank)
			at--;
		for (; at > 0 && d < sample[at - 1]; at--)
			sample[at] = sample[at - 1];
		sample[at] = d;
	}
	return sample[rank - 1];
}

/*
 * A distance below which a few more than "want" of n are to be expected: the
 * rank it should have, and a bit, in a sample.
 */
static float
guess_bound(const float *dists, int n, int want)
{
	int			rank = (int) ((int64) want * BOUND_SAMPLE / n) + 3;

	return rank >= BOUND_SAMPLE / 2 ? INFINITY : sample_rank(dists, n, rank);
}

/* The square of the distance between a member and what a link or candidate of its leads to. */
float
HnswBatchApart(const Batch *b, const BatchLevel *level, uint32 member, BatchLink link)
{
	return batch_apart(b->g->lay->metric, b->nodes[batch_node(level, member)].norm2,
					   b->nodes[batch_node(level, BatchLinkMember(link))].norm2, batch_link_dist(link));
}

/*
 * The square of BATCH_REACH times a distance from a member, whose square is "apart"; at least that of BATCH_REACH
 * times what rounding may account for.
 */
float
HnswBatchReach(const HnswLayout *lay, const BatchNode *x, float apart)
{
	double		step = HnswElementError(lay, x->norm2, x->scale);
	double		square = 2 * lay->dim * step * step + 1e-6 * x->norm2;
	float		least = (float) (lay->metric->sums ? lay->dim * square : square);

	return BATCH_REACH * BATCH_REACH * Max(apart, least);
}

/*
 * Merge the members of a leaf at these distances, from "least" up to below
 * "bound", into the list l->list of nlist candidates.
 */
static int
merge_range(Collecting *l, uint32 member, const uint32 *ids, const float *dists, int n,
			float least, float bound, int nlist)
{
	const int	width = l->level->width;
	const float *norm = l->c->norm;
	const HnswMetricOps *metric = l->b->g->lay->metric;
	int			near = vx_simd->below(dists, n, bound, l->near);

	for (int i = 0; i < near; i++)
	{
		float		dist = dists[l->near[i]];
		uint32		id = ids[l->near[i]] & BATCH_MAX_NODES;

		if (!(dist < bound) || dist < least || l->seen[id] == member)
			continue;
		if (id < member || l->tight)
		{
			float		square = batch_apart(metric, l->norm2, norm[l->near[i]], dist);

			if (id < member)
				l->nearest = Min(l->nearest, square);
			if (l->tight && square > l->reach[l->near[i]])
				continue;
		}
		l->list[nlist++] = batch_link(dist, id);
		if (nlist == l->max)
		{
			select_least(l->list, nlist, width);
			nlist = width;
			bound = batch_link_dist(l->list[width - 1]);
		}
	}
	return nlist;
}

/*
 * Leave out of a member's n candidates those that have turned out to be out of
 * reach since; returns how many stay.
 */
int
HnswKeepInReach(const Batch *b, const BatchLevel *level, uint32 member, BatchLink *list, int n)
{
	int			nkept = 0;

	for (int i = 0; i < n; i++)
		if (HnswBatchApart(b, level, member, list[i]) <= level->reach[BatchLinkMember(list[i])])
			list[nkept++] = list[i];
	return nkept;
}

/*
 * Load how far off each of a leaf's n members is a candidate.  The leaf is tight
 * where so many as fill a list are none at a distance that is great among those of
 * one of them, which is at "from".
 */
static void
load_reach(Collecting *l, const uint32 *ids, const float *dists, int n, int from)
{
	const float *norm = l->c->norm;
	const HnswMetricOps *metric = l->b->g->lay->metric;
	float		apart[BATCH_LEAF_MAX];
	float		great;
	int			nfar = 0;

	for (int i = 0; i < n; i++)
	{
		l->reach[i] = l->level->reach[LEAF_MEMBER(ids[i])];
		apart[i] = batch_apart(metric, norm[from], norm[i], dists[i]);
	}
	great = sample_rank(apart, n, BOUND_SAMPLE * 3 / 4);
	for (int i = 0; i < n; i++)
		nfar += great > l->reach[i];
	l->tight = nfar >= l->b->g->lay->fanout;
	if (l->tight)
		l->b->shared->tight = true;
}

/*
 * Merge the members of a leaf at these distances into a member's candidates,
 * which other participants may be about to do for another leaf.
 */
static void
merge_candidates(Collecting *l, uint32 member, const uint32 *ids, const float *dists, int n)
{
	BatchLevel *level = l->level;
	const int	width = level->width;
	const BatchNode *x = &l->b->nodes[batch_node(level, member)];
	BatchLink  *kept = level->links + (Size) member * width;
	LWLock	   *lock = &l->b->shared->locks[member % BATCH_LOCKS];
	int			nlist;

	if (l->locking)
		LWLockAcquire(lock, LW_EXCLUSIVE);
	nlist = level->nlinks[member];
	memcpy(l->list, kept, nlist * sizeof(BatchLink));
	for (int i = 0; i < nlist; i++)
		l->seen[BatchLinkMember(kept[i])] = member;
	l->seen[member] = member;
	if (l->tight)
		nlist = HnswKeepInReach(l->b, level, member, l->list, nlist);
	l->norm2 = x->norm2;
	l->nearest = INFINITY;
	if (nlist == width)
		nlist = merge_range(l, member, ids, dists, n, -INFINITY,
							batch_link_dist(l->list[width - 1]), nlist);
	else
	{
		float		bound = guess_bound(dists, n, width - nlist);

		nlist = merge_range(l, member, ids, dists, n, -INFINITY, bound, nlist);
		if (nlist < width && bound < INFINITY)
			nlist = merge_range(l, member, ids, dists, n, bound, INFINITY, nlist);
	}
	if (nlist >= width)
	{
		select_least(l->list, nlist, width);
		nlist = width;
	}
	memcpy(kept, l->list, nlist * sizeof(BatchLink));
	level->nlinks[member] = nlist;
	level->reach[member] = Min(level->reach[member],
							   HnswBatchReach(l->b->g->lay, x, l->nearest));
	if (l->locking)
		LWLockRelease(lock);
}

/* The candidates that the members of one leaf are to those whose links are to be chosen. */
static void
collect_leaf(Collecting *l, const uint32 *ids, int n)
{
	bool		loaded = false;

	for (int at = 0; at < n;)
	{
		uint32		rows[BATCH_ROWS];
		int			first = 0;
		int			nrows = 0;

		CHECK_FOR_INTERRUPTS();
		for (; at < n && nrows < BATCH_ROWS; at++)
			if (batch_is_target(l->level, LEAF_MEMBER(ids[at])))
			{
				if (nrows == 0)
					first = at;
				rows[nrows++] = LEAF_MEMBER(ids[at]);
			}
		if (nrows == 0)
			break;
		if (!loaded)
			HnswColumnsLoad(l->c, l->level, ids, n);
		HnswColumnsDistances(l->c, l->level, rows, nrows, false);
		if (!loaded)
			load_reach(l, ids, l->c->dists, n, first);
		loaded = true;
		for (int r = 0; r < nrows; r++)
			merge_candidates(l, rows[r], ids, l->c->dists + r * BATCH_LEAF_MAX, n);
	}
}

/* Leaf by leaf, until there are none left. */
static void
collect_leaves(Collecting *l)
{
	Batch	   *b = l->b;
	const int64 nmembers = b->shared->nmembers;
	uint64		from;

	memset(l->seen, 0xFF, (Size) l->level->n * sizeof(uint32));
	while ((from = HnswTeamTask(b->team) * TASK_LEAVES) < (uint64) nmembers)
	{
		int64		end = Min((int64) from + TASK_LEAVES, nmembers);

		if (HnswTeamLeader(b->team) && l->level == &b->levels[0])
			pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE,
										 (int64) (b->shared->n * ((double) from / nmembers)));
		/* the leaves that begin in this part */
		for (int64 i = from; i < end; i++)
		{
			int			n = 1;

			if (!(b->members[i] & LEAF_START))
				continue;
			while (i + n < nmembers && !(b->members[i + n] & LEAF_START))
				n++;
			collect_leaf(l, b->members + i, n);
			i += n - 1;
		}
	}
}

/*
 * Collect the candidates of all members of a level, which HnswPartition has
 * divided: in level->links, nlinks of each.  All participants.
 */
void
HnswCollectCandidates(BatchColumns *c, BatchLevel *level)
{
	Batch	   *b = c->b;
	Collecting	l;

	memset(&l, 0, sizeof(l));
	l.b = b;
	l.c = c;
	l.level = level;
	l.max = 2 * level->width;
	l.list = MemoryContextAlloc(b->cxt, l.max * sizeof(BatchLink));
	l.seen = b->seen;
	l.locking = !b->team->alone;
	if (l.locking)
		LWLockRegisterTranche(b->shared->lock_tranche, "VectorxBuild");
	collect_leaves(&l);
	(void) HnswTeamSync(b->team);
	if (b->shared->nmembers == level->n)
	{
		/* of one leaf, the first lists were made when little was known */
		collect_leaves(&l);
		(void) HnswTeamSync(b->team);
	}
	pfree(l.list);
}
