/*
 * access.c
 *		The page accessor: how graph code gets, changes and adds pages.
 *
 * A change is a list of (offset, bytes) spans on up to HNSW_WRITE_PAGES pages,
 * which become one WAL record (none while an index is built).  The record is a
 * Generic WAL record (resource manager RM_GENERIC_ID, whose redo applies
 * exactly such spans, and works on every standby without this library), but
 * the spans are those the caller names: GenericXLogFinish would copy each page
 * and compare all of it byte by byte to find them.
 */
#include "postgres.h"

#include "access/generic_xlog.h"
#include "access/xloginsert.h"
#include "compat.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/page/access.h"
#include "hnsw/page/index.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "storage/buf_internals.h"
#include "storage/bufmgr.h"
#include "storage/freespace.h"
#include "storage/lmgr.h"
#include "storage/smgr.h"
#include "utils/memutils.h"
#include "utils/spccache.h"

/*
 * Report a page that cannot be what it claims to be: an error (index_corrupted) that
 * names index, block and slot.  Does not return.
 */
void
HnswCorrupted(HnswIndex *g, BlockNumber blk, int slot, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INDEX_CORRUPTED),
			 errmsg("index \"%s\" is damaged", RelationGetRelationName(g->rel)),
			 errdetail("Block %u, slot %d: %s.", blk, slot, what),
			 errhint("REINDEX the index.")));
	pg_unreachable();
}

/*
 * Learn how many blocks the index has; an error when it has no block "blk",
 * since only a damaged link could name it.
 */
void
HnswKnowBlocks(HnswIndex *g, BlockNumber blk)
{
	g->nblocks = RelationGetNumberOfBlocks(g->rel);
	if (blk >= g->nblocks)
		HnswCorrupted(g, blk, 0, "a link leads past the end of the index");
}

/* Twice as many recent buffers, if there is the memory: they are only hints. */
static void
grow_recent(HnswIndex *g)
{
	uint32		n = g->nrecent * 2;
	HnswRecent *recent = MemoryContextAllocExtended(g->cxt, n * sizeof(HnswRecent),
													MCXT_ALLOC_NO_OOM | MCXT_ALLOC_ZERO);

	g->nreplaced = 0;
	if (recent == NULL)
		return;
	for (uint32 i = 0; i < g->nrecent; i++)
		if (g->recent[i].buf != InvalidBuffer)
			recent[g->recent[i].blk & (n - 1)] = g->recent[i];
	pfree(g->recent);
	g->recent = recent;
	g->nrecent = n;
}

/*
 * Remember the buffer of a block.  The memory grows with the number of blocks
 * that are used: not before a quarter of the entries has given way to others.
 */
static void
remember_buffer(HnswIndex *g, BlockNumber blk, Buffer buf)
{
	HnswRecent *at = &g->recent[blk & (g->nrecent - 1)];

	if (at->blk != blk && at->buf != InvalidBuffer &&
		++g->nreplaced > g->nrecent / 4 && g->nrecent < HNSW_MAX_RECENT)
	{
		grow_recent(g);
		at = &g->recent[blk & (g->nrecent - 1)];
	}
	at->blk = blk;
	at->buf = buf;
}

/* Is there such a block?  For block numbers that do not come from links: no error. */
bool
HnswBlockExists(HnswIndex *g, BlockNumber blk)
{
	return blk < g->nblocks || blk < RelationGetNumberOfBlocks(g->rel);
}

/*
 * An error when this backend holds the lock of a page that it is about to
 * lock: only a damaged link leads there, and it would wait for itself for ever.
 */
void
HnswCheckNotHeld(HnswIndex *g, BlockNumber blk, Buffer buf)
{
	if (!BufferIsLocal(buf) &&
		unlikely(LWLockHeldByMe(BufferDescriptorGetContentLock(GetBufferDescriptor(buf - 1)))))
		HnswCorrupted(g, blk, 0, "a link leads back to the page it is followed from");
}

/*
 * A page that takes longer comes from disk, not from the operating system's cache.  After
 * one, so many visits are taken to need others.
 */
#define DISK_MICROSECONDS	30
#define COLD_VISITS			256

/* Read a page, and note where it comes from. */
static Buffer
read_page(HnswIndex *g, BlockNumber blk)
{
	instr_time	start;
	instr_time	end;
	Buffer		buf;

	INSTR_TIME_SET_CURRENT(start);
	buf = ReadBuffer(g->rel, blk);
	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_SUBTRACT(end, start);
	if (INSTR_TIME_GET_MICROSEC(end) > DISK_MICROSECONDS)
	{
		g->cold = COLD_VISITS;
		g->ahead = get_tablespace_io_concurrency(g->rel->rd_rel->reltablespace);
	}
	return buf;
}

/*
 * Pin a page.  The block's last known buffer is tried first, which saves the
 * look-up in the shared hash table.
 */
static inline void
pin_page(HnswIndex *g, BlockNumber blk, HnswPin *pin)
{
	HnswRecent	recent = g->recent[blk & (g->nrecent - 1)];

	pin->blk = blk;
	if (unlikely(blk >= g->nblocks))
		HnswKnowBlocks(g, blk);
	if (recent.blk == blk && recent.buf != InvalidBuffer &&
		CompatReadRecentBuffer(g->rel, blk, recent.buf))
		pin->buf = recent.buf;
	else
	{
		pin->buf = read_page(g, blk);
		remember_buffer(g, blk, pin->buf);
	}
	pin->page = BufferGetPage(pin->buf);
}

/*
 * Pin and lock a page (mode as LockBuffer's).  Errors: index_corrupted when
 * the page is not one of ours.
 */
void
HnswAcquire(HnswIndex *g, BlockNumber blk, int mode, HnswPin *pin)
{
	pin_page(g, blk, pin);
	HnswCheckNotHeld(g, blk, pin->buf);
	LockBuffer(pin->buf, mode);
	if (unlikely(PageIsNew(pin->page) || HnswPageGetHeader(pin->page)->magic != HNSW_MAGIC))
		HnswCorrupted(g, blk, 0, "the page is not initialised");
}

/*
 * The same for pages read one after the other, with a strategy (NULL for none).
 * False, and nothing in hand, for a page that has never been written.
 */
bool
HnswAcquireInOrder(HnswIndex *g, BlockNumber blk, int mode, BufferAccessStrategy strategy,
				   HnswPin *pin)
{
	pin->blk = blk;
	pin->buf = ReadBufferExtended(g->rel, MAIN_FORKNUM, blk, RBM_NORMAL, strategy);
	LockBuffer(pin->buf, mode);
	pin->page = BufferGetPage(pin->buf);
	if (PageIsNew(pin->page))
	{
		HnswRelease(g, pin);
		return false;
	}
	if (HnswPageGetHeader(pin->page)->magic != HNSW_MAGIC)
		HnswCorrupted(g, blk, 0, "not a page of this index");
	return true;
}

/*
 * The same for a page of a kind that stays such for good, by a caller who may have locked
 * others: side pages, once their node page has records, and pending pages.  So they are known
 * without their lock; that of any other page might be held by one who waits for
 * the caller.
 */
static inline void
acquire_kind(HnswIndex *g, BlockNumber blk, HnswPageKind kind, const char *not, int mode, HnswPin *pin)
{
	pin_page(g, blk, pin);
	if (PageIsNew(pin->page) || HnswPageGetHeader(pin->page)->magic != HNSW_MAGIC ||
		HnswPageGetHeader(pin->page)->kind != kind)
		HnswCorrupted(g, blk, 0, not);
	LockBuffer(pin->buf, mode);
}

/* The same for a side page, by a caller who has locked its node page. */
void
HnswAcquireSide(HnswIndex *g, BlockNumber blk, int mode, HnswPin *pin)
{
	acquire_kind(g, blk, HNSW_PAGE_SIDE, "not a side page", mode, pin);
}

/* The same for a page that the metapage names as a pending one. */
void
HnswAcquirePending(HnswIndex *g, BlockNumber blk, int mode, HnswPin *pin)
{
	acquire_kind(g, blk, HNSW_PAGE_PENDING, "not a pending page", mode, pin);
}

/* Unlock and unpin a page; it is not in hand any more. */
void
HnswRelease(HnswIndex *g, HnswPin *pin)
{
	UnlockReleaseBuffer(pin->buf);
	pin->page = NULL;
}

/*
 * Bring a page's header and a record towards the cache, if its buffer is known.  Without
 * pin or lock: it may be another page by now, which does no harm.
 */
void
HnswPrefetch(HnswIndex *g, BlockNumber blk, uint16 slot)
{
	const char *at;
	Size		from = HnswSlotOffset(g->lay, slot);
	Buffer		buf = HnswRecentBuffer(g, blk);

	if (buf == InvalidBuffer || from >= BLCKSZ)
		return;
	at = (const char *) BufferGetBlock(buf);
	__builtin_prefetch(GetBufferDescriptor(buf - 1));
	__builtin_prefetch(at);
	at += from;
	for (int i = 0; i <= g->lay->rec_size / 64; i++)
		__builtin_prefetch(at + i * 64);
}

/*
 * Have the operating system begin to read a node page, and the side pages behind it,
 * unless they are in shared buffers.  The block has been checked to exist; which page
 * it is by the time it is read makes no difference.
 */
void
HnswReadAheadPage(HnswIndex *g, BlockNumber blk)
{
	for (int i = 0; i <= g->lay->side_pages && blk + i < g->nblocks; i++)
		(void) PrefetchBuffer(g->rel, MAIN_FORKNUM, blk + i);
}

/* Initialise a new page of a kind; the caller holds it exclusively. */
void
HnswInitPage(HnswPin *pin, HnswPageKind kind)
{
	HnswPageHeader *header;

	PageInit(pin->page, BLCKSZ, 0);
	header = HnswPageGetHeader(pin->page);
	header->kind = kind;
	header->nslots = 0;
	header->magic = HNSW_MAGIC;
	header->next = InvalidBlockNumber;
	/* what lies between pd_lower and pd_upper is neither logged nor kept */
	((PageHeader) pin->page)->pd_lower = HNSW_PAGE_DATA;
}

/*
 * Take a page the free space map names, if it is in no use: new, or of kind
 * FREE.  Then it is held exclusively and no longer in the map.  Does not wait
 * for the page's lock, so that the caller may hold others.  False: it is in use, or
 * locked, or not there.
 */
bool
HnswClaimFreePage(HnswIndex *g, BlockNumber blk, HnswPin *pin)
{
	if (!HnswBlockExists(g, blk))
	{
		/* the map is not logged, and may remember more than a crash left */
		RecordPageWithFreeSpace(g->rel, blk, 0);
		return false;
	}
	pin->blk = blk;
	pin->buf = ReadBuffer(g->rel, blk);
	if (ConditionalLockBuffer(pin->buf))
	{
		pin->page = BufferGetPage(pin->buf);
		if (PageIsNew(pin->page) ||
			(HnswPageGetHeader(pin->page)->kind == HNSW_PAGE_FREE &&
			 HnswPageGetHeader(pin->page)->magic == HNSW_MAGIC))
		{
			RecordPageWithFreeSpace(g->rel, blk, 0);
			return true;
		}
		LockBuffer(pin->buf, BUFFER_LOCK_UNLOCK);
	}
	ReleaseBuffer(pin->buf);
	return false;
}

/*
 * Add n consecutive pages at the end, zeroed, held exclusively.  A crash
 * before they are written leaves pages that are new: VACUUM gives them to the
 * free space map.  Takes the lock for extension, unless nobody else is there.
 */
void
HnswExtend(HnswIndex *g, int n, HnswPin *pins)
{
	bool		lock = g->shared || !RELATION_IS_LOCAL(g->rel);

	if (lock)
		LockRelationForExtension(g->rel, ExclusiveLock);
	for (int i = 0; i < n; i++)
	{
		/* locked before anyone can see it: VACUUM would take it for free */
		pins[i].buf = ReadBufferExtended(g->rel, MAIN_FORKNUM, P_NEW,
										 RBM_ZERO_AND_LOCK, NULL);
		pins[i].blk = BufferGetBlockNumber(pins[i].buf);
		pins[i].page = BufferGetPage(pins[i].buf);
	}
	if (lock)
		UnlockRelationForExtension(g->rel, ExclusiveLock);
	if (pins[n - 1].blk >= g->nblocks)
		HnswKnowBlocks(g, pins[n - 1].blk);
	for (int i = 0; i < n; i++)
		remember_buffer(g, pins[i].blk, pins[i].buf);
}

/*
 * Add pages of zeros until there are so many, which nobody holds.  For builds:
 * several participants may do this at the same time.
 */
void
HnswExtendTo(HnswIndex *g, BlockNumber nblocks)
{
	BlockNumber n = RelationGetNumberOfBlocks(g->rel);

	while (n < nblocks)
	{
		CHECK_FOR_INTERRUPTS();
		if (g->shared)
			LockRelationForExtension(g->rel, ExclusiveLock);
		n = RelationGetNumberOfBlocks(g->rel);
		if (n < nblocks)
			CompatExtendRelation(g->rel, Min(nblocks - n, 64));
		if (g->shared)
			UnlockRelationForExtension(g->rel, ExclusiveLock);
	}
}

/*
 * Start a change.  "w" is the graph's scratch->write: one change at a time.  One that has
 * not been carried out is forgotten.
 */
void
HnswWriteBegin(HnswIndex *g, HnswWrite *w)
{
	w->g = g;
	w->npages = 0;
}

/*
 * Add a page, held exclusively, to the change; returns its number in it.
 * image: the page is new and complete as it is in memory, log it whole.
 */
int
HnswWriteAdd(HnswWrite *w, HnswPin *pin, bool image)
{
	HnswWritePage *p;

	if (w->npages >= HNSW_WRITE_PAGES)
		elog(ERROR, "too many pages in one change of an hnsw index");
	p = &w->pages[w->npages];
	p->pin = pin;
	p->image = image;
	p->last = -1;
	resetStringInfo(&p->delta);
	return w->npages++;
}

/*
 * Set len bytes at an offset of a page.  Nothing changes before HnswWriteEnd
 * (but in a new page), so an error in between leaves the page as it was.  Bytes
 * that follow those of the call before join their span.
 */
void
HnswWriteBytes(HnswWrite *w, int page, Size offset, const void *data, Size len)
{
	HnswWritePage *p = &w->pages[page];
	uint16		head[2];

	Assert(offset + len <= BLCKSZ);
	if (p->image)
	{
		memcpy((char *) p->pin->page + offset, data, len);
		return;
	}
	/* the form generic redo reads: offset, length, bytes */
	if (p->last >= 0)
	{
		memcpy(head, p->delta.data + p->last, sizeof(head));
		if (head[0] + head[1] == offset)
		{
			head[1] += len;
			memcpy(p->delta.data + p->last, head, sizeof(head));
			appendBinaryStringInfo(&p->delta, data, len);
			return;
		}
	}
	p->last = p->delta.len;
	head[0] = offset;
	head[1] = len;
	appendBinaryStringInfo(&p->delta, (char *) head, sizeof(head));
	appendBinaryStringInfo(&p->delta, data, len);
}

/*
 * The same for bytes of which some may stand there already: only those that
 * differ are written, and what is between two of them where it is shorter than
 * the head of another span.
 */
void
HnswWriteChanges(HnswWrite *w, int page, Size offset, const void *data, Size len)
{
	const char *old = (const char *) w->pages[page].pin->page + offset;
	const char *new = data;
	const Size	head = 2 * sizeof(uint16);

	for (Size from = 0; from < len;)
	{
		Size		to;

		if (old[from] == new[from])
		{
			/* mostly much is the same */
			from += from + sizeof(uint64) <= len && memcmp(old + from, new + from, sizeof(uint64)) == 0 ?
				sizeof(uint64) : 1;
			continue;
		}
		to = from + 1;
		for (Size i = to; i < len && i - to <= head; i++)
			if (old[i] != new[i])
				to = i + 1;
		HnswWriteBytes(w, page, offset + from, new + from, to - from);
		from = to;
	}
}

static void
apply_delta(Page page, const StringInfoData *delta)
{
	int			at = 0;

	while (at < delta->len)
	{
		uint16		head[2];

		memcpy(head, delta->data + at, sizeof(head));
		at += sizeof(head);
		memcpy((char *) page + head[0], delta->data + at, head[1]);
		at += head[1];
	}
}

/* Spans that are longer than the page's bytes in use: log these instead. */
static void
prefer_image(HnswWritePage *p)
{
	const PageHeaderData *header = (const PageHeaderData *) p->pin->page;

	if (p->delta.len > BLCKSZ - (header->pd_upper - header->pd_lower))
		p->image = true;
}

/*
 * Carry out the change: apply the spans, mark the pages dirty, log them as
 * one record.  The locks stay with the caller.  A critical section: what
 * fails in it is a PANIC.
 */
void
HnswWriteEnd(HnswWrite *w)
{
	HnswIndex  *g = w->g;
	bool		log;
	XLogRecPtr	lsn;

	if (w->npages == 0)
		return;
	log = !g->nolog && RelationNeedsWAL(g->rel);
	for (int i = 0; i < w->npages; i++)
		prefer_image(&w->pages[i]);

	START_CRIT_SECTION();
	for (int i = 0; i < w->npages; i++)
	{
		HnswWritePage *p = &w->pages[i];

		/* those of a new page stand there already */
		apply_delta(p->pin->page, &p->delta);
		MarkBufferDirty(p->pin->buf);
	}
	if (log)
	{
		XLogBeginInsert();
		for (int i = 0; i < w->npages; i++)
		{
			HnswWritePage *p = &w->pages[i];

			if (p->image)
				XLogRegisterBuffer(i, p->pin->buf, REGBUF_FORCE_IMAGE | REGBUF_STANDARD);
			else
			{
				XLogRegisterBuffer(i, p->pin->buf, REGBUF_STANDARD);
				if (p->delta.len > 0)
					XLogRegisterBufData(i, p->delta.data, p->delta.len);
			}
		}
		lsn = XLogInsert(RM_GENERIC_ID, 0);
		for (int i = 0; i < w->npages; i++)
			PageSetLSN(w->pages[i].pin->page, lsn);
	}
	END_CRIT_SECTION();
}

/*
 * Inserts hold this lock in share mode from before their search until their
 * last link; VACUUM takes it exclusively for a moment to be sure that no
 * insert is left that saw the graph as it was before.
 */
void
HnswLockInserts(Relation index)
{
	LockPage(index, HNSW_META_BLOCK, ShareLock);
}

/* Let go of it, at the end of an insert.  After an error the transaction does. */
void
HnswUnlockInserts(Relation index)
{
	UnlockPage(index, HNSW_META_BLOCK, ShareLock);
}

/* Wait for the inserts under way, holding no page lock; later ones see what there is now. */
void
HnswWaitForInserts(Relation index)
{
	LockPage(index, HNSW_META_BLOCK, ExclusiveLock);
	UnlockPage(index, HNSW_META_BLOCK, ExclusiveLock);
}

/*
 * The merge lock.  Who merges holds it, and VACUUM does, to keep merges off; it comes before
 * the lock of inserts.
 */
#define MERGE_LOCK	(HNSW_META_BLOCK + 1)

/* Take the merge lock, holding no page lock. */
void
HnswLockMerges(Relation index)
{
	LockPage(index, MERGE_LOCK, ExclusiveLock);
}

/* The same, unless it has to be waited for: false then. */
bool
HnswTryLockMerges(Relation index)
{
	return ConditionalLockPage(index, MERGE_LOCK, ExclusiveLock);
}

/* Let go of it.  After an error the transaction does. */
void
HnswUnlockMerges(Relation index)
{
	UnlockPage(index, MERGE_LOCK, ExclusiveLock);
}

/* Make the scratch buffers of a new handle, in its context. */
void
HnswScratchInit(HnswIndex *g)
{
	const HnswLayout *lay = g->lay;
	MemoryContext old = MemoryContextSwitchTo(g->cxt);
	HnswScratch *s = palloc0(sizeof(HnswScratch));
	Size		floats = (Size) lay->dim * sizeof(float);

	s->fa = palloc(floats);
	s->fb = palloc(floats);
	s->own = palloc0(lay->own_bytes);
	s->side = palloc(lay->own_bytes);
	s->record = palloc0(lay->rec_size);
	s->code = palloc0((Size) lay->groups * 4);
	for (int i = 0; i < HNSW_WRITE_PAGES; i++)
		initStringInfo(&s->write.pages[i].delta);
	MemoryContextSwitchTo(old);
	g->scratch = s;
}
