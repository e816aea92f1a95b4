/* recent: what went wrong for clients lately, for whoever looks at the node's page: errors that this node answered, clients that do not
 * trust the CA.
 *
 *     {"urls":true,"lines":[{"time":"2026-11-23T13:00:00.000Z","count":2,"word":"dns-no-name","what":"the host name does not exist",
 *      "status":502,"url":"http://registry.test/a","client":"127.0.0.1"}]}
 *
 * What happens again (the same word, the same URL) is one line with a count, the last time and the last client; the line that has been
 * quiet longest makes room. URLs are without query and credentials, and cut. status 0: no answer could be given any more.
 *
 * One for all loops, behind a lock of its own; only failures come here, nothing that is served from the cache. Any thread. */
#ifndef NODE_RECORD_RECENT_H
#define NODE_RECORD_RECENT_H

#include "node/base/clock.h"
#include "node/base/span.h"

struct recent;

#define RECENT_LINES 40
#define RECENT_URL_BYTES 300
#define RECENT_MAX ((size_t)128 * 1024) /* room for the whole, whatever was said */

/* Word and sentence are constants; all else is copied. */
struct recent_event {
	const char *word, *what;
	int status;
	struct span url; /* or a host */
	const char *client;
	wall_ms now;
};

struct recent *recent_new(void);
void recent_free(struct recent *); /* harmless on NULL */

void recent_note(struct recent *, const struct recent_event *);
/* The object and a line's end, the latest first. Without `urls`, URL and client are null, and lines of one word are one line. */
void recent_put(struct recent *, struct buf *, bool urls);

#endif
