#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>

#include "node/policy/access.h"

static struct sockaddr_storage at(const char *addr, uint16_t port)
{
	struct sockaddr_storage s = {0};
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	if (inet_pton(AF_INET, addr, &in.sin_addr) == 1) {
		memcpy(&s, &in, sizeof(in));
	} else {
		assert_int_equal(inet_pton(AF_INET6, addr, &in6.sin6_addr), 1);
		memcpy(&s, &in6, sizeof(in6));
	}
	return s;
}

static bool denied(const struct policy_access *p, const char *addr, uint16_t port, const struct access_own *own)
{
	struct sockaddr_storage s = at(addr, port);

	return access_dial_denied(p, (struct sockaddr *)&s, own);
}

static bool client(const struct policy_access *p, const char *addr)
{
	struct sockaddr_storage s = at(addr, 1234);

	return access_client_allowed(p, (struct sockaddr *)&s);
}

static void check_cases(const struct policy_access *p, const char *const *addrs, bool expected)
{
	for (; *addrs; addrs++) {
		if (denied(p, *addrs, 443, NULL) != expected)
			fail_msg("%s should %sbe denied", *addrs, expected ? "" : "not ");
	}
}

static void denies_by_default_what_is_not_elsewhere(void **state)
{
	static const char *const bad[] = {"127.0.0.1",
					  "127.255.3.4",
					  "::1",
					  "169.254.169.254",
					  "fe80::1",
					  "febf::1",
					  "0.0.0.0",
					  "0.1.2.3",
					  "::",
					  "224.0.0.1",
					  "239.255.255.255",
					  "255.255.255.255",
					  "ff02::1",
					  "::ffff:127.0.0.1",
					  "::ffff:169.254.169.254",
					  "::ffff:0.0.0.0",
					  "64:ff9b::127.0.0.1",
					  "64:ff9b::169.254.1.1",
					  "64:ff9b::0.0.0.1",
					  NULL};
	static const char *const good[] = {"8.8.8.8",
					   "10.0.0.1",
					   "192.168.1.1",
					   "126.255.255.255",
					   "128.0.0.1",
					   "1.0.0.0",
					   "169.253.0.1",
					   "223.255.255.255",
					   "240.0.0.1",
					   "2001:db8::1",
					   "fec0::1",
					   "::2",
					   "64:ff9b::1.2.3.4",
					   "::ffff:1.2.3.4",
					   "fc00::1",
					   "64:ff9b:0:1::127.0.0.1",
					   NULL};
	struct policy *p = policy_new();

	(void)state;
	check_cases(&p->access, bad, true);
	check_cases(&p->access, good, false);
	policy_unref(&p);
	assert_null(p);
}

static void denies_private_where_asked(void **state)
{
	static const char *const bad[] = {"10.1.2.3",        "172.16.0.1", "172.31.255.255",    "192.168.0.1",
					  "100.100.100.200", "fd00::1",    "64:ff9b::10.0.0.1", NULL};
	static const char *const good[] = {"172.32.0.1", "172.15.0.1", "100.128.0.1", "127.0.0.1", "fe00::1", NULL};
	struct policy_access p = {.deny_private = true};

	(void)state;
	check_cases(&p, bad, true);
	check_cases(&p, good, false);
}

static void denies_ranges_given_as_numbers(void **state)
{
	struct policy_net nets[] = {{{[10] = 0xff, [11] = 0xff, [12] = 192, [13] = 0, [14] = 2}, 96 + 24},
				    {{0x20, 0x01, 0x0d, 0xb8}, 33}};
	static const char *const bad[] = {"192.0.2.77", "::ffff:192.0.2.1", "64:ff9b::192.0.2.1", "2001:db8:7fff::1",
					  NULL};
	static const char *const good[] = {"192.0.3.1", "2001:db8:8000::1", "127.0.0.1", NULL};
	struct policy_access p = {.deny_to = {nets, 2}};
	struct policy_net nat64 = {{0, 0x64, 0xff, 0x9b}, 96};

	(void)state;
	check_cases(&p, bad, true);
	check_cases(&p, good, false);
	p.deny_to = (struct policy_nets){&nat64, 1};
	assert_true(denied(&p, "64:ff9b::8.8.8.8", 1, NULL));
	assert_false(denied(&p, "8.8.8.8", 1, NULL));
}

static void never_dials_itself(void **state)
{
	struct policy_access allow_all = {0};
	struct sockaddr_storage own_addrs[] = {at("127.0.0.1", 8080), at("::1", 8081), at("0.0.0.0", 9000),
					       at("10.0.0.5", 9001)};
	struct access_own own = {own_addrs, 4};

	(void)state;
	assert_true(denied(&allow_all, "127.0.0.1", 8080, &own));
	assert_true(denied(&allow_all, "::ffff:127.0.0.1", 8080, &own));
	assert_true(denied(&allow_all, "64:ff9b::127.0.0.1", 8080, &own));
	assert_true(denied(&allow_all, "0.0.0.0", 8080, &own)); /* the kernel makes it 127.0.0.1 */
	assert_true(denied(&allow_all, "::", 8081, &own));
	assert_true(denied(&allow_all, "::1", 8081, &own));
	assert_true(denied(&allow_all, "127.9.9.9", 9000, &own)); /* a listener on all addresses */
	assert_true(denied(&allow_all, "10.0.0.5", 9001, &own));
	assert_false(denied(&allow_all, "127.0.0.1", 8082, &own));
	assert_false(denied(&allow_all, "127.0.0.2", 8080, &own));
	assert_false(denied(&allow_all, "10.0.0.5", 8080, &own));
	assert_false(denied(&allow_all, "10.0.0.6", 9000, &own));
	assert_false(denied(&allow_all, "127.0.0.1", 8080, NULL));
}

static void other_families_get_nothing(void **state)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct policy *p = policy_new();

	(void)state;
	assert_true(access_dial_denied(&p->access, (struct sockaddr *)&un, NULL));
	assert_false(access_client_allowed(&p->access, (struct sockaddr *)&un));
	policy_unref(&p);
}

static void admits_clients_by_range(void **state)
{
	struct policy *p = policy_new();
	struct policy_net all_v6 = {{0}, 0}, all_v4 = {{[10] = 0xff, [11] = 0xff}, 96};
	struct policy_access some = {.clients = {&all_v6, 1}};

	(void)state;
	assert_true(client(&p->access, "127.0.0.1"));
	assert_true(client(&p->access, "::ffff:127.3.2.1"));
	assert_true(client(&p->access, "::1"));
	assert_false(client(&p->access, "128.0.0.1"));
	assert_false(client(&p->access, "::2"));
	assert_false(client(&p->access, "64:ff9b::127.0.0.1"));
	policy_unref(&p);
	assert_true(client(&some, "2001:db8::1"));
	assert_false(client(&some, "10.0.0.1")); /* ::/0 is every IPv6 address and no other */
	some.clients.v = &all_v4;
	assert_true(client(&some, "10.0.0.1"));
	assert_false(client(&some, "2001:db8::1"));
}

static void purge_is_for_those_named(void **state)
{
	struct policy_net loopback = {{[10] = 0xff, [11] = 0xff, [12] = 127}, 104};
	struct policy_access p = {.purge = {&loopback, 1}};
	struct sockaddr_storage here = at("127.0.0.1", 1), there = at("10.0.0.1", 1);
	struct policy *standard = policy_new();

	(void)state;
	assert_true(access_purge_allowed(&p, (struct sockaddr *)&here));
	assert_false(access_purge_allowed(&p, (struct sockaddr *)&there));
	assert_false(access_purge_allowed(&standard->access, (struct sockaddr *)&here));
	policy_unref(&standard);
}

static void ports_by_method(void **state)
{
	struct policy *p = policy_new();

	(void)state;
	assert_true(access_port_allowed(&p->access, 443, true));
	assert_false(access_port_allowed(&p->access, 8443, true));
	assert_true(access_port_allowed(&p->access, 80, false));
	assert_true(access_port_allowed(&p->access, 1025, false));
	assert_true(access_port_allowed(&p->access, 65535, false));
	assert_false(access_port_allowed(&p->access, 1024, false));
	assert_false(access_port_allowed(&p->access, 25, false));
	assert_false(access_port_allowed(&p->access, 0, false));
	policy_unref(&p);
}

static void hosts_by_pattern(void **state)
{
	char *v[] = {(char *)(uintptr_t) "registry.test", (char *)(uintptr_t) "*.files.test",
		     (char *)(uintptr_t) "2001:db8::1", (char *)(uintptr_t) "10.0.0.1"};
	struct policy_access p = {.hosts = {v, 4}};
	static const struct {
		const char *host;
		bool listed;
	} cases[] = {{"registry.test", true},
		     {"REGISTRY.Test", true},
		     {"registry.test.", true},
		     {"a.registry.test", false},
		     {"xregistry.test", false},
		     {"registry.test..", false},
		     {"files.test", false},
		     {".files.test", false},
		     {"a.files.test", true},
		     {"b.a.Files.test.", true},
		     {"afiles.test", false},
		     {"[2001:db8::1]", true},
		     {"2001:DB8:0:0::1", true},
		     {"2001:db8::2", false},
		     {"10.0.0.1", true},
		     {"10.0.0.10", false},
		     {"", false},
		     {".", false},
		     {"[]", false}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (access_host_allowed(&p, span_str(cases[i].host)) != cases[i].listed)
			fail_msg("%s should %sbe listed", cases[i].host, cases[i].listed ? "" : "not ");
	p.hosts.n = 0;
	assert_true(access_host_allowed(&p, SPAN("any.test")));
	assert_false(access_host_listed(&p.hosts, SPAN("any.test")));
	v[0] = (char *)(uintptr_t) "*";
	p.hosts.n = 1;
	assert_true(access_host_allowed(&p, SPAN("any.test")));
	assert_true(access_host_allowed(&p, SPAN("::1")));
}

static void policy_lives_as_long_as_its_references(void **state)
{
	struct policy *p = policy_new(), *q = policy_ref(p);

	(void)state;
	policy_unref(&p);
	assert_null(p);
	assert_int_equal(q->magic, POLICY_MAGIC);
	policy_unref(&q);
	policy_unref(&q); /* harmless on NULL */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(denies_by_default_what_is_not_elsewhere),
		cmocka_unit_test(denies_private_where_asked),
		cmocka_unit_test(denies_ranges_given_as_numbers),
		cmocka_unit_test(never_dials_itself),
		cmocka_unit_test(other_families_get_nothing),
		cmocka_unit_test(admits_clients_by_range),
		cmocka_unit_test(purge_is_for_those_named),
		cmocka_unit_test(ports_by_method),
		cmocka_unit_test(hosts_by_pattern),
		cmocka_unit_test(policy_lives_as_long_as_its_references),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
