#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "node/base/mem.h"
#include "node/ctl/ctl.h"
#include "node/ctl/ctl_control.h"

/* A daemon of one answer. */
struct daemon {
	char dir[300], path[400];
	int listener;
	const char *answer;
	size_t answer_n, pieces; /* sent in so many bytes at a time */
	char heard[400];
	pthread_t thread;
};

static void *serve(void *cookie)
{
	struct daemon *d = cookie;
	int fd = accept(d->listener, NULL, NULL);
	size_t n = 0;

	while (n < sizeof(d->heard) - 1 && !memchr(d->heard, '\n', n)) {
		ssize_t got = read(fd, d->heard + n, sizeof(d->heard) - 1 - n);

		if (got <= 0)
			break;
		n += (size_t)got;
	}
	for (size_t at = 0; at < d->answer_n; at += d->pieces) {
		size_t left = d->answer_n - at;

		send(fd, d->answer + at, left < d->pieces ? left : d->pieces, MSG_NOSIGNAL);
	}
	close(fd);
	return NULL;
}

static void start(struct daemon *d, const char *answer, size_t n, size_t pieces)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "control.sock"};
	char *here = getcwd(NULL, 0);

	d->answer = answer;
	d->answer_n = n;
	d->pieces = pieces;
	d->listener = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(chdir(d->dir), 0); /* the path may be too long for an address */
	assert_int_equal(bind(d->listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(chdir(here), 0);
	assert_int_equal(listen(d->listener, 1), 0);
	assert_int_equal(pthread_create(&d->thread, NULL, serve, d), 0);
	free(here);
}

static void stop(struct daemon *d)
{
	pthread_join(d->thread, NULL);
	close(d->listener);
	unlink(d->path);
}

static int make_dir(void **state)
{
	struct daemon *d = NEW(struct daemon);

	strcpy(d->dir, "/tmp/test_ctl_control.XXXXXX");
	assert_non_null(mkdtemp(d->dir));
	snprintf(d->path, sizeof(d->path), "%s/control.sock", d->dir);
	*state = d;
	return 0;
}

static int drop_dir(void **state)
{
	struct daemon *d = *state;

	rmdir(d->dir);
	free(d);
	return 0;
}

static int ask(struct daemon *d, const char *answer, size_t n, size_t pieces, char **payload)
{
	int code;

	memset(d->heard, 0, sizeof(d->heard));
	start(d, answer, n, pieces);
	code = ctl_control_ask(d->path, "purge https://a.test/b", payload);
	stop(d);
	assert_string_equal(d->heard, "purge https://a.test/b\n");
	return code;
}

static void answers(void **state)
{
	static const struct {
		const char *answer;
		int code;
		const char *payload;
	} rows[] = {
		{"ok\n{\"purged\":1}\n", CTL_OK, "{\"purged\":1}\n"},
		{"ok\n", CTL_OK, ""},
		{"error no such thing\n", CTL_FAILED, NULL},
		{"error ", CTL_FAILED, NULL},
		{"ok", CTL_FAILED, NULL},
		{"", CTL_FAILED, NULL},
		{"HTTP/1.1 400 Bad Request\r\n", CTL_FAILED, NULL},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t pieces = 1; pieces < 100; pieces += 49) {
			char *payload = NULL;

			assert_int_equal(ask(*state, rows[i].answer, strlen(rows[i].answer), pieces, &payload),
					 rows[i].code);
			if (rows[i].payload)
				assert_string_equal(payload, rows[i].payload);
			else
				assert_null(payload);
			free(payload);
		}
	}
}

static void a_large_answer(void **state)
{
	size_t n = 200000;
	char *big = mem_alloc(n), *payload = NULL;

	memset(big, 'x', n);
	memcpy(big, "ok\n", 3);
	assert_int_equal(ask(*state, big, n, 70000, &payload), CTL_OK);
	assert_int_equal(strlen(payload), n - 3);
	free(payload);
	free(big);
}

static void an_endless_answer_is_cut(void **state)
{
	size_t n = 70 << 20;
	char *big = mem_alloc(n), *payload = NULL;

	memset(big, 'x', n);
	memcpy(big, "ok\n", 3);
	assert_int_equal(ask(*state, big, n, 1 << 20, &payload), CTL_FAILED);
	assert_null(payload);
	free(big);
}

static void nobody_there(void **state)
{
	struct daemon *d = *state;
	char *payload = NULL;

	assert_int_equal(ctl_control_ask(d->path, "stats", &payload), CTL_NO_DAEMON);
	start(d, "", 0, 1);
	pthread_cancel(d->thread);
	pthread_join(d->thread, NULL);
	close(d->listener); /* the file stays behind, as after kill -9 */
	assert_int_equal(ctl_control_ask(d->path, "stats", &payload), CTL_NO_DAEMON);
	unlink(d->path);
	assert_null(payload);
}

static void a_path_longer_than_an_address(void **state)
{
	struct daemon *d = *state;
	char short_dir[300], *payload = NULL;

	strcpy(short_dir, d->dir);
	snprintf(d->dir + strlen(d->dir), 200, "/%0150d", 7);
	assert_int_equal(mkdir(d->dir, 0700), 0);
	snprintf(d->path, sizeof(d->path), "%s/control.sock", d->dir);
	assert_int_equal(ask(d, "ok\nx", 4, 4, &payload), CTL_OK);
	assert_string_equal(payload, "x");
	free(payload);
	rmdir(d->dir);
	strcpy(d->dir, short_dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(answers, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(a_large_answer, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(an_endless_answer_is_cut, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(nobody_there, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(a_path_longer_than_an_address, make_dir, drop_dir),
	};

	return cmocka_run_group_tests_name("ctl_control", tests, NULL, NULL);
}
