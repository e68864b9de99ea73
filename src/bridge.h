/*
 * bridge.h
 *		What the library for pgvector's types does besides, when it is loaded.
 */
#ifndef VX_BRIDGE_H
#define VX_BRIDGE_H

extern void BridgeInit(void);

#endif							/* VX_BRIDGE_H */
