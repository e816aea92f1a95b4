#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "node/admin/peersjson.h"
#include "node/ctl/ctl_json.h"
#include "proto/rendezvous.h"

#define START INT64_C(5000000)

struct world {
	struct peer_set *set;
	struct parent_set *parents, *fellows;
	struct peersjson_facts facts;
	char *room;
	size_t cap;
	struct span json;
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

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct peer_self self = {.name = "edge1", .role = PEER_EDGE, .tcp_port = 8083, .boot = 1, .seed = 2};

	w->set = peer_set_new(&self, &ground, START);
	w->parents = parent_set_new(3);
	w->fellows = parent_set_new(4);
	w->cap = PEERSJSON_LEAST;
	w->room = malloc(PEERSJSON_MOST);
	w->facts = (struct peersjson_facts){
		.node = "edge1",
		.cluster = "integration",
		.now = START + 12999999,
		.udp_dropped = 4,
		.purge_serial = UINT64_MAX,
		.certificate_not_after = 1709164800000,
	};
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	parent_set_free(w->parents);
	parent_set_free(w->fellows);
	peer_set_free(w->set);
	free(w->room);
	free(w);
	return 0;
}

static struct span put(struct world *w)
{
	struct buf b = buf_over(w->room, w->cap);

	peersjson_put(&b, &w->facts, w->set, w->parents, w->fellows);
	assert_false(b.full);
	w->json = buf_span(&b);
	assert_true(span_ends(w->json, SPAN("}\n")));
	if (!ctl_json_is_good(w->json))
		fail_msg("%.*s", SPAN_ARG(w->json));
	return w->json;
}

static struct peer_member member(const char *name, enum peer_role role, const char *at)
{
	struct peer_member m = {.role = role};

	snprintf(m.name, sizeof(m.name), "%s", name);
	if (at)
		assert_int_equal(0, addr_parse(span_str(at), &m.addr));
	return m;
}

static size_t count_peers(struct span json)
{
	struct span rest = ctl_json_get(json, "peers"), item;
	size_t n = 0;

	while (ctl_json_next(&rest, &item))
		n++;
	return n;
}

static struct span nth(struct span json, const char *list, size_t i)
{
	struct span rest = ctl_json_get(json, list), item = SPAN_NONE;

	do
		assert_true(ctl_json_next(&rest, &item));
	while (i--);
	return item;
}

static void assert_text(struct span object, const char *path, const char *want)
{
	struct span v = ctl_json_get(object, path);

	if (!span_eq(v, span_str(want)))
		fail_msg("%s is %.*s, not %s", path, SPAN_ARG(v), want);
}

static void a_node_alone(void **state)
{
	struct span json = put(*state);

	assert_text(json, "node", "\"edge1\"");
	assert_text(json, "cluster", "\"integration\"");
	assert_text(json, "role", "\"edge\"");
	assert_text(json, "lookup", "\"all\"");
	assert_text(json, "isolated", "false");
	assert_text(json, "purge_serial", "18446744073709551615");
	assert_text(json, "certificate_not_after", "\"2024-02-29T00:00:00.000Z\"");
	assert_text(json, "udp_dropped", "4");
	assert_text(json, "strangers.no_member", "0");
	assert_text(json, "parents", "[]");
	assert_text(json, "fellows", "[]");
	assert_text(json, "peers", "[]");
	assert_text(json, "cut", "false");
	assert_int_equal(18, ctl_json_get(json, "members_hash").n);
}

static void peers_with_figures(void **state)
{
	struct world *w = *state;
	struct peer_member m[] = {
		member("edge2", PEER_EDGE, "192.0.2.12:8083"),
		member("parent1", PEER_PARENT, "[2001:db8::1]:8083"),
		member("unresolved", PEER_EDGE, NULL),
	};
	uint32_t edge2 = rendezvous_node_id(SPAN("edge2"));
	struct span peer;

	peer_set_members(w->set, m, 3, START);
	for (int i = 0; i < 4; i++)
		peer_set_fetch_began(w->set, edge2);
	peer_set_fetch_ended(w->set, edge2, true, PEER_FALSE_GONE, 1000, 700, START);
	peer_set_fetch_ended(w->set, edge2, true, PEER_FALSE_GONE, 24, 900, START);
	peer_set_fetch_ended(w->set, edge2, false, PEER_FALSE_DIGEST, 0, 0, START);
	peer_set_serving(w->set, edge2, true, 0);
	peer_set_serving(w->set, edge2, false, 55);
	put(w);
	assert_int_equal(3, count_peers(w->json));
	peer = nth(w->json, "peers", 0);
	assert_text(peer, "name", "\"edge2\"");
	assert_text(peer, "role", "\"edge\"");
	assert_text(peer, "address", "\"192.0.2.12:8083\"");
	assert_text(peer, "since_s", "12");
	assert_text(peer, "boot", "null");
	assert_text(peer, "asked.keys", "0");
	assert_text(peer, "asked.hit", "0");
	assert_text(peer, "asked.nofetch", "0");
	assert_text(peer, "answered.intended", "0");
	assert_text(peer, "dropped.replay", "0");
	assert_text(peer, "fetches", "4");
	assert_text(peer, "fetched", "2");
	assert_text(peer, "false_hits.digest", "1");
	assert_text(peer, "false_hits.gone", "0");
	assert_text(peer, "bytes_in", "1024");
	assert_text(peer, "bytes_out", "55");
	assert_text(peer, "streams_in", "1");
	assert_text(peer, "streams_out", "0");
	assert_text(peer, "hit_ratio", "null");
	assert_text(peer, "coverage", "null");
	assert_text(peer, "usefulness", "0.5000");
	assert_true(ctl_json_u64(peer, "ttfb_us.p50") >= 500);
	assert_text(peer, "rtt_us.p99", "0");
	assert_text(nth(w->json, "peers", 1), "role", "\"parent\"");
	assert_text(nth(w->json, "peers", 1), "address", "\"[2001:db8::1]:8083\"");
	assert_text(nth(w->json, "peers", 2), "address", "null");
}

static void parents(void **state)
{
	struct world *w = *state;
	struct parent_member m[] = {{.name = "parent1", .host = "parent1.test", .port = 8083},
				    {.name = "parent2", .host = "2001:db8::2", .port = 9}};
	struct parent_pick pick;
	struct span p1, p2;
	struct key key;

	parent_set_members(w->parents, m, 2);
	key_make(&key, SPAN("salt"), SPAN("https://registry.test/a"));
	assert_true(parent_set_pick(w->parents, &key, NULL, 0, false, START, &pick));
	parent_set_said(w->parents, &pick, PARENT_SAID_HIT);
	parent_set_ended(w->parents, &pick, PARENT_OK, 5000, 17, 123, START);
	put(w);
	p1 = nth(w->json, "parents", 0);
	p2 = nth(w->json, "parents", 1);
	assert_text(p1, "name", "\"parent1\"");
	assert_text(p1, "address", "\"parent1.test:8083\"");
	assert_text(p1, "state", "\"up\"");
	assert_text(p2, "address", "\"[2001:db8::2]:9\"");
	if (strcmp(pick.member.name, "parent1") != 0)
		p2 = p1, p1 = nth(w->json, "parents", 1);
	assert_text(p1, "requests", "1");
	assert_text(p1, "hits", "1");
	assert_text(p1, "hit_ratio", "1.0000");
	assert_text(p1, "load", "17");
	assert_text(p1, "bytes_in", "123");
	assert_text(p1, "ttfb_us.p95", "5000");
	assert_text(p2, "requests", "0");
	assert_text(p2, "hit_ratio", "null");
	assert_text(p2, "load", "null");
}

/* As many as there may be: all of them in the large room, whole ones in the small. */
static void thousands(void **state)
{
	struct world *w = *state;
	struct peer_member *m = calloc(PEER_MOST_MEMBERS, sizeof(*m));
	size_t n;

	for (size_t i = 0; i < PEER_MOST_MEMBERS; i++) {
		char name[65];

		snprintf(name, sizeof(name), "edge-%05zu.host.cluster.test", i);
		m[i] = member(name, PEER_EDGE, "[2001:db8:1234:5678:9abc:def0:1234:5678]:65535");
	}
	assert_int_equal(0, peer_set_members(w->set, m, PEER_MOST_MEMBERS, START));
	w->cap = PEERSJSON_MOST;
	put(w);
	assert_int_equal(PEER_MOST_MEMBERS, count_peers(w->json));
	assert_text(w->json, "cut", "false");
	for (w->cap = PEERSJSON_LEAST; w->cap < PEERSJSON_LEAST + 3000; w->cap += 37) {
		put(w);
		n = count_peers(w->json);
		assert_true(n > 50 && n < PEER_MOST_MEMBERS);
		assert_text(w->json, "cut", "true");
	}
	free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(a_node_alone),
		T(peers_with_figures),
		T(parents),
		T(thousands),
#undef T
	};

	return cmocka_run_group_tests_name("peersjson", tests, NULL, NULL);
}
