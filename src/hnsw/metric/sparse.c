/*
 * sparse.c
 *		Sparse vectors: a word for each element that is not zero, its place in the upper
 *		half and its value as fp16 in the lower, by places; five words before them.
 *
 * There is room for so many elements as most rows of a table have (HnswSparseElements).
 * Of a row with more the largest are kept.  The norm is that of the whole vector, and
 * how far distances may be off for what has been left out and rounded stands beside, so
 * that rows are ranked by the table's vectors where that matters, as they are for int8.
 *
 * A place is the dimension, where there are no more than VX_PLACES, else a hash of it:
 * two dimensions with one place count as one, which is rare, and distances may be off by.
 *
 * A query is a table of all places, with all its elements.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "common/hashfn.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/metric.h"
#include "hnsw/metric/norms.h"
#include "hnsw/metric/sparse.h"
#include "hnsw/metric/vector.h"
#include "hnsw/metric/words.h"
#include "port/pg_bitutils.h"
#include "simd/vx_simd.h"
#include "types/element.h"
#include "types/sparsevec.h"

/* The words of vectors of which most have no more than "nonzero" elements; -1: not known. */
int
HnswSparseElements(int dim, int nonzero)
{
	int			n = nonzero < 0 ? SPARSE_DEFAULT : nonzero;

	n = Max(Min(n, SPARSE_MOST), SPARSE_LEAST);
	return (n + SPARSE_STEP - 1) / SPARSE_STEP * SPARSE_STEP + SPARSE_HEAD;
}

static bool
sparse_fits(int dim, int column_dim)
{
	return dim >= SPARSE_LEAST + SPARSE_HEAD && dim <= SPARSE_MOST + SPARSE_HEAD && (dim - SPARSE_HEAD) % SPARSE_STEP == 0;
}

/* The place of a value's element number i; an error if it is none of its dimensions. */
static inline uint32
place_of(const HnswSpace *sp, const SparseVec *v, int i)
{
	const int32 index = v->indices[i];

	/* nobody has looked at what was stored */
	if (unlikely((uint32) index >= (uint32) v->dim))
		SparseVecReportDamage(v);
	return sp->lay.column_dim <= VX_PLACES ? (uint32) index : murmurhash32((uint32) index) >> 16;
}

/* An element on its way into words. */
typedef struct Element
{
	uint32		place;
	float		value;
} Element;

static int
cmp_larger(const void *a, const void *b)
{
	float		x = fabsf(((const Element *) a)->value);
	float		y = fabsf(((const Element *) b)->value);

	/* of equal ones any, but always the same */
	if (x == y)
		return (int) ((const Element *) a)->place - (int) ((const Element *) b)->place;
	return x > y ? -1 : 1;
}

static int
cmp_place(const void *a, const void *b)
{
	return (int) ((const Element *) a)->place - (int) ((const Element *) b)->place;
}

/*
 * Elements of dimensions with one place become one; returns how many there are then.
 * *cancelled: by how much the sum of absolute values is less.
 */
static int
merge_places(Element *e, int n, double *cancelled)
{
	int			m = 0;

	qsort(e, n, sizeof(Element), cmp_place);
	for (int i = 0; i < n; i++)
	{
		if (m > 0 && e[m - 1].place == e[i].place)
		{
			if (signbit(e[m - 1].value) != signbit(e[i].value))
				*cancelled += 2.0 * Min(fabsf(e[m - 1].value), fabsf(e[i].value));
			e[m - 1].value += e[i].value;
		}
		else
			e[m++] = e[i];
	}
	return m;
}

/*
 * How far distances may be off: for products, the greatest part of the query's norm, by the
 * norm of what is lost; for L1 the sum of what is rounded and twice that of what is left
 * out.
 */
static float
error_of(const HnswSpace *sp, const SparseHead *head, double lost2, double lost)
{
	return HnswFiniteDistance(sp->lay.metric->sums ? lost + 2 * head->rest : sqrt(lost2));
}

/* Write n elements, in any order, as words; e is overwritten. */
static void
pack(const HnswSpace *sp, Element *e, int n, float *out)
{
	SparseHead *head = (SparseHead *) out;
	uint32	   *words = (uint32 *) out + SPARSE_HEAD;
	double		norm2 = 0;
	double		rest = 0;
	double		lost = 0;
	double		lost2 = 0;
	float		largest = 0;
	int			kept;

	memset(out, 0, sp->lay.dim * sizeof(float));
	for (int i = 0; i < n; i++)
		norm2 += (double) e[i].value * e[i].value;
	if (sp->lay.column_dim > VX_PLACES)
		n = merge_places(e, n, &rest);
	for (int i = 0; i < n; i++)
		largest = Max(largest, fabsf(e[i].value));
	kept = Min(n, SPARSE_ROOM(sp));
	if (kept < n)
		qsort(e, n, sizeof(Element), cmp_larger);
	for (int i = kept; i < n; i++)
	{
		rest += fabsf(e[i].value);
		lost2 += (double) e[i].value * e[i].value;
	}
	if (kept < n)
		qsort(e, kept, sizeof(Element), cmp_place);
	head->scale = 1;
	if (largest > 0)
	{
		int			exponent;

		/* the largest is below 2^15, or as near as a float's scale comes */
		(void) frexpf(largest, &exponent);
		head->scale = ldexpf(1, Max(exponent - 15, -126));
	}
	for (int i = 0; i < kept; i++)
	{
		float		scaled = e[i].value / head->scale;
		float		stored;
		uint16		half;

		vx_simd->f32_to_f16(&scaled, &half, 1);
		vx_simd->f16_to_f32(&half, &stored, 1);
		words[i] = e[i].place << 16 | half;
		lost += fabs((double) e[i].value - (double) stored * head->scale);
		lost2 += pow((double) e[i].value - (double) stored * head->scale, 2);
	}
	head->norm2 = HnswFiniteDistance(norm2);
	head->rest = HnswFiniteDistance(rest);
	head->count = kept;
	head->error = error_of(sp, head, lost2, lost);
}

/* The elements of a value; palloc'd. */
static float *
copy_values(const SparseVec *v)
{
	float	   *x = palloc(Max(v->nnz, 1) * sizeof(float));

	memcpy(x, SparseVecValues(v), v->nnz * sizeof(float));
	return x;
}

/* With places; palloc'd. */
static Element *
place_values(const HnswSpace *sp, const SparseVec *v, const float *x)
{
	Element    *e = palloc(Max(v->nnz, 1) * sizeof(Element));

	for (int i = 0; i < v->nnz; i++)
		e[i] = (Element) {place_of(sp, v, i), x[i]};
	return e;
}

static bool
sparse_prepare(const HnswSpace *sp, HnswValue value, float *out, uint32 *hash)
{
	const SparseVec *v = (const SparseVec *) value;
	float	   *x = copy_values(v);
	bool		indexed = HnswNormaliseElements(sp, x, v->nnz);

	if (indexed)
	{
		Element    *e;

		*hash = hash_combine(DatumGetUInt32(hash_any((const unsigned char *) v->indices, v->nnz * sizeof(int32))),
							 DatumGetUInt32(hash_any((const unsigned char *) x, v->nnz * sizeof(float))));
		HnswCentreAndScale(sp, NULL, x, v->nnz);
		e = place_values(sp, v, x);
		pack(sp, e, v->nnz, out);
		pfree(e);
	}
	pfree(x);
	return indexed;
}

/* ---- queries ---- */

static void
sparse_init(HnswQuery *q, MemoryContext cxt)
{
	q->elements = MemoryContextAllocZero(cxt, VX_PLACES * sizeof(float));
	q->places = MemoryContextAlloc(cxt, SPARSEVEC_MAX_NNZ * sizeof(uint16));
}

/* No element is in the table. */
static void
clear_table(HnswQuery *q)
{
	for (int i = 0; i < q->nplaces; i++)
		q->elements[q->places[i]] = 0;
	q->nplaces = 0;
	q->sum = 0;
	q->largest = 0;
}

static inline void
add_element(HnswQuery *q, uint32 place, float value)
{
	q->places[q->nplaces++] = (uint16) place;
	q->elements[place] += value;
	q->sum += fabsf(value);
	q->largest = Max(q->largest, fabsf(value));
}

/* A row's words as a query. */
static void
sparse_build(const HnswSpace *sp, HnswQuery *q)
{
	const int	n = SparseCount(sp, q->vec);
	float		x[SPARSE_MOST + SPARSE_STEP];

	clear_table(q);
	q->hashed = sp->lay.column_dim > VX_PLACES;
	SparseUnpack(q->vec, n, x);
	for (int i = 0; i < n; i++)
		if (x[i] != 0)
			add_element(q, SparsePlace(SparseWords(q->vec)[i]), x[i]);
	q->sum += SparseHeadOf(q->vec)->rest;
	q->norm2 = SparseHeadOf(q->vec)->norm2;
}

static bool
sparse_prepare_query(const HnswSpace *sp, HnswValue value, HnswQuery *q)
{
	const SparseVec *v = (const SparseVec *) value;
	const int	n = v ? v->nnz : 0;
	float	   *x = v ? copy_values(v) : NULL;
	bool		direction = HnswPlaceQuery(sp, NULL, x, n, q);
	double		norm2 = 0;

	clear_table(q);
	q->hashed = sp->lay.column_dim > VX_PLACES;
	for (int i = 0; i < n; i++)
	{
		add_element(q, place_of(sp, v, i), x[i]);
		norm2 += (double) x[i] * x[i];
	}
	q->norm2 = HnswFiniteDistance(norm2);
	if (x)
		pfree(x);
	return direction;
}

static void
sparse_describe(const HnswSpace *sp, const float *vec, HnswVecHead *head)
{
	head->norm2 = SparseHeadOf(vec)->norm2;
	head->scale = SparseHeadOf(vec)->error;
}

static const HnswWordsOps sparse_words = {
	.name = "sparse",
	.prepare = sparse_prepare,
	.prepare_query = sparse_prepare_query,
	.init = sparse_init,
	.query_bytes = VX_PLACES * sizeof(float) + SPARSEVEC_MAX_NNZ * sizeof(uint16),
	.build = sparse_build,
	.columns_bytes = HnswPostingsBytes,
	.columns_load = HnswPostingsLoad,
	.columns_distances = HnswPostingsDistances,
	.describe = sparse_describe
};

/* ---- distances ---- */

/* From a query to words. */
static inline SparseSums
from_query(const HnswSpace *sp, const HnswQuery *q, const float *vec)
{
	const SparseHead *head = SparseHeadOf(vec);
	const int	n = SparseCount(sp, vec);
	SparseSums		s = {{q->norm2, head->norm2}, 0, 0};

	if (sp->lay.metric->sums)
		s.apart = (double) q->sum + head->rest +
			vx_simd->sparse_l1(q->elements, SparseWords(vec), head->scale, n);
	else
		s.dot = (double) head->scale * vx_simd->sparse_dot(q->elements, SparseWords(vec), n);
	return s;
}

/* Between words: where both have an element, and for L1 where one has. */
static SparseSums
between(const HnswSpace *sp, const float *a, const float *b)
{
	const float *vec[2] = {a, b};
	SparseSums		s = {{SparseHeadOf(a)->norm2, SparseHeadOf(b)->norm2}, 0, 0};
	int32		places[2][SPARSE_MOST + SPARSE_STEP];
	float		x[2][SPARSE_MOST + SPARSE_STEP];
	uint16_t	at[2][SPARSE_MOST];
	int			n[2];
	int			both;

	for (int k = 0; k < 2; k++)
	{
		n[k] = (int) Min(SparseHeadOf(vec[k])->count, (uint32) SPARSE_ROOM(sp));
		SparseUnpack(vec[k], n[k], x[k]);
		for (int i = 0; i < n[k]; i++)
			places[k][i] = (int32) SparsePlace(SparseWords(vec[k])[i]);
	}
	both = vx_simd->intersect(places[0], n[0], places[1], n[1], at[0], at[1], Min(n[0], n[1]));
	if (!sp->lay.metric->sums)
	{
		for (int i = 0; i < both; i++)
			s.dot += (double) x[0][at[0][i]] * x[1][at[1][i]];
		return s;
	}
	for (int k = 0; k < 2; k++)
		s.apart += HnswSumNorm(x[k], n[k]) + SparseHeadOf(vec[k])->rest;
	for (int i = 0; i < both; i++)
	{
		double		u = x[0][at[0][i]];
		double		v = x[1][at[1][i]];

		s.apart += fabs(u - v) - fabs(u) - fabs(v);
	}
	return s;
}

#define DISTANCES(name, distance) \
static float \
name##_pair(const HnswSpace *sp, const float *a, const float *b) \
{ \
	SparseSums		s = between(sp, a, b); \
\
	return distance(&s); \
} \
static float \
name##_own(const HnswSpace *sp, const HnswQuery *q, const char *own, float scale, float offset, float norm2) \
{ \
	SparseSums		s = from_query(sp, q, (const float *) own); \
\
	return distance(&s); \
} \
static float \
name##_stored(const HnswSpace *sp, const HnswStored *a, const HnswStored *b) \
{ \
	return name##_pair(sp, (const float *) a->own, (const float *) b->own); \
}

DISTANCES(squares, SparseSquares)
DISTANCES(products, SparseProducts)
DISTANCES(differences, SparseDifferences)

/*
 * The squared norm as the operators of sparsevec have it, a sum in double precision: that of
 * floats is zero where squares vanish one by one.
 */
static float
squared_length(const float *x, int n)
{
	return (float) ElementsSumSquares(x, n);
}

/*
 * How far products are off: by what is lost of the stored vector, all of it along the query; and
 * where places are hashes, by four deviations of what meets there by chance.
 */
static double
products_error(const HnswQuery *q, double norm2, double error)
{
	return sqrt((double) q->norm2) * (error + (q->hashed ? 4 * sqrt(norm2 / VX_PLACES) : 0));
}

static double
squares_slack(const HnswQuery *q, int dim, double dist, double norm2, double error)
{
	/* and what norms and distance may lose below the least float */
	return 2 * products_error(q, norm2, error) + 2e-6 * ((double) q->norm2 + norm2) + 1e-44;
}

static double
products_slack(const HnswQuery *q, int dim, double dist, double norm2, double error)
{
	return products_error(q, norm2, error) + 4e-6 * sqrt((double) q->norm2 * norm2) + 1e-43 * dim;
}

static double
differences_slack(const HnswQuery *q, int dim, double dist, double norm2, double error)
{
	/* what two elements that meet by chance are counted too little: twice the lesser of both */
	if (q->hashed)
		error += 8 * sqrt((double) q->nplaces * norm2 / VX_PLACES);
	/* and what each element of both may lose below the least float */
	return error + 1e-5 * dist + 1e-6 * (q->sum + sqrt(dim * ((double) q->norm2 + norm2))) +
		1e-45 * (q->nplaces + SPARSEVEC_MAX_NNZ);
}

/*
 * Chance is not normal: few elements meet, and those may be the largest ones.  (A row's is not
 * known here, its norm is.)
 */
static double
products_rare(const HnswQuery *q, double norm2)
{
	return q->hashed ? q->largest * sqrt(norm2) : 0;
}

static double
squares_rare(const HnswQuery *q, double norm2)
{
	return 2 * products_rare(q, norm2);
}

static double
differences_rare(const HnswQuery *q, double norm2)
{
	return q->hashed ? 2 * Min(q->largest, sqrt(norm2)) : 0;
}

#define OF_WORDS(distance) \
	.words = &sparse_words, \
	.fits = sparse_fits, \
	.variable = true, \
	.pair = distance##_pair, \
	.own = distance##_own, \
	.stored = distance##_stored, \
	.slack = distance##_slack, \
	.rare = distance##_rare, \
	.queues_once = true			/* estimates are distances */

#define OF_PRODUCTS		HNSW_EUCLIDEAN_NORMS(squared_length)

const HnswMetricOps HnswSparseMetrics[HNSW_METRICS - HNSW_SPARSE_L2] = {
	[0] = {
		.number = HNSW_SPARSE_L2,
		.name = "l2",
		.opclass = "l2",
		OF_WORDS(squares),
		OF_PRODUCTS,
		.squared = true,
		.shift = HNSW_SHIFT_PRODUCTS,
		.relax = 1.2f,
		.reach = 1,
		.divided_as = HNSW_SPARSE_L2
	},
	[HNSW_SPARSE_IP - HNSW_SPARSE_L2] = {
		.number = HNSW_SPARSE_IP,
		.name = "inner product",
		.opclass = "ip",
		OF_WORDS(products),
		OF_PRODUCTS,
		.any_scale = true,
		.shift = HNSW_SHIFT_PRODUCTS,
		.relax = 1,
		.reach = 4,
		.divided_as = HNSW_SPARSE_L2
	},
	[HNSW_SPARSE_COSINE - HNSW_SPARSE_L2] = {
		.number = HNSW_SPARSE_COSINE,
		.name = "cosine",
		.opclass = "cosine",
		OF_WORDS(squares),
		OF_PRODUCTS,
		.squared = true,
		.normalised = true,
		.relax = 1.2f,
		.reach = 1,
		.divided_as = HNSW_SPARSE_COSINE
	},
	[HNSW_SPARSE_L1 - HNSW_SPARSE_L2] = {
		.number = HNSW_SPARSE_L1,
		.name = "l1",
		.opclass = "l1",
		OF_WORDS(differences),
		.sums = true,
		.shift = HNSW_SHIFT_SUMS,
		HNSW_SUM_NORMS,
		.relax = 1.1f,
		.reach = 1,
		.divided_as = HNSW_SPARSE_L1
	}
};
