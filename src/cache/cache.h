/*
 * cache.h
 *		Results of searches, shared by sessions; see README.
 *
 * Nothing here raises an error for want of shared memory: then there is no cache.
 */
#ifndef VECTORX_CACHE_H
#define VECTORX_CACHE_H

#include "utils/timestamp.h"

/* vectorx.cache */
typedef enum VxCacheMode
{
	VX_CACHE_OFF,
	VX_CACHE_ON,
	VX_CACHE_ALL /* also of tables with row-level security */
} VxCacheMode;

/* An index, as entries know it. */
typedef struct VxCacheIndex
{
	Oid			database;
	uint32		made;			/* what tells it from one of before with this OID */
	Oid			index;
	Oid			file;			/* relfilenumber */
} VxCacheIndex;

/* When a search began, as far as the index's writers are concerned. */
typedef struct VxCacheStamp
{
	uint64		blind;
	uint64		epoch;			/* 0: there is none, nothing can be kept */
	uint64		seq;
	TimestampTz	at;
} VxCacheStamp;

/* Bytes that a result is found by; they begin with the VxCacheIndex. */
typedef struct VxCacheKey
{
	const char *bytes;
	uint32		len;
	uint64		hash;			/* VxCacheKeySet */
} VxCacheKey;

/* Most bytes of what is told of a write: of more only the first 8 are known. */
#define VX_ITEM_MOST	2048

/* What a writer has told, or its beginning. */
typedef struct VxNews
{
	uint32		len;
	uint32		unused;
	char		bytes[FLEXIBLE_ARRAY_MEMBER];
} VxNews;

/* What has been found, in the memory that the caller asked for. */
typedef struct VxCacheFound
{
	VxCacheStamp stamp;			/* of now, when "news" have been added */
	char	   *bytes;
	uint32		len;
	int			nnews;			/* writes since: VxCacheNewsAt */
	/* where they are; what else is known of that place may have changed */
	const char *ring_items;
	uint32		ring_n;			/* a power of two */
	Size		ring_step;
} VxCacheFound;

/*
 * One of the news, the first is 0: in a ring, without a lock, and perhaps written anew or freed since, though there is memory.  What
 * is read there counts for nothing unless VxCacheNewsHeld says so afterwards; until then no shared memory may be asked for.
 */
static inline const VxNews *
VxCacheNewsAt(const VxCacheFound *found, int i)
{
	const uint64 seq = found->stamp.seq - found->nnews + 1 + i;

	return (const VxNews *) (found->ring_items + (seq & (found->ring_n - 1)) * found->ring_step);
}

/* What a session is to do for a key that has no entry. */
typedef enum VxCacheTurn
{
	VX_CACHE_ALONE, /* search; nobody waits */
	VX_CACHE_FIRST, /* search, and call VxCacheLand, come what may */
	VX_CACHE_AGAIN /* somebody else has searched: look again */
} VxCacheTurn;

/* ---- cache.c ---- */
extern void VxCacheInit(void);
extern VxCacheMode VxCacheChosen(void);
extern int	VxCacheKeyBits(void);
extern void VxCacheKeySet(VxCacheKey *key, const char *bytes, uint32 len);
extern bool VxCacheFind(const VxCacheKey *key, MemoryContext cxt, VxCacheFound *found);
extern void VxCacheHit(const VxCacheKey *key, bool merged);
extern bool VxCacheNewsHeld(const VxCacheKey *key, const VxCacheFound *found);
extern void VxCacheBegin(const VxCacheKey *key, uint32 item, VxCacheStamp *stamp);
extern void VxCachePut(const VxCacheKey *key, const VxCacheStamp *stamp, const char *bytes, uint32 len,
					   bool again);
extern void VxCacheTook(const VxCacheKey *key, uint64 microseconds);
extern bool VxCacheListens(void);
extern void VxCacheWritten(const VxCacheIndex *of, const void *bytes, uint32 len);
extern void VxCacheVoid(const VxCacheIndex *of);

/* ---- table.c ---- */
extern Size VxCacheMostBytes(void);

/* ---- flights.c ---- */
extern VxCacheTurn VxCacheTurnOf(const VxCacheKey *key);
extern void VxCacheLand(const VxCacheKey *key);

#endif /* VECTORX_CACHE_H */
