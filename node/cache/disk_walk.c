/* The walk: a thread of the disk's own. After a start it compares the index with the files: what is missing goes from
 * the index, what is not in it (the last second before a kill, or all after damage) is read, checked and taken in,
 * slowly. It also runs purges by a predicate, which have to read heads; one that comes while strays are looked for is
 * asked about each of them too. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/cache/disk_internal.h"

#define PAUSE_EVERY 64 /* strays */
#define PAUSE_NS 1000000

/* Belongs to the thread, and to the loop that asked: whoever lets go last frees it. */
struct purging {
	TAILQ_ENTRY(purging) link;
	struct disk *disk;
	_Atomic unsigned refs;
	pthread_mutex_t lock; /* held while `fits` runs */
	bool cancelled;       /* by the end of the loop */
	disk_fits_f *fits;
	struct loop *loop;
	struct deferred at_end;
	disk_on_purged_f *done;
	void *cookie;
	unsigned n;
};

TAILQ_HEAD(purgings, purging);

struct disk_walk {
	struct disk *disk;
	pthread_t thread;
	pthread_cond_t wake;   /* with the disk's lock */
	bool ending;           /* [l] */
	struct purgings asked; /* [l] */
	struct purgings begun; /* the thread's: have seen the index, and wait for the end of the walk */
	struct disk_place *known;
	size_t n_known;
	uint64_t *found; /* serials on the disk */
	size_t n_found, room;
	uint64_t limit; /* what has a higher serial was written in this run */
	unsigned taken, missing, discarded, read;
};

/* ---- purging ---- */

static void purging_unref(struct purging *p)
{
	if (atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
		return;
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static void on_loop_gone(void *arg)
{
	struct purging *p = arg;

	pthread_mutex_lock(&p->lock);
	p->cancelled = true;
	pthread_mutex_unlock(&p->lock);
	purging_unref(p);
}

static void on_purged(void *arg)
{
	struct purging *p = arg;

	loop_defer_cancel(p->loop, &p->at_end);
	p->done(p->cookie, p->n);
	purging_unref(p);
}

static bool fits(struct purging *p, const struct head *head, const uint8_t *digest)
{
	bool yes;

	pthread_mutex_lock(&p->lock);
	yes = !p->cancelled && p->fits(p->cookie, head, digest);
	pthread_mutex_unlock(&p->lock);
	return yes;
}

static void finish(struct purging *p)
{
	pthread_mutex_lock(&p->lock);
	if (!p->cancelled)
		loop_post(p->loop, on_purged, p);
	pthread_mutex_unlock(&p->lock);
	purging_unref(p);
}

/* Who takes this job off its list from here on finds what is being written: what is begun later is newer than the
 * purge. */
static void purge_writings(struct purging *p)
{
	struct disk *d = p->disk;
	struct disk_writing *w;

	disk__lock(d);
	LIST_FOREACH(w, &d->writings, link)
	if (fits(p, w->file->head, NULL))
		w->purged = true;
	disk__unlock(d);
}

static void purge_place(struct purging *p, const struct disk_place *place)
{
	struct disk *d = p->disk;
	struct disk_file *f = disk__open_place(d, place);
	struct disk_rec *r;

	if (!f)
		return;
	if (fits(p, f->head, f->digest)) {
		disk__lock(d);
		r = disk_index_find(&d->index, place->hash, place->serial);
		if (r)
			disk__remove(d, r, DISK_GONE, false, false);
		p->n += r != NULL;
		disk__unlock(d);
	}
	disk_file_unref(&f);
}

static bool is_ending(struct disk_walk *k)
{
	bool ending;

	disk__lock(k->disk);
	ending = k->ending;
	disk__unlock(k->disk);
	return ending;
}

static void purge_index(struct disk_walk *k, struct purging *p)
{
	struct disk_place *v = NULL;
	size_t room = 0;

	purge_writings(p);
	for (unsigned shard = 0; shard < DISK_SHARDS && !is_ending(k); shard++) {
		size_t n;

		disk__lock(k->disk);
		n = disk__places(k->disk, shard, &v, &room);
		disk__unlock(k->disk);
		for (size_t i = 0; i < n; i++)
			purge_place(p, &v[i]);
	}
	free(v);
	disk__empty_for_good(k->disk);
}

static struct purging *take_asked(struct disk_walk *k)
{
	struct purging *p;

	disk__lock(k->disk);
	p = TAILQ_FIRST(&k->asked);
	if (p)
		TAILQ_REMOVE(&k->asked, p, link);
	disk__unlock(k->disk);
	return p;
}

static void run_purges(struct disk_walk *k)
{
	struct purging *p;

	while ((p = take_asked(k)) != NULL) {
		purge_index(k, p);
		TAILQ_INSERT_TAIL(&k->begun, p, link);
	}
}

static void finish_purges(struct disk_walk *k)
{
	struct purging *p, *next;

	for (p = TAILQ_FIRST(&k->begun); p; p = next) {
		next = TAILQ_NEXT(p, link);
		finish(p);
	}
	TAILQ_INIT(&k->begun);
}

void disk_purge_if(struct disk *d, disk_fits_f *fits_fn, struct loop *loop, disk_on_purged_f *done, void *cookie)
{
	struct purging *p = NEW(struct purging);
	bool let_go;

	CHECK(d, DISK_MAGIC);
	p->disk = d;
	p->refs = 2;
	pthread_mutex_init(&p->lock, NULL);
	p->fits = fits_fn;
	p->loop = loop;
	p->done = done;
	p->cookie = cookie;
	loop_at_end(loop, &p->at_end, on_loop_gone, p);
	disk__lock(d);
	let_go = d->let_go;
	if (!let_go) {
		TAILQ_INSERT_TAIL(&d->walk->asked, p, link);
		pthread_cond_signal(&d->walk->wake);
	}
	disk__unlock(d);
	if (let_go)
		finish(p);
}

/* ---- strays ---- */

static void on_name(void *cookie, const char *name)
{
	struct disk_walk *k = cookie;
	uint64_t serial;

	if (!disk__parse_name(name, &serial) || serial >= k->limit)
		return;
	if (k->n_found == k->room) {
		k->room = k->room ? 2 * k->room : 1024;
		k->found = mem_realloc(k->found, k->room * sizeof(*k->found));
	}
	k->found[k->n_found++] = serial;
}

/* False: the end has come, or the disk cannot be read (then nothing is taken for missing). */
static bool list_files(struct disk_walk *k)
{
	struct disk *d = k->disk;
	char path[DISK_PATH_BYTES];

	for (uint64_t i = 0; i < DISK_FANOUT * DISK_FANOUT; i++) {
		int err;

		disk__path(i, path);
		path[5] = 0;
		err = d->ops->list(d->ops, d->objects, path, on_name, k);
		if (err && err != -ENOENT) {
			log_line(d->log, LOG_WARNING, "disk", "the files cannot be listed: %s", strerror(-err));
			return false;
		}
		run_purges(k);
		if (is_ending(k))
			return false;
	}
	return true;
}

static int by_serial(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int places_by_serial(const void *a, const void *b)
{
	return by_serial(&((const struct disk_place *)a)->serial, &((const struct disk_place *)b)->serial);
}

static bool is_wanted_by_a_purge(struct disk_walk *k, const struct disk_file *f)
{
	struct purging *p;

	TAILQ_FOREACH(p, &k->begun, link)
	if (fits(p, f->head, f->digest)) {
		p->n++;
		return true;
	}
	return false;
}

static void discard_stray(struct disk_walk *k, uint64_t serial)
{
	disk__lock(k->disk);
	disk__discard(k->disk, serial, 0, DISK_TRASH_FILE);
	disk__unlock(k->disk);
	k->discarded++;
}

/* How it was named and how long it is are all that is known; the rest has to be in it. */
static void take_stray(struct disk_walk *k, uint64_t serial)
{
	struct disk *d = k->disk;
	struct disk_place place = {.serial = serial};
	char path[DISK_PATH_BYTES];
	struct disk_file *f;
	bool taken;

	disk__path(serial, path);
	if (d->ops->size(d->ops, d->objects, path, &place.bytes) < 0)
		return;
	switch (disk__load(d, &place, true, &f, NULL)) {
	case DISK_LOADED:
		break;
	case DISK_LOAD_BAD:
		discard_stray(k, serial);
		return;
	default:
		return;
	}
	taken = !is_wanted_by_a_purge(k, f) && !disk__is_denied(d, f);
	disk__lock(d);
	taken = taken && disk__adopt(d, f, place.bytes);
	disk__unlock(d);
	disk_file_unref(&f);
	if (taken)
		k->taken++;
	else
		discard_stray(k, serial);
}

static void pause_now_and_then(struct disk_walk *k)
{
	struct timespec pause = {.tv_nsec = PAUSE_NS};

	if (++k->read % PAUSE_EVERY == 0)
		nanosleep(&pause, NULL);
}

static void forget_missing(struct disk_walk *k, const struct disk_place *place)
{
	struct disk *d = k->disk;
	struct disk_rec *r;

	disk__lock(d);
	r = disk_index_find(&d->index, place->hash, place->serial);
	if (r)
		disk__remove(d, r, DISK_GONE, true, false);
	disk__unlock(d);
	k->missing += r != NULL;
}

/* Both sorted: what is on one side only. */
static void compare(struct disk_walk *k)
{
	size_t i = 0, j = 0;

	while ((i < k->n_known || j < k->n_found) && !is_ending(k)) {
		if (j == k->n_found || (i < k->n_known && k->known[i].serial < k->found[j])) {
			forget_missing(k, &k->known[i++]);
		} else if (i == k->n_known || k->found[j] < k->known[i].serial) {
			take_stray(k, k->found[j++]);
			pause_now_and_then(k);
			run_purges(k);
		} else {
			i++;
			j++;
		}
	}
}

static void look_for_strays(struct disk_walk *k)
{
	struct disk *d = k->disk;

	if (list_files(k)) {
		if (k->n_known)
			qsort(k->known, k->n_known, sizeof(*k->known), places_by_serial);
		if (k->n_found)
			qsort(k->found, k->n_found, sizeof(*k->found), by_serial);
		compare(k);
	}
	if (k->taken || k->missing || k->discarded)
		log_line(
			d->log, LOG_NOTICE, "disk",
			"after the start: %u objects were found that the index did not have, %u were missing, %u were of "
			"no use",
			k->taken, k->missing, k->discarded);
	free(k->known);
	free(k->found);
	k->known = NULL;
	k->found = NULL;
	disk__lock(d);
	d->walking = false;
	pthread_cond_broadcast(&d->quiet);
	disk__unlock(d);
}

/* ---- the thread ---- */

static bool wait_for_purge(struct disk_walk *k)
{
	bool more;

	disk__lock(k->disk);
	while (!k->ending && TAILQ_EMPTY(&k->asked))
		pthread_cond_wait(&k->wake, &k->disk->lock);
	more = !k->ending;
	disk__unlock(k->disk);
	return more;
}

static void *walk(void *arg)
{
	struct disk_walk *k = arg;

	look_for_strays(k);
	do {
		run_purges(k);
		finish_purges(k);
	} while (wait_for_purge(k));
	return NULL;
}

void disk__walk_start(struct disk *d, struct disk_place *known, size_t n)
{
	struct disk_walk *k = NEW(struct disk_walk);

	k->disk = d;
	k->known = known;
	k->n_known = n;
	k->limit = d->generation ? d->first_serial
				 : ((d->next_serial >> DISK_GENERATION_SHIFT) + 1) << DISK_GENERATION_SHIFT;
	TAILQ_INIT(&k->asked);
	TAILQ_INIT(&k->begun);
	pthread_cond_init(&k->wake, NULL);
	d->walk = k;
	CHECK_THAT(pthread_create(&k->thread, NULL, walk, k) == 0);
}

void disk__walk_stop(struct disk *d)
{
	struct disk_walk *k = d->walk;
	struct purging *p;

	disk__lock(d);
	k->ending = true;
	pthread_cond_signal(&k->wake);
	disk__unlock(d);
	pthread_join(k->thread, NULL);
	while ((p = take_asked(k)) != NULL)
		finish(p);
	finish_purges(k);
	pthread_cond_destroy(&k->wake);
	free(k);
	d->walk = NULL;
}
