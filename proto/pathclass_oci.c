#include "proto/pathclass_internal.h"

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
	digest = path_digest_by_name(span_upto(s, colon));
	if (!digest || digest->digits < 64 || !is_hex_of(span_from(s, colon + skip), digest->digits))
		return false;
	path_add_digest(out, digest->kind, span_from(s, colon + skip));
	return true;
}

/* How the registry software keeps blobs in object storage: …/blobs/sha256/ab/ab…/data */
static bool oci_stored_blob(const struct path *p, struct path_facts *out)
{
	if (!IS(p->file, "data") || !IS(back(p, 4), "blobs") || !IS(back(p, 3), "sha256") || back(p, 2).n != 2 ||
	    !is_hex_of(back(p, 1), 64) || !span_starts(back(p, 1), back(p, 2)))
		return false;
	path_add_digest(out, PATH_DIGEST_SHA256, back(p, 1));
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
	return (IS(dir, "uploads") || IS(back(p, 2), "uploads")) && path_find(p, SPAN("blobs")) >= 0 && pass(out);
}

bool pathclass_oci(const struct path *p, struct path_facts *out)
{
	int last = p->file.n ? p->n - 1 : p->n - 2, v2;

	if (IS(p->file, "token"))
		return (path_contains(p->query, SPAN("service=")) || path_contains(p->query, SPAN("scope="))) &&
		       pass(out);
	if (last >= 0 && IS(p->s[last], "v2"))
		return (last == 0 || path_named(p, last, SPAN("docker"))) && pass(out);
	if (oci_stored_blob(p, out))
		return true;
	v2 = path_find(p, SPAN("v2"));
	return v2 >= 0 && p->n >= v2 + 4 && oci_object(p, out);
}
