/*
 * element.h
 *		What the types of vectors share: numbers in text, arrays and messages,
 *		and the checks of them.
 *
 * "type" is the name of the SQL type, for messages.
 */
#ifndef TYPES_ELEMENT_H
#define TYPES_ELEMENT_H

#include "postgres.h"

#include <math.h>

#include "compat.h"
#include "types/parse_float.h"
#include "utils/array.h"

/* White space of the text formats, whatever the locale. */
static inline bool
ElementIsSpace(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static inline const char *
ElementSkipSpace(const char *p)
{
	while (ElementIsSpace(*p))
		p++;
	return p;
}

/*
 * Raise the error of a number in [p, stop) that is not an element: too large
 * for a float, or NaN, or infinite.
 */
extern void ElementReportBad(const char *p, const char *stop, float x, bool overflow,
							 const char *type, Node *context);

/*
 * Read the number at p, where no white space is, into *x, which is then finite.
 * "end" is where the text's final zero is.  Returns what follows the number; p if there is
 * none; NULL after an error that is a soft one in this context.
 */
static inline const char *
ElementRead(const char *p, const char *end, float *x, const char *type, Node *context)
{
	bool		overflow;
	const char *stop = VxParseFloat(p, end, x, &overflow);

	if (likely(isfinite(*x)))
		return stop;
	ElementReportBad(p, stop, *x, overflow, type, context);
	return NULL;
}

/* Raise an error if typmod demands another number of dimensions (-1: none). */
extern void ElementCheckTypmod(int32 typmod, int dim);

/* The number of dimensions, 1 to most, of a type modifier. */
extern int32 ElementTypmodIn(ArrayType *modifiers, int most, const char *type);

/* Is one of n numbers NaN or infinite? */
extern bool ElementsHaveNonFinite(const float *x, int n);

/* Raise an error if one is. */
extern void ElementsCheckFinite(const float *x, int n, const char *type);

/* Turn n words of 2 or 4 bytes, of any alignment, from network byte order or to it. */
extern void ElementsSwap(void *words, int n, int width);

/* The sum of the squares of n numbers, in double precision; its root, the Euclidean norm. */
extern double ElementsSumSquares(const float *x, int n);
extern double ElementsNorm(const float *x, int n);

/* The number of an array's elements; an error if it has nulls or more dimensions than one. */
extern int	ElementsOfArray(ArrayType *array);

/* Those elements, which are n, as floats; those too large become infinities. */
extern void ElementsFromArray(ArrayType *array, int n, float *x);

/* ---- comparisons as functions of SQL, by the file's compare_args(fcinfo): <0, 0 or >0 ---- */

#define ELEMENTS_COMPARISON(function, result) \
PG_FUNCTION_INFO_V1(function); \
Datum \
function(PG_FUNCTION_ARGS) \
{ \
	result; \
}

/* vectorx_TYPE_lt to _gt, and _cmp. */
#define ELEMENTS_COMPARISONS(type) \
ELEMENTS_COMPARISON(vectorx_##type##_lt, PG_RETURN_BOOL(compare_args(fcinfo) < 0)) \
ELEMENTS_COMPARISON(vectorx_##type##_le, PG_RETURN_BOOL(compare_args(fcinfo) <= 0)) \
ELEMENTS_COMPARISON(vectorx_##type##_eq, PG_RETURN_BOOL(compare_args(fcinfo) == 0)) \
ELEMENTS_COMPARISON(vectorx_##type##_ne, PG_RETURN_BOOL(compare_args(fcinfo) != 0)) \
ELEMENTS_COMPARISON(vectorx_##type##_ge, PG_RETURN_BOOL(compare_args(fcinfo) >= 0)) \
ELEMENTS_COMPARISON(vectorx_##type##_gt, PG_RETURN_BOOL(compare_args(fcinfo) > 0)) \
ELEMENTS_COMPARISON(vectorx_##type##_cmp, PG_RETURN_INT32(compare_args(fcinfo)))

#endif							/* TYPES_ELEMENT_H */
