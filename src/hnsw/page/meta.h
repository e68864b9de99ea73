/*
 * meta.h
 *		The metapage and the centre.
 */
#ifndef HNSW_PAGE_META_H
#define HNSW_PAGE_META_H

#include "hnsw/layout/page.h"
#include "hnsw/metric/type.h"
#include "hnsw/page/access.h"
#include "hnsw/page/index.h"

extern void HnswReportDamagedMeta(Relation index);
extern char *HnswQualifiedName(Relation index);
extern bool HnswIsOfOtherFormat(Relation index);
extern bool HnswPeekMeta(Relation index, HnswMetaPage *meta);
extern void HnswReadMeta(HnswIndex *g, HnswMetaPage *meta);
extern int	HnswColumnDim(Relation index);
extern void HnswCheckMeta(Relation index, Page page);
extern const HnswMetricOps *HnswIndexClass(Relation index, const HnswTypeOps **type);
extern int	HnswCentrePages(const HnswMetaPage *meta);
extern void HnswStoreCentre(HnswIndex *g, const float *centre);
extern void HnswFormMetaPage(Page page, const HnswMetaPage *meta, int centre_page);
extern void HnswCreatePages(HnswIndex *g, const HnswMetaPage *meta);
extern void HnswMetaWrite(HnswWrite *w, int page, const HnswMetaPage *meta);

#endif							/* HNSW_PAGE_META_H */
