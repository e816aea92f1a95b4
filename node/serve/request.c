#include <stdlib.h>

#include "node/base/check.h"
#include "node/fetch/from_disk.h"
#include "node/policy/access.h"
#include "node/policy/classrule.h"
#include "node/serve/request_internal.h"
#include "node/serve/tunnel.h"
#include "parent/parent_link.h"
#include "proto/doctor.h"
#include "proto/http1_keep.h"

#define MOST_PIPELINED_BYTES ((size_t)16 * 1024) /* of later requests, while one is answered */

/* ---- life ---- */

static void on_patience(void *arg)
{
	struct request *r = arg;

	CHECK(r, REQUEST_MAGIC);
	lookup_lose_patience(r);
}

static void on_sign(void *arg)
{
	struct request *r = arg;

	CHECK(r, REQUEST_MAGIC);
	lookup_show_sign(r);
}

static struct request *request_new(struct client *c)
{
	struct server *s = c->server;
	struct request *r = NEW(struct request);

	r->magic = REQUEST_MAGIC;
	r->client = c;
	r->server = s;
	r->policy = policy_ref(s->policy);
	r->began = loop_now(s->loop);
	r->id = atomic_fetch_add_explicit(s->request_ids, 1, memory_order_relaxed);
	r->head = &s->parsed;
	r->keep_alive = s->parsed.keep_alive && !s->draining;
	timer_init(&r->patience, s->loop, on_patience, r);
	timer_init(&r->sign, s->loop, on_sign, r);
	c->request = r;
	return r;
}

void request__free(struct request *r)
{
	CHECK(r, REQUEST_MAGIC);
	loop_defer_cancel(r->server->loop, &r->job);
	lookup_leave(r);
	timer_fini(&r->patience);
	timer_fini(&r->sign);
	if (r->delivering)
		deliver_end(&r->deliver);
	head_unref(&r->view.head);
	entry_unref(&r->stale);
	entry_unref(&r->validated);
	policy_unref(&r->policy);
	arena_free(&r->arena);
	r->magic = 0;
	free(r);
}

/* Userinfo in a URL is as secret as Authorization. */
static void read_facts(struct request *r)
{
	fresh_read_request(r->head, &r->facts);
	r->facts.has_authorization |= r->url.userinfo.n > 0;
}

/* The request has to wait: its head moves out of the client's buffer. */
void request__keep(struct request *r)
{
	if (r->kept)
		return;
	r->head = http1_keep_request(&r->arena, r->head);
	r->ask.request = &r->head->fields;
	r->kept = true;
	http1_keep_url(&r->arena, &r->url);
	read_facts(r);
}

void request_abort(struct request *r)
{
	CHECK(r, REQUEST_MAGIC);
	answer_log(r, true);
	request__free(r);
}

/* ---- recv: what is asked for ---- */

static enum reason check_host(const struct request *r)
{
	const struct hdrs *h = &r->head->fields;
	const struct client_tunnel *t = r->client->tunnel;
	struct span value = hdr_value(h, HDR_HOST);
	enum reason why;
	struct url url;

	switch (hdr_count(h, HDR_HOST)) {
	case 0:
		return r->head->minor == 0 ? REASON_NONE : REASON_NO_HOST;
	case 1:
		break;
	default:
		return REASON_BAD_HOST;
	}
	if (url_parse_host(value, t ? t->url.https : false, &url, &why))
		return why;
	if (t && !url_host_fits(value, t->url.https, &t->url))
		return REASON_WRONG_HOST;
	return REASON_NONE;
}

static enum reason read_target(struct request *r)
{
	const struct client_tunnel *t = r->client->tunnel;
	struct span target = r->head->target;
	enum reason why = REASON_NONE;

	if (!t) {
		if (target.p[0] == '/')
			return REASON_NOT_PROXY;
		return url_parse_absolute(target, &r->url, &why) ? why : REASON_NONE;
	}
	if (target.p[0] == '/')
		return url_parse_origin(target, t->url.https, &t->url, &r->url, &why) ? why : REASON_NONE;
	if (span_eq(target, SPAN("*")) && r->head->method == METHOD_OPTIONS) {
		if (url_parse_origin(SPAN("/"), t->url.https, &t->url, &r->url, &why))
			return why;
		r->url.path_query = r->url.path = target;
		return REASON_NONE;
	}
	if (url_parse_absolute(target, &r->url, &why))
		return why;
	/* The absolute form is allowed inside a tunnel too, for what the tunnel is for. */
	if (r->url.https != t->url.https || r->url.port != t->url.port || !span_eq_icase(r->url.host, t->url.host))
		return REASON_WRONG_HOST;
	return REASON_NONE;
}

static enum reason recv_request(struct request *r)
{
	enum reason why = check_host(r);

	if (!why)
		why = read_target(r);
	if (!why && r->policy->limits.request_body && r->head->body == HTTP1_BODY_LENGTH &&
	    r->head->length > r->policy->limits.request_body)
		why = REASON_BODY_TOO_LARGE;
	return why;
}

/* ---- access ---- */

static enum reason access_request(struct request *r)
{
	const struct policy_access *a = &r->policy->access;
	const struct client *c = r->client;
	enum reason why = client_admitted(c);

	if (why)
		return why;
	if (r->head->method == METHOD_PURGE) /* nodes have a way of their own, with a signature */
		return !c->child && access_purge_allowed(a, &stream_peer(c->stream)->sa) ? REASON_NONE
											 : REASON_DENIED_METHOD;
	/* Inside a tunnel the port has been checked at its CONNECT. */
	if (!c->tunnel && !access_port_allowed(a, r->url.port, false))
		return REASON_DENIED_PORT;
	if (!access_host_allowed(a, r->url.host))
		return REASON_DENIED_HOST;
	return REASON_NONE;
}

/* ---- classify ---- */

static enum reason classify(struct request *r)
{
	struct server *s = r->server;
	size_t room = STOREID_BYTES(r->url.host.n + r->url.path_query.n);
	struct buf b = buf_over(arena_alloc(&r->arena, room), room);

	storeid_format(&b, &r->url, &r->store_id);
	if (b.full)
		return REASON_URL_TOO_LONG;
	pathclass_of(r->store_id.path, r->store_id.query, &r->head->fields, &r->path);
	classrule_apply(&r->policy->cache, r->url.host, r->store_id.path, &r->path);
	read_facts(r);
	r->ask.request = &r->head->fields;
	key_make(&r->ask.key, s->salt, r->store_id.text);
	if (r->facts.has_authorization)
		key_credential(&r->ask.who, s->secret, hdr_value(&r->head->fields, HDR_AUTHORIZATION), r->url.userinfo);
	return REASON_NONE;
}

static void purge(struct request *r)
{
	unsigned n = from_disk_purge(&r->server->fetcher, &r->ask.key);

	metric_add(r->server->metrics, METRIC_PURGED, n);
	answer_text(r, n ? 200 : 404, SPAN("text/plain"), n ? SPAN("purged\n") : SPAN("not in cache\n"));
}

/* ---- a name of our own ---- */

static void answer_doctor(struct request *r)
{
	enum reason why = client_admitted(r->client);
	char about[DOCTOR_ABOUT_BYTES];
	struct buf b = buf_over(about, sizeof(about));
	struct doctor_page page;

	if (why) {
		answer_error(r, why, SPAN_NONE);
		return;
	}
	r->ours = true;
	if (r->head->method != METHOD_GET && r->head->method != METHOD_HEAD) {
		answer_text(r, 501, SPAN("text/plain"), SPAN("only GET and HEAD are answered here\n"));
	} else if (span_eq(r->url.path, SPAN(DOCTOR_ABOUT))) {
		doctor_put_about(&b, span_str(r->policy->node), r->server->boot, r->client->door == CLIENT_DOOR_BUMP);
		answer_text(r, 200, SPAN("application/json"), buf_span(&b));
	} else if (doctor_find(r->url.path, &page)) {
		answer_text(r, 200, page.type, page.body);
	} else {
		answer_text(r, 404, SPAN("text/plain"), SPAN("there is nothing under this path\n"));
	}
}

/* ---- the steps ---- */

void request_begin(struct client *c)
{
	struct request *r;
	enum reason why;

	if (c->server->parsed.method == METHOD_CONNECT) {
		tunnel_connect(c);
		return;
	}
	r = request_new(c);
	why = recv_request(r);
	if (!why && doctor_is_host(r->url.host) && !c->child) {
		answer_doctor(r);
		return;
	}
	if (!why)
		why = access_request(r);
	if (!why)
		why = classify(r);
	if (why) {
		answer_error(r, why, SPAN_NONE);
		return;
	}
	if (c->child)
		r->only = parent_link_is_only(&r->head->fields);
	r->refresh = c->child && parent_link_is_refresh(&r->head->fields);
	if (r->head->method == METHOD_PURGE)
		purge(r);
	else
		lookup_begin(r);
}

static void watch_for_end(struct request *r)
{
	struct client *c = r->client;

	/* While the answer is on its way: pipelined requests may come, or the end. */
	switch (client_read_more(c, MOST_PIPELINED_BYTES)) {
	case CLIENT_READ_FAILED:
		client_close(c, STREAM_CUT);
		break;
	case CLIENT_READ_END:
	case CLIENT_READ_NOTHING: /* or enough of them: they stay in the socket until this one is answered */
		if (c->ended || client_unread(c).n >= MOST_PIPELINED_BYTES)
			client_want(c, r->delivering ? STREAM_WRITE : 0);
		break;
	case CLIENT_READ_SOME:
		break;
	}
}

void request_ready(struct request *r, unsigned events)
{
	CHECK(r, REQUEST_MAGIC);
	if (events & STREAM_WRITE) {
		answer_go_on(r);
		return;
	}
	if (r->upload.active && !r->upload.done)
		upload_go_on(r);
	else
		watch_for_end(r);
}

void request_timed_out(struct request *r)
{
	if (r->delivering) {
		log_line(r->server->log, LOG_INFO, "client", "%s stopped reading", r->client->peer);
		client_close(r->client, STREAM_CUT);
		return;
	}
	answer_error(r, REASON_REQUEST_TIMEOUT, SPAN_NONE);
}

/* The server's `parsed` says what was asked for. */
void request_refuse_with(struct client *c, enum reason why, struct span detail)
{
	struct request *r;

	c->state = CLIENT_ANSWERING;
	r = request_new(c);
	r->keep_alive = false;
	answer_error(r, why, detail);
}

void request_refuse(struct client *c, enum reason why)
{
	request_refuse_with(c, why, SPAN_NONE);
}

void request_refuse_unparsed(struct client *c, enum reason why)
{
	struct http1_request *nothing = &c->server->parsed;

	memset(nothing, 0, offsetof(struct http1_request, fields.v));
	nothing->method_name = SPAN("NONE");
	nothing->minor = 1;
	request_refuse(c, why);
}
