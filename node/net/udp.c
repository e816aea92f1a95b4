#include "node/net/udp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/net/portowner.h"

#define BATCH 32
#define READS_A_TURN 4 /* of a batch each; the loop comes back for the rest */
#define SOCKET_BUFFER_BYTES (4 << 20)
#define CONTROL_BYTES (CMSG_SPACE(sizeof(struct timespec)) + CMSG_SPACE(sizeof(uint32_t)))
#define NS_PER_SECOND 1000000000L
#define LATE_LIMIT_US 10000000 /* a time stamp that says more is of a wall clock that was set meanwhile */

struct letter {
	struct addr addr;
	struct iovec iov;
	char bytes[UDP_MAX_BYTES];
	_Alignas(struct cmsghdr) char control[CONTROL_BYTES];
};

struct udp {
	unsigned magic;
	int fd;
	struct loop *loop;
	struct fdwatch *watch;
	udp_on_datagram_f *on_datagram;
	void *cookie;
	struct deferred flush; /* set while something is collected */
	uint32_t overflow;     /* the kernel's count, which wraps */
	uint64_t dropped;
	unsigned n_out;
	struct mmsghdr in_heads[BATCH], out_heads[BATCH];
	struct letter in[BATCH], out[BATCH];
};

#define UDP_MAGIC 0x0d9a77c5

/* ---- opening ---- */

static void explain(const struct addr *a, char *err, size_t cap)
{
	char where[ADDR_TEXT_BYTES], who[160];
	int saved = errno;

	addr_format(a, where);
	if (saved == EADDRINUSE) {
		portowner_describe_udp(addr_port(a), who, sizeof(who));
		snprintf(err, cap,
			 "cannot receive datagrams on %s: the UDP port is taken by %s; stop it or choose another port "
			 "under listen",
			 where, who);
	} else if (saved == EADDRNOTAVAIL) {
		snprintf(err, cap, "cannot receive datagrams on %s: this machine does not have that address", where);
	} else if (saved == EACCES) {
		snprintf(err, cap, "cannot receive datagrams on %s: ports below 1024 need root or CAP_NET_BIND_SERVICE",
			 where);
	} else {
		snprintf(err, cap, "cannot receive datagrams on %s: %s", where, strerror(saved));
	}
}

/* As much as is allowed; the kernel's own limit holds for those who are not root. */
static void enlarge(int fd, int forced, int asked)
{
	int bytes = SOCKET_BUFFER_BYTES;

	if (setsockopt(fd, SOL_SOCKET, forced, &bytes, sizeof(bytes)) < 0)
		setsockopt(fd, SOL_SOCKET, asked, &bytes, sizeof(bytes));
}

/* All of these are wishes: without them datagrams go as well, only a little worse. PROBE, not DO: never fragmented, and nobody who
 * forges an ICMP message can talk the kernel into a smaller path. */
static void tune(int fd, int family)
{
	int on = 1, v4 = IP_PMTUDISC_PROBE, v6 = IPV6_PMTUDISC_PROBE;

	setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof(on));
	enlarge(fd, SO_RCVBUFFORCE, SO_RCVBUF);
	enlarge(fd, SO_SNDBUFFORCE, SO_SNDBUF);
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &v6, sizeof(v6));
	else
		setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &v4, sizeof(v4));
}

/* Without SO_REUSEADDR and SO_REUSEPORT: who comes second is told so. */
static int bound_socket(const struct addr *a)
{
	int fd = socket(a->sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0)
		return -1;
	if (a->sa.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, &a->sa, a->len) < 0) {
		int err = errno;

		close(fd);
		errno = err;
		return -1;
	}
	tune(fd, a->sa.sa_family);
	return fd;
}

static void connect_letters(struct mmsghdr *heads, struct letter *letters)
{
	for (unsigned i = 0; i < BATCH; i++) {
		letters[i].iov = (struct iovec){letters[i].bytes, UDP_MAX_BYTES};
		heads[i].msg_hdr =
			(struct msghdr){.msg_name = &letters[i].addr.sa, .msg_iov = &letters[i].iov, .msg_iovlen = 1};
	}
}

static void on_readable(void *cookie, unsigned events);

struct udp *udp_open(struct loop *loop, const struct addr *a, udp_on_datagram_f *on_datagram, void *cookie, char *err,
		     size_t err_cap)
{
	int fd = bound_socket(a);
	struct udp *u;

	if (fd < 0) {
		explain(a, err, err_cap);
		return NULL;
	}
	u = NEW(struct udp);
	u->magic = UDP_MAGIC;
	u->fd = fd;
	u->loop = loop;
	u->on_datagram = on_datagram;
	u->cookie = cookie;
	connect_letters(u->in_heads, u->in);
	connect_letters(u->out_heads, u->out);
	u->watch = fdwatch_new(loop, fd, on_readable, u);
	fdwatch_want(u->watch, FD_READ);
	return u;
}

void udp_close(struct udp **up)
{
	struct udp *u = *up;

	if (!u)
		return;
	CHECK(u, UDP_MAGIC);
	*up = NULL;
	loop_defer_cancel(u->loop, &u->flush);
	fdwatch_free(u->watch);
	close(u->fd);
	u->magic = 0;
	free(u);
}

uint64_t udp_dropped(const struct udp *u)
{
	return u->dropped;
}

/* ---- receiving ---- */

/* When the wall clock and the loop's clock stood side by side. */
struct moment {
	struct timespec wall;
	mono_us mono;
};

static mono_us received_at(const struct moment *m, const struct timespec *stamp)
{
	int64_t late_us =
		((int64_t)(m->wall.tv_sec - stamp->tv_sec) * NS_PER_SECOND + (m->wall.tv_nsec - stamp->tv_nsec)) / 1000;

	return late_us > 0 && late_us < LATE_LIMIT_US ? m->mono - late_us : m->mono;
}

static mono_us read_control(struct udp *u, struct msghdr *head, const struct moment *m)
{
	mono_us received = m->mono;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(head); c; c = CMSG_NXTHDR(head, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_TIMESTAMPNS) {
			struct timespec stamp;

			memcpy(&stamp, CMSG_DATA(c), sizeof(stamp));
			received = received_at(m, &stamp);
		} else if (c->cmsg_type == SO_RXQ_OVFL) {
			uint32_t overflow;

			memcpy(&overflow, CMSG_DATA(c), sizeof(overflow));
			u->dropped += overflow - u->overflow;
			u->overflow = overflow;
		}
	}
	return received;
}

static int receive_batch(struct udp *u)
{
	int n;

	for (unsigned i = 0; i < BATCH; i++) {
		struct msghdr *h = &u->in_heads[i].msg_hdr;

		h->msg_namelen = sizeof(u->in[i].addr.in6);
		h->msg_control = u->in[i].control;
		h->msg_controllen = sizeof(u->in[i].control);
	}
	do
		n = recvmmsg(u->fd, u->in_heads, BATCH, 0, NULL);
	while (n < 0 && errno == EINTR);
	return n;
}

void udp_receive(struct udp *u)
{
	CHECK(u, UDP_MAGIC);
	for (int turn = 0; turn < READS_A_TURN; turn++) {
		int n = receive_batch(u);
		struct moment m = {.mono = loop_now(u->loop)};

		clock_gettime(CLOCK_REALTIME, &m.wall);
		for (int i = 0; i < n; i++) {
			struct msghdr *h = &u->in_heads[i].msg_hdr;
			mono_us received = read_control(u, h, &m);

			if (h->msg_flags & MSG_TRUNC)
				continue; /* longer than anything of ours */
			u->in[i].addr.len = h->msg_namelen;
			u->on_datagram(u->cookie, &u->in[i].addr, span_of(u->in[i].bytes, u->in_heads[i].msg_len),
				       received);
		}
		if (n < BATCH)
			return; /* empty, or an error of the network that concerns a datagram sent before */
	}
}

static void on_readable(void *cookie, unsigned events)
{
	(void)events;
	udp_receive(cookie);
}

/* ---- sending ---- */

void udp_flush(struct udp *u)
{
	unsigned sent = 0;

	CHECK(u, UDP_MAGIC);
	while (sent < u->n_out) {
		int n = sendmmsg(u->fd, u->out_heads + sent, u->n_out - sent, 0);

		if (n > 0)
			sent += (unsigned)n;
		else if (errno == EAGAIN || errno == ENOBUFS)
			break; /* no room: lost */
		else if (errno != EINTR)
			sent++; /* this one cannot go: too long for the way, no route, forbidden */
	}
	u->n_out = 0;
	loop_defer_cancel(u->loop, &u->flush);
}

static void on_turn_end(void *arg)
{
	udp_flush(arg);
}

void udp_send(struct udp *u, const struct addr *to, struct span datagram)
{
	struct letter *l;

	CHECK(u, UDP_MAGIC);
	CHECK_THAT(datagram.n <= UDP_MAX_BYTES);
	if (u->n_out == BATCH)
		udp_flush(u);
	l = &u->out[u->n_out];
	l->addr = *to;
	memcpy(l->bytes, datagram.p, datagram.n);
	l->iov.iov_len = datagram.n;
	u->out_heads[u->n_out].msg_hdr.msg_namelen = to->len;
	u->n_out++;
	loop_defer(u->loop, &u->flush, on_turn_end, u);
}
