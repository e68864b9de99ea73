/*
 * support.c
 *		What a call of a function of vectors costs, for the planner.
 *
 * A planner support function for all functions that read whole vectors or
 * arrays.  PostgreSQL takes one call of any of them for one cpu_operator_cost,
 * and counts the pages of a table without those of its out-of-line part: it
 * does not know that v <-> q reads 6 kB there.
 *
 * Nothing here may raise an error or read a page: statistics and the catalogs'
 * caches are all there is to go by.
 */
#include "postgres.h"

#include <math.h>

#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "fmgr.h"
#include "nodes/nodeFuncs.h"
#include "nodes/supportnodes.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "types/halfvec.h"
#include "types/vector.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/varbit.h"

PG_FUNCTION_INFO_V1(vectorx_function_cost);
PG_FUNCTION_INFO_V1(vectorx_halfvec_function_cost);
PG_FUNCTION_INFO_V1(vectorx_sparsevec_function_cost);
PG_FUNCTION_INFO_V1(vectorx_bit_function_cost);

/* Bytes that a value out of line leaves in its row; statistics count these. */
#define POINTER_BYTES	18

/* Where nothing tells how long a vector out of line is: 1,536 dimensions. */
#define UNKNOWN_BYTES	VECTOR_SIZE(1536)

/*
 * Measured with bench/plans.py, in the unit in which a row that is read,
 * compared and sorted comes to what PostgreSQL says.  A value out of line: a
 * descent of the TOAST table's index and a scan of it set up and ended; then
 * each chunk; and its bytes are read as those of the table itself are.
 */
#define FETCH_OPERATORS		240
#define CHUNK_OPERATORS		12
/* Bytes of a value that are as much work as one operator. */
#define OPERATOR_BYTES		1024

/* The bytes of a relation's out-of-line values per row, or 0 if not known. */
static double
out_of_line_bytes(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	double		rows;
	double		bytes = 0;
	Oid			toast;

	if (!HeapTupleIsValid(tuple))
		return 0;
	rows = ((Form_pg_class) GETSTRUCT(tuple))->reltuples;
	toast = ((Form_pg_class) GETSTRUCT(tuple))->reltoastrelid;
	ReleaseSysCache(tuple);
	if (rows < 1 || !OidIsValid(toast))
		return 0;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(toast));
	if (!HeapTupleIsValid(tuple))
		return 0;
	bytes = ((Form_pg_class) GETSTRUCT(tuple))->relpages * (double) BLCKSZ / rows;
	ReleaseSysCache(tuple);
	return bytes;
}

/* Would a value of so many bytes be stored out of line?  For want of statistics. */
static bool
moves_out(Oid relid, AttrNumber attno, double bytes)
{
	HeapTuple	tuple;
	bool		moves;

	if (bytes <= TOAST_TUPLE_THRESHOLD)
		return false;
	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid), Int16GetDatum(attno));
	if (!HeapTupleIsValid(tuple))
		return false;
	moves = ((Form_pg_attribute) GETSTRUCT(tuple))->attstorage != TYPSTORAGE_PLAIN;
	ReleaseSysCache(tuple);
	return moves;
}

/* The table whose column a Var is, or InvalidOid. */
static Oid
table_of(PlannerInfo *root, const Var *var)
{
	RangeTblEntry *rte;

	if (root == NULL || var->varlevelsup != 0 || var->varattno <= 0 ||
		var->varno < 1 || var->varno > list_length(root->parse->rtable))
		return InvalidOid;
	rte = planner_rt_fetch(var->varno, root);
	return rte != NULL && rte->rtekind == RTE_RELATION ? rte->relid : InvalidOid;
}

/*
 * What a type modifier, over 0, tells of a value's bytes; 0: nothing.
 */
typedef double (*bytes_declared) (int32 typmod);

static double
vector_bytes(int32 typmod)
{
	return typmod <= VECTOR_MAX_DIM ? (double) VECTOR_SIZE(typmod) : 0;
}

static double
halfvec_bytes(int32 typmod)
{
	return typmod <= HALFVEC_MAX_DIM ? (double) HALFVEC_SIZE(typmod) : 0;
}

/* Of a sparse vector's dimensions few may have elements. */
static double
sparsevec_bytes(int32 typmod)
{
	return 0;
}

static double
bit_bytes(int32 typmod)
{
	return VARBITHDRSZ + VARHDRSZ + (double) typmod / BITS_PER_BYTE;
}

/*
 * The bytes of a vector or array and what share of the rows has them out of
 * line.  Only a table's own column can be: what an expression returns, and a
 * constant, is in memory.
 */
static double
value_bytes(PlannerInfo *root, Node *value, bytes_declared declared, double *outside)
{
	double		bytes = 0;
	double		width;
	Oid			relid;
	int32		typmod = exprTypmod(value);

	*outside = 0;
	while (value && IsA(value, RelabelType))
		value = (Node *) ((RelabelType *) value)->arg;
	if (typmod > 0)
		bytes = declared(typmod);
	if (value == NULL || !IsA(value, Var))
		return bytes;
	relid = table_of(root, (Var *) value);
	if (!OidIsValid(relid))
		return bytes;

	width = get_attavgwidth(relid, ((Var *) value)->varattno);
	if (width <= 0)
	{
		if (moves_out(relid, ((Var *) value)->varattno, bytes))
			*outside = 1;
		return bytes;
	}
	if (bytes == 0)
	{
		/* dimensions are not declared */
		if (width > 2 * POINTER_BYTES)
			return width;
		bytes = out_of_line_bytes(relid);
		if (bytes < TOAST_TUPLE_THRESHOLD)
			bytes = width > POINTER_BYTES ? width : UNKNOWN_BYTES;
	}
	if (bytes > TOAST_TUPLE_THRESHOLD / 4 && width < bytes)
		*outside = (bytes - width) / (bytes - POINTER_BYTES);
	*outside = Min(*outside, 1);
	return bytes;
}

/* What it costs to bring a value from its table's out-of-line part. */
static Cost
fetch_cost(double bytes)
{
	return cpu_operator_cost *
		(FETCH_OPERATORS + CHUNK_OPERATORS * ceil(bytes / TOAST_MAX_CHUNK_SIZE)) +
		seq_page_cost * bytes / BLCKSZ;
}

static List *
arguments(Node *call)
{
	if (call == NULL)
		return NIL;
	if (IsA(call, FuncExpr))
		return ((FuncExpr *) call)->args;
	if (IsA(call, OpExpr) || IsA(call, DistinctExpr) || IsA(call, NullIfExpr))
		return ((OpExpr *) call)->args;
	if (IsA(call, ScalarArrayOpExpr))
		return ((ScalarArrayOpExpr *) call)->args;
	return NIL;
}

/*
 * The answer to the planner.  There is none to requests other than
 * SupportRequestCost, nor where the planner does not tell the arguments, as for an
 * aggregate's transition function.
 */
static SupportRequestCost *
call_cost(Node *request, bytes_declared declared)
{
	SupportRequestCost *cost = (SupportRequestCost *) request;
	double		most = 0;
	List	   *args;
	ListCell   *cell;

	if (!IsA(request, SupportRequestCost))
		return NULL;
	args = arguments(cost->node);
	if (args == NIL)
		return NULL;

	cost->startup = 0;
	cost->per_tuple = cpu_operator_cost;
	foreach(cell, args)
	{
		double		outside;
		double		bytes = value_bytes(cost->root, lfirst(cell), declared, &outside);

		most = Max(most, bytes);
		if (outside > 0)
			cost->per_tuple += outside * fetch_cost(bytes);
	}
	cost->per_tuple += cpu_operator_cost * most / OPERATOR_BYTES;
	return cost;
}

/*
 * vector_function_cost(internal): a planner support function, for functions of
 * vectors and arrays.
 */
Datum
vectorx_function_cost(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(call_cost((Node *) PG_GETARG_POINTER(0), vector_bytes));
}

/*
 * halfvec_function_cost(internal): the same for functions of halfvec.
 */
Datum
vectorx_halfvec_function_cost(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(call_cost((Node *) PG_GETARG_POINTER(0), halfvec_bytes));
}

/*
 * sparsevec_function_cost(internal): the same for functions of sparsevec.
 */
Datum
vectorx_sparsevec_function_cost(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(call_cost((Node *) PG_GETARG_POINTER(0), sparsevec_bytes));
}

/*
 * bit_function_cost(internal): the same for functions of bit strings.
 */
Datum
vectorx_bit_function_cost(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(call_cost((Node *) PG_GETARG_POINTER(0), bit_bytes));
}
