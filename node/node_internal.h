/* node_internal: what the files of the node share. Nobody else includes it.
 *
 *     node.c       the parts, put together, started and stopped
 *     ports.c      the addresses it listens on
 *     signing.c    the CA and the mint
 *     tiers.c      what is kept: index, memory, disk, and what operators have ordered about it
 *     lane.c       one loop and what belongs to it
 *     console.c    what the control socket and the admin port show and do
 *     reload.c     a new configuration
 *     tend.c       what is due every second, and whether the loops come round
 *     handover.c   giving up what only one process can have
 *
 * What is done on the first lane's loop says so; all else here is done by the thread that node.h speaks of. */
#ifndef NODE_NODE_INTERNAL_H
#define NODE_NODE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "node/admin/admin.h"
#include "node/admin/control.h"
#include "node/admin/errands.h"
#include "node/admin/ledger.h"
#include "node/admin/objects.h"
#include "node/admin/scrub.h"
#include "node/cache/disk.h"
#include "node/cache/orders.h"
#include "node/cluster/cluster.h"
#include "node/cluster/overview.h"
#include "node/conf/conf.h"
#include "node/fetch/hostmood.h"
#include "node/fetch/recall.h"
#include "node/inquiry.h"
#include "node/net/dns.h"
#include "node/net/listener.h"
#include "node/node.h"
#include "node/record/recent.h"
#include "node/serve/client.h"
#include "node/tls/ca.h"
#include "node/tls/mint.h"
#include "node/tls/tlsctx.h"
#include "peer/peer_news.h"

#define NODE_MOST_LOOPS 64

/* An address that is listened on, on every loop. */
struct port {
	struct addr addr;
	enum client_door door;
};

/* One loop and what belongs to it. */
struct lane {
	struct node *node;
	pthread_t thread;
	struct loop *loop;
	struct dns *dns;
	struct tlsctx *tls;
	struct dialer *dialer;
	struct pool *pool;
	struct metrics *metrics;
	struct hosttally *hosts;
	struct flights flights;
	struct server server;
	struct door {
		struct lane *lane;
		enum client_door door;
		struct listener *listener;
	} * doors;
};

struct node {
	unsigned magic;
	struct conf *conf;
	int lock_fd;
	struct sink *err;
	struct log *log;
	struct accesslog *accesslog;
	struct recent *recent;
	struct ca *ca; /* NULL: nothing is bumped */
	_Atomic wall_ms ca_not_after;
	struct mint *mint;
	struct index *index;
	struct store *store;
	struct work *work; /* NULL, as is the next: there is no tier on disk */
	struct disk *disk;
	struct orders *orders;
	struct peer_news *news;         /* NULL: this node is in no cluster */
	struct scrub *scrub;            /* NULL: there is no disk; on the first lane's loop */
	struct disk_counts disk_counts; /* of lane 0: as they were shown last */
	struct hostmoods *moods;
	struct recalls *recalls;
	uint8_t secret[32];
	char *salt;
	struct port *ports;
	size_t n_ports;
	struct access_own own;
	struct control *control;
	struct admin *admin;
	struct inquiries *inquiries;
	struct overview *overview;
	struct errands *errands;
	struct ledger *ledger;
	struct objects *objects;
	struct cluster *cluster; /* NULL: this node is in none */
	atomic_uint connections, lanes_ended;
	atomic_bool let_go; /* by the first lane */
	_Atomic uint64_t request_ids;
	uint64_t boot; /* tells this process from others of its name */
	mono_us began, ticket_keys_at;
	wall_ms began_wall;
	unsigned n_lanes;
	atomic_uint beats; /* lanes that have answered the last question whether they live */
	struct lane lanes[NODE_MOST_LOOPS];
};

#define NODE_MAGIC 0x40de40de

/* ---- ports.c ---- */

struct addr ports_addr(const struct conf_address *);
/* Are all that the configuration names free? Then they are the node's: what is dialled is compared with them. -1 with a sentence. */
int ports_probe(struct node *, char *why, size_t why_bytes);

/* ---- signing.c ---- */

/* Opens, or makes, what leaves are signed with. Where nothing is bumped, as on a parent, there is no CA whose key could be lost. -1 with a
 * sentence. */
int signing_open(struct node *, char *why, size_t why_bytes);
/* Reads the CA's files again. *out: the CA, when it is another one now, and *shown: what the admin port is to show of it. */
int signing_read_again(struct node *, struct ca **out, struct admin_ca **shown, char *why, size_t why_bytes);
/* Takes it. */
void signing_use(struct node *, struct ca *);

/* ---- tiers.c ---- */

int tiers_open(struct node *, char *why, size_t why_bytes);
/* When there is a first lane. */
void tiers_open_scrub(struct node *);
/* After a reload: who has to go, and when. The scrub's times are set on the first lane's loop. */
void tiers_use(struct node *, const struct policy *);
void tiers_set_scrub(struct node *, const struct policy_cache *);
/* When all loops are stopped and the workers have ended. */
void tiers_close(struct node *);

/* ---- lane.c ---- */

void lane_init(struct lane *, struct node *, int id, struct x509_store_st *roots, const uint8_t *ticket_keys);
/* Listens on all ports. -1 with a sentence. */
int lane_open_doors(struct lane *, char *why, size_t why_bytes);
/* Starts its thread. */
void lane_start(struct lane *);
void lane_free(struct lane *);

/* ---- console.c: but for the opening, all of it on the first lane's loop ---- */

int console_open(struct node *, char *why, size_t why_bytes);
/* There is a successor: tells who has asked for it, and leaves the control socket to it. */
void console_let_go(struct node *);
void console_drain(struct node *);
void console_close(struct node *);

#endif
