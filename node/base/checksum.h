/* checksum: fast, not cryptographic. The only door to xxhash.
 *
 * For hash tables of names and for finding torn or rotten chunks; never where somebody could choose the bytes to deceive. */
#ifndef NODE_BASE_CHECKSUM_H
#define NODE_BASE_CHECKSUM_H

#include <stdint.h>

#include "node/base/span.h"

/* XXH3, 64 bits. */
uint64_t checksum_of(struct span);
uint64_t checksum_seeded(struct span, uint64_t seed);

#endif
