/*
 * shared.h
 *		A room in shared memory for what sessions share, made when it is first needed;
 *		see README.
 */
#ifndef VECTORX_SHARED_H
#define VECTORX_SHARED_H

#include "lib/dshash.h"
#include "port/atomics.h"
#include "utils/dsa.h"

/* The tables of the room. */
typedef enum VxSharedTableId
{
	VX_SHARED_COUNTERS,			/* hnsw/am/counters.c */
	VX_SHARED_TABLES			/* so many */
} VxSharedTableId;

/* A table, as this process sees it. */
typedef struct VxSharedTable
{
	dshash_table *hash;
	pg_atomic_uint32 *nentries; /* kept by who adds and removes entries */
} VxSharedTable;

extern dsa_area *VxSharedAttach(void);
extern const VxSharedTable *VxSharedTableAttach(VxSharedTableId id, Size key_size, Size entry_size);
extern bool VxSharedTry(void (*act) (void *arg), void *arg);

#endif							/* VECTORX_SHARED_H */
