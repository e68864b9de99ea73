/*
 * bulk_write.c
 *		The pages of a batch: records of level 0, those above, overflow pages.
 *
 * Written in order at the end of the index, through the buffer manager and
 * not logged: the build logs everything when it is done.
 */
#include "postgres.h"

#include "hnsw/bulk.h"
#include "hnsw/waitpoint.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"

typedef struct Writer
{
	Bulk	   *b;
	uint32	   *position;		/* of each node among the records of level 0 */
	BlockNumber next;			/* block of the next page */
	BlockNumber first0;			/* first page of level 0 */
	BlockNumber first_upper;
	uint64		upper[HNSW_MAX_LEVEL + 2];	/* number of the first record of each level */
	BlockNumber next_overflow;
	PGAlignedBlock page;
	PGAlignedBlock side[HNSW_MAX_SIDE_PAGES];
} Writer;

/* Inline TIDs and those in overflow pages. */
static int64
count_tids(const Bulk *b, uint32 node)
{
	int64		n = 1;

	for (uint32 i = b->nodes[node].more; i != BULK_NONE; i = b->extra[i].next)
		n++;
	return n;
}

static void
write_page(Writer *w, Page page)
{
	HnswGraph  *g = w->b->g;
	HnswPin		pin;

	CHECK_FOR_INTERRUPTS();
	HNSW_WAIT_POINT("build-page");
	HnswExtend(g, 1, &pin);
	if (pin.blk != w->next)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("index \"%s\" was extended while it was built",
						RelationGetRelationName(g->rel))));
	w->next++;
	START_CRIT_SECTION();
	memcpy(pin.page, page, BLCKSZ);
	MarkBufferDirty(pin.buf);
	END_CRIT_SECTION();
	HnswRelease(g, &pin);
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
locate(Writer *w, BlockNumber first, uint64 number, BlockNumber *blk, uint16 *slot)
{
	const HnswLayout *lay = &w->b->g->lay;

	*blk = first + (BlockNumber) (number / lay->per_page * (1 + lay->side_pages));
	*slot = number % lay->per_page;
}

static void
locate_member(Writer *w, int l, uint32 member, BlockNumber *blk, uint16 *slot)
{
	if (l == 0)
		locate(w, w->first0, w->position[member], blk, slot);
	else
		locate(w, w->first_upper, w->upper[l] + member, blk, slot);
}

/* Form the record of a member in place. */
static void
form_record(Writer *w, int l, uint32 member, char *node, char *side)
{
	Bulk	   *b = w->b;
	HnswGraph  *g = b->g;
	const HnswLayout *lay = &g->lay;
	HnswScratch *s = g->scratch;
	const BulkLevel *level = &b->levels[l];
	uint32		id = bulk_node(level, member);
	const BulkNode *x = &b->nodes[id];
	const BulkLink *links = level->links + (Size) member * level->width;
	HnswRecord *rec = (HnswRecord *) node;
	ItemPointer tids = HnswNodeTids(lay, node);
	BlockNumber blk;
	uint16		slot;

	rec->state = HNSW_LIVE;
	rec->level = l;
	rec->nlinks = level->nlinks[member];
	rec->hash = x->hash;
	rec->norm2 = x->norm2;
	rec->scale = x->scale;
	rec->offset = x->offset;
	rec->codesum = x->codesum;
	rec->overflow = InvalidBlockNumber;
	if (l == 0)
	{
		int64		total = count_tids(b, id);

		rec->ntids = Min(total, lay->max_tids);
		tids[0] = x->tid;
		for (uint32 i = x->more, n = 1; n < rec->ntids; i = b->extra[i].next, n++)
			tids[n] = b->extra[i].tid;
		if (total > lay->max_tids)
		{
			rec->overflow = w->next_overflow;
			w->next_overflow += (total - lay->max_tids + HNSW_OVERFLOW_TIDS - 1) / HNSW_OVERFLOW_TIDS;
		}
	}
	else
	{
		rec->ntids = 2;
		locate_member(w, l - 1, HnswBulkMember(&b->levels[l - 1], id), &blk, &slot);
		ItemPointerSet(&tids[0], blk, slot);
		locate_member(w, 0, id, &blk, &slot);
		ItemPointerSet(&tids[1], blk, slot);
	}
	memcpy(lay->own_side ? side : node + lay->off_own, bulk_own(b, id), lay->own_bytes);

	if (lay->sketch == HNSW_SKETCH_BITS)
		HnswOwnDecode(g, bulk_own(b, id), x->scale, x->offset, s->fa);
	for (int i = 0; i < rec->nlinks; i++)
	{
		uint32		to = BulkLinkMember(links[i]);
		uint32		other = bulk_node(level, to);
		float		dist = bulk_link_dist(links[i]);
		uint16		flags = 0;
		float		fa;
		float		fb;

		if (links[i] & BULK_TREE)
			flags |= HNSW_LINK_TREE;
		if (links[i] & BULK_PRUNED)
			flags |= HNSW_LINK_PRUNED;
		if (lay->sketch != HNSW_SKETCH_NONE)
			HnswOwnDecode(g, bulk_own(b, other), b->nodes[other].scale,
						  b->nodes[other].offset, s->fb);
		HnswLinkForm(g, s->fa, s->fb, dist, &fa, &fb, s->code);
		locate_member(w, l, to, &blk, &slot);
		HnswLinkPut(g, node, i, blk, slot | flags, dist, fa, fb, s->code);
	}
}

/*
 * Which node is at each position of level 0.  Where a page holds several,
 * the first that is left, in the order of the partition, and the nearest of
 * its neighbours that are left share one.  Returns the inverse of position.
 */
static uint32 *
place_nodes(Writer *w)
{
	Bulk	   *b = w->b;
	const BulkLevel *level = &b->levels[0];
	const int	per_page = b->g->lay.per_page;
	uint32	   *order = palloc_extended((Size) b->n * sizeof(uint32), MCXT_ALLOC_HUGE);
	uint32		n = 0;

	w->position = palloc_extended((Size) b->n * sizeof(uint32), MCXT_ALLOC_HUGE);
	memset(w->position, 0xFF, (Size) b->n * sizeof(uint32));
	for (uint32 i = 0; i < b->n; i++)
	{
		const BulkLink *links = level->links + (Size) i * level->width;

		if (w->position[i] != BULK_NONE)
			continue;
		w->position[i] = n;
		order[n++] = i;
		for (int j = 0; j < level->nlinks[i] && n % per_page != 0; j++)
		{
			uint32		to = BulkLinkMember(links[j]);

			if (w->position[to] != BULK_NONE)
				continue;
			w->position[to] = n;
			order[n++] = to;
		}
	}
	return order;
}

/* Write the records of levels "from" to "to", one after the other. */
static void
write_records(Writer *w, int from, int to, const uint32 *order)
{
	Bulk	   *b = w->b;
	const HnswLayout *lay = &b->g->lay;
	HnswPageKind kind = from == 0 ? HNSW_PAGE_NODE : HNSW_PAGE_UPPER;
	int			slot = 0;

	for (int l = from; l <= to; l++)
		for (uint32 m = 0; m < b->levels[l].n; m++)
		{
			Page		page = (Page) w->page.data;
			Size		at = HnswSlotOffset(lay, slot);
			char	   *own = b->g->scratch->side;
			bool		last = l == to && m == b->levels[l].n - 1;

			if (slot == 0)
			{
				start_page(page, w->next, kind);
				for (int i = 0; i < lay->side_pages; i++)
				{
					start_page((Page) w->side[i].data, w->next + 1 + i, HNSW_PAGE_SIDE);
					HnswPageGetHeader(w->side[i].data)->nslots = i + 1;
					((PageHeader) w->side[i].data)->pd_lower = BLCKSZ;
				}
			}
			form_record(w, l, l == 0 ? order[m] : m, (char *) page + at, own);
			if (lay->own_side)
			{
				Size		first = (Size) slot * lay->own_bytes;

				for (Size done = 0; done < (Size) lay->own_bytes;)
				{
					Size		pos = first + done;
					Size		n = Min(HNSW_PAGE_ROOM - pos % HNSW_PAGE_ROOM, lay->own_bytes - done);

					memcpy(HnswPageGetData(w->side[pos / HNSW_PAGE_ROOM].data) + pos % HNSW_PAGE_ROOM,
						   own + done, n);
					done += n;
				}
			}
			slot++;
			HnswPageGetHeader(page)->nslots = slot;
			((PageHeader) page)->pd_lower = at + lay->rec_size;
			if (slot < lay->per_page && !last)
				continue;
			write_page(w, page);
			for (int i = 0; i < lay->side_pages; i++)
				write_page(w, (Page) w->side[i].data);
			if (last && slot < lay->per_page)
			{
				/* later rows begin here */
				if (from == 0)
					b->g->target = w->next - 1 - lay->side_pages;
				else
					b->g->upper_target = w->next - 1 - lay->side_pages;
			}
			slot = 0;
		}
}

/* The overflow pages of the nodes with many equal rows, in the same order. */
static void
write_overflow(Writer *w, const uint32 *order)
{
	Bulk	   *b = w->b;
	const int	inline_tids = b->g->lay.max_tids;

	for (uint32 p = 0; p < b->n; p++)
	{
		uint32		node = order[p];
		int64		left = b->nodes[node].more == BULK_NONE ? 0 : count_tids(b, node) - inline_tids;
		uint32		next = b->nodes[node].more;
		BlockNumber blk;
		uint16		slot;

		if (left <= 0)
			continue;
		for (int i = 1; i < inline_tids; i++)
			next = b->extra[next].next;
		locate_member(w, 0, node, &blk, &slot);
		while (left > 0)
		{
			Page		page = (Page) w->page.data;
			HnswOverflow *o;
			/* the first page of a chain is the one with room */
			int			n = left % HNSW_OVERFLOW_TIDS;

			if (n == 0)
				n = HNSW_OVERFLOW_TIDS;
			start_page(page, w->next, HNSW_PAGE_OVERFLOW);
			o = HnswPageGetOverflow(page);
			ItemPointerSet(&o->owner, blk, slot);
			o->ntids = n;
			for (int i = 0; i < n; i++, next = b->extra[next].next)
				HnswOverflowTids(o)[i] = b->extra[next].tid;
			left -= n;
			o->next = left > 0 ? w->next + 1 : InvalidBlockNumber;
			((PageHeader) page)->pd_lower = HNSW_PAGE_DATA + sizeof(HnswOverflow) + n * sizeof(ItemPointerData);
			write_page(w, page);
		}
	}
}

/* Set root, entry point and the page for further upper records. */
static void
write_meta(Writer *w, uint32 entry)
{
	Bulk	   *b = w->b;
	HnswGraph  *g = b->g;
	HnswWrite  *write = &g->scratch->write;
	HnswMetaPage meta;
	HnswPin		pin;
	BlockNumber blk;
	uint16		slot;

	HnswAcquire(g, HNSW_META_BLOCK, BUFFER_LOCK_EXCLUSIVE, &pin);
	meta = *HnswPageGetMeta(pin.page);
	locate_member(w, 0, entry, &blk, &slot);
	ItemPointerSet(&meta.root, blk, slot);
	locate_member(w, b->top, HnswBulkMember(&b->levels[b->top], entry), &blk, &slot);
	ItemPointerSet(&meta.entry, blk, slot);
	meta.entry_level = b->top;
	meta.centre_set = 1;
	meta.upper_target = g->upper_target;
	HnswWriteBegin(g, write);
	HnswWriteAdd(write, &pin, false);
	HnswWriteBytes(write, 0, HNSW_PAGE_DATA, &meta, sizeof(meta));
	HnswWriteEnd(write);
	HnswRelease(g, &pin);
	g->centre_set = true;
}

/* Write all pages of the batch, and the metapage. */
void
HnswBulkWrite(Bulk *b, uint32 entry)
{
	const HnswLayout *lay = &b->g->lay;
	Writer	   *w = palloc0(sizeof(Writer));
	uint32	   *order;
	uint64		pages;

	w->b = b;
	order = place_nodes(w);
	w->next = RelationGetNumberOfBlocks(b->g->rel);
	w->first0 = w->next;
	pages = w->next + ((uint64) b->n + lay->per_page - 1) / lay->per_page * (1 + lay->side_pages);
	w->first_upper = (BlockNumber) pages;
	for (int l = 1; l <= b->top; l++)
		w->upper[l + 1] = w->upper[l] + b->levels[l].n;
	pages += (w->upper[b->top + 1] + lay->per_page - 1) / lay->per_page * (1 + lay->side_pages);
	w->next_overflow = (BlockNumber) pages;
	pages += b->nextra;			/* at most */
	if (pages > MaxBlockNumber)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("index \"%s\" would have too many pages", RelationGetRelationName(b->g->rel))));
	write_records(w, 0, 0, order);
	if (b->top > 0)
		write_records(w, 1, b->top, NULL);
	write_overflow(w, order);
	HNSW_WAIT_POINT("build-meta");
	write_meta(w, entry);
}
