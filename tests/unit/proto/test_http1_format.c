#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "proto/http1_format.h"

static void assert_buf(const struct buf *b, const char *text)
{
	assert_false(b->full);
	assert_int_equal(b->n, strlen(text));
	assert_memory_equal(b->p, text, b->n);
}

static void test_request(void **state)
{
	char out[128];
	struct buf b = buf_over(out, sizeof(out));

	(void)state;
	http1_format_request_line(&b, SPAN("GET"), SPAN("/a?b"));
	http1_format_field(&b, SPAN("Host"), SPAN("a.test"));
	http1_format_field(&b, SPAN("X"), SPAN_NONE);
	http1_format_field(&b, SPAN("Y"), SPAN("caf\xc3\xa9\t1"));
	http1_format_end(&b);
	assert_buf(&b, "GET /a?b HTTP/1.1\r\nHost: a.test\r\nX: \r\nY: caf\xc3\xa9\t1\r\n\r\n");
}

static void test_status(void **state)
{
	static const struct {
		int status;
		const char *phrase, *line;
	} rows[] = {
		{200, "", "HTTP/1.1 200 OK\r\n"},
		{404, "", "HTTP/1.1 404 Not Found\r\n"},
		{404, "Gone Fishing", "HTTP/1.1 404 Gone Fishing\r\n"},
		{431, "", "HTTP/1.1 431 Request Header Fields Too Large\r\n"},
		{100, "", "HTTP/1.1 100 Continue\r\n"},
		{599, "", "HTTP/1.1 599 Unknown\r\n"},
	};
	char out[128];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct buf b = buf_over(out, sizeof(out));

		http1_format_status_line(&b, rows[i].status, span_str(rows[i].phrase));
		assert_buf(&b, rows[i].line);
	}
}

static void test_fields(void **state)
{
	static const char *const pairs[] = {"Server",
					    "a",
					    "Connection",
					    "keep-alive, x-hop",
					    "Date",
					    "d",
					    "X-Hop",
					    "h",
					    "content-type",
					    "t",
					    "Via",
					    "v",
					    "Keep-Alive",
					    "5",
					    "X-Own",
					    "o",
					    "Pmc-Hop",
					    "c 1 e",
					    "pmc-ONLY",
					    "1",
					    "Pm",
					    "p",
					    "Pmc",
					    "q",
					    NULL};
	struct hdrs h;
	char out[256];
	struct buf b = buf_over(out, sizeof(out));

	(void)state;
	h.n = 0;
	h.seen = 0;
	for (size_t i = 0; pairs[i]; i += 2)
		assert_int_equal(hdr_add(&h, span_str(pairs[i]), span_str(pairs[i + 1])), 0);
	http1_format_fields(&b, &h, 1ull << HDR_VIA | 1ull << HDR_AGE);
	assert_buf(&b, "Server: a\r\nDate: d\r\ncontent-type: t\r\nX-Own: o\r\nPm: p\r\nPmc: q\r\n");
}

/* Each piece is left out whole when there is one byte too little for it. */
static void test_full(void **state)
{
	char out[64];

	(void)state;
	for (size_t cap = 0; cap < 16; cap++) {
		struct buf b = buf_over(out, cap);

		http1_format_request_line(&b, SPAN("GET"), SPAN("/"));
		assert_int_equal(b.full, cap < 16);
		assert_int_equal(b.n, 0);
	}
	for (size_t cap = 0; cap <= 10; cap++) {
		struct buf b = buf_over(out, cap);

		http1_format_field(&b, SPAN("Name"), SPAN("ab"));
		assert_int_equal(b.full, cap < 10);
		assert_int_equal(b.n, cap < 10 ? 0 : 10);
	}
}

static void bad_target(struct buf *b)
{
	http1_format_request_line(b, SPAN("GET"), SPAN("/\r\nX: y"));
}

static void bad_method(struct buf *b)
{
	http1_format_request_line(b, SPAN("GET\n"), SPAN("/"));
}

static void bad_phrase(struct buf *b)
{
	http1_format_status_line(b, 200, SPAN("O\rK"));
}

static void bad_status(struct buf *b)
{
	http1_format_status_line(b, 99, SPAN(""));
}

static void bad_value(struct buf *b)
{
	http1_format_field(b, SPAN("X"), SPAN("a long enough value\nY: z"));
}

static void nul_value(struct buf *b)
{
	http1_format_field(b, SPAN("X"), SPAN("\x01y\0"));
}

static void bad_name(struct buf *b)
{
	http1_format_field(b, SPAN("X\r"), SPAN("y"));
}

static void no_name(struct buf *b)
{
	http1_format_field(b, SPAN(""), SPAN("y"));
}

/* What would split a line is a bug of ours, and stops the process. */
static void test_splits_abort(void **state)
{
	void (*const bugs[])(struct buf *) = {bad_target, bad_method, bad_phrase, bad_status,
					      bad_value,  nul_value,  bad_name,   no_name};

	(void)state;
	for (size_t i = 0; i < sizeof(bugs) / sizeof(*bugs); i++) {
		int status;
		pid_t child = fork();

		assert_true(child >= 0);
		if (child == 0) {
			char out[128];
			struct buf b = buf_over(out, sizeof(out));

			signal(SIGABRT, SIG_DFL);
			if (!freopen("/dev/null", "w", stderr))
				_exit(1);
			bugs[i](&b);
			_exit(0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
			fail_msg("bug %zu was not caught", i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request), cmocka_unit_test(test_status),       cmocka_unit_test(test_fields),
		cmocka_unit_test(test_full),    cmocka_unit_test(test_splits_abort),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
