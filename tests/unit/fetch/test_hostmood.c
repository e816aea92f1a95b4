#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "node/base/mem.h"
#include "node/fetch/hostmood.h"

#define HOST SPAN("https registry.test:443")
#define OTHER SPAN("https files.test:443")
#define SPARE true
#define NOTHING false
#define NOT_SAID ((dur_ms)-1)

/* A host, and a time that the test moves. */
struct scene {
	struct hostmoods *moods;
	mono_us now;
};

static int set_up(void **state)
{
	struct scene *s = NEW(struct scene);

	s->moods = hostmoods_new();
	s->now = mono_after(0, DUR_DAY);
	*state = s;
	return 0;
}

static int tear_down(void **state)
{
	struct scene *s = *state;

	hostmoods_free(s->moods);
	free(s);
	return 0;
}

static void pass(struct scene *s, dur_ms d)
{
	s->now = mono_after(s->now, d);
}

static enum hostmood_word ask(struct scene *s, bool spare, struct hostmood_ticket *t)
{
	enum reason why;

	return hostmood_ask(s->moods, HOST, spare, s->now, t, &why);
}

static enum hostmood_word ask_once(struct scene *s, bool spare)
{
	struct hostmood_ticket t = {0};
	enum hostmood_word word = ask(s, spare, &t);

	hostmood_done(s->moods, HOST, &t);
	return word;
}

static enum hostmood_change refuse(struct scene *s)
{
	struct hostmood_ticket t = {0};

	return hostmood_failed(s->moods, HOST, REASON_CONNECT_REFUSED, s->now, &t);
}

static enum hostmood_change answer(struct scene *s, int status, dur_ms retry_after)
{
	struct hostmood_ticket t = {0};

	return hostmood_answered(s->moods, HOST, status, retry_after, s->now, &t);
}

static void fail_enough(struct scene *s)
{
	for (int i = 1; i < HOSTMOOD_FAILURES; i++)
		assert_int_equal(refuse(s), HOSTMOOD_SAME);
	assert_int_equal(refuse(s), HOSTMOOD_WORSE);
}

static void all_is_well_at_first(void **state)
{
	struct hostmood_ticket t = {0};

	assert_int_equal(ask_once(*state, SPARE), HOSTMOOD_GO);
	assert_int_equal(hostmoods_held(((struct scene *)*state)->moods, 0), 0);
	assert_int_equal(hostmood_ask(NULL, HOST, SPARE, 0, &t, NULL), HOSTMOOD_GO);
	assert_int_equal(hostmood_failed(NULL, HOST, REASON_CONNECT_REFUSED, 0, &t), HOSTMOOD_SAME);
	assert_false(hostmoods_are_offline(NULL, false));
}

static void failures_in_a_row_hold_it_back(void **state)
{
	struct scene *s = *state;
	struct hostmood_ticket t = {0};
	enum reason why = REASON_NONE;

	for (int i = 1; i < HOSTMOOD_FAILURES; i++)
		refuse(s);
	assert_int_equal(ask_once(s, SPARE), HOSTMOOD_GO);
	assert_int_equal(refuse(s), HOSTMOOD_WORSE);
	assert_int_equal(hostmood_ask(s->moods, HOST, SPARE, s->now, &t, &why), HOSTMOOD_NO);
	assert_int_equal(why, REASON_CONNECT_REFUSED);
	assert_int_equal(hostmood_ask(s->moods, OTHER, SPARE, s->now, &t, &why), HOSTMOOD_GO);
	assert_int_equal(hostmoods_held(s->moods, s->now), 1);
}

static void a_success_in_between_clears(void **state)
{
	struct scene *s = *state;

	for (int i = 1; i < HOSTMOOD_FAILURES; i++)
		refuse(s);
	assert_int_equal(answer(s, 404, NOT_SAID), HOSTMOOD_SAME);
	for (int i = 1; i < HOSTMOOD_FAILURES; i++)
		refuse(s);
	assert_int_equal(ask_once(s, SPARE), HOSTMOOD_GO);
	refuse(s);
	assert_int_equal(ask_once(s, SPARE), HOSTMOOD_NO);
	assert_int_equal(answer(s, 200, NOT_SAID), HOSTMOOD_WELL);
	assert_int_equal(ask_once(s, SPARE), HOSTMOOD_GO);
}

static void the_pause_doubles_up_to_its_most(void **state)
{
	struct scene *s = *state;
	dur_ms pause = HOSTMOOD_PAUSE;

	fail_enough(s);
	for (int i = 0; i < 8; i++) {
		struct hostmood_ticket t = {0}, second = {0};

		pass(s, pause - 1);
		assert_int_equal(ask_once(s, SPARE), HOSTMOOD_NO);
		pass(s, 1);
		assert_int_equal(ask(s, SPARE, &t), HOSTMOOD_GO);
		assert_int_equal(ask(s, SPARE, &second), HOSTMOOD_NO); /* one trial at a time */
		assert_int_equal(hostmood_failed(s->moods, HOST, REASON_TLS_TIMEOUT, s->now, &t), HOSTMOOD_SAME);
		pause = 2 * pause < HOSTMOOD_PAUSE_MOST ? 2 * pause : HOSTMOOD_PAUSE_MOST;
	}
}

static void many_that_fail_together_lengthen_it_once(void **state)
{
	struct scene *s = *state;

	fail_enough(s);
	for (int i = 0; i < 50; i++)
		refuse(s);
	pass(s, HOSTMOOD_PAUSE);
	assert_int_equal(ask_once(s, SPARE), HOSTMOOD_GO);
}

static void who_has_nothing_waits_for_the_trial_and_hears_of_it(void **state)
{
	struct scene *s = *state;
	struct hostmood_ticket first = {0}, second = {0}, third = {0};

	fail_enough(s);
	assert_int_equal(ask(s, NOTHING, &first), HOSTMOOD_GO); /* at once: memory alone fails nobody */
	assert_int_equal(ask(s, NOTHING, &second), HOSTMOOD_WAIT);
	assert_int_equal(ask(s, NOTHING, &second), HOSTMOOD_WAIT);
	hostmood_failed(s->moods, HOST, REASON_CONNECT_TIMEOUT, s->now, &first);
	assert_int_equal(ask(s, NOTHING, &third), HOSTMOOD_GO); /* came after: tries for itself */
	assert_int_equal(ask(s, NOTHING, &second), HOSTMOOD_NO);
}

static void who_waits_goes_when_the_trial_connects(void **state)
{
	struct scene *s = *state;
	struct hostmood_ticket first = {0}, second = {0};

	fail_enough(s);
	assert_int_equal(ask(s, NOTHING, &first), HOSTMOOD_GO);
	assert_int_equal(ask(s, NOTHING, &second), HOSTMOOD_WAIT);
	assert_int_equal(hostmood_reached(s->moods, HOST, &first), HOSTMOOD_WELL);
	assert_int_equal(ask(s, NOTHING, &second), HOSTMOOD_GO);
	assert_int_equal(hostmoods_held(s->moods, s->now), 0);
}

static void a_trial_that_is_given_up_makes_room_for_the_next(void **state)
{
	struct scene *s = *state;
	struct hostmood_ticket first = {0}, second = {0};

	fail_enough(s);
	assert_int_equal(ask(s, NOTHING, &first), HOSTMOOD_GO);
	assert_int_equal(ask(s, NOTHING, &second), HOSTMOOD_WAIT);
	hostmood_done(s->moods, HOST, &first);
	hostmood_done(s->moods, HOST, &first);
	assert_int_equal(ask(s, NOTHING, &second), HOSTMOOD_GO);
	hostmood_failed(s->moods, HOST, REASON_ABORTED, s->now, &second);
	assert_int_equal(ask_once(s, NOTHING), HOSTMOOD_GO);
}

static void an_erring_host_is_asked_for_what_is_not_stored(void **state)
{
	static const int bad[] = {500, 502, 503, 504, 429};
	struct scene *s = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		answer(s, bad[i], NOT_SAID);
	assert_int_equal(ask_once(s, SPARE), HOSTMOOD_NO);
	for (int i = 0; i < 3; i++) {
		struct hostmood_ticket t = {0};

		assert_int_equal(ask(s, NOTHING, &t), HOSTMOOD_GO);
		assert_false(t.despite_pause);
	}
	/* A connection alone does not make it well. */
	assert_int_equal(hostmood_reached(s->moods, HOST, &(struct hostmood_ticket){0}), HOSTMOOD_SAME);
	assert_int_equal(ask_once(s, SPARE), HOSTMOOD_NO);
	assert_int_equal(answer(s, 304, NOT_SAID), HOSTMOOD_WELL);
}

static void retry_after_holds_back_what_is_stored_alone(void **state)
{
	struct scene *s = *state;
	struct hostmood_ticket t = {0};

	answer(s, 429, 20 * DUR_SECOND);
	assert_int_equal(ask_once(s, SPARE), HOSTMOOD_NO);
	assert_int_equal(ask(s, NOTHING, &t), HOSTMOOD_GO);
	assert_true(t.despite_pause);
	answer(s, 200, NOT_SAID); /* another URL of it */
	assert_int_equal(ask_once(s, SPARE), HOSTMOOD_NO);
	pass(s, 20 * DUR_SECOND - 1);
	assert_int_equal(ask_once(s, SPARE), HOSTMOOD_NO);
	pass(s, 1);
	assert_int_equal(ask_once(s, SPARE), HOSTMOOD_GO);
}

static void retry_after_has_a_most_and_its_statuses(void **state)
{
	struct scene *s = *state;

	answer(s, 500, DUR_HOUR);
	answer(s, 200, DUR_HOUR);
	assert_int_equal(ask_once(s, SPARE), HOSTMOOD_GO);
	answer(s, 503, 100 * DUR_DAY);
	pass(s, HOSTMOOD_RETRY_MOST - 1);
	assert_int_equal(ask_once(s, SPARE), HOSTMOOD_NO);
	assert_int_equal(hostmoods_held(s->moods, s->now), 1);
	pass(s, 1);
	assert_int_equal(ask_once(s, SPARE), HOSTMOOD_GO);
	assert_int_equal(hostmoods_held(s->moods, s->now), 0);
}

static void old_failures_are_forgotten(void **state)
{
	struct scene *s = *state;

	fail_enough(s);
	pass(s, HOSTMOOD_FORGET);
	assert_int_equal(hostmoods_held(s->moods, s->now), 0);
	assert_int_equal(ask_once(s, SPARE), HOSTMOOD_GO);
	for (int i = 1; i < HOSTMOOD_FAILURES; i++)
		refuse(s);
	pass(s, HOSTMOOD_FORGET);
	refuse(s); /* in no row with the others */
	assert_int_equal(ask_once(s, SPARE), HOSTMOOD_GO);
}

static void reasons_of_ours_blame_nobody(void **state)
{
	static const enum reason ours[] = {REASON_DENIED_ADDRESS, REASON_ABORTED,         REASON_SHUTTING_DOWN,
					   REASON_NO_MEMORY,      REASON_REPLY_TOO_LARGE, REASON_READ_TIMEOUT,
					   REASON_BAD_RESPONSE};
	struct scene *s = *state;

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		for (int n = 0; n < 2 * HOSTMOOD_FAILURES; n++)
			hostmood_failed(s->moods, HOST, ours[i], s->now, &(struct hostmood_ticket){0});
	assert_int_equal(ask_once(s, SPARE), HOSTMOOD_GO);
	assert_true(hostmood_blames(REASON_CERT_EXPIRED) && hostmood_blames(REASON_FIRST_BYTE_TIMEOUT));
}

static void hosts_are_bounded_and_the_oldest_goes(void **state)
{
	struct scene *s = *state;
	char name[32];

	fail_enough(s);
	for (int i = 0; i < HOSTMOOD_HOSTS; i++) {
		snprintf(name, sizeof(name), "https %d.test:443", i);
		for (int n = 0; n < HOSTMOOD_FAILURES; n++)
			hostmood_failed(s->moods, span_str(name), REASON_DNS_NO_NAME, s->now,
					&(struct hostmood_ticket){0});
	}
	assert_int_equal(hostmoods_held(s->moods, s->now), HOSTMOOD_HOSTS);
	assert_int_equal(ask_once(s, SPARE), HOSTMOOD_GO);
}

static void offline_is_what_was_said_last(void **state)
{
	struct hostmoods *m = ((struct scene *)*state)->moods;

	assert_true(hostmoods_are_offline(m, true));
	assert_false(hostmoods_are_offline(m, false));
	hostmoods_set_offline(m, HOSTMOOD_OFFLINE);
	assert_true(hostmoods_are_offline(m, false));
	hostmoods_set_offline(m, HOSTMOOD_ONLINE);
	assert_false(hostmoods_are_offline(m, true));
	hostmoods_set_offline(m, HOSTMOOD_AS_CONFIGURED);
	assert_true(hostmoods_are_offline(m, true));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(all_is_well_at_first),
		TEST(failures_in_a_row_hold_it_back),
		TEST(a_success_in_between_clears),
		TEST(the_pause_doubles_up_to_its_most),
		TEST(many_that_fail_together_lengthen_it_once),
		TEST(who_has_nothing_waits_for_the_trial_and_hears_of_it),
		TEST(who_waits_goes_when_the_trial_connects),
		TEST(a_trial_that_is_given_up_makes_room_for_the_next),
		TEST(an_erring_host_is_asked_for_what_is_not_stored),
		TEST(retry_after_holds_back_what_is_stored_alone),
		TEST(retry_after_has_a_most_and_its_statuses),
		TEST(old_failures_are_forgotten),
		TEST(reasons_of_ours_blame_nobody),
		TEST(hosts_are_bounded_and_the_oldest_goes),
		TEST(offline_is_what_was_said_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
