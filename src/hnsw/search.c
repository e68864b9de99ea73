/*
 * search.c
 *		Search of the graph, for scans, inserts and repair alike.
 *
 * HNSW's best-first search (Malkov & Yashunin, 2018), with candidates ordered
 * by estimated and results by computed distance: a visited node tells its own
 * exact distance and estimates of all its neighbours from one page.  A node
 * is queued once, by the first node to give it an estimate below the bound; so
 * that one bad estimate does not lose it, keys are estimates less a part of
 * their standard deviation.
 *
 * Locks: one page at a time, share (with a node's side pages inside its
 * page's lock).  No lock or pin is held on return or when interrupts are
 * serviced.
 */
#include "postgres.h"

#include <math.h>

#include "hnsw/hnsw.h"
#include "hnsw/nodeset.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"

/* ---- distances to the vector that is to be linked ---- */

/* Forget the distances of the vector before. */
void
HnswKnownReset(HnswGraph *g)
{
	HnswScratch *s = g->scratch;

	if (s->known == NULL)
		s->known = nodeset_create(g->cxt, 4096, NULL);
	else
		nodeset_reset(s->known);
}

static void
known_add(HnswGraph *g, BlockNumber blk, uint16 slot, float dist)
{
	nodeset_hash *known = g->scratch->known;
	bool		found;

	/* if it cannot grow it is of no use any more, but the handle is */
	g->scratch->known = NULL;
	nodeset_insert(known, NODESET_KEY(blk, slot), &found)->dist = dist;
	g->scratch->known = known;
}

/*
 * Remember the distances of what a search of one level found.  (Without
 * sketches a search remembers all that it computed.)
 */
void
HnswKnowFound(HnswGraph *g, const HnswResult *res)
{
	if (g->lay.sketch == HNSW_SKETCH_NONE)
		return;
	HnswKnownReset(g);
	for (int i = 0; i < res->nfound; i++)
		known_add(g, res->found[i].blk, res->found[i].slot, res->found[i].dist);
}

/* The distance of a node to the vector that is to be linked, if it is known. */
bool
HnswKnownDistance(HnswGraph *g, BlockNumber blk, uint16 slot, float *dist)
{
	NodeSetEntry *e;

	if (g->scratch->known == NULL)
		return false;
	e = nodeset_lookup(g->scratch->known, NODESET_KEY(blk, slot));
	if (e)
		*dist = e->dist;
	return e != NULL;
}

/* In a queued candidate's slot: its key is its distance, it has been read. */
#define EVALUATED	0x8000

/*
 * The standard deviation of a code's error is about 0.6, for any number of
 * bits, times the estimate's slope and the query's distance from the node.
 * What part of it is taken off an estimate was measured (README, "Search").
 */
#define OPTIMISM	(0.75f * 0.6f)

/*
 * Is a node queued by the first estimate only?  For the inner product errors
 * grow with the query's length, not with its distance, and the best of several
 * estimates serves better.
 */
static inline bool
queues_once(const HnswGraph *g)
{
	return g->lay.metric != HNSW_IP;
}

/* ---- marks: nodes that are not to be queued (again) ---- */

static void
clear_visited(HnswGraph *g)
{
	for (int64 i = 0; i < g->ntouched; i++)
		g->visited[g->touched[i]] = 0;
	g->ntouched = 0;
}

static inline Size
visit_id(HnswGraph *g, BlockNumber blk, uint16 slot)
{
	return (Size) blk * g->lay.per_page + slot;
}

static inline bool
is_visited(HnswGraph *g, BlockNumber blk, uint16 slot)
{
	Size		id = visit_id(g, blk, slot);

	return (g->visited[id / 64] >> (id % 64)) & 1;
}

static inline void
mark_visited(HnswGraph *g, BlockNumber blk, uint16 slot)
{
	Size		id = visit_id(g, blk, slot);
	uint64	   *word = &g->visited[id / 64];

	if (*word == 0)
	{
		if (unlikely(g->ntouched == g->maxtouched))
		{
			int64		max = Max(1024, g->maxtouched * 2);

			if (g->touched == NULL)
				g->touched = MemoryContextAllocHuge(g->cxt, max * sizeof(uint64));
			else
				g->touched = repalloc_huge(g->touched, max * sizeof(uint64));
			g->maxtouched = max;	/* the handle outlives an error */
		}
		g->touched[g->ntouched++] = id / 64;
	}
	*word |= UINT64CONST(1) << (id % 64);
}

/* A link or seed must name a block that exists and a slot a page can have. */
static inline void
check_target(HnswGraph *g, BlockNumber blk, uint16 slot)
{
	if (unlikely(blk >= g->nblocks))
		HnswKnowBlocks(g, blk);
	if (unlikely(slot >= g->lay.per_page))
		HnswCorrupted(g, blk, slot, "a link names a slot no page has");
}

/* ---- candidates: a binary heap, least key first ---- */

static void
push_candidate(HnswScratch *s, HnswCandidate c)
{
	int64		i;

	if (unlikely(s->nheap == s->maxheap))
	{
		s->heap = repalloc_huge(s->heap, s->maxheap * 2 * sizeof(HnswCandidate));
		s->maxheap *= 2;
	}
	i = s->nheap++;
	while (i > 0)
	{
		int64		parent = (i - 1) / 2;

		if (s->heap[parent].key <= c.key)
			break;
		s->heap[i] = s->heap[parent];
		i = parent;
	}
	s->heap[i] = c;
}

static HnswCandidate
pop_candidate(HnswScratch *s)
{
	HnswCandidate top = s->heap[0];
	HnswCandidate last = s->heap[--s->nheap];
	int64		n = s->nheap;
	int64		i = 0;

	for (;;)
	{
		int64		child = 2 * i + 1;

		if (child >= n)
			break;
		if (child + 1 < n && s->heap[child + 1].key < s->heap[child].key)
			child++;
		if (last.key <= s->heap[child].key)
			break;
		s->heap[i] = s->heap[child];
		i = child;
	}
	s->heap[i] = last;
	return top;
}

/* ---- results: a binary heap over a pool, greatest key first ---- */

/* Make room for ef results; keeps memory from call to call. */
void
HnswResultInit(HnswGraph *g, HnswResult *res, int ef, bool keep_own)
{
	/* each size is noted when there is that much: the results outlive an error */
	if (res->maxfound < ef)
	{
		res->maxfound = 0;
		if (res->found)
			pfree(res->found);
		res->found = NULL;
		if (res->order)
			pfree(res->order);
		res->order = NULL;
		res->order = MemoryContextAllocHuge(g->cxt, ef * sizeof(HnswHeapItem));
		res->found = MemoryContextAllocHuge(g->cxt, ef * sizeof(HnswFound));
		res->maxfound = ef;
	}
	/* a scan may have been for very many, of which the own vectors would be huge */
	if (keep_own && res->maxown < ef)
	{
		res->maxown = 0;
		if (res->own)
			pfree(res->own);
		res->own = NULL;
		res->own = MemoryContextAllocHuge(g->cxt, (Size) ef * g->lay.own_bytes);
		res->maxown = ef;
	}
	res->ef = ef;
	res->nfound = 0;
	res->best = INFINITY;
	res->keep_own = keep_own;
}

static inline float
result_bound(const HnswResult *res)
{
	return res->nfound < res->ef ? INFINITY : res->order[0].key;
}

static void
sift_down(HnswHeapItem *heap, int n, int i, HnswHeapItem item)
{
	for (;;)
	{
		int			child = 2 * i + 1;

		if (child >= n)
			break;
		if (child + 1 < n && heap[child + 1].key > heap[child].key)
			child++;
		if (item.key >= heap[child].key)
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = item;
}

/* Note a node; the caller has seen that it belongs among the ef nearest. */
static void
add_result(HnswGraph *g, HnswResult *res, float dist, const char *node,
		   const char *own, BlockNumber blk, uint16 slot)
{
	const HnswRecord *rec = (const HnswRecord *) node;
	HnswHeapItem item;
	HnswFound  *f;

	item.key = dist;
	res->best = Min(res->best, dist);
	if (res->nfound < res->ef)
	{
		int			i = res->nfound++;

		item.idx = i;
		while (i > 0 && res->order[(i - 1) / 2].key < dist)
		{
			res->order[i] = res->order[(i - 1) / 2];
			i = (i - 1) / 2;
		}
		res->order[i] = item;
	}
	else
	{
		item.idx = res->order[0].idx;
		sift_down(res->order, res->nfound, 0, item);
	}

	f = &res->found[item.idx];
	f->dist = dist;
	f->hash = rec->hash;
	f->norm2 = rec->norm2;
	f->scale = rec->scale;
	f->offset = rec->offset;
	f->codesum = rec->codesum;
	f->blk = blk;
	f->slot = slot;
	f->generation = rec->generation;
	f->level = rec->level;
	f->ntids = rec->ntids;
	f->overflow = rec->overflow;
	memcpy(f->tids, HnswNodeTids(&g->lay, node), rec->ntids * sizeof(ItemPointerData));
	if (res->keep_own)
		memcpy(res->own + (Size) item.idx * g->lay.own_bytes, own, g->lay.own_bytes);
}

/* Order the results nearest first. */
void
HnswResultSort(HnswResult *res)
{
	for (int n = res->nfound - 1; n > 0; n--)
	{
		HnswHeapItem last = res->order[n];

		res->order[n] = res->order[0];
		sift_down(res->order, n, 0, last);
	}
}

/*
 * Is the record one that the search of this level may use?  What a queued
 * link named may have been freed since, or given to another node.
 */
static inline bool
usable(const char *node, int level)
{
	const HnswRecord *rec = (const HnswRecord *) node;

	return rec->state != HNSW_FREE && rec->level == level;
}

/* Dead nodes lead on, but are no results; a descent may end on one. */
static inline bool
wanted(const HnswResult *res, const char *node, int level)
{
	return ((const HnswRecord *) node)->state == HNSW_LIVE ||
		(level > 0 && !res->keep_own);
}

/*
 * Take a node in hand (share lock) and compute its distance; *own: its own
 * vector.  NULL, with nothing in hand, when the search has no use for it.
 */
static char *
enter_node(HnswGraph *g, HnswQuery *q, int level, BlockNumber blk, uint16 slot,
		   HnswPin *pin, const char **own, float *dist)
{
	char	   *node;
	const HnswRecord *rec;

	HnswAcquire(g, blk, BUFFER_LOCK_SHARE, pin);
	node = HnswNodeAt(g, pin, slot);
	if (!usable(node, level))
	{
		HnswRelease(g, pin);
		return NULL;
	}
	rec = (const HnswRecord *) node;
	*own = HnswNodeOwn(g, pin, slot, node);
	*dist = HnswOwnDistance(g, q, *own, rec->scale, rec->offset, rec->norm2);
	if (unlikely(isnan(*dist)))
		HnswCorrupted(g, blk, slot, "the node's vector is not finite");
	return node;
}

/*
 * Read a node for its distance alone; queue it, marked, when near enough.  For
 * indexes without sketches, and where sketches are of no use.
 */
static void
evaluate(HnswGraph *g, HnswQuery *q, HnswResult *res, int level,
		 BlockNumber blk, uint16 slot)
{
	HnswPin		pin;
	char	   *node;
	const char *own;
	float		dist;

	node = enter_node(g, q, level, blk, slot, &pin, &own, &dist);
	if (node == NULL)
		return;
	if (dist < result_bound(res))
	{
		if (wanted(res, node, level))
			add_result(g, res, dist, node, own, blk, slot);
		push_candidate(g->scratch, (HnswCandidate) {dist, blk, slot | EVALUATED});
	}
	HnswRelease(g, &pin);
	if (res->keep_own && g->lay.sketch == HNSW_SKETCH_NONE)
		known_add(g, blk, slot, dist);
}

/* What a visited node's links are good for. */
typedef struct Links
{
	HnswCandidate fresh[HNSW_MAX_FANOUT];	/* to be queued */
	int			nfresh;
	int			nearest;		/* of these, the one with the least key */
	ItemPointerData doubtful[HNSW_MAX_FANOUT];	/* to be read */
	int			ndoubtful;
} Links;

/*
 * Sort out the links of a node in hand, which has sketches and is at distance
 * dist; improving: it is among the nearest so far.  For the reasons see visit.
 */
static void
sort_links(HnswGraph *g, HnswQuery *q, const HnswResult *res, const char *node,
		   float dist, bool improving, Links *out)
{
	uint32		masks[HNSW_MAX_FANOUT / VX_BLOCK];
	float	   *est = g->scratch->est;
	float		bound = result_bound(res);
	bool		once = queues_once(g);
	/* what one result is has no spread */
	float		spread = res->ef > 1 ? bound - res->best : INFINITY;
	float		reach = once ? OPTIMISM * sqrtf(Max(dist, 0)) : 0;
	int			nblocks = HnswScoreLinks(g, q, node, dist, bound, est, masks);

	out->nfresh = out->nearest = out->ndoubtful = 0;
	for (int i = 0; i < nblocks; i++)
	{
		const ItemPointerData *links = HnswNodeLinks(&g->lay, node) + i * VX_BLOCK;
		uint32		mask = masks[i];

		while (mask != 0)
		{
			int			j = pg_rightmost_one_pos32(mask);
			HnswCandidate c;
			float		e = est[i * VX_BLOCK + j];
			float		noise;
			float		slope;

			mask &= mask - 1;
			c.blk = HnswLinkBlock(&links[j]);
			c.slot = HnswLinkSlot(&links[j]);
			check_target(g, c.blk, c.slot);
			if (is_visited(g, c.blk, c.slot))
				continue;

			noise = HnswLinkNoise(g, q, node, i * VX_BLOCK + j, dist, e, &slope);
			if (noise > spread && improving)
				out->doubtful[out->ndoubtful++] = links[j];
			else if (improving || e + noise < bound)
			{
				if (once)
					mark_visited(g, c.blk, c.slot);
				c.key = e - slope * reach - noise / 3;
				if (out->nfresh == 0 || c.key < out->fresh[out->nearest].key)
					out->nearest = out->nfresh;
				out->fresh[out->nfresh++] = c;
			}
		}
	}
}

/*
 * Visit a node with sketches: its distance (unless it was evaluated before),
 * then its neighbours' estimates.
 *
 * HNSW would not look at the neighbours of a node that is no result.  We do,
 * since it costs nothing more, but only as far as rounding cannot account for
 * an estimate.  And where rounding exceeds the spread of the results, as in a
 * cluster much tighter than its distance from the centre, estimates say
 * nothing: the neighbours' own vectors are read, as HNSW would.
 */
static void
visit(HnswGraph *g, HnswQuery *q, HnswResult *res, int level,
	  BlockNumber blk, uint16 slot, bool evaluated)
{
	HnswScratch *s = g->scratch;
	HnswPin		pin;
	char	   *node;
	const char *own;
	float		dist;
	bool		improving;
	Links		links;

	node = enter_node(g, q, level, blk, slot, &pin, &own, &dist);
	if (node == NULL)
		return;
	improving = evaluated || dist < result_bound(res);
	if (improving && !evaluated && wanted(res, node, level))
		add_result(g, res, dist, node, own, blk, slot);
	sort_links(g, q, res, node, dist, improving, &links);
	/* very likely the next to be visited */
	if (links.nfresh > 0 &&
		(s->nheap == 0 || links.fresh[links.nearest].key < s->heap[0].key))
		HnswPrefetch(g, links.fresh[links.nearest].blk, links.fresh[links.nearest].slot);
	HnswRelease(g, &pin);

	for (int i = 0; i < links.nfresh; i++)
		push_candidate(s, links.fresh[i]);
	for (int i = 0; i < links.ndoubtful; i++)
	{
		BlockNumber nblk = HnswLinkBlock(&links.doubtful[i]);
		uint16		nslot = HnswLinkSlot(&links.doubtful[i]);

		if (is_visited(g, nblk, nslot))
			continue;
		mark_visited(g, nblk, nslot);
		evaluate(g, q, res, level, nblk, nslot);
	}
}

/* Without sketches: read a node's links and evaluate those not yet seen. */
static void
expand(HnswGraph *g, HnswQuery *q, HnswResult *res, int level,
	   BlockNumber blk, uint16 slot)
{
	HnswPin		pin;
	char	   *node;
	ItemPointerData links[HNSW_MAX_FANOUT];
	int			nlinks;

	HnswAcquire(g, blk, BUFFER_LOCK_SHARE, &pin);
	node = HnswNodeAt(g, &pin, slot);
	nlinks = usable(node, level) ? ((const HnswRecord *) node)->nlinks : 0;
	memcpy(links, HnswNodeLinks(&g->lay, node), nlinks * sizeof(ItemPointerData));
	HnswRelease(g, &pin);

	for (int i = 0; i < nlinks; i++)
	{
		BlockNumber nblk = HnswLinkBlock(&links[i]);
		uint16		nslot = HnswLinkSlot(&links[i]);

		check_target(g, nblk, nslot);
		if (is_visited(g, nblk, nslot))
			continue;
		mark_visited(g, nblk, nslot);
		evaluate(g, q, res, level, nblk, nslot);
	}
}

/* Queue a node to start from. */
static void
push_seed(HnswGraph *g, HnswQuery *q, HnswResult *res, int level,
		  const HnswCandidate *seed)
{
	check_target(g, seed->blk, seed->slot);
	if (is_visited(g, seed->blk, seed->slot))
		return;
	/* without sketches it is evaluated at once, and must not be a second time */
	if (queues_once(g) || g->lay.sketch == HNSW_SKETCH_NONE)
		mark_visited(g, seed->blk, seed->slot);
	if (g->lay.sketch != HNSW_SKETCH_NONE)
		push_candidate(g->scratch, (HnswCandidate) {-INFINITY, seed->blk, seed->slot});
	else
		evaluate(g, q, res, level, seed->blk, seed->slot);
}

/*
 * Search one level from seeds; res (prepared by HnswResultInit) receives the
 * nearest nodes, sorted.  last_resort, if given, is where the search goes on
 * when it runs out of candidates before it has ef results: with the root of
 * the tree links every live node is within reach.
 */
void
HnswSearchLevel(HnswGraph *g, HnswQuery *q, HnswResult *res, int level,
				const HnswCandidate *seeds, int nseeds,
				const HnswCandidate *last_resort)
{
	HnswScratch *s = g->scratch;
	bool		sketch = g->lay.sketch != HNSW_SKETCH_NONE;
	bool		once = queues_once(g);

	clear_visited(g);
	s->nheap = 0;
	for (int i = 0; i < nseeds; i++)
		push_seed(g, q, res, level, &seeds[i]);

	for (;;)
	{
		HnswCandidate c;

		if (s->nheap == 0)
		{
			if (last_resort == NULL || res->nfound >= res->ef)
				break;
			push_seed(g, q, res, level, last_resort);
			last_resort = NULL;
			continue;
		}
		if (s->heap[0].key >= result_bound(res) && res->nfound >= res->ef)
			break;
		c = pop_candidate(s);
		if (!sketch)
			expand(g, q, res, level, c.blk, c.slot & ~EVALUATED);
		else
		{
			if (!once && !(c.slot & EVALUATED))
			{
				if (is_visited(g, c.blk, c.slot))
					continue;
				mark_visited(g, c.blk, c.slot);
			}
			if (s->nheap > 0)
				HnswPrefetch(g, s->heap[0].blk, s->heap[0].slot & ~EVALUATED);
			visit(g, q, res, level, c.blk, c.slot & ~EVALUATED, (c.slot & EVALUATED) != 0);
		}
		CHECK_FOR_INTERRUPTS();
	}
	HnswResultSort(res);
}

/*
 * Where the nearest records that a search of an upper level found stand one
 * level below: at most width, for which at has room.  Returns how many.
 */
int
HnswStepDown(HnswGraph *g, const HnswResult *res, int width, HnswCandidate *at)
{
	int			n = Min(res->nfound, width);

	for (int i = 0; i < n; i++)
	{
		const HnswFound *f = &res->found[res->order[i].idx];

		if (f->ntids < 2)
			HnswCorrupted(g, f->blk, f->slot, "an upper record without links down");
		HnswTidGet(&f->tids[0], &at[i]);
	}
	return n;
}

/*
 * From the entry point down to a level, by the nearest few of each above: at,
 * with room for width, receives the records there to start from.
 * Returns how many; 0 when the entry point has been freed meanwhile (the
 * caller reads the metapage again).
 */
int
HnswDescend(HnswGraph *g, HnswQuery *q, const HnswMetaPage *meta,
			int stop_level, int width, HnswCandidate *at)
{
	HnswResult *res = &g->scratch->descent;
	int			n = 1;

	HnswTidGet(&meta->entry, &at[0]);
	for (int level = meta->entry_level; level > stop_level && n > 0; level--)
	{
		HnswResultInit(g, res, width, false);
		HnswSearchLevel(g, q, res, level, at, n, NULL);
		n = HnswStepDown(g, res, width, at);
	}
	return n;
}

/*
 * The whole search of a scan: nearest live nodes of level 0 into res, sorted.
 * q is complete, seen the metapage it was prepared with.  False when the index
 * is empty.
 */
bool
HnswSearch(HnswGraph *g, HnswQuery *q, const HnswMetaPage *seen, HnswResult *res)
{
	HnswMetaPage meta = *seen;
	const int	width = HnswDescentWidth(res->ef);
	HnswCandidate at[HNSW_MAX_DESCENT];
	HnswCandidate root;
	int			n;

	for (int attempt = 0;; attempt++)
	{
		if (!HnswTidIsSet(&meta.entry) || !HnswTidIsSet(&meta.root))
			return false;
		HnswTidGet(&meta.root, &root);
		n = HnswDescend(g, q, &meta, 0, width, at);
		if (n > 0)
			break;
		/* repeatedly out of luck: the root is always a way in */
		if (attempt == 10)
		{
			at[0] = root;
			n = 1;
			break;
		}
		HnswReadMeta(g, &meta);
	}
	HnswSearchLevel(g, q, res, 0, at, n, &root);
	return true;
}
