#include "node/tls/ca.h"

#include <arpa/inet.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "node/base/check.h"
#include "node/base/hash.h"
#include "node/base/mem.h"
#include "node/base/rng.h"
#include "node/tls/certs.h"
#include "node/tls/names.h"

#define CA_MAGIC 0xca51c0de
#define WARN_DAYS 30
#define JDK_TRUSTED_KEY_USAGE "2.16.840.1.113894.746875.1.1"
#define ANY_EXTENDED_KEY_USAGE "2.5.29.37.0"

/* Immutable once opened, but for refs. */
struct ca {
	unsigned magic;
	unsigned refs; /* atomic */
	EVP_PKEY *pkey;
	const EVP_MD *md; /* NULL where the algorithm has its own (Ed25519) */
	X509 *cert;
	STACK_OF(X509) * chain;
	/* What is the same in every leaf. */
	X509_EXTENSION *constraints, *usage, *server_auth, *aki; /* aki: NULL when the CA has no key id */
	NAME_CONSTRAINTS **limits;                               /* of all certificates of the chain that have them */
	size_t n_limits;
	wall_ms not_before, not_after;
	uint8_t fingerprint[SHA256_BYTES];
};

static const EVP_MD *digest_for(EVP_PKEY *pkey)
{
	return EVP_PKEY_is_a(pkey, "ED25519") || EVP_PKEY_is_a(pkey, "ED448") ? NULL : EVP_sha256();
}

/* --- ca_create. --- */

/* "permitted;DNS:a.test,permitted;DNS:…,excluded;IP:…": without the last two, any address would be allowed. */
static int put_name_constraints(X509 *cert, const struct ca_settings *s, char *why, size_t why_bytes)
{
	char host[NAMES_HOST_MAX + 1];
	size_t cap = s->n_permit_dns * (NAMES_HOST_MAX + 32) + 128;
	char *text;
	struct buf b;

	if (s->n_permit_dns == 0)
		return 0;
	text = mem_alloc(cap);
	b = buf_over(text, cap - 1);
	buf_put_str(&b, "critical");
	for (size_t i = 0; i < s->n_permit_dns; i++) {
		struct span domain = span_str(s->permit_dns[i]);

		domain = span_from(domain, span_starts(domain, SPAN("*."))  ? 2
					   : span_starts(domain, SPAN(".")) ? 1
									    : 0);
		if (names_host(domain, host) != NAME_DNS) {
			snprintf(why, why_bytes, "\"%.*s\" is not a domain name that the CA could be limited to",
				 (int)strnlen(s->permit_dns[i], 64), s->permit_dns[i]);
			free(text);
			return -1;
		}
		buf_printf(&b, ",permitted;DNS:%s", host);
	}
	buf_put_str(&b, ",excluded;IP:0.0.0.0/0.0.0.0,excluded;IP:0:0:0:0:0:0:0:0/0:0:0:0:0:0:0:0");
	CHECK_THAT(!b.full);
	text[b.n] = '\0';
	certs_put_ext(cert, NID_name_constraints, text);
	free(text);
	return 0;
}

static struct span common_name(const struct ca_settings *s, char room[128])
{
	char host[64] = "";

	if (s->common_name)
		return span_str(s->common_name);
	if (gethostname(host, sizeof(host) - 1) < 0 || !host[0])
		strcpy(host, "localhost");
	snprintf(room, 128, "pmcache CA %s", host);
	return span_str(room);
}

/* NULL: `why` says which setting is wrong. */
static X509 *make_root(const struct ca_settings *s, EVP_PKEY *pkey, wall_ms now, char *why, size_t why_bytes)
{
	X509 *cert = X509_new();
	char room[128];
	int days = s->life_days ? s->life_days : CA_LIFE_DAYS;
	struct span cn = common_name(s, room);

	CHECK_THAT(cert && X509_set_version(cert, X509_VERSION_3) == 1 && X509_set_pubkey(cert, pkey) == 1);
	certs_put_serial(cert);
	certs_put_dates(cert, now - DUR_DAY, now + days * DUR_DAY);
	if (cn.n == 0 || !certs_put_common_name(X509_get_subject_name(cert), cn)) {
		snprintf(why, why_bytes, "the common name of the CA is empty or not UTF-8");
		X509_free(cert);
		return NULL;
	}
	CHECK_THAT(X509_set_issuer_name(cert, X509_get_subject_name(cert)) == 1);
	certs_put_ext(cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
	certs_put_ext(cert, NID_key_usage, "critical,keyCertSign,cRLSign");
	certs_put_ski(cert);
	if (put_name_constraints(cert, s, why, why_bytes) < 0) {
		X509_free(cert);
		return NULL;
	}
	certs_put_own_aki(cert);
	CHECK_THAT(X509_sign(cert, pkey, EVP_sha256()) > 0);
	return cert;
}

static void append_pem(BIO *bio, X509 *cert)
{
	CHECK_THAT(PEM_write_bio_X509(bio, cert) == 1);
}

static int write_bio(const char *path, BIO *bio, bool overwrite, char *why, size_t why_bytes)
{
	char *text;
	long n = BIO_get_mem_data(bio, &text);

	return certs_write(path, text, (size_t)n, 0644, overwrite, why, why_bytes);
}

int ca_create(const struct ca_settings *s, wall_ms now, char *why, size_t why_bytes)
{
	EVP_PKEY *pkey;
	X509 *cert;
	int r = -1;

	why[0] = '\0';
	if (!s->overwrite && (certs_exists(s->cert_path) || certs_exists(s->key_path))) {
		snprintf(why, why_bytes,
			 "%s is there already and is not overwritten; move the old CA away first, certificate and "
			 "key",
			 certs_exists(s->cert_path) ? s->cert_path : s->key_path);
		return -1;
	}
	pkey = EVP_EC_gen("P-256");
	CHECK_THAT(pkey);
	cert = make_root(s, pkey, now, why, why_bytes);
	/* The key first: a certificate without its key would look like a CA that was lost. */
	if (cert && certs_write_key(s->key_path, pkey, s->overwrite, why, why_bytes) == 0 &&
	    certs_write_cert(s->cert_path, cert, s->overwrite, why, why_bytes) == 0)
		r = 0;
	X509_free(cert);
	EVP_PKEY_free(pkey);
	ERR_clear_error();
	return r;
}

/* --- ca_open. --- */

/* Each certificate of the file is signed by the next one. */
static int check_order(STACK_OF(X509) * certs, const char *path, char *why, size_t why_bytes)
{
	for (int i = 0; i + 1 < sk_X509_num(certs); i++) {
		X509 *cert = sk_X509_value(certs, i), *issuer = sk_X509_value(certs, i + 1);

		if (X509_check_issued(issuer, cert) == X509_V_OK && X509_verify(cert, X509_get0_pubkey(issuer)) == 1)
			continue;
		ERR_clear_error();
		snprintf(why, why_bytes,
			 "%s: certificate %d is not the issuer of certificate %d; put the signing certificate first, "
			 "then each one's issuer",
			 path, i + 2, i + 1);
		return -1;
	}
	return 0;
}

static int check_dates(struct ca *ca, STACK_OF(X509) * certs, const char *path, wall_ms now, char *why,
		       size_t why_bytes)
{
	ca->not_before = INT64_MIN;
	ca->not_after = INT64_MAX;
	for (int i = 0; i < sk_X509_num(certs); i++) {
		wall_ms from = certs_wall(X509_get0_notBefore(sk_X509_value(certs, i)));
		wall_ms to = certs_wall(X509_get0_notAfter(sk_X509_value(certs, i)));

		if (from == CERTS_NO_TIME || to == CERTS_NO_TIME) {
			snprintf(why, why_bytes, "%s: certificate %d has a damaged date", path, i + 1);
			return -1;
		}
		ca->not_before = from > ca->not_before ? from : ca->not_before;
		ca->not_after = to < ca->not_after ? to : ca->not_after;
	}
	if (now < ca->not_before) {
		snprintf(why, why_bytes, "%s is not valid yet; is the clock of this machine right?", path);
		return -1;
	}
	if (now >= ca->not_after) {
		snprintf(why, why_bytes,
			 "%s has expired %lld days ago; make a new CA (pmcachectl ca init) and give it to the "
			 "clients",
			 path, (long long)((now - ca->not_after) / DUR_DAY));
		return -1;
	}
	if (ca->not_after - now < WARN_DAYS * DUR_DAY)
		snprintf(why, why_bytes,
			 "%s expires in %lld days; make a new CA (pmcachectl ca init) and give it to the clients", path,
			 (long long)((ca->not_after - now) / DUR_DAY));
	return 0;
}

static int check_pair(struct ca *ca, const char *cert_path, const char *key_path, char *why, size_t why_bytes)
{
	if (!certs_may_sign(ca->cert)) {
		snprintf(why, why_bytes,
			 "%s: the first certificate may not sign others (no CA:TRUE, or no keyCertSign)", cert_path);
		return -1;
	}
	if (X509_check_private_key(ca->cert, ca->pkey) != 1) {
		ERR_clear_error();
		snprintf(why, why_bytes, "%s is not the key of %s; give the two files that were made together",
			 key_path, cert_path);
		return -1;
	}
	return 0;
}

static void prepare(struct ca *ca, STACK_OF(X509) * certs)
{
	ca->chain = sk_X509_new_null();
	ca->limits = mem_zalloc((size_t)sk_X509_num(certs) * sizeof(NAME_CONSTRAINTS *));
	CHECK_THAT(ca->chain);
	for (int i = 0; i < sk_X509_num(certs); i++) {
		X509 *cert = sk_X509_value(certs, i);
		NAME_CONSTRAINTS *limit = X509_get_ext_d2i(cert, NID_name_constraints, NULL, NULL);

		if (limit)
			ca->limits[ca->n_limits++] = limit;
		if (X509_self_signed(cert, 0) != 1)
			CHECK_THAT(X509_up_ref(cert) == 1 && sk_X509_push(ca->chain, cert) > 0);
	}
	certs_fingerprint(ca->cert, ca->fingerprint);
	ca->md = digest_for(ca->pkey);
	ca->constraints = certs_make_ext(NID_basic_constraints, "critical,CA:FALSE");
	ca->usage = certs_make_ext(NID_key_usage, "critical,digitalSignature");
	ca->server_auth = certs_make_ext(NID_ext_key_usage, "serverAuth");
	ca->aki = certs_aki_of(ca->cert);
}

struct ca *ca_open(const char *cert_path, const char *key_path, wall_ms now, char *why, size_t why_bytes)
{
	STACK_OF(X509) * certs;
	struct ca *ca;

	why[0] = '\0';
	certs = certs_read(cert_path, why, why_bytes);
	if (!certs)
		return NULL;
	ca = NEW(struct ca);
	ca->magic = CA_MAGIC;
	ca->refs = 1;
	ca->cert = sk_X509_value(certs, 0);
	CHECK_THAT(X509_up_ref(ca->cert) == 1);
	ca->pkey = certs_read_key(key_path, why, why_bytes);
	if (!ca->pkey || check_pair(ca, cert_path, key_path, why, why_bytes) < 0 ||
	    check_order(certs, cert_path, why, why_bytes) < 0 ||
	    check_dates(ca, certs, cert_path, now, why, why_bytes) < 0)
		ca_unref(&ca);
	else
		prepare(ca, certs);
	sk_X509_pop_free(certs, X509_free);
	ERR_clear_error();
	return ca;
}

struct ca *ca_ref(struct ca *ca)
{
	CHECK(ca, CA_MAGIC);
	__atomic_fetch_add(&ca->refs, 1, __ATOMIC_RELAXED);
	return ca;
}

void ca_unref(struct ca **p)
{
	struct ca *ca = *p;

	*p = NULL;
	if (!ca)
		return;
	CHECK(ca, CA_MAGIC);
	if (__atomic_sub_fetch(&ca->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	ca->magic = 0;
	for (size_t i = 0; i < ca->n_limits; i++)
		NAME_CONSTRAINTS_free(ca->limits[i]);
	free(ca->limits);
	X509_EXTENSION_free(ca->constraints);
	X509_EXTENSION_free(ca->usage);
	X509_EXTENSION_free(ca->server_auth);
	X509_EXTENSION_free(ca->aki);
	sk_X509_pop_free(ca->chain, X509_free);
	X509_free(ca->cert);
	EVP_PKEY_free(ca->pkey);
	free(ca);
}

bool ca_same(const struct ca *a, const struct ca *b)
{
	int n = sk_X509_num(a->chain);

	if (X509_cmp(a->cert, b->cert) != 0 || n != sk_X509_num(b->chain))
		return false;
	for (int i = 0; i < n; i++)
		if (X509_cmp(sk_X509_value(a->chain, i), sk_X509_value(b->chain, i)) != 0)
			return false;
	return true;
}

const uint8_t *ca_fingerprint(const struct ca *ca)
{
	return ca->fingerprint;
}

wall_ms ca_not_before(const struct ca *ca)
{
	return ca->not_before;
}

wall_ms ca_not_after(const struct ca *ca)
{
	return ca->not_after;
}

STACK_OF(X509) * ca_chain(const struct ca *ca)
{
	return ca->chain;
}

/* --- ca_sign. --- */

static GENERAL_NAME *general_name(const char *san)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	unsigned char address[16];
	size_t n = inet_pton(AF_INET, san, address) == 1 ? 4 : inet_pton(AF_INET6, san, address) == 1 ? 16 : 0;
	ASN1_STRING *value = n ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();

	CHECK_THAT(name && value && ASN1_STRING_set(value, n ? (const void *)address : san, n ? (int)n : -1) == 1);
	GENERAL_NAME_set0_value(name, n ? GEN_IPADD : GEN_DNS, value);
	return name;
}

static void put_sans(X509 *cert, const char *const *sans, size_t n)
{
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();

	CHECK_THAT(names);
	for (size_t i = 0; i < n; i++)
		CHECK_THAT(sk_GENERAL_NAME_push(names, general_name(sans[i])) > 0);
	CHECK_THAT(X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_APPEND) == 1);
	GENERAL_NAMES_free(names);
}

/* RFC 5280 §4.2.1.10: the base itself and what is below it; a base that begins with a dot leaves itself out. */
static bool is_below(const char *host, const ASN1_STRING *base)
{
	struct span whole = span_str(host), domain;

	domain = span_of((const char *)ASN1_STRING_get0_data(base), (size_t)ASN1_STRING_length(base));
	if (domain.n == 0)
		return true;
	if (!span_ends_icase(whole, domain))
		return false;
	return whole.n == domain.n || domain.p[0] == '.' || host[whole.n - domain.n - 1] == '.';
}

/* The base is address and mask, one behind the other. */
static bool is_in_net(const unsigned char *address, size_t n, const ASN1_STRING *base)
{
	const unsigned char *net = ASN1_STRING_get0_data(base);

	if ((size_t)ASN1_STRING_length(base) != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++)
		if ((address[i] ^ net[i]) & net[n + i])
			return false;
	return true;
}

/* What one name meets in one list of subtrees. */
struct match {
	bool any; /* the list speaks of this kind of name */
	bool hit;
};

static struct match match_subtrees(STACK_OF(GENERAL_SUBTREE) * trees, const char *san)
{
	unsigned char address[16];
	size_t n = inet_pton(AF_INET, san, address) == 1 ? 4 : inet_pton(AF_INET6, san, address) == 1 ? 16 : 0;
	struct match m = {false, false};

	for (int i = 0; i < sk_GENERAL_SUBTREE_num(trees); i++) {
		int type;
		const ASN1_STRING *base = GENERAL_NAME_get0_value(sk_GENERAL_SUBTREE_value(trees, i)->base, &type);

		if (type != (n ? GEN_IPADD : GEN_DNS))
			continue;
		m.any = true;
		m.hit = m.hit || (n ? is_in_net(address, n, base) : is_below(san, base));
	}
	return m;
}

/* OpenSSL's own check works on finished certificates only, and this one must come before the signature. */
bool ca_permits(const struct ca *ca, const char *san)
{
	CHECK(ca, CA_MAGIC);
	for (size_t i = 0; i < ca->n_limits; i++) {
		struct match permitted = match_subtrees(ca->limits[i]->permittedSubtrees, san);

		if ((permitted.any && !permitted.hit) || match_subtrees(ca->limits[i]->excludedSubtrees, san).hit)
			return false;
	}
	return true;
}

static bool put_whole_subject(X509 *cert, struct span der)
{
	const unsigned char *at = (const unsigned char *)der.p;
	X509_NAME *name = der.n ? d2i_X509_NAME(NULL, &at, (long)der.n) : NULL;
	bool ok = name && at == (const unsigned char *)der.p + der.n && X509_NAME_entry_count(name) > 0 &&
		  X509_set_subject_name(cert, name) == 1;

	X509_NAME_free(name);
	return ok;
}

X509 *ca_sign(const struct ca *ca, const struct ca_ask *ask)
{
	X509 *cert = X509_new();
	wall_ms to = ask->not_after < ca->not_after ? ask->not_after : ca->not_after;

	CHECK(ca, CA_MAGIC);
	CHECK_THAT(cert && ask->n_sans > 0);
	CHECK_THAT(X509_set_version(cert, X509_VERSION_3) == 1 && X509_set_pubkey(cert, ask->pkey) == 1);
	CHECK_THAT(X509_set_issuer_name(cert, X509_get_subject_name(ca->cert)) == 1);
	certs_put_serial(cert);
	certs_put_dates(cert, ask->not_before, to);
	if (!put_whole_subject(cert, ask->subject))
		CHECK_THAT(certs_put_common_name(X509_get_subject_name(cert), span_str(ask->sans[0])));
	CHECK_THAT(X509_add_ext(cert, ca->constraints, -1) == 1 && X509_add_ext(cert, ca->usage, -1) == 1 &&
		   X509_add_ext(cert, ca->server_auth, -1) == 1);
	certs_put_ski(cert);
	if (ca->aki)
		CHECK_THAT(X509_add_ext(cert, ca->aki, -1) == 1);
	put_sans(cert, ask->sans, ask->n_sans);
	if (X509_sign(cert, ca->pkey, ca->md) <= 0) {
		X509_free(cert);
		cert = NULL;
	}
	ERR_clear_error();
	return cert;
}

/* --- What is public. --- */

static void list_permits(X509 *cert, struct buf *b)
{
	NAME_CONSTRAINTS *limit = X509_get_ext_d2i(cert, NID_name_constraints, NULL, NULL);

	for (int i = 0; limit && i < sk_GENERAL_SUBTREE_num(limit->permittedSubtrees); i++) {
		int type;
		const ASN1_STRING *s =
			GENERAL_NAME_get0_value(sk_GENERAL_SUBTREE_value(limit->permittedSubtrees, i)->base, &type);

		if (type != GEN_DNS)
			continue;
		if (b->n)
			buf_putc(b, ' ');
		buf_put(b, span_of((const char *)ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s)));
	}
	NAME_CONSTRAINTS_free(limit);
}

int ca_describe(const char *cert_path, struct ca_about *about, char *why, size_t why_bytes)
{
	STACK_OF(X509) * certs;
	struct buf permits = buf_over(about->permits, sizeof(about->permits) - 1);
	X509 *cert;
	BIO *bio;
	int n;

	why[0] = '\0';
	*about = (struct ca_about){.subject = ""};
	certs = certs_read(cert_path, why, why_bytes);
	if (!certs)
		return -1;
	cert = sk_X509_value(certs, 0);
	bio = BIO_new(BIO_s_mem());
	CHECK_THAT(bio);
	X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB);
	n = BIO_read(bio, about->subject, sizeof(about->subject) - 1);
	about->subject[n > 0 ? n : 0] = '\0';
	BIO_free(bio);
	list_permits(cert, &permits);
	about->permits[permits.n] = '\0';
	certs_fingerprint(cert, about->fingerprint);
	about->not_before = certs_wall(X509_get0_notBefore(cert));
	about->not_after = certs_wall(X509_get0_notAfter(cert));
	about->is_root = X509_self_signed(cert, 0) == 1;
	sk_X509_pop_free(certs, X509_free);
	ERR_clear_error();
	return 0;
}

/* Oracle's attribute, without which Java sees a certificate but no trust in it. */
static void mark_trusted(PKCS12_SAFEBAG *bag)
{
	ASN1_OBJECT *kind = OBJ_txt2obj(JDK_TRUSTED_KEY_USAGE, 1), *any = OBJ_txt2obj(ANY_EXTENDED_KEY_USAGE, 1);
	X509_ATTRIBUTE *attr = X509_ATTRIBUTE_create_by_OBJ(NULL, kind, V_ASN1_OBJECT, any, -1);
	/* OpenSSL 3.0 has no call to add an attribute of any kind; the stack is there once the friendly name is. */
	STACK_OF(X509_ATTRIBUTE) *attrs = (STACK_OF(X509_ATTRIBUTE) *)(uintptr_t)PKCS12_SAFEBAG_get0_attrs(bag);

	CHECK_THAT(attr && attrs && sk_X509_ATTRIBUTE_push(attrs, attr) > 0);
	ASN1_OBJECT_free(kind);
	ASN1_OBJECT_free(any);
}

/* Java tells entries apart by their name: it is numbered, then says whose certificate it is. */
static void add_bag(STACK_OF(PKCS12_SAFEBAG) * *bags, X509 *cert)
{
	PKCS12_SAFEBAG *bag = PKCS12_add_cert(bags, cert);
	char cn[CERTS_CN_MAX * 4 + 1] = "", name[sizeof(cn) + 16];

	if (X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, cn, sizeof(cn)) < 0)
		cn[0] = '\0';
	for (char *c = cn; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '_';
	snprintf(name, sizeof(name), "%03d %s", sk_PKCS12_SAFEBAG_num(*bags), cn[0] ? cn : "certificate");
	CHECK_THAT(bag && PKCS12_add_friendlyname_utf8(bag, name, -1) == 1);
	mark_trusted(bag);
}

/* The certificates stand in the clear, since they are public: a Java program that gives no password then still sees them.
 * The check sum is SHA-1, the only one that every Java since 7 computes; it protects nothing, its password is known. */
static PKCS12 *truststore_of(STACK_OF(X509) * certs)
{
	STACK_OF(PKCS12_SAFEBAG) *bags = NULL;
	STACK_OF(PKCS7) *safes = NULL;
	PKCS12 *p12;

	for (int i = 0; i < sk_X509_num(certs); i++)
		add_bag(&bags, sk_X509_value(certs, i));
	CHECK_THAT(PKCS12_add_safe(&safes, bags, -1, 0, NULL) == 1);
	p12 = PKCS12_add_safes(safes, 0);
	CHECK_THAT(p12 && PKCS12_set_mac(p12, CA_P12_PASSWORD, -1, NULL, 0, PKCS12_DEFAULT_ITER, EVP_sha1()) == 1);
	sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
	sk_PKCS7_pop_free(safes, PKCS7_free);
	return p12;
}

static void put_p12(BIO *bio, STACK_OF(X509) * certs)
{
	PKCS12 *p12 = truststore_of(certs);

	CHECK_THAT(i2d_PKCS12_bio(bio, p12) == 1);
	PKCS12_free(p12);
}

static uint8_t *take_bytes(BIO *bio, size_t *n)
{
	char *p;
	uint8_t *bytes;

	*n = (size_t)BIO_get_mem_data(bio, &p);
	bytes = mem_alloc(*n);
	memcpy(bytes, p, *n);
	return bytes;
}

/* The last certificate alone. */
static STACK_OF(X509) * read_anchor(const char *cert_path, char *why, size_t why_bytes)
{
	STACK_OF(X509) *certs = certs_read(cert_path, why, why_bytes);

	while (certs && sk_X509_num(certs) > 1)
		X509_free(sk_X509_shift(certs));
	return certs;
}

uint8_t *ca_export(const char *cert_path, enum ca_format format, size_t *n, char *why, size_t why_bytes)
{
	STACK_OF(X509) * anchor;
	uint8_t *bytes;
	BIO *bio;

	why[0] = '\0';
	anchor = read_anchor(cert_path, why, why_bytes);
	if (!anchor)
		return NULL;
	bio = BIO_new(BIO_s_mem());
	CHECK_THAT(bio);
	switch (format) {
	case CA_PEM:
		append_pem(bio, sk_X509_value(anchor, 0));
		break;
	case CA_DER:
		CHECK_THAT(i2d_X509_bio(bio, sk_X509_value(anchor, 0)) == 1);
		break;
	case CA_P12:
		put_p12(bio, anchor);
		break;
	}
	bytes = take_bytes(bio, n);
	BIO_free(bio);
	sk_X509_pop_free(anchor, X509_free);
	ERR_clear_error();
	return bytes;
}

int ca_bundle(const char *system_bundle, const char *cert_path, const char *out_path, char *why, size_t why_bytes)
{
	STACK_OF(X509) * anchor, *roots;
	X509 *ours;
	BIO *bio;
	int r;

	why[0] = '\0';
	anchor = read_anchor(cert_path, why, why_bytes);
	if (!anchor)
		return -1;
	roots = certs_read(system_bundle, why, why_bytes);
	if (!roots) {
		sk_X509_pop_free(anchor, X509_free);
		return -1;
	}
	ours = sk_X509_value(anchor, 0);
	bio = BIO_new(BIO_s_mem());
	CHECK_THAT(bio);
	for (int i = 0; i < sk_X509_num(roots); i++)
		if (X509_cmp(sk_X509_value(roots, i), ours) != 0) /* it may be in the system's store as well */
			append_pem(bio, sk_X509_value(roots, i));
	append_pem(bio, ours);
	r = write_bio(out_path, bio, true, why, why_bytes);
	BIO_free(bio);
	sk_X509_pop_free(roots, X509_free);
	sk_X509_pop_free(anchor, X509_free);
	return r;
}

int ca_truststore(const char *bundle_path, const char *out_path, char *why, size_t why_bytes)
{
	STACK_OF(X509) * certs;
	BIO *bio;
	int r;

	why[0] = '\0';
	certs = certs_read(bundle_path, why, why_bytes);
	if (!certs)
		return -1;
	bio = BIO_new(BIO_s_mem());
	CHECK_THAT(bio);
	put_p12(bio, certs);
	r = write_bio(out_path, bio, true, why, why_bytes);
	BIO_free(bio);
	sk_X509_pop_free(certs, X509_free);
	ERR_clear_error();
	return r;
}
