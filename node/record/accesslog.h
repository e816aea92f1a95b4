/* accesslog: one line per answered request, in Squid's native format or as JSON.
 *
 * Result and hierarchy codes are spelled as Squid spells them, so that its analysers read the file. Formatting happens on the
 * loop's thread into a buffer on the stack, writing on the sink's. What may not be written (credentials, cookies, userinfo,
 * signature parameters; the query too, unless log.query) is masked here, by the rules of mask.h.
 *
 * The native format is what Squid 5.7 writes for `access_log ... squid`, byte for byte: the URL without spaces, control
 * characters and bytes above 126 (they become %XX), with `headers` (log_mime_hdrs) two more fields in brackets, where CR and
 * LF are written \r and \n, a backslash is doubled, and %, [, ], control characters and bytes above 126 become %xx. A
 * request that could not be read has "[]". A JSON line has the same values under the names
 *     time elapsed_ms client result status bytes method url user hierarchy peer type cache_status digest id
 * (user, peer, type, cache_status, digest: null when there is none; digest: SHA-256 of the stored body, whole, whatever part of it was
 * asked for; id: 16 hex digits) and with `headers` request_headers and
 * reply_headers, lists of [name, value]. A question of another node (result UDP_..., see peer_querylog.h) also has node, who asked,
 * and answer, what it was told (peermsg_status_word). */
#ifndef NODE_RECORD_ACCESSLOG_H
#define NODE_RECORD_ACCESSLOG_H

#include <stdbool.h>
#include <stdint.h>

#include "node/base/clock.h"
#include "node/base/sink.h"
#include "node/base/span.h"
#include "proto/hdr.h"

#define ACCESSLOG_RESULT_TABLE(X)                                                                                      \
	X(NONE, "NONE")                                                                                                \
	X(TCP_HIT, "TCP_HIT")                                                                                          \
	X(TCP_MEM_HIT, "TCP_MEM_HIT")                                                                                  \
	X(TCP_MISS, "TCP_MISS")                                                                                        \
	X(TCP_CF_HIT, "TCP_CF_HIT") /* joined another request's fetch */                                               \
	X(TCP_REFRESH_UNMODIFIED, "TCP_REFRESH_UNMODIFIED")                                                            \
	X(TCP_REFRESH_MODIFIED, "TCP_REFRESH_MODIFIED")                                                                \
	X(TCP_REFRESH_FAIL_OLD, "TCP_REFRESH_FAIL_OLD")                                                                \
	X(TCP_REFRESH_FAIL_ERR, "TCP_REFRESH_FAIL_ERR")                                                                \
	X(TCP_CLIENT_REFRESH_MISS, "TCP_CLIENT_REFRESH_MISS")                                                          \
	X(TCP_IMS_HIT, "TCP_IMS_HIT")                                                                                  \
	X(TCP_INM_HIT, "TCP_INM_HIT")                                                                                  \
	X(TCP_NEGATIVE_HIT, "TCP_NEGATIVE_HIT")                                                                        \
	X(TCP_OFFLINE_HIT, "TCP_OFFLINE_HIT")                                                                          \
	X(TCP_DENIED, "TCP_DENIED")                                                                                    \
	X(TCP_TUNNEL, "TCP_TUNNEL")                                                                                    \
	X(UDP_HIT, "UDP_HIT") /* what other nodes ask by datagram */                                                   \
	X(UDP_MISS, "UDP_MISS")                                                                                        \
	X(UDP_DENIED, "UDP_DENIED")                                                                                    \
	X(UDP_INVALID, "UDP_INVALID")                                                                                  \
	X(UDP_MISS_NOFETCH, "UDP_MISS_NOFETCH")

enum accesslog_result {
#define X(id, word) ACCESSLOG_##id,
	ACCESSLOG_RESULT_TABLE(X)
#undef X
		ACCESSLOG_RESULT_COUNT
};

#define ACCESSLOG_HIER_TABLE(X)                                                                                        \
	X(NONE, "HIER_NONE")                                                                                           \
	X(DIRECT, "HIER_DIRECT")                                                                                       \
	X(SIBLING_HIT, "SIBLING_HIT")                                                                                  \
	X(PARENT_HIT, "PARENT_HIT")                                                                                    \
	X(FIRSTUP_PARENT, "FIRSTUP_PARENT")

enum accesslog_hier {
#define X(id, word) ACCESSLOG_HIER_##id,
	ACCESSLOG_HIER_TABLE(X)
#undef X
		ACCESSLOG_HIER_COUNT
};

enum accesslog_format { ACCESSLOG_SQUID, ACCESSLOG_JSON };

/* All spans are borrowed for the call. */
struct accesslog_line {
	wall_ms end; /* when the answer was done */
	dur_ms elapsed;
	const char *client; /* numeric address */
	enum accesslog_result result;
	bool aborted; /* the client left early: _ABORTED is added */
	int status;
	uint64_t bytes; /* sent to the client, head included */
	struct span method;
	struct span url;  /* whole; for CONNECT host:port */
	struct span user; /* proxy user name; empty: "-" */
	enum accesslog_hier hier;
	struct span peer;                   /* address or peer name; empty: "-" */
	struct span type;                   /* Content-Type without parameters; empty: "-" */
	const struct hdrs *request, *reply; /* for log.headers; NULL: "[]" */
	/* JSON only; cache_status may be empty. node and answer: of a question by datagram; empty: left out */
	struct span cache_status, node, answer;
	const uint8_t *digest; /* SHA-256 of the whole body, where it is stored and whole; NULL: not known */
	uint64_t request_id;
};

struct accesslog;

struct accesslog_settings {
	const char *path; /* NULL: no log at all */
	enum accesslog_format format;
	unsigned keep;
	bool headers, query;
	bool echo; /* also a short coloured line per request on standard output, for `pmcached --run` (NO_COLOR honoured) */
};

/* NULL with a sentence in err when the file cannot be opened. With path NULL and no echo the result is a log that does nothing. */
struct accesslog *accesslog_open(const struct accesslog_settings *, char *err, size_t err_cap);
/* False: lines go nowhere, and need not be made. */
bool accesslog_is_on(const struct accesslog *);
bool accesslog_is_json(const struct accesslog *);
/* Any thread. */
void accesslog_put(struct accesslog *, const struct accesslog_line *);
/* Rotates, as sink.h has it. False: there is no file, and nobody will be told anything. */
bool accesslog_reopen(struct accesslog *, sink_reopened_f *, void *cookie);
void accesslog_set_masks(struct accesslog *, bool headers, bool query); /* after a reload */
uint64_t accesslog_dropped(const struct accesslog *);
void accesslog_close(struct accesslog **);

const char *accesslog_result_word(enum accesslog_result);
const char *accesslog_hier_word(enum accesslog_hier);

#endif
