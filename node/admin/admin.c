#include "node/admin/admin.h"

#include <stdlib.h>
#include <unistd.h>

#include "node/admin/metricstext.h"
#include "node/admin/objects.h"
#include "node/admin/peersjson.h"
#include "node/admin/statsjson.h"
#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/net/listener.h"
#include "node/net/stream_plain.h"
#include "node/record/recent.h"
#include "node/tls/ca.h"
#include "proto/http1_format.h"
#include "proto/http1_parse.h"
#include "proto/httpdate.h"
#include "proto/url.h"

#define MOST_TALKS 64
#define HEAD_BYTES 8192
#define HEAD_MS (10 * DUR_SECOND)
#define IDLE_MS (2 * DUR_MINUTE) /* longer than monitoring waits between two looks */
#define SEND_MS (20 * DUR_SECOND)
#define ANSWER_HEAD_BYTES 1024
#define ROOM_BYTES HISTORY_MAX /* the largest of what is written there */
#define PEERS_BYTES                                                                                                    \
	((size_t)2 * 1024 * 1024) /* any job may ask for it, on all connections at once, and then not read it */

_Static_assert(PAGE_JSON_MAX <= ROOM_BYTES, "a page must fit");

#define TEXT "text/plain; charset=utf-8"
#define JSON "application/json"
#define HTML "text/html; charset=utf-8"

/* One connection. */
struct talk {
	unsigned magic;
	TAILQ_ENTRY(talk) entry;
	struct admin *admin;
	struct stream *stream;
	struct timer deadline;
	struct deferred job; /* the next of pipelined requests */
	bool sending;        /* nothing more is read before the answer has gone */
	size_t n, scanned;
	char in[HEAD_BYTES];
};

#define TALK_MAGIC 0xad317a1c

/* By enum ca_format. */
static const struct {
	struct span name;
	const char *type;
} ca_forms[] = {
	[CA_PEM] = {SPAN("pem"), "application/pem-certificate-chain"},
	[CA_DER] = {SPAN("der"), "application/pkix-cert"},
	[CA_P12] = {SPAN("p12"), "application/pkcs12"},
};

#define CA_FORMS (sizeof(ca_forms) / sizeof(ca_forms[0]))

struct admin_ca {
	struct {
		uint8_t *bytes;
		size_t n;
	} form[CA_FORMS];
};

struct admin {
	unsigned magic;
	struct loop *loop;
	struct listener **listeners;
	size_t n_listeners;
	const struct admin_actions *actions;
	void *cookie;
	bool draining;
	char machine[256];        /* its host name; empty when there is none */
	struct admin_ca *ca;      /* NULL: none */
	TAILQ_HEAD(, talk) talks; /* the one that asked last is the last */
	unsigned n_talks;
	struct http1_request parsed; /* during one call, like the room for the body of the answer */
	char room[ROOM_BYTES];
};

#define ADMIN_MAGIC 0xad319e57

/* ---- what is answered ---- */

/* The body is constant, the admin's own, in its room, or on the heap for this one answer. */
struct answer {
	int status;
	const char *type;
	struct span body;
	char *heap; /* NULL, or to be freed when the answer has been sent */
};

static struct answer say(struct admin *a, int status, const char *sentence)
{
	struct buf b = buf_over(a->room, sizeof(a->room));

	buf_put_str(&b, sentence);
	buf_putc(&b, '\n');
	return (struct answer){status, TEXT, buf_span(&b), NULL};
}

static struct answer page_healthz(struct admin *a, const struct url *url)
{
	(void)url;
	return say(a, 200, "ok");
}

static struct answer page_readyz(struct admin *a, const struct url *url)
{
	(void)url;
	return a->draining ? say(a, 503, "draining") : say(a, 200, "ready");
}

static struct answer page_people(struct admin *a, const struct url *url)
{
	(void)a;
	(void)url;
	return (struct answer){200, HTML, page_text(), NULL};
}

static struct answer page_facts(struct admin *a, const struct url *url)
{
	struct buf b = buf_over(a->room, PAGE_JSON_MAX);
	struct page_facts facts = {0};

	(void)url;
	a->actions->page(a->cookie, &facts);
	page_put_json(&b, &facts, a->draining, a->ca != NULL);
	CHECK_THAT(!b.full);
	return (struct answer){200, JSON, buf_span(&b), NULL};
}

static struct answer page_history(struct admin *a, const struct url *url)
{
	struct buf b = buf_over(a->room, HISTORY_MAX);

	(void)url;
	a->actions->history(a->cookie, &b);
	CHECK_THAT(!b.full);
	return (struct answer){200, JSON, buf_span(&b), NULL};
}

/* For what is too large for the room. */
static struct answer show_large(struct admin *a, void (*put)(void *, struct buf *), size_t most, const char *type)
{
	char *text = mem_alloc(most);
	struct buf b = buf_over(text, most);

	put(a->cookie, &b);
	CHECK_THAT(!b.full);
	return (struct answer){200, type, buf_span(&b), text};
}

static struct answer page_metrics(struct admin *a, const struct url *url)
{
	(void)url;
	return show_large(a, a->actions->metrics, METRICSTEXT_MAX, METRICSTEXT_TYPE);
}

static struct answer page_recent(struct admin *a, const struct url *url)
{
	(void)url;
	return show_large(a, a->actions->recent, RECENT_MAX, JSON);
}

static struct answer page_objects(struct admin *a, const struct url *url)
{
	(void)url;
	return show_large(a, a->actions->objects, OBJECTS_JSON_MAX, JSON);
}

static struct answer page_stats(struct admin *a, const struct url *url)
{
	(void)url;
	return show_large(a, a->actions->stats, STATSJSON_MAX, JSON);
}

static struct answer page_peers(struct admin *a, const struct url *url)
{
	char *text = mem_alloc(PEERS_BYTES);
	struct buf b = buf_over(text, PEERS_BYTES);

	(void)url;
	if (a->actions->peers(a->cookie, &b))
		return (struct answer){200, JSON, buf_span(&b), text};
	free(text);
	return say(a, 404, "this node is in no cluster");
}

static struct answer page_matrix(struct admin *a, const struct url *url)
{
	size_t n;
	char *text = a->actions->matrix(a->cookie, &n);

	(void)url;
	if (!text)
		return say(a, 404, "this node is in no cluster");
	return (struct answer){200, JSON, span_of(text, n), text};
}

static struct answer page_ca(struct admin *a, const struct url *url)
{
	struct span rest = url->query, part, form = SPAN("pem");

	if (!a->ca)
		return say(a, 404, "this node bumps nothing, and has no CA");
	while (rest.p && span_cut(&rest, '&', &part))
		if (span_starts(part, SPAN("format=")))
			form = span_from(part, sizeof("format=") - 1);
	for (size_t i = 0; i < CA_FORMS; i++)
		if (span_eq(form, ca_forms[i].name))
			return (struct answer){200, ca_forms[i].type,
					       span_of((const char *)a->ca->form[i].bytes, a->ca->form[i].n), NULL};
	return say(a, 400, "format is one of pem, der, p12");
}

static const struct {
	struct span path;
	struct answer (*page)(struct admin *, const struct url *);
} pages[] = {
	{SPAN("/"), page_people},         {SPAN("/healthz"), page_healthz},      {SPAN("/readyz"), page_readyz},
	{SPAN("/metrics"), page_metrics}, {SPAN("/stats.json"), page_stats},     {SPAN("/history.json"), page_history},
	{SPAN("/page.json"), page_facts}, {SPAN("/recent.json"), page_recent},   {SPAN("/peers.json"), page_peers},
	{SPAN("/ca.crt"), page_ca},       {SPAN("/objects.json"), page_objects}, {SPAN("/matrix.json"), page_matrix},
};

static struct answer page_missing(struct admin *a)
{
	struct buf b = buf_over(a->room, sizeof(a->room));

	buf_put_str(&b, "no such page; there are:");
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		buf_putc(&b, ' ');
		buf_put(&b, pages[i].path);
	}
	buf_putc(&b, '\n');
	return (struct answer){404, TEXT, buf_span(&b), NULL};
}

static struct answer refusal(struct admin *a, enum reason why)
{
	/* The sentence of the table names a setting of the proxy's. */
	return say(a, reason_status(why),
		   why == REASON_HEAD_TOO_LARGE ? "the header is too large" : reason_sentence(why));
}

/* ---- who is asked for what ---- */

/* What is asked for, with the host from the absolute form or from Host; localhost where HTTP/1.0 names none. 0 or -1. */
static int parse_target(const struct http1_request *r, struct url *url, enum reason *why)
{
	struct url at = {.host = SPAN("localhost"), .port = url_default_port(false)};
	unsigned hosts = hdr_count(&r->fields, HDR_HOST);

	*why = hosts ? REASON_BAD_HOST : REASON_NO_HOST;
	if (hosts > 1 || (hosts == 0 && r->minor > 0))
		return -1;
	if (hosts && url_parse_host(hdr_value(&r->fields, HDR_HOST), false, &at, why) < 0)
		return -1;
	if (r->target.p[0] == '/')
		return url_parse_origin(r->target, false, &at, url, why);
	return url_parse_absolute(r->target, url, why);
}

static bool is_ours(const struct admin *a, const struct url *url)
{
	return url->is_ip || span_eq_icase(url->host, SPAN("localhost")) ||
	       span_eq_icase(url->host, span_str(a->actions->node(a->cookie))) ||
	       span_eq_icase(url->host, span_str(a->machine));
}

static struct answer answer_to(struct admin *a, const struct http1_request *r)
{
	enum reason why;
	struct url url;

	if (r->method != METHOD_GET && r->method != METHOD_HEAD)
		return say(a, 405, "this port is for reading only: GET and HEAD");
	if (parse_target(r, &url, &why) < 0)
		return refusal(a, why);
	if (!is_ours(a, &url))
		return say(a, 421, "Host is no name of this node: use its address, localhost, or what is set as node");
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		if (span_eq(url.path, pages[i].path))
			return pages[i].page(a, &url);
	return page_missing(a);
}

/* ---- connections ---- */

static void talk_end(struct talk *t, enum stream_end how)
{
	struct admin *a = t->admin;

	TAILQ_REMOVE(&a->talks, t, entry);
	a->n_talks--;
	loop_defer_cancel(a->loop, &t->job);
	stream_close(&t->stream, how);
	timer_fini(&t->deadline);
	t->magic = 0;
	free(t);
}

static void put_field(struct buf *b, const char *name, const char *value)
{
	http1_format_field(b, span_str(name), span_str(value));
}

/* What holds for all that a browser may get from here: it is shown in no frame, and read by no script of another site. */
static void put_safety(struct buf *b, const struct answer *w)
{
	char policy[PAGE_POLICY_BYTES];
	struct buf p = buf_over(policy, sizeof(policy));

	put_field(b, "X-Content-Type-Options", "nosniff");
	put_field(b, "X-Frame-Options", "DENY");
	put_field(b, "Referrer-Policy", "no-referrer");
	put_field(b, "Cross-Origin-Resource-Policy", "same-origin");
	if (strcmp(w->type, HTML) == 0)
		page_put_policy(&p);
	else
		buf_put(&p, SPAN("default-src 'none'; frame-ancestors 'none'"));
	http1_format_field(b, SPAN("Content-Security-Policy"), buf_span(&p));
	CHECK_THAT(!p.full);
}

/* False: the stream has failed. */
static bool send_answer(struct talk *t, const struct answer *w, const struct http1_request *r, bool keep_alive)
{
	char head[ANSWER_HEAD_BYTES], date[HTTPDATE_BYTES];
	struct buf b = buf_over(head, sizeof(head));

	httpdate_format(loop_wall(t->admin->loop), date);
	http1_format_status_line(&b, w->status, SPAN(""));
	http1_format_field(&b, SPAN("Date"), span_of(date, sizeof(date)));
	put_field(&b, "Content-Type", w->type);
	buf_printf(&b, "Content-Length: %zu\r\n", w->body.n);
	put_field(&b, "Cache-Control", "no-store");
	put_safety(&b, w);
	if (w->status == 405)
		put_field(&b, "Allow", "GET, HEAD");
	if (!keep_alive)
		put_field(&b, "Connection", "close");
	else if (r->minor == 0)
		put_field(&b, "Connection", "keep-alive");
	http1_format_end(&b);
	CHECK_THAT(!b.full);
	return stream_push(t->stream, buf_span(&b)) && (r->method == METHOD_HEAD || stream_push(t->stream, w->body));
}

/* For requests that are not taken: nothing is known of them, and the connection ends. */
static void refuse(struct talk *t, enum reason why)
{
	struct http1_request none = {.minor = 1};
	struct answer w = refusal(t->admin, why);

	send_answer(t, &w, &none, false);
	talk_end(t, STREAM_CLEAN);
}

static void set_deadline(struct talk *t)
{
	timer_set_in(&t->deadline, t->n ? HEAD_MS : IDLE_MS);
}

static void go_on(struct talk *t);

static void on_job(void *arg)
{
	struct talk *t = arg;

	CHECK(t, TALK_MAGIC);
	go_on(t);
}

static void answer(struct talk *t)
{
	struct admin *a = t->admin;
	const struct http1_request *r = &a->parsed;
	/* A body is not read: what comes behind it could not be found. */
	bool keep_alive = r->keep_alive && (r->body == HTTP1_BODY_NONE || (r->body == HTTP1_BODY_LENGTH && !r->length));
	struct answer w = answer_to(a, r);
	bool sent = send_answer(t, &w, r, keep_alive);

	free(w.heap);
	if (!sent) {
		talk_end(t, STREAM_CUT);
		return;
	}
	if (!keep_alive) {
		talk_end(t, STREAM_CLEAN);
		return;
	}
	t->n -= r->head_bytes;
	memmove(t->in, t->in + r->head_bytes, t->n);
	t->scanned = 0;
	TAILQ_REMOVE(&a->talks, t, entry);
	TAILQ_INSERT_TAIL(&a->talks, t, entry);
	set_deadline(t);
	loop_bulk(a->loop, &t->job, on_job, t); /* by then it shows whether the socket took the answer */
}

/* True: an answer still waits for the client to take it. */
static bool is_sending(struct talk *t)
{
	bool sending = stream_blocked(t->stream);

	if (sending && !t->sending) {
		timer_set_in(&t->deadline, SEND_MS);
		stream_want(t->stream, STREAM_WRITE);
	} else if (!sending && t->sending) {
		set_deadline(t);
	}
	t->sending = sending;
	return sending;
}

static bool read_more(struct talk *t)
{
	ssize_t n = stream_read(t->stream, t->in + t->n, sizeof(t->in) - t->n);

	if (n == STREAM_AGAIN) {
		stream_want(t->stream, STREAM_READ);
		return false;
	}
	if (n <= 0) {
		talk_end(t, n == 0 ? STREAM_CLEAN : STREAM_CUT);
		return false;
	}
	t->n += (size_t)n;
	if (t->n == (size_t)n)
		set_deadline(t);
	return true;
}

static void go_on(struct talk *t)
{
	enum reason why;

	if (is_sending(t))
		return;
	do {
		switch (http1_parse_request(span_of(t->in, t->n), &t->scanned, sizeof(t->in), &t->admin->parsed,
					    &why)) {
		case HTTP1_DONE:
			answer(t);
			return;
		case HTTP1_BAD:
			refuse(t, why);
			return;
		case HTTP1_MORE:
			break;
		}
	} while (read_more(t));
}

static void on_ready(void *cookie, unsigned events)
{
	struct talk *t = cookie;

	(void)events;
	CHECK(t, TALK_MAGIC);
	go_on(t);
}

static void on_deadline(void *arg)
{
	struct talk *t = arg;

	CHECK(t, TALK_MAGIC);
	if (t->sending)
		talk_end(t, STREAM_CUT);
	else if (t->n)
		refuse(t, REASON_REQUEST_TIMEOUT);
	else
		talk_end(t, STREAM_CLEAN);
}

static void on_accept(void *cookie, int fd, const struct addr *peer)
{
	struct admin *a = cookie;
	struct talk *t;

	CHECK(a, ADMIN_MAGIC);
	if (a->n_talks == MOST_TALKS)
		talk_end(TAILQ_FIRST(&a->talks), STREAM_CUT);
	t = NEW(struct talk);
	t->magic = TALK_MAGIC;
	t->admin = a;
	t->stream = stream_plain_new(a->loop, fd, peer);
	TAILQ_INSERT_TAIL(&a->talks, t, entry);
	a->n_talks++;
	timer_init(&t->deadline, a->loop, on_deadline, t);
	timer_set_in(&t->deadline, HEAD_MS);
	stream_set_handler(t->stream, on_ready, t);
	stream_want(t->stream, STREAM_READ);
}

/* ---- life ---- */

struct admin_ca *admin_ca_read(const char *path, char *why, size_t why_bytes)
{
	struct admin_ca *ca = NEW(struct admin_ca);

	for (size_t i = 0; i < CA_FORMS; i++) {
		ca->form[i].bytes = ca_export(path, (enum ca_format)i, &ca->form[i].n, why, why_bytes);
		if (!ca->form[i].bytes) {
			admin_ca_free(ca);
			return NULL;
		}
	}
	return ca;
}

void admin_ca_free(struct admin_ca *ca)
{
	for (size_t i = 0; ca && i < CA_FORMS; i++)
		free(ca->form[i].bytes);
	free(ca);
}

static int listen_on(struct admin *a, const struct addr *at, size_t n, char *why, size_t why_bytes)
{
	a->listeners = mem_zalloc((n + 1) * sizeof(struct listener *));
	for (; a->n_listeners < n; a->n_listeners++) {
		struct listener *l = listener_open(a->loop, &at[a->n_listeners], on_accept, a, why, why_bytes);

		if (!l)
			return -1;
		a->listeners[a->n_listeners] = l;
	}
	return 0;
}

struct admin *admin_open(struct loop *loop, const struct addr *at, size_t n, struct admin_ca *ca,
			 const struct admin_actions *actions, void *cookie, char *why, size_t why_bytes)
{
	struct admin *a = NEW(struct admin);

	a->magic = ADMIN_MAGIC;
	a->loop = loop;
	a->actions = actions;
	a->cookie = cookie;
	a->ca = ca;
	TAILQ_INIT(&a->talks);
	if (gethostname(a->machine, sizeof(a->machine) - 1) < 0)
		a->machine[0] = '\0';
	if (listen_on(a, at, n, why, why_bytes) < 0)
		admin_close(&a);
	return a;
}

void admin_set_ca(struct admin *a, struct admin_ca *ca)
{
	struct admin_ca *former = ca;

	if (a) {
		CHECK(a, ADMIN_MAGIC);
		former = a->ca; /* answers have copied it */
		a->ca = ca;
	}
	admin_ca_free(former);
}

void admin_drain(struct admin *a)
{
	if (!a)
		return;
	CHECK(a, ADMIN_MAGIC);
	a->draining = true;
}

void admin_close(struct admin **ap)
{
	struct admin *a = *ap;
	struct talk *t, *next;

	if (!a)
		return;
	CHECK(a, ADMIN_MAGIC);
	*ap = NULL;
	for (size_t i = 0; i < a->n_listeners; i++)
		listener_close(&a->listeners[i]);
	for (t = TAILQ_FIRST(&a->talks); t; t = next) {
		next = TAILQ_NEXT(t, entry);
		talk_end(t, STREAM_CUT);
	}
	admin_ca_free(a->ca);
	free(a->listeners);
	a->magic = 0;
	free(a);
}
