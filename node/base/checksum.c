#include "node/base/checksum.h"

#include <xxhash.h>

uint64_t checksum_of(struct span s)
{
	return XXH3_64bits(s.p, s.n);
}

uint64_t checksum_seeded(struct span s, uint64_t seed)
{
	return XXH3_64bits_withSeed(s.p, s.n, seed);
}
