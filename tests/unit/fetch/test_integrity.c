#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/base/mem.h"
#include "node/fetch/integrity.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define BODY "abc"

/* Of "abc", and of "abd". */
#define GOOD_MD5 "kAFQmDzST7DWlj99KOF/cg=="
#define GOOD_MD5_HEX "900150983cd24fb0d6963f7d28e17f72"
#define GOOD_SHA1 "qZk+NkcGgWq6PiVxeFDCbJzQ2J0="
#define GOOD_SHA1_HEX "a9993e364706816aba3e25717850c26c9cd0d89d"
#define GOOD_SHA256 "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
#define GOOD_SHA256_HEX "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define GOOD_SHA384 "ywB1P0WjXou1oD1pmsZQBycsMqsO3tFjGotgWkP/W+2AhgcroefMI1i67KE0yCWn"
#define GOOD_SHA512                                                                                                    \
	"3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9"                                             \
	"RU1EI2Q86A4qmslPpUyknw=="
#define GOOD_SHA512_HEX                                                                                                \
	"ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"                                             \
	"2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
#define GOOD_BLAKE2B_HEX "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"
#define BAD_MD5 "SRHlFuWqIdMnUS4Mixl2Fg=="
#define BAD_MD5_HEX "4911e516e5aa21d327512e0c8b197616"
#define BAD_SHA1 "y0zCjfD9vg7PnZZi4pSxGAkqVzU="
#define BAD_SHA1_HEX "cb4cc28df0fdbe0ecf9d9662e294b118092a5735"
#define BAD_SHA256 "pS0VnyYrLG3bckphhAvvw26zDIiHekAwtly+himESck="
#define BAD_SHA256_HEX "a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9"
#define BAD_SHA384 "XRW867ll+neSbCNHHJbjoyazY/XxBcPvF8/QM7lzT6RlVvgaJrswRNLdpQSBMl73"
#define BAD_SHA512                                                                                                     \
	"GphAwnpc8i2rBgzdioPaKw+8sa61LU+dOJS2OQg+IFpas/avrushuOmbXg/pPar6"                                             \
	"q+7ydNpdbq3MnbNuW29kxA=="
#define BAD_SHA512_HEX                                                                                                 \
	"1a9840c27a5cf22dab060cdd8a83da2b0fbcb1aeb52d4f9d3894b639083e205a"                                             \
	"5ab3f6afaeeb21b8e99b5e0fe93daafaabeef274da5d6eadcc9db36e5b6f64c4"
#define BAD_BLAKE2B_HEX "d63a93ea9b4bd91fe0b20e6d87a26042d2fe45eec5e4934ec6915a1bdb0c9afa"

/* ---- one body ---- */

struct message {
	int status;               /* 0: 200 */
	enum http1_method method; /* 0: GET */
	const char *path;         /* "" or kind and hex digits of the digest in it */
	const char *pacote;       /* value of pacote-integrity in the request, '\n' between several lines */
	const char *fields;       /* of the response, with '\n' between them */
};

static void add_fields(struct hdrs *h, const char *lines)
{
	struct span rest = span_str(lines), line, name;

	while (lines && span_cut(&rest, '\n', &line)) {
		assert_true(span_cut(&line, ':', &name));
		assert_int_equal(hdr_add(h, name, span_trim(line)), 0);
	}
}

static void add_pacote(struct hdrs *h, const char *lines)
{
	struct span rest = span_str(lines), line;

	while (lines && span_cut(&rest, '\n', &line))
		assert_int_equal(hdr_add(h, SPAN("pacote-integrity"), line), 0);
}

static void set_path(struct path_facts *path, const char *text)
{
	static const struct {
		const char *name;
		enum path_digest kind;
	} kinds[] = {
		{"md5 ", PATH_DIGEST_MD5},       {"sha1 ", PATH_DIGEST_SHA1},           {"sha256 ", PATH_DIGEST_SHA256},
		{"sha512 ", PATH_DIGEST_SHA512}, {"blake2b ", PATH_DIGEST_BLAKE2B_256},
	};

	*path = (struct path_facts){.digest_kind = PATH_DIGEST_NONE};
	for (size_t i = 0; text && i < COUNT(kinds); i++) {
		const char *hex = text + strlen(kinds[i].name);

		if (strncmp(text, kinds[i].name, strlen(kinds[i].name)) != 0)
			continue;
		path->digest_kind = kinds[i].kind;
		for (; *hex; hex += 2) {
			char pair[3] = {hex[0], hex[1], '\0'};

			path->digest[path->digest_bytes++] = (uint8_t)strtoul(pair, NULL, 16);
		}
	}
	assert_true(!text || path->digest_bytes);
}

static void begin(struct integrity *i, const struct message *m)
{
	struct http1_request *request = NEW(struct http1_request);
	struct http1_response *response = NEW(struct http1_response);
	struct path_facts path;

	request->method = m->method ? m->method : METHOD_GET;
	response->status = m->status ? m->status : 200;
	set_path(&path, m->path);
	add_pacote(&request->fields, m->pacote);
	add_fields(&response->fields, m->fields);
	integrity_begin(i, &path, request, response);
	free(request);
	free(response);
}

/* What came of it: "" nothing is promised, "kept", or what integrity_format says. */
static void judge(const struct message *m, struct span body, char said[INTEGRITY_TEXT_BYTES + 1])
{
	struct buf b = buf_over(said, INTEGRITY_TEXT_BYTES);
	const struct integrity_promise *broken;
	struct integrity i;

	begin(&i, m);
	for (size_t at = 0; at < body.n; at++)
		integrity_add(&i, body.p + at, 1);
	broken = integrity_end(&i);
	if (broken)
		integrity_format(broken, &b);
	else if (integrity_is_promised(&i))
		buf_put_str(&b, "kept");
	assert_false(b.full);
	said[b.n] = '\0';
	integrity_fini(&i);
	integrity_fini(&i);
}

struct expected {
	const char *what;
	struct message m;
	const char *said;
};

static void check_all(const struct expected *t, size_t n)
{
	for (size_t k = 0; k < n; k++) {
		char said[INTEGRITY_TEXT_BYTES + 1];

		judge(&t[k].m, SPAN(BODY), said);
		if (strcmp(said, t[k].said) != 0)
			fail_msg("%s: \"%s\" instead of \"%s\"", t[k].what, said, t[k].said);
	}
}

/* ---- each source with each algorithm ---- */

#define BOTH(what, field, value, bad, text)                                                                            \
	{what, {.field = value}, "kept"},                                                                              \
	{                                                                                                              \
		what " of others", {.field = bad}, "not the " text                                                     \
	}

static void digests_in_the_path(void **state)
{
	static const struct expected t[] = {
		BOTH("md5", path, "md5 " GOOD_MD5_HEX, "md5 " BAD_MD5_HEX, "MD5 of the path"),
		BOTH("sha1", path, "sha1 " GOOD_SHA1_HEX, "sha1 " BAD_SHA1_HEX, "SHA-1 of the path"),
		BOTH("sha256", path, "sha256 " GOOD_SHA256_HEX, "sha256 " BAD_SHA256_HEX, "SHA-256 of the path"),
		BOTH("sha512", path, "sha512 " GOOD_SHA512_HEX, "sha512 " BAD_SHA512_HEX, "SHA-512 of the path"),
		BOTH("blake2b", path, "blake2b " GOOD_BLAKE2B_HEX, "blake2b " BAD_BLAKE2B_HEX,
		     "BLAKE2b-256 of the path"),
	};

	(void)state;
	check_all(t, COUNT(t));
}

static void fields_of_the_response(void **state)
{
	static const struct expected t[] = {
		BOTH("repr sha-256", fields, "Repr-Digest: sha-256=:" GOOD_SHA256 ":",
		     "Repr-Digest: sha-256=:" BAD_SHA256 ":", "SHA-256 of Repr-Digest"),
		BOTH("repr sha-512", fields, "repr-digest: sha-512=:" GOOD_SHA512 ":",
		     "repr-digest: sha-512=:" BAD_SHA512 ":", "SHA-512 of Repr-Digest"),
		BOTH("repr sha", fields, "Repr-Digest: sha=:" GOOD_SHA1 ":", "Repr-Digest: sha=:" BAD_SHA1 ":",
		     "SHA-1 of Repr-Digest"),
		BOTH("repr md5", fields, "Repr-Digest: md5=:" GOOD_MD5 ":", "Repr-Digest: md5=:" BAD_MD5 ":",
		     "MD5 of Repr-Digest"),
		BOTH("content-digest", fields, "Content-Digest: sha-256=:" GOOD_SHA256 ":",
		     "Content-Digest: sha-256=:" BAD_SHA256 ":", "SHA-256 of Content-Digest"),
		BOTH("digest sha-256", fields, "Digest: SHA-256=" GOOD_SHA256, "Digest: SHA-256=" BAD_SHA256,
		     "SHA-256 of Digest"),
		BOTH("digest sha-512", fields, "Digest: sha-512=" GOOD_SHA512, "Digest: sha-512=" BAD_SHA512,
		     "SHA-512 of Digest"),
		BOTH("digest sha", fields, "Digest: SHA=" GOOD_SHA1, "Digest: SHA=" BAD_SHA1, "SHA-1 of Digest"),
		BOTH("digest md5", fields, "Digest: md5=" GOOD_MD5, "Digest: md5=" BAD_MD5, "MD5 of Digest"),
		BOTH("content-md5", fields, "Content-MD5: " GOOD_MD5, "Content-MD5: " BAD_MD5, "MD5 of Content-MD5"),
		BOTH("x-checksum-md5", fields, "X-Checksum-Md5: " GOOD_MD5_HEX, "X-Checksum-Md5: " BAD_MD5_HEX,
		     "MD5 of X-Checksum"),
		BOTH("x-checksum-sha1", fields, "x-checksum-sha1: " GOOD_SHA1_HEX, "x-checksum-sha1: " BAD_SHA1_HEX,
		     "SHA-1 of X-Checksum"),
		BOTH("x-checksum-sha256", fields, "X-Checksum-Sha256: " GOOD_SHA256_HEX,
		     "X-Checksum-Sha256: " BAD_SHA256_HEX, "SHA-256 of X-Checksum"),
		BOTH("x-checksum-sha512", fields, "X-Checksum-SHA512: " GOOD_SHA512_HEX,
		     "X-Checksum-SHA512: " BAD_SHA512_HEX, "SHA-512 of X-Checksum"),
		{"upper-case hex", {.fields = "X-Checksum-Md5: 900150983CD24FB0D6963F7D28E17F72"}, "kept"},
	};

	(void)state;
	check_all(t, COUNT(t));
}

static void the_request(void **state)
{
	static const struct expected t[] = {
		BOTH("sha512", pacote, "sha512-" GOOD_SHA512, "sha512-" BAD_SHA512, "SHA-512 of pacote-integrity"),
		BOTH("sha384", pacote, "sha384-" GOOD_SHA384, "sha384-" BAD_SHA384, "SHA-384 of pacote-integrity"),
		BOTH("sha256", pacote, "sha256-" GOOD_SHA256, "sha256-" BAD_SHA256, "SHA-256 of pacote-integrity"),
		BOTH("sha1", pacote, "sha1-" GOOD_SHA1, "sha1-" BAD_SHA1, "SHA-1 of pacote-integrity"),
		BOTH("md5", pacote, "md5-" GOOD_MD5, "md5-" BAD_MD5, "MD5 of pacote-integrity"),
		{"options", {.pacote = "sha1-" GOOD_SHA1 "?a?b"}, "kept"},
		{"options of others", {.pacote = "sha1-" BAD_SHA1 "?a"}, "not the SHA-1 of pacote-integrity"},
		{"the strongest counts",
		 {.pacote = "sha1-" BAD_SHA1 " sha512-" GOOD_SHA512 " sha256-" BAD_SHA256},
		 "kept"},
		{"and no other",
		 {.pacote = "sha1-" GOOD_SHA1 " sha512-" BAD_SHA512 " sha256-" GOOD_SHA256},
		 "not the SHA-512 of pacote-integrity"},
		{"any of several", {.pacote = "sha1-" BAD_SHA1 "  sha1-" GOOD_SHA1 " sha1-" BAD_SHA1}, "kept"},
		{"none of several",
		 {.pacote = "sha1-" BAD_SHA1 " sha1-" BAD_SHA1},
		 "not the SHA-1 of pacote-integrity"},
		{"what is malformed is not the strongest", {.pacote = "sha512-abc sha1-" GOOD_SHA1}, "kept"},
		{"several lines", {.pacote = "sha1-" BAD_SHA1 "\nsha1-" GOOD_SHA1}, "kept"},
		{"eight",
		 {.pacote = "md5-" BAD_MD5 " md5-" BAD_MD5 " md5-" BAD_MD5 " md5-" BAD_MD5 " md5-" BAD_MD5
			    " md5-" BAD_MD5 " md5-" BAD_MD5 " md5-" GOOD_MD5},
		 "kept"},
		{"more than eight",
		 {.pacote = "md5-" BAD_MD5 " md5-" BAD_MD5 " md5-" BAD_MD5 " md5-" BAD_MD5 " md5-" BAD_MD5
			    " md5-" BAD_MD5 " md5-" BAD_MD5 " md5-" BAD_MD5 " md5-" BAD_MD5},
		 ""},
		{"a stronger one behind more than eight",
		 {.pacote = "md5-" BAD_MD5 " md5-" BAD_MD5 " md5-" BAD_MD5 " md5-" BAD_MD5 " md5-" BAD_MD5
			    " md5-" BAD_MD5 " md5-" BAD_MD5 " md5-" BAD_MD5 " md5-" BAD_MD5 " sha1-" GOOD_SHA1},
		 "kept"},
	};

	(void)state;
	check_all(t, COUNT(t));
}

/* ---- lists ---- */

static void of_one_source_the_strongest_counts(void **state)
{
	static const struct expected t[] = {
		{"stronger first", {.fields = "Repr-Digest: sha-512=:" GOOD_SHA512 ":, md5=:" BAD_MD5 ":"}, "kept"},
		{"stronger last", {.fields = "Repr-Digest: md5=:" BAD_MD5 ":,sha-512=:" GOOD_SHA512 ":"}, "kept"},
		{"stronger broken",
		 {.fields = "Repr-Digest: md5=:" GOOD_MD5 ":, sha-256=:" BAD_SHA256 ":"},
		 "not the SHA-256 of Repr-Digest"},
		{"two lines", {.fields = "Digest: md5=" BAD_MD5 "\nX: y\nDigest: sha-256=" GOOD_SHA256}, "kept"},
		{"the later of equal ones", {.fields = "Repr-Digest: md5=:" BAD_MD5 ":, md5=:" GOOD_MD5 ":"}, "kept"},
		{"unknown algorithms",
		 {.fields = "Repr-Digest: crc32c=:AAAAAA==:, x=1, md5=:" GOOD_MD5 ":;q=1, y"},
		 "kept"},
		{"checksums", {.fields = "X-Checksum-Md5: " BAD_MD5_HEX "\nX-Checksum-Sha1: " GOOD_SHA1_HEX}, "kept"},
	};

	(void)state;
	check_all(t, COUNT(t));
}

static void each_source_must_be_kept(void **state)
{
	static const struct expected t[] = {
		{"all there are",
		 {.path = "sha256 " GOOD_SHA256_HEX,
		  .pacote = "sha1-" GOOD_SHA1,
		  .fields = "Content-MD5: " GOOD_MD5 "\nDigest: sha=" GOOD_SHA1 "\nRepr-Digest: md5=:" GOOD_MD5
			    ":\nContent-Digest: sha-512=:" GOOD_SHA512 ":\nX-Checksum-Md5: " GOOD_MD5_HEX},
		 "kept"},
		{"path and repr-digest differ",
		 {.path = "sha256 " BAD_SHA256_HEX, .fields = "Repr-Digest: sha-256=:" GOOD_SHA256 ":"},
		 "not the SHA-256 of the path"},
		{"the same algorithm twice",
		 {.path = "sha256 " GOOD_SHA256_HEX, .fields = "Repr-Digest: sha-256=:" BAD_SHA256 ":"},
		 "not the SHA-256 of Repr-Digest"},
		{"the origin's word before the client's",
		 {.pacote = "sha1-" BAD_SHA1, .fields = "Content-MD5: " BAD_MD5},
		 "not the MD5 of Content-MD5"},
		{"the client alone",
		 {.pacote = "sha1-" BAD_SHA1, .fields = "Content-MD5: " GOOD_MD5},
		 "not the SHA-1 of pacote-integrity"},
	};

	(void)state;
	check_all(t, COUNT(t));
}

/* ---- what promises nothing ---- */

static void malformed_values(void **state)
{
	static const struct expected t[] = {
		{"no byte sequence", {.fields = "Repr-Digest: sha-256=" BAD_SHA256}, ""},
		{"not closed", {.fields = "Repr-Digest: sha-256=:" BAD_SHA256}, ""},
		{"more behind it", {.fields = "Repr-Digest: sha-256=:" BAD_SHA256 ":x"}, ""},
		{"another length", {.fields = "Repr-Digest: sha-256=:" BAD_SHA1 ":"}, ""},
		{"empty", {.fields = "Repr-Digest: "}, ""},
		{"empty sequence", {.fields = "Repr-Digest: sha-256=::"}, ""},
		{"a colon alone", {.fields = "Repr-Digest: sha-256=:"}, ""},
		{"no value", {.fields = "Repr-Digest: sha-256"}, ""},
		{"commas", {.fields = "Repr-Digest: ,,,"}, ""},
		{"not base64", {.fields = "Repr-Digest: md5=:kAFQmDzST7DWlj99KOF/!g==:"}, ""},
		{"a byte sequence in Digest", {.fields = "Digest: sha-256=:" BAD_SHA256 ":"}, ""},
		{"too long to be any", {.fields = "Digest: sha-512=" BAD_SHA512 BAD_SHA512}, ""},
		{"hex in Content-MD5", {.fields = "Content-MD5: " BAD_MD5_HEX}, ""},
		{"base64 in a checksum", {.fields = "X-Checksum-Sha1: " BAD_SHA1}, ""},
		{"hex of another length", {.fields = "X-Checksum-Sha1: " BAD_MD5_HEX}, ""},
		{"not hex", {.fields = "X-Checksum-Md5: 900150983cd24fb0d6963f7d28e17f7g"}, ""},
		{"not hex, first digit", {.fields = "X-Checksum-Md5: 900150983cd24fb0d6963f7d28e17f@2"}, ""},
		{"another checksum", {.fields = "X-Checksum-Crc: 00000000"}, ""},
		{"no digest", {.pacote = "sha512-"}, ""},
		{"no dash", {.pacote = "sha512"}, ""},
		{"null", {.pacote = "null"}, ""},
		{"spaces", {.pacote = "   "}, ""},
		{"another algorithm", {.pacote = "sha3-" BAD_SHA512}, ""},
		{"the name of a field", {.pacote = "sha-512-" BAD_SHA512}, ""},
		{"hex", {.pacote = "sha1-" BAD_SHA1_HEX}, ""},
		{"nothing", {.fields = "Content-Type: text/plain"}, ""},
	};

	(void)state;
	check_all(t, COUNT(t));
}

static void padding_may_be_missing(void **state)
{
	static const struct expected t[] = {
		{"repr-digest", {.fields = "Repr-Digest: md5=:kAFQmDzST7DWlj99KOF/cg:"}, "kept"},
		{"digest", {.fields = "Digest: md5=kAFQmDzST7DWlj99KOF/cg"}, "kept"},
		{"content-md5", {.fields = "Content-MD5: kAFQmDzST7DWlj99KOF/cw"}, "not the MD5 of Content-MD5"},
	};

	(void)state;
	check_all(t, COUNT(t));
}

static void other_messages(void **state)
{
	static const struct message all = {
		.path = "sha256 " BAD_SHA256_HEX,
		.pacote = "sha1-" BAD_SHA1,
		.fields = "Repr-Digest: md5=:" BAD_MD5 ":\nX-Checksum-Md5: " BAD_MD5_HEX,
	};
	static const int statuses[] = {201, 203, 204, 206, 302, 304, 404, 500};
	static const enum http1_method methods[] = {METHOD_HEAD, METHOD_POST, METHOD_PUT};
	char said[INTEGRITY_TEXT_BYTES + 1];

	(void)state;
	for (size_t k = 0; k < COUNT(statuses); k++) {
		struct message m = all;

		m.status = statuses[k];
		judge(&m, SPAN(BODY), said);
		assert_string_equal(said, "");
	}
	for (size_t k = 0; k < COUNT(methods); k++) {
		struct message m = all;

		m.method = methods[k];
		judge(&m, SPAN(BODY), said);
		assert_string_equal(said, "");
	}
}

static void a_coded_body_is_not_the_file(void **state)
{
	static const struct expected t[] = {
		{"path", {.path = "md5 " BAD_MD5_HEX, .fields = "Content-Encoding: gzip"}, ""},
		{"checksum", {.fields = "Content-Encoding: gzip\nX-Checksum-Md5: " BAD_MD5_HEX}, ""},
		{"pacote", {.pacote = "sha1-" BAD_SHA1, .fields = "Content-Encoding: br"}, ""},
		{"several codings", {.pacote = "sha1-" BAD_SHA1, .fields = "Content-Encoding: identity, gzip"}, ""},
		{"identity is none",
		 {.pacote = "sha1-" BAD_SHA1, .fields = "Content-Encoding: identity"},
		 "not the SHA-1 of pacote-integrity"},
		{"repr-digest counts",
		 {.path = "md5 " BAD_MD5_HEX,
		  .fields = "Content-Encoding: gzip\nRepr-Digest: sha-256=:" BAD_SHA256 ":"},
		 "not the SHA-256 of Repr-Digest"},
		{"digest counts", {.fields = "Content-Encoding: gzip\nDigest: md5=" BAD_MD5}, "not the MD5 of Digest"},
		{"content-md5 counts",
		 {.fields = "Content-Encoding: gzip\nContent-MD5: " BAD_MD5},
		 "not the MD5 of Content-MD5"},
	};

	(void)state;
	check_all(t, COUNT(t));
}

/* ---- the rest ---- */

static void an_empty_body_is_judged_too(void **state)
{
	static const struct message empty = {.fields = "Content-MD5: 1B2M2Y8AsgTpgAmY7PhCfg=="},
				    full = {.fields = "Content-MD5: " GOOD_MD5};
	char said[INTEGRITY_TEXT_BYTES + 1];

	(void)state;
	judge(&empty, SPAN(""), said);
	assert_string_equal(said, "kept");
	judge(&full, SPAN(""), said);
	assert_string_equal(said, "not the MD5 of Content-MD5");
}

static void sha256_of_the_body_is_there_without_a_promise(void **state)
{
	struct path_facts want;
	struct integrity i;

	(void)state;
	begin(&i, &(struct message){.status = 404});
	integrity_add(&i, "a", 1);
	integrity_add(&i, "bc", 2);
	assert_null(integrity_end(&i));
	set_path(&want, "sha256 " GOOD_SHA256_HEX);
	assert_memory_equal(i.sha256, want.digest, SHA256_BYTES);
	integrity_fini(&i);
}

static void only_what_is_promised_is_computed(void **state)
{
	struct integrity i;

	(void)state;
	begin(&i, &(struct message){.fields = "Repr-Digest: sha-256=:" GOOD_SHA256 ":, md5=:" GOOD_MD5 ":"});
	for (int kind = 0; kind < HASH_KINDS; kind++)
		assert_null(i.others[kind]);
	integrity_fini(&i);
	begin(&i, &(struct message){.pacote = "sha512-" GOOD_SHA512 " sha1-" GOOD_SHA1});
	for (int kind = 0; kind < HASH_KINDS; kind++)
		assert_int_equal(i.others[kind] != NULL, kind == HASH_SHA512);
	integrity_fini(&i); /* in the middle of a body */
}

static void every_source_is_counted(void **state)
{
	(void)state;
	for (int s = INTEGRITY_PATH; s <= INTEGRITY_PACOTE; s++) {
		struct integrity_promise p = {.source = (enum integrity_source)s, .kind = HASH_BLAKE2B_256};
		char room[INTEGRITY_TEXT_BYTES];
		struct buf b = buf_over(room, sizeof(room));

		assert_true(integrity_metric(p.source) < METRIC_COUNT);
		integrity_format(&p, &b); /* the longest there is fits */
		assert_false(b.full);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(digests_in_the_path),
		cmocka_unit_test(fields_of_the_response),
		cmocka_unit_test(the_request),
		cmocka_unit_test(of_one_source_the_strongest_counts),
		cmocka_unit_test(each_source_must_be_kept),
		cmocka_unit_test(malformed_values),
		cmocka_unit_test(padding_may_be_missing),
		cmocka_unit_test(other_messages),
		cmocka_unit_test(a_coded_body_is_not_the_file),
		cmocka_unit_test(an_empty_body_is_judged_too),
		cmocka_unit_test(sha256_of_the_body_is_there_without_a_promise),
		cmocka_unit_test(only_what_is_promised_is_computed),
		cmocka_unit_test(every_source_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
