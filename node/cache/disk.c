#include "node/cache/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/cache/disk_internal.h"

#define PAUSE_AFTER_FAILURE (10 * DUR_SECOND)

/* ---- opening and closing ---- */

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
	if (open_folders(d, s->path, why, why_bytes) < 0 || disk__check_format(d, s->path, why, why_bytes) < 0) {
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

/* ---- faults, and jobs at the workers ---- */

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

/* ---- who else is told, limits, figures ---- */

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

void disk_tell_shared(struct disk *d, disk_on_shared_f *fn, void *cookie)
{
	CHECK(d, DISK_MAGIC);
	disk__lock(d);
	d->on_shared = fn;
	d->on_shared_cookie = cookie;
	disk__unlock(d);
}

void disk_hit(struct disk *d, struct disk_file *f, uint32_t hits)
{
	CHECK(d, DISK_MAGIC);
	disk__lock(d);
	if (f->rec)
		f->rec->hits = f->rec->hits < UINT32_MAX - hits ? f->rec->hits + hits : UINT32_MAX;
	disk__unlock(d);
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
