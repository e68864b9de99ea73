/*
 * test_distance.c
 *		Distances and dot products, of two vectors, with stored ones and of one
 *		with many; what is done with their results.
 */
#include "test_simd.h"

static uint16_t half_a[MAX_N + 16];
static uint16_t half_b[MAX_N + 16];
static int8_t code_a[MAX_N + 16];
static int8_t code_b[MAX_N + 16];
static int16_t word_a[MAX_N + 16];

void
test_distances(const VxKernels *k, int n, int kind)
{
	const float *x = at_end(0, input_a, (size_t) n * 4);
	const float *y = at_end(1, input_b, (size_t) n * 4);
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

void
test_stored(const VxKernels *k, int n, int kind)
{
	const float *q = at_end(0, input_a, (size_t) n * 4);
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

/* The largest, the smallest, and halves of any size. */
void
test_halves(const VxKernels *k, int n)
{
	int			kind = DATA_NORMAL;
	const uint16_t *x;
	const uint16_t *y;
	Sum			l2 = {0, 0};
	Sum			ab = {0, 0};
	Sum			l1 = {0, 0};
	Sum			aa = {0, 0};
	Sum			bb = {0, 0};
	float		out[3];

	for (int i = 0; i < n; i++)
	{
		half_a[i] = (uint16_t) (random_bits() & (i % 7 ? 0xbfff : 0xffff));
		half_b[i] = (uint16_t) (random_bits() & (i % 5 ? 0xbfff : 0x83ff));
		if ((half_a[i] & 0x7c00) == 0x7c00)
			half_a[i] = i % 2 ? 0x7bff : 0xfbff;
		if ((half_b[i] & 0x7c00) == 0x7c00)
			half_b[i] = 0xfbff;
	}
	x = at_end(0, half_a, (size_t) n * 2);
	y = at_end(1, half_b, (size_t) n * 2);
	for (int i = 0; i < n; i++)
	{
		double		a = half_value(x[i]);
		double		b = half_value(y[i]);

		sum_add(&l2, (a - b) * (a - b));
		sum_add(&l1, fabs(a - b));
		sum_add(&ab, a * b);
		sum_add(&aa, a * a);
		sum_add(&bb, b * b);
	}
	CHECK_SUM(k->f16_l2sq(x, y, n), l2, "f16_l2sq");
	CHECK_SUM(k->f16_dot(x, y, n), ab, "f16_dot");
	CHECK_SUM(k->f16_l1(x, y, n), l1, "f16_l1");
	k->f16_dot_norms(x, y, n, &out[0], &out[1], &out[2]);
	CHECK_SUM(out[0], ab, "f16_dot_norms ab");
	CHECK_SUM(out[1], aa, "f16_dot_norms aa");
	CHECK_SUM(out[2], bb, "f16_dot_norms bb");
	CHECK(k->f16_l2sq(x, y, n) == k->f16_l2sq(y, x, n) && k->f16_l1(x, y, n) == k->f16_l1(y, x, n) &&
		  k->f16_dot(x, y, n) == k->f16_dot(y, x, n), "halves n=%d: not symmetric", n);
	CHECK(k->f16_l2sq(x, x, n) == 0.0f && k->f16_l1(x, x, n) == 0.0f, "halves n=%d: distance to itself", n);
}

void
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
			const float *q = at_end(0, input_a, (size_t) n * 4);
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
void
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

void
test_below_and_subtract(const VxKernels *k)
{
	enum { MOST = 300 };
	static float values[MOST];
	int			kind = DATA_NORMAL;

	for (int n = 0; n <= MOST; n += n < 70 ? 1 : 23)
	{
		const float *x = at_end(0, input_a, (size_t) n * 4);
		const float *y = at_end(1, input_b, (size_t) n * 4);
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

/* Bit strings of every length up to some hundred bytes, some long; random, sparse, equal, full. */
void
test_bits(const VxKernels *k)
{
	static uint8_t a[MAX_CODE];
	static uint8_t b[MAX_CODE];
	static uint8_t rows[3 * MAX_CODE];
	float		counts[3];

	for (int step = 0; step < 4 * 320; step++)
	{
		int			n = step / 4 < 300 ? step / 4 : (step / 4 - 299) * 391;
		const uint8_t *x;
		const uint8_t *y;
		const uint8_t *z;
		uint64_t	differ = 0;
		uint64_t	both = 0;
		uint64_t	either = 0;
		uint64_t	out[2];

		for (int i = 0; i < n; i++)
		{
			a[i] = step % 4 == 3 ? 0xff : (uint8_t) random_bits();
			b[i] = step % 4 == 2 ? a[i] : step % 4 == 3 ? 0 : (uint8_t) random_bits();
			/* few bits */
			for (int j = 0; j < 2 && step % 4 == 1; j++)
				a[i] &= (uint8_t) random_bits();
			for (int bit = 0; bit < 8; bit++)
			{
				differ += (a[i] ^ b[i]) >> bit & 1;
				both += (a[i] & b[i]) >> bit & 1;
				either += (a[i] | b[i]) >> bit & 1;
			}
		}
		x = at_end(0, a, (size_t) n);
		y = at_end(1, b, (size_t) n);
		CHECK(k->hamming(x, y, n) == differ, "hamming n=%d", n);
		/* of three: itself, the other, itself */
		memcpy(rows, a, (size_t) n);
		memcpy(rows + n, b, (size_t) n);
		memcpy(rows + 2 * n, a, (size_t) n);
		z = at_end(2, rows, 3 * (size_t) n);
		k->hamming_many(x, z, n, 3, counts);
		CHECK(counts[0] == 0 && counts[1] == (float) differ && counts[2] == 0, "hamming_many n=%d", n);
		k->common_bits(x, y, n, &out[0], &out[1]);
		CHECK(out[0] == both && out[1] == either, "common_bits n=%d", n);
	}
}

/*
 * Ascending lists of all lengths, of numbers near each other, far from each other, the same; of a
 * list that does not ascend nothing is asked but that positions are within.
 */
void
test_intersect(const VxKernels *k)
{
	enum {MOST = 700};
	static int32_t a[MOST];
	static int32_t b[MOST];
	static uint16_t at[2][MOST];
	static uint16_t exact[2][MOST];

	for (int step = 0; step < 6000; step++)
	{
		int			m = (int) (random_bits() % (step % 10 ? 40 : MOST + 1));
		int			n = (int) (random_bits() % (step % 7 ? 40 : MOST + 1));
		uint64_t	gap = step % 3 == 0 ? 2 : step % 3 == 1 ? 10 : 2000000;
		int			most = m < n ? m : n;
		const int32_t *x;
		const int32_t *y;
		uint16_t   *at_a = out_at_end(2, (size_t) most * 2);
		uint16_t   *at_b = out_at_end(3, (size_t) most * 2);
		int			found = 0;
		int			wrong = 0;
		int			count;

		for (int i = 0; i < m; i++)
			a[i] = (i ? a[i - 1] : -3) + 1 + (int32_t) (random_bits() % gap);
		for (int i = 0; i < n; i++)
			b[i] = step % 5 == 0 && i < m ? a[i] : (i ? b[i - 1] : -3) + 1 + (int32_t) (random_bits() % gap);
		if (step % 11 == 0)
			for (int i = 0; i < n; i++)
				b[i] = (int32_t) (random_bits() % 8);
		x = at_end(0, a, (size_t) m * 4);
		y = at_end(1, b, (size_t) n * 4);
		count = k->intersect(x, m, y, n, at_a, at_b, most);
		CHECK(count >= 0 && count <= most, "intersect m=%d n=%d: %d", m, n, count);
		memcpy(at[0], at_a, (size_t) count * 2);
		memcpy(at[1], at_b, (size_t) count * 2);
		if (step % 11 == 0)
		{
			for (int i = 0; i < count; i++)
				wrong += at[0][i] >= m || at[1][i] >= n || a[at[0][i]] != b[at[1][i]];
			CHECK(wrong == 0, "intersect m=%d n=%d: %d positions of a list that does not ascend", m, n, wrong);
			continue;
		}
		for (int i = 0; i < m; i++)
			for (int j = 0; j < n; j++)
				if (a[i] == b[j])
				{
					exact[0][found] = (uint16_t) i;
					exact[1][found++] = (uint16_t) j;
				}
		CHECK(count == found && memcmp(at[0], exact[0], (size_t) found * 2) == 0 &&
			  memcmp(at[1], exact[1], (size_t) found * 2) == 0, "intersect m=%d n=%d: %d, should be %d", m, n, count, found);
		CHECK(front_untouched(at_a) && front_untouched(at_b), "intersect m=%d n=%d: before", m, n);
	}
}

/*
 * Words with values of all sizes, at places all over the table and at its ends, against a table of
 * as many sizes; unused words are zero.
 */
void
test_sparse(const VxKernels *k)
{
	enum {MOST = 1024};
	static float table[VX_PLACES];
	static uint32_t words[MOST];

	for (int step = 0; step < 1200; step++)
	{
		int			n = (int) (random_bits() % (step % 9 ? 20 : MOST / 8 + 1)) * 8;
		float		scale = step % 3 == 0 ? 1 : step % 3 == 1 ? 0x1p-12f : 0x1p20f;
		const uint32_t *x;
		Sum			dot = {0, 0};
		Sum			l1 = {0, 0};
		float		result;

		for (int i = 0; i < n; i++)
		{
			uint32_t	place = i == 0 ? 0 : i == 1 ? VX_PLACES - 1 : (uint32_t) (random_bits() % VX_PLACES);
			/* no infinity, no NaN */
			uint16_t	half = (uint16_t) (random_bits() % 0x7C00 | (random_bits() & 0x8000));

			if (i >= n - 7 && step % 2)
				words[i] = 0;
			else
				words[i] = place << 16 | half;
			place = words[i] >> 16;
			table[place] = step % 4 == 0 ? 0 : random_normal() * scale;
		}
		for (int i = 0; i < n; i++)
		{
			double		t = (double) table[words[i] >> 16];
			double		v = half_value((uint16_t) words[i]);

			sum_add(&dot, t * v);
			l1.value += fabs(t - (double) scale * v) - fabs(t);
			l1.terms += fabs(t) + fabs((double) scale * v);
		}
		x = at_end(0, words, (size_t) n * 4);
		result = k->sparse_dot(table, x, n);
		CHECK(close_enough(result, dot.value, dot.terms, tolerance(n)), "sparse_dot n=%d: %g, should be %g",
			  n, (double) result, dot.value);
		result = k->sparse_l1(table, x, scale, n);
		CHECK(close_enough(result, l1.value, l1.terms, tolerance(n)), "sparse_l1 n=%d: %g, should be %g",
			  n, (double) result, l1.value);
	}
}
