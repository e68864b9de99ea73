/*
 * vector_io.c
 *		Text and binary input and output of vector, and its type modifier.
 *
 * All that arrives here comes from users and is checked.  Input in text form
 * is the hot path of bulk loading; the numbers are parsed by parse_float.c.
 */
#include "postgres.h"

#include "common/shortest_dec.h"
#include "libpq/pqformat.h"

#include "types/element.h"
#include "types/vector.h"

/*
 * Parse "number, number, ... ]" at p into x, of VECTOR_MAX_DIM elements.
 *
 * Returns what follows the bracket, and the number of elements in *ndims.  On
 * error, which is a soft one if context allows that, returns NULL.  "text" is
 * the whole input, for messages.
 */
static const char *
parse_elements(const char *text, const char *p, const char *end, float *x,
			   int *ndims, Node *context)
{
	int dim = 0;

	for (;;)
	{
		const char *stop;

		if (unlikely(dim == VECTOR_MAX_DIM))
			CompatInputError(context, NULL,
							 (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
							  errmsg("vector cannot have more than %d dimensions",
									 VECTOR_MAX_DIM)));

		p = ElementSkipSpace(p);
		stop = ElementRead(p, end, &x[dim], "vector", context);
		if (unlikely(stop == NULL))
			return NULL;
		if (unlikely(stop == p))
			break;
		dim++;

		p = ElementSkipSpace(stop);
		if (*p == ',')
			p++;
		else if (*p == ']')
		{
			*ndims = dim;
			return p + 1;
		}
		else
			break;
	}

	CompatInputError(context, NULL,
					 (errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					  errmsg("invalid input syntax for type vector: \"%s\"",
							 text)));
	return NULL;
}

/*
 * vector_in(cstring, oid, integer): "[1,2,3]", with white space allowed around
 * brackets and numbers.
 */
PG_FUNCTION_INFO_V1(vectorx_vector_in);
Datum
vectorx_vector_in(PG_FUNCTION_ARGS)
{
	const char *text = PG_GETARG_CSTRING(0);
	int32 typmod = PG_GETARG_INT32(2);
	Node *context = fcinfo->context;
	const char *end = text + strlen(text);
	const char *p;
	float x[VECTOR_MAX_DIM];
	int dim;
	Vector *result;

	p = ElementSkipSpace(text);
	if (*p != '[')
		CompatInputError(context, (Datum) 0,
						 (errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
						  errmsg("invalid input syntax for type vector: \"%s\"",
								 text),
						  errdetail("Vector contents must start with \"[\".")));
	p = ElementSkipSpace(p + 1);
	if (*p == ']')
		CompatInputError(context, (Datum) 0,
						 (errcode(ERRCODE_DATA_EXCEPTION),
						  errmsg("vector must have at least 1 dimension")));

	p = parse_elements(text, p, end, x, &dim, context);
	if (p == NULL)
		return (Datum) 0;

	p = ElementSkipSpace(p);
	if (*p != '\0')
		CompatInputError(context, (Datum) 0,
						 (errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
						  errmsg("invalid input syntax for type vector: \"%s\"",
								 text),
						  errdetail("Junk after closing right brace.")));
	if (typmod != -1 && typmod != dim)
		CompatInputError(context, (Datum) 0,
						 (errcode(ERRCODE_DATA_EXCEPTION),
						  errmsg("expected %d dimensions, not %d",
								 typmod, dim)));

	result = InitVector(dim);
	memcpy(result->x, x, sizeof(float) * dim);
	PG_RETURN_VECTOR_P(result);
}

/*
 * vector_out(vector): the shortest decimals that give the same floats again.
 */
PG_FUNCTION_INFO_V1(vectorx_vector_out);
Datum
vectorx_vector_out(PG_FUNCTION_ARGS)
{
	Vector *v = PG_GETARG_VECTOR_P(0);
	char *text;
	char *p;

	/* each number's length includes room for a separator or the end */
	text = palloc((Size) v->dim * FLOAT_SHORTEST_DECIMAL_LEN + 3);
	p = text;
	*p++ = '[';
	for (int i = 0; i < v->dim; i++)
	{
		if (i > 0)
			*p++ = ',';
		p += float_to_shortest_decimal_bufn(v->x[i], p);
	}
	*p++ = ']';
	*p = '\0';
	PG_RETURN_CSTRING(text);
}

/*
 * vector_typmod_in(cstring[]): the number of dimensions.
 */
PG_FUNCTION_INFO_V1(vectorx_vector_typmod_in);
Datum
vectorx_vector_typmod_in(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(ElementTypmodIn(PG_GETARG_ARRAYTYPE_P(0), VECTOR_MAX_DIM, "vector"));
}

/*
 * vector_recv(internal, oid, integer): the binary form, which is int16 dim,
 * int16 zero, then the elements as float4.
 */
PG_FUNCTION_INFO_V1(vectorx_vector_recv);
Datum
vectorx_vector_recv(PG_FUNCTION_ARGS)
{
	StringInfo buf = (StringInfo) PG_GETARG_POINTER(0);
	int32 typmod = PG_GETARG_INT32(2);
	int16 dim = (int16) pq_getmsgint(buf, 2);
	int16 unused = (int16) pq_getmsgint(buf, 2);
	Vector *result;

	VectorCheckDim(dim);
	ElementCheckTypmod(typmod, dim);
	if (unused != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("expected unused to be 0, not %d", unused)));

	/* all at once: a call for each element would cost more than the rest */
	result = InitVector(dim);
	pq_copymsgbytes(buf, (char *) result->x, (int) (sizeof(float) * dim));
	ElementsSwap((char *) result->x, dim);
	ElementsCheckFinite(result->x, dim, "vector");
	PG_RETURN_VECTOR_P(result);
}

/*
 * vector_send(vector): the binary form.
 */
PG_FUNCTION_INFO_V1(vectorx_vector_send);
Datum
vectorx_vector_send(PG_FUNCTION_ARGS)
{
	Vector *v = PG_GETARG_VECTOR_P(0);
	StringInfoData buf;
	int start;

	pq_begintypsend(&buf);
	pq_sendint16(&buf, v->dim);
	pq_sendint16(&buf, 0);
	start = buf.len;
	pq_sendbytes(&buf, (const char *) v->x, (int) (sizeof(float) * v->dim));
	ElementsSwap(buf.data + start, v->dim);
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}
