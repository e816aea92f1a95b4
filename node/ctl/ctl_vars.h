/* ctl_vars: the environment that sends a package manager through the cache.
 *
 * One table of names. Both cases of the proxy variables are there because curl, wget and apt read only the lower one, Go
 * and uv the upper one first. Every CA variable that replaces a tool's own list gets the bundle (system roots and our CA);
 * Node's, which adds to it, the CA alone. No CA variable of yarn's own: yarn 2 and later end at a YARN_ variable that
 * their version does not know (1, 3 and 4 have three names); 1 reads npm_config_cafile, the others NODE_EXTRA_CA_CERTS. JAVA_TOOL_OPTIONS is made only when asked for: each start of a JVM would
 * print a line on standard error, and builds compare that. PIP_PROXY and CARGO_HTTP_PROXY beat configuration files, but pip
 * then ignores no_proxy: only when asked for. */
#ifndef NODE_CTL_CTL_VARS_H
#define NODE_CTL_CTL_VARS_H

#include <stdbool.h>
#include <stddef.h>

#define CTL_VARS_MAX 40

/* Strings are borrowed. */
struct ctl_settings {
	const char *proxy_host, *proxy_port; /* host: with brackets when it is IPv6 */
	const char *proxy_url;
	const char *no_proxy;            /* "localhost,127.0.0.1,::1,name" */
	const char *java_hosts;          /* the same as Java has it: "localhost|127.*|[::1]|name|*.name" */
	const char *ca, *bundle, *store; /* files */
	bool java, override;
	const char *java_before; /* JAVA_TOOL_OPTIONS as it is now; NULL: not set */
};

struct ctl_var {
	const char *name;
	const char *
		value; /* NULL: to be unset. Borrowed from the settings; of JAVA_TOOL_OPTIONS on the heap, never freed */
};

/* Returns how many. */
size_t ctl_vars_make(const struct ctl_settings *, struct ctl_var out[CTL_VARS_MAX]);
/* All names that ctl_vars_make may ever set, to be unset; of JAVA_TOOL_OPTIONS only our part. */
size_t ctl_vars_unmake(const char *java_before, struct ctl_var out[CTL_VARS_MAX]);
/* The names of those that say where CAs are, one after the other; NULL behind the last. */
const char *ctl_vars_ca_name(size_t i);

#endif
