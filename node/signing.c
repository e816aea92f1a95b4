#include "node/node_internal.h"

#include <stdio.h>
#include <unistd.h>

static int open_ca(struct node *n, char *why, size_t why_bytes)
{
	const struct conf *c = n->conf;
	struct ca_settings settings = {
		.cert_path = c->ca.cert,
		.key_path = c->ca.key,
		.common_name = c->ca.name,
		.life_days = (int)(c->ca.life / DUR_DAY),
		.permit_dns = (const char *const *)c->ca.permit_dns.v,
		.n_permit_dns = c->ca.permit_dns.n,
	};
	wall_ms now = clock_wall(&clock_system);

	if (access(c->ca.cert, F_OK) < 0 && access(c->ca.key, F_OK) < 0) {
		if (ca_create(&settings, now, why, why_bytes) < 0)
			return -1;
		log_line(n->log, LOG_NOTICE, "ca", "made a new CA: %s", c->ca.cert);
	}
	n->ca = ca_open(c->ca.cert, c->ca.key, now, why, why_bytes);
	if (!n->ca)
		return -1;
	if (*why)
		log_line(n->log, LOG_WARNING, "ca", "%s", why);
	n->ca_not_after = ca_not_after(n->ca);
	return 0;
}

static int open_mint(struct node *n, char *why, size_t why_bytes)
{
	char path[4096];
	size_t skipped = 0;
	struct mint_settings settings = {.names_path = path};

	snprintf(path, sizeof(path), "%s/names", n->conf->state);
	n->mint = mint_new(n->ca, &settings);
	if (mint_load(n->mint, clock_wall(&clock_system), &skipped, why, why_bytes) < 0)
		log_line(n->log, LOG_WARNING, "mint", "%s", why);
	if (skipped)
		log_line(n->log, LOG_WARNING, "mint", "%s: %zu lines were not understood", path, skipped);
	return 0;
}

int signing_open(struct node *n, char *why, size_t why_bytes)
{
	if (!n->conf->listen.bump.n)
		return 0;
	return open_ca(n, why, why_bytes) < 0 ? -1 : open_mint(n, why, why_bytes);
}

int signing_read_again(struct node *n, struct ca **out, struct admin_ca **shown, char *why, size_t why_bytes)
{
	*out = NULL;
	*shown = NULL;
	if (!n->ca)
		return 0;
	*out = ca_open(n->conf->ca.cert, n->conf->ca.key, clock_wall(&clock_system), why, why_bytes);
	if (!*out)
		return -1;
	if (*why)
		log_line(n->log, LOG_WARNING, "ca", "%s", why);
	if (ca_same(*out, n->ca)) {
		ca_unref(out);
		return 0;
	}
	*shown = admin_ca_read(n->conf->ca.cert, why, why_bytes);
	if (*shown)
		return 0;
	ca_unref(out);
	return -1;
}

void signing_use(struct node *n, struct ca *ca)
{
	mint_use_ca(n->mint, ca);
	ca_unref(&n->ca);
	n->ca = ca;
	n->ca_not_after = ca_not_after(ca);
	log_line(n->log, LOG_NOTICE, "ca", "%s has changed: leaves are signed with it from now on", n->conf->ca.cert);
}
