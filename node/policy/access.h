/* access: who may come in, what may be asked for, and which addresses are never dialled.
 *
 * Pure match functions over a policy's lists: no look-ups, no state. Any thread. */
#ifndef NODE_POLICY_ACCESS_H
#define NODE_POLICY_ACCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "node/base/span.h"
#include "node/policy/policy.h"

/* The addresses that this node accepts on, borrowed. A listener on 0.0.0.0 or :: stands here as that address; to have the
 * machine's other addresses denied too, add each of them with the listener's port. */
struct access_own {
	const struct sockaddr_storage *v;
	size_t n;
};

/* access.clients. An address of a family other than IPv4 and IPv6 is not allowed. */
bool access_client_allowed(const struct policy_access *, const struct sockaddr *client);

/* access.purge. */
bool access_purge_allowed(const struct policy_access *, const struct sockaddr *client);

/* access.hosts; an empty list allows every host. */
bool access_host_allowed(const struct policy_access *, struct span host);

/* access.connect_ports for CONNECT, access.safe_ports for everything else. */
bool access_port_allowed(const struct policy_access *, uint16_t port, bool is_connect);

/* Must this address not be dialled? Asked with the address that connect() will get, after resolution. IPv4-mapped and
 * NAT64 addresses (64:ff9b::/96, RFC 6052) count as the IPv4 address inside. This node's own listeners are denied whatever
 * access.deny_to says, so that no request can come back in a circle; the unspecified address reaches loopback and counts
 * as such there. Families other than IPv4 and IPv6 are denied. */
bool access_dial_denied(const struct policy_access *, const struct sockaddr *to, const struct access_own *own);

/* Does a pattern of the list (policy.h) fit? Case does not count, nor one trailing dot, nor brackets around an IPv6
 * address or the way it is abbreviated. Used for access.hosts, bump.*, upstream.no_proxy. */
bool access_host_listed(const struct policy_hosts *, struct span host);

#endif
