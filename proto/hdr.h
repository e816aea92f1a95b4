/* hdr: a table of header fields, and the names that pmcache knows.
 *
 * Names of the table below get an id when they are parsed, so that looking one up is a comparison of small numbers.
 * Fields keep their order and their spelling. All spans borrow from the bytes that were parsed. */
#ifndef PROTO_HDR_H
#define PROTO_HDR_H

#include <stdbool.h>
#include <stdint.h>

#include "node/base/span.h"

#define HDR_TABLE(X)                                                                                                   \
	X(ACCEPT, "Accept")                                                                                            \
	X(ACCEPT_ENCODING, "Accept-Encoding")                                                                          \
	X(ACCEPT_RANGES, "Accept-Ranges")                                                                              \
	X(AGE, "Age")                                                                                                  \
	X(ALTERNATES, "Alternates")                                                                                    \
	X(AUTHORIZATION, "Authorization")                                                                              \
	X(CACHE_CONTROL, "Cache-Control")                                                                              \
	X(CACHE_STATUS, "Cache-Status")                                                                                \
	X(CONNECTION, "Connection")                                                                                    \
	X(CONTENT_ENCODING, "Content-Encoding")                                                                        \
	X(CONTENT_LENGTH, "Content-Length")                                                                            \
	X(CONTENT_LOCATION, "Content-Location")                                                                        \
	X(CONTENT_MD5, "Content-MD5")                                                                                  \
	X(CONTENT_RANGE, "Content-Range")                                                                              \
	X(CONTENT_TYPE, "Content-Type")                                                                                \
	X(COOKIE, "Cookie")                                                                                            \
	X(DATE, "Date")                                                                                                \
	X(DIGEST, "Digest")                                                                                            \
	X(ETAG, "ETag")                                                                                                \
	X(EXPECT, "Expect")                                                                                            \
	X(EXPIRES, "Expires")                                                                                          \
	X(FORWARDED, "Forwarded")                                                                                      \
	X(HOST, "Host")                                                                                                \
	X(IF_MATCH, "If-Match")                                                                                        \
	X(IF_MODIFIED_SINCE, "If-Modified-Since")                                                                      \
	X(IF_NONE_MATCH, "If-None-Match")                                                                              \
	X(IF_RANGE, "If-Range")                                                                                        \
	X(IF_UNMODIFIED_SINCE, "If-Unmodified-Since")                                                                  \
	X(KEEP_ALIVE, "Keep-Alive")                                                                                    \
	X(LAST_MODIFIED, "Last-Modified")                                                                              \
	X(LOCATION, "Location")                                                                                        \
	X(PACOTE_INTEGRITY, "pacote-integrity")                                                                        \
	X(PRAGMA, "Pragma")                                                                                            \
	X(PROXY_AUTHENTICATE, "Proxy-Authenticate")                                                                    \
	X(PROXY_AUTHENTICATION_INFO, "Proxy-Authentication-Info")                                                      \
	X(PROXY_AUTHORIZATION, "Proxy-Authorization")                                                                  \
	X(PROXY_CONNECTION, "Proxy-Connection")                                                                        \
	X(PROXY_STATUS, "Proxy-Status")                                                                                \
	X(RANGE, "Range")                                                                                              \
	X(REPR_DIGEST, "Repr-Digest")                                                                                  \
	X(RETRY_AFTER, "Retry-After")                                                                                  \
	X(SET_COOKIE, "Set-Cookie")                                                                                    \
	X(TE, "TE")                                                                                                    \
	X(TRAILER, "Trailer")                                                                                          \
	X(TRANSFER_ENCODING, "Transfer-Encoding")                                                                      \
	X(UPGRADE, "Upgrade")                                                                                          \
	X(USER_AGENT, "User-Agent")                                                                                    \
	X(VARY, "Vary")                                                                                                \
	X(VIA, "Via")                                                                                                  \
	X(WARNING, "Warning")                                                                                          \
	X(WWW_AUTHENTICATE, "WWW-Authenticate")                                                                        \
	X(X_CACHE, "X-Cache")                                                                                          \
	X(X_CACHE_LOOKUP, "X-Cache-Lookup")                                                                            \
	X(X_FORWARDED_FOR, "X-Forwarded-For")

enum hdr_id {
	HDR_OTHER, /* any name that is not in the table */
#define X(id, name) HDR_##id,
	HDR_TABLE(X)
#undef X
		HDR_COUNT
};

#define HDR_MAX_FIELDS 128 /* more in one message are refused (TOO_MANY_FIELDS) */

struct hdr {
	struct span name, value; /* value without the white space around it */
	enum hdr_id id;
};

struct hdrs {
	unsigned n;
	uint64_t seen; /* bit per hdr_id: a quick "not there" */
	struct hdr v[HDR_MAX_FIELDS];
};

_Static_assert(HDR_COUNT <= 64, "hdrs.seen has a bit per id");

/* The id of a name in any case; HDR_OTHER when the table does not have it. */
enum hdr_id hdr_id(struct span name);
struct span hdr_name(enum hdr_id); /* as the table spells it */

static inline bool hdr_has(const struct hdrs *h, enum hdr_id id)
{
	return h->seen >> id & 1;
}

/* The first field of this id, or NULL. */
const struct hdr *hdr_get(const struct hdrs *, enum hdr_id);
/* Its value; SPAN_NONE when there is none. */
struct span hdr_value(const struct hdrs *, enum hdr_id);
/* How many fields of this id there are. */
unsigned hdr_count(const struct hdrs *, enum hdr_id);
/* The first field of this name (any case), also of names without an id. */
const struct hdr *hdr_find(const struct hdrs *, struct span name);
/* Adds a field; -1 when the table is full. Name and value are borrowed. */
int hdr_add(struct hdrs *, struct span name, struct span value);

/* A walk over the comma-separated members (RFC 9110 §5.6.1) of all fields with this id, quoted strings kept whole, empty
 * members left out. Start with a zeroed struct.
 *     struct hdr_list it = {0};
 *     while (hdr_next(&head->fields, HDR_VARY, &it)) use(it.member); */
struct hdr_list {
	unsigned at;
	struct span rest, member;
};

bool hdr_next(const struct hdrs *, enum hdr_id, struct hdr_list *);

/* Must not be passed on (RFC 9110 §7.6.1): Connection and what it names, Keep-Alive, Proxy-Connection, TE, Trailer,
 * Transfer-Encoding, Upgrade, Proxy-Authenticate, Proxy-Authorization, Proxy-Authentication-Info. Names in Connection
 * that would remove Host, Content-Length, Cache-Control, or Authorization do not count. */
bool hdr_is_hop_by_hop(const struct hdrs *, const struct hdr *);

/* The same for all fields of a table at once: a bit per id that must not be passed on. The bit of HDR_OTHER says that
 * Connection has an option without an id: then fields without one need hdr_is_hop_by_hop. */
uint64_t hdr_hop_by_hop_ids(const struct hdrs *);

/* A field by which nodes of a cluster talk to each other: its name begins with "Pmc-", in any case. Such fields are for the next node
 * alone: http1_format_fields leaves them out, whoever they came from. */
static inline bool hdr_is_internal(const struct hdr *f)
{
	return f->id == HDR_OTHER && f->name.n && (f->name.p[0] | 0x20) == 'p' &&
	       span_starts_icase(f->name, SPAN("Pmc-"));
}

#endif
