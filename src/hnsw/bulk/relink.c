/*
 * relink.c
 *		The lists of nodes that are in an index already, chosen anew many at once.
 *
 * Where a large part of all lists is to be chosen anew, the machinery of a build
 * does it at a build's cost: the live nodes of level 0 are read into a batch, with the
 * links they have; those with too few, the targets, collect candidates (partition.c,
 * candidates.c) and choose (neighbours.c); then the lists that changed are written,
 * page by page (rewrite.c).  Inserts and searches go on meanwhile.  README, "Relinking".
 */
#include "postgres.h"

#include <math.h>

#include "commands/vacuum.h"
#include "common/hashfn.h"
#include "compat.h"
#include "hnsw/base/waitpoint.h"
#include "hnsw/bulk/batch.h"
#include "hnsw/bulk/candidates.h"
#include "hnsw/bulk/columns.h"
#include "hnsw/bulk/neighbours.h"
#include "hnsw/bulk/partition.h"
#include "hnsw/bulk/relink.h"
#include "hnsw/bulk/team.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/link.h"
#include "hnsw/page/access.h"
#include "hnsw/page/dead.h"
#include "hnsw/page/index.h"
#include "hnsw/page/record.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"

/*
 * What is worth it: one list in so many is to be chosen anew, of an index with so many
 * nodes.  Below, as many searches cost less.  docs/design/repair.md.
 */
#define RELINK_SHARE		20
#define RELINK_MIN_NODES	BATCH_LEAF_MAX

/* A link that has been read and not been looked up yet: TID with flags, and edge. */
#define RAW_LINK(blk, offset, edge)	((uint64) (blk) << 32 | (uint64) (offset) << 16 | (edge))
#define RAW_BLOCK(raw)	((BlockNumber) ((raw) >> 32))
#define RAW_SLOT(raw)	((uint16) ((raw) >> 16) & HNSW_LINK_SLOT_MASK)
#define RAW_FLAGS(raw)	((uint16) ((raw) >> 16) & ~HNSW_LINK_SLOT_MASK)

/* What a look at all lists tells. */
typedef struct Look
{
	int64		nnodes;			/* live ones of level 0 */
	int64		nbroken;		/* of them, with fewer links than are enough */
} Look;

/* A hash of a record's links, which tells whether they have changed. */
uint64
HnswRelinkHash(const HnswLayout *lay, const char *node)
{
	const int	n = ((const HnswRecord *) node)->nlinks;

	return hash_bytes_extended((const unsigned char *) HnswNodeLinks(lay, node),
							   n * (int) sizeof(ItemPointerData), n);
}

/* Is a link, which has not been looked up, one that a list is to lose, or keeps for the tree alone? */
static inline bool
is_dead(const HnswDeadSet *dead, const ItemPointerData *link)
{
	return HnswIsDead(dead, HnswLinkBlock(link), HnswLinkSlot(link));
}

/* Call "see" for each live node of level 0, its page in hand in share mode. */
static void
for_each_node(HnswIndex *g, BufferAccessStrategy strategy, BlockNumber nblocks,
			  void (*see) (void *arg, HnswPin *pin, uint16 slot, const char *node), void *arg)
{
	for (BlockNumber blk = HNSW_META_BLOCK + 1; blk < nblocks; blk++)
	{
		HnswPin		pin;

		CompatVacuumDelayPoint();
		if (!HnswAcquireInOrder(g, blk, BUFFER_LOCK_SHARE, strategy, &pin))
			continue;
		for (int slot = 0; HnswPageGetHeader(pin.page)->kind == HNSW_PAGE_NODE &&
			 slot < HnswPageGetHeader(pin.page)->nslots; slot++)
		{
			const char *node = HnswLiveNodeAt(g, &pin, slot);

			if (node)
				see(arg, &pin, slot, node);
		}
		HnswRelease(g, &pin);
	}
}

typedef struct Looking
{
	HnswIndex  *g;
	const HnswDeadSet *dead;
	Look		look;
} Looking;

static void
look_at(void *arg, HnswPin *pin, uint16 slot, const char *node)
{
	Looking    *l = arg;
	const HnswLayout *lay = l->g->lay;
	int			nlive = ((const HnswRecord *) node)->nlinks;

	for (int i = ((const HnswRecord *) node)->nlinks - 1; i >= 0; i--)
		nlive -= is_dead(l->dead, &HnswNodeLinks(lay, node)[i]);
	l->look.nnodes++;
	l->look.nbroken += nlive < HnswEnoughLinks(lay);
}

/* Bytes that a relinking of so many nodes takes, of so many slots. */
static double
relink_bytes(const HnswLayout *lay, int64 nnodes, uint64 nslots)
{
	/* what a build has, what BatchOld has, and the groups that are joined */
	double		node = HnswBatchRowBytes(lay, 1) + 2 * sizeof(uint8) + sizeof(uint64) +
		3 * sizeof(uint32) + BATCH_COPIES(lay) * sizeof(uint16);

	return node * nnodes + (double) nslots * sizeof(uint32);
}

/* Read a node into the batch; its links wait to be looked up until all are there. */
static void
read_node(void *arg, HnswPin *pin, uint16 slot, const char *node)
{
	Relink	   *r = arg;
	const HnswLayout *lay = r->g->lay;
	Batch	   *b = r->b;
	const HnswRecord *rec = (const HnswRecord *) node;
	uint32		m = r->level->n;
	BatchNode  *x = &b->nodes[m];

	/* of those that come meanwhile some are left out: an insert has linked them */
	if (m == b->shared->cap || HnswNodeNumber(r->g, pin->blk, slot) >= r->nslots)
		return;
	if (lay->metric->products && !isfinite(rec->norm2 + rec->scale + rec->offset))
		HnswCorrupted(r->g, pin->blk, slot, "the vector's squared norm is not finite");
	memset(x, 0, sizeof(*x));
	x->head = rec->head;
	x->more = BATCH_NONE;
	ItemPointerSet(&x->tid, pin->blk, slot);
	memcpy(b->own + (Size) m * lay->own_bytes, HnswNodeOwn(r->g, pin, slot, node), lay->own_bytes);
	for (int i = 0; i < rec->nlinks; i++)
	{
		const ItemPointerData *link = &HnswNodeLinks(lay, node)[i];
		uint16		edge;

		memcpy(&edge, node + lay->off_edges + i * sizeof(edge), sizeof(edge));
		r->level->links[(Size) m * r->level->width + i] =
			RAW_LINK(HnswLinkBlock(link), ItemPointerGetOffsetNumberNoCheck(link), edge);
	}
	r->level->nlinks[m] = rec->nlinks;
	r->old.hash[m] = HnswRelinkHash(lay, node);
	r->member[HnswNodeNumber(r->g, pin->blk, slot)] = m;
	r->level->n++;
}

/* Memory for the batch, of at most so many nodes, and for what it is made of. */
static void
make_batch(Relink *r, uint32 cap)
{
	Team	   *team = HnswTeamCreate(r->g->rel);
	BatchShared *shared = palloc0(sizeof(BatchShared));
	Batch	   *b = HnswBatchCreate(r->g, team, shared, r->task->limit);

	/* the handle may outlive an error */
	MemoryContextSetParent(b->cxt, CurrentMemoryContext);
	r->b = b;
	HnswBatchMakeNodes(b, cap);
	shared->n = shared->level_n[0] = cap;
	HnswBatchMakeArrays(b);
	b->seen = palloc_extended(cap * sizeof(uint32), MCXT_ALLOC_HUGE);
	r->level = &b->levels[0];
	r->level->n = 0;
	r->level->old = &r->old;
	r->old.flags = palloc_extended(cap, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	r->old.room = palloc_extended(cap, MCXT_ALLOC_HUGE);
	r->old.hash = palloc_extended(cap * sizeof(uint64), MCXT_ALLOC_HUGE);
	r->old.first = palloc_extended((cap + 1) * sizeof(uint32), MCXT_ALLOC_HUGE);
	r->member = palloc_extended(r->nslots * sizeof(uint32), MCXT_ALLOC_HUGE);
	memset(r->member, 0xFF, r->nslots * sizeof(uint32));
}

/* Add to the tree children of the member that is being looked up. */
static void
push_child(Relink *r, uint32 child, uint32 *nchildren, uint32 *max)
{
	if (*nchildren == *max)
	{
		*max = Max(1024, *max + *max / 2);
		r->old.children = r->old.children ?
			repalloc_huge(r->old.children, (Size) *max * sizeof(uint32)) :
			palloc_extended((Size) *max * sizeof(uint32), MCXT_ALLOC_HUGE);
	}
	r->old.children[(*nchildren)++] = child;
}

/* A target's links are its first candidates, at their distances; the farthest last. */
static void
start_target(Relink *r, uint32 m)
{
	BatchLink  *links = r->level->links + (Size) m * r->level->width;
	const int	n = r->level->nlinks[m];

	r->old.flags[m] |= OLD_TARGET;
	r->old.ntargets++;
	for (int i = 0; i < n; i++)
	{
		uint32		to = BatchLinkMember(links[i]);

		links[i] = batch_link(HnswBatchDistance(r->b, m, to), to);
		if (links[i] < links[0])
			continue;
		/* the greatest first, for now */
		{
			BatchLink	swap = links[i];

			links[i] = links[0];
			links[0] = swap;
		}
	}
	if (n > 1)
	{
		BatchLink	swap = links[0];

		links[0] = links[n - 1];
		links[n - 1] = swap;
	}
}

/*
 * Look up the links of a member: those to DEAD nodes leave the list, and what is left are
 * members, unless it is a list for others to mend.  How far off it is a candidate follows
 * from them.
 */
static void
look_up(Relink *r, uint32 m, uint32 *nchildren, uint32 *max)
{
	const HnswLayout *lay = r->g->lay;
	BatchNode  *x = &r->b->nodes[m];
	BatchLink  *links = r->level->links + (Size) m * r->level->width;
	float		nearest = INFINITY;
	int			n = 0;

	r->old.room[m] = lay->fanout;
	r->old.first[m] = *nchildren;
	for (int i = 0; i < r->level->nlinks[m]; i++)
	{
		uint64		raw = links[i];
		uint32		to = relink_member(r, RAW_BLOCK(raw), RAW_SLOT(raw));
		float		dist = HnswEdgeDistance((uint16) raw);

		if (HnswIsDead(r->task->dead, RAW_BLOCK(raw), RAW_SLOT(raw)))
		{
			if (RAW_FLAGS(raw) & HNSW_LINK_TREE)
				r->old.room[m]--;
			else
				r->old.flags[m] |= OLD_LOSES;
			continue;
		}
		if (to == BATCH_NONE || to == m)
		{
			r->old.flags[m] |= OLD_ALIEN;
			continue;
		}
		if (RAW_FLAGS(raw) & HNSW_LINK_TREE)
			push_child(r, to, nchildren, max);
		if (to < m)
			nearest = Min(nearest, batch_apart(lay->metric, x->norm2, r->b->nodes[to].norm2, dist));
		links[n++] = batch_link(dist, to) | (RAW_FLAGS(raw) & HNSW_LINK_PRUNED ? 0 : BATCH_TREE);
	}
	r->level->nlinks[m] = n;
	if (nearest < INFINITY)
		r->level->reach[m] = BATCH_REACH * BATCH_REACH * Max(nearest, HnswLeastApart(lay, x));
	if (!(r->old.flags[m] & OLD_ALIEN) && n < HnswEnoughLinks(lay))
		start_target(r, m);
}

/* Look up the links of all members. */
static void
look_up_links(Relink *r)
{
	uint32		nchildren = 0;
	uint32		max = 0;

	for (uint32 m = 0; m < r->level->n; m++)
	{
		CHECK_FOR_INTERRUPTS();
		look_up(r, m, &nchildren, &max);
	}
	r->old.first[r->level->n] = nchildren;
}

/* Choose the targets' lists, and those of the others that they are offered to. */
static void
choose_lists(Relink *r)
{
	BatchColumns *c = HnswColumnsCreate(r->b);
	BatchLink  *links = r->level->links;

	/* groups that are joined stand beside the links, which there are already */
	r->level->joined = palloc_extended((Size) r->level->n * BATCH_COPIES(r->g->lay) * sizeof(uint16),
									   MCXT_ALLOC_HUGE);
	HnswPartition(c, r->level);
	pfree(r->level->joined);
	r->level->links = links;
	(void) HnswBatchLink(c, r->level);
}

/*
 * Choose anew all lists of level 0 that have too few links besides those to DEAD nodes,
 * and take the latter out of the others, where that pays and the memory suffices: false,
 * and nothing changed, where not.  TREE links to DEAD nodes stay, and lists that inserts
 * change meanwhile, or that lead to nodes that came meanwhile: those are for HnswRepair.
 */
bool
HnswRelink(HnswIndex *g, HnswRelinkTask *task)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(g->rel);
	Looking		l = {g, task->dead, {0, 0}};
	MemoryContext cxt;
	MemoryContext old;
	Relink		r;
	int64		cap;

	for_each_node(g, task->strategy, nblocks, look_at, &l);
	/* a few may come meanwhile */
	cap = l.look.nnodes + l.look.nnodes / 64;
	if (l.look.nnodes < RELINK_MIN_NODES || l.look.nbroken < l.look.nnodes / RELINK_SHARE ||
		cap > BATCH_MAX_NODES ||
		relink_bytes(g->lay, cap, (uint64) nblocks * g->lay->per_page) +
		HnswColumnsBytes(g->lay, HnswColumnsMax(g->lay, task->limit, 1)) > task->limit)
		return false;
	cxt = AllocSetContextCreate(CurrentMemoryContext, "hnsw relinking", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(cxt);
	memset(&r, 0, sizeof(r));
	r.g = g;
	r.task = task;
	r.nslots = (uint64) nblocks * g->lay->per_page;
	r.old.relaxed = true;
	r.old.copies = BATCH_COPIES(g->lay) / 2;
	make_batch(&r, (uint32) cap);
	for_each_node(g, task->strategy, nblocks, read_node, &r);
	r.b->shared->n = r.level->n;
	HNSW_WAIT_POINT("vacuum-relink");
	look_up_links(&r);
	choose_lists(&r);
	HNSW_WAIT_POINT("vacuum-relink-write");
	HnswRelinkWrite(&r);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	return true;
}
