/*
 * words.h
 *		Vectors that are no floats: bit strings (bits.c), sparse vectors (sparse.c).
 *
 * The graph carries vectors about as "dim" elements of four bytes, which it copies and
 * stores.  Of these types they are words, written and read by the metric's functions alone:
 * the rest neither adds them nor looks whether they are finite, and there are no
 * centre, rotation or sketches of bits.
 */
#ifndef HNSW_METRIC_WORDS_H
#define HNSW_METRIC_WORDS_H

#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/metric.h"
#include "hnsw/metric/type.h"
#include "hnsw/metric/vector.h"

typedef struct HnswWordsOps
{
	const char *name;			/* of the stored form, in hnsw_info */
	/*
	 * HnswPrepareVector and HnswPrepareQuery, for a value of the index's dimensions or, of a
	 * query, NULL.
	 */
	bool		(*prepare) (const HnswSpace *sp, HnswValue value, float *out, uint32 *hash);
	bool		(*prepare_query) (const HnswSpace *sp, HnswValue value, HnswQuery *q);
	/* Memory of a query, beside vec.  NULL: none. */
	void		(*init) (HnswQuery *q, MemoryContext cxt);
	Size		query_bytes;
	/* HnswQueryBuild: from q->vec, words of a row. */
	void		(*build) (const HnswSpace *sp, HnswQuery *q);
	/*
	 * Distances from one stored vector to many (own vectors "rows" of n), which are brought into
	 * a form of so many bytes for it, for up to "max" of them.  NULL: there is none, and
	 * HnswMetricOps.many is as good.  "metric" is any one of these words.
	 */
	Size		(*columns_bytes) (const HnswLayout *lay, int max);
	void		(*columns_load) (const HnswSpace *sp, char *columns, const char *const *rows, int n);
	void		(*columns_distances) (const HnswSpace *sp, const HnswMetricOps *metric,
									  const char *columns, const char *own, float *out);
	/* norm2 of words, and in scale how far they may be from the vector (HnswElementError). */
	void		(*describe) (const HnswSpace *sp, const float *vec, HnswVecHead *head);
} HnswWordsOps;

/* Have vectors a form of their own for many distances? */
static inline bool
HnswHasColumns(const HnswLayout *lay)
{
	return lay->metric->words && lay->metric->words->columns_bytes;
}

extern const HnswMetricOps HnswBitMetrics[HNSW_SPARSE_L2 - HNSW_HAMMING];
extern const HnswMetricOps HnswSparseMetrics[HNSW_METRICS - HNSW_SPARSE_L2];

/* The postings of sparse vectors (postings.c). */
extern Size HnswPostingsBytes(const HnswLayout *lay, int max);
extern void HnswPostingsLoad(const HnswSpace *sp, char *columns, const char *const *rows, int n);
extern void HnswPostingsDistances(const HnswSpace *sp, const HnswMetricOps *metric,
								  const char *columns, const char *own, float *out);

extern int	HnswBitElements(int dim, int nonzero);
extern int	HnswSparseElements(int dim, int nonzero);

#endif							/* HNSW_METRIC_WORDS_H */
