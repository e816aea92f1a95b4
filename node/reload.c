#include "node/node_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "node/base/mem.h"
#include "node/tls/trust.h"

/* What a lane is told, on its own thread. */
struct change {
	struct lane *lane;
	struct policy *policy;
	X509_STORE *roots;
	struct admin_ca *ca; /* NULL: as before */
};

static void on_new_policy(void *arg)
{
	struct change *ch = arg;
	struct lane *l = ch->lane;

	server_set_policy(&l->server, ch->policy);
	if (l->node->cluster && l == &l->node->lanes[0])
		cluster_reload(l->node->cluster, ch->policy);
	if (l == &l->node->lanes[0])
		tiers_set_scrub(l->node, &ch->policy->cache);
	dns_set_hosts_file(l->dns, ch->policy->upstream.hosts_file);
	tlsctx_set_roots(l->tls, ch->roots);
	if (ch->ca)
		admin_set_ca(l->node->admin, ch->ca);
	pool_clear(l->pool);
	policy_unref(&ch->policy);
	X509_STORE_free(ch->roots);
	free(ch);
}

/* Takes it. */
static bool take_conf(struct node *n, struct conf *conf, struct errands_reloaded *out)
{
	X509_STORE *roots = trust_new(conf->policy->upstream.ca_file, out->faults, sizeof(out->faults));
	struct admin_ca *shown;
	struct ca *ca;

	if (!roots || signing_read_again(n, &ca, &shown, out->faults, sizeof(out->faults)) < 0) {
		log_line(n->log, LOG_ERROR, "conf", "%s; the old configuration stays in force", out->faults);
		X509_STORE_free(roots);
		conf_free(conf);
		return false;
	}
	if (ca)
		signing_use(n, ca);
	if (conf_reload_differs(n->conf, conf, out->waiting, sizeof(out->waiting)))
		log_line(n->log, LOG_WARNING, "conf", "changed, but in force only after a restart: %s", out->waiting);
	log_set_level(n->log, conf->log_level);
	accesslog_set_masks(n->accesslog, conf->policy->log.headers, conf->policy->log.query);
	tiers_use(n, conf->policy);
	for (unsigned i = 0; i < n->n_lanes; i++) {
		struct change *ch = NEW(struct change);

		*ch = (struct change){.lane = &n->lanes[i],
				      .policy = policy_ref(conf->policy),
				      .roots = roots,
				      .ca = i ? NULL : shown};
		X509_STORE_up_ref(roots);
		loop_post(n->lanes[i].loop, on_new_policy, ch);
	}
	X509_STORE_free(roots);
	/* Start-only values stay what they were: the next reload is compared with what is in force. */
	policy_unref(&n->conf->policy);
	n->conf->policy = policy_ref(conf->policy);
	n->conf->log_level = conf->log_level;
	conf_free(conf);
	log_line(n->log, LOG_NOTICE, "conf", "read again; in force");
	return true;
}

bool node_reload(struct node *n, const char *path)
{
	struct errands_reloaded result = {0};
	struct conf *conf;

	errands_reload_begins(n->errands);
	conf = conf_load(path, result.faults, sizeof(result.faults));
	if (conf)
		result.in_force = take_conf(n, conf, &result);
	else
		fprintf(stderr, "%spmcached: the old configuration stays in force\n", result.faults);
	errands_reload_ended(n->errands, &result);
	return result.in_force;
}

void node_reopen_logs(struct node *n)
{
	accesslog_reopen(n->accesslog, NULL, NULL);
}
