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

/* A link from a record in hand to a new vector: what HnswFindPlace says of it. */
typedef struct HnswNewLink
{
	const char *node;			/* the record, in its slot */
	uint16		slot;
	const char *own;			/* its vector (HnswNodeOwn) */
	int			pos;			/* in its list */
	HnswLink	link;
} HnswNewLink;

extern void HnswFormRecord(HnswIndex *g, int level, const HnswRecord *own_rec, const char *own,
						   const ItemPointerData *tids, int ntids);
extern bool HnswConnect(HnswIndex *g, HnswSearch *s, HnswResult *res, int level,
						const HnswRecord *own_rec, const char *own,
						const ItemPointerData *tids, int ntids,
						HnswCandidate *at);
extern bool HnswConnectPlaced(HnswIndex *g, HnswSearch *s, HnswResult *res, const HnswRecord *own_rec,
							  const char *own, const HnswCandidate *at);
extern bool HnswConnectRoot(HnswIndex *g, const HnswMetaPage *seen, const float *centre,
							HnswSearch *s, HnswResult *res, const HnswRecord *own_rec, const char *own,
							const ItemPointerData *tid, HnswCandidate *at);
extern bool HnswFindPlace(HnswIndex *g, HnswSearch *s, HnswPin *pin, uint16 slot,
						  const HnswCandidate *to, bool tree, HnswNewLink *new);
extern void HnswWriteLink(HnswIndex *g, HnswWrite *w, int page, const HnswQuery *q,
						  HnswNewLink *new);
extern void HnswAddBackLinks(HnswIndex *g, HnswSearch *s, int level,
							 HnswCandidate *nodes, int n, const HnswCandidate *to);

#endif							/* HNSW_GRAPH_CONNECT_H */
