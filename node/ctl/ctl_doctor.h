/* ctl_doctor: what the parts of `pmcachectl doctor` share: node (daemon, ports, CA, disk, upstreams, cluster), environment, files, clients.
 *
 * Nothing is changed: no file of the user, none of the daemon. What programs leave behind lies in a temporary folder and goes with it. */
#ifndef NODE_CTL_CTL_DOCTOR_H
#define NODE_CTL_CTL_DOCTOR_H

#include "node/ctl/ctl.h"
#include "node/ctl/ctl_finding.h"
#include "node/ctl/ctl_vars.h"

#define CTL_DOCTOR_MOST 32 /* of --client and --upstream, each */

#define CTL_FIX_ENV "eval \"$(pmcachectl env)\""

/* Where clients may come in. */
struct ctl_door {
	const char *host, *port;
	bool bump;
};

struct ctl_doctor {
	struct ctl *c;
	struct ctl_findings found;
	struct ctl_settings proxy; /* host, port and URL alone */
	struct ctl_door *doors;    /* the first is `proxy` */
	size_t n_doors;
	char *ca;      /* our CA's certificate in base64, without white space; NULL: not readable here */
	bool answers;  /* pmcached answers at `proxy` */
	bool control;  /* and at the control socket */
	bool in_state; /* --host was not given: the daemon's files are here */
	const char *clients[CTL_DOCTOR_MOST + 1], *upstreams[CTL_DOCTOR_MOST + 1];
};

/* ---- judgements, pure ---- */

struct ctl_judgement {
	enum ctl_verdict verdict;
	const char *what; /* a constant */
};

/* A proxy's URL as a client would read it, and whether it leads to one of our doors. */
struct ctl_judgement ctl_doctor_judge_proxy(const char *value, const struct ctl_door *, size_t n);
/* A list of hosts to go to directly: does it leave anything for us? */
struct ctl_judgement ctl_doctor_judge_no_proxy(const char *value);

/* Does the file hold our CA? SKIP: our own is not known. */
struct ctl_judgement ctl_doctor_judge_ca_file(const struct ctl_doctor *, const char *path);

/* ---- the parts; each adds its findings ---- */

void ctl_doctor_node(struct ctl_doctor *);
void ctl_doctor_environment(struct ctl_doctor *);
void ctl_doctor_files(struct ctl_doctor *);
/* 0, or the number of the signal that ended it. */
int ctl_doctor_clients(struct ctl_doctor *);
bool ctl_doctor_knows_client(const char *name);
/* Their names with commas between, on the heap. */
char *ctl_doctor_client_names(void);

#endif
