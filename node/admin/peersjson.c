#include "node/admin/peersjson.h"

#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/json.h"
#include "node/base/mem.h"

#define TAIL SPAN("],\"cut\":false}\n")
#define TAIL_CUT SPAN("],\"cut\":true}\n")

/* A comma where one belongs, and the name. */
static void put_name(struct buf *b, const char *name)
{
	if (b->n && b->p[b->n - 1] != '{' && b->p[b->n - 1] != '[')
		buf_putc(b, ',');
	buf_putc(b, '"');
	buf_put_str(b, name);
	buf_put(b, SPAN("\":"));
}

static void put_number(struct buf *b, const char *name, uint64_t v)
{
	put_name(b, name);
	buf_put_u64(b, v);
}

static void put_text(struct buf *b, const char *name, const char *text)
{
	put_name(b, name);
	json_put_string(b, span_str(text));
}

static void put_bool(struct buf *b, const char *name, bool v)
{
	put_name(b, name);
	buf_put_str(b, v ? "true" : "false");
}

static void put_ratio(struct buf *b, const char *name, uint64_t part, uint64_t whole)
{
	put_name(b, name);
	json_put_ratio(b, part, whole);
}

/* 64 bits are more than a number of JSON is sure to hold. */
static void put_hex(struct buf *b, const char *name, uint64_t v)
{
	put_name(b, name);
	buf_printf(b, "\"%016llx\"", (unsigned long long)v);
}

static void put_null(struct buf *b, const char *name)
{
	put_name(b, name);
	buf_put(b, SPAN("null"));
}

static void put_open(struct buf *b, const char *name)
{
	put_name(b, name);
	buf_putc(b, '{');
}

static void put_close(struct buf *b)
{
	buf_putc(b, '}');
}

static void put_audits(struct buf *b, struct peer_audits a)
{
	put_open(b, "audits");
	put_number(b, "asked", a.asked);
	put_number(b, "found", a.found);
	put_ratio(b, "false_miss_ratio", a.found, a.asked);
	put_close(b);
}

/* ---- peers ---- */

static uint64_t sum_of(const uint64_t *v, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += v[i];
	return sum;
}

/* Their words are in capitals, as in logs; here all is small. */
static void put_statuses(struct buf *b, const uint64_t v[PEERMSG_STATUSES])
{
	for (int i = 0; i < PEERMSG_STATUSES; i++) {
		const char *word = peermsg_status_word((enum peermsg_status)i);
		char name[24];
		size_t n = 0;

		for (; word[n] && n < sizeof(name) - 1; n++)
			name[n] = word[n] >= 'A' && word[n] <= 'Z' ? (char)(word[n] + ('a' - 'A')) : word[n];
		name[n] = '\0';
		put_number(b, name, v[i]);
	}
}

static void put_drops(struct buf *b, const char *name, const uint64_t v[PEER_DROPS])
{
	put_open(b, name);
	for (int i = 0; i < PEER_DROPS; i++)
		put_number(b, peer_drop_word((enum peer_drop)i), v[i]);
	put_close(b);
}

static void put_times(struct buf *b, const char *name, const struct peer_histogram *h)
{
	put_open(b, name);
	put_number(b, "p50", (uint64_t)peer_histogram_percentile(h, 50));
	put_number(b, "p90", (uint64_t)peer_histogram_percentile(h, 90));
	put_number(b, "p99", (uint64_t)peer_histogram_percentile(h, 99));
	put_close(b);
}

static void put_asking(struct buf *b, const struct peer_score *s)
{
	put_open(b, "asked");
	put_number(b, "queries", s->queries_sent);
	put_number(b, "keys", s->keys_sent);
	put_statuses(b, s->said);
	put_number(b, "timeouts", s->timeouts);
	put_number(b, "late", s->late);
	put_number(b, "errors", s->errors);
	put_close(b);
	put_open(b, "answered");
	put_number(b, "queries", s->queries_received);
	put_number(b, "keys", s->keys_received);
	put_statuses(b, s->answered);
	put_close(b);
	put_drops(b, "dropped", s->dropped);
}

static void put_bodies(struct buf *b, const struct peer_score *s)
{
	put_number(b, "fetches", s->fetches);
	put_number(b, "fetched", s->fetched);
	put_number(b, "hedged", s->hedged);
	put_number(b, "cancelled", s->cancelled);
	put_open(b, "false_hits");
	for (int i = 0; i < PEER_FALSES; i++)
		put_number(b, peer_false_word((enum peer_false)i), s->false_hits[i]);
	put_close(b);
	put_number(b, "bytes_in", s->bytes_in);
	put_number(b, "bytes_out", s->bytes_out);
	put_number(b, "served", s->served);
	put_number(b, "announced", s->announced);
	put_number(b, "streams_in", s->streams_in);
	put_number(b, "streams_out", s->streams_out);
}

static void put_score(struct buf *b, const struct peer_score *s)
{
	uint64_t said = sum_of(s->said, PEERMSG_STATUSES);

	put_asking(b, s);
	put_bodies(b, s);
	put_number(b, "state_changes", s->state_changes);
	put_times(b, "rtt_us", &s->rtt);
	put_times(b, "ttfb_us", &s->ttfb);
	put_number(b, "wait_us", (uint64_t)peer_score_wait_us(s));
	put_ratio(b, "loss", (uint64_t)(s->loss * 1e6), 1000000);
	put_ratio(b, "hit_ratio", s->said[PEERMSG_HIT] + s->said[PEERMSG_PENDING], said);
	put_ratio(b, "usefulness", s->fetched, s->fetches);
	put_ratio(b, "coverage", said, said + s->timeouts);
}

static void put_peer(struct buf *b, const struct peer_view *v, mono_us now)
{
	char address[ADDR_TEXT_BYTES];

	if (b->p[b->n - 1] != '[')
		buf_putc(b, ',');
	buf_putc(b, '{');
	put_text(b, "name", v->member.name);
	put_text(b, "role", v->member.role == PEER_PARENT ? "parent" : "edge");
	if (v->member.addr.len)
		put_text(b, "address", addr_format(&v->member.addr, address));
	else
		put_null(b, "address");
	put_text(b, "state", peer_state_word(v->state));
	put_number(b, "since_s", now > v->since ? (uint64_t)((now - v->since) / 1000000) : 0);
	if (v->boot)
		put_hex(b, "boot", v->boot);
	else
		put_null(b, "boot");
	put_number(b, "load", v->load);
	put_number(b, "objects", v->objects);
	put_score(b, v->score);
	put_close(b);
}

struct walk {
	struct buf *b;
	size_t limit; /* behind it is the room for the tail */
	mono_us now;
	bool cut;
};

/* Who does not fit is left out whole, and so are all after it. */
static void on_peer(void *cookie, const struct peer_view *v)
{
	struct walk *w = cookie;
	size_t was = w->b->n;

	if (w->cut)
		return;
	put_peer(w->b, v, w->now);
	if (!w->b->full && w->b->n <= w->limit)
		return;
	w->b->n = was;
	w->b->full = false;
	w->cut = true;
}

/* ---- parents ---- */

static void put_parent(struct buf *b, const struct parent_view *v)
{
	char address[PARENT_HOST_BYTES + 8];
	struct buf text = buf_over(address, sizeof(address) - 1);
	bool v6 = strchr(v->member.host, ':') != NULL;

	buf_printf(&text, v6 ? "[%s]:%u" : "%s:%u", v->member.host, v->member.port);
	address[text.n] = '\0';
	if (b->p[b->n - 1] != '[')
		buf_putc(b, ',');
	buf_putc(b, '{');
	put_text(b, "name", v->member.name);
	put_text(b, "address", address);
	put_text(b, "state", parent_state_word(v->state));
	put_number(b, "requests", v->requests);
	put_number(b, "hits", v->hits);
	put_number(b, "joins", v->joins);
	put_number(b, "misses", v->misses);
	put_number(b, "passes", v->passes);
	put_number(b, "failures", v->failures);
	put_number(b, "connect_failures", v->connect_failures);
	put_number(b, "retries", v->retries);
	put_number(b, "hedged", v->hedged);
	put_number(b, "cancelled", v->cancelled);
	put_number(b, "in_hand", v->in_hand);
	if (v->load >= 0)
		put_number(b, "load", (uint64_t)v->load);
	else
		put_null(b, "load");
	put_number(b, "bytes_in", v->bytes_in);
	put_open(b, "ttfb_us");
	put_number(b, "p50", (uint64_t)v->ttfb_p50_us);
	put_number(b, "p95", (uint64_t)v->ttfb_p95_us);
	put_close(b);
	put_ratio(b, "hit_ratio", v->hits + v->joins, v->requests);
	put_close(b);
}

static void put_parents(struct buf *b, const char *name, struct parent_set *parents, mono_us now)
{
	struct parent_view *v = mem_alloc(PARENT_MOST * sizeof(*v));
	size_t n = parent_set_look(parents, v, PARENT_MOST, now);

	put_name(b, name);
	buf_putc(b, '[');
	for (size_t i = 0; i < n; i++)
		put_parent(b, &v[i]);
	buf_putc(b, ']');
	free(v);
}

/* ---- the whole ---- */

void peersjson_put(struct buf *b, const struct peersjson_facts *f, struct peer_set *set, struct parent_set *parents,
		   struct parent_set *fellows)
{
	struct walk w = {.b = b, .now = f->now};

	CHECK_THAT(b->cap - b->n >= PEERSJSON_LEAST);
	w.limit = b->cap - TAIL.n;
	buf_putc(b, '{');
	put_text(b, "node", f->node);
	put_text(b, "cluster", f->cluster);
	put_text(b, "role", f->is_parent ? "parent" : "edge");
	put_text(b, "lookup", peer_set_asks_homes(set) ? "home" : "all");
	put_bool(b, "isolated", peer_set_is_isolated(set));
	put_hex(b, "members_hash", peer_set_members_hash(set));
	put_number(b, "purge_serial", f->purge_serial);
	put_name(b, "certificate_not_after");
	json_put_time(b, f->certificate_not_after);
	put_number(b, "udp_dropped", f->udp_dropped);
	put_audits(b, peer_set_audits(set));
	put_drops(b, "strangers", peer_set_strangers(set));
	put_parents(b, "parents", parents, f->now);
	put_parents(b, "fellows", fellows, f->now);
	put_name(b, "peers");
	buf_putc(b, '[');
	peer_set_each(set, on_peer, &w);
	buf_put(b, w.cut ? TAIL_CUT : TAIL);
	CHECK_THAT(!b->full);
}
