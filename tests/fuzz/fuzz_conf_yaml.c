/* Any bytes as a configuration: refused with words, or read; and what was read is dumped and read back to the same. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/conf/conf.h"
#include "node/conf/conf_yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static char *dumped(const struct conf *c)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	conf_dump(c, out);
	fclose(out);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	char errors[4096], *first, *second;
	struct conf_yaml_error err = {0};
	struct conf_yaml *tree;
	struct conf *c, *again;

	/* Most inputs end here; a whole load reads all defaults too, which is slow. */
	tree = conf_yaml_parse(span_of((const char *)bytes, n), &err);
	if (!tree && (!err.line || !err.text[0]))
		abort();
	if (!tree)
		return 0;
	conf_yaml_free(tree);
	c = conf_load_text(span_of((const char *)bytes, n), "/nowhere/fuzz.yaml", errors, sizeof(errors));
	if ((c == NULL) != (errors[0] != '\0'))
		abort();
	if (!c)
		return 0;
	first = dumped(c);
	again = conf_load_text(span_str(first), "/nowhere/fuzz.yaml", errors, sizeof(errors));
	if (!again)
		abort();
	second = dumped(again);
	if (strcmp(first, second) != 0)
		abort();
	free(first);
	free(second);
	conf_free(c);
	conf_free(again);
	return 0;
}
