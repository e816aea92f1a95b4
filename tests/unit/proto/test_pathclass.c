#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "proto/pathclass.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define H32 "0123456789abcdef0123456789abcdef"
#define H40 H32 "01234567"
#define H60 H32 "0123456789abcdef0123456789ab"
#define H64 H32 H32
#define H128 H64 H64

#define FACTS(class, ecosystem, content, digest)                                                                       \
	PATH_##class, ECOSYSTEM_##ecosystem, CONTENT_##content, PATH_DIGEST_##digest

enum client { CURL, NPM, GEM, CARGO };

static const char *const agents[] = {"curl/8.0", "npm/10.2.0 node/v20.0.0 linux x64",
				     "bundler/2.3.27 rubygems/3.3.15 ruby/3.1.2", "cargo/1.75.0"};

/* Paths are in normal form (storeid.h). */
static const struct row {
	const char *path, *query;
	enum client client;
	enum pathclass class;
	enum ecosystem ecosystem;
	enum content_kind content;
	enum path_digest digest;
} rows[] = {
	/* npm: tarballs */
	{"/left-pad/-/left-pad-1.3.0.tgz", NULL, CURL, FACTS(IMMUTABLE, NPM, GZIP, NONE)},
	{"/@scope/name/-/name-1.0.0.tgz", NULL, CURL, FACTS(IMMUTABLE, NPM, GZIP, NONE)},
	{"/@scope/name/-/@scope/name-1.0.0.tgz", NULL, CURL, FACTS(IMMUTABLE, NPM, GZIP, NONE)},
	{"/api/npm/repo/name/-/name-1.0.0-beta.2+build.5.tgz", NULL, CURL, FACTS(IMMUTABLE, NPM, GZIP, NONE)},
	{"/a/-/a-b-c-10.20.30-rc-1.tgz", NULL, CURL, FACTS(IMMUTABLE, NPM, GZIP, NONE)},
	{"/old/-/renamed-0.0.1.tgz", NULL, CURL, FACTS(IMMUTABLE, NPM, GZIP, NONE)},
	{"/download/@scope/name/1.0.0/" H40, NULL, CURL, FACTS(IMMUTABLE, NPM, GZIP, NONE)},
	{"/npm/download/name/1.0.0/" H64, NULL, CURL, FACTS(IMMUTABLE, NPM, GZIP, NONE)},
	{"/left-pad/-/left-pad.tgz", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/left-pad/-/left-pad-1.3.tgz", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/left-pad/-/left-pad-01.3.0.tgz", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/left-pad/-/left-pad-1.3.0-.tgz", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/left-pad/-/left-pad-1.3.0.zip", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/left-pad/x/left-pad-1.3.0.tgz", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/-/left-pad-1.3.0.tgz", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/left-pad/-/-1.3.0.tgz", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/download/name/latest/" H40, NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/download/name/1.0.0/" H40 "x", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/x/name/1.0.0/" H40, NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/left-pad/-/left-pad-1.3.0.tgz/", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	/* npm: index and services */
	{"/@scope/name", NULL, CURL, FACTS(MUTABLE, NPM, ANY, NONE)},
	{"/@scope/name/1.0.0", NULL, CURL, FACTS(MUTABLE, NPM, ANY, NONE)},
	{"/@scope/name/latest", NULL, CURL, FACTS(MUTABLE, NPM, ANY, NONE)},
	{"/x/@scope/name", NULL, CURL, FACTS(MUTABLE, NPM, ANY, NONE)},
	{"/-/package/name/dist-tags", NULL, CURL, FACTS(MUTABLE, NPM, ANY, NONE)},
	{"/-/package/@scope/name/dist-tags", NULL, CURL, FACTS(MUTABLE, NPM, ANY, NONE)},
	{"/-/v1/search", NULL, CURL, FACTS(MUTABLE, NPM, ANY, NONE)},
	{"/-/npm/v1/keys", NULL, CURL, FACTS(MUTABLE, NPM, ANY, NONE)},
	{"/-/npm/v1/attestations/x@1.0.0", NULL, CURL, FACTS(MUTABLE, NPM, ANY, NONE)},
	{"/repository/npm-proxy/name", NULL, CURL, FACTS(MUTABLE, NPM, ANY, NONE)},
	{"/artifactory/api/npm/remote/name", NULL, CURL, FACTS(MUTABLE, NPM, ANY, NONE)},
	{"/npm/name/1.0.0", NULL, CURL, FACTS(MUTABLE, NPM, ANY, NONE)},
	{"/npm/name/latest", NULL, CURL, FACTS(MUTABLE, NPM, ANY, NONE)},
	{"/left-pad", NULL, NPM, FACTS(MUTABLE, NPM, ANY, NONE)},
	{"/left-pad", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/left-pad", NULL, GEM, FACTS(OTHER, NONE, ANY, NONE)},
	{"/left-pad/1.3.0", NULL, NPM, FACTS(MUTABLE, NPM, ANY, NONE)},
	{"/left-pad/1.3.0", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/left-pad/1.3.0", NULL, GEM, FACTS(OTHER, NONE, ANY, NONE)},
	{"/left-pad/latest", NULL, NPM, FACTS(MUTABLE, NPM, ANY, NONE)},
	{"/left-pad/latest", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/left-pad/latest", NULL, GEM, FACTS(OTHER, NONE, ANY, NONE)},
	{"/-/npm/v1/security/audits", NULL, CURL, FACTS(PASS, NPM, ANY, NONE)},
	{"/-/npm/v1/security/advisories/bulk", NULL, CURL, FACTS(PASS, NPM, ANY, NONE)},
	{"/-/npm/v1/user", NULL, CURL, FACTS(PASS, NPM, ANY, NONE)},
	{"/-/whoami", NULL, CURL, FACTS(PASS, NPM, ANY, NONE)},
	{"/-/user/org.couchdb.user:x", NULL, CURL, FACTS(PASS, NPM, ANY, NONE)},
	{"/-/ping", NULL, CURL, FACTS(PASS, NPM, ANY, NONE)},
	{"/-/v1/login", NULL, CURL, FACTS(PASS, NPM, ANY, NONE)},
	{"/x/-/npm/v1/security/audits/quick", NULL, CURL, FACTS(PASS, NPM, ANY, NONE)},
	{"/a/b", NULL, NPM, FACTS(OTHER, NONE, ANY, NONE)},
	{"/.hidden", NULL, NPM, FACTS(OTHER, NONE, ANY, NONE)},
	{"/", NULL, NPM, FACTS(OTHER, NONE, ANY, NONE)},
	{"/npm/a/b/c", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/@/name", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/@scope", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/-/package/name/x", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	/* PyPI style */
	{"/packages/01/23/" H60 "/x-1.0-py3-none-any.whl", NULL, CURL, FACTS(IMMUTABLE, PYPI, ZIP, BLAKE2B_256)},
	{"/mirror/packages/01/23/" H60 "/x-1.0.tar.gz", NULL, CURL, FACTS(IMMUTABLE, PYPI, GZIP, BLAKE2B_256)},
	{"/packages/01/23/" H60 "/x-1.0-py3-none-any.whl.metadata", NULL, CURL, FACTS(IMMUTABLE, PYPI, ANY, NONE)},
	{"/packages/01/23/" H60 "/x-1.0.tar.gz.asc", NULL, CURL, FACTS(IMMUTABLE, PYPI, ANY, NONE)},
	{"/packages/py3/x/xyz/xyz-1.0-py3-none-any.whl", NULL, CURL, FACTS(IMMUTABLE, PYPI, ZIP, NONE)},
	{"/packages/source/x/xyz/xyz-1.0.zip", NULL, CURL, FACTS(IMMUTABLE, PYPI, ZIP, NONE)},
	{"/root/pypi/packages/xyz-1.0.tar.gz", NULL, CURL, FACTS(IMMUTABLE, PYPI, GZIP, NONE)},
	{"/packages/xyz-1.0.tar.bz2", NULL, CURL, FACTS(IMMUTABLE, PYPI, BZIP2, NONE)},
	{"/packages/xyz.whl.metadata", NULL, CURL, FACTS(IMMUTABLE, PYPI, ANY, NONE)},
	{"/packages/01/23/" H60 "/", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/packages/01/23/" H60 "a/x.exe", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/packages/x/readme.html", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/x-1.0.whl", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/packages/generic/x/1.0/x.zip", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/packages", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/simple/", NULL, CURL, FACTS(MUTABLE, PYPI, ANY, NONE)},
	{"/simple", NULL, CURL, FACTS(MUTABLE, PYPI, ANY, NONE)},
	{"/simple/xyz/", NULL, CURL, FACTS(MUTABLE, PYPI, ANY, NONE)},
	{"/simple/xyz", NULL, CURL, FACTS(MUTABLE, PYPI, ANY, NONE)},
	{"/root/pypi/simple/xyz/", NULL, CURL, FACTS(MUTABLE, PYPI, ANY, NONE)},
	{"/pypi/xyz/json", NULL, CURL, FACTS(MUTABLE, PYPI, ANY, NONE)},
	{"/pypi/xyz/1.0/json", NULL, CURL, FACTS(MUTABLE, PYPI, ANY, NONE)},
	{"/simple/x/y/", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/json", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/pypi/json/x", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/a/b/c/d/json", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	/* RubyGems */
	{"/gems/rack-2.2.3.gem", NULL, CURL, FACTS(IMMUTABLE, GEM, TAR, NONE)},
	{"/gems/nokogiri-1.15.0-x86_64-linux.gem", NULL, CURL, FACTS(IMMUTABLE, GEM, TAR, NONE)},
	{"/mirror/gems/a-1.0.0.pre1.gem", NULL, CURL, FACTS(IMMUTABLE, GEM, TAR, NONE)},
	{"/quick/Marshal.4.8/rack-2.2.3.gemspec.rz", NULL, CURL, FACTS(IMMUTABLE, GEM, ZLIB, NONE)},
	{"/gems/rack.gem", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/rack-2.2.3.gem", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/gems/rack-x.gem", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/Marshal.4.8/rack-2.2.3.gemspec.rz", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/x/versions", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/x/info/rack", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/info/a/b", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/versions", NULL, CURL, FACTS(MUTABLE, GEM, ANY, NONE)},
	{"/names", NULL, CURL, FACTS(MUTABLE, GEM, ANY, NONE)},
	{"/info/rack", NULL, CURL, FACTS(MUTABLE, GEM, ANY, NONE)},
	{"/specs.4.8.gz", NULL, CURL, FACTS(MUTABLE, GEM, ANY, NONE)},
	{"/latest_specs.4.8", NULL, CURL, FACTS(MUTABLE, GEM, ANY, NONE)},
	{"/prerelease_specs.4.8.gz", NULL, CURL, FACTS(MUTABLE, GEM, ANY, NONE)},
	{"/x/specs.4.8", NULL, CURL, FACTS(MUTABLE, GEM, ANY, NONE)},
	{"/api/v1/dependencies", NULL, CURL, FACTS(MUTABLE, GEM, ANY, NONE)},
	{"/api/v1/dependencies.json", NULL, CURL, FACTS(MUTABLE, GEM, ANY, NONE)},
	{"/rubygems/versions", NULL, CURL, FACTS(MUTABLE, GEM, ANY, NONE)},
	{"/repository/gem-proxy/info/rack", NULL, CURL, FACTS(MUTABLE, GEM, ANY, NONE)},
	{"/x/versions", NULL, GEM, FACTS(MUTABLE, GEM, ANY, NONE)},
	{"/x/info/rack", NULL, GEM, FACTS(MUTABLE, GEM, ANY, NONE)},
	/* cargo */
	{"/crates/serde/serde-1.0.0.crate", NULL, CURL, FACTS(IMMUTABLE, CARGO, GZIP, NONE)},
	{"/crates/serde/1.0.0/download", NULL, CURL, FACTS(IMMUTABLE, CARGO, GZIP, NONE)},
	{"/api/v1/crates/serde/1.0.0-rc.1/download", NULL, CURL, FACTS(IMMUTABLE, CARGO, GZIP, NONE)},
	{"/crates/serde/serde-1.0.crate", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/crates/serde/other-1.0.0.crate", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/serde/serde-1.0.0.crate", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/crates/serde/1.0/download", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/serde/1.0.0/download", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/3/s/syn", NULL, CURL, FACTS(MUTABLE, CARGO, ANY, NONE)},
	{"/se/rd/serde", NULL, CURL, FACTS(MUTABLE, CARGO, ANY, NONE)},
	{"/x/se/rd/serde_json", NULL, CURL, FACTS(MUTABLE, CARGO, ANY, NONE)},
	{"/index/crates/config.json", NULL, CURL, FACTS(MUTABLE, CARGO, ANY, NONE)},
	{"/cargo/1/a", NULL, CURL, FACTS(MUTABLE, CARGO, ANY, NONE)},
	{"/cargo/2/ab", NULL, CURL, FACTS(MUTABLE, CARGO, ANY, NONE)},
	{"/config.json", NULL, CARGO, FACTS(MUTABLE, CARGO, ANY, NONE)},
	{"/config.json", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/1/a", NULL, CARGO, FACTS(MUTABLE, CARGO, ANY, NONE)},
	{"/1/a", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/2/ab", NULL, CARGO, FACTS(MUTABLE, CARGO, ANY, NONE)},
	{"/2/ab", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/3/x/syn", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/se/rx/serde", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/se/rd/se", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/01/23/" H64, NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/1/ab", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/2/a", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	/* Go */
	{"/github.example/a/b/@v/v1.2.3.info", NULL, CURL, FACTS(IMMUTABLE, GO, ANY, NONE)},
	{"/github.example/!a/b/@v/v1.2.3.mod", NULL, CURL, FACTS(IMMUTABLE, GO, ANY, NONE)},
	{"/github.example/a/b/v2/@v/v2.0.0+incompatible.zip", NULL, CURL, FACTS(IMMUTABLE, GO, ZIP, NONE)},
	{"/goproxy/x/y/@v/v0.0.0-20200101000000-0123456789ab.zip", NULL, CURL, FACTS(IMMUTABLE, GO, ZIP, NONE)},
	{"/x/y/@v/list", NULL, CURL, FACTS(MUTABLE, GO, ANY, NONE)},
	{"/x/y/@latest", NULL, CURL, FACTS(MUTABLE, GO, ANY, NONE)},
	{"/x/y/@v/master.info", NULL, CURL, FACTS(MUTABLE, GO, ANY, NONE)},
	{"/x/y/@v/v1.2.info", NULL, CURL, FACTS(MUTABLE, GO, ANY, NONE)},
	{"/x/y/@v/v1.info", NULL, CURL, FACTS(MUTABLE, GO, ANY, NONE)},
	{"/sumdb/sum.example/latest", NULL, CURL, FACTS(MUTABLE, GO, ANY, NONE)},
	{"/sumdb/sum.example/supported", NULL, CURL, FACTS(MUTABLE, GO, ANY, NONE)},
	{"/sumdb/sum.example/lookup/x/y@v1.0.0", NULL, CURL, FACTS(IMMUTABLE, GO, ANY, NONE)},
	{"/sumdb/sum.example/tile/8/0/x001/234", NULL, CURL, FACTS(IMMUTABLE, GO, ANY, NONE)},
	{"/x/sumdb/sum.example/tile/8/0/x001/234.p/17", NULL, CURL, FACTS(IMMUTABLE, GO, ANY, NONE)},
	{"/x/@v/v1.2.3.txt", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/x/@v/", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/x/v/v1.2.3.info", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/sumdb/sum.example/other/x", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/sumdb/sum.example", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/x/@v/.info", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	/* Maven */
	{"/maven2/org/example/lib/1.0/lib-1.0.jar", NULL, CURL, FACTS(IMMUTABLE, MAVEN, ZIP, NONE)},
	{"/maven2/org/example/lib/1.0/lib-1.0-sources.jar", NULL, CURL, FACTS(IMMUTABLE, MAVEN, ZIP, NONE)},
	{"/org/example/lib/1.0/lib-1.0.pom", NULL, CURL, FACTS(IMMUTABLE, MAVEN, ANY, NONE)},
	{"/org/example/lib/1.0/lib-1.0.module", NULL, CURL, FACTS(IMMUTABLE, MAVEN, ANY, NONE)},
	{"/junit/junit/4.12/junit-4.12.war", NULL, CURL, FACTS(IMMUTABLE, MAVEN, ZIP, NONE)},
	{"/org/example/lib/1.0/lib-1.0.jar.sha1", NULL, CURL, FACTS(IMMUTABLE, MAVEN, ANY, NONE)},
	{"/org/example/lib/1.0/lib-1.0.jar.asc.md5", NULL, CURL, FACTS(IMMUTABLE, MAVEN, ANY, NONE)},
	{"/org/example/lib/1.0/lib-1.0-bin.tar.gz", NULL, CURL, FACTS(IMMUTABLE, MAVEN, GZIP, NONE)},
	{"/org/example/x.gradle.plugin/1.2/x.gradle.plugin-1.2.pom", NULL, CURL, FACTS(IMMUTABLE, MAVEN, ANY, NONE)},
	{"/org/example/lib/1.0-SNAPSHOT/lib-1.0-20240131.123456-7.jar", NULL, CURL, FACTS(IMMUTABLE, MAVEN, ZIP, NONE)},
	{"/org/example/lib/1.0-SNAPSHOT/lib-1.0-20240131.123456-7-sources.jar.sha1", NULL, CURL,
	 FACTS(IMMUTABLE, MAVEN, ANY, NONE)},
	{"/org/example/lib/1.0-SNAPSHOT/lib-1.0-SNAPSHOT.jar", NULL, CURL, FACTS(MUTABLE, MAVEN, ANY, NONE)},
	{"/org/example/lib/1.0-SNAPSHOT/lib-1.0-SNAPSHOT.pom.sha1", NULL, CURL, FACTS(MUTABLE, MAVEN, ANY, NONE)},
	{"/org/example/lib/maven-metadata.xml", NULL, CURL, FACTS(MUTABLE, MAVEN, ANY, NONE)},
	{"/org/example/lib/maven-metadata.xml.sha1", NULL, CURL, FACTS(MUTABLE, MAVEN, ANY, NONE)},
	{"/org/example/lib/1.0-SNAPSHOT/maven-metadata-central.xml", NULL, CURL, FACTS(MUTABLE, MAVEN, ANY, NONE)},
	{"/lib/1.0/lib-1.0.jar", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/org/example/lib/1.0/lib-1.1.jar", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/org/example/lib/1.0/lib-1.0x.jar", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/org/example/lib/1.0/lib.jar", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/org/example/lib/1.0-SNAPSHOT/lib-1.0-20240131.1234-7.jar", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/org/example/lib/1.0-SNAPSHOT/lib-1.0-20240131.123456-.jar", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/static/button/main/button-main.js", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/static/a/v2/a-v2.js", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/org/example/lib/maven.xml", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	/* Gradle */
	{"/distributions/gradle-8.5-bin.zip", NULL, CURL, FACTS(IMMUTABLE, GRADLE, ZIP, NONE)},
	{"/x/distributions/gradle-8.5-rc-1-all.zip", NULL, CURL, FACTS(IMMUTABLE, GRADLE, ZIP, NONE)},
	{"/distributions/gradle-8.5-bin.zip.sha256", NULL, CURL, FACTS(IMMUTABLE, GRADLE, ANY, NONE)},
	{"/cache/" H32, NULL, CURL, FACTS(PASS, GRADLE, ANY, NONE)},
	{"/distributions/gradle-8.5-SNAPSHOT-bin.zip", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/distributions/gradle-8.5-docs.zip", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/gradle-8.5-bin.zip", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/cache/x", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	/* Debian */
	{"/debian/pool/main/h/hello/hello_2.10-3_amd64.deb", NULL, CURL, FACTS(IMMUTABLE, DEBIAN, AR, NONE)},
	{"/debian/pool/main/h/hello/hello_2.10-3.dsc", NULL, CURL, FACTS(IMMUTABLE, DEBIAN, ANY, NONE)},
	{"/debian/pool/main/h/hello/hello_2.10.orig.tar.gz", NULL, CURL, FACTS(IMMUTABLE, DEBIAN, GZIP, NONE)},
	{"/debian/pool/main/h/hello/hello_2.10-3.debian.tar.xz", NULL, CURL, FACTS(IMMUTABLE, DEBIAN, XZ, NONE)},
	{"/pool/x.udeb", NULL, CURL, FACTS(IMMUTABLE, DEBIAN, AR, NONE)},
	{"/pool/x.tar.gz.asc", NULL, CURL, FACTS(IMMUTABLE, DEBIAN, ANY, NONE)},
	{"/pool/x.tar.zst", NULL, CURL, FACTS(IMMUTABLE, DEBIAN, ZSTD, NONE)},
	{"/pool/x_1.diff.gz", NULL, CURL, FACTS(IMMUTABLE, DEBIAN, GZIP, NONE)},
	{"/debian/dists/sid/main/binary-amd64/by-hash/SHA256/" H64, NULL, CURL, FACTS(IMMUTABLE, DEBIAN, ANY, SHA256)},
	{"/dists/sid/by-hash/SHA512/" H128, NULL, CURL, FACTS(IMMUTABLE, DEBIAN, ANY, SHA512)},
	{"/dists/sid/by-hash/SHA1/" H40, NULL, CURL, FACTS(IMMUTABLE, DEBIAN, ANY, SHA1)},
	{"/dists/sid/by-hash/MD5Sum/" H32, NULL, CURL, FACTS(IMMUTABLE, DEBIAN, ANY, MD5)},
	{"/debian/dists/sid/InRelease", NULL, CURL, FACTS(MUTABLE, DEBIAN, ANY, NONE)},
	{"/debian/dists/sid/Release", NULL, CURL, FACTS(MUTABLE, DEBIAN, ANY, NONE)},
	{"/debian/dists/sid/Release.gpg", NULL, CURL, FACTS(MUTABLE, DEBIAN, ANY, NONE)},
	{"/flat/InRelease", NULL, CURL, FACTS(MUTABLE, DEBIAN, ANY, NONE)},
	{"/flat/Release.gpg", NULL, CURL, FACTS(MUTABLE, DEBIAN, ANY, NONE)},
	{"/debian/dists/sid/main/binary-amd64/Packages.xz", NULL, CURL, FACTS(MUTABLE, DEBIAN, ANY, NONE)},
	{"/debian/dists/sid/main/source/Sources.gz", NULL, CURL, FACTS(MUTABLE, DEBIAN, ANY, NONE)},
	{"/debian/dists/sid/main/Contents-amd64.gz", NULL, CURL, FACTS(MUTABLE, DEBIAN, ANY, NONE)},
	{"/debian/dists/sid/main/i18n/Translation-en.bz2", NULL, CURL, FACTS(MUTABLE, DEBIAN, ANY, NONE)},
	{"/debian/dists/sid/main/binary-amd64/Packages", NULL, CURL, FACTS(MUTABLE, DEBIAN, ANY, NONE)},
	{"/x/hello_2.10-3_amd64.deb", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/debian/pool/main/h/hello/", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/pool/x.changes", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/pool.deb", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/x.tar.gz", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/Packages.gz", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/Release", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/dists/sid/by-hash/SHA256/" H64 "0", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/dists/sid/by-hash/SHA3/" H64, NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/dists/sid/by-hash/SHA256/" H60 "cdeg", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/pool/.tar.", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	/* RPM */
	{"/repodata/" H64 "-primary.xml.gz", NULL, CURL, FACTS(IMMUTABLE, RPM, GZIP, SHA256)},
	{"/x/repodata/" H64 "-filelists.xml.zst", NULL, CURL, FACTS(IMMUTABLE, RPM, ZSTD, SHA256)},
	{"/repodata/" H128 "-primary.xml.xz", NULL, CURL, FACTS(IMMUTABLE, RPM, XZ, SHA512)},
	{"/repodata/" H40 "-comps.xml", NULL, CURL, FACTS(IMMUTABLE, RPM, ANY, SHA1)},
	{"/Packages/h/hello-2.10-1.x86_64.rpm", NULL, CURL, FACTS(IMMUTABLE, RPM, RPM, NONE)},
	{"/x/repodata/repomd.xml", NULL, CURL, FACTS(MUTABLE, RPM, ANY, NONE)},
	{"/repodata/repomd.xml.asc", NULL, CURL, FACTS(MUTABLE, RPM, ANY, NONE)},
	{"/repodata/repomd.xml.key", NULL, CURL, FACTS(MUTABLE, RPM, ANY, NONE)},
	{"/repodata/primary.xml.gz", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/repodata/" H32 "-primary.xml.gz", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/repodata/" H64, NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/hello.rpm", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/epel-release-latest-9.noarch.rpm", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/repodata/", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	/* Composer */
	{"/p2/vendor/package.json", NULL, CURL, FACTS(MUTABLE, COMPOSER, ANY, NONE)},
	{"/p2/vendor/package~dev.json", NULL, CURL, FACTS(MUTABLE, COMPOSER, ANY, NONE)},
	{"/packages.json", NULL, CURL, FACTS(MUTABLE, COMPOSER, ANY, NONE)},
	{"/x/packages.json", NULL, CURL, FACTS(MUTABLE, COMPOSER, ANY, NONE)},
	{"/p/vendor/package$" H64 ".json", NULL, CURL, FACTS(IMMUTABLE, COMPOSER, ANY, SHA256)},
	{"/p/vendor/package%24" H64 ".json", NULL, CURL, FACTS(IMMUTABLE, COMPOSER, ANY, SHA256)},
	{"/p/provider-2020$" H64 ".json", NULL, CURL, FACTS(IMMUTABLE, COMPOSER, ANY, SHA256)},
	{"/dists/vendor/package/1.0.0.0/" H40 ".zip", NULL, CURL, FACTS(IMMUTABLE, COMPOSER, ZIP, NONE)},
	{"/dists/vendor/package/1.0.0.0/r" H32 "0123456-" H40 ".zip", NULL, CURL,
	 FACTS(IMMUTABLE, COMPOSER, ZIP, NONE)},
	{"/downloads/", NULL, CURL, FACTS(PASS, COMPOSER, ANY, NONE)},
	{"/p/vendor/package.json", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/q/vendor/package$" H64 ".json", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/p/vendor/package$" H60 "cde.json", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/p/vendor/package" H64 ".json", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/dists/vendor/package/1.0.zip", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/x/downloads/", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	/* git hosting */
	{"/repos/o/r/zipball/" H40, NULL, CURL, FACTS(IMMUTABLE, GITHOST, ZIP, NONE)},
	{"/repos/o/r/tarball/" H40, NULL, CURL, FACTS(IMMUTABLE, GITHOST, GZIP, NONE)},
	{"/o/r/legacy.zip/" H40, NULL, CURL, FACTS(IMMUTABLE, GITHOST, ZIP, NONE)},
	{"/o/r/legacy.tar.gz/" H40, NULL, CURL, FACTS(IMMUTABLE, GITHOST, GZIP, NONE)},
	{"/o/r/tar.gz/" H40, NULL, CURL, FACTS(IMMUTABLE, GITHOST, GZIP, NONE)},
	{"/o/r/archive/" H40 ".zip", NULL, CURL, FACTS(IMMUTABLE, GITHOST, ZIP, NONE)},
	{"/o/r/archive/" H40 ".tar.gz", NULL, CURL, FACTS(IMMUTABLE, GITHOST, GZIP, NONE)},
	{"/o/r/-/archive/" H40 "/r-" H40 ".tar.gz", NULL, CURL, FACTS(IMMUTABLE, GITHOST, GZIP, NONE)},
	{"/repos/o/r/zipball/main", NULL, CURL, FACTS(MUTABLE, GITHOST, ANY, NONE)},
	{"/o/r/legacy.tar.gz/v1.0", NULL, CURL, FACTS(MUTABLE, GITHOST, ANY, NONE)},
	{"/o/r/archive/main.zip", NULL, CURL, FACTS(MUTABLE, GITHOST, ANY, NONE)},
	{"/o/r/archive/refs/heads/main.zip", NULL, CURL, FACTS(MUTABLE, GITHOST, ANY, NONE)},
	{"/o/r/archive/refs/tags/v1.0.tar.gz", NULL, CURL, FACTS(MUTABLE, GITHOST, ANY, NONE)},
	{"/o/r/zip/refs/heads/main", NULL, CURL, FACTS(MUTABLE, GITHOST, ANY, NONE)},
	{"/o/r/-/archive/main/r-main.tar.gz", NULL, CURL, FACTS(MUTABLE, GITHOST, ANY, NONE)},
	{"/o/r/releases/latest/download/x.zip", NULL, CURL, FACTS(MUTABLE, GITHOST, ANY, NONE)},
	{"/o/r/releases/download/nightly/x.zip", NULL, CURL, FACTS(MUTABLE, GITHOST, ANY, NONE)},
	{"/o/r/releases/download/v1.0/x-linux.tar.gz", NULL, CURL, FACTS(IMMUTABLE, GITHOST, GZIP, NONE)},
	{"/o/r/releases/download/v1.0/x", NULL, CURL, FACTS(IMMUTABLE, GITHOST, ANY, NONE)},
	{"/electron/electron/releases/download/v28.0.0/electron-v28.0.0-linux-x64.zip", NULL, CURL,
	 FACTS(IMMUTABLE, GITHOST, ZIP, NONE)},
	{"/archive/x.zip", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/o/r/tar.gz/main", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/zip/" H40, NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/o/r/releases/v1.0", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/o/r/releases/download/v1.0/", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/o/r/tree/refs/heads/main", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/o/r/archive/main.txt", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	/* git */
	{"/o/r.git/info/refs", "service=git-upload-pack", CURL, FACTS(PASS, GIT, ANY, NONE)},
	{"/o/r/git-upload-pack", NULL, CURL, FACTS(PASS, GIT, ANY, NONE)},
	{"/o/r.git/git-receive-pack", NULL, CURL, FACTS(PASS, GIT, ANY, NONE)},
	{"/o/r.git/info/refs", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/info/refs", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	/* OCI */
	{"/v2/library/x/blobs/sha256:" H64, NULL, CURL, FACTS(IMMUTABLE, OCI, ANY, SHA256)},
	{"/v2/x/y/z/manifests/sha256:" H64, NULL, CURL, FACTS(IMMUTABLE, OCI, ANY, SHA256)},
	{"/v2/x/blobs/sha512:" H128, NULL, CURL, FACTS(IMMUTABLE, OCI, ANY, SHA512)},
	{"/v2/x/blobs/sha256%3A" H64, NULL, CURL, FACTS(IMMUTABLE, OCI, ANY, SHA256)},
	{"/docker/registry/v2/blobs/sha256/01/" H64 "/data", NULL, CURL, FACTS(IMMUTABLE, OCI, ANY, SHA256)},
	{"/v2/library/x/manifests/latest", NULL, CURL, FACTS(MUTABLE, OCI, ANY, NONE)},
	{"/v2/x/tags/list", NULL, CURL, FACTS(MUTABLE, OCI, ANY, NONE)},
	{"/v2/", NULL, CURL, FACTS(PASS, OCI, ANY, NONE)},
	{"/v2", NULL, CURL, FACTS(PASS, OCI, ANY, NONE)},
	{"/artifactory/api/docker/repo/v2/", NULL, CURL, FACTS(PASS, OCI, ANY, NONE)},
	{"/v2/x/blobs/uploads/", NULL, CURL, FACTS(PASS, OCI, ANY, NONE)},
	{"/v2/x/blobs/uploads/some-id", NULL, CURL, FACTS(PASS, OCI, ANY, NONE)},
	{"/token", "service=registry.example&scope=repository:x:pull", CURL, FACTS(PASS, OCI, ANY, NONE)},
	{"/token", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/v2/x/blobs/sha256:" H60 "cde", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/v2/x/blobs/md5:" H32, NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/x/blobs/sha256:" H64, NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/api/v2/", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/v2/x/blobs/", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/docker/registry/v2/blobs/sha256/02/" H64 "/data", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/blobs/sha256:" H64, NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	/* runtimes and browsers */
	{"/dist/v20.0.0/node-v20.0.0-headers.tar.gz", NULL, CURL, FACTS(IMMUTABLE, BINARY, GZIP, NONE)},
	{"/download/release/v20.0.0/node-v20.0.0.tar.xz", NULL, CURL, FACTS(IMMUTABLE, BINARY, XZ, NONE)},
	{"/dist/v20.0.0/SHASUMS256.txt", NULL, CURL, FACTS(IMMUTABLE, BINARY, ANY, NONE)},
	{"/dist/v20.0.0/win-x64/node.lib", NULL, CURL, FACTS(IMMUTABLE, BINARY, ANY, NONE)},
	{"/chrome/121.0.6167.85/linux64/chrome-linux64.zip", NULL, CURL, FACTS(IMMUTABLE, BINARY, ZIP, NONE)},
	{"/builds/chromium/1084/chromium-linux.zip", NULL, CURL, FACTS(IMMUTABLE, BINARY, ZIP, NONE)},
	{"/dist/index.json", NULL, CURL, FACTS(MUTABLE, BINARY, ANY, NONE)},
	{"/dist/index.tab", NULL, CURL, FACTS(MUTABLE, BINARY, ANY, NONE)},
	{"/dist/latest/SHASUMS256.txt", NULL, CURL, FACTS(MUTABLE, BINARY, ANY, NONE)},
	{"/dist/latest-v20.x/node-v20.0.0.tar.gz", NULL, CURL, FACTS(MUTABLE, BINARY, ANY, NONE)},
	{"/x/LATEST_RELEASE_121", NULL, CURL, FACTS(MUTABLE, BINARY, ANY, NONE)},
	{"/v1.0.0/docs.html", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/v1.0.0/docs.zip", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/dist/v20/node-v20.tar.gz", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/index.json", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/latest/x.zip", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/chrome/121.0.6167/linux64/chrome-linux64.zip", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/builds/x/y/z.zip", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	/* nothing at all */
	{"/", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/index.html", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/a/b/c", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"//", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/a//b", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"x", NULL, CURL, FACTS(OTHER, NONE, ANY, NONE)},
	{"/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/", NULL, CURL,
	 FACTS(OTHER, NONE, ANY, NONE)},
};

static void request_of(enum client client, struct hdrs *out)
{
	memset(out, 0, sizeof(*out));
	assert_int_equal(hdr_add(out, SPAN("User-Agent"), span_str(agents[client])), 0);
}

static void classify(const struct row *row, struct path_facts *out)
{
	struct hdrs request;

	request_of(row->client, &request);
	pathclass_of(span_str(row->path), span_str(row->query), &request, out);
}

static void every_shape_has_its_class(void **state)
{
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct row *row = &rows[i];
		struct path_facts facts;

		classify(row, &facts);
		if (facts.class != row->class || facts.ecosystem != row->ecosystem || facts.content != row->content ||
		    facts.digest_kind != row->digest) {
			print_error("%s (%s): %s of %s, content %d, digest %d\n", row->path, agents[row->client],
				    pathclass_word(facts.class), pathclass_ecosystem(facts.ecosystem),
				    (int)facts.content, (int)facts.digest_kind);
			wrong++;
		}
		assert_int_equal(facts.ttl_s != 0, facts.class == PATH_MUTABLE);
	}
	assert_int_equal(wrong, 0);
}

static void a_prefix_changes_nothing_for_files(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char path[1024];
		struct path_facts facts;

		if (rows[i].class != PATH_IMMUTABLE)
			continue;
		snprintf(path, sizeof(path), "/mirrors/one%s", rows[i].path);
		pathclass_of(span_str(path), span_str(rows[i].query), NULL, &facts);
		if (facts.class != PATH_IMMUTABLE || facts.digest_kind != rows[i].digest)
			fail_msg("%s: %s", path, pathclass_word(facts.class));
	}
}

static void digests_are_read(void **state)
{
	struct path_facts facts;
	static const uint8_t start[] = {0x01, 0x23, 0x45, 0x67};

	(void)state;
	pathclass_of(SPAN("/packages/01/23/4567" H32 "0123456789abcdef0123aBcD/x.whl"), SPAN_NONE, NULL, &facts);
	assert_int_equal(facts.digest_bytes, 32);
	assert_memory_equal(facts.digest, start, sizeof(start));
	assert_int_equal(facts.digest[30], 0xab);
	assert_int_equal(facts.digest[31], 0xcd);
	pathclass_of(SPAN("/v2/x/blobs/sha512:" H128), SPAN_NONE, NULL, &facts);
	assert_int_equal(facts.digest_bytes, 64);
	pathclass_of(SPAN("/dists/x/by-hash/MD5Sum/" H32), SPAN_NONE, NULL, &facts);
	assert_int_equal(facts.digest_bytes, 16);
}

static void archives_by_name_live_as_long_as_names_do(void **state)
{
	struct path_facts facts;

	(void)state;
	pathclass_of(SPAN("/o/r/archive/refs/tags/v1.tar.gz"), SPAN_NONE, NULL, &facts);
	assert_int_equal(facts.ttl_s, PATH_ARCHIVE_TTL_S);
	pathclass_of(SPAN("/o/r/archive/refs/heads/main.tar.gz"), SPAN_NONE, NULL, &facts);
	assert_int_equal(facts.ttl_s, PATH_MUTABLE_TTL_S);
	pathclass_of(SPAN("/o/r/archive/" H40 ".tar.gz"), SPAN_NONE, NULL, &facts);
	assert_true(facts.regenerated);
	pathclass_of(SPAN("/o/r/releases/download/v1/x.tar.gz"), SPAN_NONE, NULL, &facts);
	assert_false(facts.regenerated);
}

static void npm_is_known_by_what_it_accepts(void **state)
{
	struct hdrs request = {0};
	struct path_facts facts;

	(void)state;
	hdr_add(&request, SPAN("Accept"), SPAN("application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8"));
	pathclass_of(SPAN("/left-pad"), SPAN_NONE, &request, &facts);
	assert_int_equal(facts.class, PATH_MUTABLE);
	memset(&request, 0, sizeof(request));
	hdr_add(&request, SPAN("npm-command"), SPAN("view"));
	pathclass_of(SPAN("/left-pad"), SPAN_NONE, &request, &facts);
	assert_int_equal(facts.class, PATH_MUTABLE);
	pathclass_of(SPAN("/left-pad"), SPAN_NONE, NULL, &facts);
	assert_int_equal(facts.class, PATH_OTHER);
}

#define BYTES(literal)                                                                                                 \
	{                                                                                                              \
		literal, sizeof(literal) - 1                                                                           \
	}

static void first_bytes(void **state)
{
	static const struct {
		enum content_kind kind;
		struct span bytes;
		bool fits;
	} cases[] = {
		{CONTENT_GZIP, BYTES("\x1f\x8b\x08\0"), true},
		{CONTENT_GZIP, BYTES("\x1f\x8b"), false},
		{CONTENT_GZIP, BYTES("PK\x03\x04"), false},
		{CONTENT_ZIP, BYTES("PK\x03\x04...."), true},
		{CONTENT_ZIP, BYTES("PK\x05\x06...."), true},
		{CONTENT_ZIP, BYTES("<!DOCTYPE html>"), false},
		{CONTENT_XZ,
		 BYTES("\xfd"
		       "7zXZ\0..."),
		 true},
		{CONTENT_XZ,
		 BYTES("\xfd"
		       "7zXZ."),
		 false},
		{CONTENT_ZSTD, BYTES("\x28\xb5\x2f\xfd."), true},
		{CONTENT_ZSTD, BYTES("\x28\xb5\x2f"), false},
		{CONTENT_BZIP2, BYTES("BZh91AY"), true},
		{CONTENT_BZIP2, BYTES("BZ"), false},
		{CONTENT_ZLIB, BYTES("\x78\x9c"), true},
		{CONTENT_ZLIB, BYTES("\x78\x9d"), false},
		{CONTENT_ZLIB, BYTES("\x78"), false},
		{CONTENT_AR, BYTES("!<arch>\ndebian-binary"), true},
		{CONTENT_AR, BYTES("!<arch>"), false},
		{CONTENT_RPM, BYTES("\xed\xab\xee\xdb\x03"), true},
		{CONTENT_RPM, BYTES("\xed\xab"), false},
		{CONTENT_TAR, BYTES("ustar"), false},
		{CONTENT_ANY, BYTES("{}"), true},
		{CONTENT_ANY, BYTES(""), true},
		{CONTENT_ANY, BYTES("<?xml version=\"1.0\"?><project>"), true},
		{CONTENT_ANY, BYTES("<?xml version=\"1.0\"?>\n<!-- x --><!DOCTYPE html PUBLIC"), false},
		{CONTENT_ANY, BYTES("\xef\xbb\xbf \r\n<HTML lang=en>"), false},
		{CONTENT_ANY, BYTES("<!doctype HTML>"), false},
		{CONTENT_ANY, BYTES("<!-- never closed"), true},
		{CONTENT_GZIP, BYTES(""), false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		if (pathclass_bytes_fit(cases[i].kind, cases[i].bytes) != cases[i].fits)
			fail_msg("case %zu", i);
}

static void a_tar_is_known_by_its_middle(void **state)
{
	char block[PATHCLASS_FIRST_BYTES] = {0};

	(void)state;
	memcpy(block + 257, "ustar", 5);
	assert_true(pathclass_bytes_fit(CONTENT_TAR, span_of(block, sizeof(block))));
	assert_true(pathclass_bytes_fit(CONTENT_TAR, span_of(block, 262)));
	assert_false(pathclass_bytes_fit(CONTENT_TAR, span_of(block, 261)));
	assert_false(pathclass_bytes_fit(CONTENT_TAR, span_of(block, 100)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_shape_has_its_class),
		cmocka_unit_test(a_prefix_changes_nothing_for_files),
		cmocka_unit_test(digests_are_read),
		cmocka_unit_test(archives_by_name_live_as_long_as_names_do),
		cmocka_unit_test(npm_is_known_by_what_it_accepts),
		cmocka_unit_test(first_bytes),
		cmocka_unit_test(a_tar_is_known_by_its_middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
