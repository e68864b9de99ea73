/*
 * dense_text.h
 *		Text input of vector and halfvec: "[1,2,3]", with white space allowed around
 *		brackets and numbers.
 *
 * The hot path of bulk loading: compiled once for each type, which includes it.
 */
#ifndef TYPES_DENSE_TEXT_H
#define TYPES_DENSE_TEXT_H

#include "postgres.h"

#include "compat.h"
#include "types/dense.h"
#include "types/element.h"
#include "types/half.h"

/*
 * The number at p, as a float, or if "half" as one that rounds to the half nearest to the
 * text.  Returns as ElementRead does.
 */
static pg_attribute_always_inline const char *
read_number(const char *p, const char *end, float *x, bool half, const char *type, Node *context)
{
	const char *stop = ElementRead(p, end, x, type, context);

	if (!half || unlikely(stop == NULL))
		return stop;
	if (unlikely(VxHalfway(*x)))
		*x = VxLeaveHalfway(p, end, *x);
	if (likely(fabsf(*x) < HALF_OVERFLOW))
		return stop;
	ElementReportBad(p, stop, *x, true, type, context);
	return NULL;
}

/*
 * Parse "number, number, ... ]" at p into x, of DENSE_MAX_DIM elements.
 *
 * Returns what follows the bracket, and the number of elements in *ndims.  On
 * error, which is a soft one if context allows that, returns NULL.  "text" is
 * the whole input, for messages.
 */
static pg_attribute_always_inline const char *
parse_elements(const char *text, const char *p, const char *end, float *x,
			   int *ndims, bool half, const char *type, Node *context)
{
	int			dim = 0;

	for (;;)
	{
		const char *stop;

		if (unlikely(dim == DENSE_MAX_DIM))
			CompatInputError(context, NULL,
							 (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
							  errmsg("%s cannot have more than %d dimensions",
									 type, DENSE_MAX_DIM)));

		p = ElementSkipSpace(p);
		stop = read_number(p, end, &x[dim], half, type, context);
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
					  errmsg("invalid input syntax for type %s: \"%s\"",
							 type, text)));
	return NULL;
}

/*
 * Parse a whole text into x, of DENSE_MAX_DIM elements, and return their number; 0 after
 * an error that is a soft one in this context.
 */
static pg_attribute_always_inline int
DenseParse(const char *text, int32 typmod, float *x, bool half, const char *type, Node *context)
{
	const char *end = text + strlen(text);
	const char *p;
	int			dim;

	p = ElementSkipSpace(text);
	if (*p != '[')
		CompatInputError(context, 0,
						 (errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
						  errmsg("invalid input syntax for type %s: \"%s\"",
								 type, text),
						  errdetail("Vector contents must start with \"[\".")));
	p = ElementSkipSpace(p + 1);
	if (*p == ']')
		CompatInputError(context, 0,
						 (errcode(ERRCODE_DATA_EXCEPTION),
						  errmsg("%s must have at least 1 dimension", type)));

	p = parse_elements(text, p, end, x, &dim, half, type, context);
	if (p == NULL)
		return 0;

	p = ElementSkipSpace(p);
	if (*p != '\0')
		CompatInputError(context, 0,
						 (errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
						  errmsg("invalid input syntax for type %s: \"%s\"",
								 type, text),
						  errdetail("Junk after closing right brace.")));
	if (typmod != -1 && typmod != dim)
		CompatInputError(context, 0,
						 (errcode(ERRCODE_DATA_EXCEPTION),
						  errmsg("expected %d dimensions, not %d",
								 typmod, dim)));
	return dim;
}

#endif							/* TYPES_DENSE_TEXT_H */
