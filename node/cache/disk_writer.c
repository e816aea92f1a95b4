#include "node/cache/disk_writer.h"

#include <errno.h>
#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/cache/disk_internal.h"

#define STEP_BYTES ((uint64_t)1024 * 1024) /* of room, asked for at once */
#define PIECE_BYTES ((size_t)1024 * 1024)
#define MOST_BUFFERED ((uint64_t)64 * 1024 * 1024) /* of all writers together */
#define MOST_WAITING (WORK_MOST_WAITING / 2)       /* the other half is for writers that have begun */
#define JOB_BYTES ((uint64_t)512 * 1024)   /* what comes in crumbs is collected up to this: each job has its price */
#define SYNC_BYTES ((uint64_t)1024 * 1024) /* the disk is told of: each time costs a call of the device */
#define MOST_SPANS 20                      /* in one write: PIECE_BYTES of chunks, and parts of one at both ends */

#define WRITING_MAGIC 0xd1525176

/* ---- one file being written, whoever brings its bytes ---- */

struct beginning {
	struct key key;
	struct key_variant variant;
	struct head *head;
	uint64_t expected;
	wall_ms received_wall;
	bool guarded;
};

/* Could it ever fit, if everything that can go went? Under the lock. */
static bool can_fit(const struct disk *d, uint64_t charge)
{
	uint64_t others = d->promised + d->quarantine_bytes + d->journal_bytes;
	uint64_t have = d->room.free + d->freed + d->trash_bytes + d->index.charge;

	return charge <= d->size && others <= d->size - charge && have >= disk__must_stay_free(d) + d->owed + charge;
}

static bool can_write(struct disk *d)
{
	return d->generation && !d->let_go && clock_mono(d->clock) >= d->failing_until;
}

/* Under the lock; counted. */
static bool is_busy(struct disk *d, unsigned waiting)
{
	bool busy = waiting >= MOST_WAITING || d->buffered >= MOST_BUFFERED;

	d->counts.dropped_busy += busy;
	return busy;
}

/* Arithmetic only: nothing touches the disk yet. */
static bool begin(struct disk *d, const struct beginning *b, struct disk_writing *w)
{
	uint32_t head_bytes = disk_format_head_bytes(b->head);
	uint64_t known = b->expected == UINT64_MAX ? 0 : b->expected;
	struct disk_label label = {0, b->key, b->variant, b->received_wall, b->guarded};
	uint64_t charge, first;
	unsigned waiting;
	bool room;

	*w = (struct disk_writing){.magic = WRITING_MAGIC, .disk = d};
	if (!head_bytes || known > d->max_object)
		return false;
	waiting = work_counts(d->work).waiting_later;
	charge = disk_index_charge(disk_format_file_bytes(head_bytes, known));
	first = charge < STEP_BYTES ? charge : STEP_BYTES;
	disk__lock(d);
	room = !is_busy(d, waiting) && can_write(d) && can_fit(d, charge) && disk__reserve(d, w, first);
	if (room) {
		label.serial = d->next_serial++;
		w->promised = charge;
		d->promised += charge;
		w->file = disk__file_new(d, &label, b->head);
		w->file->head_bytes = head_bytes;
		w->file->growing = true;
		LIST_INSERT_HEAD(&d->writings, w, link);
	}
	disk__unlock(d);
	return room;
}

static bool begin_or_count(struct disk *d, const struct beginning *b, struct disk_writing *w)
{
	bool begun = begin(d, b, w);

	if (!begun) {
		disk__lock(d);
		d->counts.dropped_writes++;
		disk__unlock(d);
	}
	return begun;
}

/* Room for a body of this length. Under the lock. */
static bool make_room(struct disk *d, struct disk_writing *w, uint64_t length)
{
	uint64_t need = disk_index_charge(disk_format_file_bytes(w->file->head_bytes, length)), more;

	if (need <= w->reserved)
		return true;
	more = need - w->reserved;
	if (w->promised > need && more < STEP_BYTES)
		more = w->promised - w->reserved < STEP_BYTES ? w->promised - w->reserved : STEP_BYTES;
	return disk__reserve(d, w, more);
}

/* It is over, one way or the other. Under the lock. */
static void leave(struct disk *d, struct disk_writing *w)
{
	LIST_REMOVE(w, link);
	d->reserved -= w->reserved;
	d->promised -= w->promised;
	w->reserved = w->promised = 0;
}

/* What is there of it goes; whoever reads it may go on with what there was. */
static void give_up(struct disk_writing *w)
{
	struct disk *d = w->disk;
	struct disk_file *f = w->file;
	uint64_t charge = disk_index_charge(f->head_bytes + disk_file_length(f));

	disk__lock(d);
	leave(d, w);
	if (w->created)
		disk__discard(d, f->label.serial, charge, DISK_TRASH_TMP);
	f->gone = true;
	disk__unlock(d);
	disk_file_unref(&w->file);
}

/* ---- on a worker ---- */

static int create(struct disk_writing *w)
{
	struct disk *d = w->disk;
	char name[DISK_NAME_BYTES];
	int fd;

	disk__name(w->file->label.serial, name);
	fd = d->ops->open(d->ops, d->tmp, name, DISK_OPEN_NEW);
	if (fd < 0)
		return fd;
	w->file->fd = fd;
	disk__lock(d);
	w->created = true;
	disk__unlock(d);
	return 0;
}

static void have_sums(struct disk_file *f, uint64_t n)
{
	if (n <= f->sums_room)
		return;
	f->sums_room = n < 8 ? 8 : 2 * n;
	f->sums = mem_realloc(f->sums, f->sums_room * sizeof(*f->sums));
}

/* Each span is of one chunk, and behind what is written of that chunk already, in memory too. */
static void sum_up(struct disk_file *f, const struct span *v, int n)
{
	uint64_t pos = f->length;

	for (int i = 0; i < n; i++) {
		size_t before = pos % DISK_CHUNK_BYTES;
		uint64_t sum = disk_format_sum(span_of(v[i].p - before, v[i].n + before), f->label.serial);

		pthread_mutex_lock(&f->lock);
		have_sums(f, pos / DISK_CHUNK_BYTES + 1);
		f->sums[pos / DISK_CHUNK_BYTES] = sum;
		pthread_mutex_unlock(&f->lock);
		pos += v[i].n;
	}
}

static void make_public(struct disk_file *f, uint64_t length, const uint8_t *digest)
{
	pthread_mutex_lock(&f->lock);
	if (length)
		f->tail_sum = f->sums[(length - 1) / DISK_CHUNK_BYTES];
	if (digest)
		memcpy(f->digest, digest, sizeof(f->digest));
	atomic_store_explicit(&f->length, length, memory_order_release);
	pthread_mutex_unlock(&f->lock);
}

/* Puts together head part (the first time), spans and end part (the last time: digest), and writes them with one call.
 */
static int write_all(struct disk_writing *w, const struct span *v, int n, uint64_t length, const uint8_t *digest)
{
	struct disk_file *f = w->file;
	bool first = !w->created;
	char *head = NULL, *end = NULL;
	struct iovec iov[MOST_SPANS + 2];
	int at = 0, err = first ? create(w) : 0;

	if (err)
		return err;
	if (first) {
		head = mem_alloc(f->head_bytes);
		disk_format_put_head(f->head, &f->label, head, f->head_bytes);
		iov[at++] = (struct iovec){head, f->head_bytes};
	}
	for (int i = 0; i < n; i++)
		iov[at++] = (struct iovec){(void *)v[i].p, v[i].n};
	if (digest) {
		struct disk_end e = {.length = length};

		memcpy(e.digest, digest, sizeof(e.digest));
		end = mem_alloc((size_t)disk_format_end_bytes(length));
		disk_format_put_end(&e, f->label.serial, f->sums, end);
		iov[at++] = (struct iovec){end, (size_t)disk_format_end_bytes(length)};
	}
	err = disk_ops_write(w->disk->ops, f->fd, iov, at, first ? 0 : f->head_bytes + f->length);
	free(head);
	free(end);
	return err;
}

/* The disk begins while the rest comes, not half a minute later. */
static void start_sync(struct disk_writing *w, uint64_t length)
{
	const struct disk_ops *ops = w->disk->ops;

	ops->start_sync(ops, w->file->fd, w->file->head_bytes + w->begun, length - w->begun);
	w->begun = length;
}

/* 0 or -errno. digest: these are the last. */
static int put(struct disk_writing *w, const struct span *v, int n, const uint8_t *digest)
{
	struct disk_file *f = w->file;
	uint64_t length = f->length;
	int err;

	CHECK(w, WRITING_MAGIC);
	CHECK_THAT(n <= MOST_SPANS);
	for (int i = 0; i < n; i++)
		length += v[i].n;
	if (digest && f->head->has_length && f->head->length != length)
		return -EBADMSG;
	disk__empty_trash(w->disk);
	sum_up(f, v, n);
	err = write_all(w, v, n, length, digest);
	if (err)
		return err;
	if (length - w->begun >= SYNC_BYTES || (digest && w->begun))
		start_sync(w, length);
	make_public(f, length, digest);
	return 0;
}

static int rename_in_place(struct disk *d, uint64_t serial)
{
	char path[DISK_PATH_BYTES], name[DISK_NAME_BYTES], folder[DISK_PATH_BYTES];
	int err;

	disk__path(serial, path);
	disk__name(serial, name);
	err = d->ops->rename(d->ops, d->tmp, name, d->objects, path);
	if (err != -ENOENT)
		return err;
	memcpy(folder, path, sizeof(folder));
	folder[2] = 0;
	err = d->ops->mkdir(d->ops, d->objects, folder);
	folder[2] = '/';
	folder[5] = 0;
	if (!err)
		err = d->ops->mkdir(d->ops, d->objects, folder);
	return err ? err : d->ops->rename(d->ops, d->tmp, name, d->objects, path);
}

/* All is written: into its place, and into the index. -ECANCELED: it was purged meanwhile. */
static int publish(struct disk_writing *w)
{
	struct disk *d = w->disk;
	struct disk_file *f = w->file;
	uint64_t bytes = disk_format_file_bytes(f->head_bytes, f->length);
	bool published;
	int err;

	if (disk__has_let_go(d))
		return -ECANCELED;
	err = rename_in_place(d, f->label.serial);
	if (err)
		return err;
	pthread_mutex_lock(&f->lock);
	atomic_store_explicit(&f->growing, false, memory_order_release);
	pthread_mutex_unlock(&f->lock);
	disk__lock(d);
	w->created = false;
	published = disk__publish(d, w, bytes);
	if (published)
		leave(d, w);
	else
		disk__discard(d, f->label.serial, disk_index_charge(bytes), DISK_TRASH_FILE);
	disk__unlock(d);
	if (!published)
		return -ECANCELED;
	disk__write_went(d);
	return 0;
}

static void failed(struct disk *d, int err)
{
	if (err != -ECANCELED && err != -EBADMSG)
		disk__write_failed(d, err, "writing an object");
}

/* ---- writers: bytes that come bit by bit ---- */

struct chunk_buf {
	struct chunk_buf *next;
	size_t n, room;
	char bytes[];
};

struct disk_writer {
	unsigned magic;
	struct disk_writing w;
	struct loop *loop;
	struct disk_writer_on on;
	void *cookie;
	uint64_t expected;
	struct chunk_buf *first, *last; /* chunks from the one on in which `written` is */
	uint64_t first_pos;             /* where the first of them begins */
	struct chunk_buf *spare;        /* whole ones, to be used again: fresh memory costs more than the copy */
	uint64_t given, written;
	uint64_t flush_to; /* however little it is */
	bool ended, failed, running, aborted;
	struct deferred soon;   /* a failure that is to be told */
	struct deferred at_end; /* the loop goes while a job runs */
	/* Of the job, which must not look at the chunks themselves: the loop goes on adding to them. */
	struct span spans[MOST_SPANS];
	int n_spans;
	uint64_t upto;
	bool is_last, published;
	uint8_t digest[HEAD_DIGEST_BYTES];
	int err;
};

#define DISK_WRITER_MAGIC 0xd15c0417

static void count_buffered(struct disk *d, uint64_t more, uint64_t less)
{
	disk__lock(d);
	d->buffered += more;
	d->buffered -= less;
	disk__unlock(d);
}

static void free_bufs(struct chunk_buf *b)
{
	struct chunk_buf *next;

	for (; b; b = next) {
		next = b->next;
		free(b);
	}
}

static void release(struct disk_writer *w)
{
	loop_defer_cancel(w->loop, &w->soon);
	count_buffered(w->w.disk, 0, w->given - w->written);
	if (w->published)
		disk_file_unref(&w->w.file);
	else
		give_up(&w->w);
	free_bufs(w->first);
	free_bufs(w->spare);
	w->magic = 0;
	free(w);
}

static void finish(struct disk_writer *w, bool ok)
{
	void (*done)(void *, bool) = w->on.done;
	void *cookie = w->cookie;

	release(w);
	done(cookie, ok);
}

/* While a job runs, on_written tells it. */
static void on_soon(void *arg)
{
	struct disk_writer *w = arg;

	if (!w->running)
		finish(w, false);
}

/* Never from inside. */
static void fail_soon(struct disk_writer *w)
{
	w->failed = true;
	loop_defer(w->loop, &w->soon, on_soon, w);
}

/* What is given and not written, a span for each chunk. */
static void take_spans(struct disk_writer *w)
{
	uint64_t pos = w->written, start = w->first_pos;

	w->upto = w->given;
	w->n_spans = 0;
	for (const struct chunk_buf *b = w->first; b; b = b->next, start += DISK_CHUNK_BYTES) {
		uint64_t to = start + b->n;

		if (to <= pos)
			continue;
		w->spans[w->n_spans++] = span_of(b->bytes + (pos - start), (size_t)(to - pos));
		pos = to;
	}
}

static void write_job(void *arg)
{
	struct disk_writer *w = arg;
	struct disk *d = w->w.disk;

	w->err = put(&w->w, w->spans, w->n_spans, w->is_last ? w->digest : NULL);
	if (!w->err && w->is_last) {
		w->err = publish(&w->w);
		w->published = !w->err;
	}
	if (w->err)
		failed(d, w->err);
	disk__job_ends(d);
}

/* Chunks that are written and complete. */
static void drop_written(struct disk_writer *w)
{
	while (w->first && w->first_pos + DISK_CHUNK_BYTES <= w->written) {
		struct chunk_buf *b = w->first;

		w->first = b->next;
		w->first_pos += DISK_CHUNK_BYTES;
		if (!w->first)
			w->last = NULL;
		b->next = w->spare; /* it was whole, so it has room for a whole one */
		w->spare = b;
	}
}

static void start_job(struct disk_writer *w);

static void on_written(void *arg)
{
	struct disk_writer *w = arg;

	CHECK(w, DISK_WRITER_MAGIC);
	loop_defer_cancel(w->loop, &w->at_end);
	w->running = false;
	if (w->aborted) {
		release(w);
		return;
	}
	if (w->failed || w->err || w->published) {
		finish(w, w->published);
		return;
	}
	count_buffered(w->w.disk, 0, w->upto - w->written);
	w->written = w->upto;
	drop_written(w);
	start_job(w);
	w->on.written(w->cookie, w->written);
}

static void on_loop_gone(void *arg)
{
	release(arg);
}

/* Is there enough to write, or does somebody wait for what there is? */
static bool job_is_due(const struct disk_writer *w)
{
	return w->ended || w->written < w->flush_to || w->given - w->written >= JOB_BYTES;
}

static void start_job(struct disk_writer *w)
{
	struct disk *d = w->w.disk;

	if (w->running || w->failed || !job_is_due(w))
		return;
	take_spans(w);
	w->is_last = w->ended;
	w->running = true;
	disk__job_begins(d);
	if (work_start_later(d->work, write_job, w->loop, on_written, w) == 0) {
		loop_at_end(w->loop, &w->at_end, on_loop_gone, w);
		return;
	}
	disk__job_ends(d);
	w->running = false;
	disk__lock(d);
	d->counts.dropped_writes++;
	d->counts.dropped_busy++;
	disk__unlock(d);
	fail_soon(w);
}

struct disk_writer *disk_writer_begin(struct disk *d, const struct disk_writer_ask *ask,
				      const struct disk_writer_on *on, void *cookie)
{
	struct disk_writer *w = NEW(struct disk_writer);
	struct beginning b = {
		.key = ask->key,
		.variant = ask->variant,
		.head = ask->head,
		.expected = ask->expected,
		.received_wall = ask->received_wall,
		.guarded = ask->guarded,
	};

	CHECK(d, DISK_MAGIC);
	if (!begin_or_count(d, &b, &w->w)) {
		free(w);
		return NULL;
	}
	w->magic = DISK_WRITER_MAGIC;
	w->loop = ask->loop;
	w->on = *on;
	w->cookie = cookie;
	w->expected = ask->expected;
	return w;
}

struct disk_file *disk_writer_file(struct disk_writer *w)
{
	CHECK(w, DISK_WRITER_MAGIC);
	return w->w.file;
}

/* A chunk of a body whose length is known is not larger than it has to be. */
static struct chunk_buf *buf_new(struct disk_writer *w)
{
	uint64_t left = w->expected == UINT64_MAX ? UINT64_MAX : w->expected - w->given;
	size_t room = left < DISK_CHUNK_BYTES ? (size_t)left : DISK_CHUNK_BYTES;
	struct chunk_buf *b = w->spare;

	if (b) {
		w->spare = b->next;
	} else {
		b = mem_alloc(sizeof(*b) + room);
		b->room = room;
	}
	b->next = NULL;
	b->n = 0;
	return b;
}

static void add_buf(struct disk_writer *w)
{
	struct chunk_buf *b = buf_new(w);

	if (w->last) {
		w->last->next = b;
	} else {
		w->first = b;
		w->first_pos = w->given;
	}
	w->last = b;
}

static void copy_in(struct disk_writer *w, struct span s)
{
	while (s.n) {
		size_t n;

		if (!w->last || w->last->n == w->last->room)
			add_buf(w);
		n = w->last->room - w->last->n < s.n ? w->last->room - w->last->n : s.n;
		memcpy(w->last->bytes + w->last->n, s.p, n);
		w->last->n += n;
		w->given += n;
		s = span_from(s, n);
	}
}

size_t disk_writer_put(struct disk_writer *w, struct span s)
{
	struct disk *d = w->w.disk;
	size_t room = DISK_WRITER_MOST - (size_t)(w->given - w->written);
	bool fits;

	CHECK(w, DISK_WRITER_MAGIC);
	CHECK_THAT(!w->ended);
	s = span_upto(s, room);
	if (w->failed || !s.n)
		return 0;
	disk__lock(d);
	fits = s.n <= d->max_object && w->given <= d->max_object - s.n && s.n <= w->expected &&
	       w->given <= w->expected - s.n && make_room(d, &w->w, w->given + s.n);
	if (fits)
		d->buffered += s.n;
	else
		d->counts.dropped_writes++;
	disk__unlock(d);
	if (!fits) {
		fail_soon(w);
		return 0;
	}
	copy_in(w, s);
	start_job(w);
	return s.n;
}

void disk_writer_flush(struct disk_writer *w)
{
	CHECK(w, DISK_WRITER_MAGIC);
	w->flush_to = w->given;
	start_job(w);
}

void disk_writer_end(struct disk_writer *w, const uint8_t digest[HEAD_DIGEST_BYTES])
{
	CHECK(w, DISK_WRITER_MAGIC);
	CHECK_THAT(!w->ended);
	w->ended = true;
	memcpy(w->digest, digest, HEAD_DIGEST_BYTES);
	start_job(w);
}

void disk_writer_abort(struct disk_writer **wp)
{
	struct disk_writer *w = *wp;

	*wp = NULL;
	if (!w)
		return;
	CHECK(w, DISK_WRITER_MAGIC);
	loop_defer_cancel(w->loop, &w->soon);
	w->aborted = true;
	disk__lock(w->w.disk);
	w->w.purged = true;
	disk__unlock(w->w.disk);
	if (!w->running)
		release(w);
}

/* ---- whole bodies from memory ---- */

static size_t whole_chunks(size_t n)
{
	return (n / DISK_CHUNK_BYTES + 1) * DISK_CHUNK_BYTES;
}

struct whole {
	struct disk_writing w;
	struct entry *entry;
	uint64_t length;
	struct body_at at;
};

/* The next n bytes. */
static int read_entry(struct whole *o, char *to, size_t n)
{
	size_t done = 0;

	while (done < n) {
		struct span v;

		if (body_spans(&o->entry->body, &o->at, &v, 1, n - done) == 0)
			return -EBADMSG;
		memcpy(to + done, v.p, v.n);
		body_advance(&o->at, v.n);
		done += v.n;
	}
	return 0;
}

static int copy_body(struct whole *o, const uint8_t *digest)
{
	struct disk_writing *w = &o->w;
	uint64_t length = o->length;
	size_t room = length < PIECE_BYTES ? whole_chunks((size_t)length) : PIECE_BYTES;
	char *piece = mem_alloc(room);
	uint64_t pos = 0;
	int err = 0;

	do {
		size_t n = length - pos < room ? (size_t)(length - pos) : room, at = 0;
		struct span v[MOST_SPANS];
		int spans = 0;

		err = n ? read_entry(o, piece, n) : 0;
		for (; at < n; at += v[spans++].n)
			v[spans] = span_upto(span_of(piece + at, n - at), DISK_CHUNK_BYTES);
		pos += n;
		if (!err)
			err = put(w, v, spans, pos == length ? digest : NULL);
	} while (!err && pos < length);
	free(piece);
	return err ? err : publish(w);
}

static void whole_free(struct whole *o)
{
	entry_unref(&o->entry);
	free(o);
}

static void digest_of(struct whole *o, uint8_t out[HEAD_DIGEST_BYTES])
{
	const uint8_t *known = head_digest(o->w.file->head);
	struct body_at at = {0};
	struct sha256 h;
	struct span v;

	if (known) {
		memcpy(out, known, HEAD_DIGEST_BYTES);
		return;
	}
	sha256_init(&h);
	while (body_spans(&o->entry->body, &at, &v, 1, UINT64_MAX) > 0) {
		sha256_add(&h, v.p, v.n);
		body_advance(&at, v.n);
	}
	sha256_end(&h, out);
}

static void whole_job(void *arg)
{
	struct whole *o = arg;
	struct disk *d = o->w.disk;
	uint8_t digest[HEAD_DIGEST_BYTES];
	int err;

	digest_of(o, digest);
	err = copy_body(o, digest);
	if (err) {
		failed(d, err);
		give_up(&o->w);
	} else {
		disk_file_unref(&o->w.file);
	}
	whole_free(o);
	disk__job_ends(d);
}

/* Takes o. */
static bool start_whole(struct disk *d, struct whole *o, const struct beginning *b)
{
	if (!begin_or_count(d, b, &o->w)) {
		whole_free(o);
		return false;
	}
	disk__job_begins(d);
	if (work_start_later(d->work, whole_job, NULL, NULL, o) == 0)
		return true;
	give_up(&o->w);
	disk__lock(d);
	d->counts.dropped_writes++;
	d->counts.dropped_busy++;
	disk__unlock(d);
	whole_free(o);
	disk__job_ends(d);
	return false;
}

bool disk_keep(struct disk *d, struct entry *e, wall_ms received_wall)
{
	struct whole *o = NEW(struct whole);
	struct entry_view view;
	struct beginning b;
	bool kept = false;

	CHECK(d, DISK_MAGIC);
	entry_look(e, &view);
	o->entry = entry_ref(e);
	o->length = body_length(&e->body);
	b = (struct beginning){
		.key = e->key,
		.variant = view.variant,
		.head = view.head,
		.expected = o->length,
		.received_wall = received_wall,
		.guarded = view.guarded,
	};
	if (view.phase == ENTRY_COMPLETE && view.outcome == ENTRY_FILLED && view.stored && view.head)
		kept = start_whole(d, o, &b);
	else
		whole_free(o);
	head_unref(&view.head);
	return kept;
}
