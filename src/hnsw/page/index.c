/*
 * index.c
 *		Handles on an index, kept by each backend; the metapage.
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
#include "hnsw/hnsw.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/page/access.h"
#include "hnsw/page/index.h"
#include "miscadmin.h"
#include "simd/vx_simd.h"
#include "storage/bufmgr.h"
#include "types/vector.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/regproc.h"

#define CENTRE_PER_PAGE		((int) (HNSW_PAGE_ROOM / sizeof(float4)))

/* Of handles not in use: bytes that each may keep, and all together. */
#define KEPT_BYTES_EACH		((Size) 1024 * 1024)
#define KEPT_BYTES			((Size) 8 * 1024 * 1024)

typedef struct HandleEntry
{
	Oid			relid;
	HnswGraph  *g;
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
destroy(HnswGraph *g)
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
trim(HnswGraph *g)
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
HnswKeepIdle(HnswGraph *g, Size bytes)
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

static void
report_damaged_meta(Relation index)
{
	ereport(ERROR,
			(errcode(ERRCODE_INDEX_CORRUPTED),
			 errmsg("index \"%s\" has a damaged metapage", RelationGetRelationName(index)),
			 errdetail("Block %u.", HNSW_META_BLOCK),
			 errhint("REINDEX the index.")));
}

/*
 * Make a handle from a metapage's contents, in a new memory context below
 * "parent".  The caller has checked the metapage, or has just made it.
 */
HnswGraph *
HnswGraphCreate(Relation index, MemoryContext parent, const HnswMetaPage *meta)
{
	MemoryContext cxt = AllocSetContextCreate(parent, "hnsw index",
											  ALLOCSET_DEFAULT_SIZES);
	HnswGraph  *g = MemoryContextAllocZero(cxt, sizeof(HnswGraph));

	g->cxt = cxt;
	g->relid = RelationGetRelid(index);
	g->file = CompatRelFileOf(index);
	g->rel = index;
	g->target = InvalidBlockNumber;
	g->upper_target = InvalidBlockNumber;
	g->space.relid = g->relid;
	g->lay = &g->space.lay;
	if (!HnswLayoutFromMeta(meta, &g->space.lay))
	{
		MemoryContextDelete(cxt);
		report_damaged_meta(index);
	}
	g->seed = meta->seed;
	g->ncentre = meta->ncentre;
	if (g->lay->metric != HNSW_L1)
	{
		g->space.signs = MemoryContextAlloc(cxt, 2 * VX_SIGN_WORDS(g->lay->dim) * sizeof(uint32));
		VxRotationSigns(g->seed, g->lay->dim, g->space.signs);
	}
	for (int i = 0; i < lengthof(g->space.work); i++)
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
HnswGraph *
HnswGraphRead(Relation index, MemoryContext parent)
{
	Buffer		buf;
	PGAlignedBlock page;

	if (RelationGetNumberOfBlocks(index) == 0)
		report_damaged_meta(index);
	/* a copy: the check may read catalogs, better not with a lock held */
	buf = ReadBuffer(index, HNSW_META_BLOCK);
	LockBuffer(buf, BUFFER_LOCK_SHARE);
	memcpy(page.data, BufferGetPage(buf), BLCKSZ);
	UnlockReleaseBuffer(buf);
	HnswCheckMeta(index, (Page) page.data);
	return HnswGraphCreate(index, parent, HnswPageGetMeta(page.data));
}

/*
 * Handle of an index that exists, for reading or inserting.  The caller holds
 * a lock on the index, keeps it until HnswClose, and makes sure that
 * HnswClose is called also after an error.
 */
HnswGraph *
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
		HnswGraph  *old = entry->g;

		hash_search(handles, &relid, HASH_REMOVE, NULL);
		entry = NULL;
		old->cached = false;
		if (old->users == 0)
			destroy(old);
	}
	if (entry == NULL)
	{
		HnswGraph  *g;

		g = HnswGraphRead(index, TopMemoryContext);
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
	return entry->g;
}

/*
 * The end of a use: the last one gives back what the handle may not keep (KEPT_BYTES_EACH)
 * or, unless it is cached, the handle.
 */
void
HnswClose(HnswGraph *g)
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

/* The metric an operator class stands for, by its support functions. */
HnswMetric
HnswIndexMetric(Relation index)
{
	FmgrInfo   *distance = index_getprocinfo(index, 1, HNSW_DISTANCE_PROC);
	bool		normalised = OidIsValid(index_getprocid(index, 1, HNSW_NORM_PROC));

	if (distance->fn_addr == vectorx_vector_l2_squared_distance)
		return HNSW_L2;
	if (distance->fn_addr == vectorx_vector_negative_inner_product)
		return normalised ? HNSW_COSINE : HNSW_IP;
	if (distance->fn_addr == vectorx_l1_distance)
		return HNSW_L1;
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("the operator class of index \"%s\" has a distance function hnsw does not know",
					RelationGetRelationName(index)),
			 errdetail("Support function %d is %s.", HNSW_DISTANCE_PROC,
					   format_procedure_qualified(distance->fn_oid))));
	return HNSW_L2;				/* not reached */
}

/* How many pages the centre takes; with some metrics there is none. */
int
HnswCentrePages(const HnswMetaPage *meta)
{
	if (meta->metric != HNSW_L2 && meta->metric != HNSW_COSINE)
		return 0;
	return (meta->dim + CENTRE_PER_PAGE - 1) / CENTRE_PER_PAGE;
}

/* Check a metapage's page, a copy of it or locked by the caller. */
void
HnswCheckMeta(Relation index, Page page)
{
	HnswPageHeader *header;
	HnswMetaPage *meta;
	HnswLayout	lay;

	header = HnswPageGetHeader(page);
	meta = HnswPageGetMeta(page);
	if (PageIsNew(page) || header->kind != HNSW_PAGE_META ||
		header->magic != HNSW_MAGIC || meta->magic != HNSW_MAGIC)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" is not an hnsw index of vectorx",
						RelationGetRelationName(index)),
				 errdetail("Block %u has no metapage.", HNSW_META_BLOCK),
				 errhint("REINDEX the index.")));
	if (meta->version != HNSW_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" has format version %u, this library reads %u",
						RelationGetRelationName(index), meta->version, HNSW_VERSION),
				 errdetail("Block %u.", HNSW_META_BLOCK),
				 errhint("REINDEX the index.")));
	/* with another metric or length distances would be wrong, or none at all */
	if (!HnswLayoutFromMeta(meta, &lay) ||
		lay.metric != HnswIndexMetric(index) ||
		(HnswColumnDim(index) >= 1 && HnswColumnDim(index) != lay.dim) ||
		meta->ncentre != HnswCentrePages(meta) ||
		meta->entry_level > HNSW_MAX_LEVEL)
		report_damaged_meta(index);
}

/* Copy the metapage; loads the centre when another backend has set it. */
void
HnswReadMeta(HnswGraph *g, HnswMetaPage *meta)
{
	HnswPin		pin;

	HnswAcquire(g, HNSW_META_BLOCK, BUFFER_LOCK_SHARE, &pin);
	*meta = *HnswPageGetMeta(pin.page);
	if (HnswPageGetHeader(pin.page)->kind != HNSW_PAGE_META ||
		meta->rec_size != g->lay->rec_size || meta->dim != g->lay->dim ||
		meta->entry_level > HNSW_MAX_LEVEL)
		HnswCorrupted(g, HNSW_META_BLOCK, 0, "the metapage does not fit the index");
	if (HnswTidIsSet(&meta->root) != HnswTidIsSet(&meta->entry) ||
		meta->centre_set > 1 || (HnswTidIsSet(&meta->root) && !meta->centre_set))
		HnswCorrupted(g, HNSW_META_BLOCK, 0, "root, entry point and centre are not all set");
	HnswRelease(g, &pin);
	if (!meta->centre_set)
		g->centre_set = false;
	else if (!g->centre_set)
		HnswLoadCentre(g);
}

/* Read the centre pages into the handle. */
void
HnswLoadCentre(HnswGraph *g)
{
	for (int i = 0; i < g->ncentre; i++)
	{
		HnswPin		pin;
		int			from = i * CENTRE_PER_PAGE;
		int			n = Min(CENTRE_PER_PAGE, g->lay->dim - from);

		HnswAcquire(g, HNSW_META_BLOCK + 1 + i, BUFFER_LOCK_SHARE, &pin);
		if (HnswPageGetHeader(pin.page)->kind != HNSW_PAGE_CENTRE)
			HnswCorrupted(g, pin.blk, 0, "not a centre page");
		memcpy(g->centre + from, HnswPageGetData(pin.page), n * sizeof(float));
		HnswRelease(g, &pin);
	}
	for (int i = 0; i < g->lay->dim && g->ncentre > 0; i++)
		if (!isfinite(g->centre[i]))
			HnswCorrupted(g, HNSW_META_BLOCK + 1, 0, "the centre is not finite");
	if (g->ncentre > 0 && !isfinite(vx_simd->sumsq(g->centre, g->lay->dim)))
		HnswCorrupted(g, HNSW_META_BLOCK + 1, 0, "the centre is too far");
	g->centre_set = true;
}

/*
 * Write the centre to its pages, before the first node exists.  The caller
 * holds off other first inserts by the metapage's lock, and sets centre_set
 * there and, after that, in the handle.
 */
void
HnswStoreCentre(HnswGraph *g, const float *centre)
{
	HnswWrite  *w = &g->scratch->write;

	for (int i = 0; i < g->ncentre; i++)
	{
		HnswPin		pin;
		int			from = i * CENTRE_PER_PAGE;
		int			n = Min(CENTRE_PER_PAGE, g->lay->dim - from);

		HnswAcquire(g, HNSW_META_BLOCK + 1 + i, BUFFER_LOCK_EXCLUSIVE, &pin);
		HnswWriteBegin(g, w);
		HnswWriteAdd(w, &pin, false);
		HnswWriteBytes(w, 0, HNSW_PAGE_DATA, centre + from, n * sizeof(float));
		HnswWriteEnd(w);
		HnswRelease(g, &pin);
	}
	if (g->ncentre > 0)
		memcpy(g->centre, centre, g->lay->dim * sizeof(float));
}

/* Dimensions of the column, or expression, that is indexed; -1: any number. */
int
HnswColumnDim(Relation index)
{
	return TupleDescAttr(RelationGetDescr(index), 0)->atttypmod;
}

/* Form page i of metapage and centre pages in memory. */
void
HnswFormMetaPage(Page page, const HnswMetaPage *meta, int i)
{
	HnswPin		pin;

	pin.page = page;
	HnswInitPage(&pin, i == 0 ? HNSW_PAGE_META : HNSW_PAGE_CENTRE);
	if (i == 0)
		*HnswPageGetMeta(page) = *meta;
	else
		memset(HnswPageGetData(page), 0, HNSW_PAGE_ROOM);
	((PageHeader) page)->pd_lower = i == 0 ?
		HNSW_PAGE_DATA + sizeof(HnswMetaPage) : BLCKSZ;
}

/* Metapage and centre pages of a new index, through the accessor. */
void
HnswCreatePages(HnswGraph *g, const HnswMetaPage *meta)
{
	for (int i = 0; i <= meta->ncentre; i++)
	{
		HnswPin		pin;
		HnswWrite  *w = &g->scratch->write;

		HnswExtend(g, 1, &pin);
		HnswFormMetaPage(pin.page, meta, i);
		HnswWriteBegin(g, w);
		HnswWriteAdd(w, &pin, true);
		HnswWriteEnd(w);
		HnswRelease(g, &pin);
	}
}
