/*
 * calibrate.c
 *		How far searches of an index have to go for a recall: measured on the index.
 *
 * Queries are nodes of the index, drawn at random and each asked for as if it were not there
 * itself (HnswSearch.without), which is as good as vectors that were left out
 * (docs/design/recall.md), or those of hnsw_calibrate (given.c).  What is nearest to each one
 * pass over all nodes tells (nearest.c).  Then one search for each notes which candidates it
 * took when, until it has found them, and so by which factor (graph/slack.h) a search that
 * ends earlier would just have come to each.  Of all these factors, of all queries, the one that
 * the part "recall" of them does not exceed gives that recall.
 *
 * What a search does not find at all no factor finds: it ends up in the wrong one of several
 * clusters.  Then it is begun again from more places, which tells from how many searches for a
 * recall have to begin.  Since the queries of an application are none of the rows, and the mean
 * of few may be off, a little more than the recall is aimed at (margin_of).
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "commands/vacuum.h"
#include "compat.h"
#include "hnsw/am/calibrate.h"
#include "hnsw/am/recall.h"
#include "hnsw/graph/coarse.h"
#include "hnsw/graph/slack.h"
#include "hnsw/layout/layout.h"
#include "hnsw/metric/vector.h"
#include "hnsw/metric/words.h"
#include "hnsw/page/access.h"
#include "hnsw/page/meta.h"
#include "miscadmin.h"
#include "utils/memutils.h"

/*
 * Queries of a build: one for so many nodes, so that it takes them at most a fiftieth of its time
 * from 10,000 nodes on.  VACUUM, which comes seldom, asks as many as make a difference.
 */
#define NODES_PER_QUERY	240
#define MIN_QUERIES		40
#define MAX_QUERIES		125
#define VACUUM_QUERIES	400
/* So many are looked at in one pass over the nodes. */
#define BATCH			512
#define LARGE_BATCH		32

/* One query of so many is for the greatest rank, too, and tells how many visits a factor takes. */
#define FULL_EVERY		10
/* So many rows are what a search is for that is replayed as one for fewer. */
#define NARROW			100
#define WIDTH			300
#define MAX_MARGIN		0.0075
#define LEAST_MARGIN	0.075	/* of what may be missed */

/* One of the nearest of a query: with which factor a search from so many places just does not find it. */
typedef struct Needed
{
	float		factor;			/* INFINITY: none does */
	int32		query;
	int32		width;
} Needed;

/* From which factor on a search makes so many visits, at least. */
typedef struct Stair
{
	float		factor;
	int32		visits;
	int32		query;
} Stair;

/* What is known for one number of rows. */
typedef struct Rank
{
	int			k;
	HnswSlack	slack;			/* of the search that is looked at */
	float	   *needed;			/* for each node found */
	int			maxneeded;
	int			nqueries;
	Needed	   *nearest;		/* k of each query and width */
	int			nnearest;
	int			maxnearest;
	Stair	   *stairs;
	int			nstairs;
	int			maxstairs;
} Rank;

/* Descents of one width. */
typedef struct Descent
{
	int64		visits;
	int			n;
} Descent;

typedef struct Calibration
{
	HnswIndex  *g;
	HnswSearch *s;
	MemoryContext cxt;
	HnswMetaPage meta;
	int			nqueries;		/* that were answered */
	int			nfull;
	Descent		descents[HNSW_MAX_DESCENT + 1]; /* by their width */
	uint8	   *widths;			/* of each, the most places that it was begun from */
	int			maxqueries;
	Rank		ranks[HNSW_RECALL_RANKS];
} Calibration;

/* Room for one more in an array of n. */
#define RESERVE(array, n, max) \
	do { \
		if ((n) == (max)) \
		{ \
			(max) *= 2; \
			(array) = repalloc_huge(array, (Size) (max) * sizeof(*(array))); \
		} \
	} while (0)

/* ---- one query ---- */

static void
add_stair(Calibration *c, Rank *r, double factor, int visits)
{
	RESERVE(r->stairs, r->nstairs, r->maxstairs);
	r->stairs[r->nstairs++] = (Stair) {(float) factor, visits, c->nqueries};
}

static void
add_needed(Calibration *c, Rank *r, float factor, int width)
{
	RESERVE(r->nearest, r->nnearest, r->maxnearest);
	r->nearest[r->nnearest++] = (Needed) {factor, c->nqueries, width};
}

/* With which factor a search ends when this candidate's turn comes. */
static double
ending_factor(const HnswSlack *sl, float key)
{
	double		lift = HnswSlackLift(sl);

	if (!HnswSlackEnough(sl))
		return 0;
	if (sl->dists[0] + lift <= 0)
		return key >= sl->dists[0] ? INFINITY : 0;
	return (key + lift) / (sl->dists[0] + lift);
}

/* What a search found before one candidate's turn and the next one's needed this factor. */
static void
note_needed(const HnswResult *res, Rank *r, int from, int until, double factor)
{
	for (int i = from; i < until; i++)
	{
		(void) HnswSlackAdd(&r->slack, res->found[i].dist, res->found[i].norm2, res->found[i].ntids);
		r->needed[i] = (float) factor;
	}
}

/* Go through the search again, as one for the k nearest; stairs: also for how many visits it makes. */
static void
replay(Calibration *c, Rank *r, bool stairs)
{
	const HnswResult *res = &c->s->results;
	const HnswSlack *wide = &c->s->slack;
	double		most = 0;

	if (r->maxneeded < res->maxfound)
	{
		if (r->needed)
			pfree(r->needed);
		r->needed = MemoryContextAllocHuge(c->cxt, res->maxfound * sizeof(float));
		r->maxneeded = res->maxfound;
	}
	HnswSlackBegin(&r->slack, c->g->lay->metric, c->s->query.norm2, r->k, 1);
	/* without sketches where it begins is found at once */
	note_needed(res, r, 0, wide->npops > 0 ? wide->pops[0].nfound : res->nfound, 0);
	for (int i = 0; i < wide->npops; i++)
	{
		int			until = i + 1 < wide->npops ? wide->pops[i + 1].nfound : res->nfound;
		double		factor = ending_factor(&r->slack, wide->pops[i].key);

		if (factor > most)
		{
			most = factor;
			if (stairs)
				add_stair(c, r, most, i);
		}
		note_needed(res, r, wide->pops[i].nfound, until, most);
	}
	if (stairs)
		add_stair(c, r, INFINITY, wide->npops);
}

/*
 * Which factors the nearest rows of a query needed; those at the distance of the k-th are as good as
 * it.  Returns how many were not found.
 */
static int
note_nearest(Calibration *c, Rank *r, float dist, int width)
{
	const HnswResult *res = &c->s->results;
	int			n = 0;
	int			missed;

	for (int i = 0; i < res->nfound; i++)
	{
		const HnswFound *f = &res->found[i];

		for (int j = 0; f->dist <= dist && j < Max(f->ntids, 1) && n < r->k; j++, n++)
			add_needed(c, r, r->needed[i], width);
	}
	missed = r->k - n;
	for (; n < r->k; n++)
		add_needed(c, r, INFINITY, width);
	return missed;
}

/* A search for a query that begins from so many places of each level; false without an answer. */
static bool
trace(Calibration *c, const HnswAsked *a, int width)
{
	HnswSearch *s = c->s;
	const int	last = HNSW_RECALL_RANKS - 1;

	s->slack.traced = true;
	s->slack.near = a->at[last - 1];
	/* one that is full goes on to its end */
	s->slack.left = a->full ? PG_INT64_MAX : HnswRecallRanks[last - 1];
	s->nvisits_all = s->nvisits = 0;
	s->last_visit = PG_INT64_MAX;
	if (!HnswSearchWithSlack(c->g, s, &c->meta, a->full ? WIDTH : NARROW, 1, width) || s->dry)
		return false;
	c->descents[width].visits += s->nvisits_all;
	c->descents[width].n++;
	return true;
}

/* Do distances say nothing to a search (for the rows that were looked at last)? */
static bool
is_coarse(Calibration *c)
{
	Rank	   *r = &c->ranks[HNSW_RECALL_RANKS - 2];

	c->s->results.slack = &r->slack;
	return HnswResultsCoarse(c->g, &c->s->query, &c->s->results);
}

/* Ask a query; without an answer it does not count. */
static void
ask(Calibration *c, const HnswAsked *a)
{
	const int	nranks = HNSW_RECALL_RANKS - (a->full ? 0 : 1);
	int			width;

	if (isinf(a->at[nranks - 1]))
		return;
	if (a->query.vec)
		c->s->query = a->query;
	else
	{
		HnswQueryFromStored(&c->g->space, a->own, &a->head, &c->s->query);
		c->s->query.unit = 1;
	}
	c->s->without = a->self;
	for (width = 1;; width *= 2)
	{
		int			missed = 0;

		if (!trace(c, a, width))
			break;
		for (int i = 0; i < nranks; i++)
			replay(c, &c->ranks[i], false);
		/* such a search goes by other rules */
		if (width == 1 && is_coarse(c))
			break;
		for (int i = 0; i < nranks; i++)
		{
			int			n = note_nearest(c, &c->ranks[i], a->at[i], width);

			/* of many rows one or the other is always missed */
			missed += i < HNSW_RECALL_RANKS - 1 ? n : 0;
		}
		for (int i = 0; i < nranks && a->full && width == 1; i++)
			replay(c, &c->ranks[i], true);
		c->widths[c->nqueries] = (uint8) width;
		if (missed == 0 || width == HNSW_MAX_DESCENT)
		{
			width *= 2;
			break;
		}
	}
	if (width == 1)
		return;
	for (int i = 0; i < nranks; i++)
		c->ranks[i].nqueries++;
	c->nfull += a->full;
	c->nqueries++;
}

/* ---- results ---- */

static int
cmp_needed(const void *a, const void *b)
{
	float		x = ((const Needed *) a)->factor;
	float		y = ((const Needed *) b)->factor;

	return x < y ? -1 : x > y;
}

/* How many visits searches with a factor make, on average. */
static double
visits_with(const Calibration *c, const Rank *r, float factor)
{
	double		sum = 0;
	int			last = -1;

	/* of each query the first stair it does not take */
	for (int i = 0; i < r->nstairs; i++)
	{
		if (r->stairs[i].query == last || r->stairs[i].factor < factor)
			continue;
		last = r->stairs[i].query;
		sum += r->stairs[i].visits;
	}
	return sum / Max(c->nfull, 1);
}

/* Does this say what a search from so many places finds? */
static inline bool
is_of_width(const Calibration *c, const Needed *n, int width)
{
	return n->width == Min(width, c->widths[n->query]);
}

/* How much more than a recall is aimed at, when the mean of the queries has this standard error. */
static double
margin_of(double target, double error)
{
	return Min(Max(error, LEAST_MARGIN * (1 - target)), MAX_MARGIN);
}

/* The least factor with which the queries, from so many places, have the recall; *reached: is there one? */
static float
choose_factor(const Calibration *c, const Rank *r, double target, int width, bool *reached)
{
	int		   *found = palloc0(c->nqueries * sizeof(int));
	double		all = (double) r->k * r->nqueries;
	double		sum = 0;
	double		squares = 0;
	float		factor = 0;

	*reached = false;
	for (int i = 0; i < r->nnearest && !isinf(r->nearest[i].factor) && !*reached; i++)
	{
		double		mean;
		double		variance;
		double		error;

		if (!is_of_width(c, &r->nearest[i], width))
			continue;
		factor = r->nearest[i].factor;
		squares += 2 * found[r->nearest[i].query]++ + 1;
		sum++;
		mean = sum / all;
		variance = squares / r->k / all - mean * mean;
		error = sqrt(Max(variance, 0) / r->nqueries);
		*reached = mean - margin_of(target, error) >= target;
	}
	pfree(found);
	/* a little more than what just does not do, but no more than is taken for sound */
	return (float) Min(nextafterf(Max(factor, FLT_MIN), INFINITY), HNSW_MAX_FACTOR);
}

/* From how many places searches begin that are to have a recall: by what costs the least. */
static int
choose_width(const Calibration *c, double target)
{
	const Rank *r = &c->ranks[HNSW_RECALL_RANKS - 2];
	double		least = INFINITY;
	int			best = 1;

	/* wider ones than any query needed change nothing */
	for (int width = 1; width <= HNSW_MAX_DESCENT && c->descents[width].n > 0; width *= 2)
	{
		bool		reached;
		float		factor = choose_factor(c, r, target, width, &reached);
		double		cost = (double) c->descents[width].visits / c->descents[width].n +
			visits_with(c, r, factor);

		if (reached ? cost < least : isinf(least))
			best = width;
		if (reached)
			least = Min(least, cost);
	}
	return best;
}

static void
choose(Calibration *c, HnswCalibration *cal)
{
	for (int i = 0; i < HNSW_RECALL_RANKS; i++)
		qsort(c->ranks[i].nearest, c->ranks[i].nnearest, sizeof(Needed), cmp_needed);
	for (int t = 0; t < HNSW_RECALL_TARGETS; t++)
	{
		int			width = choose_width(c, HnswRecallTargets[t]);
		bool		reached;

		cal->width[t] = (uint8) width;
		for (int i = 0; i < HNSW_RECALL_RANKS; i++)
		{
			cal->factor[t][i] = choose_factor(c, &c->ranks[i], HnswRecallTargets[t], width, &reached);
			cal->visits[t][i] = (float4) visits_with(c, &c->ranks[i], cal->factor[t][i]);
		}
	}
}

/* Write the calibration into the metapage. */
static void
store(HnswIndex *g, const HnswCalibration *cal)
{
	HnswWrite  *w = &g->scratch->write;
	HnswPin		pin;
	HnswMetaPage meta;

	HnswAcquire(g, HNSW_META_BLOCK, BUFFER_LOCK_EXCLUSIVE, &pin);
	HnswWriteBegin(g, w);
	HnswWriteAdd(w, &pin, false);
	meta = *HnswPageGetMeta(pin.page);
	meta.calibration = *cal;
	HnswMetaWrite(w, 0, &meta);
	HnswWriteEnd(w);
	HnswRelease(g, &pin);
}

/* Memory for a calibration, which grows. */
static Calibration *
begin(HnswIndex *g)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "hnsw calibration",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	Calibration *c = palloc0(sizeof(Calibration));

	c->g = g;
	c->cxt = cxt;
	c->s = HnswSearchCreate(g, cxt);
	c->maxqueries = VACUUM_QUERIES;
	c->widths = palloc(c->maxqueries);
	HnswReadMeta(g, &c->meta);
	for (int i = 0; i < HNSW_RECALL_RANKS; i++)
	{
		Rank	   *r = &c->ranks[i];

		r->k = HnswRecallRanks[i];
		r->slack.cxt = cxt;
		r->maxnearest = r->maxstairs = 1024;
		r->nearest = palloc(r->maxnearest * sizeof(Needed));
		r->stairs = palloc(r->maxstairs * sizeof(Stair));
	}
	MemoryContextSwitchTo(old);
	return c;
}

/* Room for n queries at a time; without "whole" their vectors are made of nodes when they are asked. */
static HnswAsked *
create_asked(Calibration *c, int n, bool whole)
{
	HnswAsked  *asked = MemoryContextAllocZero(c->cxt, n * sizeof(HnswAsked));

	for (int i = 0; i < n; i++)
	{
		HnswAsked  *a = &asked[i];

		if (whole)
			HnswQueryInit(&c->g->space, &a->query, c->cxt);
		a->self.blk = InvalidBlockNumber;
		a->full = i % FULL_EVERY == 0;
		a->k = HnswRecallRanks[HNSW_RECALL_RANKS - (a->full ? 1 : 2)] + 1;
		a->own = MemoryContextAlloc(c->cxt, c->g->lay->own_bytes);
		a->nearest = MemoryContextAlloc(c->cxt, a->k * sizeof(float));
	}
	return asked;
}

/*
 * Calibrate by the queries that "next" gives, and store the result unless too few are answered.
 * Returns how many were.  Locks one page at a time; others may search and insert meanwhile.
 */
int
HnswCalibrate(HnswIndex *g, HnswCalibrated kind, int n, HnswAsk next, void *arg)
{
	Calibration *c = begin(g);
	/* a query of words may have much memory; with columns distances are computed without it */
	bool		whole = kind == HNSW_CALIBRATED_QUERIES || !HnswHasColumns(g->lay);
	int			batch = Min(n, whole && HnswQueryBytes(g->lay) > 0 ? LARGE_BATCH : BATCH);
	HnswAsked  *asked = create_asked(c, batch, whole);
	HnswCalibration cal = {.kind = kind};
	MemoryContext old = MemoryContextSwitchTo(c->cxt);
	int			nqueries;

	for (int got; (got = next(g, asked, batch, c->nqueries, arg)) > 0;)
	{
		HnswFindNearest(g, asked, got);
		for (int i = 0; i < got; i++)
		{
			CompatVacuumDelayPoint();
			RESERVE(c->widths, c->nqueries, c->maxqueries);
			ask(c, &asked[i]);
		}
	}
	nqueries = c->nfull > 0 ? c->nqueries : 0;
	if (nqueries >= HNSW_MIN_ANSWERS)
	{
		cal.nqueries = (uint16) nqueries;
		cal.nodes = (float4) HnswCountNodes(g);
		choose(c, &cal);
		store(g, &cal);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(c->cxt);
	ereport(DEBUG1,
			(errmsg_internal("index \"%s\": %d queries have told how far searches go for a recall%s",
							 RelationGetRelationName(g->rel), nqueries, nqueries < HNSW_MIN_ANSWERS ? ", too few" : "")));
	return nqueries;
}

/* Calibrate by nodes.  In vain, that is stored, too, lest each VACUUM does it again; what there was stays. */
static void
calibrate_by_nodes(HnswIndex *g, HnswCalibrated kind, int n)
{
	HnswDraw	draw = {.wanted = n, .seed = g->seed};
	HnswMetaPage meta;

	if (HnswCalibrate(g, kind, n, HnswDrawNodes, &draw) >= HNSW_MIN_ANSWERS)
		return;
	HnswReadMeta(g, &meta);
	if (!HnswCalibrationUsable(&meta.calibration))
		memset(&meta.calibration, 0, sizeof(meta.calibration));
	meta.calibration.kind = kind;
	meta.calibration.nodes = (float4) HnswCountNodes(g);
	store(g, &meta.calibration);
}

/* At the end of a build: calibrate the index, if it has so many nodes that it matters. */
void
HnswCalibrateBuild(HnswIndex *g)
{
	double		nodes = HnswCountNodes(g);

	if (nodes >= HNSW_MIN_CALIBRATED)
		calibrate_by_nodes(g, HNSW_CALIBRATED_BUILD,
						   (int) Min(Max(nodes / NODES_PER_QUERY, MIN_QUERIES), MAX_QUERIES));
}

/* Is it what is stored when there was nothing to be measured? */
static bool
is_attempt(const HnswCalibration *cal)
{
	HnswCalibration none = {.kind = cal->kind, .nodes = cal->nodes};

	return (cal->kind == HNSW_CALIBRATED_BUILD || cal->kind == HNSW_CALIBRATED_VACUUM) &&
		cal->nodes > 0 && memcmp(cal, &none, sizeof(none)) == 0;
}

/* Is the calibration not, or no longer, good enough for so many nodes? */
static bool
outdated(const HnswCalibration *cal, double nodes)
{
	if (!HnswCalibrationUsable(cal) && !is_attempt(cal))
		return true;
	/* some queries are not answered */
	if (cal->kind == HNSW_CALIBRATED_BUILD && cal->nqueries < VACUUM_QUERIES / 2)
		return true;
	return nodes * 5 >= cal->nodes * 6.0;
}

/*
 * After VACUUM: calibrate again if the index has grown by a fifth since, or "changed" says that
 * as much of it is new, or the build had few queries.  What hnsw_calibrate has measured stays, unless
 * it is damaged, for only the user has the queries.
 */
void
HnswRecalibrate(Relation index, bool changed)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "hnsw recalibration",
											  ALLOCSET_SMALL_SIZES);
	HnswIndex  *g = HnswOpenIn(index, cxt);
	HnswMetaPage meta;
	double		nodes;

	HnswReadMeta(g, &meta);
	if (HnswTidIsSet(&meta.entry) &&
		(meta.calibration.kind != HNSW_CALIBRATED_QUERIES || !HnswCalibrationUsable(&meta.calibration)))
	{
		nodes = HnswCountNodes(g);
		if (nodes >= HNSW_MIN_CALIBRATED && (changed || outdated(&meta.calibration, nodes)))
			calibrate_by_nodes(g, HNSW_CALIBRATED_VACUUM, VACUUM_QUERIES);
	}
	MemoryContextDelete(cxt);
}
