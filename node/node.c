#include "node/node.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/base/rng.h"
#include "node/base/version.h"
#include "node/hints.h"
#include "node/node_internal.h"
#include "node/statefolder.h"
#include "node/tls/trust.h"

#define EDGE_LOOPS 4 /* the host belongs to its jobs */

/* ---- what a process needs before anything else ---- */

static void secure_process(void)
{
	struct rlimit files, none = {0, 0};

	/* The signing key is in our memory: no core dump, no reading by others of the same user. */
	setrlimit(RLIMIT_CORE, &none);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	prctl(PR_SET_DUMPABLE, 0);
#endif
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

static unsigned loops_of(const struct conf *conf)
{
	cpu_set_t set;
	int cores = 1;

	if (conf->loops)
		return conf->loops < NODE_MOST_LOOPS ? conf->loops : NODE_MOST_LOOPS;
	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		cores = CPU_COUNT(&set);
	if (conf->role == CONF_ROLE_PARENT) /* the machine is its own */
		return cores < NODE_MOST_LOOPS ? (unsigned)cores : NODE_MOST_LOOPS;
	return cores < EDGE_LOOPS ? (unsigned)cores : EDGE_LOOPS;
}

/* ---- the parts ---- */

static int open_logs(struct node *n, bool run, char *why, size_t why_bytes)
{
	const struct conf *c = n->conf;
	struct accesslog_settings settings = {
		.path = c->access_log.path,
		.format = c->access_log.format,
		.keep = c->access_log.keep,
		.headers = c->policy->log.headers,
		.query = c->policy->log.query,
		.echo = run,
	};

	n->recent = recent_new();
	n->accesslog = accesslog_open(&settings, why, why_bytes);
	return n->accesslog ? 0 : -1;
}

static void make_shared(struct node *n)
{
	n->moods = hostmoods_new();
	n->recalls = recalls_new();
	rng_secret(n->secret, sizeof(n->secret));
	rng_secret(&n->boot, sizeof(n->boot));
	n->salt = span_dup(span_str(n->conf->cluster.name ? n->conf->cluster.salt : "pmcache"));
}

static int make_lanes(struct node *n, char *why, size_t why_bytes)
{
	uint8_t ticket_keys[TLSCTX_TICKET_KEY_BYTES];
	X509_STORE *roots = trust_new(n->conf->policy->upstream.ca_file, why, why_bytes);

	if (!roots)
		return -1;
	if (*why)
		log_line(n->log, LOG_WARNING, "tls", "%s", why);
	rng_secret(ticket_keys, sizeof(ticket_keys));
	n->n_lanes = loops_of(n->conf);
	for (unsigned i = 0; i < n->n_lanes; i++)
		lane_init(&n->lanes[i], n, (int)i, roots, ticket_keys);
	X509_STORE_free(roots);
	return 0;
}

static int open_cluster(struct node *n, char *why, size_t why_bytes)
{
	struct lane *first = &n->lanes[0];
	struct cluster_settings settings = {
		.conf = n->conf,
		.index = n->index,
		.disk = n->disk,
		.orders = n->orders,
		.news = n->news,
		.log = n->log,
		.accesslog = n->accesslog,
		.loop = first->loop,
		.dns = first->dns,
		.pool = first->pool,
	};

	if (!n->conf->cluster.name)
		return 0;
	n->cluster = cluster_open(&settings, why, why_bytes);
	if (!n->cluster)
		return -1;
	for (unsigned i = 0; i < n->n_lanes; i++) {
		struct lane *l = &n->lanes[i];
		struct addr at = ports_addr(&n->conf->listen.cluster.v[0]);

		l->server.cluster_port = addr_port(&at);
		l->server.fetcher.cluster = cluster_add_lane(n->cluster, l->loop, l->dns, &l->server, why, why_bytes);
		if (!l->server.fetcher.cluster)
			return -1;
	}
	return 0;
}

/* The last: who finds the proxy open finds the rest, too. */
static int open_proxy(struct node *n, char *why, size_t why_bytes)
{
	for (unsigned i = 0; i < n->n_lanes; i++)
		if (lane_open_doors(&n->lanes[i], why, why_bytes) < 0)
			return -1;
	atomic_store(&n->beats, n->n_lanes);
	for (unsigned i = 0; i < n->n_lanes; i++)
		lane_start(&n->lanes[i]);
	return 0;
}

/* ---- start ---- */

struct node *node_start(struct conf *conf, bool run, char *why, size_t why_bytes)
{
	struct node *n = NEW(struct node);

	n->magic = NODE_MAGIC;
	n->conf = conf;
	n->began = clock_mono(&clock_system);
	n->began_wall = clock_wall(&clock_system);
	secure_process();
	n->err = sink_open(NULL);
	n->log = log_new(n->err, &clock_system, conf->log_level);
	n->lock_fd = statefolder_open(conf->state, why, why_bytes);
	/* On a fault the process ends; the system takes back what was opened. */
	if (n->lock_fd < 0 || signing_open(n, why, why_bytes) < 0 || ports_probe(n, why, why_bytes) < 0 ||
	    open_logs(n, run, why, why_bytes) < 0)
		return NULL;
	make_shared(n);
	if (tiers_open(n, why, why_bytes) < 0 || make_lanes(n, why, why_bytes) < 0)
		return NULL;
	tiers_open_scrub(n);
	if (console_open(n, why, why_bytes) < 0 || open_cluster(n, why, why_bytes) < 0 ||
	    open_proxy(n, why, why_bytes) < 0)
		return NULL;
	if (run)
		hints_print(conf, n->n_lanes);
	log_line(n->log, LOG_NOTICE, "node", "pmcached " PMCACHE_VERSION " serves with %u loop%s, state in %s",
		 n->n_lanes, n->n_lanes == 1 ? "" : "s", conf->state);
	return n;
}

/* ---- drain and stop ---- */

static void on_drain(void *arg)
{
	struct lane *l = arg;

	for (size_t i = 0; i < l->node->n_ports; i++)
		listener_drain(&l->doors[i].listener);
	if (l == &l->node->lanes[0]) {
		console_drain(l->node);
		if (l->node->cluster && !atomic_load(&l->node->let_go))
			cluster_drain(l->node->cluster);
	}
	server_drain(&l->server);
}

void node_drain(struct node *n)
{
	CHECK(n, NODE_MAGIC);
	log_line(n->log, LOG_NOTICE, "node", "draining");
	for (unsigned i = 0; i < n->n_lanes; i++)
		loop_post(n->lanes[i].loop, on_drain, &n->lanes[i]);
}

bool node_is_drained(const struct node *n)
{
	return atomic_load(&n->connections) == 0;
}

/* The end comes in two steps, because a lane's end sends the others a last few messages. */
static void on_end_work(void *arg)
{
	struct lane *l = arg;

	if (l == &l->node->lanes[0]) {
		console_close(l->node);
		scrub_free(l->node->scrub);
		l->node->scrub = NULL;
	}
	server_fini(&l->server);
	flight_end_all(&l->server.fetcher);
	atomic_fetch_add(&l->node->lanes_ended, 1);
}

static void on_stop(void *arg)
{
	struct lane *l = arg;

	loop_stop(l->loop);
}

static void node_free(struct node *n)
{
	cluster_close(&n->cluster);
	errands_free(n->errands);
	work_free(&n->work);
	for (unsigned i = 0; i < n->n_lanes; i++)
		lane_free(&n->lanes[i]);
	tiers_close(n);
	hostmoods_free(n->moods);
	recalls_free(n->recalls);
	recent_free(n->recent);
	mint_free(n->mint);
	ca_unref(&n->ca);
	log_free(n->log);
	sink_close(&n->err);
	conf_free(n->conf);
	if (n->lock_fd >= 0)
		close(n->lock_fd);
	free(n->salt);
	free(n->ports);
	free((void *)(uintptr_t)n->own.v);
	n->magic = 0;
	free(n);
}

void node_stop(struct node *n)
{
	const struct timespec pause = {.tv_nsec = 1000 * 1000};

	CHECK(n, NODE_MAGIC);
	for (unsigned i = 0; i < n->n_lanes; i++)
		loop_post(n->lanes[i].loop, on_end_work, &n->lanes[i]);
	while (atomic_load(&n->lanes_ended) < n->n_lanes)
		nanosleep(&pause, NULL);
	for (unsigned i = 0; i < n->n_lanes; i++)
		loop_post(n->lanes[i].loop, on_stop, &n->lanes[i]);
	for (unsigned i = 0; i < n->n_lanes; i++)
		pthread_join(n->lanes[i].thread, NULL);
	node_tend(n);
	accesslog_close(&n->accesslog);
	log_line(n->log, LOG_NOTICE, "node", "ended");
	sink_drain(n->err);
	node_free(n);
}
