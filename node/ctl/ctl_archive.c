#include "node/ctl/ctl_archive.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/base/json.h"
#include "node/base/mem.h"
#include "node/ctl/ctl.h"
#include "node/ctl/ctl_json.h"
#include "node/ctl/ctl_tar.h"
#include "proto/http1_format.h"

#define BIT(id) (1ull << HDR_##id)
/* Told anew by whoever serves it. */
#define TOLD_ANEW (BIT(AGE) | BIT(CONTENT_LENGTH) | BIT(VIA) | BIT(CACHE_STATUS) | BIT(X_CACHE) | BIT(X_CACHE_LOOKUP))
#define PIECE_BYTES ((size_t)256 * 1024)
#define URL_BYTES 16384
#define TYPE_BYTES 200
#define END_BLOCKS 2
#define MOST_ZEROS 64 /* blocks at the end, as some programs fill up */

/* ---- writing ---- */

static void write_at(struct ctl_archive_writer *w, uint64_t at, const void *bytes, size_t n)
{
	const char *p = bytes;

	while (n && !w->failed) {
		ssize_t written = pwrite(w->fd, p, n, (off_t)at);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0) {
			w->failed = written ? errno : ENOSPC;
			return;
		}
		p += written;
		at += (uint64_t)written;
		n -= (size_t)written;
	}
}

/* Its header and what fills it up; the bytes themselves are written by others. Where the next one begins. */
static uint64_t frame(struct ctl_archive_writer *w, uint64_t at, const char *name, uint64_t bytes)
{
	static const uint8_t zeros[CTL_TAR_BLOCK];
	uint8_t block[CTL_TAR_BLOCK];
	size_t padding = ctl_tar_padding(bytes);

	ctl_tar_write(block, name, bytes, w->when);
	write_at(w, at, block, sizeof(block));
	at += CTL_TAR_BLOCK + bytes;
	write_at(w, at, zeros, padding);
	return at + padding;
}

void ctl_archive_begin(struct ctl_archive_writer *w, int fd)
{
	size_t room = 65536;

	*w = (struct ctl_archive_writer){.fd = fd, .manifest = buf_over(mem_alloc(room), room)};
	buf_put_str(&w->manifest, "{\"format\":1,\"objects\":[");
}

static void name_of(char name[CTL_TAR_NAME_BYTES], size_t number, const char *what)
{
	snprintf(name, CTL_TAR_NAME_BYTES, "objects/%zu.%s", number, what);
}

bool ctl_archive_head(struct ctl_archive_writer *w, const struct http1_response *r, uint64_t when_s)
{
	char name[CTL_TAR_NAME_BYTES], *text;
	struct buf b;

	if (r->status != 200 || w->n == CTL_ARCHIVE_MOST)
		return false;
	text = mem_alloc(CTL_ARCHIVE_HEAD_BYTES);
	b = buf_over(text, CTL_ARCHIVE_HEAD_BYTES);
	http1_format_status_line(&b, r->status, r->phrase);
	http1_format_fields(&b, &r->fields, TOLD_ANEW);
	http1_format_end(&b);
	if (!b.full) {
		w->begun = true;
		w->when = when_s;
		if (span_to_u64(hdr_value(&r->fields, HDR_AGE), &w->age))
			w->age = 0;
		w->type = span_str(span_dup(span_upto(hdr_value(&r->fields, HDR_CONTENT_TYPE), TYPE_BYTES)));
		sha256_of(buf_span(&b), w->head_digest);
		w->head_at = w->at;
		name_of(name, w->n + 1, "head");
		write_at(w, w->head_at + CTL_TAR_BLOCK, b.p, b.n);
		w->body_at = frame(w, w->head_at, name, b.n);
		w->body_bytes = 0;
		sha256_init(&w->running);
	}
	free(text);
	return !b.full;
}

void ctl_archive_body(struct ctl_archive_writer *w, struct span piece)
{
	if (!w->begun)
		return;
	write_at(w, w->body_at + CTL_TAR_BLOCK + w->body_bytes, piece.p, piece.n);
	sha256_add(&w->running, piece.p, piece.n);
	w->body_bytes += piece.n;
}

static void put_hex(struct buf *b, const char *name, const uint8_t digest[SHA256_BYTES])
{
	buf_printf(b, ",\"%s\":\"", name);
	buf_put_hex(b, digest, SHA256_BYTES);
	buf_putc(b, '"');
}

static void make_room(struct buf *b, size_t n)
{
	while (b->cap - b->n < n)
		b->p = mem_realloc(b->p, b->cap *= 2);
}

void ctl_archive_keep(struct ctl_archive_writer *w, const char *url)
{
	char name[CTL_TAR_NAME_BYTES];
	uint8_t digest[SHA256_BYTES];

	sha256_end(&w->running, digest);
	name_of(name, w->n + 1, "body");
	w->at = frame(w, w->body_at, name, w->body_bytes);
	make_room(&w->manifest, JSON_GROWTH * (strlen(url) + TYPE_BYTES) + 512);
	buf_put_str(&w->manifest, w->n ? ",\n{\"url\":" : "\n{\"url\":");
	json_put_string(&w->manifest, span_str(url));
	buf_put_str(&w->manifest, ",\"type\":");
	json_put_string(&w->manifest, w->type);
	buf_printf(&w->manifest, ",\"when\":%llu,\"age\":%llu,\"bytes\":%llu", (unsigned long long)w->when,
		   (unsigned long long)w->age, (unsigned long long)w->body_bytes);
	put_hex(&w->manifest, "sha256", digest);
	put_hex(&w->manifest, "head_sha256", w->head_digest);
	buf_putc(&w->manifest, '}');
	w->n++;
	w->bytes += w->body_bytes;
	ctl_archive_drop(w);
}

void ctl_archive_drop(struct ctl_archive_writer *w)
{
	free((char *)(uintptr_t)w->type.p);
	w->type = SPAN_NONE;
	w->begun = false;
}

bool ctl_archive_end(struct ctl_archive_writer *w)
{
	static const uint8_t zeros[END_BLOCKS * CTL_TAR_BLOCK];

	make_room(&w->manifest, 8);
	buf_put_str(&w->manifest, "\n]}\n");
	write_at(w, w->at + CTL_TAR_BLOCK, w->manifest.p, w->manifest.n);
	w->at = frame(w, w->at, "manifest.json", w->manifest.n);
	write_at(w, w->at, zeros, sizeof(zeros));
	w->at += sizeof(zeros);
	if (!w->failed && ftruncate(w->fd, (off_t)w->at) < 0) /* behind it may be what was dropped */
		w->failed = errno;
	free(w->manifest.p);
	w->manifest = (struct buf){0};
	return !w->failed;
}

/* ---- reading ---- */

struct reading {
	int fd;
	uint64_t at;
	char *piece;
	size_t room; /* of v */
	struct ctl_archive *out;
	char *why;
};

static bool bad(struct reading *r, const char *member, const char *what)
{
	snprintf(r->why, CTL_ARCHIVE_WHY_BYTES, "%s%s%s", member, *member ? ": " : "", what);
	return false;
}

/* All of it, or false: the end has come, or an error. */
static bool read_at(int fd, uint64_t at, void *to, size_t n)
{
	char *p = to;

	while (n) {
		ssize_t got = pread(fd, p, n, (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		p += got;
		at += (uint64_t)got;
		n -= (size_t)got;
	}
	return true;
}

static bool digest_of(struct reading *r, uint64_t at, uint64_t bytes, uint8_t digest[SHA256_BYTES])
{
	struct sha256 running;

	sha256_init(&running);
	while (bytes) {
		size_t n = bytes < PIECE_BYTES ? (size_t)bytes : PIECE_BYTES;

		if (!read_at(r->fd, at, r->piece, n))
			return false;
		sha256_add(&running, r->piece, n);
		at += n;
		bytes -= n;
	}
	sha256_end(&running, digest);
	return true;
}

static bool next_member(struct reading *r, struct ctl_tar_member *m)
{
	uint8_t block[CTL_TAR_BLOCK];
	const char *why = NULL;

	if (!read_at(r->fd, r->at, block, sizeof(block)))
		return bad(r, "", "the archive is cut short: it has no manifest.json");
	switch (ctl_tar_read(block, m, &why)) {
	case CTL_TAR_MEMBER:
		r->at += sizeof(block);
		return true;
	case CTL_TAR_END:
		return bad(r, "", "the archive has no manifest.json");
	case CTL_TAR_BAD:
		break;
	}
	return bad(r, m->name, why);
}

/* What a member has to be called here, and whether it fits. */
static bool step_over(struct reading *r, const struct ctl_tar_member *m, uint8_t digest[SHA256_BYTES])
{
	if (!digest_of(r, r->at, m->bytes, digest))
		return bad(r, m->name, "the archive is cut short");
	r->at += m->bytes + ctl_tar_padding(m->bytes);
	return true;
}

static bool is_called(struct reading *r, const struct ctl_tar_member *m, const char *what)
{
	char name[CTL_TAR_NAME_BYTES];

	name_of(name, r->out->n + 1, what);
	return strcmp(m->name, name) == 0;
}

/* A head, which has been found, and its body. */
static bool read_object(struct reading *r, const struct ctl_tar_member *head)
{
	struct ctl_archive_item item = {.head_at = r->at, .head_bytes = head->bytes};
	struct ctl_tar_member body;

	if (!is_called(r, head, "head"))
		return bad(r, head->name, "another member was to be expected here");
	if (r->out->n == CTL_ARCHIVE_MOST)
		return bad(r, head->name, "there are too many objects");
	if (head->bytes > CTL_ARCHIVE_HEAD_BYTES)
		return bad(r, head->name, "it is too large");
	if (!step_over(r, head, item.head_digest) || !next_member(r, &body))
		return false;
	if (!is_called(r, &body, "body"))
		return bad(r, body.name, "another member was to be expected here");
	item.body_at = r->at;
	item.body_bytes = body.bytes;
	if (!step_over(r, &body, item.digest))
		return false;
	if (r->out->n == r->room) {
		r->room = r->room ? 2 * r->room : 1024;
		r->out->v = mem_realloc(r->out->v, r->room * sizeof(*r->out->v));
	}
	r->out->v[r->out->n++] = item;
	r->out->bytes += item.body_bytes;
	return true;
}

static bool read_hex(struct span object, const char *name, uint8_t digest[SHA256_BYTES])
{
	char text[2 * SHA256_BYTES + 2];

	ctl_json_text(object, name, text, sizeof(text));
	if (strlen(text) != (size_t)2 * SHA256_BYTES || strspn(text, "0123456789abcdef") != (size_t)2 * SHA256_BYTES)
		return false;
	for (size_t i = 0; i < SHA256_BYTES; i++) {
		char two[3] = {text[2 * i], text[2 * i + 1], '\0'};

		digest[i] = (uint8_t)strtoul(two, NULL, 16);
	}
	return true;
}

static const char *fault_of(struct span object, struct ctl_archive_item *item)
{
	uint8_t head[SHA256_BYTES], body[SHA256_BYTES];
	char url[URL_BYTES];

	ctl_json_text(object, "url", url, sizeof(url));
	if (!ctl_is_url(url))
		return "manifest.json has no URL for it";
	if (!read_hex(object, "sha256", body) || !read_hex(object, "head_sha256", head))
		return "manifest.json has no digest for it";
	if (!ctl_json_has(object, "bytes") || ctl_json_u64(object, "bytes") != item->body_bytes)
		return "it is not as long as manifest.json says";
	if (memcmp(body, item->digest, sizeof(body)) != 0 || memcmp(head, item->head_digest, sizeof(head)) != 0)
		return "its digest is not what manifest.json says";
	item->when = ctl_json_u64(object, "when");
	item->age = ctl_json_u64(object, "age");
	item->url = span_dup(span_str(url));
	return NULL;
}

bool ctl_archive_fits(struct span manifest, struct ctl_archive_item *v, size_t n, char why[CTL_ARCHIVE_WHY_BYTES])
{
	struct span rest, object;
	const char *fault = NULL;
	size_t i = 0;

	if (!ctl_json_is_good(manifest) || ctl_json_u64(manifest, "format") != 1) {
		snprintf(why, CTL_ARCHIVE_WHY_BYTES, "manifest.json: it is none of format 1");
		return false;
	}
	rest = ctl_json_get(manifest, "objects");
	for (; !fault && ctl_json_next(&rest, &object); i += !fault)
		fault = i < n ? fault_of(object, &v[i]) : "it is not in the archive";
	if (!fault && i < n)
		fault = "it is not in manifest.json";
	if (fault)
		snprintf(why, CTL_ARCHIVE_WHY_BYTES, "objects/%zu.body: %s", i + 1, fault);
	return !fault;
}

static bool read_manifest(struct reading *r, const struct ctl_tar_member *m)
{
	char *text;
	bool good;

	if (m->bytes > CTL_ARCHIVE_MANIFEST_BYTES)
		return bad(r, m->name, "it is too large");
	text = mem_try((size_t)m->bytes + 1);
	if (!text)
		return bad(r, m->name, "there is no memory for it");
	good = read_at(r->fd, r->at, text, (size_t)m->bytes);
	if (good)
		good = ctl_archive_fits(span_of(text, (size_t)m->bytes), r->out->v, r->out->n, r->why);
	else
		bad(r, m->name, "the archive is cut short");
	free(text);
	r->at += m->bytes + ctl_tar_padding(m->bytes);
	return good;
}

/* Zeros, at least two blocks of them, and no more than some. */
static bool read_end(struct reading *r)
{
	uint8_t block[CTL_TAR_BLOCK];
	struct ctl_tar_member m;
	const char *why = NULL;
	unsigned n = 0;

	for (; read_at(r->fd, r->at, block, sizeof(block)); n++, r->at += sizeof(block))
		if (n == MOST_ZEROS || ctl_tar_read(block, &m, &why) != CTL_TAR_END)
			return bad(r, m.name, "it comes behind manifest.json, which has to be the last");
	return n >= END_BLOCKS || bad(r, "", "the archive is cut short: its end is missing");
}

bool ctl_archive_check(int fd, struct ctl_archive *out, char why[CTL_ARCHIVE_WHY_BYTES])
{
	struct reading r = {.fd = fd, .piece = mem_alloc(PIECE_BYTES), .out = out, .why = why};
	struct ctl_tar_member m;
	bool good;

	*out = (struct ctl_archive){0};
	good = next_member(&r, &m);
	while (good && strcmp(m.name, "manifest.json") != 0)
		good = read_object(&r, &m) && next_member(&r, &m);
	good = good && read_manifest(&r, &m) && read_end(&r);
	free(r.piece);
	return good;
}

void ctl_archive_free(struct ctl_archive *a)
{
	for (size_t i = 0; i < a->n; i++)
		free(a->v[i].url);
	free(a->v);
	*a = (struct ctl_archive){0};
}

/* One whole head, that leaves length and age to us. */
static bool is_head(struct span text)
{
	struct http1_response *r = NEW(struct http1_response);
	enum reason why;
	size_t scanned = 0;
	bool good = http1_parse_response(text, &scanned, CTL_ARCHIVE_HEAD_BYTES, METHOD_GET, r, &why) == HTTP1_DONE &&
		    r->head_bytes == text.n && r->body == HTTP1_BODY_CLOSE && !hdr_has(&r->fields, HDR_AGE);

	free(r);
	return good;
}

bool ctl_archive_put_head(int fd, const struct ctl_archive_item *item, uint64_t now_s, struct buf *b)
{
	uint64_t since = now_s > item->when ? now_s - item->when : 0;

	if (item->head_bytes > b->cap || !read_at(fd, item->head_at, b->p, (size_t)item->head_bytes) ||
	    !is_head(span_of(b->p, (size_t)item->head_bytes)))
		return false;
	b->n = (size_t)item->head_bytes - 2; /* the empty line comes behind ours */
	buf_put_str(b, "Content-Length: ");
	buf_put_u64(b, item->body_bytes);
	buf_put_str(b, "\r\nAge: ");
	buf_put_u64(b, item->age > UINT32_MAX || since > UINT32_MAX ? UINT32_MAX : item->age + since);
	buf_put_str(b, "\r\n\r\n");
	return !b->full;
}
