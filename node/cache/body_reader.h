/* body_reader: one reader's place in the body of an entry, wherever its bytes are: in memory, in a file, or in memory first and in the file
 * behind it (an object that grew too large for memory).
 *
 * Spans are borrowed until the next call. From memory they are the entry's own bytes, not copied. From a file they are in a buffer of the
 * reader's (READER_BYTES, only while it has something in it), read at once when they are in the page cache, else by a worker, after
 * which on_ready comes. Belongs to one loop's thread. */
#ifndef NODE_CACHE_BODY_READER_H
#define NODE_CACHE_BODY_READER_H

#include "node/cache/entry.h"
#include "node/net/work.h"

#define READER_BYTES (128 * 1024)

struct body_reader {
	struct entry *entry; /* shared; NULL: not in use */
	struct loop *loop;
	struct work *work;
	void (*on_ready)(void *cookie); /* bytes have come from the disk, or have failed to */
	void *cookie;
	uint64_t pos;
	struct body_at at; /* in memory */
	char *buf;         /* from a file: bytes of buf_pos .. buf_pos + buf_n */
	uint64_t buf_pos;
	size_t buf_n;
	struct body_read *job; /* under way */
	bool failed;
};

enum reader_got {
	READER_SPANS,
	READER_NOTHING, /* all that is published has been read; watch the entry */
	READER_WAIT,    /* on_ready will come */
	READER_FAILED,  /* the file cannot be read, or is damaged (it has been quarantined) */
};

/* work NULL: nothing is on disk here. */
void body_reader_begin(struct body_reader *, struct entry *, struct loop *, struct work *, void (*on_ready)(void *), void *cookie);
/* Up to `most` spans, at most max_bytes in all. *n of them. */
enum reader_got body_reader_spans(struct body_reader *, struct span *v, int most, uint64_t max_bytes, int *n);
void body_reader_advance(struct body_reader *, uint64_t bytes); /* within what was given */
/* To a place below the published length. */
void body_reader_seek(struct body_reader *, uint64_t pos);
/* Harmless when not in use. */
void body_reader_end(struct body_reader *);

#endif
