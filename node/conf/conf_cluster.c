/* Settings of the cluster: other nodes, secrets; and what follows from them. */
#include "node/conf/conf_internal.h"

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/tls/nodecert.h"

#define STANDARD_PORT "[\"0.0.0.0:8083\"]"
#define MOST_NODES 4096

/* ---- siblings and parents ---- */

enum { NODE_NAME, NODE_ADDRESS, NODE_ROLE, NODE_WEIGHT, NODE_VIP, N_NODE_KEYS };

static const char *const node_keys[N_NODE_KEYS] = {"name", "address", "role", "weight", "vip"};

struct nodes_kind {
	bool allowed[N_NODE_KEYS];
	const char *can_be; /* in words */
	const char *example;
	bool parents;
};

static const struct nodes_kind siblings_kind = {
	{true, true, true, false, false}, "name, address or role", "{name: edge2, address: \"10.0.0.2:8083\"}", false};
static const struct nodes_kind parents_kind = {{true, true, false, true, true},
					       "name, address, weight or vip",
					       "{name: parent1, address: \"10.0.0.9:8083\"}",
					       true};

static int node_name(const struct conf_row *row, const struct conf_yaml *y, struct policy_node *node,
		     struct conf_errors *e)
{
	const char *text = conf__clean_text(row, y, false, e);

	if (!text)
		return -1;
	if (!nodecert_name_is_good(span_str(text))) {
		conf__say(e, y->line, row->key, "\"" CONF_SHOWN "\" is not " CONF_NODE_NAME, text);
		return -1;
	}
	node->name = span_dup(span_str(text));
	return 0;
}

static int node_address(const struct conf_row *row, const struct conf_yaml *y, struct policy_node *node,
			struct conf_errors *e)
{
	const char *text = conf__clean_text(row, y, false, e);

	if (!text)
		return -1;
	if (conf__host_port(span_str(text), &node->host, &node->port) < 0) {
		conf__say(e, y->line, row->key,
			  "\"" CONF_SHOWN
			  "\" is not HOST:PORT, such as 10.0.0.2:8083, edge2.example:8083 or [::1]:8083",
			  text);
		return -1;
	}
	return 0;
}

static int node_value(const struct conf_row *row, const struct conf_yaml *y, int which, struct policy_node *node,
		      struct conf_errors *e)
{
	struct conf_row weight = {.key = row->key, .width = sizeof(node->weight), .min = 1, .max = 1000};
	struct conf_row vip = {.key = row->key, .width = sizeof(node->vip)};
	unsigned role;

	switch (which) {
	case NODE_NAME:
		return node_name(row, y, node, e);
	case NODE_ADDRESS:
		return node_address(row, y, node, e);
	case NODE_ROLE:
		if (conf__parse_word(row, y, "edge|parent", &role, e) < 0)
			return -1;
		node->parent = role == CONF_ROLE_PARENT;
		return 0;
	case NODE_WEIGHT:
		return conf__percent.parse(&weight, y, &node->weight, e);
	default:
		return conf__bool.parse(&vip, y, &node->vip, e);
	}
}

static int node_key(const struct nodes_kind *kind, const char *key)
{
	for (int i = 0; i < N_NODE_KEYS; i++)
		if (kind->allowed[i] && strcmp(key, node_keys[i]) == 0)
			return i;
	return -1;
}

/* Fills the node, which the caller frees also when it is wrong. */
static int parse_node(const struct conf_row *row, const struct nodes_kind *kind, const struct conf_yaml *y,
		      struct policy_node *node, struct conf_errors *e)
{
	bool seen[N_NODE_KEYS] = {false};
	unsigned before = e->count;

	if (y->kind != CONF_YAML_MAP) {
		conf__say(e, y->line, row->key, "each node is a map such as %s", kind->example);
		return -1;
	}
	for (const struct conf_yaml *v = y->first; v && e->count < CONF_MAX_ERRORS; v = v->next) {
		int which = node_key(kind, v->key);

		if (which < 0) {
			conf__say(e, v->key_line, row->key, "unknown key \"" CONF_SHOWN "\" of a node; it can be %s",
				  v->key, kind->can_be);
		} else if (seen[which]) {
			conf__say(e, v->key_line, row->key, "%s is given twice for one node", v->key);
		} else {
			seen[which] = true;
			node_value(row, v, which, node, e);
		}
	}
	if (e->count == before && (!seen[NODE_NAME] || !seen[NODE_ADDRESS]))
		conf__say(e, y->line, row->key, "a node needs a name and an address, such as %s", kind->example);
	return e->count == before && node->name && node->host ? 0 : -1;
}

static bool is_among(const struct policy_nodes *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->v[i].name, name) == 0)
			return true;
	return false;
}

static int add_node(const struct conf_row *row, const struct nodes_kind *kind, const struct conf_yaml *y,
		    struct policy_nodes *l, struct conf_errors *e)
{
	struct policy_node node = {.parent = kind->parents, .weight = 100};
	int rc = parse_node(row, kind, y, &node, e);

	if (rc == 0 && is_among(l, node.name)) {
		conf__say(e, y->line, row->key, "%s is listed twice", node.name);
		rc = -1;
	}
	if (rc == 0 && l->n == MOST_NODES) {
		conf__say(e, y->line, row->key, "more than %d nodes", MOST_NODES);
		rc = -1;
	}
	if (rc < 0) {
		free(node.name);
		free(node.host);
		return -1;
	}
	l->v = mem_realloc(l->v, (l->n + 1) * sizeof(*l->v));
	l->v[l->n++] = node;
	return 0;
}

static int parse_nodes(const struct conf_row *row, const struct nodes_kind *kind, const struct conf_yaml *y,
		       struct policy_nodes *nodes, struct conf_errors *e)
{
	struct policy_nodes got = {0};
	int rc = 0;

	if (y->kind != CONF_YAML_LIST) {
		conf__say(e, y->line, row->key, "a list of nodes is expected, such as [%s]", kind->example);
		return -1;
	}
	for (const struct conf_yaml *el = y->first; el && e->count < CONF_MAX_ERRORS; el = el->next)
		if (add_node(row, kind, el, &got, e) < 0)
			rc = -1;
	policy_nodes_fini(rc < 0 ? &got : nodes);
	if (rc == 0)
		*nodes = got;
	return rc;
}

static int parse_siblings(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	return parse_nodes(row, &siblings_kind, y, field, e);
}

static int parse_parents(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	return parse_nodes(row, &parents_kind, y, field, e);
}

static void print_node(const struct nodes_kind *kind, const struct policy_node *node, FILE *out)
{
	fprintf(out, "{name: \"%s\", address: \"", node->name);
	conf__print_host_port(node->host, node->port, out);
	putc('"', out);
	if (node->parent && !kind->parents)
		fputs(", role: parent", out);
	if (kind->parents && node->weight != 100)
		fprintf(out, ", weight: %u%%", node->weight);
	if (kind->parents && node->vip)
		fputs(", vip: on", out);
	putc('}', out);
}

static void print_nodes(const struct nodes_kind *kind, const struct policy_nodes *l, FILE *out)
{
	putc('[', out);
	for (size_t i = 0; i < l->n; i++) {
		conf__separate(i, out);
		print_node(kind, &l->v[i], out);
	}
	putc(']', out);
}

static void format_siblings(const struct conf_row *row, const void *field, FILE *out)
{
	(void)row;
	print_nodes(&siblings_kind, field, out);
}

static void format_parents(const struct conf_row *row, const void *field, FILE *out)
{
	(void)row;
	print_nodes(&parents_kind, field, out);
}

/* ---- secrets ---- */

static int secret_id(const struct conf_row *row, const struct conf_yaml *y, const struct policy_secrets *l, uint8_t *id,
		     struct conf_errors *e)
{
	uint64_t v;

	if (span_to_u64(span_str(y->key), &v) < 0 || v < 1 || v > 127) {
		conf__say(e, y->key_line, row->key, "\"" CONF_SHOWN "\" is not the id of a key, a number from 1 to 127",
			  y->key);
		return -1;
	}
	for (size_t i = 0; i < l->n; i++) {
		if (l->v[i].id == v) {
			conf__say(e, y->key_line, row->key, "the id %llu is given twice", (unsigned long long)v);
			return -1;
		}
	}
	*id = (uint8_t)v;
	return 0;
}

/* The path; NULL: told. The value is not shown: it may be the secret itself. */
static const char *secret_file(const struct conf_row *row, const struct conf_yaml *y, struct conf_errors *e)
{
	const char *text = conf__clean_text(row, y, false, e);

	if (!text)
		return NULL;
	if (strncmp(text, "file:", 5) != 0 || !text[5]) {
		conf__say(e, y->line, row->key, "a secret does not stand here, but in a file: write %s: \"file:PATH\"",
			  y->key);
		return NULL;
	}
	return text + 5;
}

static int add_secret(const struct conf_row *row, const struct conf_yaml *y, struct policy_secrets *l,
		      struct conf_errors *e)
{
	const char *path;
	uint8_t id;

	if (secret_id(row, y, l, &id, e) < 0 || !(path = secret_file(row, y, e)))
		return -1;
	if (l->n == POLICY_MOST_SECRETS) {
		conf__say(e, y->key_line, row->key, "more than %d keys", POLICY_MOST_SECRETS);
		return -1;
	}
	l->v = mem_realloc(l->v, (l->n + 1) * sizeof(*l->v));
	l->v[l->n++] = (struct policy_secret){.id = id, .path = span_dup(span_str(path))};
	return 0;
}

static int parse_secrets(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	struct policy_secrets got = {0}, *secrets = field;
	int rc = 0;

	if (y->kind != CONF_YAML_MAP) {
		conf__say(e, y->line, row->key, "a map of ids and files is expected, such as {1: \"file:peer-1.key\"}");
		return -1;
	}
	for (const struct conf_yaml *v = y->first; v && e->count < CONF_MAX_ERRORS; v = v->next)
		if (add_secret(row, v, &got, e) < 0)
			rc = -1;
	policy_secrets_fini(rc < 0 ? &got : secrets);
	if (rc == 0)
		*secrets = got;
	return rc;
}

static void format_secrets(const struct conf_row *row, const void *field, FILE *out)
{
	const struct policy_secrets *l = field;

	(void)row;
	putc('{', out);
	for (size_t i = 0; i < l->n; i++) {
		char *text;
		size_t cap = strlen(l->v[i].path) + 6;

		conf__separate(i, out);
		text = mem_alloc(cap);
		snprintf(text, cap, "file:%s", l->v[i].path);
		fprintf(out, "%u: ", l->v[i].id);
		conf__format_text(text, out);
		free(text);
	}
	putc('}', out);
}

static char **secret_path_at(void *field, size_t i)
{
	struct policy_secrets *l = field;

	return i < l->n ? &l->v[i].path : NULL;
}

const struct conf_type conf__siblings = {
	.name = "siblings",
	.explain = "a list of `{name: edge2, address: \"HOST:PORT\"}`; a parent among them has `role: parent`",
	.parse = parse_siblings,
	.format = format_siblings,
};
const struct conf_type conf__parents = {
	.name = "parents",
	.explain =
		"a list of `{name: parent1, address: \"HOST:PORT\"}`; also `weight: 200%` (1% to 1000%; twice as many keys as "
		"with 100%) and `vip: on` (the address stands for several parents)",
	.parse = parse_parents,
	.format = format_parents,
};
const struct conf_type conf__secrets = {
	.name = "secrets",
	.explain =
		"a map of ids from 1 to 127 and files, `{1: \"file:peer-1.key\"}`, each with 32 bytes (as 64 hex digits, as "
		"base64, or raw) that only its owner can read; a relative path starts at `state`",
	.parse = parse_secrets,
	.format = format_secrets,
	.base = CONF_BASE_STATE,
	.path_at = secret_path_at,
};

/* ---- what follows when nothing is said ---- */

static const struct conf_seen *seen_of(const struct conf_seen seen[], const char *key)
{
	return &seen[conf__find(key) - conf__rows];
}

static void set_port(struct conf *c)
{
	const struct conf_row *row = conf__find("listen.cluster");
	struct conf_yaml_error err;
	struct conf_yaml *y = conf_yaml_parse(SPAN(STANDARD_PORT), &err);
	struct conf_errors none = {0};

	CHECK_THAT(y && row->type->parse(row, y, conf__field(c, row), &none) == 0);
	conf_yaml_free(y);
}

/* Takes the node of this name out; false when it is not there. */
static bool leave_out(struct policy_nodes *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++) {
		if (strcmp(l->v[i].name, name) != 0)
			continue;
		free(l->v[i].name);
		free(l->v[i].host);
		memmove(&l->v[i], &l->v[i + 1], (l->n - i - 1) * sizeof(*l->v));
		l->n--;
		return true;
	}
	return false;
}

/* The same two lists may stand in the files of all nodes. A parent that finds itself among the parents is on one tier with the
 * others: they are its fellows, and not the ones it asks, or two parents would send each other the same request. */
static void place_self(struct conf *c)
{
	struct policy_cluster *p = &c->policy->cluster;

	leave_out(&p->siblings, c->policy->node);
	if (c->role != CONF_ROLE_PARENT || !leave_out(&p->parents, c->policy->node))
		return;
	for (size_t i = 0; i < p->parents.n; i++)
		leave_out(&p->siblings, p->parents.v[i].name);
	if (p->parents.n) {
		p->siblings.v = mem_realloc(p->siblings.v, (p->siblings.n + p->parents.n) * sizeof(*p->siblings.v));
		memcpy(&p->siblings.v[p->siblings.n], p->parents.v, p->parents.n * sizeof(*p->parents.v));
		p->siblings.n += p->parents.n;
	}
	free(p->parents.v);
	p->parents = (struct policy_nodes){0};
}

void conf__compute_cluster(struct conf *c, const struct conf_seen seen[])
{
	struct policy_cluster *p = &c->policy->cluster;

	if (!c->cluster.name)
		return;
	if (!seen_of(seen, "listen.cluster")->line)
		set_port(c);
	place_self(c);
	if (!seen_of(seen, "cluster.trust")->line && (p->parents.n || c->role == CONF_ROLE_PARENT))
		p->trust = POLICY_TRUST_ATTESTED;
	if (!p->active_key && p->peer_keys.n == 1)
		p->active_key = p->peer_keys.v[0].id;
}
