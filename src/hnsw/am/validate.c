/*
 * validate.c
 *		amvalidate: is an operator class one that hnsw can work with?
 *
 * Reports every fault as an INFO message and goes on, so that one call shows
 * them all.  Reads system catalogs only.
 */
#include "postgres.h"

#include "access/amapi.h"
#include "access/amvalidate.h"
#include "access/htup_details.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_amproc.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "hnsw/am/am.h"
#include "hnsw/hnsw.h"
#include "names.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

/* What the messages name. */
typedef struct Family
{
	const char *opclass;
	const char *name;
	uint16		nprocs;
	bool		ok;
} Family;

static void
complain(Family *family, const char *fmt, ...) pg_attribute_printf(2, 3);

/* One fault of the operator family. */
static void
complain(Family *family, const char *fmt, ...)
{
	StringInfoData what;
	va_list		args;
	int			needed;

	initStringInfo(&what);
	do
	{
		va_start(args, fmt);
		needed = appendStringInfoVA(&what, fmt, args);
		va_end(args);
		if (needed != 0)
			enlargeStringInfo(&what, needed);
	} while (needed != 0);
	ereport(INFO,
			(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
			 errmsg("operator family \"%s\" of access method " VX_AM " %s",
					family->name, what.data)));
	pfree(what.data);
	family->ok = false;
}

static void
check_proc(Family *family, Form_pg_amproc proc)
{
	Oid			type = proc->amproclefttype;
	bool		fits;

	if (proc->amproclefttype != proc->amprocrighttype)
	{
		complain(family, "contains support function %s with different left and right input types",
				 format_procedure(proc->amproc));
		return;
	}
	if (proc->amprocnum < 1 || proc->amprocnum > family->nprocs)
	{
		complain(family, "contains function %s with invalid support number %d",
				 format_procedure(proc->amproc), proc->amprocnum);
		return;
	}
	if (proc->amprocnum == family->nprocs)
		fits = check_amproc_signature(proc->amproc, INTERNALOID, true, 1, 1, INTERNALOID);
	else if (proc->amprocnum == HNSW_DISTANCE_PROC || proc->amprocnum == IVFFLAT_LIST_DISTANCE_PROC)
		fits = check_amproc_signature(proc->amproc, FLOAT8OID, false, 2, 2, type, type);
	else
		/* HNSW_NORM_PROC, IVFFLAT_LIST_NORM_PROC */
		fits = check_amproc_signature(proc->amproc, FLOAT8OID, false, 1, 1, type);
	if (!fits)
		complain(family, "contains function %s with wrong signature for support number %d",
				 format_procedure(proc->amproc), proc->amprocnum);
}

/* What rows are within: a row type of a value and a distance from it. */
static bool
is_sphere(Oid type, Oid of)
{
	TupleDesc	desc;
	bool		fits;

	if (get_typtype(type) != TYPTYPE_COMPOSITE)
		return false;
	desc = lookup_rowtype_tupdesc(type, -1);
	fits = desc->natts == 2 && TupleDescAttr(desc, 0)->atttypid == of &&
		TupleDescAttr(desc, 1)->atttypid == FLOAT8OID;
	ReleaseTupleDesc(desc);
	return fits;
}

static void
check_operator(Family *family, Form_pg_amop op)
{
	bool		order = op->amopstrategy == HNSW_ORDER_STRATEGY;
	Oid			result = get_op_rettype(op->amopopr);

	if (!order && op->amopstrategy != HNSW_WITHIN_STRATEGY)
	{
		complain(family, "contains operator %s with invalid strategy number %d",
				 format_operator(op->amopopr), op->amopstrategy);
		return;
	}
	if (order != (op->amoppurpose == AMOP_ORDER))
	{
		complain(family, order ? "contains operator %s that is not for ORDER BY" :
				 "contains operator %s that is not for conditions",
				 format_operator(op->amopopr));
		return;
	}
	if (order && !opfamily_can_sort_type(op->amopsortfamily, result))
		complain(family, "contains incorrect ORDER BY operator family specification for operator %s",
				 format_operator(op->amopopr));
	/* distances are compared as float8 */
	if (!check_amop_signature(op->amopopr, order ? FLOAT8OID : BOOLOID, op->amoplefttype, op->amoprighttype) ||
		(!order && !is_sphere(op->amoprighttype, op->amoplefttype)))
		complain(family, "contains operator %s with wrong signature",
				 format_operator(op->amopopr));
}

/* Each type needs its operator and its distance function. */
static void
check_groups(Family *family, List *groups, Oid intype)
{
	bool		found = false;
	ListCell   *lc;

	foreach (lc, groups)
	{
		OpFamilyOpFuncGroup *group = (OpFamilyOpFuncGroup *) lfirst(lc);

		if (group->lefttype != group->righttype)
		{
			if ((group->operatorset & ~(UINT64CONST(1) << HNSW_WITHIN_STRATEGY)) != 0)
				complain(family, "contains an operator with types %s and %s, which no distance function covers",
						 format_type_be(group->lefttype), format_type_be(group->righttype));
			continue;
		}
		found = found || group->lefttype == intype;
		if ((group->functionset & (UINT64CONST(1) << HNSW_DISTANCE_PROC)) == 0)
			complain(family, "is missing support function %d for type %s",
					 HNSW_DISTANCE_PROC, format_type_be(group->lefttype));
		if ((group->operatorset & (UINT64CONST(1) << HNSW_ORDER_STRATEGY)) == 0)
			complain(family, "is missing operator %d for type %s",
					 HNSW_ORDER_STRATEGY, format_type_be(group->lefttype));
	}
	if (!found)
		complain(family, "has no operator and no support function for type %s of operator class \"%s\"",
				 format_type_be(intype), family->opclass);
}

/* amvalidate: false, and an INFO message for each fault, when it is not what hnsw wants. */
bool
hnswvalidate(Oid opclass)
{
	HeapTuple	classtup;
	Form_pg_opclass class;
	HeapTuple	famtup;
	CatCList   *procs;
	CatCList   *operators;
	Family		family;

	classtup = SearchSysCache1(CLAOID, ObjectIdGetDatum(opclass));
	if (!HeapTupleIsValid(classtup))
		elog(ERROR, "cache lookup failed for operator class %u", opclass);
	class = (Form_pg_opclass) GETSTRUCT(classtup);
	famtup = SearchSysCache1(OPFAMILYOID, ObjectIdGetDatum(class->opcfamily));
	if (!HeapTupleIsValid(famtup))
		elog(ERROR, "cache lookup failed for operator family %u", class->opcfamily);

	family.opclass = NameStr(class->opcname);
	family.name = NameStr(((Form_pg_opfamily) GETSTRUCT(famtup))->opfname);
	family.nprocs = GetIndexAmRoutineByAmId(class->opcmethod, false)->amsupport;
	family.ok = true;
	if (OidIsValid(class->opckeytype) && class->opckeytype != class->opcintype)
		complain(&family, "has a STORAGE type in operator class \"%s\"", family.opclass);

	operators = SearchSysCacheList1(AMOPSTRATEGY, ObjectIdGetDatum(class->opcfamily));
	procs = SearchSysCacheList1(AMPROCNUM, ObjectIdGetDatum(class->opcfamily));
	for (int i = 0; i < procs->n_members; i++)
		check_proc(&family, (Form_pg_amproc) GETSTRUCT(&procs->members[i]->tuple));
	for (int i = 0; i < operators->n_members; i++)
		check_operator(&family, (Form_pg_amop) GETSTRUCT(&operators->members[i]->tuple));
	check_groups(&family, identify_opfamily_groups(operators, procs), class->opcintype);

	ReleaseCatCacheList(procs);
	ReleaseCatCacheList(operators);
	ReleaseSysCache(famtup);
	ReleaseSysCache(classtup);
	return family.ok;
}
