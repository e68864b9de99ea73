/*
 * relink.c
 *		The lists of nodes that are in an index already, chosen many at once.
 *
 * Where a large part of all lists is to be chosen, the machinery of a build does it at
 * a build's cost: the live nodes of level 0 are read into a batch, with the links they
 * have; the targets, which are those with too few, or those that a merge names, collect
 * candidates (partition.c, candidates.c) and choose (neighbours.c); then the lists that
 * changed are written, page by page (rewrite.c).  Inserts and searches go on meanwhile.
 * README, "Relinking".
 */
#include "postgres.h"

#include <math.h>

#include "commands/vacuum.h"
#include "common/hashfn.h"
#include "compat.h"
#include "hnsw/base/bitmap.h"
#include "hnsw/base/waitpoint.h"
#include "hnsw/bulk/batch.h"
#include "hnsw/bulk/candidates.h"
#include "hnsw/bulk/columns.h"
#include "hnsw/bulk/neighbours.h"
#include "hnsw/bulk/partition.h"
#include "hnsw/bulk/relink.h"
#include "hnsw/bulk/team.h"
#include "hnsw/bulk/tree.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/link.h"
#include "hnsw/page/access.h"
#include "hnsw/page/dead.h"
#include "hnsw/page/index.h"
#include "hnsw/page/meta.h"
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

/* A hash of a record's links, which tells whether they have changed. */
uint64
HnswRelinkHash(const HnswLayout *lay, const char *node)
{
	const int	n = ((const HnswRecord *) node)->nlinks;

	return hash_bytes_extended((const unsigned char *) HnswNodeLinks(lay, node),
							   n * (int) sizeof(ItemPointerData), n);
}

/*
 * Is a node one that a merge is to link?  One that has links, of a merge that was cut off, is
 * not, nor is the root: those are for HnswSettle.
 */
static inline bool
is_listed(const Relink *r, BlockNumber blk, uint16 slot, int nlinks)
{
	uint64		number = HnswNodeNumber(r->g, blk, slot);

	return nlinks == 0 && number < r->nslots && HnswBitmapTest(r->listed, number) &&
		!(blk == r->root.blk && slot == r->root.slot);
}

/* Is a live node none of the graph, and not to become one now? */
static inline bool
is_left_out(const Relink *r, BlockNumber blk, uint16 slot, int nlinks)
{
	return r->task->listed != NULL && nlinks == 0 && !is_listed(r, blk, slot, nlinks) &&
		!(blk == r->root.blk && slot == r->root.slot);
}

/* With so many links to live nodes, is a node a target? */
static inline bool
wants_links(const Relink *r, BlockNumber blk, uint16 slot, int nlinks)
{
	return r->task->listed ? is_listed(r, blk, slot, nlinks) : nlinks < HnswEnoughLinks(r->g->lay);
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

/* What a look at all lists tells. */
typedef struct Looking
{
	const Relink *r;
	int64		nnodes;			/* live ones of level 0 */
	int64		ntargets;
} Looking;

static void
look_at(void *arg, HnswPin *pin, uint16 slot, const char *node)
{
	Looking    *l = arg;
	const int	nlinks = ((const HnswRecord *) node)->nlinks;
	int			nlive = nlinks;

	if (is_left_out(l->r, pin->blk, slot, nlinks))
		return;
	for (int i = 0; i < nlinks && l->r->task->dead.n > 0; i++)
	{
		const ItemPointerData *link = &HnswNodeLinks(l->r->g->lay, node)[i];

		nlive -= HnswIsDead(&l->r->task->dead, HnswLinkBlock(link), HnswLinkSlot(link));
	}
	l->nnodes++;
	l->ntargets += wants_links(l->r, pin->blk, slot, nlive);
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
	if (m == b->shared->cap || HnswNodeNumber(r->g, pin->blk, slot) >= r->nslots ||
		is_left_out(r, pin->blk, slot, rec->nlinks))
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
 * members; what stays besides takes room.  How far off it is a candidate follows from them.
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

		if (relink_stays(r, m, RAW_BLOCK(raw), RAW_SLOT(raw), RAW_FLAGS(raw)))
		{
			r->old.room[m]--;
			continue;
		}
		if (to == BATCH_NONE)
		{
			r->old.flags[m] |= OLD_LOSES;
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
		r->level->reach[m] = HnswBatchReach(lay, x, nearest);
	if (wants_links(r, ItemPointerGetBlockNumberNoCheck(&x->tid), ItemPointerGetOffsetNumberNoCheck(&x->tid), n))
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

/* The flags of links that nobody has chosen become those of links that are stored. */
static void
keep_flags(Relink *r)
{
	for (uint32 m = 0; m < r->level->n; m++)
	{
		BatchLink  *links = r->level->links + (Size) m * r->level->width;

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < r->level->nlinks[m] && !(r->old.flags[m] & OLD_CHOSEN); i++)
		{
			bool		tree = batch_is_child(&r->old, m, BatchLinkMember(links[i]));

			links[i] = (links[i] & ~(BatchLink) (BATCH_TREE | BATCH_PRUNED)) | (tree ? BATCH_TREE : 0) |
				(links[i] & BATCH_TREE ? 0 : BATCH_PRUNED);
		}
	}
}

/* Note which listed nodes were no targets: they had links, or came too late. */
static void
note_left(Relink *r)
{
	HnswRelinkTask *task = r->task;

	task->left = MemoryContextAllocHuge(r->result, (task->nlisted + 1) * sizeof(HnswSlot));
	for (int64 i = 0; i < task->nlisted; i++)
	{
		uint32		m = relink_member(r, task->listed[i].blk, task->listed[i].slot);

		if (m == BATCH_NONE || !batch_is_target(r->level, m))
			task->left[task->nleft++] = task->listed[i];
	}
	task->nlinked = r->old.ntargets;
}

/* Give each target a tree parent; false when there is no place, or no root. */
static bool
hang_targets(Relink *r)
{
	uint32		root = relink_member(r, r->root.blk, r->root.slot);

	keep_flags(r);
	if (root == BATCH_NONE || !HnswBatchHang(r->b, r->level, root))
		return false;
	for (uint32 m = 0; m < r->level->n; m++)
		if (batch_is_target(r->level, m))
			r->old.flags[r->level->parent[m]] |= OLD_CHOSEN;
	return true;
}

/* What a merge works on: which nodes are in its list, and the root. */
static void
begin_merge(Relink *r)
{
	HnswMetaPage meta;

	HnswReadMeta(r->g, &meta);
	r->root.blk = ItemPointerGetBlockNumberNoCheck(&meta.root);
	r->root.slot = ItemPointerGetOffsetNumberNoCheck(&meta.root);
	r->listed = HnswBitmapMake(r->nslots);
	for (int64 i = 0; i < r->task->nlisted; i++)
	{
		const HnswSlot *at = &r->task->listed[i];

		if (at->slot < r->g->lay->per_page && HnswNodeNumber(r->g, at->blk, at->slot) < r->nslots)
			(void) HnswBitmapSet(r->listed, HnswNodeNumber(r->g, at->blk, at->slot));
	}
}

/* Does it pay to choose all lists at once, and is there the memory?  *cap: for how many nodes. */
static bool
is_worth_it(const Relink *r, int64 *cap)
{
	const HnswLayout *lay = r->g->lay;
	const Size	limit = r->task->limit;
	Looking		l = {r, 0, 0};

	for_each_node(r->g, r->task->strategy, (BlockNumber) (r->nslots / lay->per_page), look_at, &l);
	/* a few may come meanwhile */
	*cap = l.nnodes + l.nnodes / 64;
	return l.nnodes >= RELINK_MIN_NODES && l.ntargets > l.nnodes / RELINK_SHARE && *cap <= BATCH_MAX_NODES &&
		relink_bytes(lay, *cap, r->nslots) + HnswColumnsBytes(lay, HnswColumnsMax(lay, limit, 1)) <= limit;
}

/* Do it, with memory for so many nodes; false, and nothing changed, when a merge has no place for a node. */
static bool
relink(Relink *r, uint32 cap)
{
	make_batch(r, cap);
	for_each_node(r->g, r->task->strategy, (BlockNumber) (r->nslots / r->g->lay->per_page), read_node, r);
	r->b->shared->n = r->level->n;
	HNSW_WAIT_POINT("relink-choose");
	look_up_links(r);
	choose_lists(r);
	if (r->task->listed && !hang_targets(r))
		return false;
	HNSW_WAIT_POINT("relink-write");
	HnswRelinkWrite(r);
	if (r->task->listed)
		note_left(r);
	return true;
}

/*
 * Choose many lists of level 0 at once, where that pays and the memory suffices: false,
 * and nothing changed, where not.
 *
 * VACUUM: those that have too few links besides those to DEAD nodes; the latter leave the
 * others, too.  TREE links to DEAD nodes stay, and so do lists that inserts change
 * meanwhile: these are for HnswRepair.
 *
 * A merge (task->listed): those of the nodes that are listed and have no links yet.  Each gets a
 * TREE link from a node of the graph, or below one, and is offered links back.  The caller
 * sees to task->left, the others, and to task->missed, what lists should have got that
 * inserts changed meanwhile; both are in the context "result".
 */
bool
HnswRelink(HnswIndex *g, HnswRelinkTask *task, MemoryContext result)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "hnsw relinking", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	Relink		r;
	int64		cap;
	bool		done;

	memset(&r, 0, sizeof(r));
	r.g = g;
	r.task = task;
	r.result = result;
	r.nslots = (uint64) RelationGetNumberOfBlocks(g->rel) * g->lay->per_page;
	r.old.relaxed = task->listed == NULL;
	/* who has a list has most of its neighbours */
	r.old.copies = task->listed ? BATCH_COPIES(g->lay) : BATCH_COPIES(g->lay) / 2;
	if (task->listed)
		begin_merge(&r);
	done = is_worth_it(&r, &cap) && relink(&r, (uint32) cap);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	return done;
}
