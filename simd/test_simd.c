/*
 * test_simd.c
 *		Every kernel of every level this processor can run, against plain C and
 *		against naive sums in double.
 *
 * Inputs end at a page nobody may read, and outputs are followed by bytes that
 * must stay as they are, so that one element too many is caught.  A level that
 * cannot run is named as not run.  Exit status 1 on any failure.
 *
 * The AVX-512 level is tested twice where the processor has VNNI or VBMI: as
 * dispatched, and as a processor without them would run it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernels.h"

#define MAX_N		16000
#define MAX_CODE	(VX_CODE_BYTES(MAX_N, 4))
#define OUT_GUARD	64

static long passed;
static long failed;
static const char *level_name;
static const VxKernels *generic;

#define CHECK(condition, ...) \
	do { \
		if (condition) \
			passed++; \
		else if (++failed <= 40) \
		{ \
			printf("FAILED %s %s:%d: ", level_name, __func__, __LINE__); \
			printf(__VA_ARGS__); \
			printf("\n"); \
		} \
	} while (0)

/*
 * Memory that ends at a guard page
 */
typedef struct Guarded
{
	uint8_t    *end;			/* first byte of the guard page */
} Guarded;

static Guarded
guarded_create(size_t size)
{
	size_t		page = (size_t) sysconf(_SC_PAGESIZE);
	size_t		pages = (size + page - 1) / page;
	uint8_t    *base = mmap(NULL, (pages + 1) * page, PROT_READ | PROT_WRITE,
							MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	Guarded		result;

	if (base == MAP_FAILED || mprotect(base + pages * page, page, PROT_NONE) != 0)
	{
		perror("mmap");
		exit(2);
	}
	result.end = base + pages * page;
	return result;
}

static Guarded guard[6];

/* Copy of an input whose last byte is the last one readable. */
static const void *
at_end(int which, const void *data, size_t size)
{
	uint8_t    *p = guard[which].end - size;

	if (size > 0)
		memcpy(p, data, size);
	return p;
}

/* Room for an output that ends at the guard page, filled with a pattern. */
static void *
out_at_end(int which, size_t size)
{
	uint8_t    *p = guard[which].end - size;

	memset(p - OUT_GUARD, 0xA5, size + OUT_GUARD);
	return p;
}

static int
front_untouched(const void *out)
{
	const uint8_t *p = (const uint8_t *) out - OUT_GUARD;

	for (int i = 0; i < OUT_GUARD; i++)
	{
		if (p[i] != 0xA5)
			return 0;
	}
	return 1;
}

/*
 * Random data
 */
static uint64_t random_state = 12345;

static uint64_t
random_bits(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state * UINT64_C(0x2545F4914F6CDD1D);
}

static double
random_unit(void)
{
	return ((double) (random_bits() >> 11) + 0.5) / 9007199254740992.0;
}

static float
random_normal(void)
{
	return (float) (sqrt(-2.0 * log(random_unit())) * cos(6.283185307179586 * random_unit()));
}

/* Kinds of input vector. */
enum
{
	DATA_NORMAL,
	DATA_OFFSET,				/* far from zero */
	DATA_CONSTANT,
	DATA_ZERO,
	DATA_NEGATIVE_ZERO,
	DATA_TINY,					/* near and below the least normal number */
	DATA_HUGE,					/* squares overflow */
	DATA_SPIKE,					/* one large element */
	DATA_KINDS
};

static const char *const kind_names[DATA_KINDS] = {
	"normal", "offset", "constant", "zero", "negative zero", "tiny", "huge", "spike"
};

static void
fill(float *v, int n, int kind)
{
	float		constant = random_normal();

	for (int i = 0; i < n; i++)
	{
		float		x = random_normal();

		switch (kind)
		{
			case DATA_NORMAL:
				break;
			case DATA_OFFSET:
				x += 100.0f;
				break;
			case DATA_CONSTANT:
				x = constant;
				break;
			case DATA_ZERO:
				x = 0.0f;
				break;
			case DATA_NEGATIVE_ZERO:
				x = i % 3 ? -0.0f : 0.0f;
				break;
			case DATA_TINY:
				x *= i % 2 ? 1e-38f : 1e-44f;
				break;
			case DATA_HUGE:
				x = x > 0 ? 1e25f + x * 1e24f : -1e25f + x * 1e24f;
				break;
			case DATA_SPIKE:
				x = i == n / 2 ? 1000.0f : x * 0.01f;
				break;
		}
		v[i] = x;
	}
}

/*
 * Comparison of a float sum with the exact value.  "terms" is the sum of the
 * absolute values of what was added.  Beyond the range of float both must be
 * infinite; between, either may be.
 */
static int
close_enough(float x, double exact, double terms, double relative)
{
	if (terms > 3.5e38)
		return isinf(x) || isnan(x) || fabs((double) x - exact) <= terms * relative;
	if (isinf(x) || isnan(x))
		return terms > 3.3e38;
	return fabs((double) x - exact) <= terms * relative + 1e-37;
}

static float a[MAX_N + 16];
static float b[MAX_N + 16];
static float work1[MAX_N + 16];
static float work2[MAX_N + 16];
static uint16_t half_a[MAX_N + 16];
static int8_t code_a[MAX_N + 16];
static int8_t code_b[MAX_N + 16];
static int16_t word_a[MAX_N + 16];

typedef struct Sum
{
	double		value;
	double		terms;
} Sum;

static void
sum_add(Sum *sum, double x)
{
	sum->value += x;
	sum->terms += fabs(x);
}

/*
 * Plain C adds n / 8 terms one after the other, each sum rounded by at most
 * 2^-24 of it: 7.5e-9 n of the absolute terms.  The rest is the terms' own.
 */
static double
tolerance(int n)
{
	return 1e-6 + 7.5e-9 * n;
}

#define CHECK_SUM(call, sum, what) \
	do { \
		float		result_ = (call); \
		CHECK(close_enough(result_, (sum).value, (sum).terms, tolerance(n)), \
			  "%s n=%d %s: %g, should be %g", what, n, kind_names[kind], \
			  (double) result_, (sum).value); \
	} while (0)

static void
test_distances(const VxKernels *k, int n, int kind)
{
	const float *x = at_end(0, a, (size_t) n * 4);
	const float *y = at_end(1, b, (size_t) n * 4);
	Sum			l2 = {0, 0};
	Sum			ab = {0, 0};
	Sum			l1 = {0, 0};
	Sum			aa = {0, 0};
	Sum			bb = {0, 0};
	float		out[3];

	for (int i = 0; i < n; i++)
	{
		double		d = (double) x[i] - y[i];

		sum_add(&l2, d * d);
		sum_add(&l1, fabs(d));
		sum_add(&ab, (double) x[i] * y[i]);
		sum_add(&aa, (double) x[i] * x[i]);
		sum_add(&bb, (double) y[i] * y[i]);
	}
	CHECK_SUM(k->l2sq(x, y, n), l2, "l2sq");
	CHECK_SUM(k->dot(x, y, n), ab, "dot");
	CHECK_SUM(k->l1(x, y, n), l1, "l1");
	CHECK_SUM(k->sumsq(x, n), aa, "sumsq");
	k->dot_norms(x, y, n, &out[0], &out[1], &out[2]);
	CHECK_SUM(out[0], ab, "dot_norms ab");
	CHECK_SUM(out[1], aa, "dot_norms aa");
	CHECK_SUM(out[2], bb, "dot_norms bb");
	if (l2.terms > 1e39)
		CHECK(isinf(k->l2sq(x, y, n)), "l2sq n=%d: overflow must give infinity", n);
	CHECK(k->l2sq(x, x, n) == 0.0f && k->l1(x, x, n) == 0.0f,
		  "n=%d %s: distance to itself", n, kind_names[kind]);
}

static double
half_value(uint16_t h)
{
	int			exponent = (h >> 10) & 31;
	double		m = exponent ? ldexp((h & 1023) + 1024, exponent - 25) : ldexp(h & 1023, -24);

	return h & 0x8000 ? -m : m;
}

static void
test_stored(const VxKernels *k, int n, int kind)
{
	const float *q = at_end(0, a, (size_t) n * 4);
	const uint16_t *h;
	const int8_t *c;
	const int16_t *w;
	float		scale = 0.013f;
	float		offset = -0.4f;
	Sum			dot_f16 = {0, 0};
	Sum			l1_f16 = {0, 0};
	Sum			l1_i8 = {0, 0};
	int64_t		i16_sum = 0;
	int64_t		i8_sum = 0;

	for (int i = 0; i < n; i++)
	{
		/* any finite half, mostly of ordinary size */
		half_a[i] = (uint16_t) (random_bits() & (i % 7 ? 0xbfff : 0xffff));
		if ((half_a[i] & 0x7c00) == 0x7c00)
			half_a[i] ^= 0x4000;
		code_a[i] = (int8_t) random_bits();
		code_b[i] = (int8_t) random_bits();
		word_a[i] = (int16_t) ((int) (random_bits() % 2001) - 1000);
	}
	if (n > 3)
	{
		/* the corners: -128, and words at the end of their range */
		code_a[0] = code_b[0] = code_a[n - 1] = code_b[n - 1] = -128;
		code_a[1] = 127;
		code_b[1] = -128;
		word_a[0] = -32767;
		word_a[n - 1] = 32767;
	}
	h = at_end(1, half_a, (size_t) n * 2);
	c = at_end(2, code_a, (size_t) n);
	w = at_end(3, word_a, (size_t) n * 2);
	for (int i = 0; i < n; i++)
	{
		double		v = half_value(h[i]);
		double		u = (double) scale * c[i] + offset;

		sum_add(&dot_f16, q[i] * v);
		sum_add(&l1_f16, fabs(q[i] - v));
		sum_add(&l1_i8, fabs(q[i] - u));
		i16_sum += (int64_t) w[i] * c[i];
		i8_sum += (int64_t) code_b[i] * c[i];
	}
	CHECK_SUM(k->dot_f16(q, h, n), dot_f16, "dot_f16");
	CHECK_SUM(k->l1_f16(q, h, n), l1_f16, "l1_f16");
	CHECK_SUM(k->l1_i8(q, c, scale, offset, n), l1_i8, "l1_i8");
	CHECK(k->dot_i16_i8(w, c, n) == i16_sum, "dot_i16_i8 n=%d", n);
	CHECK(k->dot_i8_i8(at_end(4, code_b, (size_t) n), c, n) == i8_sum,
		  "dot_i8_i8 n=%d", n);
}

static void
test_quantize(const VxKernels *k, int n, int kind)
{
	const float *v = at_end(0, a, (size_t) n * 4);
	int8_t	   *c = out_at_end(1, (size_t) n);
	int16_t    *w = out_at_end(2, (size_t) n * 2);
	float	   *d = out_at_end(3, (size_t) n * 4);
	float		scale[2];
	float		offset[2];
	int32_t		sum[2];
	int32_t		total = 0;
	float		min = n > 0 ? v[0] : 0;
	float		max = min;
	int			in_range = 1;
	double		worst = 0;
	double		words = 0;

	k->quantize_i8(v, n, c, &scale[0], &offset[0], &sum[0]);
	generic->quantize_i8(v, n, code_a, &scale[1], &offset[1], &sum[1]);
	CHECK(memcmp(c, code_a, (size_t) n) == 0 && memcmp(&scale[0], &scale[1], 4) == 0 &&
		  memcmp(&offset[0], &offset[1], 4) == 0 && sum[0] == sum[1],
		  "quantize_i8 n=%d %s: not bit-equal", n, kind_names[kind]);
	CHECK(front_untouched(c), "quantize_i8 n=%d: wrote before its output", n);

	k->dequantize_i8(c, scale[0], offset[0], n, d);
	CHECK(front_untouched(d), "dequantize_i8 n=%d: wrote before its output", n);
	for (int i = 0; i < n; i++)
	{
		double		error = fabs((double) d[i] - v[i]);

		min = v[i] < min ? v[i] : min;
		max = v[i] > max ? v[i] : max;
		total += c[i];
		in_range &= c[i] >= -127;
		worst = error > worst ? error : worst;
	}
	CHECK(in_range && sum[0] == total, "quantize_i8 n=%d: range or sum", n);
	CHECK(worst <= ((double) max - min) / 254 * 0.501 + 1e-6 * fmax(fabs(min), fabs(max)) + 2e-36,
		  "quantize_i8 n=%d %s: error %g, range %g", n, kind_names[kind], worst,
		  (double) max - min);

	k->quantize_i16(v, n, w, &scale[0]);
	CHECK(front_untouched(w), "quantize_i16 n=%d: wrote before its output", n);
	worst = 0;
	for (int i = 0; i < n; i++)
	{
		double		error = fabs((double) w[i] * scale[0] - v[i]);

		worst = error > worst ? error : worst;
		words += abs(w[i]);
		in_range &= w[i] >= -32767;
	}
	CHECK(in_range && words * 128 < 2147483648.0, "quantize_i16 n=%d %s: bound", n, kind_names[kind]);
	CHECK(worst <= scale[0] * 0.51 + 2e-33, "quantize_i16 n=%d %s: error %g scale %g",
		  n, kind_names[kind], worst, (double) scale[0]);
}

static uint32_t sign_words[2 * VX_SIGN_WORDS(MAX_N)];

/* The rotation of the header's words, in double and by definition (n small). */
static void
naive_rotation(const float *v, int n, const uint32_t *signs, double *out)
{
	int			p = 1;
	double		copy[512];

	while (2 * p <= n)
		p *= 2;
	for (int i = 0; i < n; i++)
		out[i] = v[i];
	for (int round = 0; round < 2; round++)
	{
		for (int i = 0; i < n; i++)
		{
			if (signs[round * VX_SIGN_WORDS(n) + i / 32] >> (i % 32) & 1)
				out[i] = -out[i];
		}
		for (int start = 0;; start = n - p)
		{
			memcpy(copy, out + start, (size_t) p * sizeof(double));
			for (int i = 0; i < p; i++)
			{
				double		sum = 0;

				for (int j = 0; j < p; j++)
					sum += __builtin_popcount((unsigned) (i & j)) & 1 ? -copy[j] : copy[j];
				out[start + i] = sum / sqrt(p);
			}
			if (start == n - p)
				break;
		}
	}
}

static void
test_rotate(const VxKernels *k, int n, int kind)
{
	float	   *v = (float *) (uintptr_t) at_end(0, a, (size_t) n * 4);
	const uint32_t *signs;

	memset((uint8_t *) v - OUT_GUARD, 0xA5, OUT_GUARD);
	VxRotationSigns(random_bits(), n, sign_words);
	signs = at_end(1, sign_words, 2 * VX_SIGN_WORDS(n) * sizeof(uint32_t));
	memcpy(work1, a, (size_t) n * 4);
	generic->rotate(work1, n, signs);
	k->rotate(v, n, signs);
	CHECK(memcmp(v, work1, (size_t) n * 4) == 0, "rotate n=%d %s: not bit-equal",
		  n, kind_names[kind]);
	CHECK(front_untouched(v), "rotate n=%d: wrote before its vector", n);
	if (kind == DATA_NORMAL && n > 0)
	{
		double		before = 0;
		double		after = 0;

		for (int i = 0; i < n; i++)
		{
			before += (double) a[i] * a[i];
			after += (double) v[i] * v[i];
		}
		CHECK(fabs(before - after) <= 1e-5 * before, "rotate n=%d: norm", n);
		if (n <= 260)
		{
			double		exact[512];
			double		worst = 0;

			naive_rotation(a, n, signs, exact);
			for (int i = 0; i < n; i++)
				worst = fmax(worst, fabs(exact[i] - v[i]));
			CHECK(worst <= 1e-5, "rotate n=%d: off by %g", n, worst);
		}
	}
}

static uint8_t table[VX_TABLE_BYTES(MAX_N, 4)] __attribute__((aligned(64)));
static uint8_t codes[VX_CODE_GROUPS(MAX_N, 4) * VX_GROUP_BYTES];
static uint8_t stream[VX_BLOCK][MAX_CODE];

static int
code_level(const uint8_t *code, int n, int bits, int i)
{
	int			u = 0;

	for (int p = 0; p < bits; p++)
	{
		int			nibble = p * VX_PLANE_NIBBLES(n) + i / 4;
		int			half = code[nibble / 2] >> (nibble % 2 * 4) & 15;

		u |= (half >> (i % 4) & 1) << p;
	}
	return 2 * u - ((1 << bits) - 1);
}

/*
 * Codes of random residuals, the table of a query, the scan of 32 codes: each
 * against its definition, and the sum of it all against <q,s> in double.
 */
static void
test_codes(const VxKernels *k, int n, int bits, int kind)
{
	const float *q = at_end(0, a, (size_t) n * 4);
	int			groups = VX_CODE_GROUPS(n, bits);
	size_t		bytes = (size_t) VX_CODE_BYTES(n, bits);
	int			nibbles = VX_PLANE_NIBBLES(n);
	const uint8_t *scanned;
	uint32_t	sums[VX_BLOCK];
	float		delta;
	float		bias;
	double		worst = 0;
	int			padding = 0;
	int			wrong = 0;

	for (int c = 0; c < VX_BLOCK; c++)
	{
		const float *r;
		const float *y;
		uint8_t    *code = out_at_end(3, bytes);
		float		rs[2];
		float		ys[2];
		Sum			exact_rs = {0, 0};
		Sum			exact_ys = {0, 0};
		double		ss[2] = {0, 0};

		/* encoding is slow enough at the longest vectors to do a few of them */
		if (c >= 4 && n > 300)
		{
			for (size_t i = 0; i < bytes; i++)
				stream[c][i] = (uint8_t) random_bits();
			continue;
		}
		fill(work1, n, c == 0 ? kind : DATA_NORMAL);
		fill(work2, n, DATA_NORMAL);
		r = at_end(1, work1, (size_t) n * 4);
		y = at_end(2, work2, (size_t) n * 4);
		k->encode(r, y, n, bits, code, &rs[0], &ys[0]);
		CHECK(front_untouched(code), "encode n=%d: wrote before its output", n);
		memcpy(stream[c], code, bytes);
		for (int i = 0; i < n; i++)
		{
			int			s = code_level(code, n, bits, i);

			sum_add(&exact_rs, (double) s * r[i]);
			sum_add(&exact_ys, (double) s * y[i]);
			ss[0] += s * s;
			if (bits == 1 && (s > 0) != (r[i] >= 0))
				wrong++;
		}
		CHECK_SUM(rs[0], exact_rs, "encode <r,s>");
		CHECK_SUM(ys[0], exact_ys, "encode <y,s>");
		generic->encode(r, y, n, bits, code, &rs[1], &ys[1]);
		for (int i = 0; i < n; i++)
			ss[1] += pow(code_level(code, n, bits, i), 2);
		CHECK((double) rs[0] * rs[0] / ss[0] >= 0.999 * rs[1] * rs[1] / ss[1],
			  "encode n=%d bits=%d %s: quality %g, plain C %g", n, bits, kind_names[kind],
			  (double) rs[0] * rs[0] / ss[0], (double) rs[1] * rs[1] / ss[1]);
		if (n >= 64 && c > 0)
		{
			/*
			 * Of a normal vector, what these quantisers can keep of the norm;
			 * its standard deviation is about 0.34 / sqrt(n) for one bit.
			 */
			static const double kept[5] = {0, 0.637, 0.88, 0, 0.988};
			double		norm = 0;

			for (int i = 0; i < n; i++)
				norm += (double) r[i] * r[i];
			CHECK((double) rs[0] * rs[0] / ss[0] / norm > kept[bits] - 2.0 / sqrt(n),
				  "encode n=%d bits=%d: keeps %g of the norm", n, bits,
				  (double) rs[0] * rs[0] / ss[0] / norm);
		}
		padding |= code_level(stream[c], n, bits, n - 1) == 0;
		for (int p = 0; p < bits; p++)
		{
			for (int i = n; i < 4 * nibbles; i++)
			{
				int			bit = 4 * p * nibbles + i;

				padding |= stream[c][bit / 8] >> (bit % 8) & 1;
			}
		}
		for (size_t bit = (size_t) nibbles * (size_t) bits * 4; bit < bytes * 8; bit++)
			padding |= stream[c][bit / 8] >> (bit % 8) & 1;
	}
	CHECK(wrong == 0, "encode n=%d: %d signs", n, wrong);
	CHECK(padding == 0, "encode n=%d bits=%d: padding bits", n, bits);

	/* the table by its definition */
	memset(table, 0xA5, (size_t) VX_TABLE_BYTES(n, bits));
	k->build_table(q, n, bits, table, &delta, &bias);
	if (delta > 0)
	{
		double		widest = 0;
		double		exact_bias = 0;

		for (int p = 0; p < bits; p++)
		{
			for (int t = 0; t < nibbles; t++)
			{
				double		width = 0;

				for (int i = 4 * t; i < 4 * t + 4 && i < n; i++)
					width += fabs((double) q[i]) * (1 << p);
				widest = fmax(widest, width);
				exact_bias -= width;
				for (int v = 0; v < 16; v++)
				{
					double		entry = width;

					for (int i = 4 * t; i < 4 * t + 4 && i < n; i++)
						entry += ((v >> (i % 4)) & 1 ? (double) q[i] : -(double) q[i]) * (1 << p);
					entry /= delta;
					worst = fmax(worst, fabs(entry - table[16 * (p * nibbles + t) + v]));
				}
			}
		}
		CHECK(worst <= 0.5001, "build_table n=%d bits=%d %s: off by %g", n, bits,
			  kind_names[kind], worst);
		CHECK(fabs(2 * widest / 255 - delta) <= 1e-6 * delta, "build_table n=%d: delta", n);
		CHECK(fabs(exact_bias - bias) <= -tolerance(n) * exact_bias, "build_table n=%d: bias", n);
	}
	else
		CHECK(bias == 0 && (kind == DATA_ZERO || kind == DATA_NEGATIVE_ZERO ||
							kind == DATA_TINY || n == 0),
			  "build_table n=%d %s: delta is zero", n, kind_names[kind]);
	wrong = 0;
	for (int i = 16 * nibbles * bits; i < VX_TABLE_BYTES(n, bits); i++)
		wrong += table[i] != 0;
	CHECK(wrong == 0, "build_table n=%d: padding", n);

	/* the scan */
	for (int g = 0; g < groups; g++)
	{
		for (int c = 0; c < VX_BLOCK; c++)
			memcpy(codes + g * VX_GROUP_BYTES + 4 * c, stream[c] + 4 * g, 4);
	}
	scanned = at_end(4, codes, (size_t) groups * VX_GROUP_BYTES);
	k->scan32(scanned, groups, table, sums);
	wrong = 0;
	for (int c = 0; c < VX_BLOCK; c++)
	{
		uint32_t	exact = 0;

		for (int t = 0; t < groups * VX_GROUP_NIBBLES; t++)
			exact += table[16 * t + (stream[c][t / 2] >> (t % 2 * 4) & 15)];
		wrong += exact != sums[c];
		if (delta > 0)
		{
			double		qs = 0;

			for (int i = 0; i < n; i++)
				qs += (double) q[i] * code_level(stream[c], n, bits, i);
			if (n <= 300 &&
				fabs((double) delta * sums[c] + bias - qs) >
				0.51 * (double) delta * nibbles * bits - 1e-5 * bias)
				wrong += 1000;
		}
	}
	CHECK(wrong == 0, "scan32 n=%d bits=%d %s: %d", n, bits, kind_names[kind], wrong);
}

/* Sums of the greatest table and random ones, up to 8192 groups. */
static void
test_scan_long(const VxKernels *k)
{
	static const int counts[] = {0, 1, 2, 31, 32, 33, 63, 64, 65, 500, 8192};
	size_t		most = 8192;
	uint8_t    *long_table = aligned_alloc(64, most * 128);
	uint8_t    *long_codes = malloc(most * VX_GROUP_BYTES);
	Guarded		guarded = guarded_create(most * VX_GROUP_BYTES);

	for (int full = 0; full < 2; full++)
	{
		for (size_t i = 0; i < most * 128; i++)
		{
			long_table[i] = full ? 255 : (uint8_t) random_bits();
			long_codes[i] = (uint8_t) random_bits();
		}
		for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		{
			size_t		size = (size_t) counts[i] * VX_GROUP_BYTES;
			uint8_t    *at = guarded.end - size;
			uint32_t	sums[VX_BLOCK];
			uint32_t	exact[VX_BLOCK];

			memcpy(at, long_codes, size);
			k->scan32(at, counts[i], long_table, sums);
			generic->scan32(at, counts[i], long_table, exact);
			CHECK(memcmp(sums, exact, sizeof(sums)) == 0, "scan32 groups=%d", counts[i]);
			if (full)
				CHECK(sums[17] == (uint32_t) counts[i] * 8 * 255, "scan32 groups=%d: greatest sums",
					  counts[i]);
		}
	}
	free(long_table);
	free(long_codes);
}

static void
test_estimates(const VxKernels *k)
{
	for (int round = 0; round < 200; round++)
	{
		uint32_t	sums[VX_BLOCK];
		uint16_t	bf[2][VX_BLOCK];
		float		factor[2][VX_BLOCK];
		float		rounded[2][VX_BLOCK];
		float		base = random_normal() + 3;
		float		delta = 0.01f;
		float		bias = -20.0f;
		float		bound = round == 0 ? NAN : 3 * random_normal();
		float	   *est = out_at_end(0, sizeof(float) * VX_BLOCK);

		for (int i = 0; i < VX_BLOCK; i++)
		{
			sums[i] = (uint32_t) (random_bits() % 5000);
			for (int f = 0; f < 2; f++)
			{
				uint32_t	bits;

				factor[f][i] = random_normal() * 0.1f;
				if (round == 1 && i == 5)
					factor[f][i] = NAN;
				memcpy(&bits, &factor[f][i], 4);
				bf[f][i] = (uint16_t) (bits >> 16);
				bits &= 0xffff0000;
				memcpy(&rounded[f][i], &bits, 4);
			}
		}
		for (int half = 0; half < 2; half++)
		{
			float		(*f)[VX_BLOCK] = half ? rounded : factor;
			uint32_t	mask = half ?
				k->estimate32_bf16(sums, at_end(1, bf[0], 64), at_end(2, bf[1], 64), base, delta, bias, bound, est) :
				k->estimate32_f32(sums, at_end(1, f[0], 128), at_end(2, f[1], 128), base, delta, bias, bound, est);
			int			wrong = 0;

			for (int i = 0; i < VX_BLOCK; i++)
			{
				double		exact = (double) base + f[0][i] + f[1][i] * ((double) delta * sums[i] + bias);

				wrong += !(fabs(exact - est[i]) <= 1e-4) && !(isnan(exact) && isnan(est[i]));
				wrong += (mask >> i & 1) != (uint32_t) (est[i] < bound);
			}
			CHECK(wrong == 0 && front_untouched(est), "estimate32 %s: %d", half ? "bf16" : "f32", wrong);
		}
	}
}

/* Every half, and floats around every rounding boundary. */
static void
test_f16(const VxKernels *k)
{
	static uint16_t in[65536];
	static uint16_t back[65536];
	static float wide[65536];
	static float exact[65536];
	static float probe[65536 * 4];
	static uint16_t narrow[65536 * 4];
	static uint16_t narrow_exact[65536 * 4];
	int			wrong = 0;

	for (int i = 0; i < 65536; i++)
		in[i] = (uint16_t) i;
	k->f16_to_f32(in, wide, 65536);
	generic->f16_to_f32(in, exact, 65536);
	CHECK(memcmp(wide, exact, sizeof(wide)) == 0, "f16_to_f32: not bit-equal");
	for (int i = 0; i < 65536; i++)
	{
		if ((i & 0x7c00) != 0x7c00)
			wrong += (double) wide[i] != half_value((uint16_t) i);
	}
	CHECK(wrong == 0, "f16_to_f32: %d wrong", wrong);
	k->f32_to_f16(wide, back, 65536);
	wrong = 0;
	for (int i = 0; i < 65536; i++)
		wrong += back[i] != i && !((i & 0x7c00) == 0x7c00 && (i & 0x3ff) != 0 && back[i] == (i | 0x200));
	CHECK(wrong == 0, "f32_to_f16: %d do not come back", wrong);

	/* half way to the next half, one float below and above it, random bits */
	for (int i = 0; i < 65536; i++)
	{
		uint32_t	bits;
		float		next;

		if ((i & 0x7fff) < 0x7bff)
			next = (float) ((half_value((uint16_t) i) + half_value((uint16_t) (i + 1))) / 2);
		else
			next = i & 0x8000 ? -65520.0f : 65520.0f;
		probe[4 * i] = next;
		probe[4 * i + 1] = nextafterf(next, 0.0f);
		probe[4 * i + 2] = nextafterf(next, INFINITY);
		bits = (uint32_t) random_bits();
		memcpy(&probe[4 * i + 3], &bits, 4);
	}
	k->f32_to_f16(probe, narrow, 65536 * 4);
	generic->f32_to_f16(probe, narrow_exact, 65536 * 4);
	CHECK(memcmp(narrow, narrow_exact, sizeof(narrow)) == 0, "f32_to_f16: not bit-equal");
	wrong = 0;
	for (int i = 0; i < 65536; i++)
	{
		/* ties: the even one of the two neighbours */
		if ((i & 0x7fff) < 0x7bff)
			wrong += narrow[4 * i] != (i & 1 ? i + 1 : i);
		else if ((i & 0x7fff) == 0x7bff)
			wrong += narrow[4 * i] != ((i & 0x8000) | 0x7c00) ||
				narrow[4 * i + 1] != i;
	}
	CHECK(wrong == 0, "f32_to_f16: %d ties", wrong);

	for (int n = 0; n < 70; n++)
	{
		const float *v = at_end(0, probe, (size_t) n * 4);
		uint16_t   *out = out_at_end(1, (size_t) n * 2);
		float	   *wide_out;

		k->f32_to_f16(v, out, n);
		CHECK(memcmp(out, narrow_exact, (size_t) n * 2) == 0 && front_untouched(out),
			  "f32_to_f16 n=%d", n);
		wide_out = out_at_end(2, (size_t) n * 4);
		k->f16_to_f32(at_end(3, in + 700, (size_t) n * 2), wide_out, n);
		CHECK(memcmp(wide_out, exact + 700, (size_t) n * 4) == 0 && front_untouched(wide_out),
			  "f16_to_f32 n=%d", n);
	}
}

static void
test_many(const VxKernels *k)
{
	static float rows[11 * 300];
	int			kind = DATA_NORMAL;

	for (int n = 0; n <= 260; n += n < 70 ? 1 : 19)
	{
		for (int count = 0; count <= 11; count++)
		{
			size_t		stride = (size_t) n + (size_t) (count % 3);
			size_t		size = count ? ((size_t) (count - 1) * stride + (size_t) n) * 4 : 0;
			const float *q = at_end(0, a, (size_t) n * 4);
			const float *v;
			float	   *out[3];

			fill(rows, 11 * 300, DATA_NORMAL);
			v = at_end(1, rows, size);
			for (int i = 0; i < 3; i++)
				out[i] = out_at_end(2 + i, (size_t) count * 4);
			k->l2sq_many(q, v, stride, n, count, out[0]);
			k->dot_many(q, v, stride, n, count, out[1]);
			k->l1_many(q, v, stride, n, count, out[2]);
			for (int c = 0; c < count; c++)
			{
				Sum			l2 = {0, 0};
				Sum			ab = {0, 0};
				Sum			l1 = {0, 0};

				for (int i = 0; i < n; i++)
				{
					double		x = v[(size_t) c * stride + (size_t) i];

					sum_add(&l2, (q[i] - x) * (q[i] - x));
					sum_add(&ab, q[i] * x);
					sum_add(&l1, fabs(q[i] - x));
				}
				CHECK_SUM(out[0][c], l2, "l2sq_many");
				CHECK_SUM(out[1][c], ab, "dot_many");
				CHECK_SUM(out[2][c], l1, "l1_many");
			}
		}
	}
}

/* Integer sums exactly; distances within what fp32 rounds. */
static void
test_panels(const VxKernels *k)
{
	enum { DIMS = 200, ROWS = 9, PANELS = 3 };
	int			kind = DATA_NORMAL;
	static int8_t rows[ROWS][DIMS];
	static int8_t panels[PANELS * VX_PANEL_BYTES(DIMS)] __attribute__((aligned(64)));
	static float column[4][PANELS * VX_PANEL];
	const int8_t *row[ROWS];

	for (int n = 1; n <= DIMS; n += n < 70 ? 1 : 13)
	{
		int			nrows = 1 + n % ROWS;
		int			npanels = 1 + n % PANELS;
		size_t		stride = (size_t) npanels * VX_PANEL;
		int32_t    *out = out_at_end(1, (size_t) nrows * stride * 4);
		int			right = 1;

		memset(panels, 0, sizeof(panels));
		for (int r = 0; r < nrows; r++)
		{
			for (int i = 0; i < n; i++)
				rows[r][i] = (int8_t) (n % 5 == 0 ? (i % 2 ? 127 : -127) : (int) (random_bits() % 255) - 127);
			row[r] = r == nrows - 1 ? at_end(0, rows[r], (size_t) n) : rows[r];
		}
		for (size_t c = 0; c < stride; c++)
			for (int i = 0; i < n; i++)
				panels[c / VX_PANEL * VX_PANEL_BYTES(n) + (size_t) (i / 4 * 4 * VX_PANEL) + c % VX_PANEL * 4 + (size_t) i % 4] =
					(int8_t) (n % 5 == 0 ? (i % 2 ? 127 : -127) : (int) (random_bits() % 255) - 127);
		k->dot_i8_panels(row, nrows, n, panels, npanels, out, stride);
		for (int r = 0; r < nrows; r++)
			for (size_t c = 0; c < stride; c++)
			{
				int32_t		sum = 0;

				for (int i = 0; i < n; i++)
					sum += row[r][i] * panels[c / VX_PANEL * VX_PANEL_BYTES(n) + (size_t) (i / 4 * 4 * VX_PANEL) + c % VX_PANEL * 4 + (size_t) i % 4];
				right &= out[(size_t) r * stride + c] == sum;
			}
		CHECK(right, "dot_i8_panels n=%d rows=%d panels=%d", n, nrows, npanels);
		CHECK(front_untouched(out), "dot_i8_panels n=%d: wrote before its output", n);

		for (int i = 0; i < 4; i++)
			fill(column[i], PANELS * VX_PANEL, DATA_NORMAL);
		for (int count = 0; count <= (int) stride; count += 7)
		{
			float	   *d = out_at_end(2, (size_t) count * 4);

			k->panel_distances(out, count, column[0], column[1], column[2], column[3],
							   2.5f, 0.25f, -1.5f, 0.75f, d);
			for (int c = 0; c < count; c++)
			{
				Sum			sum = {0, 0};

				sum_add(&sum, 2.5);
				sum_add(&sum, column[0][c]);
				sum_add(&sum, -0.25 * out[c] * column[1][c]);
				sum_add(&sum, 1.5 * column[2][c]);
				sum_add(&sum, -0.75 * column[3][c]);
				CHECK_SUM(d[c], sum, "panel_distances");
			}
		}
	}
}

static void
test_below_and_subtract(const VxKernels *k)
{
	enum { MOST = 300 };
	static float values[MOST];
	int			kind = DATA_NORMAL;

	for (int n = 0; n <= MOST; n += n < 70 ? 1 : 23)
	{
		const float *x = at_end(0, a, (size_t) n * 4);
		const float *y = at_end(1, b, (size_t) n * 4);
		float	   *r = out_at_end(2, (size_t) n * 4);
		uint16_t   *at = out_at_end(3, (size_t) n * 2);
		float		bound = n % 7 == 0 ? INFINITY : n % 5 == 0 ? -INFINITY : 0.3f;
		Sum			sum = {0, 0};
		float		result = k->subtract(x, y, n, r);
		int			right = 1;
		int			found;
		int			should = 0;

		for (int i = 0; i < n; i++)
		{
			right &= r[i] == x[i] - y[i];
			sum_add(&sum, (double) r[i] * r[i]);
		}
		CHECK_SUM(result, sum, "subtract");
		CHECK(right && front_untouched(r), "subtract n=%d: differences", n);

		memcpy(values, x, (size_t) n * 4);
		if (n > 3)
		{
			values[n / 2] = NAN;
			values[n - 1] = bound;
		}
		x = at_end(0, values, (size_t) n * 4);
		found = k->below(x, n, bound, at);
		right = 1;
		for (int i = 0; i < n; i++)
			if (x[i] < bound)
				right &= should < found && at[should++] == i;
		CHECK(right && found == should, "below n=%d: %d found, should be %d", n, found, should);
		CHECK(found < n || front_untouched(at), "below n=%d: wrote before its output", n);
	}
}

static void
test_level(const char *name, const VxKernels *k)
{
	static const int longer[] = {384, 768, 960, 1536, 2000, MAX_N};
	static const int bit_counts[] = {1, 2, 4};

	level_name = name;
	for (int index = 0; index <= 260 + 6; index++)
	{
		int			n = index <= 260 ? index : longer[index - 261];

		for (int kind = 0; kind < DATA_KINDS; kind++)
		{
			fill(a, n, kind);
			fill(b, n, kind == DATA_HUGE || kind == DATA_TINY ? kind : DATA_NORMAL);
			test_distances(k, n, kind);
			/* halves times huge values are no test: all is infinite */
			if (kind != DATA_HUGE)
				test_stored(k, n, kind);
			test_quantize(k, n, kind);
			test_rotate(k, n, kind);
			if (n > 0 && (n <= 70 || n % 16 <= 1 || n > 260))
			{
				for (int i = 0; i < 3; i++)
					test_codes(k, n, bit_counts[i], kind);
			}
		}
		/* unaligned starts: any four-byte boundary */
		for (int start = 1; start < 16; start += 3)
		{
			fill(a, n + 16, DATA_NORMAL);
			memcpy(b, a + start, (size_t) n * 4);
			CHECK(n == 0 || k->l2sq(a + start, b, n) == 0.0f, "l2sq n=%d unaligned", n);
			CHECK(close_enough(k->dot(a + start, b, n), generic->sumsq(b, n),
							   generic->sumsq(b, n), tolerance(n)), "dot n=%d unaligned", n);
		}
	}
	test_scan_long(k);
	test_estimates(k);
	test_f16(k);
	test_many(k);
	test_panels(k);
	test_below_and_subtract(k);
}

int
main(void)
{
	static const struct
	{
		VxSimdLevel level;
		const char *name;
	}			levels[] = {
		{VX_SIMD_GENERIC, "generic"},
		{VX_SIMD_AVX2, "avx2"},
		{VX_SIMD_AVX512, "avx512"},
	};

	generic = VxSimdKernels(VX_SIMD_GENERIC);
	for (int i = 0; i < 6; i++)
		guard[i] = guarded_create(sizeof(codes) + 4096);

	level_name = "dispatch";
	CHECK(vx_simd == generic, "plain C before a level is selected");
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
	{
		const VxKernels *k = VxSimdKernels(levels[i].level);
		const VxKernels *before = vx_simd;
		long		first_failed = failed;
		long		first_passed = passed;

		level_name = levels[i].name;
		CHECK(VxSimdSupported(levels[i].level) == (k != NULL), "VxSimdSupported");
		CHECK(VxSimdSelect(levels[i].level) == (k != NULL), "VxSimdSelect");
		CHECK(vx_simd == (k ? k : before), "VxSimdSelect: vx_simd");
		if (k == NULL)
		{
			printf("%s: not supported by this processor or not compiled in: not run\n", levels[i].name);
			continue;
		}
		CHECK(strcmp(k->name, levels[i].name) == 0, "name");
		for (size_t f = 0; f < sizeof(*k) / sizeof(void *); f++)
			CHECK(((void *const *) (const void *) k)[f] != NULL, "kernel %d is missing", (int) f);
		test_level(levels[i].name, k);
		printf("%s: run, %ld passed, %ld failed\n", levels[i].name,
			   passed - first_passed, failed - first_failed);
#ifdef VX_X86
		if (levels[i].level == VX_SIMD_AVX512)
		{
			if (k->scan32 == vx_kernels_avx512.scan32 && k->dot_i8_i8 == vx_kernels_avx512.dot_i8_i8)
				printf("avx512 with VNNI and VBMI: not supported by this processor: not run\n");
			else
			{
				printf("avx512: VNNI %s, VBMI %s\n",
					   k->dot_i8_i8 == vx_dot_i8_i8_vnni ? "run" : "not run",
					   k->scan32 == vx_scan32_vbmi ? "run" : "not run");
				first_failed = failed;
				first_passed = passed;
				test_level("avx512 base", &vx_kernels_avx512);
				printf("avx512 without VNNI and VBMI: run, %ld passed, %ld failed\n",
					   passed - first_passed, failed - first_failed);
			}
		}
#endif
	}
	level_name = "dispatch";
	CHECK(VxSimdSelect(VX_SIMD_AUTO) == 1 && vx_simd == VxSimdKernels(VX_SIMD_AUTO), "auto");
	printf("simd: %ld passed, %ld failed\n", passed, failed);
	return failed ? 1 : 0;
}
