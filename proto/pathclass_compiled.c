#include "proto/pathclass_internal.h"

/* ---- Maven and Gradle ---- */

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
bool pathclass_maven(const struct path *p, struct path_facts *out)
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
		return snapshot ? mutable(out) : immutable(out, path_content_of(p->file));
	if (!snapshot)
		return false;
	version = without_end(version, 8);
	return span_starts(rest, version) && starts_with_timestamp(span_from(rest, version.n)) &&
	       immutable(out, path_content_of(p->file));
}

bool pathclass_gradle(const struct path *p, struct path_facts *out)
{
	struct span file = without_checksum(p->file);

	if (IS(back(p, 1), "distributions") && STARTS(file, "gradle-") && !path_contains(file, SPAN("SNAPSHOT")) &&
	    (ENDS(file, "-bin.zip") || ENDS(file, "-all.zip")))
		return immutable(out, path_content_of(p->file));
	return IS(back(p, 1), "cache") && file.n >= 32 && is_hex(file) && pass(out);
}

/* ---- cargo ---- */

static bool from_cargo(const struct path *p)
{
	return STARTS(agent(p), "cargo");
}

static bool cargo_client(const struct path *p, int shape_at)
{
	return path_named(p, shape_at, SPAN("cargo")) || path_named(p, shape_at, SPAN("crates")) || from_cargo(p);
}

static bool cargo_file(const struct path *p, struct path_facts *out)
{
	struct span name = back(p, 1);

	if (ENDS(p->file, ".crate") && IS(back(p, 2), "crates") && span_starts(p->file, name) &&
	    p->file.n > name.n + 7 && p->file.p[name.n] == '-' &&
	    path_is_semver(span_from(without_end(p->file, 6), name.n + 1)))
		return immutable(out, CONTENT_GZIP);
	return IS(p->file, "download") && path_is_semver(back(p, 1)) && IS(back(p, 3), "crates") &&
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
	return f.n >= 4 && a.n == 2 && b.n == 2 && span_starts(f, a) && span_starts(span_from(f, 2), b) &&
	       path_is_name(f) && (f.n < 32 || !is_hex(f)) && mutable(out);
}

bool pathclass_cargo(const struct path *p, struct path_facts *out)
{
	if (!path_is_name(p->file))
		return false;
	if (IS(p->file, "config.json"))
		return cargo_client(p, p->n - 1) && mutable(out);
	return cargo_file(p, out) || cargo_index(p, out);
}

/* ---- Go ---- */

static bool go_sumdb(const struct path *p, struct path_facts *out)
{
	int i = path_find(p, SPAN("sumdb"));
	struct span what = at(p, i + 2);

	if (i < 0)
		return false;
	if (p->n == i + 3)
		return (IS(what, "latest") || IS(what, "supported")) && mutable(out);
	return (IS(what, "lookup") || IS(what, "tile")) && p->file.n && immutable(out, CONTENT_ANY);
}

bool pathclass_go(const struct path *p, struct path_facts *out)
{
	if (IS(p->file, "@latest"))
		return mutable(out);
	if (!IS(back(p, 1), "@v"))
		return go_sumdb(p, out);
	if (IS(p->file, "list"))
		return mutable(out);
	if (p->file.n < p->suffix.n + 2 || !(IS(p->suffix, "info") || IS(p->suffix, "mod") || IS(p->suffix, "zip")))
		return false;
	return path_is_v_semver(without_end(p->file, p->suffix.n + 1)) ? immutable(out, path_content_of(p->file))
								       : mutable(out);
}
