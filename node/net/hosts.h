/* hosts: names and addresses from a text of the form of /etc/hosts (hosts(5)).
 *
 * A line is an address and the names it has, with white space between; '#' begins a comment. A name may have several
 * addresses, in the order of the lines. Lines and names that are not understood are skipped: the file is the operator's, and
 * one slip must not take the rest away. Pure: text in, table out. */
#ifndef NODE_NET_HOSTS_H
#define NODE_NET_HOSTS_H

#include "node/base/span.h"
#include "node/net/addr.h"

struct hosts;

/* Never NULL; owned by the caller. */
struct hosts *hosts_parse(struct span text);
void hosts_free(struct hosts *);

/* The addresses of this name (any case, with or without a dot at the end), at most `room` of them, their ports 0. Returns how
 * many; 0: the name is not there, or h is NULL. */
size_t hosts_find(const struct hosts *h, struct span name, struct addr *v, size_t room);

/* How many pairs of name and address there are. */
size_t hosts_count(const struct hosts *);

#endif
