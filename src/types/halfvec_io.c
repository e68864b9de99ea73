/*
 * halfvec_io.c
 *		Text and binary input and output of halfvec, and its type modifier.
 */
#include "postgres.h"

#include "simd/vx_simd.h"

#include "types/dense_text.h"
#include "types/element.h"
#include "types/halfvec.h"

/*
 * halfvec_in(cstring, oid, integer): as vector's; numbers become the halves nearest to
 * their text.
 */
PG_FUNCTION_INFO_V1(vectorx_halfvec_in);
Datum
vectorx_halfvec_in(PG_FUNCTION_ARGS)
{
	float		x[HALFVEC_MAX_DIM];
	int			dim = DenseParse(PG_GETARG_CSTRING(0), PG_GETARG_INT32(2), x, true, "halfvec",
								 fcinfo->context);
	Halfvec    *result;

	if (dim == 0)
		return (Datum) 0;
	result = InitHalfvec(dim);
	vx_simd->f32_to_f16(x, result->x, dim);
	PG_RETURN_HALFVEC_P(result);
}

/*
 * halfvec_out(halfvec): the shortest decimals that give the same floats again.
 */
PG_FUNCTION_INFO_V1(vectorx_halfvec_out);
Datum
vectorx_halfvec_out(PG_FUNCTION_ARGS)
{
	Halfvec    *h = PG_GETARG_HALFVEC_P(0);

	PG_RETURN_CSTRING(DenseText(HalfvecFloats(h), h->dim));
}

/*
 * halfvec_typmod_in(cstring[]): the number of dimensions.
 */
PG_FUNCTION_INFO_V1(vectorx_halfvec_typmod_in);
Datum
vectorx_halfvec_typmod_in(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(ElementTypmodIn(PG_GETARG_ARRAYTYPE_P(0), HALFVEC_MAX_DIM, "halfvec"));
}

/*
 * halfvec_recv(internal, oid, integer): the binary form, which is int16 dim, int16 zero,
 * then the elements as halves.
 */
PG_FUNCTION_INFO_V1(vectorx_halfvec_recv);
Datum
vectorx_halfvec_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	int			dim = DenseReceiveDim(buf, PG_GETARG_INT32(2), "halfvec");
	Halfvec    *result = InitHalfvec(dim);

	DenseReceive(buf, result->x, dim, sizeof(uint16));
	ElementsCheckFinite(HalfvecFloats(result), dim, "halfvec");
	PG_RETURN_HALFVEC_P(result);
}

/*
 * halfvec_send(halfvec): the binary form.
 */
PG_FUNCTION_INFO_V1(vectorx_halfvec_send);
Datum
vectorx_halfvec_send(PG_FUNCTION_ARGS)
{
	Halfvec    *h = PG_GETARG_HALFVEC_P(0);

	PG_RETURN_BYTEA_P(DenseSend(h->x, h->dim, sizeof(uint16)));
}
