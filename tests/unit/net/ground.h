/* ground: what the tests of net/ and link/ stand on: a real loop, loopback sockets, and a watchdog instead of sleeps. */
#ifndef TESTS_UNIT_NET_GROUND_H
#define TESTS_UNIT_NET_GROUND_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/base/mem.h"
#include "node/net/addr.h"
#include "node/net/loop.h"

#define GROUND_LIMIT_MS 20000 /* far more than anything here takes */

struct ground {
	struct loop *loop;
	struct timer limit;
	bool too_late;
};

static inline void ground_on_limit(void *arg)
{
	struct ground *g = arg;

	g->too_late = true;
	loop_stop(g->loop);
}

static inline void ground_on_stop(void *arg)
{
	loop_stop(arg);
}

static inline void ground_init(struct ground *g)
{
	*g = (struct ground){.loop = loop_new(0, &clock_system)};
	timer_init(&g->limit, g->loop, ground_on_limit, g);
}

static inline void ground_fini(struct ground *g)
{
	timer_fini(&g->limit);
	loop_free(g->loop);
}

/* Runs until somebody calls loop_stop; fails the test when nobody does. */
static inline void ground_run(struct ground *g)
{
	timer_set_in(&g->limit, GROUND_LIMIT_MS);
	loop_run(g->loop);
	timer_clear(&g->limit);
	assert_false(g->too_late);
}

/* One turn of a loop whose clock is not the kernel's. */
static inline void ground_turn(struct loop *loop)
{
	struct timer last;

	timer_init(&last, loop, ground_on_stop, loop);
	timer_set(&last, 1); /* long ago: the kernel wakes the loop at once */
	loop_run(loop);
	timer_fini(&last);
}

/* Lets this much time pass on the loop. */
static inline void ground_run_for(struct ground *g, dur_ms time)
{
	struct timer t;

	timer_init(&t, g->loop, ground_on_stop, g->loop);
	timer_set_in(&t, time);
	ground_run(g);
	timer_fini(&t);
}

static inline struct addr ground_addr(const char *ip, uint16_t port)
{
	struct addr a;

	assert_int_equal(0, addr_parse_ip(span_str(ip), port, &a));
	return a;
}

/* A bound socket on a port that the kernel chooses (or that of *at); *at is set to its address. */
static inline int ground_bind(int type, struct addr *at)
{
	int fd = socket(at->sa.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(0, bind(fd, &at->sa, at->len));
	assert_int_equal(0, getsockname(fd, &at->sa, &at->len));
	return fd;
}

static inline int ground_listen(struct addr *at)
{
	int fd = ground_bind(SOCK_STREAM, at);

	assert_int_equal(0, listen(fd, 64));
	return fd;
}

/* A port on which nobody listens. */
static inline struct addr ground_closed_port(const char *ip)
{
	struct addr a = ground_addr(ip, 0);

	close(ground_bind(SOCK_STREAM, &a));
	return a;
}

/* Both ends of a TCP connection, non-blocking. */
static inline void ground_pair(int fd[2])
{
	struct addr a = ground_addr("127.0.0.1", 0);
	int listener = ground_listen(&a);

	fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(0, connect(fd[0], &a.sa, a.len));
	fcntl(fd[0], F_SETFL, O_NONBLOCK);
	fcntl(listener, F_SETFL, 0);
	fd[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(fd[1] >= 0);
	close(listener);
}

#endif
