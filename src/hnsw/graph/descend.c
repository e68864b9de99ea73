/*
 * descend.c
 *		What is before and after a search: its memory, the way from the entry point down,
 *		distances between what it found.
 */
#include "postgres.h"

#include <math.h>

#include "hnsw/base/marks.h"
#include "hnsw/graph/search.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/vector.h"
#include "hnsw/page/access.h"
#include "utils/memutils.h"

/*
 * Memory for searches of an index, in a context of its own below "parent".  What
 * it grows to stays with it.
 */
HnswSearch *
HnswSearchCreate(HnswIndex *g, MemoryContext parent)
{
	MemoryContext cxt = AllocSetContextCreate(parent, "hnsw search", ALLOCSET_DEFAULT_SIZES);
	HnswSearch *s = MemoryContextAllocZero(cxt, sizeof(HnswSearch));

	s->cxt = s->slack.cxt = cxt;
	s->without.blk = InvalidBlockNumber;
	HnswQueryInit(&g->space, &s->query, cxt);
	HnswMarksInit(&s->marks, cxt);
	HnswMarksInit(&s->taken, cxt);
	s->maxheap = HNSW_MIN_QUEUE;
	s->heap_limit = PG_INT64_MAX;
	s->radius = -INFINITY;
	s->heap = MemoryContextAlloc(cxt, s->maxheap * sizeof(HnswCandidate));
	return s;
}

/*
 * An array of n elements instead of one that a result had; keep: of its elements
 * so many stay.  The results outlive an error, so it is replaced at the very end.
 */
static void *
result_array(MemoryContext cxt, void *old, Size keep, Size n, Size width)
{
	void	   *new = MemoryContextAllocHuge(cxt, n * width);

	if (old)
	{
		memcpy(new, old, keep * width);
		pfree(old);
	}
	return new;
}

/* Room for ef results, of which those there are stay. */
void
HnswResultReserve(HnswResult *res, const HnswLayout *lay, MemoryContext cxt, int ef, bool keep_own)
{
	if (res->maxfound < ef)
	{
		res->order = result_array(cxt, res->order, Min(res->nfound, res->maxfound), ef, sizeof(HnswHeapItem));
		res->found = result_array(cxt, res->found, Min(res->nfound, res->maxfound), ef, sizeof(HnswFound));
		res->maxfound = ef;
	}
	/* a scan may have been for very many, of which the own vectors would be huge */
	if (keep_own && res->maxown < ef)
	{
		res->own = result_array(cxt, res->own, Min(res->nfound, res->maxown), ef, lay->own_bytes);
		res->maxown = ef;
	}
}

/*
 * Make ready for ef results, none of which is there; keeps memory, in cxt, from call to
 * call.  keep_own: the search copies own vectors, too.
 */
void
HnswResultInit(HnswResult *res, const HnswLayout *lay, MemoryContext cxt, int ef, bool keep_own)
{
	res->nfound = 0;
	res->nwithin = 0;
	res->ef_first = ef;
	res->best = res->bound = INFINITY;
	res->slack = NULL;
	res->keep_own = keep_own;
	res->ef = ef;
	HnswResultReserve(res, lay, cxt, ef, keep_own);
}

/*
 * Where the nearest records that a search of an upper level found stand one
 * level below: at most width, for which at has room.  Returns how many.
 */
int
HnswStepDown(HnswIndex *g, const HnswResult *res, int width, HnswCandidate *at)
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
HnswDescend(HnswIndex *g, HnswSearch *s, const HnswMetaPage *meta,
			int stop_level, int width, HnswCandidate *at)
{
	HnswResult *res = &s->descent;
	int			n = 1;

	HnswTidGet(&meta->entry, &at[0]);
	for (int level = meta->entry_level; level > stop_level && n > 0; level--)
	{
		HnswResultInit(res, g->lay, s->cxt, width, false);
		HnswSearchLevel(g, s, res, level, at, n, NULL);
		n = HnswStepDown(g, res, width, at);
	}
	return n;
}

/* Distance between two found nodes, by place in found, whose own vectors the result keeps. */
float
HnswFoundDistance(HnswIndex *g, HnswResult *res, int ia, int ib)
{
	const HnswFound *a = &res->found[ia];
	const HnswFound *b = &res->found[ib];
	HnswStored	sa = {.own = res->own + (Size) ia * g->lay->own_bytes, .head = a->head};
	HnswStored	sb = {.own = res->own + (Size) ib * g->lay->own_bytes, .head = b->head};

	return HnswStoredDistance(&g->space, &sa, &sb);
}
