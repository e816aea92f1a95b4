/* What one row cannot say about the cluster: who is in it, with which secrets. Reads them. */
#include "node/conf/conf_internal.h"

#include "node/base/hash.h"
#include "node/base/mem.h"
#include "node/tls/nodecert.h"
#include "proto/rendezvous.h"

#define SALT_LEAST 32
#define SALT_MOST 64
#define SECRET_FILE_MAX 80 /* 64 hex digits and a line's end; more shows that it is another file */

static bool is_in_cluster_section(const char *key)
{
	return strncmp(key, "cluster.", 8) == 0;
}

static unsigned first_line_of_section(const struct conf_checker *c)
{
	unsigned line = 0;

	for (size_t i = 0; i < conf__n_rows; i++)
		if (is_in_cluster_section(conf__rows[i].key) && c->seen[i].line && (!line || c->seen[i].line < line))
			line = c->seen[i].line;
	return line;
}

/* `name: ""` says that there is none, and then the rest of the section says nothing: so does what --dump-config writes. */
static void check_without(struct conf_checker *c)
{
	if (conf__is_bad(c, "cluster.name"))
		return;
	if (!conf__line_of(c, "cluster.name") && first_line_of_section(c))
		conf__say(c->errors, first_line_of_section(c), "cluster.name",
			  "must be given: which cluster is meant?");
	else if (c->conf->role == CONF_ROLE_PARENT)
		conf__say(c->errors, conf__line_of(c, "role"), "role",
			  "a parent needs a cluster whose parent it is; cluster.name is missing");
	else if (c->conf->listen.cluster.n)
		conf__say(c->errors, conf__line_of(c, "listen.cluster"), "listen.cluster",
			  "has no meaning without cluster.name");
}

/* ---- who ---- */

static void check_name(struct conf_checker *c)
{
	const char *node = c->conf->policy->node;

	if (!nodecert_name_is_good(span_str(node)) && !conf__is_bad(c, "node"))
		conf__say(c->errors, conf__line_of(c, "node"), "node",
			  "in a cluster it must be " CONF_NODE_NAME "; \"" CONF_SHOWN "\" is not", node);
}

static bool has_port(const struct conf_address *a)
{
	const char *colon = strrchr(a->text, ':');
	uint16_t port;

	return colon && conf__port_of(span_str(colon + 1), &port) == 0 && port != 0;
}

static void check_port(struct conf_checker *c)
{
	const struct conf_addresses *l = &c->conf->listen.cluster;
	unsigned line = conf__line_of(c, "listen.cluster");

	if (conf__is_bad(c, "listen.cluster"))
		return;
	if (l->n != 1)
		conf__say(c->errors, line, "listen.cluster",
			  "a node of a cluster has one address for the others, not %zu", l->n);
	else if (!has_port(&l->v[0]))
		conf__say(c->errors, line, "listen.cluster", "needs a port: TCP and UDP have the same");
}

/* Datagrams name nodes by 32 bits of the hash of their names. */
static void check_ids(struct conf_checker *c, const char *key, const struct policy_nodes *l, const char **names,
		      uint32_t *ids, size_t *n)
{
	for (size_t i = 0; i < l->n; i++) {
		uint32_t id = rendezvous_node_id(span_str(l->v[i].name));

		for (size_t j = 0; j < *n; j++) {
			if (ids[j] != id)
				continue;
			if (strcmp(names[j], l->v[i].name) == 0)
				conf__say(c->errors, conf__line_of(c, key), key, "%s is %s", names[j],
					  j ? "among the siblings, too" : "this node itself, which is no parent");
			else
				conf__say(c->errors, conf__line_of(c, key), key,
					  "%s and %s are the same by their ids; one of them needs another name",
					  names[j], l->v[i].name);
			break;
		}
		names[*n] = l->v[i].name;
		ids[(*n)++] = id;
	}
}

static void check_nodes(struct conf_checker *c)
{
	const struct policy *p = c->conf->policy;
	size_t all = 1 + p->cluster.siblings.n + p->cluster.parents.n, n = 1;
	const char **names = mem_alloc(all * sizeof(*names));
	uint32_t *ids = mem_alloc(all * sizeof(*ids));

	names[0] = p->node;
	ids[0] = rendezvous_node_id(span_str(p->node));
	check_ids(c, "cluster.siblings", &p->cluster.siblings, names, ids, &n);
	check_ids(c, "cluster.parents", &p->cluster.parents, names, ids, &n);
	free(names);
	free(ids);
}

/* ---- keys of datagrams ---- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool decode_hex(struct span s, uint8_t *out)
{
	for (size_t i = 0; i < s.n; i += 2) {
		int high = hex_digit(s.p[i]), low = hex_digit(s.p[i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i / 2] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static struct span without_line_end(struct span s)
{
	if (s.n && s.p[s.n - 1] == '\n')
		s.n--;
	if (s.n && s.p[s.n - 1] == '\r')
		s.n--;
	return s;
}

/* 32 bytes: raw, as 64 hex digits, or as 44 characters of base64. */
static bool decode_secret(struct span s, uint8_t out[POLICY_SECRET_BYTES])
{
	if (s.n == POLICY_SECRET_BYTES) {
		memcpy(out, s.p, s.n);
		return true;
	}
	s = without_line_end(s);
	if (s.n == 2 * POLICY_SECRET_BYTES)
		return decode_hex(s, out);
	return s.n == 44 && base64_decode(s, out, POLICY_SECRET_BYTES) == POLICY_SECRET_BYTES;
}

static void read_key(struct conf_checker *c, const char *key, struct policy_secret *secret)
{
	char bytes[SECRET_FILE_MAX];
	long n = conf__read_secret(c, key, secret->path, bytes, sizeof(bytes));

	if (n >= 0 && !decode_secret(span_of(bytes, (size_t)n), secret->b))
		conf__say(c->errors, conf__line_of(c, key), key,
			  "%s: does not hold 32 bytes as 64 hex digits, as base64, or raw", secret->path);
	explicit_bzero(bytes, sizeof(bytes));
}

/* Two ids for one secret: somebody thinks that he has changed it. */
static void check_twins(struct conf_checker *c, const char *key, const struct policy_secrets *l)
{
	for (size_t i = 0; i < l->n; i++)
		for (size_t j = 0; j < i; j++)
			if (hash_same(l->v[i].b, l->v[j].b, POLICY_SECRET_BYTES))
				conf__say(c->errors, conf__line_of(c, key), key, "%u and %u are the same secret",
					  l->v[j].id, l->v[i].id);
}

static bool has_key(const struct policy_secrets *l, unsigned id)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].id == id)
			return true;
	return false;
}

static void check_active(struct conf_checker *c)
{
	const struct policy_cluster *p = &c->conf->policy->cluster;
	const char *key = "cluster.active_key";

	if (conf__is_bad(c, key))
		return;
	if (!p->active_key && p->peer_keys.n)
		conf__say(c->errors, conf__line_of(c, "cluster.peer_keys"), key,
			  "must be given, since there are several keys: which one seals?");
	else if (p->active_key && !has_key(&p->peer_keys, p->active_key))
		conf__say(c->errors, conf__line_of(c, key), key, "%u is not in cluster.peer_keys", p->active_key);
}

static void check_keys(struct conf_checker *c)
{
	struct policy_cluster *p = &c->conf->policy->cluster;
	const char *key = "cluster.peer_keys";
	unsigned before = c->errors->count;

	if (conf__is_bad(c, key))
		return;
	if (!p->peer_keys.n && (p->siblings.n || p->parents.n || p->discover || c->conf->role == CONF_ROLE_PARENT)) {
		conf__say(c->errors, first_line_of_section(c), key,
			  "must be given: nodes seal with them what they say to each other by datagram");
		return;
	}
	check_active(c);
	if (!c->with_files)
		return;
	for (size_t i = 0; i < p->peer_keys.n; i++)
		read_key(c, key, &p->peer_keys.v[i]);
	if (c->errors->count == before)
		check_twins(c, key, &p->peer_keys);
}

/* ---- files ---- */

static bool is_salt(struct span s)
{
	if (s.n < SALT_LEAST || s.n > SALT_MOST)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= 0x20 || s.p[i] == 0x7f)
			return false;
	return true;
}

static void read_salt(struct conf_checker *c)
{
	const char *key = "cluster.salt", *path = c->conf->cluster.salt_path;
	char bytes[SECRET_FILE_MAX];
	struct span s;
	long n;

	if (!path) {
		conf__say(c->errors, conf__line_of(c, key), key, "must not be empty");
		return;
	}
	n = conf__read_secret(c, key, path, bytes, sizeof(bytes));
	if (n < 0)
		return;
	s = without_line_end(span_of(bytes, (size_t)n));
	if (is_salt(s))
		c->conf->cluster.salt = span_dup(s);
	else
		conf__say(c->errors, conf__line_of(c, key), key, "%s: does not hold one line of %d to %d characters",
			  path, SALT_LEAST, SALT_MOST);
	explicit_bzero(bytes, sizeof(bytes));
}

static void check_secret(struct conf_checker *c, const char *key, const char *path)
{
	char byte;

	conf__read_secret(c, key, path, &byte, 1);
	explicit_bzero(&byte, 1);
}

/* Another node's certificate would be refused by all others, one by one, much later. */
static void check_cert(struct conf_checker *c)
{
	const struct conf *conf = c->conf;
	const char *key = "cluster.cert", *node = conf->policy->node,
		   *role = conf->role == CONF_ROLE_PARENT ? "parent" : "edge";
	char why[NODECERT_WHY_BYTES];
	struct node_name who;
	wall_ms not_after;

	if (!conf__check_readable(c, key, conf->cluster.cert))
		return;
	if (nodecert_describe(conf->cluster.cert, &who, &not_after, why, sizeof(why)) < 0)
		conf__say(c->errors, conf__line_of(c, key), key, "%s", why);
	else if (strcmp(who.cluster, conf->cluster.name) != 0 || strcmp(who.node, node) != 0 ||
		 strcmp(nodecert_role_word(who.role), role) != 0)
		conf__say(c->errors, conf__line_of(c, key), key,
			  "%s is for %s %s of cluster %s, but this is %s %s of %s", conf->cluster.cert,
			  nodecert_role_word(who.role), who.node, who.cluster, role, node, conf->cluster.name);
}

static void check_files(struct conf_checker *c)
{
	const struct conf *conf = c->conf;

	check_cert(c);
	check_secret(c, "cluster.key", conf->cluster.key);
	conf__check_readable(c, "cluster.ca", conf->cluster.ca);
	read_salt(c);
	if (conf->cluster.purge_public)
		conf__check_readable(c, "cluster.purge_public", conf->cluster.purge_public);
	if (conf->cluster.purge_key)
		check_secret(c, "cluster.purge_key", conf->cluster.purge_key);
}

void conf__check_cluster(struct conf_checker *c)
{
	const struct conf *conf = c->conf;

	if (!conf->cluster.name) {
		check_without(c);
		return;
	}
	check_name(c);
	check_port(c);
	check_nodes(c);
	check_keys(c);
	if (conf->cluster.purge_key && !conf->cluster.purge_public && !conf__is_bad(c, "cluster.purge_public"))
		conf__say(c->errors, conf__line_of(c, "cluster.purge_key"), "cluster.purge_key",
			  "has no meaning without cluster.purge_public");
	if (c->with_files)
		check_files(c);
}
