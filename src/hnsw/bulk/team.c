/*
 * team.c
 *		The participants of a build: starting them, steps, tasks, memory.
 *
 * Workers are PostgreSQL's parallel workers: an error of one is raised in the
 * leader while it waits for them, and an error of the leader ends them.  The
 * batch is in segments of dynamic shared memory, as large as they have to be;
 * when there is no memory of this kind the leader takes its own instead.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/instrument.h"
#include "hnsw/base/waitpoint.h"
#include "hnsw/bulk/team.h"
#include "miscadmin.h"
#include "names.h"
#include "pgstat.h"
#include "storage/spin.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

/* Keys in the table of contents of the parallel context. */
#define KEY_TEAM		UINT64CONST(0xB000000000000001)
#define KEY_SCAN		UINT64CONST(0xB000000000000002)
#define KEY_QUERY		UINT64CONST(0xB000000000000003)
#define KEY_WAL			UINT64CONST(0xB000000000000004)
#define KEY_BUFFERS		UINT64CONST(0xB000000000000005)

/* A team of the leader alone, in the current memory context. */
Team *
HnswTeamCreate(Relation index)
{
	Team	   *t = palloc0(sizeof(Team));

	t->index = index;
	t->cxt = CurrentMemoryContext;
	t->nparticipants = 1;
	t->alone = true;
	return t;
}

static void
delete_owner(ResourceOwner owner, bool success)
{
	ResourceOwnerRelease(owner, RESOURCE_RELEASE_BEFORE_LOCKS, success, false);
	ResourceOwnerRelease(owner, RESOURCE_RELEASE_LOCKS, success, false);
	ResourceOwnerRelease(owner, RESOURCE_RELEASE_AFTER_LOCKS, success, false);
	ResourceOwnerDelete(owner);
}

/*
 * After an error while shared memory was asked for: is it a shortage, which a
 * build survives?  Then the error is forgotten and its message returned.  Its
 * code does not tell: a file on a full disk that could be written in part (of
 * dynamic_shared_memory_type = mmap) is reported with whatever errno was there
 * before.  So it is one unless somebody wants the statement to end.
 */
static char *
shortage(MemoryContext cxt)
{
	ErrorData  *error;
	char	   *message;

	MemoryContextSwitchTo(cxt);
	error = CopyErrorData();
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
	{
		FreeErrorData(error);
		return NULL;
	}
	FlushErrorState();
	message = pstrdup(error->message);
	FreeErrorData(error);
	return message;
}

static void
tell_shortage(Team *t, const char *why)
{
	if (t->told)
		return;
	t->told = true;
	ereport(NOTICE,
			(errmsg("could not get shared memory for a parallel build of index \"%s\"",
					RelationGetRelationName(t->index)),
			 why ? errdetail_internal("%s", why) : 0,
			 errhint("The leader goes on alone. In a container /dev/shm may be too small; the setting min_dynamic_shared_memory reserves memory at the server's start.")));
}

/*
 * Call "get", which asks for shared memory and says whether it got any, with a
 * resource owner of its own for what an error may leave half made.  False, and
 * the user is told, when there is a shortage: then the owner has gone.
 */
static bool
get_shared(Team *t, ResourceOwner *owner, bool (*get) (void *arg), void *arg)
{
	ResourceOwner outer = CurrentResourceOwner;
	MemoryContext cxt = CurrentMemoryContext;
	char	   *volatile why = NULL;
	volatile bool got = false;

	*owner = ResourceOwnerCreate(outer, "hnsw build");
	CurrentResourceOwner = *owner;
	PG_TRY();
	{
		got = get(arg);
		CurrentResourceOwner = outer;
	}
	PG_CATCH();
	{
		CurrentResourceOwner = outer;
		why = shortage(cxt);
		if (why == NULL)
			PG_RE_THROW();
	}
	PG_END_TRY();
	if (got)
		return true;
	delete_owner(*owner, false);
	*owner = NULL;
	CHECK_FOR_INTERRUPTS();
	tell_shortage(t, why);
	return false;
}

/*
 * Destroys the context when it gets no segment, also one that an error has left
 * half made: its segment belongs to the context and to the resource owner, and
 * only the context knows how to let go of it for both.
 */
static bool
get_context(void *arg)
{
	ParallelContext *pcxt = (ParallelContext *) arg;

	PG_TRY();
	{
		InitializeParallelDSM(pcxt);
		HNSW_WAIT_POINT("build-context");
	}
	PG_CATCH();
	{
		DestroyParallelContext(pcxt);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (pcxt->seg != NULL)
		return true;
	DestroyParallelContext(pcxt);
	return false;
}

typedef struct SegmentRequest
{
	Size		size;
	dsm_segment *seg;
} SegmentRequest;

static bool
get_segment(void *arg)
{
	SegmentRequest *request = (SegmentRequest *) arg;

	request->seg = dsm_create(request->size, DSM_CREATE_NULL_IF_MAXSEGMENTS);
	return request->seg != NULL;
}

/*
 * Ask for workers, at most nworkers.  size, scan_size: bytes of what the
 * caller shares with them, which begins with a TeamShared, and of the state of
 * the table's scan.  Returns the former, zeroed; NULL when there is none to be
 * had, and then the leader is alone.  HnswTeamLaunch starts the workers.
 */
void *
HnswTeamPrepare(Team *t, int nworkers, Size size, Size scan_size, void **scan)
{
	ParallelContext *pcxt;
	Size		query_size = debug_query_string ? strlen(debug_query_string) + 1 : 0;
	void	   *shared;

	EnterParallelMode();
	pcxt = CreateParallelContext(VX_LIBRARY, "HnswBuildWorker", nworkers);
	shm_toc_estimate_chunk(&pcxt->estimator, size);
	shm_toc_estimate_chunk(&pcxt->estimator, scan_size);
	shm_toc_estimate_chunk(&pcxt->estimator, mul_size(sizeof(WalUsage), pcxt->nworkers));
	shm_toc_estimate_chunk(&pcxt->estimator, mul_size(sizeof(BufferUsage), pcxt->nworkers));
	shm_toc_estimate_keys(&pcxt->estimator, 4);
	if (query_size > 0)
	{
		shm_toc_estimate_chunk(&pcxt->estimator, query_size);
		shm_toc_estimate_keys(&pcxt->estimator, 1);
	}

	if (!get_shared(t, &t->pcxt_owner, get_context, pcxt))
	{
		ExitParallelMode();
		return NULL;
	}

	shared = shm_toc_allocate(pcxt->toc, size);
	memset(shared, 0, size);
	shm_toc_insert(pcxt->toc, KEY_TEAM, shared);
	*scan = shm_toc_allocate(pcxt->toc, scan_size);
	shm_toc_insert(pcxt->toc, KEY_SCAN, *scan);
	shm_toc_insert(pcxt->toc, KEY_WAL,
				   shm_toc_allocate(pcxt->toc, mul_size(sizeof(WalUsage), pcxt->nworkers)));
	shm_toc_insert(pcxt->toc, KEY_BUFFERS,
				   shm_toc_allocate(pcxt->toc, mul_size(sizeof(BufferUsage), pcxt->nworkers)));
	if (query_size > 0)
	{
		char	   *query = shm_toc_allocate(pcxt->toc, query_size);

		memcpy(query, debug_query_string, query_size);
		shm_toc_insert(pcxt->toc, KEY_QUERY, query);
	}

	t->shared = shared;
	t->pcxt = pcxt;
	SpinLockInit(&t->shared->mutex);
	ConditionVariableInit(&t->shared->started);
	for (int i = 0; i < 2; i++)
		pg_atomic_init_u64(&t->shared->task[i], 0);
	SharedFileSetInit(&t->shared->files, pcxt->seg);
	return shared;
}

/* Start the workers, or as many of them as there can be now. */
void
HnswTeamLaunch(Team *t)
{
	LaunchParallelWorkers(t->pcxt);
	ereport(DEBUG1,
			(errmsg_internal("using %d parallel workers", t->pcxt->nworkers_launched)));
}

/*
 * The leader's first meeting with the workers: from here on each waits for
 * all.  Errors: when a worker could not start.
 */
void
HnswTeamStart(Team *t)
{
	if (t->pcxt == NULL)
		return;
	WaitForParallelWorkersToAttach(t->pcxt);
	t->nparticipants = t->pcxt->nworkers_launched + 1;
	BarrierInit(&t->shared->barrier, t->nparticipants);
	SpinLockAcquire(&t->shared->mutex);
	t->shared->nparticipants = t->nparticipants;
	SpinLockRelease(&t->shared->mutex);
	ConditionVariableBroadcast(&t->shared->started);
	t->alone = t->nparticipants == 1;
	(void) HnswTeamSync(t);
}

/* The same for a worker. */
void
HnswTeamJoin(Team *t)
{
	TeamShared *shared = t->shared;

	t->alone = false;
	ConditionVariablePrepareToSleep(&shared->started);
	for (;;)
	{
		SpinLockAcquire(&shared->mutex);
		t->nparticipants = shared->nparticipants;
		SpinLockRelease(&shared->mutex);
		if (t->nparticipants > 0)
			break;
		ConditionVariableSleep(&shared->started, WAIT_EVENT_PARALLEL_CREATE_INDEX_SCAN);
	}
	ConditionVariableCancelSleep();
	(void) HnswTeamSync(t);
}

/*
 * The end of a step: wait for all.  False for a worker that the leader has
 * left behind: it goes to HnswTeamReunite.
 */
bool
HnswTeamSync(Team *t)
{
	CHECK_FOR_INTERRUPTS();
	t->own_task = 0;
	if (t->alone)
		return true;
	if (HnswTeamLeader(t))
	{
		/* that step is over for everyone who could take a task of it */
		pg_atomic_write_u64(&t->shared->task[(t->step + 1) & 1], 0);
		if (t->parting)
			t->shared->alone_from = t->step + 1;
	}
	BarrierArriveAndWait(&t->shared->barrier, WAIT_EVENT_PARALLEL_CREATE_INDEX_SCAN);
	t->step++;
	if (t->shared->alone_from != t->step)
		return true;
	t->alone = true;
	t->parting = false;
	return HnswTeamLeader(t);
}

/* All meet, also a leader and the workers it has left behind. */
void
HnswTeamReunite(Team *t)
{
	t->alone = t->nparticipants == 1;
	(void) HnswTeamSync(t);
}

/* The number of the next task of this step, which is the caller's alone. */
uint64
HnswTeamTask(Team *t)
{
	CHECK_FOR_INTERRUPTS();
	if (t->alone)
		return t->own_task++;
	return pg_atomic_fetch_add_u64(&t->shared->task[t->step & 1], 1);
}

/*
 * Memory that all participants see once they have met again (HnswTeamAttach);
 * called by the leader.  When it cannot be shared it is the leader's own, which
 * goes on alone after the next HnswTeamSync.
 */
void *
HnswTeamAlloc(Team *t, TeamSegment which, Size size)
{
	SegmentRequest request = {size, NULL};

	Assert(HnswTeamLeader(t) && t->address[which] == NULL);
	if (!t->alone && !t->parting)
		t->parting = !get_shared(t, &t->owner[which], get_segment, &request);
	t->dsm[which] = request.seg;
	if (request.seg)
	{
		t->shared->segments[which] = dsm_segment_handle(request.seg);
		t->address[which] = dsm_segment_address(request.seg);
	}
	else
		t->address[which] = MemoryContextAllocHuge(t->cxt, Max(size, 1));
	return t->address[which];
}

/* The same memory, for all participants.  Errors: when it cannot be mapped. */
void *
HnswTeamAttach(Team *t, TeamSegment which)
{
	if (t->address[which] == NULL)
	{
		t->dsm[which] = dsm_attach(t->shared->segments[which]);
		if (t->dsm[which] == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("could not map dynamic shared memory segment")));
		t->address[which] = dsm_segment_address(t->dsm[which]);
	}
	return t->address[which];
}

/* Let go of it, if it is attached; it is gone when all have. */
void
HnswTeamFree(Team *t, TeamSegment which)
{
	if (t->address[which] == NULL)
		return;
	if (t->dsm[which])
		dsm_detach(t->dsm[which]);
	else
		pfree(t->address[which]);
	if (t->owner[which])
		delete_owner(t->owner[which], true);
	t->address[which] = NULL;
	t->dsm[which] = NULL;
	t->owner[which] = NULL;
}

/*
 * The leader's end: wait for the workers to end, and let go of everything.  Errors of
 * workers are raised here, unless they were before.
 */
void
HnswTeamEnd(Team *t)
{
	for (int i = 0; i < TEAM_SEGMENTS; i++)
		HnswTeamFree(t, i);
	if (t->pcxt == NULL)
		return;
	WaitForParallelWorkersToFinish(t->pcxt);
	for (int i = 0; i < t->pcxt->nworkers_launched; i++)
		InstrAccumParallelQuery(&((BufferUsage *) shm_toc_lookup(t->pcxt->toc, KEY_BUFFERS, false))[i],
								&((WalUsage *) shm_toc_lookup(t->pcxt->toc, KEY_WAL, false))[i]);
	DestroyParallelContext(t->pcxt);
	delete_owner(t->pcxt_owner, true);
	t->pcxt = NULL;
	t->shared = NULL;
	ExitParallelMode();
}

/*
 * A worker's beginning: what it finds in the table of contents.  *shared, *scan: as
 * HnswTeamPrepare returned them to the leader.
 */
void
HnswTeamWorkerBegin(shm_toc *toc, void **shared, void **scan)
{
	debug_query_string = shm_toc_lookup(toc, KEY_QUERY, true);
	pgstat_report_activity(STATE_RUNNING, debug_query_string);
	*shared = shm_toc_lookup(toc, KEY_TEAM, false);
	*scan = shm_toc_lookup(toc, KEY_SCAN, false);
	InstrStartParallelQuery();
}

/* What it has used of buffers and WAL, for the leader to count. */
void
HnswTeamWorkerEnd(shm_toc *toc)
{
	InstrEndParallelQuery(&((BufferUsage *) shm_toc_lookup(toc, KEY_BUFFERS, false))[ParallelWorkerNumber],
						  &((WalUsage *) shm_toc_lookup(toc, KEY_WAL, false))[ParallelWorkerNumber]);
}
