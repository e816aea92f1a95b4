/* fresh: may this be stored, how long is it good, may it be served now (RFC 9111 §3, §4.2, RFC 5861).
 *
 * Pure functions over plain facts. When an answer comes, fresh_read_response collects its facts, fresh_may_store
 * decides, and fresh_terms boils them down to what the index keeps beside the entry; on a hit fresh_verdict needs only
 * these terms, the request's Cache-Control and for how long the entry has been here. A 304 makes new facts from the
 * freshened head, hence new terms.
 *
 * Freshness lifetime: s-maxage, else max-age, else Expires - Date, else a tenth of Date - Last-Modified, at most a day,
 * for the statuses that RFC 9110 §15.1 calls heuristically cacheable. Classes (pathclass.h) change this:
 *
 *   IMMUTABLE  and earned, status 200: fresh for good; no-cache, no-store, max-age and min-fresh of a request are
 *              ignored (why: IMMUTABLE). no-store and private of the *answer* hold for it as for all.
 *   MUTABLE    nothing explicit: the class's ttl_s (404 and 410 of either class: FRESH_NEGATIVE_S). An answer whose
 *              Age is above its lifetime when it arrives (a CDN keeps it by other rules) is measured from its receipt
 *              instead. Where the answer neither says how long nor forbids it, it is served stale for FRESH_MUTABLE_ERROR_S
 *              when the origin fails, and for FRESH_MUTABLE_WHILE_S while it is asked in the background. The latter only
 *              if its lifetime is at least as long: who says a few seconds means them.
 *   PASS       never stored.
 *
 * The qualified forms no-cache="…" and private="…" count as the unqualified ones, as §5.2.2.4 allows. */
#ifndef PROTO_FRESH_H
#define PROTO_FRESH_H

#include <stdbool.h>
#include <stdint.h>

#include "node/base/clock.h"
#include "proto/cachectl.h"
#include "proto/hdr.h"
#include "proto/http1_parse.h"
#include "proto/pathclass.h"

#define FRESH_FOREVER_S INT64_MAX
#define FRESH_HEURISTIC_MAX_S (24 * 60 * 60)
#define FRESH_NEGATIVE_S 10
#define FRESH_MUTABLE_ERROR_S (24 * 60 * 60)
#define FRESH_MUTABLE_WHILE_S 60

/* Why: the word goes into Cache-Status `detail=`. */
#define FRESH_WHY_TABLE(X)                                                                                             \
	X(NONE, "none", "nothing to say")                                                                              \
	/* it is fresh, or may be served */                                                                            \
	X(EXPLICIT, "explicit", "within s-maxage, max-age or Expires")                                                 \
	X(HEURISTIC, "heuristic", "within a tenth of its age at the origin")                                           \
	X(IMMUTABLE, "immutable", "the bytes behind this URL never change")                                            \
	X(CLASS_TTL, "class-ttl", "within the default lifetime of an index")                                           \
	X(NEGATIVE, "negative", "a recent 404 or 410")                                                                 \
	X(MAX_STALE, "max-stale", "stale, but the request allows it")                                                  \
	X(WHILE_REVALIDATE, "stale-while-revalidate", "stale, asked again in the background")                          \
	X(IF_ERROR, "stale-if-error", "stale, but the origin fails")                                                   \
	X(IF_SLOW, "stale-if-slow", "stale, but the origin takes long; asked for in the background")                   \
	X(RECALLED, "recalled", "immutable, but its origin has removed or changed it")                                 \
	/* the origin must be asked */                                                                                 \
	X(EXPIRED, "expired", "older than its lifetime")                                                               \
	X(NO_LIFETIME, "no-lifetime", "stored without a lifetime, to be asked for each time")                          \
	X(NO_CACHE, "no-cache", "the answer says no-cache")                                                            \
	X(CLOCK, "clock", "its age is negative: the clock was set back")                                               \
	X(REQUEST_NO_CACHE, "request-no-cache", "the request says no-cache")                                           \
	X(REQUEST_MAX_AGE, "request-max-age", "older than the request's max-age")                                      \
	X(REQUEST_MIN_FRESH, "request-min-fresh", "not fresh for as long as the request's min-fresh")                  \
	/* it may not be stored */                                                                                     \
	X(PASS, "pass", "URLs of this form are never stored")                                                          \
	X(METHOD, "method", "only answers to GET are stored")                                                          \
	X(STATUS, "status", "answers with this status are not stored")                                                 \
	X(PARTIAL, "partial", "a part of a representation")                                                            \
	X(NO_STORE, "no-store", "the answer says no-store")                                                            \
	X(REQUEST_NO_STORE, "request-no-store", "the request says no-store")                                           \
	X(PRIVATE, "private", "the answer says private")                                                               \
	X(AUTHORIZATION, "authorization", "the request has Authorization, and nothing allows sharing")                 \
	X(COOKIE, "cookie", "the request has a Cookie")                                                                \
	X(SET_COOKIE, "set-cookie", "the answer sets a cookie")                                                        \
	X(VARY_STAR, "vary", "the answer varies in ways that no request shows")                                        \
	X(USELESS, "no-freshness", "neither a lifetime nor a validator")

enum fresh_why {
#define X(name, word, sentence) FRESH_WHY_##name,
	FRESH_WHY_TABLE(X)
#undef X
		FRESH_WHY_COUNT
};

const char *fresh_why_word(enum fresh_why); /* "stale-if-error" */
const char *fresh_why_sentence(enum fresh_why);

struct fresh_request {
	enum http1_method method;
	struct cachectl cc;
	bool has_authorization; /* Authorization, or userinfo in the URL */
	bool has_cookie;
};

struct fresh_response {
	int status;
	struct cachectl cc;
	wall_ms date, last_modified; /* HTTPDATE_NONE: not given or malformed */
	wall_ms expires;             /* HTTPDATE_NONE when has_expires: malformed, hence long ago */
	bool has_expires;
	bool has_validator; /* ETag or Last-Modified */
	bool has_set_cookie;
	bool vary_star;
	int64_t age_s;                       /* the Age field; 0 when it is not there or malformed */
	wall_ms request_time, response_time; /* when the request left, when the head came */
	enum pathclass class;
	uint32_t class_ttl_s; /* path_facts.ttl_s */
	/* IMMUTABLE: the conditions of pathclass.h hold. While the body is still coming: they hold so far; if the end
	 * proves otherwise, ask fresh_may_store and fresh_terms again with false. */
	bool earned;
};

/* Fill in what the heads say; class and ttl come from `path`; earned is false. cc borrows from the head. */
void fresh_read_request(const struct http1_request *, struct fresh_request *out);
void fresh_read_response(int status, const struct hdrs *, wall_ms request_time, wall_ms response_time,
			 const struct path_facts *path, struct fresh_response *out);

enum fresh_store {
	FRESH_STORE_NO,
	FRESH_STORE_SHARED,     /* the request had no Authorization */
	FRESH_STORE_AUTH_RFC,   /* it had, and RFC 9111 §3.5 allows sharing (public, s-maxage, must-revalidate) */
	FRESH_STORE_AUTH_CLASS, /* it had, and only the class (IMMUTABLE) allows storing: per credential */
};

/* For a shared cache. *why is set on FRESH_STORE_NO only. Set-Cookie does not forbid storing what is
 * immutable, public or has s-maxage: leave the field out of the stored head. */
enum fresh_store fresh_may_store(const struct fresh_request *, const struct fresh_response *, enum fresh_why *why);

/* What is kept beside an entry, a small thing for each of millions. */
struct fresh_terms {
	int64_t lifetime_s; /* FRESH_FOREVER_S: for good */
	uint32_t age_s;     /* at receipt, as RFC 9111 §4.2.3 has it: what the Age field we send begins with */
	uint32_t counted_s; /* at receipt, as it counts against lifetime_s */
	uint32_t stale_while_revalidate_s, stale_if_error_s; /* 0: no */
	bool no_cache;                                       /* ask each time */
	bool must_revalidate; /* never stale: must-revalidate, proxy-revalidate, s-maxage, no-cache */
	bool is_mutable;      /* class MUTABLE: no-cache of a request does not forbid stale-if-error */
	uint8_t source;       /* enum fresh_why: EXPLICIT, HEURISTIC, IMMUTABLE, CLASS_TTL, NEGATIVE or NO_LIFETIME */
};

void fresh_terms(const struct fresh_response *, struct fresh_terms *out);
/* From now on to be asked about before it is served, whatever it said; when that fails it may be served for as long as before, also
 * what was good for ever. Its source stays, so that a 304 gives back what it had. */
void fresh_outdate(struct fresh_terms *);

/* As the terms keep it: what is longer than 136 years is that long. */
static inline uint32_t fresh_seconds(int64_t s)
{
	return s <= 0 ? 0 : s < UINT32_MAX ? (uint32_t)s : UINT32_MAX;
}

enum fresh_verdict {
	FRESH_SERVE,
	FRESH_SERVE_STALE,          /* the request's max-stale allows it */
	FRESH_SERVE_AND_REVALIDATE, /* serve now, ask the origin in the background */
	FRESH_REVALIDATE,           /* ask first; fresh_on_error says what to do if that fails */
};

/* q: of the request. here: how long ago the head came (monotonic while the process lives, wall time across restarts;
 * negative = the clock went back = stale). only-if-cached is for the caller to look at. */
enum fresh_verdict fresh_verdict(const struct fresh_terms *, const struct cachectl *q, dur_ms here,
				 enum fresh_why *why);

/* The origin cannot be reached, takes too long, or answers 429, 500, 502, 503, 504: may the stored answer be served although it is stale? */
bool fresh_on_error(const struct fresh_terms *, const struct cachectl *q, dur_ms here);

/* For the Age field, and the ttl of Cache-Status (negative when stale, FRESH_FOREVER_S for good). */
int64_t fresh_age_s(const struct fresh_terms *, dur_ms here);
int64_t fresh_ttl_s(const struct fresh_terms *, dur_ms here);

/* 200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501 (206 is not stored here). */
bool fresh_is_heuristic_status(int status);

#endif
