/* nodes: a small throw-away cluster for tests: a CA and certificates for a few nodes, in a folder.
 *
 *     struct nodes c = nodes_make(folder);
 *     struct nodetls *tls = nodes_tls(&c, "edge1");
 *
 * Names: edge1, edge2, edge3, parent1, parent2, admin1; cluster "test". Any failure aborts. */
#ifndef TESTS_UNIT_TLS_NODES_H
#define TESTS_UNIT_TLS_NODES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/tls/nodecert.h"
#include "node/tls/nodetls.h"

#define NODES_CLUSTER "test"

struct nodes {
	char folder[400];
	char ca[512], ca_key[512];
	wall_ms now;
};

struct node_files {
	char cert[512], key[512];
};

static inline void nodes_must(int r, const char *why)
{
	if (r == 0)
		return;
	fprintf(stderr, "%s\n", why);
	abort();
}

/* Where a node's files are: FOLDER/NODE.pem and FOLDER/NODE.key. */
static inline struct node_files nodes_files(const struct nodes *c, const char *node)
{
	struct node_files f;

	snprintf(f.cert, sizeof(f.cert), "%s/%s.pem", c->folder, node);
	snprintf(f.key, sizeof(f.key), "%s/%s.key", c->folder, node);
	return f;
}

/* `file` is what the files are called, so that one folder may hold several of one node. */
static inline struct node_files nodes_issue(const struct nodes *c, const char *file, const char *cluster,
					    enum node_role role, const char *node, int days, wall_ms now)
{
	struct node_files f = nodes_files(c, file);
	struct node_name who = {.role = role};
	char why[NODECERT_WHY_BYTES] = "";

	snprintf(who.cluster, sizeof(who.cluster), "%s", cluster);
	snprintf(who.node, sizeof(who.node), "%s", node);
	nodes_must(nodecert_issue(c->ca, c->ca_key, &who, days, now, f.cert, f.key, true, why, sizeof(why)), why);
	return f;
}

/* A CA alone: FOLDER/NAME.pem and FOLDER/NAME.key. */
static inline struct nodes nodes_make_ca(const char *folder, const char *name, wall_ms now)
{
	struct nodes c = {.now = now};
	char why[NODECERT_WHY_BYTES] = "";

	snprintf(c.folder, sizeof(c.folder), "%s", folder);
	snprintf(c.ca, sizeof(c.ca), "%s/%s.pem", folder, name);
	snprintf(c.ca_key, sizeof(c.ca_key), "%s/%s.key", folder, name);
	nodes_must(nodecert_make_ca(NODES_CLUSTER, c.ca, c.ca_key, 365, now, why, sizeof(why)), why);
	return c;
}

static inline struct nodes nodes_make_at(const char *folder, wall_ms now)
{
	static const struct {
		const char *name;
		enum node_role role;
	} v[] = {{"edge1", NODE_EDGE},     {"edge2", NODE_EDGE},     {"edge3", NODE_EDGE},
		 {"parent1", NODE_PARENT}, {"parent2", NODE_PARENT}, {"admin1", NODE_ADMIN}};
	struct nodes c = nodes_make_ca(folder, "ca", now);

	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++)
		nodes_issue(&c, v[i].name, NODES_CLUSTER, v[i].role, v[i].name, 30, now);
	return c;
}

/* The folder must be there. */
static inline struct nodes nodes_make(const char *folder)
{
	return nodes_make_at(folder, clock_wall(&clock_system));
}

/* What a node with these files has, looked at at this time; one reference for the caller. */
static inline struct nodetls *nodes_tls_at(const struct nodes *c, const char *file, const char *cluster, wall_ms now)
{
	struct node_files f = nodes_files(c, file);
	char why[NODECERT_WHY_BYTES] = "";
	struct nodetls *t = nodetls_new(f.cert, f.key, c->ca, cluster, now, why, sizeof(why));

	nodes_must(t ? 0 : -1, why);
	return t;
}

static inline struct nodetls *nodes_tls(const struct nodes *c, const char *node)
{
	return nodes_tls_at(c, node, NODES_CLUSTER, c->now);
}

#endif
