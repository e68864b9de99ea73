/*
 * coarse.c
 *		Results of a search that stored vectors cannot tell apart, and how far it then
 *		has to look (the scan does: look_further in am/scan.c).
 */
#include "postgres.h"

#include "hnsw/graph/coarse.h"
#include "hnsw/graph/search.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/precision.h"
#include "hnsw/metric/vector.h"
#include "hnsw/page/index.h"

/* The noise of a found node's distance, and what squares add to it on average. */
static double
noise(HnswIndex *g, const HnswQuery *q, const HnswFound *f, double *bias)
{
	return HnswDistanceNoise(&g->space, q, f->dist, f->norm2, f->scale, bias);
}

/*
 * The nearest and the farthest result of a search, of which there is one; with slack the
 * farthest of the k that it was for.
 */
static void
ends_of(const HnswResult *res, const HnswFound **best, const HnswFound **worst)
{
	*best = &res->found[res->order[0].idx];
	*worst = &res->found[res->order[res->nfound - 1].idx];
	for (int i = 0; i < res->nfound && res->slack; i++)
	{
		const HnswFound *f = &res->found[i];

		if (f->dist < (*best)->dist)
			*best = f;
		if (f->dist == res->slack->dists[0])
			*worst = f;
	}
}

/*
 * Could quantisation account for all that the farthest result of a search is
 * farther than the nearest?  Then which nodes it found was chance.
 */
bool
HnswResultsCoarse(HnswIndex *g, const HnswQuery *q, const HnswResult *res)
{
	const HnswFound *best;
	const HnswFound *worst;
	double		bias;

	if (res->nfound < 2)
		return false;
	ends_of(res, &best, &worst);
	return worst->dist - best->dist < noise(g, q, best, &bias) + noise(g, q, worst, &bias);
}

/*
 * Nodes that a search whose results (sorted, at least one) are such has not found are
 * likely to be farther than this.
 */
double
HnswResultsReach(HnswIndex *g, const HnswQuery *q, const HnswResult *res)
{
	const HnswFound *worst = &res->found[res->order[res->nfound - 1].idx];
	double		bias;
	double		slack = noise(g, q, worst, &bias);

	return worst->dist - bias - slack * g->lay->metric->reach;
}
