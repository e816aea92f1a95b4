/* disk_ground: what the tests of the disk tier stand on: a folder of their own, a loop, workers, objects whose bytes
 * are known from their name, and system calls that can be told to fail. */
#ifndef TESTS_UNIT_CACHE_DISK_GROUND_H
#define TESTS_UNIT_CACHE_DISK_GROUND_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/base/mem.h"
#include "node/base/rng.h"
#include "node/cache/disk.h"
#include "node/cache/disk_internal.h"
#include "node/cache/disk_writer.h"
#include "tests/unit/net/ground.h"

/* ---- system calls that fail when told to ---- */

struct faulty {
	struct disk_ops ops;
	_Atomic int write_error, read_error, rename_error, unlink_error, open_error, sync_error; /* errno; 0: none */
	_Atomic int write_after; /* bytes that go well first; short writes */
	_Atomic bool short_writes, cold;
	_Atomic uint64_t free_bytes; /* 0: what there is */
	_Atomic unsigned opens, reads;
};

static inline struct faulty *faulty_of(const struct disk_ops *ops)
{
	return (struct faulty *)(void *)(uintptr_t)ops;
}

static inline int faulty_open(const struct disk_ops *ops, int at, const char *name, enum disk_open how)
{
	struct faulty *f = faulty_of(ops);

	if (f->open_error && (how == DISK_OPEN_NEW || how == DISK_OPEN_APPEND))
		return -f->open_error;
	return disk_ops_system.open(ops, at, name, how);
}

static inline int faulty_open_now(const struct disk_ops *ops, int at, const char *name)
{
	struct faulty *f = faulty_of(ops);

	f->opens++;
	return f->cold ? -EAGAIN : disk_ops_system.open_now(ops, at, name);
}

static inline ssize_t faulty_pread(const struct disk_ops *ops, int fd, void *to, size_t n, uint64_t at)
{
	struct faulty *f = faulty_of(ops);

	return f->read_error ? -f->read_error : disk_ops_system.pread(ops, fd, to, n, at);
}

static inline ssize_t faulty_pread_now(const struct disk_ops *ops, int fd, void *to, size_t n, uint64_t at)
{
	struct faulty *f = faulty_of(ops);

	f->reads++;
	if (f->cold)
		return -EAGAIN;
	return f->read_error ? -f->read_error : disk_ops_system.pread_now(ops, fd, to, n, at);
}

static inline ssize_t faulty_pwritev(const struct disk_ops *ops, int fd, const struct iovec *v, int n, uint64_t at)
{
	struct faulty *f = faulty_of(ops);

	if (f->write_error) {
		if (f->write_after <= 0)
			return -f->write_error;
		for (int i = 0; i < n; i++)
			f->write_after -= (int)v[i].iov_len;
	}
	if (f->short_writes && v[0].iov_len > 1) {
		struct iovec half = {v[0].iov_base, v[0].iov_len / 2};

		return disk_ops_system.pwritev(ops, fd, &half, 1, at);
	}
	return disk_ops_system.pwritev(ops, fd, v, n, at);
}

static inline int faulty_sync(const struct disk_ops *ops, int fd)
{
	struct faulty *f = faulty_of(ops);

	return f->sync_error ? -f->sync_error : disk_ops_system.sync(ops, fd);
}

static inline int faulty_rename(const struct disk_ops *ops, int from_at, const char *from, int to_at, const char *to)
{
	struct faulty *f = faulty_of(ops);

	return f->rename_error ? -f->rename_error : disk_ops_system.rename(ops, from_at, from, to_at, to);
}

static inline int faulty_unlink(const struct disk_ops *ops, int at, const char *name)
{
	struct faulty *f = faulty_of(ops);

	return f->unlink_error ? -f->unlink_error : disk_ops_system.unlink(ops, at, name);
}

static inline int faulty_room(const struct disk_ops *ops, int fd, struct disk_room *out)
{
	struct faulty *f = faulty_of(ops);
	int err = disk_ops_system.room(ops, fd, out);

	if (!err && f->free_bytes)
		*out = (struct disk_room){.total = 10 * f->free_bytes, .free = f->free_bytes};
	return err;
}

static inline void faulty_init(struct faulty *f)
{
	memset(f, 0, sizeof(*f));
	f->ops = disk_ops_system;
	f->ops.open = faulty_open;
	f->ops.open_now = faulty_open_now;
	f->ops.pread = faulty_pread;
	f->ops.pread_now = faulty_pread_now;
	f->ops.pwritev = faulty_pwritev;
	f->ops.sync = faulty_sync;
	f->ops.rename = faulty_rename;
	f->ops.unlink = faulty_unlink;
	f->ops.room = faulty_room;
}

/* ---- the ground ---- */

struct disk_ground {
	struct ground g;
	struct clock_fake clock;
	struct work *work;
	struct faulty faulty;
	struct disk_settings settings;
	char path[64];
	struct disk *disk;
	char why[300];
	/* of what is under way */
	unsigned left;
	bool ok;
	struct disk_file *found;
	unsigned purged;
};

static inline int disk_ground_rm(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static inline void disk_ground_start(struct disk_ground *t)
{
	t->work = work_new(2);
	t->settings.work = t->work;
	t->disk = disk_open(&t->settings, t->why, sizeof(t->why));
}

static inline void disk_ground_stop(struct disk_ground *t)
{
	work_free(&t->work);
	disk_close(&t->disk);
}

static inline void disk_ground_init(struct disk_ground *t, uint64_t size)
{
	memset(t, 0, sizeof(*t));
	ground_init(&t->g);
	clock_fake_init(&t->clock, 1700000000000);
	t->clock.mono_now = 1000000000;
	faulty_init(&t->faulty);
	snprintf(t->path, sizeof(t->path), "/tmp/pmc-disk-XXXXXX");
	assert_non_null(mkdtemp(t->path));
	t->settings = (struct disk_settings){
		.path = t->path,
		.size = size,
		.max_object = size,
		.clock = &t->clock.clock,
		.ops = &t->faulty.ops,
	};
	disk_ground_start(t);
	assert_non_null(t->disk);
}

static inline void disk_ground_fini(struct disk_ground *t)
{
	disk_ground_stop(t);
	ground_fini(&t->g);
	nftw(t->path, disk_ground_rm, 16, FTW_DEPTH | FTW_PHYS);
}

/* Clean: as after `systemctl restart`. */
static inline void disk_ground_restart(struct disk_ground *t)
{
	disk_ground_stop(t);
	disk_ground_start(t);
	assert_non_null(t->disk);
}

/* ---- objects ---- */

struct object {
	unsigned n;        /* which */
	size_t bytes;      /* of its body */
	const char *vary;  /* its Vary in normal form, "" for none */
	const char *value; /* of that request field */
	unsigned version;
	bool for_good; /* immutable */
};

static inline struct key object_key(unsigned n)
{
	struct key key;
	char url[40];

	snprintf(url, sizeof(url), "http://a.test/%u", n);
	key_make(&key, SPAN("salt"), span_str(url));
	return key;
}

static inline char *object_body(const struct object *o)
{
	char *body = mem_alloc(o->bytes + 1);
	struct rng rng;

	rng_seed(&rng, o->n * 1000003ull + o->version * 17 + (o->value ? (unsigned char)o->value[0] : 0u));
	for (size_t i = 0; i < o->bytes; i += 8) {
		uint64_t v = rng_next(&rng);

		memcpy(body + i, &v, o->bytes - i < 8 ? o->bytes - i : 8);
	}
	return body;
}

static inline struct head *object_head(const struct object *o)
{
	char url[40], fields[200];
	size_t n, url_n = (size_t)snprintf(url, sizeof(url), "http://a.test/%u", o->n),
		  vary_n = o->vary ? strlen(o->vary) : 0;
	struct head *h;

	n = (size_t)snprintf(fields, sizeof(fields), "Content-Type: a/b\r\nETag: \"%u\"\r\nX-Version: %u\r\n", o->n,
			     o->version);
	h = mem_zalloc(sizeof(*h) + n + 2 + vary_n + url_n + HEAD_DIGEST_BYTES);
	h->refs = 1;
	h->status = 200;
	h->has_length = true;
	h->length = o->bytes;
	h->date = 1699999999000;
	h->last_modified = -1;
	h->terms = (struct fresh_terms){.lifetime_s = 3600, .age_s = 7, .source = FRESH_WHY_EXPLICIT};
	if (o->for_good)
		h->terms = (struct fresh_terms){.lifetime_s = FRESH_FOREVER_S, .source = FRESH_WHY_IMMUTABLE};
	h->n = (uint32_t)n;
	h->phrase_n = 2;
	h->vary_n = (uint16_t)vary_n;
	h->url_n = (uint16_t)url_n;
	h->has_room = true;
	memcpy(h->text, fields, n);
	memcpy(h->text + n, "OK", 2);
	if (vary_n)
		memcpy(h->text + n + 2, o->vary, vary_n);
	memcpy(h->text + n + 2 + vary_n, url, url_n);
	return h;
}

static inline struct index_ask object_ask(const struct object *o, struct hdrs *fields)
{
	*fields = (struct hdrs){0};
	if (o->vary && o->value)
		hdr_add(fields, span_str(o->vary), span_str(o->value));
	return (struct index_ask){.key = object_key(o->n), .request = fields};
}

static inline struct key_variant object_variant(const struct object *o)
{
	struct key_variant variant = {0};
	struct hdrs *fields = NEW(struct hdrs);
	struct index_ask ask = object_ask(o, fields);
	struct vary vary;

	vary_parse(span_str(o->vary ? o->vary : ""), &vary);
	key_variant(&variant, &vary, ask.request);
	free(fields);
	return variant;
}

/* One object given to a writer, as fast as it takes it. */
struct putting {
	struct disk_ground *t;
	struct disk_writer *w;
	char *body;
	size_t bytes, given;
	size_t piece; /* at most so much at once */
	bool over;
};

static inline void putting_end(struct putting *p, bool ok)
{
	p->t->ok = ok;
	p->over = true;
	p->w = NULL;
	if (--p->t->left == 0)
		loop_stop(p->t->g.loop);
}

static inline void putting_more(struct putting *p)
{
	uint8_t digest[32];

	while (p->given < p->bytes) {
		size_t n = p->bytes - p->given < p->piece ? p->bytes - p->given : p->piece;

		n = disk_writer_put(p->w, span_of(p->body + p->given, n));
		if (!n)
			return;
		p->given += n;
	}
	sha256_of(span_of(p->body, p->bytes), digest);
	p->given++; /* ended once */
	disk_writer_end(p->w, digest);
}

static inline void on_putting_written(void *cookie, uint64_t length)
{
	struct putting *p = cookie;

	assert_true(length <= p->bytes);
	if (p->given <= p->bytes)
		putting_more(p);
}

static inline void on_putting_done(void *cookie, bool ok)
{
	putting_end(cookie, ok);
}

static inline struct disk_writer *object_begin(struct disk_ground *t, const struct object *o, uint64_t expected,
					       struct putting *p)
{
	static const struct disk_writer_on on = {on_putting_written, on_putting_done};
	struct head *head = object_head(o);
	struct disk_writer_ask ask = {
		.key = object_key(o->n),
		.variant = object_variant(o),
		.head = head,
		.expected = expected,
		.received_wall = clock_wall(&t->clock.clock),
		.loop = t->g.loop,
	};

	*p = (struct putting){.t = t, .body = object_body(o), .bytes = o->bytes, .piece = 40000};
	p->w = disk_writer_begin(t->disk, &ask, &on, p);
	head_unref(&head);
	return p->w;
}

static inline void on_putting_start(void *arg)
{
	putting_more(arg);
}

/* Whole; true when it is stored. */
static inline bool object_put(struct disk_ground *t, const struct object *o)
{
	struct putting p;

	t->ok = false;
	if (object_begin(t, o, o->n % 2 ? o->bytes : UINT64_MAX, &p)) {
		t->left = 1;
		loop_post(t->g.loop, on_putting_start, &p);
		ground_run(&t->g);
	}
	free(p.body);
	return t->ok;
}

static inline void on_object_found(void *cookie, struct disk_file *file)
{
	struct disk_ground *t = cookie;

	t->found = file;
	loop_stop(t->g.loop);
}

/* By the loop, or by a worker if it must be. */
static inline struct disk_file *object_find(struct disk_ground *t, const struct object *o)
{
	struct hdrs *fields = NEW(struct hdrs);
	struct index_ask ask = object_ask(o, fields);
	struct disk_file *f = NULL;

	if (disk_find_now(t->disk, &ask, &f, NULL) == DISK_COLD) {
		assert_int_equal(disk_find_start(t->disk, &ask, t->g.loop, on_object_found, t), 0);
		ground_run(&t->g);
		f = t->found;
		t->found = NULL;
	}
	free(fields);
	return f;
}

static inline struct disk_file *object_find_by_worker(struct disk_ground *t, const struct object *o)
{
	struct hdrs *fields = NEW(struct hdrs);
	struct index_ask ask = object_ask(o, fields);
	struct disk_file *f;

	assert_int_equal(disk_find_start(t->disk, &ask, t->g.loop, on_object_found, t), 0);
	free(fields); /* they have been copied */
	ground_run(&t->g);
	f = t->found;
	t->found = NULL;
	return f;
}

/* -1: what could be read is not what it should be (never!); 0: it could not be read; 1: all is well. */
static inline int file_is(struct disk_file *f, const struct object *o)
{
	size_t room = 2 * DISK_CHUNK_BYTES, n = 1;
	char *body = object_body(o), *to = mem_alloc(room);
	uint64_t pos = 0;
	int result = 1;

	if (disk_file_length(f) != o->bytes)
		result = -1;
	while (result == 1 && n) {
		enum disk_read got = disk_file_read_now(f, pos, to, room, &n);

		if (got == DISK_READ_COLD)
			got = disk_file_read(f, pos, to, room, &n);
		if (got == DISK_READ_BAD)
			result = 0;
		else if (pos + n > o->bytes || memcmp(to, body + pos, n) != 0)
			result = -1;
		pos += n;
	}
	if (result == 1 && pos != o->bytes)
		result = -1;
	free(body);
	free(to);
	return result;
}

/* Is it there, whole and right? Fails the test when something wrong is served. */
static inline bool object_is_there(struct disk_ground *t, const struct object *o)
{
	struct disk_file *f = object_find(t, o);
	int is = f ? file_is(f, o) : 0;

	assert_int_not_equal(is, -1);
	disk_file_unref(&f);
	return is == 1;
}

/* The only file below objects/, or NULL. */
static inline char *disk_ground_only_file(struct disk_ground *t)
{
	char command[200], *line = mem_zalloc(300);
	FILE *f;

	snprintf(command, sizeof(command), "find %s/objects -type f", t->path);
	f = popen(command, "r");
	assert_non_null(f);
	if (!fgets(line, 300, f)) {
		free(line);
		line = NULL;
	} else {
		line[strcspn(line, "\n")] = 0;
	}
	pclose(f);
	return line;
}

static inline void flip_byte(const char *path, uint64_t at)
{
	int fd = open(path, O_RDWR);
	uint8_t b;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &b, 1, (off_t)at), 1);
	b ^= 0x10;
	assert_int_equal(pwrite(fd, &b, 1, (off_t)at), 1);
	close(fd);
}

#endif
