/*
 * panel.h
 *		Many int8 vectors side by side, for products of matrices (VxKernels.dot_i8_panels), and
 *		distances from such products.
 */
#ifndef HNSW_METRIC_PANEL_H
#define HNSW_METRIC_PANEL_H

#include "hnsw/layout/page.h"
#include "simd/vx_simd.h"

/* Distances are computed from int8 inner products. */
#define HnswIntegerDistances(lay)	((lay)->own == HNSW_OWN_INT8 && (lay)->metric->products)

/*
 * A vector that distances are computed from: what is the same for all others.  The distance to y with
 * code product "dot" is base + norm2(y) - (p dot scale(y) + q offset(y) + r scale(y) codesum(y));
 * without the two norms for the inner product (VxKernels' panel_distances).
 */
typedef struct HnswOrigin
{
	float		base;
	float		p;
	float		q;
	float		r;
} HnswOrigin;

static inline HnswOrigin
HnswOriginOf(const HnswVecHead *x, int dim, bool squared)
{
	float		two = squared ? 2 : 1;

	return (HnswOrigin) {squared ? x->norm2 : 0, two * x->scale,
		two * (x->scale * x->codesum + dim * x->offset), two * x->offset};
}

/* Write vector number i into its column of the panels. */
static inline void
HnswPanelPut(int8 *panels, int dim, int i, const int8 *own)
{
	int8	   *to = panels + i / VX_PANEL * VX_PANEL_BYTES(dim) + i % VX_PANEL * 4;
	int			d;

	for (d = 0; d + 4 <= dim; d += 4, to += 4 * VX_PANEL)
		memcpy(to, own + d, 4);
	if (d < dim)
	{
		memset(to, 0, 4);
		memcpy(to, own + d, dim - d);
	}
}

#endif							/* HNSW_METRIC_PANEL_H */
