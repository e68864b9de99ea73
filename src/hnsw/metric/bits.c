/*
 * bits.c
 *		Bit strings: 32 bits a word, as the server has them, and zeros behind.
 *
 * Distances are counts, and exact.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/metric.h"
#include "hnsw/metric/vector.h"
#include "hnsw/metric/words.h"
#include "simd/vx_simd.h"
#include "types/bit.h"

/* The words of so many bits. */
int
HnswBitElements(int dim, int nonzero)
{
	/* dim may come from a damaged page */
	return dim / 32 + (dim % 32 != 0);
}

static bool
bits_fit(int dim, int column_dim)
{
	return dim == HnswBitElements(column_dim, -1);
}

static inline int
bytes_of(const HnswSpace *sp)
{
	return sp->lay.dim * (int) sizeof(uint32);
}

static bool
bits_prepare(const HnswSpace *sp, HnswValue value, float *out, uint32 *hash)
{
	const VarBit *bits = (const VarBit *) value;
	const int	bytes = (int) VARBITBYTES(bits);

	memcpy(out, VARBITS(bits), bytes);
	memset((char *) out + bytes, 0, bytes_of(sp) - bytes);
	*hash = DatumGetUInt32(hash_any((const unsigned char *) out, bytes_of(sp)));
	return true;
}

static bool
bits_prepare_query(const HnswSpace *sp, HnswValue value, HnswQuery *q)
{
	uint32		hash;

	q->far = false;
	q->unit = 1;
	if (value == NULL)
		memset(q->vec, 0, bytes_of(sp));
	else
		(void) bits_prepare(sp, value, q->vec, &hash);
	HnswQueryBuild(sp, q);
	return true;
}

static inline float
count_bits(const HnswSpace *sp, const float *vec)
{
	uint64_t	both;
	uint64_t	either;

	vx_simd->common_bits((const uint8 *) vec, (const uint8 *) vec, bytes_of(sp), &both, &either);
	return (float) either;
}

static void
bits_build(const HnswSpace *sp, HnswQuery *q)
{
	q->norm2 = count_bits(sp, q->vec);
}

static void
bits_describe(const HnswSpace *sp, const float *vec, HnswVecHead *head)
{
	head->scale = 0;
	head->norm2 = count_bits(sp, vec);
}

static const HnswWordsOps bits_words = {
	.name = "bits",
	.prepare = bits_prepare,
	.prepare_query = bits_prepare_query,
	.build = bits_build,
	.describe = bits_describe
};

/* Counts of bits have no limits, and no errors (but jaccard_rare). */
static double
no_slack(const HnswQuery *q, int dim, double dist, double norm2, double error)
{
	return 0;
}

/* The distances of one metric, from a function of two strings. */
#define DISTANCES(name, between) \
static float \
name##_pair(const HnswSpace *sp, const float *a, const float *b) \
{ \
	return between((const uint8 *) a, (const uint8 *) b, bytes_of(sp)); \
} \
static float \
name##_own(const HnswSpace *sp, const HnswQuery *q, const char *own, float scale, float offset, float norm2) \
{ \
	return between((const uint8 *) q->vec, (const uint8 *) own, bytes_of(sp)); \
} \
static float \
name##_stored(const HnswSpace *sp, const HnswStored *a, const HnswStored *b) \
{ \
	return between((const uint8 *) a->own, (const uint8 *) b->own, bytes_of(sp)); \
}

static inline float
hamming_between(const uint8 *a, const uint8 *b, int bytes)
{
	return (float) vx_simd->hamming(a, b, bytes);
}

/* As the operator: 1 where no bit is set in both. */
static inline float
jaccard_between(const uint8 *a, const uint8 *b, int bytes)
{
	uint64_t	both;
	uint64_t	either;

	vx_simd->common_bits(a, b, bytes, &both, &either);
	return (float) BitJaccard(both, either);
}

/*
 * Of long strings two shares may differ by less than a float tells, half of 2^-24 below 1: those of
 * n bits differ by 1 / n^2 at least.
 */
static double
jaccard_rare(const HnswQuery *q, double norm2)
{
	return q->norm2 + norm2 < 4096 ? 0 : 0x1p-25;
}

DISTANCES(hamming, hamming_between)
DISTANCES(jaccard, jaccard_between)

static void
hamming_many(const HnswSpace *sp, const float *a, const float *rows, int n, float *out)
{
	vx_simd->hamming_many((const uint8 *) a, (const uint8 *) rows, bytes_of(sp), n, out);
}

static void
jaccard_many(const HnswSpace *sp, const float *a, const float *rows, int n, float *out)
{
	for (int i = 0; i < n; i++)
		out[i] = jaccard_pair(sp, a, rows + (Size) i * sp->lay.dim);
}

#define OF_BITS \
	.words = &bits_words, \
	.fits = bits_fit, \
	.sums = true, \
	.slack = no_slack, \
	.reach = 1, \
	.queues_once = true

const HnswMetricOps HnswBitMetrics[HNSW_SPARSE_L2 - HNSW_HAMMING] = {
	[0] = {
		.number = HNSW_HAMMING,
		.name = "hamming",
		.opclass = "hamming",
		OF_BITS,
		.pair = hamming_pair,
		.many = hamming_many,
		.own = hamming_own,
		.stored = hamming_stored,
		.relax = 1.2f,			/* the square of the Euclidean distance */
		.divided_as = HNSW_HAMMING
	},
	[HNSW_JACCARD - HNSW_HAMMING] = {
		.number = HNSW_JACCARD,
		.name = "jaccard",
		.opclass = "jaccard",
		OF_BITS,
		.pair = jaccard_pair,
		.many = jaccard_many,
		.own = jaccard_own,
		.stored = jaccard_stored,
		.rare = jaccard_rare,
		.relax = 1.1f,
		.divided_as = HNSW_JACCARD
	}
};
