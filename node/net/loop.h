/* loop: one thread's events, timers and messages from other threads. The door to libevent together with its neighbours in
 * node/net/.
 *
 * A turn of the loop: wait for events; run the handlers of those that came (small things: reads, accepts, wake-ups); run what
 * was deferred; let ONE bulk job go on; again. So a small hit waits for at most one piece of one large download, and large
 * downloads, being served once a turn each, starve neither.
 *
 * Everything here belongs to the loop's own thread, except loop_post and loop_id. */
#ifndef NODE_NET_LOOP_H
#define NODE_NET_LOOP_H

#include <stdbool.h>
#include <sys/queue.h>

#include "node/base/clock.h"
#include "node/base/heap.h"

struct loop;

typedef void loop_fn(void *arg);

/* Borrows the clock. Aborts when the kernel gives no epoll or eventfd. */
struct loop *loop_new(int id, const struct clock *);
/* Runs until loop_stop; on the thread that is to own the loop. May be run again after that. */
void loop_run(struct loop *);
void loop_stop(struct loop *);
/* Posts that were not run are dropped. */
void loop_free(struct loop *);

int loop_id(const struct loop *);
mono_us loop_now(const struct loop *);
wall_ms loop_wall(const struct loop *);

/* From any thread: fn(arg) runs on the loop's thread in a later turn, in the order of the posts. Carry a counted reference or
 * an id, never a bare pointer: who has left meanwhile must not be found. */
void loop_post(struct loop *, loop_fn *fn, void *arg);

/* For stress tests: each post waits a random time up to this many microseconds; order among posts is kept. Before loop_run. */
void loop_delay_posts(struct loop *, int64_t max_us, uint64_t seed);

/* deferred: a call at the end of this turn (or, as bulk, when its turn comes; or when the loop is freed). Embedded in its owner;
 * zeroed = not set. */
struct deferred {
	TAILQ_ENTRY(deferred) entry;
	loop_fn *fn;
	void *arg;
	bool set;
	enum { DEFERRED_TURN, DEFERRED_BULK, DEFERRED_END } when;
};

/* Harmless when already set. Never calls from inside. */
void loop_defer(struct loop *, struct deferred *, loop_fn *fn, void *arg);
void loop_bulk(struct loop *, struct deferred *, loop_fn *fn, void *arg);
/* In loop_free: for what belongs to nobody but the loop any more. */
void loop_at_end(struct loop *, struct deferred *, loop_fn *fn, void *arg);
void loop_defer_cancel(struct loop *, struct deferred *); /* after this the call does not come */

/* timer: embedded in its owner. Moving the time later, as happens with each request of a connection, costs a store; the heap is
 * corrected when the old time comes. */
struct timer {
	struct heap_node node;
	struct loop *loop;
	mono_us due;    /* what the owner asked for; MONO_NEVER: not set */
	mono_us queued; /* where it stands in the heap: never later than due */
	loop_fn *fn;
	void *arg;
};

void timer_init(struct timer *, struct loop *, loop_fn *fn, void *arg);
void timer_set(struct timer *, mono_us due); /* fires once, at or after `due` */
void timer_set_in(struct timer *, dur_ms from_now);
void timer_clear(struct timer *); /* may be set again; cheap: stays in the heap until its time */
void timer_fini(struct timer *);  /* must be called before its memory goes */

/* fdwatch: readiness of a file descriptor (level-triggered). The fd stays the owner's. */
struct fdwatch;
enum { FD_READ = 1, FD_WRITE = 2 };
typedef void fdwatch_on_ready_f(void *cookie, unsigned events);

struct fdwatch *fdwatch_new(struct loop *, int fd, fdwatch_on_ready_f *, void *cookie);
/* What to be told of; an event that is no longer wanted is taken off the kernel's list only when it fires, so that turning
 * it off and on again costs no system call. */
void fdwatch_want(struct fdwatch *, unsigned events);
void fdwatch_free(struct fdwatch *);

/* outbuf: where small writes of one stream meet before they go to the socket together (stream_plain.c). The loop flushes it
 * after every handler, so nothing is ever left lying. */
struct outbuf;
struct outbuf *loop_outbuf(struct loop *);
void loop_set_outbuf(struct loop *, struct outbuf *, void (*flush)(struct outbuf *), void (*free)(struct outbuf *));

/* Memory for streams to gather small pieces in, during one call: nobody else may use it. */
#define LOOP_SCRATCH_BYTES (17 * 1024)
char *loop_scratch(struct loop *);

/* A piece of memory that bytes only pass through: the one that was given back last, still warm in the processor's caches, or a
 * new one. It may be held as long as need be; one is kept for the next. */
#define LOOP_PIECE_BYTES (64 * 1024)
char *loop_piece_take(struct loop *);
void loop_piece_give(struct loop *, char *);

#endif
