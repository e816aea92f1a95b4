/* mint: a leaf for each name that clients ask for, made when first wanted and kept.
 *
 * One mint serves all loops; every function may be called by any thread, and none but mint_load and mint_flush touches the
 * disk. A leaf is a certificate of its own over the one leaf key of this process. Minting costs about 60 µs, so it is done
 * outside the lock: two threads that want the same new name both mint, the first to come back is kept and both get it. That
 * needs no waiting, hence no loop ever waits for another; the price is one leaf thrown away.
 *
 * The mint also remembers what origins' certificates said (mint_remember), across restarts, in a text file of lines
 * (names.h). The file is a convenience: bad lines are skipped, and losing it costs a first contact per host. */
#ifndef NODE_TLS_MINT_H
#define NODE_TLS_MINT_H

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/base/clock.h"
#include "node/base/reason.h"
#include "node/base/span.h"
#include "node/tls/ca.h"
#include "node/tls/names.h"

#define MINT_NAMES_MAX 4      /* names asked for in one leaf: SNI, CONNECT host */
#define MINT_CONTEXT_BYTES 32 /* SSL_MAX_SID_CTX_LENGTH */
#define MINT_LEAVES 10000
#define MINT_ORIGINS 10000
#define MINT_LIFE_DAYS 398 /* more is refused by clients */
#define MINT_WHY_BYTES 512

struct mint;
struct leaf;

struct mint_settings {
	const char *names_path; /* NULL: remember in memory only */
	size_t max_leaves;      /* 0: MINT_LEAVES; about 2 KB each */
	size_t max_origins;     /* 0: MINT_ORIGINS */
};

/* Shares the CA. Makes the leaf key. */
struct mint *mint_new(struct ca *, const struct mint_settings *);
void mint_free(struct mint *); /* what is queued is lost: mint_flush before. Leaves held elsewhere live on. */

/* From now on leaves of this CA; those of the former are minted anew when next asked for. Shares it. */
void mint_use_ca(struct mint *, struct ca *);

/* The leaf for these names, the first of which gives the common name; one reference for the caller. They are checked
 * (names_host) and may repeat each other. With `mimic` (borrowed), the leaf has the subject, names and dates of that
 * certificate, as far as clients accept them, and the names asked for besides. NULL: *why is REASON_BAD_HOST (a name is no
 * name), REASON_DENIED_BUMP (the CA's name constraints forbid it) or REASON_INTERNAL (the CA has expired, OpenSSL fails). */
struct leaf *mint_leaf(struct mint *, const struct span *names, size_t n, const struct origin_cert *mimic, wall_ms now,
		       enum reason *why);

/* Could mint_leaf make one for this host, by the CA's name constraints? */
bool mint_permits(struct mint *, struct span host);

struct leaf *leaf_ref(struct leaf *);
void leaf_unref(struct leaf **); /* clears it; any thread */

/* All borrowed, good as long as the reference is held. */
X509 *leaf_cert(const struct leaf *);
STACK_OF(X509) * leaf_chain(const struct leaf *); /* what to send behind it; may be empty */
EVP_PKEY *leaf_pkey(const struct leaf *);
/* MINT_CONTEXT_BYTES, for SSL_set_session_id_context: a hash of names and CA, so that no ticket crosses names; the same
 * again after the leaf was renewed. */
const uint8_t *leaf_context(const struct leaf *);

/* Keeps what this host's certificate said (shares it). Of two certificates that a host uses at once, the one that lasts
 * longer is kept. True: there are lines to write and nobody was told yet; have a worker call mint_flush. A host that is no
 * name is ignored. */
bool mint_remember(struct mint *, struct span host, struct origin_cert *, wall_ms now);

/* What is remembered of the host, one reference for the caller; NULL: nothing, or it has expired. */
struct origin_cert *mint_recall(struct mint *, struct span host, wall_ms now);

/* For a worker: appends what is queued to the file, or writes the file anew when it has grown to twice what is remembered.
 * 0, or -1 with a sentence; lines that could not be written are lost to the file but not to the memory. */
int mint_flush(struct mint *, char *why, size_t why_bytes);

/* Before the first mint_flush: reads the file, and writes it anew if it held anything useless (should that fail, `why` holds a
 * warning). Number of hosts, or -1 with a sentence; no file is 0. *skipped: lines that were not understood. */
long mint_load(struct mint *, wall_ms now, size_t *skipped, char *why, size_t why_bytes);

struct mint_counts {
	size_t leaves, origins; /* held now */
	uint64_t minted;        /* leaves signed since the start */
	uint64_t dropped;       /* lines not written for want of room in the queue */
};

struct mint_counts mint_counts(struct mint *);

#endif
