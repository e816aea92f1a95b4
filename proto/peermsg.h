/* peermsg: the datagrams that nodes say to each other, as bytes in and structs out. PROTOCOL.md is the specification.
 *
 * A datagram is one msgpack array of nine: seven envelope fields in fixed-width encodings, so that each has a constant offset, a map
 * with integer keys, and the tag, always the last 16 bytes (HMAC-SHA-256 over all bytes before it, cut to 128 bits).
 *
 * To read one: peermsg_envelope (looks at the fixed offsets alone: whose key?), peermsg_tag_fits, peermsg_parse, in this order. Parsing
 * first walks the bytes without allocating anything (depth, counts, exact end), and only then lets msgpack-c unpack them: its
 * unpacker allocates what a stranger's length fields ask for. With certmsg, which walks first in the same way, the only door to
 * msgpack-c.
 *
 * Forward compatibility: an unknown type is PEERMSG_UNKNOWN (count it, never answer); an unknown key below 64 in a body is
 * skipped, one of 64 and above is PEERMSG_CRITICAL; records in lists are arrays whose extra elements are skipped and whose missing ones
 * are zero; an unknown status of a reply is a MISS, an unknown operation of a hint is left out. A field that does not come is zero.
 * Numbers are never reused.
 *
 * Pure; any thread. */
#ifndef PROTO_PEERMSG_H
#define PROTO_PEERMSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/base/span.h"

#define PEERMSG_VERSION 1
#define PEERMSG_MAX_BYTES 1400  /* of a datagram that is taken */
#define PEERMSG_SEND_BYTES 1200 /* of one that is sent, unless configured otherwise (512 to 1400) */
#define PEERMSG_MIN_BYTES 52    /* envelope, empty body, tag */
#define PEERMSG_KEY_BYTES 16    /* of a cache key: its first half */
#define PEERMSG_TAG_BYTES 16
#define PEERMSG_SECRET_BYTES 32
#define PEERMSG_NAME_BYTES 64
#define PEERMSG_RECORDS 64 /* most of one message; what does not fit the datagram is not sent */

enum peermsg_type {
	PEERMSG_HELLO = 1,
	PEERMSG_QUERY = 2,
	PEERMSG_HINT = 3,
	PEERMSG_PING = 4,
	PEERMSG_INVALIDATE = 6,
	PEERMSG_BYE = 7,
	PEERMSG_ERR = 8,
	/* bit 6: a response to the same type */
	PEERMSG_HELLO_BACK = 65,
	PEERMSG_REPLY = 66,
	PEERMSG_PONG = 68,
	PEERMSG_INVALIDATED = 70,
};

struct peermsg_key {
	uint8_t b[PEERMSG_KEY_BYTES];
};

struct peermsg_envelope {
	uint8_t version, type; /* type as it came: may be one that is not in the enum */
	uint8_t kid;           /* which secret; 0: none */
	uint32_t src, dst;     /* node ids */
	uint64_t boot, seq;
};

struct peermsg_hello {
	uint64_t nonce;
	bool has_echo;
	uint8_t echo[16]; /* answer to a challenge (ERR 2) */
	uint8_t version_min, version_max;
	uint8_t role; /* 1 edge, 2 parent */
	uint64_t caps;
	uint16_t tcp_port;
	char name[PEERMSG_NAME_BYTES + 1]; /* NUL-terminated, printable ASCII without space; else the message is bad */
	uint64_t members_hash;
	uint16_t max_dgram;
	uint16_t zone;
};

enum {
	PEERMSG_INTENT = 1,         /* the asker will fetch it if nobody has it */
	PEERMSG_ACCEPT_PENDING = 2, /* one that is still coming will do */
	PEERMSG_ACCEPT_STALE = 4,
	PEERMSG_RESUME = 8, /* the asker has a part already */
	PEERMSG_AUDIT = 16, /* not for a client: count it nowhere */
	PEERMSG_HOME = 32,  /* asked as a home of the key: from its directory; GRANT and LOCATED, never INTENDED */
};

struct peermsg_query_rec {
	struct peermsg_key key;
	uint8_t flags;
	bool has_variant; /* all zero and false mean the same: the response that does not vary */
	uint8_t variant[16];
	uint32_t order;     /* with RESUME: the one it had; 0: none */
	uint32_t not_there; /* this node was named to it before and has it not; 0: none */
};

struct peermsg_query {
	uint64_t qid;
	uint16_t budget_ms; /* the asker's remaining wait */
	uint8_t hop;        /* 1: must not cause any further lookup */
	unsigned n;
	struct peermsg_query_rec v[PEERMSG_RECORDS];
};

enum peermsg_status {
	PEERMSG_MISS = 0,
	PEERMSG_HIT = 1,
	PEERMSG_PENDING = 2,
	PEERMSG_NOFETCH = 3,
	PEERMSG_DENIED = 4,
	PEERMSG_STALE = 5,
	PEERMSG_BUSY = 6,
	PEERMSG_VARY = 7,
	PEERMSG_LOCATED = 8,
	PEERMSG_GRANT = 9,
	PEERMSG_INTENDED = 10,
	PEERMSG_STATUSES = 11,
};

#define PEERMSG_VARY_BYTES 128 /* names of Vary in normal form, comma-separated */
#define PEERMSG_SOURCES 3

struct peermsg_source {
	uint32_t node;
	uint8_t load;
	uint64_t have; /* bytes it has so far; all of them when it has the whole */
	uint32_t order;
};

struct peermsg_reply_rec {
	uint8_t index;     /* of the query's record: below PEERMSG_RECORDS, else the message is bad */
	uint8_t status;    /* enum peermsg_status */
	uint64_t size;     /* HIT, STALE, PENDING, LOCATED; 0: unknown */
	uint8_t digest[8]; /* HIT, STALE: first bytes of the body's SHA-256 */
	uint32_t age_s;    /* HIT, STALE */
	int32_t ttl_s;
	uint64_t have;                     /* PENDING */
	uint32_t order;                    /* PENDING, GRANT: a reader attaches to a smaller order than its own alone;
					    * BUSY: the same, 0: it has the whole; INTENDED: the one that `node` had */
	uint16_t wait_ms;                  /* BUSY: ask again after, 0: no room to say more; GRANT: the lease */
	uint8_t reason;                    /* DENIED */
	uint32_t node;                     /* INTENDED: who outranks the asker */
	char vary[PEERMSG_VARY_BYTES + 1]; /* VARY */
	unsigned n_sources;
	struct peermsg_source sources[PEERMSG_SOURCES]; /* LOCATED */
};

struct peermsg_reply {
	uint64_t qid;
	uint8_t load;     /* 0 idle to 255 full */
	uint32_t took_us; /* between receiving and sending, to be taken off the round trip */
	uint64_t purge_serial;
	unsigned n;
	struct peermsg_reply_rec v[PEERMSG_RECORDS];
};

enum peermsg_hint_op {
	PEERMSG_STORED = 1,
	PEERMSG_EVICTED = 2,
	PEERMSG_PROGRESS = 3,
	PEERMSG_FAILED = 4,
	PEERMSG_NOT_THERE = 5, /* a holder that was named had not got it */
	PEERMSG_HOLDING = 6,   /* re-announced after a restart of the home */
};

struct peermsg_hint_rec {
	uint8_t op;
	struct peermsg_key key;
	uint64_t bytes; /* STORED, HOLDING: size; PROGRESS: so far */
	uint32_t order; /* PROGRESS */
	uint32_t node;  /* NOT_THERE: who */
};

struct peermsg_hint {
	uint32_t generation;
	unsigned n;
	struct peermsg_hint_rec v[PEERMSG_RECORDS];
};

enum peermsg_node_state {
	PEERMSG_STATE_UP = 1,
	PEERMSG_STATE_LOADING,
	PEERMSG_STATE_DRAINING,
	PEERMSG_STATE_DISK_FULL
};

struct peermsg_ping { /* and PONG, which echoes nonce and t_us */
	uint64_t nonce, t_us;
	uint8_t load;
	uint32_t objects;
	uint8_t state; /* enum peermsg_node_state */
	uint64_t members_hash;
	uint8_t mode; /* 1 asks all, 2 asks homes */
	uint64_t purge_serial;
};

/* A purge as it is signed: `record` is what purgerec.h makes and reads, with its signature. One per datagram, and only those that fit. */
#define PEERMSG_PURGE_BYTES 1024

struct peermsg_invalidate {
	uint64_t qid, serial;
	size_t n;
	uint8_t record[PEERMSG_PURGE_BYTES];
};

struct peermsg_invalidated {
	uint64_t qid, serial;
	uint32_t removed;
};

struct peermsg_bye {
	uint8_t reason; /* 1 stops, 2 restarts */
	uint16_t back_in_s;
};

enum peermsg_fault { PEERMSG_ERR_VERSION = 1, PEERMSG_ERR_BOOT = 2, PEERMSG_ERR_CRITICAL = 3, PEERMSG_ERR_RATE = 4 };

struct peermsg_err {
	uint64_t qid;
	uint8_t code; /* enum peermsg_fault */
	bool has_challenge;
	uint8_t challenge[16]; /* ERR_BOOT: to be echoed in a HELLO */
};

struct peermsg {
	struct peermsg_envelope env;
	union {
		struct peermsg_hello hello; /* and HELLO_BACK */
		struct peermsg_query query;
		struct peermsg_reply reply;
		struct peermsg_hint hint;
		struct peermsg_ping ping; /* and PONG */
		struct peermsg_invalidate invalidate;
		struct peermsg_invalidated invalidated;
		struct peermsg_bye bye;
		struct peermsg_err err;
	};
};

enum peermsg_parse { PEERMSG_OK, PEERMSG_BAD, PEERMSG_UNKNOWN, PEERMSG_CRITICAL };

/* The fixed part of a datagram. BAD: not one of ours, to be dropped in silence; OK also for types and versions that are not known. */
enum peermsg_parse peermsg_envelope(struct span datagram, struct peermsg_envelope *out);
/* In constant time. */
bool peermsg_tag_fits(struct span datagram, const uint8_t secret[PEERMSG_SECRET_BYTES]);
/* The whole, after the tag has been checked; another version than ours is UNKNOWN. CRITICAL: *out has the envelope and, if it came, the
 * qid (out->err.qid). */
enum peermsg_parse peermsg_parse(struct span datagram, struct peermsg *out);

/* Writes the datagram with its tag into b, which is empty, and never more than PEERMSG_MAX_BYTES; the body fields that its type has.
 * Records that do not fit are left out from the end: returns how many records were written (for types without records 1), 0 when not
 * one of them, or not even the rest, fits, or there was none to write (b is then empty). */
unsigned peermsg_format(struct buf *b, const struct peermsg *, const uint8_t secret[PEERMSG_SECRET_BYTES]);

/* True: one msgpack element and nothing behind it, at most PEERMSG_MAX_BYTES and 5 containers deep, keys of maps are integers, nothing of
 * an ext type. Allocates nothing. */
bool peermsg_walk(struct span body);
/* The same for what is no datagram (certmsg.h). */
bool peermsg_walk_upto(struct span body, size_t most);

const char *peermsg_status_word(enum peermsg_status); /* "HIT", as peers and logs show it */

#endif
