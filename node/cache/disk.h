/* disk: the tier on disk: objects as files that describe themselves, and a small index of them in memory.
 *
 *     disk          the tier: opening, looking, room, eviction, quarantine                  disk_internal.h has its files
 *     disk_file     one object: its format, reading it chunk by chunk with its sums         disk_file.h
 *     disk_format   what the bytes of a file mean                                           disk_format.h
 *     disk_index    what is there, in memory                                                disk_index.h
 *     disk_journal  the same on the disk: 64 bytes an object, read at start                 disk_journal.h
 *     disk_writer   one object on its way to the disk                                       disk_writer.h
 *     disk_ops      the system calls, as a table, so that tests can break them              disk_ops.h
 *
 * No call here waits for a disk, but those that say so: what is in the page cache is read at once (openat2 with
 * RESOLVE_CACHED, preadv2 with RWF_NOWAIT), everything else is done by workers (node/net/work.h), whose queue is
 * bounded: when it is full, less is stored.
 *
 * Order of things: data, then rename, then the index; no fsync of each object: a torn file shows by its sums, and is a
 * miss. What is in the index and not on the disk, or the other way round, is put right in the background. The index is
 * disposable: when it is damaged it is made anew from the files. kill -9 loses at most the last second.
 *
 * `size` and `min_free` are honoured also while something is written: room is made first (LFUDA), and what cannot have
 * room is not stored. Any thread, unless said; one lock, held for arithmetic and pointers. */
#ifndef NODE_CACHE_DISK_H
#define NODE_CACHE_DISK_H

#include "node/base/log.h"
#include "node/cache/index.h"
#include "node/net/work.h"

struct disk;
struct disk_file;
struct disk_ops;
struct orders;
struct disk_writer;

struct disk_settings {
	const char *path; /* the folder; made when missing */
	uint64_t size;    /* bytes of files, index included */
	unsigned min_free_percent;
	uint64_t min_free; /* of the file system, in bytes; the larger of both counts */
	uint64_t max_object;
	struct work *work;
	struct log *log;
	const struct clock *clock;
	const struct disk_ops *ops; /* NULL: the system's */
	struct orders *orders;      /* what is denied by these is not here, what is stale by these is; NULL: none */
};

/* Reads the index; serves at once, also while strays are looked for. NULL with a sentence: the folder cannot be used, a
 * newer version wrote it. Blocks on the disk. */
struct disk *disk_open(const struct disk_settings *, char *why, size_t why_bytes);
/* All files and writers have been given back, no job of it waits at `work` any more, and the loops that asked for
 * something are freed (or will get nothing): so first the loops stop, then work_free, loop_free, disk_close. Writes
 * what is left of the index. Blocks. Clears *d; harmless on NULL inside. */
void disk_close(struct disk **d);
/* Another process takes the folder over. Nothing is found, written, moved or removed from now on; what is open is read to its end. Writes
 * what is left of the index. Blocks. disk_close follows as always. */
void disk_let_go(struct disk *);
void disk_set_limits(struct disk *, uint64_t size, unsigned min_free_percent, uint64_t min_free); /* after a reload */

/* Told, by a thread of the disk's and under no lock, of each object that is evicted, purged or found damaged while somebody has it open: who
 * keeps it open for later gives it back, so that its room becomes free. NULL: nobody, from the return of this on. */
typedef void disk_on_gone_f(void *cookie, struct disk_file *);
void disk_tell_gone(struct disk *, disk_on_gone_f *, void *cookie);

/* ---- looking ---- */

/* Is anything kept for this key (any variant)? A look into memory. */
bool disk_has(struct disk *, const struct key *);

#define DISK_HALF_KEY_BYTES 16

/* Is there something that may go to other nodes (anonymous, good for ever, 200), for a key of which only the first half is known, of this very
 * variant (NULL: of any)? A look into memory, as the next one: what it costs to be wrong is one question in vain. */
bool disk_has_shared(struct disk *, const uint8_t key[DISK_HALF_KEY_BYTES], const struct key_variant *);

struct disk_shared {
	uint8_t key[DISK_HALF_KEY_BYTES];
};

/* Told, by any thread and under the disk's lock, of each of these that has come, or has gone for whatever reason: to copy the key, no more. What the
 * journal has at the start has not come. NULL: nobody, from the return of this on. */
typedef void disk_on_shared_f(void *cookie, const uint8_t key[DISK_HALF_KEY_BYTES], bool came);
void disk_tell_shared(struct disk *, disk_on_shared_f *, void *cookie);

#define DISK_PARTS 64

/* All of these in one of DISK_PARTS parts. The caller frees *out; NULL when there are none. */
size_t disk_shared(struct disk *, unsigned part, struct disk_shared **out);

enum disk_got {
	DISK_FILE, /* *out, with one reference for the caller */
	DISK_NONE, /* nothing for this request */
	DISK_COLD, /* something, but not in the page cache: ask by disk_find_start */
};

/* A small object (a file of up to 64 KiB) is read and checked whole when it is opened. */
struct disk_small {
	char *bytes; /* for the caller to free; NULL: it is not a small one, or was open already */
	struct span body;
};

/* The object for this request, its head and end read and checked (of a small one, all: *small, unless NULL). Which variant
 * it is, is decided by the Vary of what is there. Never waits. What is damaged goes to quarantine, and is not there. */
enum disk_got disk_find_now(struct disk *, const struct index_ask *, struct disk_file **out, struct disk_small *small);

/* The same by a worker: `file` is the callback's to take, or NULL. On the loop that asked. There is no cancelling:
 * cookie finds its owner by reference. -1: the queue is full; treat as nothing there. The ask is copied with all its
 * fields. When the loop is freed first, the callback does not come. */
typedef void disk_on_found_f(void *cookie, struct disk_file *file);
int disk_find_start(struct disk *, const struct index_ask *, struct loop *, disk_on_found_f *, void *cookie);

/* Served from: counts for the policy. */
void disk_hit(struct disk *, struct disk_file *, uint32_t hits);
/* What it says is not good (a sum does not fit, it cannot be read): never found again; the file is moved to
 * quarantine/, of which the newest 100 are kept. */
void disk_quarantine(struct disk *, struct disk_file *, const char *why);

/* ---- removing ---- */

/* All variants of a key; how many. Files go in the background, those that are open are read to their end. A write under
 * way is not published. */
unsigned disk_purge(struct disk *, const struct key *);
/* Those whose store-id fits: their heads are read by a thread of the disk's, which asks `fits` there, also under its
 * lock (a comparison of bytes, no more; digest NULL: not known yet). `done` on the loop, with how many went; while
 * strays are being looked for, after that. What cookie points to is kept until `done`, or until the loop is freed. */
typedef bool disk_fits_f(void *cookie, const struct head *, const uint8_t *digest);
typedef void disk_on_purged_f(void *cookie, unsigned n);
void disk_purge_if(struct disk *, disk_fits_f *, struct loop *, disk_on_purged_f *, void *cookie);

/* ---- figures ---- */

struct disk_counts {
	uint64_t objects, used, size; /* used: bytes of files, index included */
	uint64_t free_on_disk, floor; /* of the file system; what has to stay free of it */
	uint64_t evicted, quarantined, writes, write_failures, read_failures;
	uint64_t dropped_writes; /* not stored, or not to the end: no room, errors lately, or: */
	uint64_t dropped_busy;   /* of these: too much waited to be written already */
	bool loading, read_only; /* strays are being looked for; nothing can be written */
};

struct disk_counts disk_counts(struct disk *);

/* ---- scrub ---- */

struct disk_scrub {
	uint64_t objects, bytes, bad, total; /* so far; total: objects there are */
	bool done;
};

/* Reads every object once and checks its sums, at most so many bytes a second (0: no limit). One at a time: -1 when one
 * runs. */
int disk_scrub_start(struct disk *, uint64_t bytes_a_second);
void disk_scrub_look(struct disk *, struct disk_scrub *);
void disk_scrub_stop(struct disk *);

/* A walk over all objects, for export and recheck, in pages: heads are read by a worker. Blocks: on a worker only. */
typedef bool disk_each_f(void *cookie, struct disk_file *); /* false: enough */
void disk_each(struct disk *, disk_each_f *, void *cookie);

#endif
