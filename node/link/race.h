/* race: a TCP connection to a host by name: resolve, then race the addresses.
 *
 * As RFC 8305 has it: families in turn with IPv6 first, the next address 250 ms after the last or at once when one fails, the first
 * that connects wins and the others are closed. The look-up has dns.h's deadline, the race its own. Belongs to its loop's thread. */
#ifndef NODE_LINK_RACE_H
#define NODE_LINK_RACE_H

#include "node/base/reason.h"
#include "node/base/span.h"
#include "node/net/addr.h"
#include "node/net/loop.h"

struct dns;
struct race;

/* May this address be dialled? Asked at the moment when connect() is about to get it. */
typedef bool race_may_f(void *cookie, const struct addr *);

struct race_report {
	/* NONE, or DNS_*, TOO_BUSY, CONNECT_REFUSED ("refused" is told before others, since somebody was there to refuse), CONNECT_FAILED,
	 * CONNECT_TIMEOUT, DENIED_ADDRESS (none may be dialled) */
	enum reason why;
	const char *detail; /* more in words: "No route to host"; may be empty, never NULL */
	struct addr addr;   /* the one connected, or tried last; len 0: none */
};

/* `fd` (connected, non-blocking) is the callback's to close; -1 when report->why says why not. The report is borrowed. The race is gone
 * when it comes. */
typedef void race_on_done_f(void *cookie, int fd, const struct race_report *report);

/* `host` (name or address, without brackets) is copied. `may` NULL: any address. `connect_timeout` 0: none. Never calls back from
 * inside. */
struct race *race_start(struct loop *, struct dns *, struct span host, uint16_t port, dur_ms connect_timeout,
			race_may_f *may, race_on_done_f *, void *cookie);
/* In silence; clears *r; NULL inside is harmless. */
void race_cancel(struct race **r);

#endif
