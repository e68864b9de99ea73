/*
 * hint.h
 *		What a plan tells a scan, in the 32 bits that there are for it: how many rows are
 *		likely to be asked for, or how far the farthest may be (planner/expected.c).
 *
 * 0 tells nothing.  With the highest bit it is a distance, in the operator's units: the
 * upper 31 bits of a float, mapped so that greater distances are greater numbers, and rounded
 * up.  Else it is a number of rows.
 */
#ifndef HNSW_AM_HINT_H
#define HNSW_AM_HINT_H

#include <float.h>
#include <math.h>

#define HNSW_HINT_BOUND		((uint32) 1 << 31)

/* More than any index has. */
#define HNSW_ALL_ROWS		((double) PG_INT32_MAX)

static inline uint32
HnswHintOfRows(double rows)
{
	return (uint32) Max(Min(rows, (double) PG_INT32_MAX), 1);
}

/* bound: a number, not infinite above. */
static inline uint32
HnswHintOfBound(double bound)
{
	union
	{
		float		f;
		uint32		bits;
	}			u;

	/* the next float, and then the next of half as many, is not below it */
	u.f = nextafterf((float) Max(bound, -FLT_MAX), INFINITY);
	u.bits = (u.bits & HNSW_HINT_BOUND) ? ~u.bits : u.bits | HNSW_HINT_BOUND;
	return HNSW_HINT_BOUND | (u.bits / 2 + 1);
}

/* How many rows; 0 if that is not told. */
static inline int64
HnswHintedRows(uint32 hint)
{
	return hint & HNSW_HINT_BOUND ? 0 : hint;
}

/* The distance; infinity if none is told. */
static inline double
HnswHintedBound(uint32 hint)
{
	union
	{
		float		f;
		uint32		bits;
	}			u;

	if ((hint & HNSW_HINT_BOUND) == 0)
		return INFINITY;
	u.bits = hint << 1;
	u.bits = (u.bits & HNSW_HINT_BOUND) ? u.bits & ~HNSW_HINT_BOUND : ~u.bits;
	return u.f;
}

#endif							/* HNSW_AM_HINT_H */
