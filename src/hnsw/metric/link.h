/*
 * link.h
 *		A link's code and factors, and the estimates they give.
 */
#ifndef HNSW_METRIC_LINK_H
#define HNSW_METRIC_LINK_H

#include "hnsw/layout/layout.h"
#include "hnsw/metric/vector.h"

/* The distance that an edge, or the factor that any bf16, is. */
static inline float
HnswEdgeDistance(uint16 edge)
{
	uint32		bits = (uint32) edge << 16;
	float		f;

	memcpy(&f, &bits, sizeof(f));
	return f;
}

extern void HnswLinkForm(const HnswSpace *sp, const float *base, const float *other,
						 HnswLink *link);

extern float HnswLinkEdge(const HnswSpace *sp, const char *node, int pos);
extern float HnswLinkNoise(const HnswSpace *sp, const HnswQuery *q, const char *node,
						   int pos, float base, float est, float *slope);
extern int	HnswScoreFromOrigin(const HnswSpace *sp, const HnswQuery *q, const char *node,
								float bound, float *least, uint32 *masks);
extern int	HnswScoreLinks(const HnswSpace *sp, const HnswQuery *q, const char *node,
						   float base, float bound, float *est, uint32 *masks);

#endif							/* HNSW_METRIC_LINK_H */
