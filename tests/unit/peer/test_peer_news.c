#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "peer/peer_news.h"

static void put(struct peer_news *news, unsigned n, enum peer_news_kind kind)
{
	uint8_t key[PEERMSG_KEY_BYTES] = {0};

	memcpy(key, &n, sizeof(n));
	peer_news_put(news, kind, key);
}

static unsigned number(const struct peer_news_item *item)
{
	unsigned n;

	memcpy(&n, item->key.b, sizeof(n));
	return n;
}

static void test_nothing_is_kept_for_nobody(void **state)
{
	struct peer_news *news = peer_news_new();
	struct peer_news_item out[2];

	(void)state;
	assert_false(peer_news_is_wanted(news));
	put(news, 1, PEER_NEWS_LEFT);
	assert_int_equal(peer_news_take(news, out, 2), 0);
	peer_news_want(news, true);
	assert_true(peer_news_is_wanted(news));
	put(news, 2, PEER_NEWS_LEFT);
	peer_news_want(news, false);
	put(news, 3, PEER_NEWS_LEFT);
	assert_int_equal(peer_news_take(news, out, 2), 1);
	assert_int_equal(number(&out[0]), 2);
	assert_int_equal(peer_news_lost(news), 0);
	peer_news_free(news);
	peer_news_free(NULL);
}

static void test_in_order_round_the_ring(void **state)
{
	struct peer_news *news = peer_news_new();
	struct peer_news_item out[100];
	unsigned in = 0, seen = 0;

	(void)state;
	peer_news_want(news, true);
	while (seen < 3 * PEER_NEWS_ROOM) {
		size_t n;

		for (unsigned i = 0; i < 70; i++, in++)
			put(news, in, in % 3 ? PEER_NEWS_LEFT : PEER_NEWS_STORED);
		n = peer_news_take(news, out, 100);
		assert_int_equal(n, 70);
		for (size_t i = 0; i < n; i++, seen++) {
			assert_int_equal(number(&out[i]), seen);
			assert_int_equal(out[i].kind, seen % 3 ? PEER_NEWS_LEFT : PEER_NEWS_STORED);
		}
	}
	peer_news_free(news);
}

static void test_a_burst_is_cut(void **state)
{
	struct peer_news *news = peer_news_new();
	static struct peer_news_item out[PEER_NEWS_ROOM + 1];

	(void)state;
	peer_news_want(news, true);
	for (unsigned i = 0; i < PEER_NEWS_ROOM + 10; i++)
		put(news, i, PEER_NEWS_LEFT);
	assert_int_equal(peer_news_lost(news), 10);
	assert_int_equal(peer_news_take(news, out, 1), 1);
	put(news, 7777, PEER_NEWS_LANDED);
	put(news, 8888, PEER_NEWS_LANDED);
	assert_int_equal(peer_news_lost(news), 11);
	assert_int_equal(peer_news_take(news, out, PEER_NEWS_ROOM + 1), PEER_NEWS_ROOM);
	assert_int_equal(number(&out[0]), 1);
	assert_int_equal(number(&out[PEER_NEWS_ROOM - 1]), 7777);
	assert_int_equal(peer_news_take(news, out, 1), 0);
	peer_news_free(news);
}

#define EACH 20000

static void *put_many(void *arg)
{
	for (unsigned i = 0; i < EACH; i++)
		put(arg, i, PEER_NEWS_LEFT);
	return NULL;
}

static void test_from_many_threads(void **state)
{
	struct peer_news *news = peer_news_new();
	struct peer_news_item out[64];
	pthread_t threads[3];
	size_t taken = 0, n;

	(void)state;
	peer_news_want(news, true);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, put_many, news), 0);
	for (int i = 0; i < 1000; i++)
		taken += peer_news_take(news, out, 64);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	while ((n = peer_news_take(news, out, 64)) != 0)
		taken += n;
	assert_int_equal(taken + peer_news_lost(news), 3 * EACH);
	peer_news_free(news);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_is_kept_for_nobody),
		cmocka_unit_test(test_in_order_round_the_ring),
		cmocka_unit_test(test_a_burst_is_cut),
		cmocka_unit_test(test_from_many_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
