/*
 * options.c
 *		Storage parameters of an hnsw index.
 */
#include "postgres.h"

#include "access/reloptions.h"
#include "hnsw/am/options.h"
#include "hnsw/hnsw.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"

static relopt_kind hnsw_relopt_kind;

static relopt_enum_elt_def sketch_values[] = {
	{"auto", HNSW_SKETCH_OPT_AUTO},
	{"0", 0},
	{"1", 1},
	{"2", 2},
	{"4", 4},
	{"exact", HNSW_SKETCH_OPT_EXACT},
	{NULL, 0}
};

static relopt_enum_elt_def own_values[] = {
	{"auto", HNSW_OWN_OPT_AUTO},
	{"fp32", HNSW_OWN_FP32},
	{"fp16", HNSW_OWN_FP16},
	{"int8", HNSW_OWN_INT8},
	{NULL, 0}
};

/* Register storage parameters; called once, when the library loads. */
void
HnswOptionsInit(void)
{
	hnsw_relopt_kind = add_reloption_kind();
	add_int_reloption(hnsw_relopt_kind, "m",
					  "Half the number of neighbours of a node",
					  HNSW_DEFAULT_M, HNSW_MIN_M, HNSW_MAX_M,
					  AccessExclusiveLock);
	add_int_reloption(hnsw_relopt_kind, "ef_construction",
					  "Size of the candidate list when a row is inserted",
					  HNSW_DEFAULT_EF_CONSTRUCTION, HNSW_MIN_EF_CONSTRUCTION,
					  HNSW_MAX_EF_CONSTRUCTION, AccessExclusiveLock);
	add_enum_reloption(hnsw_relopt_kind, "sketch_bits",
					   "Bits per dimension of the neighbours' sketches",
					   sketch_values, HNSW_SKETCH_OPT_AUTO,
					   "Valid values are \"auto\", \"0\", \"1\", \"2\", \"4\" and \"exact\".",
					   AccessExclusiveLock);
	add_enum_reloption(hnsw_relopt_kind, "own_vector",
					   "Precision of the vectors in the index",
					   own_values, HNSW_OWN_OPT_AUTO,
					   "Valid values are \"auto\", \"fp32\", \"fp16\" and \"int8\".",
					   AccessExclusiveLock);
}

/* amoptions; for whoever creates an index, the first use of the access method. */
bytea *
HnswOptionsParse(Datum reloptions, bool validate)
{
	static const relopt_parse_elt tab[] = {
		{"m", RELOPT_TYPE_INT, offsetof(HnswOptions, m)},
		{"ef_construction", RELOPT_TYPE_INT, offsetof(HnswOptions, ef_construction)},
		{"sketch_bits", RELOPT_TYPE_ENUM, offsetof(HnswOptions, sketch_bits)},
		{"own_vector", RELOPT_TYPE_ENUM, offsetof(HnswOptions, own_vector)}
	};

	HnswSettingsDefine();
	return (bytea *) build_reloptions(reloptions, validate, hnsw_relopt_kind,
									  sizeof(HnswOptions), tab, lengthof(tab));
}
