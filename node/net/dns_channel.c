#include <ares.h>
#include <stdlib.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/net/dns_internal.h"

/* Of c-ares: the wait for a server doubles with each round over them. */
#define FIRST_TRY_MS 2000
#define TRIES 3

/* A socket of c-ares's. */
struct dns_wire {
	LIST_ENTRY(dns_wire) entry;
	int fd;
	struct fdwatch *watch;
	struct dns *dns;
};

void dns__arm_timeout(struct dns *dns)
{
	struct timeval tv;

	if (dns->channel && ares_timeout(dns->channel, NULL, &tv))
		timer_set(&dns->timeout, loop_now(dns->loop) + (int64_t)tv.tv_sec * 1000000 + tv.tv_usec + 1);
	else
		timer_clear(&dns->timeout);
}

static void on_timeout(void *arg)
{
	struct dns *dns = arg;

	CHECK(dns, DNS_MAGIC);
	ares_process_fd(dns->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	dns__arm_timeout(dns);
}

static void on_wire(void *cookie, unsigned events)
{
	struct dns_wire *w = cookie; /* gone when c-ares closes the socket in here */
	struct dns *dns = w->dns;
	int fd = w->fd;

	CHECK(dns, DNS_MAGIC);
	ares_process_fd(dns->channel, events & FD_READ ? fd : ARES_SOCKET_BAD,
			events & FD_WRITE ? fd : ARES_SOCKET_BAD);
	dns__arm_timeout(dns);
}

static struct dns_wire *find_wire(struct dns *dns, int fd)
{
	struct dns_wire *w;

	LIST_FOREACH(w, &dns->wires, entry)
	if (w->fd == fd)
		return w;
	return NULL;
}

/* c-ares opens a socket, wants something else of it, or (neither) is about to close it. */
static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct dns *dns = arg;
	struct dns_wire *w = find_wire(dns, fd);

	if (!readable && !writable) {
		if (!w)
			return;
		LIST_REMOVE(w, entry);
		fdwatch_free(w->watch);
		free(w);
		return;
	}
	if (!w) {
		w = NEW(struct dns_wire);
		w->fd = fd;
		w->dns = dns;
		w->watch = fdwatch_new(dns->loop, fd, on_wire, w);
		LIST_INSERT_HEAD(&dns->wires, w, entry);
	}
	fdwatch_want(w->watch, (readable ? FD_READ : 0u) | (writable ? FD_WRITE : 0u));
}

/* ares_library_init is left out: it does nothing but on Windows, and counts in a global. */
ares_channel dns__channel_new(struct dns *dns)
{
	char lookups[] = "b"; /* name servers only: the files are ours to read */
	struct ares_options o = {
		.flags = ARES_FLAG_NOALIASES,
		.timeout = FIRST_TRY_MS,
		.tries = TRIES,
		.lookups = lookups,
		.sock_state_cb = on_socket_state,
		.sock_state_cb_data = dns,
	};
	int set = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB;
	ares_channel channel;

	if (ares_init_options(&channel, &o, set) != ARES_SUCCESS)
		return NULL;
	if (dns->servers && ares_set_servers_ports_csv(channel, dns->servers) != ARES_SUCCESS) {
		ares_destroy(channel);
		return NULL;
	}
	return channel;
}

void dns__use_channel(struct dns *dns, ares_channel channel)
{
	ares_channel old = dns->channel;

	dns->channel = channel;
	if (old)
		ares_destroy(old);
	dns__arm_timeout(dns);
}

void dns__channel_init(struct dns *dns)
{
	LIST_INIT(&dns->wires);
	timer_init(&dns->timeout, dns->loop, on_timeout, dns);
}

void dns__channel_fini(struct dns *dns)
{
	if (dns->channel)
		ares_destroy(dns->channel);
	timer_fini(&dns->timeout);
}
