/*
 * dense.c
 *		What vector and halfvec have in common: all their elements one after the
 *		other, as floats or as halves.
 *
 * Raises the errors whose wording is part of the types' behaviour; holds no
 * function callable from SQL and no state.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "libpq/pqformat.h"
#include "utils/float.h"

#include "types/dense.h"
#include "types/element.h"

void
DenseReportDamage(int dim, Size size, const char *type)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("invalid value of type %s", type),
			 errdetail("The value has %zu bytes and claims %d dimensions.",
					   size, dim)));
}

void
DenseCheckDim(int64 dim, const char *type)
{
	if (unlikely(dim < 1))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("%s must have at least 1 dimension", type)));
	if (unlikely(dim > DENSE_MAX_DIM))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%s cannot have more than %d dimensions", type,
						DENSE_MAX_DIM)));
}

void
DenseReportDims(int a, int b, const char *type)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_EXCEPTION),
			 errmsg("different %s dimensions %d and %d", type, a, b)));
}

char *
DenseText(const float *x, int dim)
{
	/* each number's length includes room for a separator or the end */
	char	   *text = palloc((Size) dim * FLOAT_SHORTEST_DECIMAL_LEN + 3);
	char	   *p = text;

	*p++ = '[';
	for (int i = 0; i < dim; i++)
	{
		if (i > 0)
			*p++ = ',';
		p += float_to_shortest_decimal_bufn(x[i], p);
	}
	*p++ = ']';
	*p = '\0';
	return text;
}

int
DenseReceiveDim(StringInfo buf, int32 typmod, const char *type)
{
	int16		dim = (int16) pq_getmsgint(buf, 2);
	int16		unused = (int16) pq_getmsgint(buf, 2);

	DenseCheckDim(dim, type);
	ElementCheckTypmod(typmod, dim);
	if (unused != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("expected unused to be 0, not %d", unused)));
	return dim;
}

void
DenseReceive(StringInfo buf, void *elements, int dim, int width)
{
	/* all at once: a call for each element would cost more than the rest */
	pq_copymsgbytes(buf, elements, dim * width);
	ElementsSwap(elements, dim, width);
}

bytea *
DenseSend(const void *elements, int dim, int width)
{
	StringInfoData buf;
	int			start;

	pq_begintypsend(&buf);
	pq_sendint16(&buf, (uint16) dim);
	pq_sendint16(&buf, 0);
	start = buf.len;
	pq_sendbytes(&buf, elements, dim * width);
	ElementsSwap(buf.data + start, dim, width);
	return pq_endtypsend(&buf);
}

ArrayType *
DenseArray(const float *x, int dim)
{
	Size		size = ARR_OVERHEAD_NONULLS(1) + sizeof(float) * dim;
	ArrayType  *result = (ArrayType *) palloc0(size);

	/* filled in here: construct_array would need a Datum for each element */
	SET_VARSIZE(result, size);
	result->ndim = 1;
	result->dataoffset = 0;
	result->elemtype = FLOAT4OID;
	ARR_DIMS(result)[0] = dim;
	ARR_LBOUND(result)[0] = 1;
	memcpy(ARR_DATA_PTR(result), x, sizeof(float) * dim);
	return result;
}

VarBit *
DenseBits(const float *x, int dim)
{
	int			size = VARBITTOTALLEN(dim);
	VarBit	   *result = (VarBit *) palloc0(size);
	bits8	   *bits = VARBITS(result);

	SET_VARSIZE(result, size);
	VARBITLEN(result) = dim;
	for (int i = 0; i < dim; i++)
		bits[i / 8] |= (x[i] > 0) << (7 - i % 8);
	return result;
}

int
DensePart(int dim, int start, int count, int *first, const char *type)
{
	int64		from = start;
	int64		to = from + count - 1;

	from = Max(from, 1);
	to = Min(to, dim);
	DenseCheckDim(to - from + 1, type);
	*first = (int) from - 1;
	return (int) (to - from) + 1;
}

void
DenseCheckSums(const float *result, int n)
{
	if (unlikely(ElementsHaveNonFinite(result, n)))
		float_overflow_error();
}

void
DenseCheckProducts(const float *a, const float *b, const float *result, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (unlikely(isinf(result[i])))
			float_overflow_error();
		if (unlikely(result[i] == 0 && a[i] != 0 && b[i] != 0))
			float_underflow_error();
	}
}
