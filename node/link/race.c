#include "node/link/race.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/net/dns.h"

#define STAGGER_MS 250 /* RFC 8305 §5, Connection Attempt Delay */

/* One address. */
struct attempt {
	struct race *race;
	struct addr addr;
	int fd; /* -1: not begun, or over */
	struct fdwatch *watch;
};

struct race {
	unsigned magic;
	struct loop *loop;
	uint16_t port;
	dur_ms connect_timeout;
	race_may_f *may;
	race_on_done_f *on_done;
	void *cookie;

	struct dns_lookup *lookup;

	struct attempt attempts[DNS_MOST_ADDRESSES]; /* in the order of the race */
	size_t n, next;
	size_t denied, refused; /* how many ended so */
	int error;              /* errno of the last that failed */
	struct timer stagger, deadline;

	struct race_report report;
};

#define RACE_MAGIC 0x4ace0001

static void attempt_end(struct attempt *a)
{
	if (a->fd < 0)
		return;
	fdwatch_free(a->watch);
	close(a->fd);
	a->fd = -1;
}

static void race_free(struct race *r)
{
	dns_cancel(&r->lookup);
	for (size_t i = 0; i < r->n; i++)
		attempt_end(&r->attempts[i]);
	timer_fini(&r->stagger);
	timer_fini(&r->deadline);
	r->magic = 0;
	free(r);
}

/* The race is gone before its owner hears of it. */
static void finish(struct race *r, int fd)
{
	race_on_done_f *on_done = r->on_done;
	void *cookie = r->cookie;
	struct race_report report = r->report;

	race_free(r);
	on_done(cookie, fd, &report);
}

static void fail(struct race *r, enum reason why, const char *detail)
{
	r->report.why = why;
	r->report.detail = detail;
	finish(r, -1);
}

static void on_connectable(void *cookie, unsigned events);

static void lose(struct race *r)
{
	if (r->denied == r->n)
		fail(r, REASON_DENIED_ADDRESS, "");
	else
		fail(r, r->refused ? REASON_CONNECT_REFUSED : REASON_CONNECT_FAILED, strerrordesc_np(r->error));
}

static bool is_on(const struct race *r)
{
	for (size_t i = 0; i < r->next; i++)
		if (r->attempts[i].fd >= 0)
			return true;
	return false;
}

static void attempt_failed(struct attempt *a, int error)
{
	struct race *r = a->race;

	if (error == ECONNREFUSED)
		r->refused++;
	if (error == ECONNREFUSED || !r->refused) { /* what fits the reason that will be given */
		r->error = error;
		r->report.addr = a->addr;
	}
	attempt_end(a);
}

/* False: it has failed at once. */
static bool attempt_begin(struct attempt *a)
{
	struct race *r = a->race;

	if (r->may && !r->may(r->cookie, &a->addr)) {
		r->denied++;
		if (!r->report.addr.len)
			r->report.addr = a->addr;
		return false;
	}
	a->fd = socket(a->addr.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (a->fd < 0) {
		attempt_failed(a, errno);
		return false;
	}
	a->watch = fdwatch_new(r->loop, a->fd, on_connectable, a);
	if (connect(a->fd, &a->addr.sa, a->addr.len) < 0 && errno != EINPROGRESS) {
		attempt_failed(a, errno);
		return false;
	}
	r->report.addr = a->addr;
	fdwatch_want(a->watch, FD_WRITE);
	return true;
}

/* Begins the next attempt that does not fail at once. The last call when the race ends in it. */
static void go_on(struct race *r)
{
	while (r->next < r->n) {
		if (!attempt_begin(&r->attempts[r->next++]))
			continue;
		if (r->next < r->n)
			timer_set_in(&r->stagger, STAGGER_MS);
		return;
	}
	if (!is_on(r))
		lose(r);
}

static void on_stagger(void *arg)
{
	struct race *r = arg;

	CHECK(r, RACE_MAGIC);
	go_on(r);
}

static void on_deadline(void *arg)
{
	struct race *r = arg;

	CHECK(r, RACE_MAGIC);
	fail(r, REASON_CONNECT_TIMEOUT, "");
}

static void win(struct attempt *winner)
{
	struct race *r = winner->race;
	int fd = winner->fd;

	fdwatch_free(winner->watch);
	winner->fd = -1; /* the owner's from here on */
	r->report.addr = winner->addr;
	finish(r, fd);
}

static void on_connectable(void *cookie, unsigned events)
{
	struct attempt *a = cookie;
	struct race *r = a->race;
	int error = 0;
	socklen_t len = sizeof(error);

	(void)events;
	CHECK(r, RACE_MAGIC);
	if (getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (!error) {
		win(a);
		return;
	}
	attempt_failed(a, error);
	go_on(r);
}

/* Families in turn, the first of the first address's (dns.h: IPv6 if there is any). */
static void line_up(struct race *r, const struct addr *v, size_t n)
{
	size_t at[2] = {0, 0}; /* where the next of the first family, and of the other, is looked for */

	while (r->n < n && r->n < DNS_MOST_ADDRESSES) {
		for (int other = 0; other < 2; other++) {
			size_t *i = &at[other];

			while (*i < n && (v[*i].sa.sa_family != v[0].sa.sa_family) != other)
				(*i)++;
			if (*i == n || r->n == DNS_MOST_ADDRESSES)
				continue;
			r->attempts[r->n] = (struct attempt){.race = r, .addr = v[(*i)++], .fd = -1};
			addr_set_port(&r->attempts[r->n++].addr, r->port);
		}
	}
}

static void on_resolved(void *cookie, const struct addr *v, size_t n, enum reason why)
{
	struct race *r = cookie;

	CHECK(r, RACE_MAGIC);
	r->lookup = NULL;
	if (why) {
		fail(r, why, "");
		return;
	}
	line_up(r, v, n);
	if (r->connect_timeout > 0)
		timer_set_in(&r->deadline, r->connect_timeout);
	go_on(r);
}

struct race *race_start(struct loop *loop, struct dns *dns, struct span host, uint16_t port, dur_ms connect_timeout,
			race_may_f *may, race_on_done_f *on_done, void *cookie)
{
	struct race *r = NEW(struct race);

	r->magic = RACE_MAGIC;
	r->loop = loop;
	r->port = port;
	r->connect_timeout = connect_timeout;
	r->may = may;
	r->on_done = on_done;
	r->cookie = cookie;
	r->report.detail = "";
	timer_init(&r->stagger, loop, on_stagger, r);
	timer_init(&r->deadline, loop, on_deadline, r);
	r->lookup = dns_start(dns, host, on_resolved, r);
	return r;
}

void race_cancel(struct race **rp)
{
	struct race *r = *rp;

	if (!r)
		return;
	CHECK(r, RACE_MAGIC);
	*rp = NULL;
	race_free(r);
}
