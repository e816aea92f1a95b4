/* Where the answer comes from: what is stored and good, else a flight, joined or begun. */
#include "node/base/check.h"
#include "node/cache/disk.h"
#include "node/cache/disk_file.h"
#include "node/cache/orders.h"
#include "node/fetch/from_disk.h"
#include "node/fetch/hostmood.h"
#include "node/fetch/recall.h"
#include "node/serve/request_internal.h"
#include "proto/range.h"
#include "proto/vary.h"

/* Each round ends in an answer unless the cache has changed meanwhile; after so many the request goes its own way. */
#define MOST_ROUNDS 8
#define SIGN_MS DUR_SECOND
#define RANGE_AHEAD_BYTES ((uint64_t)4 * 1024 * 1024)

static void lookup(struct request *r);

/* ---- letting go ---- */

void lookup_leave(struct request *r)
{
	timer_clear(&r->patience);
	timer_clear(&r->sign);
	entry_watch_stop(&r->watch);
	if (r->flight)
		flight_tell(r->flight, &r->told);
	flight_leave(&r->flight);
	entry_unref(&r->entry);
}

/* ---- beginning a flight ---- */

static bool is_offline(const struct request *r)
{
	return hostmoods_are_offline(r->server->fetcher.moods, r->policy->cache.offline);
}

static void on_change(void *cookie)
{
	struct request *r = cookie;

	CHECK(r, REQUEST_MAGIC);
	lookup_progress(r);
}

static void watch(struct request *r, struct entry *e)
{
	r->entry = e;
	entry_watch_start(&r->watch, e, r->server->loop, 0, on_change, r);
	if (r->stale && r->stale_on_error)
		timer_set(&r->patience, mono_after(r->began, r->policy->cache.stale_patience));
	client_want(r->client, STREAM_READ); /* to learn of a reset, and keep what is pipelined */
}

static struct flight_ask flight_ask_of(struct request *r)
{
	struct client_tunnel *t = r->client->tunnel;

	return (struct flight_ask){
		.policy = r->policy,
		.request = r->head,
		.url = r->url,
		.store_id = r->store_id.text,
		.dial_host = t ? t->dial_host : SPAN_NONE,
		.client = span_str(r->client->peer),
		.from_child = r->client->child != NULL,
		.path = r->path,
		.facts = r->facts,
		.key = r->ask.key,
		.who = r->ask.who,
	};
}

static void set_out(struct request *r, struct entry *e, bool store)
{
	struct flight_ask ask = flight_ask_of(r);

	ask.entry = entry_ref(e);
	ask.stale = store ? r->stale : NULL;
	ask.store = ask.whole = store;
	ask.spare = r->stale && r->stale_on_error && !r->refresh;
	ask.afresh = store && r->refresh;
	ask.here_only = r->here_only;
	ask.owner = &upload_owner;
	ask.cookie = r;
	watch(r, e);
	upload_begin(r);
	r->flight = flight_start(&r->server->fetcher, &ask);
}

/* Not from the cache, and not for it. */
static void pass(struct request *r, enum request_fwd fwd)
{
	if (r->only) {
		answer_error(r, REASON_ONLY_IF_CACHED, SPAN_NONE);
		return;
	}
	if (is_offline(r)) {
		answer_error(r, REASON_OFFLINE, SPAN_NONE);
		return;
	}
	request__keep(r);
	r->fwd = fwd;
	r->private = true;
	set_out(r, index_private(r->server->fetcher.index), false);
}

static void join(struct request *r, struct entry *e)
{
	r->joined = true;
	watch(r, e);
	lookup_progress(r); /* what it has already is not told again */
}

/* Not read yet, or it would be in the index: a flight looks there first. */
static bool is_on_disk(const struct request *r)
{
	const struct fetcher *c = &r->server->fetcher;

	return c->disk && disk_has(c->disk, &r->ask.key);
}

/* 102 (RFC 2518 §10.1), so that silence means that there is nobody (parent_link.h). */
void lookup_show_sign(struct request *r)
{
	if (r->delivering || r->head->minor == 0)
		return;
	stream_push(r->client->stream, SPAN("HTTP/1.1 102 Processing\r\n\r\n"));
	timer_set_in(&r->sign, SIGN_MS);
}

/* A fetch that has not got beyond asking our fellow, who may just be asking us, is waited for by no other node: so no two parents wait for
 * each other, whatever each believes of whose key it is. */
static bool may_wait_for(const struct request *r, const struct entry_view *view)
{
	if (view->phase == ENTRY_FILLING)
		return true;
	return view->phase == ENTRY_NEW && (view->order > 0 || is_on_disk(r));
}

/* Nothing good is stored, and it is not to be fetched for this one: there may be somebody else's fetch to join. */
static void join_only(struct request *r)
{
	struct entry *e = index_find_any(r->server->fetcher.index, &r->ask, loop_now(r->server->loop));
	struct entry_view view = {0};

	if (e)
		entry_look(e, &view);
	head_unref(&view.head);
	if (e && may_wait_for(r, &view)) {
		request__keep(r);
		if (view.phase == ENTRY_NEW)
			lookup_show_sign(r);
		join(r, e);
		return;
	}
	if (e && e != r->stale && view.phase == ENTRY_COMPLETE) { /* published meanwhile */
		entry_unref(&e);
		lookup(r);
		return;
	}
	entry_unref(&e);
	answer_error(r, REASON_ONLY_IF_CACHED, SPAN_NONE);
}

/* Nothing good is stored: ask the origin, together with whoever asks for the same. */
static void fetch(struct request *r)
{
	struct index *x = r->server->fetcher.index;
	struct entry_view view = {0};
	struct entry *e;
	enum index_begin begun;

	if (r->only && (r->stale || r->alone || !is_on_disk(r))) {
		join_only(r);
		return;
	}
	if (r->only)
		r->here_only = REASON_ONLY_IF_CACHED;
	if (r->stale)
		entry_look(r->stale, &view);
	request__keep(r);
	begun = index_begin(x, &r->ask, r->stale, view.head, !r->alone, &e);
	head_unref(&view.head);
	switch (begun) {
	case INDEX_CHANGED:
		lookup(r);
		return;
	case INDEX_JOINED:
		join(r, e);
		return;
	case INDEX_BEGUN:
		set_out(r, e, true);
		return;
	}
}

/* Serve what is stale now, and have it fresh for the next one. */
static void revalidate_aside(struct request *r, struct entry *stale, const struct head *head)
{
	struct flight_ask ask = flight_ask_of(r);
	struct entry *e;
	struct flight *f;

	if (r->only || is_offline(r))
		return;
	switch (index_begin(r->server->fetcher.index, &r->ask, stale, head, true, &e)) {
	case INDEX_JOINED: /* somebody is at it */
		entry_unref(&e);
		return;
	case INDEX_CHANGED:
		return;
	case INDEX_BEGUN:
		break;
	}
	ask.entry = e;
	ask.stale = stale;
	ask.store = ask.whole = ask.spare = true;
	f = flight_start(&r->server->fetcher, &ask);
	flight_leave(&f);
}

/* What never gets stale may have been withdrawn at its origin. */
static void look_for_recall(struct request *r, struct entry *e, const struct head *head, bool guarded)
{
	struct flight_ask ask;

	if (head->terms.lifetime_s != FRESH_FOREVER_S || guarded || r->policy->cache.recall == POLICY_RECALL_KEEP)
		return;
	if (recall_is_marked(r->server->fetcher.recalls, &r->ask.key))
		r->why = FRESH_WHY_RECALLED;
	if (!recall_is_due(&r->ask.key, head, &r->policy->cache, loop_now(r->server->loop)) || r->only || is_offline(r))
		return;
	ask = flight_ask_of(r);
	ask.stale = e;
	recall_hit(&r->server->fetcher, &ask, head);
}

/* ---- what is stored ---- */

static bool only_if_cached(const struct request *r)
{
	return cachectl_has(&r->facts.cc, CACHECTL_ONLY_IF_CACHED);
}

static void serve_stored(struct request *r, struct entry *e, struct entry_view *view, enum accesslog_result result)
{
	struct disk_file *file = view->file;

	r->entry = entry_ref(e);
	r->cached = true;
	r->result = (r->loaded || file) && result == ACCESSLOG_TCP_MEM_HIT ? ACCESSLOG_TCP_HIT : result;
	atomic_fetch_add_explicit(&e->hits, 1, memory_order_relaxed);
	if (file)
		disk_file_hit(file);
	answer_entry(r, view);
}

static enum fresh_verdict verdict_of(struct request *r, const struct entry_view *view, bool admitted, dur_ms here)
{
	enum fresh_verdict verdict = fresh_verdict(&view->head->terms, &r->facts.cc, here, &r->why);

	if (!r->refresh)
		return admitted ? verdict : FRESH_REVALIDATE;
	r->why = FRESH_WHY_REQUEST_NO_CACHE;
	return FRESH_REVALIDATE;
}

static void found(struct request *r, struct entry *e, struct entry_view *view)
{
	mono_us now = loop_now(r->server->loop);
	dur_ms here = head_here(view->head, now);
	bool admitted = entry_admits(e, &r->ask.who, now);

	r->looked_up_hit = true;
	if (e == r->validated) {
		r->validated = NULL;
		r->not_modified = true;
		serve_stored(r, e, view,
			     r->fwd == FWD_REQUEST ? ACCESSLOG_TCP_CLIENT_REFRESH_MISS
						   : ACCESSLOG_TCP_REFRESH_UNMODIFIED);
		entry_unref(&e); /* what `validated` held */
		return;
	}
	switch (verdict_of(r, view, admitted, here)) {
	case FRESH_SERVE:
		look_for_recall(r, e, view->head, view->guarded);
		/* fall through */
	case FRESH_SERVE_STALE:
		serve_stored(r, e, view,
			     view->head->terms.source == FRESH_WHY_NEGATIVE ? ACCESSLOG_TCP_NEGATIVE_HIT
									    : ACCESSLOG_TCP_MEM_HIT);
		return;
	case FRESH_SERVE_AND_REVALIDATE:
		metric_add(r->server->metrics, METRIC_HITS_WHILE_REVALIDATED, 1);
		revalidate_aside(r, e, view->head);
		serve_stored(r, e, view, ACCESSLOG_TCP_MEM_HIT);
		return;
	case FRESH_REVALIDATE:
		break;
	}
	if (!admitted)
		r->why = FRESH_WHY_AUTHORIZATION;
	if (is_offline(r)) {
		if (admitted)
			serve_stored(r, e, view, ACCESSLOG_TCP_OFFLINE_HIT);
		else
			answer_error(r, REASON_OFFLINE, SPAN_NONE);
		return;
	}
	if (only_if_cached(r)) {
		answer_error(r, REASON_ONLY_IF_CACHED, SPAN_NONE);
		return;
	}
	r->stale_on_error = admitted && !r->refresh && fresh_on_error(&view->head->terms, &r->facts.cc, here);
	r->fwd = r->why == FRESH_WHY_REQUEST_NO_CACHE || r->why == FRESH_WHY_REQUEST_MAX_AGE ? FWD_REQUEST : FWD_STALE;
	entry_unref(&r->stale);
	r->stale = entry_ref(e);
	if (r->head->method == METHOD_HEAD)
		pass(r, r->fwd);
	else
		fetch(r);
}

static void not_found(struct request *r, enum request_fwd fwd)
{
	if (only_if_cached(r))
		r->here_only = REASON_ONLY_IF_CACHED;
	else if (is_offline(r))
		r->here_only = REASON_OFFLINE;
	if (r->here_only && !is_on_disk(r)) {
		answer_error(r, r->here_only, SPAN_NONE);
		return;
	}
	if (r->head->method == METHOD_HEAD && !r->here_only) {
		if (r->look_only || !is_on_disk(r)) {
			pass(r, fwd);
			return;
		}
		r->look_only = true;
		r->here_only = REASON_ONLY_IF_CACHED;
	}
	entry_unref(&r->stale);
	r->stale_on_error = false;
	r->fwd = fwd;
	fetch(r);
}

/* A range that begins far into an object that is not here, or at its end, is fetched by itself: who asks for it cannot wait for all
 * that comes before. So is one of what is not worth having whole. */
static bool range_goes_alone(const struct request *r)
{
	struct range range;

	if (!hdr_has(&r->head->fields, HDR_RANGE) || orders_suspects(r->server->fetcher.orders, &r->ask.key))
		return false;
	range_parse(hdr_value(&r->head->fields, HDR_RANGE), &range);
	switch (range.kind) {
	case RANGE_WHOLE:
		return false;
	case RANGE_SUFFIX:
		return true;
	case RANGE_CLOSED:
	case RANGE_OPEN:
		break;
	}
	return range.first > RANGE_AHEAD_BYTES || (r->path.class != PATH_IMMUTABLE && r->path.class != PATH_MUTABLE);
}

/* One that is read from its file may have become worth a place in memory. */
static void bring_closer(struct request *r, struct entry **e, struct entry_view *view)
{
	struct entry *closer = from_disk_again(&r->server->fetcher, *e, view, r->policy->cache.memory_max_object);

	if (!closer)
		return;
	head_unref(&view->head);
	entry_unref(e);
	*e = closer;
	entry_look(closer, view);
	r->loaded = true;
}

static void lookup(struct request *r)
{
	struct server *s = r->server;
	bool other_variant;
	struct entry *e;
	struct entry_view view;

	if (++r->rounds > MOST_ROUNDS) {
		pass(r, FWD_MISS);
		return;
	}
	e = index_lookup(s->fetcher.index, &r->ask, loop_now(s->loop), &other_variant);
	if (!e && !r->refresh) {
		e = from_disk_now(&s->fetcher, &r->ask, r->policy->cache.memory_max_object);
		r->loaded = e != NULL;
	}
	if (!e && range_goes_alone(r) && !is_on_disk(r)) {
		pass(r, FWD_URI_MISS);
		return;
	}
	if (!e) {
		not_found(r, other_variant ? FWD_VARY_MISS : FWD_URI_MISS);
		return;
	}
	entry_look(e, &view);
	if (view.file && !r->loaded &&
	    r->rounds == 1) /* later it has been looked for on the disk for this very request */
		bring_closer(r, &e, &view);
	if (view.phase == ENTRY_MARK) {
		r->why = FRESH_WHY_PRIVATE;
		if (only_if_cached(r))
			answer_error(r, REASON_ONLY_IF_CACHED, SPAN_NONE);
		else
			pass(r, FWD_URI_MISS);
	} else {
		found(r, e, &view);
	}
	head_unref(&view.head);
	entry_unref(&e);
}

/* Its URL says so already. */
static bool is_denied(const struct request *r)
{
	return r->path.digest_kind == PATH_DIGEST_SHA256 && orders_denies(r->server->fetcher.orders, r->path.digest);
}

static void deny(struct request *r)
{
	char text[PURGEREC_DIGEST_TEXT];
	struct buf b = buf_over(text, sizeof(text));

	buf_put_str(&b, "sha256:");
	buf_put_hex(&b, r->path.digest, PURGEREC_DIGEST_BYTES);
	metric_add(r->server->metrics, METRIC_DENIED_BODIES, 1);
	log_line(r->server->log, LOG_WARNING, "purge", "%.*s%.*s is on the deny-list (%.*s)", SPAN_ARG(r->url.host),
		 SPAN_ARG(r->url.path), SPAN_ARG(buf_span(&b)));
	answer_error(r, REASON_DENY_LIST, buf_span(&b));
}

void lookup_begin(struct request *r)
{
	enum http1_method m = r->head->method;

	r->result = ACCESSLOG_TCP_MISS;
	if ((m == METHOD_GET || m == METHOD_HEAD) && is_denied(r)) {
		deny(r);
		return;
	}
	if (m != METHOD_GET && m != METHOD_HEAD) {
		pass(r, FWD_METHOD);
		return;
	}
	if (r->path.class == PATH_PASS || r->head->upgrade || r->head->body != HTTP1_BODY_NONE ||
	    (r->facts.has_cookie && r->path.class != PATH_IMMUTABLE)) {
		r->why = r->facts.has_cookie ? FRESH_WHY_COOKIE : FRESH_WHY_PASS;
		if (only_if_cached(r))
			answer_error(r, REASON_ONLY_IF_CACHED, SPAN_NONE);
		else
			pass(r, FWD_BYPASS);
		return;
	}
	lookup(r);
}

/* ---- waiting ---- */

static void look_again(struct request *r)
{
	lookup_leave(r);
	r->joined = false;
	lookup(r);
}

void lookup_damaged(struct request *r)
{
	r->cached = r->private = r->not_modified = r->looked_up_hit = r->loaded = false;
	r->why = FRESH_WHY_EXPLICIT;
	r->result = ACCESSLOG_TCP_MISS;
	look_again(r);
}

static void serve_stale(struct request *r, enum fresh_why why)
{
	struct entry_view view;
	struct entry *e = r->stale;

	r->stale = NULL;
	lookup_leave(r);
	entry_look(e, &view);
	r->why = why;
	r->joined = r->private = false;
	serve_stored(r, e, &view, ACCESSLOG_TCP_REFRESH_FAIL_OLD);
	head_unref(&view.head);
	entry_unref(&e);
}

/* The origin has not even begun to answer: the flight goes on without us. */
void lookup_lose_patience(struct request *r)
{
	if (r->delivering || !r->stale || !r->stale_on_error)
		return;
	metric_add(r->server->metrics, METRIC_HITS_SLOW, 1);
	serve_stale(r, FRESH_WHY_IF_SLOW);
}

static void ended_without(struct request *r, const struct entry_view *view)
{
	char detail[ENTRY_DETAIL_BYTES + 1];

	switch (view->outcome) {
	case ENTRY_NOT_MODIFIED:
		entry_unref(&r->validated);
		r->validated = r->stale;
		r->stale = NULL;
		look_again(r);
		return;
	case ENTRY_LOADED:
		r->loaded = true;
		look_again(r);
		return;
	case ENTRY_FILLED:
		look_again(r);
		return;
	case ENTRY_BROKEN:
		break;
	}
	if (view->why == REASON_NONE) /* an upgrade: upload.c has it */
		return;
	if (r->look_only) { /* it is not there after all */
		r->here_only = REASON_NONE;
		look_again(r);
		return;
	}
	/* The one who began has left, and the flight with it; or wanted nothing from elsewhere. */
	if (r->joined && (view->why == REASON_ABORTED || (view->why == REASON_ONLY_IF_CACHED && !r->here_only))) {
		look_again(r);
		return;
	}
	/* It could have been given what is stale, we cannot: we ask in earnest. */
	if (r->joined && view->why == REASON_HELD_BACK && !(r->stale && r->stale_on_error)) {
		look_again(r);
		return;
	}
	if (r->stale && r->stale_on_error) {
		serve_stale(r, FRESH_WHY_IF_ERROR);
		return;
	}
	entry_detail(r->entry, detail);
	if (r->stale)
		r->result = ACCESSLOG_TCP_REFRESH_FAIL_ERR;
	answer_error(r, view->why, span_str(detail));
}

/* What has come, is it for us, who only joined? */
static bool is_for_us(struct request *r, const struct entry_view *view)
{
	struct key_variant ours;
	struct vary vary;

	if (!r->joined)
		return true;
	if (!view->shared)
		return false;
	vary_parse(head_vary(view->head), &vary);
	if (vary.star)
		return false;
	key_variant(&ours, &vary, &r->head->fields);
	return key_variant_same(&ours, &view->variant);
}

static bool is_origin_failure(int status)
{
	return status == 500 || status == 502 || status == 503 || status == 504 || status == 429;
}

static enum accesslog_result fetched_result(const struct request *r)
{
	if (r->joined)
		return ACCESSLOG_TCP_CF_HIT;
	if (r->fwd == FWD_REQUEST)
		return ACCESSLOG_TCP_CLIENT_REFRESH_MISS;
	return r->stale && !r->private ? ACCESSLOG_TCP_REFRESH_MODIFIED : ACCESSLOG_TCP_MISS;
}

static void head_came(struct request *r, struct entry_view *view)
{
	if (!is_for_us(r, view)) {
		r->alone = !view->shared;
		look_again(r);
		return;
	}
	if (r->stale && r->stale_on_error && is_origin_failure(view->head->status)) {
		serve_stale(r, FRESH_WHY_IF_ERROR);
		return;
	}
	r->result = fetched_result(r);
	answer_entry(r, view);
}

static void deliver_on(struct request *r, const struct entry_view *view)
{
	if (view->phase == ENTRY_FAILED) {
		answer_log(r, true);
		client_close(r->client, STREAM_CUT);
		return;
	}
	if (view->phase == ENTRY_COMPLETE)
		deliver_completed(&r->deliver);
	answer_go_on(r);
}

void lookup_progress(struct request *r)
{
	struct entry_view view;

	entry_look(r->entry, &view);
	if (r->delivering)
		deliver_on(r, &view);
	else if (view.phase == ENTRY_FAILED)
		ended_without(r, &view);
	else if (view.phase != ENTRY_NEW)
		head_came(r, &view);
	head_unref(&view.head);
}
