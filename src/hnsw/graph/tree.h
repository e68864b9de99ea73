/*
 * tree.h
 *		The tree of links.
 */
#ifndef HNSW_GRAPH_TREE_H
#define HNSW_GRAPH_TREE_H

#include "hnsw/graph/dead.h"
#include "hnsw/graph/nodeset.h"
#include "hnsw/graph/search.h"
#include "hnsw/page/access.h"
#include "hnsw/page/index.h"

extern void HnswDecodeOwn(HnswIndex *g, HnswPin *pin, uint16 slot, const char *node, float *vec);
extern bool HnswReadVector(HnswIndex *g, BlockNumber blk, uint16 slot, int level, float *vec);
extern void HnswReadHeir(HnswIndex *g, BlockNumber blk, uint16 slot, int level, float *vec);
extern void HnswTreeHeirs(HnswIndex *g, const HnswDeadSet *dead, BlockNumber blk, uint16 slot,
						  NodeList *heirs);
extern bool HnswAddTreeLink(HnswIndex *g, NodeList *from, const HnswCandidate *to,
							const float *vec, int level);
extern void HnswLinkHeir(HnswIndex *g, const HnswCandidate *parent, const HnswCandidate *heir,
						 int level);
extern void HnswThinTree(HnswIndex *g, BlockNumber nblocks,
						 const BlockNumber *uppers, int64 nuppers);

#endif							/* HNSW_GRAPH_TREE_H */
