/*
 * vacuum.h
 *		What vacuum.c and repair.c share while a VACUUM runs.
 */
#ifndef HNSW_VACUUM_H
#define HNSW_VACUUM_H

#include "access/genam.h"
#include "hnsw/graph/nodeset.h"
#include "hnsw/graph/search.h"
#include "hnsw/page/access.h"
#include "hnsw/page/index.h"

typedef struct VacuumState
{
	IndexVacuumInfo *info;
	IndexBulkDeleteResult *stats;
	IndexBulkDeleteCallback callback;
	void	   *callback_arg;
	HnswGraph  *g;
	MemoryContext cxt;
	MemoryContext tmp;			/* reset for each node */

	BlockNumber nblocks;		/* when the vacuum began */
	uint64	   *dead;			/* bitmap over block * per_page + slot */
	int64		ndead;
	int64		nrecords;		/* LIVE and DEAD ones, and their tree links */
	int64		ntree;
	BlockNumber *uppers;		/* upper pages */
	int64		nuppers;
	int64		maxuppers;
	NodeList	chained;		/* nodes with overflow pages */

	HnswCandidate best;			/* a live record of the highest level */
	int			best_level;
} VacuumState;

static inline bool
HnswVacuumIsDead(const VacuumState *st, BlockNumber blk, uint16 slot)
{
	Size		id = (Size) blk * st->g->lay->per_page + slot;

	if (blk >= st->nblocks || slot >= st->g->lay->per_page)
		return false;
	return (st->dead[id / 64] >> (id % 64)) & 1;
}

/* ---- vacuum.c ---- */
extern bool HnswVacuumAcquire(VacuumState *st, BlockNumber blk, int mode, HnswPin *pin);

/* ---- repair.c ---- */
extern BlockNumber HnswRepair(VacuumState *st, BlockNumber first);
extern void HnswMoveRoot(VacuumState *st);

#endif							/* HNSW_VACUUM_H */
