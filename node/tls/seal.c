#include "node/tls/seal.h"

#include <linux/tls.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "node/base/check.h"
#include "node/base/mem.h"

#define SEAL_MAGIC 0x5ea10004
#define NONCE_BYTES 12
#define HEADER_BYTES 5
#define TAG_BYTES 16
#define APPLICATION_DATA 23 /* what every sealed record claims to be */

struct seal {
	unsigned magic;
	EVP_CIPHER_CTX *cipher;
	uint8_t iv[NONCE_BYTES];
	uint64_t sequence; /* of the next record */
};

/* What each cipher's struct holds, in one shape. */
struct parameters {
	const EVP_CIPHER *cipher;
	const uint8_t *key, *salt, *iv, *sequence;
	size_t salt_n, iv_n;
};

static bool read_parameters(const void *crypto_info, struct parameters *out)
{
	const struct tls_crypto_info *info = crypto_info;
	const struct tls12_crypto_info_aes_gcm_128 *gcm128 = crypto_info;
	const struct tls12_crypto_info_aes_gcm_256 *gcm256 = crypto_info;
	const struct tls12_crypto_info_chacha20_poly1305 *chacha = crypto_info;

	if (info->version != TLS_1_3_VERSION)
		return false;
	switch (info->cipher_type) {
	case TLS_CIPHER_AES_GCM_128:
		*out = (struct parameters){EVP_aes_128_gcm(), gcm128->key,          gcm128->salt,      gcm128->iv,
					   gcm128->rec_seq,   sizeof(gcm128->salt), sizeof(gcm128->iv)};
		return true;
	case TLS_CIPHER_AES_GCM_256:
		*out = (struct parameters){EVP_aes_256_gcm(), gcm256->key,          gcm256->salt,      gcm256->iv,
					   gcm256->rec_seq,   sizeof(gcm256->salt), sizeof(gcm256->iv)};
		return true;
	case TLS_CIPHER_CHACHA20_POLY1305:
		*out = (struct parameters){EVP_chacha20_poly1305(), chacha->key, chacha->iv,        chacha->iv,
					   chacha->rec_seq,         0,           sizeof(chacha->iv)};
		return true;
	default:
		return false;
	}
}

struct seal *seal_new(const void *crypto_info)
{
	struct parameters p;
	struct seal *s;

	if (!read_parameters(crypto_info, &p))
		return NULL;
	s = NEW(struct seal);
	s->magic = SEAL_MAGIC;
	CHECK_THAT(p.salt_n + p.iv_n == NONCE_BYTES);
	memcpy(s->iv, p.salt, p.salt_n);
	memcpy(s->iv + p.salt_n, p.iv, p.iv_n);
	for (int i = 0; i < 8; i++)
		s->sequence = s->sequence << 8 | p.sequence[i];
	s->cipher = EVP_CIPHER_CTX_new();
	if (!s->cipher || EVP_EncryptInit_ex(s->cipher, p.cipher, NULL, p.key, NULL) != 1)
		seal_free(&s);
	return s;
}

void seal_free(struct seal **sp)
{
	struct seal *s = *sp;

	*sp = NULL;
	if (!s)
		return;
	CHECK(s, SEAL_MAGIC);
	EVP_CIPHER_CTX_free(s->cipher);
	OPENSSL_cleanse(s, sizeof(*s));
	free(s);
}

/* The sequence number, exclusive-ored into the end of the iv (RFC 8446 §5.3). */
static void make_nonce(const struct seal *s, uint8_t nonce[NONCE_BYTES])
{
	memcpy(nonce, s->iv, NONCE_BYTES);
	for (int i = 0; i < 8; i++)
		nonce[NONCE_BYTES - 1 - i] ^= (uint8_t)(s->sequence >> (8 * i));
}

size_t seal_record(struct seal *s, uint8_t type, struct span plain, char *to)
{
	size_t inner = plain.n + 1 + TAG_BYTES;
	uint8_t *out = (uint8_t *)to, nonce[NONCE_BYTES];
	int n, n_type, n_end;

	CHECK(s, SEAL_MAGIC);
	CHECK_THAT(plain.n <= SEAL_PLAIN_MAX);
	if (s->sequence == UINT64_MAX)
		return 0;
	make_nonce(s, nonce);
	s->sequence++;
	out[0] = APPLICATION_DATA;
	out[1] = 3;
	out[2] = 3;
	out[3] = (uint8_t)(inner >> 8);
	out[4] = (uint8_t)inner;
	if (EVP_EncryptInit_ex(s->cipher, NULL, NULL, NULL, nonce) != 1 ||
	    EVP_EncryptUpdate(s->cipher, NULL, &n, out, HEADER_BYTES) != 1)
		return 0;
	out += HEADER_BYTES;
	if (EVP_EncryptUpdate(s->cipher, out, &n, (const uint8_t *)plain.p, (int)plain.n) != 1 ||
	    EVP_EncryptUpdate(s->cipher, out + plain.n, &n_type, &type, 1) != 1 ||
	    EVP_EncryptFinal_ex(s->cipher, out + plain.n + 1, &n_end) != 1 ||
	    EVP_CIPHER_CTX_ctrl(s->cipher, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, out + plain.n + 1) != 1)
		return 0;
	return HEADER_BYTES + inner;
}
