/*
 * store.h
 *		What is in shared memory: shards of entries, states of indexes, flights.
 *
 * For the files of this room.  Functions of table.c and states.c are called within VxSharedTry: they
 * may raise an error for want of memory, and leave all as it was then.
 */
#ifndef VECTORX_CACHE_STORE_H
#define VECTORX_CACHE_STORE_H

#include "cache/cache.h"
#include "port/atomics.h"
#include "shared/shared.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"
#include "storage/s_lock.h"
#include "storage/spin.h"
#include "utils/dsa.h"

#define VX_SHARDS	16
#define VX_BUCKETS	2048
#define VX_GHOSTS	2048
#define VX_GROUPS	16
#define VX_GROUP_STATES	8
#define VX_RING_MOST	8192
#define VX_RING_LEAST	1024
#define VX_RING_BYTES	(8 * 1024 * 1024)
#define VX_FLIGHTS	64

/* What is counted, of an index, in the order of vectorx_cache_stats(). */
typedef enum VxCount
{
	VX_COUNT_HITS,
	VX_COUNT_MISSES,
	VX_COUNT_MERGES, /* hits that had nodes to look at */
	VX_COUNT_WAITS,
	VX_COUNT_EVICTIONS,
	VX_COUNTS /* so many */
} VxCount;

/* A result.  Behind it: the key's bytes, the value's. */
typedef struct VxEntry
{
	dsa_pointer chain;			/* the next of its bucket */
	dsa_pointer before;			/* nearer to the end of its queue */
	dsa_pointer behind;
	uint64		hash;
	Size		size;			/* all of it */
	uint32		key_len;
	uint32		len;
	int			queue;
	pg_atomic_uint32 hits;		/* since it was looked at last, at most VX_MOST_HITS */
	VxCacheStamp stamp;
} VxEntry;

#define VxEntryKey(e)	((char *) (e) + MAXALIGN(sizeof(VxEntry)))
#define VxEntryValue(e)	(VxEntryKey(e) + MAXALIGN((e)->key_len))

typedef enum VxQueueId
{
	VX_SMALL,
	VX_MAIN,
	VX_QUEUES
} VxQueueId;

typedef struct VxQueue
{
	dsa_pointer end;			/* goes next */
	dsa_pointer last;			/* came last */
	Size		bytes;
	uint32		n;
} VxQueue;

/* A key that left the small queue. */
typedef struct VxGhost
{
	uint32		hash;
	uint32		at;				/* the shard's "ghosted" then; 0: none */
} VxGhost;

typedef struct VxShard
{
	LWLock		lock;
	VxQueue		queues[VX_QUEUES];
	uint32		ghosted;		/* counts ghosts */
	VxGhost		ghosts[VX_GHOSTS];
	dsa_pointer buckets[VX_BUCKETS];
} VxShard;

/* What has been written to an index, the last of it: number seq is at seq modulo n. */
typedef struct VxRing
{
	uint32		item;			/* most bytes of one */
	uint32		n;				/* a power of two */
	Size		step;			/* from one to the next */
	Size		size;			/* all of it */
	char		items[FLEXIBLE_ARRAY_MEMBER];	/* VxNews, MAXALIGNed */
} VxRing;

/* What has been written to an index. */
typedef struct VxState
{
	VxCacheIndex of;			/* no database: not in use */
	uint64		epoch;
	uint64		seq;			/* nodes written since the epoch began, and before */
	dsa_pointer ring;			/* VxRing */
	pg_atomic_uint64 used;		/* when it was asked for last */
	pg_atomic_uint32 mean;		/* microseconds of a search; 0: not known */
	pg_atomic_uint64 counts[VX_COUNTS];
} VxState;

typedef struct VxGroup
{
	LWLock		lock;
	VxState		states[VX_GROUP_STATES];
} VxGroup;

/* A place for a key that is searched for. */
typedef struct VxFlight
{
	slock_t		mutex;
	uint64		hash;			/* 0: free */
	uint64		ticket;			/* counts who took it */
	ConditionVariable landed;
} VxFlight;

typedef struct VxStore
{
	pg_atomic_uint64 epochs;	/* the last one given */
	pg_atomic_uint64 ring_bytes;	/* of all rings that have more than the least */
	pg_atomic_uint32 short_for; /* entries that are to make room for themselves: memory is short */
	VxGroup		groups[VX_GROUPS];
	VxFlight	flights[VX_FLIGHTS];
	VxShard		shards[VX_SHARDS];
} VxStore;

/* The store as this process sees it. */
typedef struct VxCacheHere
{
	dsa_area   *area;
	VxStore	   *store;
	VxSharedRoot *root;
} VxCacheHere;

/* ---- cache.c ---- */
extern const VxCacheHere *VxCacheAttach(void);
extern Size VxCacheShardBytes(void);
extern Size VxCacheBytes(void);

/* ---- table.c ---- */
extern bool VxTableGet(const VxCacheHere *here, const VxCacheKey *key, MemoryContext cxt, VxCacheFound *found);
extern void VxTablePut(const VxCacheHere *here, const VxCacheKey *key, const VxCacheStamp *stamp,
					   const char *bytes, uint32 len, bool again);
extern void VxTableClear(const VxCacheHere *here);
extern void VxTableEach(const VxCacheHere *here, void (*see)(void *arg, const VxCacheIndex *of, Size size), void *arg);

/* ---- states.c ---- */
extern void VxStateBegin(const VxCacheHere *here, const VxCacheIndex *of, uint32 item, VxCacheStamp *stamp);
extern bool VxStateNews(const VxCacheHere *here, const VxCacheIndex *of, bool stale, VxCacheFound *found);
extern bool VxStateNewsHeld(const VxCacheHere *here, const VxCacheIndex *of, const VxCacheFound *found);
extern void VxStateWritten(const VxCacheHere *here, const VxCacheIndex *of, const void *bytes, uint32 len);
extern void VxStateVoid(const VxCacheHere *here, const VxCacheIndex *of);
extern void VxStatesClear(const VxCacheHere *here);
extern VxState *VxStateHint(const VxCacheHere *here, const VxCacheIndex *of);
extern void VxStateCount(const VxCacheHere *here, const VxCacheIndex *of, VxCount what);

#endif /* VECTORX_CACHE_STORE_H */
