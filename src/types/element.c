/*
 * element.c
 *		What the types of vectors share: numbers in text, arrays and messages,
 *		and the checks of them.
 *
 * Raises the errors whose wording is part of the types' behaviour; holds no
 * function callable from SQL and no state.
 */
#include "postgres.h"

#include <float.h>

#include "catalog/pg_type.h"
#include "port/pg_bswap.h"
#include "types/element.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

void
ElementReportBad(const char *p, const char *stop, float x, bool overflow,
				 const char *type, Node *context)
{
	if (overflow)
		CompatInputError(context, ,
						 (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						  errmsg("\"%s\" is out of range for type %s",
								 pnstrdup(p, stop - p), type)));
	if (isnan(x))
		CompatInputError(context, ,
						 (errcode(ERRCODE_DATA_EXCEPTION),
						  errmsg("NaN not allowed in %s", type)));
	CompatInputError(context, ,
					 (errcode(ERRCODE_DATA_EXCEPTION),
					  errmsg("infinite value not allowed in %s", type)));
}

void
ElementCheckTypmod(int32 typmod, int dim)
{
	if (unlikely(typmod != -1 && typmod != dim))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("expected %d dimensions, not %d", typmod, dim)));
}

int32
ElementTypmodIn(ArrayType *modifiers, int most, const char *type)
{
	int			n;
	int32	   *values = ArrayGetIntegerTypmods(modifiers, &n);

	if (n != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid type modifier")));
	if (values[0] < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("dimensions for type %s must be at least 1", type)));
	if (values[0] > most)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("dimensions for type %s cannot exceed %d", type, most)));
	return values[0];
}

bool
ElementsHaveNonFinite(const float *x, int n)
{
	int			bad = 0;

	/* NaN compares false too; no branch, so that the loop is vectorised. */
	for (int i = 0; i < n; i++)
		bad |= !(fabsf(x[i]) <= FLT_MAX);
	return bad != 0;
}

void
ElementsCheckFinite(const float *x, int n, const char *type)
{
	if (likely(!ElementsHaveNonFinite(x, n)))
		return;

	for (int i = 0; i < n; i++)
	{
		if (isnan(x[i]))
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("NaN not allowed in %s", type)));
		if (isinf(x[i]))
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("infinite value not allowed in %s", type)));
	}
}

void
ElementsSwap(void *words, int n, int width)
{
	char	   *p = words;

	for (int i = 0; i < n && width == 4; i++)
	{
		uint32		bits;

		memcpy(&bits, p + sizeof(bits) * i, sizeof(bits));
		bits = pg_ntoh32(bits);
		memcpy(p + sizeof(bits) * i, &bits, sizeof(bits));
	}
	for (int i = 0; i < n && width == 2; i++)
	{
		uint16		bits;

		memcpy(&bits, p + sizeof(bits) * i, sizeof(bits));
		bits = pg_ntoh16(bits);
		memcpy(p + sizeof(bits) * i, &bits, sizeof(bits));
	}
}

/*
 * Not the kernel's sum of squares: in single precision it would overflow for
 * elements from 2e19 on, and normalisation should be accurate.  Four sums, so
 * that one addition need not wait for another.
 */
double
ElementsSumSquares(const float *x, int n)
{
	double		sums[4] = {0, 0, 0, 0};
	int			i = 0;

	for (; i + 4 <= n; i += 4)
	{
		for (int j = 0; j < 4; j++)
			sums[j] += (double) x[i + j] * (double) x[i + j];
	}
	for (; i < n; i++)
		sums[0] += (double) x[i] * (double) x[i];
	return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

double
ElementsNorm(const float *x, int n)
{
	return sqrt(ElementsSumSquares(x, n));
}

int
ElementsOfArray(ArrayType *array)
{
	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("array must be 1-D")));
	if (ARR_HASNULL(array) && array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("array must not contain nulls")));
	return ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
}

/*
 * Elements that are not null, stored one after the other as PostgreSQL stores
 * them (numeric reports itself what is too large).
 */
void
ElementsFromArray(ArrayType *array, int n, float *x)
{
	const char *data = ARR_DATA_PTR(array);

	switch (ARR_ELEMTYPE(array))
	{
		case FLOAT4OID:
			memcpy(x, data, sizeof(float) * n);
			break;
		case FLOAT8OID:
			for (int i = 0; i < n; i++)
				x[i] = (float) ((const float8 *) data)[i];
			break;
		case INT4OID:
			for (int i = 0; i < n; i++)
				x[i] = (float) ((const int32 *) data)[i];
			break;
		case NUMERICOID:
		{
			Datum *elements;
			int count;

			deconstruct_array(array, NUMERICOID, -1, false, TYPALIGN_INT,
							  &elements, NULL, &count);
			for (int i = 0; i < n; i++)
				x[i] = DatumGetFloat4(DirectFunctionCall1(numeric_float4,
														  elements[i]));
			pfree(elements);
			break;
		}
		default:
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("unsupported array type"),
					 errdetail("The array's elements are of type %s.",
							   format_type_be(ARR_ELEMTYPE(array)))));
	}
}
