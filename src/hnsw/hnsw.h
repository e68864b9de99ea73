/*
 * hnsw.h
 *		The hnsw access method: limits and numbers that all rooms share.
 *
 * README in this folder holds the protocols (locks, states, what a crash
 * leaves), and says what is in which room.
 */
#ifndef HNSW_HNSW_H
#define HNSW_HNSW_H

#include "postgres.h"

#include "compat.h"

/* strategies: ordering by the distance, required; and rows within one */
#define HNSW_ORDER_STRATEGY		1
#define HNSW_WITHIN_STRATEGY	2

/* support function numbers; 1 is required, and the last one tells the type */
#define HNSW_DISTANCE_PROC	1
#define HNSW_NORM_PROC		2
#define HNSW_NPROCS			3

/* those of ivfflat, as pgvector has them: two more, which say how it finds lists, mean nothing here */
#define IVFFLAT_LIST_DISTANCE_PROC	3
#define IVFFLAT_LIST_NORM_PROC		4
#define IVFFLAT_NPROCS				5

#define HNSW_DEFAULT_M					16
#define HNSW_MIN_M						2
#define HNSW_MAX_M						100
#define HNSW_DEFAULT_EF_CONSTRUCTION	64
#define HNSW_MIN_EF_CONSTRUCTION		4
#define HNSW_MAX_EF_CONSTRUCTION		1000
#define HNSW_DEFAULT_EF_SEARCH			40
#define HNSW_MIN_EF_SEARCH				1
#define HNSW_MAX_EF_SEARCH				10000

#endif							/* HNSW_HNSW_H */
