/*
 * wide_distance.h
 *		Sums of fp32 with fp32, fp16 and int8, for any width (see wide.h).
 *
 * A file of an instruction set includes it once and says how vectors shorter
 * than SHORT and the last elements of longer ones are read.
 */

/* The whole of a distance, n < SHORT. */
VX_INLINE float distance_short(const void *q, const void *v, float scale,
							   float offset, int n, int op, int src);

/* Elements i .. n - 1, at least one and fewer than WIDTH; n >= SHORT. */
VX_INLINE Floats add_tail(Floats acc, const void *q, const void *v, int i, int n,
						  Floats scale, Floats offset, int op, int src);

/* Elements i .. n - 1, or the first WIDTH of them, of what load_query loads. */
VX_INLINE Floats load_query_first(const void *v, int i, int n, int src);

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
distance(const void *q, const void *v, float scale, float offset, int n,
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
		acc0 = accumulate(acc0, load_query(q, i, src),
						  load_stored(v, i, vscale, voffset, src), op);
		acc1 = accumulate(acc1, load_query(q, i + WIDTH, src),
						  load_stored(v, i + WIDTH, vscale, voffset, src), op);
		acc2 = accumulate(acc2, load_query(q, i + 2 * WIDTH, src),
						  load_stored(v, i + 2 * WIDTH, vscale, voffset, src), op);
		acc3 = accumulate(acc3, load_query(q, i + 3 * WIDTH, src),
						  load_stored(v, i + 3 * WIDTH, vscale, voffset, src), op);
	}
	for (; i + WIDTH <= n; i += WIDTH)
		acc0 = accumulate(acc0, load_query(q, i, src),
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

static float
f16_l2sq(const uint16_t *a, const uint16_t *b, int n)
{
	return distance(a, b, 0, 0, n, OP_L2SQ, SRC_BOTH_F16);
}

static float
f16_dot(const uint16_t *a, const uint16_t *b, int n)
{
	return distance(a, b, 0, 0, n, OP_DOT, SRC_BOTH_F16);
}

static float
f16_l1(const uint16_t *a, const uint16_t *b, int n)
{
	return distance(a, b, 0, 0, n, OP_L1, SRC_BOTH_F16);
}

/* The three sums of dot_norms. */
typedef struct DotNorms
{
	Floats		ab;
	Floats		aa;
	Floats		bb;
} DotNorms;

VX_INLINE void
add_dot_norms(DotNorms *sums, Floats x, Floats y)
{
	sums->ab = PS(fmadd)(x, y, sums->ab);
	sums->aa = PS(fmadd)(x, x, sums->aa);
	sums->bb = PS(fmadd)(y, y, sums->bb);
}

/* Of two vectors as they are stored, both in the same way. */
VX_INLINE void
dot_and_norms(const void *a, const void *b, int n, float *ab, float *aa, float *bb, int src)
{
	const Floats zero = PS(setzero)();
	DotNorms	even = {zero, zero, zero};
	DotNorms	odd = even;
	int			i = 0;

	for (; i + 2 * WIDTH <= n; i += 2 * WIDTH)
	{
		add_dot_norms(&even, load_query(a, i, src), load_query(b, i, src));
		add_dot_norms(&odd, load_query(a, i + WIDTH, src), load_query(b, i + WIDTH, src));
	}
	for (; i < n; i += WIDTH)
		add_dot_norms(&even, load_query_first(a, i, n, src), load_query_first(b, i, n, src));
	*ab = sum_floats(PS(add)(even.ab, odd.ab));
	*aa = sum_floats(PS(add)(even.aa, odd.aa));
	*bb = sum_floats(PS(add)(even.bb, odd.bb));
}

static void
dot_norms(const float *a, const float *b, int n, float *ab, float *aa, float *bb)
{
	dot_and_norms(a, b, n, ab, aa, bb, SRC_F32);
}

static void
f16_dot_norms(const uint16_t *a, const uint16_t *b, int n, float *ab, float *aa, float *bb)
{
	dot_and_norms(a, b, n, ab, aa, bb, SRC_BOTH_F16);
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
