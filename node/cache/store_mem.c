#include "node/cache/store_mem.h"

#include <malloc.h>
#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/cache/disk_file.h"

/* Of memory this part is free, when it is not full: what an eviction leaves over is not room. */
#define ROOMY 16
/* The part of memory through which pass those that come and go; what is asked for all the time has the rest. */
#define SHORT_LIVED 2

struct store_mem {
	struct store store;
	unsigned magic;
	struct index *index;
	_Atomic uint64_t used, size;
	_Atomic uint64_t passed; /* bytes that were put in, or would have been, if all that is asked for were */
	pthread_mutex_t lock;    /* guards the rest */
	struct evict_line line;
	struct evict_line files; /* whose body is in a file */
};

#define STORE_MEM_MAGIC 0x5703e3e3

static struct store_mem *mem_of(struct store *s)
{
	struct store_mem *m = (struct store_mem *)s;

	CHECK(m, STORE_MEM_MAGIC);
	return m;
}

static struct entry *entry_of(struct evict_item *item)
{
	return (struct entry *)(void *)((char *)item - offsetof(struct entry, evict));
}

/* Not under the lock. */
static struct evict_line *line_of(struct store_mem *m, struct entry *e)
{
	return entry_file(e) ? &m->files : &m->line;
}

/* Under the lock: takes the entry of least weight from a line; its reference passes to the caller. NULL: nothing is there. */
static struct entry *pop_least(struct store_mem *m, struct evict_line *line)
{
	struct evict_item *item;

	while ((item = evict_first(line)) != NULL) {
		struct entry *e = entry_of(item);
		uint32_t hits = atomic_exchange_explicit(&e->hits, 0, memory_order_relaxed);

		if (hits) { /* worth more than when it was weighed; hits are 0 now, so this ends */
			evict_again(line, item, hits);
			continue;
		}
		evict_out(line, item);
		atomic_fetch_sub(&m->used, item->bytes);
		return e;
	}
	return NULL;
}

/* Takes the reference; false when there is none. */
static bool put_out(struct store_mem *m, struct entry *e)
{
	if (!e)
		return false;
	index_remove(m->index, e);
	entry_unref(&e);
	return true;
}

/* What is in files is small here, and costs a look at the disk when it is asked for again: it goes when there is nothing else. */
static bool evict_one(struct store_mem *m)
{
	struct entry *e;

	pthread_mutex_lock(&m->lock);
	e = pop_least(m, &m->line);
	if (!e)
		e = pop_least(m, &m->files);
	pthread_mutex_unlock(&m->lock);
	return put_out(m, e);
}

static void close_files(struct store_mem *m)
{
	struct entry *e;

	do {
		pthread_mutex_lock(&m->lock);
		e = evict_count(&m->files) > STORE_MEM_FILES ? pop_least(m, &m->files) : NULL;
		pthread_mutex_unlock(&m->lock);
	} while (put_out(m, e));
}

static bool reserve(struct store *s, uint64_t bytes)
{
	struct store_mem *m = mem_of(s);

	atomic_fetch_add(&m->used, bytes);
	while (atomic_load(&m->used) > atomic_load(&m->size)) {
		if (!evict_one(m)) {
			atomic_fetch_sub(&m->used, bytes);
			return false;
		}
	}
	return true;
}

static void release(struct store *s, uint64_t bytes)
{
	atomic_fetch_sub(&mem_of(s)->used, bytes);
}

static void drop(struct store *s, struct entry *e)
{
	struct store_mem *m = mem_of(s);
	struct evict_line *line = line_of(m, e);
	bool kept;

	pthread_mutex_lock(&m->lock);
	kept = evict_has(&e->evict);
	if (kept) {
		evict_remove(line, &e->evict);
		atomic_fetch_sub(&m->used, e->evict.bytes);
	}
	pthread_mutex_unlock(&m->lock);
	if (kept)
		entry_unref(&e);
}

static bool still_published(struct entry *e)
{
	bool yes;

	pthread_mutex_lock(shard_lock(e->shard));
	yes = e->in_index;
	pthread_mutex_unlock(shard_lock(e->shard));
	return yes;
}

static void keep(struct store *s, struct entry *e, uint64_t reserved)
{
	struct store_mem *m = mem_of(s);
	uint64_t charge = entry_overhead(e) + body_charge(&e->body);
	struct evict_line *line = line_of(m, e);

	if (line == &m->files)
		charge += disk_file_memory(entry_file(e));

	if (charge > reserved)
		atomic_fetch_add(&m->used, charge - reserved);
	else
		atomic_fetch_sub(&m->used, reserved - charge);
	if (line == &m->line)
		atomic_fetch_add_explicit(&m->passed, charge, memory_order_relaxed);
	entry_ref(e);
	pthread_mutex_lock(&m->lock);
	evict_insert(line, &e->evict, charge);
	pthread_mutex_unlock(&m->lock);
	if (!still_published(e)) /* purged between being published and being kept */
		drop(s, e);
	close_files(m);
	reserve(s, 0); /* the head may have been the last straw */
}

static bool is_worth(struct store *s, uint64_t bytes, _Atomic uint64_t *asked)
{
	struct store_mem *m = mem_of(s);
	uint64_t size = atomic_load_explicit(&m->size, memory_order_relaxed);
	uint64_t used = atomic_load_explicit(&m->used, memory_order_relaxed);
	uint64_t last = atomic_load_explicit(asked, memory_order_relaxed), now;

	if (used < size - size / ROOMY && bytes <= size - used)
		return true;
	now = atomic_load_explicit(&m->passed, memory_order_relaxed) + bytes;
	if (last && now - last <= size / SHORT_LIVED)
		return true; /* `keep` counts it */
	atomic_fetch_add_explicit(&m->passed, bytes, memory_order_relaxed);
	atomic_store_explicit(asked, now, memory_order_relaxed);
	return false;
}

static void set_size(struct store *s, uint64_t bytes)
{
	struct store_mem *m = mem_of(s);

	atomic_store(&m->size, bytes);
	reserve(s, 0);
	malloc_trim(0);
}

static struct store_counts counts(struct store *s)
{
	struct store_mem *m = mem_of(s);
	struct store_counts c = {.used = atomic_load(&m->used), .size = atomic_load(&m->size)};

	pthread_mutex_lock(&m->lock);
	c.open_files = evict_count(&m->files);
	c.entries = evict_count(&m->line) + c.open_files;
	c.evicted = m->line.evicted;
	pthread_mutex_unlock(&m->lock);
	return c;
}

static void mem_store_free(struct store *s)
{
	struct store_mem *m = mem_of(s);

	CHECK_THAT(!evict_first(&m->line) && !evict_first(&m->files)); /* index_free has dropped them all */
	evict_line_fini(&m->line);
	evict_line_fini(&m->files);
	pthread_mutex_destroy(&m->lock);
	m->magic = 0;
	free(m);
}

static const struct store_ops mem_ops = {
	.name = "memory",
	.reserve = reserve,
	.release = release,
	.keep = keep,
	.drop = drop,
	.is_worth = is_worth,
	.set_size = set_size,
	.counts = counts,
	.free = mem_store_free,
};

struct store *store_mem_new(uint64_t size_bytes, const struct evict_policy *policy)
{
	struct store_mem *m = NEW(struct store_mem);

	m->store.ops = &mem_ops;
	m->magic = STORE_MEM_MAGIC;
	atomic_store(&m->size, size_bytes);
	pthread_mutex_init(&m->lock, NULL);
	evict_line_init(&m->line, policy);
	evict_line_init(&m->files, &evict_lru);
	return &m->store;
}

void store_mem_set_index(struct store *s, struct index *index)
{
	mem_of(s)->index = index;
}

void store_mem_set_policy(struct store *s, const struct evict_policy *policy)
{
	struct store_mem *m = mem_of(s);

	pthread_mutex_lock(&m->lock);
	evict_set_policy(&m->line, policy);
	pthread_mutex_unlock(&m->lock);
}

bool store_mem_walk(struct store *s, size_t *at, size_t n, store_mem_each_f *each, void *cookie)
{
	struct store_mem *m = mem_of(s);
	struct evict_item *item;

	pthread_mutex_lock(&m->lock);
	for (size_t end = *at + n; *at < end && (item = evict_at(&m->line, *at)) != NULL; ++*at) {
		struct entry *e = entry_of(item);
		uint32_t hits = atomic_load_explicit(&e->hits, memory_order_relaxed);

		each(cookie, e, item->bytes, item->refs - 1 + hits);
	}
	item = evict_at(&m->line, *at);
	pthread_mutex_unlock(&m->lock);
	return item != NULL;
}
