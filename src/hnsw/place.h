/*
 * place.h
 *		Where a new record goes: what connect.c takes from place.c.
 */
#ifndef HNSW_PLACE_H
#define HNSW_PLACE_H

#include "hnsw/hnsw.h"

/* Where a new record goes: a page held exclusively, and the slot. */
typedef struct HnswPlace
{
	HnswPin		pins[1 + HNSW_MAX_SIDE_PAGES];	/* node page; when fresh its side pages */
	uint16		slot;
	bool		fresh;
} HnswPlace;

extern int HnswFreeSlot(HnswGraph *g, HnswPin *pin, int level);
extern void HnswFreshPage(HnswGraph *g, HnswPlace *place);
extern void HnswBlankPage(HnswGraph *g, HnswPin *pin);
extern BlockNumber HnswTargetPage(HnswGraph *g, int level, HnswPlace *place, bool *have_fresh);
extern void HnswForgetTarget(HnswGraph *g, int level, BlockNumber next);
extern void HnswWriteSide(HnswGraph *g, HnswPlace *place, const char *own);
extern void HnswWriteRecord(HnswGraph *g, HnswWrite *w, int page, HnswPlace *place);
extern void HnswReleaseFresh(HnswGraph *g, HnswPlace *place, bool used);
extern void HnswAnnouncePage(HnswGraph *g, int level, BlockNumber blk);

#endif							/* HNSW_PLACE_H */
