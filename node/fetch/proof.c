/* Is what a sibling has given the object that was asked for? A sibling is a CI host, where foreign code runs: its word about its own bytes is
 * worth as much as cluster.trust says. In this order:
 *
 *     a digest in the path    integrity.h has checked it while filling
 *     the parent's word       (attested) the digest of what it fetched itself, asked for by HEAD
 *     the sibling's own word  (any) which finds damage, not malice
 *
 * What no one vouches for is fetched upwards, and compared byte by byte with what is here. */
#include "node/base/check.h"
#include "node/fetch/flight_internal.h"

#define DIAL_MS (1 * DUR_SECOND)
#define WORD_MS (5 * DUR_SECOND) /* the parent may still be at the end of its own fetch */
#define HEAD_ROOM (16 * 1024)

void proof_cancel(struct flight *f)
{
	nodelink_cancel(&f->proof.dial);
	exchange_cancel(&f->proof.exchange);
	if (f->proof.asked) {
		f->proof.asked = false;
		parent_set_ended(f->fetcher->cluster->parents, &f->proof.pick, PARENT_CANCELLED, 0, -1, 0,
				 loop_now(f->fetcher->loop));
	}
}

/* ---- the verdict ---- */

static void proven(struct flight *f)
{
	f->proof.wanted = false;
	sibling_done(f, true);
	fill_finish(f);
}

/* Nobody vouches for it: what comes from above decides. What nobody has seen need not even be compared. */
static void unproven(struct flight *f)
{
	if (f->parked) {
		sibling_done(f, true);
		fill_restart(f);
	}
	route_up(f);
}

static void disproven(struct flight *f)
{
	const char *from = f->sibling.answer.v[f->sibling.at].name;

	metric_add(f->fetcher->metrics, METRIC_INTEGRITY_FAILURES, 1);
	metric_add(f->fetcher->metrics, METRIC_INTEGRITY_SIBLING, 1);
	log_line(f->fetcher->log, LOG_ERROR, "peer", "%s gave other bytes for %.*s%.*s than were promised", from,
		 SPAN_ARG(f->url.host), SPAN_ARG(f->url.path));
	if (f->parked) {
		sibling_failed(f, PEER_FALSE_DIGEST);
		return;
	}
	sibling_lied(f);
	flight__failed(f, REASON_INTEGRITY, "a sibling's body is not the one that was promised");
}

static void judge(struct flight *f)
{
	if (memcmp(f->proof.digest, f->integrity.sha256, SHA256_BYTES) == 0)
		proven(f);
	else
		disproven(f);
}

/* ---- asking the parent ---- */

static void ended(struct flight *f, enum parent_outcome outcome)
{
	f->proof.asked = false;
	parent_set_ended(f->fetcher->cluster->parents, &f->proof.pick, outcome, 0, -1, 0, loop_now(f->fetcher->loop));
}

static struct peer_link_ask ask_of(const struct flight *f)
{
	return (struct peer_link_ask){
		.head_only = true,
		.key = f->key,
		.node = span_str(f->proof.pick.member.name),
		.store_id = f->store_id,
		.request = f->request,
	};
}

static void on_head(void *cookie, const struct http1_response *r)
{
	struct flight *f = cookie;
	struct peer_link_ask ask = ask_of(f);
	struct peer_link_reply reply;
	struct link *link;
	bool told;

	CHECK(f, FLIGHT_MAGIC);
	told = peer_link_read(r, &ask, &reply) == PEER_LINK_OBJECT && reply.has_digest;
	if (told)
		memcpy(f->proof.digest, reply.digest, sizeof(f->proof.digest));
	link = exchange_finish(&f->proof.exchange);
	if (link)
		pool_give(f->fetcher->pool, &link);
	ended(f, PARENT_OK);
	if (told)
		judge(f);
	else
		unproven(f);
}

static void on_failed(void *cookie, enum reason why)
{
	struct flight *f = cookie;

	(void)why;
	CHECK(f, FLIGHT_MAGIC);
	exchange_cancel(&f->proof.exchange);
	ended(f, PARENT_CANCELLED); /* a link that had died while idle, as a rule */
	unproven(f);
}

static void on_informational(void *cookie, const struct http1_response *r)
{
	struct flight *f = cookie;

	(void)r;
	exchange_wait_on(f->proof.exchange, WORD_MS);
}

static void on_nothing(void *cookie)
{
	(void)cookie; /* HEAD has no body in either direction */
}

static const struct exchange_on exchange_on = {
	.informational = on_informational,
	.head = on_head,
	.body = on_nothing,
	.send = on_nothing,
	.failed = on_failed,
};

static void start(struct flight *f, struct link *link)
{
	struct arena scratch = {0};
	size_t room = PEER_LINK_HEAD_BYTES + f->store_id.n + f->request->head_bytes;
	struct buf b = buf_over(arena_alloc(&scratch, room), room);
	struct peer_link_ask ask = ask_of(f);
	struct exchange_ask out = {
		.method = METHOD_HEAD,
		.max_head_bytes = HEAD_ROOM,
		.first_byte_timeout = WORD_MS,
		.read_timeout = WORD_MS,
		.write_timeout = WORD_MS,
	};

	peer_link_format(&b, &ask);
	CHECK_THAT(!b.full);
	out.head = buf_span(&b);
	f->proof.exchange = exchange_start(&link, &out, &exchange_on, f);
	arena_free(&scratch);
}

static void on_dialled(void *cookie, struct stream *s, enum nodelink_fault fault, const char *detail)
{
	struct flight *f = cookie;
	struct link *link;

	(void)fault;
	CHECK(f, FLIGHT_MAGIC);
	f->proof.dial = NULL;
	if (!s) {
		log_line(f->fetcher->log, LOG_NOTICE, "parent", "%s", detail);
		ended(f, PARENT_CONNECT);
		unproven(f);
		return;
	}
	link = link_new(&s, f->origin.p);
	start(f, link);
}

static void reach(struct flight *f)
{
	const struct parent_member *m = &f->proof.pick.member;
	struct nodelink_target target = {
		.node = span_str(m->name),
		.host = span_str(m->host),
		.port = m->port,
		.door = NODE_DOOR_PEER,
		.parent = true,
		.connect_timeout = DIAL_MS,
		.tls_timeout = DIAL_MS,
	};
	struct link *link;

	link = outgoing_reach(f, &target, false, on_dialled, f, &f->proof.dial, &f->origin);
	if (link)
		start(f, link);
}

static void ask_parent(struct flight *f)
{
	struct parent_set *parents = f->fetcher->cluster->parents;
	mono_us now = loop_now(f->fetcher->loop);

	f->proof.asked = parent_set_pick(parents, &f->key, NULL, 0, false, now, &f->proof.pick);
	if (f->proof.asked)
		reach(f);
	else
		unproven(f);
}

/* integrity_end has found no broken promise; was there one by the path? */
static bool is_proven_by_path(const struct flight *f)
{
	for (unsigned i = 0; i < f->integrity.n; i++)
		if (f->integrity.v[i].source == INTEGRITY_PATH)
			return true;
	return false;
}

void proof_settle(struct flight *f)
{
	CHECK_THAT(f->proof.wanted && !f->exchange);
	if (is_proven_by_path(f)) {
		proven(f);
		return;
	}
	switch (f->policy->cluster.trust) {
	case POLICY_TRUST_VERIFIED:
		unproven(f);
		return;
	case POLICY_TRUST_ATTESTED:
		ask_parent(f);
		return;
	case POLICY_TRUST_ANY:
		if (f->proof.known)
			judge(f);
		else
			unproven(f);
		return;
	}
}
