/*
 * ahead.c
 *		Reading ahead of a search, while an index is read from disk (HnswReadAhead).
 *
 * A search reads one page after the other.  What it is likely to read next is known, and
 * the operating system is asked to begin with that; README, "Reading ahead".
 */
#include "postgres.h"

#include "hnsw/base/marks.h"
#include "hnsw/graph/ahead.h"
#include "hnsw/layout/page.h"
#include "hnsw/page/access.h"

/*
 * Ask for the pages of the n first candidates of the queue that are nearer than the bound.  These
 * are not quite the n best: the order of a heap is good enough.
 */
void
HnswReadAheadQueue(HnswIndex *g, HnswSearch *s, float bound, int n)
{
	for (int64 i = 0; i < Min(n, s->nheap); i++)
	{
		HnswCandidate *c = &s->heap[i];

		if ((c->todo & HNSW_TODO_AHEAD) || c->key >= bound)
			continue;
		c->todo |= HNSW_TODO_AHEAD;
		HnswReadAheadPage(g, c->blk);
	}
}

/* Ask for the pages of those of a node's links that have not been visited: all are read next. */
void
HnswReadAheadLinks(HnswIndex *g, const HnswSearch *s, const ItemPointerData *links, int nlinks)
{
	for (int i = 0; i < nlinks; i++)
	{
		BlockNumber blk = HnswLinkBlock(&links[i]);

		if (!HnswMarksTest(&s->marks, HnswNodeNumber(g, blk, HnswLinkSlot(&links[i]))))
			HnswReadAheadPage(g, blk);
	}
}
