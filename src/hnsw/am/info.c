/*
 * info.c
 *		Opening an index for inspection; hnsw_info: what an index holds.
 *
 * Inspection is for damaged indexes too: nothing read from a page is believed.
 * Hence the accessor and the checks of record.c, which raise errors, are not
 * used: a page is copied under a share lock and looked at in private memory.
 * Nothing is changed, so this works on a standby, too.
 */
#include "postgres.h"

#include "access/amapi.h"
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/index.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "fmgr.h"
#include "funcapi.h"
#include "hnsw/am/am.h"
#include "hnsw/am/info.h"
#include "hnsw/am/options.h"
#include "hnsw/am/recall.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/words.h"
#include "hnsw/page/meta.h"
#include "miscadmin.h"
#include "names.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(vectorx_hnsw_info);

#define PAGE_NEW 0 /* never written: legal, a crash leaves such */

/* ---- opening, closing, reading ---- */

/* May the user look into the indexes of a table: read it, or monitor, where "monitors" may? */
static bool
may_inspect(Oid heapid, bool monitors)
{
	return pg_class_aclcheck(heapid, GetUserId(), ACL_SELECT) == ACLCHECK_OK ||
		CompatOwnsRelation(heapid, GetUserId()) ||
		(monitors && has_privs_of_role(GetUserId(), ROLE_PG_MONITOR));
}

/*
 * Open an hnsw index for inspection, with AccessShareLock on its table and on
 * it.  monitors: members of pg_monitor may, too, for what is told is no row's.  Errors: not an
 * hnsw index, no right to read the table.
 */
void
HnswInspectOpen(HnswInspect *x, Oid relid, bool monitors)
{
	char		kind = get_rel_relkind(relid);
	char	   *name = get_rel_name(relid);
	Oid			heapid;

	memset(x, 0, sizeof(*x));
	if (kind == '\0' || name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("there is no relation with OID %u", relid)));
	if (kind == RELKIND_PARTITIONED_INDEX)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is a partitioned index", name),
				 errhint("Give one of its partitions' indexes.")));
	if (kind != RELKIND_INDEX)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not " VX_AN_INDEX, name)));

	/* nobody is to wait for a lock, or hold up others, without the right */
	heapid = IndexGetRelation(relid, false);
	if (!may_inspect(heapid, monitors))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(heapid));
	/* the table's lock comes before the index's */
	x->heap = table_open(heapid, AccessShareLock);
	x->index = index_open(relid, AccessShareLock);
	if (!HnswIsAm(x->index->rd_indam))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not " VX_AN_INDEX, name)));
	if (RELATION_IS_OTHER_TEMP(x->index))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot access temporary indexes of other sessions")));

	x->strategy = GetAccessStrategy(BAS_BULKREAD);
	x->nblocks = RelationGetNumberOfBlocks(x->index);
	x->page = palloc(BLCKSZ);
}

/* Let go of the index and its table, and of their locks. */
void
HnswInspectClose(HnswInspect *x)
{
	index_close(x->index, AccessShareLock);
	table_close(x->heap, AccessShareLock);
}

/* Copy n bytes of a page that exists, under a share lock; nothing of it is checked. */
void
HnswInspectReadPart(HnswInspect *x, BlockNumber blk, Size from, Size n, char *to,
					BufferAccessStrategy strategy)
{
	Buffer		buf = ReadBufferExtended(x->index, MAIN_FORKNUM, blk, RBM_NORMAL, strategy);

	Assert(from + n <= BLCKSZ);
	LockBuffer(buf, BUFFER_LOCK_SHARE);
	memcpy(to, (char *) BufferGetPage(buf) + from, n);
	UnlockReleaseBuffer(buf);
}

/* The same for a whole page (BLCKSZ). */
void
HnswInspectRead(HnswInspect *x, BlockNumber blk, char *page, BufferAccessStrategy strategy)
{
	HnswInspectReadPart(x, blk, 0, BLCKSZ, page, strategy);
}

/* A page in a pass over all of them: copied to x->page, whose header is returned; NULL for one that is new, or not ours. */
const HnswPageHeader *
HnswInspectPage(HnswInspect *x, BlockNumber blk)
{
	const HnswPageHeader *header = HnswPageGetHeader(x->page);

	CHECK_FOR_INTERRUPTS();
	HnswInspectRead(x, blk, x->page, x->strategy);
	return PageIsNew((Page) x->page) || header->magic != HNSW_MAGIC ? NULL : header;
}

/* How many slots of that page have been used; 0: it is none of nodes. */
int
HnswInspectSlots(const HnswInspect *x)
{
	const HnswPageHeader *header = HnswPageGetHeader(x->page);

	return header->kind == HNSW_PAGE_NODE ? Min(header->nslots, x->lay.per_page) : 0;
}

static inline HnswRecord *
record_at(HnswInspect *x, uint16 slot)
{
	return (HnswRecord *) (x->page + HnswSlotOffset(&x->lay, slot));
}

/* ---- hnsw_info ---- */

typedef struct Info
{
	int64		live;
	int64		dead;
	int64		free_slots;
	int64		heap_tids;
	int64		links;
	int64		pending;	/* links of pending pages */
	int64		pages[HNSW_LAST_PAGE_KIND + 1]; /* [0]: new pages */
} Info;

static void
count_page(HnswInspect *x, Info *info)
{
	HnswPageHeader *header = HnswPageGetHeader(x->page);

	if (PageIsNew((Page) x->page))
	{
		info->pages[PAGE_NEW]++;
		return;
	}
	if (header->magic != HNSW_MAGIC || header->kind > HNSW_LAST_PAGE_KIND)
		return;
	info->pages[header->kind]++;
	if (header->kind == HNSW_PAGE_OVERFLOW)
		info->heap_tids += Min(HnswPageGetOverflow(x->page)->ntids, HNSW_OVERFLOW_TIDS);
	for (int slot = 0; header->kind == HNSW_PAGE_PENDING && slot < Min(header->nslots, x->lay.per_page); slot++)
		info->pending += Min(record_at(x, slot)->nlinks, x->lay.fanout);
	if (header->kind != HNSW_PAGE_NODE)
		return;
	for (int slot = 0; slot < x->lay.per_page; slot++)
	{
		HnswRecord *rec = record_at(x, slot);

		if (slot >= header->nslots || rec->state == HNSW_FREE)
			info->free_slots++;
		else if (rec->state == HNSW_DEAD)
			info->dead++;
		else
		{
			info->live++;
			info->heap_tids += rec->ntids;
			info->links += rec->nlinks;
		}
	}
}

static char *
sketch_text(const HnswLayout *lay)
{
	switch (lay->sketch)
	{
		case HNSW_SKETCH_NONE:
			return pstrdup("none");
		case HNSW_SKETCH_BITS:
			return psprintf("%d %s over %d of %d dimensions", lay->bits,
							lay->bits == 1 ? "bit" : "bits", lay->code_dims, lay->dim);
		case HNSW_SKETCH_EXACT:
			return pstrdup("exact");
	}
	return NULL;
}

static char *
own_text(const HnswLayout *lay)
{
	return psprintf("%s%s",
					lay->metric->words ? lay->metric->words->name :
					lay->own == HNSW_OWN_FP32 ? "fp32" : lay->own == HNSW_OWN_FP16 ? "fp16"
																				   : "int8",
					lay->own_side ? ", side pages" : "");
}

/* What is known for hnsw.target_recall, at number n of a row, which is returned moved on. */
static int
add_calibration(HnswCalibration *cal, Datum *values, bool *nulls, int n)
{
	static const char *const kinds[] = {NULL, "build", "vacuum", "queries"};
	Datum		factors[HNSW_RECALL_TARGETS * HNSW_RECALL_RANKS];
	int			dims[] = {HNSW_RECALL_TARGETS, HNSW_RECALL_RANKS};
	int			lower[] = {1, 1};

	if (!HnswCalibrationUsable(cal))
	{
		for (int i = 0; i < 3; i++)
			nulls[n++] = true;
		return n;
	}
	for (int i = 0; i < (int) lengthof(factors); i++)
		factors[i] = Float4GetDatum(cal->factor[i / HNSW_RECALL_RANKS][i % HNSW_RECALL_RANKS]);
	values[n++] = CStringGetTextDatum(kinds[cal->kind]);
	values[n++] = Int32GetDatum(cal->nqueries);
	values[n++] = PointerGetDatum(construct_md_array(factors, NULL, 2, dims, lower, FLOAT4OID,
													 sizeof(float4), true, TYPALIGN_INT));
	return n;
}

/* Read the metapage, and tell the layout by it.  Errors: index_corrupted if it is none of a sound index. */
void
HnswInspectMeta(HnswInspect *x)
{
	if (x->nblocks == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INDEX_CORRUPTED),
				 errmsg("index \"%s\" has no metapage", RelationGetRelationName(x->index)),
				 errdetail("Block %u does not exist.", HNSW_META_BLOCK),
				 errhint("REINDEX the index.")));
	HnswInspectRead(x, HNSW_META_BLOCK, x->page, NULL);
	HnswCheckMeta(x->index, (Page) x->page);
	x->meta = *HnswPageGetMeta(x->page);
	if (!HnswLayoutFromMeta(&x->meta, &x->lay))
		HnswReportDamagedMeta(x->index);
	Assert(x->lay.metric != NULL);
}

/* Is it a partitioned index of ours, which has no pages itself? */
static bool
is_partitioned(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool		is;

	if (!HeapTupleIsValid(tuple))
		return false;
	is = ((Form_pg_class) GETSTRUCT(tuple))->relkind == RELKIND_PARTITIONED_INDEX &&
		HnswIsAm(GetIndexAmRoutineByAmId(((Form_pg_class) GETSTRUCT(tuple))->relam, false));
	ReleaseSysCache(tuple);
	return is;
}

/*
 * hnsw_info(index regclass): one row about the index, of NULLs if it is partitioned.  Pages are read one
 * after the other while others may write: the counts are of no single moment.
 * An older version of the extension has only the first of the columns.
 */
Datum
vectorx_hnsw_info(PG_FUNCTION_ARGS)
{
	HnswInspect	x;
	Info		info;
	HnswStale	stale = { 0 };
	HnswLayout *lay = &x.lay;
	TupleDesc	desc;
	Datum		values[33] = { 0 };
	bool		nulls[33] = { false };
	int			n = 0;
	ItemPointerData entry;
	char	   *pending;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE ||
		desc->natts > (int) lengthof(values))
		elog(ERROR, VX_FUNCTION("info") " must return a row of %d columns", (int) lengthof(values));

	if (is_partitioned(PG_GETARG_OID(0)))
	{
		memset(nulls, true, sizeof(nulls));
		PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
	}
	HnswInspectOpen(&x, PG_GETARG_OID(0), true);
	HnswInspectMeta(&x);

	memset(&info, 0, sizeof(info));
	for (BlockNumber blk = 0; blk < x.nblocks; blk++)
	{
		CHECK_FOR_INTERRUPTS();
		HnswInspectRead(&x, blk, x.page, x.strategy);
		count_page(&x, &info);
	}

	values[n++] = Int32GetDatum(lay->column_dim);
	values[n++] = CStringGetTextDatum(lay->metric->name);
	values[n++] = Int32GetDatum(lay->m);
	values[n++] = Int32GetDatum(lay->ef_construction);
	values[n++] = Int32GetDatum(HnswTidIsSet(&x.meta.entry) ? x.meta.entry_level + 1 : 0);
	values[n++] = Int64GetDatum(info.live);
	values[n++] = Int64GetDatum(info.dead);
	values[n++] = Int64GetDatum(info.free_slots);
	values[n++] = Int64GetDatum(info.heap_tids);
	values[n++] = Int64GetDatum(info.pages[HNSW_PAGE_META] + info.pages[HNSW_PAGE_CENTRE]);
	values[n++] = Int64GetDatum(info.pages[HNSW_PAGE_NODE]);
	values[n++] = Int64GetDatum(info.pages[HNSW_PAGE_UPPER]);
	values[n++] = Int64GetDatum(info.pages[HNSW_PAGE_SIDE]);
	values[n++] = Int64GetDatum(info.pages[HNSW_PAGE_OVERFLOW]);
	values[n++] = Int64GetDatum(info.pages[HNSW_PAGE_FREE] + info.pages[PAGE_NEW]);
	values[n++] = Int32GetDatum(lay->rec_size + (lay->own_side ? lay->own_bytes : 0));
	values[n++] = Int32GetDatum(lay->per_page);
	values[n++] = Int32GetDatum(lay->fanout);
	values[n++] = Float8GetDatum(info.live > 0 ? (double) info.links / info.live : 0);
	values[n++] = CStringGetTextDatum(sketch_text(lay));
	values[n++] = CStringGetTextDatum(own_text(lay));
	if (HnswTidIsSet(&x.meta.entry))
		ItemPointerSet(&entry, HnswLinkBlock(&x.meta.entry),
					   ItemPointerGetOffsetNumberNoCheck(&x.meta.entry) + 1);
	else
		nulls[n] = true;
	values[n++] = PointerGetDatum(&entry);
	pending = HnswPendingOptions((HnswOptions *) x.index->rd_options, &x.meta);
	if (pending != NULL)
		values[n++] = CStringGetTextDatum(pending);
	else
		nulls[n++] = true;
	n = add_calibration(&x.meta.calibration, values, nulls, n);
	values[n++] = Int64GetDatum(info.pending);
	values[n++] = Int64GetDatum(info.pages[HNSW_PAGE_PENDING]);
	values[n++] = Int64GetDatum((int64) x.meta.merges);
	values[n++] = Int64GetDatum((int64) x.meta.merged);
	values[n++] = Int32GetDatum((int32) x.meta.version);
	if (desc->natts > n)
		HnswCountStale(&x, &stale);
	values[n++] = Int64GetDatum(stale.dead_rows);
	values[n++] = Float8GetDatum(stale.links > 0 ? (double) stale.stale_links / stale.links : 0);
	Assert(n == lengthof(values));

	HnswInspectClose(&x);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
