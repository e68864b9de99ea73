/*
 * vector_io.c
 *		Text and binary input and output of vector, and its type modifier.
 *
 * All that arrives here comes from users and is checked.  Input in text form
 * is the hot path of bulk loading; the numbers are parsed by parse_float.c.
 */
#include "postgres.h"

#include "types/dense_text.h"
#include "types/element.h"
#include "types/vector.h"

/*
 * vector_in(cstring, oid, integer): "[1,2,3]", with white space allowed around
 * brackets and numbers.
 */
PG_FUNCTION_INFO_V1(vectorx_vector_in);
Datum
vectorx_vector_in(PG_FUNCTION_ARGS)
{
	float x[VECTOR_MAX_DIM];
	int dim = DenseParse(PG_GETARG_CSTRING(0), PG_GETARG_INT32(2), x, false, "vector",
						 fcinfo->context);
	Vector *result;

	if (dim == 0)
		return (Datum) 0;
	result = InitVector(dim);
	memcpy(result->x, x, sizeof(float) * dim);
	PG_RETURN_VECTOR_P(result);
}

/*
 * vector_out(vector): the shortest decimals that give the same floats again.
 */
PG_FUNCTION_INFO_V1(vectorx_vector_out);
Datum
vectorx_vector_out(PG_FUNCTION_ARGS)
{
	Vector *v = PG_GETARG_VECTOR_P(0);

	PG_RETURN_CSTRING(DenseText(v->x, v->dim));
}

/*
 * vector_typmod_in(cstring[]): the number of dimensions.
 */
PG_FUNCTION_INFO_V1(vectorx_vector_typmod_in);
Datum
vectorx_vector_typmod_in(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(ElementTypmodIn(PG_GETARG_ARRAYTYPE_P(0), VECTOR_MAX_DIM, "vector"));
}

/*
 * vector_recv(internal, oid, integer): the binary form, which is int16 dim,
 * int16 zero, then the elements as float4.
 */
PG_FUNCTION_INFO_V1(vectorx_vector_recv);
Datum
vectorx_vector_recv(PG_FUNCTION_ARGS)
{
	StringInfo buf = (StringInfo) PG_GETARG_POINTER(0);
	int dim = DenseReceiveDim(buf, PG_GETARG_INT32(2), "vector");
	Vector *result = InitVector(dim);

	DenseReceive(buf, result->x, dim, sizeof(float));
	ElementsCheckFinite(result->x, dim, "vector");
	PG_RETURN_VECTOR_P(result);
}

/*
 * vector_send(vector): the binary form.
 */
PG_FUNCTION_INFO_V1(vectorx_vector_send);
Datum
vectorx_vector_send(PG_FUNCTION_ARGS)
{
	Vector *v = PG_GETARG_VECTOR_P(0);

	PG_RETURN_BYTEA_P(DenseSend(v->x, v->dim, sizeof(float)));
}
