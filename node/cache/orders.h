/* orders: what an operator has ordered that outlives what is stored: digests that are denied, and times before which something is stale.
 *
 * In a file of lines in the state folder, appended to and synced before an order counts as given; a torn last line is cut off, and
 * the file is written anew when most of it is out of date:
 *
 *     deny sha256:9f86… 1700000000000        by when it was said: of two about one digest the later counts, of the same time the denial
 *     allow sha256:9f86… 1700000000500
 *     stale 3 1700000000000 registry.test    kind (purgerec.h), time, value
 *
 * At most ORDERS_MOST_DIGESTS digests, and ORDERS_MOST_STALE marks: when these are full, the oldest becomes one for everything, so that
 * more is asked about than has to be, never less.
 *
 * Any thread; a lock of its own, not held while the disk is waited for but by who gives an order. Where there are no orders, asking costs one load.
 * All but orders_open and orders_free take NULL: there are none. */
#ifndef NODE_CACHE_ORDERS_H
#define NODE_CACHE_ORDERS_H

#include "node/base/log.h"
#include "node/cache/entry.h"
#include "proto/purgerec.h"

struct orders;

#define ORDERS_MOST_DIGESTS 10000
#define ORDERS_MOST_STALE 256
#define ORDERS_JSON_BYTES(n) ((size_t)128 * (n) + 64)

/* Reads the file, or makes it. NULL with a sentence in why. Blocks on the disk. */
struct orders *orders_open(const char *path, struct log *, char *why, size_t why_bytes);
void orders_free(struct orders *); /* harmless on NULL */

/* False: the list is full. A disk that fails is said in the log, and the order holds until the end of the process. Blocks on the
 * disk. */
bool orders_deny(struct orders *, const uint8_t digest[PURGEREC_DIGEST_BYTES], wall_ms at);
bool orders_allow(struct orders *, const uint8_t digest[PURGEREC_DIGEST_BYTES], wall_ms at);

bool orders_deny_something(const struct orders *);
bool orders_denies(struct orders *, const uint8_t digest[PURGEREC_DIGEST_BYTES]);
/* {"denied":[{"digest":"sha256:…","at":"2026-…"},…],"most":10000}, the oldest first. The caller frees the text. */
struct span orders_format(struct orders *);

/* Under this URL a denied body was stored, or has come lately: whoever asks next is told of a body only when all of it is here, so that
 * there is time for an error page. Remembered in memory, the last ORDERS_SUSPECTS. */
#define ORDERS_SUSPECTS 1024
void orders_suspect(struct orders *, const struct key *);
bool orders_suspects(struct orders *, const struct key *);

/* What is meant (kind without PURGEREC_SOFT) and was received at that time or before is stale. Blocks on the disk. */
void orders_outdate(struct orders *, enum purgerec_kind, struct span value, wall_ms at);
bool orders_outdated(struct orders *, const struct head *, wall_ms received);

#endif
