/*
 * tree.c
 *		Thinning of tree links: leaves each record with one tree parent.
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

#include "commands/vacuum.h"
#include "compat.h"
#include "hnsw/graph/nodeset.h"
#include "hnsw/graph/search.h"
#include "hnsw/graph/tree.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/page/access.h"
#include "hnsw/page/index.h"
#include "hnsw/page/meta.h"
#include "hnsw/page/record.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"

typedef struct Thinning
{
	HnswGraph  *g;
	BlockNumber nblocks;		/* records beyond are left as they are */
	uint64	   *claimed;		/* records that have their tree parent */
} Thinning;

/* Mark a record as having its parent; false if it had one. */
static bool
claim(Thinning *t, BlockNumber blk, uint16 slot)
{
	Size		id = (Size) blk * t->g->lay->per_page + slot;
	uint64		bit = UINT64CONST(1) << (id % 64);

	if (t->claimed[id / 64] & bit)
		return false;
	t->claimed[id / 64] |= bit;
	return true;
}

/*
 * Claim the tree children of a record for it; where they are claimed already,
 * its link becomes an ordinary one.  The children claimed are put into
 * "children" (HNSW_MAX_FANOUT); returns their number.
 */
static int
claim_children(Thinning *t, BlockNumber blk, uint16 slot, HnswCandidate *children)
{
	HnswGraph  *g = t->g;
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
HnswThinTree(HnswGraph *g, BlockNumber nblocks, const BlockNumber *uppers, int64 nuppers)
{
	Thinning	t;

	t.g = g;
	t.nblocks = nblocks;
	t.claimed = MemoryContextAllocExtended(CurrentMemoryContext,
										   ((Size) nblocks * g->lay->per_page / 64 + 1) * sizeof(uint64),
										   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	thin_level0(&t);
	thin_uppers(&t, uppers, nuppers);
	pfree(t.claimed);
}
