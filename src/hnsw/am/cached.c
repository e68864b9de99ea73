/*
 * cached.c
 *		The cache of results (src/cache) as scans and writers of an index use it: what a key and a
 *		value are, how what has been inserted since joins a result.
 *
 * A value is what the first search of a scan found: its nodes, with the distances that they may
 * have, as items have them, or the true ones once a scan has read them from the table.  So a hit
 * ranks no row that another scan has ranked.  Why it is as good as a search made now, and
 * who tells whom what in which order: src/cache/README.
 */
#include "postgres.h"

#include <math.h>

#include "cache/cache.h"
#include "compat.h"
#include "hnsw/am/cached.h"
#include "hnsw/am/hint.h"
#include "hnsw/am/recall.h"
#include "hnsw/am/scan.h"
#include "hnsw/base/waitpoint.h"
#include "hnsw/graph/peek.h"
#include "hnsw/graph/search.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/vector.h"
#include "hnsw/page/access.h"
#include "hnsw/page/meta.h"
#include "hnsw/page/record.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"

/* What a result is found by; the bytes of the query follow. */
typedef struct CachedKey
{
	VxCacheIndex of;
	int32		ef;
	int32		max_scan_tuples;
	int32		width;			/* to a recall: HnswRecallWidth */
	double		target;
	double		factor;
	double		bound;			/* as the operator has it */
} CachedKey;

/* A value: this, and so many nodes. */
typedef struct CachedHead
{
	double		unit;			/* HnswQuery's */
	double		farthest;		/* what is farther than this is no result */
	int64		nvisits;		/* nodes that the search visited */
	int32		n;
	int32		searched;		/* of these, those that the search found */
} CachedHead;

/* A node; its inline heap TIDs follow. */
typedef struct CachedNode
{
	double		key;			/* as HnswScanItem's */
	double		high;
	BlockNumber blk;
	BlockNumber overflow;
	uint16		slot;
	uint16		generation;
	uint16		strips;
	uint8		ntids;
} CachedNode;

#define NodeTids(node)	((ItemPointerData *) ((char *) (node) + sizeof(CachedNode)))
#define NodeBytes(ntids)	MAXALIGN(sizeof(CachedNode) + (ntids) * sizeof(ItemPointerData))

/* What a scan knows of the cache. */
typedef struct HnswCached
{
	VxCacheKey	key;
	VxCacheStamp stamp;
	char	   *bytes;			/* the value; NULL: none yet */
	uint32		len;
	bool		changed;		/* the cache does not know it as it is */
} HnswCached;

#define Head(c)	((CachedHead *) (c)->bytes)

/* Nodes are looked at in portions. */
#define PEEKED	32

static VxCacheIndex
index_of(Relation index)
{
	VxCacheIndex of = {.database = MyDatabaseId,.index = RelationGetRelid(index),
		.file = CompatRelFileNumber(index)};

	return of;
}

/* ---- what writers tell ---- */

static inline uint64
number_of(BlockNumber blk, uint16 slot)
{
	return (uint64) blk << 16 | slot;
}

/* A row has been inserted: its node is there.  To be called without locks of pages. */
void
HnswCachedInsert(Relation index, const HnswSlot *at)
{
	VxCacheIndex of = index_of(index);

	if (RelationUsesLocalBuffers(index))
		return;
	HNSW_WAIT_POINT("cache-written");
	VxCacheWritten(&of, number_of(at->blk, at->slot));
}

/* Slots, pages or heap TIDs of an index may come to be used for other rows from now on. */
void
HnswCachedVoid(Relation index)
{
	VxCacheIndex of = index_of(index);

	if (!RelationUsesLocalBuffers(index))
		VxCacheVoid(&of);
}

/* ---- keys ---- */

/* Is a scan one whose first search the cache may know, as far as can be told before the query is prepared? */
bool
HnswCachedMay(IndexScanDesc scan, const HnswScan *so)
{
	const VxCacheMode mode = VxCacheChosen();

	if (likely(mode == VX_CACHE_OFF))
		return false;
	if (!so->ordered || !so->exact || so->expected >= (int64) HNSW_ALL_ROWS ||
		RelationUsesLocalBuffers(scan->indexRelation))
		return false;
	/* how long a query takes tells that somebody has asked it before */
	return mode == VX_CACHE_ALL || !scan->heapRelation->rd_rel->relrowsecurity;
}

static HnswCached *
new_cached(IndexScanDesc scan, HnswScan *so)
{
	HnswCached *c = MemoryContextAllocZero(so->cxt, sizeof(HnswCached));
	const Size	query = VARSIZE(so->query);
	char	   *bytes = MemoryContextAllocZero(so->cxt, sizeof(CachedKey) + query);
	CachedKey  *key = (CachedKey *) bytes;

	key->of = index_of(scan->indexRelation);
	key->ef = so->ef;
	key->max_scan_tuples = so->settings.max_scan_tuples;
	key->bound = so->bound;
	if (so->target > 0)
	{
		key->target = so->target;
		key->factor = HnswRecallFactor(&so->calibration, so->target, so->ef);
		key->width = HnswRecallWidth(&so->calibration, so->target);
	}
	memcpy(bytes + sizeof(CachedKey), so->query, query);
	VxCacheKeySet(&c->key, bytes, sizeof(CachedKey) + query);
	return c;
}

/* ---- values ---- */

/* Add a node to a value that is being formed, for which there is room. */
static void
add_node(HnswCached *c, const HnswFound *f, double key, double high)
{
	CachedNode *node = (CachedNode *) (c->bytes + c->len);

	memset(node, 0, NodeBytes(f->ntids));
	node->key = key;
	node->high = high;
	node->blk = f->blk;
	node->overflow = f->overflow;
	node->slot = f->slot;
	node->generation = f->generation;
	node->strips = f->strips;
	node->ntids = f->ntids;
	memcpy(NodeTids(node), f->tids, f->ntids * sizeof(ItemPointerData));
	c->len += NodeBytes(f->ntids);
	Head(c)->n++;
}

/* The first node, and the one behind one; NULL: there are no more. */
static CachedNode *
node_at(HnswCached *c, Size at)
{
	return at < c->len ? (CachedNode *) (c->bytes + at) : NULL;
}

static CachedNode *
first_node(HnswCached *c)
{
	return node_at(c, MAXALIGN(sizeof(CachedHead)));
}

static CachedNode *
next_node(HnswCached *c, const CachedNode *node)
{
	return node_at(c, (const char *) node - c->bytes + NodeBytes(node->ntids));
}

static CachedNode *
find_node(HnswCached *c, BlockNumber blk, uint16 slot)
{
	CachedNode *node = first_node(c);

	while (node && (node->blk != blk || node->slot != slot))
		node = next_node(c, node);
	return node;
}

/* Begin a value, with room for so many bytes of nodes. */
static void
begin_value(HnswScan *so, HnswCached *c, Size nodes)
{
	c->len = MAXALIGN(sizeof(CachedHead));
	c->bytes = MemoryContextAllocHuge(so->cxt, c->len + nodes);
	memset(c->bytes, 0, c->len);
}

/* The true distance of a node has been read from the table: those who come later need not. */
void
HnswCachedExact(HnswScan *so, const HnswFound *f, double dist)
{
	HnswCached *c = so->cached;
	CachedNode *node = c != NULL && c->bytes != NULL ? find_node(c, f->blk, f->slot) : NULL;

	if (node == NULL || node->generation != f->generation || node->key == node->high)
		return;
	node->key = node->high = dist;
	c->changed = true;
}

/* A scan ends, or begins anew: what it has found out about its result is told. */
void
HnswCachedEnd(HnswScan *so)
{
	HnswCached *c = so->cached;

	so->cached = NULL;
	if (c != NULL && c->bytes != NULL && c->changed)
		VxCachePut(&c->key, &c->stamp, c->bytes, c->len, true);
}

/* Nodes that the search has visited whose result this is. */
int64
HnswCachedVisits(const HnswScan *so)
{
	return Head(so->cached)->nvisits;
}

/* ---- hits ---- */

/* Read a node that has been written since; false: there is none any more. */
static bool
read_node(HnswScan *so, const HnswCandidate *at, HnswFound *f)
{
	HnswIndex  *g = so->g;
	HnswPin		pin;
	const char *node;
	const char *own;

	HnswAcquire(g, at->blk, BUFFER_LOCK_SHARE, &pin);
	node = HnswLiveNodeAt(g, &pin, at->slot);
	if (node != NULL)
		HnswDescribe(g->lay, node, at->blk, at->slot,
					 HnswMeasure(g, &so->search->query, &pin, at->slot, node, &own), f);
	HnswRelease(g, &pin);
	return node != NULL;
}

/* Nodes of a value, as bits of their places: by far most others have none of them. */
#define SEEN_BITS	1024

typedef struct Seen
{
	uint64		words[SEEN_BITS / 64];
} Seen;

static inline uint32
place_bit(BlockNumber blk, uint16 slot)
{
	return ((blk * 0x9E3779B1U) ^ (slot * 0x85EBCA6BU)) >> 22;
}

static void
note_places(HnswCached *c, Seen *seen)
{
	memset(seen, 0, sizeof(*seen));
	for (CachedNode *node = first_node(c); node; node = next_node(c, node))
	{
		const uint32 bit = place_bit(node->blk, node->slot);

		seen->words[bit / 64] |= UINT64CONST(1) << (bit % 64);
	}
}

static bool
is_known(HnswCached *c, const Seen *seen, const HnswCandidate *at)
{
	const uint32 bit = place_bit(at->blk, at->slot);

	return (seen->words[bit / 64] >> (bit % 64) & 1) && find_node(c, at->blk, at->slot) != NULL;
}

/* Of nodes written since, those that the result lacks or has as they were; *n: how many. */
static HnswFound *
read_news(HnswScan *so, HnswCached *c, const VxCacheFound *found, int *n)
{
	const float farthest = (float) (Head(c)->farthest / Head(c)->unit);
	int			max = PEEKED;
	HnswFound  *fresh = MemoryContextAlloc(so->cxt, max * sizeof(HnswFound));
	Seen		seen;

	*n = 0;
	note_places(c, &seen);
	for (int first = 0; first < found->nnews; first += PEEKED)
	{
		HnswCandidate nodes[PEEKED];
		int			nnodes = 0;

		CHECK_FOR_INTERRUPTS();
		for (int i = first; i < Min(first + PEEKED, found->nnews); i++)
		{
			HnswCandidate at = {.blk = (BlockNumber) (found->news[i] >> 16),.slot = (uint16) found->news[i]};

			if (at.slot < so->g->lay->per_page && HnswBlockExists(so->g, at.blk))
				nodes[nnodes++] = at;
		}
		HnswPeek(so->g, &so->search->query, 0, nodes, nnodes);
		if (*n + nnodes > max)
		{
			max *= 2;
			fresh = repalloc(fresh, max * sizeof(HnswFound));
		}
		for (int i = 0; i < nnodes; i++)
		{
			const bool	known = is_known(c, &seen, &nodes[i]);

			if (!known && !isnan(nodes[i].key) && nodes[i].key > farthest)
				continue;
			if (read_node(so, &nodes[i], &fresh[*n]) && (known || fresh[*n].dist <= farthest))
				(*n)++;
		}
	}
	return fresh;
}

static int
cmp_place(const void *a, const void *b)
{
	const HnswFound *x = (const HnswFound *) a;
	const HnswFound *y = (const HnswFound *) b;

	if (x->blk != y->blk)
		return x->blk < y->blk ? -1 : 1;
	return (int) x->slot - (int) y->slot;
}

/* One of each node, the one that was read last being as good as any; returns how many. */
static int
unique_nodes(HnswFound *nodes, int n)
{
	int			kept = 0;

	qsort(nodes, n, sizeof(HnswFound), cmp_place);
	for (int i = 0; i < n; i++)
		if (kept == 0 || cmp_place(&nodes[kept - 1], &nodes[i]) != 0)
			nodes[kept++] = nodes[i];
	return kept;
}

/*
 * What has been written since joins the result.  False: it has become so many more nodes that a search
 * is better.
 */
static bool
merge(HnswScan *so, HnswCached *c, const VxCacheFound *found)
{
	HnswCached	before = *c;
	const double unit = so->search->query.unit;
	int			n;
	HnswFound  *fresh = read_news(so, c, found, &n);
	Size		bytes = 0;

	n = unique_nodes(fresh, n);
	c->changed = true; /* if only in how far it has been brought */
	if (n == 0)
		return true;
	for (int i = 0; i < n; i++)
		bytes += NodeBytes(fresh[i].ntids);
	begin_value(so, c, before.len + bytes);
	*Head(c) = *Head(&before);
	Head(c)->n = 0;
	for (CachedNode *node = first_node(&before); node; node = next_node(&before, node))
	{
		const HnswFound at = {.blk = node->blk, .slot = node->slot};

		if (bsearch(&at, fresh, n, sizeof(HnswFound), cmp_place) != NULL)
			continue;
		memcpy(c->bytes + c->len, node, NodeBytes(node->ntids));
		c->len += NodeBytes(node->ntids);
		Head(c)->n++;
	}
	for (int i = 0; i < n; i++)
	{
		const double dist = fresh[i].dist * unit;
		const double slack = HnswItemSlack(so, &fresh[i]);

		add_node(c, &fresh[i], dist - slack, dist + slack);
	}
	return Head(c)->n <= 2 * Head(c)->searched;
}

/* Look a result up, and bring it up to date: false, if there is none that can be. */
static bool
look_up(HnswScan *so, HnswCached *c)
{
	VxCacheFound found;

	if (!VxCacheFind(&c->key, so->cxt, &found))
		return false;
	c->stamp = found.stamp;
	c->bytes = found.bytes;
	c->len = found.len;
	c->changed = false;
	if (found.nnews > 0 &&
		(!HnswPrepareQuery(&so->g->space, HnswCentre(so->g), so->query, &so->search->query) ||
		 so->search->query.far || !merge(so, c, &found)))
	{
		c->bytes = NULL;
		return false;
	}
	return true;
}

/* The result becomes the scan's, as if it had searched. */
static void
use(HnswScan *so)
{
	HnswCached *c = so->cached;

	Assert(c->bytes != NULL);
	for (CachedNode *node = first_node(c); node; node = next_node(c, node))
	{
		HnswFound	f = {.blk = node->blk,.slot = node->slot,.generation = node->generation,
			.strips = node->strips,.ntids = node->ntids,.overflow = node->overflow};

		memcpy(f.tids, NodeTids(node), node->ntids * sizeof(ItemPointerData));
		HnswItemsAdd(so, &f, node->key, node->high, false, false);
		so->nwithin += (node->key + node->high) / 2 <= so->bound;
	}
	so->nfound = Head(c)->n;
	so->unsearched = true;
	HnswScanHold(so);
}

/*
 * Look for the result of a first search as it has been planned, for a query that has not been prepared yet.  True:
 * it is the scan's.  False: so->cached tells that the search's is wanted.
 */
bool
HnswCachedFind(IndexScanDesc scan, HnswScan *so)
{
	HnswCached *c = new_cached(scan, so);

	so->cached = c;
	if (!look_up(so, c))
		return false;
	so->search->query.unit = Head(c)->unit;
	if (HnswPlaceBound(so))
		use(so);
	return true;
}

/* ---- misses ---- */

/* Keep what has been found, if it is a search's that went as usual. */
static void
keep(HnswScan *so, HnswCached *c)
{
	Size		bytes = 0;

	if (so->sweep != NULL || so->coarse || so->unclear || so->empty || so->nitems == 0 || so->search->dry)
		return;
	for (int i = 0; i < so->nitems; i++)
		bytes += NodeBytes(so->found[so->items[i].idx].ntids);
	begin_value(so, c, bytes);
	Head(c)->unit = so->search->query.unit;
	Head(c)->nvisits = so->search->nvisits;
	Head(c)->searched = so->nitems;
	Head(c)->farthest = -INFINITY;
	for (int i = 0; i < so->nitems; i++)
	{
		const HnswScanItem *item = &so->items[i];

		add_node(c, &so->found[item->idx], item->key, item->high);
		Head(c)->farthest = Max(Head(c)->farthest, (item->key + item->high) / 2);
	}
	HNSW_WAIT_POINT("cache-put");
	VxCachePut(&c->key, &c->stamp, c->bytes, c->len, false);
}

static void
search_and_keep(IndexScanDesc scan, HnswScan *so, HnswMetaPage *meta)
{
	HnswCached *c = so->cached;
	instr_time	began;
	instr_time	took;

	INSTR_TIME_SET_CURRENT(began);
	HNSW_WAIT_POINT("cache-begin");
	VxCacheBegin(&c->key, &c->stamp);
	HNSW_WAIT_POINT("cache-search");
	/* the list of pending pages, too, has to be of after the stamp */
	HnswReadMeta(so->g, meta);
	HnswFirstResults(scan, so, meta);
	keep(so, c);
	INSTR_TIME_SET_CURRENT(took);
	INSTR_TIME_SUBTRACT(took, began);
	VxCacheTook(&c->key, INSTR_TIME_GET_MICROSEC(took));
}

/*
 * The first search of a scan, whose query has been prepared: made here, or by somebody else just now if it
 * is one that the cache is to know.
 */
void
HnswCachedSearch(IndexScanDesc scan, HnswScan *so, HnswMetaPage *meta)
{
	HnswCached *c = so->cached;
	VxCacheTurn	turn;

	if (likely(c == NULL))
	{
		HnswFirstResults(scan, so, meta);
		return;
	}
	turn = VxCacheTurnOf(&c->key);
	if (turn == VX_CACHE_FIRST)
	{
		PG_TRY();
		{
			/* somebody may have been first a moment ago */
			if (look_up(so, c))
				use(so);
			else
				search_and_keep(scan, so, meta);
		}
		PG_FINALLY();
		{
			VxCacheLand(&c->key);
		}
		PG_END_TRY();
	}
	else if (turn == VX_CACHE_AGAIN && look_up(so, c))
		use(so);
	else
		search_and_keep(scan, so, meta);
}
