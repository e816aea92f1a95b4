#include "node/admin/metricstext.h"

#include <stdio.h>
#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"

#define PREFIX "pmcache_"

/* HELP and TYPE; `before` comes between the prefix and the name. */
static void put_head(struct buf *b, const char *before, const char *name, const char *type, const char *help)
{
	buf_printf(b, "# HELP " PREFIX "%s%s %s\n# TYPE " PREFIX "%s%s %s\n", before, name, help, before, name, type);
}

static void put_about(struct buf *b, const char *name, const char *type, const char *help)
{
	put_head(b, "", name, type, help);
	buf_put_str(b, PREFIX);
	buf_put_str(b, name);
}

static const char *type_of(const char *name)
{
	return statsjson_is_counter(name) ? "counter" : "gauge";
}

static void put_counters(struct buf *b, const struct metrics *const *rows, size_t n)
{
	for (int i = 0; i < METRIC_COUNT; i++) {
		const char *name = metric_name((enum metric)i);
		bool counter = *type_of(name) == 'c';
		uint64_t sum = statsjson_sum(rows, n, (enum metric)i);

		put_about(b, name, type_of(name), metric_help((enum metric)i));
		buf_putc(b, ' ');
		if (counter)
			buf_put_u64(b, sum);
		else
			buf_put_i64(b, (int64_t)sum);
		buf_putc(b, '\n');
	}
}

static void put_u64(struct buf *b, const char *name, const char *help, uint64_t v)
{
	put_about(b, name, type_of(name), help);
	buf_putc(b, ' ');
	buf_put_u64(b, v);
	buf_putc(b, '\n');
}

static void put_gauge(struct buf *b, const char *name, const char *help, uint64_t v)
{
	put_u64(b, name, help, v);
}

static void put_disk(struct buf *b, const struct disk_counts *c)
{
#define X(name, metric, help, value) put_u64(b, metric, help, value);
	STATSJSON_DISK_TABLE(X)
#undef X
}

static void put_time(struct buf *b, const char *name, const char *help, wall_ms t)
{
	put_about(b, name, "gauge", help);
	buf_printf(b, " %lld.%03d\n", (long long)(t / 1000), (int)(t % 1000));
}

/* A label's value: backslash, quote and line feed are escaped, everything else stands for itself. */
static void put_label_value(struct buf *b, struct span s)
{
	buf_putc(b, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\\' || s.p[i] == '"')
			buf_putc(b, '\\');
		if (s.p[i] == '\n')
			buf_put(b, SPAN("\\n"));
		else
			buf_putc(b, s.p[i]);
	}
	buf_putc(b, '"');
}

static void put_build(struct buf *b, const char *version)
{
	put_about(b, "build_info", "gauge", "always 1; the label says which version runs");
	buf_put_str(b, "{version=");
	put_label_value(b, span_str(version));
	buf_put_str(b, "} 1\n");
}

void metricstext_put(struct buf *b, const struct metrics *const *rows, size_t n, const struct statsjson_gauges *g)
{
	put_build(b, g->version);
	put_time(b, "start_time_seconds", "when this process began to serve, in seconds since 1970", g->began);
	put_counters(b, rows, n);
	put_gauge(b, "memory_store_bytes", "memory that stored responses take", g->memory_used_bytes);
	put_gauge(b, "memory_store_limit_bytes", "memory that they may take", g->memory_limit_bytes);
	put_gauge(b, "memory_store_objects", "stored responses in memory", g->objects);
	if (g->disk)
		put_disk(b, g->disk);
	if (g->ca_not_after)
		put_time(b, "ca_not_after_timestamp_seconds", "when the bumping CA ends, in seconds since 1970",
			 g->ca_not_after);
}

/* ---- the cluster ---- */

/* Of a peer's score; counters when they end in _total. */
#define PEER_TABLE(X)                                                                                                  \
	X("asked_keys_total", "keys that this node has asked it about", s->keys_sent)                                  \
	X("answered_keys_total", "of these, answered in time", sum_of(s->said, PEERMSG_STATUSES))                      \
	X("answered_hits_total", "of these, with a hit", s->said[PEERMSG_HIT] + s->said[PEERMSG_PENDING])              \
	X("unanswered_keys_total", "keys that it has not answered in time", s->timeouts)                               \
	X("served_keys_total", "keys that it has asked this node about", s->keys_received)                             \
	X("dropped_datagrams_total", "datagrams of its that were not acted upon", sum_of(s->dropped, PEER_DROPS))      \
	X("fetches_total", "bodies asked of it", s->fetches)                                                           \
	X("fetched_total", "of these, had whole", s->fetched)                                                          \
	X("false_hits_total", "of these, not to be had", sum_of(s->false_hits, PEER_FALSES))                           \
	X("hedged_total", "of these, late: another way was begun besides", s->hedged)                                  \
	X("cancelled_total", "of these, given up: another was faster, or nobody wanted it any more", s->cancelled)     \
	X("served_total", "bodies that it has had from this node", s->served)                                          \
	X("received_bytes_total", "body bytes received from it", s->bytes_in)                                          \
	X("sent_bytes_total", "body bytes sent to it", s->bytes_out)                                                   \
	X("state_changes_total", "times that its state has changed", s->state_changes)

static uint64_t sum_of(const uint64_t *v, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += v[i];
	return sum;
}

static const char *const count_names[] = {
#define X(name, help, value) name,
	PEER_TABLE(X)
#undef X
};

static const char *const count_helps[] = {
#define X(name, help, value) help,
	PEER_TABLE(X)
#undef X
};

#define COUNTS (sizeof(count_names) / sizeof(count_names[0]))

static void read_counts(const struct peer_score *s, uint64_t out[COUNTS])
{
	const uint64_t v[] = {
#define X(name, help, value) value,
		PEER_TABLE(X)
#undef X
	};

	memcpy(out, v, sizeof(v));
}

enum { ROLES = 2 }; /* edge, parent */

static const char *role_word(bool parent)
{
	return parent ? "parent" : "edge";
}

struct shown {
	char name[PEERMSG_NAME_BYTES + 1];
	bool parent;
	enum peer_state state;
	uint64_t failures;
	int64_t round_trip_us; /* 0: not known */
	uint64_t counts[COUNTS];
};

/* What one walk over the members gives. */
struct survey {
	uint64_t states[ROLES][PEER_STATES], counts[ROLES][COUNTS];
	struct shown worst[METRICSTEXT_WORST + 1]; /* the worst first; the last place is for who comes and has to go */
	size_t n;
};

static bool is_up(enum peer_state s)
{
	return s == PEER_UP || s == PEER_NEW || s == PEER_PROBATION;
}

static bool is_worse(const struct shown *a, const struct shown *b)
{
	if (is_up(a->state) != is_up(b->state))
		return !is_up(a->state);
	return a->failures > b->failures; /* alike: by name, as they come */
}

static void on_member(void *cookie, const struct peer_view *v)
{
	struct survey *y = cookie;
	struct shown *s = &y->worst[y->n];
	bool parent = v->member.role == PEER_PARENT;
	size_t at = y->n;

	*s = (struct shown){.parent = parent, .state = v->state};
	memcpy(s->name, v->member.name, sizeof(s->name));
	s->failures = v->score->timeouts + sum_of(v->score->false_hits, PEER_FALSES);
	s->round_trip_us = peer_histogram_percentile(&v->score->rtt, 50);
	read_counts(v->score, s->counts);
	y->states[parent][v->state]++;
	for (size_t i = 0; i < COUNTS; i++)
		y->counts[parent][i] += s->counts[i];
	for (; at && is_worse(&y->worst[at], &y->worst[at - 1]); at--) {
		struct shown other = y->worst[at];

		y->worst[at] = y->worst[at - 1];
		y->worst[at - 1] = other;
	}
	if (y->n < METRICSTEXT_WORST)
		y->n++;
}

static void put_peer_labels(struct buf *b, const char *name, const struct shown *s)
{
	buf_printf(b, PREFIX "peer_%s{peer=", name);
	put_label_value(b, span_str(s->name));
	buf_printf(b, ",role=\"%s\"} ", role_word(s->parent));
}

static void put_seconds(struct buf *b, int64_t us)
{
	buf_printf(b, "%lld.%06d\n", (long long)(us / 1000000), (int)(us % 1000000));
}

static void put_roles(struct buf *b, const struct survey *y)
{
	put_head(b, "", "peers", "gauge", "other members of the cluster, by state");
	for (int r = 0; r < ROLES; r++)
		for (int s = 0; s < PEER_STATES; s++)
			buf_printf(b, PREFIX "peers{role=\"%s\",state=\"%s\"} %llu\n", role_word(r),
				   peer_state_word((enum peer_state)s), (unsigned long long)y->states[r][s]);
	for (size_t i = 0; i < COUNTS; i++) {
		put_head(b, "cluster_", count_names[i], type_of(count_names[i]), count_helps[i]);
		for (int r = 0; r < ROLES; r++)
			buf_printf(b, PREFIX "cluster_%s{role=\"%s\"} %llu\n", count_names[i], role_word(r),
				   (unsigned long long)y->counts[r][i]);
	}
}

static void put_worst(struct buf *b, const struct survey *y)
{
	if (!y->n)
		return;
	put_head(b, "peer_", "up", "gauge", "1 when it may be asked, 0 when it is suspect, dead, leaving or blocked");
	for (size_t i = 0; i < y->n; i++) {
		put_peer_labels(b, "up", &y->worst[i]);
		buf_put_str(b, is_up(y->worst[i].state) ? "1\n" : "0\n");
	}
	put_head(b, "peer_", "round_trip_median_seconds", "gauge",
		 "median time from question to answer since the start");
	for (size_t i = 0; i < y->n; i++) {
		if (!y->worst[i].round_trip_us)
			continue;
		put_peer_labels(b, "round_trip_median_seconds", &y->worst[i]);
		put_seconds(b, y->worst[i].round_trip_us);
	}
	for (size_t c = 0; c < COUNTS; c++) {
		put_head(b, "peer_", count_names[c], type_of(count_names[c]), count_helps[c]);
		for (size_t i = 0; i < y->n; i++) {
			put_peer_labels(b, count_names[c], &y->worst[i]);
			buf_printf(b, "%llu\n", (unsigned long long)y->worst[i].counts[c]);
		}
	}
}

/* ---- parents, as their child sees them; fellows, as a parent sees them ---- */

/* The worst first, else by name. */
static int by_need(const void *left, const void *right)
{
	const struct parent_view *a = left, *b = right;
	uint64_t fa = a->failures + a->connect_failures, fb = b->failures + b->connect_failures;

	if ((a->state == PARENT_DOWN) != (b->state == PARENT_DOWN))
		return a->state == PARENT_DOWN ? -1 : 1;
	if (fa != fb)
		return fa > fb ? -1 : 1;
	return strcmp(a->member.name, b->member.name);
}

#define PARENT_TABLE(X)                                                                                                \
	X("up", "0 while it is left out after failures", v->state != PARENT_DOWN)                                      \
	X("requests_in_hand", "requests sent to it and not ended", v->in_hand)                                         \
	X("requests_total", "requests sent to it", v->requests)                                                        \
	X("failures_total", "of these, failed by its own fault", v->failures)                                          \
	X("connect_failures_total", "of these, without a connection", v->connect_failures)                             \
	X("retries_total", "of these, after another parent had failed", v->retries)                                    \
	X("hedged_total", "of these, late: another parent was asked besides", v->hedged)                               \
	X("cancelled_total", "of these, given up: another was faster, or nobody wanted it any more", v->cancelled)     \
	X("hits_total", "of these, answered with what it had stored", v->hits)                                         \
	X("joins_total", "of these, answered from a fetch of its that was under way", v->joins)                        \
	X("misses_total", "of these, fetched by it", v->misses)                                                        \
	X("received_bytes_total", "body bytes received from it", v->bytes_in)

static const char *const parent_names[] = {
#define X(name, help, value) name,
	PARENT_TABLE(X)
#undef X
};

static const char *const parent_helps[] = {
#define X(name, help, value) help,
	PARENT_TABLE(X)
#undef X
};

#define PARENT_FIGURES (sizeof(parent_names) / sizeof(parent_names[0]))

static void put_parent_figure(struct buf *b, const char *kind, const struct parent_view *v, size_t figure)
{
	const uint64_t all[] = {
#define X(name, help, value) value,
		PARENT_TABLE(X)
#undef X
	};

	buf_printf(b, PREFIX "%s_%s{%s=", kind, parent_names[figure], kind);
	put_label_value(b, span_str(v->member.name));
	buf_printf(b, "} %llu\n", (unsigned long long)all[figure]);
}

static void put_parents(struct buf *b, const char *kind, struct parent_set *parents, mono_us now)
{
	struct parent_view *views = mem_alloc(PARENT_MOST * sizeof(*views));
	size_t n = parent_set_look(parents, views, PARENT_MOST, now);
	char prefix[16];

	snprintf(prefix, sizeof(prefix), "%s_", kind);
	qsort(views, n, sizeof(*views), by_need);
	for (size_t f = 0; n && f < PARENT_FIGURES; f++) {
		put_head(b, prefix, parent_names[f], type_of(parent_names[f]), parent_helps[f]);
		for (size_t i = 0; i < n && i < METRICSTEXT_WORST; i++)
			put_parent_figure(b, kind, &views[i], f);
	}
	free(views);
}

void metricstext_put_cluster(struct buf *b, const struct peersjson_facts *f, struct peer_set *set,
			     struct parent_set *parents, struct parent_set *fellows)
{
	struct survey *y = NEW(struct survey);

	CHECK_THAT(b->cap - b->n >= METRICSTEXT_CLUSTER_MAX);
	peer_set_each(set, on_member, y);
	put_roles(b, y);
	put_worst(b, y);
	free(y);
	put_parents(b, "parent", parents, f->now);
	put_parents(b, "fellow", fellows, f->now);
	put_gauge(b, "cluster_isolated", "1 while this node seems to be cut off from the others",
		  peer_set_is_isolated(set));
	put_gauge(b, "cluster_purge_serial", "number of the last purge known here", f->purge_serial);
	put_time(b, "cluster_certificate_not_after_timestamp_seconds",
		 "when the certificate of this node ends, in seconds since 1970", f->certificate_not_after);
	put_about(b, "cluster_datagrams_lost_total", "counter", "datagrams that the kernel dropped for want of room");
	buf_printf(b, " %llu\n", (unsigned long long)f->udp_dropped);
	put_about(b, "cluster_stranger_datagrams_total", "counter", "datagrams from nobody known here");
	buf_printf(b, " %llu\n", (unsigned long long)sum_of(peer_set_strangers(set), PEER_DROPS));
	CHECK_THAT(!b->full);
}
