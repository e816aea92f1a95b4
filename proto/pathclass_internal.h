/* pathclass_internal: what the rules of pathclass are written in, and the rules. Nobody else includes it.
 *
 *     pathclass.c            the order of the rules, and the gates before them
 *     pathclass_words.c      names, versions, digests
 *     pathclass_script.c     npm, PyPI, RubyGems, Composer
 *     pathclass_compiled.c   Maven, Gradle, cargo, Go
 *     pathclass_system.c     Debian, RPM
 *     pathclass_git.c        archives and releases of git hosting; the smart protocol
 *     pathclass_oci.c        images
 *     pathclass_binary.c     runtimes and browsers by version
 *     pathclass_bytes.c      the first bytes of a body */
#ifndef PROTO_PATHCLASS_INTERNAL_H
#define PROTO_PATHCLASS_INTERNAL_H

#include "proto/pathclass.h"

#define PATH_MOST_SEGMENTS 40 /* paths with more are OTHER */
#define PATH_COMMIT_DIGITS 40

/* ---- text ---- */

#define IS(s, literal) is_text(s, literal, sizeof(literal) - 1)
#define STARTS(s, literal) starts_with(s, literal, sizeof(literal) - 1)
#define ENDS(s, literal) ends_with(s, literal, sizeof(literal) - 1)

/* Comparing with text of known length is most of the work here: let the compiler see the length. */
static inline bool is_text(struct span s, const char *text, size_t n)
{
	return s.n == n && memcmp(s.p, text, n) == 0;
}

static inline bool starts_with(struct span s, const char *text, size_t n)
{
	return s.n >= n && memcmp(s.p, text, n) == 0;
}

static inline bool ends_with(struct span s, const char *text, size_t n)
{
	return s.n >= n && memcmp(s.p + s.n - n, text, n) == 0;
}

static inline bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool is_alnum(char c)
{
	return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

static inline struct span without_end(struct span s, size_t n)
{
	return span_of(s.p, s.n - n);
}

/* The value of a hex digit plus one; 0 for all other characters. */
extern const uint8_t path_hex_digits[256];

static inline unsigned hex_value(char c)
{
	return path_hex_digits[(uint8_t)c] - 1u;
}

static inline bool is_hex(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!path_hex_digits[(uint8_t)s.p[i]])
			return false;
	return s.n > 0;
}

static inline bool is_hex_of(struct span s, size_t digits)
{
	return s.n == digits && is_hex(s);
}

static inline bool is_commit(struct span s)
{
	return (s.n == PATH_COMMIT_DIGITS || s.n == 64) && is_hex(s);
}

static inline bool is_digits(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_digit(s.p[i]))
			return false;
	return s.n > 0;
}

static inline bool has_digit(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (is_digit(s.p[i]))
			return true;
	return false;
}

/* What stands behind the first `part` of s; p == NULL when it does not hold one. */
struct span path_behind(struct span s, struct span part);
bool path_contains(struct span s, struct span part);
bool path_contains_icase(struct span s, struct span part);

/* ---- names and versions ---- */

bool path_is_name(struct span);
bool path_is_scope(struct span); /* "@name" */
/* semver.org, without a "v". */
bool path_is_semver(struct span);
bool path_is_v_semver(struct span);
/* "name-1.2.3": a name, '-', a semver. */
bool path_ends_in_semver(struct span);
/* "name-1.2" with any sort of number behind a '-'. */
bool path_has_dashed_digit(struct span);

/* ---- segments ---- */

struct path {
	struct span query;
	const struct hdrs *request;
	int n;
	struct span s[PATH_MOST_SEGMENTS]; /* between the slashes; the last is empty when the path ends in '/' */
	struct span file;                  /* the last */
	struct span suffix;                /* of file, behind its last '.'; empty when there is none */
	uint64_t words, suffixes;          /* which words there may be: SLOT */
};

/* back(p, 0) is the last segment; an empty span when there are not so many. */
static inline struct span back(const struct path *p, int i)
{
	return i < p->n ? p->s[p->n - 1 - i] : SPAN_NONE;
}

static inline struct span at(const struct path *p, int i)
{
	return i < p->n ? p->s[i] : SPAN_NONE;
}

static inline struct span agent(const struct path *p)
{
	return p->request ? hdr_value(p->request, HDR_USER_AGENT) : SPAN_NONE;
}

/* The last segment but the file with this name; -1. */
int path_find(const struct path *, struct span name);
/* Does one of the two segments before segment i hold this word? */
bool path_named(const struct path *, int i, struct span word);
/* What stands behind the last '.'; empty when there is none. */
struct span path_suffix_of(struct span file);

/* ---- results: what a rule returns when it fits ---- */

static inline bool immutable(struct path_facts *out, enum content_kind content)
{
	out->class = PATH_IMMUTABLE;
	out->content = content;
	return true;
}

static inline bool mutable(struct path_facts *out)
{
	out->class = PATH_MUTABLE;
	out->ttl_s = PATH_MUTABLE_TTL_S;
	return true;
}

static inline bool pass(struct path_facts *out)
{
	out->class = PATH_PASS;
	return true;
}

/* By suffix. */
enum content_kind path_content_of(struct span file);
void path_add_digest(struct path_facts *, enum path_digest, struct span hex);

struct digest_name {
	struct span name;
	enum path_digest kind;
	size_t digits;
};

/* "SHA256", "MD5Sum", as Debian and OCI write them; NULL. */
const struct digest_name *path_digest_by_name(struct span name);

/* ---- the rules: does the path have one of the shapes? Then *out says what follows. ---- */

bool pathclass_npm_tarball(const struct path *, struct path_facts *out);
bool pathclass_npm(const struct path *, struct path_facts *out);
bool pathclass_pypi(const struct path *, struct path_facts *out);
bool pathclass_gem(const struct path *, struct path_facts *out);
bool pathclass_composer(const struct path *, struct path_facts *out);
bool pathclass_maven(const struct path *, struct path_facts *out);
bool pathclass_gradle(const struct path *, struct path_facts *out);
bool pathclass_cargo(const struct path *, struct path_facts *out);
bool pathclass_go(const struct path *, struct path_facts *out);
bool pathclass_debian(const struct path *, struct path_facts *out);
bool pathclass_rpm(const struct path *, struct path_facts *out);
bool pathclass_githost(const struct path *, struct path_facts *out);
bool pathclass_git(const struct path *, struct path_facts *out);
bool pathclass_oci(const struct path *, struct path_facts *out);
bool pathclass_binary(const struct path *, struct path_facts *out);

#endif
