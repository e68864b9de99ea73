/*
 * record.c
 *		Node records in pages: finding and checking them, their own vectors,
 *		their links.
 *
 * A slot and a record's counts are checked here before they are used.  What codes
 * and factors of a link mean is metric/link.c's.
 */
#include "postgres.h"

#include <math.h>

#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/page/access.h"
#include "hnsw/page/index.h"
#include "hnsw/page/record.h"
#include "simd/vx_simd.h"
#include "storage/bufmgr.h"

/* Round to nearest even; a finite value stays finite. */
static inline uint16
float_to_bf16(float f)
{
	uint32		bits;
	uint32		up;

	memcpy(&bits, &f, sizeof(bits));
	if ((bits & 0x7F800000) == 0x7F800000)
		return (uint16) ((bits >> 16) | ((bits & 0xFFFF) ? 0x40 : 0));
	up = bits + 0x7FFF + ((bits >> 16) & 1);
	if ((up & 0x7F800000) == 0x7F800000)
		up = bits;				/* would round to infinity */
	return (uint16) (up >> 16);
}

/*
 * The record in a slot of a node page in hand, of any state.  Errors
 * (index_corrupted) unless the page is a node page that has the slot and the
 * record's counts are in bounds.
 */
char *
HnswNodeAt(HnswIndex *g, HnswPin *pin, uint16 slot)
{
	HnswPageHeader *header = HnswPageGetHeader(pin->page);
	HnswRecord *rec;
	char	   *node;

	if (unlikely(header->kind != HNSW_PAGE_NODE && header->kind != HNSW_PAGE_UPPER))
		HnswCorrupted(g, pin->blk, slot, "not a page of nodes");
	if (unlikely(header->nslots > g->lay->per_page || slot >= header->nslots))
		HnswCorrupted(g, pin->blk, slot, "the page has no such slot");
	node = (char *) pin->page + HnswSlotOffset(g->lay, slot);
	rec = (HnswRecord *) node;
	if (unlikely(rec->nlinks > g->lay->fanout || rec->ntids > g->lay->max_tids ||
				 rec->state > HNSW_DEAD || rec->level > HNSW_MAX_LEVEL))
		HnswCorrupted(g, pin->blk, slot, "the node's counts are out of bounds");
	return node;
}

/*
 * The live node of level 0 in a slot of any page in hand; NULL if there is none.  Errors as
 * HnswNodeAt's.
 */
char *
HnswLiveNodeAt(HnswIndex *g, HnswPin *pin, uint16 slot)
{
	const HnswPageHeader *header = HnswPageGetHeader(pin->page);
	char	   *node;

	if (header->kind != HNSW_PAGE_NODE || slot >= header->nslots)
		return NULL;
	node = HnswNodeAt(g, pin, slot);
	return ((const HnswRecord *) node)->state == HNSW_LIVE && ((const HnswRecord *) node)->level == 0 ?
		node : NULL;
}

/*
 * The own vector of a record in hand: within the record, or gathered from the
 * side pages behind its page into scratch->side (share locks on them, one at a
 * time, ascending, while the node's page stays locked; errors: index_corrupted).
 */
const char *
HnswNodeOwn(HnswIndex *g, HnswPin *pin, uint16 slot, const char *node)
{
	const HnswLayout *lay = g->lay;
	Size		from;
	Size		done = 0;

	if (!lay->own_side)
		return node + lay->off_own;

	from = (Size) slot * lay->own_bytes;
	while (done < (Size) lay->own_bytes)
	{
		HnswPin		side;
		Size		at = (from + done) % HNSW_PAGE_ROOM;
		Size		n = Min(HNSW_PAGE_ROOM - at, lay->own_bytes - done);

		HnswAcquireSide(g, pin->blk + 1 + (from + done) / HNSW_PAGE_ROOM,
						BUFFER_LOCK_SHARE, &side);
		memcpy(g->scratch->side + done, HnswPageGetData(side.page) + at, n);
		HnswRelease(g, &side);
		done += n;
	}
	return g->scratch->side;
}

/* Offset of a code's first group within a record. */
static inline Size
code_at(const HnswLayout *lay, int pos)
{
	return lay->off_codes + (Size) (pos / VX_BLOCK) * lay->block_bytes +
		(pos % VX_BLOCK) * (lay->sketch == HNSW_SKETCH_EXACT ? lay->groups * 4 : 4);
}

/* A link as it is stored, part by part. */
typedef struct LinkParts
{
	char		bytes[HNSW_LINK_PARTS][HNSW_LINK_WIDTH];
} LinkParts;

static void
form_parts(const HnswLayout *lay, const HnswLink *link, LinkParts *parts)
{
	const uint16 halves[3] = {float_to_bf16(link->edge), float_to_bf16(link->a), float_to_bf16(link->b)};
	ItemPointerData tid;

	memset(parts, 0, sizeof(*parts));
	ItemPointerSet(&tid, link->blk, link->slotflags);
	memcpy(parts->bytes[0], &tid, sizeof(tid));
	memcpy(parts->bytes[1], &halves[0], sizeof(uint16));
	memcpy(parts->bytes[2], lay->factor_width == 4 ? (const void *) &link->a : &halves[1], lay->factor_width);
	memcpy(parts->bytes[3], lay->factor_width == 4 ? (const void *) &link->b : &halves[2], lay->factor_width);
}

/*
 * The first of a record's links, from position "from" on, with the edge and the factors of
 * another link; -1 if there is none.
 */
int
HnswLinkFind(const HnswLayout *lay, const char *node, int from, const HnswLink *link)
{
	const uint16 *edges = (const uint16 *) (node + lay->off_edges);
	int			nlinks = ((const HnswRecord *) node)->nlinks;
	uint16		edge = float_to_bf16(link->edge);
	LinkParts	parts;

	for (int block = from / VX_BLOCK * VX_BLOCK; block < nlinks; block += VX_BLOCK)
	{
		uint16		any = 0;

		/* the places of a block are all there, and few blocks have such a link: no branches */
		for (int i = 0; i < VX_BLOCK; i++)
			any |= edges[block + i] == edge;
		if (!any)
			continue;
		form_parts(lay, link, &parts);
		for (int pos = Max(block, from); pos < Min(block + VX_BLOCK, nlinks); pos++)
		{
			bool		same = true;

			for (int i = 1; i < HNSW_LINK_PARTS && same; i++)
				same = memcmp(node + lay->parts[i].offset + pos * lay->parts[i].width, parts.bytes[i],
							  lay->parts[i].width) == 0;
			if (same)
				return pos;
		}
	}
	return -1;
}

/* Put a link at a position of a record that is being formed in memory. */
void
HnswLinkPut(HnswIndex *g, char *node, int pos, const HnswLink *link)
{
	const HnswLayout *lay = g->lay;
	char	   *at = node + code_at(lay, pos);
	LinkParts	parts;

	form_parts(lay, link, &parts);
	for (int i = 0; i < HNSW_LINK_PARTS; i++)
		memcpy(node + lay->parts[i].offset + pos * lay->parts[i].width, parts.bytes[i],
			   lay->parts[i].width);
	for (int i = 0; i < lay->groups; i++)
		memcpy(at + (Size) i * lay->group_step, link->code + i * 4, 4);
}

/* Copy a link within a record that is being formed in memory. */
void
HnswLinkMove(HnswIndex *g, char *node, int from, int to)
{
	const HnswLayout *lay = g->lay;
	const char *src = node + code_at(lay, from);
	char	   *dst = node + code_at(lay, to);

	for (int i = 0; i < HNSW_LINK_PARTS; i++)
	{
		int			width = lay->parts[i].width;
		char	   *part = node + lay->parts[i].offset;

		memcpy(part + to * width, part + from * width, width);
	}
	for (int i = 0; i < lay->groups; i++)
		memcpy(dst + (Size) i * lay->group_step, src + (Size) i * lay->group_step, 4);
}

/* HnswLinkPut as a change of a record at offset "recoff" of a page in a write. */
void
HnswLinkWrite(HnswIndex *g, HnswWrite *w, int page, Size recoff, int pos, const HnswLink *link)
{
	const HnswLayout *lay = g->lay;
	Size		at = recoff + code_at(lay, pos);
	LinkParts	parts;

	form_parts(lay, link, &parts);
	for (int i = 0; i < HNSW_LINK_PARTS && lay->parts[i].width > 0; i++)
		HnswWriteBytes(w, page, recoff + lay->parts[i].offset + pos * lay->parts[i].width,
					   parts.bytes[i], lay->parts[i].width);
	for (int i = 0; i < lay->groups; i++)
		HnswWriteBytes(w, page, at + (Size) i * lay->group_step, link->code + i * 4, 4);
}

/*
 * Write the links of a record, formed in memory, at offset "recoff" of a page in a write: of all
 * parts what is in use, not their number.
 */
void
HnswLinksWrite(HnswIndex *g, HnswWrite *w, int page, Size recoff, const char *node)
{
	const HnswLayout *lay = g->lay;
	int			n = ((const HnswRecord *) node)->nlinks;

#define WRITE_PART(from, len) HnswWriteBytes(w, page, recoff + (from), node + (from), len)
	for (int i = 0; n > 0 && i < HNSW_LINK_PARTS && lay->parts[i].width > 0; i++)
		WRITE_PART(lay->parts[i].offset, n * lay->parts[i].width);
	for (int first = 0; first < n; first += VX_BLOCK)
	{
		int			used = Min(n - first, VX_BLOCK);
		Size		at = code_at(lay, first);

		if (lay->sketch == HNSW_SKETCH_EXACT)
			WRITE_PART(at, (Size) used * lay->groups * 4);
		else
			for (int i = 0; i < lay->groups; i++)
				WRITE_PART(at + (Size) i * lay->group_step, used * 4);
	}
}

/*
 * Write a whole record, formed in memory, at offset "recoff" of a page in a
 * write: only what is in use.  Behind the last TID and the last link remains
 * what is there, which nobody reads.
 */
void
HnswRecordWrite(HnswIndex *g, HnswWrite *w, int page, Size recoff, const char *node)
{
	const HnswLayout *lay = g->lay;
	const HnswRecord *rec = (const HnswRecord *) node;

	WRITE_PART(0, lay->off_tids + rec->ntids * sizeof(ItemPointerData));
	if (!lay->own_side)
		WRITE_PART(lay->off_own, lay->own_bytes);
	HnswLinksWrite(g, w, page, recoff, node);
#undef WRITE_PART
}

/* Have two records the same links, at the same positions, with the same flags? */
bool
HnswSameLinks(const HnswLayout *lay, const char *a, const char *b)
{
	const int	n = ((const HnswRecord *) a)->nlinks;

	return ((const HnswRecord *) b)->nlinks == n &&
		memcmp(HnswNodeLinks(lay, a), HnswNodeLinks(lay, b), n * sizeof(ItemPointerData)) == 0;
}

/*
 * Where the n links of a list go that replaces another one: was[i] is where link i is in
 * that, or -1.  What is there already stays at its position if there is one, so that little
 * of the page changes.
 */
void
HnswListPlaces(const int *was, int n, int *pos)
{
	bool		used[HNSW_MAX_FANOUT] = {false};
	int			next = 0;

	for (int i = 0; i < n; i++)
		if (was[i] >= 0 && was[i] < n)
			used[was[i]] = true;
	for (int i = 0; i < n; i++)
	{
		pos[i] = was[i];
		if (was[i] >= 0 && was[i] < n)
			continue;
		while (used[next])
			next++;
		pos[i] = next++;
	}
}

/*
 * Write the list of a record that has been formed in memory, at offset "recoff" of a page
 * in a write: what differs from what is there.
 */
void
HnswWriteList(HnswIndex *g, HnswWrite *w, int page, Size recoff, const char *node)
{
	const HnswLayout *lay = g->lay;
	const Size	nlinks = offsetof(HnswRecord, nlinks);

	HnswWriteChanges(w, page, recoff + nlinks, node + nlinks, sizeof(((HnswRecord *) node)->nlinks));
	HnswWriteChanges(w, page, recoff + lay->off_links, node + lay->off_links,
					 lay->rec_size - lay->off_links);
}
