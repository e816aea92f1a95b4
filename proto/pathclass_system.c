#include "proto/pathclass_internal.h"

/* ---- Debian ---- */

static bool debian_by_hash(const struct path *p, struct path_facts *out)
{
	const struct digest_name *digest = path_digest_by_name(back(p, 1));

	if (!digest || !is_hex_of(p->file, digest->digits))
		return false;
	path_add_digest(out, digest->kind, p->file);
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
	suffix = path_suffix_of(file);
	return suffix.n && ENDS(without_end(file, suffix.n), ".tar.");
}

bool pathclass_debian(const struct path *p, struct path_facts *out)
{
	if (IS(back(p, 2), "by-hash"))
		return debian_by_hash(p, out);
	if (IS(p->file, "InRelease") || IS(p->file, "Release.gpg"))
		return mutable(out);
	if (debian_index(p->file))
		return path_find(p, SPAN("dists")) >= 0 && mutable(out);
	return debian_pool_file(p->file) && path_find(p, SPAN("pool")) >= 0 && immutable(out, path_content_of(p->file));
}

/* ---- RPM ---- */

static bool rpm_repodata(const struct path *p, struct path_facts *out)
{
	size_t dash = span_find(p->file, '-');
	struct span hex = span_upto(p->file, dash);

	if (STARTS(p->file, "repomd.xml"))
		return mutable(out);
	if (dash == p->file.n || !is_hex(hex))
		return false;
	if (hex.n == 40)
		path_add_digest(out, PATH_DIGEST_SHA1, hex);
	else if (hex.n == 64)
		path_add_digest(out, PATH_DIGEST_SHA256, hex);
	else if (hex.n == 128)
		path_add_digest(out, PATH_DIGEST_SHA512, hex);
	else
		return false;
	return immutable(out, path_content_of(p->file));
}

/* "name-version-release.arch.rpm"; "…-latest-9.noarch.rpm" is moved on. */
bool pathclass_rpm(const struct path *p, struct path_facts *out)
{
	size_t dash;

	if (IS(back(p, 1), "repodata"))
		return rpm_repodata(p, out);
	if (!ENDS(p->file, ".rpm"))
		return false;
	dash = span_find(p->file, '-');
	return dash && span_find(span_from(p->file, dash + 1), '-') < p->file.n - dash - 1 &&
	       path_has_dashed_digit(p->file) && !path_contains(p->file, SPAN("latest")) && immutable(out, CONTENT_RPM);
}
