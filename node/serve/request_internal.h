/* What the parts of a request share: request.c (what is asked), lookup.c (where the answer comes from), answer.c (giving it),
 * upload.c (the request's own body). */
#ifndef NODE_SERVE_REQUEST_INTERNAL_H
#define NODE_SERVE_REQUEST_INTERNAL_H

#include "node/base/mem.h"
#include "node/deliver/deliver.h"
#include "node/serve/request.h"
#include "proto/storeid.h"

/* RFC 9211: why the request was forwarded. */
enum request_fwd { FWD_NONE, FWD_BYPASS, FWD_METHOD, FWD_URI_MISS, FWD_VARY_MISS, FWD_REQUEST, FWD_STALE, FWD_MISS };

struct upload {
	bool active, done;
	struct chunked chunked;
	bool in_trailers;
	size_t scanned;
	uint64_t left;     /* of a body of known length */
	uint64_t taken;    /* body bytes given to the flight */
	struct span piece; /* decoded, not yet taken by the flight; in the client's buffer */
	size_t piece_raw;  /* bytes of the buffer that are used up with it */
};

struct request {
	unsigned magic;
	struct client *client;
	struct server *server;
	struct policy *policy;
	struct arena arena;
	mono_us began;
	uint64_t id;

	/* what is asked */
	const struct http1_request *head; /* the server's `parsed` at first, then a copy in the arena */
	bool kept;                        /* it is the copy */
	struct url url;
	struct storeid store_id; /* spans into the arena */
	struct path_facts path;
	struct fresh_request facts;
	struct index_ask ask; /* key, credential */
	bool keep_alive;

	/* where the answer comes from */
	struct entry *entry;     /* being delivered or waited for */
	struct entry *stale;     /* stored, not good without asking */
	struct entry *validated; /* the origin has just said that it is good */
	struct flight *flight;   /* begun by us */
	struct entry_watch watch;
	bool refresh; /* a child's operator wants it anew, whatever is stored */
	bool only;    /* a child's hedge: it may find something, but not have it fetched */
	bool joined, private, cached, looked_up_hit, alone, stale_on_error, not_modified, failed;
	bool ours;      /* answered by this node in its own name (doctor.h) */
	bool loaded;    /* it was brought from disk for us */
	bool look_only; /* HEAD of what is on disk: whatever else there is goes its own way */
	unsigned rounds;
	enum reason
		here_only; /* why it is not to be had from elsewhere (only-if-cached, offline); REASON_NONE: it may */
	enum fresh_why why;
	enum request_fwd fwd;
	enum accesslog_result result;
	struct deferred job;
	struct timer sign;     /* a child that asks only for what is here is told each second that it is still coming */
	struct timer patience; /* set while something stale could be served instead (cache.stale_patience) */

	/* giving it */
	bool delivering;
	struct deliver deliver;
	struct upload upload;
	struct entry_view view; /* of what is delivered; holds a reference to the head */
	uint64_t own_bytes;     /* of an answer of our own */
	int status;
	struct span cache_status; /* for the log; in the arena */
	struct flight_told told;  /* whom our flight has asked, once it is over for us */
};

#define REQUEST_MAGIC 0x4e90e571

/* request.c */
void request__keep(struct request *);
void request__free(struct request *);

/* lookup.c */
void lookup_begin(struct request *);
/* The entry that is waited for has changed. */
void lookup_progress(struct request *);
/* r->sign: the next one is due. */
void lookup_show_sign(struct request *);
/* r->patience is over. */
void lookup_lose_patience(struct request *);
/* What was to be served has proven damaged, before a byte of it went out: looks again. */
void lookup_damaged(struct request *);
void lookup_leave(struct request *); /* lets go of entry, watch and flight */

/* answer.c */
void answer_entry(struct request *, const struct entry_view *); /* takes the view's head */
void answer_go_on(struct request *);
void answer_error(struct request *, enum reason, struct span detail);
void answer_text(struct request *, int status, struct span type, struct span text);
void answer_log(struct request *, bool aborted);

/* upload.c */
void upload_begin(struct request *);
void upload_go_on(struct request *);
extern const struct flight_owner upload_owner;

#endif
