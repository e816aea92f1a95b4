/* The types of settings: how each is read from YAML, written as YAML, and freed. */
#include "node/conf/conf_internal.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "node/base/check.h"
#include "node/base/mem.h"

#define SHOWN "%.60s" /* a value in an error text */

/* ---- what many types need ---- */

/* The text of a scalar; NULL after having said that it is none. */
static const char *scalar(const struct conf_row *row, const struct conf_yaml *y, struct conf_errors *e)
{
	if (y->kind != CONF_YAML_SCALAR) {
		conf__say(e, y->line, row->key, "a single value is expected, not a %s",
			  y->kind == CONF_YAML_MAP ? "map" : "list");
		return NULL;
	}
	if (conf_yaml_is_null(y)) {
		conf__say(e, y->key ? y->key_line : y->line, row->key, "no value; leave the key out for the default%s",
			  row->none ? ", or write \"\" for none" : "");
		return NULL;
	}
	return y->text;
}

/* As scalar, refusing control characters; "" only where `may_be_empty`. */
static const char *clean_text(const struct conf_row *row, const struct conf_yaml *y, bool may_be_empty,
			      struct conf_errors *e)
{
	const char *text = scalar(row, y, e);

	if (!text)
		return NULL;
	for (const char *p = text; *p; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f) {
			conf__say(e, y->line, row->key, "control characters are not allowed");
			return NULL;
		}
	}
	if (!*text && !may_be_empty) {
		conf__say(e, y->line, row->key, "must not be empty");
		return NULL;
	}
	return text;
}

/* A list's first element, or the scalar itself, which stands for a list of one. -1: a map, told. An empty text is an empty
 * list. */
static int elements(const struct conf_row *row, const struct conf_yaml *y, const struct conf_yaml **first,
		    struct conf_errors *e)
{
	*first = NULL;
	if (y->kind == CONF_YAML_LIST) {
		*first = y->first;
	} else if (y->kind == CONF_YAML_MAP) {
		conf__say(e, y->line, row->key, "a list is expected, not a map");
		return -1;
	} else {
		if (!scalar(row, y, e))
			return -1;
		*first = y->text[0] ? y : NULL;
	}
	if (!*first && row->filled) {
		conf__say(e, y->line, row->key, "must not be empty");
		return -1;
	}
	return 0;
}

/* The element after this one; a scalar standing for a list has none, although it may have a next key. */
static const struct conf_yaml *after(const struct conf_yaml *list, const struct conf_yaml *el)
{
	return el == list ? NULL : el->next;
}

static void store(const struct conf_row *row, void *field, uint64_t v)
{
	switch (row->width) {
	case 1:
		*(uint8_t *)field = (uint8_t)v;
		return;
	case 4:
		*(uint32_t *)field = (uint32_t)v;
		return;
	case 8:
		*(uint64_t *)field = v;
		return;
	}
	check_failed(__FILE__, __LINE__, __func__, row->key);
}

static uint64_t load(const struct conf_row *row, const void *field)
{
	switch (row->width) {
	case 1:
		return *(const uint8_t *)field;
	case 4:
		return *(const uint32_t *)field;
	case 8:
		return *(const uint64_t *)field;
	}
	check_failed(__FILE__, __LINE__, __func__, row->key);
}

static void fini_text(void *field)
{
	free(*(char **)field);
	*(char **)field = NULL;
}

static void replace_text(void *field, const char *text)
{
	fini_text(field);
	*(char **)field = text ? span_dup(span_str(text)) : NULL;
}

/* ---- numbers ---- */

struct unit {
	const char *word;
	uint64_t factor;
};

/* Largest first: the first that divides a value is the one it is written in. */
static const struct unit sizes[] = {
	{"TB", 1ull << 40},  {"GB", 1ull << 30},  {"MB", 1ull << 20},  {"KB", 1ull << 10}, {"TiB", 1ull << 40},
	{"GiB", 1ull << 30}, {"MiB", 1ull << 20}, {"KiB", 1ull << 10}, {"B", 1},           {NULL, 0}};
static const struct unit durations[] = {{"d", DUR_DAY},    {"h", DUR_HOUR}, {"m", DUR_MINUTE},
					{"s", DUR_SECOND}, {"ms", 1},       {NULL, 0}};
static const struct unit no_units[] = {{NULL, 0}};
static const struct unit percents[] = {{"%", 1}, {NULL, 0}};

/* "4 MB". Factor 1 without unit, if `bare` allows that. */
static int number_of(const char *text, const struct unit *units, bool bare, uint64_t *out)
{
	size_t digits = strspn(text, "0123456789");
	struct span word = span_trim(span_from(span_str(text), digits));
	uint64_t v, factor = 0;

	if (span_to_u64(span_of(text, digits), &v) < 0)
		return -1;
	if (word.n == 0 && (bare || v == 0))
		factor = 1;
	for (; !factor && units->word; units++)
		if (span_eq_icase(word, span_str(units->word)))
			factor = units->factor;
	if (!factor || v > INT64_MAX / factor)
		return -1;
	*out = v * factor;
	return 0;
}

static void print_number(uint64_t v, const struct unit *units, FILE *out)
{
	while (units->word && (v == 0 || v % units->factor))
		units++;
	if (units->word && units->factor > 1)
		fprintf(out, "%llu%s", (unsigned long long)(v / units->factor), units->word);
	else
		fprintf(out, "%llu", (unsigned long long)v);
}

/* 0 needs no unit; other milliseconds always have one. */
static void print_duration(uint64_t v, FILE *out)
{
	if (v % DUR_SECOND)
		fprintf(out, "%llums", (unsigned long long)v);
	else
		print_number(v, durations, out);
}

static int in_bounds(const struct conf_row *row, const struct conf_yaml *y, uint64_t v, void (*print)(uint64_t, FILE *),
		     struct conf_errors *e)
{
	char text[96];
	FILE *out;

	if (v >= row->min && v <= row->max)
		return 0;
	out = fmemopen(text, sizeof(text), "w");
	CHECK_THAT(out);
	print(row->min, out);
	fputs(" to ", out);
	print(row->max, out);
	fclose(out);
	conf__say(e, y->line, row->key, "\"" SHOWN "\" is out of bounds; allowed is %s", y->text, text);
	return -1;
}

static void print_plain(uint64_t v, FILE *out)
{
	print_number(v, no_units, out);
}

static void print_size(uint64_t v, FILE *out)
{
	print_number(v, sizes, out);
}

static void print_percent(uint64_t v, FILE *out)
{
	fprintf(out, "%llu%%", (unsigned long long)v);
}

static int parse_number(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e,
			const struct unit *units, bool bare, void (*print)(uint64_t, FILE *), const char *example)
{
	const char *text = scalar(row, y, e);
	uint64_t v;

	if (!text)
		return -1;
	if (number_of(text, units, bare, &v) < 0) {
		conf__say(e, y->line, row->key, "\"" SHOWN "\" is not %s", text, example);
		return -1;
	}
	if (in_bounds(row, y, v, print, e) < 0)
		return -1;
	store(row, field, v);
	return 0;
}

static int parse_count(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	return parse_number(row, y, field, e, no_units, true, print_plain, "a whole number");
}

static int parse_size(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	return parse_number(row, y, field, e, sizes, true, print_size,
			    "a size, such as 64KB, 4 MB, 1GB or plain bytes");
}

static int parse_duration(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	return parse_number(row, y, field, e, durations, false, print_duration,
			    "a duration, such as 500ms, 10s, 2m, 1h or 1d");
}

static int parse_percent(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	return parse_number(row, y, field, e, percents, true, print_percent, "a percentage, such as 95 or 95%");
}

static void format_count(const struct conf_row *row, const void *field, FILE *out)
{
	print_plain(load(row, field), out);
}

static void format_size(const struct conf_row *row, const void *field, FILE *out)
{
	print_size(load(row, field), out);
}

static void format_duration(const struct conf_row *row, const void *field, FILE *out)
{
	print_duration(load(row, field), out);
}

static void format_percent(const struct conf_row *row, const void *field, FILE *out)
{
	print_percent(load(row, field), out);
}

static int parse_loops(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	if (y->kind == CONF_YAML_SCALAR && span_eq_icase(span_str(y->text), SPAN("auto"))) {
		store(row, field, 0);
		return 0;
	}
	return parse_number(row, y, field, e, no_units, true, print_plain, "auto or a whole number");
}

static void format_loops(const struct conf_row *row, const void *field, FILE *out)
{
	uint64_t v = load(row, field);

	if (v)
		print_plain(v, out);
	else
		fputs("auto", out);
}

/* ---- words ---- */

static int parse_bool(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	static const char *const words[][2] = {{"off", "on"}, {"no", "yes"}, {"false", "true"}};
	const char *text = scalar(row, y, e);

	if (!text)
		return -1;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		for (size_t v = 0; v < 2; v++) {
			if (span_eq_icase(span_str(text), span_str(words[i][v]))) {
				store(row, field, v);
				return 0;
			}
		}
	}
	conf__say(e, y->line, row->key, "\"" SHOWN "\" is neither on nor off", text);
	return -1;
}

static void format_bool(const struct conf_row *row, const void *field, FILE *out)
{
	fputs(load(row, field) ? "on" : "off", out);
}

/* The place of a word in "a|b|!c", with the part itself; -1 when it is not there. */
static int choice_of(const char *choice, struct span word, struct span *part)
{
	struct span rest = span_str(choice);

	for (int i = 0; span_cut(&rest, '|', part); i++) {
		struct span bare = part->p[0] == '!' ? span_from(*part, 1) : *part;

		if (span_eq_icase(bare, word))
			return i;
	}
	return -1;
}

static void print_choices(const char *choice, FILE *out)
{
	struct span rest = span_str(choice), part;
	bool first = true;

	while (span_cut(&rest, '|', &part)) {
		if (part.p[0] == '!')
			continue;
		fprintf(out, "%s%.*s", first ? "" : rest.p && rest.p[0] != '!' ? ", " : " or ", SPAN_ARG(part));
		first = false;
	}
}

static int parse_word(const struct conf_row *row, const struct conf_yaml *y, const char *choice, unsigned *out,
		      struct conf_errors *e)
{
	const char *text = scalar(row, y, e);
	char words[120] = "";
	struct span part;
	FILE *list;
	int i;

	if (!text)
		return -1;
	i = choice_of(choice, span_str(text), &part);
	if (i >= 0 && part.p[0] != '!') {
		*out = (unsigned)i;
		return 0;
	}
	list = fmemopen(words, sizeof(words), "w");
	CHECK_THAT(list);
	print_choices(choice, list);
	fclose(list);
	if (i >= 0)
		conf__say(e, y->line, row->key, "%s is not in this version; it knows %s", text, words);
	else
		conf__say(e, y->line, row->key, "\"" SHOWN "\" is not known; it can be %s", text, words);
	return -1;
}

static int parse_enum(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	unsigned v;

	if (parse_word(row, y, row->choice, &v, e) < 0)
		return -1;
	store(row, field, v);
	return 0;
}

static struct span choice_at(const char *choice, uint64_t n)
{
	struct span rest = span_str(choice), part = SPAN_NONE;

	while (span_cut(&rest, '|', &part) && n--)
		;
	return part;
}

static void format_enum(const struct conf_row *row, const void *field, FILE *out)
{
	fprintf(out, "%.*s", SPAN_ARG(choice_at(row->choice, load(row, field))));
}

/* ---- texts and paths ---- */

static int parse_text(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	const char *text = clean_text(row, y, row->none != NULL, e);

	if (!text)
		return -1;
	if (row->max && strlen(text) > row->max) {
		conf__say(e, y->line, row->key, "longer than %llu bytes", (unsigned long long)row->max);
		return -1;
	}
	if (row->none && (!*text || strcmp(text, row->none) == 0))
		text = NULL;
	replace_text(field, text);
	return 0;
}

static void format_text(const struct conf_row *row, const void *field, FILE *out)
{
	const char *text = *(char *const *)field;

	conf__format_text(text ? text : row->none ? row->none : "", out);
}

static int parse_name(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
	const char *text = clean_text(row, y, false, e);
	size_t n;

	if (!text)
		return -1;
	n = strlen(text);
	if (n > row->max || strspn(text, letters) != n) {
		conf__say(e, y->line, row->key,
			  "\"" SHOWN "\" is not a name of at most %llu letters, digits, '.', '-' and '_'", text,
			  (unsigned long long)row->max);
		return -1;
	}
	replace_text(field, text);
	return 0;
}

/* "file:PATH" and PATH mean the same: a secret itself never stands in the configuration. */
static int parse_secret_path(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	const char *text = clean_text(row, y, true, e);

	if (!text)
		return -1;
	if (strncmp(text, "file:", 5) == 0)
		text += 5;
	replace_text(field, *text ? text : NULL);
	return 0;
}

/* ---- lists ---- */

static void print_list_start(FILE *out)
{
	putc('[', out);
}

static void print_separator(size_t i, FILE *out)
{
	if (i)
		fputs(", ", out);
}

static void print_list_end(FILE *out)
{
	putc(']', out);
}

/* Lower case, without brackets and trailing dot, an IPv6 address as inet_ntop writes it (policy.h). NULL: no such thing. */
static char *pattern_of(const char *text, bool wildcards)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789.-_";
	struct span s = span_str(text), name;
	char room[INET6_ADDRSTRLEN];
	struct in6_addr in6;
	char *p;

	if (s.n >= 2 && s.p[0] == '[' && s.p[s.n - 1] == ']')
		s = span_of(s.p + 1, s.n - 2);
	else if (s.n > 1 && s.p[s.n - 1] == '.')
		s.n--;
	if (s.n == 0 || s.n > 253)
		return NULL;
	p = span_dup(s);
	for (char *c = p; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c + ('a' - 'A'));
	if (inet_pton(AF_INET6, p, &in6) == 1) {
		free(p);
		return span_dup(span_str(inet_ntop(AF_INET6, &in6, room, sizeof(room))));
	}
	name = span_str(p);
	if (wildcards && span_eq(name, SPAN("*")))
		return p;
	if (wildcards && span_starts(name, SPAN("*.")))
		name = span_from(name, 2);
	if (name.n && name.p[0] != '.' && !strstr(name.p, "..") && strspn(name.p, letters) == name.n)
		return p;
	free(p);
	return NULL;
}

static bool is_address(const char *text)
{
	uint8_t room[16];

	return inet_pton(AF_INET, text, room) == 1 || inet_pton(AF_INET6, text, room) == 1;
}

static void fini_hosts(void *field)
{
	policy_hosts_fini(field);
}

static int parse_patterns(const struct conf_row *row, const struct conf_yaml *y, struct policy_hosts *hosts,
			  bool wildcards, struct conf_errors *e)
{
	struct policy_hosts got = {0};
	const struct conf_yaml *el;
	int rc = elements(row, y, &el, e);

	for (; el; el = after(y, el)) {
		const char *text = scalar(row, el, e);
		char *pattern = text ? pattern_of(text, wildcards) : NULL;

		if (pattern && !wildcards && is_address(pattern)) {
			free(pattern);
			pattern = NULL;
		}
		if (text && !pattern)
			conf__say(e, el->line, row->key, "\"" SHOWN "\" is not %s", text,
				  wildcards ? "a host name, \"*.name\" or an address" : "a host name");
		if (!pattern) {
			rc = -1;
			continue;
		}
		got.v = mem_realloc(got.v, (got.n + 1) * sizeof(*got.v));
		got.v[got.n++] = pattern;
	}
	policy_hosts_fini(rc < 0 ? &got : hosts);
	if (rc == 0)
		*hosts = got;
	return rc;
}

static int parse_hosts(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	return parse_patterns(row, y, field, true, e);
}

static int parse_domains(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	return parse_patterns(row, y, field, false, e);
}

static void format_hosts(const struct conf_row *row, const void *field, FILE *out)
{
	const struct policy_hosts *l = field;

	(void)row;
	print_list_start(out);
	for (size_t i = 0; i < l->n; i++) {
		print_separator(i, out);
		conf__format_text(l->v[i], out);
	}
	print_list_end(out);
}

static bool has_host_bits(const struct policy_net *net)
{
	for (unsigned bit = net->bits; bit < 128; bit++)
		if (net->addr[bit / 8] & (0x80 >> bit % 8))
			return true;
	return false;
}

/* "10.0.0.0/8", "::1". NULL, or what is wrong with it. */
static const char *net_of(const char *text, struct policy_net *net)
{
	struct span rest = span_str(text), part;
	char addr[INET6_ADDRSTRLEN];
	uint64_t bits;
	unsigned most = 128;

	*net = (struct policy_net){{[10] = 0xff, [11] = 0xff}, 128};
	if (!span_cut(&rest, '/', &part) || part.n >= sizeof(addr))
		return "is not an address or a range such as 10.0.0.0/8";
	memcpy(addr, part.p, part.n);
	addr[part.n] = '\0';
	if (inet_pton(AF_INET, addr, net->addr + 12) == 1)
		most = 32;
	else if (inet_pton(AF_INET6, addr, net->addr) != 1)
		return "is not an address or a range such as 10.0.0.0/8";
	if (!rest.p)
		return NULL;
	if (span_to_u64(rest, &bits) < 0 || bits > most)
		return most == 32 ? "has no length from /0 to /32" : "has no length from /0 to /128";
	net->bits = (unsigned)bits + 128 - most;
	return has_host_bits(net) ? "has bits set behind its length" : NULL;
}

static void print_net(const struct policy_net *net, FILE *out)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	bool is_v4 = net->bits >= 96 && memcmp(net->addr, mapped, 12) == 0;
	unsigned bits = is_v4 ? net->bits - 96 : net->bits, most = is_v4 ? 32 : 128;
	char addr[INET6_ADDRSTRLEN];

	CHECK_THAT(inet_ntop(is_v4 ? AF_INET : AF_INET6, net->addr + (is_v4 ? 12 : 0), addr, sizeof(addr)));
	if (bits == most)
		fprintf(out, "\"%s\"", addr);
	else
		fprintf(out, "\"%s/%u\"", addr, bits);
}

static void add_net(struct policy_nets *l, const struct policy_net *net)
{
	l->v = mem_realloc(l->v, (l->n + 1) * sizeof(*l->v));
	l->v[l->n++] = *net;
}

/* One address range of a list, after having said what is wrong with it. */
static int parse_net(const struct conf_row *row, const struct conf_yaml *el, struct policy_nets *l, const char *hint,
		     struct conf_errors *e)
{
	const char *text = scalar(row, el, e), *wrong;
	struct policy_net net;

	if (!text)
		return -1;
	wrong = net_of(text, &net);
	if (wrong) {
		conf__say(e, el->line, row->key, "\"" SHOWN "\" %s%s", text, wrong, hint);
		return -1;
	}
	add_net(l, &net);
	return 0;
}

static int parse_nets(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	struct policy_nets got = {0}, *nets = field;
	const struct conf_yaml *el;
	int rc = elements(row, y, &el, e);

	for (; el; el = after(y, el))
		if (parse_net(row, el, &got, "", e) < 0)
			rc = -1;
	policy_nets_fini(rc < 0 ? &got : nets);
	if (rc == 0)
		*nets = got;
	return rc;
}

static void format_nets(const struct conf_row *row, const void *field, FILE *out)
{
	const struct policy_nets *l = field;

	(void)row;
	print_list_start(out);
	for (size_t i = 0; i < l->n; i++) {
		print_separator(i, out);
		print_net(&l->v[i], out);
	}
	print_list_end(out);
}

static int ports_of(const char *text, uint64_t *from, uint64_t *to)
{
	struct span rest = span_str(text), part;

	if (!span_cut(&rest, '-', &part) || span_to_u64(span_trim(part), from) < 0)
		return -1;
	*to = *from;
	if (rest.p && span_to_u64(span_trim(rest), to) < 0)
		return -1;
	return *from >= 1 && *to <= 65535 && *from <= *to ? 0 : -1;
}

static int parse_ports(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	struct policy_ports got = {0}, *ports = field;
	const struct conf_yaml *el;
	int rc = elements(row, y, &el, e);

	for (; el; el = after(y, el)) {
		const char *text = scalar(row, el, e);
		uint64_t from, to;

		if (!text || ports_of(text, &from, &to) < 0) {
			if (text)
				conf__say(e, el->line, row->key,
					  "\"" SHOWN "\" is not a port from 1 to 65535 or a range such as 1025-65535",
					  text);
			rc = -1;
			continue;
		}
		got.v = mem_realloc(got.v, (got.n + 1) * sizeof(*got.v));
		got.v[got.n].from = (uint16_t)from;
		got.v[got.n++].to = (uint16_t)to;
	}
	policy_ports_fini(rc < 0 ? &got : ports);
	if (rc == 0)
		*ports = got;
	return rc;
}

static void format_ports(const struct conf_row *row, const void *field, FILE *out)
{
	const struct policy_ports *l = field;

	(void)row;
	print_list_start(out);
	for (size_t i = 0; i < l->n; i++) {
		print_separator(i, out);
		if (l->v[i].from == l->v[i].to)
			fprintf(out, "%u", l->v[i].from);
		else
			fprintf(out, "\"%u-%u\"", l->v[i].from, l->v[i].to);
	}
	print_list_end(out);
}

/* ---- access.deny_to: words and ranges, into several fields of struct policy_access ---- */

static const struct {
	const char *word;
	size_t offset;
} deny_words[] = {
	{"loopback", offsetof(struct policy_access, deny_loopback)},
	{"link_local", offsetof(struct policy_access, deny_link_local)},
	{"unspecified", offsetof(struct policy_access, deny_unspecified)},
	{"multicast", offsetof(struct policy_access, deny_multicast)},
	{"private", offsetof(struct policy_access, deny_private)},
};

#define N_DENY_WORDS (sizeof(deny_words) / sizeof(deny_words[0]))

static bool *deny_flag(const struct policy_access *a, size_t i)
{
	return (bool *)((char *)a + deny_words[i].offset);
}

static bool set_deny_word(struct policy_access *a, const char *text)
{
	for (size_t i = 0; i < N_DENY_WORDS; i++) {
		if (span_eq_icase(span_str(text), span_str(deny_words[i].word))) {
			*deny_flag(a, i) = true;
			return true;
		}
	}
	return false;
}

static int parse_deny(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	struct policy_access *a = field, got = {0};
	const struct conf_yaml *el;
	int rc = elements(row, y, &el, e);

	for (; el; el = after(y, el)) {
		if (el->kind == CONF_YAML_SCALAR && set_deny_word(&got, el->text))
			continue;
		if (parse_net(row, el, &got.deny_to, ", nor loopback, link_local, unspecified, multicast or private",
			      e) < 0)
			rc = -1;
	}
	policy_nets_fini(rc < 0 ? &got.deny_to : &a->deny_to);
	if (rc < 0)
		return -1;
	a->deny_to = got.deny_to;
	for (size_t i = 0; i < N_DENY_WORDS; i++)
		*deny_flag(a, i) = *deny_flag(&got, i);
	return 0;
}

static void format_deny(const struct conf_row *row, const void *field, FILE *out)
{
	const struct policy_access *a = field;
	size_t n = 0;

	(void)row;
	print_list_start(out);
	for (size_t i = 0; i < N_DENY_WORDS; i++) {
		if (!*deny_flag(a, i))
			continue;
		print_separator(n++, out);
		fputs(deny_words[i].word, out);
	}
	for (size_t i = 0; i < a->deny_to.n; i++) {
		print_separator(n++, out);
		print_net(&a->deny_to.v[i], out);
	}
	print_list_end(out);
}

/* ---- addresses to listen on ---- */

static int port_of(struct span text, uint16_t *port)
{
	uint64_t v;

	if (span_to_u64(text, &v) < 0 || v > 65535)
		return -1;
	*port = (uint16_t)v;
	return 0;
}

/* "127.0.0.1:8080", "[::1]:8080". */
static int address_of(const char *text, struct conf_address *a)
{
	const char *colon = strrchr(text, ':');
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	char host[INET6_ADDRSTRLEN];
	struct span s;
	uint16_t port;

	if (!colon || port_of(span_str(colon + 1), &port) < 0)
		return -1;
	s = span_of(text, (size_t)(colon - text));
	*a = (struct conf_address){0};
	if (s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']' && s.n - 2 < sizeof(host)) {
		memcpy(host, s.p + 1, s.n - 2);
		host[s.n - 2] = '\0';
		if (inet_pton(AF_INET6, host, &in6.sin6_addr) != 1)
			return -1;
		in6.sin6_port = htons(port);
		memcpy(&a->addr, &in6, sizeof(in6));
		a->addr_len = sizeof(in6);
		return 0;
	}
	if (s.n >= sizeof(host))
		return -1;
	memcpy(host, s.p, s.n);
	host[s.n] = '\0';
	if (inet_pton(AF_INET, host, &in.sin_addr) != 1)
		return -1;
	in.sin_port = htons(port);
	memcpy(&a->addr, &in, sizeof(in));
	a->addr_len = sizeof(in);
	return 0;
}

static void fini_addresses(void *field)
{
	struct conf_addresses *l = field;

	for (size_t i = 0; i < l->n; i++)
		free(l->v[i].text);
	free(l->v);
	*l = (struct conf_addresses){0};
}

static int parse_addresses(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	struct conf_addresses got = {0}, *l = field;
	const struct conf_yaml *el;
	int rc = elements(row, y, &el, e);

	for (; el; el = after(y, el)) {
		const char *text = scalar(row, el, e);
		struct conf_address a;

		if (!text || address_of(text, &a) < 0) {
			if (text)
				conf__say(e, el->line, row->key,
					  "\"" SHOWN
					  "\" is not ADDRESS:PORT in numbers, such as 127.0.0.1:8080 or [::1]:8080",
					  text);
			rc = -1;
			continue;
		}
		a.text = span_dup(span_str(text));
		got.v = mem_realloc(got.v, (got.n + 1) * sizeof(*got.v));
		got.v[got.n++] = a;
	}
	fini_addresses(rc < 0 ? &got : l);
	if (rc == 0)
		*l = got;
	return rc;
}

static void format_addresses(const struct conf_row *row, const void *field, FILE *out)
{
	const struct conf_addresses *l = field;

	(void)row;
	print_list_start(out);
	for (size_t i = 0; i < l->n; i++) {
		print_separator(i, out);
		conf__format_text(l->v[i].text, out);
	}
	print_list_end(out);
}

/* ---- upstream.proxy, into two fields of struct policy_upstream ---- */

static int proxy_of(const char *text, char **host, uint16_t *port)
{
	struct span s = span_str(text);
	const char *colon = strrchr(text, ':');

	if (!span_starts_icase(s, SPAN("http://")))
		return -1;
	s = span_from(s, 7);
	if (s.n && s.p[s.n - 1] == '/')
		s.n--;
	if (colon < s.p || port_of(span_of(colon + 1, (size_t)(s.p + s.n - colon - 1)), port) < 0 || *port == 0)
		return -1;
	s.n = (size_t)(colon - s.p);
	if (span_find(s, ':') < s.n && s.p[0] != '[')
		return -1; /* an IPv6 address needs its brackets, else its end is a guess */
	*host = span_dup(s);
	return 0;
}

static int parse_proxy(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	const char *text = clean_text(row, y, true, e);
	struct policy_upstream *u = field;
	char *host = NULL, *pattern = NULL;
	uint16_t port = 0;

	if (!text)
		return -1;
	if (strchr(text, '@')) { /* not shown: it may be a password */
		conf__say(
			e, y->line, row->key,
			"credentials do not belong here; write them into a file and name it in upstream.proxy_credentials");
		return -1;
	}
	if (*text) {
		if (proxy_of(text, &host, &port) == 0)
			pattern = pattern_of(host, false);
		free(host);
		if (!pattern) {
			conf__say(e, y->line, row->key, "\"" SHOWN "\" is not http://HOST:PORT", text);
			return -1;
		}
	}
	free(u->proxy_host);
	u->proxy_host = pattern;
	u->proxy_port = port;
	return 0;
}

static void format_proxy(const struct conf_row *row, const void *field, FILE *out)
{
	const struct policy_upstream *u = field;
	bool is_v6 = u->proxy_host && strchr(u->proxy_host, ':');

	(void)row;
	if (u->proxy_host)
		fprintf(out, "\"http://%s%s%s:%u\"", is_v6 ? "[" : "", u->proxy_host, is_v6 ? "]" : "", u->proxy_port);
	else
		fputs("\"\"", out);
}

/* ---- cache.classes ---- */

static const char class_words[] = "immutable|mutable|pass";

enum { RULE_HOST, RULE_PATH, RULE_CLASS, RULE_TTL, N_RULE_KEYS };

static const char *const rule_keys[N_RULE_KEYS] = {"host", "path", "class", "ttl"};

static int rule_glob(const struct conf_row *row, const struct conf_yaml *y, bool is_path, char **out,
		     struct conf_errors *e)
{
	const char *text = clean_text(row, y, false, e);

	if (!text)
		return -1;
	if (is_path && text[0] != '/' && text[0] != '*') {
		conf__say(e, y->line, row->key, "path \"" SHOWN "\" begins neither with / nor with *", text);
		return -1;
	}
	if (!is_path && strpbrk(text, ":/[] ")) {
		conf__say(e, y->line, row->key, "host \"" SHOWN "\" is a name without scheme and port", text);
		return -1;
	}
	*out = span_dup(span_str(text));
	return 0;
}

static int rule_value(const struct conf_row *row, const struct conf_yaml *y, int which, struct policy_class_rule *r,
		      struct conf_errors *e)
{
	static const struct conf_row ttl = {
		.key = "cache.classes", .width = sizeof(r->ttl), .min = DUR_SECOND, .max = 365 * DUR_DAY};
	unsigned class;

	switch (which) {
	case RULE_HOST:
		return rule_glob(row, y, false, &r->host, e);
	case RULE_PATH:
		return rule_glob(row, y, true, &r->path, e);
	case RULE_CLASS:
		if (parse_word(row, y, class_words, &class, e) < 0)
			return -1;
		r->class = (enum policy_class) class;
		return 0;
	default:
		return parse_duration(&ttl, y, &r->ttl, e);
	}
}

static int rule_key(const char *key)
{
	for (int i = 0; i < N_RULE_KEYS; i++)
		if (strcmp(key, rule_keys[i]) == 0)
			return i;
	return -1;
}

/* Fills r, which the caller frees also when it is wrong. */
static int parse_rule(const struct conf_row *row, const struct conf_yaml *y, struct policy_class_rule *r,
		      struct conf_errors *e)
{
	bool seen[N_RULE_KEYS] = {false};
	unsigned before = e->count;

	if (y->kind != CONF_YAML_MAP) {
		conf__say(e, y->line, row->key, "each rule is a map such as {path: \"*.whl\", class: immutable}");
		return -1;
	}
	for (const struct conf_yaml *v = y->first; v && e->count < CONF_MAX_ERRORS; v = v->next) {
		int which = rule_key(v->key);

		if (which < 0) {
			conf__say(e, v->key_line, row->key,
				  "unknown key \"" SHOWN "\" in a rule; it can be host, path, class or ttl", v->key);
		} else if (seen[which]) {
			conf__say(e, v->key_line, row->key, "%s is given twice in one rule", v->key);
		} else {
			seen[which] = true;
			rule_value(row, v, which, r, e);
		}
	}
	if (e->count == before && !seen[RULE_CLASS])
		conf__say(e, y->line, row->key, "a rule needs a class: immutable, mutable or pass");
	if (e->count == before && !seen[RULE_HOST] && !seen[RULE_PATH])
		conf__say(e, y->line, row->key, "a rule needs a host, a path, or both");
	if (e->count == before && seen[RULE_TTL] && r->class != POLICY_CLASS_MUTABLE)
		conf__say(e, y->line, row->key, "ttl has a meaning for class mutable only");
	return e->count == before ? 0 : -1;
}

static int parse_classes(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	struct policy_cache *cache = field;
	struct policy_class_rule *got = NULL;
	size_t n = 0;
	int rc = 0;

	if (y->kind != CONF_YAML_LIST) {
		conf__say(e, y->line, row->key, "a list of rules is expected");
		return -1;
	}
	for (const struct conf_yaml *el = y->first; el; el = el->next) {
		got = mem_realloc(got, (n + 1) * sizeof(*got));
		got[n] = (struct policy_class_rule){0};
		if (parse_rule(row, el, &got[n++], e) < 0)
			rc = -1;
	}
	if (rc < 0) {
		policy_classes_fini(&got, &n);
		return -1;
	}
	policy_classes_fini(&cache->classes, &cache->n_classes);
	cache->classes = got;
	cache->n_classes = n;
	return 0;
}

static void print_rule(const struct policy_class_rule *r, FILE *out)
{
	putc('{', out);
	if (r->host) {
		fputs("host: ", out);
		conf__format_text(r->host, out);
		fputs(", ", out);
	}
	if (r->path) {
		fputs("path: ", out);
		conf__format_text(r->path, out);
		fputs(", ", out);
	}
	fprintf(out, "class: %.*s", SPAN_ARG(choice_at(class_words, r->class)));
	if (r->ttl) {
		fputs(", ttl: ", out);
		print_duration((uint64_t)r->ttl, out);
	}
	putc('}', out);
}

static void format_classes(const struct conf_row *row, const void *field, FILE *out)
{
	const struct policy_cache *cache = field;

	(void)row;
	print_list_start(out);
	for (size_t i = 0; i < cache->n_classes; i++) {
		print_separator(i, out);
		print_rule(&cache->classes[i], out);
	}
	print_list_end(out);
}

/* ---- what a later version will know ---- */

/* Only a value that says what this version does anyway is let through (`standard`, where it has one). */
static int parse_later(const struct conf_row *row, const struct conf_yaml *y, void *field, struct conf_errors *e)
{
	bool is_empty_list = y->kind == CONF_YAML_LIST && !y->first;

	(void)field;
	if (row->standard && is_empty_list && strcmp(row->standard, "[]") == 0)
		return 0;
	if (row->standard && y->kind == CONF_YAML_SCALAR && span_eq_icase(span_str(y->text), span_str(row->standard)))
		return 0;
	conf__say(e, y->key ? y->key_line : y->line, row->key, "not in this version: %s%s%s", row->help,
		  row->standard ? "; can only be " : "; leave it out", row->standard ? row->standard : "");
	return -1;
}

/* ---- the types ---- */

const struct conf_type conf__bool = {
	"switch", "`on` or `off` (also `yes`, `no`, `true`, `false`)", parse_bool, format_bool, NULL, CONF_BASE_NONE};
const struct conf_type conf__count = {"number", "a whole number", parse_count, format_count, NULL, CONF_BASE_NONE};
const struct conf_type conf__loops = {"number or auto", "a whole number, or `auto`", parse_loops, format_loops, NULL,
				      CONF_BASE_NONE};
const struct conf_type conf__size = {"size",     "`64KB`, `4 MB`, `1GB`, `1TB` in powers of 1024, or plain bytes",
				     parse_size, format_size,
				     NULL,       CONF_BASE_NONE};
const struct conf_type conf__duration = {
	"duration", "`500ms`, `10s`, `2m`, `1h`, `1d`", parse_duration, format_duration, NULL, CONF_BASE_NONE};
const struct conf_type conf__percent = {"percentage", "`95` or `95%`", parse_percent, format_percent,
					NULL,         CONF_BASE_NONE};
const struct conf_type conf__enum = {"word", "one of the words given", parse_enum, format_enum, NULL, CONF_BASE_NONE};
const struct conf_type conf__name = {
	"name", "letters, digits, `.`, `-` and `_`", parse_name, format_text, fini_text, CONF_BASE_NONE};
const struct conf_type conf__text = {"text", "any text", parse_text, format_text, fini_text, CONF_BASE_NONE};
const struct conf_type conf__kept_path = {"path below state", "a path; a relative one starts at `state`",
					  parse_text,         format_text,
					  fini_text,          CONF_BASE_STATE};
const struct conf_type conf__read_path = {
	"file",     "a path; a relative one starts at the folder of the configuration file",
	parse_text, format_text,
	fini_text,  CONF_BASE_FILE};
const struct conf_type conf__folder = {
	"folder",   "a path; a relative one starts at the folder of the configuration file",
	parse_text, format_text,
	fini_text,  CONF_BASE_FILE};
const struct conf_type conf__secret_path = {
	"secret file",     "a path, with or without `file:` before it, of a regular file that only its owner can read",
	parse_secret_path, format_text,
	fini_text,         CONF_BASE_FILE};
const struct conf_type conf__hosts = {
	"hosts",     "a list of host names and addresses; `*.name` is every name below, `*` every host",
	parse_hosts, format_hosts,
	fini_hosts,  CONF_BASE_NONE};
const struct conf_type conf__domains = {
	"domains", "a list of host names, without `*`", parse_domains, format_hosts, fini_hosts, CONF_BASE_NONE};
const struct conf_type conf__nets = {"ranges",   "a list of addresses and ranges such as `\"10.0.0.0/8\"`, `\"::1\"`",
				     parse_nets, format_nets,
				     NULL,       CONF_BASE_NONE};
const struct conf_type conf__ports = {"ports",     "a list of ports and ranges: `[443, \"1025-65535\"]`",
				      parse_ports, format_ports,
				      NULL,        CONF_BASE_NONE};
const struct conf_type conf__deny = {
	"words and ranges",
	"a list of `loopback`, `link_local`, `unspecified`, `multicast`, `private`, addresses and ranges",
	parse_deny,
	format_deny,
	NULL,
	CONF_BASE_NONE};
const struct conf_type conf__addresses = {
	"addresses",     "a list of `\"127.0.0.1:8080\"`, `\"[::1]:8080\"`; port 0 is any free one",
	parse_addresses, format_addresses,
	fini_addresses,  CONF_BASE_NONE};
const struct conf_type conf__proxy = {"URL", "`http://HOST:PORT`", parse_proxy, format_proxy, NULL, CONF_BASE_NONE};
const struct conf_type conf__classes = {
	"rules",       "a list of maps with `host` and `path` (globs: `*` any characters, `?` one), `class` and `ttl`",
	parse_classes, format_classes,
	NULL,          CONF_BASE_NONE};
const struct conf_type conf__later = {"later", "not in this version", parse_later, NULL, NULL, CONF_BASE_NONE};
