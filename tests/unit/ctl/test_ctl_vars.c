#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "node/ctl/ctl_vars.h"

static struct ctl_settings settings(void)
{
	return (struct ctl_settings){
		.proxy_host = "127.0.0.1",
		.proxy_port = "8081",
		.proxy_url = "http://127.0.0.1:8081",
		.no_proxy = "localhost",
		.java_hosts = "localhost|127.*",
		.ca = "/s/ca.crt",
		.bundle = "/s/bundle.pem",
		.store = "/s/it's.p12",
	};
}

/* The value, or NULL when the name is not there. */
static const struct ctl_var *find(const struct ctl_var *v, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(v[i].name, name) == 0)
			return &v[i];
	return NULL;
}

static void the_usual(void **state)
{
	static const char *const rows[][2] = {
		{"http_proxy", "http://127.0.0.1:8081"},
		{"HTTPS_PROXY", "http://127.0.0.1:8081"},
		{"no_proxy", "localhost"},
		{"SSL_CERT_FILE", "/s/bundle.pem"},
		{"REQUESTS_CA_BUNDLE", "/s/bundle.pem"},
		{"NODE_EXTRA_CA_CERTS", "/s/ca.crt"},
		{"npm_config_cafile", "/s/bundle.pem"},
		{"YARN_HTTPS_PROXY", "http://127.0.0.1:8081"},
	};
	struct ctl_settings s = settings();
	struct ctl_var v[CTL_VARS_MAX];
	size_t n = ctl_vars_make(&s, v);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct ctl_var *found = find(v, n, rows[i][0]);

		assert_non_null(found);
		assert_string_equal(found->value, rows[i][1]);
	}
	/* each ends a version of yarn that does not know it */
	assert_null(find(v, n, "YARN_CAFILE"));
	assert_null(find(v, n, "YARN_HTTPS_CA_FILE_PATH"));
	/* not unasked: changes ftp and socks; prints a line per JVM; breaks no_proxy in pip */
	assert_null(find(v, n, "all_proxy"));
	assert_null(find(v, n, "JAVA_TOOL_OPTIONS"));
	assert_null(find(v, n, "PIP_PROXY"));
	s.override = true;
	n = ctl_vars_make(&s, v);
	assert_non_null(find(v, n, "PIP_PROXY"));
	assert_non_null(find(v, n, "CARGO_HTTP_PROXY"));
}

#define OURS                                                                                                            \
	"-Dpmcache.env=1 -Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=8081 -Dhttps.proxyHost=127.0.0.1 "                 \
	"-Dhttps.proxyPort=8081 -Dhttp.nonProxyHosts='localhost|127.*' -Djavax.net.ssl.trustStore='/s/it'\"'\"'s.p12' " \
	"-Djavax.net.ssl.trustStorePassword=changeit -Djavax.net.ssl.trustStoreType=PKCS12"

static void java(void **state)
{
	static const char *const rows[][2] = {
		{NULL, OURS},
		{"", OURS},
		{"-Xmx1g", "-Xmx1g " OURS},
		{OURS, OURS}, /* a second time replaces */
		{"-Xmx1g  -Dpmcache.env=1 -Dold", "-Xmx1g " OURS},
	};
	struct ctl_settings s = settings();
	struct ctl_var v[CTL_VARS_MAX];

	(void)state;
	s.java = true;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct ctl_var *found;
		size_t n;

		s.java_before = rows[i][0];
		n = ctl_vars_make(&s, v);
		found = find(v, n, "JAVA_TOOL_OPTIONS");
		assert_non_null(found);
		assert_string_equal(found->value, rows[i][1]);
		free((char *)found->value);
	}
}

static void all_that_is_set_is_unset(void **state)
{
	struct ctl_settings s = settings();
	struct ctl_var made[CTL_VARS_MAX], unmade[CTL_VARS_MAX];
	size_t n_made, n_unmade = ctl_vars_unmake(OURS, unmade);

	(void)state;
	s.java = s.override = true;
	n_made = ctl_vars_make(&s, made);
	assert_int_equal(n_made, n_unmade);
	for (size_t i = 0; i < n_made; i++) {
		const struct ctl_var *found = find(unmade, n_unmade, made[i].name);

		assert_non_null(found);
		assert_null(found->value);
	}
	free((char *)find(made, n_made, "JAVA_TOOL_OPTIONS")->value);
}

static void another_ones_java_options_stay(void **state)
{
	struct ctl_var v[CTL_VARS_MAX];
	size_t n = ctl_vars_unmake("-Xmx1g " OURS, v);

	(void)state;
	assert_string_equal(find(v, n, "JAVA_TOOL_OPTIONS")->value, "-Xmx1g");
	free((char *)find(v, n, "JAVA_TOOL_OPTIONS")->value);
	n = ctl_vars_unmake("-Xmx1g", v);
	assert_null(find(v, n, "JAVA_TOOL_OPTIONS"));
	n = ctl_vars_unmake(NULL, v);
	assert_null(find(v, n, "JAVA_TOOL_OPTIONS"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_usual),
		cmocka_unit_test(java),
		cmocka_unit_test(all_that_is_set_is_unset),
		cmocka_unit_test(another_ones_java_options_stay),
	};

	return cmocka_run_group_tests_name("ctl_vars", tests, NULL, NULL);
}
