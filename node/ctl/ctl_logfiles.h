/* ctl_logfiles: the access log as one stream of lines: what was rotated away first, the oldest of it first, then the file that is written
 * to, and what is added to that. */
#ifndef NODE_CTL_CTL_LOGFILES_H
#define NODE_CTL_CTL_LOGFILES_H

#include "node/base/clock.h"
#include "node/base/span.h"

/* A whole line without its end; borrowed. */
typedef void ctl_logfiles_on_line_f(void *cookie, struct span line);

/* Every line of PATH.0, PATH.1, … (PATH.1.gz, too) and PATH that may be of `since` or later: files last written before are left out.
 * CTL_OK, or CTL_FAILED after saying which file cannot be read; a rotated one that goes away meanwhile is none. */
int ctl_logfiles_read(const char *path, wall_ms since, ctl_logfiles_on_line_f *, void *cookie);

/* The same, then goes on with what is added, also when the file is moved away, made anew or cut to nothing; `on_pause` when there is
 * nothing more for now. Returns on a failure, or with CTL_OK when nobody reads
 * standard output any more. */
int ctl_logfiles_follow(const char *path, wall_ms since, ctl_logfiles_on_line_f *, void (*on_pause)(void *cookie),
			void *cookie);

#endif
