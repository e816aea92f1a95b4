#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "node/base/mem.h"
#include "node/base/sink.h"

struct place {
	char dir[64], log[96];
};

static int make_place(void **state)
{
	struct place *p = NEW(struct place);

	strcpy(p->dir, "/tmp/test_sink.XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->log, sizeof(p->log), "%s/a.log", p->dir);
	*state = p;
	return 0;
}

static int drop_place(void **state)
{
	struct place *p = *state;
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", p->dir);
	assert_int_equal(system(command), 0);
	free(p);
	return 0;
}

/* The whole file, NUL-ended; NULL when there is none. */
static char *slurp(const char *path)
{
	FILE *f = fopen(path, "r");
	size_t n = 0, cap = 4096;
	char *p;

	if (!f)
		return NULL;
	p = mem_alloc(cap);
	for (size_t got; (got = fread(p + n, 1, cap - n - 1, f)) > 0;) {
		n += got;
		if (cap - n < 2)
			p = mem_realloc(p, cap *= 2);
	}
	p[n] = '\0';
	fclose(f);
	return p;
}

static void expect_file(const char *path, const char *want)
{
	char *have = slurp(path);

	if (!want) {
		assert_null(have);
		return;
	}
	assert_non_null(have);
	assert_string_equal(have, want);
	free(have);
}

static void lines_arrive_in_order(void **state)
{
	struct place *p = *state;
	struct sink *s = sink_open(p->log);
	struct stat st;

	assert_non_null(s);
	sink_put(s, SPAN("one"));
	sink_put(s, SPAN(""));
	sink_put(s, SPAN("three"));
	sink_drain(s);
	expect_file(p->log, "one\n\nthree\n");
	sink_put(s, SPAN("four"));
	sink_close(&s);
	assert_null(s);
	sink_close(&s);
	expect_file(p->log, "one\n\nthree\nfour\n");
	assert_int_equal(stat(p->log, &st), 0);
	assert_int_equal(st.st_mode & 0137u, 0);
}

static void a_file_goes_on_where_it_ended(void **state)
{
	struct place *p = *state;

	for (int i = 0; i < 2; i++) {
		struct sink *s = sink_open(p->log);

		sink_put(s, SPAN("x"));
		sink_close(&s);
	}
	expect_file(p->log, "x\nx\n");
}

static void a_path_that_cannot_be_opened(void **state)
{
	(void)state;
	assert_null(sink_open("/nonexistent/a.log"));
	assert_int_equal(errno, ENOENT);
}

static void rotation_keeps_so_many(void **state)
{
	struct place *p = *state;
	struct sink *s = sink_open(p->log);
	char old[128];

	for (char c = 'a'; c <= 'e'; c++) {
		sink_put(s, span_of(&c, 1));
		sink_reopen(s, 2, NULL, NULL);
	}
	sink_put(s, SPAN("f"));
	sink_drain(s);
	expect_file(p->log, "f\n");
	snprintf(old, sizeof(old), "%s.0", p->log);
	expect_file(old, "e\n");
	snprintf(old, sizeof(old), "%s.1", p->log);
	expect_file(old, "d\n");
	snprintf(old, sizeof(old), "%s.2", p->log);
	expect_file(old, NULL);
	sink_close(&s);
}

static void reopen_after_another_has_moved_the_file(void **state)
{
	struct place *p = *state;
	struct sink *s = sink_open(p->log);
	char moved[128];

	snprintf(moved, sizeof(moved), "%s.moved", p->log);
	sink_put(s, SPAN("before"));
	sink_drain(s);
	assert_int_equal(rename(p->log, moved), 0);
	sink_put(s, SPAN("still before"));
	sink_reopen(s, 0, NULL, NULL);
	sink_put(s, SPAN("after"));
	sink_close(&s);
	expect_file(moved, "before\nstill before\n");
	expect_file(p->log, "after\n");
}

struct told {
	sem_t done;
	int error;
};

static void on_reopened(void *cookie, int error)
{
	struct told *t = cookie;

	t->error = error;
	sem_post(&t->done);
}

static int reopen_and_hear(struct sink *s, unsigned keep)
{
	struct told t = {.error = -1};

	sem_init(&t.done, 0, 0);
	sink_reopen(s, keep, on_reopened, &t);
	while (sem_wait(&t.done) != 0)
		;
	sem_destroy(&t.done);
	return t.error;
}

static void who_asks_is_told_what_came_of_it(void **state)
{
	struct place *p = *state;
	struct sink *s = sink_open(p->log);
	char old[128];

	snprintf(old, sizeof(old), "%s.0", p->log);
	assert_int_equal(reopen_and_hear(s, 0), 0);
	assert_int_equal(reopen_and_hear(s, 3), 0); /* a gap: there is no .0 yet */
	assert_int_equal(unlink(old), 0);
	assert_int_equal(mkdir(old, 0700), 0); /* in the way */
	assert_int_equal(reopen_and_hear(s, 1), EISDIR);
	sink_put(s, SPAN("a"));
	sink_close(&s);
	expect_file(p->log, "a\n");
	assert_int_equal(rmdir(old), 0);
}

static void a_reopening_that_fails_loses_nothing(void **state)
{
	struct place *p = *state;
	struct sink *s = sink_open(p->log);
	char moved[128];

	snprintf(moved, sizeof(moved), "%s.moved", p->log);
	sink_put(s, SPAN("a"));
	sink_drain(s);
	assert_int_equal(rename(p->log, moved), 0);
	assert_int_equal(mkdir(p->log, 0700), 0); /* in the way */
	assert_int_equal(reopen_and_hear(s, 0), EISDIR);
	sink_put(s, SPAN("b"));
	sink_close(&s);
	expect_file(moved, "a\nb\n");
}

static void a_line_larger_than_a_block(void **state)
{
	struct place *p = *state;
	struct sink *s = sink_open(p->log);
	size_t n = 300000;
	char *big = mem_alloc(n + 2);

	memset(big, 'x', n);
	sink_put(s, SPAN("small"));
	sink_put(s, span_of(big, n));
	sink_close(&s);
	big[n] = '\n';
	big[n + 1] = '\0';
	{
		char *have = slurp(p->log);

		assert_non_null(have);
		assert_memory_equal(have, "small\n", 6);
		assert_string_equal(have + 6, big);
		free(have);
	}
	free(big);
}

#define THREADS 4
#define LINES 5000

struct putter {
	struct sink *s;
	char name;
};

static void *put_many(void *cookie)
{
	struct putter *w = cookie;
	char line[32];

	for (int i = 0; i < LINES; i++) {
		int n = snprintf(line, sizeof(line), "%c %d", w->name, i);

		sink_put(w->s, span_of(line, (size_t)n));
		if (i % 1000 == 999)
			sink_reopen(w->s, 0, NULL, NULL);
	}
	sink_drain(w->s);
	return NULL;
}

/* Each thread's lines are there, whole and in its order. */
static void many_threads(void **state)
{
	struct place *p = *state;
	struct sink *s = sink_open(p->log);
	struct putter w[THREADS];
	pthread_t t[THREADS];
	int next[THREADS] = {0}, total = 0;
	char *all, *line, *save = NULL;

	for (int i = 0; i < THREADS; i++) {
		w[i] = (struct putter){s, (char)('a' + i)};
		assert_int_equal(pthread_create(&t[i], NULL, put_many, &w[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(sink_dropped(s), 0);
	sink_close(&s);
	all = slurp(p->log);
	for (line = strtok_r(all, "\n", &save); line; line = strtok_r(NULL, "\n", &save), total++) {
		int who = line[0] - 'a';

		assert_in_range(who, 0, THREADS - 1);
		assert_int_equal(atoi(line + 2), next[who]);
		next[who]++;
	}
	free(all);
	assert_int_equal(total, THREADS * LINES);
}

/* Reads the pipe to its end; counts lines and what the notices say. */
struct reader {
	int fd;
	uint64_t lines, told;
};

static void *read_all(void *cookie)
{
	struct reader *r = cookie;
	FILE *f = fdopen(r->fd, "r");
	char *line = NULL;
	size_t cap = 0;
	unsigned long n;

	while (getline(&line, &cap, f) > 0) {
		if (sscanf(line, "# %lu lines dropped", &n) == 1)
			r->told += n;
		else
			r->lines++;
	}
	free(line);
	fclose(f);
	return NULL;
}

static void a_reader_that_is_too_slow(void **state)
{
	char line[1000];
	uint64_t put = 6000, dropped;
	struct reader r = {0};
	struct sink *s;
	pthread_t t;
	int fd[2];

	(void)state;
	assert_int_equal(pipe(fd), 0);
	assert_int_equal(fcntl(fd[1], F_SETFL, O_NONBLOCK), 0); /* EAGAIN is waited out, not taken for an error */
	s = sink_open_fd(fd[1]);
	memset(line, 'x', sizeof(line));
	for (uint64_t i = 0; i < put; i++) /* 6 MB; nobody reads */
		sink_put(s, span_of(line, sizeof(line)));
	dropped = sink_dropped(s);
	assert_in_range(dropped, put - (4u << 20) / 1001 - 66 - 1, put - (4u << 20) / 1001);
	r.fd = fd[0];
	assert_int_equal(pthread_create(&t, NULL, read_all, &r), 0);
	sink_drain(s);
	sink_put(s, SPAN("room again"));
	sink_close(&s);
	close(fd[1]); /* it was borrowed */
	pthread_join(t, NULL);
	assert_int_equal(r.lines, put - dropped + 1);
	assert_int_equal(r.told, dropped);
}

static void a_full_disk_is_counted(void **state)
{
	struct sink *s = sink_open("/dev/full");

	(void)state;
	if (!s)
		skip();
	sink_put(s, SPAN("a"));
	sink_put(s, SPAN("b"));
	sink_drain(s);
	assert_int_equal(sink_dropped(s), 2);
	sink_put(s, SPAN("c"));
	sink_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lines_arrive_in_order, make_place, drop_place),
		cmocka_unit_test_setup_teardown(a_file_goes_on_where_it_ended, make_place, drop_place),
		cmocka_unit_test(a_path_that_cannot_be_opened),
		cmocka_unit_test_setup_teardown(rotation_keeps_so_many, make_place, drop_place),
		cmocka_unit_test_setup_teardown(reopen_after_another_has_moved_the_file, make_place, drop_place),
		cmocka_unit_test_setup_teardown(who_asks_is_told_what_came_of_it, make_place, drop_place),
		cmocka_unit_test_setup_teardown(a_reopening_that_fails_loses_nothing, make_place, drop_place),
		cmocka_unit_test_setup_teardown(a_line_larger_than_a_block, make_place, drop_place),
		cmocka_unit_test_setup_teardown(many_threads, make_place, drop_place),
		cmocka_unit_test(a_reader_that_is_too_slow),
		cmocka_unit_test(a_full_disk_is_counted),
	};

	return cmocka_run_group_tests_name("sink", tests, NULL, NULL);
}
