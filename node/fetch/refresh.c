#include "node/fetch/refresh.h"

#include <stdio.h>
#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/json.h"
#include "node/base/mem.h"
#include "node/cache/disk.h"
#include "node/cache/disk_file.h"
#include "node/fetch/hostmood.h"
#include "node/net/stream_loan.h"
#include "node/policy/classrule.h"
#include "proto/storeid.h"

#define MOST_ROUNDS 8 /* that the cache may change under us */

struct refresh {
	unsigned magic;
	unsigned refs; /* its owner, and a look at the disk that is under way */
	const struct fetcher *fetcher;
	struct policy *policy;
	struct span salt;
	struct arena arena;
	struct http1_request *request;
	struct url url;
	struct storeid store_id;
	struct path_facts path;
	struct fresh_request facts;
	struct key key;
	refresh_on_done_f *on_done; /* NULL: cancelled, or told */
	void *cookie;
	struct deferred job;
	struct entry *entry;
	struct entry_watch watch;
	struct stream_loan *loan; /* what is brought comes on it; NULL: it is fetched */
	bool has_before, fresh_on_disk;
	uint8_t before[HEAD_DIGEST_BYTES];
};

#define REFRESH_MAGIC 0x4ef4e540

static void refresh_unref(struct refresh *r)
{
	if (--r->refs)
		return;
	loop_defer_cancel(r->fetcher->loop, &r->job);
	entry_watch_stop(&r->watch);
	entry_unref(&r->entry);
	policy_unref(&r->policy);
	arena_free(&r->arena);
	r->magic = 0;
	free(r);
}

/* ---- the end ---- */

struct outcome {
	const char *result, *why;
	int status;
	bool has_size, has_digest;
	uint64_t size;
	uint8_t digest[HEAD_DIGEST_BYTES];
};

static void put_digest(struct buf *b, const char *name, const uint8_t *digest)
{
	buf_printf(b, ",\"%s\":\"sha256:", name);
	buf_put_hex(b, digest, HEAD_DIGEST_BYTES);
	buf_putc(b, '"');
}

static void put_outcome(struct buf *b, const struct refresh *r, const struct outcome *o)
{
	buf_put_str(b, "{\"url\":");
	json_put_string(b, r->store_id.text);
	buf_printf(b, ",\"result\":\"%s\"", o->result);
	if (o->status)
		buf_printf(b, ",\"status\":%d", o->status);
	if (o->has_size) {
		buf_put_str(b, ",\"size\":");
		buf_put_u64(b, o->size);
	}
	if (o->has_digest)
		put_digest(b, "digest", o->digest);
	if (r->has_before)
		put_digest(b, "before", r->before);
	if (o->why) {
		buf_put_str(b, ",\"why\":");
		json_put_string(b, span_str(o->why));
	}
	buf_put_str(b, "}\n");
}

static void say(const struct refresh *r, const struct outcome *o)
{
	bool changed = o->has_digest && r->has_before && memcmp(o->digest, r->before, sizeof(o->digest)) != 0;

	log_line(r->fetcher->log, changed ? LOG_WARNING : LOG_NOTICE, "refresh", "%.*s%.*s: %s%s%s",
		 SPAN_ARG(r->url.host), SPAN_ARG(r->url.path), changed ? "its body is another one now" : o->result,
		 o->why ? ": " : "", o->why ? o->why : "");
}

static void finish(struct refresh *r, const struct outcome *o)
{
	size_t room = REFRESH_JSON_BYTES(r->store_id.text.n);
	struct buf b = buf_over(mem_alloc(room), room);
	refresh_on_done_f *on_done = r->on_done;
	void *cookie = r->cookie;

	r->on_done = NULL;
	put_outcome(&b, r, o);
	CHECK_THAT(!b.full);
	say(r, o);
	refresh_unref(r);
	if (on_done)
		on_done(cookie, buf_span(&b));
	free(b.p);
}

static void failed(struct refresh *r, const char *why)
{
	finish(r, &(struct outcome){.result = "failed", .why = why});
}

static void broken(struct refresh *r, enum reason why)
{
	char detail[ENTRY_DETAIL_BYTES + 1], text[ENTRY_DETAIL_BYTES + 200];

	entry_detail(r->entry, detail);
	snprintf(text, sizeof(text), "%s%s%s", reason_sentence(why), *detail ? ": " : "", detail);
	failed(r, text);
}

/* ---- the flight ---- */

static void note_before(struct refresh *r, const uint8_t *digest)
{
	r->has_before = digest != NULL;
	if (digest)
		memcpy(r->before, digest, sizeof(r->before));
}

static void ended_whole(struct refresh *r, const struct entry_view *view)
{
	const uint8_t *digest = head_digest(view->head);
	struct outcome o = {
		.result = "new", .status = view->head->status, .has_size = true, .size = body_length(&r->entry->body)};

	if (!view->stored || view->head->status != 200) {
		o.result = "kept";
		o.why = view->head->status == 200 ? "the answer may not be stored, or has no room here"
						  : "the origin answers with another status than 200";
	} else if (digest) {
		o.has_digest = true;
		memcpy(o.digest, digest, sizeof(o.digest));
		if (r->has_before)
			o.result = memcmp(digest, r->before, sizeof(r->before)) == 0 ? "unchanged" : "changed";
	}
	finish(r, &o);
}

/* What is not stored comes through a window, which has to move on. */
static void on_change(void *cookie)
{
	struct refresh *r = cookie;
	struct entry_view view;

	CHECK(r, REFRESH_MAGIC);
	entry_look(r->entry, &view);
	switch (view.phase) {
	case ENTRY_NEW:
	case ENTRY_MARK:
		break;
	case ENTRY_FILLING:
		entry_watch_advance(&r->watch, body_length(&r->entry->body));
		break;
	case ENTRY_COMPLETE:
		ended_whole(r, &view);
		break;
	case ENTRY_FAILED:
		broken(r, view.why);
		break;
	}
	head_unref(&view.head);
}

static void fly(struct refresh *r, struct entry *e)
{
	struct flight_ask ask = {
		.policy = r->policy,
		.request = r->request,
		.url = r->url,
		.store_id = r->store_id.text,
		.path = r->path,
		.facts = r->facts,
		.key = r->key,
		.entry = entry_ref(e),
		.store = true,
		.whole = true,
		.afresh = true,
	};
	struct flight *f;

	if (r->loan) {
		struct stream *s = stream_lend(r->loan);

		ask.brought = link_new(&s, "import");
	}
	r->entry = e;
	entry_watch_start(&r->watch, e, r->fetcher->loop, 0, on_change, r);
	f = flight_start(r->fetcher, &ask);
	flight_leave(&f); /* it goes on as long as we watch */
}

/* For whoever asks without wishes of his own. */
static bool is_fresh(const struct refresh *r, const struct head *head)
{
	struct cachectl nothing = {0};
	enum fresh_why why;

	switch (fresh_verdict(&head->terms, &nothing, head_here(head, loop_now(r->fetcher->loop)), &why)) {
	case FRESH_SERVE:
	case FRESH_SERVE_AND_REVALIDATE:
		return true;
	case FRESH_SERVE_STALE:
	case FRESH_REVALIDATE:
		break;
	}
	return false;
}

/* What is there stays there until something better has come: nobody joins us, nor we anybody. */
static bool begin(struct refresh *r)
{
	struct index_ask ask = {.key = r->key, .request = &r->request->fields};
	struct index *x = r->fetcher->index;
	enum index_begin begun;
	struct entry_view view = {0};
	struct entry *seen, *e = NULL;
	bool other_variant;

	seen = index_lookup(x, &ask, loop_now(r->fetcher->loop), &other_variant);
	if (seen)
		entry_look(seen, &view);
	if (r->loan && view.head && view.phase == ENTRY_COMPLETE && !view.guarded && is_fresh(r, view.head)) {
		head_unref(&view.head);
		entry_unref(&seen);
		finish(r, &(struct outcome){.result = "fresh"});
		return true;
	}
	begun = index_begin(x, &ask, seen, view.head, false, &e);
	if (view.head && view.phase == ENTRY_COMPLETE)
		note_before(r, head_digest(view.head));
	head_unref(&view.head);
	entry_unref(&seen);
	if (begun == INDEX_BEGUN)
		fly(r, e);
	return begun == INDEX_BEGUN;
}

static void on_start(void *arg)
{
	struct refresh *r = arg;
	int rounds = 0;

	CHECK(r, REFRESH_MAGIC);
	if (r->loan && r->fresh_on_disk) {
		finish(r, &(struct outcome){.result = "fresh"});
		return;
	}
	while (!begin(r))
		if (++rounds == MOST_ROUNDS) {
			failed(r, "what is stored changes all the time");
			return;
		}
}

/* ---- what is on the disk alone ---- */

static bool is_fresh_file(const struct refresh *r, struct disk_file *file)
{
	struct head *head = disk_file_head(file);
	bool yes = is_fresh(r, head);

	head_unref(&head);
	return yes;
}

static void on_found(void *cookie, struct disk_file *file)
{
	struct refresh *r = cookie;

	CHECK(r, REFRESH_MAGIC);
	if (file) {
		note_before(r, disk_file_digest(file));
		r->fresh_on_disk = !disk_file_is_guarded(file) && is_fresh_file(r, file);
	}
	disk_file_unref(&file);
	if (r->on_done)
		loop_defer(r->fetcher->loop, &r->job, on_start, r);
	refresh_unref(r);
}

static void look_on_disk(struct refresh *r)
{
	struct index_ask ask = {.key = r->key, .request = &r->request->fields};
	struct disk *d = r->fetcher->disk;

	r->refs++;
	if (d && disk_has(d, &r->key) && disk_find_start(d, &ask, r->fetcher->loop, on_found, r) == 0)
		return;
	r->refs--;
	loop_defer(r->fetcher->loop, &r->job, on_start, r);
}

/* ---- start ---- */

/* As a client asks that has no wishes but this one. The fields borrow from the arena. */
static bool make_request(struct refresh *r, struct span url)
{
	const struct span rest = r->loan ? SPAN(" HTTP/1.1\r\nAccept: */*\r\n\r\n")
					 : SPAN(" HTTP/1.1\r\nCache-Control: no-cache\r\n\r\n");
	size_t room = url.n + rest.n + 8, scanned = 0;
	struct buf b = buf_over(arena_alloc(&r->arena, room), room);
	enum reason why;

	buf_put_str(&b, "GET ");
	buf_put(&b, url);
	buf_put(&b, rest);
	r->request = arena_zalloc(&r->arena, sizeof(*r->request));
	return http1_parse_request(buf_span(&b), &scanned, b.n, r->request, &why) == HTTP1_DONE;
}

static bool read_url(struct refresh *r, struct span text, const char **why)
{
	size_t room = STOREID_BYTES(text.n);
	struct buf b = buf_over(arena_alloc(&r->arena, room), room);
	enum reason reason;

	text = arena_copy(&r->arena, text);
	if (url_parse_absolute(text, &r->url, &reason)) {
		*why = reason_sentence(reason);
		return false;
	}
	if (r->url.userinfo.n) {
		*why = "what is given to a credential cannot be refreshed";
		return false;
	}
	storeid_format(&b, &r->url, &r->store_id);
	if (b.full || !make_request(r, text)) {
		*why = reason_sentence(REASON_URL_TOO_LONG);
		return false;
	}
	pathclass_of(r->store_id.path, r->store_id.query, &r->request->fields, &r->path);
	classrule_apply(&r->policy->cache, r->url.host, r->store_id.path, &r->path);
	key_make(&r->key, r->salt, r->store_id.text);
	fresh_read_request(r->request, &r->facts);
	*why = fresh_why_sentence(FRESH_WHY_PASS);
	return r->path.class != PATH_PASS;
}

static struct refresh *start(const struct refresh_ground *g, struct span url, struct stream_loan *loan,
			     refresh_on_done_f *on_done, void *cookie, const char **why)
{
	struct refresh *r = NEW(struct refresh);

	r->magic = REFRESH_MAGIC;
	r->refs = 1;
	r->fetcher = g->fetcher;
	r->policy = policy_ref(g->policy);
	r->salt = g->salt;
	r->loan = loan;
	r->on_done = on_done;
	r->cookie = cookie;
	if (!read_url(r, url, why)) {
		refresh_unref(r);
		return NULL;
	}
	if (!loan && hostmoods_are_offline(r->fetcher->moods, r->policy->cache.offline)) {
		*why = "this node is offline (cache.offline)";
		refresh_unref(r);
		return NULL;
	}
	look_on_disk(r);
	return r;
}

struct refresh *refresh_start(const struct refresh_ground *g, struct span url, refresh_on_done_f *on_done, void *cookie,
			      const char **why)
{
	return start(g, url, NULL, on_done, cookie, why);
}

struct refresh *refresh_bring(const struct refresh_ground *g, struct span url, struct stream_loan *loan,
			      refresh_on_done_f *on_done, void *cookie, const char **why)
{
	return start(g, url, loan, on_done, cookie, why);
}

void refresh_cancel(struct refresh **rp)
{
	struct refresh *r = *rp;

	*rp = NULL;
	if (!r)
		return;
	CHECK(r, REFRESH_MAGIC);
	r->on_done = NULL;
	loop_defer_cancel(r->fetcher->loop, &r->job);
	refresh_unref(r);
}
