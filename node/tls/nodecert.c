#include "node/tls/nodecert.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/tls/certs.h"

#define SCHEME "pmcache://"
#define URI_BYTES (sizeof(SCHEME) + 2 * NODECERT_NAME_BYTES + 16)

static const char *const role_words[] = {[NODE_EDGE] = "edge", [NODE_PARENT] = "parent", [NODE_ADMIN] = "admin"};

#define ROLES (sizeof(role_words) / sizeof(role_words[0]))

/* --- Names. --- */

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool nodecert_name_is_good(struct span s)
{
	if (s.n == 0 || s.n > NODECERT_NAME_BYTES || !is_alnum(s.p[0]))
		return false;
	for (size_t i = 1; i < s.n; i++)
		if (!is_alnum(s.p[i]) && s.p[i] != '.' && s.p[i] != '_' && s.p[i] != '-')
			return false;
	return true;
}

const char *nodecert_role_word(enum node_role role)
{
	return role_words[role];
}

int nodecert_role(struct span word, enum node_role *role)
{
	for (size_t i = 0; i < ROLES; i++) {
		if (!span_eq(word, span_str(role_words[i])))
			continue;
		*role = (enum node_role)i;
		return 0;
	}
	return -1;
}

static void copy_name(char to[NODECERT_NAME_BYTES + 1], struct span name)
{
	memcpy(to, name.p, name.n);
	to[name.n] = '\0';
}

int nodecert_parse_uri(struct span s, struct node_name *out)
{
	struct span rest = span_from(s, sizeof(SCHEME) - 1), cluster, role;

	if (!span_starts(s, SPAN(SCHEME)) || !span_cut(&rest, '/', &cluster) || !nodecert_name_is_good(cluster) ||
	    !span_cut(&rest, '/', &role) || !nodecert_name_is_good(rest))
		return -1;
	*out = (struct node_name){.cluster = ""};
	if (nodecert_role(role, &out->role) < 0)
		return -1;
	copy_name(out->cluster, cluster);
	copy_name(out->node, rest);
	return 0;
}

/* Looks at all of it: a certificate with a second URI is one that somebody else reads otherwise than we do. */
int nodecert_read(const X509 *cert, struct node_name *out)
{
	GENERAL_NAMES *names;
	int uris = 0, good = 0;

	ERR_set_mark(); /* we may be inside a handshake, which has a queue of its own errors */
	names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL); /* NULL when there are two */
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		int type;
		const ASN1_STRING *text = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);

		if (type != GEN_URI)
			continue;
		uris++;
		if (nodecert_parse_uri(
			    span_of((const char *)ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text)),
			    out) == 0)
			good++;
	}
	GENERAL_NAMES_free(names);
	ERR_pop_to_mark();
	return uris == 1 && good == 1 ? 0 : -1;
}

/* --- Making. --- */

/* Whether files and days are as a new certificate wants them. */
static int may_make(const char *cert_path, const char *key_path, int days, bool renew, char *why, size_t why_bytes)
{
	why[0] = '\0';
	if (days < 1 || days > NODECERT_DAYS_MAX) {
		snprintf(why, why_bytes, "a certificate may be for 1 to %d days, not for %d", NODECERT_DAYS_MAX, days);
		return -1;
	}
	if (!renew && (certs_exists(cert_path) || certs_exists(key_path))) {
		snprintf(why, why_bytes, "%s is there already and is not overwritten; move it away first",
			 certs_exists(cert_path) ? cert_path : key_path);
		return -1;
	}
	return 0;
}

static int check_name(const char *what, const char *name, char *why, size_t why_bytes)
{
	if (nodecert_name_is_good(span_str(name)))
		return 0;
	snprintf(
		why, why_bytes,
		"\"%.64s\" cannot be the name of a %s: use 1 to %d letters, digits, '.', '_' and '-', and begin with a "
		"letter or digit",
		name, what, NODECERT_NAME_BYTES);
	return -1;
}

/* The key first: a certificate without its key would look like one that was lost. */
static int write_pair(const char *cert_path, X509 *cert, const char *key_path, EVP_PKEY *pkey, bool renew, char *why,
		      size_t why_bytes)
{
	return certs_write_key(key_path, pkey, renew, why, why_bytes) == 0 &&
			       certs_write_cert(cert_path, cert, renew, why, why_bytes) == 0
		       ? 0
		       : -1;
}

static X509 *begin(EVP_PKEY *pkey, const char *common_name)
{
	X509 *cert = X509_new();

	CHECK_THAT(cert && X509_set_version(cert, X509_VERSION_3) == 1 && X509_set_pubkey(cert, pkey) == 1);
	certs_put_serial(cert);
	CHECK_THAT(certs_put_common_name(X509_get_subject_name(cert), span_str(common_name)));
	return cert;
}

int nodecert_make_ca(const char *cluster, const char *cert_path, const char *key_path, int days, wall_ms now, char *why,
		     size_t why_bytes)
{
	char common_name[CERTS_CN_MAX + 1];
	EVP_PKEY *pkey;
	X509 *cert;
	int r;

	if (check_name("cluster", cluster, why, why_bytes) < 0 ||
	    may_make(cert_path, key_path, days, false, why, why_bytes) < 0)
		return -1;
	snprintf(common_name, sizeof(common_name), "pmcache cluster %s", cluster);
	pkey = EVP_EC_gen("P-256");
	CHECK_THAT(pkey);
	cert = begin(pkey, common_name);
	certs_put_dates(cert, now - DUR_DAY, now + days * DUR_DAY);
	CHECK_THAT(X509_set_issuer_name(cert, X509_get_subject_name(cert)) == 1);
	certs_put_ext(cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
	certs_put_ext(cert, NID_key_usage, "critical,keyCertSign,cRLSign");
	certs_put_ski(cert);
	certs_put_own_aki(cert);
	CHECK_THAT(X509_sign(cert, pkey, EVP_sha256()) > 0);
	r = write_pair(cert_path, cert, key_path, pkey, false, why, why_bytes);
	X509_free(cert);
	EVP_PKEY_free(pkey);
	ERR_clear_error();
	return r;
}

struct signer {
	X509 *cert;
	EVP_PKEY *pkey;
	wall_ms from, to;
};

static void signer_free(struct signer *s)
{
	X509_free(s->cert);
	EVP_PKEY_free(s->pkey);
}

static int check_signer(struct signer *s, const char *cert_path, const char *key_path, wall_ms now, char *why,
			size_t why_bytes)
{
	if (!certs_may_sign(s->cert)) {
		snprintf(why, why_bytes, "%s is no CA: give the file that pmcachectl cluster init has made", cert_path);
		return -1;
	}
	if (X509_check_private_key(s->cert, s->pkey) != 1) {
		snprintf(why, why_bytes, "%s is not the key of %s; give the two files that were made together",
			 key_path, cert_path);
		return -1;
	}
	s->from = certs_wall(X509_get0_notBefore(s->cert));
	s->to = certs_wall(X509_get0_notAfter(s->cert));
	if (s->from == CERTS_NO_TIME || s->to == CERTS_NO_TIME || now < s->from || now >= s->to) {
		snprintf(why, why_bytes,
			 "%s has expired or is not valid yet; is the clock right? If so, make a new CA (pmcachectl "
			 "cluster init)",
			 cert_path);
		return -1;
	}
	return 0;
}

static int signer_open(struct signer *s, const char *cert_path, const char *key_path, wall_ms now, char *why,
		       size_t why_bytes)
{
	STACK_OF(X509) *certs = certs_read(cert_path, why, why_bytes);

	*s = (struct signer){.cert = NULL};
	if (!certs)
		return -1;
	s->cert = sk_X509_shift(certs);
	sk_X509_pop_free(certs, X509_free);
	s->pkey = certs_read_key(key_path, why, why_bytes);
	if (s->pkey && check_signer(s, cert_path, key_path, now, why, why_bytes) == 0)
		return 0;
	signer_free(s);
	return -1;
}

static void put_uri(X509 *cert, const struct node_name *who)
{
	char uri[URI_BYTES];
	int n = snprintf(uri, sizeof(uri), SCHEME "%s/%s/%s", who->cluster, nodecert_role_word(who->role), who->node);
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_IA5STRING *text = ASN1_IA5STRING_new();

	CHECK_THAT(names && name && text && ASN1_STRING_set(text, uri, n) == 1);
	GENERAL_NAME_set0_value(name, GEN_URI, text);
	CHECK_THAT(sk_GENERAL_NAME_push(names, name) > 0);
	CHECK_THAT(X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_APPEND) == 1);
	GENERAL_NAMES_free(names);
}

static X509 *issue(const struct signer *by, EVP_PKEY *pkey, const struct node_name *who, int days, wall_ms now)
{
	wall_ms from = now - DUR_DAY, to = now + days * DUR_DAY;
	X509_EXTENSION *aki = certs_aki_of(by->cert);
	X509 *cert = begin(pkey, who->node);

	certs_put_dates(cert, from > by->from ? from : by->from, to < by->to ? to : by->to);
	CHECK_THAT(X509_set_issuer_name(cert, X509_get_subject_name(by->cert)) == 1);
	certs_put_ext(cert, NID_basic_constraints, "critical,CA:FALSE");
	certs_put_ext(cert, NID_key_usage, "critical,digitalSignature");
	certs_put_ext(cert, NID_ext_key_usage, "serverAuth,clientAuth");
	certs_put_ski(cert);
	if (aki)
		CHECK_THAT(X509_add_ext(cert, aki, -1) == 1);
	X509_EXTENSION_free(aki);
	put_uri(cert, who);
	if (X509_sign(cert, by->pkey, EVP_sha256()) > 0)
		return cert;
	X509_free(cert);
	return NULL;
}

int nodecert_issue(const char *ca_cert_path, const char *ca_key_path, const struct node_name *who, int days,
		   wall_ms now, const char *cert_path, const char *key_path, bool renew, char *why, size_t why_bytes)
{
	struct signer by;
	EVP_PKEY *pkey;
	X509 *cert;
	int r = -1;

	if (check_name("cluster", who->cluster, why, why_bytes) < 0 ||
	    check_name("node", who->node, why, why_bytes) < 0 ||
	    may_make(cert_path, key_path, days, renew, why, why_bytes) < 0 ||
	    signer_open(&by, ca_cert_path, ca_key_path, now, why, why_bytes) < 0) {
		ERR_clear_error();
		return -1;
	}
	pkey = EVP_EC_gen("P-256");
	CHECK_THAT(pkey);
	cert = issue(&by, pkey, who, days, now);
	if (cert)
		r = write_pair(cert_path, cert, key_path, pkey, renew, why, why_bytes);
	else
		snprintf(why, why_bytes, "%s cannot sign certificates (%s): make one with pmcachectl cluster init",
			 ca_key_path, certs_error());
	X509_free(cert);
	EVP_PKEY_free(pkey);
	signer_free(&by);
	ERR_clear_error();
	return r;
}

int nodecert_describe(const char *cert_path, struct node_name *who, wall_ms *not_after, char *why, size_t why_bytes)
{
	STACK_OF(X509) *certs = certs_read(cert_path, why, why_bytes);
	int r = -1;

	if (!certs)
		return -1;
	*not_after = certs_wall(X509_get0_notAfter(sk_X509_value(certs, 0)));
	if (nodecert_read(sk_X509_value(certs, 0), who) < 0)
		snprintf(
			why, why_bytes,
			"%s names no node (one URI pmcache://CLUSTER/ROLE/NODE): make it with pmcachectl cluster issue",
			cert_path);
	else if (*not_after == CERTS_NO_TIME)
		snprintf(why, why_bytes, "%s has a damaged date", cert_path);
	else
		r = 0;
	sk_X509_pop_free(certs, X509_free);
	return r;
}
