#include "proto/url.h"

#include <arpa/inet.h>

#include "proto/chars.h"

#define URL_MAX_LABEL 63
#define URL_MAX_IPV6 45 /* INET6_ADDRSTRLEN without its NUL */

static inline bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Letters, digits, '-' and '_'. */
static const uint8_t label_chars[256] = {
	['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1, ['-'] = 1, ['_'] = 1,
};

static inline bool is_label_char(char c)
{
	return label_chars[(uint8_t)c];
}

/* Four decimal numbers of 0 to 255 without leading zeros. */
static bool is_ipv4(struct span s)
{
	size_t at = 0;

	for (int part = 0; part < 4; part++) {
		unsigned v = 0;
		size_t start;

		if (part && (at >= s.n || s.p[at] != '.'))
			return false;
		start = at += part > 0;
		for (; at < s.n && at - start < 3 && is_digit(s.p[at]); at++)
			v = v * 10 + (unsigned)(s.p[at] - '0');
		if (at == start || v > 255 || (s.p[start] == '0' && at - start > 1))
			return false;
	}
	return at == s.n;
}

static bool ipv6_bytes(struct span s, struct in6_addr *out)
{
	char text[URL_MAX_IPV6 + 1];

	if (s.n < 2 || s.n > URL_MAX_IPV6 || memchr(s.p, '\0', s.n))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return inet_pton(AF_INET6, text, out) == 1;
}

/* What other resolvers would take for an IPv4 address in decimal, octal or hex: "127.1", "0x7f000001". */
static bool looks_like_number(struct span label)
{
	if (label.n > 2 && label.p[0] == '0' && (label.p[1] | 0x20) == 'x')
		return true;
	for (size_t i = 0; i < label.n; i++)
		if (!is_digit(label.p[i]))
			return false;
	return true;
}

/* A host name or dotted quad without a dot at the end. */
static bool host_check(struct span s, bool *is_ip)
{
	size_t label = 0; /* start of the current one */

	*is_ip = false;
	if (s.n < 1 || s.n > URL_MAX_HOST)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (is_label_char(s.p[i]))
			continue;
		if (s.p[i] != '.' || i == label || i - label > URL_MAX_LABEL)
			return false;
		label = i + 1;
	}
	if (label == s.n || s.n - label > URL_MAX_LABEL)
		return false;
	if (!is_digit(s.p[label]) || !looks_like_number(span_from(s, label)))
		return true;
	*is_ip = is_ipv4(s);
	return *is_ip;
}

bool url_is_host(struct span s)
{
	bool is_ip;

	return host_check(s, &is_ip);
}

static int port_parse(struct span digits, uint16_t *port)
{
	unsigned v = 0;

	if (digits.n < 1 || digits.n > 5)
		return -1;
	for (size_t i = 0; i < digits.n; i++) {
		if (!is_digit(digits.p[i]))
			return -1;
		v = v * 10 + (unsigned)(digits.p[i] - '0');
	}
	if (v < 1 || v > 65535)
		return -1;
	*port = (uint16_t)v;
	return 0;
}

/* Cuts the host off the front of s; *rest is "" or begins with ':'. */
static int cut_host(struct span s, struct url *out, struct span *rest)
{
	struct in6_addr address;
	size_t end;

	if (s.n && s.p[0] == '[') {
		end = span_find(s, ']');
		if (end == s.n)
			return -1;
		out->host = span_of(s.p + 1, end - 1);
		out->is_ip = out->is_ipv6 = true;
		*rest = span_from(s, end + 1);
		return ipv6_bytes(out->host, &address) ? 0 : -1;
	}
	end = span_find(s, ':');
	*rest = span_from(s, end);
	out->host = span_upto(s, end);
	out->is_ipv6 = false;
	if (end > 1 && s.p[end - 1] == '.')
		out->host.n--;
	return host_check(out->host, &out->is_ip) ? 0 : -1;
}

/* "host" or "host:port" into host, port and the address flags. An empty port is none (RFC 3986 §3.2.3). */
static int host_port(struct span s, uint16_t default_port, struct url *out)
{
	struct span rest;

	if (cut_host(s, out, &rest) != 0)
		return -1;
	out->port = default_port;
	if (rest.n == 0 || (rest.n == 1 && rest.p[0] == ':'))
		return default_port ? 0 : -1;
	return rest.p[0] == ':' ? port_parse(span_from(rest, 1), &out->port) : -1;
}

static int set_path_query(struct span s, struct url *out)
{
	const char *end = s.p + s.n, *mark;

	if (s.n == 0 || s.p[0] != '/' || chars_target_end(s.p, end) != end || memchr(s.p, '#', s.n))
		return -1;
	mark = memchr(s.p, '?', s.n);
	out->path_query = s;
	out->path = span_of(s.p, (size_t)((mark ? mark : end) - s.p));
	out->query = mark ? span_of(mark + 1, (size_t)(end - mark - 1)) : SPAN_NONE;
	return 0;
}

/* scheme ":" (RFC 3986 §3.1), but not one of ours. */
static bool has_other_scheme(struct span target)
{
	struct span name = span_upto(target, span_find(target, ':'));

	if (name.n == target.n || name.n == 0 || !((name.p[0] | 0x20) >= 'a' && (name.p[0] | 0x20) <= 'z'))
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] == '_' || (!is_label_char(name.p[i]) && name.p[i] != '+' && name.p[i] != '.'))
			return false;
	return !span_eq_icase(name, SPAN("http")) && !span_eq_icase(name, SPAN("https"));
}

static int cut_scheme(struct span *target, struct url *out)
{
	if (span_starts_icase(*target, SPAN("http://")))
		out->scheme = span_upto(*target, 4);
	else if (span_starts_icase(*target, SPAN("https://")))
		out->scheme = span_upto(*target, 5);
	else
		return -1;
	out->https = out->scheme.n == 5;
	*target = span_from(*target, out->scheme.n + 3);
	return 0;
}

/* Up to the last '@' of the authority: a host cannot hold one. */
static int cut_userinfo(struct span *authority, struct url *out)
{
	size_t at = authority->n;

	out->userinfo = SPAN_NONE;
	while (at && authority->p[at - 1] != '@')
		at--;
	if (at == 0)
		return 0;
	out->userinfo = span_upto(*authority, at - 1);
	*authority = span_from(*authority, at);
	return chars_target_end(out->userinfo.p, out->userinfo.p + at - 1) == out->userinfo.p + at - 1 ? 0 : -1;
}

static size_t authority_end(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '/' || s.p[i] == '?' || s.p[i] == '#')
			return i;
	return s.n;
}

int url_parse_absolute(struct span target, struct url *out, enum reason *why)
{
	struct span rest = target, authority, path;

	*why = REASON_BAD_URL;
	if (cut_scheme(&rest, out) != 0) {
		if (has_other_scheme(target))
			*why = REASON_BAD_SCHEME;
		return -1;
	}
	authority = span_upto(rest, authority_end(rest));
	path = span_from(rest, authority.n);
	if (cut_userinfo(&authority, out) != 0 || host_port(authority, url_default_port(out->https), out) != 0)
		return -1;
	return set_path_query(path.n ? path : SPAN("/"), out);
}

static void clear_all_but_host(struct url *out)
{
	out->scheme = out->userinfo = out->path_query = out->path = out->query = SPAN_NONE;
	out->https = false;
}

int url_parse_authority(struct span authority, uint16_t default_port, struct url *out, enum reason *why)
{
	clear_all_but_host(out);
	*why = REASON_BAD_URL;
	return host_port(authority, default_port, out);
}

int url_parse_host(struct span value, bool https, struct url *out, enum reason *why)
{
	clear_all_but_host(out);
	*why = REASON_BAD_HOST;
	return host_port(value, url_default_port(https), out);
}

int url_parse_origin(struct span target, bool https, const struct url *at, struct url *out, enum reason *why)
{
	out->scheme = https ? SPAN("https") : SPAN("http");
	out->userinfo = SPAN_NONE;
	out->host = at->host;
	out->https = https;
	out->is_ip = at->is_ip;
	out->is_ipv6 = at->is_ipv6;
	out->port = at->port;
	*why = REASON_BAD_URL;
	return set_path_query(target, out);
}

static bool same_host(const struct url *a, const struct url *b)
{
	struct in6_addr x, y;

	if (span_eq_icase(a->host, b->host))
		return a->is_ipv6 == b->is_ipv6;
	return a->is_ipv6 && b->is_ipv6 && ipv6_bytes(a->host, &x) && ipv6_bytes(b->host, &y) &&
	       memcmp(&x, &y, sizeof(x)) == 0;
}

bool url_host_fits(struct span host_value, bool https, const struct url *at)
{
	struct url given;

	if (host_port(host_value, url_default_port(https), &given) != 0)
		return false;
	return given.port == at->port && same_host(&given, at);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void url_put_user_pass(struct buf *b, struct span userinfo)
{
	for (size_t i = 0; i < userinfo.n; i++) {
		bool triplet = userinfo.p[i] == '%' && userinfo.n - i > 2 && hex_digit(userinfo.p[i + 1]) >= 0 &&
			       hex_digit(userinfo.p[i + 2]) >= 0;

		if (!triplet) {
			buf_putc(b, userinfo.p[i]);
			continue;
		}
		buf_putc(b, (char)(hex_digit(userinfo.p[i + 1]) << 4 | hex_digit(userinfo.p[i + 2])));
		i += 2;
	}
	if (span_find(userinfo, ':') == userinfo.n)
		buf_putc(b, ':');
}

void url_put_authority(struct buf *b, const struct url *u)
{
	if (u->is_ipv6)
		buf_putc(b, '[');
	buf_put(b, u->host);
	if (u->is_ipv6)
		buf_putc(b, ']');
	if (u->port == url_default_port(u->https))
		return;
	buf_putc(b, ':');
	buf_put_u64(b, u->port);
}
