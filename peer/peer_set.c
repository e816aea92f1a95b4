#include "peer/peer_internal.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/hash.h"
#include "node/base/mem.h"
#include "proto/rendezvous.h"

#define FIRST_HELLO_US 2000 /* of each member, when there are many: 500 a second */
#define FEW_MEMBERS 32
#define BEHIND_US 1000000
#define DUE_A_TICK 256
#define PURGE_COST 50 /* keys of a peer's rate: a signature is to be checked */
#define ALL_MOST 16   /* nodes up to which all are asked */
#define HOME_LEAST 20

static const char *const state_words[PEER_STATES] = {
#define X(id, word) [PEER_##id] = word,
	PEER_STATE_TABLE(X)
#undef X
};

const char *peer_state_word(enum peer_state s)
{
	return (unsigned)s < PEER_STATES ? state_words[s] : "?";
}

/* ---- small things ---- */

static mono_us earlier(mono_us a, mono_us b)
{
	return a < b ? a : b;
}

static struct peer *of_id(const struct map_node *node)
{
	return (struct peer *)(void *)((char *)(uintptr_t)node - offsetof(struct peer, by_id));
}

static bool has_id(const struct map_node *node, const void *wanted)
{
	return of_id(node)->id == *(const uint32_t *)wanted;
}

/* Ids come from names by SHA-256, and names from the configuration. */
static uint64_t id_hash(uint32_t id)
{
	return id * UINT64_C(0x9e3779b97f4a7c15) >> 32;
}

struct peer *peer__find(struct peer_set *set, uint32_t id)
{
	struct map_node *node = map_find(&set->by_id, id_hash(id), has_id, &id);

	return node ? of_id(node) : NULL;
}

/* ---- time ---- */

void peer_set_tick(struct peer_set *set, mono_us now)
{
	struct heap_node *min;

	CHECK(set, PEER_SET_MAGIC);
	peer__isolation_tick(set, now);
	for (int i = 0; i < DUE_A_TICK && (min = heap_min(&set->due)) != NULL && peer__of_due(min)->due <= now; i++)
		peer__attend(set, peer__of_due(min), now);
	peer__ask_tick(set, now);
	peer__announce_tick(set, now);
	peer__home_tick(set, now);
}

mono_us peer_set_due(const struct peer_set *set)
{
	const struct heap_node *min = heap_min(&set->due);
	mono_us due = min ? peer__of_due(min)->due : MONO_NEVER;

	if (set->isolated_until)
		due = earlier(due, set->isolated_until);
	due = earlier(due, peer__ask_due(set));
	due = earlier(due, peer__announce_due(set));
	return earlier(due, peer__home_due(set));
}

/* ---- the way in ---- */

static void note_serial(struct peer_set *set, struct peer *p, uint64_t serial, mono_us now)
{
	p->purge_serial = serial;
	if (serial <= set->purge_serial || !set->ground.behind)
		return;
	if (set->behind_at && now - set->behind_at < BEHIND_US)
		return;
	set->behind_at = now;
	set->ground.behind(set->ground.cookie, p->id, serial);
}

static void note_ping(struct peer_set *set, struct peer *p, const struct peermsg_ping *m, mono_us now)
{
	p->load = m->load;
	p->objects = m->objects;
	p->said_state = m->state;
	if (m->mode == 2 && p->said_mode != 2) {
		p->said_mode = m->mode;
		peer__announce_resume(set, now);
	}
	p->said_mode = m->mode;
	p->members_hash = m->members_hash;
	note_serial(set, p, m->purge_serial, now);
}

static void on_hello(struct peer_set *set, struct peer *p, const struct peermsg *m, bool proven, mono_us now)
{
	struct peermsg back = {.env.type = PEERMSG_HELLO_BACK};

	if (strcmp(m->hello.name, p->member.name) != 0) {
		p->score.dropped[PEER_DROP_NO_MEMBER]++; /* another node whose name has the same id */
		return;
	}
	if (m->hello.version_min > PEERMSG_VERSION || m->hello.version_max < PEERMSG_VERSION) {
		back.env.type = PEERMSG_ERR;
		back.err = (struct peermsg_err){.code = PEERMSG_ERR_VERSION};
		peer__send(set, p, &back, now);
		return;
	}
	if (peer__prove(set, p, m, now)) {
		p->hello_done = true;
		peer__heard(set, p, now);
		proven = true;
	}
	if (proven) {
		p->members_hash = m->hello.members_hash;
		peer__spoke(set, p, now);
	}
	peer__put_hello(set, &back.hello, m->hello.nonce);
	peer__send(set, p, &back, now);
}

/* PONG or HELLO_BACK. False: not to what we have asked last. */
static bool probe_answered(struct peer_set *set, struct peer *p, const struct peermsg_envelope *env, uint64_t nonce,
			   mono_us received, mono_us now)
{
	if (nonce != p->ping_nonce || nonce == 0) {
		p->score.dropped[PEER_DROP_UNASKED]++;
		return false;
	}
	p->ping_nonce = 0;
	p->hello_done = true;
	peer__take_boot(set, p, env, now);
	peer_score_rtt(&p->score, received - p->ping_sent);
	peer__heard(set, p, now);
	return true;
}

static void on_hello_back(struct peer_set *set, struct peer *p, const struct peermsg *m, mono_us received, mono_us now)
{
	if (strcmp(m->hello.name, p->member.name) != 0)
		p->score.dropped[PEER_DROP_NO_MEMBER]++;
	else if (probe_answered(set, p, &m->env, m->hello.nonce, received, now))
		p->members_hash = m->hello.members_hash;
}

static void on_ping(struct peer_set *set, struct peer *p, struct peermsg *m, bool proven, mono_us now)
{
	struct peermsg pong = {.env.type = PEERMSG_PONG};

	if (proven) {
		note_ping(set, p, &m->ping, now);
		peer__spoke(set, p, now);
	}
	peer__put_ping(set, &pong.ping, m->ping.nonce, m->ping.t_us);
	peer__send(set, p, &pong, now);
}

static void on_pong(struct peer_set *set, struct peer *p, const struct peermsg *m, mono_us received, mono_us now)
{
	if (probe_answered(set, p, &m->env, m->ping.nonce, received, now))
		note_ping(set, p, &m->ping, now);
}

static void on_query(struct peer_set *set, struct peer *p, const struct peermsg *m, bool proven, mono_us received,
		     mono_us now)
{
	if (proven)
		peer__spoke(set, p, now);
	if (peer__allows(p, m->query.n, now))
		peer__on_query(set, p, m, received, now);
	else
		peer__deny_query(set, p, m, received, now);
}

static void on_reply(struct peer_set *set, struct peer *p, const struct peermsg *m, bool proven, mono_us received,
		     mono_us now)
{
	if (proven) { /* else it may be an old one: what it answers shows whether it is ours */
		peer__heard(set, p, now);
		p->load = m->reply.load;
		note_serial(set, p, m->reply.purge_serial, now);
	}
	peer__on_reply(set, p, m, received, now);
}

static void on_invalidate(struct peer_set *set, struct peer *p, const struct peermsg *m, mono_us now)
{
	struct peermsg done = {.env.type = PEERMSG_INVALIDATED};
	uint32_t removed = 0;

	peer__spoke(set, p, now);
	if (!peer__allows(p, PURGE_COST, now)) {
		p->score.dropped[PEER_DROP_RATE]++;
		return;
	}
	if (!set->ground.purge(set->ground.cookie, span_of((const char *)m->invalidate.record, m->invalidate.n),
			       &removed))
		return;
	done.invalidated.qid = m->invalidate.qid;
	done.invalidated.serial = m->invalidate.serial;
	done.invalidated.removed = removed;
	peer__send(set, p, &done, now);
}

static void on_bye(struct peer_set *set, struct peer *p, mono_us now)
{
	p->heard = now;
	peer__become(set, p, PEER_DRAINING, now);
	peer__rest(set, p, now);
	peer__rounds_forget(set, p, now);
	peer__home_forget(set, p->id);
}

static void on_err(struct peer_set *set, struct peer *p, const struct peermsg *m, mono_us now)
{
	if (m->err.code == PEERMSG_ERR_BOOT && m->err.has_challenge) {
		peer__echo(set, p, m->err.challenge, now);
		return;
	}
	peer__on_error(set, p, m, now);
}

/* What would change something here, under a boot that has not proven itself. */
static bool must_prove(const struct peermsg *m, uint64_t *qid)
{
	*qid = m->env.type == PEERMSG_INVALIDATE ? m->invalidate.qid : 0;
	return m->env.type == PEERMSG_HINT || m->env.type == PEERMSG_INVALIDATE || m->env.type == PEERMSG_BYE;
}

void peer_set_receive(struct peer_set *set, const struct addr *from, struct span datagram, mono_us received,
		      mono_us now)
{
	struct peermsg m;
	struct peer *p;
	uint64_t qid;
	bool proven;

	CHECK(set, PEER_SET_MAGIC);
	(void)from; /* who speaks is known by the tag, and answers go to the configured address alone */
	p = peer__open(set, datagram, now, &m, &proven);
	if (!p)
		return;
	if (!proven && must_prove(&m, &qid)) {
		peer__challenge(set, p, qid, now);
		return;
	}
	switch ((enum peermsg_type)m.env.type) {
	case PEERMSG_HELLO:
		on_hello(set, p, &m, proven, now);
		return;
	case PEERMSG_HELLO_BACK:
		on_hello_back(set, p, &m, received, now);
		return;
	case PEERMSG_QUERY:
		on_query(set, p, &m, proven, received, now);
		return;
	case PEERMSG_REPLY:
		on_reply(set, p, &m, proven, received, now);
		return;
	case PEERMSG_HINT:
		peer__spoke(set, p, now);
		peer__on_hint(set, p, &m, now);
		return;
	case PEERMSG_PING:
		on_ping(set, p, &m, proven, now);
		return;
	case PEERMSG_PONG:
		on_pong(set, p, &m, received, now);
		return;
	case PEERMSG_INVALIDATE:
		on_invalidate(set, p, &m, now);
		return;
	case PEERMSG_INVALIDATED:
		if (proven)
			peer__heard(set, p, now);
		else
			p->score.dropped[PEER_DROP_UNASKED]++;
		return;
	case PEERMSG_BYE:
		on_bye(set, p, now);
		return;
	case PEERMSG_ERR:
		on_err(set, p, &m, now);
		return;
	}
}

/* ---- to all ---- */

void peer_set_bye(struct peer_set *set, uint16_t back_in_s, mono_us now)
{
	struct peermsg m = {.env.type = PEERMSG_BYE, .bye = {.reason = back_in_s ? 2 : 1, .back_in_s = back_in_s}};

	CHECK(set, PEER_SET_MAGIC);
	for (size_t i = 0; i < set->n; i++)
		peer__send(set, set->v[i], &m, now);
}

void peer_set_spread(struct peer_set *set, uint64_t serial, struct span record, mono_us now)
{
	struct peermsg m = {.env.type = PEERMSG_INVALIDATE};

	CHECK(set, PEER_SET_MAGIC);
	if (record.n > sizeof(m.invalidate.record))
		return;
	m.invalidate.qid = peer__random(set);
	m.invalidate.serial = serial;
	m.invalidate.n = record.n;
	memcpy(m.invalidate.record, record.p, record.n);
	for (size_t i = 0; i < set->n; i++)
		peer__send(set, set->v[i], &m, now);
}

/* ---- fetches ---- */

static void stream_ended(struct peer *p, uint64_t bytes)
{
	p->score.bytes_in += bytes;
	if (p->score.streams_in)
		p->score.streams_in--;
}

void peer_set_fetch_began(struct peer_set *set, uint32_t node)
{
	struct peer *p = peer__find(set, node);

	if (!p)
		return;
	p->score.fetches++;
	p->score.streams_in++;
}

void peer_set_fetch_ended(struct peer_set *set, uint32_t node, bool ok, enum peer_false why, uint64_t bytes,
			  int64_t ttfb_us, mono_us now)
{
	struct peer *p = peer__find(set, node);

	if (!p)
		return;
	stream_ended(p, bytes);
	if (ttfb_us > 0)
		peer_score_ttfb(&p->score, ttfb_us);
	if (ok) {
		p->score.fetched++;
		peer__fetched(set, p, now);
	} else {
		CHECK_THAT((unsigned)why < PEER_FALSES);
		p->score.false_hits[why]++;
		peer__was_false(set, p, why, now);
	}
}

void peer_set_fetch_hedged(struct peer_set *set, uint32_t node)
{
	struct peer *p = peer__find(set, node);

	if (p)
		p->score.hedged++;
}

void peer_set_fetch_cancelled(struct peer_set *set, uint32_t node, uint64_t bytes)
{
	struct peer *p = peer__find(set, node);

	if (!p)
		return;
	stream_ended(p, bytes);
	p->score.cancelled++;
}

void peer_set_serving(struct peer_set *set, uint32_t node, bool begins, uint64_t bytes)
{
	struct peer *p = peer__find(set, node);

	if (!p)
		return;
	p->score.bytes_out += bytes;
	if (begins) {
		p->score.served++;
		p->score.streams_out++;
	} else if (p->score.streams_out) {
		p->score.streams_out--;
	}
}

/* ---- members ---- */

static int by_name(const void *a, const void *b)
{
	return strcmp((*(struct peer *const *)a)->member.name, (*(struct peer *const *)b)->member.name);
}

static uint64_t hash_of_names(const struct peer_set *set)
{
	bool self_is_in = false;
	uint8_t digest[SHA256_BYTES];
	struct sha256 h;
	uint64_t first;

	sha256_init(&h);
	for (size_t i = 0; i <= set->n; i++) {
		const char *name = i < set->n ? set->v[i]->member.name : NULL;

		if (!self_is_in && (!name || strcmp(set->self.name, name) < 0)) {
			self_is_in = true;
			sha256_add(&h, set->self.name, strlen(set->self.name) + 1);
		}
		if (name)
			sha256_add(&h, name, strlen(name) + 1);
	}
	sha256_end(&h, digest);
	memcpy(&first, digest, sizeof(first));
	return first;
}

/* By the list, not by who is alive: so all nodes come to the same. Between the two limits what was is kept, so that one machine more or
 * less does not turn a whole cluster round. */
static void choose_mode(struct peer_set *set, mono_us now)
{
	size_t edges = set->self.role == PEER_EDGE;
	bool asked_homes = set->asks_homes;

	for (size_t i = 0; i < set->n; i++)
		edges += set->v[i]->member.role == PEER_EDGE;
	if (set->self.lookup != PEER_LOOKUP_AUTO)
		set->asks_homes = set->self.lookup == PEER_LOOKUP_HOME;
	else if (edges <= ALL_MOST)
		set->asks_homes = false;
	else if (edges >= HOME_LEAST)
		set->asks_homes = true;
	if (set->asks_homes && !asked_homes)
		peer__announce_to_all(set, now);
}

static struct peer *peer_new(struct peer_set *set, uint32_t id, const struct peer_member *m, mono_us now)
{
	struct peer *p = NEW(struct peer);

	p->id = id;
	p->member = *m;
	p->since = now;
	p->ping_at = m->addr.len ? now : MONO_NEVER;
	p->ping_due = MONO_NEVER;
	p->due = MONO_NEVER;
	map_insert(&set->by_id, &p->by_id, id_hash(id));
	heap_insert(&set->due, &p->by_due);
	return p;
}

static void peer_free(struct peer_set *set, struct peer *p)
{
	peer__trust_again(set, p);
	peer__announce_drop(p);
	map_remove(&set->by_id, &p->by_id);
	heap_remove(&set->due, &p->by_due);
	free(p);
}

static uint32_t id_of(const char *name)
{
	return rendezvous_node_id(span_str(name));
}

/* Takes out those that are not on the list. */
static void let_go(struct peer_set *set, const struct peer_member *v, size_t n, mono_us now)
{
	size_t stay = 0;

	for (size_t i = 0; i < set->n; i++)
		set->v[i]->gone = true;
	for (size_t i = 0; i < n; i++) {
		struct peer *p = peer__find(set, id_of(v[i].name));

		if (p && strcmp(p->member.name, v[i].name) == 0)
			p->gone = false;
	}
	for (size_t i = 0; i < set->n; i++) {
		struct peer *p = set->v[i];

		if (!p->gone) {
			set->v[stay++] = p;
			continue;
		}
		peer__rounds_forget(set, p, now);
		peer__home_forget(set, p->id);
		peer_free(set, p);
	}
	set->n = stay;
}

static void update(struct peer_set *set, struct peer *p, const struct peer_member *m, mono_us now)
{
	bool moved = m->addr.len && (p->member.addr.len == 0 || !addr_same(&m->addr, &p->member.addr));

	p->member = *m;
	if (moved)
		peer__ping_soon(p, now);
	peer__rearm(set, p);
}

/* False: there is no room for it, since another has its name or its id. */
static bool take_in(struct peer_set *set, const struct peer_member *m, size_t *fresh, mono_us now)
{
	uint32_t id = id_of(m->name);
	struct peer *p = peer__find(set, id);

	if (p && p->gone && strcmp(p->member.name, m->name) == 0) {
		p->gone = false;
		update(set, p, m, now);
		return true;
	}
	if (p || id == set->id || set->n >= PEER_MOST_MEMBERS)
		return false;
	set->v = mem_realloc(set->v, (set->n + 1) * sizeof(struct peer *));
	set->v[set->n++] = peer_new(set, id, m, now);
	++*fresh;
	return true;
}

/* HELLO to whom we have not met: to a few at once, to many in the course of some seconds. */
static void say_hello(struct peer_set *set, size_t fresh, mono_us now)
{
	for (size_t i = 0; i < set->n; i++) {
		struct peer *p = set->v[i];

		if (fresh > FEW_MEMBERS && p->state == PEER_NEW && p->ping_at == now)
			p->ping_at = now + (mono_us)(peer__random(set) % (fresh * FIRST_HELLO_US));
		peer__rearm(set, p);
	}
}

size_t peer_set_members(struct peer_set *set, const struct peer_member *v, size_t n, mono_us now)
{
	size_t left_out = 0, fresh = 0;

	CHECK(set, PEER_SET_MAGIC);
	CHECK_THAT(v != NULL || n == 0);
	let_go(set, v, n, now);
	for (size_t i = 0; i < set->n; i++)
		set->v[i]->gone = true; /* till its first place in the list */
	for (size_t i = 0; i < n; i++)
		if (strcmp(v[i].name, set->self.name) != 0)
			left_out += !take_in(set, &v[i], &fresh, now);
	if (set->n)
		qsort(set->v, set->n, sizeof(struct peer *), by_name);
	say_hello(set, fresh, now);
	set->members_hash = hash_of_names(set);
	choose_mode(set, now);
	return left_out;
}

void peer_set_secrets(struct peer_set *set, const struct peer_secret *v, size_t n, uint8_t active)
{
	CHECK(set, PEER_SET_MAGIC);
	CHECK_THAT(n <= PEER_MOST_SECRETS);
	memset(set->secrets, 0, sizeof(set->secrets));
	if (n)
		memcpy(set->secrets, v, n * sizeof(*v));
	set->n_secrets = n;
	set->active = active;
}

void peer_set_state(struct peer_set *set, enum peermsg_node_state state, uint8_t load, uint32_t objects,
		    uint64_t purge_serial)
{
	CHECK(set, PEER_SET_MAGIC);
	set->state = state;
	set->load = load;
	set->objects = objects;
	set->purge_serial = purge_serial;
}

/* ---- the set ---- */

struct peer_set *peer_set_new(const struct peer_self *self, const struct peer_ground *ground, mono_us now)
{
	struct peer_set *set = NEW(struct peer_set);

	CHECK_THAT(self->boot != 0);
	set->magic = PEER_SET_MAGIC;
	set->self = *self;
	if (set->self.dgram_bytes == 0)
		set->self.dgram_bytes = PEERMSG_SEND_BYTES;
	CHECK_THAT(set->self.dgram_bytes <= PEERMSG_MAX_BYTES);
	set->ground = *ground;
	set->id = id_of(self->name);
	set->random = self->seed;
	set->state = PEERMSG_STATE_UP;
	heap_init(&set->due, peer__is_due_before);
	TAILQ_INIT(&set->doubted);
	LIST_INIT(&set->auditing);
	peer__ask_init(set);
	set->home = peer__home_new(set);
	peer__announce_init(set, now);
	set->members_hash = hash_of_names(set);
	choose_mode(set, now);
	return set;
}

void peer_set_free(struct peer_set *set)
{
	if (!set)
		return;
	CHECK(set, PEER_SET_MAGIC);
	peer__audit_fini(set);
	peer__announce_fini(set);
	for (size_t i = 0; i < set->n; i++)
		peer_free(set, set->v[i]);
	free(set->v);
	peer__home_free(set->home);
	peer__ask_fini(set);
	map_fini(&set->by_id);
	heap_fini(&set->due);
	memset(set->secrets, 0, sizeof(set->secrets));
	set->magic = 0;
	free(set);
}

/* ---- looking ---- */

static void view(const struct peer *p, struct peer_view *out)
{
	*out = (struct peer_view){.id = p->id,
				  .member = p->member,
				  .state = p->state,
				  .since = p->since,
				  .boot = p->window.boot,
				  .load = p->load,
				  .objects = p->objects,
				  .score = &p->score};
}

void peer_set_each(struct peer_set *set, peer_set_each_f *each, void *cookie)
{
	CHECK(set, PEER_SET_MAGIC);
	for (size_t i = 0; i < set->n; i++) {
		struct peer_view v;

		view(set->v[i], &v);
		each(cookie, &v);
	}
}

bool peer_set_find(struct peer_set *set, uint32_t node, struct peer_view *out)
{
	const struct peer *p = peer__find(set, node);

	if (p)
		view(p, out);
	return p != NULL;
}

size_t peer_set_count(const struct peer_set *set, enum peer_state state)
{
	size_t n = 0;

	for (size_t i = 0; i < set->n; i++)
		n += set->v[i]->state == state;
	return n;
}

bool peer_set_is_isolated(const struct peer_set *set)
{
	return set->isolated_until != 0;
}

bool peer_set_asks_homes(const struct peer_set *set)
{
	return set->asks_homes;
}

bool peer_set_tells_homes(const struct peer_set *set)
{
	CHECK(set, PEER_SET_MAGIC);
	return set->self.role == PEER_EDGE && peer__has_homes(set);
}

const uint64_t *peer_set_strangers(const struct peer_set *set)
{
	return set->strangers;
}

uint64_t peer_set_members_hash(const struct peer_set *set)
{
	return set->members_hash;
}

uint32_t peer_set_self(const struct peer_set *set)
{
	return set->id;
}
