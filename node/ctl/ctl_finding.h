/* ctl_finding: what `pmcachectl doctor` has found out, one finding a check, and how it is told to people and programs. */
#ifndef NODE_CTL_CTL_FINDING_H
#define NODE_CTL_CTL_FINDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* SKIP: could not be looked at, and `what` says why. */
enum ctl_verdict { CTL_VERDICT_OK, CTL_VERDICT_SKIP, CTL_VERDICT_WARN, CTL_VERDICT_FAIL, CTL_VERDICTS };

struct ctl_finding {
	enum ctl_verdict verdict;
	const char *group; /* "node", "environment", "files", "clients" */
	const char *name;
	char *what; /* printable ASCII, as are the others */
	char *fix;  /* one line, often a command; NULL: none */
};

struct ctl_findings {
	struct ctl_finding *v;
	size_t n, cap;
	size_t count[CTL_VERDICTS];
};

/* `group` is a constant; name, fix (NULL: none) and the text are copied, and what a terminal might obey becomes '?'. */
__attribute__((format(printf, 6, 7))) void ctl_finding_add(struct ctl_findings *, enum ctl_verdict, const char *group,
							   const char *name, const char *fix, const char *fmt, ...);
const char *ctl_verdict_word(enum ctl_verdict);

/* A table by group, the fix below what it is for, and a line that counts. */
void ctl_findings_print(const struct ctl_findings *, FILE *, bool colour);
/* {"verdict":"fail","ok":1,"skip":0,"warn":0,"fail":1,"checks":[{"group":"node","name":"port","verdict":"fail","what":"…","fix":"…"}]}
 * verdict is the worst of them; fix may be null. */
void ctl_findings_put_json(const struct ctl_findings *, FILE *);

#endif
