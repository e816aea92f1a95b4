/* reason: everything that others can do wrong, as one table.
 *
 * A line makes the enum value, the counter, the word in logs and Cache-Status, the HTTP status that a client gets and
 * the sentence that it reads. Functions that can fail by somebody else's fault give the reason as out-parameter.
 * Columns: name, status, word, sentence. Status 0: never told to a client (the link just ends). */
#ifndef NODE_BASE_REASON_H
#define NODE_BASE_REASON_H

#define REASON_TABLE(X)                                                                                                \
	X(NONE, 0, "none", "nothing is wrong")                                                                         \
	/* a message that is not HTTP/1.1 as RFC 9112 has it */                                                        \
	X(NOT_HTTP, 400, "not-http", "the bytes are not an HTTP/1 message")                                            \
	X(BAD_REQUEST_LINE, 400, "bad-request-line", "the request line is malformed")                                  \
	X(BAD_STATUS_LINE, 502, "bad-status-line", "the status line is malformed or of HTTP/0.9")                      \
	X(BAD_VERSION, 505, "bad-version", "only HTTP/1.0 and HTTP/1.1 are spoken here")                               \
	X(BAD_FIELD, 400, "bad-field", "a header field is malformed")                                                  \
	X(BAD_FOLD, 400, "bad-fold", "a header field is folded over lines (obs-fold)")                                 \
	X(BARE_CR_LF, 400, "bare-cr-lf", "a line ends in a bare CR or LF")                                             \
	X(BAD_LENGTH, 400, "bad-length", "Content-Length is malformed or repeated")                                    \
	X(LENGTH_AND_CHUNKED, 400, "length-and-chunked", "both Content-Length and Transfer-Encoding are given")        \
	X(BAD_CODING, 501, "bad-coding", "a transfer coding other than chunked is asked for")                          \
	X(BAD_CHUNK, 400, "bad-chunk", "a chunk of the body is malformed")                                             \
	X(HEAD_TOO_LARGE, 431, "head-too-large", "the header is larger than limits.request_header allows")             \
	X(TOO_MANY_FIELDS, 431, "too-many-fields", "there are too many header fields")                                 \
	X(URL_TOO_LONG, 414, "url-too-long", "the URL is too long")                                                    \
	X(BAD_URL, 400, "bad-url", "the URL is malformed")                                                             \
	X(BAD_SCHEME, 400, "bad-scheme", "only http and https URLs are served")                                        \
	X(NO_HOST, 400, "no-host", "the request has no Host field")                                                    \
	X(BAD_HOST, 400, "bad-host", "the Host field is malformed or repeated")                                        \
	X(NOT_PROXY, 400, "not-proxy", "this is a proxy: set http_proxy and https_proxy to it (see pmcachectl env)")   \
	X(WRONG_HOST, 421, "wrong-host", "the Host field does not fit the CONNECT that opened this tunnel")            \
	X(BAD_METHOD, 501, "bad-method", "this method is not served here")                                             \
	X(BAD_EXPECT, 417, "bad-expect", "an expectation other than 100-continue is not understood")                   \
	X(BODY_TOO_LARGE, 413, "body-too-large", "the request body is larger than limits.request_body allows")         \
	X(REQUEST_TIMEOUT, 408, "request-timeout", "the request did not arrive in time")                               \
	/* what this node does not allow */                                                                            \
	X(DENIED_CLIENT, 403, "denied-client", "this client address is not in access.clients")                         \
	X(DENIED_HOST, 403, "denied-host", "this host is not in access.hosts")                                         \
	X(DENIED_PORT, 403, "denied-port", "this port is not in access.safe_ports or access.connect_ports")            \
	X(DENIED_ADDRESS, 403, "denied-address", "the host has an address that access.deny_to forbids")                \
	X(DENIED_METHOD, 403, "denied-method", "this method is not allowed from this address (access.purge)")          \
	X(DENIED_BUMP, 403, "denied-bump", "this host is not in bump.only, and bump.others says refuse")               \
	X(LOOP, 508, "loop", "the request would go round in a circle through this node")                               \
	X(TOO_BUSY, 503, "too-busy", "this node has no room for another connection")                                   \
	X(SHUTTING_DOWN, 503, "shutting-down", "this node is shutting down")                                           \
	/* upstream */                                                                                                 \
	X(DNS_FAILED, 502, "dns-failed", "the name server could not be asked")                                         \
	X(DNS_NO_NAME, 502, "dns-no-name", "the host name does not exist")                                             \
	X(DNS_TIMEOUT, 504, "dns-timeout", "the name server did not answer in time")                                   \
	X(CONNECT_REFUSED, 502, "connect-refused", "the host refused the connection")                                  \
	X(CONNECT_FAILED, 502, "connect-failed", "no connection to the host could be made")                            \
	X(CONNECT_TIMEOUT, 504, "connect-timeout", "the host did not take the connection in time")                     \
	X(PROXY_REFUSED, 502, "proxy-refused", "upstream.proxy refused the tunnel")                                    \
	X(TLS_FAILED, 502, "tls-failed", "the TLS handshake with the host failed")                                     \
	X(TLS_TIMEOUT, 504, "tls-timeout", "the TLS handshake with the host did not end in time")                      \
	X(TLS_CLOSED, 502, "tls-closed", "the host closed the connection during the TLS handshake")                    \
	X(TLS_OLD, 502, "tls-old", "the host offers only TLS 1.1 or older")                                            \
	X(TLS_WANTS_CERT, 502, "tls-wants-certificate",                                                                \
	  "the host asks for a client certificate; list it in bump.splice")                                            \
	X(CERT_EXPIRED, 502, "cert-expired", "the certificate of the host has expired")                                \
	X(CERT_NOT_YET, 502, "cert-not-yet-valid", "the certificate of the host is not valid yet")                     \
	X(CERT_WRONG_NAME, 502, "cert-wrong-name", "the certificate of the host is for another name")                  \
	X(CERT_SELF_SIGNED, 502, "cert-self-signed", "the certificate of the host is self-signed")                     \
	X(CERT_UNKNOWN_CA, 502, "cert-unknown-ca", "the certificate of the host is of an unknown issuer")              \
	X(CERT_WEAK, 502, "cert-weak", "the certificate of the host has a weak key or signature")                      \
	X(CERT_BAD, 502, "cert-bad", "the certificate of the host cannot be accepted")                                 \
	X(FIRST_BYTE_TIMEOUT, 504, "first-byte-timeout", "the host did not begin to answer in time")                   \
	X(READ_TIMEOUT, 504, "read-timeout", "the host stopped sending")                                               \
	X(WRITE_TIMEOUT, 504, "write-timeout", "the host stopped reading the request")                                 \
	X(UPSTREAM_CLOSED, 502, "upstream-closed", "the host closed the connection without an answer")                 \
	X(UPSTREAM_CUT, 502, "upstream-cut", "the host closed the connection in the middle of its answer")             \
	X(UPSTREAM_RESET, 502, "upstream-reset", "the host reset the connection")                                      \
	X(BAD_RESPONSE, 502, "bad-response", "the answer of the host is not a valid HTTP/1 message")                   \
	X(RESPONSE_HEAD_TOO_LARGE, 502, "response-head-too-large", "the header of the answer is too large")            \
	X(REPLY_TOO_LARGE, 502, "reply-too-large", "the answer is larger than limits.reply_body allows")               \
	/* cluster */                                                                                                  \
	X(PARENT_DOWN, 504, "parent-down",                                                                             \
	  "no parent can be asked, and cluster.on_parent_failure forbids to go direct")                                \
	/* cache */                                                                                                    \
	X(ONLY_IF_CACHED, 504, "only-if-cached", "not in cache, and the request says only-if-cached")                  \
	X(OFFLINE, 504, "offline", "not in cache, and this node is offline (cache.offline)")                           \
	X(HELD_BACK, 503, "held-back", "the host fails, or has asked for a pause, and is not asked again yet")         \
	X(INTEGRITY, 502, "integrity", "the body does not fit its digest or length")                                   \
	X(DENY_LIST, 502, "deny-list", "the body is on the deny-list of this cache (pmcachectl purge --deny)")         \
	X(NOT_TAKEN, 502, "not-taken", "what was brought may not be stored for everybody")                             \
	X(NO_MEMORY, 503, "no-memory", "this node has no memory left for the request")                                 \
	X(ABORTED, 0, "aborted", "the client went away")                                                               \
	X(STALLED, 0, "stalled", "the client stopped reading")                                                         \
	X(INTERNAL, 500, "internal", "a fault of this node; please report it")

enum reason {
#define X(name, status, word, sentence) REASON_##name,
	REASON_TABLE(X)
#undef X
		REASON_COUNT
};

const char *reason_word(enum reason);     /* "dns-no-name" */
const char *reason_sentence(enum reason); /* "the host name does not exist" */
int reason_status(enum reason);           /* 502 */

#endif
