/* errpage: answers that this node makes itself: short plain text that package managers print and people can act upon.
 *
 *     pmcache: the certificate of the host has expired
 *     https://registry.test/left-pad
 *     registry.test: certificate has expired
 *     node edge1, request 5f3a…
 *
 * Who has asked for a page, not as of a proxy, may be led to the node's own: programs by its URL in a line more, browsers by a link. */
#ifndef NODE_DELIVER_ERRPAGE_H
#define NODE_DELIVER_ERRPAGE_H

#include "node/base/reason.h"
#include "node/base/span.h"

struct errpage {
	enum reason why;
	int status;         /* 0: as the reason has it */
	struct span url;    /* without query and userinfo; may be empty */
	struct span detail; /* may be empty */
	struct span node;
	uint64_t request_id;
	struct span extra; /* whole field lines: X-Cache, Cache-Status */
	struct span page;  /* URL of the node's page, ours, not a stranger's; may be empty */
	bool html;         /* as HTML, with the page as a link; URL and detail are left out */
	bool head_only, close, http10;
};

/* A whole message into b. Returns its status. */
int errpage_format(struct buf *b, const struct errpage *);

#endif
