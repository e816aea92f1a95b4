/* nodecert: certificates of nodes: who may speak in a cluster, and as what.
 *
 * The cluster CA is apart from the CA that bumps: its key stays with whoever administers the cluster, never on a node. A node's
 * certificate carries one URI in its subjectAltName,
 *
 *     pmcache://CLUSTER/ROLE/NODE        ROLE: edge, parent, admin
 *
 * and is good for both sides of TLS. Names are 1 to 48 of [A-Za-z0-9._-], beginning with a letter or digit. */
#ifndef NODE_TLS_NODECERT_H
#define NODE_TLS_NODECERT_H

#include "node/base/clock.h"
#include "node/base/span.h"

struct x509_st;

enum node_role { NODE_EDGE, NODE_PARENT, NODE_ADMIN };

#define NODECERT_NAME_BYTES 48

struct node_name {
	char cluster[NODECERT_NAME_BYTES + 1];
	enum node_role role;
	char node[NODECERT_NAME_BYTES + 1];
};

bool nodecert_name_is_good(struct span);
const char *nodecert_role_word(enum node_role); /* "edge" */
/* -1: no role. */
int nodecert_role(struct span word, enum node_role *);

/* "pmcache://…", and nothing before or behind it: 0, or -1 when it is anything else. */
int nodecert_parse_uri(struct span, struct node_name *out);
/* What the certificate says of its owner; -1 when it names no node, or several, or has any other URI besides. Does not check who signed
 * it. */
int nodecert_read(const struct x509_st *, struct node_name *out);

#define NODECERT_WHY_BYTES 512

#define NODECERT_DAYS_MAX 36500

/* A new CA: P-256, path length 0, for `days`, from a day ago (for nodes whose clocks are slow); both files are made (0600 the key),
 * neither may be there. 0 or -1 with a sentence in why. Blocks on the disk, as do the next ones. */
int nodecert_make_ca(const char *cluster, const char *cert_path, const char *key_path, int days, wall_ms now, char *why,
		     size_t why_bytes);
/* A certificate for a node with a fresh key, signed by that CA (the first certificate of its file), from a day ago, at most as long as
 * the CA's own life. Existing files are replaced only with `renew`. */
int nodecert_issue(const char *ca_cert_path, const char *ca_key_path, const struct node_name *, int days, wall_ms now,
		   const char *cert_path, const char *key_path, bool renew, char *why, size_t why_bytes);
/* Who a certificate file is for, and until when; -1 with a sentence. */
int nodecert_describe(const char *cert_path, struct node_name *, wall_ms *not_after, char *why, size_t why_bytes);

#endif
