/*
 * link.c
 *		A link's code and factors: how they are made, and the estimates of distances
 *		that they give for all links of a record at once.  The formulas stand in README,
 *		"Estimates".
 */
#include "postgres.h"

#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/link.h"
#include "hnsw/metric/metric.h"
#include "hnsw/metric/vector.h"
#include "port/pg_bitutils.h"
#include "simd/vx_simd.h"

#include <math.h>

/*
 * The greatest factor of a code's sum with which no estimate overflows: the
 * sum is at most that of the query's elements, whose norm is below 2^61, times
 * the greatest element of a code.
 */
static inline float
most_slope(const HnswLayout *lay)
{
	return 0x1p64f / (sqrtf(lay->code_dims) * ((1 << lay->bits) - 1));
}

/*
 * Form a link from a node with vector "base" (as stored) to a neighbour with
 * vector "other", its edge given: code (groups of 4 bytes) and factors such that, with S the sum the code scan gives for a query q,
 * d(q, other) is about d(q, base) + a + b * S.
 */
void
HnswLinkForm(const HnswSpace *sp, const float *base, const float *other, HnswLink *link)
{
	const HnswLayout *lay = &sp->lay;
	float	   *r = sp->work[1];
	float		rs;
	float		ys;
	float		r2;

	link->a = link->b = 0;
	if (lay->sketch == HNSW_SKETCH_NONE)
		return;
	if (lay->sketch == HNSW_SKETCH_EXACT)
	{
		memcpy(link->code, other, lay->dim * sizeof(float));
		return;
	}
	r2 = vx_simd->subtract(other, base, lay->dim, r);
	vx_simd->encode(r, base, lay->code_dims, lay->bits, (uint8 *) link->code, &rs, &ys);

	/*
	 * <q - base, r> ~ r2 (<q,s> - <base,s>) / <r,s>.  Equal vectors have no
	 * residual and no direction: their distance is the node's.
	 */
	lay->metric->factors(r2, rs, ys, &link->a, &link->b);
	if (!(fabsf(link->a) < 0x1p125f) || !(fabsf(link->b) < most_slope(lay)))
	{
		link->a = link->edge;
		link->b = 0;
	}
}

/* Distance between a node and its neighbour at a position, as stored. */
float
HnswLinkEdge(const HnswSpace *sp, const char *node, int pos)
{
	uint16		e;

	memcpy(&e, node + sp->lay.off_edges + pos * sizeof(e), sizeof(e));
	return HnswEdgeDistance(e);
}

/*
 * How far rounding (of the query's table, and of bf16 factors) may have moved
 * a neighbour's estimate.  The error that comes with the code itself shrinks
 * with the distances; this one does not, and drowns the estimates where many
 * nodes are much nearer to each other than to the centre.  *slope: how much
 * the estimate changes with the code's sum, |b|.
 */
float
HnswLinkNoise(const HnswSpace *sp, const HnswQuery *q, const char *node, int pos,
			  float base, float est, float *slope)
{
	const HnswLayout *lay = &sp->lay;

	if (lay->factor_width == 4)
	{
		*slope = fabsf(((const float *) (node + lay->off_b))[pos]);
		return *slope * q->noise;
	}
	if (lay->factor_width == 2)
	{
		float		a = HnswEdgeDistance(((const uint16 *) (node + lay->off_a))[pos]);
		float		b = HnswEdgeDistance(((const uint16 *) (node + lay->off_b))[pos]);

		*slope = fabsf(b);
		return *slope * q->noise + (fabsf(a) + fabsf(est - base - a)) / 512;
	}
	*slope = 0;
	return 0;
}

/*
 * Estimate the distances of a query to all neighbours of a node.  base is the
 * query's distance to the node itself.  est: HNSW_MAX_FANOUT floats;
 * masks[i]: which of links 32i..32i+31 have an estimate below bound.  Returns
 * the number of 32-link blocks that have links.  Not for a node without
 * sketches.
 */
int
HnswScoreLinks(const HnswSpace *sp, const HnswQuery *q, const char *node, float base,
			   float bound, float *est, uint32 *masks)
{
	const HnswLayout *lay = &sp->lay;
	int			nlinks = ((const HnswRecord *) node)->nlinks;
	int			nblocks = (nlinks + VX_BLOCK - 1) / VX_BLOCK;

	for (int i = 0; i < nblocks; i++)
	{
		const char *codes = node + lay->off_codes + (Size) i * lay->block_bytes;
		int			n = Min(VX_BLOCK, nlinks - i * VX_BLOCK);
		uint32		used = n == VX_BLOCK ? 0xFFFFFFFF : (((uint32) 1 << n) - 1);
		uint32		mask;
		float	   *e = est + i * VX_BLOCK;

		if (lay->sketch == HNSW_SKETCH_EXACT)
		{
			const float *v = (const float *) codes;

			lay->metric->many(sp, q->vec, v, n, e);
			mask = 0;
			for (int j = 0; j < n; j++)
				mask |= (uint32) (e[j] < bound) << j;
		}
		else
		{
			uint32		sums[VX_BLOCK];

			vx_simd->scan32((const uint8 *) codes, lay->groups, q->table, sums);
			if (lay->factor_width == 2)
				mask = vx_simd->estimate32_bf16(sums,
												(const uint16 *) (node + lay->off_a) + i * VX_BLOCK,
												(const uint16 *) (node + lay->off_b) + i * VX_BLOCK,
												base, q->delta, q->bias, bound, e);
			else
				mask = vx_simd->estimate32_f32(sums,
											   (const float *) (node + lay->off_a) + i * VX_BLOCK,
											   (const float *) (node + lay->off_b) + i * VX_BLOCK,
											   base, q->delta, q->bias, bound, e);
		}
		masks[i] = mask & used;
	}
	return nblocks;
}

/*
 * The greatest absolute value among a record's factors, so many blocks of them, whatever stands
 * behind those in use: without a sign they are in the order of their bits.
 */
static float
greatest_factor(const HnswLayout *lay, const char *factors, int nblocks)
{
	uint32		most = 0;
	uint16		most16 = 0;
	float		f;

	for (int i = 0; i < nblocks; i++)
	{
		const uint32 *f32 = (const uint32 *) factors + i * VX_BLOCK;
		const uint16 *f16 = (const uint16 *) factors + i * VX_BLOCK;

		/* of a known number, and without branches, for the compiler to make vectors of */
		if (lay->factor_width == 4)
			for (int j = 0; j < VX_BLOCK; j++)
				most = Max(most, f32[j] & 0x7FFFFFFF);
		else
			for (int j = 0; j < VX_BLOCK; j++)
				most16 = Max(most16, (uint16) (f16[j] & 0x7FFF));
	}
	if (lay->factor_width != 4)
		return HnswEdgeDistance(most16);
	memcpy(&f, &most, sizeof(f));
	return f;
}

/* Of the error of an estimate, which there is no second one for: so many standard deviations. */
#define CAUTION	(2 * 0.6f)

/*
 * The same for the links of a bundle, which lead from the origin: the least distances that the
 * nodes may have, and which of them are below bound.
 */
int
HnswScoreFromOrigin(const HnswSpace *sp, const HnswQuery *q, const char *node, float bound,
					float *least, uint32 *masks)
{
	const HnswLayout *lay = &sp->lay;
	int			nblocks = (((const HnswRecord *) node)->nlinks + VX_BLOCK - 1) / VX_BLOCK;
	const float base = lay->metric->squared ? q->norm2 : 0;
	float		reach;
	float		slack;

	if (lay->sketch == HNSW_SKETCH_EXACT)
		return HnswScoreLinks(sp, q, node, 0, bound, least, masks);
	reach = CAUTION * sqrtf(q->norm2);
	/* no error is greater than that (HnswLinkNoise) */
	slack = greatest_factor(lay, node + lay->off_b, nblocks) * (reach + q->noise);
	if (lay->factor_width == 2)
		slack += (2 * greatest_factor(lay, node + lay->off_a, nblocks) + fabsf(bound) + slack + base) / 256;
	(void) HnswScoreLinks(sp, q, node, base, slack < INFINITY ? bound + slack : INFINITY, least, masks);
	for (int i = 0; i < nblocks; i++)
		for (uint32 left = masks[i]; left != 0; left &= left - 1)
		{
			int			j = pg_rightmost_one_pos32(left);
			float	   *e = &least[i * VX_BLOCK + j];
			float		slope;
			float		noise = HnswLinkNoise(sp, q, node, i * VX_BLOCK + j, base, *e, &slope);

			*e -= slope * reach + noise;
			if (!(*e < bound))
				masks[i] &= ~((uint32) 1 << j);
		}
	return nblocks;
}
