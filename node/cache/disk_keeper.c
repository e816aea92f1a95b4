/* The keeper: a thread of the disk's own. It unlinks what has gone, writes the journal once a second, looks how much is
 * free, evicts ahead of those who will want room, and tries again what has failed. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/cache/disk_internal.h"

#define HEADROOM_SHARE 64
#define HEADROOM_MOST ((uint64_t)64 * 1024 * 1024)
#define EVICT_AT_ONCE 256
#define QUARANTINE_SHARE 16
#define JOURNAL_SLACK 16384 /* records out of date that do not matter */
/* After that long an unlink has reached the disk, whatever file system it is. */
#define TOMB_US ((mono_us)120 * 1000 * 1000)
#define RETRY (10 * DUR_SECOND)

/* ---- unlinking ---- */

/* One more in quarantine; the oldest make room for it. Under the lock. */
static void count_quarantined(struct disk *d, uint64_t serial, uint64_t charge)
{
	uint64_t most = d->size / QUARANTINE_SHARE;

	while (d->n_quarantined && (d->n_quarantined == DISK_QUARANTINE_MOST || d->quarantine_bytes + charge > most)) {
		struct disk_quarantined oldest = d->quarantined[0];

		d->n_quarantined--;
		memmove(d->quarantined, d->quarantined + 1, d->n_quarantined * sizeof(d->quarantined[0]));
		d->quarantine_bytes -= oldest.charge;
		disk__discard(d, oldest.serial, oldest.charge, DISK_TRASH_OLD);
	}
	if (charge > most) {
		disk__discard(d, serial, charge, DISK_TRASH_OLD);
		return;
	}
	d->quarantined[d->n_quarantined++] = (struct disk_quarantined){serial, charge};
	d->quarantine_bytes += charge;
}

static int throw_away(const struct disk *d, const struct disk_trash *t)
{
	char path[DISK_PATH_BYTES], name[DISK_NAME_BYTES];

	disk__path(t->serial, path);
	disk__name(t->serial, name);
	switch (t->what) {
	case DISK_TRASH_FILE:
		return d->ops->unlink(d->ops, d->objects, path);
	case DISK_TRASH_TMP:
		return d->ops->unlink(d->ops, d->tmp, name);
	case DISK_TRASH_OLD:
		return d->ops->unlink(d->ops, d->quarantine, name);
	case DISK_TRASH_BAD:
		return d->ops->rename(d->ops, d->objects, path, d->quarantine, name);
	}
	return 0;
}

/* Under the lock. Somebody may still read it: then its blocks are free when he is done. */
static void count_thrown(struct disk *d, const struct disk_trash *t, int err)
{
	struct disk_file *f = t->what == DISK_TRASH_FILE ? disk__find_open(d, t->serial) : NULL;

	d->trash_bytes -= t->charge;
	if (t->what == DISK_TRASH_BAD && !err) {
		count_quarantined(d, t->serial, t->charge);
	} else if (f) {
		f->charge = t->charge;
		d->open_bytes += t->charge;
	} else {
		d->freed += t->charge;
	}
}

/* 1: one is gone; 0: there was none; -1: it does not go, and is kept for later. */
static int throw_one(struct disk *d)
{
	struct disk_trash *t;
	int err = 0;

	disk__lock(d);
	t = STAILQ_FIRST(&d->trash);
	if (t) {
		STAILQ_REMOVE_HEAD(&d->trash, link);
		d->unlinking++;
	}
	disk__unlock(d);
	if (!t)
		return 0;
	err = throw_away(d, t);
	disk__lock(d);
	d->unlinking--;
	d->stuck = err && err != -ENOENT;
	if (d->stuck)
		STAILQ_INSERT_TAIL(&d->trash, t, link);
	else
		count_thrown(d, t, err);
	pthread_cond_broadcast(&d->quiet);
	disk__unlock(d);
	if (err && err != -ENOENT) {
		disk__write_failed(d, err, "removing a file");
		return -1;
	}
	free(t);
	return 1;
}

static bool must_unlink(const struct disk *d)
{
	return disk__used(d) > d->size || d->room.free + d->freed < disk__must_stay_free(d) + d->owed;
}

void disk__empty_trash(struct disk *d)
{
	bool more;

	do {
		disk__lock(d);
		while (must_unlink(d) && STAILQ_EMPTY(&d->trash) && d->unlinking)
			pthread_cond_wait(&d->quiet, &d->lock);
		more = must_unlink(d);
		disk__unlock(d);
	} while (more && throw_one(d) > 0);
}

void disk__close_files(struct disk *d)
{
	struct disk_file *f;

	disk__lock(d);
	while ((f = STAILQ_FIRST(&d->closing)) != NULL) {
		uint64_t charge = f->charge;

		STAILQ_REMOVE_HEAD(&d->closing, closing);
		disk__unlock(d);
		disk__file_free(f);
		disk__lock(d);
		d->open_bytes -= charge;
		d->freed += charge;
	}
	disk__unlock(d);
}

/* Those who keep open what has gone. */
static void tell_gone(struct disk *d)
{
	struct disk_file *f;

	disk__lock(d);
	while ((f = STAILQ_FIRST(&d->going)) != NULL && d->on_gone) {
		disk_on_gone_f *fn = d->on_gone;
		void *cookie = d->on_gone_cookie;

		STAILQ_REMOVE_HEAD(&d->going, closing);
		d->telling++;
		disk__unlock(d);
		fn(cookie, f);
		disk_file_unref(&f);
		disk__lock(d);
		d->telling--;
		pthread_cond_broadcast(&d->quiet);
	}
	disk__unlock(d);
}

/* ---- the journal ---- */

/* The shards one after the other, each under the lock for itself. */
struct rewriting {
	struct disk *disk;
	unsigned shard;
	bool tombs_done;
	struct disk_notes notes;
	size_t given;
};

static void note_tombs(struct disk *d, struct disk_notes *notes)
{
	for (size_t i = 0; i < d->n_tombs; i++) {
		const struct disk_tomb *t = &d->tombs[i];
		struct disk_note note = {
			.op = DISK_NOTE_PURGED,
			.hash = t->id.hash,
			.key_rest = t->id.rest,
			.serial = t->serial,
		};

		disk_notes_put(notes, &note);
	}
}

static void note_shard(struct disk *d, unsigned shard, struct disk_notes *notes)
{
	const struct map *m = &d->index.shards[shard];

	for (struct map_node *node = map_next(m, NULL); node; node = map_next(m, node)) {
		struct disk_note note;

		disk_index_note((const struct disk_rec *)(void *)((char *)node - offsetof(struct disk_rec, node)),
				&note);
		disk_notes_put(notes, &note);
	}
}

static void collect(struct rewriting *r)
{
	r->notes.n = 0;
	r->given = 0;
	disk__lock(r->disk);
	if (!r->tombs_done)
		note_tombs(r->disk, &r->notes);
	r->tombs_done = true;
	while (r->shard < DISK_SHARDS && r->notes.n < DISK_JOURNAL_PIECE / 4)
		note_shard(r->disk, r->shard++, &r->notes);
	disk__unlock(r->disk);
}

static size_t next_notes(void *cookie, struct disk_note *v)
{
	struct rewriting *r = cookie;
	size_t n;

	if (r->given == r->notes.n)
		collect(r);
	n = r->notes.n - r->given;
	if (n > DISK_JOURNAL_PIECE)
		n = DISK_JOURNAL_PIECE;
	if (n)
		memcpy(v, r->notes.v + r->given, n * sizeof(*v));
	r->given += n;
	return n;
}

static int rewrite_journal(struct disk *d)
{
	struct rewriting r = {.disk = d};
	int err = disk_journal_rewrite(&d->journal, next_notes, &r);

	disk_notes_fini(&r.notes);
	return err;
}

static void take_notes(struct disk *d)
{
	struct disk_notes empty = d->batch;

	disk__lock(d);
	d->batch = d->index.notes;
	d->index.notes = empty;
	disk__unlock(d);
}

static bool is_worth_a_rewrite(struct disk *d)
{
	bool worth;

	if (d->journal.fd < 0)
		return clock_mono(d->clock) >= d->journal_retry;
	disk__lock(d);
	worth = d->journal.n > 2 * d->index.n + JOURNAL_SLACK;
	disk__unlock(d);
	return worth;
}

/* What could not be appended is in the index, and so in the new journal that is written as soon as that works. */
static void write_journal(struct disk *d, bool anew)
{
	int err = 0;

	if (!d->generation)
		return;
	take_notes(d);
	if (d->batch.n && d->journal.fd >= 0)
		err = disk_journal_append(&d->journal, &d->batch);
	d->batch.n = 0;
	d->batch.has_purge = false;
	if (!err && (anew || is_worth_a_rewrite(d)))
		err = rewrite_journal(d);
	if (err) {
		d->journal_retry = mono_after(clock_mono(d->clock), RETRY);
		disk__write_failed(d, err, "writing the index");
	}
	disk__lock(d);
	d->journal_bytes = disk_journal_bytes(&d->journal);
	disk__unlock(d);
}

static void forget_tombs(struct disk *d)
{
	mono_us now = clock_mono(d->clock);
	size_t n = 0;

	disk__lock(d);
	for (size_t i = 0; i < d->n_tombs; i++)
		if (d->walking || now - d->tombs[i].since < TOMB_US)
			d->tombs[n++] = d->tombs[i];
	d->n_tombs = n;
	disk__unlock(d);
}

/* ---- room ---- */

static void look_at_room(struct disk *d)
{
	struct disk_room room;
	struct disk_writing *w;

	if (d->ops->room(d->ops, d->root, &room) < 0)
		return;
	disk__lock(d);
	d->room = room;
	d->freed = d->owed = 0;
	LIST_FOREACH(w, &d->writings, link)
	{
		uint64_t there = w->created ? w->file->head_bytes + disk_file_length(w->file) : 0;

		d->owed += w->reserved > there ? w->reserved - there : 0;
	}
	disk__unlock(d);
}

static unsigned evict_some(struct disk *d)
{
	uint64_t headroom;
	unsigned n;

	disk__lock(d);
	headroom = d->size / HEADROOM_SHARE;
	n = disk__evict(d, headroom < HEADROOM_MOST ? headroom : HEADROOM_MOST, EVICT_AT_ONCE);
	disk__unlock(d);
	return n;
}

static void empty_all(struct disk *d)
{
	tell_gone(d);
	disk__close_files(d);
	while (throw_one(d) > 0)
		disk__close_files(d);
}

void disk__empty_for_good(struct disk *d)
{
	empty_all(d);
	disk__lock(d);
	while (d->unlinking)
		pthread_cond_wait(&d->quiet, &d->lock);
	disk__unlock(d);
	d->ops->sync_all(d->ops, d->root);
}

/* ---- the thread ---- */

static void retry_generation(struct disk *d)
{
	bool due;

	disk__lock(d);
	due = !d->generation && clock_mono(d->clock) >= d->failing_until;
	disk__unlock(d);
	if (!due)
		return;
	if (disk__begin_generation(d) < 0)
		disk__write_failed(d, -EROFS, "beginning to write");
	else
		disk__write_went(d);
}

static void round_of_second(struct disk *d)
{
	retry_generation(d);
	forget_tombs(d);
	write_journal(d, false);
	look_at_room(d);
	while (evict_some(d) > 0)
		empty_all(d);
}

static struct timespec in_a_second(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec++;
	return t;
}

static bool is_before(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

/* Until there is something to throw away, or a second has gone by (true), or a round is asked for (true). */
static bool wait_for_work(struct disk *d, struct timespec *due, unsigned *asked)
{
	struct timespec now;
	bool round;

	disk__lock(d);
	while (!d->ending && (d->stuck || STAILQ_EMPTY(&d->trash)) && STAILQ_EMPTY(&d->closing) &&
	       STAILQ_EMPTY(&d->going) && d->rounds_asked == d->rounds_done)
		if (pthread_cond_timedwait(&d->wake, &d->lock, due) == ETIMEDOUT)
			break;
	*asked = d->rounds_asked;
	round = d->rounds_asked != d->rounds_done;
	disk__unlock(d);
	clock_gettime(CLOCK_MONOTONIC, &now);
	return round || !is_before(&now, due);
}

static bool is_ending(struct disk *d)
{
	bool ending;

	disk__lock(d);
	ending = d->ending;
	disk__unlock(d);
	return ending;
}

/* Trash that does not go is tried again with the next round, not at once. */
static void *keeper(void *arg)
{
	struct disk *d = arg;
	struct timespec due = in_a_second();

	while (!is_ending(d)) {
		unsigned asked;
		bool round = wait_for_work(d, &due, &asked);

		empty_all(d);
		if (!round)
			continue;
		round_of_second(d);
		due = in_a_second();
		disk__lock(d);
		d->rounds_done = asked;
		pthread_cond_broadcast(&d->quiet);
		disk__unlock(d);
	}
	empty_all(d);
	write_journal(d, true);
	return NULL;
}

/* ---- beginning and end ---- */

static void on_old_tmp(void *cookie, const char *name)
{
	struct disk *d = cookie;

	d->ops->unlink(d->ops, d->tmp, name);
}

static void on_quarantined(void *cookie, const char *name)
{
	struct disk *d = cookie;
	uint64_t serial, bytes;

	if (!disk__parse_name(name, &serial) || d->ops->size(d->ops, d->quarantine, name, &bytes) < 0)
		return;
	disk__lock(d);
	count_quarantined(d, serial, disk_index_charge(bytes));
	disk__unlock(d);
}

void disk__keeper_start(struct disk *d)
{
	if (d->tmp >= 0)
		d->ops->list(d->ops, d->tmp, ".", on_old_tmp, d);
	if (d->quarantine >= 0)
		d->ops->list(d->ops, d->quarantine, ".", on_quarantined, d);
	CHECK_THAT(pthread_create(&d->keeper, NULL, keeper, d) == 0);
}

void disk__keeper_stop(struct disk *d)
{
	disk__lock(d);
	d->ending = true;
	pthread_cond_signal(&d->wake);
	disk__unlock(d);
	pthread_join(d->keeper, NULL);
}

void disk__settle(struct disk *d)
{
	unsigned asked;

	disk__lock(d);
	while (d->walking || d->jobs)
		pthread_cond_wait(&d->quiet, &d->lock);
	asked = ++d->rounds_asked;
	pthread_cond_signal(&d->wake);
	while ((int)(asked - d->rounds_done) > 0)
		pthread_cond_wait(&d->quiet, &d->lock);
	disk__unlock(d);
}
