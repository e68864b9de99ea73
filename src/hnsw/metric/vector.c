/*
 * vector.c
 *		Vectors as the index sees them: prepared (normalised, centred, scaled,
 *		rotated), stored (fp32, fp16 or int8), compared.
 *
 * Distances here are in index units: squared L2 for L2 and cosine, minus the
 * inner product, or L1; they are always finite (README, "Range").  Touches no
 * page.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "common/hashfn.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/vector.h"
#include "simd/vx_simd.h"
#include "types/vector.h"
#include "utils/lsyscache.h"

/* Greatest norm of a query, so that estimates stay finite, too. */
#define MAX_NORM		0x1p60
#define MAX_NORM_L1		0x1p126

/* Queries for the inner product are brought into this range, by powers of two. */
#define MIN_IP_NORM		0x1p-30
#define MAX_IP_NORM		0x1p30

static const char *
space_name(const HnswSpace *sp)
{
	char	   *name = get_rel_name(sp->relid);

	return name ? name : "";
}

static void
check_dim(const HnswSpace *sp, const Vector *v)
{
	if (v->dim != sp->lay.dim)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("different vector dimensions %d and %d", sp->lay.dim, v->dim),
				 errdetail("Index \"%s\" is over vectors of %d dimensions.",
						   space_name(sp), sp->lay.dim)));
}

/*
 * How far a vector is from the origin as the operators see it, in single
 * precision: the squared norm, or for L1 the sum of the absolute values.
 * Infinite when that is no float.
 */
static float
length_of(const HnswSpace *sp, const float *x)
{
	double		sum = 0;

	if (sp->lay.metric != HNSW_L1)
		return vx_simd->sumsq(x, sp->lay.dim);
	for (int i = 0; i < sp->lay.dim; i++)
		sum += fabsf(x[i]);
	return sum > FLT_MAX ? INFINITY : (float) sum;
}

/* An error for a vector too long for the operators to tell distances to it. */
static void
check_length(const HnswSpace *sp, float length)
{
	if (!isfinite(length))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("vector is too long for index \"%s\"",
						space_name(sp)),
				 sp->lay.metric == HNSW_L1 ?
				 errdetail("The sum of its absolute values is not finite.") :
				 errdetail("Its squared norm is not finite.")));
}

/* Divide a vector by its norm. */
static void
normalise(const Vector *v, float *out)
{
	double		norm = VectorNorm(v);

	for (int i = 0; i < v->dim; i++)
		out[i] = (float) (v->x[i] / norm);
}

/* Subtract the centre, if there is one, and scale. */
static void
centre_and_scale(const HnswSpace *sp, const float *centre, float *x)
{
	if (centre)
		for (int i = 0; i < sp->lay.dim; i++)
			x[i] -= centre[i];
	if (sp->lay.unit != 1)
		for (int i = 0; i < sp->lay.dim; i++)
			x[i] *= sp->lay.unit;
}

/*
 * The first step of preparing a row's vector: check its dimensions and its
 * length, and for cosine normalise it.  out: dim floats.  False for a vector
 * under cosine that has no direction, for the operator, and is not indexed.
 */
bool
HnswNormaliseVector(const HnswSpace *sp, const Vector *v, float *out)
{
	float		length;

	check_dim(sp, v);
	length = length_of(sp, v->x);
	check_length(sp, length);
	if (sp->lay.metric != HNSW_COSINE)
		memcpy(out, v->x, sp->lay.dim * sizeof(float));
	else if (length == 0)
		return false;
	else
		normalise(v, out);
	return true;
}

/*
 * Prepare a row's vector: normalise it (cosine), subtract the centre if
 * there is one, scale it, rotate it (not for L1, which a rotation would
 * change).  The centre goes first, so that data far from the origin does not
 * lose its differences to the rounding of the rotation.  out, result: as
 * HnswNormaliseVector.  *hash: of the vector before the centre or the rotation
 * can make it the same as another.
 */
bool
HnswPrepareVector(const HnswSpace *sp, const float *centre, const Vector *v, float *out,
				  uint32 *hash)
{
	if (!HnswNormaliseVector(sp, v, out))
		return false;
	*hash = DatumGetUInt32(hash_any((const unsigned char *) out, sp->lay.dim * sizeof(float)));
	centre_and_scale(sp, centre, out);
	/* where the format of an older index has no scale */
	if (sp->lay.unit == 1)
		check_length(sp, length_of(sp, out));
	if (sp->signs)
		vx_simd->rotate(out, sp->lay.dim, sp->signs);
	return true;
}

/* Multiply by a number that may be no float. */
static void
multiply(float *x, int dim, double by)
{
	for (int i = 0; i < dim; i++)
		x[i] = (float) (x[i] * by);
}

/* The norm of a metric, in double precision: that of L1 is the sum. */
static double
norm_of(const HnswSpace *sp, const float *x)
{
	double		sum = 0;

	if (sp->lay.metric == HNSW_L1)
	{
		for (int i = 0; i < sp->lay.dim; i++)
			sum += fabsf(x[i]);
		return sum;
	}
	for (int i = 0; i < sp->lay.dim; i++)
		sum += (double) x[i] * x[i];
	return sqrt(sum);
}

/*
 * Prepare the query of a scan as its rows' vectors were, and complete q.  No
 * query is too long: for the inner product it is scaled as it needs, which
 * keeps the order; with L2 and L1 one from which the operator finds nearly
 * everything infinitely far is brought nearer, and q->far says so.  False for
 * a vector under cosine that has no direction: no row is nearer than another.
 */
bool
HnswPrepareQuery(const HnswSpace *sp, const float *centre, const Vector *v, HnswQuery *q)
{
	const HnswMetric metric = sp->lay.metric;
	const double unit = sp->lay.unit;
	const double most = metric == HNSW_L1 ? MAX_NORM_L1 : MAX_NORM;
	float		length;
	double		norm;
	bool		direction = true;

	check_dim(sp, v);
	length = length_of(sp, v->x);
	q->far = !isfinite(length);
	q->unit = metric == HNSW_L2 ? 1 / (unit * unit) : 1 / unit;
	memcpy(q->vec, v->x, sp->lay.dim * sizeof(float));
	if (metric == HNSW_IP)
	{
		norm = norm_of(sp, q->vec);
		if (norm > 0 && (norm < MIN_IP_NORM || norm > MAX_IP_NORM))
		{
			double		by = ldexp(1, -ilogb(norm));

			multiply(q->vec, sp->lay.dim, by);
			q->unit /= by;
		}
	}
	else
	{
		if (metric == HNSW_COSINE)
		{
			direction = length > 0 && isfinite(length);
			if (direction)
				normalise(v, q->vec);
			else
				memset(q->vec, 0, sp->lay.dim * sizeof(float));
		}
		centre_and_scale(sp, centre, q->vec);
		norm = norm_of(sp, q->vec);
		if (norm > most)
		{
			multiply(q->vec, sp->lay.dim, most / norm);
			q->far = true;
		}
	}
	if (sp->signs)
		vx_simd->rotate(q->vec, sp->lay.dim, sp->signs);
	HnswQueryBuild(sp, q);
	return direction;
}

/* Memory of a query for this index, in cxt. */
void
HnswQueryInit(const HnswSpace *sp, HnswQuery *q, MemoryContext cxt)
{
	const HnswLayout *lay = &sp->lay;

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

/* Compute what a search needs of q->vec, which is prepared. */
void
HnswQueryBuild(const HnswSpace *sp, HnswQuery *q)
{
	const HnswLayout *lay = &sp->lay;

	q->norm2 = vx_simd->sumsq(q->vec, lay->dim);
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
 * Scale and offset with which int8 codes are nearest to a vector.  Where many
 * elements have the same absolute value, as those of a rotated unit vector,
 * rounding may err in the same direction in all of them, and for all others
 * that adds up; then what is left is orthogonal to the stored vector.
 */
static void
refit_i8(const float *vec, int dim, const int8 *codes, int32 codesum, float *scale, float *offset)
{
	int64		squares = 0;
	double		sum = 0;
	double		products = 0;
	double		det;
	double		fitted;

	for (int i = 0; i < dim; i++)
	{
		squares += codes[i] * codes[i];
		sum += vec[i];
		products += (double) vec[i] * codes[i];
	}
	det = (double) dim * squares - (double) codesum * codesum;
	if (*scale == 0 || det <= 0)
		return;
	fitted = (dim * products - codesum * sum) / det;
	if (fitted < FLT_MIN || fitted > 2 * *scale)
		return;
	*scale = (float) fitted;
	*offset = (float) ((sum - fitted * codesum) / dim);
}

/*
 * Store a prepared vector: own_bytes into "own", its scale, offset, codesum,
 * norm2 and hash into "rec".
 */
void
HnswOwnEncode(const HnswSpace *sp, const float *vec, uint32 hash, char *own, HnswRecord *rec)
{
	const int	dim = sp->lay.dim;
	float	   *decoded = sp->work[1];

	rec->scale = 1;
	rec->offset = 0;
	rec->codesum = 0;
	rec->hash = hash;
	switch (sp->lay.own)
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
				if (most > 0 && (most > 16384 || most < 1.0f / 256))
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
			refit_i8(vec, dim, (const int8 *) own, rec->codesum, &rec->scale, &rec->offset);
			break;
	}
	HnswOwnDecode(sp, own, rec->scale, rec->offset, decoded);
	rec->norm2 = vx_simd->sumsq(decoded, dim);
}

/* The stored vector as dim floats. */
void
HnswOwnDecode(const HnswSpace *sp, const char *own, float scale, float offset, float *out)
{
	const int	dim = sp->lay.dim;

	switch (sp->lay.own)
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
own_dot(const HnswSpace *sp, const HnswQuery *q, const char *own, float scale, float offset)
{
	const int	dim = sp->lay.dim;

	switch (sp->lay.own)
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

/*
 * A distance as a float.  Those of vectors that have been prepared are finite;
 * what a page says, or an older index with its longer vectors, must not lead
 * to an infinite one either.  NaN stays.
 */
static inline float
finite_distance(double dist)
{
	if (unlikely(fabs(dist) > FLT_MAX))
		return dist > 0 ? FLT_MAX : -FLT_MAX;
	return (float) dist;
}

/* Distance of a query to a stored vector, in index units. */
float
HnswOwnDistance(const HnswSpace *sp, const HnswQuery *q, const char *own,
				float scale, float offset, float norm2)
{
	const int	dim = sp->lay.dim;

	switch (sp->lay.metric)
	{
		case HNSW_IP:
			return finite_distance(-own_dot(sp, q, own, scale, offset));
		case HNSW_L2:
		case HNSW_COSINE:
			if (sp->lay.own == HNSW_OWN_FP32)
				return finite_distance(vx_simd->l2sq(q->vec, (const float *) own, dim));
			return finite_distance((double) q->norm2 + norm2 -
								   2 * own_dot(sp, q, own, scale, offset));
		case HNSW_L1:
			if (sp->lay.own == HNSW_OWN_FP32)
				return finite_distance(vx_simd->l1(q->vec, (const float *) own, dim));
			if (sp->lay.own == HNSW_OWN_INT8)
				return finite_distance(vx_simd->l1_i8(q->vec, (const int8 *) own, scale, offset, dim));
			if (scale == 1)
				return finite_distance(vx_simd->l1_f16(q->vec, (const uint16 *) own, dim));
			HnswOwnDecode(sp, own, scale, offset, sp->work[1]);
			return finite_distance(vx_simd->l1(q->vec, sp->work[1], dim));
	}
	return 0;
}

/* Distance between two vectors as prepared or decoded, in index units. */
float
HnswPairDistance(const HnswSpace *sp, const float *a, const float *b)
{
	switch (sp->lay.metric)
	{
		case HNSW_IP:
			return -vx_simd->dot(a, b, sp->lay.dim);
		case HNSW_L1:
			return vx_simd->l1(a, b, sp->lay.dim);
		default:
			return vx_simd->l2sq(a, b, sp->lay.dim);
	}
}

/* Distance between two stored vectors, in index units. */
float
HnswStoredDistance(const HnswSpace *sp, const HnswStored *a, const HnswStored *b)
{
	const int	dim = sp->lay.dim;
	double		dot;

	if (sp->lay.metric == HNSW_L1)
	{
		HnswQuery	q = {.vec = sp->work[0]};

		HnswOwnDecode(sp, a->own, a->scale, a->offset, sp->work[0]);
		return HnswOwnDistance(sp, &q, b->own, b->scale, b->offset, b->norm2);
	}
	switch (sp->lay.own)
	{
		case HNSW_OWN_FP32:
			if (sp->lay.metric != HNSW_IP)
				return vx_simd->l2sq((const float *) a->own, (const float *) b->own, dim);
			dot = vx_simd->dot((const float *) a->own, (const float *) b->own, dim);
			break;
		case HNSW_OWN_FP16:
			HnswOwnDecode(sp, a->own, a->scale, a->offset, sp->work[0]);
			dot = (double) b->scale * vx_simd->dot_f16(sp->work[0], (const uint16 *) b->own, dim);
			break;
		default:
			dot = (double) a->scale * b->scale *
				vx_simd->dot_i8_i8((const int8_t *) a->own, (const int8_t *) b->own, dim) +
				(double) a->scale * b->offset * a->codesum +
				(double) b->scale * a->offset * b->codesum +
				(double) dim * a->offset * b->offset;
			break;
	}
	if (sp->lay.metric == HNSW_IP)
		return (float) -dot;
	return (float) ((double) a->norm2 + b->norm2 - 2 * dot);
}

