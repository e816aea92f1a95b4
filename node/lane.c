#include "node/node_internal.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"

#define MOST_POST_DELAY_US 1000000
#define POOL_LINKS 512
#define POOL_IDLE_MS (60 * DUR_SECOND)

/* For tests of what crosses loops (docs/developer.md): each post waits up to so many microseconds, at random. */
static void delay_posts(struct lane *l, struct node *n, int id)
{
	const char *text = getenv("PMC_TEST_POST_DELAY_US");
	uint64_t us;

	if (!text || span_to_u64(span_str(text), &us) < 0 || us == 0 || us > MOST_POST_DELAY_US)
		return;
	loop_delay_posts(l->loop, (int64_t)us, (uint64_t)id + 1);
	if (id == 0)
		log_line(n->log, LOG_WARNING, "node",
			 "PMC_TEST_POST_DELAY_US: loops hear of each other up to %llu us late", (unsigned long long)us);
}

void lane_init(struct lane *l, struct node *n, int id, struct x509_store_st *roots, const uint8_t *ticket_keys)
{
	struct policy *p = n->conf->policy;

	l->node = n;
	l->loop = loop_new(id, &clock_system);
	delay_posts(l, n, id);
	l->metrics = metrics_new();
	l->hosts = hosttally_new();
	LIST_INIT(&l->flights);
	l->dns = dns_new(l->loop);
	dns_set_hosts_file(l->dns, p->upstream.hosts_file);
	l->tls = tlsctx_new(roots);
	tlsctx_set_ticket_keys(l->tls, ticket_keys);
	l->dialer = dialer_new(l->loop, l->dns, l->tls, &n->own);
	l->pool = pool_new(l->loop, POOL_LINKS, POOL_IDLE_MS);
	l->server = (struct server){
		.loop = l->loop,
		.tls = l->tls,
		.mint = n->mint,
		.accesslog = n->accesslog,
		.log = n->log,
		.recent = n->recent,
		.metrics = l->metrics,
		.hosts = l->hosts,
		.policy = policy_ref(p),
		.salt = span_str(n->salt),
		.secret = n->secret,
		.connections = &n->connections,
		.request_ids = &n->request_ids,
		.boot = n->boot,
		.fetcher =
			{
				.flights = &l->flights,
				.loop = l->loop,
				.dialer = l->dialer,
				.pool = l->pool,
				.index = n->index,
				.store = n->store,
				.mint = n->mint,
				.metrics = l->metrics,
				.hosts = l->hosts,
				.log = n->log,
				.disk = n->disk,
				.orders = n->orders,
				.work = n->work,
				.moods = n->moods,
				.recalls = n->recalls,
			},
	};
	server_init(&l->server);
}

static void on_accept(void *cookie, int fd, const struct addr *peer)
{
	struct door *d = cookie;

	client_accept(&d->lane->server, d->door, fd, peer);
}

int lane_open_doors(struct lane *l, char *why, size_t why_bytes)
{
	struct node *n = l->node;

	l->doors = mem_zalloc((n->n_ports + 1) * sizeof(*l->doors));
	for (size_t i = 0; i < n->n_ports; i++) {
		struct door *d = &l->doors[i];

		d->lane = l;
		d->door = n->ports[i].door;
		d->listener = listener_open(l->loop, &n->ports[i].addr, on_accept, d, why, why_bytes);
		if (!d->listener)
			return -1;
	}
	return 0;
}

static void *lane_run(void *arg)
{
	struct lane *l = arg;

	loop_run(l->loop);
	return NULL;
}

void lane_start(struct lane *l)
{
	CHECK_THAT(pthread_create(&l->thread, NULL, lane_run, l) == 0);
}

void lane_free(struct lane *l)
{
	dialer_free(l->dialer);
	pool_free(l->pool);
	dns_free(l->dns);
	loop_free(l->loop);
	tlsctx_free(l->tls);
	free(l->metrics);
	hosttally_free(l->hosts);
	free(l->doors);
}
