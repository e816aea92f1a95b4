#include "node/cache/orders.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/base/check.h"
#include "node/base/durable.h"
#include "node/base/json.h"
#include "node/base/mem.h"
#include "node/cache/aim.h"

#define MOST_FILE_BYTES ((off_t)64 * 1024 * 1024)
#define LINE_BYTES (PURGEREC_VALUE_BYTES + 64)
#define SLACK_LINES 1000 /* out of date, that do not matter */

struct ruled {
	uint8_t digest[PURGEREC_DIGEST_BYTES];
	wall_ms at;
	bool denied;
};

struct stale_mark {
	enum purgerec_kind kind;
	wall_ms at;
	char *value; /* owned; NULL: empty */
	size_t n;
};

struct orders {
	unsigned magic;
	char *path;
	struct log *log;
	atomic_uint n_denied, n_stale; /* how many there are, to be asked without the lock */

	pthread_mutex_t lock; /* of what is in memory; taken under the next */
	struct ruled *v;      /* by digest */
	size_t n, room;
	struct stale_mark stale[ORDERS_MOST_STALE]; /* n_stale of them, in no order */
	struct key suspects[ORDERS_SUSPECTS];
	size_t n_suspects; /* ever */

	pthread_mutex_t disk; /* of the file, and of giving an order */
	int fd;               /* -1: nothing to append to; the next order writes it anew */
	off_t good;
	size_t lines;
};

#define ORDERS_MAGIC 0x04de45a1

/* ---- in memory, under the lock ---- */

static size_t place_of(const struct orders *o, const uint8_t *digest)
{
	size_t low = 0, high = o->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (memcmp(o->v[mid].digest, digest, PURGEREC_DIGEST_BYTES) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct ruled *find(const struct orders *o, const uint8_t *digest)
{
	size_t at = place_of(o, digest);

	return at < o->n && memcmp(o->v[at].digest, digest, PURGEREC_DIGEST_BYTES) == 0 ? &o->v[at] : NULL;
}

/* An old permission is of no use but against a denial that is older still, and late. */
static bool forget_a_permission(struct orders *o)
{
	size_t oldest = o->n;

	for (size_t i = 0; i < o->n; i++)
		if (!o->v[i].denied && (oldest == o->n || o->v[i].at < o->v[oldest].at))
			oldest = i;
	if (oldest == o->n)
		return false;
	memmove(o->v + oldest, o->v + oldest + 1, (--o->n - oldest) * sizeof(*o->v));
	return true;
}

static bool insert(struct orders *o, const struct ruled *r)
{
	size_t at;

	if (o->n == ORDERS_MOST_DIGESTS && !forget_a_permission(o))
		return false;
	at = place_of(o, r->digest);
	if (o->n == o->room) {
		o->room = o->room ? 2 * o->room : 64;
		o->v = mem_realloc(o->v, o->room * sizeof(*o->v));
	}
	memmove(o->v + at + 1, o->v + at, (o->n - at) * sizeof(*o->v));
	o->v[at] = *r;
	o->n++;
	o->n_denied += r->denied;
	return true;
}

enum ruling { RULED, KNOWN, FULL };

static enum ruling rule(struct orders *o, const struct ruled *r)
{
	struct ruled *old = find(o, r->digest);

	if (!old)
		return insert(o, r) ? RULED : FULL;
	if (old->at > r->at || (old->at == r->at && (old->denied || !r->denied)))
		return KNOWN;
	o->n_denied += (unsigned)r->denied - (unsigned)old->denied;
	*old = *r;
	return RULED;
}

static struct stale_mark *find_mark(struct orders *o, enum purgerec_kind kind, struct span value)
{
	for (size_t i = 0; i < o->n_stale; i++)
		if (o->stale[i].kind == kind && span_eq(span_of(o->stale[i].value, o->stale[i].n), value))
			return &o->stale[i];
	return NULL;
}

static void forget_mark(struct orders *o, struct stale_mark *m)
{
	free(m->value);
	*m = o->stale[--o->n_stale];
}

/* The oldest becomes one for everything, or part of it. There is more than one. */
static void widen_the_oldest(struct orders *o)
{
	struct stale_mark *oldest = NULL, *all = find_mark(o, PURGEREC_ALL, SPAN_NONE);

	for (size_t i = 0; i < o->n_stale; i++)
		if (o->stale[i].kind != PURGEREC_ALL && (!oldest || o->stale[i].at < oldest->at))
			oldest = &o->stale[i];
	CHECK_THAT(oldest != NULL);
	if (all) {
		all->at = all->at > oldest->at ? all->at : oldest->at;
		forget_mark(o, oldest);
		return;
	}
	free(oldest->value);
	*oldest = (struct stale_mark){.kind = PURGEREC_ALL, .at = oldest->at};
}

static void mark(struct orders *o, enum purgerec_kind kind, struct span value, wall_ms at)
{
	struct stale_mark *m = find_mark(o, kind, value);

	while (!m && o->n_stale == ORDERS_MOST_STALE) {
		widen_the_oldest(o);
		m = find_mark(o, kind, value);
	}
	if (!m) {
		m = &o->stale[o->n_stale];
		*m = (struct stale_mark){.kind = kind, .n = value.n, .value = value.n ? span_dup(value) : NULL};
		o->n_stale++;
	}
	if (m->at < at)
		m->at = at;
}

/* ---- lines ---- */

static void put_ruled(struct buf *b, const struct ruled *r)
{
	buf_put_str(b, r->denied ? "deny sha256:" : "allow sha256:");
	buf_put_hex(b, r->digest, sizeof(r->digest));
	buf_putc(b, ' ');
	buf_put_i64(b, r->at);
	buf_putc(b, '\n');
}

static void put_stale(struct buf *b, enum purgerec_kind kind, struct span value, wall_ms at)
{
	buf_printf(b, "stale %d ", (int)kind);
	buf_put_i64(b, at);
	buf_putc(b, ' ');
	buf_put(b, value);
	buf_putc(b, '\n');
}

static bool take_number(struct span *rest, int64_t *out)
{
	struct span word;
	uint64_t v;

	if (!span_cut(rest, ' ', &word) || span_to_u64(word, &v) < 0 || v > INT64_MAX)
		return false;
	*out = (int64_t)v;
	return true;
}

static bool take_ruled(struct orders *o, bool denied, struct span rest)
{
	struct ruled r = {.denied = denied};
	struct span digest;

	return span_cut(&rest, ' ', &digest) && purgerec_digest(digest, r.digest) && take_number(&rest, &r.at) &&
	       rule(o, &r) != FULL;
}

static bool take_stale(struct orders *o, struct span rest)
{
	int64_t kind, at;

	if (!take_number(&rest, &kind) || !take_number(&rest, &at) || kind < PURGEREC_URL || kind > PURGEREC_DIGEST ||
	    !purgerec_fits((enum purgerec_kind)kind, rest))
		return false;
	mark(o, (enum purgerec_kind)kind, rest, at);
	return true;
}

static bool take_line(struct orders *o, struct span line)
{
	struct span word;

	if (!span_cut(&line, ' ', &word))
		return false;
	if (span_eq(word, SPAN("stale")))
		return take_stale(o, line);
	if (span_eq(word, SPAN("deny")) || span_eq(word, SPAN("allow")))
		return take_ruled(o, span_eq(word, SPAN("deny")), line);
	return false;
}

/* ---- the file ---- */

/* All that holds, as lines; owned by the caller. */
static struct span image(struct orders *o)
{
	struct buf b;
	size_t room;

	pthread_mutex_lock(&o->lock);
	room = (o->n + o->n_stale + 1) * LINE_BYTES;
	b = buf_over(mem_alloc(room), room);
	for (size_t i = 0; i < o->n; i++)
		put_ruled(&b, &o->v[i]);
	for (size_t i = 0; i < o->n_stale; i++)
		put_stale(&b, o->stale[i].kind, span_of(o->stale[i].value, o->stale[i].n), o->stale[i].at);
	o->lines = o->n + o->n_stale;
	pthread_mutex_unlock(&o->lock);
	CHECK_THAT(!b.full);
	return buf_span(&b);
}

/* Anew, beside, and renamed. False with errno: the old one stays. */
static bool rewrite(struct orders *o)
{
	size_t n = strlen(o->path) + sizeof(".new");
	char *beside = mem_alloc(n);
	struct span all = image(o);
	bool ok;
	int fd;

	snprintf(beside, n, "%s.new", o->path);
	fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0640);
	ok = fd >= 0 && durable_write(fd, all) && fsync(fd) == 0 && rename(beside, o->path) == 0;
	if (ok) {
		durable_sync_folder(o->path);
		if (o->fd >= 0)
			close(o->fd);
		o->fd = fd;
		o->good = (off_t)all.n;
	} else if (fd >= 0) {
		int err = errno;

		close(fd);
		unlink(beside);
		errno = err;
	}
	free((char *)(uintptr_t)all.p);
	free(beside);
	return ok;
}

static bool append(struct orders *o, struct span line)
{
	if (!durable_write(o->fd, line)) {
		int err = errno;

		/* Nothing may stand behind half a line. */
		if (ftruncate(o->fd, o->good) < 0) {
			close(o->fd);
			o->fd = -1;
		}
		errno = err;
		return false;
	}
	o->good += (off_t)line.n;
	o->lines++;
	return fsync(o->fd) == 0;
}

/* Under the disk's lock: what was ordered is in memory already. */
static void make_durable(struct orders *o, struct span line)
{
	size_t live;

	pthread_mutex_lock(&o->lock);
	live = o->n + o->n_stale;
	pthread_mutex_unlock(&o->lock);
	if (o->fd < 0 || o->lines > 2 * live + SLACK_LINES ? rewrite(o) : append(o, line))
		return;
	log_line(o->log, LOG_ERROR, "purge", "cannot write %s: %s; the order holds until this process ends", o->path,
		 strerror(errno));
}

static int open_failed(const struct orders *o, char *why, size_t why_bytes)
{
	snprintf(why, why_bytes, "cannot use the orders in %s: %s", o->path, strerror(errno));
	return -1;
}

static int read_file(struct orders *o, struct span *all, char *why, size_t why_bytes)
{
	struct stat st;
	size_t n = 0;
	char *bytes;
	int fd = open(o->path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return open_failed(o, why, why_bytes);
	if (st.st_size > MOST_FILE_BYTES) {
		snprintf(why, why_bytes, "%s is too large to be what it should be", o->path);
		close(fd);
		return -1;
	}
	bytes = mem_alloc((size_t)st.st_size + 1);
	while (n < (size_t)st.st_size) {
		ssize_t got = pread(fd, bytes + n, (size_t)st.st_size - n, (off_t)n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			open_failed(o, why, why_bytes);
			free(bytes);
			close(fd);
			return -1;
		}
		if (got == 0)
			break;
		n += (size_t)got;
	}
	close(fd);
	*all = span_of(bytes, n);
	return 0;
}

/* How many lines were no orders. */
static unsigned take_lines(struct orders *o, struct span all)
{
	unsigned bad = 0;

	while (all.n) {
		size_t end = span_find(all, '\n');

		if (end == all.n || !take_line(o, span_upto(all, end)))
			bad++;
		all = span_from(all, end + 1);
	}
	return bad;
}

struct orders *orders_open(const char *path, struct log *log, char *why, size_t why_bytes)
{
	struct orders *o = NEW(struct orders);
	struct span all = SPAN_NONE;
	unsigned bad;
	int failed;

	o->magic = ORDERS_MAGIC;
	o->path = span_dup(span_str(path));
	o->log = log;
	o->fd = -1;
	pthread_mutex_init(&o->lock, NULL);
	pthread_mutex_init(&o->disk, NULL);
	failed = read_file(o, &all, why, why_bytes);
	bad = take_lines(o, all);
	free((char *)(uintptr_t)all.p);
	if (bad)
		log_line(log, LOG_WARNING, "purge", "%s: %u lines are no orders (a power cut?) and are left out", path,
			 bad);
	if (!failed && rewrite(o))
		return o;
	if (!failed)
		open_failed(o, why, why_bytes);
	orders_free(o);
	return NULL;
}

void orders_free(struct orders *o)
{
	if (!o)
		return;
	CHECK(o, ORDERS_MAGIC);
	if (o->fd >= 0)
		close(o->fd);
	while (o->n_stale)
		forget_mark(o, &o->stale[0]);
	free(o->v);
	free(o->path);
	pthread_mutex_destroy(&o->lock);
	pthread_mutex_destroy(&o->disk);
	o->magic = 0;
	free(o);
}

/* ---- digests ---- */

static bool give(struct orders *o, const uint8_t *digest, bool denied, wall_ms at)
{
	struct ruled r = {.denied = denied, .at = at};
	char line[LINE_BYTES];
	struct buf b = buf_over(line, sizeof(line));
	enum ruling ruling;

	if (!o)
		return false;
	CHECK(o, ORDERS_MAGIC);
	memcpy(r.digest, digest, sizeof(r.digest));
	put_ruled(&b, &r);
	pthread_mutex_lock(&o->disk);
	pthread_mutex_lock(&o->lock);
	ruling = rule(o, &r);
	pthread_mutex_unlock(&o->lock);
	if (ruling == RULED)
		make_durable(o, buf_span(&b));
	pthread_mutex_unlock(&o->disk);
	return ruling != FULL;
}

bool orders_deny(struct orders *o, const uint8_t digest[PURGEREC_DIGEST_BYTES], wall_ms at)
{
	return give(o, digest, true, at);
}

bool orders_allow(struct orders *o, const uint8_t digest[PURGEREC_DIGEST_BYTES], wall_ms at)
{
	return give(o, digest, false, at);
}

bool orders_deny_something(const struct orders *o)
{
	return o && atomic_load_explicit(&o->n_denied, memory_order_acquire) > 0;
}

bool orders_denies(struct orders *o, const uint8_t digest[PURGEREC_DIGEST_BYTES])
{
	const struct ruled *r;
	bool denied;

	if (!orders_deny_something(o))
		return false;
	CHECK(o, ORDERS_MAGIC);
	pthread_mutex_lock(&o->lock);
	r = find(o, digest);
	denied = r && r->denied;
	pthread_mutex_unlock(&o->lock);
	return denied;
}

static int by_time(const void *a, const void *b)
{
	const struct ruled *x = a, *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

struct span orders_format(struct orders *o)
{
	struct ruled *v = NULL;
	size_t n = 0, room;
	struct buf b;

	if (o) {
		CHECK(o, ORDERS_MAGIC);
		pthread_mutex_lock(&o->lock);
		v = mem_alloc((o->n + 1) * sizeof(*v));
		for (size_t i = 0; i < o->n; i++)
			if (o->v[i].denied)
				v[n++] = o->v[i];
		pthread_mutex_unlock(&o->lock);
		qsort(v, n, sizeof(*v), by_time);
	}
	room = ORDERS_JSON_BYTES(n);
	b = buf_over(mem_alloc(room), room);
	buf_put_str(&b, "{\"denied\":[");
	for (size_t i = 0; i < n; i++) {
		buf_put_str(&b, i ? ",{\"digest\":\"sha256:" : "{\"digest\":\"sha256:");
		buf_put_hex(&b, v[i].digest, sizeof(v[i].digest));
		buf_put_str(&b, "\",\"at\":");
		json_put_time(&b, v[i].at);
		buf_putc(&b, '}');
	}
	buf_printf(&b, "],\"most\":%d}\n", ORDERS_MOST_DIGESTS);
	CHECK_THAT(!b.full);
	free(v);
	return buf_span(&b);
}

/* ---- suspects ---- */

static size_t suspects_here(const struct orders *o)
{
	return o->n_suspects < ORDERS_SUSPECTS ? o->n_suspects : ORDERS_SUSPECTS;
}

/* Under the lock. */
static bool is_suspect(const struct orders *o, const struct key *key)
{
	for (size_t i = 0; i < suspects_here(o); i++)
		if (key_same(&o->suspects[i], key))
			return true;
	return false;
}

void orders_suspect(struct orders *o, const struct key *key)
{
	if (!o)
		return;
	CHECK(o, ORDERS_MAGIC);
	pthread_mutex_lock(&o->lock);
	if (!is_suspect(o, key))
		o->suspects[o->n_suspects++ % ORDERS_SUSPECTS] = *key;
	pthread_mutex_unlock(&o->lock);
}

bool orders_suspects(struct orders *o, const struct key *key)
{
	bool yes;

	if (!orders_deny_something(o))
		return false;
	CHECK(o, ORDERS_MAGIC);
	pthread_mutex_lock(&o->lock);
	yes = is_suspect(o, key);
	pthread_mutex_unlock(&o->lock);
	return yes;
}

/* ---- what is stale ---- */

void orders_outdate(struct orders *o, enum purgerec_kind kind, struct span value, wall_ms at)
{
	char line[LINE_BYTES];
	struct buf b = buf_over(line, sizeof(line));

	if (!o)
		return;
	CHECK(o, ORDERS_MAGIC);
	CHECK_THAT(kind <= PURGEREC_DIGEST && purgerec_fits(kind, value));
	put_stale(&b, kind, value, at);
	pthread_mutex_lock(&o->disk);
	pthread_mutex_lock(&o->lock);
	mark(o, kind, value, at);
	pthread_mutex_unlock(&o->lock);
	make_durable(o, buf_span(&b));
	pthread_mutex_unlock(&o->disk);
}

bool orders_outdated(struct orders *o, const struct head *h, wall_ms received)
{
	const uint8_t *digest = head_digest(h);
	bool yes = false;

	if (!o || atomic_load_explicit(&o->n_stale, memory_order_acquire) == 0)
		return false;
	CHECK(o, ORDERS_MAGIC);
	pthread_mutex_lock(&o->lock);
	for (size_t i = 0; i < o->n_stale && !yes; i++) {
		const struct stale_mark *m = &o->stale[i];
		struct aim aim;

		if (received > m->at)
			continue;
		aim_take(&aim, m->kind, span_of(m->value, m->n));
		yes = aim_fits(&aim, h, digest);
	}
	pthread_mutex_unlock(&o->lock);
	return yes;
}
