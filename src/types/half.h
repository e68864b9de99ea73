/*
 * half.h
 *		Rounding to halves (IEEE binary16) once: by way of a float, which is where the
 *		conversions are, a number is rounded twice.
 *
 * Twice rounded is once rounded, unless the float lies halfway between two halves and
 * the number does not.  Such a float is moved to the side where the number is.
 *
 * Knows nothing of PostgreSQL, as parse_float.h.
 */
#ifndef TYPES_HALF_H
#define TYPES_HALF_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* The greatest half is 65504; from here on numbers are nearer to the next, which there is not. */
#define HALF_MAX		65504.0f
#define HALF_OVERFLOW	65520.0f

/* Below, halves are denormal: multiples of 2^-24. */
#define HALF_MIN_NORMAL	0x1p-14f

/*
 * Is a float halfway between two halves that are next to each other, or between the
 * greatest and what would be next?
 */
static inline bool
VxHalfway(float x)
{
	uint32_t	bits;
	float		units;

	memcpy(&bits, &x, sizeof(bits));
	/* no midpoint has more than 12 significant bits, few other numbers have so few */
	if ((bits & 0xfff) != 0)
		return false;
	x = fabsf(x);
	/* also of NaN, which is no midpoint */
	if (!(x < HALF_MIN_NORMAL))
		return (bits & 0x1fff) == 0x1000 && x <= HALF_OVERFLOW;
	/* odd multiples of 2^-25 */
	units = x * 0x1p25f;
	return units == (float) (int) units && ((int) units & 1) != 0;
}

/* A float halfway between two halves, moved if a number it was rounded from is not there. */
static inline float
VxMoveHalfway(float x, bool nearer_zero, bool farther)
{
	if (nearer_zero)
		return nextafterf(x, 0);
	return farther ? nextafterf(x, x > 0 ? INFINITY : -INFINITY) : x;
}

/* The float that rounds to the half nearest to a number. */
static inline float
VxFloatForHalf(double number)
{
	float		x = (float) number;

	if (VxHalfway(x))
		return VxMoveHalfway(x, fabs(number) < fabsf(x), fabs(number) > fabsf(x));
	return x;
}

/*
 * The same for a number in text, which VxParseFloat has read as x and found
 * halfway.  Of hexadecimal numbers only the first 53 bits count.
 */
extern float VxLeaveHalfway(const char *s, const char *end, float x);

#endif							/* TYPES_HALF_H */
