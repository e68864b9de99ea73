/*
 * hnsw.h
 *		The hnsw access method: shared structures, and every function that
 *		crosses a file, grouped by the file that defines it.
 *
 * README in this folder holds the protocols (locks, states, what a crash
 * leaves); page.h the bytes on disk.
 */
#ifndef HNSW_H
#define HNSW_H

#include "postgres.h"

#include "access/amapi.h"
#include "access/genam.h"
#include "access/reloptions.h"
#include "hnsw/marks.h"
#include "hnsw/page.h"
#include "lib/stringinfo.h"
#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"
#include "simd/vx_simd.h"
#include "types/vector.h"
#include "utils/rel.h"

#include "compat.h"

/* strategy and support function numbers; support 1 is required */
#define HNSW_DISTANCE_PROC	1
#define HNSW_NORM_PROC		2
#define HNSW_TYPE_PROC		3
#define HNSW_NPROCS			3

#define HNSW_DEFAULT_M					16
#define HNSW_MIN_M						2
#define HNSW_MAX_M						100
#define HNSW_DEFAULT_EF_CONSTRUCTION	64
#define HNSW_MIN_EF_CONSTRUCTION		4
#define HNSW_MAX_EF_CONSTRUCTION		1000
#define HNSW_DEFAULT_EF_SEARCH			40
#define HNSW_MIN_EF_SEARCH				1
#define HNSW_MAX_EF_SEARCH				10000

#define HNSW_PROGRESS_LOAD		2	/* amphasename numbers */
#define HNSW_PROGRESS_LINK		3
#define HNSW_PROGRESS_WRITE		4
#define HNSW_PROGRESS_INSERT	5
#define HNSW_PROGRESS_LOG		6

typedef struct HnswOptions
{
	int32		vl_len_;
	int			m;
	int			ef_construction;
	int			sketch_bits;	/* enum below */
	int			own_vector;
} HnswOptions;

/* reloption sketch_bits: auto, or bits a dimension; 32 = exact */
#define HNSW_SKETCH_OPT_AUTO	(-1)
#define HNSW_SKETCH_OPT_EXACT	32
/* reloption own_vector: auto, or HnswOwn */
#define HNSW_OWN_OPT_AUTO		0

/* Where everything is within a record; derived from the metapage alone. */
typedef struct HnswLayout
{
	int			dim;
	HnswMetric	metric;
	int			m;
	int			ef_construction;
	int			fanout;			/* links per record, a multiple of VX_BLOCK */
	HnswSketch	sketch;
	int			bits;
	int			code_dims;		/* the first rotated dimensions, which the code covers */
	int			groups;			/* VX_CODE_GROUPS(code_dims, bits) */
	int			block_bytes;	/* codes of VX_BLOCK neighbours */
	HnswOwn		own;
	int			own_bytes;
	bool		own_side;		/* own vectors in side pages */
	int			side_pages;		/* behind each node page */
	int			factor_width;	/* bytes of a factor: 0, 2 (bf16) or 4 */
	int			max_tids;
	float		unit;			/* own vectors are this times the prepared ones: 2^-shift */
	/* offsets in a record */
	int			off_tids;
	int			off_own;
	int			off_links;
	int			off_edges;
	int			off_a;
	int			off_b;
	int			off_codes;
	int			rec_size;
	int			per_page;
	int			off_hints;		/* in a page: a bit a slot (HnswIsKilled); 0: no room */
} HnswLayout;

/* A page in hand: pinned and locked. */
typedef struct HnswPin
{
	BlockNumber blk;
	Buffer		buf;
	Page		page;
} HnswPin;

/* Recent buffers of a handle: so many at first, and at most (512 kB). */
#define HNSW_MIN_RECENT		1024
#define HNSW_MAX_RECENT		65536

/* The buffer a block was in when it was last read. */
typedef struct HnswRecent
{
	BlockNumber blk;
	Buffer		buf;			/* InvalidBuffer: the entry is empty */
} HnswRecent;

/*
 * One backend's handle on one index: what is immutable, hints for finding
 * buffers, and scratch memory of search and insert.  Kept between statements
 * (see graph.c); a build has a private one.
 */
typedef struct HnswGraph
{
	Oid			relid;
	CompatRelFile file;
	MemoryContext cxt;			/* holds this and everything below */
	int			users;
	bool		cached;			/* else the last user to close it frees it */
	uint64		opened;			/* when it was opened last, as a number that counts up */
	Size		bytes;			/* memory when it was last let go of */

	HnswLayout	lay;
	uint64		seed;
	int			ncentre;
	uint32	   *signs;			/* of the rotation; NULL for L1 */
	float	   *centre;			/* subtracted when centre_set */
	bool		centre_set;

	/* accessor */
	Relation	rel;			/* valid between HnswOpen and HnswClose */
	bool		nolog;			/* build: change pages without WAL */
	bool		shared;			/* build: other processes take part */
	BlockNumber target;			/* node page to try first for a new record */
	BlockNumber upper_target;	/* the same for upper pages, build only */
	BlockNumber nblocks;		/* blocks known to exist */
	HnswRecent *recent;			/* recent buffers, a hint: block b is at b modulo nrecent */
	uint32		nrecent;		/* a power of 2 */
	uint32		nreplaced;		/* entries that gave way to others since it grew */

	struct HnswSearch *idle;	/* memory of a scan that has ended, for the next one */
	struct HnswScratch *scratch;
} HnswGraph;

/* A query or new vector, prepared: normalised, centred, scaled, rotated. */
typedef struct HnswQuery
{
	float	   *vec;			/* dim floats */
	double		unit;			/* of a scan: the operator's distance, or its square, is
								 * this times the one in index units */
	bool		far;			/* of a scan: distances tell nothing, vec is not the query */
	float		norm2;
	float		sum;
	int16	   *q16;
	float		q16_scale;
	uint8	   *table;			/* lookup table for the code scan */
	float		delta;
	float		bias;
	float		noise;			/* three standard deviations of the table's rounding */
} HnswQuery;

/* A vector as it is stored. */
typedef struct HnswStored
{
	const char *own;
	float		norm2;
	float		scale;
	float		offset;
	int32		codesum;
} HnswStored;

/* A node found by a search, nearest first in HnswSearch->found order. */
typedef struct HnswFound
{
	float		dist;			/* in index units: squared L2, -ip or L1 */
	uint32		hash;
	float		norm2;
	float		scale;
	float		offset;
	int32		codesum;
	BlockNumber blk;
	uint16		slot;
	uint16		generation;
	uint16		strips;
	uint8		level;
	uint8		ntids;
	bool		killed;			/* its rows were known to be dead to all */
	BlockNumber overflow;
	ItemPointerData tids[HNSW_MAX_TIDS];
} HnswFound;

/* What a search has yet to do with a queued record. */
#define HNSW_TODO_RESULT	1	/* it may be a result */
#define HNSW_TODO_LINKS		2	/* its links have not been looked at */
#define HNSW_TODO_MARK		4	/* queued by every estimate: visited once, as marked then */
#define HNSW_TODO_ALL		(HNSW_TODO_RESULT | HNSW_TODO_LINKS)

typedef struct HnswCandidate
{
	float		key;
	BlockNumber blk;
	uint16		slot;
	uint16		todo;			/* of a queued one */
} HnswCandidate;

typedef struct HnswHeapItem
{
	float		key;
	int32		idx;
} HnswHeapItem;

/* Results of one search of one level. */
typedef struct HnswResult
{
	int			ef;
	int			nfound;
	int			maxfound;		/* size of order and found */
	bool		keep_own;
	float		best;			/* least distance found */
	HnswHeapItem *order;		/* heap while searching, sorted afterwards */
	HnswFound  *found;			/* pool; order[i].idx says which */
	char	   *own;			/* own vectors of the pool, if kept */
	int			maxown;			/* so many there is room for */
} HnswResult;

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
	HnswMarks	marks;			/* records that are not to be queued (again) */
	HnswMarks	taken;			/* records of level 0 that the scan has got */
	HnswCandidate *heap;		/* candidates */
	int64		nheap;
	int64		maxheap;

	bool		resumable;		/* note what is needed to go on */
	bool		coarse;			/* estimates say nothing: neighbours of results are all read */
	HnswCandidate root;			/* of the tree links */
	bool		unbounded;		/* candidates beyond the bound are queued, too */
	bool		dry;			/* less than ef results: no candidates left, or too many to come */
	int64		nvisits;		/* nodes visited */
	int64		judged_from;	/* those before the results of now were looked for */
	int64		max_visits;		/* beyond, a sweep is cheaper */
	HnswCandidate *visited;		/* records whose links were cut off at a bound */
	int64		nvisited;
	int64		maxvisited;
} HnswSearch;

/* One change, logged as one WAL record; see access.c. */
#define HNSW_WRITE_PAGES	4
typedef struct HnswWritePage
{
	HnswPin	   *pin;
	bool		image;			/* new page: logged whole */
	int			last;			/* where in delta the last span starts, -1: none */
	StringInfoData delta;
} HnswWritePage;

typedef struct HnswWrite
{
	HnswGraph  *g;
	int			npages;
	HnswWritePage pages[HNSW_WRITE_PAGES];
} HnswWrite;

/*
 * Records from which a search goes on from one level to the next, by the ef of
 * level 0.  A single one is easily that of a wrong cluster, which no link leads
 * out of where clusters have more members than a node has candidates.
 */
#define HNSW_MAX_DESCENT	16
#define HnswDescentWidth(ef)	Max(1, Min((ef) / 20, HNSW_MAX_DESCENT))

typedef struct HnswScratch
{
	HnswSearch *search;			/* of inserts and VACUUM */
	HnswResult *upper[HNSW_MAX_LEVEL + 1];
	float	   *est;			/* HNSW_MAX_FANOUT estimates */
	float	   *fa;				/* dim floats each */
	float	   *fb;
	float	   *fc;
	int8	   *own;			/* own_bytes, the new node's */
	char	   *side;			/* own_bytes, one read from side pages */
	char	   *record;			/* a whole record being formed */
	char	   *code;			/* one code or exact neighbour */
	HnswWrite	write;
	struct nodeset_hash *known;	/* distances an insert has computed, where
									 * there is no sketch to ask */
} HnswScratch;

/* ---- graph.c: handles, metapage ---- */
extern HnswGraph *HnswOpen(Relation index);
extern void HnswClose(HnswGraph *g);
extern HnswGraph *HnswGraphCreate(Relation index, MemoryContext parent,
								  const HnswMetaPage *meta);
extern HnswGraph *HnswGraphRead(Relation index, MemoryContext parent);
extern void HnswReadMeta(HnswGraph *g, HnswMetaPage *meta);
extern int	HnswColumnDim(Relation index);
extern void HnswMetaFor(Relation index, int dim, HnswMetaPage *meta);
extern void HnswCheckMeta(Relation index, Page page);
extern HnswMetric HnswIndexMetric(Relation index);
extern int	HnswCentrePages(const HnswMetaPage *meta);
extern void HnswLoadCentre(HnswGraph *g);
extern void HnswStoreCentre(HnswGraph *g, const float *centre);
extern void HnswFormMetaPage(Page page, const HnswMetaPage *meta, int centre_page);
extern void HnswCreatePages(HnswGraph *g, const HnswMetaPage *meta);

/* ---- layout.c ---- */
extern bool HnswLayoutTry(HnswMetaPage *meta, int sketch_opt, int own_opt);
extern void HnswLayoutChoose(HnswMetaPage *meta, int sketch_opt, int own_opt,
							 const char *relname);
extern bool HnswLayoutFromMeta(const HnswMetaPage *meta, HnswLayout *lay);

/* ---- options.c ---- */
extern void HnswOptionsInit(void);
extern bytea *HnswOptionsParse(Datum reloptions, bool validate);

/* ---- alter.c ---- */
extern void HnswAlterInit(void);
extern char *HnswPendingOptions(const HnswOptions *opts, const HnswMetaPage *built);

/* ---- settings.c ---- */
extern void HnswSettingsDefine(void);
extern int	HnswEfSearch(void);

/* ---- access.c: the page accessor ---- */
extern void HnswAcquire(HnswGraph *g, BlockNumber blk, int mode, HnswPin *pin);
extern bool HnswAcquireInOrder(HnswGraph *g, BlockNumber blk, int mode,
							   BufferAccessStrategy strategy, HnswPin *pin);
extern void HnswAcquireSide(HnswGraph *g, BlockNumber blk, int mode, HnswPin *pin);
extern void HnswCheckNotHeld(HnswGraph *g, BlockNumber blk, Buffer buf);
extern void HnswRelease(HnswGraph *g, HnswPin *pin);
extern void HnswExtend(HnswGraph *g, int n, HnswPin *pins);
extern void HnswExtendTo(HnswGraph *g, BlockNumber nblocks);
extern bool HnswClaimFreePage(HnswGraph *g, BlockNumber blk, HnswPin *pin);
extern void HnswInitPage(HnswPin *pin, HnswPageKind kind);
extern void HnswKnowBlocks(HnswGraph *g, BlockNumber blk);
extern bool HnswBlockExists(HnswGraph *g, BlockNumber blk);
extern void HnswPrefetch(HnswGraph *g, BlockNumber blk, uint16 slot);
extern void HnswWriteBegin(HnswGraph *g, HnswWrite *w);
extern int	HnswWriteAdd(HnswWrite *w, HnswPin *pin, bool image);
extern void HnswWriteBytes(HnswWrite *w, int page, Size offset,
						   const void *data, Size len);
extern void HnswWriteChanges(HnswWrite *w, int page, Size offset,
							 const void *data, Size len);
extern void HnswWriteEnd(HnswWrite *w);
pg_noreturn extern void HnswCorrupted(HnswGraph *g, BlockNumber blk, int slot,
									  const char *what);

/* ---- vec.c: vectors as the index sees them ---- */
extern bool HnswNormaliseVector(HnswGraph *g, const Vector *v, float *out);
extern bool HnswPrepareVector(HnswGraph *g, const Vector *v, float *out, uint32 *hash);
extern void HnswQueryInit(HnswGraph *g, HnswQuery *q, MemoryContext cxt);
extern void HnswQueryBuild(HnswGraph *g, HnswQuery *q);
extern bool HnswPrepareQuery(HnswGraph *g, const Vector *v, HnswQuery *q);
extern void HnswOwnEncode(HnswGraph *g, const float *vec, uint32 hash,
						  char *own, HnswRecord *rec);
extern void HnswOwnDecode(HnswGraph *g, const char *own, float scale,
						  float offset, float *out);
extern float HnswOwnDistance(HnswGraph *g, const HnswQuery *q, const char *own,
							 float scale, float offset, float norm2);
extern float HnswPairDistance(HnswGraph *g, const float *a, const float *b);
extern float HnswStoredDistance(HnswGraph *g, const HnswStored *a, const HnswStored *b);
extern float HnswFoundDistance(HnswGraph *g, HnswResult *res, int a, int b);

/* ---- precision.c: what stored vectors leave open ---- */
extern double HnswElementError(const HnswLayout *lay, float norm2, float scale);
extern double HnswDistanceSlack(HnswGraph *g, const HnswQuery *q, float dist,
								float norm2, float scale);
extern bool HnswResultsCoarse(HnswGraph *g, const HnswQuery *q, const HnswResult *res);
extern double HnswResultsReach(HnswGraph *g, const HnswQuery *q, const HnswResult *res);

/* ---- node.c: records in pages ---- */
extern char *HnswNodeAt(HnswGraph *g, HnswPin *pin, uint16 slot);
extern const char *HnswNodeOwn(HnswGraph *g, HnswPin *pin, uint16 slot,
							   const char *node);
extern void HnswAcquireOverflow(HnswGraph *g, BlockNumber over, BlockNumber blk, uint16 slot,
								int mode, HnswPin *pin);
extern void HnswLinkForm(HnswGraph *g, const float *base, const float *other,
						 float edge, float *a, float *b, char *code);
extern void HnswLinkPut(HnswGraph *g, char *node, int pos, BlockNumber blk,
						uint16 slotflags, float edge, float a, float b,
						const char *code);
extern void HnswLinkMove(HnswGraph *g, char *node, int from, int to);
extern void HnswLinkWrite(HnswGraph *g, HnswWrite *w, int page, Size recoff,
						  int pos, BlockNumber blk, uint16 slotflags,
						  float edge, float a, float b, const char *code);
extern void HnswRecordWrite(HnswGraph *g, HnswWrite *w, int page, Size recoff,
							const char *node);
extern float HnswLinkEdge(HnswGraph *g, const char *node, int pos);
extern float HnswLinkNoise(HnswGraph *g, const HnswQuery *q, const char *node,
						   int pos, float base, float est, float *slope);
extern int	HnswScoreLinks(HnswGraph *g, const HnswQuery *q, const char *node,
						   float base, float bound, float *est, uint32 *masks);

static inline ItemPointer
HnswNodeLinks(const HnswLayout *lay, const char *node)
{
	return (ItemPointer) (node + lay->off_links);
}

static inline ItemPointer
HnswNodeTids(const HnswLayout *lay, const char *node)
{
	return (ItemPointer) (node + lay->off_tids);
}

/* TIDs of records hold block and slot (from 0); an unset one has no block. */
#define HnswTidIsSet(tid) \
	(ItemPointerGetBlockNumberNoCheck(tid) != InvalidBlockNumber)

static inline bool
HnswTidEqual(const ItemPointerData *a, const ItemPointerData *b)
{
	return memcmp(a, b, sizeof(ItemPointerData)) == 0;
}

static inline void
HnswTidGet(const ItemPointerData *tid, HnswCandidate *at)
{
	at->key = 0;
	at->blk = ItemPointerGetBlockNumberNoCheck(tid);
	at->slot = ItemPointerGetOffsetNumberNoCheck(tid);
}

#define HnswLinkSlot(tid)	(ItemPointerGetOffsetNumberNoCheck(tid) & HNSW_LINK_SLOT_MASK)
#define HnswLinkFlags(tid)	(ItemPointerGetOffsetNumberNoCheck(tid) & ~HNSW_LINK_SLOT_MASK)
#define HnswLinkBlock(tid)	ItemPointerGetBlockNumberNoCheck(tid)
/* A number for each record there can be. */
#define HnswNodeNumber(g, blk, slot)	((uint64) (blk) * (g)->lay.per_page + (slot))
#define HnswSlotOffset(lay, slot)	(HNSW_PAGE_DATA + (Size) (slot) * (lay)->rec_size)

/*
 * Hints that all heap TIDs of a slot's node lead to rows which are dead to all
 * transactions, as a scan found.  They lie in the unused part of a page, which is
 * neither logged nor in images: a crash loses them, and a standby has none.
 */
static inline bool
HnswIsKilled(const HnswLayout *lay, const char *page, uint16 slot)
{
	return lay->off_hints != 0 && (page[lay->off_hints + slot / 8] >> (slot % 8)) & 1;
}

/* The page is locked, exclusively or not (then no other bit is lost but a hint). */
static inline void
HnswSetKilled(const HnswLayout *lay, char *page, uint16 slot, bool killed)
{
	if (lay->off_hints == 0)
		return;
	if (killed)
		page[lay->off_hints + slot / 8] |= 1 << (slot % 8);
	else
		page[lay->off_hints + slot / 8] &= ~(1 << (slot % 8));
}

/* ---- search.c ---- */
extern HnswSearch *HnswSearchCreate(HnswGraph *g, MemoryContext parent);
extern void HnswResultInit(HnswResult *res, const HnswLayout *lay, MemoryContext cxt,
						   int ef, bool keep_own);
extern void HnswSearchLevel(HnswGraph *g, HnswSearch *s, HnswResult *res, int level,
							const HnswCandidate *seeds, int nseeds,
							const HnswCandidate *last_resort);
extern bool HnswSearchIndex(HnswGraph *g, HnswSearch *s, const HnswMetaPage *seen, int ef,
							bool coarse);
extern void HnswSearchMore(HnswGraph *g, HnswSearch *s, int ef);
extern void HnswSearchFromRoot(HnswGraph *g, HnswSearch *s, int ef);
extern float HnswMeasure(HnswGraph *g, const HnswQuery *q, HnswPin *pin, uint16 slot,
						 const char *node, const char **own);
extern void HnswDescribe(const HnswLayout *lay, const char *node, BlockNumber blk,
						 uint16 slot, float dist, HnswFound *f);
extern int	HnswStepDown(HnswGraph *g, const HnswResult *res, int width, HnswCandidate *at);
extern int	HnswDescend(HnswGraph *g, HnswSearch *s, const HnswMetaPage *meta,
						int stop_level, int width, HnswCandidate *at);

/* ---- known.c ---- */
extern void HnswKnownReset(HnswGraph *g);
extern void HnswKnow(HnswGraph *g, BlockNumber blk, uint16 slot, float dist);
extern void HnswKnowFound(HnswGraph *g, const HnswResult *res);
extern bool HnswKnownDistance(HnswGraph *g, BlockNumber blk, uint16 slot, float *dist);

/* ---- sweep.c: all nodes by distance ---- */
typedef struct HnswSweep HnswSweep;
/* Leaves out some of n nodes; returns how many stay, at the front. */
typedef int (*HnswSweepFilter) (void *arg, HnswFound *found, int n);
extern HnswSweep *HnswSweepBegin(HnswGraph *g, HnswSearch *s, HnswSweepFilter filter, void *arg);
extern bool HnswSweepNext(HnswSweep *sweep, HnswFound *f);
extern void HnswSweepEnd(HnswSweep *sweep);
extern int64 HnswSweepCost(HnswGraph *g);

/* ---- connect.c ---- */
extern bool HnswConnect(HnswGraph *g, HnswQuery *q, HnswResult *res, int level,
						const HnswRecord *own_rec, const char *own,
						const ItemPointerData *tids, int ntids,
						HnswCandidate *at);
extern bool HnswConnectRoot(HnswGraph *g, const HnswMetaPage *seen, HnswQuery *q,
							HnswResult *res, const HnswRecord *own_rec, const char *own,
							const ItemPointerData *tid, HnswCandidate *at);
extern int	HnswChoosePosition(HnswGraph *g, const HnswQuery *q, const char *node,
							   float dist, bool tree, uint16 *flags);
extern void HnswWriteLink(HnswGraph *g, HnswWrite *w, int page, HnswPin *pin,
						  uint16 at_slot, const char *node, const HnswQuery *q,
						  int pos, uint16 flags, float dist,
						  BlockNumber blk, uint16 slot);
extern void HnswAddBackLinks(HnswGraph *g, const HnswQuery *q, int level,
							 HnswCandidate *nodes, int n, const HnswCandidate *to);
extern int	HnswFindLink(const HnswLayout *lay, const char *node, const HnswCandidate *to);
extern int	HnswCountTreeLinks(const HnswLayout *lay, const char *node);
#define HnswMaxTreeLinks(lay)	((lay)->fanout / 2)
#define HNSW_FSM_SLOT	(BLCKSZ / 2)	/* free space noted for a page with a free slot */
#define HNSW_FSM_PAGE(lay)	((lay)->own_side ? BLCKSZ / 4 : BLCKSZ - 64)	/* for a free page */

/* ---- insert.c ---- */
extern int	HnswRandomLevel(int fanout);
extern bool HnswInsertVector(HnswGraph *g, const Vector *v, ItemPointer heap_tid);
extern void HnswInsertStored(HnswGraph *g, const HnswRecord *rec, const char *own,
							 ItemPointer heap_tid);
extern bool hnswinsert(Relation index, Datum *values, bool *isnull,
					   ItemPointer heap_tid, Relation heap,
					   IndexUniqueCheck check, bool unchanged,
					   IndexInfo *info);
extern void HnswLockInserts(Relation index);
extern void HnswUnlockInserts(Relation index);
extern void HnswWaitForInserts(Relation index);

/* ---- build.c ---- */
extern IndexBuildResult *hnswbuild(Relation heap, Relation index, IndexInfo *info);
extern void hnswbuildempty(Relation index);

/* ---- scan.c ---- */
extern IndexScanDesc hnswbeginscan(Relation index, int nkeys, int norderbys);
extern void hnswrescan(IndexScanDesc scan, ScanKey keys, int nkeys,
					   ScanKey orderbys, int norderbys);
extern bool hnswgettuple(IndexScanDesc scan, ScanDirection dir);
extern void hnswendscan(IndexScanDesc scan);

/* ---- tree.c ---- */
extern void HnswThinTree(HnswGraph *g, BlockNumber nblocks,
						 const BlockNumber *uppers, int64 nuppers);

/* ---- vacuum.c ---- */
extern IndexBulkDeleteResult *hnswbulkdelete(IndexVacuumInfo *info,
											 IndexBulkDeleteResult *stats,
											 IndexBulkDeleteCallback callback,
											 void *state);
extern IndexBulkDeleteResult *hnswvacuumcleanup(IndexVacuumInfo *info,
												IndexBulkDeleteResult *stats);

/* ---- validate.c ---- */
extern bool hnswvalidate(Oid opclass);

#endif							/* HNSW_H */
