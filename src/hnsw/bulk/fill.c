/*
 * fill.c
 *		How many rows a batch holds, and bringing them in.
 *
 * HnswBatchBytes, the memory of so many rows, is what the build, its NOTICE and
 * hnsw_build_memory (am/memory.c) go by.
 *
 * Rows come as they are stored (own vector and what goes with it); equal
 * vectors become one node.
 */
#include "postgres.h"

#include "hnsw/bulk/batch.h"
#include "hnsw/bulk/columns.h"
#include "hnsw/bulk/fill.h"
#include "hnsw/bulk/spool.h"
#include "hnsw/bulk/team.h"
#include "hnsw/layout/layout.h"
#include "miscadmin.h"
#include "utils/memutils.h"

/* Rows taken from each participant's file at a time. */
#define FILL_ROWS		256

/* The first node that has a hash. */
typedef struct EqualsEntry
{
	uint32		hash;
	uint32		first;
	char		status;
} EqualsEntry;

#define SH_PREFIX		equals
#define SH_ELEMENT_TYPE	EqualsEntry
#define SH_KEY_TYPE		uint32
#define SH_KEY			hash
#define SH_HASH_KEY(tb, key)	(key)
#define SH_EQUAL(tb, a, b)		((a) == (b))
#define SH_SCOPE		static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/*
 * Bytes of maintenance_work_mem that hold the graph of so many rows with
 * different vectors, when it is built by so many participants.
 */
double
HnswBatchBytes(const HnswLayout *lay, double rows, int participants)
{
	double		bytes = rows * HnswBatchRowBytes(lay, participants);
	double		fixed = (double) participants * HnswColumnsBytes(lay, 0);
	double		most = (double) participants * HnswColumnsBytes(lay, BATCH_LEAF_MAX);
	double		least = (double) participants * HnswColumnsBytes(lay, BATCH_LEAF_MIN);
	double		each = (most - fixed) / participants / BATCH_LEAF_MAX;
	/* vectors in columns get a quarter of all (HnswColumnsMax); with each go four floats */
	double		rest = 1 - 0.25 * each / (each - 4 * sizeof(float));
	double		all = rest > 0 ? (bytes + fixed) / rest : bytes + most;

	return Max(bytes + least, Min(bytes + most, all));
}

/* How many nodes "limit" bytes hold, at least one. */
static uint32
capacity(const HnswLayout *lay, Size limit, int participants)
{
	int			columns = HnswColumnsMax(lay, limit, participants);
	double		rest = (double) limit - (double) participants * HnswColumnsBytes(lay, columns);

	return (uint32) Max(1, Min(rest / HnswBatchRowBytes(lay, participants), BATCH_MAX_NODES));
}

/* Hang a row with an equal vector on a node. */
static void
add_equal(Batch *b, uint32 *maxextra, uint32 node, ItemPointer tid)
{
	uint32		at = b->shared->nextra;

	if (at == *maxextra)
	{
		*maxextra = Max(64, *maxextra * 2);
		if (b->extra == NULL)
			b->extra = MemoryContextAlloc(b->cxt, *maxextra * sizeof(BatchTid));
		else
			b->extra = repalloc_huge(b->extra, (Size) *maxextra * sizeof(BatchTid));
	}
	b->extra[at].tid = *tid;
	b->extra[at].next = b->nodes[node].more;
	b->nodes[node].more = at;
	b->shared->nextra++;
}

/* Add the row whose own vector stands behind those of all nodes. */
static void
add_row(Batch *b, struct equals_hash *equals, uint32 *maxextra, SpoolRow *row)
{
	BatchShared *sh = b->shared;
	const int	own_bytes = b->g->lay->own_bytes;
	const char *own = batch_own(b, sh->n);
	BatchNode  *x;
	EqualsEntry *entry;
	bool		found;

	entry = equals_insert(equals, row->hash, &found);
	if (!found)
		entry->first = BATCH_NONE;
	for (uint32 i = entry->first; i != BATCH_NONE; i = b->nodes[i].same_hash)
	{
		x = &b->nodes[i];
		if (x->scale == row->scale && x->offset == row->offset &&
			memcmp(batch_own(b, i), own, own_bytes) == 0)
		{
			add_equal(b, maxextra, i, &row->tid);
			return;
		}
	}
	x = &b->nodes[sh->n];
	HnswBatchSetRow(x, row);
	x->same_hash = entry->first;
	x->more = BATCH_NONE;
	x->level = HnswRandomLevel(b->g->lay->fanout);
	entry->first = sh->n++;
}

/*
 * Take as many of the rows (a number) in the files of all participants as the
 * limit allows, of each file in turn, and make the memory for their graph.
 * Called by the leader, before all meet in HnswBulkBuild.  Returns how many
 * rows it took; each file's nread says which.
 */
double
HnswBatchFill(Batch *b, Spool **spools, double rows)
{
	BatchShared *sh = b->shared;
	Team	   *team = b->team;
	const HnswLayout *lay = b->g->lay;
	struct equals_hash *equals;
	uint32		maxextra = 0;
	uint32		most = capacity(lay, b->limit, team->nparticipants);
	const double rest = HnswBatchRowBytes(lay, team->nparticipants) - HnswBatchNodeBytes(lay);
	double		used;
	double		taken = 0;
	bool		full = false;

	HnswBatchMakeNodes(b, (uint32) Max(1, Min(most, rows)));
	equals = equals_create(b->cxt, Min(sh->cap, 1024), NULL);
	used = (double) team->nparticipants *
		HnswColumnsBytes(lay, HnswColumnsMax(lay, b->limit, team->nparticipants)) +
		(double) sh->cap * HnswBatchNodeBytes(lay);

	for (bool any = true; any && !full;)
	{
		any = false;
		for (int i = 0; i < team->nparticipants && !full; i++)
			for (int j = 0; j < FILL_ROWS && !full; j++)
			{
				SpoolRow	row;

				full = sh->n == sh->cap || sh->nextra >= BATCH_MAX_NODES ||
					used + sh->n * rest +
					3.0 * sh->nextra * sizeof(BatchTid) >= b->limit;
				/* one row there is always room for */
				if ((full && sh->n > 0) ||
					!HnswSpoolNext(spools[i], &row, b->own + (Size) sh->n * lay->own_bytes))
					break;
				CHECK_FOR_INTERRUPTS();
				add_row(b, equals, &maxextra, &row);
				taken++;
				any = true;
			}
	}
	equals_destroy(equals);
	HnswBatchMakeLevels(b);
	return taken;
}
