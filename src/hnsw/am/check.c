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
#include "hnsw/am/check.h"
#include "hnsw/am/info.h"
#include "hnsw/base/bitmap.h"
#include "hnsw/graph/search.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/page/meta.h"
#include "miscadmin.h"
#include "simd/vx_simd.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(vectorx_hnsw_check);

#define CENTRE_PER_PAGE ((int) (HNSW_PAGE_ROOM / sizeof(float4)))

/* ---- reporting ---- */

/* One row of the result; blk and slot may be NO_BLOCK and NO_POS. */
void
HnswProblem(Check *c, int64 blk, int slot, const char *fmt, ...)
{
	Datum		values[3];
	bool		nulls[3] = { blk < 0, slot < 0, false };
	char		text[256];
	va_list		args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	values[0] = Int64GetDatum(blk);
	values[1] = Int32GetDatum(slot);
	values[2] = CStringGetTextDatum(text);
	tuplestore_putvalues(c->out->setResult, c->out->setDesc, values, nulls);
	pfree(DatumGetPointer(values[2]));
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
		HnswProblem(c, NO_BLOCK, NO_POS, "the index has no pages");
		return false;
	}
	HnswInspectRead(&c->x, HNSW_META_BLOCK, c->x.page, NULL);
	*meta = *HnswPageGetMeta(c->x.page);
	if (PageIsNew((Page) c->x.page) || header->kind != HNSW_PAGE_META ||
		header->magic != HNSW_MAGIC || meta->magic != HNSW_MAGIC)
	{
		HnswProblem(c, HNSW_META_BLOCK, NO_POS, "not a metapage");
		return false;
	}
	if (!HnswVersionIsRead(meta))
	{
		HnswProblem(c, HNSW_META_BLOCK, NO_POS, "format version %u is not one of %u to %u",
				meta->version, HNSW_OLDEST_VERSION, HNSW_VERSION);
		return false;
	}
	if (!HnswLayoutFromMeta(meta, &c->x.lay))
	{
		HnswProblem(c, HNSW_META_BLOCK, NO_POS, "the metapage describes no possible layout");
		return false;
	}
	/* a column that has lost its length leaves the index its own */
	if (HnswColumnDim(c->x.index) >= 1 && c->x.lay.column_dim != HnswColumnDim(c->x.index))
		HnswProblem(c, HNSW_META_BLOCK, NO_POS, "%d dimensions, but the column has %d",
				c->x.lay.column_dim, HnswColumnDim(c->x.index));
	if (meta->metric != c->metric->number)
		HnswProblem(c, HNSW_META_BLOCK, NO_POS, "metric %u, but that of the operator class is %d",
				meta->metric, c->metric->number);
	if (meta->type != c->type->number)
		HnswProblem(c, HNSW_META_BLOCK, NO_POS, "type %u, but that of the operator class is %d",
				meta->type, c->type->number);
	if (meta->ncentre != HnswCentrePages(meta))
	{
		HnswProblem(c, HNSW_META_BLOCK, NO_POS, "%u centre pages do not fit %u dimensions and metric %u",
				meta->ncentre, meta->dim, meta->metric);
		return false;
	}
	if (meta->ncentre >= c->x.nblocks)
	{
		HnswProblem(c, HNSW_META_BLOCK, NO_POS, "%u centre pages in an index of %u pages",
				meta->ncentre, c->x.nblocks);
		return false;
	}
	if (meta->entry_level > HNSW_MAX_LEVEL)
		HnswProblem(c, HNSW_META_BLOCK, NO_POS, "entry level %u is above %d",
				meta->entry_level, HNSW_MAX_LEVEL);
	if (meta->centre_set > 1)
		HnswProblem(c, HNSW_META_BLOCK, NO_POS, "centre_set is %u", meta->centre_set);
	if (!meta->centre_set && HnswTidIsSet(&meta->root))
		HnswProblem(c, HNSW_META_BLOCK, NO_POS, "the root is set and the centre is not");
	if (meta->npending > HNSW_MAX_PENDING_PAGES)
	{
		HnswProblem(c, HNSW_META_BLOCK, NO_POS, "%u pending pages of at most %d",
				meta->npending, HNSW_MAX_PENDING_PAGES);
		return false;
	}
	return true;
}

static void
check_centre(Check *c, BlockNumber blk)
{
	int			from = (blk - HNSW_META_BLOCK - 1) * CENTRE_PER_PAGE;
	int			n = Min(CENTRE_PER_PAGE, c->x.lay.dim - from);
	const float *x = (const float *) HnswPageGetData(c->x.page);

	for (int i = 0; i < n; i++)
		if (!isfinite(x[i]))
		{
			HnswProblem(c, blk, NO_POS, "element %d of the centre is not finite", from + i);
			return;
		}
	if (!isfinite(vx_simd->sumsq(x, n)))
		HnswProblem(c, blk, NO_POS, "the centre is too far");
}

/* Root and entry point, once the slots are known. */
static void
check_entry(Check *c)
{
	HnswCandidate at;
	SlotNote	note;
	bool		entry = HnswTidIsSet(&c->x.meta.entry);
	bool		root = HnswTidIsSet(&c->x.meta.root);
	HnswMetaPage *now = HnswPageGetMeta(c->x.page);

	/* VACUUM may have moved them since the metapage was read */
	HnswInspectRead(&c->x, HNSW_META_BLOCK, c->x.page, NULL);
	if (!HnswTidEqual(&now->root, &c->x.meta.root) ||
		!HnswTidEqual(&now->entry, &c->x.meta.entry))
		return;
	if (entry != root)
		HnswProblem(c, HNSW_META_BLOCK, NO_POS, "%s is set and %s is not",
				entry ? "the entry point" : "the root", entry ? "the root" : "the entry point");
	if (root)
	{
		HnswTidGet(&c->x.meta.root, &at);
		note = note_of(c, at.blk, at.slot);
		if (note.state == NO_SLOT || note.state == HNSW_FREE || note.level != 0)
			HnswProblem(c, HNSW_META_BLOCK, NO_POS, "the root, block %u slot %u, is not a record of level 0",
					at.blk, at.slot);
	}
	if (entry)
	{
		HnswTidGet(&c->x.meta.entry, &at);
		note = note_of(c, at.blk, at.slot);
		if (note.state == NO_SLOT || note.state == HNSW_FREE ||
			note.level != c->x.meta.entry_level)
			HnswProblem(c, HNSW_META_BLOCK, NO_POS, "the entry point, block %u slot %u, is not a record of level %u",
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
			/* what came later reads as zero */
			return HNSW_PAGE_DATA + offsetof(HnswMetaPage, calibration);
		case HNSW_PAGE_CENTRE:
		case HNSW_PAGE_SIDE:
			return BLCKSZ;
		case HNSW_PAGE_NODE:
		case HNSW_PAGE_UPPER:
		case HNSW_PAGE_PENDING:
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
	PageHeader	core = (PageHeader) c->x.page;
	HnswPageHeader *header = HnswPageGetHeader(c->x.page);
	bool		fixed = blk <= c->x.meta.ncentre;

	if (PageIsNew((Page) c->x.page))
	{
		if (!fixed)
			return PAGE_NEW;
		HnswProblem(c, blk, NO_POS, "the page is not initialised");
		return PAGE_BAD;
	}
	if (header->magic != HNSW_MAGIC)
	{
		HnswProblem(c, blk, NO_POS, "not a page of an hnsw index");
		return PAGE_BAD;
	}
	if (header->kind < HNSW_PAGE_META || header->kind > HNSW_LAST_PAGE_KIND)
	{
		HnswProblem(c, blk, NO_POS, "page kind %u is not known", header->kind);
		return PAGE_BAD;
	}
	if (fixed != (header->kind == HNSW_PAGE_META || header->kind == HNSW_PAGE_CENTRE) ||
		(header->kind == HNSW_PAGE_META) != (blk == HNSW_META_BLOCK))
	{
		HnswProblem(c, blk, NO_POS, "page kind %u is out of place", header->kind);
		return PAGE_BAD;
	}
	if ((is_node_page(header->kind) || header->kind == HNSW_PAGE_PENDING) &&
		header->nslots > c->x.lay.per_page)
	{
		HnswProblem(c, blk, NO_POS, "%u slots on a page that has room for %d",
				header->nslots, c->x.lay.per_page);
		return PAGE_BAD;
	}
	if (header->kind == HNSW_PAGE_OVERFLOW &&
		HnswPageGetOverflow(c->x.page)->ntids > HNSW_OVERFLOW_TIDS)
	{
		HnswProblem(c, blk, NO_POS, "%u heap TIDs on an overflow page that has room for %d",
				HnswPageGetOverflow(c->x.page)->ntids, (int) HNSW_OVERFLOW_TIDS);
		return PAGE_BAD;
	}
	if (header->kind == HNSW_PAGE_SIDE &&
		(header->nslots < 1 || header->nslots > c->x.lay.side_pages ||
		 blk <= header->nslots + c->x.meta.ncentre))
	{
		HnswProblem(c, blk, NO_POS, "a side page at position %u behind its node page, which has %d",
				header->nslots, c->x.lay.side_pages);
		return PAGE_BAD;
	}
	if (core->pd_lower < least_lower(c, header) || core->pd_lower > core->pd_upper ||
		core->pd_upper > core->pd_special || core->pd_special > BLCKSZ)
		HnswProblem(c, blk, NO_POS, "the page's bounds are wrong: lower %u, upper %u, special %u",
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
		SlotNote   *note = &c->slots[slot_id(c, blk, slot)];

		if (rec->state > HNSW_DEAD)
		{
			HnswProblem(c, blk, slot, "state %u is not known", rec->state);
			continue;
		}
		if (rec->state != HNSW_FREE &&
			(rec->level > HNSW_MAX_LEVEL || (rec->level == 0) != (kind == HNSW_PAGE_NODE)))
		{
			HnswProblem(c, blk, slot, "a record of level %u on a page of %s", rec->level,
					kind == HNSW_PAGE_NODE ? "level 0" : "higher levels");
			continue;
		}
		if (rec->state != HNSW_FREE &&
			(rec->nlinks > c->x.lay.fanout || rec->ntids > c->x.lay.max_tids))
		{
			HnswProblem(c, blk, slot, "%u links of at most %d, %u TIDs of at most %d",
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
		uint8		kind;

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

/* ---- reachability ---- */

/* Let the walk come to a record of level 0, if there is one. */
static void
push_slot(Check *c, BlockNumber blk, uint16 slot)
{
	SlotNote	note = note_of(c, blk, slot);

	if (note.state == NO_SLOT || note.state == HNSW_FREE || note.level != 0 ||
		HnswBitmapSet(c->reached, slot_id(c, blk, slot)))
		return;
	if (c->nstack == c->maxstack)
	{
		c->maxstack *= 2;
		c->stack = repalloc_huge(c->stack, c->maxstack * sizeof(uint64));
	}
	c->stack[c->nstack++] = slot_id(c, blk, slot);
}

/* What a pending page, a copy of which is in hand, lists: the walk comes to it. */
static void
push_listed(Check *c, BlockNumber blk, bool report)
{
	HnswPageHeader *header = HnswPageGetHeader(c->x.page);

	for (int slot = 0; slot < Min(header->nslots, c->x.lay.per_page); slot++)
	{
		const HnswRecord *bundle = record_at(c, slot);
		int			nlinks = Min(bundle->nlinks, c->x.lay.fanout);

		if (report)
			HnswCheckBundle(c, blk, slot, bundle);
		for (int i = 0; i < nlinks; i++)
		{
			const ItemPointerData *link = &HnswNodeLinks(&c->x.lay, (const char *) bundle)[i];

			push_slot(c, HnswLinkBlock(link), HnswLinkSlot(link));
		}
	}
}

/*
 * Pending pages: those that the metapage names and no others.  What they list is where the
 * walk begins; they are read after the nodes, so that what was listed then either is, or has
 * been linked before the walk.
 */
static void
walk_from_pending(Check *c, bool report)
{
	HnswMetaPage *now = palloc(sizeof(HnswMetaPage));
	uint64	   *named = HnswBitmapMake(c->x.nblocks);

	HnswInspectReadPart(&c->x, HNSW_META_BLOCK, HNSW_PAGE_DATA, sizeof(HnswMetaPage), (char *) now, NULL);
	for (int i = 0; i < Min(now->npending, HNSW_MAX_PENDING_PAGES); i++)
	{
		BlockNumber blk = now->pending[i];

		/* on a standby one may be added meanwhile */
		if (i >= c->x.meta.npending && (blk >= c->x.nblocks || c->kinds[blk] != HNSW_PAGE_PENDING))
			continue;
		if (blk >= c->x.nblocks || c->kinds[blk] != HNSW_PAGE_PENDING || HnswBitmapSet(named, blk))
		{
			if (report)
				HnswProblem(c, HNSW_META_BLOCK, NO_POS, "pending page %d, block %u, is none, or named twice", i, blk);
			continue;
		}
		HnswInspectRead(&c->x, blk, c->x.page, NULL);
		push_listed(c, blk, report);
	}
	for (BlockNumber blk = 0; report && blk < c->x.nblocks; blk++)
		if (c->kinds[blk] == HNSW_PAGE_PENDING && !HnswBitmapTest(named, blk))
			HnswProblem(c, blk, NO_POS, "a pending page that the metapage does not name");
	pfree(now);
	pfree(named);
}

/* Walk level 0 from what is on the stack, over the links that have "flags". */
static void
walk(Check *c, uint16 flags)
{
	while (c->nstack > 0)
	{
		uint64		id = c->stack[--c->nstack];
		BlockNumber	blk = id / c->x.lay.per_page;
		uint16		slot = id % c->x.lay.per_page;
		const HnswRecord *rec = (const HnswRecord *) c->links;

		CHECK_FOR_INTERRUPTS();
		HnswInspectReadPart(&c->x, blk, HnswSlotOffset(&c->x.lay, slot), c->x.lay.off_edges,
							c->links, NULL);
		if (rec->state == HNSW_FREE || rec->level != 0)
			continue;
		for (int i = 0; i < Min(rec->nlinks, c->x.lay.fanout); i++)
		{
			const ItemPointerData *link = &HnswNodeLinks(&c->x.lay, c->links)[i];

			if ((HnswLinkFlags(link) & flags) == flags)
				push_slot(c, HnswLinkBlock(link), HnswLinkSlot(link));
		}
	}
}

/* Report the live nodes the walk has not come to. */
static int64
report_unreached(Check *c, const char *what)
{
	int64		n = 0;

	for (BlockNumber blk = 0; blk < c->x.nblocks; blk++)
	{
		if (c->kinds[blk] != HNSW_PAGE_NODE)
			continue;
		for (int slot = 0; slot < c->x.lay.per_page; slot++)
		{
			uint64		id = slot_id(c, blk, slot);

			if (c->slots[id].state != HNSW_LIVE || HnswBitmapTest(c->reached, id))
				continue;
			HnswProblem(c, blk, slot, "%s", what);
			n++;
		}
	}
	return n;
}

/*
 * Every live node must be reachable from the root, or what pending pages list, over tree
 * links alone, and then it is over all links; these are walked only to tell what is worse.
 */
static void
check_reachable(Check *c)
{
	HnswCandidate at;

	if (HnswTidIsSet(&c->x.meta.root))
	{
		HnswTidGet(&c->x.meta.root, &at);
		push_slot(c, at.blk, at.slot);
	}
	walk_from_pending(c, true);
	walk(c, HNSW_LINK_TREE);
	if (report_unreached(c, "a live node is not reachable over tree links") == 0)
		return;

	HnswBitmapClear(c->reached, (uint64) c->x.nblocks * c->x.lay.per_page);
	walk_from_pending(c, false);
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
	Check		c;
	Oid			relid = PG_GETARG_OID(0);
	bool		locked;

	memset(&c, 0, sizeof(c));
	HnswInspectOpen(&c.x, relid, true);
	InitMaterializedSRF(fcinfo, 0);
	c.out = (ReturnSetInfo *) fcinfo->resultinfo;
	/* reads catalogs, whose locks are not to be waited for under the one that follows */
	c.metric = HnswIndexClass(c.x.index, &c.type);

	/* the lock inserts hold in share mode; see the head of this file */
	locked = !RecoveryInProgress();
	if (locked)
		LockPage(c.x.index, HNSW_META_BLOCK, ExclusiveLock);
	c.x.nblocks = RelationGetNumberOfBlocks(c.x.index);

	if (check_meta(&c))
	{
		Size		nslots = (Size) c.x.nblocks * c.x.lay.per_page;

		c.other = palloc(BLCKSZ);
		c.vectors.lay = c.x.lay;
		c.vectors.work[0] = palloc(c.x.lay.dim * sizeof(float));
		c.vectors.work[1] = palloc(c.x.lay.dim * sizeof(float));
		c.own = palloc(c.x.lay.own_bytes);
		c.links = palloc(c.x.lay.off_edges);
		c.neighbour = palloc(c.x.lay.off_links);
		c.neighbour_own = palloc(c.x.lay.own_bytes);
		c.decoded = palloc(c.x.lay.dim * sizeof(float));
		c.kinds = palloc_extended(c.x.nblocks, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
		c.slots = palloc_extended(nslots * sizeof(SlotNote), MCXT_ALLOC_HUGE);
		memset(c.slots, NO_SLOT, nslots * sizeof(SlotNote));
		c.chained = HnswBitmapMake(c.x.nblocks);
		c.reached = HnswBitmapMake(nslots);
		c.maxrefs = c.maxstack = 1024;
		c.refs = palloc(c.maxrefs * sizeof(HeapRef));
		c.stack = palloc(c.maxstack * sizeof(uint64));

		first_pass(&c);
		check_entry(&c);
		HnswCheckRecords(&c);
		HnswCheckDuplicates(&c);
		check_reachable(&c);
	}

	if (locked)
		UnlockPage(c.x.index, HNSW_META_BLOCK, ExclusiveLock);
	HnswInspectClose(&c.x);
	PG_RETURN_NULL();
}
