/* ctl_lock: what a lock file of a package manager wants fetched: URLs, and what their bodies must be. Pure.
 *
 * Known is npm's: package-lock.json and npm-shrinkwrap.json, versions 1 (nested dependencies), 2 and 3 (packages). What has no http or https
 * URL (a link, a folder, a git repository, what lies within another package) is counted and left out. */
#ifndef NODE_CTL_CTL_LOCK_H
#define NODE_CTL_CTL_LOCK_H

#include "node/base/hash.h"
#include "node/base/span.h"

#define CTL_LOCK_MOST_BYTES ((size_t)64 * 1024 * 1024)
#define CTL_LOCK_MOST 200000 /* items */
#define CTL_LOCK_URL_BYTES 8192

struct ctl_lock_item {
	char *name, *url;
	char *integrity; /* SRI; empty: none is given */
};

struct ctl_lock {
	int version;
	struct ctl_lock_item *v; /* by URL; the same one with the same integrity is there once */
	size_t n, room;
	size_t left_out;
};

/* False with a sentence in *why: nothing is to be freed then. */
bool ctl_lock_parse(struct span text, struct ctl_lock *, const char **why);
void ctl_lock_free(struct ctl_lock *);

/* Of an SRI ("sha512-… sha1-…") the strongest algorithm counts, and any digest of that one. False: none that is known. */
bool ctl_lock_strongest(struct span integrity, enum hash_kind *);
bool ctl_lock_fits(struct span integrity, enum hash_kind, const uint8_t *digest);

#endif
