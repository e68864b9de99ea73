/*
 * redzones.c
 *		Poisoned zones behind chunks and beside pages, in a sanitized build.
 *
 * redzones.h says what for.  A chunk's zone is memory of the chunk itself, so
 * the server notices nothing; it is remembered here, with its context, for the
 * sanitizer must allow it again before the server gives the memory to another.
 * Memory of this file is malloc'd: it outlives all contexts.  A function's name
 * in parentheses is the server's own, not redzones.h's macro.
 */
#include "redzones.h"

#include <sanitizer/asan_interface.h>

#include "access/xact.h"
#include "storage/buf_internals.h"

#define REDZONE_SIZE	32
/* pages in hand at a time; more than there are of a change */
#define MAX_PAGES		32

typedef struct Zone
{
	char	   *chunk;
	char	   *from;
	char	   *to;
	MemoryContext cxt;
} Zone;

typedef struct Watched
{
	MemoryContextCallback callback;
	MemoryContext cxt;
	struct Watched *next;
} Watched;

static Zone *zones;
static int	nzones;
static int	maxzones;
static Watched *watched;		/* contexts whose reset we shall be told of */

static Buffer pages[MAX_PAGES];
static int	npages;

/* The sanitizer's own report, at our caller's access. */
extern void __asan_report_load_n(void *p, long len);
extern void __asan_report_store_n(void *p, long len);

void
RedzoneCheck(const volatile void *p, Size len, bool write)
{
	void	   *bad = len > 0 ? __asan_region_is_poisoned((void *) p, len) : NULL;

	if (bad == NULL)
		return;
	if (write)
		__asan_report_store_n(bad, 1);
	else
		__asan_report_load_n(bad, 1);
}

/* ---- memory contexts ---- */

static void
lift(int i)
{
	__asan_unpoison_memory_region(zones[i].from, zones[i].to - zones[i].from);
	zones[i] = zones[--nzones];
}

/* A context is about to be reset or deleted. */
static void
context_reset(void *arg)
{
	Watched    *w = (Watched *) arg;

	for (Watched **at = &watched; *at != NULL; at = &(*at)->next)
	{
		if (*at == w)
		{
			*at = w->next;
			break;
		}
	}
	for (int i = nzones - 1; i >= 0; i--)
	{
		if (zones[i].cxt == w->cxt)
			lift(i);
	}
	free(w);
}

static void
watch(MemoryContext cxt)
{
	Watched    *w;

	for (w = watched; w != NULL; w = w->next)
	{
		if (w->cxt == cxt)
			return;
	}
	w = malloc(sizeof(Watched));
	if (w == NULL)
		abort();
	w->cxt = cxt;
	w->callback.func = context_reset;
	w->callback.arg = w;
	w->next = watched;
	watched = w;
	MemoryContextRegisterResetCallback(cxt, &w->callback);
}

static Size
with_zone(Size size)
{
	return size > SIZE_MAX / 2 ? size : MAXALIGN(size) + REDZONE_SIZE;
}

static void *
add_zone(void *p, Size size)
{
	Zone	   *z;

	if (p == NULL || size > SIZE_MAX / 2)
		return p;
	if (nzones == maxzones)
	{
		maxzones = maxzones * 2 + 64;
		zones = realloc(zones, maxzones * sizeof(Zone));
		if (zones == NULL)
			abort();
	}
	z = &zones[nzones++];
	z->chunk = p;
	z->from = (char *) p + size;
	z->to = (char *) p + with_zone(size);
	z->cxt = GetMemoryChunkContext(p);
	watch(z->cxt);
	__asan_poison_memory_region(z->from, z->to - z->from);
	return p;
}

/* Lift a chunk's zone, if it has one. */
static void
lift_of(const void *p)
{
	for (int i = nzones - 1; i >= 0; i--)
	{
		if (zones[i].chunk == p)
		{
			lift(i);
			return;
		}
	}
}

void *
RedzoneAlloc(MemoryContext cxt, Size size, int flags)
{
	void	   *p = (MemoryContextAllocExtended) (cxt, with_zone(size), flags);

	/* a chunk of this address whose end we were not told of */
	lift_of(p);
	return add_zone(p, size);
}

void *
RedzoneRealloc(void *p, Size size, bool huge)
{
	lift_of(p);
	p = huge ? (repalloc_huge) (p, with_zone(size)) : (repalloc) (p, with_zone(size));
	return add_zone(p, size);
}

void
RedzoneFree(void *p)
{
	lift_of(p);
	(pfree) (p);
}

char *
RedzoneStrdup(const char *s)
{
	Size		size = strlen(s) + 1;

	return (memcpy) (RedzoneAlloc(CurrentMemoryContext, size, 0), s, size);
}

/* A value leaves for the server. */
void *
RedzoneReturn(const void *p)
{
	lift_of(p);
	return (void *) p;
}

/* ---- pages ---- */

static char *
page_at(int buf)
{
	return BufferBlocks + (Size) (buf - 1) * BLCKSZ;
}

static bool
in_hand(int buf)
{
	for (int i = 0; i < npages; i++)
	{
		if (pages[i] == buf)
			return true;
	}
	return false;
}

/* Allow or forbid a page, as it is in hand, beside one, or neither. */
static void
mark_page(int buf)
{
	if (buf < 1 || buf > NBuffers)
		return;
	if (!in_hand(buf) && (in_hand(buf - 1) || in_hand(buf + 1)))
		__asan_poison_memory_region(page_at(buf), BLCKSZ);
	else
		__asan_unpoison_memory_region(page_at(buf), BLCKSZ);
}

static void
mark_around(int buf)
{
	for (int i = buf - 1; i <= buf + 1; i++)
		mark_page(i);
}

/* After an error no page is in hand. */
static void
close_all(void)
{
	while (npages > 0)
		mark_around(pages[--npages]);
}

static void
at_xact_end(XactEvent event, void *arg)
{
	close_all();
}

static void
at_subxact_end(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		close_all();
}

void
RedzonePageOpen(Buffer buf)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(at_xact_end, NULL);
		RegisterSubXactCallback(at_subxact_end, NULL);
		registered = true;
	}
	if (buf <= 0 || in_hand(buf))
		return;
	if (npages == MAX_PAGES)
		elog(PANIC, "too many pages in hand");
	pages[npages++] = buf;
	mark_around(buf);
}

void
RedzonePageClose(Buffer buf)
{
	for (int i = 0; i < npages; i++)
	{
		if (pages[i] == buf)
		{
			pages[i] = pages[--npages];
			mark_around(buf);
			return;
		}
	}
}
