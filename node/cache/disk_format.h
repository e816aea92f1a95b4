/* disk_format: what an object's file looks like. Pure: bytes in, structs out.
 *
 * Little-endian:
 *
 *     head part   fixed fields (DISK_FIXED_BYTES), fields, phrase, Vary, store-id, zeros up to a multiple of 64; its
 *                 checksum is over all of it but the checksum itself
 *     body        length bytes
 *     end part    XXH3-64 of each DISK_CHUNK_BYTES of body, then DISK_LAST_BYTES: serial, body's length, SHA-256 of
 *                 the body, checksum over the end part but itself, magic
 *
 * So every byte of a file is under a sum, the sums of a file are seeded with its serial, and so nothing of one file can
 * pass for part of another. A file without its end is none. The serial is its name. Lengths are checked before anything
 * is allocated for them. */
#ifndef NODE_CACHE_DISK_FORMAT_H
#define NODE_CACHE_DISK_FORMAT_H

#include "node/cache/disk_file.h"

#define DISK_FORMAT_VERSION 1
#define DISK_FIXED_BYTES 256
#define DISK_LAST_BYTES 64
#define DISK_HEAD_MOST ((uint32_t)512 * 1024) /* of a head part */

/* What a head part says beside the head. */
struct disk_label {
	uint64_t serial;
	struct key key;
	struct key_variant variant;
	wall_ms received_wall;
	bool guarded; /* stored from an authorised request */
};

/* How many bytes the head part of `h` takes; 0: too many. */
uint32_t disk_format_head_bytes(const struct head *h);
/* Writes them. */
void disk_format_put_head(const struct head *, const struct disk_label *, char *to, uint32_t n);

/* The length that a head part says it has, from its first DISK_FIXED_BYTES; 0: this is none (or one of another
 * version). */
uint32_t disk_format_look(struct span first);

/* All of a head part. *head has one reference for the caller, and room for a digest; its `received` is 0. */
bool disk_format_get_head(struct span part, struct disk_label *, struct head **head);

/* Bytes of the end part of a body of this length. */
uint64_t disk_format_end_bytes(uint64_t length);
/* Of a whole file. */
uint64_t disk_format_file_bytes(uint32_t head_bytes, uint64_t length);

struct disk_end {
	uint64_t length;
	uint8_t digest[HEAD_DIGEST_BYTES];
};

/* One sum per chunk of length; n is disk_format_end_bytes. */
void disk_format_put_end(const struct disk_end *, uint64_t serial, const uint64_t *sums, char *to);
/* The length that the body of a file of this size with this head must have; false: there is none. */
bool disk_format_length(uint64_t file_bytes, uint32_t head_bytes, uint64_t *length);
/* All of an end part, of exactly disk_format_end_bytes of what it says. sums: room for one per chunk. */
bool disk_format_get_end(struct span part, uint64_t serial, struct disk_end *, uint64_t *sums);

static inline uint64_t disk_format_chunks(uint64_t length)
{
	return length / DISK_CHUNK_BYTES + (length % DISK_CHUNK_BYTES != 0);
}

/* Of one chunk of a body, or of its beginning. */
uint64_t disk_format_sum(struct span chunk, uint64_t serial);

#endif
