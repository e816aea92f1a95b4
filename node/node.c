#include "node/node.h"

#include <errno.h>
#include <ifaddrs.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "node/admin/admin.h"
#include "node/admin/control.h"
#include "node/admin/metricstext.h"
#include "node/admin/objects.h"
#include "node/admin/purge.h"
#include "node/admin/scrub.h"
#include "node/admin/statsjson.h"
#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/base/rng.h"
#include "node/base/version.h"
#include "node/cache/disk.h"
#include "node/cache/disk_file.h"
#include "node/cache/orders.h"
#include "node/cache/store_mem.h"
#include "node/cluster/cluster.h"
#include "node/conf/conf.h"
#include "node/fetch/hostmood.h"
#include "node/fetch/recall.h"
#include "node/hints.h"
#include "node/inquiry.h"
#include "node/net/dns.h"
#include "node/net/listener.h"
#include "node/record/recent.h"
#include "node/serve/client.h"
#include "node/statefolder.h"
#include "node/tls/ca.h"
#include "node/tls/mint.h"
#include "node/tls/tlsctx.h"
#include "node/tls/trust.h"

#define MOST_POST_DELAY_US 1000000
#define MOST_LOOPS 64
#define EDGE_LOOPS 4 /* the host belongs to its jobs */
#define POOL_LINKS 512
#define DISK_WORKERS 2
#define POOL_IDLE_MS (60 * DUR_SECOND)
#define TICKET_KEY_MS (12 * DUR_HOUR)

/* An address that is listened on, on every loop. */
struct port {
	struct addr addr;
	enum client_door door;
};

/* One loop and what belongs to it. */
struct lane {
	struct node *node;
	pthread_t thread;
	struct loop *loop;
	struct dns *dns;
	struct tlsctx *tls;
	struct dialer *dialer;
	struct pool *pool;
	struct metrics *metrics;
	struct hosttally *hosts;
	struct flights flights;
	struct server server;
	struct door {
		struct lane *lane;
		enum client_door door;
		struct listener *listener;
	} * doors;
};

struct node {
	unsigned magic;
	struct conf *conf;
	int lock_fd;
	struct sink *err;
	struct log *log;
	struct accesslog *accesslog;
	struct recent *recent;
	struct ca *ca; /* NULL: nothing is bumped */
	_Atomic wall_ms ca_not_after;
	struct mint *mint;
	struct index *index;
	struct store *store;
	struct work *work; /* NULL, as is the next: there is no tier on disk */
	struct disk *disk;
	struct orders *orders;
	struct scrub *scrub;            /* NULL: there is no disk; on the first lane's loop */
	struct disk_counts disk_counts; /* of lane 0: as they were shown last */
	struct hostmoods *moods;
	struct recalls *recalls;
	uint8_t secret[32];
	char *salt;
	struct port *ports;
	size_t n_ports;
	struct access_own own;
	struct control *control;
	struct control_reply *upgrade; /* who has asked for one; on the first lane */
	struct admin *admin;
	struct inquiries *inquiries;
	struct objects *objects;
	struct cluster *cluster; /* NULL: this node is in none */
	atomic_uint connections, lanes_ended;
	atomic_bool let_go; /* by the first lane */
	_Atomic uint64_t request_ids;
	uint64_t boot; /* tells this process from others of its name */
	mono_us began, ticket_keys_at;
	wall_ms began_wall;
	unsigned n_lanes;
	atomic_uint beats; /* lanes that have answered the last question whether they live */
	struct lane lanes[MOST_LOOPS];
};

#define NODE_MAGIC 0x40de40de

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
		return conf->loops < MOST_LOOPS ? conf->loops : MOST_LOOPS;
	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		cores = CPU_COUNT(&set);
	if (conf->role == CONF_ROLE_PARENT) /* the machine is its own */
		return cores < MOST_LOOPS ? (unsigned)cores : MOST_LOOPS;
	return cores < EDGE_LOOPS ? (unsigned)cores : EDGE_LOOPS;
}

/* ---- certificates ---- */

static int open_ca(struct node *n, char *why, size_t why_bytes)
{
	const struct conf *c = n->conf;
	struct ca_settings settings = {
		.cert_path = c->ca.cert,
		.key_path = c->ca.key,
		.common_name = c->ca.name,
		.life_days = (int)(c->ca.life / DUR_DAY),
		.permit_dns = (const char *const *)c->ca.permit_dns.v,
		.n_permit_dns = c->ca.permit_dns.n,
	};
	wall_ms now = clock_wall(&clock_system);

	if (access(c->ca.cert, F_OK) < 0 && access(c->ca.key, F_OK) < 0) {
		if (ca_create(&settings, now, why, why_bytes) < 0)
			return -1;
		log_line(n->log, LOG_NOTICE, "ca", "made a new CA: %s", c->ca.cert);
	}
	n->ca = ca_open(c->ca.cert, c->ca.key, now, why, why_bytes);
	if (!n->ca)
		return -1;
	if (*why)
		log_line(n->log, LOG_WARNING, "ca", "%s", why);
	n->ca_not_after = ca_not_after(n->ca);
	return 0;
}

/* Reads the CA's files again. *out: the CA, when it is another one now, and *shown: what the admin port is to show of it. */
static int reopen_ca(struct node *n, struct ca **out, struct admin_ca **shown, char *why, size_t why_bytes)
{
	*out = NULL;
	*shown = NULL;
	if (!n->ca)
		return 0;
	*out = ca_open(n->conf->ca.cert, n->conf->ca.key, clock_wall(&clock_system), why, why_bytes);
	if (!*out)
		return -1;
	if (*why)
		log_line(n->log, LOG_WARNING, "ca", "%s", why);
	if (ca_same(*out, n->ca)) {
		ca_unref(out);
		return 0;
	}
	*shown = admin_ca_read(n->conf->ca.cert, why, why_bytes);
	if (*shown)
		return 0;
	ca_unref(out);
	return -1;
}

/* Takes it. */
static void use_ca(struct node *n, struct ca *ca)
{
	mint_use_ca(n->mint, ca);
	ca_unref(&n->ca);
	n->ca = ca;
	n->ca_not_after = ca_not_after(ca);
	log_line(n->log, LOG_NOTICE, "ca", "%s has changed: leaves are signed with it from now on", n->conf->ca.cert);
}

static int open_mint(struct node *n, char *why, size_t why_bytes)
{
	char path[4096];
	size_t skipped = 0;
	struct mint_settings settings = {.names_path = path};

	snprintf(path, sizeof(path), "%s/names", n->conf->state);
	n->mint = mint_new(n->ca, &settings);
	if (mint_load(n->mint, clock_wall(&clock_system), &skipped, why, why_bytes) < 0)
		log_line(n->log, LOG_WARNING, "mint", "%s", why);
	if (skipped)
		log_line(n->log, LOG_WARNING, "mint", "%s: %zu lines were not understood", path, skipped);
	return 0;
}

/* Where nothing is bumped, as on a parent, there is no CA whose key could be lost. */
static int open_bump(struct node *n, char *why, size_t why_bytes)
{
	if (!n->conf->listen.bump.n)
		return 0;
	return open_ca(n, why, why_bytes) < 0 ? -1 : open_mint(n, why, why_bytes);
}

/* ---- ports ---- */

static struct addr addr_of(const struct conf_address *a)
{
	struct addr out = {.len = a->addr_len};

	memcpy(&out.sa, &a->addr, a->addr_len < sizeof(out.in6) ? a->addr_len : sizeof(out.in6));
	return out;
}

static void add_ports(struct node *n, const struct conf_addresses *list, enum client_door door)
{
	n->ports = mem_realloc(n->ports, (n->n_ports + list->n + 1) * sizeof(*n->ports));
	for (size_t i = 0; i < list->n; i++)
		n->ports[n->n_ports++] = (struct port){.addr = addr_of(&list->v[i]), .door = door};
}

static void add_own(struct node *n, const struct addr *a)
{
	struct sockaddr_storage *v = mem_realloc((void *)(uintptr_t)n->own.v, (n->own.n + 1) * sizeof(*v));

	memset(&v[n->own.n], 0, sizeof(*v));
	memcpy(&v[n->own.n], &a->sa, a->len);
	n->own.v = v;
	n->own.n++;
}

/* A listener on all addresses is reached at each of the machine's. */
static void add_own_interfaces(struct node *n, uint16_t port)
{
	struct ifaddrs *all, *i;

	if (getifaddrs(&all) < 0)
		return;
	for (i = all; i; i = i->ifa_next) {
		struct addr a = {0};

		if (!i->ifa_addr || (i->ifa_addr->sa_family != AF_INET && i->ifa_addr->sa_family != AF_INET6))
			continue;
		a.len = i->ifa_addr->sa_family == AF_INET ? sizeof(a.in) : sizeof(a.in6);
		memcpy(&a.sa, i->ifa_addr, a.len);
		addr_set_port(&a, port);
		add_own(n, &a);
	}
	freeifaddrs(all);
}

/* Nobody else has it; and from now on it is one that the node does not dial. */
static int probe_port(struct node *n, const struct addr *a, char *why, size_t why_bytes)
{
	if (addr_port(a) && listener_probe(a, why, why_bytes) < 0)
		return -1;
	add_own(n, a);
	if (addr_is_any(a))
		add_own_interfaces(n, addr_port(a));
	return 0;
}

static int probe_list(struct node *n, const struct conf_addresses *list, char *why, size_t why_bytes)
{
	for (size_t i = 0; i < list->n; i++) {
		struct addr a = addr_of(&list->v[i]);

		if (probe_port(n, &a, why, why_bytes) < 0)
			return -1;
	}
	return 0;
}

static int probe_ports(struct node *n, char *why, size_t why_bytes)
{
	add_ports(n, &n->conf->listen.proxy, CLIENT_DOOR_PROXY);
	add_ports(n, &n->conf->listen.bump, CLIENT_DOOR_BUMP);
	for (size_t i = 0; i < n->n_ports; i++)
		if (probe_port(n, &n->ports[i].addr, why, why_bytes) < 0)
			return -1;
	if (probe_list(n, &n->conf->listen.admin, why, why_bytes) < 0)
		return -1;
	return probe_list(n, &n->conf->listen.cluster, why, why_bytes);
}

static void on_accept(void *cookie, int fd, const struct addr *peer)
{
	struct door *d = cookie;

	client_accept(&d->lane->server, d->door, fd, peer);
}

static int open_doors(struct lane *l, char *why, size_t why_bytes)
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

/* ---- lanes ---- */

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

static void lane_init(struct lane *l, struct node *n, int id, struct x509_store_st *roots, const uint8_t *ticket_keys)
{
	struct policy *p = n->conf->policy;

	l->node = n;
	l->loop = loop_new(id, &clock_system);
	delay_posts(l, n, id);
	l->metrics = aligned_alloc(64, sizeof(*l->metrics));
	CHECK_THAT(l->metrics != NULL);
	memset(l->metrics, 0, sizeof(*l->metrics));
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

static void *lane_run(void *arg)
{
	struct lane *l = arg;

	loop_run(l->loop);
	return NULL;
}

/* ---- the cluster ---- */

static int open_cluster(struct node *n, char *why, size_t why_bytes)
{
	struct lane *first = &n->lanes[0];
	struct cluster_settings settings = {
		.conf = n->conf,
		.index = n->index,
		.disk = n->disk,
		.orders = n->orders,
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
		struct addr at = addr_of(&n->conf->listen.cluster.v[0]);

		l->server.cluster_port = addr_port(&at);
		l->server.fetcher.cluster = cluster_add_lane(n->cluster, l->loop, l->dns, &l->server, why, why_bytes);
		if (!l->server.fetcher.cluster)
			return -1;
	}
	return 0;
}

/* ---- what operators see and do: all of it on the first lane's loop ---- */

static const char *node_name(void *cookie)
{
	struct node *n = cookie;

	return n->lanes[0].server.policy->node;
}

static struct statsjson_gauges gauges_of(struct node *n)
{
	struct store_counts store = n->store->ops->counts(n->store);

	if (n->disk)
		n->disk_counts = disk_counts(n->disk);
	return (struct statsjson_gauges){
		.node = node_name(n),
		.version = PMCACHE_VERSION,
		.boot = n->boot,
		.now = clock_wall(&clock_system),
		.began = n->began_wall,
		.uptime = (clock_mono(&clock_system) - n->began) / 1000,
		.loops = n->n_lanes,
		.memory_used_bytes = store.used,
		.memory_limit_bytes = store.size,
		.objects = store.entries,
		.ca_not_after = n->ca_not_after,
		.disk = n->disk ? &n->disk_counts : NULL,
	};
}

/* Called on lane 0, whose row takes up what the store and the log count for all. */
static void rows_of(struct node *n, const struct metrics *rows[MOST_LOOPS])
{
	bool offline = hostmoods_are_offline(n->moods, n->lanes[0].server.policy->cache.offline);

	metric_set(n->lanes[0].metrics, METRIC_OFFLINE, offline);
	metric_set(n->lanes[0].metrics, METRIC_HOSTS_HELD_BACK, hostmoods_held(n->moods, loop_now(n->lanes[0].loop)));
	metric_set(n->lanes[0].metrics, METRIC_EVICTED, n->store->ops->counts(n->store).evicted);
	metric_set(n->lanes[0].metrics, METRIC_LOG_DROPPED, accesslog_dropped(n->accesslog));
	if (n->cluster)
		cluster_set_metrics(n->cluster, n->lanes[0].metrics);
	for (unsigned i = 0; i < n->n_lanes; i++)
		rows[i] = n->lanes[i].metrics;
}

static void show_stats(void *cookie, struct buf *json)
{
	struct node *n = cookie;
	const struct metrics *rows[MOST_LOOPS];
	struct statsjson_gauges gauges = gauges_of(n);
	struct hosttally *hosts[MOST_LOOPS];

	rows_of(n, rows);
	for (unsigned i = 0; i < n->n_lanes; i++)
		hosts[i] = n->lanes[i].hosts;
	gauges.hosts = hosts;
	gauges.n_hosts = n->n_lanes;
	statsjson_put(json, rows, n->n_lanes, &gauges);
}

static void show_metrics(void *cookie, struct buf *text)
{
	struct node *n = cookie;
	const struct metrics *rows[MOST_LOOPS];
	struct statsjson_gauges gauges = gauges_of(n);

	rows_of(n, rows);
	metricstext_put(text, rows, n->n_lanes, &gauges);
	if (n->cluster)
		cluster_put_metrics(n->cluster, text);
}

static void show_history(void *cookie, struct history_row *now)
{
	struct node *n = cookie;
	const struct metrics *rows[MOST_LOOPS];

	rows_of(n, rows);
	history_read(now, rows, n->n_lanes, clock_wall(&clock_system));
}

static void show_recent(void *cookie, struct buf *json)
{
	struct node *n = cookie;

	recent_put(n->recent, json, n->lanes[0].server.policy->admin.show_urls);
}

static void show_objects(void *cookie, struct buf *json)
{
	struct node *n = cookie;

	objects_put(n->objects, json, n->lanes[0].server.policy->admin.show_urls);
}

/* Who may open the control socket may see all. */
static void tell_objects(void *cookie, struct buf *json)
{
	struct node *n = cookie;

	objects_put(n->objects, json, true);
}

/* The control socket is for those who may read the log, too. */
static void show_recent_urls(void *cookie, struct buf *json)
{
	struct node *n = cookie;

	recent_put(n->recent, json, true);
}

static void show_page(void *cookie, struct page_facts *out)
{
	const struct node *n = cookie;

	out->parent = n->conf->role == CONF_ROLE_PARENT;
	out->in_cluster = n->cluster != NULL;
	for (size_t i = 0; i < n->n_ports && out->n_doors < PAGE_DOORS; i++)
		out->doors[out->n_doors++] =
			(struct page_door){.at = n->ports[i].addr, .bump = n->ports[i].door == CLIENT_DOOR_BUMP};
}

static bool show_peers(void *cookie, struct buf *json)
{
	struct node *n = cookie;

	if (!n->cluster)
		return false;
	cluster_put_peers(n->cluster, json);
	return true;
}

static long control_purge(void *cookie, enum purgerec_kind kind, struct span text, bool whole_cluster, const char **why)
{
	struct node *n = cookie;
	char *room = mem_alloc(PURGE_BYTES(text.n));
	struct buf b = buf_over(room, PURGE_BYTES(text.n));
	struct purge_ground ground = {
		.index = n->index,
		.disk = n->disk,
		.orders = n->orders,
		.loop = n->lanes[0].loop,
		.at = loop_wall(n->lanes[0].loop),
	};
	long purged = -1;

	if (whole_cluster && !n->cluster)
		*why = "this node is in no cluster";
	else if (purge_normalize(kind, text, &b, why))
		purged = whole_cluster ? cluster_purge(n->cluster, kind, buf_span(&b), why)
				       : purge_stored(&ground, span_str(n->salt), kind, buf_span(&b), why);
	if (purged >= 0)
		log_line(n->log, LOG_NOTICE, "purge", "%s%s %.*s: %ld", purgerec_word(kind),
			 whole_cluster ? " in the whole cluster:" : ":", SPAN_ARG(buf_span(&b)), purged);
	if (purged > 0 && !purgerec_is_soft(kind) && kind != PURGEREC_ALLOW)
		metric_add(n->lanes[0].metrics, METRIC_PURGED, (uint64_t)purged);
	free(room);
	return purged;
}

static struct span show_denied(void *cookie)
{
	struct node *n = cookie;

	return orders_format(n->orders);
}

static bool control_offline(void *cookie, struct span how, struct buf *json)
{
	static const struct {
		struct span word;
		enum hostmood_offline how;
	} words[] = {
		{SPAN("on"), HOSTMOOD_OFFLINE},
		{SPAN("off"), HOSTMOOD_ONLINE},
		{SPAN("config"), HOSTMOOD_AS_CONFIGURED},
	};
	struct node *n = cookie;
	bool known = span_eq(how, SPAN("show")), configured = n->lanes[0].server.policy->cache.offline, offline;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!span_eq(how, words[i].word))
			continue;
		known = true;
		hostmoods_set_offline(n->moods, words[i].how);
		log_line(n->log, LOG_NOTICE, "node", "pmcachectl offline %.*s", SPAN_ARG(how));
	}
	offline = hostmoods_are_offline(n->moods, configured);
	buf_printf(json, "{\"offline\":%s,\"configured\":%s}\n", offline ? "true" : "false",
		   configured ? "true" : "false");
	return known;
}

static void show_matrix(void *cookie, struct control_reply *reply)
{
	struct node *n = cookie;

	if (n->cluster)
		inquiry_matrix(n->inquiries, n->cluster, reply);
	else
		control_fail(reply, "this node is in no cluster");
}

static void explain(void *cookie, struct span url, struct control_reply *reply)
{
	struct node *n = cookie;
	struct explain_ground ground = {
		.loop = n->lanes[0].loop,
		.index = n->index,
		.policy = n->lanes[0].server.policy,
		.salt = span_str(n->salt),
		.desk = n->cluster ? cluster_desk(n->cluster) : NULL,
		.parents = n->cluster ? cluster_parents(n->cluster) : NULL,
	};

	inquiry_explain(n->inquiries, &ground, url, reply);
}

static void upgrade(void *cookie, struct control_reply *reply)
{
	struct node *n = cookie;

	if (n->upgrade) {
		control_fail(reply, "another upgrade is under way");
		return;
	}
	n->upgrade = reply;
	kill(getpid(), SIGUSR2); /* the main thread takes it from there */
}

static bool control_scrub(void *cookie, struct span how, struct buf *json, const char **why)
{
	struct node *n = cookie;

	*why = "this node has no tier on disk";
	return n->scrub && scrub_order(n->scrub, how, json, why);
}

static void refresh(void *cookie, struct span url, struct control_reply *reply)
{
	struct node *n = cookie;
	struct refresh_ground ground = {
		.fetcher = &n->lanes[0].server.fetcher,
		.policy = n->lanes[0].server.policy,
		.salt = span_str(n->salt),
	};

	inquiry_refresh(n->inquiries, &ground, url, reply);
}

static const struct control_actions control_actions = {
	.matrix = show_matrix,
	.explain = explain,
	.refresh = refresh,
	.scrub = control_scrub,
	.offline = control_offline,
	.upgrade = upgrade,
	.recent = show_recent_urls,
	.stats = show_stats,
	.objects = tell_objects,
	.purge = control_purge,
	.denied = show_denied,
	.peers = show_peers,
};
static const struct admin_actions admin_actions = {
	.stats = show_stats,
	.metrics = show_metrics,
	.peers = show_peers,
	.page = show_page,
	.history = show_history,
	.recent = show_recent,
	.objects = show_objects,
	.node = node_name,
};

static int open_admin(struct node *n, char *why, size_t why_bytes)
{
	const struct conf_addresses *list = &n->conf->listen.admin;
	struct admin_ca *ca = NULL;
	struct addr *at;

	if (!list->n)
		return 0;
	if (n->ca) {
		ca = admin_ca_read(n->conf->ca.cert, why, why_bytes);
		if (!ca)
			return -1;
	}
	at = mem_alloc(list->n * sizeof(*at));
	for (size_t i = 0; i < list->n; i++)
		at[i] = addr_of(&list->v[i]);
	for (unsigned i = 0; i < n->n_lanes; i++)
		n->lanes[i].server.admin = at[0];
	n->admin = admin_open(n->lanes[0].loop, at, list->n, ca, &admin_actions, n, why, why_bytes);
	free(at);
	return n->admin ? 0 : -1;
}

/* ---- start ---- */

static void on_removed(void *cookie, struct entry *e)
{
	struct node *n = cookie;

	n->store->ops->drop(n->store, e);
}

/* A thread of the disk's. */
static void on_gone_from_disk(void *cookie, struct disk_file *file)
{
	struct node *n = cookie;
	struct key key = disk_file_key(file);

	index_remove_file(n->index, &key, file);
}

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

static void set_scrub(struct node *n, const struct policy_cache *cache)
{
	if (n->scrub)
		scrub_set(n->scrub, cache->disk_scrub_interval, cache->disk_scrub_rate);
}

static void open_scrub(struct node *n)
{
	char path[4200];
	struct scrub_ground ground = {
		.loop = n->lanes[0].loop,
		.disk = n->disk,
		.work = n->work,
		.log = n->log,
		.metrics = n->lanes[0].metrics,
		.path = path,
	};

	snprintf(path, sizeof(path), "%s/scrubbed", n->conf->state);
	n->scrub = n->disk ? scrub_new(&ground) : NULL;
	set_scrub(n, &n->conf->policy->cache);
}

static int start_lanes(struct node *n, char *why, size_t why_bytes)
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
	n->inquiries = inquiries_new();
	n->objects = objects_new(n->lanes[0].loop, n->store);
	open_scrub(n);
	n->control = control_open(n->lanes[0].loop, n->conf->control, &control_actions, n, why, why_bytes);
	if (!n->control || open_admin(n, why, why_bytes) < 0 || open_cluster(n, why, why_bytes) < 0)
		return -1;
	/* The last: who finds the proxy open finds the rest, too. */
	for (unsigned i = 0; i < n->n_lanes; i++)
		if (open_doors(&n->lanes[i], why, why_bytes) < 0)
			return -1;
	atomic_store(&n->beats, n->n_lanes);
	for (unsigned i = 0; i < n->n_lanes; i++)
		CHECK_THAT(pthread_create(&n->lanes[i].thread, NULL, lane_run, &n->lanes[i]) == 0);
	return 0;
}

static const struct evict_policy *eviction(const struct policy *p)
{
	static const struct evict_policy *const by[] = {
		[POLICY_EVICT_GDSF] = &evict_gdsf,
		[POLICY_EVICT_LRU] = &evict_lru,
		[POLICY_EVICT_LFUDA] = &evict_lfuda,
		[POLICY_EVICT_SIEVE] = &evict_sieve,
	};

	return by[p->cache.memory_policy];
}

static void start_cache(struct node *n)
{
	n->moods = hostmoods_new();
	n->recalls = recalls_new();
	rng_secret(n->secret, sizeof(n->secret));
	rng_secret(&n->boot, sizeof(n->boot));
	n->salt = span_dup(span_str(n->conf->cluster.name ? n->conf->cluster.salt : "pmcache"));
	n->index = index_new(on_removed, n);
	n->store = store_mem_new(n->conf->policy->cache.memory_size, eviction(n->conf->policy));
	store_mem_set_index(n->store, n->index);
}

/* What can only be read is used as far as that goes (disk.h); a folder that cannot be made, or that a newer version has written, is for the
 * operator to see to. */
static int open_disk(struct node *n, char *why, size_t why_bytes)
{
	const struct policy_cache *cache = &n->conf->policy->cache;
	struct disk_settings settings = {
		.path = n->conf->disk_path,
		.size = cache->disk_size,
		.min_free_percent = cache->disk_min_free_percent,
		.max_object = cache->max_object,
		.log = n->log,
		.clock = &clock_system,
		.orders = n->orders,
	};

	if (!settings.path)
		return 0;
	n->work = work_new(DISK_WORKERS);
	settings.work = n->work;
	n->disk = disk_open(&settings, why, why_bytes);
	if (n->disk) {
		disk_tell_gone(n->disk, on_gone_from_disk, n);
		return 0;
	}
	work_free(&n->work);
	return -1;
}

static int open_orders(struct node *n, char *why, size_t why_bytes)
{
	char path[4200];

	snprintf(path, sizeof(path), "%s/orders", n->conf->state);
	n->orders = orders_open(path, n->log, why, why_bytes);
	return n->orders ? 0 : -1;
}

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
	if (n->lock_fd < 0 || open_bump(n, why, why_bytes) < 0 || probe_ports(n, why, why_bytes) < 0 ||
	    open_logs(n, run, why, why_bytes) < 0)
		return NULL; /* the process ends; the system takes back what was opened */
	start_cache(n);
	if (open_orders(n, why, why_bytes) < 0 || open_disk(n, why, why_bytes) < 0 ||
	    start_lanes(n, why, why_bytes) < 0)
		return NULL;
	if (run)
		hints_print(conf, n->n_lanes);
	log_line(n->log, LOG_NOTICE, "node", "pmcached " PMCACHE_VERSION " serves with %u loop%s, state in %s",
		 n->n_lanes, n->n_lanes == 1 ? "" : "s", conf->state);
	return n;
}

/* ---- reload ---- */

/* What a lane is told, on its own thread. */
struct change {
	struct lane *lane;
	struct policy *policy;
	X509_STORE *roots;
	struct admin_ca *ca; /* NULL: as before */
	uint8_t ticket_keys[TLSCTX_TICKET_KEY_BYTES];
};

static void on_new_policy(void *arg)
{
	struct change *ch = arg;
	struct lane *l = ch->lane;

	server_set_policy(&l->server, ch->policy);
	if (l->node->cluster && l == &l->node->lanes[0])
		cluster_reload(l->node->cluster, ch->policy);
	if (l == &l->node->lanes[0])
		set_scrub(l->node, &ch->policy->cache);
	dns_set_hosts_file(l->dns, ch->policy->upstream.hosts_file);
	tlsctx_set_roots(l->tls, ch->roots);
	if (ch->ca)
		admin_set_ca(l->node->admin, ch->ca);
	pool_clear(l->pool);
	policy_unref(&ch->policy);
	X509_STORE_free(ch->roots);
	free(ch);
}

void node_reload(struct node *n, struct conf *conf)
{
	char why[NODE_WHY_BYTES], keys[512];
	X509_STORE *roots = trust_new(conf->policy->upstream.ca_file, why, sizeof(why));
	struct admin_ca *shown;
	struct ca *ca;

	if (!roots || reopen_ca(n, &ca, &shown, why, sizeof(why)) < 0) {
		log_line(n->log, LOG_ERROR, "conf", "%s; the old configuration stays in force", why);
		X509_STORE_free(roots);
		conf_free(conf);
		return;
	}
	if (ca)
		use_ca(n, ca);
	if (conf_reload_differs(n->conf, conf, keys, sizeof(keys)))
		log_line(n->log, LOG_WARNING, "conf", "changed, but in force only after a restart: %s", keys);
	log_set_level(n->log, conf->log_level);
	accesslog_set_masks(n->accesslog, conf->policy->log.headers, conf->policy->log.query);
	store_mem_set_policy(n->store, eviction(conf->policy));
	if (n->disk)
		disk_set_limits(n->disk, conf->policy->cache.disk_size, conf->policy->cache.disk_min_free_percent, 0);
	n->store->ops->set_size(n->store, conf->policy->cache.memory_size);
	for (unsigned i = 0; i < n->n_lanes; i++) {
		struct change *ch = NEW(struct change);

		*ch = (struct change){.lane = &n->lanes[i],
				      .policy = policy_ref(conf->policy),
				      .roots = roots,
				      .ca = i ? NULL : shown};
		X509_STORE_up_ref(roots);
		loop_post(n->lanes[i].loop, on_new_policy, ch);
	}
	X509_STORE_free(roots);
	/* Start-only values stay what they were: the next reload is compared with what is in force. */
	policy_unref(&n->conf->policy);
	n->conf->policy = policy_ref(conf->policy);
	n->conf->log_level = conf->log_level;
	conf_free(conf);
	log_line(n->log, LOG_NOTICE, "conf", "read again; in force");
}

void node_reopen_logs(struct node *n)
{
	accesslog_reopen(n->accesslog);
}

/* ---- tending ---- */

static void on_new_ticket_keys(void *arg)
{
	struct change *ch = arg;

	tlsctx_set_ticket_keys(ch->lane->tls, ch->ticket_keys);
	free(ch);
}

static void renew_ticket_keys(struct node *n)
{
	mono_us now = clock_mono(&clock_system);
	uint8_t keys[TLSCTX_TICKET_KEY_BYTES];

	if (now < mono_after(n->ticket_keys_at ? n->ticket_keys_at : n->began, TICKET_KEY_MS))
		return;
	n->ticket_keys_at = now;
	rng_secret(keys, sizeof(keys));
	for (unsigned i = 0; i < n->n_lanes; i++) {
		struct change *ch = NEW(struct change);

		ch->lane = &n->lanes[i];
		memcpy(ch->ticket_keys, keys, sizeof(keys));
		loop_post(n->lanes[i].loop, on_new_ticket_keys, ch);
	}
}

void node_tend(struct node *n)
{
	char why[NODE_WHY_BYTES];

	if (n->mint && n->lock_fd >= 0 && mint_flush(n->mint, why, sizeof(why)) < 0)
		log_line(n->log, LOG_WARNING, "mint", "%s", why);
	renew_ticket_keys(n);
}

static void on_beat(void *arg)
{
	struct lane *l = arg;

	atomic_fetch_add(&l->node->beats, 1);
}

bool node_is_alive(struct node *n)
{
	CHECK(n, NODE_MAGIC);
	if (atomic_load(&n->beats) < n->n_lanes)
		return false;
	atomic_store(&n->beats, 0);
	for (unsigned i = 0; i < n->n_lanes; i++)
		loop_post(n->lanes[i].loop, on_beat, &n->lanes[i]);
	return true;
}

/* ---- giving up what only one process can have ---- */

struct upgrade_end {
	struct node *node;
	char why[];
};

static void on_upgrade_failed(void *arg)
{
	struct upgrade_end *e = arg;

	if (e->node->upgrade)
		control_fail(e->node->upgrade, e->why);
	e->node->upgrade = NULL;
	free(e);
}

void node_upgrade_failed(struct node *n, const char *why)
{
	size_t bytes = strlen(why) + 1;
	struct upgrade_end *e = mem_alloc(sizeof(*e) + bytes);

	CHECK(n, NODE_MAGIC);
	e->node = n;
	memcpy(e->why, why, bytes);
	log_line(n->log, LOG_ERROR, "node", "%s; this process goes on", why);
	loop_post(n->lanes[0].loop, on_upgrade_failed, e);
}

static void on_let_go(void *arg)
{
	struct lane *l = arg;

	if (l->node->upgrade)
		control_answer(l->node->upgrade, SPAN("{}"));
	l->node->upgrade = NULL;
	control_close(&l->node->control);
	if (l->node->cluster)
		cluster_let_go(l->node->cluster);
	scrub_free(l->node->scrub); /* the next process does that now */
	l->node->scrub = NULL;
	atomic_store(&l->node->let_go, true);
}

void node_let_go(struct node *n)
{
	const struct timespec pause = {.tv_nsec = 1000 * 1000};

	CHECK(n, NODE_MAGIC);
	loop_post(n->lanes[0].loop, on_let_go, &n->lanes[0]);
	while (!atomic_load(&n->let_go))
		nanosleep(&pause, NULL);
	node_tend(n);
	if (n->disk)
		disk_let_go(n->disk);
	close(n->lock_fd);
	n->lock_fd = -1;
}

/* ---- drain ---- */

static void on_drain(void *arg)
{
	struct lane *l = arg;

	for (size_t i = 0; i < l->node->n_ports; i++)
		listener_drain(&l->doors[i].listener);
	if (l == &l->node->lanes[0]) {
		control_close(&l->node->control);
		admin_drain(l->node->admin);
		if (l->node->cluster && !atomic_load(&l->node->let_go))
			cluster_drain(l->node->cluster);
	}
	server_drain(&l->server);
}

/* The end comes in two steps, because a lane's end sends the others a last few messages. */
static void on_end_work(void *arg)
{
	struct lane *l = arg;

	if (l == &l->node->lanes[0]) {
		admin_close(&l->node->admin);
		inquiries_free(l->node->inquiries);
		l->node->inquiries = NULL;
		objects_free(l->node->objects);
		l->node->objects = NULL;
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

static void lane_free(struct lane *l)
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

/* Nothing waits for the disk any more, and nobody who would be told. */
static void close_disk(struct node *n)
{
	if (n->disk)
		disk_tell_gone(n->disk, NULL, NULL);
	index_free(n->index);
	disk_close(&n->disk);
	orders_free(n->orders);
}

static void node_free(struct node *n)
{
	cluster_close(&n->cluster);
	work_free(&n->work);
	for (unsigned i = 0; i < n->n_lanes; i++)
		lane_free(&n->lanes[i]);
	close_disk(n);
	n->store->ops->free(n->store);
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
