/*
 * recall.h
 *		Recall as the setting: what a calibration says of how far a search has to go.
 */
#ifndef HNSW_AM_RECALL_H
#define HNSW_AM_RECALL_H

#include "hnsw/am/options.h"
#include "hnsw/layout/page.h"
#include "hnsw/page/index.h"
#include "utils/rel.h"

#define HNSW_MIN_TARGET		0.5
#define HNSW_MAX_TARGET		0.999

/* No factor is greater in an index that has been calibrated. */
#define HNSW_MAX_FACTOR		1e6

/* Rows that a search is for when nothing tells how many are wanted. */
#define HNSW_RECALL_ROWS	10

extern const double HnswRecallTargets[HNSW_RECALL_TARGETS];
extern const int HnswRecallRanks[HNSW_RECALL_RANKS];

extern double HnswRecallTarget(Relation index, const HnswSettings *settings);
extern bool HnswCalibrationUsable(const HnswCalibration *cal);
extern double HnswRecallFactor(const HnswCalibration *cal, double target, double rank);
extern int	HnswRecallWidth(const HnswCalibration *cal, double target);
extern double HnswRecallVisits(const HnswCalibration *cal, double target, double rank);
extern bool HnswReadCalibration(Relation index, HnswCalibration *cal);

/* ---- calibrate.c ---- */
extern void HnswCalibrateBuild(HnswIndex *g);
extern void HnswRecalibrate(Relation index, bool changed);

#endif							/* HNSW_AM_RECALL_H */
