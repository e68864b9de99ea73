/*
 * alter.c
 *		Options that have been changed since an index was built.
 *
 * All options say how an index is built: ALTER INDEX ... SET changes nothing
 * before the next REINDEX.  hnsw_info shows what would change then, and a hook
 * says so when it is set.  (amoptions, which is asked then, too, does not know
 * the index.)
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "hnsw/am/am.h"
#include "hnsw/am/options.h"
#include "hnsw/hnsw.h"
#include "hnsw/page/meta.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

static object_access_hook_type next_hook = NULL;

static const char *
sketch_option(const HnswMetaPage *meta)
{
	if (meta->sketch == HNSW_SKETCH_BITS)
		return psprintf("%d", meta->bits);
	return meta->sketch == HNSW_SKETCH_EXACT ? "exact" : "0";
}

static const char *
own_option(const HnswMetaPage *meta)
{
	return meta->own == HNSW_OWN_FP32 ? "fp32" : meta->own == HNSW_OWN_FP16 ? "fp16" : "int8";
}

static void
add_change(StringInfo changes, const char *option, const char *now, const char *built)
{
	if (strcmp(now, built) != 0)
		appendStringInfo(changes, "%s%s = %s instead of %s",
						 changes->len > 0 ? ", " : "", option, now, built);
}

/*
 * What a REINDEX would change, for a user to read; NULL when nothing.  opts may
 * be NULL: all defaults.  The metapage has been checked.
 */
char *
HnswPendingOptions(const HnswOptions *opts, const HnswMetaPage *built)
{
	HnswMetaPage now = *built;
	StringInfoData changes;

	now.m = opts ? opts->m : HNSW_DEFAULT_M;
	now.ef_construction = opts ? opts->ef_construction : HNSW_DEFAULT_EF_CONSTRUCTION;
	initStringInfo(&changes);
	add_change(&changes, "m", psprintf("%d", now.m), psprintf("%d", built->m));
	add_change(&changes, "ef_construction", psprintf("%d", now.ef_construction),
			   psprintf("%d", built->ef_construction));
	if (HnswLayoutTry(&now, opts ? opts->sketch_bits : HNSW_SKETCH_OPT_AUTO,
					  opts ? opts->own_vector : HNSW_OWN_OPT_AUTO))
	{
		add_change(&changes, "sketch_bits", sketch_option(&now), sketch_option(built));
		add_change(&changes, "own_vector", own_option(&now), own_option(built));
	}
	else
		appendStringInfo(&changes, "%sREINDEX fails, for the options do not go together",
						 changes.len > 0 ? ", " : "");
	return changes.len > 0 ? changes.data : NULL;
}

/* An index's options as this command leaves them: others do not see them yet. */
static HnswOptions *
options_to_be(Oid relid)
{
	Relation	pg_class = table_open(RelationRelationId, AccessShareLock);
	HnswOptions *opts = NULL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_class_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(pg_class, ClassOidIndexId, true, SnapshotSelf, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		reloptions = heap_getattr(tuple, Anum_pg_class_reloptions,
											  RelationGetDescr(pg_class), &isnull);

		if (!isnull)
			opts = (HnswOptions *) HnswOptionsParse(reloptions, false);
	}
	systable_endscan(scan);
	table_close(pg_class, AccessShareLock);
	return opts;
}

static bool
same_options(const HnswOptions *a, const HnswOptions *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return a->m == b->m && a->ef_construction == b->ef_construction &&
		a->sketch_bits == b->sketch_bits && a->own_vector == b->own_vector;
}

/* Say what is to come if the index, which the command has locked, is one of ours. */
static void
tell_pending(Oid relid)
{
	Relation	index = RelationIdGetRelation(relid);
	HnswOptions *opts;
	HnswMetaPage meta;
	char	   *pending;

	if (index == NULL)
		return;
	if (HnswIsAm(index->rd_indam) && !RELATION_IS_OTHER_TEMP(index))
	{
		opts = options_to_be(relid);
		if (!same_options(opts, (HnswOptions *) index->rd_options) &&
			HnswPeekMeta(index, &meta) &&
			(pending = HnswPendingOptions(opts, &meta)) != NULL)
			ereport(NOTICE,
					(errmsg("options of index \"%s\" take effect when it is built again",
							RelationGetRelationName(index)),
					 errdetail("Then: %s.", pending),
					 errhint("REINDEX INDEX %s;",
							 HnswQualifiedName(index))));
	}
	RelationClose(index);
}

static void
after_access(ObjectAccessType access, Oid class, Oid object, int sub, void *arg)
{
	if (next_hook)
		next_hook(access, class, object, sub, arg);
	if (access == OAT_POST_ALTER && class == RelationRelationId && sub == 0 &&
		get_rel_relkind(object) == RELKIND_INDEX)
		tell_pending(object);
}

/* Set the hook that tells of changed options; called once, when the library loads. */
void
HnswAlterInit(void)
{
	next_hook = object_access_hook;
	object_access_hook = after_access;
}
