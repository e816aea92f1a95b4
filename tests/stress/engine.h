/* engine: the real server code in one process, on loops of its own, without ports: clients come as socket pairs. For plain HTTP
 * proxy requests to origins on loopback. */
#ifndef TESTS_STRESS_ENGINE_H
#define TESTS_STRESS_ENGINE_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "node/base/mem.h"
#include "node/base/rng.h"
#include "node/cache/store_mem.h"
#include "node/net/dns.h"
#include "node/serve/client.h"
#include "node/tls/tlsctx.h"
#include "node/tls/trust.h"
#include "tests/unit/lanes.h"

#define ENGINE_MOST_LANES 4

/* The machine's clock, moved on by as much as the test says. */
struct moved_clock {
	struct clock clock;
	_Atomic int64_t by_ms;
};

static inline mono_us moved_mono(const struct clock *c)
{
	const struct moved_clock *m = (const struct moved_clock *)c;

	return clock_mono(&clock_system) + atomic_load(&m->by_ms) * 1000;
}

static inline wall_ms moved_wall(const struct clock *c)
{
	const struct moved_clock *m = (const struct moved_clock *)c;

	return clock_wall(&clock_system) + atomic_load(&m->by_ms);
}

struct engine_lane {
	struct lane lane;
	struct dns *dns;
	struct tlsctx *tls;
	struct dialer *dialer;
	struct pool *pool;
	struct metrics *metrics;
	struct flights flights;
	struct server server;
};

struct engine {
	struct moved_clock clock;
	struct policy *policy;
	struct index *index;
	struct store *store;
	struct accesslog *accesslog;
	struct access_own own;
	uint8_t secret[32];
	atomic_uint connections;
	_Atomic uint64_t request_ids;
	unsigned n;
	struct engine_lane lanes[ENGINE_MOST_LANES];
};

static inline void engine_on_removed(void *cookie, struct entry *e)
{
	struct engine *g = cookie;

	g->store->ops->drop(g->store, e);
}

/* A policy for origins on loopback, where anybody may PURGE. */
static inline struct policy *engine_policy(void)
{
	struct policy *p = policy_new();

	p->access.deny_loopback = false;
	p->access.purge.v = mem_alloc(sizeof(*p->access.purge.v));
	p->access.purge.v[0] = p->access.clients.v[0]; /* 127.0.0.0/8 */
	p->access.purge.n = 1;
	return p;
}

static inline void engine_lane_start(struct engine *g, unsigned i, X509_STORE *roots, int64_t delay_us, uint64_t seed)
{
	struct engine_lane *l = &g->lanes[i];
	struct loop *loop = loop_new((int)i, &g->clock.clock);

	if (delay_us)
		loop_delay_posts(loop, delay_us, seed);
	l->metrics = metrics_new();
	LIST_INIT(&l->flights);
	l->dns = dns_new(loop);
	l->tls = tlsctx_new(roots);
	l->dialer = dialer_new(loop, l->dns, l->tls, &g->own);
	l->pool = pool_new(loop, 64, 60 * DUR_SECOND);
	l->server = (struct server){
		.loop = loop,
		.tls = l->tls,
		.accesslog = g->accesslog,
		.metrics = l->metrics,
		.policy = policy_ref(g->policy),
		.salt = SPAN("engine"),
		.secret = g->secret,
		.connections = &g->connections,
		.request_ids = &g->request_ids,
		.fetcher = {.flights = &l->flights,
			    .loop = loop,
			    .dialer = l->dialer,
			    .pool = l->pool,
			    .index = g->index,
			    .store = g->store,
			    .metrics = l->metrics},
	};
	server_init(&l->server);
	l->lane.loop = loop;
	if (pthread_create(&l->lane.thread, NULL, lane_run, loop) != 0)
		abort();
}

/* Takes the policy. */
static inline void engine_start(struct engine *g, struct policy *p, unsigned loops, int64_t delay_us, uint64_t seed)
{
	char why[TRUST_WHY_BYTES];
	X509_STORE *roots = trust_new_over("/dev/null", NULL, why, sizeof(why));
	struct accesslog_settings no_log = {0};

	memset(g, 0, sizeof(*g));
	g->clock.clock = (struct clock){.mono = moved_mono, .wall = moved_wall};
	g->policy = p;
	g->n = loops;
	g->accesslog = accesslog_open(&no_log, why, sizeof(why));
	rng_secret(g->secret, sizeof(g->secret));
	g->index = index_new(engine_on_removed, g);
	g->store = store_mem_new(p->cache.memory_size, &evict_gdsf);
	store_mem_set_index(g->store, g->index);
	for (unsigned i = 0; i < loops; i++)
		engine_lane_start(g, i, roots, delay_us, seed + i);
	X509_STORE_free(roots);
}

static inline void engine_sleep_ms(long ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

struct engine_accept {
	struct server *server;
	int fd;
};

static inline void engine_on_accept(void *arg)
{
	struct engine_accept *a = arg;
	struct addr peer = {.len = sizeof(struct sockaddr_in)};

	peer.in =
		(struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	client_accept(a->server, CLIENT_DOOR_PROXY, a->fd, &peer);
	free(a);
}

/* A connection to one of its loops: our end, blocking, with a limit on each wait. */
static inline int engine_connect(struct engine *g, unsigned lane, unsigned wait_seconds)
{
	struct timeval limit = {.tv_sec = wait_seconds};
	struct engine_accept *a = NEW(struct engine_accept);
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0)
		abort();
	setsockopt(fd[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd[0], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (fcntl(fd[1], F_SETFL, fcntl(fd[1], F_GETFL) | O_NONBLOCK) < 0)
		abort();
	*a = (struct engine_accept){.server = &g->lanes[lane].server, .fd = fd[1]};
	loop_post(g->lanes[lane].lane.loop, engine_on_accept, a);
	return fd[0];
}

static inline uint64_t engine_metric(const struct engine *g, enum metric id)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < g->n; i++)
		sum += metric_read(g->lanes[i].metrics, id);
	return sum;
}

static inline void engine_on_fini(void *arg)
{
	struct engine_lane *l = arg;

	server_fini(&l->server);
	flight_end_all(&l->server.fetcher);
	pool_free(l->pool);
	dialer_free(l->dialer);
	dns_free(l->dns);
	tlsctx_free(l->tls);
}

/* Waits, at most so long, until no client and no flight that others could join is left. */
static inline bool engine_is_quiet(struct engine *g, unsigned wait_ms)
{
	const struct timespec pause = {.tv_nsec = 200 * 1000};
	mono_us end = clock_mono(&clock_system) + (mono_us)wait_ms * 1000;

	do {
		if (!atomic_load(&g->connections) && !index_counts(g->index).pending)
			return true;
		nanosleep(&pause, NULL);
	} while (clock_mono(&clock_system) < end);
	return false;
}

struct engine_count {
	struct engine_lane *lane;
	bool none;
};

static inline void engine_on_count(void *arg)
{
	struct engine_count *c = arg;

	c->none = LIST_EMPTY(&c->lane->flights);
}

/* All flights end by themselves, also those that nobody waits for. */
static inline bool engine_flights_end(struct engine *g, unsigned wait_ms)
{
	mono_us end = clock_mono(&clock_system) + (mono_us)wait_ms * 1000;

	for (unsigned i = 0; i < g->n;) {
		struct engine_count c = {.lane = &g->lanes[i]};

		lane_do(&g->lanes[i].lane, engine_on_count, &c);
		if (c.none)
			i++;
		else if (clock_mono(&clock_system) > end)
			return false;
		else
			engine_sleep_ms(2);
	}
	return true;
}

/* What the store holds too much when all is gone, in bytes: 0 if the accounts are right. */
static inline uint64_t engine_stop(struct engine *g)
{
	uint64_t left;

	for (unsigned i = 0; i < g->n; i++)
		lane_settle(&g->lanes[i].lane);
	for (unsigned i = 0; i < g->n; i++)
		lane_do(&g->lanes[i].lane, engine_on_fini, &g->lanes[i]);
	for (unsigned i = 0; i < g->n; i++)
		lane_settle(&g->lanes[i].lane); /* wake-ups that were on their way */
	for (unsigned i = 0; i < g->n; i++)
		lane_stop(&g->lanes[i].lane);
	index_free(g->index);
	left = g->store->ops->counts(g->store).used;
	g->store->ops->free(g->store);
	for (unsigned i = 0; i < g->n; i++)
		free(g->lanes[i].metrics);
	accesslog_close(&g->accesslog);
	policy_unref(&g->policy);
	return left;
}

#endif
