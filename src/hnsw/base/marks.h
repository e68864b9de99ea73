/*
 * marks.h
 *		A set of numbers of records, for the marks of a search: what it has queued.
 *
 * Bits in groups of 512, a cache line, of which there are only those with a mark;
 * a directory tells where each is, four bytes for 512 records there could be.  So
 * memory follows from what is marked, but for a hundredth of a byte a record,
 * and a look takes two loads.
 */
#ifndef HNSW_BASE_MARKS_H
#define HNSW_BASE_MARKS_H

#include "postgres.h"

#define HNSW_MARKS_GROUP	512
#define HNSW_MARKS_WORDS	(HNSW_MARKS_GROUP / 64)

typedef struct HnswMarks
{
	MemoryContext cxt;
	uint32	   *directory;		/* which group; 0, which is empty, for none */
	uint64		size;			/* of the directory */
	uint64	   *groups;			/* HNSW_MARKS_WORDS each */
	uint32	   *owners;			/* where each stands in the directory */
	uint32		ngroups;
	uint32		maxgroups;
} HnswMarks;

extern void HnswMarksInit(HnswMarks *m, MemoryContext cxt);
extern void HnswMarksReset(HnswMarks *m);
extern uint32 HnswMarksAddGroup(HnswMarks *m, uint64 at);

/* Is a number marked?  Any number may be asked for. */
static inline bool
HnswMarksTest(const HnswMarks *m, uint64 number)
{
	uint64		at = number / HNSW_MARKS_GROUP;

	if (unlikely(at >= m->size))
		return false;
	return (m->groups[(Size) m->directory[at] * HNSW_MARKS_WORDS + number / 64 % HNSW_MARKS_WORDS] >> (number % 64)) & 1;
}

/* Mark a number; was it marked before?  Errors: as HnswMarksAddGroup's. */
static inline bool
HnswMarksSet(HnswMarks *m, uint64 number)
{
	uint64		at = number / HNSW_MARKS_GROUP;
	uint32		group = likely(at < m->size) ? m->directory[at] : 0;
	uint64	   *word;
	uint64		before;

	if (unlikely(group == 0))
		group = HnswMarksAddGroup(m, at);
	word = &m->groups[(Size) group * HNSW_MARKS_WORDS + number / 64 % HNSW_MARKS_WORDS];
	before = *word;
	*word = before | UINT64CONST(1) << (number % 64);
	return (before >> (number % 64)) & 1;
}

#endif							/* HNSW_BASE_MARKS_H */
