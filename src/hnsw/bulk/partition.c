/*
 * partition.c
 *		Groups of nodes that are near to each other.
 *
 * Pivots are drawn at random and every node joins the groups of its nearest
 * few; groups that are still too large are divided again.  Groups overlap, so
 * that nearly all pairs of near nodes are in one together: what Randomized
 * Ball Carving does in PiPNN (Rubel et al., "Pick-in-Partitions Nearest
 * Neighbors", 2026).
 */
#include "postgres.h"

#include <math.h>

#include "common/pg_prng.h"
#include "hnsw/bulk/batch.h"
#include "hnsw/bulk/columns.h"
#include "hnsw/bulk/partition.h"
#include "hnsw/bulk/team.h"
#include "miscadmin.h"
#include "simd/vx_simd.h"
#include "utils/memutils.h"

/* Members of a group that pivots are drawn for, of the most there may be. */
#define LEAF_TARGET(max)	((max) * 2 / 5)
/* A smaller group joins that of the pivot nearest to its own. */
#define SMALL_LEAF		32

/* Members that are one task. */
#define TASK_MEMBERS	(64 * BATCH_ROWS)

/* The nearest "copies" columns of a row of distances, nearest first. */
static void
nearest_pivots(const float *dists, int n, int copies, uint16 *chosen)
{
	float		best[BATCH_MAX_COPIES];
	int			found = 0;

	Assert(copies > 0 && copies <= BATCH_MAX_COPIES);
	for (int i = 0; i < n; i++)
	{
		int			at;

		if (found == copies && !(dists[i] < best[found - 1]))
			continue;
		at = found < copies ? found++ : found - 1;
		for (; at > 0 && dists[i] < best[at - 1]; at--)
		{
			best[at] = best[at - 1];
			chosen[at] = chosen[at - 1];
		}
		best[at] = dists[i];
		chosen[at] = i;
	}
}

/*
 * Which pivot's group each pivot's group becomes part of: its own, or, for
 * a small one, that of the nearest pivot with a larger one.
 */
static void
merge_small(BatchColumns *c, const BatchLevel *level, const uint32 *pivots, int npivots,
			const uint32 *counts, uint16 *merged)
{
	for (int i = 0; i < npivots; i++)
	{
		float		best = INFINITY;

		merged[i] = i;
		if (counts[i] >= SMALL_LEAF)
			continue;
		HnswColumnsDistances(c, level, &pivots[i], 1, true);
		for (int j = 0; j < npivots; j++)
			if (counts[j] >= SMALL_LEAF && c->dists[j] < best)
			{
				best = c->dists[j];
				merged[i] = j;
			}
	}
}

/* Where each of n groups begins, from start[i + 1], the members of group i. */
static void
sum_starts(int64 *start, int n)
{
	for (int i = 0; i < n; i++)
		start[i + 1] += start[i];
}

/* The same again, when each start has moved on by its group's members. */
static void
reset_starts(int64 *start, int n)
{
	for (int i = n; i > 0; i--)
		start[i] = start[i - 1];
	start[0] = 0;
}

/*
 * Is a group, of n members that have been divided, too much alike to be divided by
 * distance?  Then any pieces do: mark where these begin.
 */
static bool
cut_alike(uint32 *group, int64 size, int64 n, int most)
{
	if (size <= n - n / 8)
		return false;
	for (int64 at = 0; at < size; at += most)
		group[at] |= LEAF_START;
	return true;
}

/* Draw some of n members at random, and bring them to the front. */
static void
draw_members(uint32 *members, int64 n, int ndrawn)
{
	for (int i = 0; i < ndrawn; i++)
	{
		int64		j = i + pg_prng_uint64_range(&pg_global_prng_state, 0, n - 1 - i);
		uint32		swap = members[i];

		members[i] = members[j];
		members[j] = swap;
	}
}

/* Which pivot, the first of the members, each of these is nearest to; counts: of each. */
static void
join_nearest(BatchColumns *c, const BatchLevel *level, const uint32 *members, int64 n,
			 int npivots, uint16 *joined, uint32 *counts)
{
	HnswColumnsLoad(c, level, members, npivots);
	for (int64 i = 0; i < n; i += BATCH_ROWS)
	{
		int			rows = Min(BATCH_ROWS, n - i);

		CHECK_FOR_INTERRUPTS();
		HnswColumnsDistances(c, level, members + i, rows, true);
		for (int r = 0; r < rows; r++)
		{
			nearest_pivots(c->dists + r * BATCH_LEAF_MAX, npivots, 1, &joined[i + r]);
			counts[joined[i + r]]++;
		}
	}
}

/*
 * Sort members by the group of the nearest of some pivots drawn from them.  start
 * gets where each group begins, npivots + 1 of them.
 */
static void
sort_by_pivot(BatchColumns *c, const BatchLevel *level, uint32 *members, int64 n,
			  int npivots, int64 *start)
{
	uint16	   *joined = palloc_extended(n * sizeof(uint16), MCXT_ALLOC_HUGE);
	uint32	   *counts = palloc0(npivots * sizeof(uint32));
	uint16	   *merged = palloc(npivots * sizeof(uint16));
	uint32	   *sorted;

	draw_members(members, n, npivots);
	join_nearest(c, level, members, n, npivots, joined, counts);
	merge_small(c, level, members, npivots, counts, merged);
	memset(start, 0, (npivots + 1) * sizeof(int64));
	for (int i = 0; i < npivots; i++)
		start[merged[i] + 1] += counts[i];
	sum_starts(start, npivots);
	sorted = palloc_extended(n * sizeof(uint32), MCXT_ALLOC_HUGE);
	for (int64 i = 0; i < n; i++)
		sorted[start[merged[joined[i]]]++] = members[i];
	reset_starts(start, npivots);
	memcpy(members, sorted, n * sizeof(uint32));
	pfree(sorted);
	pfree(merged);
	pfree(counts);
	pfree(joined);
}

/*
 * Divide a group of members, in place, until each of its groups is a leaf;
 * marks where these begin.
 */
static void
divide(BatchColumns *c, const BatchLevel *level, uint32 *members, int64 n)
{
	const int	most = c->max;
	int			npivots;
	int64	   *start;

	check_stack_depth();
	if (n <= most)
	{
		if (n > 0)
			members[0] |= LEAF_START;
		return;
	}
	npivots = Min(most, Max(2, n / LEAF_TARGET(most)));
	start = palloc((npivots + 1) * sizeof(int64));
	sort_by_pivot(c, level, members, n, npivots, start);
	for (int i = 0; i < npivots; i++)
	{
		uint32	   *group = members + start[i];
		int64		size = start[i + 1] - start[i];

		if (!cut_alike(group, size, n, most))
			divide(c, level, group, size);
	}
	pfree(start);
}

/*
 * Bring the numbers of a batch's nodes, 0 to n - 1, into an order in which near
 * ones mostly follow each other.  No other participant has to do with it.
 */
void
HnswNearOrder(BatchColumns *c, uint32 n, uint32 *order)
{
	BatchLevel	level = {.n = n};
	MemoryContext cxt = AllocSetContextCreate(c->b->cxt, "hnsw partition", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);

	for (uint32 i = 0; i < n; i++)
		order[i] = i;
	divide(c, &level, order, n);
	for (uint32 i = 0; i < n; i++)
		order[i] = LEAF_MEMBER(order[i]);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
}

/* How many groups a member of a level joins. */
static inline int
copies_of(const BatchShared *sh, const BatchLevel *level, uint32 member)
{
	return batch_is_target(level, member) ? sh->copies : Min(sh->copies, BATCH_OTHER_COPIES);
}

/* Every participant: which pivots' groups the members of a level join. */
static void
join_pivots(BatchColumns *c, const BatchLevel *level)
{
	Batch	   *b = c->b;
	BatchShared *sh = b->shared;
	uint32	   *counts = palloc0(sh->npivots * sizeof(uint32));
	const int	copies = sh->copies;
	uint64		from;

	HnswColumnsLoad(c, level, sh->pivots, sh->npivots);
	while ((from = HnswTeamTask(b->team) * TASK_MEMBERS) < level->n)
	{
		uint32		end = (uint32) Min(level->n, from + TASK_MEMBERS);

		for (uint32 i = (uint32) from; i < end; i += BATCH_ROWS)
		{
			uint32		members[BATCH_ROWS];
			int			rows = Min(BATCH_ROWS, end - i);

			for (int r = 0; r < rows; r++)
				members[r] = i + r;
			HnswColumnsDistances(c, level, members, rows, true);
			for (int r = 0; r < rows; r++)
			{
				uint16	   *to = level->joined + (Size) (i + r) * copies;
				int			n = copies_of(sh, level, i + r);

				nearest_pivots(c->dists + r * BATCH_LEAF_MAX, sh->npivots, n, to);
				for (int k = 0; k < n; k++)
					counts[to[k]]++;
				for (int k = n; k < copies; k++)
					to[k] = PG_UINT16_MAX;	/* none */
			}
		}
	}
	for (int i = 0; i < sh->npivots; i++)
		pg_atomic_fetch_add_u32(&sh->counts[i], counts[i]);
	pfree(counts);
}

/* The groups a member joins when small ones have merged, each once; counts them. */
static void
merge_joined(uint16 *joined, int copies, const uint16 *merged, int64 *counts)
{
	for (int k = 0; k < copies; k++)
	{
		if (joined[k] == PG_UINT16_MAX)
			break;
		joined[k] = merged[joined[k]];
		for (int d = 0; d < k; d++)
			if (joined[d] == joined[k])
			{
				joined[k] = PG_UINT16_MAX;	/* in it already */
				break;
			}
		if (joined[k] != PG_UINT16_MAX)
			counts[joined[k]]++;
	}
}

/* The leader: sort the members of a level by the groups they have joined. */
static void
make_groups(BatchColumns *c, const BatchLevel *level)
{
	Batch	   *b = c->b;
	BatchShared *sh = b->shared;
	const int	copies = sh->copies;
	uint16	   *merged = palloc(sh->npivots * sizeof(uint16));
	uint32	   *counts = palloc(sh->npivots * sizeof(uint32));

	for (int i = 0; i < sh->npivots; i++)
		counts[i] = pg_atomic_read_u32(&sh->counts[i]);
	merge_small(c, level, sh->pivots, sh->npivots, counts, merged);
	memset(sh->start, 0, sizeof(sh->start));
	for (uint32 i = 0; i < level->n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		merge_joined(level->joined + (Size) i * copies, copies, merged, sh->start + 1);
	}
	sum_starts(sh->start, sh->npivots);
	for (uint32 i = 0; i < level->n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		for (int k = 0; k < copies; k++)
		{
			uint16		to = level->joined[(Size) i * copies + k];

			if (to != PG_UINT16_MAX)
				b->members[sh->start[to]++] = k == 0 ? i | LEAF_OWN : i;
		}
	}
	reset_starts(sh->start, sh->npivots);
	sh->nmembers = sh->start[sh->npivots];
	for (int i = 0; i < sh->npivots; i++)
		sh->leaf[i] = cut_alike(b->members + sh->start[i], sh->start[i + 1] - sh->start[i],
								level->n, c->max);
	pfree(counts);
	pfree(merged);
}

/* How many members there will be in all leaves of a level, at most. */
static int64
count_joins(const BatchLevel *level, int copies)
{
	int64		ntargets = level->old ? level->old->ntargets : level->n;

	return ntargets * copies + (level->n - ntargets) * Min(copies, BATCH_OTHER_COPIES);
}

/* The leader: which the pivots of a level are, one of each of its parts. */
static void
draw_pivots(BatchColumns *c, const BatchLevel *level)
{
	Batch	   *b = c->b;
	BatchShared *sh = b->shared;
	const int	most = c->max;

	sh->copies = level->old ? level->old->copies : BATCH_COPIES(b->g->lay);
	sh->npivots = (int) Min(most, Max(2, count_joins(level, sh->copies) / LEAF_TARGET(most)));
	sh->copies = Min(sh->copies, sh->npivots - 1);
	for (int i = 0; i < sh->npivots; i++)
	{
		uint64		from = (uint64) level->n * i / sh->npivots;
		uint64		to = (uint64) level->n * (i + 1) / sh->npivots;

		sh->pivots[i] = (uint32) pg_prng_uint64_range(&pg_global_prng_state, from, to - 1);
		pg_atomic_init_u32(&sh->counts[i], 0);
	}
}

/*
 * Divide the members of a level into leaves, as large as there are columns.  Each
 * member is in about BATCH_COPIES of them, and once with LEAF_OWN set.  All
 * participants.
 */
void
HnswPartition(BatchColumns *c, const BatchLevel *level)
{
	Batch	   *b = c->b;
	BatchShared *sh = b->shared;
	Team	   *team = b->team;
	bool		leader = HnswTeamLeader(team);
	uint64		i;
	MemoryContext cxt;
	MemoryContext old;

	StaticAssertStmt(BATCH_MAX_COPIES * sizeof(uint16) <= VX_BLOCK * sizeof(BatchLink),
					 "a member's links hold the groups it joins");
	if (level->n <= (uint32) c->max)
	{
		if (leader)
		{
			for (uint32 m = 0; m < level->n; m++)
				b->members[m] = m | LEAF_OWN;
			b->members[0] |= LEAF_START;
			sh->nmembers = level->n;
		}
		(void) HnswTeamSync(team);
		return;
	}

	cxt = AllocSetContextCreate(b->cxt, "hnsw partition", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(cxt);
	if (leader)
		draw_pivots(c, level);
	(void) HnswTeamSync(team);
	join_pivots(c, level);
	(void) HnswTeamSync(team);
	if (leader)
		make_groups(c, level);
	(void) HnswTeamSync(team);
	while ((i = HnswTeamTask(team)) < (uint64) sh->npivots)
		if (!sh->leaf[i])
			divide(c, level, b->members + sh->start[i], sh->start[i + 1] - sh->start[i]);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	(void) HnswTeamSync(team);
}
