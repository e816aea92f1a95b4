/* Nodes that do not agree who the members are, a network that falls apart and heals, datagrams that come twice, late, or from a recording. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/play/wire.h"

#define OBJECT_BYTES 5000000
#define ORIGIN_BYTES_A_SECOND 5000000
#define TTFB (50 * WIRE_MS)

static unsigned begin(struct wire *w, unsigned n, mono_us spacing)
{
	unsigned object = wire_object(w, OBJECT_BYTES, ORIGIN_BYTES_A_SECOND, TTFB);

	for (unsigned i = 0; i < n; i++)
		wire_want(w, i, object, wire_now(w) + (mono_us)wire_dice(w, (uint64_t)spacing + 1));
	return object;
}

static void end(struct wire *w, unsigned object, unsigned n)
{
	assert_true(wire_finish(w, object, 120 * WIRE_S));
	for (unsigned i = 0; i < n; i++)
		assert_true(wire_is_there(w, i, object));
	assert_int_equal(wire_figures(w)->cycles, 0);
}

static unsigned herd(struct wire *w, unsigned n, mono_us spacing)
{
	unsigned object = begin(w, n, spacing);

	end(w, object, n);
	return wire_fetches(w, object);
}

/* Each believes in another part of the others, some so few that they ask all, some so many that they ask homes. */
static void believe_anything(struct wire *w, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		unsigned first = (unsigned)wire_dice(w, n / 2), count = 2 + (unsigned)wire_dice(w, n - first - 1);

		wire_believe(w, i, first, count);
	}
}

static void differing(unsigned n, double loss, uint64_t seed)
{
	struct wire *w = wire_new(&(struct wire_settings){.nodes = n, .seed = seed});
	unsigned sum = 0;

	wire_weather(w)->loss = loss;
	wire_weather(w)->spikes = loss / 10;
	believe_anything(w, n);
	for (int i = 0; i < 5; i++)
		sum += herd(w, n, i % 2 ? 0 : 30 * WIRE_MS);
	assert_true(sum < 5 * n);
	wire_free(w);
}

static void test_differing_members(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 6; seed++) {
		differing(5, 0, seed);
		differing(12, 0.2, seed);
		differing(32, 0, seed);
		differing(32, 0.2, seed);
	}
}

/* The network falls apart somewhere else each 300 ms, with loss and members that differ; who fetches is killed now and then. */
static void chaos(unsigned n, uint64_t seed)
{
	struct wire *w = wire_new(&(struct wire_settings){.nodes = n, .seed = seed});
	unsigned objects[6];

	believe_anything(w, n);
	*wire_weather(w) =
		(struct wire_weather){.loss = 0.2, .twice = 0.1, .delay_min = 50, .delay_max = 3000, .spikes = 0.02};
	for (size_t i = 0; i < 6; i++) {
		objects[i] = begin(w, n, WIRE_S);
		for (int j = 0; j < 4; j++) {
			wire_heal(w);
			if (wire_dice(w, 3))
				wire_part(w, 1 + (unsigned)wire_dice(w, n - 1));
			else
				wire_cut(w, (unsigned)wire_dice(w, n), (unsigned)wire_dice(w, n), true);
			wire_pass(w, 300 * WIRE_MS);
		}
		if (i % 2) {
			unsigned victim = (unsigned)wire_dice(w, n);

			wire_kill(w, victim);
			wire_restart(w, victim);
		}
	}
	wire_heal(w);
	for (size_t i = 0; i < 6; i++)
		assert_true(wire_finish(w, objects[i], 120 * WIRE_S));
	assert_int_equal(wire_figures(w)->cycles, 0);
	wire_free(w);
}

static void test_chaos(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 10; seed++) {
		chaos(6, seed);
		chaos(14, seed);
		chaos(28, seed);
	}
}

static void parted(unsigned n)
{
	struct wire *w = wire_new(&(struct wire_settings){.nodes = n, .seed = n});
	unsigned object;

	assert_int_equal(herd(w, n, 20 * WIRE_MS), 1);
	wire_part(w, n / 3);
	wire_pass(w, 20 * WIRE_S); /* the others are dead for each */
	object = begin(w, n, 20 * WIRE_MS);
	end(w, object, n);
	/* One on the larger side; on the other each node finds itself cut off, and asks nobody. */
	assert_in_range(wire_fetches(w, object), 2, 1 + n / 3);
	wire_heal(w);
	wire_pass(w, 60 * WIRE_S);
	assert_int_equal(herd(w, n, 20 * WIRE_MS), 1);
	assert_int_equal(herd(w, n, 0), 1);
	wire_free(w);
}

static void test_partition_heals(void **state)
{
	(void)state;
	parted(9);
	parted(30);
}

/* In the middle of a herd. */
static void test_partition_in_a_herd(void **state)
{
	(void)state;
	for (unsigned n = 10; n <= 26; n += 16) {
		struct wire *w = wire_new(&(struct wire_settings){.nodes = n, .seed = n});
		unsigned object = begin(w, n, 300 * WIRE_MS);

		wire_pass(w, 400 * WIRE_MS);
		wire_part(w, n / 2);
		end(w, object, n);
		assert_in_range(wire_fetches(w, object), 1, 3);
		wire_free(w);
	}
}

static void test_doubled_and_overtaken(void **state)
{
	static const unsigned sizes[] = {3, 10, 16, 24};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct wire *w = wire_new(&(struct wire_settings){.nodes = sizes[i], .seed = i});

		wire_weather(w)->twice = 0.5;
		wire_weather(w)->delay_min = 10;
		wire_weather(w)->delay_max = 700;
		for (int j = 0; j < 10; j++)
			assert_int_equal(herd(w, sizes[i], (mono_us)wire_dice(w, 5000)), 1);
		wire_free(w);
	}
}

struct dropped {
	uint64_t replayed, unasked;
};

static void add_dropped(void *cookie, const struct peer_view *v)
{
	struct dropped *d = cookie;

	d->replayed += v->score->dropped[PEER_DROP_REPLAY];
	d->unasked += v->score->dropped[PEER_DROP_UNASKED];
}

static uint64_t replays_seen(struct wire *w, unsigned n)
{
	struct dropped d = {0, 0};

	for (unsigned i = 0; i < n; i++)
		peer_set_each(wire_set(w, i), add_dropped, &d);
	return d.replayed;
}

/* All that was said comes once more while the next herd is on its way: every one is dropped, and nothing is said for it. */
static void replayed(unsigned n)
{
	struct wire *w = wire_new(&(struct wire_settings){.nodes = n, .seed = n});
	uint64_t before, said;
	unsigned object;
	size_t copies;

	wire_record(w);
	assert_int_equal(herd(w, n, 20 * WIRE_MS), 1);
	before = replays_seen(w, n);
	said = wire_figures(w)->datagrams;
	copies = wire_replay(w);
	wire_pass(w, 10 * WIRE_MS);
	assert_int_equal(replays_seen(w, n) - before, copies);
	assert_in_range(wire_figures(w)->datagrams - said, 0, 2 * n); /* a ping may have been due */
	object = begin(w, n, 0);
	wire_replay(w);
	end(w, object, n);
	assert_int_equal(wire_fetches(w, object), 1);
	wire_free(w);
}

static void test_replayed(void **state)
{
	(void)state;
	replayed(6);
	replayed(16);
	replayed(24);
}

/* After a restart of half of them, which cannot know what their former processes have heard. */
static void test_replayed_after_restart(void **state)
{
	unsigned n = 10;
	struct wire *w = wire_new(&(struct wire_settings){.nodes = n, .seed = n});

	(void)state;
	wire_record(w);
	assert_int_equal(herd(w, n, 20 * WIRE_MS), 1);
	for (unsigned i = 0; i < n; i += 2) {
		wire_kill(w, i);
		wire_restart(w, i);
	}
	wire_pass(w, 3 * WIRE_S);
	wire_replay(w);
	assert_in_range(herd(w, n, 20 * WIRE_MS), 1, 2);
	wire_free(w);
}

struct traffic {
	uint64_t datagrams, bytes;
};

/* All but what is said when nobody asks: HELLO and PING, and their answers. */
static struct traffic traffic(struct wire *w)
{
	const struct wire_figures *f = wire_figures(w);
	struct traffic t = {0};

	for (unsigned type = 0; type < 128; type++) {
		if ((type & 63) == 1 || (type & 63) == 4)
			continue;
		t.datagrams += f->of_type[type];
		t.bytes += f->bytes_of_type[type];
	}
	return t;
}

static struct traffic since(struct wire *w, struct traffic was)
{
	struct traffic t;

	wire_pass(w, 5 * WIRE_MS);
	t = traffic(w);
	return (struct traffic){t.datagrams - was.datagrams, t.bytes - was.bytes};
}

/* What one miss costs that nobody shares; and one that all share. With 100 misses a second at each node, every byte goes out here and comes
 * in there. */
static void messages(unsigned n, unsigned lone_most, unsigned shared_most, unsigned kb_most)
{
	struct wire *w = wire_new(&(struct wire_settings){.nodes = n, .seed = n});
	unsigned object = wire_object(w, 100000, ORIGIN_BYTES_A_SECOND, TTFB);
	struct traffic was, lone, herds;

	wire_pass(w, 5 * WIRE_S); /* what was announced is */
	was = traffic(w);
	wire_want(w, 0, object, wire_now(w));
	assert_true(wire_finish(w, object, 10 * WIRE_S));
	lone = since(w, was);
	was = traffic(w);
	assert_int_equal(herd(w, n, 100 * WIRE_MS), 1);
	herds = since(w, was);
	printf("# %3u nodes: %u messages for a miss of one's own, %.1f for each of a herd; %.0f kB/s a node at 100 misses/s\n",
	       n, (unsigned)lone.datagrams, (double)herds.datagrams / n, (double)lone.bytes * 2 * 100 / 1000);
	assert_in_range(lone.datagrams, 1, lone_most);
	assert_true(herds.datagrams <= (uint64_t)shared_most * n);
	assert_true(lone.bytes * 2 * 100 / 1000 <= kb_most);
	wire_free(w);
}

static void test_messages(void **state)
{
	(void)state;
	messages(3, 4, 5, 110);
	messages(10, 18, 24, 480);
	messages(16, 30, 45, 800);
	messages(20, 6, 15, 190);
	messages(50, 6, 15, 190);
	messages(200, 6, 15, 190);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_differing_members),      cmocka_unit_test(test_chaos),
		cmocka_unit_test(test_partition_heals),        cmocka_unit_test(test_partition_in_a_herd),
		cmocka_unit_test(test_doubled_and_overtaken),  cmocka_unit_test(test_replayed),
		cmocka_unit_test(test_replayed_after_restart), cmocka_unit_test(test_messages),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
