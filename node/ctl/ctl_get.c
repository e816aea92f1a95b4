#include "node/ctl/ctl_get.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "node/base/mem.h"
#include "proto/chunked.h"
#include "proto/http1_parse.h"

#define ROOM_BYTES ((size_t)128 * 1024)
#define HEAD_BYTES ((size_t)64 * 1024)
#define PATIENCE_S 300 /* for one read: the daemon has deadlines of its own */

struct getting {
	const struct ctl_get_ask *ask;
	ctl_get_head_f *on_head;
	ctl_get_body_f *body;
	void *cookie;
	struct ctl_got *out;
	int fd;
	char *room;
	size_t n; /* in it */
	struct http1_response *head;
};

static void fail(struct getting *g, const char *what, const char *why)
{
	snprintf(g->out->fault, sizeof(g->out->fault), "%s%s%s", what, why ? ": " : "", why ? why : "");
}

/* ---- the connection ---- */

static int dial(const struct ctl_get_ask *ask)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *all, *a;
	struct timeval patience = {.tv_sec = PATIENCE_S};
	size_t n = strlen(ask->host);
	bool brackets = n > 2 && ask->host[0] == '[';
	char *host = span_dup(span_of(ask->host + brackets, n - 2 * (size_t)brackets));
	int fd = -1;

	if (getaddrinfo(host, ask->port, &hints, &all) != 0)
		all = NULL;
	free(host);
	for (a = all; a && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
		if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) < 0) {
			close(fd);
			fd = -1;
		}
	}
	if (all)
		freeaddrinfo(all);
	if (fd >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	}
	return fd;
}

/* pacote-integrity is npm's own field, and keeps what does not fit out of the cache. */
static bool send_request(struct getting *g)
{
	size_t room = strlen(g->ask->url) + strlen(g->ask->integrity) + 256, sent = 0;
	struct buf b = buf_over(mem_alloc(room), room);
	ssize_t n = 0;

	buf_printf(&b, "GET %s HTTP/1.1\r\nConnection: close\r\nAccept: */*\r\nUser-Agent: pmcachectl\r\n",
		   g->ask->url);
	if (*g->ask->integrity)
		buf_printf(&b, "pacote-integrity: %s\r\n", g->ask->integrity);
	if (g->ask->only_if_cached)
		buf_put_str(&b, "Cache-Control: only-if-cached\r\n");
	buf_put_str(&b, "Host: ");
	buf_put(&b,
		span_upto(span_str(strstr(g->ask->url, "://") + 3), strcspn(strstr(g->ask->url, "://") + 3, "/?#")));
	buf_put_str(&b, "\r\n\r\n");
	while (!b.full && sent < b.n && n >= 0) {
		n = send(g->fd, b.p + sent, b.n - sent, MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
		n = n < 0 && errno == EINTR ? 0 : n;
	}
	free(b.p);
	return n >= 0 && !b.full;
}

/* More into the room. 1; 0 at the end; -1 when it failed, or took too long. */
static int more(struct getting *g)
{
	ssize_t n;

	do
		n = read(g->fd, g->room + g->n, ROOM_BYTES - g->n);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		g->n += (size_t)n;
	return n > 0 ? 1 : (int)n;
}

static void drop(struct getting *g, size_t n)
{
	g->n -= n;
	memmove(g->room, g->room + n, g->n);
}

/* ---- the answer ---- */

static bool read_head(struct getting *g)
{
	size_t scanned = 0;
	enum reason why = REASON_NONE;

	for (;;) {
		switch (http1_parse_response(span_of(g->room, g->n), &scanned, HEAD_BYTES, METHOD_GET, g->head, &why)) {
		case HTTP1_DONE:
			if (g->head->status >= 200)
				return true;
			drop(g, g->head->head_bytes); /* an interim one */
			scanned = 0;
			continue;
		case HTTP1_BAD:
			fail(g, "the daemon's answer is not understood", reason_word(why));
			return false;
		case HTTP1_MORE:
			break;
		}
		if (more(g) <= 0) {
			fail(g, "the daemon has closed the connection without an answer", NULL);
			return false;
		}
	}
}

static void give(struct getting *g, struct span piece)
{
	g->out->bytes += piece.n;
	g->body(g->cookie, piece);
}

static bool read_length(struct getting *g)
{
	uint64_t left = g->head->length;

	for (;;) {
		size_t n = g->n < left ? g->n : (size_t)left;

		give(g, span_of(g->room, n));
		drop(g, n);
		left -= n;
		if (!left)
			return true;
		if (more(g) <= 0)
			return false;
	}
}

static bool read_to_end(struct getting *g)
{
	int got;

	do {
		give(g, span_of(g->room, g->n));
		g->n = 0;
		got = more(g);
	} while (got > 0);
	return got == 0;
}

static bool read_chunks(struct getting *g)
{
	struct chunked c = {0};

	for (;;) {
		struct span body;
		enum reason why;
		size_t used = 0;
		enum chunked_result result = chunked_decode(&c, span_of(g->room, g->n), &used, &body, &why);

		if (result == CHUNKED_BODY)
			give(g, body);
		drop(g, used);
		if (result == CHUNKED_TRAILERS)
			return true;
		if (result == CHUNKED_BAD || (result == CHUNKED_MORE && more(g) <= 0))
			return false;
	}
}

static bool read_body(struct getting *g)
{
	switch (g->head->body) {
	case HTTP1_BODY_NONE:
		return true;
	case HTTP1_BODY_LENGTH:
		return read_length(g);
	case HTTP1_BODY_CHUNKED:
		return read_chunks(g);
	case HTTP1_BODY_CLOSE:
		return read_to_end(g);
	}
	return false;
}

static void read_answer(struct getting *g)
{
	if (!read_head(g))
		return;
	/* The head is gone from the room once its body is read. */
	g->out->status = g->head->status;
	g->out->hit = span_starts(hdr_value(&g->head->fields, HDR_X_CACHE), SPAN("HIT"));
	if (g->head->status != 200)
		snprintf(g->out->fault, sizeof(g->out->fault), "status %d", g->head->status);
	if (g->on_head)
		g->on_head(g->cookie, g->head);
	drop(g, g->head->head_bytes);
	g->out->whole = read_body(g);
	if (!g->out->whole && !*g->out->fault)
		fail(g, "the body was cut short", NULL);
}

void ctl_get(const struct ctl_get_ask *ask, ctl_get_head_f *head, ctl_get_body_f *body, void *cookie,
	     struct ctl_got *out)
{
	struct getting g = {.ask = ask, .on_head = head, .body = body, .cookie = cookie, .out = out};

	*out = (struct ctl_got){0};
	g.fd = dial(ask);
	if (g.fd < 0) {
		fail(&g, "the daemon's proxy port does not answer", strerror(errno));
		return;
	}
	g.room = mem_alloc(ROOM_BYTES);
	g.head = NEW(struct http1_response);
	if (send_request(&g))
		read_answer(&g);
	else
		fail(&g, "the request could not be sent", NULL);
	close(g.fd);
	free(g.head);
	free(g.room);
}
