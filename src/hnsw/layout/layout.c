/*
 * layout.c
 *		How a node record is laid out: which sketch, which own vector, where.
 *
 * The choice is made once, when an index is created, and written to the
 * metapage; everything else is derived from there, so that the same metapage
 * always gives the same offsets.  Pure arithmetic: touches no page.
 */
#include "postgres.h"

#include <math.h>

#include "common/pg_prng.h"
#include "hnsw/hnsw.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/metric.h"
#include "simd/vx_simd.h"

/*
 * Neighbours up to this many dimensions are stored whole: the code, its
 * factors and its error would cost more than they save.
 */
#define EXACT_MAX_DIM		12
/* Up to here 4 bits a dimension pay, up to there 2. */
#define FOUR_BITS_MAX_DIM	16
#define TWO_BITS_MAX_DIM	160
/* Own vectors up to this many dimensions stay fp32. */
#define FP32_MAX_DIM		32
/* A sketch may leave out this part of the rotated dimensions for one more
 * record a page; see README, "Choice of layout". */
#define SHRINK_NUM			7
#define SHRINK_DEN			8
/* A sketch of 1 bit covers so many dimensions: beyond, more links are worth more
 * than longer codes; see README, "Links of a new node". */
#define ONE_BIT_MAX_CODE_DIMS 1024
/* An own vector moves to side pages rather than leave fewer sketch dims. */
#define INLINE_MIN_CODE_DIMS 768

#define LAYOUT_ALIGN(x, a)	(((x) + ((a) - 1)) & ~((a) - 1))

/* What arrays, and the fields that hold counts and offsets, rely on. */
StaticAssertDecl(LAYOUT_ALIGN(2 * HNSW_MAX_M, VX_BLOCK) <= HNSW_MAX_FANOUT,
				 "arrays of HNSW_MAX_FANOUT links are too short");
StaticAssertDecl(HNSW_MAX_FANOUT <= PG_UINT8_MAX && HNSW_MAX_TIDS <= PG_UINT8_MAX,
				 "the counts of a record do not fit a byte");
StaticAssertDecl(HNSW_PAGE_ROOM / sizeof(HnswRecord) <= HNSW_LINK_SLOT_MASK,
				 "a page's slots do not fit a link");
StaticAssertDecl(HNSW_MAX_DIM <= PG_UINT16_MAX &&
				 HNSW_MAX_EF_CONSTRUCTION <= PG_UINT16_MAX,
				 "the metapage does not hold all parameters");

static int
own_size(HnswOwn own, int dim)
{
	switch (own)
	{
		case HNSW_OWN_FP32:
			return dim * (int) sizeof(float);
		case HNSW_OWN_FP16:
			return dim * (int) sizeof(uint16);
		case HNSW_OWN_INT8:
			return dim;
	}
	return 0;
}

/*
 * Fill in what follows from dim, metric, m, sketch, bits, code_dims, own,
 * own_side and max_tids.  False when a record does not fit a page.
 */
static bool
layout_compute(HnswLayout *lay)
{
	int			nblocks;
	int			at = sizeof(HnswRecord);

	lay->fanout = LAYOUT_ALIGN(2 * lay->m, VX_BLOCK);
	nblocks = lay->fanout / VX_BLOCK;
	lay->own_bytes = own_size(lay->own, lay->dim);
	lay->groups = 0;
	lay->factor_width = 0;
	if (lay->sketch == HNSW_SKETCH_BITS)
	{
		lay->groups = VX_CODE_GROUPS(lay->code_dims, lay->bits);
		lay->factor_width = lay->bits == 1 ? 2 : 4;
	}
	else if (lay->sketch == HNSW_SKETCH_EXACT)
		lay->groups = lay->dim;
	lay->group_step = lay->sketch == HNSW_SKETCH_EXACT ? (int) sizeof(float) : VX_GROUP_BYTES;
	lay->block_bytes = lay->groups * VX_GROUP_BYTES;

	lay->off_tids = at;
	at += lay->max_tids * (int) sizeof(ItemPointerData);
	at = LAYOUT_ALIGN(at, 4);
	lay->off_own = at;
	if (!lay->own_side)
		at += lay->own_bytes;
	at = LAYOUT_ALIGN(at, 2);
	lay->off_links = at;
	at += lay->fanout * (int) sizeof(ItemPointerData);
	lay->off_edges = at;
	at += lay->fanout * (int) sizeof(uint16);
	at = LAYOUT_ALIGN(at, 4);
	lay->off_a = at;
	at += lay->fanout * lay->factor_width;
	lay->off_b = at;
	at += lay->fanout * lay->factor_width;
	at = LAYOUT_ALIGN(at, 4);
	lay->off_codes = at;
	lay->parts[0] = (HnswPart) {lay->off_links, sizeof(ItemPointerData)};
	lay->parts[1] = (HnswPart) {lay->off_edges, sizeof(uint16)};
	lay->parts[2] = (HnswPart) {lay->off_a, lay->factor_width};
	lay->parts[3] = (HnswPart) {lay->off_b, lay->factor_width};
	at += nblocks * lay->block_bytes;
	lay->rec_size = LAYOUT_ALIGN(at, 8);
	if (lay->rec_size > (int) HNSW_PAGE_ROOM)
		return false;
	lay->per_page = HNSW_PAGE_ROOM / lay->rec_size;
	lay->off_hints = BLCKSZ - (lay->per_page + 7) / 8;
	if (lay->off_hints < (int) HNSW_PAGE_DATA + lay->per_page * lay->rec_size)
		lay->off_hints = 0;
	lay->side_pages = 0;
	if (lay->own_side)
	{
		lay->side_pages = ((int64) lay->per_page * lay->own_bytes + HNSW_PAGE_ROOM - 1) / HNSW_PAGE_ROOM;
		/* one node a page when more would spread over too many side pages */
		if (lay->side_pages > HNSW_MAX_SIDE_PAGES)
		{
			lay->per_page = 1;
			lay->side_pages = (lay->own_bytes + HNSW_PAGE_ROOM - 1) / HNSW_PAGE_ROOM;
		}
	}
	return true;
}

/* Largest multiple of 32 code dimensions that lets "per_page" records fit. */
static int
fit_code_dims(HnswLayout *lay, int per_page)
{
	HnswLayout	try = *lay;
	int			dims = lay->bits == 1 ? Min(lay->dim, ONE_BIT_MAX_CODE_DIMS) : lay->dim;

	for (;;)
	{
		try.code_dims = dims;
		if (layout_compute(&try) && (int) HNSW_PAGE_ROOM / try.rec_size >= per_page)
			return dims;
		if (dims <= 32)
			return 0;
		dims = (dims - 1) / 32 * 32;
	}
}

/* Choose sketch dimensions and the place of the own vector. */
static bool
layout_fit(HnswLayout *lay, bool shrink)
{
	int			dims;

	lay->own_side = false;
	lay->code_dims = lay->dim;
	if (lay->sketch != HNSW_SKETCH_BITS)
	{
		if (layout_compute(lay))
			return true;
		lay->own_side = true;
		return lay->sketch == HNSW_SKETCH_NONE && layout_compute(lay);
	}

	dims = fit_code_dims(lay, 1);
	if (dims < Min(lay->dim, INLINE_MIN_CODE_DIMS))
	{
		lay->own_side = true;
		dims = fit_code_dims(lay, 1);
	}
	if (dims == 0)
		return false;
	lay->code_dims = dims;
	if (!layout_compute(lay))
		return false;
	if (shrink && !lay->own_side)
	{
		dims = fit_code_dims(lay, lay->per_page + 1);
		if ((int64) dims * SHRINK_DEN >= (int64) lay->dim * SHRINK_NUM)
		{
			lay->code_dims = dims;
			return layout_compute(lay);
		}
	}
	return true;
}

/* Give what is left of each record's share of the page, but for hints, to heap TIDs. */
static void
layout_spend_rest(HnswLayout *lay)
{
	int			per_page = lay->per_page;

	while (lay->max_tids < HNSW_MAX_TIDS)
	{
		HnswLayout	try = *lay;

		try.max_tids++;
		if (!layout_compute(&try) || try.per_page < per_page ||
			(try.off_hints == 0 && lay->off_hints != 0))
			break;
		*lay = try;
	}
}

/* Can indexes with this metric have such sketches? */
static bool
has_sketch(const HnswMetricOps *metric, int sketch_opt)
{
	if (sketch_opt == HNSW_SKETCH_OPT_EXACT)
		return !metric->variable;
	return metric->products || sketch_opt <= 0;
}

/* Can they have such own vectors? */
static bool
has_own(const HnswMetricOps *metric, int own_opt)
{
	return metric->words == NULL || own_opt == HNSW_OWN_OPT_AUTO;
}

/*
 * The layout that the two reloptions lead to.  In: meta's dim, metric (one there is), m.  Out:
 * meta's sketch, bits, code_dims, own, own_side, max_tids, rec_size.  False, and
 * nothing, when an explicit choice cannot be had.
 */
bool
HnswLayoutTry(HnswMetaPage *meta, int sketch_opt, int own_opt)
{
	const HnswMetricOps *metric = HnswMetricOf(meta->metric);
	HnswLayout	lay;
	bool		fits = false;

	if (!has_sketch(metric, sketch_opt) || !has_own(metric, own_opt))
		return false;

	memset(&lay, 0, sizeof(lay));
	lay.dim = meta->dim;
	lay.metric = metric;
	lay.m = meta->m;
	lay.max_tids = HNSW_MIN_TIDS;

	if (own_opt != HNSW_OWN_OPT_AUTO)
		lay.own = (HnswOwn) own_opt;
	else if (lay.dim <= FP32_MAX_DIM || metric->words)
		lay.own = HNSW_OWN_FP32;
	else
		lay.own = HNSW_OWN_INT8;

	if (sketch_opt == HNSW_SKETCH_OPT_AUTO)
	{
		if (lay.dim <= EXACT_MAX_DIM && !metric->words)
		{
			lay.sketch = HNSW_SKETCH_EXACT;
			fits = layout_fit(&lay, false);
		}
		if (!fits && !metric->products)
		{
			/* no code: searches read own vectors, which halves make half as long, if need be int8 */
			lay.sketch = HNSW_SKETCH_NONE;
			if (own_opt == HNSW_OWN_OPT_AUTO && !metric->words)
			{
				lay.own = lay.dim <= FP32_MAX_DIM ? HNSW_OWN_FP32 : HNSW_OWN_FP16;
				if (!layout_fit(&lay, false) || lay.own_side)
					lay.own = HNSW_OWN_INT8;
			}
			fits = layout_fit(&lay, false);
		}
		if (!fits && lay.dim <= TWO_BITS_MAX_DIM)
		{
			lay.sketch = HNSW_SKETCH_BITS;
			lay.bits = lay.dim <= FOUR_BITS_MAX_DIM ? 4 : 2;
			fits = layout_fit(&lay, false) && lay.code_dims == lay.dim && !lay.own_side;
		}
		if (!fits)
		{
			lay.sketch = HNSW_SKETCH_BITS;
			lay.bits = 1;
			fits = layout_fit(&lay, true);
		}
	}
	else
	{
		lay.sketch = sketch_opt == 0 ? HNSW_SKETCH_NONE :
			sketch_opt == HNSW_SKETCH_OPT_EXACT ? HNSW_SKETCH_EXACT : HNSW_SKETCH_BITS;
		lay.bits = lay.sketch == HNSW_SKETCH_BITS ? sketch_opt : 0;
		fits = layout_fit(&lay, lay.bits == 1);
	}
	if (!fits || lay.side_pages > HNSW_MAX_SIDE_PAGES)
		return false;
	if (lay.sketch != HNSW_SKETCH_BITS)
		lay.code_dims = 0;
	layout_spend_rest(&lay);

	meta->sketch = lay.sketch;
	meta->bits = lay.sketch == HNSW_SKETCH_BITS ? lay.bits : 0;
	meta->code_dims = lay.code_dims;
	meta->own = lay.own;
	meta->own_side = lay.own_side;
	meta->max_tids = lay.max_tids;
	meta->rec_size = lay.rec_size;
	meta->shift = metric->shift;
	return true;
}

/* The same for a new index.  Errors: invalid_parameter_value instead of false. */
void
HnswLayoutChoose(HnswMetaPage *meta, int sketch_opt, int own_opt,
				 const char *relname)
{
	const HnswMetricOps *metric = HnswMetricOf(meta->metric);

	if (HnswLayoutTry(meta, sketch_opt, own_opt))
		return;
	if (!has_sketch(metric, sketch_opt))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("index \"%s\" cannot have %s", relname,
						sketch_opt == HNSW_SKETCH_OPT_EXACT ? "exact sketches" : "sketches of bits"),
				 errdetail("There is no such sketch for the distance %s.", metric->name),
				 errhint("Leave out the option \"sketch_bits\".")));
	if (!has_own(metric, own_opt))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("index \"%s\" cannot have other own vectors", relname),
				 errdetail("With the distance %s vectors are stored in one way.", metric->name),
				 errhint("Leave out the option \"own_vector\".")));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("a node of index \"%s\" does not fit a page", relname),
			 errdetail("%d dimensions, m = %d.", meta->dim, meta->m),
			 errhint("Use a smaller \"m\", or leave the options \"sketch_bits\" and \"own_vector\" at auto.")));
}

/* Is that what an index of words can have? */
static bool
words_fit(const HnswMetaPage *meta, const HnswMetricOps *metric)
{
	return meta->column_dim >= 1 && meta->column_dim <= PG_INT32_MAX &&
		metric->fits(meta->dim, (int) meta->column_dim) && meta->own == HNSW_OWN_FP32 &&
		(meta->sketch == HNSW_SKETCH_NONE || (meta->sketch == HNSW_SKETCH_EXACT && !metric->variable));
}

/*
 * The layout a metapage describes.  False when its numbers are not such as
 * HnswLayoutChoose could have written.
 */
bool
HnswLayoutFromMeta(const HnswMetaPage *meta, HnswLayout *lay)
{
	const HnswMetricOps *metric = HnswMetricOf(meta->metric);

	if (meta->dim < 1 || meta->dim > HNSW_MAX_DIM || metric == NULL ||
		meta->m < HNSW_MIN_M || meta->m > HNSW_MAX_M ||
		meta->ef_construction < HNSW_MIN_EF_CONSTRUCTION ||
		meta->ef_construction > HNSW_MAX_EF_CONSTRUCTION ||
		meta->sketch < HNSW_SKETCH_NONE || meta->sketch > HNSW_SKETCH_EXACT ||
		meta->own < HNSW_OWN_FP32 || meta->own > HNSW_OWN_INT8 ||
		meta->own_side > 1 ||
		meta->max_tids < HNSW_MIN_TIDS || meta->max_tids > HNSW_MAX_TIDS ||
		(meta->shift != 0 && meta->shift != metric->shift) ||
		(metric->words ? !words_fit(meta, metric) : meta->column_dim != 0))
		return false;
	if (meta->sketch == HNSW_SKETCH_BITS &&
		((meta->bits != 1 && meta->bits != 2 && meta->bits != 4) ||
		 meta->code_dims < 1 || meta->code_dims > meta->dim))
		return false;

	memset(lay, 0, sizeof(*lay));
	lay->dim = meta->dim;
	lay->column_dim = meta->column_dim != 0 ? (int) meta->column_dim : meta->dim;
	lay->metric = metric;
	lay->m = meta->m;
	lay->ef_construction = meta->ef_construction;
	lay->sketch = (HnswSketch) meta->sketch;
	lay->bits = meta->bits;
	lay->code_dims = meta->code_dims;
	lay->own = (HnswOwn) meta->own;
	lay->own_side = meta->own_side != 0;
	lay->max_tids = meta->max_tids;
	lay->unit = ldexpf(1, -meta->shift);
	return layout_compute(lay) && lay->rec_size == meta->rec_size &&
		lay->side_pages <= HNSW_MAX_SIDE_PAGES;
}

/* Level of a new node: geometric, with mean ratio fanout between levels. */
int
HnswRandomLevel(int fanout)
{
	double		u = pg_prng_double(&pg_global_prng_state);
	int			level = (int) (-log(1.0 - u) / log(fanout));

	return Min(level, HNSW_MAX_LEVEL);
}
