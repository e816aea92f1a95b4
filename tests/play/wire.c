#include "tests/play/wire.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "node/base/check.h"
#include "node/base/heap.h"
#include "node/base/mem.h"
#include "node/base/rng.h"
#include "proto/rendezvous.h"

#define STEP_US (2 * WIRE_MS)
#define STEPS_A_SECOND (1000000 / STEP_US)
#define PEER_BYTES_A_SECOND 100000000
#define STALL_US (3 * WIRE_S)
#define STALL_MORE_US (WIRE_S / 2) /* for each order: who is nearer to the origin finds another way first */
#define HEAD_US (10 * WIRE_S)
#define RETRY_MS 20 /* a busy source is asked again after */
#define JITTER_MS 100
#define DIAL_US (200 * WIRE_MS)
#define MOST_BUSY 400
#define MOST_OBJECTS 2048
#define OBJECTS_A_PART 1024 /* uneven, and more than are looked at in a turn */
#define IP_UDP_BYTES 28
#define BASE_ADDR 0x0a000001 /* 10.0.0.1 and on */

struct event;
typedef void event_f(struct wire *, struct event *);

struct event {
	struct heap_node node;
	mono_us at;
	uint64_t turn; /* of equal times the first made is the first */
	event_f *run;
	unsigned who, object, life; /* life: of the flight or node it was meant for */
	uint16_t n;
	char bytes[];
};

enum phase { OFF, ASKING, DIALING, READING, FETCHING, WAITING };

struct flight {
	TAILQ_ENTRY(flight) active;
	struct wire *wire;
	unsigned node, object, life;
	enum phase phase;
	struct peer_pursuit *pursuit;
	struct peer_answer answer;
	unsigned at;                              /* which source is tried */
	uint32_t not_these[PEERMSG_SOURCES], odd; /* odd: refused once for its order */
	size_t n_not;
	unsigned busy;
	unsigned source; /* node that is read from */
	bool is_streaming;
	uint32_t order;
	uint64_t have;
	bool is_wrong; /* a liar has given a part */
	mono_us moved, first_byte;
};

struct object {
	struct key key;
	uint64_t size, rate;
	mono_us ttfb;
	bool is_private;
	unsigned fetches, upstream, wanting;
	mono_us parent_began; /* 0: not */
};

struct node {
	struct wire *wire;
	unsigned at, life;
	bool is_up, lies;
	struct peer_member member;
	uint32_t id;
	struct peer_set *set;
	mono_us tick_at;
	uint64_t boots;
	bool has[MOST_OBJECTS], is_wrong[MOST_OBJECTS];
	uint8_t readers[MOST_OBJECTS];
	struct flight *flights[MOST_OBJECTS];
	bool *cut_to;
};

struct copy {
	unsigned to;
	uint16_t n;
	char *bytes;
};

struct wire {
	struct wire_settings settings;
	struct wire_weather weather;
	struct wire_figures figures;
	struct rng rng;
	mono_us now;
	uint64_t turns;
	struct heap events;
	struct node *nodes;
	struct object objects[MOST_OBJECTS];
	unsigned n_objects, n_private, lives;
	TAILQ_HEAD(, flight) active;
	bool is_stepping, is_recording;
	struct copy *copies;
	size_t n_copies, room;
};

/* ---- events ---- */

static bool is_sooner(const struct heap_node *a, const struct heap_node *b)
{
	const struct event *x = (const void *)((const char *)a - offsetof(struct event, node));
	const struct event *y = (const void *)((const char *)b - offsetof(struct event, node));

	return x->at != y->at ? x->at < y->at : x->turn < y->turn;
}

static struct event *plan(struct wire *w, mono_us at, event_f *run, struct span bytes)
{
	struct event *e = mem_zalloc(sizeof(*e) + bytes.n);

	e->at = at;
	e->turn = w->turns++;
	e->run = run;
	e->n = (uint16_t)bytes.n;
	if (bytes.n)
		memcpy(e->bytes, bytes.p, bytes.n);
	heap_insert(&w->events, &e->node);
	return e;
}

static double dice(struct wire *w)
{
	return (double)(rng_next(&w->rng) >> 11) / 9007199254740992.0;
}

uint64_t wire_dice(struct wire *w, uint64_t below)
{
	return rng_below(&w->rng, below);
}

static mono_us delay(struct wire *w)
{
	const struct wire_weather *weather = &w->weather;
	mono_us d = weather->delay_min +
		    (mono_us)rng_below(&w->rng, (uint64_t)(weather->delay_max - weather->delay_min) + 1);

	if (weather->spikes > 0 && dice(w) < weather->spikes)
		d += 3 * WIRE_MS + (mono_us)rng_below(&w->rng, 27000);
	return d;
}

static bool is_cut(struct wire *w, unsigned a, unsigned b)
{
	return w->nodes[a].cut_to[b];
}

/* ---- sets on the wire ---- */

static void on_tick(struct wire *w, struct event *e);

static void stir(struct node *n)
{
	struct wire *w = n->wire;
	mono_us due;
	struct event *e;

	if (!n->is_up)
		return;
	due = peer_set_due(n->set);
	if (due == MONO_NEVER || due >= n->tick_at)
		return;
	n->tick_at = due > w->now ? due : w->now;
	e = plan(w, n->tick_at, on_tick, SPAN_NONE);
	e->who = n->at;
	e->life = n->life;
}

static void on_tick(struct wire *w, struct event *e)
{
	struct node *n = &w->nodes[e->who];

	if (!n->is_up || e->life != n->life)
		return;
	if (n->tick_at <= w->now)
		n->tick_at = MONO_NEVER;
	peer_set_tick(n->set, w->now);
	stir(n);
}

/* FNV-1a by eights: that nothing differs is all that is asked of it. */
static void note(uint64_t *trace, uint64_t first, struct span bytes)
{
	*trace = (*trace ^ first) * UINT64_C(0x100000001b3);
	for (size_t i = 0; i + 8 <= bytes.n; i += 8) {
		uint64_t v;

		memcpy(&v, bytes.p + i, sizeof(v));
		*trace = (*trace ^ v) * UINT64_C(0x100000001b3);
	}
}

static void on_datagram(struct wire *w, struct event *e)
{
	struct node *n = &w->nodes[e->who];

	if (!n->is_up)
		return;
	note(&w->figures.trace, (uint64_t)w->now * 4099 + e->who, span_of(e->bytes, e->n));
	peer_set_receive(n->set, &n->member.addr, span_of(e->bytes, e->n), w->now, w->now);
	stir(n);
}

static void keep_copy(struct wire *w, unsigned to, struct span datagram)
{
	struct copy *c;

	if (w->n_copies == w->room) {
		w->room = w->room ? 2 * w->room : 256;
		w->copies = mem_realloc(w->copies, w->room * sizeof(w->copies[0]));
	}
	c = &w->copies[w->n_copies++];
	c->to = to;
	c->n = (uint16_t)datagram.n;
	c->bytes = mem_alloc(datagram.n);
	memcpy(c->bytes, datagram.p, datagram.n);
}

static void look_for_private_keys(struct wire *w, struct span datagram)
{
	for (unsigned i = 0; w->n_private && i < w->n_objects; i++)
		if (w->objects[i].is_private && memmem(datagram.p, datagram.n, w->objects[i].key.b, PEERMSG_KEY_BYTES))
			w->figures.private_keys++;
}

static void on_send(void *cookie, const struct addr *to, struct span datagram)
{
	struct node *n = cookie;
	struct wire *w = n->wire;
	unsigned at = ntohl(to->in.sin_addr.s_addr) - BASE_ADDR;
	int copies = 1 + (w->weather.twice > 0 && dice(w) < w->weather.twice);

	w->figures.datagrams++;
	look_for_private_keys(w, datagram);
	w->figures.of_type[datagram.p[2] & 0x7f]++;
	w->figures.bytes_of_type[datagram.p[2] & 0x7f] += datagram.n + IP_UDP_BYTES;
	if (w->is_recording)
		keep_copy(w, at, datagram);
	for (int i = 0; i < copies; i++) {
		struct event *e;

		if (is_cut(w, n->at, at) || (w->weather.loss > 0 && dice(w) < w->weather.loss)) {
			w->figures.lost++;
			continue;
		}
		e = plan(w, w->now + delay(w), on_datagram, datagram);
		e->who = at;
	}
}

static void on_look(void *cookie, const struct peermsg_key *key, const struct key_variant *variant,
		    struct peer_holding *out)
{
	struct node *n = cookie;
	struct wire *w = n->wire;
	uint32_t object;
	const struct flight *f;

	(void)variant;
	memset(out, 0, sizeof(*out));
	memcpy(&object, key->b + 8, sizeof(object));
	if (object >= w->n_objects || w->objects[object].is_private)
		return;
	f = n->flights[object];
	if (n->readers[object] >= w->settings.readers)
		out->here = PEER_HERE_BUSY;
	else if (n->has[object])
		out->here = PEER_HERE_WHOLE;
	else if (f && f->have)
		out->here = PEER_HERE_GROWING;
	out->size = w->objects[object].size;
	out->have = f ? f->have : 0;
}

static size_t on_stored(void *cookie, unsigned part, struct peer_stored **list)
{
	const struct node *n = cookie;
	const struct wire *w = n->wire;
	size_t found = 0;

	*list = NULL;
	for (unsigned i = part * OBJECTS_A_PART; i < w->n_objects && i < (part + 1) * OBJECTS_A_PART; i++) {
		if (!n->has[i] || w->objects[i].is_private)
			continue;
		*list = mem_realloc(*list, (found + 1) * sizeof(**list));
		memcpy((*list)[found].key.b, w->objects[i].key.b, PEERMSG_KEY_BYTES);
		(*list)[found++].size = w->objects[i].size;
	}
	return found;
}

static bool on_purge(void *cookie, struct span record, uint32_t *removed)
{
	(void)cookie;
	(void)record;
	*removed = 0;
	return false;
}

/* ---- flights ---- */

static void try_source(struct flight *);
static void on_answer(void *cookie, const struct peer_answer *);

static struct node *home_of(struct flight *f)
{
	return &f->wire->nodes[f->node];
}

static struct object *object_of(struct flight *f)
{
	return &f->wire->objects[f->object];
}

static void plan_flight(struct flight *f, mono_us at, event_f *run)
{
	struct event *e = plan(f->wire, at, run, SPAN_NONE);

	e->who = f->node;
	e->object = f->object;
	e->life = f->life;
}

static struct flight *flight_of(struct wire *w, const struct event *e)
{
	struct flight *f = w->nodes[e->who].flights[e->object];

	return f && f->life == e->life ? f : NULL;
}

static void leave_source(struct flight *f)
{
	if (f->phase == READING)
		f->wire->nodes[f->source].readers[f->object]--;
}

static void on_step(struct wire *w, struct event *e);

static void begin_steps(struct wire *w)
{
	if (w->is_stepping)
		return;
	w->is_stepping = true;
	plan(w, w->now + STEP_US, on_step, SPAN_NONE);
}

static void begin_fetch(struct flight *f)
{
	struct wire *w = f->wire;

	leave_source(f);
	f->phase = FETCHING;
	f->order = 1;
	f->first_byte = w->now + object_of(f)->ttfb;
	f->moved = w->now;
	object_of(f)->fetches++;
	if (!w->settings.parent || !object_of(f)->parent_began) {
		object_of(f)->upstream++;
		object_of(f)->parent_began = w->now;
	}
	if (f->pursuit)
		peer_ask_fetching(f->pursuit, w->now);
}

/* Forgets the flight, and tells the set how it ended. */
static void end_flight(struct flight *f, bool stored)
{
	struct wire *w = f->wire;
	struct node *n = home_of(f);

	leave_source(f);
	n->has[f->object] = stored;
	n->is_wrong[f->object] = stored && f->is_wrong;
	n->flights[f->object] = NULL;
	object_of(f)->wanting--;
	TAILQ_REMOVE(&w->active, f, active);
	peer_ask_ended(&f->pursuit, stored, f->have, w->now);
	stir(n);
	free(f);
}

static void ask_again(struct wire *w, struct event *e)
{
	struct flight *f = flight_of(w, e);

	if (!f || f->phase != WAITING)
		return;
	f->phase = ASKING;
	peer_ask_again(f->pursuit, f->have, f->not_these, f->n_not, w->now);
	f->n_not = 0;
	stir(home_of(f));
}

static void wait_a_little(struct flight *f, uint64_t least_ms, uint64_t more_ms)
{
	mono_us at = f->wire->now + (mono_us)((least_ms + wire_dice(f->wire, more_ms + 1)) * 1000);

	leave_source(f);
	f->phase = WAITING;
	plan_flight(f, at, ask_again);
}

/* All sources have been tried. */
static void out_of_sources(struct flight *f)
{
	if (f->n_not == 0 && f->busy++ < MOST_BUSY)
		wait_a_little(f, RETRY_MS, RETRY_MS);
	else
		wait_a_little(f, 0, 2);
}

static void refuse(struct flight *f, bool gone)
{
	if (gone)
		f->not_these[f->n_not++] = f->answer.v[f->at].node;
	f->at++;
	try_source(f);
}

static void follow_order(struct flight *f);

static void attach(struct flight *f, unsigned source)
{
	struct wire *w = f->wire;

	f->phase = READING;
	f->source = source;
	f->is_streaming = false;
	f->moved = w->now;
	w->nodes[source].readers[f->object]++;
	follow_order(f);
}

static void on_dialed(struct wire *w, struct event *e)
{
	struct flight *f = flight_of(w, e);
	struct node *source;
	unsigned at;

	if (!f || f->phase != DIALING)
		return;
	at = wire_of_id(w, f->answer.v[f->at].node);
	source = &w->nodes[at];
	if (!source->is_up || is_cut(w, f->node, at) || is_cut(w, at, f->node) ||
	    (!source->has[f->object] && !source->flights[f->object])) {
		w->figures.refused_gone++;
		refuse(f, true);
	} else if (!source->has[f->object] &&
		   !peer_ask_may_wait(source->set, &object_of(f)->key, home_of(f)->id, f->order)) {
		bool again = f->odd == source->id;

		w->figures.refused_order++;
		f->odd = source->id;
		refuse(f, again);
	} else if (source->readers[f->object] >= w->settings.readers) {
		w->figures.refused_busy++;
		refuse(f, false);
	} else {
		attach(f, at);
	}
	stir(&w->nodes[e->who]);
}

static void try_source(struct flight *f)
{
	struct wire *w = f->wire;
	unsigned at;
	mono_us wait;

	if (f->at == f->answer.n) {
		out_of_sources(f);
		return;
	}
	f->phase = DIALING;
	at = wire_of_id(w, f->answer.v[f->at].node);
	wait = is_cut(w, f->node, at) || is_cut(w, at, f->node) ? DIAL_US : delay(w) + delay(w) + delay(w);
	plan_flight(f, w->now + wait, on_dialed);
}

static void on_answer(void *cookie, const struct peer_answer *a)
{
	struct flight *f = cookie;

	CHECK_THAT(f->phase == ASKING);
	f->answer = *a;
	f->at = 0;
	if (a->verdict == PEER_NOBODY)
		begin_fetch(f);
	else
		try_source(f);
}

static void on_want(struct wire *w, struct event *e)
{
	struct node *n = &w->nodes[e->who];
	struct peer_ask ask = {.intent = true};
	struct flight *f;

	if (!n->is_up || n->has[e->object] || n->flights[e->object]) {
		w->objects[e->object].wanting--;
		return;
	}
	f = NEW(struct flight);
	f->wire = w;
	f->node = e->who;
	f->object = e->object;
	f->life = ++w->lives;
	f->phase = ASKING;
	ask.key = w->objects[e->object].key;
	n->flights[e->object] = f;
	TAILQ_INSERT_TAIL(&w->active, f, active);
	if (w->objects[e->object].is_private)
		begin_fetch(f);
	else
		f->pursuit = peer_ask_start(n->set, &ask, on_answer, f, w->now);
	stir(n);
	begin_steps(w);
}

/* ---- bodies ---- */

/* Reading from one that does not know its order yet: as soon as it does. It may be too high by now. */
static void follow_order(struct flight *f)
{
	struct wire *w = f->wire;
	struct node *source = &w->nodes[f->source];
	uint32_t order = 0;

	if (f->is_streaming)
		return;
	if (!source->has[f->object]) {
		if (!peer_ask_order(source->set, &object_of(f)->key, &order) || order == 0)
			return;
		if (f->order && order >= f->order) {
			w->figures.refused_order++;
			f->not_these[f->n_not++] = source->id;
			wait_a_little(f, 0, 2);
			return;
		}
	}
	f->is_streaming = true;
	f->order = order + 1;
	peer_ask_streaming(f->pursuit, order, w->now);
}

static void source_is_gone(struct flight *f)
{
	f->not_these[f->n_not++] = f->wire->nodes[f->source].id;
	wait_a_little(f, 0, JITTER_MS);
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void read_some(struct flight *f)
{
	struct wire *w = f->wire;
	struct node *source = &w->nodes[f->source];
	struct flight *from = source->flights[f->object];
	bool reached = !is_cut(w, f->source, f->node) && !is_cut(w, f->node, f->source);
	uint64_t there, n;

	if (!source->is_up || (!from && !source->has[f->object])) {
		source_is_gone(f);
		return;
	}
	if (reached)
		follow_order(f);
	if (f->phase != READING)
		return;
	there = source->has[f->object] ? object_of(f)->size : from->have;
	n = reached && there > f->have ? least(PEER_BYTES_A_SECOND / STEPS_A_SECOND, there - f->have) : 0;
	f->have += n;
	if (n) {
		f->moved = w->now;
		f->is_wrong |= source->lies || source->is_wrong[f->object] || (from && from->is_wrong);
	}
	if (w->now - f->moved > (reached && f->have == 0 ? HEAD_US : STALL_US + f->order * STALL_MORE_US))
		source_is_gone(f);
	else
		peer_ask_progress(f->pursuit, f->have, w->now);
}

/* What the parent has by now of what it fetches, or has fetched. */
static uint64_t there_at_parent(const struct wire *w, const struct object *o)
{
	mono_us since = w->now - o->parent_began - o->ttfb;

	return since > 0 ? least((uint64_t)since * o->rate / WIRE_S, o->size) : 0;
}

static void fetch_some(struct flight *f)
{
	struct wire *w = f->wire;
	const struct object *o = object_of(f);

	if (w->settings.parent) {
		uint64_t there = there_at_parent(w, o);

		if (there > f->have)
			f->have += least(PEER_BYTES_A_SECOND / STEPS_A_SECOND, there - f->have);
	} else if (w->now >= f->first_byte) {
		f->have += least(o->rate / STEPS_A_SECOND, o->size - f->have);
	}
	if (f->pursuit)
		peer_ask_progress(f->pursuit, f->have, w->now);
}

/* Each node waits for one other per object at the most, so a walk finds a cycle. */
static void look_for_cycles(struct wire *w)
{
	struct flight *f;

	TAILQ_FOREACH(f, &w->active, active)
	{
		struct flight *at = f;
		unsigned steps = 0;

		while (at && at->phase == READING && steps++ <= w->settings.nodes)
			at = w->nodes[at->source].flights[f->object];
		w->figures.cycles += steps > w->settings.nodes;
	}
}

/* The whole is here. Other bytes than promised: all of it goes, and so does trust in who gave it. */
static void commit(struct flight *f)
{
	struct wire *w = f->wire;
	struct node *source = &w->nodes[f->source];

	if (!f->is_wrong) {
		end_flight(f, true);
		return;
	}
	w->figures.wrong_found++;
	f->is_wrong = false;
	f->have = 0;
	if (f->phase != READING) { /* it went on outside with what a liar had begun */
		begin_fetch(f);
		return;
	}
	peer_set_fetch_ended(home_of(f)->set, source->id, false, PEER_FALSE_DIGEST, object_of(f)->size, 0, w->now);
	source_is_gone(f);
}

static void on_step(struct wire *w, struct event *e)
{
	struct flight *f, *next;

	(void)e;
	for (f = TAILQ_FIRST(&w->active); f; f = next) {
		struct node *n = home_of(f);

		next = TAILQ_NEXT(f, active);
		if (f->phase == READING)
			read_some(f);
		else if (f->phase == FETCHING)
			fetch_some(f);
		if (f->have == object_of(f)->size)
			commit(f);
		stir(n);
	}
	look_for_cycles(w);
	w->is_stepping = false;
	if (!TAILQ_EMPTY(&w->active))
		begin_steps(w);
}

/* ---- the cluster ---- */

static void know(struct node *n, unsigned first, unsigned count)
{
	struct wire *w = n->wire;
	struct peer_member *v = mem_alloc((count + 1) * sizeof(v[0]));

	for (unsigned i = 0; i < count; i++)
		v[i] = w->nodes[first + i].member;
	peer_set_members(n->set, v, count, w->now);
	free(v);
	stir(n);
}

static void boot(struct node *n)
{
	struct wire *w = n->wire;
	struct peer_ground ground = {
		.send = on_send, .look = on_look, .purge = on_purge, .stored = on_stored, .cookie = n};
	struct peer_self self = {.role = PEER_EDGE, .tcp_port = 8083, .lookup = w->settings.lookup};
	struct peer_secret secret = {.kid = 1, .b = "a secret of the whole cluster.."};

	memcpy(self.name, n->member.name, sizeof(self.name));
	self.boot = rng_next(&w->rng) | 1;
	self.seed = rng_next(&w->rng);
	n->boots++;
	n->life = ++w->lives;
	n->tick_at = MONO_NEVER;
	n->set = peer_set_new(&self, &ground, w->now);
	n->is_up = true;
	peer_set_secrets(n->set, &secret, 1, 1);
	peer_set_state(n->set, PEERMSG_STATE_UP, 0, 0, 0);
}

struct wire *wire_new(const struct wire_settings *s)
{
	struct wire *w = NEW(struct wire);

	w->settings = *s;
	if (!w->settings.readers)
		w->settings.readers = 2;
	w->weather = (struct wire_weather){.delay_min = 100, .delay_max = 350};
	w->now = WIRE_S;
	rng_seed(&w->rng, s->seed);
	heap_init(&w->events, is_sooner);
	TAILQ_INIT(&w->active);
	w->nodes = mem_zalloc(s->nodes * sizeof(w->nodes[0]));
	for (unsigned i = 0; i < s->nodes; i++) {
		struct node *n = &w->nodes[i];

		n->wire = w;
		n->at = i;
		n->cut_to = mem_zalloc(s->nodes * sizeof(bool));
		snprintf(n->member.name, sizeof(n->member.name), "edge%u.test", i);
		n->member.role = PEER_EDGE;
		n->member.addr.len = sizeof(n->member.addr.in);
		n->member.addr.in.sin_family = AF_INET;
		n->member.addr.in.sin_addr.s_addr = htonl(BASE_ADDR + i);
		n->member.addr.in.sin_port = htons(8083);
		n->id = rendezvous_node_id(span_str(n->member.name));
		boot(n);
	}
	for (unsigned i = 0; i < s->nodes; i++)
		know(&w->nodes[i], 0, s->nodes);
	wire_pass(w, 3 * WIRE_S);
	return w;
}

static void drop_flights(struct wire *w, unsigned node)
{
	for (struct flight *f = TAILQ_FIRST(&w->active), *next; f; f = next) {
		next = TAILQ_NEXT(f, active);
		if (f->node == node)
			end_flight(f, false);
	}
}

void wire_fail(struct wire *w, unsigned node, unsigned object)
{
	if (w->nodes[node].flights[object])
		end_flight(w->nodes[node].flights[object], false);
}

void wire_free(struct wire *w)
{
	struct heap_node *min;

	for (unsigned i = 0; i < w->settings.nodes; i++) {
		struct node *n = &w->nodes[i];

		drop_flights(w, i);
		n->is_up = false;
		peer_set_free(n->set);
		free(n->cut_to);
	}
	while ((min = heap_min(&w->events)) != NULL) {
		heap_remove(&w->events, min);
		free((char *)min - offsetof(struct event, node));
	}
	heap_fini(&w->events);
	for (size_t i = 0; i < w->n_copies; i++)
		free(w->copies[i].bytes);
	free(w->copies);
	free(w->nodes);
	free(w);
}

void wire_kill(struct wire *w, unsigned node)
{
	struct node *n = &w->nodes[node];
	bool *cut = n->cut_to;
	bool all[4096];

	memset(all, true, sizeof(all));
	n->cut_to = all; /* its last words are not heard */
	drop_flights(w, node);
	n->cut_to = cut;
	n->is_up = false;
	peer_set_free(n->set);
	n->set = NULL;
	memset(n->has, 0, sizeof(n->has));
	memset(n->is_wrong, 0, sizeof(n->is_wrong));
}

void wire_restart(struct wire *w, unsigned node)
{
	boot(&w->nodes[node]);
	know(&w->nodes[node], 0, w->settings.nodes);
}

void wire_reboot(struct wire *w, unsigned node)
{
	bool has[MOST_OBJECTS];

	memcpy(has, w->nodes[node].has, sizeof(has));
	wire_kill(w, node);
	memcpy(w->nodes[node].has, has, sizeof(has));
	wire_restart(w, node);
}

void wire_believe(struct wire *w, unsigned node, unsigned first, unsigned n)
{
	know(&w->nodes[node], first, n);
}

void wire_cut(struct wire *w, unsigned a, unsigned b, bool cut)
{
	w->nodes[a].cut_to[b] = cut;
}

void wire_part(struct wire *w, unsigned first)
{
	for (unsigned a = 0; a < first; a++)
		for (unsigned b = first; b < w->settings.nodes; b++) {
			wire_cut(w, a, b, true);
			wire_cut(w, b, a, true);
		}
}

void wire_heal(struct wire *w)
{
	for (unsigned a = 0; a < w->settings.nodes; a++)
		memset(w->nodes[a].cut_to, 0, w->settings.nodes * sizeof(bool));
}

void wire_record(struct wire *w)
{
	w->is_recording = true;
}

size_t wire_replay(struct wire *w)
{
	w->is_recording = false;
	for (size_t i = 0; i < w->n_copies; i++) {
		const struct copy *c = &w->copies[i];
		struct event *e = plan(w, w->now + delay(w), on_datagram, span_of(c->bytes, c->n));

		e->who = c->to;
	}
	return w->n_copies;
}

/* ---- looking, and time ---- */

struct wire_weather *wire_weather(struct wire *w)
{
	return &w->weather;
}

struct wire_figures *wire_figures(struct wire *w)
{
	return &w->figures;
}

mono_us wire_now(const struct wire *w)
{
	return w->now;
}

struct peer_set *wire_set(struct wire *w, unsigned node)
{
	return w->nodes[node].set;
}

uint32_t wire_id(struct wire *w, unsigned node)
{
	return w->nodes[node].id;
}

unsigned wire_of_id(struct wire *w, uint32_t id)
{
	for (unsigned i = 0; i < w->settings.nodes; i++)
		if (w->nodes[i].id == id)
			return i;
	check_failed(__FILE__, __LINE__, __func__, "a source that nobody is");
}

unsigned wire_object(struct wire *w, uint64_t size, uint64_t rate, mono_us ttfb)
{
	unsigned at = w->n_objects++;
	struct object *o = &w->objects[at];

	CHECK_THAT(at < MOST_OBJECTS);
	*o = (struct object){.size = size, .rate = rate, .ttfb = ttfb};
	for (size_t i = 0; i < KEY_BYTES; i++)
		o->key.b[i] = (uint8_t)rng_next(&w->rng);
	memcpy(o->key.b + 8, &(uint32_t){at}, 4); /* found again by these */
	return at;
}

unsigned wire_private(struct wire *w, uint64_t size, uint64_t rate, mono_us ttfb)
{
	unsigned at = wire_object(w, size, rate, ttfb);

	w->objects[at].is_private = true;
	w->n_private++;
	return at;
}

bool wire_is_private(struct wire *w, unsigned object)
{
	return w->objects[object].is_private;
}

void wire_lies(struct wire *w, unsigned node, bool lies)
{
	w->nodes[node].lies = lies;
}

bool wire_is_wrong(struct wire *w, unsigned node, unsigned object)
{
	return w->nodes[node].is_wrong[object];
}

unsigned wire_upstream(struct wire *w, unsigned object)
{
	return w->objects[object].upstream;
}

bool wire_is_up(struct wire *w, unsigned node)
{
	return w->nodes[node].is_up;
}

const struct key *wire_key(struct wire *w, unsigned object)
{
	return &w->objects[object].key;
}

static void tell_homes(struct wire *w, unsigned node, unsigned object, bool stored)
{
	struct peermsg_key key;

	memcpy(key.b, w->objects[object].key.b, sizeof(key.b));
	peer_ask_note(w->nodes[node].set, &key, stored, stored ? w->objects[object].size : 0, w->now);
	stir(&w->nodes[node]);
}

void wire_has(struct wire *w, unsigned node, unsigned object)
{
	w->nodes[node].has[object] = true;
	tell_homes(w, node, object, true);
}

void wire_evict(struct wire *w, unsigned node, unsigned object, bool told)
{
	w->nodes[node].has[object] = false;
	if (told)
		tell_homes(w, node, object, false);
}

bool wire_is_there(struct wire *w, unsigned node, unsigned object)
{
	return w->nodes[node].has[object];
}

void wire_want(struct wire *w, unsigned node, unsigned object, mono_us at)
{
	struct event *e = plan(w, at, on_want, SPAN_NONE);

	e->who = node;
	e->object = object;
	w->objects[object].wanting++;
}

unsigned wire_fetches(struct wire *w, unsigned object)
{
	return w->objects[object].fetches;
}

unsigned wire_wanting(struct wire *w, unsigned object)
{
	return w->objects[object].wanting;
}

int wire_fetcher(struct wire *w, unsigned object)
{
	for (unsigned i = 0; i < w->settings.nodes; i++) {
		const struct flight *f = w->nodes[i].flights[object];

		if (f && f->phase == FETCHING)
			return (int)i;
	}
	return -1;
}

uint64_t wire_have(struct wire *w, unsigned node, unsigned object)
{
	const struct flight *f = w->nodes[node].flights[object];

	return w->nodes[node].has[object] ? w->objects[object].size : f ? f->have : 0;
}

static bool run_next(struct wire *w, mono_us until)
{
	struct heap_node *min = heap_min(&w->events);
	struct event *e;

	if (!min)
		return false;
	e = (struct event *)(void *)((char *)min - offsetof(struct event, node));
	if (e->at > until)
		return false;
	heap_remove(&w->events, min);
	w->now = e->at;
	e->run(w, e);
	free(e);
	return true;
}

void wire_stir(struct wire *w, unsigned node)
{
	stir(&w->nodes[node]);
}

void wire_pass(struct wire *w, mono_us time)
{
	mono_us until = w->now + time;

	while (run_next(w, until))
		continue;
	w->now = until;
}

bool wire_finish(struct wire *w, unsigned object, mono_us most)
{
	mono_us until = w->now + most;

	while (w->objects[object].wanting > 0)
		if (!run_next(w, until))
			return false;
	return true;
}
