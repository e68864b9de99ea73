/*
 * access.h
 *		The page accessor: pages in hand, changes and their WAL.
 */
#ifndef HNSW_PAGE_ACCESS_H
#define HNSW_PAGE_ACCESS_H

#include "compat.h"
#include "hnsw/layout/page.h"
#include "hnsw/page/index.h"
#include "lib/stringinfo.h"

/* A page in hand: pinned and locked. */
typedef struct HnswPin
{
	BlockNumber blk;
	Buffer		buf;
	Page		page;
} HnswPin;

/* One change, logged as one WAL record; see access.c. */
#define HNSW_WRITE_PAGES	4
typedef struct HnswWritePage
{
	HnswPin	   *pin;
	bool		image;			/* logged whole */
	int			last;			/* where in delta the last span starts, -1: none */
	StringInfoData delta;
} HnswWritePage;

typedef struct HnswWrite
{
	HnswIndex  *g;
	int			npages;
	HnswWritePage pages[HNSW_WRITE_PAGES];
} HnswWrite;

/*
 * Buffers of a handle for one operation on pages.  A function that says it fills one, or
 * calls one that does, overwrites what was there.
 */
typedef struct HnswScratch
{
	float	   *fa;				/* dim floats each: the two ends of a link */
	float	   *fb;
	char	   *own;			/* own_bytes, the new node's */
	char	   *side;			/* own_bytes, one read from side pages */
	char	   *record;			/* a whole record being formed */
	char	   *code;			/* one code or exact neighbour */
	HnswWrite	write;
} HnswScratch;

extern void HnswScratchInit(HnswIndex *g);
extern void HnswAcquire(HnswIndex *g, BlockNumber blk, int mode, HnswPin *pin);
extern bool HnswAcquireInOrder(HnswIndex *g, BlockNumber blk, int mode,
							   BufferAccessStrategy strategy, HnswPin *pin);
extern void HnswAcquireSide(HnswIndex *g, BlockNumber blk, int mode, HnswPin *pin);
extern void HnswAcquirePending(HnswIndex *g, BlockNumber blk, int mode, HnswPin *pin);
extern void HnswCheckNotHeld(HnswIndex *g, BlockNumber blk, Buffer buf);
extern void HnswRelease(HnswIndex *g, HnswPin *pin);
extern void HnswExtend(HnswIndex *g, int n, HnswPin *pins);
extern void HnswExtendTo(HnswIndex *g, BlockNumber nblocks);
extern bool HnswClaimFreePage(HnswIndex *g, BlockNumber blk, HnswPin *pin);
extern void HnswInitPage(HnswPin *pin, HnswPageKind kind);
extern void HnswKnowBlocks(HnswIndex *g, BlockNumber blk);
extern bool HnswBlockExists(HnswIndex *g, BlockNumber blk);
extern void HnswReadAheadPage(HnswIndex *g, BlockNumber blk);
extern void HnswPrefetch(HnswIndex *g, BlockNumber blk, uint16 slot);
extern void HnswWriteBegin(HnswIndex *g, HnswWrite *w);
extern int	HnswWriteAdd(HnswWrite *w, HnswPin *pin, bool image);
extern void HnswWriteBytes(HnswWrite *w, int page, Size offset,
						   const void *data, Size len);
extern void HnswWriteChanges(HnswWrite *w, int page, Size offset,
							 const void *data, Size len);
extern void HnswWriteEnd(HnswWrite *w);
pg_noreturn extern void HnswCorrupted(HnswIndex *g, BlockNumber blk, int slot,
									  const char *what);

extern void HnswLockInserts(Relation index);
extern void HnswUnlockInserts(Relation index);
extern void HnswWaitForInserts(Relation index);
extern void HnswLockMerges(Relation index);
extern bool HnswTryLockMerges(Relation index);
extern void HnswUnlockMerges(Relation index);

/* The shared buffer a block was in when it was last read; InvalidBuffer for none that is known. */
static inline Buffer
HnswRecentBuffer(const HnswIndex *g, BlockNumber blk)
{
	HnswRecent	recent = g->recent[blk & (g->nrecent - 1)];

	return recent.blk == blk && recent.buf > 0 && recent.buf <= NBuffers ? recent.buf : InvalidBuffer;
}

/*
 * Look at a page in a shared buffer without pin or lock, which changes nothing there: only if
 * HnswPeekEnd says so, too, what was read between was of this block, and it may have been
 * changing (README, "Peeking").
 */
static inline bool
HnswPeekBegin(HnswIndex *g, BlockNumber blk, Buffer buf)
{
	if (!CompatBufferHolds(GetBufferDescriptor(buf - 1), g->rel, blk))
		return false;
	CompatPeekOpen(buf);
	return true;
}

static inline bool
HnswPeekEnd(HnswIndex *g, BlockNumber blk, Buffer buf)
{
	CompatPeekClose(buf);
	return CompatBufferHolds(GetBufferDescriptor(buf - 1), g->rel, blk);
}

/*
 * How many pages, likely to be needed next, are worth asking the operating system for at a
 * visit: none, unless pages have come from disk lately.
 */
static inline int
HnswReadAhead(HnswIndex *g)
{
	if (likely(g->cold == 0))
		return 0;
	g->cold--;
	return g->ahead;
}

#endif							/* HNSW_PAGE_ACCESS_H */
