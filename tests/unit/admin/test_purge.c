#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "node/admin/purge.h"
#include "node/base/mem.h"
#include "node/cache/orders.h"

#define DIGEST_A "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define SOFT(kind) ((enum purgerec_kind)((kind) | PURGEREC_SOFT))

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
		{PURGEREC_CLASS, "mutable", "mutable"},
		{PURGEREC_CLASS, "index", NULL},
		{PURGEREC_DIGEST, DIGEST_A, DIGEST_A},
		{PURGEREC_DIGEST, "AAaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", DIGEST_A},
		{PURGEREC_DIGEST, "sha256:aa", NULL},
		{PURGEREC_DENY, DIGEST_A, DIGEST_A},
		{PURGEREC_ALLOW, "sha512:aa", NULL},
		{SOFT(PURGEREC_HOST), "Registry.Test", "registry.test"},
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
	h->terms.source = FRESH_WHY_IMMUTABLE;
	return h;
}

static struct head *look(struct index *x, const char *store_id)
{
	struct hdrs none = {0};
	struct index_ask ask = {.request = &none};
	struct entry_view view;
	struct entry *e;
	bool other;

	key_make(&ask.key, SPAN("salt"), span_str(store_id));
	e = index_lookup(x, &ask, 0, &other);
	if (!e)
		return NULL;
	entry_look(e, &view);
	entry_unref(&e);
	return view.head;
}

static void store_head(struct index *x, const char *store_id, struct head *head)
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
	entry_set_head(e, head, &t);
	entry_end(e, ENTRY_FILLED, REASON_NONE, NULL);
	assert_true(index_publish(x, e));
	entry_unref(&e);
}

static void store(struct index *x, const char *store_id)
{
	store_head(x, store_id, head_for(store_id));
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
		long goes;
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
		struct purge_ground ground = {.index = x};
		const char *why;
		long went;

		for (size_t k = 0; k < sizeof(stored) / sizeof(stored[0]); k++)
			store(x, stored[k]);
		went = purge_stored(&ground, SPAN("salt"), rows[i].kind, span_str(rows[i].value), &why);
		if (went != rows[i].goes)
			fail_msg("%s: %ld", rows[i].value, went);
		assert_int_equal(rows[i].kind == PURGEREC_ALL ? 0 : 9 - went,
				 purge_stored(&ground, SPAN("salt"), PURGEREC_ALL, SPAN_NONE, &why));
		index_free(x);
	}
}

/* An artefact, an index, a failure. */
static void store_classes(struct index *x)
{
	struct head *index = head_for("https://a.test/index"), *gone = head_for("https://a.test/gone");

	index->terms = (struct fresh_terms){.lifetime_s = 60, .source = FRESH_WHY_CLASS_TTL, .is_mutable = true};
	gone->status = 404;
	gone->terms = (struct fresh_terms){.lifetime_s = 10, .source = FRESH_WHY_NEGATIVE};
	store(x, "https://a.test/a.tgz");
	store_head(x, "https://a.test/index", index);
	store_head(x, "https://a.test/gone", gone);
}

static void by_class(void **state)
{
	static const struct {
		const char *class, *url;
	} rows[] = {
		{"immutable", "https://a.test/a.tgz"},
		{"mutable", "https://a.test/index"},
		{"negative", "https://a.test/gone"},
	};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct index *x = index_new(on_removed, NULL);
		struct purge_ground ground = {.index = x};
		const char *why;

		store_classes(x);
		assert_int_equal(1, purge_stored(&ground, SPAN("salt"), PURGEREC_CLASS, span_str(rows[i].class), &why));
		assert_null(look(x, rows[i].url));
		assert_int_equal(2, purge_stored(&ground, SPAN("salt"), PURGEREC_ALL, SPAN_NONE, &why));
		index_free(x);
	}
}

static void store_with_digest(struct index *x, const char *url, int byte)
{
	struct head *h = head_for(url);
	uint8_t digest[HEAD_DIGEST_BYTES];

	memset(digest, byte, sizeof(digest));
	head_set_digest(h, digest);
	store_head(x, url, h);
}

static void by_digest(void **state)
{
	struct index *x = index_new(on_removed, NULL);
	struct purge_ground ground = {.index = x};
	const char *why;

	(void)state;
	store_with_digest(x, "https://a.test/1", 0xaa);
	store_with_digest(x, "https://b.test/1", 0xaa);
	store_with_digest(x, "https://a.test/2", 0xab);
	assert_int_equal(2, purge_stored(&ground, SPAN("salt"), PURGEREC_DIGEST, SPAN(DIGEST_A), &why));
	assert_int_equal(1, purge_stored(&ground, SPAN("salt"), PURGEREC_ALL, SPAN_NONE, &why));
	index_free(x);
}

/* It stays, and is asked about before it is served; what fails then may be answered from it, however old. */
static void softly(void **state)
{
	static const struct cachectl nothing = {
		.max_age = CACHECTL_NONE, .max_stale = CACHECTL_NONE, .min_fresh = CACHECTL_NONE};
	struct index *x = index_new(on_removed, NULL);
	struct purge_ground ground = {.index = x};
	enum fresh_why why_stale;
	struct head *h;
	const char *why;

	(void)state;
	store(x, "https://a.test/1");
	store(x, "https://b.test/1");
	assert_int_equal(1, purge_stored(&ground, SPAN("salt"), SOFT(PURGEREC_HOST), SPAN("a.test"), &why));
	h = look(x, "https://a.test/1");
	assert_int_equal(fresh_verdict(&h->terms, &nothing, 1000, &why_stale), FRESH_REVALIDATE);
	assert_true(fresh_on_error(&h->terms, &nothing, DUR_DAY * 365));
	assert_int_equal(h->terms.source, FRESH_WHY_IMMUTABLE); /* so that a 304 makes it good for ever again */
	head_unref(&h);
	h = look(x, "https://b.test/1");
	assert_int_equal(fresh_verdict(&h->terms, &nothing, 1000, &why_stale), FRESH_SERVE);
	head_unref(&h);
	index_free(x);
}

static void denied_and_allowed(void **state)
{
	char path[] = "/tmp/test_purge.XXXXXX", why_not[200];
	struct index *x = index_new(on_removed, NULL);
	struct purge_ground ground = {.index = x, .at = 1000};
	uint8_t digest[HEAD_DIGEST_BYTES];
	struct key key;
	const char *why;

	(void)state;
	close(mkstemp(path));
	ground.orders = orders_open(path, NULL, why_not, sizeof(why_not));
	memset(digest, 0xaa, sizeof(digest));
	key_make(&key, SPAN("salt"), SPAN("https://a.test/1"));
	store_with_digest(x, "https://a.test/1", 0xaa);
	store_with_digest(x, "https://a.test/2", 0xab);
	assert_int_equal(1, purge_stored(&ground, SPAN("salt"), PURGEREC_DENY, SPAN(DIGEST_A), &why));
	assert_true(orders_denies(ground.orders, digest));
	assert_true(orders_suspects(ground.orders, &key)); /* the next one under this URL is looked at whole */
	ground.at = 2000;
	assert_int_equal(1, purge_stored(&ground, SPAN("salt"), PURGEREC_ALLOW, SPAN(DIGEST_A), &why));
	assert_int_equal(0, purge_stored(&ground, SPAN("salt"), PURGEREC_ALLOW, SPAN(DIGEST_A), &why));
	assert_false(orders_denies(ground.orders, digest));
	orders_free(ground.orders);
	unlink(path);
	index_free(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(normal_forms), cmocka_unit_test(what_goes), cmocka_unit_test(by_class),
		cmocka_unit_test(by_digest),    cmocka_unit_test(softly),    cmocka_unit_test(denied_and_allowed),
	};

	return cmocka_run_group_tests_name("purge", tests, NULL, NULL);
}
