/* udp: one UDP socket of the node, for datagrams that are hints: sending may lose them, and nobody is told.
 *
 * Reads up to 32 datagrams with one system call, tells when the kernel received each (SO_TIMESTAMPNS, so that a busy loop does not
 * count as a slow network), and how many it had to drop for want of buffer (SO_RXQ_OVFL). What is sent is collected until the end of
 * the loop's turn and goes out with one system call. Datagrams are not fragmented (DF). Belongs to its loop's thread. */
#ifndef NODE_NET_UDP_H
#define NODE_NET_UDP_H

#include "node/base/span.h"
#include "node/net/addr.h"
#include "node/net/loop.h"

struct udp;

/* Both borrowed. `received` is on the loop's clock. Must not close the socket. */
typedef void udp_on_datagram_f(void *cookie, const struct addr *from, struct span datagram, mono_us received);

#define UDP_MAX_BYTES 1500

/* One socket for the address, IPv6 without IPv4 (as listeners are). NULL with a sentence in err: "... the UDP port is taken by ...". */
struct udp *udp_open(struct loop *, const struct addr *, udp_on_datagram_f *, void *cookie, char *err, size_t err_cap);
/* Reads at once what has come; calls back from inside. For who is about to give up waiting for a datagram: this loop may have been too busy
 * to read it. Not from inside a callback. */
void udp_receive(struct udp *);
/* At most UDP_MAX_BYTES, copied. Never calls back. Too long for the way, no route, another family: lost as any other. */
void udp_send(struct udp *, const struct addr *to, struct span datagram);
/* Sends now what is collected: before the process ends. */
void udp_flush(struct udp *);
uint64_t udp_dropped(const struct udp *); /* by the kernel, for want of room */
/* Clears *u; NULL inside is harmless. */
void udp_close(struct udp **u);

#endif
