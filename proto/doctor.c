#include "proto/doctor.h"

#include "node/base/json.h"

#define TEXT SPAN("text/plain")
#define JSON SPAN("application/json")
#define BINARY SPAN("application/octet-stream")

/* Marshal.dump([["pmcache-doctor", Gem::Version.new("1.0.0"), "ruby"]]), and compressed. */
#define GEM_SPECS_GZ                                                                                                       \
	"\037\213\010\000\000\000\000\000\002\003\143\341\210\146\213\346\360\124\022\056\310\115\116\114\316\110\325\115" \
	"\311\117\056\311\057\142\263\142\163\015\011\265\022\164\117\315\265\262\012\113\055\052\316\314\317\213\146\363" \
	"\124\342\062\324\063\320\063\140\263\146\010\361\124\342\054\052\115\252\004\061\001\034\071\141\316\104\000\000" \
	"\000"
/* package/package.json with this name and version, by tar and gzip; and its digest as npm has it. */
#define NPM_TGZ                                                                                                        \
	"\037\213\010\000\000\000\000\000\002\003\053\110\114\316\116\114\117\325\057\200\320\172\131\305\371"         \
	"\171\014\124\006\006\100\140\146\142\002\246\201\000\235\066\060\060\065\101\260\101\342\206\206\146"         \
	"\106\246\014\012\006\014\164\000\245\305\045\211\105\100\353\031\106\046\250\126\312\113\314\115\125"         \
	"\262\122\052\310\115\116\114\316\110\325\115\311\117\056\311\057\122\322\121\052\113\055\052\316\314"         \
	"\317\003\112\031\352\031\350\031\050\325\162\061\214\202\121\060\012\106\301\050\030\066\000\000\364"         \
	"\353\353\077\000\010\000\000"
#define NPM_INTEGRITY "sha512-0C636y0edccGiWJEVBPO3wMoi1slxsCab4UlNmmhbpux5V4zUZvyojeL+Njg3NWVFruEM+LTJy5q1CdrUgMRRg=="
#define WHEEL "pmcache_doctor-1.0.0-py3-none-any.whl"
#define NO_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" /* of nothing */

static const struct {
	struct span path;
	struct doctor_page page;
} pages[] = {
	{SPAN(DOCTOR_OBJECT), {TEXT, SPAN(DOCTOR_TEXT "\n")}},
	/* a repository over the dumb protocol, as far as `git ls-remote` reads it */
	{SPAN("/git/info/refs"),
	 {TEXT, SPAN("4b825dc642cb6eb9a060e54bf8d69288fbee4904\trefs/heads/" DOCTOR_PACKAGE "\n")}},
	{SPAN("/git/HEAD"), {TEXT, SPAN("ref: refs/heads/" DOCTOR_PACKAGE "\n")}},
	{SPAN("/npm/" DOCTOR_PACKAGE),
	 {JSON,
	  SPAN("{\"name\":\"" DOCTOR_PACKAGE
	       "\",\"dist-tags\":{\"latest\":\"1.0.0\"},\"time\":{\"1.0.0\":\"2024-01-01T00:00:00.000Z\"},\"versions\":{\"1.0.0\":{"
	       "\"name\":\"" DOCTOR_PACKAGE "\",\"version\":\"1.0.0\",\"description\":\"" DOCTOR_TEXT "\","
	       "\"dist\":{\"tarball\":\"" DOCTOR_URL "/npm/" DOCTOR_PACKAGE
	       "-1.0.0.tgz\",\"integrity\":\"" NPM_INTEGRITY "\"}}}}\n")}},
	{SPAN("/npm/" DOCTOR_PACKAGE "-1.0.0.tgz"), {BINARY, SPAN(NPM_TGZ)}},
	{SPAN("/pip/"),
	 {SPAN("text/html"), SPAN("<!DOCTYPE html><html><body><a href=\"" WHEEL "\" data-core-metadata=\"true\">" WHEEL
				  "</a></body></html>\n")}},
	/* uv reads a wheel's metadata before it names a version */
	{SPAN("/pip/" WHEEL ".metadata"),
	 {TEXT, SPAN("Metadata-Version: 2.1\nName: " DOCTOR_PACKAGE "\nVersion: 1.0.0\n")}},
	/* what gem reads, and what Bundler reads: the compact index, where a version names the MD5 of its info */
	{SPAN("/gem/specs.4.8.gz"), {BINARY, SPAN(GEM_SPECS_GZ)}},
	{SPAN("/gem/latest_specs.4.8.gz"), {BINARY, SPAN(GEM_SPECS_GZ)}},
	{SPAN("/gem/versions"),
	 {TEXT,
	  SPAN("created_at: 2024-01-01T00:00:00Z\n---\n" DOCTOR_PACKAGE " 1.0.0 10d07e3ff7ca8221cfb3e4b90d9907ae\n")}},
	{SPAN("/gem/info/" DOCTOR_PACKAGE), {TEXT, SPAN("---\n1.0.0 |checksum:" NO_SHA256 "\n")}},
	{SPAN("/cargo/config.json"), {JSON, SPAN("{\"dl\":\"" DOCTOR_URL "/cargo/crates\"}\n")}},
	{SPAN("/cargo/pm/ca/" DOCTOR_PACKAGE),
	 {TEXT, SPAN("{\"name\":\"" DOCTOR_PACKAGE "\",\"vers\":\"1.0.0\",\"deps\":[],\"cksum\":\"" NO_SHA256
		     "\",\"features\":{},\"yanked\":false}\n")}},
	{SPAN("/go/" DOCTOR_HOST "/module/@v/v1.0.0.info"),
	 {JSON, SPAN("{\"Version\":\"v1.0.0\",\"Time\":\"2024-01-01T00:00:00Z\"}\n")}},
	{SPAN("/go/" DOCTOR_HOST "/module/@v/v1.0.0.mod"), {TEXT, SPAN("module " DOCTOR_HOST "/module\n")}},
	{SPAN("/composer/packages.json"),
	 {JSON,
	  SPAN("{\"packages\":{\"pmcache/doctor\":{\"1.0.0\":{\"name\":\"pmcache/doctor\",\"version\":\"1.0.0\"}}}}\n")}},
	{SPAN("/maven/invalid/pmcache/doctor/1.0.0/doctor-1.0.0.pom"),
	 {SPAN("application/xml"),
	  SPAN("<project><modelVersion>4.0.0</modelVersion>"
	       "<groupId>invalid.pmcache</groupId><artifactId>doctor</artifactId><version>1.0.0</version>"
	       "<packaging>pom</packaging></project>\n")}},
};

bool doctor_is_host(struct span host)
{
	return host.n == sizeof(DOCTOR_HOST) - 1 && span_eq_icase(host, SPAN(DOCTOR_HOST));
}

bool doctor_find(struct span path, struct doctor_page *out)
{
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		if (!span_eq(path, pages[i].path))
			continue;
		*out = pages[i].page;
		return true;
	}
	return false;
}

void doctor_put_about(struct buf *b, struct span node, uint64_t boot, bool bump)
{
	buf_put(b, SPAN("{\"node\":"));
	json_put_string(b, node);
	buf_printf(b, ",\"boot\":\"%016llx\",\"bump\":%s}\n", (unsigned long long)boot, bump ? "true" : "false");
}
