/* ctl_setup: from options and configuration to settings, for `env` and `exec`. */
#ifndef NODE_CTL_CTL_SETUP_H
#define NODE_CTL_CTL_SETUP_H

#include <stdbool.h>

#include "node/ctl/ctl.h"
#include "node/ctl/ctl_vars.h"

struct ctl_setup {
	const char *host;     /* --host: NAME or NAME:PORT as clients reach the daemon; NULL: as it listens */
	const char *no_proxy; /* --no-proxy: more hosts, with commas; NULL: none */
	bool java, override;
};

/* Takes the next word when it is one of these or a common option: 1, 0, -1 after saying why. */
int ctl_setup_option(struct ctl *, struct ctl_setup *, struct ctl_args *);

/* Loads, makes the files of ctl_trust.h and fills the settings. CTL_OK, or an exit code after saying why. */
int ctl_setup_settings(struct ctl *, const struct ctl_setup *, struct ctl_settings *);

/* The daemon's host, port and URL as clients shall use them, by the configuration, or as `given` (--host; NULL: not). CTL_OK, or an exit
 * code after saying why. */
int ctl_setup_proxy(const struct ctl *, const char *given, struct ctl_settings *);

/* "name", "name:81", "[::1]:81", "::1" taken apart, brackets put around an IPv6 address; port is `fallback` where none is
 * given. 0, or -1 for what is neither a name nor an address. Strings on the heap. */
int ctl_setup_split(const char *text, const char *fallback, char **host, char **port);

#endif
