#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/pkcs12.h>
#include <unistd.h>

#include "node/base/hash.h"
#include "node/tls/ca.h"
#include "node/tls/certs.h"
#include "tests/unit/tls/certs_make.h"

#define NOW INT64_C(1800000000000)

struct place {
	char *folder;
	char cert[600], key[600], other[600];
	char why[CA_WHY_BYTES];
};

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	p->folder = make_folder();
	snprintf(p->cert, sizeof(p->cert), "%s/ca.crt", p->folder);
	snprintf(p->key, sizeof(p->key), "%s/ca.key", p->folder);
	snprintf(p->other, sizeof(p->other), "%s/other", p->folder);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	assert_int_equal(ERR_peek_error(), 0); /* nothing may be left for the next SSL_get_error to find */
	make_folder_remove(p->folder);
	free(p);
	return 0;
}

static void create(struct place *p)
{
	struct ca_settings s = {.cert_path = p->cert, .key_path = p->key, .common_name = "test CA"};

	if (ca_create(&s, NOW, p->why, sizeof(p->why)))
		fail_msg("%s", p->why);
}

static struct ca *open_ca(struct place *p)
{
	struct ca *ca = ca_open(p->cert, p->key, NOW, p->why, sizeof(p->why));

	if (!ca)
		fail_msg("%s", p->why);
	return ca;
}

static X509 *read_cert(const char *path)
{
	FILE *f = fopen(path, "r");
	X509 *cert = PEM_read_X509(f, NULL, NULL, NULL);

	fclose(f);
	assert_non_null(cert);
	return cert;
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

static X509 *sign(struct ca *ca, EVP_PKEY *pkey, const char *san)
{
	struct ca_ask ask = {
		.pkey = pkey, .sans = &san, .n_sans = 1, .not_before = NOW - DUR_DAY, .not_after = NOW + DUR_DAY};
	X509 *leaf = ca_sign(ca, &ask);

	assert_non_null(leaf);
	return leaf;
}

static void test_create(void **state)
{
	struct place *p = *state;
	X509 *cert;
	uint32_t usage;

	umask(0);
	create(p);
	umask(022);
	assert_int_equal(mode_of(p->key), 0600);
	assert_int_equal(mode_of(p->cert), 0644);
	cert = read_cert(p->cert);
	assert_int_equal(X509_check_ca(cert), 1);
	assert_int_equal(X509_get_pathlen(cert), 0);
	usage = X509_get_key_usage(cert);
	assert_int_equal(usage, KU_KEY_CERT_SIGN | KU_CRL_SIGN);
	for (int i = 0, nid[] = {NID_basic_constraints, NID_key_usage}; i < 2; i++)
		assert_true(X509_EXTENSION_get_critical(X509_get_ext(cert, X509_get_ext_by_NID(cert, nid[i], -1))));
	assert_non_null(X509_get0_subject_key_id(cert));
	assert_int_equal(ASN1_OCTET_STRING_cmp(X509_get0_subject_key_id(cert), X509_get0_authority_key_id(cert)), 0);
	assert_true(EVP_PKEY_is_a(X509_get0_pubkey(cert), "EC"));
	assert_int_equal(EVP_PKEY_get_bits(X509_get0_pubkey(cert)), 256);
	assert_true(ASN1_STRING_length(X509_get0_serialNumber(cert)) >= 13);
	assert_int_equal(X509_get_signature_nid(cert), NID_ecdsa_with_SHA256);
	assert_int_equal(certs_wall(X509_get0_notBefore(cert)), NOW - DUR_DAY);
	assert_int_equal(certs_wall(X509_get0_notAfter(cert)), NOW + 3650 * DUR_DAY);
	assert_int_equal(X509_self_signed(cert, 1), 1);
	X509_free(cert);
}

static void test_create_keeps_what_is_there(void **state)
{
	struct place *p = *state;
	struct ca_settings s = {.cert_path = p->cert, .key_path = p->key};
	struct ca_about before, after;

	create(p);
	ca_describe(p->cert, &before, p->why, sizeof(p->why));
	assert_int_equal(ca_create(&s, NOW, p->why, sizeof(p->why)), -1);
	assert_non_null(strstr(p->why, "ca.crt is there already"));
	unlink(p->cert);
	assert_int_equal(ca_create(&s, NOW, p->why, sizeof(p->why)), -1);
	assert_non_null(strstr(p->why, "ca.key is there already"));
	s.overwrite = true;
	assert_int_equal(ca_create(&s, NOW, p->why, sizeof(p->why)), 0);
	ca_describe(p->cert, &after, p->why, sizeof(p->why));
	assert_memory_not_equal(before.fingerprint, after.fingerprint, 32);
	assert_non_null(strstr(after.subject, "CN=pmcache CA "));
	s.cert_path = "/nowhere/at/all.crt";
	s.key_path = "/nowhere/at/all.key";
	assert_int_equal(ca_create(&s, NOW, p->why, sizeof(p->why)), -1);
	assert_non_null(strstr(p->why, "/nowhere/at/all.key cannot be written"));
}

static void test_no_temporary_left(void **state)
{
	struct place *p = *state;
	char command[700];

	create(p);
	snprintf(command, sizeof(command), "test \"$(ls -A '%s' | wc -l)\" = 2", p->folder);
	assert_int_equal(system(command), 0);
}

static void test_settings_refused(void **state)
{
	static const char *const bad[] = {"10.0.0.1", "", "a..test", "a test"};
	struct place *p = *state;
	struct ca_settings s = {.cert_path = p->cert, .key_path = p->key, .common_name = "\xff\xfe"};

	assert_int_equal(ca_create(&s, NOW, p->why, sizeof(p->why)), -1);
	assert_non_null(strstr(p->why, "common name"));
	s.common_name = "x";
	s.n_permit_dns = 1;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		s.permit_dns = &bad[i];
		assert_int_equal(ca_create(&s, NOW, p->why, sizeof(p->why)), -1);
		assert_non_null(strstr(p->why, "is not a domain name"));
	}
	assert_int_not_equal(access(p->key, F_OK), 0);
}

static void test_sign(void **state)
{
	static const char *const sans[] = {"registry.test", "*.files.test", "127.0.0.1", "::1"};
	struct place *p = *state;
	struct ca *ca;
	struct ca_ask ask = {.sans = sans, .n_sans = 4, .not_before = 0, .not_after = NOW * 4};
	X509 *root, *leaf, *again;

	create(p);
	ca = open_ca(p);
	assert_string_equal(p->why, "");
	root = read_cert(p->cert);
	ask.pkey = EVP_EC_gen("P-256");
	leaf = ca_sign(ca, &ask);
	again = ca_sign(ca, &ask);
	assert_int_equal(make_verify(root, ca_chain(ca), leaf, "registry.test", NULL, NOW), X509_V_OK);
	assert_int_equal(make_verify(root, NULL, leaf, "a.files.test", NULL, NOW), X509_V_OK);
	assert_int_equal(make_verify(root, NULL, leaf, NULL, "127.0.0.1", NOW), X509_V_OK);
	assert_int_equal(make_verify(root, NULL, leaf, NULL, "::1", NOW), X509_V_OK);
	assert_int_equal(make_verify(root, NULL, leaf, "other.test", NULL, NOW), X509_V_ERR_HOSTNAME_MISMATCH);
	assert_int_equal(make_verify(NULL, NULL, leaf, NULL, NULL, NOW), X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
	assert_int_equal(certs_wall(X509_get0_notBefore(leaf)), 0);
	assert_int_equal(certs_wall(X509_get0_notAfter(leaf)), ca_not_after(ca));
	assert_int_equal(X509_get_key_usage(leaf), KU_DIGITAL_SIGNATURE);
	assert_int_equal(X509_get_extended_key_usage(leaf), XKU_SSL_SERVER);
	assert_int_equal(X509_check_ca(leaf), 0);
	assert_non_null(X509_get0_subject_key_id(leaf));
	assert_int_equal(ASN1_OCTET_STRING_cmp(X509_get0_authority_key_id(leaf), X509_get0_subject_key_id(root)), 0);
	assert_int_not_equal(ASN1_INTEGER_cmp(X509_get0_serialNumber(leaf), X509_get0_serialNumber(again)), 0);
	assert_int_equal(sk_X509_num(ca_chain(ca)), 0); /* a root is not sent */
	EVP_PKEY_free(ask.pkey);
	X509_free(leaf);
	X509_free(again);
	X509_free(root);
	ca_unref(&ca);
	assert_null(ca);
	ca_unref(&ca);
}

static void test_sign_subject(void **state)
{
	struct place *p = *state;
	struct ca *ca;
	struct made origin = make_cert((struct make){.cn = "www.test", .org = "Example Ltd"}, NULL, NOW);
	const char *san = "a-name-that-is-longer-than-the-sixty-four-bytes-of-a-common-name.test";
	struct ca_ask ask = {
		.pkey = origin.pkey, .sans = &san, .n_sans = 1, .not_before = NOW, .not_after = NOW + DUR_DAY};
	static const char *const junk[] = {"", "junk", "0", "\x30\x80", "\x30\x7f"};
	unsigned char *der = NULL;
	char cn[128];
	X509 *leaf;

	create(p);
	ca = open_ca(p);
	ask.subject.n = (size_t)i2d_X509_NAME(X509_get_subject_name(origin.cert), &der);
	ask.subject.p = (const char *)der;
	leaf = ca_sign(ca, &ask);
	assert_int_equal(X509_NAME_cmp(X509_get_subject_name(leaf), X509_get_subject_name(origin.cert)), 0);
	X509_free(leaf);
	for (size_t i = 0; i < sizeof(junk) / sizeof(junk[0]); i++) {
		ask.subject = span_str(junk[i]);
		leaf = ca_sign(ca, &ask);
		X509_NAME_get_text_by_NID(X509_get_subject_name(leaf), NID_commonName, cn, sizeof(cn));
		assert_int_equal(strlen(cn), 64);
		assert_memory_equal(cn, san, 64);
		X509_free(leaf);
	}
	ask.subject = span_of("\x30\x00", 2); /* an empty name would need a critical subjectAltName */
	leaf = ca_sign(ca, &ask);
	assert_int_equal(X509_NAME_entry_count(X509_get_subject_name(leaf)), 1);
	X509_free(leaf);
	OPENSSL_free(der);
	made_free(&origin);
	ca_unref(&ca);
}

static void test_name_constraints(void **state)
{
	static const char *const domains[] = {"corp.test", "*.second.test", ".third.test"};
	static const struct {
		const char *name;
		bool ok;
	} cases[] = {
		{"corp.test", true},    {"a.b.corp.test", true}, {"*.corp.test", true},     {"x.second.test", true},
		{"y.third.test", true}, {"notcorp.test", false}, {"corp.test.evil", false}, {"test", false},
		{"127.0.0.1", false},   {"::1", false},          {"2001:db8::1", false}};
	struct place *p = *state;
	struct ca_settings s = {.cert_path = p->cert, .key_path = p->key, .permit_dns = domains, .n_permit_dns = 3};
	EVP_PKEY *pkey = EVP_EC_gen("P-256");
	struct ca_about about;
	struct ca *ca;
	X509 *root;
	int at;

	assert_int_equal(ca_create(&s, NOW, p->why, sizeof(p->why)), 0);
	ca = open_ca(p);
	root = read_cert(p->cert);
	at = X509_get_ext_by_NID(root, NID_name_constraints, -1);
	assert_true(at >= 0 && X509_EXTENSION_get_critical(X509_get_ext(root, at)));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		X509 *leaf = sign(ca, pkey, cases[i].name);
		int verdict = make_verify(root, NULL, leaf, NULL, NULL, NOW);

		if (ca_permits(ca, cases[i].name) != cases[i].ok || (verdict == X509_V_OK) != cases[i].ok)
			fail_msg("%s: %d, verify %d", cases[i].name, ca_permits(ca, cases[i].name), verdict);
		X509_free(leaf);
	}
	assert_int_equal(ca_describe(p->cert, &about, p->why, sizeof(p->why)), 0);
	assert_string_equal(about.permits, "corp.test second.test third.test");
	EVP_PKEY_free(pkey);
	X509_free(root);
	ca_unref(&ca);
	ERR_clear_error();
}

static void test_chain(void **state)
{
	struct place *p = *state;
	struct made root = make_cert(
		(struct make){.cn = "org root", .is_ca = true, .pathlen = -1, .to = 3000 * DUR_DAY}, NULL, NOW);
	struct made edge = make_cert(
		(struct make){
			.cn = "edge", .is_ca = true, .pathlen = 0, .permits = "permitted;DNS:test", .to = 60 * DUR_DAY},
		&root, NOW);
	X509 *leaf, *list[] = {edge.cert, root.cert}, *wrong[] = {root.cert, edge.cert}, *served;
	struct ca_about about;
	struct ca *ca;
	uint8_t *pem;
	size_t n;
	BIO *bio;

	make_key_file(p->key, edge.pkey, 0600);
	make_pem(p->cert, list, 2);
	ca = open_ca(p);
	leaf = sign(ca, root.pkey, "a.test");
	assert_int_equal(sk_X509_num(ca_chain(ca)), 1);
	served = sk_X509_value(ca_chain(ca), 0);
	assert_int_equal(X509_cmp(served, edge.cert), 0);
	assert_int_equal(make_verify(root.cert, ca_chain(ca), leaf, "a.test", NULL, NOW), X509_V_OK);
	assert_int_not_equal(make_verify(root.cert, NULL, leaf, "a.test", NULL, NOW), X509_V_OK);
	assert_int_equal(ca_not_after(ca), NOW + 60 * DUR_DAY);
	assert_true(ca_permits(ca, "a.test"));
	assert_false(ca_permits(ca, "a.example"));
	assert_true(ca_permits(ca, "127.0.0.1")); /* nothing is said about addresses */
	/* What clients must trust is the root. */
	pem = ca_export(p->cert, CA_PEM, &n, p->why, sizeof(p->why));
	bio = BIO_new_mem_buf(pem, (int)n);
	X509_free(leaf);
	leaf = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	assert_int_equal(X509_cmp(leaf, root.cert), 0);
	assert_int_equal(ca_describe(p->cert, &about, p->why, sizeof(p->why)), 0);
	assert_false(about.is_root);
	ca_unref(&ca);
	make_key_file(p->key, root.pkey, 0600);
	make_pem(p->cert, wrong, 2);
	assert_null(ca_open(p->cert, p->key, NOW, p->why, sizeof(p->why)));
	assert_non_null(strstr(p->why, "certificate 2 is not the issuer of certificate 1"));
	BIO_free(bio);
	free(pem);
	X509_free(leaf);
	made_free(&edge);
	made_free(&root);
}

static void refuse(struct place *p, wall_ms now, const char *word)
{
	struct ca *ca = ca_open(p->cert, p->key, now, p->why, sizeof(p->why));

	assert_null(ca);
	if (!strstr(p->why, word))
		fail_msg("\"%s\" does not say \"%s\"", p->why, word);
}

static void put(const char *path, const char *text, size_t n)
{
	FILE *f = fopen(path, "w");

	fwrite(text, 1, n, f);
	fclose(f);
}

static void test_open_refuses(void **state)
{
	struct place *p = *state;
	struct made plain = make_cert((struct make){.cn = "no CA", .san = "DNS:a.test"}, NULL, NOW);
	struct made other = make_cert((struct make){.cn = "other CA", .is_ca = true, .pathlen = -1}, NULL, NOW);
	struct ca *ca;
	FILE *f;

	refuse(p, NOW, "ca.crt cannot be read");
	create(p);
	chmod(p->key, 0640);
	refuse(p, NOW, "chmod 600");
	chmod(p->key, 0604);
	refuse(p, NOW, "others than its owner");
	chmod(p->key, 0400);
	ca = ca_open(p->cert, p->key, NOW, p->why, sizeof(p->why));
	assert_non_null(ca);
	ca_unref(&ca);
	chmod(p->key, 0600);
	refuse(p, NOW + 3651 * DUR_DAY, "expired 1 days ago");
	refuse(p, NOW - 2 * DUR_DAY, "not valid yet");
	ca = ca_open(p->cert, p->key, NOW + 3640 * DUR_DAY, p->why, sizeof(p->why));
	assert_non_null(ca);
	assert_non_null(strstr(p->why, "expires in 10 days"));
	ca_unref(&ca);
	make_key_file(p->key, other.pkey, 0600);
	refuse(p, NOW, "is not the key of");
	put(p->key, "hello", 5);
	refuse(p, NOW, "holds no private key");
	put(p->key, "", 0);
	refuse(p, NOW, "holds no private key");
	f = fopen(p->key, "w");
	PEM_write_PrivateKey(f, other.pkey, EVP_aes_128_cbc(), (const unsigned char *)"secret", 6, NULL, NULL);
	fclose(f);
	refuse(p, NOW, "has a pass phrase");
	unlink(p->key);
	refuse(p, NOW, "ca.key cannot be read");
	mkdir(p->key, 0700);
	refuse(p, NOW, "is not a file");
	rmdir(p->key);
	make_key_file(p->key, plain.pkey, 0600);
	make_pem(p->cert, &plain.cert, 1);
	refuse(p, NOW, "may not sign others");
	put(p->cert, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 60);
	refuse(p, NOW, "certificate 1 is damaged");
	put(p->cert, "nothing\n", 8);
	refuse(p, NOW, "holds no certificate");
	made_free(&plain);
	made_free(&other);
}

static void test_other_keys(void **state)
{
	static const char *const kinds[] = {"RSA", "ED25519", "P-384"};
	struct place *p = *state;

	for (size_t i = 0; i < 3; i++) {
		EVP_PKEY *pkey = i == 0   ? EVP_RSA_gen(2048)
				 : i == 1 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
					  : EVP_EC_gen("P-384");
		X509 *root = X509_new(), *leaf;
		struct ca *ca;

		X509_set_version(root, X509_VERSION_3);
		X509_set_pubkey(root, pkey);
		ASN1_INTEGER_set(X509_get_serialNumber(root), 7);
		ASN1_TIME_set(X509_getm_notBefore(root), (NOW - DUR_DAY) / 1000);
		ASN1_TIME_set(X509_getm_notAfter(root), (NOW + 100 * DUR_DAY) / 1000);
		make_name(X509_get_subject_name(root), "CN", kinds[i]);
		X509_set_issuer_name(root, X509_get_subject_name(root));
		make_ext(root, root, NID_basic_constraints, "critical,CA:TRUE");
		make_ext(root, root, NID_key_usage, "critical,keyCertSign");
		assert_true(X509_sign(root, pkey, i == 1 ? NULL : EVP_sha256()) > 0); /* and no subject key id */
		make_pem(p->cert, &root, 1);
		make_key_file(p->key, pkey, 0600);
		ca = open_ca(p);
		leaf = sign(ca, pkey, "a.test");
		assert_int_equal(X509_verify(leaf, pkey), 1);
		assert_null(X509_get0_authority_key_id(leaf));
		X509_free(leaf);
		X509_free(root);
		EVP_PKEY_free(pkey);
		ca_unref(&ca);
	}
}

/* Constraints of an operator's own CA, as its makers write them; each verdict is that of OpenSSL's verification as well. */
static void test_other_constraints(void **state)
{
	static const struct {
		const char *permits, *name;
		bool ok;
	} cases[] = {
		{"permitted;IP:10.0.0.0/255.0.0.0", "10.1.2.3", true},
		{"permitted;IP:10.0.0.0/255.0.0.0", "11.1.2.3", false},
		{"permitted;IP:10.0.0.0/255.0.0.0", "::1", false},
		{"permitted;IP:10.0.0.0/255.0.0.0", "a.test", true},
		{"excluded;DNS:evil.test", "a.evil.test", false},
		{"excluded;DNS:evil.test", "evil.test", false},
		{"excluded;DNS:evil.test", "devil.test", true},
		{"permitted;DNS:.corp.test", "a.corp.test", true},
		{"permitted;DNS:.corp.test", "corp.test", false},
		{"permitted;DNS:Corp.Test", "a.corp.test", true},
		{"permitted;DNS:corp.test,excluded;DNS:secret.corp.test", "a.secret.corp.test", false},
		{"permitted;email:corp.test", "a.test", true},
	};
	struct place *p = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct made root = make_cert(
			(struct make){.cn = "r", .is_ca = true, .pathlen = 0, .permits = cases[i].permits}, NULL, NOW);
		struct ca *ca;
		X509 *leaf;

		make_key_file(p->key, root.pkey, 0600);
		make_pem(p->cert, &root.cert, 1);
		ca = open_ca(p);
		leaf = sign(ca, root.pkey, cases[i].name);
		if (ca_permits(ca, cases[i].name) != cases[i].ok ||
		    (make_verify(root.cert, NULL, leaf, NULL, NULL, NOW) == X509_V_OK) != cases[i].ok)
			fail_msg("%s, %s", cases[i].permits, cases[i].name);
		X509_free(leaf);
		ca_unref(&ca);
		made_free(&root);
	}
	ERR_clear_error();
}

static void test_export(void **state)
{
	struct place *p = *state;
	const unsigned char *at;
	struct ca_about about;
	uint8_t *bytes, digest[32];
	EVP_PKEY *pkey = NULL;
	STACK_OF(X509) *others = NULL;
	struct ca *ca;
	PKCS12 *p12;
	X509 *cert, *none = NULL;
	size_t n;

	create(p);
	ca = open_ca(p);
	bytes = ca_export(p->cert, CA_DER, &n, p->why, sizeof(p->why));
	sha256_of(span_of((char *)bytes, n), digest);
	assert_memory_equal(digest, ca_fingerprint(ca), 32);
	at = bytes;
	cert = d2i_X509(NULL, &at, (long)n);
	free(bytes);
	assert_int_equal(ca_describe(p->cert, &about, p->why, sizeof(p->why)), 0);
	assert_string_equal(about.subject, "CN=test CA");
	assert_memory_equal(about.fingerprint, digest, 32);
	assert_true(about.is_root);
	assert_string_equal(about.permits, "");
	bytes = ca_export(p->cert, CA_P12, &n, p->why, sizeof(p->why));
	at = bytes;
	p12 = d2i_PKCS12(NULL, &at, (long)n);
	assert_non_null(p12);
	assert_int_equal(PKCS12_parse(p12, CA_P12_PASSWORD, &pkey, &none, &others), 1);
	assert_null(pkey);
	assert_int_equal(sk_X509_num(others), 1);
	assert_int_equal(X509_cmp(sk_X509_value(others, 0), cert), 0);
	assert_null(ca_export("/nowhere/ca.crt", CA_PEM, &n, p->why, sizeof(p->why)));
	assert_non_null(strstr(p->why, "/nowhere/ca.crt cannot be read"));
	sk_X509_pop_free(others, X509_free);
	PKCS12_free(p12);
	free(bytes);
	X509_free(cert);
	ca_unref(&ca);
}

/* Two roots and ours; ours stands there once, also when the system has it already. */
static void test_bundle(void **state)
{
	struct place *p = *state;
	struct made a = make_cert((struct make){.cn = "root a", .is_ca = true, .pathlen = -1}, NULL, NOW);
	struct made b = make_cert((struct make){.cn = "root b", .is_ca = true, .pathlen = -1}, NULL, NOW);
	X509 *list[3] = {a.cert, NULL, b.cert};
	STACK_OF(X509) * certs;
	char system_bundle[700], out[700];

	create(p);
	list[1] = read_cert(p->cert);
	snprintf(system_bundle, sizeof(system_bundle), "%s/system.pem", p->folder);
	snprintf(out, sizeof(out), "%s/bundle.pem", p->folder);
	make_pem(system_bundle, list, 3);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(ca_bundle(system_bundle, p->cert, out, p->why, sizeof(p->why)), 0);
		certs = certs_read(out, p->why, sizeof(p->why));
		assert_int_equal(sk_X509_num(certs), 3);
		assert_int_equal(X509_cmp(sk_X509_value(certs, 0), a.cert), 0);
		assert_int_equal(X509_cmp(sk_X509_value(certs, 2), list[1]), 0);
		sk_X509_pop_free(certs, X509_free);
	}
	assert_int_equal(mode_of(out), 0644);
	assert_int_equal(ca_bundle("/nowhere/roots.pem", p->cert, out, p->why, sizeof(p->why)), -1);
	assert_non_null(strstr(p->why, "/nowhere/roots.pem"));
	assert_int_equal(ca_truststore("/nowhere/roots.pem", out, p->why, sizeof(p->why)), -1);
	X509_free(list[1]);
	made_free(&a);
	made_free(&b);
}

static int count_in(const char *command, const char *word)
{
	char line[1024];
	FILE *f = popen(command, "r");
	int n = 0;

	while (fgets(line, sizeof(line), f))
		n += strstr(line, word) != NULL;
	pclose(f);
	return n;
}

/* Java itself is asked, where it is installed. */
static void test_java_trusts(void **state)
{
	struct place *p = *state;
	struct made a = make_cert((struct make){.cn = "root a", .is_ca = true, .pathlen = -1}, NULL, NOW);
	struct made b = make_cert((struct make){.cn = "root a", .is_ca = true, .pathlen = -1}, NULL, NOW);
	X509 *list[] = {a.cert, b.cert};
	char command[1500];
	uint8_t *bytes;
	size_t n;

	if (system("command -v keytool >/dev/null 2>&1") != 0) {
		made_free(&a);
		made_free(&b);
		skip();
	}
	create(p);
	bytes = ca_export(p->cert, CA_P12, &n, p->why, sizeof(p->why));
	put(p->other, (char *)bytes, n);
	free(bytes);
	snprintf(command, sizeof(command), "LC_ALL=C keytool -list -keystore '%s' -storepass changeit 2>&1", p->other);
	assert_int_equal(count_in(command, "trustedCertEntry"), 1);
	make_pem(p->cert, list, 2);
	assert_int_equal(ca_truststore(p->cert, p->other, p->why, sizeof(p->why)), 0);
	assert_int_equal(count_in(command, "trustedCertEntry"), 2); /* two of one name are two */
	snprintf(command, sizeof(command), "LC_ALL=C keytool -list -keystore '%s' -storepass wrong1 2>&1", p->other);
	assert_int_equal(count_in(command, "trustedCertEntry"), 0);
	made_free(&a);
	made_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_create, setup, teardown),
		cmocka_unit_test_setup_teardown(test_create_keeps_what_is_there, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_temporary_left, setup, teardown),
		cmocka_unit_test_setup_teardown(test_settings_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sign, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sign_subject, setup, teardown),
		cmocka_unit_test_setup_teardown(test_name_constraints, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_constraints, setup, teardown),
		cmocka_unit_test_setup_teardown(test_chain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_open_refuses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_keys, setup, teardown),
		cmocka_unit_test_setup_teardown(test_export, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bundle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_java_trusts, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
