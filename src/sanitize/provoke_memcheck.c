/*
 * provoke_memcheck.c
 *		Mistakes made on purpose, in a library for Valgrind: scripts/valgrind
 *		makes each before its tests, to know that it would be told.
 */
#include "postgres.h"

#include "access/relation.h"
#include "fmgr.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(vectorx_provoke);

/* A chunk that held something before. */
static char *
used_chunk(int n)
{
	char	   *chunk = palloc(n);

	memset(chunk, 1, n);
	pfree(chunk);
	return palloc(n);
}

/* A branch, which no compiler makes a mere computation. */
static void
decide(int by)
{
	if (by == 7)
		elog(NOTICE, "seven");
}

/*
 * Takes the name of a mistake and an index, whose page 0 may be spoilt; returns a
 * number that keeps the compiler from leaving the mistake out.
 */
Datum
vectorx_provoke(PG_FUNCTION_ARGS)
{
	const char *what = PG_GETARG_CSTRING(0);
	volatile int n = 1024 * 1024;
	int			small = 64;
	int			result = 0;
	char	   *large = palloc0(n);
	char	   *chunk = used_chunk(small);
	Relation	rel = relation_open(PG_GETARG_OID(1), AccessShareLock);
	Buffer		buf = ReadBuffer(rel, 0);
	char	   *page = (char *) BufferGetPage(buf);

	LockBuffer(buf, BUFFER_LOCK_EXCLUSIVE);
	if (strcmp(what, "nothing") == 0)
	{
		chunk[1] = 1;
		page[BLCKSZ - 1] = chunk[1];
		MarkBufferDirty(buf);
		decide(large[n - 1] + chunk[1]);
	}
	else if (strcmp(what, "block") == 0)
		result = large[n + 16];
	else if (strcmp(what, "branch") == 0)
		decide(chunk[1]);
	else if (strcmp(what, "freed") == 0)
	{
		memset(chunk, 1, small);
		pfree(chunk);
		/* not the first bytes, in which the server keeps its list of free chunks */
		decide(chunk[20]);
		chunk = palloc(small);
	}
	else if (strcmp(what, "page") == 0)
	{
		page[BLCKSZ - 1] = chunk[1];
		MarkBufferDirty(buf);
	}
	else if (strcmp(what, "log") == 0)
	{
		/* the server copies it, and forgets it in what follows */
		XLogBeginInsert();
		XLogRegisterBuffer(0, buf, REGBUF_STANDARD);
		XLogRegisterBufData(0, chunk, small);
		XLogResetInsertion();
	}
	else if (strcmp(what, "value") == 0)
	{
		SET_VARSIZE(chunk, small);
		result = VARSIZE(memcheck_value(chunk));
	}
	else
		elog(ERROR, "unknown mistake \"%s\"", what);

	UnlockReleaseBuffer(buf);
	relation_close(rel, AccessShareLock);
	pfree(chunk);
	pfree(large);
	PG_RETURN_INT32(result);
}
