#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "node/admin/metricstext.h"
#include "proto/rendezvous.h"

struct rows {
	struct metrics a, b;
	const struct metrics *v[2];
	char text[METRICSTEXT_NODE_MAX + 1];
};

static const struct statsjson_gauges gauges = {
	.node = "edge1.hush",
	.version = "1.2.3",
	.began = 1795441498122,
	.loops = 2,
	.memory_used_bytes = 111,
	.memory_limit_bytes = 222,
	.objects = 3,
	.ca_not_after = 1709164800000,
};

static int set_up(void **state)
{
	struct rows *r = calloc(1, sizeof(*r));

	r->v[0] = &r->a;
	r->v[1] = &r->b;
	*state = r;
	return 0;
}

static int tear_down(void **state)
{
	free(*state);
	return 0;
}

static const char *text_of(struct rows *r, const struct statsjson_gauges *g)
{
	struct buf b = buf_over(r->text, METRICSTEXT_NODE_MAX);

	metricstext_put(&b, r->v, 2, g);
	assert_false(b.full);
	r->text[b.n] = '\0';
	return r->text;
}

/* The line is there, whole. */
static void assert_line(const char *text, const char *line)
{
	size_t n = strlen(line);

	for (const char *at = text; (at = strstr(at, line)) != NULL; at += n)
		if ((at == text || at[-1] == '\n') && at[n] == '\n')
			return;
	fail_msg("no line '%s' in:\n%s", line, text);
}

static void the_tier_on_disk(void **state)
{
	const struct disk_counts counts = {.objects = 3, .used = 1, .free_on_disk = 4, .floor = 5, .dropped_busy = 11};
	struct statsjson_gauges g = gauges;
	const char *text = text_of(*state, &g);

	assert_null(strstr(text, "pmcache_disk_store"));
	g.disk = &counts;
	text = text_of(*state, &g);
	assert_line(text, "# TYPE pmcache_disk_store_bytes gauge");
	assert_line(text, "pmcache_disk_store_bytes 1");
	assert_line(text, "pmcache_disk_store_objects 3");
	assert_line(text, "pmcache_disk_store_free_bytes 4");
	assert_line(text, "pmcache_disk_store_floor_bytes 5");
	assert_line(text, "# TYPE pmcache_disk_writes_dropped_busy_total counter");
	assert_line(text, "pmcache_disk_writes_dropped_busy_total 11");
}

static void what_is_not_a_counter(void **state)
{
	const char *text = text_of(*state, &gauges);

	assert_line(text, "# TYPE pmcache_build_info gauge");
	assert_line(text, "pmcache_build_info{version=\"1.2.3\"} 1");
	assert_line(text, "# TYPE pmcache_start_time_seconds gauge");
	assert_line(text, "pmcache_start_time_seconds 1795441498.122");
	assert_line(text, "# TYPE pmcache_memory_store_bytes gauge");
	assert_line(text, "pmcache_memory_store_bytes 111");
	assert_line(text, "pmcache_memory_store_limit_bytes 222");
	assert_line(text, "pmcache_memory_store_objects 3");
	assert_line(text, "pmcache_ca_not_after_timestamp_seconds 1709164800.000");
	assert_null(strstr(text, "hush"));
}

static void every_counter_is_there_with_help_and_type(void **state)
{
	const char *text = text_of(*state, &gauges);

	for (int i = 0; i < METRIC_COUNT; i++) {
		const char *name = metric_name((enum metric)i);
		bool total = span_ends(span_str(name), SPAN("_total"));
		char line[256];

		snprintf(line, sizeof(line), "# HELP pmcache_%s %s", name, metric_help((enum metric)i));
		assert_line(text, line);
		snprintf(line, sizeof(line), "# TYPE pmcache_%s %s", name, total ? "counter" : "gauge");
		assert_line(text, line);
		snprintf(line, sizeof(line), "pmcache_%s 0", name);
		assert_line(text, line);
	}
	assert_line(text, "# TYPE pmcache_connections gauge");
	assert_line(text, "# TYPE pmcache_connections_total counter");
}

/* HELP, TYPE, sample: in this order, of one name, each name once. */
static void each_name_stands_in_one_block(void **state)
{
	char *rest = (char *)(uintptr_t)text_of(*state, &gauges), *line;
	char name[128] = "", seen[METRICSTEXT_NODE_MAX] = " ";
	int at = 0;

	assert_true(rest[strlen(rest) - 1] == '\n');
	while ((line = strsep(&rest, "\n")) != NULL && *line) {
		char found[128], needle[140];

		if (at == 0) {
			assert_int_equal(1, sscanf(line, "# HELP %127s", name));
			snprintf(needle, sizeof(needle), " %s ", name);
			assert_null(strstr(seen, needle));
			strcat(strcat(seen, name), " ");
		} else if (at == 1) {
			assert_int_equal(1, sscanf(line, "# TYPE %127s", found));
			assert_string_equal(name, found);
		} else {
			assert_int_equal(1, sscanf(line, "%127[a-z0-9_]", found));
			assert_string_equal(name, found);
		}
		at = (at + 1) % 3;
	}
	assert_int_equal(0, at);
}

static void rows_are_summed(void **state)
{
	struct rows *r = *state;

	metric_add(&r->a, METRIC_REQUESTS, 40);
	metric_add(&r->b, METRIC_REQUESTS, 2);
	metric_add(&r->a, METRIC_CONNECTIONS_NOW, 5);
	metric_sub(&r->b, METRIC_CONNECTIONS_NOW, 2);
	text_of(r, &gauges);
	assert_line(r->text, "pmcache_requests_total 42");
	assert_line(r->text, "pmcache_connections 3");
}

/* Rows are read while their loops go on: what was added may be seen later than what was taken away. */
static void a_gauge_may_be_below_zero_for_a_moment(void **state)
{
	struct rows *r = *state;

	metric_sub(&r->b, METRIC_CONNECTIONS_NOW, 2);
	assert_line(text_of(r, &gauges), "pmcache_connections -2");
}

static void no_ca(void **state)
{
	struct statsjson_gauges g = gauges;

	g.ca_not_after = 0;
	assert_null(strstr(text_of(*state, &g), "ca_not_after"));
}

static void a_version_of_odd_characters_is_escaped(void **state)
{
	struct statsjson_gauges g = gauges;

	g.version = "a\"b\\c\nd";
	assert_line(text_of(*state, &g), "pmcache_build_info{version=\"a\\\"b\\\\c\\nd\"} 1");
}

static void the_largest_values_fit(void **state)
{
	struct statsjson_gauges g = gauges;
	struct rows *r = *state;
	char version[256];
	const struct disk_counts most = {.objects = UINT64_MAX, .used = UINT64_MAX, .floor = UINT64_MAX};

	memset(version, '"', 255);
	version[255] = '\0';
	g.version = version;
	g.disk = &most;
	g.memory_used_bytes = g.memory_limit_bytes = g.objects = UINT64_MAX;
	g.began = g.ca_not_after = INT64_MAX;
	for (int i = 0; i < METRIC_COUNT; i++)
		metric_add(&r->a, (enum metric)i, UINT64_MAX);
	text_of(r, &g);
	assert_line(r->text, "pmcache_requests_total 18446744073709551615");
}

/* ---- in a cluster ---- */

#define START INT64_C(5000000)

struct cluster {
	struct peer_set *set;
	struct parent_set *parents, *fellows;
	struct peersjson_facts facts;
	char *text;
};

static void send_nothing(void *cookie, const struct addr *to, struct span datagram)
{
	(void)cookie;
	(void)to;
	(void)datagram;
}

static void look_nowhere(void *cookie, const struct peermsg_key *key, const struct key_variant *variant,
			 struct peer_holding *out)
{
	(void)cookie;
	(void)key;
	(void)variant;
	memset(out, 0, sizeof(*out));
}

static bool purge_nothing(void *cookie, struct span record, uint32_t *removed)
{
	(void)cookie;
	(void)record;
	*removed = 0;
	return false;
}

static const struct peer_ground ground = {.send = send_nothing, .look = look_nowhere, .purge = purge_nothing};

static int set_up_cluster(void **state)
{
	struct cluster *c = calloc(1, sizeof(*c));
	struct peer_self self = {.name = "edge1", .role = PEER_EDGE, .tcp_port = 8083, .boot = 1, .seed = 2};

	c->set = peer_set_new(&self, &ground, START);
	c->parents = parent_set_new(3);
	c->fellows = parent_set_new(4);
	c->text = malloc(METRICSTEXT_CLUSTER_MAX + 1);
	c->facts = (struct peersjson_facts){.node = "edge1",
					    .now = START,
					    .udp_dropped = 4,
					    .purge_serial = 5,
					    .certificate_not_after = 1709164800000};
	*state = c;
	return 0;
}

static int tear_down_cluster(void **state)
{
	struct cluster *c = *state;

	parent_set_free(c->parents);
	parent_set_free(c->fellows);
	peer_set_free(c->set);
	free(c->text);
	free(c);
	return 0;
}

static const char *cluster_text(struct cluster *c)
{
	struct buf b = buf_over(c->text, METRICSTEXT_CLUSTER_MAX);

	metricstext_put_cluster(&b, &c->facts, c->set, c->parents, c->fellows);
	assert_false(b.full);
	c->text[b.n] = '\0';
	return c->text;
}

static struct peer_member member(const char *name, enum peer_role role)
{
	struct peer_member m = {.role = role};

	snprintf(m.name, sizeof(m.name), "%s", name);
	return m;
}

static size_t count(const char *text, const char *part)
{
	size_t n = 0;

	for (const char *at = text; (at = strstr(at, part)) != NULL; at++)
		n++;
	return n;
}

static void fail_fetches(struct cluster *c, const char *name, unsigned n)
{
	uint32_t id = rendezvous_node_id(span_str(name));

	while (n--) {
		peer_set_fetch_began(c->set, id);
		peer_set_fetch_ended(c->set, id, false, PEER_FALSE_DIGEST, 0, 0, START);
	}
}

static void peers_by_role_and_one_by_one(void **state)
{
	struct cluster *c = *state;
	struct peer_member m[] = {member("edge2", PEER_EDGE), member("edge3", PEER_EDGE),
				  member("parent1", PEER_PARENT)};
	uint32_t edge3 = rendezvous_node_id(SPAN("edge3"));
	const char *text;

	peer_set_members(c->set, m, 3, START);
	fail_fetches(c, "edge2", 1);
	peer_set_fetch_began(c->set, edge3);
	peer_set_fetch_hedged(c->set, edge3);
	peer_set_fetch_ended(c->set, edge3, true, PEER_FALSE_GONE, 1000, 700, START);
	text = cluster_text(c);
	assert_line(text, "# TYPE pmcache_peers gauge");
	assert_line(text, "pmcache_peers{role=\"edge\",state=\"new\"} 2");
	assert_line(text, "pmcache_peers{role=\"edge\",state=\"dead\"} 0");
	assert_line(text, "pmcache_peers{role=\"parent\",state=\"new\"} 1");
	assert_line(text, "# TYPE pmcache_cluster_fetches_total counter");
	assert_line(text, "pmcache_cluster_fetches_total{role=\"edge\"} 2");
	assert_line(text, "pmcache_cluster_fetches_total{role=\"parent\"} 0");
	assert_line(text, "pmcache_cluster_false_hits_total{role=\"edge\"} 1");
	assert_line(text, "# TYPE pmcache_peer_received_bytes_total counter");
	assert_line(text, "pmcache_peer_received_bytes_total{peer=\"edge3\",role=\"edge\"} 1000");
	assert_line(text, "pmcache_peer_false_hits_total{peer=\"edge2\",role=\"edge\"} 1");
	assert_line(text, "# TYPE pmcache_peer_hedged_total counter");
	assert_line(text, "pmcache_peer_hedged_total{peer=\"edge3\",role=\"edge\"} 1");
	assert_line(text, "pmcache_cluster_hedged_total{role=\"edge\"} 1");
	assert_line(text, "pmcache_peer_cancelled_total{peer=\"edge3\",role=\"edge\"} 0");
	assert_line(text, "pmcache_peer_up{peer=\"parent1\",role=\"parent\"} 1");
	assert_line(text, "pmcache_cluster_isolated 0");
	assert_line(text, "pmcache_cluster_purge_serial 5");
	assert_line(text, "pmcache_cluster_datagrams_lost_total 4");
	assert_line(text, "pmcache_cluster_certificate_not_after_timestamp_seconds 1709164800.000");
	assert_null(strstr(text, "pmcache_parent_"));
}

/* So many that not all are shown: those with failures are, and the sums have all. */
static void of_many_the_worst(void **state)
{
	struct cluster *c = *state;
	struct peer_member m[100];

	for (int i = 0; i < 100; i++) {
		char name[32];

		snprintf(name, sizeof(name), "edge%03d", i + 100);
		m[i] = member(name, PEER_EDGE);
	}
	peer_set_members(c->set, m, 100, START);
	fail_fetches(c, "edge150", 1);
	fail_fetches(c, "edge199", 2);
	cluster_text(c);
	assert_int_equal(METRICSTEXT_WORST, count(c->text, "pmcache_peer_up{"));
	assert_line(c->text, "pmcache_peer_false_hits_total{peer=\"edge150\",role=\"edge\"} 1");
	assert_line(c->text, "pmcache_peer_false_hits_total{peer=\"edge199\",role=\"edge\"} 2");
	assert_non_null(strstr(c->text, "peer=\"edge100\""));
	assert_non_null(strstr(c->text, "peer=\"edge117\""));
	assert_null(strstr(c->text, "peer=\"edge118\""));
	assert_line(c->text, "pmcache_cluster_false_hits_total{role=\"edge\"} 3");
	assert_line(c->text, "pmcache_peers{role=\"edge\",state=\"new\"} 100");
}

static void parents_as_their_child_sees_them(void **state)
{
	struct cluster *c = *state;
	struct parent_member m[] = {{.name = "parent1", .host = "parent1.test", .port = 8083}};
	struct parent_pick pick;
	struct key key;

	parent_set_members(c->parents, m, 1);
	key_make(&key, SPAN("salt"), SPAN("https://registry.test/a"));
	assert_true(parent_set_pick(c->parents, &key, NULL, 0, false, START, &pick));
	parent_set_said(c->parents, &pick, PARENT_SAID_HIT);
	parent_set_ended(c->parents, &pick, PARENT_OK, 5000, 17, 123, START);
	cluster_text(c);
	assert_line(c->text, "pmcache_parent_up{parent=\"parent1\"} 1");
	assert_line(c->text, "pmcache_parent_requests_total{parent=\"parent1\"} 1");
	assert_line(c->text, "pmcache_parent_hits_total{parent=\"parent1\"} 1");
	assert_line(c->text, "pmcache_parent_received_bytes_total{parent=\"parent1\"} 123");
	assert_line(c->text, "# TYPE pmcache_parent_requests_in_hand gauge");
	assert_null(strstr(c->text, "pmcache_fellow_"));

	parent_set_members(c->fellows, m, 1);
	cluster_text(c);
	assert_line(c->text, "# TYPE pmcache_fellow_requests_total counter");
	assert_line(c->text, "pmcache_fellow_requests_total{fellow=\"parent1\"} 0");
	assert_line(c->text, "pmcache_parent_requests_total{parent=\"parent1\"} 1");
}

static void odd_and_long_names_fit(void **state)
{
	struct cluster *c = *state;
	struct peer_member m[30];
	struct parent_member p[30];

	memset(m, 0, sizeof(m));
	memset(p, 0, sizeof(p));
	for (int i = 0; i < 30; i++) {
		m[i].role = PEER_EDGE;
		memset(m[i].name, '"', PEERMSG_NAME_BYTES);
		m[i].name[0] = p[i].name[0] = (char)('A' + i);
		memset(p[i].name + 1, '\\', PARENT_NAME_BYTES - 1);
		snprintf(p[i].host, sizeof(p[i].host), "parent%d.test", i);
		p[i].port = 1;
	}
	peer_set_members(c->set, m, 30, START);
	parent_set_members(c->parents, p, 30);
	parent_set_members(c->fellows, p, 30);
	cluster_text(c);
	assert_int_equal(METRICSTEXT_WORST, count(c->text, "pmcache_peer_up{"));
	assert_int_equal(METRICSTEXT_WORST, count(c->text, "pmcache_parent_up{"));
	assert_int_equal(METRICSTEXT_WORST, count(c->text, "pmcache_fellow_up{"));
	assert_non_null(strstr(c->text, "{parent=\"A\\\\\\\\"));
	assert_non_null(strstr(c->text, "{peer=\"A\\\"\\\""));
	assert_true(strlen(c->text) + 20000 < METRICSTEXT_CLUSTER_MAX); /* twenty digits instead of one in each line */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_tier_on_disk, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_not_a_counter, set_up, tear_down),
		cmocka_unit_test_setup_teardown(every_counter_is_there_with_help_and_type, set_up, tear_down),
		cmocka_unit_test_setup_teardown(each_name_stands_in_one_block, set_up, tear_down),
		cmocka_unit_test_setup_teardown(rows_are_summed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_gauge_may_be_below_zero_for_a_moment, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_ca, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_version_of_odd_characters_is_escaped, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_largest_values_fit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(peers_by_role_and_one_by_one, set_up_cluster, tear_down_cluster),
		cmocka_unit_test_setup_teardown(of_many_the_worst, set_up_cluster, tear_down_cluster),
		cmocka_unit_test_setup_teardown(parents_as_their_child_sees_them, set_up_cluster, tear_down_cluster),
		cmocka_unit_test_setup_teardown(odd_and_long_names_fit, set_up_cluster, tear_down_cluster),
	};

	return cmocka_run_group_tests_name("metricstext", tests, NULL, NULL);
}
