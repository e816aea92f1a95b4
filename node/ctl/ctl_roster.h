/* ctl_roster: the folder from which a cluster is administered: its CA, its keys, its members, and a folder for each of them with all
 * that goes there.
 *
 *     cluster.yaml                     name, ids of the peer keys (the oldest first), the active one
 *     members.yaml                     who was given a certificate: name, role, address
 *     cluster-ca.crt, cluster-ca.key   the CA of nodes
 *     peer-1.key, salt                 what all nodes share
 *     purge.pub, purge.key             for purges of the whole cluster
 *     nodes/NAME/                      what belongs into the state folder of that node, and cluster.yaml, its configuration
 *
 * It is private (0700), belongs on no node, and is worth a backup. Files are replaced whole; while a command changes something it
 * holds a lock on the folder, so that several may be started at once. All functions that can fail say why on standard error. */
#ifndef NODE_CTL_CTL_ROSTER_H
#define NODE_CTL_CTL_ROSTER_H

#include "node/base/clock.h"
#include "node/conf/conf.h"
#include "node/ctl/ctl.h"
#include "node/tls/nodecert.h"

struct ctl_member {
	const char *name;
	enum node_role role;
	const char *host, *port; /* host: with brackets when it is IPv6; both NULL: none (admins) */
};

struct ctl_roster {
	const char *folder;
	int lock;
	char cluster[NODECERT_NAME_BYTES + 1];
	unsigned keys[POLICY_MOST_SECRETS]; /* ids, the oldest first */
	size_t n_keys;
	unsigned active;
	struct ctl_member *members;
	size_t n_members;
};

/* Makes the folder with CA, first key, salt and purge keys; it may not be there, or must be empty. CTL_OK or an exit code. */
int ctl_roster_make(const char *folder, const char *cluster, int days, wall_ms now);

/* The folder to use when none is named: this one, or the only one here whose name ends in "-cluster". NULL: said. */
const char *ctl_roster_find(void);
/* Reads and locks it. CTL_OK or an exit code. */
int ctl_roster_open(const char *folder, struct ctl_roster *);
int ctl_roster_save(const struct ctl_roster *);

/* NULL: not there. */
struct ctl_member *ctl_roster_member(const struct ctl_roster *, const char *name);
/* Appends; strings are taken over. */
void ctl_roster_add(struct ctl_roster *, const struct ctl_member *);

/* "folder/name", "folder/nodes/node/name". */
char *ctl_roster_path(const struct ctl_roster *, const char *name);
char *ctl_roster_node_path(const struct ctl_roster *, const char *node, const char *name);

/* A new secret under this id, or the one that was begun with. */
int ctl_roster_make_key(const struct ctl_roster *, unsigned id);
/* Deletes it everywhere; keys that are not there are no failure. */
int ctl_roster_drop_key(const struct ctl_roster *, unsigned id);

/* Writes all that belongs into the member's folder, but for its certificate and its key. What is right already stays untouched. */
int ctl_roster_equip(const struct ctl_roster *, const struct ctl_member *);
int ctl_roster_equip_all(const struct ctl_roster *);

#endif
