/*
 * states.c
 *		What has been written to the indexes that the cache has entries of: epochs, and rings of
 *		what has been written (README, "Why it is fresh").
 *
 * Locks: one group's at a time, share to read, exclusive to change.  Items of a ring are read without one.
 */
#include "postgres.h"

#include "cache/store.h"
#include "common/hashfn.h"

/* Microseconds after which a state that nobody asks for may go. */
#define IDLE	(UINT64CONST(60) * 1000 * 1000)

static inline VxGroup *
group_of(const VxCacheHere *here, const VxCacheIndex *of)
{
	return &here->store->groups[hash_bytes((const unsigned char *) of, sizeof(*of)) % VX_GROUPS];
}

static inline bool
same_index(const VxCacheIndex *a, const VxCacheIndex *b)
{
	return a->index == b->index && a->file == b->file && a->database == b->database && a->made == b->made;
}

static VxState *
find(VxGroup *group, const VxCacheIndex *of)
{
	for (int i = 0; i < VX_GROUP_STATES; i++)
		if (same_index(&group->states[i].of, of))
			return &group->states[i];
	return NULL;
}

/*
 * The state of an index for counters, NULL for none: looked for without a lock, so that it may just
 * have become another's.
 */
VxState *
VxStateHint(const VxCacheHere *here, const VxCacheIndex *of)
{
	return find(group_of(here, of), of);
}

void
VxStateCount(const VxCacheHere *here, const VxCacheIndex *of, VxCount what)
{
	VxState	   *state = VxStateHint(here, of);

	if (state != NULL)
		pg_atomic_fetch_add_u64(&state->counts[what], 1);
}

/* ---- rings ---- */

/* An item has no more than this: the ring is of the least kind. */
#define LEAST_ITEM	sizeof(uint64)

/* How large a ring is that has items of so many bytes. */
static void
size_ring(VxRing *ring, uint32 item)
{
	ring->item = item;
	ring->n = item > LEAST_ITEM ? VX_RING_MOST : VX_RING_LEAST;
	ring->step = MAXALIGN(offsetof(VxNews, bytes) + item);
	while (ring->n > VX_RING_LEAST && ring->n * ring->step > VX_RING_BYTES)
		ring->n /= 2;
	ring->size = offsetof(VxRing, items) + ring->n * ring->step;
}

static VxNews *
ring_item(VxRing *ring, uint64 seq)
{
	return (VxNews *) (ring->items + (seq & (ring->n - 1)) * ring->step);
}

static void
free_ring(const VxCacheHere *here, dsa_pointer at)
{
	const VxRing *ring = dsa_get_address(here->area, at);

	if (ring->item > LEAST_ITEM)
		pg_atomic_fetch_sub_u64(&here->store->ring_bytes, ring->size);
	dsa_free(here->area, at);
}

/* A state is in use no more.  Its group's lock is held. */
static void
forget(const VxCacheHere *here, VxState *state)
{
	memset(&state->of, 0, sizeof(VxCacheIndex));
	pg_atomic_fetch_sub_u32(&here->root->cache_states, 1);
	free_ring(here, state->ring);
	state->ring = InvalidDsaPointer;
}

/* States that nobody has asked for within a minute give way, while there are too many bytes of rings. */
static void
forget_idle(const VxCacheHere *here, Size wanted)
{
	const uint64 now = (uint64) GetCurrentTimestamp();

	for (int i = 0; i < VX_GROUPS; i++)
	{
		VxGroup	   *group = &here->store->groups[i];

		if (pg_atomic_read_u64(&here->store->ring_bytes) + wanted <= VxCacheBytes())
			return;
		LWLockAcquire(&group->lock, LW_EXCLUSIVE);
		for (int j = 0; j < VX_GROUP_STATES; j++)
			if (OidIsValid(group->states[j].of.database) &&
				pg_atomic_read_u64(&group->states[j].used) + IDLE < now)
				forget(here, &group->states[j]);
		LWLockRelease(&group->lock);
	}
}

/* A ring for items of so many bytes, or, where rings would take more than the cache, the least; InvalidDsaPointer: none. */
static dsa_pointer
new_ring(const VxCacheHere *here, uint32 item)
{
	const Size	room = VxCacheBytes();
	dsa_pointer at = InvalidDsaPointer;
	VxRing		ring;

	size_ring(&ring, item <= VX_ITEM_MOST ? item : LEAST_ITEM);
	if (ring.item > LEAST_ITEM)
	{
		forget_idle(here, ring.size);
		if (pg_atomic_fetch_add_u64(&here->store->ring_bytes, ring.size) + ring.size <= room)
			at = VxSharedAllocate(here->area, ring.size);
		if (at == InvalidDsaPointer)
		{
			pg_atomic_fetch_sub_u64(&here->store->ring_bytes, ring.size);
			size_ring(&ring, LEAST_ITEM);
		}
	}
	if (at == InvalidDsaPointer)
		at = VxSharedAllocate(here->area, ring.size);
	if (at != InvalidDsaPointer)
		memcpy(dsa_get_address(here->area, at), &ring, offsetof(VxRing, items));
	return at;
}

/* ---- searches ---- */

/*
 * A state for an index, of the group's that are not in use, or that which was asked for longest ago; with this
 * ring.
 */
static VxState *
make(const VxCacheHere *here, VxGroup *group, const VxCacheIndex *of, dsa_pointer ring)
{
	VxState	   *state = &group->states[0];

	for (int i = 0; i < VX_GROUP_STATES; i++)
	{
		VxState	   *other = &group->states[i];

		if (!OidIsValid(other->of.database))
		{
			state = other;
			break;
		}
		if (pg_atomic_read_u64(&other->used) < pg_atomic_read_u64(&state->used))
			state = other;
	}
	if (OidIsValid(state->of.database))
		forget(here, state);
	pg_atomic_fetch_add_u32(&here->root->cache_states, 1);
	state->ring = ring;
	state->of = *of;
	state->epoch = pg_atomic_add_fetch_u64(&here->store->epochs, 1);
	state->seq = 0;
	pg_atomic_write_u32(&state->mean, 0);
	for (int i = 0; i < VX_COUNTS; i++)
		pg_atomic_write_u64(&state->counts[i], 0);
	return state;
}

static void
note(VxState *state, VxCacheStamp *stamp)
{
	stamp->epoch = state->epoch;
	stamp->seq = state->seq;
	pg_atomic_write_u64(&state->used, (uint64) stamp->at);
}

/*
 * A search begins that is to be kept: its stamp.  The index has a state then, of which every write knows
 * that the search may not see; epoch 0 where it can have none.  item: bytes of what is written, as VxStateWritten will have them.
 */
void
VxStateBegin(const VxCacheHere *here, const VxCacheIndex *of, uint32 item, VxCacheStamp *stamp)
{
	VxGroup	   *group = group_of(here, of);
	VxState	   *state;
	dsa_pointer ring;

	stamp->blind = pg_atomic_read_u64(&here->root->cache_blind);
	stamp->at = GetCurrentTimestamp();
	LWLockAcquire(&group->lock, LW_SHARED);
	state = find(group, of);
	if (state != NULL)
		note(state, stamp);
	LWLockRelease(&group->lock);
	if (state == NULL)
	{
		ring = new_ring(here, item);
		if (ring == InvalidDsaPointer)
		{
			stamp->epoch = 0;
			return;
		}
		LWLockAcquire(&group->lock, LW_EXCLUSIVE);
		state = find(group, of);
		if (state == NULL)
		{
			state = make(here, group, of, ring);
			ring = InvalidDsaPointer;
		}
		note(state, stamp);
		LWLockRelease(&group->lock);
		if (ring != InvalidDsaPointer)
			free_ring(here, ring);
	}
	/* before any page is read */
	pg_memory_barrier();
}

/*
 * What has been written since found->stamp, which becomes that of now: false, if that is too much or not
 * known.  stale: what it is does not matter.
 */
bool
VxStateNews(const VxCacheHere *here, const VxCacheIndex *of, bool stale, VxCacheFound *found)
{
	VxGroup	   *group = group_of(here, of);
	VxCacheStamp *stamp = &found->stamp;
	const uint64 now = (uint64) GetCurrentTimestamp();
	bool		good = false;
	VxState	   *state;

	found->nnews = 0;
	if (stamp->blind != pg_atomic_read_u64(&here->root->cache_blind))
		return false;
	LWLockAcquire(&group->lock, LW_SHARED);
	state = find(group, of);
	if (state != NULL && state->epoch == stamp->epoch)
	{
		VxRing	   *ring = dsa_get_address(here->area, state->ring);

		/* some of those that come while they are read have room, too */
		good = stale || state->seq - stamp->seq <= ring->n - ring->n / 8;
		if (good && !stale)
		{
			found->ring_items = ring->items;
			found->ring_n = ring->n;
			found->ring_step = ring->step;
			found->nnews = (int) (state->seq - stamp->seq);
			stamp->seq = state->seq;
		}
		pg_atomic_write_u64(&state->used, now);
	}
	LWLockRelease(&group->lock);
	return good;
}

/* Has the ring had all the news until now? */
bool
VxStateNewsHeld(const VxCacheHere *here, const VxCacheIndex *of, const VxCacheFound *found)
{
	VxGroup	   *group = group_of(here, of);
	bool		held;
	VxState	   *state;

	LWLockAcquire(&group->lock, LW_SHARED);
	state = find(group, of);
	held = state != NULL && state->epoch == found->stamp.epoch &&
		state->seq - (found->stamp.seq - found->nnews) <= found->ring_n;
	LWLockRelease(&group->lock);
	return held;
}

/* ---- writes ---- */

/* Something has been written to the index: known to its state, if there is one, as far as its ring has room for it. */
void
VxStateWritten(const VxCacheHere *here, const VxCacheIndex *of, const void *bytes, uint32 len)
{
	VxGroup	   *group = group_of(here, of);
	VxState	   *state;

	LWLockAcquire(&group->lock, LW_EXCLUSIVE);
	state = find(group, of);
	if (state != NULL)
	{
		VxRing	   *ring = dsa_get_address(here->area, state->ring);
		VxNews	   *item = ring_item(ring, state->seq + 1);

		item->len = Min(len, ring->item);
		memcpy(item->bytes, bytes, item->len);
		state->seq++;
	}
	LWLockRelease(&group->lock);
}

/* What has been kept of the index is void. */
void
VxStateVoid(const VxCacheHere *here, const VxCacheIndex *of)
{
	VxGroup	   *group = group_of(here, of);
	VxState	   *state;

	LWLockAcquire(&group->lock, LW_EXCLUSIVE);
	state = find(group, of);
	if (state != NULL)
		state->epoch = pg_atomic_add_fetch_u64(&here->store->epochs, 1);
	LWLockRelease(&group->lock);
}

/* No index has a state any more. */
void
VxStatesClear(const VxCacheHere *here)
{
	for (int i = 0; i < VX_GROUPS; i++)
	{
		VxGroup	   *group = &here->store->groups[i];

		LWLockAcquire(&group->lock, LW_EXCLUSIVE);
		for (int j = 0; j < VX_GROUP_STATES; j++)
			if (OidIsValid(group->states[j].of.database))
				forget(here, &group->states[j]);
		LWLockRelease(&group->lock);
	}
}
