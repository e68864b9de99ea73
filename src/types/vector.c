/*
 * vector.c
 *		Making vectors.
 */
#include "postgres.h"

#include "types/vector.h"

Vector *
InitVector(int dim)
{
	Size size = VECTOR_SIZE(dim);
	Vector *v = (Vector *) palloc0(size);

	Assert(dim >= 1 && dim <= VECTOR_MAX_DIM);
	SET_VARSIZE(v, size);
	v->dim = dim;
	return v;
}
