/*
 * type.h
 *		What a type of column is to the index: one HnswTypeOps, by which all others ask.
 *
 * The graph knows vectors of floats, all of one length.  What rows and queries have,
 * a "value", only its type looks into.  A new type brings an HnswTypeOps, an entry of
 * types (type.c), and its number in page.h; the rest is the operator classes' (CONTRIBUTING,
 * "A type").  What it says once of a column holds for all rows and queries of an
 * index: no other place asks which type it is.
 *
 * This header needs nothing but metric.h.
 */
#ifndef HNSW_METRIC_TYPE_H
#define HNSW_METRIC_TYPE_H

#include "fmgr.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/metric.h"

/* A value of a type, as "get" has it. */
typedef const struct varlena *HnswValue;

/* What an operator class of a type with a metric has. */
typedef struct HnswClassOps
{
	PGFunction	distance;		/* its support function HNSW_DISTANCE_PROC; NULL: there is no such class */
	/*
	 * The distance of two values of the same dimensions, of a query and a row: as the
	 * operator computes it, but in the metric's order (HnswScanItem's distance): squared
	 * for L2, twice the operator's for cosine.  It may be infinite, or NaN.
	 */
	double		(*exact) (HnswValue query, HnswValue row);
} HnswClassOps;

typedef struct HnswTypeOps
{
	HnswType	number;			/* in the metapage */
	const char *name;			/* of the SQL type; its operator classes are NAME_METRIC_ops */
	PGFunction	support;		/* the last support function of its operator classes; NULL: they have none */
	const char *sizes;			/* what "dim" counts, in messages */
	int			max_dim;		/* that can be indexed; of floats at most HNSW_MAX_DIM */
	/*
	 * The value in a datum from a row or a query: detoasted, a copy unless it is the datum
	 * itself, and checked as far as the functions below need it (ERRCODE_DATA_CORRUPTED).
	 */
	HnswValue	(*get) (Datum datum);
	int			(*dim) (HnswValue value);
	/* Its elements as floats, out: as many as dim says.  NULL for types of words (metric/words.h). */
	void		(*decode) (HnswValue value, float *out);
	/*
	 * Of types of words: how many there are for a column's dimensions and, where that makes a
	 * difference, the elements that are not zero in most rows (-1: not known).
	 */
	int			(*elements) (int dim, int nonzero);
	int			(*nonzero) (HnswValue value);	/* NULL: makes none */
	HnswClassOps classes[HNSW_METRICS];	/* by metric */
} HnswTypeOps;

extern const HnswTypeOps *HnswTypeOf(int number);
extern const HnswTypeOps *HnswTypeBySupport(PGFunction support);
extern const HnswMetricOps *HnswMetricBySupport(const HnswTypeOps *type, PGFunction distance,
												bool normalised);
extern const HnswMetricOps *HnswMetricByClass(const char *opclass, const HnswTypeOps **type);

/* Free a value that is a copy of the datum it was got from. */
static inline void
HnswFreeValue(HnswValue value, Datum datum)
{
	if ((Pointer) value != DatumGetPointer(datum))
		pfree((void *) value);
}

#endif							/* HNSW_METRIC_TYPE_H */
