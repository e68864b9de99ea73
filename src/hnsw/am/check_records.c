/*
 * check_records.c
 *		hnsw_check: its second pass, records and what belongs to them.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "access/xlog.h"
#include "common/hashfn.h"
#include "hnsw/am/check.h"
#include "hnsw/am/info.h"
#include "hnsw/base/bitmap.h"
#include "hnsw/graph/search.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/link.h"
#include "hnsw/metric/precision.h"
#include "hnsw/metric/vector.h"
#include "hnsw/page/meta.h"
#include "miscadmin.h"
#include "simd/vx_simd.h"
#include "utils/memutils.h"

/* So many distances beside a record's links that are as is likely let its vector pass. */
#define EDGES_AGREE	4

/* The least float above zero. */
#define LEAST_FLOAT	0x1p-149f

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
			HnswProblem(c, blk, slot, "heap TID %d, (%u,%u), is not valid", i,
					ItemPointerGetBlockNumberNoCheck(&tids[i]),
					ItemPointerGetOffsetNumberNoCheck(&tids[i]));
			continue;
		}
		if (past_table(c, ItemPointerGetBlockNumber(&tids[i])))
			HnswProblem(c, blk, slot, "heap TID %d, (%u,%u), is past the end of the table", i,
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
	int64		n = 0;

	ItemPointerSet(&owner, blk, slot);
	while (next != InvalidBlockNumber)
	{
		HnswOverflow *o;

		CHECK_FOR_INTERRUPTS();
		if (next >= c->x.nblocks || c->kinds[next] != HNSW_PAGE_OVERFLOW)
		{
			HnswProblem(c, blk, slot, "its overflow chain leads to block %u, which is no overflow page", next);
			break;
		}
		if (HnswBitmapSet(c->chained, next))
		{
			HnswProblem(c, blk, slot, "overflow page %u is in two chains, or in one twice", next);
			break;
		}
		HnswInspectRead(&c->x, next, c->other, NULL);
		o = HnswPageGetOverflow(c->other);
		if (HnswPageGetHeader(c->other)->kind != HNSW_PAGE_OVERFLOW ||
			o->ntids > HNSW_OVERFLOW_TIDS)
		{
			HnswProblem(c, next, NO_POS, "the overflow page has changed while it was checked");
			break;
		}
		if (!HnswTidEqual(&o->owner, &owner))
			HnswProblem(c, next, NO_POS, "the overflow page says it belongs to block %u slot %u, but is in the chain of block %u slot %d",
					ItemPointerGetBlockNumberNoCheck(&o->owner),
					ItemPointerGetOffsetNumberNoCheck(&o->owner), blk, slot);
		if (live)
			add_heap_tids(c, blk, slot, HnswOverflowTids(o), o->ntids);
		n += o->ntids;
		next = o->next;
	}
	return n;
}

/* Read the beginning of a record, so many bytes, which may have changed since its slot was noted. */
static const HnswRecord *
read_record(Check *c, BlockNumber blk, uint16 slot, Size bytes, char *to)
{
	HnswInspectReadPart(&c->x, blk, HnswSlotOffset(&c->x.lay, slot), bytes, to, NULL);
	return (const HnswRecord *) to;
}

/*
 * A link down of a live record of a higher level, which leads to the same node on another:
 * while the record is live, so is that, and its vector the same.
 */
static void
check_down(Check *c, BlockNumber blk, int slot, const HnswRecord *rec, const ItemPointerData *down,
		   uint8 level, const char *what)
{
	HnswCandidate at;
	SlotNote	note;
	const HnswRecord *target;
	const HnswRecord *now;

	HnswTidGet(down, &at);
	note = note_of(c, at.blk, at.slot);
	if (note.state == NO_SLOT || note.state == HNSW_FREE || note.level != level)
	{
		HnswProblem(c, blk, slot, "its %s, block %u slot %u, is not a record of level %u",
				what, at.blk, at.slot, level);
		return;
	}
	target = read_record(c, at.blk, at.slot, sizeof(HnswRecord), c->neighbour);
	now = read_record(c, blk, slot, sizeof(HnswRecord), c->links);
	if (target->hash != rec->hash && now->state == HNSW_LIVE && now->generation == rec->generation)
		HnswProblem(c, blk, slot, "its %s, block %u slot %u, is of another vector", what, at.blk, at.slot);
}

/* Heap TIDs of a record of level 0, or links down of a higher one. */
static void
check_tids(Check *c, BlockNumber blk, int slot, const HnswRecord *rec)
{
	const ItemPointerData *tids = HnswNodeTids(&c->x.lay, (const char *) rec);
	int64		n;

	if (rec->level == 0)
	{
		bool		live = rec->state == HNSW_LIVE;

		if (live)
			add_heap_tids(c, blk, slot, tids, rec->ntids);
		n = rec->ntids + check_chain(c, blk, slot, rec->overflow, live);
		/* VACUUM that was cut off leaves a node with an empty chain live */
		if (live && n == 0 && rec->overflow == InvalidBlockNumber)
			HnswProblem(c, blk, slot, "a live node without heap TIDs");
		if (!live && n > 0)
			HnswProblem(c, blk, slot, "a dead node with " INT64_FORMAT " heap TIDs", n);
		return;
	}

	if (rec->overflow != InvalidBlockNumber)
		HnswProblem(c, blk, slot, "a record of level %u has an overflow chain", rec->level);
	if (rec->ntids != 2)
	{
		HnswProblem(c, blk, slot, "a record of level %u has %u links down", rec->level, rec->ntids);
		return;
	}
	/* where a dead record leads may have been freed before it */
	if (rec->state == HNSW_DEAD)
		return;
	check_down(c, blk, slot, rec, &tids[0], rec->level - 1, "link down");
	check_down(c, blk, slot, rec, &tids[1], 0, "node");
}

/*
 * The own vector, gathered into "to" from side pages; NULL where one is missing, which is
 * reported elsewhere.
 */
static const char *
find_own(Check *c, BlockNumber blk, int slot, const HnswRecord *rec, char *to)
{
	const HnswLayout *lay = &c->x.lay;
	Size		from = (Size) slot * lay->own_bytes;
	Size		done = 0;

	if (!lay->own_side)
		return (const char *) rec + lay->off_own;
	while (done < (Size) lay->own_bytes)
	{
		BlockNumber	side = blk + 1 + (from + done) / HNSW_PAGE_ROOM;
		Size		at = (from + done) % HNSW_PAGE_ROOM;
		Size		n = Min(HNSW_PAGE_ROOM - at, lay->own_bytes - done);

		if (side >= c->x.nblocks || c->kinds[side] != HNSW_PAGE_SIDE)
			return NULL;
		HnswInspectReadPart(&c->x, side, HNSW_PAGE_DATA + at, n, to + done, c->x.strategy);
		done += n;
	}
	return to;
}

/*
 * How far a squared norm may be from one that another processor has summed, in another order:
 * half of float's precision a term at worst, of which an eighth never came near in 16,000; and
 * half of the least float where squares are denormal.
 */
static float
norm2_slack(float norm2, int dim)
{
	return norm2 * (1e-5f + dim * FLT_EPSILON / 8) + dim * LEAST_FLOAT;
}

/*
 * Is the vector that was decoded the one whose hash the record has?  That can be told
 * where elements are stored as they came but for a power of two (L1).
 */
static bool
has_hash(Check *c, const HnswRecord *rec)
{
	const HnswLayout *lay = &c->x.lay;

	if (lay->metric->products || lay->own != HNSW_OWN_FP32)
		return true;
	for (int i = 0; i < lay->dim; i++)
	{
		/* the smallest lose bits, or all */
		if (fabsf(c->decoded[i]) < FLT_MIN && lay->unit != 1)
			return true;
		c->decoded[i] /= lay->unit;
	}
	return rec->hash == DatumGetUInt32(hash_any((const unsigned char *) c->decoded,
												lay->dim * sizeof(float)));
}

/* The same of words: all that is stored tells what the record says of it. */
static bool
check_words(Check *c, BlockNumber blk, int slot, const HnswRecord *rec, const char *own)
{
	HnswVecHead	head = rec->head;

	HnswDescribeWords(&c->vectors, (const float *) own, &head);
	if (head.codesum == rec->codesum && head.norm2 == rec->norm2 && head.scale == rec->scale)
		return true;
	HnswProblem(c, blk, slot, "the vector's hash, norm or error are not those of its record");
	return false;
}

/* The own vector (NULL: not there), against what its record says of it.  Is it sound? */
static bool
check_own(Check *c, BlockNumber blk, int slot, const HnswRecord *rec, const char *own)
{
	const int	dim = c->x.lay.dim;
	/* where norms are not needed, they may be beyond what a float holds */
	bool		bounded = c->x.lay.metric->products;
	float		norm2;

	if (!isfinite(rec->scale) || !(rec->scale >= 0) || !isfinite(rec->offset) ||
		(bounded && !isfinite(rec->norm2)) || !(rec->norm2 >= 0))
	{
		HnswProblem(c, blk, slot, "the vector's scale %g, offset %g or squared norm %g is wrong",
				rec->scale, rec->offset, rec->norm2);
		return false;
	}
	if (own == NULL)
		return false;
	if (c->x.lay.metric->words)
		return check_words(c, blk, slot, rec, own);
	HnswOwnDecode(&c->vectors, own, rec->scale, rec->offset, c->decoded);
	for (int i = 0; i < dim; i++)
		if (!isfinite(c->decoded[i]))
		{
			HnswProblem(c, blk, slot, "element %d of the vector is not finite", i);
			return false;
		}
	norm2 = vx_simd->sumsq(c->decoded, dim);
	if (norm2 != rec->norm2 && !(fabsf(norm2 - rec->norm2) <= norm2_slack(norm2, dim)))
	{
		HnswProblem(c, blk, slot, "the vector's squared norm is %g, not %g", norm2, rec->norm2);
		return false;
	}
	if (c->x.lay.own == HNSW_OWN_INT8)
	{
		int32		sum = 0;

		for (int i = 0; i < dim; i++)
			sum += ((const int8 *) own)[i];
		if (sum == rec->codesum)
			return true;
		HnswProblem(c, blk, slot, "the sum of the vector's codes is %d, not %d", sum, rec->codesum);
		return false;
	}
	if (has_hash(c, rec))
		return true;
	HnswProblem(c, blk, slot, "the vector's hash is not %08x", rec->hash);
	return false;
}

static HnswStored
stored_of(const HnswRecord *rec, const char *own)
{
	HnswStored	x = {.own = own, .head = rec->head};

	return x;
}

/* Read the vector a link leads to; false unless it is a live record's of the level. */
static bool
read_neighbour(Check *c, const ItemPointerData *link, uint8 level, HnswStored *x)
{
	const HnswRecord *rec;
	BlockNumber	blk = HnswLinkBlock(link);
	uint16		slot = HnswLinkSlot(link);
	SlotNote	note = note_of(c, blk, slot);

	if (note.state != HNSW_LIVE || note.level != level)
		return false;
	rec = read_record(c, blk, slot, c->x.lay.off_links, c->neighbour);
	*x = stored_of(rec, find_own(c, blk, slot, rec, c->neighbour_own));
	return rec->state == HNSW_LIVE && rec->level == level && x->own != NULL;
}

/*
 * The own vector, against the distances that stand beside its links: a vector may change
 * in ways that leave its norm and the sum of its codes.  Which end of a link is to blame
 * cannot be told.
 *
 * A change moves the vector towards some neighbours and away from others, and may not be
 * seen from one that lies across.  So all links are looked at until a few distances are
 * as is likely for a sound vector, with the nearest first, which see most.
 */
static void
check_edges(Check *c, BlockNumber blk, int slot, const HnswRecord *rec, const char *own)
{
	const char *node = (const char *) rec;
	const HnswStored x = stored_of(rec, own);
	int			agree = 0;

	for (int pos = 0; pos < rec->nlinks && agree < EDGES_AGREE; pos++)
	{
		const ItemPointerData *link = &HnswNodeLinks(&c->x.lay, node)[pos];
		float		edge = HnswLinkEdge(&c->vectors, node, pos);
		HnswStored	y;
		double		dist;
		double		likely;
		double		certain;

		if (!isfinite(edge) || !read_neighbour(c, link, rec->level, &y))
			continue;
		/* an index of before may have vectors so far apart that its distances have an end */
		dist = HnswStoredDistance(&c->vectors, &x, &y);
		if (isnan(dist))
			continue;
		dist = Max(Min(dist, FLT_MAX), -FLT_MAX);
		HnswEdgeSlack(&c->vectors, &x, &y, dist, &likely, &certain);
		if (fabs(edge - dist) <= likely)
			agree++;
		else if (!(fabs(edge - dist) <= certain))
		{
			HnswProblem(c, blk, slot, "link %d to block %u slot %u is %g long, but %g by the vectors at its ends",
					pos, HnswLinkBlock(link), HnswLinkSlot(link), edge, dist);
			return;
		}
	}
}

/* One number of a link: bf16 when two bytes wide, float when four. */
static bool
finite_at(const char *at, int width)
{
	if (width == 2)
	{
		uint16		v;

		memcpy(&v, at, sizeof(v));
		return (v & 0x7F80) != 0x7F80;
	}
	else
	{
		float		v;

		memcpy(&v, at, sizeof(v));
		return isfinite(v);
	}
}

/* The edge and the factors of a link. */
static void
check_numbers(Check *c, BlockNumber blk, int slot, const char *node, int pos)
{
	const HnswLayout *lay = &c->x.lay;

	if (!finite_at(node + lay->off_edges + pos * sizeof(uint16), sizeof(uint16)))
		HnswProblem(c, blk, slot, "the length of link %d is not finite", pos);
	if (lay->factor_width > 0 &&
		(!finite_at(node + lay->off_a + pos * lay->factor_width, lay->factor_width) ||
		 !finite_at(node + lay->off_b + pos * lay->factor_width, lay->factor_width)))
		HnswProblem(c, blk, slot, "the factors of link %d are not finite", pos);
}

static void
check_link(Check *c, BlockNumber blk, int slot, const HnswRecord *rec, int pos)
{
	const HnswLayout *lay = &c->x.lay;
	const char *node = (const char *) rec;
	const ItemPointerData *link = &HnswNodeLinks(lay, node)[pos];
	BlockNumber	tblk = HnswLinkBlock(link);
	uint16		tslot = HnswLinkSlot(link);
	uint16		flags = HnswLinkFlags(link);
	SlotNote	note = note_of(c, tblk, tslot);

	if (flags & ~(HNSW_LINK_PRUNED | HNSW_LINK_TREE))
		HnswProblem(c, blk, slot, "link %d has flags 0x%04x", pos, flags);
	if (tblk >= c->x.nblocks || tslot >= lay->per_page)
		HnswProblem(c, blk, slot, "link %d leads to block %u slot %u, which cannot be",
				pos, tblk, tslot);
	else if (rec->state == HNSW_LIVE)
	{
		/* what a dead record leads to may have been freed before it */
		if (note.state == NO_SLOT)
			HnswProblem(c, blk, slot, "link %d leads to block %u slot %u, where no record is",
					pos, tblk, tslot);
		else if (note.state == HNSW_FREE)
			HnswProblem(c, blk, slot, "link %d leads to block %u slot %u, which is free",
					pos, tblk, tslot);
		else if (note.level != rec->level)
			HnswProblem(c, blk, slot, "link %d leads from level %u to level %u",
					pos, rec->level, note.level);
		if (tblk == blk && tslot == slot)
			HnswProblem(c, blk, slot, "link %d leads to the node itself", pos);
		for (int i = 0; i < pos; i++)
		{
			const ItemPointerData *earlier = &HnswNodeLinks(lay, node)[i];

			if (HnswLinkBlock(earlier) == tblk && HnswLinkSlot(earlier) == tslot)
			{
				HnswProblem(c, blk, slot, "links %d and %d both lead to block %u slot %u",
						i, pos, tblk, tslot);
				break;
			}
		}
	}
	check_numbers(c, blk, slot, node, pos);
}

/* A bundle of a pending page. */
void
HnswCheckBundle(Check *c, BlockNumber blk, int slot, const HnswRecord *bundle)
{
	const HnswLayout *lay = &c->x.lay;
	const char *node = (const char *) bundle;

	if (bundle->nlinks < 1 || bundle->nlinks > lay->fanout)
		HnswProblem(c, blk, slot, "a bundle of %u links", bundle->nlinks);
	for (int pos = 0; pos < Min(bundle->nlinks, lay->fanout); pos++)
	{
		const ItemPointerData *link = &HnswNodeLinks(lay, node)[pos];
		BlockNumber	tblk = HnswLinkBlock(link);
		uint16		tslot = HnswLinkSlot(link);

		/* what is there may be another node by now, or none; a standby may be ahead of the first pass */
		if (tslot >= lay->per_page || HnswLinkFlags(link) != 0 ||
			(tblk < c->x.nblocks ? !RecoveryInProgress() && c->kinds[tblk] != HNSW_PAGE_NODE :
			 tblk >= RelationGetNumberOfBlocks(c->x.index)))
			HnswProblem(c, blk, slot, "link %d leads to block %u slot %u, which cannot be", pos, tblk, tslot);
		check_numbers(c, blk, slot, node, pos);
	}
}

/* Side pages behind a node page. */
static void
check_side(Check *c, BlockNumber blk)
{
	for (int i = 1; i <= c->x.lay.side_pages; i++)
	{
		if (blk + i >= c->x.nblocks || c->kinds[blk + i] != HNSW_PAGE_SIDE)
		{
			HnswProblem(c, blk, NO_POS, "side page %d is missing", i);
			continue;
		}
		HnswInspectRead(&c->x, blk + i, c->other, c->x.strategy);
		if (HnswPageGetHeader(c->other)->nslots != i)
			HnswProblem(c, blk + i, NO_POS, "side page %d of block %u says it is number %u",
					i, blk, HnswPageGetHeader(c->other)->nslots);
	}
}

void
HnswCheckRecords(Check *c)
{
	for (BlockNumber blk = 0; blk < c->x.nblocks; blk++)
	{
		HnswPageHeader *header = HnswPageGetHeader(c->x.page);
		bool		used = false;

		if (!is_node_page(c->kinds[blk]))
			continue;
		CHECK_FOR_INTERRUPTS();
		HnswInspectRead(&c->x, blk, c->x.page, c->x.strategy);
		for (int slot = 0; slot < Min(header->nslots, c->x.lay.per_page); slot++)
		{
			const HnswRecord *rec = record_at(c, slot);
			SlotNote	note = note_of(c, blk, slot);
			const char *own;

			/* reported already, or changed since */
			if (note.state == NO_SLOT || note.state != rec->state ||
				note.level != rec->level || rec->state == HNSW_FREE)
				continue;
			if (rec->nlinks > c->x.lay.fanout || rec->ntids > c->x.lay.max_tids)
				continue;
			used = true;
			own = find_own(c, blk, slot, rec, c->own);
			if (check_own(c, blk, slot, rec, own) && rec->state == HNSW_LIVE)
				check_edges(c, blk, slot, rec, own);
			check_tids(c, blk, slot, rec);
			for (int pos = 0; pos < rec->nlinks; pos++)
				check_link(c, blk, slot, rec, pos);
		}
		if (used)
			check_side(c, blk);
	}
	for (BlockNumber blk = 0; blk < c->x.nblocks; blk++)
	{
		if (c->kinds[blk] != HNSW_PAGE_OVERFLOW || HnswBitmapTest(c->chained, blk))
			continue;
		/* unless VACUUM has taken it out of its chain meanwhile */
		HnswInspectRead(&c->x, blk, c->other, NULL);
		if (HnswPageGetHeader(c->other)->kind == HNSW_PAGE_OVERFLOW)
			HnswProblem(c, blk, NO_POS, "the overflow page is in no chain");
	}
}

static int
cmp_ref(const void *a, const void *b)
{
	return ItemPointerCompare((ItemPointer) & ((const HeapRef *) a)->tid,
							  (ItemPointer) & ((const HeapRef *) b)->tid);
}

void
HnswCheckDuplicates(Check *c)
{
	qsort(c->refs, c->nrefs, sizeof(HeapRef), cmp_ref);
	for (Size i = 1; i < c->nrefs; i++)
	{
		const HeapRef *a = &c->refs[i - 1];
		const HeapRef *b = &c->refs[i];

		CHECK_FOR_INTERRUPTS();
		if (cmp_ref(a, b) == 0)
			HnswProblem(c, b->blk, b->slot, "heap TID (%u,%u) stands in block %u slot %u, too",
					ItemPointerGetBlockNumberNoCheck(&b->tid),
					ItemPointerGetOffsetNumberNoCheck(&b->tid), a->blk, a->slot);
	}
}
