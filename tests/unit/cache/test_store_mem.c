#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "node/base/mem.h"
#include "node/base/rng.h"
#include "node/cache/store_mem.h"

static struct entry *look_up(struct index *x, const struct index_ask *ask, mono_us now)
{
	bool other_variant;

	return index_lookup(x, ask, now, &other_variant);
}

struct memory {
	struct store *store;
	struct index *index;
};

static void on_removed(void *cookie, struct entry *e)
{
	struct memory *m = cookie;

	m->store->ops->drop(m->store, e);
}

static void memory_open_by(struct memory *m, uint64_t size, const struct evict_policy *policy)
{
	m->index = index_new(on_removed, m);
	m->store = store_mem_new(size, policy);
	store_mem_set_index(m->store, m->index);
}

static void memory_open(struct memory *m, uint64_t size)
{
	memory_open_by(m, size, &evict_gdsf);
}

static uint64_t used(struct memory *m)
{
	return m->store->ops->counts(m->store).used;
}

static void memory_close(struct memory *m)
{
	index_free(m->index);
	assert_int_equal(used(m), 0);
	m->store->ops->free(m->store);
}

static struct index_ask ask_for(unsigned n)
{
	static const struct hdrs no_fields;
	struct index_ask a = {.request = &no_fields};
	char url[32];

	snprintf(url, sizeof(url), "http://a.test/%u", n);
	key_make(&a.key, SPAN("salt"), span_str(url));
	return a;
}

static struct head *some_head(void)
{
	struct head *h = mem_zalloc(sizeof(*h) + 300);

	h->refs = 1;
	h->n = 300;
	return h;
}

/* A fill as fetch/ does it. False: there was no room. */
static bool fill(struct memory *m, unsigned url, uint64_t bytes, uint64_t *reserved, struct entry **out)
{
	struct index_ask a = ask_for(url);
	struct entry_terms t = {.stored = true};
	uint64_t n = 0;

	*reserved = 0;
	if (index_begin(m->index, &a, NULL, NULL, false, out) != INDEX_BEGUN)
		return false;
	entry_set_head(*out, some_head(), &t);
	while (n < bytes) {
		uint64_t charged = 0;
		size_t room;
		char *p = body_room(&(*out)->body, bytes, &room, &charged);

		if (charged && !m->store->ops->reserve(m->store, charged))
			return false;
		*reserved += charged;
		memset(p, 'x', room);
		body_publish(&(*out)->body, room);
		n += room;
	}
	return true;
}

static bool put(struct memory *m, unsigned url, uint64_t bytes)
{
	struct entry *e = NULL;
	uint64_t reserved;
	bool ok = fill(m, url, bytes, &reserved, &e);

	if (!e)
		return false;
	entry_end(e, ENTRY_FILLED, REASON_NONE, NULL);
	if (!ok)
		index_withdraw(m->index, e);
	else if (index_publish(m->index, e)) {
		m->store->ops->keep(m->store, e, reserved);
		reserved = 0;
	}
	m->store->ops->release(m->store, reserved);
	entry_unref(&e);
	return ok;
}

static bool is_there(struct memory *m, unsigned url)
{
	struct index_ask a = ask_for(url);
	struct entry *e = look_up(m->index, &a, 0);
	bool yes = e != NULL;

	entry_unref(&e);
	return yes;
}

static void hit(struct memory *m, unsigned url, uint32_t times)
{
	struct index_ask a = ask_for(url);
	struct entry *e = look_up(m->index, &a, 0);

	assert_non_null(e);
	atomic_fetch_add(&e->hits, times);
	entry_unref(&e);
}

static void what_is_kept_is_counted_to_the_byte(void **state)
{
	struct memory m;
	struct index_ask a = ask_for(1);
	struct entry *e;
	uint64_t one;

	(void)state;
	memory_open(&m, 10000000);
	assert_int_equal(used(&m), 0);
	assert_true(put(&m, 1, 200000));
	e = look_up(m.index, &a, 0);
	one = entry_overhead(e) + body_charge(&e->body);
	assert_int_equal(used(&m), one);
	assert_int_equal(e->evict.bytes, one);
	assert_true(one > 200000 + 300 && one < 200000 + 2000);
	assert_true(put(&m, 2, 200000));
	assert_int_equal(used(&m), 2 * one);
	assert_int_equal(m.store->ops->counts(m.store).entries, 2);
	index_remove(m.index, e); /* goes from the count although somebody still reads it */
	assert_int_equal(used(&m), one);
	m.store->ops->drop(m.store, e); /* harmless */
	assert_int_equal(used(&m), one);
	entry_unref(&e);
	memory_close(&m);
}

static void a_small_object_costs_little(void **state)
{
	struct memory m;

	(void)state;
	memory_open(&m, 10000000);
	for (unsigned i = 0; i < 1000; i++)
		assert_true(put(&m, i, 1024));
	/* 300 bytes of head; the bytes that malloc and the index's table take besides are not counted */
	assert_true(used(&m) / 1000 <= 1024 + 300 + 700);
	memory_close(&m);
}

static void room_is_made_by_evicting(void **state)
{
	struct memory m;

	(void)state;
	memory_open(&m, 1000000);
	for (unsigned i = 0; i < 100; i++) {
		assert_true(put(&m, i, 50000));
		assert_true(used(&m) <= 1000000);
		assert_true(is_there(&m, i)); /* the newest stays */
	}
	assert_true(m.store->ops->counts(m.store).evicted >= 80);
	assert_true(used(&m) > 900000);
	assert_int_equal(m.store->ops->counts(m.store).entries, index_counts(m.index).published);
	memory_close(&m);
}

static void what_does_not_fit_at_all_is_refused(void **state)
{
	struct memory m;

	(void)state;
	memory_open(&m, 1000000);
	assert_false(put(&m, 1, 2000000));
	assert_int_equal(used(&m), 0);
	assert_true(m.store->ops->reserve(m.store, 900000)); /* a fill under way cannot be evicted */
	assert_false(m.store->ops->reserve(m.store, 200000));
	assert_int_equal(used(&m), 900000);
	m.store->ops->release(m.store, 900000);
	assert_true(put(&m, 1, 500000));
	memory_close(&m);
}

static void small_and_popular_stay(void **state)
{
	struct memory m;

	(void)state;
	memory_open(&m, 2000000);
	assert_true(put(&m, 1, 1000));   /* small */
	assert_true(put(&m, 2, 1000));   /* small and popular */
	assert_true(put(&m, 3, 600000)); /* large */
	assert_true(put(&m, 4, 600000)); /* large and very popular */
	hit(&m, 2, 10);
	hit(&m, 4, 50);
	for (unsigned i = 0; i < 10; i++) /* large ones pass by */
		assert_true(put(&m, 100 + i, 600000));
	assert_true(is_there(&m, 1));
	assert_true(is_there(&m, 2));
	assert_false(is_there(&m, 3));
	assert_true(is_there(&m, 4)); /* 51 requests for 600 KB are worth more than one for 600 KB */
	memory_close(&m);
}

static void popularity_ages(void **state)
{
	struct memory m;

	(void)state;
	memory_open(&m, 500000);
	assert_true(put(&m, 1, 100000));
	hit(&m, 1, 5);
	for (unsigned i = 0; i < 200 && is_there(&m, 1); i++)
		assert_true(put(&m, 100 + i, 100000));
	assert_false(is_there(&m, 1));
	memory_close(&m);
}

static const struct evict_policy *const policies[] = {&evict_gdsf, &evict_lfuda, &evict_lru, &evict_sieve};

#define POLICIES (sizeof(policies) / sizeof(policies[0]))

static void used_never_exceeds_size_whatever_the_policy(void **state)
{
	struct memory m;
	struct rng rng;

	(void)state;
	for (size_t p = 0; p < POLICIES; p++) {
		memory_open_by(&m, 1000000, policies[p]);
		rng_seed(&rng, p);
		for (unsigned i = 0; i < 1500; i++) {
			unsigned url = (unsigned)rng_below(&rng, 60);

			if (is_there(&m, url))
				hit(&m, url, 1);
			else if (rng_below(&rng, 10) == 0)
				assert_true(put(&m, url, 200000 + rng_below(&rng, 700000)));
			else
				assert_true(put(&m, url, rng_below(&rng, 60000)));
			assert_true(used(&m) <= 1000000);
			if (i % 300 == 0)
				store_mem_set_policy(m.store, policies[rng_below(&rng, POLICIES)]);
		}
		assert_true(m.store->ops->counts(m.store).evicted > 50);
		assert_int_equal(m.store->ops->counts(m.store).entries, index_counts(m.index).published);
		memory_close(&m);
	}
}

static void a_reload_changes_who_goes(void **state)
{
	struct memory m;

	(void)state;
	memory_open(&m, 1000000);
	assert_true(put(&m, 1, 1000));
	assert_true(put(&m, 2, 500000));
	store_mem_set_policy(m.store, &evict_lru);
	assert_true(put(&m, 3, 498000)); /* by gdsf the large one would go */
	assert_false(is_there(&m, 1));
	assert_true(is_there(&m, 2));
	store_mem_set_policy(m.store, &evict_gdsf);
	assert_true(put(&m, 4, 1000)); /* 2 is larger than 3 */
	assert_false(is_there(&m, 2));
	assert_true(is_there(&m, 3));
	memory_close(&m);
}

static void a_smaller_size_is_kept_at_once(void **state)
{
	struct memory m;

	(void)state;
	memory_open(&m, 1000000);
	for (unsigned i = 0; i < 9; i++)
		assert_true(put(&m, i, 100000));
	m.store->ops->set_size(m.store, 300000);
	assert_true(used(&m) <= 300000 && used(&m) > 200000);
	assert_int_equal(m.store->ops->counts(m.store).size, 300000);
	m.store->ops->set_size(m.store, 0);
	assert_int_equal(used(&m), 0);
	assert_int_equal(index_counts(m.index).published, 0);
	memory_close(&m);
}

static void purged_between_published_and_kept(void **state)
{
	struct memory m;
	struct index_ask a = ask_for(1);
	struct entry *e = NULL;
	uint64_t reserved;

	(void)state;
	memory_open(&m, 1000000);
	assert_true(fill(&m, 1, 100000, &reserved, &e));
	entry_end(e, ENTRY_FILLED, REASON_NONE, NULL);
	assert_true(index_publish(m.index, e));
	assert_int_equal(index_purge(m.index, &a.key), 1);
	m.store->ops->keep(m.store, e, reserved);
	assert_int_equal(used(&m), 0);
	assert_int_equal(m.store->ops->counts(m.store).entries, 0);
	entry_unref(&e);
	memory_close(&m);
}

/* ---- threads ---- */

#define THREADS 3

struct crowd {
	struct memory m;
	_Atomic unsigned next;
};

static void *come_and_go(void *arg)
{
	struct crowd *c = arg;
	struct memory *m = &c->m;
	struct rng rng;

	rng_seed(&rng, atomic_fetch_add(&c->next, 1));
	for (unsigned i = 0; i < 1500; i++) {
		unsigned url = (unsigned)rng_below(&rng, 30);
		struct index_ask a = ask_for(url);
		struct entry *e;

		switch (rng_below(&rng, 8)) {
		case 0:
			index_purge(m->index, &a.key);
			break;
		case 1:
			store_mem_set_policy(m->store, policies[rng_below(&rng, POLICIES)]);
			m->store->ops->set_size(m->store, 300000 + rng_below(&rng, 700000));
			break;
		case 2:
			e = index_mark(m->index, &a.key, (mono_us)rng_below(&rng, 2));
			if (e)
				m->store->ops->keep(m->store, e, 0);
			entry_unref(&e);
			break;
		case 3:
		case 4:
			e = look_up(m->index, &a, 1);
			if (e)
				atomic_fetch_add(&e->hits, 1);
			entry_unref(&e);
			break;
		default:
			put(m, url, rng_below(&rng, 120000));
			break;
		}
	}
	return NULL;
}

static bool is_worth(struct memory *m, uint64_t bytes, _Atomic uint64_t *asked)
{
	return m->store->ops->is_worth(m->store, bytes, asked);
}

static void what_is_elsewhere_comes_while_there_is_room(void **state)
{
	_Atomic uint64_t asked = 0;
	struct memory m;

	(void)state;
	memory_open(&m, 1000000);
	assert_true(is_worth(&m, 10000, &asked));
	assert_false(is_worth(&m, 2000000, &asked));
	for (unsigned i = 0; i < 20; i++)
		put(&m, i, 60000);
	asked = 0;
	assert_false(is_worth(&m, 10000, &asked)); /* what the last one evicted has left over is not room */
	memory_close(&m);
}

static void once_memory_is_full_it_comes_when_it_is_soon_asked_for_again(void **state)
{
	_Atomic uint64_t one = 0, other[100] = {0}, late = 0;
	struct memory m;

	(void)state;
	memory_open(&m, 1000000);
	for (unsigned i = 0; i < 20; i++)
		put(&m, i, 60000);
	assert_false(is_worth(&m, 10000, &one));
	assert_true(is_worth(&m, 10000, &one));
	for (int round = 0; round < 3; round++) /* more than would stay, however often they come by */
		for (int i = 0; i < 100; i++)
			assert_false(is_worth(&m, 10000, &other[i]));
	assert_false(is_worth(&m, 10000, &one));
	/* What is fetched meanwhile goes by, too. */
	assert_false(is_worth(&m, 10000, &late));
	for (unsigned i = 20; i < 30; i++)
		put(&m, i, 60000);
	assert_false(is_worth(&m, 10000, &late));
	memory_close(&m);
}

static void accounts_are_right_after_a_crowd(void **state)
{
	struct crowd c = {0};
	pthread_t threads[THREADS];
	uint64_t sum = 0;

	(void)state;
	memory_open(&c.m, 1000000);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, come_and_go, &c);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < 30; i++) {
		struct index_ask a = ask_for(i);
		struct entry *e = look_up(c.m.index, &a, 0);

		if (e)
			sum += e->evict.bytes;
		entry_unref(&e);
	}
	assert_int_equal(used(&c.m), sum);
	assert_int_equal(c.m.store->ops->counts(c.m.store).entries, index_counts(c.m.index).published);
	memory_close(&c.m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_kept_is_counted_to_the_byte),
		cmocka_unit_test(a_small_object_costs_little),
		cmocka_unit_test(room_is_made_by_evicting),
		cmocka_unit_test(what_does_not_fit_at_all_is_refused),
		cmocka_unit_test(small_and_popular_stay),
		cmocka_unit_test(popularity_ages),
		cmocka_unit_test(used_never_exceeds_size_whatever_the_policy),
		cmocka_unit_test(a_reload_changes_who_goes),
		cmocka_unit_test(a_smaller_size_is_kept_at_once),
		cmocka_unit_test(purged_between_published_and_kept),
		cmocka_unit_test(what_is_elsewhere_comes_while_there_is_room),
		cmocka_unit_test(once_memory_is_full_it_comes_when_it_is_soon_asked_for_again),
		cmocka_unit_test(accounts_are_right_after_a_crowd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
