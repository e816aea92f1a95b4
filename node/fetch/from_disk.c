#include "node/fetch/from_disk.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/cache/disk.h"
#include "node/cache/disk_file.h"
#include "node/cache/disk_writer.h"
#include "node/cache/file_entry.h"
#include "node/cache/orders.h"
#include "node/fetch/flight_internal.h"
#include "node/net/work.h"

/* ---- into the index ---- */

/* False: there is no room in memory. */
static bool copy_body(const struct fetcher *c, struct entry *e, struct span body, uint64_t *charged)
{
	while (body.n) {
		uint64_t more = 0;
		size_t room;
		char *p = body_room(&e->body, body_length(&e->body) + body.n, &room, &more);

		if (!p || !c->store->ops->reserve(c->store, more))
			return false;
		*charged += more;
		if (room > body.n)
			room = body.n;
		memcpy(p, body.p, room);
		body_publish(&e->body, room);
		body = span_from(body, room);
	}
	return true;
}

/* The same at once from a file of one chunk, whose sum is checked. False also when it is not in the page cache. */
static bool read_small(const struct fetcher *c, struct entry *e, struct disk_file *file, uint64_t *charged)
{
	size_t n = (size_t)disk_file_length(file), room, got;
	char *p;

	if (!n)
		return true;
	p = body_room(&e->body, n, &room, charged);
	if (!p || !c->store->ops->reserve(c->store, *charged)) {
		*charged = 0;
		return false;
	}
	if (disk_file_read_now(file, 0, p, room, &got) != DISK_READ_SOME || got != n)
		return false;
	body_publish(&e->body, n);
	return true;
}

struct entry *from_disk_entry(const struct fetcher *c, struct disk_file *file, struct entry *pending)
{
	struct entry *e = file_entry(c->index, file, c->loop);

	if (!index_publish_for(c->index, e, pending)) {
		entry_unref(&e);
		return NULL;
	}
	c->store->ops->keep(c->store, e, 0);
	/* Evicted, purged, or denied, before the index knew of it. */
	if (!disk_file_is_kept(file) || orders_denies(c->orders, disk_file_digest(file)))
		index_remove(c->index, e);
	return e;
}

/* A copy that is published stays in memory. */
static void keep_copy(const struct fetcher *c, struct disk_file *file, struct entry *e, uint64_t charged)
{
	c->store->ops->keep(c->store, e, charged);
	disk_hit(c->disk, file, 1);
	metric_add(c->metrics, METRIC_DISK_LOADS, 1);
}

/* The published entry, with a reference; NULL: no room, or it was purged while it was read. `body`: SPAN_NONE: a small one, to be read.
 * `pending`: whose place it takes, or NULL. */
static struct entry *publish(const struct fetcher *c, struct disk_file *file, struct span body, struct entry *pending)
{
	struct entry *e = file_entry_begin(c->index, file);
	uint64_t charged = 0;

	if (body.p ? !copy_body(c, e, body, &charged) : !read_small(c, e, file, &charged))
		goto no;
	entry_end(e, ENTRY_FILLED, REASON_NONE, c->loop);
	if (!index_publish_for(c->index, e, pending))
		goto no;
	keep_copy(c, file, e, charged);
	/* Purged, or denied, after we had looked there. */
	if (!disk_has(c->disk, &e->key) || orders_denies(c->orders, disk_file_digest(file)))
		index_remove(c->index, e);
	return e;
no:
	c->store->ops->release(c->store, charged);
	entry_unref(&e);
	return NULL;
}

/* ---- at once ---- */

static bool is_small(const struct disk_file *file)
{
	return disk_file_length(file) <= DISK_CHUNK_BYTES;
}

static bool is_worth(const struct fetcher *c, struct disk_file *file)
{
	return c->store->ops->is_worth(c->store, disk_file_length(file), disk_file_asked(file));
}

struct entry *from_disk_now(const struct fetcher *c, const struct index_ask *ask, uint64_t memory_max_object)
{
	struct disk_file *file = NULL;
	struct disk_small small;
	struct entry *e = NULL;

	if (!c->disk || !disk_has(c->disk, &ask->key) || disk_find_now(c->disk, ask, &file, &small) != DISK_FILE)
		return NULL;
	if (disk_file_length(file) > memory_max_object || (is_small(file) && !is_worth(c, file)))
		e = from_disk_entry(c, file, NULL);
	else if (is_small(file))
		e = publish(c, file, small.body, NULL);
	free(small.bytes);
	disk_file_unref(&file);
	return e;
}

struct entry *from_disk_again(const struct fetcher *c, struct entry *old, const struct entry_view *view,
			      uint64_t memory_max_object)
{
	struct entry_terms terms = {.stored = true, .shared = true, .variant = view->variant};
	struct disk_file *file = view->file;
	uint64_t charged = 0;
	struct entry *e;

	if (view->phase != ENTRY_COMPLETE || view->guarded || disk_file_length(file) > memory_max_object ||
	    !is_small(file) || !is_worth(c, file))
		return NULL;
	e = index_entry(c->index, &old->key);
	entry_set_head(e, head_ref(view->head), &terms);
	if (!read_small(c, e, file, &charged))
		goto no;
	entry_end(e, ENTRY_FILLED, REASON_NONE, c->loop);
	if (!index_swap(c->index, old, view->head, e))
		goto no;
	keep_copy(c, file, e, charged);
	return e;
no:
	c->store->ops->release(c->store, charged);
	entry_unref(&e);
	return NULL;
}

void from_disk_keep(const struct fetcher *c, struct entry *e)
{
	if (c->disk)
		disk_keep(c->disk, e, loop_wall(c->loop));
}

unsigned from_disk_purge(const struct fetcher *c, const struct key *key)
{
	unsigned in_memory = index_purge(c->index, key), on_disk = c->disk ? disk_purge(c->disk, key) : 0;

	return in_memory > on_disk ? in_memory : on_disk; /* as a rule the same ones */
}

/* ---- by a worker, for a flight ---- */

/* The body of one file, read whole. */
struct loading {
	struct flight *flight;
	struct disk_file *file;
	char *bytes;
	size_t n;
	bool good;
};

static void loading_free(struct loading *l)
{
	disk_file_unref(&l->file);
	free(l->bytes);
	free(l);
}

static void read_body(void *arg)
{
	struct loading *l = arg;
	size_t at = 0, got;

	while (at < l->n) {
		if (disk_file_read(l->file, at, l->bytes + at, l->n + DISK_CHUNK_BYTES - at, &got) != DISK_READ_SOME ||
		    !got)
			return;
		at += got;
	}
	l->good = at == l->n;
}

/* Takes the entry; NULL: it was not good. */
static void loaded(struct flight *f, struct entry *e)
{
	bool there = e != NULL;

	entry_unref(&e);
	if (there)
		flight__end(f, ENTRY_LOADED, REASON_NONE);
	else
		route_on(f);
}

static void on_body(void *arg)
{
	struct loading *l = arg;
	struct flight *f = l->flight;
	struct entry *e = NULL;

	CHECK(f, FLIGHT_MAGIC);
	f->disk_jobs--;
	if (!f->ended && l->good)
		e = publish(f->fetcher, l->file, span_of(l->bytes, l->n), f->entry);
	if (!f->ended && l->good && !e) /* there is no room in memory */
		e = from_disk_entry(f->fetcher, l->file, f->entry);
	loading_free(l);
	if (f->ended)
		flight__free_if_done(f);
	else
		loaded(f, e);
}

static void load(struct flight *f, struct disk_file *file)
{
	struct loading *l = NEW(struct loading);

	l->flight = f;
	l->file = file;
	l->n = (size_t)disk_file_length(file);
	l->bytes = mem_try(l->n + DISK_CHUNK_BYTES);
	f->disk_jobs++;
	if (l->bytes && work_start(f->fetcher->work, read_body, f->fetcher->loop, on_body, l) == 0)
		return;
	f->disk_jobs--;
	loading_free(l);
	route_on(f);
}

static void on_found(void *cookie, struct disk_file *file)
{
	struct flight *f = cookie;

	CHECK(f, FLIGHT_MAGIC);
	f->disk_jobs--;
	if (f->ended) {
		disk_file_unref(&file);
		flight__free_if_done(f);
	} else if (file && disk_file_length(file) <= f->policy->cache.memory_max_object &&
		   (!is_small(file) || is_worth(f->fetcher, file))) {
		load(f, file);
	} else {
		loaded(f, file ? from_disk_entry(f->fetcher, file, f->entry) : NULL);
		disk_file_unref(&file);
	}
}

bool from_disk_begin(struct flight *f)
{
	const struct fetcher *c = f->fetcher;
	struct index_ask ask = {.key = f->key, .who = f->who, .request = &f->request->fields};

	if (!c->disk || !f->store || f->stale || f->afresh || !disk_has(c->disk, &f->key))
		return false;
	f->disk_jobs++;
	if (disk_find_start(c->disk, &ask, c->loop, on_found, f) == 0)
		return true;
	f->disk_jobs--;
	return false;
}
