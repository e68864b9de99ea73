/*
 * within.c
 *		What a scan is asked for: its ordering operator and its conditions, of which
 *		there is one kind, v <<->> (center, radius).
 *
 * The bound of a scan is the least radius of its conditions.  Rows farther than that
 * are not wanted; whether those that are returned are within, to the last bit, is checked
 * by the executor, for a plan's own conditions (HNSW_CHECKED) beside the index's.
 */
#include "postgres.h"

#include <float.h>
#include <math.h>

#include "access/relscan.h"
#include "executor/executor.h"
#include "hnsw/am/hint.h"
#include "hnsw/am/scan.h"
#include "hnsw/metric/metric.h"

/* The parts of a condition's argument; false where one is NULL: no row meets that. */
static bool
read_sphere(const ScanKeyData *key, const HnswTypeOps *type, HnswValue *center, double *radius)
{
	HeapTupleHeader sphere;
	Datum		parts[2];
	bool		isnull[2];

	if (key->sk_flags & SK_ISNULL)
		return false;
	sphere = DatumGetHeapTupleHeader(key->sk_argument);
	for (int i = 0; i < 2; i++)
		parts[i] = GetAttributeByNum(sphere, i + 1, &isnull[i]);
	if (isnull[0] || isnull[1])
		return false;
	*center = type->get(parts[0]);
	*radius = DatumGetFloat8(parts[1]);
	return true;
}

/*
 * Read the keys of a scan that begins, in the context that the query is to stay in: sets
 * query, exact, expected, bound (as the operator has it), recheck.  A condition on the
 * distance from another vector than the query is left to the executor.  False: no row can
 * meet the conditions.
 */
bool
HnswReadKeys(IndexScanDesc scan, HnswScan *so)
{
	const ScanKeyData *order = scan->numberOfOrderBys > 0 ? scan->orderByData : NULL;
	const HnswTypeOps *type = so->g->space.type;
	bool		possible = true;

	so->ordered = order != NULL;
	so->expected = HnswHintedRows(order ? order->sk_collation : scan->keyData->sk_collation);
	so->bound = INFINITY;
	so->recheck = false;
	so->query = NULL;
	/* every distance from NULL is NULL: any order is right */
	so->exact = order == NULL || (order->sk_flags & SK_ISNULL) == 0;
	if (order && so->exact)
		so->query = type->get(order->sk_argument);
	for (int i = 0; i < scan->numberOfKeys && possible; i++)
	{
		HnswValue	center;
		double		radius;

		possible = read_sphere(&scan->keyData[i], type, &center, &radius);
		if (!possible)
			break;
		if ((scan->keyData[i].sk_collation & HNSW_CHECKED) == 0)
			so->recheck = true;
		if (so->query == NULL && so->exact)
			so->query = center;
		if (so->query == NULL || VARSIZE(center) != VARSIZE(so->query) ||
			memcmp(center, so->query, VARSIZE(center)) != 0)
			so->recheck = true;
		/* NaN is greater than all numbers */
		else if (radius < so->bound)
			so->bound = radius;
	}
	return possible;
}

/* A bound of the operator's distances, not infinity, as HnswScanItem's, a little more. */
double
HnswBound(const HnswMetricOps *metric, double bound)
{
	/* an operator's distance may be infinite, also below; an item's is not */
	bound = Max(bound, -FLT_MAX);
	if (metric->squared && !metric->normalised)
		bound = bound < 0 ? bound : bound * bound;
	else if (metric->squared)
		bound *= 2;
	return bound + fabs(bound) * 1e-5;
}

/*
 * When the query has been prepared: the bound as HnswScanItem's distances, a little
 * more.  False: no row is so near.
 */
bool
HnswPlaceBound(HnswScan *so)
{
	if (so->bound == INFINITY)
		return true;
	/* without a direction, cosine distances are NaN, which is greater than all numbers */
	if (!so->exact)
		return false;
	/* what is stored says nothing then */
	so->bound = so->search->query.far ? INFINITY : HnswBound(so->g->lay->metric, so->bound);
	return true;
}
