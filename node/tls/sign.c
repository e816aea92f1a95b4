#include "node/tls/sign.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/tls/certs.h"

#define PUBLIC_FILE_MAX 65536
#define SIGN_KEY_MAGIC 0x516e0001

struct sign_key {
	unsigned magic;
	EVP_PKEY *pkey;
	uint8_t pub[SIGN_PUBLIC_BYTES];
};

static int write_public(const char *path, EVP_PKEY *pkey, char *why, size_t why_bytes)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long n;
	int r;

	CHECK_THAT(bio && PEM_write_bio_PUBKEY(bio, pkey) == 1);
	n = BIO_get_mem_data(bio, &text);
	r = certs_write(path, text, (size_t)n, 0644, false, why, why_bytes);
	BIO_free(bio);
	return r;
}

int sign_make(const char *key_path, const char *public_path, char *why, size_t why_bytes)
{
	EVP_PKEY *pkey;
	int r = -1;

	why[0] = '\0';
	if (certs_exists(key_path) || certs_exists(public_path)) {
		snprintf(why, why_bytes, "%s is there already and is not overwritten; move it away first",
			 certs_exists(key_path) ? key_path : public_path);
		return -1;
	}
	pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	CHECK_THAT(pkey);
	if (certs_write_key(key_path, pkey, false, why, why_bytes) == 0 &&
	    write_public(public_path, pkey, why, why_bytes) == 0)
		r = 0;
	EVP_PKEY_free(pkey);
	ERR_clear_error();
	return r;
}

/* False: it is a key of another kind. */
static bool get_public(const EVP_PKEY *pkey, uint8_t out[SIGN_PUBLIC_BYTES])
{
	size_t n = SIGN_PUBLIC_BYTES;

	return EVP_PKEY_is_a(pkey, "ED25519") && EVP_PKEY_get_raw_public_key(pkey, out, &n) == 1 &&
	       n == SIGN_PUBLIC_BYTES;
}

struct sign_key *sign_open(const char *key_path, char *why, size_t why_bytes)
{
	EVP_PKEY *pkey;
	struct sign_key *key;

	why[0] = '\0';
	pkey = certs_read_key(key_path, why, why_bytes);
	if (!pkey)
		return NULL;
	key = NEW(struct sign_key);
	key->magic = SIGN_KEY_MAGIC;
	key->pkey = pkey;
	if (get_public(pkey, key->pub))
		return key;
	snprintf(why, why_bytes, "%s is not an Ed25519 key: make one with pmcachectl cluster init", key_path);
	ERR_clear_error();
	sign_free(key);
	return NULL;
}

int sign_read_public(const char *public_path, uint8_t out[SIGN_PUBLIC_BYTES], char *why, size_t why_bytes)
{
	size_t n;
	char *text;
	EVP_PKEY *pkey;
	BIO *bio;
	bool good;

	why[0] = '\0';
	text = certs_slurp(public_path, PUBLIC_FILE_MAX, false, &n, why, why_bytes);
	if (!text)
		return -1;
	bio = BIO_new_mem_buf(text, (int)n);
	CHECK_THAT(bio);
	pkey = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
	good = pkey && get_public(pkey, out);
	if (!good)
		snprintf(why, why_bytes,
			 "%s holds no Ed25519 public key in PEM (-----BEGIN PUBLIC KEY-----): copy the one that "
			 "pmcachectl cluster init has made",
			 public_path);
	EVP_PKEY_free(pkey);
	BIO_free(bio);
	free(text);
	ERR_clear_error();
	return good ? 0 : -1;
}

void sign_free(struct sign_key *key)
{
	if (!key)
		return;
	CHECK(key, SIGN_KEY_MAGIC);
	EVP_PKEY_free(key->pkey); /* wipes it */
	key->magic = 0;
	free(key);
}

void sign_public(const struct sign_key *key, uint8_t out[SIGN_PUBLIC_BYTES])
{
	CHECK(key, SIGN_KEY_MAGIC);
	memcpy(out, key->pub, SIGN_PUBLIC_BYTES);
}

void sign_bytes(const struct sign_key *key, struct span s, uint8_t out[SIGN_BYTES])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	size_t n = SIGN_BYTES;

	CHECK(key, SIGN_KEY_MAGIC);
	CHECK_THAT(md && EVP_DigestSignInit(md, NULL, NULL, NULL, key->pkey) == 1 &&
		   EVP_DigestSign(md, out, &n, (const unsigned char *)(s.n ? s.p : ""), s.n) == 1 && n == SIGN_BYTES);
	EVP_MD_CTX_free(md);
}

bool sign_fits(const uint8_t pub[SIGN_PUBLIC_BYTES], struct span s, const uint8_t signature[SIGN_BYTES])
{
	EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, pub, SIGN_PUBLIC_BYTES);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool fits = pkey && md && EVP_DigestVerifyInit(md, NULL, NULL, NULL, pkey) == 1 &&
		    EVP_DigestVerify(md, signature, SIGN_BYTES, (const unsigned char *)(s.n ? s.p : ""), s.n) == 1;

	EVP_MD_CTX_free(md);
	EVP_PKEY_free(pkey);
	ERR_clear_error();
	return fits;
}
