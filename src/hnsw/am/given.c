/*
 * given.c
 *		hnsw_calibrate: measure how far searches have to go (calibrate.c) on queries of the user's.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "hnsw/am/calibrate.h"
#include "hnsw/am/info.h"
#include "hnsw/am/queries.h"
#include "hnsw/metric/type.h"
#include "hnsw/metric/vector.h"
#include "hnsw/page/meta.h"
#include "miscadmin.h"
#include "names.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(vectorx_hnsw_calibrate);
PG_FUNCTION_INFO_V1(vectorx_hnsw_calibrate_text);

typedef struct Given
{
	Datum	   *queries;
	int			n;
	int			next;
} Given;

/* HnswAsk: the next ones of those given that can be asked; arg is a Given. */
static int
next_given(HnswIndex *g, HnswAsked *asked, int n, int answered, void *arg)
{
	Given	   *given = (Given *) arg;
	int			got = 0;

	while (got < n && given->next < given->n)
	{
		HnswQuery  *q = &asked[got].query;
		Datum		datum = given->queries[given->next++];
		HnswValue	value = g->space.type->get(datum);

		CHECK_FOR_INTERRUPTS();
		if (HnswPrepareQuery(&g->space, HnswCentre(g), value, q) && !q->far)
			got++;
		HnswFreeValue(value, datum);
	}
	return got;
}

/* Open an index for its owner, in a transaction that may write. */
static void
open_owned(HnswInspect *x, Oid relid)
{
	PreventCommandDuringRecovery(VX_FUNCTION("calibrate()"));
	PreventCommandIfReadOnly(VX_FUNCTION("calibrate()"));
	HnswInspectOpen(x, relid, false);
	if (!CompatOwnsRelation(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_INDEX, RelationGetRelationName(x->index));
}

/* Calibrate; returns how many were answered. */
static int
calibrate(HnswInspect *x, Given *given)
{
	MemoryContext cxt;
	HnswIndex  *g;
	HnswMetaPage meta;
	int			n;

	/* so that the commit waits for the WAL */
	(void) GetCurrentTransactionId();
	cxt = AllocSetContextCreate(CurrentMemoryContext, "hnsw_calibrate", ALLOCSET_SMALL_SIZES);
	g = HnswOpenIn(x->index, cxt);
	HnswReadMeta(g, &meta);		/* also loads the centre */
	n = HnswCalibrate(g, HNSW_CALIBRATED_QUERIES, given->n, next_given, given);
	MemoryContextDelete(cxt);
	if (n < HNSW_MIN_ANSWERS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("too few queries to calibrate index \"%s\"", RelationGetRelationName(x->index)),
				 errdetail("%d of %d could be used, and %d are needed.", n, given->n, HNSW_MIN_ANSWERS),
				 errhint("Give some hundred different queries of the kind that is asked; the index must have some hundred rows.")));
	return n;
}

/*
 * hnsw_calibrate(index regclass, queries anyarray): measure how far searches have to go on these
 * queries, which should be of the kind that is asked.  Returns how many it went by.  For
 * the owner.
 */
Datum
vectorx_hnsw_calibrate(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(1);
	HnswInspect x;
	Given		given = {0};
	int			n;

	open_owned(&x, PG_GETARG_OID(0));
	HnswCheckArray(array);
	HnswCheckQueries(x.index, ARR_ELEMTYPE(array));
	given.queries = HnswReadArray(array, &given.n);
	if (given.n > PG_UINT16_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("cannot calibrate by more than %d queries", PG_UINT16_MAX)));
	n = calibrate(&x, &given);
	HnswInspectClose(&x);
	PG_RETURN_INT32(n);
}

/* The first column of at most so many rows of a query's result, nulls left out, in the caller's memory. */
static void
run_query(const HnswInspect *x, const char *text, int most, Given *given)
{
	Oid			type = x->index->rd_opcintype[0];
	MemoryContext cxt = CurrentMemoryContext;
	TupleDesc	desc;

	given->queries = palloc(most * sizeof(Datum));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to the executor");
	if (SPI_execute(text, true, most) != SPI_OK_SELECT || (desc = SPI_tuptable->tupdesc)->natts < 1 ||
		getBaseType(TupleDescAttr(desc, 0)->atttypid) != type)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("the query is to select values of type %s", format_type_be(type)),
				 errdetail("The first column of its rows are the queries by which the index is calibrated.")));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		Datum		value = SPI_getbinval(SPI_tuptable->vals[i], desc, 1, &isnull);
		MemoryContext old = MemoryContextSwitchTo(cxt);

		if (!isnull)
			given->queries[given->n++] = datumCopy(value, TupleDescAttr(desc, 0)->attbyval,
												   TupleDescAttr(desc, 0)->attlen);
		MemoryContextSwitchTo(old);
		/* there is no need for all of them twice */
		heap_freetuple(SPI_tuptable->vals[i]);
	}
	SPI_finish();
}

/*
 * hnsw_calibrate(index regclass, query text, queries int): the same on what a query, which may not
 * write, selects, with the caller's privileges: its first column, of so many rows at most.
 */
Datum
vectorx_hnsw_calibrate_text(PG_FUNCTION_ARGS)
{
	int			most = PG_GETARG_INT32(2);
	HnswInspect x;
	Given		given = {0};
	int			n;

	open_owned(&x, PG_GETARG_OID(0));
	if (most < 1 || most > PG_UINT16_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("number of queries must be between 1 and %d", PG_UINT16_MAX)));
	run_query(&x, text_to_cstring(PG_GETARG_TEXT_PP(1)), most, &given);
	n = calibrate(&x, &given);
	HnswInspectClose(&x);
	PG_RETURN_INT32(n);
}
