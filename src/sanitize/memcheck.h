/*
 * memcheck.h
 *		Included before every source file of a library for Valgrind, and of no
 *		other (make check-valgrind): tells memcheck what it cannot see in a
 *		server that was built without USE_VALGRIND.
 *
 * Memory contexts give the same memory out again and again, and shared buffers
 * are written by whoever comes to it, with what memcheck knows of them left
 * behind in another process.  Here
 *
 *	- what vectorx allocates holds nothing, until it is set, and again when it
 *	  was freed;
 *	- what leaves vectorx must be set: a page when it is marked dirty, the
 *	  spans of a WAL record, and a value that a function returns.
 *
 * Accesses beyond a chunk, and pages beside those in hand, are the sanitizers'
 * business (redzones.h).  Not seen: chunks that are used after their context was
 * reset.
 */
#ifndef SANITIZE_MEMCHECK_H
#define SANITIZE_MEMCHECK_H

#include "postgres.h"

#include "access/amapi.h"
#include "access/xloginsert.h"
#include "fmgr.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/palloc.h"

#include <valgrind/memcheck.h>

/* What a chunk takes beyond what it holds: at most this, in any context. */
#define MEMCHECK_CHUNK_HEADER	40

static inline void *
memcheck_alloc(MemoryContext cxt, Size size, int flags)
{
	void	   *p = (MemoryContextAllocExtended) (cxt, size, flags);

	if (p != NULL && (flags & MCXT_ALLOC_ZERO) == 0)
		VALGRIND_MAKE_MEM_UNDEFINED(p, size);
	return p;
}

static inline void *
memcheck_realloc(void *p, Size size, bool huge)
{
	Size		before = GetMemoryChunkSpace(p);

	p = huge ? (repalloc_huge) (p, size) : (repalloc) (p, size);
	if (size > before)
		VALGRIND_MAKE_MEM_UNDEFINED((char *) p + before, size - before);
	return p;
}

static inline void
memcheck_free(void *p)
{
	Size		space = GetMemoryChunkSpace(p);

	if (space > MEMCHECK_CHUNK_HEADER)
		VALGRIND_MAKE_MEM_UNDEFINED(p, space - MEMCHECK_CHUNK_HEADER);
	(pfree) (p);
}

static inline void
memcheck_set(const void *p, Size size)
{
	VALGRIND_CHECK_MEM_IS_DEFINED(p, size);
}

static inline void *
memcheck_value(void *p)
{
	memcheck_set(p, VARSIZE_ANY(p));
	return p;
}

/* ---- memory contexts ---- */
#define palloc(size)	memcheck_alloc(CurrentMemoryContext, size, 0)
#define palloc0(size)	memcheck_alloc(CurrentMemoryContext, size, MCXT_ALLOC_ZERO)
#define palloc_extended(size, flags) \
	memcheck_alloc(CurrentMemoryContext, size, flags)
#define MemoryContextAlloc(cxt, size)	memcheck_alloc(cxt, size, 0)
#define MemoryContextAllocHuge(cxt, size) \
	memcheck_alloc(cxt, size, MCXT_ALLOC_HUGE)
#define MemoryContextAllocExtended(cxt, size, flags) \
	memcheck_alloc(cxt, size, flags)
#define repalloc(p, size)		memcheck_realloc(p, size, false)
#define repalloc_huge(p, size)	memcheck_realloc(p, size, true)
#define pfree(p)				memcheck_free(p)

/* ---- what leaves ---- */
#define MarkBufferDirty(buf) \
	(memcheck_set(BufferGetPage(buf), BLCKSZ), MarkBufferDirty(buf))
#define XLogRegisterBufData(i, data, len) \
	(memcheck_set(data, len), XLogRegisterBufData(i, data, len))

/* The access method's handler returns a node, all others values. */
#undef PG_RETURN_POINTER
#define PG_RETURN_POINTER(x) \
	return PointerGetDatum(__builtin_types_compatible_p(__typeof__(x), IndexAmRoutine *) ? \
						   (void *) (x) : memcheck_value(x))

#endif							/* SANITIZE_MEMCHECK_H */
