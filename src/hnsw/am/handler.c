/*
 * handler.c
 *		The handler of the access method: what it can do, and its verbs.
 */
#include "postgres.h"

#include "access/amapi.h"
#include "commands/progress.h"
#include "commands/vacuum.h"
#include "compat.h"
#include "fmgr.h"
#include "hnsw/am/am.h"
#include "hnsw/am/options.h"
#include "hnsw/bulk/batch.h"
#include "hnsw/hnsw.h"
#include "nodes/nodes.h"

PG_FUNCTION_INFO_V1(vectorx_hnswhandler);

static char *
phase_name(int64 phase)
{
	switch (phase)
	{
		case PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE:
			return "initializing";
		case HNSW_PROGRESS_LOAD:
			return "loading tuples";
		case HNSW_PROGRESS_LINK:
			return "linking nodes";
		case HNSW_PROGRESS_WRITE:
			return "writing pages";
		case HNSW_PROGRESS_INSERT:
			return "inserting tuples";
		case HNSW_PROGRESS_LOG:
			return "logging";
		default:
			return NULL;
	}
}

/* Is an access method (of an index: rd_indam) this one, by whatever name it was created? */
bool
HnswIsAm(const IndexAmRoutine *am)
{
	return am != NULL && am->amgettuple == hnswgettuple;
}

/* What hnsw is to the server, palloc'd. */
IndexAmRoutine *
HnswRoutine(void)
{
	IndexAmRoutine *am = makeNode(IndexAmRoutine);

	am->amstrategies = 0;		/* any number: amvalidate knows which */
	am->amsupport = HNSW_NPROCS;
	am->amoptsprocnum = 0;
	am->amcanorder = false;
	am->amcanorderbyop = true;
	am->amcanbackward = false;
	am->amcanunique = false;
	am->amcanmulticol = false;
	am->amoptionalkey = true;
	am->amsearcharray = false;
	am->amsearchnulls = false;
	am->amstorage = false;
	am->amclusterable = false;
	am->ampredlocks = false;
	am->amcanparallel = false;
	am->amcaninclude = false;
	am->amusemaintenanceworkmem = true; /* relinking (am/vacuum.c) */
	am->amparallelvacuumoptions = VACUUM_OPTION_PARALLEL_BULKDEL;
	am->amkeytype = InvalidOid;

	am->ambuild = hnswbuild;
	am->ambuildempty = hnswbuildempty;
	am->aminsert = hnswinsert;
	am->ambulkdelete = hnswbulkdelete;
	am->amvacuumcleanup = hnswvacuumcleanup;
	am->amcanreturn = NULL;
	am->amcostestimate = hnswcostestimate;
	am->amoptions = HnswOptionsParse;
	am->amproperty = NULL;
	am->ambuildphasename = phase_name;
	am->amvalidate = hnswvalidate;
	am->amadjustmembers = NULL;
	am->ambeginscan = hnswbeginscan;
	am->amrescan = hnswrescan;
	am->amgettuple = hnswgettuple;
	am->amgetbitmap = NULL;
	am->amendscan = hnswendscan;
	am->ammarkpos = NULL;
	am->amrestrpos = NULL;
	am->amestimateparallelscan = NULL;
	am->aminitparallelscan = NULL;
	am->amparallelrescan = NULL;

	return am;
}

Datum
vectorx_hnswhandler(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(HnswRoutine());
}
