/*
 * wayout.c
 *		Links that lead out of a tight group of members.
 *
 * Members of such a group fill each other's candidates, so that most know nobody
 * else; those that are known outside share what they know (README, "Reach").
 */
#include "postgres.h"

#include <math.h>

#include "hnsw/bulk/batch.h"
#include "hnsw/bulk/candidates.h"
#include "hnsw/bulk/columns.h"
#include "hnsw/bulk/team.h"
#include "hnsw/bulk/wayout.h"
#include "hnsw/layout/layout.h"
#include "hnsw/page/index.h"
#include "miscadmin.h"

/* Members that are one task. */
#define TASK_MEMBERS	1024

/* So many of its nearest make a member one of a group; so many of its links are to lead out. */
#define IN_GROUP_OF(fanout)	Max((fanout) / 8, 1)
#define IN_GROUP(lay)	IN_GROUP_OF((lay)->fanout)
#define OUT_OF_GROUP(lay)	((lay)->fanout / 4)
/* Who has so many that lead out needs no others: its group does not fill its list. */
#define ENOUGH_OUT(lay)	((lay)->fanout / 2)

/* The most ways out that members of a group share. */
#define MAX_WAYS	256

/* Of whom a search has met: its links have been followed. */
#define FOLLOWED	((BatchLink) BATCH_TREE)

/* What is used, of the room for leaves' members, which nobody needs any more: n each. */
typedef struct WaysOut
{
	Batch	   *b;
	BatchLevel *level;
	const BatchLink *offers;
	uint32	   *gate;			/* of each member: the one whose ways out it shares, itself, or BATCH_NONE */
	uint32	   *first;			/* of a gate: where its group begins; of others: links that lead out */
	uint32	   *group;			/* the members of the first group, the second, and so on, and BATCH_NONE */
} WaysOut;

/* A member's links, and the square of a distance beyond which they lead out of its group. */
typedef struct Ways
{
	uint32		member;
	BatchLink  *links;
	int			nlinks;
	float		beyond;
} Ways;

static inline bool
leads_out(const WaysOut *o, const Ways *w, BatchLink link)
{
	return HnswBatchApart(o->b, o->level, w->member, link) > w->beyond;
}

static BatchLink
link_of(const WaysOut *o, uint32 member, uint32 to)
{
	return batch_link(HnswBatchDistance(o->b, batch_node(o->level, member), batch_node(o->level, to)), to);
}

/* Where do a member's links lead?  To its group as far as its nearest are, and ten times as far. */
static Ways
look_at(const WaysOut *o, uint32 member)
{
	const HnswLayout *lay = o->b->g->lay;
	const BatchLevel *level = o->level;
	Ways		w = {member, level->links + (Size) member * level->width, level->nlinks[member], INFINITY};
	BatchLink	nearest[IN_GROUP_OF(HNSW_MAX_FANOUT)];
	int			n = 0;

	for (int i = 0; i < w.nlinks; i++)
	{
		int			at = n - 1;

		if (n < IN_GROUP(lay))
			at = n++;
		else if (w.links[i] >= nearest[at])
			continue;
		for (; at > 0 && nearest[at - 1] > w.links[i]; at--)
			nearest[at] = nearest[at - 1];
		nearest[at] = w.links[i];
	}
	if (n == IN_GROUP(lay))
		w.beyond = HnswBatchReach(lay, &o->b->nodes[batch_node(level, member)],
								  HnswBatchApart(o->b, level, member, nearest[n - 1]));
	return w;
}

/* How many links of each member lead out. */
static void
count_ways(WaysOut *o)
{
	uint64		from;

	while ((from = HnswTeamTask(o->b->team) * TASK_MEMBERS) < o->level->n)
		for (uint32 m = (uint32) from; m < Min(o->level->n, from + TASK_MEMBERS); m++)
		{
			Ways		w = look_at(o, m);

			CHECK_FOR_INTERRUPTS();
			o->gate[m] = BATCH_NONE;
			o->first[m] = 0;
			for (int i = 0; i < w.nlinks; i++)
				o->first[m] += leads_out(o, &w, w.links[i]);
		}
}

/* Has a member links out of its group, and none of its neighbours there more? */
static bool
is_gate(const WaysOut *o, uint32 member)
{
	Ways		w = look_at(o, member);

	if (o->first[member] == 0)
		return false;
	for (int i = 0; i < w.nlinks; i++)
	{
		uint32		to = BatchLinkMember(w.links[i]);

		if (!leads_out(o, &w, w.links[i]) &&
			(o->first[to] > o->first[member] || (to < member && o->first[to] == o->first[member])))
			return false;
	}
	return true;
}

/*
 * Put whom a member of a gate's group has links to, and who is in none yet, into the group, which ends at "end".
 * Returns where it ends then.
 */
static uint32
add_linked(WaysOut *o, uint32 member, uint32 gate, float beyond, uint32 end)
{
	const BatchLevel *level = o->level;

	for (int i = 0; i < level->nlinks[member]; i++)
	{
		uint32		to = BatchLinkMember(level->links[(Size) member * level->width + i]);

		if (o->gate[to] != BATCH_NONE || HnswBatchApart(o->b, level, gate, link_of(o, gate, to)) > beyond)
			continue;
		o->gate[to] = gate;
		o->group[end++] = to;
	}
	return end;
}

/* The leader: the group of each gate is whoever its links lead to, one after the other, within it. */
static void
make_groups(WaysOut *o)
{
	const uint32 n = o->level->n;
	uint32		end = 0;

	for (uint32 m = 0; m < n; m++)
	{
		CHECK_FOR_INTERRUPTS();
		if (is_gate(o, m))
			o->gate[m] = m;
	}
	for (uint32 gate = 0; gate < n; gate++)
	{
		uint32		start = end;
		float		beyond;

		if (o->gate[gate] != gate)
			continue;
		beyond = look_at(o, gate).beyond;
		end = add_linked(o, gate, gate, beyond, end);
		for (uint32 i = start; i < end; i++)
		{
			CHECK_FOR_INTERRUPTS();
			end = add_linked(o, o->group[i], gate, beyond, end);
		}
		o->first[gate] = start < end ? start : BATCH_NONE;
	}
	if (end < n)
		o->group[end] = BATCH_NONE;
}

/* Whom a gate's search has met outside its group, the nearest first. */
typedef struct Outside
{
	Ways		gate;
	int			n;
	BatchLink	met[MAX_WAYS];
} Outside;

/*
 * A gate's search meets a member, for which its gate stands.  So nobody's group fills what is met,
 * and no list is read that is being changed.
 */
static void
meet(WaysOut *o, Outside *out, uint32 to)
{
	const uint32 gate = out->gate.member;
	BatchLink	link;
	int			at;

	if (o->gate[to] != BATCH_NONE)
		to = o->gate[to];
	if (o->b->seen[to] == gate)
		return;
	o->b->seen[to] = gate;
	link = link_of(o, gate, to);
	if (!leads_out(o, &out->gate, link) || (out->n == MAX_WAYS && link >= out->met[MAX_WAYS - 1]))
		return;
	if (out->n < MAX_WAYS)
		out->n++;
	for (at = out->n - 1; at > 0 && out->met[at - 1] > link; at--)
		out->met[at] = out->met[at - 1];
	out->met[at] = link;
}

/* The nearest of those met whose links are to be followed and have not been; NULL: there is none. */
static BatchLink *
next_met(Outside *out, int width)
{
	for (int i = 0; i < Min(out->n, width); i++)
		if (!(out->met[i] & FOLLOWED))
			return &out->met[i];
	return NULL;
}

/* Search as an insert of the gate would, from its links and from who was offered to it. */
static void
search_outside(WaysOut *o, Outside *out)
{
	const BatchLevel *level = o->level;
	const uint32 gate = out->gate.member;
	BatchLink  *next;

	out->n = 0;
	o->b->seen[gate] = gate;
	for (int i = 0; i < out->gate.nlinks; i++)
		meet(o, out, BatchLinkMember(out->gate.links[i]));
	for (uint64 i = pg_atomic_read_u64(&o->b->offered[gate]); i < pg_atomic_read_u64(&o->b->offered[gate + 1]); i++)
		meet(o, out, BatchLinkMember(o->offers[i]));
	while ((next = next_met(out, level->width)) != NULL)
	{
		const uint32 from = BatchLinkMember(*next);

		CHECK_FOR_INTERRUPTS();
		*next |= FOLLOWED;
		for (int k = 0; k < level->nlinks[from]; k++)
			meet(o, out, BatchLinkMember(level->links[(Size) from * level->width + k]));
	}
}

/* The heuristic of HNSW: those to whom none before is nearer than the gate.  Returns how many. */
static int
select_ways(const WaysOut *o, Outside *out)
{
	int			n = 0;

	for (int i = 0; i < out->n; i++)
	{
		const uint32 to = BatchLinkMember(out->met[i]);
		bool		keep = true;

		for (int k = 0; k < n && keep; k++)
			keep = batch_link_dist(link_of(o, to, BatchLinkMember(out->met[k]))) > batch_link_dist(out->met[i]);
		if (keep)
			out->met[n++] = out->met[i];
	}
	return n;
}

/* Which of a member's links is the farthest of those that only fill up its list; -1: there is none. */
static int
farthest_pruned(const Ways *w)
{
	int			farthest = -1;

	for (int i = 0; i < w->nlinks; i++)
		if ((w->links[i] & BATCH_PRUNED) && !(w->links[i] & BATCH_TREE) &&
			(farthest < 0 || w->links[i] > w->links[farthest]))
			farthest = i;
	return farthest;
}

/*
 * Let a member have some of its gate's ways out, others than the one before, in place of the
 * farthest of the links that were not selected.
 */
static void
take_ways(const WaysOut *o, uint32 member, const BatchLink *ways, int nways)
{
	BatchLevel *level = o->level;
	const int	room = Min(batch_room(o->b, level, member), level->width);
	const int	want = OUT_OF_GROUP(o->b->g->lay);
	Ways		w = look_at(o, member);
	BatchLink	taken[HNSW_MAX_FANOUT];
	int			ntaken = 0;
	int			drop;

	for (int i = 0; i < nways && ntaken < want; i++)
	{
		uint32		to = BatchLinkMember(ways[((uint64) member * want + i) % nways]);
		BatchLink	link = link_of(o, member, to);
		bool		has = false;

		for (int k = 0; k < w.nlinks && !has; k++)
			has = BatchLinkMember(w.links[k]) == to;
		if (!has && leads_out(o, &w, link))
			taken[ntaken++] = link;
	}
	if (ntaken == 0)
		return;
	/* the farthest of the rest make place */
	while (w.nlinks + ntaken > room && (drop = farthest_pruned(&w)) >= 0)
		w.links[drop] = w.links[--w.nlinks];
	ntaken = Max(Min(ntaken, room - w.nlinks), 0);
	memcpy(w.links + w.nlinks, taken, ntaken * sizeof(BatchLink));
	level->nlinks[member] = w.nlinks + ntaken;
}

/* Find the ways out of a group, when any of its members takes some, and give them to those. */
static void
share_ways(WaysOut *o, uint32 gate)
{
	const BatchOld *old = o->level->old;
	Outside		out;
	int			nways = -1;

	for (uint32 i = o->first[gate]; i < o->level->n && o->group[i] != BATCH_NONE && o->gate[o->group[i]] == gate; i++)
	{
		const uint32 m = o->group[i];

		CHECK_FOR_INTERRUPTS();
		if (o->first[m] >= (uint32) ENOUGH_OUT(o->b->g->lay) || (old && !(old->flags[m] & OLD_CHOSEN)))
			continue;
		if (nways < 0)
		{
			out.gate = look_at(o, gate);
			search_outside(o, &out);
			nways = select_ways(o, &out);
		}
		take_ways(o, m, out.met, nways);
	}
}

/*
 * Let every member of a tight group, whose list is new, have links that lead out of it.  The links
 * of a level have been chosen; the offers are still there.  All participants, who meet within and
 * have to meet after it.
 */
void
HnswWaysOut(Batch *b, BatchLevel *level, const BatchLink *offers)
{
	WaysOut		o = {b, level, offers, b->members, b->members + level->n, b->members + 2 * (Size) level->n};
	uint64		from;

	StaticAssertStmt(BATCH_MIN_COPIES >= 3, "the room for leaves' members holds three arrays");
	if (!b->shared->tight)
		return;
	count_ways(&o);
	(void) HnswTeamSync(b->team);
	if (HnswTeamLeader(b->team))
		make_groups(&o);
	(void) HnswTeamSync(b->team);
	memset(b->seen, 0xFF, (Size) level->n * sizeof(uint32));
	while ((from = HnswTeamTask(b->team) * TASK_MEMBERS) < level->n)
		for (uint32 m = (uint32) from; m < Min(level->n, from + TASK_MEMBERS); m++)
			if (o.gate[m] == m && o.first[m] != BATCH_NONE)
				share_ways(&o, m);
}
