/*
 * test_parse_float.c
 *		Stand-alone test of parse_float.c against the C library's strtof.
 *
 *	 test_parse_float [millions of numbers [seed]]
 *	 test_parse_float bench
 *
 * The test compares result (bit for bit), end of the number, and overflow on
 * random texts of several families, and asks on which side numbers at and near each
 * point halfway between two halves are (half.h).  It closes with the line "parse_float:
 * N passed, N failed"; its exit status is 1 if one failed.  The benchmark prints
 * the time per number of both, for texts like a vector's.
 */
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "half.h"
#include "parse_float.h"

#define TEXT_SIZE 512

static uint64_t random_state;
static long passed;
static long failed;

/* splitmix64 */
static uint64_t
random_bits(void)
{
	uint64_t z = (random_state += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

/* An integer from low to high. */
static int
random_int(int low, int high)
{
	return low + (int) (random_bits() % (uint64_t) (high - low + 1));
}

static float
float_of_bits(uint32_t bits)
{
	float f;

	memcpy(&f, &bits, sizeof(f));
	return f;
}

static uint32_t
bits_of_float(float f)
{
	uint32_t bits;

	memcpy(&bits, &f, sizeof(bits));
	return bits;
}

/*
 * Compare on one text, which is copied into memory of just its size so that a
 * sanitizer finds any access past its end.
 */
static void
check(const char *text)
{
	size_t len = strlen(text);
	char *copy = malloc(len + 1);
	char *expected_end;
	const char *end;
	float expected;
	float value = 42;
	bool overflow = false;
	bool expected_overflow;

	if (copy == NULL)
		abort();
	memcpy(copy, text, len + 1);

	errno = 0;
	expected = strtof(copy, &expected_end);
	expected_overflow = errno == ERANGE && isinf(expected);
	end = VxParseFloat(copy, copy + len, &value, &overflow);

	if (end == expected_end && overflow == expected_overflow &&
		(isnan(expected) ? isnan(value) != 0 : bits_of_float(value) == bits_of_float(expected)))
		passed++;
	else
	{
		if (failed < 20)
			printf("\"%s\": %a, %d characters, overflow %d; expected %a, %d, %d\n",
				   text, (double) value, (int) (end - copy), overflow,
				   (double) expected, (int) (expected_end - copy),
				   expected_overflow);
		failed++;
	}
	free(copy);
}

/* Digits of any number and length, a point anywhere or none, any exponent. */
static void
check_digits(void)
{
	char text[TEXT_SIZE];
	char *p = text;
	int ndigits = random_int(1, 40);
	int point = random_int(-1, ndigits);
	int zeros = random_int(0, 3) == 0 ? random_int(0, 30) : 0;

	if (random_int(0, 2) == 0)
		*p++ = random_int(0, 1) ? '-' : '+';
	for (int i = 0; i < ndigits; i++)
	{
		if (i == point)
			*p++ = '.';
		*p++ = (char) ('0' + (i < zeros ? 0 : random_int(0, 9)));
	}
	if (point == ndigits)
		*p++ = '.';
	*p = '\0';
	if (random_int(0, 1))
		sprintf(p, "%c%s%0*d", random_int(0, 1) ? 'e' : 'E',
				random_int(0, 1) ? "+" : "", random_int(1, 4),
				random_int(-75, 50));
	/* "e+-5" comes up too, where the number ends before the e */
	check(text);
}

/* Numbers as programs write them. */
static void
check_printed(void)
{
	char text[TEXT_SIZE];
	float f = float_of_bits((uint32_t) random_bits());
	double d;
	uint64_t bits;

	if (!isfinite(f))
		return;
	switch (random_int(0, 3))
	{
		case 0:
			snprintf(text, sizeof(text), "%.*g", random_int(1, 12), (double) f);
			break;
		case 1:
			/* as an element of an embedding */
			snprintf(text, sizeof(text), "%.*f,", random_int(0, 20),
					 (double) random_int(-1000000000, 1000000000) / 4e9);
			break;
		case 2:
			/* a double within float's range, and a little more */
			bits = (random_bits() & UINT64_C(0x800FFFFFFFFFFFFF)) |
				   ((uint64_t) random_int(1023 - 152, 1023 + 129) << 52);
			memcpy(&d, &bits, sizeof(d));
			snprintf(text, sizeof(text), "%.17g", d);
			break;
		default:
			/* any value exactly */
			snprintf(text, sizeof(text), "%.*e", random_int(8, 120), (double) f);
			break;
	}
	check(text);
}

/*
 * Around the midpoint of two adjacent floats, denormals and the greatest
 * finite one included: its decimal expansion, which is exact as a double and
 * printed in full; cut off; with one digit more or less; and the same for
 * doubles a few ulp beside it.
 */
static void
check_midpoint(uint32_t float_bits)
{
	char text[TEXT_SIZE];
	double below = (double) float_of_bits(float_bits);
	double above = (float_bits == 0x7F7FFFFF) ? 0x1p128 : (double) float_of_bits(float_bits + 1);
	double d = below + (above - below) / 2;
	char *exponent;
	char tail[16];
	int digits;
	int beside = random_int(-6, 6);

	while (beside > 0 && beside--)
		d = nextafter(d, INFINITY);
	while (beside < 0 && beside++)
		d = nextafter(d, 0);

	/* 25 + 149 binary digits after the point at most: 175 decimal ones */
	snprintf(text, sizeof(text), "%.180e", d);
	exponent = strchr(text, 'e');
	strcpy(tail, exponent);
	check(text);

	/* cut after some digits, and the last one changed */
	digits = random_int(1, 60);
	strcpy(text + 2 + digits, tail);
	check(text);
	if (text[1 + digits] < '9')
		text[1 + digits]++;
	check(text);
	text[1 + digits] = (char) ('0' + random_int(0, 9));
	check(text);

	/* something that is not zero far behind */
	snprintf(text, sizeof(text), "%.180e", d);
	digits = random_int(60, 179);
	text[digits] = '1';
	check(text);
	snprintf(text, sizeof(text), "%.17g", d);
	check(text);

	/* moved by the exponent: 0.00ddd, ddd000.0 */
	if (fabs(d) > 1e-30 && fabs(d) < 1e30)
	{
		snprintf(text, sizeof(text), "%.*f", random_int(0, 80), d);
		check(text);
	}
}

static void
check_midpoints(void)
{
	switch (random_int(0, 3))
	{
		case 0:
			/* denormal or just above */
			check_midpoint((uint32_t) (random_bits() & 0x00FFFFFF) >> random_int(0, 23));
			break;
		case 1:
			/* up to 64 below the greatest */
			check_midpoint(0x7F7FFFFF - (uint32_t) random_int(0, 64));
			break;
		case 2:
			/* at a power of two */
			check_midpoint(((uint32_t) random_int(1, 254) << 23) - (uint32_t) random_int(0, 2));
			break;
		default:
			check_midpoint((uint32_t) (random_bits() % 0x7F800000));
			break;
	}
}

/* Characters that occur in numbers, in any order. */
static void
check_noise(void)
{
	static const char alphabet[] = "0123456789012345678900..--++eEeExXpPaAbBfFinNtTyY(), ]";
	char text[TEXT_SIZE];
	int len = random_int(0, 14);

	for (int i = 0; i < len; i++)
		text[i] = alphabet[random_int(0, (int) sizeof(alphabet) - 2)];
	text[len] = '\0';
	if (text[0] != ' ')
		check(text);
}

/*
 * A text whose number lies exactly where "side" says of the point halfway between two
 * halves: below (-1), there, or above it.
 */
static void
check_half(const char *text, double halfway, int side)
{
	size_t len = strlen(text);
	float value = 0;
	bool overflow;
	const char *end = VxParseFloat(text, text + len, &value, &overflow);
	double at;

	if (VxHalfway(value))
		value = VxLeaveHalfway(text, text + len, value);
	at = fabs((double) value);
	if (end == text + len && !overflow && (at > halfway) - (at < halfway) == side &&
		(signbit(value) != 0) == (*text == '-'))
		passed++;
	else
	{
		if (failed < 20)
			printf("\"%s\": %a is on the wrong side of %a, should be %d\n", text, (double) value,
				   halfway, side);
		failed++;
	}
}

/* The value of a half that is not negative; the one behind the greatest is 65536. */
static double
half_value(int half)
{
	if (half >> 10 == 0)
		return half * 0x1p-24;
	return ldexp(1024 + (half & 1023), (half >> 10) - 25);
}

/* Between two halves next to each other: the digits in full, and others near them. */
static void
check_between_halves(int half)
{
	double below = half_value(half);
	double above = half_value(half + 1);
	double halfway = below + (above - below) / 2;
	char text[TEXT_SIZE];
	int digits;

	if (!VxHalfway((float) halfway) || !VxHalfway((float) -halfway) || VxHalfway((float) below) ||
		VxHalfway(nextafterf((float) halfway, 0)) || VxHalfway(nextafterf((float) halfway, 1e9f)) ||
		(double) VxFloatForHalf(halfway) != halfway ||
		(double) VxFloatForHalf(nextafter(halfway, 0)) >= halfway ||
		(double) VxFloatForHalf(-nextafter(halfway, 1e9)) >= -halfway)
	{
		printf("half %#x: %a is halfway\n", (unsigned) half, halfway);
		failed++;
	}
	/* 25 decimals are all there are */
	snprintf(text, sizeof(text), "%s%.*f", half % 3 ? "" : "-", random_int(25, 90), halfway);
	check_half(text, halfway, 0);
	digits = (int) strlen(text);
	sprintf(text + digits, "%s1%s", half % 5 ? "" : "00000000", half % 7 ? "" : "e0");
	check_half(text, halfway, 1);
	/* with an exponent; then the last digit that is not zero one less, and nines */
	snprintf(text, sizeof(text), "%.70e", halfway);
	check_half(text, halfway, 0);
	digits = (int) (strchr(text, 'e') - text);
	text[digits - 1] = '1';
	check_half(text, halfway, 1);
	text[digits - 1] = '0';
	for (digits--; text[digits] == '0' || text[digits] == '.'; digits--)
	{
		if (text[digits] == '0')
			text[digits] = '9';
	}
	text[digits]--;
	check_half(text, halfway, -1);
}

static void
check_halves(void)
{
	for (int half = 0; half < 0x7C00; half++)
		check_between_halves(half);
	check_half("65519.99999999999999999999999999999", 65520, -1);
	check_half("65520", 65520, 0);
	check_half("65520.0000000000000000000000000000001", 65520, 1);
	check_half("0.0000000298023223876953125", 0x1p-25, 0);
	check_half(".00000002980232238769531249999999999999", 0x1p-25, -1);
	check_half("2980232238769531250000001e-32", 0x1p-25, 1);
	check_half("000000000000000000000000000000298023223876953125e-25", 0x1p-25, 0);
	check_half("0x1p-25", 0x1p-25, 0);
	check_half("0x1.0000000001p-25", 0x1p-25, 1);
}

static void
check_fixed(void)
{
	static const char *const texts[] = {
		"", "0", "-0", "+0", "0.", ".0", ".", "-", "+", "-.", "e5", ".e5",
		"1e", "1e+", "1e-", "1e5", "1e+5", "1e-5", "1E5", "1e+-5", "1.5.5",
		"00000000000000000000000000000000000001", "0x", "0x1p3", "0X1.8P-3",
		"-0x.8p1", "0x1p200", "0x1p-149", "0x1p-150", "inf", "-inf",
		"Infinity", "infinit", "nan", "NaN", "-nan", "nan(1)", "nan(",
		"3.4028234e38", "3.4028235e38", "3.4028236e38", "4e38", "-4e38",
		"340282346638528859811704183484516925440",
		"340282356779733661637539395458142568447",
		"340282356779733661637539395458142568448", "1e39", "1e400", "1e99999",
		"1e999999999999999999999", "1e-999999999999999999999", "0e99999",
		"0e999999999999999999999", "1.17549435e-38", "1.1754942e-38", "1e-38",
		"1.4e-45", "1e-45", "7.006492321624085e-46", "7.006492321624086e-46",
		"1e-46", "-1e-46", "1e-400", "16777216", "16777217", "16777218",
		"16777219", "33554434.0000000000000000000000000000000000000001",
		"9007199254740993", "9223372036854775807", "9223372036854775808",
		"18446744073709551615", "18446744073709551616",
		"999999999999999999", "1000000000000000000", "9999999999999999999",
		"12345678", "123456789", "1234567", "1,2", "1]", "1 ", "12345678]",
		"1234567.12345678,", "0.1", "0.5", "1.0000000596046448",
		"1.00000005960464477539062500", "1.000000059604644775390625000000001"
	};
	char text[TEXT_SIZE];
	char *big;
	size_t zeros = 100000;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		check(texts[i]);

	for (int e = -420; e <= 420; e++)
	{
		for (int digit = 1; digit <= 9; digit++)
		{
			snprintf(text, sizeof(text), "%de%d", digit, e);
			check(text);
			snprintf(text, sizeof(text), "%d.%d5e%d", digit, 9 - digit, e);
			check(text);
		}
	}

	/* exponents that only undo the digits' position */
	big = malloc(zeros + 64);
	if (big == NULL)
		abort();
	big[0] = '0';
	big[1] = '.';
	memset(big + 2, '0', zeros);
	sprintf(big + 2 + zeros, "123456e%d", (int) zeros + 3);
	check(big);
	big[0] = '7';
	memset(big + 1, '0', zeros);
	sprintf(big + 1 + zeros, "e-%d", (int) zeros - 2);
	check(big);
	free(big);
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec * 1e9 + (double) t.tv_nsec;
}

/*
 * Time per number of both parsers on "count" numbers separated by commas; the
 * runs take turns, and the fastest of each counts.
 */
static void
bench_format(const char *name, const char *format, int form)
{
	enum
	{
		COUNT = 1536,
		VECTORS = 200,
		ROUNDS = 9
	};
	static float values[COUNT];
	char *texts = malloc((size_t) VECTORS * COUNT * 40);
	char *p = texts;
	double best[2] = { 1e30, 1e30 };
	float sink = 0;

	if (texts == NULL)
		abort();
	for (int i = 0; i < VECTORS * COUNT; i++)
	{
		double d = ((double) (random_bits() >> 11) / 0x1p53 - 0.5) * 0.2;

		if (form == 1)
			p += sprintf(p, "%d", random_int(0, 255));
		else
			p += sprintf(p, format, form == 2 ? d : (double) (float) d);
		*p++ = ',';
	}
	*p = '\0';

	for (int round = 0; round < ROUNDS; round++)
	{
		for (int which = 0; which < 2; which++)
		{
			double start = now();
			const char *q = texts;

			for (int i = 0; i < VECTORS * COUNT; i++)
			{
				if (which == 0)
				{
					char *stop;

					values[i % COUNT] = strtof(q, &stop);
					q = stop + 1;
				}
				else
				{
					bool overflow;

					q = VxParseFloat(q, p, &values[i % COUNT], &overflow) + 1;
				}
			}
			start = now() - start;
			if (start < best[which])
				best[which] = start;
			sink += values[7];
		}
	}
	printf("%-24s strtof %6.1f ns, parse_float %5.1f ns, ratio %.1f%s\n", name,
		   best[0] / (VECTORS * COUNT), best[1] / (VECTORS * COUNT),
		   best[0] / best[1], sink == 12345 ? "!" : "");
	free(texts);
}

int
main(int argc, char **argv)
{
	long count;

	random_state = 1;
	if (argc > 1 && strcmp(argv[1], "bench") == 0)
	{
		bench_format("float, 9 digits", "%.9g", 0);
		bench_format("float, 8 decimals", "%.8f", 0);
		bench_format("double, 17 digits", "%.17g", 2);
		bench_format("small integers", NULL, 1);
		return 0;
	}

	count = (argc > 1 ? atol(argv[1]) : 12) * 1000000;
	if (argc > 2)
		random_state = strtoull(argv[2], NULL, 10);

	check_fixed();
	check_halves();
	while (passed + failed < count)
	{
		check_digits();
		check_digits();
		check_printed();
		check_printed();
		check_midpoints();
		check_noise();
	}

	printf("parse_float: %ld passed, %ld failed\n", passed, failed);
	return failed > 0;
}
