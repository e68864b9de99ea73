/*
 * waitpoint.h
 *		Named points at which tests stop a backend; README, "Wait points".
 *
 * Only in a library built with "make WAIT_POINTS=1"; otherwise nothing of them
 * is compiled.  A point stands where no page is locked.
 */
#ifndef HNSW_BASE_WAITPOINT_H
#define HNSW_BASE_WAITPOINT_H

#include "compat.h"

#ifdef VX_WAIT_POINTS

extern void HnswWaitPointInit(void);
extern void HnswWaitPoint(const char *name);

#define HNSW_WAIT_POINT(name) \
	do { \
		CompatInjectionPoint("vectorx-" name); \
		HnswWaitPoint(name); \
	} while (0)
#else
#define HnswWaitPointInit()		((void) 0)
#define HNSW_WAIT_POINT(name)	((void) 0)
#endif

#endif							/* HNSW_BASE_WAITPOINT_H */
