/* pmcachectl warm: fetches through the cache all that a lock file names, and checks it. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/base/mem.h"
#include "node/ctl/ctl.h"
#include "node/ctl/ctl_get.h"
#include "node/ctl/ctl_json.h"
#include "node/ctl/ctl_lock.h"
#include "node/ctl/ctl_setup.h"
#include "node/ctl/ctl_table.h"

#define JOBS 8
#define MOST_JOBS 64
#define SAID_MOST 10 /* failures that people see */

struct outcome {
	struct ctl_got got;
	bool checked; /* against the lock file */
};

struct warm {
	struct ctl_lock lock;
	struct ctl_settings proxy;
	bool tty;
	pthread_mutex_t mutex; /* of what follows */
	size_t next, done, hits, failed, unchecked;
	uint64_t bytes;
	struct outcome *outcomes; /* each is its job's until `done` counts it */
};

/* ---- one ---- */

static void on_body(void *cookie, struct span piece)
{
	if (cookie)
		hash_add(cookie, piece.p, piece.n);
}

static void fetch(const struct warm *w, const struct ctl_lock_item *item, struct outcome *o)
{
	struct ctl_get_ask ask = {.host = w->proxy.proxy_host,
				  .port = w->proxy.proxy_port,
				  .url = item->url,
				  .integrity = item->integrity};
	struct span integrity = span_str(item->integrity);
	uint8_t digest[HASH_MAX_BYTES];
	enum hash_kind kind;
	struct hash *hash;

	o->checked = ctl_lock_strongest(integrity, &kind);
	hash = o->checked ? hash_new(kind) : NULL;
	ctl_get(&ask, NULL, on_body, hash, &o->got);
	if (!hash)
		return;
	hash_end(hash, digest);
	hash_free(hash);
	if (!*o->got.fault && !ctl_lock_fits(integrity, kind, digest))
		snprintf(o->got.fault, sizeof(o->got.fault), "not what the lock file says: its integrity does not fit");
}

/* ---- all ---- */

/* With the mutex. */
static void show_progress(const struct warm *w)
{
	char bytes[CTL_NUMBER_BYTES];

	fprintf(stderr, "\r\033[K%zu of %zu, %s, %zu from the cache, %zu failed", w->done, w->lock.n,
		ctl_format_bytes(w->bytes, bytes), w->hits, w->failed);
	fflush(stderr);
}

static void count(struct warm *w, const struct outcome *o)
{
	w->done++;
	w->bytes += o->got.bytes;
	w->hits += o->got.hit && !*o->got.fault;
	w->failed += *o->got.fault != '\0';
	w->unchecked += !o->checked && !*o->got.fault;
	if (w->tty)
		show_progress(w);
}

static void *job(void *arg)
{
	struct warm *w = arg;

	pthread_mutex_lock(&w->mutex);
	while (w->next < w->lock.n) {
		size_t i = w->next++;

		pthread_mutex_unlock(&w->mutex);
		fetch(w, &w->lock.v[i], &w->outcomes[i]);
		pthread_mutex_lock(&w->mutex);
		count(w, &w->outcomes[i]);
	}
	pthread_mutex_unlock(&w->mutex);
	return NULL;
}

/* With one job at least, which is us. */
static void fetch_all(struct warm *w, unsigned jobs)
{
	pthread_t threads[MOST_JOBS];
	unsigned n = 0;

	while (n + 1 < jobs && n + 1 < w->lock.n && pthread_create(&threads[n], NULL, job, w) == 0)
		n++;
	job(w);
	while (n)
		pthread_join(threads[--n], NULL);
	if (w->tty)
		fputs("\r\033[K", stderr);
}

/* ---- what came of it ---- */

static void print_json(const struct warm *w)
{
	bool first = true;

	printf("{\"packages\":%zu,\"fetched\":%zu,\"from_cache\":%zu,\"unchecked\":%zu,\"left_out\":%zu,\"bytes\":%llu,\"failed\":[",
	       w->lock.n, w->done - w->failed, w->hits, w->unchecked, w->lock.left_out, (unsigned long long)w->bytes);
	for (size_t i = 0; i < w->lock.n; i++) {
		if (!*w->outcomes[i].got.fault)
			continue;
		fputs(first ? "{\"name\":" : ",{\"name\":", stdout);
		first = false;
		ctl_json_print(w->lock.v[i].name);
		fputs(",\"url\":", stdout);
		ctl_json_print(w->lock.v[i].url);
		printf(",\"status\":%d,\"why\":", w->outcomes[i].got.status);
		ctl_json_print(w->outcomes[i].got.fault);
		putchar('}');
	}
	puts("]}");
}

static void print(const struct warm *w)
{
	char bytes[CTL_NUMBER_BYTES];
	size_t said = 0;

	for (size_t i = 0; i < w->lock.n && said < SAID_MOST; i++)
		if (*w->outcomes[i].got.fault) {
			ctl_say("%s: %s", w->lock.v[i].url, w->outcomes[i].got.fault);
			said++;
		}
	if (w->failed > said)
		ctl_say("… and %zu more", w->failed - said);
	printf("%zu of %zu fetched, %s, %zu of them from the cache", w->done - w->failed, w->lock.n,
	       ctl_format_bytes(w->bytes, bytes), w->hits);
	if (w->unchecked)
		printf("; %zu have no integrity in the lock file", w->unchecked);
	if (w->lock.left_out)
		printf("; %zu have no URL to fetch (links, folders, git)", w->lock.left_out);
	putchar('\n');
}

/* ---- the command ---- */

static char *read_file(const char *path, size_t *n, const char **why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	ssize_t got = 1;
	char *text;

	*why = NULL;
	if (fd < 0 || fstat(fd, &st) < 0) {
		*why = strerror(errno);
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	if ((uint64_t)st.st_size > CTL_LOCK_MOST_BYTES) {
		*why = "it is too large";
		close(fd);
		return NULL;
	}
	text = mem_alloc((size_t)st.st_size + 1);
	for (*n = 0; *n < (size_t)st.st_size && got > 0; *n += got > 0 ? (size_t)got : 0)
		got = read(fd, text + *n, (size_t)st.st_size - *n);
	close(fd);
	if (got >= 0)
		return text;
	*why = strerror(errno);
	free(text);
	return NULL;
}

static bool read_lock(const char *path, struct ctl_lock *lock)
{
	const char *why;
	size_t n;
	char *text = read_file(path, &n, &why);
	bool good = text && ctl_lock_parse(span_of(text, n), lock, &why);

	if (!good)
		ctl_say("%s: %s", path, why);
	free(text);
	return good;
}

static int warm(const struct ctl *c, const char *host, const char *path, unsigned jobs)
{
	struct warm w = {.tty = isatty(STDERR_FILENO) && !c->json};
	int code = ctl_setup_proxy(c, host, &w.proxy);

	if (code != CTL_OK)
		return code;
	if (!read_lock(path, &w.lock))
		return CTL_FAILED;
	pthread_mutex_init(&w.mutex, NULL);
	w.outcomes = mem_zalloc((w.lock.n + 1) * sizeof(*w.outcomes));
	fetch_all(&w, jobs);
	if (c->json)
		print_json(&w);
	else
		print(&w);
	code = w.failed ? CTL_FAILED : CTL_OK;
	pthread_mutex_destroy(&w.mutex);
	free(w.outcomes);
	ctl_lock_free(&w.lock);
	return ctl_finish() == CTL_OK ? code : CTL_FAILED;
}

static bool read_jobs(const char *text, unsigned *out)
{
	uint64_t n;

	if (!text)
		return true;
	if (span_to_u64(span_str(text), &n) < 0 || n < 1 || n > MOST_JOBS)
		return false;
	*out = (unsigned)n;
	return true;
}

struct wish {
	const char *path, *jobs, *host;
};

static int take(void *wish, struct ctl_args *a)
{
	struct wish *w = wish;
	int taken = ctl_option(a, "--jobs", &w->jobs);

	if (!taken)
		taken = ctl_option(a, "--host", &w->host);
	return taken ? taken : ctl_operand(a, &w->path);
}

int ctl_warm(struct ctl *c, struct ctl_args *a)
{
	struct wish w = {0};
	unsigned jobs = JOBS;
	int code = ctl_read_words(c, a, "warm", take, &w);

	if (code != CTL_OK)
		return code;
	if (!w.path || !read_jobs(w.jobs, &jobs)) {
		ctl_say(w.path ? "--jobs wants a number from 1 to 64" : "warm needs a lock file: package-lock.json");
		return CTL_USAGE;
	}
	code = ctl_load(c);
	return code == CTL_OK ? warm(c, w.host, w.path, jobs) : code;
}
