#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "node/base/mem.h"
#include "node/base/rng.h"
#include "node/cache/index.h"
#include "tests/unit/lanes.h"

static void on_removed(void *cookie, struct entry *e)
{
	(void)cookie;
	(void)e;
}

static struct head *head_of(int status, const char *vary)
{
	size_t n = strlen(vary);
	struct head *h = mem_zalloc(sizeof(*h) + n);

	h->refs = 1;
	h->status = (uint16_t)status;
	h->vary_n = (uint16_t)n;
	memcpy(h->text, vary, n);
	return h;
}

static struct key_credential credential(unsigned n)
{
	struct key_credential c = {{1}};

	c.b[1] = (uint8_t)n;
	return c;
}

/* ---- phases ---- */

static void phases(void **state)
{
	struct index *x = index_new(on_removed, NULL);
	struct entry *e = index_private(x);
	struct entry_terms terms = {
		.stored = true, .guarded = true, .shared = true, .joinable = true, .variant = {{7}}};
	struct entry_view v;

	(void)state;
	entry_look(e, &v);
	assert_int_equal(v.phase, ENTRY_NEW);
	assert_null(v.head);
	entry_set_head(e, head_of(200, ""), &terms);
	entry_look(e, &v);
	assert_int_equal(v.phase, ENTRY_FILLING);
	assert_int_equal(v.head->status, 200);
	assert_true(v.stored && v.guarded && v.shared);
	assert_int_equal(v.variant.b[0], 7);
	head_unref(&v.head);
	entry_swap_head(e, head_of(203, ""));
	assert_false(entry_end(e, ENTRY_FILLED, REASON_NONE, NULL));
	entry_look(e, &v);
	assert_int_equal(v.phase, ENTRY_COMPLETE);
	assert_int_equal(v.outcome, ENTRY_FILLED);
	assert_int_equal(v.head->status, 203);
	head_unref(&v.head);
	entry_unref(&e);
	assert_null(e);
	index_free(x);
}

static void failures_have_a_reason_and_a_text(void **state)
{
	struct index *x = index_new(on_removed, NULL);
	struct entry *e = index_private(x);
	char long_text[2 * ENTRY_DETAIL_BYTES], out[ENTRY_DETAIL_BYTES + 1];
	struct entry_view v;

	(void)state;
	memset(long_text, 'x', sizeof(long_text));
	entry_detail(e, out);
	assert_string_equal(out, "");
	entry_set_detail(e, SPAN("first"));
	entry_set_detail(e, SPAN_NONE);
	entry_detail(e, out);
	assert_string_equal(out, "");
	entry_set_detail(e, span_of(long_text, sizeof(long_text)));
	entry_end(e, ENTRY_BROKEN, REASON_CONNECT_REFUSED, NULL);
	entry_look(e, &v);
	assert_int_equal(v.phase, ENTRY_FAILED);
	assert_int_equal(v.outcome, ENTRY_BROKEN);
	assert_int_equal(v.why, REASON_CONNECT_REFUSED);
	entry_detail(e, out);
	assert_int_equal(strlen(out), ENTRY_DETAIL_BYTES);
	entry_unref(&e);
	index_free(x);
}

/* ---- credentials ---- */

static void a_guarded_entry_admits_whom_the_origin_has(void **state)
{
	struct index *x = index_new(on_removed, NULL);
	struct entry *e = index_private(x);
	struct entry_terms terms = {.stored = true, .guarded = true};
	struct key_credential a = credential(1), b = credential(2), nobody = {{0}};

	(void)state;
	entry_set_head(e, head_of(200, ""), &terms);
	assert_false(entry_admits(e, &a, 0));
	assert_false(entry_admits(e, &nobody, 0));
	entry_admit(e, &a, 100);
	assert_true(entry_admits(e, &a, 99));
	assert_false(entry_admits(e, &a, 100));
	assert_false(entry_admits(e, &b, 99));
	assert_false(entry_admits(e, &nobody, 99));
	entry_admit(e, &a, 200);
	assert_true(entry_admits(e, &a, 199));
	entry_admit(e, &nobody, 200);
	assert_true(entry_admits(e, &b, 1000));
	assert_true(entry_admits(e, &nobody, 1000));
	entry_unref(&e);
	index_free(x);
}

static void the_oldest_credential_is_forgotten(void **state)
{
	struct index *x = index_new(on_removed, NULL);
	struct entry *e = index_private(x);
	struct entry_terms terms = {.stored = true, .guarded = true};
	struct key_credential c;

	(void)state;
	entry_set_head(e, head_of(200, ""), &terms);
	for (unsigned i = 0; i < ENTRY_MAX_PASSES; i++) {
		c = credential(i);
		entry_admit(e, &c, 1000 + (mono_us)((i + 7) % ENTRY_MAX_PASSES)); /* 25 is the oldest */
	}
	c = credential(200);
	entry_admit(e, &c, 2000);
	assert_true(entry_admits(e, &c, 0));
	for (unsigned i = 0; i < ENTRY_MAX_PASSES; i++) {
		c = credential(i);
		assert_int_equal(entry_admits(e, &c, 0), i != 25);
	}
	entry_unref(&e);
	index_free(x);
}

/* ---- watching: one loop ---- */

#define MOST 6

struct stage {
	struct lane lane;
	struct index *index;
	struct entry *entry;
	struct watcher {
		struct stage *stage;
		struct entry_watch watch;
		unsigned told;
		void (*act)(struct watcher *);
	} w[MOST];
	unsigned filler_told, told_inside;
};

static void on_change(void *cookie)
{
	struct watcher *w = cookie;

	w->told++;
	if (w->act)
		w->act(w);
}

static void on_readers(void *arg)
{
	struct stage *s = arg;

	s->filler_told++;
}

static void watch(struct stage *s, unsigned i)
{
	entry_watch_start(&s->w[i].watch, s->entry, s->lane.loop, 0, on_change, &s->w[i]);
}

static void stage_open(struct stage *s)
{
	memset(s, 0, sizeof(*s));
	lane_start(&s->lane, 0, &clock_system, 0, 0);
	s->index = index_new(on_removed, NULL);
	s->entry = index_private(s->index);
	for (unsigned i = 0; i < MOST; i++)
		s->w[i].stage = s;
}

static void on_stop_all(void *arg)
{
	struct stage *s = arg;

	for (unsigned i = 0; i < MOST; i++)
		entry_watch_stop(&s->w[i].watch);
}

static void stage_close(struct stage *s)
{
	lane_do(&s->lane, on_stop_all, s);
	lane_settle(&s->lane);
	lane_stop(&s->lane);
	entry_unref(&s->entry);
	index_free(s->index);
}

static void on_watch_all(void *arg)
{
	struct stage *s = arg;

	for (unsigned i = 0; i < MOST; i++)
		watch(s, i);
}

static void on_grown_here(void *arg)
{
	struct stage *s = arg;

	entry_grown(s->entry, s->lane.loop);
	entry_grown(s->entry, s->lane.loop);
	for (unsigned i = 0; i < MOST; i++)
		s->told_inside += s->w[i].told;
}

static void all_are_told_once(void **state)
{
	struct stage s;

	(void)state;
	stage_open(&s);
	lane_do(&s.lane, on_watch_all, &s);
	lane_do(&s.lane, on_grown_here, &s);
	assert_int_equal(s.told_inside, 0);
	lane_settle(&s.lane);
	for (unsigned i = 0; i < MOST; i++)
		assert_int_equal(s.w[i].told, 1);
	entry_grown(s.entry, NULL); /* from another thread: by post */
	entry_grown(s.entry, NULL);
	lane_settle(&s.lane);
	for (unsigned i = 0; i < MOST; i++)
		assert_in_range(s.w[i].told, 2, 3);
	stage_close(&s);
}

static void stop_self(struct watcher *w)
{
	entry_watch_stop(&w->watch);
}

static void stop_all_others(struct watcher *w)
{
	for (unsigned i = 0; i < MOST; i++)
		if (&w->stage->w[i] != w)
			entry_watch_stop(&w->stage->w[i].watch);
}

static void stop_all(struct watcher *w)
{
	on_stop_all(w->stage);
}

static void stop_and_start_again(struct watcher *w)
{
	if (w->told > 20)
		return; /* the walk did not end */
	entry_watch_stop(&w->watch);
	watch(w->stage, (unsigned)(w - w->stage->w));
}

static void all_stop_one_starts(struct watcher *w)
{
	on_stop_all(w->stage);
	watch(w->stage, 0);
}

static unsigned told_in_all(const struct stage *s)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < MOST; i++)
		sum += s->w[i].told;
	return sum;
}

static void callbacks_may_stop_and_start_watches(void **state)
{
	static const struct {
		void (*act)(struct watcher *);
		unsigned first, then; /* calls in a first round, and in both */
	} rows[] = {
		{stop_self, MOST, MOST},
		{stop_all_others, 1, 2},
		{stop_all, 1, 1},
		{stop_and_start_again, MOST, 2 * MOST},
		{all_stop_one_starts, 1, 2},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct stage s;

		stage_open(&s);
		for (unsigned k = 0; k < MOST; k++)
			s.w[k].act = rows[i].act;
		lane_do(&s.lane, on_watch_all, &s);
		entry_grown(s.entry, NULL);
		lane_settle(&s.lane);
		assert_int_equal(told_in_all(&s), rows[i].first);
		entry_grown(s.entry, NULL);
		lane_settle(&s.lane);
		assert_int_equal(told_in_all(&s), rows[i].then);
		stage_close(&s);
	}
}

static void on_stop_before_the_post_comes(void *arg)
{
	struct stage *s = arg;

	on_watch_all(s);
	entry_grown(s->entry, NULL); /* waits behind us */
	on_stop_all(s);
}

static void who_has_left_is_not_told(void **state)
{
	struct stage s;

	(void)state;
	stage_open(&s);
	lane_do(&s.lane, on_stop_before_the_post_comes, &s);
	lane_settle(&s.lane);
	assert_int_equal(told_in_all(&s), 0);
	stage_close(&s);
}

/* The entry's last reference goes while a wake-up is on its way. */
static void on_let_go_under_way(void *arg)
{
	struct stage *s = arg;

	on_watch_all(s);
	entry_grown(s->entry, NULL);
	on_stop_all(s);
	entry_unref(&s->entry);
}

static void a_wake_up_keeps_the_entry(void **state)
{
	struct stage s;

	(void)state;
	stage_open(&s);
	lane_do(&s.lane, on_let_go_under_way, &s);
	lane_settle(&s.lane);
	stage_close(&s);
}

/* ---- the filler ---- */

static void set_filler(struct stage *s)
{
	struct entry_filler f = {.loop = s->lane.loop, .on_readers = on_readers, .arg = s};

	entry_set_filler(s->entry, &f);
}

static void on_advance(void *arg)
{
	struct stage *s = arg;

	for (unsigned i = 0; i < MOST; i++)
		entry_watch_advance(&s->w[i].watch, 100 + i);
}

static void the_filler_learns_that_all_have_left(void **state)
{
	struct stage s;
	struct entry_terms terms = {.stored = true};

	(void)state;
	stage_open(&s);
	set_filler(&s);
	lane_do(&s.lane, on_watch_all, &s);
	entry_set_head(s.entry, head_of(200, ""), &terms);
	assert_int_equal(entry_readers(s.entry, false).n, MOST);
	lane_do(&s.lane, on_advance, &s); /* of no interest: it is stored */
	lane_settle(&s.lane);
	assert_int_equal(s.filler_told, 0);
	assert_int_equal(entry_readers(s.entry, false).slowest, 100);
	lane_do(&s.lane, on_stop_all, &s);
	lane_settle(&s.lane);
	assert_int_equal(s.filler_told, 1);
	assert_int_equal(entry_readers(s.entry, true).n, 0);
	assert_true(entry_readers(s.entry, false).slowest == UINT64_MAX);
	assert_false(entry_end(s.entry, ENTRY_FILLED, REASON_NONE, NULL));
	stage_close(&s);
}

static void a_window_moves_with_its_readers(void **state)
{
	struct stage s;
	struct entry_terms terms = {.stored = false};

	(void)state;
	stage_open(&s);
	set_filler(&s);
	lane_do(&s.lane, on_watch_all, &s);
	entry_set_head(s.entry, head_of(200, ""), &terms);
	lane_do(&s.lane, on_advance, &s);
	lane_settle(&s.lane);
	assert_int_equal(s.filler_told, 1); /* one post, however many have moved, until it has been heard */
	lane_do(&s.lane, on_advance, &s);
	lane_settle(&s.lane);
	assert_int_equal(s.filler_told, 1);
	assert_int_equal(entry_readers(s.entry, true).slowest, 100);
	lane_do(&s.lane, on_advance, &s);
	lane_settle(&s.lane);
	assert_int_equal(s.filler_told, 2);
	assert_true(entry_end(s.entry, ENTRY_FILLED, REASON_NONE,
			      NULL)); /* that one was not answered by entry_readers(true) */
	lane_do(&s.lane, on_stop_all, &s);
	lane_settle(&s.lane);
	assert_int_equal(s.filler_told, 2); /* and nothing comes after the end */
	stage_close(&s);
}

/* Who joined, but starts to read only when the window has moved on, must not take what is there for the beginning. */
static void who_comes_too_late_for_a_window_is_told(void **state)
{
	struct stage s;
	struct entry_terms terms = {.shared = true};
	struct entry_view v;

	(void)state;
	stage_open(&s);
	set_filler(&s);
	lane_do(&s.lane, on_watch_all, &s);
	entry_set_head(s.entry, head_of(200, ""), &terms);
	entry_readers(s.entry, false);
	entry_look(s.entry, &v);
	assert_true(v.shared); /* all stand at 0 still */
	head_unref(&v.head);
	lane_do(&s.lane, on_advance, &s);
	entry_readers(s.entry, false); /* from now on the filler may trim */
	entry_look(s.entry, &v);
	assert_false(v.shared);
	head_unref(&v.head);
	entry_end(s.entry, ENTRY_FILLED, REASON_NONE, NULL);
	stage_close(&s);
}

static void unstoring_closes_the_door(void **state)
{
	struct index *x = index_new(on_removed, NULL);
	struct entry *e = index_private(x);
	struct entry_terms terms = {.stored = true, .shared = true, .joinable = true};
	struct entry_view v;

	(void)state;
	entry_set_head(e, head_of(200, ""), &terms);
	entry_unstore(e);
	entry_look(e, &v);
	assert_false(v.stored);
	head_unref(&v.head);
	entry_unref(&e);
	index_free(x);
}

static void overhead_counts_head_and_passes(void **state)
{
	struct index *x = index_new(on_removed, NULL);
	struct entry *e = index_private(x);
	struct entry_terms terms = {.guarded = true};
	struct key_credential a = credential(1);
	uint64_t bare = entry_overhead(e), with_head;

	(void)state;
	assert_true(bare >= sizeof(struct entry));
	entry_set_head(e, head_of(200, "accept"), &terms);
	with_head = entry_overhead(e);
	assert_true(with_head >= bare + sizeof(struct head) + 6);
	entry_admit(e, &a, 1);
	assert_true(entry_overhead(e) >= with_head + ENTRY_MAX_PASSES * sizeof(struct entry_pass));
	entry_unref(&e);
	index_free(x);
}

/* ---- three loops: one fills, all read ---- */

#define LOOPS 3
#define READERS_A_LOOP 4
#define BODY_BYTES ((uint64_t)700 * 1000)

static char byte_at(uint64_t pos)
{
	return (char)(pos * 2654435761u >> 9 ^ pos);
}

struct meeting {
	struct lane lanes[LOOPS];
	struct index *index;
	struct entry *entry;
	struct rng rng; /* the filler's */
	struct deferred job;
	sem_t ends;
	_Atomic unsigned wrong;
	struct attendant {
		struct meeting *meeting;
		struct lane *lane;
		struct entry_watch watch;
		struct body_at at;
		struct rng rng;
		uint64_t leaves_at; /* UINT64_MAX: stays to the end */
		bool done;
	} readers[LOOPS * READERS_A_LOOP];
};

static void leave(struct attendant *a)
{
	entry_watch_stop(&a->watch);
	a->done = true;
	sem_post(&a->meeting->ends);
}

static void read_on(void *cookie)
{
	struct attendant *a = cookie;
	struct meeting *m = a->meeting;
	struct entry_view v;
	struct span s[3];
	int n;

	if (a->done) {
		atomic_fetch_add(&m->wrong, 1); /* told after having left */
		return;
	}
	entry_look(m->entry, &v);
	head_unref(&v.head);
	while ((n = body_spans(&m->entry->body, &a->at, s, 3, 1 + rng_below(&a->rng, 90000))) > 0) {
		for (int i = 0; i < n; i++) {
			for (size_t k = 0; k < s[i].n; k++)
				if (s[i].p[k] != byte_at(a->at.pos + k))
					atomic_fetch_add(&m->wrong, 1);
			body_advance(&a->at, s[i].n);
		}
		entry_watch_advance(&a->watch, a->at.pos);
	}
	if (a->at.pos >= a->leaves_at) {
		leave(a);
	} else if (v.phase == ENTRY_COMPLETE) { /* as it was before we read */
		if (a->at.pos != BODY_BYTES)
			atomic_fetch_add(&m->wrong, 1);
		leave(a);
	}
}

static void on_attend(void *arg)
{
	struct attendant *a = arg;

	entry_watch_start(&a->watch, a->meeting->entry, a->lane->loop, 0, read_on, a);
	read_on(a);
}

static void fill_on(void *arg)
{
	struct meeting *m = arg;
	struct body *b = &m->entry->body;
	uint64_t length = body_length(b), charged = 0;
	size_t room, n = 1 + (size_t)rng_below(&m->rng, 20000);
	char *p = body_room(b, UINT64_MAX, &room, &charged);

	if (n > room)
		n = room;
	if (n > BODY_BYTES - length)
		n = (size_t)(BODY_BYTES - length);
	for (size_t i = 0; i < n; i++)
		p[i] = byte_at(length + i);
	body_publish(b, n);
	if (length + n == BODY_BYTES) {
		entry_end(m->entry, ENTRY_FILLED, REASON_NONE, m->lanes[0].loop);
		sem_post(&m->ends);
		return;
	}
	entry_grown(m->entry, m->lanes[0].loop);
	loop_bulk(m->lanes[0].loop, &m->job, fill_on, m);
}

static void on_fill(void *arg)
{
	struct meeting *m = arg;
	struct entry_terms terms = {.stored = true, .shared = true, .joinable = true};

	entry_set_head(m->entry, head_of(200, ""), &terms);
	fill_on(m);
}

static void meet(int64_t delay_us, uint64_t seed)
{
	static const uint64_t leaves_at[READERS_A_LOOP] = {UINT64_MAX, 0, 300000, UINT64_MAX};
	struct meeting *m = NEW(struct meeting);

	rng_seed(&m->rng, seed);
	sem_init(&m->ends, 0, 0);
	m->index = index_new(on_removed, NULL);
	m->entry = index_private(m->index);
	for (int i = 0; i < LOOPS; i++)
		lane_start(&m->lanes[i], i, &clock_system, delay_us, seed + (uint64_t)i);
	for (unsigned i = 0; i < LOOPS * READERS_A_LOOP; i++) {
		struct attendant *a = &m->readers[i];

		a->meeting = m;
		a->lane = &m->lanes[i % LOOPS];
		a->leaves_at = leaves_at[i / LOOPS];
		rng_seed(&a->rng, seed + i);
		loop_post(a->lane->loop, on_attend, a);
		if (i == LOOPS)
			loop_post(m->lanes[0].loop, on_fill, m);
	}
	for (unsigned i = 0; i < LOOPS * READERS_A_LOOP + 1; i++)
		while (sem_wait(&m->ends) != 0)
			;
	for (int i = 0; i < LOOPS; i++)
		lane_settle(&m->lanes[i]);
	for (int i = 0; i < LOOPS; i++)
		lane_stop(&m->lanes[i]);
	assert_int_equal(atomic_load(&m->wrong), 0);
	entry_unref(&m->entry);
	index_free(m->index);
	sem_destroy(&m->ends);
	free(m);
}

static void three_loops_read_what_one_fills(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 15; seed++)
		meet(seed % 3 == 0 ? 300 : 0, seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(phases),
		cmocka_unit_test(failures_have_a_reason_and_a_text),
		cmocka_unit_test(a_guarded_entry_admits_whom_the_origin_has),
		cmocka_unit_test(the_oldest_credential_is_forgotten),
		cmocka_unit_test(all_are_told_once),
		cmocka_unit_test(callbacks_may_stop_and_start_watches),
		cmocka_unit_test(who_has_left_is_not_told),
		cmocka_unit_test(a_wake_up_keeps_the_entry),
		cmocka_unit_test(the_filler_learns_that_all_have_left),
		cmocka_unit_test(a_window_moves_with_its_readers),
		cmocka_unit_test(who_comes_too_late_for_a_window_is_told),
		cmocka_unit_test(unstoring_closes_the_door),
		cmocka_unit_test(overhead_counts_head_and_passes),
		cmocka_unit_test(three_loops_read_what_one_fills),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
