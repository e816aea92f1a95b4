/* Herds on a network that loses, doubles and overtakes: few fetches, never a cycle, and all get it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/play/wire.h"

#define OBJECT_BYTES 15000000
#define ORIGIN_BYTES_A_SECOND 5000000
#define TTFB (50 * WIRE_MS)

static unsigned herd(struct wire *w, unsigned n, mono_us spacing)
{
	unsigned object = wire_object(w, OBJECT_BYTES, ORIGIN_BYTES_A_SECOND, TTFB);

	for (unsigned i = 0; i < n; i++)
		wire_want(w, i, object, wire_now(w) + (mono_us)wire_dice(w, (uint64_t)spacing + 1));
	assert_true(wire_finish(w, object, 120 * WIRE_S));
	for (unsigned i = 0; i < n; i++)
		assert_true(wire_is_there(w, i, object));
	assert_int_equal(wire_figures(w)->cycles, 0);
	return wire_fetches(w, object);
}

/* N nodes want the same object of 3 s within 2 s. */
static double average(struct wire *w, unsigned n, double loss, unsigned rounds)
{
	unsigned sum = 0;

	wire_weather(w)->loss = loss;
	for (unsigned i = 0; i < rounds; i++)
		sum += herd(w, n, 2 * WIRE_S);
	return (double)sum / rounds;
}

struct row {
	unsigned n, rounds;
	double most[4]; /* fetches on average at 0, 1, 5 and 20 % loss */
};

static void table(const char *title, const struct row *rows, size_t n)
{
	static const double losses[4] = {0, 0.01, 0.05, 0.2};

	printf("# %s: fetches per herd at 0 / 1 / 5 / 20 %% loss\n", title);
	for (size_t i = 0; i < n; i++) {
		struct wire *w = wire_new(&(struct wire_settings){.nodes = rows[i].n, .seed = rows[i].n});
		double got[4];

		for (int j = 0; j < 4; j++)
			got[j] = average(w, rows[i].n, losses[j], rows[i].rounds);
		printf("# %4u nodes: %.2f / %.2f / %.2f / %.2f\n", rows[i].n, got[0], got[1], got[2], got[3]);
		for (int j = 0; j < 4; j++)
			assert_true(got[j] <= rows[i].most[j]);
		wire_free(w);
	}
}

static void test_asking_all(void **state)
{
	static const struct row rows[] = {
		{3, 40, {1.0, 1.1, 1.2, 1.7}},
		{10, 30, {1.0, 1.1, 1.5, 2.7}},
		{16, 20, {1.0, 1.3, 1.7, 3.0}},
	};

	(void)state;
	table("asking all", rows, sizeof(rows) / sizeof(rows[0]));
}

static void test_asking_homes(void **state)
{
	static const struct row rows[] = {
		{20, 20, {1.0, 1.1, 1.7, 4.0}},
		{50, 10, {1.0, 1.1, 1.7, 7.1}},
		{200, 2, {1.0, 1.5, 3.1, 27}},
	};

	(void)state;
	table("asking homes", rows, sizeof(rows) / sizeof(rows[0]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_asking_all),
		cmocka_unit_test(test_asking_homes),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
