/*
 * build.h
 *		CREATE INDEX, seen from outside: its workers.
 */
#ifndef HNSW_AM_BUILD_H
#define HNSW_AM_BUILD_H

#include "compat.h"
#include "storage/dsm.h"
#include "storage/shm_toc.h"

extern int	HnswBuildWorkers(double rows);
extern bool HnswIsParallelSafe(Relation index);
extern PGDLLEXPORT void HnswBuildWorker(dsm_segment *seg, shm_toc *toc);

#endif							/* HNSW_AM_BUILD_H */
