/* proxyauth: the user's name in a Proxy-Authorization field (RFC 9110 §11.7.2, RFC 7617).
 *
 * It is asked of nobody and checked against nothing: whoever writes http://JOB@localhost:8081 gives the job a name in the access log. */
#ifndef PROTO_PROXYAUTH_H
#define PROTO_PROXYAUTH_H

#include "node/base/span.h"

#define PROXYAUTH_USER_BYTES 64 /* of a name; the rest is cut */

/* The name, any bytes, into `out`, and how long it is. 0: none, another scheme than Basic, or no credentials. The password is not
 * decoded. */
size_t proxyauth_user(struct span value, char out[PROXYAUTH_USER_BYTES]);

#endif
