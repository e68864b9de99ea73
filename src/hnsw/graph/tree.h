/*
 * tree.h
 *		The tree of links.
 */
#ifndef HNSW_GRAPH_TREE_H
#define HNSW_GRAPH_TREE_H

#include "hnsw/graph/nodeset.h"
#include "hnsw/graph/search.h"
#include "hnsw/page/access.h"
#include "hnsw/page/dead.h"
#include "hnsw/page/index.h"

/* Records on the way down tree links: each once, those come first that were found first. */
typedef struct HnswTreeQueue
{
	NodeList	list;
	int64		next;			/* of the list, the first that has not been taken */
	nodeset_hash *queued;
} HnswTreeQueue;

extern void HnswTreeQueueInit(HnswTreeQueue *queue);
extern void HnswTreePush(HnswTreeQueue *queue, BlockNumber blk, uint16 slot);
extern void HnswTreePushChildren(HnswTreeQueue *queue, const HnswLayout *lay, const char *node);
extern bool HnswTreePop(HnswTreeQueue *queue, HnswCandidate *at);
extern void HnswTreeQueueFree(HnswTreeQueue *queue);
extern int	HnswCountTreeLinks(const HnswLayout *lay, const char *node);
extern void HnswDecodeOwn(HnswIndex *g, HnswPin *pin, uint16 slot, const char *node, float *vec);
extern bool HnswReadVector(HnswIndex *g, BlockNumber blk, uint16 slot, int level, float *vec);
extern void HnswReadHeir(HnswIndex *g, BlockNumber blk, uint16 slot, int level, float *vec);
extern void HnswTreeHeirs(HnswIndex *g, const HnswDeadSet *dead, BlockNumber blk, uint16 slot,
						  NodeList *heirs);
extern HnswSearch *HnswSearchFor(HnswIndex *g, const float *vec);
extern bool HnswAddTreeLink(HnswIndex *g, const HnswCandidate *from, int nfrom,
							const HnswCandidate *to, const float *vec, int level);
extern void HnswLinkHeir(HnswIndex *g, const HnswCandidate *parent, const HnswCandidate *heir,
						 int level);
extern bool HnswHangNear(HnswIndex *g, const HnswCandidate *heir, const float *vec, float dist, int level);
extern bool HnswHangAgain(HnswIndex *g, const HnswCandidate *root, const HnswCandidate *node);
extern void HnswThinTree(HnswIndex *g, BlockNumber nblocks,
						 const BlockNumber *uppers, int64 nuppers);

#endif							/* HNSW_GRAPH_TREE_H */
