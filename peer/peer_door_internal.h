/* What the parts of the door share: peer_door.c (connections, pages), peer_door_object.c (sending an object), peer_door_disk.c (looking for one
 * on disk). */
#ifndef PEER_PEER_DOOR_INTERNAL_H
#define PEER_PEER_DOOR_INTERNAL_H

#include <sys/queue.h>

#include "node/cache/reader.h"
#include "node/net/stream.h"
#include "peer/peer_door.h"
#include "peer/peer_link.h"

#define PEER_DOOR_HEAD_BYTES (16 * 1024)

/* ---- one object on its way out ---- */

struct disk_search;

struct door_object {
	struct entry *entry;            /* shared; NULL: none is on its way */
	struct disk_search *search;     /* NULL: none is on its way */
	bool other_variant;             /* something is in memory, but for other requests */
	bool has_place;                 /* among the streams */
	struct entry_watch watch;       /* until the entry is complete */
	struct head *head;              /* shared; NULL: the head is awaited */
	struct peer_link_request asked; /* borrows from the visitor's `in` */
	bool complete;                  /* the entry is: its length will not change */
	bool told_digest;               /* in the head */
	struct reader reader;
	uint64_t frame_left; /* of the current chunk of the coding */
	/* What goes before the next byte of the body: the head, or the end of a chunk and the size of the next. */
	char *text; /* owned, or `line` */
	size_t text_at, text_n;
	char line[32];
	uint64_t sent;      /* of the body */
	unsigned interim;   /* how many 102 have been sent */
	struct timer again; /* the next one */
};

/* ---- one connection ---- */

enum visit {
	VISIT_READING, /* a request, or nothing yet */
	VISIT_OWED,    /* a page that has not been answered yet */
	VISIT_OBJECT,
	VISIT_ANSWERED, /* what was said has not all gone yet; or the next of pipelined requests has not had its turn */
};

struct visitor {
	unsigned magic;
	TAILQ_ENTRY(visitor) entry;
	struct peer_door *door;
	struct stream *stream;
	struct node_name who;
	uint32_t node; /* its id */
	enum visit visit;
	bool keep_alive; /* after the current answer */
	bool head_only;  /* it was asked by HEAD */
	struct timer deadline;
	struct deferred job;
	struct peer_door_reply *reply; /* of OWED */
	struct door_object object;
	size_t n, scanned;
	size_t head_bytes; /* of the request that is being answered: it stays in `in` so long */
	char in[PEER_DOOR_HEAD_BYTES];
};

#define VISITOR_MAGIC 0x9ee5d0f1

struct peer_door {
	unsigned magic;
	struct peer_door_settings settings;
	bool draining;
	TAILQ_HEAD(, visitor) visitors; /* who asked last is the last */
	unsigned n_visitors;
	struct http1_request parsed; /* during one call */
};

#define PEER_DOOR_MAGIC 0x9ee5d00a

/* ---- peer_door.c ---- */

/* A short answer; `extra` are whole field lines. The visitor may be gone afterwards, as after the next two. */
void door__answer(struct visitor *, int status, struct span extra, struct span type, struct span body);
/* The answer has been given to the stream. */
void door__answered(struct visitor *);
void door__end(struct visitor *, enum stream_end);
/* Reads more of what the visitor says, while it waits. False: it has left, and is gone. */
bool door__hear(struct visitor *);

/* ---- peer_door_object.c ---- */

/* The request is in door->parsed. The visitor may be gone afterwards, as after the next one. */
void door__object(struct visitor *, const struct peer_link_request *);
/* The stream is ready. */
void door__object_go_on(struct visitor *, unsigned events);
/* Gives everything back; harmless when nothing is on its way. */
void door__object_fini(struct visitor *);

void door__object_found(struct visitor *,
			struct entry *); /* the end of a search: takes the entry; NULL: there is nothing */

/* ---- peer_door_disk.c ---- */

/* May the disk have what is asked for? A look into memory. */
bool door__disk_has(const struct visitor *);

enum door_found { DOOR_FOUND, DOOR_NOT_FOUND, DOOR_SEARCHING, DOOR_BUSY };

/* The request is in door->parsed. FOUND: *out, whole, with a reference, and published nowhere: siblings leave no mark in memory.
 * SEARCHING: door__object_found comes, never from inside, unless object.search is ended. */
enum door_found door__disk_find(struct visitor *, struct entry **out);

#endif
