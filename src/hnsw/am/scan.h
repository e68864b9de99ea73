/*
 * scan.h
 *		A running index scan: what scan.c and rows.c share.
 */
#ifndef HNSW_AM_SCAN_H
#define HNSW_AM_SCAN_H

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relscan.h"
#include "hnsw/am/options.h"
#include "hnsw/graph/search.h"
#include "hnsw/graph/sweep.h"
#include "hnsw/metric/type.h"
#include "hnsw/page/index.h"
#include "nodes/execnodes.h"

typedef struct HnswScanItem
{
	/* of the operator's distance, for L2 its square, for cosine twice it */
	double		key;			/* lower bound of the distance, or the distance */
	double		high;			/* upper bound; the distance itself when exact */
	int32		idx;			/* in found[] */
	bool		late;			/* comes after all that are not */
	bool		row;			/* of a node that is done with: nothing finds it again */
	bool		ahead;			/* the row's page has been asked for */
} HnswScanItem;

/* A node without a row that anyone sees, as it was. */
typedef struct HnswKilled
{
	BlockNumber blk;
	uint16		slot;
	uint16		generation;
	uint16		strips;
	uint8		ntids;
} HnswKilled;

/* What a scan has done since it began, in all its rescans. */
typedef struct HnswScanStats
{
	Oid			index;
	int			width;			/* of the first search */
	int64		searches;		/* from the beginning: rescans */
	int64		resumes;		/* searches that went on */
	int64		sweeps;
	int64		visited;		/* nodes, by searches on any level */
	int64		scored;			/* codes of neighbours */
	int64		reranked;		/* rows whose vector was read from the table */
	int64		returned;		/* nodes handed out */
	int64		shed;			/* searches for less recall, because of load */
	int64		cache_hits;		/* first searches whose result was the cache's, and those that it was to know */
	int64		cache_misses;
} HnswScanStats;

typedef struct HnswScan
{
	HnswIndex  *g;
	HnswSearch *search;			/* NULL until there is one */
	MemoryContext cxt;			/* reset by each rescan */
	bool		started;
	bool		empty;			/* the index has no nodes */
	HnswValue	query;			/* as given; NULL: there is none */
	bool		exact;			/* rank by true distances (not for a NULL query) */
	bool		ordered;		/* else rows come in any order */
	bool		recheck;		/* the executor is to check the index's conditions */
	HnswSettings settings;		/* of the session when the scan began */
	HnswCandidate without;		/* a node that counts as not there, nor are results cached then; none: no block (measure.c) */

	int64		expected;		/* nodes that are likely to be asked for; 0: not known */
	bool		by_row;			/* each row has a distance of its own, and all are to be in order */
	double		bound;			/* rows beyond, as HnswScanItem's, are not wanted */
	bool		all;			/* all rows within are */
	bool		ended;			/* nothing is left but what is late */
	int64		nwithin;		/* nodes found that seem to be within */
	int			ef;				/* nodes that the last search was for; to a recall: all of them */
	double		target;			/* recall to search for; 0: ef is the effort */
	HnswCalibration calibration;	/* then: what it takes */
	int			max_more;		/* so many are searched for at once, at most */
	int64		hold;			/* so many nodes are returned before the search goes on */
	HnswFound  *found;			/* pool of the items */
	HnswScanItem *items;			/* binary heap, least key first; behind it, not in use */
	int			nitems;
	int			maxitems;
	HnswSweep  *sweep;			/* NULL until the search is left */
	HnswSwept	ahead;			/* the sweep's next node, no item yet */
	bool		have_ahead;
	bool		ranked;			/* the sweep's distances are exact */

	bool		unclear;		/* stored vectors do not tell which nodes are the nearest */
	bool		coarse;			/* and it is looked further for them */
	double		reach;			/* then: nodes not found are likely to be farther */
	int64		nfound;			/* nodes that searches have found */

	double		farthest;		/* true distance of the last row before the last search */
	HnswFound  *emitted;		/* nodes returned since, that may have a visible row */
	int			nemitted;
	int			maxemitted;
	int64		nvisible;		/* nodes that had one, of those before them (hnsw.iterative_scan off) */
	bool		went_on;		/* more than the first search's results has been asked for */
	int64		npassed;		/* all nodes that have been items, and are done with */
	int64		nrows;			/* of theirs, hints of dead ones aside */

	/* the node whose TIDs are being returned */
	HnswFound	cur;
	bool		have_cur;
	ItemPointerData *tids;		/* all of them, from the overflow pages, too */
	int64		ntids;
	int64		maxtids;
	int64		next_tid;
	int64		nkilled;		/* of those returned, so many were dead to all */
	HnswKilled *killed;			/* nodes to mark */
	int			nkilled_nodes;
	int			maxkilled;
	int64		nkilled_all;	/* also those that have been marked */
	BlockNumber heap_blocks;	/* blocks the table is known to have */

	/* for reading the table instead of going on (table.c) */
	struct IndexScanState *node;	/* of the plan; NULL: none, or not looked for */
	bool		node_sought;
	struct ExprState *predicate;	/* of the index, once it has been asked for */
	int64		patience;		/* so many visits before; 0: not computed */
	ItemPointerData *returned;	/* TIDs that have been returned */
	int64		nreturned;
	int64		maxreturned;

	HnswScanStats stats;
	HnswScanStats counted;		/* of these, those in pending */
	struct HnswPending *pending;	/* this session's counters of the index (counters.c); NULL: it is not counted */
	struct HnswCached *cached;	/* what the cache is to know, or has told (cached.c); NULL: nothing */
	bool		unsearched;		/* what was found is the cache's: there has been no search */

	/* for fetching exact vectors */
	IndexFetchTableData *fetch;
	TupleTableSlot *slot;
	EState	   *estate;
	IndexInfo  *info;
} HnswScan;

/* The rows of the table that meet the plan's conditions, and have not been returned. */
typedef struct HnswMatches
{
	IndexScanDesc scan;
	TableScanDesc rows;
	TupleTableSlot *slot;
	BlockNumber roots_of;		/* page whose HOT chains begin at roots[] */
	OffsetNumber roots[MaxHeapTuplesPerPage];
} HnswMatches;

/* ---- items.c ---- */
extern double HnswItemSlack(const HnswScan *so, const HnswFound *f);
extern void HnswItemsAdd(HnswScan *so, const HnswFound *f, double least, double most, bool late, bool row);
extern HnswScanItem HnswItemsPop(HnswScan *so);
extern void HnswItemsPush(HnswScan *so, HnswScanItem item);
extern void HnswItemsForget(HnswScan *so, bool all);

/* ---- cached.c ---- */
extern bool HnswCachedMay(IndexScanDesc scan, const HnswScan *so);
extern bool HnswCachedFind(IndexScanDesc scan, HnswScan *so);
extern void HnswCachedSearch(IndexScanDesc scan, HnswScan *so, HnswMetaPage *meta);
extern int64 HnswCachedVisits(const HnswScan *so);
extern void HnswCachedExact(HnswScan *so, const HnswFound *f, double dist);
extern void HnswCachedEnd(HnswScan *so);

/* ---- scan.c ---- */
extern void HnswFirstResults(IndexScanDesc scan, HnswScan *so, HnswMetaPage *meta);
extern void HnswScanHold(HnswScan *so);

/* ---- table.c ---- */
extern void HnswTableNoteRow(HnswScan *so, const ItemPointerData *tid);
extern int64 HnswTablePatience(IndexScanDesc scan, HnswScan *so);
extern bool HnswRowRoot(TupleTableSlot *slot, ItemPointer tid, OffsetNumber *roots, BlockNumber *roots_of);
extern bool HnswMatchesBegin(HnswMatches *m, IndexScanDesc scan, HnswScan *so);
extern bool HnswMatchesNext(void *arg, HnswFound *found, double *dist);
extern void HnswMatchesEnd(HnswMatches *m);

/* ---- within.c ---- */
extern bool HnswReadKeys(IndexScanDesc scan, HnswScan *so);
extern double HnswBound(const HnswMetricOps *metric, double bound);
extern bool HnswPlaceBound(HnswScan *so);

/* ---- load.c ---- */
extern double HnswScanTarget(HnswScan *so, const HnswCalibration *cal);

/* ---- stats.c ---- */
extern void HnswStatsAddSearch(HnswScanStats *stats, HnswSearch *s);
extern void HnswStatsEndScan(const HnswScanStats *stats);

/* ---- counters.c ---- */
extern void HnswCountersOpen(HnswScan *so);
extern void HnswCountersLeave(HnswScan *so);
extern void HnswCountersAdd(HnswScan *so);
extern void HnswCountersClose(HnswScan *so);

/* ---- rows.c ---- */
extern void HnswMarkKilled(HnswScan *so);
extern void HnswNoteKilled(HnswScan *so, const HnswFound *f);
extern void HnswCheckHeapTid(IndexScanDesc scan, HnswScan *so, const HnswFound *f, const ItemPointerData *tid);
extern void HnswLoadTids(HnswScan *so, const HnswFound *f);
extern void HnswReadAheadRows(IndexScanDesc scan, HnswScan *so, int n);
extern bool HnswSlotDistance(IndexScanDesc scan, HnswScan *so, TupleTableSlot *slot, double *dist);
extern bool HnswFetchAny(IndexScanDesc scan, HnswScan *so, const HnswFound *f, double *dist);
extern int	HnswCountVisible(IndexScanDesc scan, HnswScan *so);
extern void HnswLookBack(IndexScanDesc scan, HnswScan *so);
extern bool HnswNextRow(IndexScanDesc scan, HnswScan *so, const HnswFound *f, HnswFound *row, double *dist);
extern bool HnswRankNode(void *arg, const HnswFound *found, double *dist);
extern int HnswDropKilled(void *arg, HnswFound *found, int n);

#endif							/* HNSW_AM_SCAN_H */
