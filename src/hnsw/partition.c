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

#include "common/pg_prng.h"
#include "hnsw/partition.h"
#include "miscadmin.h"
#include "utils/memutils.h"

/* Members of a group that pivots are drawn for, of the most there may be. */
#define LEAF_TARGET(max)	((max) * 2 / 5)
/* A smaller group joins that of the pivot nearest to its own. */
#define SMALL_LEAF		32

/* Members that are one task. */
#define TASK_MEMBERS	(64 * BULK_ROWS)

/* The nearest "copies" columns of a row of distances, nearest first. */
static void
nearest_pivots(const float *dists, int n, int copies, uint16 *chosen)
{
	float		best[BULK_MAX_COPIES];
	int			found = 0;

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
merge_small(BulkColumns *c, const BulkLevel *level, const uint32 *pivots, int npivots,
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

/*
 * Divide a group of members, in place, until each of its groups is a leaf;
 * marks where these begin.
 */
static void
divide(BulkColumns *c, const BulkLevel *level, uint32 *members, int64 n)
{
	const int	most = c->max;
	int			npivots;
	uint32	   *pivots;
	uint16	   *joined;
	uint16	   *merged;
	uint32	   *counts;
	int64	   *start;
	uint32	   *groups;

	check_stack_depth();
	if (n <= most)
	{
		if (n > 0)
			members[0] |= LEAF_START;
		return;
	}
	npivots = Min(most, Max(2, n / LEAF_TARGET(most)));
	for (int i = 0; i < npivots; i++)
	{
		int64		j = i + pg_prng_uint64_range(&pg_global_prng_state, 0, n - 1 - i);
		uint32		swap = members[i];

		members[i] = members[j];
		members[j] = swap;
	}
	pivots = palloc(npivots * sizeof(uint32));
	memcpy(pivots, members, npivots * sizeof(uint32));
	joined = palloc_extended(n * sizeof(uint16), MCXT_ALLOC_HUGE);
	counts = palloc0(npivots * sizeof(uint32));
	HnswColumnsLoad(c, level, pivots, npivots);
	for (int64 i = 0; i < n; i += BULK_ROWS)
	{
		int			rows = Min(BULK_ROWS, n - i);

		CHECK_FOR_INTERRUPTS();
		HnswColumnsDistances(c, level, members + i, rows, true);
		for (int r = 0; r < rows; r++)
		{
			nearest_pivots(c->dists + r * BULK_LEAF_MAX, npivots, 1, &joined[i + r]);
			counts[joined[i + r]]++;
		}
	}
	merged = palloc(npivots * sizeof(uint16));
	merge_small(c, level, pivots, npivots, counts, merged);

	/* sort the members by group */
	start = palloc0((npivots + 1) * sizeof(int64));
	for (int i = 0; i < npivots; i++)
		start[merged[i] + 1] += counts[i];
	for (int i = 0; i < npivots; i++)
		start[i + 1] += start[i];
	groups = palloc_extended(n * sizeof(uint32), MCXT_ALLOC_HUGE);
	for (int64 i = 0; i < n; i++)
		groups[start[merged[joined[i]]]++] = members[i];
	for (int i = npivots; i > 0; i--)
		start[i] = start[i - 1];
	start[0] = 0;
	memcpy(members, groups, n * sizeof(uint32));
	pfree(groups);
	pfree(joined);
	pfree(merged);
	pfree(counts);
	pfree(pivots);

	for (int i = 0; i < npivots; i++)
	{
		uint32	   *group = members + start[i];
		int64		size = start[i + 1] - start[i];

		if (size > n - n / 8)
		{
			/* too much alike to be divided by distance: any pieces do */
			for (int64 at = 0; at < size; at += most)
				group[at] |= LEAF_START;
		}
		else
			divide(c, level, group, size);
	}
	pfree(start);
}

/*
 * Bring the numbers of a batch's nodes, 0 to n - 1, into an order in which near
 * ones mostly follow each other.  No other participant has to do with it.
 */
void
HnswNearOrder(BulkColumns *c, uint32 n, uint32 *order)
{
	BulkLevel	level = {.n = n};
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

/* Every participant: which pivots' groups the members of a level join. */
static void
join_pivots(BulkColumns *c, const BulkLevel *level)
{
	Bulk	   *b = c->b;
	BulkShared *sh = b->shared;
	uint32	   *counts = palloc0(sh->npivots * sizeof(uint32));
	const int	copies = sh->copies;
	uint64		from;

	HnswColumnsLoad(c, level, sh->pivots, sh->npivots);
	while ((from = HnswTeamTask(b->team) * TASK_MEMBERS) < level->n)
	{
		uint32		end = (uint32) Min(level->n, from + TASK_MEMBERS);

		for (uint32 i = (uint32) from; i < end; i += BULK_ROWS)
		{
			uint32		members[BULK_ROWS];
			int			rows = Min(BULK_ROWS, end - i);

			for (int r = 0; r < rows; r++)
				members[r] = i + r;
			HnswColumnsDistances(c, level, members, rows, true);
			for (int r = 0; r < rows; r++)
			{
				uint16	   *to = level->joined + (Size) (i + r) * copies;

				nearest_pivots(c->dists + r * BULK_LEAF_MAX, sh->npivots, copies, to);
				for (int k = 0; k < copies; k++)
					counts[to[k]]++;
			}
		}
	}
	for (int i = 0; i < sh->npivots; i++)
		pg_atomic_fetch_add_u32(&sh->counts[i], counts[i]);
	pfree(counts);
}

/* The leader: sort the members of a level by the groups they have joined. */
static void
make_groups(BulkColumns *c, const BulkLevel *level)
{
	Bulk	   *b = c->b;
	BulkShared *sh = b->shared;
	const int	copies = sh->copies;
	const int	most = c->max;
	uint16	   *merged = palloc(sh->npivots * sizeof(uint16));
	uint32	   *counts = palloc(sh->npivots * sizeof(uint32));

	for (int i = 0; i < sh->npivots; i++)
		counts[i] = pg_atomic_read_u32(&sh->counts[i]);
	merge_small(c, level, sh->pivots, sh->npivots, counts, merged);
	memset(sh->start, 0, sizeof(sh->start));
	for (uint32 i = 0; i < level->n; i++)
	{
		uint16	   *to = level->joined + (Size) i * copies;

		CHECK_FOR_INTERRUPTS();
		for (int k = 0; k < copies; k++)
		{
			to[k] = merged[to[k]];
			for (int d = 0; d < k; d++)
				if (to[d] == to[k])
				{
					to[k] = PG_UINT16_MAX;	/* in it already */
					break;
				}
			if (to[k] != PG_UINT16_MAX)
				sh->start[to[k] + 1]++;
		}
	}
	for (int i = 0; i < sh->npivots; i++)
		sh->start[i + 1] += sh->start[i];
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
	for (int i = sh->npivots; i > 0; i--)
		sh->start[i] = sh->start[i - 1];
	sh->start[0] = 0;
	sh->nmembers = sh->start[sh->npivots];
	for (int i = 0; i < sh->npivots; i++)
	{
		int64		size = sh->start[i + 1] - sh->start[i];

		/* as in divide */
		sh->leaf[i] = size > level->n - level->n / 8;
		for (int64 at = 0; sh->leaf[i] && at < size; at += most)
			b->members[sh->start[i] + at] |= LEAF_START;
	}
	pfree(counts);
	pfree(merged);
}

/* The leader: which the pivots of a level are, one of each of its parts. */
static void
draw_pivots(BulkColumns *c, const BulkLevel *level)
{
	Bulk	   *b = c->b;
	BulkShared *sh = b->shared;
	const int	most = c->max;

	sh->copies = BULK_COPIES(&b->g->lay);
	sh->npivots = (int) Min(most, Max(2, (int64) level->n * sh->copies / LEAF_TARGET(most)));
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
 * member is in about BULK_COPIES of them, and once with LEAF_OWN set.  All
 * participants.
 */
void
HnswPartition(BulkColumns *c, const BulkLevel *level)
{
	Bulk	   *b = c->b;
	BulkShared *sh = b->shared;
	Team	   *team = b->team;
	bool		leader = HnswTeamLeader(team);
	uint64		i;
	MemoryContext cxt;
	MemoryContext old;

	StaticAssertStmt(BULK_MAX_COPIES * sizeof(uint16) <= VX_BLOCK * sizeof(BulkLink),
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
