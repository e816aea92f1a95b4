/* peer_desk: two nodes, each with its cluster loop on a thread of its own, and askers on others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "node/base/mem.h"
#include "node/base/rng.h"
#include "peer/peer_desk.h"
#include "peer/peer_internal.h"
#include "proto/rendezvous.h"
#include "tests/unit/lanes.h"

#define LIMIT_S 20

struct house {
	struct lane lane;
	char name[PEERMSG_NAME_BYTES + 1];
	uint32_t id;
	struct addr at;
	struct index *index;
	struct peer_streams *streams;
	struct peer_news *news;
	enum peer_lookup lookup;
	struct peer_desk *desk;
	char why[300];
	struct peer_member members[2];
	unsigned ups;
	struct peer_audits audits;
};

struct town {
	struct house house[2];
	struct lane askers[2];
	bool has_seen_busy;
};

static void on_removed(void *cookie, struct entry *e)
{
	struct house *h = cookie;

	if (entry_was_shareable(e))
		peer_news_put(h->news, PEER_NEWS_LEFT, e->key.b);
}

static struct addr free_port(void)
{
	struct addr a;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_int_equal(addr_parse_ip(SPAN("127.0.0.1"), 0, &a), 0);
	assert_int_equal(bind(fd, &a.sa, a.len), 0);
	assert_int_equal(getsockname(fd, &a.sa, &a.len), 0);
	close(fd);
	return a;
}

/* ---- on the cluster loops ---- */

static void open_desk(void *arg)
{
	struct house *h = arg;
	struct peer_desk_settings s = {
		.loop = h->lane.loop,
		.at = h->at,
		.self = {.role = PEER_EDGE, .boot = 1 + h->id, .seed = h->id, .lookup = h->lookup},
		.index = h->index,
		.streams = h->streams,
		.news = h->news};

	memcpy(s.self.name, h->name, sizeof(h->name));
	h->desk = peer_desk_open(&s, h->why, sizeof(h->why));
}

static void introduce(void *arg)
{
	const struct house *h = arg;
	struct peer_secret secret = {.kid = 3, .b = "thirty-two bytes that are secret"};

	peer_set_secrets(peer_desk_set(h->desk), &secret, 1, 3);
	assert_int_equal(peer_set_members(peer_desk_set(h->desk), h->members, 2, loop_now(h->lane.loop)), 0);
	peer_desk_stir(h->desk);
}

static void count_ups(void *arg)
{
	struct house *h = arg;

	h->ups = (unsigned)peer_set_count(peer_desk_set(h->desk), PEER_UP);
}

static void close_desk(void *arg)
{
	struct house *h = arg;

	peer_desk_close(&h->desk, 0);
	peer_desk_close(&h->desk, 0); /* harmless */
}

/* ---- the town ---- */

static void wait_till_up(struct house *h)
{
	mono_us start = clock_mono(&clock_system);

	do {
		lane_do(&h->lane, count_ups, h);
		assert_true(clock_mono(&clock_system) - start < LIMIT_S * 1000000);
	} while (h->ups == 0);
}

static struct town *town_of(enum peer_lookup lookup, int64_t delay_us)
{
	struct town *t = NEW(struct town);

	for (int i = 0; i < 2; i++) {
		struct house *h = &t->house[i];

		snprintf(h->name, sizeof(h->name), "house-%d.test", i);
		h->id = rendezvous_node_id(span_str(h->name));
		h->at = free_port();
		h->index = index_new(on_removed, h);
		h->streams = peer_streams_new(2, 64);
		h->news = peer_news_new();
		h->lookup = lookup;
		lane_start(&h->lane, i, &clock_system, delay_us, 3);
		lane_start(&t->askers[i], 2 + i, &clock_system, delay_us, 4);
		lane_do(&h->lane, open_desk, h);
		assert_string_equal(h->why, "");
	}
	for (int i = 0; i < 2; i++) {
		for (int k = 0; k < 2; k++) {
			t->house[i].members[k] = (struct peer_member){.role = PEER_EDGE, .addr = t->house[k].at};
			memcpy(t->house[i].members[k].name, t->house[k].name, sizeof(t->house[k].name));
		}
		lane_do(&t->house[i].lane, introduce, &t->house[i]);
	}
	for (int i = 0; i < 2; i++)
		wait_till_up(&t->house[i]);
	return t;
}

static struct town *town_new(int64_t delay_us)
{
	return town_of(PEER_LOOKUP_AUTO, delay_us);
}

/* All errands have ended. */
static void town_free(struct town *t)
{
	for (int i = 0; i < 2; i++)
		lane_settle(&t->askers[i]);
	for (int i = 0; i < 2; i++) {
		lane_do(&t->house[i].lane, close_desk, &t->house[i]);
		lane_settle(&t->house[i].lane);
	}
	for (int i = 0; i < 2; i++) {
		lane_settle(&t->askers[i]);
		lane_stop(&t->askers[i]);
	}
	for (int i = 0; i < 2; i++) {
		lane_stop(&t->house[i].lane);
		index_free(t->house[i].index);
		peer_news_free(t->house[i].news);
		peer_streams_free(t->house[i].streams);
	}
	free(t);
}

static void store(struct house *h, const struct key *key, const char *vary_text)
{
	struct hdrs fields = {0};
	struct index_ask ask = {.key = *key, .request = &fields};
	size_t n = strlen(vary_text);
	struct head *head = mem_zalloc(sizeof(*head) + n + HEAD_DIGEST_BYTES);
	struct entry_terms terms = {.stored = true, .shared = true, .joinable = true};
	struct entry *e = NULL;
	struct vary vary;

	head->refs = 1;
	head->status = 200;
	head->vary_n = (uint16_t)n;
	memcpy(head->text, vary_text, n);
	head->has_room = true;
	head->terms.lifetime_s = FRESH_FOREVER_S;
	assert_int_equal(index_begin(h->index, &ask, NULL, NULL, true, &e), INDEX_BEGUN);
	vary_parse(span_str(vary_text), &vary);
	key_variant(&terms.variant, &vary, &fields);
	entry_set_head(e, head, &terms);
	entry_end(e, ENTRY_FILLED, REASON_NONE, NULL);
	assert_true(index_publish(h->index, e));
	entry_unref(&e);
}

/* ---- errands ---- */

struct walk {
	struct peer_errand errand;
	struct peer_desk *desk;
	struct loop *loop;
	struct peer_ask ask;
	struct peer_answer answer;
	bool inside;
	sem_t done;
};

static void on_answer(void *cookie, const struct peer_answer *answer)
{
	struct walk *w = cookie;

	assert_false(w->inside);
	w->answer = *answer;
	sem_post(&w->done);
}

static void walk_start(void *arg)
{
	struct walk *w = arg;

	w->inside = true;
	peer_errand_start(&w->errand, w->desk, w->loop, &w->ask, on_answer, w);
	w->inside = false;
}

static void walk_again(void *arg)
{
	struct walk *w = arg;

	peer_errand_again(&w->errand, 0, &w->answer.v[0].node, w->answer.n);
}

static void walk_fetch(void *arg)
{
	struct walk *w = arg;

	peer_errand_fetching(&w->errand);
	peer_errand_progress(&w->errand, 1000);
}

static void walk_stream(void *arg)
{
	struct walk *w = arg;

	peer_errand_streaming(&w->errand, 1);
}

static void walk_end(void *arg)
{
	struct walk *w = arg;

	peer_errand_end(&w->errand, false, 0);
	peer_errand_end(&w->errand, false, 0); /* harmless */
}

static void walk_init(struct walk *w, struct house *h, struct loop *loop, const char *what)
{
	*w = (struct walk){.desk = h->desk, .loop = loop, .ask.intent = true};
	key_make(&w->ask.key, SPAN("salt"), span_str(what));
	sem_init(&w->done, 0, 0);
}

static void wait_for_answer(struct walk *w)
{
	struct timespec limit;

	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += LIMIT_S;
	assert_int_equal(sem_timedwait(&w->done, &limit), 0);
}

/* From an asker's lane, or from the cluster loop itself. */
static void ask_for(struct lane *lane, struct walk *w)
{
	lane_do(lane, walk_start, w);
	wait_for_answer(w);
}

/* Answers are waited for by the clock, and a machine under load may be too slow for once: then it is asked again. */
static void ask_until(struct lane *lane, struct walk *w, bool (*is_it)(const struct peer_answer *))
{
	mono_us start = clock_mono(&clock_system);

	ask_for(lane, w);
	while (!is_it(&w->answer)) {
		assert_true(clock_mono(&clock_system) - start < LIMIT_S * 1000000);
		lane_do(lane, walk_end, w);
		ask_for(lane, w);
	}
}

static bool is_found(const struct peer_answer *a)
{
	return a->verdict == PEER_SOURCES;
}

static bool varies(const struct peer_answer *a)
{
	return strcmp(a->vary, "accept") == 0;
}

static void ask_until_found(struct lane *lane, struct walk *w)
{
	ask_until(lane, w, is_found);
}

static void questions_cross_the_loops(void **state)
{
	struct town *t = town_new(0);
	struct walk w;

	(void)state;
	for (int from = 0; from < 2; from++) {
		struct lane *lane = from ? &t->askers[0] : &t->house[0].lane;

		walk_init(&w, &t->house[0], lane->loop, "nowhere");
		ask_for(lane, &w);
		assert_int_equal(w.answer.verdict, PEER_NOBODY);
		assert_int_equal(w.answer.asked, 1);
		lane_do(lane, walk_end, &w);

		walk_init(&w, &t->house[0], lane->loop, from ? "there" : "there, too");
		store(&t->house[1], &w.ask.key, "");
		ask_until_found(lane, &w);
		assert_int_equal(w.answer.n, 1);
		assert_int_equal(w.answer.v[0].node, t->house[1].id);
		assert_string_equal(w.answer.v[0].name, t->house[1].name);
		assert_true(addr_same(&w.answer.v[0].addr, &t->house[1].at));
		assert_false(w.answer.v[0].pending);

		lane_do(lane, walk_again, &w); /* it was no good */
		wait_for_answer(&w);
		assert_int_equal(w.answer.verdict, PEER_NOBODY);
		lane_do(lane, walk_end, &w);
	}
	town_free(t);
}

static void who_fetches_is_found_by_the_other(void **state)
{
	struct town *t = town_new(0);
	struct walk fetcher, reader;

	(void)state;
	walk_init(&fetcher, &t->house[0], t->askers[0].loop, "new");
	ask_for(&t->askers[0], &fetcher);
	assert_int_equal(fetcher.answer.verdict, PEER_NOBODY);
	lane_do(&t->askers[0], walk_fetch, &fetcher);
	lane_settle(&t->house[0].lane);

	walk_init(&reader, &t->house[1], t->askers[1].loop, "new");
	ask_until_found(&t->askers[1], &reader);
	assert_int_equal(reader.answer.v[0].node, t->house[0].id);
	assert_true(reader.answer.v[0].pending);
	assert_int_equal(reader.answer.v[0].order, 1);
	lane_do(&t->askers[1], walk_stream, &reader);
	lane_do(&t->askers[1], walk_end, &reader);
	lane_do(&t->askers[0], walk_end, &fetcher);
	town_free(t);
}

static void look_for_busy(void *arg)
{
	struct town *t = arg;
	struct peer_view v;

	assert_true(peer_set_find(peer_desk_set(t->house[0].desk), t->house[1].id, &v));
	t->has_seen_busy = v.score->said[PEERMSG_BUSY] > 0;
}

static void what_is_here_is_told_as_it_is(void **state)
{
	struct town *t = town_new(0);
	struct peermsg_key half;
	struct walk w;

	(void)state;
	walk_init(&w, &t->house[0], t->askers[0].loop, "varies");
	store(&t->house[1], &w.ask.key, "accept");
	ask_until(&t->askers[0], &w, varies);
	assert_int_equal(w.answer.verdict, PEER_NOBODY);
	lane_do(&t->askers[0], walk_end, &w);

	walk_init(&w, &t->house[0], t->askers[0].loop, "wanted by many");
	store(&t->house[1], &w.ask.key, "");
	memcpy(half.b, w.ask.key.b, sizeof(half.b));
	assert_true(peer_streams_begin(t->house[1].streams, &half));
	assert_true(peer_streams_begin(t->house[1].streams, &half));
	do { /* what the asker makes of it is its own affair */
		ask_for(&t->askers[0], &w);
		lane_do(&t->askers[0], walk_end, &w);
		lane_do(&t->house[0].lane, look_for_busy, t);
	} while (!t->has_seen_busy);
	peer_streams_end(t->house[1].streams, &half);
	ask_until_found(&t->askers[0], &w);
	assert_false(w.answer.v[0].pending);
	lane_do(&t->askers[0], walk_end, &w);
	peer_streams_end(t->house[1].streams, &half);
	town_free(t);
}

/* ---- what homes are told without an errand ---- */

struct look {
	struct house *house;
	struct key key;
	enum peermsg_status status;
	uint64_t size;
};

/* In the directory of the house alone. */
static void look_up(void *arg)
{
	struct look *l = arg;
	struct peermsg_query_rec q = {.flags = PEERMSG_HOME};
	struct peermsg_reply_rec r = {0};

	memcpy(q.key.b, l->key.b, sizeof(q.key.b));
	peer__home_answer(peer_desk_set(l->house->desk), NULL, &q, loop_now(l->house->lane.loop), &r);
	l->status = (enum peermsg_status)r.status;
	l->size = r.size;
}

static enum peermsg_status directory_says(struct house *h, const struct key *key)
{
	struct look l = {.house = h, .key = *key};

	lane_do(&h->lane, look_up, &l);
	return l.status;
}

static void wait_till_said(struct house *h, const struct key *key, enum peermsg_status status)
{
	mono_us start = clock_mono(&clock_system);

	while (directory_says(h, key) != status)
		assert_true(clock_mono(&clock_system) - start < LIMIT_S * 1000000);
}

static struct key key_of(const char *what, unsigned n)
{
	struct key key;
	char text[40];

	snprintf(text, sizeof(text), "%s %u", what, n);
	key_make(&key, SPAN("salt"), span_str(text));
	return key;
}

/* More than one turn's worth. */
#define GOODS 300

static void homes_hear_what_comes_and_goes(void **state)
{
	struct town *t = town_of(PEER_LOOKUP_HOME, 0);
	struct house *home = &t->house[0], *holder = &t->house[1];
	struct key stays = key_of("stays", 0), later = key_of("later", 0), nowhere = key_of("nowhere", 0);
	mono_us start = clock_mono(&clock_system);

	(void)state;
	while (!peer_news_is_wanted(holder->news))
		assert_true(clock_mono(&clock_system) - start < LIMIT_S * 1000000);
	store(holder, &stays, "");
	peer_desk_stored(holder->desk, &stays);
	for (unsigned i = 0; i < GOODS; i++) {
		struct key key = key_of("goods", i);

		store(holder, &key, "");
		peer_desk_stored(holder->desk, &key);
	}
	for (unsigned i = 0; i < GOODS; i++) {
		struct key key = key_of("goods", i);

		wait_till_said(home, &key, PEERMSG_LOCATED);
		assert_int_equal(index_purge(holder->index, &key), 1);
	}
	assert_int_equal(directory_says(home, &stays), PEERMSG_LOCATED);
	for (unsigned i = 0; i < GOODS; i++) {
		struct key key = key_of("goods", i);

		wait_till_said(home, &key, PEERMSG_MISS);
	}

	/* What is said to have left and is there, or to be there and is not, changes nothing; and so does what has come to the disk and is in
	 * memory, whose storing has been told. */
	peer_news_put(holder->news, PEER_NEWS_LEFT, stays.b);
	peer_news_put(holder->news, PEER_NEWS_STORED, nowhere.b);
	peer_news_put(holder->news, PEER_NEWS_LANDED, nowhere.b);
	store(holder, &nowhere, "");
	assert_int_equal(index_purge(holder->index, &nowhere), 1);
	store(holder, &later, "");
	peer_desk_stored(holder->desk, &later);
	wait_till_said(home, &later, PEERMSG_LOCATED);
	assert_int_equal(directory_says(home, &stays), PEERMSG_LOCATED);
	assert_int_equal(directory_says(home, &nowhere), PEERMSG_MISS);
	assert_int_equal(peer_news_lost(holder->news), 0);
	town_free(t);
}

/* Nobody has a directory. */
static void where_all_are_asked_no_news_are_kept(void **state)
{
	struct town *t = town_new(0);
	struct house *h = &t->house[0];
	mono_us start = clock_mono(&clock_system);
	struct peer_news_item item;
	struct key key = key_of("news", 0);

	(void)state;
	peer_news_want(h->news, true);
	while (peer_news_is_wanted(h->news)) /* till the desk has looked */
		assert_true(clock_mono(&clock_system) - start < LIMIT_S * 1000000);
	peer_desk_stored(h->desk, &key);
	assert_int_equal(peer_news_take(h->news, &item, 1), 0);
	town_free(t);
}

/* ---- many at once, half of them called off, with posts that take their time ---- */

#define CROWD 200

struct stroller {
	struct peer_errand errand;
	bool has_ended, answered;
};

struct crowd {
	struct peer_desk *desk;
	struct loop *loop;
	struct rng rng;
	unsigned answers, round;
	struct stroller v[CROWD];
};

static void stroller_end(struct crowd *c, struct stroller *s)
{
	peer_errand_end(&s->errand, rng_below(&c->rng, 2), 5);
	s->has_ended = true;
}

static void on_stroller_answer(void *cookie, const struct peer_answer *answer)
{
	struct stroller *s = cookie;

	(void)answer;
	assert_false(s->has_ended); /* a late answer finds nobody */
	assert_false(s->answered);
	s->answered = true;
}

static void crowd_step(void *arg)
{
	struct crowd *c = arg;

	for (unsigned i = 0; i < CROWD; i++) {
		struct stroller *s = &c->v[i];
		struct peer_ask ask = {.intent = rng_below(&c->rng, 2) != 0};
		char what[32];

		c->answers += s->answered;
		if (s->errand.desk && rng_below(&c->rng, 3)) {
			if (s->answered && rng_below(&c->rng, 2))
				peer_errand_fetching(&s->errand);
			stroller_end(c, s);
		}
		if (s->errand.desk)
			continue;
		*s = (struct stroller){0};
		snprintf(what, sizeof(what), "%llu", (unsigned long long)rng_below(&c->rng, 50));
		key_make(&ask.key, SPAN("salt"), span_str(what));
		peer_errand_start(&s->errand, c->desk, c->loop, &ask, on_stroller_answer, s);
		peer_desk_fetch_began(c->desk, 1);
		if (rng_below(&c->rng, 4) == 0)
			stroller_end(c, s);
	}
}

static void crowd_end(void *arg)
{
	struct crowd *c = arg;

	for (unsigned i = 0; i < CROWD; i++)
		if (c->v[i].errand.desk)
			stroller_end(c, &c->v[i]);
}

static void late_answers_find_nobody(void **state)
{
	struct town *t = town_new(2000);
	struct crowd c[2];

	(void)state;
	for (int i = 0; i < 2; i++) {
		c[i] = (struct crowd){.desk = t->house[0].desk, .loop = t->askers[i].loop};
		rng_seed(&c[i].rng, (uint64_t)i + 1);
	}
	for (int round = 0; round < 30; round++)
		for (int i = 0; i < 2; i++)
			lane_do(&t->askers[i], crowd_step, &c[i]);
	for (int i = 0; i < 2; i++)
		lane_do(&t->askers[i], crowd_end, &c[i]);
	assert_true(c[0].answers + c[1].answers > 0);
	town_free(t);
}

static void read_score(void *arg)
{
	struct town *t = arg;
	struct peer_view v;

	assert_true(peer_set_find(peer_desk_set(t->house[0].desk), t->house[1].id, &v));
	assert_int_equal(v.score->fetches, 3);
	assert_int_equal(v.score->fetched, 1);
	assert_int_equal(v.score->false_hits[PEER_FALSE_GONE], 1);
	assert_int_equal(v.score->cancelled, 1);
	assert_int_equal(v.score->bytes_in, 1100);
	assert_int_equal(v.score->ttfb_us, 250);
	assert_int_equal(v.score->served, 1);
	assert_int_equal(v.score->bytes_out, 77);
	assert_int_equal(v.score->streams_in, 0);
	assert_int_equal(v.score->streams_out, 0);
}

static void figures_arrive(void **state)
{
	struct town *t = town_new(0);
	struct peer_desk *d = t->house[0].desk;
	uint32_t other = t->house[1].id;

	(void)state;
	for (int i = 0; i < 3; i++)
		peer_desk_fetch_began(d, other);
	peer_desk_fetch_ended(d, other, true, 0, 1000, 250);
	peer_desk_fetch_ended(d, other, false, PEER_FALSE_GONE, 0, 0);
	peer_desk_fetch_cancelled(d, other, 100);
	peer_desk_serving(d, other, true, 0);
	peer_desk_serving(d, other, false, 77);
	peer_desk_fetch_began(d, 12345); /* not a member any more */
	lane_do(&t->house[0].lane, read_score, t);
	assert_int_equal(peer_desk_dropped(d), 0);
	town_free(t);
}

static void a_taken_port_is_said(void **state)
{
	struct town *t = town_new(0);
	struct house h = t->house[0];

	(void)state;
	lane_do(&h.lane, open_desk, &h);
	assert_null(h.desk);
	assert_non_null(strstr(h.why, "is taken by"));
	town_free(t);
}

static void read_audits(void *arg)
{
	struct house *h = arg;

	h->audits = peer_set_audits(peer_desk_set(h->desk));
}

static void one_in_a_thousand_is_audited(void **state)
{
	struct town *t = town_new(0);
	struct house *h = &t->house[0];
	struct key key = {{1}};
	struct key_variant none = {{0}};
	mono_us start = clock_mono(&clock_system);

	(void)state;
	for (unsigned i = 0; i < 2 * PEER_DESK_AUDITS_EACH + 1; i++)
		peer_desk_parent_served(h->desk, &key, &none);
	do {
		lane_do(&h->lane, read_audits, h);
		assert_true(clock_mono(&clock_system) - start < LIMIT_S * 1000000);
	} while (h->audits.asked < 3);
	lane_do(&h->lane, read_audits, h);
	assert_int_equal(h->audits.asked, 3);
	assert_int_equal(h->audits.found, 0);
	town_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_in_a_thousand_is_audited),
		cmocka_unit_test(questions_cross_the_loops),
		cmocka_unit_test(who_fetches_is_found_by_the_other),
		cmocka_unit_test(what_is_here_is_told_as_it_is),
		cmocka_unit_test(homes_hear_what_comes_and_goes),
		cmocka_unit_test(where_all_are_asked_no_news_are_kept),
		cmocka_unit_test(late_answers_find_nobody),
		cmocka_unit_test(figures_arrive),
		cmocka_unit_test(a_taken_port_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
