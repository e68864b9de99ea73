/*
 * sample.c
 *		What a build has to know of the table before it reads it: the dimensions
 *		of its vectors, how many of their elements are not zero, and their centre.
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "compat.h"
#include "hnsw/am/sample.h"
#include "hnsw/base/waitpoint.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/vector.h"
#include "hnsw/page/access.h"
#include "hnsw/page/index.h"
#include "hnsw/page/meta.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/smgr.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* Rows that are looked at, and blocks they are looked for in. */
#define SAMPLE_ROWS		1000
#define SAMPLE_BLOCKS	4000

/* A sparse index has room for what so many of a hundred rows have. */
#define NONZERO_PERCENT	95

/* Some rows, of which the centre is the mean; or what they have that is not zero. */
typedef struct Sample
{
	HnswIndex  *g;
	const HnswTypeOps *type;
	double	   *sum;
	float	   *vec;
	int			nonzero[SAMPLE_ROWS];
	int			n;
	MemoryContext row_cxt;
} Sample;

static void
sample_row(Relation index, ItemPointer tid, Datum *values, bool *isnull,
		   bool alive, void *arg)
{
	Sample	   *sample = (Sample *) arg;
	MemoryContext old;

	if (isnull[0] || sample->n == SAMPLE_ROWS)
		return;
	old = MemoryContextSwitchTo(sample->row_cxt);
	if (HnswNormaliseVector(&sample->g->space, sample->g->space.type->get(values[0]), sample->vec))
	{
		for (int j = 0; j < sample->g->lay->dim; j++)
			sample->sum[j] += sample->vec[j];
		sample->n++;
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(sample->row_cxt);
}

static void
count_row(Relation index, ItemPointer tid, Datum *values, bool *isnull,
		  bool alive, void *arg)
{
	Sample	   *sample = (Sample *) arg;
	HnswValue	value;

	if (isnull[0] || sample->n == SAMPLE_ROWS)
		return;
	value = sample->type->get(values[0]);
	sample->nonzero[sample->n++] = sample->type->nonzero(value);
	HnswFreeValue(value, values[0]);
}

static uint64
common_divisor(uint64 a, uint64 b)
{
	while (b != 0)
	{
		uint64		rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* Add rows from blocks all over the table to a sample. */
static void
sample_rows(Sample *sample, Relation heap, Relation index, IndexInfo *info,
			IndexBuildCallback take)
{
	const BlockNumber nblocks = RelationGetNumberOfBlocks(heap);
	uint64		step = Max(1, (uint64) (nblocks * 0.618));

	/* steps of this size come to every block */
	while (common_divisor(nblocks, step) > 1)
		step++;
	for (uint64 i = 0; i < Min(nblocks, SAMPLE_BLOCKS) && sample->n < SAMPLE_ROWS; i++)
	{
		CHECK_FOR_INTERRUPTS();
		(void) table_index_build_range_scan(heap, index, info, false, false, false,
											(BlockNumber) (i * step % nblocks), 1,
											take, sample, NULL);
	}
}

/* Store the centre, and say in the metapage that it is set. */
static void
store_centre(HnswIndex *g, const float *centre)
{
	HnswWrite  *w = &g->scratch->write;
	HnswPin		pin;
	HnswMetaPage meta;

	HnswStoreCentre(g, centre);
	HnswAcquire(g, HNSW_META_BLOCK, BUFFER_LOCK_EXCLUSIVE, &pin);
	HnswWriteBegin(g, w);
	HnswWriteAdd(w, &pin, false);
	meta = *HnswPageGetMeta(pin.page);
	meta.centre_set = 1;
	HnswMetaWrite(w, 0, &meta);
	HnswWriteEnd(w);
	HnswRelease(g, &pin);
	g->centre_set = true;
}

/*
 * Set the centre, if the index has one, to the mean of a sample of rows: in its pages, in
 * the metapage and in the handle.  Only before the first node is there.
 */
void
HnswBuildCentre(HnswIndex *g, Relation heap, IndexInfo *info)
{
	const int	dim = g->lay->dim;
	Sample		sample = {.g = g};
	bool		finite = true;

	if (g->ncentre == 0)
		return;
	sample.sum = palloc0(dim * sizeof(double));
	sample.vec = palloc(dim * sizeof(float));
	sample.row_cxt = AllocSetContextCreate(CurrentMemoryContext, "hnsw build sample",
										   ALLOCSET_DEFAULT_SIZES);
	sample_rows(&sample, heap, g->rel, info, sample_row);
	HNSW_WAIT_POINT("build-centre");
	for (int j = 0; j < dim; j++)
	{
		sample.vec[j] = sample.n ? (float) (sample.sum[j] / sample.n) : 0;
		finite = finite && isfinite(sample.vec[j]);
	}
	if (sample.n > 0 && finite)
		store_centre(g, sample.vec);
	MemoryContextDelete(sample.row_cxt);
	pfree(sample.sum);
	pfree(sample.vec);
}

/* The dimensions of the first value; below 1: not found yet. */
typedef struct FirstDim
{
	const HnswTypeOps *type;
	int			dim;
} FirstDim;

/* table_index_build_range_scan callback */
static void
first_dim(Relation index, ItemPointer tid, Datum *values, bool *isnull,
		  bool alive, void *arg)
{
	FirstDim   *first = (FirstDim *) arg;

	if (!isnull[0] && first->dim < 1)
		first->dim = first->type->dim(first->type->get(values[0]));
}

/* The file that a relation has by the active snapshot. */
static CompatRelFile
visible_file(Relation index)
{
	CompatRelFile file = CompatRelFileOf(index);
	Relation	pg_class;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	pg_class = table_open(RelationRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_class_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationGetRelid(index)));
	scan = systable_beginscan(pg_class, ClassOidIndexId, true, GetActiveSnapshot(), 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);

		CompatRelFileSet(&file, OidIsValid(form->reltablespace) ? form->reltablespace :
						 MyDatabaseTableSpace, form->relfilenode);
	}
	systable_endscan(scan);
	table_close(pg_class, AccessShareLock);
	return file;
}

/*
 * The dimensions of the index's metapage before this command gave it a new file,
 * which stays until the end of the transaction.  The command's own snapshot still
 * tells which it was.  -1 if that is not to be had: a temporary index, or damage.
 */
static int
previous_dim(Relation index)
{
	CompatRelFile file;
	HnswLayout	lay;
	HnswMetaPage meta;
	Buffer		buf;
	SMgrRelation smgr;

	if (RelationUsesLocalBuffers(index) || !ActiveSnapshotSet())
		return -1;
	file = visible_file(index);
	if (CompatRelFileEquals(file, CompatRelFileOf(index)))
		return -1;
	smgr = CompatOpenFile(file);
	if (!smgrexists(smgr, MAIN_FORKNUM) || smgrnblocks(smgr, MAIN_FORKNUM) == 0)
		return -1;
	buf = ReadBufferWithoutRelcache(file, MAIN_FORKNUM, HNSW_META_BLOCK, RBM_NORMAL, NULL,
									RelationIsPermanent(index));
	LockBuffer(buf, BUFFER_LOCK_SHARE);
	meta = *HnswPageGetMeta(BufferGetPage(buf));
	UnlockReleaseBuffer(buf);
	if (meta.magic != HNSW_MAGIC || !HnswVersionIsRead(&meta) || !HnswLayoutFromMeta(&meta, &lay))
		return -1;
	return lay.column_dim;
}

/*
 * The dimensions to build for.  A column that has lost its length since the index
 * was created (ALTER COLUMN ... TYPE vector, which leaves indexes as they are)
 * still holds vectors of the index's length only: an index that is built again
 * takes it from them, and without rows from the index it replaces.  A new index
 * wants the column's.
 */
int
HnswBuildDim(Relation heap, Relation index, IndexInfo *info)
{
	FirstDim	first = {.dim = HnswColumnDim(index)};
	BlockNumber nblocks = RelationGetNumberOfBlocks(heap);

	if (first.dim >= 1 || !ReindexIsProcessingIndex(RelationGetRelid(index)))
		return first.dim;
	(void) HnswIndexClass(index, &first.type);
	for (BlockNumber blk = 0; blk < nblocks && first.dim < 1; blk++)
	{
		CHECK_FOR_INTERRUPTS();
		(void) table_index_build_range_scan(heap, index, info, false, false, false,
											blk, 1, first_dim, &first, NULL);
	}
	return first.dim >= 1 ? first.dim : previous_dim(index);
}

static int
cmp_int(const void *a, const void *b)
{
	return *(const int *) a - *(const int *) b;
}

/*
 * So many elements are not zero in most rows of the table, by a sample; -1 without rows, and
 * where the type has no such number.
 */
int
HnswBuildNonzero(Relation heap, Relation index, IndexInfo *info)
{
	Sample		sample = {.n = 0};

	(void) HnswIndexClass(index, &sample.type);
	if (sample.type->nonzero == NULL)
		return -1;
	sample_rows(&sample, heap, index, info, count_row);
	if (sample.n == 0)
		return -1;
	qsort(sample.nonzero, sample.n, sizeof(int), cmp_int);
	return sample.nonzero[(sample.n - 1) * NONZERO_PERCENT / 100];
}
