/* conf_internal: what the files of conf/ share. conf_schema.c has the table, conf_value.c the types, conf.c reads, conf_check.c
 * looks at what belongs together, conf_print.c writes. */
#ifndef NODE_CONF_CONF_INTERNAL_H
#define NODE_CONF_CONF_INTERNAL_H

#include <stdbool.h>
#include <stdio.h>

#include "node/base/span.h"
#include "node/conf/conf.h"
#include "node/conf/conf_yaml.h"

#define CONF_MAX_ERRORS 20
#define CONF_MAX_ROWS 96
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

extern const struct conf_type conf__bool, conf__count, conf__loops, conf__size, conf__duration, conf__percent,
	conf__enum, conf__name, conf__text, conf__kept_path, conf__read_path, conf__folder, conf__secret_path,
	conf__hosts, conf__domains, conf__nets, conf__ports, conf__deny, conf__addresses, conf__proxy, conf__classes,
	conf__later;

void *conf__field(struct conf *, const struct conf_row *);
const struct conf_row *conf__find(const char *key);
/* Is there a row below "key."? */
bool conf__is_section(const char *key);
/* The known key or section nearest to this one; p is NULL when none is near. */
struct span conf__nearest(const char *key);

void conf__format_row(const struct conf *, const struct conf_row *, FILE *);
/* In double quotes, escaped. */
void conf__format_text(const char *text, FILE *);

/* Where a setting was given. */
struct conf_seen {
	unsigned line; /* 0: not at all */
	bool bad;      /* told already; the field has its default */
};

/* What rows cannot say alone: sums, clashes, files. `seen` goes with conf__rows. Reads the proxy's credentials. */
void conf__check(struct conf *, const struct conf_seen seen[], struct conf_errors *);

#endif
