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
 * - a backend defines hnsw.ef_search when it first plans a scan of an index or
 *   creates one, and only if nobody has.  CREATE EXTENSION is no such use.  What
 *   has been SET before is a placeholder, whose value becomes the setting's;
 * - whoever has defined it, the value is read by name.
 *
 * Not to be cured: pgvector's library fails in a session that has done either.
 * A setting that the server takes for a placeholder, which pgvector would take
 * over as we do, was considered: only superusers could store it by ALTER ROLE or
 * CREATE FUNCTION, and the server would not check its range.  Nor is
 * hnsw.ef_search known before that first use, as it is not before a library is
 * loaded.
 */
#include "postgres.h"

#include "access/xact.h"
#include "compat.h"
#include "hnsw/am/options.h"
#include "hnsw/hnsw.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"

#define EF_SEARCH		"hnsw.ef_search"
#define ITERATIVE_SCAN	"hnsw.iterative_scan"

/* Where the server keeps the setting; its users ask HnswEfSearch. */
static int	ef_search = HNSW_DEFAULT_EF_SEARCH;

/* Another library has defined the settings. */
static bool foreign = false;

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

/* Has a library defined the setting?  A placeholder has none. */
static bool
is_defined(const char *name)
{
	return GetConfigOption(name, true, false) != NULL &&
		(GetConfigOptionFlags(name, true) & GUC_CUSTOM_PLACEHOLDER) == 0;
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
	struct config_int *setting;

	if (done || IsInParallelMode())
		return;
	foreign = is_defined(EF_SEARCH);
	if (!foreign)
	{
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
		/* no one else can define any now; a warning names those set in vain */
		MarkGUCPrefixReserved("hnsw");
	}
	done = true;
}

/* A setting of the other library that does nothing here: tell once, if it is on. */
static void
tell_ignored(void)
{
	static bool told = false;
	const char *value = told ? NULL : GetConfigOption(ITERATIVE_SCAN, true, false);

	if (value == NULL || strcmp(value, "off") == 0)
		return;
	told = true;
	ereport(WARNING,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("\"%s\" has no effect on hnsw indexes of vectorx", ITERATIVE_SCAN),
			 errdetail("In this session it is a setting of another library.")));
}

/* hnsw.ef_search of this session, within its range. */
int
HnswEfSearch(void)
{
	const char *value;
	int			ef;

	HnswSettingsDefine();
	if (foreign)
		tell_ignored();
	value = GetConfigOption(EF_SEARCH, true, false);
	if (value == NULL || !parse_int(value, &ef, 0, NULL))
		return HNSW_DEFAULT_EF_SEARCH;
	return clamp(ef);
}
