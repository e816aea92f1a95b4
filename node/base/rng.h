/* rng: random numbers of two kinds.
 *
 * rng_secret is for keys, ids and salts: the kernel's. `struct rng` is for jitter and tests: fast, seeded, replayable,
 * and not for secrets. */
#ifndef NODE_BASE_RNG_H
#define NODE_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* Fills n bytes; aborts when the kernel has none to give. */
void rng_secret(void *bytes, size_t n);
uint64_t rng_secret_u64(void);

struct rng {
	uint64_t s[4];
};

void rng_seed(struct rng *, uint64_t seed);
uint64_t rng_next(struct rng *);
uint64_t rng_below(struct rng *, uint64_t n); /* 0 ≤ result < n; n > 0 */

#endif
