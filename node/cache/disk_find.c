#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/cache/disk_file.h"
#include "node/cache/disk_internal.h"
#include "node/cache/orders.h"

#define MOST_HEADS 4 /* tried for one request, when variants name different fields */

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

bool disk_has_shared(struct disk *d, const uint8_t key[DISK_HALF_KEY_BYTES], const struct key_variant *variant)
{
	struct disk_id id = disk_half_id(key);
	struct disk_rec *r = NULL;
	bool has = false;

	CHECK(d, DISK_MAGIC);
	disk__lock(d);
	while (!has && !d->let_go && (r = disk_index_next(&d->index, &id, r)) != NULL)
		has = r->shared && (!variant || r->variant == disk_id_variant(variant));
	disk__unlock(d);
	return has;
}

/* Under the lock; appends to what is there. */
static size_t put_shared(const struct map *m, struct disk_shared *v)
{
	size_t n = 0;

	for (struct map_node *node = map_next(m, NULL); node; node = map_next(m, node)) {
		const struct disk_rec *r = (const void *)((const char *)node - offsetof(struct disk_rec, node));

		if (!r->shared)
			continue;
		memcpy(v[n].key, &r->node.hash, sizeof(r->node.hash));
		memcpy(v[n++].key + sizeof(r->node.hash), &r->key_rest, sizeof(r->key_rest));
	}
	return n;
}

size_t disk_shared(struct disk *d, unsigned part, struct disk_shared **out)
{
	size_t n = 0;

	CHECK(d, DISK_MAGIC);
	CHECK_THAT(part < DISK_PARTS);
	*out = NULL;
	for (unsigned i = 0; i < DISK_SHARDS / DISK_PARTS; i++) {
		const struct map *m = &d->index.shards[part * (DISK_SHARDS / DISK_PARTS) + i];

		disk__lock(d);
		if (m->n && !d->let_go) {
			*out = mem_realloc(*out, (n + m->n) * sizeof(**out));
			n += put_shared(m, *out + n);
		}
		disk__unlock(d);
	}
	return n;
}

/* ---- opening what is there ---- */

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
	if (r) {
		disk__put_in_table(d, f, r);
		r->shared = disk__is_for_others(
			f); /* an order may have made it stale since, or an older version not have said */
	}
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
static struct disk_file *open_place(struct disk *d, const struct disk_place *place, bool wait, enum disk_got *got,
				    struct disk_small *small)
{
	struct disk_file *f;

	disk__lock(d);
	f = take_open(d, place->serial);
	disk__unlock(d);
	*got = DISK_NONE;
	if (f)
		return f;
	switch (disk__load(d, place, wait, &f, small)) {
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

	return open_place(d, place, true, &got, NULL);
}

/* ---- which of a key's fits ---- */

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
			v[at] = disk__place_of(r);
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
		*out = disk__place_of(r);
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

static void forget_small(struct disk_small *small)
{
	if (!small)
		return;
	free(small->bytes);
	*small = (struct disk_small){0};
}

static enum disk_got try_place(struct disk *d, const struct disk_place *place, const struct index_ask *ask, bool wait,
			       struct key_variant *wanted, struct disk_file **out, struct disk_small *small)
{
	enum disk_got got;
	struct disk_file *f = open_place(d, place, wait, &got, small);

	*wanted = (struct key_variant){0};
	if (f && fits_request(f, ask, wanted)) {
		*out = f;
		return DISK_FILE;
	}
	forget_small(small);
	if (!f)
		return got;
	disk_file_unref(&f);
	return DISK_NONE;
}

static enum disk_got find(struct disk *d, const struct index_ask *ask, bool wait, struct disk_file **out,
			  struct disk_small *small)
{
	struct disk_id id = disk_id(&ask->key);
	struct disk_place v[MOST_HEADS], other;
	unsigned n = newest(d, &id, v);
	struct key_variant wanted;
	enum disk_got got;

	*out = NULL;
	for (unsigned i = 0; i < n; i++) {
		got = try_place(d, &v[i], ask, wait, &wanted, out, small);
		if (got == DISK_NONE && place_of_variant(d, &id, disk_id_variant(&wanted), &other) &&
		    other.serial != v[i].serial)
			got = try_place(d, &other, ask, wait, &wanted, out, small);
		if (got != DISK_NONE)
			return got;
	}
	return DISK_NONE;
}

enum disk_got disk_find_now(struct disk *d, const struct index_ask *ask, struct disk_file **out,
			    struct disk_small *small)
{
	CHECK(d, DISK_MAGIC);
	if (small)
		*small = (struct disk_small){0};
	return find(d, ask, false, out, small);
}

/* ---- by a worker ---- */

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

	find(g->disk, &g->ask, true, &g->file, NULL);
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

/* ---- a walk ---- */

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
