/*
 * generic.c
 *		Every kernel in plain C: the fallback, and what the others are tested
 *		against.
 *
 * Sums run in eight independent parts, which compilers turn into vector code
 * without leave to reorder.  Must never use an intrinsic, allocate, or read
 * past the end of an input.
 */
#include "kernels.h"

VX_NO_CONTRACTION

#define LANES 8

static inline float
sum_lanes(const float *acc)
{
	return ((acc[0] + acc[4]) + (acc[2] + acc[6])) +
		((acc[1] + acc[5]) + (acc[3] + acc[7]));
}

static inline float
bits_to_float(uint32_t bits)
{
	float		f;

	memcpy(&f, &bits, sizeof(f));
	return f;
}

static inline uint32_t
float_to_bits(float f)
{
	uint32_t	bits;

	memcpy(&bits, &f, sizeof(bits));
	return bits;
}

/*
 * fp32
 */
static float
l2sq(const float *a, const float *b, int n)
{
	float		acc[LANES] = {0};
	int			i = 0;

	for (; i + LANES <= n; i += LANES)
	{
		for (int j = 0; j < LANES; j++)
		{
			float		d = a[i + j] - b[i + j];

			acc[j] += d * d;
		}
	}
	for (; i < n; i++)
	{
		float		d = a[i] - b[i];

		acc[i % LANES] += d * d;
	}
	return sum_lanes(acc);
}

static float
dot(const float *a, const float *b, int n)
{
	float		acc[LANES] = {0};
	int			i = 0;

	for (; i + LANES <= n; i += LANES)
	{
		for (int j = 0; j < LANES; j++)
			acc[j] += a[i + j] * b[i + j];
	}
	for (; i < n; i++)
		acc[i % LANES] += a[i] * b[i];
	return sum_lanes(acc);
}

static float
l1(const float *a, const float *b, int n)
{
	float		acc[LANES] = {0};
	int			i = 0;

	for (; i + LANES <= n; i += LANES)
	{
		for (int j = 0; j < LANES; j++)
			acc[j] += fabsf(a[i + j] - b[i + j]);
	}
	for (; i < n; i++)
		acc[i % LANES] += fabsf(a[i] - b[i]);
	return sum_lanes(acc);
}

static float
sumsq(const float *a, int n)
{
	return dot(a, a, n);
}

static void
dot_norms(const float *a, const float *b, int n, float *ab, float *aa, float *bb)
{
	float		acc_ab[LANES] = {0};
	float		acc_aa[LANES] = {0};
	float		acc_bb[LANES] = {0};
	int			i = 0;

	for (; i + LANES <= n; i += LANES)
	{
		for (int j = 0; j < LANES; j++)
		{
			acc_ab[j] += a[i + j] * b[i + j];
			acc_aa[j] += a[i + j] * a[i + j];
			acc_bb[j] += b[i + j] * b[i + j];
		}
	}
	for (; i < n; i++)
	{
		acc_ab[i % LANES] += a[i] * b[i];
		acc_aa[i % LANES] += a[i] * a[i];
		acc_bb[i % LANES] += b[i] * b[i];
	}
	*ab = sum_lanes(acc_ab);
	*aa = sum_lanes(acc_aa);
	*bb = sum_lanes(acc_bb);
}

/*
 * fp16 conversions.  A NaN keeps its sign and the top of its payload and
 * becomes quiet, as the hardware instructions do.
 */
static inline float
half_to_float(uint16_t h)
{
	uint32_t	sign = (uint32_t) (h & 0x8000) << 16;
	uint32_t	exponent = (h >> 10) & 0x1f;
	uint32_t	mantissa = h & 0x3ff;

	if (exponent == 0)
	{
		/* zero or denormal: mantissa * 2^-24 is exact */
		float		f = (float) mantissa * 5.9604644775390625e-8f;

		return bits_to_float(float_to_bits(f) | sign);
	}
	if (exponent == 31)
		return bits_to_float(sign | 0x7f800000 | (mantissa << 13) |
							 (mantissa ? 0x400000 : 0));
	return bits_to_float(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

static inline uint16_t
float_to_half(float f)
{
	uint32_t	bits = float_to_bits(f);
	uint16_t	sign = (uint16_t) ((bits >> 16) & 0x8000);
	uint32_t	rest = bits & 0x7fffffff;

	if (rest > 0x7f800000)
		return (uint16_t) (sign | 0x7e00 | ((rest >> 13) & 0x3ff));
	/* 65520 and above round to infinity */
	if (rest >= 0x477ff000)
		return (uint16_t) (sign | 0x7c00);
	if (rest < 0x38800000)
	{
		/*
		 * Below 2^-14 the result is a denormal: adding 0.5, whose last bit is
		 * worth 2^-24, rounds to even at just the right place.
		 */
		return (uint16_t) (sign |
						   (float_to_bits(bits_to_float(rest) + 0.5f) - 0x3f000000));
	}
	/* round to even: half a unit less one, plus the bit that will be last */
	rest += 0xfff + ((rest >> 13) & 1);
	return (uint16_t) (sign | ((rest >> 13) - (112u << 10)));
}

static void
f32_to_f16(const float *v, uint16_t *out, int n)
{
	for (int i = 0; i < n; i++)
		out[i] = float_to_half(v[i]);
}

static void
f16_to_f32(const uint16_t *v, float *out, int n)
{
	for (int i = 0; i < n; i++)
		out[i] = half_to_float(v[i]);
}

static float
dot_f16(const float *q, const uint16_t *v, int n)
{
	float		acc[LANES] = {0};

	for (int i = 0; i < n; i++)
		acc[i % LANES] += q[i] * half_to_float(v[i]);
	return sum_lanes(acc);
}

static float
l1_f16(const float *q, const uint16_t *v, int n)
{
	float		acc[LANES] = {0};

	for (int i = 0; i < n; i++)
		acc[i % LANES] += fabsf(q[i] - half_to_float(v[i]));
	return sum_lanes(acc);
}

/*
 * fp16 with fp16: widened a piece at a time, and summed as fp32.
 */
#define PIECE	64

typedef float (*Sum) (const float *a, const float *b, int n);

static inline float
sum_of_pieces(const uint16_t *a, const uint16_t *b, int n, Sum sum)
{
	float		total = 0;

	for (int i = 0; i < n; i += PIECE)
	{
		int			count = n - i < PIECE ? n - i : PIECE;
		float		x[PIECE];
		float		y[PIECE];

		f16_to_f32(a + i, x, count);
		f16_to_f32(b + i, y, count);
		total += sum(x, y, count);
	}
	return total;
}

static float
f16_l2sq(const uint16_t *a, const uint16_t *b, int n)
{
	return sum_of_pieces(a, b, n, l2sq);
}

static float
f16_dot(const uint16_t *a, const uint16_t *b, int n)
{
	return sum_of_pieces(a, b, n, dot);
}

static float
f16_l1(const uint16_t *a, const uint16_t *b, int n)
{
	return sum_of_pieces(a, b, n, l1);
}

static void
f16_dot_norms(const uint16_t *a, const uint16_t *b, int n, float *ab, float *aa, float *bb)
{
	*ab = f16_dot(a, b, n);
	*aa = f16_dot(a, a, n);
	*bb = f16_dot(b, b, n);
}

/*
 * int8 and int16
 */
static float
l1_i8(const float *q, const int8_t *c, float scale, float offset, int n)
{
	float		acc[LANES] = {0};
	int			i = 0;

	for (; i + LANES <= n; i += LANES)
	{
		for (int j = 0; j < LANES; j++)
			acc[j] += fabsf(q[i + j] - (scale * (float) c[i + j] + offset));
	}
	for (; i < n; i++)
		acc[i % LANES] += fabsf(q[i] - (scale * (float) c[i] + offset));
	return sum_lanes(acc);
}

static int32_t
dot_i16_i8(const int16_t *q, const int8_t *c, int n)
{
	int32_t		sum = 0;

	for (int i = 0; i < n; i++)
		sum += (int32_t) q[i] * c[i];
	return sum;
}

static int32_t
dot_i8_i8(const int8_t *a, const int8_t *b, int n)
{
	int32_t		sum = 0;

	for (int i = 0; i < n; i++)
		sum += (int32_t) a[i] * b[i];
	return sum;
}

static void
quantize_i8(const float *v, int n, int8_t *c, float *scale, float *offset,
			int32_t *sum)
{
	float		min = n > 0 ? v[0] : 0.0f;
	float		max = min;
	float		inverse;
	int32_t		total = 0;

	for (int i = 1; i < n; i++)
	{
		min = v[i] < min ? v[i] : min;
		max = v[i] > max ? v[i] : max;
	}
	vx_i8_scale(min, max, scale, offset);
	inverse = *scale > 0.0f ? 1.0f / *scale : 0.0f;
	for (int i = 0; i < n; i++)
	{
		float		x = (v[i] - *offset) * inverse;
		int32_t		code;

		x = x > 127.0f ? 127.0f : x;
		x = x < -127.0f ? -127.0f : x;
		code = vx_round_to_int(x);
		c[i] = (int8_t) code;
		total += code;
	}
	*sum = total;
}

static void
dequantize_i8(const int8_t *c, float scale, float offset, int n, float *out)
{
	for (int i = 0; i < n; i++)
		out[i] = scale * (float) c[i] + offset;
}

static void
quantize_i16(const float *q, int n, int16_t *out, float *scale)
{
	float		max = 0.0f;
	float		inverse;
	float		acc[LANES] = {0};
	float		sum;

	for (int i = 0; i < n; i++)
	{
		float		x = fabsf(q[i]);

		max = x > max ? x : max;
	}
	if (!(max >= VX_I16_MIN_ABS))
	{
		if (n > 0)
			memset(out, 0, (size_t) n * sizeof(*out));
		*scale = 0.0f;
		return;
	}

	/* summed after scaling to the range of int16, so that nothing overflows */
	inverse = VX_I16_MAX / max;
	for (int i = 0; i < n; i++)
		acc[i % LANES] += fabsf(q[i]) * inverse;
	sum = sum_lanes(acc);
	if (sum > VX_I16_SUM(n))
		inverse *= VX_I16_SUM(n) / sum;
	for (int i = 0; i < n; i++)
	{
		int32_t		code = vx_round_to_int(q[i] * inverse);

		code = code > 32767 ? 32767 : code;
		out[i] = (int16_t) (code < -32767 ? -32767 : code);
	}
	*scale = 1.0f / inverse;
}

/*
 * Rotation
 */

/*
 * Walsh-Hadamard transform of p values (a power of two) in place, strides
 * ascending, scaled after the last stage: the order is part of the contract,
 * for other instruction sets must round alike.
 */
static void
hadamard(float *v, int p)
{
	float		scale = vx_hadamard_scale(p);

	for (int stride = 1; stride < p; stride *= 2)
	{
		for (int i = 0; i < p; i += 2 * stride)
		{
			for (int j = i; j < i + stride; j++)
			{
				float		a = v[j];
				float		b = v[j + stride];

				v[j] = a + b;
				v[j + stride] = a - b;
			}
		}
	}
	for (int i = 0; i < p; i++)
		v[i] *= scale;
}

static void
rotate(float *v, int n, const uint32_t *signs)
{
	int			p;

	if (n <= 0)
		return;
	p = vx_power_of_two_below(n);
	for (int round = 0; round < 2; round++)
	{
		for (int i = 0; i < n; i++)
		{
			uint32_t	flip = (signs[i / 32] >> (i % 32)) << 31;

			v[i] = bits_to_float(float_to_bits(v[i]) ^ flip);
		}
		hadamard(v, p);
		if (p < n)
			hadamard(v + n - p, p);
		signs += VX_SIGN_WORDS(n);
	}
}

/*
 * Code scan (FastScan: Andre, Kermarrec, Le Scouarnec, VLDB 2015)
 */
static void
build_table(const float *q, int n, int bits, uint8_t *table, float *delta,
			float *bias)
{
	int			nibbles = VX_PLANE_NIBBLES(n);
	float		widest = 0.0f;
	float		sum[LANES] = {0};
	float		scale;

	memset(table, 0, (size_t) VX_TABLE_BYTES(n, bits));
	*delta = 0.0f;
	*bias = 0.0f;

	for (int t = 0; t < nibbles; t++)
	{
		float		width = 0.0f;

		for (int i = 4 * t; i < 4 * t + 4 && i < n; i++)
			width += fabsf(q[i]);
		widest = width > widest ? width : widest;
		sum[t % LANES] += width;
	}

	/* the last plane has the widest entries: from -w to w, w = 2^(bits-1) * widest */
	*delta = widest * (float) (1 << bits) / 255.0f;
	if (!(*delta >= VX_TABLE_MIN_DELTA))
	{
		*delta = 0.0f;
		return;
	}
	*bias = -sum_lanes(sum) * (float) ((1 << bits) - 1);

	/* T - min_t is the sum of 2 * 2^p * |q| where the bit agrees with the sign */
	scale = 2.0f / *delta;
	for (int p = 0; p < bits; p++)
	{
		for (int t = 0; t < nibbles; t++)
		{
			uint8_t    *entries = table + (size_t) (p * nibbles + t) * 16;
			float		part[4];
			float		base = 0.0f;

			for (int i = 0; i < 4; i++)
			{
				part[i] = 4 * t + i < n ?
					q[4 * t + i] * (scale * (float) (1 << p)) : 0.0f;
				base += part[i] < 0 ? -part[i] : 0.0f;
			}
			for (int v = 0; v < 16; v++)
			{
				float		x = base;
				int32_t		entry;

				for (int i = 0; i < 4; i++)
					x += (v >> i) & 1 ? part[i] : 0.0f;
				entry = vx_round_to_int(x);
				entry = entry < 0 ? 0 : entry;
				entries[v] = (uint8_t) (entry > 255 ? 255 : entry);
			}
		}
	}
}

static void
scan32(const uint8_t *codes, int groups, const uint8_t *table, uint32_t *sums)
{
	memset(sums, 0, VX_BLOCK * sizeof(*sums));
	for (int g = 0; g < groups; g++)
	{
		for (int c = 0; c < VX_BLOCK; c++)
		{
			uint32_t	sum = 0;

			for (int k = 0; k < 4; k++)
			{
				sum += table[32 * k + (codes[4 * c + k] & 15)];
				sum += table[32 * k + 16 + (codes[4 * c + k] >> 4)];
			}
			sums[c] += sum;
		}
		codes += VX_GROUP_BYTES;
		table += VX_GROUP_NIBBLES * 16;
	}
}

static uint32_t
estimate32_bf16(const uint32_t *sums, const uint16_t *a, const uint16_t *b,
				float base, float delta, float bias, float bound, float *est)
{
	uint32_t	mask = 0;

	for (int i = 0; i < VX_BLOCK; i++)
	{
		float		fa = bits_to_float((uint32_t) a[i] << 16);
		float		fb = bits_to_float((uint32_t) b[i] << 16);

		est[i] = base + fa + fb * (delta * (float) (int32_t) sums[i] + bias);
		mask |= (uint32_t) (est[i] < bound) << i;
	}
	return mask;
}

static uint32_t
estimate32_f32(const uint32_t *sums, const float *a, const float *b,
			   float base, float delta, float bias, float bound, float *est)
{
	uint32_t	mask = 0;

	for (int i = 0; i < VX_BLOCK; i++)
	{
		est[i] = base + a[i] + b[i] * (delta * (float) (int32_t) sums[i] + bias);
		mask |= (uint32_t) (est[i] < bound) << i;
	}
	return mask;
}

/*
 * Codes (RaBitQ: Gao, Long, SIGMOD 2024, and its extension to more bits)
 */
static void
encode_signs(const float *r, const float *y, int n, uint8_t *code, float *rs,
			 float *ys)
{
	float		acc_rs[LANES] = {0};
	float		acc_ys[LANES] = {0};

	for (int i = 0; i < n; i++)
	{
		int			positive = r[i] >= 0.0f;

		code[i / 8] |= (uint8_t) (positive << (i % 8));
		acc_rs[i % LANES] += positive ? r[i] : -r[i];
		acc_ys[i % LANES] += positive ? y[i] : -y[i];
	}
	*rs = sum_lanes(acc_rs);
	*ys = sum_lanes(acc_ys);
}

/* floor(x), clamped to -half .. half - 1 */
static inline int32_t
clamped_floor(float x, float half)
{
	int32_t		t;

	x = x > -half ? x : -half;
	x = x < half - 0.5f ? x : half - 0.5f;
	t = (int32_t) x;
	return t - (x < (float) t);
}

/* The reciprocal of the step that maximises <r,s>^2 / <s,s>. */
static float
best_step(const float *r, int n, int bits)
{
	static const float steps2[VX_ENCODE_STEPS] = VX_ENCODE_STEPS_2;
	static const float steps4[VX_ENCODE_STEPS] = VX_ENCODE_STEPS_4;
	const float *steps = bits == 2 ? steps2 : steps4;
	float		half = (float) (1 << (bits - 1));
	float		rms = sqrtf(dot(r, r, n) / (float) n);
	float		best = 1.0f;
	float		best_score = -1.0f;

	if (!(rms > VX_ENCODE_RMS_MIN && rms < VX_ENCODE_RMS_MAX))
		return 1.0f;
	for (int k = 0; k < VX_ENCODE_STEPS; k++)
	{
		float		inverse = 1.0f / (steps[k] * rms);
		float		rs[LANES] = {0};
		float		ss[LANES] = {0};
		float		sum;
		float		score;

		for (int i = 0; i < n; i++)
		{
			float		s = (float) clamped_floor(r[i] * inverse, half) + 0.5f;

			rs[i % LANES] += r[i] * s;
			ss[i % LANES] += s * s;
		}
		sum = sum_lanes(rs);
		score = sum * sum / sum_lanes(ss);
		if (score > best_score)
		{
			best_score = score;
			best = inverse;
		}
	}
	return best;
}

static void
encode(const float *r, const float *y, int n, int bits, uint8_t *code,
	   float *rs, float *ys)
{
	int			nibbles = VX_PLANE_NIBBLES(n);
	float		half = (float) (1 << (bits - 1));
	float		acc_rs[LANES] = {0};
	float		acc_ys[LANES] = {0};
	float		inverse;

	memset(code, 0, (size_t) VX_CODE_BYTES(n, bits));
	if (bits == 1)
	{
		encode_signs(r, y, n, code, rs, ys);
		return;
	}
	inverse = n > 0 ? best_step(r, n, bits) : 1.0f;
	for (int i = 0; i < n; i++)
	{
		int32_t		t = clamped_floor(r[i] * inverse, half);
		unsigned	u = (unsigned) (t + (1 << (bits - 1)));
		float		s = (float) (2 * t + 1);

		for (int p = 0; p < bits; p++)
		{
			int			bit = (p * nibbles + i / 4) * 4 + i % 4;

			code[bit / 8] |= (uint8_t) (((u >> p) & 1) << (bit % 8));
		}
		acc_rs[i % LANES] += r[i] * s;
		acc_ys[i % LANES] += y[i] * s;
	}
	*rs = sum_lanes(acc_rs);
	*ys = sum_lanes(acc_ys);
}

/*
 * One query, many vectors
 */
static void
l2sq_many(const float *q, const float *v, size_t stride, int n, int count,
		  float *out)
{
	for (int i = 0; i < count; i++)
		out[i] = l2sq(q, v + (size_t) i * stride, n);
}

static void
dot_many(const float *q, const float *v, size_t stride, int n, int count,
		 float *out)
{
	for (int i = 0; i < count; i++)
		out[i] = dot(q, v + (size_t) i * stride, n);
}

static void
l1_many(const float *q, const float *v, size_t stride, int n, int count,
		float *out)
{
	for (int i = 0; i < count; i++)
		out[i] = l1(q, v + (size_t) i * stride, n);
}

static void
dot_i8_panels(const int8_t *const *rows, int nrows, int n, const int8_t *panels,
			  int npanels, int32_t *out, size_t stride)
{
	for (int r = 0; r < nrows; r++)
		for (int p = 0; p < npanels; p++)
		{
			const int8_t *panel = panels + (size_t) p * VX_PANEL_BYTES(n);
			int32_t		sums[VX_PANEL] = {0};

			for (int i = 0; i < n; i += 4, panel += 4 * VX_PANEL)
			{
				int8_t		x[4] = {0, 0, 0, 0};

				memcpy(x, rows[r] + i, (size_t) (n - i < 4 ? n - i : 4));
				for (int c = 0; c < VX_PANEL; c++)
					sums[c] += x[0] * panel[4 * c] + x[1] * panel[4 * c + 1] +
						x[2] * panel[4 * c + 2] + x[3] * panel[4 * c + 3];
			}
			memcpy(out + (size_t) r * stride + (size_t) (p * VX_PANEL), sums, sizeof(sums));
		}
}

static void
panel_distances(const int32_t *dot, int n, const float *norm, const float *scale,
				const float *offset, const float *sum, float base, float p,
				float q, float r, float *out)
{
	for (int i = 0; i < n; i++)
		out[i] = base + norm[i] -
			(p * (float) dot[i] * scale[i] + q * offset[i] + r * sum[i]);
}

static int
below(const float *v, int n, float bound, uint16_t *at)
{
	int			found = 0;

	for (int i = 0; i < n; i++)
		if (v[i] < bound)
			at[found++] = (uint16_t) i;
	return found;
}

static float
subtract(const float *a, const float *b, int n, float *r)
{
	for (int i = 0; i < n; i++)
		r[i] = a[i] - b[i];
	return sumsq(r, n);
}

static uint64_t
hamming(const uint8_t *a, const uint8_t *b, int n)
{
	uint64_t	count = 0;

	for (int i = 0; i < n; i += 8)
		count += vx_count_bits(vx_load_bits(a + i, n - i) ^ vx_load_bits(b + i, n - i));
	return count;
}

static void
hamming_many(const uint8_t *a, const uint8_t *rows, int n, int count, float *out)
{
	for (int i = 0; i < count; i++)
		out[i] = (float) hamming(a, rows + (size_t) i * (size_t) n, n);
}

static void
common_bits(const uint8_t *a, const uint8_t *b, int n, uint64_t *both, uint64_t *either)
{
	*both = *either = 0;
	for (int i = 0; i < n; i += 8)
	{
		uint64_t	x = vx_load_bits(a + i, n - i);
		uint64_t	y = vx_load_bits(b + i, n - i);

		*both += vx_count_bits(x & y);
		*either += vx_count_bits(x | y);
	}
}

static int
intersect(const int32_t *a, int m, const int32_t *b, int n, uint16_t *at_a, uint16_t *at_b, int most)
{
	return vx_intersect_rest(a, 0, m, b, 0, n, at_a, at_b, 0, most);
}

static float
sparse_dot(const float *table, const uint32_t *words, int n)
{
	float		acc[LANES] = {0};

	for (int i = 0; i < n; i++)
		acc[i % LANES] += table[words[i] >> 16] * half_to_float((uint16_t) words[i]);
	return sum_lanes(acc);
}

static float
sparse_l1(const float *table, const uint32_t *words, float scale, int n)
{
	float		acc[LANES] = {0};

	for (int i = 0; i < n; i++)
	{
		float		t = table[words[i] >> 16];

		acc[i % LANES] += fabsf(t - scale * half_to_float((uint16_t) words[i])) - fabsf(t);
	}
	return sum_lanes(acc);
}

const VxKernels vx_kernels_generic = {
	.name = "generic",
	.l2sq = l2sq,
	.dot = dot,
	.l1 = l1,
	.sumsq = sumsq,
	.dot_norms = dot_norms,
	.dot_f16 = dot_f16,
	.l1_f16 = l1_f16,
	.f16_l2sq = f16_l2sq,
	.f16_dot = f16_dot,
	.f16_l1 = f16_l1,
	.f16_dot_norms = f16_dot_norms,
	.l1_i8 = l1_i8,
	.dot_i16_i8 = dot_i16_i8,
	.dot_i8_i8 = dot_i8_i8,
	.dot_i8_panels = dot_i8_panels,
	.panel_distances = panel_distances,
	.below = below,
	.subtract = subtract,
	.hamming = hamming,
	.hamming_many = hamming_many,
	.common_bits = common_bits,
	.intersect = intersect,
	.sparse_dot = sparse_dot,
	.sparse_l1 = sparse_l1,
	.f32_to_f16 = f32_to_f16,
	.f16_to_f32 = f16_to_f32,
	.quantize_i8 = quantize_i8,
	.dequantize_i8 = dequantize_i8,
	.quantize_i16 = quantize_i16,
	.rotate = rotate,
	.build_table = build_table,
	.scan32 = scan32,
	.estimate32_bf16 = estimate32_bf16,
	.estimate32_f32 = estimate32_f32,
	.encode = encode,
	.l2sq_many = l2sq_many,
	.dot_many = dot_many,
	.l1_many = l1_many,
};
