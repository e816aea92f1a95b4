#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "peer/peer_score.h"

static void the_wait_is_learned(void **state)
{
	struct peer_score s = {0};

	(void)state;
	assert_int_equal(peer_score_wait_us(&s), 20000);
	peer_score_rtt(&s, 4000);
	assert_int_equal(s.srtt_us, 4000);
	assert_int_equal(s.rttvar_us, 2000);
	assert_int_equal(peer_score_wait_us(&s), 12000);
	peer_score_rtt(&s, 4000);
	assert_int_equal(s.rttvar_us, 1500);
	peer_score_rtt(&s, 12000); /* 1500 + (8000 - 1500) / 4; 4000 + 8000 / 8 */
	assert_int_equal(s.rttvar_us, 3125);
	assert_int_equal(s.srtt_us, 5000);
	assert_int_equal(peer_score_wait_us(&s), 17500);
}

static void the_wait_has_a_floor_and_a_cap(void **state)
{
	struct peer_score near = {0}, far = {0};

	(void)state;
	for (int i = 0; i < 100; i++) {
		peer_score_rtt(&near, 200);
		peer_score_rtt(&far, 80000);
	}
	assert_int_equal(peer_score_wait_us(&near), 2000);
	assert_int_equal(peer_score_wait_us(&far), 30000);
	peer_score_rtt(&near, -5); /* never a round trip of nothing */
	assert_true(near.srtt_us > 0);
}

/* Only successes below the floor are seen at first: a timeout must get the wait off it. */
static void timeouts_raise_the_wait_and_answers_lower_it(void **state)
{
	struct peer_score s = {0};

	(void)state;
	peer_score_timed_out(&s);
	assert_int_equal(peer_score_wait_us(&s), 20000); /* nothing known: nothing to raise */
	for (int i = 0; i < 50; i++)
		peer_score_rtt(&s, 300);
	assert_int_equal(peer_score_wait_us(&s), 2000);
	peer_score_timed_out(&s);
	assert_in_range(peer_score_wait_us(&s), 3000, 3004);
	peer_score_timed_out(&s);
	assert_in_range(peer_score_wait_us(&s), 4500, 4510);
	for (int i = 0; i < 30; i++)
		peer_score_timed_out(&s);
	assert_int_equal(peer_score_wait_us(&s), 30000);
	assert_in_range(s.srtt_us, 290, 310); /* a round trip is moved by round trips alone */
	for (int i = 0; i < 12; i++)
		peer_score_rtt(&s, 300);
	assert_int_equal(peer_score_wait_us(&s), 2000);
	assert_int_equal(s.timeouts, 33);
}

/* A network that has become slower than the wait: every answer is late, and teaches all the same. */
static void late_answers_teach(void **state)
{
	struct peer_score s = {0};

	(void)state;
	for (int i = 0; i < 50; i++)
		peer_score_rtt(&s, 300);
	for (int i = 0; i < 6 && peer_score_wait_us(&s) < 8000; i++) {
		peer_score_timed_out(&s);
		peer_score_rtt(&s, 8000);
	}
	assert_true(peer_score_wait_us(&s) > 8000);
}

static void answers_and_losses_are_counted(void **state)
{
	struct peer_score s = {0};

	(void)state;
	peer_score_answered(&s, PEERMSG_HIT);
	peer_score_answered(&s, PEERMSG_MISS);
	peer_score_answered(&s, PEERMSG_MISS);
	peer_score_answered(&s, PEERMSG_STATUSES); /* none of ours: counted nowhere */
	assert_int_equal(s.said[PEERMSG_HIT], 1);
	assert_int_equal(s.said[PEERMSG_MISS], 2);
	assert_true(s.loss == 0);
	for (int i = 0; i < 1000; i++) {
		if (i % 5)
			peer_score_answered(&s, PEERMSG_MISS);
		else
			peer_score_timed_out(&s);
	}
	assert_true(s.loss > 0.12 && s.loss < 0.28);
	for (int i = 0; i < 1000; i++)
		peer_score_timed_out(&s);
	assert_true(s.loss > 0.99 && s.loss <= 1);
}

static void histogram(void **state)
{
	static const struct {
		int64_t us;
		unsigned bucket;
	} rows[] = {{0, 0},   {63, 0},  {64, 1},  {95, 1},       {96, 2},       {127, 2},
		    {128, 3}, {191, 3}, {192, 4}, {2097151, 30}, {2097152, 31}, {INT64_MAX, 31}};
	struct peer_histogram h = {0};

	(void)state;
	assert_int_equal(peer_histogram_percentile(&h, 50), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t before = h.v[rows[i].bucket];

		peer_histogram_add(&h, rows[i].us);
		assert_int_equal(h.v[rows[i].bucket], before + 1);
	}
	h = (struct peer_histogram){0};
	for (int i = 0; i < 98; i++)
		peer_histogram_add(&h, 300);
	peer_histogram_add(&h, 5000);
	peer_histogram_add(&h, 70000);
	assert_int_equal(peer_histogram_percentile(&h, 0), 384);
	assert_int_equal(peer_histogram_percentile(&h, 50), 384); /* 256 to 384 */
	assert_int_equal(peer_histogram_percentile(&h, 98), 384);
	assert_int_equal(peer_histogram_percentile(&h, 99), 6144);
	assert_int_equal(peer_histogram_percentile(&h, 100), 98304);
}

static void ttfb_is_smoothed(void **state)
{
	struct peer_score s = {0};

	(void)state;
	peer_score_ttfb(&s, 8000);
	peer_score_ttfb(&s, 16000);
	assert_int_equal(s.ttfb_us, 9000);
	assert_int_equal(peer_histogram_percentile(&s.ttfb, 100), 16384);
}

static void words(void **state)
{
	(void)state;
	assert_string_equal(peer_false_word(PEER_FALSE_DIGEST), "digest");
	assert_string_equal(peer_false_word(PEER_FALSES), "?");
	assert_string_equal(peer_drop_word(PEER_DROP_NO_MEMBER), "no_member");
	assert_string_equal(peer_drop_word(PEER_DROPS), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_wait_is_learned),
		cmocka_unit_test(the_wait_has_a_floor_and_a_cap),
		cmocka_unit_test(timeouts_raise_the_wait_and_answers_lower_it),
		cmocka_unit_test(late_answers_teach),
		cmocka_unit_test(answers_and_losses_are_counted),
		cmocka_unit_test(histogram),
		cmocka_unit_test(ttfb_is_smoothed),
		cmocka_unit_test(words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
