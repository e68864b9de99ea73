/*
 * options.h
 *		Options of an index, and settings.
 */
#ifndef HNSW_AM_OPTIONS_H
#define HNSW_AM_OPTIONS_H

#include "access/reloptions.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/type.h"
#include "utils/rel.h"

typedef struct HnswOptions
{
	int32		vl_len_;
	int			m;
	int			ef_construction;
	int			sketch_bits;	/* enum below */
	int			own_vector;
	int			lists;			/* of ivfflat; nobody asks */
	int			pending_limit;	/* -1: automatic */
	int			target_recall;	/* where its text stands behind this; 0: not set */
} HnswOptions;

extern void HnswOptionsInit(void);
extern bytea *HnswOptionsParse(Datum reloptions, bool validate);

/* What pgvector's ivfflat takes. */
#define IVFFLAT_DEFAULT_LISTS	100
#define IVFFLAT_MAX_LISTS		32768

extern bytea *IvfflatOptionsParse(Datum reloptions, bool validate);

extern void HnswMetaFor(Relation index, int dim, int nonzero, HnswMetaPage *meta);
extern void HnswSetDimensions(HnswMetaPage *meta, const HnswTypeOps *type, int dim, int nonzero);

/* Rows that may wait to be linked if nobody says how many: what adds a fifth at most to a search at ef_search 40. */
#define HNSW_AUTO_PENDING_LIMIT		4096
#define HNSW_MAX_PENDING_LIMIT		65536

extern int	HnswPendingLimit(Relation index, const HnswLayout *lay);

extern void HnswAlterInit(void);
extern char *HnswPendingOptions(const HnswOptions *opts, const HnswMetaPage *built);

/* hnsw.iterative_scan */
#define HNSW_ITERATIVE_OFF		0
#define HNSW_ITERATIVE_RELAXED	1
#define HNSW_ITERATIVE_STRICT	2

/* Settings of a session that concern scans. */
typedef struct HnswSettings
{
	int			ef_search;
	int			iterative_scan;
	int			max_scan_tuples;	/* INT_MAX: no limit */
	double		scan_mem_multiplier;
	double		target_recall;	/* 0: off */
	bool		target_chosen;	/* by someone: goes before the index's option */
	double		load_floor;		/* of the recall under load; 0: load changes nothing */
	int			load_cpus;		/* 0: those of the machine */
	int			write_profile;	/* HnswWriteProfile */
	int			merge_naptime;	/* milliseconds between two rounds of the worker that merges */
	int			merge_batch;	/* percent of the limit from which on it merges, */
	int			merge_idle;		/* and of an index that nobody adds to */
} HnswSettings;

/* hnsw.write_profile: what an insert does that finds the pending segment full. */
typedef enum HnswWriteProfile
{
	HNSW_WRITE_LATENCY,			/* goes into the graph, at once */
	HNSW_WRITE_BALANCED,		/* the same, but merges when its statement has many rows */
	HNSW_WRITE_THROUGHPUT		/* merges */
} HnswWriteProfile;

/* Nodes that a search visits for each of its width. */
#define HNSW_VISITS_PER_EF	1.5

/*
 * So many nodes a scan searches for at first, of which rows of "expected" nodes are
 * likely to be asked for (0: not known).  The farthest of those that a search
 * finds are the least reliable.
 */
static inline double
HnswFirstSearch(const HnswSettings *s, double expected)
{
	if (s->iterative_scan == HNSW_ITERATIVE_OFF || expected <= s->ef_search)
		return s->ef_search;
	return 1.25 * expected + s->ef_search / 2;
}

/* Less effort finds next to nothing within a distance where nothing else is returned. */
#define HNSW_WITHIN_EF		40

/*
 * At least so many where there is a bound of the distance: what is nearer and not found then is
 * missed.
 */
static inline int
HnswFirstWithin(const HnswSettings *s)
{
	int			ef = Max(s->ef_search, HNSW_WITHIN_EF);

	return s->iterative_scan == HNSW_ITERATIVE_OFF ? s->ef_search : ef + ef * 3 / 5;
}

extern bool HnswParseTarget(const char *text, double *target);
extern void HnswSettingsDefine(void);
extern void IvfflatSettingsDefine(void);
extern bool HnswSettingDefined(const char *name);
extern void HnswReadSettings(HnswSettings *s);
extern Size HnswScanMemory(const HnswSettings *s);

#endif							/* HNSW_AM_OPTIONS_H */
