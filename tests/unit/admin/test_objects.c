#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "node/admin/objects.h"
#include "node/base/mem.h"
#include "node/cache/store_mem.h"
#include "tests/unit/lanes.h"

#define MANY 1000 /* several slices */

static const char type[] = "Content-Type: application/gzip; x=y\r\n";

struct world {
	struct clock_fake clock;
	struct lane lane;
	struct index *index;
	struct store *store;
	struct objects *objects;
	bool urls;
	char text[OBJECTS_JSON_MAX + 1];
};

static void on_removed(void *cookie, struct entry *e)
{
	struct world *w = cookie;

	w->store->ops->drop(w->store, e);
}

static void make(void *arg)
{
	struct world *w = arg;

	w->objects = objects_new(w->lane.loop, w->store);
}

static void put(void *arg)
{
	struct world *w = arg;
	struct buf b = buf_over(w->text, OBJECTS_JSON_MAX);

	objects_put(w->objects, &b, w->urls);
	assert_false(b.full);
	w->text[b.n] = '\0';
}

static void drop(void *arg)
{
	objects_free(((struct world *)arg)->objects);
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	clock_fake_init(&w->clock, INT64_C(1795441498122));
	lane_start(&w->lane, 0, &w->clock.clock, 0, 0);
	w->index = index_new(on_removed, w);
	w->store = store_mem_new(1 << 30, &evict_gdsf);
	store_mem_set_index(w->store, w->index);
	lane_do(&w->lane, make, w);
	w->urls = true;
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	lane_do(&w->lane, drop, w);
	lane_stop(&w->lane);
	index_free(w->index);
	w->store->ops->free(w->store);
	free(w);
	return 0;
}

static struct head *head_of(const char *url)
{
	size_t n = strlen(url), fields = sizeof(type) - 1;
	struct head *h = mem_zalloc(sizeof(*h) + fields + n);

	h->refs = 1;
	h->n = (uint32_t)fields;
	h->type = (struct head_part){14, (uint32_t)fields - 16};
	h->url_n = (uint16_t)n;
	memcpy(h->text, type, fields);
	memcpy(h->text + fields, url, n);
	return h;
}

static void keep(struct world *w, const char *url, size_t bytes, uint32_t hits)
{
	static const struct hdrs no_fields;
	struct index_ask a = {.request = &no_fields};
	struct entry_terms t = {.stored = true};
	struct entry *e;
	size_t room;

	key_make(&a.key, SPAN("salt"), span_str(url));
	assert_int_equal(index_begin(w->index, &a, NULL, NULL, false, &e), INDEX_BEGUN);
	entry_set_head(e, head_of(url), &t);
	for (size_t n = 0; n < bytes; n += room) {
		uint64_t charged = 0;
		char *p = body_room(&e->body, bytes, &room, &charged);

		memset(p, 'x', room);
		body_publish(&e->body, room);
	}
	entry_end(e, ENTRY_FILLED, REASON_NONE, NULL);
	assert_true(index_publish(w->index, e));
	w->store->ops->keep(w->store, e, 0);
	atomic_fetch_add(&e->hits, hits);
	entry_unref(&e);
}

static void pass(void *arg)
{
	clock_fake_pass(&((struct world *)arg)->clock, OBJECTS_EVERY);
}

/* What a walk that begins now finds. */
static const char *walked(struct world *w)
{
	lane_do(&w->lane, pass, w);
	lane_do(&w->lane, put, w);
	for (int i = 0; i < 4 * MANY / 256; i++) /* a slice is a bulk turn of the loop: there are as many turns here */
		lane_do(&w->lane, lane_nothing, w);
	lane_do(&w->lane, put, w);
	return w->text;
}

static const char *list(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	assert_non_null(at);
	return at;
}

static void nothing_is_known_before_the_first_walk(void **state)
{
	struct world *w = *state;

	keep(w, "https://a.test/x", 1000, 1);
	lane_do(&w->lane, put, w);
	assert_string_equal(w->text, "{\"urls\":true,\"as_of\":null,\"objects\":0,\"largest\":[],\"hottest\":[]}\n");
}

static void the_largest_and_the_hottest_come_first(void **state)
{
	struct world *w = *state;
	char url[64], want[128];
	const char *at;

	for (unsigned i = 0; i < MANY; i++) {
		snprintf(url, sizeof(url), "https://h%u.test/%u", i % 7, i);
		keep(w, url, 100 + i * 10, MANY - i);
	}
	walked(w);
	assert_non_null(strstr(w->text, "\"objects\":1000,"));
	at = list(w->text, "\"largest\":[");
	for (unsigned i = MANY - 1; i >= MANY - OBJECTS_LISTED; i--) {
		snprintf(want, sizeof(want),
			 "{\"host\":\"h%u.test\",\"url\":\"https://h%u.test/%u\",\"type\":\"application/gzip\",", i % 7,
			 i % 7, i);
		at = list(at, want);
	}
	at = list(at, "\"hottest\":[");
	for (unsigned i = 0; i < OBJECTS_LISTED; i++) {
		snprintf(want, sizeof(want), "\"hits\":%u}", MANY - i);
		at = list(at, want);
	}
	snprintf(want, sizeof(want), "\"hits\":%u}", MANY - OBJECTS_LISTED);
	assert_null(strstr(list(w->text, "\"hottest\":["), want));
}

static void urls_only_when_asked_for_and_never_a_secret(void **state)
{
	struct world *w = *state;

	keep(w, "https://a.test:8443/\"<b>?token=hush", 1000, 1);
	walked(w);
	assert_non_null(strstr(w->text, "{\"host\":\"a.test:8443\",\"url\":\"https://a.test:8443/\\\"<b>?\","));
	assert_null(strstr(w->text, "hush"));
	w->urls = false;
	walked(w);
	assert_non_null(strstr(w->text, "{\"host\":\"a.test:8443\",\"url\":null,"));
	assert_null(strstr(w->text, "<b>"));
}

static void a_walk_is_good_for_a_while(void **state)
{
	struct world *w = *state;

	keep(w, "https://a.test/1", 1000, 1);
	walked(w);
	keep(w, "https://a.test/2", 1000, 1);
	for (int i = 0; i < 4; i++)
		lane_do(&w->lane, put, w);
	assert_non_null(strstr(w->text, "\"objects\":1,"));
	assert_non_null(strstr(walked(w), "\"objects\":2,"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_is_known_before_the_first_walk, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_largest_and_the_hottest_come_first, set_up, tear_down),
		cmocka_unit_test_setup_teardown(urls_only_when_asked_for_and_never_a_secret, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_walk_is_good_for_a_while, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("objects", tests, NULL, NULL);
}
