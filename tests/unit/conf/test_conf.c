#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/base/mem.h"
#include "node/conf/conf.h"
#include "node/conf/conf_internal.h"

static char errors[8192];

/* Of the tree this test was compiled from; make compiles it from the root, by a relative name. */
static const char *in_tree(const char *path)
{
	static char whole[4096];
	const char *self = "tests/unit/conf/test_conf.c";
	size_t root = strlen(__FILE__) - strlen(self);

	snprintf(whole, sizeof(whole), "%.*s%s", (int)root, __FILE__, path);
	return whole;
}

static struct conf *loaded(const char *text)
{
	struct conf *c = conf_load_text(span_str(text), "/etc/test/edge.yaml", errors, sizeof(errors));

	if (!c)
		fail_msg("%s", errors);
	assert_string_equal(errors, "");
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

static char *written_reference(void)
{
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	conf_reference_write(out);
	fclose(out);
	return text;
}

static char *file_text(const char *path)
{
	FILE *in = fopen(path, "r");
	char *text = mem_zalloc(200000);

	if (!in)
		fail_msg("%s is not there", path);
	assert_true(fread(text, 1, 199999, in) > 0);
	fclose(in);
	return text;
}

/* A file of this test's own, below its folder. */
static char folder[64];

static const char *a_file(const char *name, const char *text, mode_t mode)
{
	static char path[200];
	FILE *out;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	unlink(path);
	out = fopen(path, "w");
	assert_non_null(out);
	fputs(text, out);
	fclose(out);
	assert_int_equal(chmod(path, mode), 0);
	return path;
}

static int make_folder(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/test_conf.XXXXXX");
	setenv("XDG_STATE_HOME", "/srv/test/state", 1);
	setenv("HOME", "/srv/test", 1);
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	static const char *const names[] = {"edge.yaml", "secret", "hosts", "ca.pem", "fifo"};
	char path[200];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		unlink(path);
	}
	return rmdir(folder);
}

/* ---- good files ---- */

static void every_row_is_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < conf__n_rows; i++) {
		const struct conf_row *row = &conf__rows[i];

		if (!row->help || !row->help[0] || strchr(row->help, '|'))
			fail_msg("%s has no help, or one that breaks the table", row->key);
		if (strlen(row->key) >= CONF_MAX_KEY || conf__find(row->key) != row)
			fail_msg("%s is too long or there twice", row->key);
		if (row->type == &conf__later)
			continue;
		if (!row->standard && !strstr(row->help, "Default: "))
			fail_msg("%s has no default and does not tell what it is computed from", row->key);
		if (row->in_policy && !row->live)
			fail_msg("%s is in the policy, so a reload applies it", row->key);
	}
}

static void defaults_are_those_of_policy_new(void **state)
{
	struct conf *c = loaded("node: edge");
	struct policy *from_table = c->policy;
	char *a, *b;

	(void)state;
	a = dumped(c);
	c->policy = policy_new();
	b = dumped(c);
	assert_string_equal(a, b);
	policy_unref(&from_table);
	conf_free(c);
	free(a);
	free(b);
}

static void no_file_is_an_edge_with_the_defaults(void **state)
{
	struct conf *c = conf_load(NULL, errors, sizeof(errors));
	struct sockaddr_in in;

	(void)state;
	assert_non_null(c);
	assert_int_equal(c->role, CONF_ROLE_EDGE);
	assert_int_equal(c->loops, 0);
	assert_int_equal(c->listen.proxy.n, 1);
	memcpy(&in, &c->listen.bump.v[0].addr, sizeof(in));
	assert_int_equal(ntohs(in.sin_port), 8081);
	assert_int_equal(ntohl(in.sin_addr.s_addr), INADDR_LOOPBACK);
	assert_int_equal(c->listen.bump.v[0].addr_len, sizeof(in));
	assert_true(c->state[0] == '/');
	assert_true(strstr(c->control, "/control.sock") && strncmp(c->control, c->state, strlen(c->state)) == 0);
	assert_true(strstr(c->ca.key, "/ca.key") && strncmp(c->ca.key, c->state, strlen(c->state)) == 0);
	assert_non_null(strstr(c->ca.name, c->policy->node));
	assert_int_equal(c->log_level, LOG_INFO);
	assert_null(c->policy->upstream.ca_file);
	assert_null(c->policy->upstream.proxy_host);
	conf_free(c);
	conf_free(NULL);
}

/* Something of every type, nothing at its default. */
static const char full[] =
	"node: edge-7\n"
	"role: edge\n"
	"loops: 3\n"
	"state: /var/tmp/pm\n"
	"control: ctl.sock\n"
	"listen:\n"
	"  proxy: [\"0.0.0.0:3128\", \"[::1]:3128\"]\n"
	"  bump: \"127.0.0.1:0\"\n"
	"  admin: []\n"
	"  http2: off\n"
	"bump:\n"
	"  ca: {cert: /etc/ca.pem, key: keys/ca.key, name: \"A \\\"B\\\" \\\\ C\", life: 400d, permit_dns: [Example.test]}\n"
	"  certificate: origin\n"
	"  only: [a.test, \"*.B.test\", \"[2001:DB8::0:1]\", c.test.]\n"
	"  splice: [\"*\"]\n"
	"  others: refuse\n"
	"upstream:\n"
	"  proxy: \"http://Proxy.test:3128/\"\n"
	"  no_proxy: [\"*.intern.test\"]\n"
	"  connect_timeout: 1500ms\n"
	"  tls_timeout: 2m\n"
	"  first_byte_timeout: 1h\n"
	"  read_timeout: 1d\n"
	"cache:\n"
	"  memory: {size: 3 GB, max_object: 1536KB, policy: gdsf}\n"
	"  max_object: 1000000\n"
	"  read_ahead: 64KiB\n"
	"  quick_abort: {min: 0, max: 1, percent: 100%}\n"
	"  authorized: rfc\n"
	"  offline: yes\n"
	"  targeted: []\n"
	"  classes:\n"
	"    - {host: \"*.test\", path: \"/w/*.whl\", class: immutable}\n"
	"    - path: \"*/repomd.xml\"\n"
	"      class: mutable\n"
	"      ttl: 90s\n"
	"    - {host: x.test, class: pass}\n"
	"limits: {request_header: 8KB, request_body: 8KB, reply_body: 200MB, connections: 7, header_timeout: 1s,\n"
	"  idle_timeout: 2s, stall_timeout: 3s}\n"
	"access:\n"
	"  clients: [\"0.0.0.0/0\", \"::/0\", 10.1.2.3, \"fd00::/8\"]\n"
	"  hosts: one.test\n"
	"  safe_ports: 80\n"
	"  connect_ports: [443, 8000-8010]\n"
	"  deny_to: [private, 192.0.2.0/24, \"2001:db8::/32\"]\n"
	"  purge: [127.0.0.1]\n"
	"headers: {via: on, forwarded_for: true}\n"
	"log:\n"
	"  access: {path: off, format: json, headers: On, query: on, keep: 0}\n"
	"  level: debug\n";

static void reads_every_type(void **state)
{
	struct conf *c = loaded(full);
	const struct policy *p = c->policy;

	(void)state;
	assert_string_equal(p->node, "edge-7");
	assert_int_equal(c->loops, 3);
	assert_string_equal(c->state, "/var/tmp/pm");
	assert_string_equal(c->control, "/var/tmp/pm/ctl.sock");
	assert_int_equal(c->listen.proxy.n, 2);
	assert_int_equal(c->listen.proxy.v[1].addr.ss_family, AF_INET6);
	assert_int_equal(c->listen.bump.n, 1);
	assert_int_equal(c->listen.admin.n, 0);
	assert_string_equal(c->ca.cert, "/etc/ca.pem");
	assert_string_equal(c->ca.key, "/var/tmp/pm/keys/ca.key");
	assert_string_equal(c->ca.name, "A \"B\" \\ C");
	assert_int_equal(c->ca.life, 400 * DUR_DAY);
	assert_string_equal(c->ca.permit_dns.v[0], "example.test");
	assert_int_equal(p->bump.certificate, POLICY_CERT_ORIGIN);
	assert_string_equal(p->bump.only.v[1], "*.b.test");
	assert_string_equal(p->bump.only.v[2], "2001:db8::1");
	assert_string_equal(p->bump.only.v[3], "c.test");
	assert_true(p->bump.refuse_others);
	assert_string_equal(p->upstream.proxy_host, "proxy.test");
	assert_int_equal(p->upstream.proxy_port, 3128);
	assert_int_equal(p->upstream.connect_timeout, 1500);
	assert_int_equal(p->upstream.read_timeout, DUR_DAY);
	assert_true(p->cache.memory_size == 3ull << 30);
	assert_int_equal(p->cache.memory_max_object, 1536 * 1024);
	assert_int_equal(p->cache.max_object, 1000000);
	assert_int_equal(p->cache.read_ahead, 65536);
	assert_int_equal(p->cache.quick_abort_min, 0);
	assert_int_equal(p->cache.quick_abort_max, 1);
	assert_int_equal(p->cache.quick_abort_percent, 100);
	assert_int_equal(p->cache.authorized, POLICY_AUTH_RFC);
	assert_true(p->cache.offline);
	assert_int_equal(p->cache.n_classes, 3);
	assert_int_equal(p->cache.classes[1].class, POLICY_CLASS_MUTABLE);
	assert_int_equal(p->cache.classes[1].ttl, 90000);
	assert_null(p->cache.classes[1].host);
	assert_null(p->cache.classes[2].path);
	assert_int_equal(p->limits.connections, 7);
	assert_int_equal(p->limits.request_header, 8192);
	assert_int_equal(p->access.clients.n, 4);
	assert_int_equal(p->access.clients.v[0].bits, 96);
	assert_int_equal(p->access.clients.v[1].bits, 0);
	assert_int_equal(p->access.hosts.n, 1);
	assert_int_equal(p->access.safe_ports.n, 1);
	assert_int_equal(p->access.connect_ports.v[1].to, 8010);
	assert_true(p->access.deny_private);
	assert_false(p->access.deny_loopback);
	assert_int_equal(p->access.deny_to.n, 2);
	assert_true(p->headers.via && p->headers.forwarded_for && p->log.headers && p->log.query);
	assert_null(c->access_log.path);
	assert_int_equal(c->access_log.format, ACCESSLOG_JSON);
	assert_int_equal(c->access_log.keep, 0);
	assert_int_equal(c->log_level, LOG_DEBUG);
	conf_free(c);
}

static void dump_reads_back_to_the_same(void **state)
{
	static const char *const texts[] = {"", full, "upstream: {proxy: \"http://[::1]:1\"}\nstate: relative/to\n"};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct conf *c = loaded(texts[i]), *again;
		char *a = dumped(c), *b, differs[500];

		again = loaded(a);
		b = dumped(again);
		assert_string_equal(a, b);
		assert_int_equal(conf_reload_differs(c, again, differs, sizeof(differs)), 0);
		conf_free(c);
		conf_free(again);
		free(a);
		free(b);
	}
}

static void sections_may_be_empty(void **state)
{
	(void)state;
	conf_free(loaded("bump:\ncache:\n  memory:\nlog: {}\n"));
}

static void relative_paths_start_where_told(void **state)
{
	struct conf *c;

	(void)state;
	c = loaded("state: st\nlog: {access: {path: logs/a.log}}\n");
	assert_string_equal(c->state, "/etc/test/st");
	assert_string_equal(c->access_log.path, "/etc/test/st/logs/a.log");
	conf_free(c);
	c = loaded("state: ~/pm\n");
	assert_string_equal(c->state, "/srv/test/pm");
	conf_free(c);
}

static void credentials_come_from_their_file(void **state)
{
	char text[600], *dump;
	struct conf *c;

	(void)state;
	snprintf(text, sizeof(text), "upstream: {proxy: \"http://p.test:1\", proxy_credentials: \"file:%s\"}\n",
		 a_file("secret", "me:very secret\n", 0600));
	c = loaded(text);
	assert_string_equal(c->policy->upstream.proxy_credentials, "me:very secret");
	dump = dumped(c);
	assert_null(strstr(dump, "very secret"));
	assert_non_null(strstr(dump, "/secret\""));
	free(dump);
	conf_free(c);
}

static void files_beside_the_configuration_are_found(void **state)
{
	struct conf *c;
	const char *path;

	(void)state;
	a_file("hosts", "127.0.0.1 own.test\n", 0644);
	a_file("ca.pem", "PEM\n", 0644);
	path = a_file("edge.yaml", "upstream: {ca_file: ca.pem, hosts_file: hosts}\n", 0644);
	c = conf_load(path, errors, sizeof(errors));
	if (!c)
		fail_msg("%s", errors);
	assert_true(strncmp(c->policy->upstream.hosts_file, folder, strlen(folder)) == 0);
	conf_free(c);
}

/* ---- the files in the tree ---- */

static void edge_yaml_says_the_defaults(void **state)
{
	struct conf *edge = conf_load(in_tree("conf/edge.yaml"), errors, sizeof(errors)), *standard;
	char *a, *b, *text = file_text(in_tree("conf/edge.yaml"));

	(void)state;
	if (!edge)
		fail_msg("%s", errors);
	standard = conf_load(NULL, errors, sizeof(errors));
	a = dumped(edge);
	b = dumped(standard);
	assert_string_equal(a, b);
	for (size_t i = 0; i < conf__n_rows; i++) {
		const char *dot = strrchr(conf__rows[i].key, '.'), *word = dot ? dot + 1 : conf__rows[i].key;

		if (conf__rows[i].type != &conf__later && !strstr(text, word))
			fail_msg("conf/edge.yaml does not show %s", conf__rows[i].key);
	}
	conf_free(edge);
	conf_free(standard);
	free(text);
	free(a);
	free(b);
}

static void integration_yaml_has_the_seeds_values(void **state)
{
	struct conf *c = conf_load(in_tree("conf/integration.yaml"), errors, sizeof(errors));
	const struct policy *p;

	(void)state;
	if (!c)
		fail_msg("%s", errors);
	p = c->policy;
	assert_int_equal(p->bump.certificate, POLICY_CERT_ORIGIN);
	assert_int_equal(c->access_log.format, ACCESSLOG_SQUID);
	assert_int_equal(c->access_log.keep, 5);
	assert_true(p->log.headers && p->log.query);
	assert_int_equal(p->limits.request_header, 8192);
	assert_int_equal(p->limits.request_body, 8192);
	assert_int_equal(p->limits.reply_body, 200 << 20);
	assert_int_equal(p->cache.read_ahead, 1 << 20);
	assert_int_equal(p->cache.quick_abort_min + p->cache.quick_abort_max, 0);
	assert_int_equal(p->cache.quick_abort_percent, 100);
	assert_int_equal(p->cache.memory_size, 1 << 30);
	assert_int_equal(p->cache.memory_max_object, 4096 * 1024);
	assert_int_equal(p->cache.max_object, 32 << 20);
	assert_false(p->headers.via || p->headers.forwarded_for);
	assert_int_equal(p->access.safe_ports.n, 3);
	assert_int_equal(p->access.safe_ports.v[0].from, 21);
	assert_int_equal(p->access.connect_ports.n, 1);
	assert_int_equal(p->access.purge.n, 2);
	assert_true(p->access.deny_loopback);
	conf_free(c);
}

static void reference_in_the_tree_is_the_tables(void **state)
{
	char *made = written_reference(), *kept = file_text(in_tree("docs/configuration.md"));

	(void)state;
	for (size_t i = 0; i < conf__n_rows; i++)
		assert_non_null(strstr(made, conf__rows[i].key));
	if (strcmp(made, kept) != 0)
		fail_msg("docs/configuration.md is not what pmcached --config-reference writes");
	free(made);
	free(kept);
}

/* ---- bad files ---- */

#define F "/etc/test/edge.yaml"

static const struct {
	const char *text, *says;
} bad[] = {
	/* names */
	{"\n\ncache:\n  memroy: {size: 1GB}\n",
	 F ":4: cache.memroy.size: unknown key; did you mean cache.memory.size?\n"},
	{"lisen: {proxy: []}\n", F ":1: lisen.proxy: unknown key; did you mean listen.proxy?\n"},
	{"connect_ports: [1]\n", F ":1: connect_ports: unknown key; did you mean access.connect_ports?\n"},
	{"something: 1\n", F ":1: something: unknown key\n"},
	{"a:\n  - b\n", F ":1: a: unknown key\n"},
	{"loops: 1\nnode: a\nloops: 2\n", F ":3: loops: given twice, first in line 1\n"},
	{"log: {level: info}\nlog: {level: info}\n", F ":2: log: given twice, first in line 1\n"},
	{"log.level: info\n", F ":1: log.level: unknown key; settings are nested in maps, not joined by dots\n"},
	{"bump: on\n", F ":1: bump: a map of settings is expected\n"},
	{"- a\n", F ":1: a map of settings is expected\n"},
	{"a: [\n", F ":2: "},
	/* not built yet */
	{"role: sibling\n", F ":1: role: \"sibling\" is not known; it can be edge or parent\n"},
	{"listen: {http2: on}\n", F ":1: listen.http2: not in this version: "},
	{"cache: {targeted: [CDN-Cache-Control]}\n", F ":1: cache.targeted: not in this version: "},
	/* values */
	{"loops: many\n", F ":1: loops: \"many\" is not auto or a whole number\n"},
	{"loops: 65\n", F ":1: loops: \"65\" is out of bounds; allowed is 1 to 64\n"},
	{"loops:\n", F ":1: loops: no value; leave the key out for the default\n"},
	{"loops: {a: 1}\n", F ":1: loops: a single value is expected, not a map\n"},
	{"node: a b\n", F ":1: node: \"a b\" is not a name"},
	{"node: \"a\\nb\"\n", F ":1: node: control characters are not allowed\n"},
	{"control: \"\"\n", F ":1: control: must not be empty\n"},
	{"log: {level: loud}\n",
	 F ":1: log.level: \"loud\" is not known; it can be error, warning, notice, info or debug\n"},
	{"headers: {via: maybe}\n", F ":1: headers.via: \"maybe\" is neither on nor off\n"},
	{"cache: {max_object: 1XB}\n", F ":1: cache.max_object: \"1XB\" is not a size"},
	{"cache: {max_object: -1}\n", F ":1: cache.max_object: \"-1\" is not a size"},
	{"cache: {max_object: 99999999TB}\n", F ":1: cache.max_object: \"99999999TB\" is not a size"},
	{"cache: {read_ahead: 1}\n", F ":1: cache.read_ahead: \"1\" is out of bounds; allowed is 16KB to 1GB\n"},
	{"limits: {idle_timeout: 10}\n", F ":1: limits.idle_timeout: \"10\" is not a duration"},
	{"limits: {idle_timeout: 0}\n", F ":1: limits.idle_timeout: \"0\" is out of bounds; allowed is 1ms to 1d\n"},
	{"cache: {quick_abort: {percent: 101}}\n",
	 F ":1: cache.quick_abort.percent: \"101\" is out of bounds; allowed is 0% to 100%\n"},
	{"bump: {ca: {life: 36h}}\n", F ":1: bump.ca.life: must be whole days\n"},
	{"bump: {ca: {permit_dns: [\"*.a.test\"]}}\n", F ":1: bump.ca.permit_dns: \"*.a.test\" is not a host name\n"},
	{"bump: {ca: {permit_dns: [10.0.0.1]}}\n", F ":1: bump.ca.permit_dns: \"10.0.0.1\" is not a host name\n"},
	{"bump: {ca: {key: ca.crt}}\n", F ":1: bump.ca.key: is the same file as bump.ca.cert\n"},
	{"bump:\n  only:\n    - a.test\n    - \"https://b.test\"\n    - c..test\n",
	 F ":4: bump.only: \"https://b.test\" is not a host name, \"*.name\" or an address\n" F
	   ":5: bump.only: \"c..test\" is not a host name, \"*.name\" or an address\n"},
	{"access: {clients: []}\n", F ":1: access.clients: must not be empty\n"},
	{"access: {safe_ports: []}\n", F ":1: access.safe_ports: must not be empty\n"},
	{"access: {clients: [10.0.0.1/8]}\n", F ":1: access.clients: \"10.0.0.1/8\" has bits set behind its length\n"},
	{"access: {clients: [10.0.0.0/33]}\n", F ":1: access.clients: \"10.0.0.0/33\" has no length from /0 to /32\n"},
	{"access: {clients: [localhost]}\n", F ":1: access.clients: \"localhost\" is not an address"},
	{"access: {deny_to: [loopbak]}\n", F ":1: access.deny_to: \"loopbak\" is not an address"},
	{"access: {connect_ports: [0]}\n", F ":1: access.connect_ports: \"0\" is not a port"},
	{"access: {connect_ports: [9-8]}\n", F ":1: access.connect_ports: \"9-8\" is not a port"},
	{"access: {connect_ports: [65536]}\n", F ":1: access.connect_ports: \"65536\" is not a port"},
	{"access: {connect_ports: {a: 1}}\n", F ":1: access.connect_ports: a list is expected, not a map\n"},
	{"cache:\n  classes:\n  - {class: immutable}\n", F ":3: cache.classes: a rule needs a host, a path, or both\n"},
	{"cache:\n  classes:\n  - {path: /a}\n", F ":3: cache.classes: a rule needs a class"},
	{"cache:\n  classes:\n  - path: a\n    class: pass\n", F ":3: cache.classes: path \"a\" begins neither"},
	{"cache:\n  classes:\n  - path: /a\n    clas: pass\n", F ":4: cache.classes: unknown key \"clas\" in a rule"},
	{"cache:\n  classes:\n  - path: /a\n    path: /b\n", F ":4: cache.classes: path is given twice in one rule\n"},
	{"cache: {classes: [{path: /a, class: pass, ttl: 1s}]}\n", F ":1: cache.classes: ttl has a meaning"},
	{"cache: {classes: [{path: /a, class: gone}]}\n",
	 F ":1: cache.classes: \"gone\" is not known; it can be immutable, mutable or pass\n"},
	{"cache: {classes: [{host: \"a.test:80\", class: pass}]}\n",
	 F ":1: cache.classes: host \"a.test:80\" is a name"},
	{"cache: {classes: pass}\n", F ":1: cache.classes: a list of rules is expected\n"},
	/* listeners */
	{"listen: {proxy: localhost:8080}\n", F ":1: listen.proxy: \"localhost:8080\" is not ADDRESS:PORT in numbers"},
	{"listen: {proxy: \"::1:8080\"}\n", F ":1: listen.proxy: \"::1:8080\" is not ADDRESS:PORT"},
	{"listen: {proxy: \"127.0.0.1:65536\"}\n", F ":1: listen.proxy: \"127.0.0.1:65536\" is not ADDRESS:PORT"},
	{"listen:\n  proxy: \"127.0.0.1:8081\"\n",
	 F ":2: listen.bump: 127.0.0.1:8081 is taken by 127.0.0.1:8081 of listen.proxy\n"},
	{"listen: {admin: \"0.0.0.0:8080\"}\n",
	 F ":1: listen.admin: 0.0.0.0:8080 is taken by 127.0.0.1:8080 of listen.proxy\n"},
	{"listen:\n  proxy: []\n  bump: []\n",
	 F ":3: listen: proxy and bump are both empty, so nobody could use this node\n"},
	/* what belongs together */
	{"cache:\n  memory:\n    size: 1MB\n",
	 F ":3: cache.memory.max_object: must not be more than cache.memory.size\n"},
	{"cache: {quick_abort: {min: 17KB}}\n",
	 F ":1: cache.quick_abort.min: must not be more than cache.quick_abort.max\n"},
	/* the upstream proxy */
	{"upstream: {proxy: \"https://p.test:1\"}\n",
	 F ":1: upstream.proxy: \"https://p.test:1\" is not http://HOST:PORT\n"},
	{"upstream: {proxy: \"http://p.test\"}\n", F ":1: upstream.proxy: \"http://p.test\" is not http://HOST:PORT\n"},
	{"upstream: {proxy: \"http://:1\"}\n", F ":1: upstream.proxy: \"http://:1\" is not http://HOST:PORT\n"},
	{"upstream: {proxy: \"http://::1:1\"}\n", F ":1: upstream.proxy: \"http://::1:1\" is not http://HOST:PORT\n"},
	{"upstream: {hosts_file: /nowhere/hosts}\n",
	 F ":1: upstream.hosts_file: /nowhere/hosts: No such file or directory\n"},
	{"upstream: {hosts_file: nowhere/hosts}\n",
	 F ":1: upstream.hosts_file: /etc/test/nowhere/hosts: No such file or directory\n"},
	{"upstream: {ca_file: /dev}\n", F ":1: upstream.ca_file: /dev: not a regular file\n"},
	{"state: /a123456789b123456789c123456789d123456789e123456789f123456789g123456789h123456789i123456789j12345\n",
	 F ":1: control: /a12"},
};

static void says_what_is_wrong_and_where(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (conf_load_text(span_str(bad[i].text), F, errors, sizeof(errors)))
			fail_msg("taken: %s", bad[i].text);
		if (strncmp(errors, bad[i].says, strlen(bad[i].says)) != 0)
			fail_msg("%s\ngave %sinstead of %s", bad[i].text, errors, bad[i].says);
		if (bad[i].says[strlen(bad[i].says) - 1] == '\n' && strlen(errors) != strlen(bad[i].says))
			fail_msg("%s\ngave more: %s", bad[i].text, errors);
	}
}

static void says_all_that_is_wrong(void **state)
{
	const char *text = "loops: x\nlistn: 1\ncache: {memory: {size: 1MB}}\nheaders: {via: 3}\n"
			   "upstream: {hosts_file: /nowhere}\n";

	(void)state;
	assert_null(conf_load_text(span_str(text), "edge.yaml", errors, sizeof(errors)));
	assert_string_equal(errors, "edge.yaml:1: loops: \"x\" is not auto or a whole number\n"
				    "edge.yaml:2: listn: unknown key; did you mean listen?\n"
				    "edge.yaml:4: headers.via: \"3\" is neither on nor off\n"
				    "edge.yaml:5: upstream.hosts_file: /nowhere: No such file or directory\n"
				    "edge.yaml:3: cache.memory.max_object: must not be more than cache.memory.size\n");
}

/* A wrong value's default must not be blamed for a clash. */
static void follow_up_faults_are_not_told(void **state)
{
	(void)state;
	assert_null(conf_load_text(SPAN("cache: {memory: {size: 8GX, max_object: 2GB}}"), "e", errors, sizeof(errors)));
	assert_non_null(strstr(errors, "8GX"));
	assert_null(strstr(errors, "max_object"));
}

static void stops_at_twenty(void **state)
{
	char text[2000];
	size_t n = 0, lines = 0;

	(void)state;
	for (unsigned i = 0; i < 60; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "unknown%u: 1\n", i);
	assert_null(conf_load_text(span_str(text), "e", errors, sizeof(errors)));
	for (const char *p = errors; *p; p++)
		lines += *p == '\n';
	assert_int_equal(lines, CONF_MAX_ERRORS);
}

static void a_small_error_buffer_is_no_trouble(void **state)
{
	char small[16];

	(void)state;
	assert_null(conf_load_text(SPAN("loops: x\n"), "e", small, sizeof(small)));
	assert_true(strlen(small) < sizeof(small));
	assert_null(conf_load_text(SPAN("loops: x\n"), "e", small, 1));
	assert_string_equal(small, "");
}

static void no_credentials_in_errors(void **state)
{
	(void)state;
	assert_null(
		conf_load_text(SPAN("upstream: {proxy: \"http://me:hunter2@p.test:1\"}"), "e", errors, sizeof(errors)));
	assert_non_null(strstr(errors, "upstream.proxy_credentials"));
	assert_null(strstr(errors, "hunter2"));
}

static void credentials_files_are_looked_at(void **state)
{
	static const struct {
		const char *text;
		mode_t mode;
		const char *says;
	} cases[] = {{"me:pw\n", 0644, "chmod 600"},
		     {"me:pw\n", 0620, "chmod 600"},
		     {"mepw\n", 0600, "does not hold user:password"},
		     {":pw\n", 0600, "does not hold user:password"},
		     {"", 0600, "does not hold user:password"},
		     {"me:pw\nmore\n", 0600, "not one line"},
		     {NULL, 0600, "too long"}};
	char text[600], long_text[1100];

	(void)state;
	memset(long_text, 'a', sizeof(long_text));
	long_text[1] = ':';
	long_text[sizeof(long_text) - 1] = '\0';
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), "upstream: {proxy: \"http://p.test:1\", proxy_credentials: %s}\n",
			 a_file("secret", cases[i].text ? cases[i].text : long_text, cases[i].mode));
		assert_null(conf_load_text(span_str(text), "e", errors, sizeof(errors)));
		if (!strstr(errors, cases[i].says) || strstr(errors, "pw\n"))
			fail_msg("%s", errors);
	}
	snprintf(text, sizeof(text), "upstream: {proxy_credentials: %s}\n", a_file("secret", "me:pw\n", 0600));
	assert_null(conf_load_text(span_str(text), "e", errors, sizeof(errors)));
	assert_non_null(strstr(errors, "has no meaning without upstream.proxy"));
}

static void does_not_hang_on_a_pipe(void **state)
{
	char path[200], text[300];

	(void)state;
	snprintf(path, sizeof(path), "%s/fifo", folder);
	assert_int_equal(mkfifo(path, 0600), 0);
	snprintf(text, sizeof(text), "upstream: {hosts_file: %s}\n", path);
	assert_null(conf_load_text(span_str(text), "e", errors, sizeof(errors)));
	assert_non_null(strstr(errors, "not a regular file"));
}

static void missing_file_is_said(void **state)
{
	(void)state;
	assert_null(conf_load("/nowhere/edge.yaml", errors, sizeof(errors)));
	assert_string_equal(errors, "/nowhere/edge.yaml: No such file or directory\n");
	assert_null(conf_load("/", errors, sizeof(errors)));
	assert_string_equal(errors, "/: Is a directory\n");
}

static void state_needs_an_environment(void **state)
{
	struct conf *c;

	(void)state;
	if (geteuid() == 0 && access("/var/lib/pmcache", F_OK) == 0)
		skip();
	unsetenv("XDG_STATE_HOME");
	c = conf_load(NULL, errors, sizeof(errors));
	assert_string_equal(c->state, "/srv/test/.local/state/pmcache");
	conf_free(c);
	unsetenv("HOME");
	assert_null(conf_load(NULL, errors, sizeof(errors)));
	assert_string_equal(
		errors, "built-in defaults: state: must be given, since neither HOME nor XDG_STATE_HOME says where\n");
	assert_null(conf_load_text(SPAN("state: ~/x"), "e", errors, sizeof(errors)));
	make_folder(NULL); /* sets both again; its own folder is removed here */
	rmdir(folder);
}

/* ---- reload ---- */

static void reload_tells_what_needs_a_restart(void **state)
{
	struct conf *a = loaded("state: /a\n"), *b = loaded("state: /a\nloops: 2\nlisten: {admin: []}\n"
							    "log: {level: debug}\ncache: {offline: on}\nnode: other\n"
							    "bump: {ca: {name: x}}\n");
	char keys[200];

	(void)state;
	assert_int_equal(conf_reload_differs(a, b, keys, sizeof(keys)), 3);
	assert_string_equal(keys, "loops, listen.admin, bump.ca.name");
	assert_int_equal(conf_reload_differs(a, a, keys, sizeof(keys)), 0);
	assert_string_equal(keys, "");
	assert_int_equal(conf_reload_differs(a, b, keys, 8), 3);
	conf_free(a);
	conf_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_is_whole),
		cmocka_unit_test(defaults_are_those_of_policy_new),
		cmocka_unit_test(no_file_is_an_edge_with_the_defaults),
		cmocka_unit_test(reads_every_type),
		cmocka_unit_test(dump_reads_back_to_the_same),
		cmocka_unit_test(sections_may_be_empty),
		cmocka_unit_test(relative_paths_start_where_told),
		cmocka_unit_test_setup_teardown(credentials_come_from_their_file, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(files_beside_the_configuration_are_found, make_folder, remove_folder),
		cmocka_unit_test(edge_yaml_says_the_defaults),
		cmocka_unit_test(integration_yaml_has_the_seeds_values),
		cmocka_unit_test(reference_in_the_tree_is_the_tables),
		cmocka_unit_test(says_what_is_wrong_and_where),
		cmocka_unit_test(says_all_that_is_wrong),
		cmocka_unit_test(follow_up_faults_are_not_told),
		cmocka_unit_test(stops_at_twenty),
		cmocka_unit_test(a_small_error_buffer_is_no_trouble),
		cmocka_unit_test(no_credentials_in_errors),
		cmocka_unit_test_setup_teardown(credentials_files_are_looked_at, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(does_not_hang_on_a_pipe, make_folder, remove_folder),
		cmocka_unit_test(missing_file_is_said),
		cmocka_unit_test(state_needs_an_environment),
		cmocka_unit_test(reload_tells_what_needs_a_restart),
	};

	setenv("XDG_STATE_HOME", "/srv/test/state", 1);
	setenv("HOME", "/srv/test", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
