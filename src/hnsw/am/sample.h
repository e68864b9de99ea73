/*
 * sample.h
 *		What a build has to know of the table before it reads it.
 */
#ifndef HNSW_AM_SAMPLE_H
#define HNSW_AM_SAMPLE_H

#include "hnsw/page/index.h"
#include "nodes/execnodes.h"

extern int	HnswBuildDim(Relation heap, Relation index, IndexInfo *info);
extern int	HnswBuildNonzero(Relation heap, Relation index, IndexInfo *info);
extern void HnswBuildCentre(HnswIndex *g, Relation heap, IndexInfo *info);

#endif							/* HNSW_AM_SAMPLE_H */
