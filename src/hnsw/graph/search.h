/*
 * search.h
 *		A search of the graph: candidates, results, and the search as an object.
 */
#ifndef HNSW_GRAPH_SEARCH_H
#define HNSW_GRAPH_SEARCH_H

#include "hnsw/base/marks.h"
#include "hnsw/graph/slack.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/vector.h"
#include "hnsw/page/access.h"
#include "hnsw/page/index.h"

/* A node found by a search, nearest first in HnswSearch->found order. */
typedef struct HnswFound
{
	float		dist;			/* in index units: squared L2, -ip or L1 */
	HNSW_VEC_HEAD;
	BlockNumber blk;
	uint16		slot;
	uint16		generation;
	uint16		strips;
	uint8		level;
	uint8		ntids;
	bool		killed;			/* its rows were known to be dead to all */
	BlockNumber overflow;
	uint32		cached;			/* where a result that the cache may keep has it (am/cached.c); 0: nowhere */
	ItemPointerData tids[HNSW_MAX_TIDS];
} HnswFound;

/* What a search has yet to do with a queued record. */
#define HNSW_TODO_RESULT	1	/* it may be a result */
#define HNSW_TODO_LINKS		2	/* its links have not been looked at */
#define HNSW_TODO_MARK		4	/* queued by every estimate: visited once, as marked then */
#define HNSW_TODO_AHEAD		8	/* the page has been asked for; of no meaning when it is taken out */
#define HNSW_TODO_ALL		(HNSW_TODO_RESULT | HNSW_TODO_LINKS)

typedef struct HnswCandidate
{
	float		key;
	BlockNumber blk;
	uint16		slot;
	uint16		todo;			/* of a queued one */
} HnswCandidate;

/* For qsort, of candidates or what begins with one: the least key first. */
static inline int
cmp_candidate(const void *a, const void *b)
{
	float		x = ((const HnswCandidate *) a)->key;
	float		y = ((const HnswCandidate *) b)->key;

	return x < y ? -1 : x > y;
}

typedef struct HnswHeapItem
{
	float		key;
	int32		idx;
} HnswHeapItem;

/* The record that a TID of a record or link leads to; a link's slot still has its flags. */
static inline void
HnswTidGet(const ItemPointerData *tid, HnswCandidate *at)
{
	at->key = 0;
	at->blk = ItemPointerGetBlockNumberNoCheck(tid);
	at->slot = ItemPointerGetOffsetNumberNoCheck(tid);
}

/* Results of one search of one level. */
typedef struct HnswResult
{
	int			ef;
	int			ef_first;		/* before it grew, if it did (HnswSearch.radius) */
	int			nfound;
	int64		nwithin;		/* of these, within the radius */
	int			maxfound;		/* size of order and found */
	bool		keep_own;
	float		best;			/* least distance found */
	float		bound;			/* what is not nearer is no result, nor leads to any */
	HnswSlack  *slack;			/* all nodes visited are results, and bound comes from this */
	HnswHeapItem *order;		/* heap while searching, sorted afterwards */
	HnswFound  *found;			/* pool; order[i].idx says which */
	char	   *own;			/* own vectors of the pool, if kept */
	int			maxown;			/* so many there is room for */
} HnswResult;

/* Where links to pending nodes are, for the search of a scan (pending.c). */
typedef struct HnswListed
{
	int			npages;
	uint32		epoch;			/* of the metapage, when the search began */
	bool		due;			/* have not been looked at */
	bool		lost;			/* have been taken out before all were queued */
	BlockNumber pages[HNSW_MAX_PENDING_PAGES];
} HnswListed;

/*
 * A search of one level, apart from the handle: several of an index may be under
 * way at the same time.  One that was begun as resumable can be asked for more
 * (search.c).
 */
typedef struct HnswSearch
{
	MemoryContext cxt;			/* holds this and everything below */
	HnswQuery	query;
	HnswResult	results;		/* of scans and of level 0 in inserts */
	HnswResult	descent;		/* upper levels */
	HnswSlack	slack;			/* of a search that ends by distance */
	HnswCandidate without;		/* passed over, as if the node were not there; none: no block */
	HnswMarks	marks;			/* records that are not to be queued (again) */
	struct nodeset_hash *known; /* of an insert: distances from its vector (known.h) */
	HnswMarks	taken;			/* records of level 0 that the scan has got */
	HnswCandidate *heap;		/* candidates */
	int64		nheap;
	int64		maxheap;
	int64		heap_limit;		/* no more candidates than these: the farthest go */
	float		cutoff;			/* those that went were no nearer than this */

	HnswListed	listed;
	bool		resumable;		/* note what is needed to go on */
	bool		coarse;			/* estimates say nothing: neighbours of results are all read */
	HnswCandidate root;			/* of the tree links */
	bool		unbounded;		/* candidates beyond the bound are queued, too */
	bool		dry;			/* no candidates left that results could be told from, or too many to come */
	int64		nvisits;		/* nodes visited on this level */
	int64		nvisits_all;	/* those before; counted until someone takes them */
	int64		nscored;		/* codes */
	int64		judged_from;	/* those before the results of now were looked for */
	int64		max_visits;		/* beyond, a sweep is cheaper */
	int64		last_visit;		/* a search that ends by distance ends after so many, too */
	float		radius;			/* the search gets wider with each result within; -INFINITY: no */
	int			max_width;		/* but no wider than this */
	HnswCandidate *visited;		/* records whose links were cut off at a bound; without
								 * sketches those beyond it themselves */
	int64		nvisited;
	int64		maxvisited;
} HnswSearch;

/*
 * How wide a search becomes that is to find all nodes within a radius, when it has found n
 * of them: the farthest of its results are the least reliable.
 */
static inline int64
HnswRadiusWidth(int ef, int64 n)
{
	return ef + n * 7 / 4;
}

/* A link or seed must name a block that exists and a slot a page can have. */
static inline void
HnswCheckTarget(HnswIndex *g, BlockNumber blk, uint16 slot)
{
	if (unlikely(blk >= g->nblocks))
		HnswKnowBlocks(g, blk);
	if (unlikely(slot >= g->lay->per_page))
		HnswCorrupted(g, blk, slot, "a link names a slot no page has");
}

/* Candidates that there is room for from the beginning. */
#define HNSW_MIN_QUEUE		1024

/*
 * Records from which a search goes on from one level to the next, by the ef of
 * level 0.  A single one is easily that of a wrong cluster, which no link leads
 * out of where clusters have more members than a node has candidates.
 */
#define HNSW_MAX_DESCENT	16
#define HnswDescentWidth(ef)	Max(1, Min((ef) / 20, HNSW_MAX_DESCENT))

/*
 * What a sweep costs, in visits of a search.  Measured: .5 a node (100 to 1,536 dimensions), .8
 * where the sort goes to a file; less here, for a visit of a search that has gone on for long is
 * dearer than one of a first search.
 */
#define HNSW_SWEEP_VISITS(pages, nodes)	((pages) / 4 + (nodes) / 4)

extern void HnswResultInit(HnswResult *res, const HnswLayout *lay, MemoryContext cxt,
						   int ef, bool keep_own);
extern void HnswResultReserve(HnswResult *res, const HnswLayout *lay, MemoryContext cxt, int ef,
							  bool keep_own);
extern void HnswSearchLevel(HnswIndex *g, HnswSearch *s, HnswResult *res, int level,
							const HnswCandidate *seeds, int nseeds,
							const HnswCandidate *last_resort);
extern bool HnswSearchIndex(HnswIndex *g, HnswSearch *s, const HnswMetaPage *seen, int ef,
							bool coarse);
extern bool HnswSearchWithSlack(HnswIndex *g, HnswSearch *s, const HnswMetaPage *seen, int64 k,
								double factor, int width);
extern void HnswSearchMoreWithSlack(HnswIndex *g, HnswSearch *s, int64 k, double factor);
extern void HnswSearchMore(HnswIndex *g, HnswSearch *s, int ef);
extern void HnswSearchFromRoot(HnswIndex *g, HnswSearch *s, int ef);
extern float HnswMeasure(HnswIndex *g, const HnswQuery *q, HnswPin *pin, uint16 slot,
						 const char *node, const char **own);
extern void HnswDescribe(const HnswLayout *lay, const char *node, BlockNumber blk,
						 uint16 slot, float dist, HnswFound *f);

/* ---- descend.c ---- */
extern HnswSearch *HnswSearchCreate(HnswIndex *g, MemoryContext parent);
extern int	HnswStepDown(HnswIndex *g, const HnswResult *res, int width, HnswCandidate *at);
extern int	HnswDescend(HnswIndex *g, HnswSearch *s, const HnswMetaPage *meta,
						int stop_level, int width, HnswCandidate *at);
extern float HnswFoundDistance(HnswIndex *g, HnswResult *res, int a, int b);

#endif							/* HNSW_GRAPH_SEARCH_H */
