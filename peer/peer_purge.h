/* peer_purge: purges of the whole cluster: checked, done, kept, passed on.
 *
 * Each record (proto/purgerec.h) carries a signature by the cluster's purge key, which edges do not have, so it does not matter by whom it
 * comes: by datagram, from a parent's log, from the control socket. A record that is new and fits is done at once and appended to a
 * small log in the state folder (fsync), of which the 10000 with the highest serials are kept; a node that was away asks for what came
 * after its last serial (peer_door.h). When that lies before the log's beginning, everything is purged: nothing that should be gone may
 * come back.
 *
 * Records may come in any order and any number of times: in the end the same ones are kept. Datagrams get lost and overtake each
 * other, so that a node can have the newest record and lack one before it: who asks for a log is given the last hour before what it
 * has, too (peer_purge_recent). What is as old as the beginning of the log counts as known, so that a purge of long ago cannot be done
 * again by somebody who has recorded it.
 *
 * Any thread may apply and read; locks of its own. */
#ifndef PEER_PEER_PURGE_H
#define PEER_PEER_PURGE_H

#include "node/base/log.h"
#include "node/tls/sign.h"
#include "proto/purgerec.h"

struct peer_purge;

struct peer_purge_settings {
	const char *path; /* the log; made when missing */
	const char *cluster;
	uint8_t public_key[SIGN_PUBLIC_BYTES];
	struct log *log;
	size_t keep; /* records; 0: 10000 */
	/* Does it: how many stored responses went. Called without a lock held, on the thread that applies. */
	uint32_t (*remove)(void *cookie, const struct purgerec *);
	void *cookie;
};

/* Reads the log; a torn last record (power loss) is cut off and said. NULL with a sentence in why. Blocks on the disk. */
struct peer_purge *peer_purge_open(const struct peer_purge_settings *, char *why, size_t why_bytes);
void peer_purge_free(struct peer_purge *); /* harmless on NULL */

enum peer_purge_result { PEER_PURGE_DONE, PEER_PURGE_KNOWN, PEER_PURGE_BAD };

/* One record, as bytes. *removed: how many responses went. BAD: not a record, or the signature does not fit. Blocks on the disk when it
 * is new. A disk that fails is said in the log, and the record is kept in memory alone. */
enum peer_purge_result peer_purge_apply(struct peer_purge *, struct span record, uint32_t *removed);

/* The serial of the newest; 0: none yet. */
uint64_t peer_purge_serial(struct peer_purge *);
/* A record of our own, signed: the next serial is in it. It is not applied yet. False when it does not fit b, or the value no record. */
bool peer_purge_make(struct peer_purge *, const struct sign_key *, enum purgerec_kind, struct span value, wall_ms now,
		     struct buf *b);

/* The log as it is sent: the records after `since`, oldest first, each with its length in 2 bytes (big-endian) before it, as many as
 * fit b (PEER_PURGE_PAGE_BYTES at least); `*more`: there are others. False: `since` lies before the beginning of the log (and is not
 * 0): the asker must purge everything, and then take all. */
bool peer_purge_since(struct peer_purge *, uint64_t since, struct buf *b, bool *more);
/* The same from an hour before `since` on, as far as the log reaches back: for the first page. Those that follow go by
 * peer_purge_since and the last serial of the one before. */
bool peer_purge_recent(struct peer_purge *, uint64_t since, struct buf *b, bool *more);
#define PEER_PURGE_PAGE_BYTES ((size_t)64 * 1024)

/* What one of these of another node gave. Returns how many were new; -1: it is damaged from somewhere on, and what was good before it
 * has been done. */
long peer_purge_take(struct peer_purge *, struct span log, uint32_t *removed);
/* The serial of the last record in such a page; 0: there is none. */
uint64_t peer_purge_last(struct span log);

#endif
