#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <unistd.h>

#include "node/base/hash.h"
#include "node/tls/lean.h"
#include "node/tls/trust.h"
#include "tests/unit/tls/certs_make.h"

/* Handshakes check certificates at the machine's time, so here `now` is real. */
struct place {
	wall_ms now;
	char *folder;
	char roots[600], other[600];
	char why[TRUST_WHY_BYTES];
	struct made root, other_root, edge, weak_root;
	X509_STORE *store;
};

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	X509 *list[2];

	p->now = clock_wall(&clock_system);
	p->folder = make_folder();
	snprintf(p->roots, sizeof(p->roots), "%s/roots.pem", p->folder);
	snprintf(p->other, sizeof(p->other), "%s/other.pem", p->folder);
	p->root = make_cert((struct make){.cn = "root", .is_ca = true, .pathlen = -1}, NULL, p->now);
	p->other_root = make_cert((struct make){.cn = "other root", .is_ca = true, .pathlen = -1}, NULL, p->now);
	p->weak_root = make_cert((struct make){.cn = "weak root", .is_ca = true, .pathlen = -1, .rsa_bits = 1024}, NULL,
				 p->now);
	p->edge = make_cert((struct make){.cn = "intermediate", .is_ca = true, .pathlen = 0}, &p->root, p->now);
	list[0] = p->root.cert;
	list[1] = p->weak_root.cert;
	make_pem(p->roots, list, 2);
	p->store = trust_new_over(p->roots, "system", p->why, sizeof(p->why));
	assert_non_null(p->store);
	assert_string_equal(p->why, "");
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	assert_int_equal(ERR_peek_error(), 0);
	X509_STORE_free(p->store);
	made_free(&p->root);
	made_free(&p->other_root);
	made_free(&p->weak_root);
	made_free(&p->edge);
	make_folder_remove(p->folder);
	free(p);
	return 0;
}

/* A server that shows the certificate and what stands behind it, and a client of ours in one thread. Gives the client's
 * verdict; *done tells whether the handshake ended well. */
static enum reason shake(struct place *p, const struct made *server, X509 *behind, const char *host, bool is_ip,
			 int max_version, bool *done)
{
	SSL_CTX *sctx = SSL_CTX_new(TLS_server_method());
	SSL_CTX *cctx = SSL_CTX_new_ex(lean_context(), NULL, TLS_client_method());
	BIO *one, *two;
	SSL *s, *c;
	enum reason reason;
	X509 *peer;

	SSL_CTX_set_security_level(sctx, 0);
	SSL_CTX_set_min_proto_version(sctx, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(sctx, max_version);
	SSL_CTX_set_cipher_list(sctx, "ALL:@SECLEVEL=0");
	SSL_CTX_set_mode(sctx, SSL_MODE_NO_AUTO_CHAIN);
	assert_int_equal(SSL_CTX_use_certificate(sctx, server->cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(sctx, server->pkey), 1);
	if (behind)
		SSL_CTX_add1_chain_cert(sctx, behind);
	SSL_CTX_set1_cert_store(cctx, p->store);
	s = SSL_new(sctx);
	c = SSL_new(cctx);
	assert_int_equal(BIO_new_bio_pair(&one, 65536, &two, 65536), 1);
	SSL_set_bio(s, one, one);
	SSL_set_bio(c, two, two);
	SSL_set_accept_state(s);
	SSL_set_connect_state(c);
	assert_int_equal(trust_configure(c, host, is_ip), 0);
	for (int i = 0; i < 10; i++) {
		SSL_do_handshake(c);
		SSL_do_handshake(s);
	}
	*done = SSL_is_init_finished(c);
	peer = SSL_get0_peer_certificate(c);
	reason = trust_reason(SSL_get_verify_result(c), peer ? peer : server->cert);
	SSL_free(s);
	SSL_free(c);
	SSL_CTX_free(sctx);
	SSL_CTX_free(cctx);
	ERR_clear_error();
	return reason;
}

static void expect(struct place *p, struct make how, const struct made *issuer, X509 *behind, const char *host,
		   bool is_ip, enum reason wanted, int line)
{
	struct made m = make_cert(how, issuer, p->now);
	bool done;
	enum reason got = shake(p, &m, behind, host, is_ip, TLS1_3_VERSION, &done);

	if (got != wanted || done != (wanted == REASON_NONE))
		fail_msg("line %d: %s instead of %s (%s)", line, reason_word(got), reason_word(wanted),
			 done ? "done" : "failed");
	made_free(&m);
}

#define EXPECT(issuer, behind, host, is_ip, wanted, ...)                                                               \
	expect(p, (struct make){__VA_ARGS__}, issuer, behind, host, is_ip, wanted, __LINE__)

static void test_good(void **state)
{
	struct place *p = *state;

	EXPECT(&p->root, NULL, "a.test", false, REASON_NONE, .cn = "x", .san = "DNS:a.test");
	EXPECT(&p->edge, p->edge.cert, "a.test", false, REASON_NONE, .cn = "x", .san = "DNS:b.test,DNS:a.test");
	EXPECT(&p->root, NULL, "a.test", false, REASON_NONE, .san = "DNS:a.test", .rsa_bits = 2048);
	EXPECT(&p->root, NULL, "b.a.test", false, REASON_NONE, .cn = "x", .san = "DNS:*.a.test");
	EXPECT(&p->root, NULL, "127.0.0.1", true, REASON_NONE, .cn = "x", .san = "IP:127.0.0.1");
	EXPECT(&p->root, NULL, "::1", true, REASON_NONE, .cn = "x", .san = "IP:::1");
}

static void test_dates(void **state)
{
	struct place *p = *state;

	EXPECT(&p->root, NULL, "a.test", false, REASON_CERT_EXPIRED, .cn = "x", .san = "DNS:a.test",
	       .from = -2 * DUR_DAY, .to = -DUR_DAY);
	EXPECT(&p->root, NULL, "a.test", false, REASON_CERT_NOT_YET, .cn = "x", .san = "DNS:a.test", .from = DUR_DAY,
	       .to = 2 * DUR_DAY);
}

static void test_wrong_names(void **state)
{
	struct place *p = *state;

	EXPECT(&p->root, NULL, "a.test", false, REASON_CERT_WRONG_NAME, .cn = "x", .san = "DNS:b.test");
	EXPECT(&p->root, NULL, "a.test", false, REASON_CERT_WRONG_NAME, .cn = "a.test"); /* a common name is no name */
	EXPECT(&p->root, NULL, "a.test", false, REASON_CERT_WRONG_NAME, .cn = "a.test", .san = "DNS:b.test");
	EXPECT(&p->root, NULL, "c.b.a.test", false, REASON_CERT_WRONG_NAME, .cn = "x", .san = "DNS:*.a.test");
	EXPECT(&p->root, NULL, "a.test", false, REASON_CERT_WRONG_NAME, .cn = "x", .san = "DNS:*.a.test");
	EXPECT(&p->root, NULL, "a.test", false, REASON_CERT_WRONG_NAME, .cn = "x", .san = "DNS:*.test");
	EXPECT(&p->root, NULL, "a.test", false, REASON_CERT_WRONG_NAME, .cn = "x", .san = "DNS:*");
	EXPECT(&p->root, NULL, "foo.a.test", false, REASON_CERT_WRONG_NAME, .cn = "x", .san = "DNS:f*.a.test");
	EXPECT(&p->root, NULL, "foo.a.test", false, REASON_CERT_WRONG_NAME, .cn = "x", .san = "DNS:foo.*.test");
	EXPECT(&p->root, NULL, "127.0.0.1", true, REASON_CERT_WRONG_NAME, .cn = "127.0.0.1");
	EXPECT(&p->root, NULL, "127.0.0.1", true, REASON_CERT_WRONG_NAME, .cn = "x", .san = "DNS:127.0.0.1");
	EXPECT(&p->root, NULL, "127.0.0.1", true, REASON_CERT_WRONG_NAME, .cn = "x", .san = "DNS:*.0.0.1");
	EXPECT(&p->root, NULL, "127.0.0.1", true, REASON_CERT_WRONG_NAME, .cn = "x", .san = "IP:127.0.0.2");
}

static void test_issuers(void **state)
{
	struct place *p = *state;
	struct made plain = make_cert((struct make){.cn = "no CA"}, &p->root, p->now);

	EXPECT(NULL, NULL, "a.test", false, REASON_CERT_SELF_SIGNED, .cn = "x", .san = "DNS:a.test");
	EXPECT(&p->other_root, NULL, "a.test", false, REASON_CERT_UNKNOWN_CA, .cn = "x", .san = "DNS:a.test");
	EXPECT(&p->other_root, p->other_root.cert, "a.test", false, REASON_CERT_UNKNOWN_CA, .cn = "x",
	       .san = "DNS:a.test");
	EXPECT(&p->edge, NULL, "a.test", false, REASON_CERT_UNKNOWN_CA, .cn = "x",
	       .san = "DNS:a.test"); /* intermediate missing */
	EXPECT(&plain, plain.cert, "a.test", false, REASON_CERT_BAD, .cn = "x", .san = "DNS:a.test");
	made_free(&plain);
}

static void test_weak(void **state)
{
	struct place *p = *state;

	EXPECT(&p->root, NULL, "a.test", false, REASON_CERT_WEAK, .san = "DNS:a.test", .rsa_bits = 1024);
	EXPECT(&p->root, NULL, "a.test", false, REASON_CERT_WEAK, .san = "DNS:a.test", .md = EVP_sha1());
	EXPECT(&p->weak_root, NULL, "a.test", false, REASON_CERT_WEAK, .san = "DNS:a.test", .md = EVP_md5());
	EXPECT(&p->weak_root, NULL, "a.test", false, REASON_CERT_WEAK, .san = "DNS:a.test");
}

static void test_old_tls(void **state)
{
	static const struct {
		int version;
		bool ok;
	} cases[] = {{TLS1_VERSION, false}, {TLS1_1_VERSION, false}, {TLS1_2_VERSION, true}, {TLS1_3_VERSION, true}};
	struct place *p = *state;
	struct made m = make_cert((struct make){.cn = "x", .san = "DNS:a.test"}, &p->root, p->now);

	for (size_t i = 0; i < 4; i++) {
		bool done;

		shake(p, &m, NULL, "a.test", false, cases[i].version, &done);
		assert_int_equal(done, cases[i].ok);
	}
	made_free(&m);
}

static void test_configure_refuses(void **state)
{
	struct place *p = *state;
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(ctx);

	(void)p;
	assert_int_equal(trust_configure(ssl, "not an address", true), -1);
	assert_int_equal(trust_configure(ssl, "10.0.0.1", true), 0);
	assert_int_equal(SSL_get_verify_mode(ssl), SSL_VERIFY_PEER);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
}

static void test_reasons(void **state)
{
	struct place *p = *state;
	struct made lone = make_cert((struct make){.cn = "x", .san = "DNS:a.test"}, NULL, p->now);

	assert_int_equal(trust_reason(X509_V_OK, NULL), REASON_NONE);
	assert_int_equal(trust_reason(X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, NULL), REASON_CERT_UNKNOWN_CA);
	assert_int_equal(trust_reason(X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, lone.cert),
			 REASON_CERT_SELF_SIGNED);
	assert_int_equal(trust_reason(X509_V_ERR_INVALID_PURPOSE, lone.cert), REASON_CERT_BAD);
	assert_int_equal(trust_reason(X509_V_ERR_CERT_REVOKED, NULL), REASON_CERT_BAD);
	assert_int_equal(trust_reason(123456, NULL), REASON_CERT_BAD);
	made_free(&lone);
}

static void test_files(void **state)
{
	struct place *p = *state;
	X509_STORE *system_only = p->store, *none;
	bool done;
	struct made m = make_cert((struct make){.cn = "x", .san = "DNS:a.test"}, &p->other_root, p->now);

	make_pem(p->other, &p->other_root.cert, 1);
	p->store = trust_new_over(p->roots, p->other, p->why, sizeof(p->why));
	assert_string_equal(p->why, "");
	assert_int_equal(shake(p, &m, NULL, "a.test", false, TLS1_3_VERSION, &done), REASON_NONE);
	X509_STORE_free(p->store);
	/* One certificate alone may be trusted by its own. */
	made_free(&m);
	m = make_cert((struct make){.cn = "x", .san = "DNS:a.test"}, NULL, p->now);
	make_pem(p->other, &m.cert, 1);
	p->store = trust_new_over(p->roots, p->other, p->why, sizeof(p->why));
	assert_int_equal(shake(p, &m, NULL, "a.test", false, TLS1_3_VERSION, &done), REASON_NONE);
	assert_int_equal(shake(p, &m, NULL, "b.test", false, TLS1_3_VERSION, &done), REASON_CERT_WRONG_NAME);
	X509_STORE_free(p->store);
	p->store = system_only;
	assert_null(trust_new_over(p->roots, "/nowhere/ca.pem", p->why, sizeof(p->why)));
	assert_non_null(strstr(p->why, "upstream.ca_file: /nowhere/ca.pem cannot be read"));
	none = trust_new_over("/nowhere/roots.pem", NULL, p->why, sizeof(p->why));
	assert_non_null(none);
	assert_non_null(strstr(p->why, "no system roots"));
	X509_STORE_free(none);
	none = trust_new(NULL, p->why, sizeof(p->why));
	assert_non_null(none);
	X509_STORE_free(none);
	made_free(&m);
}

static void test_environment_is_ignored(void **state)
{
	struct place *p = *state;
	struct made m = make_cert((struct make){.cn = "x", .san = "DNS:a.test"}, &p->other_root, p->now);
	X509_STORE *before = p->store;
	bool done;

	make_pem(p->other, &p->other_root.cert, 1);
	setenv("SSL_CERT_FILE", p->other, 1);
	p->store = trust_new_over(p->roots, "system", p->why, sizeof(p->why));
	assert_int_equal(shake(p, &m, NULL, "a.test", false, TLS1_3_VERSION, &done), REASON_CERT_UNKNOWN_CA);
	unsetenv("SSL_CERT_FILE");
	X509_STORE_free(p->store);
	p->store = before;
	made_free(&m);
}

static void test_describe(void **state)
{
	struct place *p = *state;
	struct made m =
		make_cert((struct make){.cn = "www.test",
					.org = "Example Ltd",
					.san = "DNS:WWW.test,email:a@b.test,DNS:*.Files.test,DNS:*.test,DNS:bad name,"
					       "IP:10.0.0.1,IP:2001:db8::1,URI:https://a.test/"},
			  NULL, p->now);
	struct made empty = make_cert((struct make){.cn = NULL, .from = -DUR_DAY, .to = DUR_DAY}, NULL, 0);
	struct origin_cert *oc = trust_describe(m.cert);
	static const char *const sans[] = {"www.test", "*.files.test", "10.0.0.1", "2001:db8::1"};
	unsigned char *der = NULL;
	int n = i2d_PUBKEY(m.pkey, &der);
	uint8_t digest[32];

	assert_int_equal(oc->n_sans, 4);
	for (size_t i = 0; i < 4; i++)
		assert_string_equal(oc->sans[i], sans[i]);
	sha256_of(span_of((char *)der, (size_t)n), digest);
	assert_memory_equal(oc->spki_sha256, digest, 32);
	OPENSSL_free(der);
	der = NULL;
	n = i2d_X509_NAME(X509_get_subject_name(m.cert), &der);
	assert_int_equal(oc->subject_bytes, n);
	assert_memory_equal(oc->subject, der, (size_t)n);
	OPENSSL_free(der);
	assert_int_equal(oc->not_before, (p->now - DUR_DAY) / 1000 * 1000);
	assert_int_equal(oc->not_after, (p->now + 90 * DUR_DAY) / 1000 * 1000);
	names_origin_unref(&oc);
	oc = trust_describe(empty.cert);
	assert_int_equal(oc->n_sans, 0);
	assert_null(oc->subject);
	assert_int_equal(oc->not_before, 0); /* before 1970 */
	assert_int_equal(oc->not_after, DUR_DAY);
	names_origin_unref(&oc);
	made_free(&m);
	made_free(&empty);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_good, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dates, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_issuers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_weak, setup, teardown),
		cmocka_unit_test_setup_teardown(test_old_tls, setup, teardown),
		cmocka_unit_test_setup_teardown(test_configure_refuses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reasons, setup, teardown),
		cmocka_unit_test_setup_teardown(test_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_environment_is_ignored, setup, teardown),
		cmocka_unit_test_setup_teardown(test_describe, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
