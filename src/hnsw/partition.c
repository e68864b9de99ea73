/*
 * partition.c
 *		Groups of nodes that are near to each other, and all distances within.
 *
 * Leaders are drawn at random and every node joins the groups of its nearest
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

/* Members of a group that leaders are drawn for, of the most there may be. */
#define LEAF_TARGET(max)	((max) * 2 / 5)
/* A smaller group joins that of the leader nearest to its own. */
#define SMALL_LEAF		32
/* Most groups a member joins at one division. */
#define MAX_COPIES		16

#define MEMBER(id)		((id) & BULK_MAX_NODES)

/* Memory for the columns and for one block of distances to them. */
void
HnswColumnsInit(Bulk *b)
{
	const int	dim = b->g->lay.dim;
	BulkColumns *c = &b->columns;

	c->max = Min(BULK_LEAF_MAX, b->limit / 4 / (dim * (b->integer ? sizeof(int8) : sizeof(float))));
	c->max = Max(BULK_LEAF_MIN, c->max / VX_PANEL * VX_PANEL);
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
		uint32		node = bulk_node(level, MEMBER(members[i]));
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
			rows[i] = (const int8_t *) bulk_own(b, bulk_node(level, MEMBER(members[i])));
		vx_simd->dot_i8_panels(rows, n, dim, c->panels, c->npanels, b->dots, BULK_LEAF_MAX);
		for (int i = 0; i < n; i++)
		{
			BulkOrigin	o = bulk_origin(b, bulk_node(level, MEMBER(members[i])), ip);

			vx_simd->panel_distances(b->dots + i * BULK_LEAF_MAX, c->n, ip ? no_norm : c->norm,
									 c->scale, c->offset, c->sum, o.base, o.p, o.q, o.r,
									 b->dists + i * BULK_LEAF_MAX);
		}
		return;
	}
	for (int i = 0; i < n; i++)
	{
		uint32		node = bulk_node(level, MEMBER(members[i]));
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

static void
add_leaf(BulkLeaves *leaves, const uint32 *members, int n)
{
	if (leaves->nleaves + 1 >= leaves->maxleaves)
	{
		leaves->maxleaves *= 2;
		leaves->start = repalloc_huge(leaves->start, leaves->maxleaves * sizeof(int64));
	}
	if (leaves->n + n > leaves->max)
	{
		leaves->max = Max(leaves->max * 3 / 2, leaves->n + n);
		leaves->members = repalloc_huge(leaves->members, leaves->max * sizeof(uint32));
	}
	memcpy(leaves->members + leaves->n, members, n * sizeof(uint32));
	leaves->n += n;
	leaves->start[++leaves->nleaves] = leaves->n;
}

/* The nearest "copies" columns of a row of distances, nearest first. */
static void
nearest_leaders(const float *dists, int n, int copies, uint16 *chosen)
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
 * Which leader's group each leader's group becomes part of: its own, or, for
 * a small one, that of the nearest leader with a larger one.
 */
static void
merge_small(Bulk *b, const BulkLevel *level, const uint32 *leaders, int nleaders,
			const uint32 *counts, uint16 *merged)
{
	for (int i = 0; i < nleaders; i++)
	{
		float		best = INFINITY;

		merged[i] = i;
		if (counts[i] >= SMALL_LEAF)
			continue;
		HnswColumnsDistances(b, level, &leaders[i], 1, true);
		for (int j = 0; j < nleaders; j++)
			if (counts[j] >= SMALL_LEAF && b->dists[j] < best)
			{
				best = b->dists[j];
				merged[i] = j;
			}
	}
}

/* Divide members (their order is lost) until each group is a leaf. */
static void
divide(Bulk *b, const BulkLevel *level, uint32 *members, int64 n, int copies,
	   BulkLeaves *leaves)
{
	const int	most = b->columns.max;
	int			nleaders;
	uint32	   *leaders;
	uint16	   *joined;			/* copies for each member */
	uint16	   *merged;
	uint32	   *counts;
	int64	   *start;
	uint32	   *groups;

	check_stack_depth();
	if (n <= most)
	{
		add_leaf(leaves, members, n);
		return;
	}
	nleaders = Min(most, Max(2, n * copies / LEAF_TARGET(most)));
	copies = Min(copies, nleaders - 1);
	for (int i = 0; i < nleaders; i++)
	{
		int64		j = i + pg_prng_uint64_range(&pg_global_prng_state, 0, n - 1 - i);
		uint32		swap = members[i];

		members[i] = members[j];
		members[j] = swap;
	}
	leaders = palloc(nleaders * sizeof(uint32));
	memcpy(leaders, members, nleaders * sizeof(uint32));
	joined = palloc_extended(n * copies * sizeof(uint16), MCXT_ALLOC_HUGE);
	counts = palloc0(nleaders * sizeof(uint32));
	HnswColumnsLoad(b, level, leaders, nleaders);
	for (int64 i = 0; i < n; i += BULK_ROWS)
	{
		int			rows = Min(BULK_ROWS, n - i);

		CHECK_FOR_INTERRUPTS();
		HnswColumnsDistances(b, level, members + i, rows, true);
		for (int r = 0; r < rows; r++)
		{
			uint16	   *to = joined + (i + r) * copies;

			nearest_leaders(b->dists + r * BULK_LEAF_MAX, nleaders, copies, to);
			for (int c = 0; c < copies; c++)
				counts[to[c]]++;
		}
	}
	merged = palloc(nleaders * sizeof(uint16));
	merge_small(b, level, leaders, nleaders, counts, merged);

	/* sort the members by group */
	start = palloc0((nleaders + 1) * sizeof(int64));
	for (int64 i = 0; i < n; i++)
	{
		uint16	   *to = joined + i * copies;

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
				start[to[c] + 1]++;
		}
	}
	for (int i = 0; i < nleaders; i++)
		start[i + 1] += start[i];
	groups = palloc_extended(start[nleaders] * sizeof(uint32), MCXT_ALLOC_HUGE);
	for (int64 i = 0; i < n; i++)
		for (int c = 0; c < copies; c++)
		{
			uint16		to = joined[i * copies + c];

			if (to != PG_UINT16_MAX)
				groups[start[to]++] = c == 0 ? members[i] : MEMBER(members[i]);
		}
	pfree(joined);
	for (int i = nleaders; i > 0; i--)
		start[i] = start[i - 1];
	start[0] = 0;

	for (int i = 0; i < nleaders; i++)
	{
		uint32	   *group = groups + start[i];
		int64		size = start[i + 1] - start[i];

		if (size > n - n / 8)
		{
			/* too much alike to be divided by distance: any pieces do */
			for (int64 at = 0; at < size; at += most)
				add_leaf(leaves, group + at, Min(most, size - at));
		}
		else if (size > 0)
			divide(b, level, group, size, 1, leaves);
	}
	pfree(groups);
	pfree(start);
	pfree(merged);
	pfree(counts);
	pfree(leaders);
}

/*
 * Divide the members of a level into leaves, as large as there are columns.  Each
 * member is in about "copies" of them, and once with BULK_TREE set.
 */
void
HnswPartition(Bulk *b, const BulkLevel *level, int copies, BulkLeaves *leaves)
{
	MemoryContext old = MemoryContextSwitchTo(b->cxt);
	uint32	   *members = palloc_extended((Size) level->n * sizeof(uint32), MCXT_ALLOC_HUGE);

	memset(leaves, 0, sizeof(*leaves));
	leaves->maxleaves = 64;
	leaves->start = palloc(leaves->maxleaves * sizeof(int64));
	leaves->start[0] = 0;
	leaves->max = (int64) level->n * (level->n > (uint32) b->columns.max ? copies : 1);
	leaves->members = palloc_extended(Max(leaves->max, 1) * sizeof(uint32), MCXT_ALLOC_HUGE);
	for (uint32 i = 0; i < level->n; i++)
		members[i] = i | BULK_TREE;
	divide(b, level, members, level->n, Min(copies, MAX_COPIES), leaves);
	pfree(members);
	MemoryContextSwitchTo(old);
}

void
HnswLeavesFree(BulkLeaves *leaves)
{
	pfree(leaves->members);
	pfree(leaves->start);
}
