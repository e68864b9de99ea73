/*
 * nodeset.h
 *		A hash set of records (block and slot), with a distance for each.
 */
#ifndef HNSW_NODESET_H
#define HNSW_NODESET_H

#include "common/hashfn.h"
#include "storage/block.h"

typedef struct NodeSetEntry
{
	uint64		key;			/* NODESET_KEY */
	float		dist;
	char		status;
} NodeSetEntry;

#define NODESET_KEY(blk, slot)	(((uint64) (blk) << 16) | (slot))

static inline uint32
nodeset_hash_key(uint64 key)
{
	return hash_combine(murmurhash32((uint32) key), (uint32) (key >> 32));
}

#define SH_PREFIX		nodeset
#define SH_ELEMENT_TYPE	NodeSetEntry
#define SH_KEY_TYPE		uint64
#define SH_KEY			key
#define SH_HASH_KEY(tb, key)	nodeset_hash_key(key)
#define SH_EQUAL(tb, a, b)		((a) == (b))
#define SH_SCOPE		static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* Add a record; true when it was not there yet. */
static inline bool
nodeset_add(nodeset_hash *set, BlockNumber blk, uint16 slot)
{
	bool		found;

	(void) nodeset_insert(set, NODESET_KEY(blk, slot), &found);
	return !found;
}

#endif							/* HNSW_NODESET_H */
