/*
 * view.c
 *		What the view vectorx_cache shows, and vectorx_cache_reset().
 *
 * Both are for those that have been granted them: the counts of an index tell what others ask.
 */
#include "postgres.h"

#include "cache/store.h"
#include "compat.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(vectorx_cache_stats);
PG_FUNCTION_INFO_V1(vectorx_cache_reset);

/* What is shown of an index. */
typedef struct Row
{
	VxCacheIndex of;
	int64		entries;
	int64		bytes;
	int64		counts[VX_COUNTS];
} Row;

typedef struct Rows
{
	const VxCacheHere *here;
	int			n;
	Row			rows[VX_GROUPS * VX_GROUP_STATES];
} Rows;

/* An entry: it counts for its index as it is now, if that has a state. */
static void
add_entry(void *arg, const VxCacheIndex *of, Size size)
{
	Rows	   *rows = (Rows *) arg;

	for (int i = 0; i < rows->n; i++)
		if (memcmp(&rows->rows[i].of, of, sizeof(*of)) == 0)
		{
			rows->rows[i].entries++;
			rows->rows[i].bytes += size;
			return;
		}
}

/* A VxSharedTry: the states of this database, and what there is of each. */
static void
collect(void *arg)
{
	Rows	   *rows = (Rows *) arg;

	for (int i = 0; i < VX_GROUPS; i++)
	{
		VxGroup	   *group = &rows->here->store->groups[i];

		LWLockAcquire(&group->lock, LW_SHARED);
		for (int j = 0; j < VX_GROUP_STATES; j++)
		{
			VxState	   *state = &group->states[j];
			Row		   *row = &rows->rows[rows->n];

			if (state->of.database != MyDatabaseId)
				continue;
			row->of = state->of;
			for (int k = 0; k < VX_COUNTS; k++)
				row->counts[k] = (int64) pg_atomic_read_u64(&state->counts[k]);
			rows->n++;
		}
		LWLockRelease(&group->lock);
	}
	VxTableEach(rows->here, add_entry, rows);
}

/*
 * vectorx_cache_stats(): a row for each index of the database that the cache knows: its OID, its
 * relfilenumber, entries, their bytes, and the counts.  No row where there is no cache.
 */
Datum
vectorx_cache_stats(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *out = (ReturnSetInfo *) fcinfo->resultinfo;
	Rows	   *rows = palloc0(sizeof(Rows));

	InitMaterializedSRF(fcinfo, 0);
	rows->here = VxCacheAttach();
	if (rows->here == NULL || !VxSharedTry(collect, rows))
		return (Datum) 0;
	for (int i = 0; i < rows->n; i++)
	{
		const Row  *row = &rows->rows[i];
		Datum		values[VX_COUNTS + 4];
		bool		nulls[VX_COUNTS + 4] = {false};

		values[0] = ObjectIdGetDatum(row->of.index);
		values[1] = ObjectIdGetDatum(row->of.file);
		values[2] = Int64GetDatum(row->entries);
		values[3] = Int64GetDatum(row->bytes);
		for (int j = 0; j < VX_COUNTS; j++)
			values[4 + j] = Int64GetDatum(row->counts[j]);
		tuplestore_putvalues(out->setResult, out->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* A VxSharedTry. */
static void
clear(void *arg)
{
	VxStatesClear((const VxCacheHere *) arg);
	VxTableClear((const VxCacheHere *) arg);
}

/* vectorx_cache_reset(): empties the cache, of all databases, and sets its counts to zero. */
Datum
vectorx_cache_reset(PG_FUNCTION_ARGS)
{
	const VxCacheHere *here = VxCacheAttach();

	if (here != NULL)
		(void) VxSharedTry(clear, (void *) here);
	PG_RETURN_VOID();
}
