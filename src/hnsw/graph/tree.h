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

extern void HnswDecodeOwn(HnswGraph *g, HnswPin *pin, uint16 slot, const char *node, float *vec);
extern bool HnswReadVector(HnswGraph *g, BlockNumber blk, uint16 slot, int level, float *vec);
extern void HnswReadHeir(HnswGraph *g, BlockNumber blk, uint16 slot, int level, float *vec);
extern void HnswTreeHeirs(HnswGraph *g, const HnswDeadSet *dead, BlockNumber blk, uint16 slot,
						  NodeList *heirs);
extern bool HnswAddTreeLink(HnswGraph *g, NodeList *from, const HnswCandidate *to,
							const float *vec, int level);
extern void HnswLinkHeir(HnswGraph *g, const HnswCandidate *parent, const HnswCandidate *heir,
						 int level);
extern void HnswThinTree(HnswGraph *g, BlockNumber nblocks,
						 const BlockNumber *uppers, int64 nuppers);

#endif							/* HNSW_GRAPH_TREE_H */
