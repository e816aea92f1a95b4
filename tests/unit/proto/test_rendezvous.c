#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "node/base/rng.h"
#include "proto/rendezvous.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define KEYS 20000

struct random_key {
	uint8_t b[16];
};

static void next_key(struct rng *r, struct random_key *k)
{
	uint64_t v[2] = {rng_next(r), rng_next(r)};

	memcpy(k->b, v, sizeof(k->b));
}

static void make_nodes(uint32_t *nodes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char name[32];

		snprintf(name, sizeof(name), "edge%zu", i + 1);
		nodes[i] = rendezvous_node_id(span_str(name));
	}
}

/* The same as in PROTOCOL.md. */
static const struct {
	const char *name;
	uint32_t id;
} ids[] = {
	{"", 0xe3b0c442},
	{"edge1", 0xb4baca89},
	{"edge2", 0xbee95ea8},
	{"parent1", 0xa7e64b1d},
};

static const struct {
	uint8_t key[16];
	uint32_t node;
	uint64_t weight;
} weights[] = {
	{{0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00},
	 0x00000001,
	 0xe220a8397b1dcdafu},
	{{0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00},
	 0xb4baca89,
	 0xac131d4de528573eu},
	{{0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00},
	 0xbee95ea8,
	 0xb148737fe13eebb2u},
	{{0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00},
	 0xffffffff,
	 0xfbd912d21ced44a9u},
	{{0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f},
	 0x00000001,
	 0x2bd6a0f449fa9188u},
	{{0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f},
	 0xb4baca89,
	 0x1122123182674f14u},
	{{0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f},
	 0xbee95ea8,
	 0xf11e37945672684fu},
	{{0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f},
	 0xffffffff,
	 0x4c33abee0dca85a4u},
	{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	 0x00000001,
	 0xee9a84b4a8ad7116u},
	{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	 0xb4baca89,
	 0xfe0a57056af17da5u},
	{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	 0xbee95ea8,
	 0x6757453b38c6d07cu},
	{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	 0xffffffff,
	 0xaef433b7e850b420u},
};

static void vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(ids); i++)
		if (rendezvous_node_id(span_str(ids[i].name)) != ids[i].id)
			fail_msg("%s: %08x", ids[i].name, rendezvous_node_id(span_str(ids[i].name)));
	for (size_t i = 0; i < COUNT(weights); i++)
		if (rendezvous_weight(weights[i].key, weights[i].node) != weights[i].weight)
			fail_msg("%zu: %016llx", i,
				 (unsigned long long)rendezvous_weight(weights[i].key, weights[i].node));
}

/* They stand in the specification as they are here. */
static void vectors_are_in_the_specification(void **state)
{
	static char text[262144];
	const char *here = strstr(__FILE__, "tests/unit/");
	char path[1024], want[128];
	size_t n;
	FILE *f;

	(void)state;
	snprintf(path, sizeof(path), "%.*sproto/PROTOCOL.md", here ? (int)(here - __FILE__) : 0, __FILE__);
	f = fopen(path, "rb");
	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	for (size_t i = 0; i < COUNT(weights); i++) {
		snprintf(want, sizeof(want), "`%08x` | `%016llx`", weights[i].node,
			 (unsigned long long)weights[i].weight);
		if (!strstr(text, want))
			fail_msg("%s is not there", want);
	}
	for (size_t i = 0; i < COUNT(ids); i++) {
		snprintf(want, sizeof(want), "`%s` | `%08x`", ids[i].name, ids[i].id);
		if (ids[i].name[0] && !strstr(text, want))
			fail_msg("%s is not there", want);
	}
}

/* The sum of (found - expected)^2 / expected. */
static double chi_square(const unsigned *found, const double *expected, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (found[i] - expected[i]) * (found[i] - expected[i]) / expected[i];
	return sum;
}

static void each_node_has_its_share(void **state)
{
	enum { NODES = 31 };
	uint32_t nodes[NODES];
	unsigned first[NODES] = {0}, second[NODES] = {0};
	double expected[NODES];
	struct rng r;

	(void)state;
	make_nodes(nodes, NODES);
	rng_seed(&r, 1);
	for (size_t i = 0; i < NODES; i++)
		expected[i] = (double)KEYS / NODES;
	for (unsigned i = 0; i < KEYS; i++) {
		struct random_key k;
		size_t out[2];

		next_key(&r, &k);
		assert_int_equal(rendezvous_rank(k.b, nodes, NULL, NODES, out, 2), 2);
		first[out[0]]++;
		second[out[1]]++;
	}
	assert_true(chi_square(first, expected, NODES) < 67); /* 30 degrees of freedom: beyond it once in 10000 */
	assert_true(chi_square(second, expected, NODES) < 67);
}

/* Keys and ids that differ in few bits: 0 to 19999 as keys, 1 to 16 as ids. */
static void poor_keys_and_ids_are_no_worse(void **state)
{
	enum { NODES = 16 };
	uint32_t nodes[NODES];
	unsigned first[NODES] = {0}, high[NODES] = {0};
	double expected[NODES];

	(void)state;
	for (uint32_t i = 0; i < NODES; i++) {
		nodes[i] = i + 1;
		expected[i] = (double)KEYS / NODES;
	}
	for (unsigned i = 0; i < KEYS; i++) {
		uint8_t low_key[16] = {0}, high_key[16] = {0};
		size_t out;

		for (unsigned j = 0; j < 4; j++) {
			low_key[15 - j] = (uint8_t)(i >> 8 * j);
			high_key[j] = (uint8_t)(i >> 8 * j);
		}
		rendezvous_rank(low_key, nodes, NULL, NODES, &out, 1);
		first[out]++;
		rendezvous_rank(high_key, nodes, NULL, NODES, &out, 1);
		high[out]++;
	}
	assert_true(chi_square(first, expected, NODES) < 44); /* 15 degrees of freedom */
	assert_true(chi_square(high, expected, NODES) < 44);
}

static void percentages_are_shares(void **state)
{
	static const unsigned percents[] = {100, 200, 50, 400, 100, 1, 149};
	enum { NODES = COUNT(percents) };
	uint32_t nodes[NODES];
	unsigned first[NODES] = {0}, rest[NODES] = {0};
	double expected[NODES], expected_rest[NODES], n_rest = 0;
	struct rng r;

	(void)state;
	make_nodes(nodes, NODES);
	rng_seed(&r, 2);
	for (unsigned i = 0; i < KEYS; i++) {
		struct random_key k;
		size_t out[2];

		next_key(&r, &k);
		rendezvous_rank(k.b, nodes, percents, NODES, out, 2);
		first[out[0]]++;
		if (out[0] == 3) /* what the biggest would leave behind is shared by percentages, too */
			rest[out[1]]++, n_rest++;
	}
	for (size_t i = 0; i < NODES; i++) {
		expected[i] = (double)KEYS * percents[i] / 1000;
		expected_rest[i] = i == 3 ? 1 : n_rest * percents[i] / 600;
	}
	rest[3] = 1;
	assert_true(chi_square(first, expected, NODES) < 28); /* 6 degrees of freedom: once in 10000 */
	assert_true(chi_square(rest, expected_rest, NODES) < 28);
}

static void equal_percentages_change_nothing(void **state)
{
	enum { NODES = 9 };
	uint32_t nodes[NODES];
	unsigned percents[NODES];
	struct rng r;

	(void)state;
	make_nodes(nodes, NODES);
	rng_seed(&r, 3);
	for (size_t i = 0; i < NODES; i++)
		percents[i] = 70;
	for (unsigned i = 0; i < 2000; i++) {
		size_t plain[NODES], weighed[NODES];
		struct random_key k;

		next_key(&r, &k);
		assert_int_equal(rendezvous_rank(k.b, nodes, NULL, NODES, plain, NODES), NODES);
		assert_int_equal(rendezvous_rank(k.b, nodes, percents, NODES, weighed, NODES), NODES);
		assert_memory_equal(plain, weighed, sizeof(plain));
	}
}

/* Without one node, its keys move and no other; with one more, keys move to it and nowhere else. */
static void only_the_keys_of_one_that_leaves_move(void **state)
{
	enum { NODES = 12 };
	static const unsigned percents[NODES] = {100, 100, 300, 100, 50, 100, 100, 100, 100, 100, 20, 100};
	uint32_t nodes[NODES], fewer[NODES - 1];
	unsigned fewer_percents[NODES - 1], moved = 0;
	struct rng r;

	(void)state;
	make_nodes(nodes, NODES);
	for (size_t i = 0, j = 0; i < NODES; i++)
		if (i != 4) {
			fewer_percents[j] = percents[i];
			fewer[j++] = nodes[i];
		}
	rng_seed(&r, 4);
	for (unsigned i = 0; i < KEYS; i++) {
		struct random_key k;
		size_t all[NODES], less[NODES - 1];

		next_key(&r, &k);
		rendezvous_rank(k.b, nodes, i % 2 ? percents : NULL, NODES, all, NODES);
		rendezvous_rank(k.b, fewer, i % 2 ? fewer_percents : NULL, NODES - 1, less, NODES - 1);
		moved += all[0] == 4;
		for (size_t a = 0, b = 0; a < NODES; a++)
			if (all[a] != 4)
				assert_int_equal(nodes[all[a]], fewer[less[b++]]);
	}
	assert_true(moved > 0);
}

/* The order does not depend on how the nodes are listed, and the parts of a ranking agree with each other. */
static void one_order_for_everybody(void **state)
{
	enum { NODES = 20 };
	uint32_t nodes[NODES], backwards[NODES];
	struct rng r;

	(void)state;
	make_nodes(nodes, NODES);
	for (size_t i = 0; i < NODES; i++)
		backwards[i] = nodes[NODES - 1 - i];
	rng_seed(&r, 5);
	for (unsigned i = 0; i < 2000; i++) {
		size_t all[NODES], other[NODES], few[3];
		struct random_key k;

		next_key(&r, &k);
		rendezvous_rank(k.b, nodes, NULL, NODES, all, NODES);
		rendezvous_rank(k.b, backwards, NULL, NODES, other, NODES);
		assert_int_equal(rendezvous_rank(k.b, nodes, NULL, NODES, few, 3), 3);
		assert_memory_equal(few, all, sizeof(few));
		for (size_t j = 0; j < NODES; j++)
			assert_int_equal(nodes[all[j]], backwards[other[j]]);
		for (size_t j = 1; j < NODES; j++) {
			assert_true(rendezvous_outranks(k.b, nodes[all[j - 1]], nodes[all[j]]));
			assert_false(rendezvous_outranks(k.b, nodes[all[j]], nodes[all[j - 1]]));
			assert_true(rendezvous_weight(k.b, nodes[all[j - 1]]) > rendezvous_weight(k.b, nodes[all[j]]));
		}
	}
}

static void edges_of_what_may_be_asked(void **state)
{
	static const uint8_t key[16] = {1};
	uint32_t nodes[100];
	unsigned percents[100] = {0};
	size_t out[RENDEZVOUS_MOST];

	(void)state;
	make_nodes(nodes, COUNT(nodes));
	assert_int_equal(rendezvous_rank(key, nodes, NULL, 0, out, 5), 0);
	assert_int_equal(rendezvous_rank(key, nodes, NULL, 100, out, 0), 0);
	assert_int_equal(rendezvous_rank(key, nodes, NULL, 3, out, 5), 3);
	assert_int_equal(rendezvous_rank(key, nodes, NULL, 100, out, RENDEZVOUS_MOST), RENDEZVOUS_MOST);
	assert_int_equal(rendezvous_rank(key, nodes, percents, 100, out, 2), 2);
	percents[77] = 1;
	rendezvous_rank(key, nodes, percents, 100, out, 1);
	assert_int_equal(out[0], 77); /* all others have 0 */
	assert_false(rendezvous_outranks(key, 5, 5));
	percents[77] = UINT32_MAX; /* no overflow */
	percents[3] = 1;
	rendezvous_rank(key, nodes, percents, 100, out, 2);
	assert_true(out[0] == 77 && out[1] == 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors),
		cmocka_unit_test(vectors_are_in_the_specification),
		cmocka_unit_test(each_node_has_its_share),
		cmocka_unit_test(poor_keys_and_ids_are_no_worse),
		cmocka_unit_test(percentages_are_shares),
		cmocka_unit_test(equal_percentages_change_nothing),
		cmocka_unit_test(only_the_keys_of_one_that_leaves_move),
		cmocka_unit_test(one_order_for_everybody),
		cmocka_unit_test(edges_of_what_may_be_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
