/*
 * neighbours.c
 *		The links of all members of a level at once.
 *
 * Within each leaf all distances are computed, and each member keeps the
 * nearest it has seen as candidates.  From these the heuristic of HNSW chooses
 * as in an insert; then each member is offered to those it chose, and chooses
 * once more from its candidates and what it was offered.
 */
#include "postgres.h"

#include "commands/progress.h"
#include "hnsw/neighbours.h"
#include "miscadmin.h"
#include "utils/backend_progress.h"
#include "utils/memutils.h"

#define ST_SORT sort_candidates
#define ST_ELEMENT_TYPE BatchLink
#define ST_COMPARE(a, b) (*(a) < *(b) ? -1 : *(a) > *(b))
#define ST_SCOPE static
#define ST_DECLARE
#define ST_DEFINE
#include "lib/sort_template.h"

/* Flags of a candidate between the two choices. */
#define LINK_SELECTED	((BatchLink) BATCH_TREE)
#define LINK_OFFER		((BatchLink) BATCH_PRUNED)
#define LINK_FLAGS		(LINK_SELECTED | LINK_OFFER)

/* Distances looked at to guess a bound. */
#define BOUND_SAMPLE	64

/*
 * A member is no candidate for those that are more than so many times as far
 * from it as it is from one that comes before it.
 */
#define REACH			10

/* What one task is: members of leaves, and members of the level. */
#define TASK_LEAVES		2048
#define TASK_MEMBERS	256

/* What one participant needs while a level is linked. */
typedef struct Linking
{
	Batch	   *b;
	BatchColumns *c;
	BatchLevel *level;
	BatchLink  *list;			/* candidates of one member being merged */
	int			max;
	bool		integer;		/* as in its columns */
	bool		locking;		/* other participants merge, too */
	uint32	   *seen;			/* per member: who has it in its list */
	int		   *chosen;
	uint16		near[BATCH_LEAF_MAX];
	float		reach[BATCH_LEAF_MAX];	/* of the members of a leaf */
	bool		tight;			/* many of them are out of reach of most others */
	float		norm2;			/* of the member being merged */
	float		nearest;		/* square of its distance to one before it */
	/* offers: who chose whom */
	pg_atomic_uint64 *start;
	BatchLink  *offers;
} Linking;

/* Reorder so that the k least come first, the greatest of them at k - 1. */
static void
select_least(BatchLink *list, int n, int k)
{
	int			low = 0;
	int			high = n - 1;

	while (low < high)
	{
		BatchLink	middle;
		int			i = low;
		int			j = high;
		int			mid = low + (high - low) / 2;
		BatchLink	x = list[low];
		BatchLink	y = list[mid];
		BatchLink	z = list[high];

		/* median of three */
		middle = x < y ? (y < z ? y : Max(x, z)) : (x < z ? x : Max(y, z));
		while (i <= j)
		{
			while (list[i] < middle)
				i++;
			while (list[j] > middle)
				j--;
			if (i <= j)
			{
				BatchLink	swap = list[i];

				list[i++] = list[j];
				list[j--] = swap;
			}
		}
		if (k - 1 <= j)
			high = j;
		else if (k - 1 >= i)
			low = i;
		else
			return;
	}
}

/*
 * A distance below which a few more than "want" of n are to be expected: the
 * rank it should have, and a bit, in a sample.
 */
static float
guess_bound(const float *dists, int n, int want)
{
	float		sample[BOUND_SAMPLE];
	int			rank = (int) ((int64) want * BOUND_SAMPLE / n) + 3;

	Assert(rank > 0);
	if (rank >= BOUND_SAMPLE / 2)
		return INFINITY;
	for (int i = 0; i < BOUND_SAMPLE; i++)
	{
		float		d = dists[(int64) i * n / BOUND_SAMPLE];
		int			at = Min(i, rank);

		if (i >= rank && !(d < sample[rank - 1]))
			continue;
		if (at == rank)
			at--;
		for (; at > 0 && d < sample[at - 1]; at--)
			sample[at] = sample[at - 1];
		sample[at] = d;
	}
	return sample[rank - 1];
}

/* The square of the distance that two members are apart, from their norms and distance. */
static inline float
apart(const Linking *l, float norm2, float other_norm2, float dist)
{
	switch (l->b->g->lay.metric)
	{
		case HNSW_IP:
			return norm2 + other_norm2 + 2 * dist;
		case HNSW_L1:
			return dist * dist;
		default:
			return dist;
	}
}

/* The least square of a distance between two members that rounding may not account for. */
static float
least_apart(const Linking *l, const BatchNode *x)
{
	const HnswLayout *lay = &l->b->g->lay;
	double		step = HnswElementError(lay, x->norm2, x->scale);
	double		square = 2 * lay->dim * step * step + 1e-6 * x->norm2;

	return (float) (lay->metric == HNSW_L1 ? lay->dim * square : square);
}

/*
 * Merge the members of a leaf at these distances, from "least" up to below
 * "bound", into the list l->list of nlist candidates.
 */
static int
merge_range(Linking *l, uint32 member, const uint32 *ids, const float *dists, int n,
			float least, float bound, int nlist)
{
	const int	width = l->level->width;
	const float *norm = l->c->norm;
	int			near = vx_simd->below(dists, n, bound, l->near);

	for (int i = 0; i < near; i++)
	{
		float		dist = dists[l->near[i]];
		uint32		id = ids[l->near[i]] & BATCH_MAX_NODES;


		if (!(dist < bound) || dist < least || l->seen[id] == member)
			continue;
		if (id < member || l->tight)
		{
			float		square = apart(l, l->norm2, norm[l->near[i]], dist);

			if (id < member)
				l->nearest = Min(l->nearest, square);
			if (l->tight && square > l->reach[l->near[i]])
				continue;
		}
		l->list[nlist++] = batch_link(dist, id);
		if (nlist == l->max)
		{
			select_least(l->list, nlist, width);
			nlist = width;
			bound = batch_link_dist(l->list[width - 1]);
		}
	}
	return nlist;
}

/*
 * Leave out of a member's n candidates those that have turned out to be out of
 * reach since; returns how many stay.
 */
static int
keep_in_reach(Linking *l, uint32 member, BatchLink *list, int n)
{
	BatchLevel *level = l->level;
	const float norm2 = l->b->nodes[batch_node(level, member)].norm2;
	int			nkept = 0;

	for (int i = 0; i < n; i++)
	{
		uint32		id = BatchLinkMember(list[i]);
		float		other = l->b->nodes[batch_node(level, id)].norm2;

		if (apart(l, norm2, other, batch_link_dist(list[i])) <= level->reach[id])
			list[nkept++] = list[i];
	}
	return nkept;
}

/*
 * Load how far off each of a leaf's n members is a candidate.  The leaf is tight
 * where an eighth is none for most others, by the distances of one of them.
 */
static void
load_reach(Linking *l, const uint32 *ids, const float *dists, int n)
{
	const float *norm = l->c->norm;
	int			nfar = 0;

	for (int i = 0; i < n; i++)
	{
		l->reach[i] = l->level->reach[LEAF_MEMBER(ids[i])];
		nfar += apart(l, norm[0], norm[i], dists[i]) > l->reach[i];
	}
	l->tight = nfar > n / 8;
	if (l->tight)
		l->b->shared->tight = true;
}

/*
 * Merge the members of a leaf at these distances into a member's candidates,
 * which other participants may be about to do for another leaf.
 */
static void
merge_candidates(Linking *l, uint32 member, const uint32 *ids, const float *dists, int n)
{
	BatchLevel *level = l->level;
	const int	width = level->width;
	const BatchNode *x = &l->b->nodes[batch_node(level, member)];
	BatchLink  *kept = level->links + (Size) member * width;
	LWLock	   *lock = &l->b->shared->locks[member % BATCH_LOCKS];
	int			nlist;

	if (l->locking)
		LWLockAcquire(lock, LW_EXCLUSIVE);
	nlist = level->nlinks[member];
	memcpy(l->list, kept, nlist * sizeof(BatchLink));
	for (int i = 0; i < nlist; i++)
		l->seen[BatchLinkMember(kept[i])] = member;
	l->seen[member] = member;
	if (l->tight)
		nlist = keep_in_reach(l, member, l->list, nlist);
	l->norm2 = x->norm2;
	l->nearest = INFINITY;
	if (nlist == width)
		nlist = merge_range(l, member, ids, dists, n, -INFINITY,
							batch_link_dist(l->list[width - 1]), nlist);
	else
	{
		float		bound = guess_bound(dists, n, width - nlist);

		nlist = merge_range(l, member, ids, dists, n, -INFINITY, bound, nlist);
		if (nlist < width && bound < INFINITY)
			nlist = merge_range(l, member, ids, dists, n, bound, INFINITY, nlist);
	}
	if (nlist >= width)
	{
		select_least(l->list, nlist, width);
		nlist = width;
	}
	memcpy(kept, l->list, nlist * sizeof(BatchLink));
	level->nlinks[member] = nlist;
	level->reach[member] = Min(level->reach[member],
							   REACH * REACH * Max(l->nearest, least_apart(l, x)));
	if (l->locking)
		LWLockRelease(lock);
}

/* The candidates that the members of one leaf are to each other. */
static void
collect_leaf(Linking *l, const uint32 *ids, int n)
{
	HnswColumnsLoad(l->c, l->level, ids, n);
	for (int from = 0; from < n; from += BATCH_ROWS)
	{
		int			rows = Min(BATCH_ROWS, n - from);

		CHECK_FOR_INTERRUPTS();
		HnswColumnsDistances(l->c, l->level, ids + from, rows, false);
		if (from == 0)
			load_reach(l, ids, l->c->dists, n);
		for (int r = 0; r < rows; r++)
			merge_candidates(l, LEAF_MEMBER(ids[from + r]), ids,
							 l->c->dists + r * BATCH_LEAF_MAX, n);
	}
}

static void
collect_candidates(Linking *l)
{
	Batch	   *b = l->b;
	const int64 nmembers = b->shared->nmembers;
	uint64		from;

	memset(l->seen, 0xFF, (Size) l->level->n * sizeof(uint32));
	while ((from = HnswTeamTask(b->team) * TASK_LEAVES) < (uint64) nmembers)
	{
		int64		end = Min((int64) from + TASK_LEAVES, nmembers);

		if (HnswTeamLeader(b->team) && l->level == &b->levels[0])
			pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE,
										 (int64) (b->shared->n * ((double) from / nmembers)));
		/* the leaves that begin in this part */
		for (int64 i = from; i < end; i++)
		{
			int			n = 1;

			if (!(b->members[i] & LEAF_START))
				continue;
			while (i + n < nmembers && !(b->members[i + n] & LEAF_START))
				n++;
			collect_leaf(l, b->members + i, n);
			i += n - 1;
		}
	}
}

/* As HnswBatchDistance, in single precision as in a leaf. */
static inline float
distance_from(const Linking *l, const BatchOrigin *o, BatchLink link)
{
	Batch	   *b = l->b;
	uint32		node = batch_node(l->level, BatchLinkMember(link));
	const BatchNode *y = &b->nodes[node];
	float		dot;

	if (!l->integer)
		return HnswBatchDistance(b, o->node, node);
	dot = o->p * vx_simd->dot_i8_i8((const int8_t *) batch_own(b, o->node),
									(const int8_t *) batch_own(b, node), b->g->lay.dim) * y->scale +
		o->q * y->offset + o->r * y->scale * y->codesum;
	return b->g->lay.metric == HNSW_IP ? -dot : o->base + y->norm2 - dot;
}

static inline BatchOrigin
make_origin(const Linking *l, BatchLink link)
{
	return batch_origin(l->b, batch_node(l->level, BatchLinkMember(link)),
						l->b->g->lay.metric == HNSW_IP);
}

/*
 * The heuristic of HNSW (Malkov & Yashunin, 2018, algorithm 4): a candidate,
 * nearest first, is selected unless one selected before is nearer to it than
 * the member is.  chosen gets positions in the list, at most "most".
 */
static int
select_diverse(Linking *l, const BatchLink *list, int n, int most, int *chosen)
{
	int			nchosen = 0;

	for (int i = 0; i < n && nchosen < most; i++)
	{
		BatchOrigin	x = make_origin(l, list[i]);
		float		dist = batch_link_dist(list[i]);
		bool		keep = true;

		for (int j = 0; j < nchosen && keep; j++)
			keep = distance_from(l, &x, list[chosen[j]]) > dist;
		if (keep)
			chosen[nchosen++] = i;
	}
	return nchosen;
}

/*
 * The same, once more, for a list with offers among the candidates: those
 * selected before are measured against the offers only, those not selected
 * stay so (what was nearer to them is there still, or something nearer to
 * that).
 */
static int
select_again(Linking *l, const BatchLink *list, int n, int most, int *chosen)
{
	int			nchosen = 0;

	for (int i = 0; i < n && nchosen < most; i++)
	{
		BatchOrigin	x;
		float		dist = batch_link_dist(list[i]);
		bool		keep = true;

		if (!(list[i] & (LINK_SELECTED | LINK_OFFER)))
			continue;
		x = make_origin(l, list[i]);
		for (int j = 0; j < nchosen && keep; j++)
			if ((list[i] | list[chosen[j]]) & LINK_OFFER)
				keep = distance_from(l, &x, list[chosen[j]]) > dist;
		if (keep)
			chosen[nchosen++] = i;
	}
	return nchosen;
}

/* Is a candidate of a member's too far to have the member as one of its own? */
static inline bool
is_offered(const BatchLevel *level, BatchLink link)
{
	uint32		to = BatchLinkMember(link);
	const BatchLink *theirs = level->links + (Size) to * level->width;

	return level->nlinks[to] == level->width &&
		(link >> 32) > (theirs[level->width - 1] >> 32);
}

/* Sort the candidates of each member and let it select. */
static void
select_links(Linking *l)
{
	BatchLevel *level = l->level;
	const int	fanout = l->b->g->lay.fanout;
	uint64		from;

	while ((from = HnswTeamTask(l->b->team) * TASK_MEMBERS) < level->n)
		for (uint64 m = from; m < Min(level->n, from + TASK_MEMBERS); m++)
		{
			BatchLink  *list = level->links + m * level->width;
			int			n;

			CHECK_FOR_INTERRUPTS();
			if (l->b->shared->tight)
				level->nlinks[m] = keep_in_reach(l, m, list, level->nlinks[m]);
			sort_candidates(list, level->nlinks[m]);
			n = select_diverse(l, list, level->nlinks[m], fanout, l->chosen);
			for (int i = 0; i < n; i++)
				list[l->chosen[i]] |= LINK_SELECTED;
		}
}

/* Is a node of a level above 0 among a member's candidates? */
static bool
has_upper(const Linking *l, const BatchLevel *level, uint32 member)
{
	for (int i = 0; i < level->nlinks[member]; i++)
		if (l->b->nodes[BatchLinkMember(level->links[(Size) member * level->width + i])].level > 0)
			return true;
	return false;
}

/* Has a member, whose candidates are sorted, a full list with none that comes before it? */
static bool
is_first(const Linking *l, const BatchLevel *level, uint32 member)
{
	const BatchNode *nodes = l->b->nodes;
	int			n = level->nlinks[member];
	BatchLink	last;

	if (n < level->width)
		return false;
	last = level->links[(Size) member * level->width + n - 1];
	return level->reach[member] > REACH * REACH *
		apart(l, nodes[member].norm2, nodes[BatchLinkMember(last)].norm2, batch_link_dist(last));
}

/*
 * The leader: let every cluster with more members than a list has places be on level
 * 1, though levels are drawn: no list of level 0 leads to it.  The first of a cluster
 * that is not gets the level of a node that has others of such near it.
 */
static void
spread_levels(Linking *l, BatchLevel *level)
{
	BatchNode  *nodes = l->b->nodes;
	uint32		giver = 0;

	for (uint32 m = 0; m < level->n; m++)
	{
		CHECK_FOR_INTERRUPTS();
		if (nodes[m].level > 0 || !is_first(l, level, m) || has_upper(l, level, m))
			continue;
		while (giver < level->n && (nodes[giver].level == 0 || !has_upper(l, level, giver)))
			giver++;
		if (giver == level->n)
			break;
		nodes[m].level = nodes[giver].level;
		nodes[giver].level = 0;
	}
}

/*
 * Whom each member would link to that has it not as a candidate.  First
 * l->offers is NULL, and they are counted, those to member m in start[m + 2];
 * then they are put where start[m + 1] says.
 */
static void
make_offers(Linking *l)
{
	BatchLevel *level = l->level;
	const int	fanout = l->b->g->lay.fanout;
	const int	most = l->b->shared->most_offers;
	uint64		from;

	while ((from = HnswTeamTask(l->b->team) * TASK_MEMBERS) < level->n)
		for (uint64 m = from; m < Min(level->n, from + TASK_MEMBERS); m++)
		{
			const BatchLink *list = level->links + m * level->width;
			int			rest = fanout;
			int			n = 0;

			CHECK_FOR_INTERRUPTS();
			for (int i = 0; i < level->nlinks[m] && n < most; i++)
			{
				bool		chosen = (list[i] & LINK_SELECTED) || rest-- > 0;
				uint32		to = BatchLinkMember(list[i]);

				if (!chosen || !is_offered(level, list[i]))
					continue;
				n++;
				if (l->offers == NULL)
					pg_atomic_fetch_add_u64(&l->start[to + 2], 1);
				else
					l->offers[pg_atomic_fetch_add_u64(&l->start[to + 1], 1)] =
						(list[i] & ~(BatchLink) PG_UINT32_MAX) | m;
			}
		}
}

/* The leader: where the offers to each member begin; returns how many there are. */
static uint64
sum_offers(Linking *l)
{
	uint64		sum = 0;

	for (uint64 m = 0; m < (uint64) l->level->n + 2; m++)
	{
		sum += pg_atomic_read_u64(&l->start[m]);
		pg_atomic_write_u64(&l->start[m], sum);
	}
	return sum;
}

/*
 * Collect for each member who would link to it.  Where that are more than there
 * is memory for, members make fewer offers.  False for a worker that has been
 * left behind.
 */
static bool
collect_offers(Linking *l)
{
	Batch	   *b = l->b;
	BatchShared *sh = b->shared;
	Team	   *team = b->team;
	const uint32 n = l->level->n;
	const int	fair = b->g->lay.fanout / 2;	/* what HnswBatchBytes reckons with */

	for (bool done = false; !done;)
	{
		if (HnswTeamLeader(team))
		{
			/* everyone has the levels of the round before behind them */
			for (uint64 m = 0; m < (uint64) n + 2; m++)
				pg_atomic_init_u64(&l->start[m], 0);
			sh->most_offers = sh->most_offers == 0 ? 2 * b->g->lay.fanout :
				Max(fair, sh->most_offers / 2);
		}
		(void) HnswTeamSync(team);
		make_offers(l);
		(void) HnswTeamSync(team);
		if (HnswTeamLeader(team))
		{
			uint64		noffers = sum_offers(l);

			sh->too_many = noffers > (uint64) n * fair && sh->most_offers > fair;
			if (!sh->too_many)
				l->offers = HnswTeamAlloc(team, TEAM_OFFERS,
										  mul_size(noffers + 1, sizeof(BatchLink)));
		}
		if (!HnswTeamSync(team))
			return false;
		done = !sh->too_many;
	}
	l->offers = HnswTeamAttach(team, TEAM_OFFERS);
	make_offers(l);
	(void) HnswTeamSync(team);
	return true;
}

/* The final links of each member: the selected, then the nearest others. */
static void
choose_links(Linking *l)
{
	BatchLevel *level = l->level;
	const int	fanout = l->b->g->lay.fanout;
	uint64		from;

	memset(l->seen, 0xFF, (Size) level->n * sizeof(uint32));
	while ((from = HnswTeamTask(l->b->team) * TASK_MEMBERS) < level->n)
		for (uint32 m = (uint32) from; m < Min(level->n, from + TASK_MEMBERS); m++)
		{
			BatchLink  *links = level->links + (Size) m * level->width;
			uint64		first = pg_atomic_read_u64(&l->start[m]);
			uint64		last = pg_atomic_read_u64(&l->start[m + 1]);
			int			n = level->nlinks[m];
			int			nchosen;
			int			nlinks;

			CHECK_FOR_INTERRUPTS();
			if (n + (last - first) > (uint64) l->max)
			{
				l->max = n + (last - first);
				l->list = repalloc_huge(l->list, l->max * sizeof(BatchLink));
			}
			memcpy(l->list, links, n * sizeof(BatchLink));
			for (int i = 0; i < n; i++)
				l->seen[BatchLinkMember(links[i])] = m;
			for (uint64 i = first; i < last; i++)
				if (l->seen[BatchLinkMember(l->offers[i])] != m)
					l->list[n++] = l->offers[i] | LINK_OFFER;
			if (n > level->nlinks[m])
				sort_candidates(l->list, n);
			nchosen = select_again(l, l->list, n, fanout, l->chosen);
			nlinks = 0;
			for (int i = 0; i < nchosen; i++)
				links[nlinks++] = l->list[l->chosen[i]] & ~LINK_FLAGS;
			for (int i = 0, c = 0; i < n && nlinks < fanout; i++)
			{
				if (c < nchosen && l->chosen[c] == i)
					c++;
				else
					links[nlinks++] = (l->list[i] & ~LINK_FLAGS) | BATCH_PRUNED;
			}
			level->nlinks[m] = nlinks;
		}
}

/*
 * Make the links of all members of a level, which HnswPartition has divided.
 * All participants; false for a worker that has been left behind.
 */
bool
HnswBatchLink(BatchColumns *c, BatchLevel *level)
{
	Batch	   *b = c->b;
	Linking		l;

	memset(&l, 0, sizeof(l));
	l.b = b;
	l.c = c;
	l.integer = c->integer;
	l.level = level;
	l.max = 2 * level->width;
	l.list = MemoryContextAlloc(b->cxt, l.max * sizeof(BatchLink));
	l.chosen = MemoryContextAlloc(b->cxt, b->g->lay.fanout * sizeof(int));
	l.seen = b->seen;
	l.start = b->offered;
	l.locking = !b->team->alone;
	if (l.locking)
		LWLockRegisterTranche(b->shared->lock_tranche, "VectorxBuild");
	if (HnswTeamLeader(b->team))
		b->shared->most_offers = 0;
	collect_candidates(&l);
	(void) HnswTeamSync(b->team);
	if (b->shared->nmembers == level->n)
	{
		/* of one leaf, the first lists were made when little was known */
		collect_candidates(&l);
		(void) HnswTeamSync(b->team);
	}
	select_links(&l);
	(void) HnswTeamSync(b->team);
	if (level == &b->levels[0] && HnswTeamLeader(b->team))
		spread_levels(&l, level);
	if (collect_offers(&l))
	{
		choose_links(&l);
		(void) HnswTeamSync(b->team);
		HnswTeamFree(b->team, TEAM_OFFERS);
		pfree(l.list);
		pfree(l.chosen);
		return true;
	}
	return false;
}
