#include <inttypes.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/cache/disk_internal.h"

#define MOST_VARIANTS 64 /* of one key */

/* ---- out of the index ---- */

static bool is_serial(const struct map_node *node, const void *wanted)
{
	return node->hash == *(const uint64_t *)wanted;
}

struct disk_file *disk__find_open(const struct disk *d, uint64_t serial)
{
	struct map_node *node = map_find(&d->open, serial, is_serial, &serial);

	return node ? (struct disk_file *)(void *)((char *)node - offsetof(struct disk_file, node)) : NULL;
}

static void tell_shared(struct disk *d, const struct disk_rec *r, bool came)
{
	uint8_t key[DISK_HALF_KEY_BYTES];

	if (!r->shared || !d->on_shared)
		return;
	memcpy(key, &r->node.hash, sizeof(r->node.hash));
	memcpy(key + sizeof(r->node.hash), &r->key_rest, sizeof(r->key_rest));
	d->on_shared(d->on_shared_cookie, key, came);
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
	tell_shared(d, r, false);
	disk_index_remove(&d->index, r, how);
	if (!missing)
		disk__discard(d, serial, charge, bad ? DISK_TRASH_BAD : DISK_TRASH_FILE);
}

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

/* ---- into the index ---- */

void disk__put_in_table(struct disk *d, struct disk_file *f, struct disk_rec *r)
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

bool disk__is_for_others(const struct disk_file *f)
{
	return !f->label.guarded && f->head->status == 200 && f->head->terms.lifetime_s == FRESH_FOREVER_S;
}

static struct disk_rec *add(struct disk *d, const struct disk_file *f, const struct disk_id *id, uint64_t bytes)
{
	struct disk_new what = {*id, disk_id_variant(&f->label.variant), f->label.serial, bytes,
				disk__is_for_others(f)};
	struct disk_rec *r = disk_index_add(&d->index, &what);

	tell_shared(d, r, true);
	return r;
}

bool disk__publish(struct disk *d, struct disk_writing *w, uint64_t bytes)
{
	struct disk_file *f = w->file;
	struct disk_id id = disk_id(&f->label.key);

	if (w->purged)
		return false;
	make_place(d, &id, disk_id_variant(&f->label.variant), UINT64_MAX);
	disk__put_in_table(d, f, add(d, f, &id, bytes));
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

size_t disk__places(struct disk *d, unsigned shard, struct disk_place **v, size_t *room)
{
	const struct map *m = &d->index.shards[shard];
	size_t n = 0;

	if (m->n > *room) {
		*room = m->n + m->n / 4;
		*v = mem_realloc(*v, *room * sizeof(**v));
	}
	for (struct map_node *node = map_next(m, NULL); node && *v; node = map_next(m, node))
		(*v)[n++] = disk__place_of(
			(const struct disk_rec *)(void *)((char *)node - offsetof(struct disk_rec, node)));
	return n;
}

/* ---- purging one key ---- */

void disk__bury(struct disk *d, const struct disk_id *id, uint64_t serial)
{
	if (d->n_tombs == d->tombs_room) {
		d->tombs_room = d->tombs_room ? 2 * d->tombs_room : 16;
		d->tombs = mem_realloc(d->tombs, d->tombs_room * sizeof(*d->tombs));
	}
	d->tombs[d->n_tombs++] = (struct disk_tomb){*id, serial, clock_mono(d->clock)};
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
