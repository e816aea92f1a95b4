#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "node/tls/lean.h"
#include "tests/unit/tls/certs_make.h"

#define LIST_MAX 128

/* What a ClientHello says that it can do. */
struct offer {
	size_t n_ciphers, n_sigalgs, n_groups;
	uint16_t ciphers[LIST_MAX];
	int sigalgs[LIST_MAX][2], groups[LIST_MAX];
};

static void shake(SSL *client, SSL *server)
{
	BIO *one, *two;

	assert_int_equal(BIO_new_bio_pair(&one, 65536, &two, 65536), 1);
	SSL_set_bio(client, one, one);
	SSL_set_bio(server, two, two);
	SSL_set_connect_state(client);
	SSL_set_accept_state(server);
	for (int i = 0; i < 5; i++) {
		SSL_do_handshake(client);
		SSL_do_handshake(server);
	}
}

static SSL_CTX *server_context(OSSL_LIB_CTX *libctx, const struct made *m)
{
	SSL_CTX *ctx = SSL_CTX_new_ex(libctx, NULL, TLS_server_method());

	assert_int_equal(SSL_CTX_use_certificate(ctx, m->cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, m->pkey), 1);
	return ctx;
}

static void read_offer(SSL *server, struct offer *o)
{
	STACK_OF(SSL_CIPHER) *ciphers = SSL_get_client_ciphers(server);

	o->n_ciphers = (size_t)sk_SSL_CIPHER_num(ciphers);
	o->n_sigalgs = (size_t)SSL_get_sigalgs(server, 0, NULL, NULL, NULL, NULL, NULL);
	o->n_groups = (size_t)SSL_get1_groups(server, NULL);
	assert_in_range(o->n_ciphers, 10, LIST_MAX);
	assert_in_range(o->n_sigalgs, 10, LIST_MAX);
	assert_in_range(o->n_groups, 5, LIST_MAX);
	for (size_t i = 0; i < o->n_ciphers; i++)
		o->ciphers[i] = SSL_CIPHER_get_protocol_id(sk_SSL_CIPHER_value(ciphers, (int)i));
	for (size_t i = 0; i < o->n_sigalgs; i++)
		SSL_get_sigalgs(server, (int)i, &o->sigalgs[i][0], &o->sigalgs[i][1], NULL, NULL, NULL);
	SSL_get1_groups(server, o->groups);
}

static void get_offer(OSSL_LIB_CTX *libctx, const struct made *m, struct offer *o)
{
	SSL_CTX *cctx = SSL_CTX_new_ex(libctx, NULL, TLS_client_method()), *sctx = server_context(NULL, m);
	SSL *client, *server;

	memset(o, 0, sizeof(*o));
	client = SSL_new(cctx);
	server = SSL_new(sctx);
	shake(client, server);
	assert_true(SSL_is_init_finished(server));
	read_offer(server, o);
	SSL_free(client);
	SSL_free(server);
	SSL_CTX_free(cctx);
	SSL_CTX_free(sctx);
}

static void test_offers_what_openssl_as_a_whole_offers(void **state)
{
	struct made m = make_cert((struct make){.cn = "x"}, NULL, clock_wall(&clock_system));
	struct offer whole, lean;

	(void)state;
	get_offer(NULL, &m, &whole);
	get_offer(lean_context(), &m, &lean);
	assert_memory_equal(&whole, &lean, sizeof(whole));
	made_free(&m);
}

static void test_resumes(void **state)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	struct made m = make_cert((struct make){.cn = "x"}, NULL, clock_wall(&clock_system));
	SSL_CTX *cctx = SSL_CTX_new_ex(lean_context(), NULL, TLS_client_method());
	SSL_CTX *sctx = server_context(lean_context(), &m);

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		SSL_SESSION *session = NULL;

		for (int again = 0; again < 2; again++) {
			SSL *client = SSL_new(cctx), *server = SSL_new(sctx);
			char c;

			SSL_set_max_proto_version(client, versions[i]);
			SSL_set_session(client, session);
			shake(client, server);
			assert_int_equal(SSL_version(client), versions[i]);
			assert_true(SSL_is_init_finished(server));
			assert_int_equal(SSL_session_reused(client), again);
			assert_int_equal(SSL_read(client, &c, 1), -1); /* takes the ticket */
			SSL_SESSION_free(session);
			session = SSL_get1_session(client);
			SSL_set_shutdown(client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
			SSL_free(client);
			SSL_free(server);
		}
		SSL_SESSION_free(session);
	}
	SSL_CTX_free(cctx);
	SSL_CTX_free(sctx);
	made_free(&m);
	ERR_clear_error();
}

/* Every suite of TLS 1.2 that is offered, be it for a server with a key for ECDSA or for RSA. */
static void test_speaks_what_it_offers(void **state)
{
	struct made ec = make_cert((struct make){.cn = "x"}, NULL, clock_wall(&clock_system));
	struct made rsa = make_cert((struct make){.cn = "y", .rsa_bits = 2048}, NULL, clock_wall(&clock_system));
	SSL_CTX *cctx = SSL_CTX_new_ex(lean_context(), NULL, TLS_client_method());
	SSL_CTX *sctx = server_context(lean_context(), &ec);
	STACK_OF(SSL_CIPHER) * all;
	SSL *client;

	(void)state;
	SSL_CTX_set_max_proto_version(cctx, TLS1_2_VERSION);
	assert_int_equal(SSL_CTX_use_certificate(sctx, rsa.cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(sctx, rsa.pkey), 1);
	SSL_CTX_set_dh_auto(sctx, 1);
	client = SSL_new(cctx);
	all = SSL_get1_supported_ciphers(client);
	SSL_free(client);
	assert_in_range(sk_SSL_CIPHER_num(all), 20, LIST_MAX);
	for (int i = 0; i < sk_SSL_CIPHER_num(all); i++) {
		const char *name = SSL_CIPHER_get_name(sk_SSL_CIPHER_value(all, i));
		SSL *server = SSL_new(sctx);
		char byte = 0;

		client = SSL_new(cctx);
		assert_int_equal(SSL_set_cipher_list(client, name), 1);
		shake(client, server);
		if (!SSL_is_init_finished(client) || strcmp(SSL_get_cipher_name(client), name) != 0 ||
		    SSL_write(client, "x", 1) != 1 || SSL_read(server, &byte, 1) != 1 || byte != 'x')
			fail_msg("%s", name);
		SSL_free(client);
		SSL_free(server);
	}
	sk_SSL_CIPHER_free(all);
	SSL_CTX_free(cctx);
	SSL_CTX_free(sctx);
	made_free(&ec);
	made_free(&rsa);
}

static EVP_PKEY *rsa_pss_key(void)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA-PSS", NULL);
	EVP_PKEY *pkey = NULL;

	assert_true(EVP_PKEY_keygen_init(ctx) > 0 && EVP_PKEY_generate(ctx, &pkey) > 0);
	EVP_PKEY_CTX_free(ctx);
	return pkey;
}

/* A certificate with this key, signed by it, as it comes from the wire. */
static void expect_read(EVP_PKEY *pkey, const EVP_MD *md, const char *what)
{
	X509 *cert = X509_new(), *read = X509_new_ex(lean_context(), NULL);
	unsigned char *der = NULL;
	const unsigned char *at;
	int n;

	assert_non_null(pkey);
	X509_set_version(cert, X509_VERSION_3);
	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, pkey);
	assert_true(X509_sign(cert, pkey, md) > 0);
	n = i2d_X509(cert, &der);
	at = der;
	assert_ptr_equal(d2i_X509(&read, &at, n), read);
	if (!X509_get0_pubkey(read) || X509_verify(read, X509_get0_pubkey(read)) != 1)
		fail_msg("%s", what);
	OPENSSL_free(der);
	X509_free(cert);
	X509_free(read);
	EVP_PKEY_free(pkey);
}

static void test_reads_the_keys_of_certificates(void **state)
{
	static const char *const curves[] = {"P-256", "P-384", "P-521"};
	static const char *const others[] = {"ED25519", "ED448"};

	(void)state;
	for (size_t i = 0; i < 3; i++)
		expect_read(EVP_EC_gen(curves[i]), EVP_sha384(), curves[i]);
	for (size_t i = 0; i < 2; i++)
		expect_read(EVP_PKEY_Q_keygen(NULL, NULL, others[i]), NULL, others[i]);
	expect_read(EVP_RSA_gen(2048), EVP_sha256(), "RSA");
	expect_read(rsa_pss_key(), EVP_sha256(), "RSA-PSS");
	assert_int_equal(ERR_peek_error(), 0);
}

static void count(OSSL_DECODER *decoder, void *n)
{
	(void)decoder;
	++*(int *)n;
}

static void test_is_lean(void **state)
{
	int whole = 0, lean = 0;

	(void)state;
	if (!lean_context())
		skip(); /* this machine's openssl.cnf names another provider, or its OpenSSL is newer */
	assert_ptr_equal(lean_context(), lean_context());
	OSSL_DECODER_do_all_provided(NULL, count, &whole);
	OSSL_DECODER_do_all_provided(lean_context(), count, &lean);
	assert_in_range(lean, 7, 10);
	assert_true(whole > 3 * lean);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offers_what_openssl_as_a_whole_offers),
		cmocka_unit_test(test_resumes),
		cmocka_unit_test(test_speaks_what_it_offers),
		cmocka_unit_test(test_reads_the_keys_of_certificates),
		cmocka_unit_test(test_is_lean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
