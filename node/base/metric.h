/* metric: counters, as one table, one row per loop, summed when read.
 *
 * Only the loop that owns a row adds to it (relaxed, no lock); any thread may read. Columns: name as it will be exported,
 * then what it counts. Gauges are counters that also go down. */
#ifndef NODE_BASE_METRIC_H
#define NODE_BASE_METRIC_H

#include <stdatomic.h>
#include <stdint.h>

#define METRIC_TABLE(X)                                                                                                \
	X(CONNECTIONS, "connections_total", "client connections accepted")                                             \
	X(CONNECTIONS_NOW, "connections", "client connections open now (gauge)")                                       \
	X(CONNECTIONS_REFUSED, "connections_refused_total", "connections refused by limits or access.clients")         \
	X(REQUESTS, "requests_total", "requests answered")                                                             \
	X(HITS_MEMORY, "hits_memory_total", "answers from memory")                                                     \
	X(HITS_DISK, "hits_disk_total", "answers from disk")                                                           \
	X(DISK_LOADS, "disk_loads_total", "stored responses brought back from disk into memory")                       \
	X(HITS_JOINED, "hits_joined_total", "answers from a fetch that another request had begun")                     \
	X(HITS_REVALIDATED, "hits_revalidated_total", "answers from cache after the origin said 304")                  \
	X(HITS_STALE, "hits_stale_total", "stale answers, the origin being unreachable")                               \
	X(HITS_SLOW, "hits_slow_total", "of these, because it took longer than cache.stale_patience")                  \
	X(HITS_WHILE_REVALIDATED, "hits_while_revalidated_total", "stale answers, asked again in the background")      \
	X(HITS_SIBLING, "hits_sibling_total", "answers from a sibling that had the whole")                             \
	X(STREAMS_SIBLING, "streams_sibling_total", "answers from a sibling that was still fetching it itself")        \
	X(HITS_PARENT, "hits_parent_total", "answers that a parent had stored")                                        \
	X(JOINS_PARENT, "joins_parent_total", "answers from a fetch of a parent that another had begun")               \
	X(MISSES_PARENT, "misses_parent_total", "answers that a parent fetched")                                       \
	X(MISSES, "misses_total", "answers fetched from origins and eligible to be stored")                            \
	X(BYPASSES, "bypasses_total", "answers that could not come from the cache (method, pass, private)")            \
	X(ERRORS, "errors_total", "answers that this node made because something failed")                              \
	X(DENIED, "denied_total", "requests that access rules refused")                                                \
	X(TUNNELS, "tunnels_total", "CONNECTs passed on blindly")                                                      \
	X(BUMPS, "bumps_total", "TLS handshakes with clients finished under a minted leaf")                            \
	X(BUMPS_RESUMED, "bumps_resumed_total", "of these, resumed by ticket")                                         \
	X(TLS_CLIENT_REJECTED, "tls_client_rejected_total", "clients that did not trust the CA")                       \
	X(CHILD_REQUESTS, "child_requests_total", "requests of other nodes answered as their parent")                  \
	X(CHILD_HITS, "child_hits_total", "of these, from the cache or a fetch under way")                             \
	X(BYTES_TO_CHILDREN, "child_bytes_sent_total", "bytes of answers sent to them, heads included")                \
	X(BYTES_TO_CLIENTS, "client_bytes_sent_total", "bytes of answers sent to clients, heads included")             \
	X(BYTES_FROM_CLIENTS, "client_bytes_received_total", "bytes of request bodies")                                \
	X(BYTES_FROM_CACHE, "cache_bytes_sent_total", "body bytes that came from the cache")                           \
	X(UPSTREAM_REQUESTS, "upstream_requests_total", "requests sent to origins")                                    \
	X(UPSTREAM_FETCHES, "upstream_fetches_total", "of these, for answers that may be stored")                      \
	X(UPSTREAM_FETCHED_BYTES, "upstream_fetched_bytes_total", "body bytes received for these")                     \
	X(UPSTREAM_BYTES, "upstream_bytes_received_total", "body bytes received from origins")                         \
	X(UPSTREAM_FAILURES, "upstream_failures_total", "upstream requests that failed")                               \
	X(UPSTREAM_HELD_BACK, "upstream_held_back_total", "fetches of stored things put off: their host is failing")   \
	X(UPSTREAM_WAITS, "upstream_waits_total", "requests that waited for a trial of a host that is down")           \
	X(UPSTREAM_DESPITE_PAUSE, "upstream_despite_pause_total",                                                      \
	  "requests for what is not stored, sent although the host had said Retry-After")                              \
	X(HOSTS_HELD_BACK, "hosts_held_back", "hosts that are failing or have asked for a pause (gauge)")              \
	X(OFFLINE, "offline", "1 while no origin is asked: cache.offline or pmcachectl offline (gauge)")               \
	X(RECALL_CHECKS, "recall_checks_total", "immutable responses asked for again in the background")               \
	X(RECALLED, "recalled_total", "of these, gone or changed at their origin")                                     \
	X(UPSTREAM_RETRIES, "upstream_retries_total", "requests sent again because an idle link had died")             \
	X(UPSTREAM_LINKS, "upstream_links_total", "connections made to origins")                                       \
	X(UPSTREAM_LINKS_REUSED, "upstream_links_reused_total", "requests sent on a pooled link")                      \
	X(UPSTREAM_TLS_RESUMED, "upstream_tls_resumed_total", "upstream TLS handshakes resumed")                       \
	X(SIBLING_BYTES, "sibling_bytes_received_total", "body bytes received from siblings")                          \
	X(PARENT_BYTES, "parent_bytes_received_total", "body bytes received from parents")                             \
	X(INTEGRITY_FAILURES, "integrity_failures_total", "bodies that did not fit their length or digest")            \
	X(INTEGRITY_PATH, "integrity_failures_path_total", "of these, by a digest in the path")                        \
	X(INTEGRITY_DIGEST, "integrity_failures_digest_total", "of these, by Repr-Digest, Content-Digest or Digest")   \
	X(INTEGRITY_CONTENT_MD5, "integrity_failures_content_md5_total", "of these, by Content-MD5")                   \
	X(INTEGRITY_X_CHECKSUM, "integrity_failures_x_checksum_total", "of these, by X-Checksum-Sha1 and the like")    \
	X(INTEGRITY_PACOTE, "integrity_failures_pacote_total", "of these, by the client's pacote-integrity")           \
	X(INTEGRITY_SIBLING, "integrity_failures_sibling_total", "of these, bodies from siblings")                     \
	X(DENIED_BODIES, "denied_bodies_total", "bodies held back because their digest is on the deny-list")           \
	X(LOOKUP_AUDITS, "lookup_audits_total", "misses that a parent served, asked once more of all members")         \
	X(LOOKUP_AUDITS_FOUND, "lookup_audits_found_total", "of these, held by a sibling after all: false misses")     \
	X(HOMES_TOLD, "homes_told_total", "objects that came or went without a question, told to their homes")         \
	X(HOMES_UNTOLD, "homes_untold_total", "of these, left out: too many at a time")                                \
	X(SCRUBBED, "scrubbed_total", "objects on disk that a scrub has read")                                         \
	X(SCRUB_DAMAGED, "scrub_damaged_total", "of these, damaged: moved to quarantine")                              \
	X(STORED, "stored_total", "responses stored")                                                                  \
	X(EVICTED, "evicted_total", "stored responses evicted to make room")                                           \
	X(PURGED, "purged_total", "stored responses purged")                                                           \
	X(LOG_DROPPED, "log_lines_dropped_total", "access log lines dropped because the file was too slow")            \
	X(LOG_QUERIES_LEFT_OUT, "log_queries_left_out_total",                                                          \
	  "questions of other nodes left out of the access log, being more than log.access.queries a second")

enum metric {
#define X(id, name, what) METRIC_##id,
	METRIC_TABLE(X)
#undef X
		METRIC_COUNT
};

/* One loop's row. */
struct metrics {
	_Atomic uint64_t v[METRIC_COUNT];
};

/* A zeroed row on cache lines of its own: no loop waits for another one's counting. free() it. */
struct metrics *metrics_new(void);

static inline void metric_add(struct metrics *m, enum metric id, uint64_t n)
{
	uint64_t was = atomic_load_explicit(&m->v[id], memory_order_relaxed);

	atomic_store_explicit(&m->v[id], was + n, memory_order_relaxed); /* one writer: no locked instruction needed */
}

static inline void metric_sub(struct metrics *m, enum metric id, uint64_t n)
{
	metric_add(m, id, (uint64_t)0 - n);
}

/* For what is counted elsewhere and shown here. */
static inline void metric_set(struct metrics *m, enum metric id, uint64_t n)
{
	atomic_store_explicit(&m->v[id], n, memory_order_relaxed);
}

static inline uint64_t metric_read(const struct metrics *m, enum metric id)
{
	return atomic_load_explicit(&m->v[id], memory_order_relaxed);
}

const char *metric_name(enum metric);
const char *metric_help(enum metric);

#endif
