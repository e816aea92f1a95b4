#include "peer/peer_querylog.h"

#include "node/base/span.h"

#define AT_ONCE_S 10
#define KEY_TEXT_BYTES (sizeof("key:") + 2 * PEERMSG_KEY_BYTES)

static enum accesslog_result result_of(const struct peer_asked *a)
{
	static const enum accesslog_result by_status[PEERMSG_STATUSES] = {
		[PEERMSG_MISS] = ACCESSLOG_UDP_MISS,         [PEERMSG_HIT] = ACCESSLOG_UDP_HIT,
		[PEERMSG_PENDING] = ACCESSLOG_UDP_HIT,       [PEERMSG_NOFETCH] = ACCESSLOG_UDP_MISS_NOFETCH,
		[PEERMSG_DENIED] = ACCESSLOG_UDP_DENIED,     [PEERMSG_STALE] = ACCESSLOG_UDP_HIT,
		[PEERMSG_BUSY] = ACCESSLOG_UDP_MISS_NOFETCH, [PEERMSG_VARY] = ACCESSLOG_UDP_MISS,
		[PEERMSG_LOCATED] = ACCESSLOG_UDP_MISS,      [PEERMSG_GRANT] = ACCESSLOG_UDP_MISS,
		[PEERMSG_INTENDED] = ACCESSLOG_UDP_MISS,
	};

	return a->is_invalid ? ACCESSLOG_UDP_INVALID : by_status[a->said];
}

static bool may_write(struct peer_querylog *q, mono_us now)
{
	double most = (double)q->a_second * AT_ONCE_S;

	q->bucket = q->at ? q->bucket + (double)(now - q->at) * q->a_second / 1e6 : most;
	if (q->bucket > most)
		q->bucket = most;
	q->at = now;
	if (q->bucket < 1) {
		q->left_out++;
		return false;
	}
	q->bucket -= 1;
	return true;
}

static struct span key_text(const struct peermsg_key *key, char text[KEY_TEXT_BYTES])
{
	struct buf b = buf_over(text, KEY_TEXT_BYTES);

	buf_put(&b, SPAN("key:"));
	buf_put_hex(&b, key->b, PEERMSG_KEY_BYTES);
	return buf_span(&b);
}

void peer_querylog_put(struct peer_querylog *q, const struct peer_asked *a, mono_us now, wall_ms wall)
{
	enum accesslog_result result = result_of(a);
	char client[ADDR_TEXT_BYTES], key[KEY_TEXT_BYTES];
	struct accesslog_line line;
	struct head *head = NULL;

	if (!q->log || q->a_second == 0 || !accesslog_is_on(q->log) || !may_write(q, now))
		return;
	addr_format_ip(&a->asker->addr, client);
	line = (struct accesslog_line){
		.end = wall,
		.elapsed = a->took / 1000,
		.client = client,
		.result = result,
		.bytes = a->bytes,
		.method = SPAN("ICP_QUERY"),
		.hier = ACCESSLOG_HIER_NONE,
		.node = span_str(a->asker->name),
	};
	if (!a->is_invalid) {
		line.answer = span_str(peermsg_status_word(a->said));
		line.url = key_text(&a->key, key);
	}
	if (result == ACCESSLOG_UDP_HIT)
		head = index_peek_head(q->index, a->key.b, &a->variant);
	if (head && head_url(head).n)
		line.url = head_url(head);
	accesslog_put(q->log, &line);
	head_unref(&head);
}
