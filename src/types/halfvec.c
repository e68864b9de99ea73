/*
 * halfvec.c
 *		Making halfvecs, and casts from and to them.
 *
 * A cast's second argument is the target's type modifier, -1 for none; the
 * third, whether the cast is explicit, makes no difference.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "utils/builtins.h"

#include "simd/vx_simd.h"

#include "types/element.h"
#include "types/half.h"
#include "types/halfvec.h"
#include "types/vector.h"

Halfvec *
InitHalfvec(int dim)
{
	Size		size = HALFVEC_SIZE(dim);
	Halfvec    *h = (Halfvec *) palloc0(size);

	Assert(dim >= 1 && dim <= HALFVEC_MAX_DIM);
	SET_VARSIZE(h, size);
	h->dim = dim;
	return h;
}

float *
HalfvecFloats(const Halfvec *h)
{
	float	   *x = palloc(sizeof(float) * h->dim);

	vx_simd->f16_to_f32(h->x, x, h->dim);
	return x;
}

Halfvec *
HalfvecRounded(const float *x, int dim)
{
	Halfvec    *h = InitHalfvec(dim);
	int			bad = 0;

	vx_simd->f32_to_f16(x, h->x, dim);
	/* the exponent of infinity and NaN */
	for (int i = 0; i < dim; i++)
		bad |= (h->x[i] & 0x7c00) == 0x7c00;
	if (likely(bad == 0))
		return h;

	ElementsCheckFinite(x, dim, "halfvec");
	for (int i = 0; i < dim; i++)
	{
		char		text[FLOAT_SHORTEST_DECIMAL_LEN];

		if (fabsf(x[i]) < HALF_OVERFLOW)
			continue;
		float_to_shortest_decimal_buf(x[i], text);
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("\"%s\" is out of range for type halfvec", text)));
	}
	return h;
}

/*
 * halfvec(halfvec, integer, boolean): not padded or cut, only checked.
 */
PG_FUNCTION_INFO_V1(vectorx_halfvec);
Datum
vectorx_halfvec(PG_FUNCTION_ARGS)
{
	Halfvec    *h = PG_GETARG_HALFVEC_P(0);

	ElementCheckTypmod(PG_GETARG_INT32(1), h->dim);
	PG_RETURN_HALFVEC_P(h);
}

/*
 * vector_to_halfvec(vector, integer, boolean): each element rounded.
 */
PG_FUNCTION_INFO_V1(vectorx_vector_to_halfvec);
Datum
vectorx_vector_to_halfvec(PG_FUNCTION_ARGS)
{
	Vector	   *v = PG_GETARG_VECTOR_P(0);

	ElementCheckTypmod(PG_GETARG_INT32(1), v->dim);
	PG_RETURN_HALFVEC_P(HalfvecRounded(v->x, v->dim));
}

/*
 * halfvec_to_vector(halfvec, integer, boolean): the same numbers.
 */
PG_FUNCTION_INFO_V1(vectorx_halfvec_to_vector);
Datum
vectorx_halfvec_to_vector(PG_FUNCTION_ARGS)
{
	Halfvec    *h = PG_GETARG_HALFVEC_P(0);
	Vector	   *result;

	ElementCheckTypmod(PG_GETARG_INT32(1), h->dim);
	result = InitVector(h->dim);
	vx_simd->f16_to_f32(h->x, result->x, h->dim);
	PG_RETURN_VECTOR_P(result);
}

/*
 * halfvec_to_float4(halfvec, integer, boolean)
 */
PG_FUNCTION_INFO_V1(vectorx_halfvec_to_float4);
Datum
vectorx_halfvec_to_float4(PG_FUNCTION_ARGS)
{
	Halfvec    *h = PG_GETARG_HALFVEC_P(0);

	PG_RETURN_ARRAYTYPE_P(DenseArray(HalfvecFloats(h), h->dim));
}

/*
 * Elements of an array, n floats, that are halfway between halves where the array has
 * numbers more exact than floats.
 */
static void
leave_halfway(ArrayType *array, int n, float *x)
{
	Datum	   *elements;
	int			count;

	if (ARR_ELEMTYPE(array) == FLOAT8OID)
	{
		for (int i = 0; i < n; i++)
			x[i] = VxFloatForHalf(((const float8 *) ARR_DATA_PTR(array))[i]);
		return;
	}
	if (ARR_ELEMTYPE(array) != NUMERICOID)
		return;
	deconstruct_array(array, NUMERICOID, -1, false, TYPALIGN_INT, &elements, NULL, &count);
	for (int i = 0; i < n; i++)
	{
		char	   *text;

		if (!VxHalfway(x[i]))
			continue;
		text = DatumGetCString(DirectFunctionCall1(numeric_out, elements[i]));
		x[i] = VxLeaveHalfway(text, text + strlen(text), x[i]);
	}
	pfree(elements);
}

/*
 * array_to_halfvec(array, integer, boolean), for arrays of integer, real,
 * double precision and numeric.
 */
PG_FUNCTION_INFO_V1(vectorx_array_to_halfvec);
Datum
vectorx_array_to_halfvec(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	int			dim = ElementsOfArray(array);
	float	   *x;

	DenseCheckDim(dim, "halfvec");
	ElementCheckTypmod(PG_GETARG_INT32(1), dim);
	x = palloc(sizeof(float) * dim);
	ElementsFromArray(array, dim, x);
	leave_halfway(array, dim, x);
	PG_RETURN_HALFVEC_P(HalfvecRounded(x, dim));
}
