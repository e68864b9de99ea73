/*
 * precision.h
 *		What stored vectors leave open.
 */
#ifndef HNSW_METRIC_PRECISION_H
#define HNSW_METRIC_PRECISION_H

#include "hnsw/layout/layout.h"
#include "hnsw/metric/vector.h"

extern double HnswElementError(const HnswLayout *lay, float norm2, float scale);
extern double HnswDistanceSlack(const HnswSpace *sp, const HnswQuery *q, float dist,
								float norm2, float scale);
extern double HnswDistanceNoise(const HnswSpace *sp, const HnswQuery *q, float dist,
								float norm2, float scale, double *bias);
extern void HnswEdgeSlack(const HnswSpace *sp, const HnswStored *a, const HnswStored *b,
						  double dist, double *likely, double *certain);

#endif							/* HNSW_METRIC_PRECISION_H */
