/* From a sibling: ask who has it or is fetching it, read from the best one, and from another when that was no good. */
#include "node/base/check.h"
#include "node/base/rng.h"
#include "node/fetch/flight_internal.h"
#include "proto/vary.h"

#define DIAL_MS 200
#define TLS_MS (1 * DUR_SECOND)
/* Until the first byte from one that has the whole: it is late after three times what it usually takes, and no good after the most. */
#define FIRST_BYTE_LEAST_MS 50
#define FIRST_BYTE_UNKNOWN_MS 150
#define FIRST_BYTE_MOST_MS 300
#define STALL_MS (3 * DUR_SECOND) /* also between the signs of life of one that waits itself (peer_link.h) */
#define STALL_OF_ORDER_MS 500     /* more for who is further from the origin: the nearest is to act first */
#define BUSY_LEAST_MS 20
#define BUSY_MOST_MS 40
#define MOST_BUSY_ROUNDS 25
#define LOST_MOST_MS 100
#define NOTE_BYTES ((uint64_t)4 * 1024 * 1024)

static const struct fetch_cluster *cluster_of(const struct flight *f)
{
	return f->fetcher->cluster;
}

static const struct peer_source *source_of(const struct flight *f)
{
	return &f->sibling.answer.v[f->sibling.at];
}

enum peer_false sibling_fault(enum reason why)
{
	switch (why) {
	case REASON_FIRST_BYTE_TIMEOUT:
	case REASON_READ_TIMEOUT:
	case REASON_WRITE_TIMEOUT:
		return PEER_FALSE_SILENT;
	case REASON_UPSTREAM_CUT:
	case REASON_UPSTREAM_CLOSED:
	case REASON_UPSTREAM_RESET:
		return PEER_FALSE_CUT;
	case REASON_INTEGRITY:
		return PEER_FALSE_DIGEST;
	default:
		return PEER_FALSE_BAD;
	}
}

static void reach(struct flight *f);

/* ---- done with one ---- */

void sibling_done(struct flight *f, bool whole)
{
	struct peer_desk *desk;

	if (f->sibling.pause.loop)
		timer_clear(&f->sibling.pause);
	if (!f->sibling.reading)
		return;
	f->sibling.reading = false;
	desk = cluster_of(f)->desk;
	if (whole)
		peer_desk_fetch_ended(desk, source_of(f)->node, true, PEER_FALSE_GONE, f->sibling.bytes,
				      f->sibling.ttfb_us);
	else
		peer_desk_fetch_cancelled(desk, source_of(f)->node, f->sibling.bytes);
}

static void on_pause_over(void *arg)
{
	struct flight *f = arg;

	CHECK(f, FLIGHT_MAGIC);
	peer_errand_again(&f->sibling.errand, fill_here(f), f->sibling.bad, f->sibling.busy ? 0 : f->sibling.n_bad);
	f->sibling.busy = false;
}

/* After a little while, so that not all who have lost the same source ask at the same moment. */
static void ask_again_in(struct flight *f, dur_ms least, dur_ms most)
{
	timer_set_in(&f->sibling.pause, least + (dur_ms)(rng_secret_u64() % (uint64_t)(most - least + 1)));
}

/* Only busy ones are left: by then the first of their readers can pass it on themselves. */
static void await_busy(struct flight *f)
{
	if (++f->sibling.busy_rounds > MOST_BUSY_ROUNDS) {
		route_up(f);
		return;
	}
	ask_again_in(f, BUSY_LEAST_MS, BUSY_MOST_MS);
}

static void sibling_next(struct flight *f)
{
	if (f->sibling.at < f->sibling.answer.n)
		reach(f);
	else if (f->sibling.busy)
		await_busy(f);
	else if (f->begun)
		ask_again_in(f, 0, LOST_MOST_MS);
	else
		peer_errand_again(&f->sibling.errand, fill_here(f), f->sibling.bad, f->sibling.n_bad);
}

/* Its next one, or the next question. */
static void no_good(struct flight *f, enum peer_false why)
{
	if (why == PEER_FALSE_BUSY)
		f->sibling.busy = true;
	else if (f->sibling.n_bad < FLIGHT_MOST_BAD)
		f->sibling.bad[f->sibling.n_bad++] = source_of(f)->node;
	f->sibling.at++;
	sibling_next(f);
}

static void blame(struct flight *f, enum peer_false why)
{
	if (!f->sibling.reading)
		return;
	f->sibling.reading = false;
	peer_desk_fetch_ended(cluster_of(f)->desk, source_of(f)->node, false, why, f->sibling.bytes,
			      f->sibling.ttfb_us);
}

void sibling_lied(struct flight *f)
{
	if (f->resumes == 0)
		blame(f, PEER_FALSE_DIGEST);
	else
		sibling_done(f, false);
}

void sibling_failed(struct flight *f, enum peer_false why)
{
	exchange_cancel(&f->exchange);
	blame(f, why);
	if (hedge_take_over(f))
		return;
	if (f->parked) { /* nobody has seen it: from the beginning, so that the next one is not judged by this one's bytes */
		fill_restart(f);
	} else if (f->begun && !f->stored) { /* a window that has moved on: what is gone cannot be gone on with */
		flight__failed(f, REASON_UPSTREAM_CUT, "in the middle of a sibling's body");
		return;
	}
	no_good(f, why);
}

void sibling_filled(struct flight *f)
{
	uint64_t here = fill_here(f);

	if (!f->sibling.errand.desk || here < f->sibling.noted + NOTE_BYTES)
		return;
	f->sibling.noted = here;
	peer_errand_progress(&f->sibling.errand, here);
}

/* ---- the exchange ---- */

static struct peer_link_ask ask_of(const struct flight *f)
{
	return (struct peer_link_ask){
		.key = f->key,
		.node = span_str(source_of(f)->name),
		.store_id = f->store_id,
		.from = fill_here(f),
		.order = f->sibling.order,
		.request = f->request,
	};
}

static void take_object(struct flight *f, const struct http1_response *r, const struct peer_link_reply *reply)
{
	struct http1_response *as_sent = arena_alloc(&f->arena, sizeof(*as_sent));

	*as_sent = *r;
	as_sent->length_known = reply->has_length;
	as_sent->length = reply->length;
	f->proof.wanted = true;
	f->proof.known = reply->has_digest;
	if (reply->has_digest)
		memcpy(f->proof.digest, reply->digest, sizeof(f->proof.digest));
	f->sibling.order = reply->order + 1;
	entry_set_order(f->entry, f->sibling.order);
	peer_errand_streaming(&f->sibling.errand, reply->order);
	if (f->begun)
		fill_resume(f, 0); /* it begins where we are (fits_what_is_here) */
	else
		reception_take(f, as_sent);
}

static bool fits_what_is_here(const struct flight *f, const struct peer_link_reply *reply)
{
	if (reply->from != fill_here(f) || (reply->has_length && reply->length == 0))
		return false;
	return !f->begun || f->expected == UINT64_MAX || !reply->has_length || reply->length == f->expected;
}

static void on_head(void *cookie, const struct http1_response *r)
{
	struct flight *f = cookie;
	struct peer_link_ask ask = ask_of(f);
	struct peer_link_reply reply;
	struct link *link;

	CHECK(f, FLIGHT_MAGIC);
	f->sibling.ttfb_us = loop_now(f->fetcher->loop) - f->asked_at;
	if (peer_link_read(r, &ask, &reply) == PEER_LINK_REFUSED) {
		link = r->body == HTTP1_BODY_NONE || (r->body == HTTP1_BODY_LENGTH && r->length == 0)
			       ? exchange_finish(&f->exchange)
			       : NULL;
		if (link)
			pool_give(f->fetcher->pool, &link);
		sibling_failed(f, reply.why);
		return;
	}
	if (!fits_what_is_here(f, &reply) || !reception_is_shareable(f, r)) {
		sibling_failed(f, PEER_FALSE_BAD);
		return;
	}
	hedge_drop(f);
	take_object(f, r, &reply);
}

static dur_ms stall_of(const struct flight *f)
{
	return STALL_MS + (dur_ms)source_of(f)->order * STALL_OF_ORDER_MS;
}

/* It waits itself, and says so. */
static void on_informational(void *cookie, const struct http1_response *r)
{
	struct flight *f = cookie;

	(void)r;
	f->sibling.growing = true;
	exchange_wait_on(f->exchange, stall_of(f));
}

static void on_failed(void *cookie, enum reason why)
{
	struct flight *f = cookie;

	CHECK(f, FLIGHT_MAGIC);
	route_failed(f, why, "a sibling failed");
}

static void on_send(void *cookie)
{
	(void)cookie; /* there is no body to send */
}

static const struct exchange_on exchange_on = {
	.informational = on_informational,
	.head = on_head,
	.body = outgoing_on_body,
	.send = on_send,
	.failed = on_failed,
};

static dur_ms first_byte_within(const struct flight *f)
{
	return source_of(f)->pending ? stall_of(f) : FIRST_BYTE_MOST_MS;
}

/* Who waits itself says so, and is as good as the parent, who would wait for the same origin. */
static dur_ms late_after(const struct flight *f)
{
	dur_ms ms = 3 * source_of(f)->ttfb_us / 1000;

	if (source_of(f)->pending)
		return 0;
	if (!ms)
		return FIRST_BYTE_UNKNOWN_MS;
	if (ms > FIRST_BYTE_MOST_MS)
		return FIRST_BYTE_MOST_MS;
	return ms > FIRST_BYTE_LEAST_MS ? ms : FIRST_BYTE_LEAST_MS;
}

static void start(struct flight *f, struct link *link)
{
	struct arena scratch = {0};
	size_t room = PEER_LINK_HEAD_BYTES + f->store_id.n + f->request->head_bytes;
	struct buf b = buf_over(arena_alloc(&scratch, room), room);
	struct peer_link_ask ask = ask_of(f);

	peer_link_format(&b, &ask);
	CHECK_THAT(!b.full);
	f->sibling.growing = source_of(f)->pending;
	outgoing_start_with(f, &link, buf_span(&b), first_byte_within(f), stall_of(f), &exchange_on);
	arena_free(&scratch);
	hedge_expect(f, late_after(f));
}

/* ---- reaching it ---- */

static void on_dialled(void *cookie, struct stream *s, enum nodelink_fault fault, const char *detail)
{
	struct flight *f = cookie;
	struct link *link;

	CHECK(f, FLIGHT_MAGIC);
	f->node_dial = NULL;
	if (!s) {
		log_line(f->fetcher->log, LOG_INFO, "peer", "%s", detail);
		sibling_failed(f, fault == NODELINK_DIAL ? PEER_FALSE_DIAL : PEER_FALSE_TLS);
		return;
	}
	link = link_new(&s, f->origin.p);
	start(f, link);
}

static void reach(struct flight *f)
{
	const struct peer_source *source = source_of(f);
	char host[ADDR_TEXT_BYTES];
	struct nodelink_target target = {
		.node = span_str(source->name),
		.host = span_str(addr_format_ip(&source->addr, host)),
		.port = addr_port(&source->addr),
		.door = NODE_DOOR_PEER,
		.connect_timeout = DIAL_MS,
		.tls_timeout = TLS_MS,
	};
	struct link *link;

	flight__set_peer(f, source->name);
	allowance_earn(cluster_of(f)->hedges);
	peer_desk_fetch_began(cluster_of(f)->desk, source->node);
	f->sibling.reading = true;
	f->sibling.bytes = 0;
	f->sibling.ttfb_us = 0;
	link = outgoing_reach(f, &target, false, on_dialled, f, &f->node_dial, &f->origin);
	if (link)
		start(f, link);
	else
		hedge_expect(f, source->pending ? 0 : DIAL_MS);
}

/* ---- asking ---- */

static void ask(struct flight *f);

/* A holder has named the fields that its variants differ in: ask once more, for ours. */
static bool ask_for_our_variant(struct flight *f, const struct peer_answer *answer)
{
	struct key_variant ours;
	struct vary vary;

	if (!answer->vary[0] || f->sibling.varied)
		return false;
	vary_parse(span_str(answer->vary), &vary);
	key_variant(&ours, &vary, &f->request->fields);
	if (vary.star || key_variant_same(&ours, &f->sibling.variant))
		return false;
	f->sibling.varied = true;
	f->sibling.variant = ours;
	peer_errand_end(&f->sibling.errand, false, 0);
	ask(f);
	return true;
}

static void on_answer(void *cookie, const struct peer_answer *answer)
{
	struct flight *f = cookie;

	CHECK(f, FLIGHT_MAGIC);
	f->sibling.answer = *answer;
	f->sibling.at = 0;
	if (answer->verdict == PEER_SOURCES) {
		reach(f);
		return;
	}
	f->sibling.answer.n = 0;
	if (!ask_for_our_variant(f, answer))
		route_up(f);
}

static void ask(struct flight *f)
{
	struct peer_ask question = {
		.key = f->key,
		.variant = f->sibling.variant,
		.have = fill_here(f),
		.intent = true,
		.cap_us = parent_set_ttfb_us(cluster_of(f)->parents) / 4,
	};

	peer_errand_start(&f->sibling.errand, cluster_of(f)->desk, f->fetcher->loop, &question, on_answer, f);
}

void sibling_begin(struct flight *f)
{
	f->way = FLIGHT_SIBLING;
	timer_init(&f->sibling.pause, f->fetcher->loop, on_pause_over, f);
	ask(f);
}
