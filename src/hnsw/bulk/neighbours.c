/*
 * neighbours.c
 *		The links of all members of a level at once.
 *
 * From a member's candidates (candidates.c) the heuristic of HNSW chooses as in
 * an insert; then each member is offered to those it chose, and chooses once
 * more from its candidates and what it was offered.
 *
 * Where members had lists before (relink.c), only some choose, the targets; of the others
 * those to which they are offered choose once more, from the list they have.
 */
#include "postgres.h"

#include "hnsw/bulk/batch.h"
#include "hnsw/bulk/candidates.h"
#include "hnsw/bulk/columns.h"
#include "hnsw/bulk/neighbours.h"
#include "hnsw/bulk/team.h"
#include "hnsw/bulk/wayout.h"
#include "hnsw/layout/page.h"
#include "hnsw/metric/vector.h"
#include "hnsw/page/index.h"
#include "miscadmin.h"
#include "simd/vx_simd.h"
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

/* Members that are one task. */
#define TASK_MEMBERS	256

/* What one participant needs while the links of a level are chosen. */
typedef struct Linking
{
	Batch	   *b;
	BatchLevel *level;
	BatchLink  *list;			/* candidates of one member, and offers to it */
	int			max;
	bool		integer;		/* as in its columns */
	bool		squared;		/* as of the metric */
	HnswQuery	query;			/* unless integer: the node that distances were last computed from */
	uint32		query_node;
	uint32	   *seen;			/* per member: who has it in its list */
	int		   *chosen;
	int		   *extra;			/* of a member that had a list before: what is chosen besides */
	/* offers: who chose whom */
	pg_atomic_uint64 *start;
	BatchLink  *offers;
} Linking;

/*
 * From a node whose vector is made a query first, which pays from the second distance on and,
 * for sparse vectors, from the first.
 */
static float
distance_as_query(Linking *l, uint32 from, uint32 node)
{
	Batch	   *b = l->b;
	const BatchNode *y = &b->nodes[node];

	if (l->query_node != from)
	{
		HnswQueryFromStored(&b->g->space, batch_own(b, from), &b->nodes[from].head, &l->query);
		l->query_node = from;
	}
	return HnswOwnDistance(&b->g->space, &l->query, batch_own(b, node), y->scale, y->offset, y->norm2);
}

/* As HnswBatchDistance, in single precision as in a leaf. */
static inline float
distance_from(Linking *l, const BatchOrigin *o, BatchLink link)
{
	Batch	   *b = l->b;
	uint32		node = batch_node(l->level, BatchLinkMember(link));
	const BatchNode *y = &b->nodes[node];
	float		dot;

	if (!l->integer)
		return distance_as_query(l, o->node, node);
	dot = o->p * vx_simd->dot_i8_i8((const int8_t *) batch_own(b, o->node),
									(const int8_t *) batch_own(b, node), b->g->lay->dim) * y->scale +
		o->q * y->offset + o->r * y->scale * y->codesum;
	return l->squared ? o->base + y->norm2 - dot : -dot;
}

static inline BatchOrigin
make_origin(const Linking *l, BatchLink link)
{
	return batch_origin(l->b, batch_node(l->level, BatchLinkMember(link)),
						l->squared);
}

/* The node that a member is. */
static inline BatchNode *
node_of(const Linking *l, uint32 member)
{
	return &l->b->nodes[batch_node(l->level, member)];
}

/* Is a member so near to one candidate that both are one place for another, which is far off? */
static inline bool
is_one_place(const Linking *l, uint32 member, BatchLink near, BatchLink far)
{
	float		apart = HnswBatchApart(l->b, l->level, member, near);

	return HnswBatchReach(l->b->g->lay, node_of(l, member), apart) < HnswBatchApart(l->b, l->level, member, far);
}

/*
 * The heuristic of HNSW (Malkov & Yashunin, 2018, algorithm 4): a candidate,
 * nearest first, is selected unless one selected before is nearer to it than
 * the member is.  l->chosen gets positions in the list; returns how many.
 * What is one place with the member for a candidate does not rule it out: it would by chance
 * (README, "Reach").
 *
 * "again": there are offers among the candidates.  Those selected before are then
 * measured against the offers only, those not selected stay so (what was nearer to
 * them is there still, or something nearer to that).
 */
static pg_attribute_always_inline int
select_diverse(Linking *l, uint32 member, const BatchLink *list, int n, bool again)
{
	const int	most = l->b->g->lay->fanout;
	int			nchosen = 0;

	for (int i = 0; i < n && nchosen < most; i++)
	{
		BatchOrigin	x;
		float		dist = batch_link_dist(list[i]);
		bool		keep = true;

		if (again && !(list[i] & LINK_FLAGS))
			continue;
		x = make_origin(l, list[i]);
		for (int j = 0; j < nchosen && keep; j++)
			if (!again || (list[i] | list[l->chosen[j]]) & LINK_OFFER)
				keep = distance_from(l, &x, list[l->chosen[j]]) > dist ||
					is_one_place(l, member, list[l->chosen[j]], list[i]);
		if (keep)
			l->chosen[nchosen++] = i;
	}
	return nchosen;
}

/*
 * Is a candidate of a member's too far to have the member as one of its own?  Where there
 * were lists before, the candidate's tells.
 */
static inline bool
is_offered(const BatchLevel *level, uint32 member, BatchLink link)
{
	uint32		to = BatchLinkMember(link);
	const BatchLink *theirs = level->links + (Size) to * level->width;

	if (level->old && (!(level->old->flags[to] & OLD_TARGET) || level->nlinks[to] < level->width))
	{
		for (int i = 0; i < level->nlinks[to]; i++)
			if (BatchLinkMember(theirs[i]) == member)
				return false;
		return true;
	}
	return level->nlinks[to] == level->width &&
		(link >> 32) > (theirs[level->width - 1] >> 32);
}

/* Sort the candidates of each member and let it select. */
static void
select_links(Linking *l)
{
	BatchLevel *level = l->level;
	uint64		from;

	while ((from = HnswTeamTask(l->b->team) * TASK_MEMBERS) < level->n)
		for (uint64 m = from; m < Min(level->n, from + TASK_MEMBERS); m++)
		{
			BatchLink  *list = level->links + m * level->width;
			int			n;

			CHECK_FOR_INTERRUPTS();
			if (!batch_is_target(level, m))
				continue;
			if (l->b->shared->tight)
				level->nlinks[m] = HnswKeepInReach(l->b, level, m, list, level->nlinks[m]);
			sort_candidates(list, level->nlinks[m]);
			n = select_diverse(l, m, list, level->nlinks[m], false);
			for (int i = 0; i < n; i++)
				list[l->chosen[i]] |= LINK_SELECTED;
		}
}

/* Is it on the level above? */
static inline bool
is_upper(const Linking *l, uint32 member)
{
	return node_of(l, member)->level > l->level - l->b->levels;
}

/*
 * Of how many members of the level above a member is one of the nearest: counted up to what a
 * byte holds, and not down from there.  Where all of a cluster are equally near, their lists have
 * the same few, and who is above need not be in any; but these few are in its list.
 */
typedef uint8 Above;

/* A member has come to the level above (by: 1), or left it (-1). */
static void
count_above(const Linking *l, Above *above, uint32 member, int by)
{
	const BatchLevel *level = l->level;
	const BatchLink *list = level->links + (Size) member * level->width;

	for (int i = 0; i < Min(level->width / 2, level->nlinks[member]); i++)
	{
		Above	   *count = &above[BatchLinkMember(list[i])];

		if (*count < PG_UINT8_MAX)
			*count += by;
	}
}

/* For each member, of how many. */
static Above *
count_all_above(const Linking *l)
{
	Above	   *above = MemoryContextAllocExtended(l->b->cxt, l->level->n, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

	for (uint32 m = 0; m < l->level->n; m++)
	{
		CHECK_FOR_INTERRUPTS();
		if (is_upper(l, m))
			count_above(l, above, m, 1);
	}
	return above;
}

/*
 * Is one of a member's n nearest candidates on the level above, or one of the nearest of more than
 * "others" there?
 */
static bool
has_upper(const Linking *l, const Above *above, uint32 member, int n, int others)
{
	const BatchLevel *level = l->level;
	const BatchLink *list = level->links + (Size) member * level->width;

	for (int i = 0; i < Min(n, level->nlinks[member]); i++)
	{
		uint32		to = BatchLinkMember(list[i]);

		if (is_upper(l, to) || above[to] > others)
			return true;
	}
	return false;
}

/* How many of a member's candidates, which are sorted, are nearer than any that comes before it? */
static int
count_nearer(const Linking *l, uint32 member)
{
	const BatchLevel *level = l->level;
	const BatchLink *list = level->links + (Size) member * level->width;
	const float before = level->reach[member] / (BATCH_REACH * BATCH_REACH);
	int			n = 0;

	while (n < level->nlinks[member] &&
		   HnswBatchApart(l->b, level, member, list[n]) < before)
		n++;
	return n;
}

/*
 * The leader: let every cluster with so many members that they fill most of each other's
 * lists be on the level above, though levels are drawn: hardly a link of this level leads to
 * it.  The first of a cluster that is not gets the level of a node that has others of such
 * near it.
 */
static void
spread_levels(Linking *l)
{
	const BatchLevel *level = l->level;
	const int	most = level->width / 2;
	Above	   *above = NULL;
	uint32		giver = 0;

	for (uint32 m = 0; m < level->n; m++)
	{
		int			n;

		CHECK_FOR_INTERRUPTS();
		if (is_upper(l, m) || (n = count_nearer(l, m)) < most)
			continue;
		if (above == NULL)
			above = count_all_above(l);
		if (has_upper(l, above, m, n, 0))
			continue;
		while (giver < level->n &&
			   !(is_upper(l, giver) && has_upper(l, above, giver, most, 1)))
			giver++;
		if (giver == level->n)
			break;
		node_of(l, m)->level = node_of(l, giver)->level;
		node_of(l, giver)->level = (uint8) (level - l->b->levels);
		count_above(l, above, m, 1);
		count_above(l, above, giver, -1);
	}
	if (above)
		pfree(above);
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
	const int	fanout = l->b->g->lay->fanout;
	const int	most = l->b->shared->most_offers;
	uint64		from;

	while ((from = HnswTeamTask(l->b->team) * TASK_MEMBERS) < level->n)
		for (uint64 m = from; m < Min(level->n, from + TASK_MEMBERS); m++)
		{
			const BatchLink *list = level->links + m * level->width;
			int			rest = fanout;
			int			n = 0;

			CHECK_FOR_INTERRUPTS();
			if (!batch_is_target(level, m))
				continue;
			for (int i = 0; i < level->nlinks[m] && n < most; i++)
			{
				bool		chosen = (list[i] & LINK_SELECTED) || rest-- > 0;
				uint32		to = BatchLinkMember(list[i]);

				if (!chosen || !is_offered(level, m, list[i]))
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
	const int	fair = b->g->lay->fanout / 2;	/* what HnswBatchBytes reckons with */

	for (bool done = false; !done;)
	{
		if (HnswTeamLeader(team))
		{
			/* everyone has the levels of the round before behind them */
			for (uint64 m = 0; m < (uint64) n + 2; m++)
				pg_atomic_init_u64(&l->start[m], 0);
			sh->most_offers = sh->most_offers == 0 ? 2 * b->g->lay->fanout :
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

/*
 * Bring a member's candidates and the offers to it into l->list, in order; returns how
 * many there are.  The TREE links it had are among them.
 */
static int
gather_candidates(Linking *l, uint32 member)
{
	const BatchLevel *level = l->level;
	const BatchOld *old = level->old;
	const BatchLink *links = level->links + (Size) member * level->width;
	uint64		first = pg_atomic_read_u64(&l->start[member]);
	uint64		last = pg_atomic_read_u64(&l->start[member + 1]);
	int			n = level->nlinks[member];

	if (n + (last - first) + HNSW_MAX_FANOUT > (uint64) l->max)
	{
		l->max = n + (last - first) + HNSW_MAX_FANOUT;
		l->list = repalloc_huge(l->list, l->max * sizeof(BatchLink));
	}
	memcpy(l->list, links, n * sizeof(BatchLink));
	for (int i = 0; i < n; i++)
		l->seen[BatchLinkMember(links[i])] = member;
	for (uint64 i = first; i < last; i++)
		if (l->seen[BatchLinkMember(l->offers[i])] != member)
			l->list[n++] = l->offers[i] | LINK_OFFER;
	for (uint32 i = old ? old->first[member] : 0; old && i < old->first[member + 1]; i++)
	{
		uint32		child = old->children[i];

		for (uint64 k = first; k < last && l->seen[child] != member; k++)
			if (BatchLinkMember(l->offers[k]) == child)
				l->seen[child] = member;
		if (l->seen[child] != member)
			l->list[n++] = batch_link(HnswBatchDistance(l->b, member, child), child);
	}
	if (n > level->nlinks[member])
		sort_candidates(l->list, n);
	return n;
}

/* The links of a member: the selected, then the nearest others. */
static int
put_selected(Linking *l, BatchLink *links, int n, int nchosen)
{
	const int	fanout = l->b->g->lay->fanout;
	int			nlinks = 0;

	for (int i = 0; i < nchosen; i++)
		links[nlinks++] = l->list[l->chosen[i]] & ~LINK_FLAGS;
	for (int i = 0, c = 0; i < n && nlinks < fanout; i++)
	{
		if (c < nchosen && l->chosen[c] == i)
			c++;
		else
			links[nlinks++] = (l->list[i] & ~LINK_FLAGS) | BATCH_PRUNED;
	}
	return nlinks;
}

/*
 * What is linked for sure is flagged in l->list, of n.  Flag, as selected, what the
 * heuristic selects besides when something must be so many times nearer to it to rule
 * it out, "most" at most; returns how many that are.
 */
static int
select_relaxed(Linking *l, int n, int most)
{
	const float relax = l->b->g->lay->metric->relax;
	int			nkept = 0;
	int			nextra = 0;

	for (int i = 0; i < n; i++)
		if (l->list[i] & LINK_FLAGS)
			l->extra[nkept++] = i;
	for (int i = 0; i < n && nextra < most; i++)
	{
		BatchOrigin x;
		bool		keep = true;

		if (l->list[i] & LINK_FLAGS)
			continue;
		x = make_origin(l, l->list[i]);
		for (int j = 0; j < nkept && keep; j++)
			keep = distance_from(l, &x, l->list[l->extra[j]]) * relax > batch_link_dist(l->list[i]);
		if (!keep)
			continue;
		l->list[i] |= LINK_SELECTED;
		l->extra[nkept++] = i;
		nextra++;
	}
	return nextra;
}

/*
 * The same of a member that had a list before: its TREE links, the selected, what a relaxed
 * choice selects, the nearest others, as many as there is room for.
 */
static int
put_relinked(Linking *l, uint32 member, BatchLink *links, int n, int nchosen)
{
	const BatchOld *old = l->level->old;
	const int	room = old->room[member];
	int			nsure = 0;
	int			nlinks = 0;

	/* from here on LINK_OFFER says that it is a TREE link */
	for (int i = 0; i < n; i++)
	{
		bool		tree = batch_is_child(old, member, BatchLinkMember(l->list[i]));

		l->list[i] = (l->list[i] & ~LINK_FLAGS) | (tree ? LINK_OFFER : 0);
		nsure += tree;
	}
	for (int i = 0; i < nchosen; i++)
	{
		BatchLink  *c = &l->list[l->chosen[i]];

		if (!(*c & LINK_OFFER) && nsure++ >= room)
			break;
		*c |= LINK_SELECTED;
	}
	if (old->relaxed && batch_is_target(l->level, member) && l->b->g->lay->metric->relax > 1)
		nsure += select_relaxed(l, n, room - nsure);
	for (int i = 0; i < n; i++)
	{
		BatchLink	link = l->list[i];

		if (!(link & LINK_FLAGS) && nsure++ >= room)
			continue;
		links[nlinks++] = (link & ~LINK_FLAGS) | (link & LINK_OFFER ? BATCH_TREE : 0) |
			(link & LINK_SELECTED ? 0 : BATCH_PRUNED);
	}
	return nlinks;
}

/* The final links of each member. */
static void
choose_links(Linking *l)
{
	BatchLevel *level = l->level;
	BatchOld   *old = level->old;
	uint64		from;

	memset(l->seen, 0xFF, (Size) level->n * sizeof(uint32));
	while ((from = HnswTeamTask(l->b->team) * TASK_MEMBERS) < level->n)
		for (uint32 m = (uint32) from; m < Min(level->n, from + TASK_MEMBERS); m++)
		{
			BatchLink  *links = level->links + (Size) m * level->width;
			int			n;
			int			nchosen;

			CHECK_FOR_INTERRUPTS();
			if (!batch_is_target(level, m) &&
				pg_atomic_read_u64(&l->start[m]) == pg_atomic_read_u64(&l->start[m + 1]))
				continue;
			n = gather_candidates(l, m);
			nchosen = select_diverse(l, m, l->list, n, true);
			level->nlinks[m] = old ? put_relinked(l, m, links, n, nchosen) :
				put_selected(l, links, n, nchosen);
			if (old)
				old->flags[m] |= OLD_CHOSEN;
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
	l.integer = c->integer;
	l.squared = b->g->lay->metric->squared;
	l.query_node = BATCH_MAX_NODES;
	if (!l.integer)
		HnswQueryInit(&b->g->space, &l.query, b->cxt);
	l.level = level;
	l.max = 2 * level->width;
	l.list = MemoryContextAlloc(b->cxt, l.max * sizeof(BatchLink));
	l.chosen = MemoryContextAlloc(b->cxt, b->g->lay->fanout * sizeof(int));
	l.extra = MemoryContextAlloc(b->cxt, b->g->lay->fanout * sizeof(int));
	l.seen = b->seen;
	l.start = b->offered;
	if (HnswTeamLeader(b->team))
		b->shared->most_offers = 0;
	HnswCollectCandidates(c, level);
	select_links(&l);
	(void) HnswTeamSync(b->team);
	if (HnswTeamLeader(b->team) && level->old == NULL)
		spread_levels(&l);
	if (collect_offers(&l))
	{
		choose_links(&l);
		(void) HnswTeamSync(b->team);
		HnswWaysOut(b, level, l.offers);
		(void) HnswTeamSync(b->team);
		HnswTeamFree(b->team, TEAM_OFFERS);
		pfree(l.list);
		pfree(l.chosen);
		pfree(l.extra);
		if (!l.integer)
			HnswQueryFree(&l.query);
		return true;
	}
	return false;
}
