/* reader: one who reads the body of an entry from a position on, wherever its bytes are (entry.h).
 *
 * From memory it is a look at the chunks (body.h), no more. From a file it reads 64 KiB at a time, checked by their sum, into a piece of memory
 * that the last reader on its loop has given back: at once what is in the page cache, by a worker what is not. While the entry is filled a
 * reader changes between the two as it falls behind and catches up.
 *
 * Embedded in its owner, on the owner's loop. */
#ifndef NODE_CACHE_READER_H
#define NODE_CACHE_READER_H

#include "node/cache/entry.h"

struct reader_piece;

/* What was waited for is there, or has proven bad. Never from inside. */
typedef void reader_on_ready_f(void *cookie);

struct reader_ask {
	struct entry *entry;       /* borrowed: held by the owner until reader_end */
	struct disk_file *file;    /* of the entry, as it was looked at last */
	struct entry_watch *watch; /* borrowed: of the owner, running unless the entry is complete */
	struct loop *loop;
	reader_on_ready_f *on_ready;
	void *cookie;
};

struct reader {
	struct reader_ask ask;
	struct body_at at;   /* at.pos: how far it has come; the chunk: unless it reads the file */
	bool in_file;        /* it reads the file */
	bool memory_perhaps; /* it has not looked yet whether the window has its place */
	bool waiting, bad;
	struct reader_piece *piece; /* of the file; NULL: none yet */
};

void reader_begin(struct reader *, const struct reader_ask *);
void reader_end(struct reader *);

int reader__spans_of_file(struct reader *, struct span *v, int most, uint64_t max_bytes);
void reader__advance_in_file(struct reader *, uint64_t n);

/* Up to `most` spans from where it stands, at most max_bytes in all, good until the next call of this or reader_advance. How many;
 * 0: nothing is there yet (or this is the end, or the disk is waited for: reader_waits), -1: what is there is damaged, or cannot be
 * read. */
static inline int reader_spans(struct reader *r, struct span *v, int most, uint64_t max_bytes)
{
	if (!r->in_file)
		return body_spans(&r->ask.entry->body, &r->at, v, most, max_bytes);
	return reader__spans_of_file(r, v, most, max_bytes);
}

static inline void reader_advance(struct reader *r, uint64_t n)
{
	if (!r->in_file)
		body_advance(&r->at, n);
	else
		reader__advance_in_file(r, n);
}

/* on_ready will come. */
static inline bool reader_waits(const struct reader *r)
{
	return r->waiting;
}

/* Goes on to a place ahead, as far as there is something; true when it is there. What comes before is passed over as it comes, so that a
 * window moves on with us. */
bool reader_pass_to(struct reader *, uint64_t pos);
/* After each turn: tells the watch how far it has come; may be sent to the file by it. */
void reader_tell(struct reader *);

#endif
