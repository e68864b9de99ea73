/*
 * bulk.c
 *		Construction of a graph from many rows at once.
 *
 * Rows are collected as they are stored (own vector and what goes with it);
 * equal vectors become one node.  Then nodes are grouped by nearness
 * (partition.c), which also gives the order they are kept and written in, and
 * linked level by level.  Touches no page before HnswBulkWrite.
 */
#include "postgres.h"

#include "commands/progress.h"
#include "hnsw/bulk.h"
#include "hnsw/waitpoint.h"
#include "miscadmin.h"
#include "utils/backend_progress.h"
#include "utils/memutils.h"

/*
 * Groups that a node is in: more find more of its neighbours.  With the
 * default ef_construction 8; see README, "Build", for what others give.
 */
#define COPIES(ef_construction)	Max(4, Min(16, (ef_construction) / 8))

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
 * A batch for an index, of as many rows as "limit" bytes allow; rows: how
 * many are expected.  g: a handle whose centre is known.
 */
Bulk *
HnswBulkCreate(HnswGraph *g, Size limit, double rows)
{
	MemoryContext cxt = AllocSetContextCreate(g->cxt, "hnsw bulk construction",
											  ALLOCSET_DEFAULT_SIZES);
	Bulk	   *b = MemoryContextAllocZero(cxt, sizeof(Bulk));
	const HnswLayout *lay = &g->lay;
	double		most;

	b->g = g;
	b->cxt = cxt;
	b->limit = limit;
	b->integer = lay->own == HNSW_OWN_INT8 && lay->metric != HNSW_L1;
	/* its vector, candidates, groups, offers; the hash table has gone by then */
	b->row_bytes = sizeof(BulkNode) + lay->own_bytes +
		Max(lay->fanout, lay->ef_construction) * sizeof(BulkLink) +
		COPIES(lay->ef_construction) * sizeof(uint32) +
		lay->fanout / 2 * sizeof(BulkLink) + 8 * sizeof(uint32);
	most = Min((double) limit / b->row_bytes, BULK_MAX_NODES);
	b->max = (uint32) Max(1, Min(most, Max(rows * 1.1, 1024)));
	b->nodes = MemoryContextAllocHuge(cxt, (Size) b->max * sizeof(BulkNode));
	b->own = MemoryContextAllocHuge(cxt, (Size) b->max * lay->own_bytes);
	b->equals = equals_create(cxt, Min(b->max, 1024), NULL);
	b->maxextra = 64;
	b->extra = MemoryContextAlloc(cxt, b->maxextra * sizeof(BulkTid));
	return b;
}

/* Is there no room for another row? */
bool
HnswBulkFull(const Bulk *b)
{
	return b->n >= BULK_MAX_NODES || b->nextra >= BULK_MAX_NODES ||
		b->n * b->row_bytes + b->nextra * sizeof(BulkTid) >= b->limit;
}

static void
add_tid(Bulk *b, uint32 node, ItemPointer tid)
{
	if (b->nextra == b->maxextra)
	{
		b->maxextra *= 2;
		b->extra = repalloc_huge(b->extra, (Size) b->maxextra * sizeof(BulkTid));
	}
	b->extra[b->nextra].tid = *tid;
	b->extra[b->nextra].next = b->nodes[node].more;
	b->nodes[node].more = b->nextra++;
}

/*
 * Add a row.  False when its vector is one that is not indexed.  Errors: as
 * HnswInsertVector's.
 */
bool
HnswBulkAdd(Bulk *b, const Vector *v, ItemPointer tid)
{
	HnswGraph  *g = b->g;
	const int	own_bytes = g->lay.own_bytes;
	HnswRecord	rec;
	BulkNode   *x;
	char	   *own;
	EqualsEntry *entry;
	bool		found;

	memset(&rec, 0, sizeof(rec));
	if (!HnswPrepareVector(g, v, g->scratch->fa))
		return false;
	HnswCheckNorm(g, vx_simd->sumsq(g->scratch->fa, g->lay.dim));
	if (b->n == b->max)
	{
		b->max = Min(b->max + b->max / 2 + 1, BULK_MAX_NODES);
		b->nodes = repalloc_huge(b->nodes, (Size) b->max * sizeof(BulkNode));
		b->own = repalloc_huge(b->own, (Size) b->max * own_bytes);
	}
	own = b->own + (Size) b->n * own_bytes;
	HnswOwnEncode(g, g->scratch->fa, own, &rec);

	entry = equals_insert(b->equals, rec.hash, &found);
	if (!found)
		entry->first = BULK_NONE;
	for (uint32 i = entry->first; i != BULK_NONE; i = b->nodes[i].same_hash)
	{
		x = &b->nodes[i];
		if (x->scale == rec.scale && x->offset == rec.offset &&
			memcmp(bulk_own(b, i), own, own_bytes) == 0)
		{
			add_tid(b, i, tid);
			return true;
		}
	}
	x = &b->nodes[b->n];
	x->norm2 = rec.norm2;
	x->scale = rec.scale;
	x->offset = rec.offset;
	x->codesum = rec.codesum;
	x->hash = rec.hash;
	x->same_hash = entry->first;
	x->more = BULK_NONE;
	x->tid = *tid;
	x->level = HnswRandomLevel(g->lay.fanout);
	entry->first = b->n++;
	return true;
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
reorder(Bulk *b, BulkLeaves *leaves)
{
	const Size	own_bytes = b->g->lay.own_bytes;
	uint32	   *moved = MemoryContextAllocHuge(b->cxt, (Size) b->n * sizeof(uint32));
	char	   *other = MemoryContextAlloc(b->cxt, own_bytes);
	uint32		n = 0;

	for (int64 i = 0; i < leaves->n; i++)
		if (leaves->members[i] & BULK_TREE)
			moved[leaves->members[i] & BULK_MAX_NODES] = n++;
	Assert(n == b->n);
	for (int64 i = 0; i < leaves->n; i++)
		leaves->members[i] = moved[leaves->members[i] & BULK_MAX_NODES];
	for (uint32 i = 0; i < b->n; i++)
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
	pfree(moved);
}

/* The members of levels 1 and up. */
static void
make_levels(Bulk *b)
{
	for (uint32 i = 0; i < b->n; i++)
	{
		b->top = Max(b->top, b->nodes[i].level);
		for (int l = 1; l <= b->nodes[i].level; l++)
			b->levels[l].n++;
	}
	for (int l = 1; l <= b->top; l++)
	{
		b->levels[l].node = MemoryContextAllocHuge(b->cxt, (Size) b->levels[l].n * sizeof(uint32));
		b->levels[l].n = 0;
	}
	for (uint32 i = 0; i < b->n; i++)
		for (int l = 1; l <= b->nodes[i].level; l++)
			b->levels[l].node[b->levels[l].n++] = i;
}

/*
 * Make the graph of the rows collected, write it into the index, and free the
 * batch.  The index has its metapage, and no node yet.
 */
void
HnswBulkFinish(Bulk *b)
{
	const int	copies = COPIES(b->g->lay.ef_construction);
	BulkLeaves	leaves;
	uint32		entry;

	HNSW_WAIT_POINT("build-link");
	equals_destroy(b->equals);
	if (b->n > 0)
	{
		pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, HNSW_PROGRESS_LINK);
		b->levels[0].n = b->n;
		HnswColumnsInit(b);
		HnswPartition(b, &b->levels[0], copies, &leaves);
		reorder(b, &leaves);
		make_levels(b);
		HnswBulkLink(b, &b->levels[0], &leaves);
		HnswLeavesFree(&leaves);
		for (int l = 1; l <= b->top; l++)
		{
			HnswPartition(b, &b->levels[l], copies, &leaves);
			HnswBulkLink(b, &b->levels[l], &leaves);
			HnswLeavesFree(&leaves);
		}
		entry = b->top == 0 ? 0 : b->levels[b->top].node[0];
		HnswBulkTree(b, entry);
		pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, HNSW_PROGRESS_WRITE);
		HNSW_WAIT_POINT("build-write");
		HnswBulkWrite(b, entry);
	}
	MemoryContextDelete(b->cxt);
}
