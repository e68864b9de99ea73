/*
 * wide.h
 *		What kernels of any width are written in.
 *
 * wide_distance.h, wide_rotate.h and wide_code.h are compiled once for each
 * instruction set, in names that its header (avx2.h, avx512.h, neon.h) defines:
 *
 *	LEVEL(name)		the external name of a kernel
 *	TARGET			features for VX_TARGET
 *	WIDTH			floats in a register
 *	Floats, Ints	the register, and the same as 32-bit integers
 *	PS(name)		the intrinsic of that name for floats: PS(add)(a, b)
 *	load_first(), load_tail(), load_ints(), load_bf16(), load_stored(),
 *	absolute(), less_mask(), round_to_ints(), sum_floats()
 *					where more than the prefix of an intrinsic differs
 *
 * Each of the three declares at its top the pieces that the file which
 * includes it has to define.  All of it is inlined.  Must name no instruction
 * set.
 */
#ifndef VX_WIDE_H
#define VX_WIDE_H

/* What a distance sums. */
enum
{
	OP_L2SQ,
	OP_DOT,
	OP_L1
};

/* How the stored vector is kept. */
enum
{
	SRC_F32,
	SRC_F16,
	SRC_BOTH_F16,				/* and so is the other vector */
	SRC_I8						/* scale * c + offset */
};

/* The kernels of codes have a file of their own; the table is in the other. */
extern void LEVEL(build_table) (const float *q, int n, int bits, uint8_t *table,
								float *delta, float *bias);
extern void LEVEL(scan32) (const uint8_t *codes, int groups,
						   const uint8_t *table, uint32_t *sums);
extern uint32_t LEVEL(estimate32_bf16) (const uint32_t *sums, const uint16_t *a,
										const uint16_t *b, float base, float delta,
										float bias, float bound, float *est);
extern uint32_t LEVEL(estimate32_f32) (const uint32_t *sums, const float *a,
									   const float *b, float base, float delta,
									   float bias, float bound, float *est);
extern void LEVEL(encode) (const float *r, const float *y, int n, int bits,
						   uint8_t *code, float *rs, float *ys);

#endif							/* VX_WIDE_H */
