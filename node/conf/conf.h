/* conf: the configuration file, read whole, checked whole, or refused with every fault named.
 *
 * One table (conf_schema.c) says of each setting its key, type, default, bounds and meaning; reading, --dump-config, the
 * reference text and the "did you mean" all come from it. What cannot change while the process lives is in `struct conf`;
 * what a SIGHUP may change is in its `policy`, and log_level, which the caller applies itself.
 *
 * Relative paths: those of things the node keeps (control, bump.ca.*, log.access.path, all of cluster) start at `state`; those of
 * other files it only reads (upstream.ca_file, hosts_file, proxy_credentials) and `state` itself at the folder of the configuration file.
 * In the struct every path is absolute. Files that the policy needs are looked at while loading: one that is missing is an
 * error with the line that names it.
 *
 * Load, dump and free in any thread; a struct conf is not changed after loading. */
#ifndef NODE_CONF_CONF_H
#define NODE_CONF_CONF_H

#include <stdio.h>
#include <sys/socket.h>

#include "node/base/clock.h"
#include "node/base/log.h"
#include "node/base/span.h"
#include "node/policy/policy.h"
#include "node/record/accesslog.h"

enum conf_role { CONF_ROLE_EDGE, CONF_ROLE_PARENT };

/* "127.0.0.1:8080", "[::1]:8080"; port 0 takes any free one. */
struct conf_address {
	char *text; /* as written */
	struct sockaddr_storage addr;
	socklen_t addr_len;
};

struct conf_addresses {
	struct conf_address *v;
	size_t n;
};

struct conf {
	unsigned magic;
	enum conf_role role;
	unsigned loops; /* 0: auto */
	char *state;    /* folder; may not exist yet */
	char *control;  /* Unix socket */
	struct {
		struct conf_addresses proxy, bump,
			admin;                 /* each may be empty; proxy and bump not both, but on a parent */
		struct conf_addresses cluster; /* one in a cluster, its port not 0; else none */
	} listen;
	struct {
		char *name;            /* of the cluster; NULL: this node is in none */
		char *cert, *key, *ca; /* files, below state; the certificate is this node's (name, role, cluster) */
		char *salt_path,
			*salt; /* of cache keys; read from the file, 32 to 64 bytes of text without its line's end */
		char *purge_public; /* file; NULL: no cluster-wide purges */
		char *purge_key;    /* file, for nodes that may start them; NULL: none */
		unsigned dgram_max, zone;
	} cluster;
	struct {
		char *cert, *key;               /* files */
		char *name;                     /* common name, at most 64 bytes */
		dur_ms life;                    /* whole days */
		struct policy_hosts permit_dns; /* names only, no "*"; empty: no name constraints */
	} ca;
	char *disk_path; /* folder of cache.disk; NULL: no tier on disk */
	struct {
		char *path; /* NULL: no access log */
		enum accesslog_format format;
		unsigned keep;
		/* headers and query are in policy->log */
	} access_log;
	enum log_level log_level; /* may change at a reload */
	struct policy *policy;    /* owned, one reference; the node's name is policy->node */
};

#define CONF_MAGIC 0xc0f16a7e

/* Reads the file; path NULL: the built-in defaults. NULL when anything is wrong, with one line per fault in `errors`
 * ("edge.yaml:12: cache.memroy.size: unknown key; did you mean cache.memory.size?"), up to 20 and what fits, each ended by
 * '\n', the whole by NUL. The state folder is not touched. */
struct conf *conf_load(const char *path, char errors[], size_t errors_cap);

/* The same from memory; `name` stands for the file in errors and for its folder in relative paths. */
struct conf *conf_load_text(struct span text, const char *name, char errors[], size_t errors_cap);

/* As conf_load, but no file that it names is looked at or read: for those who want to know where things are, and may not read the
 * node's secrets. */
struct conf *conf_load_settings(const char *path, char errors[], size_t errors_cap);

/* Harmless on NULL. Secrets are wiped. */
void conf_free(struct conf *);

/* The values in effect, as YAML that reads back to the same. Never a secret: of files with secrets only the path. */
void conf_dump(const struct conf *, FILE *);

/* Writes the keys whose change needs a restart, "listen.proxy, loops", cut to what fits; returns how many there are. In a cluster
 * `node` is one of them, and so is `cluster.salt` when only what is in the file has changed. */
size_t conf_reload_differs(const struct conf *old, const struct conf *new, char *keys, size_t cap);

/* docs/configuration.md. */
void conf_reference_write(FILE *);

#endif
