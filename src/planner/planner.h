/*
 * planner.h
 *		What the planner is told of the access method, and what is done to its
 *		plans.
 */
#ifndef PLANNER_PLANNER_H
#define PLANNER_PLANNER_H

#include "postgres.h"

#include "nodes/pathnodes.h"
#include "nodes/plannodes.h"
#include "utils/rel.h"
#include "utils/selfuncs.h"

/* ---- cost.c ---- */
extern uint64 hnsw_paths_costed;	/* how often a scan was considered */
extern double HnswRowsWithin(PlannerInfo *root, const IndexPath *path);

/*
 * The share of an index's rows that are within a bound of the distance of which nothing is known.  PostgreSQL takes a
 * third for an inequality about which it knows nothing; but distances begin somewhere, so
 * that it is a range, and this is what it takes for one.
 */
#define HNSW_WITHIN_SHARE	DEFAULT_RANGE_INEQ_SEL

/* ---- expected.c ---- */
extern bool HnswIsOurs(Oid relid, double *rows);
extern void HnswExpectRows(Plan *plan, bool all);

/* ---- paths.c ---- */
extern void HnswPathsInit(void);

/* ---- unread.c ---- */
extern void HnswPlanInit(void);

#endif							/* PLANNER_PLANNER_H */
