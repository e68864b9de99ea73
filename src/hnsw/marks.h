/*
 * marks.h
 *		A set of numbers of records, for the marks of a search.
 *
 * A table of 64-bit words, each for 64 numbers in a row, found by hashing.  Its
 * memory follows from what is marked, not from the size of the index.  Forgetting
 * all marks costs nothing: words of an earlier round count as empty.
 */
#ifndef HNSW_MARKS_H
#define HNSW_MARKS_H

#include "postgres.h"

#include "utils/memutils.h"

typedef struct HnswMarkWord
{
	uint64		key;			/* round << 40 | number / 64 */
	uint64		bits;
} HnswMarkWord;

typedef struct HnswMarks
{
	MemoryContext cxt;
	HnswMarkWord *words;
	uint32		mask;			/* number of words - 1, which is a power of two less one */
	uint32		nused;			/* in this round */
	uint64		round;			/* from 1 */
} HnswMarks;

#define HNSW_MARKS_FIRST	1024
/* Numbers are of 32 bits for the block and 10 for the slot, less six. */
#define HNSW_MARKS_KEY_BITS	40

/* The word of a number, or the empty one where it would be. */
static inline HnswMarkWord *
HnswMarksWord(const HnswMarks *m, uint64 key)
{
	uint32		at = (uint32) ((key * UINT64CONST(0x9E3779B97F4A7C15)) >> 32) & m->mask;

	while (m->words[at].key != key && (m->words[at].key >> HNSW_MARKS_KEY_BITS) == m->round)
		at = (at + 1) & m->mask;
	return &m->words[at];
}

static inline uint64
HnswMarksKey(const HnswMarks *m, uint64 number)
{
	return m->round << HNSW_MARKS_KEY_BITS | number / 64;
}

static inline bool
HnswMarksTest(const HnswMarks *m, uint64 number)
{
	uint64		key = HnswMarksKey(m, number);
	const HnswMarkWord *word = HnswMarksWord(m, key);

	return word->key == key && (word->bits >> (number % 64)) & 1;
}

extern void HnswMarksInit(HnswMarks *m, MemoryContext cxt);
extern void HnswMarksReset(HnswMarks *m);
extern void HnswMarksGrow(HnswMarks *m);

static inline void
HnswMarksSet(HnswMarks *m, uint64 number)
{
	uint64		key = HnswMarksKey(m, number);
	HnswMarkWord *word = HnswMarksWord(m, key);

	if (word->key != key)
	{
		/* before anything changes: it may fail */
		if (unlikely(m->nused >= (m->mask + 1) / 2))
		{
			HnswMarksGrow(m);
			word = HnswMarksWord(m, key);
		}
		word->key = key;
		word->bits = 0;
		m->nused++;
	}
	word->bits |= UINT64CONST(1) << (number % 64);
}

#endif							/* HNSW_MARKS_H */
