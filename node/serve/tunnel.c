#include "node/serve/tunnel.h"

#include <stdio.h>
#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/fetch/hostmood.h"
#include "node/policy/access.h"
#include "node/policy/bumprule.h"
#include "node/serve/contact.h"
#include "node/serve/request.h"
#include "node/tls/mint.h"
#include "node/tls/stream_tls.h"
#include "parent/parent_tunnel.h"
#include "proto/doctor.h"

#define TUNNEL_FIRST_BYTES (PARENT_TUNNEL_FIRST_BYTES + 64)

static void bump_with_leaf(struct client *c, const struct origin_cert *mimic);

/* ---- CONNECT ---- */

static struct client_tunnel *tunnel_new(const struct url *authority, const struct hdrs *asked)
{
	struct client_tunnel *t = NEW(struct client_tunnel);

	t->url = *authority;
	t->url.https = true;
	memcpy(t->text, authority->host.p, authority->host.n);
	t->url.host = span_of(t->text, authority->host.n);
	t->dial_host = t->url.host;
	t->url.userinfo = SPAN_NONE;
	t->job_n = proxyauth_user(hdr_value(asked, HDR_PROXY_AUTHORIZATION), t->job);
	return t;
}

static const struct span established = {"HTTP/1.1 200 Connection established\r\n\r\n", 39};

/* "host:port", as it stands in a CONNECT. */
static void put_authority(struct buf *b, const struct client_tunnel *t)
{
	bool v6 = memchr(t->dial_host.p, ':', t->dial_host.n) != NULL;

	if (v6)
		buf_putc(b, '[');
	buf_put(b, t->dial_host);
	if (v6)
		buf_putc(b, ']');
	buf_putc(b, ':');
	buf_put_u64(b, t->url.port);
}

static void refuse_tunnel(struct client *c, const struct dial_report *report)
{
	struct http1_request *parsed = &c->server->parsed;
	char authority[URL_MAX_HOST + 16];
	struct buf b = buf_over(authority, sizeof(authority));

	if (c->tunnelled) { /* it has had its 200: there is no way left to say why */
		tunnel_log(c, report->why, 0);
		client_close(c, STREAM_CUT);
		return;
	}
	put_authority(&b, c->tunnel);
	memset(parsed, 0, offsetof(struct http1_request, fields.v));
	parsed->method = METHOD_CONNECT;
	parsed->method_name = SPAN("CONNECT");
	parsed->target = buf_span(&b);
	parsed->minor = 1;
	request_refuse_with(c, report->why, span_str(report->detail));
}

/* The way is open; `first` has come from the other side already. */
static void relay_with(struct client *c, struct stream *s, struct span first)
{
	char room[TUNNEL_FIRST_BYTES];
	struct buf b = buf_over(room, sizeof(room));

	metric_add(c->server->metrics, METRIC_TUNNELS, 1);
	/* A tunnel that was bumped on the outside and whose content turned out to be no TLS has had its 200 already. */
	if (!c->tunnelled)
		buf_put(&b, established);
	buf_put(&b, first);
	CHECK_THAT(!b.full);
	client_begin_relay(c, s, buf_span(&b));
}

static void on_tunnel_dialled(void *cookie, struct stream *s, const struct dial_report *report)
{
	struct client *c = cookie;

	CHECK(c, CLIENT_MAGIC);
	c->dial = NULL;
	if (!s) {
		refuse_tunnel(c, report);
		return;
	}
	if (report->addr.len)
		addr_format_ip(&report->addr, c->tunnel->peer);
	relay_with(c, s, SPAN_NONE);
}

static bool is_offline(const struct server *s)
{
	return hostmoods_are_offline(s->fetcher.moods, s->policy->cache.offline);
}

static void dial_direct(struct client *c)
{
	struct dial_target target = {.host = c->tunnel->dial_host, .port = c->tunnel->url.port};

	c->dial = dial_start(c->server->fetcher.dialer, &target, c->server->policy, on_tunnel_dialled, c);
}

static void on_parent_answered(void *cookie, struct stream *s, struct span first, enum reason why, const char *detail,
			       const char *parent)
{
	struct client *c = cookie;
	struct dial_report report = {.why = why};
	struct buf b = buf_over(report.detail, sizeof(report.detail) - 1);

	CHECK(c, CLIENT_MAGIC);
	c->by_parent = NULL;
	if (!s && why == REASON_PARENT_DOWN && c->server->policy->cluster.on_parent_failure == POLICY_PARENT_DIRECT) {
		dial_direct(c);
		return;
	}
	if (!s) {
		buf_put(&b, span_upto(span_str(detail), sizeof(report.detail) - 1));
		refuse_tunnel(c, &report);
		return;
	}
	snprintf(c->tunnel->peer, sizeof(c->tunnel->peer), "%.*s", (int)sizeof(c->tunnel->peer) - 1, parent);
	c->tunnel->through_parent = true;
	relay_with(c, s, first);
}

/* Through the parents, if there are any, and this is not one itself that a child has sent here. */
static bool goes_by_parent(const struct client *c)
{
	const struct fetch_cluster *cluster = c->server->fetcher.cluster;

	return cluster && c->server->policy->cluster.tunnels && !c->child && parent_set_count(cluster->parents) > 0;
}

static void ask_parent(struct client *c)
{
	const struct fetch_cluster *cluster = c->server->fetcher.cluster;
	struct parent_tunnel_ask ask = {
		.host = c->tunnel->dial_host,
		.port = c->tunnel->url.port,
		.cluster = span_str(cluster->name),
		.self = span_str(cluster->node),
	};

	c->by_parent = parent_tunnel_start(c->server->loop, cluster->dns, cluster->tls, cluster->parents, &ask,
					   on_parent_answered, c);
}

static void dial_blindly(struct client *c)
{
	if (is_offline(c->server)) {
		refuse_tunnel(c, &(struct dial_report){.why = REASON_OFFLINE});
		return;
	}
	c->state = CLIENT_HANDSHAKE;
	stream_want(c->stream, 0);
	client_expect_within(c, 0);
	if (goes_by_parent(c))
		ask_parent(c);
	else
		dial_direct(c);
}

/* What the CA must not sign for (its name constraints) is left out of the bump like what bump.only leaves out. */
static enum bumprule_verdict bump_verdict(struct client *c, struct span host)
{
	const struct policy_bump *b = &c->server->policy->bump;
	enum bumprule_verdict verdict = bumprule_decide(b, host);

	if (doctor_is_host(host)) /* there is nobody to splice to */
		return mint_permits(c->server->mint, host) ? BUMPRULE_BUMP : BUMPRULE_REFUSE;
	if (verdict != BUMPRULE_BUMP || mint_permits(c->server->mint, host))
		return verdict;
	return b->refuse_others ? BUMPRULE_REFUSE : BUMPRULE_SPLICE;
}

void tunnel_connect(struct client *c)
{
	struct server *s = c->server;
	const struct http1_request *r = &s->parsed;
	enum bumprule_verdict verdict = BUMPRULE_SPLICE;
	struct url url;
	enum reason why;

	if (c->tunnel) {
		request_refuse(c, REASON_BAD_METHOD); /* a CONNECT within a CONNECT */
		return;
	}
	if (url_parse_authority(r->target, 0, &url, &why)) {
		request_refuse(c, why);
		return;
	}
	if (!hdr_has(&r->fields, HDR_HOST) && r->minor >= 1) { /* HTTP/1.0, as pip's, needs none */
		request_refuse(c, REASON_NO_HOST);
		return;
	}
	if (hdr_count(&r->fields, HDR_HOST) > 1) {
		request_refuse(c, REASON_BAD_HOST);
		return;
	}
	if (r->body != HTTP1_BODY_NONE && !(r->body == HTTP1_BODY_LENGTH && r->length == 0)) {
		request_refuse(c, REASON_BAD_LENGTH);
		return;
	}
	why = tunnel_access(c, &url);
	if (why) {
		request_refuse(c, why);
		return;
	}
	if (doctor_is_host(url.host) && c->door != CLIENT_DOOR_BUMP) {
		request_refuse_with(c, REASON_DENIED_BUMP, SPAN("this name is answered at the ports of listen.bump"));
		return;
	}
	if (c->door == CLIENT_DOOR_BUMP)
		verdict = bump_verdict(c, url.host);
	if (verdict == BUMPRULE_REFUSE) {
		request_refuse(c, REASON_DENIED_BUMP);
		return;
	}
	c->tunnel = tunnel_new(&url, &r->fields);
	c->tunnel->began = loop_now(s->loop);
	if (verdict == BUMPRULE_SPLICE) {
		dial_blindly(c);
		return;
	}
	stream_push(c->stream, established);
	client_enter_tunnel(c);
}

enum reason tunnel_access(struct client *c, const struct url *url)
{
	const struct policy_access *a = &c->server->policy->access;
	enum reason why = client_admitted(c);

	if (why || doctor_is_host(url->host))
		return why;
	if (!access_port_allowed(a, url->port, true))
		return REASON_DENIED_PORT;
	if (!access_host_allowed(a, url->host))
		return REASON_DENIED_HOST;
	return REASON_NONE;
}

/* ---- the handshake ---- */

static void note_rejected(const struct client *c)
{
	struct recent_event e = {
		.word = "ca-not-trusted",
		.what = "the client does not trust the CA",
		.url = c->tunnel ? c->tunnel->url.host : SPAN_NONE,
		.client = c->peer,
		.now = loop_wall(c->server->loop),
	};

	if (c->server->recent)
		recent_note(c->server->recent, &e);
}

static void log_rejected(struct client *c, struct stream *s)
{
	const char *alert = stream_tls_rejected(s);

	if (!alert) {
		log_line(c->server->log, LOG_INFO, "tls", "%s: no handshake for %.*s: %s", c->peer,
			 SPAN_ARG(c->tunnel ? c->tunnel->url.host : SPAN("the proxy")), stream_tls_detail(s));
		return;
	}
	metric_add(c->server->metrics, METRIC_TLS_CLIENT_REJECTED, 1);
	note_rejected(c);
	log_line(
		c->server->log, LOG_WARNING, "tls",
		"%s does not trust the CA (alert \"%s\", host %.*s): run its program with the settings of `pmcachectl env`, or add the "
		"host to bump.splice",
		c->peer, alert, SPAN_ARG(c->tunnel ? c->tunnel->url.host : SPAN("of the proxy")));
}

static void on_handshake(void *cookie, struct stream *s, enum reason why)
{
	struct client *c = cookie;

	CHECK(c, CLIENT_MAGIC);
	if (why) {
		log_rejected(c, s);
		client_close(c, STREAM_CLEAN);
		return;
	}
	metric_add(c->server->metrics, METRIC_BUMPS, 1);
	if (stream_tls_resumed(s))
		metric_add(c->server->metrics, METRIC_BUMPS_RESUMED, 1);
	client_upgraded(c, s);
}

/* The names that the client may compare the leaf with. */
static size_t leaf_names(struct client *c, struct span names[MINT_NAMES_MAX], char local[ADDR_TEXT_BYTES])
{
	size_t n = 0;

	if (c->hello_name[0])
		names[n++] = span_str(c->hello_name);
	if (c->tunnel) {
		names[n++] = c->tunnel->dial_host;
	} else {
		addr_format_ip(&c->local, local);
		names[n++] = span_str(local);
		names[n++] = SPAN("localhost");
	}
	return n;
}

static void bump_with_leaf(struct client *c, const struct origin_cert *mimic)
{
	struct server *s = c->server;
	struct span names[MINT_NAMES_MAX], first = client_unread(c);
	char local[ADDR_TEXT_BYTES];
	struct stream *below = c->stream;
	enum reason why = REASON_NONE;
	struct leaf *leaf;

	leaf = mint_leaf(s->mint, names, leaf_names(c, names, local), mimic, loop_wall(s->loop), &why);
	if (!leaf) {
		log_line(s->log, LOG_WARNING, "tls", "no leaf for %.*s: %s", SPAN_ARG(names[0]), reason_sentence(why));
		client_close(c, STREAM_CUT);
		return;
	}
	c->state = CLIENT_HANDSHAKE;
	c->stream = stream_tls_accept(&below, s->tls, leaf, first, on_handshake, c);
	c->in_at = c->in_n = 0;
	free(c->in);
	c->in = NULL;
	c->in_room = 0;
	leaf_unref(&leaf);
	client_expect_within(c, s->policy->upstream.tls_timeout);
}

/* ---- certificate: origin ---- */

static void on_contact(void *cookie, struct origin_cert *cert, enum reason why)
{
	struct client *c = cookie;

	(void)why;
	CHECK(c, CLIENT_MAGIC);
	/* An origin that cannot be reached, or whose certificate is no good, is told in answer to the request: here only a name is needed. */
	bump_with_leaf(c, cert);
}

static void bump(struct client *c)
{
	struct server *s = c->server;
	struct origin_cert *known;

	if (!c->tunnel || s->policy->bump.certificate == POLICY_CERT_SNI || doctor_is_host(c->tunnel->url.host)) {
		bump_with_leaf(c, NULL);
		return;
	}
	known = mint_recall(s->mint, c->tunnel->url.host, loop_wall(s->loop));
	if (known) {
		bump_with_leaf(c, known);
		names_origin_unref(&known);
		return;
	}
	if (is_offline(s)) {
		bump_with_leaf(c, NULL);
		return;
	}
	c->state = CLIENT_HANDSHAKE;
	stream_want(c->stream, 0);
	client_expect_within(c, 0);
	contact_start(s->contacts, CONTACT_AS_ROUTED,
		      &(struct dial_target){.host = c->tunnel->dial_host,
					    .port = c->tunnel->url.port,
					    .https = true,
					    .tls_host = c->tunnel->url.host},
		      s->policy, &c->contact, on_contact, c);
}

/* ---- first bytes ---- */

/* CONNECT said an address, the ClientHello a name: the name is what is meant (and what the origin's certificate has to be valid
 * for), the address is where it is to be found. */
static void adopt_name(struct client *c, const struct hello *h)
{
	struct client_tunnel *t = c->tunnel;
	char *name;

	if (!h->name_bytes)
		return;
	memcpy(c->hello_name, h->name, h->name_bytes);
	c->hello_name[h->name_bytes] = '\0';
	if (!t || !t->url.is_ip)
		return;
	name = t->text + t->dial_host.n;
	memcpy(name, h->name, h->name_bytes);
	t->url.host = span_of(name, h->name_bytes);
	t->url.is_ip = t->url.is_ipv6 = false;
}

static enum tunnel_step hello_came(struct client *c, const struct hello *h)
{
	adopt_name(c, h);
	if (c->tunnel && c->tunnelled) {
		/* A name that the CONNECT did not have may be on a list of its own. */
		switch (bump_verdict(c, c->tunnel->url.host)) {
		case BUMPRULE_BUMP:
			break;
		case BUMPRULE_SPLICE:
			dial_blindly(c);
			return TUNNEL_MOVED;
		case BUMPRULE_REFUSE:
			client_close(c, STREAM_CUT);
			return TUNNEL_MOVED;
		}
	}
	bump(c);
	return TUNNEL_MOVED;
}

static bool begins_like_http(char first)
{
	return (first >= 'A' && first <= 'Z') || (first >= 'a' && first <= 'z') || first == '\r';
}

static enum tunnel_step not_tls(struct client *c)
{
	if (begins_like_http(client_unread(c).p[0]) || !c->tunnelled) {
		if (c->tunnel)
			c->tunnel->url.https = false;
		c->state = CLIENT_READING;
		client_upgraded(c, c->stream);
		return TUNNEL_MOVED;
	}
	if (c->server->policy->bump.refuse_others) {
		client_close(c, STREAM_CUT);
		return TUNNEL_MOVED;
	}
	dial_blindly(c);
	return TUNNEL_MOVED;
}

enum tunnel_step tunnel_first_bytes(struct client *c)
{
	struct hello h;

	if (c->door == CLIENT_DOOR_PROXY && !c->tunnelled)
		return not_tls(c);
	switch (hello_parse(client_unread(c), &c->hello, &h)) {
	case HELLO_MORE:
		return TUNNEL_MORE;
	case HELLO_DONE:
		return hello_came(c, &h);
	case HELLO_NOT_TLS:
		return not_tls(c);
	case HELLO_BAD:
		break;
	}
	log_line(c->server->log, LOG_INFO, "tls", "%s: begins like TLS, but is none", c->peer);
	client_close(c, STREAM_CUT);
	return TUNNEL_MOVED;
}

/* ---- log ---- */

void tunnel_log(struct client *c, enum reason why, uint64_t bytes)
{
	struct server *s = c->server;
	const struct client_tunnel *t = c->tunnel;
	char url[URL_MAX_HOST + 16];
	struct buf b = buf_over(url, sizeof(url));
	struct accesslog_line line = {
		.end = loop_wall(s->loop),
		.elapsed = (loop_now(s->loop) - t->began) / 1000,
		.client = c->peer,
		.result = why ? ACCESSLOG_TCP_MISS : ACCESSLOG_TCP_TUNNEL,
		.status = why ? reason_status(why) : 200,
		.bytes = bytes,
		.method = SPAN("CONNECT"),
		.user = client_user(c, NULL, NULL),
		.hier = t->through_parent ? ACCESSLOG_HIER_FIRSTUP_PARENT : ACCESSLOG_HIER_DIRECT,
		.peer = span_str(t->peer),
		.request_id = atomic_fetch_add(s->request_ids, 1),
	};

	put_authority(&b, t);
	line.url = buf_span(&b);
	accesslog_put(s->accesslog, &line);
}

void tunnel_relayed(struct client *c, uint64_t down, uint64_t up)
{
	metric_add(c->server->metrics, METRIC_BYTES_TO_CLIENTS, down);
	metric_add(c->server->metrics, METRIC_BYTES_FROM_CLIENTS, up);
	if (c->tunnel)
		tunnel_log(c, REASON_NONE, down);
}
