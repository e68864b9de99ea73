/*
 * wide_code.h
 *		Lookup tables, estimates and codes, for any width (see wide.h).
 *
 * A file of an instruction set includes it once and has what follows here.
 */

/*
 * Entries of "nibbles" nibbles of plane 0, from part[] (four floats a nibble)
 * and base[] (one in each four), all times "factor".
 */
VX_INLINE void table_entries(const float *part, const float *base, int nibbles,
							 float factor, uint8_t *table);

/* The greatest of a register in which each four lanes are equal. */
VX_INLINE float greatest_of_fours(Floats v);

/* The same as encode() for one bit. */
VX_INLINE void encode_signs(const float *r, const float *y, int n, uint8_t *code,
							float *rs, float *ys);

/* floor(x) */
VX_INLINE Floats floor_floats(Floats x);

/* Bit p of each of the first "count" integers. */
VX_INLINE uint32_t plane_bits(Ints x, int p, int count);

/* <r,s>^2 / <s,s> for four reciprocals of the step */
static void step_scores(const float *r, int n, float half, const float *inverse,
						float *scores);

/*
 * Lookup table
 */

/* Dimensions handled through a buffer at a time, a multiple of WIDTH. */
#define TABLE_CHUNK 128

/* In every lane the sum of its four. */
VX_INLINE Floats
sum_of_fours(Floats x)
{
	x = PS(add)(x, PS(permute)(x, 0xB1));
	return PS(add)(x, PS(permute)(x, 0x4E));
}

void
LEVEL(build_table)(const float *q, int n, int bits, uint8_t *table, float *delta,
				   float *bias)
{
	int			nibbles = VX_PLANE_NIBBLES(n);
	Floats		widest = PS(setzero)();
	Floats		total = PS(setzero)();
	Floats		scale;
	size_t		used = (size_t) VX_CODE_NIBBLES(n, bits) * 16;

	for (int i = 0; i < n; i += WIDTH)
	{
		Floats		x = absolute(load_first(q + i, n - i));

		total = PS(add)(total, x);
		widest = PS(max)(widest, sum_of_fours(x));
	}
	*delta = greatest_of_fours(widest) * (float) (1 << bits) / 255.0f;
	*bias = 0.0f;
	if (!(*delta >= VX_TABLE_MIN_DELTA))
	{
		memset(table, 0, (size_t) VX_TABLE_BYTES(n, bits));
		*delta = 0.0f;
		return;
	}
	*bias = -sum_floats(total) * (float) ((1 << bits) - 1);
	memset(table + used, 0, (size_t) VX_TABLE_BYTES(n, bits) - used);

	scale = PS(set1)(2.0f / *delta);
	for (int start = 0; start < n; start += TABLE_CHUNK)
	{
		int			count = n - start < TABLE_CHUNK ? n - start : TABLE_CHUNK;
		float		part[TABLE_CHUNK];
		float		base[TABLE_CHUNK];

		for (int i = 0; i < count; i += WIDTH)
		{
			Floats		x = PS(mul)(scale, load_first(q + start + i, count - i));
			Floats		negative = PS(sub)(PS(setzero)(), PS(min)(x, PS(setzero)()));

			PS(storeu)(part + i, x);
			PS(storeu)(base + i, sum_of_fours(negative));
		}
		for (int p = 0; p < bits; p++)
			table_entries(part, base, (count + 3) / 4, (float) (1 << p),
						  table + (size_t) (p * nibbles + start / 4) * 16);
	}
}

/*
 * Estimates
 */
VX_INLINE uint32_t
estimate(const uint32_t *sums, Floats a, Floats b, float base, float delta,
		 float bias, float bound, float *est)
{
	Floats		x = PS(cvtepi32)(load_ints(sums));

	x = PS(fmadd)(x, PS(set1)(delta), PS(set1)(bias));
	x = PS(fmadd)(x, b, PS(add)(a, PS(set1)(base)));
	PS(storeu)(est, x);
	return less_mask(x, PS(set1)(bound));
}

uint32_t
LEVEL(estimate32_bf16)(const uint32_t *sums, const uint16_t *a, const uint16_t *b,
					   float base, float delta, float bias, float bound, float *est)
{
	uint32_t	mask = 0;

	for (int i = 0; i < VX_BLOCK; i += WIDTH)
		mask |= estimate(sums + i, load_bf16(a + i), load_bf16(b + i),
						 base, delta, bias, bound, est + i) << i;
	return mask;
}

uint32_t
LEVEL(estimate32_f32)(const uint32_t *sums, const float *a, const float *b,
					  float base, float delta, float bias, float bound, float *est)
{
	uint32_t	mask = 0;

	for (int i = 0; i < VX_BLOCK; i += WIDTH)
		mask |= estimate(sums + i, PS(loadu)(a + i), PS(loadu)(b + i),
						 base, delta, bias, bound, est + i) << i;
	return mask;
}

/*
 * Codes (RaBitQ: Gao, Long, SIGMOD 2024, and its extension to more bits)
 */

/* floor(x), clamped to low .. high */
VX_INLINE Floats
clamped_floor(Floats x, Floats low, Floats high)
{
	return floor_floats(PS(min)(PS(max)(x, low), high));
}

static float
best_step(const float *r, int n, int bits)
{
	static const float steps2[VX_ENCODE_STEPS] = VX_ENCODE_STEPS_2;
	static const float steps4[VX_ENCODE_STEPS] = VX_ENCODE_STEPS_4;
	const float *steps = bits == 2 ? steps2 : steps4;
	float		half = (float) (1 << (bits - 1));
	float		rms = sqrtf(LEVEL(kernels).sumsq(r, n) / (float) n);
	float		inverse[VX_ENCODE_STEPS];
	float		scores[VX_ENCODE_STEPS];
	int			best = 0;

	if (!(rms > VX_ENCODE_RMS_MIN && rms < VX_ENCODE_RMS_MAX))
		return 1.0f;
	for (int k = 0; k < VX_ENCODE_STEPS; k++)
		inverse[k] = 1.0f / (steps[k] * rms);
	for (int k = 0; k < VX_ENCODE_STEPS; k += 4)
		step_scores(r, n, half, inverse + k, scores + k);
	for (int k = 1; k < VX_ENCODE_STEPS; k++)
	{
		if (scores[k] > scores[best])
			best = k;
	}
	return inverse[best];
}

void
LEVEL(encode)(const float *r, const float *y, int n, int bits, uint8_t *code,
			  float *rs, float *ys)
{
	int			nibbles = VX_PLANE_NIBBLES(n);
	float		half = (float) (1 << (bits - 1));
	const Floats low = PS(set1)(-half);
	const Floats high = PS(set1)(half - 0.5f);
	Floats		acc_rs = PS(setzero)();
	Floats		acc_ys = PS(setzero)();
	Floats		inverse;

	memset(code, 0, (size_t) VX_CODE_BYTES(n, bits));
	if (bits == 1)
	{
		encode_signs(r, y, n, code, rs, ys);
		return;
	}
	inverse = PS(set1)(n > 0 ? best_step(r, n, bits) : 1.0f);
	for (int i = 0; i < n; i += WIDTH)
	{
		int			count = n - i < WIDTH ? n - i : WIDTH;
		Floats		x = load_first(r + i, count);
		Floats		z = load_first(y + i, count);
		Floats		t = clamped_floor(PS(mul)(x, inverse), low, high);
		Floats		s = PS(add)(PS(add)(t, t), PS(set1)(1.0f));
		Ints		u = round_to_ints(PS(add)(t, PS(set1)(half)));

		for (int p = 0; p < bits; p++)
			vx_put_bits(code, p * nibbles + i / 4, plane_bits(u, p, count), count);
		acc_rs = PS(fmadd)(x, s, acc_rs);
		acc_ys = PS(fmadd)(z, s, acc_ys);
	}
	*rs = sum_floats(acc_rs);
	*ys = sum_floats(acc_ys);
}
