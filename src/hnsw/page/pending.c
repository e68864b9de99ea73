/*
 * pending.c
 *		Pending pages: bundles of links to nodes that have no links themselves yet.
 *
 * The pages stand in the metapage, and stay such pages.  A bundle has the form of a record
 * without TIDs and own vector, whose links lead from the origin.  README, "Pending nodes".
 */
#include "postgres.h"

#include "hnsw/base/waitpoint.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/page/access.h"
#include "hnsw/page/index.h"
#include "hnsw/page/meta.h"
#include "hnsw/page/pending.h"
#include "hnsw/page/place.h"
#include "hnsw/page/record.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"

/* Writers take turns at so many pages, so that they need not wait for each other. */
#define TAILS	4

/*
 * A bundle of a pending page in hand.  Errors (index_corrupted) unless the page is one that
 * has it and its count is in bounds.
 */
char *
HnswBundleAt(HnswIndex *g, HnswPin *pin, uint16 slot)
{
	const HnswPageHeader *header = HnswPageGetHeader(pin->page);
	char	   *bundle;

	if (unlikely(header->kind != HNSW_PAGE_PENDING))
		HnswCorrupted(g, pin->blk, slot, "not a pending page");
	if (unlikely(header->nslots > g->lay->per_page || slot >= header->nslots))
		HnswCorrupted(g, pin->blk, slot, "the pending page has no such bundle");
	bundle = (char *) pin->page + HnswSlotOffset(g->lay, slot);
	if (unlikely(((const HnswRecord *) bundle)->nlinks > g->lay->fanout))
		HnswCorrupted(g, pin->blk, slot, "the bundle's count is out of bounds");
	return bundle;
}

/* Links of a pending page in hand. */
static int
count_links(HnswIndex *g, HnswPin *pin)
{
	int			n = 0;

	for (int slot = 0; slot < HnswPageGetHeader(pin->page)->nslots; slot++)
		n += ((const HnswRecord *) HnswBundleAt(g, pin, slot))->nlinks;
	return n;
}

/* ---- append ---- */

/* Of pages that are open: so many may be used, each for so many links. */
typedef struct Room
{
	int			pages;
	int			links;
} Room;

static Room
room_for(const HnswLayout *lay, int limit)
{
	int			per_page = HnswPendingPerPage(lay);
	Room		room;

	room.pages = Min((limit + per_page - 1) / per_page, HNSW_MAX_PENDING_PAGES);
	room.links = Min((limit + room.pages - 1) / room.pages, per_page);
	return room;
}

/* Does a page in hand take one more link? */
static bool
has_room(HnswIndex *g, HnswPin *pin, Room room)
{
	if (HnswPageGetHeader(pin->page)->kind != HNSW_PAGE_PENDING)
		HnswCorrupted(g, pin->blk, 0, "not a pending page");
	return !HnswPageGetHeader(pin->page)->closed && count_links(g, pin) < room.links;
}

/*
 * Add a pending page to the metapage, unless that has changed since "seen".  Locks the
 * metapage exclusively, and the new page within.
 */
static void
add_page(HnswIndex *g, const HnswMetaPage *seen)
{
	HnswPin		pmeta;
	HnswPin		pin;
	HnswMetaPage changed;
	HnswWrite  *w = &g->scratch->write;

	HNSW_WAIT_POINT("pending-page");
	HnswAcquire(g, HNSW_META_BLOCK, BUFFER_LOCK_EXCLUSIVE, &pmeta);
	changed = *HnswPageGetMeta(pmeta.page);
	if (changed.npending == seen->npending)
	{
		HnswExtend(g, 1, &pin);
		changed.pending[changed.npending++] = pin.blk;
		HnswWriteBegin(g, w);
		HnswWriteAdd(w, &pmeta, false);
		HnswWriteAdd(w, &pin, true);
		HnswInitPage(&pin, HNSW_PAGE_PENDING);
		HnswMetaWrite(w, 0, &changed);
		HnswWriteEnd(w);
		HnswRelease(g, &pin);
		g->pending_tail = pin.blk;
	}
	HnswRelease(g, &pmeta);
}

/*
 * Find a page for links, the handle's pending_tail; one is added when there may be more.  Processes
 * look at different pages first.  False: all that may be are full.  Locks one page
 * at a time, or the metapage and a new page.
 */
static bool
choose_tail(HnswIndex *g, const HnswMetaPage *seen, int limit)
{
	HnswMetaPage meta = *seen;
	const Room	room = room_for(g->lay, limit);

	for (;;)
	{
		BlockNumber any = InvalidBlockNumber;
		int			nopen = 0;

		for (int i = 0; i < meta.npending && nopen < room.pages; i++)
		{
			HnswPin		pin;
			bool		open;
			bool		takes;

			HnswAcquirePending(g, meta.pending[i], BUFFER_LOCK_SHARE, &pin);
			open = !HnswPageGetHeader(pin.page)->closed;
			takes = has_room(g, &pin, room);
			HnswRelease(g, &pin);
			nopen += open;
			if (takes && (any == InvalidBlockNumber || i % TAILS == MyProcPid % TAILS))
				any = meta.pending[i];
			if (takes && i % TAILS == MyProcPid % TAILS)
			{
				g->pending_tail = any;
				return true;
			}
		}
		if (nopen >= room.pages || meta.npending >= Min(2 * room.pages, HNSW_MAX_PENDING_PAGES))
		{
			g->pending_tail = any;
			return any != InvalidBlockNumber;
		}
		add_page(g, &meta);
		if (g->pending_tail != InvalidBlockNumber)
			return true;
		HnswReadMeta(g, &meta);
	}
}

/* Add a link to a change, behind those of its pending page, which is number "page". */
static void
write_link(HnswIndex *g, HnswWrite *w, int page, HnswPin *pin, const HnswLink *link)
{
	const HnswLayout *lay = g->lay;
	int			nslots = HnswPageGetHeader(pin->page)->nslots;
	int			slot = nslots - 1;
	uint8		nlinks = 0;
	Size		recoff;

	if (slot >= 0)
		nlinks = ((const HnswRecord *) HnswBundleAt(g, pin, slot))->nlinks;
	if (slot < 0 || nlinks == lay->fanout)
	{
		HnswRecord	head;

		slot++;
		nlinks = 0;
		recoff = HnswSlotOffset(lay, slot);
		memset(&head, 0, sizeof(head));
		head.nlinks = 1;
		HnswWriteKind(w, page, HNSW_PAGE_PENDING, slot + 1, recoff + lay->rec_size);
		HnswWriteBytes(w, page, recoff, &head, sizeof(head));
	}
	else
	{
		uint8		n = nlinks + 1;

		recoff = HnswSlotOffset(lay, slot);
		HnswWriteBytes(w, page, recoff + offsetof(HnswRecord, nlinks), &n, 1);
	}
	HnswLinkWrite(g, w, page, recoff, nlinks, link);
}

/* With a place and its pending page in hand: the change.  False when the page takes no more. */
static bool
write_node(HnswIndex *g, HnswPlace *place, Room room, const char *own, HnswLink *link)
{
	HnswWrite  *w = &g->scratch->write;

	if (!has_room(g, place->with, room))
		return false;
	link->blk = place->pins[0].blk;
	link->slotflags = place->slot;
	HnswPreparePlace(g, place, own);
	HnswWriteBegin(g, w);
	HnswWriteAdd(w, &place->pins[0], false);
	HnswWriteAdd(w, place->with, false);
	HnswWriteRecord(g, w, 0, place);
	write_link(g, w, 1, place->with, link);
	HnswWriteEnd(w);
	return true;
}

/* Is it a pending page still?  VACUUM may have given it back. */
static bool
is_listed(const HnswMetaPage *meta, BlockNumber blk)
{
	for (int i = 0; i < meta->npending; i++)
		if (meta->pending[i] == blk)
			return true;
	return false;
}

/*
 * Make a node of scratch->record, which has no links (own: its vector), and list it: "link"
 * is one from the origin, whose target is filled in.  One change.  False, and nothing done,
 * when about "limit" nodes are listed on pages that are open, or there is no room for more
 * pages.
 */
bool
HnswPendingAppend(HnswIndex *g, const HnswMetaPage *seen, int limit, const char *own,
				  HnswLink *link)
{
	const Room	room = room_for(g->lay, limit);
	HnswPlace	place;
	bool		done = false;

	HNSW_WAIT_POINT("pending-append");
	if (!is_listed(seen, g->pending_tail))
		g->pending_tail = InvalidBlockNumber;
	HnswPlaceBegin(&place);
	while (!done)
	{
		if (g->pending_tail == InvalidBlockNumber && !choose_tail(g, seen, limit))
			return false;
		if (!HnswTakePlace(g, 0, g->pending_tail, &place))
			continue;
		done = write_node(g, &place, room, own, link);
		HnswLeavePlace(g, &place);
		HnswPlaceEnd(g, 0, &place, done);
		if (!done)
		{
			g->pending_tail = InvalidBlockNumber;
			HnswPlaceBegin(&place);
		}
	}
	return true;
}

/* ---- looking ---- */

/*
 * Nodes that are listed by links with the same edge and factors, at most "max"; returns
 * how many.  They may have been freed.
 */
int
HnswPendingAlike(HnswIndex *g, const HnswMetaPage *meta, const HnswLink *link, HnswSlot *nodes,
				 int max)
{
	int			n = 0;

	for (int i = 0; i < meta->npending && n < max; i++)
	{
		HnswPin		pin;

		HnswAcquirePending(g, meta->pending[i], BUFFER_LOCK_SHARE, &pin);
		for (int slot = 0; slot < HnswPageGetHeader(pin.page)->nslots; slot++)
		{
			const char *bundle = HnswBundleAt(g, &pin, slot);
			int			pos = -1;

			while (n < max && (pos = HnswLinkFind(g->lay, bundle, pos + 1, link)) >= 0)
			{
				const ItemPointerData *tid = &HnswNodeLinks(g->lay, bundle)[pos];

				nodes[n].blk = HnswLinkBlock(tid);
				nodes[n++].slot = HnswLinkSlot(tid);
			}
		}
		HnswRelease(g, &pin);
	}
	return n;
}

/* How many links to pending nodes there are, freed ones included. */
int64
HnswPendingCount(HnswIndex *g)
{
	HnswMetaPage meta;
	int64		n = 0;

	HnswReadMeta(g, &meta);
	for (int i = 0; i < meta.npending; i++)
	{
		HnswPin		pin;

		HnswAcquirePending(g, meta.pending[i], BUFFER_LOCK_SHARE, &pin);
		n += count_links(g, &pin);
		HnswRelease(g, &pin);
	}
	return n;
}

/* ---- merges ---- */

/* Close a page in hand exclusively, if it is not, and note it and what it lists. */
static void
close_page(HnswIndex *g, HnswPin *pin, HnswPendingSlice *slice)
{
	HnswWrite  *w = &g->scratch->write;
	const uint32 closed = 1;

	slice->pages[slice->npages++] = pin->blk;
	for (int slot = 0; slot < HnswPageGetHeader(pin->page)->nslots; slot++)
	{
		const char *bundle = HnswBundleAt(g, pin, slot);

		for (int i = 0; i < ((const HnswRecord *) bundle)->nlinks; i++)
		{
			const ItemPointerData *tid = &HnswNodeLinks(g->lay, bundle)[i];

			slice->nodes[slice->n].blk = HnswLinkBlock(tid);
			slice->nodes[slice->n++].slot = HnswLinkSlot(tid);
		}
	}
	slice->ends[slice->npages - 1] = slice->n;
	if (HnswPageGetHeader(pin->page)->closed)
		return;
	HnswWriteBegin(g, w);
	HnswWriteAdd(w, pin, false);
	HnswWriteBytes(w, 0, MAXALIGN(SizeOfPageHeaderData) + offsetof(HnswPageHeader, closed),
				   &closed, sizeof(closed));
	HnswWriteEnd(w);
}

/*
 * A merge begins: all pages with links are closed, a WAL record each, also those of a merge
 * that was cut off.  *slice, in cxt, receives them and what they list: node slots that exist,
 * but may be free, of another node or damaged, and stand there twice.  The caller is the only
 * merge of the index and holds no page lock.
 */
void
HnswPendingClose(HnswIndex *g, MemoryContext cxt, HnswPendingSlice *slice)
{
	HnswMetaPage meta;
	Size		most;

	HnswReadMeta(g, &meta);
	most = (Size) meta.npending * HnswPendingPerPage(g->lay);
	slice->npages = 0;
	slice->n = 0;
	slice->pages = MemoryContextAlloc(cxt, Max(meta.npending, 1) * sizeof(BlockNumber));
	slice->ends = MemoryContextAlloc(cxt, Max(meta.npending, 1) * sizeof(int64));
	slice->nodes = MemoryContextAllocHuge(cxt, Max(most, 1) * sizeof(HnswSlot));
	for (int i = 0; i < meta.npending; i++)
	{
		HnswPin		pin;

		CHECK_FOR_INTERRUPTS();
		HNSW_WAIT_POINT("pending-close");
		HnswAcquirePending(g, meta.pending[i], BUFFER_LOCK_EXCLUSIVE, &pin);
		if (HnswPageGetHeader(pin.page)->nslots > 0 || HnswPageGetHeader(pin.page)->closed)
			close_page(g, &pin, slice);
		HnswRelease(g, &pin);
	}
	for (int64 i = 0; i < slice->n; i++)
		if (!HnswBlockExists(g, slice->nodes[i].blk) || slice->nodes[i].slot >= g->lay->per_page)
			HnswCorrupted(g, slice->nodes[i].blk, slice->nodes[i].slot, "a pending page lists no node");
}

/*
 * Empty a page in hand exclusively, and open it: an image, which is short, of a page of zeros.  (By a
 * change of its bounds redo would make zeros of what is here to stay, where the next bundles come.)
 * Its kind is not to be written anew: others look at that without a lock.
 */
static void
empty_page(HnswIndex *g, HnswPin *pin)
{
	HnswWrite  *w = &g->scratch->write;
	HnswPageHeader *header = HnswPageGetHeader(pin->page);

	HnswWriteBegin(g, w);
	HnswWriteAdd(w, pin, true);
	header->nslots = 0;
	header->closed = 0;
	((PageHeader) pin->page)->pd_lower = HNSW_PAGE_DATA;
	memset(HnswPageGetData(pin->page), 0, HNSW_PAGE_ROOM);
	HnswWriteEnd(w);
}

/*
 * A merge, or a part of it that is not the last, ends, which has linked "merged" nodes: what the
 * slice's pages list can be reached without them.  First the metapage tells, then the pages are emptied
 * and opened, a change each.  No page lock is held.
 */
void
HnswPendingClear(HnswIndex *g, const HnswPendingSlice *slice, int64 merged, bool last)
{
	HnswPin		pin;
	HnswMetaPage changed;
	HnswWrite  *w = &g->scratch->write;

	if (slice->npages == 0)
		return;
	HnswAcquire(g, HNSW_META_BLOCK, BUFFER_LOCK_EXCLUSIVE, &pin);
	changed = *HnswPageGetMeta(pin.page);
	changed.pending_epoch++;
	changed.merges += last;
	changed.merged += merged;
	HnswWriteBegin(g, w);
	HnswWriteAdd(w, &pin, false);
	HnswMetaWrite(w, 0, &changed);
	HnswWriteEnd(w);
	HnswRelease(g, &pin);
	for (int i = 0; i < slice->npages; i++)
	{
		CHECK_FOR_INTERRUPTS();
		HNSW_WAIT_POINT("pending-clear");
		HnswAcquirePending(g, slice->pages[i], BUFFER_LOCK_EXCLUSIVE, &pin);
		empty_page(g, &pin);
		HnswRelease(g, &pin);
	}
}
