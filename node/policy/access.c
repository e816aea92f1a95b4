#include "node/policy/access.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#define V4(a, b, c, d)                                                                                                 \
	{                                                                                                              \
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, (a), (b), (c), (d)                                           \
	}
#define V4_BITS(n) (96 + (n))
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};
static const uint8_t nat64_prefix[12] = {[1] = 0x64, [2] = 0xff, [3] = 0x9b};

static const struct policy_net loopback[] = {{V4(127, 0, 0, 0), V4_BITS(8)}, {{[15] = 1}, 128}};
static const struct policy_net link_local[] = {{V4(169, 254, 0, 0), V4_BITS(16)}, {{0xfe, 0x80}, 10}};
/* Linux routes all of 0.0.0.0/8 nowhere but 0.0.0.0 itself to this machine (RFC 6890: "this network"). */
static const struct policy_net unspecified[] = {{V4(0, 0, 0, 0), V4_BITS(8)}, {{0}, 128}};
/* The limited broadcast address goes with multicast: neither is one machine. */
static const struct policy_net multicast[] = {
	{V4(224, 0, 0, 0), V4_BITS(4)}, {V4(255, 255, 255, 255), 128}, {{0xff}, 8}};
/* RFC 1918, RFC 6598 (shared space of carriers; some clouds put their metadata service there), RFC 4193. */
static const struct policy_net private[] = {{V4(10, 0, 0, 0), V4_BITS(8)},
					    {V4(172, 16, 0, 0), V4_BITS(12)},
					    {V4(192, 168, 0, 0), V4_BITS(16)},
					    {V4(100, 64, 0, 0), V4_BITS(10)},
					    {{0xfc}, 7}};

struct address {
	uint8_t bytes[16]; /* IPv4 as IPv4-mapped */
	uint16_t port;
};

/* -1 for a family that is neither. The pointer may be unaligned for its type, so it is copied. */
static int address_of(const struct sockaddr *sa, struct address *out)
{
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, sa, sizeof(in));
		memcpy(out->bytes, mapped_prefix, 12);
		memcpy(out->bytes + 12, &in.sin_addr, 4);
		out->port = ntohs(in.sin_port);
		return 0;
	}
	if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, sa, sizeof(in6));
		memcpy(out->bytes, &in6.sin6_addr, 16);
		out->port = ntohs(in6.sin6_port);
		return 0;
	}
	return -1;
}

static bool is_mapped(const uint8_t a[16])
{
	return memcmp(a, mapped_prefix, 12) == 0;
}

static bool net_has(const struct policy_net *net, const uint8_t a[16])
{
	unsigned whole = net->bits / 8, rest = net->bits % 8;

	/* "::/0" means every IPv6 address, although IPv4 is kept within that range. */
	if (is_mapped(a) && !(net->bits >= 96 && is_mapped(net->addr)))
		return false;
	if (memcmp(net->addr, a, whole) != 0)
		return false;
	return rest == 0 || ((net->addr[whole] ^ a[whole]) & (0xff00 >> rest) & 0xff) == 0;
}

static bool any_has(const struct policy_net *v, size_t n, const uint8_t a[16])
{
	for (size_t i = 0; i < n; i++)
		if (net_has(&v[i], a))
			return true;
	return false;
}

static bool nets_allow(const struct policy_nets *nets, const struct sockaddr *sa)
{
	struct address a;

	return address_of(sa, &a) == 0 && any_has(nets->v, nets->n, a.bytes);
}

bool access_client_allowed(const struct policy_access *p, const struct sockaddr *client)
{
	return nets_allow(&p->clients, client);
}

bool access_purge_allowed(const struct policy_access *p, const struct sockaddr *client)
{
	return nets_allow(&p->purge, client);
}

bool access_port_allowed(const struct policy_access *p, uint16_t port, bool is_connect)
{
	const struct policy_ports *list = is_connect ? &p->connect_ports : &p->safe_ports;

	for (size_t i = 0; i < list->n; i++)
		if (port >= list->v[i].from && port <= list->v[i].to)
			return true;
	return false;
}

static bool is_own(const struct access_own *own, const struct address *to)
{
	bool to_here = any_has(unspecified, COUNT(unspecified), to->bytes);
	bool to_loopback = to_here || any_has(loopback, COUNT(loopback), to->bytes);

	for (size_t i = 0; own && i < own->n; i++) {
		struct address a;
		bool on_all;

		if (address_of((const struct sockaddr *)&own->v[i], &a) < 0 || a.port != to->port)
			continue;
		if (memcmp(a.bytes, to->bytes, 16) == 0)
			return true;
		on_all = any_has(unspecified, COUNT(unspecified), a.bytes);
		if ((on_all && to_loopback) || (to_here && any_has(loopback, COUNT(loopback), a.bytes)))
			return true;
	}
	return false;
}

static bool deny_word_has(const struct policy_access *p, const uint8_t a[16])
{
	return (p->deny_loopback && any_has(loopback, COUNT(loopback), a)) ||
	       (p->deny_link_local && any_has(link_local, COUNT(link_local), a)) ||
	       (p->deny_unspecified && any_has(unspecified, COUNT(unspecified), a)) ||
	       (p->deny_multicast && any_has(multicast, COUNT(multicast), a)) ||
	       (p->deny_private && any_has(private, COUNT(private), a));
}

bool access_dial_denied(const struct policy_access *p, const struct sockaddr *to, const struct access_own *own)
{
	struct address a;

	if (address_of(to, &a) < 0)
		return true;
	if (any_has(p->deny_to.v, p->deny_to.n, a.bytes))
		return true; /* before unwrapping: a rule may name 64:ff9b::/96 itself */
	if (memcmp(a.bytes, nat64_prefix, 12) == 0)
		memcpy(a.bytes, mapped_prefix, 12);
	return is_own(own, &a) || deny_word_has(p, a.bytes) || any_has(p->deny_to.v, p->deny_to.n, a.bytes);
}

/* Without brackets and trailing dot; an IPv6 address as inet_ntop writes it, in `room`. */
static struct span plain_host(struct span host, char room[INET6_ADDRSTRLEN])
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr in6;

	if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = span_of(host.p + 1, host.n - 2);
	if (host.n && host.p[host.n - 1] == '.')
		host.n--;
	if (span_find(host, ':') == host.n || host.n >= sizeof(text))
		return host;
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	if (inet_pton(AF_INET6, text, &in6) != 1)
		return host;
	return span_str(inet_ntop(AF_INET6, &in6, room, INET6_ADDRSTRLEN));
}

static bool pattern_fits(struct span pattern, struct span host)
{
	if (span_eq(pattern, SPAN("*")))
		return true;
	if (!span_starts(pattern, SPAN("*.")))
		return span_eq_icase(pattern, host);
	pattern = span_from(pattern, 1);
	return host.n > pattern.n && span_ends_icase(host, pattern);
}

bool access_host_listed(const struct policy_hosts *list, struct span host)
{
	char room[INET6_ADDRSTRLEN];

	if (list->n == 0)
		return false;
	host = plain_host(host, room);
	for (size_t i = 0; i < list->n; i++)
		if (pattern_fits(span_str(list->v[i]), host))
			return true;
	return false;
}

bool access_host_allowed(const struct policy_access *p, struct span host)
{
	return p->hosts.n == 0 || access_host_listed(&p->hosts, host);
}
