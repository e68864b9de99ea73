/*
 * vector.h
 *		Vectors as the index sees them: prepared, stored, and distances between them.
 */
#ifndef HNSW_METRIC_VECTOR_H
#define HNSW_METRIC_VECTOR_H

#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/metric.h"
#include "hnsw/metric/type.h"

/* A query or new vector, prepared: normalised, centred, scaled, rotated. */
typedef struct HnswQuery
{
	float	   *vec;			/* dim floats */
	double		unit;			/* of a scan: the operator's distance, or its square, is
								 * this times the one in index units */
	bool		far;			/* of a scan: distances tell nothing, vec is not the query */
	float		norm2;
	float		sum;
	int16	   *q16;
	float		q16_scale;
	uint8	   *table;			/* lookup table for the code scan, within table_memory */
	char	   *table_memory;
	float		delta;
	float		bias;
	float		noise;			/* three standard deviations of the table's rounding */
	/* of sparse vectors: VX_PLACES elements, zero but at these places; of their absolute values "sum" */
	float	   *elements;
	uint16	   *places;
	int			nplaces;
	bool		hashed;			/* places are hashes */
	float		largest;		/* absolute value of an element */
} HnswQuery;

/* A vector as it is stored. */
typedef struct HnswStored
{
	const char *own;
	HNSW_VEC_HEAD;
} HnswStored;

extern void HnswCentreAndScale(const HnswSpace *sp, const float *centre, float *x, int n);
extern bool HnswNormaliseElements(const HnswSpace *sp, float *x, int n);
extern bool HnswPlaceQuery(const HnswSpace *sp, const float *centre, float *x, int n, HnswQuery *q);
extern bool HnswNormaliseVector(const HnswSpace *sp, HnswValue value, float *out);
extern bool HnswPrepareVector(const HnswSpace *sp, const float *centre, HnswValue value,
							  float *out, uint32 *hash);
extern void HnswDescribeWords(const HnswSpace *sp, const float *vec, HnswVecHead *head);
extern void HnswQueryInit(const HnswSpace *sp, HnswQuery *q, MemoryContext cxt);
extern void HnswQueryFree(HnswQuery *q);
extern Size HnswQueryBytes(const HnswLayout *lay);
extern void HnswQueryBuild(const HnswSpace *sp, HnswQuery *q);
extern void HnswQueryFromStored(const HnswSpace *sp, const char *own, const HnswVecHead *head, HnswQuery *q);
extern bool HnswPrepareQuery(const HnswSpace *sp, const float *centre, HnswValue value,
							 HnswQuery *q);
extern void HnswOwnEncode(const HnswSpace *sp, const float *vec, uint32 hash,
						  char *own, HnswRecord *rec);
extern void HnswOwnDecode(const HnswSpace *sp, const char *own, float scale,
						  float offset, float *out);

/*
 * The distance of a row's value from a query's, which have the index's dimensions, as the
 * operator computes it, in its order (HnswClassOps).
 */
static inline double
HnswExactDistance(const HnswSpace *sp, HnswValue query, HnswValue row)
{
	return sp->type->classes[sp->lay.metric->number].exact(query, row);
}

/* Distance of a query to a stored vector, in index units. */
static inline float
HnswOwnDistance(const HnswSpace *sp, const HnswQuery *q, const char *own,
				float scale, float offset, float norm2)
{
	return sp->lay.metric->own(sp, q, own, scale, offset, norm2);
}

/* Distance between two vectors as prepared or decoded, in index units. */
static inline float
HnswPairDistance(const HnswSpace *sp, const float *a, const float *b)
{
	return sp->lay.metric->pair(sp, a, b);
}

/* Distance between two stored vectors, in index units. */
static inline float
HnswStoredDistance(const HnswSpace *sp, const HnswStored *a, const HnswStored *b)
{
	return sp->lay.metric->stored(sp, a, b);
}

#endif							/* HNSW_METRIC_VECTOR_H */
