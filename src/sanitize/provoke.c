/*
 * provoke.c
 *		Mistakes made on purpose, in a sanitized build: scripts/sanitize makes
 *		each before its tests, to know that it would be told.
 */
#include "postgres.h"

#include "access/relation.h"
#include "fmgr.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(vectorx_provoke);

/*
 * Takes the name of a mistake and an index, whose page 0 is read; returns a
 * number that keeps the compiler from leaving the mistake out.
 */
Datum
vectorx_provoke(PG_FUNCTION_ARGS)
{
	const char *what = PG_GETARG_CSTRING(0);
	volatile int n = 24;
	volatile double big = 1e300;
	int			result = 0;
	char	   *chunk = palloc0(n);
	Relation	rel = relation_open(PG_GETARG_OID(1), AccessShareLock);
	Buffer		buf = ReadBuffer(rel, 0);
	const char *page = (const char *) BufferGetPage(buf);

	if (strcmp(what, "nothing") == 0)
		result = chunk[n - 1] + page[BLCKSZ - n] + page[n];
	else if (strcmp(what, "chunk") == 0)
		chunk[n] = 1;
	else if (strcmp(what, "copy") == 0)
		memcpy(chunk, page, n + 1);
	else if (strcmp(what, "page") == 0)
		result = page[BLCKSZ + n];
	else if (strcmp(what, "before page") == 0)
		result = page[-n];
	else if (strcmp(what, "copy of page") == 0)
	{
		char	   *copy = palloc(BLCKSZ);

		memcpy(copy, page + n, BLCKSZ);
		result = copy[BLCKSZ - 1];
	}
	else if (strcmp(what, "shift") == 0)
		result = 1 << (n + 8);
	else if (strcmp(what, "cast") == 0)
		result = (int) big;
	else if (strcmp(what, "assertion") == 0)
		Assert(n == 0);
	else
		elog(ERROR, "unknown mistake \"%s\"", what);

	ReleaseBuffer(buf);
	relation_close(rel, AccessShareLock);
	pfree(chunk);
	PG_RETURN_INT32(result);
}
