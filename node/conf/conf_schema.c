/* The table of all settings. Rows of one section stand together: the dump and the reference are written in this order. */
#include "node/conf/conf_internal.h"

#include "node/base/check.h"

#define KB ((uint64_t)1024)
#define MB (1024 * KB)
#define GB (1024 * MB)
#define TB (1024 * GB)

#define WIDTH(type, field) sizeof(((type *)0)->field)
#define START(field) .offset = offsetof(struct conf, field), .width = WIDTH(struct conf, field)
#define LIVE(field)                                                                                                    \
	.in_policy = true, .live = true, .offset = offsetof(struct policy, field), .width = WIDTH(struct policy, field)
#define TIMEOUT .min = 1, .max = DUR_DAY

const struct conf_row conf__rows[] = {
	{"node", &conf__name, NULL, LIVE(node), .max = 48,
	 .help = "Name of this node, in X-Cache, Cache-Status and statistics. Default: the host name up to the first dot."},
	{"role", &conf__enum, "edge", START(role), .choice = "edge|parent",
	 .help = "What this node is in its cluster: an `edge` serves clients, a `parent` serves edges."},
	{"loops", &conf__loops, "auto", START(loops), .min = 1, .max = 64,
	 .help = "Event loops, a thread each. `auto`: the cores that the process may use, at most 4 on an edge."},
	{"state", &conf__folder, NULL, START(state),
	 .help = "Folder for the CA, remembered names and the control socket. Default: `/var/lib/pmcache` for root where it "
		 "exists, else `$XDG_STATE_HOME/pmcache`, else `~/.local/state/pmcache`."},
	{"control", &conf__kept_path, "control.sock", START(control), .max = 107,
	 .help = "Unix socket of `pmcachectl`; everything that changes something goes through it."},

	{"listen.proxy", &conf__addresses, "[\"127.0.0.1:8080\"]", START(listen.proxy),
	 .help = "Where the plain proxy listens; CONNECT passes through as a blind tunnel. On a parent nowhere, unless given."},
	{"listen.bump", &conf__addresses, "[\"127.0.0.1:8081\"]", START(listen.bump),
	 .help = "Where the proxy listens that opens TLS with its own CA, so that https can be cached. On a parent "
		 "nowhere, unless given."},
	{"listen.admin", &conf__addresses, "[\"127.0.0.1:8082\"]", START(listen.admin),
	 .help = "Where health, metrics, statistics and the CA's certificate can be read over HTTP, under an address, localhost, the "
		 "name in `node` or the machine's. `[]`: nowhere."},
	{"listen.cluster", &conf__addresses, NULL, START(listen.cluster),
	 .help = "One address for the other nodes, TCP and UDP. Default: `\"0.0.0.0:8083\"` in a cluster, else none."},
	{"listen.http2", &conf__later, "off", .help = "HTTP/2 on the listeners comes with a later version"},

	{"bump.ca.cert", &conf__kept_path, "ca.crt", START(ca.cert),
	 .help = "Certificate of the bumping CA, PEM; may be a chain, the signing one first. Made when missing."},
	{"bump.ca.key", &conf__kept_path, "ca.key", START(ca.key), .help = "Its private key, PEM. Made when missing."},
	{"bump.ca.name", &conf__text, NULL, START(ca.name), .max = 64,
	 .help = "Common name of a CA that is made. Default: `pmcache CA of` and the node's name."},
	{"bump.ca.life", &conf__duration, "3650d", START(ca.life), .min = DUR_DAY, .max = 36500 * DUR_DAY,
	 .help = "Life of a CA that is made, in whole days."},
	{"bump.ca.permit_dns", &conf__domains, "[]", START(ca.permit_dns),
	 .help = "A CA that is made can sign only for these domains and the names below them (name constraints). `[]`: no such "
		 "limit."},
	{"bump.certificate", &conf__enum, "sni", LIVE(bump.certificate), .choice = "sni|origin",
	 .help = "What a leaf for a host seen for the first time is made from: the name that the client asks for (`sni`), or the "
		 "origin's own certificate, fetched before the client is answered (`origin`): by a parent where there is one, which "
		 "has 300 ms, then it is the name again."},
	{"bump.only", &conf__hosts, "[]", LIVE(bump.only), .help = "Bump these hosts only. `[]`: all."},
	{"bump.splice", &conf__hosts, "[]", LIVE(bump.splice),
	 .help = "Never bump these hosts, pass their bytes on blindly: for clients that pin certificates. Wins over `bump.only`."},
	{"bump.others", &conf__enum, "tunnel", LIVE(bump.refuse_others), .choice = "tunnel|refuse",
	 .help = "What becomes of hosts that `bump.only` leaves out."},

	{"upstream.ca_file", &conf__read_path, "system", LIVE(upstream.ca_file), .none = "system",
	 .help = "PEM file of CAs to trust besides the system's. `system`: none besides."},
	{"upstream.hosts_file", &conf__read_path, "\"\"", LIVE(upstream.hosts_file), .none = "",
	 .help = "Addresses of own names, in the format of /etc/hosts, asked before it."},
	{"upstream.proxy", &conf__proxy, "\"\"", LIVE(upstream),
	 .help = "Proxy through which everything leaves. Not subject to `access.deny_to`."},
	{"upstream.proxy_credentials", &conf__secret_path, "\"\"", LIVE(upstream.proxy_credentials_file), .none = "",
	 .help = "File with `user:password` for that proxy."},
	{"upstream.no_proxy", &conf__hosts, "[]", LIVE(upstream.no_proxy), .help = "Hosts asked without that proxy."},
	{"upstream.connect_timeout", &conf__duration, "10s", LIVE(upstream.connect_timeout), TIMEOUT,
	 .help = "Longest wait for a connection to a server, names resolved and all addresses tried."},
	{"upstream.tls_timeout", &conf__duration, "15s", LIVE(upstream.tls_timeout), TIMEOUT,
	 .help = "Longest TLS handshake with a server, from first to last byte."},
	{"upstream.first_byte_timeout", &conf__duration, "60s", LIVE(upstream.first_byte_timeout), TIMEOUT,
	 .help = "Longest wait for the head of an answer."},
	{"upstream.read_timeout", &conf__duration, "60s", LIVE(upstream.read_timeout), TIMEOUT,
	 .help = "Longest silence within the body of an answer."},

	{"cache.memory.size", &conf__size, "1GB", LIVE(cache.memory_size), .min = MB, .max = 16 * TB,
	 .help = "Memory for stored responses, with all that belongs to them."},
	{"cache.memory.max_object", &conf__size, "4MB", LIVE(cache.memory_max_object), .max = 16 * TB,
	 .help = "Largest body kept in memory. Larger ones go to the tier on disk while they come; without one they are passed on."},
	{"cache.memory.policy", &conf__enum, "gdsf", LIVE(cache.memory_policy), .choice = "gdsf|lru|lfuda|sieve",
	 .help = "Who is evicted first. `gdsf`: what is large and seldom asked for; `lfuda`: what is seldom asked for; `lru`: what "
		 "was not asked for lately; `sieve`: what was not asked for since the last round. docs/policies.md compares them."},
	{"cache.disk.path", &conf__kept_path, "\"\"", START(disk_path), .max = 4000, .none = "",
	 .help = "Folder of the tier on disk, where what was stored survives a restart. `\"\"`: none."},
	{"cache.disk.size", &conf__size, "10GB", LIVE(cache.disk_size), .min = MB, .max = 1024 * TB,
	 .help = "Room for it. What is seldom asked for is evicted first (LFUDA)."},
	{"cache.disk.min_free", &conf__percent, "5%", LIVE(cache.disk_min_free_percent), .max = 99,
	 .help = "So much of its file system is left free, also while something is written."},
	{"cache.disk.scrub_interval", &conf__duration, "7d", LIVE(cache.disk_scrub_interval), .max = 3650 * DUR_DAY,
	 .help = "So long after the last one, all that is on the disk is read in the background and its sums checked. `0s`: only by "
		 "`pmcachectl scrub`."},
	{"cache.disk.scrub_rate", &conf__size, "8MB", LIVE(cache.disk_scrub_rate), .max = TB,
	 .help = "Of this, so much a second. `0`: as fast as it goes."},
	{"cache.max_object", &conf__size, "10GB", LIVE(cache.max_object), .max = 1024 * TB,
	 .help = "Largest body stored at all. Larger ones are passed on."},
	{"cache.read_ahead", &conf__size, "1MB", LIVE(cache.read_ahead), .min = 16 * KB, .max = GB,
	 .help = "How far the fetch of a body that is not stored may be ahead of its slowest reader."},
	{"cache.quick_abort.min", &conf__size, "16KB", LIVE(cache.quick_abort_min), .max = 1024 * TB,
	 .help = "When all clients have left: finish a fetch that lacks no more than this. Immutable files are finished in any case "
		 "that lacks no more than 1GB."},
	{"cache.quick_abort.max", &conf__size, "16KB", LIVE(cache.quick_abort_max), .max = 1024 * TB,
	 .help = "Give up a fetch that lacks more than this."},
	{"cache.quick_abort.percent", &conf__percent, "95%", LIVE(cache.quick_abort_percent), .max = 100,
	 .help = "Between the two: finish when this much is there."},
	{"cache.authorized", &conf__enum, "credential", LIVE(cache.authorized), .choice = "credential|rfc",
	 .help = "Whom a response to a request with Authorization may serve: credentials that the origin has accepted too "
		 "(`credential`), or whom RFC 9111 section 3.5 allows (`rfc`)."},
	{"cache.offline", &conf__bool, "off", LIVE(cache.offline),
	 .help = "Answer from the cache only, stale or not, and never ask an origin."},
	{"cache.stale_patience", &conf__duration, "5s", LIVE(cache.stale_patience), TIMEOUT,
	 .help = "Who can be given something stale when the origin fails gets it after so long, if no answer has come; the fetch goes on."},
	{"cache.recall", &conf__enum, "warn", LIVE(cache.recall), .choice = "keep|warn|quarantine",
	 .help = "What becomes of an immutable file that its origin has removed or changed since: served all the same without a question "
		 "(`keep`), or with `detail=recalled` and a warning (`warn`), or forgotten (`quarantine`)."},
	{"cache.recall_after", &conf__duration, "7d", LIVE(cache.recall_after), .min = DUR_SECOND,
	 .max = 3650 * DUR_DAY,
	 .help = "An immutable file is asked for again in the background when it is used and the origin was not asked for so long."},
	{"cache.targeted", &conf__later, "[]",
	 .help = "targeted Cache-Control fields (RFC 9213) come with a later version"},
	{"cache.classes", &conf__classes, "[]", LIVE(cache),
	 .help = "Rules asked before the built-in ones, the first that fits decides: `immutable` stays fresh for good, `mutable` "
		 "for `ttl` where the origin says nothing, `pass` is never stored."},

	{"limits.request_header", &conf__size, "64KB", LIVE(limits.request_header), .min = KB, .max = MB,
	 .help = "Longest head of a request. Beyond: 431."},
	{"limits.request_body", &conf__size, "0", LIVE(limits.request_body), .max = 1024 * TB,
	 .help = "Longest body of a request. Beyond: 413. `0`: no limit."},
	{"limits.reply_body", &conf__size, "0", LIVE(limits.reply_body), .max = 1024 * TB,
	 .help = "Longest body of an answer. Beyond: 502. `0`: no limit."},
	{"limits.connections", &conf__count, "20000", LIVE(limits.connections), .min = 1, .max = 1000000,
	 .help = "Client connections at a time."},
	{"limits.header_timeout", &conf__duration, "60s", LIVE(limits.header_timeout), TIMEOUT,
	 .help = "Longest time for a client to send a head or to finish its handshake."},
	{"limits.idle_timeout", &conf__duration, "2m", LIVE(limits.idle_timeout), TIMEOUT,
	 .help = "How long a connection without a request is kept."},
	{"limits.stall_timeout", &conf__duration, "60s", LIVE(limits.stall_timeout), TIMEOUT,
	 .help = "How long a client may take no byte of an answer, or send none of its body."},

	{"access.clients", &conf__nets, "[\"127.0.0.0/8\", \"::1\"]", LIVE(access.clients), .filled = true,
	 .help = "Who may use the proxy."},
	{"access.hosts", &conf__hosts, "[]", LIVE(access.hosts), .help = "Which origins may be asked. `[]`: any."},
	{"access.safe_ports", &conf__ports, "[80, 443, \"1025-65535\"]", LIVE(access.safe_ports), .filled = true,
	 .help = "Ports of origins for requests other than CONNECT."},
	{"access.connect_ports", &conf__ports, "[443]", LIVE(access.connect_ports),
	 .help = "Ports that CONNECT may name. `[]`: no CONNECT at all."},
	{"access.deny_to", &conf__deny, "[loopback, link_local, unspecified, multicast]", LIVE(access),
	 .help = "Addresses never connected to, checked on the address itself after its name was resolved. This node's own "
		 "listeners are denied in any case."},
	{"access.purge", &conf__nets, "[]", LIVE(access.purge),
	 .help = "Who may send PURGE to a proxy port. `[]`: nobody."},

	{"headers.via", &conf__bool, "off", LIVE(headers.via), .help = "Add Via to requests and answers."},
	{"headers.forwarded_for", &conf__bool, "off", LIVE(headers.forwarded_for),
	 .help = "Add X-Forwarded-For to requests. What a client sent there is dropped either way."},

	{"log.access.path", &conf__kept_path, "access.log", START(access_log.path), .none = "off",
	 .help = "Access log. `off`: none."},
	{"log.access.format", &conf__enum, "squid", START(access_log.format), .choice = "squid|json",
	 .help = "Squid's native format, or an object of JSON per line."},
	{"log.access.headers", &conf__bool, "off", LIVE(log.headers),
	 .help = "Also the heads of request and answer. Credentials and cookies are masked."},
	{"log.access.query", &conf__bool, "off", LIVE(log.query),
	 .help = "Also the query of URLs. Signatures in it are masked."},
	{"log.access.queries", &conf__count, "100", LIVE(log.queries), .max = 100000,
	 .help = "Also what other nodes of the cluster ask by datagram (UDP_HIT, UDP_MISS, ...): so many lines a second, as many as in ten "
		 "seconds at once; what is left out is counted. `0`: none."},
	{"log.access.keep", &conf__count, "5", START(access_log.keep), .max = 1000,
	 .help = "Old files kept at SIGUSR1. `0`: only open the file anew, somebody else has moved it."},
	{"log.level", &conf__enum, "info", START(log_level), .live = true, .choice = "error|warning|notice|info|debug",
	 .help = "What the node itself says on standard error."},

	{"admin.show_urls", &conf__bool, "off", LIVE(admin.show_urls),
	 .help = "The page, /recent.json and /objects.json also show URLs, and client addresses of recent failures, to whoever reaches "
		 "`listen.admin`."},

	{"cluster.name", &conf__node_name, "\"\"", START(cluster.name), .none = "",
	 .help = "The cluster that this node is in; `docs/cluster.md` tells how to make one. `\"\"`: none, and the settings below have "
		 "no meaning. In a cluster `node` is applied at a restart."},
	{"cluster.cert", &conf__kept_path, "node.crt", START(cluster.cert),
	 .help = "Certificate of this node, PEM, for its name, its role and this cluster. What is in this file and the next two is "
		 "read again at a reload."},
	{"cluster.key", &conf__kept_path, "node.key", START(cluster.key),
	 .help = "Its private key, PEM, for its owner alone."},
	{"cluster.ca", &conf__kept_path, "cluster-ca.crt", START(cluster.ca),
	 .help = "Certificate of the CA whose certificates the other nodes have. Not the CA that bumps."},
	{"cluster.peer_keys", &conf__secrets, "{}", LIVE(cluster.peer_keys),
	 .help = "Secrets that all nodes share, by which they know each other's datagrams. Up to 8, so that they can be changed without "
		 "a gap."},
	{"cluster.active_key", &conf__count, "0", LIVE(cluster.active_key), .max = 127,
	 .help = "The id of the one that seals what this node sends; any of them opens. `0`: the only one there is."},
	{"cluster.salt", &conf__kept_secret, "\"file:salt\"", START(cluster.salt_path),
	 .help = "File with a line of 32 to 64 characters, the same on all nodes, that the keys of stored responses are made with."},
	{"cluster.purge_public", &conf__kept_path, "\"\"", START(cluster.purge_public), .none = "",
	 .help = "Public key of those who may purge the whole cluster, PEM. `\"\"`: nobody may."},
	{"cluster.purge_key", &conf__kept_secret, "\"\"", START(cluster.purge_key), .none = "",
	 .help = "The private one, PEM, where such purges may be started: on parents, not on edges."},
	{"cluster.trust", &conf__enum, NULL, LIVE(cluster.trust), .choice = "verified|attested|any",
	 .help = "Whose word is enough to take a body from a sibling: that of the URL or an index about its digest (`verified`), also "
		 "the parent's (`attested`), also the sibling's own (`any`). Default: `attested` on a parent and where parents are "
		 "listed, else `any`."},
	{"cluster.lookup", &conf__enum, "auto", LIVE(cluster.lookup), .choice = "auto|all|home",
	 .help = "Which siblings are asked: `all`, or the two that keep the directory for the key (`home`). `auto`: all up to 16 nodes, "
		 "homes from 20."},
	{"cluster.siblings", &conf__siblings, "[]", LIVE(cluster.siblings),
	 .help = "Nodes to share with. This node itself is left out, so that all may have the same list."},
	{"cluster.parents", &conf__parents, "[]", LIVE(cluster.parents),
	 .help = "Nodes to ask before the origin. A parent that is in the list itself does not ask the others, it is one of them."},
	{"cluster.discover", &conf__domain, "\"\"", LIVE(cluster.discover), .none = "",
	 .help = "Name of SRV records whose targets are nodes, besides those listed. `\"\"`: none."},
	{"cluster.learn", &conf__bool, "on", LIVE(cluster.learn),
	 .help = "Ask the parents who else is in the cluster, so that nodes come and go without a change of files."},
	{"cluster.tunnels", &conf__bool, "on", LIVE(cluster.tunnels),
	 .help = "Pass through the parents also what is not opened: CONNECT of the plain proxy and of spliced hosts."},
	{"cluster.on_parent_failure", &conf__enum, "direct", LIVE(cluster.on_parent_failure),
	 .choice = "direct|stale|fail",
	 .help = "When no parent answers: ask the origin (`direct`), or answer from the cache, stale or not (`stale`), or fail."},
	{"cluster.direct_limit", &conf__count, "8", LIVE(cluster.direct_limit), .min = 1, .max = 10000,
	 .help = "Then, requests at a time to one origin host."},
	{"cluster.dgram_max", &conf__count, "1200", START(cluster.dgram_max), .min = 512, .max = 1400,
	 .help = "Bytes of the largest datagram that is sent."},
	{"cluster.zone", &conf__count, "0", START(cluster.zone), .max = 65535,
	 .help = "Number of the place where this node stands, told to the others."},
};

const size_t conf__n_rows = sizeof(conf__rows) / sizeof(conf__rows[0]);

_Static_assert(sizeof(conf__rows) / sizeof(conf__rows[0]) <= CONF_MAX_ROWS, "CONF_MAX_ROWS is too small");

void *conf__field(struct conf *c, const struct conf_row *row)
{
	return (row->in_policy ? (char *)c->policy : (char *)c) + row->offset;
}

const struct conf_row *conf__find(const char *key)
{
	for (size_t i = 0; i < conf__n_rows; i++)
		if (strcmp(conf__rows[i].key, key) == 0)
			return &conf__rows[i];
	return NULL;
}

bool conf__is_section(const char *key)
{
	size_t n = strlen(key);

	for (size_t i = 0; i < conf__n_rows; i++)
		if (strncmp(conf__rows[i].key, key, n) == 0 && conf__rows[i].key[n] == '.')
			return true;
	return false;
}

/* Levenshtein's distance; both texts are shorter than CONF_MAX_KEY. */
static unsigned distance(const char *a, struct span b)
{
	unsigned row[CONF_MAX_KEY + 1];

	for (size_t j = 0; j <= b.n; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; *a; i++, a++) {
		unsigned corner = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b.n; j++) {
			unsigned best = corner + (*a != b.p[j - 1]);

			corner = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[b.n];
}

static const char *last_word(const char *key)
{
	const char *dot = strrchr(key, '.');

	return dot ? dot + 1 : key;
}

/* The only row whose last word is this key's: a right name in the wrong place. */
static struct span misplaced(const char *key)
{
	struct span found = SPAN_NONE;

	for (size_t i = 0; i < conf__n_rows; i++) {
		if (strcmp(last_word(conf__rows[i].key), last_word(key)) != 0)
			continue;
		if (found.p)
			return SPAN_NONE;
		found = span_str(conf__rows[i].key);
	}
	return found;
}

struct span conf__nearest(const char *key)
{
	struct span best = SPAN_NONE;
	unsigned least = (unsigned)strlen(key) / 4 + 2; /* further off it is a guess, not a slip */

	if (strlen(key) >= CONF_MAX_KEY)
		return SPAN_NONE;
	for (size_t i = 0; i < conf__n_rows; i++) {
		const char *known = conf__rows[i].key;

		/* Sections are keys too: "log" and "log.access" come before "log.access.path". */
		for (size_t n = 1; n <= strlen(known); n++) {
			unsigned d;

			if (known[n] != '.' && known[n] != '\0')
				continue;
			d = distance(key, span_of(known, n));
			if (d < least) {
				least = d;
				best = span_of(known, n);
			}
		}
	}
	return best.p ? best : misplaced(key);
}
