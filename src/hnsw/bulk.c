/*
 * bulk.c
 *		Construction of a graph from many rows at once.
 *
 * Rows come as they are stored (own vector and what goes with it); equal
 * vectors become one node.  Then nodes are grouped by nearness (partition.c),
 * which also gives the order they are kept and written in, and linked level by
 * level.  Touches no page before HnswBulkWrite.
 */
#include "postgres.h"

#include "commands/progress.h"
#include "hnsw/bulk.h"
#include "hnsw/waitpoint.h"
#include "miscadmin.h"
#include "utils/backend_progress.h"
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

/* Bytes of a node of level 0 in the arrays of its batch. */
static Size
node_bytes(const HnswLayout *lay)
{
	return sizeof(BulkNode) + lay->own_bytes;
}

/* Bytes of a member in the arrays of its level, with its offers. */
static Size
member_bytes(const HnswLayout *lay)
{
	return BULK_WIDTH(lay) * sizeof(BulkLink) + sizeof(uint16) + sizeof(float) +
		2 * sizeof(uint32) + sizeof(uint8);
}

/* What a row costs at the peak, all in all. */
static double
row_bytes(const HnswLayout *lay, int participants)
{
	/* levels above: each has 1 / fanout of the members of the one below */
	double		upper = (member_bytes(lay) + sizeof(uint32)) / (lay->fanout - 1.0);
	Size		offers = lay->fanout / 2 * sizeof(BulkLink) + sizeof(uint64);
	Size		leaves = BULK_COPIES(lay) * sizeof(uint32);

	return node_bytes(lay) + member_bytes(lay) + upper + leaves + offers +
		participants * sizeof(uint32);
}

/*
 * Bytes of maintenance_work_mem that hold the graph of so many rows with
 * different vectors, when it is built by so many participants.
 */
double
HnswBulkBytes(const HnswLayout *lay, double rows, int participants)
{
	double		bytes = rows * row_bytes(lay, participants);
	double		fixed = (double) participants * HnswColumnsBytes(lay, 0);
	double		most = (double) participants * HnswColumnsBytes(lay, BULK_LEAF_MAX);
	double		least = (double) participants * HnswColumnsBytes(lay, BULK_LEAF_MIN);
	double		each = (most - fixed) / participants / BULK_LEAF_MAX;
	/* vectors in columns get a quarter of all (HnswColumnsMax); with each go four floats */
	double		rest = 1 - 0.25 * each / (each - 4 * sizeof(float));
	double		all = rest > 0 ? (bytes + fixed) / rest : bytes + most;

	return Max(bytes + least, Min(bytes + most, all));
}

/* How many nodes "limit" bytes hold, at least one. */
uint32
HnswBulkCapacity(const HnswLayout *lay, Size limit, int participants)
{
	int			columns = HnswColumnsMax(lay, limit, participants);
	double		rest = (double) limit - (double) participants * HnswColumnsBytes(lay, columns);

	return (uint32) Max(1, Min(rest / row_bytes(lay, participants), BULK_MAX_NODES));
}

/*
 * A participant's side of a batch.  shared: zeroed, in the memory that
 * HnswTeamPrepare gave, or anywhere if there is no worker.  limit: bytes for
 * all participants.
 */
Bulk *
HnswBulkCreate(HnswGraph *g, Team *team, BulkShared *shared, Size limit)
{
	MemoryContext cxt = AllocSetContextCreate(g->cxt, "hnsw bulk construction",
											  ALLOCSET_DEFAULT_SIZES);
	Bulk	   *b = MemoryContextAllocZero(cxt, sizeof(Bulk));

	b->g = g;
	b->team = team;
	b->shared = shared;
	b->cxt = cxt;
	b->limit = limit;
	b->integer = HnswBulkInteger(&g->lay);
	return b;
}

static void
add_tid(Bulk *b, uint32 *maxextra, uint32 node, ItemPointer tid)
{
	uint32		at = b->shared->nextra;

	if (at == *maxextra)
	{
		*maxextra = Max(64, *maxextra * 2);
		if (b->extra == NULL)
			b->extra = MemoryContextAlloc(b->cxt, *maxextra * sizeof(BulkTid));
		else
			b->extra = repalloc_huge(b->extra, (Size) *maxextra * sizeof(BulkTid));
	}
	b->extra[at].tid = *tid;
	b->extra[at].next = b->nodes[node].more;
	b->nodes[node].more = at;
	b->shared->nextra++;
}

/* Make a node of a row. */
static void
set_row(BulkNode *x, const SpoolRow *row)
{
	x->norm2 = row->norm2;
	x->scale = row->scale;
	x->offset = row->offset;
	x->codesum = row->codesum;
	x->hash = row->hash;
	x->tid = row->tid;
}

/* Add the row whose own vector stands behind those of all nodes. */
static void
add_row(Bulk *b, struct equals_hash *equals, uint32 *maxextra, SpoolRow *row)
{
	BulkShared *sh = b->shared;
	const int	own_bytes = b->g->lay.own_bytes;
	const char *own = bulk_own(b, sh->n);
	BulkNode   *x;
	EqualsEntry *entry;
	bool		found;

	entry = equals_insert(equals, row->hash, &found);
	if (!found)
		entry->first = BULK_NONE;
	for (uint32 i = entry->first; i != BULK_NONE; i = b->nodes[i].same_hash)
	{
		x = &b->nodes[i];
		if (x->scale == row->scale && x->offset == row->offset &&
			memcmp(bulk_own(b, i), own, own_bytes) == 0)
		{
			add_tid(b, maxextra, i, &row->tid);
			return;
		}
	}
	x = &b->nodes[sh->n];
	set_row(x, row);
	x->same_hash = entry->first;
	x->more = BULK_NONE;
	x->level = HnswRandomLevel(b->g->lay.fanout);
	entry->first = sh->n++;
}

/*
 * Give the arrays their places in one piece of memory, and return its size;
 * base NULL: just that.
 */
static Size
carve(Bulk *b, char *base)
{
	BulkShared *sh = b->shared;
	const HnswLayout *lay = &b->g->lay;
	Size		at = 0;

#define CARVE(to, n) \
	do { \
		if (base) \
			(to) = (void *) (base + at); \
		at = MAXALIGN(add_size(at, mul_size(n, sizeof(*(to))))); \
	} while (0)

	for (int l = 0; l <= sh->top; l++)
	{
		BulkLevel  *level = &b->levels[l];

		level->n = sh->level_n[l];
		level->width = BULK_WIDTH(lay);
		CARVE(level->links, mul_size(level->n, level->width));
		CARVE(level->nlinks, level->n);
		CARVE(level->reach, level->n);
		CARVE(level->parent, level->n);
		CARVE(level->nchildren, level->n);
		CARVE(level->order, level->n);
		if (l > 0)
			CARVE(level->node, level->n);
	}
	CARVE(b->offered, (Size) sh->n + 2);
	CARVE(b->members, mul_size(sh->n, BULK_COPIES(lay)));
	CARVE(b->extra, sh->nextra);
	/* when all levels are linked there are no leaves any more */
	b->position = b->members;
	b->order = b->members + sh->n;
	return at;
}

/* Memory for the graph of the nodes that have been collected. */
static void
make_levels(Bulk *b)
{
	BulkShared *sh = b->shared;
	BulkTid    *extra = b->extra;
	char	   *base;

	for (uint32 i = 0; i < sh->n; i++)
	{
		sh->top = Max(sh->top, b->nodes[i].level);
		for (int l = 0; l <= b->nodes[i].level; l++)
			sh->level_n[l]++;
	}
	base = HnswTeamAlloc(b->team, TEAM_LINKS, carve(b, NULL));
	(void) carve(b, base);
	if (extra)
	{
		memcpy(b->extra, extra, (Size) sh->nextra * sizeof(BulkTid));
		pfree(extra);
	}
	for (int l = 0; l <= sh->top; l++)
	{
		BulkLevel  *level = &b->levels[l];

		memset(level->nlinks, 0, (Size) level->n * sizeof(uint16));
		memset(level->nchildren, 0, level->n);
		for (uint32 i = 0; i < level->n; i++)
			level->reach[i] = INFINITY;
		memset(level->parent, 0xFF, (Size) level->n * sizeof(uint32));
	}
	if (b->team->nparticipants > 1)
		HnswBulkInitLocks(sh);
}

/*
 * Take as many of the rows (a number) in the files of all participants as the
 * limit allows, of each file in turn, and make the memory for their graph.
 * Called by the leader, before all meet in HnswBulkBuild.  Returns how many
 * rows it took; each file's nread says which.
 */
double
HnswBulkFill(Bulk *b, Spool **spools, double rows)
{
	BulkShared *sh = b->shared;
	Team	   *team = b->team;
	const HnswLayout *lay = &b->g->lay;
	struct equals_hash *equals;
	uint32		maxextra = 0;
	uint32		most = HnswBulkCapacity(lay, b->limit, team->nparticipants);
	Size		nodes_size;
	char	   *base;
	const double rest = row_bytes(lay, team->nparticipants) - node_bytes(lay);
	double		used;
	double		taken = 0;
	bool		full = false;

	sh->cap = (uint32) Max(1, Min(most, rows));
	nodes_size = MAXALIGN(mul_size(sh->cap, sizeof(BulkNode)));
	base = HnswTeamAlloc(team, TEAM_NODES,
						 add_size(nodes_size, mul_size(sh->cap, lay->own_bytes)));
	b->nodes = (BulkNode *) base;
	b->own = base + nodes_size;
	equals = equals_create(b->cxt, Min(sh->cap, 1024), NULL);
	used = (double) team->nparticipants *
		HnswColumnsBytes(lay, HnswColumnsMax(lay, b->limit, team->nparticipants)) +
		(double) sh->cap * node_bytes(lay);

	for (bool any = true; any && !full;)
	{
		any = false;
		for (int i = 0; i < team->nparticipants && !full; i++)
			for (int j = 0; j < FILL_ROWS && !full; j++)
			{
				SpoolRow	row;

				full = sh->n == sh->cap || sh->nextra >= BULK_MAX_NODES ||
					used + sh->n * rest +
					3.0 * sh->nextra * sizeof(BulkTid) >= b->limit;
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
	make_levels(b);
	return taken;
}

/* Distance between two nodes, in index units. */
float
HnswBulkDistance(Bulk *b, uint32 i, uint32 j)
{
	const BulkNode *x = &b->nodes[i];
	const BulkNode *y = &b->nodes[j];
	HnswStored	sx = {bulk_own(b, i), x->norm2, x->scale, x->offset, x->codesum};
	HnswStored	sy = {bulk_own(b, j), y->norm2, y->scale, y->offset, y->codesum};

	return HnswStoredDistance(b->g, &sx, &sy);
}

/* Bring the nodes into the order of their own leaves, for locality. */
static void
reorder(Bulk *b)
{
	const Size	own_bytes = b->g->lay.own_bytes;
	uint32	   *moved = b->levels[0].order;		/* not in use yet */
	char	   *other = MemoryContextAlloc(b->cxt, own_bytes);
	uint32		n = 0;

	for (int64 i = 0; i < b->shared->nmembers; i++)
		if (b->members[i] & LEAF_OWN)
			moved[LEAF_MEMBER(b->members[i])] = n++;
	Assert(n == b->shared->n);
	for (int64 i = 0; i < b->shared->nmembers; i++)
		b->members[i] = moved[LEAF_MEMBER(b->members[i])] | (b->members[i] & LEAF_START);
	for (uint32 i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		/* each exchange brings one node to its place */
		while (moved[i] != i)
		{
			uint32		to = moved[i];
			BulkNode	node = b->nodes[to];
			char	   *own = b->own + (Size) i * own_bytes;
			char	   *to_own = b->own + (Size) to * own_bytes;

			b->nodes[to] = b->nodes[i];
			b->nodes[i] = node;
			memcpy(other, to_own, own_bytes);
			memcpy(to_own, own, own_bytes);
			memcpy(own, other, own_bytes);
			moved[i] = moved[to];
			moved[to] = to;
		}
	}
	pfree(other);
}

/* The members of levels 1 and up. */
static void
list_members(Bulk *b)
{
	uint32		n[HNSW_MAX_LEVEL + 1] = {0};

	for (uint32 i = 0; i < b->shared->n; i++)
		for (int l = 1; l <= b->nodes[i].level; l++)
			b->levels[l].node[n[l]++] = i;
}

/*
 * Make the graph of the rows that HnswBulkFill has collected, and write it into
 * the index, which has its metapage and no node yet.  All participants call
 * this at the same time.  False for a worker that has been left behind.
 */
bool
HnswBulkBuild(Bulk *b)
{
	Team	   *team = b->team;
	BulkShared *sh = b->shared;

	if (!HnswTeamSync(team))
		return false;
	if (sh->n == 0)
		return true;
	if (!HnswTeamLeader(team))
	{
		char	   *base = HnswTeamAttach(team, TEAM_NODES);

		b->nodes = (BulkNode *) base;
		b->own = base + MAXALIGN(mul_size(sh->cap, sizeof(BulkNode)));
		(void) carve(b, HnswTeamAttach(team, TEAM_LINKS));
	}
	else
	{
		pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, HNSW_PROGRESS_LINK);
		pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL, sh->n);
		pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, 0);
	}
	HNSW_WAIT_POINT("build-link");
	HnswColumnsInit(b);
	b->seen = MemoryContextAllocHuge(b->cxt, (Size) sh->n * sizeof(uint32));
	for (int l = 0; l <= sh->top; l++)
	{
		BulkLevel  *level = &b->levels[l];

		HnswPartition(b, level);
		if (l == 0)
		{
			if (HnswTeamLeader(team))
				reorder(b);
			(void) HnswTeamSync(team);
		}
		if (!HnswBulkLink(b, level))
			return false;
		if (l == 0 && HnswTeamLeader(team))
		{
			list_members(b);
			pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, sh->n);
		}
	}
	pfree(b->seen);
	HnswBulkWrite(b);
	return true;
}

/*
 * Insert the rows of a file that have not been read yet, one by one, into the
 * index: in portions of what the limit holds, and each in an order in which near
 * rows follow each other, for these touch the same pages.  b: a batch with no
 * one else in its team, and nothing in it.  tell: called after each row.
 */
void
HnswBulkInsert(Bulk *b, Spool *spool, void (*tell) (void *arg), void *arg)
{
	const HnswLayout *lay = &b->g->lay;
	const Size	columns = HnswColumnsBytes(lay, HnswColumnsMax(lay, b->limit, 1));
	/* divided, a row is in one list more, for a time */
	const Size	row = node_bytes(lay) + 2 * sizeof(uint32) + sizeof(uint16);
	uint32		most = 1024;
	uint32	   *order;

	if (b->limit > columns + most * row)
		most = (uint32) Min((b->limit - columns) / row, BULK_MAX_NODES);
	most = (uint32) Min(most, spool->nrows - spool->nread);
	HnswColumnsInit(b);
	b->nodes = MemoryContextAllocHuge(b->cxt, mul_size(most, sizeof(BulkNode)));
	b->own = MemoryContextAllocHuge(b->cxt, mul_size(most, lay->own_bytes));
	order = MemoryContextAllocHuge(b->cxt, mul_size(most, sizeof(uint32)));
	for (;;)
	{
		uint32		n = 0;
		SpoolRow	r;

		for (; n < most && HnswSpoolNext(spool, &r, b->own + (Size) n * lay->own_bytes); n++)
		{
			CHECK_FOR_INTERRUPTS();
			set_row(&b->nodes[n], &r);
		}
		if (n == 0)
			break;
		HnswNearOrder(b, n, order);
		for (uint32 i = 0; i < n; i++)
		{
			BulkNode   *x = &b->nodes[order[i]];
			HnswRecord	rec;

			CHECK_FOR_INTERRUPTS();
			memset(&rec, 0, sizeof(rec));
			rec.norm2 = x->norm2;
			rec.scale = x->scale;
			rec.offset = x->offset;
			rec.codesum = x->codesum;
			rec.hash = x->hash;
			HnswInsertStored(b->g, &rec, bulk_own(b, order[i]), &x->tid);
			tell(arg);
		}
	}
}

/* Let go of a batch's memory. */
void
HnswBulkDestroy(Bulk *b)
{
	HnswTeamFree(b->team, TEAM_LINKS);
	HnswTeamFree(b->team, TEAM_NODES);
	MemoryContextDelete(b->cxt);
}
