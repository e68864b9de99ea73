/*
 * flights.c
 *		One search for many equal queries: who searches for a key, and who waits for him (README).
 */
#include "postgres.h"

#include "cache/store.h"
#include "compat.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "storage/ipc.h"
#include "utils/wait_event.h"

/* A wait is no shorter than this, in milliseconds: the first one may have to wait for a processor. */
#define MIN_WAIT_MS	10
/* Of an index without any search so far, and at most. */
#define FIRST_WAIT_MS	100
#define MAX_WAIT_MS	10000

/* Places that this session has taken, as bits, and will let go of at its end if not before. */
static uint64 taken = 0;
StaticAssertDecl(VX_FLIGHTS <= 64, "a bit for each");

static VxFlight *
flight_of(const VxCacheHere *here, const VxCacheKey *key)
{
	return &here->store->flights[key->hash / VX_SHARDS % VX_FLIGHTS];
}

/* Twice the mean time of searches, in milliseconds. */
static long
patience(const VxCacheHere *here, const VxCacheKey *key)
{
	VxState	   *state = VxStateHint(here, (const VxCacheIndex *) key->bytes);
	uint32		mean = state != NULL ? pg_atomic_read_u32(&state->mean) : 0;

	return mean == 0 ? FIRST_WAIT_MS : Min(Max(mean / 500, MIN_WAIT_MS), MAX_WAIT_MS);
}

/* Is it still the one that was seen in the place? */
static bool
is_under_way(VxFlight *f, uint64 ticket)
{
	bool		same;

	SpinLockAcquire(&f->mutex);
	same = f->hash != 0 && f->ticket == ticket;
	SpinLockRelease(&f->mutex);
	return same;
}

/* Wait until it is not; interrupts are serviced, so that an error may be raised. */
static void
wait_for(VxFlight *f, uint64 ticket, long ms)
{
	static uint32 event = 0;
	const uint32 waits = CompatWaitEvent(&event, "VectorxCacheSearch");
	instr_time	began;
	instr_time	now;
	long		left = ms;

	INSTR_TIME_SET_CURRENT(began);
	ConditionVariablePrepareToSleep(&f->landed);
	while (left > 0 && is_under_way(f, ticket))
	{
		(void) ConditionVariableTimedSleep(&f->landed, left, waits);
		INSTR_TIME_SET_CURRENT(now);
		INSTR_TIME_SUBTRACT(now, began);
		left = ms - (long) INSTR_TIME_GET_MILLISEC(now);
	}
	ConditionVariableCancelSleep();
}

/* Let go of a place, and wake those that wait. */
static void
land(const VxCacheHere *here, int number)
{
	VxFlight   *f = &here->store->flights[number];

	taken &= ~(UINT64CONST(1) << number);
	SpinLockAcquire(&f->mutex);
	f->hash = 0;
	SpinLockRelease(&f->mutex);
	ConditionVariableBroadcast(&f->landed);
}

/* FATAL leaves no other chance. */
static void
at_session_end(int code, Datum arg)
{
	for (int i = 0; i < VX_FLIGHTS; i++)
		if (taken & (UINT64CONST(1) << i))
			land(VxCacheAttach(), i);
}

/* This session takes a place that is free. */
static void
take(const VxCacheHere *here, const VxFlight *f)
{
	static bool registered = false;

	taken |= UINT64CONST(1) << (f - here->store->flights);
	if (registered)
		return;
	before_shmem_exit(at_session_end, (Datum) 0);
	registered = true;
}

/* There is no entry of a key: whose turn is it to search?  May wait; to be called with no lock held. */
VxCacheTurn
VxCacheTurnOf(const VxCacheKey *key)
{
	const VxCacheHere *here = VxCacheAttach();
	VxFlight   *f;
	VxCacheTurn	turn = VX_CACHE_ALONE;
	uint64		ticket;

	if (here == NULL)
		return turn;
	f = flight_of(here, key);
	SpinLockAcquire(&f->mutex);
	if (f->hash == 0)
	{
		f->hash = key->hash;
		f->ticket++;
		turn = VX_CACHE_FIRST;
	}
	else if (f->hash == key->hash)
		turn = VX_CACHE_AGAIN;
	ticket = f->ticket;
	SpinLockRelease(&f->mutex);
	if (turn == VX_CACHE_FIRST)
		take(here, f);
	if (turn == VX_CACHE_AGAIN)
	{
		VxStateCount(here, (const VxCacheIndex *) key->bytes, VX_COUNT_WAITS);
		wait_for(f, ticket, patience(here, key));
	}
	return turn;
}

/*
 * Who was first has searched, or will not: those that wait look again.  Raises no error; at the session's
 * end it comes by itself.
 */
void
VxCacheLand(const VxCacheKey *key)
{
	const VxCacheHere *here = VxCacheAttach();

	land(here, flight_of(here, key) - here->store->flights);
}
