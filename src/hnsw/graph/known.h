/*
 * known.h
 *		Distances an insert has computed.
 */
#ifndef HNSW_GRAPH_KNOWN_H
#define HNSW_GRAPH_KNOWN_H

#include "hnsw/graph/search.h"
#include "hnsw/page/index.h"

extern void HnswKnownReset(HnswSearch *s);
extern void HnswKnow(HnswSearch *s, BlockNumber blk, uint16 slot, float dist);
extern void HnswKnowFound(HnswIndex *g, HnswSearch *s, const HnswResult *res);
extern bool HnswKnownDistance(const HnswSearch *s, BlockNumber blk, uint16 slot, float *dist);

#endif							/* HNSW_GRAPH_KNOWN_H */
