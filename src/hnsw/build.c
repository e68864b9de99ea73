/*
 * build.c
 *		CREATE INDEX: the graph of as many rows as maintenance_work_mem holds is
 *		made at once (bulk.c) and written; further rows are inserted one by one.
 *
 * Nothing is logged before the end, when all pages are logged once.  Until then
 * no other backend sees the index.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/xloginsert.h"
#include "catalog/index.h"
#include "commands/progress.h"
#include "hnsw/bulk.h"
#include "hnsw/waitpoint.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/freespace.h"
#include "storage/indexfsm.h"
#include "utils/backend_progress.h"
#include "utils/memutils.h"

/* Rows that the centre is the mean of. */
#define CENTRE_SAMPLE	1000

typedef struct BuildState
{
	HnswGraph  *g;
	Bulk	   *bulk;			/* NULL once it has been written */
	double		rows;			/* expected */
	MemoryContext row_cxt;		/* reset after each row */
	MemoryContext sample_cxt;
	double		indexed;
	int64		seen;			/* rows for the progress view */
	/* first rows, held back until the centre is known */
	bool		sampling;
	int			nsample;
	int			max_sample;
	Vector	  **sample;
	ItemPointerData *sample_tids;
} BuildState;

static void
insert_row(BuildState *st, const Vector *v, ItemPointer tid)
{
	HnswGraph  *g = st->g;
	bool		indexed;

	if (st->bulk && HnswBulkFull(st->bulk))
	{
		ereport(DEBUG1,
				(errmsg_internal("hnsw graph of index \"%s\" no longer fits into maintenance_work_mem after %.0f rows",
								 RelationGetRelationName(g->rel), st->indexed)));
		HnswBulkFinish(st->bulk);
		st->bulk = NULL;
		HNSW_WAIT_POINT("build-load");
		pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, HNSW_PROGRESS_LOAD);
	}
	indexed = st->bulk ? HnswBulkAdd(st->bulk, v, tid) : HnswInsertVector(g, v, tid);
	if (indexed)
		st->indexed++;
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, ++st->seen);
}

/* Set the centre to the mean of the sample, then insert the sample. */
static void
end_sample(BuildState *st)
{
	HnswGraph  *g = st->g;
	int			dim = g->lay.dim;

	if (!st->sampling)
		return;
	st->sampling = false;
	HNSW_WAIT_POINT("build-centre");
	if (g->ncentre > 0 && st->nsample > 0)
	{
		double	   *sum = palloc0(dim * sizeof(double));
		float	   *vec = palloc(dim * sizeof(float));
		int			n = 0;
		bool		finite = true;

		for (int i = 0; i < st->nsample; i++)
		{
			CHECK_FOR_INTERRUPTS();
			if (!HnswNormaliseVector(g, st->sample[i], vec))
				continue;
			for (int j = 0; j < dim; j++)
				sum[j] += vec[j];
			n++;
		}
		for (int j = 0; j < dim; j++)
		{
			vec[j] = n ? (float) (sum[j] / n) : 0;
			finite = finite && isfinite(vec[j]);
		}
		if (n > 0 && finite)
		{
			HnswWrite  *w = &g->scratch->write;
			HnswPin		pin;
			uint16		set = 1;

			HnswStoreCentre(g, vec);
			HnswAcquire(g, HNSW_META_BLOCK, BUFFER_LOCK_EXCLUSIVE, &pin);
			HnswWriteBegin(g, w);
			HnswWriteAdd(w, &pin, false);
			HnswWriteBytes(w, 0, HNSW_PAGE_DATA + offsetof(HnswMetaPage, centre_set),
						   &set, sizeof(set));
			HnswWriteEnd(w);
			HnswRelease(g, &pin);
			g->centre_set = true;
		}
		pfree(sum);
		pfree(vec);
	}
	st->bulk = HnswBulkCreate(g, (Size) maintenance_work_mem * 1024, st->rows);
	for (int i = 0; i < st->nsample; i++)
		insert_row(st, st->sample[i], &st->sample_tids[i]);
	MemoryContextDelete(st->sample_cxt);
}

static void
build_row(Relation index, ItemPointer tid, Datum *values, bool *isnull,
		  bool alive, void *arg)
{
	BuildState *st = (BuildState *) arg;
	MemoryContext old;
	Vector	   *v;

	if (isnull[0])
	{
		pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, ++st->seen);
		return;
	}
	old = MemoryContextSwitchTo(st->row_cxt);
	v = DatumGetVector(values[0]);
	if (st->sampling)
	{
		if (v->dim != st->g->lay.dim)	/* the error, now */
			(void) HnswNormaliseVector(st->g, v, st->g->scratch->fa);
		st->sample[st->nsample] = MemoryContextAlloc(st->sample_cxt, VARSIZE(v));
		memcpy(st->sample[st->nsample], v, VARSIZE(v));
		st->sample_tids[st->nsample] = *tid;
		if (++st->nsample == st->max_sample)
			end_sample(st);
	}
	else
		insert_row(st, v, tid);
	MemoryContextSwitchTo(old);
	MemoryContextReset(st->row_cxt);
}

/* ambuild */
IndexBuildResult *
hnswbuild(Relation heap, Relation index, IndexInfo *info)
{
	IndexBuildResult *result;
	HnswMetaPage meta;
	BuildState	st;
	HnswGraph  *g;
	double		rows;
	BlockNumber nblocks;
	double		tuples;
	double		allvis;

	if (RelationGetNumberOfBlocks(index) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("index \"%s\" already contains data", RelationGetRelationName(index))));

	HnswMetaFor(index, &meta);
	memset(&st, 0, sizeof(st));
	st.g = g = HnswGraphCreate(index, CurrentMemoryContext, &meta);
	g->nolog = true;
	HnswCreatePages(g, &meta);

	st.row_cxt = AllocSetContextCreate(CurrentMemoryContext, "hnsw build row",
									   ALLOCSET_DEFAULT_SIZES);
	st.sample_cxt = AllocSetContextCreate(CurrentMemoryContext, "hnsw build sample",
										  ALLOCSET_DEFAULT_SIZES);
	st.sampling = true;
	st.max_sample = Min(CENTRE_SAMPLE, (Size) maintenance_work_mem * 1024 / 8 / VECTOR_SIZE(g->lay.dim));
	st.max_sample = Max(st.max_sample, 1);
	st.sample = MemoryContextAlloc(st.sample_cxt, st.max_sample * sizeof(Vector *));
	st.sample_tids = MemoryContextAlloc(st.sample_cxt, st.max_sample * sizeof(ItemPointerData));

	table_relation_estimate_size(heap, NULL, &nblocks, &tuples, &allvis);
	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, HNSW_PROGRESS_LOAD);
	pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_TOTAL, (int64) tuples);
	st.rows = tuples;
	rows = table_index_build_scan(heap, index, info, true, true, build_row, &st, NULL);
	end_sample(&st);
	if (st.bulk)
		HnswBulkFinish(st.bulk);

	pgstat_progress_update_param(PROGRESS_CREATEIDX_SUBPHASE, HNSW_PROGRESS_LOG);
	if (g->target != InvalidBlockNumber)
		RecordPageWithFreeSpace(index, g->target, HNSW_FSM_SLOT);
	IndexFreeSpaceMapVacuum(index);
	HNSW_WAIT_POINT("build-log");
	if (RelationNeedsWAL(index))
		log_newpage_range(index, MAIN_FORKNUM, 0, RelationGetNumberOfBlocks(index), true);
	HNSW_WAIT_POINT("build-end");

	result = palloc(sizeof(IndexBuildResult));
	result->heap_tuples = rows;
	result->index_tuples = st.indexed;
	MemoryContextDelete(g->cxt);
	MemoryContextDelete(st.row_cxt);
	return result;
}

/* ambuildempty: the init fork of an unlogged index is an empty index. */
void
hnswbuildempty(Relation index)
{
	HnswMetaPage meta;

	HnswMetaFor(index, &meta);
	for (int i = 0; i <= meta.ncentre; i++)
	{
		Buffer		buf = ReadBufferExtended(index, INIT_FORKNUM, P_NEW, RBM_NORMAL, NULL);

		LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
		START_CRIT_SECTION();
		HnswFormMetaPage(BufferGetPage(buf), &meta, i);
		MarkBufferDirty(buf);
		log_newpage_buffer(buf, true);
		END_CRIT_SECTION();
		UnlockReleaseBuffer(buf);
	}
}
