/*
 * meta.c
 *		The metapage and the centre: made, checked, read, written.
 */
#include "postgres.h"

#include <math.h>

#include "access/amapi.h"
#include "access/genam.h"
#include "catalog/index.h"
#include "hnsw/hnsw.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/metric.h"
#include "hnsw/metric/type.h"
#include "hnsw/page/access.h"
#include "hnsw/page/index.h"
#include "hnsw/page/meta.h"
#include "miscadmin.h"
#include "names.h"
#include "simd/vx_simd.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"

#define CENTRE_PER_PAGE		((int) (HNSW_PAGE_ROOM / sizeof(float4)))

/* The error (index_corrupted) for a metapage that is none of a sound index.  Does not return. */
void
HnswReportDamagedMeta(Relation index)
{
	ereport(ERROR,
			(errcode(ERRCODE_INDEX_CORRUPTED),
			 errmsg("index \"%s\" has a damaged metapage", RelationGetRelationName(index)),
			 errdetail("Block %u.", HNSW_META_BLOCK),
			 errhint("REINDEX the index.")));
}

/*
 * The metric and the type that an operator class stands for, by its support functions.
 * Errors: feature_not_supported for a distance function that is none of ours.
 */
const HnswMetricOps *
HnswIndexClass(Relation index, const HnswTypeOps **type)
{
	FmgrInfo   *distance = index_getprocinfo(index, 1, HNSW_DISTANCE_PROC);
	bool		normalised = OidIsValid(index_getprocid(index, 1, HNSW_NORM_PROC));
	const uint16 type_proc = index->rd_indam->amsupport;
	PGFunction	support = OidIsValid(index_getprocid(index, 1, type_proc)) ?
		index_getprocinfo(index, 1, type_proc)->fn_addr : NULL;
	const HnswMetricOps *metric = NULL;

	*type = HnswTypeBySupport(support);
	if (*type != NULL)
		metric = HnswMetricBySupport(*type, distance->fn_addr, normalised);
	if (metric == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the operator class of index \"%s\" has a distance function " VX_AM " does not know",
						RelationGetRelationName(index)),
				 errdetail("Support function %d is %s.", HNSW_DISTANCE_PROC,
						   format_procedure_qualified(distance->fn_oid))));
	return metric;
}

/* How many pages the centre takes; with some metrics there is none. */
int
HnswCentrePages(const HnswMetaPage *meta)
{
	const HnswMetricOps *metric = HnswMetricOf(meta->metric);

	if (metric == NULL || !metric->centred)
		return 0;
	return (meta->dim + CENTRE_PER_PAGE - 1) / CENTRE_PER_PAGE;
}

/* An index's name as a statement in a hint has it. */
char *
HnswQualifiedName(Relation index)
{
	return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(index)),
									  RelationGetRelationName(index));
}

/* Looks the name of a schema up: not with a page locked. */
static void
check_version(Relation index, const HnswMetaPage *meta)
{
	if (!HnswVersionIsRead(meta))
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" has format version %u, this library reads %u to %u",
						RelationGetRelationName(index), meta->version, HNSW_OLDEST_VERSION, HNSW_VERSION),
				 errdetail("Block %u.", HNSW_META_BLOCK),
				 errhint("REINDEX INDEX %s;", HnswQualifiedName(index))));
}

/*
 * Check a metapage's page, a copy of it or locked by the caller, against the
 * index's definition.  Errors: index_corrupted, and HnswIndexClass's.
 */
void
HnswCheckMeta(Relation index, Page page)
{
	HnswPageHeader *header;
	HnswMetaPage *meta;
	HnswLayout	lay;
	const HnswTypeOps *type;

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
	check_version(index, meta);
	/* with another metric or length distances would be wrong, or none at all */
	if (!HnswLayoutFromMeta(meta, &lay) ||
		lay.metric != HnswIndexClass(index, &type) || meta->type != type->number ||
		(HnswColumnDim(index) >= 1 && HnswColumnDim(index) != lay.column_dim) ||
		meta->ncentre != HnswCentrePages(meta) ||
		meta->entry_level > HNSW_MAX_LEVEL || meta->npending > HNSW_MAX_PENDING_PAGES)
		HnswReportDamagedMeta(index);
}

/* Copy the metapage, under a share lock; false if there is none. */
static bool
copy_meta(Relation index, HnswMetaPage *meta)
{
	Buffer		buf;
	Page		page;
	bool		sound;

	if (RelationGetNumberOfBlocks(index) == 0)
		return false;
	buf = ReadBuffer(index, HNSW_META_BLOCK);
	LockBuffer(buf, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buf);
	*meta = *HnswPageGetMeta(page);
	sound = !PageIsNew(page) && HnswPageGetHeader(page)->kind == HNSW_PAGE_META &&
		HnswPageGetHeader(page)->magic == HNSW_MAGIC;
	UnlockReleaseBuffer(buf);
	return sound && meta->magic == HNSW_MAGIC;
}

/* Copy it where nothing depends on it: false instead of an error if there is none, or a damaged one. */
bool
HnswPeekMeta(Relation index, HnswMetaPage *meta)
{
	HnswLayout	lay;

	return copy_meta(index, meta) && HnswVersionIsRead(meta) && HnswLayoutFromMeta(meta, &lay);
}

/*
 * Is an index of a format that this library does not read?  What else may be wrong with it is for
 * HnswCheckMeta to tell.
 */
bool
HnswIsOfOtherFormat(Relation index)
{
	HnswMetaPage meta;

	return copy_meta(index, &meta) && !HnswVersionIsRead(&meta);
}

/*
 * Read the centre pages into the handle, dim floats.  One page at a time is locked,
 * in share mode.  Errors: index_corrupted.
 */
static void
load_centre(HnswIndex *g)
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
 * Copy the metapage, under a share lock; loads the centre when another backend has
 * set it.  Errors: index_corrupted when it does not fit the handle, or a session with a newer library
 * has raised the version.
 */
void
HnswReadMeta(HnswIndex *g, HnswMetaPage *meta)
{
	HnswPin		pin;
	uint16		kind;

	HnswAcquire(g, HNSW_META_BLOCK, BUFFER_LOCK_SHARE, &pin);
	*meta = *HnswPageGetMeta(pin.page);
	kind = HnswPageGetHeader(pin.page)->kind;
	HnswRelease(g, &pin);
	check_version(g->rel, meta);
	if (kind != HNSW_PAGE_META ||
		meta->rec_size != g->lay->rec_size || meta->dim != g->lay->dim ||
		meta->entry_level > HNSW_MAX_LEVEL || meta->npending > HNSW_MAX_PENDING_PAGES)
		HnswCorrupted(g, HNSW_META_BLOCK, 0, "the metapage does not fit the index");
	if (HnswTidIsSet(&meta->root) != HnswTidIsSet(&meta->entry) ||
		meta->centre_set > 1 || (HnswTidIsSet(&meta->root) && !meta->centre_set))
		HnswCorrupted(g, HNSW_META_BLOCK, 0, "root, entry point and centre are not all set");
	if (!meta->centre_set)
		g->centre_set = false;
	else if (!g->centre_set)
		load_centre(g);
}

/*
 * Write the centre to its pages, before the first node exists.  The caller
 * holds off other first inserts by the metapage's lock, and sets centre_set
 * there and, after that, in the handle.
 */
void
HnswStoreCentre(HnswIndex *g, const float *centre)
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
HnswCreatePages(HnswIndex *g, const HnswMetaPage *meta)
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

/*
 * Add what differs of a metapage to a change; its page is number "page".  Whatever version it had,
 * it has this library's from then on: there may be more in the index than an older one can read.
 */
void
HnswMetaWrite(HnswWrite *w, int page, const HnswMetaPage *meta)
{
	const uint16 lower = HNSW_PAGE_DATA + sizeof(HnswMetaPage);
	HnswMetaPage now = *meta;

	now.version = HNSW_VERSION;
	/* that of version 1 is shorter, and what is behind it zero */
	HnswWriteChanges(w, page, offsetof(PageHeaderData, pd_lower), &lower, sizeof(lower));
	HnswWriteChanges(w, page, HNSW_PAGE_DATA, &now, sizeof(now));
}
