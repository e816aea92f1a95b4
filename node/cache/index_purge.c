/* What leaves the index, or is stale from now on: one entry, a key, all that fit. */
#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/cache/index_internal.h"

bool index_remove(struct index *x, struct entry *e)
{
	struct shard *s = e->shard;
	bool was;

	pthread_mutex_lock(&s->lock);
	was = e->in_index;
	if (was)
		index__take_out(s, e);
	pthread_mutex_unlock(&s->lock);
	if (was)
		index__removed(x, e);
	return was;
}

struct key_and_file {
	const struct key *key;
	const struct disk_file *file;
};

static bool is_in_file(const struct map_node *node, const void *wanted)
{
	const struct entry *e = index__const_entry_of(node);
	const struct key_and_file *w = wanted;

	return key_same(&e->key, w->key) && entry_file_locked(e) == w->file;
}

bool index_remove_file(struct index *x, const struct key *key, const struct disk_file *file)
{
	struct shard *s = index__shard_of(x, key);
	struct key_and_file w = {key, file};
	struct map_node *node;
	struct entry *e = NULL;

	pthread_mutex_lock(&s->lock);
	node = map_find(&s->published, key_hash(key), is_in_file, &w);
	if (node) {
		e = index__entry_of(node);
		index__take_out(s, e);
	}
	pthread_mutex_unlock(&s->lock);
	if (e)
		index__removed(x, e);
	return node != NULL;
}

unsigned index_purge(struct index *x, const struct key *key)
{
	struct shard *s = index__shard_of(x, key);
	struct index_wanted w = {.key = key};
	struct map_node *node;
	unsigned n = 0;

	for (;;) {
		struct entry *e = NULL;
		bool counts = false;

		pthread_mutex_lock(&s->lock);
		node = map_find(&s->published, key_hash(key), index__is_wanted, &w);
		if (node) {
			e = index__entry_of(node);
			counts = e->phase != ENTRY_MARK;
			index__take_out(s, e);
		} else {
			while ((node = map_find(&s->pending, key_hash(key), index__is_wanted, &w)) != NULL) {
				index__entry_of(node)->purged = true;
				index__leave_pending(s, index__entry_of(node));
			}
		}
		pthread_mutex_unlock(&s->lock);
		if (!e)
			return n;
		n += counts;
		index__removed(x, e);
	}
}

/* Under the lock. Only a complete one has its digest. */
static bool is_fit(const struct entry *e, index_fits_f *fits, void *cookie)
{
	return fits(cookie, e->head, e->is_pending ? NULL : head_digest(e->head));
}

/* Under the lock. */
static void purge_pending_if(struct shard *s, index_fits_f *fits, void *cookie)
{
	struct map_node *node = map_next(&s->pending, NULL), *next;

	for (; node; node = next) {
		struct entry *e = index__entry_of(node);

		next = map_next(&s->pending, node);
		if (e->head && !is_fit(e, fits, cookie))
			continue;
		e->purged = true;
		index__leave_pending(s, e);
	}
}

#define AT_ONCE 256

unsigned index_purge_if(struct index *x, index_fits_f *fits, index_on_fit_f *on_fit, void *cookie)
{
	unsigned purged = 0;

	for (int i = 0; i < INDEX_PARTS; i++) {
		struct shard *s = &x->shards[i];
		struct entry *out[AT_ONCE];
		size_t n;

		do {
			struct map_node *node, *next;

			n = 0;
			pthread_mutex_lock(&s->lock);
			for (node = map_next(&s->published, NULL); node && n < AT_ONCE; node = next) {
				struct entry *e = index__entry_of(node);

				next = map_next(&s->published, node);
				if (!e->head || !is_fit(e, fits, cookie))
					continue;
				index__take_out(s, e);
				out[n++] = e;
			}
			if (n < AT_ONCE)
				purge_pending_if(s, fits, cookie);
			pthread_mutex_unlock(&s->lock);
			for (size_t k = 0; k < n; k++) {
				if (on_fit)
					on_fit(cookie, out[k]);
				index__removed(x, out[k]);
			}
			purged += (unsigned)n;
		} while (n == AT_ONCE);
	}
	return purged;
}

/* One that a 304 freshens just then may be outdated all the same: it is asked about once more. */
static void outdate(struct entry *e)
{
	struct fresh_terms terms;
	struct entry_view view;

	entry_look(e, &view);
	terms = view.head->terms;
	fresh_outdate(&terms);
	entry_swap_head(e, head_with_terms(view.head, &terms));
	head_unref(&view.head);
}

/* Under the lock, into v of published.n. */
static size_t collect(struct shard *s, index_fits_f *fits, void *cookie, struct entry **v)
{
	size_t n = 0;

	for (struct map_node *node = map_next(&s->published, NULL); node; node = map_next(&s->published, node)) {
		struct entry *e = index__entry_of(node);

		if (e->head && is_fit(e, fits, cookie))
			v[n++] = entry_ref(e);
	}
	return n;
}

size_t index_collect(struct index *x, unsigned part, index_fits_f *fits, void *cookie, struct entry ***out)
{
	struct shard *s = &x->shards[part];
	size_t n;

	CHECK(x, INDEX_MAGIC);
	CHECK_THAT(part < INDEX_PARTS);
	pthread_mutex_lock(&s->lock);
	*out = mem_alloc((s->published.n + 1) * sizeof(struct entry *));
	n = collect(s, fits, cookie, *out);
	pthread_mutex_unlock(&s->lock);
	return n;
}

unsigned index_outdate_if(struct index *x, index_fits_f *fits, void *cookie)
{
	unsigned outdated = 0;

	for (unsigned i = 0; i < INDEX_PARTS; i++) {
		struct entry **v;
		size_t n = index_collect(x, i, fits, cookie, &v);

		for (size_t k = 0; k < n; k++) {
			outdate(v[k]);
			entry_unref(&v[k]);
		}
		free(v);
		outdated += (unsigned)n;
	}
	return outdated;
}
