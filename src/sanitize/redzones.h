/*
 * redzones.h
 *		Included before every source file of a sanitized build, and of no other
 *		(make check-sanitize): makes visible to AddressSanitizer what the
 *		server's own memory management hides from it.
 *
 * The server is not sanitized.  Its memory contexts take large blocks from
 * malloc and its pages lie side by side, so that by itself the sanitizer sees
 * only accesses beyond a block of many chunks, or beyond all buffers.  Here
 *
 *	- what vectorx allocates gets a poisoned zone behind it, lifted when it is
 *	  freed, reset, or returned to the server;
 *	- while vectorx has a page in hand, the pages beside it are poisoned unless
 *	  it has them too;
 *	- memcpy and its like are checked here and not in the sanitizer's versions
 *	  of them: the server calls those too (replace_intrin=0), and is free to use
 *	  all of its memory.
 *
 * Not seen: accesses before a chunk, or to a chunk after it was freed; chunks
 * the server allocated (StringInfo, detoasted values); temporary tables' pages.
 */
#ifndef SANITIZE_REDZONES_H
#define SANITIZE_REDZONES_H

#include "postgres.h"

#include "fmgr.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/palloc.h"

/* ---- redzones.c ---- */
extern void *RedzoneAlloc(MemoryContext cxt, Size size, int flags);
extern void *RedzoneRealloc(void *p, Size size, bool huge);
extern void RedzoneFree(void *p);
extern char *RedzoneStrdup(const char *s);
extern void *RedzoneReturn(const void *p);
extern void RedzoneCheck(const volatile void *p, Size len, bool write);
extern void RedzonePageOpen(Buffer buf);
extern void RedzonePageClose(Buffer buf);

/* ---- memory contexts ---- */
#define palloc(size)	RedzoneAlloc(CurrentMemoryContext, size, 0)
#define palloc0(size)	RedzoneAlloc(CurrentMemoryContext, size, MCXT_ALLOC_ZERO)
#define palloc_extended(size, flags) \
	RedzoneAlloc(CurrentMemoryContext, size, flags)
#define MemoryContextAlloc(cxt, size)	RedzoneAlloc(cxt, size, 0)
#undef MemoryContextAllocZero
#define MemoryContextAllocZero(cxt, size) \
	RedzoneAlloc(cxt, size, MCXT_ALLOC_ZERO)
#define MemoryContextAllocHuge(cxt, size) \
	RedzoneAlloc(cxt, size, MCXT_ALLOC_HUGE)
#define MemoryContextAllocExtended(cxt, size, flags) \
	RedzoneAlloc(cxt, size, flags)
#define repalloc(p, size)		RedzoneRealloc(p, size, false)
#define repalloc_huge(p, size)	RedzoneRealloc(p, size, true)
#define pfree(p)				RedzoneFree(p)
#define pstrdup(s)				RedzoneStrdup(s)

/* what a function returns the server may free and use again */
#undef PG_RETURN_POINTER
#define PG_RETURN_POINTER(x)	return PointerGetDatum(RedzoneReturn(x))
#undef PG_RETURN_CSTRING
#define PG_RETURN_CSTRING(x)	return PointerGetDatum(RedzoneReturn(x))

/* ---- copies ---- */
#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#define memcpy(to, from, len)	redzone_memcpy(to, from, len)
#define memmove(to, from, len)	redzone_memmove(to, from, len)
#define memset(to, c, len)		redzone_memset(to, c, len)
#define memcmp(a, b, len)		redzone_memcmp(a, b, len)

static inline void *
redzone_memcpy(void *to, const void *from, size_t len)
{
	RedzoneCheck(from, len, false);
	RedzoneCheck(to, len, true);
	return (memcpy) (to, from, len);
}

static inline void *
redzone_memmove(void *to, const void *from, size_t len)
{
	RedzoneCheck(from, len, false);
	RedzoneCheck(to, len, true);
	return (memmove) (to, from, len);
}

static inline void *
redzone_memset(void *to, int c, size_t len)
{
	RedzoneCheck(to, len, true);
	return (memset) (to, c, len);
}

static inline int
redzone_memcmp(const void *a, const void *b, size_t len)
{
	RedzoneCheck(a, len, false);
	RedzoneCheck(b, len, false);
	return (memcmp) (a, b, len);
}

/*
 * ---- pages ----
 *
 * In hand: from being read or locked until being unlocked or released.
 */
static inline Buffer
redzone_opened(Buffer buf)
{
	RedzonePageOpen(buf);
	return buf;
}

static inline bool
redzone_opened_if(bool done, Buffer buf)
{
	if (done)
		RedzonePageOpen(buf);
	return done;
}

static inline void
redzone_lock(Buffer buf, int mode)
{
	if (mode == BUFFER_LOCK_UNLOCK)
		RedzonePageClose(buf);
	LockBuffer(buf, mode);
	if (mode != BUFFER_LOCK_UNLOCK)
		RedzonePageOpen(buf);
}

#define ReadBuffer(rel, blk)	redzone_opened(ReadBuffer(rel, blk))
#define ReadBufferExtended(rel, fork, blk, mode, strategy) \
	redzone_opened(ReadBufferExtended(rel, fork, blk, mode, strategy))
#define ReadRecentBuffer(file, fork, blk, buf) \
	redzone_opened_if(ReadRecentBuffer(file, fork, blk, buf), buf)
#define LockBuffer(buf, mode)	redzone_lock(buf, mode)
#define ConditionalLockBuffer(buf) \
	redzone_opened_if(ConditionalLockBuffer(buf), buf)
#define ConditionalLockBufferForCleanup(buf) \
	redzone_opened_if(ConditionalLockBufferForCleanup(buf), buf)
#define ReleaseBuffer(buf)		(RedzonePageClose(buf), ReleaseBuffer(buf))
#define UnlockReleaseBuffer(buf) \
	(RedzonePageClose(buf), UnlockReleaseBuffer(buf))

#endif							/* SANITIZE_REDZONES_H */
