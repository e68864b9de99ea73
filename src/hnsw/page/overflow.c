/*
 * overflow.c
 *		Heap TIDs of a node: in its record, and in a chain of overflow pages.
 *
 * Inserts put pages in front of a chain, VACUUM takes those out that have become
 * empty.  Whoever reads a chain locks each page before it lets go of the one that
 * leads to it, as VACUUM and the redo of its changes do.
 */
#include "postgres.h"

#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/page/access.h"
#include "hnsw/page/index.h"
#include "hnsw/page/overflow.h"
#include "hnsw/page/place.h"
#include "hnsw/page/record.h"
#include "storage/bufmgr.h"
#include "storage/freespace.h"

/*
 * Pin and lock an overflow page of a record, by a caller who has locked the page
 * that leads to it: the record's own, or the overflow page before it.  Neither
 * kind nor owner changes while it is in the record's chain, so they are looked at
 * before its lock is waited for, which for any other page somebody might hold who
 * waits for ours.  Errors: index_corrupted.
 */
void
HnswAcquireOverflow(HnswIndex *g, BlockNumber over, BlockNumber blk, uint16 slot, int mode,
					HnswPin *pin)
{
	ItemPointerData owner;

	if (over >= g->nblocks)
		HnswKnowBlocks(g, over);
	ItemPointerSet(&owner, blk, slot);
	pin->blk = over;
	pin->buf = ReadBuffer(g->rel, over);
	pin->page = BufferGetPage(pin->buf);
	if (PageIsNew(pin->page) || HnswPageGetHeader(pin->page)->magic != HNSW_MAGIC ||
		HnswPageGetHeader(pin->page)->kind != HNSW_PAGE_OVERFLOW ||
		!HnswTidEqual(&HnswPageGetOverflow(pin->page)->owner, &owner))
		HnswCorrupted(g, over, 0, "not an overflow page of the node that leads there");
	HnswCheckNotHeld(g, over, pin->buf);
	LockBuffer(pin->buf, mode);
	if (HnswPageGetOverflow(pin->page)->ntids > HNSW_OVERFLOW_TIDS)
		HnswCorrupted(g, over, 0, "too many TIDs on an overflow page");
}

/* A page for overflow TIDs, held exclusively, contents to be initialised. */
static void
get_page(HnswIndex *g, HnswPin *pin)
{
	if (!g->nolog)
	{
		BlockNumber blk = GetPageWithFreeSpace(g->rel, HNSW_FSM_PAGE(g->lay) - 64);

		if (blk != InvalidBlockNumber && HnswClaimFreePage(g, blk, pin))
			return;
	}
	HnswExtend(g, 1, pin);
}

/* Behind the TIDs of a record that has room. */
static void
add_inline(HnswIndex *g, HnswPin *pin, uint16 slot, const HnswRecord *rec, ItemPointer tid)
{
	HnswWrite  *w = &g->scratch->write;
	Size		recoff = HnswSlotOffset(g->lay, slot);
	uint8		ntids = rec->ntids + 1;

	HnswWriteBegin(g, w);
	HnswWriteAdd(w, pin, false);
	HnswWriteBytes(w, 0, recoff + g->lay->off_tids + rec->ntids * sizeof(ItemPointerData),
				   tid, sizeof(ItemPointerData));
	HnswWriteBytes(w, 0, recoff + offsetof(HnswRecord, ntids), &ntids, sizeof(ntids));
	HnswWriteEnd(w);
}

/* Behind the TIDs of the first overflow page; false when it is full. */
static bool
add_to_first(HnswIndex *g, HnswPin *pin, uint16 slot, const HnswRecord *rec, ItemPointer tid)
{
	HnswWrite  *w = &g->scratch->write;
	HnswPin		over;
	uint16		n;

	HnswAcquireOverflow(g, rec->overflow, pin->blk, slot, BUFFER_LOCK_EXCLUSIVE, &over);
	n = HnswPageGetOverflow(over.page)->ntids + 1;
	if (n <= HNSW_OVERFLOW_TIDS)
	{
		Size		at = HNSW_PAGE_DATA + sizeof(HnswOverflow) + (n - 1) * sizeof(ItemPointerData);
		LocationIndex lower = at + sizeof(ItemPointerData);

		HnswWriteBegin(g, w);
		HnswWriteAdd(w, &over, false);
		HnswWriteBytes(w, 0, offsetof(PageHeaderData, pd_lower), &lower, sizeof(lower));
		HnswWriteBytes(w, 0, HNSW_PAGE_DATA + offsetof(HnswOverflow, ntids), &n, sizeof(n));
		HnswWriteBytes(w, 0, at, tid, sizeof(ItemPointerData));
		HnswWriteEnd(w);
	}
	HnswRelease(g, &over);
	return n <= HNSW_OVERFLOW_TIDS;
}

/* Into a new overflow page in front of the others. */
static void
add_page(HnswIndex *g, HnswPin *pin, uint16 slot, const HnswRecord *rec, ItemPointer tid)
{
	HnswWrite  *w = &g->scratch->write;
	HnswPin		over;
	HnswOverflow head;

	get_page(g, &over);
	memset(&head, 0, sizeof(head));
	ItemPointerSet(&head.owner, pin->blk, slot);
	head.ntids = 1;
	head.next = rec->overflow;
	HnswWriteBegin(g, w);
	HnswWriteAdd(w, pin, false);
	HnswWriteAdd(w, &over, true);
	HnswWriteBytes(w, 0, HnswSlotOffset(g->lay, slot) + offsetof(HnswRecord, overflow),
				   &over.blk, sizeof(over.blk));
	/* the page may be one that is in the file: no error can come from here on */
	HnswInitPage(&over, HNSW_PAGE_OVERFLOW);
	HnswWriteBytes(w, 1, HNSW_PAGE_DATA, &head, sizeof(head));
	HnswWriteBytes(w, 1, HNSW_PAGE_DATA + sizeof(head), tid, sizeof(ItemPointerData));
	((PageHeader) over.page)->pd_lower = HNSW_PAGE_DATA + sizeof(head) + sizeof(ItemPointerData);
	HnswWriteEnd(w);
	HnswRelease(g, &over);
}

/*
 * Add a heap TID to a live node, whose page is held exclusively, in one change: to the
 * record, else to the first overflow page, else to a new one.
 */
void
HnswAddTid(HnswIndex *g, HnswPin *pin, uint16 slot, ItemPointer tid)
{
	const HnswRecord *rec = (const HnswRecord *) HnswNodeAt(g, pin, slot);

	if (rec->ntids < g->lay->max_tids)
		add_inline(g, pin, slot, rec, tid);
	else if (rec->overflow == InvalidBlockNumber ||
			 !add_to_first(g, pin, slot, rec, tid))
		add_page(g, pin, slot, rec, tid);
}

/*
 * Hand the TIDs of a node's overflow pages, from page "next" on, to a function that
 * locks nothing.  The node's page is held, and let go of; so is what comes after it.
 */
void
HnswReadOverflow(HnswIndex *g, HnswPin *pin, uint16 slot, BlockNumber next,
				 HnswTidsFunction take, void *arg)
{
	const BlockNumber blk = pin->blk;
	HnswPin		before = *pin;
	BlockNumber count = 0;

	while (next != InvalidBlockNumber)
	{
		const HnswOverflow *o;
		HnswPin		over;

		HnswAcquireOverflow(g, next, blk, slot, BUFFER_LOCK_SHARE, &over);
		HnswRelease(g, &before);
		before = over;
		if (++count > g->nblocks)
			HnswCorrupted(g, next, 0, "overflow pages form a loop");
		o = HnswPageGetOverflow(over.page);
		take(arg, HnswOverflowTids(o), o->ntids);
		next = o->next;
	}
	HnswRelease(g, &before);
}
