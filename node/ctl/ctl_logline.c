#include "node/ctl/ctl_logline.h"

#include <string.h>

#include "node/ctl/ctl_json.h"
#include "node/ctl/ctl_when.h"

/* ---- Squid's native format ---- */

static bool is_printable(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ' || s.p[i] > '~')
			return false;
	return true;
}

/* The next field; several spaces are one. Empty at the end. */
static struct span cut_field(struct span *rest)
{
	struct span field;

	*rest = span_trim(*rest);
	field = span_upto(*rest, span_find(*rest, ' '));
	*rest = span_from(*rest, field.n);
	return field;
}

static struct span or_none(struct span s)
{
	return span_eq(s, SPAN("-")) ? SPAN_NONE : s;
}

/* "before/behind", at the first slash. */
static bool cut_pair(struct span s, struct span *before, struct span *behind)
{
	size_t at = span_find(s, '/');

	*before = span_upto(s, at);
	*behind = span_from(s, at + 1);
	return at < s.n;
}

/* "1795441498.122" */
static bool read_time(struct span s, wall_ms *out)
{
	size_t dot = span_find(s, '.');
	uint64_t seconds, ms;

	if (s.n - dot != 4 || dot > 12 || span_to_u64(span_upto(s, dot), &seconds) != 0 ||
	    span_to_u64(span_from(s, dot + 1), &ms) != 0)
		return false;
	*out = (wall_ms)(seconds * 1000 + ms);
	return true;
}

static bool read_native(struct span line, struct ctl_logline *out)
{
	struct span rest = line, status, result, hier, none;
	uint64_t number;

	if (!is_printable(line) || !read_time(cut_field(&rest), &out->time) ||
	    span_to_u64(cut_field(&rest), &out->elapsed_ms) != 0)
		return false;
	out->client = or_none(cut_field(&rest));
	result = cut_field(&rest);
	if (!cut_pair(result, &out->result, &status) || span_to_u64(status, &number) != 0 || number > 999)
		return false;
	out->status = (int)number;
	if (span_to_u64(cut_field(&rest), &out->bytes) != 0)
		return false;
	out->method = or_none(cut_field(&rest));
	out->url = or_none(cut_field(&rest));
	out->user = or_none(cut_field(&rest));
	hier = cut_field(&rest);
	if (!cut_pair(hier, &out->hierarchy, &none))
		return false;
	out->peer = or_none(none);
	out->type = cut_field(&rest);
	if (!out->type.n)
		return false;
	out->type = or_none(out->type);
	return true;
}

/* ---- JSON ---- */

static struct span text_of(struct span object, const char *name, char room[CTL_LOGLINE_FIELD])
{
	return span_str(ctl_json_text(object, name, room, CTL_LOGLINE_FIELD));
}

static bool read_json(struct span line, struct ctl_logline *out)
{
	char time[32];

	if (!ctl_json_is_good(line))
		return false;
	ctl_json_text(line, "time", time, sizeof(time));
	if (ctl_when_parse_json(span_str(time), &out->time) != 0)
		return false;
	out->elapsed_ms = ctl_json_u64(line, "elapsed_ms");
	out->bytes = ctl_json_u64(line, "bytes");
	out->status = (int)(ctl_json_u64(line, "status") % 1000);
	out->client = text_of(line, "client", out->room[0]);
	out->result = text_of(line, "result", out->room[1]);
	out->method = text_of(line, "method", out->room[2]);
	out->url = text_of(line, "url", out->room[3]);
	out->user = text_of(line, "user", out->room[4]);
	out->hierarchy = text_of(line, "hierarchy", out->room[5]);
	out->peer = text_of(line, "peer", out->room[6]);
	out->type = text_of(line, "type", out->room[7]);
	out->digest = text_of(line, "digest", out->room[8]);
	out->id = text_of(line, "id", out->room[9]);
	return true;
}

bool ctl_logline_parse(struct span line, struct ctl_logline *out)
{
	memset(out, 0, offsetof(struct ctl_logline, room));
	return line.n && line.p[0] == '{' ? read_json(line, out) : read_native(line, out);
}
