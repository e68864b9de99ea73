/*
 * hint.h
 *		What a plan tells a scan, in the collations of its operators, which have none of
 *		their own: 32 bits each (planner/expected.c, planner/paths.c).
 *
 * The lower 31 bits are a number of rows that are likely to be asked for; 0 tells
 * nothing.  It stands in the ordering operator, or in the first condition of a scan
 * without one.  Until a plan is complete, in a condition: how many rows of the index are within.
 */
#ifndef HNSW_AM_HINT_H
#define HNSW_AM_HINT_H

/* Of a condition: the plan checks each row for it, so that the scan need not be exact. */
#define HNSW_CHECKED	((uint32) 1 << 31)

/* More than any index has. */
#define HNSW_ALL_ROWS	((double) PG_INT32_MAX)

static inline uint32
HnswHintOfRows(double rows)
{
	return (uint32) Max(Min(rows, HNSW_ALL_ROWS), 1);
}

/* How many rows; 0 if that is not told. */
static inline int64
HnswHintedRows(uint32 hint)
{
	return hint & ~HNSW_CHECKED;
}

#endif							/* HNSW_AM_HINT_H */
