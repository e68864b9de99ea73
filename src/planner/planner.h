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

/* ---- cost.c ---- */
extern uint64 hnsw_paths_costed;	/* how often a scan was considered */

/* ---- expected.c ---- */
extern void HnswExpectRows(Plan *plan);

/* ---- unread.c ---- */
extern bool HnswIsOurs(Relation index);
extern void HnswPlanInit(void);

#endif							/* PLANNER_PLANNER_H */
