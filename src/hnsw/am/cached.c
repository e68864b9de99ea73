/*
 * cached.c
 *		The cache of results (src/cache) as scans and writers of an index use it: what a key and a
 *		value are, how what has been inserted since joins a result.
 *
 * A value is what the first search of a scan found: its nodes, with the distances that they may
 * have, as items have them, or the true ones once a scan has read them from the table.  So a hit
 * ranks no row that another scan has ranked.  Why it is as good as the search that made it, and as
 * fresh as one made now, and who tells whom what in which order: src/cache/README.
 *
 * A result that was found for another query (vectorx.cache_key_bits), or on a standby, lends no more than
 * the places of its nodes: they are read anew, as if they were a search's, and ranked for the query at hand.
 */
#include "postgres.h"

#include <math.h>
#include <sys/stat.h>

#include "cache/cache.h"
#include "common/hashfn.h"
#include "compat.h"
#include "hnsw/am/cached.h"
#include "hnsw/am/hint.h"
#include "hnsw/am/recall.h"
#include "hnsw/am/scan.h"
#include "hnsw/base/waitpoint.h"
#include "hnsw/graph/peek.h"
#include "hnsw/graph/search.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/norms.h"
#include "hnsw/metric/type.h"
#include "hnsw/metric/vector.h"
#include "hnsw/page/access.h"
#include "hnsw/page/meta.h"
#include "hnsw/page/record.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"

/* What a result is found by; the query follows. */
typedef struct CachedKey
{
	VxCacheIndex of;
	int32		ef;
	int32		max_scan_tuples;
	int32		width;			/* to a recall: HnswRecallWidth */
	double		target;
	double		factor;
	double		bound;			/* as the operator has it */
	int32		bits;			/* vectorx.cache_key_bits; 0: the query's bytes follow, else a RoundedQuery */
	int32		standby;		/* nobody tells what is written; so a result is of no use when it has become none */
} CachedKey;

/* A query to so many bits an element: a power of two, then its elements as parts of that. */
typedef struct RoundedQuery
{
	int32		exponent;
	int16		elements[FLEXIBLE_ARRAY_MEMBER];
} RoundedQuery;

/* A value: this, the bytes of the query if the key does not have them, and so many nodes. */
typedef struct CachedHead
{
	double		unit;			/* HnswQuery's */
	double		farthest;		/* what is farther than this is no result */
	int64		nvisits;		/* nodes that the search visited */
	int32		n;
	int32		searched;		/* nodes that the search found: no result has more */
	uint32		query;			/* bytes of the query */
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

/* What is told of a node that has been written: its number, and its own vector as the record has it. */
typedef struct CachedNews
{
	uint64		node;
	float		scale;
	float		offset;
	float		norm2;
	char		own[FLEXIBLE_ARRAY_MEMBER];
} CachedNews;

#define NewsBytes(lay)	(offsetof(CachedNews, own) + (lay)->own_bytes)

/* What a scan knows of the cache. */
typedef struct HnswCached
{
	VxCacheKey	key;
	VxCacheStamp stamp;
	char	   *bytes;			/* the value; NULL: none yet */
	uint32		len;
	bool		changed;		/* the cache does not know it as it is */
	bool		lent;			/* nor is it to: it was found for another query, or is of a standby */
	bool		rounded;		/* the key does not have the query's bytes */
} HnswCached;

#define Head(c)	((CachedHead *) (c)->bytes)
#define HeadQuery(c)	((c)->bytes + MAXALIGN(sizeof(CachedHead)))
#define NodesFrom(query)	(MAXALIGN(sizeof(CachedHead)) + MAXALIGN(query))

/* So many nodes written since cost less to look at than one that a search visits (docs/design/caching.md). */
#define NEWS_PER_VISIT	64

/* Nodes are looked at in portions. */
#define PEEKED	32

/*
 * When the database was made, as its first file tells: one that was dropped, and made again with the same OID, is
 * another.
 */
static uint32
database_made(void)
{
	static uint32 made = 0;
	char		path[MAXPGPATH];
	struct stat st;

	if (likely(made != 0))
		return made;
	snprintf(path, sizeof(path), "%s/PG_VERSION", DatabasePath);
	if (stat(path, &st) == 0)
	{
		const uint64 of[] = {(uint64) st.st_ino, (uint64) st.st_mtim.tv_sec, (uint64) st.st_mtim.tv_nsec};

		made = hash_bytes((const unsigned char *) of, sizeof(of));
	}
	made = Max(made, 1);
	return made;
}

static VxCacheIndex
index_of(Relation index)
{
	VxCacheIndex of = {.database = MyDatabaseId,.made = database_made(),.index = RelationGetRelid(index),
		.file = CompatRelFileNumber(index)};

	return of;
}

/* ---- what writers tell ---- */

static inline uint64
number_of(BlockNumber blk, uint16 slot)
{
	return (uint64) blk << 16 | slot;
}

/* A node's number and own vector; the latter as far as the node is there, and the ring has room for it. */
static void
tell_node(HnswIndex *g, const VxCacheIndex *of, const HnswSlot *at)
{
	union
	{
		CachedNews	news;
		char		bytes[VX_ITEM_MOST];
	}			told;
	uint32		len = sizeof(uint64);
	const char *node;
	HnswPin		pin;

	told.news.node = number_of(at->blk, at->slot);
	if (NewsBytes(g->lay) <= VX_ITEM_MOST)
	{
		HnswAcquire(g, at->blk, BUFFER_LOCK_SHARE, &pin);
		node = HnswLiveNodeAt(g, &pin, at->slot);
		if (node != NULL)
		{
			const HnswRecord *rec = (const HnswRecord *) node;

			told.news.scale = rec->scale;
			told.news.offset = rec->offset;
			told.news.norm2 = rec->norm2;
			memcpy(told.news.own, HnswNodeOwn(g, &pin, at->slot, node), g->lay->own_bytes);
			len = NewsBytes(g->lay);
		}
		HnswRelease(g, &pin);
	}
	VxCacheWritten(of, &told, len);
}

/* A row has been inserted: its node is there.  To be called without locks of pages. */
void
HnswCachedInsert(HnswIndex *g, const HnswSlot *at)
{
	VxCacheIndex of = index_of(g->rel);

	if (RelationUsesLocalBuffers(g->rel))
		return;
	HNSW_WAIT_POINT("cache-written");
	if (VxCacheListens())
		tell_node(g, &of, at);
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

/*
 * A query of the index's dimensions, rounded: out has room for so many elements.  Where the metric
 * knows no lengths, that of the query makes no difference.
 */
static void
round_query(const HnswScan *so, int bits, RoundedQuery *out)
{
	const HnswSpace *space = &so->g->space;
	const int	dim = space->lay.dim;
	float	   *elements = space->work[0];
	double		length;
	float		most = 0;
	double		step;

	space->type->decode(so->query, elements);
	length = space->lay.metric->normalised ? HnswEuclideanNorm(elements, dim) : 1;
	length = length > 0 ? length : 1;
	for (int i = 0; i < dim; i++)
		most = Max(most, fabsf(elements[i]));
	(void) frexp(most / length, &out->exponent);
	step = ldexp(1.0, bits - 1 - out->exponent) / length;
	/* no element is more than 2^exponent; the largest becomes no zero */
	for (int i = 0; i < dim; i++)
		out->elements[i] = (int16) Min(round(elements[i] * step), PG_INT16_MAX);
}

static HnswCached *
new_cached(IndexScanDesc scan, HnswScan *so)
{
	HnswCached *c = MemoryContextAllocZero(so->cxt, sizeof(HnswCached));
	const HnswTypeOps *type = so->g->space.type;
	/* one of other dimensions gets its error from the search */
	const int	bits = type->decode != NULL && type->dim(so->query) == so->g->lay->dim ? VxCacheKeyBits() : 0;
	const Size	query = bits > 0 ? offsetof(RoundedQuery, elements) + so->g->lay->dim * sizeof(int16) : VARSIZE(so->query);
	char	   *bytes = MemoryContextAlloc(so->cxt, sizeof(CachedKey) + query);
	CachedKey  *key = (CachedKey *) bytes;

	memset(key, 0, sizeof(CachedKey));
	key->of = index_of(scan->indexRelation);
	key->ef = so->ef;
	key->max_scan_tuples = so->settings.max_scan_tuples;
	key->bound = so->bound;
	key->bits = bits;
	key->standby = RecoveryInProgress();
	if (so->target > 0)
	{
		key->target = so->target;
		key->factor = HnswRecallFactor(&so->calibration, so->target, so->ef);
		key->width = HnswRecallWidth(&so->calibration, so->target);
	}
	if (bits > 0)
		round_query(so, bits, (RoundedQuery *) (bytes + sizeof(CachedKey)));
	else
		memcpy(bytes + sizeof(CachedKey), so->query, query);
	c->rounded = bits > 0;
	c->lent = key->standby;
	VxCacheKeySet(&c->key, bytes, sizeof(CachedKey) + query);
	return c;
}

/* ---- values ---- */

/* Add a node to a value that is being formed, for which there is room; returns where it is. */
static uint32
add_node(HnswCached *c, const HnswFound *f, double key, double high)
{
	const uint32 at = c->len;
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
	return at;
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
	return node_at(c, NodesFrom(Head(c)->query));
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

/* Begin a value, of this query and with room for so many bytes of nodes; false: it would be none that can be kept. */
static bool
begin_value(HnswScan *so, HnswCached *c, Size nodes)
{
	const uint32 query = c->rounded ? VARSIZE(so->query) : 0;

	c->bytes = NULL;
	if (NodesFrom(query) + nodes > VxCacheMostBytes())
		return false;
	c->len = NodesFrom(query);
	c->bytes = MemoryContextAlloc(so->cxt, c->len + nodes);
	memset(c->bytes, 0, c->len);
	memcpy(HeadQuery(c), so->query, query);
	Head(c)->query = query;
	return true;
}

/* The true distance of a node has been read from the table: those who come later need not. */
void
HnswCachedExact(HnswScan *so, const HnswFound *f, double dist)
{
	HnswCached *c = so->cached;
	CachedNode *node;

	if (c == NULL || c->bytes == NULL || c->lent || f->cached == 0)
		return;
	node = node_at(c, f->cached);
	if (node == NULL || node->key == node->high)
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
	if (c != NULL && c->bytes != NULL && c->changed && !c->lent)
		VxCachePut(&c->key, &c->stamp, c->bytes, c->len, true);
}

/* Nodes that the search has visited whose result this is. */
int64
HnswCachedVisits(const HnswScan *so)
{
	return Head(so->cached)->nvisits;
}

/* ---- hits ---- */

/* Can there be a node at this place, that may be read? */
static bool
is_place(const HnswScan *so, const HnswCandidate *at)
{
	return at->slot < so->g->lay->per_page && HnswBlockExists(so->g, at->blk);
}

/* Read the node at such a place, as it is now; false: there is none any more. */
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

/* Places of news, of a portion: their distances where they have vectors; else *all is false.  Returns how many. */
static int
portion(HnswScan *so, const VxCacheFound *found, int first, int n, HnswCandidate *nodes, bool *all)
{
	HnswIndex  *g = so->g;
	int			places = 0;

	*all = true;
	for (int i = first; i < first + n; i++)
	{
		const VxNews *item = VxCacheNewsAt(found, i);
		const CachedNews *news = (const CachedNews *) item->bytes;
		HnswCandidate at = {.key = NAN,.blk = (BlockNumber) (news->node >> 16),.slot = (uint16) news->node};

		if (unlikely(!is_place(so, &at)))
			continue;
		if (likely(item->len == NewsBytes(g->lay)))
			at.key = HnswOwnDistance(&g->space, &so->search->query, news->own, news->scale, news->offset, news->norm2);
		else
			*all = false;
		nodes[places++] = at;
	}
	return places;
}

/* Of the news, the places of those that may join the result, or that it has; *n: how many.  NULL: a search is to be made. */
static HnswCandidate *
look_through(HnswScan *so, HnswCached *c, const VxCacheFound *found, int *n)
{
	const float farthest = (float) (Head(c)->farthest / Head(c)->unit);
	HnswCandidate *kept = MemoryContextAlloc(so->cxt, found->nnews * sizeof(HnswCandidate));
	Seen		seen;

	*n = 0;
	note_places(c, &seen);
	HNSW_WAIT_POINT("cache-read");
	for (int first = 0; first < found->nnews; first += PEEKED)
	{
		HnswCandidate nodes[PEEKED];
		bool		all;
		const int	some = portion(so, found, first, Min(PEEKED, found->nnews - first), nodes, &all);

		CHECK_FOR_INTERRUPTS();
		if (!all)
			HnswPeek(so->g, &so->search->query, 0, nodes, some);
		for (int i = 0; i < some; i++)
			/* one whose distance is not known has to be looked at */
			if (!(nodes[i].key > farthest) || is_known(c, &seen, &nodes[i]))
				kept[(*n)++] = nodes[i];
	}
	return VxCacheNewsHeld(&c->key, found) ? kept : NULL;
}

/* The nodes at these places, as they are now, as far as the result is to have them; *n: how many places, and nodes. */
static HnswFound *
read_nodes(HnswScan *so, HnswCached *c, const HnswCandidate *places, int *n)
{
	const float farthest = (float) (Head(c)->farthest / Head(c)->unit);
	HnswFound  *nodes = MemoryContextAllocHuge(so->cxt, Max(*n, 1) * sizeof(HnswFound));
	int			kept = 0;

	for (int i = 0; i < *n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (read_node(so, &places[i], &nodes[kept]) &&
			(nodes[kept].dist <= farthest || find_node(c, places[i].blk, places[i].slot)))
			kept++;
	}
	*n = kept;
	return nodes;
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

/* A node of a merged result: one that it had, or one that has been read. */
typedef struct Merged
{
	double		dist;
	const CachedNode *node;
	const HnswFound *fresh;
} Merged;

static int
cmp_dist(const void *a, const void *b)
{
	const double x = ((const Merged *) a)->dist;
	const double y = ((const Merged *) b)->dist;

	return (x > y) - (x < y);
}

/*
 * The value anew: the nodes that it has, unless they have been read again, and those read, the nearest of
 * them.  What has been read is in order of places, where the value has any node.
 */
static bool
rewrite(HnswScan *so, HnswCached *c, const HnswFound *fresh, int nfresh)
{
	HnswCached	before = *c;
	Merged	   *nodes = MemoryContextAllocHuge(so->cxt, (Head(c)->n + nfresh) * sizeof(Merged));
	const double unit = so->search->query.unit;
	int			n = 0;
	int			kept;
	Size		bytes = 0;

	for (CachedNode *node = first_node(c); node; node = next_node(c, node))
	{
		const HnswFound at = {.blk = node->blk, .slot = node->slot};

		if (bsearch(&at, fresh, nfresh, sizeof(HnswFound), cmp_place) == NULL)
			nodes[n++] = (Merged){(node->key + node->high) / 2, node, NULL};
	}
	for (int i = 0; i < nfresh; i++)
		nodes[n++] = (Merged){fresh[i].dist * unit, NULL, &fresh[i]};
	qsort(nodes, n, sizeof(Merged), cmp_dist);
	kept = Min(n, Head(c)->searched);
	for (int i = 0; i < kept; i++)
		bytes += NodeBytes(nodes[i].node ? nodes[i].node->ntids : nodes[i].fresh->ntids);
	if (!begin_value(so, c, bytes))
		return false;
	Head(c)->unit = unit;
	Head(c)->nvisits = Head(&before)->nvisits;
	Head(c)->searched = Head(&before)->searched;
	/* with fewer than it may have, it has all as near as the search went */
	Head(c)->farthest = kept == Head(c)->searched ? nodes[kept - 1].dist : Head(&before)->farthest;
	for (int i = 0; i < kept; i++)
	{
		const CachedNode *node = nodes[i].node;
		double		slack;

		if (node == NULL)
		{
			slack = HnswItemSlack(so, nodes[i].fresh);
			(void) add_node(c, nodes[i].fresh, nodes[i].dist - slack, nodes[i].dist + slack);
			continue;
		}
		memcpy(c->bytes + c->len, node, NodeBytes(node->ntids));
		c->len += NodeBytes(node->ntids);
		Head(c)->n++;
	}
	return true;
}

/*
 * What has been written since joins the result, as a search would have found it.  False: a search is to be made.
 */
static bool
merge(HnswScan *so, HnswCached *c, const VxCacheFound *found)
{
	int			n;
	const HnswCandidate *places = look_through(so, c, found, &n);
	HnswFound  *fresh;

	if (places == NULL)
		return false;
	fresh = read_nodes(so, c, places, &n);
	c->changed = true; /* if only in how far it has been brought */
	n = unique_nodes(fresh, n);
	return n == 0 || rewrite(so, c, fresh, n);
}

/* Is a result of another query than the one at hand? */
static bool
is_others(const HnswScan *so, HnswCached *c)
{
	return c->rounded &&
		   (Head(c)->query != VARSIZE(so->query) || memcmp(HeadQuery(c), so->query, Head(c)->query) != 0);
}

/*
 * The nodes of a result are read anew, as they are now, and ranked for the query at hand: of those that the
 * cache knows nothing else is relied on.  False: a search is to be made.
 */
static bool
reread(HnswScan *so, HnswCached *c)
{
	int			n = 0;
	HnswFound  *fresh = MemoryContextAllocHuge(so->cxt, Max(Head(c)->n, 1) * sizeof(HnswFound));
	double		farthest = -INFINITY;

	for (CachedNode *node = first_node(c); node; node = next_node(c, node))
	{
		const HnswCandidate at = {.blk = node->blk,.slot = node->slot};
		const CachedNode *next = next_node(c, node);

		CHECK_FOR_INTERRUPTS();
		if (next && HnswBlockExists(so->g, next->blk))
			HnswPrefetch(so->g, next->blk, next->slot);
		if (!is_place(so, &at) || !read_node(so, &at, &fresh[n]))
			continue;
		farthest = Max(farthest, fresh[n].dist * so->search->query.unit);
		n++;
	}
	c->lent = true;
	Head(c)->farthest = farthest;
	Head(c)->n = 0;
	c->len = NodesFrom(Head(c)->query); /* of the nodes that it had none is left */
	return n > 0 && rewrite(so, c, fresh, n);
}

/* A result that is not as one for this query made now would be becomes so; false: a search is to be made. */
static bool
bring_up(HnswScan *so, HnswCached *c, const VxCacheFound *found)
{
	return HnswPrepareQuery(&so->g->space, HnswCentre(so->g), so->query, &so->search->query) &&
		!so->search->query.far && (!c->lent || reread(so, c)) && (found->nnews == 0 || merge(so, c, found));
}

/* Look a result up, and bring it up to date: false, if there is none that can be, or a search costs less. */
static bool
look_up(HnswScan *so, HnswCached *c)
{
	VxCacheFound found;

	if (!VxCacheFind(&c->key, so->cxt, &found) ||
		found.nnews / NEWS_PER_VISIT > ((CachedHead *) found.bytes)->nvisits)
		return false;
	c->stamp = found.stamp;
	c->bytes = found.bytes;
	c->len = found.len;
	c->changed = false;
	c->lent = c->lent || is_others(so, c);
	if ((found.nnews == 0 && !c->lent) || bring_up(so, c, &found))
	{
		VxCacheHit(&c->key, found.nnews > 0);
		return true;
	}
	/* the search's will be the session's own */
	c->lent = RecoveryInProgress();
	c->bytes = NULL;
	return false;
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
			.strips = node->strips,.ntids = node->ntids,.overflow = node->overflow,
			.cached = (uint32) ((char *) node - c->bytes)};

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
	if (!begin_value(so, c, bytes))
		return;
	Head(c)->unit = so->search->query.unit;
	Head(c)->nvisits = so->search->nvisits;
	Head(c)->searched = so->nitems;
	Head(c)->farthest = -INFINITY;
	for (int i = 0; i < so->nitems; i++)
	{
		const HnswScanItem *item = &so->items[i];
		HnswFound  *f = &so->found[item->idx];

		f->cached = add_node(c, f, item->key, item->high);
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
	VxCacheBegin(&c->key, NewsBytes(so->g->lay), &c->stamp);
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
