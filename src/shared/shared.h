/*
 * shared.h
 *		A room in shared memory for what sessions share, made when it is first needed;
 *		see README.
 */
#ifndef VECTORX_SHARED_H
#define VECTORX_SHARED_H

#include "lib/dshash.h"
#include "port/atomics.h"
#include "storage/lwlock.h"
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

/* What users of the room have in the main shared memory: it is there, or nobody has it. */
typedef struct VxSharedRoot
{
	dsa_pointer cache;			/* src/cache; InvalidDsaPointer: not made yet; under the room's lock */
	pg_atomic_uint32 cache_states;	/* indexes that have a state */
	pg_atomic_uint64 cache_blind;	/* writes that no state knows of */
} VxSharedRoot;

extern VxSharedRoot *VxSharedRootFind(void);
extern LWLock *VxSharedLock(void);
extern dsa_area *VxSharedAttach(void);
extern const VxSharedTable *VxSharedTableAttach(VxSharedTableId id, Size key_size, Size entry_size);
extern dsa_pointer VxSharedAllocate(dsa_area *from, Size size);
extern bool VxSharedTry(void (*act) (void *arg), void *arg);

#endif							/* VECTORX_SHARED_H */
