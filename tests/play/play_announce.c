/* Homes that do not know who holds what, since they have begun anew, were away, or have lost hints: holders tell them again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "proto/rendezvous.h"
#include "tests/play/wire.h"

#define NODES 24
#define HINT 3
#define HOUR (3600 * WIRE_S)

static void homes_of(struct wire *w, unsigned object, unsigned n, unsigned out[2])
{
	const uint8_t *key = wire_key(w, object)->b;

	out[0] = rendezvous_outranks(key, wire_id(w, 1), wire_id(w, 0));
	out[1] = !out[0];
	for (unsigned i = 2; i < n; i++) {
		if (rendezvous_outranks(key, wire_id(w, i), wire_id(w, out[0]))) {
			out[1] = out[0];
			out[0] = i;
		} else if (rendezvous_outranks(key, wire_id(w, i), wire_id(w, out[1]))) {
			out[1] = i;
		}
	}
}

static bool is_home(const unsigned homes[2], unsigned i)
{
	return homes[0] == i || homes[1] == i;
}

static unsigned other_than(const unsigned homes[2], unsigned from)
{
	while (is_home(homes, from))
		from++;
	return from;
}

static unsigned held_by(struct wire *w, unsigned node)
{
	unsigned object = wire_object(w, 1000, 1000000, WIRE_MS);

	wire_has(w, node, object);
	return object;
}

/* How often the origin is asked when one that has it not wants it. */
static unsigned fetches_for(struct wire *w, unsigned node, unsigned object)
{
	wire_want(w, node, object, wire_now(w));
	assert_true(wire_finish(w, object, 10 * WIRE_S));
	return wire_fetches(w, object);
}

/* Both homes begin anew: nobody else knows. */
static void test_homes_that_begin_anew(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct wire *w = wire_new(&(struct wire_settings){.nodes = NODES, .seed = seed});
		unsigned at_once = wire_object(w, 1000, 1000000, WIRE_MS), homes[2], object, holder;

		wire_pass(w, 10 * WIRE_S);
		for (unsigned tries = 0;; tries++) { /* one whose homes are others than its holder */
			object = wire_object(w, 1000, 1000000, WIRE_MS);
			homes_of(w, object, NODES, homes);
			if (!is_home(homes, 0) && !is_home(homes, 1))
				break;
			assert_true(tries < 100);
		}
		holder = 0;
		wire_has(w, holder, object);
		wire_pass(w, WIRE_S);
		for (int i = 0; i < 2; i++) {
			wire_kill(w, homes[i]);
			wire_restart(w, homes[i]);
		}
		wire_pass(w, 10 * WIRE_S);
		assert_int_equal(fetches_for(w, 1, object), 0);
		assert_int_equal(fetches_for(w, 1, at_once), 1); /* a fetch would have been seen */
		wire_free(w);
	}
}

/* The holder itself begins anew, and still has it: homes have forgotten it, as they must. */
static void test_a_holder_that_begins_anew(void **state)
{
	struct wire *w = wire_new(&(struct wire_settings){.nodes = NODES, .seed = 5});
	unsigned object, homes[2], asker;

	(void)state;
	wire_pass(w, 10 * WIRE_S);
	object = held_by(w, 3);
	homes_of(w, object, NODES, homes);
	asker = other_than(homes, 4);
	wire_reboot(w, 3);
	wire_pass(w, 10 * WIRE_S);
	assert_int_equal(fetches_for(w, asker, object), 0);
	wire_free(w);
}

/* Stored while both homes were cut off: they hear of it when the network is whole again. */
static void test_homes_that_were_away(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct wire *w = wire_new(&(struct wire_settings){.nodes = NODES, .seed = seed});
		unsigned object, homes[2], holder, asker;

		wire_pass(w, 10 * WIRE_S);
		object = wire_object(w, 1000, 1000000, WIRE_MS);
		homes_of(w, object, NODES, homes);
		holder = other_than(homes, 0);
		asker = other_than(homes, holder + 1);
		for (int i = 0; i < 2; i++)
			for (unsigned k = 0; k < NODES; k++) {
				wire_cut(w, homes[i], k, true);
				wire_cut(w, k, homes[i], true);
			}
		wire_pass(w, 40 * WIRE_S); /* dead for all */
		wire_has(w, holder, object);
		wire_heal(w);
		wire_pass(w, 60 * WIRE_S);
		assert_int_equal(fetches_for(w, asker, object), 0);
		wire_free(w);
	}
}

static uint64_t announced(struct wire *w, unsigned from, unsigned to)
{
	struct peer_view v;

	assert_true(peer_set_find(wire_set(w, from), wire_id(w, to), &v));
	return v.score->announced;
}

/* 1500 objects, one home of 24: its share of them, in full datagrams, no more than 100 a second. */
static void test_pace_and_batches(void **state)
{
	struct wire *w = wire_new(&(struct wire_settings){.nodes = NODES, .seed = 9});
	unsigned share = 0, homes[2];
	uint64_t before, sent, keys;
	mono_us began;

	(void)state;
	wire_pass(w, 10 * WIRE_S);
	for (int i = 0; i < 1500; i++) {
		homes_of(w, held_by(w, 0), NODES, homes);
		share += is_home(homes, 7);
	}
	wire_pass(w, WIRE_S);
	keys = announced(w, 0, 7);
	wire_kill(w, 7);
	wire_restart(w, 7);
	before = wire_figures(w)->of_type[HINT];
	began = wire_now(w);
	while (announced(w, 0, 7) == keys) {
		wire_pass(w, WIRE_MS);
		assert_true(wire_now(w) - began < 10 * WIRE_S);
	}
	wire_pass(w, WIRE_S);
	sent = wire_figures(w)->of_type[HINT] - before;
	printf("# %u keys of a home that has begun anew: %u datagrams\n", share, (unsigned)sent);
	assert_int_equal(announced(w, 0, 7) - keys, share);
	assert_in_range(sent, (share + 44) / 45, share / 38 + 1);
	wire_free(w);
}

static void test_no_more_than_a_hundred_a_second(void **state)
{
	struct wire *w = wire_new(&(struct wire_settings){.nodes = 5, .seed = 9, .lookup = PEER_LOOKUP_HOME});
	uint64_t most = 0;

	(void)state;
	wire_pass(w, 10 * WIRE_S);
	for (int i = 0; i < 2000; i++)
		held_by(w, 0);
	wire_pass(w, WIRE_S);
	for (unsigned i = 1; i < 5; i++) {
		wire_kill(w, i);
		wire_restart(w, i);
	}
	for (int i = 0; i < 100; i++) { /* of 100 ms */
		uint64_t was = wire_figures(w)->of_type[HINT];

		wire_pass(w, 100 * WIRE_MS);
		if (wire_figures(w)->of_type[HINT] - was > most)
			most = wire_figures(w)->of_type[HINT] - was;
	}
	assert_in_range(most, 9, 11);
	for (unsigned i = 1; i < 5; i++)
		assert_true(announced(w, 0, i) > 500);
	wire_free(w);
}

/* All hints were lost, and nobody has begun anew: within six hours and a half the homes know. */
static void test_drift_is_mended(void **state)
{
	struct wire *w = wire_new(&(struct wire_settings){.nodes = 4, .seed = 4, .lookup = PEER_LOOKUP_HOME});
	unsigned object, homes[2], holder, asker;

	(void)state;
	wire_pass(w, 10 * WIRE_S);
	object = wire_object(w, 1000, 1000000, WIRE_MS);
	homes_of(w, object, 4, homes);
	holder = other_than(homes, 0);
	asker = other_than(homes, holder + 1);
	wire_weather(w)->loss = 1;
	wire_has(w, holder, object);
	wire_pass(w, 10 * WIRE_MS);
	wire_weather(w)->loss = 0;
	wire_pass(w, 5 * HOUR);
	assert_int_equal(announced(w, holder, homes[0]), 0);
	wire_pass(w, 2 * HOUR);
	assert_int_equal(announced(w, holder, homes[0]), 1);
	assert_int_equal(announced(w, holder, homes[1]), 1);
	assert_int_equal(fetches_for(w, asker, object), 0);
	wire_free(w);
}

/* What a node has evicted it is not asked for any more: the homes have heard it. Had they not, it would be found gone. */
static void test_what_is_evicted_is_named_no_more(void **state)
{
	(void)state;
	for (int told = 0; told < 2; told++) {
		struct wire *w = wire_new(&(struct wire_settings){.nodes = NODES, .seed = 6});
		unsigned homes[2], object, other, asker;

		wire_pass(w, 10 * WIRE_S);
		for (unsigned tries = 0;; tries++) {
			object = wire_object(w, 1000, 1000000, WIRE_MS);
			homes_of(w, object, NODES, homes);
			if (!is_home(homes, 3) && !is_home(homes, 4))
				break;
			assert_true(tries < 100);
		}
		asker = other_than(homes, 5);
		wire_has(w, 3, object);
		wire_pass(w, WIRE_S);
		wire_evict(w, 3, object, told);
		wire_pass(w, WIRE_S);
		assert_int_equal(fetches_for(w, asker, object), 1);
		assert_int_equal(wire_figures(w)->refused_gone, !told);

		other = held_by(w, 3); /* of two holders the other one is left */
		wire_has(w, 4, other);
		wire_pass(w, WIRE_S);
		wire_evict(w, 3, other, true);
		wire_pass(w, WIRE_S);
		homes_of(w, other, NODES, homes);
		assert_int_equal(fetches_for(w, other_than(homes, 5), other), 0);
		assert_int_equal(wire_figures(w)->refused_gone, !told);
		wire_free(w);
	}
}

/* Where all are asked there is no directory, and nothing is said. */
static void test_nothing_is_said_where_all_are_asked(void **state)
{
	struct wire *w = wire_new(&(struct wire_settings){.nodes = 5, .seed = 1});

	(void)state;
	for (int i = 0; i < 100; i++)
		held_by(w, 0);
	wire_kill(w, 1);
	wire_restart(w, 1);
	wire_pass(w, 30 * WIRE_S);
	assert_int_equal(wire_figures(w)->of_type[HINT], 0);
	wire_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_homes_that_begin_anew),
		cmocka_unit_test(test_a_holder_that_begins_anew),
		cmocka_unit_test(test_homes_that_were_away),
		cmocka_unit_test(test_pace_and_batches),
		cmocka_unit_test(test_no_more_than_a_hundred_a_second),
		cmocka_unit_test(test_drift_is_mended),
		cmocka_unit_test(test_what_is_evicted_is_named_no_more),
		cmocka_unit_test(test_nothing_is_said_where_all_are_asked),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
