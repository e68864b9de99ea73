/*
 * page.h
 *		Layout of the hnsw index on disk: page kinds, metapage, node records.
 *
 * src/hnsw/README describes the same in words, with the invariants.
 * Nothing here is trusted when it comes from disk: readers go through the
 * checking functions of page/: access.c, record.c, overflow.c, meta.c.
 */
#ifndef HNSW_LAYOUT_PAGE_H
#define HNSW_LAYOUT_PAGE_H

#include "postgres.h"

#include "storage/block.h"
#include "storage/bufpage.h"
#include "storage/itemptr.h"

#define HNSW_MAGIC			0x76785831	/* "vxX1" */
/* Of what is written; the formats of all releases are read ("Versions" in README). */
#define HNSW_VERSION		2
#define HNSW_OLDEST_VERSION	1
#define HNSW_META_BLOCK		0

#define HNSW_MAX_DIM		16000
#define HNSW_MAX_BITS		64000	/* of a bit string */
#define HNSW_MAX_LEVEL		30
#define HNSW_MAX_FANOUT		224		/* 2 * m_max rounded up to whole blocks */
#define HNSW_MAX_TIDS		16		/* inline heap TIDs of one record */
#define HNSW_MIN_TIDS		3		/* upper records keep two links there */
#define HNSW_MAX_SIDE_PAGES 8		/* 16,000 fp32 elements */

/* What follows the page header, on every page of the index. */
typedef struct HnswPageHeader
{
	uint16		kind;
	uint16		nslots;			/* node and pending pages: initialised records; side
								 * pages: position behind its node page */
	uint32		magic;
	BlockNumber next;			/* upper pages: next one that may have a free slot */
	uint32		closed;			/* pending pages: takes no more links until it is emptied */
} HnswPageHeader;

typedef enum HnswPageKind
{
	HNSW_PAGE_META = 1,
	HNSW_PAGE_CENTRE,			/* the centre vector, after the metapage */
	HNSW_PAGE_NODE,				/* records of level 0 */
	HNSW_PAGE_UPPER,			/* records of levels 1 and up */
	HNSW_PAGE_SIDE,				/* own vectors that do not fit beside the links */
	HNSW_PAGE_OVERFLOW,			/* further heap TIDs of one record */
	HNSW_PAGE_FREE,				/* nothing in use, listed in the free space map */
	HNSW_PAGE_PENDING			/* bundles of links to nodes that have none themselves */
} HnswPageKind;

#define HNSW_LAST_PAGE_KIND	HNSW_PAGE_PENDING

/* Pending pages of an index at most. */
#define HNSW_MAX_PENDING_PAGES	256

#define HNSW_PAGE_DATA		(MAXALIGN(SizeOfPageHeaderData) + sizeof(HnswPageHeader))
#define HNSW_PAGE_ROOM		(BLCKSZ - HNSW_PAGE_DATA)

#define HnswPageGetHeader(page) \
	((HnswPageHeader *) ((char *) (page) + MAXALIGN(SizeOfPageHeaderData)))
#define HnswPageGetData(page)	((char *) (page) + HNSW_PAGE_DATA)

typedef enum HnswMetric
{
	HNSW_L2 = 1,
	HNSW_IP,
	HNSW_COSINE,				/* L2 on normalised vectors */
	HNSW_L1,
	/* of bit strings */
	HNSW_HAMMING,
	HNSW_JACCARD,
	/* of sparse vectors, in the order of the first four */
	HNSW_SPARSE_L2,
	HNSW_SPARSE_IP,
	HNSW_SPARSE_COSINE,
	HNSW_SPARSE_L1
} HnswMetric;

#define HNSW_METRICS	(HNSW_SPARSE_L1 + 1)	/* numbers of metrics are below */

/* Types of columns (metric/type.h); an index of before there were more has a zero. */
typedef enum HnswType
{
	HNSW_VECTOR = 0,
	HNSW_HALFVEC,
	HNSW_BIT,
	HNSW_SPARSEVEC
} HnswType;

typedef enum HnswSketch
{
	HNSW_SKETCH_NONE = 1,		/* neighbours' own vectors are read instead */
	HNSW_SKETCH_BITS,			/* 1, 2 or 4 bits a dimension */
	HNSW_SKETCH_EXACT			/* the neighbour's whole vector, fp32 */
} HnswSketch;

typedef enum HnswOwn
{
	HNSW_OWN_FP32 = 1,			/* or words of as many bits (HnswMetricOps.words) */
	HNSW_OWN_FP16,
	HNSW_OWN_INT8
} HnswOwn;

/* Who measured how far searches have to go for a recall (am/calibrate.c). */
typedef enum HnswCalibrated
{
	HNSW_CALIBRATED_NOT = 0,
	HNSW_CALIBRATED_BUILD,
	HNSW_CALIBRATED_VACUUM,
	HNSW_CALIBRATED_QUERIES		/* hnsw_calibrate */
} HnswCalibrated;

/* Recalls, and numbers of rows handed out (am/recall.h), that it was measured for. */
#define HNSW_RECALL_TARGETS	8
#define HNSW_RECALL_RANKS	3

typedef struct HnswCalibration
{
	uint16		kind;			/* HnswCalibrated */
	uint16		nqueries;
	float4		nodes;			/* about as many there were */
	uint8		width[HNSW_RECALL_TARGETS]; /* records of each level to begin from */
	float4		factor[HNSW_RECALL_TARGETS][HNSW_RECALL_RANKS]; /* graph/slack.h */
	float4		visits[HNSW_RECALL_TARGETS][HNSW_RECALL_RANKS]; /* of a search, on average */
} HnswCalibration;

typedef struct HnswMetaPage
{
	uint32		magic;
	uint32		version;
	/* fixed at creation; the layout of records follows from these alone */
	uint16		dim;			/* elements of a vector */
	uint16		metric;
	uint16		m;
	uint16		ef_construction;
	uint16		sketch;
	uint16		bits;
	uint16		code_dims;
	uint16		own;
	uint16		own_side;
	uint16		max_tids;
	uint16		ncentre;		/* centre pages, blocks 1..ncentre */
	uint16		rec_size;		/* stored to be checked against the computed one */
	uint64		seed;			/* of the rotation */
	/* changing */
	ItemPointerData entry;		/* top record of the entry point */
	uint16		entry_level;
	ItemPointerData root;		/* level 0 record all tree links start from */
	uint16		centre_set;
	BlockNumber upper_target;	/* first upper page that may have a free slot */
	/* fixed at creation, too; what was no field before reads as zero */
	uint16		shift;			/* own vectors are 2^-shift of the prepared ones */
	uint8		type;			/* HnswType */
	uint8		unused1;		/* zero */
	uint32		column_dim;		/* dimensions of the column, 0: as many as elements */
	uint32		unused2;		/* zero */
	/* changing, too; in indexes of version 1 it lies behind pd_lower, and is zero */
	HnswCalibration calibration;
	/* the same of what follows: pages with links to pending nodes (page/pending.c) */
	uint16		npending;		/* pages, which stay such */
	uint16		unused3;		/* zero */
	uint32		pending_epoch;	/* raised before links are taken out of them */
	uint64		merges;			/* how often */
	uint64		merged;			/* links that were taken out */
	BlockNumber pending[HNSW_MAX_PENDING_PAGES];
} HnswMetaPage;

#define HnswPageGetMeta(page)	((HnswMetaPage *) HnswPageGetData(page))

/* Is it of a format that this library reads? */
static inline bool
HnswVersionIsRead(const HnswMetaPage *meta)
{
	return meta->version >= HNSW_OLDEST_VERSION && meta->version <= HNSW_VERSION;
}

typedef enum HnswState
{
	HNSW_FREE = 0,
	HNSW_LIVE,
	HNSW_DEAD					/* no heap TIDs left; still linked, still walked */
} HnswState;

/*
 * A record: this header, then (offsets in HnswLayout) heap TIDs, own vector,
 * neighbours' TIDs, edge distances, factors, codes.
 * An upper record keeps its level-below record in TID 0 and its level-0
 * record in TID 1.
 */
/*
 * What goes with a stored vector, wherever it is carried: the fields by their names, and
 * all at once as "head".
 */
#define HNSW_VEC_FIELDS \
	uint32		hash;			/* of the vector before quantisation: equal ones share a node */ \
	float4		norm2;			/* squared norm of the own vector as stored */ \
	float4		scale;			/* own vector = scale * code + offset */ \
	float4		offset; \
	int32		codesum;		/* of int8 codes */

typedef struct HnswVecHead
{
	HNSW_VEC_FIELDS
} HnswVecHead;

#define HNSW_VEC_HEAD \
	union \
	{ \
		struct \
		{ \
			HNSW_VEC_FIELDS \
		}; \
		HnswVecHead head; \
	}

typedef struct HnswRecord
{
	uint8		state;
	uint8		level;
	uint8		ntids;
	uint8		nlinks;			/* links in use, always the first ones */
	uint16		generation;		/* bumped when the slot is given to a new node */
	uint16		strips;			/* how often VACUUM has taken heap TIDs out */
	HNSW_VEC_HEAD;
	BlockNumber overflow;		/* first page of further heap TIDs */
} HnswRecord;

/* The offset number of a link's TID carries the slot and two flags. */
#define HNSW_LINK_SLOT_MASK	0x03FF
#define HNSW_LINK_PRUNED	0x4000	/* fills up the list; first to be replaced */
#define HNSW_LINK_TREE		0x8000	/* keeps the neighbour reachable; never
									 * replaced by insert */

/* Overflow page: heap TIDs of one level-0 record. */
typedef struct HnswOverflow
{
	ItemPointerData owner;		/* block and slot of the record */
	uint16		ntids;
	BlockNumber next;
	/* ItemPointerData tids[] follow */
} HnswOverflow;

#define HnswPageGetOverflow(page)	((HnswOverflow *) HnswPageGetData(page))
#define HnswOverflowTids(o)		((ItemPointer) ((char *) (o) + sizeof(HnswOverflow)))
#define HNSW_OVERFLOW_TIDS \
	((HNSW_PAGE_ROOM - sizeof(HnswOverflow)) / sizeof(ItemPointerData))

#endif							/* HNSW_LAYOUT_PAGE_H */
