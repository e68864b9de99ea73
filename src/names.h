/*
 * names.h
 *		What the two libraries made of this tree do not have in common (docs/design/bridge.md).
 *
 * Files that include this are compiled for each of them.
 */
#ifndef VX_NAMES_H
#define VX_NAMES_H

#ifdef VX_BRIDGE
#define VX_LIBRARY	"vectorx_pgvector"
#define VX_AM		"vectorx"
#define VX_AN_INDEX	"a vectorx index"
#else
#define VX_LIBRARY	"vectorx"
#define VX_AM		"hnsw"
#define VX_AN_INDEX	"an hnsw index"
#endif

/* The access method's name begins those of its settings and of functions for its indexes. */
#define VX_SETTING(name)	VX_AM "." name
#define VX_FUNCTION(name)	VX_AM "_" name

#endif							/* VX_NAMES_H */
