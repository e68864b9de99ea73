/*
 * calibrate.h
 *		Measuring how far searches of an index have to go for a recall.
 */
#ifndef HNSW_AM_CALIBRATE_H
#define HNSW_AM_CALIBRATE_H

#include "hnsw/graph/search.h"
#include "hnsw/layout/page.h"
#include "hnsw/page/index.h"

/* A query to measure by. */
typedef struct HnswAsked
{
	HnswQuery	query;			/* without a vector, if that is to be made of the node */
	HnswCandidate self;			/* the node that it is, which counts as not there; none: no block */
	char	   *own;			/* then as it is stored */
	HnswVecHead head;
	bool		full;			/* measured for the greatest rank, too */
	int			k;				/* rows that are looked for: one more than the greatest rank, or the one before */
	float	   *nearest;		/* so many of the least distances of rows: a heap, the greatest first */
	int			nnearest;
	float		at[HNSW_RECALL_RANKS];	/* the rows of each rank are no farther than this; INFINITY: unknown */
} HnswAsked;

/*
 * Where queries come from: fills at most n of "asked", and returns how many; 0 when there are no
 * more.  So many of those before were answered.
 */
typedef int (*HnswAsk) (HnswIndex *g, HnswAsked *asked, int n, int answered, void *arg);

extern int	HnswCalibrate(HnswIndex *g, HnswCalibrated kind, int n, HnswAsk next, void *arg);

/* ---- nearest.c ---- */
extern void HnswFindNearest(HnswIndex *g, HnswAsked *asked, int n);
extern int	HnswDrawNodes(HnswIndex *g, HnswAsked *asked, int n, int answered, void *arg);
extern double HnswCountNodes(HnswIndex *g);

/* Nodes as queries. */
typedef struct HnswDraw
{
	int			wanted;			/* queries that are to be answered, about */
	int			times;			/* that as many were drawn */
	uint64		seed;
} HnswDraw;

/* Fewer answers say nothing.  An index of fewer nodes is not worth it. */
#define HNSW_MIN_ANSWERS	25
#define HNSW_MIN_CALIBRATED	1000

#endif							/* HNSW_AM_CALIBRATE_H */
