/* wire: HTTP/1.1 over blocking sockets, for the clients and the origins of the stress and property tests. Reads with the parsers
 * of proto/, which have tests of their own. */
#ifndef TESTS_STRESS_WIRE_H
#define TESTS_STRESS_WIRE_H

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "node/base/mem.h"
#include "proto/chunked.h"
#include "proto/http1_parse.h"

#define WIRE_ROOM ((size_t)128 * 1024)

struct wire {
	int fd;
	char *in; /* at .. n: read, not used */
	size_t at, n;
	bool timed_out;
};

static inline void wire_open(struct wire *w, int fd)
{
	*w = (struct wire){.fd = fd, .in = mem_alloc(WIRE_ROOM)};
}

static inline void wire_close(struct wire *w)
{
	if (w->fd >= 0)
		close(w->fd);
	free(w->in);
	*w = (struct wire){.fd = -1};
}

static inline struct span wire_unread(const struct wire *w)
{
	return span_of(w->in + w->at, w->n - w->at);
}

/* At most `most` bytes more; false at the end, at a fault, when it takes too long, or when the buffer is full. */
static inline bool wire_more(struct wire *w, size_t most)
{
	ssize_t n;

	if (w->at) {
		memmove(w->in, w->in + w->at, w->n - w->at);
		w->n -= w->at;
		w->at = 0;
	}
	if (most > WIRE_ROOM - w->n)
		most = WIRE_ROOM - w->n;
	do
		n = recv(w->fd, w->in + w->n, most, 0);
	while (n < 0 && errno == EINTR);
	w->timed_out |= n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
	if (n <= 0)
		return false;
	w->n += (size_t)n;
	return true;
}

static inline bool wire_send(struct wire *w, const void *bytes, size_t n)
{
	const char *p = bytes;

	while (n > 0) {
		ssize_t sent = send(w->fd, p, n, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return false;
		p += sent;
		n -= (size_t)sent;
	}
	return true;
}

__attribute__((format(printf, 2, 3))) static inline bool wire_say(struct wire *w, const char *fmt, ...)
{
	char text[4096];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return n > 0 && (size_t)n < sizeof(text) && wire_send(w, text, (size_t)n);
}

/* The spans of a head borrow from `text`, which stays when the buffer moves on. */
struct wire_request {
	char text[16 * 1024];
	struct http1_request head;
};

struct wire_response {
	char text[32 * 1024];
	struct http1_response head;
};

static inline bool wire_request(struct wire *w, struct wire_request *r)
{
	for (;;) {
		struct span s = span_upto(wire_unread(w), sizeof(r->text));
		size_t scanned = 0;
		enum reason why;

		if (s.n) {
			memcpy(r->text, s.p, s.n);
			switch (http1_parse_request(span_of(r->text, s.n), &scanned, sizeof(r->text), &r->head, &why)) {
			case HTTP1_DONE:
				w->at += r->head.head_bytes;
				return true;
			case HTTP1_BAD:
				return false;
			case HTTP1_MORE:
				break;
			}
		}
		if (!wire_more(w, sizeof(r->text)))
			return false;
	}
}

static inline bool wire_response(struct wire *w, enum http1_method to, struct wire_response *r)
{
	for (;;) {
		struct span s = span_upto(wire_unread(w), sizeof(r->text));
		size_t scanned = 0;
		enum reason why;

		if (s.n) {
			memcpy(r->text, s.p, s.n);
			switch (http1_parse_response(span_of(r->text, s.n), &scanned, sizeof(r->text), to, &r->head,
						     &why)) {
			case HTTP1_DONE:
				w->at += r->head.head_bytes;
				if (r->head.status == 100)
					continue;
				return true;
			case HTTP1_BAD:
				return false;
			case HTTP1_MORE:
				break;
			}
		}
		if (!wire_more(w, sizeof(r->text)))
			return false;
	}
}

/* A body being read. */
struct wire_body {
	enum http1_body kind;
	uint64_t left;
	struct chunked chunked;
	bool whole; /* it came to its end as its framing has it */
};

/* The next piece (borrowed until the next call); false: no more, see `whole`. */
static inline bool wire_body(struct wire *w, struct wire_body *b, struct span *piece, size_t most)
{
	size_t used, scanned = 0;
	struct hdrs trailers;
	enum reason why;

	for (;;) {
		struct span s = wire_unread(w);

		if (b->kind == HTTP1_BODY_NONE || (b->kind == HTTP1_BODY_LENGTH && !b->left)) {
			b->whole = true;
			return false;
		}
		if (s.n && b->kind == HTTP1_BODY_CHUNKED) {
			switch (chunked_decode(&b->chunked, s, &used, piece, &why)) {
			case CHUNKED_BODY:
				w->at += used;
				return true;
			case CHUNKED_MORE:
				w->at += used;
				break;
			case CHUNKED_BAD:
				return false;
			case CHUNKED_TRAILERS:
				w->at += used;
				while (http1_parse_trailers(wire_unread(w), &scanned, 4096, &trailers, &used, &why) !=
				       HTTP1_DONE)
					if (!wire_more(w, most))
						return false;
				w->at += used;
				b->whole = true;
				return false;
			}
		} else if (s.n) {
			*piece = span_upto(s, b->kind == HTTP1_BODY_LENGTH && b->left < s.n ? (size_t)b->left : s.n);
			b->left -= piece->n;
			w->at += piece->n;
			return true;
		}
		if (!wire_more(w, most)) {
			b->whole = b->kind == HTTP1_BODY_CLOSE && !w->timed_out;
			return false;
		}
	}
}

/* ---- an origin: a thread per connection ---- */

/* Answers one request; false: the connection is closed. */
typedef bool wire_answer_f(void *cookie, struct wire *, struct wire_request *);

struct origin {
	int fd;
	unsigned port;
	wire_answer_f *answer;
	void *cookie;
	pthread_t thread;
	_Atomic unsigned connections;
	_Atomic bool stops;
};

struct origin_connection {
	struct origin *origin;
	int fd;
};

static inline void *origin_serve(void *arg)
{
	struct origin_connection *c = arg;
	struct origin *o = c->origin;
	struct wire_request *r = NEW(struct wire_request);
	struct wire w;

	wire_open(&w, c->fd);
	free(c);
	while (wire_request(&w, r) && o->answer(o->cookie, &w, r))
		;
	wire_close(&w);
	free(r);
	atomic_fetch_sub(&o->connections, 1);
	return NULL;
}

static inline void *origin_accept(void *arg)
{
	struct origin *o = arg;
	pthread_attr_t detached;

	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	while (!atomic_load(&o->stops)) {
		struct pollfd p = {.fd = o->fd, .events = POLLIN};
		struct origin_connection *c;
		pthread_t thread;
		int fd;

		if (poll(&p, 1, 20) <= 0)
			continue;
		fd = accept4(o->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			continue;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
		c = NEW(struct origin_connection);
		*c = (struct origin_connection){o, fd};
		atomic_fetch_add(&o->connections, 1);
		if (pthread_create(&thread, &detached, origin_serve, c) != 0)
			abort();
	}
	pthread_attr_destroy(&detached);
	return NULL;
}

static inline void origin_start(struct origin *o, wire_answer_f *answer, void *cookie)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t n = sizeof(a);

	memset(o, 0, sizeof(*o));
	o->answer = answer;
	o->cookie = cookie;
	o->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (o->fd < 0 || bind(o->fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(o->fd, 512) < 0 ||
	    getsockname(o->fd, (struct sockaddr *)&a, &n) < 0)
		abort();
	o->port = ntohs(a.sin_port);
	if (pthread_create(&o->thread, NULL, origin_accept, o) != 0)
		abort();
}

/* After the engine has closed its links. */
static inline void origin_stop(struct origin *o)
{
	atomic_store(&o->stops, true);
	pthread_join(o->thread, NULL);
	close(o->fd);
	for (unsigned i = 0; i < 5000 && atomic_load(&o->connections); i++)
		engine_sleep_ms(2);
}

#endif
