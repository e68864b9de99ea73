/*
 * marks.c
 *		Marks of a search: making, forgetting and enlarging the set.
 */
#include "postgres.h"

#include "hnsw/base/marks.h"
#include "utils/memutils.h"

#define FIRST_GROUPS	64

static void *
enlarge(HnswMarks *m, void *array, Size n, Size width)
{
	return array ? repalloc_huge(array, n * width) : MemoryContextAllocHuge(m->cxt, n * width);
}

/* A set without marks, whose memory is in cxt. */
void
HnswMarksInit(HnswMarks *m, MemoryContext cxt)
{
	memset(m, 0, sizeof(*m));
	m->cxt = cxt;
	m->maxgroups = FIRST_GROUPS;
	m->groups = enlarge(m, NULL, m->maxgroups, HNSW_MARKS_WORDS * sizeof(uint64));
	m->owners = enlarge(m, NULL, m->maxgroups, sizeof(uint32));
	memset(m->groups, 0, HNSW_MARKS_WORDS * sizeof(uint64));
	m->ngroups = 1;
}

/* Forget all marks; the memory stays. */
void
HnswMarksReset(HnswMarks *m)
{
	for (uint32 i = 1; i < m->ngroups; i++)
		m->directory[m->owners[i]] = 0;
	m->ngroups = 1;
}

/*
 * An empty group for a place in the directory; returns its number.  Errors: no memory,
 * or too many groups; the marks are as they were then.
 */
uint32
HnswMarksAddGroup(HnswMarks *m, uint64 at)
{
	if (at >= m->size)
	{
		uint64		size = at + at / 8 + 64;

		if (size > PG_UINT32_MAX)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("an hnsw index has too many nodes to be searched")));
		m->directory = enlarge(m, m->directory, size, sizeof(uint32));
		memset(m->directory + m->size, 0, (size - m->size) * sizeof(uint32));
		m->size = size;
	}
	if (m->ngroups == m->maxgroups)
	{
		/* each as soon as there is room: maxgroups last */
		m->groups = enlarge(m, m->groups, (Size) m->maxgroups * 2, HNSW_MARKS_WORDS * sizeof(uint64));
		m->owners = enlarge(m, m->owners, (Size) m->maxgroups * 2, sizeof(uint32));
		m->maxgroups *= 2;
	}
	memset(m->groups + (Size) m->ngroups * HNSW_MARKS_WORDS, 0, HNSW_MARKS_WORDS * sizeof(uint64));
	m->owners[m->ngroups] = (uint32) at;
	m->directory[at] = m->ngroups;
	return m->ngroups++;
}
