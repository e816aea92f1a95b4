#include "node/policy/classrule.h"

static bool same_char(char a, char b, bool fold_case)
{
	return fold_case ? span_eq_icase(span_of(&a, 1), span_of(&b, 1)) : a == b;
}

/* On a mismatch only the last star needs to take one character more: an earlier one could not do better. */
bool classrule_glob(struct span pattern, struct span text, bool fold_case)
{
	size_t p = 0, t = 0, star = SIZE_MAX, star_text = 0;

	while (t < text.n) {
		if (p < pattern.n && pattern.p[p] == '*') {
			star = p++;
			star_text = t;
		} else if (p < pattern.n && (pattern.p[p] == '?' || same_char(pattern.p[p], text.p[t], fold_case))) {
			p++;
			t++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			t = ++star_text;
		} else {
			return false;
		}
	}
	while (p < pattern.n && pattern.p[p] == '*')
		p++;
	return p == pattern.n;
}

static bool rule_fits(const struct policy_class_rule *r, struct span host, struct span path)
{
	if (r->host && r->host[0] && !classrule_glob(span_str(r->host), host, true))
		return false;
	return !r->path || !r->path[0] || classrule_glob(span_str(r->path), path, false);
}

const struct policy_class_rule *classrule_find(const struct policy_cache *p, struct span host, struct span path)
{
	if (host.n && host.p[host.n - 1] == '.')
		host.n--;
	for (size_t i = 0; i < p->n_classes; i++)
		if (rule_fits(&p->classes[i], host, path))
			return &p->classes[i];
	return NULL;
}

void classrule_apply(const struct policy_cache *cache, struct span host, struct span path, struct path_facts *facts)
{
	const struct policy_class_rule *rule = classrule_find(cache, host, path);

	if (!rule)
		return;
	switch (rule->class) {
	case POLICY_CLASS_IMMUTABLE:
		facts->class = PATH_IMMUTABLE;
		break;
	case POLICY_CLASS_MUTABLE:
		facts->class = PATH_MUTABLE;
		facts->ttl_s = rule->ttl ? (uint32_t)(rule->ttl / 1000) : PATH_MUTABLE_TTL_S;
		break;
	case POLICY_CLASS_PASS:
		facts->class = PATH_PASS;
		break;
	}
}
