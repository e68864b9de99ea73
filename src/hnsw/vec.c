/*
 * vec.c
 *		Vectors as the index sees them: prepared (normalised, rotated,
 *		centred), stored (fp32, fp16 or int8), compared.
 *
 * Distances here are in index units: squared L2 for L2 and cosine, minus the
 * inner product, or L1.  Touches no page.
 */
#include "postgres.h"

#include <math.h>

#include "common/hashfn.h"
#include "hnsw/hnsw.h"

/*
 * The first step of preparing a vector: check its length, and for cosine
 * normalise it.  out: dim floats.  False for a zero vector under cosine, which
 * has no direction and is not indexed.
 */
bool
HnswNormaliseVector(HnswGraph *g, const Vector *v, float *out)
{
	const int	dim = g->lay.dim;
	double		norm = 0;

	if (v->dim != dim)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("different vector dimensions %d and %d", dim, v->dim),
				 errdetail("Index \"%s\" is over vectors of %d dimensions.",
						   RelationGetRelationName(g->rel), dim)));

	memcpy(out, v->x, dim * sizeof(float));
	if (g->lay.metric != HNSW_COSINE)
		return true;
	for (int i = 0; i < dim; i++)
		norm += (double) v->x[i] * v->x[i];
	if (norm == 0)
		return false;
	norm = 1.0 / sqrt(norm);
	for (int i = 0; i < dim; i++)
		out[i] = (float) (v->x[i] * norm);
	return true;
}

/*
 * Prepare a vector: normalise it (cosine), subtract the centre if the index
 * has one, rotate it (not for L1, which a rotation would change).  The centre
 * goes first, so that data far from the origin does not lose its differences
 * to the rounding of the rotation.  out, result: as HnswNormaliseVector.
 */
bool
HnswPrepareVector(HnswGraph *g, const Vector *v, float *out)
{
	if (!HnswNormaliseVector(g, v, out))
		return false;
	if (g->centre_set && g->ncentre > 0)
		for (int i = 0; i < g->lay.dim; i++)
			out[i] -= g->centre[i];
	if (g->signs)
		vx_simd->rotate(out, g->lay.dim, g->signs);
	return true;
}

/* Memory of a query for this index, in cxt. */
void
HnswQueryInit(HnswGraph *g, HnswQuery *q, MemoryContext cxt)
{
	const HnswLayout *lay = &g->lay;

	memset(q, 0, sizeof(*q));
	q->vec = MemoryContextAllocZero(cxt, lay->dim * sizeof(float));
	if (lay->own == HNSW_OWN_INT8)
		q->q16 = MemoryContextAllocZero(cxt, lay->dim * sizeof(int16));
	if (lay->sketch == HNSW_SKETCH_BITS)
	{
		char	   *raw = MemoryContextAllocZero(cxt, VX_TABLE_BYTES(lay->code_dims, lay->bits) + 64);

		q->table = (uint8 *) TYPEALIGN(64, raw);
	}
}

/* An error unless the squared norm of a prepared vector is finite. */
void
HnswCheckNorm(HnswGraph *g, float norm2)
{
	if (!isfinite(norm2) && g->lay.metric != HNSW_L1)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("vector is too long for index \"%s\"",
						RelationGetRelationName(g->rel)),
				 errdetail("Its squared norm is not finite.")));
}

/*
 * Compute what a search needs of q->vec, which is prepared.  Errors:
 * numeric_value_out_of_range when its elements or its squared norm overflowed.
 */
void
HnswQueryBuild(HnswGraph *g, HnswQuery *q)
{
	const HnswLayout *lay = &g->lay;

	q->norm2 = vx_simd->sumsq(q->vec, lay->dim);
	HnswCheckNorm(g, q->norm2);
	if (lay->own == HNSW_OWN_INT8)
	{
		float		sum = 0;

		for (int i = 0; i < lay->dim; i++)
			sum += q->vec[i];
		q->sum = sum;
		vx_simd->quantize_i16(q->vec, lay->dim, q->q16, &q->q16_scale);
	}
	if (lay->sketch == HNSW_SKETCH_BITS)
	{
		int			nibbles = VX_CODE_NIBBLES(lay->code_dims, lay->bits);

		vx_simd->build_table(q->vec, lay->code_dims, lay->bits, q->table,
							 &q->delta, &q->bias);
		q->noise = (float) (3 * 0.2887 * q->delta * sqrt((double) nibbles));
	}
}

/*
 * Store a prepared vector: own_bytes into "own", its scale, offset, codesum,
 * norm2 and hash into "rec".
 */
void
HnswOwnEncode(HnswGraph *g, const float *vec, char *own, HnswRecord *rec)
{
	const int	dim = g->lay.dim;
	float	   *decoded = g->scratch->fc;

	rec->scale = 1;
	rec->offset = 0;
	rec->codesum = 0;
	rec->hash = DatumGetUInt32(hash_any((const unsigned char *) vec, dim * sizeof(float)));
	switch (g->lay.own)
	{
		case HNSW_OWN_FP32:
			memcpy(own, vec, dim * sizeof(float));
			rec->norm2 = vx_simd->sumsq(vec, dim);
			return;
		case HNSW_OWN_FP16:
			{
				float		most = 0;

				for (int i = 0; i < dim; i++)
					most = Max(most, fabsf(vec[i]));
				/* outside fp16's comfortable range, scale by a power of two */
				if (most > 0 && (most > 16384 || most < 1.0f / 64))
				{
					int			e;

					(void) frexpf(most, &e);
					rec->scale = ldexpf(1.0f, Max(e, -120));
				}
				for (int i = 0; i < dim; i++)
					decoded[i] = vec[i] / rec->scale;
				vx_simd->f32_to_f16(decoded, (uint16 *) own, dim);
				break;
			}
		case HNSW_OWN_INT8:
			vx_simd->quantize_i8(vec, dim, (int8 *) own, &rec->scale,
								 &rec->offset, &rec->codesum);
			break;
	}
	HnswOwnDecode(g, own, rec->scale, rec->offset, decoded);
	rec->norm2 = vx_simd->sumsq(decoded, dim);
}

/* The stored vector as dim floats. */
void
HnswOwnDecode(HnswGraph *g, const char *own, float scale, float offset, float *out)
{
	const int	dim = g->lay.dim;

	switch (g->lay.own)
	{
		case HNSW_OWN_FP32:
			memcpy(out, own, dim * sizeof(float));
			break;
		case HNSW_OWN_FP16:
			vx_simd->f16_to_f32((const uint16 *) own, out, dim);
			if (scale != 1)
				for (int i = 0; i < dim; i++)
					out[i] *= scale;
			break;
		case HNSW_OWN_INT8:
			vx_simd->dequantize_i8((const int8 *) own, scale, offset, dim, out);
			break;
	}
}

/* <q, own> for a stored vector. */
static inline double
own_dot(HnswGraph *g, const HnswQuery *q, const char *own, float scale, float offset)
{
	const int	dim = g->lay.dim;

	switch (g->lay.own)
	{
		case HNSW_OWN_FP32:
			return vx_simd->dot(q->vec, (const float *) own, dim);
		case HNSW_OWN_FP16:
			return (double) scale * vx_simd->dot_f16(q->vec, (const uint16 *) own, dim);
		case HNSW_OWN_INT8:
			return (double) scale * q->q16_scale *
				vx_simd->dot_i16_i8(q->q16, (const int8 *) own, dim) +
				(double) offset * q->sum;
	}
	return 0;
}

/* Distance of a query to a stored vector, in index units. */
float
HnswOwnDistance(HnswGraph *g, const HnswQuery *q, const char *own,
				float scale, float offset, float norm2)
{
	const int	dim = g->lay.dim;

	switch (g->lay.metric)
	{
		case HNSW_IP:
			return (float) -own_dot(g, q, own, scale, offset);
		case HNSW_L2:
		case HNSW_COSINE:
			if (g->lay.own == HNSW_OWN_FP32)
				return vx_simd->l2sq(q->vec, (const float *) own, dim);
			return (float) ((double) q->norm2 + norm2 -
							2 * own_dot(g, q, own, scale, offset));
		case HNSW_L1:
			if (g->lay.own == HNSW_OWN_FP32)
				return vx_simd->l1(q->vec, (const float *) own, dim);
			if (g->lay.own == HNSW_OWN_INT8)
				return vx_simd->l1_i8(q->vec, (const int8 *) own, scale, offset, dim);
			if (scale == 1)
				return vx_simd->l1_f16(q->vec, (const uint16 *) own, dim);
			HnswOwnDecode(g, own, scale, offset, g->scratch->fc);
			return vx_simd->l1(q->vec, g->scratch->fc, dim);
	}
	return 0;
}

/* Distance between two vectors as prepared or decoded, in index units. */
float
HnswPairDistance(HnswGraph *g, const float *a, const float *b)
{
	switch (g->lay.metric)
	{
		case HNSW_IP:
			return -vx_simd->dot(a, b, g->lay.dim);
		case HNSW_L1:
			return vx_simd->l1(a, b, g->lay.dim);
		default:
			return vx_simd->l2sq(a, b, g->lay.dim);
	}
}

/* Distance between two stored vectors, in index units. */
float
HnswStoredDistance(HnswGraph *g, const HnswStored *a, const HnswStored *b)
{
	const int	dim = g->lay.dim;
	double		dot;

	if (g->lay.metric == HNSW_L1)
	{
		HnswQuery	q = {.vec = g->scratch->fb};

		HnswOwnDecode(g, a->own, a->scale, a->offset, g->scratch->fb);
		return HnswOwnDistance(g, &q, b->own, b->scale, b->offset, b->norm2);
	}
	switch (g->lay.own)
	{
		case HNSW_OWN_FP32:
			if (g->lay.metric != HNSW_IP)
				return vx_simd->l2sq((const float *) a->own, (const float *) b->own, dim);
			dot = vx_simd->dot((const float *) a->own, (const float *) b->own, dim);
			break;
		case HNSW_OWN_FP16:
			HnswOwnDecode(g, a->own, a->scale, a->offset, g->scratch->fb);
			dot = (double) b->scale * vx_simd->dot_f16(g->scratch->fb, (const uint16 *) b->own, dim);
			break;
		default:
			dot = (double) a->scale * b->scale *
				vx_simd->dot_i8_i8((const int8_t *) a->own, (const int8_t *) b->own, dim) +
				(double) a->scale * b->offset * a->codesum +
				(double) b->scale * a->offset * b->codesum +
				(double) dim * a->offset * b->offset;
			break;
	}
	if (g->lay.metric == HNSW_IP)
		return (float) -dot;
	return (float) ((double) a->norm2 + b->norm2 - 2 * dot);
}

/* Distance between two found nodes whose own vectors the result keeps. */
float
HnswFoundDistance(HnswGraph *g, HnswResult *res, int ia, int ib)
{
	const HnswFound *a = &res->found[ia];
	const HnswFound *b = &res->found[ib];
	HnswStored	sa = {res->own + (Size) ia * g->lay.own_bytes,
		a->norm2, a->scale, a->offset, a->codesum};
	HnswStored	sb = {res->own + (Size) ib * g->lay.own_bytes,
		b->norm2, b->scale, b->offset, b->codesum};

	return HnswStoredDistance(g, &sa, &sb);
}

/*
 * How far a computed distance may be from the true one: four standard
 * deviations of the quantisation error (uniform rounding of the rotated own
 * vector, hence independent of the query) and float rounding.  Rows whose
 * intervals overlap are compared by their exact vectors.
 */
float
HnswDistanceSlack(HnswGraph *g, const HnswQuery *q, float dist, float norm2, float scale)
{
	const double z = 4;
	const int	dim = g->lay.dim;
	double		step;			/* standard deviation of one element's error */
	double		rounding;
	double		d = Max(dist, 0);

	switch (g->lay.own)
	{
		case HNSW_OWN_INT8:
			step = scale * 0.2887;
			break;
		case HNSW_OWN_FP16:
			step = sqrt(norm2 / dim) / 2048;
			break;
		default:
			step = 0;
			break;
	}
	if (g->lay.metric == HNSW_L1)
		return (float) (z * sqrt((double) dim) * step + 1e-5 * d);
	rounding = 2e-6 * ((double) q->norm2 + norm2);
	if (g->lay.own == HNSW_OWN_INT8)
		rounding += z * q->q16_scale * sqrt((double) norm2);
	if (g->lay.metric == HNSW_IP)
		return (float) (z * sqrt((double) q->norm2) * step + rounding);
	return (float) (2 * z * sqrt(d) * step + 2 * dim * step * step + rounding);
}
