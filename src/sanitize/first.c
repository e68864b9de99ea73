/*
 * first.c
 *		Preloaded with libasan, linked with -z initfirst: starts it before any
 *		library of the server.
 *
 * libasan starts with the first malloc.  That would be one by libgpg-error
 * (from libgcrypt, from libsystemd), whose constructor calls bindtextdomain():
 * this holds the C library's lock of translations while it allocates, and
 * libasan's start asks for a translated message of dlerror(), which gives that
 * lock up a second time.  The next bindtextdomain(), the server's own, then
 * waits for ever.
 */
#include <stdlib.h>

__attribute__((constructor)) static void
start_sanitizer(void)
{
	void	   *volatile p = malloc(1);

	free(p);
}
