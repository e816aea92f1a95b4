#include "node/cache/disk_journal.h"

#include <errno.h>
#include <stdlib.h>

#include "node/base/checksum.h"
#include "node/base/mem.h"
#include "node/base/rng.h"

#define NAME "journal"
#define NEW_NAME "journal.new"
#define VERSION 1
#define READ_NOTES 16384
#define NOTE_BYTES sizeof(struct disk_note)

static const char journal_magic[8] = {'p', 'm', 'c', 'i', 'd', 'x', '\r', '\n'};

struct header {
	char magic[8];
	uint32_t version, zero;
	uint64_t seed;
	uint8_t zeros[32];
	uint64_t sum;
};

_Static_assert(sizeof(struct disk_note) == 64 && sizeof(struct header) == 64, "no holes");

/* ---- notes ---- */

void disk_notes_put(struct disk_notes *notes, const struct disk_note *note)
{
	if (notes->n == notes->room) {
		notes->room = notes->room ? 2 * notes->room : 64;
		notes->v = mem_realloc(notes->v, notes->room * NOTE_BYTES);
	}
	notes->v[notes->n++] = *note;
	notes->has_purge = notes->has_purge || note->op == DISK_NOTE_PURGED;
}

void disk_notes_fini(struct disk_notes *notes)
{
	free(notes->v);
	*notes = (struct disk_notes){0};
}

static uint64_t note_sum(const struct disk_note *note, uint64_t seed)
{
	return checksum_seeded(span_of((const char *)note, offsetof(struct disk_note, sum)), seed);
}

static void seal(struct disk_note *v, size_t n, uint64_t seed, uint64_t first)
{
	for (size_t i = 0; i < n; i++)
		v[i].sum = note_sum(&v[i], seed + first + i);
}

/* ---- the header ---- */

static uint64_t header_sum(const struct header *h)
{
	return checksum_of(span_of((const char *)h, offsetof(struct header, sum)));
}

static bool header_is_good(const struct header *h)
{
	return memcmp(h->magic, journal_magic, sizeof(h->magic)) == 0 && h->version == VERSION &&
	       h->sum == header_sum(h);
}

static int write_header(struct disk_journal *j, int fd, uint64_t seed)
{
	struct header h = {.version = VERSION, .seed = seed};
	struct iovec v[2] = {{&h, sizeof(h)}, {&h, sizeof(h)}};

	memcpy(h.magic, journal_magic, sizeof(h.magic));
	h.sum = header_sum(&h);
	return disk_ops_write(j->ops, fd, v, 2, 0);
}

/* One of both is enough to go on with. */
static bool read_header(struct disk_journal *j)
{
	struct header h[2] = {0};
	bool good[2];

	if (disk_ops_read(j->ops, j->fd, h, sizeof(h), 0) < 0)
		return false;
	for (int i = 0; i < 2; i++)
		good[i] = header_is_good(&h[i]);
	j->damaged = !good[0] || !good[1];
	j->seed = h[good[0] ? 0 : 1].seed;
	return good[0] || good[1];
}

/* ---- life ---- */

void disk_journal_init(struct disk_journal *j, const struct disk_ops *ops, int folder)
{
	*j = (struct disk_journal){.ops = ops, .folder = folder, .fd = -1};
}

static void set_fd(struct disk_journal *j, int fd)
{
	if (j->fd >= 0)
		j->ops->close(j->ops, j->fd);
	j->fd = fd;
}

void disk_journal_fini(struct disk_journal *j)
{
	set_fd(j, -1);
}

/* ---- reading ---- */

static void load_piece(struct disk_journal *j, const struct disk_note *v, size_t n, disk_on_note_f *on_note,
		       void *cookie, struct disk_loaded *loaded)
{
	for (size_t i = 0; i < n; i++) {
		if (v[i].sum != note_sum(&v[i], j->seed + j->n + i)) {
			loaded->bad++;
			continue;
		}
		loaded->good++;
		on_note(cookie, &v[i]);
	}
	j->n += n;
}

static void load_notes(struct disk_journal *j, uint64_t bytes, disk_on_note_f *on_note, void *cookie,
		       struct disk_loaded *loaded)
{
	struct disk_note *v = mem_alloc(READ_NOTES * NOTE_BYTES);
	uint64_t left = bytes / NOTE_BYTES - 2;

	while (left) {
		size_t n = left < READ_NOTES ? (size_t)left : READ_NOTES;

		if (disk_ops_read(j->ops, j->fd, v, n * NOTE_BYTES, disk_journal_bytes(j)) < 0) {
			loaded->bad += left;
			break;
		}
		load_piece(j, v, n, on_note, cookie, loaded);
		left -= n;
	}
	free(v);
	if (loaded->bad || bytes % NOTE_BYTES)
		j->damaged = true;
}

/* After damage nothing is appended: what follows would stand in a wrong place. */
void disk_journal_load(struct disk_journal *j, disk_on_note_f *on_note, void *cookie, struct disk_loaded *loaded)
{
	uint64_t bytes = 0;

	*loaded = (struct disk_loaded){0};
	set_fd(j, j->ops->open(j->ops, j->folder, NAME, DISK_OPEN_READ));
	if (j->fd < 0 || j->ops->size(j->ops, j->folder, NAME, &bytes) < 0 || bytes < 2 * NOTE_BYTES ||
	    !read_header(j)) {
		loaded->missing = true;
		j->damaged = bytes > 0;
	} else {
		load_notes(j, bytes, on_note, cookie, loaded);
	}
	set_fd(j, loaded->missing || j->damaged ? -1 : j->ops->open(j->ops, j->folder, NAME, DISK_OPEN_APPEND));
	if (j->fd < 0)
		j->fd = -1;
}

/* ---- writing ---- */

static int write_notes(struct disk_journal *j, int fd, uint64_t seed, uint64_t first, struct disk_note *v, size_t n)
{
	struct iovec iov = {v, n * NOTE_BYTES};

	seal(v, n, seed, first);
	return disk_ops_write(j->ops, fd, &iov, 1, (first + 2) * NOTE_BYTES);
}

int disk_journal_append(struct disk_journal *j, struct disk_notes *notes)
{
	bool sync = notes->has_purge;
	size_t n = notes->n;
	int err;

	notes->n = 0;
	notes->has_purge = false;
	if (!n)
		return 0;
	if (j->fd < 0)
		return -EBADF;
	err = write_notes(j, j->fd, j->seed, j->n, notes->v, n);
	if (!err && sync)
		err = j->ops->sync(j->ops, j->fd);
	if (err)
		set_fd(j, -1);
	else
		j->n += n;
	return err;
}

static int fill_new(struct disk_journal *j, int fd, uint64_t seed, disk_next_notes_f *next, void *cookie, uint64_t *n)
{
	struct disk_note *v = mem_alloc(DISK_JOURNAL_PIECE * NOTE_BYTES);
	int err = write_header(j, fd, seed);
	size_t got;

	for (*n = 0; !err && (got = next(cookie, v)) > 0; *n += got)
		err = write_notes(j, fd, seed, *n, v, got);
	free(v);
	return err ? err : j->ops->sync(j->ops, fd);
}

int disk_journal_rewrite(struct disk_journal *j, disk_next_notes_f *next, void *cookie)
{
	uint64_t seed = rng_secret_u64(), n;
	int fd, err;

	j->ops->unlink(j->ops, j->folder, NEW_NAME);
	fd = j->ops->open(j->ops, j->folder, NEW_NAME, DISK_OPEN_NEW);
	if (fd < 0)
		return fd;
	err = fill_new(j, fd, seed, next, cookie, &n);
	if (!err)
		err = j->ops->rename(j->ops, j->folder, NEW_NAME, j->folder, NAME);
	if (err) {
		j->ops->close(j->ops, fd);
		j->ops->unlink(j->ops, j->folder, NEW_NAME);
		return err;
	}
	set_fd(j, fd);
	j->seed = seed;
	j->n = n;
	j->damaged = false;
	return j->ops->sync(j->ops, j->folder);
}
