/*
 * place.h
 *		Where a new record goes: what connect.c takes from place.c.
 */
#ifndef HNSW_PAGE_PLACE_H
#define HNSW_PAGE_PLACE_H

#include "hnsw/layout/page.h"
#include "hnsw/page/access.h"
#include "hnsw/page/index.h"

/* Where a new record goes: a page held exclusively, and the slot. */
typedef struct HnswPlace
{
	HnswPin		pins[1 + HNSW_MAX_SIDE_PAGES];	/* node page; when fresh its side pages */
	uint16		slot;
	bool		fresh;
} HnswPlace;

extern int HnswFreeSlot(HnswIndex *g, HnswPin *pin, int level);
extern void HnswFreshPage(HnswIndex *g, HnswPlace *place);
extern BlockNumber HnswTargetPage(HnswIndex *g, int level, HnswPlace *place);
extern void HnswForgetTarget(HnswIndex *g, int level, BlockNumber next);
extern void HnswPreparePlace(HnswIndex *g, HnswPlace *place, const char *own);
extern void HnswWriteRecord(HnswIndex *g, HnswWrite *w, int page, HnswPlace *place);
extern void HnswReleaseFresh(HnswIndex *g, HnswPlace *place, bool used);
extern void HnswAnnouncePage(HnswIndex *g, int level, BlockNumber blk);

#define HNSW_FSM_SLOT	(BLCKSZ / 2)	/* free space noted for a page with a free slot */
#define HNSW_FSM_PAGE(lay)	((lay)->own_side ? BLCKSZ / 4 : BLCKSZ - 64)	/* for a free page */

#endif							/* HNSW_PAGE_PLACE_H */
