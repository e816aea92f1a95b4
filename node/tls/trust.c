#include "node/tls/trust.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "node/base/check.h"
#include "node/base/hash.h"
#include "node/tls/certs.h"

/* OpenSSL's level 2 is 112 bits: RSA and DH from 2048, curves from 224, no SHA-1 or MD5 in signatures. */
#define SECURITY_LEVEL 2

static int add_roots(X509_STORE *store, const char *path, char *why, size_t why_bytes)
{
	STACK_OF(X509) *certs = certs_read(path, why, why_bytes);

	if (!certs)
		return -1;
	for (int i = 0; i < sk_X509_num(certs); i++) {
		X509 *root = sk_X509_value(certs, i);

		/* OpenSSL reads a certificate's extensions when they are first asked for. The roots are shared by all loops, so
		 * that is done here, where nobody else looks. */
		X509_check_purpose(root, -1, 0);
		CHECK_THAT(X509_STORE_add_cert(store, root) == 1); /* one that is there already is fine */
	}
	sk_X509_pop_free(certs, X509_free);
	return 0;
}

X509_STORE *trust_new_over(const char *system_bundle, const char *ca_file, char *why, size_t why_bytes)
{
	X509_STORE *store = X509_STORE_new();
	char trouble[CERTS_WHY_BYTES];
	bool system_only = !ca_file || strcmp(ca_file, "system") == 0;

	CHECK_THAT(store);
	why[0] = '\0';
	/* A private issuer is often given as the intermediate that one knows, not as its root. */
	X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
	if (add_roots(store, system_bundle, trouble, sizeof(trouble)) < 0)
		snprintf(why, why_bytes,
			 "no system roots, so certificates of public hosts will be refused: %s; install the "
			 "package ca-certificates",
			 trouble);
	if (!system_only && add_roots(store, ca_file, trouble, sizeof(trouble)) < 0) {
		snprintf(why, why_bytes, "upstream.ca_file: %s", trouble);
		X509_STORE_free(store);
		return NULL;
	}
	return store;
}

X509_STORE *trust_new(const char *ca_file, char *why, size_t why_bytes)
{
	return trust_new_over(TRUST_SYSTEM_BUNDLE, ca_file, why, why_bytes);
}

int trust_configure(SSL *ssl, const char *host, bool is_ip)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	int ok;

	X509_VERIFY_PARAM_set_hostflags(param,
					X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	ok = is_ip ? X509_VERIFY_PARAM_set1_ip_asc(param, host) : X509_VERIFY_PARAM_set1_host(param, host, 0);
	if (ok != 1 || SSL_set_min_proto_version(ssl, TLS1_2_VERSION) != 1) {
		ERR_clear_error();
		return -1;
	}
	SSL_set_security_level(ssl, SECURITY_LEVEL);
	SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
	return 0;
}

/* Nobody known issued it: is it its own issuer? */
static enum reason unknown_issuer(X509 *cert)
{
	return cert && X509_self_signed(cert, 0) == 1 ? REASON_CERT_SELF_SIGNED : REASON_CERT_UNKNOWN_CA;
}

enum reason trust_reason(long verify_result, X509 *cert)
{
	switch (verify_result) {
	case X509_V_OK:
		return REASON_NONE;
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return REASON_CERT_EXPIRED;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return REASON_CERT_NOT_YET;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return REASON_CERT_WRONG_NAME;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
		return REASON_CERT_SELF_SIGNED;
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_CERT_UNTRUSTED:
		return unknown_issuer(cert);
	case X509_V_ERR_EE_KEY_TOO_SMALL:
	case X509_V_ERR_CA_KEY_TOO_SMALL:
	case X509_V_ERR_CA_MD_TOO_WEAK:
		return REASON_CERT_WEAK;
	default:
		return REASON_CERT_BAD;
	}
}

static void add_san(struct origin_cert *oc, const GENERAL_NAME *name)
{
	char text[INET6_ADDRSTRLEN];
	const ASN1_STRING *s;
	int type, n;

	s = GENERAL_NAME_get0_value(name, &type);
	n = type == GEN_DNS || type == GEN_IPADD ? ASN1_STRING_length(s) : 0;
	if (type == GEN_DNS)
		names_origin_add_san(oc, span_of((const char *)ASN1_STRING_get0_data(s), (size_t)n));
	else if ((n == 4 || n == 16) &&
		 inet_ntop(n == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(s), text, sizeof(text)))
		names_origin_add_san(oc, span_str(text));
}

/* A date before 1970, or none, is no date worth copying; the mint then uses its own. */
static wall_ms date(const ASN1_TIME *t)
{
	wall_ms at = certs_wall(t);

	return at < 0 ? 0 : at;
}

struct origin_cert *trust_describe(X509 *cert)
{
	struct origin_cert *oc = names_origin_new();
	GENERAL_NAMES *sans = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	unsigned char *der = NULL;
	int n;

	for (int i = 0; i < sk_GENERAL_NAME_num(sans); i++)
		add_san(oc, sk_GENERAL_NAME_value(sans, i));
	GENERAL_NAMES_free(sans);
	if (X509_NAME_entry_count(X509_get_subject_name(cert)) > 0) {
		n = i2d_X509_NAME(X509_get_subject_name(cert), &der);
		if (n > 0)
			names_origin_set_subject(oc, der, (size_t)n);
		OPENSSL_free(der);
		der = NULL;
	}
	n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
	if (n > 0)
		sha256_of(span_of((const char *)der, (size_t)n), oc->spki_sha256);
	OPENSSL_free(der);
	oc->not_before = date(X509_get0_notBefore(cert));
	oc->not_after = date(X509_get0_notAfter(cert));
	ERR_clear_error();
	return oc;
}
