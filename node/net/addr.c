#include "node/net/addr.h"

#include <arpa/inet.h>
#include <stdio.h>

static bool is_mapped(const struct addr *a)
{
	return a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr);
}

char *addr_format_ip(const struct addr *a, char out[ADDR_TEXT_BYTES])
{
	if (is_mapped(a))
		inet_ntop(AF_INET, &a->in6.sin6_addr.s6_addr[12], out, ADDR_TEXT_BYTES);
	else if (a->sa.sa_family == AF_INET6)
		inet_ntop(AF_INET6, &a->in6.sin6_addr, out, ADDR_TEXT_BYTES);
	else if (a->sa.sa_family == AF_INET)
		inet_ntop(AF_INET, &a->in.sin_addr, out, ADDR_TEXT_BYTES);
	else
		memcpy(out, "-", 2);
	return out;
}

char *addr_format(const struct addr *a, char out[ADDR_TEXT_BYTES])
{
	char ip[ADDR_TEXT_BYTES];
	bool v6 = a->sa.sa_family == AF_INET6 && !is_mapped(a);

	addr_format_ip(a, ip);
	snprintf(out, ADDR_TEXT_BYTES, v6 ? "[%.45s]:%u" : "%.45s:%u", ip, addr_port(a));
	return out;
}

int addr_parse_ip(struct span text, uint16_t port, struct addr *out)
{
	char ip[INET6_ADDRSTRLEN];

	if (text.n > 2 && text.p[0] == '[' && text.p[text.n - 1] == ']')
		text = span_of(text.p + 1, text.n - 2);
	if (text.n == 0 || text.n >= sizeof(ip))
		return -1;
	memcpy(ip, text.p, text.n);
	ip[text.n] = '\0';
	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, ip, &out->in.sin_addr) == 1) {
		out->in.sin_family = AF_INET;
		out->len = sizeof(out->in);
	} else if (inet_pton(AF_INET6, ip, &out->in6.sin6_addr) == 1) {
		out->in6.sin6_family = AF_INET6;
		out->len = sizeof(out->in6);
	} else {
		return -1;
	}
	addr_set_port(out, port);
	return 0;
}

int addr_parse(struct span text, struct addr *out)
{
	size_t colon = text.n;
	uint64_t port;

	while (colon > 0 && text.p[colon - 1] != ':')
		colon--;
	if (colon == 0 || span_to_u64(span_from(text, colon), &port) || port > 65535)
		return -1;
	if (text.p[0] != '[' && memchr(text.p, ':', colon - 1))
		return -1; /* an IPv6 address with a port needs its brackets */
	return addr_parse_ip(span_upto(text, colon - 1), (uint16_t)port, out);
}

uint16_t addr_port(const struct addr *a)
{
	return ntohs(a->sa.sa_family == AF_INET6 ? a->in6.sin6_port : a->in.sin_port);
}

void addr_set_port(struct addr *a, uint16_t port)
{
	if (a->sa.sa_family == AF_INET6)
		a->in6.sin6_port = htons(port);
	else
		a->in.sin_port = htons(port);
}

bool addr_same(const struct addr *a, const struct addr *b)
{
	if (a->sa.sa_family != b->sa.sa_family || addr_port(a) != addr_port(b))
		return false;
	if (a->sa.sa_family == AF_INET6)
		return memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof(a->in6.sin6_addr)) == 0;
	return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
}

bool addr_is_any(const struct addr *a)
{
	if (a->sa.sa_family == AF_INET6)
		return IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr);
	return a->in.sin_addr.s_addr == INADDR_ANY;
}

bool addr_is_loopback(const struct addr *a)
{
	if (a->sa.sa_family == AF_INET6)
		return is_mapped(a) ? a->in6.sin6_addr.s6_addr[12] == IN_LOOPBACKNET
				    : IN6_IS_ADDR_LOOPBACK(&a->in6.sin6_addr);
	return ntohl(a->in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}
