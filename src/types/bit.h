/*
 * bit.h
 *		Bit strings, which are the server's own type bit.
 */
#ifndef TYPES_BIT_H
#define TYPES_BIT_H

#include "postgres.h"

#include "fmgr.h"
#include "utils/varbit.h"

#include "compat.h"

/* Does not return: raises the error of a value whose bits and length disagree. */
pg_noreturn extern void BitReportDamage(const VarBit *bits);

/* The value in a datum, detoasted and its length checked, as DatumGetVector does. */
static inline VarBit *
DatumGetBits(Datum datum)
{
	VarBit	   *bits = (VarBit *) PG_DETOAST_DATUM(datum);

	if (unlikely(VARSIZE(bits) < VARBITTOTALLEN(0) || VARBITLEN(bits) < 0 ||
				 VARSIZE(bits) != VARBITTOTALLEN((int64) VARBITLEN(bits))))
		BitReportDamage(bits);
	return bits;
}

/* Raise an error if the two have not equally many bits. */
extern void BitCheckSameLength(const VarBit *a, const VarBit *b);

/* The Jaccard distance of strings with so many bits set in both, and in one at least. */
static inline double
BitJaccard(uint64 both, uint64 either)
{
	return both == 0 ? 1 : 1 - (double) both / (double) either;
}

/* Distances of two of one length, as the operators have them. */
extern double BitHammingDistance(const VarBit *a, const VarBit *b);
extern double BitJaccardDistance(const VarBit *a, const VarBit *b);

/* The functions in the operator classes of indexes. */
extern PGDLLEXPORT Datum vectorx_hamming_distance(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum vectorx_jaccard_distance(PG_FUNCTION_ARGS);

#endif							/* TYPES_BIT_H */
