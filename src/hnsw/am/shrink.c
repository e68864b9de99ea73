/*
 * shrink.c
 *		VACUUM gives pages at the end of an index that are in no use back to the file system.
 *
 * As the server does for tables, but not while a standby is connected: under an AccessExclusiveLock, which is not
 * waited for and given up when somebody waits.  So no scan or insert is under way that might come to a page of before; and
 * that nothing in the index leads to one is looked at, page by page, before the file is cut off.
 * Handles of other sessions are invalidated, at the end of the transaction; until then they only think that
 * there are more pages; HnswOpen and HnswPendingAppend see to those that an insert would try.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/storage.h"
#include "compat.h"
#include "hnsw/am/cached.h"
#include "hnsw/am/shrink.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/page/access.h"
#include "hnsw/page/index.h"
#include "hnsw/page/meta.h"
#include "hnsw/page/pending.h"
#include "hnsw/page/record.h"
#include "miscadmin.h"
#include "replication/walsender.h"
#include "replication/walsender_private.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/inval.h"

/* Fewer pages at the end are not worth an exclusive lock: of all, and in any case. */
#define MIN_SHARE		16
#define MIN_PAGES		8
/* So often, in pages, somebody is looked for who waits for the lock. */
#define WAITERS_EVERY	32

/* Is there no record, and no link to one, on a page in hand, which is not new? */
static bool
is_unused(HnswIndex *g, HnswPin *pin)
{
	const HnswPageHeader *header = HnswPageGetHeader(pin->page);
	const bool	pending = header->kind == HNSW_PAGE_PENDING;

	if (header->kind == HNSW_PAGE_FREE)
		return true;
	if (!pending && header->kind != HNSW_PAGE_NODE && header->kind != HNSW_PAGE_UPPER)
		return false;
	for (int slot = 0; slot < header->nslots; slot++)
		if (pending ? ((const HnswRecord *) HnswBundleAt(g, pin, slot))->nlinks > 0 :
			((const HnswRecord *) HnswNodeAt(g, pin, slot))->state != HNSW_FREE)
			return false;
	return true;
}

/*
 * How many pages stay when those at the end that are in no use go: a page of nodes goes with the
 * side pages behind it.  One page at a time is locked, in share mode.
 */
static BlockNumber
count_used(HnswIndex *g, BufferAccessStrategy strategy, BlockNumber nblocks)
{
	BlockNumber used = nblocks;

	for (BlockNumber blk = nblocks; blk-- > (BlockNumber) (HNSW_META_BLOCK + 1 + g->ncentre);)
	{
		HnswPin		pin;
		bool		side;

		CHECK_FOR_INTERRUPTS();
		if (HnswAcquireInOrder(g, blk, BUFFER_LOCK_SHARE, strategy, &pin))
		{
			bool		unused = is_unused(g, &pin);

			side = HnswPageGetHeader(pin.page)->kind == HNSW_PAGE_SIDE;
			HnswRelease(g, &pin);
			if (side)
				continue;		/* as the page of nodes before it */
			if (!unused)
				break;
		}
		used = blk;
	}
	return used;
}

/* Does a record in hand, or a bundle, lead to a page from "used" on? */
static bool
leads_beyond(HnswIndex *g, const char *node, BlockNumber used)
{
	const HnswRecord *rec = (const HnswRecord *) node;

	for (int i = 0; i < rec->nlinks; i++)
		if (HnswLinkBlock(&HnswNodeLinks(g->lay, node)[i]) >= used)
			return true;
	return false;
}

/* Does anything on a page in hand lead there?  What is DEAD counts: its links may be of before. */
static bool
page_leads_beyond(HnswIndex *g, HnswPin *pin, BlockNumber used)
{
	const HnswPageHeader *header = HnswPageGetHeader(pin->page);

	if (header->kind != HNSW_PAGE_NODE && header->kind != HNSW_PAGE_UPPER && header->kind != HNSW_PAGE_PENDING)
		return false;
	for (int slot = 0; slot < header->nslots; slot++)
	{
		const char *node = header->kind == HNSW_PAGE_PENDING ? HnswBundleAt(g, pin, slot) : HnswNodeAt(g, pin, slot);

		if ((header->kind == HNSW_PAGE_PENDING || ((const HnswRecord *) node)->state != HNSW_FREE) &&
			leads_beyond(g, node, used))
			return true;
	}
	return false;
}

/* May the file end there?  The caller holds the index's AccessExclusiveLock; false also when somebody waits for it. */
static bool
may_end(HnswIndex *g, BufferAccessStrategy strategy, BlockNumber used)
{
	for (BlockNumber blk = HNSW_META_BLOCK + 1; blk < used; blk++)
	{
		HnswPin		pin;
		bool		beyond;

		CHECK_FOR_INTERRUPTS();
		if (blk % WAITERS_EVERY == 0 && LockHasWaitersRelation(g->rel, AccessExclusiveLock))
			return false;
		if (!HnswAcquireInOrder(g, blk, BUFFER_LOCK_SHARE, strategy, &pin))
			continue;
		beyond = page_leads_beyond(g, &pin, used);
		HnswRelease(g, &pin);
		if (beyond)
			return false;
	}
	return true;
}

/*
 * Leave pages from "used" on out of the chain of upper pages with free slots, whose first is *first.
 * A change each of those that led to one.
 */
static void
shorten_chain(HnswIndex *g, BlockNumber used, BlockNumber *first)
{
	HnswWrite  *w = &g->scratch->write;
	BlockNumber count = 0;
	BlockNumber last = InvalidBlockNumber;	/* that stays */
	BlockNumber next;

	for (BlockNumber blk = *first; blk != InvalidBlockNumber; blk = next)
	{
		HnswPin		pin;
		BlockNumber stays = blk < used ? blk : InvalidBlockNumber;

		if (count++ > g->nblocks)
			HnswCorrupted(g, blk, 0, "upper pages form a loop");
		HnswAcquire(g, blk, BUFFER_LOCK_SHARE, &pin);
		next = HnswPageGetHeader(pin.page)->next;
		HnswRelease(g, &pin);
		if (stays == InvalidBlockNumber && next != InvalidBlockNumber)
			continue;
		if (last == InvalidBlockNumber)
			*first = stays;
		else
		{
			HnswAcquire(g, last, BUFFER_LOCK_EXCLUSIVE, &pin);
			HnswWriteBegin(g, w);
			HnswWriteAdd(w, &pin, false);
			HnswWriteChanges(w, 0, MAXALIGN(SizeOfPageHeaderData) + offsetof(HnswPageHeader, next), &stays, sizeof(stays));
			HnswWriteEnd(w);
			HnswRelease(g, &pin);
		}
		last = stays;
	}
}

/* Let the metapage and what hangs on it know no page from "used" on; those are unused. */
static void
forget_pages(HnswIndex *g, BlockNumber used)
{
	HnswWrite  *w = &g->scratch->write;
	HnswMetaPage meta;
	HnswPin		pin;
	int			n = 0;

	HnswReadMeta(g, &meta);
	shorten_chain(g, used, &meta.upper_target);
	for (int i = 0; i < meta.npending; i++)
		if (meta.pending[i] < used)
			meta.pending[n++] = meta.pending[i];
	memset(meta.pending + n, 0, (meta.npending - n) * sizeof(BlockNumber));
	meta.npending = n;
	/* nobody else is here */
	HnswAcquire(g, HNSW_META_BLOCK, BUFFER_LOCK_EXCLUSIVE, &pin);
	HnswWriteBegin(g, w);
	HnswWriteAdd(w, &pin, false);
	HnswMetaWrite(w, 0, &meta);
	HnswWriteEnd(w);
	HnswRelease(g, &pin);
}

/*
 * Is a standby connected?  To its queries the exclusive lock would be a conflict, which ends them.
 * Looked at without a lock: one that connects just now is told of the lock like any other.
 */
static bool
has_standby(void)
{
	for (int i = 0; i < max_wal_senders; i++)
		if (((volatile WalSnd *) &WalSndCtl->walsnds[i])->pid != 0)
			return true;
	return false;
}

/*
 * Give back the pages at the end that are in no use, if they are worth it; returns how many.  At the end of VACUUM,
 * which holds the index's ShareUpdateExclusiveLock or more.
 */
BlockNumber
HnswShrink(HnswIndex *g, BufferAccessStrategy strategy)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(g->rel);
	BlockNumber used = count_used(g, strategy, nblocks);
	BlockNumber freed = 0;

	/* such a lock wants a transaction ID, which neither a parallel VACUUM's leader nor its workers can get */
	if (IsInParallelMode() || has_standby() || nblocks - used < Max(MIN_PAGES, nblocks / MIN_SHARE) ||
		!ConditionalLockRelation(g->rel, AccessExclusiveLock))
		return 0;
	nblocks = RelationGetNumberOfBlocks(g->rel);
	used = count_used(g, strategy, nblocks);
	if (used < nblocks && may_end(g, strategy, used))
	{
		forget_pages(g, used);
		RelationTruncate(g->rel, used);
		CacheInvalidateRelcache(g->rel);
		g->nblocks = Min(g->nblocks, used);
		g->target = g->pending_tail = InvalidBlockNumber;
		freed = nblocks - used;
		HnswCachedVoid(g->rel);
	}
	/* the truncation is logged; nothing of it waits for the end of the transaction */
	UnlockRelation(g->rel, AccessExclusiveLock);
	return freed;
}
