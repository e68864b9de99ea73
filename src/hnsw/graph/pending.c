/*
 * pending.c
 *		Pending nodes in the search of a scan (README, "Pending nodes").
 *
 * No link leads to them but those of bundles.  A scan's search scores these when it would end the
 * first time, queues the nodes that may be nearer than its bound, and goes on.
 *
 * Locks: one page at a time, share.
 */
#include "postgres.h"

#include <math.h>

#include "hnsw/base/marks.h"
#include "hnsw/base/waitpoint.h"
#include "hnsw/graph/peek.h"
#include "hnsw/graph/pending.h"
#include "hnsw/graph/queue.h"
#include "hnsw/graph/search.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/link.h"
#include "hnsw/page/access.h"
#include "hnsw/page/index.h"
#include "hnsw/page/meta.h"
#include "hnsw/page/pending.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "simd/vx_simd.h"
#include "storage/bufmgr.h"

/* Nodes whose distances are computed at once; a bundle may add as many as it has. */
#define PEEKED	32

/* Nodes that may be near. */
typedef struct Near
{
	HnswCandidate nodes[PEEKED + HNSW_MAX_FANOUT];
	int			n;
} Near;

/*
 * A search begins with this metapage: note where what is pending is listed.  One that measures
 * the graph does without.
 */
void
HnswListedBegin(HnswSearch *s, const HnswMetaPage *meta)
{
	HnswListed *l = &s->listed;

	l->npages = s->results.slack && s->slack.traced ? 0 : meta->npending;
	l->epoch = meta->pending_epoch;
	l->due = l->npages > 0;
	l->lost = false;
	memcpy(l->pages, meta->pending, l->npages * sizeof(BlockNumber));
}

/*
 * The nodes of a bundle in hand that may be nearer than the bound, or all, which the search
 * has not queued: their keys are the least distance that they may have.
 */
static void
gather(HnswIndex *g, HnswSearch *s, const char *bundle, float bound, Near *near)
{
	const bool	sketch = g->lay->sketch != HNSW_SKETCH_NONE;
	const int	nlinks = ((const HnswRecord *) bundle)->nlinks;
	uint32		masks[HNSW_MAX_FANOUT / VX_BLOCK];
	float		least[HNSW_MAX_FANOUT];

	if (sketch)
		(void) HnswScoreFromOrigin(&g->space, &s->query, bundle, bound, least, masks);
	s->nscored += nlinks;
	for (int first = 0; first < nlinks; first += VX_BLOCK)
	{
		uint32		mask = sketch ? masks[first / VX_BLOCK] :
			nlinks - first >= VX_BLOCK ? 0xFFFFFFFF : ((uint32) 1 << (nlinks - first)) - 1;

		while (mask != 0)
		{
			int			pos = first + pg_rightmost_one_pos32(mask);
			const ItemPointerData *link = &HnswNodeLinks(g->lay, bundle)[pos];
			HnswCandidate c = {sketch ? least[pos] : -INFINITY, HnswLinkBlock(link), HnswLinkSlot(link), HNSW_TODO_ALL};

			mask &= mask - 1;
			HnswCheckTarget(g, c.blk, c.slot);
			if (!HnswMarksTest(&s->marks, HnswNodeNumber(g, c.blk, c.slot)))
				near->nodes[near->n++] = c;
		}
	}
}

/*
 * Queue those that are nearer than the bound, or all.  peek: by the distances that their own
 * vectors have, as far as these can be had without a lock.
 */
static void
queue(HnswIndex *g, HnswSearch *s, float bound, bool every, bool peek, Near *near)
{
	/* by every estimate elsewhere: then it is marked when it is visited */
	const bool	once = g->lay->metric->queues_once || g->lay->sketch == HNSW_SKETCH_NONE;
	HnswCandidate peeked[PEEKED];

	for (int first = 0; first < near->n; first += PEEKED)
	{
		int			n = Min(PEEKED, near->n - first);

		memcpy(peeked, near->nodes + first, n * sizeof(HnswCandidate));
		if (peek)
			HnswPeek(g, &s->query, 0, peeked, n);
		for (int i = 0; i < n; i++)
		{
			HnswCandidate c = near->nodes[first + i];

			if (peek && !isnan(peeked[i].key))
				c.key = peeked[i].key;
			if (!every && !(c.key < bound))
				continue;
			/* not before what a first search would visit */
			if (every && !isinf(bound))
				c.key = Max(c.key, bound);
			if (!once)
				c.todo |= HNSW_TODO_MARK;
			else if (HnswMarksSet(&s->marks, HnswNodeNumber(g, c.blk, c.slot)))
				continue;
			push_candidate(s, c);
		}
	}
	near->n = 0;
}

/*
 * Queue the pending nodes that may be nearer than the results' bound; every: all that are
 * not marked.
 */
void
HnswQueueListed(HnswIndex *g, HnswSearch *s, const HnswResult *res, bool every)
{
	const float bound = res->bound;
	/* without a bound nearly all of them are queued, too many to look at; they come in order */
	const bool	peek = g->lay->sketch == HNSW_SKETCH_NONE ||
		(g->lay->sketch == HNSW_SKETCH_BITS && !every && !isinf(bound));
	Near		near;

	near.n = 0;
	s->listed.due = false;
	for (int i = 0; i < s->listed.npages; i++)
	{
		HnswPin		pin;
		int			nslots;

		CHECK_FOR_INTERRUPTS();
		HnswAcquirePending(g, s->listed.pages[i], BUFFER_LOCK_SHARE, &pin);
		nslots = HnswPageGetHeader(pin.page)->nslots;
		for (int slot = 0; slot < nslots; slot++)
		{
			gather(g, s, HnswBundleAt(g, &pin, (uint16) slot), every ? INFINITY : bound, &near);
			if (near.n >= PEEKED)
				queue(g, s, bound, every, peek, &near);
		}
		HnswRelease(g, &pin);
	}
	queue(g, s, bound, every, peek, &near);
}

/*
 * Have links been taken out of bundles since the search began, so that it may have missed
 * nodes?  Then *meta is the metapage as it is now: whoever begins with that finds these by
 * their links.
 */
bool
HnswListedMoved(HnswIndex *g, HnswSearch *s, HnswMetaPage *meta)
{
	HnswMetaPage now;

	if (s->listed.npages == 0)
		return false;
	HNSW_WAIT_POINT("scan-listed");
	HnswReadMeta(g, &now);
	if (now.pending_epoch == s->listed.epoch)
		return false;
	*meta = now;
	return true;
}
