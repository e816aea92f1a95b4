/* conf_internal: what the files of conf/ share. conf_schema.c has the table; conf_value.c, conf_number.c, conf_text.c,
 * conf_list.c, conf_rule.c and conf_cluster.c the types; conf.c reads; conf_check.c and conf_check_cluster.c look at what belongs
 * together; conf_print.c writes. */
#ifndef NODE_CONF_CONF_INTERNAL_H
#define NODE_CONF_CONF_INTERNAL_H

#include <stdbool.h>
#include <stdio.h>

#include "node/base/span.h"
#include "node/conf/conf.h"
#include "node/conf/conf_yaml.h"

#define CONF_MAX_ERRORS 20
#define CONF_MAX_ROWS 112
#define CONF_MAX_KEY 96 /* bytes of a whole key, "cache.memory.size" */

/* Faults found so far, as text. */
struct conf_errors {
	const char *file;
	struct buf text;
	unsigned count; /* also those beyond CONF_MAX_ERRORS, which are not written */
};

/* Line 0: none to name (a default). Key NULL: none. Control characters in the sentence become '?'. */
__attribute__((format(printf, 4, 5))) void conf__say(struct conf_errors *, unsigned line, const char *key,
						     const char *fmt, ...);

struct conf_row;

/* What relative paths of a type start from. */
enum conf_base { CONF_BASE_NONE, CONF_BASE_STATE, CONF_BASE_FILE };

struct conf_type {
	const char *name, *explain; /* for the reference */
	/* Replaces *field by what the node says. -1: told, *field as it was. */
	int (*parse)(const struct conf_row *, const struct conf_yaml *, void *field, struct conf_errors *);
	/* As YAML on one line. NULL: not dumped. */
	void (*format)(const struct conf_row *, const void *field, FILE *);
	/* Frees what a field of struct conf owns and leaves it empty; struct policy frees its own. NULL: nothing. */
	void (*fini)(void *field);
	enum conf_base base;
	/* Of types with several paths the one at i, NULL behind the last. NULL: the field itself is one path. */
	char **(*path_at)(void *field, size_t i);
};

struct conf_row {
	const char *key;
	const struct conf_type *type;
	const char *standard; /* the default as YAML; NULL: computed (see `help`) */
	bool in_policy;       /* the field is in struct policy, else in struct conf */
	bool live;            /* a reload applies it */
	size_t offset, width;
	uint64_t min, max; /* numbers, in bytes, milliseconds, percent or units */
	const char *
		choice; /* enums: words by value, "sni|origin"; one that begins with '!' is known, but not in this version */
	const char *none; /* texts: the word that stands for NULL */
	bool filled;      /* lists: may not be empty */
	const char *help;
};

extern const struct conf_row conf__rows[];
extern const size_t conf__n_rows;

extern const struct conf_type conf__bool, conf__enum, conf__later;                                 /* conf_value.c */
extern const struct conf_type conf__count, conf__loops, conf__size, conf__duration, conf__percent; /* conf_number.c */
extern const struct conf_type conf__name, conf__node_name, conf__text, conf__domain, conf__kept_path, conf__kept_secret,
	conf__read_path, conf__folder, conf__secret_path; /* conf_text.c */
extern const struct conf_type conf__hosts, conf__domains, conf__nets, conf__ports, conf__deny, conf__addresses,
	conf__proxy;                                                        /* conf_list.c */
extern const struct conf_type conf__classes;                                /* conf_rule.c */
extern const struct conf_type conf__siblings, conf__parents, conf__secrets; /* conf_cluster.c */

void *conf__field(struct conf *, const struct conf_row *);
const struct conf_row *conf__find(const char *key);
/* Is there a row below "key."? */
bool conf__is_section(const char *key);
/* The known key or section nearest to this one; p is NULL when none is near. */
struct span conf__nearest(const char *key);

void conf__format_row(const struct conf *, const struct conf_row *, FILE *);
/* In double quotes, escaped. */
void conf__format_text(const char *text, FILE *);

/* ---- what types need ---- */

#define CONF_SHOWN "%.60s" /* a value in an error text */
#define CONF_NODE_NAME "a name of 1 to 48 letters, digits, '.', '-' and '_' that begins with a letter or digit"

/* The text of a scalar; NULL after having said that it is none. */
const char *conf__scalar(const struct conf_row *, const struct conf_yaml *, struct conf_errors *);
/* As conf__scalar, refusing control characters; "" only where `may_be_empty`. */
const char *conf__clean_text(const struct conf_row *, const struct conf_yaml *, bool may_be_empty,
			     struct conf_errors *);
/* A list's first element, or the scalar itself, which stands for a list of one. -1: a map, told. An empty text is an empty
 * list. */
int conf__elements(const struct conf_row *, const struct conf_yaml *, const struct conf_yaml **first,
		   struct conf_errors *);
/* The element after this one; a scalar standing for a list has none, although it may have a next key. */
const struct conf_yaml *conf__after(const struct conf_yaml *list, const struct conf_yaml *el);
/* A number as wide as the row's field. */
void conf__store(const struct conf_row *, void *field, uint64_t);
uint64_t conf__load(const struct conf_row *, const void *field);
/* The place of the scalar in "a|b|!c"; -1: told. */
int conf__parse_word(const struct conf_row *, const struct conf_yaml *, const char *choice, unsigned *out,
		     struct conf_errors *);
struct span conf__choice_at(const char *choice, uint64_t n);
/* A field that is a text on the heap gets a copy; NULL: none. */
void conf__replace_text(void *field, const char *text);
/* ", " before all but the first. */
void conf__separate(size_t i, FILE *out);

/* Lower case, without brackets and trailing dot, an IPv6 address as inet_ntop writes it (policy.h); on the heap. NULL: no such
 * thing. */
char *conf__host_pattern(const char *text, bool wildcards);
/* The same for a name that is no address. */
char *conf__domain_of(const char *text);
int conf__port_of(struct span text, uint16_t *port);
/* "proxy.test:3128", "[::1]:3128": the host as above, on the heap; the port is not 0. -1: no such thing. */
int conf__host_port(struct span, char **host, uint16_t *port);
void conf__print_host_port(const char *host, uint16_t port, FILE *out);

/* ---- checks ---- */

/* Where a setting was given. */
struct conf_seen {
	unsigned line; /* 0: not at all */
	bool bad;      /* told already; the field has its default */
};

struct conf_checker {
	struct conf *conf;
	const struct conf_seen *seen; /* goes with conf__rows */
	struct conf_errors *errors;
	bool with_files; /* look at the files that are named, and read those with secrets */
};

/* What rows cannot say alone: sums, clashes, files. Reads the secrets. */
void conf__check(struct conf_checker *);
void conf__check_cluster(struct conf_checker *);

/* Settings that follow from others when they are not given. */
void conf__compute_cluster(struct conf *, const struct conf_seen seen[]);

unsigned conf__line_of(const struct conf_checker *, const char *key); /* 0: not given */
/* A setting that was told to be wrong already has its default, which says nothing about the others. */
bool conf__is_bad(const struct conf_checker *, const char *key);
/* A regular file that can be read; false: told. */
bool conf__check_readable(struct conf_checker *, const char *key, const char *path);
/* As that, for its owner alone; what is in it, up to `cap` bytes. -1: told. */
long conf__read_secret(struct conf_checker *, const char *key, const char *path, char *bytes, size_t cap);

#endif
