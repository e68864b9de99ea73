/*
 * bench_simd.c
 *		Micro-benchmark: nanoseconds per call of every kernel, by level and
 *		dimension.
 *
 * The levels take turns, a few hundred microseconds each, in CPU time of this
 * thread, and the least of all turns counts: what else the machine does falls
 * on all alike.  Inputs lie in the L1 or L2 cache except in the last table,
 * where the scan reads random records of a large area.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "kernels.h"

#define MAX_N	1536
#define ROUNDS	24
#define TURN_NS	150000.0

static float a[MAX_N + 16] __attribute__((aligned(64)));
static float b[32 * MAX_N] __attribute__((aligned(64)));
static float f[MAX_N + 16] __attribute__((aligned(64)));
static uint16_t h[MAX_N + 16] __attribute__((aligned(64)));
static int8_t c8[MAX_N + 64] __attribute__((aligned(64)));
static int8_t d8[MAX_N + 64] __attribute__((aligned(64)));
static int16_t w[MAX_N + 64] __attribute__((aligned(64)));
static uint32_t signs[2 * VX_SIGN_WORDS(MAX_N)];
static uint8_t table[VX_TABLE_BYTES(MAX_N, 4)] __attribute__((aligned(64)));
static uint8_t codes[VX_CODE_GROUPS(MAX_N, 4) * VX_GROUP_BYTES] __attribute__((aligned(64)));
static uint8_t code[VX_CODE_BYTES(MAX_N, 4)];
static int8_t panels[2 * VX_PANEL_BYTES(MAX_N)] __attribute__((aligned(64)));
static int32_t dots[4 * 2 * VX_PANEL];
static uint32_t sums[VX_BLOCK];
static float est[VX_BLOCK];
static float places[VX_PLACES];
static uint32_t words[MAX_N];

/* Results go here, so that no call can be left out. */
static volatile float float_sink;
static volatile int32_t int_sink;

static double
cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double) t.tv_sec * 1e9 + (double) t.tv_nsec;
}

typedef void (*Call) (const VxKernels *k, int n);

static void call_l2sq(const VxKernels *k, int n) { float_sink = k->l2sq(a, b, n); }
static void call_dot(const VxKernels *k, int n) { float_sink = k->dot(a, b, n); }
static void call_l1(const VxKernels *k, int n) { float_sink = k->l1(a, b, n); }
static void call_sumsq(const VxKernels *k, int n) { float_sink = k->sumsq(a, n); }
static void call_dot_norms(const VxKernels *k, int n) { k->dot_norms(a, b, n, f, f + 1, f + 2); }
static void call_dot_f16(const VxKernels *k, int n) { float_sink = k->dot_f16(a, h, n); }
static void call_f16_l2sq(const VxKernels *k, int n) { float_sink = k->f16_l2sq(h, h, n); }
static void call_f16_dot_norms(const VxKernels *k, int n) { k->f16_dot_norms(h, h, n, f, f + 1, f + 2); }
static void call_dot_i16_i8(const VxKernels *k, int n) { int_sink = k->dot_i16_i8(w, c8, n); }
static void call_dot_i8_i8(const VxKernels *k, int n) { int_sink = k->dot_i8_i8(c8, d8, n); }
static void call_f32_to_f16(const VxKernels *k, int n) { k->f32_to_f16(a, h, n); }
static void call_f16_to_f32(const VxKernels *k, int n) { k->f16_to_f32(h, f, n); }
static void call_dequantize_i8(const VxKernels *k, int n) { k->dequantize_i8(c8, 0.01f, 0.1f, n, f); }
static void call_rotate(const VxKernels *k, int n) { k->rotate(f, n, signs); }
static void call_table1(const VxKernels *k, int n) { k->build_table(a, n, 1, table, est, est + 1); }
static void call_table4(const VxKernels *k, int n) { k->build_table(a, n, 4, table, est, est + 1); }
static void call_scan1(const VxKernels *k, int n) { k->scan32(codes, VX_CODE_GROUPS(n, 1), table, sums); }
static void call_scan4(const VxKernels *k, int n) { k->scan32(codes, VX_CODE_GROUPS(n, 4), table, sums); }
static void call_encode1(const VxKernels *k, int n) { k->encode(a, b, n, 1, code, est, est + 1); }
static void call_encode2(const VxKernels *k, int n) { k->encode(a, b, n, 2, code, est, est + 1); }
static void call_encode4(const VxKernels *k, int n) { k->encode(a, b, n, 4, code, est, est + 1); }
static void call_many(const VxKernels *k, int n) { k->l2sq_many(a, b, (size_t) n, n, 32, est); }

static void
call_quantize_i8(const VxKernels *k, int n)
{
	float		scale;
	float		offset;
	int32_t		sum;

	k->quantize_i8(a, n, d8, &scale, &offset, &sum);
	int_sink = sum;
}

static void
call_quantize_i16(const VxKernels *k, int n)
{
	float		scale;

	k->quantize_i16(a, n, w, &scale);
	float_sink = scale;
}

static void
call_estimate(const VxKernels *k, int n)
{
	(void) n;
	int_sink = (int32_t) k->estimate32_bf16(sums, h, h + 32, 1, 2, 3, 4, est);
}

static void
call_panels(const VxKernels *k, int n)
{
	const int8_t *rows[4] = {c8, d8, c8, d8};

	k->dot_i8_panels(rows, 4, n, panels, 2, dots, 2 * VX_PANEL);
	int_sink = dots[0];
}

static void call_subtract(const VxKernels *k, int n) { float_sink = k->subtract(a, b, n, f); }
static void call_hamming(const VxKernels *k, int n) { int_sink = (int32_t) k->hamming((const uint8_t *) a, (const uint8_t *) b, n / 8); }
static void call_hamming_many(const VxKernels *k, int n) { k->hamming_many((const uint8_t *) a, (const uint8_t *) b, n / 8, 32, est); }
static void call_sparse_dot(const VxKernels *k, int n) { float_sink = k->sparse_dot(places, words, n / 8 * 8); }
static void call_sparse_l1(const VxKernels *k, int n) { float_sink = k->sparse_l1(places, words, 2, n / 8 * 8); }
static void call_below(const VxKernels *k, int n) { int_sink = k->below(a, n, 0.1f, h); }

typedef struct Case
{
	const char *name;
	Call		call;
	double		bytes;			/* read and written per dimension */
} Case;

static const Case cases[] = {
	{"l2sq", call_l2sq, 8},
	{"dot", call_dot, 8},
	{"l1", call_l1, 8},
	{"sumsq", call_sumsq, 4},
	{"dot_norms", call_dot_norms, 8},
	{"dot_f16", call_dot_f16, 6},
	{"f16_l2sq", call_f16_l2sq, 4},
	{"f16_dot_norms", call_f16_dot_norms, 4},
	{"dot_i16_i8", call_dot_i16_i8, 3},
	{"dot_i8_i8", call_dot_i8_i8, 2},
	{"dot_i8_panels 4x32", call_panels, 36},
	{"subtract", call_subtract, 12},
	{"hamming", call_hamming, 0.25},
	{"hamming_many x32", call_hamming_many, 4.125},
	{"sparse_dot", call_sparse_dot, 8},
	{"sparse_l1", call_sparse_l1, 8},
	{"below", call_below, 4},
	{"l2sq_many x32", call_many, 132},
	{"f32_to_f16", call_f32_to_f16, 6},
	{"f16_to_f32", call_f16_to_f32, 6},
	{"quantize_i8", call_quantize_i8, 5},
	{"dequantize_i8", call_dequantize_i8, 5},
	{"quantize_i16", call_quantize_i16, 6},
	{"rotate", call_rotate, 8},
	{"build_table 1 bit", call_table1, 8},
	{"build_table 4 bit", call_table4, 20},
	{"scan32 1 bit", call_scan1, 8},
	{"scan32 4 bit", call_scan4, 32},
	{"estimate32_bf16", call_estimate, 0},
	{"encode 1 bit", call_encode1, 8},
	{"encode 2 bit", call_encode2, 8},
	{"encode 4 bit", call_encode4, 8},
};

static const VxKernels *levels[4];
static const char *level_names[4];
static int	level_count;

static double
turn(const Case *test, const VxKernels *k, int n, int calls)
{
	double		start = cpu_ns();

	for (int i = 0; i < calls; i++)
		test->call(k, n);
	return (cpu_ns() - start) / calls;
}

static void
run_case(const Case *test, int n)
{
	double		best[4] = {0};
	int			calls[4] = {0};

	for (int l = 0; l < level_count; l++)
	{
		best[l] = turn(test, levels[l], n, 100);
		calls[l] = (int) (TURN_NS / (best[l] + 1.0)) + 1;
	}
	for (int round = 0; round < ROUNDS; round++)
	{
		for (int l = 0; l < level_count; l++)
		{
			double		ns = turn(test, levels[l], n, calls[l]);

			best[l] = ns < best[l] ? ns : best[l];
		}
	}
	for (int l = 0; l < level_count; l++)
	{
		printf("%-18s %5d  %-12s %10.1f ns", test->name, n, level_names[l], best[l]);
		if (test->bytes > 0)
			printf(" %8.1f GB/s", test->bytes * n / best[l]);
		else
			printf(" %8s     ", "");
		printf(" %7.2f x generic\n", best[0] / best[l]);
	}
}

/* Scan of records in random places of an area larger than any cache. */
static void
run_scan_memory(size_t megabytes)
{
	static const int group_counts[] = {12, 13, 48};
	size_t		size = megabytes << 20;
	uint8_t    *area = malloc(size);
	int			records = 4000;

	if (area == NULL)
	{
		printf("scan32 in memory: no %zu MB to be had: not run\n", megabytes);
		return;
	}
	for (size_t i = 0; i < size; i += 8)
	{
		uint64_t	x = (i + 1) * UINT64_C(0x9E3779B97F4A7C15);

		memcpy(area + i, &x, 8);
	}
	printf("\nscan32, ns per group of 32 codes x 8 nibbles: one record again and again, and random records of %zu MB\n",
		   megabytes);
	for (size_t i = 0; i < sizeof(group_counts) / sizeof(group_counts[0]); i++)
	{
		int			groups = group_counts[i];
		double		near[4] = {1e9, 1e9, 1e9, 1e9};
		double		far[4] = {1e9, 1e9, 1e9, 1e9};
		uint64_t	state = 1;

		for (int round = 0; round < 12; round++)
		{
			for (int l = 0; l < level_count; l++)
			{
				double		start = cpu_ns();
				double		ns;

				for (int r = 0; r < records; r++)
					levels[l]->scan32(codes, groups, table, sums);
				ns = (cpu_ns() - start) / records / groups;
				near[l] = ns < near[l] ? ns : near[l];
				start = cpu_ns();
				for (int r = 0; r < records; r++)
				{
					size_t		at;

					/* the next address hangs on the last result, as in a search */
					state = state * UINT64_C(6364136223846793005) + 1442695040888963407u + (sums[0] & 1);
					at = (size_t) (state >> 20) % (size / 8192) * 8192;
					levels[l]->scan32(area + at, groups, table, sums);
				}
				ns = (cpu_ns() - start) / records / groups;
				far[l] = ns < far[l] ? ns : far[l];
			}
		}
		for (int l = 0; l < level_count; l++)
			printf("groups %2d  %-12s cache %6.2f ns (%.2f x generic)   memory %6.2f ns (%.2f x generic)\n",
				   groups, level_names[l], near[l], near[0] / near[l], far[l], far[0] / far[l]);
	}
	free(area);
}

int
main(int argc, char **argv)
{
	static const int dims[] = {100, 384, 768, 1536};
	const char *only = argc > 1 ? argv[1] : "";
	static const VxSimdLevel all[] = {VX_SIMD_GENERIC, VX_SIMD_AVX2, VX_SIMD_AVX512, VX_SIMD_NEON};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
	{
		const VxKernels *k = VxSimdKernels(all[i]);

		if (k == NULL)
			continue;
#ifdef VX_X86
		/* the level as a processor without VNNI and VBMI runs it */
		if (all[i] == VX_SIMD_AVX512 && k->scan32 == vx_scan32_vbmi)
		{
			levels[level_count] = &vx_kernels_avx512;
			level_names[level_count++] = "avx512 base";
		}
#endif
#ifdef VX_ARM64
		/* the level as a processor without SDOT runs it */
		if (all[i] == VX_SIMD_NEON && k->dot_i8_i8 != vx_kernels_neon.dot_i8_i8)
		{
			levels[level_count] = &vx_kernels_neon;
			level_names[level_count++] = "neon base";
		}
#endif
		levels[level_count] = k;
		level_names[level_count++] = k->name;
	}
	srand(1);
	for (int i = 0; i < MAX_N; i++)
	{
		a[i] = f[i] = (float) rand() / (float) RAND_MAX + (float) rand() / (float) RAND_MAX - 1.0f;
		h[i] = (uint16_t) (rand() & 0xbbff);
		c8[i] = d8[i] = (int8_t) (rand() % 255 - 127);
		w[i] = (int16_t) (rand() % 2000 - 1000);
		/* places of a vocabulary */
		words[i] = (uint32_t) (rand() % 30000) << 16 | h[i];
	}
	for (int i = 0; i < 32 * MAX_N; i++)
		b[i] = (float) rand() / (float) RAND_MAX - 0.5f;
	for (size_t i = 0; i < sizeof(codes); i++)
		codes[i] = (uint8_t) rand();
	VxRotationSigns(1, MAX_N, signs);
	vx_kernels_generic.build_table(a, MAX_N, 4, table, est, est + 1);

	for (size_t t = 0; t < sizeof(cases) / sizeof(cases[0]); t++)
	{
		if (strstr(cases[t].name, only) == NULL)
			continue;
		for (size_t d = 0; d < sizeof(dims) / sizeof(dims[0]); d++)
			run_case(&cases[t], dims[d]);
	}
	if (strstr("scan32", only) != NULL)
		run_scan_memory(512);
	return 0;
}
