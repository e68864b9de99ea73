/*
 * known.c
 *		Distances of nodes to the vector that is to be linked, as its own search
 *		found them.
 */
#include "postgres.h"

#include "hnsw/graph/known.h"
#include "hnsw/graph/nodeset.h"
#include "hnsw/graph/search.h"
#include "hnsw/layout/page.h"
#include "hnsw/page/index.h"

/* Forget the distances of the vector before. */
void
HnswKnownReset(HnswSearch *s)
{
	if (s->known == NULL)
		s->known = nodeset_create(s->cxt, 4096, NULL);
	else
		nodeset_reset(s->known);
}

/* Remember one, after HnswKnownReset. */
void
HnswKnow(HnswSearch *s, BlockNumber blk, uint16 slot, float dist)
{
	nodeset_hash *known = s->known;
	bool		found;

	/* if it cannot grow it is of no use any more, but the search is */
	s->known = NULL;
	nodeset_insert(known, NODESET_KEY(blk, slot), &found)->dist = dist;
	s->known = known;
}

/*
 * Remember the distances of what a search of one level found.  (Without
 * sketches a search remembers all that it computed.)
 */
void
HnswKnowFound(HnswIndex *g, HnswSearch *s, const HnswResult *res)
{
	if (g->lay->sketch == HNSW_SKETCH_NONE)
		return;
	HnswKnownReset(s);
	for (int i = 0; i < res->nfound; i++)
		HnswKnow(s, res->found[i].blk, res->found[i].slot, res->found[i].dist);
}

/* The distance of a node to the vector that is to be linked, if it is known. */
bool
HnswKnownDistance(const HnswSearch *s, BlockNumber blk, uint16 slot, float *dist)
{
	NodeSetEntry *e;

	if (s->known == NULL)
		return false;
	e = nodeset_lookup(s->known, NODESET_KEY(blk, slot));
	if (e)
		*dist = e->dist;
	return e != NULL;
}
