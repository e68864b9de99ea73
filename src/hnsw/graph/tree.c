/*
 * tree.c
 *		Tree links: the way down them, contracted over DEAD records, and thinned, which
 *		leaves each record with one tree parent.  README, "Tree links".
 *
 * Adoption (repair.c) gives the child of a dead record to each of that one's
 * tree parents.  Where a record has two, so have its children after its death,
 * and theirs after them: left alone, such links multiply until they fill every
 * list, for nothing ever replaces them.  So VACUUM comes here when it has
 * counted more of them than a tree has, and before it adopts anything.
 *
 * Only VACUUM takes tree links away, one VACUUM at a time runs on an index,
 * and inserts give new records, which have one tree parent, and nothing else
 * a tree link.  So a link that was seen stays, and may stand for all others to
 * the same record.  One page is locked at a time.
 */
#include "postgres.h"

#include <math.h>

#include "commands/vacuum.h"
#include "compat.h"
#include "hnsw/base/bitmap.h"
#include "hnsw/graph/connect.h"
#include "hnsw/graph/insert.h"
#include "hnsw/graph/known.h"
#include "hnsw/graph/nodeset.h"
#include "hnsw/graph/search.h"
#include "hnsw/graph/tree.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/link.h"
#include "hnsw/metric/vector.h"
#include "hnsw/page/access.h"
#include "hnsw/page/dead.h"
#include "hnsw/page/index.h"
#include "hnsw/page/meta.h"
#include "hnsw/page/record.h"
#include "miscadmin.h"
#include "simd/vx_simd.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"

/* ---- down the tree ---- */

void
HnswTreeQueueInit(HnswTreeQueue *queue)
{
	memset(queue, 0, sizeof(*queue));
	queue->queued = nodeset_create(CurrentMemoryContext, 64, NULL);
}

/* Add a record that has not been there yet; a node may have more than one tree parent. */
void
HnswTreePush(HnswTreeQueue *queue, BlockNumber blk, uint16 slot)
{
	if (nodeset_add(queue->queued, blk, slot))
		nodelist_add(&queue->list, blk, slot);
}

/* Add the tree children of a record in hand. */
void
HnswTreePushChildren(HnswTreeQueue *queue, const HnswLayout *lay, const char *node)
{
	for (int i = 0; i < ((const HnswRecord *) node)->nlinks; i++)
	{
		const ItemPointerData *link = &HnswNodeLinks(lay, node)[i];

		if (HnswLinkFlags(link) & HNSW_LINK_TREE)
			HnswTreePush(queue, HnswLinkBlock(link), HnswLinkSlot(link));
	}
}

/* Take the next record; false when there is none. */
bool
HnswTreePop(HnswTreeQueue *queue, HnswCandidate *at)
{
	if (queue->next == queue->list.n)
		return false;
	*at = queue->list.items[queue->next++];
	return true;
}

void
HnswTreeQueueFree(HnswTreeQueue *queue)
{
	nodeset_destroy(queue->queued);
	if (queue->list.items)
		pfree(queue->list.items);
}

/* How many tree links a node gives, of which HnswMaxTreeLinks are allowed to. */
int
HnswCountTreeLinks(const HnswLayout *lay, const char *node)
{
	int			n = 0;

	for (int i = 0; i < ((const HnswRecord *) node)->nlinks; i++)
		n += (HnswLinkFlags(&HnswNodeLinks(lay, node)[i]) & HNSW_LINK_TREE) != 0;
	return n;
}

/* ---- tree links over DEAD records ---- */

/* The live tree children of a DEAD node, through DEAD ones between them, added to the list. */
void
HnswTreeHeirs(HnswIndex *g, const HnswDeadSet *dead, BlockNumber blk, uint16 slot, NodeList *heirs)
{
	HnswTreeQueue queue;
	HnswCandidate at;

	HnswTreeQueueInit(&queue);
	HnswTreePush(&queue, blk, slot);
	while (HnswTreePop(&queue, &at))
	{
		HnswPin		pin;

		if (!HnswIsDead(dead, at.blk, at.slot))
		{
			nodelist_add(heirs, at.blk, at.slot);
			continue;
		}
		CHECK_FOR_INTERRUPTS();
		HnswAcquire(g, at.blk, BUFFER_LOCK_SHARE, &pin);
		HnswTreePushChildren(&queue, g->lay, HnswNodeAt(g, &pin, at.slot));
		HnswRelease(g, &pin);
	}
	HnswTreeQueueFree(&queue);
}

/* The vector of a record in hand; an error if it is none that was ever stored. */
void
HnswDecodeOwn(HnswIndex *g, HnswPin *pin, uint16 slot, const char *node, float *vec)
{
	const HnswRecord *rec = (const HnswRecord *) node;

	HnswOwnDecode(&g->space, HnswNodeOwn(g, pin, slot, node), rec->scale, rec->offset, vec);
	if (g->lay->metric->products && !isfinite(vx_simd->sumsq(vec, g->lay->dim)))
		HnswCorrupted(g, pin->blk, slot, "the vector's squared norm is not finite");
}

/*
 * Read a live record of a level: its vector, decoded, into vec.  False when
 * it is not one.
 */
bool
HnswReadVector(HnswIndex *g, BlockNumber blk, uint16 slot, int level, float *vec)
{
	HnswPin		pin;
	char	   *node;
	HnswRecord *rec;
	bool		ok;

	HnswAcquire(g, blk, BUFFER_LOCK_SHARE, &pin);
	node = HnswNodeAt(g, &pin, slot);
	rec = (HnswRecord *) node;
	ok = rec->state == HNSW_LIVE && rec->level == level;
	if (ok)
		HnswDecodeOwn(g, &pin, slot, node, vec);
	HnswRelease(g, &pin);
	return ok;
}

/* Read the vector of a record that has, or must get, a tree link. */
void
HnswReadHeir(HnswIndex *g, BlockNumber blk, uint16 slot, int level, float *vec)
{
	if (!HnswReadVector(g, blk, slot, level, vec))
		HnswCorrupted(g, blk, slot, "a tree link to a record that is not live");
}

/*
 * Put a record and all below it into the queue, as taken; false when they are more than "most".
 */
static bool
find_below(HnswIndex *g, const HnswCandidate *node, int64 most, HnswTreeQueue *below)
{
	HnswCandidate at;

	HnswTreePush(below, node->blk, node->slot);
	while (HnswTreePop(below, &at))
	{
		HnswPin		pin;

		CHECK_FOR_INTERRUPTS();
		HnswAcquire(g, at.blk, BUFFER_LOCK_SHARE, &pin);
		HnswTreePushChildren(below, g->lay, HnswNodeAt(g, &pin, at.slot));
		HnswRelease(g, &pin);
		if (below->list.n > most)
			return false;
	}
	return true;
}

/*
 * Give the node "to", whose vector is the search's query, a tree link from one of the nodes "from", or from a
 * live one below them, that gives less than "most".  The way down leads through live nodes: what is below a DEAD
 * one is about to lose that way, and may be "to" itself and what has been hung on it.  by_dead: through DEAD ones,
 * too, but to nothing below "to".  False for none.
 */
static bool
add_tree_link(HnswIndex *g, const HnswCandidate *from, int nfrom, const HnswCandidate *to, int level, int most,
			  bool by_dead)
{
	HnswSearch *s = HnswInserterOf(g)->search;
	HnswWrite  *w = &g->scratch->write;
	HnswTreeQueue queue;
	HnswCandidate at;
	bool		done = false;

	HnswTreeQueueInit(&queue);
	if (by_dead)
		(void) find_below(g, to, PG_INT64_MAX, &queue);
	else
	{
		HnswTreePush(&queue, to->blk, to->slot);	/* not below itself */
		(void) HnswTreePop(&queue, &at);
	}
	for (int i = 0; i < nfrom; i++)
		HnswTreePush(&queue, from[i].blk, from[i].slot);
	while (!done && HnswTreePop(&queue, &at))
	{
		HnswPin		pin;
		char	   *node;
		HnswRecord *rec;
		HnswNewLink link;

		CHECK_FOR_INTERRUPTS();
		HnswAcquire(g, at.blk, BUFFER_LOCK_EXCLUSIVE, &pin);
		node = HnswNodeAt(g, &pin, at.slot);
		rec = (HnswRecord *) node;
		if (rec->state == HNSW_LIVE && rec->level == level && HnswCountTreeLinks(g->lay, node) < most)
		{
			if (!HnswFindPlace(g, s, &pin, at.slot, to, true, &link))
				HnswCorrupted(g, pin.blk, at.slot, "no place for a tree link");
			HnswWriteBegin(g, w);
			HnswWriteAdd(w, &pin, false);
			HnswWriteLink(g, w, 0, &s->query, &link);
			HnswWriteEnd(w);
			done = true;
		}
		else if (rec->level == level && (rec->state == HNSW_LIVE || (by_dead && rec->state == HNSW_DEAD)))
			HnswTreePushChildren(&queue, g->lay, node);
		HnswRelease(g, &pin);
	}
	HnswTreeQueueFree(&queue);
	return done;
}

/* The handle's search for inserts, with a vector as its query. */
HnswSearch *
HnswSearchFor(HnswIndex *g, const float *vec)
{
	HnswSearch *s = HnswInserterOf(g)->search;

	memcpy(s->query.vec, vec, g->lay->dim * sizeof(float));
	HnswKnownReset(s);
	HnswQueryBuild(&g->space, &s->query);
	return s;
}

/*
 * Give the node "to", whose vector is vec, a tree link from one of the nodes
 * "from", or from a live one below them.  More than they should give (HnswMaxTreeLinks) only when no other
 * has room: tree links push others out of a list, which then leads nowhere near.  (All children of a full
 * node may be DEAD, so that the way down has to lead through those.)  False when none has.
 */
bool
HnswAddTreeLink(HnswIndex *g, const HnswCandidate *from, int nfrom, const HnswCandidate *to,
				const float *vec, int level)
{
	(void) HnswSearchFor(g, vec);
	return add_tree_link(g, from, nfrom, to, level, HnswMaxTreeLinks(g->lay), false) ||
		add_tree_link(g, from, nfrom, to, level, g->lay->fanout, false) ||
		add_tree_link(g, from, nfrom, to, level, g->lay->fanout, true);
}

/* Give an heir of a record a tree link, from that record or from one below it; level: theirs. */
void
HnswLinkHeir(HnswIndex *g, const HnswCandidate *parent, const HnswCandidate *heir, int level)
{
	float	   *vec = palloc(g->lay->dim * sizeof(float));

	HnswReadHeir(g, heir->blk, heir->slot, level, vec);
	if (!HnswAddTreeLink(g, parent, 1, heir, vec, level))
		HnswCorrupted(g, parent->blk, parent->slot, "no node below it can take a tree link");
	pfree(vec);
}

/* ---- a new parent, near by ---- */

/* So many records below one are looked at: few have more, but nearly all of a chain would. */
#define MAX_BELOW	1024

/*
 * The neighbours in a record's list that are nearer than "dist" and not below it by tree links, the nearest
 * first; returns how many.  Who hangs on one of these makes no circle, now or later: only VACUUM and merges,
 * of which there is one at a time, hang what is there on something else.  Inserts hang new records, which
 * may come into the list at once: so that is read before what is below.
 */
static int
find_parents(HnswIndex *g, const HnswCandidate *node, float dist, HnswCandidate *near)
{
	HnswTreeQueue below;
	HnswPin		pin;
	const char *rec;
	int			nlinks = 0;
	int			n = 0;

	HnswAcquire(g, node->blk, BUFFER_LOCK_SHARE, &pin);
	rec = HnswNodeAt(g, &pin, node->slot);
	for (int i = 0; i < ((const HnswRecord *) rec)->nlinks; i++)
	{
		const ItemPointerData *link = &HnswNodeLinks(g->lay, rec)[i];

		near[nlinks] = (HnswCandidate) {HnswLinkEdge(&g->space, rec, i), HnswLinkBlock(link), HnswLinkSlot(link)};
		nlinks += near[nlinks].key < dist;
	}
	HnswRelease(g, &pin);
	if (nlinks == 0)
		return 0;
	HnswTreeQueueInit(&below);
	if (!find_below(g, node, MAX_BELOW, &below))
		nlinks = 0;
	for (int i = 0; i < nlinks; i++)
		if (!nodeset_lookup(below.queued, NODESET_KEY(near[i].blk, near[i].slot)))
			near[n++] = near[i];
	HnswTreeQueueFree(&below);
	qsort(near, n, sizeof(HnswCandidate), cmp_candidate);
	return n;
}

/*
 * Give an heir, whose vector is vec, a tree link from a neighbour of its own that is nearer than "dist", or from
 * below that.  False for none.  (By contraction alone parents would get farther with each VACUUM; but a node that
 * few others link to is found by way of its parent.)
 */
bool
HnswHangNear(HnswIndex *g, const HnswCandidate *heir, const float *vec, float dist, int level)
{
	HnswCandidate near[HNSW_MAX_FANOUT];
	int			n = find_parents(g, heir, dist, near);

	return n > 0 && HnswAddTreeLink(g, near, n, heir, vec, level);
}

/* Does a node of level 0 give another a tree link? */
static bool
is_parent(HnswIndex *g, const HnswCandidate *parent, const HnswCandidate *node)
{
	HnswTreeQueue children;
	HnswPin		pin;
	const char *rec;
	bool		found;

	HnswTreeQueueInit(&children);
	HnswAcquire(g, parent->blk, BUFFER_LOCK_SHARE, &pin);
	rec = HnswLiveNodeAt(g, &pin, parent->slot);
	if (rec)
		HnswTreePushChildren(&children, g->lay, rec);
	HnswRelease(g, &pin);
	found = nodeset_lookup(children.queued, NODESET_KEY(node->blk, node->slot)) != NULL;
	HnswTreeQueueFree(&children);
	return found;
}

/*
 * A merge that was cut off has left a node of level 0 with its list, and maybe nodes that hang on it; but does
 * it hang on one itself?  See to that: on a near one that it links to, which may have it already, and not on one
 * below it; else on the root.  Then it is offered to those, which may not have been done either.  False when
 * there is no live node to hang on.
 */
bool
HnswHangAgain(HnswIndex *g, const HnswCandidate *root, const HnswCandidate *node)
{
	HnswCandidate near[HNSW_MAX_FANOUT];
	float	   *vec = palloc(g->lay->dim * sizeof(float));
	int			n = find_parents(g, node, INFINITY, near);
	bool		done = false;

	if (HnswReadVector(g, node->blk, node->slot, 0, vec))
	{
		for (int i = 0; i < n && !done; i++)
			done = is_parent(g, &near[i], node);
		done = done || (n > 0 && HnswAddTreeLink(g, near, n, node, vec, 0)) ||
			HnswAddTreeLink(g, root, 1, node, vec, 0);
		if (done && n > 0)
			HnswAddBackLinks(g, HnswSearchFor(g, vec), 0, near, n, node);
	}
	pfree(vec);
	return done;
}

/* ---- thinning ---- */

typedef struct Thinning
{
	HnswIndex  *g;
	BlockNumber nblocks;		/* records beyond are left as they are */
	uint64	   *claimed;		/* records that have their tree parent */
} Thinning;

/* Mark a record as having its parent; false if it had one. */
static bool
claim(Thinning *t, BlockNumber blk, uint16 slot)
{
	return !HnswBitmapSet(t->claimed, (uint64) blk * t->g->lay->per_page + slot);
}

/*
 * Claim the tree children of a record for it; where they are claimed already,
 * its link becomes an ordinary one.  The children claimed are put into
 * "children" (HNSW_MAX_FANOUT); returns their number.
 */
static int
claim_children(Thinning *t, BlockNumber blk, uint16 slot, HnswCandidate *children)
{
	HnswIndex  *g = t->g;
	const HnswLayout *lay = g->lay;
	HnswWrite  *w = &g->scratch->write;
	HnswPin		pin;
	char	   *node;
	int			n = 0;
	bool		changed = false;

	HnswAcquire(g, blk, BUFFER_LOCK_EXCLUSIVE, &pin);
	node = HnswNodeAt(g, &pin, slot);
	HnswWriteBegin(g, w);
	HnswWriteAdd(w, &pin, false);
	for (int i = 0; ((HnswRecord *) node)->state != HNSW_FREE && i < ((HnswRecord *) node)->nlinks; i++)
	{
		ItemPointerData link = HnswNodeLinks(lay, node)[i];
		BlockNumber cblk = HnswLinkBlock(&link);
		uint16		cslot = HnswLinkSlot(&link);

		if (!(HnswLinkFlags(&link) & HNSW_LINK_TREE) ||
			cblk >= t->nblocks || cslot >= lay->per_page)
			continue;
		if (claim(t, cblk, cslot))
		{
			children[n].key = 0;
			children[n].blk = cblk;
			children[n++].slot = cslot;
			continue;
		}
		ItemPointerSet(&link, cblk, cslot | (HnswLinkFlags(&link) & ~HNSW_LINK_TREE));
		HnswWriteBytes(w, 0, HnswSlotOffset(lay, slot) + lay->off_links + i * sizeof(link),
					   &link, sizeof(link));
		changed = true;
	}
	if (changed)
		HnswWriteEnd(w);
	HnswRelease(g, &pin);
	return n;
}

/*
 * Level 0: walk the tree links from the root.  What the walk comes to again is
 * within reach by the way it came first.
 */
static void
thin_level0(Thinning *t)
{
	HnswMetaPage meta;
	HnswCandidate children[HNSW_MAX_FANOUT];
	HnswCandidate root;
	NodeList	stack = {NULL, 0, 0};

	HnswReadMeta(t->g, &meta);
	if (!HnswTidIsSet(&meta.root))
		return;
	HnswTidGet(&meta.root, &root);
	if (root.slot >= t->g->lay->per_page)
		HnswCorrupted(t->g, HNSW_META_BLOCK, 0, "the root is in a slot no page has");
	if (root.blk >= t->nblocks || !claim(t, root.blk, root.slot))
		return;
	nodelist_add(&stack, root.blk, root.slot);
	while (stack.n > 0)
	{
		HnswCandidate at = stack.items[--stack.n];
		int			nchildren;

		CompatVacuumDelayPoint();
		nchildren = claim_children(t, at.blk, at.slot, children);
		for (int i = 0; i < nchildren; i++)
			nodelist_add(&stack, children[i].blk, children[i].slot);
	}
	pfree(stack.items);
}

/*
 * Higher levels have no root, and nothing depends on their tree links but how
 * well they hold together: the first parent in the order of pages is kept.
 */
static void
thin_uppers(Thinning *t, const BlockNumber *uppers, int64 nuppers)
{
	HnswCandidate children[HNSW_MAX_FANOUT];

	for (int64 i = 0; i < nuppers; i++)
	{
		HnswPin		pin;
		int			nslots;

		CompatVacuumDelayPoint();
		HnswAcquire(t->g, uppers[i], BUFFER_LOCK_SHARE, &pin);
		nslots = HnswPageGetHeader(pin.page)->nslots;
		HnswRelease(t->g, &pin);
		for (int slot = 0; slot < nslots; slot++)
			(void) claim_children(t, uppers[i], slot, children);
	}
}

/*
 * Leave each record with one tree parent.  nblocks: pages of the index when
 * the VACUUM began; uppers: those of higher levels.  The inserts that were
 * under way then have ended, and this VACUUM has adopted nothing yet.  Memory:
 * a bit a slot, and 12 bytes for each record on the way.
 */
void
HnswThinTree(HnswIndex *g, BlockNumber nblocks, const BlockNumber *uppers, int64 nuppers)
{
	Thinning	t;

	t.g = g;
	t.nblocks = nblocks;
	t.claimed = HnswBitmapMake((uint64) nblocks * g->lay->per_page);
	thin_level0(&t);
	thin_uppers(&t, uppers, nuppers);
	pfree(t.claimed);
}
