#include "node/net/listener.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/net/portowner.h"
#include "node/net/service.h"

#define BACKLOG 1024
#define ACCEPTS_A_TURN 32

struct listener {
	unsigned magic;
	int fd;
	struct loop *loop;
	struct fdwatch *watch;
	struct timer pause; /* out of descriptors: try again a little later */
	listener_on_accept_f *on_accept;
	void *cookie;
};

#define LISTENER_MAGIC 0x115732e4

/* Nothing is lost or crowded inside one machine. A congestion control that paces (BBR, the default of some hosts) would all
 * the same send what large answers are made of by timers: half as much CPU again for each byte. Reno never does, and
 * anybody may choose it. Connections inherit it. */
static void choose_congestion_control(int fd, const struct addr *a)
{
	static const char reno[] = "reno";

	if (addr_is_loopback(a))
		setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, reno, sizeof(reno) - 1);
}

static int bound_socket(const struct addr *a, bool reuse_port)
{
	int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (reuse_port)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	if (a->sa.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, &a->sa, a->len) < 0 || listen(fd, BACKLOG) < 0) {
		int err = errno;

		close(fd);
		errno = err;
		return -1;
	}
	return fd;
}

static void explain(const struct addr *a, char *err, size_t cap)
{
	char where[ADDR_TEXT_BYTES], who[160];
	int saved = errno;

	addr_format(a, where);
	if (saved == EADDRINUSE) {
		portowner_describe(addr_port(a), who, sizeof(who));
		snprintf(err, cap,
			 "cannot listen on %s: the port is taken by %s; stop it or choose another port under listen",
			 where, who);
	} else if (saved == EADDRNOTAVAIL) {
		snprintf(err, cap, "cannot listen on %s: this machine does not have that address", where);
	} else if (saved == EACCES) {
		snprintf(err, cap, "cannot listen on %s: ports below 1024 need root or CAP_NET_BIND_SERVICE", where);
	} else {
		snprintf(err, cap, "cannot listen on %s: %s", where, strerror(saved));
	}
}

int listener_probe(const struct addr *a, char *err, size_t cap)
{
	int fd;

	if (service_has_socket(a))
		return 0;
	fd = bound_socket(a, false);
	if (fd < 0) {
		explain(a, err, cap);
		return -1;
	}
	close(fd);
	return 0;
}

static void on_pause_end(void *arg)
{
	struct listener *l = arg;

	fdwatch_want(l->watch, FD_READ);
}

/* At most so many. */
static void accept_some(struct listener *l, int most)
{
	for (int i = 0; i < most; i++) {
		struct addr peer = {.len = sizeof(peer.in6)};
		int fd = accept4(l->fd, &peer.sa, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			l->on_accept(l->cookie, fd, &peer);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			fdwatch_want(l->watch, 0);
			timer_set_in(&l->pause, 100);
			return;
		}
		if (errno == EAGAIN)
			return;
	}
}

static void on_connections(void *cookie, unsigned events)
{
	struct listener *l = cookie;

	(void)events;
	CHECK(l, LISTENER_MAGIC);
	accept_some(l, ACCEPTS_A_TURN);
}

/* What the last process left, else a new one, which then is to outlive this process. A socket of a socket unit lets no other be
 * bound beside it; the loops share it. */
static int listening_socket(const struct addr *a, int loop)
{
	int fd = service_take_socket(a, loop);

	if (fd >= 0)
		return fd;
	fd = bound_socket(a, true);
	if (fd >= 0) {
		if (addr_port(a))
			service_keep_socket(fd, a, loop);
		return fd;
	}
	if (errno == EADDRINUSE) {
		fd = service_share_socket(a);
		errno = fd < 0 ? EADDRINUSE : errno;
	}
	return fd;
}

struct listener *listener_open(struct loop *loop, const struct addr *a, listener_on_accept_f *on_accept, void *cookie,
			       char *err, size_t cap)
{
	int fd = listening_socket(a, loop_id(loop));
	struct listener *l;

	if (fd < 0) {
		explain(a, err, cap);
		return NULL;
	}
	choose_congestion_control(fd, a);
	l = NEW(struct listener);
	l->magic = LISTENER_MAGIC;
	l->fd = fd;
	l->loop = loop;
	l->on_accept = on_accept;
	l->cookie = cookie;
	timer_init(&l->pause, loop, on_pause_end, l);
	l->watch = fdwatch_new(loop, fd, on_connections, l);
	fdwatch_want(l->watch, FD_READ);
	return l;
}

void listener_drain(struct listener **lp)
{
	if (!*lp)
		return;
	CHECK(*lp, LISTENER_MAGIC);
	accept_some(*lp, BACKLOG);
	listener_close(lp);
}

void listener_close(struct listener **lp)
{
	struct listener *l = *lp;

	if (!l)
		return;
	CHECK(l, LISTENER_MAGIC);
	*lp = NULL;
	fdwatch_free(l->watch);
	timer_fini(&l->pause);
	close(l->fd);
	l->magic = 0;
	free(l);
}
