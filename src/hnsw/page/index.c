/*
 * index.c
 *		Handles on an index, kept by each backend.
 *
 * A handle holds what never changes while the index has the same file
 * (layout, rotation, centre), hints that may be wrong without harm (which
 * buffer a block was in) and scratch memory.  It is found by the index's OID,
 * checked against the file it was made for, and counted while in use, so an
 * invalidation in the middle of a scan cannot free it.  A session that uses very
 * many indexes keeps the handles of those it used last.
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "catalog/index.h"
#include "compat.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/metric.h"
#include "hnsw/metric/type.h"
#include "hnsw/page/access.h"
#include "hnsw/page/index.h"
#include "hnsw/page/meta.h"
#include "miscadmin.h"
#include "simd/vx_simd.h"
#include "storage/bufmgr.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/regproc.h"

/* Of handles not in use: bytes that each may keep, and all together. */
#define KEPT_BYTES_EACH		((Size) 1024 * 1024)
#define KEPT_BYTES			((Size) 8 * 1024 * 1024)

typedef struct HandleEntry
{
	Oid			relid;
	HnswIndex  *g;
} HandleEntry;

static HTAB *handles = NULL;

/* Counts HnswOpen, to tell which handle was used last. */
static uint64 opened = 0;

/* Bytes of the handles that are not in use. */
static Size kept = 0;

/* Bytes that inserts left with handles in use. */
static Size idle_in_use = 0;

/* Free a handle that is not in use. */
static void
destroy(HnswIndex *g)
{
	kept -= g->bytes;
	idle_in_use -= g->idle_bytes;
	MemoryContextDelete(g->cxt);
}

/* Relcache callback: let go of handles whose index may be gone. */
static void
invalidate(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS seq;
	HandleEntry *entry;

	if (relid != InvalidOid)
	{
		entry = hash_search(handles, &relid, HASH_FIND, NULL);
		if (entry == NULL)
			return;
		if (entry->g->users > 0)
			return;				/* looked at again when it is opened next */
		destroy(entry->g);
		hash_search(handles, &relid, HASH_REMOVE, NULL);
		return;
	}
	hash_seq_init(&seq, handles);
	while ((entry = hash_seq_search(&seq)) != NULL)
	{
		if (entry->g->users > 0)
			continue;
		destroy(entry->g);
		hash_search(handles, &entry->relid, HASH_REMOVE, NULL);
	}
}

static void
init_handles(void)
{
	HASHCTL		ctl;

	memset(&ctl, 0, sizeof(ctl));
	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(HandleEntry);
	handles = hash_create("hnsw indexes", 16, &ctl, HASH_ELEM | HASH_BLOBS);
	CacheRegisterRelcacheCallback(invalidate, (Datum) 0);
}

/* Free what grew with use; it grows again. */
static void
trim(HnswIndex *g)
{
	idle_in_use -= g->idle_bytes;
	g->idle_bytes = 0;
	g->search = NULL;
	g->inserter = NULL;
	MemoryContextReset(g->idle);
}

/*
 * May a handle in use keep so many bytes that its last insert used?  Statements can have
 * hundreds of handles in use at once: one for each partition.
 */
bool
HnswKeepIdle(HnswIndex *g, Size bytes)
{
	idle_in_use -= g->idle_bytes;
	g->idle_bytes = idle_in_use + bytes > KEPT_BYTES ? 0 : bytes;
	idle_in_use += g->idle_bytes;
	return g->idle_bytes == bytes;
}

/* Let go of the handles used least recently while all have too much memory. */
static void
limit_handles(void)
{
	while (kept > KEPT_BYTES)
	{
		HASH_SEQ_STATUS seq;
		HandleEntry *entry;
		HandleEntry *oldest = NULL;

		hash_seq_init(&seq, handles);
		while ((entry = hash_seq_search(&seq)) != NULL)
			if (entry->g->users == 0 &&
				(oldest == NULL || entry->g->opened < oldest->g->opened))
				oldest = entry;
		if (oldest == NULL)
			return;
		destroy(oldest->g);
		hash_search(handles, &oldest->relid, HASH_REMOVE, NULL);
	}
}

/*
 * Make a handle from a metapage's contents, in a new memory context below
 * "parent".  The caller has checked the metapage, or has just made it.
 */
HnswIndex *
HnswIndexCreate(Relation index, MemoryContext parent, const HnswMetaPage *meta)
{
	MemoryContext cxt = AllocSetContextCreate(parent, "hnsw index",
											  ALLOCSET_DEFAULT_SIZES);
	HnswIndex  *g = MemoryContextAllocZero(cxt, sizeof(HnswIndex));

	g->cxt = cxt;
	g->relid = RelationGetRelid(index);
	g->file = CompatRelFileOf(index);
	g->rel = index;
	g->target = InvalidBlockNumber;
	g->upper_target = InvalidBlockNumber;
	g->pending_tail = InvalidBlockNumber;
	g->space.relid = g->relid;
	g->lay = &g->space.lay;
	g->space.type = HnswTypeOf(meta->type);
	if (!HnswLayoutFromMeta(meta, &g->space.lay) || g->space.type == NULL)
	{
		MemoryContextDelete(cxt);
		HnswReportDamagedMeta(index);
	}
	g->seed = meta->seed;
	g->ncentre = meta->ncentre;
	if (g->lay->metric->products)
	{
		g->space.signs = MemoryContextAlloc(cxt, 2 * VX_SIGN_WORDS(g->lay->dim) * sizeof(uint32));
		VxRotationSigns(g->seed, g->lay->dim, g->space.signs);
	}
	for (int i = 0; i < (int) lengthof(g->space.work); i++)
		g->space.work[i] = MemoryContextAlloc(cxt, g->lay->dim * sizeof(float));
	if (g->ncentre > 0)
		g->centre = MemoryContextAllocZero(cxt, g->lay->dim * sizeof(float));
	g->nrecent = HNSW_MIN_RECENT;
	g->recent = MemoryContextAllocZero(cxt, g->nrecent * sizeof(HnswRecent));
	HnswScratchInit(g);
	g->idle = AllocSetContextCreate(cxt, "hnsw idle", ALLOCSET_SMALL_SIZES);
	return g;
}

/*
 * The same from an index's metapage.  Errors: index_corrupted when it is not
 * one of a sound index.
 */
HnswIndex *
HnswIndexRead(Relation index, MemoryContext parent)
{
	Buffer		buf;
	PGAlignedBlock page;

	if (RelationGetNumberOfBlocks(index) == 0)
		HnswReportDamagedMeta(index);
	/* a copy: the check may read catalogs, better not with a lock held */
	buf = ReadBuffer(index, HNSW_META_BLOCK);
	LockBuffer(buf, BUFFER_LOCK_SHARE);
	memcpy(page.data, BufferGetPage(buf), BLCKSZ);
	UnlockReleaseBuffer(buf);
	HnswCheckMeta(index, (Page) page.data);
	return HnswIndexCreate(index, parent, HnswPageGetMeta(page.data));
}

/* Has the session a handle of the index with the file that it has now?  Then its metapage was sound. */
bool
HnswIsKnown(Relation index)
{
	Oid			relid = RelationGetRelid(index);
	HandleEntry *entry = handles ? hash_search(handles, &relid, HASH_FIND, NULL) : NULL;

	return entry != NULL && CompatRelFileEquals(entry->g->file, CompatRelFileOf(index));
}

/*
 * Handle of an index that exists, for reading or inserting.  The caller holds
 * a lock on the index, keeps it until HnswClose, and makes sure that
 * HnswClose is called also after an error.
 */
HnswIndex *
HnswOpen(Relation index)
{
	HandleEntry *entry;
	bool		found;
	Oid			relid = RelationGetRelid(index);

	if (handles == NULL)
		init_handles();
	entry = hash_search(handles, &relid, HASH_FIND, NULL);
	if (entry != NULL && !CompatRelFileEquals(entry->g->file, CompatRelFileOf(index)))
	{
		HnswIndex  *old = entry->g;

		hash_search(handles, &relid, HASH_REMOVE, NULL);
		entry = NULL;
		old->cached = false;
		if (old->users == 0)
			destroy(old);
	}
	if (entry == NULL)
	{
		HnswIndex  *g;

		g = HnswIndexRead(index, TopMemoryContext);
		g->cached = true;
		entry = hash_search(handles, &relid, HASH_ENTER, &found);
		entry->g = g;
	}
	if (entry->g->users++ == 0)
	{
		kept -= entry->g->bytes;
		entry->g->bytes = 0;
	}
	entry->g->opened = ++opened;
	entry->g->rel = index;
	/* VACUUM may have given it back, and told of it too late for this statement (am/shrink.c) */
	if (entry->g->target != InvalidBlockNumber && entry->g->target >= RelationGetNumberOfBlocks(index))
		entry->g->target = InvalidBlockNumber;
	return entry->g;
}

/*
 * The end of a use: the last one gives back what the handle may not keep (KEPT_BYTES_EACH)
 * or, unless it is cached, the handle.
 */
void
HnswClose(HnswIndex *g)
{
	Assert(g->users > 0);
	if (--g->users > 0)
		return;
	if (!g->cached)
	{
		destroy(g);
		return;
	}
	idle_in_use -= g->idle_bytes;
	g->idle_bytes = 0;
	g->bytes = MemoryContextMemAllocated(g->cxt, true);
	if (g->bytes > KEPT_BYTES_EACH)
	{
		trim(g);
		g->bytes = MemoryContextMemAllocated(g->cxt, true);
	}
	kept += g->bytes;
	limit_handles();
}

static void
close_handle(void *arg)
{
	HnswClose((HnswIndex *) arg);
}

/* A handle on an index that is closed when the context is deleted. */
HnswIndex *
HnswOpenIn(Relation index, MemoryContext cxt)
{
	MemoryContextCallback *cb = MemoryContextAlloc(cxt, sizeof(*cb));

	cb->func = close_handle;
	cb->arg = HnswOpen(index);
	MemoryContextRegisterResetCallback(cxt, cb);
	return (HnswIndex *) cb->arg;
}
