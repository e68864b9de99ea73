/*
 * type.c
 *		The types of columns: their values, their operator classes.
 *
 * vector, of floats; halfvec, of halves; bit, of bits; sparsevec, of few elements that are not zero.
 */
#include "postgres.h"

#include "hnsw/layout/page.h"
#include "hnsw/metric/metric.h"
#include "hnsw/metric/type.h"
#include "hnsw/metric/words.h"
#include "simd/vx_simd.h"
#include "types/bit.h"
#include "types/halfvec.h"
#include "types/sparsevec.h"
#include "types/vector.h"

PG_FUNCTION_INFO_V1(vectorx_hnsw_halfvec_support);
PG_FUNCTION_INFO_V1(vectorx_hnsw_bit_support);
PG_FUNCTION_INFO_V1(vectorx_hnsw_sparsevec_support);

/* A type's distance as an HnswClassOps has it. */
#define EXACT(function, type, expression) \
static double \
function(HnswValue query, HnswValue row) \
{ \
	const type *a = (const type *) query; \
	const type *b = (const type *) row; \
\
	return (expression); \
}

/* ---- vector ---- */

static HnswValue
get_vector(Datum datum)
{
	return (HnswValue) DatumGetVector(datum);
}

static int
vector_dim(HnswValue value)
{
	return ((const Vector *) value)->dim;
}

static void
decode_vector(HnswValue value, float *out)
{
	const Vector *v = (const Vector *) value;

	memcpy(out, v->x, v->dim * sizeof(float));
}

EXACT(vector_l2, Vector, VectorL2Squared(a, b))
EXACT(vector_ip, Vector, VectorNegativeInnerProduct(a, b))
EXACT(vector_cosine, Vector, 2 * VectorCosineDistance(a, b))
EXACT(vector_l1, Vector, VectorL1Distance(a, b))

/* ---- halfvec ---- */

static HnswValue
get_halfvec(Datum datum)
{
	return (HnswValue) DatumGetHalfvec(datum);
}

static int
halfvec_dim(HnswValue value)
{
	return ((const Halfvec *) value)->dim;
}

static void
decode_halfvec(HnswValue value, float *out)
{
	const Halfvec *h = (const Halfvec *) value;

	vx_simd->f16_to_f32(h->x, out, h->dim);
}

EXACT(halfvec_l2, Halfvec, HalfvecL2Squared(a, b))
EXACT(halfvec_ip, Halfvec, HalfvecNegativeInnerProduct(a, b))
EXACT(halfvec_cosine, Halfvec, 2 * HalfvecCosineDistance(a, b))
EXACT(halfvec_l1, Halfvec, HalfvecL1Distance(a, b))

/* ---- bit ---- */

static HnswValue
get_bits(Datum datum)
{
	return (HnswValue) DatumGetBits(datum);
}

static int
bits_length(HnswValue value)
{
	return VARBITLEN((const VarBit *) value);
}

EXACT(bit_hamming, VarBit, BitHammingDistance(a, b))
EXACT(bit_jaccard, VarBit, BitJaccardDistance(a, b))

/* ---- sparsevec ---- */

static HnswValue
get_sparsevec(Datum datum)
{
	return (HnswValue) DatumGetSparseVec(datum);
}

static int
sparsevec_dim(HnswValue value)
{
	return ((const SparseVec *) value)->dim;
}

static int
sparsevec_nonzero(HnswValue value)
{
	return ((const SparseVec *) value)->nnz;
}

EXACT(sparsevec_l2, SparseVec, (float) SparseVecSquaredDistance(a, b))
EXACT(sparsevec_ip, SparseVec, (float) -SparseVecInnerProduct(a, b))
EXACT(sparsevec_cosine, SparseVec, 2 * SparseVecCosineDistance(a, b))
EXACT(sparsevec_l1, SparseVec, (float) SparseVecTaxicabDistance(a, b))

/* ---- all of them ---- */

static const HnswTypeOps types[] = {
	[HNSW_VECTOR] = {
		.number = HNSW_VECTOR,
		.name = "vector",
		.sizes = "vector dimensions",
		.max_dim = VECTOR_MAX_DIM,
		.get = get_vector,
		.dim = vector_dim,
		.decode = decode_vector,
		.classes = {
			[HNSW_L2] = {vectorx_vector_l2_squared_distance, vector_l2},
			[HNSW_IP] = {vectorx_vector_negative_inner_product, vector_ip},
			[HNSW_COSINE] = {vectorx_vector_negative_inner_product, vector_cosine},
			[HNSW_L1] = {vectorx_l1_distance, vector_l1}
		}
	},
	[HNSW_HALFVEC] = {
		.number = HNSW_HALFVEC,
		.name = "halfvec",
		.support = vectorx_hnsw_halfvec_support,
		.sizes = "halfvec dimensions",
		.max_dim = HALFVEC_MAX_DIM,
		.get = get_halfvec,
		.dim = halfvec_dim,
		.decode = decode_halfvec,
		.classes = {
			[HNSW_L2] = {vectorx_halfvec_l2_squared_distance, halfvec_l2},
			[HNSW_IP] = {vectorx_halfvec_negative_inner_product, halfvec_ip},
			[HNSW_COSINE] = {vectorx_halfvec_negative_inner_product, halfvec_cosine},
			[HNSW_L1] = {vectorx_halfvec_l1_distance, halfvec_l1}
		}
	},
	[HNSW_BIT] = {
		.number = HNSW_BIT,
		.name = "bit",
		.support = vectorx_hnsw_bit_support,
		.sizes = "bit lengths",
		.max_dim = HNSW_MAX_BITS,
		.get = get_bits,
		.dim = bits_length,
		.elements = HnswBitElements,
		.classes = {
			[HNSW_HAMMING] = {vectorx_hamming_distance, bit_hamming},
			[HNSW_JACCARD] = {vectorx_jaccard_distance, bit_jaccard}
		}
	},
	[HNSW_SPARSEVEC] = {
		.number = HNSW_SPARSEVEC,
		.name = "sparsevec",
		.support = vectorx_hnsw_sparsevec_support,
		.sizes = "sparsevec dimensions",
		.max_dim = SPARSEVEC_MAX_DIM,
		.get = get_sparsevec,
		.dim = sparsevec_dim,
		.elements = HnswSparseElements,
		.nonzero = sparsevec_nonzero,
		.classes = {
			[HNSW_SPARSE_L2] = {vectorx_sparsevec_l2_squared_distance, sparsevec_l2},
			[HNSW_SPARSE_IP] = {vectorx_sparsevec_negative_inner_product, sparsevec_ip},
			[HNSW_SPARSE_COSINE] = {vectorx_sparsevec_negative_inner_product, sparsevec_cosine},
			[HNSW_SPARSE_L1] = {vectorx_sparsevec_l1_distance, sparsevec_l1}
		}
	}
};

/* The type with a number from a metapage, which may be any; NULL for none. */
const HnswTypeOps *
HnswTypeOf(int number)
{
	return number >= 0 && number < (int) lengthof(types) ? &types[number] : NULL;
}

/* The type of operator classes with this support function, NULL where they have none; NULL for no type. */
const HnswTypeOps *
HnswTypeBySupport(PGFunction support)
{
	for (int i = 0; i < (int) lengthof(types); i++)
		if (types[i].support == support)
			return &types[i];
	return NULL;
}

/*
 * The metric of an operator class with this distance function and, or not, one for
 * norms, which only some distance functions take note of; NULL for none.
 */
const HnswMetricOps *
HnswMetricBySupport(const HnswTypeOps *type, PGFunction distance, bool normalised)
{
	const HnswMetricOps *found = NULL;

	for (int i = 1; i < HNSW_METRICS; i++)
	{
		const HnswMetricOps *metric = HnswMetricOf(i);

		if (type->classes[i].distance != distance || (metric->normalised && !normalised))
			continue;
		if (found == NULL || metric->normalised)
			found = metric;
	}
	return found;
}

/* The metric of an operator class of ours, and its type; NULL when the name is none. */
const HnswMetricOps *
HnswMetricByClass(const char *opclass, const HnswTypeOps **type)
{
	for (int i = 0; i < (int) lengthof(types) * HNSW_METRICS; i++)
	{
		const HnswMetricOps *metric = HnswMetricOf(i % HNSW_METRICS);
		char	   *name;

		*type = &types[i / HNSW_METRICS];
		if (metric == NULL || (*type)->classes[metric->number].distance == NULL)
			continue;
		name = psprintf("%s_%s_ops", (*type)->name, metric->opclass);
		if (strcmp(name, opclass) == 0)
			return metric;
	}
	return NULL;
}

/*
 * hnsw_halfvec_support(internal), and so on: by it, operator classes say of which type they are.
 */
#define SUPPORT(function, type) \
Datum \
function(PG_FUNCTION_ARGS) \
{ \
	PG_RETURN_POINTER((void *) &types[type]); \
}

SUPPORT(vectorx_hnsw_halfvec_support, HNSW_HALFVEC)
SUPPORT(vectorx_hnsw_bit_support, HNSW_BIT)
SUPPORT(vectorx_hnsw_sparsevec_support, HNSW_SPARSEVEC)
