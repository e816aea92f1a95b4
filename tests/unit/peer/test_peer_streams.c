#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "peer/peer_streams.h"

static struct peermsg_key key(uint8_t n)
{
	struct peermsg_key k;

	memset(k.b, n, sizeof(k.b));
	return k;
}

static void test_of_one(void **state)
{
	struct peer_streams *s = peer_streams_new(2, 64);
	struct peermsg_key a = key(1), b = key(2);

	(void)state;
	assert_false(peer_streams_is_full(s, &a));
	assert_true(peer_streams_begin(s, &a));
	assert_true(peer_streams_begin(s, &a));
	assert_true(peer_streams_is_full(s, &a));
	assert_false(peer_streams_begin(s, &a));
	assert_false(peer_streams_is_full(s, &b));
	assert_true(peer_streams_begin(s, &b));
	assert_int_equal(3, peer_streams_now(s));
	peer_streams_end(s, &a);
	assert_false(peer_streams_is_full(s, &a));
	assert_true(peer_streams_begin(s, &a));
	peer_streams_end(s, &a);
	peer_streams_end(s, &a);
	peer_streams_end(s, &b);
	assert_int_equal(0, peer_streams_now(s));
	peer_streams_free(s);
}

static void test_in_all(void **state)
{
	struct peer_streams *s = peer_streams_new(2, 5);
	struct peermsg_key k;

	(void)state;
	for (uint8_t i = 0; i < 5; i++) {
		k = key(i);
		assert_true(peer_streams_begin(s, &k));
	}
	k = key(9);
	assert_true(peer_streams_is_full(s, &k));
	assert_false(peer_streams_begin(s, &k));
	k = key(3);
	peer_streams_end(s, &k);
	k = key(9);
	assert_true(peer_streams_begin(s, &k));
	peer_streams_end(s, &k);
	for (uint8_t i = 0; i < 5; i++) {
		k = key(i);
		if (i != 3)
			peer_streams_end(s, &k);
	}
	assert_int_equal(0, peer_streams_now(s));
	peer_streams_free(s);
	peer_streams_free(NULL);
}

static void *churn(void *arg)
{
	struct peer_streams *s = arg;

	for (unsigned i = 0; i < 20000; i++) {
		struct peermsg_key k = key((uint8_t)(i % 5));

		if (peer_streams_begin(s, &k))
			peer_streams_end(s, &k);
	}
	return NULL;
}

static void test_threads(void **state)
{
	struct peer_streams *s = peer_streams_new(2, 3);
	pthread_t t[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(0, pthread_create(&t[i], NULL, churn, s));
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(0, peer_streams_now(s));
	peer_streams_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_of_one),
		cmocka_unit_test(test_in_all),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
