/*
 * table.c
 *		Entries of the cache: found by key, kept by S3-FIFO within a number of bytes.
 *
 * Locks: one shard's at a time, share to look up, exclusive to change.
 */
#include "postgres.h"

#include "cache/store.h"
#include "utils/memutils.h"

/* Hits beyond are not counted. */
#define VX_MOST_HITS	3
/* In the small queue: with more hits than this an entry goes to the main queue. */
#define VX_ONCE	1
/* The small queue has this part of a shard, and one entry no more than that of it. */
#define VX_SMALL_PART	10
#define VX_ENTRY_PART	4

static inline VxEntry *
entry_at(const VxCacheHere *here, dsa_pointer at)
{
	return (VxEntry *) dsa_get_address(here->area, at);
}

static inline VxShard *
shard_of(const VxCacheHere *here, uint64 hash)
{
	return &here->store->shards[hash % VX_SHARDS];
}

static inline dsa_pointer *
bucket_of(VxShard *shard, uint64 hash)
{
	return &shard->buckets[hash / VX_SHARDS % VX_BUCKETS];
}

/* The entry of a key; *at: where it is. */
static VxEntry *
find(const VxCacheHere *here, VxShard *shard, const VxCacheKey *key, dsa_pointer *at)
{
	for (*at = *bucket_of(shard, key->hash); *at != InvalidDsaPointer;)
	{
		VxEntry	   *e = entry_at(here, *at);

		if (e->hash == key->hash && e->key_len == key->len && memcmp(VxEntryKey(e), key->bytes, key->len) == 0)
			return e;
		*at = e->chain;
	}
	return NULL;
}

/* A copy, in cxt, of a key's value with its stamp; false when there is none. */
bool
VxTableGet(const VxCacheHere *here, const VxCacheKey *key, MemoryContext cxt, VxCacheFound *found)
{
	VxShard	   *shard = shard_of(here, key->hash);
	dsa_pointer at;
	VxEntry	   *e;

	LWLockAcquire(&shard->lock, LW_SHARED);
	e = find(here, shard, key, &at);
	if (e != NULL)
	{
		uint32		hits = pg_atomic_read_u32(&e->hits);

		/* one that is lost does no harm */
		if (hits < VX_MOST_HITS)
			pg_atomic_write_u32(&e->hits, hits + 1);
		found->stamp = e->stamp;
		found->len = e->len;
		found->bytes = MemoryContextAlloc(cxt, e->len);
		memcpy(found->bytes, VxEntryValue(e), e->len);
	}
	LWLockRelease(&shard->lock);
	return e != NULL;
}

/* ---- queues; the shard is locked exclusively ---- */

static void
enqueue(const VxCacheHere *here, VxShard *shard, VxQueueId id, VxEntry *e, dsa_pointer at)
{
	VxQueue	   *q = &shard->queues[id];

	e->queue = id;
	e->before = q->last;
	e->behind = InvalidDsaPointer;
	if (q->last != InvalidDsaPointer)
		entry_at(here, q->last)->behind = at;
	else
		q->end = at;
	q->last = at;
	q->bytes += e->size;
	q->n++;
}

static void
dequeue(const VxCacheHere *here, VxShard *shard, VxEntry *e)
{
	VxQueue	   *q = &shard->queues[e->queue];

	if (e->before != InvalidDsaPointer)
		entry_at(here, e->before)->behind = e->behind;
	else
		q->end = e->behind;
	if (e->behind != InvalidDsaPointer)
		entry_at(here, e->behind)->before = e->before;
	else
		q->last = e->before;
	q->bytes -= e->size;
	q->n--;
}

/* Take an entry out of queue and bucket, and free it. */
static void
drop(const VxCacheHere *here, VxShard *shard, VxEntry *e, dsa_pointer at)
{
	dsa_pointer *from = bucket_of(shard, e->hash);

	dequeue(here, shard, e);
	while (*from != at)
		from = &entry_at(here, *from)->chain;
	*from = e->chain;
	dsa_free(here->area, at);
}

/* ---- S3-FIFO ---- */

static inline VxGhost *
ghost_of(VxShard *shard, uint64 hash)
{
	return &shard->ghosts[hash / VX_SHARDS % VX_GHOSTS];
}

static void
remember(VxShard *shard, uint64 hash)
{
	VxGhost	   *ghost = ghost_of(shard, hash);

	if (++shard->ghosted == 0)
		shard->ghosted = 1;
	ghost->hash = (uint32) (hash >> 32);
	ghost->at = shard->ghosted;
}

/* Has it left the small queue a short time ago: no more have since than the main queue has? */
static bool
is_ghost(VxShard *shard, uint64 hash)
{
	const VxGhost *ghost = ghost_of(shard, hash);

	return ghost->at != 0 && ghost->hash == (uint32) (hash >> 32) &&
		   shard->ghosted - ghost->at <= shard->queues[VX_MAIN].n;
}

/* One at the end of a queue goes, to the main queue, once round it, or for good. */
static void
evict(const VxCacheHere *here, VxShard *shard, Size limit)
{
	const bool small = shard->queues[VX_SMALL].n > 0 &&
					   (shard->queues[VX_SMALL].bytes > limit / VX_SMALL_PART || shard->queues[VX_MAIN].n == 0);
	const dsa_pointer at = shard->queues[small ? VX_SMALL : VX_MAIN].end;
	VxEntry	   *e = entry_at(here, at);
	const uint32 hits = pg_atomic_read_u32(&e->hits);

	if (small ? hits > VX_ONCE : hits > 0)
	{
		dequeue(here, shard, e);
		pg_atomic_write_u32(&e->hits, small ? 0 : hits - 1);
		enqueue(here, shard, VX_MAIN, e, at);
		return;
	}
	if (small)
		remember(shard, e->hash);
	VxStateCount(here, (const VxCacheIndex *) VxEntryKey(e), VX_COUNT_EVICTIONS);
	drop(here, shard, e, at);
}

/* ---- adding ---- */

static bool
is_older(const VxCacheStamp *a, const VxCacheStamp *b)
{
	return a->blind < b->blind || a->epoch < b->epoch || (a->epoch == b->epoch && a->seq < b->seq);
}

/*
 * Write a value over that which the key has, if it is as long, and not newer.  False: there is none like that.
 */
static bool
overwrite(const VxCacheHere *here, const VxCacheKey *key, const VxCacheStamp *stamp, const char *bytes, uint32 len)
{
	VxShard    *shard = shard_of(here, key->hash);
	dsa_pointer at;
	VxEntry    *e;
	bool		done;

	LWLockAcquire(&shard->lock, LW_EXCLUSIVE);
	e = find(here, shard, key, &at);
	done = e != NULL && e->len == len && !is_older(stamp, &e->stamp);
	if (done)
	{
		e->stamp = *stamp;
		memcpy(VxEntryValue(e), bytes, len);
	}
	LWLockRelease(&shard->lock);
	return done;
}

/* A value with more bytes than this is never kept: who would form it need not. */
Size
VxCacheMostBytes(void)
{
	return Min(VxCacheShardBytes() / VX_ENTRY_PART, MaxAllocSize / 2);
}

/* Others give way until so many bytes more are within the limit, or none is left. */
static void
make_room(const VxCacheHere *here, VxShard *shard, Size size, Size limit)
{
	while (shard->queues[VX_SMALL].n + shard->queues[VX_MAIN].n > 0 &&
		   shard->queues[VX_SMALL].bytes + shard->queues[VX_MAIN].bytes + size > limit)
		evict(here, shard, limit);
}

/* When memory is short, so many entries that come first make room for themselves. */
#define VX_SHORT	1024

/* Memory for an entry, InvalidDsaPointer for none.  Where the server has no more to give it is not asked each time. */
static dsa_pointer
allocate(const VxCacheHere *here, VxShard *shard, Size size, Size limit)
{
	pg_atomic_uint32 *puts = &here->store->short_for;
	const uint32 left = pg_atomic_read_u32(puts);

	if (left == 0)
	{
		dsa_pointer at = VxSharedAllocate(here->area, size);

		if (at != InvalidDsaPointer)
			return at;
		pg_atomic_write_u32(puts, VX_SHORT);
	}
	else
		pg_atomic_write_u32(puts, left - 1); /* one that is lost does no harm */
	LWLockAcquire(&shard->lock, LW_EXCLUSIVE);
	make_room(here, shard, size, Min(limit, shard->queues[VX_SMALL].bytes + shard->queues[VX_MAIN].bytes));
	LWLockRelease(&shard->lock);
	return VxSharedAllocate(here->area, size);
}

/*
 * Keep a value, instead of one that the key has, unless that is newer.  again: it has one, probably as long.  Where memory is
 * short, or it is large, nothing is kept.
 */
void
VxTablePut(const VxCacheHere *here, const VxCacheKey *key, const VxCacheStamp *stamp, const char *bytes, uint32 len,
		   bool again)
{
	VxShard	   *shard = shard_of(here, key->hash);
	const Size	limit = VxCacheShardBytes();
	const Size	size = MAXALIGN(sizeof(VxEntry)) + MAXALIGN(key->len) + len;
	dsa_pointer at;
	dsa_pointer old_at;
	VxEntry	   *e;
	VxEntry	   *old;
	VxQueueId	queue;

	if (size > VxCacheMostBytes() || (again && overwrite(here, key, stamp, bytes, len)))
		return;
	at = allocate(here, shard, size, limit);
	if (at == InvalidDsaPointer)
		return;
	e = entry_at(here, at);
	e->hash = key->hash;
	e->size = size;
	e->key_len = key->len;
	e->len = len;
	e->stamp = *stamp;
	pg_atomic_init_u32(&e->hits, 0);
	memcpy(VxEntryKey(e), key->bytes, key->len);
	memcpy(VxEntryValue(e), bytes, len);

	LWLockAcquire(&shard->lock, LW_EXCLUSIVE);
	old = find(here, shard, key, &old_at);
	if (old != NULL && is_older(stamp, &old->stamp))
	{
		LWLockRelease(&shard->lock);
		dsa_free(here->area, at);
		return;
	}
	queue = old != NULL ? (VxQueueId) old->queue : is_ghost(shard, key->hash) ? VX_MAIN
																			  : VX_SMALL;
	if (old != NULL)
	{
		pg_atomic_write_u32(&e->hits, pg_atomic_read_u32(&old->hits));
		drop(here, shard, old, old_at);
	}
	make_room(here, shard, size, limit);
	e->chain = *bucket_of(shard, key->hash);
	*bucket_of(shard, key->hash) = at;
	enqueue(here, shard, queue, e, at);
	LWLockRelease(&shard->lock);
}

/* ---- all of them ---- */

void
VxTableClear(const VxCacheHere *here)
{
	for (int i = 0; i < VX_SHARDS; i++)
	{
		VxShard	   *shard = &here->store->shards[i];

		LWLockAcquire(&shard->lock, LW_EXCLUSIVE);
		for (int id = 0; id < VX_QUEUES; id++)
			while (shard->queues[id].end != InvalidDsaPointer)
				drop(here, shard, entry_at(here, shard->queues[id].end), shard->queues[id].end);
		memset(shard->ghosts, 0, sizeof(shard->ghosts));
		LWLockRelease(&shard->lock);
	}
}

/* "see" is called for each entry, with its shard locked. */
void
VxTableEach(const VxCacheHere *here, void (*see)(void *arg, const VxCacheIndex *of, Size size), void *arg)
{
	for (int i = 0; i < VX_SHARDS; i++)
	{
		VxShard	   *shard = &here->store->shards[i];

		LWLockAcquire(&shard->lock, LW_SHARED);
		for (int id = 0; id < VX_QUEUES; id++)
			for (dsa_pointer at = shard->queues[id].end; at != InvalidDsaPointer;)
			{
				VxEntry	   *e = entry_at(here, at);

				see(arg, (const VxCacheIndex *) VxEntryKey(e), e->size);
				at = e->behind;
			}
		LWLockRelease(&shard->lock);
	}
}
