/*
 * batch.h
 *		A batch: the rows of a bulk build as nodes, the levels they make, and
 *		their links, in memory that all participants share.
 *
 * Below everything else that builds in bulk: fill.c brings rows in, columns.c
 * computes distances, partition.c groups nodes that are near to each other,
 * candidates.c collects whom each is near to, neighbours.c chooses links, tree.c
 * makes every node reachable, write.c writes pages, and bulk.c calls these
 * in turn.
 */
#ifndef HNSW_BULK_BATCH_H
#define HNSW_BULK_BATCH_H

#include "hnsw/bulk/team.h"
#include "hnsw/layout/layout.h"
#include "hnsw/layout/page.h"
#include "hnsw/page/index.h"
#include "storage/lwlock.h"

/* amphasename numbers */
#define HNSW_PROGRESS_LOAD		2
#define HNSW_PROGRESS_LINK		3
#define HNSW_PROGRESS_WRITE		4
#define HNSW_PROGRESS_INSERT	5
#define HNSW_PROGRESS_LOG		6

/* A row of the batch; further rows with an equal vector hang on "more". */
typedef struct BatchNode
{
	HNSW_VEC_HEAD;
	union
	{
		uint32		same_hash;	/* next node with this hash, or BATCH_NONE */
		BlockNumber overflow;	/* once all rows are there: first overflow page */
	};
	uint32		more;			/* in Batch.extra, or BATCH_NONE */
	ItemPointerData tid;
	uint8		level;
} BatchNode;

#define BATCH_NONE	PG_UINT32_MAX

/* A further heap TID of a node. */
typedef struct BatchTid
{
	uint32		next;
	ItemPointerData tid;
} BatchTid;

/*
 * A link: its distance, made sortable, in the upper half, and the neighbour,
 * a member of the same level, in the lower.  While candidates are collected
 * they are such numbers too.
 */
typedef uint64 BatchLink;

#define BATCH_TREE	0x80000000
#define BATCH_PRUNED	0x40000000
#define BATCH_MAX_NODES	0x3FFFFFFF
#define BatchLinkMember(l)	((uint32) (l) & BATCH_MAX_NODES)

/* A link: links are compared as numbers, so that the nearest comes first. */
static inline BatchLink
batch_link(float dist, uint32 member)
{
	uint32		bits;

	memcpy(&bits, &dist, sizeof(bits));
	bits ^= (bits >> 31) ? 0xFFFFFFFF : 0x80000000;
	return (uint64) bits << 32 | member;
}

/* The distance of a link, in index units. */
static inline float
batch_link_dist(BatchLink link)
{
	uint32		bits = (uint32) (link >> 32);
	float		dist;

	bits ^= (bits >> 31) ? 0x80000000 : 0xFFFFFFFF;
	memcpy(&dist, &bits, sizeof(dist));
	return dist;
}

/* What there is to say of a member that had a list before (BatchOld). */
#define OLD_TARGET		0x01	/* its links are chosen anew, from all members */
#define OLD_CHOSEN		0x02	/* they have been, or from those it had and offers */
#define OLD_MISSED		0x04	/* its list has changed meanwhile, and is not written */
#define OLD_LOSES		0x08	/* its list is to lose links */

/* Of a level whose nodes are in the index already (relink.c): the lists they have. */
typedef struct BatchOld
{
	uint8	   *flags;			/* of a member */
	uint8	   *room;			/* links that it may have: those to what is no member stay besides */
	uint64	   *hash;			/* of its links as they were read */
	uint32	   *first;			/* where its tree children begin, n + 1 */
	uint32	   *children;		/* members it has TREE links to */
	bool		relaxed;		/* choose more than the heuristic does (HnswMetricOps.relax) */
	int			copies;			/* groups that a target joins */
	uint32		ntargets;
} BatchOld;

/* The nodes of one level, called members, and their links. */
typedef struct BatchLevel
{
	uint32		n;
	BatchOld   *old;			/* NULL: all are new */
	uint32	   *node;			/* of a member; NULL at level 0: the same number */
	int			width;			/* links and candidates there is room for */
	union
	{
		uint16	   *joined;		/* while it is divided: the groups each member joins */
		BatchLink  *links;		/* from then on: n * width */
	};
	uint16	   *nlinks;
	float	   *reach;			/* how far off a member is a candidate (candidates.c) */
	uint32	   *parent;			/* tree parent, BATCH_NONE: not reached yet */
	uint8	   *nchildren;		/* tree links given */
	union
	{
		uint32	   *moved;		/* of level 0, once divided: where a node belongs */
		uint32	   *order;		/* while tree links are made: members in order */
	};
} BatchLevel;

/*
 * Leaves are groups of members that are near to each other; a member may be in
 * several.  They stand one after the other, as numbers of members with flags.
 */
#define LEAF_OWN	0x80000000	/* the leaf of the member's own pivot */
#define LEAF_START	0x40000000	/* the first of a leaf */
#define LEAF_MEMBER(id)	((id) & BATCH_MAX_NODES)

/* Most columns there can be. */
#define BATCH_LEAF_MAX	1024

/*
 * Locks of members' candidates: a member's is number member % BATCH_LOCKS.  With
 * so many, of 1,000 times that one of eight participants takes a lock it has to
 * wait once or twice.
 */
#define BATCH_LOCKS	1024

/* What the participants of a batch share besides its arrays. */
typedef struct BatchShared
{
	uint32		cap;			/* nodes there is room for */
	uint32		n;
	uint32		nextra;
	int			top;			/* highest level */
	uint32		level_n[HNSW_MAX_LEVEL + 1];

	/* the division of a level */
	int			npivots;
	int			copies;			/* groups each member joins */
	uint32		pivots[BATCH_LEAF_MAX];
	pg_atomic_uint32 counts[BATCH_LEAF_MAX];
	int64		start[BATCH_LEAF_MAX + 1];	/* of each pivot's group */
	bool		leaf[BATCH_LEAF_MAX];	/* that group is divided already */
	int64		nmembers;		/* in all leaves */

	/* candidates */
	bool		tight;			/* some are out of reach, of this level or one below */
	int			lock_tranche;
	LWLock		locks[BATCH_LOCKS];

	/* offers */
	int			most_offers;	/* of a member */
	bool		too_many;		/* once more, with fewer */

	/* pages */
	uint32		entry;			/* node */
	BlockNumber first0;			/* first page of level 0 */
	BlockNumber first_upper;
	BlockNumber first_overflow;
	BlockNumber end;
	uint64		upper[HNSW_MAX_LEVEL + 2];	/* number of the first record of each level */
} BatchShared;

/* Places among the records of level 0: that of a node, and the node at a place. */
typedef struct BatchPlace
{
	uint32		position;		/* of the node with this number */
	uint32		node;			/* at the position with this number */
} BatchPlace;

typedef struct Batch
{
	HnswIndex  *g;
	Team	   *team;
	BatchShared *shared;
	MemoryContext cxt;
	Size		limit;			/* bytes, of all participants together */
	/* shared */
	BatchNode  *nodes;
	char	   *own;			/* own_bytes each */
	BatchTid   *extra;
	BatchLevel	levels[HNSW_MAX_LEVEL + 1];
	union
	{
		uint32	   *members;	/* until all is linked: of the leaves of a level */
		BatchPlace *places;		/* from then on: as many as nodes */
	};
	pg_atomic_uint64 *offered;	/* of each member: where its offers begin */
	/* a participant's own */
	uint32	   *seen;			/* per member: who has it in its list */
} Batch;

/* The own vector of a node: own_bytes, as stored. */
static inline const char *
batch_own(const Batch *b, uint32 node)
{
	return b->own + (Size) node * b->g->lay->own_bytes;
}

/* The node that a member of a level is. */
static inline uint32
batch_node(const BatchLevel *level, uint32 member)
{
	return level->node ? level->node[member] : member;
}

/* Are a member's links to be chosen from all that are near? */
static inline bool
batch_is_target(const BatchLevel *level, uint32 member)
{
	return level->old == NULL || (level->old->flags[member] & OLD_TARGET) != 0;
}

/* Has a member, one that had a list before, a TREE link to this one? */
static inline bool
batch_is_child(const BatchOld *old, uint32 member, uint32 child)
{
	for (uint32 i = old->first[member]; i < old->first[member + 1]; i++)
		if (old->children[i] == child)
			return true;
	return false;
}

/* How many links to members a member may have. */
static inline int
batch_room(const Batch *b, const BatchLevel *level, uint32 member)
{
	return level->old ? level->old->room[member] : b->g->lay->fanout;
}

/* Groups that a node is in: more find more of its neighbours. */
#define BATCH_MIN_COPIES		4
#define BATCH_MAX_COPIES		16
#define BATCH_COPIES(lay) \
	Max(BATCH_MIN_COPIES, Min(BATCH_MAX_COPIES, (lay)->ef_construction / 8))
/* The same of one that is no target. */
#define BATCH_OTHER_COPIES		2
/* Links and candidates of a member that there is room for. */
#define BATCH_WIDTH(lay)		Max((lay)->fanout, (lay)->ef_construction)

extern Batch *HnswBatchCreate(HnswIndex *g, Team *team, BatchShared *shared, Size limit);
extern Size HnswBatchNodeBytes(const HnswLayout *lay);
extern double HnswBatchRowBytes(const HnswLayout *lay, int participants);
extern void HnswBatchMakeNodes(Batch *b, uint32 cap);
extern void HnswBatchMakeLevels(Batch *b);
extern void HnswBatchMakeArrays(Batch *b);
extern void HnswBatchAttach(Batch *b);
extern void HnswBatchDestroy(Batch *b);
extern void HnswBatchMoveNodes(Batch *b);
extern void HnswBatchListMembers(Batch *b, int l);
extern uint32 HnswBatchMember(const BatchLevel *level, uint32 node);

#endif							/* HNSW_BULK_BATCH_H */
