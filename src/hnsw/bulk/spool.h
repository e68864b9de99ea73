/*
 * spool.h
 *		Rows of a build as the index stores them, in temporary files.
 */
#ifndef HNSW_BULK_SPOOL_H
#define HNSW_BULK_SPOOL_H

#include "hnsw/bulk/team.h"
#include "hnsw/layout/page.h"
#include "storage/buffile.h"

/* A row; its own vector follows in the file. */
typedef struct SpoolRow
{
	HNSW_VEC_HEAD;
	ItemPointerData tid;
} SpoolRow;

/* One participant's rows, in the order in which it met them. */
typedef struct Spool
{
	BufFile    *file;
	int			own_bytes;
	int64		nrows;
	int64		nread;
} Spool;

extern Spool *HnswSpoolCreate(const Team *t, int own_bytes);
extern void HnswSpoolAdd(Spool *s, const SpoolRow *row, const char *own);
extern void HnswSpoolFinish(const Team *t, Spool *s);
extern Spool *HnswSpoolOpen(const Team *t, int number, int own_bytes, int64 nrows);
extern bool HnswSpoolNext(Spool *s, SpoolRow *row, char *own);
extern void HnswSpoolSkip(Spool *s, int64 nread);
extern void HnswSpoolClose(Spool *s);

#endif							/* HNSW_BULK_SPOOL_H */
