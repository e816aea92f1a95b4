/* conf_yaml: YAML text in, a small tree out. The only door to libyaml.
 *
 * Only what a configuration needs: maps, lists and scalars, one document. Anchors, aliases, merge keys and tags are refused.
 * Scalars keep their text as written: what "on" or "4 MB" means is the schema's business. A map keeps its keys in
 * order, repeated ones too, so that the reader can say where both stand. */
#ifndef NODE_CONF_CONF_YAML_H
#define NODE_CONF_CONF_YAML_H

#include <stdbool.h>

#include "node/base/span.h"

#define CONF_YAML_MAX_BYTES ((size_t)256 * 1024)
#define CONF_YAML_MAX_DEPTH 16
#define CONF_YAML_MAX_NODES 20000

enum conf_yaml_kind { CONF_YAML_SCALAR, CONF_YAML_LIST, CONF_YAML_MAP };

struct conf_yaml {
	enum conf_yaml_kind kind;
	unsigned line; /* where the value starts, from 1 */
	char *key;     /* in a map; else NULL */
	unsigned key_line;
	char *text;             /* of a scalar; without NUL inside */
	bool plain;             /* a scalar without quotes */
	struct conf_yaml *next; /* in the same list or map */
	struct conf_yaml *first, *last;
};

struct conf_yaml_error {
	unsigned line;
	char text[160];
};

/* The root, owned by the caller; an empty text gives an empty map. NULL with *err filled when it is not YAML, or more than
 * the bounds above allow. */
struct conf_yaml *conf_yaml_parse(struct span text, struct conf_yaml_error *err);
void conf_yaml_free(struct conf_yaml *);

/* `key:` with nothing behind it, or with null or ~. */
bool conf_yaml_is_null(const struct conf_yaml *);

#endif
