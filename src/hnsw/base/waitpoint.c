/*
 * waitpoint.c
 *		Wait points, for tests; compiled with "make WAIT_POINTS=1" only.
 *
 * A backend whose vectorx.wait_point names a point waits there for an advisory
 * lock that a test holds.  That is a heavyweight lock, so isolation tests see
 * whom it waits for, and the deadlock detector does too.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "hnsw/base/waitpoint.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/guc.h"

/* The first key of the advisory locks; the second is hashtext(name). */
#define LOCK_CLASS	77

/*
 * Every point there is, in the order in which a statement comes to them.  An
 * enum, so that tests can read the list from pg_settings.
 */
static const struct config_enum_entry points[] = {
	{"none", 0, false},
	/* insert */
	{"insert-root", 1, false},
	{"insert-equal", 2, false},
	{"insert-connect", 3, false},
	{"insert-node", 4, false},
	{"insert-back-links", 5, false},
	{"insert-upper", 6, false},
	{"insert-upper-back-links", 7, false},
	{"insert-entry", 8, false},
	/* VACUUM */
	{"vacuum-strip", 9, false},
	{"vacuum-strip-chains", 10, false},
	{"vacuum-strip-uppers", 11, false},
	{"vacuum-barrier", 12, false},
	{"relink-choose", 13, false},
	{"relink-write", 14, false},
	{"relink-page", 15, false},
	{"vacuum-repair", 16, false},
	{"vacuum-repair-read", 17, false},
	{"vacuum-repair-write", 18, false},
	{"vacuum-repair-offers", 19, false},
	{"vacuum-root", 20, false},
	{"vacuum-root-write", 21, false},
	{"vacuum-free", 22, false},
	{"vacuum-free-upper", 23, false},
	{"vacuum-free-node", 24, false},
	{"vacuum-upper-target", 25, false},
	/* CREATE INDEX */
	{"build-centre", 26, false},
	{"build-context", 27, false},
	{"build-load", 28, false},
	{"build-link", 29, false},
	{"build-write", 30, false},
	{"build-page", 31, false},
	{"build-meta", 32, false},
	{"build-insert", 33, false},
	{"build-log", 34, false},
	{"build-end", 35, false},
	/* a scan */
	{"scan-search", 36, false},
	{"scan-listed", 37, false},
	/* an insert that appends; merges */
	{"pending-append", 38, false},
	{"pending-page", 39, false},
	{"merge-close", 40, false},
	{"pending-close", 41, false},
	{"merge-settle", 42, false},
	{"merge-clear", 43, false},
	{"pending-clear", 44, false},
	/* the cache of results: of an insert, of VACUUM, of a scan */
	{"cache-written", 45, false},
	{"cache-void", 46, false},
	{"cache-begin", 47, false},
	{"cache-search", 48, false},
	{"cache-put", 49, false},
	{"cache-read", 50, false},
	{NULL, 0, false}
};

static int	wait_point = 0;
static int	wait_point_skip = 0;

/* How often the point has been passed since one of the settings was made. */
static int	passed = 0;

static void
assign_setting(int newval, void *extra)
{
	passed = 0;
}

/*
 * Wait, if the session's settings say so, until the test lets go.  Any page
 * lock holds interrupts off: a point in the wrong place is an error, whether
 * somebody waits there or not.
 */
void
HnswWaitPoint(const char *name)
{
	LOCKTAG		tag;

	if (InterruptHoldoffCount > 0 || CritSectionCount > 0)
		elog(ERROR, "wait point \"%s\" stands where a lock is held", name);
	if (wait_point == 0 || strcmp(points[wait_point].name, name) != 0)
		return;
	if (passed++ != wait_point_skip && wait_point_skip >= 0)
		return;
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, LOCK_CLASS,
						 DatumGetUInt32(hash_any((const unsigned char *) name, strlen(name))), 2);
	(void) LockAcquire(&tag, ShareLock, false, false);
	LockRelease(&tag, ShareLock, false);
}

/* The settings; called once, when the library loads. */
void
HnswWaitPointInit(void)
{
	DefineCustomEnumVariable("vectorx.wait_point",
							 "Where the session waits for an advisory lock.",
							 "For tests; that of the keys 77 and hashtext(name).",
							 &wait_point, 0, points,
							 PGC_SUSET, 0, NULL, assign_setting, NULL);
	DefineCustomIntVariable("vectorx.wait_point_skip",
							"How often it passes the point before it waits, once; -1: it waits each time.",
							NULL,
							&wait_point_skip, 0, -1, INT_MAX,
							PGC_SUSET, 0, NULL, assign_setting, NULL);
}
