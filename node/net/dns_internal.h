/* What the parts of a dns share: dns.c (names to addresses), dns_srv.c (SRV records), dns_channel.c (c-ares over the loop), dns_files.c
 * (the files that it reads, and reads again). */
#ifndef NODE_NET_DNS_INTERNAL_H
#define NODE_NET_DNS_INTERNAL_H

#include <ares.h>
#include <sys/queue.h>
#include <sys/stat.h>

#include "node/base/map.h"
#include "node/net/dns.h"
#include "node/net/hosts.h"
#include "proto/url.h"

#define DNS_MOST_ASKED 4096 /* at a time */

/* A file that is read again when it has changed. */
struct dns_watched {
	char *path;
	struct stat was;
};

struct dns_wire;
struct dns_name;

struct dns {
	unsigned magic;
	struct loop *loop;
	bool ending;
	ares_channel channel; /* NULL: could not be made */
	char *servers;        /* NULL: those of /etc/resolv.conf */
	struct timer timeout;
	LIST_HEAD(, dns_wire) wires;
	struct dns_watched own_file, system_file, resolv_file;
	struct hosts *own, *system;
	mono_us look_next;
	dur_ms deadline;
	uint64_t seed;
	struct map names;
	TAILQ_HEAD(, dns_name) by_age; /* oldest first */
	size_t kept, asked, lookups;
};

#define DNS_MAGIC 0xd25a0003

/* ---- dns_channel ---- */

void dns__channel_init(struct dns *);
void dns__channel_fini(struct dns *);
/* A channel to the servers that are set, or of /etc/resolv.conf; NULL: c-ares makes none. */
ares_channel dns__channel_new(struct dns *);
/* Another channel; what the old one was asking is asked again there. */
void dns__use_channel(struct dns *, ares_channel);
/* After every call into c-ares that may have sent something. */
void dns__arm_timeout(struct dns *);

/* ---- dns_files ---- */

void dns__files_init(struct dns *);
void dns__files_fini(struct dns *);
/* At most once a second: reads again what has changed. */
void dns__look_at_files(struct dns *);

/* ---- dns ---- */

/* Lower case, no dot at the end, NUL-ended. -1: no host name is that long. */
int dns__normal_form(struct span host, char out[URL_MAX_HOST + 1]);

#endif
