/*
 * test_convert.c
 *		fp16, int8 and int16, and the rotation: what must be bit-equal in every
 *		level, and int16.
 */
#include "test_simd.h"

/* Every half, and floats around every rounding boundary. */
void
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

static int8_t exact_codes[MAX_N + 16];

void
test_quantize(const VxKernels *k, int n, int kind)
{
	const float *v = at_end(0, input_a, (size_t) n * 4);
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
	generic->quantize_i8(v, n, exact_codes, &scale[1], &offset[1], &sum[1]);
	CHECK(memcmp(c, exact_codes, (size_t) n) == 0 && memcmp(&scale[0], &scale[1], 4) == 0 &&
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

static float exact_rotated[MAX_N + 16];

void
test_rotate(const VxKernels *k, int n, int kind)
{
	float	   *v = (float *) (uintptr_t) at_end(0, input_a, (size_t) n * 4);
	const uint32_t *signs;

	memset((uint8_t *) v - OUT_GUARD, 0xA5, OUT_GUARD);
	VxRotationSigns(random_bits(), n, sign_words);
	signs = at_end(1, sign_words, 2 * VX_SIGN_WORDS(n) * sizeof(uint32_t));
	memcpy(exact_rotated, input_a, (size_t) n * 4);
	generic->rotate(exact_rotated, n, signs);
	k->rotate(v, n, signs);
	CHECK(memcmp(v, exact_rotated, (size_t) n * 4) == 0, "rotate n=%d %s: not bit-equal",
		  n, kind_names[kind]);
	CHECK(front_untouched(v), "rotate n=%d: wrote before its vector", n);
	if (kind == DATA_NORMAL && n > 0)
	{
		double		before = 0;
		double		after = 0;

		for (int i = 0; i < n; i++)
		{
			before += (double) input_a[i] * input_a[i];
			after += (double) v[i] * v[i];
		}
		CHECK(fabs(before - after) <= 1e-5 * before, "rotate n=%d: norm", n);
		if (n <= 260)
		{
			double		exact[512];
			double		worst = 0;

			naive_rotation(input_a, n, signs, exact);
			for (int i = 0; i < n; i++)
				worst = fmax(worst, fabs(exact[i] - v[i]));
			CHECK(worst <= 1e-5, "rotate n=%d: off by %g", n, worst);
		}
	}
}
