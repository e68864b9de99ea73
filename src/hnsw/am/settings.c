/*
 * settings.c
 *		The settings of the access method, hnsw.*, beside another library's.
 *
 * pgvector's library has settings of the same names, and whoever defines one
 * that is defined fails: a statement, or, when libraries are preloaded, the
 * server.  In one process there may be both, for databases with either, or
 * because a session replaces one extension by the other.  Hence
 *
 * - nothing is defined when the library is loaded, for the other may be loaded
 *   next;
 * - a backend defines them when it first plans a scan of an index or creates one,
 *   and only if nobody has.  CREATE EXTENSION is no such use.  What has been SET
 *   before is a placeholder, whose value becomes the setting's;
 * - another library's are read by name, as is a placeholder in a parallel worker.
 *   Its defaults, which nobody chose, do not count: ours do.
 *
 * In the library beside pgvector's they are called vectorx.*, which nobody else defines (bridge.c).
 *
 * Not to be cured: pgvector's library fails in a session that has done either.
 * A setting that the server takes for a placeholder, which pgvector would take
 * over as we do, was considered: only superusers could store it by ALTER ROLE or
 * CREATE FUNCTION, and the server would not check its range.  Nor are the settings
 * known before that first use, as they are not before a library is loaded.
 */
#include "postgres.h"

#include <limits.h>

#include "access/xact.h"
#include "compat.h"
#include "hnsw/am/options.h"
#include "hnsw/am/recall.h"
#include "hnsw/hnsw.h"
#include "miscadmin.h"
#include "names.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/memutils.h"

#define EF_SEARCH		VX_SETTING("ef_search")
#define ITERATIVE_SCAN	VX_SETTING("iterative_scan")
#define MAX_SCAN_TUPLES	VX_SETTING("max_scan_tuples")
#define SCAN_MEM		VX_SETTING("scan_mem_multiplier")
#define TARGET_RECALL	VX_SETTING("target_recall")
#define LOAD_SHEDDING	VX_SETTING("load_shedding")
#define LOAD_CPUS		VX_SETTING("load_cpus")
#define WRITE_PROFILE	VX_SETTING("write_profile")
#define MERGE_NAPTIME	VX_SETTING("merge_naptime")
#define MERGE_BATCH		VX_SETTING("merge_batch")
#define MERGE_IDLE		VX_SETTING("merge_idle")

/* Of hnsw.merge_batch and hnsw.merge_idle, percent of an index's limit. */
#define DEFAULT_BATCH	75
#define DEFAULT_IDLE	25

/* Of hnsw.merge_naptime, milliseconds. */
#define DEFAULT_NAPTIME	1000
#define MIN_NAPTIME		10
#define MAX_NAPTIME		(24 * 60 * 60 * 1000)

static const struct config_enum_entry modes[] = {
	{"off", HNSW_ITERATIVE_OFF, false},
	{"relaxed_order", HNSW_ITERATIVE_RELAXED, false},
	{"strict_order", HNSW_ITERATIVE_STRICT, false},
	{NULL, 0, false}
};

static const struct config_enum_entry profiles[] = {
	{"latency", HNSW_WRITE_LATENCY, false},
	{"balanced", HNSW_WRITE_BALANCED, false},
	{"throughput", HNSW_WRITE_THROUGHPUT, false},
	{NULL, 0, false}
};

/* Where the server keeps the settings; their users ask HnswReadSettings. */
static int	ef_search = HNSW_DEFAULT_EF_SEARCH;
static int	iterative_scan = HNSW_ITERATIVE_STRICT;
static int	max_scan_tuples = INT_MAX;
static double scan_mem_multiplier = 1;
static char *target_recall_text;

/* What target_recall_text says. */
typedef struct TargetRecall
{
	double		target;
	bool		chosen;
} TargetRecall;

static TargetRecall target_recall;
static char *load_shedding_text;
static double load_floor;
static int	load_cpus;
static int	write_profile = HNSW_WRITE_BALANCED;
static int	merge_naptime = DEFAULT_NAPTIME;
static int	merge_batch = DEFAULT_BATCH;
static int	merge_idle = DEFAULT_IDLE;

/* We have defined the settings.  Else another library has, or nobody. */
static bool ours = false;

/* What is out of range becomes the nearest that is not; a session says so once. */
static int
clamp(int value)
{
	static bool told = false;
	int			clamped = Max(HNSW_MIN_EF_SEARCH, Min(value, HNSW_MAX_EF_SEARCH));

	if (clamped != value && !told)
	{
		told = true;
		ereport(WARNING,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%d is outside the valid range for parameter \"%s\" (%d .. %d)",
						value, EF_SEARCH, HNSW_MIN_EF_SEARCH, HNSW_MAX_EF_SEARCH),
				 errdetail("Searches use %d.", clamped)));
	}
	return clamped;
}

static bool
check_ef_search(int *newval, void **extra, GucSource source)
{
	*newval = clamp(*newval);
	return true;
}

static bool
check_recall(char **newval, void **extra, GucSource source)
{
	TargetRecall value = {0, source != PGC_S_DEFAULT};

	if (!HnswParseTarget(*newval, &value.target))
	{
		GUC_check_errdetail("Valid values are \"off\" and numbers from %g to %g.",
							HNSW_MIN_TARGET, HNSW_MAX_TARGET);
		return false;
	}
	*extra = CompatSettingExtra(sizeof(value));
	if (*extra == NULL)
		return false;
	memcpy(*extra, &value, sizeof(value));
	return true;
}

static void
assign_target_recall(const char *newval, void *extra)
{
	target_recall = *(const TargetRecall *) extra;
}

static void
assign_load_shedding(const char *newval, void *extra)
{
	load_floor = ((const TargetRecall *) extra)->target;
}

/* Has a library defined the setting?  A placeholder has none. */
bool
HnswSettingDefined(const char *name)
{
	return GetConfigOption(name, true, false) != NULL &&
		(GetConfigOptionFlags(name, true) & GUC_CUSTOM_PLACEHOLDER) == 0;
}

static void
define(void)
{
	struct config_int *setting;

	/* what has been set before may be anything: see clamp */
	DefineCustomIntVariable(EF_SEARCH,
							"Size of the list of nearest nodes kept during a search.",
							"More finds more of the true neighbours and takes longer.",
							&ef_search, HNSW_DEFAULT_EF_SEARCH, INT_MIN, INT_MAX,
							PGC_USERSET, 0, check_ef_search, NULL, NULL);
	/* from now on the server refuses what is out of range */
	setting = (struct config_int *) CompatFindSetting(EF_SEARCH);
	setting->min = HNSW_MIN_EF_SEARCH;
	setting->max = HNSW_MAX_EF_SEARCH;
	DefineCustomEnumVariable(ITERATIVE_SCAN,
							 "Whether and in what order a scan goes on beyond its first search.",
							 NULL, &iterative_scan, HNSW_ITERATIVE_STRICT, modes,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable(MAX_SCAN_TUPLES,
							"Nodes after which a scan does not search further.",
							"The greatest value sets no limit.",
							&max_scan_tuples, INT_MAX, 1, INT_MAX,
							PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomRealVariable(SCAN_MEM,
							 "Memory that a scan may use to search further, as a multiple of work_mem.",
							 NULL, &scan_mem_multiplier, 1, 1, 1000,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable(TARGET_RECALL,
							   "Recall that a scan is to have: it searches as far as measurements of the index say.",
							   "\"off\" searches as far as " EF_SEARCH " says.",
							   &target_recall_text, "off",
							   PGC_USERSET, 0, check_recall, assign_target_recall, NULL);
	DefineCustomStringVariable(LOAD_SHEDDING,
							   "Recall that scans with a " TARGET_RECALL " may fall to under load.",
							   "\"off\" lets load change nothing.",
							   &load_shedding_text, "off",
							   PGC_USERSET, 0, check_recall, assign_load_shedding, NULL);
	DefineCustomIntVariable(LOAD_CPUS,
							"CPUs that " LOAD_SHEDDING " counts on.",
							"0 counts those of the machine.",
							&load_cpus, 0, 0, 65536,
							PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable(WRITE_PROFILE,
							 "What an insert does that finds the pending rows of an index at their limit.",
							 NULL, &write_profile, HNSW_WRITE_BALANCED, profiles,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable(MERGE_NAPTIME,
							"Time between two looks of the worker that merges pending rows.",
							NULL, &merge_naptime, DEFAULT_NAPTIME, MIN_NAPTIME, MAX_NAPTIME,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable(MERGE_BATCH,
							"Pending rows that the worker merges at once at least, in percent of the index's limit.",
							"More at a time write fewer pages for each.",
							&merge_batch, DEFAULT_BATCH, 1, 100,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable(MERGE_IDLE,
							"The same for an index that nobody adds to any more.",
							NULL, &merge_idle, DEFAULT_IDLE, 1, 100,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
#ifndef VX_BRIDGE
	/* no one else can define any now; a warning names those set in vain.  The bridge's prefix is vectorx's, too */
	MarkGUCPrefixReserved(VX_AM);
#endif
}

/*
 * Define the settings unless someone has; called at each use.  In parallel mode
 * nothing could be set: what is there, the leader's value as a placeholder, is
 * read by name.
 */
void
HnswSettingsDefine(void)
{
	static bool done = false;

	if (done || IsInParallelMode())
		return;
	ours = !HnswSettingDefined(EF_SEARCH);
	if (ours)
		define();
#ifndef VX_BRIDGE
	IvfflatSettingsDefine();
#endif
	done = true;
}

/* The value that a setting has been given by someone, or NULL. */
static const char *
chosen(const char *name)
{
	struct config_generic *setting = CompatFindSetting(name);

	if (setting == NULL || setting->source == PGC_S_DEFAULT)
		return NULL;
	return GetConfigOption(name, true, false);
}

/* An enumerated setting as another library has it, or as a placeholder. */
static int
read_choice(const char *name, const struct config_enum_entry *choices, int otherwise)
{
	const char *value = chosen(name);

	for (; value && choices->name; choices++)
		if (pg_strcasecmp(value, choices->name) == 0)
			return choices->val;
	return otherwise;
}

/* A number, likewise; what is out of range counts as not set. */
static int
read_number(const char *name, int flags, int least, int most, int otherwise)
{
	const char *value = chosen(name);
	int			number;

	if (value == NULL || !parse_int(value, &number, flags, NULL) || number < least || number > most)
		return otherwise;
	return number;
}

/* The settings as another library has them, or as placeholders. */
static void
read_by_name(HnswSettings *s)
{
	const char *value = GetConfigOption(EF_SEARCH, true, false);

	if (value == NULL || !parse_int(value, &s->ef_search, 0, NULL))
		s->ef_search = HNSW_DEFAULT_EF_SEARCH;
	s->ef_search = clamp(s->ef_search);
	s->iterative_scan = read_choice(ITERATIVE_SCAN, modes, HNSW_ITERATIVE_STRICT);
	s->max_scan_tuples = read_number(MAX_SCAN_TUPLES, 0, 1, INT_MAX, INT_MAX);
	value = chosen(SCAN_MEM);
	if (value == NULL || !parse_real(value, &s->scan_mem_multiplier, 0, NULL) ||
		!(s->scan_mem_multiplier >= 1 && s->scan_mem_multiplier <= 1000))
		s->scan_mem_multiplier = 1;
	value = chosen(TARGET_RECALL);
	s->target_chosen = value != NULL && HnswParseTarget(value, &s->target_recall);
	if (!s->target_chosen)
		s->target_recall = 0;
	value = chosen(LOAD_SHEDDING);
	if (value == NULL || !HnswParseTarget(value, &s->load_floor))
		s->load_floor = 0;
	s->load_cpus = read_number(LOAD_CPUS, 0, 0, INT_MAX, 0);
	s->write_profile = read_choice(WRITE_PROFILE, profiles, HNSW_WRITE_BALANCED);
	s->merge_naptime = read_number(MERGE_NAPTIME, GUC_UNIT_MS, MIN_NAPTIME, MAX_NAPTIME, DEFAULT_NAPTIME);
	s->merge_batch = read_number(MERGE_BATCH, 0, 1, 100, DEFAULT_BATCH);
	s->merge_idle = read_number(MERGE_IDLE, 0, 1, 100, DEFAULT_IDLE);
}

/* The settings hnsw.* of this session, each within its range. */
void
HnswReadSettings(HnswSettings *s)
{
	HnswSettingsDefine();
	if (ours)
	{
		s->ef_search = ef_search;
		s->iterative_scan = iterative_scan;
		s->max_scan_tuples = max_scan_tuples;
		s->scan_mem_multiplier = scan_mem_multiplier;
		s->target_recall = target_recall.target;
		s->target_chosen = target_recall.chosen;
		s->load_floor = load_floor;
		s->load_cpus = load_cpus;
		s->write_profile = write_profile;
		s->merge_naptime = merge_naptime;
		s->merge_batch = merge_batch;
		s->merge_idle = merge_idle;
		return;
	}
	read_by_name(s);
}

/* Bytes that a scan may use: work_mem times hnsw.scan_mem_multiplier. */
Size
HnswScanMemory(const HnswSettings *s)
{
	double		bytes = (double) work_mem * 1024 * s->scan_mem_multiplier;

	return (Size) Min(bytes, (double) MaxAllocHugeSize / 2);
}
