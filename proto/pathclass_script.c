#include "proto/pathclass_internal.h"

/* ---- npm ---- */

static bool from_npm(const struct path *p)
{
	struct span a = agent(p);

	if (!p->request)
		return false;
	return STARTS(a, "npm/") || STARTS(a, "pnpm/") || STARTS(a, "yarn/") || STARTS(a, "Bun/") ||
	       path_contains(hdr_value(p->request, HDR_ACCEPT), SPAN("application/vnd.npm.install-v1+json")) ||
	       hdr_find(p->request, SPAN("npm-command")) != NULL;
}

bool pathclass_npm_tarball(const struct path *p, struct path_facts *out)
{
	struct span dash = path_is_scope(back(p, 1)) ? back(p, 2) : back(p, 1);

	if (IS(dash, "-") && p->n >= 3 && ENDS(p->file, ".tgz") && path_ends_in_semver(without_end(p->file, 4)))
		return immutable(out, CONTENT_GZIP);
	if (p->file.n >= 32 && is_hex(p->file) && path_is_semver(back(p, 1)) && path_is_name(back(p, 2)) &&
	    IS(path_is_scope(back(p, 3)) ? back(p, 4) : back(p, 3), "download"))
		return immutable(out, CONTENT_GZIP);
	return false;
}

/* What stands behind "/-/": the registry's own services. */
static bool npm_service(const struct path *p, struct path_facts *out)
{
	int dash = path_find(p, SPAN("-"));
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
	bool of_version = path_is_semver(p->file) || IS(p->file, "latest");
	int name = of_version ? p->n - 2 : p->n - 1;

	if (name < 0 || !path_is_name(p->s[name]))
		return false;
	if (name > 0 && path_is_scope(p->s[name - 1]) && !IS(p->s[name - 1], "@v")) /* "@v" is Go's */
		return mutable(out);
	return (name == 0 ? from_npm(p) : path_named(p, name, SPAN("npm"))) && mutable(out);
}

bool pathclass_npm(const struct path *p, struct path_facts *out)
{
	return pathclass_npm_tarball(p, out) || npm_service(p, out) || npm_packument(p, out);
}

/* ---- PyPI style ---- */

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
	int i = path_find(p, SPAN("packages"));
	struct span file = without_sibling(p->file);

	if (i < 0 || !file.n)
		return false;
	if (p->n == i + 5 && is_hex_of(p->s[i + 1], 2) && is_hex_of(p->s[i + 2], 2) && is_hex_of(p->s[i + 3], 60)) {
		/* the digest is that of the file, not of what stands beside it */
		for (int part = 1; part <= 3 && file.n == p->file.n; part++)
			path_add_digest(out, PATH_DIGEST_BLAKE2B_256, p->s[i + part]);
		return immutable(out, path_content_of(p->file));
	}
	if (IS(at(p, i + 1), "generic"))
		return false;
	return is_python_file(file) && immutable(out, path_content_of(p->file));
}

bool pathclass_pypi(const struct path *p, struct path_facts *out)
{
	int last = p->file.n ? p->n - 1 : p->n - 2; /* with or without a '/' at the end */

	if (last >= 0 &&
	    (IS(p->s[last], "simple") || (last >= 1 && IS(p->s[last - 1], "simple") && path_is_name(p->s[last]))))
		return mutable(out);
	if (IS(p->file, "json") && (IS(back(p, 2), "pypi") || IS(back(p, 3), "pypi")))
		return mutable(out);
	return pypi_file(p, out);
}

/* ---- RubyGems ---- */

static bool from_gem(const struct path *p)
{
	struct span a = agent(p);

	return STARTS(a, "bundler/") || path_contains(a, SPAN("RubyGems/"));
}

static bool gem_specs(struct span file)
{
	if (ENDS(file, ".gz"))
		file = without_end(file, 3);
	return IS(file, "specs.4.8") || IS(file, "latest_specs.4.8") || IS(file, "prerelease_specs.4.8");
}

bool pathclass_gem(const struct path *p, struct path_facts *out)
{
	struct span dir = back(p, 1);

	if (ENDS(p->file, ".gem"))
		return IS(dir, "gems") && path_has_dashed_digit(without_end(p->file, 4)) && immutable(out, CONTENT_TAR);
	if (ENDS(p->file, ".gemspec.rz"))
		return STARTS(dir, "Marshal.") && IS(back(p, 2), "quick") && immutable(out, CONTENT_ZLIB);
	if (gem_specs(p->file))
		return mutable(out);
	if (STARTS(p->file, "dependencies"))
		return IS(dir, "v1") && IS(back(p, 2), "api") && mutable(out);
	if (IS(p->file, "versions") || IS(p->file, "names"))
		return (p->n == 1 || path_named(p, p->n - 1, SPAN("gem")) || from_gem(p)) && mutable(out);
	return IS(dir, "info") && path_is_name(p->file) && !IS(p->file, "refs") &&
	       (p->n == 2 || path_named(p, p->n - 2, SPAN("gem")) || from_gem(p)) && mutable(out);
}

/* ---- Composer ---- */

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
	path_add_digest(out, PATH_DIGEST_SHA256, hex);
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

bool pathclass_composer(const struct path *p, struct path_facts *out)
{
	if (ENDS(p->file, ".json"))
		return composer_json(p, out);
	if (p->n == 2 && p->file.n == 0 && IS(p->s[0], "downloads"))
		return pass(out);
	return (ENDS(p->file, ".zip") || ENDS(p->file, ".tar.gz") || ENDS(p->file, ".tar")) && holds_commit(p->file) &&
	       path_find(p, SPAN("dists")) >= 0 && immutable(out, path_content_of(p->file));
}
