/*
 * nodeset.h
 *		A hash set of records (block and slot), with a distance for each, and a
 *		list of them that grows.
 */
#ifndef HNSW_GRAPH_NODESET_H
#define HNSW_GRAPH_NODESET_H

#include "common/hashfn.h"
#include "hnsw/graph/search.h"
#include "utils/memutils.h"

typedef struct NodeSetEntry
{
	uint64		key;			/* NODESET_KEY */
	float		dist;
	char		status;
} NodeSetEntry;

#define NODESET_KEY(blk, slot)	(((uint64) (blk) << 16) | (slot))

/* For simplehash: a hash of NODESET_KEY. */
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

typedef struct NodeList
{
	HnswCandidate *items;
	int64		n;
	int64		max;
} NodeList;

/* Add a record at the end; the list is in the context of its first call. */
static inline void
nodelist_add(NodeList *list, BlockNumber blk, uint16 slot)
{
	if (list->n == list->max)
	{
		list->max = Max(64, list->max * 2);
		if (list->items == NULL)
			list->items = MemoryContextAllocHuge(CurrentMemoryContext,
												 list->max * sizeof(HnswCandidate));
		else
			list->items = repalloc_huge(list->items, list->max * sizeof(HnswCandidate));
	}
	list->items[list->n].key = 0;
	list->items[list->n].blk = blk;
	list->items[list->n++].slot = slot;
}

/* Is a record in the list?  Looks at all of it. */
static inline bool
nodelist_has(const NodeList *list, BlockNumber blk, uint16 slot)
{
	for (int64 i = 0; i < list->n; i++)
		if (list->items[i].blk == blk && list->items[i].slot == slot)
			return true;
	return false;
}

#endif							/* HNSW_GRAPH_NODESET_H */
