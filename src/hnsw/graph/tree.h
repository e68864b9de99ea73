/*
 * tree.h
 *		The tree of links.
 */
#ifndef HNSW_GRAPH_TREE_H
#define HNSW_GRAPH_TREE_H

#include "hnsw/page/index.h"

extern void HnswThinTree(HnswGraph *g, BlockNumber nblocks,
						 const BlockNumber *uppers, int64 nuppers);

#endif							/* HNSW_GRAPH_TREE_H */
