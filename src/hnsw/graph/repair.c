/*
 * repair.c
 *		Phase 2 of VACUUM: mend the graph around DEAD nodes.
 *
 * A live node's new list is chosen as an insert chooses: among its live
 * neighbours and what a search finds near it.  Tree links are contracted over DEAD nodes
 * (tree.c), so that every live node stays within reach.  One page is locked at a time.
 */
#include "postgres.h"

#include "commands/vacuum.h"
#include "compat.h"
#include "hnsw/base/bitmap.h"
#include "hnsw/base/waitpoint.h"
#include "hnsw/graph/connect.h"
#include "hnsw/graph/insert.h"
#include "hnsw/graph/known.h"
#include "hnsw/graph/nodeset.h"
#include "hnsw/graph/repair.h"
#include "hnsw/graph/search.h"
#include "hnsw/graph/tree.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/link.h"
#include "hnsw/metric/vector.h"
#include "hnsw/page/access.h"
#include "hnsw/page/index.h"
#include "hnsw/page/meta.h"
#include "hnsw/page/record.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"

/* How often a list is chosen anew because inserts have changed it meanwhile. */
#define MAX_TRIES	10

/* A neighbour that a repaired node may link to. */
typedef struct Choice
{
	HnswCandidate at;			/* first: cmp_candidate; key: distance */
	int			pos;			/* in the old list; -1: not there */
	bool		tree;			/* must be linked */
	bool		selected;		/* by the heuristic */
	bool		kept;			/* will be linked */
	float	   *vec;			/* NULL: not needed */
} Choice;

/* One node under repair. */
typedef struct Repair
{
	const HnswRepairContext *rc;
	BlockNumber blk;
	uint16		slot;
	int			level;
	char	   *old;			/* its record as it was read */
	float	   *base;			/* its vector, decoded */
	Choice	   *choices;		/* at most 2 * fanout + ef_construction */
	int			nchoices;
	int			ntree;			/* of them, to be tree links */
	NodeList	taken;			/* itself and the choices */
} Repair;

/*
 * Add a choice; pos: of the old list, or -1; vec: its vector, or NULL when no
 * distance is needed.
 */
static Choice *
push_choice(Repair *r, BlockNumber blk, uint16 slot, int pos, float *vec)
{
	Choice	   *c = &r->choices[r->nchoices++];

	memset(c, 0, sizeof(*c));
	c->at.blk = blk;
	c->at.slot = slot;
	c->pos = pos;
	c->vec = vec;
	if (vec != NULL)
		c->at.key = HnswPairDistance(&r->rc->g->space, r->base, vec);
	return c;
}

/*
 * Add a choice and read its vector, unless it is one already or its record is
 * no live one of the level.
 */
static void
add_choice(Repair *r, BlockNumber blk, uint16 slot, int pos, bool tree)
{
	HnswIndex  *g = r->rc->g;
	Choice	   *c;
	float	   *vec;

	if (nodelist_has(&r->taken, blk, slot))
		return;
	vec = palloc(g->lay->dim * sizeof(float));
	if (tree)
		HnswReadHeir(g, blk, slot, r->level, vec);
	else if (!HnswReadVector(g, blk, slot, r->level, vec))
	{
		pfree(vec);
		return;
	}
	c = push_choice(r, blk, slot, pos, vec);
	c->tree = c->kept = tree;
	r->ntree += tree;
	nodelist_add(&r->taken, blk, slot);
}

/* Read the node; false when it is not live any more. */
static bool
read_node(Repair *r)
{
	HnswIndex  *g = r->rc->g;
	const HnswLayout *lay = g->lay;
	const HnswRecord *rec;
	HnswPin		pin;
	char	   *node;

	r->old = palloc(lay->rec_size);
	r->base = palloc(lay->dim * sizeof(float));
	r->choices = palloc((2 * lay->fanout + lay->ef_construction) * sizeof(Choice));
	HnswAcquire(g, r->blk, BUFFER_LOCK_SHARE, &pin);
	node = HnswNodeAt(g, &pin, r->slot);
	memcpy(r->old, node, lay->rec_size);
	rec = (const HnswRecord *) r->old;
	if (rec->state == HNSW_LIVE)
		HnswDecodeOwn(g, &pin, r->slot, node, r->base);
	HnswRelease(g, &pin);
	r->level = rec->level;
	nodelist_add(&r->taken, r->blk, r->slot);
	return rec->state == HNSW_LIVE;
}

/* Find the heirs of its dead tree children; returns how many links are live. */
static int
find_heirs(Repair *r, NodeList *heirs)
{
	const HnswLayout *lay = r->rc->g->lay;
	int			nlive = 0;

	for (int i = 0; i < ((const HnswRecord *) r->old)->nlinks; i++)
	{
		const ItemPointerData *link = &HnswNodeLinks(lay, r->old)[i];

		if (!HnswIsDead(&r->rc->dead, HnswLinkBlock(link), HnswLinkSlot(link)))
			nlive++;
		else if (HnswLinkFlags(link) & HNSW_LINK_TREE)
			HnswTreeHeirs(r->rc->g, &r->rc->dead, HnswLinkBlock(link), HnswLinkSlot(link), heirs);
	}
	return nlive;
}

/* Its live neighbours stay as they are; their distances are those of the links. */
static void
keep_neighbours(Repair *r)
{
	const HnswLayout *lay = r->rc->g->lay;

	for (int i = 0; i < ((const HnswRecord *) r->old)->nlinks; i++)
	{
		const ItemPointerData *link = &HnswNodeLinks(lay, r->old)[i];
		Choice	   *c;

		if (HnswIsDead(&r->rc->dead, HnswLinkBlock(link), HnswLinkSlot(link)))
			continue;
		c = push_choice(r, HnswLinkBlock(link), HnswLinkSlot(link), i, NULL);
		c->at.key = HnswLinkEdge(&r->rc->g->space, r->old, i);
		c->tree = (HnswLinkFlags(link) & HNSW_LINK_TREE) != 0;
		r->ntree += c->tree;
		c->selected = (HnswLinkFlags(link) & HNSW_LINK_PRUNED) == 0;
		c->kept = true;
	}
}

/* Where there are more links than a list can have, the farthest of the least needed go. */
static void
drop_farthest(Repair *r)
{
	const int	fanout = r->rc->g->lay->fanout;
	int			nkept = 0;

	for (int i = 0; i < r->nchoices; i++)
		nkept += r->choices[i].kept;
	for (; nkept > fanout; nkept--)
	{
		Choice	   *victim = NULL;

		for (int i = 0; i < r->nchoices; i++)
		{
			Choice	   *c = &r->choices[i];

			if (!c->kept || c->tree)
				continue;
			if (victim == NULL || (victim->selected && !c->selected) ||
				(victim->selected == c->selected && c->at.key > victim->at.key))
				victim = c;
		}
		if (victim == NULL)
			break;				/* as many TREE links as there are places */
		victim->kept = false;
	}
}

/* The vector of a tree child, read when it is needed. */
static const float *
child_vector(Repair *r, Choice *c)
{
	HnswIndex  *g = r->rc->g;

	if (c->vec == NULL)
	{
		c->vec = palloc(g->lay->dim * sizeof(float));
		HnswReadHeir(g, c->at.blk, c->at.slot, r->level, c->vec);
	}
	return c->vec;
}

/* Choose among its live neighbours. */
static void
add_neighbours(Repair *r)
{
	const HnswLayout *lay = r->rc->g->lay;

	for (int i = 0; i < ((const HnswRecord *) r->old)->nlinks; i++)
	{
		const ItemPointerData *link = &HnswNodeLinks(lay, r->old)[i];

		if (!HnswIsDead(&r->rc->dead, HnswLinkBlock(link), HnswLinkSlot(link)))
			add_choice(r, HnswLinkBlock(link), HnswLinkSlot(link), i,
					   (HnswLinkFlags(link) & HNSW_LINK_TREE) != 0);
	}
}

/*
 * Each heir must have a tree link: from a node that is nearer to it; or from here, whose list will be
 * replaced and must not be changed before; or, when there are many, from the nearest sibling that has room.
 */
static void
adopt(Repair *r, const NodeList *heirs)
{
	HnswIndex  *g = r->rc->g;
	const HnswLayout *lay = g->lay;
	HnswCandidate siblings[HNSW_MAX_FANOUT];
	float	   *vec = palloc(lay->dim * sizeof(float));

	for (int64 i = 0; i < heirs->n; i++)
	{
		const HnswCandidate *h = &heirs->items[i];
		Choice	   *known = NULL;
		int			n = 0;

		CHECK_FOR_INTERRUPTS();
		if (h->blk == r->blk && h->slot == r->slot)
			continue;
		for (int k = 0; k < r->nchoices && known == NULL; k++)
			if (r->choices[k].at.blk == h->blk && r->choices[k].at.slot == h->slot)
				known = &r->choices[k];
		if (known && known->tree)
			continue;
		HnswReadHeir(g, h->blk, h->slot, r->level, vec);
		if (HnswHangNear(g, h, vec, HnswPairDistance(&g->space, vec, r->base), r->level))
			continue;
		if (r->ntree >= HnswMaxTreeLinks(lay))
		{
			for (int k = 0; k < r->nchoices; k++)
				if (r->choices[k].tree)
				{
					siblings[n] = r->choices[k].at;
					siblings[n++].key = HnswPairDistance(&g->space, vec, child_vector(r, &r->choices[k]));
				}
			qsort(siblings, n, sizeof(HnswCandidate), cmp_candidate);
			if (HnswAddTreeLink(g, siblings, n, h, vec, r->level))
				continue;
			if (r->ntree >= lay->fanout)
				HnswCorrupted(g, r->blk, r->slot, "no node below it can take a tree link");
		}
		if (known)
		{
			known->tree = true;
			r->ntree++;
		}
		else
			add_choice(r, h->blk, h->slot, -1, true);
	}
}

/*
 * Choose among what an insert of this vector would find as well: a search from
 * the node itself.  Leaves the node's vector as the search's query.
 */
static void
add_found(Repair *r)
{
	HnswIndex  *g = r->rc->g;
	const HnswLayout *lay = g->lay;
	HnswSearch *s = HnswSearchFor(g, r->base);
	HnswResult *res = &s->results;
	HnswCandidate at = {0, r->blk, r->slot};

	s->without.blk = InvalidBlockNumber;	/* an error may have left one */
	HnswResultInit(res, lay, s->cxt, lay->ef_construction, true);
	HnswSearchLevel(g, s, res, r->level, &at, 1, NULL);
	HnswKnowFound(g, s, res);
	for (int i = 0; i < res->nfound; i++)
	{
		int			idx = res->order[i].idx;
		const HnswFound *f = &res->found[idx];
		float	   *vec;

		if (nodelist_has(&r->taken, f->blk, f->slot))
			continue;
		vec = palloc(lay->dim * sizeof(float));
		HnswOwnDecode(&g->space, res->own + (Size) idx * lay->own_bytes, f->scale, f->offset, vec);
		(void) push_choice(r, f->blk, f->slot, -1, vec);
	}
}

/*
 * The heuristic of HNSW: a choice, nearest first, is selected unless one selected before
 * is nearer to it, "relax" times, than the node is.  Relaxed, which comes second, it
 * selects at most "most" more, beside the tree links.
 */
static void
select_diverse(Repair *r, float relax, int most)
{
	Choice	   *choices = r->choices;
	const bool	relaxed = relax > 1;

	for (int i = 0; i < r->nchoices && most > 0; i++)
	{
		bool		keep = !choices[i].selected && !(relaxed && choices[i].tree);

		for (int j = 0; j < r->nchoices && keep; j++)
			if (choices[j].selected || (relaxed && choices[j].tree))
				keep = HnswPairDistance(&r->rc->g->space, choices[i].vec, choices[j].vec) * relax > choices[i].at.key;
		if (keep)
		{
			choices[i].selected = true;
			most--;
		}
	}
}

/*
 * Keep the tree links, then what the heuristic of HNSW selects, then what it
 * selects when relaxed, then the nearest others.  Sorts the choices by distance.
 */
static void
select_choices(Repair *r)
{
	const HnswLayout *lay = r->rc->g->lay;
	Choice	   *choices = r->choices;
	int			nkept = 0;

	qsort(choices, r->nchoices, sizeof(Choice), cmp_candidate);
	select_diverse(r, 1, r->nchoices);
	for (int i = 0; i < r->nchoices; i++)
		nkept += choices[i].tree || choices[i].selected;
	if (lay->metric->relax > 1)
		select_diverse(r, lay->metric->relax, lay->fanout - nkept);
	nkept = 0;
	for (int pass = 0; pass < 3; pass++)
		for (int i = 0; i < r->nchoices && nkept < lay->fanout; i++)
			if (pass == (choices[i].tree ? 0 : choices[i].selected ? 1 : 2))
			{
				choices[i].kept = true;
				nkept++;
			}
}

/*
 * Form the new list in a copy of the record.  What was in the old list stays
 * at its position where there is one, so that little of the page changes.
 */
static char *
form_list(Repair *r)
{
	HnswIndex  *g = r->rc->g;
	const HnswLayout *lay = g->lay;
	char	   *new = palloc(lay->rec_size);
	Choice	   *kept[HNSW_MAX_FANOUT];
	int			was[HNSW_MAX_FANOUT];
	int			pos[HNSW_MAX_FANOUT];
	int			n = 0;

	memcpy(new, r->old, lay->rec_size);
	for (int i = 0; i < r->nchoices; i++)
		if (r->choices[i].kept)
		{
			was[n] = r->choices[i].pos;
			kept[n++] = &r->choices[i];
		}
	HnswListPlaces(was, n, pos);
	for (int i = 0; i < n; i++)
	{
		Choice	   *c = kept[i];

		if (was[i] < 0)
		{
			HnswLink	link = {c->at.blk, c->at.slot, c->at.key,.code = g->scratch->code};

			HnswLinkForm(&g->space, r->base, c->vec, &link);
			HnswLinkPut(g, new, pos[i], &link);
		}
		else if (pos[i] != was[i])
			HnswLinkMove(g, new, was[i], pos[i]);
	}
	for (int i = 0; i < n; i++)
	{
		uint16		flags = (kept[i]->tree ? HNSW_LINK_TREE : 0) | (kept[i]->selected ? 0 : HNSW_LINK_PRUNED);

		ItemPointerSet(&HnswNodeLinks(lay, new)[pos[i]], kept[i]->at.blk, kept[i]->at.slot | flags);
	}
	((HnswRecord *) new)->nlinks = n;
	return new;
}

/* Write a new list of the node in hand, whose record r->old is as it is now. */
static void
write_record_list(Repair *r, HnswPin *pin, const char *new)
{
	HnswIndex  *g = r->rc->g;
	HnswWrite  *w = &g->scratch->write;

	HnswWriteBegin(g, w);
	HnswWriteAdd(w, pin, false);
	HnswWriteList(g, w, 0, HnswSlotOffset(g->lay, r->slot), new);
	HnswWriteEnd(w);
}

/* Write the new list.  False, and nothing written, if inserts have changed the old one. */
static bool
write_list(Repair *r)
{
	HnswIndex  *g = r->rc->g;
	const char *new = form_list(r);
	HnswPin		pin;
	char	   *node;
	bool		same;

	HnswAcquire(g, r->blk, BUFFER_LOCK_EXCLUSIVE, &pin);
	node = HnswNodeAt(g, &pin, r->slot);
	same = ((HnswRecord *) node)->state == HNSW_LIVE && HnswSameLinks(g->lay, node, r->old);
	if (same)
		write_record_list(r, &pin, new);
	HnswRelease(g, &pin);
	return same;
}

/* Offer its new neighbours a link back, as an insert does. */
static void
offer_links(Repair *r)
{
	HnswIndex  *g = r->rc->g;
	HnswCandidate nodes[HNSW_MAX_FANOUT];
	HnswCandidate at = {0, r->blk, r->slot};
	int			n = 0;

	for (int i = 0; i < r->nchoices; i++)
		if (r->choices[i].kept && r->choices[i].pos < 0)
			nodes[n++] = r->choices[i].at;
	HnswAddBackLinks(g, HnswInserterOf(g)->search, r->level, nodes, n, &at);
}

/*
 * One try to give a live node a list without DEAD nodes.  Where enough links are
 * left, the heirs of its dead tree children take the places of those, and that is all.
 * Else the list is chosen anew, from its live neighbours, the heirs, and what a search
 * finds near it; and new neighbours are offered a link back.  Reads the node, works
 * without a lock, then writes; false when the list was changed meanwhile.
 */
static bool
try_repair(const HnswRepairContext *rc, BlockNumber blk, uint16 slot)
{
	Repair		r = {.rc = rc,.blk = blk,.slot = slot};
	NodeList	heirs = {NULL, 0, 0};
	bool		enough;

	if (!read_node(&r))
		return true;
	enough = find_heirs(&r, &heirs) >= HnswEnoughLinks(rc->g->lay);
	HNSW_WAIT_POINT("vacuum-repair-read");
	if (enough)
	{
		keep_neighbours(&r);
		adopt(&r, &heirs);
		drop_farthest(&r);
	}
	else
	{
		add_neighbours(&r);
		adopt(&r, &heirs);
		add_found(&r);
		select_choices(&r);
	}
	HNSW_WAIT_POINT("vacuum-repair-write");
	if (!write_list(&r))
		return false;
	if (enough)
		rc->done->nlost++;
	else
	{
		rc->done->nchosen++;
		HNSW_WAIT_POINT("vacuum-repair-offers");
		offer_links(&r);
	}
	return true;
}

/*
 * The same for a node whose list others keep changing: give its heirs tree links
 * one by one, each a change of its own, then take the DEAD nodes out of the list
 * as it is then, within one lock.
 */
static void
drop_dead_links(const HnswRepairContext *rc, BlockNumber blk, uint16 slot)
{
	HnswIndex  *g = rc->g;
	const HnswLayout *lay = g->lay;
	Repair		r = {.rc = rc,.blk = blk,.slot = slot};
	NodeList	heirs = {NULL, 0, 0};
	const HnswCandidate self = {0, blk, slot};
	HnswPin		pin;
	char	   *node;

	if (!read_node(&r))
		return;
	(void) find_heirs(&r, &heirs);
	for (int64 i = 0; i < heirs.n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (heirs.items[i].blk == blk && heirs.items[i].slot == slot)
			continue;
		HnswLinkHeir(g, &self, &heirs.items[i], r.level);
	}
	HnswAcquire(g, blk, BUFFER_LOCK_EXCLUSIVE, &pin);
	node = HnswNodeAt(g, &pin, slot);
	if (((HnswRecord *) node)->state == HNSW_LIVE)
	{
		memcpy(r.old, node, lay->rec_size);
		keep_neighbours(&r);
		write_record_list(&r, &pin, form_list(&r));
		rc->done->nlost++;
	}
	HnswRelease(g, &pin);
}

/* Give a live node a list without DEAD nodes.  Memory: the vacuum's tmp context. */
static void
repair_node(const HnswRepairContext *rc, BlockNumber blk, uint16 slot)
{
	MemoryContext old = MemoryContextSwitchTo(rc->tmp);
	bool		done = false;

	for (int i = 0; i < MAX_TRIES && !done; i++)
	{
		CHECK_FOR_INTERRUPTS();
		done = try_repair(rc, blk, slot);
		MemoryContextReset(rc->tmp);
	}
	if (!done)
		drop_dead_links(rc, blk, slot);
	MemoryContextSwitchTo(old);
	MemoryContextReset(rc->tmp);
}

/* Which live nodes of a page need a repair: a bit each; false for none. */
static bool
find_broken(const HnswRepairContext *rc, HnswPin *pin, uint64 *broken)
{
	const HnswLayout *lay = rc->g->lay;
	bool		any = false;

	for (int slot = 0; slot < HnswPageGetHeader(pin->page)->nslots; slot++)
	{
		char	   *node = HnswNodeAt(rc->g, pin, slot);
		HnswRecord *rec = (HnswRecord *) node;
		bool		is_broken = rec->nlinks < HnswEnoughLinks(lay);

		/* a node that waits to be linked has no links at all */
		if (rec->state != HNSW_LIVE || rec->nlinks == 0)
			continue;
		for (int k = 0; k < rec->nlinks && !is_broken; k++)
		{
			const ItemPointerData *link = &HnswNodeLinks(lay, node)[k];

			is_broken = HnswIsDead(&rc->dead, HnswLinkBlock(link), HnswLinkSlot(link));
		}
		if (is_broken)
		{
			(void) HnswBitmapSet(broken, slot);
			any = true;
		}
	}
	return any;
}

/*
 * Phase 2: give every live node that links to DEAD ones, or to few nodes at
 * all, a new list, from block "first" to the end, which is returned.  Afterwards
 * no live node there links to a node that is in the bitmap.
 */
BlockNumber
HnswRepair(const HnswRepairContext *rc, BlockNumber first)
{
	HnswIndex  *g = rc->g;

	/* inserts may have added nodes with such links since the vacuum began */
	BlockNumber nblocks = RelationGetNumberOfBlocks(g->rel);

	for (BlockNumber blk = first; blk < nblocks; blk++)
	{
		HnswPin		pin;
		uint64		broken[HNSW_BITMAP_WORDS(BLCKSZ / sizeof(HnswRecord))] = {0};
		bool		any = false;
		int			nslots;

		CompatVacuumDelayPoint();
		if (!HnswAcquireInOrder(g, blk, BUFFER_LOCK_SHARE, rc->strategy, &pin))
			continue;
		nslots = HnswPageGetHeader(pin.page)->nslots;
		if (HnswPageGetHeader(pin.page)->kind == HNSW_PAGE_NODE ||
			HnswPageGetHeader(pin.page)->kind == HNSW_PAGE_UPPER)
			any = find_broken(rc, &pin, broken);
		HnswRelease(g, &pin);
		for (int slot = 0; any && slot < nslots; slot++)
			if (HnswBitmapTest(broken, slot))
				repair_node(rc, blk, slot);
	}
	return nblocks;
}
