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
	int			nfull;			/* pages without a free slot that were looked at */
	HnswPin		other;			/* a page that is written with it */
	HnswPin    *with;			/* that, or the place's own if it is the same */
} HnswPlace;

extern void HnswFreshPage(HnswIndex *g, HnswPlace *place);
extern void HnswPlaceBegin(HnswPlace *place);
extern bool HnswTakePlace(HnswIndex *g, int level, BlockNumber other, HnswPlace *place);
extern void HnswLeavePlace(HnswIndex *g, HnswPlace *place);
extern void HnswPlaceEnd(HnswIndex *g, int level, HnswPlace *place, bool used);
extern void HnswPreparePlace(HnswIndex *g, HnswPlace *place, const char *own);
extern void HnswWriteKind(HnswWrite *w, int page, uint16 kind, uint16 nslots, LocationIndex lower);
extern void HnswWriteRecord(HnswIndex *g, HnswWrite *w, int page, HnswPlace *place);
extern void HnswReleaseFresh(HnswIndex *g, HnswPlace *place, bool used);
extern void HnswAnnouncePage(HnswIndex *g, int level, BlockNumber blk);

#define HNSW_FSM_SLOT	(BLCKSZ / 2)	/* free space noted for a page with a free slot */
#define HNSW_FSM_PAGE(lay)	((lay)->own_side ? BLCKSZ / 4 : BLCKSZ - 64)	/* for a free page */

#endif							/* HNSW_PAGE_PLACE_H */
