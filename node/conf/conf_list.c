/* Settings that are lists: hosts, ranges, ports, addresses; and the host with its port. */
#include "node/conf/conf_internal.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "node/base/check.h"
#include "node/base/mem.h"

void conf__separate(size_t i, FILE *out)
{
	if (i)
		fputs(", ", out);
}

char *conf__host_pattern(const char *text, bool wildcards)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789.-_";
	struct span s = span_str(text), name;
	char room[INET6_ADDRSTRLEN];
	struct in6_addr in6;
	char *p;

	if (s.n >= 2 && s.p[0] == '[' && s.p[s.n - 1] == ']')
		s = span_of(s.p + 1, s.n - 2);
	else if (s.n > 1 && s.p[s.n - 1] == '.')
		s.n--;
	if (s.n == 0 || s.n > 253)
		return NULL;
	p = span_dup(s);
	for (char *c = p; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c + ('a' - 'A'));
	if (inet_pton(AF_INET6, p, &in6) == 1) {
		free(p);
		return span_dup(span_str(inet_ntop(AF_INET6, &in6, room, sizeof(room))));
	}
	name = span_str(p);
	if (wildcards && span_eq(name, SPAN("*")))
		return p;
	if (wildcards && span_starts(name, SPAN("*.")))
		name = span_from(name, 2);
	if (name.n && name.p[0] != '.' && !strstr(name.p, "..") && strspn(name.p, letters) == name.n)
		return p;
	free(p);
	return NULL;
}

static bool is_address(const char *text)
{
	uint8_t room[16];

	return inet_pton(AF_INET, text, room) == 1 || inet_pton(AF_INET6, text, room) == 1;
}

char *conf__domain_of(const char *text)
{
	char *name = conf__host_pattern(text, false);

	if (name && is_address(name)) {
		free(name);
		return NULL;
	}
	return name;
}

static void fini_hosts(void *field)
{
	policy_hosts_fini(field);
}

static int parse_patterns(const struct conf_row *row, const struct conf_yaml *y, struct policy_hosts *hosts,
			  bool wildcards, struct conf_errors *e)
{
	struct policy_hosts got = {0};
	const struct conf_yaml *el;
	int rc = conf__elements(row, y, &el, e);

	for (; el; el = conf__after(y, el)) {
		const char *text = conf__scalar(row, el, e);
		char *pattern = NULL;

		if (text)
			pattern = wildcards ? conf__host_pattern(text, true) : conf__domain_of(text);
		if (text && !pattern)
			conf__say(e, el->line, row->key, "\"" CONF_SHOWN "\" is not %s", text,
				  wildcards ? "a host name, \"*.name\" or an address" : "a host name");
		if (!pattern) {
			rc = -1;
			continue;
		}
		got.v = mem_realloc(got.v, (got.n + 1) * sizeof(*got.v));
		got.v[got.n++] = pattern;
	}
	policy_hosts_fini(rc < 0 ? &got : hosts);
	if (rc == 0)
		*hosts = got;
	return rc;
}

static int parse_hosts(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	return parse_patterns(row, y, field, true, e);
}

static int parse_domains(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	return parse_patterns(row, y, field, false, e);
}

static void format_hosts(const struct conf_row *row, const void *field, FILE *out)
{
	const struct policy_hosts *l = field;

	(void)row;
	putc('[', out);
	for (size_t i = 0; i < l->n; i++) {
		conf__separate(i, out);
		conf__format_text(l->v[i], out);
	}
	putc(']', out);
}

static bool has_host_bits(const struct policy_net *net)
{
	for (unsigned bit = net->bits; bit < 128; bit++)
		if (net->addr[bit / 8] & (0x80 >> bit % 8))
			return true;
	return false;
}

/* "10.0.0.0/8", "::1". NULL, or what is wrong with it. */
static const char *net_of(const char *text, struct policy_net *net)
{
	struct span rest = span_str(text), part;
	char addr[INET6_ADDRSTRLEN];
	uint64_t bits;
	unsigned most = 128;

	*net = (struct policy_net){{[10] = 0xff, [11] = 0xff}, 128};
	if (!span_cut(&rest, '/', &part) || part.n >= sizeof(addr))
		return "is not an address or a range such as 10.0.0.0/8";
	memcpy(addr, part.p, part.n);
	addr[part.n] = '\0';
	if (inet_pton(AF_INET, addr, net->addr + 12) == 1)
		most = 32;
	else if (inet_pton(AF_INET6, addr, net->addr) != 1)
		return "is not an address or a range such as 10.0.0.0/8";
	if (!rest.p)
		return NULL;
	if (span_to_u64(rest, &bits) < 0 || bits > most)
		return most == 32 ? "has no length from /0 to /32" : "has no length from /0 to /128";
	net->bits = (unsigned)bits + 128 - most;
	return has_host_bits(net) ? "has bits set behind its length" : NULL;
}

static void print_net(const struct policy_net *net, FILE *out)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	bool is_v4 = net->bits >= 96 && memcmp(net->addr, mapped, 12) == 0;
	unsigned bits = is_v4 ? net->bits - 96 : net->bits, most = is_v4 ? 32 : 128;
	char addr[INET6_ADDRSTRLEN];

	CHECK_THAT(inet_ntop(is_v4 ? AF_INET : AF_INET6, net->addr + (is_v4 ? 12 : 0), addr, sizeof(addr)));
	if (bits == most)
		fprintf(out, "\"%s\"", addr);
	else
		fprintf(out, "\"%s/%u\"", addr, bits);
}

static void add_net(struct policy_nets *l, const struct policy_net *net)
{
	l->v = mem_realloc(l->v, (l->n + 1) * sizeof(*l->v));
	l->v[l->n++] = *net;
}

/* One address range of a list, after having said what is wrong with it. */
static int parse_net(const struct conf_row *row, const struct conf_yaml *el, struct policy_nets *l, const char *hint,
		     struct conf_errors *e)
{
	const char *text = conf__scalar(row, el, e), *wrong;
	struct policy_net net;

	if (!text)
		return -1;
	wrong = net_of(text, &net);
	if (wrong) {
		conf__say(e, el->line, row->key, "\"" CONF_SHOWN "\" %s%s", text, wrong, hint);
		return -1;
	}
	add_net(l, &net);
	return 0;
}

static int parse_nets(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	struct policy_nets got = {0}, *nets = field;
	const struct conf_yaml *el;
	int rc = conf__elements(row, y, &el, e);

	for (; el; el = conf__after(y, el))
		if (parse_net(row, el, &got, "", e) < 0)
			rc = -1;
	policy_nets_fini(rc < 0 ? &got : nets);
	if (rc == 0)
		*nets = got;
	return rc;
}

static void format_nets(const struct conf_row *row, const void *field, FILE *out)
{
	const struct policy_nets *l = field;

	(void)row;
	putc('[', out);
	for (size_t i = 0; i < l->n; i++) {
		conf__separate(i, out);
		print_net(&l->v[i], out);
	}
	putc(']', out);
}

static int ports_of(const char *text, uint64_t *from, uint64_t *to)
{
	struct span rest = span_str(text), part;

	if (!span_cut(&rest, '-', &part) || span_to_u64(span_trim(part), from) < 0)
		return -1;
	*to = *from;
	if (rest.p && span_to_u64(span_trim(rest), to) < 0)
		return -1;
	return *from >= 1 && *to <= 65535 && *from <= *to ? 0 : -1;
}

static int parse_ports(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	struct policy_ports got = {0}, *ports = field;
	const struct conf_yaml *el;
	int rc = conf__elements(row, y, &el, e);

	for (; el; el = conf__after(y, el)) {
		const char *text = conf__scalar(row, el, e);
		uint64_t from, to;

		if (!text || ports_of(text, &from, &to) < 0) {
			if (text)
				conf__say(e, el->line, row->key,
					  "\"" CONF_SHOWN
					  "\" is not a port from 1 to 65535 or a range such as 1025-65535",
					  text);
			rc = -1;
			continue;
		}
		got.v = mem_realloc(got.v, (got.n + 1) * sizeof(*got.v));
		got.v[got.n].from = (uint16_t)from;
		got.v[got.n++].to = (uint16_t)to;
	}
	policy_ports_fini(rc < 0 ? &got : ports);
	if (rc == 0)
		*ports = got;
	return rc;
}

static void format_ports(const struct conf_row *row, const void *field, FILE *out)
{
	const struct policy_ports *l = field;

	(void)row;
	putc('[', out);
	for (size_t i = 0; i < l->n; i++) {
		conf__separate(i, out);
		if (l->v[i].from == l->v[i].to)
			fprintf(out, "%u", l->v[i].from);
		else
			fprintf(out, "\"%u-%u\"", l->v[i].from, l->v[i].to);
	}
	putc(']', out);
}

/* ---- access.deny_to: words and ranges, into several fields of struct policy_access ---- */

static const struct {
	const char *word;
	size_t offset;
} deny_words[] = {
	{"loopback", offsetof(struct policy_access, deny_loopback)},
	{"link_local", offsetof(struct policy_access, deny_link_local)},
	{"unspecified", offsetof(struct policy_access, deny_unspecified)},
	{"multicast", offsetof(struct policy_access, deny_multicast)},
	{"private", offsetof(struct policy_access, deny_private)},
};

#define N_DENY_WORDS (sizeof(deny_words) / sizeof(deny_words[0]))

static bool *deny_flag(const struct policy_access *a, size_t i)
{
	return (bool *)((char *)a + deny_words[i].offset);
}

static bool set_deny_word(struct policy_access *a, const char *text)
{
	for (size_t i = 0; i < N_DENY_WORDS; i++) {
		if (span_eq_icase(span_str(text), span_str(deny_words[i].word))) {
			*deny_flag(a, i) = true;
			return true;
		}
	}
	return false;
}

static int parse_deny(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	struct policy_access *a = field, got = {0};
	const struct conf_yaml *el;
	int rc = conf__elements(row, y, &el, e);

	for (; el; el = conf__after(y, el)) {
		if (el->kind == CONF_YAML_SCALAR && set_deny_word(&got, el->text))
			continue;
		if (parse_net(row, el, &got.deny_to, ", nor loopback, link_local, unspecified, multicast or private",
			      e) < 0)
			rc = -1;
	}
	policy_nets_fini(rc < 0 ? &got.deny_to : &a->deny_to);
	if (rc < 0)
		return -1;
	a->deny_to = got.deny_to;
	for (size_t i = 0; i < N_DENY_WORDS; i++)
		*deny_flag(a, i) = *deny_flag(&got, i);
	return 0;
}

static void format_deny(const struct conf_row *row, const void *field, FILE *out)
{
	const struct policy_access *a = field;
	size_t n = 0;

	(void)row;
	putc('[', out);
	for (size_t i = 0; i < N_DENY_WORDS; i++) {
		if (!*deny_flag(a, i))
			continue;
		conf__separate(n++, out);
		fputs(deny_words[i].word, out);
	}
	for (size_t i = 0; i < a->deny_to.n; i++) {
		conf__separate(n++, out);
		print_net(&a->deny_to.v[i], out);
	}
	putc(']', out);
}

/* ---- addresses to listen on ---- */

int conf__port_of(struct span text, uint16_t *port)
{
	uint64_t v;

	if (span_to_u64(text, &v) < 0 || v > 65535)
		return -1;
	*port = (uint16_t)v;
	return 0;
}

/* "127.0.0.1:8080", "[::1]:8080". */
static int address_of(const char *text, struct conf_address *a)
{
	const char *colon = strrchr(text, ':');
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	char host[INET6_ADDRSTRLEN];
	struct span s;
	uint16_t port;

	if (!colon || conf__port_of(span_str(colon + 1), &port) < 0)
		return -1;
	s = span_of(text, (size_t)(colon - text));
	*a = (struct conf_address){0};
	if (s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']' && s.n - 2 < sizeof(host)) {
		memcpy(host, s.p + 1, s.n - 2);
		host[s.n - 2] = '\0';
		if (inet_pton(AF_INET6, host, &in6.sin6_addr) != 1)
			return -1;
		in6.sin6_port = htons(port);
		memcpy(&a->addr, &in6, sizeof(in6));
		a->addr_len = sizeof(in6);
		return 0;
	}
	if (s.n >= sizeof(host))
		return -1;
	memcpy(host, s.p, s.n);
	host[s.n] = '\0';
	if (inet_pton(AF_INET, host, &in.sin_addr) != 1)
		return -1;
	in.sin_port = htons(port);
	memcpy(&a->addr, &in, sizeof(in));
	a->addr_len = sizeof(in);
	return 0;
}

static void fini_addresses(void *field)
{
	struct conf_addresses *l = field;

	for (size_t i = 0; i < l->n; i++)
		free(l->v[i].text);
	free(l->v);
	*l = (struct conf_addresses){0};
}

static int parse_addresses(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	struct conf_addresses got = {0}, *l = field;
	const struct conf_yaml *el;
	int rc = conf__elements(row, y, &el, e);

	for (; el; el = conf__after(y, el)) {
		const char *text = conf__scalar(row, el, e);
		struct conf_address a;

		if (!text || address_of(text, &a) < 0) {
			if (text)
				conf__say(e, el->line, row->key,
					  "\"" CONF_SHOWN
					  "\" is not ADDRESS:PORT in numbers, such as 127.0.0.1:8080 or [::1]:8080",
					  text);
			rc = -1;
			continue;
		}
		a.text = span_dup(span_str(text));
		got.v = mem_realloc(got.v, (got.n + 1) * sizeof(*got.v));
		got.v[got.n++] = a;
	}
	fini_addresses(rc < 0 ? &got : l);
	if (rc == 0)
		*l = got;
	return rc;
}

static void format_addresses(const struct conf_row *row, const void *field, FILE *out)
{
	const struct conf_addresses *l = field;

	(void)row;
	putc('[', out);
	for (size_t i = 0; i < l->n; i++) {
		conf__separate(i, out);
		conf__format_text(l->v[i].text, out);
	}
	putc(']', out);
}

/* ---- hosts with their port ---- */

int conf__host_port(struct span s, char **host, uint16_t *port)
{
	size_t colon = s.n;
	char *name;

	while (colon && s.p[colon - 1] != ':')
		colon--;
	if (!colon || conf__port_of(span_from(s, colon), port) < 0 || *port == 0)
		return -1;
	s.n = colon - 1;
	if (s.n == 0 || (span_find(s, ':') < s.n && s.p[0] != '['))
		return -1; /* an IPv6 address needs its brackets, else its end is a guess */
	name = span_dup(s);
	*host = conf__host_pattern(name, false);
	free(name);
	return *host ? 0 : -1;
}

void conf__print_host_port(const char *host, uint16_t port, FILE *out)
{
	bool is_v6 = strchr(host, ':');

	fprintf(out, "%s%s%s:%u", is_v6 ? "[" : "", host, is_v6 ? "]" : "", port);
}

/* ---- upstream.proxy, into two fields of struct policy_upstream ---- */

static int proxy_of(const char *text, char **host, uint16_t *port)
{
	struct span s = span_str(text);

	if (!span_starts_icase(s, SPAN("http://")))
		return -1;
	s = span_from(s, 7);
	if (s.n && s.p[s.n - 1] == '/')
		s.n--;
	return conf__host_port(s, host, port);
}

static int parse_proxy(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	const char *text = conf__clean_text(row, y, true, e);
	struct policy_upstream *u = field;
	char *host = NULL;
	uint16_t port = 0;

	if (!text)
		return -1;
	if (strchr(text, '@')) { /* not shown: it may be a password */
		conf__say(
			e, y->line, row->key,
			"credentials do not belong here; write them into a file and name it in upstream.proxy_credentials");
		return -1;
	}
	if (*text && proxy_of(text, &host, &port) < 0) {
		conf__say(e, y->line, row->key, "\"" CONF_SHOWN "\" is not http://HOST:PORT", text);
		return -1;
	}
	free(u->proxy_host);
	u->proxy_host = host;
	u->proxy_port = port;
	return 0;
}

static void format_proxy(const struct conf_row *row, const void *field, FILE *out)
{
	const struct policy_upstream *u = field;

	(void)row;
	putc('"', out);
	if (u->proxy_host) {
		fputs("http://", out);
		conf__print_host_port(u->proxy_host, u->proxy_port, out);
	}
	putc('"', out);
}

/* ---- the types ---- */

const struct conf_type conf__hosts = {
	.name = "hosts",
	.explain = "a list of host names and addresses; `*.name` is every name below, `*` every host",
	.parse = parse_hosts,
	.format = format_hosts,
	.fini = fini_hosts,
};
const struct conf_type conf__domains = {
	.name = "domains",
	.explain = "a list of host names, without `*`",
	.parse = parse_domains,
	.format = format_hosts,
	.fini = fini_hosts,
};
const struct conf_type conf__nets = {
	.name = "ranges",
	.explain = "a list of addresses and ranges such as `\"10.0.0.0/8\"`, `\"::1\"`",
	.parse = parse_nets,
	.format = format_nets,
};
const struct conf_type conf__ports = {
	.name = "ports",
	.explain = "a list of ports and ranges: `[443, \"1025-65535\"]`",
	.parse = parse_ports,
	.format = format_ports,
};
const struct conf_type conf__deny = {
	.name = "words and ranges",
	.explain = "a list of `loopback`, `link_local`, `unspecified`, `multicast`, `private`, addresses and ranges",
	.parse = parse_deny,
	.format = format_deny,
};
const struct conf_type conf__addresses = {
	.name = "addresses",
	.explain = "a list of `\"127.0.0.1:8080\"`, `\"[::1]:8080\"`; port 0 is any free one",
	.parse = parse_addresses,
	.format = format_addresses,
	.fini = fini_addresses,
};
const struct conf_type conf__proxy = {
	.name = "URL",
	.explain = "`http://HOST:PORT`",
	.parse = parse_proxy,
	.format = format_proxy,
};
