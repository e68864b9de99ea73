/*
 * check.h
 *		What the files of hnsw_check share.
 */
#ifndef HNSW_AM_CHECK_H
#define HNSW_AM_CHECK_H

#include "funcapi.h"
#include "hnsw/am/info.h"
#include "hnsw/layout/layout.h"
#include "hnsw/metric/type.h"
#include "hnsw/layout/page.h"
#include "hnsw/page/index.h"

/* What the first pass notes of a slot; NO_SLOT where no record can be. */
#define NO_SLOT 0xFF

typedef struct SlotNote
{
	uint8		state;
	uint8		level;
} SlotNote;

/* What the first pass notes of a page, besides its kind. */
#define PAGE_NEW 0 /* never written: legal, a crash leaves such */
#define PAGE_BAD 0xFF /* not to be looked into */

typedef struct HeapRef
{
	ItemPointerData tid;
	uint16		slot;
	BlockNumber	blk;
} HeapRef;

typedef struct Check
{
	HnswInspect	x;
	ReturnSetInfo *out;
	uint8	   *kinds; /* of each block */
	SlotNote   *slots; /* of each block's per_page slots */
	const HnswMetricOps *metric;	/* of the operator class */
	const HnswTypeOps *type;
	uint64	   *chained; /* blocks that are in an overflow chain */
	uint64	   *reached; /* slots the walk has met */
	char	   *other; /* copy of an overflow or side page */
	HnswSpace	vectors; /* as they are stored: no rotation */
	char	   *own; /* own vector from side pages */
	char	   *links; /* copy of a record, up to the end of its links */
	char	   *neighbour; /* copy of a neighbour's record, up to its links */
	char	   *neighbour_own; /* its own vector from side pages */
	float	   *decoded;
	HeapRef	   *refs; /* heap TIDs of live nodes */
	Size		nrefs;
	Size		maxrefs;
	BlockNumber	heap_blocks; /* of the table */
	uint64	   *stack; /* slots the walk has still to look at */
	Size		nstack;
	Size		maxstack;
} Check;

static inline HnswRecord *
record_at(Check *c, uint16 slot)
{
	return (HnswRecord *) (c->x.page + HnswSlotOffset(&c->x.lay, slot));
}

static inline bool
is_node_page(uint8 kind)
{
	return kind == HNSW_PAGE_NODE || kind == HNSW_PAGE_UPPER;
}

static inline uint64
slot_id(Check *c, BlockNumber blk, uint16 slot)
{
	return (uint64) blk * c->x.lay.per_page + slot;
}

/* What the first pass saw of a slot; state NO_SLOT when there is none. */
static inline SlotNote
note_of(Check *c, BlockNumber blk, uint16 slot)
{
	SlotNote	none = { NO_SLOT, 0 };

	if (blk >= c->x.nblocks || slot >= c->x.lay.per_page)
		return none;
	return c->slots[slot_id(c, blk, slot)];
}

#define NO_BLOCK (-1)
#define NO_POS (-1)

/* ---- check.c ---- */
extern void HnswProblem(Check *c, int64 blk, int slot, const char *fmt, ...) pg_attribute_printf(4, 5);

/* ---- check_records.c ---- */
extern void HnswCheckRecords(Check *c);
extern void HnswCheckBundle(Check *c, BlockNumber blk, int slot, const HnswRecord *bundle);
extern void HnswCheckDuplicates(Check *c);

#endif							/* HNSW_AM_CHECK_H */
