#include "node/cache/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/checksum.h"
#include "node/base/mem.h"
#include "node/cache/disk_internal.h"
#include "node/cache/orders.h"

#define STORE_VERSION 1
#define FORMAT_NAME "format"
#define FORMAT_NEW_NAME "format.new"
#define FORMAT_BYTES 128
#define EVICT_AT_ONCE 512 /* more in one go would hold the lock, and a loop, for too long */
#define MOST_VARIANTS 64  /* of one key */
#define MOST_HEADS 4      /* tried for one request, when variants name different fields */
#define PAUSE_AFTER_FAILURE (10 * DUR_SECOND)

/* ---- names ---- */

static void put_hex(char *to, uint64_t v, int digits)
{
	for (int i = digits - 1; i >= 0; i--, v >>= 4)
		to[i] = "0123456789abcdef"[v & 15];
}

void disk__name(uint64_t serial, char out[DISK_NAME_BYTES])
{
	put_hex(out, serial, 16);
	out[16] = 0;
}

void disk__path(uint64_t serial, char out[DISK_PATH_BYTES])
{
	put_hex(out, serial % DISK_FANOUT, 2);
	put_hex(out + 3, serial / DISK_FANOUT % DISK_FANOUT, 2);
	out[2] = out[5] = '/';
	disk__name(serial, out + 6);
}

bool disk__parse_name(const char *name, uint64_t *serial)
{
	char again[DISK_NAME_BYTES];

	if (strlen(name) != 16)
		return false;
	*serial = strtoull(name, NULL, 16);
	disk__name(*serial, again);
	return strcmp(name, again) == 0;
}

/* ---- the store's own file ---- */

struct store_format {
	enum { FORMAT_OURS, FORMAT_NONE, FORMAT_DAMAGED, FORMAT_OLDER, FORMAT_NEWER } what;
	unsigned version;
	uint64_t generation;
};

static uint64_t format_check(unsigned version, uint64_t generation)
{
	uint64_t v[2] = {version, generation};

	return checksum_of(span_of((const char *)v, sizeof(v)));
}

static size_t format_text(uint64_t generation, char text[FORMAT_BYTES])
{
	return (size_t)snprintf(text, FORMAT_BYTES, "pmcache store %u\ngeneration %" PRIu64 "\ncheck %016" PRIx64 "\n",
				STORE_VERSION, generation, format_check(STORE_VERSION, generation));
}

static void read_format(const struct disk *d, struct store_format *out)
{
	char text[FORMAT_BYTES] = "";
	uint64_t check;
	ssize_t n;
	int fd = d->ops->open(d->ops, d->root, FORMAT_NAME, DISK_OPEN_READ);

	*out = (struct store_format){.what = fd == -ENOENT ? FORMAT_NONE : FORMAT_DAMAGED};
	if (fd < 0)
		return;
	n = d->ops->pread(d->ops, fd, text, sizeof(text) - 1, 0);
	d->ops->close(d->ops, fd);
	if (n <= 0 || sscanf(text, "pmcache store %u\n", &out->version) != 1)
		return;
	if (out->version != STORE_VERSION)
		out->what = out->version > STORE_VERSION ? FORMAT_NEWER : FORMAT_OLDER;
	else if (sscanf(text, "pmcache store %*u\ngeneration %" SCNu64 "\ncheck %16" SCNx64 "\n", &out->generation,
			&check) == 2 &&
		 check == format_check(out->version, out->generation))
		out->what = FORMAT_OURS;
}

static int write_format(struct disk *d, uint64_t generation)
{
	char text[FORMAT_BYTES];
	struct iovec v = {text, format_text(generation, text)};
	int fd, err;

	d->ops->unlink(d->ops, d->root, FORMAT_NEW_NAME);
	fd = d->ops->open(d->ops, d->root, FORMAT_NEW_NAME, DISK_OPEN_NEW);
	if (fd < 0)
		return fd;
	err = disk_ops_write(d->ops, fd, &v, 1, 0);
	if (!err)
		err = d->ops->sync(d->ops, fd);
	d->ops->close(d->ops, fd);
	if (!err)
		err = d->ops->rename(d->ops, d->root, FORMAT_NEW_NAME, d->root, FORMAT_NAME);
	return err ? err : d->ops->sync(d->ops, d->root);
}

/* The next generation is one that no file on the disk has: so no name is given twice, whatever was lost. Kept in
 * next_serial until then. */
int disk__begin_generation(struct disk *d)
{
	uint64_t generation = (d->next_serial >> DISK_GENERATION_SHIFT) + 1;
	int err = d->tmp < 0 ? -ENOENT : write_format(d, generation);

	if (err)
		return err;
	disk__lock(d);
	d->generation = generation;
	d->first_serial = d->next_serial = generation << DISK_GENERATION_SHIFT | 1;
	disk__unlock(d);
	return 0;
}

static void highest(void *cookie, const char *name)
{
	uint64_t *most = cookie, serial;

	if (disk__parse_name(name, &serial) && serial > *most)
		*most = serial;
}

/* Without a good `format` the names on the disk tell which generations there were. */
static uint64_t highest_serial(const struct disk *d)
{
	uint64_t most = 0;
	char path[DISK_PATH_BYTES];

	for (uint64_t i = 0; i < DISK_FANOUT * DISK_FANOUT; i++) {
		disk__path(i, path);
		path[5] = 0;
		d->ops->list(d->ops, d->objects, path, highest, &most);
	}
	return most;
}

/* ---- opening ---- */

static int fail(char *why, size_t why_bytes, const char *path, const char *what, int err)
{
	snprintf(why, why_bytes, "%s: %s: %s", path, what, strerror(-err));
	return -1;
}

static int open_folder(struct disk *d, const char *name)
{
	d->ops->mkdir(d->ops, d->root, name);
	return d->ops->open(d->ops, d->root, name, DISK_OPEN_FOLDER);
}

static int open_folders(struct disk *d, const char *path, char *why, size_t why_bytes)
{
	int err = d->ops->mkdir(d->ops, AT_FDCWD, path);

	d->root = d->ops->open(d->ops, AT_FDCWD, path, DISK_OPEN_FOLDER);
	if (d->root < 0)
		return fail(why, why_bytes, path, "cannot be used", err ? err : d->root);
	d->objects = open_folder(d, "objects");
	if (d->objects < 0)
		return fail(why, why_bytes, path, "cannot hold a store", d->objects);
	d->tmp = open_folder(d, "tmp");
	d->quarantine = open_folder(d, "quarantine");
	return 0;
}

static int check_format(struct disk *d, const char *path, char *why, size_t why_bytes)
{
	struct store_format format;

	read_format(d, &format);
	switch (format.what) {
	case FORMAT_NEWER:
		snprintf(why, why_bytes,
			 "%s: was written by a newer version (store format %u, this program knows %u): use that "
			 "version, or another folder, or empty it",
			 path, format.version, STORE_VERSION);
		return -1;
	case FORMAT_OLDER:
		log_line(d->log, LOG_WARNING, "disk", "the store has the old format %u: what cannot be read goes",
			 format.version);
		d->ops->unlink(d->ops, d->root, "journal");
		d->next_serial = highest_serial(d);
		return 0;
	case FORMAT_DAMAGED:
		log_line(d->log, LOG_WARNING, "disk", "the store's file `format` is damaged: it is made anew");
		d->next_serial = highest_serial(d);
		return 0;
	case FORMAT_NONE:
		d->next_serial = highest_serial(d);
		return 0;
	case FORMAT_OURS:
		d->next_serial = format.generation << DISK_GENERATION_SHIFT;
		return 0;
	}
	return -1;
}

void disk__bury(struct disk *d, const struct disk_id *id, uint64_t serial)
{
	if (d->n_tombs == d->tombs_room) {
		d->tombs_room = d->tombs_room ? 2 * d->tombs_room : 16;
		d->tombs = mem_realloc(d->tombs, d->tombs_room * sizeof(*d->tombs));
	}
	d->tombs[d->n_tombs++] = (struct disk_tomb){*id, serial, clock_mono(d->clock)};
}

static void on_note(void *cookie, const struct disk_note *note)
{
	struct disk *d = cookie;

	if (note->op == DISK_NOTE_PURGED)
		disk__bury(d, &(struct disk_id){note->hash, note->key_rest}, note->serial);
	disk_index_apply(&d->index, note);
}

static void load_journal(struct disk *d)
{
	struct disk_loaded loaded;

	disk_journal_init(&d->journal, d->ops, d->root);
	disk_journal_load(&d->journal, on_note, d, &loaded);
	disk_index_loaded(&d->index);
	d->journal_bytes = disk_journal_bytes(&d->journal);
	if (d->journal.damaged)
		log_line(d->log, LOG_WARNING, "disk",
			 "the index is damaged: %" PRIu64 " records are good, %" PRIu64
			 " are not; the rest is found from the files",
			 loaded.good, loaded.bad);
}

static void start_walk(struct disk *d)
{
	struct disk_place *known = mem_alloc((size_t)(d->index.n + 1) * sizeof(*known)), *shard = NULL;
	size_t n = 0, room = 0;

	for (unsigned i = 0; i < DISK_SHARDS; i++) {
		size_t got = disk__places(d, i, &shard, &room);

		if (got)
			memcpy(known + n, shard, got * sizeof(*known));
		n += got;
	}
	free(shard);
	d->walking = true;
	disk__walk_start(d, known, n);
}

static void init(struct disk *d, const struct disk_settings *s)
{
	pthread_condattr_t attr;

	d->magic = DISK_MAGIC;
	d->ops = s->ops ? s->ops : &disk_ops_system;
	d->work = s->work;
	d->log = s->log;
	d->clock = s->clock;
	d->orders = s->orders;
	d->size = s->size;
	d->min_free = s->min_free;
	d->min_free_percent = s->min_free_percent;
	d->max_object = s->max_object;
	d->root = d->objects = d->tmp = d->quarantine = -1;
	pthread_mutex_init(&d->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&d->wake, &attr);
	pthread_cond_init(&d->quiet, &attr);
	pthread_condattr_destroy(&attr);
	STAILQ_INIT(&d->trash);
	STAILQ_INIT(&d->closing);
	STAILQ_INIT(&d->going);
	disk_index_init(&d->index);
}

static void close_folder(const struct disk *d, int fd)
{
	if (fd >= 0)
		d->ops->close(d->ops, fd);
}

static void fini(struct disk *d)
{
	struct disk_trash *t, *next;

	for (t = STAILQ_FIRST(&d->trash); t; t = next) {
		next = STAILQ_NEXT(t, link);
		free(t);
	}
	disk_journal_fini(&d->journal);
	disk_index_fini(&d->index);
	disk_notes_fini(&d->batch);
	map_fini(&d->open);
	close_folder(d, d->quarantine);
	close_folder(d, d->tmp);
	close_folder(d, d->objects);
	close_folder(d, d->root);
	pthread_cond_destroy(&d->quiet);
	pthread_cond_destroy(&d->wake);
	pthread_mutex_destroy(&d->lock);
	free(d->tombs);
	d->magic = 0;
	free(d);
}

struct disk *disk_open(const struct disk_settings *s, char *why, size_t why_bytes)
{
	struct disk *d = NEW(struct disk);
	int err;

	init(d, s);
	disk_journal_init(&d->journal, d->ops, -1);
	if (open_folders(d, s->path, why, why_bytes) < 0 || check_format(d, s->path, why, why_bytes) < 0) {
		fini(d);
		return NULL;
	}
	load_journal(d);
	err = disk__begin_generation(d);
	if (err) {
		log_line(d->log, LOG_ERROR, "disk", "nothing can be stored: %s", strerror(-err));
		d->failing = true;
	}
	d->ops->room(d->ops, d->root, &d->room);
	disk__keeper_start(d);
	start_walk(d);
	return d;
}

void disk_let_go(struct disk *d)
{
	struct disk_writing *w;

	CHECK(d, DISK_MAGIC);
	disk__lock(d);
	d->let_go = true;
	LIST_FOREACH(w, &d->writings, link)
	w->purged = true;
	disk__unlock(d);
	disk_scrub_stop(d);
	disk__walk_stop(d);
	disk__keeper_stop(d);
}

bool disk__has_let_go(struct disk *d)
{
	bool let_go;

	disk__lock(d);
	let_go = d->let_go;
	disk__unlock(d);
	return let_go;
}

void disk_close(struct disk **dp)
{
	struct disk *d = *dp;

	if (!d)
		return;
	CHECK(d, DISK_MAGIC);
	*dp = NULL;
	disk_tell_gone(d, NULL, NULL);
	if (!d->let_go) {
		disk_scrub_stop(d);
		disk__walk_stop(d);
	}
	disk__lock(d);
	while (d->jobs)
		pthread_cond_wait(&d->quiet, &d->lock);
	CHECK_THAT(LIST_EMPTY(&d->writings) && d->open.n == 0);
	disk__unlock(d);
	if (d->let_go)
		disk__close_files(d);
	else
		disk__keeper_stop(d);
	fini(d);
}

void disk_set_limits(struct disk *d, uint64_t size, unsigned min_free_percent, uint64_t min_free)
{
	CHECK(d, DISK_MAGIC);
	disk__lock(d);
	d->size = size;
	d->min_free_percent = min_free_percent;
	d->min_free = min_free;
	pthread_cond_signal(&d->wake);
	disk__unlock(d);
}

/* ---- room ---- */

static uint64_t settled(const struct disk *d)
{
	return d->index.charge + d->reserved + d->quarantine_bytes + d->journal_bytes;
}

uint64_t disk__used(const struct disk *d)
{
	return settled(d) + d->trash_bytes + d->open_bytes;
}

uint64_t disk__must_stay_free(const struct disk *d)
{
	uint64_t share = d->room.total / 100 * d->min_free_percent;

	return share > d->min_free ? share : d->min_free;
}

/* What is to be unlinked counts as free here: it goes before anything is written (disk__empty_trash). */
bool disk__fits(const struct disk *d, uint64_t bytes)
{
	uint64_t used = settled(d), have = d->room.free + d->freed + d->trash_bytes;

	return bytes <= d->size && used <= d->size - bytes && have >= disk__must_stay_free(d) + d->owed + bytes;
}

/* Those that are open count their hits without the lock. */
static struct disk_rec *least(struct disk *d)
{
	struct disk_rec *r;

	while ((r = disk_index_first(&d->index)) != NULL) {
		struct disk_file *f = d->open.n ? disk__find_open(d, r->serial) : NULL;
		uint32_t hits = f ? atomic_exchange_explicit(&f->hits, 0, memory_order_relaxed) : 0;

		if (!hits)
			return r;
		r->hits = hits; /* weighed anew */
	}
	return NULL;
}

unsigned disk__evict(struct disk *d, uint64_t bytes, unsigned most)
{
	struct disk_rec *r;
	unsigned n = 0;

	while (n < most && !disk__fits(d, bytes) && (r = least(d)) != NULL) {
		disk__remove(d, r, DISK_OUT, false, false);
		d->counts.evicted++;
		n++;
	}
	return n;
}

bool disk__reserve(struct disk *d, struct disk_writing *w, uint64_t bytes)
{
	disk__evict(d, bytes, EVICT_AT_ONCE);
	if (!disk__fits(d, bytes))
		return false;
	w->reserved += bytes;
	d->reserved += bytes;
	d->owed += bytes;
	return true;
}

void disk__discard(struct disk *d, uint64_t serial, uint64_t charge, enum disk_trash_kind what)
{
	struct disk_trash *t = NEW(struct disk_trash);

	t->serial = serial;
	t->charge = charge;
	t->what = what;
	STAILQ_INSERT_TAIL(&d->trash, t, link);
	d->trash_bytes += charge;
	pthread_cond_signal(&d->wake);
}

static bool is_serial(const struct map_node *node, const void *wanted)
{
	return node->hash == *(const uint64_t *)wanted;
}

struct disk_file *disk__find_open(const struct disk *d, uint64_t serial)
{
	struct map_node *node = map_find(&d->open, serial, is_serial, &serial);

	return node ? (struct disk_file *)(void *)((char *)node - offsetof(struct disk_file, node)) : NULL;
}

void disk__remove(struct disk *d, struct disk_rec *r, enum disk_gone how, bool missing, bool bad)
{
	struct disk_file *f = disk__find_open(d, r->serial);
	uint64_t serial = r->serial, charge = r->evict.bytes;

	if (f) {
		f->rec = NULL;
		f->gone = true;
		if (d->on_gone) {
			disk_file_ref(f);
			STAILQ_INSERT_TAIL(&d->going, f, closing);
			pthread_cond_signal(&d->wake);
		}
	}
	disk_index_remove(&d->index, r, how);
	if (!missing)
		disk__discard(d, serial, charge, bad ? DISK_TRASH_BAD : DISK_TRASH_FILE);
}

/* ---- faults ---- */

void disk__missing(struct disk *d, const struct disk_place *place)
{
	struct disk_rec *r;

	disk__lock(d);
	r = disk_index_find(&d->index, place->hash, place->serial);
	if (r)
		disk__remove(d, r, DISK_GONE, true, false);
	disk__unlock(d);
	if (r)
		log_line(d->log, LOG_NOTICE, "disk", "object %016" PRIx64 " is not on the disk any more",
			 place->serial);
}

void disk__bad(struct disk *d, uint64_t hash, uint64_t serial, const char *why)
{
	struct disk_rec *r;

	disk__lock(d);
	r = disk_index_find(&d->index, hash, serial);
	if (r) {
		disk__remove(d, r, DISK_GONE, false, true);
		d->counts.quarantined++;
	}
	disk__unlock(d);
	if (r)
		log_line(d->log, LOG_WARNING, "disk", "object %016" PRIx64 " goes to quarantine: %s", serial, why);
}

void disk__write_failed(struct disk *d, int err, const char *what)
{
	bool first;

	disk__lock(d);
	first = !d->failing;
	d->failing = true;
	d->failing_until = mono_after(clock_mono(d->clock), PAUSE_AFTER_FAILURE);
	d->counts.write_failures++;
	disk__unlock(d);
	if (first)
		log_line(d->log, LOG_ERROR, "disk", "%s failed: %s; tried again every %d s", what, strerror(-err),
			 (int)(PAUSE_AFTER_FAILURE / DUR_SECOND));
}

void disk__write_went(struct disk *d)
{
	bool was;

	disk__lock(d);
	was = d->failing && d->generation;
	if (was)
		d->failing = false;
	disk__unlock(d);
	if (was)
		log_line(d->log, LOG_NOTICE, "disk", "writing works again");
}

void disk__job_begins(struct disk *d)
{
	disk__lock(d);
	d->jobs++;
	disk__unlock(d);
}

void disk__job_ends(struct disk *d)
{
	disk__lock(d);
	d->jobs--;
	pthread_cond_broadcast(&d->quiet);
	disk__unlock(d);
}

/* ---- into the index ---- */

static void put_in_table(struct disk *d, struct disk_file *f, struct disk_rec *r)
{
	f->rec = r;
	f->in_table = true;
	map_insert(&d->open, &f->node, f->label.serial);
}

/* One that varies and one that does not are two views of the same URL: they replace each other, as in memory. */
static bool replaces(const struct disk_rec *old, uint64_t variant)
{
	return old->variant == variant || old->variant == 0 || variant == 0;
}

/* Those that a new one puts out of date, and the oldest of too many variants. False: one of them is newer than `than`.
 */
static bool make_place(struct disk *d, const struct disk_id *id, uint64_t variant, uint64_t than)
{
	struct disk_rec *r = disk_index_next(&d->index, id, NULL), *next, *oldest = NULL;
	unsigned n = 0;

	for (; r; r = next) {
		next = disk_index_next(&d->index, id, r);
		if (replaces(r, variant)) {
			if (r->serial > than)
				return false;
			disk__remove(d, r, DISK_GONE, false, false);
			continue;
		}
		n++;
		if (!oldest || r->serial < oldest->serial)
			oldest = r;
	}
	if (n >= MOST_VARIANTS)
		disk__remove(d, oldest, DISK_GONE, false, false);
	return true;
}

static struct disk_rec *add(struct disk *d, const struct disk_file *f, const struct disk_id *id, uint64_t bytes)
{
	struct disk_new what = {*id, disk_id_variant(&f->label.variant), f->label.serial, bytes};

	return disk_index_add(&d->index, &what);
}

bool disk__publish(struct disk *d, struct disk_writing *w, uint64_t bytes)
{
	struct disk_file *f = w->file;
	struct disk_id id = disk_id(&f->label.key);

	if (w->purged)
		return false;
	make_place(d, &id, disk_id_variant(&f->label.variant), UINT64_MAX);
	put_in_table(d, f, add(d, f, &id, bytes));
	d->counts.writes++;
	return true;
}

static bool is_purged(const struct disk *d, const struct disk_id *id, uint64_t serial)
{
	for (size_t i = 0; i < d->n_tombs; i++)
		if (d->tombs[i].serial >= serial && d->tombs[i].id.hash == id->hash && d->tombs[i].id.rest == id->rest)
			return true;
	return false;
}

bool disk__adopt(struct disk *d, const struct disk_file *f, uint64_t bytes)
{
	struct disk_id id = disk_id(&f->label.key);

	if (is_purged(d, &id, f->label.serial) || disk_index_find(&d->index, id.hash, f->label.serial) ||
	    !make_place(d, &id, disk_id_variant(&f->label.variant), f->label.serial))
		return false;
	add(d, f, &id, bytes);
	return true;
}

static struct disk_place place_of(const struct disk_rec *r)
{
	return (struct disk_place){r->node.hash, r->serial, r->bytes, r->variant};
}

size_t disk__places(struct disk *d, unsigned shard, struct disk_place **v, size_t *room)
{
	const struct map *m = &d->index.shards[shard];
	size_t n = 0;

	if (m->n > *room) {
		*room = m->n + m->n / 4;
		*v = mem_realloc(*v, *room * sizeof(**v));
	}
	for (struct map_node *node = map_next(m, NULL); node && *v; node = map_next(m, node))
		(*v)[n++] = place_of((const struct disk_rec *)(void *)((char *)node - offsetof(struct disk_rec, node)));
	return n;
}

/* ---- looking ---- */

bool disk_has(struct disk *d, const struct key *key)
{
	struct disk_id id = disk_id(key);
	bool has;

	CHECK(d, DISK_MAGIC);
	disk__lock(d);
	has = !d->let_go && disk_index_next(&d->index, &id, NULL) != NULL;
	disk__unlock(d);
	return has;
}

static struct disk_file *take_open(struct disk *d, uint64_t serial)
{
	struct disk_file *f = disk__find_open(d, serial);

	return f && !f->gone ? disk_file_ref(f) : NULL;
}

/* Loaded by us; somebody else may have been quicker, and it may have gone meanwhile. */
static struct disk_file *share(struct disk *d, const struct disk_place *place, struct disk_file *f)
{
	struct disk_file *theirs;
	struct disk_rec *r;

	disk__lock(d);
	theirs = take_open(d, place->serial);
	r = theirs ? NULL : disk_index_find(&d->index, place->hash, place->serial);
	if (r)
		put_in_table(d, f, r);
	disk__unlock(d);
	if (r)
		return f;
	disk__file_free(f);
	return theirs;
}

bool disk__is_denied(const struct disk *d, const struct disk_file *f)
{
	return orders_denies(d->orders, f->digest);
}

static void remove_denied(struct disk *d, const struct disk_place *place)
{
	struct disk_rec *r;

	disk__lock(d);
	r = disk_index_find(&d->index, place->hash, place->serial);
	if (r)
		disk__remove(d, r, DISK_GONE, false, false);
	disk__unlock(d);
}

/* NULL and DISK_COLD, or NULL and DISK_NONE. */
static struct disk_file *open_place(struct disk *d, const struct disk_place *place, bool wait, enum disk_got *got)
{
	struct disk_file *f;

	disk__lock(d);
	f = take_open(d, place->serial);
	disk__unlock(d);
	*got = DISK_NONE;
	if (f)
		return f;
	switch (disk__load(d, place, wait, &f)) {
	case DISK_LOADED:
		if (!disk__is_denied(d, f))
			return share(d, place, f);
		disk__file_free(f);
		remove_denied(d, place);
		return NULL;
	case DISK_LOAD_COLD:
		*got = DISK_COLD;
		return NULL;
	case DISK_LOAD_MISSING:
		disk__missing(d, place);
		return NULL;
	case DISK_LOAD_BAD:
		disk__bad(d, place->hash, place->serial, "its head or its end is damaged, or cannot be read");
		return NULL;
	case DISK_LOAD_NOT_NOW:
		return NULL;
	}
	return NULL;
}

struct disk_file *disk__open_place(struct disk *d, const struct disk_place *place)
{
	enum disk_got got;

	return open_place(d, place, true, &got);
}

/* The newest of a key. */
static unsigned newest(struct disk *d, const struct disk_id *id, struct disk_place v[MOST_HEADS])
{
	struct disk_rec *r = NULL;
	unsigned n = 0;

	disk__lock(d);
	while (!d->let_go && (r = disk_index_next(&d->index, id, r)) != NULL) {
		unsigned at = n < MOST_HEADS ? n++ : MOST_HEADS;

		for (; at > 0 && v[at - 1].serial < r->serial; at--)
			if (at < MOST_HEADS)
				v[at] = v[at - 1];
		if (at < MOST_HEADS)
			v[at] = place_of(r);
	}
	disk__unlock(d);
	return n;
}

static bool place_of_variant(struct disk *d, const struct disk_id *id, uint64_t variant, struct disk_place *out)
{
	struct disk_rec *r = NULL;

	disk__lock(d);
	while ((r = disk_index_next(&d->index, id, r)) != NULL)
		if (r->variant == variant)
			break;
	if (r)
		*out = place_of(r);
	disk__unlock(d);
	return r != NULL;
}

/* Does this one fit the request? If not, *wanted is the variant that would, as far as its Vary can tell. */
static bool fits_request(const struct disk_file *f, const struct index_ask *ask, struct key_variant *wanted)
{
	struct vary vary;

	*wanted = f->label.variant;
	if (!key_same(&f->label.key, &ask->key))
		return false; /* the halves of two keys that the index keeps are the same */
	vary_parse(head_vary(f->head), &vary);
	if (vary.star)
		return false;
	key_variant(wanted, &vary, ask->request);
	return key_variant_same(wanted, &f->label.variant);
}

static enum disk_got try_place(struct disk *d, const struct disk_place *place, const struct index_ask *ask, bool wait,
			       struct key_variant *wanted, struct disk_file **out)
{
	enum disk_got got;
	struct disk_file *f = open_place(d, place, wait, &got);

	*wanted = (struct key_variant){0};
	if (!f)
		return got;
	if (fits_request(f, ask, wanted)) {
		*out = f;
		return DISK_FILE;
	}
	disk_file_unref(&f);
	return DISK_NONE;
}

static enum disk_got find(struct disk *d, const struct index_ask *ask, bool wait, struct disk_file **out)
{
	struct disk_id id = disk_id(&ask->key);
	struct disk_place v[MOST_HEADS], other;
	unsigned n = newest(d, &id, v);
	struct key_variant wanted;
	enum disk_got got;

	*out = NULL;
	for (unsigned i = 0; i < n; i++) {
		got = try_place(d, &v[i], ask, wait, &wanted, out);
		if (got == DISK_NONE && place_of_variant(d, &id, disk_id_variant(&wanted), &other) &&
		    other.serial != v[i].serial)
			got = try_place(d, &other, ask, wait, &wanted, out);
		if (got != DISK_NONE)
			return got;
	}
	return DISK_NONE;
}

enum disk_got disk_find_now(struct disk *d, const struct index_ask *ask, struct disk_file **out)
{
	CHECK(d, DISK_MAGIC);
	return find(d, ask, false, out);
}

/* ---- looking by a worker ---- */

struct finding {
	struct disk *disk;
	struct index_ask ask;
	struct hdrs request;
	char *text; /* what the fields of request borrow */
	struct loop *loop;
	struct deferred at_end;
	disk_on_found_f *on_found;
	void *cookie;
	struct disk_file *file;
};

static void copy_fields(struct finding *g, const struct hdrs *from)
{
	size_t n = 0;
	struct buf b;

	for (unsigned i = 0; i < from->n; i++)
		n += from->v[i].name.n + from->v[i].value.n;
	g->text = mem_alloc(n + 1);
	b = buf_over(g->text, n);
	/* A kept request's table ends with the last field there is (http1_keep.h). */
	memcpy(&g->request, from, offsetof(struct hdrs, v) + from->n * sizeof(from->v[0]));
	for (unsigned i = 0; i < from->n; i++) {
		struct hdr *f = &g->request.v[i];

		buf_put(&b, f->name);
		f->name.p = g->text + b.n - f->name.n;
		buf_put(&b, f->value);
		f->value.p = g->text + b.n - f->value.n;
	}
	g->ask.request = &g->request;
}

static void finding_free(struct finding *g)
{
	disk_file_unref(&g->file);
	free(g->text);
	free(g);
}

static void find_job(void *arg)
{
	struct finding *g = arg;

	find(g->disk, &g->ask, true, &g->file);
	disk__job_ends(g->disk);
}

static void on_found(void *arg)
{
	struct finding *g = arg;
	struct disk_file *file = g->file;

	loop_defer_cancel(g->loop, &g->at_end);
	g->file = NULL;
	g->on_found(g->cookie, file);
	finding_free(g);
}

static void on_loop_gone(void *arg)
{
	finding_free(arg);
}

int disk_find_start(struct disk *d, const struct index_ask *ask, struct loop *loop, disk_on_found_f *fn, void *cookie)
{
	struct finding *g = NEW(struct finding);

	CHECK(d, DISK_MAGIC);
	g->disk = d;
	g->ask = *ask;
	g->loop = loop;
	g->on_found = fn;
	g->cookie = cookie;
	copy_fields(g, ask->request);
	disk__job_begins(d);
	if (work_start(d->work, find_job, loop, on_found, g) < 0) {
		disk__job_ends(d);
		finding_free(g);
		return -1;
	}
	loop_at_end(loop, &g->at_end, on_loop_gone, g);
	return 0;
}

void disk_hit(struct disk *d, struct disk_file *f, uint32_t hits)
{
	CHECK(d, DISK_MAGIC);
	disk__lock(d);
	if (f->rec)
		f->rec->hits = f->rec->hits < UINT32_MAX - hits ? f->rec->hits + hits : UINT32_MAX;
	disk__unlock(d);
}

void disk_quarantine(struct disk *d, struct disk_file *f, const char *why)
{
	struct disk_writing *w;

	CHECK(d, DISK_MAGIC);
	disk__lock(d);
	LIST_FOREACH(w, &d->writings, link)
	if (w->file == f)
		w->purged = true;
	disk__unlock(d);
	disk__bad(d, disk_id(&f->label.key).hash, f->label.serial, why);
}

/* ---- removing ---- */

void disk_tell_gone(struct disk *d, disk_on_gone_f *fn, void *cookie)
{
	struct disk_file *f;

	CHECK(d, DISK_MAGIC);
	disk__lock(d);
	d->on_gone = fn;
	d->on_gone_cookie = cookie;
	while (d->telling)
		pthread_cond_wait(&d->quiet, &d->lock);
	while (!fn && (f = STAILQ_FIRST(&d->going)) != NULL) {
		STAILQ_REMOVE_HEAD(&d->going, closing);
		disk__unlock(d);
		disk_file_unref(&f);
		disk__lock(d);
	}
	disk__unlock(d);
}

unsigned disk_purge(struct disk *d, const struct key *key)
{
	struct disk_id id = disk_id(key);
	struct disk_writing *w;
	struct disk_rec *r;
	unsigned n = 0;

	CHECK(d, DISK_MAGIC);
	disk__lock(d);
	for (; (r = disk_index_next(&d->index, &id, NULL)) != NULL; n++)
		disk__remove(d, r, DISK_GONE, false, false);
	LIST_FOREACH(w, &d->writings, link)
	if (key_same(&w->file->label.key, key))
		w->purged = true;
	/* Also what was replaced or evicted a moment ago. */
	disk__bury(d, &id, d->next_serial - 1);
	disk_index_note_purge(&d->index, &id, d->next_serial - 1);
	disk__unlock(d);
	return n;
}

/* ---- figures, and a walk ---- */

struct disk_counts disk_counts(struct disk *d)
{
	struct disk_counts c;

	CHECK(d, DISK_MAGIC);
	disk__lock(d);
	c = d->counts;
	c.objects = d->index.n;
	c.used = disk__used(d);
	c.size = d->size;
	c.free_on_disk = d->room.free;
	c.floor = disk__must_stay_free(d);
	c.loading = d->walking;
	c.read_only = d->failing || d->let_go || !d->generation;
	disk__unlock(d);
	return c;
}

/* false: enough. */
static bool each_of_shard(struct disk *d, const struct disk_place *v, size_t n, disk_each_f *fn, void *cookie)
{
	for (size_t i = 0; i < n; i++) {
		struct disk_file *f = disk__open_place(d, &v[i]);
		bool more = !f || fn(cookie, f);

		disk_file_unref(&f);
		if (!more)
			return false;
	}
	return true;
}

void disk_each(struct disk *d, disk_each_f *fn, void *cookie)
{
	struct disk_place *v = NULL;
	bool more = true;
	size_t room = 0;

	CHECK(d, DISK_MAGIC);
	for (unsigned i = 0; more && i < DISK_SHARDS; i++) {
		size_t n;

		disk__lock(d);
		n = disk__places(d, i, &v, &room);
		disk__unlock(d);
		more = each_of_shard(d, v, n, fn, cookie);
	}
	free(v);
}
