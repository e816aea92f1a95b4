#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "node/net/stream_loan.h"
#include "node/net/stream_plain.h"
#include "tests/unit/net/ground.h"

struct pair {
	struct ground ground;
	struct loop *loop;
	struct stream_loan loan;
	int far;
};

static void open_pair(struct pair *p)
{
	struct addr nobody = {0};
	int fds[2];

	memset(p, 0, sizeof(*p));
	ground_init(&p->ground);
	p->loop = p->ground.loop;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	p->loan.stream = stream_plain_new(p->loop, fds[0], &nobody);
	p->far = fds[1];
}

static void close_pair(struct pair *p)
{
	close(p->far);
	ground_fini(&p->ground);
}

static void it_comes_back_open(void **state)
{
	struct stream *lent, *own;
	struct pair p;
	char got[4];

	(void)state;
	open_pair(&p);
	own = p.loan.stream;
	lent = stream_lend(&p.loan);
	assert_null(p.loan.stream);
	assert_int_equal(write(p.far, "abc", 3), 3);
	assert_int_equal(stream_read(lent, got, sizeof(got)), 3);
	assert_int_equal(stream_read(lent, got, sizeof(got)), STREAM_AGAIN);
	stream_end_writing(lent);
	stream_close(&lent, STREAM_CUT);
	assert_ptr_equal(p.loan.stream, own);
	assert_true(stream_push(p.loan.stream, SPAN("ok")));
	stream_loan_end(&p.loan, STREAM_CLEAN);
	assert_null(p.loan.stream);
	assert_int_equal(read(p.far, got, sizeof(got)), 2);
	assert_memory_equal(got, "ok", 2);
	close_pair(&p);
}

static void a_lender_that_leaves(void **state)
{
	struct stream *lent;
	struct pair p;
	char got;

	(void)state;
	open_pair(&p);
	lent = stream_lend(&p.loan);
	stream_loan_end(&p.loan, STREAM_CUT);
	assert_int_equal(write(p.far, "a", 1), 1);
	assert_int_equal(stream_read(lent, &got, 1), 1);
	stream_close(&lent, STREAM_CUT);
	assert_int_equal(read(p.far, &got, 1), 0);
	stream_loan_end(&p.loan, STREAM_CUT);
	close_pair(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_comes_back_open),
		cmocka_unit_test(a_lender_that_leaves),
	};

	return cmocka_run_group_tests_name("stream_loan", tests, NULL, NULL);
}
