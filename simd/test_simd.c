/*
 * test_simd.c
 *		Every kernel of every level this processor can run, against plain C and
 *		against naive sums in double.
 *
 * Inputs end at a page nobody may read, and outputs are followed by bytes that
 * must stay as they are, so that one element too many is caught.  A level that
 * cannot run is named as not run.  Exit status 1 on any failure.
 *
 * The tests are in test_distance.c, test_convert.c and test_code.c.  The
 * AVX-512 level is tested twice where the processor has VNNI, VBMI or VPOPCNTDQ, NEON
 * where it has SDOT: as dispatched, and as a processor without them would run it.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "test_simd.h"

long		passed;
long		failed;
const char *level_name;
const VxKernels *generic;
float		input_a[MAX_N + 16];
float		input_b[MAX_N + 16];

Guarded
guarded_create(size_t size)
{
	size_t		page = (size_t) sysconf(_SC_PAGESIZE);
	size_t		pages = (size + page - 1) / page;
	uint8_t    *base = mmap(NULL, (pages + 1) * page, PROT_READ | PROT_WRITE,
							MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	Guarded		result;

	if (base == MAP_FAILED || mprotect(base + pages * page, page, PROT_NONE) != 0)
	{
		perror("mmap");
		exit(2);
	}
	result.end = base + pages * page;
	return result;
}

static Guarded guard[GUARDS];

/* Copy of an input whose last byte is the last one readable. */
const void *
at_end(int which, const void *data, size_t size)
{
	uint8_t    *p = guard[which].end - size;

	if (size > 0)
		memcpy(p, data, size);
	return p;
}

/* Room for an output that ends at the guard page, filled with a pattern. */
void *
out_at_end(int which, size_t size)
{
	uint8_t    *p = guard[which].end - size;

	memset(p - OUT_GUARD, 0xA5, size + OUT_GUARD);
	return p;
}

int
front_untouched(const void *out)
{
	const uint8_t *p = (const uint8_t *) out - OUT_GUARD;

	for (int i = 0; i < OUT_GUARD; i++)
	{
		if (p[i] != 0xA5)
			return 0;
	}
	return 1;
}

static uint64_t random_state = 12345;

uint64_t
random_bits(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state * UINT64_C(0x2545F4914F6CDD1D);
}

static double
random_unit(void)
{
	return ((double) (random_bits() >> 11) + 0.5) / 9007199254740992.0;
}

float
random_normal(void)
{
	return (float) (sqrt(-2.0 * log(random_unit())) * cos(6.283185307179586 * random_unit()));
}

const char *const kind_names[DATA_KINDS] = {
	"normal", "offset", "constant", "zero", "negative zero", "tiny", "huge", "spike"
};

void
fill(float *v, int n, int kind)
{
	float		constant = random_normal();

	for (int i = 0; i < n; i++)
	{
		float		x = random_normal();

		switch (kind)
		{
			case DATA_NORMAL:
				break;
			case DATA_OFFSET:
				x += 100.0f;
				break;
			case DATA_CONSTANT:
				x = constant;
				break;
			case DATA_ZERO:
				x = 0.0f;
				break;
			case DATA_NEGATIVE_ZERO:
				x = i % 3 ? -0.0f : 0.0f;
				break;
			case DATA_TINY:
				x *= i % 2 ? 1e-38f : 1e-44f;
				break;
			case DATA_HUGE:
				x = x > 0 ? 1e25f + x * 1e24f : -1e25f + x * 1e24f;
				break;
			case DATA_SPIKE:
				x = i == n / 2 ? 1000.0f : x * 0.01f;
				break;
		}
		v[i] = x;
	}
}

double
half_value(uint16_t h)
{
	int			exponent = (h >> 10) & 31;
	double		m = exponent ? ldexp((h & 1023) + 1024, exponent - 25) : ldexp(h & 1023, -24);

	return h & 0x8000 ? -m : m;
}

/*
 * Comparison of a float sum with the exact value.  "terms" is the sum of the
 * absolute values of what was added.  Beyond the range of float both must be
 * infinite; between, either may be.
 */
int
close_enough(float x, double exact, double terms, double relative)
{
	if (terms > 3.5e38)
		return isinf(x) || isnan(x) || fabs((double) x - exact) <= terms * relative;
	if (isinf(x) || isnan(x))
		return terms > 3.3e38;
	return fabs((double) x - exact) <= terms * relative + 1e-37;
}

void
sum_add(Sum *sum, double x)
{
	sum->value += x;
	sum->terms += fabs(x);
}

/*
 * Plain C adds n / 8 terms one after the other, each sum rounded by at most
 * 2^-24 of it: 7.5e-9 n of the absolute terms.  The rest is the terms' own.
 */
double
tolerance(int n)
{
	return 1e-6 + 7.5e-9 * n;
}

static void
test_level(const char *name, const VxKernels *k)
{
	static const int longer[] = {384, 768, 960, 1536, 2000, MAX_N};
	static const int bit_counts[] = {1, 2, 4};

	level_name = name;
	for (int index = 0; index <= 260 + 6; index++)
	{
		int			n = index <= 260 ? index : longer[index - 261];

		for (int kind = 0; kind < DATA_KINDS; kind++)
		{
			fill(input_a, n, kind);
			fill(input_b, n, kind == DATA_HUGE || kind == DATA_TINY ? kind : DATA_NORMAL);
			test_distances(k, n, kind);
			/* halves times huge values are no test: all is infinite */
			if (kind != DATA_HUGE)
				test_stored(k, n, kind);
			test_quantize(k, n, kind);
			test_rotate(k, n, kind);
			if (n > 0 && (n <= 70 || n % 16 <= 1 || n > 260))
			{
				for (int i = 0; i < 3; i++)
					test_codes(k, n, bit_counts[i], kind);
			}
		}
		test_halves(k, n);
		/* unaligned starts: any four-byte boundary */
		for (int start = 1; start < 16; start += 3)
		{
			fill(input_a, n + 16, DATA_NORMAL);
			memcpy(input_b, input_a + start, (size_t) n * 4);
			CHECK(n == 0 || k->l2sq(input_a + start, input_b, n) == 0.0f, "l2sq n=%d unaligned", n);
			CHECK(close_enough(k->dot(input_a + start, input_b, n), generic->sumsq(input_b, n),
							   generic->sumsq(input_b, n), tolerance(n)), "dot n=%d unaligned", n);
		}
	}
	test_scan_long(k);
	test_estimates(k);
	test_f16(k);
	test_many(k);
	test_panels(k);
	test_below_and_subtract(k);
	test_bits(k);
	test_intersect(k);
	test_sparse(k);
}

/* Test kernels and say how that went. */
static void
run_level(const char *name, const VxKernels *k)
{
	long		first_failed = failed;
	long		first_passed = passed;

	test_level(name, k);
	printf("%s: run, %ld passed, %ld failed\n", name, passed - first_passed, failed - first_failed);
}

/* A level as processors without the extensions of this one run it. */
static void
run_base(const VxKernels *k)
{
#ifdef VX_X86
	if (k != VxSimdKernels(VX_SIMD_AVX512))
		return;
	if (k->scan32 == vx_kernels_avx512.scan32 && k->dot_i8_i8 == vx_kernels_avx512.dot_i8_i8 &&
		k->hamming == vx_kernels_avx512.hamming)
	{
		printf("avx512 with VNNI, VBMI or VPOPCNTDQ: not supported by this processor: not run\n");
		return;
	}
	printf("avx512: VNNI %s, VBMI %s, VPOPCNTDQ %s\n",
		   k->dot_i8_i8 == vx_dot_i8_i8_vnni ? "run" : "not run",
		   k->scan32 == vx_scan32_vbmi ? "run" : "not run",
		   k->hamming == vx_hamming_vpopcntdq ? "run" : "not run");
	run_level("avx512 without VNNI, VBMI and VPOPCNTDQ", &vx_kernels_avx512);
#elif defined(VX_ARM64)
	if (k != VxSimdKernels(VX_SIMD_NEON))
		return;
	if (k->dot_i8_i8 == vx_kernels_neon.dot_i8_i8)
		printf("neon with SDOT: not supported by this processor or not compiled in: not run\n");
	else
		run_level("neon without SDOT", &vx_kernels_neon);
#else
	(void) k;
#endif
}

int
main(void)
{
	static const struct
	{
		VxSimdLevel level;
		const char *name;
	}			levels[] = {
		{VX_SIMD_GENERIC, "generic"},
#ifdef VX_X86
		{VX_SIMD_AVX2, "avx2"},
		{VX_SIMD_AVX512, "avx512"},
#endif
#ifdef VX_ARM64
		{VX_SIMD_NEON, "neon"},
#endif
	};
	static const VxSimdLevel foreign[] = {
#ifndef VX_X86
		VX_SIMD_AVX2,
		VX_SIMD_AVX512,
#endif
#ifndef VX_ARM64
		VX_SIMD_NEON,
#endif
	};

	generic = VxSimdKernels(VX_SIMD_GENERIC);
	for (int i = 0; i < GUARDS; i++)
		guard[i] = guarded_create(VX_CODE_GROUPS(MAX_N, 4) * VX_GROUP_BYTES + 4096);

	level_name = "dispatch";
	CHECK(vx_simd == generic, "plain C before a level is selected");
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
	{
		const VxKernels *k = VxSimdKernels(levels[i].level);
		const VxKernels *before = vx_simd;

		level_name = levels[i].name;
		CHECK(VxSimdSupported(levels[i].level) == (k != NULL), "VxSimdSupported");
		CHECK(VxSimdSelect(levels[i].level) == (k != NULL), "VxSimdSelect");
		CHECK(vx_simd == (k ? k : before), "VxSimdSelect: vx_simd");
		if (k == NULL)
		{
			printf("%s: not supported by this processor or not compiled in: not run\n", levels[i].name);
			continue;
		}
		CHECK(strcmp(k->name, levels[i].name) == 0, "name");
		for (size_t f = 0; f < sizeof(*k) / sizeof(void *); f++)
			CHECK(((void *const *) (const void *) k)[f] != NULL, "kernel %d is missing", (int) f);
		run_level(levels[i].name, k);
		run_base(k);
	}
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
		CHECK(VxSimdKernels(foreign[i]) == NULL, "level %d of another architecture", (int) foreign[i]);
	level_name = "dispatch";
	CHECK(VxSimdSelect(VX_SIMD_AUTO) == 1 && vx_simd == VxSimdKernels(VX_SIMD_AUTO), "auto");
	printf("simd: %ld passed, %ld failed\n", passed, failed);
	return failed ? 1 : 0;
}
