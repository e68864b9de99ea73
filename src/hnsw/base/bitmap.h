/*
 * bitmap.h
 *		A bit for each of n numbers.
 */
#ifndef HNSW_BASE_BITMAP_H
#define HNSW_BASE_BITMAP_H

#include "postgres.h"

#include "utils/memutils.h"

#define HNSW_BITMAP_WORDS(n)	((n) / 64 + 1)

/* All clear; in the current context. */
static inline uint64 *
HnswBitmapMake(uint64 n)
{
	return MemoryContextAllocExtended(CurrentMemoryContext, HNSW_BITMAP_WORDS(n) * sizeof(uint64),
									  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
}

static inline void
HnswBitmapClear(uint64 *bits, uint64 n)
{
	memset(bits, 0, HNSW_BITMAP_WORDS(n) * sizeof(uint64));
}

static inline bool
HnswBitmapTest(const uint64 *bits, uint64 i)
{
	return (bits[i / 64] >> (i % 64)) & 1;
}

/* Set a bit; true if it was set. */
static inline bool
HnswBitmapSet(uint64 *bits, uint64 i)
{
	bool		was = HnswBitmapTest(bits, i);

	bits[i / 64] |= UINT64CONST(1) << (i % 64);
	return was;
}

#endif							/* HNSW_BASE_BITMAP_H */
