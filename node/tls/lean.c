#include "node/tls/lean.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/provider.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "node/base/check.h"
#include "node/base/mem.h"
#include "node/base/span.h"

#define NAME "lean"
/* It keeps the decoders that it has found, and knows algorithms that are not listed below. */
#define REMEMBERS 0x30200000UL /* 3.2 */

/* The kinds of which only some are shown, by the first of their names; of what is not listed here (digests, signatures, key
 * exchange, random bytes) all are.
 *
 * Keys: of certificates, and for exchange. Ciphers: of every suite that OpenSSL offers by default, and that of tickets. Encoders and
 * stores turn keys into files and back, which nobody does here. */
#define KEYS "RSA:RSA-PSS:EC:ED25519:ED448:X25519:X448:DH:DSA"
static const struct {
	int operation;
	const char *names;
} some[] = {
	{OSSL_OP_CIPHER, "AES-128-GCM:AES-256-GCM:ChaCha20-Poly1305:AES-128-CBC:AES-256-CBC:AES-128-CBC-HMAC-SHA1:"
			 "AES-256-CBC-HMAC-SHA1:AES-128-CBC-HMAC-SHA256:AES-256-CBC-HMAC-SHA256"},
	{OSSL_OP_MAC, "HMAC"},
	{OSSL_OP_KDF, "HKDF:TLS13-KDF:TLS1-PRF"},
	{OSSL_OP_KEYMGMT, KEYS ":HMAC"}, /* HMAC: of tickets that are offered, and of records in CBC */
	{OSSL_OP_DECODER, KEYS},
	{OSSL_OP_ENCODER, ""},
	{OSSL_OP_STORE, ""},
};
#define KINDS (sizeof(some) / sizeof(some[0]))

/* Made once and read from then on. It stands outside functions, the only thing in the tree that does, since OpenSSL asks a provider
 * with nothing in its hand but what the algorithms get as well, and that is the default provider's. */
static struct {
	pthread_once_t once;
	OSSL_LIB_CTX *libctx;
	OSSL_PROVIDER *whole;
	OSSL_ALGORITHM *shown[KINDS];
} lean = {.once = PTHREAD_ONCE_INIT};

static bool is_listed(const OSSL_ALGORITHM *a, const char *list)
{
	struct span name = span_str(a->algorithm_names), rest = span_str(list), listed = SPAN_NONE;

	name = span_upto(name, span_find(name, ':'));
	while (span_cut(&rest, ':', &listed))
		if (span_eq_icase(name, listed))
			return true;
	return false;
}

/* As a certificate has them. */
static bool reads_public_keys(const OSSL_ALGORITHM *a)
{
	return strstr(a->property_definition, "input=der,structure=SubjectPublicKeyInfo");
}

static OSSL_ALGORITHM *choose(int operation, const char *names)
{
	int no_cache;
	const OSSL_ALGORITHM *all = OSSL_PROVIDER_query_operation(lean.whole, operation, &no_cache);
	OSSL_ALGORITHM *shown;
	size_t n = 0;

	CHECK_THAT(all);
	while (all[n].algorithm_names)
		n++;
	shown = mem_zalloc((n + 1) * sizeof(*shown));
	n = 0;
	for (; all->algorithm_names; all++)
		if (is_listed(all, names) && (operation != OSSL_OP_DECODER || reads_public_keys(all)))
			shown[n++] = *all;
	return shown;
}

static const OSSL_ALGORITHM *query(void *provctx, int operation, int *no_cache)
{
	(void)provctx;
	*no_cache = 0;
	for (size_t i = 0; i < KINDS; i++)
		if (some[i].operation == operation)
			return lean.shown[i];
	return OSSL_PROVIDER_query_operation(lean.whole, operation, no_cache);
}

/* The groups for key exchange. */
static int get_capabilities(void *provctx, const char *capability, OSSL_CALLBACK *on_each, void *cookie)
{
	(void)provctx;
	return OSSL_PROVIDER_get_capabilities(lean.whole, capability, on_each, cookie);
}

static const OSSL_DISPATCH dispatch[] = {{OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query},
					 {OSSL_FUNC_PROVIDER_GET_CAPABILITIES, (void (*)(void))get_capabilities},
					 {0, NULL}};

/* The algorithms get the default provider's own context, so to them nothing is different. */
static int init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out, void **provctx)
{
	(void)handle;
	(void)in;
	*out = dispatch;
	*provctx = OSSL_PROVIDER_get0_provider_ctx(lean.whole);
	return 1;
}

static int is_default(OSSL_PROVIDER *provider, void *only)
{
	if (strcmp(OSSL_PROVIDER_get0_name(provider), "default") != 0)
		*(bool *)only = false;
	return 1;
}

static void make(void)
{
	bool only = true;

	if (OpenSSL_version_num() >= REMEMBERS)
		return;
	CHECK_THAT(OSSL_PROVIDER_do_all(NULL, is_default, &only) == 1);
	if (!only)
		return;
	lean.whole = OSSL_PROVIDER_load(NULL, "default");
	CHECK_THAT(lean.whole);
	for (size_t i = 0; i < KINDS; i++)
		lean.shown[i] = choose(some[i].operation, some[i].names);
	lean.libctx = OSSL_LIB_CTX_new();
	CHECK_THAT(lean.libctx && OSSL_PROVIDER_add_builtin(lean.libctx, NAME, init) == 1 &&
		   OSSL_PROVIDER_load(lean.libctx, NAME));
}

OSSL_LIB_CTX *lean_context(void)
{
	CHECK_THAT(pthread_once(&lean.once, make) == 0);
	return lean.libctx;
}
