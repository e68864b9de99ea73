/*
 * queue.h
 *		The queue of a search: a binary heap of candidates, the least key first.
 */
#ifndef HNSW_GRAPH_QUEUE_H
#define HNSW_GRAPH_QUEUE_H

#include "hnsw/graph/search.h"
#include "utils/memutils.h"

#define HEAP_PREFIX		candidates
#define HEAP_ELEMENT	HnswCandidate
#define HEAP_BEFORE(a, b)	((a).key < (b).key)
#include "hnsw/base/heap.h"

/*
 * The queue is full: more memory, or, at its limit, the farther half goes.  The search
 * must not go beyond the least key that went then (walk).
 */
static inline void
make_room(HnswSearch *s)
{
	if (s->maxheap * 2 <= s->heap_limit)
	{
		s->heap = repalloc_huge(s->heap, s->maxheap * 2 * sizeof(HnswCandidate));
		s->maxheap *= 2;
		return;
	}
	/* what is in order is a heap, too */
	qsort(s->heap, s->nheap, sizeof(HnswCandidate), cmp_candidate);
	s->nheap /= 2;
	s->cutoff = Min(s->cutoff, s->heap[s->nheap].key);
}

static inline void
push_candidate(HnswSearch *s, HnswCandidate c)
{
	if (unlikely(c.key > s->cutoff))
		return;
	if (unlikely(s->nheap == s->maxheap))
		make_room(s);
	candidates_sift_up(s->heap, s->nheap++, c);
}

static inline HnswCandidate
pop_candidate(HnswSearch *s)
{
	HnswCandidate top = s->heap[0];
	HnswCandidate last = s->heap[--s->nheap];

	candidates_sift_down(s->heap, s->nheap, last);
	top.todo &= ~HNSW_TODO_AHEAD;
	return top;
}

#endif							/* HNSW_GRAPH_QUEUE_H */
