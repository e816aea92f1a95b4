/* dns: names to addresses, without anybody waiting. The only door to c-ares.
 *
 * Where an answer comes from, first match wins: the host is an address already; upstream.hosts_file; localhost and the names
 * below it (RFC 6761 §6.3: loopback, whatever a name server says); /etc/hosts; an answer kept from before; the servers of
 * /etc/resolv.conf. Names with a dot are absolute; the search list of resolv.conf is tried for single labels only.
 *
 * A and AAAA are asked for separately and at once. Who waits is told when both have come, or 50 ms after the first that has
 * addresses (RFC 8305 §3), so that a server that drops one kind of question does not stop the other; what comes later is kept
 * for the next. Several look-ups of one name share the questions. Answers are kept for their TTL, at least 1 s and at most
 * 1 h; that a name does not exist for 10 s, a failure for 1 s; 4096 names, of which the one asked longest ago goes first.
 *
 * The three files are looked at again when they have changed (at most once a second). Belongs to its loop's thread. */
#ifndef NODE_NET_DNS_H
#define NODE_NET_DNS_H

#include "node/base/reason.h"
#include "node/base/span.h"
#include "node/net/addr.h"
#include "node/net/loop.h"

struct dns;
struct dns_lookup;

#define DNS_DEADLINE (10 * DUR_SECOND)
#define DNS_MOST_ADDRESSES 32 /* of one name; more are left out */

/* REASON_NONE: n > 0 addresses with port 0, IPv6 first, borrowed. Else n is 0 and why is DNS_NO_NAME, DNS_TIMEOUT, DNS_FAILED or
 * TOO_BUSY (too many names are being asked for). */
typedef void dns_on_done_f(void *cookie, const struct addr *v, size_t n, enum reason why);

struct dns *dns_new(struct loop *);
/* All look-ups must have ended or been cancelled. NULL is harmless. */
void dns_free(struct dns *);

/* The file of own names; NULL: none. Read at once, even if it is the same file as before. -1 with errno: it cannot be read, and
 * what was known stays. Blocks on the disk. */
int dns_set_hosts_file(struct dns *, const char *path);

/* Other servers than those of /etc/resolv.conf, "192.0.2.1:53,[2001:db8::1]:53", for tests. What is being asked is asked again
 * there; what is known is forgotten. -1: not understood. */
int dns_set_servers_csv(struct dns *, const char *servers);
/* For tests: another limit than DNS_DEADLINE for look-ups started from now on. */
void dns_set_deadline(struct dns *, dur_ms);

/* `host` without brackets is copied. Never calls back from inside; the callback comes once, in a later turn, and the look-up is
 * gone when it comes. */
struct dns_lookup *dns_start(struct dns *, struct span host, dns_on_done_f *, void *cookie);
/* In silence; clears *l; NULL inside is harmless. What it asked goes on, and the answer is kept. */
void dns_cancel(struct dns_lookup **l);

/* --- SRV records (RFC 2782): whom a service is to be asked of --- */

struct dns_srv {
	char target[256]; /* a name, without the dot at its end */
	uint16_t port, priority, weight;
};

struct dns_srv_lookup;

/* The lowest priority first, then the greatest weight, then by name; at most DNS_MOST_SRV; targets that are no host names are left
 * out. Borrowed. REASON_NONE with n == 0: the name is there and has none; a name that is not there is DNS_NO_NAME. */
#define DNS_MOST_SRV 4096
typedef void dns_on_srv_f(void *cookie, const struct dns_srv *v, size_t n, enum reason why);

/* Asked of the name servers alone, without the search list, and not kept. As dns_start otherwise. */
struct dns_srv_lookup *dns_srv_start(struct dns *, struct span name, dns_on_srv_f *, void *cookie);
void dns_srv_cancel(struct dns_srv_lookup **l);

#endif
