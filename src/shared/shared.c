/*
 * shared.c
 *		The room in shared memory: made in a running server, attached and never left.
 *
 * What is in it is a convenience.  Where it cannot be had, for want of memory, who
 * asks gets NULL, and does without; no error reaches the user.
 */
#include "postgres.h"

#include "compat.h"
#include "miscadmin.h"
#include "shared/shared.h"
#include "storage/dsm.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

/*
 * In the main shared memory, of which the server leaves some for who comes late.  The
 * name counts the forms: a session that has another version of the library loaded
 * has a room of its own.
 */
#define ROOM_NAME	"vectorx room 4"
typedef struct Room
{
	LWLock		lock;			/* of area and tables: who makes them */
	int			tranche;		/* of all locks */
	dsa_handle	area;			/* DSM_HANDLE_INVALID: not made yet */
	dshash_table_handle tables[VX_SHARED_TABLES];	/* InvalidDsaPointer: not yet */
	pg_atomic_uint32 nentries[VX_SHARED_TABLES];
	VxSharedRoot root;
} Room;

/* After a failure it is not tried again for so long. */
#define RETRY_MS	60000

static Room *room = NULL;
static dsa_area *area = NULL;
static VxSharedTable tables[VX_SHARED_TABLES];
static TimestampTz failed_at = 0;

/* Tell of the error that is to be forgotten, for who looks why there is no room. */
static void
tell_error(void)
{
	ErrorData  *error = CopyErrorData();

	ereport(DEBUG1, (errmsg_internal("shared memory of vectorx: %s", error->message)));
	FreeErrorData(error);
}

/*
 * Do something with shared memory that may raise an error, such as for want of memory:
 * false then, and the error is forgotten.  To be called with no LWLock held.  What it
 * allocates is the session's.  Interrupts wait, so that none is taken for a failure.
 */
bool
VxSharedTry(void (*act) (void *arg), void *arg)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool done = true;
	uint32		holdoff;

	/* what fails half-way is no leak of the transaction's */
	CurrentResourceOwner = NULL;
	HOLD_INTERRUPTS();
	holdoff = InterruptHoldoffCount;
	PG_TRY();
	{
		act(arg);
	}
	PG_CATCH();
	{
		/* those of the area and of its tables among them, whose names only dsa.c and dshash.c know */
		LWLockReleaseAll();
		InterruptHoldoffCount = holdoff;	/* an error forgets it */
		MemoryContextSwitchTo(TopMemoryContext);
		tell_error();
		FlushErrorState();
		done = false;
	}
	PG_END_TRY();
	RESUME_INTERRUPTS();
	CurrentResourceOwner = owner;
	MemoryContextSwitchTo(old);
	return done;
}

typedef struct AllocateArgs
{
	dsa_area   *from;
	Size		size;
	dsa_pointer at;
} AllocateArgs;

static void
try_allocate(void *arg)
{
	AllocateArgs *args = (AllocateArgs *) arg;

	args->at = dsa_allocate_extended(args->from, args->size, DSA_ALLOC_NO_OOM | DSA_ALLOC_HUGE);
}

/*
 * Memory of an area; InvalidDsaPointer: there is none.  With DSA_ALLOC_NO_OOM alone a full /dev/shm is an error all the same.
 * As VxSharedTry.
 */
dsa_pointer
VxSharedAllocate(dsa_area *from, Size size)
{
	AllocateArgs args = {from, size, InvalidDsaPointer};

	return VxSharedTry(try_allocate, &args) ? args.at : InvalidDsaPointer;
}

/* Find the room, or make it, empty. */
static void
find_room(void)
{
	Room	   *found_room;
	bool		found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	found_room = ShmemInitStruct(ROOM_NAME, sizeof(Room), &found);
	if (!found)
	{
		found_room->tranche = LWLockNewTrancheId();
		LWLockInitialize(&found_room->lock, found_room->tranche);
		found_room->area = DSM_HANDLE_INVALID;
		for (int i = 0; i < VX_SHARED_TABLES; i++)
		{
			found_room->tables[i] = InvalidDsaPointer;
			pg_atomic_init_u32(&found_room->nentries[i], 0);
		}
		found_room->root.cache = InvalidDsaPointer;
		pg_atomic_init_u32(&found_room->root.cache_states, 0);
		pg_atomic_init_u64(&found_room->root.cache_blind, 0);
	}
	LWLockRelease(AddinShmemInitLock);
	LWLockRegisterTranche(found_room->tranche, "vectorx");
	room = found_room;
}

/* A VxSharedTry. */
static void
find_only(void *arg)
{
	find_room();
}

/*
 * What is in the main shared memory, where the room is made if there is none.  NULL: it cannot be
 * had, and nobody has it; that is asked anew each time.  As VxSharedTry.
 */
VxSharedRoot *
VxSharedRootFind(void)
{
	if (unlikely(room == NULL) && !VxSharedTry(find_only, NULL))
		return NULL;
	return &room->root;
}

/* The room's lock, once there is an area: for who makes something in it.  Its tranche is that of all locks. */
LWLock *
VxSharedLock(void)
{
	return &room->lock;
}

/* A VxSharedTry: what there is not of room and area. */
static void
attach_area(void *arg)
{
	if (room == NULL)
		find_room();
	LWLockAcquire(&room->lock, LW_EXCLUSIVE);
	if (room->area == DSM_HANDLE_INVALID)
	{
		dsa_area   *made = dsa_create(room->tranche);

		dsa_pin_mapping(made);
		dsa_pin(made);
		room->area = dsa_get_handle(made);
		area = made;
	}
	else
	{
		area = dsa_attach(room->area);
		dsa_pin_mapping(area);
	}
	LWLockRelease(&room->lock);
}

/* Try, unless it has failed a moment ago. */
static bool
try_again(void (*act) (void *arg), void *arg)
{
	if (failed_at != 0 &&
		!TimestampDifferenceExceeds(failed_at, GetCurrentTimestamp(), RETRY_MS))
		return false;
	failed_at = VxSharedTry(act, arg) ? 0 : GetCurrentTimestamp();
	return failed_at == 0;
}

/*
 * The room's memory, which is made if there is none, and stays attached until the
 * session's end.  NULL: it cannot be had.  As VxSharedTry.
 */
dsa_area *
VxSharedAttach(void)
{
	if (area == NULL)
		(void) try_again(attach_area, NULL);
	return area;
}

typedef struct TableArgs
{
	VxSharedTableId id;
	dshash_parameters params;
} TableArgs;

/* A VxSharedTry: a table of the area. */
static void
attach_table(void *arg)
{
	const TableArgs *args = (const TableArgs *) arg;
	dshash_table *hash;

	LWLockAcquire(&room->lock, LW_EXCLUSIVE);
	if (room->tables[args->id] == InvalidDsaPointer)
	{
		hash = dshash_create(area, &args->params, NULL);
		room->tables[args->id] = dshash_get_hash_table_handle(hash);
	}
	else
		hash = dshash_attach(area, &args->params, room->tables[args->id], NULL);
	LWLockRelease(&room->lock);
	tables[args->id].nentries = &room->nentries[args->id];
	tables[args->id].hash = hash;
}

/*
 * A table, keys of which are compared and hashed as bytes; made if there is none.  NULL:
 * it cannot be had.  As VxSharedTry.
 */
const VxSharedTable *
VxSharedTableAttach(VxSharedTableId id, Size key_size, Size entry_size)
{
	TableArgs	args = {.id = id, .params = CompatSharedHash(key_size, entry_size)};

	if (tables[id].hash != NULL)
		return &tables[id];
	if (VxSharedAttach() == NULL)
		return NULL;
	args.params.tranche_id = room->tranche;
	return try_again(attach_table, &args) ? &tables[id] : NULL;
}
