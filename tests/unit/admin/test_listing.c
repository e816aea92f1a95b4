/* What is listed, of memory and of a real folder, and what becomes of it with readers that are slow, leave, or do not read at all. The clock
 * passes when it is told. */
#include "tests/unit/cache/disk_ground.h"

#include <semaphore.h>

#include "node/admin/listing.h"

#define MB ((uint64_t)1024 * 1024)
#define HEAD "{\"urls\":["
#define WHOLE "],\"cut\":null}\n"

struct scene {
	struct disk_ground t;
	struct loop *loop; /* by the same clock */
	struct index *index;
	struct listing *listing;
	struct listing_ground ground;
	char *text; /* all pieces */
	size_t n, pieces, refused;
	size_t refuse, leave_at; /* so many are to be given again; the one at which the reader leaves */
	bool late;               /* the last one is */
	unsigned done;
	sem_t gate;
};

static void on_removed(void *cookie, struct entry *e)
{
	(void)cookie;
	(void)e;
}

static struct scene *scene_new(bool disk)
{
	struct scene *s = calloc(1, sizeof(*s));

	disk_ground_init(&s->t, 100 * MB);
	s->loop = loop_new(1, &s->t.clock.clock);
	s->index = index_new(on_removed, NULL);
	s->leave_at = SIZE_MAX;
	s->text = calloc(1, 1);
	s->ground = (struct listing_ground){
		.loop = s->loop,
		.index = s->index,
		.disk = disk ? s->t.disk : NULL,
		.work = s->t.work,
		.room = LISTING_ROOM,
	};
	sem_init(&s->gate, 0, 0);
	return s;
}

static void scene_free(struct scene *s)
{
	work_free(&s->t.work);
	loop_free(s->loop);
	index_free(s->index);
	disk_ground_fini(&s->t);
	sem_destroy(&s->gate);
	free(s->text);
	free(s);
}

/* ---- who reads ---- */

static enum control_piece on_piece(void *cookie, struct span json)
{
	struct scene *s = cookie;

	assert_int_equal(0, s->done);
	assert_true(s->pieces <= s->leave_at);
	s->late = s->refused < s->refuse;
	if (s->late) {
		s->refused++;
		return CONTROL_PIECE_LATER;
	}
	if (s->pieces++ == s->leave_at)
		return CONTROL_PIECE_LEFT;
	s->text = realloc(s->text, s->n + json.n + 1);
	memcpy(s->text + s->n, json.p, json.n);
	s->n += json.n;
	s->text[s->n] = '\0';
	return CONTROL_PIECE_TAKEN;
}

static void on_done(void *cookie)
{
	struct scene *s = cookie;

	s->done++;
	s->listing = NULL;
}

static void pass(struct scene *s, dur_ms d)
{
	clock_fake_pass(&s->t.clock, d);
	ground_turn(s->loop);
}

static void begin(struct scene *s, enum purgerec_kind kind, const char *value)
{
	const char *why = NULL;

	s->n = s->pieces = s->refused = 0;
	s->late = false;
	s->done = 0;
	s->listing = listing_start(&s->ground, kind, span_str(value), on_piece, on_done, s, &why);
	if (!s->listing)
		fail_msg("%s: %s", value, why);
}

static void await_end(struct scene *s)
{
	while (!s->done)
		pass(s, s->late ? 10 : 0);
	assert_int_equal(1, s->done);
}

static const char *listed(struct scene *s, enum purgerec_kind kind, const char *value)
{
	begin(s, kind, value);
	await_end(s);
	return s->text;
}

static void assert_whole(const struct scene *s)
{
	assert_memory_equal(HEAD, s->text, sizeof(HEAD) - 1);
	assert_string_equal(WHOLE, s->text + s->n - (sizeof(WHOLE) - 1));
}

/* How often this is named. */
static unsigned count(const struct scene *s, const char *url)
{
	char *quoted = NULL;
	unsigned n = 0;

	assert_true(asprintf(&quoted, "\"%s\"", url) > 0);
	for (const char *at = s->text; (at = strstr(at, quoted)) != NULL; at += strlen(quoted))
		n++;
	free(quoted);
	return n;
}

static unsigned commas(const struct scene *s)
{
	unsigned n = 0;

	for (size_t i = 0; i < s->n; i++)
		n += s->text[i] == ',';
	return n;
}

/* ---- what is in memory ---- */

struct stored {
	const char *url;
	uint16_t status;
	bool guarded, passing, for_good;
};

static struct head *head_of(const struct stored *o)
{
	size_t n = strlen(o->url);
	struct head *h = mem_zalloc(sizeof(*h) + n);

	h->refs = 1;
	h->status = o->status ? o->status : 200;
	h->terms.source = o->for_good ? FRESH_WHY_IMMUTABLE : FRESH_WHY_EXPLICIT;
	h->url_n = (uint16_t)n;
	memcpy(h->text, o->url, n);
	return h;
}

/* With a reference. */
static struct entry *pending(struct scene *s, const struct stored *o)
{
	static const struct hdrs no_fields;
	struct index_ask a = {.request = &no_fields};
	struct entry_terms terms = {.stored = !o->passing, .guarded = o->guarded};
	struct entry *e;

	key_make(&a.key, SPAN("salt"), span_str(o->url));
	assert_int_equal(INDEX_BEGUN, index_begin(s->index, &a, NULL, NULL, false, &e));
	entry_set_head(e, head_of(o), &terms);
	return e;
}

static void keep(struct scene *s, const struct stored *o)
{
	struct entry *e = pending(s, o);

	entry_end(e, ENTRY_FILLED, REASON_NONE, NULL);
	assert_true(index_publish(s->index, e));
	entry_unref(&e);
}

static void keep_many(struct scene *s, unsigned n)
{
	char url[40];

	for (unsigned i = 0; i < n; i++) {
		snprintf(url, sizeof(url), "https://many.test/%u", i);
		keep(s, &(struct stored){.url = url});
	}
}

static void assert_many(const struct scene *s, unsigned n)
{
	char url[40];

	for (unsigned i = 0; i < n; i++) {
		snprintf(url, sizeof(url), "https://many.test/%u", i);
		assert_int_equal(1, count(s, url));
	}
	assert_int_equal(n, commas(s)); /* one of them before "cut" */
	assert_whole(s);
}

static void nothing(void **state)
{
	struct scene *s = scene_new(false);

	(void)state;
	assert_string_equal(HEAD WHOLE, listed(s, PURGEREC_ALL, ""));
	scene_free(s);
}

static void only_what_is_whole_and_for_everybody(void **state)
{
	struct scene *s = scene_new(false);
	struct key key;
	struct entry *coming, *mark;

	(void)state;
	keep(s, &(struct stored){.url = "https://a.test/good"});
	keep(s, &(struct stored){.url = "https://a.test/gone", .status = 404});
	keep(s, &(struct stored){.url = "https://a.test/moved", .status = 301});
	keep(s, &(struct stored){.url = "https://a.test/mine", .guarded = true});
	keep(s, &(struct stored){.url = "https://a.test/passing", .passing = true});
	coming = pending(s, &(struct stored){.url = "https://a.test/coming"});
	key_make(&key, SPAN("salt"), SPAN("https://a.test/mark"));
	mark = index_mark(s->index, &key, MONO_NEVER);
	assert_string_equal(HEAD "\"https://a.test/good\"" WHOLE, listed(s, PURGEREC_ALL, ""));
	index_withdraw(s->index, coming);
	entry_unref(&coming);
	entry_unref(&mark);
	scene_free(s);
}

static void by_what_is_asked_for(void **state)
{
	static const struct stored all[] = {
		{.url = "https://a.test/x/1", .for_good = true},
		{.url = "https://a.test/x/2"},
		{.url = "https://a.test:8443/x/1"},
		{.url = "http://a.test/x/1"},
		{.url = "https://b.a.test/x/1"},
		{.url = "https://a.test.b/x/1", .for_good = true},
	};
	static const struct {
		enum purgerec_kind kind;
		const char *value, *named; /* as digits: which of them */
	} rows[] = {
		{PURGEREC_ALL, "", "012345"},
		{PURGEREC_HOST, "a.test", "0123"},
		{PURGEREC_HOST, "a.test:8443", "2"},
		{PURGEREC_HOST, "c.test", ""},
		{PURGEREC_PREFIX, "https://a.test", "01"},
		{PURGEREC_PREFIX, "https://a.test/x/2", "1"},
		{PURGEREC_PREFIX, "https://A.TEST/x/", "01"},
		{PURGEREC_CLASS, "immutable", "05"},
		{PURGEREC_CLASS, "mutable", "1234"},
	};
	struct scene *s = scene_new(false);

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		keep(s, &all[i]);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		listed(s, rows[i].kind, rows[i].value);
		assert_whole(s);
		for (unsigned k = 0; k < sizeof(all) / sizeof(all[0]); k++)
			assert_int_equal(strchr(rows[i].named, (int)('0' + k)) != NULL, count(s, all[k].url));
	}
	scene_free(s);
}

static void what_cannot_be_meant_is_refused(void **state)
{
	static const struct {
		enum purgerec_kind kind;
		const char *value;
	} rows[] = {{PURGEREC_PREFIX, "no-url"}, {PURGEREC_HOST, "a.test/x"}, {PURGEREC_CLASS, "tasty"}};
	struct scene *s = scene_new(false);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *why = NULL;

		assert_null(
			listing_start(&s->ground, rows[i].kind, span_str(rows[i].value), on_piece, on_done, s, &why));
		assert_non_null(why);
	}
	assert_int_equal(0, s->pieces + s->done);
	scene_free(s);
}

static void each_variant_is_named(void **state)
{
	struct scene *s = scene_new(true);

	(void)state;
	assert_true(object_put(&s->t, &(struct object){.n = 1, .bytes = 10, .vary = "accept", .value = "a"}));
	assert_true(object_put(&s->t, &(struct object){.n = 1, .bytes = 10, .vary = "accept", .value = "b"}));
	listed(s, PURGEREC_ALL, "");
	assert_int_equal(2, count(s, "http://a.test/1"));
	scene_free(s);
}

/* ---- memory and disk ---- */

static void both_places(void **state)
{
	struct scene *s = scene_new(true);
	char url[40];

	(void)state;
	for (unsigned i = 0; i < 40; i++)
		assert_true(object_put(&s->t, &(struct object){.n = i, .bytes = i * 1000}));
	keep(s, &(struct stored){.url = "http://a.test/7"});
	keep(s, &(struct stored){.url = "https://b.test/7"});
	listed(s, PURGEREC_ALL, "");
	assert_whole(s);
	for (unsigned i = 0; i < 40; i++) {
		snprintf(url, sizeof(url), "http://a.test/%u", i);
		assert_int_equal(i == 7 ? 2 : 1, count(s, url));
	}
	assert_int_equal(1, count(s, "https://b.test/7"));
	listed(s, PURGEREC_HOST, "b.test");
	assert_string_equal(HEAD "\"https://b.test/7\"" WHOLE, s->text);
	scene_free(s);
}

/* ---- how it is given away ---- */

static void more_than_there_is_room_for(void **state)
{
	struct scene *s = scene_new(false);

	(void)state;
	s->ground.room = 8192;
	keep_many(s, 3000);
	listed(s, PURGEREC_ALL, "");
	assert_true(s->n > 8 * s->ground.room && s->pieces > 8);
	assert_many(s, 3000);
	scene_free(s);
}

static void a_slow_reader_gets_all_of_memory(void **state)
{
	struct scene *s = scene_new(false);

	(void)state;
	s->ground.room = 8192;
	s->refuse = 500;
	keep_many(s, 1000);
	listed(s, PURGEREC_ALL, "");
	assert_int_equal(500, s->refused);
	assert_many(s, 1000);
	scene_free(s);
}

static void a_reader_that_reads_too_late_is_told(void **state)
{
	struct scene *s = scene_new(true);
	uint64_t before;

	(void)state;
	for (unsigned i = 0; i < 200; i++)
		assert_true(object_put(&s->t, &(struct object){.n = i, .bytes = 10}));
	s->ground.room = 1000;
	s->refuse = SIZE_MAX;
	before = work_counts(s->t.work).done;
	begin(s, PURGEREC_ALL, "");
	while (work_counts(s->t.work).done == before || work_counts(s->t.work).running)
		pass(s, 10);
	s->refuse = 0;
	await_end(s);
	assert_true(s->n < 2 * s->ground.room + 100); /* one was being given away meanwhile */
	assert_non_null(strstr(s->text, "],\"cut\":\"what was found has not been read for too long\"}\n"));
	scene_free(s);
}

/* Although no time passes: the walk calls when there is a piece. */
static void a_reader_that_keeps_up_gets_all_of_the_disk(void **state)
{
	struct scene *s = scene_new(true);

	(void)state;
	for (unsigned i = 0; i < 200; i++)
		assert_true(object_put(&s->t, &(struct object){.n = i, .bytes = 10}));
	s->ground.room = 16000;
	listed(s, PURGEREC_ALL, "");
	assert_true(s->pieces >= 2);
	assert_int_equal(200, commas(s));
	assert_whole(s);
	s->refuse = 20;
	listed(s, PURGEREC_ALL, "");
	assert_int_equal(20, s->refused);
	assert_int_equal(200, commas(s));
	assert_whole(s);
	scene_free(s);
}

static void one_that_leaves(void **state)
{
	struct scene *s = scene_new(true);

	(void)state;
	s->ground.room = 8192;
	keep_many(s, 1000);
	assert_true(object_put(&s->t, &(struct object){.n = 1, .bytes = 10}));
	for (s->leave_at = 0; s->leave_at < 3; s->leave_at++) {
		listed(s, PURGEREC_ALL, "");
		assert_int_equal(s->leave_at + 1, s->pieces);
	}
	scene_free(s);
}

/* ---- workers that have much to do ---- */

static void wait_at_gate(void *arg)
{
	struct scene *s = arg;

	while (sem_wait(&s->gate) != 0)
		;
}

static void hold_workers(struct scene *s, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(0, work_start_later(s->t.work, wait_at_gate, NULL, NULL, s));
	while (work_counts(s->t.work).running < 2)
		ground_turn(s->loop);
}

static void let_workers_go(struct scene *s, unsigned n)
{
	while (n--)
		sem_post(&s->gate);
}

static void a_sign_of_life(void **state)
{
	struct scene *s = scene_new(true);

	(void)state;
	assert_true(object_put(&s->t, &(struct object){.n = 1, .bytes = 10}));
	hold_workers(s, 2);
	begin(s, PURGEREC_ALL, "");
	while (s->pieces < 4)
		pass(s, LISTING_EVERY);
	assert_string_equal(HEAD "\n\n\n", s->text);
	let_workers_go(s, 2);
	await_end(s);
	assert_non_null(strstr(s->text, "\n\"http://a.test/1\"" WHOLE));
	scene_free(s);
}

static void a_disk_with_too_much_to_do(void **state)
{
	struct scene *s = scene_new(true);

	(void)state;
	hold_workers(s, 2);
	for (unsigned i = 0; i < WORK_MOST_WAITING; i++)
		assert_int_equal(0, work_start_later(s->t.work, wait_at_gate, NULL, NULL, s));
	assert_string_equal(HEAD "],\"cut\":\"the disk has too much to do: try again later\"}\n",
			    listed(s, PURGEREC_ALL, ""));
	let_workers_go(s, WORK_MOST_WAITING + 2);
	scene_free(s);
}

static void cancelled(void **state)
{
	struct scene *s = scene_new(true);

	(void)state;
	keep_many(s, 1000);
	assert_true(object_put(&s->t, &(struct object){.n = 1, .bytes = 10}));
	begin(s, PURGEREC_ALL, "");
	listing_cancel(&s->listing); /* before it has begun */
	begin(s, PURGEREC_ALL, "");
	ground_turn(s->loop);
	listing_cancel(&s->listing); /* in memory */
	hold_workers(s, 2);
	begin(s, PURGEREC_ALL, "");
	while (work_counts(s->t.work).waiting_later == 0)
		ground_turn(s->loop);
	listing_cancel(&s->listing); /* on the disk */
	assert_null(s->listing);
	let_workers_go(s, 2);
	while (work_counts(s->t.work).running || work_counts(s->t.work).waiting_later)
		ground_turn(s->loop);
	ground_turn(s->loop);
	assert_int_equal(0, s->done);
	listing_cancel(&s->listing);
	scene_free(s);
}

/* The loop ends while a worker walks. */
static void left_behind(void **state)
{
	struct scene *s = scene_new(true);

	(void)state;
	hold_workers(s, 2);
	begin(s, PURGEREC_ALL, "");
	while (work_counts(s->t.work).waiting_later == 0)
		ground_turn(s->loop);
	listing_cancel(&s->listing);
	let_workers_go(s, 2);
	scene_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing),
		cmocka_unit_test(only_what_is_whole_and_for_everybody),
		cmocka_unit_test(by_what_is_asked_for),
		cmocka_unit_test(what_cannot_be_meant_is_refused),
		cmocka_unit_test(each_variant_is_named),
		cmocka_unit_test(both_places),
		cmocka_unit_test(more_than_there_is_room_for),
		cmocka_unit_test(a_slow_reader_gets_all_of_memory),
		cmocka_unit_test(a_reader_that_reads_too_late_is_told),
		cmocka_unit_test(a_reader_that_keeps_up_gets_all_of_the_disk),
		cmocka_unit_test(one_that_leaves),
		cmocka_unit_test(a_sign_of_life),
		cmocka_unit_test(a_disk_with_too_much_to_do),
		cmocka_unit_test(cancelled),
		cmocka_unit_test(left_behind),
	};

	return cmocka_run_group_tests_name("listing", tests, NULL, NULL);
}
