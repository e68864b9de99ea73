/*
 * peek.c
 *		Distances of a visited node's neighbours where its record has no estimates of
 *		them: from the neighbours' own vectors, in pages that are neither pinned nor
 *		locked (README, "Peeking").
 */
#include "postgres.h"

#include <math.h>

#include "hnsw/graph/peek.h"
#include "hnsw/graph/search.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/vector.h"
#include "hnsw/page/access.h"
#include "hnsw/page/index.h"

/* Lines of memory of own vectors that are asked for before they are needed. */
#define LINES_AHEAD		32
#define LINE_BYTES		64

/* Have an own vector's lines, or the first of them, brought towards the cache; one may be begun only. */
static inline void
prefetch_own(const char *own, int bytes)
{
	const char *end = own + Min(bytes, LINES_AHEAD * LINE_BYTES);

	for (const char *at = (const char *) TYPEALIGN_DOWN(LINE_BYTES, own); at < end; at += LINE_BYTES)
		__builtin_prefetch(at);
}

/*
 * The query's distance to the node in a slot of a page that nobody keeps from changing; NaN
 * when there is none of this level, or anything else is odd.
 */
static inline float
distance_in(HnswIndex *g, const HnswQuery *q, int level, const char *page, uint16 slot)
{
	const HnswLayout *lay = g->lay;
	const char *node = page + HnswSlotOffset(lay, slot);
	const HnswRecord *rec = (const HnswRecord *) node;

	/* not the page's header: another line of memory, and pages have theirs in the same places of a cache */
	if (rec->state == HNSW_FREE || rec->state > HNSW_DEAD || rec->level != level)
		return NAN;
	return HnswOwnDistance(&g->space, q, node + lay->off_own, rec->scale, rec->offset, rec->norm2);
}

/*
 * Distances from a query to nodes of a level, as far as they can be had without a lock:
 * nodes' keys, NaN where the node has to be read in hand.  Blocks and slots have been checked
 * (check_target).  They are what to visit next is told by, and no more.
 */
void
HnswPeek(HnswIndex *g, const HnswQuery *q, int level, HnswCandidate *nodes, int n)
{
	const HnswLayout *lay = g->lay;
	const int	ahead = Max(1, LINES_AHEAD / (lay->own_bytes / LINE_BYTES + 1));
	const char *pages[HNSW_MAX_FANOUT];
	Buffer		bufs[HNSW_MAX_FANOUT];

	/* all that is needed first, at once: one wait for memory instead of one each */
	for (int i = 0; i < n; i++)
	{
		bufs[i] = lay->own_side ? InvalidBuffer : HnswRecentBuffer(g, nodes[i].blk);
		if (bufs[i] == InvalidBuffer)
			continue;
		pages[i] = (const char *) BufferGetBlock(bufs[i]);
		__builtin_prefetch(GetBufferDescriptor(bufs[i] - 1));
		__builtin_prefetch(pages[i] + HnswSlotOffset(lay, nodes[i].slot));
	}
	for (int next = 0; next < n + ahead; next++)
	{
		int			i = next - ahead;

		if (next < n && bufs[next] != InvalidBuffer)
			prefetch_own(pages[next] + HnswSlotOffset(lay, nodes[next].slot) + lay->off_own, lay->own_bytes);
		if (i < 0)
			continue;
		nodes[i].key = NAN;
		if (bufs[i] == InvalidBuffer || !HnswPeekBegin(g, nodes[i].blk, bufs[i]))
			continue;
		nodes[i].key = distance_in(g, q, level, pages[i], nodes[i].slot);
		if (!HnswPeekEnd(g, nodes[i].blk, bufs[i]))
			nodes[i].key = NAN;
	}
}
