#include <pthread.h>

#include "node/net/work.h"
#include "tests/unit/net/ground.h"

/* ---- jobs ---- */

struct job {
	struct ground *g;
	pthread_t ran_on, done_on;
	unsigned ran, done;
	bool last;
};

static void run(void *arg)
{
	struct job *j = arg;

	j->ran_on = pthread_self();
	j->ran++;
}

static void done(void *arg)
{
	struct job *j = arg;

	j->done_on = pthread_self();
	j->done++;
	if (j->last)
		loop_stop(j->g->loop);
}

static void a_job_runs_elsewhere_and_is_told_here(void **state)
{
	struct ground g;
	struct job j = {.g = &g, .last = true};
	struct work *w = work_new(1);

	(void)state;
	ground_init(&g);
	assert_int_equal(work_start(w, run, g.loop, done, &j), 0);
	ground_run(&g);
	assert_int_equal(j.ran, 1);
	assert_int_equal(j.done, 1);
	assert_false(pthread_equal(j.ran_on, pthread_self()));
	assert_true(pthread_equal(j.done_on, pthread_self()));
	assert_int_equal(work_counts(w).done, 1);
	work_free(&w);
	assert_null(w);
	work_free(&w);
	ground_fini(&g);
}

/* ---- order: one worker, held until all is queued ---- */

struct gate {
	pthread_mutex_t lock;
	int order[64];
	unsigned n;
};

struct turn {
	struct gate *gate;
	int which;
};

static void wait_at(void *arg)
{
	struct gate *gate = arg;

	pthread_mutex_lock(&gate->lock);
	pthread_mutex_unlock(&gate->lock);
}

static void take_turn(void *arg)
{
	struct turn *t = arg;

	t->gate->order[t->gate->n++] = t->which;
}

/* Until the one worker has taken what was queued first. */
static void wait_for_runner(struct work *w)
{
	while (work_counts(w).running == 0)
		sched_yield();
}

static void what_is_waited_for_goes_first(void **state)
{
	struct gate gate = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct turn later[20], soon[20];
	struct work *w = work_new(1);
	unsigned later_among_first = 0;

	(void)state;
	pthread_mutex_lock(&gate.lock);
	assert_int_equal(work_start(w, wait_at, NULL, NULL, &gate), 0);
	wait_for_runner(w);
	for (int i = 0; i < 20; i++) {
		later[i] = (struct turn){&gate, 100 + i};
		assert_int_equal(work_start_later(w, take_turn, NULL, NULL, &later[i]), 0);
	}
	for (int i = 0; i < 20; i++) {
		soon[i] = (struct turn){&gate, i};
		assert_int_equal(work_start(w, take_turn, NULL, NULL, &soon[i]), 0);
	}
	assert_int_equal(work_counts(w).waiting, 20);
	assert_int_equal(work_counts(w).waiting_later, 20);
	pthread_mutex_unlock(&gate.lock);
	work_free(&w); /* runs all of it */
	assert_int_equal(gate.n, 40);
	for (unsigned i = 0; i < 20; i++)
		later_among_first += gate.order[i] >= 100;
	assert_in_range(later_among_first, 1, 3); /* nobody starves */
	for (unsigned i = 1, a = 0, b = 100; i <= 40; i++) {
		int which = gate.order[i - 1];

		assert_int_equal(which, which >= 100 ? (int)b++ : (int)a++);
	}
}

static void a_full_queue_refuses(void **state)
{
	struct gate gate = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct work *w = work_new(1);
	struct job j = {0};

	(void)state;
	pthread_mutex_lock(&gate.lock);
	assert_int_equal(work_start(w, wait_at, NULL, NULL, &gate), 0);
	wait_for_runner(w);
	for (unsigned i = 0; i < WORK_MOST_WAITING; i++)
		assert_int_equal(work_start_later(w, run, NULL, NULL, &j), 0);
	assert_int_equal(work_start_later(w, run, NULL, NULL, &j), -1);
	assert_int_equal(work_start(w, run, NULL, NULL, &j), 0); /* the other queue has room */
	assert_int_equal(work_counts(w).refused, 1);
	pthread_mutex_unlock(&gate.lock);
	work_free(&w);
	assert_int_equal(j.ran, WORK_MOST_WAITING + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_job_runs_elsewhere_and_is_told_here),
		cmocka_unit_test(what_is_waited_for_goes_first),
		cmocka_unit_test(a_full_queue_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
