/*
 * vectorx.c
 *		Loading of the library: kernels, GUCs, storage parameters, hooks.
 *
 * The same of both libraries that are made of this tree (names.h).
 *
 * Nothing here may fail because of what other libraries have done before, nor
 * make them fail afterwards: hnsw/settings.c.
 */
#include "postgres.h"

#include "bridge.h"
#include "cache/cache.h"
#include "compat.h"
#include "fmgr.h"
#include "hnsw/am/am.h"
#include "hnsw/am/options.h"
#include "hnsw/base/waitpoint.h"
#include "names.h"
#include "planner/planner.h"
#include "simd/vx_simd.h"
#include "utils/builtins.h"
#include "utils/guc.h"

PG_MODULE_MAGIC;

/* That of vectorx.control. */
#define VERSION	"0.2.0"

#define SIMD	"vectorx.simd"

PG_FUNCTION_INFO_V1(vectorx_version);

PGDLLEXPORT void _PG_init(void);

static int	simd_level = VX_SIMD_AUTO;

static const struct config_enum_entry simd_levels[] = {
	{"auto", VX_SIMD_AUTO, false},
	{"generic", VX_SIMD_GENERIC, false},
#if defined(__aarch64__)
	{"neon", VX_SIMD_NEON, false},
#else
	{"avx2", VX_SIMD_AVX2, false},
	{"avx512", VX_SIMD_AVX512, false},
#endif
	{NULL, 0, false}
};

static bool
check_simd(int *newval, void **extra, GucSource source)
{
	if (*newval != VX_SIMD_AUTO && VxSimdKernels((VxSimdLevel) *newval) == NULL)
	{
		GUC_check_errdetail("This processor does not have the instructions.");
		return false;
	}
	return true;
}

static void
assign_simd(int newval, void *extra)
{
	(void) VxSimdSelect((VxSimdLevel) newval);
}

/*
 * vectorx_version(): the library's, which one that is replaced on disk may not have
 * in common with its extension, nor an extension "vector" with anything.
 */
Datum
vectorx_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(VERSION));
}

void
_PG_init(void)
{
	(void) VxSimdSelect(VX_SIMD_AUTO);
	HnswOptionsInit();
	/* the other one of the two libraries may be there */
	if (!HnswSettingDefined(SIMD))
		DefineCustomEnumVariable(SIMD,
								 "Instruction set of the distance kernels.",
								 "For tests; \"auto\" takes the best this processor has.",
								 &simd_level, VX_SIMD_AUTO, simd_levels,
								 PGC_SUSET, 0, check_simd, assign_simd, NULL);
#ifndef VX_BRIDGE
	VxCacheInit();
#endif
	HnswWaitPointInit();
	HnswPlanInit();
	HnswPathsInit();
	HnswAlterInit();
	HnswStatsInit();
	HnswTableInit();
#ifdef VX_BRIDGE
	BridgeInit();
#endif
}
