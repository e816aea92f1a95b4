#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "node/base/rng.h"

static void the_same_seed_gives_the_same_numbers(void **state)
{
	struct rng a, b, c;
	int differ = 0;

	(void)state;
	rng_seed(&a, 42);
	rng_seed(&b, 42);
	rng_seed(&c, 43);
	for (int i = 0; i < 1000; i++) {
		uint64_t v = rng_next(&a);

		assert_true(v == rng_next(&b));
		differ += v != rng_next(&c);
	}
	assert_int_equal(differ, 1000);
}

/* splitmix64's and xoshiro256**'s own published outputs, so that a seed in a bug report means the same for ever. */
static void known_numbers(void **state)
{
	struct rng r = {.s = {1, 2, 3, 4}};

	(void)state;
	assert_true(rng_next(&r) == 11520);
	assert_true(rng_next(&r) == 0);
	assert_true(rng_next(&r) == 1509978240);
	assert_true(rng_next(&r) == 1215971899390074240);
	rng_seed(&r, 1234567);
	assert_true(r.s[0] == 6457827717110365317u);
	assert_true(r.s[1] == 3203168211198807973u);
}

static void seed_0_is_as_good_as_any(void **state)
{
	struct rng r;
	uint64_t any = 0;

	(void)state;
	rng_seed(&r, 0);
	for (int i = 0; i < 4; i++)
		any |= r.s[i];
	assert_true(any != 0); /* all zero would stay zero */
	assert_true(rng_next(&r) != rng_next(&r));
}

static void below_is_below_and_even(void **state)
{
	enum { N = 10, ROUNDS = 100000 };
	unsigned count[N] = {0};
	struct rng r;

	(void)state;
	rng_seed(&r, 7);
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t v = rng_below(&r, N);

		assert_true(v < N);
		count[v]++;
	}
	for (int i = 0; i < N; i++) /* ten standard deviations on either side */
		assert_in_range(count[i], ROUNDS / N - 950, ROUNDS / N + 950);
	assert_true(rng_below(&r, 1) == 0);
	assert_true(rng_below(&r, UINT64_MAX) < UINT64_MAX);
}

static void secrets_fill_all_bytes_and_no_more(void **state)
{
	unsigned char seen[64] = {0}, bytes[66];

	(void)state;
	for (int i = 0; i < 100; i++) {
		memset(bytes, 0, sizeof(bytes));
		rng_secret(bytes + 1, 64);
		assert_int_equal(bytes[0], 0);
		assert_int_equal(bytes[65], 0);
		for (int j = 0; j < 64; j++)
			seen[j] |= bytes[j + 1];
	}
	for (int j = 0; j < 64; j++)
		assert_int_equal(seen[j], 0xff); /* every bit came up once */
	rng_secret(NULL, 0);
	assert_true(rng_secret_u64() != rng_secret_u64());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_seed_gives_the_same_numbers),
		cmocka_unit_test(known_numbers),
		cmocka_unit_test(seed_0_is_as_good_as_any),
		cmocka_unit_test(below_is_below_and_even),
		cmocka_unit_test(secrets_fill_all_bytes_and_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
