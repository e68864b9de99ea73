/*
 * test_code.c
 *		Codes: encoding, lookup tables, the scan, estimates.
 */
#include "test_simd.h"

static float residual[MAX_N + 16];
static float vector[MAX_N + 16];
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
 * Code c of stream[], of a random residual: its sums, its quality, that of
 * plain C beside it.  Returns how many signs are wrong.
 */
static int
encode_one(const VxKernels *k, int n, int bits, int kind, int c)
{
	size_t		bytes = (size_t) VX_CODE_BYTES(n, bits);
	const float *r;
	const float *y;
	uint8_t    *code = out_at_end(3, bytes);
	float		rs[2];
	float		ys[2];
	Sum			exact_rs = {0, 0};
	Sum			exact_ys = {0, 0};
	double		ss[2] = {0, 0};
	int			wrong = 0;

	fill(residual, n, c == 0 ? kind : DATA_NORMAL);
	fill(vector, n, DATA_NORMAL);
	r = at_end(1, residual, (size_t) n * 4);
	y = at_end(2, vector, (size_t) n * 4);
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
		 * Of a normal vector, what these quantisers can keep of the norm; its
		 * standard deviation is about 0.34 / sqrt(n) for one bit.
		 */
		static const double kept[5] = {0, 0.637, 0.88, 0, 0.988};
		double		norm = 0;

		for (int i = 0; i < n; i++)
			norm += (double) r[i] * r[i];
		CHECK((double) rs[0] * rs[0] / ss[0] / norm > kept[bits] - 2.0 / sqrt(n),
			  "encode n=%d bits=%d: keeps %g of the norm", n, bits,
			  (double) rs[0] * rs[0] / ss[0] / norm);
	}
	return wrong;
}

/* Is a bit set that belongs to no dimension? */
static int
padding_set(const uint8_t *code, int n, int bits)
{
	int			nibbles = VX_PLANE_NIBBLES(n);
	int			padding = code_level(code, n, bits, n - 1) == 0;

	for (int p = 0; p < bits; p++)
	{
		for (int i = n; i < 4 * nibbles; i++)
		{
			int			bit = 4 * p * nibbles + i;

			padding |= code[bit / 8] >> (bit % 8) & 1;
		}
	}
	for (int bit = nibbles * bits * 4; bit < VX_CODE_BYTES(n, bits) * 8; bit++)
		padding |= code[bit / 8] >> (bit % 8) & 1;
	return padding;
}

/* Fill stream[]. */
static void
check_encode(const VxKernels *k, int n, int bits, int kind)
{
	int			padding = 0;
	int			wrong = 0;

	for (int c = 0; c < VX_BLOCK; c++)
	{
		/* encoding is slow enough at the longest vectors to do a few of them */
		if (c >= 4 && n > 300)
		{
			for (int i = 0; i < VX_CODE_BYTES(n, bits); i++)
				stream[c][i] = (uint8_t) random_bits();
			continue;
		}
		wrong += encode_one(k, n, bits, kind, c);
		padding |= padding_set(stream[c], n, bits);
	}
	CHECK(wrong == 0, "encode n=%d: %d signs", n, wrong);
	CHECK(padding == 0, "encode n=%d bits=%d: padding bits", n, bits);
}

/* Fill table[] for q, and see that it is what the definition says. */
static void
check_table(const VxKernels *k, const float *q, int n, int bits, int kind,
			float *delta, float *bias)
{
	int			nibbles = VX_PLANE_NIBBLES(n);
	double		worst = 0;
	double		widest = 0;
	double		exact_bias = 0;
	int			wrong = 0;

	memset(table, 0xA5, (size_t) VX_TABLE_BYTES(n, bits));
	k->build_table(q, n, bits, table, delta, bias);
	for (int i = 16 * nibbles * bits; i < VX_TABLE_BYTES(n, bits); i++)
		wrong += table[i] != 0;
	CHECK(wrong == 0, "build_table n=%d: padding", n);
	if (!(*delta > 0))
	{
		CHECK(*bias == 0 && (kind == DATA_ZERO || kind == DATA_NEGATIVE_ZERO ||
							 kind == DATA_TINY || n == 0),
			  "build_table n=%d %s: delta is zero", n, kind_names[kind]);
		return;
	}
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
				entry /= *delta;
				worst = fmax(worst, fabs(entry - table[16 * (p * nibbles + t) + v]));
			}
		}
	}
	CHECK(worst <= 0.5001, "build_table n=%d bits=%d %s: off by %g", n, bits,
		  kind_names[kind], worst);
	CHECK(fabs(2 * widest / 255 - *delta) <= 1e-6 * *delta, "build_table n=%d: delta", n);
	CHECK(fabs(exact_bias - *bias) <= -tolerance(n) * exact_bias, "build_table n=%d: bias", n);
}

/* The scan of stream[] with table[]: exact, and near <q,s>. */
static void
check_scan(const VxKernels *k, const float *q, int n, int bits, int kind,
		   float delta, float bias)
{
	int			groups = VX_CODE_GROUPS(n, bits);
	int			nibbles = VX_CODE_NIBBLES(n, bits);
	const uint8_t *scanned;
	uint32_t	sums[VX_BLOCK];
	int			wrong = 0;

	for (int g = 0; g < groups; g++)
	{
		for (int c = 0; c < VX_BLOCK; c++)
			memcpy(codes + g * VX_GROUP_BYTES + 4 * c, stream[c] + 4 * g, 4);
	}
	scanned = at_end(4, codes, (size_t) groups * VX_GROUP_BYTES);
	k->scan32(scanned, groups, table, sums);
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
				0.51 * (double) delta * nibbles - 1e-5 * bias)
				wrong += 1000;
		}
	}
	CHECK(wrong == 0, "scan32 n=%d bits=%d %s: %d", n, bits, kind_names[kind], wrong);
}

/*
 * Codes of random residuals, the table of a query, the scan of 32 codes: each
 * against its definition, and the sum of it all against <q,s> in double.
 */
void
test_codes(const VxKernels *k, int n, int bits, int kind)
{
	const float *q = at_end(0, input_a, (size_t) n * 4);
	float		delta;
	float		bias;

	check_encode(k, n, bits, kind);
	check_table(k, q, n, bits, kind, &delta, &bias);
	check_scan(k, q, n, bits, kind, delta, bias);
}

/* Sums of the greatest table and random ones, up to 8192 groups. */
void
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

void
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
