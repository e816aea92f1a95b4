#include "node/serve/client.h"

#include <stdlib.h>
#include <unistd.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/net/stream_plain.h"
#include "node/policy/access.h"
#include "node/serve/contact.h"
#include "node/serve/relay.h"
#include "node/serve/request.h"
#include "node/serve/tunnel.h"
#include "parent/parent_tunnel.h"
#include "node/tls/nodecert.h"
#include "parent/parent_link.h"

#define READ_BYTES ((size_t)4096)
#define DRAIN_PATIENCE (2 * DUR_SECOND) /* for the first request of a connection that was made before the drain */
#define CHILD_IDLE (90 * DUR_SECOND)    /* children keep idle links for 75 s: they close first */

static void go_on(struct client *c);
static void read_requests(struct client *c);

static void on_ready(void *cookie, unsigned events)
{
	struct client *c = cookie;

	CHECK(c, CLIENT_MAGIC);
	if (c->state == CLIENT_ANSWERING)
		request_ready(c->request, events);
	else
		go_on(c);
}

static void on_job(void *arg)
{
	struct client *c = arg;

	CHECK(c, CLIENT_MAGIC);
	if (c->state != CLIENT_ANSWERING)
		go_on(c);
}

static void on_deadline(void *arg)
{
	struct client *c = arg;

	CHECK(c, CLIENT_MAGIC);
	switch (c->state) {
	case CLIENT_ANSWERING:
		request_timed_out(c->request);
		break;
	case CLIENT_READING:
		if (c->in_n > c->in_at) { /* a request has begun, and does not go on */
			request_refuse_unparsed(c, REASON_REQUEST_TIMEOUT);
			break;
		}
		client_close(c, STREAM_CLEAN);
		break;
	default:
		client_close(c, STREAM_CUT);
		break;
	}
}

/* ---- life ---- */

/* False: no more connections. */
static bool count_in(struct server *s)
{
	unsigned now = atomic_fetch_add(s->connections, 1) + 1;

	if (now > s->policy->limits.connections || s->draining) {
		atomic_fetch_sub(s->connections, 1);
		metric_add(s->metrics, METRIC_CONNECTIONS_REFUSED, 1);
		return false;
	}
	metric_add(s->metrics, METRIC_CONNECTIONS, 1);
	metric_add(s->metrics, METRIC_CONNECTIONS_NOW, 1);
	return true;
}

/* Takes the stream. */
static struct client *client_new(struct server *s, enum client_door door, struct stream *stream,
				 const struct addr *peer)
{
	struct client *c = NEW(struct client);

	c->magic = CLIENT_MAGIC;
	c->server = s;
	c->door = door;
	c->state = CLIENT_FIRST_BYTES;
	addr_format_ip(peer, c->peer);
	c->stream = stream;
	timer_init(&c->deadline, s->loop, on_deadline, c);
	TAILQ_INSERT_TAIL(&s->clients, c, entry);
	stream_set_handler(c->stream, on_ready, c);
	return c;
}

void client_accept(struct server *s, enum client_door door, int fd, const struct addr *peer)
{
	struct client *c;

	if (!count_in(s)) {
		close(fd);
		return;
	}
	c = client_new(s, door, stream_plain_new(s->loop, fd, peer), peer);
	c->local.len = sizeof(c->local.in6);
	getsockname(fd, &c->local.sa, &c->local.len);
	client_expect_within(c, s->policy->limits.header_timeout);
	stream_want(c->stream, STREAM_READ);
}

void client_take(struct server *s, enum client_door door, struct stream **stream, const struct node_name *who)
{
	struct client *c;

	if (!count_in(s)) {
		stream_close(stream, STREAM_CLEAN);
		return;
	}
	c = client_new(s, door, *stream, stream_peer(*stream));
	*stream = NULL;
	c->child = NEW(struct node_name);
	*c->child = *who;
	c->local.in = (struct sockaddr_in){.sin_family = AF_INET};
	addr_set_port(&c->local, s->cluster_port);
	c->state = CLIENT_READING;
	client_expect_within(c, CHILD_IDLE); /* links are made before they are needed */
	read_requests(c);
}

enum reason client_admitted(const struct client *c)
{
	const struct server *s = c->server;
	const struct fetch_cluster *cluster = s->fetcher.cluster;

	if (!c->child)
		return access_client_allowed(&s->policy->access, &stream_peer(c->stream)->sa) ? REASON_NONE
											      : REASON_DENIED_CLIENT;
	return parent_link_check_hop(&s->parsed.fields, span_str(cluster->name), span_str(cluster->node));
}

struct span client_user(const struct client *c, const struct hdrs *h, char room[PROXYAUTH_USER_BYTES])
{
	if (c->child)
		return span_str(c->child->node);
	if (c->tunnel)
		return span_of(c->tunnel->job, c->tunnel->job_n);
	if (!h || !hdr_has(h, HDR_PROXY_AUTHORIZATION))
		return SPAN_NONE;
	return span_of(room, proxyauth_user(hdr_value(h, HDR_PROXY_AUTHORIZATION), room));
}

void client_close(struct client *c, enum stream_end end)
{
	struct server *s = c->server;

	CHECK(c, CLIENT_MAGIC);
	if (c->request) {
		struct request *r = c->request;

		c->request = NULL;
		request_abort(r);
	}
	relay_cancel(&c->relay);
	dial_cancel(&c->dial);
	parent_tunnel_cancel(&c->by_parent);
	contact_cancel(&c->contact);
	stream_close(&c->stream, end);
	loop_defer_cancel(s->loop, &c->job);
	timer_fini(&c->deadline);
	free(c->tunnel);
	free(c->child);
	free(c->in);
	TAILQ_REMOVE(&s->clients, c, entry);
	atomic_fetch_sub(s->connections, 1);
	metric_sub(s->metrics, METRIC_CONNECTIONS_NOW, 1);
	c->magic = 0;
	free(c);
}

void client_expect_within(struct client *c, dur_ms limit)
{
	if (limit > 0)
		timer_set_in(&c->deadline, limit);
	else
		timer_clear(&c->deadline);
}

/* ---- the buffer ---- */

void client_used(struct client *c, size_t n)
{
	CHECK_THAT(n <= c->in_n - c->in_at);
	c->in_at += n;
	c->scanned = 0;
}

/* An idle connection holds no buffer. */
static void drop_buffer(struct client *c)
{
	if (c->in_at < c->in_n)
		return;
	free(c->in);
	c->in = NULL;
	c->in_at = c->in_n = c->in_room = 0;
}

static void make_room(struct client *c, size_t wanted)
{
	if (c->in_room - c->in_n >= wanted)
		return;
	if (c->in_at) {
		memmove(c->in, c->in + c->in_at, c->in_n - c->in_at);
		c->in_n -= c->in_at;
		c->in_at = 0;
	}
	if (c->in_room - c->in_n >= wanted)
		return;
	c->in_room = c->in_n + wanted > 2 * c->in_room ? c->in_n + wanted : 2 * c->in_room;
	c->in = mem_realloc(c->in, c->in_room);
}

enum client_read client_read_more(struct client *c, size_t most)
{
	size_t have = c->in_n - c->in_at, room;
	ssize_t n;

	if (c->ended)
		return CLIENT_READ_END;
	if (have >= most)
		return CLIENT_READ_NOTHING;
	if (have == 0)
		c->in_at = c->in_n = 0;
	make_room(c, most - have < READ_BYTES ? most - have : READ_BYTES);
	room = c->in_room - c->in_n;
	if (room > most - have)
		room = most - have;
	n = stream_read(c->stream, c->in + c->in_n, room);
	if (n == STREAM_AGAIN)
		return CLIENT_READ_NOTHING;
	if (n == STREAM_FAILED)
		return CLIENT_READ_FAILED;
	if (n == 0) {
		c->ended = true;
		return CLIENT_READ_END;
	}
	c->in_n += (size_t)n;
	return CLIENT_READ_SOME;
}

void client_want(struct client *c, unsigned events)
{
	if (c->ended)
		events &= ~(unsigned)STREAM_READ;
	stream_want(c->stream, events);
}

/* ---- requests ---- */

static void begin_request(struct client *c)
{
	struct server *s = c->server;

	c->state = CLIENT_ANSWERING;
	client_used(c, s->parsed.head_bytes);
	client_expect_within(c, 0);
	request_begin(c); /* c may be gone now, or reading again */
}

/* Parses what is there. False: a whole head is not. */
static bool parse_request(struct client *c)
{
	struct server *s = c->server;
	enum reason why;

	if (c->in_n == c->in_at)
		return false;
	switch (http1_parse_request(client_unread(c), &c->scanned, s->policy->limits.request_header, &s->parsed,
				    &why)) {
	case HTTP1_DONE:
		begin_request(c);
		return true;
	case HTTP1_BAD:
		request_refuse_unparsed(c, why);
		return true;
	case HTTP1_MORE:
		return false;
	}
	return false;
}

static void await_request(struct client *c)
{
	const struct policy_limits *l = &c->server->policy->limits;
	bool idle = c->in_n == c->in_at;

	if (idle) {
		drop_buffer(c);
		if (c->server->draining && c->served) {
			client_close(c, STREAM_CLEAN);
			return;
		}
	}
	if (c->server->draining && !c->served)
		client_expect_within(c, DRAIN_PATIENCE);
	if (c->deadline.due == MONO_NEVER)
		client_expect_within(c, !idle ? l->header_timeout : c->child ? CHILD_IDLE : l->idle_timeout);
	stream_want(c->stream, STREAM_READ);
}

/* The client has closed its side between requests, or in the middle of a head. */
static void read_ended(struct client *c)
{
	client_close(c, STREAM_CLEAN);
}

static void read_requests(struct client *c)
{
	struct server *s = c->server;
	bool idle = c->in_n == c->in_at;

	for (;;) {
		if (parse_request(c))
			return;
		switch (client_read_more(c, s->policy->limits.request_header + READ_BYTES)) {
		case CLIENT_READ_SOME:
			if (idle) /* the first bytes of a request: from now on it has its own deadline */
				client_expect_within(c, s->policy->limits.header_timeout);
			idle = false;
			continue;
		case CLIENT_READ_NOTHING:
			await_request(c);
			return;
		case CLIENT_READ_END:
		case CLIENT_READ_FAILED:
			read_ended(c);
			return;
		}
	}
}

void client_answered(struct client *c, bool keep_alive)
{
	struct server *s = c->server;

	CHECK(c, CLIENT_MAGIC);
	c->request = NULL;
	c->served = true;
	c->state = CLIENT_READING;
	timer_clear(&c->deadline);
	if (!keep_alive || (s->draining && c->in_n == c->in_at)) {
		client_close(c, STREAM_CLEAN);
		return;
	}
	/* The next one begins from the loop, not from here: answers to pipelined requests would otherwise nest without end. */
	if (c->in_n > c->in_at || c->ended)
		loop_defer(s->loop, &c->job, on_job, c);
	else
		await_request(c);
}

/* ---- what is spoken ---- */

static void go_on(struct client *c)
{
	if (c->state == CLIENT_READING) {
		read_requests(c);
		return;
	}
	if (c->state != CLIENT_FIRST_BYTES)
		return;
	for (;;) {
		enum client_read got;

		if (c->in_n > c->in_at && tunnel_first_bytes(c) != TUNNEL_MORE)
			return; /* c has moved on, or is gone */
		got = client_read_more(c, HELLO_MAX_BYTES + 5);
		if (got == CLIENT_READ_SOME)
			continue;
		if (got == CLIENT_READ_NOTHING)
			stream_want(c->stream, STREAM_READ);
		else
			client_close(c, got == CLIENT_READ_END ? STREAM_CLEAN : STREAM_CUT);
		return;
	}
}

void client_drain(struct client *c)
{
	CHECK(c, CLIENT_MAGIC);
	if (c->state == CLIENT_READING)
		read_requests(c); /* what has come meanwhile is still answered */
	else if (c->state == CLIENT_FIRST_BYTES && c->in_n == c->in_at)
		client_expect_within(c, DRAIN_PATIENCE);
}

void client_enter_tunnel(struct client *c)
{
	struct server *s = c->server;

	CHECK_THAT(c->tunnel != NULL);
	c->tunnelled = true;
	c->served = false;
	c->state = CLIENT_FIRST_BYTES;
	c->hello = (struct hello_scan){0};
	client_expect_within(c, s->policy->limits.header_timeout);
	loop_defer(s->loop, &c->job, on_job, c);
}

void client_upgraded(struct client *c, struct stream *s)
{
	c->stream = s;
	c->served = false;
	c->state = CLIENT_READING;
	c->scanned = 0;
	stream_set_handler(s, on_ready, c);
	client_expect_within(c, c->server->policy->limits.header_timeout);
	read_requests(c);
}

static void on_relay_end(void *cookie, uint64_t down, uint64_t up)
{
	struct client *c = cookie;

	CHECK(c, CLIENT_MAGIC);
	c->relay = NULL;
	tunnel_relayed(c, down, up);
	client_close(c, STREAM_CLEAN);
}

void client_begin_relay(struct client *c, struct stream *other, struct span to_client)
{
	c->request = NULL;
	c->state = CLIENT_RELAYING;
	timer_clear(&c->deadline);
	c->relay = relay_start(&c->stream, &other, to_client, client_unread(c), c->server->policy->limits.idle_timeout,
			       on_relay_end, c);
	c->in_at = c->in_n;
	drop_buffer(c);
}
