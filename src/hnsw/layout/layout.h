/*
 * layout.h
 *		Where everything is within a record, computed from the metapage (layout.c),
 *		and what stands there.
 */
#ifndef HNSW_LAYOUT_LAYOUT_H
#define HNSW_LAYOUT_LAYOUT_H

#include "hnsw/layout/page.h"
#include "hnsw/metric/metric.h"

/* reloption sketch_bits: auto, or bits a dimension; 32 = exact */
#define HNSW_SKETCH_OPT_AUTO	(-1)
#define HNSW_SKETCH_OPT_EXACT	32
/* reloption own_vector: auto, or HnswOwn */
#define HNSW_OWN_OPT_AUTO		0

/* What a record has of each link, one after the other, beside its code. */
#define HNSW_LINK_PARTS		4	/* TID, edge, a, b */
#define HNSW_LINK_WIDTH		8	/* of a part, at most */
typedef struct HnswPart
{
	int			offset;			/* in a record */
	int			width;			/* bytes a link, 0: there is no such part */
} HnswPart;

/* A link, to be stored. */
typedef struct HnswLink
{
	BlockNumber blk;
	uint16		slotflags;
	float		edge;			/* the distance */
	float		a;				/* the factors, and the code: HnswLinkForm makes them */
	float		b;
	char	   *code;
} HnswLink;

/* Where everything is within a record; derived from the metapage alone. */
typedef struct HnswLayout
{
	int			dim;			/* elements of a vector */
	int			column_dim;		/* dimensions of the column */
	const HnswMetricOps *metric;
	int			m;
	int			ef_construction;
	int			fanout;			/* links per record, a multiple of VX_BLOCK */
	HnswSketch	sketch;
	int			bits;
	int			code_dims;		/* the first rotated dimensions, which the code covers */
	int			groups;			/* of 4 bytes in a code: VX_CODE_GROUPS, or dim floats */
	int			group_step;		/* bytes from one of them to the next */
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
	HnswPart	parts[HNSW_LINK_PARTS];	/* the first four of these */
	int			rec_size;
	int			per_page;
	int			off_hints;		/* in a page: a bit a slot (HnswIsKilled); 0: no room */
} HnswLayout;

/*
 * How the vectors of an index are prepared, stored and compared: its layout and its
 * rotation.  The functions of metric/ overwrite its work memory.
 */
typedef struct HnswSpace
{
	HnswLayout	lay;
	const struct HnswTypeOps *type;	/* of the column (metric/type.h) */
	Oid			relid;			/* of the index, for errors */
	uint32	   *signs;			/* of the rotation; NULL: not rotated */
	float	   *work[2];		/* dim floats each */
} HnswSpace;

#define HnswMaxTreeLinks(lay)	((lay)->fanout / 2)

/*
 * With fewer links a list is chosen anew by VACUUM; else it only loses the DEAD nodes.
 * (A new one has as many as a search finds at least.)  README, "Repair".
 */
#define HnswEnoughLinks(lay)	(Min((lay)->fanout, (lay)->ef_construction - 1) * 7 / 8)

extern int	HnswRandomLevel(int fanout);
extern bool HnswLayoutTry(HnswMetaPage *meta, int sketch_opt, int own_opt);
extern void HnswLayoutChoose(HnswMetaPage *meta, int sketch_opt, int own_opt,
							 const char *relname);
extern bool HnswLayoutFromMeta(const HnswMetaPage *meta, HnswLayout *lay);

/* The links of a record (block, slot and flags in each TID): fanout places. */
static inline ItemPointer
HnswNodeLinks(const HnswLayout *lay, const char *node)
{
	return (ItemPointer) (node + lay->off_links);
}

/* The TIDs of a record, max_tids places: heap TIDs at level 0, else see HnswRecord. */
static inline ItemPointer
HnswNodeTids(const HnswLayout *lay, const char *node)
{
	return (ItemPointer) (node + lay->off_tids);
}

/* TIDs of records hold block and slot (from 0); an unset one has no block. */
#define HnswTidIsSet(tid) \
	(ItemPointerGetBlockNumberNoCheck(tid) != InvalidBlockNumber)

/* Are two TIDs the same, with their flags? */
static inline bool
HnswTidEqual(const ItemPointerData *a, const ItemPointerData *b)
{
	return memcmp(a, b, sizeof(ItemPointerData)) == 0;
}

#define HnswLinkSlot(tid)	(ItemPointerGetOffsetNumberNoCheck(tid) & HNSW_LINK_SLOT_MASK)
#define HnswLinkFlags(tid)	(ItemPointerGetOffsetNumberNoCheck(tid) & ~HNSW_LINK_SLOT_MASK)
#define HnswLinkBlock(tid)	ItemPointerGetBlockNumberNoCheck(tid)

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

#endif							/* HNSW_LAYOUT_LAYOUT_H */
