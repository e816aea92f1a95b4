/* ctl_spool: a file that can be read and written at any place, whatever was named: standard input and output go through one that has no
 * name, in $TMPDIR or /var/tmp. */
#ifndef NODE_CTL_CTL_SPOOL_H
#define NODE_CTL_CTL_SPOOL_H

#include <stdbool.h>

struct ctl_spool {
	int fd;
	const char *path; /* as it was named, or "standard output", "standard input"; borrowed */
	char *beside;     /* its name until it is whole; NULL: it has none */
};

/* To write: there is nothing at `path` (or what was there before) until it is published. False after saying why; that nobody reads what goes
 * to standard output (any more) is said, too, instead of SIGPIPE. */
bool ctl_spool_create(struct ctl_spool *, const char *path);
bool ctl_spool_publish(struct ctl_spool *);
void ctl_spool_drop(struct ctl_spool *);
/* To read; ctl_spool_drop ends it. */
bool ctl_spool_open(struct ctl_spool *, const char *path);

#endif
