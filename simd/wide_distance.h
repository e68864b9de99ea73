/*
 * wide_distance.h
 *		Sums of fp32 with fp32, fp16 and int8, for any width (see wide.h).
 *
 * A file of an instruction set includes it once and says how vectors shorter
 * than SHORT and the last elements of longer ones are read.
 */

/* The whole of a distance, n < SHORT. */
VX_INLINE float distance_short(const float *q, const void *v, float scale,
							   float offset, int n, int op, int src);

/* Elements i .. n - 1, at least one and fewer than WIDTH; n >= SHORT. */
VX_INLINE Floats add_tail(Floats acc, const float *q, const void *v, int i, int n,
						  Floats scale, Floats offset, int op, int src);

VX_INLINE Floats
accumulate(Floats acc, Floats a, Floats b, int op)
{
	Floats		d;

	if (op == OP_DOT)
		return PS(fmadd)(a, b, acc);
	d = PS(sub)(a, b);
	if (op == OP_L2SQ)
		return PS(fmadd)(d, d, acc);
	return PS(add)(acc, absolute(d));
}

/* Every distance; "op" and "src" are constants where it is inlined. */
VX_INLINE float
distance(const float *q, const void *v, float scale, float offset, int n,
		 int op, int src)
{
	Floats		vscale = PS(set1)(scale);
	Floats		voffset = PS(set1)(offset);
	Floats		acc0 = PS(setzero)();
	Floats		acc1 = PS(setzero)();
	Floats		acc2 = PS(setzero)();
	Floats		acc3 = PS(setzero)();
	int			i = 0;

	if (n < SHORT)
		return distance_short(q, v, scale, offset, n, op, src);
	for (; i + 4 * WIDTH <= n; i += 4 * WIDTH)
	{
		acc0 = accumulate(acc0, PS(loadu)(q + i),
						  load_stored(v, i, vscale, voffset, src), op);
		acc1 = accumulate(acc1, PS(loadu)(q + i + WIDTH),
						  load_stored(v, i + WIDTH, vscale, voffset, src), op);
		acc2 = accumulate(acc2, PS(loadu)(q + i + 2 * WIDTH),
						  load_stored(v, i + 2 * WIDTH, vscale, voffset, src), op);
		acc3 = accumulate(acc3, PS(loadu)(q + i + 3 * WIDTH),
						  load_stored(v, i + 3 * WIDTH, vscale, voffset, src), op);
	}
	for (; i + WIDTH <= n; i += WIDTH)
		acc0 = accumulate(acc0, PS(loadu)(q + i),
						  load_stored(v, i, vscale, voffset, src), op);
	if (i < n)
		acc1 = add_tail(acc1, q, v, i, n, vscale, voffset, op, src);
	return sum_floats(PS(add)(PS(add)(acc0, acc1), PS(add)(acc2, acc3)));
}

static float
l2sq(const float *a, const float *b, int n)
{
	return distance(a, b, 0, 0, n, OP_L2SQ, SRC_F32);
}

static float
dot(const float *a, const float *b, int n)
{
	return distance(a, b, 0, 0, n, OP_DOT, SRC_F32);
}

static float
l1(const float *a, const float *b, int n)
{
	return distance(a, b, 0, 0, n, OP_L1, SRC_F32);
}

static float
sumsq(const float *a, int n)
{
	return distance(a, a, 0, 0, n, OP_DOT, SRC_F32);
}

static float
dot_f16(const float *q, const uint16_t *v, int n)
{
	return distance(q, v, 0, 0, n, OP_DOT, SRC_F16);
}

static float
l1_f16(const float *q, const uint16_t *v, int n)
{
	return distance(q, v, 0, 0, n, OP_L1, SRC_F16);
}

static float
l1_i8(const float *q, const int8_t *c, float scale, float offset, int n)
{
	return distance(q, c, scale, offset, n, OP_L1, SRC_I8);
}

static void
dot_norms(const float *a, const float *b, int n, float *ab, float *aa, float *bb)
{
	Floats		ab0 = PS(setzero)();
	Floats		aa0 = PS(setzero)();
	Floats		bb0 = PS(setzero)();
	Floats		ab1 = PS(setzero)();
	Floats		aa1 = PS(setzero)();
	Floats		bb1 = PS(setzero)();
	int			i = 0;

	for (; i + 2 * WIDTH <= n; i += 2 * WIDTH)
	{
		Floats		x0 = PS(loadu)(a + i);
		Floats		y0 = PS(loadu)(b + i);
		Floats		x1 = PS(loadu)(a + i + WIDTH);
		Floats		y1 = PS(loadu)(b + i + WIDTH);

		ab0 = PS(fmadd)(x0, y0, ab0);
		aa0 = PS(fmadd)(x0, x0, aa0);
		bb0 = PS(fmadd)(y0, y0, bb0);
		ab1 = PS(fmadd)(x1, y1, ab1);
		aa1 = PS(fmadd)(x1, x1, aa1);
		bb1 = PS(fmadd)(y1, y1, bb1);
	}
	for (; i < n; i += WIDTH)
	{
		Floats		x = load_first(a + i, n - i);
		Floats		y = load_first(b + i, n - i);

		ab0 = PS(fmadd)(x, y, ab0);
		aa0 = PS(fmadd)(x, x, aa0);
		bb0 = PS(fmadd)(y, y, bb0);
	}
	*ab = sum_floats(PS(add)(ab0, ab1));
	*aa = sum_floats(PS(add)(aa0, aa1));
	*bb = sum_floats(PS(add)(bb0, bb1));
}

/*
 * One query, many vectors: four at a time, so that a piece of the query is
 * loaded once for all of them.
 */
VX_INLINE void
many(const float *q, const float *v, size_t stride, int n, int count,
	 float *out, int op)
{
	int			k = 0;

	for (; k + 4 <= count; k += 4)
	{
		const float *v0 = v + (size_t) k * stride;
		const float *v1 = v0 + stride;
		const float *v2 = v1 + stride;
		const float *v3 = v2 + stride;
		Floats		acc0 = PS(setzero)();
		Floats		acc1 = PS(setzero)();
		Floats		acc2 = PS(setzero)();
		Floats		acc3 = PS(setzero)();
		int			i = 0;

		for (; i + WIDTH <= n; i += WIDTH)
		{
			Floats		x = PS(loadu)(q + i);

			acc0 = accumulate(acc0, x, PS(loadu)(v0 + i), op);
			acc1 = accumulate(acc1, x, PS(loadu)(v1 + i), op);
			acc2 = accumulate(acc2, x, PS(loadu)(v2 + i), op);
			acc3 = accumulate(acc3, x, PS(loadu)(v3 + i), op);
		}
		if (i < n)
		{
			Floats		x = load_tail(q + i, n - i);

			acc0 = accumulate(acc0, x, load_tail(v0 + i, n - i), op);
			acc1 = accumulate(acc1, x, load_tail(v1 + i, n - i), op);
			acc2 = accumulate(acc2, x, load_tail(v2 + i, n - i), op);
			acc3 = accumulate(acc3, x, load_tail(v3 + i, n - i), op);
		}
		out[k] = sum_floats(acc0);
		out[k + 1] = sum_floats(acc1);
		out[k + 2] = sum_floats(acc2);
		out[k + 3] = sum_floats(acc3);
	}
	for (; k < count; k++)
		out[k] = distance(q, v + (size_t) k * stride, 0, 0, n, op, SRC_F32);
}

static void
l2sq_many(const float *q, const float *v, size_t stride, int n, int count,
		  float *out)
{
	many(q, v, stride, n, count, out, OP_L2SQ);
}

static void
dot_many(const float *q, const float *v, size_t stride, int n, int count,
		 float *out)
{
	many(q, v, stride, n, count, out, OP_DOT);
}

static void
l1_many(const float *q, const float *v, size_t stride, int n, int count,
		float *out)
{
	many(q, v, stride, n, count, out, OP_L1);
}
