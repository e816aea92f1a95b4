/* The file: a line that says what it is, and the serial up to which records have been let go; then the records as they came, each
 * with its length before it and a checksum behind it. It is only ever appended to; when it has grown by a tenth beyond what is
 * kept, it is written anew beside and renamed. */
#include "peer/peer_purge.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/base/check.h"
#include "node/base/checksum.h"
#include "node/base/durable.h"
#include "node/base/mem.h"
#include "node/tls/nodecert.h"

#define KEEP 10000
#define OVERLAP_MS ((uint64_t)3600 * 1000) /* serials are times, in ms */
#define MOST_FILE_BYTES ((off_t)64 * 1024 * 1024)
#define LENGTH_BYTES ((size_t)2)
#define SUM_BYTES ((size_t)8)
#define SIGNED_BYTES (PURGEREC_MAX_BYTES + NODECERT_NAME_BYTES + 64)

static const struct span title = SPAN("pmcache purge log 1\n");
#define HEADER_BYTES (sizeof("pmcache purge log 1\n") - 1 + 8)

struct kept {
	uint64_t serial;
	uint16_t n;
	char *bytes;
};

struct peer_purge {
	unsigned magic;
	struct peer_purge_settings settings; /* its strings are ours */
	char *path, *cluster;
	size_t keep;

	pthread_mutex_t lock; /* of what is in memory; never held across the disk */
	struct kept *v;       /* by serial, then by bytes */
	size_t n, room;
	uint64_t floor; /* the highest serial that was let go; 0: none */
	uint64_t made;  /* the last one of our own making */

	pthread_mutex_t disk; /* of the file; taken before the other */
	int fd;
	off_t good; /* bytes of it that are whole records */
	size_t in_file;
};

#define PEER_PURGE_MAGIC 0x9ee5b196

/* ---- numbers in bytes ---- */

static void put_number(struct buf *b, uint64_t v, size_t bytes)
{
	while (bytes-- > 0)
		buf_putc(b, (char)(v >> 8 * bytes & 0xff));
}

static uint64_t get_number(const char *p, size_t bytes)
{
	uint64_t v = 0;

	for (size_t i = 0; i < bytes; i++)
		v = v << 8 | (uint8_t)p[i];
	return v;
}

/* The next record of a log as it is sent. False: damaged. */
static bool cut_record(struct span *rest, struct span *record)
{
	size_t n;

	if (rest->n < LENGTH_BYTES)
		return false;
	n = (size_t)get_number(rest->p, LENGTH_BYTES);
	if (n == 0 || n > PURGEREC_MAX_BYTES || n > rest->n - LENGTH_BYTES)
		return false;
	*record = span_of(rest->p + LENGTH_BYTES, n);
	*rest = span_from(*rest, LENGTH_BYTES + n);
	return true;
}

/* ---- in memory, under the lock ---- */

static struct span span_kept(const struct kept *k)
{
	return span_of(k->bytes, k->n);
}

static int compare(const struct kept *k, uint64_t serial, struct span bytes)
{
	size_t least = k->n < bytes.n ? k->n : bytes.n;
	int c;

	if (k->serial != serial)
		return k->serial < serial ? -1 : 1;
	c = least ? memcmp(k->bytes, bytes.p, least) : 0;
	if (c != 0)
		return c;
	return k->n == bytes.n ? 0 : k->n < bytes.n ? -1 : 1;
}

/* Where it is, or would be. */
static size_t place_of(const struct peer_purge *p, uint64_t serial, struct span bytes)
{
	size_t low = 0, high = p->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (compare(&p->v[mid], serial, bytes) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool is_known(const struct peer_purge *p, uint64_t serial, struct span bytes)
{
	size_t at = place_of(p, serial, bytes);

	return serial <= p->floor || (at < p->n && compare(&p->v[at], serial, bytes) == 0);
}

/* All of one serial go together: the floor says nothing finer. */
static void let_go_oldest(struct peer_purge *p)
{
	size_t gone = 0;

	p->floor = p->v[0].serial;
	while (gone < p->n && p->v[gone].serial <= p->floor)
		free(p->v[gone++].bytes);
	p->n -= gone;
	memmove(p->v, p->v + gone, p->n * sizeof(*p->v));
}

/* False: known meanwhile. */
static bool insert(struct peer_purge *p, uint64_t serial, struct span bytes)
{
	size_t at = place_of(p, serial, bytes);

	if (is_known(p, serial, bytes))
		return false;
	if (p->n == p->room) {
		p->room = p->room ? 2 * p->room : 64;
		p->v = mem_realloc(p->v, p->room * sizeof(*p->v));
	}
	memmove(p->v + at + 1, p->v + at, (p->n - at) * sizeof(*p->v));
	p->v[at] = (struct kept){serial, (uint16_t)bytes.n, mem_alloc(bytes.n)};
	memcpy(p->v[at].bytes, bytes.p, bytes.n);
	p->n++;
	while (p->n > p->keep)
		let_go_oldest(p);
	return true;
}

static uint64_t newest(const struct peer_purge *p)
{
	return p->n ? p->v[p->n - 1].serial : p->floor;
}

/* ---- the file ---- */

static void put_in_file(struct buf *b, struct span record)
{
	put_number(b, record.n, LENGTH_BYTES);
	buf_put(b, record);
	put_number(b, checksum_of(record), SUM_BYTES);
}

#define IN_FILE_BYTES (LENGTH_BYTES + PURGEREC_MAX_BYTES + SUM_BYTES)

/* Under the disk lock. Not synced. */
static bool append(struct peer_purge *p, struct span record)
{
	char bytes[IN_FILE_BYTES];
	struct buf b = buf_over(bytes, sizeof(bytes));

	put_in_file(&b, record);
	CHECK_THAT(!b.full);
	errno = EBADF;
	if (p->fd < 0) /* an earlier failure left nothing to append to */
		return false;
	if (!durable_write(p->fd, buf_span(&b))) {
		int err = errno;

		/* Nothing may stand behind half a record. */
		if (ftruncate(p->fd, p->good) < 0) {
			close(p->fd);
			p->fd = -1;
		}
		errno = err;
		return false;
	}
	p->good += (off_t)b.n;
	p->in_file++;
	return true;
}

/* All of it as it should be in the file; owned by the caller. Under both locks. */
static struct span image(const struct peer_purge *p)
{
	size_t bytes = HEADER_BYTES;
	struct buf b;

	for (size_t i = 0; i < p->n; i++)
		bytes += LENGTH_BYTES + p->v[i].n + SUM_BYTES;
	b = buf_over(mem_alloc(bytes), bytes);
	buf_put(&b, title);
	put_number(&b, p->floor, 8);
	for (size_t i = 0; i < p->n; i++)
		put_in_file(&b, span_kept(&p->v[i]));
	CHECK_THAT(!b.full);
	return buf_span(&b);
}

/* Under the disk lock: the whole file anew; the old one stays when that fails. False with errno. */
static bool rewrite(struct peer_purge *p)
{
	size_t path_bytes = strlen(p->path) + sizeof(".new");
	char *path = mem_alloc(path_bytes);
	struct span all;
	size_t n;
	bool ok;
	int fd;

	snprintf(path, path_bytes, "%s.new", p->path);
	pthread_mutex_lock(&p->lock);
	all = image(p);
	n = p->n;
	pthread_mutex_unlock(&p->lock);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0640);
	ok = fd >= 0 && durable_write(fd, all) && fsync(fd) == 0 && rename(path, p->path) == 0;
	if (ok) {
		if (p->fd >= 0)
			close(p->fd);
		p->fd = fd;
		p->good = (off_t)all.n;
		p->in_file = n;
		ok = durable_sync_folder(p->path);
	} else if (fd >= 0) {
		int err = errno;

		close(fd);
		unlink(path);
		errno = err;
	}
	free((char *)(uintptr_t)all.p);
	free(path);
	return ok;
}

/* Under the disk lock, after something was appended. */
static bool settle(struct peer_purge *p)
{
	if (p->in_file > p->keep + p->keep / 10 + 1) {
		if (rewrite(p))
			return true;
		log_line(p->settings.log, LOG_WARNING, "purge", "cannot shorten %s: %s", p->path, strerror(errno));
	}
	return p->fd >= 0 && fsync(p->fd) == 0;
}

static void say_disk_failed(const struct peer_purge *p, int err)
{
	log_line(p->settings.log, LOG_ERROR, "purge",
		 "cannot write %s: %s; purges are done, but will be asked of the parents again after a restart",
		 p->path, strerror(err));
}

/* ---- opening ---- */

static int open_failed(const struct peer_purge *p, const char *what, char *why, size_t why_bytes)
{
	snprintf(why, why_bytes, "cannot %s the purge log %s: %s", what, p->path, strerror(errno));
	return -1;
}

/* 0, or -1 with a sentence. *all is the caller's. */
static int read_file(struct peer_purge *p, struct span *all, char *why, size_t why_bytes)
{
	struct stat st;
	size_t n = 0;
	char *bytes;

	if (fstat(p->fd, &st) < 0)
		return open_failed(p, "read", why, why_bytes);
	if (st.st_size > MOST_FILE_BYTES) {
		snprintf(why, why_bytes, "%s is too large for a purge log; remove it", p->path);
		return -1;
	}
	bytes = mem_alloc((size_t)st.st_size + 1);
	while (n < (size_t)st.st_size) {
		ssize_t got = pread(p->fd, bytes + n, (size_t)st.st_size - n, (off_t)n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			open_failed(p, "read", why, why_bytes);
			free(bytes);
			return -1;
		}
		if (got == 0)
			break;
		n += (size_t)got;
	}
	*all = span_of(bytes, n);
	return 0;
}

/* The good records; what is left of `rest` is torn. */
static void read_records(struct peer_purge *p, struct span *rest)
{
	for (;;) {
		struct span at = *rest, record;
		struct purgerec r;

		if (!cut_record(&at, &record) || at.n < SUM_BYTES)
			return;
		if (get_number(at.p, SUM_BYTES) != checksum_of(record) || !purgerec_parse(record, &r))
			return;
		insert(p, r.serial, record);
		p->in_file++;
		*rest = span_from(at, SUM_BYTES);
	}
}

static int load(struct peer_purge *p, struct span all, char *why, size_t why_bytes)
{
	struct span rest = span_from(all, HEADER_BYTES);

	/* Cut off while it was made for the first time. */
	if (all.n < HEADER_BYTES && span_starts(title, span_upto(all, title.n)))
		return rewrite(p) ? 0 : open_failed(p, "write", why, why_bytes);
	if (!span_starts(all, title)) {
		snprintf(why, why_bytes, "%s is no purge log; remove it", p->path);
		return -1;
	}
	p->floor = get_number(all.p + title.n, 8);
	read_records(p, &rest);
	p->good = (off_t)(all.n - rest.n);
	if (rest.n == 0)
		return 0;
	log_line(p->settings.log, LOG_WARNING, "purge",
		 "%s: the last %zu bytes are no whole record (a power cut?) and are cut off; %zu records are good",
		 p->path, rest.n, p->n);
	if (ftruncate(p->fd, p->good) < 0 || fsync(p->fd) < 0)
		return open_failed(p, "repair", why, why_bytes);
	return 0;
}

struct peer_purge *peer_purge_open(const struct peer_purge_settings *s, char *why, size_t why_bytes)
{
	struct peer_purge *p = NEW(struct peer_purge);
	struct span all = SPAN_NONE;
	int result;

	p->magic = PEER_PURGE_MAGIC;
	p->settings = *s;
	p->settings.path = p->path = span_dup(span_str(s->path));
	p->settings.cluster = p->cluster = span_dup(span_str(s->cluster));
	p->keep = s->keep ? s->keep : KEEP;
	pthread_mutex_init(&p->lock, NULL);
	pthread_mutex_init(&p->disk, NULL);
	p->fd = open(p->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	if (p->fd < 0)
		result = open_failed(p, "open", why, why_bytes);
	else
		result = read_file(p, &all, why, why_bytes);
	if (result == 0)
		result = load(p, all, why, why_bytes);
	free((char *)(uintptr_t)all.p);
	if (result == 0)
		return p;
	peer_purge_free(p);
	return NULL;
}

void peer_purge_free(struct peer_purge *p)
{
	if (!p)
		return;
	CHECK(p, PEER_PURGE_MAGIC);
	if (p->fd >= 0)
		close(p->fd);
	for (size_t i = 0; i < p->n; i++)
		free(p->v[i].bytes);
	free(p->v);
	free(p->path);
	free(p->cluster);
	pthread_mutex_destroy(&p->lock);
	pthread_mutex_destroy(&p->disk);
	p->magic = 0;
	free(p);
}

/* ---- applying ---- */

static bool signature_fits(const struct peer_purge *p, const struct purgerec *r)
{
	char bytes[SIGNED_BYTES];
	struct buf b = buf_over(bytes, sizeof(bytes));

	purgerec_put_signed(&b, span_str(p->cluster), r);
	return !b.full && sign_fits(p->settings.public_key, buf_span(&b), r->signature);
}

static bool known(struct peer_purge *p, uint64_t serial, struct span record)
{
	bool yes;

	pthread_mutex_lock(&p->lock);
	yes = is_known(p, serial, record);
	pthread_mutex_unlock(&p->lock);
	return yes;
}

/* Does it, and only then keeps it: a crash in between has it done again, not forgotten. *to_disk: something was appended. */
static enum peer_purge_result apply(struct peer_purge *p, struct span record, uint32_t *removed, bool *to_disk)
{
	struct purgerec r;
	bool is_new;

	*removed = 0;
	if (record.n > PURGEREC_MAX_BYTES || !purgerec_parse(record, &r))
		return PEER_PURGE_BAD;
	if (known(p, r.serial, record)) /* before the signature, which costs more */
		return PEER_PURGE_KNOWN;
	if (!signature_fits(p, &r))
		return PEER_PURGE_BAD;
	*removed = p->settings.remove(p->settings.cookie, &r);
	pthread_mutex_lock(&p->disk);
	pthread_mutex_lock(&p->lock);
	is_new = insert(p, r.serial, record);
	pthread_mutex_unlock(&p->lock);
	if (is_new && append(p, record))
		*to_disk = true;
	else if (is_new)
		say_disk_failed(p, errno);
	pthread_mutex_unlock(&p->disk);
	return is_new ? PEER_PURGE_DONE : PEER_PURGE_KNOWN;
}

static void make_durable(struct peer_purge *p)
{
	pthread_mutex_lock(&p->disk);
	if (!settle(p))
		say_disk_failed(p, errno);
	pthread_mutex_unlock(&p->disk);
}

enum peer_purge_result peer_purge_apply(struct peer_purge *p, struct span record, uint32_t *removed)
{
	enum peer_purge_result result;
	bool to_disk = false;

	CHECK(p, PEER_PURGE_MAGIC);
	result = apply(p, record, removed, &to_disk);
	if (to_disk)
		make_durable(p);
	return result;
}

long peer_purge_take(struct peer_purge *p, struct span log, uint32_t *removed)
{
	bool to_disk = false, good = true;
	long n = 0;

	CHECK(p, PEER_PURGE_MAGIC);
	*removed = 0;
	while (log.n && good) {
		struct span record;
		uint32_t gone;

		good = cut_record(&log, &record);
		if (!good)
			break;
		switch (apply(p, record, &gone, &to_disk)) {
		case PEER_PURGE_DONE:
			n++;
			*removed += gone;
			break;
		case PEER_PURGE_KNOWN:
			break;
		case PEER_PURGE_BAD:
			good = false;
			break;
		}
	}
	if (to_disk)
		make_durable(p);
	return good ? n : -1;
}

/* ---- reading ---- */

uint64_t peer_purge_serial(struct peer_purge *p)
{
	uint64_t serial;

	CHECK(p, PEER_PURGE_MAGIC);
	pthread_mutex_lock(&p->lock);
	serial = newest(p);
	pthread_mutex_unlock(&p->lock);
	return serial;
}

/* Under the lock. Records of one serial are not parted by the end of a page, if there is room for them at all: who goes on behind the
 * serial would miss the others. */
static void put_after(const struct peer_purge *p, uint64_t since, struct buf *b, bool *more)
{
	size_t at = place_of(p, since + 1, SPAN_NONE), whole = b->n;

	for (*more = false; at < p->n; at++) {
		if (b->cap - b->n < LENGTH_BYTES + (size_t)p->v[at].n) {
			*more = true;
			if (whole > 0 && p->v[at - 1].serial == p->v[at].serial)
				b->n = whole;
			return;
		}
		if (at == 0 || p->v[at - 1].serial != p->v[at].serial)
			whole = b->n;
		put_number(b, p->v[at].n, LENGTH_BYTES);
		buf_put(b, span_kept(&p->v[at]));
	}
}

static bool read_since(struct peer_purge *p, uint64_t since, uint64_t back, struct buf *b, bool *more)
{
	bool there;

	CHECK(p, PEER_PURGE_MAGIC);
	*more = false;
	pthread_mutex_lock(&p->lock);
	there = since == 0 || since >= p->floor;
	since = since > back ? since - back : 0;
	if (there && since < UINT64_MAX)
		put_after(p, since, b, more);
	pthread_mutex_unlock(&p->lock);
	return there;
}

bool peer_purge_since(struct peer_purge *p, uint64_t since, struct buf *b, bool *more)
{
	return read_since(p, since, 0, b, more);
}

bool peer_purge_recent(struct peer_purge *p, uint64_t since, struct buf *b, bool *more)
{
	return read_since(p, since, OVERLAP_MS, b, more);
}

uint64_t peer_purge_last(struct span log)
{
	uint64_t serial = 0;
	struct span record;
	struct purgerec r;

	while (log.n && cut_record(&log, &record) && purgerec_parse(record, &r))
		serial = r.serial;
	return serial;
}

/* ---- making ---- */

bool peer_purge_make(struct peer_purge *p, const struct sign_key *key, enum purgerec_kind kind, struct span value,
		     wall_ms now, struct buf *b)
{
	struct purgerec r = {.serial = (uint64_t)now, .at = now, .kind = kind, .value = value};
	char bytes[SIGNED_BYTES];
	struct buf to_sign = buf_over(bytes, sizeof(bytes));
	uint64_t last;

	CHECK(p, PEER_PURGE_MAGIC);
	if (!purgerec_fits(kind, value))
		return false;
	pthread_mutex_lock(&p->lock);
	last = newest(p) > p->made ? newest(p) : p->made;
	if (r.serial <= last && last < UINT64_MAX)
		r.serial = last + 1;
	p->made = r.serial;
	pthread_mutex_unlock(&p->lock);
	purgerec_put_signed(&to_sign, span_str(p->cluster), &r);
	CHECK_THAT(!to_sign.full);
	sign_bytes(key, buf_span(&to_sign), r.signature);
	purgerec_format(b, &r);
	return !b->full;
}
