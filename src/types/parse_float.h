/*
 * parse_float.h
 *		Decimal text to float: the result of strtof, bit for bit, but faster.
 *
 * Knows nothing of PostgreSQL: no server header is included, so that the
 * parser is built and tested on its own (test_parse_float.c).
 */
#ifndef TYPES_PARSE_FLOAT_H
#define TYPES_PARSE_FLOAT_H

#include <stdbool.h>

/*
 * Parse the longest number at the start of "s", as strtof does in the C
 * locale: decimal and hexadecimal numbers, "inf", "infinity" and "nan" in any
 * case, an optional sign.  "end" is the end of the text, and *end must be
 * '\0'; nothing after it is read.  "s" must not start with white space.
 *
 * Returns the first character that is not part of the number, or "s" (and a
 * *value of 0) if there is no number.  *overflow tells that the text was a
 * finite number too large for a float (*value is then an infinity); numbers
 * that are too small become denormal or zero, which is no error.
 *
 * Uses the rounding mode in force, which must be to nearest.  May change
 * errno.
 */
extern const char *VxParseFloat(const char *s, const char *end, float *value,
								bool *overflow);

#endif /* TYPES_PARSE_FLOAT_H */
