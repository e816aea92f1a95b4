#include "proto/pathclass.h"

#define MAX_SEGMENTS 40 /* paths with more are OTHER */
#define MAX_NAME 512    /* of a file name that is searched for a version */
#define FULL_COMMIT 40

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

struct path {
	struct span query;
	const struct hdrs *request;
	int n;
	struct span s[MAX_SEGMENTS]; /* between the slashes; the last is empty when the path ends in '/' */
	struct span file;            /* the last */
	struct span suffix;          /* of file, behind its last '.'; empty when there is none */
	uint64_t words, suffixes;    /* which words there may be: SLOT */
};

/* A word that a shape needs is looked for only when its bit is set: nearly all rules are passed over by one test. */
static inline uint64_t slot(size_t n, char first, char last)
{
	return 1ull << ((n * 7 + (uint8_t)first * 5 + (uint8_t)last * 3) & 63);
}

#define SLOT(literal) slot(sizeof(literal) - 1, (literal)[0], (literal)[sizeof(literal) - 2])

static inline uint64_t slot_of(struct span s)
{
	return s.n ? slot(s.n, s.p[0], s.p[s.n - 1]) : 0;
}

/* --- characters and names --- */

static inline bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool is_alnum(char c)
{
	return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* The value of a hex digit plus one; 0 for all other characters. */
static const uint8_t hex_digits[256] = {
	['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
	['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
	['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

static inline unsigned hex_value(char c)
{
	return hex_digits[(uint8_t)c] - 1u;
}

static bool is_hex(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!hex_digits[(uint8_t)s.p[i]])
			return false;
	return s.n > 0;
}

static bool is_hex_of(struct span s, size_t digits)
{
	return s.n == digits && is_hex(s);
}

static bool is_commit(struct span s)
{
	return (s.n == FULL_COMMIT || s.n == 64) && is_hex(s);
}

static bool is_digits(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_digit(s.p[i]))
			return false;
	return s.n > 0;
}

static bool has_digit(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (is_digit(s.p[i]))
			return true;
	return false;
}

/* What stands behind the first `part` of s; p == NULL when it does not hold one. */
static struct span behind(struct span s, struct span part)
{
	for (size_t i = 0; i + part.n <= s.n; i++) {
		i += span_find(span_from(s, i), part.p[0]);
		if (span_starts(span_from(s, i), part))
			return span_from(s, i + part.n);
	}
	return SPAN_NONE;
}

static bool contains(struct span s, struct span part)
{
	return behind(s, part).p != NULL;
}

static bool contains_icase(struct span s, struct span part)
{
	for (size_t i = 0; i + part.n <= s.n; i++)
		if (span_eq_icase(span_of(s.p + i, part.n), part))
			return true;
	return false;
}

static struct span without_end(struct span s, size_t n)
{
	return span_of(s.p, s.n - n);
}

/* A number without leading zeros at *at. */
static bool skip_number(struct span s, size_t *at)
{
	size_t start = *at;

	while (*at < s.n && is_digit(s.p[*at]))
		++*at;
	return *at > start && (s.p[start] != '0' || *at == start + 1);
}

/* Identifiers of letters, digits and '-', separated by '.', none empty. */
static bool skip_identifiers(struct span s, size_t *at)
{
	size_t start;

	do {
		start = *at += *at < s.n && s.p[*at] == '.';
		while (*at < s.n && (is_alnum(s.p[*at]) || s.p[*at] == '-'))
			++*at;
		if (*at == start)
			return false;
	} while (*at < s.n && s.p[*at] == '.');
	return true;
}

/* semver.org, without a "v". */
static bool is_semver(struct span s)
{
	size_t at = 0;

	for (int part = 0; part < 3; part++) {
		if (part && (at >= s.n || s.p[at++] != '.'))
			return false;
		if (!skip_number(s, &at))
			return false;
	}
	for (const char *mark = "-+"; *mark; mark++) {
		if (at == s.n || s.p[at] != *mark)
			continue;
		at++;
		if (at == s.n || s.p[at] == '.' || !skip_identifiers(s, &at))
			return false;
	}
	return at == s.n;
}

static bool is_v_semver(struct span s)
{
	return s.n > 1 && s.p[0] == 'v' && is_semver(span_from(s, 1));
}

/* "name-1.2.3": a name, '-', a semver. */
static bool ends_in_semver(struct span s)
{
	if (s.n > MAX_NAME)
		return false;
	for (size_t i = 1; i + 1 < s.n; i++)
		if (s.p[i] == '-' && is_digit(s.p[i + 1]) && is_semver(span_from(s, i + 1)))
			return true;
	return false;
}

/* "name-1.2" with any sort of number behind a '-'. */
static bool has_dashed_digit(struct span s)
{
	for (size_t i = 1; i + 1 < s.n; i++)
		if (s.p[i] == '-' && is_digit(s.p[i + 1]))
			return true;
	return false;
}

static bool is_name(struct span s)
{
	if (s.n < 1 || s.n > 214 || !is_alnum(s.p[0]))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!is_alnum(s.p[i]) && s.p[i] != '-' && s.p[i] != '.' && s.p[i] != '_' && s.p[i] != '~')
			return false;
	return true;
}

static bool is_scope(struct span s)
{
	return s.n > 1 && s.p[0] == '@' && is_name(span_from(s, 1));
}

/* --- segments --- */

static struct span suffix_of(struct span file)
{
	size_t dot = file.n;

	while (dot && file.p[dot - 1] != '.')
		dot--;
	return dot ? span_from(file, dot) : SPAN_NONE;
}

static bool add_segment(struct path *p, const char *from, const char *to)
{
	struct span s = span_of(from, (size_t)(to - from));

	if (p->n == MAX_SEGMENTS)
		return false;
	p->s[p->n++] = s;
	p->words |= slot_of(s);
	return true;
}

static bool split(struct span path, struct path *p)
{
	const char *end = path.p + path.n, *start = path.p + 1;

	p->n = 0;
	p->words = 0;
	if (path.n == 0 || path.p[0] != '/')
		return false;
	for (const char *c = start; c < end; c++) {
		if (*c != '/')
			continue;
		if (!add_segment(p, start, c))
			return false;
		start = c + 1;
	}
	if (!add_segment(p, start, end))
		return false;
	p->file = p->s[p->n - 1];
	p->suffix = suffix_of(p->file);
	p->suffixes = slot_of(p->suffix);
	return true;
}

/* back(p, 0) is the last segment; an empty span when there are not so many. */
static struct span back(const struct path *p, int i)
{
	return i < p->n ? p->s[p->n - 1 - i] : SPAN_NONE;
}

static struct span at(const struct path *p, int i)
{
	return i < p->n ? p->s[i] : SPAN_NONE;
}

/* The last segment but the file with this name; -1. */
static int find(const struct path *p, struct span name)
{
	for (int i = p->n - 2; i >= 0; i--)
		if (span_eq(p->s[i], name))
			return i;
	return -1;
}

/* Does one of the two segments before segment i hold this word? */
static bool named(const struct path *p, int i, struct span word)
{
	return (i >= 1 && contains_icase(p->s[i - 1], word)) || (i >= 2 && contains_icase(p->s[i - 2], word));
}

/* --- who asks --- */

static struct span agent(const struct path *p)
{
	return p->request ? hdr_value(p->request, HDR_USER_AGENT) : SPAN_NONE;
}

static bool from_npm(const struct path *p)
{
	struct span a = agent(p);

	if (!p->request)
		return false;
	return STARTS(a, "npm/") || STARTS(a, "pnpm/") || STARTS(a, "yarn/") || STARTS(a, "Bun/") ||
	       contains(hdr_value(p->request, HDR_ACCEPT), SPAN("application/vnd.npm.install-v1+json")) ||
	       hdr_find(p->request, SPAN("npm-command")) != NULL;
}

static bool from_gem(const struct path *p)
{
	struct span a = agent(p);

	return STARTS(a, "bundler/") || contains(a, SPAN("RubyGems/"));
}

static bool from_cargo(const struct path *p)
{
	return STARTS(agent(p), "cargo");
}

/* --- results --- */

static const struct {
	struct span end;
	enum content_kind kind;
} suffixes[] = {
#define X(end, kind) {{end, sizeof(end) - 1}, CONTENT_##kind},
	X("tgz", GZIP) X("gz", GZIP) X("crate", GZIP) X("zip", ZIP) X("whl", ZIP) X("jar", ZIP) X("war", ZIP)
		X("ear", ZIP) X("aar", ZIP) X("egg", ZIP) X("klib", ZIP) X("xz", XZ) X("zst", ZSTD) X("bz2", BZIP2)
			X("rz", ZLIB) X("deb", AR) X("udeb", AR) X("ddeb", AR) X("gem", TAR) X("tar", TAR) X("rpm", RPM)
#undef X
};

static enum content_kind content_of(struct span file)
{
	struct span end = suffix_of(file);

	for (size_t i = 0; end.n && i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
		if (span_eq(end, suffixes[i].end))
			return suffixes[i].kind;
	return CONTENT_ANY;
}

static bool immutable(struct path_facts *out, enum content_kind content)
{
	out->class = PATH_IMMUTABLE;
	out->content = content;
	return true;
}

static bool mutable(struct path_facts *out)
{
	out->class = PATH_MUTABLE;
	out->ttl_s = PATH_MUTABLE_TTL_S;
	return true;
}

static bool pass(struct path_facts *out)
{
	out->class = PATH_PASS;
	return true;
}

static void add_digest(struct path_facts *out, enum path_digest kind, struct span hex)
{
	out->digest_kind = kind;
	for (size_t i = 0; i + 1 < hex.n; i += 2)
		out->digest[out->digest_bytes++] = (uint8_t)(hex_value(hex.p[i]) << 4 | hex_value(hex.p[i + 1]));
}

static const struct digest_name {
	struct span name;
	enum path_digest kind;
	size_t digits;
} digest_names[] = {
#define X(name, kind, digits)                                                                                          \
	{                                                                                                              \
		{name, sizeof(name) - 1}, PATH_DIGEST_##kind, digits                                                   \
	}
	X("SHA256", SHA256, 64),
	X("SHA512", SHA512, 128),
	X("SHA1", SHA1, 40),
	X("MD5Sum", MD5, 32),
#undef X
};

static const struct digest_name *digest_by_name(struct span name)
{
	for (size_t i = 0; i < sizeof(digest_names) / sizeof(digest_names[0]); i++)
		if (span_eq_icase(name, digest_names[i].name))
			return &digest_names[i];
	return NULL;
}

/* --- npm --- */

static bool npm_tarball(const struct path *p, struct path_facts *out)
{
	struct span dash = is_scope(back(p, 1)) ? back(p, 2) : back(p, 1);

	if (IS(dash, "-") && p->n >= 3 && ENDS(p->file, ".tgz") && ends_in_semver(without_end(p->file, 4)))
		return immutable(out, CONTENT_GZIP);
	if (p->file.n >= 32 && is_hex(p->file) && is_semver(back(p, 1)) && is_name(back(p, 2)) &&
	    IS(is_scope(back(p, 3)) ? back(p, 4) : back(p, 3), "download"))
		return immutable(out, CONTENT_GZIP);
	return false;
}

/* What stands behind "/-/": the registry's own services. */
static bool npm_service(const struct path *p, struct path_facts *out)
{
	int dash = find(p, SPAN("-"));
	struct span service = at(p, dash + 1), next = at(p, dash + 2);

	if (dash < 0)
		return false;
	if (IS(service, "npm")) {
		struct span what = at(p, dash + 3);

		return IS(next, "v1") && (IS(what, "keys") || IS(what, "attestations")) ? mutable(out) : pass(out);
	}
	if (IS(service, "whoami") || IS(service, "user") || IS(service, "ping"))
		return pass(out);
	if (IS(service, "v1"))
		return IS(next, "search") ? mutable(out) : IS(next, "login") && pass(out);
	return IS(service, "package") && IS(p->file, "dist-tags") && mutable(out);
}

static bool npm_packument(const struct path *p, struct path_facts *out)
{
	bool of_version = is_semver(p->file) || IS(p->file, "latest");
	int name = of_version ? p->n - 2 : p->n - 1;

	if (name < 0 || !is_name(p->s[name]))
		return false;
	if (name > 0 && is_scope(p->s[name - 1]) && !IS(p->s[name - 1], "@v")) /* "@v" is Go's */
		return mutable(out);
	return (name == 0 ? from_npm(p) : named(p, name, SPAN("npm"))) && mutable(out);
}

static bool npm(const struct path *p, struct path_facts *out)
{
	return npm_tarball(p, out) || npm_service(p, out) || npm_packument(p, out);
}

/* --- Maven and Gradle --- */

/* Without .sha1, .asc and the like, also several of them. */
static struct span without_checksum(struct span f)
{
	size_t end;

	do {
		end = ENDS(f, ".sha1")                           ? 5
		      : ENDS(f, ".sha256") || ENDS(f, ".sha512") ? 7
		      : ENDS(f, ".md5") || ENDS(f, ".asc")       ? 4
								 : 0;
		f = without_end(f, end);
	} while (end);
	return f;
}

static bool is_maven_file(struct span f)
{
	return ENDS(f, ".pom") || ENDS(f, ".jar") || ENDS(f, ".module") || ENDS(f, ".war") || ENDS(f, ".aar") ||
	       ENDS(f, ".ear") || ENDS(f, ".zip") || ENDS(f, ".tar.gz") || ENDS(f, ".tar.bz2") || ENDS(f, ".tar.xz") ||
	       ENDS(f, ".klib") || ENDS(f, ".nar") || ENDS(f, ".rar") || ENDS(f, ".toml") || ENDS(f, ".exe") ||
	       ENDS(f, ".so") || ENDS(f, ".dll") || ENDS(f, ".xml") || ENDS(f, ".json") || ENDS(f, ".txt");
}

static bool ends_a_word(struct span s, size_t i)
{
	return i < s.n && (s.p[i] == '.' || s.p[i] == '-');
}

/* "yyyymmdd.hhmmss-n" and then '.' or '-'. */
static bool starts_with_timestamp(struct span s)
{
	size_t i = 16;

	if (s.n < 18 || !is_digits(span_upto(s, 8)) || s.p[8] != '.' || !is_digits(span_of(s.p + 9, 6)) ||
	    s.p[15] != '-')
		return false;
	while (i < s.n && is_digit(s.p[i]))
		i++;
	return i > 16 && ends_a_word(s, i);
}

/* …/artifact/version/artifact-version… */
static bool maven(const struct path *p, struct path_facts *out)
{
	struct span artifact = back(p, 2), version = back(p, 1), rest;
	bool snapshot;

	if (STARTS(p->file, "maven-metadata"))
		return ENDS(without_checksum(p->file), ".xml") && mutable(out);
	if (p->n < 4 || !artifact.n || p->file.n < artifact.n + 2 || p->file.p[artifact.n] != '-' ||
	    !span_eq(span_upto(p->file, artifact.n), artifact) || !has_digit(version) ||
	    !is_maven_file(without_checksum(p->file)))
		return false;
	snapshot = ENDS(version, "-SNAPSHOT");
	rest = span_from(p->file, artifact.n + 1);
	if (span_starts(rest, version) && ends_a_word(rest, version.n))
		return snapshot ? mutable(out) : immutable(out, content_of(p->file));
	if (!snapshot)
		return false;
	version = without_end(version, 8);
	return span_starts(rest, version) && starts_with_timestamp(span_from(rest, version.n)) &&
	       immutable(out, content_of(p->file));
}

static bool gradle(const struct path *p, struct path_facts *out)
{
	struct span file = without_checksum(p->file);

	if (IS(back(p, 1), "distributions") && STARTS(file, "gradle-") && !contains(file, SPAN("SNAPSHOT")) &&
	    (ENDS(file, "-bin.zip") || ENDS(file, "-all.zip")))
		return immutable(out, content_of(p->file));
	return IS(back(p, 1), "cache") && file.n >= 32 && is_hex(file) && pass(out);
}

/* --- PyPI style --- */

/* Without the end of what is kept beside a file. */
static struct span without_sibling(struct span f)
{
	return without_end(f, ENDS(f, ".metadata")                 ? 9
			      : ENDS(f, ".provenance")             ? 11
			      : ENDS(f, ".asc") || ENDS(f, ".sig") ? 4
								   : 0);
}

static bool is_python_file(struct span file)
{
	return ENDS(file, ".whl") || ENDS(file, ".tar.gz") || ENDS(file, ".zip") || ENDS(file, ".tar.bz2") ||
	       ENDS(file, ".egg");
}

static bool pypi_file(const struct path *p, struct path_facts *out)
{
	int i = find(p, SPAN("packages"));
	struct span file = without_sibling(p->file);

	if (i < 0 || !file.n)
		return false;
	if (p->n == i + 5 && is_hex_of(p->s[i + 1], 2) && is_hex_of(p->s[i + 2], 2) && is_hex_of(p->s[i + 3], 60)) {
		/* the digest is that of the file, not of what stands beside it */
		for (int part = 1; part <= 3 && file.n == p->file.n; part++)
			add_digest(out, PATH_DIGEST_BLAKE2B_256, p->s[i + part]);
		return immutable(out, content_of(p->file));
	}
	if (IS(at(p, i + 1), "generic"))
		return false;
	return is_python_file(file) && immutable(out, content_of(p->file));
}

static bool pypi(const struct path *p, struct path_facts *out)
{
	int last = p->file.n ? p->n - 1 : p->n - 2; /* with or without a '/' at the end */

	if (last >= 0 &&
	    (IS(p->s[last], "simple") || (last >= 1 && IS(p->s[last - 1], "simple") && is_name(p->s[last]))))
		return mutable(out);
	if (IS(p->file, "json") && (IS(back(p, 2), "pypi") || IS(back(p, 3), "pypi")))
		return mutable(out);
	return pypi_file(p, out);
}

/* --- RubyGems --- */

static bool gem_specs(struct span file)
{
	if (ENDS(file, ".gz"))
		file = without_end(file, 3);
	return IS(file, "specs.4.8") || IS(file, "latest_specs.4.8") || IS(file, "prerelease_specs.4.8");
}

static bool gem(const struct path *p, struct path_facts *out)
{
	struct span dir = back(p, 1);

	if (ENDS(p->file, ".gem"))
		return IS(dir, "gems") && has_dashed_digit(without_end(p->file, 4)) && immutable(out, CONTENT_TAR);
	if (ENDS(p->file, ".gemspec.rz"))
		return STARTS(dir, "Marshal.") && IS(back(p, 2), "quick") && immutable(out, CONTENT_ZLIB);
	if (gem_specs(p->file))
		return mutable(out);
	if (STARTS(p->file, "dependencies"))
		return IS(dir, "v1") && IS(back(p, 2), "api") && mutable(out);
	if (IS(p->file, "versions") || IS(p->file, "names"))
		return (p->n == 1 || named(p, p->n - 1, SPAN("gem")) || from_gem(p)) && mutable(out);
	return IS(dir, "info") && is_name(p->file) && !IS(p->file, "refs") &&
	       (p->n == 2 || named(p, p->n - 2, SPAN("gem")) || from_gem(p)) && mutable(out);
}

/* --- cargo --- */

static bool cargo_client(const struct path *p, int shape_at)
{
	return named(p, shape_at, SPAN("cargo")) || named(p, shape_at, SPAN("crates")) || from_cargo(p);
}

static bool cargo_file(const struct path *p, struct path_facts *out)
{
	struct span name = back(p, 1);

	if (ENDS(p->file, ".crate") && IS(back(p, 2), "crates") && span_starts(p->file, name) &&
	    p->file.n > name.n + 7 && p->file.p[name.n] == '-' &&
	    is_semver(span_from(without_end(p->file, 6), name.n + 1)))
		return immutable(out, CONTENT_GZIP);
	return IS(p->file, "download") && is_semver(back(p, 1)) && IS(back(p, 3), "crates") &&
	       immutable(out, CONTENT_GZIP);
}

/* "/1/x", "/2/xx", "/3/x/xxx", "/xx/yy/xxyy…" */
static bool cargo_index(const struct path *p, struct path_facts *out)
{
	struct span f = p->file, a = back(p, 2), b = back(p, 1);

	if (f.n == 1 && IS(b, "1"))
		return cargo_client(p, p->n - 2) && mutable(out);
	if (f.n == 2 && IS(b, "2"))
		return cargo_client(p, p->n - 2) && mutable(out);
	if (f.n == 3 && b.n == 1 && IS(a, "3"))
		return f.p[0] == b.p[0] && mutable(out);
	/* content-addressed stores have the same shape, with a digest for a name */
	return f.n >= 4 && a.n == 2 && b.n == 2 && span_starts(f, a) && span_starts(span_from(f, 2), b) && is_name(f) &&
	       (f.n < 32 || !is_hex(f)) && mutable(out);
}

static bool cargo(const struct path *p, struct path_facts *out)
{
	if (!is_name(p->file))
		return false;
	if (IS(p->file, "config.json"))
		return cargo_client(p, p->n - 1) && mutable(out);
	return cargo_file(p, out) || cargo_index(p, out);
}

/* --- Go --- */

static bool go_sumdb(const struct path *p, struct path_facts *out)
{
	int i = find(p, SPAN("sumdb"));
	struct span what = at(p, i + 2);

	if (i < 0)
		return false;
	if (p->n == i + 3)
		return (IS(what, "latest") || IS(what, "supported")) && mutable(out);
	return (IS(what, "lookup") || IS(what, "tile")) && p->file.n && immutable(out, CONTENT_ANY);
}

static bool go(const struct path *p, struct path_facts *out)
{
	if (IS(p->file, "@latest"))
		return mutable(out);
	if (!IS(back(p, 1), "@v"))
		return go_sumdb(p, out);
	if (IS(p->file, "list"))
		return mutable(out);
	if (p->file.n < p->suffix.n + 2 || !(IS(p->suffix, "info") || IS(p->suffix, "mod") || IS(p->suffix, "zip")))
		return false;
	return is_v_semver(without_end(p->file, p->suffix.n + 1)) ? immutable(out, content_of(p->file)) : mutable(out);
}

/* --- Debian --- */

static bool debian_by_hash(const struct path *p, struct path_facts *out)
{
	const struct digest_name *digest = digest_by_name(back(p, 1));

	if (!digest || !is_hex_of(p->file, digest->digits))
		return false;
	add_digest(out, digest->kind, p->file);
	return immutable(out, CONTENT_ANY);
}

static bool debian_index(struct span f)
{
	return STARTS(f, "Packages") || STARTS(f, "Sources") || STARTS(f, "Contents") || STARTS(f, "Translation") ||
	       STARTS(f, "Release") || STARTS(f, "Commands-") || STARTS(f, "Components-") || STARTS(f, "icons-");
}

static bool debian_pool_file(struct span file)
{
	struct span suffix;

	if (ENDS(file, ".asc"))
		file = without_end(file, 4);
	if (ENDS(file, ".deb") || ENDS(file, ".udeb") || ENDS(file, ".ddeb") || ENDS(file, ".dsc") ||
	    ENDS(file, ".diff.gz"))
		return true;
	suffix = suffix_of(file);
	return suffix.n && ENDS(without_end(file, suffix.n), ".tar.");
}

static bool debian(const struct path *p, struct path_facts *out)
{
	if (IS(back(p, 2), "by-hash"))
		return debian_by_hash(p, out);
	if (IS(p->file, "InRelease") || IS(p->file, "Release.gpg"))
		return mutable(out);
	if (debian_index(p->file))
		return find(p, SPAN("dists")) >= 0 && mutable(out);
	return debian_pool_file(p->file) && find(p, SPAN("pool")) >= 0 && immutable(out, content_of(p->file));
}

/* --- RPM --- */

static bool rpm_repodata(const struct path *p, struct path_facts *out)
{
	size_t dash = span_find(p->file, '-');
	struct span hex = span_upto(p->file, dash);

	if (STARTS(p->file, "repomd.xml"))
		return mutable(out);
	if (dash == p->file.n || !is_hex(hex))
		return false;
	if (hex.n == 40)
		add_digest(out, PATH_DIGEST_SHA1, hex);
	else if (hex.n == 64)
		add_digest(out, PATH_DIGEST_SHA256, hex);
	else if (hex.n == 128)
		add_digest(out, PATH_DIGEST_SHA512, hex);
	else
		return false;
	return immutable(out, content_of(p->file));
}

/* "name-version-release.arch.rpm"; "…-latest-9.noarch.rpm" is moved on. */
static bool rpm(const struct path *p, struct path_facts *out)
{
	size_t dash;

	if (IS(back(p, 1), "repodata"))
		return rpm_repodata(p, out);
	if (!ENDS(p->file, ".rpm"))
		return false;
	dash = span_find(p->file, '-');
	return dash && span_find(span_from(p->file, dash + 1), '-') < p->file.n - dash - 1 &&
	       has_dashed_digit(p->file) && !contains(p->file, SPAN("latest")) && immutable(out, CONTENT_RPM);
}

/* --- Composer --- */

/* "name$<64 hex>.json", the '$' also as "%24" */
static struct span composer_hash(struct span file)
{
	struct span stem = without_end(file, 5), hex;

	if (stem.n < 66)
		return SPAN_NONE;
	hex = span_from(stem, stem.n - 64);
	stem = without_end(stem, 64);
	return is_hex(hex) && (ENDS(stem, "$") || ENDS(stem, "%24")) ? hex : SPAN_NONE;
}

static bool composer_json(const struct path *p, struct path_facts *out)
{
	struct span hex;

	if (IS(p->file, "packages.json") || IS(back(p, 2), "p2"))
		return mutable(out);
	if (!IS(back(p, 1), "p") && !IS(back(p, 2), "p"))
		return false;
	hex = composer_hash(p->file);
	if (!hex.n)
		return false;
	add_digest(out, PATH_DIGEST_SHA256, hex);
	return immutable(out, CONTENT_ANY);
}

/* A run of letters and digits that is a commit. */
static bool holds_commit(struct span s)
{
	size_t start = 0;

	for (size_t i = 0; i <= s.n; i++) {
		if (i < s.n && is_alnum(s.p[i]))
			continue;
		if (is_commit(span_of(s.p + start, i - start)))
			return true;
		start = i + 1;
	}
	return false;
}

static bool composer(const struct path *p, struct path_facts *out)
{
	if (ENDS(p->file, ".json"))
		return composer_json(p, out);
	if (p->n == 2 && p->file.n == 0 && IS(p->s[0], "downloads"))
		return pass(out);
	return (ENDS(p->file, ".zip") || ENDS(p->file, ".tar.gz") || ENDS(p->file, ".tar")) && holds_commit(p->file) &&
	       find(p, SPAN("dists")) >= 0 && immutable(out, content_of(p->file));
}

/* --- git hosting --- */

static bool by_commit(struct path_facts *out, enum content_kind content)
{
	out->regenerated = true;
	return immutable(out, content);
}

static bool by_name(struct path_facts *out, bool tag)
{
	mutable(out);
	if (tag)
		out->ttl_s = PATH_ARCHIVE_TTL_S;
	return true;
}

/* "zipball", "legacy.tar.gz" and so on: *content is what they pack; *sure = the word stands for nothing else. */
static bool is_ball(struct span word, enum content_kind *content, bool *sure)
{
	bool legacy = STARTS(word, "legacy.");
	struct span kind = legacy ? span_from(word, 7) : word;

	*sure = legacy || IS(word, "zipball") || IS(word, "tarball");
	*content = IS(kind, "zip") || IS(kind, "zipball") ? CONTENT_ZIP : CONTENT_GZIP;
	return *content == CONTENT_ZIP || IS(kind, "tar.gz") || IS(kind, "tarball");
}

static bool git_ball(const struct path *p, struct path_facts *out)
{
	enum content_kind content;
	bool sure;

	if (!is_ball(back(p, 1), &content, &sure) || p->n < 4 || !p->file.n)
		return false;
	return is_commit(p->file) ? by_commit(out, content) : sure && by_name(out, false);
}

/* …/archive/refs/tags/v1.zip, …/zip/refs/heads/main */
static bool git_refs(const struct path *p, struct path_facts *out)
{
	int i = find(p, SPAN("refs"));
	bool tag = IS(at(p, i + 1), "tags"), sure;
	enum content_kind content;

	if (i < 1 || p->n < i + 3 || !(tag || IS(at(p, i + 1), "heads")))
		return false;
	return (IS(p->s[i - 1], "archive") || is_ball(p->s[i - 1], &content, &sure)) && by_name(out, tag);
}

static bool is_archive(struct span file, size_t *end)
{
	*end = ENDS(file, ".tar.gz")    ? 7
	       : ENDS(file, ".zip")     ? 4
	       : ENDS(file, ".tar.bz2") ? 8
	       : ENDS(file, ".tar")     ? 4
					: 0;
	return *end && file.n > *end;
}

static bool git_archive(const struct path *p, struct path_facts *out)
{
	enum content_kind content = content_of(p->file);
	size_t end;

	if (p->n < 4 || !is_archive(p->file, &end))
		return false;
	if (IS(back(p, 1), "archive"))
		return is_commit(without_end(p->file, end)) ? by_commit(out, content) : by_name(out, false);
	if (IS(back(p, 2), "archive") && IS(back(p, 3), "-"))
		return is_commit(back(p, 1)) ? by_commit(out, content) : by_name(out, false);
	return false;
}

/* A tag without a digit ("nightly") is moved from build to build. */
static bool git_release(const struct path *p, struct path_facts *out)
{
	if (!p->file.n || p->n < 5)
		return false;
	if (IS(back(p, 3), "releases") && IS(back(p, 2), "download"))
		return has_digit(back(p, 1)) ? immutable(out, content_of(p->file)) : mutable(out);
	return IS(back(p, 3), "releases") && IS(back(p, 2), "latest") && IS(back(p, 1), "download") && mutable(out);
}

static bool githost(const struct path *p, struct path_facts *out)
{
	return git_release(p, out) || git_archive(p, out) || git_refs(p, out) || git_ball(p, out);
}

static bool git(const struct path *p, struct path_facts *out)
{
	if (IS(p->file, "refs"))
		return IS(back(p, 1), "info") && contains(p->query, SPAN("service=git-")) && pass(out);
	return (IS(p->file, "git-upload-pack") || IS(p->file, "git-receive-pack")) && pass(out);
}

/* --- OCI --- */

/* "sha256:<hex>", the ':' also as "%3A" */
static bool oci_digest(struct span s, struct path_facts *out)
{
	size_t colon = span_find(s, ':'), skip = 1;
	const struct digest_name *digest;

	if (colon == s.n) {
		colon = span_find(s, '%');
		skip = 3;
		if (!STARTS(span_from(s, colon), "%3A"))
			return false;
	}
	digest = digest_by_name(span_upto(s, colon));
	if (!digest || digest->digits < 64 || !is_hex_of(span_from(s, colon + skip), digest->digits))
		return false;
	add_digest(out, digest->kind, span_from(s, colon + skip));
	return true;
}

/* How the registry software keeps blobs in object storage: …/blobs/sha256/ab/ab…/data */
static bool oci_stored_blob(const struct path *p, struct path_facts *out)
{
	if (!IS(p->file, "data") || !IS(back(p, 4), "blobs") || !IS(back(p, 3), "sha256") || back(p, 2).n != 2 ||
	    !is_hex_of(back(p, 1), 64) || !span_starts(back(p, 1), back(p, 2)))
		return false;
	add_digest(out, PATH_DIGEST_SHA256, back(p, 1));
	return immutable(out, CONTENT_ANY);
}

static bool oci_object(const struct path *p, struct path_facts *out)
{
	struct span dir = back(p, 1);
	bool blob = IS(dir, "blobs"), manifest = IS(dir, "manifests");

	if ((blob || manifest) && oci_digest(p->file, out))
		return immutable(out, CONTENT_ANY);
	if (manifest && p->file.n)
		return mutable(out);
	if (IS(dir, "tags") && IS(p->file, "list"))
		return mutable(out);
	return (IS(dir, "uploads") || IS(back(p, 2), "uploads")) && find(p, SPAN("blobs")) >= 0 && pass(out);
}

static bool oci(const struct path *p, struct path_facts *out)
{
	int last = p->file.n ? p->n - 1 : p->n - 2, v2;

	if (IS(p->file, "token"))
		return (contains(p->query, SPAN("service=")) || contains(p->query, SPAN("scope="))) && pass(out);
	if (last >= 0 && IS(p->s[last], "v2"))
		return (last == 0 || named(p, last, SPAN("docker"))) && pass(out);
	if (oci_stored_blob(p, out))
		return true;
	v2 = find(p, SPAN("v2"));
	return v2 >= 0 && p->n >= v2 + 4 && oci_object(p, out);
}

/* --- runtimes and browsers by version --- */

static bool is_versioned_file(struct span f)
{
	return ENDS(f, ".tar.gz") || ENDS(f, ".tar.xz") || ENDS(f, ".zip") || ENDS(f, ".7z") || ENDS(f, ".pkg") ||
	       ENDS(f, ".msi") || ENDS(f, ".tgz");
}

/* Four numbers, as Chrome counts. */
static bool is_four_numbers(struct span s)
{
	struct span part;
	int n = 0;

	while (span_cut(&s, '.', &part)) {
		if (!is_digits(part))
			return false;
		n++;
	}
	return n == 4;
}

static bool binary_by_version(const struct path *p, struct path_facts *out)
{
	struct span file = p->file, dir = back(p, 1);

	if (is_v_semver(dir))
		return (STARTS(file, "SHASUMS") || (contains(file, dir) && is_versioned_file(file))) &&
		       immutable(out, content_of(file));
	if (STARTS(dir, "win-") && is_v_semver(back(p, 2)))
		return (ENDS(file, ".lib") || ENDS(file, ".exe")) && immutable(out, CONTENT_ANY);
	if (!ENDS(file, ".zip"))
		return false;
	if (is_four_numbers(back(p, 2)))
		return contains(file, dir) && dir.n && immutable(out, CONTENT_ZIP);
	return IS(back(p, 3), "builds") && is_digits(dir) && immutable(out, CONTENT_ZIP);
}

static bool is_release_dir(struct span s)
{
	return IS(s, "dist") || IS(s, "release");
}

static bool binary(const struct path *p, struct path_facts *out)
{
	struct span dir = back(p, 1);

	if (STARTS(p->file, "LATEST_RELEASE"))
		return mutable(out);
	if (is_release_dir(dir))
		return (IS(p->file, "index.json") || IS(p->file, "index.tab")) && mutable(out);
	if (STARTS(dir, "latest") && is_release_dir(back(p, 2)))
		return mutable(out);
	return binary_by_version(p, out);
}

/* --- all rules --- */

/* "/xx/yy/xxyy…" */
static bool has_index_shape(const struct path *p)
{
	return p->n >= 3 && p->s[p->n - 2].n == 2 && p->s[p->n - 3].n == 2;
}

static bool has_version_segment(const struct path *p)
{
	struct span a = back(p, 1), b = back(p, 2);

	return (a.n > 1 && a.p[0] == 'v' && is_digit(a.p[1])) || (b.n > 1 && (is_digit(b.p[0]) || b.p[0] == 'v'));
}

#define RULE(ecosystem_, gate, rule)                                                                                   \
	if ((gate) && rule(p, out))                                                                                    \
	return ECOSYSTEM_##ecosystem_

/* In order: the more specific shapes first, npm's packument of any name last. The gates only save work. */
static enum ecosystem match(const struct path *p, struct path_facts *out)
{
	uint64_t w = p->words, suffix = p->suffixes;

	RULE(GIT, w & (SLOT("refs") | SLOT("git-upload-pack") | SLOT("git-receive-pack")), git);
	RULE(NPM, w & (SLOT("-") | SLOT("download")), npm_tarball);
	RULE(GO, w & (SLOT("@v") | SLOT("@latest") | SLOT("sumdb")), go);
	RULE(DEBIAN, w & (SLOT("by-hash") | SLOT("InRelease") | SLOT("Release.gpg") | SLOT("dists") | SLOT("pool")),
	     debian);
	RULE(RPM, (w & SLOT("repodata")) | (suffix & SLOT("rpm")), rpm);
	RULE(MAVEN, p->n >= 4 || (p->file.n && p->file.p[0] == 'm'), maven);
	RULE(GRADLE, w & (SLOT("distributions") | SLOT("cache")), gradle);
	RULE(GITHOST,
	     w & (SLOT("releases") | SLOT("archive") | SLOT("refs") | SLOT("zipball") | SLOT("tarball") | SLOT("zip") |
		  SLOT("tar.gz") | SLOT("legacy.zip") | SLOT("legacy.tar.gz")),
	     githost);
	RULE(PYPI, w & (SLOT("simple") | SLOT("packages") | SLOT("pypi")), pypi);
	RULE(GEM,
	     (suffix & (SLOT("gem") | SLOT("rz") | SLOT("8") | SLOT("gz"))) |
		     (w & (SLOT("versions") | SLOT("names") | SLOT("info") | SLOT("api"))),
	     gem);
	RULE(CARGO,
	     (w & (SLOT("crates") | SLOT("config.json") | SLOT("1") | SLOT("2") | SLOT("3"))) || has_index_shape(p),
	     cargo);
	RULE(COMPOSER, w & (SLOT("p2") | SLOT("p") | SLOT("packages.json") | SLOT("dists") | SLOT("downloads")),
	     composer);
	RULE(OCI, w & (SLOT("v2") | SLOT("token") | SLOT("data")), oci);
	RULE(BINARY,
	     has_version_segment(p) || (w & (SLOT("dist") | SLOT("release") | SLOT("builds"))) ||
		     STARTS(p->file, "LATEST_RELEASE"),
	     binary);
	RULE(NPM, true, npm);
	return ECOSYSTEM_NONE;
}

void pathclass_of(struct span path, struct span query, const struct hdrs *request, struct path_facts *out)
{
	struct path p;

	*out = (struct path_facts){.class = PATH_OTHER};
	p.query = query;
	p.request = request;
	if (split(path, &p))
		out->ecosystem = match(&p, out);
}

/* --- first bytes --- */

/* Behind white space, a byte order mark, <?xml …?> and comments. */
static struct span skip_prologue(struct span s)
{
	for (;;) {
		struct span rest = SPAN_NONE;

		while (s.n && (s.p[0] == ' ' || (s.p[0] >= '\t' && s.p[0] <= '\r')))
			s = span_from(s, 1);
		if (STARTS(s, "\xef\xbb\xbf"))
			rest = span_from(s, 3);
		else if (STARTS(s, "<?"))
			rest = behind(s, SPAN("?>"));
		else if (STARTS(s, "<!--"))
			rest = behind(s, SPAN("-->"));
		if (!rest.p)
			return s;
		s = rest;
	}
}

static bool is_html(struct span s)
{
	s = skip_prologue(s);
	return span_starts_icase(s, SPAN("<!doctype html")) || span_starts_icase(s, SPAN("<html")) ||
	       span_starts_icase(s, SPAN("<head")) || span_starts_icase(s, SPAN("<body"));
}

static bool is_zlib(struct span s)
{
	return s.n >= 2 && (s.p[0] & 0x0f) == 8 && ((uint8_t)s.p[0] << 8 | (uint8_t)s.p[1]) % 31 == 0;
}

bool pathclass_bytes_fit(enum content_kind kind, struct span first)
{
	switch (kind) {
	case CONTENT_ANY:
		return !is_html(first);
	case CONTENT_GZIP:
		return STARTS(first, "\x1f\x8b\x08");
	case CONTENT_ZIP:
		return STARTS(first, "PK\x03\x04") || STARTS(first, "PK\x05\x06");
	case CONTENT_XZ:
		return STARTS(first, "\xfd"
				     "7zXZ\0");
	case CONTENT_ZSTD:
		return STARTS(first, "\x28\xb5\x2f\xfd");
	case CONTENT_BZIP2:
		return STARTS(first, "BZh");
	case CONTENT_ZLIB:
		return is_zlib(first);
	case CONTENT_AR:
		return STARTS(first, "!<arch>\n");
	case CONTENT_TAR:
		return STARTS(span_from(first, 257), "ustar");
	case CONTENT_RPM:
		return STARTS(first, "\xed\xab\xee\xdb");
	}
	return false;
}

const char *pathclass_ecosystem(enum ecosystem e)
{
	static const char *const names[ECOSYSTEM_COUNT] = {
#define X(id, name) [ECOSYSTEM_##id] = name,
		ECOSYSTEM_TABLE(X)
#undef X
	};

	return names[e];
}

const char *pathclass_word(enum pathclass class)
{
	static const char *const words[] = {"other", "immutable", "mutable", "pass"};

	return words[class];
}
