/*
 * load.c
 *		The recall that a scan is for; hnsw.load_shedding: under load it makes less effort.
 *
 * The load is how many processes of the server do something now, against CPUs.  That is
 * looked at once when a search begins, without a lock: a number that is off by one or two does
 * no harm.
 */
#include "postgres.h"

#include <math.h>
#include <unistd.h>

#include "hnsw/am/recall.h"
#include "hnsw/am/scan.h"
#include "storage/proc.h"

/* Processes that wait for nothing: neither a client, nor a lock, nor a disk. */
static int
count_active(void)
{
	int			n = 0;

	for (uint32 i = 0; i < ProcGlobal->allProcCount; i++)
	{
		const volatile PGPROC *proc = &ProcGlobal->allProcs[i];

		n += proc->pid != 0 && proc->wait_event_info == 0;
	}
	return n;
}

static int
count_cpus(void)
{
#ifdef _SC_NPROCESSORS_ONLN
	static long known = 0;

	if (known <= 0)
		known = sysconf(_SC_NPROCESSORS_ONLN);
	return (int) Max(known, 1);
#else
	return 1;
#endif
}

/*
 * The recall that a scan is to have now whose own is "target": that, while there are CPUs for all;
 * the floor, when twice as many processes are active; in between by the logarithm of what is missed.
 */
static double
shed(double target, const HnswSettings *settings)
{
	const double floor = settings->load_floor;
	double		load;
	double		part;

	if (floor <= 0 || target <= floor)
		return target;
	load = (double) count_active() / (settings->load_cpus > 0 ? settings->load_cpus : count_cpus());
	part = Min(Max(load - 1, 0), 1);
	if (part == 0)
		return target;
	return Max(1 - exp((1 - part) * log(1 - target) + part * log(1 - floor)), floor);
}

/*
 * The recall that a scan is for, its query being known: 0, and hnsw.ef_search is the effort, where
 * none is wanted, the index says nothing about it, or distances say nothing.
 */
double
HnswScanTarget(HnswScan *so, const HnswCalibration *cal)
{
	double		target;
	double		now;

	if (!so->exact || so->search->query.far || !HnswCalibrationUsable(cal))
		return 0;
	target = HnswRecallTarget(so->g->rel, &so->settings);
	now = shed(target, &so->settings);
	so->stats.shed += now < target;
	return now;
}
