#include "proto/rendezvous.h"

#include "node/base/check.h"
#include "node/base/hash.h"

#define MIX_1 0xbf58476d1ce4e5b9u
#define MIX_2 0x94d049bb133111ebu
#define STEP 0x9e3779b97f4a7c15u

static uint64_t load_u64(const uint8_t *p)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

/* The finalizer of splitmix64: one to one, and each bit of the input moves half of the output's. */
static uint64_t mix(uint64_t v)
{
	v = (v ^ v >> 30) * MIX_1;
	v = (v ^ v >> 27) * MIX_2;
	return v ^ v >> 31;
}

/* What of the key goes into all its weights. */
static uint64_t key_part(const uint8_t *key)
{
	return mix(load_u64(key) ^ mix(load_u64(key + 8)));
}

/* One to one in `node` (an odd factor, a sum, mix), so that no two nodes weigh the same. */
static uint64_t node_weight(uint64_t part, uint32_t node)
{
	return mix(part + STEP * node);
}

uint32_t rendezvous_node_id(struct span name)
{
	uint8_t digest[SHA256_BYTES];
	uint32_t id = 0;

	sha256_of(name, digest);
	for (unsigned i = 0; i < 4; i++)
		id = id << 8 | digest[i];
	return id ? id : 1;
}

uint64_t rendezvous_weight(const uint8_t *key, uint32_t node)
{
	return node_weight(key_part(key), node);
}

bool rendezvous_outranks(const uint8_t *key, uint32_t a, uint32_t b)
{
	uint64_t part = key_part(key), weight_a = node_weight(part, a), weight_b = node_weight(part, b);

	return weight_a != weight_b ? weight_a > weight_b : a < b;
}

#define FRACTION_BITS 32

/* 64 - log2(v), with 32 bits behind the point, rounded up: from 1 for the greatest v to 64 << 32 for 1 (and 0). Whole numbers
 * alone, so that each machine finds the same: the logarithm of libm differs between them in the last bit. */
static uint64_t distance(uint64_t v)
{
	unsigned whole;
	uint64_t log, x;

	v |= v == 0;
	whole = 63u - (unsigned)__builtin_clzll(v);
	log = whole;
	x = v << (63 - whole); /* 1 <= x / 2^63 < 2 */
	for (unsigned i = 0; i < FRACTION_BITS; i++) {
		unsigned __int128 square = (unsigned __int128)x * x; /* below 4 * 2^126 */
		bool bit = square >> 127;

		log = log << 1 | bit;
		x = (uint64_t)(square >> (bit ? 64 : 63));
	}
	return ((uint64_t)64 << FRACTION_BITS) - log;
}

struct place {
	size_t at; /* in `nodes` */
	uint32_t node;
	unsigned percent;
	uint64_t weight, distance; /* distance 0: nobody has a percentage of his own */
};

/* The one with the greater percent / distance; so a node is first in proportion to its percentage. */
static bool is_before(const struct place *a, const struct place *b)
{
	if (a->distance) {
		unsigned __int128 score_a = (unsigned __int128)a->percent * b->distance;
		unsigned __int128 score_b = (unsigned __int128)b->percent * a->distance;

		if (score_a != score_b)
			return score_a > score_b;
	}
	if (a->weight != b->weight)
		return a->weight > b->weight;
	return a->node < b->node;
}

size_t rendezvous_rank(const uint8_t *key, const uint32_t *nodes, const unsigned *weights, size_t n, size_t *out,
		       size_t most)
{
	uint64_t part = key_part(key);
	struct place best[RENDEZVOUS_MOST];
	size_t have = 0;

	CHECK_THAT(most <= RENDEZVOUS_MOST);
	for (size_t i = 0; i < n && most; i++) {
		struct place p = {.at = i, .node = nodes[i], .weight = node_weight(part, nodes[i])};
		size_t to;

		if (weights) {
			p.percent = weights[i];
			p.distance = distance(p.weight);
		}
		if (have == most && !is_before(&p, &best[most - 1]))
			continue;
		to = have < most ? have++ : most - 1;
		for (; to > 0 && is_before(&p, &best[to - 1]); to--)
			best[to] = best[to - 1];
		best[to] = p;
	}
	for (size_t i = 0; i < have; i++)
		out[i] = best[i].at;
	return have;
}
