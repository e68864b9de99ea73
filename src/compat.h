/*
 * compat.h
 *		Differences between the PostgreSQL releases vectorx builds on (15-18).
 *
 * The only place where PG_VERSION_NUM is compared.
 */
#ifndef VECTORX_COMPAT_H
#define VECTORX_COMPAT_H

#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/buf_internals.h"
#include "storage/bufmgr.h"
#include "utils/guc_tables.h"
#include "utils/rel.h"

/*
 * The library is built with -fvisibility=hidden: what the server looks up by
 * name is marked PGDLLEXPORT, which does nothing before 16, nor does
 * PG_FUNCTION_INFO_V1 mark the function then.
 */
#if PG_VERSION_NUM < 160000 && defined(__GNUC__)
#undef PGDLLEXPORT
#define PGDLLEXPORT __attribute__((visibility("default")))
#undef PG_FUNCTION_INFO_V1
#define PG_FUNCTION_INFO_V1(name) \
	PGDLLEXPORT Datum name(PG_FUNCTION_ARGS); \
	PGDLLEXPORT const Pg_finfo_record *CppConcat(pg_finfo_, name)(void); \
	const Pg_finfo_record * \
	CppConcat(pg_finfo_, name)(void) \
	{ \
		static const Pg_finfo_record info = {.api_version = 1}; \
		return &info; \
	} \
	extern int	no_such_variable
#endif

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#define CompatRelFile			RelFileLocator
#define CompatRelFileOf(rel)	((rel)->rd_locator)
#define CompatRelFileEquals(a, b)	RelFileLocatorEquals(a, b)
#define CompatRelFileSet(file, spc, number)	((file)->spcOid = (spc), (file)->relNumber = (number))
#define CompatRelFileNumber(rel)	((rel)->rd_locator.relNumber)
#else
#define CompatRelFile			RelFileNode
#define CompatRelFileOf(rel)	((rel)->rd_node)
#define CompatRelFileEquals(a, b)	RelFileNodeEquals(a, b)
#define CompatRelFileSet(file, spc, number)	((file)->spcNode = (spc), (file)->relNode = (number))
#define CompatRelFileNumber(rel)	((rel)->rd_node.relNode)
#endif

/*
 * CompatInputError: an error of an input function.  From 16 on it is a soft
 * one if the caller's context allows that (pg_input_is_valid): the function
 * then returns "dummy".  Before that it is always raised.
 */
#if PG_VERSION_NUM >= 160000
#include "nodes/miscnodes.h"
#define CompatInputError(context, dummy, ...) \
	ereturn((context), dummy, __VA_ARGS__)
#else
#define CompatInputError(context, dummy, ...) \
	do \
	{ \
		(void) (context); \
		ereport(ERROR, __VA_ARGS__); \
	} while (0)
#endif

/* Is this a worker of autovacuum? */
#if PG_VERSION_NUM >= 170000
#define CompatIsAutovacuumWorker()	AmAutoVacuumWorkerProcess()
#else
#include "postmaster/autovacuum.h"
#define CompatIsAutovacuumWorker()	IsAutoVacuumWorkerProcess()
#endif

/* From 18 on the name is PostgreSQL's own, and stands before the declaration. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn	pg_attribute_noreturn()
#endif

#if PG_VERSION_NUM >= 180000
#define CompatVacuumDelayPoint()	vacuum_delay_point(false)
#else
#define CompatVacuumDelayPoint()	vacuum_delay_point()
#endif

/*
 * CompatDisablePath: the path is to be chosen only if there is no other.  From
 * 18 on paths are compared by the number of their disabled nodes before their
 * costs, so that a cost, however high, is less than enable_seqscan = off.
 */
#if PG_VERSION_NUM >= 180000
#define CompatDisablePath(ipath)	((ipath)->path.disabled_nodes = 2)
#else
#define CompatDisablePath(ipath)	((void) (ipath))
#endif

/* Is a path's order descending? */
#if PG_VERSION_NUM >= 180000
#define CompatPathKeyDescends(key)	((key)->pk_cmptype != COMPARE_LT)
#else
#define CompatPathKeyDescends(key)	((key)->pk_strategy != BTLessStrategyNumber)
#endif

/*
 * CompatInjectionPoint: PostgreSQL's own means to stop a backend, on servers
 * built with it; see hnsw/waitpoint.h.
 */
#if PG_VERSION_NUM >= 170000 && defined(VX_WAIT_POINTS) && defined(USE_INJECTION_POINTS)
#include "utils/injection_point.h"
#endif
#if PG_VERSION_NUM >= 180000 && defined(USE_INJECTION_POINTS)
#define CompatInjectionPoint(name)	INJECTION_POINT(name, NULL)
#elif PG_VERSION_NUM >= 170000 && defined(USE_INJECTION_POINTS)
#define CompatInjectionPoint(name)	INJECTION_POINT(name)
#else
#define CompatInjectionPoint(name)	((void) 0)
#endif

/*
 * CompatExtendRelation: add n pages of zeros, at most 64, to the main fork.  The
 * caller holds the extension lock if anyone else might do so too.
 */
static inline void
CompatExtendRelation(Relation rel, uint32 n)
{
#if PG_VERSION_NUM >= 160000
	Buffer		buffers[64];
	uint32		extended = 0;

	(void) ExtendBufferedRelBy((BufferManagerRelation) {.rel = rel}, MAIN_FORKNUM, NULL,
							   EB_SKIP_EXTENSION_LOCK, n, buffers, &extended);
	for (uint32 i = 0; i < extended; i++)
		ReleaseBuffer(buffers[i]);
#else
	for (uint32 i = 0; i < n; i++)
	{
		/* ReleaseBuffer may be a macro that takes it twice (src/sanitize) */
		Buffer		buf = ReadBufferExtended(rel, MAIN_FORKNUM, P_NEW, RBM_NORMAL, NULL);

		ReleaseBuffer(buf);
	}
#endif
}

/* EXPLAIN ANALYZE tells the number of an index scan's searches, from 18 on. */
#if PG_VERSION_NUM >= 180000
#include "access/relscan.h"
#define CompatCountSearch(scan) \
	do \
	{ \
		if ((scan)->instrument) \
			(scan)->instrument->nsearches++; \
	} while (0)
#else
#define CompatCountSearch(scan)	((void) 0)
#endif

/*
 * CompatReadRecentBuffer: pin a block if it is still in the buffer it was in
 * (pass on what ReadRecentBuffer says), counted as ReadBuffer counts a hit.
 * ReadRecentBuffer does not raise a shared buffer's usage count, without which
 * the clock sweep would take the pages used most first.
 */
static inline bool
CompatReadRecentBuffer(Relation rel, BlockNumber blk, Buffer buf)
{
	if (!ReadRecentBuffer(CompatRelFileOf(rel), MAIN_FORKNUM, blk, buf))
		return false;
	if (!BufferIsLocal(buf))
	{
		BufferDesc *desc = GetBufferDescriptor(buf - 1);
		uint32		state = pg_atomic_read_u32(&desc->state);

		/* one attempt; not while the header is locked, whose holder may overwrite it */
		if (BUF_STATE_GET_USAGECOUNT(state) < BM_MAX_USAGE_COUNT && !(state & BM_LOCKED))
			(void) pg_atomic_compare_exchange_u32(&desc->state, &state,
												  state + BUF_USAGECOUNT_ONE);
	}
	pgstat_count_buffer_read(rel);
	pgstat_count_buffer_hit(rel);
#if PG_VERSION_NUM >= 180000
	pgstat_count_io_op(BufferIsLocal(buf) ? IOOBJECT_TEMP_RELATION : IOOBJECT_RELATION,
					   IOCONTEXT_NORMAL, IOOP_HIT, 1, 0);
#elif PG_VERSION_NUM >= 160000
	pgstat_count_io_op(BufferIsLocal(buf) ? IOOBJECT_TEMP_RELATION : IOOBJECT_RELATION,
					   IOCONTEXT_NORMAL, IOOP_HIT);
#endif
#if PG_VERSION_NUM < 180000
	VacuumPageHit++;			/* VACUUM VERBOSE; later it counts as EXPLAIN does */
#endif
	if (VacuumCostActive)
		VacuumCostBalance += VacuumCostPageHit;
	return true;
}

/*
 * CompatBufferHolds: is a block of the main fork in this shared buffer, at this moment?
 * For who has no pin and looks at the page nevertheless: true before and after says that
 * what he read was the block's (hnsw/README, "Peeking").  False also while someone is
 * changing that, for a page that the clock sweep would take next, and for a checker of
 * memory, to which pages without a pin are none of ours.
 */
static inline bool
CompatBufferHolds(BufferDesc *desc, Relation rel, BlockNumber blk)
{
#ifdef USE_VALGRIND
	return false;
#else
	const uint32 wanted = BM_VALID | BM_TAG_VALID;
	uint32		state;

	pg_read_barrier();
	state = pg_atomic_read_u32(&desc->state);
	pg_read_barrier();
	if ((state & (wanted | BM_LOCKED)) != wanted || BUF_STATE_GET_USAGECOUNT(state) == 0)
		return false;
#if PG_VERSION_NUM >= 160000
	if (!BufTagMatchesRelFileLocator(&desc->tag, &rel->rd_locator) ||
		BufTagGetForkNum(&desc->tag) != MAIN_FORKNUM || desc->tag.blockNum != blk)
		return false;
#else
	if (!RelFileNodeEquals(desc->tag.rnode, rel->rd_node) ||
		desc->tag.forkNum != MAIN_FORKNUM || desc->tag.blockNum != blk)
		return false;
#endif
	pg_read_barrier();
	return true;
#endif
}

/* A page that is looked at without a pin: the sanitizers are told (sanitize/redzones.h). */
#ifdef SANITIZE_REDZONES_H
#define CompatPeekOpen(buf)		RedzonePageOpen(buf)
#define CompatPeekClose(buf)	RedzonePageClose(buf)
#else
#define CompatPeekOpen(buf)		((void) 0)
#define CompatPeekClose(buf)	((void) 0)
#endif

/* May the role do to the relation what only its owner may? */
#if PG_VERSION_NUM >= 160000
#define CompatOwnsRelation(relid, role) \
	object_ownercheck(RelationRelationId, (relid), (role))
#else
#define CompatOwnsRelation(relid, role) \
	pg_class_ownercheck((relid), (role))
#endif

/* A file's storage manager, of a relation that is not temporary. */
#if PG_VERSION_NUM >= 170000
#define CompatOpenFile(file)	smgropen((file), INVALID_PROC_NUMBER)
#else
#define CompatOpenFile(file)	smgropen((file), InvalidBackendId)
#endif

/* Memory for what a check hook hands to the assign hook; NULL when there is none. */
static inline void *
CompatSettingExtra(Size size)
{
#if PG_VERSION_NUM >= 160000
	return guc_malloc(LOG, size);
#else
	return malloc(size);
#endif
}

/* What the server knows of a setting; NULL if there is none of the name. */
static inline struct config_generic *
CompatFindSetting(const char *name)
{
#if PG_VERSION_NUM >= 160000
	return find_option(name, false, true, ERROR);
#else
	struct config_generic **settings = get_guc_variables();

	for (int i = 0; i < GetNumConfigOptions(); i++)
		if (strcmp(settings[i]->name, name) == 0)
			return settings[i];
	return NULL;
#endif
}

/*
 * What a process waits for, as pg_stat_activity has it: from 17 on by a name of ours, before as all extensions
 * do.  *event is static, 0 before the first call; which may raise an error.
 */
static inline uint32
CompatWaitEvent(uint32 *event, const char *name)
{
#if PG_VERSION_NUM >= 170000
	if (*event == 0)
		*event = WaitEventExtensionNew(name);
	return *event;
#else
	return PG_WAIT_EXTENSION;
#endif
}

/*
 * What functions of an index find by name is pg_catalog's from here on, until the level of settings ends, where the
 * server has it so for VACUUM and CREATE INDEX.
 */
static inline void
CompatRestrictSearchPath(void)
{
#if PG_VERSION_NUM >= 170000
	RestrictSearchPath();
#endif
}

/* A scan of an index; what it does is not counted for EXPLAIN. */
#if PG_VERSION_NUM >= 180000
#define CompatIndexBeginScan(heap, index, snapshot, nkeys, norderbys) \
	index_beginscan(heap, index, snapshot, NULL, nkeys, norderbys)
#else
#define CompatIndexBeginScan(heap, index, snapshot, nkeys, norderbys) \
	index_beginscan(heap, index, snapshot, nkeys, norderbys)
#endif

/* The last parameter, and argument, of an ExecutorRun_hook. */
#if PG_VERSION_NUM >= 180000
#define COMPAT_RUN_ONCE
#define COMPAT_RUN_ONCE_VALUE
#else
#define COMPAT_RUN_ONCE			, bool execute_once
#define COMPAT_RUN_ONCE_VALUE	, execute_once
#endif

/* How a hash table in shared memory treats keys that are bytes; all but its locks. */
#if PG_VERSION_NUM >= 170000
#define CompatSharedHash(key, entry) \
	{.key_size = (key), .entry_size = (entry), .compare_function = dshash_memcmp, \
	 .hash_function = dshash_memhash, .copy_function = dshash_memcpy}
#else
#define CompatSharedHash(key, entry) \
	{.key_size = (key), .entry_size = (entry), .compare_function = dshash_memcmp, \
	 .hash_function = dshash_memhash}
#endif

#endif							/* VECTORX_COMPAT_H */
