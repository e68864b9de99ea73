/*
 * write.c
 *		The pages of a batch: records of level 0, those above, overflow pages.
 *
 * It is known beforehand where each goes, so every participant forms pages and
 * writes them through the buffer manager, in the order of the file as far as
 * there are several.  Not logged: the build logs everything when it is done.
 */
#include "postgres.h"

#include "commands/progress.h"
#include "hnsw/base/waitpoint.h"
#include "hnsw/bulk/batch.h"
#include "hnsw/bulk/team.h"
#include "hnsw/bulk/write.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/link.h"
#include "hnsw/metric/vector.h"
#include "hnsw/page/access.h"
#include "hnsw/page/index.h"
#include "hnsw/page/record.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/backend_progress.h"
#include "utils/memutils.h"

/* Pages that are one task. */
#define TASK_PAGES	32

typedef struct Writer
{
	Batch	   *b;
	PGAlignedBlock page;
	PGAlignedBlock side[HNSW_MAX_SIDE_PAGES];
} Writer;

/* Inline TIDs and those in overflow pages. */
static int64
count_tids(const Batch *b, uint32 node)
{
	int64		n = 1;

	for (uint32 i = b->nodes[node].more; i != BATCH_NONE; i = b->extra[i].next)
		n++;
	return n;
}

/* How many overflow pages a node needs. */
static BlockNumber
overflow_pages(const Batch *b, uint32 node)
{
	int64		left = b->nodes[node].more == BATCH_NONE ? 0 :
		count_tids(b, node) - b->g->lay->max_tids;

	return left <= 0 ? 0 : (BlockNumber) ((left + HNSW_OVERFLOW_TIDS - 1) / HNSW_OVERFLOW_TIDS);
}

/* Write a page that exists, with nothing on it. */
static void
write_page(Writer *w, BlockNumber blk, Page page)
{
	Buffer		buf;

	CHECK_FOR_INTERRUPTS();
	HNSW_WAIT_POINT("build-page");
	buf = ReadBufferExtended(w->b->g->rel, MAIN_FORKNUM, blk, RBM_ZERO_AND_LOCK, NULL);
	START_CRIT_SECTION();
	memcpy(BufferGetPage(buf), page, BLCKSZ);
	MarkBufferDirty(buf);
	END_CRIT_SECTION();
	UnlockReleaseBuffer(buf);
}

static void
start_page(Page page, BlockNumber blk, HnswPageKind kind)
{
	HnswPin		pin = {blk, InvalidBuffer, page};

	HnswInitPage(&pin, kind);
	memset(HnswPageGetData(page), 0, HNSW_PAGE_ROOM);
}

/* Where a record is, by its number among those of its kind. */
static void
locate(const Batch *b, BlockNumber first, uint64 number, BlockNumber *blk, uint16 *slot)
{
	const HnswLayout *lay = b->g->lay;

	*blk = first + (BlockNumber) (number / lay->per_page * (1 + lay->side_pages));
	*slot = number % lay->per_page;
}

static void
locate_member(const Batch *b, int l, uint32 member, BlockNumber *blk, uint16 *slot)
{
	if (l == 0)
		locate(b, b->shared->first0, b->places[member].position, blk, slot);
	else
		locate(b, b->shared->first_upper, b->shared->upper[l] + member, blk, slot);
}

/*
 * The TIDs of a record: of its rows at level 0, above of its records one level
 * below and at level 0.
 */
static void
put_tids(Batch *b, int l, uint32 node, HnswRecord *rec, ItemPointer tids)
{
	const int	max_tids = b->g->lay->max_tids;
	const BatchNode *x = &b->nodes[node];
	BlockNumber blk;
	uint16		slot;

	rec->overflow = InvalidBlockNumber;
	if (l == 0)
	{
		int64		total = count_tids(b, node);

		rec->ntids = Min(total, max_tids);
		tids[0] = x->tid;
		for (uint32 i = x->more, n = 1; n < rec->ntids; i = b->extra[i].next, n++)
			tids[n] = b->extra[i].tid;
		if (total > max_tids)
			rec->overflow = x->overflow;
		return;
	}
	rec->ntids = 2;
	locate_member(b, l - 1, HnswBatchMember(&b->levels[l - 1], node), &blk, &slot);
	ItemPointerSet(&tids[0], blk, slot);
	locate_member(b, 0, node, &blk, &slot);
	ItemPointerSet(&tids[1], blk, slot);
}

/* The links of a member in its record, which has the rest already. */
static void
put_links(Batch *b, int l, uint32 member, char *record)
{
	HnswIndex  *g = b->g;
	HnswScratch *s = g->scratch;
	const BatchLevel *level = &b->levels[l];
	const BatchLink *links = level->links + (Size) member * level->width;
	uint32		node = batch_node(level, member);

	if (g->lay->sketch == HNSW_SKETCH_BITS)
		HnswOwnDecode(&g->space, batch_own(b, node), b->nodes[node].scale, b->nodes[node].offset, s->fa);
	for (int i = 0; i < level->nlinks[member]; i++)
	{
		uint32		to = BatchLinkMember(links[i]);
		uint32		other = batch_node(level, to);
		HnswLink	link = {.edge = batch_link_dist(links[i]),.code = s->code};

		if (g->lay->sketch != HNSW_SKETCH_NONE)
			HnswOwnDecode(&g->space, batch_own(b, other), b->nodes[other].scale,
						  b->nodes[other].offset, s->fb);
		HnswLinkForm(&g->space, s->fa, s->fb, &link);
		locate_member(b, l, to, &link.blk, &link.slotflags);
		if (links[i] & BATCH_TREE)
			link.slotflags |= HNSW_LINK_TREE;
		if (links[i] & BATCH_PRUNED)
			link.slotflags |= HNSW_LINK_PRUNED;
		HnswLinkPut(g, record, i, &link);
	}
}

/* The record of a member; side: where its own vector is if it is in side pages. */
static void
put_record(Batch *b, int l, uint32 member, char *record, char *side)
{
	const HnswLayout *lay = b->g->lay;
	uint32		node = batch_node(&b->levels[l], member);
	const BatchNode *x = &b->nodes[node];
	HnswRecord *rec = (HnswRecord *) record;

	rec->state = HNSW_LIVE;
	rec->level = l;
	rec->nlinks = b->levels[l].nlinks[member];
	rec->head = x->head;
	put_tids(b, l, node, rec, HnswNodeTids(lay, record));
	memcpy(lay->own_side ? side : record + lay->off_own, batch_own(b, node), lay->own_bytes);
	put_links(b, l, member, record);
}

/*
 * Which node is at each position of level 0.  Where a page holds several,
 * the first that is left, in the order of the partition, and the nearest of
 * its neighbours that are left share one.
 */
static void
place_nodes(Batch *b)
{
	const BatchLevel *level = &b->levels[0];
	const int	per_page = b->g->lay->per_page;
	uint32		n = 0;

	for (uint32 i = 0; i < level->n; i++)
		b->places[i].position = BATCH_NONE;
	for (uint32 i = 0; i < level->n; i++)
	{
		const BatchLink *links = level->links + (Size) i * level->width;

		CHECK_FOR_INTERRUPTS();
		if (b->places[i].position != BATCH_NONE)
			continue;
		b->places[i].position = n;
		b->places[n++].node = i;
		for (int j = 0; j < level->nlinks[i] && n % per_page != 0; j++)
		{
			uint32		to = BatchLinkMember(links[j]);

			if (b->places[to].position != BATCH_NONE)
				continue;
			b->places[to].position = n;
			b->places[n++].node = to;
		}
	}
}

/* The leader: which pages there will be.  Errors: too many. */
void
HnswBatchPlan(Batch *b)
{
	BatchShared *sh = b->shared;
	const HnswLayout *lay = b->g->lay;
	uint64		pages = RelationGetNumberOfBlocks(b->g->rel);
	uint64		npages = 0;

	sh->first0 = (BlockNumber) pages;
	pages += ((uint64) sh->n + lay->per_page - 1) / lay->per_page * (1 + lay->side_pages);
	sh->first_upper = (BlockNumber) pages;
	sh->upper[1] = 0;
	for (int l = 1; l <= sh->top; l++)
		sh->upper[l + 1] = sh->upper[l] + b->levels[l].n;
	if (sh->top > 0)
		pages += (sh->upper[sh->top + 1] + lay->per_page - 1) / lay->per_page * (1 + lay->side_pages);
	sh->first_overflow = (BlockNumber) pages;
	for (uint32 i = 0; i < sh->n && sh->nextra > 0; i++)
	{
		CHECK_FOR_INTERRUPTS();
		npages += overflow_pages(b, i);
	}
	pages += npages;
	if (pages > MaxBlockNumber)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("index \"%s\" would have too many pages", RelationGetRelationName(b->g->rel))));
	sh->end = (BlockNumber) pages;
}

/* The leader: where each node's overflow pages begin, in the order of nodes. */
static void
plan_overflow(Batch *b)
{
	BatchShared *sh = b->shared;
	BlockNumber next = sh->first_overflow;

	for (uint32 p = 0; p < sh->n; p++)
	{
		uint32		node = b->places[p].node;

		CHECK_FOR_INTERRUPTS();
		b->nodes[node].overflow = next;
		if (sh->nextra > 0)
			next += overflow_pages(b, node);
	}
}

/* Write the overflow pages of a node with many equal rows. */
static void
write_overflow(Writer *w, uint32 node)
{
	Batch	   *b = w->b;
	const int	inline_tids = b->g->lay->max_tids;
	BlockNumber at = b->nodes[node].overflow;
	uint32		next = b->nodes[node].more;
	int64		left = count_tids(b, node) - inline_tids;
	BlockNumber blk;
	uint16		slot;

	for (int i = 1; i < inline_tids; i++)
		next = b->extra[next].next;
	locate_member(b, 0, node, &blk, &slot);
	while (left > 0)
	{
		Page		page = (Page) w->page.data;
		HnswOverflow *o;
		/* the first page of a chain is the one with room */
		int			n = left % HNSW_OVERFLOW_TIDS;

		if (n == 0)
			n = HNSW_OVERFLOW_TIDS;
		start_page(page, at, HNSW_PAGE_OVERFLOW);
		o = HnswPageGetOverflow(page);
		ItemPointerSet(&o->owner, blk, slot);
		o->ntids = n;
		for (int i = 0; i < n; i++, next = b->extra[next].next)
			HnswOverflowTids(o)[i] = b->extra[next].tid;
		left -= n;
		o->next = left > 0 ? at + 1 : InvalidBlockNumber;
		((PageHeader) page)->pd_lower = HNSW_PAGE_DATA + sizeof(HnswOverflow) + n * sizeof(ItemPointerData);
		HnswExtendTo(b->g, at + 1);
		write_page(w, at++, page);
	}
}

/* The member with a number among the records above level 0, and its level. */
static int
upper_member(const Batch *b, uint64 number, uint32 *member)
{
	int			l = 1;

	while (number >= b->shared->upper[l + 1])
		l++;
	*member = (uint32) (number - b->shared->upper[l]);
	return l;
}

/* Write the page, and its side pages, that begins with a record of a number. */
static void
write_records(Writer *w, bool upper, uint64 number, uint64 nrecords)
{
	Batch	   *b = w->b;
	const HnswLayout *lay = b->g->lay;
	Page		page = (Page) w->page.data;
	int			n = (int) Min((uint64) lay->per_page, nrecords - number);
	BlockNumber blk;
	uint16		slot;

	locate(b, upper ? b->shared->first_upper : b->shared->first0, number, &blk, &slot);
	Assert(slot == 0);
	start_page(page, blk, upper ? HNSW_PAGE_UPPER : HNSW_PAGE_NODE);
	for (int i = 0; i < lay->side_pages; i++)
	{
		start_page((Page) w->side[i].data, blk + 1 + i, HNSW_PAGE_SIDE);
		HnswPageGetHeader(w->side[i].data)->nslots = i + 1;
		((PageHeader) w->side[i].data)->pd_lower = BLCKSZ;
	}
	for (int i = 0; i < n; i++)
	{
		char	   *own = b->g->scratch->side;
		Size		first = (Size) i * lay->own_bytes;
		uint32		member;
		int			l = 0;

		if (upper)
			l = upper_member(b, number + i, &member);
		else
			member = b->places[number + i].node;
		put_record(b, l, member, (char *) page + HnswSlotOffset(lay, i), own);
		for (Size done = 0; lay->own_side && done < (Size) lay->own_bytes;)
		{
			Size		pos = first + done;
			Size		len = Min(HNSW_PAGE_ROOM - pos % HNSW_PAGE_ROOM, lay->own_bytes - done);

			memcpy(HnswPageGetData(w->side[pos / HNSW_PAGE_ROOM].data) + pos % HNSW_PAGE_ROOM,
				   own + done, len);
			done += len;
		}
	}
	HnswPageGetHeader(page)->nslots = n;
	((PageHeader) page)->pd_lower = HnswSlotOffset(lay, n);
	write_page(w, blk, page);
	for (int i = 0; i < lay->side_pages; i++)
		write_page(w, blk + 1 + i, (Page) w->side[i].data);
	if (!upper && b->shared->nextra > 0)
		for (int i = 0; i < n; i++)
			if (overflow_pages(b, b->places[number + i].node) > 0)
				write_overflow(w, b->places[number + i].node);
}

/* Every participant: write pages until there are none left. */
static void
write_pages(Writer *w)
{
	Batch	   *b = w->b;
	BatchShared *sh = b->shared;
	const uint64 step = (uint64) TASK_PAGES * b->g->lay->per_page;
	const uint64 nupper = sh->top > 0 ? sh->upper[sh->top + 1] : 0;
	const uint64 tasks0 = (sh->n + step - 1) / step;
	uint64		task;

	while ((task = HnswTeamTask(b->team)) < tasks0 + (nupper + step - 1) / step)
	{
		bool		upper = task >= tasks0;
		uint64		nrecords = upper ? nupper : sh->n;
		uint64		from = (upper ? task - tasks0 : task) * step;
		BlockNumber last;
		uint16		slot;

		/*
		 * Whoever comes first adds the pages up to the end of its own.  While
		 * it does, the others form records.
		 */
		locate(b, upper ? sh->first_upper : sh->first0, Min(from + step, nrecords) - 1, &last, &slot);
		HnswExtendTo(b->g, last + 1 + b->g->lay->side_pages);
		for (uint64 i = from; i < Min(from + step, nrecords); i += b->g->lay->per_page)
			write_records(w, upper, i, nrecords);
		if (HnswTeamLeader(b->team))
			pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_DONE,
										 Min((task + 1) * TASK_PAGES * (1 + b->g->lay->side_pages), sh->end));
	}
}

/* Set root, entry point and the page for further upper records. */
static void
write_meta(Batch *b)
{
	BatchShared *sh = b->shared;
	HnswIndex  *g = b->g;
	const HnswLayout *lay = g->lay;
	HnswWrite  *write = &g->scratch->write;
	HnswMetaPage meta;
	HnswPin		pin;
	BlockNumber blk;
	uint16		slot;

	/* later rows begin on the last pages, if these have room */
	if (sh->n % lay->per_page != 0)
		g->target = sh->first_upper - 1 - lay->side_pages;
	if (sh->top > 0 && sh->upper[sh->top + 1] % lay->per_page != 0)
		g->upper_target = sh->first_overflow - 1 - lay->side_pages;
	HnswAcquire(g, HNSW_META_BLOCK, BUFFER_LOCK_EXCLUSIVE, &pin);
	meta = *HnswPageGetMeta(pin.page);
	locate_member(b, 0, sh->entry, &blk, &slot);
	ItemPointerSet(&meta.root, blk, slot);
	locate_member(b, sh->top, HnswBatchMember(&b->levels[sh->top], sh->entry), &blk, &slot);
	ItemPointerSet(&meta.entry, blk, slot);
	meta.entry_level = sh->top;
	meta.centre_set = 1;
	meta.upper_target = g->upper_target;
	HnswWriteBegin(g, write);
	HnswWriteAdd(write, &pin, false);
	HnswWriteBytes(write, 0, HNSW_PAGE_DATA, &meta, sizeof(meta));
	HnswWriteEnd(write);
	HnswRelease(g, &pin);
	g->centre_set = true;
}

/*
 * Write all pages of the batch, planned before, and the metapage.  All
 * participants.
 */
void
HnswBatchWrite(Batch *b)
{
	Team	   *team = b->team;
	BatchShared *sh = b->shared;
	Writer	   *w = MemoryContextAlloc(b->cxt, sizeof(Writer));

	w->b = b;
	if (HnswTeamLeader(team))
	{
		place_nodes(b);
		plan_overflow(b);
		pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, HNSW_PROGRESS_WRITE);
		pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_TOTAL, sh->end);
		pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_DONE, 0);
	}
	HNSW_WAIT_POINT("build-write");
	(void) HnswTeamSync(team);
	write_pages(w);
	(void) HnswTeamSync(team);
	if (!HnswTeamLeader(team))
		return;
	pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_DONE, sh->end);
	HNSW_WAIT_POINT("build-meta");
	write_meta(b);
}
