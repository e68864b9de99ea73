/*
 * vector.c
 *		Vectors as the index sees them: prepared (normalised, centred, scaled,
 *		rotated) and stored (fp32, fp16 or int8).
 *
 * Which of that a metric wants, and distances, are in metric.c.  Touches no page.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "common/hashfn.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/metric.h"
#include "hnsw/metric/type.h"
#include "hnsw/metric/vector.h"
#include "hnsw/metric/words.h"
#include "simd/vx_simd.h"
#include "types/element.h"
#include "utils/lsyscache.h"

/* Queries that may be of any scale are brought into this range, by powers of two. */
#define MIN_ANY_NORM	0x1p-30
#define MAX_ANY_NORM	0x1p30

static const char *
space_name(const HnswSpace *sp)
{
	char	   *name = get_rel_name(sp->relid);

	return name ? name : "";
}

static void
check_dim(const HnswSpace *sp, int dim)
{
	if (dim != sp->lay.column_dim)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("different %s %d and %d", sp->type->sizes, sp->lay.column_dim, dim),
				 errdetail("Index \"%s\" is over vectors of %d dimensions.",
						   space_name(sp), sp->lay.column_dim)));
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
				 errdetail_internal("%s", sp->lay.metric->too_long)));
}

/* Divide a vector by its norm. */
static void
normalise(float *x, int dim)
{
	double		norm = ElementsNorm(x, dim);

	for (int i = 0; i < dim; i++)
		x[i] = (float) (x[i] / norm);
}

/* Subtract the centre, if there is one, from n elements and scale them. */
void
HnswCentreAndScale(const HnswSpace *sp, const float *centre, float *x, int n)
{
	if (centre)
		for (int i = 0; i < n; i++)
			x[i] -= centre[i];
	if (sp->lay.unit != 1)
		for (int i = 0; i < n; i++)
			x[i] *= sp->lay.unit;
}

/*
 * The first step of preparing a row, of which x are the n elements that may be other than zero:
 * check its length, and for cosine normalise it.  False for a vector under cosine that has no
 * direction, for the operator, and is not indexed.
 */
bool
HnswNormaliseElements(const HnswSpace *sp, float *x, int n)
{
	float		length = sp->lay.metric->length(x, n);

	check_length(sp, length);
	if (!sp->lay.metric->normalised)
		return true;
	if (length == 0)
		return false;
	normalise(x, n);
	return true;
}

/* The same from a row's value, whose dimensions are checked.  out: dim floats. */
bool
HnswNormaliseVector(const HnswSpace *sp, HnswValue value, float *out)
{
	check_dim(sp, sp->type->dim(value));
	sp->type->decode(value, out);
	return HnswNormaliseElements(sp, out, sp->lay.dim);
}

/*
 * Prepare a row's value: normalise it (cosine), subtract the centre if
 * there is one, scale it, rotate it (not for L1, which a rotation would
 * change).  The centre goes first, so that data far from the origin does not
 * lose its differences to the rounding of the rotation.  out, result: as
 * HnswNormaliseVector.  *hash: of the vector before the centre or the rotation
 * can make it the same as another.
 */
bool
HnswPrepareVector(const HnswSpace *sp, const float *centre, HnswValue value, float *out,
				  uint32 *hash)
{
	if (sp->lay.metric->words)
	{
		check_dim(sp, sp->type->dim(value));
		return sp->lay.metric->words->prepare(sp, value, out, hash);
	}
	if (!HnswNormaliseVector(sp, value, out))
		return false;
	*hash = DatumGetUInt32(hash_any((const unsigned char *) out, sp->lay.dim * sizeof(float)));
	HnswCentreAndScale(sp, centre, out, sp->lay.dim);
	/* where the format of an older index has no scale */
	if (sp->lay.unit == 1)
		check_length(sp, sp->lay.metric->length(out, sp->lay.dim));
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

/*
 * Move a query, of which x are the n elements that may be other than zero, to where rows are.
 * No query is too long: for the inner product it is scaled as it needs, which
 * keeps the order; with L2 and L1 one from which the operator finds nearly
 * everything infinitely far is brought nearer, and q->far says so.  Sets q->unit, too.  False for
 * a vector under cosine that has no direction: no row is nearer than another.
 */
bool
HnswPlaceQuery(const HnswSpace *sp, const float *centre, float *x, int n, HnswQuery *q)
{
	const HnswMetricOps *metric = sp->lay.metric;
	const double unit = sp->lay.unit;
	float		length = metric->length(x, n);
	double		norm;
	bool		direction = true;

	q->far = !isfinite(length);
	q->unit = metric->squared ? 1 / (unit * unit) : 1 / unit;
	if (metric->any_scale)
	{
		norm = metric->norm(x, n);
		if (norm > 0 && (norm < MIN_ANY_NORM || norm > MAX_ANY_NORM))
		{
			double		by = ldexp(1, -ilogb(norm));

			multiply(x, n, by);
			q->unit /= by;
		}
		return true;
	}
	if (metric->normalised)
	{
		direction = length > 0 && isfinite(length);
		if (direction)
			normalise(x, n);
		else if (n > 0)
			memset(x, 0, n * sizeof(float));
	}
	HnswCentreAndScale(sp, centre, x, n);
	norm = metric->norm(x, n);
	if (norm > metric->max_norm)
	{
		multiply(x, n, metric->max_norm / norm);
		q->far = true;
	}
	return direction;
}

/*
 * Prepare the query of a scan (NULL: the origin) as its rows' values were, and complete q.
 * Result: as HnswPlaceQuery.
 */
bool
HnswPrepareQuery(const HnswSpace *sp, const float *centre, HnswValue value, HnswQuery *q)
{
	const int	dim = sp->lay.dim;
	bool		direction;

	if (value != NULL)
		check_dim(sp, sp->type->dim(value));
	if (sp->lay.metric->words)
		return sp->lay.metric->words->prepare_query(sp, value, q);
	if (value == NULL)
		memset(q->vec, 0, dim * sizeof(float));
	else
		sp->type->decode(value, q->vec);
	direction = HnswPlaceQuery(sp, centre, q->vec, dim, q);
	if (sp->signs)
		vx_simd->rotate(q->vec, dim, sp->signs);
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
		q->table_memory = MemoryContextAllocZero(cxt, VX_TABLE_BYTES(lay->code_dims, lay->bits) + 64);
		q->table = (uint8 *) TYPEALIGN(64, q->table_memory);
	}
	if (lay->metric->words && lay->metric->words->init)
		lay->metric->words->init(q, cxt);
}

/* Give it back before its context goes. */
void
HnswQueryFree(HnswQuery *q)
{
	void	   *parts[] = {q->vec, q->q16, q->table_memory, q->elements, q->places};

	for (int i = 0; i < (int) lengthof(parts); i++)
		if (parts[i])
			pfree(parts[i]);
}

/* What a query of words has beside its vector. */
Size
HnswQueryBytes(const HnswLayout *lay)
{
	return lay->metric->words ? lay->metric->words->query_bytes : 0;
}

/* Compute what a search needs of q->vec, which is prepared. */
void
HnswQueryBuild(const HnswSpace *sp, HnswQuery *q)
{
	const HnswLayout *lay = &sp->lay;

	if (lay->metric->words)
	{
		lay->metric->words->build(sp, q);
		return;
	}
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

/* Make a stored vector the query. */
void
HnswQueryFromStored(const HnswSpace *sp, const char *own, const HnswVecHead *head, HnswQuery *q)
{
	HnswOwnDecode(sp, own, head->scale, head->offset, q->vec);
	HnswQueryBuild(sp, q);
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

/* What of a stored vector's head follows from its words: norm2, scale and codesum, their hash. */
void
HnswDescribeWords(const HnswSpace *sp, const float *vec, HnswVecHead *head)
{
	sp->lay.metric->words->describe(sp, vec, head);
	head->codesum = (int32) DatumGetUInt32(hash_any((const unsigned char *) vec, sp->lay.own_bytes));
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
	if (sp->lay.metric->words)
	{
		memcpy(own, vec, sp->lay.own_bytes);
		HnswDescribeWords(sp, vec, &rec->head);
		return;
	}
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
