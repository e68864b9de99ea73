/*
 * record.h
 *		Records in pages.
 */
#ifndef HNSW_PAGE_RECORD_H
#define HNSW_PAGE_RECORD_H

#include "hnsw/page/access.h"
#include "hnsw/page/index.h"

extern char *HnswNodeAt(HnswIndex *g, HnswPin *pin, uint16 slot);
extern char *HnswLiveNodeAt(HnswIndex *g, HnswPin *pin, uint16 slot);
extern const char *HnswNodeOwn(HnswIndex *g, HnswPin *pin, uint16 slot,
							   const char *node);

extern int HnswLinkFind(const HnswLayout *lay, const char *node, int from, const HnswLink *link);
extern void HnswLinkWrite(HnswIndex *g, HnswWrite *w, int page, Size recoff,
						  int pos, const HnswLink *link);
extern void HnswLinksWrite(HnswIndex *g, HnswWrite *w, int page, Size recoff,
						   const char *node);
extern void HnswRecordWrite(HnswIndex *g, HnswWrite *w, int page, Size recoff,
							const char *node);

extern bool HnswSameLinks(const HnswLayout *lay, const char *a, const char *b);
extern void HnswListPlaces(const int *was, int n, int *pos);
extern void HnswWriteList(HnswIndex *g, HnswWrite *w, int page, Size recoff, const char *node);
extern void HnswLinkPut(HnswIndex *g, char *node, int pos, const HnswLink *link);
extern void HnswLinkMove(HnswIndex *g, char *node, int from, int to);

#endif							/* HNSW_PAGE_RECORD_H */
