/* ctl_trust: the files that make clients trust the CA, made when they are missing or out of date.
 *
 * ca.crt is the daemon's. bundle.pem (system roots and CA) and truststore.p12 (the same for Java) stand beside it; who may
 * not write there gets them in a folder of his own below $XDG_CACHE_HOME/pmcache, one per CA. They are made anew when the
 * CA or the system's bundle is newer. */
#ifndef NODE_CTL_CTL_TRUST_H
#define NODE_CTL_CTL_TRUST_H

#include <stddef.h>

struct ctl_trust {
	char *ca, *bundle, *store; /* absolute paths, on the heap */
};

/* `state` is the folder to try first. 0, or -1 with a sentence in why. */
int ctl_trust_make(const char *ca_cert, const char *state, struct ctl_trust *out, char *why, size_t why_bytes);

/* The system's roots in one PEM file; NULL when it is in none of the usual places. */
const char *ctl_trust_system_bundle(void);

#endif
