/*
 * prewarm.c
 *		hnsw_prewarm: read an index into the buffer cache, before the first searches have to.
 *
 * All of it, if it fits.  If not, first what searches share: the records above level 0, by which all begin, and
 * the pages of pending rows, at which all look.  Where they are a pass tells that leaves nothing in the cache (but
 * in the operating system's, which helps as well).
 */
#include "postgres.h"

#include "compat.h"
#include "fmgr.h"
#include "hnsw/am/info.h"
#include "hnsw/base/bitmap.h"
#include "hnsw/layout/page.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/guc.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(vectorx_hnsw_prewarm);

/* Others need buffers, too: of four, so many may be the index's. */
#define QUARTERS	3

/* So many pages at most. */
static BlockNumber
room_for(Relation index)
{
	int64		nbuffers = RelationUsesLocalBuffers(index) ? num_temp_buffers : NBuffers;

	return (BlockNumber) Max(nbuffers * QUARTERS / 4, 1);
}

static void
read_block(HnswInspect *x, BlockNumber blk)
{
	Buffer		buf;

	CHECK_FOR_INTERRUPTS();
	buf = ReadBufferExtended(x->index, MAIN_FORKNUM, blk, RBM_NORMAL, NULL);
	ReleaseBuffer(buf);
}

/* Is a page one that all searches come to? */
static bool
is_shared(HnswInspect *x, BlockNumber blk)
{
	const HnswPageHeader *header = HnswInspectPage(x, blk);

	return header != NULL && header->kind != HNSW_PAGE_NODE && header->kind != HNSW_PAGE_SIDE &&
		header->kind != HNSW_PAGE_OVERFLOW && header->kind != HNSW_PAGE_FREE;
}

/* The pages that all searches come to, as far as there is room, then others in the order of the file. */
static BlockNumber
read_some(HnswInspect *x, BlockNumber room)
{
	uint64	   *shared = HnswBitmapMake(x->nblocks);
	BlockNumber nread = 0;

	for (BlockNumber blk = 0; blk < x->nblocks; blk++)
		if (is_shared(x, blk))
			(void) HnswBitmapSet(shared, blk);
	for (int turn = 0; turn < 2; turn++)
		for (BlockNumber blk = 0; blk < x->nblocks && nread < room; blk++)
			if (HnswBitmapTest(shared, blk) == (turn == 0))
			{
				read_block(x, blk);
				nread++;
			}
	pfree(shared);
	return nread;
}

/*
 * hnsw_prewarm(index regclass): read the index into the buffer cache, as much of it as three quarters of that
 * hold; returns how many pages were read.  Needs the right to read the table.  Locks no page.
 */
Datum
vectorx_hnsw_prewarm(PG_FUNCTION_ARGS)
{
	HnswInspect x;
	BlockNumber room;
	BlockNumber nread;

	HnswInspectOpen(&x, PG_GETARG_OID(0), false);
	room = room_for(x.index);
	if (x.nblocks > room)
		nread = read_some(&x, room);
	else
		for (nread = 0; nread < x.nblocks; nread++)
			read_block(&x, nread);
	HnswInspectClose(&x);
	PG_RETURN_INT64(nread);
}
