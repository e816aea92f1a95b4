#include <pthread.h>
#include <stdio.h>

#include "tests/unit/net/ground.h"

/* What happened, in order, one letter each. */
struct story {
	struct ground g;
	char text[64];
	size_t n;
};

struct page {
	struct story *s;
	char letter;
	struct deferred job;
	struct timer timer;
	bool last;
};

static void tell(void *arg)
{
	struct page *p = arg;

	p->s->text[p->s->n++] = p->letter;
	if (p->last)
		loop_stop(p->s->g.loop);
}

static int setup(void **state)
{
	struct story *s = calloc(1, sizeof(*s));

	ground_init(&s->g);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct story *s = *state;

	ground_fini(&s->g);
	free(s);
	return 0;
}

/* ---- deferred and bulk ---- */

static void test_defer(void **state)
{
	struct story *s = *state;
	struct page a = {.s = s, .letter = 'a'}, b = {.s = s, .letter = 'b'}, c = {.s = s, .letter = 'c', .last = true};

	loop_defer(s->g.loop, &a.job, tell, &a);
	loop_defer(s->g.loop, &b.job, tell, &b);
	loop_defer(s->g.loop, &a.job, tell, &a); /* set already: harmless */
	loop_defer(s->g.loop, &c.job, tell, &c);
	loop_defer_cancel(s->g.loop, &b.job);
	loop_defer_cancel(s->g.loop, &b.job);
	assert_int_equal(0, s->n); /* never from inside */
	ground_run(&s->g);
	assert_string_equal("ac", s->text);
}

static void again(void *arg)
{
	struct page *p = arg;

	tell(p);
	if (p->s->n < 6)
		loop_defer(p->s->g.loop, &p->job, again, p);
}

/* One bulk job a turn; deferred calls go before. */
static void again_bulk(void *arg)
{
	struct page *p = arg;
	struct page *small = p + 1;

	tell(p);
	loop_defer(p->s->g.loop, &small->job, tell, small);
}

static void test_bulk(void **state)
{
	struct story *s = *state;
	struct page v[4] = {{.s = s, .letter = 'A'},
			    {.s = s, .letter = 'x'},
			    {.s = s, .letter = 'B'},
			    {.s = s, .letter = 'y', .last = true}};

	loop_bulk(s->g.loop, &v[0].job, again_bulk, &v[0]);
	loop_bulk(s->g.loop, &v[2].job, again_bulk, &v[2]);
	ground_run(&s->g);
	assert_string_equal("AxBy", s->text);
}

static void test_bulk_cancelled(void **state)
{
	struct story *s = *state;
	struct page a = {.s = s, .letter = 'a'}, b = {.s = s, .letter = 'b', .last = true};

	loop_bulk(s->g.loop, &a.job, tell, &a);
	loop_bulk(s->g.loop, &b.job, tell, &b);
	loop_defer_cancel(s->g.loop, &a.job);
	ground_run(&s->g);
	assert_string_equal("b", s->text);
}

/* A call that defers itself does not keep a turn from ending: the timer comes. */
static void for_ever(void *arg)
{
	struct page *p = arg;

	p->s->n++;
	loop_defer(p->s->g.loop, &p->job, for_ever, p);
}

static void stop(void *arg)
{
	loop_stop(arg);
}

static void test_turn_ends(void **state)
{
	struct story *s = *state;
	struct page a = {.s = s, .letter = 'a'};
	struct timer t;

	timer_init(&t, s->g.loop, stop, s->g.loop);
	timer_set_in(&t, 5);
	loop_defer(s->g.loop, &a.job, for_ever, &a);
	ground_run(&s->g);
	assert_true(s->n > 256);
	s->n = 0;
	loop_defer_cancel(s->g.loop, &a.job);
	timer_fini(&t);
}

static void test_defers_itself(void **state)
{
	struct story *s = *state;
	struct page a = {.s = s, .letter = 'a'};

	loop_defer(s->g.loop, &a.job, again, &a);
	ground_run_for(&s->g, 1);
	assert_string_equal("aaaaaa", s->text);
}

/* ---- timers ---- */

static void test_timers(void **state)
{
	struct story *s = *state;
	struct page v[6] = {{.letter = 'a'}, {.letter = 'b'}, {.letter = 'c'},
			    {.letter = 'd'}, {.letter = 'e'}, {.letter = 'z', .last = true}};
	static const dur_ms first[] = {8, 2, 4, 6, 1, 20};

	for (int i = 0; i < 6; i++) {
		v[i].s = s;
		timer_init(&v[i].timer, s->g.loop, tell, &v[i]);
		timer_set_in(&v[i].timer, first[i]);
	}
	timer_set_in(&v[0].timer, 1);  /* earlier */
	timer_set_in(&v[1].timer, 12); /* later */
	timer_clear(&v[2].timer);      /* not at all */
	timer_clear(&v[3].timer);
	timer_set_in(&v[3].timer, 16); /* cleared, and set again */
	timer_fini(&v[4].timer);       /* gone */
	ground_run(&s->g);
	assert_string_equal("abdz", s->text);
	for (int i = 0; i < 6; i++)
		timer_fini(&v[i].timer);
}

static void test_timer_not_early(void **state)
{
	struct story *s = *state;
	mono_us start = loop_now(s->g.loop);

	ground_run_for(&s->g, 15);
	assert_true(loop_now(s->g.loop) - start >= 15 * 1000);
}

/* A timer's handler sets it again, and takes another's away. */
struct pair {
	struct page *a, *b;
};

static void kill_other(void *arg)
{
	struct pair *p = arg;

	tell(p->a);
	timer_fini(&p->b->timer);
	if (p->a->s->n < 3)
		timer_set_in(&p->a->timer, 1);
	else
		loop_stop(p->a->s->g.loop);
}

static void test_timer_in_handler(void **state)
{
	struct story *s = *state;
	struct page a = {.s = s, .letter = 'a'}, b = {.s = s, .letter = 'b'};
	struct pair p = {&a, &b};

	timer_init(&a.timer, s->g.loop, kill_other, &p);
	timer_init(&b.timer, s->g.loop, tell, &b);
	timer_set(&a.timer, loop_now(s->g.loop));
	timer_set(&b.timer, loop_now(s->g.loop) + 1);
	ground_run(&s->g);
	assert_string_equal("aaa", s->text);
	timer_fini(&a.timer);
}

/* ---- posts ---- */

struct posting {
	struct story *s;
	unsigned expect, n;
	struct {
		struct posting *p;
		unsigned i;
	} v[1000];
};

static void on_post(void *arg)
{
	typeof(&((struct posting *)NULL)->v[0]) m = arg;
	struct posting *p = m->p;

	assert_int_equal(p->expect, m->i);
	if (++p->expect == p->n)
		loop_stop(p->s->g.loop);
}

static void *poster(void *arg)
{
	struct posting *p = arg;

	for (unsigned i = 0; i < p->n; i++) {
		p->v[i].p = p;
		p->v[i].i = i;
		loop_post(p->s->g.loop, on_post, &p->v[i]);
	}
	return NULL;
}

static void post_many(struct story *s, unsigned n)
{
	static struct posting p;
	pthread_t t;

	p = (struct posting){.s = s, .n = n};
	assert_int_equal(0, pthread_create(&t, NULL, poster, &p));
	ground_run(&s->g);
	pthread_join(t, NULL);
	assert_int_equal(n, p.expect);
}

static void test_posts(void **state)
{
	post_many(*state, 1000);
}

static void test_posts_delayed(void **state)
{
	struct story *s = *state;

	loop_delay_posts(s->g.loop, 2000, 1);
	post_many(s, 200);
}

/* Posts that were not run are dropped with the loop (the address sanitizer looks). */
static void test_posts_dropped(void **state)
{
	struct story *s = *state;

	loop_post(s->g.loop, stop, s->g.loop);
}

/* ---- fdwatch ---- */

struct watching {
	struct story *s;
	struct fdwatch *w;
	int fd;
	unsigned last;
	int times;
};

static void on_ready(void *cookie, unsigned events)
{
	struct watching *w = cookie;

	w->last = events;
	w->times++;
	loop_stop(w->s->g.loop);
}

static void test_fdwatch(void **state)
{
	struct story *s = *state;
	struct watching w = {.s = s};
	int fd[2];
	char byte;

	ground_pair(fd);
	w.w = fdwatch_new(s->g.loop, fd[0], on_ready, &w);
	ground_run_for(&s->g, 5);
	assert_int_equal(0, w.times); /* nothing was wanted */
	fdwatch_want(w.w, FD_READ);
	ground_run_for(&s->g, 5);
	assert_int_equal(0, w.times);
	fdwatch_want(w.w, FD_READ | FD_WRITE);
	ground_run(&s->g);
	assert_int_equal(FD_WRITE, w.last);
	fdwatch_want(w.w, FD_READ);
	assert_int_equal(1, write(fd[1], "x", 1));
	ground_run(&s->g);
	assert_int_equal(FD_READ, w.last);
	ground_run(&s->g); /* again, as long as it is so */
	assert_int_equal(FD_READ, w.last);
	fdwatch_want(w.w, 0);
	w.times = 0;
	ground_run_for(&s->g, 5);
	assert_int_equal(0, w.times);
	fdwatch_want(w.w, FD_READ);
	ground_run(&s->g);
	assert_int_equal(1, read(fd[0], &byte, 1));
	close(fd[1]);
	ground_run(&s->g); /* the end is readable */
	assert_int_equal(0, read(fd[0], &byte, 1));
	fdwatch_free(w.w);
	fdwatch_free(NULL);
	close(fd[0]);
}

/* Two watches are ready in one turn; the first that is told frees both. */
static struct watching *both[2];

static void free_both(void *cookie, unsigned events)
{
	struct watching *w = cookie;

	(void)events;
	w->times++;
	for (int i = 0; i < 2; i++) {
		fdwatch_free(both[i]->w);
		both[i]->w = NULL;
	}
}

static void test_fdwatch_freed_in_handler(void **state)
{
	struct story *s = *state;
	struct watching w[2] = {{.s = s}, {.s = s}};
	int fd[2];

	ground_pair(fd);
	for (int i = 0; i < 2; i++) {
		both[i] = &w[i];
		w[i].w = fdwatch_new(s->g.loop, fd[i], free_both, &w[i]);
		assert_int_equal(1, write(fd[!i], "x", 1));
		fdwatch_want(w[i].w, FD_READ | FD_WRITE);
	}
	ground_run_for(&s->g, 10);
	assert_int_equal(1, w[0].times + w[1].times);
	close(fd[0]);
	close(fd[1]);
}

static void note(void *arg)
{
	*(bool *)arg = true;
}

/* The kernel was told to sleep for longer than the timer has left: who is woken by something else looks at the time. */
static void test_timer_that_sleep_would_miss(void **state)
{
	struct clock_fake clock;
	struct loop *l;
	struct timer t;
	bool came = false;

	(void)state;
	clock_fake_init(&clock, 0);
	l = loop_new(0, &clock.clock);
	timer_init(&t, l, note, &came);
	timer_set_in(&t, 1000 * DUR_SECOND);
	loop_post(l, stop, l);
	loop_run(l);
	assert_false(came);
	clock_fake_pass(&clock, 1001 * DUR_SECOND);
	loop_post(l, stop, l);
	loop_run(l);
	assert_true(came);
	timer_fini(&t);
	loop_free(l);
}

static void test_piece(void **state)
{
	struct story *s = *state;
	struct loop *l = s->g.loop;
	char *a = loop_piece_take(l), *b = loop_piece_take(l), *again;

	assert_ptr_not_equal(a, b);
	memset(a, 'a', LOOP_PIECE_BYTES);
	memset(b, 'b', LOOP_PIECE_BYTES);
	loop_piece_give(l, b);
	loop_piece_give(l, a);
	again = loop_piece_take(l);
	assert_ptr_equal(again, b);
	loop_piece_give(l, again); /* the loop's from now on */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(test_defer),
		T(test_bulk),
		T(test_bulk_cancelled),
		T(test_turn_ends),
		T(test_defers_itself),
		T(test_timers),
		T(test_timer_not_early),
		T(test_timer_in_handler),
		T(test_posts),
		T(test_posts_delayed),
		T(test_posts_dropped),
		T(test_fdwatch),
		T(test_fdwatch_freed_in_handler),
		T(test_timer_that_sleep_would_miss),
		T(test_piece),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
