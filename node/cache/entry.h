/* entry: one response, from the moment somebody sends for it until nobody holds it any more.
 *
 * Phases, and who moves it on:
 *
 *   NEW       in the index as pending; a flight (fetch/) has set out for it          index_find
 *   FILLING   the head is known, the body is coming                                  entry_set_head
 *   COMPLETE  all is there; published in the index if it may be stored               entry_end, then index_publish
 *   FAILED    no answer came, or it broke off                                        entry_end
 *   MARK      no response at all: remembers that this URL's answers cannot be shared (hit-for-miss), until a time
 *
 * Those who wait watch the entry, not the flight: a watch (below) is told on its own loop when something has changed, and then
 * asks entry_look. The flight alone writes; it belongs to one loop, watches to any.
 *
 * Where the body is: in memory (body.h), or in a file of the disk tier, or, while it comes and goes to a file, in both: a window in memory
 * over the newest bytes, the file behind it. The file's end never lies before the window's beginning, so every byte that is published can be
 * read from one of the two (reader.h). Who reads from memory holds the window (entry_watch_advance); who is too far behind is sent to the file.
 *
 * The head is immutable: a 304 makes a new head over the same body, swapped under the shard's lock. References are counted; the
 * index, the eviction heap, the flight and every reader hold one each.
 *
 * Locks: fields marked [s] belong to the index shard's lock, [f] to the flight's loop, [c] never change after the entry is
 * made. The shard's lock is held for pointer work only, and no other lock is taken under it. */
#ifndef NODE_CACHE_ENTRY_H
#define NODE_CACHE_ENTRY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "node/base/clock.h"
#include "node/base/map.h"
#include "node/base/reason.h"
#include "node/base/span.h"
#include "node/cache/body.h"
#include "node/cache/evict.h"
#include "node/cache/key.h"
#include "node/net/loop.h"
#include "proto/fresh.h"

/* ---- heads ---- */

/* Where a piece of head.text is; n == 0: not there. */
struct head_part {
	uint32_t at, n;
};

struct head {
	_Atomic unsigned refs;
	uint16_t status;
	bool has_length; /* the origin said how long the body is */
	bool is_html;
	uint64_t length;             /* of the body, if has_length */
	mono_us received;            /* when the head came: ages count from here */
	wall_ms date, last_modified; /* HTTPDATE_NONE: not given */
	struct fresh_terms terms;
	struct head_part etag, type; /* within the fields */
	uint32_t n;                  /* bytes of fields */
	uint16_t phrase_n, vary_n, url_n;
	bool has_room;   /* for a digest */
	bool has_digest; /* set once, by the flight, before the entry is complete; to be asked of complete ones alone */
	/* End-to-end fields, formatted, each with CRLF; then the reason phrase, Vary in normal form, the store-id, and room for the
	 * body's SHA-256. */
	char text[];
};

#define HEAD_DIGEST_BYTES 32

struct head *head_ref(struct head *);
void head_unref(struct head **); /* clears it; any thread */

static inline struct span head_part(const struct head *h, struct head_part p)
{
	return span_of(h->text + p.at, p.n);
}

static inline struct span head_phrase(const struct head *h)
{
	return span_of(h->text + h->n, h->phrase_n);
}

static inline struct span head_vary(const struct head *h)
{
	return span_of(h->text + h->n + h->phrase_n, h->vary_n);
}

static inline struct span head_url(const struct head *h)
{
	return span_of(h->text + h->n + h->phrase_n + h->vary_n, h->url_n);
}

/* SHA-256 of the whole body; NULL: not known (or no room was made for it). */
static inline const uint8_t *head_digest(const struct head *h)
{
	return h->has_digest ? (const uint8_t *)h->text + h->n + h->phrase_n + h->vary_n + h->url_n : NULL;
}

/* The same head with other terms. One reference for the caller. */
struct head *head_with_terms(const struct head *, const struct fresh_terms *);

/* Harmless where there is no room. */
void head_set_digest(struct head *, const uint8_t digest[HEAD_DIGEST_BYTES]);

/* What the head says of Age and freshness after it has been here until `now`. */
static inline dur_ms head_here(const struct head *h, mono_us now)
{
	return (now - h->received) / 1000;
}

/* ---- entries ---- */

enum entry_phase { ENTRY_NEW, ENTRY_FILLING, ENTRY_COMPLETE, ENTRY_FAILED, ENTRY_MARK };

/* What came of a flight for those who wait, in phases COMPLETE and FAILED. */
enum entry_outcome {
	ENTRY_FILLED,       /* here is the response */
	ENTRY_NOT_MODIFIED, /* 304 to the flight's own condition: the stored response has been freshened, look again */
	ENTRY_LOADED,       /* it was on this node's disk, and is published now: look again */
	ENTRY_BROKEN,       /* `why` */
};

struct disk_file;
struct watchers; /* entry.c: only while the entry is filled or watched */
struct shard;

/* A credential that the origin has accepted for this very response, and until when that is believed. */
struct entry_pass {
	struct key_credential credential;
	mono_us until;
};

struct entry {
	unsigned magic;
	_Atomic unsigned refs;
	union {
		struct map_node
			node; /* [s] in published or pending; its hash lies over the key's first bytes, and is the same */
		struct {
			struct map_node *in_node;
			struct key key; /* [c] primary */
		};
	};
	struct key_variant variant; /* [s] set before it is published */
	struct shard *shard;        /* [c] */
	struct head *head;          /* [s] */
	struct body body;
	struct watchers *watchers; /* [s] NULL when complete and unwatched, and all in memory */
	union {
		struct evict_item evict; /* the store's lock, once it is kept there */
		struct {
			struct heap_node in_no_line; /* as evict begins: valid from birth */
			/* [s] while pending: for whom it was begun; only the same may join */
			struct key_credential who;
			uint32_t order; /* [s] while pending: how far from the origin (peer_ask.h); 0: not known */
		};
	};
	_Atomic uint32_t hits; /* since it was last weighed */
	uint8_t phase : 4;     /* [s] enum entry_phase */
	uint8_t outcome : 4;   /* [s] enum entry_outcome */
	uint8_t why;           /* [s] enum reason, for ENTRY_BROKEN */
	uint8_t n_passes;      /* [s] */
	bool in_index : 1;     /* [s] */
	bool is_pending : 1;   /* [s] in the map of pending ones */
	bool joinable : 1;     /* [s] pending: others may wait for it */
	bool shared : 1;       /* [s] those who have joined may read it */
	bool guarded : 1;      /* [s] stored from an authorised request: only for credentials in `passes` */
	bool stored : 1;       /* [s] kept whole; false: a window over a body that goes by */
	bool begun_to_go : 1;  /* [s] not stored: the window has left the beginning; who comes now comes too late */
	bool purged : 1;       /* [s] pending: must not be published any more */
	union {
		struct entry_pass *passes; /* [s] at most ENTRY_MAX_PASSES, the oldest goes; not of a mark */
		mono_us mark_until;        /* [s] ENTRY_MARK */
	};
};

#define ENTRY_MAGIC 0xe47291c0

_Static_assert(offsetof(struct entry, node.hash) == offsetof(struct entry, key), "key_hash: the key's first bytes");
_Static_assert(sizeof(struct entry) <= 168, "there are millions; malloc takes 8 bytes, and rounds up to 16");
#define ENTRY_MAX_PASSES 32

/* May this go to other nodes of the cluster? Anonymous, 200, good for ever, and kept: under the shard's lock, or in a view. */
bool entry_is_shareable(const struct entry *);

bool entry_was_shareable(struct entry *); /* the same of one that has left the index; takes the lock */

/* What an entry costs besides its chunks; takes the shard's lock. */
uint64_t entry_overhead(struct entry *);

struct entry *entry_ref(struct entry *);
void entry_unref(struct entry **); /* clears it; the last one frees; any thread */

/* ---- looking ---- */

struct entry_view {
	enum entry_phase phase;
	enum entry_outcome outcome;
	enum reason why;
	struct head *head; /* one reference for the caller (head_unref); NULL in phase NEW */
	struct key_variant variant;
	bool stored, guarded;
	uint32_t order; /* while pending */
	struct disk_file *
		file; /* borrowed, as long as the entry is held: its body is there, too; NULL: in memory alone (so far) */
	/* Who joined may read it (if the variant fits). False: it is for the one who began alone, or the beginning has gone by (one who
	 * starts a watch first and looks then cannot be overtaken in between). */
	bool shared;
};

void entry_look(struct entry *, struct entry_view *out);

/* Has this credential been accepted for a guarded entry, lately? Also true for one that is not guarded. */
bool entry_admits(struct entry *, const struct key_credential *, mono_us now);
/* From now on only for credentials that the origin accepts; those accepted so far stay. */
void entry_guard(struct entry *);
/* The origin has said 200 or 304 to it. Nobody in particular (anonymous): the guard falls. */
void entry_admit(struct entry *, const struct key_credential *, mono_us until);

/* ---- watching ---- */

typedef void entry_on_change_f(void *cookie);

/* Embedded in whoever waits; belongs to its loop's thread. */
struct entry_watch {
	TAILQ_ENTRY(entry_watch) link;
	unsigned round;      /* of the walk that has told it last */
	bool in_file;        /* [s] it reads the file, and needs no window */
	struct entry *entry; /* NULL: not watching */
	struct loop *loop;
	void *set;
	entry_on_change_f *on_change;
	void *cookie;
	uint64_t pos; /* [s] how far this reader has come */
};

/* From now on on_change comes (never from inside) whenever something of the entry has changed, until entry_watch_stop. Look once
 * after starting: what changed before is not told. Holds a reference. `from` is the reader's position. */
void entry_watch_start(struct entry_watch *, struct entry *, struct loop *, uint64_t from, entry_on_change_f *,
		       void *cookie);
/* The reader has come this far: lets a window move on. Not NULL: it has been left so far behind that it has to read this file (borrowed as
 * above) from now on, and holds nothing of the memory any more. */
#define ENTRY_LAG_BYTES ((uint64_t)2 * 1024 * 1024)
struct disk_file *entry_watch_advance(struct entry_watch *, uint64_t pos);
/* One who reads the file (`watch` NULL or stopped: of a complete entry) goes on from memory. False: that does not have this place. */
bool entry_into_memory(struct entry *, struct entry_watch *, uint64_t pos, struct body_at *out);
/* Harmless when not watching. */
void entry_watch_stop(struct entry_watch *);

/* ---- for the flight, on its loop ---- */

struct entry_filler {
	struct loop *loop;
	/* Posted to the flight's loop when the last watcher has left, or when a reader of a window has moved on. */
	loop_fn *on_readers;
	void *arg; /* kept valid by the flight until entry_end */
};

/* Takes the head. Phase NEW → FILLING. */
struct entry_terms {
	bool stored, guarded; /* as in struct entry */
	bool shared;          /* those who have joined may read it */
	bool joinable;        /* others may join from now on */
	struct key_variant variant;
};

void entry_set_head(struct entry *, struct head *head, const struct entry_terms *);
/* The head of a published entry is replaced (a 304 came). Takes the head. */
void entry_swap_head(struct entry *, struct head *head);
void entry_set_filler(struct entry *, const struct entry_filler *);
/* More about a failure, for error texts; at most ENTRY_DETAIL_BYTES. Before entry_end. */
#define ENTRY_DETAIL_BYTES 200
void entry_set_detail(struct entry *, struct span);
/* Copied to out; empty when there is none. */
void entry_detail(struct entry *, char out[ENTRY_DETAIL_BYTES + 1]);
/* While it is pending: where in the chain of nodes that read from each other its bytes come in. */
void entry_set_order(struct entry *, uint32_t order);
/* After body_publish, from time to time: wakes the watchers. `self` is the loop that calls: its own watchers are told without
 * a post. */
void entry_grown(struct entry *, struct loop *self);
/* The end. Watchers are woken. True: a post of on_readers is still on its way, and `arg` must live until it has come. */
bool entry_end(struct entry *, enum entry_outcome, enum reason why, struct loop *self);
/* It is too large to keep: from now on only those who watch now read it, through a window. */
void entry_unstore(struct entry *);
/* The body goes to this file, too (or is there, of one that is not filled); shares it. Once. */
void entry_set_file(struct entry *, struct disk_file *);

struct disk_file *entry_file(struct entry *);              /* as in a view; takes the lock */
struct disk_file *entry_file_locked(const struct entry *); /* the same under the shard's lock */

/* Frees what of the window lies before `pos` and before all who read from it; gives back what that was charged. */
uint64_t entry_trim(struct entry *, uint64_t pos);
/* The window is full: who reads from memory tells from now on when it has moved on; those who lag are woken, so that they do. */
void entry_await_room(struct entry *, struct loop *self);

struct entry_readers {
	unsigned n;
	uint64_t slowest; /* position of the one furthest behind; UINT64_MAX without readers */
};

/* What lies before the slowest may be trimmed afterwards, unless the body is stored. `told`: this is the call of on_readers; from
 * now on a further change posts again. */
struct entry_readers entry_readers(struct entry *, bool told);

/* ---- for the index ---- */

struct entry *entry_new(struct shard *, const struct key *);
pthread_mutex_t *shard_lock(struct shard *);

#endif
