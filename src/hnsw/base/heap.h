/*
 * heap.h
 *		A binary heap in an array of the caller's, of any element: a template.
 *
 * Before including it define HEAP_PREFIX, HEAP_ELEMENT (a type) and HEAP_BEFORE(a, b),
 * which tells whether element a comes out before b; all three are undefined again.
 * What comes out first is at [0].  The array must have room; there is no allocation.
 */
#define HEAP_JOIN(a, b)	CppConcat(a, b)
#define HEAP_NAME(name)	HEAP_JOIN(HEAP_PREFIX, name)

/* Put an element where the heap's i-th was, or at its end; it moves up. */
static inline void
HEAP_NAME(_sift_up) (HEAP_ELEMENT *heap, int64 i, HEAP_ELEMENT item)
{
	while (i > 0)
	{
		int64		parent = (i - 1) / 2;

		if (!HEAP_BEFORE(item, heap[parent]))
			break;
		heap[i] = heap[parent];
		i = parent;
	}
	heap[i] = item;
}

/* Put an element where the first of a heap of n was; it moves down. */
static inline void
HEAP_NAME(_sift_down) (HEAP_ELEMENT *heap, int64 n, HEAP_ELEMENT item)
{
	int64		i = 0;

	for (;;)
	{
		int64		child = 2 * i + 1;

		if (child >= n)
			break;
		if (child + 1 < n && HEAP_BEFORE(heap[child + 1], heap[child]))
			child++;
		if (!HEAP_BEFORE(heap[child], item))
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = item;
}

#undef HEAP_NAME
#undef HEAP_JOIN
#undef HEAP_PREFIX
#undef HEAP_ELEMENT
#undef HEAP_BEFORE
