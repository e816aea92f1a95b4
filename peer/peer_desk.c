#include "peer/peer_desk.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/map.h"
#include "node/base/mem.h"
#include "node/cache/disk.h"
#include "node/net/udp.h"
#include "peer/peer_purge.h"

#define LOOK_MS 60000  /* between two looks at what was dropped */
#define NEWS_MS 1000   /* between two looks at the news: evictions are not urgent, and a datagram has room for many */
#define NEWS_A_TURN 64 /* a millisecond or so among a thousand members */
#define MORE_NEWS_MS 50

struct peer_desk {
	unsigned magic;
	struct loop *loop;
	struct udp *udp;
	struct peer_set *set;
	struct index *index;
	struct disk *disk;
	struct peer_streams *streams;
	struct peer_news *news;
	struct peer_purge *purge;
	struct log *log;
	struct peer_querylog queries;
	void (*behind)(void *cookie, uint32_t node, uint64_t serial);
	void *cookie;
	struct timer due, look, news_due;
	struct deferred stir;
	struct map tasks;
	uint64_t next_id, parent_served;        /* any thread */
	uint64_t told[PEER_DROPS], told_kernel; /* dropped, as the log knows it */
	uint64_t told_left_out, told_news_lost;
	uint64_t news_told;
};

#define PEER_DESK_MAGIC 0x0de5c41b

/* Counted: by the errand, by its task on the cluster loop, by each answer on its way. */
struct peer_errand_link {
	unsigned refs;              /* any thread */
	struct peer_errand *errand; /* the errand's thread; NULL: it has ended */
};

/* An errand as it is on the cluster loop. */
struct task {
	struct map_node by_id;
	uint64_t id;
	struct loop *loop; /* the errand's */
	struct peer_errand_link *link;
	struct peer_pursuit *pursuit;
};

static void unref(struct peer_errand_link *l)
{
	if (__atomic_sub_fetch(&l->refs, 1, __ATOMIC_ACQ_REL) == 0)
		free(l);
}

/* ---- what the set stands on ---- */

static void send_datagram(void *cookie, const struct addr *to, struct span datagram)
{
	const struct peer_desk *d = cookie;

	if (d->udp)
		udp_send(d->udp, to, datagram);
}

static void copy_vary(const struct index_peek *peek, struct peer_holding *out)
{
	size_t n = strlen(peek->vary);

	if (!peek->other_variant || n >= sizeof(out->vary))
		return; /* names that cannot be told: as if there were nothing */
	out->other_variant = true;
	memcpy(out->vary, peek->vary, n + 1);
}

static uint32_t seconds(int64_t s)
{
	if (s < 0)
		return 0;
	return s < INT32_MAX ? (uint32_t)s : INT32_MAX;
}

static bool is_on_disk(const struct peer_desk *d, const struct peermsg_key *key, const struct key_variant *variant)
{
	return d->disk && disk_has_shared(d->disk, key->b, variant);
}

static void look_in_memory(const struct index_peek *peek, struct peer_holding *out)
{
	out->here = peek->what == INDEX_PEEK_WHOLE ? PEER_HERE_WHOLE : PEER_HERE_GROWING;
	out->size = peek->size;
	out->have = peek->have;
	if (peek->what == INDEX_PEEK_WHOLE) {
		out->age_s = seconds(peek->age_s);
		out->ttl_s = (int32_t)seconds(peek->ttl_s);
		if (peek->has_digest)
			memcpy(out->digest, peek->digest, sizeof(out->digest));
	}
}

/* Of what only the disk has, its index in memory knows neither length nor digest nor age: who comes for it is told. */
static void look(void *cookie, const struct peermsg_key *key, const struct key_variant *variant,
		 struct peer_holding *out)
{
	const struct peer_desk *d = cookie;
	struct index_peek peek;

	*out = (struct peer_holding){.here = PEER_HERE_NOT};
	if (index_peek(d->index, key->b, variant, loop_now(d->loop), &peek)) {
		look_in_memory(&peek, out);
	} else if (is_on_disk(d, key, variant)) {
		out->here = PEER_HERE_WHOLE;
		out->ttl_s = INT32_MAX;
	} else {
		copy_vary(&peek, out);
		return;
	}
	if (peer_streams_is_full(d->streams, key))
		out->here = PEER_HERE_BUSY;
}

static bool purge(void *cookie, struct span record, uint32_t *removed)
{
	const struct peer_desk *d = cookie;

	return d->purge && peer_purge_apply(d->purge, record, removed) == PEER_PURGE_DONE;
}

static void behind(void *cookie, uint32_t node, uint64_t serial)
{
	const struct peer_desk *d = cookie;

	if (d->behind)
		d->behind(d->cookie, node, serial);
}

_Static_assert(PEER_STORED_PARTS == INDEX_PARTS, "a part of the set is a part of the index");
_Static_assert(PEER_STORED_PARTS == DISK_PARTS, "and one of the disk");

/* What is in memory and on disk is told twice: parts of the one are not parts of the other. */
static size_t stored(void *cookie, unsigned part, struct peer_stored **list)
{
	const struct peer_desk *d = cookie;
	struct disk_shared *on_disk = NULL;
	struct index_shared *v;
	size_t n = index_shared(d->index, part, &v), n_on_disk = d->disk ? disk_shared(d->disk, part, &on_disk) : 0;

	*list = NULL;
	if (n == 0 && n_on_disk == 0)
		return 0;
	*list = mem_zalloc((n + n_on_disk) * sizeof(**list));
	for (size_t i = 0; i < n; i++) {
		memcpy((*list)[i].key.b, v[i].key, PEERMSG_KEY_BYTES);
		(*list)[i].size = v[i].size;
	}
	for (size_t i = 0; i < n_on_disk; i++)
		memcpy((*list)[n + i].key.b, on_disk[i].key, PEERMSG_KEY_BYTES);
	free(v);
	free(on_disk);
	return n + n_on_disk;
}

static void asked(void *cookie, const struct peer_asked *a)
{
	struct peer_desk *d = cookie;

	peer_querylog_put(&d->queries, a, loop_now(d->loop), loop_wall(d->loop));
}

/* ---- time ---- */

static void on_stir(void *arg)
{
	struct peer_desk *d = arg;
	mono_us due = peer_set_due(d->set);

	if (due == MONO_NEVER)
		timer_clear(&d->due);
	else
		timer_set(&d->due, due);
}

void peer_desk_stir(struct peer_desk *d)
{
	CHECK(d, PEER_DESK_MAGIC);
	loop_defer(d->loop, &d->stir, on_stir, d);
}

static void on_due(void *arg)
{
	struct peer_desk *d = arg;

	udp_receive(d->udp); /* answers may be there already, and only wait for this loop */
	peer_set_tick(d->set, loop_now(d->loop));
	peer_desk_stir(d);
}

static void on_datagram(void *cookie, const struct addr *from, struct span datagram, mono_us received)
{
	struct peer_desk *d = cookie;

	CHECK(d, PEER_DESK_MAGIC);
	peer_set_receive(d->set, from, datagram, received, loop_now(d->loop));
	peer_desk_stir(d);
}

/* ---- what was dropped, once a minute ---- */

static void add_drops(void *cookie, const struct peer_view *v)
{
	uint64_t *sum = cookie;

	for (int i = 0; i < PEER_DROPS; i++)
		sum[i] += v->score->dropped[i];
}

/* A sum may shrink when a member leaves with its figures. */
static uint64_t fresh(uint64_t now, uint64_t *told)
{
	uint64_t more = now > *told ? now - *told : 0;

	*told = now;
	return more;
}

static void on_look(void *arg)
{
	static const enum peer_drop worth[] = {PEER_DROP_NO_MEMBER, PEER_DROP_AUTH, PEER_DROP_REPLAY, PEER_DROP_RATE};
	struct peer_desk *d = arg;
	uint64_t sum[PEER_DROPS], n;

	memcpy(sum, peer_set_strangers(d->set), sizeof(sum));
	peer_set_each(d->set, add_drops, sum);
	for (size_t i = 0; i < sizeof(worth) / sizeof(worth[0]); i++)
		if ((n = fresh(sum[worth[i]], &d->told[worth[i]])) != 0)
			log_line(d->log, LOG_WARNING, "cluster", "%llu datagrams dropped in the last minute: %s",
				 (unsigned long long)n, peer_drop_word(worth[i]));
	if ((n = fresh(peer_desk_dropped(d), &d->told_kernel)) != 0)
		log_line(d->log, LOG_WARNING, "cluster",
			 "%llu datagrams dropped by the kernel in the last minute: this loop is too slow for them",
			 (unsigned long long)n);
	if ((n = fresh(d->queries.left_out, &d->told_left_out)) != 0)
		log_line(
			d->log, LOG_INFO, "cluster",
			"%llu questions of other nodes left out of the access log in the last minute (log.access.queries: %u)",
			(unsigned long long)n, d->queries.a_second);
	if (d->news && (n = fresh(peer_news_lost(d->news), &d->told_news_lost)) != 0)
		log_line(
			d->log, LOG_INFO, "cluster",
			"%llu objects came or went in the last minute without a word to their homes: too many at a time",
			(unsigned long long)n);
	timer_set_in(&d->look, LOOK_MS);
}

/* ---- news ---- */

static void tell_homes(struct peer_desk *d, const struct peer_news_item *item, mono_us now)
{
	struct index_peek peek;
	bool in_memory = index_peek(d->index, item->key.b, NULL, now, &peek), whole;

	if (in_memory &&
	    item->kind != PEER_NEWS_STORED) /* it has not left, or has been told of; or comes again, and that is told */
		return;
	whole = (in_memory && peek.what == INDEX_PEEK_WHOLE) || is_on_disk(d, &item->key, NULL);
	if (whole == (item->kind == PEER_NEWS_LEFT))
		return;
	peer_ask_note(d->set, &item->key, whole, in_memory ? peek.size : 0, now);
	d->news_told++;
}

static void on_news(void *arg)
{
	struct peer_desk *d = arg;
	struct peer_news_item v[NEWS_A_TURN];
	size_t n = peer_news_take(d->news, v, NEWS_A_TURN);

	for (size_t i = 0; i < n; i++)
		tell_homes(d, &v[i], loop_now(d->loop));
	peer_news_want(d->news, peer_set_tells_homes(d->set));
	timer_set_in(&d->news_due, n < NEWS_A_TURN ? NEWS_MS : MORE_NEWS_MS);
	peer_desk_stir(d);
}

/* ---- opening and closing ---- */

struct peer_desk *peer_desk_open(const struct peer_desk_settings *s, char *why, size_t why_bytes)
{
	struct peer_desk *d = NEW(struct peer_desk);
	const struct peer_ground ground = {.send = send_datagram,
					   .look = look,
					   .purge = purge,
					   .behind = behind,
					   .stored = stored,
					   .asked = asked,
					   .cookie = d};

	d->magic = PEER_DESK_MAGIC;
	d->loop = s->loop;
	d->index = s->index;
	d->disk = s->disk;
	d->streams = s->streams;
	d->news = s->news;
	d->purge = s->purge;
	d->log = s->log;
	d->queries = (struct peer_querylog){.log = s->accesslog, .index = s->index, .a_second = s->log_queries};
	d->behind = s->behind;
	d->cookie = s->cookie;
	d->udp = udp_open(s->loop, &s->at, on_datagram, d, why, why_bytes);
	if (!d->udp) {
		d->magic = 0;
		free(d);
		return NULL;
	}
	d->set = peer_set_new(&s->self, &ground, loop_now(s->loop));
	timer_init(&d->due, s->loop, on_due, d);
	timer_init(&d->look, s->loop, on_look, d);
	timer_set_in(&d->look, LOOK_MS);
	timer_init(&d->news_due, s->loop, on_news, d);
	if (d->news)
		timer_set_in(&d->news_due, NEWS_MS);
	peer_desk_stir(d);
	return d;
}

static struct task *task_of(struct map_node *node)
{
	return (struct task *)(void *)((char *)node - offsetof(struct task, by_id));
}

static void task_free(struct peer_desk *d, struct task *t)
{
	map_remove(&d->tasks, &t->by_id);
	unref(t->link);
	free(t);
}

static void say_bye(struct peer_desk *d, uint16_t back_in_s)
{
	if (!d->udp)
		return;
	peer_set_bye(d->set, back_in_s, loop_now(d->loop));
	udp_flush(d->udp);
	udp_close(&d->udp);
}

void peer_desk_fall_silent(struct peer_desk *d)
{
	CHECK(d, PEER_DESK_MAGIC);
	say_bye(d, 1);
}

void peer_desk_close(struct peer_desk **dp, uint16_t back_in_s)
{
	struct peer_desk *d = *dp;
	struct map_node *node;
	mono_us now;

	if (!d)
		return;
	CHECK(d, PEER_DESK_MAGIC);
	*dp = NULL;
	now = loop_now(d->loop);
	say_bye(d, back_in_s);
	while ((node = map_next(&d->tasks, NULL)) != NULL) {
		struct task *t = task_of(node);

		peer_ask_ended(&t->pursuit, false, 0, now);
		task_free(d, t);
	}
	map_fini(&d->tasks);
	peer_set_free(d->set);
	loop_defer_cancel(d->loop, &d->stir);
	timer_fini(&d->due);
	timer_fini(&d->look);
	timer_fini(&d->news_due);
	d->magic = 0;
	free(d);
}

struct peer_set *peer_desk_set(struct peer_desk *d)
{
	CHECK(d, PEER_DESK_MAGIC);
	return d->set;
}

uint64_t peer_desk_dropped(const struct peer_desk *d)
{
	CHECK(d, PEER_DESK_MAGIC);
	return d->udp ? udp_dropped(d->udp) : 0;
}

void peer_desk_log_queries(struct peer_desk *d, unsigned a_second)
{
	CHECK(d, PEER_DESK_MAGIC);
	d->queries.a_second = a_second;
}

uint64_t peer_desk_queries_left_out(const struct peer_desk *d)
{
	CHECK(d, PEER_DESK_MAGIC);
	return d->queries.left_out;
}

/* ---- the way to the cluster loop ---- */

struct order {
	struct peer_desk *desk;
	void (*fn)(struct peer_desk *, const struct order *, mono_us now);
	uint64_t id; /* of the errand */
	struct loop *loop;
	struct peer_errand_link *link;
	struct peer_ask ask;
	uint64_t bytes; /* have, size, or bytes moved */
	uint32_t node;  /* or order */
	int64_t ttfb_us;
	enum peer_false why;
	bool yes; /* stored, ok, begins */
	size_t n_not;
	uint32_t not_these[];
};

static void on_order(void *arg)
{
	struct order *o = arg;
	struct peer_desk *d = o->desk;

	CHECK(d, PEER_DESK_MAGIC);
	o->fn(d, o, loop_now(d->loop));
	free(o);
	peer_desk_stir(d);
}

static void post(const struct order *o)
{
	struct order *copy = mem_alloc(sizeof(*copy));

	CHECK(o->desk, PEER_DESK_MAGIC);
	*copy = *o;
	loop_post(o->desk->loop, on_order, copy);
}

static bool has_id(const struct map_node *node, const void *wanted)
{
	return ((const struct task *)(const void *)((const char *)node - offsetof(struct task, by_id)))->id ==
	       *(const uint64_t *)wanted;
}

static uint64_t id_hash(uint64_t id)
{
	return id; /* counted up: spread by itself */
}

/* NULL: its end was first. */
static struct task *find(const struct peer_desk *d, uint64_t id)
{
	struct map_node *node = map_find(&d->tasks, id_hash(id), has_id, &id);

	return node ? task_of(node) : NULL;
}

/* ---- the way back ---- */

struct answer {
	struct peer_errand_link *link;
	struct peer_answer answer;
};

static void on_answer_there(void *arg)
{
	struct answer *a = arg;
	struct peer_answer answer = a->answer;
	struct peer_errand *e = a->link->errand;

	unref(a->link);
	free(a);
	if (e)
		e->on_answer(e->cookie, &answer);
}

static void on_answer_here(void *cookie, const struct peer_answer *answer)
{
	struct task *t = cookie;
	struct answer *a = mem_alloc(sizeof(*a));

	__atomic_add_fetch(&t->link->refs, 1, __ATOMIC_RELAXED);
	a->link = t->link;
	a->answer = *answer;
	loop_post(t->loop, on_answer_there, a);
}

/* ---- errands ---- */

static void start(struct peer_desk *d, const struct order *o, mono_us now)
{
	struct task *t = NEW(struct task);

	t->id = o->id;
	t->loop = o->loop;
	t->link = o->link; /* its reference was counted at birth */
	map_insert(&d->tasks, &t->by_id, id_hash(t->id));
	t->pursuit = peer_ask_start(d->set, &o->ask, on_answer_here, t, now);
}

void peer_errand_start(struct peer_errand *e, struct peer_desk *d, struct loop *loop, const struct peer_ask *ask,
		       peer_on_answer_f *on_answer, void *cookie)
{
	CHECK(d, PEER_DESK_MAGIC);
	CHECK_THAT(e->desk == NULL);
	*e = (struct peer_errand){.desk = d,
				  .loop = loop,
				  .id = __atomic_add_fetch(&d->next_id, 1, __ATOMIC_RELAXED),
				  .on_answer = on_answer,
				  .cookie = cookie,
				  .link = NEW(struct peer_errand_link)};
	e->link->refs = 2; /* ours, and the task's */
	e->link->errand = e;
	post(&(struct order){.desk = d, .fn = start, .id = e->id, .loop = loop, .link = e->link, .ask = *ask});
}

static void again(struct peer_desk *d, const struct order *o, mono_us now)
{
	const struct task *t = find(d, o->id);

	if (t)
		peer_ask_again(t->pursuit, o->bytes, o->not_these, o->n_not, now);
}

void peer_errand_again(struct peer_errand *e, uint64_t have, const uint32_t *not_these, size_t n)
{
	struct order *o;

	CHECK_THAT(e->desk != NULL);
	o = mem_zalloc(sizeof(*o) + n * sizeof(o->not_these[0]));
	o->desk = e->desk;
	o->fn = again;
	o->id = e->id;
	o->bytes = have;
	o->n_not = n;
	if (n)
		memcpy(o->not_these, not_these, n * sizeof(o->not_these[0]));
	loop_post(e->desk->loop, on_order, o);
}

static void fetching(struct peer_desk *d, const struct order *o, mono_us now)
{
	const struct task *t = find(d, o->id);

	if (t)
		peer_ask_fetching(t->pursuit, now);
}

void peer_errand_fetching(struct peer_errand *e)
{
	CHECK_THAT(e->desk != NULL);
	post(&(struct order){.desk = e->desk, .fn = fetching, .id = e->id});
}

static void streaming(struct peer_desk *d, const struct order *o, mono_us now)
{
	const struct task *t = find(d, o->id);

	if (t)
		peer_ask_streaming(t->pursuit, o->node, now);
}

void peer_errand_streaming(struct peer_errand *e, uint32_t order)
{
	CHECK_THAT(e->desk != NULL);
	post(&(struct order){.desk = e->desk, .fn = streaming, .id = e->id, .node = order});
}

static void progress(struct peer_desk *d, const struct order *o, mono_us now)
{
	const struct task *t = find(d, o->id);

	if (t)
		peer_ask_progress(t->pursuit, o->bytes, now);
}

void peer_errand_progress(struct peer_errand *e, uint64_t have)
{
	CHECK_THAT(e->desk != NULL);
	post(&(struct order){.desk = e->desk, .fn = progress, .id = e->id, .bytes = have});
}

static void end(struct peer_desk *d, const struct order *o, mono_us now)
{
	struct task *t = find(d, o->id);

	if (!t)
		return;
	peer_ask_ended(&t->pursuit, o->yes, o->bytes, now);
	task_free(d, t);
}

void peer_errand_end(struct peer_errand *e, bool stored, uint64_t size)
{
	struct order o = {.desk = e->desk, .fn = end, .id = e->id, .yes = stored, .bytes = size};

	if (!e->desk)
		return;
	e->link->errand = NULL;
	unref(e->link);
	*e = (struct peer_errand){0};
	post(&o);
}

/* ---- news and figures ---- */

void peer_desk_stored(struct peer_desk *d, const struct key *key)
{
	CHECK(d, PEER_DESK_MAGIC);
	if (d->news)
		peer_news_put(d->news, PEER_NEWS_STORED, key->b);
}

struct peer_desk_news peer_desk_news(const struct peer_desk *d)
{
	CHECK(d, PEER_DESK_MAGIC);
	return (struct peer_desk_news){d->news_told, d->news ? peer_news_lost(d->news) : 0};
}

static void parent_served(struct peer_desk *d, const struct order *o, mono_us now)
{
	peer_set_audit(d->set, &o->ask.key, &o->ask.variant, now);
}

void peer_desk_parent_served(struct peer_desk *d, const struct key *key, const struct key_variant *variant)
{
	if (__atomic_fetch_add(&d->parent_served, 1, __ATOMIC_RELAXED) % PEER_DESK_AUDITS_EACH == 0)
		post(&(struct order){.desk = d, .fn = parent_served, .ask = {.key = *key, .variant = *variant}});
}

static void fetch_began(struct peer_desk *d, const struct order *o, mono_us now)
{
	(void)now;
	peer_set_fetch_began(d->set, o->node);
}

void peer_desk_fetch_began(struct peer_desk *d, uint32_t node)
{
	post(&(struct order){.desk = d, .fn = fetch_began, .node = node});
}

static void fetch_ended(struct peer_desk *d, const struct order *o, mono_us now)
{
	peer_set_fetch_ended(d->set, o->node, o->yes, o->why, o->bytes, o->ttfb_us, now);
}

void peer_desk_fetch_ended(struct peer_desk *d, uint32_t node, bool ok, enum peer_false why, uint64_t bytes,
			   int64_t ttfb_us)
{
	post(&(struct order){
		.desk = d, .fn = fetch_ended, .node = node, .yes = ok, .why = why, .bytes = bytes, .ttfb_us = ttfb_us});
}

static void fetch_hedged(struct peer_desk *d, const struct order *o, mono_us now)
{
	(void)now;
	peer_set_fetch_hedged(d->set, o->node);
}

void peer_desk_fetch_hedged(struct peer_desk *d, uint32_t node)
{
	post(&(struct order){.desk = d, .fn = fetch_hedged, .node = node});
}

static void fetch_cancelled(struct peer_desk *d, const struct order *o, mono_us now)
{
	(void)now;
	peer_set_fetch_cancelled(d->set, o->node, o->bytes);
}

void peer_desk_fetch_cancelled(struct peer_desk *d, uint32_t node, uint64_t bytes)
{
	post(&(struct order){.desk = d, .fn = fetch_cancelled, .node = node, .bytes = bytes});
}

static void serving(struct peer_desk *d, const struct order *o, mono_us now)
{
	(void)now;
	peer_set_serving(d->set, o->node, o->yes, o->bytes);
}

void peer_desk_serving(struct peer_desk *d, uint32_t node, bool begins, uint64_t bytes)
{
	post(&(struct order){.desk = d, .fn = serving, .node = node, .yes = begins, .bytes = bytes});
}
