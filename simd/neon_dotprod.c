/*
 * neon_dotprod.c
 *		Dot products of bytes with SDOT (the dotprod extension), which adds four
 *		products at once to a sum of 32 bits.
 *
 * dispatch.c puts them in the table where the processor has it.  As neon.c says
 * of tails.
 */
#include "kernels.h"

#ifdef VX_DOTPROD

#include "neon.h"

VX_TARGET("arch=armv8.2-a+dotprod")

int32_t
vx_dot_i8_i8_dotprod(const int8_t *a, const int8_t *b, int n)
{
	int32x4_t	acc0 = vdupq_n_s32(0);
	int32x4_t	acc1 = acc0;
	int32_t		sum = 0;
	int			i = 0;

	for (; i + 32 <= n; i += 32)
	{
		acc0 = vdotq_s32(acc0, vld1q_s8(a + i), vld1q_s8(b + i));
		acc1 = vdotq_s32(acc1, vld1q_s8(a + i + 16), vld1q_s8(b + i + 16));
	}
	if (i + 16 <= n)
	{
		acc0 = vdotq_s32(acc0, vld1q_s8(a + i), vld1q_s8(b + i));
		i += 16;
	}
	for (; i < n; i++)
		sum += a[i] * b[i];
	return sum + vaddvq_s32(vaddq_s32(acc0, acc1));
}

/* Dimensions from i on, four or the "left" ones, of rows by those of a panel: four registers a row. */
VX_INLINE void
add_group(int32x4_t acc[4][4], const int8_t *const *rows, int nrows, int i, int left, const int8_t *panel)
{
	int8x16_t	columns[4];

	panel += (size_t) i * VX_PANEL;
#pragma GCC unroll 4
	for (int k = 0; k < 4; k++)
		columns[k] = vld1q_s8(panel + 16 * k);
#pragma GCC unroll 4
	for (int r = 0; r < nrows; r++)
	{
		int8x16_t	x = vreinterpretq_s8_s32(vdupq_n_s32(vx_row_word(rows[r] + i, 0, left)));

#pragma GCC unroll 4
		for (int k = 0; k < 4; k++)
			acc[r][k] = vdotq_s32(acc[r][k], columns[k], x);
	}
}

/* "nrows" rows, a constant where it is inlined, by one panel. */
VX_INLINE void
panel_rows(const int8_t *const *rows, int nrows, int n, const int8_t *panel,
		   int32_t *out, size_t stride)
{
	int32x4_t	acc[4][4];
	int			i = 0;

#pragma GCC unroll 4
	for (int r = 0; r < nrows; r++)
#pragma GCC unroll 4
		for (int k = 0; k < 4; k++)
			acc[r][k] = vdupq_n_s32(0);
	for (; i + 4 <= n; i += 4)
		add_group(acc, rows, nrows, i, 4, panel);
	if (i < n)
		add_group(acc, rows, nrows, i, n - i, panel);
#pragma GCC unroll 4
	for (int r = 0; r < nrows; r++)
#pragma GCC unroll 4
		for (int k = 0; k < 4; k++)
			vst1q_s32(out + (size_t) r * stride + 4 * k, acc[r][k]);
}

void
vx_dot_i8_panels_dotprod(const int8_t *const *rows, int nrows, int n, const int8_t *panels,
						 int npanels, int32_t *out, size_t stride)
{
	for (int p = 0; p < npanels; p++)
	{
		const int8_t *panel = panels + (size_t) p * VX_PANEL_BYTES(n);
		int32_t    *at = out + p * VX_PANEL;
		int			r = 0;

		for (; r + 4 <= nrows; r += 4)
			panel_rows(rows + r, 4, n, panel, at + (size_t) r * stride, stride);
		for (; r < nrows; r++)
			panel_rows(rows + r, 1, n, panel, at + (size_t) r * stride, stride);
	}
}

VX_TARGET_END

#endif /* VX_DOTPROD */
