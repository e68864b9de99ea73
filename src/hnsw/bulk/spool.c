/*
 * spool.c
 *		Rows of a build as the index stores them, in temporary files.
 *
 * Each participant writes a file while the table is read, so that the number
 * of rows is known before memory is asked for, and a row is read and encoded
 * once even if it does not fit that memory.  PostgreSQL's BufFile; the files of
 * a parallel build are in the SharedFileSet of its team.
 */
#include "postgres.h"

#include <fcntl.h>

#include "hnsw/bulk/spool.h"
#include "hnsw/bulk/team.h"
#include "miscadmin.h"

static void
file_name(char *name, Size size, int number)
{
	snprintf(name, size, "rows.%d", number);
}

static Spool *
make_spool(BufFile *file, int own_bytes)
{
	Spool	   *s = palloc0(sizeof(Spool));

	s->file = file;
	s->own_bytes = own_bytes;
	return s;
}

/* A participant's file, empty, of rows with own_bytes each. */
Spool *
HnswSpoolCreate(const Team *t, int own_bytes)
{
	char		name[32];

	if (t->shared == NULL)
		return make_spool(BufFileCreateTemp(false), own_bytes);
	file_name(name, sizeof(name), t->number);
	return make_spool(BufFileCreateFileSet(&t->shared->files.fs, name), own_bytes);
}

/* Add a row.  Errors: those of writing temporary files (disk full, limits). */
void
HnswSpoolAdd(Spool *s, const SpoolRow *row, const char *own)
{
	BufFileWrite(s->file, (void *) row, sizeof(SpoolRow));
	BufFileWrite(s->file, (void *) own, s->own_bytes);
	s->nrows++;
}

/* All rows have been added: others may read them, and this participant too. */
void
HnswSpoolFinish(const Team *t, Spool *s)
{
	if (t->shared)
		BufFileExportFileSet(s->file);
	HnswSpoolSkip(s, 0);
}

/* Another participant's file, which has nrows rows. */
Spool *
HnswSpoolOpen(const Team *t, int number, int own_bytes, int64 nrows)
{
	char		name[32];
	Spool	   *s;

	file_name(name, sizeof(name), number);
	s = make_spool(BufFileOpenFileSet(&t->shared->files.fs, name, O_RDONLY, false), own_bytes);
	s->nrows = nrows;
	return s;
}

/* The next row; own: own_bytes.  False at the end.  Errors: reading the file. */
bool
HnswSpoolNext(Spool *s, SpoolRow *row, char *own)
{
	if (s->nread == s->nrows)
		return false;
	if (BufFileRead(s->file, row, sizeof(SpoolRow)) != sizeof(SpoolRow) ||
		BufFileRead(s->file, own, s->own_bytes) != (size_t) s->own_bytes)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read temporary file of an index build")));
	s->nread++;
	return true;
}

/* Go to the row after the first nread (of those there are). */
void
HnswSpoolSkip(Spool *s, int64 nread)
{
	if (BufFileSeek(s->file, 0, (off_t) (nread * (sizeof(SpoolRow) + s->own_bytes)), SEEK_SET) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not position temporary file of an index build")));
	s->nread = nread;
}

/* Close a file; one that the leader has alone is removed with that. */
void
HnswSpoolClose(Spool *s)
{
	BufFileClose(s->file);
	pfree(s);
}
