/*
 * connect.c
 *		A new node: choose its neighbours, give it a slot, link it both ways.
 *
 * Locks.  The new record and its first incoming link (the tree link from its
 * parent) appear in one WAL record, with both pages locked exclusively, lower
 * block first; a node's side pages are locked inside its page's lock.  Further
 * back-links are changes of a few pages each, locked in the same order.  An
 * error or crash between them leaves a node with fewer incoming links, which is
 * sound.
 */
#include "postgres.h"

#include <math.h>

#include "hnsw/base/waitpoint.h"
#include "hnsw/graph/connect.h"
#include "hnsw/graph/known.h"
#include "hnsw/graph/search.h"
#include "hnsw/graph/tree.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/link.h"
#include "hnsw/metric/vector.h"
#include "hnsw/page/access.h"
#include "hnsw/page/index.h"
#include "hnsw/page/meta.h"
#include "hnsw/page/place.h"
#include "hnsw/page/record.h"
#include "miscadmin.h"
#include "simd/vx_simd.h"
#include "storage/bufmgr.h"

/* Bytes of WAL that the links of a new node may always cost. */
#define MAX_LINK_WAL	3000

/* Of a back-link besides link and code: heads of spans and of the block. */
#define BACK_LINK_EXTRA	33

/* Position of a node's link to "to", or -1. */
static int
find_link(const HnswLayout *lay, const char *node, const HnswCandidate *to)
{
	for (int i = 0; i < ((const HnswRecord *) node)->nlinks; i++)
	{
		const ItemPointerData *link = &HnswNodeLinks(lay, node)[i];

		if (HnswLinkBlock(link) == to->blk && HnswLinkSlot(link) == to->slot)
			return i;
	}
	return -1;
}

/*
 * How many neighbours a new node links to, and how many of them are offered a
 * link back.  Each costs WAL, a back-link more than twice as much, since its
 * code is logged in spans of four bytes.  So there are as many as cost no more
 * than the vector in the table does and a quarter (or MAX_LINK_WAL), and a list
 * fills up by later nodes' back-links.  README, "Links of a new node".
 */
static void
link_counts(const HnswLayout *lay, int level, int *links, int *back)
{
	int			fanout = lay->fanout;
	int			code = lay->groups * 4;
	int			link_bytes = sizeof(ItemPointerData) + sizeof(uint16) + 2 * lay->factor_width + code;
	int			back_bytes = link_bytes + code + BACK_LINK_EXTRA;

	if (lay->sketch != HNSW_SKETCH_BITS)
	{
		*links = fanout;
		*back = fanout;
		return;
	}
	*links = fanout * 9 / 16;
	*back = fanout * 5 / 8;
	if (level > 0)
	{
		*links = fanout * 3 / 8;
		*back = fanout * 3 / 16;
	}
	else if (*links * link_bytes + *back * back_bytes > Max(MAX_LINK_WAL, 5 * lay->dim))
	{
		*links = fanout * 13 / 32;
		*back = fanout * 3 / 8;
	}
}

/*
 * Choose neighbours among the found nodes: those the heuristic of HNSW (Malkov
 * & Yashunin, 2018, algorithm 4) selects, nearest first, up to fanout; then the
 * nearest of the others, up to "fill" in all.  chosen: pool indexes; returns
 * their number, *nselected how many of them the heuristic selected.
 */
static int
choose_neighbours(HnswIndex *g, HnswResult *res, int fill, int *chosen, int *nselected)
{
	int			fanout = g->lay->fanout;
	int			pruned[HNSW_MAX_FANOUT];
	int			npruned = 0;
	int			n = 0;

	for (int i = 0; i < res->nfound && n < fanout; i++)
	{
		int			c = res->order[i].idx;
		float		dist = res->found[c].dist;
		bool		keep = true;

		for (int j = 0; j < n && keep; j++)
			keep = HnswFoundDistance(g, res, c, chosen[j]) > dist;
		if (keep)
			chosen[n++] = c;
		else if (npruned < fanout)
			pruned[npruned++] = c;
	}
	*nselected = n;
	for (int i = 0; i < npruned && n < fill; i++)
		chosen[n++] = pruned[i];
	return n;
}

/* Form a new record without links in scratch->record. */
void
HnswFormRecord(HnswIndex *g, int level, const HnswRecord *own_rec, const char *own,
			   const ItemPointerData *tids, int ntids)
{
	const HnswLayout *lay = g->lay;
	char	   *node = g->scratch->record;
	HnswRecord *rec = (HnswRecord *) node;

	memset(node, 0, lay->rec_size);
	*rec = *own_rec;
	rec->state = HNSW_LIVE;
	rec->level = level;
	rec->ntids = ntids;
	rec->nlinks = 0;
	rec->overflow = InvalidBlockNumber;
	if (ntids > 0)
		memcpy(HnswNodeTids(lay, node), tids, ntids * sizeof(ItemPointerData));
	if (!lay->own_side)
		memcpy(node + lay->off_own, own, lay->own_bytes);
}

/* Form the new record in scratch->record. */
static void
form_record(HnswIndex *g, HnswResult *res, int level, const HnswRecord *own_rec,
			const char *own, const ItemPointerData *tids, int ntids,
			const int *chosen, int nchosen, int nselected)
{
	const HnswLayout *lay = g->lay;
	HnswScratch *work = g->scratch;
	char	   *node = work->record;

	HnswFormRecord(g, level, own_rec, own, tids, ntids);
	((HnswRecord *) node)->nlinks = nchosen;
	if (lay->sketch == HNSW_SKETCH_BITS)
		HnswOwnDecode(&g->space, own, own_rec->scale, own_rec->offset, work->fa);
	for (int i = 0; i < nchosen; i++)
	{
		HnswFound  *f = &res->found[chosen[i]];
		HnswLink	link = {f->blk, f->slot | (i < nselected ? 0 : HNSW_LINK_PRUNED), f->dist,
			.code = work->code};

		if (lay->sketch != HNSW_SKETCH_NONE)
			HnswOwnDecode(&g->space, res->own + (Size) chosen[i] * lay->own_bytes,
						  f->scale, f->offset, work->fb);
		HnswLinkForm(&g->space, work->fa, work->fb, &link);
		HnswLinkPut(g, node, i, &link);
	}
}

/*
 * Which position of a node's list a link to the new vector takes, at distance
 * dist; -1 for none.  Decided from the node's page alone: the distances of the
 * new vector to the node's neighbours are those that its own search found
 * (HnswKnowFound), and else estimated from their sketches.  A tree link always
 * gets a place; other tree links are never taken.  *flags: the new link's.
 */
static int
choose_position(HnswIndex *g, HnswSearch *s, const char *node, float dist,
				bool tree, uint16 *flags)
{
	const HnswLayout *lay = g->lay;
	const HnswRecord *rec = (const HnswRecord *) node;
	const HnswQuery *q = &s->query;
	float		est[HNSW_MAX_FANOUT];
	uint32		masks[HNSW_MAX_FANOUT / VX_BLOCK];
	int			victim[4] = {-1, -1, -1, -1};
	float		far[4] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
	bool		dominated = false;

	*flags = tree ? HNSW_LINK_TREE : 0;
	if (rec->nlinks < lay->fanout)
		return rec->nlinks;

	if (lay->sketch != HNSW_SKETCH_NONE)
		(void) HnswScoreLinks(&g->space, q, node, dist, INFINITY, est, masks);
	else
		for (int i = 0; i < rec->nlinks; i++)
			est[i] = INFINITY;

	for (int i = 0; i < rec->nlinks; i++)
	{
		const ItemPointerData *link = &HnswNodeLinks(lay, node)[i];
		uint16		f = HnswLinkFlags(link);
		float		edge = HnswLinkEdge(&g->space, node, i);
		bool		known = HnswKnownDistance(s, HnswLinkBlock(link), HnswLinkSlot(link), &est[i]) ||
			lay->sketch == HNSW_SKETCH_EXACT;
		int			kind;

		/* what is nearer to it than this node was found before this node was */
		if (!(f & HNSW_LINK_PRUNED) && edge < dist && known && est[i] < dist)
			dominated = true;
		if (f & HNSW_LINK_TREE)
			continue;
		if (f & HNSW_LINK_PRUNED)
			kind = 0;			/* only fills up */
		else if (est[i] < edge && dist < edge)
			kind = 1;			/* the new node leads to it */
		else if (edge > dist)
			kind = 2;
		else
			kind = 3;
		if (edge > far[kind])
		{
			far[kind] = edge;
			victim[kind] = i;
		}
	}

	if (dominated && !tree)
	{
		*flags = HNSW_LINK_PRUNED;
		return far[0] > dist ? victim[0] : -1;
	}
	for (int kind = 0; kind < (tree ? 4 : 3); kind++)
		if (victim[kind] >= 0)
			return victim[kind];
	return -1;
}

/*
 * How the list of a node in hand takes a link to the new vector, whose record is, or
 * will be, "to"; false when it does not: it has no place, or the link, for which a tree
 * link is one more mark.
 */
bool
HnswFindPlace(HnswIndex *g, HnswSearch *s, HnswPin *pin, uint16 slot, const HnswCandidate *to,
			  bool tree, HnswNewLink *new)
{
	uint16		flags = HNSW_LINK_TREE;

	new->node = HnswNodeAt(g, pin, slot);
	new->slot = slot;
	new->pos = find_link(g->lay, new->node, to);
	if (new->pos >= 0 && !tree)
		return false;
	new->link.edge = HnswMeasure(g, &s->query, pin, slot, new->node, &new->own);
	if (new->pos < 0)
		new->pos = choose_position(g, s, new->node, new->link.edge, tree, &flags);
	new->link.blk = to->blk;
	new->link.slotflags = to->slot | flags;
	return new->pos >= 0;
}

/* Add it to a change, in which the node's page, held exclusively, is number "page". */
void
HnswWriteLink(HnswIndex *g, HnswWrite *w, int page, const HnswQuery *q, HnswNewLink *new)
{
	const HnswRecord *rec = (const HnswRecord *) new->node;
	HnswScratch *work = g->scratch;
	Size		recoff = HnswSlotOffset(g->lay, new->slot);

	if (g->lay->sketch == HNSW_SKETCH_BITS)
		HnswOwnDecode(&g->space, new->own, rec->scale, rec->offset, work->fa);
	new->link.code = work->code;
	HnswLinkForm(&g->space, work->fa, q->vec, &new->link);
	HnswLinkWrite(g, w, page, recoff, new->pos, &new->link);
	if (new->pos == rec->nlinks)
	{
		uint8		nlinks = new->pos + 1;

		HnswWriteBytes(w, page, recoff + offsetof(HnswRecord, nlinks), &nlinks, 1);
	}
}

/*
 * Add to the change a link from an existing node to the new one, if its list
 * has a place for it.  *page: the number of the node's page in the change, -1
 * while it has none.
 */
static void
add_back_link(HnswIndex *g, HnswWrite *w, int *page, HnswPin *pin, HnswSearch *s,
			  int level, uint16 at_slot, const HnswCandidate *to)
{
	const HnswRecord *rec = (const HnswRecord *) HnswNodeAt(g, pin, at_slot);
	HnswNewLink link;

	if (rec->state != HNSW_LIVE || rec->level != level ||
		!HnswFindPlace(g, s, pin, at_slot, to, false, &link))
		return;
	if (*page < 0)
		*page = HnswWriteAdd(w, pin, false);
	HnswWriteLink(g, w, *page, &s->query, &link);
}

static int
by_place(const void *a, const void *b)
{
	const HnswCandidate *x = a;
	const HnswCandidate *y = b;

	if (x->blk != y->blk)
		return x->blk < y->blk ? -1 : 1;
	return (int) x->slot - (int) y->slot;
}

/*
 * Link n existing nodes to the new one: as many pages at a time as one WAL
 * record can hold, whose header is a good part of a link's cost.  Puts the
 * nodes in the order of their pages, which is that of locks.
 */
void
HnswAddBackLinks(HnswIndex *g, HnswSearch *s, int level, HnswCandidate *nodes, int n,
				 const HnswCandidate *to)
{
	qsort(nodes, n, sizeof(HnswCandidate), by_place);
	for (int i = 0; i < n;)
	{
		HnswWrite  *w = &g->scratch->write;
		HnswPin		pins[HNSW_WRITE_PAGES];
		int			npins = 0;
		int			page = -1;

		CHECK_FOR_INTERRUPTS();
		if (level == 0)
			HNSW_WAIT_POINT("insert-back-links");
		else
			HNSW_WAIT_POINT("insert-upper-back-links");
		HnswWriteBegin(g, w);
		for (; i < n; i++)
		{
			if (npins == 0 || pins[npins - 1].blk != nodes[i].blk)
			{
				if (npins == HNSW_WRITE_PAGES)
					break;
				HnswAcquire(g, nodes[i].blk, BUFFER_LOCK_EXCLUSIVE, &pins[npins++]);
				page = -1;
			}
			add_back_link(g, w, &page, &pins[npins - 1], s, level, nodes[i].slot, to);
		}
		HnswWriteEnd(w);
		while (npins > 0)
			HnswRelease(g, &pins[--npins]);
	}
}

/*
 * With the place's page in hand (and the parent's: pparent, which may be the
 * same pin), write record and tree link as one change.  False when the parent
 * cannot take it; its children then join the queue.
 */
static bool
write_with_parent(HnswIndex *g, HnswSearch *s, int level, HnswPlace *place,
				  HnswPin *pparent, const HnswCandidate *parent, const char *own,
				  HnswTreeQueue *queue)
{
	HnswWrite  *w = &g->scratch->write;
	const char *node = HnswNodeAt(g, pparent, parent->slot);
	const HnswRecord *rec = (const HnswRecord *) node;
	const HnswCandidate at = {0, place->pins[0].blk, place->slot};
	HnswNewLink link;
	int			rpage;

	if (rec->state != HNSW_LIVE || rec->level != level)
		return false;
	if (HnswCountTreeLinks(g->lay, node) >= HnswMaxTreeLinks(g->lay) ||
		!HnswFindPlace(g, s, pparent, parent->slot, &at, true, &link))
	{
		HnswTreePushChildren(queue, g->lay, node);
		return false;
	}

	HnswPreparePlace(g, place, own);
	HnswWriteBegin(g, w);
	rpage = HnswWriteAdd(w, pparent, false);
	HnswWriteLink(g, w, rpage, &s->query, &link);
	if (pparent != &place->pins[0])
		rpage = HnswWriteAdd(w, &place->pins[0], false);
	HnswWriteRecord(g, w, rpage, place);
	HnswWriteEnd(w);
	return true;
}

/*
 * Place scratch->record below a parent from the queue.  On success *at is
 * where the record is, *used which parent took it.
 */
static bool
place_record(HnswIndex *g, HnswSearch *s, int level, const char *own,
			 HnswTreeQueue *queue, HnswCandidate *at, HnswCandidate *used)
{
	HnswPlace	place;
	bool		tried = true;
	bool		done = false;

	HnswPlaceBegin(&place);
	while (!done && (!tried || HnswTreePop(queue, used)))
	{
		tried = HnswTakePlace(g, level, used->blk, &place);
		if (!tried)
			continue;
		done = write_with_parent(g, s, level, &place, place.with, used, own, queue);
		HnswLeavePlace(g, &place);
	}
	if (done)
	{
		at->blk = place.pins[0].blk;
		at->slot = place.slot;
	}
	HnswPlaceEnd(g, level, &place, done);
	return done;
}

/* Place scratch->record where it needs no parent: first of its level. */
static void
place_alone(HnswIndex *g, int level, const char *own, HnswCandidate *at)
{
	HnswPlace	place;
	HnswWrite  *w = &g->scratch->write;

	HnswFreshPage(g, &place);
	HnswPreparePlace(g, &place, own);
	HnswWriteBegin(g, w);
	HnswWriteAdd(w, &place.pins[0], false);
	HnswWriteRecord(g, w, 0, &place);
	HnswWriteEnd(w);
	at->blk = place.pins[0].blk;
	at->slot = place.slot;
	HnswReleaseFresh(g, &place, true);
	HnswAnnouncePage(g, level, at->blk);
}

/* Which of the found a new node links to. */
typedef struct Chosen
{
	int			chosen[HNSW_MAX_FANOUT];	/* in the pool of the result */
	int			n;
	int			nselected;		/* of these, by the heuristic */
	int			max_back;		/* so many are offered a link back */
} Chosen;

/* Choose them, and form the new record in scratch->record. */
static void
choose_links(HnswIndex *g, HnswSearch *s, HnswResult *res, int level, const HnswRecord *own_rec,
			 const char *own, const ItemPointerData *tids, int ntids, Chosen *links)
{
	int			max_links;

	HnswKnowFound(g, s, res);
	link_counts(g->lay, level, &max_links, &links->max_back);
	links->n = choose_neighbours(g, res, max_links, links->chosen, &links->nselected);
	form_record(g, res, level, own_rec, own, tids, ntids, links->chosen, links->n,
				links->nselected);
}

/* Offer those a link back that come first, but for the one that has it. */
static void
link_back(HnswIndex *g, HnswSearch *s, HnswResult *res, int level, const Chosen *links,
		  const HnswCandidate *has, const HnswCandidate *at)
{
	HnswCandidate back[HNSW_MAX_FANOUT];
	int			n = 0;

	for (int i = 0; i < links->n && i < links->max_back; i++)
	{
		const HnswFound *f = &res->found[links->chosen[i]];

		if (f->blk == has->blk && f->slot == has->slot)
			continue;
		back[n].blk = f->blk;
		back[n++].slot = f->slot;
	}
	if (n > 0)
		HnswAddBackLinks(g, s, level, back, n, at);
}

/* Who is asked to be the tree parent: the nearest selected ones first, then whatever else was found. */
static void
queue_parents(const HnswResult *res, const Chosen *links, HnswTreeQueue *queue)
{
	HnswTreeQueueInit(queue);
	for (int i = 0; i < links->nselected; i++)
		HnswTreePush(queue, res->found[links->chosen[i]].blk, res->found[links->chosen[i]].slot);
	for (int i = 0; i < res->nfound; i++)
	{
		const HnswFound *f = &res->found[res->order[i].idx];

		HnswTreePush(queue, f->blk, f->slot);
	}
}

/*
 * Make a new node of a level with the vector q (complete; own_rec and own: its
 * stored form) and TIDs, linked to its neighbours among the found (res, with
 * own vectors, sorted).  *at: where it is.  With nothing found, an upper
 * record is placed alone; at level 0 that is HnswConnectRoot's case.  False
 * when none of the found, or what they lead to by tree links, can take a tree
 * link (they died meanwhile, or all is given away).
 */
bool
HnswConnect(HnswIndex *g, HnswSearch *s, HnswResult *res, int level,
			const HnswRecord *own_rec, const char *own,
			const ItemPointerData *tids, int ntids, HnswCandidate *at)
{
	Chosen		links;
	HnswTreeQueue queue;
	HnswCandidate used;
	bool		placed;

	choose_links(g, s, res, level, own_rec, own, tids, ntids, &links);
	if (res->nfound == 0)
	{
		Assert(level > 0);
		place_alone(g, level, own, at);
		return true;
	}

	queue_parents(res, &links, &queue);
	placed = place_record(g, s, level, own, &queue, at, &used);
	HnswTreeQueueFree(&queue);
	if (!placed)
		return false;
	if (level == 0)
		HNSW_WAIT_POINT("insert-node");
	link_back(g, s, res, level, &links, &used, at);
	return true;
}

/* Give a record in hand the links of scratch->record, if any; its page is number "page" of the change. */
static void
write_list(HnswIndex *g, HnswWrite *w, int page, const HnswCandidate *at)
{
	const HnswRecord *new = (const HnswRecord *) g->scratch->record;
	Size		recoff = HnswSlotOffset(g->lay, at->slot);

	if (new->nlinks == 0)
		return;
	HnswLinksWrite(g, w, page, recoff, g->scratch->record);
	HnswWriteBytes(w, page, recoff + offsetof(HnswRecord, nlinks), &new->nlinks, sizeof(new->nlinks));
}

/* Is the record in hand a node of level 0 that has no links yet? */
static bool
is_unlinked(HnswIndex *g, HnswPin *pin, const HnswCandidate *at)
{
	const HnswRecord *rec = (const HnswRecord *) HnswNodeAt(g, pin, at->slot);

	return rec->state == HNSW_LIVE && rec->level == 0 && rec->nlinks == 0;
}

/*
 * One change: a node in its place gets its list, scratch->record's, and the tree link from a
 * parent.  False when the parent cannot take it; its children then join the queue.  Both pages
 * are locked, lower block first.
 */
static bool
write_placed(HnswIndex *g, HnswSearch *s, const HnswCandidate *parent, const HnswCandidate *at,
			 HnswTreeQueue *queue)
{
	HnswWrite  *w = &g->scratch->write;
	HnswPin		pins[2];
	HnswPin    *pparent = &pins[0];
	HnswPin    *pin = parent->blk == at->blk ? &pins[0] : &pins[1];
	const char *node;
	HnswNewLink link;
	bool		done = false;

	HnswAcquire(g, Min(parent->blk, at->blk), BUFFER_LOCK_EXCLUSIVE, parent->blk <= at->blk ? pparent : pin);
	if (parent->blk != at->blk)
		HnswAcquire(g, Max(parent->blk, at->blk), BUFFER_LOCK_EXCLUSIVE, parent->blk <= at->blk ? pin : pparent);
	node = HnswNodeAt(g, pparent, parent->slot);
	if (((const HnswRecord *) node)->state != HNSW_LIVE || ((const HnswRecord *) node)->level != 0)
		;
	else if (HnswCountTreeLinks(g->lay, node) >= HnswMaxTreeLinks(g->lay) ||
			 !HnswFindPlace(g, s, pparent, parent->slot, at, true, &link))
		HnswTreePushChildren(queue, g->lay, node);
	else if (is_unlinked(g, pin, at))
	{
		HnswWriteBegin(g, w);
		HnswWriteAdd(w, pparent, false);
		HnswWriteLink(g, w, 0, &s->query, &link);
		if (pin != pparent)
			HnswWriteAdd(w, pin, false);
		write_list(g, w, pin != pparent, at);
		HnswWriteEnd(w);
		done = true;
	}
	if (pin != pparent)
		HnswRelease(g, pin);
	HnswRelease(g, pparent);
	return done;
}

/*
 * HnswConnect for a node of level 0 that has been written already, at *at, without links: it gets
 * them where it is.  Nobody else gives it any.
 */
bool
HnswConnectPlaced(HnswIndex *g, HnswSearch *s, HnswResult *res, const HnswRecord *own_rec,
				  const char *own, const HnswCandidate *at)
{
	Chosen		links;
	HnswTreeQueue queue;
	HnswCandidate used;
	bool		done = false;

	choose_links(g, s, res, 0, own_rec, own, NULL, 0, &links);
	queue_parents(res, &links, &queue);
	while (!done && HnswTreePop(&queue, &used))
	{
		CHECK_FOR_INTERRUPTS();
		if (used.blk != at->blk || used.slot != at->slot)
			done = write_placed(g, s, &used, at, &queue);
	}
	HnswTreeQueueFree(&queue);
	if (done)
		link_back(g, s, res, 0, &links, &used, at);
	return done;
}

/* Put a TREE link from scratch->record to the root there is, which need not be live. */
static void
link_to_root(HnswIndex *g, HnswSearch *s, const HnswMetaPage *meta)
{
	const HnswLayout *lay = g->lay;
	HnswScratch *work = g->scratch;
	HnswRecord *rec = (HnswRecord *) work->record;
	HnswCandidate root;
	HnswPin		pin;
	char	   *node;
	int			pos;

	HnswTidGet(&meta->root, &root);
	HnswAcquire(g, root.blk, BUFFER_LOCK_SHARE, &pin);
	node = HnswNodeAt(g, &pin, root.slot);
	/* VACUUM frees it only after another has become the root */
	if (((HnswRecord *) node)->state == HNSW_FREE || ((HnswRecord *) node)->level != 0)
		HnswCorrupted(g, root.blk, root.slot, "the root is no node of level 0");
	pos = find_link(lay, work->record, &root);
	if (pos < 0)
	{
		const HnswRecord *other = (const HnswRecord *) node;
		const char *own;
		HnswLink	link = {root.blk, root.slot,.code = work->code};

		/* the last link is the one that is needed least */
		pos = Min(rec->nlinks, lay->fanout - 1);
		link.edge = HnswMeasure(g, &s->query, &pin, root.slot, node, &own);
		if (lay->sketch != HNSW_SKETCH_NONE)
			HnswOwnDecode(&g->space, own, other->scale, other->offset, work->fb);
		HnswLinkForm(&g->space, work->fa, work->fb, &link);
		HnswLinkPut(g, work->record, pos, &link);
		rec->nlinks = pos + 1;
	}
	ItemPointerSet(&HnswNodeLinks(lay, work->record)[pos], root.blk, root.slot | HNSW_LINK_TREE);
	HnswRelease(g, &pin);
}

/*
 * Make a node that becomes the root: the first of all, or one for which there is
 * no tree parent.  The root before it, if any, dead or live, gets a TREE link from
 * it in the same change, so that whatever could be reached still can be.  The
 * found are its neighbours, as in HnswConnect; when there are none it is the entry
 * point as well.
 *
 * "seen" is the metapage as the caller saw it; false when root or centre have
 * changed since, and the caller starts over.  Holds the metapage's lock
 * exclusively while it makes the node, and within it the old root's page.  "centre"
 * is what was subtracted from the vector, and is stored with the first node.
 *
 * tid NULL: a node that is in its place already, at *at, and gets its links there.
 */
bool
HnswConnectRoot(HnswIndex *g, const HnswMetaPage *seen, const float *centre,
				HnswSearch *s, HnswResult *res,
				const HnswRecord *own_rec, const char *own,
				const ItemPointerData *tid, HnswCandidate *at)
{
	HnswPin		pmeta;
	HnswMetaPage *meta;
	HnswMetaPage changed;
	HnswWrite  *w = &g->scratch->write;
	HnswPlace	place;
	Chosen		links;
	HnswCandidate none = {0, InvalidBlockNumber, 0, 0};
	const bool	placed = tid == NULL;

	choose_links(g, s, res, 0, own_rec, own, tid, placed ? 0 : 1, &links);
	HnswAcquire(g, HNSW_META_BLOCK, BUFFER_LOCK_EXCLUSIVE, &pmeta);
	meta = HnswPageGetMeta(pmeta.page);
	if (!HnswTidEqual(&meta->root, &seen->root) ||
		meta->centre_set != seen->centre_set)
	{
		HnswRelease(g, &pmeta);
		return false;
	}
	if (!meta->centre_set)
		HnswStoreCentre(g, centre);
	changed = *meta;
	if (HnswTidIsSet(&meta->root))
		link_to_root(g, s, meta);
	if (placed)
		HnswAcquire(g, at->blk, BUFFER_LOCK_EXCLUSIVE, &place.pins[0]);
	else
	{
		HnswFreshPage(g, &place);
		HnswPreparePlace(g, &place, own);
		at->blk = place.pins[0].blk;
		at->slot = place.slot;
	}
	ItemPointerSet(&changed.root, at->blk, at->slot);
	if (res->nfound == 0)
	{
		changed.entry = changed.root;
		changed.entry_level = 0;
	}
	changed.centre_set = 1;
	HnswWriteBegin(g, w);
	HnswWriteAdd(w, &pmeta, false);
	HnswWriteAdd(w, &place.pins[0], false);
	HnswMetaWrite(w, 0, &changed);
	if (placed)
		write_list(g, w, 1, at);
	else
		HnswWriteRecord(g, w, 1, &place);
	HnswWriteEnd(w);
	g->centre_set = true;
	if (placed)
		HnswRelease(g, &place.pins[0]);
	else
		HnswReleaseFresh(g, &place, true);
	HnswRelease(g, &pmeta);
	if (!placed)
		HnswAnnouncePage(g, 0, at->blk);
	link_back(g, s, res, 0, &links, &none, at);
	return true;
}
