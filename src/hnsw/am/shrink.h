/*
 * shrink.h
 *		VACUUM makes the index's file shorter.
 */
#ifndef HNSW_AM_SHRINK_H
#define HNSW_AM_SHRINK_H

#include "hnsw/page/index.h"
#include "storage/buf.h"

extern BlockNumber HnswShrink(HnswIndex *g, BufferAccessStrategy strategy);

#endif							/* HNSW_AM_SHRINK_H */
