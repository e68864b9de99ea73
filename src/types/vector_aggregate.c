/*
 * vector_aggregate.c
 *		Support functions of the aggregates avg(vector) and avg(halfvec).
 *
 * The state is an array of double precision: the number of rows, then the sum
 * of each element; before the first row, only the number 0.  It can come from
 * anyone who calls these functions by hand, so its form is checked.  (sum's
 * state is a value of the type, and its transition function adds two of them.)
 */
#include "postgres.h"

#include <float.h>

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/float.h"

#include "types/element.h"
#include "types/half.h"
#include "types/halfvec.h"
#include "types/vector.h"

#define STATE_DATA(state) ((float8 *) ARR_DATA_PTR(state))
#define STATE_ROWS(state) (STATE_DATA(state)[0])
#define STATE_DIM(state) (ARR_DIMS(state)[0] - 1)

static ArrayType *
get_state(Datum datum, const char *caller)
{
	ArrayType *state = DatumGetArrayTypeP(datum);

	if (ARR_NDIM(state) != 1 || ARR_DIMS(state)[0] < 1 ||
		ARR_HASNULL(state) || ARR_ELEMTYPE(state) != FLOAT8OID)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s: expected state array", caller)));
	return state;
}

static ArrayType *
make_state(int dim)
{
	Size size = ARR_OVERHEAD_NONULLS(1) + sizeof(float8) * (dim + 1);
	ArrayType *state = (ArrayType *) palloc0(size);

	SET_VARSIZE(state, size);
	state->ndim = 1;
	state->dataoffset = 0;
	state->elemtype = FLOAT8OID;
	ARR_DIMS(state)
	[0] = dim + 1;
	ARR_LBOUND(state)
	[0] = 1;
	return state;
}

static void
check_state_dim(int dim, int newdim)
{
	if (dim != newdim)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("expected %d dimensions, not %d", dim, newdim)));
}

/* The state with a row of dim elements added. */
static ArrayType *
add_row(FunctionCallInfo fcinfo, ArrayType *state, const float *x, int dim)
{
	ArrayType *result;
	const float8 *old;
	float8 *sums;
	int overflow = 0;

	if (STATE_DIM(state) == 0)
	{
		result = make_state(dim);
		STATE_ROWS(result) = STATE_ROWS(state) + 1;
		sums = STATE_DATA(result) + 1;
		for (int i = 0; i < dim; i++)
			sums[i] = (float8) x[i];
		return result;
	}

	check_state_dim(STATE_DIM(state), dim);

	/* an aggregate's own state may be changed in place */
	result = AggCheckCallContext(fcinfo, NULL) ? state : make_state(dim);
	STATE_ROWS(result) = STATE_ROWS(state) + 1;
	old = STATE_DATA(state) + 1;
	sums = STATE_DATA(result) + 1;
	for (int i = 0; i < dim; i++)
	{
		sums[i] = old[i] + (float8) x[i];
		overflow |= fabs(sums[i]) > DBL_MAX;
	}
	if (unlikely(overflow))
		float_overflow_error();
	return result;
}

/*
 * vector_accum(double precision[], vector): the state with a row added.
 */
PG_FUNCTION_INFO_V1(vectorx_vector_accum);
Datum
vectorx_vector_accum(PG_FUNCTION_ARGS)
{
	ArrayType *state = get_state(PG_GETARG_DATUM(0), "vector_accum");
	Vector *v = PG_GETARG_VECTOR_P(1);

	PG_RETURN_ARRAYTYPE_P(add_row(fcinfo, state, v->x, v->dim));
}

/*
 * halfvec_accum(double precision[], halfvec): the same.
 */
PG_FUNCTION_INFO_V1(vectorx_halfvec_accum);
Datum
vectorx_halfvec_accum(PG_FUNCTION_ARGS)
{
	ArrayType *state = get_state(PG_GETARG_DATUM(0), "halfvec_accum");
	Halfvec *h = PG_GETARG_HALFVEC_P(1);

	PG_RETURN_ARRAYTYPE_P(add_row(fcinfo, state, HalfvecFloats(h), h->dim));
}

/*
 * A combined state, which someone may have made by hand, has a vector's number
 * of dimensions; that of no rows may have none.
 */
static ArrayType *
check_combined(ArrayType *state)
{
	if (STATE_DIM(state) != 0 || STATE_ROWS(state) != 0)
		DenseCheckDim(STATE_DIM(state), "vector");
	return state;
}

/*
 * vector_combine(double precision[], double precision[]), and halfvec_combine: the
 * state of both sets of rows.
 */
PG_FUNCTION_INFO_V1(vectorx_vector_combine);
Datum
vectorx_vector_combine(PG_FUNCTION_ARGS)
{
	ArrayType *a = get_state(PG_GETARG_DATUM(0), "vector_combine");
	ArrayType *b = get_state(PG_GETARG_DATUM(1), "vector_combine");
	ArrayType *result;
	int dim;
	int overflow = 0;

	/*
	 * A state without rows has no dimensions either.  The other one is
	 * returned as it is: the executor copies what is not the first argument.
	 */
	if (STATE_ROWS(a) == 0)
		PG_RETURN_ARRAYTYPE_P(check_combined(b));
	if (STATE_ROWS(b) == 0)
		PG_RETURN_ARRAYTYPE_P(check_combined(a));

	dim = STATE_DIM(a);
	check_state_dim(dim, STATE_DIM(b));
	(void) check_combined(a);
	result = AggCheckCallContext(fcinfo, NULL) ? a : make_state(dim);
	STATE_ROWS(result) = STATE_ROWS(a) + STATE_ROWS(b);
	for (int i = 1; i <= dim; i++)
	{
		STATE_DATA(result)
		[i] = STATE_DATA(a)[i] + STATE_DATA(b)[i];
		overflow |= fabs(STATE_DATA(result)[i]) > DBL_MAX;
	}
	if (unlikely(overflow))
		float_overflow_error();
	PG_RETURN_ARRAYTYPE_P(result);
}

/*
 * vector_avg(double precision[]): the mean; null if there were no rows.
 */
PG_FUNCTION_INFO_V1(vectorx_vector_avg);
Datum
vectorx_vector_avg(PG_FUNCTION_ARGS)
{
	ArrayType *state = get_state(PG_GETARG_DATUM(0), "vector_avg");
	float8 rows = STATE_ROWS(state);
	int dim = STATE_DIM(state);
	Vector *result;

	if (rows == 0)
		PG_RETURN_NULL();

	DenseCheckDim(dim, "vector");
	result = InitVector(dim);
	for (int i = 0; i < dim; i++)
		result->x[i] = (float) (STATE_DATA(state)[i + 1] / rows);
	ElementsCheckFinite(result->x, dim, "vector");
	PG_RETURN_VECTOR_P(result);
}

/*
 * halfvec_avg(double precision[]): the same.
 */
PG_FUNCTION_INFO_V1(vectorx_halfvec_avg);
Datum
vectorx_halfvec_avg(PG_FUNCTION_ARGS)
{
	ArrayType *state = get_state(PG_GETARG_DATUM(0), "halfvec_avg");
	float8 rows = STATE_ROWS(state);
	int dim = STATE_DIM(state);
	float *x;

	if (rows == 0)
		PG_RETURN_NULL();

	DenseCheckDim(dim, "halfvec");
	x = palloc(sizeof(float) * dim);
	for (int i = 0; i < dim; i++)
		x[i] = VxFloatForHalf(STATE_DATA(state)[i + 1] / rows);
	PG_RETURN_HALFVEC_P(HalfvecRounded(x, dim));
}
