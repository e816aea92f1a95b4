#include "node/policy/policy.h"

#include "node/base/check.h"
#include "node/base/mem.h"

#define KB ((uint64_t)1024)
#define MB (1024 * KB)
#define GB (1024 * MB)

static void add_net(struct policy_nets *l, struct policy_net net)
{
	l->v = mem_realloc(l->v, (l->n + 1) * sizeof(*l->v));
	l->v[l->n++] = net;
}

static void add_ports(struct policy_ports *l, uint16_t from, uint16_t to)
{
	l->v = mem_realloc(l->v, (l->n + 1) * sizeof(*l->v));
	l->v[l->n].from = from;
	l->v[l->n++].to = to;
}

static void default_access(struct policy_access *a)
{
	add_net(&a->clients, (struct policy_net){{[10] = 0xff, [11] = 0xff, [12] = 127}, 96 + 8}); /* 127.0.0.0/8 */
	add_net(&a->clients, (struct policy_net){{[15] = 1}, 128});                                /* ::1 */
	add_ports(&a->safe_ports, 80, 80);
	add_ports(&a->safe_ports, 443, 443);
	add_ports(&a->safe_ports, 1025, 65535);
	add_ports(&a->connect_ports, 443, 443);
	a->deny_loopback = a->deny_link_local = a->deny_unspecified = a->deny_multicast = true;
}

struct policy *policy_new(void)
{
	struct policy *p = NEW(struct policy);

	p->magic = POLICY_MAGIC;
	p->refs = 1;
	p->node = span_dup(SPAN("edge"));
	default_access(&p->access);
	p->upstream.connect_timeout = 10 * DUR_SECOND;
	p->upstream.tls_timeout = 15 * DUR_SECOND;
	p->upstream.first_byte_timeout = 60 * DUR_SECOND;
	p->upstream.read_timeout = 60 * DUR_SECOND;
	p->cache.memory_size = 1 * GB;
	p->cache.memory_max_object = 4 * MB;
	p->cache.disk_size = 10 * GB;
	p->cache.disk_min_free_percent = 5;
	p->cache.disk_scrub_interval = 7 * DUR_DAY;
	p->cache.disk_scrub_rate = 8 * MB;
	p->cache.max_object = 10 * GB;
	p->cache.read_ahead = 1 * MB;
	p->cache.quick_abort_min = 16 * KB;
	p->cache.quick_abort_max = 16 * KB;
	p->cache.quick_abort_percent = 95;
	p->cache.stale_patience = 5 * DUR_SECOND;
	p->cache.recall = POLICY_RECALL_WARN;
	p->cache.recall_after = 7 * DUR_DAY;
	p->limits.request_header = 64 * KB;
	p->limits.connections = 20000;
	p->limits.header_timeout = 60 * DUR_SECOND;
	p->limits.idle_timeout = 120 * DUR_SECOND;
	p->limits.stall_timeout = 60 * DUR_SECOND;
	p->log.queries = 100;
	p->cluster.trust = POLICY_TRUST_ANY;
	p->cluster.learn = p->cluster.tunnels = true;
	p->cluster.direct_limit = 8;
	return p;
}

struct policy *policy_ref(struct policy *p)
{
	CHECK(p, POLICY_MAGIC);
	__atomic_add_fetch(&p->refs, 1, __ATOMIC_RELAXED);
	return p;
}

void policy_nets_fini(struct policy_nets *l)
{
	free(l->v);
	*l = (struct policy_nets){0};
}

void policy_ports_fini(struct policy_ports *l)
{
	free(l->v);
	*l = (struct policy_ports){0};
}

void policy_hosts_fini(struct policy_hosts *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
	*l = (struct policy_hosts){0};
}

void policy_classes_fini(struct policy_class_rule **v, size_t *n)
{
	for (size_t i = 0; i < *n; i++) {
		free((*v)[i].host);
		free((*v)[i].path);
	}
	free(*v);
	*v = NULL;
	*n = 0;
}

void policy_nodes_fini(struct policy_nodes *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].name);
		free(l->v[i].host);
	}
	free(l->v);
	*l = (struct policy_nodes){0};
}

void policy_secrets_fini(struct policy_secrets *l)
{
	for (size_t i = 0; i < l->n; i++) {
		explicit_bzero(l->v[i].b, sizeof(l->v[i].b));
		free(l->v[i].path);
	}
	free(l->v);
	*l = (struct policy_secrets){0};
}

static void upstream_fini(struct policy_upstream *u)
{
	free(u->ca_file);
	free(u->hosts_file);
	free(u->proxy_host);
	free(u->proxy_credentials_file);
	if (u->proxy_credentials)
		explicit_bzero(u->proxy_credentials, strlen(u->proxy_credentials));
	free(u->proxy_credentials);
	policy_hosts_fini(&u->no_proxy);
}

static void cluster_fini(struct policy_cluster *c)
{
	policy_secrets_fini(&c->peer_keys);
	policy_nodes_fini(&c->siblings);
	policy_nodes_fini(&c->parents);
	free(c->discover);
}

static void access_fini(struct policy_access *a)
{
	policy_nets_fini(&a->clients);
	policy_hosts_fini(&a->hosts);
	policy_ports_fini(&a->safe_ports);
	policy_ports_fini(&a->connect_ports);
	policy_nets_fini(&a->deny_to);
	policy_nets_fini(&a->purge);
}

void policy_unref(struct policy **p)
{
	struct policy *dead = *p;

	if (!dead)
		return;
	*p = NULL;
	CHECK(dead, POLICY_MAGIC);
	/* Acquire and release: whoever frees sees all that the others did with it before they let go. */
	if (__atomic_sub_fetch(&dead->refs, 1, __ATOMIC_ACQ_REL))
		return;
	access_fini(&dead->access);
	policy_hosts_fini(&dead->bump.only);
	policy_hosts_fini(&dead->bump.splice);
	upstream_fini(&dead->upstream);
	policy_classes_fini(&dead->cache.classes, &dead->cache.n_classes);
	cluster_fini(&dead->cluster);
	free(dead->node);
	dead->magic = 0;
	free(dead);
}
