#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "node/admin/purge.h"
#include "node/base/mem.h"

static void normal_forms(void **state)
{
	static const struct {
		enum purgerec_kind kind;
		const char *text, *value; /* NULL: refused */
	} rows[] = {
		{PURGEREC_URL, "HTTPS://Registry.test:443/a/../b", "https://registry.test/b"},
		{PURGEREC_URL, "http://registry.test", "http://registry.test/"},
		{PURGEREC_URL, "registry.test/a", NULL},
		{PURGEREC_URL, "ftp://registry.test/a", NULL},
		{PURGEREC_PREFIX, "https://Registry.test/left-", "https://registry.test/left-"},
		{PURGEREC_PREFIX, "https://registry.test", "https://registry.test/"},
		{PURGEREC_PREFIX, "https://", NULL},
		{PURGEREC_PREFIX, "/left-pad", NULL},
		{PURGEREC_HOST, "Registry.Test", "registry.test"},
		{PURGEREC_HOST, "registry.test:8443", "registry.test:8443"},
		{PURGEREC_HOST, "[2001:DB8::0:1]", "[2001:db8::1]"},
		{PURGEREC_HOST, "192.0.2.1", "192.0.2.1"},
		{PURGEREC_HOST, "", NULL},
		{PURGEREC_HOST, "a b", NULL},
		{PURGEREC_HOST, "https://registry.test/", NULL},
		{PURGEREC_HOST, "registry.test/", NULL},
		{PURGEREC_HOST, "registry.test?x", NULL},
		{PURGEREC_ALL, "", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span text = span_str(rows[i].text);
		size_t cap = PURGE_BYTES(text.n);
		char *room = malloc(cap);
		struct buf b = buf_over(room, cap);
		const char *why = NULL;
		bool is_good = purge_normalize(rows[i].kind, text, &b, &why);

		if (is_good != (rows[i].value != NULL) || (is_good && !span_eq(buf_span(&b), span_str(rows[i].value))))
			fail_msg("%s: %.*s", rows[i].text, SPAN_ARG(buf_span(&b)));
		assert_false(is_good && b.full);
		assert_true(is_good || (why && *why));
		assert_true(!is_good || purgerec_fits(rows[i].kind, buf_span(&b)));
		free(room);
	}
}

static void on_removed(void *cookie, struct entry *e)
{
	(void)cookie;
	(void)e;
}

static struct head *head_for(const char *store_id)
{
	size_t n = strlen(store_id);
	struct head *h = mem_zalloc(sizeof(*h) + n + HEAD_DIGEST_BYTES);

	h->refs = 1;
	h->status = 200;
	h->url_n = (uint16_t)n;
	memcpy(h->text, store_id, n);
	h->has_room = true;
	h->terms.lifetime_s = FRESH_FOREVER_S;
	return h;
}

static void store(struct index *x, const char *store_id)
{
	struct entry_terms t = {.stored = true, .shared = true, .joinable = true};
	struct hdrs none = {0};
	struct index_ask ask = {.request = &none};
	struct entry *e = NULL;
	struct vary vary;

	key_make(&ask.key, SPAN("salt"), span_str(store_id));
	assert_int_equal(index_begin(x, &ask, NULL, NULL, true, &e), INDEX_BEGUN);
	vary_parse(SPAN_NONE, &vary);
	key_variant(&t.variant, &vary, &none);
	entry_set_head(e, head_for(store_id), &t);
	entry_end(e, ENTRY_FILLED, REASON_NONE, NULL);
	assert_true(index_publish(x, e));
	entry_unref(&e);
}

static void what_goes(void **state)
{
	static const char *const stored[] = {
		"https://a.test/",         "https://a.test/x/1",
		"https://a.test/x/2",      "https://a.test/xy",
		"http://a.test/x",         "https://a.test:8443/x",
		"https://aa.test/x",       "https://a.test.example/a.test/",
		"https://[2001:db8::1]/x",
	};
	static const struct {
		enum purgerec_kind kind;
		const char *value;
		unsigned goes;
	} rows[] = {
		{PURGEREC_URL, "https://a.test/x/1", 1},
		{PURGEREC_URL, "https://a.test/x", 0},
		{PURGEREC_PREFIX, "https://a.test/x", 3},
		{PURGEREC_PREFIX, "https://a.test/x/", 2},
		{PURGEREC_PREFIX, "https://a.test/", 4},
		{PURGEREC_PREFIX, "http://a.test/", 1},
		{PURGEREC_HOST, "a.test", 6},
		{PURGEREC_HOST, "a.test:8443", 1},
		{PURGEREC_HOST, "test", 0},
		{PURGEREC_HOST, "[2001:db8::1]", 1},
		{PURGEREC_ALL, "", 9},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct index *x = index_new(on_removed, NULL);
		unsigned went;

		for (size_t k = 0; k < sizeof(stored) / sizeof(stored[0]); k++)
			store(x, stored[k]);
		went = purge_stored(&(struct purge_ground){.index = x}, SPAN("salt"), rows[i].kind,
				    span_str(rows[i].value));
		if (went != rows[i].goes)
			fail_msg("%s: %u", rows[i].value, went);
		assert_int_equal(
			rows[i].kind == PURGEREC_ALL ? 0 : 9 - went,
			purge_stored(&(struct purge_ground){.index = x}, SPAN("salt"), PURGEREC_ALL, SPAN_NONE));
		index_free(x);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(normal_forms),
		cmocka_unit_test(what_goes),
	};

	return cmocka_run_group_tests_name("purge", tests, NULL, NULL);
}
