/* rendezvous: which of several nodes is the one for a key (highest random weight).
 *
 * Every node computes the same order from the same members, without a table: when one leaves, only its keys move. Weights come from
 * a hash of key and node id that is the same on all machines (the formula and vectors: PROTOCOL.md). Node ids are made from names.
 * Whole numbers only. Pure. */
#ifndef PROTO_RENDEZVOUS_H
#define PROTO_RENDEZVOUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/base/span.h"

/* The first 32 bits of SHA-256 over the node's name; 0 becomes 1, since 0 is nobody. */
uint32_t rendezvous_node_id(struct span name);

/* `key` are at least 16 bytes of a cache key. Two nodes never weigh the same for one key unless their ids are the same. */
uint64_t rendezvous_weight(const uint8_t *key, uint32_t node);

/* Does node a rank before node b for this key? Ties (equal weights) go to the smaller id. */
bool rendezvous_outranks(const uint8_t *key, uint32_t a, uint32_t b);

#define RENDEZVOUS_MOST 64

/* The `most` (up to RENDEZVOUS_MOST) highest of the n nodes, best first, as positions in `nodes`; with `weights` (percent, NULL: all
 * 100) a node of 200 is the first for twice as many keys, one of 0 is behind all others. Returns how many. */
size_t rendezvous_rank(const uint8_t *key, const uint32_t *nodes, const unsigned *weights, size_t n, size_t *out,
		       size_t most);

#endif
