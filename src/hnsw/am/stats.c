/*
 * stats.c
 *		What index scans have done, for who wants to know: hnsw_last_scan, and lines of
 *		EXPLAIN (ANALYZE) where the server lets a library add some (18 and later).
 *
 * A scan counts for itself, over all its rescans; the last one that ended in this
 * session is remembered.
 */
#include "postgres.h"

#include "compat.h"
#include "fmgr.h"
#include "funcapi.h"
#include "hnsw/am/am.h"
#include "hnsw/am/scan.h"
#include "names.h"
#include "nodes/execnodes.h"
#include "utils/builtins.h"

#if PG_VERSION_NUM >= 180000
#include "commands/explain.h"
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#endif

PG_FUNCTION_INFO_V1(vectorx_hnsw_last_scan);

static HnswScanStats last_scan;

/* A search is over: add what it counted to what its scan has done. */
void
HnswStatsAddSearch(HnswScanStats *stats, HnswSearch *s)
{
	stats->visited += s->nvisits_all + s->nvisits;
	stats->scored += s->nscored;
	s->nvisits_all = s->nvisits = s->nscored = 0;
}

/* A scan has ended. */
void
HnswStatsEndScan(const HnswScanStats *stats)
{
	if (stats->searches > 0)
		last_scan = *stats;
}

/*
 * hnsw_last_scan(): one row about the last index scan that ended in this session; without one,
 * of NULLs.
 */
Datum
vectorx_hnsw_last_scan(PG_FUNCTION_ARGS)
{
	const HnswScanStats *stats = &last_scan;
	TupleDesc	desc;
	Datum		values[10];
	bool		nulls[10];
	int			n = 0;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE ||
		desc->natts != lengthof(values))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg(VX_FUNCTION("last_scan") " must return a row of %d columns", (int) lengthof(values))));
	memset(nulls, stats->searches == 0, sizeof(nulls));
	values[n++] = ObjectIdGetDatum(stats->index);
	values[n++] = Int64GetDatum(stats->searches);
	values[n++] = Int64GetDatum(stats->resumes);
	values[n++] = Int64GetDatum(stats->sweeps);
	values[n++] = Int32GetDatum(stats->width);
	values[n++] = Int64GetDatum(stats->visited);
	values[n++] = Int64GetDatum(stats->scored);
	values[n++] = Int64GetDatum(stats->reranked);
	values[n++] = Int64GetDatum(stats->returned);
	values[n++] = Int64GetDatum(stats->shed);
	Assert(n == lengthof(values));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

#if PG_VERSION_NUM >= 180000

static explain_per_node_hook_type next_explain = NULL;

static void
explain_scan(const HnswScan *so, ExplainState *es)
{
	HnswScanStats stats = so->stats;

	if (so->search)
	{
		stats.visited += so->search->nvisits_all + so->search->nvisits;
		stats.scored += so->search->nscored;
	}
	if (stats.searches == 0)
		return;
	if (es->format != EXPLAIN_FORMAT_TEXT)
	{
		ExplainPropertyInteger("HNSW Search Width", NULL, stats.width, es);
		ExplainPropertyInteger("HNSW Searches", NULL, stats.searches, es);
		ExplainPropertyInteger("HNSW Resumes", NULL, stats.resumes, es);
		ExplainPropertyInteger("HNSW Sweeps", NULL, stats.sweeps, es);
		ExplainPropertyInteger("HNSW Nodes Visited", NULL, stats.visited, es);
		ExplainPropertyInteger("HNSW Codes Scored", NULL, stats.scored, es);
		ExplainPropertyInteger("HNSW Rows Reranked", NULL, stats.reranked, es);
		return;
	}
	ExplainIndentText(es);
	appendStringInfo(es->str, "HNSW: width=%d searches=" INT64_FORMAT " resumes=" INT64_FORMAT " sweeps=" INT64_FORMAT
					 " visited=" INT64_FORMAT " scored=" INT64_FORMAT " reranked=" INT64_FORMAT "\n",
					 stats.width, stats.searches, stats.resumes, stats.sweeps,
					 stats.visited, stats.scored, stats.reranked);
}

/* A node of EXPLAIN's output: a scan of ours that has been executed tells what it did. */
static void
explain_node(PlanState *node, List *ancestors, const char *relationship, const char *name,
			 ExplainState *es)
{
	if (next_explain)
		next_explain(node, ancestors, relationship, name, es);
	if (es->analyze && IsA(node, IndexScanState))
	{
		IndexScanDesc scan = ((IndexScanState *) node)->iss_ScanDesc;

		if (scan && HnswIsAm(scan->indexRelation->rd_indam))
			explain_scan((const HnswScan *) scan->opaque, es);
	}
}

#endif

/* Called once, when the library loads. */
void
HnswStatsInit(void)
{
#if PG_VERSION_NUM >= 180000
	next_explain = explain_per_node_hook;
	explain_per_node_hook = explain_node;
#endif
}
