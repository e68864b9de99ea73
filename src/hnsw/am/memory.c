/*
 * memory.c
 *		How much memory VACUUM and merges may use; hnsw_build_memory: how much the build of an index wants.
 *
 * The estimate of a build is HnswBatchBytes (bulk/fill.c), which the build goes by, too.
 */
#include "postgres.h"

#include <math.h>

#include "compat.h"
#include "fmgr.h"
#include "hnsw/am/build.h"
#include "hnsw/am/merge.h"
#include "hnsw/bulk/fill.h"
#include "hnsw/hnsw.h"
#include "hnsw/am/options.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/metric.h"
#include "hnsw/metric/type.h"
#include "miscadmin.h"
#include "names.h"
#include "postmaster/autovacuum.h"
#include "postmaster/bgworker_internals.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(vectorx_hnsw_build_memory);

/* Bytes that VACUUM, and a merge, may use here. */
Size
HnswMaintenanceMemory(void)
{
	int			kb = CompatIsAutovacuumWorker() && autovacuum_work_mem != -1 ?
		autovacuum_work_mem : maintenance_work_mem;

	return (Size) kb * 1024;
}

typedef struct NamedValue
{
	const char *name;
	int			value;
} NamedValue;

static const NamedValue own_vectors[] = {
	{"auto", HNSW_OWN_OPT_AUTO},
	{"fp32", HNSW_OWN_FP32},
	{"fp16", HNSW_OWN_FP16},
	{"int8", HNSW_OWN_INT8},
	{NULL, 0}
};

static void
report_no_value(const char *s, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("\"%s\" is not %s", s, what)));
}

static HnswMetric
metric_of(text *opclass, const HnswTypeOps **type)
{
	char	   *s = text_to_cstring(opclass);
	const HnswMetricOps *metric = HnswMetricByClass(s, type);

	if (metric != NULL)
		return metric->number;
	report_no_value(s, "an operator class of " VX_AM);
	return 0;					/* not reached */
}

static int
value_of(const NamedValue *names, text *name, const char *what)
{
	char	   *s = text_to_cstring(name);

	for (; names->name; names++)
		if (strcmp(names->name, s) == 0)
			return names->value;
	report_no_value(s, what);
	return 0;					/* not reached */
}

static int
in_range(int value, int min, int max, const char *what)
{
	if (value < min || value > max)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be between %d and %d", what, min, max)));
	return value;
}

/*
 * hnsw_build_memory(rows bigint, dim int, m int, ef_construction int,
 *		opclass text, own_vector text, workers int) returns bigint
 *
 * Bytes of maintenance_work_mem with which CREATE INDEX makes the graph of so
 * many rows, with different vectors, at once.  workers NULL: as many as a table
 * of so many rows gets by the settings.  For sparse vectors dim counts the elements that
 * are not zero.  NULL when another argument is.
 */
Datum
vectorx_hnsw_build_memory(PG_FUNCTION_ARGS)
{
	HnswMetaPage meta;
	HnswLayout	lay;
	const HnswTypeOps *type;
	int64		rows;
	int			dim;
	int			workers;

	for (int i = 0; i < 6; i++)
		if (PG_ARGISNULL(i))
			PG_RETURN_NULL();
	rows = PG_GETARG_INT64(0);
	if (rows < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("rows must not be negative")));
	memset(&meta, 0, sizeof(meta));
	meta.m = in_range(PG_GETARG_INT32(2), HNSW_MIN_M, HNSW_MAX_M, "m");
	meta.ef_construction = in_range(PG_GETARG_INT32(3), HNSW_MIN_EF_CONSTRUCTION,
									HNSW_MAX_EF_CONSTRUCTION, "ef_construction");
	meta.metric = metric_of(PG_GETARG_TEXT_PP(4), &type);
	dim = in_range(PG_GETARG_INT32(1), 1, type->max_dim, "dim");
	HnswSetDimensions(&meta, type, dim, dim);
	workers = PG_ARGISNULL(6) ? HnswBuildWorkers((double) rows) :
		in_range(PG_GETARG_INT32(6), 0, MAX_PARALLEL_WORKER_LIMIT, "workers");
	HnswLayoutChoose(&meta, HNSW_SKETCH_OPT_AUTO,
					 value_of(own_vectors, PG_GETARG_TEXT_PP(5), "a value of own_vector"),
					 VX_FUNCTION("build_memory"));
	if (!HnswLayoutFromMeta(&meta, &lay))
		elog(ERROR, "layout of %d dimensions is not valid", dim);
	PG_RETURN_INT64((int64) Min(ceil(HnswBatchBytes(&lay, (double) rows, workers + 1)),
								(double) (PG_INT64_MAX / 2)));
}
