#include "node/cluster/cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/admin/metricstext.h"
#include "node/admin/peersjson.h"
#include "node/admin/purge.h"
#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/base/rng.h"
#include "node/cluster/members.h"
#include "node/link/nodecall.h"
#include "node/link/nodelink.h"
#include "node/net/listener.h"
#include "node/fetch/hostmood.h"
#include "node/serve/certword.h"
#include "node/serve/client.h"
#include "parent/parent_children.h"
#include "peer/peer_door.h"
#include "peer/peer_purge.h"

#define MOST_LANES 64
#define STATE_MS (1 * DUR_SECOND)
#define SYNC_MS (5 * DUR_MINUTE)
#define STREAMS_OF_ONE 2
#define STREAMS_IN_ALL 64
#define HEDGE_PERCENT 5

/* A connection whose handshake is under way. */
struct arrival {
	LIST_ENTRY(arrival) entry;
	struct cluster_lane *lane;
	struct nodelink_accept *accept;
};

struct cluster_lane {
	struct cluster *cluster;
	struct loop *loop;
	struct server *server;
	struct listener *listener;
	struct peer_door *door;
	struct fetch_cluster ways; /* its tls is this lane's reference */
	struct allowance hedges;
	LIST_HEAD(, arrival) arrivals;
};

struct cluster {
	unsigned magic;
	struct cluster_settings s;
	const char *name;
	char node[NODECERT_NAME_BYTES + 1];
	bool is_parent;
	struct addr at;
	struct nodetls *tls;
	struct peer_streams *streams;
	struct peer_purge *purge;
	struct sign_key *sign_key; /* NULL: this node may not begin a purge */
	struct peer_desk *desk;
	struct parent_set *parents, *fellows;
	struct parent_children *children; /* of a parent */
	struct members *members;
	struct timer state;
	/* purges that we have not: asked of one node at a time */
	struct nodecall *sync;
	uint32_t sync_node;
	mono_us synced_at; /* 0: never */
	bool draining;
	size_t n_lanes;
	struct cluster_lane lanes[MOST_LANES];
};

#define CLUSTER_MAGIC 0xc1057e40

static void tell_state(struct cluster *);

/* ---- purges ---- */

static uint32_t remove_stored(void *cookie, const struct purgerec *r)
{
	struct cluster *c = cookie;
	struct purge_ground ground = {
		.index = c->s.index,
		.disk = c->s.disk,
		.orders = c->s.orders,
		.loop = c->s.loop,
		.at = r->at,
	};
	const char *why = "";
	long n = purge_stored(&ground, span_str(c->s.conf->cluster.salt), r->kind, r->value, &why);

	if (n < 0)
		log_line(c->s.log, LOG_ERROR, "cluster", "%.*s: %s", SPAN_ARG(r->value), why);
	return n < 0 ? 0 : (uint32_t)n;
}

static int open_purges(struct cluster *c, char *why, size_t why_bytes)
{
	const struct conf *conf = c->s.conf;
	char path[4200];
	struct peer_purge_settings settings = {
		.path = path,
		.cluster = c->name,
		.log = c->s.log,
		.remove = remove_stored,
		.cookie = c,
	};

	if (!conf->cluster.purge_public)
		return 0;
	snprintf(path, sizeof(path), "%s/purges", conf->state);
	if (sign_read_public(conf->cluster.purge_public, settings.public_key, why, why_bytes) < 0)
		return -1;
	if (conf->cluster.purge_key) {
		c->sign_key = sign_open(conf->cluster.purge_key, why, why_bytes);
		if (!c->sign_key)
			return -1;
	}
	c->purge = peer_purge_open(&settings, why, why_bytes);
	return c->purge ? 0 : -1;
}

static void ask_for_purges(struct cluster *c, const char *how, uint64_t serial);

static void on_synced(void *cookie, int status, struct span body, bool more)
{
	struct cluster *c = cookie;
	uint32_t removed = 0;
	long taken;

	c->sync = NULL;
	if (status == 410) {
		/* So much has been purged while we were away that nobody remembers what: nothing of it may come back. */
		removed = remove_stored(c, &(struct purgerec){.kind = PURGEREC_ALL});
		log_line(c->s.log, LOG_WARNING, "cluster", "purges were missed: all %u stored responses are purged",
			 removed);
		ask_for_purges(c, "since", 0);
		return;
	}
	if (status != 200)
		return; /* another try follows by itself */
	taken = peer_purge_take(c->purge, body, &removed);
	if (taken > 0)
		log_line(c->s.log, LOG_NOTICE, "cluster", "%ld purges were caught up with, %u responses went", taken,
			 removed);
	if (more && taken >= 0)
		ask_for_purges(c, "after", peer_purge_last(body));
}

static void ask_for_purges(struct cluster *c, const char *how, uint64_t serial)
{
	char host[ADDR_TEXT_BYTES], path[64];
	struct peer_view view;
	struct nodecall_ask ask = {0};

	if (!peer_set_find(peer_desk_set(c->desk), c->sync_node, &view) || !view.member.addr.len)
		return;
	snprintf(path, sizeof(path), "/.pmc/v1/purges?%s=%llu", how, (unsigned long long)serial);
	ask.node = span_str(view.member.name);
	ask.host = span_str(addr_format_ip(&view.member.addr, host));
	ask.port = addr_port(&view.member.addr);
	ask.path = span_str(path);
	c->sync = nodecall_start(c->s.loop, c->s.dns, c->s.pool, c->tls, &ask, on_synced, c);
}

static void sync_from(struct cluster *c, uint32_t node)
{
	if (!c->purge || c->sync || c->draining)
		return;
	c->sync_node = node;
	c->synced_at = loop_now(c->s.loop);
	ask_for_purges(c, "since", peer_purge_serial(c->purge));
}

/* Whom to ask without a reason: a parent rather than an edge. */
static void prefer(void *cookie, const struct peer_view *view)
{
	struct peer_view *best = cookie;

	if (view->state != PEER_UP)
		return;
	if (!best->id || (view->member.role == PEER_PARENT && best->member.role != PEER_PARENT))
		*best = *view;
}

/* A datagram with a purge may have been lost while a later one came: so others are asked now and then, and at the start. */
static void sync_now_and_then(struct cluster *c)
{
	struct peer_view best = {0};

	if (!c->purge || c->sync || c->draining ||
	    (c->synced_at && loop_now(c->s.loop) < mono_after(c->synced_at, SYNC_MS)))
		return;
	peer_set_each(peer_desk_set(c->desk), prefer, &best);
	if (best.id)
		sync_from(c, best.id);
}

static void on_behind(void *cookie, uint32_t node, uint64_t serial)
{
	struct cluster *c = cookie;

	if (c->purge && peer_purge_serial(c->purge) < serial)
		sync_from(c, node);
}

long cluster_purge(struct cluster *c, enum purgerec_kind kind, struct span value, const char **why)
{
	char room[PURGEREC_MAX_BYTES];
	struct buf b = buf_over(room, sizeof(room));
	uint32_t removed = 0;

	if (!c->purge || !c->sign_key) {
		*why = "this node has no purge key (cluster.purge_key): do it on one that has, a parent as a rule";
		return -1;
	}
	if (!peer_purge_make(c->purge, c->sign_key, kind, value, loop_wall(c->s.loop), &b)) {
		*why = "what is to be purged is too long";
		return -1;
	}
	if (peer_purge_apply(c->purge, buf_span(&b), &removed) != PEER_PURGE_DONE) {
		*why = "the purge key does not fit cluster.purge_public";
		return -1;
	}
	peer_set_spread(peer_desk_set(c->desk), peer_purge_serial(c->purge), buf_span(&b), loop_now(c->s.loop));
	tell_state(c);
	return (long)removed;
}

/* ---- what the node says of itself ---- */

static void page_members(void *cookie, struct peer_door_reply *reply, const struct node_name *who,
			 const struct addr *from, struct span address)
{
	struct cluster *c = cookie;
	wall_ms now = loop_wall(peer_door_loop(reply));
	struct child child = {.role = who->role, .addr = *from};
	struct addr told;
	char *room;
	struct buf b;

	if (!c->children) {
		peer_door_answer(reply, 404, SPAN("text/plain"), SPAN("only parents keep the list\n"));
		return;
	}
	if (addr_parse(address, &told) == 0 && who->role != NODE_ADMIN) {
		addr_set_port(&child.addr, addr_port(&told));
		memcpy(child.name, who->node, sizeof(child.name));
		parent_children_heard(c->children, &child, now);
	}
	room = mem_alloc(PARENT_CHILDREN_BYTES);
	b = buf_over(room, PARENT_CHILDREN_BYTES);
	parent_children_format(c->children, &b, now);
	peer_door_answer(reply, 200, SPAN("text/plain"), buf_span(&b));
	free(room);
}

/* The figures belong to the cluster loop, the door to its own: there and back again. */
struct figures {
	struct cluster *cluster;
	struct loop *back;
	struct peer_door_reply *reply;
	char *text;
	size_t n;
};

static void on_figures(void *arg)
{
	struct figures *f = arg;

	peer_door_answer(f->reply, 200, SPAN("application/json"), span_of(f->text, f->n));
	free(f->text);
	free(f);
}

static void gather_figures(void *arg)
{
	struct figures *f = arg;
	struct buf b;

	f->text = mem_alloc(PEERSJSON_MOST);
	b = buf_over(f->text, PEERSJSON_MOST);
	cluster_put_peers(f->cluster, &b);
	f->n = b.n;
	loop_post(f->back, on_figures, f);
}

static void page_peers(void *cookie, struct peer_door_reply *reply)
{
	struct cluster *c = cookie;
	struct figures *f = NEW(struct figures);

	f->cluster = c;
	f->back = peer_door_loop(reply);
	f->reply = reply;
	loop_post(c->s.loop, gather_figures, f);
}

/* A parent alone says it: an edge would only say what it has from one. */
static struct server *server_of(struct cluster *c, const struct loop *loop)
{
	for (size_t i = 0; i < c->n_lanes && c->is_parent; i++)
		if (c->lanes[i].loop == loop)
			return c->lanes[i].server;
	return NULL;
}

static void on_certword(void *cookie, struct span message)
{
	peer_door_answer(cookie, 200, SPAN("application/msgpack"), message);
}

static void page_cert(void *cookie, struct peer_door_reply *reply, struct span host, uint16_t port, struct span sni)
{
	struct server *s = server_of(cookie, peer_door_loop(reply));

	if (!s) {
		peer_door_answer(reply, 404, SPAN("text/plain"), SPAN("only parents know certificates\n"));
		return;
	}
	certword_ask(
		s->certwords, s->policy,
		&(struct certword_ask){.host = host,
				       .port = port,
				       .sni = sni,
				       .offline = hostmoods_are_offline(s->fetcher.moods, s->policy->cache.offline)},
		on_certword, reply);
}

static const struct peer_door_pages pages = {.members = page_members, .peers = page_peers, .cert = page_cert};

static struct peersjson_facts facts_of(const struct cluster *c)
{
	return (struct peersjson_facts){
		.node = c->node,
		.cluster = c->name,
		.is_parent = c->is_parent,
		.now = loop_now(c->s.loop),
		.udp_dropped = peer_desk_dropped(c->desk),
		.purge_serial = c->purge ? peer_purge_serial(c->purge) : 0,
		.certificate_not_after = nodetls_not_after(c->tls),
	};
}

void cluster_put_peers(struct cluster *c, struct buf *json)
{
	struct peersjson_facts facts = facts_of(c);

	peersjson_put(json, &facts, peer_desk_set(c->desk), c->parents, c->fellows);
}

void cluster_put_metrics(struct cluster *c, struct buf *text)
{
	struct peersjson_facts facts = facts_of(c);

	metricstext_put_cluster(text, &facts, peer_desk_set(c->desk), c->parents, c->fellows);
}

size_t cluster_members(const struct cluster *c)
{
	const struct peer_set *set = peer_desk_set(c->desk);
	size_t n = 0;

	for (int state = 0; state < PEER_STATES; state++)
		n += peer_set_count(set, (enum peer_state)state);
	return n;
}

struct matrix *cluster_matrix(struct cluster *c, matrix_on_done_f *on_done, void *cookie)
{
	struct matrix_ground ground = {
		.loop = c->s.loop,
		.dns = c->s.dns,
		.pool = c->s.pool,
		.tls = c->tls,
		.set = peer_desk_set(c->desk),
	};
	struct buf own = buf_over(mem_alloc(PEERSJSON_MOST), PEERSJSON_MOST);
	struct matrix *m;

	cluster_put_peers(c, &own);
	m = matrix_start(&ground, buf_span(&own), on_done, cookie);
	free(own.p);
	return m;
}

struct peer_desk *cluster_desk(struct cluster *c)
{
	return c->desk;
}

struct parent_set *cluster_parents(struct cluster *c)
{
	return c->parents;
}

void cluster_set_metrics(const struct cluster *c, struct metrics *m)
{
	struct peer_audits audits = peer_set_audits(peer_desk_set(c->desk));
	struct peer_desk_news news = peer_desk_news(c->desk);

	metric_set(m, METRIC_LOG_QUERIES_LEFT_OUT, peer_desk_queries_left_out(c->desk));
	metric_set(m, METRIC_LOOKUP_AUDITS, audits.asked);
	metric_set(m, METRIC_LOOKUP_AUDITS_FOUND, audits.found);
	metric_set(m, METRIC_HOMES_TOLD, news.told);
	metric_set(m, METRIC_HOMES_UNTOLD, news.lost);
}

/* ---- state ---- */

static void tell_state(struct cluster *c)
{
	struct peer_set *set = peer_desk_set(c->desk);
	struct index_counts counts = index_counts(c->s.index);
	unsigned load = peer_streams_now(c->streams) * 255 / STREAMS_IN_ALL;

	peer_set_state(set, c->draining ? PEERMSG_STATE_DRAINING : PEERMSG_STATE_UP, (uint8_t)(load < 255 ? load : 255),
		       counts.published < UINT32_MAX ? (uint32_t)counts.published : UINT32_MAX,
		       c->purge ? peer_purge_serial(c->purge) : 0);
	peer_desk_stir(c->desk);
}

static void on_state(void *arg)
{
	struct cluster *c = arg;

	tell_state(c);
	sync_now_and_then(c);
	timer_set_in(&c->state, STATE_MS);
}

/* ---- arrivals ---- */

static void on_arrived(void *cookie, struct stream *s, const struct node_name *who, enum node_door door,
		       const char *why_not)
{
	struct arrival *a = cookie;
	struct cluster_lane *l = a->lane;

	LIST_REMOVE(a, entry);
	free(a);
	if (!s) {
		log_line(l->cluster->s.log, LOG_NOTICE, "cluster", "a connection was refused: %s", why_not);
		return;
	}
	if (door == NODE_DOOR_PROXY)
		client_take(l->server, CLIENT_DOOR_CHILD, &s, who);
	else
		peer_door_take(l->door, &s, who);
}

static void on_accept(void *cookie, int fd, const struct addr *peer)
{
	struct cluster_lane *l = cookie;
	struct arrival *a = NEW(struct arrival);

	a->lane = l;
	LIST_INSERT_HEAD(&l->arrivals, a, entry);
	a->accept = nodelink_accept(l->loop, l->ways.tls, fd, peer, l->cluster->is_parent, on_arrived, a);
}

/* ---- life ---- */

/* `node`: what this one is called. conf's policy is not looked at: the main thread puts a new one there while we run. */
static struct nodetls *open_tls(const struct conf *conf, const char *node, wall_ms now, char *why, size_t why_bytes)
{
	struct nodetls *tls = nodetls_new(conf->cluster.cert, conf->cluster.key, conf->cluster.ca, conf->cluster.name,
					  now, why, why_bytes);
	const struct node_name *self;
	bool is_parent = conf->role == CONF_ROLE_PARENT;

	if (!tls)
		return NULL;
	self = nodetls_self(tls);
	if (strcmp(self->node, node) != 0 || (self->role == NODE_PARENT) != is_parent) {
		snprintf(why, why_bytes, "%s is for the %s %s, but this node is the %s %s (node, role)",
			 conf->cluster.cert, nodecert_role_word(self->role), self->node, is_parent ? "parent" : "edge",
			 node);
		nodetls_unref(&tls);
	}
	return tls;
}

static void set_secrets(struct peer_set *set, const struct policy_cluster *p)
{
	struct peer_secret v[PEER_MOST_SECRETS];
	size_t n = p->peer_keys.n < PEER_MOST_SECRETS ? p->peer_keys.n : PEER_MOST_SECRETS;

	for (size_t i = 0; i < n; i++) {
		v[i].kid = p->peer_keys.v[i].id;
		memcpy(v[i].b, p->peer_keys.v[i].b, sizeof(v[i].b));
	}
	peer_set_secrets(set, v, n, (uint8_t)p->active_key);
	explicit_bzero(v, sizeof(v));
}

static enum peer_lookup lookup_of(enum policy_lookup l)
{
	static const enum peer_lookup by_policy[] = {
		[POLICY_LOOKUP_AUTO] = PEER_LOOKUP_AUTO,
		[POLICY_LOOKUP_ALL] = PEER_LOOKUP_ALL,
		[POLICY_LOOKUP_HOME] = PEER_LOOKUP_HOME,
	};

	return by_policy[l];
}

static int open_desk(struct cluster *c, char *why, size_t why_bytes)
{
	const struct conf *conf = c->s.conf;
	struct peer_desk_settings settings = {
		.loop = c->s.loop,
		.at = c->at,
		.self =
			{
				.role = c->is_parent ? PEER_PARENT : PEER_EDGE,
				.tcp_port = addr_port(&c->at),
				.zone = (uint16_t)conf->cluster.zone,
				.dgram_bytes = conf->cluster.dgram_max,
				.lookup = lookup_of(conf->policy->cluster.lookup),
			},
		.index = c->s.index,
		.disk = c->s.disk,
		.streams = c->streams,
		.news = c->s.news,
		.purge = c->purge,
		.log = c->s.log,
		.accesslog = c->s.accesslog,
		.log_queries = conf->policy->log.queries,
		.behind = on_behind,
		.cookie = c,
	};

	memcpy(settings.self.name, c->node, sizeof(c->node));
	rng_secret(&settings.self.boot, sizeof(settings.self.boot));
	rng_secret(&settings.self.seed, sizeof(settings.self.seed));
	c->desk = peer_desk_open(&settings, why, why_bytes);
	if (!c->desk)
		return -1;
	set_secrets(peer_desk_set(c->desk), &conf->policy->cluster);
	return 0;
}

static void open_children(struct cluster *c)
{
	char path[4200];

	if (!c->is_parent)
		return;
	snprintf(path, sizeof(path), "%s/children", c->s.conf->state);
	c->children = parent_children_new(path, loop_wall(c->s.loop));
}

static void open_members(struct cluster *c)
{
	char path[4200];
	struct members_settings settings = {
		.loop = c->s.loop,
		.dns = c->s.dns,
		.pool = c->s.pool,
		.desk = c->desk,
		.parents = c->parents,
		.fellows = c->fellows,
		.children = c->children,
		.tls = c->tls,
		.policy = c->s.conf->policy,
		.log = c->s.log,
		.path = path,
		.node = c->node,
		.own = c->at,
		.zone = (uint16_t)c->s.conf->cluster.zone,
	};

	snprintf(path, sizeof(path), "%s/members", c->s.conf->state);
	c->members = members_new(&settings);
}

struct cluster *cluster_open(const struct cluster_settings *s, char *why, size_t why_bytes)
{
	struct cluster *c = NEW(struct cluster);
	const struct conf_address *at = &s->conf->listen.cluster.v[0];
	uint64_t seed;

	c->magic = CLUSTER_MAGIC;
	c->s = *s;
	c->name = s->conf->cluster.name;
	c->is_parent = s->conf->role == CONF_ROLE_PARENT;
	c->at.len = at->addr_len;
	memcpy(&c->at.sa, &at->addr, at->addr_len < sizeof(c->at.in6) ? at->addr_len : sizeof(c->at.in6));
	snprintf(c->node, sizeof(c->node), "%s", s->conf->policy->node);
	timer_init(&c->state, s->loop, on_state, c);
	rng_secret(&seed, sizeof(seed));
	c->parents = parent_set_new(seed);
	c->fellows = parent_set_new(~seed);
	c->streams = peer_streams_new(STREAMS_OF_ONE, STREAMS_IN_ALL);
	c->tls = open_tls(s->conf, c->node, loop_wall(s->loop), why, why_bytes);
	if (!c->tls || open_purges(c, why, why_bytes) < 0 || open_desk(c, why, why_bytes) < 0) {
		cluster_close(&c);
		return NULL;
	}
	open_children(c);
	open_members(c);
	on_state(c);
	return c;
}

const struct fetch_cluster *cluster_add_lane(struct cluster *c, struct loop *loop, struct dns *dns,
					     struct server *server, char *why, size_t why_bytes)
{
	struct cluster_lane *l = &c->lanes[c->n_lanes];
	struct peer_door_settings door = {
		.loop = loop,
		.index = c->s.index,
		.disk = c->s.disk,
		.streams = c->streams,
		.purge = c->purge,
		.desk = c->desk,
		.self = peer_set_self(peer_desk_set(c->desk)),
		.log = c->s.log,
		.pages = &pages,
		.cookie = c,
	};

	CHECK_THAT(c->n_lanes < MOST_LANES);
	c->n_lanes++;
	l->cluster = c;
	l->loop = loop;
	l->server = server;
	LIST_INIT(&l->arrivals);
	l->hedges = allowance_of(HEDGE_PERCENT);
	l->ways = (struct fetch_cluster){
		.name = c->name,
		.node = c->node,
		.is_parent = c->is_parent,
		.desk = c->desk,
		.parents = c->parents,
		.fellows = c->fellows,
		.hedges = &l->hedges,
		.tls = nodetls_ref(c->tls),
		.dns = dns,
	};
	l->door = peer_door_new(&door);
	l->listener = listener_open(loop, &c->at, on_accept, l, why, why_bytes);
	return l->listener ? &l->ways : NULL;
}

/* ---- reload ---- */

struct new_tls {
	struct cluster_lane *lane;
	struct nodetls *tls;
};

static void on_new_tls(void *arg)
{
	struct new_tls *n = arg;

	nodetls_unref(&n->lane->ways.tls);
	n->lane->ways.tls = n->tls;
	free(n);
}

static void use_tls(struct cluster *c, struct nodetls *tls)
{
	nodetls_unref(&c->tls);
	c->tls = tls;
	for (size_t i = 0; i < c->n_lanes; i++) {
		struct new_tls *n = NEW(struct new_tls);

		n->lane = &c->lanes[i];
		n->tls = nodetls_ref(tls);
		loop_post(c->lanes[i].loop, on_new_tls, n);
	}
}

void cluster_reload(struct cluster *c, struct policy *policy)
{
	char why[NODECERT_WHY_BYTES];
	struct nodetls *tls = open_tls(c->s.conf, c->node, loop_wall(c->s.loop), why, sizeof(why));

	if (tls)
		use_tls(c, tls);
	else
		log_line(c->s.log, LOG_ERROR, "cluster", "%s; the old certificate stays in use", why);
	set_secrets(peer_desk_set(c->desk), &policy->cluster);
	peer_desk_log_queries(c->desk, policy->log.queries);
	members_set(c->members, policy, c->tls);
	tell_state(c);
}

/* ---- the end ---- */

static void on_drain(void *arg)
{
	struct cluster_lane *l = arg;

	listener_close(&l->listener);
	peer_door_drain(l->door);
}

void cluster_drain(struct cluster *c)
{
	c->draining = true;
	tell_state(c);
	peer_set_bye(peer_desk_set(c->desk), 0, loop_now(c->s.loop));
	peer_desk_stir(c->desk);
	for (size_t i = 0; i < c->n_lanes; i++)
		loop_post(c->lanes[i].loop, on_drain, &c->lanes[i]);
}

void cluster_let_go(struct cluster *c)
{
	cluster_drain(c);
	nodecall_cancel(&c->sync);
	peer_desk_fall_silent(c->desk);
}

static void close_lane(struct cluster_lane *l)
{
	struct arrival *a, *next;

	for (a = LIST_FIRST(&l->arrivals); a; a = next) {
		next = LIST_NEXT(a, entry);
		nodelink_accept_cancel(&a->accept);
		free(a);
	}
	listener_close(&l->listener);
	peer_door_free(l->door);
	nodetls_unref(&l->ways.tls);
}

void cluster_close(struct cluster **cp)
{
	struct cluster *c = *cp;

	*cp = NULL;
	if (!c)
		return;
	CHECK(c, CLUSTER_MAGIC);
	for (size_t i = 0; i < c->n_lanes; i++)
		close_lane(&c->lanes[i]);
	nodecall_cancel(&c->sync);
	members_free(c->members);
	timer_fini(&c->state);
	peer_desk_close(&c->desk, 0);
	parent_children_free(c->children);
	parent_set_free(c->parents);
	parent_set_free(c->fellows);
	peer_purge_free(c->purge);
	sign_free(c->sign_key);
	peer_streams_free(c->streams);
	nodetls_unref(&c->tls);
	c->magic = 0;
	free(c);
}
