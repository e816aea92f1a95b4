#include "node/base/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "node/base/check.h"
#include "node/base/mem.h"

#define SINK_MAGIC 0x51c7a901u
#define BLOCK_BYTES (64u * 1024)
#define LIMIT_BYTES (4u * 1024 * 1024)
/* After a batch the thread rests this long, so that a busy node pays one wake-up per batch and not one per line; a line
 * after a quiet time is written at once. */
#define REST_MS 50
#define HURRY_BYTES (LIMIT_BYTES / 4) /* as many waiting lines end the rest */

/* Lines in the order in which they were put, and what is to be done behind them. */
struct block {
	struct block *next;
	size_t n, cap;
	uint64_t items; /* lines and reopenings */
	bool reopen;    /* behind these bytes; nothing is added to the block any more */
	unsigned keep;
	sink_reopened_f *on_reopened; /* NULL: nobody wants to know */
	void *cookie;
	char bytes[];
};

struct sink {
	unsigned magic;
	char *path; /* NULL: the descriptor is somebody else's */
	pthread_t thread;

	pthread_mutex_t lock; /* held for pointer work and the copy of a line alone; guards what follows */
	pthread_cond_t work;  /* the thread waits here */
	pthread_cond_t done;  /* sink_drain waits here */
	struct block *first, *last;
	size_t bytes; /* put and not yet written, those being written included */
	uint64_t items_put, items_done;
	uint64_t unsaid; /* lines dropped that no line has told of */
	bool asleep;     /* the thread waits for a first line */
	bool urgent;     /* it shall not rest */
	bool stop;

	_Atomic uint64_t dropped; /* read by any thread */

	int fd;    /* the thread's alone, from here on */
	bool torn; /* the last thing written ends in the middle of a line */
};

static int open_path(const char *path)
{
	return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
}

static bool wait_writable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	return poll(&p, 1, -1) >= 0 || errno == EINTR;
}

/* Bytes written; fewer than s.n when the file takes no more (disk full, reader gone). */
static size_t write_all(int fd, struct span s)
{
	size_t at = 0;

	while (at < s.n) {
		ssize_t n = write(fd, s.p + at, s.n - at);

		if (n >= 0)
			at += (size_t)n;
		else if (errno == EAGAIN && wait_writable(fd))
			continue;
		else if (errno != EINTR)
			break;
	}
	return at;
}

static uint64_t count_lines(struct span s)
{
	uint64_t n = 0;

	for (; s.n; n++) {
		size_t at = span_find(s, '\n');

		s = span_from(s, at + 1);
	}
	return n;
}

/* Writes a block; lines that did not get out are lost, and counted. */
static uint64_t write_block(struct sink *s, const struct block *b)
{
	struct span all = span_of(b->bytes, b->n);
	size_t n;

	if (!all.n || (s->torn && write_all(s->fd, SPAN("\n")) != 1))
		return count_lines(all);
	n = write_all(s->fd, all);
	s->torn = n && b->bytes[n - 1] != '\n';
	return count_lines(span_from(all, n));
}

/* 0 or an errno. */
static int rotate(const char *path, unsigned keep)
{
	size_t cap = strlen(path) + 16;
	char *from = mem_alloc(cap), *to = mem_alloc(cap);
	int error = 0;

	for (unsigned i = keep; i-- > 0;) {
		snprintf(to, cap, "%s.%u", path, i);
		if (i)
			snprintf(from, cap, "%s.%u", path, i - 1);
		if (rename(i ? from : path, to) < 0 && errno != ENOENT) /* a gap in the row is no fault */
			error = errno;
	}
	free(from);
	free(to);
	return error;
}

/* When the path cannot be opened, the old file goes on: better a line in file.0 than none. */
static int reopen(struct sink *s, unsigned keep)
{
	int fd, error = 0;

	if (!s->path)
		return 0;
	if (keep)
		error = rotate(s->path, keep);
	fd = open_path(s->path);
	if (fd < 0)
		return errno;
	close(s->fd);
	s->fd = fd;
	s->torn = false;
	return error;
}

static void reopen_as_told(struct sink *s, const struct block *b)
{
	int error = reopen(s, b->keep);

	if (b->on_reopened)
		b->on_reopened(b->cookie, error);
}

static void block_add(struct sink *s, size_t room)
{
	size_t cap = room > BLOCK_BYTES ? room : BLOCK_BYTES;
	struct block *b = mem_alloc(sizeof(*b) + cap);

	*b = (struct block){.cap = cap};
	if (s->last)
		s->last->next = b;
	else
		s->first = b;
	s->last = b;
}

/* Under the lock. */
static void append(struct sink *s, struct span line)
{
	struct block *b = s->last;

	if (!b || b->reopen || b->cap - b->n < line.n + 1) {
		block_add(s, line.n + 1);
		b = s->last;
	}
	if (line.n)
		memcpy(b->bytes + b->n, line.p, line.n);
	b->bytes[b->n + line.n] = '\n';
	b->n += line.n + 1;
	b->items++;
	s->bytes += line.n + 1;
	s->items_put++;
}

/* Under the lock. */
static void tell_dropped(struct sink *s)
{
	char text[96];
	struct buf b = buf_over(text, sizeof(text));

	if (!s->unsaid)
		return;
	buf_put(&b, SPAN("# "));
	buf_put_u64(&b, s->unsaid);
	buf_put(&b, SPAN(" lines dropped here: the file could not keep up"));
	append(s, buf_span(&b));
	s->unsaid = 0;
}

/* Under the lock; wakes the thread only when it sleeps for good, or `now`. */
static void wake(struct sink *s, bool now)
{
	if (now)
		s->urgent = true;
	if (s->asleep || now)
		pthread_cond_signal(&s->work);
	s->asleep = false;
}

static void rest(struct sink *s)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += REST_MS * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000L;
	}
	while (!s->urgent && !s->stop && s->bytes < HURRY_BYTES)
		if (pthread_cond_timedwait(&s->work, &s->lock, &until) == ETIMEDOUT)
			return;
}

/* Takes all that was put and writes it without the lock. */
static void write_batch(struct sink *s)
{
	struct block *list = s->first;
	uint64_t items = 0, lost = 0;
	size_t bytes = 0;

	s->first = s->last = NULL;
	s->urgent = false;
	pthread_mutex_unlock(&s->lock);
	while (list) {
		struct block *b = list;

		lost += write_block(s, b);
		if (b->reopen)
			reopen_as_told(s, b);
		items += b->items;
		bytes += b->n;
		list = b->next;
		free(b);
	}
	atomic_fetch_add_explicit(&s->dropped, lost, memory_order_relaxed);
	pthread_mutex_lock(&s->lock);
	s->bytes -= bytes;
	s->items_done += items;
	s->unsaid += lost;
	if (!lost) /* else a full disk would be told of itself for ever */
		tell_dropped(s);
	pthread_cond_broadcast(&s->done);
}

static void *run(void *cookie)
{
	struct sink *s = cookie;

	pthread_mutex_lock(&s->lock);
	while (s->first || !s->stop) {
		if (s->first) {
			write_batch(s);
			rest(s);
			continue;
		}
		s->asleep = true;
		while (s->asleep && !s->stop)
			pthread_cond_wait(&s->work, &s->lock);
		s->asleep = false;
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* Signals belong to the loops: the thread blocks them all. */
static int start_thread(struct sink *s)
{
	sigset_t all, was;
	int failed;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &was);
	failed = pthread_create(&s->thread, NULL, run, s);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	return failed;
}

static struct sink *sink_new(const char *path, int fd)
{
	struct sink *s = NEW(struct sink);
	pthread_condattr_t attr;
	int failed;

	s->magic = SINK_MAGIC;
	s->path = path ? span_dup(span_str(path)) : NULL;
	s->fd = fd;
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->work, &attr);
	pthread_cond_init(&s->done, NULL);
	pthread_condattr_destroy(&attr);
	failed = start_thread(s);
	if (!failed)
		return s;
	free(s->path);
	free(s);
	errno = failed;
	return NULL;
}

struct sink *sink_open(const char *path)
{
	struct sink *s;
	int fd;

	if (!path)
		return sink_open_fd(STDERR_FILENO);
	fd = open_path(path);
	if (fd < 0)
		return NULL;
	s = sink_new(path, fd);
	if (!s)
		close(fd);
	return s;
}

struct sink *sink_open_fd(int fd)
{
	return sink_new(NULL, fd);
}

void sink_put(struct sink *s, struct span line)
{
	CHECK(s, SINK_MAGIC);
	pthread_mutex_lock(&s->lock);
	if (s->bytes + line.n + 1 > LIMIT_BYTES) {
		s->unsaid++;
		atomic_fetch_add_explicit(&s->dropped, 1, memory_order_relaxed);
	} else {
		append(s, line);
		/* the second: once, when it is time to end a rest */
		wake(s, s->bytes >= HURRY_BYTES && s->bytes - line.n - 1 < HURRY_BYTES);
	}
	pthread_mutex_unlock(&s->lock);
}

void sink_reopen(struct sink *s, unsigned keep, sink_reopened_f *on_reopened, void *cookie)
{
	CHECK(s, SINK_MAGIC);
	pthread_mutex_lock(&s->lock);
	if (!s->last || s->last->reopen)
		block_add(s, 0);
	s->last->reopen = true;
	s->last->keep = keep;
	s->last->on_reopened = on_reopened;
	s->last->cookie = cookie;
	s->last->items++;
	s->items_put++;
	wake(s, true);
	pthread_mutex_unlock(&s->lock);
}

void sink_drain(struct sink *s)
{
	uint64_t until;

	CHECK(s, SINK_MAGIC);
	pthread_mutex_lock(&s->lock);
	until = s->items_put;
	while (s->items_done < until) {
		wake(s, true);
		pthread_cond_wait(&s->done, &s->lock);
	}
	pthread_mutex_unlock(&s->lock);
}

uint64_t sink_dropped(const struct sink *s)
{
	return atomic_load_explicit(&s->dropped, memory_order_relaxed);
}

void sink_close(struct sink **sink)
{
	struct sink *s = *sink;

	if (!s)
		return;
	CHECK(s, SINK_MAGIC);
	*sink = NULL;
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_signal(&s->work);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	if (s->path)
		close(s->fd);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->work);
	pthread_cond_destroy(&s->done);
	free(s->path);
	s->magic = 0;
	free(s);
}
