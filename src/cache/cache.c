/*
 * cache.c
 *		The cache of results: its settings, where it is, and what others call.
 *
 * A backend attaches when it first needs to.  All that touches shared memory is done within
 * VxSharedTry: whatever goes wrong there, no error reaches the user.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "cache/cache.h"
#include "cache/store.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/guc.h"

static const struct config_enum_entry modes[] = {
	{"off", VX_CACHE_OFF, false},
	{"on", VX_CACHE_ON, false},
	{"all", VX_CACHE_ALL, false},
	{"false", VX_CACHE_OFF, true},
	{"true", VX_CACHE_ON, true},
	{"no", VX_CACHE_OFF, true},
	{"yes", VX_CACHE_ON, true},
	{"0", VX_CACHE_OFF, true},
	{"1", VX_CACHE_ON, true},
	{NULL, 0, false}
};

#define DEFAULT_SIZE_KB	(16 * 1024)
#define MAX_SIZE_KB	(1024 * 1024 * 1024)
#define MAX_KEY_BITS	16
#define MAX_STALENESS	(24 * 60 * 60 * 1000)

static int mode = VX_CACHE_OFF;
static int size_kb = DEFAULT_SIZE_KB;
static int staleness = 0;
static int key_bits = 0;

static VxCacheHere here; /* store NULL: not attached */

/* The settings vectorx.cache*. */
void
VxCacheInit(void)
{
	DefineCustomEnumVariable("vectorx.cache",
							 "Whether index scans share what they find.",
							 "\"all\" also those of tables with row-level security.",
							 &mode, VX_CACHE_OFF, modes,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("vectorx.cache_size",
							"Shared memory for what they find.",
							NULL, &size_kb, DEFAULT_SIZE_KB, 0, MAX_SIZE_KB,
							PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("vectorx.cache_staleness",
							"Time within which rows inserted since may be missed.",
							"0 misses none; and on a standby there is no cache.",
							&staleness, 0, 0, MAX_STALENESS,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("vectorx.cache_key_bits",
							"Bits to which elements of queries are rounded to share what is found.",
							"0: only equal queries share it.",
							&key_bits, 0, 0, MAX_KEY_BITS,
							PGC_USERSET, 0, NULL, NULL, NULL);
}

/* vectorx.cache_key_bits */
int
VxCacheKeyBits(void)
{
	return key_bits;
}

/* vectorx.cache, as far as there can be a cache. */
VxCacheMode
VxCacheChosen(void)
{
	/* replay tells no cache what it writes */
	return mode == VX_CACHE_OFF || size_kb == 0 || (staleness == 0 && RecoveryInProgress()) ?
		VX_CACHE_OFF : (VxCacheMode) mode;
}

Size
VxCacheBytes(void)
{
	return (Size) size_kb * 1024;
}

Size
VxCacheShardBytes(void)
{
	return VxCacheBytes() / VX_SHARDS;
}

/* ---- where it is ---- */

static void
init_store(VxStore *store, int tranche)
{
	pg_atomic_init_u64(&store->epochs, 0);
	pg_atomic_init_u64(&store->ring_bytes, 0);
	pg_atomic_init_u32(&store->short_for, 0);
	for (int i = 0; i < VX_GROUPS; i++)
	{
		LWLockInitialize(&store->groups[i].lock, tranche);
		for (int j = 0; j < VX_GROUP_STATES; j++)
		{
			VxState	   *state = &store->groups[i].states[j];

			state->ring = InvalidDsaPointer;
			pg_atomic_init_u64(&state->used, 0);
			pg_atomic_init_u32(&state->mean, 0);
			for (int k = 0; k < VX_COUNTS; k++)
				pg_atomic_init_u64(&state->counts[k], 0);
		}
	}
	for (int i = 0; i < VX_FLIGHTS; i++)
	{
		SpinLockInit(&store->flights[i].mutex);
		ConditionVariableInit(&store->flights[i].landed);
	}
	for (int i = 0; i < VX_SHARDS; i++)
	{
		VxShard	   *shard = &store->shards[i];

		LWLockInitialize(&shard->lock, tranche);
		for (int j = 0; j < VX_QUEUES; j++)
			shard->queues[j].end = shard->queues[j].last = InvalidDsaPointer;
		for (int j = 0; j < VX_BUCKETS; j++)
			shard->buckets[j] = InvalidDsaPointer;
	}
}

/* A VxSharedTry: attach the store, which is made if there is none. */
static void
attach(void *arg)
{
	LWLock	   *lock = VxSharedLock();

	LWLockAcquire(lock, LW_EXCLUSIVE);
	if (here.root->cache == InvalidDsaPointer)
	{
		dsa_pointer made = dsa_allocate_extended(here.area, sizeof(VxStore), DSA_ALLOC_ZERO | DSA_ALLOC_HUGE);

		init_store(dsa_get_address(here.area, made), lock->tranche);
		here.root->cache = made;
	}
	here.store = dsa_get_address(here.area, here.root->cache);
	LWLockRelease(lock);
}

/* The store, attached, and made if there is none; NULL: it cannot be had. */
const VxCacheHere *
VxCacheAttach(void)
{
	if (likely(here.store != NULL))
		return &here;
	here.root = VxSharedRootFind();
	here.area = here.root != NULL ? VxSharedAttach() : NULL;
	if (here.area == NULL || !VxSharedTry(attach, NULL))
		return NULL;
	return &here;
}

/* ---- results ---- */

/* A key of these bytes, which stay where they are. */
void
VxCacheKeySet(VxCacheKey *key, const char *bytes, uint32 len)
{
	key->bytes = bytes;
	key->len = len;
	key->hash = hash_bytes_extended((const unsigned char *) bytes, len, 0);
	if (key->hash == 0)
		key->hash = 1; /* which flights take for none */
}

typedef struct FindArgs
{
	const VxCacheKey *key;
	MemoryContext cxt;
	VxCacheFound *found;
	bool		done;
} FindArgs;

static void
try_find(void *arg)
{
	FindArgs   *args = (FindArgs *) arg;
	const VxCacheIndex *of = (const VxCacheIndex *) args->key->bytes;
	bool		stale;

	if (!VxTableGet(&here, args->key, args->cxt, args->found))
		return;
	/* may what has been written since be missed? */
	stale = staleness > 0 && !TimestampDifferenceExceeds(args->found->stamp.at, GetCurrentTimestamp(), staleness);
	/* replay tells nobody what that is */
	args->done = (stale || !RecoveryInProgress()) && VxStateNews(&here, of, stale, args->found);
}

/*
 * A result that is kept, copied to cxt, with the nodes that are to be added: then it is as good as a
 * search made now.  False: there is none.  To be called when the snapshot has been taken.
 */
bool
VxCacheFind(const VxCacheKey *key, MemoryContext cxt, VxCacheFound *found)
{
	FindArgs	args = {key, cxt, found, false};

	return VxCacheAttach() != NULL && VxSharedTry(try_find, &args) && args.done;
}

/* A result has been found and used; merged: after what has been written since had been looked at. */
void
VxCacheHit(const VxCacheKey *key, bool merged)
{
	const VxCacheIndex *of = (const VxCacheIndex *) key->bytes;

	VxStateCount(&here, of, VX_COUNT_HITS);
	if (merged)
		VxStateCount(&here, of, VX_COUNT_MERGES);
}

typedef struct HeldArgs
{
	const VxCacheKey *key;
	const VxCacheFound *found;
	bool		held;
} HeldArgs;

static void
try_held(void *arg)
{
	HeldArgs   *args = (HeldArgs *) arg;

	args->held = VxStateNewsHeld(&here, (const VxCacheIndex *) args->key->bytes, args->found);
}

/* Have the news been what they were while they were read?  Before any other call. */
bool
VxCacheNewsHeld(const VxCacheKey *key, const VxCacheFound *found)
{
	HeldArgs	args = {key, found, false};

	return VxSharedTry(try_held, &args) && args.held;
}

typedef struct PutArgs
{
	const VxCacheKey *key;
	const VxCacheStamp *stamp;
	const char *bytes;
	uint32		len;
	bool		again;
} PutArgs;

static void
try_put(void *arg)
{
	const PutArgs *args = (const PutArgs *) arg;

	VxTablePut(&here, args->key, args->stamp, args->bytes, args->len, args->again);
}

/* Keep a result of a search that began with this stamp, or was brought up to it; again: the key has one. */
void
VxCachePut(const VxCacheKey *key, const VxCacheStamp *stamp, const char *bytes, uint32 len, bool again)
{
	PutArgs		args = {key, stamp, bytes, len, again};

	if (stamp->epoch != 0 && VxCacheAttach() != NULL)
		(void) VxSharedTry(try_put, &args);
}

typedef struct BeginArgs
{
	const VxCacheIndex *of;
	uint32		item;
	VxCacheStamp *stamp;
} BeginArgs;

static void
try_begin(void *arg)
{
	const BeginArgs *args = (const BeginArgs *) arg;

	VxStateBegin(&here, args->of, args->item, args->stamp);
	VxStateCount(&here, args->of, VX_COUNT_MISSES);
}

/*
 * A search for a key begins, whose result is to be kept: before it reads a page.  Sets its stamp.  item: bytes that
 * writers of the index will tell.
 */
void
VxCacheBegin(const VxCacheKey *key, uint32 item, VxCacheStamp *stamp)
{
	BeginArgs	args = {(const VxCacheIndex *) key->bytes, item, stamp};

	memset(stamp, 0, sizeof(*stamp));
	if (VxCacheAttach() == NULL || !VxSharedTry(try_begin, &args))
		stamp->epoch = 0;
}

/* How long a search has taken: one in eight of their mean, roughly. */
void
VxCacheTook(const VxCacheKey *key, uint64 microseconds)
{
	VxState	   *state = VxCacheAttach() != NULL ? VxStateHint(&here, (const VxCacheIndex *) key->bytes) : NULL;
	int64		mean;

	if (state == NULL)
		return;
	mean = pg_atomic_read_u32(&state->mean);
	microseconds = Min(microseconds, PG_INT32_MAX);
	mean = mean == 0 ? (int64) microseconds : mean + ((int64) microseconds - mean) / 8;
	pg_atomic_write_u32(&state->mean, (uint32) Max(mean, 1));
}

/* ---- writes ---- */

typedef struct WriteArgs
{
	const VxCacheIndex *of;
	const void *bytes;			/* NULL: all that has been kept is void */
	uint32		len;
} WriteArgs;

static void
try_write(void *arg)
{
	const WriteArgs *args = (const WriteArgs *) arg;

	if (args->bytes == NULL)
		VxStateVoid(&here, args->of);
	else
		VxStateWritten(&here, args->of, args->bytes, args->len);
}

/*
 * Has any index a state, so that writes are to be told?  To be asked after a change of the index: a search that
 * makes a state later than this sees the change.
 */
bool
VxCacheListens(void)
{
	VxSharedRoot *root = VxSharedRootFind();

	/* without it there is no state */
	if (root == NULL)
		return false;
	/* the index has been changed before */
	pg_memory_barrier();
	return unlikely(pg_atomic_read_u32(&root->cache_states) > 0);
}

/* Tell the index's state; where that fails, all entries are void. */
static void
tell(const WriteArgs *args)
{
	if (VxCacheAttach() == NULL || !VxSharedTry(try_write, (void *) args))
		pg_atomic_fetch_add_u64(&VxSharedRootFind()->cache_blind, 1);
}

/*
 * An index that VxCacheListens has been changed by an insert: to be called after that, before the commit.  The first 8
 * of the bytes have to be enough to know what it was.
 */
void
VxCacheWritten(const VxCacheIndex *of, const void *bytes, uint32 len)
{
	WriteArgs	args = {of, bytes, len};

	tell(&args);
}

/* What has been kept of an index is void: before slots and heap TIDs that have become free are used by others. */
void
VxCacheVoid(const VxCacheIndex *of)
{
	WriteArgs	args = {of, NULL, 0};

	if (VxCacheListens())
		tell(&args);
}
