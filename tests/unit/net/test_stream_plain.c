#include <errno.h>
#include <stdio.h>

#include "node/net/stream_plain.h"
#include "tests/unit/net/ground.h"

struct place {
	struct ground g;
	struct stream *s;
	int peer;
	unsigned events;
	unsigned stop_at; /* these events end the run */
};

static void on_ready(void *cookie, unsigned events)
{
	struct place *p = cookie;

	p->events |= events;
	if (events & p->stop_at)
		loop_stop(p->g.loop);
}

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	struct addr a = ground_addr("127.0.0.1", 7);
	int fd[2];

	ground_init(&p->g);
	ground_pair(fd);
	p->peer = fd[1];
	p->s = stream_plain_new(p->g.loop, fd[0], &a);
	stream_set_handler(p->s, on_ready, p);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	stream_close(&p->s, STREAM_CUT);
	close(p->peer);
	ground_fini(&p->g);
	free(p);
	return 0;
}

static void run_until(struct place *p, unsigned events)
{
	p->stop_at = events;
	stream_want(p->s, events);
	ground_run(&p->g);
}

/* One byte that depends on where it stands. */
static char at(size_t i)
{
	return (char)('a' + i * 7 % 26);
}

static void test_read(void **state)
{
	struct place *p = *state;
	char to[8];

	assert_int_equal(STREAM_AGAIN, stream_read(p->s, to, sizeof(to)));
	assert_int_equal(5, write(p->peer, "hello", 5));
	assert_int_equal(0, p->events);
	run_until(p, STREAM_READ);
	assert_int_equal(3, stream_read(p->s, to, 3));
	assert_int_equal(2, stream_read(p->s, to, 3)); /* there was more */
	assert_memory_equal("lo", to, 2);
	assert_int_equal(STREAM_AGAIN, stream_read(p->s, to, 3));
	assert_int_equal(0, shutdown(p->peer, SHUT_WR));
	run_until(p, STREAM_READ);
	assert_int_equal(0, stream_read(p->s, to, 3));
	assert_int_equal(0, stream_read(p->s, to, 3));
	/* Half-close: our side still goes. */
	assert_true(stream_push(p->s, SPAN("bye")));
	ground_run_for(&p->g, 1);
	assert_int_equal(3, recv(p->peer, to, sizeof(to), 0));
	assert_int_equal(7, addr_port(stream_peer(p->s)));
}

/* Small pushes are one segment, sent at the end of the handler and not before. */
static void push_some(void *arg)
{
	struct place *p = arg;
	char to[8];

	for (int i = 0; i < 10; i++)
		assert_true(stream_push(p->s, SPAN("0123456789")));
	assert_int_equal(-1, recv(p->peer, to, sizeof(to), 0));
	loop_stop(p->g.loop);
}

static void test_push_gathers(void **state)
{
	struct place *p = *state;
	struct deferred job = {0};
	char to[200];

	loop_defer(p->g.loop, &job, push_some, p);
	ground_run(&p->g);
	assert_int_equal(100, recv(p->peer, to, sizeof(to), 0));
}

/* Writes follow what was pushed before. */
static void test_push_then_write(void **state)
{
	struct place *p = *state;
	struct span v[2] = {SPAN("two"), SPAN("three")};
	char to[20];

	assert_true(stream_push(p->s, SPAN("one")));
	assert_int_equal(8, stream_write(p->s, v, 2));
	assert_int_equal(11, recv(p->peer, to, sizeof(to), 0));
	assert_memory_equal("onetwothree", to, 11);
	assert_int_equal(0, stream_write(p->s, v, 0));
}

/* More than the kernel takes: all arrives, in order, also when pushes and writes mix. */
#define LOTS (12 * 1024 * 1024)

static size_t drain(struct place *p, size_t from)
{
	char to[64 * 1024];
	ssize_t n;

	while ((n = recv(p->peer, to, sizeof(to), 0)) > 0)
		for (ssize_t i = 0; i < n; i++, from++)
			if (to[i] != at(from))
				fail_msg("byte %zu is wrong", from);
	return from;
}

static void test_lots(void **state)
{
	struct place *p = *state;
	static char all[LOTS];
	size_t sent = 0, got = 0;
	bool blocked = false;

	for (size_t i = 0; i < LOTS; i++)
		all[i] = at(i);
	while (sent < LOTS) {
		struct span rest = span_of(all + sent, LOTS - sent);
		ssize_t n;

		if (sent % 3 == 0 && !stream_blocked(p->s)) {
			n = 10001;
			assert_true(stream_push(p->s, span_upto(rest, 10001)));
		} else {
			n = stream_write(p->s, &rest, 1);
		}
		if (n == STREAM_AGAIN) {
			blocked = true;
			got = drain(p, got);
			run_until(p, STREAM_WRITE);
			continue;
		}
		assert_true(n > 0 && n <= STREAM_TURN_BYTES);
		sent += (size_t)n < rest.n ? (size_t)n : rest.n;
	}
	assert_true(blocked);
	stream_close(&p->s, STREAM_CLEAN);
	while (got < LOTS) {
		ground_run_for(&p->g, 1);
		got = drain(p, got);
	}
	assert_int_equal(LOTS, got);
}

/* A clean close with something pending: it arrives, then the end; and bytes unread on our side make no reset. */
static void test_clean_close(void **state)
{
	struct place *p = *state;
	static char all[LOTS];
	size_t got = 0;
	char byte;

	for (size_t i = 0; i < LOTS; i++)
		all[i] = at(i);
	assert_int_equal(6, write(p->peer, "unread", 6));
	assert_true(stream_push(p->s, span_of(all, LOTS)));
	assert_true(stream_blocked(p->s));
	stream_close(&p->s, STREAM_CLEAN);
	assert_null(p->s);
	while (got < LOTS) {
		ground_run_for(&p->g, 1);
		got = drain(p, got);
	}
	ground_run_for(&p->g, 1);
	assert_int_equal(0, recv(p->peer, &byte, 1, 0));
	close(p->peer); /* ends the linger */
	p->peer = -1;
	ground_run_for(&p->g, 5);
}

static bool has_come(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_PEEK) == 1;
}

static void empty(int fd)
{
	char to[64 * 1024];

	while (recv(fd, to, sizeof(to), 0) > 0)
		;
}

/* What is pending is as much as a piece of a body, or more: of two that have room again one goes in a turn. */
static void test_pending_goes_by_turns(void **state)
{
	struct place *p = *state;
	struct addr a = ground_addr("127.0.0.1", 8);
	static char all[LOTS];
	struct deferred one_turn = {0};
	struct stream *other;
	int fd[2];

	ground_pair(fd);
	other = stream_plain_new(p->g.loop, fd[0], &a);
	assert_true(stream_push(p->s, span_of(all, LOTS)) && stream_push(other, span_of(all, LOTS)));
	assert_true(stream_blocked(p->s) && stream_blocked(other));
	empty(p->peer);
	empty(fd[1]);
	loop_defer(p->g.loop, &one_turn, ground_on_stop, p->g.loop);
	ground_run(&p->g);
	assert_true(has_come(p->peer) != has_come(fd[1]));
	loop_defer(p->g.loop, &one_turn, ground_on_stop, p->g.loop);
	ground_run(&p->g);
	assert_true(has_come(p->peer) && has_come(fd[1]));
	stream_close(&other, STREAM_CUT);
	close(fd[1]);
}

static void test_cut(void **state)
{
	struct place *p = *state;
	char byte;

	stream_close(&p->s, STREAM_CUT);
	ground_run_for(&p->g, 1);
	assert_int_equal(-1, recv(p->peer, &byte, 1, 0));
	assert_int_equal(ECONNRESET, errno);
}

static void test_end_writing(void **state)
{
	struct place *p = *state;
	char to[8];

	assert_true(stream_push(p->s, SPAN("last")));
	stream_end_writing(p->s);
	assert_int_equal(4, recv(p->peer, to, sizeof(to), 0));
	assert_int_equal(0, recv(p->peer, to, sizeof(to), 0));
	assert_int_equal(2, write(p->peer, "ok", 2));
	run_until(p, STREAM_READ);
	assert_int_equal(2, stream_read(p->s, to, sizeof(to)));
}

static void reset_by_peer(struct place *p)
{
	struct linger hard = {1, 0};

	setsockopt(p->peer, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(p->peer);
	p->peer = -1;
}

static void test_reset(void **state)
{
	struct place *p = *state;
	struct span one = SPAN("x");
	char to[8];

	reset_by_peer(p);
	run_until(p, STREAM_READ);
	assert_int_equal(STREAM_FAILED, stream_read(p->s, to, sizeof(to)));
	assert_int_equal(REASON_UPSTREAM_RESET, stream_why(p->s));
	assert_int_equal(STREAM_FAILED, stream_read(p->s, to, sizeof(to)));
	assert_int_equal(STREAM_FAILED, stream_write(p->s, &one, 1));
	assert_false(stream_push(p->s, one));
}

/* Sending fails, but what the peer said before it went can still be read. */
static void test_last_words(void **state)
{
	struct place *p = *state;
	struct span one = SPAN("x");
	char to[16];

	assert_int_equal(5, write(p->peer, "no!!!", 5));
	close(p->peer);
	p->peer = -1;
	while (stream_write(p->s, &one, 1) != STREAM_FAILED)
		;
	assert_int_equal(5, stream_read(p->s, to, sizeof(to)));
	assert_int_equal(STREAM_FAILED, stream_read(p->s, to, sizeof(to)));
	assert_int_equal(REASON_UPSTREAM_RESET, stream_why(p->s));
	assert_int_equal(STREAM_FAILED, stream_read(p->s, to, sizeof(to)));
}

/* Two streams push in one handler: neither's bytes go to the other. */
static void test_outbuf_is_shared(void **state)
{
	struct place *p = *state;
	struct addr a = ground_addr("127.0.0.1", 8);
	struct stream *other;
	int fd[2];
	char to[16];

	ground_pair(fd);
	other = stream_plain_new(p->g.loop, fd[0], &a);
	stream_push(p->s, SPAN("a1"));
	stream_push(other, SPAN("b1"));
	stream_push(p->s, SPAN("a2"));
	stream_push(other, SPAN("b2"));
	stream_close(&other, STREAM_CLEAN);
	ground_run_for(&p->g, 1);
	assert_int_equal(4, recv(p->peer, to, sizeof(to), 0));
	assert_memory_equal("a1a2", to, 4);
	assert_int_equal(4, recv(fd[1], to, sizeof(to), MSG_WAITALL));
	assert_memory_equal("b1b2", to, 4);
	close(fd[1]);
	ground_run_for(&p->g, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(test_read),       T(test_push_gathers),     T(test_push_then_write),
		T(test_lots),       T(test_clean_close),      T(test_pending_goes_by_turns),
		T(test_cut),        T(test_end_writing),      T(test_reset),
		T(test_last_words), T(test_outbuf_is_shared),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
