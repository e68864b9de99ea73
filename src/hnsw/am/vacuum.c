/*
 * vacuum.c
 *		VACUUM: take out dead heap TIDs, mend the graph around nodes that lost
 *		all of them, give their slots back.
 *
 * Phases, each a pass over pages with one page locked at a time (nested locks
 * only as README lists them):
 *
 * 1. strip: dead heap TIDs leave their nodes; nodes without any become DEAD.
 *    Then wait for the inserts under way: later ones do not link to DEAD
 *    nodes (but a new root to the one before, see 3).
 * 2. repair: links of live nodes to DEAD ones are replaced.  The tree
 *    children of a DEAD node are adopted by its tree parent, so that every
 *    live node stays reachable; other links by a neighbour of the DEAD node.
 * 3. root and entry point move off DEAD nodes; 2 once more for pages added
 *    meanwhile, where inserts may have put a root above a DEAD one.
 * 4. free: DEAD nodes, to which no live node links any more, become FREE.
 *
 * A crash or cancel between or within the phases leaves a sound graph with
 * some nodes DEAD, which the next VACUUM starts from.
 */
#include "postgres.h"

#include <math.h>

#include "commands/defrem.h"
#include "commands/vacuum.h"
#include "compat.h"
#include "hnsw/am/am.h"
#include "hnsw/am/cached.h"
#include "hnsw/am/merge.h"
#include "hnsw/am/recall.h"
#include "hnsw/am/shrink.h"
#include "hnsw/base/waitpoint.h"
#include "hnsw/bulk/relink.h"
#include "hnsw/graph/connect.h"
#include "hnsw/graph/nodeset.h"
#include "hnsw/graph/repair.h"
#include "hnsw/graph/search.h"
#include "hnsw/graph/tree.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/page/access.h"
#include "hnsw/page/dead.h"
#include "hnsw/page/index.h"
#include "hnsw/page/meta.h"
#include "hnsw/page/overflow.h"
#include "hnsw/page/place.h"
#include "hnsw/page/record.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/freespace.h"
#include "storage/indexfsm.h"
#include "tcop/pquery.h"
#include "utils/memutils.h"
#include "utils/portal.h"

/* So many overflow pages leave a chain while the page before them is locked. */
#define CHAIN_PORTION	32

typedef struct VacuumState
{
	IndexVacuumInfo *info;
	IndexBulkDeleteResult *stats;
	IndexBulkDeleteCallback callback;
	void	   *callback_arg;
	HnswIndex  *g;
	MemoryContext cxt;

	HnswRepairContext repair;	/* with the records found DEAD */
	HnswRepaired repaired;
	int64		nfreed;			/* nodes */
	int64		nroom;			/* pages of nodes with a free slot */
	int64		nrelinked;		/* lists chosen anew by HnswRelink */
	int64		nrecords;		/* LIVE and DEAD ones, and their tree links */
	int64		ntree;
	BlockNumber *uppers;		/* upper pages */
	int64		nuppers;
	int64		maxuppers;
	NodeList	chained;		/* nodes with overflow pages */

	HnswCandidate best;			/* a live record of the highest level */
	int			best_level;
} VacuumState;

/* As HnswAcquireInOrder, with the vacuum's buffer strategy and its delays. */
static bool
acquire(VacuumState *st, BlockNumber blk, int mode, HnswPin *pin)
{
	CompatVacuumDelayPoint();
	return HnswAcquireInOrder(st->g, blk, mode, st->repair.strategy, pin);
}

static void
set_state(HnswIndex *g, HnswWrite *w, uint16 slot, HnswState state)
{
	uint8		byte = state;

	HnswWriteBytes(w, 0, HnswSlotOffset(g->lay, slot) + offsetof(HnswRecord, state), &byte, 1);
}

/* ---- phase 1: strip ---- */

/* Keep the live ones of n TIDs in kept; returns their number. */
static int
filter_tids(VacuumState *st, const ItemPointerData *tids, int n, ItemPointerData *kept)
{
	int			nkept = 0;

	for (int i = 0; i < n; i++)
	{
		ItemPointerData tid = tids[i];

		if (st->callback(&tid, st->callback_arg))
			st->stats->tuples_removed++;
		else
		{
			kept[nkept++] = tid;
			st->stats->num_index_tuples++;
		}
	}
	return nkept;
}

static void
count_tree(VacuumState *st, const char *node)
{
	if (((const HnswRecord *) node)->state == HNSW_FREE)
		return;
	st->nrecords++;
	st->ntree += HnswCountTreeLinks(st->g->lay, node);
}

static void
strip_nodes(VacuumState *st, HnswPin *pin)
{
	HnswIndex  *g = st->g;
	const HnswLayout *lay = g->lay;
	HnswWrite  *w = &g->scratch->write;
	bool		changed = false;
	int			nslots = HnswPageGetHeader(pin->page)->nslots;

	HnswWriteBegin(g, w);
	HnswWriteAdd(w, pin, false);
	for (int slot = 0; slot < nslots; slot++)
	{
		char	   *node = HnswNodeAt(g, pin, slot);
		HnswRecord *rec = (HnswRecord *) node;
		Size		recoff = HnswSlotOffset(lay, slot);
		ItemPointerData kept[HNSW_MAX_TIDS];
		uint8		nkept;
		uint16		strips = rec->strips + 1;

		if (rec->state == HNSW_DEAD)
			HnswDeadAdd(&st->repair.dead, pin->blk, slot);
		count_tree(st, node);
		if (rec->state != HNSW_FREE && rec->overflow != InvalidBlockNumber)
			nodelist_add(&st->chained, pin->blk, slot);
		if (rec->state != HNSW_LIVE)
			continue;
		if (rec->level != 0)
			HnswCorrupted(g, pin->blk, slot, "an upper record on a page of level 0");
		nkept = filter_tids(st, HnswNodeTids(lay, node), rec->ntids, kept);
		if (nkept == rec->ntids)
			continue;
		HnswWriteBytes(w, 0, recoff + lay->off_tids, kept, nkept * sizeof(ItemPointerData));
		HnswWriteBytes(w, 0, recoff + offsetof(HnswRecord, ntids), &nkept, 1);
		HnswWriteBytes(w, 0, recoff + offsetof(HnswRecord, strips), &strips,
					   sizeof(strips));
		if (nkept == 0 && rec->overflow == InvalidBlockNumber)
		{
			set_state(g, w, slot, HNSW_DEAD);
			HnswDeadAdd(&st->repair.dead, pin->blk, slot);
		}
		changed = true;
	}
	if (changed)
		HnswWriteEnd(w);
}

static void
strip_overflow(VacuumState *st, HnswPin *pin)
{
	HnswIndex  *g = st->g;
	HnswWrite  *w = &g->scratch->write;
	HnswOverflow *o = HnswPageGetOverflow(pin->page);
	ItemPointerData kept[HNSW_OVERFLOW_TIDS];
	uint16		nkept;
	LocationIndex lower;

	if (o->ntids > HNSW_OVERFLOW_TIDS)
		HnswCorrupted(g, pin->blk, 0, "too many TIDs on an overflow page");
	nkept = filter_tids(st, HnswOverflowTids(o), o->ntids, kept);
	if (nkept == o->ntids)
		return;
	lower = HNSW_PAGE_DATA + sizeof(HnswOverflow) + nkept * sizeof(ItemPointerData);
	HnswWriteBegin(g, w);
	HnswWriteAdd(w, pin, false);
	HnswWriteBytes(w, 0, offsetof(PageHeaderData, pd_lower), &lower, sizeof(lower));
	HnswWriteBytes(w, 0, HNSW_PAGE_DATA + offsetof(HnswOverflow, ntids), &nkept, sizeof(nkept));
	HnswWriteBytes(w, 0, HNSW_PAGE_DATA + sizeof(HnswOverflow), kept,
				   nkept * sizeof(ItemPointerData));
	/* what is now behind pd_lower reads as zeros after redo; so here */
	if (nkept < o->ntids)
	{
		Size		at = lower;
		Size		len = (o->ntids - nkept) * sizeof(ItemPointerData);
		char	   *zeros = palloc0(len);

		HnswWriteBytes(w, 0, at, zeros, len);
		pfree(zeros);
	}
	HnswWriteEnd(w);
}

/*
 * One change: an empty overflow page leaves its chain, in which it follows the
 * page "before" (the node's, or an overflow page's), where "link" is the offset
 * of the number that leads to it.
 */
static void
unchain(VacuumState *st, HnswPin *before, Size link, HnswPin *cur)
{
	HnswIndex  *g = st->g;
	HnswWrite  *w = &g->scratch->write;
	uint16		kind = HNSW_PAGE_FREE;
	LocationIndex lower = HNSW_PAGE_DATA;
	BlockNumber next = HnswPageGetOverflow(cur->page)->next;
	HnswOverflow none;

	memset(&none, 0, sizeof(none));
	HnswWriteBegin(g, w);
	HnswWriteAdd(w, before, false);
	HnswWriteAdd(w, cur, false);
	HnswWriteBytes(w, 0, link, &next, sizeof(next));
	HnswWriteBytes(w, 1, MAXALIGN(SizeOfPageHeaderData) + offsetof(HnswPageHeader, kind),
				   &kind, sizeof(kind));
	HnswWriteBytes(w, 1, offsetof(PageHeaderData, pd_lower), &lower, sizeof(lower));
	HnswWriteBytes(w, 1, HNSW_PAGE_DATA, &none, sizeof(none));
	HnswWriteEnd(w);
	HnswRelease(g, cur);
	RecordPageWithFreeSpace(g->rel, cur->blk, HNSW_FSM_PAGE(g->lay));
	st->stats->pages_newly_deleted++;
}

/*
 * With a page in hand exclusively that has a chain's next number at offset
 * "link": take the empty pages that follow it out of the chain, at most
 * CHAIN_PORTION of them.  Returns the first page that stays, or
 * InvalidBlockNumber; *more: it may be empty, too.
 */
static BlockNumber
unchain_empty(VacuumState *st, const HnswCandidate *node, HnswPin *before, Size link, bool *more)
{
	HnswIndex  *g = st->g;

	for (int i = 0;; i++)
	{
		HnswPin		cur;
		BlockNumber next;

		memcpy(&next, (char *) before->page + link, sizeof(next));
		*more = i == CHAIN_PORTION && next != InvalidBlockNumber;
		if (next == InvalidBlockNumber || *more)
			return next;
		HnswAcquireOverflow(g, next, node->blk, node->slot, BUFFER_LOCK_EXCLUSIVE, &cur);
		if (HnswPageGetOverflow(cur.page)->ntids > 0)
		{
			HnswRelease(g, &cur);
			return next;
		}
		unchain(st, before, link, &cur);
	}
}

/*
 * Take all empty pages out of a node's overflow chain.  Inserts put pages in
 * front only, and only VACUUM takes any out, so one that stays is in the chain
 * when it is taken in hand again.  Locks: the node's page or a page that stays,
 * and the page after it; all let go of every CHAIN_PORTION pages.
 */
static void
trim_chain(VacuumState *st, const HnswCandidate *node)
{
	HnswIndex  *g = st->g;
	BlockNumber at = InvalidBlockNumber;	/* the last page that stays */
	BlockNumber next;
	BlockNumber count = 0;
	bool		more;

	do
	{
		HnswPin		pin;
		Size		link;

		CompatVacuumDelayPoint();
		if (at == InvalidBlockNumber)
		{
			HnswAcquire(g, node->blk, BUFFER_LOCK_EXCLUSIVE, &pin);
			(void) HnswNodeAt(g, &pin, node->slot);
			link = HnswSlotOffset(g->lay, node->slot) + offsetof(HnswRecord, overflow);
		}
		else
		{
			HnswAcquireOverflow(g, at, node->blk, node->slot, BUFFER_LOCK_EXCLUSIVE, &pin);
			link = HNSW_PAGE_DATA + offsetof(HnswOverflow, next);
		}
		next = unchain_empty(st, node, &pin, link, &more);
		HnswRelease(g, &pin);
		if (more)
			continue;
		at = next;
		if (++count > g->nblocks)
			HnswCorrupted(g, at, 0, "overflow pages form a loop");
	} while (next != InvalidBlockNumber);
}

/* Nodes with overflow pages: shorten the chains; are the nodes dead? */
static void
strip_chains(VacuumState *st)
{
	HnswIndex  *g = st->g;

	for (int64 i = 0; i < st->chained.n; i++)
	{
		const HnswCandidate *at = &st->chained.items[i];
		HnswPin		pin;
		HnswRecord *rec;

		trim_chain(st, at);
		HnswAcquire(g, at->blk, BUFFER_LOCK_EXCLUSIVE, &pin);
		rec = (HnswRecord *) HnswNodeAt(g, &pin, at->slot);
		if (rec->state == HNSW_LIVE && rec->overflow == InvalidBlockNumber && rec->ntids == 0)
		{
			HnswWrite  *w = &g->scratch->write;

			HnswWriteBegin(g, w);
			HnswWriteAdd(w, &pin, false);
			set_state(g, w, at->slot, HNSW_DEAD);
			HnswWriteEnd(w);
			HnswDeadAdd(&st->repair.dead, pin.blk, at->slot);
		}
		HnswRelease(g, &pin);
	}
}

/* Upper records whose node is dead become DEAD; note the highest live one. */
static void
strip_uppers(VacuumState *st)
{
	HnswIndex  *g = st->g;

	for (int64 i = 0; i < st->nuppers; i++)
	{
		HnswPin		pin;
		int			nslots;
		HnswWrite  *w = &g->scratch->write;
		bool		changed = false;

		if (!acquire(st, st->uppers[i], BUFFER_LOCK_EXCLUSIVE, &pin))
			continue;
		HnswWriteBegin(g, w);
		HnswWriteAdd(w, &pin, false);
		nslots = HnswPageGetHeader(pin.page)->nslots;
		for (int slot = 0; slot < nslots; slot++)
		{
			char	   *node = HnswNodeAt(g, &pin, slot);
			HnswRecord *rec = (HnswRecord *) node;
			HnswCandidate base;

			if (rec->state == HNSW_DEAD)
				HnswDeadAdd(&st->repair.dead, pin.blk, slot);
			count_tree(st, node);
			if (rec->state != HNSW_LIVE)
				continue;
			if (rec->ntids < 2)
				HnswCorrupted(g, pin.blk, slot, "an upper record without links down");
			HnswTidGet(&HnswNodeTids(g->lay, node)[1], &base);
			if (HnswIsDead(&st->repair.dead, base.blk, base.slot))
			{
				set_state(g, w, slot, HNSW_DEAD);
				HnswDeadAdd(&st->repair.dead, pin.blk, slot);
				changed = true;
			}
			else if (rec->level > st->best_level)
			{
				st->best_level = rec->level;
				st->best.blk = pin.blk;
				st->best.slot = slot;
			}
		}
		if (changed)
			HnswWriteEnd(w);
		HnswRelease(g, &pin);
	}
}

static void
strip(VacuumState *st)
{
	HnswIndex  *g = st->g;

	for (BlockNumber blk = HNSW_META_BLOCK + 1; blk < st->repair.dead.nblocks; blk++)
	{
		HnswPin		pin;

		HNSW_WAIT_POINT("vacuum-strip");
		if (!acquire(st, blk, BUFFER_LOCK_EXCLUSIVE, &pin))
		{
			RecordPageWithFreeSpace(g->rel, blk, HNSW_FSM_PAGE(g->lay));
			st->stats->pages_free++;
			continue;
		}
		switch (HnswPageGetHeader(pin.page)->kind)
		{
			case HNSW_PAGE_NODE:
				strip_nodes(st, &pin);
				break;
			case HNSW_PAGE_UPPER:
				if (st->nuppers == st->maxuppers)
				{
					st->maxuppers = Max(64, st->maxuppers * 2);
					st->uppers = st->uppers ?
						repalloc_huge(st->uppers, st->maxuppers * sizeof(BlockNumber)) :
						MemoryContextAllocHuge(st->cxt, st->maxuppers * sizeof(BlockNumber));
				}
				st->uppers[st->nuppers++] = blk;
				break;
			case HNSW_PAGE_OVERFLOW:
				strip_overflow(st, &pin);
				break;
			case HNSW_PAGE_FREE:
				RecordPageWithFreeSpace(g->rel, blk, HNSW_FSM_PAGE(g->lay));
				st->stats->pages_free++;
				break;
			case HNSW_PAGE_CENTRE:
			case HNSW_PAGE_SIDE:
			case HNSW_PAGE_PENDING:
				break;
			default:
				HnswCorrupted(g, blk, 0, "a page of unknown kind");
		}
		HnswRelease(g, &pin);
	}
	HNSW_WAIT_POINT("vacuum-strip-chains");
	strip_chains(st);
	HNSW_WAIT_POINT("vacuum-strip-uppers");
	strip_uppers(st);
}

/* ---- phase 4: free ---- */

/* Free a page's DEAD records; true when the page has a free slot. */
static bool
free_records(VacuumState *st, BlockNumber blk)
{
	HnswIndex  *g = st->g;
	HnswPin		pin;
	HnswWrite  *w = &g->scratch->write;
	int			nslots;
	bool		any = false;

	if (!acquire(st, blk, BUFFER_LOCK_EXCLUSIVE, &pin))
		return false;
	if (HnswPageGetHeader(pin.page)->kind != HNSW_PAGE_NODE &&
		HnswPageGetHeader(pin.page)->kind != HNSW_PAGE_UPPER)
	{
		HnswRelease(g, &pin);
		return false;
	}
	nslots = HnswPageGetHeader(pin.page)->nslots;
	any = nslots < g->lay->per_page;
	for (int slot = 0; slot < nslots; slot++)
	{
		HnswRecord *rec = (HnswRecord *) HnswNodeAt(g, &pin, slot);
		uint8		zero = 0;

		if (rec->state == HNSW_FREE)
			any = true;
		if (rec->state != HNSW_DEAD || !HnswIsDead(&st->repair.dead, blk, slot) ||
			rec->overflow != InvalidBlockNumber)
			continue;
		HnswWriteBegin(g, w);
		HnswWriteAdd(w, &pin, false);
		set_state(g, w, slot, HNSW_FREE);
		HnswWriteBytes(w, 0, HnswSlotOffset(g->lay, slot) + offsetof(HnswRecord, nlinks), &zero, 1);
		HnswWriteBytes(w, 0, HnswSlotOffset(g->lay, slot) + offsetof(HnswRecord, ntids), &zero, 1);
		HnswWriteEnd(w);
		st->nfreed += rec->level == 0;
		any = true;
	}
	HnswRelease(g, &pin);
	return any;
}

static void
free_dead(VacuumState *st)
{
	HnswIndex  *g = st->g;
	BlockNumber upper = InvalidBlockNumber;
	HnswPin		pin;

	/* upper records first: a crash must not leave one whose node is gone */
	for (int64 i = 0; i < st->nuppers; i++)
		if (free_records(st, st->uppers[i]))
		{
			/* chain the pages with free slots, each to one before it */
			HnswWrite  *w = &g->scratch->write;

			HNSW_WAIT_POINT("vacuum-free-upper");
			HnswAcquire(g, st->uppers[i], BUFFER_LOCK_EXCLUSIVE, &pin);
			HnswWriteBegin(g, w);
			HnswWriteAdd(w, &pin, false);
			HnswWriteBytes(w, 0, MAXALIGN(SizeOfPageHeaderData) + offsetof(HnswPageHeader, next),
						   &upper, sizeof(upper));
			HnswWriteEnd(w);
			HnswRelease(g, &pin);
			upper = st->uppers[i];
		}
	for (BlockNumber blk = HNSW_META_BLOCK + 1; blk < st->repair.dead.nblocks; blk++)
	{
		if (!acquire(st, blk, BUFFER_LOCK_SHARE, &pin))
			continue;
		if (HnswPageGetHeader(pin.page)->kind != HNSW_PAGE_NODE)
		{
			HnswRelease(g, &pin);
			continue;
		}
		HnswRelease(g, &pin);
		HNSW_WAIT_POINT("vacuum-free-node");
		if (free_records(st, blk))
		{
			RecordPageWithFreeSpace(g->rel, blk, HNSW_FSM_SLOT);
			st->nroom++;
		}
	}

	if (upper != InvalidBlockNumber)
	{
		HnswWrite  *w = &g->scratch->write;

		HNSW_WAIT_POINT("vacuum-upper-target");
		HnswAcquire(g, HNSW_META_BLOCK, BUFFER_LOCK_EXCLUSIVE, &pin);
		HnswWriteBegin(g, w);
		HnswWriteAdd(w, &pin, false);
		HnswWriteBytes(w, 0, HNSW_PAGE_DATA + offsetof(HnswMetaPage, upper_target),
					   &upper, sizeof(upper));
		HnswWriteEnd(w);
		HnswRelease(g, &pin);
	}
}

/* ---- all of it ---- */

/* Phase 2: no live node links to a DEAD one.  Returns the first block that it has not come to. */
static BlockNumber
repair(VacuumState *st)
{
	HnswRelinkTask task = {.dead = st->repair.dead,.strategy = st->repair.strategy,
		.limit = HnswMaintenanceMemory()};

	/* where most lists are broken a build's way mends them quicker */
	if (HnswRelink(st->g, &task, CurrentMemoryContext))
	{
		st->nrelinked += task.nchosen;
		st->repaired.nchosen += task.nchosen;
		st->repaired.nlost += task.nlost;
	}
	HNSW_WAIT_POINT("vacuum-repair");
	return HnswRepair(&st->repair, HNSW_META_BLOCK + 1);
}

/*
 * The level at which a user who wants to know sees what VACUUM tells.  The server does
 * not say: it tells access methods DEBUG2 even of VACUUM VERBOSE, so look at the statement.
 */
static int
message_level(const IndexVacuumInfo *info)
{
	ListCell   *lc;

	if (!PortalIsValid(ActivePortal))
		return info->message_level;
	foreach(lc, ActivePortal->stmts)
	{
		const PlannedStmt *stmt = lfirst_node(PlannedStmt, lc);
		ListCell   *opt;

		if (stmt->utilityStmt == NULL || !IsA(stmt->utilityStmt, VacuumStmt))
			continue;
		foreach(opt, ((VacuumStmt *) stmt->utilityStmt)->options)
		{
			DefElem    *option = lfirst_node(DefElem, opt);

			if (strcmp(option->defname, "verbose") == 0 && defGetBoolean(option))
				return INFO;
		}
	}
	return info->message_level;
}

/* A phase is over: how many it was about. */
static void
tell_phase(const VacuumState *st, int64 n, const char *what)
{
	ereport(DEBUG2,
			(errmsg_internal("index \"%s\": %lld %s", RelationGetRelationName(st->g->rel), (long long) n, what)));
}

/* Tell what has been done. */
static void
tell(const VacuumState *st)
{
	ereport(message_level(st->info),
			(errmsg("index \"%s\": %lld nodes freed, %lld lists repaired",
					RelationGetRelationName(st->g->rel), (long long) st->nfreed,
					(long long) (st->repaired.nchosen + st->repaired.nlost)),
			 errdetail("%lld lists were chosen anew, %lld of them at once; %lld only lost links or adopted nodes.\n"
					   "%lld pages of nodes have room for more, %u pages are free.",
					   (long long) st->repaired.nchosen, (long long) st->nrelinked,
					   (long long) st->repaired.nlost,
					   (long long) st->nroom, st->stats->pages_free)));
}

static void
close_graph(void *arg)
{
	HnswClose((HnswIndex *) arg);
}

/* ambulkdelete */
IndexBulkDeleteResult *
hnswbulkdelete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
			   IndexBulkDeleteCallback callback, void *arg)
{
	VacuumState st;
	MemoryContextCallback *cb;
	MemoryContext old;

	if (stats == NULL)
		stats = palloc0(sizeof(IndexBulkDeleteResult));
	stats->num_index_tuples = 0;
	stats->pages_free = 0;

	memset(&st, 0, sizeof(st));
	st.info = info;
	st.stats = stats;
	st.callback = callback;
	st.callback_arg = arg;
	st.cxt = AllocSetContextCreate(CurrentMemoryContext, "hnsw vacuum", ALLOCSET_DEFAULT_SIZES);
	st.repair.tmp = AllocSetContextCreate(st.cxt, "hnsw vacuum node", ALLOCSET_DEFAULT_SIZES);
	cb = MemoryContextAlloc(st.cxt, sizeof(*cb));
	st.g = HnswOpen(info->index);
	st.repair.g = st.g;
	st.repair.strategy = info->strategy;
	st.repair.done = &st.repaired;
	cb->func = close_graph;
	cb->arg = st.g;
	MemoryContextRegisterResetCallback(st.cxt, cb);
	old = MemoryContextSwitchTo(st.cxt);

	/* held to the end: what is found DEAD below, no merge links to */
	HnswLockMerges(info->index);
	(void) HnswMerge(info->index);

	HnswDeadInit(&st.repair.dead, RelationGetNumberOfBlocks(info->index), st.g->lay->per_page);

	strip(&st);
	tell_phase(&st, (int64) stats->tuples_removed, "dead rows taken out");
	if (st.repair.dead.n > 0)
	{
		HnswMetaPage meta;
		BlockNumber repaired;

		tell_phase(&st, st.repair.dead.n, "records without rows");
		HnswReadMeta(st.g, &meta);	/* the centre, for what follows */
		HNSW_WAIT_POINT("vacuum-barrier");
		HnswWaitForInserts(info->index);
		/* in a tree there are fewer tree links than records */
		if (st.ntree > st.nrecords + st.nrecords / 16)
			HnswThinTree(st.g, st.repair.dead.nblocks, st.uppers, st.nuppers);
		repaired = repair(&st);
		HNSW_WAIT_POINT("vacuum-root");
		HnswMoveRoot(&st.repair, &st.best, st.best_level);
		(void) HnswRepair(&st.repair, repaired);
		tell_phase(&st, st.repaired.nchosen + st.repaired.nlost, "lists repaired");
		HNSW_WAIT_POINT("vacuum-free");
		free_dead(&st);
		tell(&st);
	}
	HnswUnlockMerges(info->index);
	HNSW_WAIT_POINT("cache-void");
	/* the table's TIDs that have been taken out are free for others as soon as this returns */
	HnswCachedVoid(info->index);
	stats->estimated_count = false;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(st.cxt);
	return stats;
}

/* Give pages at the end that are in no use back, where rows have been deleted. */
static void
shrink(const IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "hnsw shrink", ALLOCSET_SMALL_SIZES);
	BlockNumber freed = HnswShrink(HnswOpenIn(info->index, cxt), info->strategy);

	stats->pages_free -= Min(freed, stats->pages_free);
	if (freed > 0)
		ereport(message_level(info),
				(errmsg("index \"%s\": %u pages at the end given back", RelationGetRelationName(info->index), freed)));
	MemoryContextDelete(cxt);
}

/* amvacuumcleanup */
IndexBulkDeleteResult *
hnswvacuumcleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	if (info->analyze_only)
		return stats;
	if (stats == NULL && HnswIsOfOtherFormat(info->index))
	{
		/* no row goes, so that the table need not wait for REINDEX to be frozen */
		ereport(WARNING,
				(errmsg("index \"%s\" has a format that this library does not read: it is left as it is",
						RelationGetRelationName(info->index)),
				 errhint("REINDEX INDEX %s;",
						 HnswQualifiedName(info->index))));
		return NULL;
	}
	if (stats == NULL)
	{
		/* nothing was deleted, and so nothing merged */
		HnswLockMerges(info->index);
		(void) HnswMerge(info->index);
		HnswUnlockMerges(info->index);
	}
	HnswRecalibrate(info->index, stats != NULL && stats->tuples_removed * 5 >= stats->num_index_tuples);
	if (stats == NULL)
		return NULL;
	shrink(info, stats);
	stats->num_pages = RelationGetNumberOfBlocks(info->index);
	IndexFreeSpaceMapVacuum(info->index);
	return stats;
}
