/* The body, from the origin to the entry: stored whole at the store's pace, or through a window at the readers'. */
#include "node/base/check.h"
#include "node/cache/orders.h"
#include "node/fetch/flight_internal.h"
#include "node/fetch/from_disk.h"
#include "node/fetch/stored_head.h"

#define FILL_TURN_BYTES ((uint64_t)128 * 1024) /* what is read in a turn is sent while it is warm */
#define FINISH_IMMUTABLE_BYTES ((uint64_t)1024 * 1024 * 1024)
#define HOLD_WHOLE_BYTES ((uint64_t)64 * 1024)
#define PASS_MS (5 * DUR_MINUTE)
#define NOBODY_READS UINT64_MAX
#define COMPARE_BYTES ((size_t)16 * 1024)

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
	entry_swap_head(f->entry, head_with_terms(view.head, &terms));
	head_unref(&view.head);
	return true;
}

static void denied(struct flight *f)
{
	char text[PURGEREC_DIGEST_TEXT + 1];
	struct buf b = buf_over(text, sizeof(text) - 1);

	buf_put_str(&b, "sha256:");
	buf_put_hex(&b, f->integrity.sha256, sizeof(f->integrity.sha256));
	text[b.n] = '\0';
	metric_add(f->fetcher->metrics, METRIC_DENIED_BODIES, 1);
	orders_suspect(f->fetcher->orders, &f->key);
	log_line(f->fetcher->log, LOG_WARNING, "purge", "%.*s%.*s is on the deny-list (%s)", SPAN_ARG(f->url.host),
		 SPAN_ARG(f->url.path), text);
	flight__failed(f, REASON_DENY_LIST, text);
}

/* False: a promise is broken or the body denied, the last byte has gone to nobody, and the flight has failed or goes another way. */
static bool digest_fits(struct flight *f)
{
	const struct integrity_promise *broken;
	char text[INTEGRITY_TEXT_BYTES + 1];
	struct buf b = buf_over(text, INTEGRITY_TEXT_BYTES);

	if (f->digested)
		return true;
	broken = integrity_end(&f->integrity);
	f->digested = true;
	if (!broken && orders_denies(f->fetcher->orders, f->integrity.sha256)) {
		denied(f);
		return false;
	}
	if (!broken)
		return true;
	integrity_format(broken, &b);
	text[b.n] = '\0';
	metric_add(f->fetcher->metrics, METRIC_INTEGRITY_FAILURES, 1);
	metric_add(f->fetcher->metrics, integrity_metric(broken->source), 1);
	if (f->parked && f->proof.wanted) {
		sibling_failed(f, PEER_FALSE_DIGEST);
	} else {
		sibling_lied(f);
		flight__failed(f, REASON_INTEGRITY, text);
	}
	return false;
}

static void publish_held(struct flight *f)
{
	body_publish(&f->entry->body, f->held);
	f->held = 0;
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

/* A new entry in place of the pending one, over the file alone: who reads the pending one goes on with it. */
static void keep_in_file(struct flight *f)
{
	const struct fetcher *c = f->fetcher;
	struct entry *e = from_disk_entry(c, f->disk.file, f->entry);

	if (!e)
		return;
	if (f->guarded)
		entry_admit(e, &f->who, mono_after(loop_now(c->loop), PASS_MS));
	entry_unref(&e);
	f->kept = true;
	metric_add(c->metrics, METRIC_STORED, 1);
	if (orders_denies(c->orders, f->integrity.sha256)) /* since we have looked */
		from_disk_purge(c, &f->key);
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
	f->kept = true;
	from_disk_keep(c, f->entry);
	metric_add(c->metrics, METRIC_STORED, 1);
	if (orders_denies(c->orders, f->integrity.sha256)) /* since we have looked */
		from_disk_purge(c, &f->key);
}

/* The link has done its work. A sibling's last word is its digest, behind the body. */
static void end_exchange(struct flight *f)
{
	const struct hdrs *trailers;
	struct link *link;

	if (!f->exchange)
		return;
	trailers = exchange_trailers(f->exchange);
	if (f->proof.wanted && trailers && peer_link_digest(trailers, f->proof.digest))
		f->proof.known = true;
	link = exchange_finish(&f->exchange);
	if (f->way == FLIGHT_BROUGHT)
		link_close(&link, STREAM_CLEAN);
	if (link)
		pool_give(f->fetcher->pool, &link);
	via_parent_done(f, PARENT_OK);
}

static void note_digest(struct flight *f)
{
	struct entry_view view;

	entry_look(f->entry, &view);
	head_set_digest(view.head, f->integrity.sha256);
	head_unref(&view.head);
}

/* Terms are settled before the head goes into the file. */
static void go_to_disk(struct flight *f)
{
	f->disk.wanted = false;
	if (!settle_terms(f) || !to_disk_begin(f))
		fill_unstore(f);
}

static void give_back_reserved(struct flight *f)
{
	f->fetcher->store->ops->release(f->fetcher->store, f->reserved);
	f->reserved = 0;
}

void fill_settled(struct flight *f, bool on_disk)
{
	f->settling = false;
	if (on_disk)
		keep_in_file(f);
	to_disk_cancel(f);
	index_withdraw(f->fetcher->index, f->entry);
	give_back_reserved(f);
	route_end(f, f->kept);
	flight__close(f, f->post_pending);
}

/* Readers have all of it now; it stays pending, so that others find it, until all of it is in the file. */
static void settle_on_disk(struct flight *f)
{
	f->post_pending = entry_end(f->entry, ENTRY_FILLED, REASON_NONE, f->fetcher->loop);
	f->settling = true;
	to_disk_end(f, f->integrity.sha256);
}

void fill_finish(struct flight *f)
{
	const struct fetcher *c = f->fetcher;
	bool fit, post_pending;

	if (!digest_fits(f))
		return; /* f may be gone */
	end_exchange(f);
	if (f->proof.wanted) {
		proof_settle(f);
		return;
	}
	publish_held(f);
	reception_unpark(f);
	if (f->disk.wanted)
		go_to_disk(f);
	fit = f->stored && (f->disk.writer || settle_terms(f));
	if (!fit) {
		flight__end(f, ENTRY_FILLED, REASON_NONE);
		return;
	}
	note_digest(f);
	if (f->disk.writer) {
		settle_on_disk(f);
		return;
	}
	/* Complete first, published then, so that whoever finds it finds all of it. */
	post_pending = entry_end(f->entry, ENTRY_FILLED, REASON_NONE, c->loop);
	keep(f);
	give_back_reserved(f);
	route_end(f, f->kept);
	flight__close(f, post_pending);
}

/* ---- once more ---- */

void fill_restart(struct flight *f)
{
	CHECK_THAT(f->parked != NULL); /* nobody has been told of a byte */
	head_unref(&f->parked);
	body_free(&f->entry->body);
	memset(&f->entry->body, 0, sizeof(f->entry->body));
	give_back_reserved(f);
	to_disk_cancel(f);
	integrity_fini(&f->integrity);
	f->begun = f->digested = f->stored = false;
	f->held = 0;
	f->skip = 0;
	f->proof.wanted = f->proof.known = false;
}

void fill_resume(struct flight *f, uint64_t skip)
{
	struct sha256 so_far = f->integrity.running;

	f->skip = skip;
	if (skip && f->digested) /* all of it is here: it was not to be believed */
		memcpy(f->prefix, f->integrity.sha256, sizeof(f->prefix));
	else if (skip)
		sha256_end(&so_far, f->prefix);
	sha256_init(&f->again);
	fill_go_on(f);
}

/* ---- the window ---- */

void fill_unstore(struct flight *f)
{
	to_disk_cancel(f);
	f->stored = false;
	index_withdraw(f->fetcher->index, f->entry);
	if (f->parked && !f->proof.wanted) /* nor can anybody wait for its end */
		reception_unpark(f);
	else
		entry_unstore(f->entry);
}

static uint64_t window_room(struct flight *f)
{
	struct entry_readers r;
	uint64_t length = body_length(&f->entry->body), ahead, freed;

	if (f->stored)
		return f->disk.writer ? to_disk_window(f) : NOBODY_READS - 1;
	r = entry_readers(f->entry, false);
	if (r.n == 0)
		return NOBODY_READS;
	freed = entry_trim(f->entry, r.slowest);
	if (freed > f->reserved)
		freed = f->reserved;
	f->fetcher->store->ops->release(f->fetcher->store, freed);
	f->reserved -= freed;
	ahead = length - r.slowest;
	return ahead < f->policy->cache.read_ahead ? f->policy->cache.read_ahead - ahead : 0;
}

/* ---- moving on ---- */

static bool is_too_large(const struct flight *f)
{
	uint64_t length = fill_here(f), most = f->policy->cache.max_object;

	if (!f->disk.wanted && !f->disk.writer && f->policy->cache.memory_max_object < most)
		most = f->policy->cache.memory_max_object;
	return length > most;
}

/* To the disk, if that is possible; else it goes by. */
static void leave_memory(struct flight *f)
{
	if (!f->disk.writer && !f->parked && to_disk_may(f, f->expected))
		f->disk.wanted = true;
	else
		fill_unstore(f);
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
	if (f->stored && !f->disk.writer &&
	    (!f->disk.wanted || f->parked)) /* what goes to the disk has but a window here */
		leave_memory(f);
	return p;
}

uint64_t fill_here(const struct flight *f)
{
	return body_length(&f->entry->body) + f->held;
}

static bool is_judged(const struct flight *f)
{
	return integrity_is_promised(&f->integrity) || f->wary;
}

/* The last byte of all waits for the verdict: a body that breaks a promise ends visibly short. Without a length any may be the last. */
static size_t holds(const struct flight *f, uint64_t length)
{
	return (is_judged(f) || f->proof.wanted) && (f->expected == UINT64_MAX || length == f->expected);
}

static bool may_go_to_disk(const struct flight *f)
{
	return f->disk.wanted && !f->parked && body_length(&f->entry->body) >= PATHCLASS_FIRST_BYTES;
}

static void count_bytes(struct flight *f, size_t n)
{
	static const enum metric by_way[] = {
		[FLIGHT_DIRECT] = METRIC_UPSTREAM_BYTES,
		[FLIGHT_SIBLING] = METRIC_SIBLING_BYTES,
		[FLIGHT_PARENT] = METRIC_PARENT_BYTES,
	};

	if (f->way == FLIGHT_BROUGHT)
		return;
	metric_add(f->fetcher->metrics, by_way[f->way], n);
	if (f->way == FLIGHT_DIRECT)
		hosttally_received(f->fetcher->hosts, &f->url, n);
	if (f->way == FLIGHT_DIRECT && f->store)
		metric_add(f->fetcher->metrics, METRIC_UPSTREAM_FETCHED_BYTES, n);
	if (f->way == FLIGHT_SIBLING)
		f->sibling.bytes += n;
	if (f->way == FLIGHT_PARENT)
		f->up->bytes += n;
}

/* n bytes more are in the room, behind those held. */
static void received(struct flight *f, const char *p, size_t n)
{
	size_t ready = f->held + n;

	if (f->summed)
		integrity_add(&f->integrity, p, n);
	count_bytes(f, n);
	f->held = holds(f, fill_here(f) + n);
	body_publish(&f->entry->body, ready - f->held);
}

/* What is passed on is summed up only when it may be needed again: it comes from a parent, after which there is another way. */
static bool wants_sum(const struct flight *f, const struct http1_response *r)
{
	return f->stored || f->proof.wanted || is_judged(f) ||
	       (f->way == FLIGHT_PARENT && f->request->method == METHOD_GET && r->status == 200);
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

static enum fill_step ended(struct flight *f)
{
	if (f->expected == UINT64_MAX || fill_here(f) == f->expected)
		return FILL_DONE;
	route_failed(f, REASON_UPSTREAM_CUT, "in the middle of the body");
	return FILL_FAILED;
}

/* The file may have them, or nothing any more: but their sum is known. */
static bool is_same_again(struct flight *f)
{
	uint8_t digest[SHA256_BYTES];

	sha256_end(&f->again, digest);
	return memcmp(digest, f->prefix, sizeof(digest)) == 0;
}

/* Bytes that are here already come once more, from elsewhere. */
static enum fill_step compare_once(struct flight *f, uint64_t budget)
{
	char again[COMPARE_BYTES];
	size_t most = sizeof(again);
	ssize_t n;

	if (most > f->skip)
		most = (size_t)f->skip;
	if (most > budget)
		most = (size_t)budget;
	n = exchange_pull(f->exchange, again, most);
	if (n == STREAM_AGAIN)
		return FILL_WAIT;
	if (n == STREAM_FAILED || n == EXCHANGE_END) {
		route_failed(f, n == EXCHANGE_END ? REASON_UPSTREAM_CUT : exchange_why(f->exchange),
			     "in the middle of the body");
		return FILL_FAILED;
	}
	count_bytes(f, (size_t)n);
	sha256_add(&f->again, again, (size_t)n);
	f->skip -= (size_t)n;
	if (f->skip)
		return FILL_MORE;
	if (!is_same_again(f)) {
		sibling_lied(f);
		flight__failed(f, REASON_INTEGRITY, "what broke off in the middle is another body now");
		return FILL_FAILED;
	}
	f->proof.wanted = false; /* all of it has come from above */
	sibling_done(f, true);
	return fill_here(f) == f->expected ? FILL_DONE : FILL_MORE;
}

static enum fill_step fill_once(struct flight *f, uint64_t budget)
{
	uint64_t window = window_room(f), limit = f->policy->limits.reply_body, length;
	size_t room;
	ssize_t n;
	char *p, spill;
	bool full;

	if (f->skip)
		return compare_once(f, budget);
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
		route_failed(f, exchange_why(f->exchange), "in the middle of the body");
		return FILL_FAILED;
	}
	if (n == EXCHANGE_END)
		return ended(f);
	if (fill_here(f) == f->expected) {
		route_failed(f, REASON_BAD_RESPONSE, "more bytes than were announced");
		return FILL_FAILED;
	}
	p = full ? move_on(f, spill) : p + f->held;
	if (!p) {
		flight__failed(f, REASON_NO_MEMORY, NULL);
		return FILL_FAILED;
	}
	received(f, p, (size_t)n);
	length = fill_here(f);
	if (limit && length > limit) {
		flight__failed(f, REASON_REPLY_TOO_LARGE, NULL);
		return FILL_FAILED;
	}
	if (f->stored && is_too_large(f))
		leave_memory(f);
	if (may_go_to_disk(f))
		go_to_disk(f);
	/* All is there: the end needs no further read, which would only find the link silent. Behind a sibling's body comes its
	 * digest. */
	return f->expected != UINT64_MAX && length == f->expected && f->way != FLIGHT_SIBLING ? FILL_DONE : FILL_MORE;
}

static void on_turn(void *arg)
{
	fill_go_on(arg);
}

/* Nobody is told of a small body before the verdict: then a bad one becomes an error page, or what is stale, instead of a cut. */
static bool waits_whole(const struct flight *f)
{
	if (f->parked)
		return true;
	return f->stored && is_judged(f) && fill_here(f) < HOLD_WHOLE_BYTES &&
	       (f->expected == UINT64_MAX || f->expected <= HOLD_WHOLE_BYTES);
}

void fill_go_on(struct flight *f)
{
	struct loop *loop = f->fetcher->loop;
	uint64_t before = body_length(&f->entry->body), done = 0, skipped = 0;
	enum fill_step step = FILL_MORE;

	CHECK(f, FLIGHT_MAGIC);
	f->paused = false;
	while (step == FILL_MORE && done < FILL_TURN_BYTES) {
		uint64_t skip = f->skip;

		step = fill_once(f, FILL_TURN_BYTES - done);
		if (step == FILL_FAILED)
			return; /* f may be gone */
		skipped += skip - f->skip;
		done = body_length(&f->entry->body) - before + skipped;
	}
	if (f->way == FLIGHT_SIBLING)
		sibling_filled(f);
	if (step == FILL_DONE) {
		fill_finish(f);
		return;
	}
	to_disk_feed(f);
	if (!waits_whole(f))
		entry_grown(f->entry, loop);
	if (step == FILL_MORE)
		loop_bulk(loop, &f->job, on_turn, f);
}

void fill_begin(struct flight *f, const struct http1_response *r)
{
	/* A sibling's body comes in chunks, whatever its length. */
	f->expected = r->body == HTTP1_BODY_LENGTH || (f->proof.wanted && r->length_known) ? r->length : UINT64_MAX;
	integrity_begin(&f->integrity, &f->path, f->request, r);
	f->wary = f->request->method == METHOD_GET && r->status == 200 && orders_deny_something(f->fetcher->orders);
	f->summed = wants_sum(f, r);
	if (r->body == HTTP1_BODY_NONE || (r->body == HTTP1_BODY_LENGTH && r->length == 0)) {
		fill_finish(f);
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
	if (!f->entry->head && f->stale) /* whoever has left was given what is stale: the next one finds it renewed */
		return true;
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
