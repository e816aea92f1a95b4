/* service: what the node and a service manager (systemd) say to each other: that it is ready, that it lives, and which listening
 * sockets outlive the process.
 *
 * Speaks the documented protocols sd_notify(3), sd_listen_fds(3) and sd_watchdog_enabled(3) directly: a datagram to a Unix socket and
 * a few variables, so that no library is linked for it. Without a service manager every function here does nothing.
 *
 * How sockets outlive a restart. A listener that binds its socket also hands a copy to the manager (FDSTORE), under a name made of the
 * address and the number of the loop. When the process ends, the kernel keeps the socket for the manager's copy: clients still
 * connect, and wait. The next process gets the copies, each loop takes the one that bears its name, and accepts who has waited.
 * Sockets of a socket unit come the same way under other names; the first loop takes one, the others share it.
 *
 * No memory is kept here: an inherited descriptor that nobody has taken is one without FD_CLOEXEC, as the manager leaves it. */
#ifndef NODE_NET_SERVICE_H
#define NODE_NET_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "node/base/clock.h"
#include "node/base/span.h"
#include "node/net/addr.h"

/* How sockets are numbered and named, also for a process that this one starts as its successor (node/successor.h). Such a one finds the
 * number of the process that started it in LISTEN_PID and in the variable SERVICE_PREDECESSOR. */
#define SERVICE_FIRST_FD 3
#define SERVICE_MOST_FDS 1024
#define SERVICE_NAME_BYTES 128
#define SERVICE_PREDECESSOR "PMCACHED_PREDECESSOR"
struct span service_name(char room[SERVICE_NAME_BYTES], const struct addr *, int loop);

/* Told to whoever started the process. `status` is a line for people, borrowed. */
void service_ready(const char *status);
void service_reloading(const struct clock *); /* service_ready ends it */
void service_stopping(const char *status);
/* From now on another process speaks for the service. */
void service_succeeded_by(pid_t);

/* How often service_alive wants to be called: half of what the manager bears; 0: it does not ask. */
dur_ms service_watchdog_interval(void);
void service_alive(void);

/* Is there an inherited socket that listens on this address? */
bool service_has_socket(const struct addr *);
/* The inherited socket for this address and loop: the caller's from now on, non-blocking, close-on-exec. -1: there is none. */
int service_take_socket(const struct addr *, int loop);
/* A copy of one that another loop has taken. -1: there is none. */
int service_share_socket(const struct addr *);
/* Hands a copy of a listening socket to the manager. Borrows fd. */
void service_keep_socket(int fd, const struct addr *, int loop);
/* Before the first listener opens: closes what was kept of addresses that are no longer wanted, at the manager's, too. They could
 * be in the way of a new one, as 127.0.0.1:80 is of 0.0.0.0:80. */
void service_drop_others(const struct addr *wanted, size_t n);
/* When all listeners are open: the same for what was kept for loops that there are no more. How many sockets of a socket unit nobody
 * has taken: these stay open there, and whoever connects waits in vain. */
unsigned service_drop_untaken(void);

#endif
