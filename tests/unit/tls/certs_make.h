/* certs_make: keys and certificates for tests, in memory, good or faulty as asked. */
#ifndef TESTS_UNIT_TLS_CERTS_MAKE_H
#define TESTS_UNIT_TLS_CERTS_MAKE_H

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "node/base/clock.h"
#include "node/tls/ca.h"

struct made {
	EVP_PKEY *pkey;
	X509 *cert;
};

struct make {
	const char *cn;  /* NULL: empty subject */
	const char *org; /* NULL: none */
	const char *san; /* OpenSSL's words: "DNS:a.test,IP:127.0.0.1"; NULL: none */
	bool is_ca;
	int pathlen;         /* of a CA; negative: none */
	const char *permits; /* nameConstraints in OpenSSL's words */
	int rsa_bits;        /* 0: P-256 */
	const EVP_MD *md;    /* NULL: SHA-256 */
	dur_ms from, to;     /* relative to now; both 0: -1 to +90 days */
	int serial;
};

static inline void make_ext(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	if (!ext || X509_add_ext(cert, ext, -1) != 1)
		abort();
	X509_EXTENSION_free(ext);
}

static inline void make_name(X509_NAME *name, const char *type, const char *value)
{
	if (value &&
	    X509_NAME_add_entry_by_txt(name, type, MBSTRING_UTF8, (const unsigned char *)value, -1, -1, 0) != 1)
		abort();
}

/* Issuer NULL: self-signed. */
static inline struct made make_cert(struct make how, const struct made *issuer, wall_ms now)
{
	struct made m = {how.rsa_bits ? EVP_RSA_gen((unsigned)how.rsa_bits) : EVP_EC_gen("P-256"), X509_new()};
	X509 *by = issuer ? issuer->cert : m.cert;
	char basic[64];

	if (!how.from && !how.to) {
		how.from = -DUR_DAY;
		how.to = 90 * DUR_DAY;
	}
	X509_set_version(m.cert, X509_VERSION_3);
	X509_set_pubkey(m.cert, m.pkey);
	ASN1_INTEGER_set(X509_get_serialNumber(m.cert), how.serial ? how.serial : rand() % 100000 + 1);
	ASN1_TIME_set(X509_getm_notBefore(m.cert), (time_t)((now + how.from) / DUR_SECOND));
	ASN1_TIME_set(X509_getm_notAfter(m.cert), (time_t)((now + how.to) / DUR_SECOND));
	make_name(X509_get_subject_name(m.cert), "O", how.org);
	make_name(X509_get_subject_name(m.cert), "CN", how.cn);
	X509_set_issuer_name(m.cert, X509_get_subject_name(by));
	snprintf(basic, sizeof(basic), "critical,CA:TRUE,pathlen:%d", how.pathlen);
	make_ext(m.cert, by, NID_basic_constraints,
		 !how.is_ca        ? "CA:FALSE"
		 : how.pathlen < 0 ? "critical,CA:TRUE"
				   : basic);
	if (how.is_ca)
		make_ext(m.cert, by, NID_key_usage, "critical,keyCertSign,cRLSign");
	make_ext(m.cert, by, NID_subject_key_identifier, "hash");
	if (issuer)
		make_ext(m.cert, by, NID_authority_key_identifier, "keyid:always");
	if (how.san)
		make_ext(m.cert, by, NID_subject_alt_name, how.san);
	if (how.permits)
		make_ext(m.cert, by, NID_name_constraints, how.permits);
	if (X509_sign(m.cert, issuer ? issuer->pkey : m.pkey, how.md ? how.md : EVP_sha256()) <= 0)
		abort();
	return m;
}

static inline void made_free(struct made *m)
{
	X509_free(m->cert);
	EVP_PKEY_free(m->pkey);
}

static inline void make_pem(const char *path, X509 *const *certs, size_t n)
{
	FILE *f = fopen(path, "w");

	for (size_t i = 0; f && i < n; i++)
		PEM_write_X509(f, certs[i]);
	if (!f || fclose(f))
		abort();
}

static inline void make_key_file(const char *path, EVP_PKEY *pkey, mode_t mode)
{
	FILE *f = fopen(path, "w");

	if (!f || PEM_write_PrivateKey(f, pkey, NULL, NULL, 0, NULL, NULL) != 1 || fclose(f) || chmod(path, mode))
		abort();
}

/* A signing CA as the daemon opens it, from these files in the folder: its certificate, the chain behind it, its key. */
static inline struct ca *make_ca(const char *folder, EVP_PKEY *pkey, X509 *const *certs, size_t n, wall_ms now)
{
	char cert[600], key[600], why[CA_WHY_BYTES];
	struct ca *ca;

	snprintf(cert, sizeof(cert), "%s/ca.crt", folder);
	snprintf(key, sizeof(key), "%s/ca.key", folder);
	make_pem(cert, certs, n);
	make_key_file(key, pkey, 0600);
	ca = ca_open(cert, key, now, why, sizeof(why));
	if (!ca) {
		fprintf(stderr, "%s\n", why);
		abort();
	}
	return ca;
}

/* Does what `openssl verify` does for a TLS server: 0 (X509_V_OK) or the error. Root and host may be NULL. */
static inline int make_verify(X509 *root, STACK_OF(X509) * chain, X509 *cert, const char *host, const char *ip,
			      wall_ms now)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	X509_VERIFY_PARAM *param;
	int r;

	if (root)
		X509_STORE_add_cert(store, root);
	X509_STORE_CTX_init(ctx, store, cert, chain);
	param = X509_STORE_CTX_get0_param(ctx);
	X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER);
	X509_VERIFY_PARAM_set_time(param, (time_t)(now / DUR_SECOND));
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
	if (host)
		X509_VERIFY_PARAM_set1_host(param, host, 0);
	if (ip)
		X509_VERIFY_PARAM_set1_ip_asc(param, ip);
	r = X509_verify_cert(ctx) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(ctx);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	return r;
}

/* A folder of its own for one test program, below the folder for temporary files; removed by make_folder_remove. */
static inline char *make_folder(void)
{
	const char *tmp = getenv("TMPDIR");
	char *path = malloc(512);

	snprintf(path, 512, "%s/pmcache-test-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(path))
		abort();
	return path;
}

static inline void make_folder_remove(char *path)
{
	char command[600];

	snprintf(command, sizeof(command), "rm -rf '%s'", path);
	if (system(command) != 0)
		abort();
	free(path);
}

#endif
