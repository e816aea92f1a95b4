/* control_words: what is said on the control socket, as bytes in and structs out. No socket here: control.h has it.
 *
 * The client sends one line, a verb and, where the table says so, one argument behind one space:
 *
 *     stats\n
 *     purge https://registry.test/left-pad\n
 *     cluster-purge-host registry.test\n
 *
 * and gets one line, then perhaps JSON, then the end of the connection:
 *
 *     ok\n{"node": ...}\n
 *     error this is no URL\n
 *
 * `import` has more to say: if the daemon wants the object, it asks for it on the same connection, by a GET as it would be sent to an origin,
 * and takes an HTTP/1.1 response with a Content-Length; its line follows when that has come, or is refused:
 *
 *     import https://registry.test/a.tgz\n
 *                                             GET /a.tgz HTTP/1.1\r\n…\r\n\r\n
 *     HTTP/1.1 200 OK\r\n…\r\n\r\n…
 *                                             ok\n{"result": "new", …}\n
 *
 * One request per connection; the answer may take a while. Whether an argument makes sense (a URL, say) is for the command to find out. */
#ifndef NODE_ADMIN_CONTROL_WORDS_H
#define NODE_ADMIN_CONTROL_WORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "node/base/span.h"

/* verb, word, has an argument */
#define CONTROL_WORDS_TABLE(X)                                                                                         \
	X(STATS, "stats", false)            /* the JSON of statsjson.h */                                              \
	X(SINCE, "since", true)             /* milliseconds since 1970; the JSON of ledger.h */                        \
	X(OBJECTS, "objects", false)        /* the JSON of objects.h, with URLs */                                     \
	X(PEERS, "peers", false)            /* the JSON of peersjson.h */                                              \
	X(MATRIX, "matrix", false)          /* an array of these, of all nodes */                                      \
	X(EXPLAIN, "explain", true)         /* a URL; JSON (explain.h) */                                              \
	X(OFFLINE, "offline", true)         /* on, off, config or show; {"offline": true, "configured": false} */      \
	X(RELOAD, "reload", false)          /* the configuration is read again; JSON (errands.h) */                    \
	X(ROTATE, "rotate", false)          /* the access log; JSON (errands.h) */                                     \
	X(UPGRADE, "upgrade", false)        /* {}: another process has the state now; its socket replaces this one */  \
	X(RECENT, "recent", false)          /* the JSON of recent.h, with URLs */                                      \
	X(DENY, "deny", true)               /* a digest (sha256:…): purged, and not taken again; {"purged": n} */    \
	X(ALLOW, "allow", true)             /* takes it from the deny-list; {"purged": 1}, or 0: it was not on it */   \
	X(SCRUB, "scrub", true)             /* start, start=BYTES, status, stop; JSON (scrub.h) */                     \
	X(REFRESH, "refresh", true)         /* a URL is fetched anew; JSON (refresh.h) */                              \
	X(IMPORT, "import", true)           /* a URL, see below; JSON (refresh.h) */                                   \
	X(LIST_PREFIX, "list-prefix", true) /* as the purges of these names; JSON (listing.h) */                       \
	X(LIST_HOST, "list-host", true)                                                                                \
	X(LIST_CLASS, "list-class", true)                                                                              \
	X(LIST_ALL, "list-all", false)                                                                                 \
	X(CLUSTER_DENY, "cluster-deny", true) /* the same two on all nodes; n is of this one */                        \
	X(CLUSTER_ALLOW, "cluster-allow", true)                                                                        \
	X(DENIED, "denied", false) /* the deny-list, JSON (orders.h) */                                                \
	CONTROL_WORDS_PURGES(X, , "")                                                                                  \
	CONTROL_WORDS_PURGES(X, SOFT_, "soft-")       /* what is stored stays, but counts as stale */                  \
	CONTROL_WORDS_PURGES(X, CLUSTER_, "cluster-") /* the same on all nodes; n is of this one */                    \
	CONTROL_WORDS_PURGES(X, CLUSTER_SOFT_, "cluster-soft-")

/* {"purged": n} answers all of them. */
#define CONTROL_WORDS_PURGES(X, ID, how)                                                                               \
	X(ID##PURGE, how "purge", true)               /* a URL, all its variants */                                    \
	X(ID##PURGE_PREFIX, how "purge-prefix", true) /* all that begins so: https://registry.test/left-pad/ */        \
	X(ID##PURGE_HOST, how "purge-host", true)     /* all of one host: registry.test */                             \
	X(ID##PURGE_CLASS, how "purge-class", true)   /* immutable, mutable or negative */                             \
	X(ID##PURGE_DIGEST, how "purge-digest", true) /* sha256:… */                                                 \
	X(ID##PURGE_ALL, how "purge-all", false)

enum control_verb {
#define X(id, word, arg) CONTROL_##id,
	CONTROL_WORDS_TABLE(X)
#undef X
		CONTROL_VERB_COUNT
};

#define CONTROL_WORDS_LINE_MAX 16384 /* of a request, its '\n' included; URLs are the longest thing in it */
#define CONTROL_WORDS_ANSWER_MAX 512 /* of an error or a purge answer, whatever they say */

struct control_request {
	enum control_verb verb;
	struct span arg; /* printable ASCII without spaces, not empty; or SPAN_NONE when the verb has none */
};

enum control_words_result { CONTROL_WORDS_DONE, CONTROL_WORDS_MORE, CONTROL_WORDS_BAD };

/* `bytes` is all that came so far. DONE: *out borrows from bytes. BAD: *why is a sentence for control_words_error. */
enum control_words_result control_words_parse(struct span bytes, struct control_request *out, const char **why);

const char *control_words_verb(enum control_verb);

/* "ok" and the line's end; a payload may follow. */
void control_words_ok(struct buf *);
/* "ok", {"purged": n}. */
void control_words_purged(struct buf *, uint64_t n);
/* "error TEXT": control characters become '?', what is beyond 400 bytes is cut. */
void control_words_error(struct buf *, struct span text);

#endif
