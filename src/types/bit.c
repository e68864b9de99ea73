/*
 * bit.c
 *		Distances of bit strings, which are the server's own type bit.
 *
 * The bits are counted by kernels (simd/vx_simd.h), exactly.  Bits that fill
 * a string's last byte are zero, as the server keeps them.
 */
#include "postgres.h"

#include "utils/varbit.h"

#include "simd/vx_simd.h"

#include "types/bit.h"

void
BitReportDamage(const VarBit *bits)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("invalid value of type bit"),
			 errdetail("The value has %zu bytes and claims %d bits.",
					   (Size) VARSIZE(bits), VARSIZE(bits) < VARBITTOTALLEN(0) ? 0 : VARBITLEN(bits))));
}

void
BitCheckSameLength(const VarBit *a, const VarBit *b)
{
	if (unlikely(VARBITLEN(a) != VARBITLEN(b)))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("different bit lengths %d and %d",
						VARBITLEN(a), VARBITLEN(b))));
}

double
BitHammingDistance(const VarBit *a, const VarBit *b)
{
	BitCheckSameLength(a, b);
	return (double) vx_simd->hamming(VARBITS(a), VARBITS(b), (int) VARBITBYTES(a));
}

double
BitJaccardDistance(const VarBit *a, const VarBit *b)
{
	uint64_t	both;
	uint64_t	either;

	BitCheckSameLength(a, b);
	vx_simd->common_bits(VARBITS(a), VARBITS(b), (int) VARBITBYTES(a), &both, &either);
	return BitJaccard(both, either);
}

/*
 * hamming_distance(bit, bit), <~>: how many bits differ.
 */
PG_FUNCTION_INFO_V1(vectorx_hamming_distance);
Datum
vectorx_hamming_distance(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(BitHammingDistance(DatumGetBits(PG_GETARG_DATUM(0)), DatumGetBits(PG_GETARG_DATUM(1))));
}

/*
 * jaccard_distance(bit, bit), <%>: the share of the bits set in either that are
 * not set in both; 1 where none is.
 */
PG_FUNCTION_INFO_V1(vectorx_jaccard_distance);
Datum
vectorx_jaccard_distance(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(BitJaccardDistance(DatumGetBits(PG_GETARG_DATUM(0)), DatumGetBits(PG_GETARG_DATUM(1))));
}
