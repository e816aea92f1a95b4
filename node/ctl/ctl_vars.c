#include "node/ctl/ctl_vars.h"

#include <string.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/base/span.h"
#include "node/ctl/ctl.h"
#include "node/tls/ca.h"

/* All that follows it in JAVA_TOOL_OPTIONS is ours, so that a second `env` replaces and does not append. */
#define JAVA_MARK "-Dpmcache.env=1"

enum source { PROXY, NO_PROXY, BUNDLE, CA };

static const struct {
	const char *name;
	enum source source;
	bool override; /* only with --override */
} table[] = {
	{"http_proxy", PROXY, false},
	{"HTTP_PROXY", PROXY, false},
	{"https_proxy", PROXY, false},
	{"HTTPS_PROXY", PROXY, false},
	{"no_proxy", NO_PROXY, false},
	{"NO_PROXY", NO_PROXY, false},
	{"SSL_CERT_FILE", BUNDLE, false},
	{"CURL_CA_BUNDLE", BUNDLE, false},
	{"REQUESTS_CA_BUNDLE", BUNDLE, false},
	{"PIP_CERT", BUNDLE, false},
	{"GIT_SSL_CAINFO", BUNDLE, false},
	{"CARGO_HTTP_CAINFO", BUNDLE, false},
	{"BUNDLE_SSL_CA_CERT", BUNDLE, false},
	{"COMPOSER_CAFILE", BUNDLE, false},
	{"NODE_EXTRA_CA_CERTS", CA, false},
	{"npm_config_cafile", BUNDLE, false}, /* a cafile in any npmrc would switch NODE_EXTRA_CA_CERTS off */
	{"YARN_HTTP_PROXY", PROXY, false},
	{"YARN_HTTPS_PROXY", PROXY, false},
	{"AWS_CA_BUNDLE", BUNDLE, false},
	{"NIX_SSL_CERT_FILE", BUNDLE, false},
	{"PERL_LWP_SSL_CA_FILE", BUNDLE, false},
	{"PIP_PROXY", PROXY, true},
	{"CARGO_HTTP_PROXY", PROXY, true},
};

#define N_TABLE (sizeof(table) / sizeof(table[0]))
_Static_assert(N_TABLE < CTL_VARS_MAX, "room for JAVA_TOOL_OPTIONS, too");

static const char *value_of(const struct ctl_settings *s, enum source source)
{
	switch (source) {
	case PROXY:
		return s->proxy_url;
	case NO_PROXY:
		return s->no_proxy;
	case BUNDLE:
		return s->bundle;
	case CA:
		break;
	}
	return s->ca;
}

/* What somebody else wrote into JAVA_TOOL_OPTIONS: the part before our mark, without the space between. */
static struct span java_theirs(const char *before)
{
	const char *mark = before ? strstr(before, JAVA_MARK) : NULL;
	struct span s = span_str(before);

	return span_trim(mark ? span_of(before, (size_t)(mark - before)) : s);
}

/* The JVM splits at white space and takes either kind of quotes, without escapes, also in the middle of a word. */
static char *java_quoted(const char *path)
{
	size_t cap = 5 * strlen(path) + 2;
	struct buf b = buf_over(mem_alloc(cap + 1), cap);

	buf_putc(&b, '\'');
	for (; *path; path++) {
		if (*path == '\'')
			buf_put(&b, SPAN("'\"'\"'"));
		else
			buf_putc(&b, *path);
	}
	buf_putc(&b, '\'');
	b.p[b.n] = '\0';
	return b.p;
}

static char *java_options(const struct ctl_settings *s)
{
	struct span theirs = java_theirs(s->java_before);
	char *store = java_quoted(s->store), *text;

	text = ctl_text("%.*s%s" JAVA_MARK " -Dhttp.proxyHost=%s -Dhttp.proxyPort=%s -Dhttps.proxyHost=%s "
			"-Dhttps.proxyPort=%s -Dhttp.nonProxyHosts='%s' "
			"-Djavax.net.ssl.trustStore=%s -Djavax.net.ssl.trustStorePassword=" CA_P12_PASSWORD
			" -Djavax.net.ssl.trustStoreType=PKCS12",
			SPAN_ARG(theirs), theirs.n ? " " : "", s->proxy_host, s->proxy_port, s->proxy_host,
			s->proxy_port, s->java_hosts, store);
	free(store);
	return text;
}

size_t ctl_vars_make(const struct ctl_settings *s, struct ctl_var out[CTL_VARS_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < N_TABLE; i++)
		if (s->override || !table[i].override)
			out[n++] = (struct ctl_var){table[i].name, value_of(s, table[i].source)};
	if (s->java)
		out[n++] = (struct ctl_var){"JAVA_TOOL_OPTIONS", java_options(s)};
	CHECK_THAT(n <= CTL_VARS_MAX);
	return n;
}

size_t ctl_vars_unmake(const char *java_before, struct ctl_var out[CTL_VARS_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < N_TABLE; i++)
		out[n++] = (struct ctl_var){table[i].name, NULL};
	if (java_before && strstr(java_before, JAVA_MARK)) {
		struct span theirs = java_theirs(java_before);

		out[n++] = (struct ctl_var){"JAVA_TOOL_OPTIONS", theirs.n ? span_dup(theirs) : NULL};
	}
	return n;
}

const char *ctl_vars_ca_name(size_t i)
{
	for (size_t at = 0; at < N_TABLE; at++)
		if ((table[at].source == BUNDLE || table[at].source == CA) && i-- == 0)
			return table[at].name;
	return NULL;
}
