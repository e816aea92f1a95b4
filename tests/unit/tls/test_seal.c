#include <linux/tls.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>

#include "node/base/rng.h"
#include "node/net/stream_plain.h"
#include "node/tls/mint.h"
#include "node/tls/seal.h"
#include "node/tls/stream_tls.h"
#include "node/tls/tlsctx.h"
#include "tests/unit/net/ground.h"
#include "tests/unit/tls/certs_make.h"

#define NOW INT64_C(1800000000000)
#define BODY_BYTES 300000

static char byte_at(size_t pos)
{
	return (char)(pos * 2654435761u >> 7 ^ pos);
}

/* ---- the seal alone, opened by hand ---- */

static struct tls12_crypto_info_aes_gcm_128 info_128(uint8_t last_of_sequence)
{
	struct tls12_crypto_info_aes_gcm_128 info = {
		.info = {.version = TLS_1_3_VERSION, .cipher_type = TLS_CIPHER_AES_GCM_128},
		.key = "0123456789abcde",
		.salt = {1, 2, 3, 4},
		.iv = {5, 6, 7, 8, 9, 10, 11, 12},
		.rec_seq = {0, 0, 0, 0, 0, 0, 0, last_of_sequence},
	};

	return info;
}

/* Opens a record with the nonce that its number gives. What was inside, its type last; -1 when the tag is wrong. */
static int open_record(const uint8_t *record, size_t n, uint8_t last_of_nonce, uint8_t *inside)
{
	struct tls12_crypto_info_aes_gcm_128 info = info_128(0);
	uint8_t nonce[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, last_of_nonce};
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int got, end, good;

	assert_int_equal(1, EVP_DecryptInit_ex(c, EVP_aes_128_gcm(), NULL, info.key, nonce));
	assert_int_equal(1, EVP_DecryptUpdate(c, NULL, &got, record, 5));
	assert_int_equal(1, EVP_DecryptUpdate(c, inside, &got, record + 5, (int)n - 5 - 16));
	assert_int_equal(1, EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, 16, (void *)(uintptr_t)(record + n - 16)));
	good = EVP_DecryptFinal_ex(c, inside + got, &end);
	EVP_CIPHER_CTX_free(c);
	return good == 1 ? got : -1;
}

/* The numbers go on from the one that OpenSSL had come to, also over the edge of a byte. */
static void test_numbers_records(void **state)
{
	struct tls12_crypto_info_aes_gcm_128 info = info_128(255);
	struct seal *s = seal_new(&info);
	uint8_t record[100], inside[100];

	(void)state;
	assert_non_null(s);
	assert_int_equal(3 + SEAL_OVERHEAD, seal_record(s, 23, SPAN("one"), (char *)record));
	assert_memory_equal(record, "\x17\x03\x03\x00\x14", 5);
	assert_int_equal(4, open_record(record, 3 + SEAL_OVERHEAD, 12 ^ 255, inside));
	assert_memory_equal(inside, "one\x17", 4);
	assert_int_equal(2 + SEAL_OVERHEAD, seal_record(s, 21, SPAN("\x01\x00"), (char *)record));
	assert_int_equal(-1, open_record(record, 2 + SEAL_OVERHEAD, 12 ^ 255, inside));
	seal_free(&s);
	assert_null(s);

	info = info_128(0);
	s = seal_new(&info);
	assert_int_equal(SEAL_OVERHEAD, seal_record(s, 22, SPAN_NONE, (char *)record));
	assert_int_equal(1, open_record(record, SEAL_OVERHEAD, 12, inside));
	assert_int_equal(inside[0], 22);
	assert_int_equal(SEAL_OVERHEAD, seal_record(s, 22, SPAN_NONE, (char *)record));
	assert_int_equal(1, open_record(record, SEAL_OVERHEAD, 12 ^ 1, inside));
	record[5] ^= 1;
	assert_int_equal(-1, open_record(record, SEAL_OVERHEAD, 12 ^ 1, inside));
	seal_free(&s);
}

/* Of 2^64 records with one key the last is never made: its successor would have the nonce of the first. */
static void test_numbers_run_out(void **state)
{
	struct tls12_crypto_info_aes_gcm_128 info = info_128(254);
	struct seal *s;
	char record[100];

	(void)state;
	memset(info.rec_seq, 255, sizeof(info.rec_seq) - 1);
	s = seal_new(&info);
	assert_int_equal(1 + SEAL_OVERHEAD, seal_record(s, 23, SPAN("x"), record));
	assert_int_equal(0, seal_record(s, 23, SPAN("x"), record));
	assert_int_equal(0, seal_record(s, 23, SPAN("x"), record));
	seal_free(&s);
}

static void test_leaves_the_rest_to_openssl(void **state)
{
	struct tls12_crypto_info_aes_gcm_128 info = info_128(0);

	(void)state;
	info.info.version = TLS_1_2_VERSION;
	assert_null(seal_new(&info));
	info = info_128(0);
	info.info.cipher_type = TLS_CIPHER_AES_CCM_128;
	assert_null(seal_new(&info));
}

/* ---- a stream that uses it, and OpenSSL at the other end ---- */

struct place {
	struct ground g;
	char *folder;
	struct made root;
	struct ca *ca;
	struct mint *mint;
	struct tlsctx *ctx;
	struct stream *s;
	size_t sent;
	/* the client's */
	int fd, version;
	const char *cipher;
	size_t update_at; /* asks for a new key when so much has come; SIZE_MAX: never */
	int updates;      /* new keys that the server has announced */
	const char *wrong;
};

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	uint8_t keys[TLSCTX_TICKET_KEY_BYTES];
	X509_STORE *none = X509_STORE_new();

	p->folder = make_folder();
	p->root = make_cert((struct make){.cn = "test CA", .is_ca = true, .from = -DUR_DAY, .to = 3000 * DUR_DAY}, NULL,
			    NOW);
	p->ca = make_ca(p->folder, p->root.pkey, &p->root.cert, 1, NOW);
	p->mint = mint_new(p->ca, &(struct mint_settings){0});
	p->ctx = tlsctx_new(none);
	X509_STORE_free(none);
	rng_secret(keys, sizeof(keys));
	tlsctx_set_ticket_keys(p->ctx, keys);
	ground_init(&p->g);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	assert_int_equal(ERR_peek_error(), 0);
	ground_fini(&p->g);
	tlsctx_free(p->ctx);
	mint_free(p->mint);
	ca_unref(&p->ca);
	made_free(&p->root);
	make_folder_remove(p->folder);
	free(p);
	return 0;
}

static const char *read_all(struct place *p, SSL *ssl)
{
	static const char thanks[] = "thanks";
	char bytes[5000];
	size_t pos = 0, n;

	while (SSL_read_ex(ssl, bytes, sizeof(bytes), &n) == 1) {
		for (size_t i = 0; i < n; i++)
			if (bytes[i] != byte_at(pos + i))
				return "a wrong byte";
		pos += n;
		if (pos >= p->update_at) {
			p->update_at = SIZE_MAX;
			if (SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) != 1)
				return "no key update";
		}
	}
	if (pos != BODY_BYTES)
		return "short";
	if (SSL_get_error(ssl, 0) != SSL_ERROR_ZERO_RETURN)
		return "no close_notify";
	return SSL_write_ex(ssl, thanks, sizeof(thanks) - 1, &n) == 1 ? NULL : "writing failed";
}

static void on_message(int written, int version, int type, const void *bytes, size_t n, SSL *ssl, void *arg)
{
	struct place *p = arg;

	(void)version;
	(void)ssl;
	if (!written && type == SSL3_RT_HANDSHAKE && n > 0 && *(const char *)bytes == SSL3_MT_KEY_UPDATE)
		p->updates++;
}

/* Asserts nothing, as cmocka may not jump out of a thread. */
static void *client(void *arg)
{
	struct place *p = arg;
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl;

	SSL_CTX_set_min_proto_version(ctx, p->version);
	SSL_CTX_set_max_proto_version(ctx, p->version);
	if (p->version == TLS1_3_VERSION)
		SSL_CTX_set_ciphersuites(ctx, p->cipher);
	ssl = SSL_new(ctx);
	SSL_set_fd(ssl, p->fd);
	SSL_set_msg_callback(ssl, on_message);
	SSL_set_msg_callback_arg(ssl, p);
	p->wrong = SSL_connect(ssl) == 1 ? read_all(p, ssl) : "no handshake";
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	ERR_clear_error();
	close(p->fd);
	return NULL;
}

/* A head, then the body in spans that are no records, until all is sent and the client has said something. */
static void on_ready(void *cookie, unsigned events)
{
	struct place *p = cookie;
	static char body[BODY_BYTES];
	char in[64];

	for (size_t i = 0; i < BODY_BYTES; i++)
		body[i] = byte_at(i);
	if (events & STREAM_WRITE) {
		struct span all = span_of(body, BODY_BYTES), rest = span_from(all, p->sent);
		struct span v[2] = {span_upto(rest, 700), span_from(rest, rest.n < 700 ? rest.n : 700)};
		ssize_t n = stream_write(p->s, v, 2);

		assert_int_not_equal(n, STREAM_FAILED);
		if (n > 0)
			p->sent += (size_t)n;
		if (p->sent == BODY_BYTES)
			stream_end_writing(p->s);
	}
	if (events & STREAM_READ) {
		ssize_t n = stream_read(p->s, in, sizeof(in));

		if (n == 0 || n == STREAM_FAILED)
			loop_stop(p->g.loop);
	}
	stream_want(p->s, STREAM_READ | (p->sent < BODY_BYTES ? STREAM_WRITE : 0));
}

static void on_done(void *cookie, struct stream *s, enum reason why)
{
	struct place *p = cookie;

	assert_int_equal(why, REASON_NONE);
	assert_ptr_equal(s, p->s);
	stream_set_handler(s, on_ready, p);
	stream_want(s, STREAM_READ | STREAM_WRITE);
}

static void serve(struct place *p, int version, const char *cipher, size_t update_at)
{
	struct addr from = ground_addr("127.0.0.1", 1);
	struct span name = SPAN("a.test");
	enum reason reason;
	struct leaf *leaf = mint_leaf(p->mint, &name, 1, NULL, NOW, &reason);
	struct stream *below;
	pthread_t thread;
	int fd[2], little = 16 * 1024; /* so that the body is not all under way when the client says something */

	ground_pair(fd);
	setsockopt(fd[0], SOL_SOCKET, SO_RCVBUF, &little, sizeof(little));
	setsockopt(fd[1], SOL_SOCKET, SO_SNDBUF, &little, sizeof(little));
	fcntl(fd[0], F_SETFL, 0);
	p->fd = fd[0];
	p->version = version;
	p->cipher = cipher;
	p->update_at = update_at;
	p->updates = 0;
	p->sent = 0;
	below = stream_plain_new(p->g.loop, fd[1], &from);
	p->s = stream_tls_accept(&below, p->ctx, leaf, SPAN_NONE, on_done, p);
	assert_int_equal(0, pthread_create(&thread, NULL, client, p));
	ground_run(&p->g);
	stream_close(&p->s, STREAM_CLEAN);
	leaf_unref(&leaf);
	pthread_join(thread, NULL);
	if (p->wrong)
		fail_msg("%s: %s", cipher, p->wrong);
	assert_int_equal(p->updates, update_at == SIZE_MAX ? 0 : 1);
}

static void test_every_cipher(void **state)
{
	serve(*state, TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", SIZE_MAX);
	serve(*state, TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", SIZE_MAX);
	serve(*state, TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256", SIZE_MAX);
	serve(*state, TLS1_2_VERSION, "of TLS 1.2", SIZE_MAX);
}

/* OpenSSL knows the next key, and goes on with it. */
static void test_key_update(void **state)
{
	serve(*state, TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", 1);
	serve(*state, TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers_records),
		cmocka_unit_test(test_numbers_run_out),
		cmocka_unit_test(test_leaves_the_rest_to_openssl),
		cmocka_unit_test_setup_teardown(test_every_cipher, setup, teardown),
		cmocka_unit_test_setup_teardown(test_key_update, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
