/* Giving the answer: fields of our own, delivery at the client's pace, the log line, the counters. */
#include "node/base/check.h"
#include "node/deliver/errpage.h"
#include "node/serve/request_internal.h"
#include "parent/parent_link.h"
#include "proto/http1_format.h"

#define EXTRA_BYTES 1280
#define URL_TEXT_BYTES (12 * 1024)

static const char *fwd_word(enum request_fwd fwd)
{
	static const char *const words[] = {"",          "bypass",  "method", "uri-miss",
					    "vary-miss", "request", "stale",  "miss"};

	return words[fwd];
}

/* ---- fields of our own ---- */

static void put_cache_status(const struct request *r, const struct head *h, mono_us now, struct buf *b)
{
	buf_put_str(b, "Cache-Status: ");
	buf_put_str(b, r->policy->node);
	if (r->not_modified) {
		buf_printf(b, "; fwd=%s; fwd-status=304; stored", fwd_word(r->fwd ? r->fwd : FWD_STALE));
	} else if (r->cached && h) {
		int64_t ttl = fresh_ttl_s(&h->terms, head_here(h, now));

		buf_put_str(b, "; hit");
		if (ttl != FRESH_FOREVER_S) {
			buf_put_str(b, "; ttl=");
			buf_put_i64(b, ttl);
		}
	} else {
		buf_put_str(b, "; fwd=");
		buf_put_str(b, fwd_word(r->fwd ? r->fwd : FWD_MISS));
		if (h) {
			buf_put_str(b, "; fwd-status=");
			buf_put_u64(b, h->status);
			if (r->view.stored)
				buf_put_str(b, "; stored");
		}
		if (r->joined)
			buf_put_str(b, "; collapsed");
	}
	if (r->why && r->why != FRESH_WHY_EXPLICIT) {
		buf_put_str(b, "; detail=");
		buf_put_str(b, fresh_why_word(r->why));
	}
	buf_put_str(b, "\r\n");
}

static void put_x_cache(const struct request *r, struct buf *b)
{
	const char *node = r->policy->node;

	buf_put_str(b, r->cached || r->joined ? "X-Cache: HIT from " : "X-Cache: MISS from ");
	buf_put_str(b, node);
	buf_put_str(b, r->looked_up_hit ? "\r\nX-Cache-Lookup: HIT from " : "\r\nX-Cache-Lookup: MISS from ");
	buf_put_str(b, node);
	buf_putc(b, ':');
	buf_put_u64(b, addr_port(&r->client->local));
	buf_put_str(b, "\r\n");
}

static void put_age(const struct request *r, const struct head *h, mono_us now, struct buf *b)
{
	int64_t age = fresh_age_s(&h->terms, head_here(h, now));

	if (!r->cached && age == 0) /* straight from the origin */
		return;
	buf_put_str(b, "Age: ");
	buf_put_i64(b, age);
	buf_put_str(b, "\r\n");
}

static void put_extra(const struct request *r, const struct head *h, struct buf *b)
{
	mono_us now = loop_now(r->server->loop);

	if (h)
		put_age(r, h, now, b);
	put_x_cache(r, b);
	put_cache_status(r, h, now, b);
	if (r->policy->headers.via)
		buf_printf(b, "Via: 1.1 %s (pmcache)\r\n", r->policy->node);
	CHECK_THAT(!b->full);
}

static enum parent_source source_of(const struct request *r)
{
	if (r->failed)
		return PARENT_SAID_NOTHING;
	if (r->cached)
		return PARENT_SAID_HIT;
	if (r->joined)
		return PARENT_SAID_JOIN;
	return r->private ? PARENT_SAID_PASS : PARENT_SAID_MISS;
}

/* What a child is told besides. */
static void put_for_child(const struct request *r, enum reason why, const uint8_t *digest, struct buf *b)
{
	parent_link_put_reply(b, source_of(r), server_load(r->server), why, digest);
	CHECK_THAT(!b->full);
}

/* ---- log and counters ---- */

/* The JSON log tells it too. */
static void keep_cache_status(struct request *r, struct span extra)
{
	struct span line;

	if (!accesslog_is_json(r->server->accesslog))
		return;
	while (span_cut(&extra, '\n', &line))
		if (span_starts(line, SPAN("Cache-Status: ")))
			r->cache_status = arena_copy(&r->arena, span_from(span_upto(line, line.n - 1), 14));
}

/* Where our own flight had it from. */
static enum metric metric_of_way(const struct flight_told *told)
{
	static const enum metric of_parent[] = {
		[PARENT_SAID_NOTHING] = METRIC_MISSES_PARENT, [PARENT_SAID_HIT] = METRIC_HITS_PARENT,
		[PARENT_SAID_JOIN] = METRIC_JOINS_PARENT,     [PARENT_SAID_MISS] = METRIC_MISSES_PARENT,
		[PARENT_SAID_PASS] = METRIC_MISSES_PARENT,
	};

	switch (told->way) {
	case FLIGHT_SIBLING:
		return told->growing ? METRIC_STREAMS_SIBLING : METRIC_HITS_SIBLING;
	case FLIGHT_PARENT:
		return of_parent[told->source];
	case FLIGHT_BROUGHT:
	case FLIGHT_DIRECT:
		break;
	}
	return METRIC_MISSES;
}

/* Every request of a client counts under exactly one of these (tally.h). */
static enum metric metric_of(const struct request *r, const struct flight_told *told)
{
	if (r->ours)
		return METRIC_BYPASSES;
	if (r->not_modified)
		return METRIC_HITS_REVALIDATED;
	if (r->failed && r->result != ACCESSLOG_TCP_DENIED)
		return METRIC_ERRORS;
	switch (r->result) {
	case ACCESSLOG_TCP_MEM_HIT:
	case ACCESSLOG_TCP_IMS_HIT:
	case ACCESSLOG_TCP_INM_HIT:
	case ACCESSLOG_TCP_NEGATIVE_HIT:
		return METRIC_HITS_MEMORY;
	case ACCESSLOG_TCP_HIT:
		return METRIC_HITS_DISK;
	case ACCESSLOG_TCP_CF_HIT:
		return METRIC_HITS_JOINED;
	case ACCESSLOG_TCP_REFRESH_FAIL_OLD:
	case ACCESSLOG_TCP_OFFLINE_HIT:
		return METRIC_HITS_STALE;
	case ACCESSLOG_TCP_DENIED:
		return METRIC_DENIED;
	case ACCESSLOG_NONE:
	case ACCESSLOG_TCP_REFRESH_FAIL_ERR:
		return METRIC_ERRORS;
	case ACCESSLOG_TCP_TUNNEL:
		return METRIC_TUNNELS;
	default:
		return r->private ? METRIC_BYPASSES : metric_of_way(told);
	}
}

/* Whom our own flight has asked; an empty peer: nobody. */
static void tell(const struct request *r, struct flight_told *out)
{
	if (r->flight)
		flight_tell(r->flight, out);
	else
		*out = r->told;
	if (r->result == ACCESSLOG_NONE || r->result == ACCESSLOG_TCP_DENIED)
		out->peer[0] = '\0';
}

/* As Squid spells it. */
static enum accesslog_hier hier_of(const struct flight_told *told)
{
	if (!told->peer[0])
		return ACCESSLOG_HIER_NONE;
	switch (told->way) {
	case FLIGHT_SIBLING:
		return ACCESSLOG_HIER_SIBLING_HIT;
	case FLIGHT_PARENT:
		return told->source == PARENT_SAID_HIT || told->source == PARENT_SAID_JOIN
			       ? ACCESSLOG_HIER_PARENT_HIT
			       : ACCESSLOG_HIER_FIRSTUP_PARENT;
	case FLIGHT_BROUGHT:
		return ACCESSLOG_HIER_NONE;
	case FLIGHT_DIRECT:
		break;
	}
	return ACCESSLOG_HIER_DIRECT;
}

static void put_url(const struct request *r, struct buf *b)
{
	const struct url *u = &r->url;

	if (!u->host.n) {
		buf_put(b, r->head->target.n ? r->head->target : SPAN("error:invalid-request"));
		return;
	}
	buf_put_str(b, u->https ? "https://" : "http://");
	url_put_authority(b, u);
	buf_put(b, u->path_query);
}

/* The fields of a stored head, for log.headers. */
static const struct hdrs *head_fields(struct arena *a, const struct head *h)
{
	struct hdrs *fields = arena_alloc(a, sizeof(*fields));
	char *text = arena_alloc(a, h->n + 2);
	size_t scanned = 0, bytes;
	enum reason why;

	memcpy(text, h->text, h->n);
	memcpy(text + h->n, "\r\n", 2);
	if (http1_parse_trailers(span_of(text, h->n + 2), &scanned, h->n + 2, fields, &bytes, &why) != HTTP1_DONE)
		return NULL;
	return fields;
}

/* The same for each host and class, by the kinds that tally.h has. */
static enum hosttally_how how_of(enum metric counted)
{
	switch (counted) {
	case METRIC_HITS_SIBLING:
	case METRIC_STREAMS_SIBLING:
		return HOSTTALLY_SIBLING;
	case METRIC_HITS_PARENT:
	case METRIC_JOINS_PARENT:
		return HOSTTALLY_PARENT;
	case METRIC_MISSES_PARENT:
	case METRIC_MISSES:
		return HOSTTALLY_MISS;
	case METRIC_BYPASSES:
	case METRIC_TUNNELS:
		return HOSTTALLY_BYPASS;
	case METRIC_ERRORS:
	case METRIC_DENIED:
		return HOSTTALLY_FAILURE;
	default:
		return HOSTTALLY_HIT;
	}
}

static uint64_t bytes_from_cache(const struct request *r)
{
	return (r->cached || r->joined) && r->delivering ? r->deliver.body_sent : 0;
}

static void count_by_host(const struct request *r, enum metric counted, uint64_t bytes)
{
	struct hosttally_answer a = {
		.url = &r->url,
		.class = r->path.class,
		.ecosystem = r->path.ecosystem,
		.how = how_of(counted),
		.client_bytes = bytes,
		.cache_bytes = bytes_from_cache(r),
	};

	if (r->url.host.n) /* else it was not understood */
		hosttally_answered(r->server->hosts, &a);
}

/* What goes to other nodes is no traffic of clients: it will be counted where it reaches one. */
static void count_for_child(const struct request *r, uint64_t bytes)
{
	struct metrics *m = r->server->metrics;

	metric_add(m, METRIC_CHILD_REQUESTS, 1);
	metric_add(m, METRIC_CHILD_HITS, r->cached || r->joined);
	metric_add(m, METRIC_BYTES_TO_CHILDREN, bytes);
}

static void count(const struct request *r, enum metric source, uint64_t bytes)
{
	struct metrics *m = r->server->metrics;

	metric_add(m, METRIC_REQUESTS, 1);
	metric_add(m, source, 1);
	metric_add(m, METRIC_BYTES_TO_CLIENTS, bytes);
	metric_add(m, METRIC_BYTES_FROM_CACHE, bytes_from_cache(r));
}

/* What was delivered, once all of it is there: copied into room. NULL: not stored, or not whole yet. */
static const uint8_t *stored_digest(const struct request *r, uint8_t room[HEAD_DIGEST_BYTES])
{
	struct entry_view now;
	const uint8_t *digest;

	if (!r->entry || !r->delivering)
		return NULL;
	entry_look(r->entry, &now);
	digest = now.stored && now.phase == ENTRY_COMPLETE ? head_digest(now.head) : NULL;
	if (digest)
		memcpy(room, digest, HEAD_DIGEST_BYTES);
	head_unref(&now.head);
	return digest ? room : NULL;
}

void answer_log(struct request *r, bool aborted)
{
	struct server *s = r->server;
	char url[URL_TEXT_BYTES], user[PROXYAUTH_USER_BYTES];
	uint8_t digest[HEAD_DIGEST_BYTES];
	struct buf b = buf_over(url, sizeof(url));
	uint64_t bytes = r->own_bytes + (r->delivering ? r->deliver.sent : 0);
	struct accesslog_line line = {
		.end = loop_wall(s->loop),
		.elapsed = (loop_now(s->loop) - r->began) / 1000,
		.client = r->client->peer,
		.result = r->result,
		.aborted = aborted,
		.status = r->status,
		.bytes = bytes,
		.method = r->head->method_name,
		.request = &r->head->fields,
		.request_id = r->id,
	};
	struct flight_told told;
	enum metric source;

	tell(r, &told);
	source = metric_of(r, &told);
	if (r->client->child)
		count_for_child(r, bytes);
	else
		count(r, source, bytes);
	count_by_host(r, source, bytes);
	if (!accesslog_is_on(s->accesslog))
		return;
	put_url(r, &b);
	line.url = buf_span(&b);
	line.user = client_user(r->client, &r->head->fields, user);
	line.cache_status = r->cache_status;
	line.digest = accesslog_is_json(s->accesslog) ? stored_digest(r, digest) : NULL;
	line.hier = hier_of(&told);
	line.peer = span_str(told.peer);
	if (r->policy->log.headers && r->view.head)
		line.reply = head_fields(&r->arena, r->view.head);
	if (r->view.head)
		line.type = head_part(r->view.head, r->view.head->type);
	else if (r->own_bytes && r->status != 101)
		line.type = SPAN("text/plain");
	accesslog_put(s->accesslog, &line);
}

/* The request is over: log, let go, next one. */
static void finish(struct request *r, bool keep_alive)
{
	struct client *c = r->client;

	answer_log(r, false);
	/* A body that the client has not sent to its end would be taken for the next request. */
	if (r->upload.active && !r->upload.done)
		keep_alive = false;
	request__free(r);
	client_answered(c, keep_alive);
}

/* ---- an entry ---- */

static void note_conditional_hit(struct request *r)
{
	if (r->result != ACCESSLOG_TCP_MEM_HIT || r->deliver.status != 304)
		return;
	r->result = hdr_has(&r->head->fields, HDR_IF_NONE_MATCH) ? ACCESSLOG_TCP_INM_HIT : ACCESSLOG_TCP_IMS_HIT;
}

static void on_disk_ready(void *cookie)
{
	struct request *r = cookie;

	CHECK(r, REQUEST_MAGIC);
	answer_go_on(r);
}

void answer_entry(struct request *r, const struct entry_view *view)
{
	struct server *s = r->server;
	char extra[EXTRA_BYTES];
	struct buf b = buf_over(extra, sizeof(extra));
	struct deliver_ask ask = {
		.stream = r->client->stream,
		.entry = r->entry,
		.head = view->head,
		.file = view->file,
		.watch = &r->watch,
		.on_ready = on_disk_ready,
		.cookie = r,
		.request = r->head,
		.conditions = !r->private,
		.keep_alive = r->keep_alive,
		.complete = view->phase == ENTRY_COMPLETE,
		.stored = view->stored,
		.now = loop_wall(s->loop),
	};

	r->view = *view;
	head_ref(view->head);
	put_extra(r, view->head, &b);
	if (r->client->child)
		put_for_child(r, REASON_NONE, view->phase == ENTRY_COMPLETE ? head_digest(view->head) : NULL, &b);
	keep_cache_status(r, buf_span(&b));
	ask.extra = buf_span(&b);
	/* Upload unfinished: what comes behind the answer would be read as a request. */
	if (r->upload.active && !r->upload.done)
		ask.keep_alive = false;
	deliver_begin(&r->deliver, &ask, s->room);
	r->delivering = true;
	r->status = r->deliver.status;
	note_conditional_hit(r);
	answer_go_on(r);
}

static unsigned reads_wanted(const struct request *r)
{
	return r->upload.active && !r->upload.done ? (unsigned)STREAM_READ : 0;
}

/* Nothing of it has gone out: the client gets it from elsewhere, and never hears of this. */
static void answer_anew(struct request *r)
{
	deliver_end(&r->deliver);
	r->delivering = false;
	head_unref(&r->view.head);
	lookup_damaged(r);
}

static void damaged(struct request *r)
{
	if (!r->kept)
		request__keep(r);
	index_remove(r->server->fetcher.index, r->entry); /* the disk tells the index too, but a little later */
	if (r->deliver.sent == 0)
		answer_anew(r);
	else
		client_close(r->client, STREAM_CUT);
}

void answer_go_on(struct request *r)
{
	uint64_t before = r->deliver.sent;
	enum deliver_step step;

	if (!r->delivering)
		return;
	step = deliver_go(&r->deliver);
	if (step == DELIVER_DONE) {
		finish(r, r->keep_alive && !r->deliver.close_after);
		return;
	}
	if (step == DELIVER_FAILED) {
		client_close(r->client, STREAM_CUT);
		return;
	}
	if (step == DELIVER_DAMAGED) {
		damaged(r);
		return;
	}
	if (!r->kept)
		request__keep(r);
	deliver_tell(&r->deliver);
	if (step == DELIVER_GROWTH || step == DELIVER_DISK) {
		client_expect_within(r->client, 0);
		client_want(r->client, STREAM_READ); /* a reset shows itself to a reader only */
		return;
	}
	if (r->deliver.sent != before || r->client->deadline.due == MONO_NEVER)
		client_expect_within(r->client, r->policy->limits.stall_timeout);
	client_want(r->client, reads_wanted(r) | STREAM_WRITE);
}

/* ---- answers of our own ---- */

static void send_own(struct request *r, struct buf *b, bool keep_alive)
{
	CHECK_THAT(!b->full);
	r->own_bytes = b->n;
	stream_push(r->client->stream, buf_span(b));
	finish(r, keep_alive);
}

static bool is_ours(enum reason why)
{
	return why <= REASON_REQUEST_TIMEOUT || why == REASON_TOO_BUSY || why == REASON_SHUTTING_DOWN;
}

/* For the page. What a node asked for counts where it reaches a client, and only-if-cached is a question, no failure. */
static void note(const struct request *r, enum reason why, struct span url)
{
	struct recent_event e = {
		.word = reason_word(why),
		.what = reason_sentence(why),
		.status = r->delivering ? 0 : reason_status(why),
		.url = r->url.host.n ? url : SPAN_NONE, /* what was not understood may hold a password */
		.client = r->client->peer,
		.now = loop_wall(r->server->loop),
	};

	if (!r->client->child && r->server->recent && why != REASON_ONLY_IF_CACHED)
		recent_note(r->server->recent, &e);
}

/* Who takes the proxy for a site is led to the admin port, where that can be reached. */
static void put_page_url(const struct request *r, struct buf *b)
{
	const struct addr *local = &r->client->local;
	struct addr at = r->server->admin;
	char text[ADDR_TEXT_BYTES];

	if (!at.len || !addr_port(&at))
		return;
	if (addr_is_any(&at)) {
		at = *local;
		addr_set_port(&at, addr_port(&r->server->admin));
	}
	if (addr_is_loopback(&at) && !addr_is_loopback(local))
		return;
	buf_printf(b, "http://%s/", addr_format(&at, text));
}

static bool is_browser(const struct request *r)
{
	struct hdr_list it = {0};

	while (hdr_next(&r->head->fields, HDR_ACCEPT, &it))
		if (span_starts_icase(it.member, SPAN("text/html")))
			return true;
	return false;
}

void answer_error(struct request *r, enum reason why, struct span detail)
{
	char extra[EXTRA_BYTES];
	struct buf e = buf_over(extra, sizeof(extra)), b = buf_over(r->server->room, DELIVER_ROOM_BYTES);
	char url[URL_TEXT_BYTES], page_url[ADDR_TEXT_BYTES + 16];
	struct buf u = buf_over(url, sizeof(url)), p = buf_over(page_url, sizeof(page_url));
	bool malformed = why >= REASON_NOT_HTTP && why <= REASON_REQUEST_TIMEOUT;
	/* After something malformed nobody knows where the next request would begin; nor behind a body that was not read. */
	bool keep_alive = r->keep_alive && !malformed && r->head->body == HTTP1_BODY_NONE;
	struct errpage page = {
		.why = why,
		.detail = detail,
		.node = span_str(r->policy->node),
		.request_id = r->id,
		.head_only = r->head->method == METHOD_HEAD,
		.close = !keep_alive,
		.http10 = r->head->minor == 0,
	};

	put_url(r, &u);
	page.url = span_upto(buf_span(&u), span_find(buf_span(&u), '?'));
	note(r, why, page.url);
	if (r->delivering) { /* too late for words: the transfer is cut */
		client_close(r->client, STREAM_CUT);
		return;
	}
	r->failed = true;
	if (why >= REASON_DENIED_CLIENT && why <= REASON_DENIED_BUMP)
		r->result = ACCESSLOG_TCP_DENIED;
	else if (is_ours(why))
		r->result = ACCESSLOG_NONE;
	put_extra(r, NULL, &e);
	if (r->client->child)
		put_for_child(r, why, NULL, &e);
	keep_cache_status(r, buf_span(&e));
	page.extra = buf_span(&e);
	if (why == REASON_NOT_PROXY) {
		put_page_url(r, &p);
		page.page = buf_span(&p);
		page.html = is_browser(r);
	}
	r->status = errpage_format(&b, &page);
	send_own(r, &b, keep_alive);
}

void answer_text(struct request *r, int status, struct span type, struct span text)
{
	struct buf b = buf_over(r->server->room, DELIVER_ROOM_BYTES);
	bool keep_alive = r->keep_alive && r->head->body == HTTP1_BODY_NONE;

	http1_format_status_line(&b, status, SPAN(""));
	http1_format_field(&b, SPAN("Content-Type"), type);
	buf_put_str(&b, "Cache-Control: no-store\r\nContent-Length: ");
	buf_put_u64(&b, text.n);
	buf_put_str(&b, "\r\n");
	if (!keep_alive)
		buf_put_str(&b, "Connection: close\r\n");
	http1_format_end(&b);
	if (r->head->method != METHOD_HEAD)
		buf_put(&b, text);
	r->status = status;
	r->result = ACCESSLOG_NONE;
	send_own(r, &b, keep_alive);
}
