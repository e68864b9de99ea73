/*
 * connect.h
 *		Records and links into the graph.
 */
#ifndef HNSW_GRAPH_CONNECT_H
#define HNSW_GRAPH_CONNECT_H

#include "hnsw/graph/search.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/vector.h"
#include "hnsw/page/access.h"
#include "hnsw/page/index.h"

extern bool HnswConnect(HnswIndex *g, HnswSearch *s, HnswResult *res, int level,
						const HnswRecord *own_rec, const char *own,
						const ItemPointerData *tids, int ntids,
						HnswCandidate *at);
extern bool HnswConnectRoot(HnswIndex *g, const HnswMetaPage *seen, const float *centre,
							HnswSearch *s, HnswResult *res, const HnswRecord *own_rec, const char *own,
							const ItemPointerData *tid, HnswCandidate *at);
extern int	HnswChoosePosition(HnswIndex *g, HnswSearch *s, const char *node,
							   float dist, bool tree, uint16 *flags);
extern void HnswWriteLink(HnswIndex *g, HnswWrite *w, int page, HnswPin *pin,
						  uint16 at_slot, const char *node, const HnswQuery *q,
						  int pos, uint16 flags, float dist,
						  BlockNumber blk, uint16 slot);
extern void HnswAddBackLinks(HnswIndex *g, HnswSearch *s, int level,
							 HnswCandidate *nodes, int n, const HnswCandidate *to);
extern int	HnswFindLink(const HnswLayout *lay, const char *node, const HnswCandidate *to);

#endif							/* HNSW_GRAPH_CONNECT_H */
