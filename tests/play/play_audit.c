/* Audits: a miss that was none is found, one that was is not, and neither counts anywhere else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/play/wire.h"

static const struct key_variant no_variant;

static void add_keys(void *cookie, const struct peer_view *v)
{
	uint64_t *sum = cookie;

	*sum += v->score->keys_sent + v->score->keys_received + v->score->timeouts;
}

static uint64_t keys(struct wire *w, unsigned n)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < n; i++)
		peer_set_each(wire_set(w, i), add_keys, &sum);
	return sum;
}

static struct peer_audits audit(struct wire *w, unsigned object)
{
	peer_set_audit(wire_set(w, 0), wire_key(w, object), &no_variant, wire_now(w));
	wire_stir(w, 0);
	wire_pass(w, 50 * WIRE_MS);
	return peer_set_audits(wire_set(w, 0));
}

/* By homes: the hints were lost, so that the directory does not know it. */
static void audited(unsigned n)
{
	struct wire *w = wire_new(&(struct wire_settings){.nodes = n, .seed = n});
	unsigned nowhere = wire_object(w, 1000, 1000000, WIRE_MS), hidden = wire_object(w, 1000, 1000000, WIRE_MS);
	struct peer_audits a;
	uint64_t before;

	wire_weather(w)->loss = 1;
	wire_has(w, n - 1, hidden);
	wire_pass(w, 10 * WIRE_MS);
	wire_weather(w)->loss = 0;
	before = keys(w, n);
	a = audit(w, nowhere);
	assert_int_equal(a.asked, 1);
	assert_int_equal(a.found, 0);
	a = audit(w, hidden);
	assert_int_equal(a.asked, 2);
	assert_int_equal(a.found, 1);
	assert_int_equal(keys(w, n), before);
	wire_free(w);
}

static void test_audits(void **state)
{
	(void)state;
	audited(3);
	audited(24);
}

/* What is only on its way there was no false miss. */
static void test_what_is_still_coming_does_not_count(void **state)
{
	struct wire *w = wire_new(&(struct wire_settings){.nodes = 3, .seed = 1});
	unsigned object = wire_object(w, 5000000, 1000000, WIRE_MS);

	(void)state;
	wire_want(w, 1, object, wire_now(w));
	wire_pass(w, 500 * WIRE_MS);
	assert_int_equal(audit(w, object).found, 0);
	assert_int_equal(peer_set_audits(wire_set(w, 0)).asked, 1);
	wire_free(w);
}

/* Those that are still asked end with the set. */
static void test_the_set_ends_first(void **state)
{
	struct wire *w = wire_new(&(struct wire_settings){.nodes = 3, .seed = 1});
	unsigned object = wire_object(w, 1000, 1000000, WIRE_MS);

	(void)state;
	for (int i = 0; i < 40; i++)
		peer_set_audit(wire_set(w, 0), wire_key(w, object), &no_variant, wire_now(w));
	wire_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_audits),
		cmocka_unit_test(test_what_is_still_coming_does_not_count),
		cmocka_unit_test(test_the_set_ends_first),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
