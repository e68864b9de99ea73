/*
 * batch.c
 *		The memory of a batch: its nodes, and levels with room for their links.
 */
#include "postgres.h"

#include <math.h>

#include "common/pg_prng.h"
#include "hnsw/bulk/batch.h"
#include "hnsw/bulk/team.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/page/index.h"
#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/memutils.h"

/* Nodes of a level above one that is not small. */
#define LEVEL_MIN		8

/* Bytes of a node of level 0 in the arrays of its batch. */
Size
HnswBatchNodeBytes(const HnswLayout *lay)
{
	return sizeof(BatchNode) + lay->own_bytes;
}

/* Bytes of a member in the arrays of its level, with its offers. */
static Size
member_bytes(const HnswLayout *lay)
{
	return BATCH_WIDTH(lay) * sizeof(BatchLink) + sizeof(uint16) + sizeof(float) +
		2 * sizeof(uint32) + sizeof(uint8);
}

/* Bytes that a row costs at the peak, all in all, with so many participants. */
double
HnswBatchRowBytes(const HnswLayout *lay, int participants)
{
	/* levels above: each has 1 / fanout of the members of the one below */
	double		upper = (member_bytes(lay) + sizeof(uint32)) / (lay->fanout - 1.0);
	Size		offers = lay->fanout / 2 * sizeof(BatchLink) + sizeof(uint64);
	Size		leaves = BATCH_COPIES(lay) * sizeof(uint32);

	return HnswBatchNodeBytes(lay) + member_bytes(lay) + upper + leaves + offers +
		participants * sizeof(uint32);
}

/*
 * A participant's side of a batch.  shared: zeroed, in the memory that
 * HnswTeamPrepare gave, or anywhere if there is no worker.  limit: bytes for
 * all participants.
 */
Batch *
HnswBatchCreate(HnswIndex *g, Team *team, BatchShared *shared, Size limit)
{
	MemoryContext cxt = AllocSetContextCreate(g->cxt, "hnsw bulk construction",
											  ALLOCSET_DEFAULT_SIZES);
	Batch	   *b = MemoryContextAllocZero(cxt, sizeof(Batch));

	b->g = g;
	b->team = team;
	b->shared = shared;
	b->cxt = cxt;
	b->limit = limit;
	return b;
}

/* The arrays of nodes in the piece of memory that they have. */
static void
carve_nodes(Batch *b, char *base)
{
	b->nodes = (BatchNode *) base;
	b->own = base + MAXALIGN(mul_size(b->shared->cap, sizeof(BatchNode)));
}

/* The leader: memory for so many nodes.  Errors: out of memory. */
void
HnswBatchMakeNodes(Batch *b, uint32 cap)
{
	b->shared->cap = cap;
	carve_nodes(b, HnswTeamAlloc(b->team, TEAM_NODES,
								 add_size(MAXALIGN(mul_size(cap, sizeof(BatchNode))),
										  mul_size(cap, b->g->lay->own_bytes))));
}

/*
 * Give the arrays their places in one piece of memory, and return its size;
 * base NULL: just that.
 */
static Size
carve_levels(Batch *b, char *base)
{
	BatchShared *sh = b->shared;
	const HnswLayout *lay = b->g->lay;
	Size		at = 0;

#define CARVE(to, n) \
	do { \
		if (base) \
			(to) = (void *) (base + at); \
		at = MAXALIGN(add_size(at, mul_size(n, sizeof(*(to))))); \
	} while (0)

	for (int l = 0; l <= sh->top; l++)
	{
		BatchLevel *level = &b->levels[l];

		level->n = sh->level_n[l];
		level->width = BATCH_WIDTH(lay);
		CARVE(level->links, mul_size(level->n, level->width));
		CARVE(level->nlinks, level->n);
		CARVE(level->reach, level->n);
		CARVE(level->parent, level->n);
		CARVE(level->nchildren, level->n);
		CARVE(level->order, level->n);
		if (l > 0)
			CARVE(level->node, level->n);
	}
	CARVE(b->offered, (Size) sh->n + 2);
	CARVE(b->members, mul_size(sh->n, BATCH_COPIES(lay)));
	CARVE(b->extra, sh->nextra);
	StaticAssertStmt(sizeof(BatchPlace) <= BATCH_MIN_COPIES * sizeof(uint32),
					 "the room for leaves' members holds as many places");
	return at;
}

/*
 * The leader: make the locks of candidates.  Their tranche is the server's, not
 * the build's: numbers of tranches are never given back.
 */
static void
init_locks(BatchShared *shared)
{
	int		   *tranche;
	bool		found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	tranche = ShmemInitStruct("vectorx build lock tranche", sizeof(int), &found);
	if (!found)
		*tranche = LWLockNewTrancheId();
	LWLockRelease(AddinShmemInitLock);
	shared->lock_tranche = *tranche;
	for (int i = 0; i < BATCH_LOCKS; i++)
		LWLockInitialize(&shared->locks[i], shared->lock_tranche);
}

/*
 * Count the nodes of each level.  Above one with more nodes than a list has places are
 * LEVEL_MIN at least: levels are drawn, and the few that there are else may all be in
 * one cluster.
 */
static void
count_levels(Batch *b)
{
	BatchShared *sh = b->shared;

	for (uint32 i = 0; i < sh->n; i++)
		for (int l = 0; l <= b->nodes[i].level; l++)
			sh->level_n[l]++;
	for (int l = 0; l < HNSW_MAX_LEVEL && sh->level_n[l] > (uint32) BATCH_WIDTH(b->g->lay); l++)
		while (sh->level_n[l + 1] < LEVEL_MIN)
		{
			BatchNode  *x = &b->nodes[pg_prng_uint64_range(&pg_global_prng_state, 0, sh->n - 1)];

			CHECK_FOR_INTERRUPTS();
			if (x->level == l)
			{
				x->level++;
				sh->level_n[l + 1]++;
			}
		}
	while (sh->top < HNSW_MAX_LEVEL && sh->level_n[sh->top + 1] > 0)
		sh->top++;
}

/* The leader: memory for levels of so many members as the batch says. */
void
HnswBatchMakeArrays(Batch *b)
{
	BatchShared *sh = b->shared;
	BatchTid   *extra = b->extra;
	char	   *base;

	base = HnswTeamAlloc(b->team, TEAM_LINKS, carve_levels(b, NULL));
	(void) carve_levels(b, base);
	if (extra)
	{
		memcpy(b->extra, extra, (Size) sh->nextra * sizeof(BatchTid));
		pfree(extra);
	}
	for (int l = 0; l <= sh->top; l++)
	{
		BatchLevel *level = &b->levels[l];

		memset(level->nlinks, 0, (Size) level->n * sizeof(uint16));
		memset(level->nchildren, 0, level->n);
		for (uint32 i = 0; i < level->n; i++)
			level->reach[i] = INFINITY;
		memset(level->parent, 0xFF, (Size) level->n * sizeof(uint32));
	}
	if (b->team->nparticipants > 1)
		init_locks(sh);
}

/* The leader: memory for the graph of the nodes that have been collected. */
void
HnswBatchMakeLevels(Batch *b)
{
	count_levels(b);
	HnswBatchMakeArrays(b);
}

/* Everyone else, after the leader has made both: find all this memory. */
void
HnswBatchAttach(Batch *b)
{
	carve_nodes(b, HnswTeamAttach(b->team, TEAM_NODES));
	(void) carve_levels(b, HnswTeamAttach(b->team, TEAM_LINKS));
}

/* Let go of a batch's memory, this participant's part of the shared, too. */
void
HnswBatchDestroy(Batch *b)
{
	HnswTeamFree(b->team, TEAM_LINKS);
	HnswTeamFree(b->team, TEAM_NODES);
	MemoryContextDelete(b->cxt);
}

/* The leader: bring the nodes into the order of their own leaves, for locality. */
void
HnswBatchMoveNodes(Batch *b)
{
	const Size	own_bytes = b->g->lay->own_bytes;
	uint32	   *moved = b->levels[0].moved;
	char	   *other = MemoryContextAlloc(b->cxt, own_bytes);
	uint32		n = 0;

	for (int64 i = 0; i < b->shared->nmembers; i++)
		if (b->members[i] & LEAF_OWN)
			moved[LEAF_MEMBER(b->members[i])] = n++;
	Assert(n == b->shared->n);
	for (int64 i = 0; i < b->shared->nmembers; i++)
		b->members[i] = moved[LEAF_MEMBER(b->members[i])] | (b->members[i] & LEAF_START);
	for (uint32 i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		/* each exchange brings one node to its place */
		while (moved[i] != i)
		{
			uint32		to = moved[i];
			BatchNode	node = b->nodes[to];
			char	   *own = b->own + (Size) i * own_bytes;
			char	   *to_own = b->own + (Size) to * own_bytes;

			b->nodes[to] = b->nodes[i];
			b->nodes[i] = node;
			memcpy(other, to_own, own_bytes);
			memcpy(to_own, own, own_bytes);
			memcpy(own, other, own_bytes);
			moved[i] = moved[to];
			moved[to] = to;
		}
	}
	pfree(other);
}

/* The members of the level above l, which there is: in the order of their nodes. */
void
HnswBatchListMembers(Batch *b, int l)
{
	const BatchLevel *level = &b->levels[l];
	BatchLevel *above = &b->levels[l + 1];
	uint32		n = 0;

	for (uint32 m = 0; m < level->n; m++)
	{
		uint32		node = batch_node(level, m);

		if (b->nodes[node].level > l)
			above->node[n++] = node;
	}
	Assert(n == above->n);
}

/* Number, among the members of a level, of a node that has that level. */
uint32
HnswBatchMember(const BatchLevel *level, uint32 node)
{
	uint32		low = 0;
	uint32		high = level->n;

	if (level->node == NULL)
		return node;
	while (low + 1 < high)
	{
		uint32		mid = low + (high - low) / 2;

		if (level->node[mid] <= node)
			low = mid;
		else
			high = mid;
	}
	return low;
}
