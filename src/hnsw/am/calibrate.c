/*
 * calibrate.c
 *		How far searches of an index have to go for a recall: measured on the index.
 *
 * Nodes of the index, drawn at random, are asked for in turn, each as if it were not there
 * itself (HnswSearch.without).  That is as good as vectors that were left out
 * (docs/design/recall.md).  One wide search for each tells all: it notes which candidates
 * it took when, and so by which factor (graph/slack.h) a search that ends earlier would
 * just have come to each of the nearest nodes.  Of all these factors, of all queries, the
 * one that the part "recall" of them does not exceed gives that recall.
 *
 * What the wide search finds, and a second one that begins from more places, counts as the
 * truth.  Since the queries of an application are none of the rows, and the mean of few may be
 * off, a little more than the recall is aimed at (margin_of).
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "access/xact.h"
#include "common/pg_prng.h"
#include "compat.h"
#include "fmgr.h"
#include "hnsw/am/info.h"
#include "hnsw/am/queries.h"
#include "hnsw/am/recall.h"
#include "hnsw/graph/coarse.h"
#include "hnsw/graph/search.h"
#include "hnsw/graph/slack.h"
#include "hnsw/layout/layout.h"
#include "hnsw/metric/vector.h"
#include "hnsw/page/access.h"
#include "hnsw/page/meta.h"
#include "hnsw/page/record.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(vectorx_hnsw_calibrate);

/*
 * Queries: one for so many nodes, within bounds.  A build of an index that does not ask for a
 * recall makes do with few, which take some hundredths of its time; the next VACUUM sees to it.
 */
#define NODES_PER_QUERY	100
#define MIN_QUERIES		400
#define MAX_QUERIES		1000
#define BUILD_DIVISOR	4

/* Slots looked at to tell how many nodes there are. */
#define COUNT_SAMPLE	500

/* An index of fewer nodes is not worth it; nor is one that answers fewer of the queries. */
#define MIN_NODES		1000
#define MIN_ANSWERS		50
/* The wide search is for so many rows; the one for what it has missed. */
#define WIDTH			300
#define OTHER_WIDTH		20
/* Of the nearest so many may be missed for good, else searches begin from more places. */
#define MAX_MISSED		0.005
#define MIN_DESCENT		2
#define MAX_MARGIN		0.0075
#define LEAST_MARGIN	0.075	/* of what may be missed */

/* A node that a search is to find: with which factor it just does not, and whose it is. */
typedef struct Needed
{
	float		factor;
	int32		query;
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
	Needed	   *nearest;		/* k of each query */
	int			nnearest;
	Stair	   *stairs;
	int			nstairs;
	int			maxstairs;
} Rank;

typedef struct Calibration
{
	HnswIndex  *g;
	HnswSearch *s;
	MemoryContext cxt;
	HnswMetaPage meta;
	int			width;			/* searches begin from so many records of each level */
	HnswFound  *others;			/* what a search that begins from most found */
	int			nothers;
	int			maxothers;
	int			nqueries;		/* that were answered */
	int			maxqueries;
	Rank		ranks[HNSW_RECALL_RANKS];
} Calibration;

/* ---- one query ---- */

static void
add_stair(Calibration *c, Rank *r, double factor, int visits)
{
	if (r->nstairs == r->maxstairs)
	{
		r->maxstairs *= 2;
		r->stairs = repalloc_huge(r->stairs, r->maxstairs * sizeof(Stair));
	}
	r->stairs[r->nstairs++] = (Stair) {(float) factor, visits, c->nqueries};
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

/* Go through the search again, as one for the k nearest. */
static void
replay(Calibration *c, Rank *r)
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
	for (int i = 0; i < wide->npops; i++)
	{
		int			until = i + 1 < wide->npops ? wide->pops[i + 1].nfound : res->nfound;
		double		factor = ending_factor(&r->slack, wide->pops[i].key);

		if (factor > most)
		{
			most = factor;
			add_stair(c, r, most, i);
		}
		for (int j = wide->pops[i].nfound; j < until; j++)
		{
			(void) HnswSlackAdd(&r->slack, res->found[j].dist, res->found[j].norm2, res->found[j].ntids);
			r->needed[j] = (float) most;
		}
	}
	add_stair(c, r, INFINITY, wide->npops);
}

/* Of a node so many rows as are still wanted of k needed this factor. */
static int
note_rows(Calibration *c, Rank *r, const HnswFound *f, float factor, int noted)
{
	int			n = f->dist > r->slack.dists[0] ? 0 : Min(Max(f->ntids, 1), r->k - noted);

	for (int i = 0; i < n; i++)
		r->nearest[r->nnearest++] = (Needed) {factor, c->nqueries};
	return noted + n;
}

/* Which factors the nearest rows needed; those at the distance of the k-th are as good as it. */
static void
note_nearest(Calibration *c, Rank *r)
{
	const HnswResult *res = &c->s->results;
	int			n = 0;

	for (int i = 0; i < c->nothers; i++)
		(void) HnswSlackAdd(&r->slack, c->others[i].dist, c->others[i].norm2, c->others[i].ntids);
	for (int i = 0; i < res->nfound; i++)
		n = note_rows(c, r, &res->found[i], r->needed[i], n);
	for (int i = 0; i < c->nothers; i++)
		n = note_rows(c, r, &c->others[i], INFINITY, n);
}

/*
 * What a search finds that begins from as many places as it can.  Where a search ends up in
 * the wrong one of several clusters, no factor leads it to the right one.
 */
static bool
find_others(Calibration *c)
{
	const HnswResult *res = &c->s->results;

	c->s->slack.traced = false;
	if (!HnswSearchWithSlack(c->g, c->s, &c->meta, OTHER_WIDTH, 1, HNSW_MAX_DESCENT) || c->s->dry)
		return false;
	if (c->maxothers < res->nfound)
	{
		c->maxothers = res->maxfound;
		if (c->others)
			pfree(c->others);
		c->others = MemoryContextAlloc(c->cxt, c->maxothers * sizeof(HnswFound));
	}
	memcpy(c->others, res->found, res->nfound * sizeof(HnswFound));
	c->nothers = res->nfound;
	return true;
}

/* Leave of these what the search that counts has not found. */
static void
drop_found(Calibration *c)
{
	const HnswResult *res = &c->s->results;
	int			n = 0;

	for (int i = 0; i < c->nothers; i++)
	{
		int			j = 0;

		while (j < res->nfound && (res->found[j].blk != c->others[i].blk || res->found[j].slot != c->others[i].slot))
			j++;
		if (j == res->nfound)
			c->others[n++] = c->others[i];
	}
	c->nothers = n;
}

/* Ask s->query; without an answer it does not count. */
static void
ask(Calibration *c)
{
	HnswSearch *s = c->s;
	int			from[HNSW_RECALL_RANKS];
	bool		coarse = false;

	if (!find_others(c))
		return;
	s->slack.traced = true;
	if (!HnswSearchWithSlack(c->g, s, &c->meta, WIDTH, 1, c->width) || s->dry)
		return;
	drop_found(c);
	for (int i = 0; i < HNSW_RECALL_RANKS; i++)
	{
		Rank	   *r = &c->ranks[i];

		from[i] = r->nstairs;
		replay(c, r);
		/* such a search goes by other rules */
		s->results.slack = &r->slack;
		coarse |= r->k == HNSW_RECALL_ROWS && HnswResultsCoarse(c->g, &s->query, &s->results);
	}
	for (int i = 0; i < HNSW_RECALL_RANKS; i++)
	{
		if (coarse)
			c->ranks[i].nstairs = from[i];
		else
			note_nearest(c, &c->ranks[i]);
	}
	c->nqueries += !coarse;
}

/* ---- nodes as queries ---- */

/* Any slot of the index. */
static void
draw(HnswIndex *g, pg_prng_state *random, BlockNumber *blk, uint16 *slot)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(g->rel);

	*blk = (BlockNumber) pg_prng_uint64_range(random, HNSW_META_BLOCK + 1, nblocks - 1);
	*slot = (uint16) pg_prng_uint64_range(random, 0, g->lay->per_page - 1);
}

/* The live node of level 0 there, of a page in hand; NULL if there is none. */
static char *
node_at(HnswIndex *g, HnswPin *pin, uint16 slot)
{
	char	   *node;

	if (HnswPageGetHeader(pin->page)->kind != HNSW_PAGE_NODE || slot >= HnswPageGetHeader(pin->page)->nslots)
		return NULL;
	node = HnswNodeAt(g, pin, slot);
	return ((const HnswRecord *) node)->state == HNSW_LIVE && ((const HnswRecord *) node)->level == 0 ?
		node : NULL;
}

/* About how many nodes the index has. */
static double
count_nodes(HnswIndex *g)
{
	pg_prng_state random;
	int			nodes = 0;

	pg_prng_seed(&random, g->seed);
	for (int i = 0; i < COUNT_SAMPLE; i++)
	{
		BlockNumber blk;
		uint16		slot;
		HnswPin		pin;

		draw(g, &random, &blk, &slot);
		if (!HnswAcquireInOrder(g, blk, BUFFER_LOCK_SHARE, NULL, &pin))
			continue;
		nodes += node_at(g, &pin, slot) != NULL;
		HnswRelease(g, &pin);
	}
	return (double) nodes / COUNT_SAMPLE * RelationGetNumberOfBlocks(g->rel) * g->lay->per_page;
}

/* Make a live node of level 0 the query, and pass over it; false if there is none here. */
static bool
take_node(Calibration *c, BlockNumber blk, uint16 slot)
{
	HnswIndex  *g = c->g;
	HnswPin		pin;
	const char *node;

	if (!HnswAcquireInOrder(g, blk, BUFFER_LOCK_SHARE, NULL, &pin))
		return false;
	node = node_at(g, &pin, slot);
	if (node != NULL)
	{
		const HnswRecord *rec = (const HnswRecord *) node;

		HnswOwnDecode(&g->space, HnswNodeOwn(g, &pin, slot, node), rec->scale, rec->offset,
					  c->s->query.vec);
	}
	HnswRelease(g, &pin);
	if (node == NULL)
		return false;
	HnswQueryBuild(&g->space, &c->s->query);
	c->s->without = (HnswCandidate) {.blk = blk, .slot = slot};
	return true;
}

static void
ask_nodes(Calibration *c, void *arg)
{
	pg_prng_state random;
	int			asked = 0;

	pg_prng_seed(&random, c->g->seed);
	/* not for ever where hardly a page has nodes, or hardly a query an answer */
	for (int tries = 0; tries < c->maxqueries * 10 && c->nqueries < c->maxqueries; tries++)
	{
		BlockNumber blk;
		uint16		slot;

		CHECK_FOR_INTERRUPTS();
		draw(c->g, &random, &blk, &slot);
		if (!take_node(c, blk, slot))
			continue;
		ask(c);
		if (++asked >= 2 * MIN_ANSWERS && c->nqueries * 10 < asked)
			break;
	}
	c->s->without.blk = InvalidBlockNumber;
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
	return sum / c->nqueries;
}

/* How much more than a recall is aimed at, when the mean of the queries has this standard error. */
static double
margin_of(double target, double error)
{
	return Min(Max(error, LEAST_MARGIN * (1 - target)), MAX_MARGIN);
}

/* The factors, and visits, for all recalls; cal receives them at number "rank". */
static void
choose_factors(Calibration *c, int rank, HnswCalibration *cal)
{
	Rank	   *r = &c->ranks[rank];
	int		   *found = palloc0(c->nqueries * sizeof(int));
	double		sum = 0;
	double		squares = 0;
	float		factor = 0;
	int			t = 0;

	qsort(r->nearest, r->nnearest, sizeof(Needed), cmp_needed);
	for (int i = 0; i <= r->nnearest && t < HNSW_RECALL_TARGETS; i++)
	{
		double		mean = sum / r->k / c->nqueries;
		double		variance = squares / r->k / r->k / c->nqueries - mean * mean;
		double		error = sqrt(Max(variance, 0) / c->nqueries);

		for (; t < HNSW_RECALL_TARGETS; t++)
		{
			if (i < r->nnearest && !isinf(r->nearest[i].factor) &&
				mean - margin_of(HnswRecallTargets[t], error) < HnswRecallTargets[t])
				break;
			/* a little more than what just does not do */
			cal->factor[t][rank] = nextafterf(Max(factor, FLT_MIN), INFINITY);
			cal->visits[t][rank] = (float4) visits_with(c, r, cal->factor[t][rank]);
		}
		if (i == r->nnearest)
			break;
		factor = r->nearest[i].factor;
		squares += 2 * found[r->nearest[i].query]++ + 1;
		sum++;
	}
	pfree(found);
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

/* Memory for a calibration with so many queries. */
static Calibration *
begin(HnswIndex *g, int maxqueries, int width)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "hnsw calibration",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	Calibration *c = palloc0(sizeof(Calibration));

	c->g = g;
	c->cxt = cxt;
	c->s = HnswSearchCreate(g, cxt);
	c->s->query.unit = 1;
	c->maxqueries = maxqueries;
	c->width = width;
	HnswReadMeta(g, &c->meta);
	for (int i = 0; i < HNSW_RECALL_RANKS; i++)
	{
		Rank	   *r = &c->ranks[i];

		r->k = HnswRecallRanks[i];
		r->slack.cxt = cxt;
		r->nearest = palloc(maxqueries * r->k * sizeof(Needed));
		r->maxstairs = maxqueries * 64;
		r->stairs = palloc(r->maxstairs * sizeof(Stair));
	}
	MemoryContextSwitchTo(old);
	return c;
}

/* The share of the nearest rows that no factor finds. */
static double
missed(const Calibration *c)
{
	const Rank *r = &c->ranks[1];
	int			n = 0;

	for (int i = 0; i < r->nnearest; i++)
		n += isinf(r->nearest[i].factor) ? 1 : 0;
	return (double) n / Max(r->nnearest, 1);
}

/* Choose what the queries asked say, and store it unless too few were answered. */
static void
finish(Calibration *c, HnswCalibrated kind)
{
	HnswCalibration cal = {.kind = kind, .nqueries = c->nqueries, .width = c->width};
	MemoryContext old = MemoryContextSwitchTo(c->cxt);

	if (c->nqueries >= MIN_ANSWERS)
	{
		cal.nodes = (float4) count_nodes(c->g);
		for (int i = 0; i < HNSW_RECALL_RANKS; i++)
			choose_factors(c, i, &cal);
		store(c->g, &cal);
	}
	MemoryContextSwitchTo(old);
}

/*
 * Calibrate by the queries that "ask" asks, at most n; store the result unless too few are
 * answered.  Returns how many were.  Locks one page at a time; others may search and insert
 * meanwhile.
 */
static int
calibrate(HnswIndex *g, HnswCalibrated kind, int n, void (*ask_all) (Calibration *c, void *arg), void *arg)
{
	for (int width = MIN_DESCENT;; width *= 2)
	{
		Calibration *c = begin(g, n, width);
		int			nqueries;
		bool		done;

		ask_all(c, arg);
		nqueries = c->nqueries;
		done = nqueries < MIN_ANSWERS || missed(c) <= MAX_MISSED || width == HNSW_MAX_DESCENT;
		if (done)
			finish(c, kind);
		MemoryContextDelete(c->cxt);
		if (done)
			return nqueries;
	}
}

/* By how many queries an index of so many nodes is calibrated. */
static int
queries_for(double nodes)
{
	return (int) Min(Max(nodes / NODES_PER_QUERY, MIN_QUERIES), MAX_QUERIES);
}

/* At the end of a build: calibrate the index, if it has so many nodes that it matters. */
void
HnswCalibrateBuild(HnswIndex *g)
{
	double		nodes = RelationGetNumberOfBlocks(g->rel) > 1 ? count_nodes(g) : 0;
	HnswSettings settings = {0};
	int			n = queries_for(nodes);

	if (HnswRecallTarget(g->rel, &settings) == 0)
		n /= BUILD_DIVISOR;
	if (nodes >= MIN_NODES)
		(void) calibrate(g, HNSW_CALIBRATED_BUILD, n, ask_nodes, NULL);
}

static void
close_graph(void *arg)
{
	HnswClose((HnswIndex *) arg);
}

/* A handle on an index that is closed when the context is deleted. */
static HnswIndex *
open_graph(Relation index, MemoryContext cxt)
{
	MemoryContextCallback *cb = MemoryContextAlloc(cxt, sizeof(*cb));

	cb->func = close_graph;
	cb->arg = HnswOpen(index);
	MemoryContextRegisterResetCallback(cxt, cb);
	return (HnswIndex *) cb->arg;
}

/* Is the calibration not, or no longer, good enough for so many nodes? */
static bool
outdated(const HnswCalibration *cal, double nodes)
{
	/* some queries are not answered */
	if (!HnswCalibrationUsable(cal) || (cal->kind == HNSW_CALIBRATED_BUILD && cal->nqueries < MIN_QUERIES / 2))
		return true;
	return nodes * 5 >= cal->nodes * 6.0;
}

/*
 * After VACUUM: calibrate again if the index has grown by a fifth since, or "changed" says that
 * as much of it is new.  What hnsw_calibrate has measured stays, for only the user has the
 * queries.
 */
void
HnswRecalibrate(Relation index, bool changed)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "hnsw recalibration",
											  ALLOCSET_SMALL_SIZES);
	HnswIndex  *g = open_graph(index, cxt);
	HnswMetaPage meta;
	double		nodes;

	HnswReadMeta(g, &meta);
	if (HnswTidIsSet(&meta.entry) && meta.calibration.kind != HNSW_CALIBRATED_QUERIES)
	{
		nodes = count_nodes(g);
		if (nodes >= MIN_NODES && (changed || outdated(&meta.calibration, nodes)))
			(void) calibrate(g, HNSW_CALIBRATED_VACUUM, queries_for(nodes), ask_nodes, NULL);
	}
	MemoryContextDelete(cxt);
}

/* ---- hnsw_calibrate ---- */

typedef struct Given
{
	Oid			type;
	Datum	   *queries;
	int			n;
} Given;

static void
ask_given(Calibration *c, void *arg)
{
	const Given *given = (const Given *) arg;

	for (int i = 0; i < given->n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (HnswPrepareQuery(&c->g->space, HnswCentre(c->g), c->g->space.type->get(given->queries[i]),
							 &c->s->query) && !c->s->query.far)
			ask(c);
	}
}

/* Calibrate by given queries; returns how many were answered.  Errors: see hnsw_calibrate. */
static int
calibrate_given(Oid relid, const Given *given)
{
	HnswInspect x;
	MemoryContext cxt;
	int			n;

	PreventCommandDuringRecovery("hnsw_calibrate()");
	PreventCommandIfReadOnly("hnsw_calibrate()");
	HnswInspectOpen(&x, relid);
	HnswCheckQueries(x.index, given->type);
	if (!CompatOwnsRelation(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_INDEX, RelationGetRelationName(x.index));
	/* so that the commit waits for the WAL */
	(void) GetCurrentTransactionId();
	cxt = AllocSetContextCreate(CurrentMemoryContext, "hnsw_calibrate", ALLOCSET_SMALL_SIZES);
	n = calibrate(open_graph(x.index, cxt), HNSW_CALIBRATED_QUERIES, given->n, ask_given, (void *) given);
	MemoryContextDelete(cxt);
	if (n < MIN_ANSWERS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("too few queries to calibrate index \"%s\"", RelationGetRelationName(x.index)),
				 errdetail("%d of %d could be used, and %d are needed.", n, given->n, MIN_ANSWERS),
				 errhint("Give some hundred different queries of the kind that is asked; the index must have at least %d rows.",
						 WIDTH)));
	HnswInspectClose(&x);
	return n;
}

static void
check_number(int n)
{
	if (n > PG_UINT16_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("cannot calibrate by more than %d queries", PG_UINT16_MAX)));
}

/*
 * hnsw_calibrate(index regclass, queries anyarray): measure how far searches have to go on these
 * queries, which should be of the kind that is asked.  Returns how many it went by.  For
 * the owner.
 */
Datum
vectorx_hnsw_calibrate(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(1);
	int16		typlen;
	bool		typbyval;
	char		typalign;
	Given		given;

	if (array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("queries must not contain nulls")));
	given.type = ARR_ELEMTYPE(array);
	get_typlenbyvalalign(given.type, &typlen, &typbyval, &typalign);
	deconstruct_array(array, given.type, typlen, typbyval, typalign, &given.queries, NULL, &given.n);
	check_number(given.n);
	PG_RETURN_INT32(calibrate_given(PG_GETARG_OID(0), &given));
}
