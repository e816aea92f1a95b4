/* The body, from the origin to the entry: stored whole at the store's pace, or through a window at the readers'. */
#include "node/base/check.h"
#include "node/fetch/flight_internal.h"
#include "node/fetch/stored_head.h"

#define FILL_TURN_BYTES ((uint64_t)256 * 1024)
#define FINISH_IMMUTABLE_BYTES ((uint64_t)1024 * 1024 * 1024)
#define HOLD_WHOLE_BYTES ((uint64_t)64 * 1024)
#define PASS_MS (5 * DUR_MINUTE)
#define NOBODY_READS UINT64_MAX

/* ---- the end ---- */

static bool first_bytes_fit(struct flight *f)
{
	struct body_at at = {0};
	char first[PATHCLASS_FIRST_BYTES];
	struct buf b = buf_over(first, sizeof(first));
	struct span v[4];
	int n = body_spans(&f->entry->body, &at, v, 4, sizeof(first));

	for (int i = 0; i < n; i++)
		buf_put(&b, v[i]);
	return pathclass_bytes_fit(f->path.content, buf_span(&b));
}

/* "Immutable" was believed so far; now that the body is there, it is known (pathclass.h). False: not even to be stored. */
static bool settle_terms(struct flight *f)
{
	enum fresh_why why;
	struct fresh_terms terms;
	struct entry_view view;

	if (!f->answer.earned || first_bytes_fit(f))
		return true;
	f->answer.earned = false;
	log_line(f->fetcher->log, LOG_WARNING, "cache",
		 "%.*s%.*s does not look like what its name says; not kept for good", SPAN_ARG(f->url.host),
		 SPAN_ARG(f->url.path));
	if (fresh_may_store(&f->facts, &f->answer, &why) == FRESH_STORE_NO)
		return false;
	fresh_terms(&f->answer, &terms);
	entry_look(f->entry, &view);
	entry_swap_head(f->entry, stored_head_with_terms(view.head, &terms));
	head_unref(&view.head);
	return true;
}

/* False: a promise is broken, the flight has failed, and the last byte has gone to nobody. */
static bool digest_fits(struct flight *f)
{
	const struct integrity_promise *broken = integrity_end(&f->integrity);
	char text[INTEGRITY_TEXT_BYTES + 1];
	struct buf b = buf_over(text, INTEGRITY_TEXT_BYTES);

	if (!broken) {
		body_publish(&f->entry->body, f->held);
		f->held = 0;
		return true;
	}
	integrity_format(broken, &b);
	text[b.n] = '\0';
	metric_add(f->fetcher->metrics, METRIC_INTEGRITY_FAILURES, 1);
	metric_add(f->fetcher->metrics, integrity_metric(broken->source), 1);
	flight__failed(f, REASON_INTEGRITY, text);
	return false;
}

/* Another credential was given the very bytes that are stored for the first: the stored response serves both from now on, and need not
 * be asked for again and again in turn. */
static bool is_shared_secret(const struct flight *f)
{
	struct entry_view view;
	bool yes;

	if (!f->guarded || !f->stale)
		return false;
	entry_look(f->stale, &view);
	yes = view.guarded && view.head->status == f->answer.status && body_same(&f->stale->body, &f->entry->body);
	head_unref(&view.head);
	return yes;
}

static void share_stored(struct flight *f)
{
	struct entry_view view;

	entry_look(f->entry, &view);
	entry_swap_head(f->stale, view.head);
	entry_admit(f->stale, &f->who, mono_after(loop_now(f->fetcher->loop), PASS_MS));
	index_withdraw(f->fetcher->index, f->entry);
}

static void keep(struct flight *f)
{
	const struct fetcher *c = f->fetcher;

	if (is_shared_secret(f)) {
		share_stored(f);
		return;
	}
	if (f->guarded)
		entry_admit(f->entry, &f->who, mono_after(loop_now(c->loop), PASS_MS));
	if (!index_publish(c->index, f->entry))
		return;
	c->store->ops->keep(c->store, f->entry, f->reserved);
	f->reserved = 0;
	metric_add(c->metrics, METRIC_STORED, 1);
}

static void finish(struct flight *f)
{
	const struct fetcher *c = f->fetcher;
	struct link *link;
	bool fit, post_pending;

	if (!digest_fits(f))
		return; /* f may be gone */
	link = exchange_finish(&f->exchange);
	if (link)
		pool_give(c->pool, &link);
	fit = f->stored && settle_terms(f);
	if (!fit) {
		flight__end(f, ENTRY_FILLED, REASON_NONE);
		return;
	}
	/* Complete first, published then, so that whoever finds it finds all of it. */
	post_pending = entry_end(f->entry, ENTRY_FILLED, REASON_NONE, c->loop);
	keep(f);
	if (f->reserved) {
		c->store->ops->release(c->store, f->reserved);
		f->reserved = 0;
	}
	flight__close(f, post_pending);
}

/* ---- the window ---- */

/* Too large, or no room: from here on it goes by. */
static void unstore(struct flight *f)
{
	f->stored = false;
	index_withdraw(f->fetcher->index, f->entry);
	entry_unstore(f->entry);
}

static uint64_t window_room(struct flight *f)
{
	struct entry_readers r;
	uint64_t length = body_length(&f->entry->body), ahead, freed;

	if (f->stored)
		return NOBODY_READS - 1;
	r = entry_readers(f->entry, false);
	if (r.n == 0)
		return NOBODY_READS;
	freed = body_trim(&f->entry->body, r.slowest);
	if (freed > f->reserved)
		freed = f->reserved;
	f->fetcher->store->ops->release(f->fetcher->store, freed);
	f->reserved -= freed;
	ahead = length - r.slowest;
	return ahead < f->policy->cache.read_ahead ? f->policy->cache.read_ahead - ahead : 0;
}

/* ---- moving on ---- */

static bool too_large(const struct flight *f, uint64_t length)
{
	return length > f->policy->cache.memory_max_object || length > f->policy->cache.max_object;
}

/* Room for the next bytes; NULL: there is no memory at all. */
static char *next_room(struct flight *f, size_t *room)
{
	const struct fetcher *c = f->fetcher;
	uint64_t charged = 0;
	char *p = body_room(&f->entry->body, f->expected, room, &charged);

	if (!p || !charged)
		return p;
	if (c->store->ops->reserve(c->store, charged)) {
		f->reserved += charged;
		return p;
	}
	if (f->stored)
		unstore(f);
	return p;
}

/* How much of the body is here, with what is held back. */
static uint64_t here(const struct flight *f)
{
	return body_length(&f->entry->body) + f->held;
}

/* The last byte of all waits for the verdict: a body that breaks a promise ends visibly short. Without a length any may be the last. */
static size_t holds(const struct flight *f, uint64_t length)
{
	return integrity_is_promised(&f->integrity) && (f->expected == UINT64_MAX || length == f->expected);
}

/* n bytes more are in the room, behind those held. */
static void received(struct flight *f, const char *p, size_t n)
{
	size_t ready = f->held + n;

	if (f->stored || integrity_is_promised(&f->integrity))
		integrity_add(&f->integrity, p, n);
	metric_add(f->fetcher->metrics, METRIC_UPSTREAM_BYTES, n);
	f->held = holds(f, here(f) + n);
	body_publish(&f->entry->body, ready - f->held);
}

/* The held byte fills the room: it cannot be the last, when another comes, and that one gets new room. */
static char *move_on(struct flight *f, char next)
{
	size_t room;
	char *p;

	body_publish(&f->entry->body, f->held);
	f->held = 0;
	p = next_room(f, &room);
	if (p)
		*p = next;
	return p;
}

enum fill_step { FILL_MORE, FILL_WAIT, FILL_DONE, FILL_FAILED };

static enum fill_step fill_once(struct flight *f, uint64_t budget)
{
	uint64_t window = window_room(f), limit = f->policy->limits.reply_body, length;
	size_t room;
	ssize_t n;
	char *p, spill;
	bool full;

	if (window == NOBODY_READS) { /* nor will anybody: it is not for others any more */
		flight__end(f, ENTRY_BROKEN, REASON_ABORTED);
		return FILL_FAILED;
	}
	if (window == 0) {
		f->paused = true;
		return FILL_WAIT;
	}
	p = next_room(f, &room);
	if (!p) {
		flight__failed(f, REASON_NO_MEMORY, NULL);
		return FILL_FAILED;
	}
	if (room > window)
		room = (size_t)window;
	if (room > budget)
		room = (size_t)budget;
	full = room == f->held;
	n = exchange_pull(f->exchange, full ? &spill : p + f->held, full ? 1 : room - f->held);
	if (n == STREAM_AGAIN)
		return FILL_WAIT;
	if (n == STREAM_FAILED) {
		flight__failed(f, exchange_why(f->exchange), "in the middle of the body");
		return FILL_FAILED;
	}
	if (n == EXCHANGE_END)
		return FILL_DONE;
	p = full ? move_on(f, spill) : p + f->held;
	if (!p) {
		flight__failed(f, REASON_NO_MEMORY, NULL);
		return FILL_FAILED;
	}
	received(f, p, (size_t)n);
	length = here(f);
	if (limit && length > limit) {
		flight__failed(f, REASON_REPLY_TOO_LARGE, NULL);
		return FILL_FAILED;
	}
	if (f->stored && too_large(f, length))
		unstore(f);
	/* All is there: the end needs no further read, which would only find the link silent. */
	return f->expected != UINT64_MAX && length == f->expected ? FILL_DONE : FILL_MORE;
}

static void on_turn(void *arg)
{
	fill_go_on(arg);
}

/* Nobody is told of a small body before the verdict: then a bad one becomes an error page, or what is stale, instead of a cut. */
static bool waits_whole(const struct flight *f)
{
	return f->stored && integrity_is_promised(&f->integrity) && here(f) < HOLD_WHOLE_BYTES &&
	       (f->expected == UINT64_MAX || f->expected <= HOLD_WHOLE_BYTES);
}

void fill_go_on(struct flight *f)
{
	struct loop *loop = f->fetcher->loop;
	uint64_t before = body_length(&f->entry->body), done = 0;
	enum fill_step step = FILL_MORE;

	CHECK(f, FLIGHT_MAGIC);
	f->paused = false;
	while (step == FILL_MORE && done < FILL_TURN_BYTES) {
		step = fill_once(f, FILL_TURN_BYTES - done);
		if (step == FILL_FAILED)
			return; /* f may be gone */
		done = body_length(&f->entry->body) - before;
	}
	if (step == FILL_DONE) {
		finish(f);
		return;
	}
	if (!waits_whole(f))
		entry_grown(f->entry, loop);
	if (step == FILL_MORE)
		loop_bulk(loop, &f->job, on_turn, f);
}

void fill_begin(struct flight *f, const struct http1_response *r)
{
	f->expected = r->body == HTTP1_BODY_LENGTH ? r->length : UINT64_MAX;
	integrity_begin(&f->integrity, &f->path, f->request, r);
	if (r->body == HTTP1_BODY_NONE || (r->body == HTTP1_BODY_LENGTH && r->length == 0)) {
		finish(f);
		return;
	}
	fill_go_on(f);
}

/* ---- readers ---- */

static bool worth_finishing(const struct flight *f)
{
	const struct policy_cache *c = &f->policy->cache;
	uint64_t length = body_length(&f->entry->body), left = f->expected - length;
	bool immutable = f->path.class == PATH_IMMUTABLE;

	if (!f->store || (f->entry->head && !f->stored))
		return false;
	if (!f->entry->head || f->expected == UINT64_MAX)
		return immutable;
	if (immutable && left <= FINISH_IMMUTABLE_BYTES)
		return true;
	if (left < c->quick_abort_min)
		return true;
	if (left > c->quick_abort_max)
		return false;
	return length * 100 >= (uint64_t)c->quick_abort_percent * f->expected;
}

void fill_readers_changed(struct flight *f)
{
	struct entry_readers r = entry_readers(f->entry, true);

	if (r.n == 0 && !worth_finishing(f)) {
		flight__end(f, ENTRY_BROKEN, REASON_ABORTED);
		return;
	}
	if (f->paused)
		fill_go_on(f);
}
