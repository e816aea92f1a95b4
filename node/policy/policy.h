/* policy: the rules that one reading of the configuration gave, as plain data.
 *
 * A policy is made whole by conf/ at start and at each SIGHUP, never changed afterwards, and shared by all loops: a request
 * binds the one that is in force when it begins and keeps it to its end. What cannot change while the process lives (ports,
 * loops, folders) is not here but in conf.h. Match functions are in access.h and bumprule.h. */
#ifndef NODE_POLICY_POLICY_H
#define NODE_POLICY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/base/clock.h"
#include "node/base/span.h"

/* An address range; IPv4 is kept as IPv4-mapped IPv6, so that one comparison serves both. */
struct policy_net {
	uint8_t addr[16];
	unsigned bits; /* 0 to 128 */
};

struct policy_nets {
	struct policy_net *v;
	size_t n;
};

/* "443" is {443, 443}. */
struct policy_ports {
	struct {
		uint16_t from, to;
	} * v;
	size_t n;
};

/* Host patterns: "host.example" itself, "*.host.example" any name below it (one or more labels), "*" every host. Lower
 * case, no trailing dot; an address stands without brackets, as inet_ntop writes it. */
struct policy_hosts {
	char **v;
	size_t n;
};

enum policy_certificate { POLICY_CERT_SNI, POLICY_CERT_ORIGIN };
enum policy_authorized { POLICY_AUTH_CREDENTIAL, POLICY_AUTH_RFC };
enum policy_evict { POLICY_EVICT_GDSF, POLICY_EVICT_LRU, POLICY_EVICT_LFUDA, POLICY_EVICT_SIEVE };
enum policy_recall { POLICY_RECALL_KEEP, POLICY_RECALL_WARN, POLICY_RECALL_QUARANTINE };
enum policy_class { POLICY_CLASS_IMMUTABLE, POLICY_CLASS_MUTABLE, POLICY_CLASS_PASS };

/* One line of cache.classes, matched before the built-in ones: a glob ('*' any run of characters, '?' one) over the host
 * (empty: any) and the path. */
struct policy_class_rule {
	char *host, *path;
	enum policy_class class;
	dur_ms ttl; /* mutable: the default lifetime; 0 = as built in */
};

struct policy_access {
	struct policy_nets clients;
	struct policy_hosts hosts; /* empty: any origin */
	struct policy_ports safe_ports, connect_ports;
	bool deny_loopback, deny_link_local, deny_unspecified, deny_multicast, deny_private;
	struct policy_nets deny_to; /* ranges given as numbers */
	struct policy_nets purge;
};

struct policy_bump {
	enum policy_certificate certificate;
	struct policy_hosts only; /* empty: all */
	struct policy_hosts splice;
	bool refuse_others; /* what `only` leaves out: false = tunnelled, true = refused */
};

struct policy_upstream {
	char *ca_file;    /* NULL: the system's roots alone; else a PEM file besides them */
	char *hosts_file; /* NULL: none */
	char *proxy_host; /* NULL: none */
	uint16_t proxy_port;
	char *proxy_credentials_file;
	char *proxy_credentials; /* "user:password", read from that file, wiped when freed; NULL: none */
	struct policy_hosts no_proxy;
	dur_ms connect_timeout, tls_timeout, first_byte_timeout, read_timeout;
};

struct policy_cache {
	uint64_t memory_size, memory_max_object, max_object, read_ahead;
	uint64_t disk_size;
	unsigned disk_min_free_percent;
	dur_ms disk_scrub_interval; /* 0: none in the background */
	uint64_t disk_scrub_rate;   /* bytes a second; 0: no limit */
	enum policy_evict memory_policy;
	uint64_t quick_abort_min, quick_abort_max; /* bytes */
	unsigned quick_abort_percent;
	enum policy_authorized authorized;
	bool offline;          /* as configured; hostmood.h knows what is in force */
	dur_ms stale_patience; /* who has something stale does not wait longer for the origin */
	enum policy_recall recall;
	dur_ms recall_after; /* immutable: since the origin was asked last */
	struct policy_class_rule *classes;
	size_t n_classes;
};

struct policy_limits {
	size_t request_header;
	uint64_t request_body, reply_body; /* 0: no limit */
	unsigned connections;
	dur_ms header_timeout, idle_timeout, stall_timeout;
};

struct policy_headers {
	bool via, forwarded_for;
};

struct policy_log {
	bool headers, query;
	unsigned queries; /* lines a second about what other nodes ask */
};

struct policy_admin {
	bool show_urls;
};

/* Another node, as configured: "10.0.0.2:8083", "edge2.test:8083". */
struct policy_node {
	char *name, *host; /* the host as in policy_hosts */
	uint16_t port;
	bool parent;     /* its role; among the siblings of a parent are its fellows */
	unsigned weight; /* parents: percent */
	bool vip;        /* parents: an address that stands for several */
};

struct policy_nodes {
	struct policy_node *v;
	size_t n;
};

#define POLICY_SECRET_BYTES 32
#define POLICY_MOST_SECRETS 8

struct policy_secret {
	uint8_t id; /* 1 to 127 */
	char *path;
	uint8_t b[POLICY_SECRET_BYTES]; /* read from path; wiped when freed */
};

struct policy_secrets {
	struct policy_secret *v;
	size_t n;
};

/* Which bodies are taken from siblings, by what is known of them beforehand (docs/cluster.md). */
enum policy_trust { POLICY_TRUST_VERIFIED, POLICY_TRUST_ATTESTED, POLICY_TRUST_ANY };
enum policy_lookup { POLICY_LOOKUP_AUTO, POLICY_LOOKUP_ALL, POLICY_LOOKUP_HOME };
enum policy_parent_failure { POLICY_PARENT_DIRECT, POLICY_PARENT_STALE, POLICY_PARENT_FAIL };

struct policy_cluster {
	struct policy_secrets peer_keys; /* at most POLICY_MOST_SECRETS, each id once */
	unsigned active_key;             /* one of them; 0: there are none */
	enum policy_trust trust;
	enum policy_lookup lookup;
	struct policy_nodes siblings, parents; /* without this node itself */
	char *discover;                        /* DNS SRV name of the members; NULL: none */
	bool learn;                            /* the member list is asked of the parents */
	bool tunnels;                          /* CONNECTs that are passed on blindly go through the parents, too */
	enum policy_parent_failure on_parent_failure;
	unsigned direct_limit; /* when the parents have failed: requests at a time to one origin host */
};

struct policy {
	unsigned magic;
	unsigned refs; /* policy_ref and policy_unref count atomically */
	char *node;    /* name of this node */
	struct policy_access access;
	struct policy_bump bump;
	struct policy_upstream upstream;
	struct policy_cache cache;
	struct policy_limits limits;
	struct policy_headers headers;
	struct policy_log log;
	struct policy_admin admin;
	struct policy_cluster cluster;
};

#define POLICY_MAGIC 0x90a11c1e

/* With the defaults of docs/configuration. Owned by the caller (one reference). */
struct policy *policy_new(void);
struct policy *policy_ref(struct policy *);
/* Clears *p; the last one frees. Any thread. */
void policy_unref(struct policy **p);

/* For conf/, which fills the lists: each frees what the list owns and leaves it empty. */
void policy_nets_fini(struct policy_nets *);
void policy_ports_fini(struct policy_ports *);
void policy_hosts_fini(struct policy_hosts *);
void policy_classes_fini(struct policy_class_rule **, size_t *n);
void policy_nodes_fini(struct policy_nodes *);
void policy_secrets_fini(struct policy_secrets *);

#endif
