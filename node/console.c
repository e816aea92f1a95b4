#include "node/node_internal.h"

#include <stdlib.h>
#include <unistd.h>

#include "node/admin/metricstext.h"
#include "node/admin/purge.h"
#include "node/admin/statsjson.h"
#include "node/base/mem.h"
#include "node/base/version.h"

/* ---- figures ---- */

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
static void rows_of(struct node *n, const struct metrics *rows[NODE_MOST_LOOPS])
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
	const struct metrics *rows[NODE_MOST_LOOPS];
	struct statsjson_gauges gauges = gauges_of(n);
	struct hosttally *hosts[NODE_MOST_LOOPS];

	rows_of(n, rows);
	for (unsigned i = 0; i < n->n_lanes; i++)
		hosts[i] = n->lanes[i].hosts;
	gauges.hosts = hosts;
	gauges.n_hosts = n->n_lanes;
	statsjson_put(json, rows, n->n_lanes, &gauges);
}

static void read_ledger(void *cookie, struct ledger_row *now)
{
	struct node *n = cookie;
	const struct metrics *rows[NODE_MOST_LOOPS];
	struct statsjson_gauges gauges = gauges_of(n);

	rows_of(n, rows);
	ledger_read(now, rows, n->n_lanes, gauges.disk);
}

static bool show_since(void *cookie, wall_ms since, struct buf *json)
{
	struct node *n = cookie;

	return ledger_put(n->ledger, json, since, node_name(n));
}

static void show_metrics(void *cookie, struct buf *text)
{
	struct node *n = cookie;
	const struct metrics *rows[NODE_MOST_LOOPS];
	struct statsjson_gauges gauges = gauges_of(n);

	rows_of(n, rows);
	metricstext_put(text, rows, n->n_lanes, &gauges);
	if (n->cluster)
		cluster_put_metrics(n->cluster, text);
}

static void show_history(void *cookie, struct buf *json)
{
	history_put(json, ((struct node *)cookie)->ledger);
}

/* ---- what else is shown ---- */

static void show_recent(void *cookie, struct buf *json)
{
	struct node *n = cookie;

	recent_put(n->recent, json, n->lanes[0].server.policy->admin.show_urls);
}

/* The control socket is for those who may read the log, too. */
static void show_recent_urls(void *cookie, struct buf *json)
{
	struct node *n = cookie;

	recent_put(n->recent, json, true);
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

static void show_matrix(void *cookie, struct control_reply *reply)
{
	struct node *n = cookie;

	if (n->cluster)
		inquiry_matrix(n->inquiries, n->cluster, reply);
	else
		control_fail(reply, "this node is in no cluster");
}

static struct span show_denied(void *cookie)
{
	struct node *n = cookie;

	return orders_format(n->orders);
}

static char *matrix_page(void *cookie, size_t *bytes)
{
	struct node *n = cookie;

	return n->cluster ? overview_json(n->overview, n->cluster, bytes) : NULL;
}

static void explain(void *cookie, struct span url, struct control_reply *reply)
{
	struct node *n = cookie;
	struct explain_ground ground = {
		.loop = n->lanes[0].loop,
		.index = n->index,
		.disk = n->disk,
		.policy = n->lanes[0].server.policy,
		.salt = span_str(n->salt),
		.desk = n->cluster ? cluster_desk(n->cluster) : NULL,
		.parents = n->cluster ? cluster_parents(n->cluster) : NULL,
	};

	inquiry_explain(n->inquiries, &ground, url, reply);
}

/* ---- what is done ---- */

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

static bool control_scrub(void *cookie, struct span how, struct buf *json, const char **why)
{
	struct node *n = cookie;

	*why = "this node has no tier on disk";
	return n->scrub && scrub_order(n->scrub, how, json, why);
}

static void control_upgrade(void *cookie, struct control_reply *reply)
{
	struct node *n = cookie;

	errands_upgrade(n->errands, reply);
}

static void control_reload(void *cookie, struct control_reply *reply)
{
	struct node *n = cookie;

	errands_reload(n->errands, reply);
}

static void control_rotate(void *cookie, struct control_reply *reply)
{
	struct node *n = cookie;

	errands_rotate(n->errands, n->accesslog, n->conf->access_log.path, reply);
}

static void import(void *cookie, struct span url, struct stream **s)
{
	struct node *n = cookie;
	struct refresh_ground ground = {
		.fetcher = &n->lanes[0].server.fetcher,
		.policy = n->lanes[0].server.policy,
		.salt = span_str(n->salt),
	};

	inquiry_import(n->inquiries, &ground, url, s);
}

static void list_stored(void *cookie, enum purgerec_kind kind, struct span value, struct control_reply *reply)
{
	struct node *n = cookie;
	struct listing_ground ground = {
		.loop = n->lanes[0].loop,
		.index = n->index,
		.disk = n->disk,
		.work = n->work,
		.room = LISTING_ROOM,
	};

	inquiry_list(n->inquiries, &ground, kind, value, reply);
}

static const struct control_actions control_actions = {
	.import = import,
	.list = list_stored,
	.matrix = show_matrix,
	.explain = explain,
	.refresh = refresh,
	.scrub = control_scrub,
	.offline = control_offline,
	.upgrade = control_upgrade,
	.reload = control_reload,
	.rotate = control_rotate,
	.recent = show_recent_urls,
	.stats = show_stats,
	.since = show_since,
	.objects = tell_objects,
	.purge = control_purge,
	.denied = show_denied,
	.peers = show_peers,
};
static const struct admin_actions admin_actions = {
	.stats = show_stats,
	.metrics = show_metrics,
	.peers = show_peers,
	.matrix = matrix_page,
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
		at[i] = ports_addr(&list->v[i]);
	for (unsigned i = 0; i < n->n_lanes; i++)
		n->lanes[i].server.admin = at[0];
	n->admin = admin_open(n->lanes[0].loop, at, list->n, ca, &admin_actions, n, why, why_bytes);
	free(at);
	return n->admin ? 0 : -1;
}

int console_open(struct node *n, char *why, size_t why_bytes)
{
	struct loop *loop = n->lanes[0].loop;

	n->inquiries = inquiries_new();
	n->overview = overview_new(loop);
	n->errands = errands_new(loop);
	n->ledger = ledger_new(loop, read_ledger, n);
	n->objects = objects_new(loop, n->store);
	n->control = control_open(loop, n->conf->control, &control_actions, n, why, why_bytes);
	return n->control ? open_admin(n, why, why_bytes) : -1;
}

void console_let_go(struct node *n)
{
	errands_upgraded(n->errands);
	errands_fail(n->errands, "another process takes this one's place; ask it");
	control_close(&n->control);
}

void console_drain(struct node *n)
{
	errands_fail(n->errands, "the node stops");
	control_close(&n->control);
	admin_drain(n->admin);
}

void console_close(struct node *n)
{
	admin_close(&n->admin);
	ledger_free(n->ledger);
	n->ledger = NULL;
	inquiries_free(n->inquiries);
	n->inquiries = NULL;
	overview_free(n->overview);
	n->overview = NULL;
	objects_free(n->objects);
	n->objects = NULL;
}
