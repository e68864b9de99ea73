/*
 * measure.c
 *		hnsw_recall: which part of the nearest rows an index finds, with the session's settings.
 *
 * What it should find a pass over the table tells, by the operator's own function: no plan is made that
 * could use the index after all.  A row as far as the last of the nearest is as good as it.
 *
 * Queries are given, or rows of the table, drawn at random.  Each of these is left out of its own answers, and
 * its node of the search: a search that comes to it has its nearest, since it is they that its list names, and
 * finds several times as many of them as one for another vector (docs/design/recall.md, "The queries").  Where
 * other rows have the node, too, they are among the nearest, and it stays.
 *
 * Between the bounds the recall of all such queries is with 95 % confidence: the interval of Wilson (JASA 22,
 * 1927) for as many independent answers as tell as much as these, which come by the query (Korn and
 * Graubard, Survey Methodology 24, 1998).
 */
#include "postgres.h"

#include <math.h>

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "catalog/index.h"
#include "common/pg_prng.h"
#include "compat.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "funcapi.h"
#include "hnsw/am/info.h"
#include "hnsw/am/queries.h"
#include "hnsw/am/scan.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "miscadmin.h"
#include "names.h"
#include "utils/datum.h"
#include "utils/float.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#define HEAP_PREFIX		worst
#define HEAP_ELEMENT	double
#define HEAP_BEFORE(a, b)	((a) > (b))
#include "hnsw/base/heap.h"

PG_FUNCTION_INFO_V1(vectorx_hnsw_recall);
PG_FUNCTION_INFO_V1(vectorx_hnsw_recall_queries);

/* So many distances are kept of each query: 80 MB for the most. */
#define MAX_QUERIES		10000
#define MAX_K			1000

#define QUANTILE		1.959963984540054	/* of the normal distribution: 97.5 % */
/* So many queries with a miss say as much of how misses come together as is taken for granted. */
#define FEW_MISSES		4

/* A query. */
typedef struct Asked
{
	Datum		value;
	ItemPointerData self;		/* the row that it is, which does not count; none: not valid */
	ItemPointerData root;		/* as the index has it */
	HnswCandidate node;			/* its node, if it is nobody else's; none: no block */
	double	   *nearest;		/* the least distances of rows: a heap, the greatest first */
	int			n;
} Asked;

typedef struct Measure
{
	HnswQueries q;
	MemoryContext cxt;
	ExprState  *predicate;		/* of the index; NULL: none */
	int			k;
	Asked	   *asked;
	int			n;
	/* of the page of a row that was drawn */
	OffsetNumber roots[MaxHeapTuplesPerPage];
	BlockNumber roots_of;
} Measure;

/* What a row of the table is looked at for; *value may be toasted, and is gone after the row. */
typedef void (*RowAction) (Measure *m, Datum value, void *arg);

/* Look at all rows of the table that the snapshot sees and the index is to have. */
static void
for_rows(Measure *m, RowAction act, void *arg)
{
	HnswQueries *q = &m->q;
	ExprContext *context = GetPerTupleExprContext(q->estate);
	TableScanDesc scan = table_beginscan(q->x.heap, GetActiveSnapshot(), 0, NULL);

	while (table_scan_getnextslot(scan, ForwardScanDirection, q->slot))
	{
		Datum		values[INDEX_MAX_KEYS];
		bool		isnull[INDEX_MAX_KEYS];
		MemoryContext old;

		CHECK_FOR_INTERRUPTS();
		old = MemoryContextSwitchTo(context->ecxt_per_tuple_memory);
		if (ExecQual(m->predicate, context))
		{
			FormIndexDatum(q->info, q->slot, q->estate, values, isnull);
			if (!isnull[0])
				act(m, values[0], arg);
		}
		MemoryContextSwitchTo(old);
		ResetExprContext(context);
	}
	table_endscan(scan);
	ExecClearTuple(q->slot);
}

/* ---- queries ---- */

typedef struct Draw
{
	pg_prng_state random;
	int			wanted;
	uint64		seen;
} Draw;

/* A RowAction: each row is one of those wanted with the same probability (Vitter's algorithm R, 1985). */
static void
draw_row(Measure *m, Datum value, void *arg)
{
	Draw	   *draw = (Draw *) arg;
	uint64		at = draw->seen++;
	MemoryContext old;

	if (m->n < draw->wanted)
		at = m->n++;
	else if ((at = pg_prng_uint64_range(&draw->random, 0, at)) >= (uint64) draw->wanted)
		return;
	else
		pfree(DatumGetPointer(m->asked[at].value));
	old = MemoryContextSwitchTo(m->cxt);
	m->asked[at].value = PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
	m->asked[at].self = m->q.slot->tts_tid;
	if (m->q.x.heap->rd_tableam != GetHeapamTableAmRoutine() ||
		!HnswRowRoot(m->q.slot, &m->asked[at].root, m->roots, &m->roots_of))
		ItemPointerSetInvalid(&m->asked[at].root);
	MemoryContextSwitchTo(old);
}

/* Room for so many queries. */
static void
create_asked(Measure *m, int n)
{
	m->asked = MemoryContextAllocZero(m->cxt, Max(n, 1) * sizeof(Asked));
	for (int i = 0; i < n; i++)
	{
		ItemPointerSetInvalid(&m->asked[i].self);
		m->asked[i].node.blk = InvalidBlockNumber;
	}
}

static int
cmp_root(const void *a, const void *b)
{
	ItemPointerData x = ((const Asked *) a)->root;
	ItemPointerData y = ((const Asked *) b)->root;

	return ItemPointerCompare(&x, &y);
}

/* Is the only row of a node one that was drawn? */
static void
match_node(Measure *m, BlockNumber blk, uint16 slot, const char *node)
{
	const HnswRecord *rec = (const HnswRecord *) node;
	Asked		key = {0};
	Asked	   *found;

	if (rec->state != HNSW_LIVE || rec->ntids != 1 || rec->overflow != InvalidBlockNumber)
		return;
	key.root = *HnswNodeTids(&m->q.x.lay, node);
	found = bsearch(&key, m->asked, m->n, sizeof(Asked), cmp_root);
	if (found != NULL)
		found->node = (HnswCandidate) {.blk = blk, .slot = slot};
}

/* Which nodes have the rows that were drawn?  One pass over the index. */
static void
find_nodes(Measure *m)
{
	HnswInspect *x = &m->q.x;

	HnswInspectMeta(x);
	qsort(m->asked, m->n, sizeof(Asked), cmp_root);
	for (BlockNumber blk = HNSW_META_BLOCK + 1; blk < x->nblocks && m->n > 0; blk++)
	{
		const int	nslots = HnswInspectPage(x, blk) ? HnswInspectSlots(x) : 0;

		for (int slot = 0; slot < nslots; slot++)
			match_node(m, blk, (uint16) slot, x->page + HnswSlotOffset(&x->lay, slot));
	}
}

static void
draw_queries(Measure *m, int wanted)
{
	Draw		draw = {.wanted = wanted};

	create_asked(m, wanted);
	pg_prng_seed(&draw.random, pg_prng_uint64(&pg_global_prng_state));
	m->roots_of = InvalidBlockNumber;
	for_rows(m, draw_row, &draw);
	find_nodes(m);
}

/* ---- their nearest rows ---- */

/* A RowAction: the row may be one of the nearest of each query. */
static void
note_row(Measure *m, Datum value, void *arg)
{
	Datum		vector = PointerGetDatum(PG_DETOAST_DATUM(value));

	for (int i = 0; i < m->n; i++)
	{
		Asked	   *a = &m->asked[i];
		double		dist;

		if (ItemPointerIsValid(&a->self) && ItemPointerEquals(&a->self, &m->q.slot->tts_tid))
			continue;
		dist = DatumGetFloat8(FunctionCall2(&m->q.distance, vector, a->value));
		/* such a row has no place in the order, and none in the index */
		if (isnan(dist))
			continue;
		if (a->n < m->k)
			worst_sift_up(a->nearest, a->n++, dist);
		else if (dist < a->nearest[0])
			worst_sift_down(a->nearest, a->n, dist);
	}
}

static void
find_nearest(Measure *m)
{
	double	   *room = MemoryContextAllocHuge(m->cxt, (Size) Max(m->n, 1) * m->k * sizeof(double));

	for (int i = 0; i < m->n; i++)
		m->asked[i].nearest = room + (Size) i * m->k;
	for_rows(m, note_row, NULL);
}

/* ---- what the index finds ---- */

/* How many of the nearest rows of a query the index finds. */
static int
count_found(Measure *m, Asked *a)
{
	HnswQueries *q = &m->q;
	bool		left_out = ItemPointerIsValid(&a->self);
	int			found = 0;

	((HnswScan *) q->scan->opaque)->without = a->node;
	HnswQueriesAsk(q, a->value, a->n + (left_out && a->node.blk == InvalidBlockNumber ? 1 : 0));
	for (int i = 0; i < a->n && index_getnext_slot(q->scan, ForwardScanDirection, q->slot);)
	{
		CHECK_FOR_INTERRUPTS();
		if (left_out && ItemPointerEquals(&a->self, &q->slot->tts_tid))
			continue;
		found += HnswQueriesDistance(q, a->value) <= a->nearest[0];
		i++;
	}
	ExecClearTuple(q->slot);
	return found;
}

/* What the queries say of the recall. */
typedef struct Recall
{
	int			n;				/* queries that have an answer */
	int			nmissed;		/* with a row that was not found */
	double		found;			/* rows that they found, were each to find k */
	double		squares;		/* of the same of each */
} Recall;

static Recall
ask_all(Measure *m)
{
	Recall		r = {0};

	for (int i = 0; i < m->n; i++)
	{
		Asked	   *a = &m->asked[i];
		double		found;

		if (a->n == 0)
			continue;
		/* whole numbers where there are k: their sums are exact */
		found = (double) count_found(m, a) * m->k / a->n;
		r.n++;
		r.nmissed += found < m->k;
		r.found += found;
		r.squares += found * found;
	}
	return r;
}

static double
mean_recall(const Recall *r, int k)
{
	return r->found / ((double) r->n * k);
}

/*
 * So many independent answers tell as much as those of the queries do: as many as have the variance that
 * was found.  That is not to be relied on where hardly a query missed anything: there may be one in
 * some hundred that misses all, and has not been drawn.  So then it comes to the number of queries.
 */
static double
effective_size(const Recall *r, int k)
{
	double		mean = mean_recall(r, k);
	double		variance = (r->squares - r->found * r->found / r->n) / k / k / Max(r->n - 1, 1) / r->n;
	double		size;

	if (variance <= 0 || r->nmissed == 0)
		return r->n;
	size = Min(Max(mean * (1 - mean) / variance, r->n), (double) r->n * k);
	return (r->nmissed + FEW_MISSES) / (r->nmissed / size + (double) FEW_MISSES / r->n);
}

/* Wilson's interval for a mean of so many answers. */
static void
interval(double mean, double n, double *lower, double *upper)
{
	const double z = QUANTILE;
	double		middle = (mean + z * z / 2 / n) / (1 + z * z / n);
	double		half = z / (1 + z * z / n) * sqrt(mean * (1 - mean) / n + z * z / 4 / n / n);

	*lower = Min(Max(middle - half, 0), mean);
	*upper = Max(Min(middle + half, 1), mean);
}

/* The row of the result. */
static Datum
form_result(FunctionCallInfo fcinfo, const Recall *r, int k)
{
	TupleDesc	desc;
	Datum		values[5];
	bool		nulls[5] = {false};
	double		mean = 0;
	double		lower = 0;
	double		upper = 0;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE || desc->natts != lengthof(values))
		elog(ERROR, VX_FUNCTION("recall") " must return a row of %d columns", (int) lengthof(values));
	if (r->n > 0)
	{
		mean = mean_recall(r, k);
		interval(mean, effective_size(r, k), &lower, &upper);
	}
	nulls[0] = nulls[1] = nulls[2] = r->n == 0;
	values[0] = Float8GetDatum(mean);
	values[1] = Float8GetDatum(lower);
	values[2] = Float8GetDatum(upper);
	values[3] = Int32GetDatum(k);
	values[4] = Int32GetDatum(r->n);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/* Measure, by the queries of an array, or by so many rows if there is none; the function's result. */
static Datum
measure(FunctionCallInfo fcinfo, ArrayType *queries, int sample, int k)
{
	Measure		m = {.cxt = CurrentMemoryContext,.k = k};
	Recall		recall;

	if (k < 1 || k > MAX_K)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("k must be between 1 and %d", MAX_K)));
	HnswQueriesOpenIndex(&m.q, VX_FUNCTION("recall"), PG_GETARG_OID(0), queries ? ARR_ELEMTYPE(queries) : InvalidOid, false);
	HnswCountersLeave((HnswScan *) m.q.scan->opaque);
	m.predicate = ExecPrepareQual(m.q.info->ii_Predicate, m.q.estate);
	if (queries)
	{
		Datum	   *values = HnswReadArray(queries, &m.n);

		create_asked(&m, m.n);
		for (int i = 0; i < m.n; i++)
			m.asked[i].value = values[i];
	}
	else
		draw_queries(&m, sample);
	find_nearest(&m);
	recall = ask_all(&m);
	HnswQueriesClose(&m.q);
	return form_result(fcinfo, &recall, k);
}

static void
check_number(int n, const char *what)
{
	if (n > MAX_QUERIES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("cannot measure recall by more than %d %s", MAX_QUERIES, what)));
}

/*
 * hnsw_recall(index regclass, sample int, k int): the part of the k nearest rows that scans of the index find
 * with the session's settings, by so many rows as queries; bounds, k, and how many queries there were.
 * Needs the right to read the whole table.  Reads it twice, with sample distances a row.
 */
Datum
vectorx_hnsw_recall(PG_FUNCTION_ARGS)
{
	int			sample = PG_GETARG_INT32(1);

	if (sample < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("sample must be at least 1")));
	check_number(sample, "rows");
	PG_RETURN_DATUM(measure(fcinfo, NULL, sample, PG_GETARG_INT32(2)));
}

/* hnsw_recall(index regclass, queries anyarray, k int): the same by queries that are given. */
Datum
vectorx_hnsw_recall_queries(PG_FUNCTION_ARGS)
{
	ArrayType  *queries = PG_GETARG_ARRAYTYPE_P(1);

	HnswCheckArray(queries);
	check_number(ArrayGetNItems(ARR_NDIM(queries), ARR_DIMS(queries)), "queries");
	PG_RETURN_DATUM(measure(fcinfo, queries, 0, PG_GETARG_INT32(2)));
}
