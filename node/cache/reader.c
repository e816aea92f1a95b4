#include "node/cache/reader.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/cache/disk_file.h"

#define RETRY_MS 20 /* when the workers' queue is full */

/* A chunk of a file. A worker may be filling it when its reader leaves: then it goes when that is done, or with the loop. */
struct reader_piece {
	struct reader *reader; /* NULL: it has left */
	struct disk_file_reading reading;
	struct loop *loop;
	struct deferred at_end;
	struct timer again;
	uint64_t pos; /* where its bytes are in the body */
	size_t n;
	bool busy;
	char *bytes; /* of the loop's; NULL: all has been read of what was there */
};

static void give_bytes(struct reader_piece *p)
{
	if (p->bytes)
		loop_piece_give(p->loop, p->bytes);
	p->bytes = NULL;
	p->n = 0;
}

static void piece_free(struct reader_piece *p)
{
	give_bytes(p);
	timer_fini(&p->again);
	disk_file_unref(&p->reading.file);
	free(p);
}

/* ---- by a worker ---- */

static void on_loop_gone(void *arg)
{
	piece_free(arg);
}

static void settled(struct reader_piece *p, enum disk_read got)
{
	struct reader *r = p->reader;

	p->busy = false;
	if (!r) {
		piece_free(p);
		return;
	}
	p->n = got == DISK_READ_SOME ? p->reading.n : 0;
	r->bad = got == DISK_READ_BAD;
	r->waiting = false;
	r->ask.on_ready(r->ask.cookie);
}

static void on_read(void *arg)
{
	struct reader_piece *p = (void *)((char *)arg - offsetof(struct reader_piece, reading));

	loop_defer_cancel(p->loop, &p->at_end);
	settled(p, p->reading.got);
}

static void read_cold(struct reader_piece *p)
{
	p->busy = true;
	if (disk_file_read_start(&p->reading, p->loop, on_read) == 0) {
		loop_at_end(p->loop, &p->at_end, on_loop_gone, p);
		return;
	}
	p->busy = false;
	timer_set_in(&p->again, RETRY_MS);
}

static void on_again(void *arg)
{
	read_cold(arg);
}

/* ---- pieces ---- */

static struct reader_piece *piece_of(struct reader *r, struct disk_file *file)
{
	struct reader_piece *p = r->piece;

	if (p)
		return p;
	p = NEW(struct reader_piece);
	p->reader = r;
	p->loop = r->ask.loop;
	p->reading = (struct disk_file_reading){
		.file = disk_file_ref(file),
		.room = LOOP_PIECE_BYTES,
	};
	timer_init(&p->again, p->loop, on_again, p);
	r->piece = p;
	return p;
}

/* The chunk in which the reader stands. False: not now, or never. */
static bool read_chunk(struct reader *r, struct disk_file *file)
{
	struct reader_piece *p = piece_of(r, file);

	p->pos = p->reading.pos = r->at.pos - r->at.pos % DISK_CHUNK_BYTES;
	p->n = 0;
	if (!p->bytes)
		p->bytes = loop_piece_take(p->loop);
	p->reading.to = p->bytes;
	switch (disk_file_read_now(file, p->pos, p->bytes, p->reading.room, &p->n)) {
	case DISK_READ_SOME:
		r->bad = p->n <= r->at.pos - p->pos; /* shorter than its entry */
		return !r->bad;
	case DISK_READ_COLD:
		r->waiting = true;
		read_cold(p);
		return false;
	case DISK_READ_BAD:
		r->bad = true;
		return false;
	}
	return false;
}

static bool holds(const struct reader_piece *p, uint64_t pos)
{
	return p && pos >= p->pos && pos < p->pos + p->n;
}

static struct span from_piece(const struct reader *r, uint64_t max_bytes)
{
	const struct reader_piece *p = r->piece;
	struct span all = span_from(span_of(p->bytes, p->n), (size_t)(r->at.pos - p->pos));

	return max_bytes < all.n ? span_upto(all, (size_t)max_bytes) : all;
}

static bool is_watched(const struct reader *r)
{
	return r->ask.watch && r->ask.watch->entry;
}

/* The file has not come so far yet, or it may not have to be read at all. */
static bool goes_to_memory(struct reader *r, const struct disk_file *file)
{
	if (r->at.pos < disk_file_length(file) && !r->memory_perhaps)
		return false;
	r->memory_perhaps = false;
	r->in_file = !entry_into_memory(r->ask.entry, r->ask.watch, r->at.pos, &r->at);
	return !r->in_file;
}

int reader__spans_of_file(struct reader *r, struct span *v, int most, uint64_t max_bytes)
{
	struct entry *e = r->ask.entry;
	struct disk_file *file = r->ask.file;

	if (r->bad)
		return -1;
	if (r->waiting || !max_bytes || r->at.pos >= body_length(&e->body))
		return 0;
	if (!holds(r->piece, r->at.pos)) {
		if (goes_to_memory(r, file))
			return body_spans(&e->body, &r->at, v, most, max_bytes);
		if (!read_chunk(r, file))
			return r->bad ? -1 : 0;
	}
	v[0] = from_piece(r, max_bytes);
	return 1;
}

/* The memory goes on to the next who reads, before it is cold. */
void reader__advance_in_file(struct reader *r, uint64_t n)
{
	struct reader_piece *p = r->piece;

	r->at.pos += n;
	if (p && !p->busy && !holds(p, r->at.pos))
		give_bytes(p);
}

/* ---- life ---- */

void reader_begin(struct reader *r, const struct reader_ask *ask)
{
	*r = (struct reader){.ask = *ask, .in_file = ask->file != NULL};
	r->memory_perhaps = r->in_file && is_watched(r);
}

void reader_end(struct reader *r)
{
	struct reader_piece *p = r->piece;

	r->piece = NULL;
	if (!p)
		return;
	p->reader = NULL;
	if (!p->busy)
		piece_free(p);
}

bool reader_pass_to(struct reader *r, uint64_t pos)
{
	const struct body *body = &r->ask.entry->body;
	uint64_t to = body_length(body);

	if (r->at.pos >= pos)
		return true;
	if (to > pos)
		to = pos;
	if (r->in_file)
		r->at.pos = to;
	else if (!r->at.chunk)
		body_seek(body, &r->at, to);
	else
		body_advance(&r->at, to - r->at.pos);
	return r->at.pos == pos;
}

void reader_tell(struct reader *r)
{
	struct disk_file *file = is_watched(r) ? entry_watch_advance(r->ask.watch, r->at.pos) : NULL;

	if (!file)
		return;
	r->ask.file = file;
	r->in_file = true;
	r->at.chunk = NULL;
	r->at.off = 0;
}
