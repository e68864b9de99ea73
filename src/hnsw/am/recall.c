/*
 * recall.c
 *		Recall as the setting: from a recall and a number of rows to how far a search goes.
 *
 * The metapage has a table, measured on this index (calibrate.c): factors (graph/slack.h)
 * for some recalls and some numbers of rows handed out.  In between they are
 * interpolated: by the logarithm of the number, and by that of what a recall misses.
 */
#include "postgres.h"

#include <math.h>

#include "hnsw/am/recall.h"
#include "hnsw/graph/search.h"
#include "hnsw/page/meta.h"

const double HnswRecallTargets[HNSW_RECALL_TARGETS] = {.5, .8, .9, .95, .98, .99, .995, .999};
const int	HnswRecallRanks[HNSW_RECALL_RANKS] = {1, 10, 100};

#define MAX_VISITS		1e12

/* The recall that scans of the index are to have; 0: none is set. */
double
HnswRecallTarget(Relation index, const HnswSettings *settings)
{
	const HnswOptions *opts = (const HnswOptions *) index->rd_options;
	double		target = 0;

	if (settings->target_chosen)
		return settings->target_recall;
	if (opts != NULL && opts->target_recall > 0)
		(void) HnswParseTarget((const char *) opts + opts->target_recall, &target);
	return target;
}

/* Is there a calibration, whose numbers (which come from a page) make sense? */
bool
HnswCalibrationUsable(const HnswCalibration *cal)
{
	if (cal->kind < HNSW_CALIBRATED_BUILD || cal->kind > HNSW_CALIBRATED_QUERIES)
		return false;
	if (!(cal->nodes >= 0))
		return false;
	for (int t = 0; t < HNSW_RECALL_TARGETS; t++)
	{
		if (cal->width[t] < 1 || cal->width[t] > HNSW_MAX_DESCENT)
			return false;
		for (int r = 0; r < HNSW_RECALL_RANKS; r++)
		{
			if (!(cal->factor[t][r] > 0 && cal->factor[t][r] <= HNSW_MAX_FACTOR) ||
				!(cal->visits[t][r] >= 0 && cal->visits[t][r] <= MAX_VISITS))
				return false;
		}
	}
	return true;
}

/* Between which two of n ascending numbers x is: the first of them, and how far from it. */
static int
place_of(double x, const double *at, int n, double *part)
{
	int			i = 0;

	while (i < n - 2 && x > at[i + 1])
		i++;
	*part = Min(Max((x - at[i]) / (at[i + 1] - at[i]), 0), 1);
	return i;
}

static double
interpolate(const float4 table[HNSW_RECALL_TARGETS][HNSW_RECALL_RANKS], double target, double rank)
{
	double		missed[HNSW_RECALL_TARGETS];
	double		ranks[HNSW_RECALL_RANKS];
	double		at_t;
	double		at_r;
	int			t;
	int			r;

	for (int i = 0; i < HNSW_RECALL_TARGETS; i++)
		missed[i] = -log(1 - HnswRecallTargets[i]);
	for (int i = 0; i < HNSW_RECALL_RANKS; i++)
		ranks[i] = log(HnswRecallRanks[i]);
	t = place_of(-log(1 - target), missed, HNSW_RECALL_TARGETS, &at_t);
	r = place_of(log(Max(rank, 1)), ranks, HNSW_RECALL_RANKS, &at_r);
	return (1 - at_t) * ((1 - at_r) * table[t][r] + at_r * table[t][r + 1]) +
		at_t * ((1 - at_r) * table[t + 1][r] + at_r * table[t + 1][r + 1]);
}

/* How far a search goes that is to hand out so many nodes (usable calibrations only). */
double
HnswRecallFactor(const HnswCalibration *cal, double target, double rank)
{
	return interpolate(cal->factor, target, rank);
}

/* From how many records of each level it begins: as many as the next recall that was measured. */
int
HnswRecallWidth(const HnswCalibration *cal, double target)
{
	int			t = 0;

	while (t < HNSW_RECALL_TARGETS - 1 && HnswRecallTargets[t] < target)
		t++;
	return cal->width[t];
}

/* How many nodes it visits. */
double
HnswRecallVisits(const HnswCalibration *cal, double target, double rank)
{
	const double last = HnswRecallRanks[HNSW_RECALL_RANKS - 1];

	return interpolate(cal->visits, target, rank) * Max(rank / last, 1);
}

/* The calibration in an index's metapage, for the planner; false if there is none to be used. */
bool
HnswReadCalibration(Relation index, HnswCalibration *cal)
{
	HnswMetaPage meta;

	if (!HnswPeekMeta(index, &meta))
		return false;
	*cal = meta.calibration;
	return HnswCalibrationUsable(cal);
}
