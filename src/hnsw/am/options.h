/*
 * options.h
 *		Options of an index, and settings.
 */
#ifndef HNSW_AM_OPTIONS_H
#define HNSW_AM_OPTIONS_H

#include "access/reloptions.h"
#include "hnsw/layout/page.h"

typedef struct HnswOptions
{
	int32		vl_len_;
	int			m;
	int			ef_construction;
	int			sketch_bits;	/* enum below */
	int			own_vector;
} HnswOptions;

extern void HnswOptionsInit(void);
extern bytea *HnswOptionsParse(Datum reloptions, bool validate);

extern void HnswMetaFor(Relation index, int dim, HnswMetaPage *meta);

extern void HnswAlterInit(void);
extern char *HnswPendingOptions(const HnswOptions *opts, const HnswMetaPage *built);

extern void HnswSettingsDefine(void);
extern int	HnswEfSearch(void);

#endif							/* HNSW_AM_OPTIONS_H */
