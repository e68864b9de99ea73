/*
 * items.c
 *		What a scan has found and not returned: items, a binary heap by the least distance that
 *		each may have.
 */
#include "postgres.h"

#include <math.h>

#include "hnsw/am/scan.h"
#include "hnsw/metric/precision.h"
#include "utils/memutils.h"

#define HEAP_PREFIX		items
#define HEAP_ELEMENT	HnswScanItem
#define HEAP_BEFORE(a, b)	((a).late != (b).late ? (b).late : (a).key < (b).key)
#include "hnsw/base/heap.h"

/* Take out the first item; its node stays in the pool until one is added. */
HnswScanItem
HnswItemsPop(HnswScan *so)
{
	HnswScanItem	top = so->items[0];
	HnswScanItem	last = so->items[--so->nitems];

	if (so->nitems > 0)
		items_sift_down(so->items, so->nitems, last);
	so->items[so->nitems].idx = top.idx;
	return top;
}

/* An item, one that was taken out or a new one, joins the others; its node is in the pool. */
void
HnswItemsPush(HnswScan *so, HnswScanItem item)
{
	items_sift_up(so->items, so->nitems++, item);
}

/* How far a found node's distance, as HnswScanItem's, may be from the true one. */
double
HnswItemSlack(const HnswScan *so, const HnswFound *f)
{
	const HnswQuery *q = &so->search->query;

	if (!so->exact)
		return 0;
	return q->far ? INFINITY : HnswDistanceSlack(&so->g->space, q, f->dist, f->norm2, f->scale) * q->unit;
}

/* A found node, whose distance lies between two, becomes an item. */
void
HnswItemsAdd(HnswScan *so, const HnswFound *f, double least, double most, bool late, bool row)
{
	HnswScanItem	item;

	if (so->nitems == so->maxitems)
	{
		int			max = so->maxitems == 0 ? Max(so->ef, 16) : so->maxitems * 2;

		if (so->maxitems > PG_INT32_MAX / 2)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("too many rows of index \"%s\" are equally near to the query",
							RelationGetRelationName(so->g->rel))));

		so->found = so->found ? repalloc_huge(so->found, max * sizeof(HnswFound)) :
			MemoryContextAllocHuge(so->cxt, max * sizeof(HnswFound));
		so->items = so->items ? repalloc_huge(so->items, max * sizeof(HnswScanItem)) :
			MemoryContextAllocHuge(so->cxt, max * sizeof(HnswScanItem));
		for (int i = so->maxitems; i < max; i++)
			so->items[i].idx = i;
		so->maxitems = max;
	}
	item.key = least;
	item.high = most;
	item.idx = so->items[so->nitems].idx;
	item.late = late;
	item.row = row;
	item.ahead = false;
	so->found[item.idx] = *f;
	HnswItemsPush(so, item);
}

/* Items that a sweep finds again go: all, or all but rows of nodes that are done with. */
void
HnswItemsForget(HnswScan *so, bool all)
{
	int			n = all ? 0 : so->nitems;

	so->nitems = 0;
	for (int i = 0; i < n; i++)
	{
		HnswScanItem	item = so->items[i];

		if (!item.row)
			continue;
		/* what is there goes behind, with its place in found[] */
		so->items[i] = so->items[so->nitems];
		HnswItemsPush(so, item);
	}
}
