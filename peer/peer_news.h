/* peer_news: what has come here or gone from here without a pursuit, on its way from any thread to the cluster loop, where the homes are
 * told of it (peer_desk).
 *
 * Only keys are noted, not what to say: when the desk looks, it looks at what is here then. So it does not matter in which order two threads
 * have noted something of one key, nor that a new version took the place of the one that went, nor that the disk still has what memory has
 * evicted.
 *
 * A ring with a lock of its own, held to copy a few keys; who holds another lock may put. Full, it forgets what comes: a home that has not
 * heard that something has gone learns it from the first reader that does not find it, and what is here is announced every six hours. */
#ifndef PEER_PEER_NEWS_H
#define PEER_PEER_NEWS_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/peermsg.h"

#define PEER_NEWS_ROOM 4096

enum peer_news_kind {
	PEER_NEWS_STORED, /* by a flight that asked nobody */
	PEER_NEWS_LANDED, /* on the disk: to be told if memory does not have it any more, else it has been */
	PEER_NEWS_LEFT,   /* memory, or the disk */
};

struct peer_news_item {
	struct peermsg_key key;
	enum peer_news_kind kind;
};

struct peer_news;

struct peer_news *peer_news_new(void);
void peer_news_free(struct peer_news *); /* harmless on NULL */

/* Is there a home that would be told? Not at first; while there is none, nothing is kept. */
void peer_news_want(struct peer_news *, bool);
bool peer_news_is_wanted(const struct peer_news *); /* for who has to do something to find out what to put */

void peer_news_put(struct peer_news *, enum peer_news_kind, const uint8_t key[PEERMSG_KEY_BYTES]);
/* The oldest ones, at most n of them: how many. */
size_t peer_news_take(struct peer_news *, struct peer_news_item *out, size_t n);
uint64_t peer_news_lost(struct peer_news *); /* there was no room for */

#endif
