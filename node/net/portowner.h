/* portowner: who sits on a port of this machine, as far as /proc tells. */
#ifndef NODE_NET_PORTOWNER_H
#define NODE_NET_PORTOWNER_H

#include <stddef.h>
#include <stdint.h>

/* Writes "nginx (pid 123)" when the holder can be seen, else who usually sits there ("perhaps …") or "another program".
 * Reads /proc/net/tcp and tcp6 and the fd folders that this user may read: only for start-up errors. */
void portowner_describe(uint16_t port, char *out, size_t cap);
/* The same for a UDP port. */
void portowner_describe_udp(uint16_t port, char *out, size_t cap);

#endif
