/* page: the page for people, at / of the admin port: one file with its own style and script (page/page.html), part of the program.
 *
 * It asks /page.json, /stats.json, /history.json, /recent.json, /objects.json, /peers.json and /matrix.json again and again. What they say is put in as text only, and the
 * content security policy lets no script run but the page's own, known by its hash, and nothing be loaded from anywhere else.
 *
 *     {"state":"ready","role":"edge","proxy":["127.0.0.1:8080"],"bump":["127.0.0.1:8081"],"ca":true,"cluster":false}      page.json
 *
 * state is "ready" or "draining"; proxy and bump say where the node listens. */
#ifndef NODE_ADMIN_PAGE_H
#define NODE_ADMIN_PAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "node/base/span.h"
#include "node/net/addr.h"

#define PAGE_POLICY_BYTES 512
#define PAGE_DOORS 16 /* more addresses are not shown */
#define PAGE_JSON_MAX ((size_t)2048)

/* Constant. */
struct span page_text(void);

/* The value of Content-Security-Policy that fits the page: at most PAGE_POLICY_BYTES. */
void page_put_policy(struct buf *);

struct page_facts {
	bool parent, in_cluster;
	struct page_door {
		struct addr at;
		bool bump;
	} doors[PAGE_DOORS];
	size_t n_doors;
};

/* The object and a line's end. */
void page_put_json(struct buf *, const struct page_facts *, bool draining, bool has_ca);

#endif
