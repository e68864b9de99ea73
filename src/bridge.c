/*
 * bridge.c
 *		Beside pgvector: what only the library for indexes of its types has
 *		(docs/design/bridge.md).
 */
#include "postgres.h"

#include "bridge.h"
#include "hnsw/am/am.h"
#include "hnsw/am/options.h"
#include "names.h"
#include "optimizer/plancat.h"
#include "utils/guc.h"

static get_relation_info_hook_type next_hook = NULL;

static bool enable = true;

/* get_relation_info_hook: without vectorx.enable no plan knows of our indexes. */
static void
hide_indexes(PlannerInfo *root, Oid relid, bool inhparent, RelOptInfo *rel)
{
	ListCell   *cell;

	if (next_hook)
		next_hook(root, relid, inhparent, rel);
	if (enable)
		return;
	foreach(cell, rel->indexlist)
	{
		const IndexOptInfo *index = lfirst(cell);

		if (index->amcostestimate == hnswcostestimate)
			rel->indexlist = foreach_delete_current(rel->indexlist, cell);
	}
}

/*
 * Define the settings vectorx.*, all at once, for nobody else does, and a name
 * that is none is an error from then on.  Called once, when the library loads.
 */
void
BridgeInit(void)
{
	DefineCustomBoolVariable(VX_SETTING("enable"),
							 "Whether the planner may use vectorx indexes.",
							 "\"off\" leaves searches to pgvector's indexes and to exact scans.",
							 &enable, true, PGC_USERSET, GUC_EXPLAIN, NULL, NULL, NULL);
	HnswSettingsDefine();
	next_hook = get_relation_info_hook;
	get_relation_info_hook = hide_indexes;
}
