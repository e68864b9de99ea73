/*
 * precision.h
 *		What stored vectors leave open.
 */
#ifndef HNSW_METRIC_PRECISION_H
#define HNSW_METRIC_PRECISION_H

#include "hnsw/layout/layout.h"
#include "hnsw/metric/vector.h"
#include "hnsw/page/index.h"

extern double HnswElementError(const HnswLayout *lay, float norm2, float scale);
extern double HnswDistanceSlack(HnswGraph *g, const HnswQuery *q, float dist,
								float norm2, float scale);
extern double HnswDistanceNoise(HnswGraph *g, const HnswQuery *q, float dist,
								float norm2, float scale, double *bias);

#endif							/* HNSW_METRIC_PRECISION_H */
