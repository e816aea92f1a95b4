#include "node/cache/disk_file.h"

#include <errno.h>
#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/cache/disk_internal.h"
#include "node/cache/orders.h"

#define FIRST_BYTES 4096 /* of a file that is not small: most heads are shorter */

/* ---- life ---- */

struct disk_file *disk__file_new(struct disk *d, const struct disk_label *label, struct head *head)
{
	struct disk_file *f = NEW(struct disk_file);

	f->magic = DISK_FILE_MAGIC;
	f->refs = 1;
	f->disk = d;
	f->fd = -1;
	f->label = *label;
	f->head = head ? head_ref(head) : NULL;
	pthread_mutex_init(&f->lock, NULL);
	return f;
}

void disk__file_free(struct disk_file *f)
{
	if (f->fd >= 0)
		f->disk->ops->close(f->disk->ops, f->fd);
	head_unref(&f->head);
	if (f->sums != &f->only_sum)
		free(f->sums);
	pthread_mutex_destroy(&f->lock);
	f->magic = 0;
	free(f);
}

struct disk_file *disk_file_ref(struct disk_file *f)
{
	CHECK(f, DISK_FILE_MAGIC);
	atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
	return f;
}

/* Closing one that is unlinked gives its blocks back, which takes the disk: the keeper does that. */
static void drop_last(struct disk_file *f)
{
	struct disk *d = f->disk;
	bool last, keepers;

	disk__lock(d);
	last = atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) == 1;
	if (last && f->in_table)
		map_remove(&d->open, &f->node);
	if (last && f->rec)
		f->rec->hits += atomic_exchange_explicit(&f->hits, 0, memory_order_relaxed);
	keepers = last && f->gone && f->fd >= 0;
	if (keepers) {
		STAILQ_INSERT_TAIL(&d->closing, f, closing);
		pthread_cond_signal(&d->wake);
	} else if (last && f->gone) {
		d->open_bytes -= f->charge;
	}
	disk__unlock(d);
	if (last && !keepers)
		disk__file_free(f);
}

void disk_file_unref(struct disk_file **fp)
{
	struct disk_file *f = *fp;
	unsigned refs;

	*fp = NULL;
	if (!f)
		return;
	CHECK(f, DISK_FILE_MAGIC);
	refs = atomic_load_explicit(&f->refs, memory_order_relaxed);
	while (refs > 1)
		if (atomic_compare_exchange_weak_explicit(&f->refs, &refs, refs - 1, memory_order_acq_rel,
							  memory_order_relaxed))
			return;
	drop_last(f);
}

/* ---- what it says ---- */

/* A soft purge does not touch the files. */
struct head *disk_file_head(struct disk_file *f)
{
	struct fresh_terms terms = f->head->terms;

	if (!orders_outdated(f->disk->orders, f->head, f->label.received_wall))
		return head_ref(f->head);
	fresh_outdate(&terms);
	return head_with_terms(f->head, &terms);
}

struct key disk_file_key(const struct disk_file *f)
{
	return f->label.key;
}

struct key_variant disk_file_variant(const struct disk_file *f)
{
	return f->label.variant;
}

bool disk_file_is_guarded(const struct disk_file *f)
{
	return f->label.guarded;
}

wall_ms disk_file_received(const struct disk_file *f)
{
	return f->label.received_wall;
}

uint64_t disk_file_length(const struct disk_file *f)
{
	return atomic_load_explicit(&f->length, memory_order_acquire);
}

const uint8_t *disk_file_digest(const struct disk_file *f)
{
	return atomic_load_explicit(&f->growing, memory_order_acquire) ? NULL : f->digest;
}

uint64_t disk_file_memory(const struct disk_file *f)
{
	uint64_t chunks = (disk_file_length(f) + DISK_CHUNK_BYTES - 1) / DISK_CHUNK_BYTES;

	return sizeof(*f) + 16 + chunks * sizeof(*f->sums);
}

bool disk_file_is_kept(struct disk_file *f)
{
	bool kept;

	disk__lock(f->disk);
	kept = f->rec != NULL;
	disk__unlock(f->disk);
	return kept;
}

_Atomic uint64_t *disk_file_asked(struct disk_file *f)
{
	return &f->asked;
}

void disk_file_hit(struct disk_file *f)
{
	atomic_fetch_add_explicit(&f->hits, 1, memory_order_relaxed);
}

/* ---- loading ---- */

/* 0, -EAGAIN (not without waiting), or what went wrong. */
static int get(const struct disk *d, int fd, void *to, size_t n, uint64_t at, bool wait)
{
	ssize_t got;

	if (wait)
		return disk_ops_read(d->ops, fd, to, n, at);
	got = d->ops->pread_now(d->ops, fd, to, n, at);
	if (got == (ssize_t)n)
		return 0;
	return got < 0 ? (int)got : -EAGAIN;
}

static enum disk_loading by_errno(struct disk *d, int err)
{
	switch (-err) {
	case EAGAIN:
		return DISK_LOAD_COLD;
	case ENOENT:
	case ENOTDIR:
		return DISK_LOAD_MISSING;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
		return DISK_LOAD_NOT_NOW;
	default:
		disk__lock(d);
		d->counts.read_failures++;
		disk__unlock(d);
		return DISK_LOAD_BAD;
	}
}

/* Everything it says fits together, and is about this place. */
static bool take_head(struct disk *d, struct disk_file *f, const struct disk_place *place, struct span part)
{
	if (!disk_format_get_head(part, &f->label, &f->head))
		return false;
	f->head_bytes = (uint32_t)part.n;
	if (f->label.serial != place->serial)
		return false;
	f->head->received = clock_mono(d->clock) - (clock_wall(d->clock) - f->label.received_wall) * 1000;
	return true;
}

static bool take_end(struct disk_file *f, struct span part, uint64_t length, uint64_t *sums)
{
	struct disk_end end;

	if (!disk_format_get_end(part, f->label.serial, &end, sums) || end.length != length)
		return false;
	if (f->head->has_length && f->head->length != length)
		return false;
	memcpy(f->digest, end.digest, sizeof(f->digest));
	head_set_digest(f->head, end.digest);
	f->length = length;
	return true;
}

/* `all` is the whole file; its body is at most one chunk. */
static bool take_small(struct disk *d, struct disk_file *f, const struct disk_place *place, struct span all,
		       struct span *body)
{
	uint32_t head_bytes = disk_format_look(all);
	uint64_t length;

	if (!head_bytes || !disk_format_length(all.n, head_bytes, &length) ||
	    !take_head(d, f, place, span_upto(all, head_bytes)))
		return false;
	f->sums = &f->only_sum;
	*body = span_of(all.p + head_bytes, (size_t)length);
	if (!take_end(f, span_from(all, head_bytes + (size_t)length), length, f->sums))
		return false;
	return !length || disk_format_sum(*body, place->serial) == f->only_sum;
}

static enum disk_loading load_small(struct disk *d, struct disk_file *f, const struct disk_place *place, bool wait,
				    struct disk_small *out)
{
	struct disk_small s = {.bytes = mem_alloc((size_t)place->bytes)};
	int err = get(d, f->fd, s.bytes, (size_t)place->bytes, 0, wait);
	enum disk_loading result = DISK_LOAD_BAD;

	if (err)
		result = by_errno(d, err);
	else if (take_small(d, f, place, span_of(s.bytes, (size_t)place->bytes), &s.body))
		result = DISK_LOADED;
	if (result == DISK_LOADED && out)
		*out = s;
	else
		free(s.bytes);
	return result;
}

static enum disk_loading load_end(struct disk *d, struct disk_file *f, const struct disk_place *place, bool wait)
{
	enum disk_loading result = DISK_LOAD_BAD;
	uint64_t length, end_bytes;
	char *part;
	int err;

	if (!disk_format_length(place->bytes, f->head_bytes, &length))
		return DISK_LOAD_BAD;
	end_bytes = disk_format_end_bytes(length);
	part = mem_try((size_t)end_bytes);
	f->sums = mem_try((size_t)end_bytes);
	if (!part || !f->sums) {
		free(part);
		return DISK_LOAD_NOT_NOW;
	}
	err = get(d, f->fd, part, (size_t)end_bytes, f->head_bytes + length, wait);
	if (err)
		result = by_errno(d, err);
	else if (take_end(f, span_of(part, (size_t)end_bytes), length, f->sums))
		result = DISK_LOADED;
	free(part);
	return result;
}

static enum disk_loading load_large(struct disk *d, struct disk_file *f, const struct disk_place *place, bool wait)
{
	char first[FIRST_BYTES], *part = first;
	uint32_t n;
	bool good;
	int err = get(d, f->fd, first, sizeof(first), 0, wait);

	if (err)
		return by_errno(d, err);
	n = disk_format_look(span_of(first, sizeof(first)));
	if (!n || n > place->bytes)
		return DISK_LOAD_BAD;
	if (n > sizeof(first)) {
		part = mem_alloc(n);
		err = get(d, f->fd, part, n, 0, wait);
	}
	good = !err && take_head(d, f, place, span_of(part, n));
	if (part != first)
		free(part);
	if (err)
		return by_errno(d, err);
	return good ? load_end(d, f, place, wait) : DISK_LOAD_BAD;
}

enum disk_loading disk__load(struct disk *d, const struct disk_place *place, bool wait, struct disk_file **out,
			     struct disk_small *small)
{
	struct disk_label label = {.serial = place->serial};
	char path[DISK_PATH_BYTES];
	enum disk_loading result;
	struct disk_file *f;
	int fd;

	disk__path(place->serial, path);
	fd = wait ? d->ops->open(d->ops, d->objects, path, DISK_OPEN_READ) : d->ops->open_now(d->ops, d->objects, path);
	if (fd < 0)
		return by_errno(d, fd);
	f = disk__file_new(d, &label, NULL);
	f->fd = fd;
	result =
		place->bytes <= DISK_SMALL_BYTES ? load_small(d, f, place, wait, small) : load_large(d, f, place, wait);
	if (result == DISK_LOADED)
		*out = f;
	else
		disk__file_free(f);
	return result;
}

/* ---- reading ---- */

/* What may be read: taken at one moment, so that what is published meanwhile does not confuse the sums. */
struct extent {
	uint64_t length;
	uint64_t tail_sum; /* of a growing one: of what is there of its last chunk */
	bool whole;        /* it is complete: also the last chunk has its place among the sums */
};

static struct extent published(struct disk_file *f)
{
	struct extent e = {.whole = true};

	if (!atomic_load_explicit(&f->growing, memory_order_acquire)) {
		e.length = f->length;
		return e;
	}
	pthread_mutex_lock(&f->lock);
	e = (struct extent){f->length, f->tail_sum, !f->growing};
	pthread_mutex_unlock(&f->lock);
	return e;
}

static uint64_t sum_of_chunk(struct disk_file *f, uint64_t i)
{
	uint64_t sum;

	if (!atomic_load_explicit(&f->growing, memory_order_acquire))
		return f->sums[i];
	pthread_mutex_lock(&f->lock);
	sum = f->sums[i];
	pthread_mutex_unlock(&f->lock);
	return sum;
}

static bool sums_fit(struct disk_file *f, uint64_t pos, struct span got, const struct extent *e)
{
	while (got.n) {
		struct span chunk = span_upto(got, DISK_CHUNK_BYTES);
		bool listed = chunk.n == DISK_CHUNK_BYTES || e->whole;
		uint64_t wanted = listed ? sum_of_chunk(f, pos / DISK_CHUNK_BYTES) : e->tail_sum;

		if (disk_format_sum(chunk, f->label.serial) != wanted)
			return false;
		pos += chunk.n;
		got = span_from(got, chunk.n);
	}
	return true;
}

static enum disk_read bad(struct disk_file *f, const char *why)
{
	disk_quarantine(f->disk, f, why);
	return DISK_READ_BAD;
}

static enum disk_read read_error(struct disk_file *f, int err)
{
	struct disk *d = f->disk;

	disk__lock(d);
	d->counts.read_failures++;
	disk__unlock(d);
	return bad(f, err == -ENODATA ? "it is shorter than it should be" : strerror(-err));
}

/* -EAGAIN: not a whole chunk without waiting. */
static ssize_t read_bytes(struct disk_file *f, uint64_t pos, char *to, size_t most, bool wait)
{
	const struct disk_ops *ops = f->disk->ops;
	ssize_t got;
	int err;

	if (wait) {
		err = disk_ops_read(ops, f->fd, to, most, f->head_bytes + pos);
		return err ? err : (ssize_t)most;
	}
	got = ops->pread_now(ops, f->fd, to, most, f->head_bytes + pos);
	if (got < 0 || (size_t)got == most)
		return got;
	got -= got % DISK_CHUNK_BYTES;
	return got ? got : -EAGAIN;
}

static enum disk_read read_some(struct disk_file *f, uint64_t pos, char *to, size_t room, size_t *n, bool wait)
{
	struct extent e = published(f);
	size_t most = room;
	ssize_t got;

	CHECK(f, DISK_FILE_MAGIC);
	*n = 0;
	if (pos >= e.length)
		return DISK_READ_SOME;
	if (e.length - pos <= most)
		most = (size_t)(e.length - pos);
	else
		most -= most % DISK_CHUNK_BYTES;
	CHECK_THAT(pos % DISK_CHUNK_BYTES == 0 && most);
	got = read_bytes(f, pos, to, most, wait);
	if (got == -EAGAIN)
		return DISK_READ_COLD;
	if (got < 0)
		return read_error(f, (int)got);
	if (!sums_fit(f, pos, span_of(to, (size_t)got), &e))
		return bad(f, "the checksum of a chunk does not fit");
	*n = (size_t)got;
	return DISK_READ_SOME;
}

enum disk_read disk_file_read_now(struct disk_file *f, uint64_t pos, char *to, size_t room, size_t *n)
{
	return read_some(f, pos, to, room, n, false);
}

enum disk_read disk_file_read(struct disk_file *f, uint64_t pos, char *to, size_t room, size_t *n)
{
	return read_some(f, pos, to, room, n, true);
}

static void read_job(void *arg)
{
	struct disk_file_reading *r = arg;
	struct disk *d = r->file->disk;

	r->got = disk_file_read(r->file, r->pos, r->to, r->room, &r->n);
	disk__job_ends(d);
}

int disk_file_read_start(struct disk_file_reading *r, struct loop *loop, loop_fn *done)
{
	struct disk *d = r->file->disk;

	disk__job_begins(d);
	if (work_start(d->work, read_job, loop, done, r) == 0)
		return 0;
	disk__job_ends(d);
	return -1;
}
