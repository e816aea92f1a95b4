/* A herd: many nodes want the same new object. One of them fetches it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/play/wire.h"

#define OBJECT_BYTES 15000000
#define ORIGIN_BYTES_A_SECOND 5000000
#define TTFB (50 * WIRE_MS)

/* All n nodes within `spacing`: returns how many fetches it took. */
static unsigned herd(struct wire *w, unsigned n, mono_us spacing)
{
	unsigned object = wire_object(w, OBJECT_BYTES, ORIGIN_BYTES_A_SECOND, TTFB);

	for (unsigned i = 0; i < n; i++)
		wire_want(w, i, object, wire_now(w) + (mono_us)wire_dice(w, (uint64_t)spacing + 1));
	assert_true(wire_finish(w, object, 60 * WIRE_S));
	for (unsigned i = 0; i < n; i++)
		assert_true(wire_is_there(w, i, object));
	assert_int_equal(wire_figures(w)->cycles, 0);
	return wire_fetches(w, object);
}

static const mono_us spacings[] = {0, 100, 300, WIRE_MS, 3 * WIRE_MS, 30 * WIRE_MS, 300 * WIRE_MS, 2 * WIRE_S};

static void exactly_once(unsigned n, enum peer_lookup lookup, unsigned rounds)
{
	struct wire *w = wire_new(&(struct wire_settings){.nodes = n, .seed = n, .lookup = lookup});

	for (unsigned round = 0; round < rounds; round++)
		for (size_t i = 0; i < sizeof(spacings) / sizeof(spacings[0]); i++)
			assert_int_equal(herd(w, n, spacings[i]), 1);
	wire_free(w);
}

static void test_all_exactly_once(void **state)
{
	(void)state;
	exactly_once(2, PEER_LOOKUP_AUTO, 20);
	exactly_once(3, PEER_LOOKUP_AUTO, 20);
	exactly_once(10, PEER_LOOKUP_AUTO, 8);
	exactly_once(16, PEER_LOOKUP_AUTO, 5);
}

static void test_homes_exactly_once(void **state)
{
	(void)state;
	exactly_once(20, PEER_LOOKUP_AUTO, 3);
	exactly_once(50, PEER_LOOKUP_AUTO, 1);
}

static void test_homes_of_200_exactly_once(void **state)
{
	struct wire *w = wire_new(&(struct wire_settings){.nodes = 200, .seed = 200});

	(void)state;
	assert_int_equal(herd(w, 200, 0), 1);
	assert_int_equal(herd(w, 200, WIRE_MS), 1);
	assert_int_equal(herd(w, 200, 2 * WIRE_S), 1);
	wire_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_exactly_once),
		cmocka_unit_test(test_homes_exactly_once),
		cmocka_unit_test(test_homes_of_200_exactly_once),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
