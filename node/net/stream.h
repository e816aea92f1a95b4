/* stream: bytes both ways, whatever carries them: a socket (stream_plain.h) or TLS over another stream (tls/stream_tls.h).
 *
 * A stream is pulled and pushed by its owner; it calls back only to say that it is ready. The rules:
 *   - stream_read gives what is there; STREAM_AGAIN: nothing now. 0: the peer has ended its side (the other side may still be
 *     open: half-close).
 *   - stream_write takes what it has room for, from the front; STREAM_AGAIN: nothing now. What it took is on its way.
 *   - After AGAIN (or at any time) stream_want says what the owner waits for; on_ready then comes, never from inside
 *     another call of the same stream, with what is ready. It comes again as long as it is wanted and so.
 *   - A write that is ready is told as a bulk job (loop.h), one a turn; reads at once.
 *   - STREAM_FAILED is final; stream_why gives the reason.
 * A stream belongs to its loop's thread and to one owner, who ends it with stream_close. */
#ifndef NODE_NET_STREAM_H
#define NODE_NET_STREAM_H

#include <stdbool.h>
#include <sys/types.h>

#include "node/base/reason.h"
#include "node/base/span.h"
#include "node/net/addr.h"
#include "node/net/loop.h"

#define STREAM_AGAIN ((ssize_t)-1)
#define STREAM_FAILED ((ssize_t)-2)

enum { STREAM_READ = 1, STREAM_WRITE = 2 };

/* How much one stream_write takes at the most: the piece of a large body that one turn moves. */
#define STREAM_TURN_BYTES (64 * 1024)
/* A TLS record, and some more. */
#define STREAM_ROOM_MAX ((size_t)18 * 1024)

enum stream_end {
	STREAM_CLEAN, /* what was written arrives, then the end is told as the protocol has it */
	STREAM_CUT,   /* at once and visibly: a reader must not take what came for the whole */
};

struct stream;

typedef void stream_on_ready_f(void *cookie, unsigned events);

struct stream_ops {
	const char *name;
	ssize_t (*read)(struct stream *, void *to, size_t room);
	ssize_t (*write)(struct stream *, const struct span *v, int n);
	/* Takes all, for small things that must follow each other closely (records, handshakes): kept until the end of the
	 * handler and sent together. False when the stream has failed. */
	bool (*push)(struct stream *, struct span);
	/* Of streams that have it: see stream_room. */
	char *(*room)(struct stream *, size_t n);
	bool (*filled)(struct stream *, size_t n);
	bool (*blocked)(const struct stream *); /* something taken is still waiting for room below */
	void (*want)(struct stream *, unsigned events);
	void (*end_writing)(struct stream *);
	void (*close)(struct stream *, enum stream_end);
	const struct addr *(*peer)(const struct stream *);
};

/* First member of every kind of stream. */
struct stream {
	unsigned magic;
	const struct stream_ops *ops;
	struct loop *loop;
	stream_on_ready_f *on_ready;
	void *cookie;
	enum reason why; /* of STREAM_FAILED */
};

#define STREAM_MAGIC 0x57e3a001

/* The owner's callback; may be changed when a stream is handed on. */
void stream_set_handler(struct stream *, stream_on_ready_f *, void *cookie);
ssize_t stream_read(struct stream *, void *to, size_t room);
ssize_t stream_write(struct stream *, const struct span *v, int n);
bool stream_push(struct stream *, struct span);
/* The place where stream_push would copy n bytes (STREAM_ROOM_MAX at the most) to, for a caller that makes them and can make them
 * there: stream_filled follows at once, with how many they have become. NULL when there is no such place: push them then. */
char *stream_room(struct stream *, size_t n);
bool stream_filled(struct stream *, size_t n);
bool stream_blocked(const struct stream *);
void stream_want(struct stream *, unsigned events);
/* Our side ends: no more writes; reading goes on (half-close). */
void stream_end_writing(struct stream *);
/* The peer's address at the bottom. */
const struct addr *stream_peer(const struct stream *);
enum reason stream_why(const struct stream *);
/* Frees (at the latest when what was written has gone), clears *s; NULL inside is harmless. No callback comes afterwards. */
void stream_close(struct stream **s, enum stream_end);

#endif
