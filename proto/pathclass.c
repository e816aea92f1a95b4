#include "proto/pathclass_internal.h"

/* ---- gates ---- */

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

/* ---- segments ---- */

static bool add_segment(struct path *p, const char *from, const char *to)
{
	struct span s = span_of(from, (size_t)(to - from));

	if (p->n == PATH_MOST_SEGMENTS)
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
	p->suffix = path_suffix_of(p->file);
	p->suffixes = slot_of(p->suffix);
	return true;
}

/* ---- all rules ---- */

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
	if ((gate) && pathclass_##rule(p, out))                                                                        \
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

/* ---- words ---- */

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
