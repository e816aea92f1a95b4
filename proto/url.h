/* url: request targets and Host values, taken apart strictly (RFC 3986, RFC 9110 §4.2, RFC 9112 §3.2).
 *
 * All spans borrow from the text that was parsed, except that an empty path becomes a constant "/". Nothing is decoded
 * or lower-cased here; storeid.h makes the normal form.
 *
 * Strict where it decides who is asked: a host is letters, digits, '-', '_' and '.' in labels of 1 to 63, at most 253
 * in all, one dot at the end is cut off (IDNA: A-labels only); what ends in a number must be a dotted quad; IPv6 stands
 * in brackets and has no zone; a port is 1 to 65535 in at most five digits. Path and query may hold every byte but
 * controls, space, DEL and '#'; bytes from 0x80 on are let through there, never in a host. */
#ifndef PROTO_URL_H
#define PROTO_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/base/reason.h"
#include "node/base/span.h"

#define URL_MAX_HOST 253

struct url {
	struct span scheme;     /* as sent; empty in what url_parse_authority made */
	struct span userinfo;   /* "user:password" of the absolute form, else empty; counts as Authorization */
	struct span host;       /* without brackets, without the dot at the end, never empty */
	struct span path_query; /* path and '?' and query, starts with '/' */
	struct span path;       /* the part of path_query before '?' */
	struct span query;      /* behind '?'; p == NULL when there is none, n == 0 when it is empty */
	bool https;
	bool is_ip; /* host is an address, IPv4 or IPv6 */
	bool is_ipv6;
	uint16_t port; /* never 0: the scheme's own when none is given */
};

/* "http://host:port/path?query". A request with userinfo is as private as one with Authorization. 0, or -1 with *why =
 * BAD_SCHEME (any other scheme) or BAD_URL. A query without a path ("http://host?x") is BAD_URL: clients must send the
 * "/" (RFC 9112 §3.2.1). */
int url_parse_absolute(struct span target, struct url *out, enum reason *why);

/* "host:port" of CONNECT, also addresses in configuration. default_port 0: the port must be there. No userinfo. `https`
 * is false, scheme and path are empty. 0, or -1 with *why = BAD_URL. */
int url_parse_authority(struct span authority, uint16_t default_port, struct url *out, enum reason *why);

/* "/path?query" of a request whose scheme, host and port are known: from the CONNECT around it, or from Host. Copies
 * the host, port and address flags of *at. 0, or -1 with *why = BAD_URL. */
int url_parse_origin(struct span target, bool https, const struct url *at, struct url *out, enum reason *why);

/* The value of a Host field: as url_parse_authority, but what is wrong is *why = BAD_HOST. */
int url_parse_host(struct span value, bool https, struct url *out, enum reason *why);

/* Does this Host value name the host and port of *at? In any case, with or without the dot at the end, the port of the
 * scheme (https or not) equal to none; two spellings of one IPv6 address are equal. A broken value fits nothing. */
bool url_host_fits(struct span host_value, bool https, const struct url *at);

/* A valid host name or dotted quad, as above, without a dot at the end. */
bool url_is_host(struct span);

/* What Basic authorisation (RFC 7617 §2) has for this userinfo: "user:password", percent-encoded bytes decoded (a '%' that begins no
 * triplet stays), ':' added where there was no password. At most userinfo.n + 1 bytes, of any value. */
void url_put_user_pass(struct buf *, struct span userinfo);

/* "host", "host:8443", "[::1]:8443": as Host and absolute URLs have it, the scheme's own port left out. */
void url_put_authority(struct buf *, const struct url *);

/* 80 or 443. */
static inline uint16_t url_default_port(bool https)
{
	return https ? 443 : 80;
}

#endif
