#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "node/base/mem.h"
#include "node/base/rng.h"
#include "node/cache/index.h"

static struct entry *look_up(struct index *x, const struct index_ask *ask, mono_us now)
{
	bool other_variant;

	return index_lookup(x, ask, now, &other_variant);
}

static void on_removed(void *cookie, struct entry *e)
{
	atomic_fetch_add((_Atomic unsigned *)cookie, 1);
	(void)e->key; /* still there */
}

static struct head *head_for(const char *vary, const char *url)
{
	size_t n = strlen(vary), url_n = strlen(url);
	struct head *h = mem_zalloc(sizeof(*h) + n + url_n + HEAD_DIGEST_BYTES);

	h->refs = 1;
	h->status = 200;
	h->vary_n = (uint16_t)n;
	memcpy(h->text, vary, n);
	h->url_n = (uint16_t)url_n;
	memcpy(h->text + n, url, url_n);
	h->has_room = true;
	h->terms.lifetime_s = FRESH_FOREVER_S;
	return h;
}

static struct head *head_of(const char *vary)
{
	return head_for(vary, "");
}

/* A question for an URL, with an Accept field (NULL: none) and a credential (0: nobody). */
struct question {
	struct index_ask ask;
	struct hdrs fields;
};

static const struct index_ask *ask(struct question *q, const char *url, const char *accept, uint8_t who)
{
	memset(q, 0, sizeof(*q));
	key_make(&q->ask.key, SPAN("salt"), span_str(url));
	q->ask.who.b[0] = who;
	if (accept)
		hdr_add(&q->fields, SPAN("Accept"), span_str(accept));
	q->ask.request = &q->fields;
	return &q->ask;
}

static const struct index_ask *plain(struct question *q, const char *url)
{
	return ask(q, url, NULL, 0);
}

static struct entry *begin(struct index *x, const struct index_ask *a)
{
	struct entry *e = NULL;

	assert_int_equal(index_begin(x, a, NULL, NULL, true, &e), INDEX_BEGUN);
	return e;
}

/* The head comes. */
static void take_head(struct entry *e, const struct index_ask *a, const char *vary_text)
{
	struct entry_terms t = {.stored = true, .shared = true, .joinable = true};
	struct vary vary;

	vary_parse(span_str(vary_text), &vary);
	key_variant(&t.variant, &vary, a->request);
	entry_set_head(e, head_of(vary_text), &t);
}

/* It is complete. */
static bool publish(struct index *x, struct entry **e)
{
	bool yes;

	entry_end(*e, ENTRY_FILLED, REASON_NONE, NULL);
	yes = index_publish(x, *e);
	entry_unref(e);
	return yes;
}

static void store(struct index *x, const struct index_ask *a, const char *vary)
{
	struct entry *e = begin(x, a);

	take_head(e, a, vary);
	assert_true(publish(x, &e));
}

static bool has(struct index *x, const struct index_ask *a)
{
	struct entry *e = look_up(x, a, 0);
	bool yes = e != NULL;

	entry_unref(&e);
	return yes;
}

static void from_nothing_to_published_to_removed(void **state)
{
	_Atomic unsigned removed = 0;
	struct index *x = index_new(on_removed, &removed);
	struct question q;
	const struct index_ask *a = plain(&q, "u");
	struct entry *e, *found;

	(void)state;
	assert_null(look_up(x, a, 0));
	e = begin(x, a);
	assert_int_equal(index_counts(x).pending, 1);
	assert_null(look_up(x, a, 0)); /* pending is not published */
	take_head(e, a, "");
	entry_end(e, ENTRY_FILLED, REASON_NONE, NULL);
	assert_true(index_publish(x, e));
	assert_int_equal(index_counts(x).pending, 0);
	assert_int_equal(index_counts(x).published, 1);
	found = look_up(x, a, 0);
	assert_ptr_equal(found, e);
	assert_true(index_remove(x, e));
	assert_false(index_remove(x, e));
	assert_int_equal(removed, 1);
	assert_null(look_up(x, a, 0));
	entry_unref(&found);
	entry_unref(&e);
	index_free(x);
}

static void joining(void **state)
{
	_Atomic unsigned removed = 0;
	struct index *x = index_new(on_removed, &removed);
	struct question q, other_q;
	const struct index_ask *a = plain(&q, "u"), *b = ask(&other_q, "u", NULL, 9);
	struct entry *first = begin(x, a), *second = NULL, *of_b, *alone = NULL;

	(void)state;
	assert_int_equal(index_begin(x, a, NULL, NULL, true, &second), INDEX_JOINED);
	assert_ptr_equal(first, second);
	entry_unref(&second);
	of_b = begin(x, b); /* another credential never joins */
	assert_ptr_not_equal(of_b, first);
	assert_int_equal(index_begin(x, a, NULL, NULL, false, &alone), INDEX_BEGUN);
	assert_ptr_not_equal(alone, first);
	index_withdraw(x, alone);
	index_withdraw(x, first);
	index_withdraw(x, first); /* harmless */
	second = begin(x, a);
	assert_ptr_not_equal(second, first);
	index_withdraw(x, second);
	index_withdraw(x, of_b);
	assert_int_equal(index_counts(x).pending, 0);
	entry_unref(&first);
	entry_unref(&second);
	entry_unref(&of_b);
	entry_unref(&alone);
	index_free(x);
}

static void begin_notices_what_has_changed(void **state)
{
	_Atomic unsigned removed = 0;
	struct index *x = index_new(on_removed, &removed);
	struct question q;
	const struct index_ask *a = plain(&q, "u");
	struct entry *seen, *out = NULL;
	struct entry_view view;

	(void)state;
	store(x, a, "");
	assert_int_equal(index_begin(x, a, NULL, NULL, true, &out),
			 INDEX_CHANGED); /* saw nothing, now there is something */
	seen = look_up(x, a, 0);
	entry_look(seen, &view);
	assert_int_equal(index_begin(x, a, seen, view.head, true, &out), INDEX_BEGUN);
	index_withdraw(x, out);
	entry_unref(&out);
	entry_swap_head(seen, head_of("")); /* freshened meanwhile */
	assert_int_equal(index_begin(x, a, seen, view.head, true, &out), INDEX_CHANGED);
	index_remove(x, seen);
	assert_int_equal(index_begin(x, a, seen, view.head, true, &out), INDEX_CHANGED);
	head_unref(&view.head);
	entry_unref(&seen);
	index_free(x);
}

static void variants_live_side_by_side(void **state)
{
	_Atomic unsigned removed = 0;
	struct index *x = index_new(on_removed, &removed);
	struct question q1, q2, q3;
	const struct index_ask *html = ask(&q1, "u", "text/html", 0), *json = ask(&q2, "u", "application/json", 0);
	const struct index_ask *none = ask(&q3, "u", NULL, 0);

	(void)state;
	store(x, html, "accept");
	assert_true(has(x, html));
	assert_false(has(x, json));
	assert_false(has(x, none));
	store(x, json, "accept");
	store(x, none, "accept");
	assert_true(has(x, html) && has(x, json) && has(x, none));
	assert_int_equal(index_counts(x).published, 3);
	assert_int_equal(removed, 0);
	assert_int_equal(index_purge(x, &html->key), 3);
	assert_int_equal(removed, 3);
	assert_false(has(x, html) || has(x, json) || has(x, none));
	index_free(x);
}

static void the_first_flight_of_an_unknown_url_is_for_all_variants(void **state)
{
	_Atomic unsigned removed = 0;
	struct index *x = index_new(on_removed, &removed);
	struct question q1, q2;
	const struct index_ask *html = ask(&q1, "u", "text/html", 0), *json = ask(&q2, "u", "application/json", 0);
	struct entry *first = begin(x, html), *joined = NULL, *second;

	(void)state;
	assert_int_equal(index_begin(x, json, NULL, NULL, true, &joined), INDEX_JOINED);
	entry_unref(&joined);
	take_head(first, html, "accept"); /* now it is known, while the body comes */
	second = begin(x, json);
	assert_ptr_not_equal(first, second);
	assert_int_equal(index_begin(x, html, NULL, NULL, true, &joined), INDEX_JOINED);
	assert_ptr_equal(joined, first);
	entry_unref(&joined);
	take_head(second, json, "accept");
	assert_true(publish(x, &first));
	assert_true(publish(x, &second));
	assert_true(has(x, html) && has(x, json));
	index_free(x);
}

static void what_varies_and_what_does_not_replace_each_other(void **state)
{
	_Atomic unsigned removed = 0;
	struct index *x = index_new(on_removed, &removed);
	struct question q1, q2;
	const struct index_ask *html = ask(&q1, "u", "text/html", 0), *json = ask(&q2, "u", "application/json", 0);
	struct entry *plain_one, *varying;

	(void)state;
	store(x, html, "accept");
	store(x, json, "accept");
	plain_one = begin(x, ask(&q1, "u", "text/plain", 0));
	take_head(plain_one, html, "");
	assert_true(publish(x, &plain_one));
	assert_int_equal(removed, 2);
	assert_int_equal(index_counts(x).published, 1);
	assert_true(has(x, html) && has(x, json));
	/* and back: a request that finds it stale */
	plain_one = look_up(x, html, 0);
	assert_int_equal(index_begin(x, html, plain_one, plain_one->head, true, &varying), INDEX_BEGUN);
	entry_unref(&plain_one);
	html = ask(&q1, "u", "text/html", 0);
	take_head(varying, html, "accept");
	assert_true(publish(x, &varying));
	assert_int_equal(removed, 3);
	assert_int_equal(index_counts(x).published, 1);
	assert_true(has(x, html));
	assert_false(has(x, json));
	index_free(x);
}

static void a_new_response_replaces_the_old_one(void **state)
{
	_Atomic unsigned removed = 0;
	struct index *x = index_new(on_removed, &removed);
	struct question q;
	const struct index_ask *a = ask(&q, "u", "text/html", 0);
	struct entry *old, *e, *found;

	(void)state;
	store(x, a, "accept");
	old = look_up(x, a, 0);
	assert_int_equal(index_begin(x, a, old, old->head, true, &e), INDEX_BEGUN);
	take_head(e, a, "accept");
	assert_true(publish(x, &e));
	found = look_up(x, a, 0);
	assert_ptr_not_equal(found, old);
	assert_int_equal(index_counts(x).published, 1);
	assert_int_equal(removed, 1);
	entry_unref(&found);
	entry_unref(&old);
	index_free(x);
}

/* One like it, made ready aside. */
static struct entry *twin(struct index *x, const struct index_ask *a)
{
	struct entry *e = index_entry(x, &a->key);

	take_head(e, a, "");
	entry_end(e, ENTRY_FILLED, REASON_NONE, NULL);
	return e;
}

static void a_copy_takes_the_place_of_what_it_was_made_from_alone(void **state)
{
	_Atomic unsigned removed = 0;
	struct index *x = index_new(on_removed, &removed);
	struct question q;
	const struct index_ask *a = plain(&q, "u");
	struct entry *old, *e, *late, *found;

	(void)state;
	store(x, a, "");
	old = look_up(x, a, 0);
	e = twin(x, a);
	assert_false(index_swap(x, old, e->head, e)); /* it has got another head since */
	assert_int_equal(removed, 0);
	assert_true(index_swap(x, old, old->head, e));
	assert_int_equal(removed, 1);
	found = look_up(x, a, 0);
	assert_ptr_equal(found, e);
	late = twin(x, a);
	assert_false(index_swap(x, old, old->head, late)); /* somebody was quicker */
	assert_int_equal(index_purge(x, &a->key), 1);
	assert_false(index_swap(x, e, e->head, late)); /* it was purged */
	assert_int_equal(index_counts(x).published, 0);
	entry_unref(&late);
	entry_unref(&found);
	entry_unref(&e);
	entry_unref(&old);
	index_free(x);
}

static void a_purge_reaches_what_is_still_coming(void **state)
{
	_Atomic unsigned removed = 0;
	struct index *x = index_new(on_removed, &removed);
	struct question q, other;
	const struct index_ask *a = plain(&q, "u"), *b = plain(&other, "v");
	struct entry *e = begin(x, a), *later;

	(void)state;
	store(x, b, "");
	take_head(e, a, "");
	assert_int_equal(index_purge(x, &a->key), 0);
	later = begin(x, a); /* who comes now does not join what was purged */
	assert_ptr_not_equal(later, e);
	assert_false(publish(x, &e));
	assert_false(has(x, a));
	take_head(later, a, "");
	assert_true(publish(x, &later));
	assert_true(has(x, a) && has(x, b));
	index_free(x);
}

static void marks(void **state)
{
	_Atomic unsigned removed = 0;
	struct index *x = index_new(on_removed, &removed);
	struct question q1, q2;
	const struct index_ask *html = ask(&q1, "u", "text/html", 0), *none = plain(&q2, "u");
	struct entry *mark, *found;

	(void)state;
	store(x, html, "accept");
	assert_null(index_mark(x, &html->key, 1000)); /* what is stored is somebody's, and stays */
	assert_true(has(x, html));
	assert_int_equal(index_purge(x, &html->key), 1);
	mark = index_mark(x, &html->key, 1000);
	assert_int_equal(removed, 1);
	found = look_up(x, none, 999);
	assert_ptr_equal(found, mark);
	assert_int_equal(found->phase, ENTRY_MARK);
	entry_unref(&found);
	assert_int_equal(index_purge(x, &html->key), 0); /* a mark is no response */
	assert_null(look_up(x, none, 0));
	entry_unref(&mark);
	mark = index_mark(x, &html->key, 1000);
	assert_null(look_up(x, none, 1000)); /* expired */
	assert_int_equal(index_counts(x).published, 0);
	entry_unref(&mark);
	mark = index_mark(x, &html->key, 1000);
	entry_unref(&mark);
	found = look_up(x, none, 0);
	assert_int_equal(index_begin(x, none, found, NULL, true, &mark), INDEX_BEGUN);
	entry_unref(&found);
	take_head(mark, none, "");
	assert_true(publish(x, &mark)); /* a response takes the mark's place */
	assert_int_equal(index_counts(x).published, 1);
	index_free(x);
}

/* ---- races ---- */

#define THREADS 3
#define ROUNDS 3000

struct race {
	struct index *index;
	_Atomic unsigned removed, begun, wrong, flying;
	pthread_barrier_t line;
};

/* ---- for other nodes ---- */

static const struct key_variant no_variant;

static void give_bytes(struct entry *e, size_t n)
{
	uint64_t charged = 0;
	size_t room;
	char *p = body_room(&e->body, UINT64_MAX, &room, &charged);

	assert_true(room >= n);
	memset(p, 'x', n);
	body_publish(&e->body, n);
}

/* How many of all parts there are, and the last of them. */
static size_t shared_in(struct index *x, struct index_shared *last)
{
	size_t n = 0;

	for (unsigned part = 0; part < INDEX_PARTS; part++) {
		struct index_shared *v;
		size_t here = index_shared(x, part, &v);

		assert_true(here > 0 || v == NULL);
		if (here)
			*last = v[here - 1];
		n += here;
		free(v);
	}
	return n;
}

static void others_see_what_is_whole_and_what_grows(void **state)
{
	uint8_t digest[HEAD_DIGEST_BYTES] = {1, 2, 3};
	_Atomic unsigned removed = 0;
	struct index *x = index_new(on_removed, &removed);
	struct index_peek peek;
	struct question q;
	const struct index_ask *a = plain(&q, "https://a.test/x.tgz");
	struct index_shared shared = {.size = 0};
	struct entry *e, *found;
	struct head *head;

	(void)state;
	assert_false(index_peek(x, a->key.b, &no_variant, 0, &peek));
	e = begin(x, a);
	assert_false(index_peek(x, a->key.b, &no_variant, 0, &peek)); /* nobody knows yet whether it may be shared */
	assert_null(index_peek_head(x, a->key.b, &no_variant));
	take_head(e, a, "");
	give_bytes(e, 100);
	entry_set_order(e, 2);
	assert_true(index_peek(x, a->key.b, &no_variant, 0, &peek));
	assert_int_equal(peek.what, INDEX_PEEK_GROWING);
	assert_int_equal(peek.have, 100);
	assert_int_equal(peek.size, 0);
	assert_false(peek.has_digest);
	assert_int_equal(shared_in(x, &shared), 0); /* not whole */
	head = index_peek_head(x, a->key.b, &no_variant);
	assert_ptr_equal(head, e->head);
	head_unref(&head);
	found = index_find_any(x, a, 0);
	assert_ptr_equal(found, e);
	entry_unref(&found);
	head_set_digest(e->head, digest);
	assert_true(publish(x, &e));
	assert_true(index_peek(x, a->key.b, &no_variant, 0, &peek));
	assert_int_equal(peek.what, INDEX_PEEK_WHOLE);
	assert_int_equal(peek.size, 100);
	assert_true(peek.has_digest);
	assert_memory_equal(peek.digest, digest, sizeof(digest));
	assert_int_equal(peek.ttl_s, FRESH_FOREVER_S);
	assert_int_equal(shared_in(x, &shared), 1);
	assert_int_equal(shared.size, 100);
	assert_memory_equal(shared.key, a->key.b, INDEX_PEEK_KEY_BYTES);
	found = index_find_any(x, a, 0);
	assert_non_null(found);
	entry_unref(&found);
	index_free(x);
}

static void others_do_not_see_what_is_somebodys_own_or_may_change(void **state)
{
	static const struct {
		int status;
		int64_t lifetime_s;
		bool guarded, stored, seen;
	} rows[] = {
		{200, FRESH_FOREVER_S, false, true, true},
		{404, FRESH_FOREVER_S, false, true, false},
		{200, 3600, false, true, false},
		{200, FRESH_FOREVER_S, true, true, false},
		{200, FRESH_FOREVER_S, false, false, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		_Atomic unsigned removed = 0;
		struct index *x = index_new(on_removed, &removed);
		struct entry_terms t = {
			.stored = rows[i].stored, .guarded = rows[i].guarded, .shared = true, .joinable = true};
		struct head *h = head_of("");
		struct index_peek peek;
		struct question q;
		const struct index_ask *a = plain(&q, "https://a.test/x.tgz");
		struct entry *e = begin(x, a);

		h->status = (uint16_t)rows[i].status;
		h->terms.lifetime_s = rows[i].lifetime_s;
		entry_set_head(e, h, &t);
		assert_int_equal(index_peek(x, a->key.b, &no_variant, 0, &peek), rows[i].seen);
		assert_true(publish(x, &e));
		assert_int_equal(index_peek(x, a->key.b, &no_variant, 0, &peek), rows[i].seen);
		index_free(x);
	}
}

static void others_are_told_by_which_fields_a_variant_differs(void **state)
{
	_Atomic unsigned removed = 0;
	struct index *x = index_new(on_removed, &removed);
	struct key_variant variant;
	struct index_peek peek;
	struct question q;
	const struct index_ask *a = ask(&q, "https://a.test/x.tgz", "text/plain", 0);
	struct vary vary;

	(void)state;
	store(x, a, "accept");
	assert_false(index_peek(x, a->key.b, &no_variant, 0, &peek));
	assert_true(peek.other_variant);
	assert_string_equal(peek.vary, "accept");
	vary_parse(span_str(peek.vary), &vary);
	key_variant(&variant, &vary, a->request);
	assert_true(index_peek(x, a->key.b, &variant, 0, &peek));
	index_free(x);
}

static bool is_of_a(void *cookie, const struct head *h, const uint8_t *digest)
{
	(void)cookie;
	(void)digest;
	return span_starts(head_url(h), SPAN("https://a.test/"));
}

static void store_url(struct index *x, const char *url)
{
	struct entry_terms t = {.stored = true, .shared = true, .joinable = true};
	struct question q;
	struct entry *e = begin(x, plain(&q, url));

	entry_set_head(e, head_for("", url), &t);
	assert_true(publish(x, &e));
}

static void a_purge_by_what_the_url_is_like(void **state)
{
	_Atomic unsigned removed = 0;
	struct index *x = index_new(on_removed, &removed);
	struct entry *pending, *other;
	struct question q;
	char url[64];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		snprintf(url, sizeof(url), "https://%s.test/%d", i % 4 ? "a" : "b", i);
		store_url(x, url);
	}
	pending = begin(x, plain(&q, "https://c.test/not-known-yet")); /* without a head nobody knows what it is */
	other = begin(x, plain(&q, "https://c.test/c"));
	entry_set_head(other, head_for("", "https://c.test/c"),
		       &(struct entry_terms){.stored = true, .shared = true, .joinable = true});
	assert_int_equal(index_purge_if(x, is_of_a, NULL, NULL), 750);
	assert_int_equal(removed, 750);
	assert_int_equal(index_counts(x).published, 250);
	take_head(pending, plain(&q, "https://c.test/not-known-yet"), "");
	assert_false(publish(x, &pending));
	assert_true(publish(x, &other));
	index_free(x);
}

static void *race_to_begin(void *arg)
{
	struct race *r = arg;
	struct question q;
	char url[32];

	for (unsigned i = 0; i < ROUNDS; i++) {
		const struct index_ask *a;
		struct entry *e = NULL;
		enum index_begin how;

		struct buf b = buf_over(url, sizeof(url) - 1);

		buf_put_u64(&b, i);
		url[b.n] = '\0';
		a = plain(&q, url);
		pthread_barrier_wait(&r->line);
		how = index_begin(r->index, a, NULL, NULL, true, &e);
		if (how == INDEX_CHANGED)
			atomic_fetch_add(&r->wrong, 1);
		if (how == INDEX_BEGUN)
			atomic_fetch_add(&r->begun, 1);
		pthread_barrier_wait(&r->line);
		if (how == INDEX_BEGUN)
			index_withdraw(r->index, e);
		entry_unref(&e);
	}
	return NULL;
}

static void exactly_one_begins(void **state)
{
	struct race r = {0};
	pthread_t threads[THREADS];

	(void)state;
	r.index = index_new(on_removed, &r.removed);
	pthread_barrier_init(&r.line, NULL, THREADS);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, race_to_begin, &r);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(r.begun, ROUNDS);
	assert_int_equal(r.wrong, 0);
	assert_int_equal(index_counts(r.index).pending, 0);
	pthread_barrier_destroy(&r.line);
	index_free(r.index);
}

/* All that an index can do, at once, over few URLs. */
static void *do_anything(void *arg)
{
	struct race *r = arg;
	struct rng rng;

	rng_seed(&rng, atomic_fetch_add(&r->begun, 1));
	for (unsigned i = 0; i < 4 * ROUNDS; i++) {
		static const char *const urls[] = {"a", "b", "c"};
		static const char *const accepts[] = {"x", "y", NULL};
		struct question q;
		const struct index_ask *a =
			ask(&q, urls[rng_below(&rng, 3)], accepts[rng_below(&rng, 3)], (uint8_t)rng_below(&rng, 2));
		struct entry *seen = look_up(r->index, a, (mono_us)i), *e = NULL, *mark;
		struct entry_view view = {0};

		if (seen)
			entry_look(seen, &view);
		if (view.head && view.head->vary_n) { /* the variant fits, or it would not have been found */
			struct key_variant ours;
			struct vary vary;

			vary_parse(head_vary(view.head), &vary);
			key_variant(&ours, &vary, a->request);
			if (!key_variant_same(&ours, &view.variant))
				atomic_fetch_add(&r->wrong, 1);
		}
		switch (rng_below(&rng, 8)) {
		case 0:
			index_purge(r->index, &a->key);
			break;
		case 1:
			if (seen)
				index_remove(r->index, seen);
			break;
		case 2:
			mark = index_mark(r->index, &a->key, (mono_us)i + 50);
			entry_unref(&mark);
			break;
		default:
			if (index_begin(r->index, a, seen, view.head, rng_below(&rng, 8) > 0, &e) != INDEX_BEGUN)
				break;
			if (rng_below(&rng, 4)) {
				take_head(e, a, rng_below(&rng, 2) ? "accept" : "");
				entry_end(e, ENTRY_FILLED, REASON_NONE, NULL);
				index_publish(r->index, e);
			} else {
				index_withdraw(r->index, e);
				entry_end(e, ENTRY_BROKEN, REASON_ABORTED, NULL);
			}
			break;
		}
		head_unref(&view.head);
		entry_unref(&e);
		entry_unref(&seen);
	}
	return NULL;
}

static void anything_at_once(void **state)
{
	struct race r = {0};
	pthread_t threads[THREADS];
	struct index_counts c;

	(void)state;
	r.index = index_new(on_removed, &r.removed);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, do_anything, &r);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(r.wrong, 0);
	c = index_counts(r.index);
	assert_int_equal(c.pending, 0);
	assert_in_range(c.published, 0, 9); /* three URLs, three variants at the most */
	index_free(r.index);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(from_nothing_to_published_to_removed),
		cmocka_unit_test(joining),
		cmocka_unit_test(begin_notices_what_has_changed),
		cmocka_unit_test(variants_live_side_by_side),
		cmocka_unit_test(the_first_flight_of_an_unknown_url_is_for_all_variants),
		cmocka_unit_test(what_varies_and_what_does_not_replace_each_other),
		cmocka_unit_test(a_new_response_replaces_the_old_one),
		cmocka_unit_test(a_copy_takes_the_place_of_what_it_was_made_from_alone),
		cmocka_unit_test(a_purge_reaches_what_is_still_coming),
		cmocka_unit_test(marks),
		cmocka_unit_test(others_see_what_is_whole_and_what_grows),
		cmocka_unit_test(others_do_not_see_what_is_somebodys_own_or_may_change),
		cmocka_unit_test(others_are_told_by_which_fields_a_variant_differs),
		cmocka_unit_test(a_purge_by_what_the_url_is_like),
		cmocka_unit_test(exactly_one_begins),
		cmocka_unit_test(anything_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
