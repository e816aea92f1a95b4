/* ctl_ask: one HTTP request to a port of a proxy, as a client makes it. */
#ifndef NODE_CTL_CTL_ASK_H
#define NODE_CTL_CTL_ASK_H

#include <stddef.h>

#define CTL_ASK_BYTES 16384 /* of an answer; the rest is left */

enum ctl_ask_end {
	CTL_ASK_ANSWERED,
	CTL_ASK_REFUSED, /* nobody listens */
	CTL_ASK_FAILED,  /* no connection: `why` has the reason */
	CTL_ASK_SILENT,  /* a connection, and no HTTP in time, or something else than HTTP */
};

struct ctl_answer {
	enum ctl_ask_end end;
	int status;
	char error[64]; /* X-Pmcache-Error; empty: none */
	char why[200];
	char text[CTL_ASK_BYTES]; /* the whole of what came, NUL-ended */
	const char *body;         /* in text */
};

/* `host` may be an address in brackets. Blocks for at most `patience_s` per step. */
void ctl_ask(const char *host, const char *port, const char *method, const char *url, const char *authority,
	     int patience_s, struct ctl_answer *);

#endif
