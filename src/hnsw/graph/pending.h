/*
 * pending.h
 *		Pending nodes in the search of a scan.
 */
#ifndef HNSW_GRAPH_PENDING_H
#define HNSW_GRAPH_PENDING_H

#include "hnsw/graph/search.h"
#include "hnsw/layout/page.h"
#include "hnsw/page/index.h"

extern void HnswListedBegin(HnswSearch *s, const HnswMetaPage *meta);
extern void HnswQueueListed(HnswIndex *g, HnswSearch *s, const HnswResult *res, bool every);
extern bool HnswListedMoved(HnswIndex *g, HnswSearch *s, HnswMetaPage *meta);

#endif							/* HNSW_GRAPH_PENDING_H */
