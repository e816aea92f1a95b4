#include "proto/httpdate.h"

#define SECONDS_A_DAY 86400

static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char days[] = "MonTueWedThuFriSatSun";
static const char *const long_days[] = {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"};

struct date {
	int year, month /* 0 to 11 */, day, hour, minute, second;
};

/* Days from 1970-01-01 to this one, in the Gregorian calendar. Years begin in March, so that the leap day is the
 * last. */
static int64_t days_of(const struct date *d)
{
	int64_t y = d->month < 2 ? d->year - 1 : d->year;
	int64_t era = (y >= 0 ? y : y - 399) / 400, of_era = y - era * 400;
	int64_t of_year = (153 * ((d->month + 10) % 12) + 2) / 5 + d->day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_of_days(int64_t n, struct date *out)
{
	int64_t z = n + 719468, era = (z >= 0 ? z : z - 146096) / 146097, of_era = z - era * 146097;
	int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * year + year / 4 - year / 100), month = (5 * of_year + 2) / 153;

	out->day = (int)(of_year - (153 * month + 2) / 5 + 1);
	out->month = (int)(month + 2) % 12;
	out->year = (int)(year + era * 400 + (out->month < 2));
}

static int days_in(const struct date *d)
{
	static const int length[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = d->year % 4 == 0 && (d->year % 100 != 0 || d->year % 400 == 0);

	return length[d->month] + (leap && d->month == 1);
}

/* Exactly n digits; -1 otherwise. */
static int digits(const char *p, int n)
{
	int v = 0;

	for (int i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return -1;
		v = v * 10 + (p[i] - '0');
	}
	return v;
}

/* Which of the names of three letters p begins with; -1. */
static int name_at(const char *p, const char *names)
{
	for (int i = 0; names[3 * i]; i++)
		if (memcmp(p, names + 3 * i, 3) == 0)
			return i;
	return -1;
}

/* "08:49:37" */
static bool read_time(const char *p, struct date *out)
{
	out->hour = digits(p, 2);
	out->minute = digits(p + 3, 2);
	out->second = digits(p + 6, 2);
	return p[2] == ':' && p[5] == ':' && out->hour >= 0 && out->hour < 24 && out->minute >= 0 && out->minute < 60 &&
	       out->second >= 0 && out->second <= 60;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
static bool read_fixdate(struct span s, struct date *out)
{
	if (s.n != HTTPDATE_BYTES || name_at(s.p, days) < 0 || memcmp(s.p + 3, ", ", 2) != 0 || s.p[7] != ' ' ||
	    s.p[11] != ' ' || s.p[16] != ' ' || memcmp(s.p + 25, " GMT", 4) != 0)
		return false;
	out->day = digits(s.p + 5, 2);
	out->month = name_at(s.p + 8, months);
	out->year = digits(s.p + 12, 4);
	return read_time(s.p + 17, out);
}

/* "Sun Nov  6 08:49:37 1994" */
static bool read_asctime(struct span s, struct date *out)
{
	if (s.n != 24 || name_at(s.p, days) < 0 || s.p[3] != ' ' || s.p[7] != ' ' || s.p[10] != ' ' || s.p[19] != ' ')
		return false;
	out->month = name_at(s.p + 4, months);
	out->day = s.p[8] == ' ' ? digits(s.p + 9, 1) : digits(s.p + 8, 2);
	out->year = digits(s.p + 20, 4);
	return read_time(s.p + 11, out);
}

static int year_of(wall_ms now)
{
	struct date d;

	date_of_days(now / 1000 / SECONDS_A_DAY, &d);
	return d.year < 0 ? 0 : d.year > 9999 ? 9999 : d.year;
}

/* "Sunday, 06-Nov-94 08:49:37 GMT" */
static bool read_rfc850(struct span s, wall_ms now, struct date *out)
{
	size_t comma = span_find(s, ',');
	bool named = false;
	int this_year, year;
	const char *p;

	if (s.n - comma != 24)
		return false;
	for (size_t i = 0; i < sizeof(long_days) / sizeof(long_days[0]); i++)
		named = named || span_eq(span_upto(s, comma), span_str(long_days[i]));
	p = s.p + comma;
	if (!named || p[1] != ' ' || p[4] != '-' || p[8] != '-' || p[11] != ' ' || memcmp(p + 20, " GMT", 4) != 0)
		return false;
	out->day = digits(p + 2, 2);
	out->month = name_at(p + 5, months);
	year = digits(p + 9, 2);
	if (year < 0)
		return false;
	this_year = year_of(now);
	out->year = this_year - this_year % 100 + year;
	if (out->year > this_year + 50)
		out->year -= 100;
	return read_time(p + 12, out);
}

int httpdate_parse(struct span s, wall_ms now, wall_ms *out)
{
	struct date d;

	*out = HTTPDATE_NONE;
	if (!read_fixdate(s, &d) && !read_asctime(s, &d) && !read_rfc850(s, now, &d))
		return -1;
	if (d.year < 0 || d.month < 0 || d.day < 1 || d.day > days_in(&d))
		return -1;
	*out = 1000 * (days_of(&d) * SECONDS_A_DAY + d.hour * 3600 + d.minute * 60 + d.second);
	return 0;
}

static void put_digits(char *p, int n, int v)
{
	while (n--) {
		p[n] = (char)('0' + v % 10);
		v /= 10;
	}
}

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

#define FIRST_SECOND (-62167219200) /* 0000-01-01 */
#define LAST_SECOND 253402300799    /* 9999-12-31 23:59:59 */

void httpdate_format(wall_ms t, char out[HTTPDATE_BYTES])
{
	int64_t s = floor_div(t, 1000), day;
	struct date d;
	int of_day;

	s = s < FIRST_SECOND ? FIRST_SECOND : s > LAST_SECOND ? LAST_SECOND : s;
	day = floor_div(s, SECONDS_A_DAY);
	of_day = (int)(s - day * SECONDS_A_DAY);
	date_of_days(day, &d);
	memcpy(out, "Sun, 00 Jan 0000 00:00:00 GMT", HTTPDATE_BYTES);
	memcpy(out, days + 3 * (((day + 3) % 7 + 7) % 7), 3); /* 1970-01-01 was a Thursday */
	put_digits(out + 5, 2, d.day);
	memcpy(out + 8, months + (size_t)(3 * d.month), 3);
	put_digits(out + 12, 4, d.year);
	put_digits(out + 17, 2, of_day / 3600);
	put_digits(out + 20, 2, of_day / 60 % 60);
	put_digits(out + 23, 2, of_day % 60);
}
