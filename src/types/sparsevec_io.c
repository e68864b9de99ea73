/*
 * sparsevec_io.c
 *		Text and binary input and output of sparsevec, and its type modifier.
 *
 * All that arrives here comes from users and is checked.  Elements that are
 * zero are left out as soon as they are read, whatever their index.
 */
#include "postgres.h"

#include <errno.h>
#include <stdlib.h>

#include "common/shortest_dec.h"
#include "libpq/pqformat.h"
#include "utils/builtins.h"

#include "types/element.h"
#include "types/sparsevec.h"

/* An element as text gives it, in any order; the index counts from 1. */
typedef struct SparseElement
{
	int64		index;
	float		value;
} SparseElement;

/* A text, and what has been read of it. */
typedef struct SparseText
{
	const char *text;
	const char *end;			/* where its final zero is */
	Node	   *context;		/* whether errors are soft ones */
	SparseElement *elements;
	int			n;
	bool		ascending;
} SparseText;

/* More digits do not change what is too large. */
#define INTEGER_CAP INT64_C(100000000000)

/*
 * Parse an integer at p, with or without a sign.  Returns what follows, or p if
 * there is none.  It is right up to INTEGER_CAP, and no less beyond.
 */
static const char *
parse_integer(const char *p, int64 *value)
{
	const char *digits = p + (*p == '-' || *p == '+');
	const char *q = digits;
	int64		n = 0;

	for (; *q >= '0' && *q <= '9'; q++)
	{
		if (n < INTEGER_CAP)
			n = n * 10 + (*q - '0');
	}
	*value = *p == '-' ? -n : n;
	return q > digits ? q : p;
}

/*
 * The error of a text that is not of the form; "detail" may be NULL.  A soft
 * one if the context allows that; then the caller returns.
 */
static void
syntax_error(const SparseText *t, const char *detail)
{
	CompatInputError(t->context, ,
					 (errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					  errmsg("invalid input syntax for type sparsevec: \"%s\"", t->text),
					  detail ? errdetail("%s", detail) : 0));
}

/*
 * Has a number that is zero been rounded to it?  Such a number would lose its
 * place, so it is refused.
 */
static bool
was_rounded(const char *number)
{
	errno = 0;
	(void) strtof(number, NULL);
	return errno == ERANGE;
}

/*
 * Parse "index:number, ... }" at p.  Returns what follows the brace, NULL on error.
 */
static const char *
parse_elements(SparseText *t, const char *p)
{
	int64		last = 0;

	for (int n = 0;; n++)
	{
		SparseElement *e = &t->elements[t->n];
		const char *stop;

		if (unlikely(n == SPARSEVEC_MAX_NNZ))
			CompatInputError(t->context, NULL,
							 (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
							  errmsg("sparsevec cannot have more than %d non-zero elements",
									 SPARSEVEC_MAX_NNZ)));

		p = ElementSkipSpace(p);
		stop = parse_integer(p, &e->index);
		if (unlikely(stop == p))
			break;
		p = ElementSkipSpace(stop);
		if (unlikely(*p != ':'))
			break;
		p = ElementSkipSpace(p + 1);
		stop = ElementRead(p, t->end, &e->value, "sparsevec", t->context);
		if (unlikely(stop == NULL))
			return NULL;
		if (unlikely(stop == p))
			break;
		if (likely(e->value != 0))
		{
			t->ascending &= e->index > last;
			last = e->index;
			t->n++;
		}
		else if (was_rounded(p))
			CompatInputError(t->context, NULL,
							 (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
							  errmsg("\"%s\" is out of range for type sparsevec",
									 pnstrdup(p, stop - p))));

		p = ElementSkipSpace(stop);
		if (*p == '}')
			return p + 1;
		if (unlikely(*p != ','))
			break;
		p++;
	}
	syntax_error(t, NULL);
	return NULL;
}

/*
 * Parse a whole text but for white space before it: elements, and the number of dimensions.
 * False on error.
 */
static bool
parse_text(SparseText *t, const char *p, int64 *dim)
{
	const char *stop;

	if (*p != '{')
	{
		syntax_error(t, "Vector contents must start with \"{\".");
		return false;
	}
	p = ElementSkipSpace(p + 1);
	if (*p == '}')
		p++;
	else
	{
		p = parse_elements(t, p);
		if (p == NULL)
			return false;
	}

	p = ElementSkipSpace(p);
	if (*p != '/')
	{
		syntax_error(t, "Unexpected end of input.");
		return false;
	}
	p = ElementSkipSpace(p + 1);
	stop = parse_integer(p, dim);
	if (stop == p)
	{
		syntax_error(t, NULL);
		return false;
	}
	if (*ElementSkipSpace(stop) != '\0')
	{
		syntax_error(t, "Junk after closing.");
		return false;
	}
	return true;
}

static int
compare_elements(const void *a, const void *b)
{
	int64		left = ((const SparseElement *) a)->index;
	int64		right = ((const SparseElement *) b)->index;

	return (left > right) - (left < right);
}

/*
 * The value of sorted elements.  Returns NULL after a soft error.
 */
static SparseVec *
make_value(const SparseText *t, int64 dim, int32 typmod)
{
	SparseVec  *result;
	float	   *values;

	if (dim < 1)
		CompatInputError(t->context, NULL,
						 (errcode(ERRCODE_DATA_EXCEPTION),
						  errmsg("sparsevec must have at least 1 dimension")));
	if (dim > SPARSEVEC_MAX_DIM)
		CompatInputError(t->context, NULL,
						 (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						  errmsg("sparsevec cannot have more than %d dimensions",
								 SPARSEVEC_MAX_DIM)));
	if (t->n > 0 && (t->elements[0].index < 1 || t->elements[t->n - 1].index > dim))
		CompatInputError(t->context, NULL,
						 (errcode(ERRCODE_DATA_EXCEPTION),
						  errmsg("sparsevec index out of bounds")));
	if (typmod != -1 && typmod != dim)
		CompatInputError(t->context, NULL,
						 (errcode(ERRCODE_DATA_EXCEPTION),
						  errmsg("expected %d dimensions, not %d", typmod, (int) dim)));

	result = InitSparseVec((int) dim, t->n);
	values = SparseVecValues(result);
	for (int i = 0; i < t->n; i++)
	{
		if (i > 0 && t->elements[i].index == t->elements[i - 1].index)
			CompatInputError(t->context, NULL,
							 (errcode(ERRCODE_DATA_EXCEPTION),
							  errmsg("sparsevec indices must not contain duplicates")));
		result->indices[i] = (int32) (t->elements[i].index - 1);
		values[i] = t->elements[i].value;
	}
	return result;
}

/*
 * sparsevec_in(cstring, oid, integer): "{index:number,...}/dimensions", indices
 * from 1 and in any order, with white space allowed around each part.
 */
PG_FUNCTION_INFO_V1(vectorx_sparsevec_in);
Datum
vectorx_sparsevec_in(PG_FUNCTION_ARGS)
{
	char	   *text = PG_GETARG_CSTRING(0);
	Size		length = strlen(text);
	SparseText	t = {.text = text,.end = text + length,.context = fcinfo->context,.ascending = true};
	int64		dim;
	SparseVec  *result;

	/* an element takes four characters at least; one more place for what is being read */
	t.elements = palloc(sizeof(SparseElement) * (Min(length / 4, SPARSEVEC_MAX_NNZ) + 1));
	if (!parse_text(&t, ElementSkipSpace(text), &dim))
		return (Datum) 0;
	if (!t.ascending)
		qsort(t.elements, t.n, sizeof(SparseElement), compare_elements);
	result = make_value(&t, dim, PG_GETARG_INT32(2));
	pfree(t.elements);
	PG_RETURN_SPARSEVEC_P(result);
}

/*
 * sparsevec_out(sparsevec): the shortest decimals that give the same floats again.
 */
PG_FUNCTION_INFO_V1(vectorx_sparsevec_out);
Datum
vectorx_sparsevec_out(PG_FUNCTION_ARGS)
{
	SparseVec  *v = PG_GETARG_SPARSEVEC_P(0);
	const float *values = SparseVecValues(v);
	char	   *text;
	char	   *p;

	/* index, colon, number and comma each; braces, slash, dimensions and the end */
	text = palloc((Size) v->nnz * (MAXINT8LEN + 2 + FLOAT_SHORTEST_DECIMAL_LEN) + 4 + MAXINT8LEN);
	p = text;
	*p++ = '{';
	for (int i = 0; i < v->nnz; i++)
	{
		if (i > 0)
			*p++ = ',';
		p += pg_lltoa((int64) v->indices[i] + 1, p);
		*p++ = ':';
		p += float_to_shortest_decimal_bufn(values[i], p);
	}
	*p++ = '}';
	*p++ = '/';
	p += pg_lltoa(v->dim, p);
	*p = '\0';
	PG_RETURN_CSTRING(text);
}

/*
 * sparsevec_typmod_in(cstring[]): the number of dimensions.
 */
PG_FUNCTION_INFO_V1(vectorx_sparsevec_typmod_in);
Datum
vectorx_sparsevec_typmod_in(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(ElementTypmodIn(PG_GETARG_ARRAYTYPE_P(0), SPARSEVEC_MAX_DIM, "sparsevec"));
}

/* Raise an error unless a message's indices are as they have to be. */
static void
check_indices(const SparseVec *v)
{
	for (int i = 0; i < v->nnz; i++)
	{
		if (v->indices[i] < 0 || v->indices[i] >= v->dim)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("sparsevec index out of bounds")));
		if (i > 0 && v->indices[i] < v->indices[i - 1])
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("sparsevec indices must be in ascending order")));
		if (i > 0 && v->indices[i] == v->indices[i - 1])
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("sparsevec indices must not contain duplicates")));
	}
}

/*
 * sparsevec_recv(internal, oid, integer): the binary form, which is int32 dim,
 * int32 nnz, int32 zero, then nnz indices, from 0, as int32, and the elements as
 * float4.
 */
PG_FUNCTION_INFO_V1(vectorx_sparsevec_recv);
Datum
vectorx_sparsevec_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	int32		typmod = PG_GETARG_INT32(2);
	int32		dim = (int32) pq_getmsgint(buf, 4);
	int32		nnz = (int32) pq_getmsgint(buf, 4);
	int32		unused = (int32) pq_getmsgint(buf, 4);
	SparseVec  *result;
	float	   *values;

	SparseVecCheckDim(dim);
	SparseVecCheckNnz(nnz);
	if (nnz > dim)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("sparsevec cannot have more elements than dimensions")));
	ElementCheckTypmod(typmod, dim);
	if (unused != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("expected unused to be 0, not %d", unused)));

	/* indices and elements are words of the same size, one array after the other */
	result = InitSparseVec(dim, nnz);
	pq_copymsgbytes(buf, (char *) result->indices, (int) (SPARSEVEC_SIZE(nnz) - SPARSEVEC_SIZE(0)));
	ElementsSwap((char *) result->indices, 2 * nnz, 4);
	check_indices(result);
	values = SparseVecValues(result);
	ElementsCheckFinite(values, nnz, "sparsevec");
	for (int i = 0; i < nnz; i++)
	{
		if (values[i] == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("binary representation of sparsevec cannot contain zero values")));
	}
	PG_RETURN_SPARSEVEC_P(result);
}

/*
 * sparsevec_send(sparsevec): the binary form.
 */
PG_FUNCTION_INFO_V1(vectorx_sparsevec_send);
Datum
vectorx_sparsevec_send(PG_FUNCTION_ARGS)
{
	SparseVec  *v = PG_GETARG_SPARSEVEC_P(0);
	StringInfoData buf;
	int			start;

	pq_begintypsend(&buf);
	pq_sendint32(&buf, v->dim);
	pq_sendint32(&buf, v->nnz);
	pq_sendint32(&buf, 0);
	start = buf.len;
	pq_sendbytes(&buf, (const char *) v->indices, (int) (SPARSEVEC_SIZE(v->nnz) - SPARSEVEC_SIZE(0)));
	ElementsSwap(buf.data + start, 2 * v->nnz, 4);
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}
