/*
 * scratch.h
 *		Work memory of a handle.
 */
#ifndef HNSW_GRAPH_SCRATCH_H
#define HNSW_GRAPH_SCRATCH_H

#include "hnsw/graph/search.h"
#include "hnsw/layout/page.h"
#include "hnsw/page/access.h"

typedef struct HnswScratch
{
	HnswSearch *search;			/* of inserts and VACUUM */
	HnswResult *upper[HNSW_MAX_LEVEL + 1];
	float	   *est;			/* HNSW_MAX_FANOUT estimates */
	float	   *fa;				/* dim floats each */
	float	   *fb;
	float	   *fc;
	int8	   *own;			/* own_bytes, the new node's */
	char	   *side;			/* own_bytes, one read from side pages */
	char	   *record;			/* a whole record being formed */
	char	   *code;			/* one code or exact neighbour */
	HnswWrite	write;
	struct nodeset_hash *known;	/* distances an insert has computed, where
									 * there is no sketch to ask */
} HnswScratch;

#endif							/* HNSW_GRAPH_SCRATCH_H */
