/*
 * expressions.c
 *		Can what an index is over run code that a user has written?
 *
 * Asked of the expressions and the predicate as the catalog has them: to inline and to fold them, as the relation
 * cache does, would already call functions.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_index.h"
#include "catalog/pg_language_d.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "hnsw/am/queries.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* check_functions_in_node callback: may others than superusers have written it? */
static bool
is_user_function(Oid function, void *context)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid			language;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	language = ((Form_pg_proc) GETSTRUCT(tuple))->prolang;
	ReleaseSysCache(tuple);
	return language != INTERNALlanguageId && language != ClanguageId;
}

/*
 * Can a value of a type be made without a user's code?  Not surely one of a domain (its CHECK), a range (its
 * canonical function), or a row, which may have such; nor an array of them.
 */
static bool
is_plain_type(Oid type)
{
	Oid			element = get_element_type(type);
	char		kind = get_typtype(OidIsValid(element) ? element : type);

	return kind == TYPTYPE_BASE || kind == TYPTYPE_ENUM;
}

/* Does a node call nothing but the functions that check_functions_in_node names, and what its children call? */
static bool
is_plain_node(Node *node)
{
	switch (nodeTag(node))
	{
		case T_FuncExpr:
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
		case T_ScalarArrayOpExpr:
		case T_BoolExpr:
		case T_RelabelType:
		case T_CoerceViaIO:
		case T_ArrayCoerceExpr:
		case T_CollateExpr:
		case T_CaseExpr:
		case T_CaseTestExpr:
		case T_ArrayExpr:
		case T_CoalesceExpr:
		case T_NullTest:
		case T_BooleanTest:
		case T_SubscriptingRef:
		case T_FieldSelect:
			return true;
		default:
			return false;
	}
}

/* expression_tree_walker callback; what is not known to be harmless (GREATEST, a cast to a domain) is not. */
static bool
runs_user_code(Node *node, void *context)
{
	if (node == NULL || IsA(node, Var) || IsA(node, Const))
		return false;
	if (!IsA(node, List) &&
		(!is_plain_node(node) || !is_plain_type(exprType(node)) ||
		 check_functions_in_node(node, is_user_function, NULL)))
		return true;
	return expression_tree_walker(node, runs_user_code, context);
}

/* The same of a column of pg_index. */
static bool
column_runs_user_code(Relation index, AttrNumber column)
{
	bool		isnull;
	Datum		stored = SysCacheGetAttr(INDEXRELID, index->rd_indextuple, column, &isnull);

	return !isnull && runs_user_code(stringToNode(TextDatumGetCString(stored)), NULL);
}

/*
 * Can an index's predicate run code that was not written by a superuser?  Calls none of it.
 */
bool
HnswPredicateRunsUserCode(Relation index)
{
	return column_runs_user_code(index, Anum_pg_index_indpred);
}

/* The same of the index's expressions, or its predicate. */
bool
HnswRunsUserCode(Relation index)
{
	return column_runs_user_code(index, Anum_pg_index_indexprs) || HnswPredicateRunsUserCode(index);
}
