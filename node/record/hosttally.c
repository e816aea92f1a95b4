#include "node/record/hosttally.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/checksum.h"
#include "node/base/histogram.h"
#include "node/base/json.h"
#include "node/base/map.h"
#include "node/base/mem.h"
#include "node/base/rng.h"

#define NAME_BYTES (URL_MAX_HOST + 8) /* with brackets and a port */
#define TIMES 42                      /* the last bucket begins at 67 s */
#define HALF_LIFE 65536               /* requests, after which those before count half for who makes room */
#define CLASSES (PATH_PASS + 1)

#define COLUMN_TABLE(X)                                                                                                \
	X(REQUESTS, "requests")                                                                                        \
	X(HITS, "hits")                                                                                                \
	X(SIBLING, "sibling")                                                                                          \
	X(PARENT, "parent")                                                                                            \
	X(MISSES, "misses")                                                                                            \
	X(BYPASSES, "bypasses")                                                                                        \
	X(FAILURES, "failures")                                                                                        \
	X(CLIENT_BYTES, "client_bytes")                                                                                \
	X(CACHE_BYTES, "cache_bytes")                                                                                  \
	X(UPSTREAM_REQUESTS, "upstream_requests")                                                                      \
	X(UPSTREAM_FAILURES, "upstream_failures")                                                                      \
	X(UPSTREAM_BYTES, "upstream_bytes")

enum column {
#define X(id, word) COLUMN_##id,
	COLUMN_TABLE(X)
#undef X
		COLUMNS
};

#define CLASS_COLUMNS COLUMN_UPSTREAM_REQUESTS /* a class knows no upstream */

static const char *const words[COLUMNS] = {
#define X(id, word) [COLUMN_##id] = (word),
	COLUMN_TABLE(X)
#undef X
};

struct host {
	struct map_node node;
	uint64_t turn;   /* when it was asked for last */
	uint32_t weight; /* for who makes room */
	uint16_t name_n; /* the row's lock, as the name: the loop alone changes them, and so may read them without */
	char name[NAME_BYTES];
	_Atomic uint64_t v[COLUMNS], times[TIMES];
};

struct hosttally {
	unsigned magic;
	uint64_t seed, turns;
	struct map map;
	struct host *last; /* who was looked up last, often looked up next; NULL: nobody yet */
	pthread_mutex_t lock;
	size_t n; /* the lock, as above */
	struct host v[HOSTTALLY_MOST];
	_Atomic uint64_t others[COLUMNS];
	_Atomic uint64_t classes[CLASSES][ECOSYSTEM_COUNT][CLASS_COLUMNS];
};

#define HOSTTALLY_MAGIC 0x4057500d

struct hosttally *hosttally_new(void)
{
	struct hosttally *all = NEW(struct hosttally);

	all->magic = HOSTTALLY_MAGIC;
	all->seed = rng_secret_u64();
	pthread_mutex_init(&all->lock, NULL);
	return all;
}

void hosttally_free(struct hosttally *all)
{
	if (!all)
		return;
	CHECK(all, HOSTTALLY_MAGIC);
	map_fini(&all->map);
	pthread_mutex_destroy(&all->lock);
	all->magic = 0;
	free(all);
}

/* ---- counting: the loop's thread alone writes, so no locked instruction is needed ---- */

static uint64_t get(const _Atomic uint64_t *v)
{
	return atomic_load_explicit(v, memory_order_relaxed);
}

static void add(_Atomic uint64_t *v, uint64_t n)
{
	atomic_store_explicit(v, get(v) + n, memory_order_relaxed);
}

/* ---- who ---- */

static struct span name_of(const struct url *url, char room[NAME_BYTES])
{
	struct buf b = buf_over(room, NAME_BYTES);

	buf_put(&b, url->is_ipv6 ? SPAN("[") : SPAN_NONE);
	buf_put(&b, url->host);
	buf_put(&b, url->is_ipv6 ? SPAN("]") : SPAN_NONE);
	if (url->port != url_default_port(url->https)) {
		buf_putc(&b, ':');
		buf_put_u64(&b, url->port);
	}
	CHECK_THAT(!b.full);
	for (size_t i = 0; i < b.n; i++)
		if (room[i] >= 'A' && room[i] <= 'Z')
			room[i] += 'a' - 'A';
	return buf_span(&b);
}

static struct host *host_of(const struct map_node *node)
{
	return (struct host *)(uintptr_t)((const char *)node - offsetof(struct host, node));
}

static bool is_wanted(const struct map_node *node, const void *wanted)
{
	const struct host *h = host_of(node);

	return span_eq(span_of(h->name, h->name_n), *(const struct span *)wanted);
}

static struct host *find(struct hosttally *all, struct span name)
{
	struct map_node *node;

	node = map_find(&all->map, checksum_seeded(name, all->seed), is_wanted, &name);
	if (!node)
		return NULL;
	all->last = host_of(node);
	return all->last;
}

/* Asked for least; of several the one that was not asked for longest. */
static struct host *least(struct hosttally *all)
{
	struct host *least = &all->v[0];

	for (size_t i = 1; i < all->n; i++) {
		struct host *h = &all->v[i];

		if (h->weight < least->weight || (h->weight == least->weight && h->turn < least->turn))
			least = h;
	}
	return least;
}

/* Under the lock: a reader finds what it had counted either here or with the others. */
static void vacate(struct hosttally *all, struct host *h)
{
	map_remove(&all->map, &h->node);
	for (int i = 0; i < COLUMNS; i++) {
		add(&all->others[i], get(&h->v[i]));
		atomic_store_explicit(&h->v[i], 0, memory_order_relaxed);
	}
	for (int i = 0; i < TIMES; i++)
		atomic_store_explicit(&h->times[i], 0, memory_order_relaxed);
	h->weight = 0;
}

static struct host *take_in(struct hosttally *all, struct span name)
{
	struct host *h;

	pthread_mutex_lock(&all->lock);
	if (all->n < HOSTTALLY_MOST) {
		h = &all->v[all->n++];
	} else {
		h = least(all);
		vacate(all, h);
	}
	memcpy(h->name, name.p, name.n);
	h->name_n = (uint16_t)name.n;
	pthread_mutex_unlock(&all->lock);
	h->turn = ++all->turns;
	map_insert(&all->map, &h->node, checksum_seeded(name, all->seed));
	all->last = h;
	return h;
}

/* The one before was for it, too, as on a connection that was opened: seen without writing its name down. */
static bool is_last(const struct hosttally *all, const struct url *url)
{
	const struct host *h = all->last;

	return h && h->name_n == url->host.n && url->port == url_default_port(url->https) && !url->is_ipv6 &&
	       memcmp(h->name, url->host.p, h->name_n) == 0;
}

/* NULL: it belongs to the others. */
static struct host *known(struct hosttally *all, const struct url *url, bool take)
{
	char room[NAME_BYTES];
	struct span name;
	struct host *h;

	if (is_last(all, url))
		return all->last;
	name = name_of(url, room);
	h = find(all, name);
	return h || !take ? h : take_in(all, name);
}

static void grow_old(struct hosttally *all)
{
	for (size_t i = 0; i < all->n; i++)
		all->v[i].weight /= 2;
}

/* ---- what is told ---- */

static void count_answer(_Atomic uint64_t *v, const struct hosttally_answer *a)
{
	static const enum column by_how[] = {
		[HOSTTALLY_HIT] = COLUMN_HITS,        [HOSTTALLY_SIBLING] = COLUMN_SIBLING,
		[HOSTTALLY_PARENT] = COLUMN_PARENT,   [HOSTTALLY_MISS] = COLUMN_MISSES,
		[HOSTTALLY_BYPASS] = COLUMN_BYPASSES, [HOSTTALLY_FAILURE] = COLUMN_FAILURES,
	};

	add(&v[COLUMN_REQUESTS], 1);
	add(&v[by_how[a->how]], 1);
	add(&v[COLUMN_CLIENT_BYTES], a->client_bytes);
	add(&v[COLUMN_CACHE_BYTES], a->cache_bytes);
}

void hosttally_answered(struct hosttally *all, const struct hosttally_answer *a)
{
	struct host *h;

	if (!all)
		return;
	CHECK(all, HOSTTALLY_MAGIC);
	count_answer(all->classes[a->class][a->ecosystem], a);
	h = known(all, a->url, a->how != HOSTTALLY_FAILURE);
	count_answer(h ? h->v : all->others, a);
	if (!h)
		return;
	h->weight++;
	h->turn = ++all->turns;
	if (all->turns % HALF_LIFE == 0)
		grow_old(all);
}

void hosttally_heard(struct hosttally *all, const struct url *url, int64_t first_byte_us)
{
	struct host *h;

	if (!all)
		return;
	CHECK(all, HOSTTALLY_MAGIC);
	h = known(all, url, true);
	add(&h->v[COLUMN_UPSTREAM_REQUESTS], 1);
	add(&h->times[histogram_bucket(first_byte_us, TIMES)], 1);
}

void hosttally_failed(struct hosttally *all, const struct url *url)
{
	_Atomic uint64_t *v;
	struct host *h;

	if (!all)
		return;
	CHECK(all, HOSTTALLY_MAGIC);
	h = known(all, url, false);
	v = h ? h->v : all->others;
	add(&v[COLUMN_UPSTREAM_REQUESTS], 1);
	add(&v[COLUMN_UPSTREAM_FAILURES], 1);
}

void hosttally_received(struct hosttally *all, const struct url *url, uint64_t body_bytes)
{
	struct host *h;

	if (!all)
		return;
	CHECK(all, HOSTTALLY_MAGIC);
	h = known(all, url, false);
	add(&(h ? h->v : all->others)[COLUMN_UPSTREAM_BYTES], body_bytes);
}

/* ---- reading ---- */

/* A host as it is shown: the sum over all loops. */
struct line {
	uint16_t name_n;
	char name[NAME_BYTES];
	uint64_t v[COLUMNS], times[TIMES];
};

static void add_counts(uint64_t *to, const _Atomic uint64_t *from, int n)
{
	for (int i = 0; i < n; i++)
		to[i] += get(&from[i]);
}

static size_t copy_lines(struct hosttally *all, struct line *out, uint64_t others[COLUMNS])
{
	size_t n;

	CHECK(all, HOSTTALLY_MAGIC);
	pthread_mutex_lock(&all->lock);
	n = all->n;
	for (size_t i = 0; i < n; i++) {
		const struct host *h = &all->v[i];

		out[i] = (struct line){.name_n = h->name_n};
		memcpy(out[i].name, h->name, h->name_n);
		add_counts(out[i].v, h->v, COLUMNS);
		add_counts(out[i].times, h->times, TIMES);
	}
	add_counts(others, all->others, COLUMNS);
	pthread_mutex_unlock(&all->lock);
	return n;
}

static int by_name(const void *pa, const void *pb)
{
	const struct line *a = pa, *b = pb;
	int c = memcmp(a->name, b->name, a->name_n < b->name_n ? a->name_n : b->name_n);

	return c ? c : (int)a->name_n - (int)b->name_n;
}

static int by_requests(const void *pa, const void *pb)
{
	const struct line *a = pa, *b = pb;

	if (a->v[COLUMN_REQUESTS] != b->v[COLUMN_REQUESTS])
		return a->v[COLUMN_REQUESTS] < b->v[COLUMN_REQUESTS] ? 1 : -1;
	return by_name(pa, pb);
}

static void add_line(struct line *to, const struct line *from)
{
	for (int i = 0; i < COLUMNS; i++)
		to->v[i] += from->v[i];
	for (int i = 0; i < TIMES; i++)
		to->times[i] += from->times[i];
}

/* The lines of one host on several loops become one. */
static size_t merge(struct line *lines, size_t n)
{
	size_t kept = 0;

	qsort(lines, n, sizeof(*lines), by_name);
	for (size_t i = 0; i < n; i++) {
		if (kept && by_name(&lines[kept - 1], &lines[i]) == 0)
			add_line(&lines[kept - 1], &lines[i]);
		else
			lines[kept++] = lines[i];
	}
	return kept;
}

static void put_columns(struct buf *b, const uint64_t *v, int n, const char *before)
{
	for (int i = 0; i < n; i++) {
		buf_put_str(b, i ? "," : before);
		buf_putc(b, '"');
		buf_put_str(b, words[i]);
		buf_put(b, SPAN("\":"));
		buf_put_u64(b, v[i]);
	}
}

static void put_times(struct buf *b, const uint64_t times[TIMES])
{
	int64_t half = histogram_percentile(times, TIMES, 50);

	buf_put(b, SPAN(",\"first_byte_us\":"));
	if (half)
		buf_printf(b, "{\"p50\":%lld,\"p90\":%lld}", (long long)half,
			   (long long)histogram_percentile(times, TIMES, 90));
	else
		buf_put(b, SPAN("null"));
}

static void put_hosts(struct buf *b, const struct line *lines, size_t n)
{
	buf_put(b, SPAN("\"hosts\":["));
	for (size_t i = 0; i < n; i++) {
		buf_put_str(b, i ? ",{\"host\":" : "{\"host\":");
		json_put_string(b, span_of(lines[i].name, lines[i].name_n));
		put_columns(b, lines[i].v, COLUMNS, ",");
		put_times(b, lines[i].times);
		buf_putc(b, '}');
	}
	buf_putc(b, ']');
}

static void put_classes(struct buf *b, struct hosttally *const *rows, size_t n)
{
	const char *between = "";

	buf_put(b, SPAN(",\"classes\":["));
	for (int c = 0; c < CLASSES; c++)
		for (int e = 0; e < ECOSYSTEM_COUNT; e++) {
			uint64_t v[CLASS_COLUMNS] = {0};

			for (size_t i = 0; i < n; i++)
				add_counts(v, rows[i]->classes[c][e], CLASS_COLUMNS);
			if (!v[COLUMN_REQUESTS])
				continue;
			buf_printf(b, "%s{\"class\":\"%s\",\"ecosystem\":\"%s\"", between,
				   pathclass_word((enum pathclass)c), pathclass_ecosystem((enum ecosystem)e));
			put_columns(b, v, CLASS_COLUMNS, ",");
			buf_putc(b, '}');
			between = ",";
		}
	buf_putc(b, ']');
}

void hosttally_put_json(struct buf *b, struct hosttally *const *rows, size_t n)
{
	struct line *lines = mem_alloc((n + 1) * HOSTTALLY_MOST * sizeof(*lines));
	struct line others = {0};
	size_t all = 0, shown;

	for (size_t i = 0; i < n; i++)
		all += copy_lines(rows[i], lines + all, others.v);
	all = merge(lines, all);
	qsort(lines, all, sizeof(*lines), by_requests);
	shown = all < HOSTTALLY_SHOWN ? all : HOSTTALLY_SHOWN;
	for (size_t i = shown; i < all; i++)
		add_line(&others, &lines[i]);
	put_hosts(b, lines, shown);
	put_columns(b, others.v, COLUMNS, ",\"other_hosts\":{");
	buf_putc(b, '}');
	put_classes(b, rows, n);
	free(lines);
}
