#define _GNU_SOURCE /* mkostemp, renameat2 */

#include "node/tls/certs.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "node/base/check.h"
#include "node/base/durable.h"
#include "node/base/hash.h"
#include "node/base/mem.h"
#include "node/base/rng.h"

#define PEM_FILE_MAX ((size_t)16 << 20)
#define KEY_FILE_MAX 65536
#define SERIAL_BYTES 16 /* RFC 5280 §4.1.2.2 allows 20 */
#define SKI_BYTES 20

wall_ms certs_wall(const ASN1_TIME *t)
{
	struct tm tm;
	bool ok = ASN1_TIME_to_tm(t, &tm) == 1;

	ERR_clear_error();
	return ok ? (wall_ms)timegm(&tm) * DUR_SECOND : CERTS_NO_TIME;
}

const char *certs_error(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_error());

	ERR_clear_error();
	return text ? text : "no reason given";
}

void certs_fingerprint(const X509 *cert, uint8_t out[32])
{
	unsigned char *der = NULL;
	int n = i2d_X509(cert, &der);

	CHECK_THAT(n > 0);
	sha256_of(span_of((const char *)der, (size_t)n), out);
	OPENSSL_free(der);
}

bool certs_exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

/* Bytes read before the end of the file or of the room; -1. */
static ssize_t read_whole(int fd, char *p, size_t room)
{
	size_t n = 0;

	while (n < room) {
		ssize_t got = read(fd, p + n, room - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		n += (size_t)got;
	}
	return (ssize_t)n;
}

/* The file's size, or -1. */
static ssize_t may_read(int fd, const char *path, size_t max, bool secret, char *why, size_t why_bytes)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		snprintf(why, why_bytes, "%s is not a file", path);
		return -1;
	}
	if (secret && (st.st_mode & 077)) {
		snprintf(why, why_bytes, "%s may be touched by others than its owner (mode %04o): run chmod 600 %s",
			 path, (unsigned)st.st_mode & 07777, path);
		return -1;
	}
	if ((size_t)st.st_size > max) {
		snprintf(why, why_bytes, "%s is larger than %zu bytes: it cannot be the right file", path, max);
		return -1;
	}
	return (ssize_t)st.st_size;
}

char *certs_slurp(const char *path, size_t max, bool secret, size_t *n, char *why, size_t why_bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char *p;
	ssize_t size, got;

	if (fd < 0) {
		snprintf(why, why_bytes, "%s cannot be read: %s", path, strerror(errno));
		return NULL;
	}
	size = may_read(fd, path, max, secret, why, why_bytes);
	if (size < 0) {
		close(fd);
		return NULL;
	}
	p = mem_alloc((size_t)size + 1);
	got = read_whole(fd, p, (size_t)size);
	close(fd);
	if (got < 0) {
		snprintf(why, why_bytes, "%s cannot be read: %s", path, strerror(errno));
		free(p);
		return NULL;
	}
	p[got] = '\0';
	*n = (size_t)got;
	return p;
}

/* No prompt on the terminal: a certificate needs no pass phrase. */
static int no_phrase(char *phrase, int room, int writing, void *cookie)
{
	(void)phrase, (void)room, (void)writing, (void)cookie;
	return -1;
}

STACK_OF(X509) * certs_read(const char *path, char *why, size_t why_bytes)
{
	size_t n;
	char *text = certs_slurp(path, PEM_FILE_MAX, false, &n, why, why_bytes);
	STACK_OF(X509) * certs;
	X509 *cert;
	BIO *bio;
	bool at_end;

	if (!text)
		return NULL;
	certs = sk_X509_new_null();
	bio = BIO_new_mem_buf(text, (int)n);
	CHECK_THAT(certs && bio);
	ERR_clear_error();
	while ((cert = PEM_read_bio_X509_AUX(bio, NULL, no_phrase, NULL)))
		CHECK_THAT(sk_X509_push(certs, cert) > 0);
	at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
	if (!at_end || sk_X509_num(certs) == 0) {
		if (at_end)
			snprintf(why, why_bytes, "%s holds no certificate in PEM (-----BEGIN CERTIFICATE-----)", path);
		else
			snprintf(why, why_bytes, "%s: certificate %d is damaged (%s)", path, sk_X509_num(certs) + 1,
				 certs_error());
		sk_X509_pop_free(certs, X509_free);
		certs = NULL;
	}
	ERR_clear_error();
	BIO_free(bio);
	free(text);
	return certs;
}

int certs_write(const char *path, const void *bytes, size_t n, mode_t mode, bool overwrite, char *why, size_t why_bytes)
{
	size_t len = strlen(path);
	char *temp = mem_alloc(len + 8);
	int fd, bad, saved;

	memcpy(temp, path, len);
	memcpy(temp + len, ".XXXXXX", 8);
	fd = mkostemp(temp, O_CLOEXEC);
	if (fd < 0) {
		snprintf(why, why_bytes,
			 "%s cannot be written: %s; does the folder exist, and may this user write there?", path,
			 strerror(errno));
		free(temp);
		return -1;
	}
	bad = fchmod(fd, mode) < 0 || !durable_write(fd, span_of(bytes, n)) || fsync(fd) < 0;
	saved = errno;
	close(fd);
	if (!bad && renameat2(AT_FDCWD, temp, AT_FDCWD, path, overwrite ? 0 : RENAME_NOREPLACE) < 0) {
		bad = 1;
		saved = errno;
	}
	if (bad) {
		unlink(temp);
		if (saved == EEXIST)
			snprintf(why, why_bytes, "%s is there already and is not overwritten; move it away first",
				 path);
		else
			snprintf(why, why_bytes, "%s cannot be written: %s", path, strerror(saved));
	} else {
		durable_sync_folder(path);
	}
	free(temp);
	return bad ? -1 : 0;
}

/* --- PEM files of one thing each. --- */

/* No prompt on the terminal, but it is worth knowing that there would have been one. */
static int note_phrase(char *phrase, int room, int writing, void *cookie)
{
	(void)phrase, (void)room, (void)writing;
	*(bool *)cookie = true;
	return -1;
}

EVP_PKEY *certs_read_key(const char *path, char *why, size_t why_bytes)
{
	size_t n;
	char *text = certs_slurp(path, KEY_FILE_MAX, true, &n, why, why_bytes);
	bool has_phrase = false;
	EVP_PKEY *pkey;
	BIO *bio;

	if (!text)
		return NULL;
	bio = BIO_new_mem_buf(text, (int)n);
	CHECK_THAT(bio);
	pkey = PEM_read_bio_PrivateKey(bio, NULL, note_phrase, &has_phrase);
	if (!pkey && has_phrase)
		snprintf(why, why_bytes,
			 "%s has a pass phrase; write it without (openssl pkey -in %s -out NEW) and keep it 0600", path,
			 path);
	else if (!pkey)
		snprintf(why, why_bytes, "%s holds no private key in PEM (%s)", path, certs_error());
	BIO_free(bio);
	OPENSSL_cleanse(text, n);
	free(text);
	ERR_clear_error();
	return pkey;
}

int certs_write_key(const char *path, EVP_PKEY *pkey, bool overwrite, char *why, size_t why_bytes)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long n;
	int r;

	CHECK_THAT(bio && PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL) == 1);
	n = BIO_get_mem_data(bio, &text);
	r = certs_write(path, text, (size_t)n, 0600, overwrite, why, why_bytes);
	OPENSSL_cleanse(text, (size_t)n);
	BIO_free(bio);
	return r;
}

int certs_write_cert(const char *path, X509 *cert, bool overwrite, char *why, size_t why_bytes)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long n;
	int r;

	CHECK_THAT(bio && PEM_write_bio_X509(bio, cert) == 1);
	n = BIO_get_mem_data(bio, &text);
	r = certs_write(path, text, (size_t)n, 0644, overwrite, why, why_bytes);
	BIO_free(bio);
	return r;
}

/* --- Parts of a certificate. --- */

void certs_put_serial(X509 *cert)
{
	uint8_t bytes[SERIAL_BYTES];
	BIGNUM *n;

	rng_secret(bytes, sizeof(bytes));
	n = BN_bin2bn(bytes, sizeof(bytes), NULL);
	CHECK_THAT(n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert)));
	BN_free(n);
}

void certs_put_dates(X509 *cert, wall_ms not_before, wall_ms not_after)
{
	CHECK_THAT(ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)(not_before / DUR_SECOND)));
	CHECK_THAT(ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)(not_after / DUR_SECOND)));
}

bool certs_put_common_name(X509_NAME *name, struct span cn)
{
	cn = span_upto(cn, CERTS_CN_MAX);
	return X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, (const unsigned char *)cn.p, (int)cn.n,
					  -1, 0) == 1;
}

X509_EXTENSION *certs_make_ext(int nid, const char *value)
{
	X509V3_CTX none;
	X509_EXTENSION *ext;

	X509V3_set_ctx_nodb(&none);
	X509V3_set_ctx(&none, NULL, NULL, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &none, nid, value);
	CHECK_THAT(ext);
	return ext;
}

void certs_put_ext(X509 *cert, int nid, const char *value)
{
	X509_EXTENSION *ext = certs_make_ext(nid, value);

	CHECK_THAT(X509_add_ext(cert, ext, -1) == 1);
	X509_EXTENSION_free(ext);
}

/* RFC 7093 §2 method 1: the first 160 bits of SHA-256 over the key's bits. */
static void key_id(const X509 *cert, uint8_t id[SKI_BYTES])
{
	const ASN1_BIT_STRING *bits = X509_get0_pubkey_bitstr(cert);
	uint8_t digest[SHA256_BYTES];

	sha256_of(span_of((const char *)ASN1_STRING_get0_data(bits), (size_t)ASN1_STRING_length(bits)), digest);
	memcpy(id, digest, SKI_BYTES);
}

void certs_put_ski(X509 *cert)
{
	uint8_t id[SKI_BYTES];
	ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();

	key_id(cert, id);
	CHECK_THAT(octets && ASN1_OCTET_STRING_set(octets, id, sizeof(id)));
	CHECK_THAT(X509_add1_ext_i2d(cert, NID_subject_key_identifier, octets, 0, X509V3_ADD_APPEND) == 1);
	ASN1_OCTET_STRING_free(octets);
}

static X509_EXTENSION *make_aki(const uint8_t *id, size_t n)
{
	AUTHORITY_KEYID *aki = AUTHORITY_KEYID_new();
	X509_EXTENSION *ext;

	CHECK_THAT(aki && (aki->keyid = ASN1_OCTET_STRING_new()) && ASN1_OCTET_STRING_set(aki->keyid, id, (int)n) == 1);
	ext = X509V3_EXT_i2d(NID_authority_key_identifier, 0, aki);
	CHECK_THAT(ext);
	AUTHORITY_KEYID_free(aki);
	return ext;
}

X509_EXTENSION *certs_aki_of(X509 *issuer)
{
	const ASN1_OCTET_STRING *ski = X509_get0_subject_key_id(issuer);

	return ski ? make_aki(ASN1_STRING_get0_data(ski), (size_t)ASN1_STRING_length(ski)) : NULL;
}

/* The getter above wants a finished certificate. */
void certs_put_own_aki(X509 *cert)
{
	uint8_t id[SKI_BYTES];
	X509_EXTENSION *aki;

	key_id(cert, id);
	aki = make_aki(id, sizeof(id));
	CHECK_THAT(X509_add_ext(cert, aki, -1) == 1);
	X509_EXTENSION_free(aki);
}

bool certs_may_sign(X509 *cert)
{
	return X509_check_ca(cert) == 1 && (X509_get_key_usage(cert) & KU_KEY_CERT_SIGN);
}
