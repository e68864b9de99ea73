/*
 * counters.h
 *		What others than scans count for pg_stat_vectorx_indexes.
 */
#ifndef HNSW_AM_COUNTERS_H
#define HNSW_AM_COUNTERS_H

extern void HnswCountersInsert(Oid index, bool pending);
extern void HnswCountersMerge(Oid index, int64 nnodes);

#endif							/* HNSW_AM_COUNTERS_H */
