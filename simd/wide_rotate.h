/*
 * wide_rotate.h
 *		The rotation, for any width (see wide.h).  Sums only, and one product
 *		after the last stage: nothing to fuse.
 *
 * A file of an instruction set includes it once and has the part within one
 * register.
 */

/* The stages of stride less than WIDTH. */
VX_INLINE Floats hadamard_lanes(Floats v);

/* Negate the elements whose bit is set. */
VX_INLINE void flip_signs(float *v, int n, const uint32_t *signs);

/* One stage of stride >= WIDTH. */
VX_INLINE void
stage2(float *v, int p, int stride, int last, Floats scale)
{
	for (int i = 0; i < p; i += 2 * stride)
	{
		for (int j = i; j < i + stride; j += WIDTH)
		{
			Floats		a = PS(loadu)(v + j);
			Floats		b = PS(loadu)(v + j + stride);
			Floats		sum = PS(add)(a, b);
			Floats		difference = PS(sub)(a, b);

			if (last)
			{
				sum = PS(mul)(sum, scale);
				difference = PS(mul)(difference, scale);
			}
			PS(storeu)(v + j, sum);
			PS(storeu)(v + j + stride, difference);
		}
	}
}

/* Two stages, of "stride" >= WIDTH and of twice that. */
VX_INLINE void
stage4(float *v, int p, int stride, int last, Floats scale)
{
	for (int i = 0; i < p; i += 4 * stride)
	{
		for (int j = i; j < i + stride; j += WIDTH)
		{
			Floats		a = PS(loadu)(v + j);
			Floats		b = PS(loadu)(v + j + stride);
			Floats		c = PS(loadu)(v + j + 2 * stride);
			Floats		d = PS(loadu)(v + j + 3 * stride);
			Floats		ab = PS(add)(a, b);
			Floats		cd = PS(add)(c, d);

			b = PS(sub)(a, b);
			d = PS(sub)(c, d);
			a = PS(add)(ab, cd);
			c = PS(sub)(ab, cd);
			ab = PS(add)(b, d);
			d = PS(sub)(b, d);
			if (last)
			{
				a = PS(mul)(a, scale);
				ab = PS(mul)(ab, scale);
				c = PS(mul)(c, scale);
				d = PS(mul)(d, scale);
			}
			PS(storeu)(v + j, a);
			PS(storeu)(v + j + stride, ab);
			PS(storeu)(v + j + 2 * stride, c);
			PS(storeu)(v + j + 3 * stride, d);
		}
	}
}

/* p >= WIDTH, a power of two */
static void
hadamard(float *v, int p)
{
	Floats		scale = PS(set1)(vx_hadamard_scale(p));
	int			stages = __builtin_ctz((unsigned) (p / WIDTH));
	int			stride = WIDTH;

	for (int i = 0; i < p; i += WIDTH)
	{
		Floats		x = hadamard_lanes(PS(loadu)(v + i));

		PS(storeu)(v + i, stages == 0 ? PS(mul)(x, scale) : x);
	}
	if (stages == 1)
		stage2(v, p, stride, 1, scale);
	else if (stages & 1)
	{
		stage2(v, p, stride, 0, scale);
		stride *= 2;
	}
	for (; 4 * stride < p; stride *= 4)
		stage4(v, p, stride, 0, scale);
	if (4 * stride == p)
		stage4(v, p, stride, 1, scale);
}

static void
rotate(float *v, int n, const uint32_t *signs)
{
	int			p;

	if (n < WIDTH)
	{
		vx_kernels_generic.rotate(v, n, signs);
		return;
	}
	p = vx_power_of_two_below(n);
	for (int round = 0; round < 2; round++)
	{
		flip_signs(v, n, signs);
		hadamard(v, p);
		if (p < n)
			hadamard(v + n - p, p);
		signs += VX_SIGN_WORDS(n);
	}
}
