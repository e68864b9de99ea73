/*
 * ivfflat.c
 *		The access method ivfflat: hnsw by another name.
 *
 * So that dumps, statements and programs written for pgvector's ivfflat work: its operator classes, its
 * option "lists" and its settings are there, and have no effect.  All else is hnsw's, whose options such
 * an index takes, too; whoever asks whether an index is one of ours asks HnswIsAm, which knows both.
 */
#include "postgres.h"

#include "catalog/index.h"
#include "compat.h"
#include "fmgr.h"
#include "hnsw/am/am.h"
#include "hnsw/am/options.h"
#include "hnsw/hnsw.h"
#include "utils/guc.h"
#include "utils/rel.h"

#define PROBES			"ivfflat.probes"
#define MAX_PROBES		"ivfflat.max_probes"
#define ITERATIVE_SCAN	"ivfflat.iterative_scan"

PG_FUNCTION_INFO_V1(vectorx_ivfflathandler);

static const struct config_enum_entry modes[] = {
	{"off", HNSW_ITERATIVE_OFF, false},
	{"relaxed_order", HNSW_ITERATIVE_RELAXED, false},
	{NULL, 0, false}
};

/* Where the server keeps the settings, which nobody asks. */
static int	probes = 1;
static int	max_probes = IVFFLAT_MAX_LISTS;
static int	iterative_scan = HNSW_ITERATIVE_OFF;

/*
 * Define the settings unless someone has: under the same rule as hnsw.* (settings.c), which calls this.
 */
void
IvfflatSettingsDefine(void)
{
	if (HnswSettingDefined(PROBES))
		return;
	DefineCustomIntVariable(PROBES,
							"Lists that pgvector's ivfflat searches; has no effect here.",
							"hnsw.ef_search says how far an index is searched.",
							&probes, 1, 1, IVFFLAT_MAX_LISTS,
							PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable(MAX_PROBES,
							"Most lists that pgvector's ivfflat searches; has no effect here.",
							NULL, &max_probes, IVFFLAT_MAX_LISTS, 1, IVFFLAT_MAX_LISTS,
							PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable(ITERATIVE_SCAN,
							 "Whether a scan of pgvector's ivfflat goes on; has no effect here.",
							 "hnsw.iterative_scan says whether a scan of an index does.",
							 &iterative_scan, HNSW_ITERATIVE_OFF, modes,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	MarkGUCPrefixReserved("ivfflat");
}

/* Tell whoever creates an index, but not whoever builds it again, what it is if its name says otherwise. */
void
IvfflatTell(Relation index)
{
	if (index->rd_indam->amoptions != IvfflatOptionsParse ||
		ReindexIsProcessingIndex(RelationGetRelid(index)))
		return;
	ereport(NOTICE,
			(errmsg("index \"%s\" is an hnsw index, which the name ivfflat stands for",
					RelationGetRelationName(index)),
			 errdetail("The option \"lists\" and the settings ivfflat.* have no effect.")));
}

Datum
vectorx_ivfflathandler(PG_FUNCTION_ARGS)
{
	IndexAmRoutine *am = HnswRoutine();

	am->amoptions = IvfflatOptionsParse;
	am->amsupport = IVFFLAT_NPROCS;
	PG_RETURN_POINTER(am);
}
