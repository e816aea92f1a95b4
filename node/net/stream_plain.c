#include "node/net/stream_plain.h"

#include <errno.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "node/base/check.h"
#include "node/base/mem.h"

#define OUTBUF_FLUSH_BYTES (64 * 1024)
#define OUTBUF_BYTES (OUTBUF_FLUSH_BYTES + STREAM_ROOM_MAX) /* one more TLS record always fits */
#define LINGER_MS (5 * DUR_SECOND)
#define PENDING_MS (20 * DUR_SECOND) /* for each piece that the peer takes of what is left */
#define LINGER_READS 64              /* of 16 KiB; who sends more than that into a closed door gets a reset */
#define SPANS_A_WRITE 16

struct plain {
	struct stream stream;
	int fd;
	struct fdwatch *watch;
	unsigned wanted;
	bool send_failed;   /* what the peer said before may still be read */
	bool may_have_more; /* the last read filled its buffer, or readiness has been told since */
	bool end_when_sent; /* stream_end_writing came while something was pending */
	bool lingering;
	int linger_reads;
	char *pending; /* taken, but not by the socket yet */
	size_t pending_at, pending_n;
	struct deferred write_job, end_job;
	struct timer linger;
	struct addr peer;
};

struct outbuf {
	struct plain *owner;
	size_t n;
	char bytes[OUTBUF_BYTES];
};

static struct plain *plain_of(struct stream *s)
{
	return (struct plain *)s;
}

static void fail(struct plain *p, int err)
{
	if (p->stream.why == REASON_NONE)
		p->stream.why = err == ECONNRESET || err == EPIPE ? REASON_UPSTREAM_RESET : REASON_UPSTREAM_CLOSED;
}

static void fail_sending(struct plain *p, int err)
{
	fail(p, err);
	p->send_failed = p->may_have_more = true;
}

static ssize_t send_some(struct plain *p, const char *bytes, size_t n)
{
	ssize_t sent;

	do
		sent = send(p->fd, bytes, n, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return sent;
	if (errno == EAGAIN)
		return 0;
	fail_sending(p, errno);
	return -1;
}

/* Who has been told of room and waits for its turn need not be told again. */
static void update_watch(struct plain *p)
{
	unsigned events = p->wanted & STREAM_READ ? FD_READ : 0;

	if ((p->pending || (p->wanted & STREAM_WRITE)) && !p->write_job.set)
		events |= FD_WRITE;
	fdwatch_want(p->watch, events);
}

static void keep_pending(struct plain *p, const char *bytes, size_t n)
{
	CHECK_THAT(!p->pending);
	p->pending = mem_alloc(n);
	memcpy(p->pending, bytes, n);
	p->pending_at = 0;
	p->pending_n = n;
	update_watch(p);
}

/* ---- the loop's outbuf ---- */

static void outbuf_flush(struct outbuf *o)
{
	struct plain *p = o->owner;
	size_t n = o->n;
	ssize_t sent;

	if (!p)
		return;
	o->owner = NULL;
	o->n = 0;
	if (p->stream.why)
		return;
	sent = send_some(p, o->bytes, n);
	if (sent >= 0 && (size_t)sent < n)
		keep_pending(p, o->bytes + sent, n - (size_t)sent);
}

static void outbuf_free(struct outbuf *o)
{
	free(o);
}

static struct outbuf *outbuf_of(struct plain *p)
{
	struct outbuf *o = loop_outbuf(p->stream.loop);

	if (!o) {
		o = mem_alloc(sizeof(*o));
		o->owner = NULL;
		o->n = 0;
		loop_set_outbuf(p->stream.loop, o, outbuf_flush, outbuf_free);
	}
	return o;
}

static void outbuf_flush_mine(struct plain *p)
{
	struct outbuf *o = loop_outbuf(p->stream.loop);

	if (o && o->owner == p)
		outbuf_flush(o);
}

static bool append_pending(struct plain *p, struct span bytes)
{
	size_t left = p->pending_n - p->pending_at;
	char *more = mem_try(left + bytes.n);

	if (!more) {
		p->stream.why = REASON_NO_MEMORY;
		return false;
	}
	memcpy(more, p->pending + p->pending_at, left);
	memcpy(more + left, bytes.p, bytes.n);
	free(p->pending);
	p->pending = more;
	p->pending_at = 0;
	p->pending_n = left + bytes.n;
	return true;
}

static bool plain_push(struct stream *s, struct span bytes)
{
	struct plain *p = plain_of(s);
	struct outbuf *o = outbuf_of(p);

	while (bytes.n) {
		size_t n;

		if (s->why)
			return false;
		if (p->pending)
			return append_pending(p, bytes);
		if (o->owner != p) {
			outbuf_flush(o);
			o->owner = p;
		}
		n = bytes.n < OUTBUF_BYTES - o->n ? bytes.n : OUTBUF_BYTES - o->n;
		memcpy(o->bytes + o->n, bytes.p, n);
		o->n += n;
		bytes = span_from(bytes, n);
		if (o->n >= OUTBUF_FLUSH_BYTES)
			outbuf_flush(o);
	}
	return s->why == REASON_NONE;
}

static char *plain_room(struct stream *s, size_t n)
{
	struct plain *p = plain_of(s);
	struct outbuf *o = outbuf_of(p);

	if (o->owner != p || OUTBUF_BYTES - o->n < n)
		outbuf_flush(o);
	if (s->why || p->pending)
		return NULL;
	o->owner = p;
	return o->bytes + o->n;
}

static bool plain_filled(struct stream *s, size_t n)
{
	struct outbuf *o = loop_outbuf(s->loop);

	CHECK_THAT(o->owner == plain_of(s) && n <= OUTBUF_BYTES - o->n);
	o->n += n;
	if (o->n >= OUTBUF_FLUSH_BYTES)
		outbuf_flush(o);
	return s->why == REASON_NONE;
}

/* ---- reading and writing ---- */

static ssize_t plain_read(struct stream *s, void *to, size_t room)
{
	struct plain *p = plain_of(s);
	ssize_t n;

	if (s->why && !p->send_failed)
		return STREAM_FAILED;
	if (!p->may_have_more)
		return STREAM_AGAIN;
	do
		n = recv(p->fd, to, room, 0);
	while (n < 0 && errno == EINTR);
	if (n <= 0 && s->why) {
		p->send_failed = false;
		return STREAM_FAILED;
	}
	if (n >= 0) {
		p->may_have_more = n == 0 || (size_t)n == room || p->send_failed;
		return n;
	}
	if (errno == EAGAIN) {
		p->may_have_more = false;
		return STREAM_AGAIN;
	}
	fail(p, errno);
	return STREAM_FAILED;
}

static ssize_t plain_write(struct stream *s, const struct span *v, int n)
{
	struct plain *p = plain_of(s);
	struct iovec iov[SPANS_A_WRITE];
	struct msghdr msg = {.msg_iov = iov};
	size_t total = 0;
	ssize_t sent;

	outbuf_flush_mine(p);
	if (s->why)
		return STREAM_FAILED;
	if (p->pending)
		return STREAM_AGAIN;
	for (int i = 0; i < n && msg.msg_iovlen < SPANS_A_WRITE && total < STREAM_TURN_BYTES; i++) {
		size_t take = v[i].n < STREAM_TURN_BYTES - total ? v[i].n : STREAM_TURN_BYTES - total;

		iov[msg.msg_iovlen++] = (struct iovec){.iov_base = (void *)(uintptr_t)v[i].p, .iov_len = take};
		total += take;
	}
	if (total == 0)
		return 0;
	do
		sent = sendmsg(p->fd, &msg, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return sent;
	if (errno == EAGAIN)
		return STREAM_AGAIN;
	fail_sending(p, errno);
	return STREAM_FAILED;
}

static bool plain_blocked(const struct stream *s)
{
	return ((const struct plain *)s)->pending != NULL;
}

static void plain_want(struct stream *s, unsigned events)
{
	struct plain *p = plain_of(s);

	p->wanted = events;
	if (!(events & STREAM_WRITE))
		loop_defer_cancel(s->loop, &p->write_job);
	update_watch(p);
}

/* ---- the end ---- */

static void plain_free(struct plain *p)
{
	struct outbuf *o = loop_outbuf(p->stream.loop);

	if (o && o->owner == p) {
		o->owner = NULL;
		o->n = 0;
	}
	loop_defer_cancel(p->stream.loop, &p->write_job);
	loop_defer_cancel(p->stream.loop, &p->end_job);
	timer_fini(&p->linger);
	fdwatch_free(p->watch);
	close(p->fd);
	free(p->pending);
	p->stream.magic = 0;
	free(p);
}

static void on_linger_end(void *arg)
{
	plain_free(arg);
}

static void linger_on(struct plain *p)
{
	char sink[16 * 1024];
	ssize_t n;

	do {
		n = recv(p->fd, sink, sizeof(sink), 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		p->linger_reads++;
	} while (n > 0 && p->linger_reads < LINGER_READS);
	plain_free(p);
}

static void begin_linger(struct plain *p)
{
	shutdown(p->fd, SHUT_WR);
	timer_set_in(&p->linger, LINGER_MS);
	p->wanted = STREAM_READ;
	update_watch(p);
}

static void plain_close(struct stream *s, enum stream_end end)
{
	struct plain *p = plain_of(s);

	outbuf_flush_mine(p);
	if (end == STREAM_CUT || s->why) {
		struct linger reset = {.l_onoff = 1, .l_linger = 0};

		setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		plain_free(p);
		return;
	}
	p->lingering = true;
	loop_defer_cancel(s->loop, &p->write_job);
	loop_at_end(s->loop, &p->end_job, on_linger_end, p);
	if (p->pending) {
		p->wanted = 0;
		timer_set_in(&p->linger, PENDING_MS);
		update_watch(p);
	} else {
		begin_linger(p);
	}
}

static void plain_end_writing(struct stream *s)
{
	struct plain *p = plain_of(s);

	outbuf_flush_mine(p);
	if (p->pending)
		p->end_when_sent = true;
	else
		shutdown(p->fd, SHUT_WR);
}

static const struct addr *plain_peer(const struct stream *s)
{
	return &((const struct plain *)s)->peer;
}

/* ---- readiness ---- */

static void send_pending(struct plain *p)
{
	ssize_t sent = send_some(p, p->pending + p->pending_at, p->pending_n - p->pending_at);

	if (sent > 0) {
		p->pending_at += (size_t)sent;
		if (p->lingering) /* slow, but it takes what it is owed */
			timer_set_in(&p->linger, PENDING_MS);
	}
	if (sent < 0 || p->pending_at == p->pending_n) {
		free(p->pending);
		p->pending = NULL;
	}
}

static void on_write_turn(void *);

/* Nothing is pending any more. */
static void on_sent(struct plain *p)
{
	if (p->lingering) {
		if (p->stream.why)
			plain_free(p);
		else
			begin_linger(p);
		return;
	}
	if (p->end_when_sent)
		shutdown(p->fd, SHUT_WR);
	if (p->wanted & STREAM_WRITE)
		loop_bulk(p->stream.loop, &p->write_job, on_write_turn, p);
	update_watch(p);
}

/* What is pending may be as much as a piece of a body: sending it is a turn's work, too. */
static void on_write_turn(void *arg)
{
	struct plain *p = arg;

	if (p->pending) {
		send_pending(p);
		if (!p->pending) {
			on_sent(p);
			return;
		}
	}
	update_watch(p);
	if (!p->pending && (p->wanted & STREAM_WRITE) && p->stream.on_ready)
		p->stream.on_ready(p->stream.cookie, STREAM_WRITE);
}

static void on_fd(void *cookie, unsigned events)
{
	struct plain *p = cookie;

	CHECK(&p->stream, STREAM_MAGIC);
	if (events & FD_WRITE) {
		loop_bulk(p->stream.loop, &p->write_job, on_write_turn, p);
		update_watch(p);
		return;
	}
	p->may_have_more = true;
	if (p->lingering)
		linger_on(p);
	else if (p->stream.on_ready)
		p->stream.on_ready(p->stream.cookie, STREAM_READ);
}

static const struct stream_ops plain_ops = {
	.name = "plain",
	.read = plain_read,
	.write = plain_write,
	.push = plain_push,
	.room = plain_room,
	.filled = plain_filled,
	.blocked = plain_blocked,
	.want = plain_want,
	.end_writing = plain_end_writing,
	.close = plain_close,
	.peer = plain_peer,
};

struct stream *stream_plain_new(struct loop *loop, int fd, const struct addr *peer)
{
	struct plain *p = NEW(struct plain);
	int on = 1;

	p->stream = (struct stream){.magic = STREAM_MAGIC, .ops = &plain_ops, .loop = loop};
	p->fd = fd;
	p->may_have_more = true;
	p->peer = *peer;
	timer_init(&p->linger, loop, on_linger_end, p);
	p->watch = fdwatch_new(loop, fd, on_fd, p);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* fails on Unix sockets, which need none */
	return &p->stream;
}
