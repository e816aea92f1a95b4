#include "node/ctl/ctl_setup.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/base/span.h"
#include "node/conf/conf.h"
#include "node/ctl/ctl_trust.h"
#include "node/tls/ca.h"
#include "proto/url.h"

#define LOCAL "localhost,127.0.0.1,::1"
#define JAVA_LOCAL "localhost|127.*|[::1]"

int ctl_setup_option(struct ctl *c, struct ctl_setup *s, struct ctl_args *a)
{
	int taken;

	if (ctl_flag(a, "--java"))
		return s->java = true;
	if (ctl_flag(a, "--override"))
		return s->override = true;
	if ((taken = ctl_option(a, "--host", &s->host)) != 0)
		return taken;
	if ((taken = ctl_option(a, "--no-proxy", &s->no_proxy)) != 0)
		return taken;
	return ctl_common_option(c, a);
}

static bool is_bare_ipv6(const char *text)
{
	struct in6_addr addr;

	return inet_pton(AF_INET6, text, &addr) == 1;
}

int ctl_setup_split(const char *text, const char *fallback, char **host, char **port)
{
	char *whole = is_bare_ipv6(text) ? ctl_text("[%s]", text) : ctl_text("%s", text);
	uint64_t fallback_port = 0;
	struct url u;
	enum reason why;
	int failed;

	span_to_u64(span_str(fallback), &fallback_port);
	failed = url_parse_authority(span_str(whole), (uint16_t)fallback_port, &u, &why);
	if (failed) {
		free(whole);
		return -1;
	}
	*host = ctl_text(u.is_ipv6 ? "[%.*s]" : "%.*s", SPAN_ARG(u.host));
	*port = ctl_text("%u", u.port);
	free(whole);
	return 0;
}

/* Where a client on this machine reaches a listener. */
static void reach(const struct conf_address *a, char **host, char **port)
{
	char text[INET6_ADDRSTRLEN] = "";

	if (a->addr.ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)&a->addr;
		bool any = IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr);

		inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text));
		*host = any ? ctl_text("[::1]") : ctl_text("[%s]", text);
		*port = ctl_text("%u", ntohs(in6->sin6_port));
	} else {
		const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)&a->addr;

		inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
		*host = ctl_text("%s", in->sin_addr.s_addr == htonl(INADDR_ANY) ? "127.0.0.1" : text);
		*port = ctl_text("%u", ntohs(in->sin_port));
	}
}

/* The first listener that bumps, IPv4 before IPv6: a few clients cannot take an address in brackets. */
static const struct conf_address *choose(const struct conf_addresses *bump)
{
	for (size_t i = 0; i < bump->n; i++)
		if (bump->v[i].addr.ss_family == AF_INET)
			return &bump->v[i];
	return bump->n ? &bump->v[0] : NULL;
}

int ctl_setup_proxy(const struct ctl *c, const char *given, struct ctl_settings *out)
{
	const struct conf_address *a = choose(&c->conf->listen.bump);
	char *host, *port;

	if (!a) {
		ctl_say("the configuration has no listen.bump, so there is nothing to point clients at");
		return CTL_FAILED;
	}
	reach(a, &host, &port);
	if (given && ctl_setup_split(given, port, &host, &port) != 0) {
		ctl_say("--host \"%s\" is neither NAME nor NAME:PORT", given);
		return CTL_USAGE;
	}
	if (strcmp(port, "0") == 0) {
		ctl_say("listen.bump has port 0, so the port is not known here; give --host NAME:PORT");
		return CTL_FAILED;
	}
	out->proxy_host = host;
	out->proxy_port = port;
	out->proxy_url = ctl_text("http://%s:%s", host, port);
	return CTL_OK;
}

/* Names and addresses with commas between. No ports and no networks: half of the tools do not understand them. */
static bool is_host_list(const char *text)
{
	return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:,") == strlen(text);
}

/* ".a.test,b.test" as "|a.test|*.a.test|b.test|*.b.test": elsewhere a name stands for those below it, too. */
static const char *java_hosts(const char *list)
{
	struct span rest = span_str(list), part;
	size_t cap = 6 * rest.n + sizeof(JAVA_LOCAL) + 8;
	struct buf b = buf_over(mem_alloc(cap + 1), cap);

	buf_put(&b, SPAN(JAVA_LOCAL));
	while (span_cut(&rest, ',', &part)) {
		if (span_starts(part, SPAN(".")))
			part = span_from(part, 1);
		if (!part.n)
			continue;
		buf_putc(&b, '|');
		buf_put(&b, part);
		buf_put(&b, SPAN("|*."));
		buf_put(&b, part);
	}
	CHECK_THAT(!b.full);
	b.p[b.n] = '\0';
	return b.p;
}

int ctl_setup_settings(struct ctl *c, const struct ctl_setup *s, struct ctl_settings *out)
{
	char why[CA_WHY_BYTES];
	struct ctl_trust trust;
	int code = ctl_load(c);

	if (code != CTL_OK)
		return code;
	*out = (struct ctl_settings){
		.java = s->java, .override = s->override, .java_before = getenv("JAVA_TOOL_OPTIONS")};
	code = ctl_setup_proxy(c, s->host, out);
	if (code != CTL_OK)
		return code;
	if (s->no_proxy && !is_host_list(s->no_proxy)) {
		ctl_say("--no-proxy takes names and addresses with commas between, no ports and no networks");
		return CTL_USAGE;
	}
	out->no_proxy = s->no_proxy && *s->no_proxy ? ctl_text(LOCAL ",%s", s->no_proxy) : LOCAL;
	out->java_hosts = java_hosts(s->no_proxy);
	if (ctl_trust_make(c->ca_cert, c->state, &trust, why, sizeof(why)) != 0) {
		ctl_say("%s", why);
		return CTL_FAILED;
	}
	out->ca = trust.ca;
	out->bundle = trust.bundle;
	out->store = trust.store;
	return CTL_OK;
}
