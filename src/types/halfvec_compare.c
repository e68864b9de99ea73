/*
 * halfvec_compare.c
 *		The total order of halfvecs: element by element, then by length.
 *
 * As vector_compare.c.
 */
#include "postgres.h"

#include "simd/vx_simd.h"

#include "types/halfvec.h"

/* So many elements are widened at once: most differ in the first. */
#define PIECE 32

static int
compare(const Halfvec *a, const Halfvec *b)
{
	int			n = Min(a->dim, b->dim);

	for (int i = 0; i < n; i += PIECE)
	{
		int			count = Min(n - i, PIECE);
		float		x[PIECE];
		float		y[PIECE];
		int			result;

		vx_simd->f16_to_f32(a->x + i, x, count);
		vx_simd->f16_to_f32(b->x + i, y, count);
		result = DenseCompare(x, y, count);
		if (result != 0)
			return result;
	}
	return (a->dim > b->dim) - (a->dim < b->dim);
}

static int
compare_args(FunctionCallInfo fcinfo)
{
	Halfvec    *a = PG_GETARG_HALFVEC_P(0);
	Halfvec    *b = PG_GETARG_HALFVEC_P(1);
	int			result = compare(a, b);

	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	return result;
}

ELEMENTS_COMPARISONS(halfvec)
