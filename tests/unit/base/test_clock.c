#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "node/base/clock.h"

static void system_clock_is_the_machines(void **state)
{
	mono_us mono = clock_mono(&clock_system);
	wall_ms wall = clock_wall(&clock_system);
	wall_ms second = (wall_ms)time(NULL) * 1000;

	(void)state;
	assert_true(wall >= second - 2 * DUR_SECOND && wall <= second + 2 * DUR_SECOND);
	for (int i = 0; i < 1000; i++) {
		mono_us now = clock_mono(&clock_system);

		assert_true(now >= mono && now < mono_after(mono, DUR_MINUTE));
		mono = now;
	}
}

static void fake_clock_moves_when_told(void **state)
{
	struct clock_fake f;
	mono_us mono;

	(void)state;
	clock_fake_init(&f, 1700000000000);
	mono = clock_mono(&f.clock);
	assert_true(mono > 0); /* 0 is "never happened" in many structs */
	assert_true(clock_mono(&f.clock) == mono);
	assert_true(clock_wall(&f.clock) == 1700000000000);
	clock_fake_pass(&f, DUR_HOUR + 5);
	assert_true(clock_mono(&f.clock) == mono + 3600005000);
	assert_true(clock_wall(&f.clock) == 1700003600005);
}

static void the_two_times_of_a_fake_clock_may_part(void **state)
{
	struct clock_fake f;

	(void)state;
	clock_fake_init(&f, 1000);
	f.wall_now -= 500; /* somebody set the clock back */
	clock_fake_pass(&f, 1);
	assert_true(clock_wall(&f.clock) == 501);
	assert_true(clock_mono(&f.clock) == 1001000);
}

static void lengths(void **state)
{
	(void)state;
	assert_true(DUR_DAY == 86400000);
	assert_true(DUR_DAY == 24 * DUR_HOUR && DUR_HOUR == 60 * DUR_MINUTE && DUR_MINUTE == 60 * DUR_SECOND);
	assert_true(mono_after(7, 2 * DUR_SECOND) == 2000007);
	assert_true(mono_after(0, 400 * DUR_DAY) < MONO_NEVER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(system_clock_is_the_machines),
		cmocka_unit_test(fake_clock_moves_when_told),
		cmocka_unit_test(the_two_times_of_a_fake_clock_may_part),
		cmocka_unit_test(lengths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
