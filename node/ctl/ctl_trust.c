#include "node/ctl/ctl_trust.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/base/span.h"
#include "node/ctl/ctl.h"
#include "node/tls/ca.h"

const char *ctl_trust_system_bundle(void)
{
	static const char *const usual[] = {
		"/etc/ssl/certs/ca-certificates.crt",
		"/etc/pki/tls/certs/ca-bundle.crt",
		"/etc/ssl/ca-bundle.pem",
		"/etc/ssl/cert.pem",
	};

	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
		if (access(usual[i], R_OK) == 0)
			return usual[i];
	return NULL;
}

static bool is_before(struct timespec a, struct timespec b)
{
	return a.tv_sec < b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec < b.tv_nsec);
}

/* `made` is there and not older than what it was made from. The source counts by its last change of any kind: a file
 * moved here or restored keeps an old modification time. */
static bool is_fresh(const char *made, const char *source)
{
	struct stat m, s;

	if (stat(made, &m) != 0 || m.st_size == 0)
		return false;
	return stat(source, &s) != 0 || !(is_before(m.st_mtim, s.st_mtim) || is_before(m.st_mtim, s.st_ctim));
}

static void paths_in(struct ctl_trust *t, const char *folder)
{
	free(t->bundle);
	free(t->store);
	t->bundle = ctl_text("%s/bundle.pem", folder);
	t->store = ctl_text("%s/truststore.p12", folder);
}

static bool bundle_is_fresh(const struct ctl_trust *t, const char *system)
{
	return is_fresh(t->bundle, t->ca) && is_fresh(t->bundle, system);
}

/* By the time of its bytes alone: the bundle's last change of another kind is that it was renamed into place. */
static bool store_is_fresh(const struct ctl_trust *t)
{
	struct stat store, bundle;

	return stat(t->store, &store) == 0 && store.st_size > 0 && stat(t->bundle, &bundle) == 0 &&
	       !is_before(store.st_mtim, bundle.st_mtim);
}

static int refresh(const struct ctl_trust *t, const char *system, char *why, size_t why_bytes)
{
	if (!bundle_is_fresh(t, system) && ca_bundle(system, t->ca, t->bundle, why, why_bytes) != 0)
		return -1;
	if (!store_is_fresh(t))
		return ca_truststore(t->bundle, t->store, why, why_bytes);
	return 0;
}

static char *cache_folder(void)
{
	const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

	if (xdg && xdg[0] == '/')
		return ctl_text("%s/pmcache", xdg);
	return home && home[0] == '/' ? ctl_text("%s/.cache/pmcache", home) : NULL;
}

/* The folder with those above it, private where it is made. */
static int make_folders(char *path)
{
	for (char *slash = path + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		if (mkdir(path, 0700) != 0 && errno != EEXIST) {
			*slash = '/';
			return -1;
		}
		*slash = '/';
	}
	return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : -1;
}

/* Another's files are not trusted: who writes them decides whom the clients believe. */
static bool is_ours(const char *folder)
{
	struct stat st;

	return lstat(folder, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 022);
}

/* A folder of the user's own for this CA; NULL with a sentence. */
static char *private_folder(const char *ca_cert, char *why, size_t why_bytes)
{
	char hex[16], *cache = cache_folder(), *folder;
	struct buf b = buf_over(hex, sizeof(hex));
	struct ca_about about;
	bool good = false;

	if (!cache) {
		snprintf(why, why_bytes, "no place for the bundle of certificates: set HOME or XDG_CACHE_HOME");
		return NULL;
	}
	if (ca_describe(ca_cert, &about, why, why_bytes) != 0) {
		free(cache);
		return NULL;
	}
	buf_put_hex(&b, about.fingerprint, sizeof(hex) / 2);
	folder = ctl_text("%s/%.*s", cache, (int)sizeof(hex), hex);
	if (make_folders(folder) != 0)
		snprintf(why, why_bytes, "cannot make the folder %s: %s", folder, strerror(errno));
	else if (!is_ours(cache) || !is_ours(folder))
		snprintf(why, why_bytes, "the folder %s belongs to another user, or others may write there", cache);
	else
		good = true;
	free(cache);
	if (good)
		return folder;
	free(folder);
	return NULL;
}

int ctl_trust_make(const char *ca_cert, const char *state, struct ctl_trust *out, char *why, size_t why_bytes)
{
	const char *system = ctl_trust_system_bundle();
	char *folder;

	*out = (struct ctl_trust){.ca = ctl_text("%s", ca_cert)};
	if (access(ca_cert, R_OK) != 0) {
		snprintf(why, why_bytes, "cannot read the CA %s: %s%s", ca_cert, strerror(errno),
			 errno == ENOENT ? "; start pmcached once, or run pmcachectl ca init" : "");
		return -1;
	}
	if (!system) {
		snprintf(why, why_bytes,
			 "the system's certificates are in none of the usual places; install ca-certificates");
		return -1;
	}
	paths_in(out, state);
	if ((bundle_is_fresh(out, system) && store_is_fresh(out)) || access(state, W_OK) == 0)
		return refresh(out, system, why, why_bytes);
	folder = private_folder(ca_cert, why, why_bytes);
	if (!folder)
		return -1;
	paths_in(out, folder);
	free(folder);
	return refresh(out, system, why, why_bytes);
}
