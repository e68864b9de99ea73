/*
 * options.c
 *		Storage parameters of an hnsw index.
 */
#include "postgres.h"

#include "access/reloptions.h"
#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "hnsw/am/options.h"
#include "hnsw/am/recall.h"
#include "hnsw/hnsw.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/page/meta.h"
#include "hnsw/page/pending.h"
#include "utils/guc.h"

static relopt_kind hnsw_relopt_kind;
static relopt_kind ivfflat_relopt_kind;

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

/* "off" (0), or a recall; false if it is neither. */
bool
HnswParseTarget(const char *text, double *target)
{
	*target = 0;
	if (pg_strcasecmp(text, "off") == 0)
		return true;
	return parse_real(text, target, 0, NULL) && *target >= HNSW_MIN_TARGET && *target <= HNSW_MAX_TARGET;
}

static void
validate_target(const char *value)
{
	double		target;

	if (!HnswParseTarget(value, &target))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for \"%s\" option: \"%s\"", "target_recall", value),
				 errdetail("Valid values are \"off\" and numbers from %g to %g.",
						   HNSW_MIN_TARGET, HNSW_MAX_TARGET)));
}

/* Those of the graph, for one name of the access method. */
static void
register_options(relopt_kind kind)
{
	add_int_reloption(kind, "m",
					  "Half the number of neighbours of a node",
					  HNSW_DEFAULT_M, HNSW_MIN_M, HNSW_MAX_M,
					  AccessExclusiveLock);
	add_int_reloption(kind, "ef_construction",
					  "Size of the candidate list when a row is inserted",
					  HNSW_DEFAULT_EF_CONSTRUCTION, HNSW_MIN_EF_CONSTRUCTION,
					  HNSW_MAX_EF_CONSTRUCTION, AccessExclusiveLock);
	add_enum_reloption(kind, "sketch_bits",
					   "Bits per dimension of the neighbours' sketches",
					   sketch_values, HNSW_SKETCH_OPT_AUTO,
					   "Valid values are \"auto\", \"0\", \"1\", \"2\", \"4\" and \"exact\".",
					   AccessExclusiveLock);
	add_enum_reloption(kind, "own_vector",
					   "Precision of the vectors in the index",
					   own_values, HNSW_OWN_OPT_AUTO,
					   "Valid values are \"auto\", \"fp32\", \"fp16\" and \"int8\".",
					   AccessExclusiveLock);
	add_int_reloption(kind, "pending_limit",
					  "Rows that may wait to be linked; 0: none, -1: as many as searches can do with",
					  -1, -1, HNSW_MAX_PENDING_LIMIT, ShareUpdateExclusiveLock);
	/* of scans: no scan waits for it to be changed, nor is one changed that has begun */
	add_string_reloption(kind, "target_recall",
						 "Recall that scans are to have, unless hnsw.target_recall is set",
						 "off", validate_target, ShareUpdateExclusiveLock);
}

/* Register storage parameters; called once, when the library loads. */
void
HnswOptionsInit(void)
{
	hnsw_relopt_kind = add_reloption_kind();
	register_options(hnsw_relopt_kind);
	ivfflat_relopt_kind = add_reloption_kind();
	register_options(ivfflat_relopt_kind);
	add_int_reloption(ivfflat_relopt_kind, "lists",
					  "Number of lists of pgvector's ivfflat; has no effect here",
					  IVFFLAT_DEFAULT_LISTS, 1, IVFFLAT_MAX_LISTS, AccessExclusiveLock);
}

/* Options of an index; for whoever creates one with some, the first use of the access method. */
static bytea *
parse_options(Datum reloptions, bool validate, relopt_kind kind)
{
	static const relopt_parse_elt tab[] = {
		{"m", RELOPT_TYPE_INT, offsetof(HnswOptions, m)},
		{"ef_construction", RELOPT_TYPE_INT, offsetof(HnswOptions, ef_construction)},
		{"sketch_bits", RELOPT_TYPE_ENUM, offsetof(HnswOptions, sketch_bits)},
		{"own_vector", RELOPT_TYPE_ENUM, offsetof(HnswOptions, own_vector)},
		{"pending_limit", RELOPT_TYPE_INT, offsetof(HnswOptions, pending_limit)},
		{"target_recall", RELOPT_TYPE_STRING, offsetof(HnswOptions, target_recall)},
		{"lists", RELOPT_TYPE_INT, offsetof(HnswOptions, lists)}
	};

	HnswSettingsDefine();
	return (bytea *) build_reloptions(reloptions, validate, kind,
									  sizeof(HnswOptions), tab, lengthof(tab));
}

/* amoptions of hnsw. */
bytea *
HnswOptionsParse(Datum reloptions, bool validate)
{
	return parse_options(reloptions, validate, hnsw_relopt_kind);
}

/* amoptions of ivfflat. */
bytea *
IvfflatOptionsParse(Datum reloptions, bool validate)
{
	return parse_options(reloptions, validate, ivfflat_relopt_kind);
}

/*
 * So many rows of an index may wait to be linked.  Without sketches a search would read all
 * their vectors: none, unless asked for.
 */
int
HnswPendingLimit(Relation index, const HnswLayout *lay)
{
	const HnswOptions *opts = (const HnswOptions *) index->rd_options;
	int			limit = opts ? opts->pending_limit : -1;

	if (limit < 0)
		limit = lay->sketch == HNSW_SKETCH_NONE ? 0 : HNSW_AUTO_PENDING_LIMIT;
	return Min(limit, HNSW_MAX_PENDING_PAGES * HnswPendingPerPage(lay));
}

/* Set type, dim and column_dim for a column of so many dimensions, which the type can have. */
void
HnswSetDimensions(HnswMetaPage *meta, const HnswTypeOps *type, int dim, int nonzero)
{
	meta->type = type->number;
	meta->dim = type->elements ? type->elements(dim, nonzero) : dim;
	meta->column_dim = type->elements ? dim : 0;
}

/*
 * Contents of the metapage of a new, empty index, from its definition, a number of
 * dimensions and, of sparse vectors, how many elements of most are not zero (-1: not
 * known).  Errors when there are no dimensions, or too many.
 */
void
HnswMetaFor(Relation index, int dim, int nonzero, HnswMetaPage *meta)
{
	HnswOptions *opts = (HnswOptions *) index->rd_options;
	const HnswTypeOps *type;
	const HnswMetricOps *metric = HnswIndexClass(index, &type);
	uint64		seed;

	/* its length is but the most that a value may have */
	if (TupleDescAttr(RelationGetDescr(index), 0)->atttypid == VARBITOID)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("type bit varying is not supported for hnsw index"),
				 errhint("Index an expression with a cast, such as ((column)::bit(8)).")));
	if (dim < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("column does not have dimensions"),
				 errdetail("Index \"%s\" needs vectors of one length.",
						   RelationGetRelationName(index)),
				 errhint("Give the column a length, such as %s(384), or index an expression with a cast.", type->name)));
	if (dim > type->max_dim)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("column cannot have more than %d dimensions for hnsw index", type->max_dim)));

	memset(meta, 0, sizeof(*meta));
	meta->magic = HNSW_MAGIC;
	meta->version = HNSW_VERSION;
	HnswSetDimensions(meta, type, dim, nonzero);
	meta->metric = metric->number;
	meta->m = opts ? opts->m : HNSW_DEFAULT_M;
	meta->ef_construction = opts ? opts->ef_construction : HNSW_DEFAULT_EF_CONSTRUCTION;
	HnswLayoutChoose(meta, opts ? opts->sketch_bits : HNSW_SKETCH_OPT_AUTO,
					 opts ? opts->own_vector : HNSW_OWN_OPT_AUTO,
					 RelationGetRelationName(index));
	meta->ncentre = HnswCentrePages(meta);
	if (!pg_strong_random(&seed, sizeof(seed)))
		seed = pg_prng_uint64(&pg_global_prng_state);
	meta->seed = seed;
	ItemPointerSetInvalid(&meta->entry);
	ItemPointerSetInvalid(&meta->root);
	meta->upper_target = InvalidBlockNumber;
}
