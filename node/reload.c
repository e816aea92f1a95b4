#include "node/node_internal.h"

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

void node_reload(struct node *n, struct conf *conf)
{
	char why[NODE_WHY_BYTES], keys[512];
	X509_STORE *roots = trust_new(conf->policy->upstream.ca_file, why, sizeof(why));
	struct admin_ca *shown;
	struct ca *ca;

	if (!roots || signing_read_again(n, &ca, &shown, why, sizeof(why)) < 0) {
		log_line(n->log, LOG_ERROR, "conf", "%s; the old configuration stays in force", why);
		X509_STORE_free(roots);
		conf_free(conf);
		return;
	}
	if (ca)
		signing_use(n, ca);
	if (conf_reload_differs(n->conf, conf, keys, sizeof(keys)))
		log_line(n->log, LOG_WARNING, "conf", "changed, but in force only after a restart: %s", keys);
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
}

void node_reopen_logs(struct node *n)
{
	accesslog_reopen(n->accesslog);
}
