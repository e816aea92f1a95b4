/* deliver: an entry to a client: the head, conditions, a range, and the body at the client's pace, also while it still grows.
 *
 * The caller drives it: deliver_begin builds the head, deliver_go writes what can be written and says what it waits for. No copy is
 * made of a body in memory: the stream writes from the entry's chunks; one in a file is read piece by piece (reader.h). Belongs to the client's loop. */
#ifndef NODE_DELIVER_DELIVER_H
#define NODE_DELIVER_DELIVER_H

#include "node/cache/reader.h"
#include "node/net/stream.h"
#include "proto/http1_parse.h"

struct deliver {
	struct entry *entry; /* shared */
	struct head *head;   /* shared */
	struct stream *stream;
	int status; /* as sent */
	bool has_body, chunked, close_after;
	bool complete;  /* the entry is: its length will not change */
	uint64_t left;  /* of the body, to be sent; UINT64_MAX: until the entry ends */
	uint64_t start; /* where in the entry's body to begin */
	struct reader reader;
	char *head_text; /* the head, or what is left of it: in the caller's room at first, then on the heap */
	bool in_room;
	size_t head_at, head_n;
	uint64_t frame_left; /* of the current chunk of the coding */
	uint64_t sent;       /* bytes given to the stream, head included */
	uint64_t body_sent;
};

struct deliver_ask {
	struct stream *stream;       /* borrowed until deliver_end */
	struct entry *entry;         /* shared */
	struct head *head;           /* shared */
	struct disk_file *file;      /* of the entry (entry_view) */
	struct entry_watch *watch;   /* borrowed until deliver_end: on the entry, unless it is complete */
	reader_on_ready_f *on_ready; /* after DELIVER_DISK */
	void *cookie;
	const struct http1_request *request; /* borrowed during deliver_begin */
	struct span extra;                   /* whole field lines to add: Age, X-Cache, Cache-Status … */
	bool conditions; /* the request's conditions and range count (the flight did not pass them on) */
	bool keep_alive; /* wanted by the client and allowed by us; deliver may say no: see close_after */
	bool complete;   /* entry's phase is COMPLETE */
	bool stored;     /* the whole body can be read from the beginning */
	wall_ms now;
};

enum deliver_step {
	DELIVER_DONE,
	DELIVER_WRITE,  /* wants the stream to be writable */
	DELIVER_GROWTH, /* wants the entry to grow, or to end */
	DELIVER_DISK,   /* on_ready will come */
	DELIVER_FAILED, /* the stream has failed */
	/* What is on the disk is damaged, or cannot be read. When `sent` is 0 nothing has gone out, not even the head. */
	DELIVER_DAMAGED,
};

/* `room` is working memory of at least DELIVER_ROOM_BYTES for the head; it is used until the first deliver_go returns. */
#define DELIVER_ROOM_BYTES (200 * 1024)
void deliver_begin(struct deliver *, const struct deliver_ask *, char *room);
enum deliver_step deliver_go(struct deliver *);
/* After a turn: how far it has come is told to those who fill the entry. */
void deliver_tell(struct deliver *);
/* The entry is complete now. */
void deliver_completed(struct deliver *);
/* Gives everything back. */
void deliver_end(struct deliver *);

#endif
