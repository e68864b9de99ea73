/*
 * standin.c
 *		Stands in for pgvector's library where there is none: defines the same
 *		settings in the same way, and exports functions of names that both have,
 *		which nobody may come to call.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/guc.h"

#pragma GCC visibility push(default)

PG_MODULE_MAGIC;

void		_PG_init(void);

static int	ef_search;
static int	max_scan_tuples;
static int	iterative_scan;

static const struct config_enum_entry iterative_scans[] = {
	{"off", 0, false}, {"relaxed_order", 2, false},
	{"strict_order", 1, false}, {NULL, 0, false}
};

#define CALLED_BY_MISTAKE(name) \
	void name(void); \
	void name(void) { elog(PANIC, "%s of another library was called", #name); }

CALLED_BY_MISTAKE(hnswbuild)
CALLED_BY_MISTAKE(hnswbuildempty)
CALLED_BY_MISTAKE(hnswinsert)
CALLED_BY_MISTAKE(hnswbulkdelete)
CALLED_BY_MISTAKE(hnswvacuumcleanup)
CALLED_BY_MISTAKE(hnswbeginscan)
CALLED_BY_MISTAKE(hnswrescan)
CALLED_BY_MISTAKE(hnswgettuple)
CALLED_BY_MISTAKE(hnswendscan)
CALLED_BY_MISTAKE(hnswvalidate)

/* And one that is called: is it this one, or that of a library loaded before? */
void	   *InitVector(int dim);
__attribute__((noinline)) void *
InitVector(int dim)
{
	return &ef_search;
}

PG_FUNCTION_INFO_V1(standin_calls_itself);
Datum
standin_calls_itself(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(InitVector(3) == &ef_search);
}

void
_PG_init(void)
{
	DefineCustomIntVariable("hnsw.ef_search", "A stand-in's.", NULL, &ef_search, 40, 1, 1000,
							PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("hnsw.iterative_scan", "A stand-in's.", NULL, &iterative_scan, 0,
							 iterative_scans, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("hnsw.max_scan_tuples", "A stand-in's.", NULL, &max_scan_tuples, 20000,
							1, 1000000, PGC_USERSET, 0, NULL, NULL, NULL);
	MarkGUCPrefixReserved("hnsw");
}
