/*
 * nearest.c
 *		Which rows of an index are the nearest to many queries: one pass over its nodes.
 *
 * The queries are vectors, or nodes of the index itself, drawn at random, each of which
 * counts as not there (calibrate.c).
 */
#include "postgres.h"

#include <math.h>

#include "commands/vacuum.h"
#include "common/pg_prng.h"
#include "compat.h"
#include "hnsw/am/calibrate.h"
#include "hnsw/am/recall.h"
#include "hnsw/layout/layout.h"
#include "hnsw/metric/panel.h"
#include "hnsw/metric/vector.h"
#include "hnsw/metric/words.h"
#include "hnsw/page/access.h"
#include "hnsw/page/record.h"
#include "miscadmin.h"
#include "simd/vx_simd.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"

#define HEAP_PREFIX		farthest
#define HEAP_ELEMENT	float
#define HEAP_BEFORE(a, b)	((a) > (b))
#include "hnsw/base/heap.h"

/* Where few have an answer, so many times as many queries are drawn, at most. */
#define MAX_DRAWN		3

/* Slots looked at to tell how many nodes there are. */
#define COUNT_SAMPLE	500

/* Nodes that are looked at together. */
#define PASS_ROWS		8

/* ---- nodes as queries ---- */

/* Any slot of the index. */
static void
draw(HnswIndex *g, pg_prng_state *random, HnswCandidate *at)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(g->rel);

	at->blk = (BlockNumber) pg_prng_uint64_range(random, HNSW_META_BLOCK + 1, nblocks - 1);
	at->slot = (uint16) pg_prng_uint64_range(random, 0, g->lay->per_page - 1);
}

/* About how many nodes the index has. */
double
HnswCountNodes(HnswIndex *g)
{
	pg_prng_state random;
	int			nodes = 0;

	if (RelationGetNumberOfBlocks(g->rel) <= HNSW_META_BLOCK + 1)
		return 0;
	pg_prng_seed(&random, g->seed);
	for (int i = 0; i < COUNT_SAMPLE; i++)
	{
		HnswCandidate at;
		HnswPin		pin;

		draw(g, &random, &at);
		if (!HnswAcquireInOrder(g, at.blk, BUFFER_LOCK_SHARE, NULL, &pin))
			continue;
		nodes += HnswLiveNodeAt(g, &pin, at.slot) != NULL;
		HnswRelease(g, &pin);
	}
	return (double) nodes / COUNT_SAMPLE * RelationGetNumberOfBlocks(g->rel) * g->lay->per_page;
}

/* Make a live node of level 0 the query; false if there is none here. */
static bool
take_node(HnswIndex *g, const HnswCandidate *at, HnswAsked *a)
{
	HnswPin		pin;
	const char *node;

	if (!HnswAcquireInOrder(g, at->blk, BUFFER_LOCK_SHARE, NULL, &pin))
		return false;
	node = HnswLiveNodeAt(g, &pin, at->slot);
	if (node != NULL)
	{
		a->head = ((const HnswRecord *) node)->head;
		memcpy(a->own, HnswNodeOwn(g, &pin, at->slot, node), g->lay->own_bytes);
	}
	HnswRelease(g, &pin);
	if (node == NULL)
		return false;
	if (a->query.vec)
	{
		HnswQueryFromStored(&g->space, a->own, &a->head, &a->query);
		a->query.unit = 1;
	}
	a->self = *at;
	return true;
}

/*
 * HnswAsk: nodes drawn at random; arg is an HnswDraw.  Again where many had no answer, as among
 * near-duplicates, but not if hardly one had.
 */
int
HnswDrawNodes(HnswIndex *g, HnswAsked *asked, int n, int answered, void *arg)
{
	HnswDraw   *d = (HnswDraw *) arg;
	pg_prng_state random;
	int			drawn = 0;

	if (d->times > 0 && (d->times == MAX_DRAWN || answered * 2 >= d->wanted || answered * 10 < d->wanted))
		return 0;
	pg_prng_seed(&random, d->seed + d->times++);
	/* not for ever where hardly a page has nodes */
	for (int tries = 0; tries < n * 20 && drawn < n; tries++)
	{
		HnswCandidate at = {0};

		CHECK_FOR_INTERRUPTS();
		draw(g, &random, &at);
		if (take_node(g, &at, &asked[drawn]))
			drawn++;
	}
	return drawn;
}

/* ---- their nearest ---- */

/* A pass over the nodes, some of which are looked at together. */
typedef struct Pass
{
	HnswIndex  *g;
	HnswAsked  *asked;
	int			n;
	float	   *bounds;			/* of each query: what is nearer is of use */
	float	   *dists;			/* PASS_ROWS * n */
	/* of nodes whose vectors are words that have columns (HnswWordsOps) */
	char	   *words;
	/* of vectors that are stored as integers: products of matrices */
	int8	   *panels;
	float	   *norm;
	float	   *scale;
	float	   *offset;
	float	   *sum;
	int32	   *dots;
	/* the nodes */
	char	   *own;
	HnswVecHead head[PASS_ROWS];
	HnswCandidate at[PASS_ROWS];
	int			rows[PASS_ROWS];	/* of the table */
	int			nnodes;
} Pass;

/* Make n queries, nodes themselves, the columns. */
static void
load_panels(Pass *p)
{
	const HnswLayout *lay = p->g->lay;
	const int	columns = (p->n + VX_PANEL - 1) / VX_PANEL * VX_PANEL;
	const Size	bytes = (Size) columns / VX_PANEL * VX_PANEL_BYTES(lay->dim);

	p->panels = (int8 *) TYPEALIGN(64, palloc0(bytes + 64));
	p->norm = palloc0(columns * sizeof(float));
	p->scale = palloc(columns * sizeof(float));
	p->offset = palloc(columns * sizeof(float));
	p->sum = palloc(columns * sizeof(float));
	p->dots = palloc((Size) PASS_ROWS * columns * sizeof(int32));
	for (int i = 0; i < p->n; i++)
	{
		const HnswVecHead *head = &p->asked[i].head;

		HnswPanelPut(p->panels, lay->dim, i, (const int8 *) p->asked[i].own);
		p->norm[i] = lay->metric->squared ? head->norm2 : 0;
		p->scale[i] = head->scale;
		p->offset[i] = head->offset;
		p->sum[i] = head->scale * head->codesum;
	}
}

/* The same where nodes are words. */
static void
load_words(Pass *p)
{
	const HnswLayout *lay = p->g->lay;
	const char **owns = palloc(p->n * sizeof(char *));

	for (int i = 0; i < p->n; i++)
		owns[i] = p->asked[i].own;
	p->words = palloc_extended(lay->metric->words->columns_bytes(lay, p->n), MCXT_ALLOC_HUGE);
	lay->metric->words->columns_load(&p->g->space, p->words, owns, p->n);
	pfree(owns);
}

static void
begin_pass(Pass *p, HnswIndex *g, HnswAsked *asked, int n)
{
	memset(p, 0, sizeof(*p));
	p->g = g;
	p->asked = asked;
	p->n = n;
	p->bounds = palloc(n * sizeof(float));
	p->dists = palloc((Size) PASS_ROWS * n * sizeof(float));
	p->own = palloc((Size) PASS_ROWS * g->lay->own_bytes);
	for (int i = 0; i < n; i++)
	{
		asked[i].nnearest = 0;
		p->bounds[i] = INFINITY;
	}
	if (asked[0].self.blk == InvalidBlockNumber)
		return;
	if (HnswIntegerDistances(g->lay))
		load_panels(p);
	else if (HnswHasColumns(g->lay))
		load_words(p);
}

/* The distances of the nodes to all queries. */
static void
compute(Pass *p)
{
	const HnswSpace *sp = &p->g->space;
	const int	dim = sp->lay.dim;
	const int	npanels = (p->n + VX_PANEL - 1) / VX_PANEL;
	const int8_t *rows[PASS_ROWS] = {NULL};

	for (int r = 0; r < p->nnodes; r++)
	{
		const char *own = p->own + (Size) r * sp->lay.own_bytes;
		const HnswVecHead *head = &p->head[r];

		rows[r] = (const int8_t *) own;
		if (p->words)
		{
			sp->lay.metric->words->columns_distances(sp, sp->lay.metric, p->words, own, p->dists + r * p->n);
			continue;
		}
		for (int i = 0; i < p->n && p->panels == NULL; i++)
			p->dists[r * p->n + i] = HnswOwnDistance(sp, &p->asked[i].query, own, head->scale, head->offset, head->norm2);
	}
	if (p->panels == NULL)
		return;
	vx_simd->dot_i8_panels(rows, p->nnodes, dim, p->panels, npanels, p->dots, npanels * VX_PANEL);
	for (int r = 0; r < p->nnodes; r++)
	{
		HnswOrigin	o = HnswOriginOf(&p->head[r], dim, sp->lay.metric->squared);

		vx_simd->panel_distances(p->dots + r * npanels * VX_PANEL, p->n, p->norm, p->scale, p->offset, p->sum,
								 o.base, o.p, o.q, o.r, p->dists + r * p->n);
	}
}

/* So many rows at a distance; returns what is of use from now on. */
static float
note(HnswAsked *a, float dist, int rows)
{
	for (int i = 0; i < Min(rows, a->k); i++)
	{
		if (a->nnearest < a->k)
			farthest_sift_up(a->nearest, a->nnearest++, dist);
		else if (dist < a->nearest[0])
			farthest_sift_down(a->nearest, a->k, dist);
		else
			break;
	}
	return a->nnearest < a->k ? INFINITY : a->nearest[0];
}

/* Look at the nodes that have been gathered. */
static void
flush(Pass *p)
{
	compute(p);
	for (int r = 0; r < p->nnodes; r++)
	{
		const float *dists = p->dists + r * p->n;

		for (int i = 0; i < p->n; i++)
		{
			HnswAsked  *a = &p->asked[i];

			/* also what is no number */
			if (likely(dists[i] >= p->bounds[i]))
				continue;
			if (isnan(dists[i]))
				HnswCorrupted(p->g, p->at[r].blk, p->at[r].slot, "the node's vector is not finite");
			if (a->self.blk != p->at[r].blk || a->self.slot != p->at[r].slot)
				p->bounds[i] = note(a, dists[i], p->rows[r]);
		}
	}
	p->nnodes = 0;
}

/* Gather the nodes of a page in hand; whether there are as many as are looked at together is asked after each. */
static void
gather(Pass *p, HnswPin *pin)
{
	const Size	bytes = p->g->lay->own_bytes;

	for (int slot = 0; slot < HnswPageGetHeader(pin->page)->nslots; slot++)
	{
		const char *node = HnswLiveNodeAt(p->g, pin, (uint16) slot);

		/* those that wait to be linked are found in another way than the graph's */
		if (node == NULL || ((const HnswRecord *) node)->nlinks == 0)
			continue;
		memcpy(p->own + p->nnodes * bytes, HnswNodeOwn(p->g, pin, (uint16) slot, node), bytes);
		p->head[p->nnodes] = ((const HnswRecord *) node)->head;
		p->rows[p->nnodes] = Max(((const HnswRecord *) node)->ntids, 1);
		p->at[p->nnodes++] = (HnswCandidate) {.blk = pin->blk, .slot = (uint16) slot};
		if (p->nnodes == PASS_ROWS)
			flush(p);
	}
}

static int
cmp_float(const void *a, const void *b)
{
	float		x = *(const float *) a;
	float		y = *(const float *) b;

	return x < y ? -1 : x > y;
}

/*
 * What the rows of a rank are no farther than: half way to the next one, for distances that are
 * computed in another way are rounded in another way.
 */
static float
limit_of(const HnswAsked *a, int rank)
{
	if (a->nnearest <= rank)
		return INFINITY;
	return (a->nearest[rank - 1] + a->nearest[rank]) / 2 + fabsf(a->nearest[rank]) * 1e-5f;
}

/*
 * Fill asked[].at of n queries, all of them nodes or none.  Locks one page at a time; nodes that come
 * and go meanwhile may count or not.
 */
void
HnswFindNearest(HnswIndex *g, HnswAsked *asked, int n)
{
	MemoryContext cxt = AllocSetContextCreate(CurrentMemoryContext, "hnsw nearest", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(cxt);
	BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);
	BlockNumber nblocks = RelationGetNumberOfBlocks(g->rel);
	Pass		pass;

	begin_pass(&pass, g, asked, n);
	for (BlockNumber blk = HNSW_META_BLOCK + 1; blk < nblocks; blk++)
	{
		HnswPin		pin;

		CompatVacuumDelayPoint();
		if (!HnswAcquireInOrder(g, blk, BUFFER_LOCK_SHARE, strategy, &pin))
			continue;
		if (HnswPageGetHeader(pin.page)->kind == HNSW_PAGE_NODE)
			gather(&pass, &pin);
		HnswRelease(g, &pin);
	}
	flush(&pass);
	for (int i = 0; i < n; i++)
	{
		qsort(asked[i].nearest, asked[i].nnearest, sizeof(float), cmp_float);
		for (int r = 0; r < HNSW_RECALL_RANKS; r++)
			asked[i].at[r] = limit_of(&asked[i], HnswRecallRanks[r]);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
}
