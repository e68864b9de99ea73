/*
 * check.c
 *		hnsw_check: which invariants of an index are violated.
 *
 * What is wrong becomes a row, not an error; see info.c for how pages are
 * read, and README, "Invariants", for what is checked.
 *
 * Inserts are kept out while it runs (not on a standby, where it could not
 * take that lock and replay goes on).  VACUUM may change the index under it,
 * and so may replay: a problem reported then should be looked for again.
 *
 * Memory: two bytes and a bit a slot, 12 bytes a row of the table, 8 bytes a
 * node that the walk has still to look at.
 */
#include "postgres.h"

#include <math.h>

#include "access/xlog.h"
#include "compat.h"
#include "fmgr.h"
#include "funcapi.h"
#include "hnsw/am/info.h"
#include "hnsw/graph/search.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/vector.h"
#include "hnsw/page/meta.h"
#include "miscadmin.h"
#include "simd/vx_simd.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(vectorx_hnsw_check);

#define CENTRE_PER_PAGE ((int) (HNSW_PAGE_ROOM / sizeof(float4)))

/* What the first pass notes of a slot; NO_SLOT where no record can be. */
#define NO_SLOT 0xFF

typedef struct SlotNote
{
	uint8 state;
	uint8 level;
} SlotNote;

/* What the first pass notes of a page, besides its kind. */
#define PAGE_NEW 0 /* never written: legal, a crash leaves such */
#define PAGE_BAD 0xFF /* not to be looked into */

typedef struct HeapRef
{
	ItemPointerData tid;
	uint16 slot;
	BlockNumber blk;
} HeapRef;

typedef struct Check
{
	HnswInspect x;
	ReturnSetInfo *out;
	uint8 *kinds; /* of each block */
	SlotNote *slots; /* of each block's per_page slots */
	HnswMetric metric; /* of the operator class */
	uint64 *chained; /* blocks that are in an overflow chain */
	uint64 *reached; /* slots the walk has met */
	char *other; /* copy of an overflow or side page */
	HnswSpace vectors; /* nothing but the layout, for HnswOwnDecode */
	char *own; /* own vector from side pages */
	float *decoded;
	HeapRef *refs; /* heap TIDs of live nodes */
	Size nrefs;
	Size maxrefs;
	BlockNumber heap_blocks; /* of the table */
	uint64 *stack; /* slots the walk has still to look at */
	Size nstack;
	Size maxstack;
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

/* ---- reporting ---- */

#define NO_BLOCK (-1)
#define NO_POS (-1)

static void
problem(Check *c, int64 blk, int slot, const char *fmt, ...) pg_attribute_printf(4, 5);

/* One row of the result; blk and slot may be NO_BLOCK and NO_POS. */
static void
problem(Check *c, int64 blk, int slot, const char *fmt, ...)
{
	Datum values[3];
	bool nulls[3] = { blk < 0, slot < 0, false };
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	values[0] = Int64GetDatum(blk);
	values[1] = Int32GetDatum(slot);
	values[2] = CStringGetTextDatum(text);
	tuplestore_putvalues(c->out->setResult, c->out->setDesc, values, nulls);
	pfree(DatumGetPointer(values[2]));
}

/* ---- bitmaps and look-ups ---- */

static uint64 *
make_bits(uint64 n)
{
	return MemoryContextAllocExtended(CurrentMemoryContext, (n / 64 + 1) * sizeof(uint64),
									  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
}

static inline bool
get_bit(const uint64 *bits, uint64 i)
{
	return (bits[i / 64] >> (i % 64)) & 1;
}

/* Set a bit; true if it was set. */
static inline bool
set_bit(uint64 *bits, uint64 i)
{
	bool was = get_bit(bits, i);

	bits[i / 64] |= UINT64CONST(1) << (i % 64);
	return was;
}

static inline uint64
slot_id(Check *c, BlockNumber blk, uint16 slot)
{
	return (uint64) blk * c->x.lay.per_page + slot;
}

/* What the first pass saw of a slot; state NO_SLOT when there is none. */
static SlotNote
note_of(Check *c, BlockNumber blk, uint16 slot)
{
	SlotNote none = { NO_SLOT, 0 };

	if (blk >= c->x.nblocks || slot >= c->x.lay.per_page)
		return none;
	return c->slots[slot_id(c, blk, slot)];
}

/* ---- metapage and centre ---- */

/* False when nothing else can be read by it. */
static bool
check_meta(Check *c)
{
	HnswPageHeader *header = HnswPageGetHeader(c->x.page);
	HnswMetaPage *meta = &c->x.meta;

	if (c->x.nblocks == 0)
	{
		problem(c, NO_BLOCK, NO_POS, "the index has no pages");
		return false;
	}
	HnswInspectRead(&c->x, HNSW_META_BLOCK, c->x.page, NULL);
	*meta = *HnswPageGetMeta(c->x.page);
	if (PageIsNew((Page) c->x.page) || header->kind != HNSW_PAGE_META ||
		header->magic != HNSW_MAGIC || meta->magic != HNSW_MAGIC)
	{
		problem(c, HNSW_META_BLOCK, NO_POS, "not a metapage");
		return false;
	}
	if (meta->version != HNSW_VERSION)
	{
		problem(c, HNSW_META_BLOCK, NO_POS, "format version %u is not %u",
				meta->version, HNSW_VERSION);
		return false;
	}
	if (!HnswLayoutFromMeta(meta, &c->x.lay))
	{
		problem(c, HNSW_META_BLOCK, NO_POS, "the metapage describes no possible layout");
		return false;
	}
	/* a column that has lost its length leaves the index its own */
	if (HnswColumnDim(c->x.index) >= 1 && meta->dim != HnswColumnDim(c->x.index))
		problem(c, HNSW_META_BLOCK, NO_POS, "%u dimensions, but the column has %d",
				meta->dim, HnswColumnDim(c->x.index));
	if (meta->metric != c->metric)
		problem(c, HNSW_META_BLOCK, NO_POS, "metric %u, but that of the operator class is %d",
				meta->metric, c->metric);
	if (meta->ncentre != HnswCentrePages(meta))
	{
		problem(c, HNSW_META_BLOCK, NO_POS, "%u centre pages do not fit %u dimensions and metric %u",
				meta->ncentre, meta->dim, meta->metric);
		return false;
	}
	if (meta->ncentre >= c->x.nblocks)
	{
		problem(c, HNSW_META_BLOCK, NO_POS, "%u centre pages in an index of %u pages",
				meta->ncentre, c->x.nblocks);
		return false;
	}
	if (meta->entry_level > HNSW_MAX_LEVEL)
		problem(c, HNSW_META_BLOCK, NO_POS, "entry level %u is above %d",
				meta->entry_level, HNSW_MAX_LEVEL);
	if (meta->centre_set > 1)
		problem(c, HNSW_META_BLOCK, NO_POS, "centre_set is %u", meta->centre_set);
	if (!meta->centre_set && HnswTidIsSet(&meta->root))
		problem(c, HNSW_META_BLOCK, NO_POS, "the root is set and the centre is not");
	return true;
}

static void
check_centre(Check *c, BlockNumber blk)
{
	int from = (blk - HNSW_META_BLOCK - 1) * CENTRE_PER_PAGE;
	int n = Min(CENTRE_PER_PAGE, c->x.lay.dim - from);
	const float *x = (const float *) HnswPageGetData(c->x.page);

	for (int i = 0; i < n; i++)
		if (!isfinite(x[i]))
		{
			problem(c, blk, NO_POS, "element %d of the centre is not finite", from + i);
			return;
		}
}

/* Root and entry point, once the slots are known. */
static void
check_entry(Check *c)
{
	HnswCandidate at;
	SlotNote note;
	bool entry = HnswTidIsSet(&c->x.meta.entry);
	bool root = HnswTidIsSet(&c->x.meta.root);
	HnswMetaPage *now = HnswPageGetMeta(c->x.page);

	/* VACUUM may have moved them since the metapage was read */
	HnswInspectRead(&c->x, HNSW_META_BLOCK, c->x.page, NULL);
	if (!HnswTidEqual(&now->root, &c->x.meta.root) ||
		!HnswTidEqual(&now->entry, &c->x.meta.entry))
		return;
	if (entry != root)
		problem(c, HNSW_META_BLOCK, NO_POS, "%s is set and %s is not",
				entry ? "the entry point" : "the root", entry ? "the root" : "the entry point");
	if (root)
	{
		HnswTidGet(&c->x.meta.root, &at);
		note = note_of(c, at.blk, at.slot);
		if (note.state == NO_SLOT || note.state == HNSW_FREE || note.level != 0)
			problem(c, HNSW_META_BLOCK, NO_POS, "the root, block %u slot %u, is not a record of level 0",
					at.blk, at.slot);
	}
	if (entry)
	{
		HnswTidGet(&c->x.meta.entry, &at);
		note = note_of(c, at.blk, at.slot);
		if (note.state == NO_SLOT || note.state == HNSW_FREE ||
			note.level != c->x.meta.entry_level)
			problem(c, HNSW_META_BLOCK, NO_POS, "the entry point, block %u slot %u, is not a record of level %u",
					at.blk, at.slot, c->x.meta.entry_level);
	}
}

/* ---- first pass, pages and slots ---- */

/* Least pd_lower of the page in hand: full page images leave out the rest. */
static Size
least_lower(Check *c, const HnswPageHeader *header)
{
	switch (header->kind)
	{
		case HNSW_PAGE_META:
			return HNSW_PAGE_DATA + sizeof(HnswMetaPage);
		case HNSW_PAGE_CENTRE:
		case HNSW_PAGE_SIDE:
			return BLCKSZ;
		case HNSW_PAGE_NODE:
		case HNSW_PAGE_UPPER:
			return HNSW_PAGE_DATA + (Size) header->nslots * c->x.lay.rec_size;
		case HNSW_PAGE_OVERFLOW:
			return HNSW_PAGE_DATA + sizeof(HnswOverflow) +
				   HnswPageGetOverflow(c->x.page)->ntids * sizeof(ItemPointerData);
		default:
			return HNSW_PAGE_DATA;
	}
}

/*
 * The page's kind, or PAGE_NEW, or PAGE_BAD when it is not to be looked into
 * (reported).
 */
static uint8
check_page(Check *c, BlockNumber blk)
{
	PageHeader core = (PageHeader) c->x.page;
	HnswPageHeader *header = HnswPageGetHeader(c->x.page);
	bool fixed = blk <= c->x.meta.ncentre;

	if (PageIsNew((Page) c->x.page))
	{
		if (!fixed)
			return PAGE_NEW;
		problem(c, blk, NO_POS, "the page is not initialised");
		return PAGE_BAD;
	}
	if (header->magic != HNSW_MAGIC)
	{
		problem(c, blk, NO_POS, "not a page of an hnsw index");
		return PAGE_BAD;
	}
	if (header->kind < HNSW_PAGE_META || header->kind > HNSW_PAGE_FREE)
	{
		problem(c, blk, NO_POS, "page kind %u is not known", header->kind);
		return PAGE_BAD;
	}
	if (fixed != (header->kind == HNSW_PAGE_META || header->kind == HNSW_PAGE_CENTRE) ||
		(header->kind == HNSW_PAGE_META) != (blk == HNSW_META_BLOCK))
	{
		problem(c, blk, NO_POS, "page kind %u is out of place", header->kind);
		return PAGE_BAD;
	}
	if (is_node_page(header->kind) && header->nslots > c->x.lay.per_page)
	{
		problem(c, blk, NO_POS, "%u slots on a page that has room for %d",
				header->nslots, c->x.lay.per_page);
		return PAGE_BAD;
	}
	if (header->kind == HNSW_PAGE_OVERFLOW &&
		HnswPageGetOverflow(c->x.page)->ntids > HNSW_OVERFLOW_TIDS)
	{
		problem(c, blk, NO_POS, "%u heap TIDs on an overflow page that has room for %d",
				HnswPageGetOverflow(c->x.page)->ntids, (int) HNSW_OVERFLOW_TIDS);
		return PAGE_BAD;
	}
	if (header->kind == HNSW_PAGE_SIDE &&
		(header->nslots < 1 || header->nslots > c->x.lay.side_pages ||
		 blk <= header->nslots + c->x.meta.ncentre))
	{
		problem(c, blk, NO_POS, "a side page at position %u behind its node page, which has %d",
				header->nslots, c->x.lay.side_pages);
		return PAGE_BAD;
	}
	if (core->pd_lower < least_lower(c, header) || core->pd_lower > core->pd_upper ||
		core->pd_upper > core->pd_special || core->pd_special > BLCKSZ)
		problem(c, blk, NO_POS, "the page's bounds are wrong: lower %u, upper %u, special %u",
				core->pd_lower, core->pd_upper, core->pd_special);
	return header->kind;
}

/* Note states and levels of a node page's slots; report what cannot be. */
static void
check_slots(Check *c, BlockNumber blk, uint8 kind)
{
	HnswPageHeader *header = HnswPageGetHeader(c->x.page);

	for (int slot = 0; slot < header->nslots; slot++)
	{
		HnswRecord *rec = record_at(c, slot);
		SlotNote *note = &c->slots[slot_id(c, blk, slot)];

		if (rec->state > HNSW_DEAD)
		{
			problem(c, blk, slot, "state %u is not known", rec->state);
			continue;
		}
		if (rec->state != HNSW_FREE &&
			(rec->level > HNSW_MAX_LEVEL || (rec->level == 0) != (kind == HNSW_PAGE_NODE)))
		{
			problem(c, blk, slot, "a record of level %u on a page of %s", rec->level,
					kind == HNSW_PAGE_NODE ? "level 0" : "higher levels");
			continue;
		}
		if (rec->state != HNSW_FREE &&
			(rec->nlinks > c->x.lay.fanout || rec->ntids > c->x.lay.max_tids))
		{
			problem(c, blk, slot, "%u links of at most %d, %u TIDs of at most %d",
					rec->nlinks, c->x.lay.fanout, rec->ntids, c->x.lay.max_tids);
			continue;
		}
		note->state = rec->state;
		note->level = rec->level;
	}
}

static void
first_pass(Check *c)
{
	for (BlockNumber blk = 0; blk < c->x.nblocks; blk++)
	{
		uint8 kind;

		CHECK_FOR_INTERRUPTS();
		HnswInspectRead(&c->x, blk, c->x.page, c->x.strategy);
		kind = check_page(c, blk);
		c->kinds[blk] = kind;
		if (kind == HNSW_PAGE_CENTRE && c->x.meta.centre_set)
			check_centre(c, blk);
		if (is_node_page(kind))
			check_slots(c, blk, kind);
	}
}

/* ---- second pass, records ---- */

static bool
valid_heap_tid(const ItemPointerData *tid)
{
	return ItemPointerIsValid(tid) &&
		   ItemPointerGetBlockNumberNoCheck(tid) != InvalidBlockNumber &&
		   ItemPointerGetOffsetNumberNoCheck(tid) <= MaxOffsetNumber;
}

/* Does the table not have this block?  On a standby it may grow meanwhile. */
static bool
past_table(Check *c, BlockNumber blk)
{
	if (blk >= c->heap_blocks)
		c->heap_blocks = RelationGetNumberOfBlocks(c->x.heap);
	return blk >= c->heap_blocks;
}

/* Note the heap TIDs of a live node, which is where they may stand only once. */
static void
add_heap_tids(Check *c, BlockNumber blk, int slot, const ItemPointerData *tids, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (!valid_heap_tid(&tids[i]))
		{
			problem(c, blk, slot, "heap TID %d, (%u,%u), is not valid", i,
					ItemPointerGetBlockNumberNoCheck(&tids[i]),
					ItemPointerGetOffsetNumberNoCheck(&tids[i]));
			continue;
		}
		if (past_table(c, ItemPointerGetBlockNumber(&tids[i])))
			problem(c, blk, slot, "heap TID %d, (%u,%u), is past the end of the table", i,
					ItemPointerGetBlockNumberNoCheck(&tids[i]),
					ItemPointerGetOffsetNumberNoCheck(&tids[i]));
		if (c->nrefs == c->maxrefs)
		{
			c->maxrefs *= 2;
			c->refs = repalloc_huge(c->refs, c->maxrefs * sizeof(HeapRef));
		}
		c->refs[c->nrefs].tid = tids[i];
		c->refs[c->nrefs].blk = blk;
		c->refs[c->nrefs++].slot = slot;
	}
}

/*
 * Follow a record's overflow chain; returns how many TIDs it has.  A page met
 * before ends it, so it ends.
 */
static int64
check_chain(Check *c, BlockNumber blk, int slot, BlockNumber next, bool live)
{
	ItemPointerData owner;
	int64 n = 0;

	ItemPointerSet(&owner, blk, slot);
	while (next != InvalidBlockNumber)
	{
		HnswOverflow *o;

		CHECK_FOR_INTERRUPTS();
		if (next >= c->x.nblocks || c->kinds[next] != HNSW_PAGE_OVERFLOW)
		{
			problem(c, blk, slot, "its overflow chain leads to block %u, which is no overflow page", next);
			break;
		}
		if (set_bit(c->chained, next))
		{
			problem(c, blk, slot, "overflow page %u is in two chains, or in one twice", next);
			break;
		}
		HnswInspectRead(&c->x, next, c->other, NULL);
		o = HnswPageGetOverflow(c->other);
		if (HnswPageGetHeader(c->other)->kind != HNSW_PAGE_OVERFLOW ||
			o->ntids > HNSW_OVERFLOW_TIDS)
		{
			problem(c, next, NO_POS, "the overflow page has changed while it was checked");
			break;
		}
		if (!HnswTidEqual(&o->owner, &owner))
			problem(c, next, NO_POS, "the overflow page says it belongs to block %u slot %u, but is in the chain of block %u slot %d",
					ItemPointerGetBlockNumberNoCheck(&o->owner),
					ItemPointerGetOffsetNumberNoCheck(&o->owner), blk, slot);
		if (live)
			add_heap_tids(c, blk, slot, HnswOverflowTids(o), o->ntids);
		n += o->ntids;
		next = o->next;
	}
	return n;
}

/* Heap TIDs of a record of level 0, or links down of a higher one. */
static void
check_tids(Check *c, BlockNumber blk, int slot, const HnswRecord *rec)
{
	const ItemPointerData *tids = HnswNodeTids(&c->x.lay, (const char *) rec);
	HnswCandidate at;
	SlotNote note;
	int64 n;

	if (rec->level == 0)
	{
		bool live = rec->state == HNSW_LIVE;

		if (live)
			add_heap_tids(c, blk, slot, tids, rec->ntids);
		n = rec->ntids + check_chain(c, blk, slot, rec->overflow, live);
		/* VACUUM that was cut off leaves a node with an empty chain live */
		if (live && n == 0 && rec->overflow == InvalidBlockNumber)
			problem(c, blk, slot, "a live node without heap TIDs");
		if (!live && n > 0)
			problem(c, blk, slot, "a dead node with " INT64_FORMAT " heap TIDs", n);
		return;
	}

	if (rec->overflow != InvalidBlockNumber)
		problem(c, blk, slot, "a record of level %u has an overflow chain", rec->level);
	if (rec->ntids != 2)
	{
		problem(c, blk, slot, "a record of level %u has %u links down", rec->level, rec->ntids);
		return;
	}
	/* where a dead record leads may have been freed before it */
	if (rec->state == HNSW_DEAD)
		return;
	HnswTidGet(&tids[0], &at);
	note = note_of(c, at.blk, at.slot);
	if (note.state == NO_SLOT || note.state == HNSW_FREE || note.level != rec->level - 1)
		problem(c, blk, slot, "its link down, block %u slot %u, is not a record of level %d",
				at.blk, at.slot, rec->level - 1);
	HnswTidGet(&tids[1], &at);
	note = note_of(c, at.blk, at.slot);
	if (note.state == NO_SLOT || note.state == HNSW_FREE || note.level != 0)
		problem(c, blk, slot, "its node, block %u slot %u, is not a record of level 0",
				at.blk, at.slot);
}

/* The own vector; NULL where a side page is missing, which is reported elsewhere. */
static const char *
find_own(Check *c, BlockNumber blk, int slot, const HnswRecord *rec)
{
	const HnswLayout *lay = &c->x.lay;
	Size from = (Size) slot * lay->own_bytes;
	Size done = 0;

	if (!lay->own_side)
		return (const char *) rec + lay->off_own;
	while (done < (Size) lay->own_bytes)
	{
		BlockNumber side = blk + 1 + (from + done) / HNSW_PAGE_ROOM;
		Size at = (from + done) % HNSW_PAGE_ROOM;
		Size n = Min(HNSW_PAGE_ROOM - at, lay->own_bytes - done);

		if (side >= c->x.nblocks || c->kinds[side] != HNSW_PAGE_SIDE)
			return NULL;
		HnswInspectRead(&c->x, side, c->other, c->x.strategy);
		memcpy(c->own + done, HnswPageGetData(c->other) + at, n);
		done += n;
	}
	return c->own;
}

/* The own vector, against what its record says of it. */
static void
check_own(Check *c, BlockNumber blk, int slot, const HnswRecord *rec)
{
	const int dim = c->x.lay.dim;
	const char *own = find_own(c, blk, slot, rec);
	/* where norms are not needed, they may be beyond what a float holds */
	bool bounded = c->x.lay.metric->products;
	float norm2;

	if (!isfinite(rec->scale) || !(rec->scale >= 0) || !isfinite(rec->offset) ||
		(bounded && !isfinite(rec->norm2)) || !(rec->norm2 >= 0))
	{
		problem(c, blk, slot, "the vector's scale %g, offset %g or squared norm %g is wrong",
				rec->scale, rec->offset, rec->norm2);
		return;
	}
	if (own == NULL)
		return;
	HnswOwnDecode(&c->vectors, own, rec->scale, rec->offset, c->decoded);
	for (int i = 0; i < dim; i++)
		if (!isfinite(c->decoded[i]))
		{
			problem(c, blk, slot, "element %d of the vector is not finite", i);
			return;
		}
	norm2 = vx_simd->sumsq(c->decoded, dim);
	if (norm2 != rec->norm2 && !(fabsf(norm2 - rec->norm2) <= 1e-5f * norm2))
		problem(c, blk, slot, "the vector's squared norm is %g, not %g", norm2, rec->norm2);
	else if (c->x.lay.own == HNSW_OWN_INT8)
	{
		int32 sum = 0;

		for (int i = 0; i < dim; i++)
			sum += ((const int8 *) own)[i];
		if (sum != rec->codesum)
			problem(c, blk, slot, "the sum of the vector's codes is %d, not %d", sum, rec->codesum);
	}
}

/* One number of a link: bf16 when two bytes wide, float when four. */
static bool
finite_at(const char *at, int width)
{
	if (width == 2)
	{
		uint16 v;

		memcpy(&v, at, sizeof(v));
		return (v & 0x7F80) != 0x7F80;
	}
	else
	{
		float v;

		memcpy(&v, at, sizeof(v));
		return isfinite(v);
	}
}

static void
check_link(Check *c, BlockNumber blk, int slot, const HnswRecord *rec, int pos)
{
	const HnswLayout *lay = &c->x.lay;
	const char *node = (const char *) rec;
	const ItemPointerData *link = &HnswNodeLinks(lay, node)[pos];
	BlockNumber tblk = HnswLinkBlock(link);
	uint16 tslot = HnswLinkSlot(link);
	uint16 flags = HnswLinkFlags(link);
	SlotNote note = note_of(c, tblk, tslot);

	if (flags & ~(HNSW_LINK_PRUNED | HNSW_LINK_TREE))
		problem(c, blk, slot, "link %d has flags 0x%04x", pos, flags);
	if (tblk >= c->x.nblocks || tslot >= lay->per_page)
		problem(c, blk, slot, "link %d leads to block %u slot %u, which cannot be",
				pos, tblk, tslot);
	else if (rec->state == HNSW_LIVE)
	{
		/* what a dead record leads to may have been freed before it */
		if (note.state == NO_SLOT)
			problem(c, blk, slot, "link %d leads to block %u slot %u, where no record is",
					pos, tblk, tslot);
		else if (note.state == HNSW_FREE)
			problem(c, blk, slot, "link %d leads to block %u slot %u, which is free",
					pos, tblk, tslot);
		else if (note.level != rec->level)
			problem(c, blk, slot, "link %d leads from level %u to level %u",
					pos, rec->level, note.level);
		if (tblk == blk && tslot == slot)
			problem(c, blk, slot, "link %d leads to the node itself", pos);
		for (int i = 0; i < pos; i++)
		{
			const ItemPointerData *earlier = &HnswNodeLinks(lay, node)[i];

			if (HnswLinkBlock(earlier) == tblk && HnswLinkSlot(earlier) == tslot)
			{
				problem(c, blk, slot, "links %d and %d both lead to block %u slot %u",
						i, pos, tblk, tslot);
				break;
			}
		}
	}

	if (!finite_at(node + lay->off_edges + pos * sizeof(uint16), sizeof(uint16)))
		problem(c, blk, slot, "the length of link %d is not finite", pos);
	if (lay->factor_width > 0 &&
		(!finite_at(node + lay->off_a + pos * lay->factor_width, lay->factor_width) ||
		 !finite_at(node + lay->off_b + pos * lay->factor_width, lay->factor_width)))
		problem(c, blk, slot, "the factors of link %d are not finite", pos);
}

/* Side pages behind a node page. */
static void
check_side(Check *c, BlockNumber blk)
{
	for (int i = 1; i <= c->x.lay.side_pages; i++)
	{
		if (blk + i >= c->x.nblocks || c->kinds[blk + i] != HNSW_PAGE_SIDE)
		{
			problem(c, blk, NO_POS, "side page %d is missing", i);
			continue;
		}
		HnswInspectRead(&c->x, blk + i, c->other, c->x.strategy);
		if (HnswPageGetHeader(c->other)->nslots != i)
			problem(c, blk + i, NO_POS, "side page %d of block %u says it is number %u",
					i, blk, HnswPageGetHeader(c->other)->nslots);
	}
}

static void
second_pass(Check *c)
{
	for (BlockNumber blk = 0; blk < c->x.nblocks; blk++)
	{
		HnswPageHeader *header = HnswPageGetHeader(c->x.page);
		bool used = false;

		if (!is_node_page(c->kinds[blk]))
			continue;
		CHECK_FOR_INTERRUPTS();
		HnswInspectRead(&c->x, blk, c->x.page, c->x.strategy);
		for (int slot = 0; slot < Min(header->nslots, c->x.lay.per_page); slot++)
		{
			const HnswRecord *rec = record_at(c, slot);
			SlotNote note = note_of(c, blk, slot);

			/* reported already, or changed since */
			if (note.state == NO_SLOT || note.state != rec->state ||
				note.level != rec->level || rec->state == HNSW_FREE)
				continue;
			if (rec->nlinks > c->x.lay.fanout || rec->ntids > c->x.lay.max_tids)
				continue;
			used = true;
			check_own(c, blk, slot, rec);
			check_tids(c, blk, slot, rec);
			for (int pos = 0; pos < rec->nlinks; pos++)
				check_link(c, blk, slot, rec, pos);
		}
		if (used)
			check_side(c, blk);
	}
	for (BlockNumber blk = 0; blk < c->x.nblocks; blk++)
	{
		if (c->kinds[blk] != HNSW_PAGE_OVERFLOW || get_bit(c->chained, blk))
			continue;
		/* unless VACUUM has taken it out of its chain meanwhile */
		HnswInspectRead(&c->x, blk, c->other, NULL);
		if (HnswPageGetHeader(c->other)->kind == HNSW_PAGE_OVERFLOW)
			problem(c, blk, NO_POS, "the overflow page is in no chain");
	}
}

static int
cmp_ref(const void *a, const void *b)
{
	return ItemPointerCompare((ItemPointer) & ((const HeapRef *) a)->tid,
							  (ItemPointer) & ((const HeapRef *) b)->tid);
}

static void
check_duplicates(Check *c)
{
	qsort(c->refs, c->nrefs, sizeof(HeapRef), cmp_ref);
	for (Size i = 1; i < c->nrefs; i++)
	{
		const HeapRef *a = &c->refs[i - 1];
		const HeapRef *b = &c->refs[i];

		CHECK_FOR_INTERRUPTS();
		if (cmp_ref(a, b) == 0)
			problem(c, b->blk, b->slot, "heap TID (%u,%u) stands in block %u slot %u, too",
					ItemPointerGetBlockNumberNoCheck(&b->tid),
					ItemPointerGetOffsetNumberNoCheck(&b->tid), a->blk, a->slot);
	}
}

/* ---- reachability ---- */

/* Let the walk come to a record of level 0, if there is one. */
static void
push_slot(Check *c, BlockNumber blk, uint16 slot)
{
	SlotNote note = note_of(c, blk, slot);

	if (note.state == NO_SLOT || note.state == HNSW_FREE || note.level != 0 ||
		set_bit(c->reached, slot_id(c, blk, slot)))
		return;
	if (c->nstack == c->maxstack)
	{
		c->maxstack *= 2;
		c->stack = repalloc_huge(c->stack, c->maxstack * sizeof(uint64));
	}
	c->stack[c->nstack++] = slot_id(c, blk, slot);
}

/* Walk level 0 from what is on the stack, over the links that have "flags". */
static void
walk(Check *c, uint16 flags)
{
	while (c->nstack > 0)
	{
		uint64 id = c->stack[--c->nstack];
		BlockNumber blk = id / c->x.lay.per_page;
		uint16 slot = id % c->x.lay.per_page;
		HnswRecord *rec;

		CHECK_FOR_INTERRUPTS();
		HnswInspectRead(&c->x, blk, c->x.page, NULL);
		if (HnswPageGetHeader(c->x.page)->kind != HNSW_PAGE_NODE)
			continue;
		rec = record_at(c, slot);
		for (int i = 0; i < Min(rec->nlinks, c->x.lay.fanout); i++)
		{
			const ItemPointerData *link = &HnswNodeLinks(&c->x.lay, (char *) rec)[i];

			if ((HnswLinkFlags(link) & flags) == flags)
				push_slot(c, HnswLinkBlock(link), HnswLinkSlot(link));
		}
	}
}

/* Report the live nodes the walk has not come to. */
static int64
report_unreached(Check *c, const char *what)
{
	int64 n = 0;

	for (BlockNumber blk = 0; blk < c->x.nblocks; blk++)
	{
		if (c->kinds[blk] != HNSW_PAGE_NODE)
			continue;
		for (int slot = 0; slot < c->x.lay.per_page; slot++)
		{
			uint64 id = slot_id(c, blk, slot);

			if (c->slots[id].state != HNSW_LIVE || get_bit(c->reached, id))
				continue;
			problem(c, blk, slot, "%s", what);
			n++;
		}
	}
	return n;
}

/*
 * Every live node must be reachable from the root over tree links alone, and
 * then it is over all links; these are walked only to tell what is worse.
 */
static void
check_reachable(Check *c)
{
	HnswCandidate at;

	if (HnswTidIsSet(&c->x.meta.root))
	{
		HnswTidGet(&c->x.meta.root, &at);
		push_slot(c, at.blk, at.slot);
		walk(c, HNSW_LINK_TREE);
	}
	if (report_unreached(c, "a live node is not reachable over tree links") == 0)
		return;

	memset(c->reached, 0, ((uint64) c->x.nblocks * c->x.lay.per_page / 64 + 1) * sizeof(uint64));
	if (HnswTidIsSet(&c->x.meta.root))
	{
		HnswTidGet(&c->x.meta.root, &at);
		push_slot(c, at.blk, at.slot);
	}
	if (HnswTidIsSet(&c->x.meta.entry))
	{
		HnswTidGet(&c->x.meta.entry, &at);
		if (note_of(c, at.blk, at.slot).level > 0)
		{
			ItemPointerData down;

			HnswInspectRead(&c->x, at.blk, c->x.page, NULL);
			down = HnswNodeTids(&c->x.lay, (char *) record_at(c, at.slot))[1];
			HnswTidGet(&down, &at);
		}
		push_slot(c, at.blk, at.slot);
	}
	walk(c, 0);
	(void) report_unreached(c, "a live node is not reachable at all");
}

/*
 * hnsw_check(index regclass): one row for each violated invariant.
 */
Datum
vectorx_hnsw_check(PG_FUNCTION_ARGS)
{
	Check c;
	Oid relid = PG_GETARG_OID(0);
	bool locked;

	memset(&c, 0, sizeof(c));
	HnswInspectOpen(&c.x, relid);
	InitMaterializedSRF(fcinfo, 0);
	c.out = (ReturnSetInfo *) fcinfo->resultinfo;
	/* reads catalogs, whose locks are not to be waited for under the one that follows */
	c.metric = HnswIndexMetric(c.x.index);

	/* the lock inserts hold in share mode; see the head of this file */
	locked = !RecoveryInProgress();
	if (locked)
		LockPage(c.x.index, HNSW_META_BLOCK, ExclusiveLock);
	c.x.nblocks = RelationGetNumberOfBlocks(c.x.index);

	if (check_meta(&c))
	{
		Size nslots = (Size) c.x.nblocks * c.x.lay.per_page;

		c.other = palloc(BLCKSZ);
		c.vectors.lay = c.x.lay;
		c.own = palloc(c.x.lay.own_bytes);
		c.decoded = palloc(c.x.lay.dim * sizeof(float));
		c.kinds = palloc_extended(c.x.nblocks, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
		c.slots = palloc_extended(nslots * sizeof(SlotNote), MCXT_ALLOC_HUGE);
		memset(c.slots, NO_SLOT, nslots * sizeof(SlotNote));
		c.chained = make_bits(c.x.nblocks);
		c.reached = make_bits(nslots);
		c.maxrefs = c.maxstack = 1024;
		c.refs = palloc(c.maxrefs * sizeof(HeapRef));
		c.stack = palloc(c.maxstack * sizeof(uint64));

		first_pass(&c);
		check_entry(&c);
		second_pass(&c);
		check_duplicates(&c);
		check_reachable(&c);
	}

	if (locked)
		UnlockPage(c.x.index, HNSW_META_BLOCK, ExclusiveLock);
	HnswInspectClose(&c.x);
	PG_RETURN_NULL();
}
