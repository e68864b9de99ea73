/*
 * rewrite.c
 *		The pages of a relinking: lists that have changed, a change for each page.
 *
 * New lists are formed without a lock from a copy of the page, and written if the
 * links are as they were when they were chosen; links that stay keep their positions,
 * so that little of the page changes.
 */
#include "postgres.h"

#include "commands/vacuum.h"
#include "compat.h"
#include "hnsw/base/waitpoint.h"
#include "hnsw/bulk/batch.h"
#include "hnsw/bulk/relink.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/link.h"
#include "hnsw/metric/vector.h"
#include "hnsw/page/access.h"
#include "hnsw/page/dead.h"
#include "hnsw/page/index.h"
#include "hnsw/page/record.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"

/* A page as it was read, and as it is to be. */
typedef struct Rewriting
{
	Relink	   *r;
	PGAlignedBlock was;
	PGAlignedBlock page;
} Rewriting;

/* A link of a list to be formed. */
typedef struct NewLink
{
	ItemPointerData tid;		/* with flags */
	uint32		member;			/* if it was not in the list before */
	float		dist;
} NewLink;

/* A list to be formed. */
typedef struct NewList
{
	int			n;
	NewLink		links[HNSW_MAX_FANOUT];
	int			was[HNSW_MAX_FANOUT];	/* where they were, -1: nowhere */
} NewList;

static void
add_link(NewList *list, const ItemPointerData *tid, int was, uint32 member, float dist)
{
	list->links[list->n] = (NewLink) {*tid, member, dist};
	list->was[list->n++] = was;
}

/* The links of a list that stay as they are: those to members as well, if nothing else was chosen. */
static void
keep_links(const Relink *r, const char *node, uint32 m, NewList *list)
{
	const bool	chosen = (r->old.flags[m] & OLD_CHOSEN) != 0;

	for (int i = 0; i < ((const HnswRecord *) node)->nlinks; i++)
	{
		const ItemPointerData *link = &HnswNodeLinks(r->g->lay, node)[i];
		BlockNumber blk = HnswLinkBlock(link);
		uint16		slot = HnswLinkSlot(link);

		if (relink_stays(r, m, blk, slot, HnswLinkFlags(link)) ||
			(!chosen && !HnswIsDead(&r->task->dead, blk, slot)))
			add_link(list, link, i, BATCH_NONE, 0);
	}
}

/* The links that have been chosen for a member. */
static void
add_chosen(const Relink *r, const char *node, uint32 m, NewList *list)
{
	const BatchLevel *level = r->level;
	const BatchLink *links = level->links + (Size) m * level->width;
	/* HnswNodeAt has seen to it that it is no more */
	const int	nold = Min(((const HnswRecord *) node)->nlinks, HNSW_MAX_FANOUT);
	uint32		old[HNSW_MAX_FANOUT] = {0};

	for (int i = 0; i < nold; i++)
	{
		const ItemPointerData *link = &HnswNodeLinks(r->g->lay, node)[i];

		old[i] = relink_member(r, HnswLinkBlock(link), HnswLinkSlot(link));
	}
	for (int i = 0; i < level->nlinks[m]; i++)
	{
		uint32		to = BatchLinkMember(links[i]);
		ItemPointerData tid = r->b->nodes[to].tid;
		uint16		flags = (links[i] & BATCH_TREE ? HNSW_LINK_TREE : 0) |
			(links[i] & BATCH_PRUNED ? HNSW_LINK_PRUNED : 0);
		int			was = nold - 1;

		while (was >= 0 && old[was] != to)
			was--;
		ItemPointerSetOffsetNumber(&tid, ItemPointerGetOffsetNumberNoCheck(&tid) | flags);
		add_link(list, &tid, was, to, batch_link_dist(links[i]));
	}
}

/* Form a list in its record, which is a copy. */
static void
form_list(const Relink *r, uint32 m, const NewList *list, char *node)
{
	HnswIndex  *g = r->g;
	const HnswLayout *lay = g->lay;
	HnswScratch *s = g->scratch;
	const BatchNode *nodes = r->b->nodes;
	int			pos[HNSW_MAX_FANOUT];
	bool		decoded = false;

	HnswListPlaces(list->was, list->n, pos);
	for (int i = 0; i < list->n; i++)
	{
		const NewLink *l = &list->links[i];

		if (list->was[i] < 0)
		{
			HnswLink	link = {.edge = l->dist,.code = s->code};

			if (lay->sketch == HNSW_SKETCH_BITS && !decoded)
				HnswOwnDecode(&g->space, batch_own(r->b, m), nodes[m].scale, nodes[m].offset, s->fa);
			decoded = true;
			if (lay->sketch != HNSW_SKETCH_NONE)
				HnswOwnDecode(&g->space, batch_own(r->b, l->member), nodes[l->member].scale,
							  nodes[l->member].offset, s->fb);
			HnswLinkForm(&g->space, s->fa, s->fb, &link);
			HnswLinkPut(g, node, pos[i], &link);
		}
		else if (pos[i] != list->was[i])
			HnswLinkMove(g, node, list->was[i], pos[i]);
	}
	for (int i = 0; i < list->n; i++)
		HnswNodeLinks(lay, node)[pos[i]] = list->links[i].tid;
	((HnswRecord *) node)->nlinks = list->n;
}

/* Is a member's list to be written? */
static inline bool
is_changed(const Relink *r, uint32 m)
{
	const uint8 flags = r->old.flags[m];

	return !(flags & OLD_MISSED) && (flags & (OLD_CHOSEN | OLD_LOSES));
}

static inline HnswSlot
slot_and_block(const Relink *r, uint32 m)
{
	const ItemPointerData *tid = &r->b->nodes[m].tid;

	return (HnswSlot) {ItemPointerGetBlockNumberNoCheck(tid), ItemPointerGetOffsetNumberNoCheck(tid)};
}

static inline uint16
slot_of(const Relink *r, uint32 m)
{
	return ItemPointerGetOffsetNumberNoCheck(&r->b->nodes[m].tid);
}

/*
 * Form the lists of the members from..end that are to change, which are all of one page, in
 * a copy of it.  Those whose links have changed since they were read stay as they are.
 */
static void
form_page(Rewriting *w, BlockNumber blk, uint32 from, uint32 end)
{
	Relink	   *r = w->r;
	HnswPin		pin;

	HnswAcquire(r->g, blk, BUFFER_LOCK_SHARE, &pin);
	for (uint32 m = from; m < end; m++)
		(void) HnswNodeAt(r->g, &pin, slot_of(r, m));
	memcpy(w->was.data, pin.page, BLCKSZ);
	HnswRelease(r->g, &pin);
	memcpy(w->page.data, w->was.data, BLCKSZ);
	for (uint32 m = from; m < end; m++)
	{
		const char *node = w->was.data + HnswSlotOffset(r->g->lay, slot_of(r, m));
		NewList		list;

		if (!is_changed(r, m))
			continue;
		if (HnswRelinkHash(r->g->lay, node) != r->old.hash[m])
		{
			r->old.flags[m] |= OLD_MISSED;
			continue;
		}
		list.n = 0;
		keep_links(r, node, m, &list);
		if (r->old.flags[m] & OLD_CHOSEN)
			add_chosen(r, node, m, &list);
		form_list(r, m, &list, w->page.data + HnswSlotOffset(r->g->lay, slot_of(r, m)));
	}
}

/* Write them, as one change, but those whose links are not as they were in the copy. */
static void
write_page(Rewriting *w, BlockNumber blk, uint32 from, uint32 end)
{
	Relink	   *r = w->r;
	HnswIndex  *g = r->g;
	const HnswLayout *lay = g->lay;
	HnswWrite  *write = &g->scratch->write;
	HnswPin		pin;

	HnswAcquire(g, blk, BUFFER_LOCK_EXCLUSIVE, &pin);
	HnswWriteBegin(g, write);
	HnswWriteAdd(write, &pin, false);
	for (uint32 m = from; m < end; m++)
	{
		const Size	at = HnswSlotOffset(lay, slot_of(r, m));
		const char *node = HnswNodeAt(g, &pin, slot_of(r, m));
		const char *was = w->was.data + at;

		if (!HnswSameLinks(lay, node, was))
			r->old.flags[m] |= OLD_MISSED;
		if (!is_changed(r, m))
			continue;
		HnswWriteList(g, write, 0, at, w->page.data + at);
		if (r->old.flags[m] & OLD_CHOSEN)
			r->task->nchosen++;
		else
			r->task->nlost++;
	}
	HnswWriteEnd(write);
	HnswRelease(g, &pin);
}

/*
 * Note what the list of a member, which inserts have changed, should have got: links to nodes
 * that a merge links.
 */
static void
note_missed(Relink *r, uint32 m)
{
	HnswRelinkTask *task = r->task;
	const BatchLink *links = r->level->links + (Size) m * r->level->width;
	const bool	target = batch_is_target(r->level, m);

	for (int i = 0; i < r->level->nlinks[m]; i++)
	{
		uint32		to = BatchLinkMember(links[i]);
		HnswMissedLink *missed;

		if (!target && !batch_is_target(r->level, to))
			continue;
		if (task->nmissed == task->maxmissed)
		{
			task->maxmissed = Max(64, task->maxmissed * 2);
			task->missed = task->missed ?
				repalloc_huge(task->missed, task->maxmissed * sizeof(HnswMissedLink)) :
				MemoryContextAllocHuge(r->result, task->maxmissed * sizeof(HnswMissedLink));
		}
		missed = &task->missed[task->nmissed++];
		missed->from = slot_and_block(r, m);
		missed->to = slot_and_block(r, to);
		missed->tree = (links[i] & BATCH_TREE) != 0;
	}
}

/* Write all lists that have changed, in the order of the pages. */
void
HnswRelinkWrite(Relink *r)
{
	Rewriting  *w = palloc(sizeof(Rewriting));
	uint32		end;

	w->r = r;
	for (uint32 from = 0; from < r->level->n; from = end)
	{
		BlockNumber blk = ItemPointerGetBlockNumberNoCheck(&r->b->nodes[from].tid);
		bool		any = false;

		for (end = from; end < r->level->n &&
			 ItemPointerGetBlockNumberNoCheck(&r->b->nodes[end].tid) == blk; end++)
			any = any || is_changed(r, end);
		if (!any)
			continue;
		CompatVacuumDelayPoint();
		form_page(w, blk, from, end);
		HNSW_WAIT_POINT("relink-page");
		/* a merge as an insert does, so that whoever keeps inserts off keeps merges off */
		if (r->task->listed)
			HnswLockInserts(r->g->rel);
		write_page(w, blk, from, end);
		if (r->task->listed)
			HnswUnlockInserts(r->g->rel);
		for (uint32 m = from; m < end && r->task->listed; m++)
			if ((r->old.flags[m] & (OLD_CHOSEN | OLD_MISSED)) == (OLD_CHOSEN | OLD_MISSED))
				note_missed(r, m);
	}
	pfree(w);
}
