/* disk_writer: one object on its way to the disk, written by workers in the order in which it was given.
 *
 * Bytes become part of the file (disk_writer_file) once they are written: readers follow it as it grows. On loop's
 * thread; callbacks on the same. When anything fails, on_done says so once, and the writer is over: what was stored of
 * it goes. */
#ifndef NODE_CACHE_DISK_WRITER_H
#define NODE_CACHE_DISK_WRITER_H

#include "node/cache/disk_file.h"
#include "node/net/loop.h"

struct disk;
struct disk_writer;

struct disk_writer_on {
	void (*written)(void *cookie, uint64_t length); /* so much of the body is in the file now: more may be given */
	void (*done)(void *cookie, bool ok); /* after end: it is complete, and found from now on; or it has failed */
};

struct disk_writer_ask {
	struct key key;
	struct key_variant variant;
	struct head *head; /* shared */
	/* Of the body; UINT64_MAX: unknown. Whether that can have room is decided now; room is made in steps as it
	 * grows (each step evicts a bounded number of others). More than this is a failure. */
	uint64_t expected;
	wall_ms received_wall;
	bool guarded; /* as struct entry has it */
	struct loop *loop;
};

/* NULL: it cannot fit, the disk is read-only or failing, or too much waits to be written already. */
struct disk_writer *disk_writer_begin(struct disk *, const struct disk_writer_ask *, const struct disk_writer_on *,
				      void *cookie);
/* Borrowed; share it to read along. */
struct disk_file *disk_writer_file(struct disk_writer *);
/* Copies up to DISK_WRITER_MOST bytes that are not written yet; how many it took: 0: wait for `written`. */
#define DISK_WRITER_MOST ((size_t)1024 * 1024)
size_t disk_writer_put(struct disk_writer *, struct span);
/* Crumbs are collected before they are written; this writes what there is. */
void disk_writer_flush(struct disk_writer *);
/* All is given. `digest`: of the whole body. Then `done` comes. A head that says another length makes it fail. */
void disk_writer_end(struct disk_writer *, const uint8_t digest[HEAD_DIGEST_BYTES]);
/* In silence; what is there goes. Clears *w; harmless on NULL inside. After `done` the writer is gone: not to be
 * called. */
void disk_writer_abort(struct disk_writer **w);

/* A whole entry from memory, by a worker, with nothing for the caller to do: shares the entry until it is written.
 * False: not now. */
bool disk_keep(struct disk *, struct entry *, wall_ms received_wall);

#endif
