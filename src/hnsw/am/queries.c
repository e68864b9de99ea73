/*
 * queries.c
 *		hnsw_search: the nearest rows of many query vectors in one call.
 *
 * One scan of the index, begun anew for each query, which keeps its memory: no parser,
 * planner or executor between two searches.  The rows are those that the statement's
 * snapshot sees.  Many queries are shared out among workers (queries_parallel.c).
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "catalog/index.h"
#include "compat.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "hnsw/am/hint.h"
#include "hnsw/am/info.h"
#include "hnsw/am/options.h"
#include "hnsw/am/queries.h"
#include "hnsw/hnsw.h"
#include "miscadmin.h"
#include "names.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(vectorx_hnsw_search);

/* The function behind the operator that the index orders by. */
static void
find_distance(HnswQueries *q)
{
	Relation	index = q->x.index;
	Oid			type = index->rd_opcintype[0];
	Oid			operator = get_opfamily_member(index->rd_opfamily[0], type, type, 1);

	if (!OidIsValid(operator))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("operator class of index \"%s\" has no ordering operator",
						RelationGetRelationName(index))));
	fmgr_info(get_opcode(operator), &q->distance);
}

/* An error unless an array of queries has one dimension and no nulls. */
void
HnswCheckArray(ArrayType *queries)
{
	if (ARR_NDIM(queries) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("queries must be an array of one dimension")));
	if (array_contains_nulls(queries))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("queries must not contain nulls")));
}

/* The elements of such an array: queries, and how many. */
Datum *
HnswReadArray(ArrayType *queries, int *n)
{
	Oid			type = ARR_ELEMTYPE(queries);
	Datum	   *datums;
	int16		typlen;
	bool		typbyval;
	char		typalign;

	get_typlenbyvalalign(type, &typlen, &typbyval, &typalign);
	deconstruct_array(queries, type, typlen, typbyval, typalign, &datums, NULL, n);
	return datums;
}

/* An error unless queries of this type are what an index is over. */
void
HnswCheckQueries(Relation index, Oid type)
{
	Oid			own = index->rd_opcintype[0];

	if (getBaseType(type) != own)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("queries are of type %s, but index \"%s\" is over %s",
						format_type_be(type), RelationGetRelationName(index), format_type_be(own)),
				 errhint("Cast the array to %s[].", format_type_be(own))));
}

/*
 * If the index runs code that a user can have written (HnswRunsUserCode), then from here on as the table's owner,
 * who cannot change the session: the caller has not named it, and is not to run it as himself.  It finds what it
 * names as in this server's VACUUM: by pg_catalog and pg_temp from 17 on, before by the caller's search_path.  Either
 * way it can come to code of the caller's, which then runs as the owner; so he must have the owner's
 * privileges, as for VACUUM, and gains none.
 *
 * Else nothing runs but what superusers have put there, and the caller stays who he is.
 */
static void
become_owner(HnswQueries *q, const char *function)
{
	if (!HnswRunsUserCode(q->x.index))
		return;
	if (!CompatOwnsRelation(RelationGetRelid(q->x.heap), q->caller))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of table \"%s\" to use %s: its index \"%s\" calls functions that a user can have written",
						RelationGetRelationName(q->x.heap), function, RelationGetRelationName(q->x.index)),
				 errhint("Use a query with ORDER BY and LIMIT.")));
	SetUserIdAndSecContext(q->x.heap->rd_rel->relowner, q->caller_context | SECURITY_RESTRICTED_OPERATION);
	CompatRestrictSearchPath();
}

/* An error where policies hide rows from the caller: they are conditions, which only a query has. */
static void
refuse_policies(const HnswQueries *q, const char *function)
{
	if (check_enable_rls(RelationGetRelid(q->x.heap), InvalidOid, false) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s cannot be used with row-level security on table \"%s\"",
						function, RelationGetRelationName(q->x.heap)),
				 errhint("Use a query with ORDER BY and LIMIT.")));
}

/*
 * Open an index for queries of a type (InvalidOid: its own), for a function of this name; an error if
 * it, or its table's rows, must not be used.  The caller's privileges are asked here; until
 * HnswQueriesClose the user may be the table's owner (become_owner).
 *
 * worker: in one that HnswQueriesParallel has started, which has the leader's user, path and settings of
 * then: he has asked, and may be the owner already.  Any other parallel worker is a caller like all.
 */
void
HnswQueriesOpenIndex(HnswQueries *q, const char *function, Oid relid, Oid type, bool worker)
{
	HnswInspectOpen(&q->x, relid, false);
	if (!q->x.index->rd_index->indisvalid)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("index \"%s\" is not valid", RelationGetRelationName(q->x.index)),
				 errhint("REINDEX the index.")));
	/* as the planner has it: it may lead to rows that this snapshot does not see */
	if (q->x.index->rd_index->indcheckxmin &&
		!TransactionIdPrecedes(HeapTupleHeaderGetXmin(q->x.index->rd_indextuple->t_data), TransactionXmin))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("index \"%s\" is too new for this transaction's snapshot",
						RelationGetRelationName(q->x.index))));
	if (!worker)
		refuse_policies(q, function);
	if (OidIsValid(type))
		HnswCheckQueries(q->x.index, type);
	GetUserIdAndSecContext(&q->caller, &q->caller_context);
	q->guc_level = NewGUCNestLevel();
	if (!worker)
		become_owner(q, function);
	find_distance(q);
	q->info = BuildIndexInfo(q->x.index);
	q->estate = CreateExecutorState();
	q->slot = table_slot_create(q->x.heap, NULL);
	GetPerTupleExprContext(q->estate)->ecxt_scantuple = q->slot;
	q->scan = CompatIndexBeginScan(q->x.heap, q->x.index, GetActiveSnapshot(), 0, 1);
}

/* Open an index for queries (an array of one dimension without nulls), of which so many rows are wanted. */
void
HnswQueriesOpen(HnswQueries *q, Oid index, ArrayType *queries, int k, bool worker)
{
	q->queries = HnswReadArray(queries, &q->n);
	q->k = k;
	HnswQueriesOpenIndex(q, VX_FUNCTION("search"), index, ARR_ELEMTYPE(queries), worker);
}

void
HnswQueriesClose(HnswQueries *q)
{
	index_endscan(q->scan);
	ExecDropSingleTupleTableSlot(q->slot);
	FreeExecutorState(q->estate);
	AtEOXact_GUC(false, q->guc_level);
	SetUserIdAndSecContext(q->caller, q->caller_context);
	HnswInspectClose(&q->x);
}

/* Begin to search for the nearest k rows of a query: index_getnext_slot(q->scan, ForwardScanDirection, q->slot). */
void
HnswQueriesAsk(HnswQueries *q, Datum query, int k)
{
	ScanKeyData key;

	ScanKeyEntryInitialize(&key, SK_ORDER_BY, 1, 1, InvalidOid, HnswHintOfRows(k), q->distance.fn_oid, query);
	index_rescan(q->scan, NULL, 0, &key, 1);
}

/* The indexed value's distance from the query, of the row in q->slot. */
double
HnswQueriesDistance(HnswQueries *q, Datum query)
{
	Datum		values[INDEX_MAX_KEYS];
	bool		isnull[INDEX_MAX_KEYS];
	MemoryContext old = MemoryContextSwitchTo(GetPerTupleMemoryContext(q->estate));
	double		distance;

	FormIndexDatum(q->info, q->slot, q->estate, values, isnull);
	distance = isnull[0] ? get_float8_nan() : DatumGetFloat8(FunctionCall2(&q->distance, values[0], query));
	MemoryContextSwitchTo(old);
	ResetPerTupleExprContext(q->estate);
	return distance;
}

static void
put_row(HnswQueries *q, Datum *values)
{
	bool		nulls[HNSW_QUERIES_COLUMNS] = {false};

	if (q->sort == NULL)
	{
		tuplestore_putvalues(q->out->setResult, q->out->setDesc, values, nulls);
		return;
	}
	ExecClearTuple(q->row);
	memcpy(q->row->tts_values, values, HNSW_QUERIES_COLUMNS * sizeof(Datum));
	memcpy(q->row->tts_isnull, nulls, sizeof(nulls));
	ExecStoreVirtualTuple(q->row);
	tuplesort_puttupleslot(q->sort, q->row);
}

/* Find the rows of one query, whose number from 1 is given. */
void
HnswQueriesSearch(HnswQueries *q, int number)
{
	Datum		query = q->queries[number - 1];

	HnswQueriesAsk(q, query, q->k);
	for (int rank = 1; rank <= q->k && index_getnext_slot(q->scan, ForwardScanDirection, q->slot); rank++)
	{
		Datum		values[HNSW_QUERIES_COLUMNS];

		CHECK_FOR_INTERRUPTS();
		values[0] = Int32GetDatum(number);
		values[1] = Int32GetDatum(rank);
		values[2] = PointerGetDatum(&q->slot->tts_tid);
		values[3] = Float8GetDatum(HnswQueriesDistance(q, query));
		put_row(q, values);
	}
	ExecClearTuple(q->slot);
}

/*
 * hnsw.ef_search for the time of the call, which goes before a recall that is set; returns what
 * AtEOXact_GUC wants to end it.
 */
static int
set_ef_search(int ef)
{
	int			level = NewGUCNestLevel();
	char		value[12];

	HnswSettingsDefine();
	pg_ltoa(ef, value);
	(void) set_config_option(VX_SETTING("ef_search"), value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option(VX_SETTING("target_recall"), "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	return level;
}

static void
check_arguments(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("index, queries and k of " VX_FUNCTION("search") " must not be null")));
	HnswCheckArray(PG_GETARG_ARRAYTYPE_P(1));
	if (PG_GETARG_INT32(2) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("k must be at least 1")));
}

/*
 * hnsw_search(index regclass, queries anyarray, k int, ef int DEFAULT NULL): for each query,
 * numbered from 1, its k nearest rows that the snapshot sees, nearest first: number, rank,
 * ctid, distance.  ef: hnsw.ef_search for this call.  Needs the right to read the whole table.
 */
Datum
vectorx_hnsw_search(PG_FUNCTION_ARGS)
{
	HnswQueries q;
	ArrayType  *array;
	int			level = 0;
	int			workers;

	check_arguments(fcinfo);
	InitMaterializedSRF(fcinfo, 0);
	memset(&q, 0, sizeof(q));
	q.out = (ReturnSetInfo *) fcinfo->resultinfo;
	array = PG_GETARG_ARRAYTYPE_P(1);
	HnswQueriesOpen(&q, PG_GETARG_OID(0), array, PG_GETARG_INT32(2), false);
	if (!PG_ARGISNULL(3))
		level = set_ef_search(PG_GETARG_INT32(3));
	workers = HnswQueriesWorkers(&q);
	if (workers == 0 || !HnswQueriesParallel(&q, array, workers))
	{
		for (int i = 1; i <= q.n; i++)
			HnswQueriesSearch(&q, i);
	}
	if (level > 0)
		AtEOXact_GUC(true, level);
	HnswQueriesClose(&q);
	return (Datum) 0;
}
