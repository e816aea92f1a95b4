#include "parent/parent_children.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/base/check.h"
#include "node/base/durable.h"
#include "node/base/hash.h"
#include "node/base/mem.h"

#define PARENT_CHILDREN_MAGIC 0x9a4ec41d

#define HEARD_FOR (60 * DUR_SECOND)
#define HASH_BYTES 8 /* of the first line: enough to see that something has changed */
#define FIRST_LINE "# pmcache members 1 "

struct known {
	struct child child;
	bool fixed;
	wall_ms heard;
};

struct parent_children {
	unsigned magic;
	pthread_mutex_t lock;
	char *path;      /* NULL: not kept */
	struct known *v; /* by name */
	size_t n, room;
	uint8_t saved[HASH_BYTES]; /* of what is in the file */
};

/* ---- the list, in order of names ---- */

/* Where it is, or where it would stand. */
static size_t place_of(const struct parent_children *pc, const char *name, bool *found)
{
	size_t low = 0, high = pc->n;

	*found = false;
	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = strcmp(pc->v[middle].child.name, name);

		if (order == 0) {
			*found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_heard(const struct known *k, wall_ms now)
{
	/* A clock that was set back makes nobody immortal. */
	return k->fixed || (now - k->heard < HEARD_FOR && k->heard - now < HEARD_FOR);
}

static void forget_silent(struct parent_children *pc, wall_ms now)
{
	size_t kept = 0;

	for (size_t i = 0; i < pc->n; i++)
		if (is_heard(&pc->v[i], now))
			pc->v[kept++] = pc->v[i];
	pc->n = kept;
}

static void put_in(struct parent_children *pc, const struct child *c, bool fixed, wall_ms now)
{
	bool found;
	size_t at = place_of(pc, c->name, &found);

	if (found) {
		if (fixed || !pc->v[at].fixed)
			pc->v[at] = (struct known){.child = *c, .fixed = fixed, .heard = now};
		return;
	}
	if (pc->n == PARENT_CHILDREN_MOST) {
		forget_silent(pc, now);
		at = place_of(pc, c->name, &found);
	}
	if (pc->n == PARENT_CHILDREN_MOST)
		return;
	if (pc->n == pc->room) {
		pc->room = pc->room ? 2 * pc->room : 16;
		pc->v = mem_realloc(pc->v, pc->room * sizeof(*pc->v));
	}
	memmove(&pc->v[at + 1], &pc->v[at], (pc->n - at) * sizeof(*pc->v));
	pc->v[at] = (struct known){.child = *c, .fixed = fixed, .heard = now};
	pc->n++;
}

/* ---- the text ---- */

static void format_lines(const struct parent_children *pc, struct buf *b, wall_ms now)
{
	char text[ADDR_TEXT_BYTES];

	for (size_t i = 0; i < pc->n; i++) {
		const struct child *c = &pc->v[i].child;

		if (is_heard(&pc->v[i], now) && addr_port(&c->addr))
			buf_printf(b, "%s %s %s\n", c->name, nodecert_role_word(c->role), addr_format(&c->addr, text));
	}
}

static void format(const struct parent_children *pc, struct buf *b, uint8_t hash[HASH_BYTES], wall_ms now)
{
	char *room = mem_alloc(PARENT_CHILDREN_BYTES);
	struct buf lines = buf_over(room, PARENT_CHILDREN_BYTES);
	uint8_t sum[SHA256_BYTES];

	format_lines(pc, &lines, now);
	sha256_of(buf_span(&lines), sum);
	memcpy(hash, sum, HASH_BYTES);
	buf_put_str(b, FIRST_LINE);
	buf_put_hex(b, hash, HASH_BYTES);
	buf_putc(b, '\n');
	buf_put(b, buf_span(&lines));
	free(room);
}

static bool read_line(struct span line, struct child *out)
{
	struct span name, role;

	memset(out, 0, sizeof(*out));
	if (!span_cut(&line, ' ', &name) || !span_cut(&line, ' ', &role))
		return false;
	if (!nodecert_name_is_good(name) || nodecert_role(role, &out->role) || out->role == NODE_ADMIN)
		return false;
	memcpy(out->name, name.p, name.n);
	return addr_parse(line, &out->addr) == 0 && addr_port(&out->addr);
}

long parent_children_parse(struct span text, struct child *out, size_t most)
{
	struct span line;
	size_t n = 0;

	if (!span_starts(text, SPAN(FIRST_LINE)))
		return -1;
	span_cut(&text, '\n', &line);
	while (n < most && span_cut(&text, '\n', &line))
		n += read_line(line, &out[n]);
	return (long)n;
}

/* ---- the file ---- */

char *parent_children_read(const char *path, size_t *n)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text;
	ssize_t got = 1;

	if (fd < 0)
		return NULL;
	text = mem_alloc(PARENT_CHILDREN_BYTES);
	*n = 0;
	while (*n < PARENT_CHILDREN_BYTES && got > 0) {
		got = read(fd, text + *n, PARENT_CHILDREN_BYTES - *n);
		if (got > 0)
			*n += (size_t)got;
		else if (got < 0 && errno == EINTR)
			got = 1;
	}
	close(fd);
	return text;
}

bool parent_children_write(const char *path, struct span text)
{
	char temporary[4096];
	bool good;
	int fd;

	if ((size_t)snprintf(temporary, sizeof(temporary), "%s.new", path) >= sizeof(temporary))
		return false;
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return false;
	good = durable_write(fd, text) && fsync(fd) == 0;
	good = close(fd) == 0 && good;
	if (good && rename(temporary, path) == 0)
		return true;
	unlink(temporary);
	return false;
}

static void load(struct parent_children *pc, wall_ms now)
{
	struct child *v;
	size_t bytes;
	char *text = parent_children_read(pc->path, &bytes);
	long n;

	if (!text)
		return;
	v = mem_alloc(PARENT_CHILDREN_MOST * sizeof(*v));
	n = parent_children_parse(span_of(text, bytes), v, PARENT_CHILDREN_MOST);
	for (long i = 0; i < n; i++)
		put_in(pc, &v[i], false, now);
	free(v);
	free(text);
}

/* ---- for others ---- */

struct parent_children *parent_children_new(const char *path, wall_ms now)
{
	struct parent_children *pc = NEW(struct parent_children);

	pc->magic = PARENT_CHILDREN_MAGIC;
	pthread_mutex_init(&pc->lock, NULL);
	if (path) {
		pc->path = span_dup(span_str(path));
		load(pc, now);
	}
	return pc;
}

void parent_children_free(struct parent_children *pc)
{
	if (!pc)
		return;
	CHECK(pc, PARENT_CHILDREN_MAGIC);
	pthread_mutex_destroy(&pc->lock);
	free(pc->path);
	free(pc->v);
	pc->magic = 0;
	free(pc);
}

void parent_children_fixed(struct parent_children *pc, const struct child *v, size_t n)
{
	size_t kept = 0;

	CHECK(pc, PARENT_CHILDREN_MAGIC);
	pthread_mutex_lock(&pc->lock);
	for (size_t i = 0; i < pc->n; i++)
		if (!pc->v[i].fixed)
			pc->v[kept++] = pc->v[i];
	pc->n = kept;
	for (size_t i = 0; i < n; i++)
		put_in(pc, &v[i], true, 0);
	pthread_mutex_unlock(&pc->lock);
}

void parent_children_heard(struct parent_children *pc, const struct child *c, wall_ms now)
{
	CHECK(pc, PARENT_CHILDREN_MAGIC);
	if (c->role == NODE_ADMIN || !addr_port(&c->addr))
		return;
	pthread_mutex_lock(&pc->lock);
	put_in(pc, c, false, now);
	pthread_mutex_unlock(&pc->lock);
}

void parent_children_format(struct parent_children *pc, struct buf *b, wall_ms now)
{
	uint8_t hash[HASH_BYTES];

	CHECK(pc, PARENT_CHILDREN_MAGIC);
	pthread_mutex_lock(&pc->lock);
	format(pc, b, hash, now);
	pthread_mutex_unlock(&pc->lock);
}

void parent_children_save(struct parent_children *pc, wall_ms now)
{
	uint8_t hash[HASH_BYTES];
	struct buf b;
	bool changed;

	CHECK(pc, PARENT_CHILDREN_MAGIC);
	if (!pc->path)
		return;
	b = buf_over(mem_alloc(PARENT_CHILDREN_BYTES), PARENT_CHILDREN_BYTES);
	pthread_mutex_lock(&pc->lock);
	forget_silent(pc, now);
	format(pc, &b, hash, now);
	changed = memcmp(hash, pc->saved, HASH_BYTES) != 0;
	pthread_mutex_unlock(&pc->lock);
	if (changed && parent_children_write(pc->path, buf_span(&b))) {
		pthread_mutex_lock(&pc->lock);
		memcpy(pc->saved, hash, HASH_BYTES);
		pthread_mutex_unlock(&pc->lock);
	}
	free(b.p);
}
