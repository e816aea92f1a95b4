/* lean: OpenSSL with the algorithms that TLS needs, and no others.
 *
 * OpenSSL 3.0 looks for somebody who can read a certificate's public key among all that it could do, each time: a hundred decoders
 * and more ciphers are asked, which for one certificate costs more than checking its signature. Where few are known, few are asked.
 *
 * The algorithms themselves are those of OpenSSL's default provider, behind a provider that shows some of them. */
#ifndef NODE_TLS_LEAN_H
#define NODE_TLS_LEAN_H

#include <openssl/types.h>

/* For SSL_CTX_new_ex and its like. Made at the first call, the same for all threads, there to the end. NULL, which is OpenSSL as a
 * whole: where openssl.cnf names other providers than the default one, as those are to be used then, and from OpenSSL 3.2 on, which
 * looks only once. */
OSSL_LIB_CTX *lean_context(void);

#endif
