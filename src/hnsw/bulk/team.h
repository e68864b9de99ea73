/*
 * team.h
 *		The participants of a build: a leader, and workers if there are any.
 *
 * All go through the same steps.  Within a step each takes tasks, which are
 * numbers, until there are none left; between two steps they wait for each
 * other.  The leader may go on alone when memory is short that all can see;
 * the workers join it again later.
 */
#ifndef HNSW_BULK_TEAM_H
#define HNSW_BULK_TEAM_H

#include "postgres.h"

#include "access/parallel.h"
#include "storage/barrier.h"
#include "storage/condition_variable.h"
#include "storage/dsm.h"
#include "storage/sharedfileset.h"
#include "utils/rel.h"
#include "utils/resowner.h"

/* Memory that all participants see. */
typedef enum TeamSegment
{
	TEAM_NODES,					/* the rows of the batch */
	TEAM_LINKS,					/* what is made of them */
	TEAM_OFFERS					/* while a level is linked */
} TeamSegment;

#define TEAM_SEGMENTS	3

typedef struct TeamShared
{
	Barrier		barrier;
	pg_atomic_uint64 task[2];	/* next task of steps with an even and odd number */
	ConditionVariable started;	/* nparticipants is known */
	slock_t		mutex;			/* of nparticipants */
	int			nparticipants;	/* 0: not known yet */
	uint64		alone_from;		/* the step from which the leader goes on alone */
	dsm_handle	segments[TEAM_SEGMENTS];
	SharedFileSet files;
} TeamShared;

typedef struct Team
{
	TeamShared *shared;			/* NULL: never a worker */
	ParallelContext *pcxt;		/* the leader's, if it has workers */
	ResourceOwner pcxt_owner;
	Relation	index;			/* for messages */
	MemoryContext cxt;
	int			number;			/* 0: leader */
	int			nparticipants;
	bool		alone;
	bool		parting;		/* the leader goes on alone after the next sync */
	bool		told;			/* so has the user been */
	uint64		step;
	uint64		own_task;		/* next task while alone */
	void	   *address[TEAM_SEGMENTS];
	dsm_segment *dsm[TEAM_SEGMENTS];
	ResourceOwner owner[TEAM_SEGMENTS];
} Team;

/* Is this participant the leader? */
static inline bool
HnswTeamLeader(const Team *t)
{
	return t->number == 0;
}

extern Team *HnswTeamCreate(Relation index);
extern void *HnswTeamPrepare(Team *t, int nworkers, Size size, Size scan_size, void **scan);
extern void HnswTeamLaunch(Team *t);
extern void HnswTeamStart(Team *t);
extern void HnswTeamJoin(Team *t);
extern bool HnswTeamSync(Team *t);
extern void HnswTeamReunite(Team *t);
extern uint64 HnswTeamTask(Team *t);
extern void *HnswTeamAlloc(Team *t, TeamSegment which, Size size);
extern void *HnswTeamAttach(Team *t, TeamSegment which);
extern void HnswTeamFree(Team *t, TeamSegment which);
extern void HnswTeamEnd(Team *t);
extern void HnswTeamWorkerBegin(shm_toc *toc, void **shared, void **scan);
extern void HnswTeamWorkerEnd(shm_toc *toc);

#endif							/* HNSW_BULK_TEAM_H */
