/*
 * insert.c
 *		Insertion of one row: into an index that exists, or by a build whose
 *		batch is full.
 *
 * While there is room a row is appended: its node has no links, and is listed on a pending
 * page (README, "Pending nodes").  Else it is linked at once.
 *
 * The order of such an insert, and what each step leaves if it is the last:
 * search (nothing); level-0 record and tree link, one change (a sound node);
 * back-links, one change each; for each higher level the record with its link
 * down, then back-links; the metapage, when the node is the new entry point.
 */
#include "postgres.h"

#include <math.h>

#include "hnsw/base/waitpoint.h"
#include "hnsw/graph/connect.h"
#include "hnsw/graph/insert.h"
#include "hnsw/graph/known.h"
#include "hnsw/graph/search.h"
#include "hnsw/graph/tree.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/link.h"
#include "hnsw/metric/vector.h"
#include "hnsw/page/access.h"
#include "hnsw/page/index.h"
#include "hnsw/page/meta.h"
#include "hnsw/page/overflow.h"
#include "hnsw/page/pending.h"
#include "hnsw/page/record.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"

/* How often an insert starts over because others changed what it relied on. */
#define MAX_ATTEMPTS	1000

/*
 * The node among the found that holds the same vector, or -1.  Equal means
 * equal before quantisation, but for collisions of a 32-bit hash among vectors
 * that are stored alike.
 */
static int
find_equal(HnswIndex *g, const HnswResult *res, const HnswRecord *rec, const char *own)
{
	for (int i = 0; i < res->nfound; i++)
	{
		int			c = res->order[i].idx;
		const HnswFound *f = &res->found[c];

		if (f->hash == rec->hash && f->scale == rec->scale && f->offset == rec->offset &&
			memcmp(res->own + (Size) c * g->lay->own_bytes, own, g->lay->own_bytes) == 0)
			return c;
	}
	return -1;
}

/*
 * Add a heap TID to an existing node, in one change.  False when the node has gone.
 * Locks: the node's page, then an overflow page within it.
 */
static bool
add_tid(HnswIndex *g, const HnswFound *f, const HnswRecord *own_rec, ItemPointer tid)
{
	HnswPin		pin;
	const HnswRecord *rec;
	bool		there;

	HnswAcquire(g, f->blk, BUFFER_LOCK_EXCLUSIVE, &pin);
	rec = (const HnswRecord *) HnswNodeAt(g, &pin, f->slot);
	there = rec->state == HNSW_LIVE && rec->level == 0 &&
		rec->generation == f->generation && rec->hash == own_rec->hash;
	if (there)
	{
		/* not true of the new one; a lost hint does no harm */
		HnswSetKilled(g->lay, pin.page, f->slot, false);
		HnswAddTid(g, &pin, f->slot, tid);
	}
	HnswRelease(g, &pin);
	return there;
}

/* Make a record the entry point, unless there is a higher one by now. */
static void
raise_entry(HnswIndex *g, int level, const HnswCandidate *at)
{
	HnswPin		pin;
	HnswMetaPage *meta;

	HnswAcquire(g, HNSW_META_BLOCK, BUFFER_LOCK_EXCLUSIVE, &pin);
	meta = HnswPageGetMeta(pin.page);
	if (meta->entry_level < level)
	{
		HnswWrite  *w = &g->scratch->write;
		HnswMetaPage changed = *meta;

		ItemPointerSet(&changed.entry, at->blk, at->slot);
		changed.entry_level = level;
		HnswWriteBegin(g, w);
		HnswWriteAdd(w, &pin, false);
		HnswMetaWrite(w, 0, &changed);
		HnswWriteEnd(w);
	}
	HnswRelease(g, &pin);
}

/*
 * The handle's memory for inserts and for repairs of VACUUM, of which a handle does one
 * at a time.  What it holds is free to be taken again when HnswInserterDone was
 * called, and goes when the handle is let go of with more than it may keep.
 */
HnswInserter *
HnswInserterOf(HnswIndex *g)
{
	MemoryContext cxt;
	HnswInserter *ins;

	if (g->inserter)
		return g->inserter;
	cxt = AllocSetContextCreate(g->idle, "hnsw insert", ALLOCSET_DEFAULT_SIZES);
	ins = MemoryContextAllocZero(cxt, sizeof(HnswInserter));
	ins->cxt = cxt;
	ins->search = HnswSearchCreate(g, cxt);
	ins->first = MemoryContextAlloc(cxt, g->lay->dim * sizeof(float));
	return g->inserter = ins;
}

/* Let go of it when the handles in use have much memory of the kind. */
void
HnswInserterDone(HnswIndex *g)
{
	HnswInserter *ins = g->inserter;

	if (ins == NULL || HnswKeepIdle(g, MemoryContextMemAllocated(ins->cxt, true)))
		return;
	g->inserter = NULL;
	MemoryContextDelete(ins->cxt);
}

/*
 * Search from the entry point down, and collect the nearest nodes of levels
 * top..0 into the inserter's upper[] and its search's results.
 */
static void
search_levels(HnswIndex *g, HnswInserter *ins, const HnswMetaPage *meta, int top)
{
	HnswSearch *s = ins->search;
	const int	width = HnswDescentWidth(g->lay->ef_construction);
	HnswCandidate at[HNSW_MAX_DESCENT];
	HnswCandidate root;
	int			n;

	HnswTidGet(&meta->root, &root);
	n = HnswDescend(g, s, meta, top, width, at);
	for (int level = top; level > 0 && n > 0; level--)
	{
		HnswResult *res = &ins->upper[level];

		HnswResultInit(res, g->lay, ins->cxt, g->lay->ef_construction, true);
		HnswSearchLevel(g, s, res, level, at, n, NULL);
		/* where there is no live node, by way of the dead ones */
		n = res->nfound > 0 ? HnswStepDown(g, res, width, at) :
			HnswDescend(g, s, meta, level - 1, width, at);
	}
	if (n == 0)
		at[n++] = root;			/* the entry point has been freed: always a way in */
	HnswResultInit(&s->results, g->lay, s->cxt, g->lay->ef_construction, true);
	HnswSearchLevel(g, s, &s->results, 0, at, n, &root);
}

/*
 * Make the records of levels 1..level of a node whose level 0 record is at
 * *at; levels up to top have been searched.
 */
static void
add_upper_records(HnswIndex *g, HnswInserter *ins, const HnswRecord *own_rec,
				  const HnswMetaPage *meta, int level, int top, HnswCandidate at)
{
	ItemPointerData tids[2];

	ItemPointerSet(&tids[1], at.blk, at.slot);
	for (int l = 1; l <= level; l++)
	{
		HnswResult *res = &ins->upper[l];

		if (l > top)
			HnswResultInit(res, g->lay, ins->cxt, g->lay->ef_construction, true);
		ItemPointerSet(&tids[0], at.blk, at.slot);
		HNSW_WAIT_POINT("insert-upper");
		/* a level more or less for one node harms nothing: give up */
		if (!HnswConnect(g, ins->search, res, l, own_rec, g->scratch->own, tids, 2, &at))
			return;
	}
	if (level <= meta->entry_level)
		return;
	HNSW_WAIT_POINT("insert-entry");
	raise_entry(g, level, &at);
}

/*
 * Insert the vector in the search's query and scratch->own, as own_rec describes
 * it, "centre" subtracted.  *placed: its node.  False when another backend changed what this relied on.
 */
static bool
insert_prepared(HnswIndex *g, const HnswMetaPage *meta, const float *centre,
				const HnswRecord *own_rec, ItemPointer heap_tid, HnswSlot *placed)
{
	HnswInserter *ins = HnswInserterOf(g);
	HnswSearch *s = ins->search;
	HnswResult *res = &s->results;
	const char *own = g->scratch->own;
	HnswCandidate at;
	int			level;
	int			top;
	int			same;

	g->upper_target = meta->upper_target;
	s->without.blk = InvalidBlockNumber;	/* an error may have left one */
	HnswResultInit(res, g->lay, s->cxt, g->lay->ef_construction, true);
	if (!HnswTidIsSet(&meta->root) || !HnswTidIsSet(&meta->entry))
	{
		HNSW_WAIT_POINT("insert-root");
		if (!HnswConnectRoot(g, meta, centre, s, res, own_rec, own, heap_tid, &at))
			return false;
		*placed = (HnswSlot) {at.blk, at.slot};
		return true;
	}

	HnswKnownReset(s);
	level = HnswRandomLevel(g->lay->fanout);
	top = Min(level, (int) meta->entry_level);
	search_levels(g, ins, meta, top);
	same = find_equal(g, res, own_rec, own);
	if (same >= 0)
	{
		HNSW_WAIT_POINT("insert-equal");
		*placed = (HnswSlot) {res->found[same].blk, res->found[same].slot};
		return add_tid(g, &res->found[same], own_rec, heap_tid);
	}
	HNSW_WAIT_POINT("insert-connect");
	/* where nothing live is found, or nobody has room, it becomes the root */
	if ((res->nfound == 0 || !HnswConnect(g, s, res, 0, own_rec, own, heap_tid, 1, &at)) &&
		!HnswConnectRoot(g, meta, centre, s, res, own_rec, own, heap_tid, &at))
		return false;
	*placed = (HnswSlot) {at.blk, at.slot};
	if (level > 0)
		add_upper_records(g, ins, own_rec, meta, level, top, at);
	return true;
}

/* Nodes listed by a link like the new one's that are looked at for the same vector. */
#define MAX_ALIKE	16

/*
 * Form the link that lists a vector: from the origin, with an edge that is no distance but a
 * part of the hash, so that equal vectors are found by it.
 */
static void
form_listing(HnswIndex *g, const HnswRecord *own_rec, const float *vec, HnswLink *link)
{
	HnswScratch *work = g->scratch;

	memset(work->fa, 0, g->lay->dim * sizeof(float));
	link->code = work->code;
	link->edge = own_rec->norm2;
	HnswLinkForm(&g->space, work->fa, vec, link);
	/* what bf16 has the bits for */
	link->edge = ldexpf(128 + own_rec->hash % 128, (int) (own_rec->hash / 128 % 128) - 64);
}

/* Add a heap TID to the live node in a slot, if it has the same vector. */
static bool
add_to_pending(HnswIndex *g, const HnswSlot *at, const HnswRecord *own_rec, ItemPointer heap_tid)
{
	HnswFound	f = {.blk = at->blk,.slot = at->slot};
	HnswPin		pin;
	const char *node;
	bool		same = false;

	HnswAcquire(g, at->blk, BUFFER_LOCK_SHARE, &pin);
	node = HnswLiveNodeAt(g, &pin, at->slot);
	if (node != NULL)
	{
		const HnswRecord *rec = (const HnswRecord *) node;

		f.generation = rec->generation;
		same = rec->hash == own_rec->hash && rec->scale == own_rec->scale &&
			rec->offset == own_rec->offset &&
			memcmp(HnswNodeOwn(g, &pin, at->slot, node), g->scratch->own, g->lay->own_bytes) == 0;
	}
	HnswRelease(g, &pin);
	return same && add_tid(g, &f, own_rec, heap_tid);
}

/*
 * Append the vector "vec", whose stored form is in scratch->own and own_rec, or add
 * its TID to the pending node of an equal one; *placed: its node.  False when there is no room.
 */
static bool
append(HnswIndex *g, const HnswMetaPage *meta, int limit, const float *vec,
	   const HnswRecord *own_rec, ItemPointer heap_tid, HnswSlot *placed)
{
	HnswLink	link;
	HnswSlot	alike[MAX_ALIKE];
	int			n;

	form_listing(g, own_rec, vec, &link);
	n = HnswPendingAlike(g, meta, &link, alike, MAX_ALIKE);
	for (int i = 0; i < n; i++)
		if (add_to_pending(g, &alike[i], own_rec, heap_tid))
		{
			*placed = alike[i];
			return true;
		}
	HnswFormRecord(g, 0, own_rec, g->scratch->own, heap_tid, 1);
	if (!HnswPendingAppend(g, meta, limit, g->scratch->own, &link))
		return false;
	*placed = (HnswSlot) {link.blk, link.slotflags & HNSW_LINK_SLOT_MASK};
	return true;
}

/* One attempt; false when another backend changed what it relied on. */
static bool
try_insert(HnswIndex *g, HnswValue value, ItemPointer heap_tid, int pending_limit, bool or_full,
		   HnswInserted *done, HnswSlot *placed)
{
	HnswInserter *ins = HnswInserterOf(g);
	HnswQuery  *q = &ins->search->query;
	HnswMetaPage meta;
	HnswRecord	own_rec;
	const float *centre;
	uint32		hash;

	memset(&own_rec, 0, sizeof(own_rec));
	HnswReadMeta(g, &meta);
	centre = HnswCentre(g);
	/* nothing better is known: the first row is the centre */
	if (!HnswTidIsSet(&meta.root) && !meta.centre_set && g->ncentre > 0 &&
		HnswNormaliseVector(&g->space, value, ins->first))
		centre = ins->first;
	*done = HNSW_NOT_INDEXED;
	if (!HnswPrepareVector(&g->space, centre, value, q->vec, &hash))
		return true;
	HnswOwnEncode(&g->space, q->vec, hash, g->scratch->own, &own_rec);
	if (pending_limit > 0 && HnswTidIsSet(&meta.root))
	{
		*done = append(g, &meta, pending_limit, q->vec, &own_rec, heap_tid, placed) ? HNSW_PENDING : HNSW_FULL;
		if (*done == HNSW_PENDING || or_full)
			return true;
	}
	*done = HNSW_LINKED;
	HnswQueryBuild(&g->space, q);
	return insert_prepared(g, &meta, centre, &own_rec, heap_tid, placed);
}

/*
 * How many attempts there have been: too many?  Each failed because somebody else
 * changed something, so this says nothing of the index.
 */
static void
check_attempts(HnswIndex *g, int attempt)
{
	CHECK_FOR_INTERRUPTS();
	if (attempt == MAX_ATTEMPTS)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not insert into index \"%s\" for concurrent changes",
						RelationGetRelationName(g->rel)),
				 errdetail("%d attempts found it changed meanwhile.", attempt),
				 errhint("Try again.")));
}

/*
 * Insert a row's value with its heap TID.  The caller holds the insert lock (not in
 * a build) and no page lock.  pending_limit: so many rows may wait to be linked; or_full: it is not
 * linked at once when there are as many.
 * *placed: its node.
 * Errors: dimensions, range, index_corrupted, t_r_serialization_failure.
 */
HnswInserted
HnswInsertValue(HnswIndex *g, HnswValue value, ItemPointer heap_tid, int pending_limit, bool or_full,
				HnswSlot *placed)
{
	HnswInserted done;

	for (int attempt = 0; !try_insert(g, value, heap_tid, pending_limit, or_full, &done, placed); attempt++)
		check_attempts(g, attempt);
	return done;
}

/*
 * The same for one that has been prepared and encoded by HnswOwnEncode: a row of
 * a build.  Its links are chosen by the vector as it is stored.
 */
void
HnswInsertStored(HnswIndex *g, const HnswRecord *rec, const char *own, ItemPointer heap_tid)
{
	HnswQuery  *q = &HnswInserterOf(g)->search->query;

	for (int attempt = 0;; attempt++)
	{
		HnswMetaPage meta;
		HnswSlot	placed;

		HnswReadMeta(g, &meta);
		HnswQueryFromStored(&g->space, own, &rec->head, q);
		memcpy(g->scratch->own, own, g->lay->own_bytes);
		if (insert_prepared(g, &meta, HnswCentre(g), rec, heap_tid, &placed))
			return;
		check_attempts(g, attempt);
	}
}

/* Copy a node that is to be settled, its own vector to scratch->own; false when there is none. */
static bool
read_placed(HnswIndex *g, const HnswCandidate *at, HnswRecord *rec)
{
	HnswPin		pin;
	const char *node;

	HnswAcquire(g, at->blk, BUFFER_LOCK_SHARE, &pin);
	node = HnswLiveNodeAt(g, &pin, at->slot);
	if (node)
	{
		*rec = *(const HnswRecord *) node;
		memcpy(g->scratch->own, HnswNodeOwn(g, &pin, at->slot, node), g->lay->own_bytes);
	}
	HnswRelease(g, &pin);
	return node != NULL;
}

/*
 * One attempt to settle a node, which has been read; false when another backend changed what it
 * relied on.
 */
static bool
settle(HnswIndex *g, const HnswCandidate *node, const HnswRecord *rec, int level, bool linked)
{
	HnswSearch *s = HnswInserterOf(g)->search;
	HnswResult *res = &s->results;
	HnswCandidate at = *node;
	HnswMetaPage meta;
	HnswCandidate root;
	int			top = 0;

	HnswReadMeta(g, &meta);
	g->upper_target = meta.upper_target;
	HnswTidGet(&meta.root, &root);
	HnswResultInit(res, g->lay, s->cxt, g->lay->ef_construction, true);
	if (!HnswTidIsSet(&meta.root))
		return HnswConnectRoot(g, &meta, NULL, s, res, rec, g->scratch->own, NULL, &at);
	/* what a merge that was cut off has left has its list already, and maybe nodes that hang on it */
	if (root.blk == node->blk && root.slot == node->slot)
		linked = true;
	else if (!linked && rec->nlinks > 0)
		linked = HnswHangAgain(g, &root, node);
	if (linked && level == 0)
		return true;
	top = Min(level, (int) meta.entry_level);
	HnswKnownReset(s);
	search_levels(g, HnswInserterOf(g), &meta, top);
	if (!linked && (res->nfound == 0 || !HnswConnectPlaced(g, s, res, rec, g->scratch->own, &at)) &&
		!HnswConnectRoot(g, &meta, NULL, s, res, rec, g->scratch->own, NULL, &at))
		return false;
	if (level > 0)
		add_upper_records(g, HnswInserterOf(g), rec, &meta, level, top, at);
	return true;
}

/*
 * Make a node of level 0 that is in its place a part of the graph: its links and records of higher
 * levels.  linked: it has the former.  For pending nodes, which nobody else settles at the same time; one
 * that has gone is no error.  As an insert it takes the lock of inserts, so that whoever keeps those off keeps
 * merges off.  Errors as HnswInsertValue's.
 */
void
HnswSettle(HnswIndex *g, const HnswCandidate *node, bool linked)
{
	HnswSearch *s = HnswInserterOf(g)->search;
	const int	level = HnswRandomLevel(g->lay->fanout);
	HnswRecord	rec;

	if (linked && level == 0)
		return;
	HnswLockInserts(g->rel);
	s->without = *node;
	for (int attempt = 0; read_placed(g, node, &rec); attempt++)
	{
		HnswQueryFromStored(&g->space, g->scratch->own, &rec.head, &s->query);
		if (settle(g, node, &rec, level, linked))
			break;
		check_attempts(g, attempt);
	}
	s->without.blk = InvalidBlockNumber;
	HnswUnlockInserts(g->rel);
}
