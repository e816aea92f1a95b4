#include "node/cluster/members.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/link/nodecall.h"

#define LEARN_MS (5 * DUR_SECOND)
#define RESOLVE_MS (60 * DUR_SECOND)
#define SAVE_MS (10 * DUR_SECOND) /* of a parent's own list */
#define LOOK_MS DUR_SECOND        /* who has come to it */
#define MOST PEER_MOST_MEMBERS

/* One that the configuration names, or DNS: its host has to be resolved. */
struct named {
	struct members *all;
	char name[PEERMSG_NAME_BYTES + 1];
	char host[PARENT_HOST_BYTES + 1];
	uint16_t port;
	enum peer_role role;
	unsigned weight;
	bool vip;
	bool beside;      /* a parent that this one does not go through: another of its tier */
	struct addr addr; /* len 0: not resolved yet */
	struct dns_lookup *lookup;
};

struct named_list {
	struct named *v;
	size_t n;
};

struct members {
	unsigned magic;
	struct members_settings s;
	char *path;
	struct policy *policy;
	struct nodetls *tls;
	struct named_list configured, discovered;
	struct child *learned, *came; /* from parents above; of a parent: who has come to it */
	size_t n_learned, n_came;
	char *came_text;
	size_t came_text_n;
	char *text; /* as it was learned, to see whether it has changed */
	size_t text_n;
	unsigned turn; /* which parent is asked next */
	struct nodecall *call;
	struct dns_srv_lookup *srv;
	struct timer learn, resolve, save, look;
	bool told; /* that the parents do not answer */
};

#define MEMBERS_MAGIC 0x3e3be45a

/* ---- putting it together ---- */

static bool is_in(const struct peer_member *v, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(v[i].name, name) == 0)
			return true;
	return false;
}

static void add(struct members *m, struct peer_member *v, size_t *n, const char *name, enum peer_role role,
		const struct addr *addr)
{
	struct peer_member *p = &v[*n];

	if (*n == MOST || is_in(v, *n, name) || strcmp(name, m->s.node) == 0)
		return;
	memset(p, 0, sizeof(*p));
	snprintf(p->name, sizeof(p->name), "%s", name);
	p->role = role;
	p->addr = *addr;
	(*n)++;
}

static enum peer_role role_of(enum node_role role)
{
	return role == NODE_PARENT ? PEER_PARENT : PEER_EDGE;
}

static enum peer_role tier_of(const struct named *k)
{
	return k->beside ? PEER_PARENT : k->role;
}

/* The first source that names a node decides. */
static void tell_peers(struct members *m)
{
	struct peer_member *v = mem_zalloc(MOST * sizeof(*v));
	size_t n = 0, left_out;

	for (size_t i = 0; i < m->configured.n; i++)
		add(m, v, &n, m->configured.v[i].name, tier_of(&m->configured.v[i]), &m->configured.v[i].addr);
	for (size_t i = 0; i < m->n_came; i++)
		add(m, v, &n, m->came[i].name, role_of(m->came[i].role), &m->came[i].addr);
	for (size_t i = 0; i < m->n_learned; i++)
		add(m, v, &n, m->learned[i].name, role_of(m->learned[i].role), &m->learned[i].addr);
	for (size_t i = 0; i < m->discovered.n; i++)
		add(m, v, &n, m->discovered.v[i].name, m->discovered.v[i].role, &m->discovered.v[i].addr);
	left_out = peer_set_members(peer_desk_set(m->s.desk), v, n, loop_now(m->s.loop));
	if (left_out)
		log_line(m->s.log, LOG_ERROR, "cluster", "%zu members have names whose ids are taken: rename them",
			 left_out);
	peer_desk_stir(m->s.desk);
	free(v);
}

static void put_parent(struct parent_member *v, size_t *n, const char *name, const char *host, uint16_t port,
		       unsigned weight, bool vip, const char *self)
{
	struct parent_member *p = &v[*n];

	if (*n == PARENT_MOST || strcmp(name, self) == 0)
		return;
	for (size_t i = 0; i < *n; i++)
		if (strcmp(v[i].name, name) == 0)
			return;
	memset(p, 0, sizeof(*p));
	snprintf(p->name, sizeof(p->name), "%s", name);
	snprintf(p->host, sizeof(p->host), "%s", host);
	p->port = port;
	p->weight = weight;
	p->vip = vip;
	(*n)++;
}

static void tell_parents(struct members *m)
{
	struct parent_member *v = mem_zalloc(PARENT_MOST * sizeof(*v));
	char host[ADDR_TEXT_BYTES];
	size_t n = 0;

	for (size_t i = 0; i < m->configured.n; i++) {
		const struct named *k = &m->configured.v[i];

		if (k->role == PEER_PARENT)
			put_parent(v, &n, k->name, k->host, k->port, k->weight, k->vip, m->s.node);
	}
	/* A parent does not go through others because they exist; it does when it is configured to. */
	for (size_t i = 0; i < m->n_learned && !m->s.children; i++)
		if (m->learned[i].role == NODE_PARENT)
			put_parent(v, &n, m->learned[i].name, addr_format_ip(&m->learned[i].addr, host),
				   addr_port(&m->learned[i].addr), 100, false, m->s.node);
	parent_set_members(m->s.parents, v, n);
	free(v);
}

/* By the configuration alone: whom a parent asks for what is not its own must not be for others to say. */
static void tell_fellows(struct members *m)
{
	struct parent_member *v = mem_zalloc(PARENT_MOST * sizeof(*v));
	size_t n = 0;

	for (size_t i = 0; i < m->configured.n && m->s.children; i++) {
		const struct named *k = &m->configured.v[i];

		if (k->beside)
			put_parent(v, &n, k->name, k->host, k->port, k->weight, false, m->s.node);
	}
	parent_set_members(m->s.fellows, v, n);
	free(v);
}

static void tell_children(struct members *m)
{
	struct child *v;
	size_t n = 0;

	if (!m->s.children)
		return;
	v = mem_zalloc((m->configured.n + 1) * sizeof(*v));
	for (size_t i = 0; i < m->configured.n; i++) {
		const struct named *k = &m->configured.v[i];

		/* Those above are not named to those below, who would go there past this one. */
		if (!k->addr.len || k->role == PEER_PARENT || strcmp(k->name, m->s.node) == 0)
			continue;
		snprintf(v[n].name, sizeof(v[n].name), "%.*s", NODECERT_NAME_BYTES, k->name);
		v[n].role = tier_of(k) == PEER_PARENT ? NODE_PARENT : NODE_EDGE;
		v[n++].addr = k->addr;
	}
	parent_children_fixed(m->s.children, v, n);
	free(v);
}

static void tell_all(struct members *m)
{
	tell_peers(m);
	tell_parents(m);
	tell_fellows(m);
	tell_children(m);
}

/* ---- names to addresses ---- */

static void on_resolved(void *cookie, const struct addr *v, size_t n, enum reason why)
{
	struct named *k = cookie;
	struct members *m = k->all;
	struct addr was = k->addr;

	k->lookup = NULL;
	if (!n) {
		log_line(m->s.log, LOG_WARNING, "cluster", "%s: %s: %s", k->name, k->host, reason_sentence(why));
		return;
	}
	k->addr = v[0];
	addr_set_port(&k->addr, k->port);
	if (!was.len || !addr_same(&was, &k->addr))
		tell_all(m);
}

static void resolve(struct named_list *list, struct dns *dns)
{
	for (size_t i = 0; i < list->n; i++) {
		struct named *k = &list->v[i];

		if (!k->lookup && addr_parse_ip(span_str(k->host), k->port, &k->addr) < 0)
			k->lookup = dns_start(dns, span_str(k->host), on_resolved, k);
	}
}

static void forget(struct named_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		dns_cancel(&list->v[i].lookup);
	free(list->v);
	*list = (struct named_list){0};
}

static struct named *append(struct members *m, struct named_list *list, struct span name, struct span host,
			    uint16_t port)
{
	struct named *k = &list->v[list->n++];

	*k = (struct named){.all = m, .port = port, .role = PEER_EDGE, .weight = 100};
	snprintf(k->name, sizeof(k->name), "%.*s", SPAN_ARG(span_upto(name, PEERMSG_NAME_BYTES)));
	snprintf(k->host, sizeof(k->host), "%.*s", SPAN_ARG(span_upto(host, PARENT_HOST_BYTES)));
	return k;
}

static void read_configuration(struct members *m)
{
	const struct policy_cluster *c = &m->policy->cluster;

	forget(&m->configured);
	m->configured.v = mem_zalloc((c->siblings.n + c->parents.n + 1) * sizeof(*m->configured.v));
	for (size_t i = 0; i < c->siblings.n; i++) {
		const struct policy_node *p = &c->siblings.v[i];

		struct named *k = append(m, &m->configured, span_str(p->name), span_str(p->host), p->port);

		k->beside = p->parent;
	}
	for (size_t i = 0; i < c->parents.n; i++) {
		const struct policy_node *p = &c->parents.v[i];
		struct named *k = append(m, &m->configured, span_str(p->name), span_str(p->host), p->port);

		k->role = PEER_PARENT;
		k->weight = p->weight;
		k->vip = p->vip;
	}
}

/* ---- DNS SRV (RFC 2782) ---- */

static void on_srv(void *cookie, const struct dns_srv *v, size_t n, enum reason why)
{
	struct members *m = cookie;

	m->srv = NULL;
	if (why) { /* what was known stays */
		log_line(m->s.log, LOG_WARNING, "cluster", "cluster.discover: %s: %s", m->policy->cluster.discover,
			 reason_sentence(why));
		return;
	}
	forget(&m->discovered);
	m->discovered.v = mem_zalloc((n + 1) * sizeof(*m->discovered.v));
	for (size_t i = 0; i < n; i++) {
		struct span target = span_str(v[i].target);
		struct span label = span_upto(target, span_find(target, '.'));

		if (nodecert_name_is_good(label))
			append(m, &m->discovered, label, target, v[i].port);
	}
	resolve(&m->discovered, m->s.dns);
	tell_all(m);
}

static void on_resolve(void *arg)
{
	struct members *m = arg;
	const char *discover = m->policy->cluster.discover;

	resolve(&m->configured, m->s.dns);
	if (discover && !m->srv)
		m->srv = dns_srv_start(m->s.dns, span_str(discover), on_srv, m);
	timer_set_in(&m->resolve, RESOLVE_MS);
}

/* ---- what parents say ---- */

static void take_list(struct span text, struct child **list, size_t *n_list)
{
	struct child *v = mem_zalloc(PARENT_CHILDREN_MOST * sizeof(*v));
	long n = parent_children_parse(text, v, PARENT_CHILDREN_MOST);

	if (n < 0) {
		free(v);
		return;
	}
	free(*list);
	*list = v;
	*n_list = (size_t)n;
}

static void take_text(struct members *m, struct span text)
{
	take_list(text, &m->learned, &m->n_learned);
}

static void load_text(struct members *m)
{
	size_t n;
	char *text = parent_children_read(m->path, &n);

	if (text)
		take_text(m, span_of(text, n));
	free(text);
}

static void on_learned(void *cookie, int status, struct span body, bool more)
{
	struct members *m = cookie;

	(void)more;
	m->call = NULL;
	timer_set_in(&m->learn, LEARN_MS);
	if (status != 200) {
		if (!m->told && status)
			log_line(m->s.log, LOG_WARNING, "cluster", "a parent answered %d for the member list", status);
		else if (!m->told)
			log_line(m->s.log, LOG_WARNING, "cluster", "no member list: %.*s", SPAN_ARG(body));
		m->told = true;
		return;
	}
	m->told = false;
	if (m->text && span_eq(span_of(m->text, m->text_n), body))
		return;
	free(m->text);
	m->text = span_dup(body);
	m->text_n = body.n;
	take_text(m, body);
	parent_children_write(m->path, body); /* one that is lost is learned again */
	tell_all(m);
}

static const struct named *next_parent(struct members *m)
{
	const struct named_list *list = &m->configured;

	for (size_t i = 0; i < list->n; i++) {
		const struct named *k = &list->v[(m->turn + i) % list->n];

		if (k->role != PEER_PARENT || strcmp(k->name, m->s.node) == 0)
			continue;
		m->turn = (unsigned)((m->turn + i + 1) % list->n);
		return k;
	}
	return NULL;
}

static void on_learn(void *arg)
{
	struct members *m = arg;
	const struct named *parent = next_parent(m);
	char own[ADDR_TEXT_BYTES], field[ADDR_TEXT_BYTES + 32];
	struct nodecall_ask ask = {.path = SPAN("/.pmc/v1/members"), .parent = true};

	if (!m->policy->cluster.learn || !parent) {
		timer_set_in(&m->learn, LEARN_MS);
		return;
	}
	snprintf(field, sizeof(field), "Pmc-Address: %s\r\n", addr_format(&m->s.own, own));
	ask.fields = span_str(field);
	ask.node = span_str(parent->name);
	ask.host = span_str(parent->host);
	ask.port = parent->port;
	m->call = nodecall_start(m->s.loop, m->s.dns, m->s.pool, m->tls, &ask, on_learned, m);
}

/* Who comes to a parent is a member for it, too: else it would not hear its datagrams, nor be told of purges. */
static void look_who_came(struct members *m)
{
	char *text = mem_alloc(PARENT_CHILDREN_BYTES);
	struct buf b = buf_over(text, PARENT_CHILDREN_BYTES);

	parent_children_format(m->s.children, &b, loop_wall(m->s.loop));
	if (!m->came_text || !span_eq(span_of(m->came_text, m->came_text_n), buf_span(&b))) {
		free(m->came_text);
		m->came_text = span_dup(buf_span(&b));
		m->came_text_n = b.n;
		take_list(buf_span(&b), &m->came, &m->n_came);
		tell_peers(m);
	}
	free(text);
}

static void on_look(void *arg)
{
	struct members *m = arg;

	if (!m->s.children)
		return;
	if (m->policy->cluster.learn)
		look_who_came(m);
	timer_set_in(&m->look, LOOK_MS);
}

static void on_save(void *arg)
{
	struct members *m = arg;

	if (m->s.children)
		parent_children_save(m->s.children, loop_wall(m->s.loop));
	timer_set_in(&m->save, SAVE_MS);
}

/* ---- life ---- */

static void begin(struct members *m)
{
	read_configuration(m);
	on_resolve(m);
	if (!m->call)
		timer_set_in(&m->learn, 1);
	tell_all(m);
}

struct members *members_new(const struct members_settings *s)
{
	struct members *m = NEW(struct members);

	m->magic = MEMBERS_MAGIC;
	m->s = *s;
	m->path = span_dup(span_str(s->path));
	m->s.path = NULL;
	m->policy = policy_ref(s->policy);
	m->tls = nodetls_ref(s->tls);
	timer_init(&m->learn, s->loop, on_learn, m);
	timer_init(&m->resolve, s->loop, on_resolve, m);
	timer_init(&m->save, s->loop, on_save, m);
	timer_init(&m->look, s->loop, on_look, m);
	if (m->policy->cluster.learn)
		load_text(m);
	begin(m);
	on_save(m);
	on_look(m);
	return m;
}

void members_set(struct members *m, struct policy *policy, struct nodetls *tls)
{
	CHECK(m, MEMBERS_MAGIC);
	policy_unref(&m->policy);
	m->policy = policy_ref(policy);
	nodetls_unref(&m->tls);
	m->tls = nodetls_ref(tls);
	begin(m);
}

void members_free(struct members *m)
{
	if (!m)
		return;
	CHECK(m, MEMBERS_MAGIC);
	if (m->s.children)
		parent_children_save(m->s.children, loop_wall(m->s.loop));
	nodecall_cancel(&m->call);
	dns_srv_cancel(&m->srv);
	timer_fini(&m->learn);
	timer_fini(&m->resolve);
	timer_fini(&m->save);
	timer_fini(&m->look);
	forget(&m->configured);
	forget(&m->discovered);
	free(m->path);
	free(m->learned);
	free(m->text);
	free(m->came);
	free(m->came_text);
	policy_unref(&m->policy);
	nodetls_unref(&m->tls);
	m->magic = 0;
	free(m);
}
