/* Who fetches dies, fails, is cut off: one other goes on, and the rest read from that one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "proto/rendezvous.h"
#include "tests/play/wire.h"

#define OBJECT_BYTES 15000000
#define ORIGIN_BYTES_A_SECOND 5000000
#define TTFB (50 * WIRE_MS)

static const unsigned percents[] = {0, 10, 50, 99};
#define PERCENTS (sizeof(percents) / sizeof(percents[0]))

/* All want it, and somebody has so much of it: returns who fetches. */
static unsigned fetched_to(struct wire *w, unsigned object, unsigned n, unsigned percent)
{
	uint64_t wanted = (uint64_t)OBJECT_BYTES * percent / 100;
	int fetcher;

	for (unsigned i = 0; i < n; i++)
		wire_want(w, i, object, wire_now(w) + (mono_us)wire_dice(w, 20 * WIRE_MS));
	for (int i = 0; i < 10000; i++) {
		wire_pass(w, WIRE_MS);
		fetcher = wire_fetcher(w, object);
		if (fetcher >= 0 && wire_have(w, (unsigned)fetcher, object) >= wanted && i > 40)
			return (unsigned)fetcher;
	}
	fail_msg("nobody fetches it");
	return 0;
}

static void all_have(struct wire *w, unsigned object, unsigned n, unsigned without)
{
	assert_true(wire_finish(w, object, 60 * WIRE_S));
	for (unsigned i = 0; i < n; i++)
		assert_true(i == without || wire_is_there(w, i, object));
	assert_int_equal(wire_figures(w)->cycles, 0);
}

static void killed(unsigned n, unsigned percent, uint64_t seed)
{
	struct wire *w = wire_new(&(struct wire_settings){.nodes = n, .seed = seed});
	unsigned object = wire_object(w, OBJECT_BYTES, ORIGIN_BYTES_A_SECOND, TTFB);
	unsigned fetcher = fetched_to(w, object, n, percent);
	mono_us start = wire_now(w);

	assert_int_equal(wire_fetches(w, object), 1);
	wire_kill(w, fetcher);
	all_have(w, object, n, fetcher);
	assert_int_equal(wire_fetches(w, object), 2); /* exactly one successor */
	assert_true(wire_now(w) - start < 4 * WIRE_S);
	wire_free(w);
}

static void test_killed_asking_all(void **state)
{
	(void)state;
	for (size_t i = 0; i < PERCENTS; i++)
		for (uint64_t seed = 1; seed <= 5; seed++) {
			killed(3, percents[i], seed);
			killed(10, percents[i], seed);
			killed(16, percents[i], seed);
		}
}

static void test_killed_asking_homes(void **state)
{
	(void)state;
	for (size_t i = 0; i < PERCENTS; i++)
		for (uint64_t seed = 1; seed <= 4; seed++)
			killed(24, percents[i], seed);
	killed(60, 50, 9);
}

/* The origin breaks off for one node; the node itself lives, and says so. */
static void failed(unsigned n, unsigned percent, uint64_t seed)
{
	struct wire *w = wire_new(&(struct wire_settings){.nodes = n, .seed = seed});
	unsigned object = wire_object(w, OBJECT_BYTES, ORIGIN_BYTES_A_SECOND, TTFB);
	unsigned fetcher = fetched_to(w, object, n, percent);

	wire_fail(w, fetcher, object);
	all_have(w, object, n, fetcher);
	assert_int_equal(wire_fetches(w, object), 2);
	wire_free(w);
}

static void test_failed(void **state)
{
	(void)state;
	for (size_t i = 0; i < PERCENTS; i++)
		for (uint64_t seed = 1; seed <= 4; seed++) {
			failed(10, percents[i], seed);
			failed(24, percents[i], seed);
		}
}

/* Its cable is pulled: it goes on for itself, the others notice after a while, and one of them goes on for them. */
static void cut_off(unsigned n, uint64_t seed)
{
	struct wire *w = wire_new(&(struct wire_settings){.nodes = n, .seed = seed});
	unsigned object = wire_object(w, OBJECT_BYTES, ORIGIN_BYTES_A_SECOND, TTFB);
	unsigned fetcher = fetched_to(w, object, n, 30);

	for (unsigned i = 0; i < n; i++)
		if (i != fetcher) {
			wire_cut(w, i, fetcher, true);
			wire_cut(w, fetcher, i, true);
		}
	all_have(w, object, n, n);
	assert_int_equal(wire_fetches(w, object), 2);
	wire_free(w);
}

static void test_cut_off(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		cut_off(5, seed);
		cut_off(10, seed);
		cut_off(24, seed);
	}
}

/* One after the other: whoever fetches is killed, until two are left. */
static void test_killed_again_and_again(void **state)
{
	static const unsigned sizes[] = {8, 24};

	(void)state;
	for (size_t s = 0; s < 2; s++) {
		unsigned n = sizes[s];
		struct wire *w = wire_new(&(struct wire_settings){.nodes = n, .seed = 3});
		unsigned object = wire_object(w, OBJECT_BYTES, ORIGIN_BYTES_A_SECOND, TTFB);

		for (unsigned i = 0; i < n; i++)
			wire_want(w, i, object, wire_now(w));
		for (unsigned i = 0; i + 2 < n; i++) {
			int fetcher;

			wire_pass(w, 400 * WIRE_MS);
			fetcher = wire_fetcher(w, object);
			if (fetcher >= 0)
				wire_kill(w, (unsigned)fetcher);
		}
		assert_true(wire_finish(w, object, 60 * WIRE_S));
		assert_int_equal(wire_figures(w)->cycles, 0);
		wire_free(w);
	}
}

static unsigned first_home(struct wire *w, unsigned object, unsigned n)
{
	unsigned best = 0;

	for (unsigned i = 1; i < n; i++)
		if (rendezvous_outranks(wire_key(w, object)->b, wire_id(w, i), wire_id(w, best)))
			best = i;
	return best;
}

/* Who would decide is dead, and nobody knows it yet: the second home does. */
static void test_home_killed(void **state)
{
	unsigned n = 24;

	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct wire *w = wire_new(&(struct wire_settings){.nodes = n, .seed = seed});
		unsigned object = wire_object(w, OBJECT_BYTES, ORIGIN_BYTES_A_SECOND, TTFB);
		unsigned home = first_home(w, object, n);

		wire_kill(w, home);
		for (unsigned i = 0; i < n; i++)
			wire_want(w, i, object, wire_now(w) + (mono_us)wire_dice(w, 500 * WIRE_MS));
		all_have(w, object, n, home);
		assert_int_equal(wire_fetches(w, object), 1);
		wire_free(w);
	}
}

/* Kills amid loss: nobody hangs. */
static void test_killed_with_loss(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		unsigned n = seed % 2 ? 10 : 24;
		struct wire *w = wire_new(&(struct wire_settings){.nodes = n, .seed = seed});
		unsigned object = wire_object(w, OBJECT_BYTES, ORIGIN_BYTES_A_SECOND, TTFB);
		unsigned fetcher;

		wire_weather(w)->loss = 0.2;
		wire_weather(w)->spikes = 0.01;
		fetcher = fetched_to(w, object, n, 50);
		wire_kill(w, fetcher);
		all_have(w, object, n, fetcher);
		assert_true(wire_fetches(w, object) <= n / 2);
		wire_free(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_killed_asking_all),
		cmocka_unit_test(test_killed_asking_homes),
		cmocka_unit_test(test_failed),
		cmocka_unit_test(test_cut_off),
		cmocka_unit_test(test_home_killed),
		cmocka_unit_test(test_killed_again_and_again),
		cmocka_unit_test(test_killed_with_loss),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
