/* pieces: cuts an input into pieces at places that its own bytes decide, so that a finding can be replayed from the input
 * alone and the corpus holds plain messages. */
#ifndef TESTS_FUZZ_PIECES_H
#define TESTS_FUZZ_PIECES_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "node/base/check.h"
#include "node/base/rng.h"
#include "node/base/span.h"

static inline void pieces_seed(struct rng *r, const uint8_t *bytes, size_t n)
{
	uint64_t seed = 0xcbf29ce484222325u;

	for (size_t i = 0; i < n; i++)
		seed = (seed ^ bytes[i]) * 0x100000001b3u;
	rng_seed(r, seed);
}

/* How many of `left` bytes the next piece has: mostly few. */
static inline size_t pieces_next(struct rng *r, size_t left)
{
	size_t n = 1 + (size_t)rng_below(r, 1ull << rng_below(r, 8));

	return n < left ? n : left;
}

/* The first n bytes in memory of exactly that size, so that the sanitizer sees a step beyond; free() its p. */
static inline struct span pieces_copy(const uint8_t *bytes, size_t n)
{
	char *p = malloc(n ? n : 1);

	CHECK_THAT(p);
	if (n)
		memcpy(p, bytes, n);
	return span_of(p, n);
}

#endif
