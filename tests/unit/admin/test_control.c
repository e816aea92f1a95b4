/* The control socket: a loop with a clock of its own on one thread, clients on the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "node/admin/control.h"
#include "node/admin/peersjson.h"
#include "tests/unit/lanes.h"
#include "tests/unit/net/ground.h"
#include "tests/unit/tls/certs_make.h"

#define GOT_BYTES ((size_t)20 * 1024 * 1024)
#define MOST_REPLIES 4

struct world {
	struct clock_fake clock;
	struct lane lane;
	struct control *control;
	char *folder, path[600], why[300];
	/* what the actions were told, and what they do */
	char told[300];
	bool at_once, in_cluster;
	struct control_reply *replies[MOST_REPLIES];
	_Atomic size_t n_replies;
	size_t answer_n;
	char *answer;
	enum control_piece how; /* what became of the last piece */
	struct timer kick;
	dur_ms pass;
	char *got;
	size_t n;
};

static void put_stats(void *cookie, struct buf *b)
{
	(void)cookie;
	buf_put_str(b, "{\"node\":\"edge1\"}\n");
}

static long purge(void *cookie, enum purgerec_kind kind, struct span value, bool whole_cluster, const char **why)
{
	struct world *w = cookie;

	snprintf(w->told, sizeof(w->told), "%d '%.*s'%s", kind, SPAN_ARG(value), whole_cluster ? " everywhere" : "");
	if (!whole_cluster || w->in_cluster)
		return 7;
	*why = "this node is in no cluster";
	return -1;
}

static bool put_peers(void *cookie, struct buf *b)
{
	struct world *w = cookie;

	assert_true(b->cap >= PEERSJSON_MOST);
	if (!w->in_cluster)
		return false;
	while (b->n < PEERSJSON_MOST - 1)
		buf_putc(b, 'p');
	return true;
}

static void ask_others(struct world *w, struct control_reply *r)
{
	if (w->at_once)
		control_answer(r, span_of(w->answer, w->answer_n));
	else
		w->replies[w->n_replies++] = r;
}

static void matrix(void *cookie, struct control_reply *r)
{
	ask_others(cookie, r);
}

static void explain(void *cookie, struct span url, struct control_reply *r)
{
	struct world *w = cookie;

	snprintf(w->told, sizeof(w->told), "%.*s", SPAN_ARG(url));
	ask_others(w, r);
}

static void put_objects(void *cookie, struct buf *b)
{
	(void)cookie;
	buf_put_str(b, "{\"urls\":true}\n");
}

static const struct control_actions actions = {.stats = put_stats,
					       .objects = put_objects,
					       .purge = purge,
					       .peers = put_peers,
					       .matrix = matrix,
					       .explain = explain};

static void do_open(void *arg)
{
	struct world *w = arg;

	w->control = control_open(w->lane.loop, w->path, &actions, w, w->why, sizeof(w->why));
}

static void do_close(void *arg)
{
	control_close(&((struct world *)arg)->control);
}

static void do_answer(void *arg)
{
	struct world *w = arg;

	for (size_t i = 0; i < w->n_replies; i++)
		control_answer(w->replies[i], span_of(w->answer, w->answer_n));
	w->n_replies = 0;
}

static void do_fail(void *arg)
{
	struct world *w = arg;

	for (size_t i = 0; i < w->n_replies; i++)
		control_fail(w->replies[i], "nobody\nknows");
	w->n_replies = 0;
}

static void do_piece(void *arg)
{
	struct world *w = arg;

	w->how = control_piece(w->replies[0], span_of(w->answer, w->answer_n));
}

static enum control_piece give_piece(struct world *w)
{
	lane_do(&w->lane, do_piece, w);
	return w->how;
}

static void on_kick(void *arg)
{
	(void)arg;
}

static void pass_time(void *arg)
{
	struct world *w = arg;

	clock_fake_pass(&w->clock, w->pass);
	timer_set(&w->kick, 1); /* long ago: the kernel, which does not know of our clock, wakes the loop at once */
}

static void pass(struct world *w, dur_ms time)
{
	w->pass = time;
	lane_do(&w->lane, pass_time, w);
	lane_settle(&w->lane);
}

static void end_kick(void *arg)
{
	timer_fini(&((struct world *)arg)->kick);
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	w->folder = make_folder();
	snprintf(w->path, sizeof(w->path), "%s/control.sock", w->folder);
	w->got = malloc(GOT_BYTES);
	w->answer = strdup("{\"x\":1}");
	w->answer_n = strlen(w->answer);
	clock_fake_init(&w->clock, INT64_C(1795441498122));
	lane_start(&w->lane, 0, &w->clock.clock, 0, 0);
	timer_init(&w->kick, w->lane.loop, on_kick, w);
	lane_do(&w->lane, do_open, w);
	if (!w->control)
		fail_msg("%s", w->why);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	lane_do(&w->lane, do_close, w);
	pass(w, DUR_HOUR); /* what still waits for a client to close */
	lane_do(&w->lane, end_kick, w);
	lane_stop(&w->lane);
	make_folder_remove(w->folder);
	free(w->answer);
	free(w->got);
	free(w);
	return 0;
}

/* ---- a client ---- */

static int dial(struct world *w)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct timeval limit = {.tv_sec = GROUND_LIMIT_MS / 1000};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(strlen(w->path) < sizeof(un.sun_path));
	strcpy(un.sun_path, w->path);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	assert_int_equal(0, connect(fd, (struct sockaddr *)&un, sizeof(un)));
	return fd;
}

static int say(struct world *w, const char *text)
{
	int fd = dial(w);

	lane_settle(&w->lane); /* so that it sees what we have set */
	assert_int_equal(strlen(text), send(fd, text, strlen(text), MSG_NOSIGNAL));
	return fd;
}

static const char *hear(struct world *w, int fd)
{
	ssize_t n;

	w->n = 0;
	while ((n = recv(fd, w->got + w->n, GOT_BYTES - 1 - w->n, 0)) > 0)
		w->n += (size_t)n;
	w->got[w->n] = '\0';
	close(fd);
	lane_settle(&w->lane); /* and we what it was told */
	return w->got;
}

static const char *ask(struct world *w, const char *text)
{
	return hear(w, say(w, text));
}

/* Until the action has so many to answer. */
static void await_replies(struct world *w, size_t n)
{
	for (int i = 0; i < 100000 && w->n_replies < n; i++)
		lane_settle(&w->lane);
	assert_int_equal(n, w->n_replies);
}

/* ---- */

static void answers_at_once(void **state)
{
	static const struct {
		const char *request, *told, *answer;
	} rows[] = {
		{"stats\n", "", "ok\n{\"node\":\"edge1\"}\n"},
		{"purge https://a.test/b\n", "1 'https://a.test/b'", "ok\n{\"purged\":7}\n"},
		{"purge-prefix https://a.test/\n", "2 'https://a.test/'", "ok\n{\"purged\":7}\n"},
		{"purge-host a.test\n", "3 'a.test'", "ok\n{\"purged\":7}\n"},
		{"purge-all\n", "4 ''", "ok\n{\"purged\":7}\n"},
		{"cluster-purge https://a.test/b\n", "1 'https://a.test/b' everywhere", "ok\n{\"purged\":7}\n"},
		{"cluster-purge-prefix https://a.test/\n", "2 'https://a.test/' everywhere", "ok\n{\"purged\":7}\n"},
		{"cluster-purge-host a.test\n", "3 'a.test' everywhere", "ok\n{\"purged\":7}\n"},
		{"cluster-purge-all\n", "4 '' everywhere", "ok\n{\"purged\":7}\n"},
		{"matrix\n", "", "ok\n{\"x\":1}\n"},
		{"explain https://a.test/b\n", "https://a.test/b", "ok\n{\"x\":1}\n"},
		{"explain\n", "", "error this request needs an argument\n"},
		{"nonsense\n", "", "error this request is not known here\n"},
	};
	struct world *w = *state;

	w->at_once = w->in_cluster = true;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		w->told[0] = '\0';
		assert_string_equal(rows[i].answer, ask(w, rows[i].request));
		assert_string_equal(rows[i].told, w->told);
	}
}

static void a_node_in_no_cluster(void **state)
{
	assert_string_equal("error this node is in no cluster\n", ask(*state, "peers\n"));
	assert_string_equal("error this node is in no cluster\n", ask(*state, "cluster-purge-all\n"));
}

static void a_large_answer(void **state)
{
	struct world *w = *state;

	w->in_cluster = true;
	ask(w, "peers\n");
	assert_int_equal(3 + PEERSJSON_MOST, w->n);
	assert_memory_equal("ok\np", w->got, 4);
	assert_memory_equal("p\n", w->got + w->n - 2, 2);
}

static void an_answer_that_comes_later(void **state)
{
	struct world *w = *state;
	int a = say(w, "matrix\n"), b, c;

	await_replies(w, 1);
	b = say(w, "explain https://a.test/b\n");
	await_replies(w, 2);
	c = say(w, "matrix\n");
	shutdown(c, SHUT_WR); /* this one has said all, but listens */
	await_replies(w, 3);
	assert_string_equal("ok\n{\"node\":\"edge1\"}\n", ask(w, "stats\n")); /* nobody is held up */
	lane_do(&w->lane, do_answer, w);
	assert_string_equal("ok\n{\"x\":1}\n", hear(w, a));
	assert_string_equal("ok\n{\"x\":1}\n", hear(w, b));
	assert_string_equal("ok\n{\"x\":1}\n", hear(w, c));
}

static void large_answer(struct world *w, size_t n)
{
	free(w->answer);
	w->answer_n = n;
	w->answer = malloc(n);
	memset(w->answer, 'x', n);
}

static void a_large_answer_that_comes_later(void **state)
{
	struct world *w = *state;
	int fd;

	large_answer(w, (size_t)16 * 1024 * 1024);
	fd = say(w, "matrix\n");
	await_replies(w, 1);
	lane_do(&w->lane, do_answer, w);
	hear(w, fd);
	assert_int_equal(3 + w->answer_n + 1, w->n);
}

static void an_answer_that_is_too_large(void **state)
{
	struct world *w = *state;

	free(w->answer);
	w->answer_n = CONTROL_MOST_BYTES + 1;
	w->answer = calloc(1, w->answer_n);
	w->at_once = true;
	assert_string_equal("error the answer is too large\n", ask(w, "matrix\n"));
}

static void an_answer_in_pieces(void **state)
{
	struct world *w = *state;
	int fd = say(w, "matrix\n");

	await_replies(w, 1);
	for (int i = 0; i < 3; i++) { /* longer than one that is whole may take */
		assert_int_equal(CONTROL_PIECE_TAKEN, give_piece(w));
		pass(w, CONTROL_PATIENCE - 1000);
	}
	lane_do(&w->lane, do_answer, w);
	assert_string_equal("ok\n{\"x\":1}{\"x\":1}{\"x\":1}{\"x\":1}\n", hear(w, fd));
}

/* Nothing is piled up for who does not read. */
static void a_piece_waits_until_the_last_one_is_read(void **state)
{
	struct world *w = *state;
	size_t taken = 0;
	int fd;

	large_answer(w, 1024 * 1024);
	fd = say(w, "matrix\n");
	await_replies(w, 1);
	while (give_piece(w) == CONTROL_PIECE_TAKEN)
		taken++;
	assert_int_equal(CONTROL_PIECE_LATER, w->how);
	assert_true(taken < 100);
	assert_int_equal((ssize_t)w->answer_n, recv(fd, w->got, w->answer_n, MSG_WAITALL));
	for (int i = 0; i < 100000 && give_piece(w) == CONTROL_PIECE_LATER; i++)
		;
	assert_int_equal(CONTROL_PIECE_TAKEN, w->how);
	w->answer_n = 0;
	lane_do(&w->lane, do_answer, w);
	hear(w, fd);
	assert_int_equal(3 + (taken + 1) * 1024 * 1024, w->n + 1024 * 1024);
}

static void what_goes_wrong_between_pieces_cuts(void **state)
{
	struct world *w = *state;
	int fd = say(w, "matrix\n");

	await_replies(w, 1);
	assert_int_equal(CONTROL_PIECE_TAKEN, give_piece(w));
	lane_do(&w->lane, do_fail, w);
	assert_null(strstr(hear(w, fd), "error"));
	fd = say(w, "matrix\n");
	await_replies(w, 1);
	assert_int_equal(CONTROL_PIECE_TAKEN, give_piece(w));
	pass(w, CONTROL_PATIENCE + 1000);
	assert_null(strstr(hear(w, fd), "error"));
	assert_int_equal(CONTROL_PIECE_LEFT, give_piece(w));
	lane_do(&w->lane, do_answer, w);
}

static void who_leaves_between_pieces_is_noticed(void **state)
{
	struct world *w = *state;
	int fd = say(w, "matrix\n");

	await_replies(w, 1);
	assert_int_equal(CONTROL_PIECE_TAKEN, give_piece(w));
	close(fd);
	for (int i = 0; i < 100000 && give_piece(w) == CONTROL_PIECE_TAKEN; i++)
		;
	assert_int_equal(CONTROL_PIECE_LEFT, w->how);
	lane_do(&w->lane, do_answer, w);
}

static void a_failure_that_comes_later(void **state)
{
	struct world *w = *state;
	int fd = say(w, "matrix\n");

	await_replies(w, 1);
	lane_do(&w->lane, do_fail, w);
	assert_string_equal("error nobody?knows\n", hear(w, fd));
}

static void a_client_that_has_left(void **state)
{
	struct world *w = *state;
	int fd = say(w, "matrix\n");

	await_replies(w, 1);
	close(fd);
	fd = say(w, "matrix\n");
	await_replies(w, 2);
	close(fd);
	lane_settle(&w->lane);
	lane_do(&w->lane, do_answer, w);
	assert_string_equal("ok\n{\"node\":\"edge1\"}\n", ask(w, "stats\n"));
}

static void more_said_while_waiting(void **state)
{
	struct world *w = *state;
	int fd = say(w, "matrix\n");

	await_replies(w, 1);
	assert_int_equal(6, send(fd, "stats\n", 6, MSG_NOSIGNAL));
	assert_string_equal("error only one request is taken per connection\n", hear(w, fd));
	lane_do(&w->lane, do_answer, w);
}

static void an_answer_that_takes_too_long(void **state)
{
	struct world *w = *state;
	int fd = say(w, "matrix\n");

	await_replies(w, 1);
	pass(w, CONTROL_PATIENCE - 1000);
	assert_string_equal("ok\n{\"node\":\"edge1\"}\n", ask(w, "stats\n"));
	pass(w, 2000);
	assert_string_equal("error the answer takes too long\n", hear(w, fd));
	lane_do(&w->lane, do_answer, w);
}

static void a_request_that_takes_too_long(void **state)
{
	struct world *w = *state;
	int fd = say(w, "stat");

	lane_settle(&w->lane);
	ask(w, "stats\n"); /* so that it has been accepted */
	pass(w, 11 * DUR_SECOND);
	assert_string_equal("", hear(w, fd));
}

static void answered_after_the_control_has_closed(void **state)
{
	struct world *w = *state;
	int fd = say(w, "matrix\n");
	struct stat at;

	await_replies(w, 1);
	lane_do(&w->lane, do_close, w);
	assert_int_equal(-1, stat(w->path, &at));
	assert_string_equal("", hear(w, fd));
	lane_do(&w->lane, do_answer, w);
}

static void nobody_else_may_open_it(void **state)
{
	struct world *w = *state;
	struct stat at;

	assert_int_equal(0, stat(w->path, &at));
	assert_int_equal(0600, at.st_mode & 0777);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(answers_at_once),
		T(a_node_in_no_cluster),
		T(a_large_answer),
		T(an_answer_that_comes_later),
		T(a_large_answer_that_comes_later),
		T(an_answer_that_is_too_large),
		T(an_answer_in_pieces),
		T(a_piece_waits_until_the_last_one_is_read),
		T(what_goes_wrong_between_pieces_cuts),
		T(who_leaves_between_pieces_is_noticed),
		T(a_failure_that_comes_later),
		T(a_client_that_has_left),
		T(more_said_while_waiting),
		T(an_answer_that_takes_too_long),
		T(a_request_that_takes_too_long),
		T(answered_after_the_control_has_closed),
		T(nobody_else_may_open_it),
#undef T
	};

	return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
