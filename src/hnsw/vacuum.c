/*
 * vacuum.c
 *		VACUUM: take out dead heap TIDs, mend the graph around nodes that lost
 *		all of them, give their slots back.
 *
 * Phases, each a pass over pages with one page locked at a time (nested locks
 * only as README lists them):
 *
 * 1. strip: dead heap TIDs leave their nodes; nodes without any become DEAD.
 *    Then wait for the inserts under way: later ones do not link to DEAD
 *    nodes.
 * 2. repair: links of live nodes to DEAD ones are replaced.  The tree
 *    children of a DEAD node are adopted by its tree parent, so that every
 *    live node stays reachable; other links by a neighbour of the DEAD node.
 * 3. root and entry point move off DEAD nodes.
 * 4. free: DEAD nodes, to which no live node links any more, become FREE.
 *
 * A crash or cancel between or within the phases leaves a sound graph with
 * some nodes DEAD, which the next VACUUM starts from.
 */
#include "postgres.h"

#include <math.h>

#include "commands/vacuum.h"
#include "hnsw/hnsw.h"
#include "hnsw/nodeset.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/freespace.h"
#include "storage/indexfsm.h"
#include "utils/memutils.h"

typedef struct VacuumState
{
	IndexVacuumInfo *info;
	IndexBulkDeleteResult *stats;
	IndexBulkDeleteCallback callback;
	void	   *callback_arg;
	HnswGraph  *g;
	MemoryContext cxt;
	MemoryContext tmp;			/* reset for each node */

	BlockNumber nblocks;		/* when the vacuum began */
	uint64	   *dead;			/* bitmap over block * per_page + slot */
	int64		ndead;
	int64		nrecords;		/* LIVE and DEAD ones, and their tree links */
	int64		ntree;
	BlockNumber *uppers;		/* upper pages */
	int64		nuppers;
	int64		maxuppers;
	HnswCandidate *chained;		/* nodes with overflow pages */
	int64		nchained;
	int64		maxchained;

	HnswCandidate best;			/* a live record of the highest level */
	int			best_level;
} VacuumState;

/* A list of records. */
typedef struct NodeList
{
	HnswCandidate *items;
	int64		n;
	int64		max;
} NodeList;

static void
list_add(NodeList *list, BlockNumber blk, uint16 slot, float key)
{
	if (list->n == list->max)
	{
		list->max = Max(64, list->max * 2);
		if (list->items == NULL)
			list->items = MemoryContextAllocHuge(CurrentMemoryContext,
												 list->max * sizeof(HnswCandidate));
		else
			list->items = repalloc_huge(list->items, list->max * sizeof(HnswCandidate));
	}
	list->items[list->n].blk = blk;
	list->items[list->n].slot = slot;
	list->items[list->n].key = key;
	list->n++;
}

static bool
list_has(const NodeList *list, BlockNumber blk, uint16 slot)
{
	for (int64 i = 0; i < list->n; i++)
		if (list->items[i].blk == blk && list->items[i].slot == slot)
			return true;
	return false;
}

static inline bool
is_dead(VacuumState *st, BlockNumber blk, uint16 slot)
{
	Size		id = (Size) blk * st->g->lay.per_page + slot;

	if (blk >= st->nblocks || slot >= st->g->lay.per_page)
		return false;
	return (st->dead[id / 64] >> (id % 64)) & 1;
}

static void
note_dead(VacuumState *st, BlockNumber blk, uint16 slot)
{
	Size		id = (Size) blk * st->g->lay.per_page + slot;

	st->dead[id / 64] |= UINT64CONST(1) << (id % 64);
	st->ndead++;
}

/*
 * Pin and lock a page with the vacuum's buffer strategy.  False for a page
 * that is new or not ours (not locked then).
 */
static bool
acquire_page(VacuumState *st, BlockNumber blk, int mode, HnswPin *pin)
{
	HnswPageHeader *header;

	CompatVacuumDelayPoint();
	pin->blk = blk;
	pin->buf = ReadBufferExtended(st->info->index, MAIN_FORKNUM, blk, RBM_NORMAL,
								  st->info->strategy);
	LockBuffer(pin->buf, mode);
	pin->page = BufferGetPage(pin->buf);
	if (PageIsNew(pin->page))
	{
		HnswRelease(st->g, pin);
		return false;
	}
	header = HnswPageGetHeader(pin->page);
	if (header->magic != HNSW_MAGIC)
		HnswCorrupted(st->g, blk, 0, "not a page of this index");
	return true;
}

static void
set_state(HnswGraph *g, HnswWrite *w, uint16 slot, HnswState state)
{
	uint8		byte = state;

	HnswWriteBytes(w, 0, HnswSlotOffset(&g->lay, slot) + offsetof(HnswRecord, state), &byte, 1);
}

/* ---- phase 1: strip ---- */

/* Keep the live ones of n TIDs in kept; returns their number. */
static int
filter_tids(VacuumState *st, const ItemPointerData *tids, int n, ItemPointerData *kept)
{
	int			nkept = 0;

	for (int i = 0; i < n; i++)
	{
		ItemPointerData tid = tids[i];

		if (st->callback(&tid, st->callback_arg))
			st->stats->tuples_removed++;
		else
		{
			kept[nkept++] = tid;
			st->stats->num_index_tuples++;
		}
	}
	return nkept;
}

static void
count_tree(VacuumState *st, const char *node)
{
	if (((const HnswRecord *) node)->state == HNSW_FREE)
		return;
	st->nrecords++;
	st->ntree += HnswCountTreeLinks(&st->g->lay, node);
}

static void
strip_nodes(VacuumState *st, HnswPin *pin)
{
	HnswGraph  *g = st->g;
	const HnswLayout *lay = &g->lay;
	HnswWrite  *w = &g->scratch->write;
	bool		changed = false;
	int			nslots = HnswPageGetHeader(pin->page)->nslots;

	HnswWriteBegin(g, w);
	HnswWriteAdd(w, pin, false);
	for (int slot = 0; slot < nslots; slot++)
	{
		char	   *node = HnswNodeAt(g, pin, slot);
		HnswRecord *rec = (HnswRecord *) node;
		Size		recoff = HnswSlotOffset(lay, slot);
		ItemPointerData kept[HNSW_MAX_TIDS];
		uint8		nkept;

		if (rec->state == HNSW_DEAD)
			note_dead(st, pin->blk, slot);
		count_tree(st, node);
		if (rec->state != HNSW_LIVE)
			continue;
		if (rec->level != 0)
			HnswCorrupted(g, pin->blk, slot, "an upper record on a page of level 0");
		nkept = filter_tids(st, HnswNodeTids(lay, node), rec->ntids, kept);
		if (rec->overflow != InvalidBlockNumber)
		{
			if (st->nchained == st->maxchained)
			{
				st->maxchained = Max(64, st->maxchained * 2);
				st->chained = st->chained ?
					repalloc_huge(st->chained, st->maxchained * sizeof(HnswCandidate)) :
					MemoryContextAllocHuge(st->cxt, st->maxchained * sizeof(HnswCandidate));
			}
			st->chained[st->nchained].blk = pin->blk;
			st->chained[st->nchained++].slot = slot;
		}
		if (nkept == rec->ntids)
			continue;
		HnswWriteBytes(w, 0, recoff + lay->off_tids, kept, nkept * sizeof(ItemPointerData));
		HnswWriteBytes(w, 0, recoff + offsetof(HnswRecord, ntids), &nkept, 1);
		if (nkept == 0 && rec->overflow == InvalidBlockNumber)
		{
			set_state(g, w, slot, HNSW_DEAD);
			note_dead(st, pin->blk, slot);
		}
		changed = true;
	}
	if (changed)
		HnswWriteEnd(w);
}

static void
strip_overflow(VacuumState *st, HnswPin *pin)
{
	HnswGraph  *g = st->g;
	HnswWrite  *w = &g->scratch->write;
	HnswOverflow *o = HnswPageGetOverflow(pin->page);
	ItemPointerData kept[HNSW_OVERFLOW_TIDS];
	uint16		nkept;
	LocationIndex lower;

	if (o->ntids > HNSW_OVERFLOW_TIDS)
		HnswCorrupted(g, pin->blk, 0, "too many TIDs on an overflow page");
	nkept = filter_tids(st, HnswOverflowTids(o), o->ntids, kept);
	if (nkept == o->ntids)
		return;
	lower = HNSW_PAGE_DATA + sizeof(HnswOverflow) + nkept * sizeof(ItemPointerData);
	HnswWriteBegin(g, w);
	HnswWriteAdd(w, pin, false);
	HnswWriteBytes(w, 0, offsetof(PageHeaderData, pd_lower), &lower, sizeof(lower));
	HnswWriteBytes(w, 0, HNSW_PAGE_DATA + offsetof(HnswOverflow, ntids), &nkept, sizeof(nkept));
	HnswWriteBytes(w, 0, HNSW_PAGE_DATA + sizeof(HnswOverflow), kept,
				   nkept * sizeof(ItemPointerData));
	/* what is now behind pd_lower reads as zeros after redo; so here */
	if (nkept < o->ntids)
	{
		Size		at = lower;
		Size		len = (o->ntids - nkept) * sizeof(ItemPointerData);
		char	   *zeros = palloc0(len);

		HnswWriteBytes(w, 0, at, zeros, len);
		pfree(zeros);
	}
	HnswWriteEnd(w);
}

/*
 * With a node in hand exclusively: take empty pages out of its overflow chain
 * where no scan has them pinned.  Returns whether any TID is left in the
 * chain.  Locks: the node's page, then the chain's pages, in chain order, at
 * most two of them.
 */
static bool
trim_chain(VacuumState *st, HnswPin *pnode, uint16 slot)
{
	HnswGraph  *g = st->g;
	HnswWrite  *w = &g->scratch->write;
	HnswRecord *rec = (HnswRecord *) HnswNodeAt(g, pnode, slot);
	BlockNumber next = rec->overflow;
	HnswPin		prev;
	bool		have_prev = false;
	bool		any = false;
	BlockNumber count = 0;

	while (next != InvalidBlockNumber)
	{
		HnswPin		cur;
		HnswOverflow *o;
		bool		cleanup;

		if (next >= g->nblocks)
			HnswKnowBlocks(g, next);
		if (++count > g->nblocks)
			HnswCorrupted(g, next, 0, "overflow pages form a loop");
		cur.blk = next;
		cur.buf = ReadBuffer(g->rel, next);
		cleanup = ConditionalLockBufferForCleanup(cur.buf);
		if (!cleanup)
			LockBuffer(cur.buf, BUFFER_LOCK_EXCLUSIVE);
		cur.page = BufferGetPage(cur.buf);
		o = HnswPageGetOverflow(cur.page);
		if (PageIsNew(cur.page) || HnswPageGetHeader(cur.page)->kind != HNSW_PAGE_OVERFLOW)
			HnswCorrupted(g, next, 0, "not an overflow page");
		next = o->next;
		if (o->ntids == 0 && cleanup)
		{
			uint16		kind = HNSW_PAGE_FREE;
			LocationIndex lower = HNSW_PAGE_DATA;
			HnswOverflow none;

			memset(&none, 0, sizeof(none));
			HnswWriteBegin(g, w);
			HnswWriteAdd(w, have_prev ? &prev : pnode, false);
			HnswWriteAdd(w, &cur, false);
			if (have_prev)
				HnswWriteBytes(w, 0, HNSW_PAGE_DATA + offsetof(HnswOverflow, next),
							   &next, sizeof(next));
			else
				HnswWriteBytes(w, 0, HnswSlotOffset(&g->lay, slot) + offsetof(HnswRecord, overflow),
							   &next, sizeof(next));
			HnswWriteBytes(w, 1, MAXALIGN(SizeOfPageHeaderData) + offsetof(HnswPageHeader, kind),
						   &kind, sizeof(kind));
			HnswWriteBytes(w, 1, offsetof(PageHeaderData, pd_lower), &lower, sizeof(lower));
			HnswWriteBytes(w, 1, HNSW_PAGE_DATA, &none, sizeof(none));
			HnswWriteEnd(w);
			HnswRelease(g, &cur);
			RecordPageWithFreeSpace(g->rel, cur.blk, HNSW_FSM_PAGE(&g->lay));
			st->stats->pages_newly_deleted++;
			continue;
		}
		any = any || o->ntids > 0;
		if (have_prev)
			HnswRelease(g, &prev);
		prev = cur;
		have_prev = true;
	}
	if (have_prev)
		HnswRelease(g, &prev);
	return any;
}

/* Nodes with overflow pages: shorten the chains; are the nodes dead? */
static void
strip_chains(VacuumState *st)
{
	HnswGraph  *g = st->g;

	for (int64 i = 0; i < st->nchained; i++)
	{
		HnswPin		pin;
		HnswRecord *rec;
		uint16		slot = st->chained[i].slot;

		if (!acquire_page(st, st->chained[i].blk, BUFFER_LOCK_EXCLUSIVE, &pin))
			continue;
		rec = (HnswRecord *) HnswNodeAt(g, &pin, slot);
		if (rec->state == HNSW_LIVE && !trim_chain(st, &pin, slot) && rec->ntids == 0)
		{
			HnswWrite  *w = &g->scratch->write;

			HnswWriteBegin(g, w);
			HnswWriteAdd(w, &pin, false);
			set_state(g, w, slot, HNSW_DEAD);
			HnswWriteEnd(w);
			note_dead(st, pin.blk, slot);
		}
		HnswRelease(g, &pin);
	}
}

/* Upper records whose node is dead become DEAD; note the highest live one. */
static void
strip_uppers(VacuumState *st)
{
	HnswGraph  *g = st->g;

	for (int64 i = 0; i < st->nuppers; i++)
	{
		HnswPin		pin;
		int			nslots;
		HnswWrite  *w = &g->scratch->write;
		bool		changed = false;

		if (!acquire_page(st, st->uppers[i], BUFFER_LOCK_EXCLUSIVE, &pin))
			continue;
		HnswWriteBegin(g, w);
		HnswWriteAdd(w, &pin, false);
		nslots = HnswPageGetHeader(pin.page)->nslots;
		for (int slot = 0; slot < nslots; slot++)
		{
			char	   *node = HnswNodeAt(g, &pin, slot);
			HnswRecord *rec = (HnswRecord *) node;
			HnswCandidate base;

			if (rec->state == HNSW_DEAD)
				note_dead(st, pin.blk, slot);
			count_tree(st, node);
			if (rec->state != HNSW_LIVE)
				continue;
			if (rec->ntids < 2)
				HnswCorrupted(g, pin.blk, slot, "an upper record without links down");
			HnswTidGet(&HnswNodeTids(&g->lay, node)[1], &base);
			if (is_dead(st, base.blk, base.slot))
			{
				set_state(g, w, slot, HNSW_DEAD);
				note_dead(st, pin.blk, slot);
				changed = true;
			}
			else if (rec->level > st->best_level)
			{
				st->best_level = rec->level;
				st->best.blk = pin.blk;
				st->best.slot = slot;
			}
		}
		if (changed)
			HnswWriteEnd(w);
		HnswRelease(g, &pin);
	}
}

static void
strip(VacuumState *st)
{
	HnswGraph  *g = st->g;

	for (BlockNumber blk = HNSW_META_BLOCK + 1; blk < st->nblocks; blk++)
	{
		HnswPin		pin;

		if (!acquire_page(st, blk, BUFFER_LOCK_EXCLUSIVE, &pin))
		{
			RecordPageWithFreeSpace(g->rel, blk, HNSW_FSM_PAGE(&g->lay));
			st->stats->pages_free++;
			continue;
		}
		switch (HnswPageGetHeader(pin.page)->kind)
		{
			case HNSW_PAGE_NODE:
				strip_nodes(st, &pin);
				break;
			case HNSW_PAGE_UPPER:
				if (st->nuppers == st->maxuppers)
				{
					st->maxuppers = Max(64, st->maxuppers * 2);
					st->uppers = st->uppers ?
						repalloc_huge(st->uppers, st->maxuppers * sizeof(BlockNumber)) :
						MemoryContextAllocHuge(st->cxt, st->maxuppers * sizeof(BlockNumber));
				}
				st->uppers[st->nuppers++] = blk;
				break;
			case HNSW_PAGE_OVERFLOW:
				strip_overflow(st, &pin);
				break;
			case HNSW_PAGE_FREE:
				RecordPageWithFreeSpace(g->rel, blk, HNSW_FSM_PAGE(&g->lay));
				st->stats->pages_free++;
				break;
			case HNSW_PAGE_CENTRE:
			case HNSW_PAGE_SIDE:
				break;
			default:
				HnswCorrupted(g, blk, 0, "a page of unknown kind");
		}
		HnswRelease(g, &pin);
	}
	strip_chains(st);
	strip_uppers(st);
}

/* ---- phase 2: repair ---- */

/*
 * The live tree children of a DEAD node, through DEAD ones between them, added
 * to the list.  A node may have more than one tree parent (adoption can do
 * that), so each is looked at once only.
 */
static void
tree_heirs(VacuumState *st, BlockNumber blk, uint16 slot, NodeList *heirs)
{
	HnswGraph  *g = st->g;
	NodeList	todo = {NULL, 0, 0};
	nodeset_hash *seen = nodeset_create(CurrentMemoryContext, 64, NULL);

	(void) nodeset_add(seen, blk, slot);
	list_add(&todo, blk, slot, 0);
	for (int64 i = 0; i < todo.n; i++)
	{
		HnswPin		pin;
		char	   *node;

		CHECK_FOR_INTERRUPTS();
		HnswAcquire(g, todo.items[i].blk, BUFFER_LOCK_SHARE, &pin);
		node = HnswNodeAt(g, &pin, todo.items[i].slot);
		for (int k = 0; k < ((HnswRecord *) node)->nlinks; k++)
		{
			const ItemPointerData *link = &HnswNodeLinks(&g->lay, node)[k];
			BlockNumber nblk = HnswLinkBlock(link);
			uint16		nslot = HnswLinkSlot(link);

			if ((HnswLinkFlags(link) & HNSW_LINK_TREE) && nodeset_add(seen, nblk, nslot))
				list_add(is_dead(st, nblk, nslot) ? &todo : heirs, nblk, nslot, 0);
		}
		HnswRelease(g, &pin);
	}
	nodeset_destroy(seen);
	pfree(todo.items);
}

/*
 * Read a live record of a level: its vector, decoded, into vec.  False when
 * it is not one.
 */
static bool
read_vector(VacuumState *st, BlockNumber blk, uint16 slot, int level, float *vec)
{
	HnswGraph  *g = st->g;
	HnswPin		pin;
	char	   *node;
	HnswRecord *rec;
	bool		ok;

	HnswAcquire(g, blk, BUFFER_LOCK_SHARE, &pin);
	node = HnswNodeAt(g, &pin, slot);
	rec = (HnswRecord *) node;
	ok = rec->state == HNSW_LIVE && rec->level == level;
	if (ok)
		HnswOwnDecode(g, HnswNodeOwn(g, &pin, slot, node), rec->scale, rec->offset, vec);
	HnswRelease(g, &pin);
	return ok;
}

/* Position of a link to c among the first n, or -1. */
static int
find_link(const HnswLayout *lay, const char *node, int n, const HnswCandidate *c)
{
	for (int i = 0; i < n; i++)
	{
		const ItemPointerData *link = &HnswNodeLinks(lay, node)[i];

		if (HnswLinkBlock(link) == c->blk && HnswLinkSlot(link) == c->slot)
			return i;
	}
	return -1;
}

/*
 * Give node "to" a tree link from node "from" (both live): used where the
 * tree parent of a DEAD node has no room for all its heirs.  If "from" is full
 * of tree links, one of its tree children takes the link, or one of theirs.
 */
static void
add_tree_link(VacuumState *st, const HnswCandidate *from, const HnswCandidate *to, int level)
{
	HnswGraph  *g = st->g;
	const HnswLayout *lay = &g->lay;
	HnswQuery  *q = &g->scratch->query;
	HnswWrite  *w = &g->scratch->write;
	NodeList	todo = {NULL, 0, 0};
	nodeset_hash *seen;
	float	   *vec = palloc(lay->dim * sizeof(float));
	bool		done = false;

	if (!read_vector(st, to->blk, to->slot, level, vec))
		HnswCorrupted(g, to->blk, to->slot, "a tree link to a record that is not live");
	memcpy(q->vec, vec, lay->dim * sizeof(float));
	HnswKnownReset(g);
	HnswQueryBuild(g, q);
	seen = nodeset_create(CurrentMemoryContext, 64, NULL);
	(void) nodeset_add(seen, to->blk, to->slot);	/* not below itself */
	if (nodeset_add(seen, from->blk, from->slot))
		list_add(&todo, from->blk, from->slot, 0);
	for (int64 i = 0; i < todo.n && !done; i++)
	{
		HnswPin		pin;
		uint16		slot = todo.items[i].slot;
		char	   *node;
		HnswRecord *rec;

		CHECK_FOR_INTERRUPTS();
		HnswAcquire(g, todo.items[i].blk, BUFFER_LOCK_EXCLUSIVE, &pin);
		node = HnswNodeAt(g, &pin, slot);
		rec = (HnswRecord *) node;
		if (rec->state == HNSW_LIVE && rec->level == level &&
			HnswCountTreeLinks(lay, node) < lay->fanout)
		{
			float		a;
			float		b;
			uint16		flags;
			Size		recoff = HnswSlotOffset(lay, slot);
			const char *own = HnswNodeOwn(g, &pin, slot, node);
			float		dist = HnswOwnDistance(g, q, own, rec->scale, rec->offset, rec->norm2);
			int			pos = find_link(lay, node, rec->nlinks, to);

			if (pos < 0)
				pos = HnswChoosePosition(g, q, node, dist, true, &flags);
			if (pos < 0)
				HnswCorrupted(g, pin.blk, slot, "no place for a tree link");
			HnswOwnDecode(g, own, rec->scale, rec->offset, g->scratch->fa);
			HnswLinkForm(g, g->scratch->fa, q->vec, dist, &a, &b, g->scratch->code);
			HnswWriteBegin(g, w);
			HnswWriteAdd(w, &pin, false);
			HnswLinkWrite(g, w, 0, recoff, pos, to->blk, to->slot | HNSW_LINK_TREE,
						  dist, a, b, g->scratch->code);
			if (pos == rec->nlinks)
			{
				uint8		nlinks = pos + 1;

				HnswWriteBytes(w, 0, recoff + offsetof(HnswRecord, nlinks), &nlinks, 1);
			}
			HnswWriteEnd(w);
			done = true;
		}
		else
			for (int k = 0; k < rec->nlinks; k++)
			{
				const ItemPointerData *link = &HnswNodeLinks(lay, node)[k];

				if ((HnswLinkFlags(link) & HNSW_LINK_TREE) &&
					!is_dead(st, HnswLinkBlock(link), HnswLinkSlot(link)) &&
					nodeset_add(seen, HnswLinkBlock(link), HnswLinkSlot(link)))
					list_add(&todo, HnswLinkBlock(link), HnswLinkSlot(link), 0);
			}
		HnswRelease(g, &pin);
	}
	if (!done)
		HnswCorrupted(g, from->blk, from->slot, "no node below it can take a tree link");
	nodeset_destroy(seen);
	pfree(vec);
	if (todo.items)
		pfree(todo.items);
}

/*
 * The nearest usable neighbour of a DEAD node, by estimated distance to the
 * node under repair (whose query is in scratch->query), that is not yet in
 * "taken".  False when there is none.
 */
static bool
substitute(VacuumState *st, BlockNumber blk, uint16 slot, int level,
		   const NodeList *taken, HnswCandidate *best)
{
	HnswGraph  *g = st->g;
	HnswQuery  *q = &g->scratch->query;
	HnswPin		pin;
	char	   *node;
	HnswRecord *rec;
	ItemPointerData links[HNSW_MAX_FANOUT];
	float		est[HNSW_MAX_FANOUT];
	int			nlinks;
	bool		found = false;

	HnswAcquire(g, blk, BUFFER_LOCK_SHARE, &pin);
	node = HnswNodeAt(g, &pin, slot);
	rec = (HnswRecord *) node;
	nlinks = rec->level == level ? rec->nlinks : 0;
	memcpy(links, HnswNodeLinks(&g->lay, node), nlinks * sizeof(ItemPointerData));
	if (g->lay.sketch == HNSW_SKETCH_NONE)
		/* no estimates: prefer what was nearest to the dead node */
		for (int i = 0; i < nlinks; i++)
			est[i] = HnswLinkEdge(g, node, i);
	else
	{
		uint32		masks[HNSW_MAX_FANOUT / VX_BLOCK];
		float		dist = HnswOwnDistance(g, q, HnswNodeOwn(g, &pin, slot, node),
										   rec->scale, rec->offset, rec->norm2);

		(void) HnswScoreLinks(g, q, node, dist, INFINITY, est, masks);
	}
	HnswRelease(g, &pin);

	for (int i = 0; i < nlinks; i++)
	{
		BlockNumber nblk = HnswLinkBlock(&links[i]);
		uint16		nslot = HnswLinkSlot(&links[i]);

		if (is_dead(st, nblk, nslot) || list_has(taken, nblk, nslot))
			continue;
		if (!found || est[i] < best->key)
		{
			best->blk = nblk;
			best->slot = nslot;
			best->key = est[i];
			found = true;
		}
	}
	return found;
}

/* Put a link from a node with vector base to c (key: distance) with vector vec. */
static void
put_link(HnswGraph *g, char *node, int pos, const HnswCandidate *c, uint16 flags,
		 const float *base, const float *vec)
{
	float		a;
	float		b;

	HnswLinkForm(g, base, vec, c->key, &a, &b, g->scratch->code);
	HnswLinkPut(g, node, pos, c->blk, c->slot | flags, c->key, a, b, g->scratch->code);
}

/* A neighbour that a repaired node may link to. */
typedef struct Choice
{
	HnswCandidate at;			/* key: distance */
	bool		tree;			/* must be linked */
	bool		selected;		/* by the heuristic */
	float	   *vec;
} Choice;

static int
cmp_choice(const void *a, const void *b)
{
	float		x = ((const Choice *) a)->at.key;
	float		y = ((const Choice *) b)->at.key;

	return x < y ? -1 : x > y;
}

/*
 * Sort the choices by distance and mark those that the heuristic of HNSW
 * selects (and all tree links, which stay anyway), up to fanout.
 */
static void
select_choices(HnswGraph *g, Choice *choices, int n)
{
	qsort(choices, n, sizeof(Choice), cmp_choice);
	for (int i = 0; i < n; i++)
	{
		bool		keep = true;

		for (int j = 0; j < i && keep; j++)
			if (choices[j].selected)
				keep = HnswPairDistance(g, choices[i].vec, choices[j].vec) > choices[i].at.key;
		choices[i].selected = keep;
	}
}

/* Add a choice, unless its record is no live one of the level. */
static int
add_choice(VacuumState *st, Choice *choices, int n, BlockNumber blk, uint16 slot,
		   bool tree, int level, const float *base)
{
	HnswGraph  *g = st->g;
	Choice	   *c = &choices[n];

	c->vec = palloc(g->lay.dim * sizeof(float));
	c->at.blk = blk;
	c->at.slot = slot;
	c->tree = tree;
	c->selected = false;
	if (!read_vector(st, blk, slot, level, c->vec))
	{
		if (tree)
			HnswCorrupted(g, blk, slot, "a tree link to a record that is not live");
		pfree(c->vec);
		return n;
	}
	c->at.key = HnswPairDistance(g, base, c->vec);
	return n + 1;
}

/*
 * Replace the links of one live node to DEAD ones: its list is chosen anew
 * from its live neighbours, the heirs of its dead tree children, and for each
 * dead neighbour the nearest of that one's neighbours.  Reads the node, works
 * without a lock, then writes the new list if the old one is unchanged; false
 * when it was changed meanwhile (the caller tries again).
 */
static bool
repair_node(VacuumState *st, BlockNumber blk, uint16 slot)
{
	HnswGraph  *g = st->g;
	const HnswLayout *lay = &g->lay;
	HnswQuery  *q = &g->scratch->query;
	HnswWrite  *w = &g->scratch->write;
	HnswPin		pin;
	char	   *node;
	HnswRecord *rec;
	char	   *old = palloc(lay->rec_size);
	char	   *new = palloc0(lay->rec_size);
	float	   *base = palloc(lay->dim * sizeof(float));
	Choice	   *choices;
	NodeList	heirs = {NULL, 0, 0};
	NodeList	taken = {NULL, 0, 0};
	HnswCandidate sibling;
	int			nchoices = 0;
	int			ntree = 0;
	int			n = 0;
	int			level;
	bool		same;

	HnswAcquire(g, blk, BUFFER_LOCK_SHARE, &pin);
	node = HnswNodeAt(g, &pin, slot);
	memcpy(old, node, lay->rec_size);
	rec = (HnswRecord *) old;
	if (rec->state != HNSW_LIVE)
	{
		HnswRelease(g, &pin);
		return true;
	}
	HnswOwnDecode(g, HnswNodeOwn(g, &pin, slot, node), rec->scale, rec->offset, base);
	HnswRelease(g, &pin);
	level = rec->level;

	/* its live neighbours; the heirs of dead tree children */
	choices = palloc((2 * lay->fanout) * sizeof(Choice));
	list_add(&taken, blk, slot, 0);
	for (int i = 0; i < rec->nlinks; i++)
	{
		const ItemPointerData *link = &HnswNodeLinks(lay, old)[i];
		bool		tree = (HnswLinkFlags(link) & HNSW_LINK_TREE) != 0;

		if (is_dead(st, HnswLinkBlock(link), HnswLinkSlot(link)))
		{
			if (tree)
				tree_heirs(st, HnswLinkBlock(link), HnswLinkSlot(link), &heirs);
			continue;
		}
		nchoices = add_choice(st, choices, nchoices, HnswLinkBlock(link), HnswLinkSlot(link),
							  tree, level, base);
		list_add(&taken, HnswLinkBlock(link), HnswLinkSlot(link), 0);
		ntree += tree;
	}

	/*
	 * Each heir must have a tree link: from here, whose list will be replaced
	 * below and must not be changed before, or from a sibling.
	 */
	sibling.blk = InvalidBlockNumber;
	sibling.slot = 0;
	for (int k = 0; k < nchoices; k++)
		if (choices[k].tree)
			sibling = choices[k].at;
	for (int64 i = 0; i < heirs.n; i++)
	{
		HnswCandidate *h = &heirs.items[i];
		int			at = -1;

		CHECK_FOR_INTERRUPTS();
		if (h->blk == blk && h->slot == slot)
			continue;
		for (int k = 0; k < nchoices && at < 0; k++)
			if (choices[k].at.blk == h->blk && choices[k].at.slot == h->slot)
				at = k;
		if (at >= 0 && choices[at].tree)
			continue;
		if (ntree >= HnswMaxTreeLinks(lay) && sibling.blk != InvalidBlockNumber)
			add_tree_link(st, &sibling, h, level);
		else
		{
			if (at >= 0)
				choices[at].tree = true;
			else
			{
				nchoices = add_choice(st, choices, nchoices, h->blk, h->slot, true, level, base);
				list_add(&taken, h->blk, h->slot, 0);
			}
			ntree++;
			sibling = *h;
		}
	}

	/* substitutes for the dead ones */
	memcpy(q->vec, base, lay->dim * sizeof(float));
	HnswQueryBuild(g, q);
	for (int i = 0; i < rec->nlinks && nchoices < 2 * lay->fanout; i++)
	{
		const ItemPointerData *link = &HnswNodeLinks(lay, old)[i];
		HnswCandidate c = {0};

		CHECK_FOR_INTERRUPTS();
		if (is_dead(st, HnswLinkBlock(link), HnswLinkSlot(link)) &&
			substitute(st, HnswLinkBlock(link), HnswLinkSlot(link), level, &taken, &c))
		{
			list_add(&taken, c.blk, c.slot, 0);
			nchoices = add_choice(st, choices, nchoices, c.blk, c.slot, false, level, base);
		}
	}

	/* tree links, then what the heuristic selects, then the nearest others */
	select_choices(g, choices, nchoices);
	for (int pass = 0; pass < 3; pass++)
		for (int i = 0; i < nchoices && n < lay->fanout; i++)
		{
			Choice	   *c = &choices[i];

			if (pass != (c->tree ? 0 : c->selected ? 1 : 2))
				continue;
			put_link(g, new, n++, &c->at, (c->tree ? HNSW_LINK_TREE : 0) |
					 (c->selected ? 0 : HNSW_LINK_PRUNED), base, c->vec);
		}

	/* write, if inserts have not changed the list */
	HnswAcquire(g, blk, BUFFER_LOCK_EXCLUSIVE, &pin);
	node = HnswNodeAt(g, &pin, slot);
	same = ((HnswRecord *) node)->state == HNSW_LIVE &&
		((HnswRecord *) node)->nlinks == rec->nlinks &&
		memcmp(HnswNodeLinks(lay, node), HnswNodeLinks(lay, old),
			   rec->nlinks * sizeof(ItemPointerData)) == 0;
	if (same)
	{
		Size		recoff = HnswSlotOffset(lay, slot);
		uint8		nlinks = n;

		HnswWriteBegin(g, w);
		HnswWriteAdd(w, &pin, false);
		HnswWriteBytes(w, 0, recoff + offsetof(HnswRecord, nlinks), &nlinks, 1);
		HnswWriteBytes(w, 0, recoff + lay->off_links, new + lay->off_links,
					   lay->rec_size - lay->off_links);
		HnswWriteEnd(w);
	}
	HnswRelease(g, &pin);
	return same;
}

static void
repair(VacuumState *st)
{
	HnswGraph  *g = st->g;
	MemoryContext old = MemoryContextSwitchTo(st->tmp);

	/* inserts may have added nodes with such links since the vacuum began */
	BlockNumber nblocks = RelationGetNumberOfBlocks(g->rel);

	for (BlockNumber blk = HNSW_META_BLOCK + 1; blk < nblocks; blk++)
	{
		HnswPin		pin;
		uint64		need[(BLCKSZ / sizeof(HnswRecord) + 63) / 64] = {0};
		bool		any = false;
		int			nslots;

		if (!acquire_page(st, blk, BUFFER_LOCK_SHARE, &pin))
			continue;
		if (HnswPageGetHeader(pin.page)->kind != HNSW_PAGE_NODE &&
			HnswPageGetHeader(pin.page)->kind != HNSW_PAGE_UPPER)
		{
			HnswRelease(g, &pin);
			continue;
		}
		nslots = HnswPageGetHeader(pin.page)->nslots;
		for (int slot = 0; slot < nslots; slot++)
		{
			char	   *node = HnswNodeAt(g, &pin, slot);
			HnswRecord *rec = (HnswRecord *) node;

			if (rec->state != HNSW_LIVE)
				continue;
			for (int k = 0; k < rec->nlinks; k++)
			{
				const ItemPointerData *link = &HnswNodeLinks(&g->lay, node)[k];

				if (is_dead(st, HnswLinkBlock(link), HnswLinkSlot(link)))
				{
					need[slot / 64] |= UINT64CONST(1) << (slot % 64);
					any = true;
					break;
				}
			}
		}
		HnswRelease(g, &pin);
		for (int slot = 0; any && slot < nslots; slot++)
			if ((need[slot / 64] >> (slot % 64)) & 1)
			{
				while (!repair_node(st, blk, slot))
				{
					MemoryContextReset(st->tmp);
					CHECK_FOR_INTERRUPTS();
				}
				MemoryContextReset(st->tmp);
			}
	}
	MemoryContextSwitchTo(old);
}

/* ---- phase 3: root and entry point ---- */

static void
move_root(VacuumState *st)
{
	HnswGraph  *g = st->g;
	HnswMetaPage meta;
	HnswCandidate root;
	HnswCandidate entry;
	NodeList	heirs = {NULL, 0, 0};
	HnswPin		pin;
	HnswMetaPage *now;
	HnswMetaPage changed;
	bool		write = false;
	MemoryContext old = MemoryContextSwitchTo(st->tmp);

	HnswReadMeta(g, &meta);
	if (!HnswTidIsSet(&meta.root))
	{
		MemoryContextSwitchTo(old);
		return;
	}
	HnswTidGet(&meta.root, &root);
	HnswTidGet(&meta.entry, &entry);
	if (is_dead(st, root.blk, root.slot))
	{
		tree_heirs(st, root.blk, root.slot, &heirs);
		for (int64 i = 1; i < heirs.n; i++)
			add_tree_link(st, &heirs.items[0], &heirs.items[i], 0);
	}

	HnswAcquire(g, HNSW_META_BLOCK, BUFFER_LOCK_EXCLUSIVE, &pin);
	now = HnswPageGetMeta(pin.page);
	changed = *now;
	if (is_dead(st, root.blk, root.slot) && HnswTidEqual(&now->root, &meta.root))
	{
		write = true;
		if (heirs.n > 0)
			ItemPointerSet(&changed.root, heirs.items[0].blk, heirs.items[0].slot);
		else
		{
			/* no live node is left */
			ItemPointerSetInvalid(&changed.root);
			ItemPointerSetInvalid(&changed.entry);
			changed.entry_level = 0;
		}
	}
	HnswTidGet(&changed.entry, &entry);
	if (HnswTidIsSet(&changed.root) && is_dead(st, entry.blk, entry.slot))
	{
		write = true;
		if (st->best_level > 0)
		{
			ItemPointerSet(&changed.entry, st->best.blk, st->best.slot);
			changed.entry_level = st->best_level;
		}
		else
		{
			changed.entry = changed.root;
			changed.entry_level = 0;
		}
	}
	if (write)
	{
		HnswWrite  *w = &g->scratch->write;

		HnswWriteBegin(g, w);
		HnswWriteAdd(w, &pin, false);
		HnswWriteBytes(w, 0, HNSW_PAGE_DATA, &changed, sizeof(changed));
		HnswWriteEnd(w);
	}
	HnswRelease(g, &pin);
	MemoryContextSwitchTo(old);
	MemoryContextReset(st->tmp);
}

/* ---- phase 4: free ---- */

/*
 * Free a page's DEAD records; true when the page has a free slot.  A record
 * whose overflow pages a scan still has pinned stays DEAD for now.
 */
static bool
free_records(VacuumState *st, BlockNumber blk)
{
	HnswGraph  *g = st->g;
	HnswPin		pin;
	HnswWrite  *w = &g->scratch->write;
	int			nslots;
	bool		any = false;

	if (!acquire_page(st, blk, BUFFER_LOCK_EXCLUSIVE, &pin))
		return false;
	if (HnswPageGetHeader(pin.page)->kind != HNSW_PAGE_NODE &&
		HnswPageGetHeader(pin.page)->kind != HNSW_PAGE_UPPER)
	{
		HnswRelease(g, &pin);
		return false;
	}
	nslots = HnswPageGetHeader(pin.page)->nslots;
	any = nslots < g->lay.per_page;
	for (int slot = 0; slot < nslots; slot++)
	{
		HnswRecord *rec = (HnswRecord *) HnswNodeAt(g, &pin, slot);
		uint8		zero = 0;

		if (rec->state == HNSW_FREE)
			any = true;
		if (rec->state != HNSW_DEAD || !is_dead(st, blk, slot))
			continue;
		if (rec->overflow != InvalidBlockNumber)
		{
			(void) trim_chain(st, &pin, slot);
			if (rec->overflow != InvalidBlockNumber)
				continue;
		}
		HnswWriteBegin(g, w);
		HnswWriteAdd(w, &pin, false);
		set_state(g, w, slot, HNSW_FREE);
		HnswWriteBytes(w, 0, HnswSlotOffset(&g->lay, slot) + offsetof(HnswRecord, nlinks), &zero, 1);
		HnswWriteBytes(w, 0, HnswSlotOffset(&g->lay, slot) + offsetof(HnswRecord, ntids), &zero, 1);
		HnswWriteEnd(w);
		any = true;
	}
	HnswRelease(g, &pin);
	return any;
}

static void
free_dead(VacuumState *st)
{
	HnswGraph  *g = st->g;
	BlockNumber upper = InvalidBlockNumber;
	HnswPin		pin;

	/* upper records first: a crash must not leave one whose node is gone */
	for (int64 i = 0; i < st->nuppers; i++)
		if (free_records(st, st->uppers[i]))
		{
			/* chain the pages with free slots, each to one before it */
			HnswWrite  *w = &g->scratch->write;

			HnswAcquire(g, st->uppers[i], BUFFER_LOCK_EXCLUSIVE, &pin);
			HnswWriteBegin(g, w);
			HnswWriteAdd(w, &pin, false);
			HnswWriteBytes(w, 0, MAXALIGN(SizeOfPageHeaderData) + offsetof(HnswPageHeader, next),
						   &upper, sizeof(upper));
			HnswWriteEnd(w);
			HnswRelease(g, &pin);
			upper = st->uppers[i];
		}
	for (BlockNumber blk = HNSW_META_BLOCK + 1; blk < st->nblocks; blk++)
	{
		if (!acquire_page(st, blk, BUFFER_LOCK_SHARE, &pin))
			continue;
		if (HnswPageGetHeader(pin.page)->kind != HNSW_PAGE_NODE)
		{
			HnswRelease(g, &pin);
			continue;
		}
		HnswRelease(g, &pin);
		if (free_records(st, blk))
			RecordPageWithFreeSpace(g->rel, blk, HNSW_FSM_SLOT);
	}

	if (upper != InvalidBlockNumber)
	{
		HnswWrite  *w = &g->scratch->write;

		HnswAcquire(g, HNSW_META_BLOCK, BUFFER_LOCK_EXCLUSIVE, &pin);
		HnswWriteBegin(g, w);
		HnswWriteAdd(w, &pin, false);
		HnswWriteBytes(w, 0, HNSW_PAGE_DATA + offsetof(HnswMetaPage, upper_target),
					   &upper, sizeof(upper));
		HnswWriteEnd(w);
		HnswRelease(g, &pin);
	}
}

static void
close_graph(void *arg)
{
	HnswClose((HnswGraph *) arg);
}

/* ambulkdelete */
IndexBulkDeleteResult *
hnswbulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
			   IndexBulkDeleteCallback callback, void *arg)
{
	VacuumState st;
	MemoryContextCallback *cb;
	Size		words;

	if (stats == NULL)
		stats = palloc0(sizeof(IndexBulkDeleteResult));
	stats->num_index_tuples = 0;
	stats->pages_free = 0;

	memset(&st, 0, sizeof(st));
	st.info = info;
	st.stats = stats;
	st.callback = callback;
	st.callback_arg = arg;
	st.cxt = AllocSetContextCreate(CurrentMemoryContext, "hnsw vacuum", ALLOCSET_DEFAULT_SIZES);
	st.tmp = AllocSetContextCreate(st.cxt, "hnsw vacuum node", ALLOCSET_DEFAULT_SIZES);
	cb = MemoryContextAlloc(st.cxt, sizeof(*cb));
	st.g = HnswOpen(info->index);
	cb->func = close_graph;
	cb->arg = st.g;
	MemoryContextRegisterResetCallback(st.cxt, cb);

	st.nblocks = RelationGetNumberOfBlocks(info->index);
	words = ((Size) st.nblocks * st.g->lay.per_page + 63) / 64;
	st.dead = MemoryContextAllocExtended(st.cxt, words * sizeof(uint64),
										 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

	strip(&st);
	if (st.ndead > 0)
	{
		HnswMetaPage meta;

		HnswReadMeta(st.g, &meta);	/* the centre, for what follows */
		HnswWaitForInserts(info->index);
		/* in a tree there are fewer tree links than records */
		if (st.ntree > st.nrecords + st.nrecords / 16)
			HnswThinTree(st.g, st.nblocks, st.uppers, st.nuppers);
		repair(&st);
		move_root(&st);
		free_dead(&st);
	}
	stats->estimated_count = false;
	MemoryContextDelete(st.cxt);
	return stats;
}

/* amvacuumcleanup */
IndexBulkDeleteResult *
hnswvacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	if (info->analyze_only || stats == NULL)
		return stats;
	stats->num_pages = RelationGetNumberOfBlocks(info->index);
	IndexFreeSpaceMapVacuum(info->index);
	return stats;
}
