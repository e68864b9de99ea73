/*
 * bulk.h
 *		Bulk construction: the graph of many rows at once, in memory.
 *
 * bulk.c collects rows and drives; partition.c groups nodes that are near to
 * each other; neighbours.c finds and chooses each node's links within the
 * groups; bulk_tree.c makes every node reachable; bulk_write.c writes pages.
 */
#ifndef HNSW_BULK_H
#define HNSW_BULK_H

#include "hnsw/hnsw.h"

/* A row of the batch; further rows with an equal vector hang on "more". */
typedef struct BulkNode
{
	float		norm2;
	float		scale;
	float		offset;
	int32		codesum;
	uint32		hash;
	uint32		same_hash;		/* next node with this hash, or BULK_NONE */
	uint32		more;			/* in Bulk.extra, or BULK_NONE */
	ItemPointerData tid;
	uint8		level;
} BulkNode;

#define BULK_NONE	PG_UINT32_MAX

/* A further heap TID of a node. */
typedef struct BulkTid
{
	uint32		next;
	ItemPointerData tid;
} BulkTid;

/*
 * A link: its distance, made sortable, in the upper half, and the neighbour,
 * a member of the same level, in the lower.  While candidates are collected
 * they are such numbers too.
 */
typedef uint64 BulkLink;

#define BULK_TREE	0x80000000
#define BULK_PRUNED	0x40000000
#define BULK_MAX_NODES	0x3FFFFFFF
#define BulkLinkMember(l)	((uint32) (l) & BULK_MAX_NODES)

static inline BulkLink
bulk_link(float dist, uint32 member)
{
	uint32		bits;

	memcpy(&bits, &dist, sizeof(bits));
	bits ^= (bits >> 31) ? 0xFFFFFFFF : 0x80000000;
	return (uint64) bits << 32 | member;
}

static inline float
bulk_link_dist(BulkLink link)
{
	uint32		bits = (uint32) (link >> 32);
	float		dist;

	bits ^= (bits >> 31) ? 0x80000000 : 0xFFFFFFFF;
	memcpy(&dist, &bits, sizeof(dist));
	return dist;
}

/* The nodes of one level, called members, and their links. */
typedef struct BulkLevel
{
	uint32		n;
	uint32	   *node;			/* of a member; NULL at level 0: the same number */
	int			width;			/* links and candidates there is room for */
	BulkLink   *links;			/* n * width */
	uint16	   *nlinks;
	uint32	   *parent;			/* tree parent, BULK_NONE: not reached yet */
	uint8	   *nchildren;		/* tree links given */
	uint32	   *order;			/* members in the order they were reached */
} BulkLevel;

/* Groups of members that are near to each other; a member may be in several. */
typedef struct BulkLeaves
{
	int64		nleaves;
	int64		maxleaves;
	int64	   *start;			/* nleaves + 1 positions in "members" */
	int64		n;
	int64		max;
	uint32	   *members;		/* with BULK_TREE set in the group of its own leader */
} BulkLeaves;

/* Vectors in the form in which many distances are computed at once. */
typedef struct BulkColumns
{
	int			max;			/* members of a group, and leaders of a division */
	int			n;
	int			npanels;
	int8	   *panels;			/* int8 own vectors, but for L1 */
	float	   *rows;			/* otherwise */
	float	   *norm;
	float	   *scale;
	float	   *offset;
	float	   *sum;
} BulkColumns;

/* Rows whose distances to all columns are computed at a time. */
#define BULK_ROWS	8
/* Most columns there can be. */
#define BULK_LEAF_MAX	1024
/* There are so many at least, be memory as scarce as it may. */
#define BULK_LEAF_MIN	64

typedef struct Bulk
{
	HnswGraph  *g;
	MemoryContext cxt;
	Size		limit;			/* bytes */
	Size		row_bytes;		/* what a node costs at the peak */
	bool		integer;		/* distances from int8 inner products */
	uint32		n;
	uint32		max;
	BulkNode   *nodes;
	char	   *own;			/* own_bytes each */
	struct equals_hash *equals;
	uint32		nextra;
	uint32		maxextra;
	BulkTid    *extra;
	int			top;			/* highest level */
	BulkLevel	levels[HNSW_MAX_LEVEL + 1];
	BulkColumns columns;
	int32	   *dots;			/* BULK_ROWS * BULK_LEAF_MAX */
	float	   *dists;			/* the same */
} Bulk;

static inline const char *
bulk_own(const Bulk *b, uint32 node)
{
	return b->own + (Size) node * b->g->lay.own_bytes;
}

static inline uint32
bulk_node(const BulkLevel *level, uint32 member)
{
	return level->node ? level->node[member] : member;
}

/*
 * A node that distances are computed from, by inner products of int8 codes:
 * what is the same for all others.  The distance to node y with code product
 * "dot" is base + norm2(y) - (p dot scale(y) + q offset(y) + r scale(y)
 * codesum(y)); for the inner product without the two norms (VxKernels'
 * panel_distances).
 */
typedef struct BulkOrigin
{
	uint32		node;
	float		base;
	float		p;
	float		q;
	float		r;
} BulkOrigin;

static inline BulkOrigin
bulk_origin(const Bulk *b, uint32 node, bool ip)
{
	const BulkNode *x = &b->nodes[node];
	float		two = ip ? 1 : 2;
	BulkOrigin	o;

	o.node = node;
	o.base = ip ? 0 : x->norm2;
	o.p = two * x->scale;
	o.q = two * (x->scale * x->codesum + b->g->lay.dim * x->offset);
	o.r = two * x->offset;
	return o;
}

/* ---- bulk.c ---- */
extern Bulk *HnswBulkCreate(HnswGraph *g, Size limit, double rows);
extern bool HnswBulkFull(const Bulk *b);
extern bool HnswBulkAdd(Bulk *b, const Vector *v, ItemPointer tid);
extern void HnswBulkFinish(Bulk *b);
extern float HnswBulkDistance(Bulk *b, uint32 x, uint32 y);

/* ---- partition.c ---- */
extern void HnswColumnsInit(Bulk *b);
extern void HnswColumnsLoad(Bulk *b, const BulkLevel *level, const uint32 *members, int n);
extern void HnswColumnsDistances(Bulk *b, const BulkLevel *level, const uint32 *members,
								 int n, bool to_divide);
extern void HnswPartition(Bulk *b, const BulkLevel *level, int copies, BulkLeaves *leaves);
extern void HnswLeavesFree(BulkLeaves *leaves);

/* ---- neighbours.c ---- */
extern void HnswBulkLink(Bulk *b, BulkLevel *level, const BulkLeaves *leaves);

/* ---- bulk_tree.c ---- */
extern void HnswBulkTree(Bulk *b, uint32 entry);
extern uint32 HnswBulkMember(const BulkLevel *level, uint32 node);

/* ---- bulk_write.c ---- */
extern void HnswBulkWrite(Bulk *b, uint32 entry);

#endif							/* HNSW_BULK_H */
