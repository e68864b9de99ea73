/*
 * bulk.c
 *		Construction of a graph from many rows at once.
 *
 * The steps of a batch in turn: its nodes are grouped by nearness (partition.c),
 * which also gives the order they are kept and written in, and linked level by
 * level (candidates.c, neighbours.c); then all are made reachable (tree.c) and written
 * (write.c).  Touches no page before HnswBatchWrite.
 */
#include "postgres.h"

#include "commands/progress.h"
#include "hnsw/base/waitpoint.h"
#include "hnsw/bulk/batch.h"
#include "hnsw/bulk/bulk.h"
#include "hnsw/bulk/columns.h"
#include "hnsw/bulk/fill.h"
#include "hnsw/bulk/neighbours.h"
#include "hnsw/bulk/partition.h"
#include "hnsw/bulk/spool.h"
#include "hnsw/bulk/team.h"
#include "hnsw/bulk/tree.h"
#include "hnsw/bulk/write.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/page/access.h"
#include "hnsw/page/pending.h"
#include "hnsw/page/record.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/shmem.h"
#include "utils/backend_progress.h"
#include "utils/memutils.h"

/*
 * Make the graph of the rows that HnswBatchFill has collected, and write it into
 * the index, which has its metapage and no node yet.  All participants call
 * this at the same time.  False for a worker that has been left behind.
 */
bool
HnswBulkBuild(Batch *b)
{
	Team	   *team = b->team;
	BatchShared *sh = b->shared;
	BatchColumns *c;

	if (!HnswTeamSync(team))
		return false;
	if (sh->n == 0)
		return true;
	if (!HnswTeamLeader(team))
		HnswBatchAttach(b);
	else
	{
		pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, HNSW_PROGRESS_LINK);
		pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL, sh->n);
		pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, 0);
	}
	HNSW_WAIT_POINT("build-link");
	c = HnswColumnsCreate(b);
	b->seen = MemoryContextAllocHuge(b->cxt, (Size) sh->n * sizeof(uint32));
	for (int l = 0; l <= sh->top; l++)
	{
		BatchLevel *level = &b->levels[l];

		HnswPartition(c, level);
		if (l == 0)
		{
			if (HnswTeamLeader(team))
				HnswBatchMoveNodes(b);
			(void) HnswTeamSync(team);
		}
		if (!HnswBatchLink(c, level))
			return false;
		if (!HnswTeamLeader(team))
			continue;
		if (l == 0)
			pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, sh->n);
		if (l < sh->top)
			HnswBatchListMembers(b, l);
	}
	pfree(b->seen);
	if (HnswTeamLeader(team))
	{
		HnswBatchPlan(b);
		HnswBatchTree(b);
	}
	HnswBatchWrite(b);
	return true;
}

/*
 * Insert the rows of a file that have not been read yet, one by one, into the
 * index: in portions of what the limit holds, and each in an order in which near
 * rows follow each other, for these touch the same pages.  b: a batch with no
 * one else in its team, and nothing in it.  put: inserts one.
 */
void
HnswBulkInsert(Batch *b, Spool *spool, HnswBulkPut put, void *arg)
{
	const HnswLayout *lay = b->g->lay;
	const Size	columns = HnswColumnsBytes(lay, HnswColumnsMax(lay, b->limit, 1));
	/* divided, a row is in one list more, for a time */
	const Size	row = HnswBatchNodeBytes(lay) + 2 * sizeof(uint32) + sizeof(uint16);
	uint32		most = 1024;
	uint32	   *order;
	BatchColumns *c;

	if (b->limit > columns + most * row)
		most = (uint32) Min((b->limit - columns) / row, BATCH_MAX_NODES);
	most = (uint32) Min(most, spool->nrows - spool->nread);
	c = HnswColumnsCreate(b);
	b->nodes = MemoryContextAllocHuge(b->cxt, mul_size(most, sizeof(BatchNode)));
	b->own = MemoryContextAllocHuge(b->cxt, mul_size(most, lay->own_bytes));
	order = MemoryContextAllocHuge(b->cxt, mul_size(most, sizeof(uint32)));
	for (;;)
	{
		uint32		n = 0;
		SpoolRow	r;

		for (; n < most && HnswSpoolNext(spool, &r, b->own + (Size) n * lay->own_bytes); n++)
		{
			CHECK_FOR_INTERRUPTS();
			HnswBatchSetRow(&b->nodes[n], &r);
		}
		if (n == 0)
			break;
		HnswNearOrder(c, n, order);
		for (uint32 i = 0; i < n; i++)
		{
			BatchNode  *x = &b->nodes[order[i]];
			HnswRecord	rec;

			CHECK_FOR_INTERRUPTS();
			memset(&rec, 0, sizeof(rec));
			rec.head = x->head;
			put(arg, &rec, batch_own(b, order[i]), &x->tid);
		}
	}
}

/* Read a node's vector into the batch as number n; false when there is no such live node any more. */
static bool
read_node(Batch *b, const HnswSlot *at, uint32 n)
{
	HnswIndex  *g = b->g;
	HnswPin		pin;
	const char *node;

	HnswAcquire(g, at->blk, BUFFER_LOCK_SHARE, &pin);
	node = HnswLiveNodeAt(g, &pin, at->slot);
	if (node)
	{
		b->nodes[n].head = ((const HnswRecord *) node)->head;
		memcpy(b->own + (Size) n * g->lay->own_bytes, HnswNodeOwn(g, &pin, at->slot, node), g->lay->own_bytes);
	}
	HnswRelease(g, &pin);
	return node != NULL;
}

/*
 * Bring nodes of an index into an order in which near ones mostly follow each other, in portions of
 * what the limit holds; those that are not live any more are left out.  Returns how many there are.
 * One page at a time is locked.
 */
int64
HnswBulkSort(HnswIndex *g, HnswSlot *nodes, int64 n, Size limit)
{
	BatchShared *shared = palloc0(sizeof(BatchShared));
	Batch	   *b = HnswBatchCreate(g, HnswTeamCreate(g->rel), shared, limit);
	BatchColumns *c = HnswColumnsCreate(b);
	const uint32 most = (uint32) Max(1024, Min((Size) n, limit / 2 / HnswBatchNodeBytes(g->lay)));
	HnswSlot *sorted = MemoryContextAllocHuge(b->cxt, most * sizeof(HnswSlot));
	uint32	   *order = MemoryContextAllocHuge(b->cxt, most * sizeof(uint32));
	int64		kept = 0;

	b->nodes = MemoryContextAllocHuge(b->cxt, mul_size(most, sizeof(BatchNode)));
	b->own = MemoryContextAllocHuge(b->cxt, mul_size(most, g->lay->own_bytes));
	for (int64 from = 0; from < n;)
	{
		HnswSlot *portion = nodes + kept;
		uint32		got = 0;

		for (; from < n && got < most; from++)
		{
			CHECK_FOR_INTERRUPTS();
			if (read_node(b, &nodes[from], got))
				portion[got++] = nodes[from];
		}
		HnswNearOrder(c, got, order);
		for (uint32 i = 0; i < got; i++)
			sorted[i] = portion[order[i]];
		memcpy(portion, sorted, got * sizeof(HnswSlot));
		kept += got;
	}
	HnswBatchDestroy(b);
	pfree(shared);
	return kept;
}
