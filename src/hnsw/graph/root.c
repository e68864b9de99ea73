/*
 * root.c
 *		Phase 3 of VACUUM: root and entry point move off DEAD nodes.
 */
#include "postgres.h"

#include <math.h>

#include "hnsw/base/waitpoint.h"
#include "hnsw/graph/nodeset.h"
#include "hnsw/graph/repair.h"
#include "hnsw/graph/tree.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/page/access.h"
#include "hnsw/page/index.h"
#include "hnsw/page/meta.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"

/*
 * Which node is to be the root instead of a DEAD one: its first heir.  The others hang on near nodes, or on
 * that.  False for none.
 */
static bool
link_heirs(const HnswRepairContext *rc, const HnswCandidate *root, HnswCandidate *heir)
{
	NodeList	heirs = {NULL, 0, 0};
	float	   *vec = palloc(rc->g->lay->dim * sizeof(float));

	HnswTreeHeirs(rc->g, &rc->dead, root->blk, root->slot, &heirs);
	for (int64 i = 1; i < heirs.n; i++)
	{
		const HnswCandidate *h = &heirs.items[i];

		CHECK_FOR_INTERRUPTS();
		HnswReadHeir(rc->g, h->blk, h->slot, 0, vec);
		if (!HnswHangNear(rc->g, h, vec, INFINITY, 0))
			HnswLinkHeir(rc->g, &heirs.items[0], h, 0);
	}
	if (heirs.n > 0)
		*heir = heirs.items[0];
	return heirs.n > 0;
}

/*
 * Which record is to be the entry point beside root, if the one there is will not
 * do: it is DEAD, or there is a live one of a higher level (an insert that finds
 * nothing live begins at level 0 again).
 */
static bool
better_entry(const HnswRepairContext *rc, const HnswCandidate *best, int best_level, HnswMetaPage *meta)
{
	HnswCandidate entry;

	HnswTidGet(&meta->entry, &entry);
	if (best_level > 0 &&
		(best_level > meta->entry_level || HnswIsDead(&rc->dead, entry.blk, entry.slot)))
	{
		ItemPointerSet(&meta->entry, best->blk, best->slot);
		meta->entry_level = best_level;
		return true;
	}
	if (!HnswIsDead(&rc->dead, entry.blk, entry.slot))
		return false;
	meta->entry = meta->root;
	meta->entry_level = 0;
	return true;
}

/* One try to do so; false when an insert has made another root meanwhile. */
static bool
try_move_root(const HnswRepairContext *rc, const HnswCandidate *best, int best_level)
{
	HnswIndex  *g = rc->g;
	HnswMetaPage meta;
	HnswMetaPage changed;
	HnswCandidate root;
	HnswCandidate heir;
	HnswPin		pin;
	bool		dead;
	bool		have_heir = false;
	bool		same;
	bool		write;

	HnswReadMeta(g, &meta);
	if (!HnswTidIsSet(&meta.root))
		return true;
	HnswTidGet(&meta.root, &root);
	dead = HnswIsDead(&rc->dead, root.blk, root.slot);
	if (dead)
		have_heir = link_heirs(rc, &root, &heir);

	HNSW_WAIT_POINT("vacuum-root-write");
	HnswAcquire(g, HNSW_META_BLOCK, BUFFER_LOCK_EXCLUSIVE, &pin);
	changed = *HnswPageGetMeta(pin.page);
	same = HnswTidEqual(&changed.root, &meta.root);
	write = same && dead;
	if (write && have_heir)
		ItemPointerSet(&changed.root, heir.blk, heir.slot);
	else if (write)
	{
		/* no live node is left */
		ItemPointerSetInvalid(&changed.root);
		ItemPointerSetInvalid(&changed.entry);
		changed.entry_level = 0;
	}
	if (same && HnswTidIsSet(&changed.root))
		write = better_entry(rc, best, best_level, &changed) || write;
	if (write)
	{
		HnswWrite  *w = &g->scratch->write;

		HnswWriteBegin(g, w);
		HnswWriteAdd(w, &pin, false);
		HnswMetaWrite(w, 0, &changed);
		HnswWriteEnd(w);
	}
	HnswRelease(g, &pin);
	return same;
}

/*
 * Phase 3: root and entry point move off DEAD nodes.  An insert that finds no
 * tree parent makes its node the root, above the one there was: above a DEAD one
 * as long as that is the root.  So this looks again until the root is live, and
 * the caller repairs pages that have been added meanwhile once more: such a node
 * is always on a new page.  best: a live record of the highest level above 0 there is,
 * best_level; 0 for none.
 */
void
HnswMoveRoot(const HnswRepairContext *rc, const HnswCandidate *best, int best_level)
{
	bool		done = false;

	while (!done)
	{
		MemoryContext old = MemoryContextSwitchTo(rc->tmp);

		CHECK_FOR_INTERRUPTS();
		done = try_move_root(rc, best, best_level);
		MemoryContextSwitchTo(old);
		MemoryContextReset(rc->tmp);
	}
}
