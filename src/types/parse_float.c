/*
 * parse_float.c
 *		Decimal text to float: the result of strtof, bit for bit, but faster.
 *
 * Collects the decimal number as w * 10^k, computes that product in double
 * arithmetic, and rounds to float wherever the error of the double cannot
 * change the result.  Everything else, which is rare, is left to strtof.
 * Includes no server header and allocates nothing.
 *
 * Why the result is exact.  Let x be the number the text stands for.
 *
 * - w is the number's significant digits, at most MAX_DIGITS = 18 of them,
 *   so w < 10^18 < 2^63.  If digits were dropped, w >= 10^17, and x lies in
 *   [w, w + 1) * 10^k: a relative error of at most 10^-17, less than
 *   0.1 * 2^-53.
 * - Conversion of w to double, the table's 10^k, and the product are three
 *   roundings to nearest, none of which is near the ends of double's range
 *   (w is 1..10^18, k is -64..38): each contributes a relative error of at
 *   most 2^-53.
 *
 * So the product r has a relative error below 3.2 * 2^-53.  With r in
 * [2^e, 2^(e+1)) the spacing of doubles ("ulp") is 2^(e-52), hence
 * |r - x| < 3.2 * 2^-53 * 2^(e+1) = 3.2 ulp, up to a factor of 1 + 2^-50.
 *
 * Rounding to float changes only at midpoints of adjacent floats.  While the
 * float is normal, it keeps the upper 23 of the 52 mantissa bits, so the
 * midpoints are the doubles whose lower 29 bits are 1 followed by zeros.  If r
 * is more than MARGIN = 4 ulp away from each of them, none lies between r and
 * x or on either, so x and r round to the same float.  (That x may be in the
 * binade below r's does not matter: a power of two is a float, and the next
 * midpoint below it is 2^27 ulp away.)  The test is made on the lower 29 bits
 * of r; it sends 9 in 2^29 random numbers to strtof.
 *
 * Floats are normal, and stay finite after rounding, for r in
 * [2^-126, 2^127); the range accepted starts at 2^-125 to leave the lower
 * border a distance.  A register wider than double (x87) makes the product
 * more exact before it is stored; rounding it twice adds less than an ulp /
 * 2^10 to the bound.
 */
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "half.h"
#include "parse_float.h"

/* Significant digits kept. */
#define MAX_DIGITS 18

/* Powers of ten in the table. */
#define MIN_POWER (-64)
#define MAX_POWER 38

/* Lower bits of a double that a normal float has no room for. */
#define LOW_MASK UINT64_C(0x1FFFFFFF)
#define LOW_HALF UINT64_C(0x10000000)
#define MARGIN 4

/*
 * Exponents are not accumulated beyond this, which is more than the number of
 * digits a text in memory can move the point by.
 */
#define EXPONENT_CAP INT64_C(1000000000000)

/* Each the nearest double, as the compiler rounds literals correctly. */
static const double powers[MAX_POWER - MIN_POWER + 1] = {
	1e-64, 1e-63, 1e-62, 1e-61, 1e-60, 1e-59, 1e-58, 1e-57, 1e-56, 1e-55,
	1e-54, 1e-53, 1e-52, 1e-51, 1e-50, 1e-49, 1e-48, 1e-47, 1e-46, 1e-45,
	1e-44, 1e-43, 1e-42, 1e-41, 1e-40, 1e-39, 1e-38, 1e-37, 1e-36, 1e-35,
	1e-34, 1e-33, 1e-32, 1e-31, 1e-30, 1e-29, 1e-28, 1e-27, 1e-26, 1e-25,
	1e-24, 1e-23, 1e-22, 1e-21, 1e-20, 1e-19, 1e-18, 1e-17, 1e-16, 1e-15,
	1e-14, 1e-13, 1e-12, 1e-11, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5,
	1e-4, 1e-3, 1e-2, 1e-1, 1e0, 1e1, 1e2, 1e3, 1e4, 1e5,
	1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
	1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22, 1e23, 1e24, 1e25,
	1e26, 1e27, 1e28, 1e29, 1e30, 1e31, 1e32, 1e33, 1e34, 1e35,
	1e36, 1e37, 1e38
};

static inline bool
is_digit(char c)
{
	return (unsigned char) (c - '0') < 10;
}

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__

static const uint64_t small_powers[8] = {
	1, 10, 100, 1000, 10000, 100000, 1000000, 10000000
};

/*
 * The value of eight decimal digits, one per byte, the first in the lowest
 * byte: pairs, then two sums of two pairs each in the upper half of a product.
 */
static inline uint64_t
eight_digits(uint64_t t)
{
	const uint64_t mask = UINT64_C(0x000000FF000000FF);
	const uint64_t mul1 = UINT64_C(0x000F424000000064); /* 100, 10^6 */
	const uint64_t mul2 = UINT64_C(0x0000271000000001); /* 1, 10^4 */

	t = t * 10 + (t >> 8);
	return ((t & mask) * mul1 + ((t >> 16) & mask) * mul2) >> 32;
}

/*
 * Append the digits at p to *w (modulo 2^64, which the caller copes with) and
 * return the first character that is not a digit.
 */
static inline const char *
scan_digits(const char *p, const char *end, uint64_t *w)
{
	while (end - p >= 8)
	{
		uint64_t t;
		uint64_t others;
		int n;

		memcpy(&t, p, 8);
		t ^= UINT64_C(0x3030303030303030);

		/*
		 * The top bit of each byte that is not 0..9.  A carry out of a byte
		 * can only come from such a byte, so all up to the first are right.
		 */
		others = ((t + UINT64_C(0x7676767676767676)) | t) &
				 UINT64_C(0x8080808080808080);
		if (others == 0)
		{
			*w = *w * 100000000 + eight_digits(t);
			p += 8;
			continue;
		}

		/* no branch for n = 0, which is as likely as any: two shifts clear t */
		n = __builtin_ctzll(others) >> 3;
		*w = *w * small_powers[n] + eight_digits((t << 8) << (56 - 8 * n));
		return p + n;
	}
	for (; is_digit(*p); p++)
		*w = *w * 10 + (uint64_t) (*p - '0');
	return p;
}

#else

static inline const char *
scan_digits(const char *p, const char *end, uint64_t *w)
{
	(void) end;
	for (; is_digit(*p); p++)
		*w = *w * 10 + (uint64_t) (*p - '0');
	return p;
}

#endif

/*
 * For a number with more than MAX_DIGITS digits in [p, end), which may hold
 * one point: unless the surplus is leading zeros, replace *w by the first
 * MAX_DIGITS significant digits.  Returns the number of digits dropped.
 */
static int64_t
limit_digits(const char *p, const char *end, int64_t ndigits, uint64_t *w)
{
	int kept;
	uint64_t acc = 0;

	for (; p < end && (*p == '0' || *p == '.'); p++)
	{
		if (*p == '0')
			ndigits--;
	}
	if (ndigits <= MAX_DIGITS)
		return 0;

	for (kept = 0; kept < MAX_DIGITS; p++)
	{
		if (*p == '.')
			continue;
		acc = acc * 10 + (uint64_t) (*p - '0');
		kept++;
	}
	*w = acc;
	return ndigits - MAX_DIGITS;
}

/*
 * An exponent at p, which is at an 'e' or 'E'.  Without digits it does not
 * belong to the number.
 */
static const char *
scan_exponent(const char *p, int64_t *exponent)
{
	const char *q = p + 1;
	bool negative = *q == '-';
	int64_t e = 0;

	if (*q == '-' || *q == '+')
		q++;
	if (!is_digit(*q))
		return p;
	for (; is_digit(*q); q++)
	{
		if (e < EXPONENT_CAP)
			e = e * 10 + (*q - '0');
	}
	*exponent += negative ? -e : e;
	return q;
}

static const char *
parse_slowly(const char *s, float *value, bool *overflow)
{
	char *stop;

	errno = 0;
	*value = strtof(s, &stop);
	*overflow = errno == ERANGE && isinf(*value);
	return stop;
}

/*
 * A positive f, negated if sign is 1.  A branch on the sign could not be predicted.
 */
static inline float
with_sign(float f, uint32_t sign)
{
	uint32_t bits;

	memcpy(&bits, &f, sizeof(bits));
	bits |= sign << 31;
	memcpy(&f, &bits, sizeof(f));
	return f;
}

const char *
VxParseFloat(const char *s, const char *end, float *value, bool *overflow)
{
	const char *p = s;
	const char *digits;
	uint32_t sign = *p == '-';
	uint64_t w = 0;
	int64_t ndigits;
	int64_t exponent = 0;
	double r;
	uint64_t bits;

	p += (*p == '-') | (*p == '+');

	/* the usual "0." needs no scan, and its zero no place among the digits */
	if (*p == '0' && p[1] == '.')
		p++;
	digits = p;
	p = scan_digits(p, end, &w);
	ndigits = p - digits;
	if (*p == '.')
	{
		const char *fraction = p + 1;

		p = scan_digits(fraction, end, &w);
		exponent = fraction - p;
		ndigits -= exponent;
	}
	else if (*p == 'x' || *p == 'X')
		return parse_slowly(s, value, overflow);
	if (ndigits == 0)
		return parse_slowly(s, value, overflow);
	if (ndigits > MAX_DIGITS)
		exponent += limit_digits(digits, p, ndigits, &w);
	if (*p == 'e' || *p == 'E')
		p = scan_exponent(p, &exponent);

	if (w == 0)
	{
		*value = with_sign(0, sign);
		*overflow = false;
		return p;
	}
	if (exponent < MIN_POWER || exponent > MAX_POWER)
		return parse_slowly(s, value, overflow);

	r = (double) (int64_t) w * powers[exponent - MIN_POWER];
	if (!(r >= 0x1p-125 && r < 0x1p127))
		return parse_slowly(s, value, overflow);
	memcpy(&bits, &r, sizeof(bits));
	if ((bits & LOW_MASK) - (LOW_HALF - MARGIN) <= 2 * MARGIN)
		return parse_slowly(s, value, overflow);

	*value = with_sign((float) r, sign);
	*overflow = false;
	return p;
}

/*
 * The digits of a decimal number in [p, end), which may hold one point, against a
 * positive x below 2^17 that is a multiple of 2^-25: -1, 0 or 1 as the number is less,
 * equal or greater.  position: the power of ten of the first digit.  Digit by digit:
 * those of x end at the 25th place, at most.
 */
static int
compare_digits(const char *p, const char *end, int64_t position, double x)
{
	uint32_t whole = (uint32_t) x;
	uint32_t rest = (uint32_t) ((x - whole) * 0x1p25);
	uint64_t number = 0;

	for (; position >= 0; position--)
	{
		if (p < end && *p == '.')
			p++;
		if (p == end && number == 0)
			break;
		number = number * 10 + (p < end ? (uint64_t) (*p++ - '0') : 0);
		if (number > whole)
			return 1;
	}
	if (number < whole)
		return -1;
	for (int64_t place = -1; rest != 0; place--)
	{
		uint32_t digit = 0;

		rest *= 10;
		if (p < end && *p == '.')
			p++;
		if (p < end && place <= position)
			digit = (uint32_t) (*p++ - '0');
		if (digit != rest >> 25)
			return digit < rest >> 25 ? -1 : 1;
		rest &= 0x1FFFFFF;
	}
	for (; p < end; p++)
	{
		if (*p != '0' && *p != '.')
			return 1;
	}
	return 0;
}

float
VxLeaveHalfway(const char *s, const char *end, float x)
{
	const char *p = s + (*s == '-' || *s == '+');
	const char *digits = p;
	uint64_t w = 0;
	int64_t position;
	int64_t exponent = 0;
	int side;

	p = scan_digits(p, end, &w);
	position = p - digits - 1;
	if (*p == 'x' || *p == 'X')
	{
		double number = fabs(strtod(s, NULL));

		side = (number > fabsf(x)) - (number < fabsf(x));
	}
	else
	{
		const char *stop;

		if (*p == '.')
			p = scan_digits(p + 1, end, &w);
		stop = p;
		if (*p == 'e' || *p == 'E')
			(void) scan_exponent(p, &exponent);
		side = compare_digits(digits, stop, position + exponent, fabsf(x));
	}
	return VxMoveHalfway(x, side < 0, side > 0);
}
