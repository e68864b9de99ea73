/*
 * partition.c
 *		Groups of nodes that are near to each other, and all distances within.
 *
 * Pivots are drawn at random and every node joins the groups of its nearest
 * few; groups that are still too large are divided again.  Groups overlap, so
 * that nearly all pairs of near nodes are in one together: what Randomized
 * Ball Carving does in PiPNN (Rubel et al., "Pick-in-Partitions Nearest
 * Neighbors", 2026).
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "hnsw/bulk.h"
#include "miscadmin.h"
#include "utils/memutils.h"

/* Members of a group that pivots are drawn for, of the most there may be. */
#define LEAF_TARGET(max)	((max) * 2 / 5)
/* A smaller group joins that of the pivot nearest to its own. */
#define SMALL_LEAF		32
/* Most groups a member joins at one division. */
#define MAX_COPIES		16

/* Members that are one task. */
#define TASK_MEMBERS	(64 * BULK_ROWS)

/* How many columns each participant has: a quarter of the memory is for them. */
int
HnswColumnsMax(const HnswLayout *lay, Size limit, int participants)
{
	Size		width = lay->dim * (HnswBulkInteger(lay) ? sizeof(int8) : sizeof(float));
	int			max = (int) Min(BULK_LEAF_MAX, limit / 4 / participants / width);

	return Max(BULK_LEAF_MIN, max / VX_PANEL * VX_PANEL);
}

/* Bytes of so many columns and of what goes with them. */
Size
HnswColumnsBytes(const HnswLayout *lay, int max)
{
	Size		vectors = HnswBulkInteger(lay) ? max / VX_PANEL * VX_PANEL_BYTES(lay->dim) :
		(Size) max * lay->dim * sizeof(float);

	return vectors + 4 * max * sizeof(float) +
		BULK_ROWS * BULK_LEAF_MAX * (sizeof(int32) + sizeof(float));
}

/* Memory for the columns and for one block of distances to them. */
void
HnswColumnsInit(Bulk *b)
{
	const int	dim = b->g->lay.dim;
	BulkColumns *c = &b->columns;

	c->max = HnswColumnsMax(&b->g->lay, b->limit, b->team->nparticipants);
	if (b->integer)
	{
		char	   *raw = MemoryContextAllocHuge(b->cxt, c->max / VX_PANEL * VX_PANEL_BYTES(dim) + 64);

		c->panels = (int8 *) TYPEALIGN(64, raw);
	}
	else
		c->rows = MemoryContextAllocHuge(b->cxt, (Size) c->max * dim * sizeof(float));
	c->norm = MemoryContextAlloc(b->cxt, c->max * sizeof(float));
	c->scale = MemoryContextAlloc(b->cxt, c->max * sizeof(float));
	c->offset = MemoryContextAlloc(b->cxt, c->max * sizeof(float));
	c->sum = MemoryContextAlloc(b->cxt, c->max * sizeof(float));
	b->dots = MemoryContextAlloc(b->cxt, BULK_ROWS * BULK_LEAF_MAX * sizeof(int32));
	b->dists = MemoryContextAlloc(b->cxt, BULK_ROWS * BULK_LEAF_MAX * sizeof(float));
}

/* Write one vector into its column of a panel. */
static void
load_panel(int8 *panel, int column, const int8 *own, int dim)
{
	int8	   *to = panel + column * 4;
	int			i;

	for (i = 0; i + 4 <= dim; i += 4, to += 4 * VX_PANEL)
		memcpy(to, own + i, 4);
	if (i < dim)
	{
		memset(to, 0, 4);
		memcpy(to, own + i, dim - i);
	}
}

/* Make n members (at most as there are columns) the columns. */
void
HnswColumnsLoad(Bulk *b, const BulkLevel *level, const uint32 *members, int n)
{
	const int	dim = b->g->lay.dim;
	const Size	panel_bytes = VX_PANEL_BYTES(dim);
	BulkColumns *c = &b->columns;

	c->n = n;
	c->npanels = (n + VX_PANEL - 1) / VX_PANEL;
	for (int i = 0; i < n; i++)
	{
		uint32		node = bulk_node(level, LEAF_MEMBER(members[i]));
		const BulkNode *x = &b->nodes[node];
		const char *own = bulk_own(b, node);

		if (b->integer)
			load_panel(c->panels + i / VX_PANEL * panel_bytes, i % VX_PANEL,
					   (const int8 *) own, dim);
		else
			HnswOwnDecode(b->g, own, x->scale, x->offset, c->rows + (Size) i * dim);
		c->norm[i] = x->norm2;
		c->scale[i] = x->scale;
		c->offset[i] = x->offset;
		c->sum[i] = x->scale * x->codesum;
	}
	/* the rest of the last panel */
	for (int i = n; i < c->npanels * VX_PANEL && b->integer; i++)
		for (int j = 0; j < dim; j += 4)
			memset(c->panels + i / VX_PANEL * panel_bytes + (i % VX_PANEL) * 4 + (Size) j * VX_PANEL, 0, 4);
}

/*
 * The distances of n members (at most BULK_ROWS) to all columns, in b->dists,
 * BULK_LEAF_MAX to a member.  to_divide: as squared L2 where the metric is
 * the inner product, which draws everything to the longest vectors.
 */
void
HnswColumnsDistances(Bulk *b, const BulkLevel *level, const uint32 *members,
					 int n, bool to_divide)
{
	HnswGraph  *g = b->g;
	const int	dim = g->lay.dim;
	const BulkColumns *c = &b->columns;
	bool		ip = g->lay.metric == HNSW_IP && !to_divide;

	if (b->integer)
	{
		static const float no_norm[BULK_LEAF_MAX];
		const int8_t *rows[BULK_ROWS] = {NULL};

		for (int i = 0; i < n; i++)
			rows[i] = (const int8_t *) bulk_own(b, bulk_node(level, LEAF_MEMBER(members[i])));
		vx_simd->dot_i8_panels(rows, n, dim, c->panels, c->npanels, b->dots, BULK_LEAF_MAX);
		for (int i = 0; i < n; i++)
		{
			BulkOrigin	o = bulk_origin(b, bulk_node(level, LEAF_MEMBER(members[i])), ip);

			vx_simd->panel_distances(b->dots + i * BULK_LEAF_MAX, c->n, ip ? no_norm : c->norm,
									 c->scale, c->offset, c->sum, o.base, o.p, o.q, o.r,
									 b->dists + i * BULK_LEAF_MAX);
		}
		return;
	}
	for (int i = 0; i < n; i++)
	{
		uint32		node = bulk_node(level, LEAF_MEMBER(members[i]));
		const BulkNode *x = &b->nodes[node];
		float	   *out = b->dists + i * BULK_LEAF_MAX;
		float	   *v = g->scratch->fa;

		HnswOwnDecode(g, bulk_own(b, node), x->scale, x->offset, v);
		if (g->lay.metric == HNSW_L1)
			vx_simd->l1_many(v, c->rows, dim, dim, c->n, out);
		else if (ip)
		{
			vx_simd->dot_many(v, c->rows, dim, dim, c->n, out);
			for (int j = 0; j < c->n; j++)
				out[j] = -out[j];
		}
		else
			vx_simd->l2sq_many(v, c->rows, dim, dim, c->n, out);
	}
}

/* The nearest "copies" columns of a row of distances, nearest first. */
static void
nearest_pivots(const float *dists, int n, int copies, uint16 *chosen)
{
	float		best[MAX_COPIES];
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
merge_small(Bulk *b, const BulkLevel *level, const uint32 *pivots, int npivots,
			const uint32 *counts, uint16 *merged)
{
	for (int i = 0; i < npivots; i++)
	{
		float		best = INFINITY;

		merged[i] = i;
		if (counts[i] >= SMALL_LEAF)
			continue;
		HnswColumnsDistances(b, level, &pivots[i], 1, true);
		for (int j = 0; j < npivots; j++)
			if (counts[j] >= SMALL_LEAF && b->dists[j] < best)
			{
				best = b->dists[j];
				merged[i] = j;
			}
	}
}

/*
 * Divide a group of members, in place, until each of its groups is a leaf;
 * marks where these begin.
 */
static void
divide(Bulk *b, const BulkLevel *level, uint32 *members, int64 n)
{
	const int	most = b->columns.max;
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
	HnswColumnsLoad(b, level, pivots, npivots);
	for (int64 i = 0; i < n; i += BULK_ROWS)
	{
		int			rows = Min(BULK_ROWS, n - i);

		CHECK_FOR_INTERRUPTS();
		HnswColumnsDistances(b, level, members + i, rows, true);
		for (int r = 0; r < rows; r++)
		{
			nearest_pivots(b->dists + r * BULK_LEAF_MAX, npivots, 1, &joined[i + r]);
			counts[joined[i + r]]++;
		}
	}
	merged = palloc(npivots * sizeof(uint16));
	merge_small(b, level, pivots, npivots, counts, merged);

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
			divide(b, level, group, size);
	}
	pfree(start);
}

/*
 * Bring the numbers of a batch's nodes, 0 to n - 1, into an order in which near
 * ones mostly follow each other.  No other participant has to do with it.
 */
void
HnswNearOrder(Bulk *b, uint32 n, uint32 *order)
{
	BulkLevel	level = {.n = n};
	MemoryContext cxt = AllocSetContextCreate(b->cxt, "hnsw partition", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);

	for (uint32 i = 0; i < n; i++)
		order[i] = i;
	divide(b, &level, order, n);
	for (uint32 i = 0; i < n; i++)
		order[i] = LEAF_MEMBER(order[i]);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
}

/* Every participant: which pivots' groups the members of a level join. */
static void
join_pivots(Bulk *b, const BulkLevel *level, uint16 *joined)
{
	BulkShared *sh = b->shared;
	uint32	   *counts = palloc0(sh->npivots * sizeof(uint32));
	const int	copies = sh->copies;
	uint64		from;

	HnswColumnsLoad(b, level, sh->pivots, sh->npivots);
	while ((from = HnswTeamTask(b->team) * TASK_MEMBERS) < level->n)
	{
		uint32		end = (uint32) Min(level->n, from + TASK_MEMBERS);

		for (uint32 i = (uint32) from; i < end; i += BULK_ROWS)
		{
			uint32		members[BULK_ROWS];
			int			rows = Min(BULK_ROWS, end - i);

			for (int r = 0; r < rows; r++)
				members[r] = i + r;
			HnswColumnsDistances(b, level, members, rows, true);
			for (int r = 0; r < rows; r++)
			{
				uint16	   *to = joined + (Size) (i + r) * copies;

				nearest_pivots(b->dists + r * BULK_LEAF_MAX, sh->npivots, copies, to);
				for (int c = 0; c < copies; c++)
					counts[to[c]]++;
			}
		}
	}
	for (int i = 0; i < sh->npivots; i++)
		pg_atomic_fetch_add_u32(&sh->counts[i], counts[i]);
	pfree(counts);
}

/* The leader: sort the members of a level by the groups they have joined. */
static void
make_groups(Bulk *b, const BulkLevel *level, uint16 *joined)
{
	BulkShared *sh = b->shared;
	const int	copies = sh->copies;
	const int	most = b->columns.max;
	uint16	   *merged = palloc(sh->npivots * sizeof(uint16));
	uint32	   *counts = palloc(sh->npivots * sizeof(uint32));

	for (int i = 0; i < sh->npivots; i++)
		counts[i] = pg_atomic_read_u32(&sh->counts[i]);
	merge_small(b, level, sh->pivots, sh->npivots, counts, merged);
	memset(sh->start, 0, sizeof(sh->start));
	for (uint32 i = 0; i < level->n; i++)
	{
		uint16	   *to = joined + (Size) i * copies;

		CHECK_FOR_INTERRUPTS();
		for (int c = 0; c < copies; c++)
		{
			to[c] = merged[to[c]];
			for (int d = 0; d < c; d++)
				if (to[d] == to[c])
				{
					to[c] = PG_UINT16_MAX;	/* in it already */
					break;
				}
			if (to[c] != PG_UINT16_MAX)
				sh->start[to[c] + 1]++;
		}
	}
	for (int i = 0; i < sh->npivots; i++)
		sh->start[i + 1] += sh->start[i];
	for (uint32 i = 0; i < level->n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		for (int c = 0; c < copies; c++)
		{
			uint16		to = joined[(Size) i * copies + c];

			if (to != PG_UINT16_MAX)
				b->members[sh->start[to]++] = c == 0 ? i | LEAF_OWN : i;
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
draw_pivots(Bulk *b, const BulkLevel *level)
{
	BulkShared *sh = b->shared;
	const int	most = b->columns.max;

	sh->copies = Min(BULK_COPIES(&b->g->lay), MAX_COPIES);
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
HnswPartition(Bulk *b, const BulkLevel *level)
{
	BulkShared *sh = b->shared;
	Team	   *team = b->team;
	bool		leader = HnswTeamLeader(team);
	uint16	   *joined = (uint16 *) level->links;	/* not in use yet */
	uint64		i;
	MemoryContext cxt;
	MemoryContext old;

	StaticAssertStmt(MAX_COPIES * sizeof(uint16) <= VX_BLOCK * sizeof(BulkLink),
					 "a member's links hold the groups it joins");
	if (level->n <= (uint32) b->columns.max)
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
		draw_pivots(b, level);
	(void) HnswTeamSync(team);
	join_pivots(b, level, joined);
	(void) HnswTeamSync(team);
	if (leader)
		make_groups(b, level, joined);
	(void) HnswTeamSync(team);
	while ((i = HnswTeamTask(team)) < (uint64) sh->npivots)
		if (!sh->leaf[i])
			divide(b, level, b->members + sh->start[i], sh->start[i + 1] - sh->start[i]);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	(void) HnswTeamSync(team);
}
