/*
 * place.c
 *		Where a new record goes: free slots, fresh pages, side pages.
 *
 * Node pages with a free slot are found through the free space map, upper ones
 * through a chain that begins in the metapage.  A page just added is held from
 * before anyone can see it; README, "Locks".
 */
#include "postgres.h"

#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/page/access.h"
#include "hnsw/page/index.h"
#include "hnsw/page/meta.h"
#include "hnsw/page/place.h"
#include "hnsw/page/record.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/freespace.h"
#include "storage/indexfsm.h"

/* Pages without a free slot that an insert looks at before it adds one. */
#define MAX_FULL_PAGES	32

/* First free slot of a page in hand that is meant for this level; -1: none. */
static int
free_slot(HnswIndex *g, HnswPin *pin, int level)
{
	HnswPageHeader *header = HnswPageGetHeader(pin->page);

	if (header->kind != (level == 0 ? HNSW_PAGE_NODE : HNSW_PAGE_UPPER))
		return -1;
	for (int i = 0; i < header->nslots && i < g->lay->per_page; i++)
		if (((HnswRecord *) ((char *) pin->page + HnswSlotOffset(g->lay, i)))->state == HNSW_FREE)
			return i;
	return header->nslots < g->lay->per_page ? header->nslots : -1;
}

/*
 * Add a node page and its side pages at the end, held exclusively.  They stay
 * zeroed until HnswPreparePlace: an error before leaves pages in no use.
 */
void
HnswFreshPage(HnswIndex *g, HnswPlace *place)
{
	HnswExtend(g, 1 + g->lay->side_pages, place->pins);
	place->slot = 0;
	place->fresh = true;
}

/*
 * Make a fresh page one of kind FREE, logged as an image.  Redo changes only
 * pages that it has an image of, and one of an empty page is much shorter than
 * one of what comes onto it, of which only the parts in use are logged then.
 * A crash or error in between leaves a page that VACUUM finds.
 */
static void
blank_page(HnswIndex *g, HnswPin *pin)
{
	HnswWrite  *w = &g->scratch->write;

	HnswWriteBegin(g, w);
	HnswWriteAdd(w, pin, true);
	HnswInitPage(pin, HNSW_PAGE_FREE);
	HnswWriteEnd(w);
}

/* Set kind and slots of a page, and up to where it is in use. */
void
HnswWriteKind(HnswWrite *w, int page, uint16 kind, uint16 nslots, LocationIndex lower)
{
	Size		at = MAXALIGN(SizeOfPageHeaderData);

	HnswWriteBytes(w, page, offsetof(PageHeaderData, pd_lower), &lower, sizeof(lower));
	HnswWriteBytes(w, page, at + offsetof(HnswPageHeader, kind), &kind, sizeof(kind));
	HnswWriteBytes(w, page, at + offsetof(HnswPageHeader, nslots), &nslots, sizeof(nslots));
}

/*
 * A page that may have a free slot for this level.  InvalidBlockNumber when
 * there is none: then *place is fresh (held exclusively) if the free space map had a page
 * that is in no use, and else the index has to grow.
 * Looks at pages one at a time, under share locks: the caller holds none.
 */
static BlockNumber
target_page(HnswIndex *g, int level, HnswPlace *place)
{
	if (level > 0)
		return g->upper_target;
	while (g->target == InvalidBlockNumber && !g->nolog)
	{
		BlockNumber blk = GetPageWithFreeSpace(g->rel, BLCKSZ / 3);
		HnswPin		pin;

		if (blk == InvalidBlockNumber)
			break;
		CHECK_FOR_INTERRUPTS();
		if (HnswClaimFreePage(g, blk, &pin))
		{
			if (g->lay->side_pages == 0)
			{
				place->pins[0] = pin;
				place->slot = 0;
				place->fresh = true;
				break;
			}
			HnswRelease(g, &pin);	/* no room for side pages behind it */
		}
		else if (HnswBlockExists(g, blk))
		{
			/* in use, or somebody has it locked who may just look at it */
			pin.buf = ReadBuffer(g->rel, blk);
			LockBuffer(pin.buf, BUFFER_LOCK_SHARE);
			pin.page = BufferGetPage(pin.buf);
			if (PageIsNew(pin.page) || HnswPageGetHeader(pin.page)->kind != HNSW_PAGE_NODE)
				RecordPageWithFreeSpace(g->rel, blk, 0);
			else
				g->target = blk;
			HnswRelease(g, &pin);
		}
	}
	return g->target;
}

/*
 * The target has no slot: forget it, so that the next call finds another.
 * next: for upper pages, what follows it in their chain; locks the metapage exclusively.
 */
static void
forget_target(HnswIndex *g, int level, BlockNumber next)
{
	HnswMetaPage meta;
	HnswPin		pin;
	HnswWrite  *w = &g->scratch->write;

	if (level == 0)
	{
		if (!g->nolog)
			RecordPageWithFreeSpace(g->rel, g->target, 0);
		g->target = InvalidBlockNumber;
		return;
	}
	HnswAcquire(g, HNSW_META_BLOCK, BUFFER_LOCK_EXCLUSIVE, &pin);
	if (HnswPageGetMeta(pin.page)->upper_target == g->upper_target)
	{
		HnswWriteBegin(g, w);
		HnswWriteAdd(w, &pin, false);
		meta = *HnswPageGetMeta(pin.page);
		meta.upper_target = next;
		HnswMetaWrite(w, 0, &meta);
		HnswWriteEnd(w);
		g->upper_target = next;
	}
	else
		g->upper_target = HnswPageGetMeta(pin.page)->upper_target;
	HnswRelease(g, &pin);
}

/*
 * Before a record is written to a place, whose page is held: write the own vector to its
 * side pages, if any; the slot is free, so no reader looks there.  Of a fresh place,
 * all side pages become such, and the node page a blank one.  own: own_bytes.  A WAL
 * record each.
 */
void
HnswPreparePlace(HnswIndex *g, HnswPlace *place, const char *own)
{
	const HnswLayout *lay = g->lay;
	HnswWrite  *w = &g->scratch->write;
	Size		from = (Size) place->slot * lay->own_bytes;
	Size		to = from + lay->own_bytes;

	for (int i = 1; i <= lay->side_pages; i++)
	{
		/* what of the own vector is on this page */
		Size		start = Max(from, (Size) (i - 1) * HNSW_PAGE_ROOM);
		Size		end = Min(to, (Size) i * HNSW_PAGE_ROOM);
		HnswPin		pin = place->pins[i];

		if (start >= end && !place->fresh)
			continue;
		if (!place->fresh)
			HnswAcquireSide(g, place->pins[0].blk + i, BUFFER_LOCK_EXCLUSIVE, &pin);
		else
			blank_page(g, &pin);
		HnswWriteBegin(g, w);
		HnswWriteAdd(w, &pin, false);
		if (place->fresh)
			HnswWriteKind(w, 0, HNSW_PAGE_SIDE, i, BLCKSZ);
		if (start < end)
			HnswWriteBytes(w, 0, HNSW_PAGE_DATA + start - (Size) (i - 1) * HNSW_PAGE_ROOM,
						   own + (start - from), end - start);
		HnswWriteEnd(w);
		if (!place->fresh)
			HnswRelease(g, &pin);
	}
	if (place->fresh)
		blank_page(g, &place->pins[0]);
}

/*
 * Add scratch->record at a place to the change; its page is number "page", a
 * fresh one is blank.
 */
void
HnswWriteRecord(HnswIndex *g, HnswWrite *w, int page, HnswPlace *place)
{
	const HnswLayout *lay = g->lay;
	HnswPageHeader *header = HnswPageGetHeader(place->pins[0].page);
	HnswRecord *rec = (HnswRecord *) g->scratch->record;
	Size		recoff = HnswSlotOffset(lay, place->slot);

	HnswSetKilled(lay, place->pins[0].page, place->slot, false);
	if (place->slot < header->nslots)
	{
		const HnswRecord *old = (const HnswRecord *) ((char *) place->pins[0].page + recoff);

		rec->generation = old->generation + 1;
	}
	else
	{
		rec->generation = 0;
		HnswWriteKind(w, page, rec->level == 0 ? HNSW_PAGE_NODE : HNSW_PAGE_UPPER,
					  place->slot + 1, recoff + lay->rec_size);
	}
	HnswRecordWrite(g, w, page, recoff, g->scratch->record);
}

/* Let go of all pages of a fresh place; unused ones are noted as free. */
void
HnswReleaseFresh(HnswIndex *g, HnswPlace *place, bool used)
{
	for (int i = 0; i <= g->lay->side_pages; i++)
	{
		HnswRelease(g, &place->pins[i]);
		if (!used && !g->nolog)
			RecordPageWithFreeSpace(g->rel, place->pins[i].blk, HNSW_FSM_PAGE(g->lay));
	}
}

/*
 * After a fresh page was used: let others find what is left of it.  No lock is held; an
 * upper page, and the metapage before it, are locked exclusively and go into one change.
 */
void
HnswAnnouncePage(HnswIndex *g, int level, BlockNumber blk)
{
	if (g->lay->per_page == 1)
		return;
	if (level > 0)
	{
		HnswMetaPage meta;
		HnswPin		pmeta;
		HnswPin		pin;
		HnswWrite  *w = &g->scratch->write;
		BlockNumber next;

		HnswAcquire(g, HNSW_META_BLOCK, BUFFER_LOCK_EXCLUSIVE, &pmeta);
		meta = *HnswPageGetMeta(pmeta.page);
		next = meta.upper_target;
		meta.upper_target = blk;
		HnswAcquire(g, blk, BUFFER_LOCK_EXCLUSIVE, &pin);
		HnswWriteBegin(g, w);
		HnswWriteAdd(w, &pmeta, false);
		HnswWriteAdd(w, &pin, false);
		HnswMetaWrite(w, 0, &meta);
		HnswWriteBytes(w, 1, MAXALIGN(SizeOfPageHeaderData) + offsetof(HnswPageHeader, next),
					   &next, sizeof(next));
		HnswWriteEnd(w);
		HnswRelease(g, &pin);
		HnswRelease(g, &pmeta);
		g->upper_target = blk;
		return;
	}
	g->target = blk;
	if (!g->nolog)
	{
		RecordPageWithFreeSpace(g->rel, blk, HNSW_FSM_SLOT);
		FreeSpaceMapVacuumRange(g->rel, blk, blk + 1);
	}
}

/* Begin to look for a place. */
void
HnswPlaceBegin(HnswPlace *place)
{
	place->fresh = false;
	place->nfull = 0;
}

/*
 * Take a place for a record in hand, and the page "other", which is written in the same
 * change: both exclusively, lower block first.  *place: of HnswPlaceBegin, or as the call
 * before left it.  False: the page that was thought of has no free slot, and nothing is in
 * hand; the caller asks again, not for ever.
 */
bool
HnswTakePlace(HnswIndex *g, int level, BlockNumber other, HnswPlace *place)
{
	BlockNumber target;
	BlockNumber next;
	int			slot;

	place->with = &place->other;
	if (!place->fresh)
	{
		CHECK_FOR_INTERRUPTS();
		target = target_page(g, level, place);
		if (!place->fresh && (target == InvalidBlockNumber || place->nfull > MAX_FULL_PAGES))
			HnswFreshPage(g, place);
	}
	if (place->fresh)
	{
		/* nobody waits for the fresh page holding a lock: it comes first */
		HnswAcquire(g, other, BUFFER_LOCK_EXCLUSIVE, &place->other);
		return true;
	}
	if (other < target)
		HnswAcquire(g, other, BUFFER_LOCK_EXCLUSIVE, &place->other);
	HnswAcquire(g, target, BUFFER_LOCK_EXCLUSIVE, &place->pins[0]);
	if (other == target)
		place->with = &place->pins[0];
	else if (other > target)
		HnswAcquire(g, other, BUFFER_LOCK_EXCLUSIVE, &place->other);
	slot = free_slot(g, &place->pins[0], level);
	if (slot >= 0)
	{
		place->slot = slot;
		return true;
	}
	next = HnswPageGetHeader(place->pins[0].page)->next;
	HnswLeavePlace(g, place);
	forget_target(g, level, next);
	place->nfull++;
	return false;
}

/* Let go of what HnswTakePlace took in hand, but for a fresh place. */
void
HnswLeavePlace(HnswIndex *g, HnswPlace *place)
{
	if (place->with == &place->other)
		HnswRelease(g, &place->other);
	if (!place->fresh)
		HnswRelease(g, &place->pins[0]);
}

/* The end of it: let go of a fresh place, which was used or not, and tell others of it. */
void
HnswPlaceEnd(HnswIndex *g, int level, HnswPlace *place, bool used)
{
	if (!place->fresh)
		return;
	HnswReleaseFresh(g, place, used);
	if (used)
		HnswAnnouncePage(g, level, place->pins[0].blk);
}
