/* addr: a socket address, IPv4 or IPv6, and its text. */
#ifndef NODE_NET_ADDR_H
#define NODE_NET_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "node/base/span.h"

struct addr {
	socklen_t len;
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	};
};

#define ADDR_TEXT_BYTES 64 /* "[ip%scope]:port" and NUL */

/* "192.0.2.1", "2001:db8::1" (no brackets); IPv4-mapped addresses are shown as IPv4. Returns out. */
char *addr_format_ip(const struct addr *, char out[ADDR_TEXT_BYTES]);
/* "192.0.2.1:80", "[2001:db8::1]:80". Returns out. */
char *addr_format(const struct addr *, char out[ADDR_TEXT_BYTES]);

/* A numeric address, IPv6 with or without brackets; -1 when it is none. */
int addr_parse_ip(struct span text, uint16_t port, struct addr *out);
/* "ip:port" or "[ip]:port". */
int addr_parse(struct span text, struct addr *out);

uint16_t addr_port(const struct addr *);
void addr_set_port(struct addr *, uint16_t port);
bool addr_is_any(const struct addr *); /* 0.0.0.0 or :: */
bool addr_is_loopback(const struct addr *);
bool addr_same(const struct addr *, const struct addr *);

#endif
