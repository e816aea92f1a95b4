#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/base/durable.h"
#include "node/base/mem.h"

#define BYTES ((size_t)300 * 1024) /* more than a pipe holds */

static void *reader(void *arg)
{
	size_t *total = arg, got;
	int fd = (int)*total;
	char piece[4096];

	for (*total = 0; (got = (size_t)read(fd, piece, sizeof(piece))) > 0; *total += got)
		for (size_t i = 0; i < got; i++)
			if (piece[i] != 'x')
				return arg; /* wrong */
	return NULL;
}

/* Bytes that no one call can take. */
static void all_of_it_is_written(void **state)
{
	char *bytes = mem_alloc(BYTES);
	size_t total;
	pthread_t thread;
	void *wrong;
	int fd[2];

	(void)state;
	memset(bytes, 'x', BYTES);
	assert_int_equal(pipe(fd), 0);
	total = (size_t)fd[0];
	assert_int_equal(pthread_create(&thread, NULL, reader, &total), 0);
	assert_true(durable_write(fd[1], span_of(bytes, BYTES)));
	close(fd[1]);
	pthread_join(thread, &wrong);
	assert_null(wrong);
	assert_int_equal(total, BYTES);
	close(fd[0]);
	free(bytes);
}

static void what_cannot_be_written_is_told(void **state)
{
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	(void)state;
	assert_true(durable_write(fd, SPAN_NONE));
	assert_false(durable_write(fd, SPAN("x")));
	assert_int_equal(errno, ENOSPC);
	close(fd);
}

static void the_folder_of_a_path(void **state)
{
	(void)state;
	assert_true(durable_sync_folder("/tmp/not-there"));
	assert_true(durable_sync_folder("not-there"));
	assert_true(durable_sync_folder("/not-there"));
	assert_false(durable_sync_folder("/not-there/x"));
	assert_int_equal(errno, ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_of_it_is_written),
		cmocka_unit_test(what_cannot_be_written_is_told),
		cmocka_unit_test(the_folder_of_a_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
