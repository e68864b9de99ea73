/*
 * stale.c
 *		What VACUUM has still to do in an index: rows that are dead, and lists that lead to
 *		nodes without any other.
 *
 * The only inspection that reads the table: its visibility map, and of pages that are not all visible
 * where the index's heap TIDs lead.  Nothing read from a page is believed (info.c).
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/tableam.h"
#include "access/visibilitymap.h"
#include "hnsw/am/info.h"
#include "hnsw/base/bitmap.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/* So many rows are looked at together, in the order of the table: 16 MB. */
#define MAX_REFS	((int) 1024 * 1024)

/* A row whose page may have dead ones, and the node that leads to it. */
typedef struct RowRef
{
	ItemPointerData tid;
	uint64		node;
} RowRef;

typedef struct StaleState
{
	HnswInspect *x;
	uint64	   *alive;			/* nodes of level 0 with a row that is not dead to all */
	RowRef	   *refs;
	int			nrefs;
	int			maxrefs;
	bool		have_map;		/* the table has a visibility map */
	Buffer		map;
	BlockNumber heap_blocks;
	IndexFetchTableData *fetch;
	TupleTableSlot *slot;
	SnapshotData dirty;			/* takes no predicate locks */
	HnswStale  *out;
} StaleState;

/* The number of a slot. */
static inline uint64
node_number(const StaleState *st, BlockNumber blk, uint16 slot)
{
	return (uint64) blk * st->x->lay.per_page + slot;
}

/* ---- rows ---- */

static int
cmp_ref(const void *a, const void *b)
{
	ItemPointerData x = ((const RowRef *) a)->tid;
	ItemPointerData y = ((const RowRef *) b)->tid;

	return ItemPointerCompare(&x, &y);
}

/* Is a row dead to all? */
static bool
is_dead(StaleState *st, ItemPointerData tid)
{
	bool		again = false;
	bool		all_dead = false;

	if (table_index_fetch_tuple(st->fetch, &tid, &st->dirty, st->slot, &again, &all_dead))
		return false;
	return all_dead;
}

/* Look at the rows that have been gathered. */
static void
look_at_rows(StaleState *st)
{
	qsort(st->refs, st->nrefs, sizeof(RowRef), cmp_ref);
	for (int i = 0; i < st->nrefs; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (is_dead(st, st->refs[i].tid))
			st->out->dead_rows++;
		else
			(void) HnswBitmapSet(st->alive, st->refs[i].node);
	}
	ExecClearTuple(st->slot);
	st->nrefs = 0;
}

/* A node leads to a row: at once, where its page has no dead ones, or does not exist. */
static void
add_row(StaleState *st, uint64 node, const ItemPointerData *tid)
{
	BlockNumber blk = ItemPointerGetBlockNumberNoCheck(tid);

	if (!ItemPointerIsValid(tid) || blk >= st->heap_blocks ||
		(st->have_map && (visibilitymap_get_status(st->x->heap, blk, &st->map) & VISIBILITYMAP_ALL_VISIBLE)))
	{
		(void) HnswBitmapSet(st->alive, node);
		return;
	}
	if (st->nrefs == st->maxrefs)
	{
		st->maxrefs = Min(st->maxrefs * 2, MAX_REFS);
		st->refs = repalloc(st->refs, st->maxrefs * sizeof(RowRef));
	}
	st->refs[st->nrefs++] = (RowRef) {.tid = *tid, .node = node};
	if (st->nrefs == MAX_REFS)
		look_at_rows(st);
}

/* ---- pages ---- */

typedef void (*PageAction) (StaleState *st, BlockNumber blk, const HnswPageHeader *header);

/* Copies of all pages that are ours, after the metapage. */
static void
for_pages(StaleState *st, PageAction act)
{
	HnswInspect *x = st->x;

	for (BlockNumber blk = HNSW_META_BLOCK + 1; blk < x->nblocks; blk++)
	{
		const HnswPageHeader *header = HnswInspectPage(x, blk);

		if (header != NULL)
			act(st, blk, header);
	}
}

/* A PageAction: the rows of its nodes, or of the node that an overflow page belongs to. */
static void
read_rows(StaleState *st, BlockNumber blk, const HnswPageHeader *header)
{
	const HnswLayout *lay = &st->x->lay;
	const int	nslots = HnswInspectSlots(st->x);
	char	   *page = st->x->page;

	if (header->kind == HNSW_PAGE_OVERFLOW)
	{
		HnswOverflow *o = HnswPageGetOverflow(page);
		BlockNumber owner = HnswLinkBlock(&o->owner);
		uint16		slot = HnswLinkSlot(&o->owner);

		for (int i = 0; owner < st->x->nblocks && slot < lay->per_page && i < Min(o->ntids, (int) HNSW_OVERFLOW_TIDS); i++)
			add_row(st, node_number(st, owner, slot), &HnswOverflowTids(o)[i]);
	}
	for (int slot = 0; slot < nslots; slot++)
	{
		const char *node = page + HnswSlotOffset(lay, slot);
		const HnswRecord *rec = (const HnswRecord *) node;

		for (int i = 0; rec->state == HNSW_LIVE && i < Min(rec->ntids, lay->max_tids); i++)
			add_row(st, node_number(st, blk, slot), &HnswNodeTids(lay, node)[i]);
	}
}

/* A PageAction: the lists of its live nodes. */
static void
read_links(StaleState *st, BlockNumber blk, const HnswPageHeader *header)
{
	const HnswLayout *lay = &st->x->lay;
	const int	nslots = HnswInspectSlots(st->x);

	for (int slot = 0; slot < nslots; slot++)
	{
		const char *node = st->x->page + HnswSlotOffset(lay, slot);
		const HnswRecord *rec = (const HnswRecord *) node;

		for (int i = 0; rec->state == HNSW_LIVE && i < Min(rec->nlinks, lay->fanout); i++)
		{
			const ItemPointerData *link = &HnswNodeLinks(lay, node)[i];
			BlockNumber to = HnswLinkBlock(link);

			st->out->links++;
			/* a page that has come since is nobody's that is dead */
			if (to < st->x->nblocks && HnswLinkSlot(link) < lay->per_page &&
				!HnswBitmapTest(st->alive, node_number(st, to, HnswLinkSlot(link))))
				st->out->stale_links++;
		}
	}
}

/*
 * Count what is dead in an index opened for inspection, whose metapage has been read.  Reads all of it
 * twice, and takes no locks but those of one page at a time: others may write meanwhile, and
 * numbers are of no single moment.
 */
void
HnswCountStale(HnswInspect *x, HnswStale *stale)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "hnsw stale", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	StaleState	st = {.x = x,.out = stale,.map = InvalidBuffer,.maxrefs = 1024};

	memset(stale, 0, sizeof(*stale));
	st.alive = HnswBitmapMake((uint64) x->nblocks * x->lay.per_page);
	st.refs = palloc(st.maxrefs * sizeof(RowRef));
	st.have_map = x->heap->rd_tableam == GetHeapamTableAmRoutine();
	st.heap_blocks = RelationGetNumberOfBlocks(x->heap);
	st.slot = table_slot_create(x->heap, NULL);
	st.fetch = table_index_fetch_begin(x->heap);
	InitDirtySnapshot(st.dirty);
	for_pages(&st, read_rows);
	look_at_rows(&st);
	table_index_fetch_end(st.fetch);
	ExecDropSingleTupleTableSlot(st.slot);
	if (BufferIsValid(st.map))
		ReleaseBuffer(st.map);
	for_pages(&st, read_links);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
}
