/* The cluster's settings: who is in it, with which secrets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <glob.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/base/hash.h"
#include "node/base/mem.h"
#include "node/conf/conf.h"
#include "node/tls/nodecert.h"
#include "proto/rendezvous.h"

#define HEX "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define OTHER_HEX "F00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define BASE64 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define NAME "e.yaml"

static char errors[8192], folder[64];

/* ---- files ---- */

static char *in_folder(const char *name)
{
	static char path[300];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static void put(const char *name, const void *bytes, size_t n, mode_t mode)
{
	FILE *out;

	unlink(in_folder(name));
	out = fopen(in_folder(name), "w");
	assert_non_null(out);
	assert_true(fwrite(bytes, 1, n, out) == n);
	fclose(out);
	assert_int_equal(chmod(in_folder(name), mode), 0);
}

static void put_text(const char *name, const char *text, mode_t mode)
{
	put(name, text, strlen(text), mode);
}

static void issue(const char *cluster, enum node_role role, const char *node, const char *name)
{
	char why[NODECERT_WHY_BYTES], ca[300], ca_key[300], cert[300], key[300];
	struct node_name who = {.role = role};

	snprintf(who.cluster, sizeof(who.cluster), "%s", cluster);
	snprintf(who.node, sizeof(who.node), "%s", node);
	snprintf(ca, sizeof(ca), "%s/cluster-ca.crt", folder);
	snprintf(ca_key, sizeof(ca_key), "%s/cluster-ca.key", folder);
	snprintf(cert, sizeof(cert), "%s/%s.crt", folder, name);
	snprintf(key, sizeof(key), "%s/%s.key", folder, name);
	if (nodecert_issue(ca, ca_key, &who, 30, clock_wall(&clock_system), cert, key, true, why, sizeof(why)) < 0)
		fail_msg("%s", why);
}

static int make_folder(void **state)
{
	static const uint8_t raw[32] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
					16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};
	char why[NODECERT_WHY_BYTES], cert[300];

	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/test_conf_cluster.XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(cert, sizeof(cert), "%s/cluster-ca.crt", folder);
	if (nodecert_make_ca("ci", cert, in_folder("cluster-ca.key"), 30, clock_wall(&clock_system), why, sizeof(why)) <
	    0)
		return -1;
	issue("ci", NODE_EDGE, "edge1", "node");
	issue("ci", NODE_PARENT, "parent1", "parent");
	issue("other", NODE_EDGE, "edge1", "stranger");
	put_text("salt", HEX "\n", 0600);
	put_text("salt-short", "0123456789012345678901234567890\n", 0600);
	put_text("salt-lines", HEX "\n\n", 0600);
	put_text("salt-open", HEX "\n", 0640);
	put_text("peer-1.key", HEX "\n", 0600);
	put_text("peer-2.key", OTHER_HEX, 0600);
	put_text("peer-base64.key", BASE64 "\n", 0600);
	put("peer-raw.key", raw, sizeof(raw), 0600);
	put_text("peer-open.key", HEX "\n", 0604);
	put_text("peer-short.key", "0011\n", 0600);
	put_text("peer-bad.key", "g00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n", 0600);
	put_text("peer-long.key", HEX "00\n", 0600);
	put_text("purge.pub", "-\n", 0644);
	put_text("purge.key", "-\n", 0600);
	put_text("purge-open.key", "-\n", 0644);
	return 0;
}

static int drop(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static int remove_folder(void **state)
{
	(void)state;
	return nftw(folder, drop, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- loading ---- */

/* What is given is in line 2 and below. */
static struct conf *tried(const char *text)
{
	size_t cap = strlen(text) + 200;
	char *whole = mem_alloc(cap);
	struct conf *c;

	snprintf(whole, cap, "state: %s\n%s", folder, text);
	c = conf_load_text(span_str(whole), NAME, errors, sizeof(errors));
	free(whole);
	return c;
}

static struct conf *loaded(const char *text)
{
	struct conf *c = tried(text);

	if (!c)
		fail_msg("%s\n%s", text, errors);
	return c;
}

static char *dumped(const struct conf *c)
{
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	conf_dump(c, out);
	fclose(out);
	return text;
}

#define EDGE "node: edge1\ncluster:\n  name: ci\n"
#define KEYS "  peer_keys: {1: \"file:peer-1.key\"}\n"
#define PARENT "node: parent1\nrole: parent\ncluster:\n  name: ci\n  cert: parent.crt\n  key: parent.key\n" KEYS

/* ---- good ---- */

static void a_member_by_the_defaults(void **state)
{
	struct conf *c = loaded(EDGE KEYS);
	const struct policy_cluster *p = &c->policy->cluster;
	struct sockaddr_in in;

	(void)state;
	assert_string_equal(c->cluster.name, "ci");
	assert_string_equal(c->cluster.cert, in_folder("node.crt"));
	assert_string_equal(c->cluster.ca, in_folder("cluster-ca.crt"));
	assert_string_equal(c->cluster.salt_path, in_folder("salt"));
	assert_string_equal(c->cluster.salt, HEX);
	assert_null(c->cluster.purge_public);
	assert_null(c->cluster.purge_key);
	assert_int_equal(c->cluster.dgram_max, 1200);
	assert_int_equal(c->listen.cluster.n, 1);
	memcpy(&in, &c->listen.cluster.v[0].addr, sizeof(in));
	assert_int_equal(ntohs(in.sin_port), 8083);
	assert_int_equal(in.sin_addr.s_addr, INADDR_ANY);
	assert_int_equal(p->active_key, 1);
	assert_int_equal(p->trust, POLICY_TRUST_ANY);
	assert_int_equal(p->lookup, POLICY_LOOKUP_AUTO);
	assert_int_equal(p->on_parent_failure, POLICY_PARENT_DIRECT);
	assert_int_equal(p->direct_limit, 8);
	assert_true(p->learn && p->tunnels);
	assert_null(p->discover);
	conf_free(c);
}

static const char full[] = "node: edge1\n"
			   "listen: {cluster: \"127.0.0.1:9083\"}\n"
			   "cluster:\n"
			   "  name: ci\n"
			   "  peer_keys: {1: \"file:peer-1.key\", 127: \"file:peer-2.key\"}\n"
			   "  active_key: 127\n"
			   "  purge_public: purge.pub\n"
			   "  purge_key: \"file:purge.key\"\n"
			   "  trust: verified\n"
			   "  lookup: home\n"
			   "  siblings:\n"
			   "    - {name: edge1, address: \"10.0.0.1:8083\"}\n"
			   "    - name: edge2\n"
			   "      address: \"[2001:DB8::0:1]:8083\"\n"
			   "    - {name: parent9, address: \"Nine.test:1\", role: parent}\n"
			   "  parents:\n"
			   "    - {name: parent1, address: \"parent1.test:8083\", weight: 250%, vip: on}\n"
			   "    - {name: parent2, address: \"10.0.0.9:8083\"}\n"
			   "  discover: _pmcache._udp.Example.test.\n"
			   "  learn: off\n"
			   "  tunnels: off\n"
			   "  on_parent_failure: stale\n"
			   "  direct_limit: 3\n"
			   "  dgram_max: 1400\n"
			   "  zone: 65535\n";

static void reads_every_setting(void **state)
{
	struct conf *c = loaded(full);
	const struct policy_cluster *p = &c->policy->cluster;

	(void)state;
	assert_string_equal(c->cluster.purge_key, in_folder("purge.key"));
	assert_string_equal(c->listen.cluster.v[0].text, "127.0.0.1:9083");
	assert_int_equal(p->peer_keys.n, 2);
	assert_int_equal(p->peer_keys.v[1].id, 127);
	assert_int_equal(p->peer_keys.v[0].b[31], 0x1f);
	assert_int_equal(p->peer_keys.v[1].b[0], 0xf0);
	assert_int_equal(p->active_key, 127);
	assert_int_equal(p->trust, POLICY_TRUST_VERIFIED);
	assert_int_equal(p->lookup, POLICY_LOOKUP_HOME);
	assert_int_equal(p->siblings.n, 2); /* without itself */
	assert_string_equal(p->siblings.v[0].name, "edge2");
	assert_string_equal(p->siblings.v[0].host, "2001:db8::1");
	assert_int_equal(p->siblings.v[0].port, 8083);
	assert_false(p->siblings.v[0].parent);
	assert_string_equal(p->siblings.v[1].host, "nine.test");
	assert_true(p->siblings.v[1].parent);
	assert_int_equal(p->parents.n, 2);
	assert_int_equal(p->parents.v[0].weight, 250);
	assert_true(p->parents.v[0].vip && p->parents.v[0].parent);
	assert_int_equal(p->parents.v[1].weight, 100);
	assert_false(p->parents.v[1].vip);
	assert_string_equal(p->discover, "_pmcache._udp.example.test");
	assert_false(p->learn || p->tunnels);
	assert_int_equal(p->on_parent_failure, POLICY_PARENT_STALE);
	assert_int_equal(p->direct_limit, 3);
	assert_int_equal(c->cluster.dgram_max, 1400);
	assert_int_equal(c->cluster.zone, 65535);
	conf_free(c);
}

static void dump_reads_back_and_has_no_secret(void **state)
{
	static const char *const texts[] = {
		full, EDGE KEYS,
		PARENT "  parents: [{name: parent1, address: \"a:1\"}, {name: parent2, address: \"b:1\"}]\n"};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct conf *c = loaded(texts[i]), *again;
		char *a = dumped(c), *b, differs[500];

		again = conf_load_text(span_str(a), NAME, errors, sizeof(errors));
		if (!again)
			fail_msg("%s", errors);
		b = dumped(again);
		assert_string_equal(a, b);
		assert_null(strstr(a, "0405060708"));
		assert_int_equal(conf_reload_differs(c, again, differs, sizeof(differs)), 0);
		conf_free(c);
		conf_free(again);
		free(a);
		free(b);
	}
}

static void secrets_are_hex_or_base64_or_raw(void **state)
{
	static const char *const files[] = {"peer-1.key", "peer-base64.key", "peer-raw.key"};
	char text[200];

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct conf *c;

		snprintf(text, sizeof(text), EDGE "  peer_keys: {7: \"file:%s\"}\n", files[i]);
		c = loaded(text);
		for (uint8_t b = 0; b < 32; b++)
			assert_int_equal(c->policy->cluster.peer_keys.v[0].b[b], b);
		assert_int_equal(c->policy->cluster.active_key, 7);
		conf_free(c);
	}
}

static void trust_follows_the_parents(void **state)
{
	struct conf *c = loaded(EDGE KEYS "  parents: [{name: p, address: \"p:1\"}]\n");

	(void)state;
	assert_int_equal(c->policy->cluster.trust, POLICY_TRUST_ATTESTED);
	conf_free(c);
	c = loaded(EDGE KEYS "  trust: any\n  parents: [{name: p, address: \"p:1\"}]\n");
	assert_int_equal(c->policy->cluster.trust, POLICY_TRUST_ANY);
	conf_free(c);
}

static void a_parent_listens_for_nodes_alone(void **state)
{
	struct conf *c = loaded(PARENT);

	(void)state;
	assert_int_equal(c->role, CONF_ROLE_PARENT);
	assert_int_equal(c->listen.proxy.n + c->listen.bump.n, 0);
	assert_int_equal(c->listen.admin.n, 1);
	assert_int_equal(c->listen.cluster.n, 1);
	assert_int_equal(c->policy->cluster.trust, POLICY_TRUST_ATTESTED);
	conf_free(c);
	c = loaded("listen: {bump: \"127.0.0.1:8081\"}\n" PARENT);
	assert_int_equal(c->listen.proxy.n, 0);
	assert_int_equal(c->listen.bump.n, 1);
	conf_free(c);
}

/* Two that list both of them would send each other the same request. */
static void parents_of_one_tier_do_not_ask_each_other(void **state)
{
	struct conf *c =
		loaded(PARENT "  siblings: [{name: edge1, address: \"a:1\"}, {name: parent2, address: \"x:9\"}]\n"
			      "  parents: [{name: parent2, address: \"b:1\"}, {name: parent1, address: \"c:1\"}]\n");
	const struct policy_cluster *p = &c->policy->cluster;

	(void)state;
	assert_int_equal(p->parents.n, 0);
	assert_int_equal(p->siblings.n, 2);
	assert_string_equal(p->siblings.v[0].name, "edge1");
	assert_string_equal(p->siblings.v[1].name, "parent2");
	assert_string_equal(p->siblings.v[1].host, "b");
	assert_true(p->siblings.v[1].parent);
	conf_free(c);
	c = loaded(PARENT "  parents: [{name: parent2, address: \"b:1\"}]\n"); /* one above it */
	assert_int_equal(c->policy->cluster.parents.n, 1);
	assert_int_equal(c->policy->cluster.siblings.n, 0);
	conf_free(c);
}

static void without_a_name_there_is_no_cluster(void **state)
{
	struct conf *c = loaded("cluster: {name: \"\", siblings: [{name: a, address: \"a:1\"}], salt: /nowhere}\n");

	(void)state;
	assert_null(c->cluster.name);
	assert_int_equal(c->listen.cluster.n, 0);
	conf_free(c);
	conf_free(loaded("cluster:\n"));
}

static void settings_are_read_without_a_look_at_secrets(void **state)
{
	char text[300];
	struct conf *c;

	(void)state;
	snprintf(text, sizeof(text), "state: /nowhere\nupstream: {hosts_file: /nowhere}\n" EDGE KEYS);
	put_text("lookless.yaml", text, 0600);
	assert_null(conf_load(in_folder("lookless.yaml"), errors, sizeof(errors)));
	c = conf_load_settings(in_folder("lookless.yaml"), errors, sizeof(errors));
	if (!c)
		fail_msg("%s", errors);
	assert_string_equal(c->control, "/nowhere/control.sock");
	assert_null(c->cluster.salt);
	conf_free(c);
}

/* Each in a folder where its files are. */
static void the_examples_are_good(void **state)
{
	const char *self = "tests/unit/conf/test_conf_cluster.c";
	size_t root = strlen(__FILE__) - strlen(self);
	char pattern[4096], text[20000];
	unsigned in_cluster = 0;
	glob_t g;

	(void)state;
	snprintf(pattern, sizeof(pattern), "%.*sconf/*.yaml", (int)root, __FILE__);
	assert_int_equal(glob(pattern, 0, NULL, &g), 0);
	for (size_t i = 0; i < g.gl_pathc; i++) {
		struct conf *c = conf_load_settings(g.gl_pathv[i], errors, sizeof(errors));
		FILE *in = fopen(g.gl_pathv[i], "r");
		size_t n;

		if (!c || !in)
			fail_msg("%s", errors);
		n = fread(text, 1, sizeof(text) - 1, in);
		text[n] = '\0';
		fclose(in);
		if (c->cluster.name) {
			in_cluster++;
			issue(c->cluster.name, c->role == CONF_ROLE_PARENT ? NODE_PARENT : NODE_EDGE, c->policy->node,
			      "node");
		}
		conf_free(c);
		conf_free(loaded(text));
	}
	globfree(&g);
	issue("ci", NODE_EDGE, "edge1", "node");
	assert_true(in_cluster >= 2);
}

/* ---- bad ---- */

#define SIB "e.yaml:5: cluster.siblings: "
#define KEY "e.yaml:5: cluster.peer_keys: "

static const struct {
	const char *text, *says; /* of one line, its beginning; F/ is the folder */
} bad[] = {
	/* in or out */
	{"cluster:\n  zone: 1\n", "e.yaml:3: cluster.name: must be given: which cluster is meant?"},
	{"role: parent\n", "e.yaml:2: role: a parent needs a cluster whose parent it is; cluster.name is missing"},
	{"listen: {cluster: \"127.0.0.1:1\"}\n", "e.yaml:2: listen.cluster: has no meaning without cluster.name"},
	{"cluster: {name: \"-a\"}\n", "e.yaml:2: cluster.name: \"-a\" is not a name of 1 to 48 letters"},
	{"node: _a\ncluster: {name: ci, cert: parent.crt}\n",
	 "e.yaml:2: node: in a cluster it must be a name of 1 to 48 letters, digits, '.', '-' and '_' that begins with a "
	 "letter or digit; \"_a\" is not\n"},
	/* the port */
	{"listen: {cluster: []}\n" EDGE,
	 "e.yaml:2: listen.cluster: a node of a cluster has one address for the others, not 0"},
	{"listen: {cluster: [\"127.0.0.1:1\", \"127.0.0.1:2\"]}\n" EDGE,
	 "e.yaml:2: listen.cluster: a node of a cluster has one address for the others, not 2"},
	{"listen: {cluster: \"127.0.0.1:0\"}\n" EDGE,
	 "e.yaml:2: listen.cluster: needs a port: TCP and UDP have the same"},
	{"listen: {admin: \"127.0.0.1:8083\"}\n" EDGE,
	 "e.yaml:2: listen.cluster: 0.0.0.0:8083 is taken by 127.0.0.1:8083 of listen.admin"},
	/* nodes */
	{EDGE "  siblings: edge2\n",
	 SIB "a list of nodes is expected, such as [{name: edge2, address: \"10.0.0.2:8083\"}]"},
	{EDGE "  siblings: [edge2]\n", SIB "each node is a map such as {name: edge2, address: \"10.0.0.2:8083\"}"},
	{EDGE "  siblings: [{nam: a}]\n", SIB "unknown key \"nam\" of a node; it can be name, address or role"},
	{EDGE "  siblings: [{name: a, address: \"a:1\", weight: 3}]\n", SIB "unknown key \"weight\" of a node"},
	{EDGE "  parents: [{name: a, address: \"a:1\", role: edge}]\n",
	 "e.yaml:5: cluster.parents: unknown key \"role\" of a node; it can be name, address, weight or vip"},
	{EDGE "  siblings: [{name: a, name: b}]\n", SIB "name is given twice for one node"},
	{EDGE "  siblings: [{name: a}]\n", SIB "a node needs a name and an address, such as"},
	{EDGE "  siblings: [{name: a b, address: \"a:1\"}]\n", SIB "\"a b\" is not a name of 1 to 48"},
	{EDGE "  siblings: [{name: a, address: \"a\"}]\n", SIB "\"a\" is not HOST:PORT, such as 10.0.0.2:8083"},
	{EDGE "  siblings: [{name: a, address: \"a:0\"}]\n", SIB "\"a:0\" is not HOST:PORT"},
	{EDGE "  siblings: [{name: a, address: \":1\"}]\n", SIB "\":1\" is not HOST:PORT"},
	{EDGE "  siblings: [{name: a, address: \"::1:8083\"}]\n", SIB "\"::1:8083\" is not HOST:PORT"},
	{EDGE "  siblings: [{name: a, address: \"a:1\", role: admin}]\n",
	 SIB "\"admin\" is not known; it can be edge or parent"},
	{EDGE "  siblings:\n    - {name: a, address: \"a:1\"}\n    - {name: a, address: \"a:2\"}\n",
	 "e.yaml:7: cluster.siblings: a is listed twice"},
	{EDGE "  parents: [{name: a, address: \"a:1\", weight: 0}]\n",
	 "e.yaml:5: cluster.parents: \"0\" is out of bounds; allowed is 1% to 1000%"},
	{EDGE "  parents: [{name: a, address: \"a:1\", vip: maybe}]\n",
	 "e.yaml:5: cluster.parents: \"maybe\" is neither"},
	{EDGE KEYS "  siblings: [{name: a, address: \"a:1\"}]\n  parents: [{name: a, address: \"a:1\"}]\n",
	 "e.yaml:7: cluster.parents: a is among the siblings, too"},
	{EDGE KEYS "  parents: [{name: edge1, address: \"a:1\"}]\n",
	 "e.yaml:6: cluster.parents: edge1 is this node itself, which is no parent"},
	/* keys of datagrams */
	{EDGE "  siblings: [{name: a, address: \"a:1\"}]\n",
	 "e.yaml:4: cluster.peer_keys: must be given: nodes seal with them what they say to each other by datagram"},
	{EDGE "  parents: [{name: a, address: \"a:1\"}]\n", "e.yaml:4: cluster.peer_keys: must be given"},
	{EDGE "  peer_keys: [1]\n", KEY "a map of ids and files is expected, such as {1: \"file:peer-1.key\"}"},
	{EDGE "  peer_keys: {0: \"file:peer-1.key\"}\n", KEY "\"0\" is not the id of a key, a number from 1 to 127"},
	{EDGE "  peer_keys: {128: \"file:peer-1.key\"}\n", KEY "\"128\" is not the id of a key"},
	{EDGE "  peer_keys: {1: \"file:peer-1.key\", 01: \"file:peer-1.key\"}\n", KEY "the id 1 is given twice"},
	{EDGE "  peer_keys: {1: hunter2}\n", KEY "a secret does not stand here, but in a file: write 1: \"file:PATH\""},
	{EDGE
	 "  peer_keys: {1: \"file:a\", 2: \"file:a\", 3: \"file:a\", 4: \"file:a\", 5: \"file:a\", 6: \"file:a\",\n"
	 "    7: \"file:a\", 8: \"file:a\", 9: \"file:a\"}\n",
	 "e.yaml:6: cluster.peer_keys: more than 8 keys"},
	{EDGE "  peer_keys: {1: \"file:none\"}\n", KEY "F/none: No such file or directory"},
	{EDGE "  peer_keys: {1: \"file:peer-open.key\"}\n",
	 KEY "F/peer-open.key: others than its owner can read it; chmod 600"},
	{EDGE "  peer_keys: {1: \"file:peer-short.key\"}\n",
	 KEY "F/peer-short.key: does not hold 32 bytes as 64 hex digits, as base64, or raw"},
	{EDGE "  peer_keys: {1: \"file:peer-bad.key\"}\n", KEY "F/peer-bad.key: does not hold 32 bytes"},
	{EDGE "  peer_keys: {1: \"file:peer-long.key\"}\n", KEY "F/peer-long.key: does not hold 32 bytes"},
	{EDGE "  active_key: 1\n  peer_keys: {1: \"file:peer-1.key\", 2: \"file:peer-raw.key\"}\n",
	 "e.yaml:6: cluster.peer_keys: 1 and 2 are the same secret"},
	{EDGE "  peer_keys: {1: \"file:peer-1.key\", 2: \"file:peer-2.key\"}\n",
	 "e.yaml:5: cluster.active_key: must be given, since there are several keys: which one seals?"},
	{EDGE KEYS "  active_key: 2\n", "e.yaml:6: cluster.active_key: 2 is not in cluster.peer_keys"},
	{EDGE KEYS "  active_key: 128\n",
	 "e.yaml:6: cluster.active_key: \"128\" is out of bounds; allowed is 0 to 127"},
	/* files */
	{EDGE "  salt: none\n", "e.yaml:5: cluster.salt: F/none: No such file or directory"},
	{EDGE "  salt: \"\"\n", "e.yaml:5: cluster.salt: must not be empty"},
	{EDGE "  salt: salt-open\n",
	 "e.yaml:5: cluster.salt: F/salt-open: others than its owner can read it; chmod 600"},
	{EDGE "  salt: salt-short\n",
	 "e.yaml:5: cluster.salt: F/salt-short: does not hold one line of 32 to 64 characters"},
	{EDGE "  salt: salt-lines\n", "e.yaml:5: cluster.salt: F/salt-lines: does not hold one line"},
	{EDGE "  cert: none.crt\n", "e.yaml:5: cluster.cert: F/none.crt: No such file or directory"},
	{EDGE "  cert: salt\n", "e.yaml:5: cluster.cert: "},
	{EDGE "  cert: parent.crt\n",
	 "e.yaml:5: cluster.cert: F/parent.crt is for parent parent1 of cluster ci, but this is "
	 "edge edge1 of ci"},
	{EDGE "  cert: stranger.crt\n",
	 "e.yaml:5: cluster.cert: F/stranger.crt is for edge edge1 of cluster other, but"},
	{"role: parent\n" EDGE KEYS,
	 "e.yaml:0: cluster.cert: F/node.crt is for edge edge1 of cluster ci, but this is parent"},
	{EDGE "  key: cluster-ca.crt\n", "e.yaml:5: cluster.key: F/cluster-ca.crt: others than its owner can read it"},
	{EDGE "  ca: none.crt\n", "e.yaml:5: cluster.ca: F/none.crt: No such file or directory"},
	{EDGE "  purge_public: none.pub\n", "e.yaml:5: cluster.purge_public: F/none.pub: No such file or directory"},
	{EDGE "  purge_key: purge.key\n", "e.yaml:5: cluster.purge_key: has no meaning without cluster.purge_public"},
	{EDGE "  purge_public: purge.pub\n  purge_key: purge-open.key\n",
	 "e.yaml:6: cluster.purge_key: F/purge-open.key: others than its owner can read it"},
	/* the rest */
	{EDGE "  trust: nobody\n",
	 "e.yaml:5: cluster.trust: \"nobody\" is not known; it can be verified, attested or any"},
	{EDGE "  lookup: digest\n", "e.yaml:5: cluster.lookup: \"digest\" is not known; it can be auto, all or home"},
	{EDGE "  on_parent_failure: wait\n",
	 "e.yaml:5: cluster.on_parent_failure: \"wait\" is not known; it can be direct, stale or fail"},
	{EDGE "  discover: 10.0.0.1\n", "e.yaml:5: cluster.discover: \"10.0.0.1\" is not a host name"},
	{EDGE "  direct_limit: 0\n", "e.yaml:5: cluster.direct_limit: \"0\" is out of bounds; allowed is 1 to 10000"},
	{EDGE "  dgram_max: 1401\n", "e.yaml:5: cluster.dgram_max: \"1401\" is out of bounds; allowed is 512 to 1400"},
	{EDGE "  zone: 65536\n", "e.yaml:5: cluster.zone: \"65536\" is out of bounds; allowed is 0 to 65535"},
	{EDGE "  sibling: []\n", "e.yaml:5: cluster.sibling: unknown key; did you mean cluster.siblings?"},
};

/* "F/" is the folder, a line 0 is none. */
static void fill_in(const char *says, char *out, size_t cap)
{
	struct buf b = buf_over(out, cap - 1);

	for (; *says; says++) {
		if (strncmp(says, "F/", 2) == 0)
			buf_put_str(&b, folder);
		else if (strncmp(says, ":0:", 3) == 0)
			says++; /* the second colon is still to come */
		else
			buf_putc(&b, *says);
	}
	out[b.n] = '\0';
}

static void each_fault_has_its_sentence(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char says[600];

		fill_in(bad[i].says, says, sizeof(says));
		if (tried(bad[i].text))
			fail_msg("taken: %s", bad[i].text);
		if (strncmp(errors, says, strlen(says)) != 0)
			fail_msg("%s\ngave %sinstead of %s", bad[i].text, errors, says);
		if (strchr(errors, '\n') != errors + strlen(errors) - 1 && !strstr(bad[i].text, "_a"))
			fail_msg("%s\ngave more: %s", bad[i].text, errors);
		if (strstr(errors, "hunter2"))
			fail_msg("a secret is shown: %s", errors);
	}
}

static int by_id(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Of 300000 names a few pairs have the same 32 bits. */
static void two_names_with_one_id_are_told(void **state)
{
	size_t n = 300000, i;
	uint64_t *ids = mem_alloc(n * sizeof(*ids));
	char name[20], text[400];

	(void)state;
	for (i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "n%zu", i);
		ids[i] = (uint64_t)rendezvous_node_id(span_str(name)) << 32 | i;
	}
	qsort(ids, n, sizeof(*ids), by_id);
	for (i = 1; i < n && ids[i] >> 32 != ids[i - 1] >> 32; i++)
		;
	assert_true(i < n);
	snprintf(text, sizeof(text),
		 EDGE KEYS "  siblings: [{name: n%u, address: \"a:1\"}, {name: n%u, address: \"b:1\"}]\n",
		 (unsigned)ids[i - 1], (unsigned)ids[i]);
	assert_null(tried(text));
	snprintf(text, sizeof(text),
		 "e.yaml:6: cluster.siblings: n%u and n%u are the same by their ids; one of them needs another name\n",
		 (unsigned)ids[i - 1], (unsigned)ids[i]);
	assert_string_equal(errors, text);
	free(ids);
}

/* ---- reload ---- */

static void reload_tells_what_waits(void **state)
{
	struct conf *a = loaded(EDGE KEYS), *b;
	char keys[300];

	(void)state;
	b = loaded(
		EDGE
		"  peer_keys: {2: \"file:peer-2.key\"}\n  trust: verified\n  lookup: all\n  learn: off\n"
		"  siblings: [{name: x, address: \"x:1\"}]\n  parents: [{name: y, address: \"y:1\"}]\n  tunnels: off\n"
		"  on_parent_failure: fail\n  direct_limit: 2\n  discover: d.test\n");
	assert_int_equal(conf_reload_differs(a, b, keys, sizeof(keys)), 0);
	conf_free(b);
	b = loaded("listen: {cluster: \"127.0.0.1:1\"}\n" EDGE KEYS
		   "  zone: 1\n  dgram_max: 600\n  purge_public: purge.pub\n");
	conf_reload_differs(a, b, keys, sizeof(keys));
	assert_string_equal(keys, "listen.cluster, cluster.purge_public, cluster.dgram_max, cluster.zone");
	conf_free(b);
	put_text("salt", OTHER_HEX "\n", 0600);
	b = loaded(EDGE KEYS);
	conf_reload_differs(a, b, keys, sizeof(keys));
	assert_string_equal(keys, "cluster.salt");
	put_text("salt", HEX "\n", 0600);
	conf_free(b);
	issue("ci", NODE_EDGE, "edge2", "second");
	b = loaded(
		"node: edge2\ncluster: {name: ci, cert: second.crt, key: second.key, peer_keys: {1: \"file:peer-1.key\"}}\n");
	conf_reload_differs(a, b, keys, sizeof(keys));
	assert_string_equal(keys, "node, bump.ca.name, cluster.cert, cluster.key");
	conf_free(b);
	conf_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_member_by_the_defaults),
		cmocka_unit_test(reads_every_setting),
		cmocka_unit_test(dump_reads_back_and_has_no_secret),
		cmocka_unit_test(secrets_are_hex_or_base64_or_raw),
		cmocka_unit_test(trust_follows_the_parents),
		cmocka_unit_test(a_parent_listens_for_nodes_alone),
		cmocka_unit_test(parents_of_one_tier_do_not_ask_each_other),
		cmocka_unit_test(without_a_name_there_is_no_cluster),
		cmocka_unit_test(settings_are_read_without_a_look_at_secrets),
		cmocka_unit_test(the_examples_are_good),
		cmocka_unit_test(each_fault_has_its_sentence),
		cmocka_unit_test(two_names_with_one_id_are_told),
		cmocka_unit_test(reload_tells_what_waits),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
