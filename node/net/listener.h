/* listener: an address that is listened on, on one loop.
 *
 * Each loop has a listener of its own on the same address (SO_REUSEPORT), and the kernel spreads connections over them.
 * Because SO_REUSEPORT would let a second daemon of the same user share a port in silence, listener_probe binds once without
 * it before the first listener opens, and says who holds a taken port.
 *
 * A socket that the service manager has kept from the last process, or opened itself, is used in place of a new one (service.h).
 * Where loops share one, each is woken for a connection and one gets it. */
#ifndef NODE_NET_LISTENER_H
#define NODE_NET_LISTENER_H

#include "node/net/addr.h"
#include "node/net/loop.h"

struct listener;

/* Takes the fd: non-blocking, close-on-exec. `peer` is borrowed. */
typedef void listener_on_accept_f(void *cookie, int fd, const struct addr *peer);

/* 0, or -1 with a sentence in err: "127.0.0.1:8081 is taken by nginx (pid 123)". */
int listener_probe(const struct addr *, char *err, size_t err_cap);

/* NULL with a sentence in err. */
struct listener *listener_open(struct loop *, const struct addr *, listener_on_accept_f *, void *cookie, char *err,
			       size_t err_cap);
/* Accepts all who have connected so far (on_accept is called from inside), then closes: a connection that waits in a socket which is
 * closed would be reset. NULL inside is harmless; clears *l. */
void listener_drain(struct listener **l);
/* Stops accepting for good. NULL inside is harmless; clears *l. */
void listener_close(struct listener **l);

#endif
