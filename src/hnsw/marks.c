/*
 * marks.c
 *		Marks of a search: making, forgetting and enlarging the table.
 */
#include "postgres.h"

#include "hnsw/marks.h"

/* Without marks, in cxt. */
void
HnswMarksInit(HnswMarks *m, MemoryContext cxt)
{
	m->cxt = cxt;
	m->mask = HNSW_MARKS_FIRST - 1;
	m->nused = 0;
	m->round = 1;
	m->words = MemoryContextAllocZero(cxt, HNSW_MARKS_FIRST * sizeof(HnswMarkWord));
}

/* Forget all marks. */
void
HnswMarksReset(HnswMarks *m)
{
	m->nused = 0;
	if (++m->round < (UINT64CONST(1) << (64 - HNSW_MARKS_KEY_BITS)))
		return;
	memset(m->words, 0, ((Size) m->mask + 1) * sizeof(HnswMarkWord));
	m->round = 1;
}

/* Twice the room.  When there is no memory, the marks are as they were. */
void
HnswMarksGrow(HnswMarks *m)
{
	HnswMarks	bigger = *m;

	if (m->mask == PG_UINT32_MAX / 2)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a search of an hnsw index visits too many nodes")));
	bigger.mask = m->mask * 2 + 1;
	bigger.words = MemoryContextAllocExtended(m->cxt, ((Size) bigger.mask + 1) * sizeof(HnswMarkWord),
											  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (Size i = 0; i <= m->mask; i++)
		if (m->words[i].key >> HNSW_MARKS_KEY_BITS == m->round)
			*HnswMarksWord(&bigger, m->words[i].key) = m->words[i];
	pfree(m->words);
	*m = bigger;
}
