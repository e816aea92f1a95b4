#include "node/ctl/ctl_when.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "node/ctl/ctl.h"

#define MOST_AGO 100000 /* of any unit */

static int ago(struct span s, wall_ms now, wall_ms *out)
{
	static const struct {
		char letter;
		dur_ms unit;
	} units[] = {{'s', DUR_SECOND}, {'m', DUR_MINUTE}, {'h', DUR_HOUR}, {'d', DUR_DAY}, {'w', 7 * DUR_DAY}};
	uint64_t n;

	if (s.n < 2 || span_to_u64(span_upto(s, s.n - 1), &n) != 0 || n > MOST_AGO)
		return -1;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (s.p[s.n - 1] != units[i].letter)
			continue;
		*out = now - (wall_ms)n * units[i].unit;
		return 0;
	}
	return -1;
}

/* Exactly n digits, a number up to `most`. */
static bool take(struct span *s, size_t n, int most, int *out)
{
	uint64_t v;

	if (s->n < n || span_to_u64(span_upto(*s, n), &v) != 0 || v > (uint64_t)most)
		return false;
	*out = (int)v;
	*s = span_from(*s, n);
	return true;
}

static bool skip(struct span *s, char c)
{
	if (!s->n || s->p[0] != c)
		return false;
	*s = span_from(*s, 1);
	return true;
}

/* "21:30" or "21:30:15" */
static bool take_clock(struct span *s, struct tm *t)
{
	if (!take(s, 2, 23, &t->tm_hour) || !skip(s, ':') || !take(s, 2, 59, &t->tm_min))
		return false;
	return !skip(s, ':') || take(s, 2, 60, &t->tm_sec);
}

static bool take_date(struct span *s, struct tm *t)
{
	if (!take(s, 4, 9999, &t->tm_year) || !skip(s, '-') || !take(s, 2, 12, &t->tm_mon) || !skip(s, '-') ||
	    !take(s, 2, 31, &t->tm_mday) || t->tm_year < 1970 || t->tm_mon < 1 || t->tm_mday < 1)
		return false;
	t->tm_year -= 1900;
	t->tm_mon -= 1;
	return true;
}

static int today(struct span s, wall_ms now, wall_ms *out)
{
	time_t seconds = (time_t)(now / 1000);
	struct tm t;

	localtime_r(&seconds, &t);
	t.tm_sec = 0;
	t.tm_isdst = -1;
	if (!take_clock(&s, &t) || s.n)
		return -1;
	*out = (wall_ms)mktime(&t) * 1000;
	if (*out > now) {
		t.tm_mday--;
		t.tm_isdst = -1;
		*out = (wall_ms)mktime(&t) * 1000;
	}
	return 0;
}

static int date(struct span s, wall_ms *out)
{
	struct tm t = {.tm_isdst = -1};
	int ms = 0;

	if (!take_date(&s, &t))
		return -1;
	if ((skip(&s, 'T') || skip(&s, ' ')) && !take_clock(&s, &t))
		return -1;
	if (skip(&s, '.') && !take(&s, 3, 999, &ms))
		return -1;
	if (skip(&s, 'Z')) {
		t.tm_isdst = 0;
		*out = (wall_ms)timegm(&t) * 1000 + ms;
	} else {
		*out = (wall_ms)mktime(&t) * 1000 + ms;
	}
	return s.n ? -1 : 0;
}

int ctl_when_parse(const char *text, wall_ms now, wall_ms *out)
{
	struct span s = span_str(text);
	uint64_t seconds;

	if (skip(&s, '@')) {
		if (span_to_u64(s, &seconds) != 0 || seconds > INT64_MAX / 1000)
			return -1;
		*out = (wall_ms)seconds * 1000;
		return 0;
	}
	if (ago(s, now, out) == 0 || today(s, now, out) == 0)
		return 0;
	return date(s, out);
}

int ctl_when_parse_json(struct span s, wall_ms *out)
{
	return s.n == 24 && s.p[10] == 'T' && s.p[19] == '.' && s.p[23] == 'Z' ? date(s, out) : -1;
}

int ctl_when_option(const char *option, const char *text, wall_ms *out)
{
	if (ctl_when_parse(text, clock_wall(&clock_system), out) == 0)
		return 0;
	ctl_say("%s \"%s\" is no time: 15m, 2h, 3d, 21:30, 2026-11-23, 2026-11-23T21:30, @1795441498", option, text);
	return -1;
}
