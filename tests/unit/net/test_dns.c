#include <stdio.h>
#include <sys/stat.h>

#include "node/net/dns.h"
#include "tests/unit/net/fake_dns.h"

static const struct fake_name names[] = {
	{.name = "both.test", .v4 = {"192.0.2.1", "192.0.2.2"}, .v6 = {"2001:db8::1"}, .ttl = 60},
	{.name = "four.test", .v4 = {"192.0.2.4"}, .ttl = 60},
	{.name = "brief.test", .v4 = {"192.0.2.5"}, .ttl = 0},
	{.name = "half-silent.test", .v4 = {"192.0.2.6"}, .ttl = 60, .code_v6 = FAKE_SILENT},
	{.name = "half-broken.test", .v4 = {"192.0.2.7"}, .ttl = 60, .code_v6 = FAKE_SERVFAIL},
	{.name = "silent.test", .code_v4 = FAKE_SILENT, .code_v6 = FAKE_SILENT},
	{.name = "broken.test", .code_v4 = FAKE_SERVFAIL, .code_v6 = FAKE_SERVFAIL},
	{.name = "empty.test"},
	{.name = "_pmcache._tcp.cluster.test",
	 .srv = {{20, 5, 8083, "parent2.cluster.test"},
		 {10, 0, 8083, "edge2.Cluster.test"},
		 {10, 0, 8084, "edge1.cluster.test"},
		 {10, 7, 8083, "edge9.cluster.test"},
		 {10, 0, 8083, "edge1.cluster.test"}}},
	{.name = "_none._tcp.cluster.test", .srv = {{0, 0, 0, ""}}},
	{.name = "_odd._tcp.cluster.test",
	 .srv = {{0, 0, 1, "a b.test"}, {0, 0, 0, "no-port.test"}, {0, 0, 2, "good_one.test"}, {0, 0, 3, "a/b.test"}}},
	{.name = "_many._tcp.cluster.test", .many_srv = 1500},
	{.name = "_silent._tcp.cluster.test", .code_srv = FAKE_SILENT},
	{.name = "_broken._tcp.cluster.test", .code_srv = FAKE_SERVFAIL},
	{.code_v4 = FAKE_NXDOMAIN, .code_v6 = FAKE_NXDOMAIN, .code_srv = FAKE_NXDOMAIN},
};

struct place {
	struct ground g;
	struct fake_dns fake;
	struct dns *dns;
};

struct asked {
	struct place *p;
	int *left; /* stops the loop at 0 */
	bool done;
	enum reason why;
	char text[400]; /* the addresses, with spaces between */
};

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	char at[ADDR_TEXT_BYTES];

	ground_init(&p->g);
	p->dns = dns_new(p->g.loop);
	assert_int_equal(0, dns_set_servers_csv(p->dns, fake_dns_init(&p->fake, &p->g, names, at)));
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	dns_free(p->dns);
	fake_dns_fini(&p->fake);
	ground_fini(&p->g);
	free(p);
	return 0;
}

static void on_done(void *cookie, const struct addr *v, size_t n, enum reason why)
{
	struct asked *a = cookie;
	struct buf b = buf_over(a->text, sizeof(a->text) - 1);

	assert_false(a->done);
	assert_true((why == REASON_NONE) == (n > 0));
	a->done = true;
	a->why = why;
	for (size_t i = 0; i < n; i++) {
		char ip[ADDR_TEXT_BYTES];

		assert_int_equal(0, addr_port(&v[i]));
		buf_printf(&b, i ? " %s" : "%s", addr_format_ip(&v[i], ip));
	}
	a->text[b.n] = '\0';
	if (--*a->left == 0)
		loop_stop(a->p->g.loop);
}

static struct asked ask(struct place *p, const char *host)
{
	int left = 1;
	struct asked a = {.p = p, .left = &left};

	dns_start(p->dns, span_str(host), on_done, &a);
	assert_false(a.done); /* never from inside the start */
	ground_run(&p->g);
	assert_true(a.done);
	return a;
}

static void expect(struct place *p, const char *host, const char *text)
{
	struct asked a = ask(p, host);

	assert_int_equal(REASON_NONE, a.why);
	assert_string_equal(text, a.text);
}

static void test_answers(void **state)
{
	static const struct {
		const char *host, *text;
		enum reason why;
		int questions;
	} t[] = {
		{"192.0.2.77", "192.0.2.77", REASON_NONE, 0},
		{"2001:DB8::77", "2001:db8::77", REASON_NONE, 0},
		{"localhost", "::1 127.0.0.1", REASON_NONE, 0},
		{"LocalHost.", "::1 127.0.0.1", REASON_NONE, 0},
		{"my.registry.localhost", "::1 127.0.0.1", REASON_NONE, 0},
		{"both.test", "2001:db8::1 192.0.2.1 192.0.2.2", REASON_NONE, 2},
		{"BOTH.Test.", "2001:db8::1 192.0.2.1 192.0.2.2", REASON_NONE, 0}, /* kept from before */
		{"four.test", "192.0.2.4", REASON_NONE, 2},
		{"none.test", "", REASON_DNS_NO_NAME, 2},
		{"none.test", "", REASON_DNS_NO_NAME, 0},
		{"empty.test", "", REASON_DNS_NO_NAME, 2},
		{"half-broken.test", "192.0.2.7", REASON_NONE, -1}, /* tries again on its own */
		{"broken.test", "", REASON_DNS_FAILED, -1},
		{"", "", REASON_DNS_NO_NAME, 0},
		{"..", "", REASON_DNS_NO_NAME, 0},
		{"a b.test", "", REASON_DNS_NO_NAME, 0},
		{"a\\.test", "", REASON_DNS_NO_NAME, 0},
		{"1.2.3", "", REASON_DNS_NO_NAME, 0},
		{"[::1]", "::1", REASON_NONE, 0},
	};
	struct place *p = *state;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		int before = p->fake.asked_v4 + p->fake.asked_v6;
		struct asked a = ask(p, t[i].host);

		if (a.why != t[i].why || strcmp(a.text, t[i].text) != 0)
			fail_msg("%s: %s (%s)", t[i].host, a.text, reason_word(a.why));
		if (t[i].questions >= 0)
			assert_int_equal(t[i].questions, p->fake.asked_v4 + p->fake.asked_v6 - before);
	}
}

static void test_name_too_long(void **state)
{
	char host[400];

	memset(host, 'a', sizeof(host) - 1);
	host[sizeof(host) - 1] = '\0';
	assert_int_equal(REASON_DNS_NO_NAME, ask(*state, host).why);
}

static void test_nul_in_name(void **state)
{
	struct place *p = *state;
	int left = 1;
	struct asked a = {.p = p, .left = &left};

	dns_start(p->dns, SPAN("both.test\0.evil.example"), on_done, &a);
	ground_run(&p->g);
	assert_int_equal(REASON_DNS_NO_NAME, a.why);
}

/* Many who want one name share the questions; each is told once; who left is not told. */
static void test_collapsed(void **state)
{
	struct place *p = *state;
	int left = 9;
	struct asked a[10];
	struct dns_lookup *l[10];

	for (int i = 0; i < 10; i++) {
		a[i] = (struct asked){.p = p, .left = &left};
		l[i] = dns_start(p->dns, SPAN("both.test"), on_done, &a[i]);
	}
	dns_cancel(&l[3]);
	assert_null(l[3]);
	dns_cancel(&l[3]);
	ground_run(&p->g);
	for (int i = 0; i < 10; i++)
		assert_int_equal(i != 3, a[i].done);
	assert_int_equal(1, p->fake.asked_v4);
	assert_int_equal(1, p->fake.asked_v6);
}

/* Cancelled when the answer is there but not told yet; and when nobody is left who asked. */
static void test_cancelled(void **state)
{
	struct place *p = *state;
	int left = 1;
	struct asked a = {.p = p, .left = &left};
	struct dns_lookup *l = dns_start(p->dns, SPAN("127.0.0.1"), on_done, &a);

	dns_cancel(&l);
	l = dns_start(p->dns, SPAN("four.test"), on_done, &a);
	dns_cancel(&l);
	ground_run_for(&p->g, 100);
	assert_false(a.done);
	expect(p, "four.test", "192.0.2.4"); /* what it asked was kept */
	assert_int_equal(1, p->fake.asked_v4);
}

/* One kind of question is dropped by the server: the other's answer is not held up for long. */
static void test_half_silent(void **state)
{
	struct place *p = *state;
	mono_us start = loop_now(p->g.loop);

	expect(p, "half-silent.test", "192.0.2.6");
	assert_true(loop_now(p->g.loop) - start >= 49 * 1000);
	assert_true(loop_now(p->g.loop) - start < 1900 * 1000);
	expect(p, "half-silent.test", "192.0.2.6");
	assert_int_equal(1, p->fake.asked_v4);
}

/* While one half is on its 50 ms, another who comes does not ask again. */
static struct asked second;
static int second_left = 2;

static void start_second(void *arg)
{
	struct place *p = arg;

	dns_start(p->dns, SPAN("half-silent.test"), on_done, &second);
}

static void test_joins_half(void **state)
{
	struct place *p = *state;
	struct asked a = {.p = p, .left = &second_left};
	struct timer t;

	second = (struct asked){.p = p, .left = &second_left};
	timer_init(&t, p->g.loop, start_second, p);
	timer_set_in(&t, 20);
	dns_start(p->dns, SPAN("half-silent.test"), on_done, &a);
	ground_run(&p->g);
	assert_true(a.done && second.done);
	assert_int_equal(1, p->fake.asked_v4);
	assert_int_equal(1, p->fake.asked_v6);
	timer_fini(&t);
}

static void test_deadline(void **state)
{
	struct place *p = *state;

	dns_set_deadline(p->dns, 100);
	assert_int_equal(REASON_DNS_TIMEOUT, ask(p, "silent.test").why);
	assert_int_equal(REASON_DNS_TIMEOUT, ask(p, "silent.test").why);
	assert_int_equal(1, p->fake.asked_v4); /* the questions are still out */
}

static void test_nobody_listens(void **state)
{
	struct place *p = *state;
	struct addr at = ground_addr("127.0.0.1", 0);
	char text[ADDR_TEXT_BYTES];

	close(ground_bind(SOCK_DGRAM, &at));
	assert_int_equal(0, dns_set_servers_csv(p->dns, addr_format(&at, text)));
	assert_int_equal(REASON_DNS_FAILED, ask(p, "both.test").why);
}

/* A TTL of 0 counts as one second; longer ones as what they are. */
static void test_ttl(void **state)
{
	struct place *p = *state;

	expect(p, "brief.test", "192.0.2.5");
	expect(p, "brief.test", "192.0.2.5");
	assert_int_equal(1, p->fake.asked_v4);
	ground_run_for(&p->g, 1100);
	expect(p, "brief.test", "192.0.2.5");
	assert_int_equal(2, p->fake.asked_v4);
	expect(p, "four.test", "192.0.2.4");
	ground_run_for(&p->g, 1100);
	expect(p, "four.test", "192.0.2.4");
	assert_int_equal(3, p->fake.asked_v4);
}

/* What is being asked when the servers change is asked again of the new ones. */
static void test_servers_change(void **state)
{
	struct place *p = *state;
	char at[ADDR_TEXT_BYTES];
	struct addr nobody = ground_addr("127.0.0.1", 0);
	int deaf = ground_bind(SOCK_DGRAM, &nobody), left = 1;
	struct asked a = {.p = p, .left = &left};

	assert_int_equal(0, dns_set_servers_csv(p->dns, addr_format(&nobody, at)));
	dns_start(p->dns, SPAN("both.test"), on_done, &a);
	ground_run_for(&p->g, 20);
	assert_false(a.done);
	assert_int_equal(0, dns_set_servers_csv(p->dns, addr_format(&p->fake.at, at)));
	ground_run(&p->g);
	assert_string_equal("2001:db8::1 192.0.2.1 192.0.2.2", a.text);
	assert_int_equal(-1, dns_set_servers_csv(p->dns, "not an address"));
	close(deaf);
}

/* More names than are kept: the oldest go. */
static void test_bounded(void **state)
{
	enum { NAMES = 4096 + 4, AT_ONCE = 50 };
	struct place *p = *state;
	static struct asked a[AT_ONCE];
	int before;

	for (int i = 0; i < NAMES; i += AT_ONCE) {
		int left = AT_ONCE;

		for (int k = 0; k < AT_ONCE; k++) {
			char host[40];

			snprintf(host, sizeof(host), "n%d.example", i + k);
			a[k] = (struct asked){.p = p, .left = &left};
			dns_start(p->dns, span_str(host), on_done, &a[k]);
		}
		ground_run(&p->g);
	}
	before = p->fake.asked_v4;
	ask(p, "n4099.example");
	assert_int_equal(before, p->fake.asked_v4);
	ask(p, "n0.example");
	assert_int_equal(before + 1, p->fake.asked_v4);
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(0, fclose(f));
}

static void test_hosts_file(void **state)
{
	struct place *p = *state;
	char path[] = "/tmp/pmcache-test-hosts-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	close(fd);
	write_file(path, "192.0.2.99 both.test localhost\n2001:db8::99 both.test\n");
	expect(p, "both.test", "2001:db8::1 192.0.2.1 192.0.2.2");
	assert_int_equal(0, dns_set_hosts_file(p->dns, path));
	expect(p, "both.test", "2001:db8::99 192.0.2.99");
	expect(p, "localhost", "192.0.2.99");
	assert_int_equal(-1, dns_set_hosts_file(p->dns, "/does/not/exist"));
	expect(p, "both.test", "2001:db8::99 192.0.2.99");
	write_file(path, "192.0.2.98 both.test\n");
	ground_run_for(&p->g, 1100); /* it is looked at once a second */
	expect(p, "both.test", "192.0.2.98");
	assert_int_equal(0, dns_set_hosts_file(p->dns, NULL));
	expect(p, "both.test", "2001:db8::1 192.0.2.1 192.0.2.2");
	unlink(path);
}

/* The whole is freed while questions are out: under the address sanitizer nothing may be left. */
static void test_freed_while_asking(void **state)
{
	struct place *p = *state;
	int left = 1;
	struct asked a = {.p = p, .left = &left};
	struct dns_lookup *l = dns_start(p->dns, SPAN("silent.test"), on_done, &a);

	ground_run_for(&p->g, 20);
	dns_cancel(&l);
}

/* ---- SRV ---- */

struct served {
	struct place *p;
	bool done;
	enum reason why;
	size_t n;
	char text[400]; /* the first ones: "10/7 target:port", with commas between */
};

static void on_srv(void *cookie, const struct dns_srv *v, size_t n, enum reason why)
{
	struct served *s = cookie;
	struct buf b = buf_over(s->text, sizeof(s->text) - 1);

	assert_false(s->done);
	assert_true(why == REASON_NONE || n == 0);
	s->done = true;
	s->why = why;
	s->n = n;
	for (size_t i = 0; i < n && i < 6; i++)
		buf_printf(&b, "%s%u/%u %s:%u", i ? ", " : "", v[i].priority, v[i].weight, v[i].target, v[i].port);
	s->text[b.n] = '\0';
	loop_stop(s->p->g.loop);
}

static struct served ask_srv(struct place *p, struct span name)
{
	struct served s = {.p = p};

	dns_srv_start(p->dns, name, on_srv, &s);
	assert_false(s.done); /* never from inside the start */
	ground_run(&p->g);
	assert_true(s.done);
	return s;
}

static void test_srv_answers(void **state)
{
	static const struct {
		struct span name;
		const char *text;
		enum reason why;
		int questions;
	} t[] = {
		{SPAN("_pmcache._tcp.Cluster.test."),
		 "10/7 edge9.cluster.test:8083, 10/0 edge1.cluster.test:8083, 10/0 edge1.cluster.test:8084, "
		 "10/0 edge2.cluster.test:8083, 20/5 parent2.cluster.test:8083",
		 REASON_NONE, 1},
		{SPAN("_none._tcp.cluster.test"), "", REASON_NONE, 1},
		{SPAN("_odd._tcp.cluster.test"), "0/0 good_one.test:2", REASON_NONE, 1},
		{SPAN("four.test"), "", REASON_NONE, 1},
		{SPAN("nobody.test"), "", REASON_DNS_NO_NAME, 1},
		{SPAN("nobody.test"), "", REASON_DNS_NO_NAME, 1}, /* not kept */
		{SPAN("_broken._tcp.cluster.test"), "", REASON_DNS_FAILED, -1},
		{SPAN(""), "", REASON_DNS_NO_NAME, 0},
		{SPAN("a b.test"), "", REASON_DNS_NO_NAME, 0},
		{SPAN("four.test\0.evil.example"), "", REASON_DNS_NO_NAME, 0},
	};
	struct place *p = *state;

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		int before = p->fake.asked_srv;
		struct served s = ask_srv(p, t[i].name);

		if (s.why != t[i].why || strcmp(s.text, t[i].text) != 0)
			fail_msg("%s: %s (%s)", t[i].name.p, s.text, reason_word(s.why));
		if (t[i].questions >= 0)
			assert_int_equal(t[i].questions, p->fake.asked_srv - before);
	}
}

/* More than a datagram holds: asked again by TCP. */
static void test_srv_many(void **state)
{
	struct place *p = *state;
	struct served s = ask_srv(p, SPAN("_many._tcp.cluster.test"));

	assert_int_equal(REASON_NONE, s.why);
	assert_int_equal(1500, s.n);
	assert_non_null(strstr(s.text, "0/0 n0.many.test:1000, 0/0 n1.many.test:1001"));
	assert_int_equal(1, p->fake.asked_tcp);
}

static void test_srv_deadline(void **state)
{
	struct place *p = *state;

	dns_set_deadline(p->dns, 100);
	assert_int_equal(REASON_DNS_TIMEOUT, ask_srv(p, SPAN("_silent._tcp.cluster.test")).why);
}

/* Before the answer, after it came but was not told, and while the whole is freed. */
static void test_srv_cancelled(void **state)
{
	struct place *p = *state;
	struct served s = {.p = p};
	struct dns_srv_lookup *l = dns_srv_start(p->dns, SPAN("_pmcache._tcp.cluster.test"), on_srv, &s);

	dns_srv_cancel(&l);
	assert_null(l);
	dns_srv_cancel(&l);
	l = dns_srv_start(p->dns, SPAN(".."), on_srv, &s);
	dns_srv_cancel(&l);
	ground_run_for(&p->g, 100);
	assert_false(s.done);
	l = dns_srv_start(p->dns, SPAN("_silent._tcp.cluster.test"), on_srv, &s);
	ground_run_for(&p->g, 20);
	dns_srv_cancel(&l);
}

static void test_srv_servers_change(void **state)
{
	struct place *p = *state;
	struct addr nobody = ground_addr("127.0.0.1", 0);
	int deaf = ground_bind(SOCK_DGRAM, &nobody);
	struct served s = {.p = p};
	char at[ADDR_TEXT_BYTES];

	assert_int_equal(0, dns_set_servers_csv(p->dns, addr_format(&nobody, at)));
	dns_srv_start(p->dns, SPAN("_none._tcp.cluster.test"), on_srv, &s);
	ground_run_for(&p->g, 20);
	assert_false(s.done);
	assert_int_equal(0, dns_set_servers_csv(p->dns, addr_format(&p->fake.at, at)));
	ground_run(&p->g);
	assert_true(s.done && !s.why);
	close(deaf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(test_answers),
		T(test_name_too_long),
		T(test_nul_in_name),
		T(test_collapsed),
		T(test_cancelled),
		T(test_half_silent),
		T(test_joins_half),
		T(test_deadline),
		T(test_nobody_listens),
		T(test_ttl),
		T(test_servers_change),
		T(test_bounded),
		T(test_hosts_file),
		T(test_freed_while_asking),
		T(test_srv_answers),
		T(test_srv_many),
		T(test_srv_deadline),
		T(test_srv_cancelled),
		T(test_srv_servers_change),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
