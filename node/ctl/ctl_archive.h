/* ctl_archive: objects of a cache in a tar archive, for where no network leads.
 *
 *     objects/1.head    status line and fields as they are stored, without Content-Length and Age
 *     objects/1.body
 *     objects/2.head    … up to CTL_ARCHIVE_MOST
 *     manifest.json     the last: {"format":1,"objects":[{"url":"https://registry.test/a.tgz","type":"application/gzip","when":1764500000,
 *                       "age":12,"bytes":1000,"sha256":"…","head_sha256":"…"},…]}, in the order of the members
 *
 * when: in seconds since 1970, its age then. Nothing in an archive is believed before all of it fits the manifest, and the manifest
 * itself is as good as where it comes from. */
#ifndef NODE_CTL_CTL_ARCHIVE_H
#define NODE_CTL_CTL_ARCHIVE_H

#include "node/base/hash.h"
#include "node/base/span.h"
#include "proto/http1_parse.h"

#define CTL_ARCHIVE_MOST ((size_t)1000000)
#define CTL_ARCHIVE_HEAD_BYTES ((size_t)64 * 1024)
#define CTL_ARCHIVE_MANIFEST_BYTES ((uint64_t)1024 * 1024 * 1024)

/* ---- writing ---- */

/* Into a file that can be written at any place. What fails is remembered as errno in `failed`, and ends in nothing being written. */
struct ctl_archive_writer {
	int fd, failed;
	uint64_t at;    /* where the next object goes */
	uint64_t bytes; /* of bodies */
	size_t n;       /* objects */
	struct buf manifest;
	/* the object that comes */
	bool begun;
	uint64_t head_at, body_at, body_bytes;
	uint64_t when, age;
	struct span type; /* owned */
	uint8_t head_digest[SHA256_BYTES];
	struct sha256 running;
};

void ctl_archive_begin(struct ctl_archive_writer *, int fd);
/* One object: its head, the pieces of its body, then either that it is whole, or that it is none. False: it is no head to be kept. */
bool ctl_archive_head(struct ctl_archive_writer *, const struct http1_response *, uint64_t when_s);
void ctl_archive_body(struct ctl_archive_writer *, struct span piece);
void ctl_archive_keep(struct ctl_archive_writer *, const char *url);
void ctl_archive_drop(struct ctl_archive_writer *);
/* Manifest and end. False: errno is in `failed`. Frees what the writer has; `at` is how long the file is. */
bool ctl_archive_end(struct ctl_archive_writer *);

/* ---- reading ---- */

struct ctl_archive_item {
	char *url;
	uint64_t head_at, head_bytes, body_at, body_bytes;
	uint64_t when, age;
	uint8_t head_digest[SHA256_BYTES], digest[SHA256_BYTES];
};

struct ctl_archive {
	size_t n;
	struct ctl_archive_item *v;
	uint64_t bytes; /* of bodies */
};

#define CTL_ARCHIVE_WHY_BYTES 400
/* Reads all of the file and checks it. False with a sentence that names the member. To be followed by ctl_archive_free. */
bool ctl_archive_check(int fd, struct ctl_archive *, char why[CTL_ARCHIVE_WHY_BYTES]);
void ctl_archive_free(struct ctl_archive *);

/* Its head as an origin would send it now, into the empty b of CTL_ARCHIVE_HEAD_BYTES + 128. False: it cannot be read, or is no head. */
bool ctl_archive_put_head(int fd, const struct ctl_archive_item *, uint64_t now_s, struct buf *b);

/* The manifest alone, for n objects whose places and digests are in v: fills urls and times, and compares the rest. False with a sentence in
 * why. Pure. */
bool ctl_archive_fits(struct span manifest, struct ctl_archive_item *v, size_t n, char why[CTL_ARCHIVE_WHY_BYTES]);

#endif
