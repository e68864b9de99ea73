/*
 * neighbours.h
 *		The links of all members of a level at once.
 */
#ifndef HNSW_NEIGHBOURS_H
#define HNSW_NEIGHBOURS_H

#include "hnsw/columns.h"

extern bool HnswBulkLink(BulkColumns *c, BulkLevel *level);

#endif							/* HNSW_NEIGHBOURS_H */
