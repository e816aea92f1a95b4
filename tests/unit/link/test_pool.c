#include "node/link/pool.h"
#include "node/net/stream_plain.h"
#include "tests/unit/net/ground.h"

struct place {
	struct ground g;
	struct pool *pool;
	int peer[8];
	int n;
};

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	ground_init(&p->g);
	p->pool = pool_new(p->g.loop, 3, 1000);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	pool_free(p->pool);
	for (int i = 0; i < p->n; i++)
		close(p->peer[i]);
	ground_fini(&p->g);
	free(p);
	return 0;
}

/* A link whose other end is p->peer[p->n - 1]. */
static struct link *make(struct place *p, const char *origin)
{
	struct addr a = ground_addr("192.0.2.1", 443);
	struct stream *s;
	struct link *l;
	int fd[2];

	ground_pair(fd);
	p->peer[p->n++] = fd[1];
	s = stream_plain_new(p->g.loop, fd[0], &a);
	l = link_new(&s, origin);
	assert_null(s);
	assert_string_equal("192.0.2.1", l->peer);
	return l;
}

static struct link *give(struct place *p, const char *origin)
{
	struct link *l = make(p, origin), *given = l;

	pool_give(p->pool, &l);
	assert_null(l);
	return given;
}

static void expect_taken(struct place *p, const char *origin, const struct link *expected)
{
	struct link *l = pool_take(p->pool, origin);

	assert_ptr_equal(expected, l);
	link_close(&l, STREAM_CUT);
}

static void test_by_origin(void **state)
{
	struct place *p = *state;
	struct link *a1 = give(p, "https a"), *b = give(p, "https b"), *a2 = give(p, "https a");

	assert_int_equal(3, pool_idle(p->pool));
	expect_taken(p, "https c", NULL);
	expect_taken(p, "https a", a2); /* used last */
	expect_taken(p, "https a", a1);
	expect_taken(p, "https a", NULL);
	expect_taken(p, "https b", b);
	assert_int_equal(0, pool_idle(p->pool));
}

static void test_most(void **state)
{
	struct place *p = *state;
	struct link *v[4];
	char byte;

	for (int i = 0; i < 4; i++)
		v[i] = give(p, i % 2 ? "odd" : "even");
	assert_int_equal(3, pool_idle(p->pool));
	ground_run_for(&p->g, 1);
	assert_int_equal(0, recv(p->peer[0], &byte, 1, 0)); /* the oldest was closed, cleanly */
	expect_taken(p, "even", v[2]);
	expect_taken(p, "even", NULL);
	expect_taken(p, "odd", v[3]);
	expect_taken(p, "odd", v[1]);
}

static void test_none_allowed(void **state)
{
	struct place *p = *state;

	pool_free(p->pool);
	p->pool = pool_new(p->g.loop, 0, 1000);
	give(p, "a");
	assert_int_equal(0, pool_idle(p->pool));
	expect_taken(p, "a", NULL);
}

/* Closed by the origin, or saying something unasked. */
static void test_dies_idle(void **state)
{
	struct place *p = *state;
	struct link *quiet;

	give(p, "a");
	shutdown(p->peer[0], SHUT_WR);
	give(p, "a");
	assert_int_equal(1, write(p->peer[1], "x", 1));
	quiet = give(p, "a");
	ground_run_for(&p->g, 5);
	assert_int_equal(1, pool_idle(p->pool));
	expect_taken(p, "a", quiet);
}

static void test_idle_time(void **state)
{
	struct place *p = *state;
	struct link *late;

	pool_free(p->pool);
	p->pool = pool_new(p->g.loop, 3, 60);
	give(p, "a");
	give(p, "b");
	ground_run_for(&p->g, 30);
	late = give(p, "c");
	ground_run_for(&p->g, 40);
	assert_int_equal(1, pool_idle(p->pool));
	expect_taken(p, "c", late);
	give(p, "d"); /* the sweep begins again after the pool was empty */
	ground_run_for(&p->g, 70);
	assert_int_equal(0, pool_idle(p->pool));
}

static void test_clear(void **state)
{
	struct place *p = *state;

	give(p, "a");
	give(p, "b");
	pool_clear(p->pool);
	assert_int_equal(0, pool_idle(p->pool));
	expect_taken(p, "a", NULL);
	pool_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(test_by_origin), T(test_most),      T(test_none_allowed),
		T(test_dies_idle), T(test_idle_time), T(test_clear),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
