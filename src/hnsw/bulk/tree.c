/*
 * tree.c
 *		Tree links of a batch: every member of a level can be reached from the
 *		entry point.
 *
 * Breadth first along the links from the entry point; the link that reaches a
 * member first becomes its tree link.  Parts that no link leads to are hung
 * where the level above, whose members are all reachable, says they belong.
 */
#include "postgres.h"

#include <math.h>

#include "hnsw/bulk/batch.h"
#include "hnsw/bulk/columns.h"
#include "hnsw/bulk/tree.h"
#include "hnsw/layout/layout.h"
#include "miscadmin.h"
#include "utils/memutils.h"

typedef struct Tree
{
	Batch	   *b;
	BatchLevel *level;
	uint32		nreached;
	uint32		nspread;		/* of these, whose links have been followed */
	uint32	   *way;			/* of each member, the last way down that came to it; NULL: none comes twice */
	uint32		nways;
	uint64		nsteps;			/* of all ways */
} Tree;

/* Members on all ways down that are looked at, a member; more are only where there is hardly any place. */
#define MAX_STEPS	64

static void
reach(Tree *t, uint32 member, uint32 parent)
{
	t->level->parent[member] = parent;
	t->level->order[t->nreached++] = member;
}

/* Follow the links of all that has been reached. */
static void
spread(Tree *t)
{
	BatchLevel *level = t->level;
	const int	most = HnswMaxTreeLinks(t->b->g->lay);

	while (t->nspread < t->nreached)
	{
		uint32		m = level->order[t->nspread++];
		BatchLink  *links = level->links + (Size) m * level->width;

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < level->nlinks[m] && level->nchildren[m] < most; i++)
		{
			uint32		to = BatchLinkMember(links[i]);

			if (level->parent[to] != BATCH_NONE)
				continue;
			links[i] = (links[i] | BATCH_TREE) & ~(BatchLink) BATCH_PRUNED;
			level->nchildren[m]++;
			reach(t, to, m);
		}
	}
}

/*
 * Give a member a tree link from "host", which is reached, or from below it; false when a
 * list there has no place (one that is all links to what is no member).  Members that had lists before may have
 * two tree parents, and so be below each other: no way down comes to one twice, and there is an end of ways.
 */
static bool
attach(Tree *t, uint32 member, uint32 host)
{
	BatchLevel *level = t->level;
	uint32		node = batch_node(level, member);
	BatchLink  *links;
	int			victim = -1;
	bool		victim_pruned = false;
	BatchLink	link;

	t->nways++;
	while (level->nchildren[host] >= Min(HnswMaxTreeLinks(t->b->g->lay), batch_room(t->b, level, host)))
	{
		uint32		nearest = BATCH_NONE;
		float		best = INFINITY;

		if (t->way)
		{
			if (t->nsteps++ >= (uint64) level->n * MAX_STEPS)
				return false;
			t->way[host] = t->nways;
		}
		links = level->links + (Size) host * level->width;
		for (int i = 0; i < level->nlinks[host]; i++)
		{
			uint32		child = BatchLinkMember(links[i]);
			float		dist;

			if (!(links[i] & BATCH_TREE) || level->parent[child] == BATCH_NONE ||
				(t->way && t->way[child] == t->nways))
				continue;
			dist = HnswBatchDistance(t->b, batch_node(level, child), node);
			if (nearest == BATCH_NONE || dist < best)
			{
				best = dist;
				nearest = child;
			}
		}
		if (nearest == BATCH_NONE)
			return false;
		host = nearest;
		CHECK_FOR_INTERRUPTS();
	}

	links = level->links + (Size) host * level->width;
	link = batch_link(HnswBatchDistance(t->b, batch_node(level, host), node), member) | BATCH_TREE;
	for (int i = 0; i < level->nlinks[host]; i++)
	{
		bool		pruned = (links[i] & BATCH_PRUNED) != 0;

		if (BatchLinkMember(links[i]) == member)
		{
			victim = i;
			break;
		}
		if ((links[i] & BATCH_TREE) || (victim_pruned && !pruned))
			continue;
		if (victim < 0 || pruned != victim_pruned || links[i] > links[victim])
		{
			victim = i;
			victim_pruned = pruned;
		}
	}
	/* a list that has room takes one more */
	if ((victim < 0 || BatchLinkMember(links[victim]) != member) &&
		level->nlinks[host] < batch_room(t->b, level, host))
		victim = level->nlinks[host]++;
	links[victim] = link;
	level->nchildren[host]++;
	reach(t, member, host);
	return true;
}

/* Members that links lead from, to what is reached, hang where they lead. */
static bool
attach_by_links(Tree *t)
{
	BatchLevel *level = t->level;
	bool		any = false;

	for (uint32 m = 0; m < level->n; m++)
	{
		const BatchLink *links = level->links + (Size) m * level->width;

		if (level->parent[m] != BATCH_NONE)
			continue;
		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < level->nlinks[m]; i++)
			if (level->parent[BatchLinkMember(links[i])] != BATCH_NONE &&
				attach(t, m, BatchLinkMember(links[i])))
			{
				spread(t);
				any = true;
				break;
			}
	}
	return any;
}

/* The leader: choose the entry point, and make the tree links of all levels, the top one first. */
void
HnswBatchTree(Batch *b)
{
	BatchShared *sh = b->shared;

	sh->entry = sh->top == 0 ? 0 : b->levels[sh->top].node[0];
	for (int l = sh->top; l >= 0; l--)
	{
		BatchLevel *level = &b->levels[l];
		Tree		t = {b, level, 0, 0};
		uint32		root = HnswBatchMember(level, sh->entry);

		reach(&t, root, root);
		spread(&t);
		if (l < sh->top)
		{
			const BatchLevel *above = &b->levels[l + 1];

			/* in the order of their tree, so that parents come first */
			for (uint32 i = 0; i < above->n && t.nreached < level->n; i++)
			{
				uint32		x = above->order[i];
				uint32		m = HnswBatchMember(level, above->node[x]);

				if (level->parent[m] != BATCH_NONE)
					continue;
				(void) attach(&t, m, HnswBatchMember(level, above->node[above->parent[x]]));
				spread(&t);
			}
		}
		while (t.nreached < level->n && attach_by_links(&t))
			;
		for (uint32 m = 0; m < level->n && t.nreached < level->n; m++)
			if (level->parent[m] == BATCH_NONE)
			{
				(void) attach(&t, m, root);
				spread(&t);
			}
	}
}

/* How often all members are gone through for those whose first so many links lead to what is reached. */
#define NEAR_PASSES		4

/*
 * Hang members on the nearest they link to: first those whose nearest is reached, then those whose second is,
 * and so on.  Some may be left, where chains of them are long.
 */
static void
attach_near(Tree *t)
{
	BatchLevel *level = t->level;

	for (int look = 1; look <= level->width; look *= 2)
		for (int pass = 0; pass < NEAR_PASSES && t->nreached < level->n; pass++)
			for (uint32 k = 0; k < level->n; k++)
			{
				/* to and fro, for who is near stands near */
				uint32		m = pass % 2 ? level->n - 1 - k : k;
				const BatchLink *links = level->links + (Size) m * level->width;

				if (level->parent[m] != BATCH_NONE)
					continue;
				CHECK_FOR_INTERRUPTS();
				for (int i = 0; i < Min(look, level->nlinks[m]); i++)
					if (level->parent[BatchLinkMember(links[i])] != BATCH_NONE &&
						attach(t, m, BatchLinkMember(links[i])))
						break;
			}
}

/*
 * Members that had lists before have their tree parents, or will: give the others, which
 * are targets, tree links from near ones that they link to, else from who links to them, else from below the
 * root.  False when there is no place.  (A node that few others link to is found by way of its tree parent,
 * which has to be near for that.)
 */
bool
HnswBatchHang(Batch *b, BatchLevel *level, uint32 root)
{
	Tree		t = {b, level};
	const BatchOld *old = level->old;
	bool		done = true;

	t.way = MemoryContextAllocExtended(CurrentMemoryContext, level->n * sizeof(uint32), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (uint32 m = 0; m < level->n; m++)
	{
		level->nchildren[m] = old->first[m + 1] - old->first[m];
		if (!batch_is_target(level, m))
			reach(&t, m, m);
	}
	/* a merge that was cut off may have come as far as a target's parent */
	for (uint32 m = 0; m < level->n; m++)
		for (uint32 i = old->first[m]; i < old->first[m + 1]; i++)
			if (level->parent[old->children[i]] == BATCH_NONE)
				reach(&t, old->children[i], m);
	attach_near(&t);
	spread(&t);
	while (t.nreached < level->n && attach_by_links(&t))
		;
	for (uint32 m = 0; done && m < level->n && t.nreached < level->n; m++)
		if (level->parent[m] == BATCH_NONE)
		{
			done = attach(&t, m, root);
			spread(&t);
		}
	pfree(t.way);
	return done;
}
