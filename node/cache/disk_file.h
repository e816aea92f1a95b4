/* disk_file: one object on disk: opened, growing or complete; many readers on any thread.
 *
 * disk_format.h has what the file looks like: a head part, the body, and an end part with a sum for each 64 KiB of the
 * body.
 *
 * A file without its end, or whose sums or lengths do not fit, is none. Every byte that leaves here has been checked by
 * its sum. */
#ifndef NODE_CACHE_DISK_FILE_H
#define NODE_CACHE_DISK_FILE_H

#include "node/cache/entry.h"
#include "node/net/loop.h"

struct disk_file;

#define DISK_CHUNK_BYTES (64 * 1024)

struct disk_file *disk_file_ref(struct disk_file *);
void disk_file_unref(struct disk_file **); /* clears it; the last one closes; any thread */

/* Head: one reference for the caller. One that was loaded has its `received` set back by the time that it has been on
 * the disk, by the wall clock (a clock that was set back makes it stale), and carries the digest. */
struct head *disk_file_head(struct disk_file *);
struct key disk_file_key(const struct disk_file *);
struct key_variant disk_file_variant(const struct disk_file *);
bool disk_file_is_guarded(
	const struct disk_file *); /* as struct entry has it: only for credentials that the origin accepts */
wall_ms disk_file_received(const struct disk_file *);
uint64_t disk_file_length(const struct disk_file *);       /* of the body; grows while it is written */
const uint8_t *disk_file_digest(const struct disk_file *); /* SHA-256; NULL while it is written */
uint64_t disk_file_memory(const struct disk_file *);       /* what it costs while it is open */
bool disk_file_is_kept(struct disk_file *);                /* in the tier: not evicted, purged, or found damaged */

/* Served from: counts for the tier's policy. No lock. */
void disk_file_hit(struct disk_file *);
/* For the memory tier to remember when it was asked for last (store.h: is_worth); 0 when it is opened. */
_Atomic uint64_t *disk_file_asked(struct disk_file *);

enum disk_read { DISK_READ_SOME, DISK_READ_COLD, DISK_READ_BAD };

/* Bytes from `pos` on into `to`: whole chunks as far as they fit (room of at least DISK_CHUNK_BYTES, or for all that is
 * left; pos a multiple of it), checked. Of a growing file what has been published, its last chunk perhaps in part; *n 0:
 * nothing there yet (or the end). COLD: not in the page cache. BAD: it has been quarantined already, if it was published.
 * Never waits. */
enum disk_read disk_file_read_now(struct disk_file *, uint64_t pos, char *to, size_t room, size_t *n);
/* The same, waiting for the disk: on workers only. Never COLD. */
enum disk_read disk_file_read(struct disk_file *, uint64_t pos, char *to, size_t room, size_t *n);

/* The same by a worker: `done`, with this struct, on the loop, when `got` and `n` are set. The asker's memory, and the file, stay until then. There is no
 * cancelling; when the loop is freed first, `done` does not come. -1: the queue is full. */
struct disk_file_reading {
	struct disk_file *file;
	uint64_t pos;
	char *to;
	size_t room, n;
	enum disk_read got;
};

int disk_file_read_start(struct disk_file_reading *, struct loop *, loop_fn *done);

#endif
