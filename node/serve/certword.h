/* certword: what this node says of an origin's certificate to nodes whose parent it is (peer_door.h, /.pmc/v1/cert).
 *
 * The origin is dialled once for all who ask meanwhile (contact.h), and what came of it is remembered on this loop: a good certificate for
 * an hour, or as long as it lasts; anything else for 30 s. It is asked only for what a client could ask for: access.hosts,
 * access.connect_ports and access.deny_to hold. What was not reached and what may not be asked are told in the same words, so that the page says
 * nothing about a network that its asker cannot see. Belongs to its loop's thread. */
#ifndef NODE_SERVE_CERTWORD_H
#define NODE_SERVE_CERTWORD_H

#include "node/serve/contact.h"

struct certwords;

/* Borrows both. */
struct certwords *certwords_new(struct loop *, struct contacts *);
/* Who still waits is told that nothing is known. Before contacts_free; harmless on NULL. */
void certwords_free(struct certwords *);

/* `message`: borrowed (certmsg.h). */
typedef void certword_on_done_f(void *cookie, struct span message);

struct certword_ask {
	struct span host;
	uint16_t port;
	struct span sni; /* empty: host */
	bool offline;    /* no origin is asked */
};

/* Calls back once, perhaps from inside. Shares the policy. */
void certword_ask(struct certwords *, struct policy *, const struct certword_ask *, certword_on_done_f *, void *cookie);

#endif
