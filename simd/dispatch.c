/*
 * dispatch.c
 *		Which kernels this processor can run, and the choice among them.
 *
 * Asks the processor (CPUID) and the operating system (XGETBV: are the wide
 * registers saved on a context switch?) once, on ARM the system alone; afterwards
 * a kernel costs one indirect call.  Must never run a wide instruction itself: the
 * file is compiled for the baseline.
 */
#include "kernels.h"

#ifdef VX_X86
#include <cpuid.h>
#endif
#if defined(VX_DOTPROD) && defined(__linux__)
#include <sys/auxv.h>
#endif

const VxKernels *vx_simd = &vx_kernels_generic;

#ifdef VX_X86

typedef struct CpuFeatures
{
	int			known;
	int			avx2;			/* with FMA and F16C */
	int			avx512;			/* F, BW, VL and DQ */
	int			vnni;
	int			vbmi;
	int			vpopcntdq;
} CpuFeatures;

/* Register sets saved by the operating system, as bits of XCR0. */
#define XCR0_AVX		0x06	/* xmm, ymm */
#define XCR0_AVX512		0xe6	/* those, mask registers, zmm */

static uint32_t
read_xcr0(void)
{
	uint32_t	eax;
	uint32_t	edx;

	/* "xgetbv" spelt in bytes needs no option of the assembler */
	__asm__ volatile (".byte 0x0f, 0x01, 0xd0":"=a" (eax), "=d"(edx):"c"(0));
	(void) edx;
	return eax;
}

static const CpuFeatures *
cpu_features(void)
{
	static CpuFeatures features;
	unsigned	eax;
	unsigned	ebx;
	unsigned	ecx;
	unsigned	edx;
	uint32_t	xcr0;
	int			fma_f16c;

	if (features.known)
		return &features;
	features.known = 1;

	/* leaf 1, ecx: FMA 12, POPCNT 23, OSXSAVE 27, AVX 28, F16C 29 */
	if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx >> 27 & 1))
		return &features;
	xcr0 = read_xcr0();
	fma_f16c = (ecx >> 12 & 1) && (ecx >> 23 & 1) && (ecx >> 28 & 1) && (ecx >> 29 & 1);
	if (!fma_f16c || (xcr0 & XCR0_AVX) != XCR0_AVX)
		return &features;

	/* leaf 7, ebx: AVX2 5, F 16, DQ 17, BW 30, VL 31; ecx: VBMI 1, VNNI 11, VPOPCNTDQ 14 */
	if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
		return &features;
	features.avx2 = ebx >> 5 & 1;
	features.avx512 = features.avx2 && (xcr0 & XCR0_AVX512) == XCR0_AVX512 &&
		(ebx >> 16 & 1) && (ebx >> 17 & 1) && (ebx >> 30 & 1) && (ebx >> 31 & 1);
	features.vbmi = features.avx512 && (ecx >> 1 & 1);
	features.vnni = features.avx512 && (ecx >> 11 & 1);
	features.vpopcntdq = features.avx512 && (ecx >> 14 & 1);
	return &features;
}

/* The AVX-512 table with what this very processor does better. */
static const VxKernels *
avx512_kernels(void)
{
	static VxKernels kernels;
	const CpuFeatures *cpu = cpu_features();

	if (kernels.name == NULL)
	{
		kernels = vx_kernels_avx512;
		if (cpu->vnni)
		{
			kernels.dot_i16_i8 = vx_dot_i16_i8_vnni;
			kernels.dot_i8_i8 = vx_dot_i8_i8_vnni;
			kernels.dot_i8_panels = vx_dot_i8_panels_vnni;
		}
		if (cpu->vnni && cpu->vbmi)
			kernels.scan32 = vx_scan32_vbmi;
		if (cpu->vpopcntdq)
		{
			kernels.hamming = vx_hamming_vpopcntdq;
			kernels.common_bits = vx_common_bits_vpopcntdq;
		}
	}
	return &kernels;
}

#endif							/* VX_X86 */

#ifdef VX_DOTPROD

/* Elsewhere than on Linux what the compiler may use anyway. */
static int
has_dotprod(void)
{
#if defined(__linux__)
	/* HWCAP_ASIMDDP, which older headers lack */
	return (int) (getauxval(AT_HWCAP) >> 20 & 1);
#elif defined(__ARM_FEATURE_DOTPROD)
	return 1;
#else
	return 0;
#endif
}

#endif							/* VX_DOTPROD */

#ifdef VX_ARM64

/* The NEON table with what this very processor does better. */
static const VxKernels *
neon_kernels(void)
{
	static VxKernels kernels;

	if (kernels.name == NULL)
	{
		kernels = vx_kernels_neon;
#ifdef VX_DOTPROD
		if (has_dotprod())
		{
			kernels.dot_i8_i8 = vx_dot_i8_i8_dotprod;
			kernels.dot_i8_panels = vx_dot_i8_panels_dotprod;
		}
#endif
	}
	return &kernels;
}

#endif							/* VX_ARM64 */

/*
 * The kernels of a level, or NULL; VX_SIMD_AUTO is the best level there is.
 */
const VxKernels *
VxSimdKernels(VxSimdLevel level)
{
	const VxKernels *kernels;

	switch (level)
	{
		case VX_SIMD_AUTO:
			if ((kernels = VxSimdKernels(VX_SIMD_AVX512)) != NULL ||
				(kernels = VxSimdKernels(VX_SIMD_AVX2)) != NULL ||
				(kernels = VxSimdKernels(VX_SIMD_NEON)) != NULL)
				return kernels;
			return &vx_kernels_generic;
		case VX_SIMD_GENERIC:
			return &vx_kernels_generic;
#ifdef VX_X86
		case VX_SIMD_AVX2:
			return cpu_features()->avx2 ? &vx_kernels_avx2 : NULL;
		case VX_SIMD_AVX512:
			return cpu_features()->avx512 ? avx512_kernels() : NULL;
#endif
#ifdef VX_ARM64
		case VX_SIMD_NEON:
			return neon_kernels();
#endif
		default:				/* another architecture's */
			return NULL;
	}
}

/*
 * Can this processor run the level, and is the level compiled in?
 */
int
VxSimdSupported(VxSimdLevel level)
{
	return VxSimdKernels(level) != NULL;
}

/*
 * Point vx_simd at a level's kernels.  Returns 0, changing nothing, when the
 * level is not supported.
 */
int
VxSimdSelect(VxSimdLevel level)
{
	const VxKernels *kernels = VxSimdKernels(level);

	if (kernels == NULL)
		return 0;
	vx_simd = kernels;
	return 1;
}

/*
 * Fill 2 * VX_SIGN_WORDS(n) words from a seed: the upper halves of successive
 * outputs of splitmix64 (Steele, Lea, Flood, OOPSLA 2014).  An index depends
 * on it: the sequence must never change.
 */
void
VxRotationSigns(uint64_t seed, int n, uint32_t *signs)
{
	int			words = 2 * VX_SIGN_WORDS(n);

	for (int i = 0; i < words; i++)
	{
		uint64_t	z = (seed += UINT64_C(0x9E3779B97F4A7C15));

		z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
		z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
		signs[i] = (uint32_t) ((z ^ (z >> 31)) >> 32);
	}
}
