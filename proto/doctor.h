/* doctor: what a node answers by itself under a name of its own, so that `pmcachectl doctor` can have every package manager fetch
 * something through it.
 *
 * The name ends in .invalid (RFC 6761 §6.4): no name server knows it, so a program that does not come through the proxy gets nothing,
 * and no registry's name is taken away. Requests for it are bumped like any other, whatever bump.only and bump.splice say, and are never
 * sent on. What stands under it never changes and is the least that each program takes for a package: an index, a version, an archive
 * where it does not end at less. */
#ifndef PROTO_DOCTOR_H
#define PROTO_DOCTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "node/base/span.h"

#define DOCTOR_HOST "doctor.pmcache.invalid"
#define DOCTOR_URL "https://" DOCTOR_HOST
#define DOCTOR_ABOUT                                                                                                   \
	"/about" /* {"node":"edge1","boot":"0123456789abcdef","bump":true}: who answers, at which kind of port */
#define DOCTOR_OBJECT "/object"         /* DOCTOR_TEXT and a line's end, for what fetches any file */
#define DOCTOR_PACKAGE "pmcache-doctor" /* the package's name where it may have one word, in its only version 1.0.0 */
#define DOCTOR_TEXT "pmcache-doctor was here"

#define DOCTOR_ABOUT_BYTES 2048 /* with a node's name of up to 255 bytes */

struct doctor_page {
	struct span type, body;
};

/* In any case, without a port. */
bool doctor_is_host(struct span host);
/* What stands under a path; false: nothing. */
bool doctor_find(struct span path, struct doctor_page *);
/* What stands under DOCTOR_ABOUT. */
void doctor_put_about(struct buf *, struct span node, uint64_t boot, bool bump);

#endif
