#include "node/link/dial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/link/race.h"
#include "node/net/stream_plain.h"
#include "node/tls/names.h"
#include "node/tls/stream_tls.h"
#include "node/tls/tlsctx.h"
#include "proto/http1_format.h"
#include "proto/http1_parse.h"
#include "proto/url.h"

#define ORIGIN_BYTES (2 * URL_MAX_HOST + 64)
#define PROXY_HEAD_BYTES (16 * 1024)
#define PROXY_ASK_BYTES (4 * 1024)

struct dialer {
	unsigned magic;
	struct loop *loop;
	struct dns *dns;
	struct tlsctx *tls;
	const struct access_own *own;
	size_t dials;
};

#define DIALER_MAGIC 0xd1a10001

/* The steps, in order: race, perhaps tunnel (ask the proxy), perhaps handshake. Each has set what is not NULL. */
struct dial {
	unsigned magic;
	struct dialer *dialer;
	struct policy *policy;
	dial_on_done_f *on_done;
	void *cookie;
	char *host, *tls_host;
	uint16_t port;
	bool wants_cert;
	bool https;
	bool by_proxy;
	char origin[ORIGIN_BYTES];
	struct timer deadline; /* of the step; the race has its own */
	enum reason deadline_why;

	struct race *race;
	struct stream *stream;
	char *in; /* the proxy's answer so far, PROXY_HEAD_BYTES */
	size_t in_n, scanned;

	struct dial_report report;
};

#define DIAL_MAGIC 0xd1a10002

/* ---- the end ---- */

static void dial_free(struct dial *d)
{
	race_cancel(&d->race);
	stream_close(&d->stream, STREAM_CUT);
	timer_fini(&d->deadline);
	policy_unref(&d->policy);
	d->dialer->dials--;
	free(d->in);
	free(d->host);
	free(d->tls_host);
	d->magic = 0;
	free(d);
}

/* The dial is gone before its owner hears of it, who may start another at once. */
static void finish(struct dial *d, struct stream *s)
{
	dial_on_done_f *on_done = d->on_done;
	void *cookie = d->cookie;
	struct dial_report report = d->report;

	dial_free(d);
	on_done(cookie, s, &report);
	names_origin_unref(&report.cert);
}

/* "registry.test: 192.0.2.1:443: certificate has expired", as far as it is known. */
static void describe(struct dial *d, const char *more)
{
	struct buf b = buf_over(d->report.detail, sizeof(d->report.detail) - 1);
	char where[ADDR_TEXT_BYTES];

	if (d->by_proxy)
		buf_printf(&b, "upstream.proxy %.60s for ", d->policy->upstream.proxy_host);
	buf_printf(&b, "%.100s", d->host);
	if (d->report.addr.len)
		buf_printf(&b, ": %s", addr_format(&d->report.addr, where));
	if (more[0])
		buf_printf(&b, ": %s", more);
	d->report.detail[b.n] = '\0';
}

static void fail(struct dial *d, enum reason why, const char *more)
{
	d->report.why = why;
	describe(d, more);
	finish(d, NULL);
}

static void succeed(struct dial *d)
{
	struct stream *s = d->stream;

	d->stream = NULL;
	stream_set_handler(s, NULL, NULL);
	stream_want(s, 0);
	finish(d, s);
}

static void on_deadline(void *arg)
{
	struct dial *d = arg;

	CHECK(d, DIAL_MAGIC);
	fail(d, d->deadline_why, "");
}

static void begin_step(struct dial *d, dur_ms limit, enum reason why)
{
	d->deadline_why = why;
	if (limit > 0)
		timer_set_in(&d->deadline, limit);
	else
		timer_clear(&d->deadline);
}

/* ---- TLS ---- */

static void on_handshake(void *cookie, struct stream *s, enum reason why)
{
	struct dial *d = cookie;
	char more[DIAL_DETAIL_BYTES];

	CHECK(d, DIAL_MAGIC);
	if (why) {
		/* The stream, which has the words, goes with the dial. */
		snprintf(more, sizeof(more), "%s", stream_tls_detail(s));
		fail(d, why, more);
		return;
	}
	d->report.resumed = stream_tls_resumed(s);
	if (!d->report.resumed || d->wants_cert)
		d->report.cert = stream_tls_origin_cert(s);
	succeed(d);
}

static void begin_handshake(struct dial *d)
{
	char name[NAMES_HOST_MAX + 1];
	enum name_kind kind = names_host(span_str(d->tls_host), name);
	struct stream *below = d->stream;

	if (kind == NAME_BAD) {
		fail(d, REASON_BAD_HOST, "this is no name for a certificate");
		return;
	}
	begin_step(d, d->policy->upstream.tls_timeout, REASON_TLS_TIMEOUT);
	d->stream = stream_tls_connect(&below, d->dialer->tls, span_str(name), kind == NAME_IP, span_str(d->origin),
				       on_handshake, d);
}

/* The way to the host is open. */
static void connected(struct dial *d)
{
	timer_clear(&d->deadline);
	if (d->https)
		begin_handshake(d);
	else
		succeed(d);
}

/* ---- CONNECT, through upstream.proxy ---- */

static void put_base64(struct buf *b, struct span s)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < s.n; i += 3) {
		uint32_t three = 0;

		for (size_t k = 0; k < 3; k++)
			three = three << 8 | (i + k < s.n ? (uint8_t)s.p[i + k] : 0u);
		for (size_t k = 0; k < 4; k++)
			buf_putc(b, i + k > s.n ? '=' : digits[three >> (18 - 6 * k) & 63]);
	}
}

static void put_connect(struct buf *b, const struct dial *d, const char *host)
{
	bool v6 = strchr(host, ':') != NULL;
	const char *credentials = d->policy->upstream.proxy_credentials;
	char at[URL_MAX_HOST + 16];
	struct buf authority = buf_over(at, sizeof(at));

	buf_printf(&authority, v6 ? "[%s]:%u" : "%s:%u", host, d->port);
	http1_format_request_line(b, SPAN("CONNECT"), buf_span(&authority));
	http1_format_field(b, SPAN("Host"), buf_span(&authority));
	if (credentials) {
		buf_put_str(b, "Proxy-Authorization: Basic ");
		put_base64(b, span_str(credentials));
		buf_put_str(b, "\r\n");
	}
	http1_format_end(b);
	b->full |= authority.full;
}

/* How many bytes are missing at the least until the head may be whole: so that none behind it are taken, which belong to whom
 * we speak to through the tunnel. */
static size_t surely_missing(const char *in, size_t n)
{
	struct span s = span_of(in, n);

	if (span_ends(s, SPAN("\r\n\r")))
		return 1;
	if (span_ends(s, SPAN("\r\n")))
		return 2;
	return span_ends(s, SPAN("\r")) ? 3 : 4;
}

static void proxy_said(struct dial *d, const struct http1_response *r)
{
	char more[DIAL_DETAIL_BYTES];

	if (r->status >= 300) {
		snprintf(more, sizeof(more), "it answered %d %.*s", r->status,
			 (int)(r->phrase.n < 80 ? r->phrase.n : 80), r->phrase.p);
		fail(d, REASON_PROXY_REFUSED, more);
		return;
	}
	free(d->in);
	d->in = NULL;
	connected(d);
}

static void on_proxy_ready(void *cookie, unsigned events)
{
	struct dial *d = cookie;
	struct http1_response r;
	enum reason why;

	(void)events;
	CHECK(d, DIAL_MAGIC);
	for (;;) {
		size_t missing = surely_missing(d->in, d->in_n), room = PROXY_HEAD_BYTES - d->in_n;
		ssize_t n = stream_read(d->stream, d->in + d->in_n, missing < room ? missing : room);

		if (n == STREAM_AGAIN)
			return;
		if (n <= 0) {
			fail(d, REASON_PROXY_REFUSED, "it closed the connection");
			return;
		}
		d->in_n += (size_t)n;
		switch (http1_parse_response(span_of(d->in, d->in_n), &d->scanned, PROXY_HEAD_BYTES - 1, METHOD_CONNECT,
					     &r, &why)) {
		case HTTP1_MORE:
			break;
		case HTTP1_DONE:
			if (r.status >= 200) {
				proxy_said(d, &r); /* d may be gone now */
				return;
			}
			d->in_n = d->scanned = 0; /* an interim answer; the final one follows */
			break;
		case HTTP1_BAD:
			fail(d, REASON_PROXY_REFUSED, reason_sentence(why));
			return;
		}
	}
}

static void begin_tunnel(struct dial *d)
{
	char text[PROXY_ASK_BYTES], host[NAMES_HOST_MAX + 1];
	struct buf b = buf_over(text, sizeof(text));

	if (names_host(span_str(d->host), host) == NAME_BAD) {
		fail(d, REASON_BAD_HOST, "");
		return;
	}
	put_connect(&b, d, host);
	if (b.full) {
		fail(d, REASON_PROXY_REFUSED, "its credentials are too long");
		return;
	}
	d->in = mem_alloc(PROXY_HEAD_BYTES);
	begin_step(d, d->policy->upstream.connect_timeout, REASON_CONNECT_TIMEOUT);
	stream_set_handler(d->stream, on_proxy_ready, d);
	if (!stream_push(d->stream, buf_span(&b))) {
		fail(d, REASON_PROXY_REFUSED, "it closed the connection");
		return;
	}
	stream_want(d->stream, STREAM_READ);
}

/* ---- the race ---- */

/* At the moment when connect() is about to get it. What dials the proxy is the operator's choice. */
static bool may_dial(void *cookie, const struct addr *to)
{
	const struct dial *d = cookie;

	return d->by_proxy || !access_dial_denied(&d->policy->access, &to->sa, d->dialer->own);
}

static void on_raced(void *cookie, int fd, const struct race_report *r)
{
	struct dial *d = cookie;

	CHECK(d, DIAL_MAGIC);
	d->race = NULL;
	d->report.addr = r->addr;
	if (fd < 0) {
		fail(d, r->why, r->detail);
		return;
	}
	d->stream = stream_plain_new(d->dialer->loop, fd, &r->addr);
	if (d->by_proxy)
		begin_tunnel(d);
	else
		connected(d);
}

/* ---- the start ---- */

static void put_normal(struct buf *b, struct span host)
{
	char name[NAMES_HOST_MAX + 1];

	if (names_host(host, name) == NAME_BAD)
		buf_put(b, span_upto(host, NAMES_HOST_MAX));
	else
		buf_put_str(b, name);
}

void dial_origin(const struct dial_target *t, struct buf *out)
{
	buf_put_str(out, t->https ? "https " : "http ");
	put_normal(out, t->host);
	buf_printf(out, " %u", t->port);
	if (t->https) {
		buf_putc(out, ' ');
		put_normal(out, t->tls_host.n ? t->tls_host : t->host);
	}
}

struct dialer *dialer_new(struct loop *loop, struct dns *dns, struct tlsctx *tls, const struct access_own *own)
{
	struct dialer *dr = NEW(struct dialer);

	dr->magic = DIALER_MAGIC;
	dr->loop = loop;
	dr->dns = dns;
	dr->tls = tls;
	dr->own = own;
	return dr;
}

void dialer_free(struct dialer *dr)
{
	if (!dr)
		return;
	CHECK(dr, DIALER_MAGIC);
	CHECK_THAT(dr->dials == 0);
	dr->magic = 0;
	free(dr);
}

struct dial *dial_start(struct dialer *dr, const struct dial_target *t, struct policy *policy, dial_on_done_f *on_done,
			void *cookie)
{
	const struct policy_upstream *up = &policy->upstream;
	struct dial *d = NEW(struct dial);
	struct buf origin = buf_over(d->origin, sizeof(d->origin) - 1);

	CHECK(dr, DIALER_MAGIC);
	d->magic = DIAL_MAGIC;
	d->dialer = dr;
	d->policy = policy_ref(policy);
	d->on_done = on_done;
	d->cookie = cookie;
	d->host = span_dup(t->host);
	d->tls_host = span_dup(t->tls_host.n ? t->tls_host : t->host);
	d->port = t->port;
	d->https = t->https;
	d->wants_cert = t->wants_cert;
	d->by_proxy = up->proxy_host && !access_host_listed(&up->no_proxy, t->host);
	dial_origin(t, &origin);
	CHECK_THAT(!origin.full);
	timer_init(&d->deadline, dr->loop, on_deadline, d);
	dr->dials++;
	d->race = race_start(dr->loop, dr->dns, d->by_proxy ? span_str(up->proxy_host) : t->host,
			     d->by_proxy ? up->proxy_port : d->port, up->connect_timeout, may_dial, on_raced, d);
	return d;
}

void dial_cancel(struct dial **dp)
{
	struct dial *d = *dp;

	if (!d)
		return;
	CHECK(d, DIAL_MAGIC);
	*dp = NULL;
	dial_free(d);
}
