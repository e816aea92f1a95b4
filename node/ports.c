#include "node/node_internal.h"

#include <ifaddrs.h>

#include "node/base/mem.h"

struct addr ports_addr(const struct conf_address *a)
{
	struct addr out = {.len = a->addr_len};

	memcpy(&out.sa, &a->addr, a->addr_len < sizeof(out.in6) ? a->addr_len : sizeof(out.in6));
	return out;
}

static void add_ports(struct node *n, const struct conf_addresses *list, enum client_door door)
{
	n->ports = mem_realloc(n->ports, (n->n_ports + list->n + 1) * sizeof(*n->ports));
	for (size_t i = 0; i < list->n; i++)
		n->ports[n->n_ports++] = (struct port){.addr = ports_addr(&list->v[i]), .door = door};
}

static void add_own(struct node *n, const struct addr *a)
{
	struct sockaddr_storage *v = mem_realloc((void *)(uintptr_t)n->own.v, (n->own.n + 1) * sizeof(*v));

	memset(&v[n->own.n], 0, sizeof(*v));
	memcpy(&v[n->own.n], &a->sa, a->len);
	n->own.v = v;
	n->own.n++;
}

/* A listener on all addresses is reached at each of the machine's. */
static void add_own_interfaces(struct node *n, uint16_t port)
{
	struct ifaddrs *all, *i;

	if (getifaddrs(&all) < 0)
		return;
	for (i = all; i; i = i->ifa_next) {
		struct addr a = {0};

		if (!i->ifa_addr || (i->ifa_addr->sa_family != AF_INET && i->ifa_addr->sa_family != AF_INET6))
			continue;
		a.len = i->ifa_addr->sa_family == AF_INET ? sizeof(a.in) : sizeof(a.in6);
		memcpy(&a.sa, i->ifa_addr, a.len);
		addr_set_port(&a, port);
		add_own(n, &a);
	}
	freeifaddrs(all);
}

/* Nobody else has it; and from now on it is one that the node does not dial. */
static int probe_port(struct node *n, const struct addr *a, char *why, size_t why_bytes)
{
	if (addr_port(a) && listener_probe(a, why, why_bytes) < 0)
		return -1;
	add_own(n, a);
	if (addr_is_any(a))
		add_own_interfaces(n, addr_port(a));
	return 0;
}

static int probe_list(struct node *n, const struct conf_addresses *list, char *why, size_t why_bytes)
{
	for (size_t i = 0; i < list->n; i++) {
		struct addr a = ports_addr(&list->v[i]);

		if (probe_port(n, &a, why, why_bytes) < 0)
			return -1;
	}
	return 0;
}

int ports_probe(struct node *n, char *why, size_t why_bytes)
{
	add_ports(n, &n->conf->listen.proxy, CLIENT_DOOR_PROXY);
	add_ports(n, &n->conf->listen.bump, CLIENT_DOOR_BUMP);
	for (size_t i = 0; i < n->n_ports; i++)
		if (probe_port(n, &n->ports[i].addr, why, why_bytes) < 0)
			return -1;
	if (probe_list(n, &n->conf->listen.admin, why, why_bytes) < 0)
		return -1;
	return probe_list(n, &n->conf->listen.cluster, why, why_bytes);
}
