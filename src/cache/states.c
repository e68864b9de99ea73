/*
 * states.c
 *		What has been written to the indexes that the cache has entries of: epochs, and rings of
 *		nodes (README, "Why it is fresh").
 *
 * Locks: one group's at a time, share to read, exclusive to change.
 */
#include "postgres.h"

#include "cache/store.h"
#include "common/hashfn.h"

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

/* A state for an index, of the group's that are not in use, or that which was asked for longest ago. */
static VxState *
make(const VxCacheHere *here, VxGroup *group, const VxCacheIndex *of, dsa_pointer *ring)
{
	VxState	   *state = &group->states[0];

	for (int i = 0; i < VX_GROUP_STATES; i++)
	{
		VxState	   *other = &group->states[i];

		if (!OidIsValid(other->of.database))
		{
			state = other;
			pg_atomic_fetch_add_u32(&here->root->cache_states, 1);
			break;
		}
		if (pg_atomic_read_u64(&other->used) < pg_atomic_read_u64(&state->used))
			state = other;
	}
	if (state->ring == InvalidDsaPointer)
	{
		state->ring = *ring;
		*ring = InvalidDsaPointer;
	}
	state->of = *of;
	state->epoch = pg_atomic_add_fetch_u64(&here->store->epochs, 1);
	state->seq = 0;
	pg_atomic_write_u32(&state->mean, 0);
	for (int i = 0; i < VX_COUNTS; i++)
		pg_atomic_write_u64(&state->counts[i], 0);
	return state;
}

static void
note(const VxCacheHere *here, VxState *state, VxCacheStamp *stamp)
{
	stamp->epoch = state->epoch;
	stamp->seq = state->seq;
	pg_atomic_write_u64(&state->used, pg_atomic_add_fetch_u64(&here->store->clock, 1));
}

/*
 * A search begins that is to be kept: its stamp.  The index has a state then, of which every write knows
 * that the search may not see.
 */
void
VxStateBegin(const VxCacheHere *here, const VxCacheIndex *of, VxCacheStamp *stamp)
{
	VxGroup	   *group = group_of(here, of);
	VxState	   *state;
	dsa_pointer ring;

	stamp->blind = pg_atomic_read_u64(&here->root->cache_blind);
	stamp->at = GetCurrentTimestamp();
	LWLockAcquire(&group->lock, LW_SHARED);
	state = find(group, of);
	if (state != NULL)
		note(here, state, stamp);
	LWLockRelease(&group->lock);
	if (state == NULL)
	{
		ring = dsa_allocate(here->area, VX_RING * sizeof(uint64));
		LWLockAcquire(&group->lock, LW_EXCLUSIVE);
		state = find(group, of);
		if (state == NULL)
			state = make(here, group, of, &ring);
		note(here, state, stamp);
		LWLockRelease(&group->lock);
		if (ring != InvalidDsaPointer)
			dsa_free(here->area, ring);
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
	bool		good = false;
	VxState	   *state;

	found->nnews = 0;
	if (stamp->blind != pg_atomic_read_u64(&here->root->cache_blind))
		return false;
	LWLockAcquire(&group->lock, LW_SHARED);
	state = find(group, of);
	if (state != NULL && state->epoch == stamp->epoch)
	{
		good = stale || state->seq - stamp->seq <= VX_CACHE_NEWS;
		if (good && !stale && state->seq != stamp->seq)
		{
			const uint64 *ring = dsa_get_address(here->area, state->ring);

			while (stamp->seq != state->seq)
				found->news[found->nnews++] = ring[++stamp->seq % VX_RING];
		}
		pg_atomic_write_u64(&state->used, pg_atomic_add_fetch_u64(&here->store->clock, 1));
	}
	LWLockRelease(&group->lock);
	return good;
}

/* A node of the index has been written: known to its state, if there is one. */
void
VxStateWritten(const VxCacheHere *here, const VxCacheIndex *of, uint64 node)
{
	VxGroup	   *group = group_of(here, of);
	VxState	   *state;

	LWLockAcquire(&group->lock, LW_EXCLUSIVE);
	state = find(group, of);
	if (state != NULL)
	{
		uint64	   *ring = dsa_get_address(here->area, state->ring);

		ring[(state->seq + 1) % VX_RING] = node;
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

/* No index has a state any more; rings stay where they are. */
void
VxStatesClear(const VxCacheHere *here)
{
	for (int i = 0; i < VX_GROUPS; i++)
	{
		VxGroup	   *group = &here->store->groups[i];

		LWLockAcquire(&group->lock, LW_EXCLUSIVE);
		for (int j = 0; j < VX_GROUP_STATES; j++)
			if (OidIsValid(group->states[j].of.database))
			{
				memset(&group->states[j].of, 0, sizeof(VxCacheIndex));
				pg_atomic_fetch_sub_u32(&here->root->cache_states, 1);
			}
		LWLockRelease(&group->lock);
	}
}
