/* parent_cert: what an origin's certificate says, asked of a parent, for an edge that cannot ask the origin itself (PROTOCOL.md 5.3).
 *
 * The parent that the host belongs to is asked, else the next in rank: at most two. Belongs to its loop's thread. */
#ifndef PARENT_PARENT_CERT_H
#define PARENT_PARENT_CERT_H

#include "node/tls/names.h"
#include "parent/parent_set.h"

struct dns;
struct loop;
struct nodetls;
struct parent_cert;
struct pool;

struct parent_cert_ground {
	struct loop *loop;
	struct dns *dns;
	struct pool *pool;
	struct nodetls *tls; /* shared */
	struct parent_set *parents;
};

struct parent_cert_ask {
	struct span host; /* whom to dial; without brackets */
	uint16_t port;
	struct span sni; /* what the certificate must be valid for; empty: host */
	dur_ms limit;    /* for each parent asked */
};

enum parent_cert_answer {
	PARENT_CERT_VALID,
	PARENT_CERT_INVALID, /* the parent does not believe it */
	PARENT_CERT_UNKNOWN, /* it cannot say: it could not reach the origin, or may not */
	PARENT_CERT_NOBODY,  /* no parent could be asked */
};

/* `cert`: of VALID; borrowed. */
typedef void parent_cert_on_done_f(void *cookie, enum parent_cert_answer, struct origin_cert *cert);

/* Copies all. Never calls back from inside. */
struct parent_cert *parent_cert_start(const struct parent_cert_ground *, const struct parent_cert_ask *,
				      parent_cert_on_done_f *, void *cookie);
/* In silence; clears *c; harmless on NULL inside. */
void parent_cert_cancel(struct parent_cert **c);

/* The message as a certificate; NULL: it is not VALID, has no date, or no key. One reference for the caller. */
struct certmsg;
struct origin_cert *parent_cert_read(const struct certmsg *);

#endif
