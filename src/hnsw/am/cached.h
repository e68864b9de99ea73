/*
 * cached.h
 *		What writers of an index tell the cache of results (cached.c).
 */
#ifndef HNSW_AM_CACHED_H
#define HNSW_AM_CACHED_H

#include "hnsw/page/index.h"
#include "hnsw/page/pending.h"
#include "utils/rel.h"

extern void HnswCachedInsert(HnswIndex *g, const HnswSlot *at);
extern void HnswCachedVoid(Relation index);

#endif /* HNSW_AM_CACHED_H */
