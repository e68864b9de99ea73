/*
 * search.c
 *		Search of the graph, for scans, inserts and repair alike.
 *
 * HNSW's best-first search (Malkov & Yashunin, 2018), with candidates ordered
 * by estimated and results by computed distance: a visited node tells its own
 * exact distance and estimates of all its neighbours from one page.  A node
 * is queued once, by the first node to give it an estimate below the bound; so
 * that one bad estimate does not lose it, keys are estimates less a part of
 * their standard deviation.  Where it ends is decided in walk.
 *
 * A resumable search (a scan's) can be asked for more: it goes on where it ended.
 * While it has not been asked it only notes, in the queue, what it would have to
 * come back to: nodes that were results until nearer ones came (TODO_RESULT), and
 * nodes that were read but too far to be results.  Neighbours beyond the bound are
 * not queued, which would cost every search time; instead the visited records are
 * noted, and looked at once more when more is asked for the first time.  From
 * then on every neighbour is queued, and nothing is visited twice.
 *
 * Locks: one page at a time, share (with a node's side pages inside its
 * page's lock).  No lock or pin is held on return or when interrupts are
 * serviced.
 */
#include "postgres.h"

#include <math.h>

#include "hnsw/base/marks.h"
#include "hnsw/base/waitpoint.h"
#include "hnsw/graph/ahead.h"
#include "hnsw/graph/known.h"
#include "hnsw/graph/peek.h"
#include "hnsw/graph/pending.h"
#include "hnsw/graph/queue.h"
#include "hnsw/graph/search.h"
#include "hnsw/graph/slack.h"
#include "hnsw/graph/sweep.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/link.h"
#include "hnsw/metric/vector.h"
#include "hnsw/page/access.h"
#include "hnsw/page/index.h"
#include "hnsw/page/meta.h"
#include "hnsw/page/record.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "simd/vx_simd.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"

/*
 * The standard deviation of a code's error is about 0.6, for any number of
 * bits, times the estimate's slope and the query's distance from the node.
 * What part of it is taken off an estimate was measured (README, "Search").
 */
#define OPTIMISM	(0.75f * 0.6f)

/* A search is made again for merges that overtake it so many times less one. */
#define MAX_OVERTAKEN	3
/* So many visits tell how rare results are. */
#define MIN_JUDGED	64
/* So many nodes of an index without sketches are put off at most. */
#define MAX_PUT_OFF	16384
/* Results are too few for a coarse search when they are one of so many nodes. */
#define RARE		16

/* ---- marks: nodes that are not to be queued (again) ---- */

static inline bool
is_visited(const HnswIndex *g, const HnswSearch *s, BlockNumber blk, uint16 slot)
{
	return HnswMarksTest(&s->marks, HnswNodeNumber(g, blk, slot));
}

static inline void
mark_visited(const HnswIndex *g, HnswSearch *s, BlockNumber blk, uint16 slot)
{
	HnswMarksSet(&s->marks, HnswNodeNumber(g, blk, slot));
}

/* ---- results: a binary heap over a pool, greatest key first ---- */

#define HEAP_PREFIX		results
#define HEAP_ELEMENT	HnswHeapItem
#define HEAP_BEFORE(a, b)	((a).key > (b).key)
#include "hnsw/base/heap.h"

static inline float
result_bound(const HnswResult *res)
{
	return res->bound;
}

/* Have enough nodes been found?  Not before there is a bound. */
static inline bool
enough(const HnswResult *res)
{
	return res->slack ? HnswSlackEnough(res->slack) : res->nfound >= res->ef;
}

/* What a search tells of a node in its page, which is locked, at distance dist. */
void
HnswDescribe(const HnswLayout *lay, const char *node, BlockNumber blk, uint16 slot,
			 float dist, HnswFound *f)
{
	const HnswRecord *rec = (const HnswRecord *) node;

	f->dist = dist;
	f->head = rec->head;
	f->blk = blk;
	f->slot = slot;
	f->generation = rec->generation;
	f->strips = rec->strips;
	f->level = rec->level;
	f->ntids = rec->ntids;
	f->killed = false;
	f->overflow = rec->overflow;
	f->cached = 0;
	memcpy(f->tids, HnswNodeTids(lay, node), rec->ntids * sizeof(ItemPointerData));
}

/* One more result is within the radius: the search gets wider. */
static void
widen(HnswIndex *g, HnswSearch *s, HnswResult *res)
{
	int			ef;

	res->nwithin++;
	ef = (int) Min(HnswRadiusWidth(res->ef_first, res->nwithin), s->max_width);
	if (ef <= res->ef)
		return;
	if (ef > res->maxfound)
		HnswResultReserve(res, g->lay, s->cxt, Max(ef, res->maxfound * 2), res->keep_own);
	res->ef = ef;
	res->bound = INFINITY;
}

/* Note a node; the caller has seen that it is a result: among the ef nearest, or with slack. */
static void
add_result(HnswIndex *g, HnswSearch *s, HnswResult *res, float dist, const char *node,
		   const char *own, BlockNumber blk, uint16 slot)
{
	const HnswRecord *rec = (const HnswRecord *) node;
	HnswHeapItem item;

	item.key = dist;
	res->best = Min(res->best, dist);
	if (res->slack)
	{
		if (res->nfound == res->maxfound)
			HnswResultReserve(res, g->lay, s->cxt, res->maxfound * 2, false);
		item.idx = res->nfound;
		res->order[res->nfound++] = item;
		res->bound = HnswSlackAdd(res->slack, dist, rec->norm2, rec->ntids);
	}
	else if (res->nfound < res->ef)
	{
		item.idx = res->nfound;
		results_sift_up(res->order, res->nfound++, item);
		res->bound = res->nfound < res->ef ? INFINITY : res->order[0].key;
	}
	else
	{
		const HnswFound *last = &res->found[res->order[0].idx];

		if (s->resumable)
			/* behind candidates as far, which may lead on */
			push_candidate(s, (HnswCandidate) {nextafterf(last->dist, INFINITY), last->blk, last->slot, HNSW_TODO_RESULT});
		item.idx = res->order[0].idx;
		results_sift_down(res->order, res->nfound, item);
		res->bound = res->order[0].key;
	}
	HnswDescribe(g->lay, node, blk, slot, dist, &res->found[item.idx]);
	/* another line of memory, worth its time where many have been in vain */
	if (s->unbounded)
		res->found[item.idx].killed = HnswIsKilled(g->lay, node - HnswSlotOffset(g->lay, slot), slot);
	if (res->keep_own)
		memcpy(res->own + (Size) item.idx * g->lay->own_bytes, own, g->lay->own_bytes);
	if (unlikely(dist <= s->radius) && res == &s->results)
		widen(g, s, res);
}

/* Order the results nearest first. */
static void
sort_results(HnswResult *res)
{
	for (int n = res->nfound - 1; n > 0; n--)
	{
		HnswHeapItem last = res->order[n];

		res->order[n] = res->order[0];
		results_sift_down(res->order, n, last);
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
 * The distance of a query to a node in hand, of which *own is the own vector.  An
 * error (index_corrupted) if it is no number.
 */
float
HnswMeasure(HnswIndex *g, const HnswQuery *q, HnswPin *pin, uint16 slot, const char *node,
			const char **own)
{
	const HnswRecord *rec = (const HnswRecord *) node;
	float		dist;

	*own = HnswNodeOwn(g, pin, slot, node);
	dist = HnswOwnDistance(&g->space, q, *own, rec->scale, rec->offset, rec->norm2);
	if (unlikely(isnan(dist)))
		HnswCorrupted(g, pin->blk, slot, "the node's vector is not finite");
	return dist;
}

/*
 * Take a node in hand (share lock) and compute its distance; *own: its own
 * vector.  NULL, with nothing in hand, when the search has no use for it.
 */
static char *
enter_node(HnswIndex *g, HnswSearch *s, int level, BlockNumber blk, uint16 slot,
		   HnswPin *pin, const char **own, float *dist)
{
	char	   *node;

	HnswAcquire(g, blk, BUFFER_LOCK_SHARE, pin);
	s->nvisits++;
	node = HnswNodeAt(g, pin, slot);
	if (!usable(node, level))
	{
		HnswRelease(g, pin);
		return NULL;
	}
	*dist = HnswMeasure(g, &s->query, pin, slot, node, own);
	return node;
}

/*
 * Read a node for its distance alone; queue it, marked, when near enough (or the
 * search may come back to it).  For indexes without sketches, and where sketches
 * are of no use.
 */
static void
evaluate(HnswIndex *g, HnswSearch *s, HnswResult *res, int level,
		 BlockNumber blk, uint16 slot)
{
	HnswPin		pin;
	char	   *node;
	const char *own;
	float		dist;
	bool		near;

	node = enter_node(g, s, level, blk, slot, &pin, &own, &dist);
	if (node == NULL)
		return;
	near = dist < result_bound(res);
	if ((near || res->slack) && wanted(res, node, level))
		add_result(g, s, res, dist, node, own, blk, slot);
	if (near || s->resumable)
		push_candidate(s, (HnswCandidate) {dist, blk, slot,
						   near || res->slack ? HNSW_TODO_LINKS : HNSW_TODO_ALL});
	HnswRelease(g, &pin);
	if (res->keep_own && g->lay->sketch == HNSW_SKETCH_NONE)
		HnswKnow(s, blk, slot, dist);
}

/* ---- visits ---- */

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
 * every: links beyond the bound count, too; a constant, so that a first search does
 * not pay for what only later ones need.
 */
static pg_attribute_always_inline void
sort_links(HnswIndex *g, HnswSearch *s, const HnswResult *res, const char *node,
		   float dist, bool improving, const bool every, Links *out)
{
	const HnswQuery *q = &s->query;
	uint32		masks[HNSW_MAX_FANOUT / VX_BLOCK];
	float		est[HNSW_MAX_FANOUT];
	float		bound = result_bound(res);
	bool		once = g->lay->metric->queues_once;
	/* what one result is has no spread */
	float		spread = res->ef > 1 ? bound - res->best : INFINITY;
	float		reach = once ? OPTIMISM * sqrtf(Max(dist, 0)) : 0;
	int			nblocks = HnswScoreLinks(&g->space, q, node, dist, every ? INFINITY : bound, est, masks);

	s->nscored += nblocks * VX_BLOCK;
	out->nfresh = out->nearest = out->ndoubtful = 0;
	for (int i = 0; i < nblocks; i++)
	{
		const ItemPointerData *links = HnswNodeLinks(g->lay, node) + i * VX_BLOCK;
		uint32		mask = masks[i];

		while (mask != 0)
		{
			int			j = pg_rightmost_one_pos32(mask);
			HnswCandidate c;
			float		e = est[i * VX_BLOCK + j];
			float		noise;
			float		slope;
			bool		near;

			mask &= mask - 1;
			c.blk = HnswLinkBlock(&links[j]);
			c.slot = HnswLinkSlot(&links[j]);
			c.todo = once ? HNSW_TODO_ALL : HNSW_TODO_ALL | HNSW_TODO_MARK;
			HnswCheckTarget(g, c.blk, c.slot);
			if (is_visited(g, s, c.blk, c.slot))
				continue;

			noise = HnswLinkNoise(&g->space, q, node, i * VX_BLOCK + j, dist, e, &slope);
			if (improving && ((every && s->coarse) || (noise > spread && (!every || e < bound))))
			{
				out->doubtful[out->ndoubtful++] = links[j];
				continue;
			}
			near = (!every || e < bound) && (improving || e + noise < bound);
			if (!near && !(every && s->unbounded))
				continue;
			if (once)
				mark_visited(g, s, c.blk, c.slot);
			c.key = e - slope * reach - noise / 3;
			if (every && (!near || isinf(bound)))
				c.key = near ? e : Max(c.key, bound);	/* not before what a first search would visit */
			if (out->nfresh == 0 || c.key < out->fresh[out->nearest].key)
				out->nearest = out->nfresh;
			out->fresh[out->nfresh++] = c;
		}
	}
}

/* Queue what sort_links found to be queued. */
static void
push_links(HnswSearch *s, const Links *links)
{
	for (int i = 0; i < links->nfresh; i++)
		push_candidate(s, links->fresh[i]);
}

/* Note what a first search would come back to. */
static void
put_off(HnswSearch *s, const HnswCandidate *c)
{
	if (unlikely(s->nvisited == s->maxvisited))
	{
		int64		max = Max(256, s->maxvisited * 2);

		s->visited = s->visited ?
			repalloc_huge(s->visited, max * sizeof(HnswCandidate)) :
			MemoryContextAllocHuge(s->cxt, max * sizeof(HnswCandidate));
		s->maxvisited = max;
	}
	s->visited[s->nvisited++] = *c;
}

/*
 * Look at the neighbours of a node without sketches, each once.  Those nearer than the bound
 * are queued.  The others are put off, if the search may come back to them, or queued, too: if
 * there are many, for the queue has a limit, and if the bound may rise (widen).
 */
static void
expand(HnswIndex *g, HnswSearch *s, HnswResult *res, int level, const ItemPointerData *links,
	   int nlinks)
{
	HnswCandidate fresh[HNSW_MAX_FANOUT];
	int			n = 0;

	if (unlikely(HnswReadAhead(g) > 0))
		HnswReadAheadLinks(g, s, links, nlinks);
	for (int i = 0; i < nlinks; i++)
	{
		HnswCandidate c = {0, HnswLinkBlock(&links[i]), HnswLinkSlot(&links[i]), HNSW_TODO_ALL};

		HnswCheckTarget(g, c.blk, c.slot);
		/* whether it is a new one there is no predicting: no branch */
		fresh[n] = c;
		n += !HnswMarksSet(&s->marks, HnswNodeNumber(g, c.blk, c.slot));
	}
	HnswPeek(g, &s->query, level, fresh, n);
	s->nscored += n;
	for (int i = 0; i < n; i++)
	{
		if (unlikely(isnan(fresh[i].key)))
		{
			evaluate(g, s, res, level, fresh[i].blk, fresh[i].slot);
			continue;
		}
		if (!(fresh[i].key < result_bound(res)) && !s->unbounded)
		{
			if (s->resumable && s->radius == -INFINITY && s->nvisited < MAX_PUT_OFF)
				put_off(s, &fresh[i]);
			else if (s->resumable)
				push_candidate(s, fresh[i]);
		}
		else
			push_candidate(s, fresh[i]);
		if (res->keep_own)
			HnswKnow(s, fresh[i].blk, fresh[i].slot, fresh[i].key);
	}
}

/*
 * Visit a node: its distance (unless it was evaluated before), then its neighbours'
 * estimates, or without sketches their distances (expand).
 *
 * HNSW would not look at the neighbours of a node that is no result.  We do,
 * since it costs nothing more, but only as far as rounding cannot account for
 * an estimate.  And where rounding exceeds the spread of the results, as in a
 * cluster much tighter than its distance from the centre, estimates say
 * nothing: the neighbours' own vectors are read, as HNSW would.
 */
static void
visit(HnswIndex *g, HnswSearch *s, HnswResult *res, int level, const HnswCandidate *c)
{
	HnswPin		pin;
	char	   *node;
	const char *own;
	float		dist;
	bool		evaluated = (c->todo & HNSW_TODO_RESULT) == 0;
	bool		improving;
	bool		is_wanted;
	const bool	sketch = g->lay->sketch != HNSW_SKETCH_NONE;
	ItemPointerData tids[HNSW_MAX_FANOUT];
	int			ntids;
	Links		links;

	node = enter_node(g, s, level, c->blk, c->slot, &pin, &own, &dist);
	if (node == NULL)
		return;
	/* with slack the bound is where to end, and no measure of how good a node is */
	improving = evaluated || dist < result_bound(res) || res->slack != NULL;
	is_wanted = !evaluated && wanted(res, node, level);
	if (improving && is_wanted)
		add_result(g, s, res, dist, node, own, c->blk, c->slot);
	else if (is_wanted && s->unbounded)
		push_candidate(s, (HnswCandidate) {dist, c->blk, c->slot, HNSW_TODO_RESULT});
	if (!sketch)
	{
		ntids = ((const HnswRecord *) node)->nlinks;
		memcpy(tids, HnswNodeLinks(g->lay, node), ntids * sizeof(ItemPointerData));
		HnswRelease(g, &pin);
		if (is_wanted && !improving && s->resumable && !s->unbounded)
			put_off(s, &(HnswCandidate) {dist, c->blk, c->slot, HNSW_TODO_RESULT});
		expand(g, s, res, level, tids, ntids);
		return;
	}
	if (s->unbounded || s->coarse)
		sort_links(g, s, res, node, dist, improving, true, &links);
	else
		sort_links(g, s, res, node, dist, improving, false, &links);
	/* very likely the next to be visited */
	if (links.nfresh > 0 &&
		(s->nheap == 0 || links.fresh[links.nearest].key < s->heap[0].key))
		HnswPrefetch(g, links.fresh[links.nearest].blk, links.fresh[links.nearest].slot);
	HnswRelease(g, &pin);

	if (s->resumable && !s->unbounded)
		put_off(s, &(HnswCandidate) {0, c->blk, c->slot, is_wanted && !improving ? HNSW_TODO_RESULT : 0});
	push_links(s, &links);
	for (int i = 0; i < links.ndoubtful; i++)
	{
		BlockNumber nblk = HnswLinkBlock(&links.doubtful[i]);
		uint16		nslot = HnswLinkSlot(&links.doubtful[i]);

		if (is_visited(g, s, nblk, nslot))
			continue;
		mark_visited(g, s, nblk, nslot);
		evaluate(g, s, res, level, nblk, nslot);
	}
}

/* Come back to a node, all of whose links have been looked at, for a result. */
static void
reconsider(HnswIndex *g, HnswSearch *s, HnswResult *res, int level, const HnswCandidate *c)
{
	HnswPin		pin;
	const char *own;
	float		dist;
	char	   *node = enter_node(g, s, level, c->blk, c->slot, &pin, &own, &dist);

	if (node == NULL)
		return;
	if (dist < result_bound(res) && wanted(res, node, level))
		add_result(g, s, res, dist, node, own, c->blk, c->slot);
	HnswRelease(g, &pin);
}

/* Queue a node to start from. */
static void
push_seed(HnswIndex *g, HnswSearch *s, HnswResult *res, int level,
		  const HnswCandidate *seed)
{
	HnswCheckTarget(g, seed->blk, seed->slot);
	if (is_visited(g, s, seed->blk, seed->slot))
		return;
	mark_visited(g, s, seed->blk, seed->slot);
	push_candidate(s, (HnswCandidate) {-INFINITY, seed->blk, seed->slot, HNSW_TODO_ALL});
}

/* Do what a candidate was queued for. */
static void
work_off(HnswIndex *g, HnswSearch *s, HnswResult *res, int level, const HnswCandidate *c)
{
	int			ahead = HnswReadAhead(g);

	if (unlikely(ahead > 0))
		HnswReadAheadQueue(g, s, result_bound(res), ahead);
	if (c->todo == HNSW_TODO_RESULT)
		reconsider(g, s, res, level, c);
	if (!(c->todo & HNSW_TODO_LINKS))
		return;
	if (c->todo & HNSW_TODO_MARK)
	{
		if (is_visited(g, s, c->blk, c->slot))
			return;
		mark_visited(g, s, c->blk, c->slot);
	}
	if (s->nheap > 0 && g->lay->sketch != HNSW_SKETCH_NONE)
		HnswPrefetch(g, s->heap[0].blk, s->heap[0].slot);
	visit(g, s, res, level, c);
}

/*
 * Will it take more visits than a sweep costs to find ef results?  Judged by how
 * many of the nodes visited since the last ones are results: few, where most are dead.
 * (A sweep does not help a coarse search, which gives up later.)
 */
static bool
hopeless(const HnswSearch *s, const HnswResult *res)
{
	double		visits = (double) (s->nvisits - s->judged_from);

	if (res->slack && !res->slack->traced && s->nvisits >= s->max_visits)
		return true;
	if (!s->resumable || enough(res) || visits < MIN_JUDGED)
		return false;
	if (s->coarse)
		return visits > RARE * (res->nfound + 1.0);
	return visits * (res->ef + 1) > (double) s->max_visits * (res->nfound + 1);
}

/*
 * Is the nearest candidate too far for a result?  Behind those as far as the last one there may be nearer
 * ones, where distances are alike, as counts are; up to ef of them are looked at.  Once all
 * neighbours are queued these may be all there are (inner products of 0), and wait for the next time.
 */
static inline bool
is_beyond(const HnswSearch *s, const HnswResult *res, int *ties)
{
	float		bound = result_bound(res);

	if (s->heap[0].key != bound)
		return s->heap[0].key > bound;
	return s->unbounded || ++*ties > res->ef;
}

/* Is the best candidate too far (is_beyond), or are there none left, or too many to come (s->dry)? */
static inline bool
at_end(HnswIndex *g, HnswSearch *s, HnswResult *res, int level, const HnswCandidate **last_resort,
	   int *ties)
{
	s->dry = false;
	while (s->nheap == 0)
	{
		if (*last_resort == NULL || enough(res))
		{
			/* with enough results there may be more, which were too far to be queued */
			s->dry = !enough(res) || s->cutoff < result_bound(res);
			return true;
		}
		push_seed(g, s, res, level, *last_resort);
		*last_resort = NULL;
	}
	if (enough(res) && is_beyond(s, res, ties))
		return true;
	if (res->slack && s->nvisits >= s->last_visit)
		return true;
	s->dry = hopeless(s, res);
	return s->dry || (res->slack && res->slack->traced &&
					  !HnswSlackTrace(res->slack, s->heap[0].key, res->nfound));
}

/*
 * Work off candidates to the end, where pending nodes are looked at once; then sort the
 * results.  last_resort: see HnswSearchLevel.
 */
static void
walk(HnswIndex *g, HnswSearch *s, HnswResult *res, int level, const HnswCandidate *last_resort)
{
	int			ties = 0;

	s->judged_from = s->nvisits;
	for (;;)
	{
		HnswCandidate c;

		if (at_end(g, s, res, level, &last_resort, &ties))
		{
			if (!s->resumable || !s->listed.due)
				break;
			HnswQueueListed(g, s, res, false);
			continue;
		}
		c = pop_candidate(s);
		work_off(g, s, res, level, &c);
		CHECK_FOR_INTERRUPTS();
	}
	if (!res->slack)
		sort_results(res);
}

/* Forget the search before. */
static void
reset(HnswSearch *s, bool resumable)
{
	HnswMarksReset(&s->marks);
	s->nheap = 0;
	s->cutoff = INFINITY;
	s->nvisits_all += s->nvisits;
	s->nvisits = 0;
	s->nvisited = 0;
	s->resumable = resumable;
	s->unbounded = false;
}

static void
search_level(HnswIndex *g, HnswSearch *s, HnswResult *res, int level,
			 const HnswCandidate *seeds, int nseeds,
			 const HnswCandidate *last_resort, bool resumable)
{
	reset(s, resumable);
	if (s->without.blk != InvalidBlockNumber)
		mark_visited(g, s, s->without.blk, s->without.slot);
	for (int i = 0; i < nseeds; i++)
		push_seed(g, s, res, level, &seeds[i]);
	walk(g, s, res, level, last_resort);
}

/*
 * Search one level from seeds for the nearest nodes to s->query; res (prepared
 * by HnswResultInit) receives them, sorted.  last_resort, if given, is where the
 * search goes on when it runs out of candidates before it has ef results: with
 * the root of the tree links every live node is within reach.
 */
void
HnswSearchLevel(HnswIndex *g, HnswSearch *s, HnswResult *res, int level,
				const HnswCandidate *seeds, int nseeds,
				const HnswCandidate *last_resort)
{
	search_level(g, s, res, level, seeds, nseeds, last_resort, false);
}

/*
 * The search of a scan: live nodes of level 0 into s->results, which are ready, from the
 * nearest "width" of each level.  s->query is complete, meta the metapage it was prepared with.  False
 * when the index is empty.  With s->dry there are fewer, and there may be nodes
 * that it did not come to: a VACUUM that works beside it takes records away that
 * it was to go on from.  Only reading all pages finds all (sweep.c), which has
 * become cheaper by then.  coarse: stored distances differ by less than their errors,
 * and estimates say nothing; then neighbours of results are all read, and it starts from
 * as many places as it can.
 */
static bool
search_index(HnswIndex *g, HnswSearch *s, HnswMetaPage *meta, int width)
{
	HnswCandidate at[HNSW_MAX_DESCENT];
	int			n = 0;

	s->max_visits = HnswSweepCost(g);
	HNSW_WAIT_POINT("scan-search");
	for (int attempt = 0; HnswTidIsSet(&meta->entry) && HnswTidIsSet(&meta->root); attempt++)
	{
		n = HnswDescend(g, s, meta, 0, width, at);
		if (n > 0)
			break;
		/* repeatedly out of luck: the root is always a way in */
		if (attempt == 10)
		{
			HnswTidGet(&meta->root, &at[0]);
			n = 1;
			break;
		}
		HnswReadMeta(g, meta);
	}
	HnswListedBegin(s, meta);
	if (n == 0 && !s->listed.due)
		return false;
	HnswTidGet(&meta->root, &s->root);
	search_level(g, s, &s->results, 0, at, n, NULL, true);
	return true;
}

/*
 * A search has been overtaken by a merge: has it been so too often to be made again?  Then it is dry,
 * for a sweep finds what it has missed.
 */
static bool
overtaken(HnswSearch *s, int *n)
{
	if (++*n < MAX_OVERTAKEN)
		return false;
	s->dry = true;
	return true;
}

/* Results (sorted): the ef nearest. */
bool
HnswSearchIndex(HnswIndex *g, HnswSearch *s, const HnswMetaPage *seen, int ef, bool coarse)
{
	HnswMetaPage meta = *seen;
	bool		any;
	int			n = 0;

	s->coarse = coarse;
	do
	{
		HnswResultInit(&s->results, g->lay, s->cxt, ef, false);
		any = search_index(g, s, &meta, coarse ? HNSW_MAX_DESCENT : HnswDescentWidth(ef));
	} while (HnswListedMoved(g, s, &meta) && !overtaken(s, &n));
	return any;
}

/* Results of a search from now on are all nodes it visits. */
static void
take_all(HnswIndex *g, HnswSearch *s)
{
	HnswResultInit(&s->results, g->lay, s->cxt, 64, false);
	s->results.slack = &s->slack;
	s->results.bound = HnswSlackBound(&s->slack);
}

/*
 * The same, but it ends when no candidate is nearer than "factor" times the k-th nearest node
 * (slack.h), or after s->last_visit, and results are all nodes visited.  It begins from "width" records
 * of each level.  Dry also when a sweep is cheaper.
 */
bool
HnswSearchWithSlack(HnswIndex *g, HnswSearch *s, const HnswMetaPage *seen, int64 k, double factor,
					int width)
{
	HnswMetaPage meta = *seen;
	bool		any;
	int			n = 0;

	s->coarse = false;
	do
	{
		HnswSlackBegin(&s->slack, g->lay->metric, s->query.norm2, k, factor);
		take_all(g, s);
		any = search_index(g, s, &meta, width);
	} while (HnswListedMoved(g, s, &meta) && !overtaken(s, &n));
	return any;
}

/* From now on all neighbours are queued, of the records visited so far as well, and what was put off. */
static void
unbound(HnswIndex *g, HnswSearch *s)
{
	Links		links;

	HnswMetaPage now;

	if (s->unbounded)
		return;
	s->unbounded = true;
	HnswQueueListed(g, s, &s->results, true);
	s->listed.lost = HnswListedMoved(g, s, &now);
	if (g->lay->sketch == HNSW_SKETCH_NONE)
	{
		for (int64 i = 0; i < s->nvisited; i++)
			push_candidate(s, s->visited[i]);
		s->nvisited = 0;
	}
	for (int64 i = 0; i < s->nvisited; i++)
	{
		HnswPin		pin;
		const char *own;
		float		dist;
		char	   *node = enter_node(g, s, 0, s->visited[i].blk, s->visited[i].slot,
									  &pin, &own, &dist);

		CHECK_FOR_INTERRUPTS();
		if (node == NULL)
			continue;
		sort_links(g, s, &s->results, node, dist, s->coarse, true, &links);
		HnswRelease(g, &pin);
		push_links(s, &links);
		if (s->visited[i].todo)
			push_candidate(s, (HnswCandidate) {dist, s->visited[i].blk, s->visited[i].slot,
							   HNSW_TODO_RESULT});
		/* of a coarse search: as near as the record itself, for all that is known */
		for (int j = 0; j < links.ndoubtful; j++)
		{
			HnswCandidate c = {dist, HnswLinkBlock(&links.doubtful[j]),
			HnswLinkSlot(&links.doubtful[j]), HNSW_TODO_ALL};

			mark_visited(g, s, c.blk, c.slot);
			push_candidate(s, c);
		}
	}
	s->nvisited = 0;
}

/*
 * Go on with the search of HnswSearchIndex: results becomes the ef nearest of
 * all nodes that it did not hold before.
 */
void
HnswSearchMore(HnswIndex *g, HnswSearch *s, int ef)
{
	unbound(g, s);
	HnswResultInit(&s->results, g->lay, s->cxt, ef, false);
	walk(g, s, &s->results, 0, NULL);
	s->dry |= s->listed.lost;
}

/* The same for HnswSearchWithSlack: results becomes what is visited from now on. */
void
HnswSearchMoreWithSlack(HnswIndex *g, HnswSearch *s, int64 k, double factor)
{
	unbound(g, s);
	HnswSlackWiden(&s->slack, k, factor);
	take_all(g, s);
	walk(g, s, &s->results, 0, NULL);
	s->dry |= s->listed.lost;
}

/* HnswSearchMore for a search that is dry: from the root, which leads to every live node. */
void
HnswSearchFromRoot(HnswIndex *g, HnswSearch *s, int ef)
{
	HnswResultInit(&s->results, g->lay, s->cxt, ef, false);
	walk(g, s, &s->results, 0, s->root.blk == InvalidBlockNumber ? NULL : &s->root);
}
